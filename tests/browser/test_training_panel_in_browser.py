"""The training panel, in a real JupyterLab: by mouse and by keyboard, typed into, looked at.

Its buttons, and what happens to a run that is interrupted: `test_panel_runs_in_browser.py`.
"""

import os
import re

import pytest
from playwright.sync_api import expect
from test_widgets_in_browser import HOSTILE

pytestmark = pytest.mark.browser

PATIENCE = 600 if os.environ.get("BERT_TUTORIAL_SCREENSHOTS") else 120  # seconds

LOAD = """from pathlib import Path
from bert_tutorial import load_data_wiki
from bert_tutorial.studio.runs.saved_runs import SavedRuns
from bert_tutorial.pretraining.settings import MINUTE, RECIPES, Settings
from bert_tutorial.studio.widgets import TrainingPanel
train_iter, vocab = load_data_wiki(64, 64, "bundled")"""
SMALL = "Settings(num_steps=12, num_hiddens=32, num_layers=1, batch_size=32, sentences=2)"


def open_panel(lab, name: str, settings: str = SMALL) -> None:
    """A notebook with a panel, run; it keeps its runs in a folder of its own."""
    kept = f"SavedRuns(Path('kept_{name}'))"
    panel = f"panel = TrainingPanel(train_iter, settings={settings}, kept={kept})\npanel"
    lab.open_cells(f"{name}.ipynb", LOAD, panel)
    lab.run_all()
    lab.page.get_by_text("Choose, then press Start.").wait_for()


def set_number(page, label: str, value: object) -> None:
    field = page.get_by_label(label, exact=True)
    field.press("Control+a")
    field.press_sequentially(str(value))
    field.press("Enter")


def button(page, name: str):
    return page.get_by_role("button", name=name, exact=True).last


def status(page):
    return page.locator(".bert-lab-status").last


def expect_status(page, text: str) -> None:
    """Wait until the status line says this; a run may take long on a busy machine."""
    expect(status(page)).to_contain_text(text, timeout=PATIENCE * 1000)


def ask_kernel(page, code: str) -> str:
    """Run code as another cell would; gives what it prints."""
    return page.evaluate(
        """async code => {
            const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
            const future = kernel.requestExecute({code});
            let printed = "";
            future.onIOPub = message => { printed += message.content.text ?? ""; };
            const reply = await future.done;
            if (reply.content.status !== "ok") throw new Error(reply.content.evalue);
            return printed.trim();
        }""",
        code,
    )


def show(page, name: str) -> None:
    page.get_by_label("Show", exact=True).select_option(name)
    {
        "what it learns": page.get_by_label("Your guess"),
        "experiments": page.get_by_role("button", name="Run experiment"),
        "runs": page.get_by_role("button", name="Save CSV"),
    }[name].wait_for()


def expect_numbers(page, **values: object) -> None:
    for label, value in values.items():
        field = page.get_by_label(label.replace("_", " "), exact=True)
        expect(field).to_have_value(str(value))


FOCUSED = """() => { const it = document.activeElement;
return it.getAttribute("aria-label") ?? it.labels?.[0]?.innerText.trim() ?? it.innerText; }"""
NAMES = """Steps, Heads, Layers, Hidden units, Learning rate, Batch size, Mask rate %,
Sentences per segment, Dropout %, Rate of word vectors %, Seed"""


def test_settings_are_changed_by_keyboard_alone(lab):
    open_panel(lab, "panel_keys", "None")
    page = lab.page
    page.get_by_label("Settings", exact=True).focus()
    seen = []
    for _ in range(2 * 11 + 3 + 7):
        page.keyboard.press("Tab")
        seen.append(page.evaluate(FOCUSED))
    sliders = [name.strip().replace(" %", ", %") for name in NAMES.split(",")]
    expected = [each for name in sliders for each in (name, f"{name}, slider")]
    expected += ["Next-sentence game", "Start from word frequencies", "Optimizer", "Start"]
    expected += ["Pause", "Resume", "Stop", "Reset", "Keep for notebook 3", "Smoothing, %"]
    assert seen == expected
    page.get_by_role("slider", name="Steps, slider").focus()
    page.keyboard.press("Home")
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    for key in ["Tab", "Tab", "ArrowRight", "ArrowRight"]:
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
    assert len(list((lab.server.root / "kept_panel_keys").iterdir())) == 1
    assert page.locator(".jp-Notebook .jp-CodeCell").count() == 2
    assert lab.errors() == []


