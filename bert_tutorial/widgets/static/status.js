// A line that says what goes on: one element from the start, so that screen readers announce it.

function render({ model, el }) {
  const line = document.createElement("p");
  line.setAttribute("role", "status");
  line.className = "bert-lab-status";
  el.append(line);
  const show = () => {
    line.textContent = model.get("text");
    line.classList.toggle("bert-error", model.get("is_error"));
  };
  show();
  const names = "change:text change:is_error";
  model.on(names, show);
  return () => model.off(names, show);
}

export default { render };
