// Meter: where words stand between two senses. A table, so that it can also be read aloud.

const HEADINGS = ["left sense", "position", "right sense", "result"];

function percent(position) {
  return `${(50 * (limited(position, -1, 1) + 1)).toFixed(1)}%`;
}

function track({ source, position, low, high, left, right, is_undecided: isUndecided }) {
  const hasBand = Number.isFinite(low) && Number.isFinite(high);
  const hasPlace = Number.isFinite(position);
  const where = hasPlace ? decimals(position) : "no position";
  const spread = hasBand ? `, band from ${decimals(low)} to ${decimals(high)}` : "";
  const sure = isUndecided ? ", undecided" : "";
  const said = `${source}: ${where}${sure}${spread}; -1 is ${left}, 1 is ${right}`;
  const about = { class: "bert-track", role: "img", "aria-label": said, title: said };
  const [middle, band, dot] = ["middle", "band", "dot"].map((name) =>
    element("span", { class: `bert-${name}` }),
  );
  [band.hidden, dot.hidden] = [!hasBand, !hasPlace];
  dot.classList.toggle("bert-undecided", Boolean(isUndecided));
  band.style.left = percent(Math.min(low, high));
  band.style.right = percent(-Math.max(low, high));
  dot.style.left = percent(position);
  return element("div", about, middle, band, dot);
}

function line(row) {
  const cell = (name, inside) => element("td", { class: name }, inside);
  return element(
    "tr",
    { class: row.source === "network" ? null : "bert-control" },
    element("th", { scope: "row" }, row.source),
    cell("bert-left", row.left),
    cell("bert-place", track(row)),
    cell("bert-right", row.right),
    cell(null, row.text),
  );
}

// A button in a row of its own, which shows and hides the controls below the network's row.
function fold(label, key, controls, opened) {
  const about = { type: "button", class: "bert-fold", "data-key": key };
  const names = controls.map((made) => made.firstChild.textContent).join(", ");
  const button = element("button", about, `Controls: ${names}`);
  const mark = () => {
    button.setAttribute("aria-expanded", opened.has(label));
    for (const made of controls) made.hidden = !opened.has(label);
  };
  button.addEventListener("click", () => {
    if (!opened.delete(label)) opened.add(label);
    mark();
  });
  mark();
  return element("tr", {}, element("td", { colspan: HEADINGS.length + 1 }, button));
}

function render({ model, el }) {
  const opened = new Set(); // labels whose controls are shown
  const table = element("table", { class: "bert-meter" });
  el.append(table);
  const hidden = (text) => element("span", { class: "bert-hidden" }, text);
  const build = () => {
    const [rows, caption] = [model.get("rows"), model.get("caption")];
    const labels = [...new Set(rows.map(({ label }) => String(label ?? "")))];
    const bodies = labels.map((label, i) => {
      const heading = element("th", { scope: "rowgroup", colspan: HEADINGS.length + 1 }, label);
      const lines = rows.filter((row) => String(row.label ?? "") === label).map(line);
      const controls = lines.filter((made) => made.classList.contains("bert-control"));
      const first = lines.filter((made) => !controls.includes(made));
      if (first.length && controls.length) first.push(fold(label, `fold-${i}`, controls, opened));
      const head = element("tr", { class: "bert-group" }, heading);
      return element("tbody", {}, head, ...first, ...controls);
    });
    const heads = HEADINGS.map((text) => element("th", { scope: "col" }, hidden(text)));
    const corner = element("td"); // above the sources, which are headings themselves
    table.replaceChildren(
      ...(caption ? [element("caption", { class: "bert-caption" }, caption)] : []),
      element("thead", {}, element("tr", {}, corner, ...heads)),
      ...bodies,
    );
  };
  return follow({ model, el }, ["rows", "caption"], [], build);
}

export default { render };
