// What all views share. The Python side puts it in front of each view's own file.

const SVG = "http://www.w3.org/2000/svg"; // a name, not an address: nothing is fetched

// An element with attributes and children. Text goes in as text, whatever characters it holds.
function element(tag, attributes = {}, ...children) {
  return furnish(document.createElement(tag), attributes, children);
}

// The same for a part of a drawing.
function drawn(tag, attributes = {}, ...children) {
  return furnish(document.createElementNS(SVG, tag), attributes, children);
}

function furnish(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null) made.setAttribute(name, value);
  }
  made.append(...children);
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
  const soon = () => {
    frame ||= requestAnimationFrame(draw);
  };
  const soonAnew = () => {
    isStale = true;
    soon();
  };
  const each = (change) => {
    for (const name of data) change(`change:${name}`, soonAnew);
    for (const name of state) change(`change:${name}`, soon);
  };
  el.classList.add("bert-view");
  el.addEventListener("keydown", keepFromNotebook);
  each((name, listener) => model.on(name, listener));
  draw();
  return () => {
    cancelAnimationFrame(frame);
    el.removeEventListener("keydown", keepFromNotebook);
    each((name, listener) => model.off(name, listener));
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
  const focused = el.getRootNode().activeElement;
  const key = focused && el.contains(focused) ? focused.dataset.key : undefined;
  build();
  if (key !== undefined) {
    el.querySelector(`[data-key="${key}"]`)?.focus({ preventScroll: true });
  }
}

// Of many items one is reached by Tab, and the others from there by arrow keys.
function setTabStop(items, index) {
  items.forEach((item, i) => item.setAttribute("tabindex", i === index ? 0 : -1));
}

function tell(model, name, value) {
  model.set(name, value);
  model.save_changes();
}

function limited(value, low, high) {
  return Math.min(high, Math.max(low, value));
}

// Two decimals; no "-0.00".
function decimals(value) {
  return value.toFixed(2).replace(/^-(0\.00)$/, "$1");
}

// Dark blue to yellow by way of grey: told apart by lightness alone, and by colour-blind readers.
const STOPS = [
  [10, 38, 84],
  [62, 79, 112],
  [121, 122, 122],
  [180, 167, 104],
  [246, 224, 92],
];

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

