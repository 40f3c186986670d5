// Meter: where words stand between two senses. A table, so that it can also be read aloud.

const HEADINGS = ["left sense", "position", "right sense", "result"];

function percent(position) {
  return `${(50 * (limited(position, -1, 1) + 1)).toFixed(1)}%`;
}

function track({ source, position, low, high, left, right }) {
  const made = element("div", { class: "bert-track", role: "img" });
  const hasBand = Number.isFinite(low) && Number.isFinite(high);
  made.append(element("span", { class: "bert-middle" }));
  if (hasBand) {
    const band = element("span", { class: "bert-band" });
    band.style.left = percent(Math.min(low, high));
    band.style.right = `calc(100% - ${percent(Math.max(low, high))})`;
    made.append(band);
  }
  if (Number.isFinite(position)) {
    const dot = element("span", { class: "bert-dot" });
    dot.style.left = percent(position);
    made.append(dot);
  }
  const where = Number.isFinite(position) ? decimals(position) : "no position";
  const spread = hasBand ? `, band from ${decimals(low)} to ${decimals(high)}` : "";
  const said = `${source}: ${where}${spread}; -1 is ${left}, 1 is ${right}`;
  made.setAttribute("aria-label", said);
  made.title = said;
  return made;
}

function line(row) {
  return element(
    "tr",
    { class: row.source === "network" ? "bert-network" : "bert-control" },
    element("th", { scope: "row" }, String(row.source ?? "")),
    element("td", { class: "bert-left" }, String(row.left ?? "")),
    element("td", { class: "bert-place" }, track(row)),
    element("td", { class: "bert-right" }, String(row.right ?? "")),
    element("td", {}, String(row.text ?? "")),
  );
}

function render({ model, el }) {
  const table = element("table", { class: "bert-meter" });
  el.append(table);
  const build = () => {
    const caption = model.get("caption");
    const groups = new Map();
    for (const row of model.get("rows")) {
      const label = String(row.label ?? "");
      groups.set(label, [...(groups.get(label) ?? []), line(row)]);
    }
    const hidden = (text) => element("span", { class: "bert-hidden" }, text);
    const headings = HEADINGS.map((text) => element("th", { scope: "col" }, hidden(text)));
    headings.unshift(element("td")); // above the sources, which are headings themselves
    const bodies = [...groups].map(([label, lines]) => {
      const heading = element("th", { scope: "rowgroup", colspan: HEADINGS.length + 1 }, label);
      return element("tbody", {}, element("tr", { class: "bert-group" }, heading), ...lines);
    });
    table.replaceChildren(
      ...(caption ? [element("caption", { class: "bert-caption" }, caption)] : []),
      element("thead", {}, element("tr", {}, ...headings)),
      ...bodies,
    );
  };
  return follow({ model, el }, ["rows", "caption"], [], build);
}

export default { render };
