// A line that says what goes on: one element from the start, so that screen readers announce it.
// While something goes on, it also says when the kernel has been silent for long.

const PATIENCE = 10; // seconds without a change
const LEAD = " No word from the kernel for ";
const ADVICE =
  ": it is busy, or was restarted. Then run this cell again; what was trained is kept.";

function render({ model, el }) {
  const text = element("span");
  const silence = element("span", { class: "bert-silence" });
  const line = element("p", { role: "status", class: "bert-lab-status" }, text, silence);
  el.append(line);
  // Only the number that is seen rises; a reader that announces changes hears the first one.
  const seen = element("span", { "aria-hidden": "true" });
  const heard = element("span", { class: "bert-hidden" }, `${PATIENCE} seconds`);
  let heardFrom = Date.now();

  const show = () => {
    heardFrom = Date.now();
    silence.replaceChildren();
    write(text, model.get("text"));
    line.classList.toggle("bert-error", model.get("is_error"));
  };
  const listen = () => {
    const seconds = Math.floor((Date.now() - heardFrom) / 1000);
    if (!model.get("is_going") || seconds < PATIENCE) return;
    seen.textContent = `${seconds} s`;
    if (!silence.hasChildNodes()) silence.append(LEAD, seen, heard, ADVICE);
  };
  show();
  const changes = ["text", "is_error", "is_going", "beat"].map((name) => `change:${name}`);
  for (const change of changes) model.on(change, show);
  const timer = setInterval(listen, 1000);
  return () => {
    clearInterval(timer);
    for (const change of changes) model.off(change, show);
  };
}

export default { render };
