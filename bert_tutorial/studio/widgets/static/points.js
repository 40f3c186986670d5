// PointMap: points in a plane, of which several can be selected.

const [WIDTH, HEIGHT, MARGIN] = [640, 400, 34]; // in the drawing's own units
const CLOSE = 4; // pixels that the pointer may move in a click
const MOST_LISTED = 30;
const TYPED = "typed"; // a kind: larger, with its label beside it
const HINT = "Point at a point to read its sentence; drag a rectangle to select several.";
const COLOURS = ["#1170aa", "#fc7d0b", "#2e9e77", "#b66dbd", "#8d99a6", "#5fa2ce"];
const SHAPES = [
  "M-5,0 A5,5 0 1,1 5,0 A5,5 0 1,1 -5,0 Z", // circle
  "M-4.5,-4.5 H4.5 V4.5 H-4.5 Z", // square
  "M0,-6 L5.5,4.5 H-5.5 Z", // triangle
  "M0,-6.5 L6.5,0 L0,6.5 L-6.5,0 Z", // diamond
  "M-2,-6 H2 V-2 H6 V2 H2 V6 H-2 V2 H-6 V-2 H-2 Z", // cross
  "M0,6 L5.5,-4.5 H-5.5 Z", // triangle, standing on its tip
  "M-6,-1.5 L0,-6.5 L6,-1.5 L3.7,5 H-3.7 Z", // pentagon
];

// A group's shape; there are more pairs of shape and colour than anybody has groups.
function symbol(number, attributes = {}) {
  const fill = COLOURS[number % COLOURS.length];
  return drawn("path", { d: SHAPES[number % SHAPES.length], fill, ...attributes });
}

function entry(number, text) {
  const attributes = { class: "bert-icon", viewBox: "-8 -8 16 16", "aria-hidden": "true" };
  return element("li", {}, drawn("svg", attributes, symbol(number)), text);
}

// From numbers to places between `start` and `end`; the smallest and the largest number with it.
function scale(numbers, start, end) {
  const [low, high] = [Math.min(...numbers), Math.max(...numbers)];
  const at = (number) =>
    high > low ? start + ((end - start) * (number - low)) / (high - low) : (start + end) / 2;
  return { at, low, high };
}

// In alphabetical order, as the axes have senses. Typed points come third, also where there is but
// one sense: then the second has no name.
function groupsOf(points) {
  const typed = points.filter((point) => point.kind === TYPED);
  const names = [...new Set(points.filter((point) => point.kind !== TYPED).map(groupOf))].sort();
  while (typed.length && names.length < 2) names.push(null);
  return [...new Set([...names, ...typed.map(groupOf)])];
}

function groupOf(point) {
  return String(point.group ?? "");
}

function said({ group, label, text, kind }) {
  const lead = [group, kind === TYPED ? label : ""].filter(Boolean);
  return `${lead.join(", ")}: ${text ?? ""}`;
}

