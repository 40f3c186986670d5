// TokenChips: the tokens of a sentence, as buttons.

function chip({ text, note, is_unknown: isUnknown }, index) {
  const made = element("button", {
    type: "button",
    class: isUnknown ? "bert-chip bert-unknown" : "bert-chip",
    "data-key": `chip-${index}`,
    "data-index": index,
  });
  const word = element("span", { class: "bert-word" }, String(text ?? ""));
  if (isUnknown) {
    word.append(element("span", { class: "bert-sign", "aria-hidden": "true" }, "?"));
    word.append(element("span", { class: "bert-hidden" }, " (unknown)"));
    made.title = "not in the vocabulary";
  }
  made.append(word);
  if (note) made.append(" ", element("small", {}, String(note)));
  return made;
}

function render({ model, el }) {
  const group = element("div", { class: "bert-chips", role: "group" });
  el.append(group);
  group.addEventListener("click", (event) => {
    const index = event.target.closest("button")?.dataset.index;
    if (index === undefined) return;
    const count = (model.get("clicked").count ?? 0) + 1;
    tell(model, "clicked", { index: Number(index), count });
  });
  const build = () => {
    group.setAttribute("aria-label", model.get("label"));
    group.replaceChildren(...model.get("tokens").map(chip));
  };
  const mark = () => {
    const chosen = new Set(model.get("chosen"));
    [...group.children].forEach((made, i) => made.setAttribute("aria-pressed", chosen.has(i)));
  };
  return follow({ model, el }, ["tokens", "label"], ["chosen"], build, mark);
}

export default { render };
