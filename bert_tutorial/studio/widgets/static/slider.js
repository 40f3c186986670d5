// Sliders: a number field and a slider that follow each other; both have a name. The slider stands
// at whole places from `first` to `last`; a scale says which number belongs to which place.

const PLACES = 20; // in each power of ten; with more, rounding would lead back to the same place

const SCALES = {
  // Every whole number.
  whole(model) {
    const [first, last] = [model.get("min"), model.get("max")];
    const nearest = (number) => limited(Math.round(number), first, last);
    return { first, last, place: nearest, number: (place) => place, nearest };
  },

  // The numbers of a list only.
  listed(model) {
    const choices = model.get("choices");
    const place = (number) => {
      const distances = choices.map((choice) => Math.abs(choice - number));
      return distances.indexOf(Math.min(...distances));
    };
    const number = (at) => choices[at];
    return { first: 0, last: choices.length - 1, place, number, nearest: (x) => choices[place(x)] };
  },

  // Powers of ten lie evenly. Numbers between the ends have two significant digits.
  logarithmic(model) {
    const [low, high] = [model.get("min"), model.get("max")];
    const width = Math.log10(high / low);
    const last = Math.max(1, Math.floor(PLACES * width + 1e-9));
    const nearest = (number) => limited(number, low, high);
    const place = (number) =>
      width > 0 ? Math.round((last * Math.log10(nearest(number) / low)) / width) : 0;
    const number = (at) => {
      if (at <= 0 || at >= last) return at <= 0 ? low : high;
      return nearest(Number((low * 10 ** ((width * at) / last)).toPrecision(2)));
    };
    return { first: 0, last, place, number, nearest };
  },
};

function render({ model, el }) {
  const id = `bert-hint-${Math.random().toString(36).slice(2)}`;
  const [field, range] = ["number", "range"].map((type) =>
    element("input", { type, "data-key": type, "aria-describedby": id }),
  );
  const name = element("span");
  const hint = element("p", { class: "bert-hint", id });
  el.append(block("bert-slider", element("label", {}, name, field), range, hint));
  let scale;
  let shown; // the value in the field; what is being typed there stays until it changes
  const say = (number) => {
    field.value = number;
    range.setAttribute("aria-valuetext", number);
  };
  const show = () => {
    shown = model.get("value");
    range.value = scale.place(shown);
    say(shown);
  };
  const send = (number) => {
    tell(model, "value", scale.nearest(number));
    show(); // also where nothing changed: what was typed goes back
  };
  field.addEventListener("change", () => {
    const isNumber = field.value !== "" && Number.isFinite(Number(field.value));
    send(isNumber ? Number(field.value) : shown);
  });
  // Up and down lead from place to place, as on the slider, not to the next whole number.
  field.addEventListener("keydown", (event) => {
    const step = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    if (!step || field.value === "") return;
    event.preventDefault();
    const place = scale.place(Number(field.value)) + step;
    send(scale.number(limited(place, scale.first, scale.last)));
  });
  range.addEventListener("change", () => send(scale.number(Number(range.value))));
  range.addEventListener("input", () => say(scale.number(Number(range.value))));
  const build = () => {
    const kind = model.get("scale");
    scale = SCALES[kind](model);
    name.textContent = model.get("description");
    range.setAttribute("aria-label", `${model.get("description")}, slider`);
    [range.min, range.max] = [scale.first, scale.last];
    [field.min, field.max] = [scale.number(scale.first), scale.number(scale.last)];
    field.step = kind === "whole" ? 1 : "any";
    field.classList.toggle("bert-typed-only", kind !== "whole");
    const isBeingTyped = shown !== undefined && Number(field.value) !== shown;
    if (isBeingTyped) range.value = scale.place(shown);
    else show();
  };
  const mark = () => {
    if (model.get("value") !== shown) show();
    hint.textContent = model.get("hint");
    hint.hidden = !hint.textContent;
    field.disabled = range.disabled = model.get("disabled");
  };
  const data = ["description", "scale", "min", "max", "choices"];
  return follow({ model, el }, data, ["value", "hint", "disabled"], build, mark);
}

export default { render };
