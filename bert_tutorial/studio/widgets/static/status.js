// A line that says what goes on: one element from the start, so that screen readers announce it.
// While something goes on, it also says when the kernel has been silent for long.

const PATIENCE = 10; // seconds without a change
const [LEAD, ADVICE] = [
  " No word from the kernel for ",
  ": it is busy, or was restarted. Then run this cell again; what was trained is kept.",
];

function span(className, text) {
  const made = document.createElement("span");
  if (className) made.className = className;
  made.textContent = text;
  return made;
}

function render({ model, el }) {
  const line = document.createElement("p");
  line.setAttribute("role", "status");
  line.className = "bert-lab-status";
  const text = span("", "");
  const silence = span("bert-silence", "");
  line.append(text, silence);
  el.append(line);
  // Only the number that is seen rises; a reader that announces changes hears the first one.
  const seen = span("", "");
  seen.setAttribute("aria-hidden", "true");
  const heard = span("bert-heard", `${PATIENCE} seconds`);
  let heardFrom = Date.now();

  const show = () => {
    heardFrom = Date.now();
    silence.replaceChildren();
    if (text.textContent !== model.get("text")) text.textContent = model.get("text");
    line.classList.toggle("bert-error", model.get("is_error"));
  };
  const listen = () => {
    const seconds = Math.floor((Date.now() - heardFrom) / 1000);
    if (!model.get("is_going") || seconds < PATIENCE) return;
    seen.textContent = `${seconds} s`;
    if (!silence.hasChildNodes()) silence.append(LEAD, seen, heard, ADVICE);
  };
  show();
  const names = "change:text change:is_error change:is_going change:beat";
  model.on(names, show);
  const timer = setInterval(listen, 1000);
  return () => {
    clearInterval(timer);
    model.off(names, show);
  };
}

export default { render };
