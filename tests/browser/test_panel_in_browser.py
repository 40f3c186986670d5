"""The training panel in a real JupyterLab: by keys and mouse; runs paused, killed, saved.

The tests share a page and a kernel, in which each opens a new panel.
"""

import csv
import os
import re
import signal

import pytest
from playwright.sync_api import expect

from conftest import HOSTILE, Lab, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

LOAD = """import os
from bert_tutorial import load_data_wiki
from bert_tutorial.studio.widgets import TrainingPanel
train_iter, vocab = load_data_wiki(64, 64, "bundled")
print(os.getpid())"""
PANEL = """# A panel, whose runs are saved in a folder of their own.
os.environ["BERT_TUTORIAL_CACHE"] = "cache_{}"
panel = TrainingPanel(train_iter)
panel"""
CELLS = LOAD, "# A panel"
SMALL = {
    "Steps": 50,
    "Hidden units": 32,
    "Layers": 1,
    "Batch size": 32,
}  # a step takes milliseconds

FOCUSED = """() => { const it = document.activeElement;
return it.getAttribute("aria-label") ?? it.labels?.[0]?.innerText.trim() ?? it.innerText; }"""
SLIDERS = ["Steps", "Heads", "Layers", "Hidden units", "Learning rate", "Batch size",
           "Mask rate, %", "Sentences per segment", "Dropout, %", "Rate of word vectors, %",
           "Seed"]  # fmt: skip

# Press a button at the moment when the progress line says something.
PRESS = """async ([name, moment]) => {
    const line = () => document.querySelector(".widget-html-content:has(progress)")?.textContent;
    const button = () => [...document.querySelectorAll("button")]
        .find(each => each.textContent === name && each.ariaDisabled === "false");
    while (!button() || !RegExp(moment).test(line() ?? "")) {
        await new Promise(resolve => setTimeout(resolve, 4));
    }
    button().click();
}"""


def open_panel(lab, name: str, **numbers: object):
    """A new panel without runs; gives the page."""
    lab.run_cell("# A panel", PANEL.format(name))
    lab.page.get_by_text("Choose, then press Start.").wait_for()
    for name in ("Steps", "Heads"):  # views appear one by one
        lab.page.get_by_label(name, exact=True).last.wait_for()
    set_numbers(lab.page, **numbers)
    return lab.page


def set_numbers(page, **values: object) -> None:
    more = button(page, "More settings").last
    for label, value in values.items():
        if not page.get_by_label(label, exact=True).last.is_visible():
            more.click()
            page.get_by_label(label, exact=True).last.wait_for()
        field = page.get_by_label(label, exact=True).last
        field.press("Control+a")
        field.press_sequentially(str(value))
        field.press("Enter")


def expect_values(page, **values: object) -> None:
    for label, value in values.items():
        expect(page.get_by_label(label, exact=True)).to_have_value(str(value))


def button(page, name: str):
    return page.get_by_role("button", name=name, exact=True)


def expect_status(page, text: str) -> None:
    expect(page.locator(".bert-lab-status").last).to_contain_text(re.compile(text))


def press(page, name: str, answer: str, moment: str = "") -> None:
    """Press a button, perhaps at a moment, and wait for what the status line says."""
    page.evaluate(PRESS, [name, moment])
    expect_status(page, answer)


def show(page, name: str) -> None:
    page.get_by_label("Show", exact=True).last.select_option(name)


