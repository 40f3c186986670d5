// RunTable: a table of training runs. Its rows are changed in place, not made anew: they change
// twice a second while a run trains, and neither the focus nor what is being typed may be lost.

const MARK = "◆";
const LONGEST_NAME = 60; // characters, as many as are kept

function fill(cell, text, isMarked) {
  if (!isMarked) return write(cell, text);
  const mark = element("span", { "aria-hidden": "true" }, `${MARK} `);
  const words = element("span", { class: "bert-hidden" }, " (differs)");
  const marked = element("b", {}, mark, text, words);
  if (cell.textContent !== marked.textContent) cell.replaceChildren(marked);
}

// One row: `part` is its element, `show` brings it up to date, `focus` puts the focus into it.
// `send(action, id, name)` and `tick(id, isTicked)` pass on what a user does.
function runRow(id, send, tick) {
  const box = element("input", { type: "checkbox" });
  const line = drawn("line", { x1: 3, x2: 45, y1: 6, y2: 6, "stroke-width": 2 });
  const sample = drawn("svg", { viewBox: "0 0 48 12", "aria-hidden": "true" }, line);
  const name = element("span");
  const field = element("input", { type: "text", maxlength: LONGEST_NAME, hidden: "" });
  const label = block("bert-run", sample, name, field);
  const state = element("td");
  const [rename, remove, goOn, yes, no] = ["Rename", "Delete", "Go on", "Yes", "No"].map((text) =>
    element("button", { type: "button" }, text),
  );
  const actions = block("bert-actions", rename, remove, goOn);
  const question = element("div", { class: "bert-actions", role: "group", hidden: "" });
  question.append(element("b", {}, "Delete for good?"), yes, no);
  const head = [element("td", {}, box), element("th", { scope: "row" }, label)];
  const part = element("tr", {}, ...head, state, element("td", {}, actions, question));
  let [run, cells] = [{}, []];

  const openField = (isOpen) => {
    [field.hidden, name.hidden] = [!isOpen, isOpen];
    rename.classList.toggle("bert-away", isOpen); // it keeps its place
  };
  const endRename = (isKept) => {
    if (field.hidden) return;
    openField(false);
    const typed = field.value.trim();
    if (isKept && typed && typed !== run.name) send("rename", id, typed);
  };
  const focus = () => (actions.hidden ? no : remove).focus({ preventScroll: true });
  const askFirst = (isAsked) => {
    [question.hidden, actions.hidden] = [!isAsked, isAsked];
    focus();
  };
  box.addEventListener("change", () => tick(id, box.checked));
  rename.addEventListener("click", () => {
    openField(true);
    field.value = run.name ?? "";
    field.focus();
    field.select();
  });
  field.addEventListener("keydown", (event) => {
    const isEnd = ["Enter", "Escape"].includes(event.key) && !event.isComposing;
    if (event.key !== "Tab") event.stopPropagation(); // to the notebook, Escape is a command
    if (!isEnd) return;
    event.preventDefault();
    endRename(event.key === "Enter");
    rename.focus({ preventScroll: true });
  });
  field.addEventListener("blur", () => {
    if (focusedIn(field) !== field) endRename(true); // else it was the window that was left
  });
  remove.addEventListener("click", () => askFirst(true));
  no.addEventListener("click", () => askFirst(false));
  yes.addEventListener("click", () => {
    askFirst(false);
    send("delete", id, run.name);
  });
  question.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.preventDefault();
    event.stopPropagation();
    askFirst(false);
  });
  goOn.addEventListener("click", () => send("go_on", id, run.name));

  const show = (newest, columns) => {
    run = newest;
    const called = String(run.name ?? "");
    write(name, called);
    write(state, String(run.state ?? ""));
    const labels = { Show: box, "New name of": field, Rename: rename, Delete: remove };
    Object.assign(labels, { "Go on": goOn, "Yes, delete": yes, "No, keep": no });
    for (const [lead, each] of Object.entries(labels)) {
      each.setAttribute("aria-label", `${lead} ${called}`);
    }
    question.setAttribute("aria-label", `Delete ${called} for good?`);
    furnish(line, { stroke: run.colour || "none", "stroke-dasharray": run.dash || "none" });
    sample.classList.toggle("bert-away", !run.colour);
    if (focusedIn(goOn) === goOn && !run.can_go_on) rename.focus();
    goOn.hidden = !run.can_go_on;
    if (cells.length !== columns.length) {
      for (const cell of cells) cell.remove();
      cells = columns.map(() => element("td"));
      state.before(...cells);
    }
    const marked = run.marked ?? [];
    cells.forEach((cell, i) => fill(cell, String(run.cells?.[i] ?? ""), marked.includes(i)));
  };
  return { part, show, box, focus };
}

// Put the parts into this order. The one with the focus is not moved: it would lose the focus.
function arrange(body, parts, focused) {
  if (parts.every((part, i) => body.children[i] === part)) return;
  const still = parts.find((part) => part.contains(focused)) ?? parts[0];
  const place = parts.indexOf(still);
  if (still.parentNode !== body) body.append(still);
  for (const part of parts.slice(0, place)) still.before(part);
  body.append(...parts.slice(place + 1));
}

function render({ model, el }) {
  const caption = element("caption", { class: "bert-caption" });
  const head = element("tr");
  const body = element("tbody");
  const table = element("table", { class: "bert-runs" }, caption, element("thead", {}, head), body);
  const box = element("div", { class: "bert-scroll", role: "region", tabindex: 0 }, table);
  const legend = element("p", { class: "bert-note" }, `${MARK} differs from the other runs`);
  const empty = element("p", { tabindex: -1 }, "No runs yet.");
  el.append(block("bert-run-table", box, legend, empty));
  let rows = new Map(); // by id, in order

  const send = (action, id, name) => ask(model, "event", { action, id, name });
  const tick = (id, isTicked) => {
    const others = model.get("ticked").filter((each) => each !== id);
    tell(model, "ticked", isTicked ? [...others, id] : others);
  };
  const build = () => {
    const [runs, columns, name] = ["rows", "columns", "caption"].map((each) => model.get(each));
    write(caption, name);
    box.setAttribute("aria-label", `${name || "Training runs"}, table`);
    const headings = ["Show", "Run", ...columns, "State", "Actions"];
    head.replaceChildren(...headings.map((text) => element("th", { scope: "col" }, text)));
    const focused = focusedIn(el);
    const place = [...body.children].findIndex((part) => part.contains(focused));
    const before = rows;
    rows = new Map(runs.map(({ id }) => [id, before.get(id) ?? runRow(id, send, tick)]));
    for (const run of runs) rows.get(run.id).show(run, columns);
    for (const [id, row] of before) if (!rows.has(id)) row.part.remove();
    const left = [...rows.values()];
    arrange(body, left.map((row) => row.part), focused);
    box.hidden = !left.length;
    empty.hidden = !box.hidden;
    legend.hidden = !runs.some((run) => run.marked?.length);
    // The focus was in a row that is gone: it goes to the next one.
    const next = left[limited(place, 0, left.length - 1)] ?? empty;
    if (place >= 0 && !el.contains(focused)) next.focus();
  };
  const mark = () => {
    for (const [id, row] of rows) row.box.checked = model.get("ticked").includes(id);
  };
  return follow({ model, el }, ["caption", "columns", "rows"], ["ticked"], build, mark);
}

export default { render };
