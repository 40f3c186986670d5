// TokenHeatmap: a table of numbers, coloured.

const MOST_PRINTED = 12; // columns up to which the numbers stand in the cells
const HINT = "Point at a cell, or move there with the arrow keys, to read its number.";

// Where a key leads from a cell, or nothing if the key is not for moving.
function destination(event, row, column, lastRow, lastColumn) {
  const isCorner = event.ctrlKey;
  const places = {
    ArrowUp: [row - 1, column],
    ArrowDown: [row + 1, column],
    ArrowLeft: [row, column - 1],
    ArrowRight: [row, column + 1],
    Home: [isCorner ? 0 : row, 0],
    End: [isCorner ? lastRow : row, lastColumn],
  };
  const place = Object.hasOwn(places, event.key) ? places[event.key] : null;
  return place && [limited(place[0], 0, lastRow), limited(place[1], 0, lastColumn)];
}

function legend() {
  const bar = element("span", { class: "bert-bar", "aria-hidden": "true" });
  const stops = STOPS.map((colour) => `rgb(${colour})`);
  bar.style.background = `linear-gradient(to right, ${stops})`;
  const numbers = [0, 1, 2].map(() => element("span"));
  const scale = element("div", { class: "bert-scale" }, ...numbers);
  return { whole: element("div", { class: "bert-legend" }, bar, scale), numbers };
}

function render({ model, el }) {
  const caption = element("div", { class: "bert-caption" });
  const table = element("table", { class: "bert-heatmap", role: "grid" });
  const status = element("div", { class: "bert-status", role: "status" });
  const colours = legend();
  const box = element("div", { class: "bert-scroll" }, table);
  el.append(caption, box, status, colours.whole);
  let cells = []; // rows of table cells
  let stop = [0, 0]; // the cell that Tab reaches

  const value = (row, column) => {
    const found = model.get("values")[row]?.[column];
    return Number.isFinite(found) ? found : null;
  };
  const name = (row, column) => {
    const number = value(row, column);
    const said = number === null ? "no number" : decimals(number);
    return `${model.get("rows")[row]}, ${model.get("columns")[column]}: ${said}`;
  };
  const placeOf = (target) => {
    const cell = target.closest?.("td");
    return cell ? [Number(cell.dataset.row), Number(cell.dataset.column)] : null;
  };
  const sameAs = ([row, column]) => (place) => place[0] === row && place[1] === column;
  const report = (place) => {
    if (!place || !cells[place[0]]?.[place[1]]) {
      status.textContent = HINT;
      return;
    }
    const isFramed = model.get("marked").some(sameAs(place));
    status.textContent = name(...place) + (isFramed ? " (framed)" : "");
  };
  const rest = () => {
    const focused = el.getRootNode().activeElement;
    const place = focused && table.contains(focused) ? placeOf(focused) : null;
    report(place ?? model.get("selected"));
  };

  const cell = (row, column, isPrinted) => {
    const number = value(row, column);
    const made = element("td", {
      role: "gridcell",
      tabindex: -1,
      "aria-label": name(row, column),
      "data-row": row,
      "data-column": column,
      "data-key": `cell-${row}-${column}`,
    });
    if (number === null) {
      made.classList.add("bert-empty");
      return made;
    }
    const [low, high] = [model.get("low"), model.get("high")];
    const colour = colourAt(high > low ? (number - low) / (high - low) : 0.5);
    made.style.background = `rgb(${colour})`;
    made.style.color = inkOn(colour);
    if (isPrinted) made.append(decimals(number));
    return made;
  };
  const heading = (role, scope, text) =>
    element("th", { role, scope, title: text }, element("span", {}, text));

  const build = () => {
    const [rows, columns] = [model.get("rows"), model.get("columns")];
    const isPrinted = columns.length <= MOST_PRINTED;
    table.classList.toggle("bert-dense", !isPrinted);
    table.setAttribute("aria-label", model.get("caption") || "Heatmap");
    caption.textContent = model.get("caption");
    const head = element("tr", { role: "row" }, element("td", { role: "presentation" }));
    head.append(...columns.map((text) => heading("columnheader", "col", text)));
    cells = rows.map((_, row) => columns.map((_, column) => cell(row, column, isPrinted)));
    const body = rows.map((text, row) =>
      element("tr", { role: "row" }, heading("rowheader", "row", text), ...cells[row]),
    );
    table.replaceChildren(
      element("thead", { role: "rowgroup" }, head),
      element("tbody", { role: "rowgroup" }, ...body),
    );
    stop = [limited(stop[0], 0, rows.length - 1), limited(stop[1], 0, columns.length - 1)];
    cells[stop[0]]?.[stop[1]]?.setAttribute("tabindex", 0);
    const [low, high] = [model.get("low"), model.get("high")];
    [low, (low + high) / 2, high].forEach((number, i) => {
      colours.numbers[i].textContent = decimals(number);
    });
    const [dark, , bright] = colours.numbers.map((number) => number.textContent);
    colours.whole.setAttribute("role", "img");
    colours.whole.setAttribute("aria-label", `Colours: dark is ${dark}, bright is ${bright}`);
  };
  const mark = () => {
    const selected = sameAs(model.get("selected"));
    const framed = new Set(model.get("marked").map(([row, column]) => `${row} ${column}`));
    cells.forEach((line, row) =>
      line.forEach((made, column) => {
        made.setAttribute("aria-selected", selected([row, column]));
        made.classList.toggle("bert-framed", framed.has(`${row} ${column}`));
      }),
    );
    rest();
  };
  const moveTo = (place) => {
    cells[stop[0]]?.[stop[1]]?.setAttribute("tabindex", -1);
    stop = place;
    cells[place[0]][place[1]].setAttribute("tabindex", 0);
    cells[place[0]][place[1]].focus();
  };

  table.addEventListener("pointerover", (event) => {
    const place = placeOf(event.target);
    if (place) report(place);
  });
  table.addEventListener("pointerleave", rest);
  table.addEventListener("focusin", (event) => report(placeOf(event.target)));
  table.addEventListener("focusout", () => report(model.get("selected")));
  table.addEventListener("click", (event) => {
    const place = placeOf(event.target);
    if (!place || !cells[place[0]]) return;
    moveTo(place);
    tell(model, "selected", place);
  });
  table.addEventListener("keydown", (event) => {
    const place = placeOf(event.target);
    if (!place) return;
    if (event.key === "Enter" || event.key === " ") {
      tell(model, "selected", place);
    } else {
      const next = destination(event, ...place, cells.length - 1, cells[0].length - 1);
      if (!next) return;
      moveTo(next);
    }
    event.preventDefault();
  });
  const data = ["rows", "columns", "values", "low", "high", "caption"];
  return follow({ model, el }, data, ["marked", "selected"], build, mark);
}

export default { render };