def test_settings_are_changed_by_keyboard_alone(shared_lab):
    page = open_panel(shared_lab, "keys")
    page.get_by_label("Settings", exact=True).focus()
    seen = []
    for _ in range(2 * len(SLIDERS) + 3 + 8):
        page.keyboard.press("Tab")
        seen.append(page.evaluate(FOCUSED))
        if seen[-1] == "More settings" and seen.count(seen[-1]) == 1:
            page.keyboard.press("Enter")
            page.get_by_label("Layers", exact=True).last.wait_for()
    expected = [each for name in SLIDERS for each in (name, f"{name}, slider")]
    buttons = ["Start", "Pause", "Resume", "Stop", "Reset", "Keep for notebook 3", "More settings"]
    rest = ["Next-sentence game", "Start from word frequencies", "Optimizer", "Smoothing, %"]
    assert seen == expected[:4] + buttons + expected[4:] + rest
    page.get_by_role("slider", name="Steps, slider").focus()
    for key in ["Home", *["ArrowRight"] * 5, "Tab", "Tab", "ArrowRight", "ArrowRight"]:
        page.keyboard.press(key)
    expect_values(page, Steps=6, Heads=8)
    set_numbers(page, **{"Batch size": 16, "Hidden units": 16})
    expect_values(page, Heads=8, Settings="mine")
    button(page, "Start").focus()
    page.keyboard.press("Enter")
    expect(button(page, "Start")).to_have_attribute("aria-disabled", "true")
    expect(button(page, "Start")).to_be_focused()
    for _ in range(9):  # no second run
        page.keyboard.press("Enter")
    expect_status(page, "run 1: finished after 6 steps with 8 heads")
    expect(button(page, "Start")).to_have_attribute("aria-disabled", "false")
    expect(button(page, "Start")).to_be_focused()
    show(page, "runs")
    expect(page.get_by_role("row")).to_have_count(2)
    assert page.locator(".jp-Notebook .jp-CodeCell").count() == 2
    assert shared_lab.errors() == []


def test_a_run_by_mouse_its_guesses_the_table_of_runs_and_an_experiment(shared_lab):
    page = open_panel(shared_lab, "mouse")
    page.get_by_role("slider", name="Steps, slider").click(position={"x": 90, "y": 6})
    assert 1000 < int(page.get_by_label("Steps", exact=True).input_value()) < 4000
    set_numbers(page, Steps="many")  # no field takes letters
    expect_values(page, Settings="mine")
    page.get_by_label("Settings", exact=True).select_option("learns in a minute")
    page.get_by_text("Changed: Steps ").wait_for()
    expect_values(page, Steps=540)
    set_numbers(page, **SMALL | {"Steps": 8})
    expect_values(page, Settings="mine")

    typed = {"Sentence with <mask>": f"the <mask> laid {HOSTILE}", "Your guess": "The"}
    for label, text in typed.items():
        page.get_by_label(label).fill(text)
        page.get_by_label(label).press("Enter")
    press(page, "Start", "run 1: finished after 8 steps with 2 heads")
    page.get_by_text(re.compile("Your guess, the, is guess [1-5] at step 8")).wait_for()
    for text in ("✓ the", "laid <img src=x", "senses right"):
        page.get_by_text(text).first.wait_for()
    page.get_by_alt_text(re.compile("Training loss of the masked words")).first.wait_for()
    press(page, "Keep for notebook 3", "run 1 is kept as it is after 8 steps: notebook 3")
    set_numbers(page, Heads=4)
    expect_values(page, Heads=4)
    press(page, "Start", "run 2: finished after 8 steps with 4 heads")

    show(page, "runs")
    for name in ("run 1", "run 2"):
        page.get_by_role("checkbox", name=f"Show {name}").check()
    page.get_by_alt_text(re.compile("run 1.*run 2")).wait_for()
    button(page, "Rename run 2").click()
    page.get_by_label("New name of run 2").fill(f"four {HOSTILE[:40]}")
    page.keyboard.press("Enter")
    page.get_by_alt_text(re.compile("run 1.*four <img")).wait_for()
    button(page, "Delete run 1").click()
    button(page, "Yes, delete run 1").click()
    expect(page.get_by_role("checkbox", name="Show run 1")).to_have_count(0)
    press(page, "Save PNG", r"Written: .*runs\.png")

    show(page, "experiments")
    press(page, "Run experiment", "heads 1")
    press(page, "Stop", "heads 1: stopped after")
    press(page, "Reset", "As at the beginning")
    expect_values(page, Steps=540)
    assert shared_lab.errors() == []


def pause_and_stop(lab, name: str) -> None:
    """Press the buttons in a new panel, at moments that matter."""
    page, paused, going = open_panel(lab, name), "is paused after step", "trains: 50 steps"
    page.get_by_label("Settings", exact=True).last.select_option("d2l's sizes")  # slow steps
    expect_values(page, Steps=50)
    press(page, "Start", "run 1 " + going)
    press(page, "Pause", paused, "reading held-out text")
    press(page, "Resume", going)
    press(page, "Pause", paused, "step [1-9] of 50, MLM")
    press(page, "Resume", going)
    press(page, "Stop", "stopped after", r"step \d+ of 50, MLM")
    press(page, "Start", "run 2 " + going)
    press(page, "Stop", "stopped after", "reading held-out text")
    press(page, "Start", "run 3 " + going)
    press(page, "Pause", paused)
    press(page, "Stop", "stopped after")
    assert lab.errors() == []


