"""The training panel in a real JupyterLab: by keys and mouse; runs interrupted, killed, saved."""

import csv
import os
import re
import signal

import pytest
from playwright.sync_api import expect

from conftest import HOSTILE, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

LOAD = """import os
os.environ["BERT_TUTORIAL_CACHE"] = {cache!r}
from bert_tutorial import BERTModel, load_data_wiki, train_bert
from bert_tutorial.studio.widgets import TrainingPanel
train_iter, vocab = load_data_wiki(64, 64, "bundled")
print(os.getpid())"""
PANEL = "panel = TrainingPanel(train_iter)\npanel"
SMALL = {"Hidden units": 32, "Layers": 1, "Batch size": 32}  # a step takes milliseconds

FOCUSED = """() => { const it = document.activeElement;
return it.getAttribute("aria-label") ?? it.labels?.[0]?.innerText.trim() ?? it.innerText; }"""
SLIDERS = """Steps, Heads, Layers, Hidden units, Learning rate, Batch size, Mask rate %,
Sentences per segment, Dropout %, Rate of word vectors %, Seed"""

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


def open_panel(lab, name: str, **numbers: object) -> None:
    """A notebook with a panel, run; its runs are saved in a folder of its own."""
    lab.open_cells(f"{name}.ipynb", LOAD.format(cache=f"cache_{name}"), PANEL)
    lab.page.get_by_text("Choose, then press Start.").wait_for()
    for label, value in numbers.items():
        set_number(lab.page, label, value)


def set_number(page, label: str, value: object) -> None:
    field = page.get_by_label(label, exact=True).last
    field.press("Control+a")
    field.press_sequentially(str(value))
    field.press("Enter")


def expect_numbers(page, **values: object) -> None:
    for label, value in values.items():
        expect(page.get_by_label(label, exact=True)).to_have_value(str(value))


def button(page, name: str):
    return page.get_by_role("button", name=name, exact=True)


def expect_status(page, text: str | re.Pattern) -> None:
    expect(page.locator(".bert-lab-status").last).to_contain_text(text)


def press(page, name: str, answer: str, moment: str = "") -> None:
    """Press a button, perhaps at a moment, and wait for what the status line says."""
    page.evaluate(PRESS, [name, moment])
    expect_status(page, re.compile(answer))


def show(page, name: str) -> None:
    page.get_by_label("Show", exact=True).last.select_option(name)


def test_settings_are_changed_by_keyboard_alone(lab):
    open_panel(lab, "keys")
    page = lab.page
    page.get_by_label("Settings", exact=True).focus()
    seen = []
    for _ in range(2 * 11 + 3 + 7):
        page.keyboard.press("Tab")
        seen.append(page.evaluate(FOCUSED))
    sliders = [name.strip().replace(" %", ", %") for name in SLIDERS.split(",")]
    expected = [each for name in sliders for each in (name, f"{name}, slider")]
    expected += ["Next-sentence game", "Start from word frequencies", "Optimizer", "Start"]
    expected += ["Pause", "Resume", "Stop", "Reset", "Keep for notebook 3", "Smoothing, %"]
    assert seen == expected
    page.get_by_role("slider", name="Steps, slider").focus()
    for key in ["Home", *["ArrowRight"] * 5, "Tab", "Tab", "ArrowRight", "ArrowRight"]:
        page.keyboard.press(key)
    expect_numbers(page, Steps=6, Heads=8)
    set_number(page, "Batch size", 16)
    set_number(page, "Hidden units", 16)
    expect_numbers(page, Heads=8, Settings="mine")
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
    assert lab.errors() == []


