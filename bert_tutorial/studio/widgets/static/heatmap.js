// TokenHeatmap: a table of numbers, coloured.

const MOST_PRINTED = 12; // columns up to which the numbers stand in the cells
const HINT = "Point at a cell, or move there with the arrow keys, to read its number.";

function heading(role, scope, text) {
  return element("th", { role, scope, title: text }, element("span", {}, text));
}

function render({ model, el }) {
  const [caption, status] = [block("bert-caption"), statusLine()];
  const table = element("table", { class: "bert-heatmap", role: "grid" });
  const bar = block("bert-bar");
  bar.style.background = `linear-gradient(to right, ${STOPS.map((colour) => `rgb(${colour})`)})`;
  const scale = block("bert-scale");
  const legend = element("div", { role: "img", class: "bert-legend" }, bar, scale);
  el.append(caption, block("bert-scroll", table), status, legend);
  let cells = []; // row by row
  let width = 0; // cells in a row

  const indexOf = ([row, column]) => (column < width ? row * width + column : -1);
  const placeOf = (index) => [Math.floor(index / width), index % width];
  const report = () => {
    const current = items.current();
    const cell = cells[current >= 0 ? current : indexOf(model.get("selected"))];
    const framed = cell?.classList.contains("bert-framed") ? " (framed)" : "";
    status.textContent = cell ? cell.getAttribute("aria-label") + framed : HINT;
  };
  const select = (index) => tell(model, "selected", placeOf(index));
  const steps = (index, last, { ctrlKey }) => {
    const [row, column] = placeOf(index);
    const [top, bottom, start] = [column, last - (width - 1) + column, row * width];
    return {
      ArrowUp: Math.max(top, index - width),
      ArrowDown: Math.min(bottom, index + width),
      ArrowLeft: Math.max(start, index - 1),
      ArrowRight: Math.min(start + width - 1, index + 1),
      Home: ctrlKey ? 0 : start,
      End: ctrlKey ? last : start + width - 1,
    };
  };
  const items = roving(table, { steps, choose: select, changed: report });
  table.addEventListener("click", (event) => {
    const index = items.indexOf(event);
    if (index < 0) return;
    items.moveTo(index);
    select(index);
  });

  const cell = (name, number, key, isPale) => {
    const isNumber = Number.isFinite(number);
    const made = element("td", {
      role: "gridcell",
      class: isNumber ? null : "bert-empty",
      "aria-label": `${name}: ${isNumber ? decimals(number) : "no number"}`,
      "data-key": key,
    });
    if (!isNumber) return made;
    const [low, high] = [model.get("low"), model.get("high")];
    const colour = colourAt(high > low ? (number - low) / (high - low) : 0.5);
    const pale = `color-mix(in srgb, rgb(${colour}) 40%, transparent)`; // with the page's ink
    made.style.background = isPale ? pale : `rgb(${colour})`;
    if (!isPale) made.style.color = inkOn(colour);
    if (width <= MOST_PRINTED) made.append(decimals(number));
    return made;
  };
  const build = () => {
    const [rows, columns, values] = ["rows", "columns", "values"].map((each) => model.get(each));
    width = columns.length;
    table.classList.toggle("bert-dense", width > MOST_PRINTED);
    table.setAttribute("aria-label", model.get("caption") || "Heatmap");
    caption.textContent = model.get("caption");
    const strong = new Set(model.get("strong").map(String)); // as in "1,2"
    const lines = rows.map((row, i) =>
      columns.map((column, j) => {
        const isPale = strong.size > 0 && !strong.has(`${i},${j}`);
        return cell(`${row}, ${column}`, values[i]?.[j], `cell-${i}-${j}`, isPale);
      }),
    );
    cells = lines.flat();
    const heads = columns.map((text) => heading("columnheader", "col", text));
    const line = (...inside) => element("tr", { role: "row" }, ...inside);
    const body = rows.map((text, i) => line(heading("rowheader", "row", text), ...lines[i]));
    const head = line(element("td", { role: "presentation" }), ...heads);
    table.replaceChildren(
      element("thead", { role: "rowgroup" }, head),
      element("tbody", { role: "rowgroup" }, ...body),
    );
    items.use(cells);
    const [low, high] = [model.get("low"), model.get("high")];
    const numbers = [low, (low + high) / 2, high].map(decimals);
    scale.replaceChildren(...numbers.map((number) => element("span", {}, number)));
    legend.setAttribute("aria-label", `Colours: dark is ${numbers[0]}, bright is ${numbers[2]}`);
  };
  const mark = () => {
    const selected = indexOf(model.get("selected"));
    const framed = new Set(model.get("marked").map(indexOf));
    cells.forEach((made, i) => {
      made.setAttribute("aria-selected", i === selected);
      made.classList.toggle("bert-framed", framed.has(i));
    });
    report();
  };
  const data = ["rows", "columns", "values", "low", "high", "caption", "strong"];
  return follow({ model, el }, data, ["marked", "selected"], build, mark);
}

export default { render };
