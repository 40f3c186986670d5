// PointMap: points in a plane, of which several can be selected.

const [WIDTH, HEIGHT, MARGIN] = [640, 400, 34]; // in the drawing's own units
const CLOSE = 4; // pixels that the pointer may move in a click
const MOST_LISTED = 30;
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

function icon(number) {
  const attributes = { class: "bert-icon", viewBox: "-8 -8 16 16", "aria-hidden": "true" };
  return drawn("svg", attributes, symbol(number));
}

// From numbers to places between `start` and `end`; the smallest and the largest number with it.
function scale(numbers, start, end) {
  const [low, high] = [Math.min(...numbers), Math.max(...numbers)];
  const at = (number) =>
    high > low ? start + ((end - start) * (number - low)) / (high - low) : (start + end) / 2;
  return { at, low, high };
}

function render({ model, el }) {
  const caption = element("div", { class: "bert-caption" });
  const drawing = drawn("svg", { class: "bert-map", viewBox: `0 0 ${WIDTH} ${HEIGHT}` });
  const frame = drawn("g", { "aria-hidden": "true" });
  const layer = drawn("g", { role: "listbox", "aria-multiselectable": "true" });
  const rectangle = drawn("rect", { class: "bert-rectangle", visibility: "hidden" });
  drawing.append(frame, layer, rectangle);
  const legend = element("ul", { class: "bert-groups", "aria-label": "Groups" });
  const status = element("div", { class: "bert-status", role: "status" });
  const clear = element("button", { type: "button" }, "Clear selection");
  const count = element("span");
  const list = element("ul", { class: "bert-list" });
  const listHead = element("div", { class: "bert-list-head" }, count, clear);
  el.append(caption, drawing, legend, status, listHead, list);
  let points = [];
  let places = []; // [x, y] of each point in the drawing
  let groups = []; // their names; the place in this list gives shape and colour
  let items = []; // the drawn points
  let order = []; // indices of points from left to right
  let start = null; // where the pointer went down

  const numberOf = (point) => groups.indexOf(String(point.group ?? ""));
  const said = (point) => {
    const lead = [point.group, point.kind === "typed" ? point.label : ""].filter(Boolean);
    return `${lead.join(", ")}: ${point.text ?? ""}`;
  };
  const report = (index) => {
    status.textContent = points[index] ? said(points[index]) : HINT;
  };
  const rest = () => report(items.indexOf(el.getRootNode().activeElement));
  const select = (indices) => tell(model, "selected", [...new Set(indices)]);
  const toggle = (index) => {
    const selected = model.get("selected");
    const others = selected.filter((each) => each !== index);
    select(others.length < selected.length ? others : [...selected, index]);
  };

  const drawFrame = (x, y) => {
    const text = (content, attributes) => drawn("text", attributes, content);
    const bottom = HEIGHT - 10;
    const turned = (along, anchor) => ({
      transform: `translate(16 ${along}) rotate(-90)`,
      "text-anchor": anchor,
    });
    const size = { width: WIDTH - MARGIN - 8, height: HEIGHT - MARGIN - 8 };
    frame.replaceChildren(drawn("rect", { class: "bert-frame", x: MARGIN, y: 8, ...size }));
    if (!points.length) return;
    frame.append(
      text(decimals(x.low), { x: MARGIN, y: bottom }),
      text(model.get("x_name"), { x: WIDTH / 2, y: bottom, "text-anchor": "middle" }),
      text(decimals(x.high), { x: WIDTH - 8, y: bottom, "text-anchor": "end" }),
      text(decimals(y.low), turned(HEIGHT - MARGIN, "start")),
      text(model.get("y_name"), turned(HEIGHT / 2, "middle")),
      text(decimals(y.high), turned(8, "end")),
    );
  };
  const drawPoint = (point, index) => {
    const [x, y] = places[index];
    const isTyped = point.kind === "typed";
    const made = drawn("g", {
      role: "option",
      class: isTyped ? "bert-point bert-typed" : "bert-point",
      transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})`,
      "aria-label": said(point),
      "data-key": `point-${index}`,
    });
    made.append(drawn("circle", { class: "bert-ring", r: isTyped ? 15 : 9.5 }));
    made.append(symbol(numberOf(point), isTyped ? { transform: "scale(1.8)" } : {}));
    if (isTyped) {
      const isRight = x > 0.75 * WIDTH;
      const place = { x: isRight ? -17 : 17, y: 4, "text-anchor": isRight ? "end" : "start" };
      made.append(drawn("text", place, String(point.label ?? "")));
    }
    return made;
  };
  const build = () => {
    points = model.get("points");
    groups = [...new Set(points.map((point) => String(point.group ?? "")))];
    const inner = 18; // so that no point lies on the frame
    const [left, bottom] = [MARGIN + inner, HEIGHT - MARGIN - inner];
    const x = scale(points.map((point) => point.x), left, WIDTH - 8 - inner);
    const y = scale(points.map((point) => point.y), bottom, 8 + inner);
    places = points.map((point) => [x.at(point.x), y.at(point.y)]);
    order = points.map((_, i) => i).sort((a, b) => places[a][0] - places[b][0]);
    drawFrame(x, y);
    items = points.map(drawPoint);
    setTabStop(items, order[0]);
    const isTyped = (item) => item.classList.contains("bert-typed");
    layer.replaceChildren(...items.filter((i) => !isTyped(i)), ...items.filter(isTyped));
    caption.textContent = model.get("caption");
    const name = model.get("caption") || "Map of points";
    layer.setAttribute("aria-label", `${name}: arrow keys move, Space selects`);
    const entry = (text, i) => element("li", {}, icon(i), text || "no group");
    legend.replaceChildren(...groups.map(entry));
    rest();
  };
  const mark = () => {
    const selected = model.get("selected").filter((index) => points[index]);
    items.forEach((item, i) => item.setAttribute("aria-selected", selected.includes(i)));
    count.textContent = `${selected.length} selected`;
    listHead.classList.toggle("bert-nothing", !selected.length);
    const entry = (index) =>
      element("li", {}, icon(numberOf(points[index])), said(points[index]));
    list.replaceChildren(...selected.slice(0, MOST_LISTED).map(entry));
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
    let [found, least] = [-1, Infinity];
    places.forEach((place, i) => {
      const reach = points[i].kind === "typed" ? 15 : 10;
      const distance = Math.hypot(place[0] - x, place[1] - y) / reach;
      if (distance <= 1 && distance < least) [found, least] = [i, distance];
    });
    return found >= 0 ? found : items.indexOf(event.target.closest(".bert-point"));
  };
  const hover = (index) => {
    items.forEach((item, i) => item.classList.toggle("bert-near", i === index));
    if (index >= 0) report(index);
    else rest();
  };
  const corners = (event) => {
    const [a, b] = [start.place, at(event)];
    return [0, 1].map((axis) => [Math.min(a[axis], b[axis]), Math.max(a[axis], b[axis])]);
  };
  const focusOn = (index) => {
    setTabStop(items, index);
    items[index].focus({ preventScroll: true });
  };
  drawing.addEventListener("pointerleave", () => hover(-1));
  layer.addEventListener("focusin", (event) => report(items.indexOf(event.target)));
  layer.addEventListener("focusout", () => report(-1));
  drawing.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    event.preventDefault(); // or text would be selected
    start = { place: at(event), x: event.clientX, y: event.clientY, index: nearest(event) };
    drawing.setPointerCapture(event.pointerId);
  });
  drawing.addEventListener("pointermove", (event) => {
    if (!start) return hover(nearest(event));
    start.isDrag ||= Math.hypot(event.clientX - start.x, event.clientY - start.y) > CLOSE;
    if (!start.isDrag) return;
    const [[x, right], [y, bottom]] = corners(event);
    const size = { x, y, width: right - x, height: bottom - y };
    furnish(rectangle, { ...size, visibility: "visible" }, []);
  });
  const release = () => {
    start = null;
    rectangle.setAttribute("visibility", "hidden");
  };
  drawing.addEventListener("pointercancel", release);
  drawing.addEventListener("pointerup", (event) => {
    if (start?.isDrag) {
      const box = corners(event);
      const isIn = ([low, high], value) => low <= value && value <= high;
      const inside = order.filter((i) => box.every((side, axis) => isIn(side, places[i][axis])));
      select(event.shiftKey ? [...model.get("selected"), ...inside] : inside);
    } else if (start && start.index >= 0) {
      focusOn(start.index);
      toggle(start.index);
    }
    release();
  });
  layer.addEventListener("keydown", (event) => {
    const place = order.indexOf(items.indexOf(event.target));
    const [next, before, last] = [place + 1, place - 1, order.length - 1];
    const ways = { ArrowRight: next, ArrowDown: next, ArrowLeft: before, ArrowUp: before };
    Object.assign(ways, { Home: 0, End: last });
    if (event.key === " " || event.key === "Enter") toggle(order[place]);
    else if (Object.hasOwn(ways, event.key)) focusOn(order[limited(ways[event.key], 0, last)]);
    else return;
    event.preventDefault();
  });
  clear.addEventListener("click", () => {
    const item = items.find((each) => each.getAttribute("tabindex") === "0");
    item?.focus({ preventScroll: true }); // the button is about to go
    select([]);
  });
  const data = ["points", "x_name", "y_name", "caption"];
  return follow({ model, el }, data, ["selected"], build, mark);
}

export default { render };
