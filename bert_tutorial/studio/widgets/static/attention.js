// AttentionView: who looks at whom, as lines between two columns of tokens.

const ROW_HEIGHT = 24; // pixels of a token
const WIDTH = 260; // pixels between the columns
const THINNEST = 0.01; // smaller weights have no line
const MOST_SAID = 8; // weights in the status line
const HINT = "Point at a token on the left to see what it looks at; a click keeps it.";
const MEAN = -1;

function headName(head) {
  return head === MEAN ? "mean of all heads" : `head ${head + 1}`;
}

function range(length) {
  return Array.from({ length }, (_, i) => i);
}

// The weights, and the (L, L) matrix of one head or of the mean of all.
function weightsOf(model) {
  const [layers, heads, length] = model.get("shape");
  const bytes = model.get("attention");
  if (!(layers * heads * length) || bytes.byteLength !== 4 * layers * heads * length * length) {
    return { layers: 0, heads: 0, length: 0, matrix: () => [] };
  }
  const end = bytes.byteOffset + bytes.byteLength;
  const all = new Float32Array(bytes.buffer.slice(bytes.byteOffset, end));
  const size = length * length;
  const one = (layer, head) => {
    const start = (layer * heads + head) * size;
    return all.subarray(start, start + size);
  };
  const mean = (layer) => {
    const sum = new Float32Array(size);
    for (const head of range(heads)) one(layer, head).forEach((weight, i) => (sum[i] += weight));
    return sum.map((weight) => weight / heads);
  };
  const matrix = (layer, head) => (head === MEAN ? mean(layer) : one(layer, head));
  return { layers, heads, length, matrix };
}

// A matrix as a picture, one pixel a weight.
function paint(canvas, matrix, length, highest) {
  canvas.width = canvas.height = length;
  const context = canvas.getContext("2d");
  const image = context.createImageData(length, length);
  matrix.forEach((weight, i) => image.data.set([...colourAt(weight / highest), 255], 4 * i));
  context.putImageData(image, 0, 0);
}

function choice(text) {
  const select = element("select", {});
  return { select, label: element("label", {}, element("span", {}, text), select) };
}

