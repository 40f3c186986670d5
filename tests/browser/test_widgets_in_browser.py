"""Our widgets, in a real JupyterLab: typed into and slid, and looked at."""

import pytest

pytestmark = pytest.mark.browser

PREPARE = """from bert_tutorial import load_data_wiki
from bert_tutorial.studio.widgets import MaskExplorer, TrainingPanel
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
    page.locator(".bert-lab-status").get_by_text("10 tokens, 2 to be predicted").wait_for()
    page.get_by_label("Mask rate, %", exact=True).fill("50")
    page.get_by_label("Mask rate, %", exact=True).press("Enter")
    page.locator(".bert-lab-status").get_by_text("10 tokens, 5 to be predicted").wait_for()
    slider = page.get_by_label("Mask rate, %, slider")
    slider.focus()
    for _ in range(20):
        slider.press("ArrowRight")
    page.locator(".bert-lab-status").get_by_text("10 tokens, 7 to be predicted").wait_for()
    page.get_by_label("Sentence").fill("   ")
    page.get_by_label("Sentence").press("Enter")
    page.locator(".bert-lab-status").get_by_text("there is no word in this text").wait_for()
    page.get_by_label("Sentence").fill(HOSTILE)
    page.get_by_label("Sentence").press("Enter")
    page.get_by_text("<unk>").first.wait_for()  # what is not in the vocabulary
    lab.screenshot(pictures / "mask_explorer.png")
    assert (
        page.title() != "broken into" and page.locator(".jp-OutputArea img[src='x']").count() == 0
    )
    assert lab.errors() == []
