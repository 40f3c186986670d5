"""All widgets in one notebook of a real JupyterLab: they answer, and in both themes and widths all
is in its place and axe finds nothing.
"""

from itertools import cycle

import pytest
from playwright.sync_api import expect
from test_lab_in_browser import LAB, show_part, type_into
from test_panel_in_browser import SMALL, button, press, set_number, show

from conftest import HOSTILE

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

PREPARE = """from bert_tutorial import load_data_wiki
from bert_tutorial.studio.widgets import MaskExplorer, TrainingPanel
from bert_tutorial.studio.widgets.memory_calculator import MemoryCalculator
train_iter, vocab = load_data_wiki(64, 64)"""
LAB_PARTS = ("nearest uses in the corpus", "map of uses", "attention", "hidden word", "layers",
             "similar words")  # fmt: skip
PANEL_PARTS = ("what it learns", "experiments", "runs")


def explore_masks(page) -> None:
    status = page.locator(".bert-lab-status").first
    type_into(page, "Sentence", "a crane is flying over the wet field")
    expect(status).to_contain_text("10 tokens, 2 to be predicted")
    type_into(page, "Mask rate, %", "50")
    expect(status).to_contain_text("10 tokens, 5 to be predicted")
    for _ in range(20):
        page.get_by_label("Mask rate, %, slider").first.press("ArrowRight")
    expect(status).to_contain_text("10 tokens, 7 to be predicted")
    type_into(page, "Sentence", "   ")
    expect(status).to_contain_text("there is no word in this text")
    type_into(page, "Sentence", HOSTILE)
    page.get_by_text("<unk>").first.wait_for()  # what is not in the vocabulary


def test_all_widgets_in_both_themes_and_widths(lab):
    page = lab.page
    lab.open_cells("gallery.ipynb", PREPARE, "MaskExplorer(vocab)")
    explore_masks(page)
    assert page.title() != "broken into" and page.locator("img[src='x']").count() == 0
    cells = "MaskExplorer(vocab)", LAB, "MemoryCalculator()", "TrainingPanel(train_iter)"
    lab.close()
    lab.open_cells("gallery.ipynb", PREPARE, *cells)
    button(page, "Start").wait_for()
    for label, value in SMALL.items():
        set_number(page, label, value)
    press(page, "Start", "run 1: finished")
    set_number(page, "Smoothing, %", 0)
    for theme in ("Light", "Dark"):
        lab.set_theme(theme)
        for part, panel_part in zip(LAB_PARTS, cycle(PANEL_PARTS)):
            show_part(page, part)
            show(page, panel_part)
            assert lab.axe() == []
            assert lab.too_wide(f"gallery {theme} {part}") == []
    type_into(page, "Sentence 1", "")
    page.get_by_text("the first text has no word in it").wait_for()
    assert lab.axe() == []
    lab.set_theme("Light")
    page.get_by_label("Sentence 1", exact=True).evaluate(
        "field => { field.removeAttribute('aria-label'); field.id = ''; field.placeholder = '' }"
    )
    assert any(fault.startswith("label (critical)") for fault in lab.axe())  # it sees what is wrong
    assert lab.errors() == []