def test_a_run_by_mouse_its_guesses_and_the_table_of_runs(lab):
    open_panel(lab, "panel_mouse")
    page = lab.page
    steps = page.get_by_role("slider", name="Steps, slider")
    steps.click(position={"x": 90, "y": 6})
    assert 1000 < int(page.get_by_label("Steps", exact=True).input_value()) < 4000
    set_number(page, "Steps", 12)
    box = page.get_by_role("slider", name="Heads, slider").bounding_box()
    page.get_by_role("slider", name="Heads, slider").click(
        position={"x": box["width"] - 4, "y": box["height"] / 2}
    )
    expect_numbers(page, Heads=16)

    set_number(page, "Steps", -5)
    expect_numbers(page, Steps=1)
    set_number(page, "Steps", "many")  # a number field takes the e of "many" for none either
    expect_numbers(page, Steps=1)
    set_number(page, "Hidden units", 128)
    set_number(page, "Heads", 7)
    expect_numbers(page, Heads=8, Hidden_units=128)
    set_number(page, "Hidden units", 96)
    set_number(page, "Heads", 5)
    expect_numbers(page, Heads=4)
    while ask_kernel(page, "print(panel.settings.num_heads)") != "4":  # it has heard of it
        page.wait_for_timeout(50)
    page.get_by_label("Settings", exact=True).select_option("learns in a minute")
    page.get_by_text(re.compile("Changed: Steps 1 → 430, Heads 4 → 2")).wait_for()
    for name, value in (("Hidden units", 32), ("Steps", 8), ("Batch size", 16)):
        set_number(page, name, value)
    expect_numbers(page, Settings="mine")

    page.get_by_label("Sentence with <mask>").fill(f"the <mask> laid two eggs {HOSTILE}")
    page.get_by_label("Sentence with <mask>").press("Enter")
    page.get_by_label("Your guess").fill("The")
    page.get_by_label("Your guess").press("Enter")
    button(page, "Start").click()
    expect_status(page, "run 1: finished after 8 steps with 2 heads")
    page.get_by_text(re.compile("Your guess, the, is guess [1-5] now")).wait_for()
    page.get_by_text("✓ the").first.wait_for()
    page.get_by_text("two eggs <img src=x").wait_for()
    page.get_by_text("senses right").wait_for()
    page.get_by_alt_text(re.compile("Training loss of the masked words")).first.wait_for()
    set_number(page, "Heads", 4)
    button(page, "Start").click()
    expect_status(page, "run 2: finished after 8 steps with 4 heads")

    show(page, "runs")
    for name in ("run 1", "run 2"):
        page.get_by_role("checkbox", name=f"Show {name}").check()
    page.get_by_alt_text(re.compile("run 1.*run 2")).wait_for()
    page.get_by_role("cell", name="4 (differs)").or_(
        page.get_by_role("cell", name="2 (differs)")
    ).first.wait_for()
    button(page, "Rename run 2").click()
    page.get_by_label("New name of run 2").fill(f"four {HOSTILE[:40]}")
    page.keyboard.press("Enter")
    page.get_by_alt_text(re.compile("run 1.*four <img")).wait_for()
    button(page, "Delete run 1").click()
    button(page, "Yes, delete run 1").click()
    expect(page.get_by_role("checkbox", name="Show run 1")).to_have_count(0)
    page.get_by_text("Runs of this text: 1.").wait_for()
    assert page.title() != "broken into" and page.locator("img[src='x']").count() == 0

    show(page, "experiments")
    page.get_by_label("What will happen?").fill("nothing")
    button(page, "Run experiment").click()
    page.get_by_text("Run 1 of 4 is on its way.").wait_for()
    button(page, "Stop").click()
    expect_status(page, "heads 1: stopped after")
    expect(button(page, "Run experiment")).to_have_attribute("aria-disabled", "false")
    page.get_by_text("Run 1 of 4 is on its way.").wait_for(state="detached")
    assert lab.errors() == []


def too_wide(page) -> list[str]:
    """Classes of what is wider than its place."""
    return page.evaluate(
        """() => [document.documentElement, ...document.querySelectorAll(
            ".jp-WindowedPanel-outer, .jp-OutputArea-output, .bert-view")]
            .filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.className)"""
    )


def test_the_panel_is_well_laid_out_in_both_themes(lab, pictures):
    is_looked_at = bool(os.environ.get("BERT_TUTORIAL_SCREENSHOTS"))
    open_panel(lab, "panel_looks", os.environ.get("PANEL_LOOK", SMALL))
    page = lab.page
    button(page, "Start").click()
    expect_status(page, "run 1: finished after")
    set_number(page, "Steps", 12)
    set_number(page, "Heads", 4)
    set_number(page, "Batch size", 32)
    button(page, "Start").click()
    expect_status(page, "run 2: finished after 12 steps")
    show(page, "runs")
    for name in ("run 1", "run 2"):
        page.get_by_role("checkbox", name=f"Show {name}").check()
    for theme in ("Light", "Dark"):
        lab.set_theme(theme)
        for name in ("what it learns", "experiments", "runs"):
            show(page, name)
            assert lab.axe() == []
            for width in (900, 1280):
                page.set_viewport_size({"width": width, "height": 800})
                assert too_wide(page) == []
                if is_looked_at:
                    lab.screenshot(pictures / f"panel {name} {theme.lower()} {width}.png")
    lab.set_theme("Light")
    assert lab.errors() == []
