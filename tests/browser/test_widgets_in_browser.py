"""Our widgets, in a real JupyterLab: typed into, slid and clicked, and looked at."""

import time

import pytest

pytestmark = pytest.mark.browser

PREPARE = """from bert_tutorial import load_data_wiki
from bert_tutorial.widgets import MaskExplorer, TrainingPanel
train_iter, vocab = load_data_wiki(64, 64)"""
HOSTILE = "<img src=x onerror=\"document.title='broken into'\"> crane"


def open_with(lab, name: str, *sources: str) -> None:
    """A notebook of these cells, run."""
    lab.open_cells(name, PREPARE, *sources)
    lab.run_all()
    lab.wait_idle()


def test_mask_explorer(lab, pictures):
    open_with(lab, "explorer.ipynb", "MaskExplorer(vocab)")
    page = lab.page
    page.get_by_label("Sentence").fill("a crane is flying over the wet field")
    page.get_by_label("Sentence").press("Enter")
    page.get_by_text("10 tokens, 2 to be predicted").wait_for()
    page.get_by_label("Mask rate").fill("50")
    page.get_by_label("Mask rate").press("Enter")
    page.get_by_text("10 tokens, 5 to be predicted").wait_for()
    handle = page.locator(".widget-hslider .noUi-handle")
    handle.focus()
    for _ in range(4):
        handle.press("ArrowRight")
    page.get_by_text("10 tokens, 7 to be predicted").wait_for()
    page.get_by_label("Sentence").fill("   ")
    page.get_by_label("Sentence").press("Enter")
    page.get_by_text("there is no word in this text").wait_for()
    page.get_by_label("Sentence").fill(HOSTILE)
    page.get_by_label("Sentence").press("Enter")
    page.get_by_text("<unk>").first.wait_for()  # what is not in the vocabulary
    lab.screenshot(pictures / "mask_explorer.png")
    assert (
        page.title() != "broken into" and page.locator(".jp-OutputArea img[src='x']").count() == 0
    )
    assert lab.errors() == []


def test_training_panel_starts_stops_and_starts_again(lab, pictures):
    open_with(lab, "panel.ipynb", "panel = TrainingPanel(train_iter)\npanel")
    page = lab.page
    page.get_by_label("Steps").fill("500")
    page.get_by_label("Steps").press("Enter")
    heads = page.locator(".widget-hslider .noUi-handle").nth(1)
    heads.focus()
    heads.press("ArrowRight")  # from 2 heads to 4
    page.get_by_role("button", name="Start", exact=True).click()
    page.wait_for_function("() => /step [1-9]\\d* of 500/.test(document.body.innerText)")
    page.locator(".jp-OutputArea img.widget-image").wait_for()
    assert page.get_by_role("button", name="Start", exact=True).is_disabled()
    lab.screenshot(pictures / "training_panel.png")
    clicked = time.monotonic()
    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_text("stopped after").wait_for(timeout=20_000)
    assert time.monotonic() - clicked < 20
    assert "4 heads" in lab.texts()[1]
    page.get_by_label("Steps").fill("5")
    page.get_by_label("Steps").press("Enter")
    page.get_by_role("button", name="Start", exact=True).click()
    page.get_by_text("finished after 5 steps with 4 heads").wait_for()
    assert lab.errors() == []
