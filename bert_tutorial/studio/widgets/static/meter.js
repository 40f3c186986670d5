// Meter: where words stand between two senses. A table, so that it can also be read aloud.

const HEADINGS = ["left sense", "position", "right sense", "result"];

function percent(position) {
  return `${(50 * (limited(position, -1, 1) + 1)).toFixed(1)}%`;
}

function track({ source, position, low, high, left, right }) {
  const hasBand = Number.isFinite(low) && Number.isFinite(high);
  const hasPlace = Number.isFinite(position);
  const where = hasPlace ? decimals(position) : "no position";
  const spread = hasBand ? `, band from ${decimals(low)} to ${decimals(high)}` : "";
  const said = `${source}: ${where}${spread}; -1 is ${left}, 1 is ${right}`;
  const about = { class: "bert-track", role: "img", "aria-label": said, title: said };
  const [middle, band, dot] = ["middle", "band", "dot"].map((name) =>
    element("span", { class: `bert-${name}` }),
  );
  [band.hidden, dot.hidden] = [!hasBand, !hasPlace];
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

function render({ model, el }) {
  const table = element("table", { class: "bert-meter" });
  el.append(table);
  const hidden = (text) => element("span", { class: "bert-hidden" }, text);
  const build = () => {
    const [rows, caption] = [model.get("rows"), model.get("caption")];
    const labels = [...new Set(rows.map(({ label }) => String(label ?? "")))];
    const bodies = labels.map((label) => {
      const heading = element("th", { scope: "rowgroup", colspan: HEADINGS.length + 1 }, label);
      const lines = rows.filter((row) => String(row.label ?? "") === label).map(line);
      return element("tbody", {}, element("tr", { class: "bert-group" }, heading), ...lines);
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
