// AttentionView: who looks at whom, as lines between two columns of tokens.

const ROW_HEIGHT = 24; // pixels of a token
const WIDTH = 260; // pixels between the columns
const WEAK = 0.3; // of the strongest line; weaker ones are left out
const CLEAR = 3; // times the even share: no smaller weight is drawn as a strong line
const MOST_SAID = 8; // weights in the status line
const HINT = "Point at a token on the left to see what it looks at; a click keeps it.";
const MEAN = -1;

function headName(head) {
  return head === MEAN ? "mean of all heads" : `head ${head + 1}`;
}

function range(length) {
  return Array.from({ length }, (_, i) => i);
}

// The weights: `rows(layer, head)` are those of one head, or of the mean of all, a row a token.
function weightsOf(model) {
  const [layers, heads, length] = model.get("shape");
  const { buffer, byteOffset, byteLength } = model.get("attention");
  if (!(layers * heads * length) || byteLength !== 4 * layers * heads * length * length) {
    return { layers: 0, heads: 0, length: 0, rows: () => [] };
  }
  const all = new Float32Array(buffer.slice(byteOffset, byteOffset + byteLength));
  const row = (layer, head, i) => {
    const start = ((layer * heads + head) * length + i) * length;
    return all.subarray(start, start + length);
  };
  const mean = (layer, i) => {
    const each = range(heads).map((head) => row(layer, head, i));
    return range(length).map((j) => each.reduce((sum, weights) => sum + weights[j], 0) / heads);
  };
  const rows = (layer, head) =>
    range(length).map((i) => (head === MEAN ? mean(layer, i) : row(layer, head, i)));
  return { layers, heads, length, rows };
}

// Rows of weights as a picture, one pixel a weight.
function paint(canvas, rows, highest) {
  canvas.width = canvas.height = rows.length;
  const context = canvas.getContext("2d");
  const image = context.createImageData(rows.length, rows.length);
  const pixel = (weight) => [...colourAt(weight / highest), 255];
  image.data.set(rows.flatMap((row) => [...row].flatMap(pixel)));
  context.putImageData(image, 0, 0);
}

// Strength is at most 1.
function line(i, j, strength) {
  const [y1, y2] = [i, j].map((place) => (place + 0.5) * ROW_HEIGHT);
  const stroke = { "stroke-width": 0.75 + 4 * strength, "stroke-opacity": 0.3 + 0.6 * strength };
  return drawn("line", { x1: 0, y1, x2: WIDTH, y2, ...stroke });
}

