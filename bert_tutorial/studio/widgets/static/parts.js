// What all views share. The Python side puts it in front of each view's own file.

const SVG = "http://www.w3.org/2000/svg"; // a name, not an address: nothing is fetched

// An element with attributes and children. Text goes in as text, whatever characters it holds.
function element(tag, attributes = {}, ...children) {
  return furnish(document.createElement(tag), attributes, ...children);
}

// The same for a part of a drawing.
function drawn(tag, attributes = {}, ...children) {
  return furnish(document.createElementNS(SVG, tag), attributes, ...children);
}

function furnish(made, attributes, ...children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null) made.setAttribute(name, value);
  }
  made.append(...children.map((child) => child ?? ""));
  return made;
}

// Keep a view up to date: `build` makes its elements anew when one of the traits in `data` has
// changed, and `mark` then shows the traits in `state`. Both run once a frame, however many traits
// change. Returns a function that ends it.
function follow({ model, el }, data, state, build, mark = () => {}) {
  let frame = 0;
  let isStale = true;
  const draw = () => {
    frame = 0;
    if (isStale) keepingFocus(el, build);
    isStale = false;
    mark();
  };
  const soon = (isData) => {
    isStale ||= isData;
    frame ||= requestAnimationFrame(draw);
  };
  const listen = (name) => [`change:${name}`, () => soon(data.includes(name))];
  const heard = [...data, ...state].map(listen);
  el.classList.add("bert-view");
  el.addEventListener("keydown", keepFromNotebook);
  for (const [change, listener] of heard) model.on(change, listener);
  draw();
  return () => {
    cancelAnimationFrame(frame);
    el.removeEventListener("keydown", keepFromNotebook);
    for (const [change, listener] of heard) model.off(change, listener);
  };
}

// A notebook takes plain keys as commands: arrows would leave the cell, letters could delete it.
function keepFromNotebook(event) {
  const isPlain = !event.ctrlKey && !event.altKey && !event.metaKey && !event.shiftKey;
  const isCorner = event.ctrlKey && ["Home", "End"].includes(event.key);
  if ((isPlain || isCorner) && !["Tab", "Escape"].includes(event.key)) event.stopPropagation();
}

// Build anew, and give the focus back to the element with the same `data-key`, if there is one.
function keepingFocus(el, build) {
  const focused = focusedIn(el);
  const key = focused && el.contains(focused) ? focused.dataset.key : undefined;
  build();
  if (key !== undefined) el.querySelector(`[data-key="${key}"]`)?.focus({ preventScroll: true });
}

// The element with the focus, also where a front end hides the page's parts from one another.
function focusedIn(el) {
  return el.getRootNode().activeElement;
}

// Items in a box, of which one is reached by Tab and the others from there by keys. `use` takes the
// items; `current` is the index of the one that is pointed at or has the keyboard's focus,
// whichever came last, or -1, and `changed` is called when it becomes another. `steps` says which
// key leads where from an index, `choose` what Enter and Space do, and `pointed` which index a
// pointer event means, where that is not simply the item under the pointer.
function roving(box, { steps = inLine, choose, changed, pointed }) {
  let [items, stop, hovered, focused] = [[], 0, -1, -1];
  const indexOf = (event) => items.findIndex((item) => item.contains(event.target));
  const current = () => (hovered >= 0 ? hovered : focused);
  const attend = (nowHovered, nowFocused) => {
    const before = current();
    [hovered, focused] = [nowHovered, nowFocused];
    if (current() !== before) changed();
  };
  const setStop = (index) => {
    stop = limited(index, 0, items.length - 1);
    items.forEach((item, i) => item.setAttribute("tabindex", i === stop ? 0 : -1));
  };
  const use = (newItems, index = stop) => {
    items = newItems;
    [hovered, focused] = [-1, -1]; // set again if the focus comes back
    setStop(index);
  };
  const moveTo = (index, how) => {
    setStop(index);
    items[stop]?.focus(how);
  };
  const moving = pointed ? "pointermove" : "pointerover";
  box.addEventListener(moving, (event) => attend((pointed ?? indexOf)(event), focused));
  box.addEventListener("pointerleave", () => attend(-1, focused));
  box.addEventListener("focusin", (event) => {
    setStop(indexOf(event));
    if (event.target.matches(":focus-visible")) attend(-1, stop);
  });
  box.addEventListener("focusout", () => attend(hovered, -1));
  box.addEventListener("keydown", (event) => {
    const index = indexOf(event);
    if (index < 0) return;
    const places = steps(index, items.length - 1, event);
    if (event.key === "Enter" || event.key === " ") choose(index);
    else if (Object.hasOwn(places, event.key)) moveTo(places[event.key]);
    else return;
    event.preventDefault();
  });
  return { use, moveTo, current, indexOf, refocus: (how) => moveTo(stop, how) };
}

function inLine(index, last) {
  const [before, after] = [index - 1, index + 1];
  const arrows = { ArrowLeft: before, ArrowUp: before, ArrowRight: after, ArrowDown: after };
  return { ...arrows, Home: 0, End: last };
}

function tell(model, name, value) {
  model.set(name, value);
  model.save_changes();
}

// The same for something that is asked for: counted, so that the same twice is noticed as well.
function ask(model, name, details) {
  tell(model, name, { ...details, count: (model.get(name).count ?? 0) + 1 });
}

// Change a text only if it is another one: some readers announce it otherwise.
function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function block(name, ...children) {
  return element("div", { class: name }, ...children);
}

// A line that says what is pointed at.
function statusLine() {
  return element("div", { class: "bert-status", role: "status" });
}

function limited(value, low, high) {
  return Math.min(high, Math.max(low, value));
}

// Two decimals; no "-0.00".
function decimals(value) {
  return value.toFixed(2).replace(/^-(0\.00)$/, "$1");
}

// Dark blue to yellow by way of grey: told apart by lightness alone, and by colour-blind readers.
const STOPS = [[10, 38, 84], [62, 79, 112], [121, 122, 122], [180, 167, 104], [246, 224, 92]];

// Red, green and blue for a fraction from 0 to 1.
function colourAt(fraction) {
  const place = limited(fraction, 0, 1) * (STOPS.length - 1);
  const i = Math.min(Math.floor(place), STOPS.length - 2);
  return STOPS[i].map((from, part) => Math.round(from + (STOPS[i + 1][part] - from) * (place - i)));
}

// Black or white, whichever is read more easily on this colour (WCAG 2, relative luminance).
function inkOn(colour) {
  const [red, green, blue] = colour.map((part) => {
    const light = part / 255;
    return light <= 0.04045 ? light / 12.92 : ((light + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 ? "black" : "white";
}

