"""The table of runs, in a real JupyterLab: by mouse and by keys, and while its rows change."""

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

HOSTILE = "<b>x</b> \"'][<script>document.title='broken into'</script>"
PREPARE = f"""import html
import threading
import ipywidgets as ipw
from bert_tutorial.studio.widgets.run_table import RunTable

def run(id, name, heads, state="finished", **more):
    cells = ["4", heads, "256", "Muon", "0.0020", "40 %", "3.21", "120 s"]
    return {{"id": id, "name": name, "cells": cells, "marked": [1] if heads != "4" else [],
            "state": state, "can_go_on": state == "stopped", "colour": "", "dash": "", **more}}

runs = [run("a", "first run", "4", colour="#1170aa"),
        run("b", "heads 2", "2", "stopped", colour="#c85200", dash="6 3"),
        run('"c"]', {HOSTILE!r}, "8", colour="black", dash="2 2"), run("d", "never begun", "4")]
table = RunTable(caption="Runs so far", rows=runs, ticked=["a"], columns=["layers", "heads",
    "hidden size", "optimizer", "learning rate", "masked", "validation loss", "time"])
line, lock = ipw.HTML(), threading.Lock()

def answer(change):
    with lock:
        obey()

def obey():
    told, rows = table.event, table.rows
    if told["action"] == "delete":
        rows = [row for row in rows if row["id"] != told["id"]]
    new = {{"rename": {{"name": told["name"]}},
           "go_on": {{"state": "running", "can_go_on": False}}}}
    table.rows = [row | (new.get(told["action"], {{}}) if row["id"] == told["id"] else {{}})
                  for row in rows]

def show(_=None):
    line.value = html.escape(f"state: {{table.ticked}} {{table.event}}")

table.observe(answer, "event")
table.observe(show, ["ticked", "event"])
show()
ipw.VBox([table, line])"""
# Rows change as they do while a run trains, and the order of the others with them.
TRAIN = """import itertools
stop = threading.Event()
def train():
    for step in itertools.count():
        if stop.wait(0.3):
            return
        with lock:
            rows = [row | {"cells": [*row["cells"][:7], f"{step} s"]} for row in table.rows]
            table.rows = [rows[0], *rows[:0:-1]]
threading.Thread(target=train, daemon=True).start()"""


@pytest.fixture
def tab(lab):
    """The page with the table; no error and no request elsewhere, and names are text."""
    expect.set_options(timeout=30_000)
    elsewhere = []
    own = (lab.server.url, lab.server.url.replace("http", "ws"), "data:", "blob:")
    lab.page.on("request", lambda r: r.url.startswith(own) or elsewhere.append(r.url))
    lab.open_cells("runs.ipynb", PREPARE)
    lab.run_all()
    lab.wait_idle()
    lab.page.get_by_role("table", name="Runs so far").wait_for()
    yield lab.page
    assert lab.errors() == [] and elsewhere == []
    assert lab.page.title() != "broken into"
    assert lab.page.locator(".bert-view b", has_text="x").count() == 0


def button(tab, name: str):
    return tab.get_by_role("button", name=name, exact=True)


def wait_for_state(tab, ticked: list, event: dict) -> None:
    expect(tab.locator(".widget-html-content")).to_have_text(f"state: {ticked} {event}")


def event(action: str, id: str, name: str, count: int) -> dict:
    return {"action": action, "id": id, "name": name, "count": count}


def run_in_kernel(tab, code: str) -> None:
    """Run code as another cell would, and wait until it is done."""
    tab.evaluate(
        """async code => {
            const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
            const reply = await kernel.requestExecute({code}).done;
            if (reply.content.status !== "ok") throw new Error(reply.content.evalue);
        }""",
        code,
    )


def wait_for_changes(tab, count: int = 3) -> None:
    """Wait until the rows have changed a few times."""
    last = tab.locator(".bert-runs tbody td:nth-last-child(3)").first
    for _ in range(count):
        expect(last).not_to_have_text(last.inner_text())


def test_runs_are_ticked_renamed_gone_on_with_and_deleted(tab):
    table = tab.get_by_role("table", name="Runs so far")
    expect(table.get_by_role("row")).to_have_count(5)
    expect(table.get_by_role("columnheader")).to_have_text(
        "Show,Run,layers,heads,hidden size,optimizer,learning rate,masked,validation loss,time,"
        "State,Actions".split(",")
    )
    expect(table.get_by_role("rowheader", name=HOSTILE)).to_have_text(HOSTILE)
    expect(table.get_by_role("cell", name="2 (differs)", exact=True)).to_have_count(1)
    expect(tab.locator(".bert-runs td b", has_text="(differs)")).to_have_count(2)
    expect(tab.get_by_label("Show first run")).to_be_checked()
    tab.get_by_label("Show heads 2").check()
    tab.get_by_label("Show first run").uncheck()
    wait_for_state(tab, ["b"], {})
    run_in_kernel(tab, "table.ticked = ['d']")
    expect(tab.get_by_label("Show never begun")).to_be_checked()
    expect(tab.get_by_label("Show heads 2")).not_to_be_checked()

    button(tab, "Rename heads 2").click()
    tab.get_by_label("New name of heads 2").fill(" two heads ")
    tab.get_by_role("table").click(position={"x": 5, "y": 5})  # it is left
    wait_for_state(tab, ["d"], event("rename", "b", "two heads", 1))
    expect(button(tab, "Go on never begun")).to_have_count(0)
    button(tab, "Go on two heads").click()
    wait_for_state(tab, ["d"], event("go_on", "b", "two heads", 2))
    row = tab.get_by_role("row", name="two heads")
    expect(row).to_contain_text("running")
    expect(button(tab, "Go on two heads")).to_have_count(0)
    expect(button(tab, "Rename two heads")).to_be_focused()

    button(tab, "Delete two heads").click()
    expect(row).to_contain_text("Delete for good?")
    button(tab, "No, keep two heads").click()
    button(tab, f"Delete {HOSTILE}").click()
    button(tab, f"Yes, delete {HOSTILE}").click()
    wait_for_state(tab, ["d"], event("delete", '"c"]', HOSTILE, 3))
    expect(tab.get_by_role("row")).to_have_count(4)
    expect(button(tab, "Delete never begun")).to_be_focused()  # the next row
    run_in_kernel(tab, "table.rows = []")
    expect(tab.get_by_text("No runs yet.")).to_be_focused()
    expect(tab.get_by_role("table")).to_have_count(0)
    run_in_kernel(tab, "table.rows = [run('e', 'again', '4')]")
    expect(tab.get_by_role("row", name="again")).to_be_visible()


