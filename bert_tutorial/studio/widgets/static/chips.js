// TokenChips: the tokens of a sentence, as buttons.

function chip({ text, note, is_unknown: isUnknown }, index) {
  const word = element("span", {}, text);
  const small = note ? [" ", element("small", {}, note)] : [];
  const about = { type: "button", class: "bert-chip", "data-key": index };
  if (isUnknown) {
    Object.assign(about, { class: "bert-chip bert-unknown", title: "not in the vocabulary" });
    word.append(element("b", { class: "bert-sign", "aria-hidden": "true" }, "?"));
    word.append(element("span", { class: "bert-hidden" }, " (unknown)"));
  }
  return element("button", about, word, ...small);
}

function render({ model, el }) {
  const group = element("div", { class: "bert-chips", role: "group" });
  el.append(group);
  group.addEventListener("click", (event) => {
    const chosen = event.target.closest("button");
    if (chosen) ask(model, "clicked", { index: Number(chosen.dataset.key) });
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