def test_runs_are_paused_and_stopped_at_any_moment(shared_lab):
    assert shared_lab.ask("return kernel.commsOverSubshells") == "perCommTarget"
    pause_and_stop(shared_lab, "buttons")


@pytest.mark.nightly
def test_runs_are_paused_and_stopped_where_messages_come_one_after_the_other(lab):
    save = "await window.jupyterapp.serviceManager.settings.save(...given)"
    settings = "@jupyterlab/apputils-extension:kernels-settings"
    lab.open_cells("empty.ipynb", "1")
    lab.ask(save, [settings, '{"commsOverSubshells": "disabled"}'])
    lab.open_cells("one_after_the_other.ipynb", *CELLS)
    assert lab.ask("return kernel.commsOverSubshells") == "disabled"
    pause_and_stop(lab, "in turn")
    lab.ask(save, [settings, "{}"])


def test_a_run_whose_kernel_is_killed_goes_on_as_if_nothing_had_been(shared_lab):
    page = open_panel(shared_lab, "killed", **SMALL | {"Steps": 20})
    press(page, "Start", "run 1 trains")
    press(page, "Pause", "is paused after step", "step [3-6] of 20")  # here it is saved,
    press(page, "Resume", "run 1 trains")  # and what comes now is lost
    page.get_by_text(re.compile(r"step ([89]|1\d) of 20")).wait_for()
    os.kill(int(shared_lab.output(0).inner_text()), signal.SIGKILL)
    page.get_by_role("dialog").get_by_role("button", name="Ok").click()
    shared_lab.wait_for("kernel?.status === 'idle'")
    shared_lab.run_all()
    set_numbers(page, **SMALL | {"Steps": 20})
    show(page, "runs")
    page.get_by_role("row", name="run 1").get_by_text("stopped").wait_for()
    button(page, "Go on run 1").click()
    expect_status(page, "run 1: finished after 20 steps")
    press(page, "Start", "run 2: finished after 20 steps")  # the same without an interruption
    press(page, "Save CSV", r"Written: .*runs\.csv")
    path = shared_lab.server.root / "runs.csv"
    wait_until(page, lambda: path.is_file() and len(path.read_text("utf-8").splitlines()) == 3)
    first, second = csv.DictReader(path.read_text("utf-8").splitlines())
    assert first["held_out_mlm_loss"] == second["held_out_mlm_loss"] != ""
    assert shared_lab.errors() == []


def test_after_a_reload_and_in_a_second_tab_the_run_that_goes_on_is_shown(lab):
    lab.open_cells("reloaded.ipynb", LOAD, PANEL.format("reloaded"))
    set_numbers(lab.page, **SMALL | {"Steps": 5000})
    press(lab.page, "Start", "run 1 trains")
    expect(lab.page.get_by_text("For the next run: ").last).to_be_visible()
    lab.ask("await commands.execute('docmanager:save')")
    lab.page.reload()
    press(lab.page, "Pause", "is paused after step", r"step \d+ of 5000, MLM")  # it has answered
    expect(lab.page.get_by_label("Steps", exact=True)).to_have_value("5000")
    second = Lab(lab.page.context.new_page(), lab.server)
    second.open("reloaded.ipynb")
    press(second.page, "Stop", "run 1: stopped after")
    expect_status(lab.page, "run 1: stopped after")
    field = second.page.get_by_label("Sentence with <mask>")
    field.fill("the bird sat on its <mask>")
    field.press("Enter")  # the network that has stopped answers
    second.page.get_by_text("“the bird sat on its <mask>”").wait_for()
    second.page.get_by_text("Asked before: ").first.wait_for()
    for theme in ("Light", "Dark"):
        second.set_theme(theme)
        assert second.too_wide(f"panel {theme}") == [] and second.axe() == []
    second.set_theme("Light")
    assert second.errors() == []