def test_everything_is_reached_by_keys(tab):
    keys = tab.keyboard
    tab.get_by_role("region", name="Runs so far").focus()
    for key in ["Tab"] * 3 + ["Tab", "Space"]:  # box and two buttons of the first row
        keys.press(key)
    wait_for_state(tab, ["a", "b"], {})
    keys.press("Tab")
    expect(button(tab, "Rename heads 2")).to_be_focused()
    keys.press("Enter")
    field = tab.get_by_label("New name of heads 2")
    expect(field).to_be_focused()
    keys.type("dd 2 AX")  # letters that are commands of the notebook
    keys.press("Escape")
    expect(button(tab, "Rename heads 2")).to_be_focused()
    expect(field).to_be_hidden()
    keys.press("Enter")
    expect(field).to_have_value("heads 2")
    keys.press("Enter")  # the same name is no event
    keys.press("Space")
    keys.type("two")
    keys.press("Enter")
    wait_for_state(tab, ["a", "b"], event("rename", "b", "two", 1))
    expect(button(tab, "Rename two")).to_be_focused()
    keys.press("Tab")
    keys.press("Enter")
    expect(button(tab, "No, keep two")).to_be_focused()
    keys.press("Escape")
    expect(button(tab, "Delete two")).to_be_focused()
    keys.press("Tab")
    keys.press("Enter")
    wait_for_state(tab, ["a", "b"], event("go_on", "b", "two", 2))
    expect(button(tab, "Rename two")).to_be_focused()
    keys.press("Tab")
    keys.press("Enter")
    keys.press("Shift+Tab")
    keys.press("Enter")
    wait_for_state(tab, ["a", "b"], event("delete", "b", "two", 3))
    expect(button(tab, f"Delete {HOSTILE}")).to_be_focused()
    # The notebook has not taken any of the keys as a command.
    assert tab.locator(".jp-Notebook .jp-CodeCell").count() == 1


def test_nothing_is_lost_while_rows_change(tab):
    run_in_kernel(tab, TRAIN)
    button(tab, "Delete never begun").click()
    button(tab, "Rename heads 2").click()
    field = tab.get_by_label("New name of heads 2")
    field.fill("")
    for letter in "two":
        tab.keyboard.type(letter)
        wait_for_changes(tab, 2)
        expect(field).to_be_focused()
    tab.keyboard.press("ArrowLeft")
    wait_for_changes(tab)
    tab.keyboard.type("-")  # the cursor has kept its place
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("rowheader", name="tw-o")).to_be_visible()
    expect(button(tab, "Rename tw-o")).to_be_focused()
    wait_for_changes(tab)
    expect(button(tab, "Rename tw-o")).to_be_focused()
    button(tab, "No, keep never begun").focus()  # the question is still open
    wait_for_changes(tab)
    expect(button(tab, "No, keep never begun")).to_be_focused()
    tab.get_by_label("Show tw-o").focus()
    wait_for_changes(tab)
    tab.keyboard.press("Space")
    expect(tab.get_by_label("Show tw-o")).to_be_checked()
    wait_for_changes(tab)
    expect(tab.get_by_label("Show tw-o")).to_be_focused()
    run_in_kernel(tab, "stop.set()")


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_the_table_fits_the_page_in_both_themes(lab, tab, pictures, theme):
    lab.set_theme(theme)
    button(tab, "Delete never begun").click()
    button(tab, "Rename heads 2").click()
    for width in (900, 1280):
        tab.set_viewport_size({"width": width, "height": 700})
        tab.get_by_role("region", name="Runs so far").evaluate("box => box.scrollTo(0, 0)")
        too_wide = tab.evaluate(
            """() => [document.documentElement, ...document.querySelectorAll(
                ".jp-WindowedPanel-outer, .jp-OutputArea-output, .bert-view")]
                .filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.className)"""
        )
        assert too_wide == []
        lab.screenshot(pictures / f"runs-{theme.lower()}-{width}.png")
    assert lab.axe() == []
    lab.set_theme("Light")