def test_a_run_by_mouse_its_guesses_the_table_of_runs_and_an_experiment(lab):
    open_panel(lab, "mouse")
    page = lab.page
    page.get_by_role("slider", name="Steps, slider").click(position={"x": 90, "y": 6})
    assert 1000 < int(page.get_by_label("Steps", exact=True).input_value()) < 4000
    for typed, value in ((-5, 1), ("many", 1), (12, 12)):  # no field takes letters
        set_number(page, "Steps", typed)
        expect_numbers(page, Steps=value)
    set_number(page, "Heads", 7)
    expect_numbers(page, Heads=8)
    set_number(page, "Hidden units", 96)
    set_number(page, "Heads", 5)
    expect_numbers(page, Heads=4)
    page.get_by_text(re.compile(r"\d parameters; about .* MB .*; about .* on this")).wait_for()
    page.get_by_label("Settings", exact=True).select_option("learns in a minute")
    page.get_by_text(re.compile("Changed: Steps 12 → 430, Heads 4 → 2")).wait_for()
    for label, value in {"Steps": 8, **SMALL}.items():
        set_number(page, label, value)
    expect_numbers(page, Settings="mine")

    typed = {"Sentence with <mask>": f"the <mask> laid {HOSTILE}", "Your guess": "The"}
    for label, text in typed.items():
        page.get_by_label(label).fill(text)
        page.get_by_label(label).press("Enter")
    press(page, "Start", "run 1: finished after 8 steps with 2 heads")
    page.get_by_text(re.compile("Your guess, the, is guess [1-5] now")).wait_for()
    for text in ("✓ the", "laid <img src=x", "senses right"):
        page.get_by_text(text).first.wait_for()
    page.get_by_alt_text(re.compile("Training loss of the masked words")).first.wait_for()
    press(page, "Keep for notebook 3", "run 1 is kept as it is after 8 steps: notebook 3")
    set_number(page, "Heads", 4)
    press(page, "Start", "run 2: finished after 8 steps with 4 heads")

    show(page, "runs")
    for name in ("run 1", "run 2"):
        page.get_by_role("checkbox", name=f"Show {name}").check()
    page.get_by_alt_text(re.compile("run 1.*run 2")).wait_for()
    expect(page.get_by_role("cell", name=re.compile(r"^[24] \(differs\)"))).to_have_count(1)
    button(page, "Rename run 2").click()
    page.get_by_label("New name of run 2").fill(f"four {HOSTILE[:40]}")
    page.keyboard.press("Enter")
    page.get_by_alt_text(re.compile("run 1.*four <img")).wait_for()
    button(page, "Delete run 1").click()
    button(page, "Yes, delete run 1").click()
    expect(page.get_by_role("checkbox", name="Show run 1")).to_have_count(0)
    press(page, "Save PNG", r"Written: .*runs\.png")
    assert page.title() != "broken into" and page.locator("img[src='x']").count() == 0

    show(page, "experiments")
    page.get_by_label("What will happen?").fill("nothing")
    press(page, "Run experiment", "heads 1")
    page.get_by_text("Run 1 of 4 is on its way.").wait_for()
    press(page, "Stop", "heads 1: stopped after")
    expect(button(page, "Run experiment")).to_have_attribute("aria-disabled", "false")
    expect(page.get_by_text("Run 1 of 4 is on its way.")).to_have_count(0)
    press(page, "Reset", "As at the beginning")
    expect_numbers(page, Steps=50)
    assert lab.errors() == []


# How widget messages come is JupyterLab's choice: on a thread of their own, or as before.
@pytest.mark.parametrize(
    "subshells", ["perCommTarget", pytest.param("disabled", marks=pytest.mark.nightly)]
)
def test_runs_are_paused_and_stopped_at_any_moment(lab, subshells):
    settings = "@jupyterlab/apputils-extension:kernels-settings"
    wanted = f"JSON.stringify({{commsOverSubshells: '{subshells}'}})"
    lab.open_cells("empty.ipynb", "1")
    lab.ask(f"await window.jupyterapp.serviceManager.settings.save('{settings}', {wanted})")
    open_panel(lab, f"buttons_{subshells}")
    assert lab.ask("return kernel.commsOverSubshells") == subshells
    page, paused, going = lab.page, "is paused after step", "trains: 50 steps"
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
    lab.ask(f"await window.jupyterapp.serviceManager.settings.save('{settings}', '{{}}')")