function render({ model, el }) {
  const layers = choice("Layer");
  const heads = choice("Head");
  const from = element("div", {
    class: "bert-tokens",
    role: "toolbar",
    "aria-orientation": "vertical",
    "aria-label": "Tokens that look: arrow keys move, Enter keeps one",
  });
  const lines = drawn("svg", { class: "bert-lines", "aria-hidden": "true" });
  const to = element("ol", { class: "bert-tokens", "aria-label": "Tokens that are looked at" });
  const status = element("div", { class: "bert-status", role: "status" });
  const note = element("div", { class: "bert-note" });
  const pictures = element("div", {
    class: "bert-pictures",
    role: "group",
    "aria-label": "Pictures to choose from",
  });
  const columns = element("div", { class: "bert-columns" }, from, lines, to);
  el.append(
    element("div", { class: "bert-choices" }, layers.label, heads.label),
    element("div", { class: "bert-ends" }, element("span", {}, "from"), element("span", {}, "to")),
    element("div", { class: "bert-scroll" }, columns),
    status,
    note,
    pictures,
  );
  let weights = weightsOf(model);
  let hovered = null;
  let focused = null;

  const layer = () => limited(model.get("layer"), 0, weights.layers - 1);
  const head = () => limited(model.get("head"), MEAN, weights.heads - 1);
  const active = () => {
    const index = hovered ?? focused ?? model.get("kept");
    return index >= 0 && index < weights.length ? index : null;
  };
  const row = (matrix, index) => [
    ...matrix.slice(index * weights.length, (index + 1) * weights.length),
  ];

  const said = (numbers, index) => {
    const tokens = model.get("tokens");
    const order = range(numbers.length).sort((a, b) => numbers[b] - numbers[a]);
    const parts = order.slice(0, MOST_SAID).map((i) => `${tokens[i]} ${decimals(numbers[i])}`);
    const more = order.length - parts.length;
    return `${tokens[index]} looks at: ${parts.join(", ")}${more > 0 ? `, and ${more} more` : ""}`;
  };
  const line = (i, j, weight, opacity) =>
    drawn("line", {
      x1: 0,
      y1: (i + 0.5) * ROW_HEIGHT,
      x2: WIDTH,
      y2: (j + 0.5) * ROW_HEIGHT,
      "stroke-width": (0.75 + 5 * weight).toFixed(2),
      "stroke-opacity": opacity.toFixed(3),
    });
  const showRows = () => {
    const matrix = weights.matrix(layer(), head());
    const index = active();
    const made = [];
    matrix.forEach((weight, place) => {
      const i = Math.floor(place / weights.length);
      if (weight < THINNEST || (index !== null && i !== index)) return;
      // A row alone has room for stronger lines than all rows together.
      const opacity = index === null ? 0.08 + 0.92 * weight : 0.2 + 0.8 * Math.sqrt(weight);
      made.push(line(i, place % weights.length, weight, opacity));
    });
    lines.replaceChildren(...made);
    const numbers = index === null ? null : row(matrix, index);
    [...to.children].forEach((item, j) => {
      item.lastChild.textContent = numbers ? decimals(numbers[j]) : "";
    });
    [...from.children].forEach((item, i) => {
      item.classList.toggle("bert-active", i === index);
      item.setAttribute("aria-pressed", i === model.get("kept"));
    });
    status.textContent = numbers ? said(numbers, index) : HINT;
  };
  const showPictures = () => {
    const all = range(weights.heads).map((each) => weights.matrix(layer(), each));
    const highest = Math.max(...all.map((matrix) => matrix.reduce((a, b) => Math.max(a, b), 0)));
    [...pictures.children].forEach((button, each) => {
      paint(button.firstChild, all[each], weights.length, highest);
      button.setAttribute("aria-pressed", each === head());
    });
    note.textContent = weights.heads
      ? `All heads of layer ${layer() + 1}: a line for each token that looks, ` +
        `a column for each that is looked at; dark is 0, bright is ${decimals(highest)}.`
      : "There is no attention to show.";
  };

  const tokenButton = (text, i) =>
    element("button", { type: "button", "data-key": `from-${i}`, title: text }, text);
  const picture = (each) =>
    element(
      "button",
      { type: "button", "data-key": `head-${each}`, "data-head": each },
      element("canvas", { "aria-hidden": "true" }),
      element("span", {}, headName(each)),
    );
  const options = (select, values, name) =>
    select.replaceChildren(...values.map((value) => element("option", { value }, name(value))));
  const build = () => {
    weights = weightsOf(model);
    hovered = null;
    focused = null; // set again if the focus comes back
    const tokens = model.get("tokens").slice(0, weights.length);
    options(layers.select, range(weights.layers), (value) => String(value + 1));
    options(heads.select, [MEAN, ...range(weights.heads)], headName);
    from.replaceChildren(...tokens.map(tokenButton));
    setTabStop([...from.children], limited(model.get("kept"), 0, tokens.length - 1));
    const item = (text) => element("li", {}, element("span", { title: text }, text), element("b"));
    to.replaceChildren(...tokens.map(item));
    const height = tokens.length * ROW_HEIGHT;
    furnish(lines, { width: WIDTH, height, viewBox: `0 0 ${WIDTH} ${height}` }, []);
    pictures.replaceChildren(...range(weights.heads).map(picture));
  };
  const mark = () => {
    layers.select.value = layer();
    heads.select.value = head();
    showRows();
    showPictures();
  };

  const indexOf = (event) => {
    const index = [...from.children].indexOf(event.target.closest("button"));
    return index < 0 ? null : index;
  };
  layers.select.addEventListener("change", () => tell(model, "layer", Number(layers.select.value)));
  heads.select.addEventListener("change", () => tell(model, "head", Number(heads.select.value)));
  pictures.addEventListener("click", (event) => {
    const chosen = event.target.closest("button")?.dataset.head;
    if (chosen !== undefined) tell(model, "head", Number(chosen));
  });
  from.addEventListener("click", (event) => {
    const index = indexOf(event);
    if (index !== null) tell(model, "kept", model.get("kept") === index ? -1 : index);
  });
  const hover = (index) => {
    if (index === hovered) return;
    hovered = index;
    showRows();
  };
  from.addEventListener("pointerover", (event) => hover(indexOf(event)));
  from.addEventListener("pointerleave", () => hover(null));
  from.addEventListener("focusin", (event) => {
    setTabStop([...from.children], indexOf(event));
    focused = event.target.matches(":focus-visible") ? indexOf(event) : null;
    if (focused !== null) hovered = null; // whichever came last
    showRows();
  });
  from.addEventListener("focusout", () => {
    focused = null;
    showRows();
  });
  from.addEventListener("keydown", (event) => {
    const last = from.children.length - 1;
    const index = indexOf(event);
    const places = { ArrowUp: index - 1, ArrowDown: index + 1, Home: 0, End: last };
    if (index === null || !Object.hasOwn(places, event.key)) return;
    from.children[limited(places[event.key], 0, last)].focus();
    event.preventDefault();
  });
  const data = ["tokens", "attention", "shape"];
  return follow({ model, el }, data, ["layer", "head", "kept"], build, mark);
}

export default { render };