function render({ model, el }) {
  const [layers, heads] = [element("select"), element("select")];
  const choice = (text, select) => element("label", {}, element("span", {}, text), select);
  const from = element("div", {
    class: "bert-tokens",
    role: "toolbar",
    "aria-orientation": "vertical",
    "aria-label": "Tokens that look: arrow keys move, Enter keeps one",
  });
  const lines = drawn("svg", { class: "bert-lines", "aria-hidden": "true" });
  const to = element("ol", { class: "bert-tokens", "aria-label": "Tokens that are looked at" });
  const [status, note] = [statusLine(), block("bert-note")];
  const about = { role: "group", "aria-label": "Pictures to choose from" };
  const pictures = element("div", { class: "bert-pictures", ...about });
  el.append(
    block("bert-choices", choice("Layer", layers), choice("Head", heads)),
    block("bert-ends", element("span", {}, "from"), element("span", {}, "to")),
    block("bert-scroll", block("bert-columns", from, lines, to)),
    ...[status, note, pictures],
  );
  let weights = weightsOf(model);

  const layer = () => limited(model.get("layer"), 0, weights.layers - 1);
  const head = () => limited(model.get("head"), MEAN, weights.heads - 1);
  const said = (row, index) => {
    const tokens = model.get("tokens");
    const order = range(row.length).sort((a, b) => row[b] - row[a]);
    const parts = order.slice(0, MOST_SAID).map((i) => `${tokens[i]} ${decimals(row[i])}`);
    if (order.length > MOST_SAID) parts.push(`and ${order.length - MOST_SAID} more`);
    return `${tokens[index]} looks at: ${parts.join(", ")}`;
  };
  const showRows = () => {
    const rows = weights.rows(layer(), head());
    const [kept, current] = [model.get("kept"), items.current()];
    const index = current >= 0 ? current : kept;
    const alone = rows[index]; // or all together
    const shown = alone ? [index] : range(rows.length);
    const highest = Math.max(...shown.map((i) => Math.max(...rows[i])));
    const full = Math.max(highest, CLEAR / rows.length); // where all are alike no line is strong
    const least = WEAK * full;
    lines.replaceChildren();
    for (const i of shown) {
      const seen = range(rows.length).filter((j) => rows[i][j] >= least);
      lines.append(...seen.map((j) => line(i, j, rows[i][j] / full)));
    }
    [...to.children].forEach((item, j) => {
      item.lastChild.textContent = alone ? decimals(alone[j]) : "";
    });
    [...from.children].forEach((item, i) => {
      item.classList.toggle("bert-active", i === index);
      item.setAttribute("aria-pressed", i === kept);
    });
    const scale = `The strongest line is ${decimals(highest)}, none below ${decimals(least)}. `;
    status.textContent = alone ? said(alone, index) : (rows.length ? scale : "") + HINT;
  };
  const showPictures = () => {
    const all = range(weights.heads).map((each) => weights.rows(layer(), each));
    const highest =
      model.get("high") || Math.max(...all.flat().map((row) => Math.max(...row)));
    [...pictures.children].forEach((button, each) => {
      paint(button.firstChild, all[each], highest);
      button.setAttribute("aria-pressed", each === head());
    });
    note.textContent = weights.heads
      ? `All heads of layer ${layer() + 1}: a line for each token that looks, ` +
        `a column for each that is looked at; dark is 0, bright is ${decimals(highest)}.`
      : "There is no attention to show.";
  };
  const keep = (index) => tell(model, "kept", model.get("kept") === index ? -1 : index);
  const items = roving(from, { choose: keep, changed: showRows });

  const button = (key, title, ...inside) =>
    element("button", { type: "button", "data-key": key, title }, ...inside);
  const canvas = () => element("canvas", { "aria-hidden": "true" });
  const options = (select, values, name) =>
    select.replaceChildren(...values.map((value) => element("option", { value }, name(value))));
  const build = () => {
    weights = weightsOf(model);
    const tokens = model.get("tokens").slice(0, weights.length);
    options(layers, range(weights.layers), (value) => String(value + 1));
    options(heads, [MEAN, ...range(weights.heads)], headName);
    from.replaceChildren(...tokens.map((text, i) => button(`from-${i}`, text, text)));
    items.use([...from.children], model.get("kept"));
    const item = (text) => element("li", {}, element("span", { title: text }, text), element("b"));
    to.replaceChildren(...tokens.map(item));
    const height = tokens.length * ROW_HEIGHT;
    furnish(lines, { width: WIDTH, height, viewBox: `0 0 ${WIDTH} ${height}` });
    const picture = (each) => button(`head-${each}`, null, canvas(), headName(each));
    pictures.replaceChildren(...range(weights.heads).map(picture));
  };
  const mark = () => {
    [layers.value, heads.value] = [layer(), head()];
    showRows();
    showPictures();
  };

  layers.addEventListener("change", () => tell(model, "layer", Number(layers.value)));
  heads.addEventListener("change", () => tell(model, "head", Number(heads.value)));
  pictures.addEventListener("click", (event) => {
    const chosen = [...pictures.children].indexOf(event.target.closest("button"));
    if (chosen >= 0) tell(model, "head", chosen);
  });
  from.addEventListener("click", (event) => {
    const index = items.indexOf(event);
    if (index >= 0) keep(index);
  });
  const data = ["tokens", "attention", "shape", "high"];
  return follow({ model, el }, data, ["layer", "head", "kept"], build, mark);
}

export default { render };
