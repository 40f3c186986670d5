// NumberSlider: a number field and a slider that follow each other; both have a name.

function render({ model, el }) {
  const number = element("input", { type: "number", "data-key": "number" });
  const range = element("input", { type: "range", "data-key": "range" });
  const name = element("span");
  el.append(element("div", { class: "bert-slider" }, element("label", {}, name, number), range));
  const send = (typed) => {
    const { min, max } = Object.fromEntries(["min", "max"].map((key) => [key, model.get(key)]));
    const value = Math.round(Number(typed));
    if (typed !== "" && Number.isFinite(value)) {
      tell(model, "value", Math.min(max, Math.max(min, value)));
    }
    mark(); // also where nothing changed: what was typed goes back
  };
  number.addEventListener("change", () => send(number.value));
  range.addEventListener("change", () => send(range.value));
  range.addEventListener("input", () => {
    number.value = range.value;
  });
  const build = () => {
    name.textContent = model.get("description");
    range.setAttribute("aria-label", `${model.get("description")}, slider`);
    for (const input of [number, range]) {
      for (const key of ["min", "max"]) input[key] = model.get(key);
    }
  };
  const mark = () => {
    for (const input of [number, range]) input.value = model.get("value");
  };
  return follow({ model, el }, ["description", "min", "max"], ["value"], build, mark);
}

export default { render };