def test_a_cell_is_interrupted_and_the_network_stays_usable(lab):
    net = "net = BERTModel(len(vocab), num_hiddens=32, num_layers=1)\n"
    train = net + "run = train_bert(train_iter, net, 5000)"
    again = "again = train_bert(train_iter, net, 1)\nprint(len(again.history), 'step again')"
    lab.open_cells("interrupted.ipynb", LOAD.format(cache="cache_interrupted"), train, again)
    picture = lab.page.get_by_alt_text(re.compile("Training loss of the masked words"))
    picture.first.wait_for()
    lab.page.locator("[data-jp-item-name='interrupt']").click()
    lab.wait_idle()
    lab.page.get_by_text(re.compile(r"Stopped after step \d+ of 5000")).wait_for()
    lab.page.get_by_text("1 step again").last.wait_for()
    assert lab.errors() == []


def test_the_cell_run_again_takes_over_and_the_last_picture_is_saved(lab):
    open_panel(lab, "again", Steps=3000, **SMALL)
    page = lab.page
    press(page, "Start", "run 1 trains")
    page.get_by_alt_text(re.compile("Training loss")).first.wait_for()
    lab.run_cell(PANEL)
    expect(button(page, "Start")).to_have_count(1)
    expect_status(page, "run 1 trains: 3000 steps")
    expect(button(page, "Start")).to_have_attribute("aria-disabled", "true")
    press(page, "Stop", "run 1: stopped after", r"step \d+ of 3000, MLM")
    static = page.locator(".bert-lab-static")
    expect(static).to_contain_text("run 1: stopped after")
    said = page.locator(".bert-lab-status").inner_text()
    lab.ask("await commands.execute('docmanager:save')")
    assert lab.errors() == []
    lab.close()
    lab.open("again.ipynb")  # with a kernel that has run nothing
    expect(static).to_contain_text(said)
    expect(static).to_be_visible()
    picture = static.get_by_alt_text(re.compile("Training loss"))
    assert picture.evaluate("image => image.naturalWidth") > 300


def test_a_run_whose_kernel_is_killed_goes_on_as_if_nothing_had_been(lab):
    open_panel(lab, "killed", Steps=20, **SMALL)
    page = lab.page
    pid = int(page.locator(".jp-OutputArea-output").first.inner_text())
    press(page, "Start", "run 1 trains")
    press(page, "Pause", "is paused after step", "step [3-6] of 20")  # here it is saved,
    press(page, "Resume", "run 1 trains")  # and what comes now is lost
    page.get_by_text(re.compile(r"step ([89]|1\d) of 20")).wait_for()
    os.kill(pid, signal.SIGKILL)
    page.get_by_role("dialog").get_by_role("button", name="Ok").click()
    lab.wait_for("kernel?.status === 'idle'")
    lab.run_all()
    lab.wait_idle()
    for label, value in {"Steps": 20, **SMALL}.items():
        set_number(page, label, value)
    show(page, "runs")
    page.get_by_role("row", name="run 1").get_by_text("stopped").wait_for()
    button(page, "Go on run 1").click()
    expect_status(page, "run 1: finished after 20 steps")
    press(page, "Start", "run 2: finished after 20 steps")  # the same without an interruption
    press(page, "Save CSV", r"Written: .*runs\.csv")
    path = lab.server.root / "runs.csv"
    wait_until(page, lambda: path.is_file() and len(path.read_text("utf-8").splitlines()) == 3)
    first, second = csv.DictReader(path.read_text("utf-8").splitlines())
    assert first["held_out_mlm_loss"] == second["held_out_mlm_loss"] != ""
    assert lab.errors() == []
