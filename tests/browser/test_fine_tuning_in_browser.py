"""The fine-tuning panel in a real JupyterLab: by keys, beside a run, with hostile text."""

import re

import pytest
from playwright.sync_api import expect

from conftest import HOSTILE

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

CELLS = (
    """from bert_tutorial import load_pretrained
from bert_tutorial.studio.widgets import FineTuningPanel
panel = FineTuningPanel(*load_pretrained("bundled", "shipped")[:2], labels=32)
panel""",
    "# What is asked of the kernel\n0",
)
FOCUSED = "() => document.activeElement.innerText"


def said(page, what: str):
    return page.get_by_role("status").filter(has_text=re.compile(what))


def test_a_network_is_fine_tuned_by_keys_and_asked_meanwhile(shared_lab):
    lab, page = shared_lab, shared_lab.page
    said(page, "Choose, then press Start").wait_for()
    page.get_by_role("button", name="Start", exact=True).focus()
    page.keyboard.press("Enter")
    said(page, "after 0 of 300 updates").wait_for()
    assert page.evaluate(FOCUSED) == "Start"  # the focus stays where it was
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    said(page, "paused after").wait_for()
    expect(page.get_by_label("Labels", exact=True)).to_be_disabled()
    lab.screenshot("fine-tuning, paused")
    text = page.get_by_label("Text", exact=True)
    text.fill("the doctor looked at my finger")
    text.press("Enter")
    page.get_by_role("gridcell", name=re.compile("^network, finger: ")).wait_for()
    page.get_by_role("button", name="Resume", exact=True).click()
    said(page, "after 300 of 300 updates").wait_for()
    expect(page.get_by_label("Labels", exact=True)).to_be_enabled()
    expect(page.locator(".bert-picture")).to_have_attribute("alt", re.compile("naive Bayes"))
    page.get_by_role("button", name="Save", exact=True).click()
    said(page, "Saved in ").wait_for()
    page.get_by_label("Saved network", exact=True).select_option(index=1)
    said(page, "^saved .* after 300 of 300 updates").wait_for()
    lab.screenshot("fine-tuning, done")
    text.fill(HOSTILE)
    text.press("Enter")
    said(page, "does not know").wait_for()
    text.fill("")
    text.press("Enter")
    said(page, "^Not possible: the text has no word").wait_for()
    assert lab.errors() == []


def test_pairs_and_tagging_are_readable_and_fit_in_both_themes(shared_lab):
    lab, page = shared_lab, shared_lab.page
    task = page.get_by_label("Task", exact=True)
    task.select_option("same sense")
    page.get_by_label("Second text", exact=True).wait_for()
    assert lab.too_wide("fine-tuning, pairs") == []
    task.select_option("sense tagging")
    page.get_by_role("columnheader", name="palm", exact=True).first.wait_for()
    expect(page.get_by_label("Second text", exact=True)).to_be_hidden()
    assert lab.too_wide("fine-tuning, tagging") == []
    for theme in ("Light", "Dark"):
        lab.set_theme(theme)
        assert lab.axe() == []
        lab.screenshot(f"fine-tuning, {theme}")
    lab.set_theme("Light")
    assert lab.errors() == []