function render({ model, el }) {
  const [caption, status] = [block("bert-caption"), statusLine()];
  const drawing = drawn("svg", { class: "bert-map", viewBox: `0 0 ${WIDTH} ${HEIGHT}` });
  const frame = drawn("g", { "aria-hidden": "true" });
  const layer = drawn("g", { role: "listbox", "aria-multiselectable": "true" });
  const rectangle = drawn("rect", { class: "bert-rectangle", visibility: "hidden" });
  drawing.append(frame, layer, rectangle);
  const legend = element("ul", { class: "bert-groups", "aria-label": "Groups" });
  const clear = element("button", { type: "button" }, "Clear selection");
  const count = element("span");
  const list = element("ul", { class: "bert-list" });
  const listHead = block("bert-list-head", count, clear);
  el.append(caption, drawing, legend, status, listHead, list);
  let points = []; // from left to right, each with its `index` in the trait, and `at`: [x, y]
  let groups = []; // their names; the place in this list gives shape and colour
  let drawnPoints = [];
  let start = null; // where the pointer went down

  const numberOf = (point) => groups.indexOf(groupOf(point));
  const report = () => {
    const current = items.current();
    drawnPoints.forEach((made, i) => made.classList.toggle("bert-near", i === current));
    status.textContent = points[current] ? said(points[current]) : HINT;
  };
  const select = (indices) => tell(model, "selected", [...new Set(indices)]);
  const toggle = (place) => {
    const [selected, { index }] = [model.get("selected"), points[place]];
    const others = selected.filter((each) => each !== index);
    select(others.length < selected.length ? others : [...selected, index]);
  };

  const drawFrame = (x, y) => {
    const bottom = HEIGHT - 10;
    const size = { width: WIDTH - MARGIN - 8, height: HEIGHT - MARGIN - 8 };
    frame.replaceChildren(drawn("rect", { class: "bert-frame", x: MARGIN, y: 8, ...size }));
    if (!points.length) return;
    const below = (text, along, anchor) =>
      frame.append(drawn("text", { x: along, y: bottom, "text-anchor": anchor }, text));
    const beside = (text, along, anchor) => {
      const transform = `translate(16 ${along}) rotate(-90)`;
      frame.append(drawn("text", { transform, "text-anchor": anchor }, text));
    };
    below(decimals(x.low), MARGIN, "start");
    below(model.get("x_name"), WIDTH / 2, "middle");
    below(decimals(x.high), WIDTH - 8, "end");
    beside(decimals(y.low), HEIGHT - MARGIN, "start");
    beside(model.get("y_name"), HEIGHT / 2, "middle");
    beside(decimals(y.high), 8, "end");
  };
  const drawPoint = (point) => {
    const [x, y] = point.at;
    const isLarge = point.kind === TYPED;
    const made = drawn("g", {
      role: "option",
      class: isLarge ? "bert-point bert-typed" : "bert-point",
      transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})`,
      "aria-label": said(point),
      "data-key": `point-${point.index}`,
    });
    made.append(drawn("circle", { class: "bert-ring", r: isLarge ? 15 : 9.5 }));
    made.append(symbol(numberOf(point), isLarge ? { transform: "scale(1.8)" } : {}));
    if (!isLarge) return made;
    const isRight = x > 0.75 * WIDTH;
    // Labels of typed points that lie close together stand one under the other.
    const isBefore = (other) => {
      const [right, below] = [0, 1].map((axis) => Math.abs(other.at[axis] - point.at[axis]));
      return other.kind === TYPED && other.index < point.index && right < 190 && below < 13;
    };
    const down = 4 + 17 * points.filter(isBefore).length;
    const place = { x: isRight ? -17 : 17, y: down, "text-anchor": isRight ? "end" : "start" };
    made.append(drawn("text", place, point.label));
    return made;
  };
  const build = () => {
    const given = model.get("points");
    groups = groupsOf(given);
    const inner = 18; // so that no point lies on the frame
    const [left, bottom] = [MARGIN + inner, HEIGHT - MARGIN - inner];
    const x = scale(given.map((point) => point.x), left, WIDTH - 8 - inner);
    const y = scale(given.map((point) => point.y), bottom, 8 + inner);
    points = given
      .map((point, index) => ({ ...point, index, at: [x.at(point.x), y.at(point.y)] }))
      .sort((a, b) => a.at[0] - b.at[0]);
    drawFrame(x, y);
    drawnPoints = points.map(drawPoint);
    items.use(drawnPoints, 0);
    layer.replaceChildren(...drawnPoints);
    layer.append(...layer.querySelectorAll(".bert-typed")); // in front of the others
    caption.textContent = model.get("caption");
    const name = caption.textContent || "Map of points";
    layer.setAttribute("aria-label", `${name}: arrow keys move, Space selects`);
    const entries = groups.map((text, i) => text !== null && entry(i, text || "no group"));
    legend.replaceChildren(...entries.filter(Boolean));
    report();
  };
  const mark = () => {
    const given = model.get("points");
    const selected = model.get("selected").filter((index) => given[index]);
    const isSelected = ({ index }) => selected.includes(index);
    drawnPoints.forEach((made, i) => made.setAttribute("aria-selected", isSelected(points[i])));
    count.textContent = `${selected.length} selected`;
    listHead.hidden = !selected.length;
    const shown = selected.slice(0, MOST_LISTED).map((index) => given[index]);
    list.replaceChildren(...shown.map((point) => entry(numberOf(point), said(point))));
    const more = selected.length - MOST_LISTED;
    if (more > 0) list.append(element("li", {}, `and ${more} more`));
  };

  const at = (event) => {
    const box = drawing.getBoundingClientRect();
    const zoom = WIDTH / box.width;
    return [(event.clientX - box.left) * zoom, (event.clientY - box.top) * zoom];
  };
  // The nearest point that the pointer is close to, so that each can be reached where they crowd;
  // else the point whose label it is on, or -1.
  const nearest = (event) => {
    const [x, y] = at(event);
    const reach = (point) => (point.kind === TYPED ? 15 : 10);
    const distances = points.map((p) => Math.hypot(p.at[0] - x, p.at[1] - y) / reach(p));
    const least = Math.min(...distances);
    return least <= 1 ? distances.indexOf(least) : items.indexOf(event);
  };
  const pointed = (event) => (start ? items.current() : nearest(event)); // not in a drag
  const items = roving(drawing, { choose: toggle, changed: report, pointed });
  const corners = (event) => {
    const [a, b] = [start.at, at(event)];
    return [0, 1].map((axis) => [Math.min(a[axis], b[axis]), Math.max(a[axis], b[axis])]);
  };
  drawing.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    event.preventDefault(); // or text would be selected
    start = { at: at(event), x: event.clientX, y: event.clientY, place: nearest(event) };
    drawing.setPointerCapture(event.pointerId);
  });
  drawing.addEventListener("pointermove", (event) => {
    if (!start) return;
    start.isDrag ||= Math.hypot(event.clientX - start.x, event.clientY - start.y) > CLOSE;
    if (!start.isDrag) return;
    const [[x, right], [y, bottom]] = corners(event);
    furnish(rectangle, { x, y, width: right - x, height: bottom - y, visibility: "visible" });
  });
  const release = () => {
    start = null;
    rectangle.setAttribute("visibility", "hidden");
  };
  drawing.addEventListener("pointercancel", release);
  drawing.addEventListener("pointerup", (event) => {
    if (start?.isDrag) {
      const sides = corners(event);
      const isIn = ({ at }) => at.every((x, axis) => limited(x, ...sides[axis]) === x);
      const inside = points.filter(isIn).map((point) => point.index);
      select(event.shiftKey ? [...model.get("selected"), ...inside] : inside);
    } else if (start && start.place >= 0) {
      items.moveTo(start.place, { preventScroll: true });
      toggle(start.place);
    }
    release();
  });
  clear.addEventListener("click", () => {
    items.refocus({ preventScroll: true }); // the button is about to go
    select([]);
  });
  const data = ["points", "x_name", "y_name", "caption"];
  return follow({ model, el }, data, ["selected"], build, mark);
}

export default { render };
