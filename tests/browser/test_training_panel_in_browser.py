"""The training panel, in a real JupyterLab: by mouse, by keyboard, interrupted, looked at."""

import re

import pytest

pytestmark = pytest.mark.browser

LOAD = """from bert_tutorial import load_data_wiki
from bert_tutorial.widgets import TrainingPanel
train_iter, vocab = load_data_wiki(512, 64, "bundled")"""
PANEL = "panel = TrainingPanel(train_iter, folder='.')\npanel"


def open_panel(lab, name: str, *more: str) -> None:
    """A notebook with a panel, run."""
    lab.open_cells(name, LOAD, PANEL, *more)
    lab.run_all()
    lab.page.get_by_role("button", name="Start", exact=True).wait_for()
    lab.page.get_by_text("Choose, then press Start.").wait_for()


def set_number(page, label: str, value: object) -> None:
    page.get_by_label(label, exact=True).fill(str(value))
    page.get_by_label(label, exact=True).press("Enter")


def press(page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def status(page):
    return page.locator(".bert-lab-status")


def test_a_run_from_start_to_end(lab, pictures):
    open_panel(lab, "panel_run.ipynb")
    page = lab.page
    set_number(page, "Steps", 12)
    set_number(page, "Heads", 4)
    set_number(page, "Batch size", 64)
    press(page, "Start")
    page.get_by_text(re.compile("trains: 12 steps, 4 heads")).wait_for()
    status(page).get_by_text("finished after 12 steps with 4 heads; held-out text: MLM").wait_for()
    page.get_by_alt_text(re.compile("Training loss of the masked words")).first.wait_for()
    page.get_by_text("senses right").wait_for()
    lab.screenshot(pictures / "training_panel_learned.png")
    page.get_by_label("Show", exact=True).select_option("runs")
    page.get_by_role("checkbox", name="Show run 1").check()
    page.get_by_alt_text(re.compile("Held-out loss of the masked words")).wait_for()
    lab.screenshot(pictures / "training_panel_runs.png")
    page.get_by_label("Show", exact=True).select_option("experiments")
    page.get_by_role("button", name="Run experiment").wait_for()
    lab.screenshot(pictures / "training_panel_experiments.png")
    assert lab.errors() == []
