// ButtonRow: buttons that keep the focus. One that cannot be pressed now says so, and stays where
// it is: an element that is "disabled" would lose the focus, and with it a keyboard user's place.

function render({ model, el }) {
  const row = element("div", { class: "bert-buttons", role: "group" });
  el.append(row);
  const press = (name, button) => {
    if (button.getAttribute("aria-disabled") === "true") return;
    const count = (model.get("clicked").count ?? 0) + 1;
    tell(model, "clicked", { name, count });
  };
  const build = () => {
    row.setAttribute("aria-label", model.get("label"));
    row.replaceChildren(
      ...model.get("names").map((name) => {
        const button = element("button", { type: "button", "data-key": name }, name);
        button.addEventListener("click", () => press(name, button));
        return button;
      }),
    );
  };
  const mark = () => {
    for (const button of row.children) {
      button.setAttribute("aria-disabled", !model.get("active").includes(button.dataset.key));
    }
  };
  return follow({ model, el }, ["names", "label"], ["active"], build, mark);
}

export default { render };
