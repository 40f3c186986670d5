// ButtonRow: buttons that keep the focus. One that cannot be pressed now says so, and stays where
// it is: an element that is "disabled" would lose the focus, and with it a keyboard user's place.

function render({ model, el }) {
  const row = element("div", { class: "bert-buttons", role: "group" });
  el.append(row);
  row.addEventListener("click", (event) => {
    const button = event.target.closest("button[aria-disabled='false']");
    if (button) ask(model, "clicked", { name: button.dataset.key });
  });
  const build = () => {
    row.setAttribute("aria-label", model.get("label"));
    const names = model.get("names");
    const button = (name) => element("button", { type: "button", "data-key": name }, name);
    row.replaceChildren(...names.map(button));
  };
  const mark = () => {
    for (const button of row.children) {
      button.setAttribute("aria-disabled", !model.get("active").includes(button.dataset.key));
      const isOpen = model.get("is_open"); // of one that folds
      if (isOpen !== undefined) button.setAttribute("aria-expanded", isOpen);
    }
  };
  return follow({ model, el }, ["names", "label"], ["active", "is_open"], build, mark);
}

export default { render };
