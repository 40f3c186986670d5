"""The table of runs in a real browser: by mouse and by keys, and while its rows change."""

import pytest
from playwright.sync_api import expect

from bert_tutorial.studio.widgets.views import RunTable

pytestmark = pytest.mark.browser

HOSTILE = "<b>x</b> \"'][<script>document.title='broken into'</script>"
COLUMNS = ["layers", "heads", "hidden size", "optimizer", "validation loss", "time"]


def run(id: str, name: str, heads: str, state: str = "finished", colour: str = "") -> dict:
    return {
        "id": id, "name": name, "cells": ["4", heads, "256", "Muon", "3.21", "120 s"],
        "marked": [1] if heads != "4" else [], "state": state, "can_go_on": state == "stopped",
        "colour": colour, "dash": "6 3",
    }  # fmt: skip


RUNS = [run("a", "first run", "4", colour="#1170aa"), run("b", "heads 2", "2", "stopped"),
        run('"c"]', HOSTILE, "8", colour="black"), run("d", "never begun", "4")]  # fmt: skip


@pytest.fixture
def table(blank):
    """A table that does what it is asked for."""
    table = RunTable(caption="Runs so far", rows=RUNS, ticked=["a"], columns=COLUMNS)

    def answer(change: dict) -> None:
        told = change["new"]
        going = {"state": "running", "can_go_on": False}
        news = {"rename": {"name": told["name"]}, "go_on": going}.get(told["action"], {})
        rows = [row | news if row["id"] == told["id"] else row for row in table.rows]
        is_gone = told["action"] == "delete"
        table.rows = [row for row in rows if not (is_gone and row["id"] == told["id"])]

    table.observe(answer, "event")
    blank.show(table)
    return table


@pytest.fixture
def button(page):
    """Function that finds a button."""
    return lambda name: page.get_by_role("button", name=name, exact=True)


def event(action: str, id: str, name: str, count: int) -> dict:
    return {"action": action, "id": id, "name": name, "count": count}


def test_runs_are_ticked_renamed_gone_on_with_and_deleted(blank, page, table, button):
    whole = page.get_by_role("table", name="Runs so far")
    heads = ["Show", "Run", *COLUMNS, "State", "Actions"]
    expect(whole.get_by_role("columnheader")).to_have_text(heads)
    expect(whole.get_by_role("rowheader", name=HOSTILE)).to_have_text(HOSTILE)
    expect(whole.get_by_role("cell", name="2 (differs)", exact=True)).to_have_count(1)
    expect(page.locator("td b", has_text="(differs)")).to_have_count(2)
    expect(page.get_by_text("◆ differs from the other runs")).to_be_visible()
    samples = whole.locator("tbody svg")
    assert [sample.is_visible() for sample in samples.all()] == [True, False, True, False]
    expect(page.get_by_label("Show first run")).to_be_checked()
    page.get_by_label("Show heads 2").check()
    page.get_by_label("Show first run").uncheck()
    blank.has(ticked=["b"])
    table.ticked = ["d"]
    expect(page.get_by_label("Show never begun")).to_be_checked()
    expect(page.get_by_label("Show heads 2")).not_to_be_checked()

    button("Rename heads 2").click()
    page.get_by_label("New name of heads 2").fill(" two heads ")
    whole.click(position={"x": 5, "y": 5})  # it is left
    blank.has(event=event("rename", "b", "two heads", 1))
    expect(button("Go on never begun")).to_have_count(0)
    button("Go on two heads").click()
    blank.has(event=event("go_on", "b", "two heads", 2))
    row = page.get_by_role("row", name="two heads")
    expect(row).to_contain_text("running")
    expect(button("Go on two heads")).to_have_count(0)
    expect(button("Rename two heads")).to_be_focused()

    button("Delete two heads").click()
    expect(row).to_contain_text("Delete for good?")
    button("No, keep two heads").click()
    button(f"Delete {HOSTILE}").click()
    button(f"Yes, delete {HOSTILE}").click()
    blank.has(event=event("delete", '"c"]', HOSTILE, 3))
    expect(page.get_by_role("row")).to_have_count(4)
    expect(button("Delete never begun")).to_be_focused()  # the next row
    table.rows = []
    expect(page.get_by_text("No runs yet.")).to_be_focused()
    expect(whole).to_have_count(0)
    table.rows = [run("e", "again", "4")]
    expect(page.get_by_role("row", name="again")).to_be_visible()
    expect(page.get_by_text("differs from")).to_be_hidden()


def test_everything_is_reached_by_keys(blank, page, table, button):
    press, field = blank.press, page.get_by_label("New name of heads 2")
    page.get_by_role("region", name="Runs so far").focus()
    press("Tab", "Tab", "Tab", "Tab", "Space")  # past a box and two buttons of the first row
    blank.has(ticked=["a", "b"])
    press("Tab", "Enter", *"dd2AX")  # letters that are commands of the notebook
    expect(field).to_have_value("dd2AX")
    press("Escape")
    expect(button("Rename heads 2")).to_be_focused()
    expect(field).to_be_hidden()
    press("Enter")
    expect(field).to_have_value("heads 2")
    press("Enter", "Space", *"two", "Enter")  # the same name is no event
    blank.has(event=event("rename", "b", "two", 1))
    expect(button("Rename two")).to_be_focused()
    press("Tab", "Enter")
    expect(button("No, keep two")).to_be_focused()
    press("Escape")
    expect(button("Delete two")).to_be_focused()
    press("Tab", "Enter")
    blank.has(event=event("go_on", "b", "two", 2))
    expect(button("Rename two")).to_be_focused()
    press("Tab", "Enter", "Shift+Tab", "Enter")
    blank.has(event=event("delete", "b", "two", 3))
    expect(button(f"Delete {HOSTILE}")).to_be_focused()
    assert blank.passed_on() <= {"Tab", "Shift"}


def test_nothing_is_lost_while_rows_change(blank, page, table, button):
    def change() -> None:
        """As rows do while a run trains: a cell changes, and so does the order."""
        step = int(table.rows[0]["cells"][-1].removesuffix(" s")) + 1
        rows = [row | {"cells": [*row["cells"][:-1], f"{step} s"]} for row in table.rows]
        table.rows = [rows[0], *rows[:0:-1]]
        expect(page.get_by_role("cell", name=f"{step} s")).to_have_count(4)

    button("Delete never begun").click()
    button("Rename heads 2").click()
    blank.press(*"two")
    change()
    expect(page.get_by_label("New name of heads 2")).to_be_focused()
    blank.press("ArrowLeft")
    change()
    blank.press("-", "Enter")  # the cursor has kept its place
    expect(page.get_by_role("rowheader", name="tw-o")).to_be_visible()
    for each in (
        button("Rename tw-o"),
        button("No, keep never begun"),  # the question is still open
        page.get_by_label("Show tw-o"),
    ):
        each.focus()
        change()
        expect(each).to_be_focused()
    blank.press("Space")
    expect(page.get_by_label("Show tw-o")).to_be_checked()
