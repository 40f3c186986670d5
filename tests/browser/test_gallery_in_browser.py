"""All widgets in one notebook of a real JupyterLab: they answer, in both themes and widths all
is in its place and axe finds nothing, and without a kernel the last state is still to be read.
"""

from itertools import cycle

import pytest
from playwright.sync_api import Locator, expect
from test_panel_in_browser import SMALL, press, set_numbers, show

from conftest import HOSTILE

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

PREPARE = """from bert_tutorial import load_data_wiki, load_pretrained, read_text
from bert_tutorial.studio.lab.lab import Lab, other_networks
from bert_tutorial.studio.widgets import MaskExplorer, SentenceLab, TrainingPanel
from bert_tutorial.studio.widgets.memory_calculator import MemoryCalculator
from bert_tutorial.studio.widgets.scaling_calculator import ScalingCalculator
train_iter, vocab = load_data_wiki(64, 64)
made = Lab(*load_pretrained("bundled", "shipped")[:2], read_text("bundled"))
sentences = "a white crane stood on one leg in the marsh", "a tall crane stands here" """
LAB = 'SentenceLab(made, *sentences, "shipped", other_networks())'
CELLS = PREPARE, "MaskExplorer(vocab)", LAB, "MemoryCalculator()", "ScalingCalculator()"
CELLS += ("TrainingPanel(train_iter)",)  # last: `press` looks at the last status line
PANEL_PARTS = ("what it learns", "experiments", "runs")
LAB_PARTS = {  # what is there when a part is shown
    "map of uses": ".bert-map [role=option]",
    "nearest uses in the corpus": "text=According to the untrained network",
    "attention": ".bert-pictures canvas",
    "hidden word": "text=Your guess",
    "layers": "img[alt^='A word and itself in another sentence']",
    "similar words": "[role=grid]",
}


@pytest.fixture
def page(shared_lab):
    shared_lab.page.set_viewport_size({"width": 900, "height": 900})
    return shared_lab.page


@pytest.fixture
def sentences(page, shared_lab):
    """The sentence lab."""
    sentences = shared_lab.output(2)
    sentences.get_by_text("bird, 10 of 10").first.wait_for()
    return sentences


@pytest.fixture(scope="module")
def trained(shared_lab):
    """The training panel has trained once."""
    set_numbers(shared_lab.page, **SMALL, **{"Smoothing, %": 0})
    press(shared_lab.page, "Start", "run 1: finished")


def type_into(place: Locator, label: str, text: str) -> None:
    place.get_by_label(label, exact=True).fill(text)
    place.get_by_label(label, exact=True).press("Enter")


def show_part(sentences: Locator, name: str) -> Locator:
    """Choose what the sentence lab shows; gives its first view."""
    sentences.get_by_label("Show", exact=True).select_option(name)
    sentences.locator(LAB_PARTS[name]).first.wait_for()
    view = sentences.page.locator(LAB_PARTS[name])
    return sentences.locator(".bert-view").filter(has=view).first


def test_the_mask_explorer_answers(page, shared_lab):
    explorer = shared_lab.output(1)
    status = explorer.locator(".bert-lab-status")
    type_into(explorer, "Sentence", "a crane is flying over the wet field")
    expect(status).to_contain_text("10 tokens, 2 to be predicted")
    type_into(explorer, "Mask rate, %", "50")
    expect(status).to_contain_text("10 tokens, 5 to be predicted")
    explorer.get_by_role("button", name="question 3").click()  # a guess is about this one
    expect(status).to_contain_text("Question 3: which word stood there?")
    for number in (3, 4, 5, 1, 2):
        expect(status).to_contain_text(f"Question {number}: which word stood there?")
        explorer.get_by_role("button", name="Show answer").click()
    expect(status).to_contain_text("You guessed 0 of 5.")
    type_into(explorer, "Sentence", HOSTILE)
    explorer.get_by_text("(unknown)").first.wait_for()  # what is not in the vocabulary
    assert shared_lab.errors() == []


def test_the_memory_calculator_is_whole_and_in_columns(page, shared_lab):
    calculator = shared_lab.output(3)
    cut = """all => all.filter(it => it.scrollWidth > it.clientWidth + 1).map(it => it.innerText)"""
    assert calculator.locator("label").evaluate_all(cut) == []
    fields = calculator.locator("select, input[type=number]").all()
    assert len({round(field.bounding_box()["x"]) // 4 for field in fields}) == 2
    type_into(calculator, "Batch size", "8")
    expect(calculator.get_by_label("Rows at a time", exact=True)).to_have_value("8")


def test_the_scaling_calculator_answers(page, shared_lab):
    calculator = shared_lab.output(4)
    status = calculator.locator(".bert-lab-status")
    expect(status).to_contain_text("1 processor: a step of 256 rows")
    calculator.get_by_role("button", name="64 hosts of 8 GPUs").click()
    expect(status).to_contain_text("256 of 512 have no row")
    expect(calculator.get_by_label("Hosts", exact=True)).to_have_value("64")
    type_into(calculator, "Rows of a step", "8192")
    expect(status).to_contain_text("a step of 8,192 rows")
    picture = calculator.get_by_alt_text("Days of training by number of hosts").first
    assert picture.evaluate("image => image.naturalWidth") > 300
    assert shared_lab.errors() == []


def test_the_lab_follows_what_is_typed_chosen_clicked_and_pointed_at(page, sentences, shared_lab):
    groups = [sentences.get_by_role("group", name=f"Tokens of sentence {n}") for n in (1, 2)]
    chips, others = (group.get_by_role("button") for group in groups)
    expect(sentences.locator(".bert-map")).to_have_count(2)  # at once, with the untrained one's
    controls = sentences.get_by_role("button", name="Controls: untrained, bag of words").first
    rows = sentences.locator(".bert-control:visible")
    expect(rows).to_have_count(0)
    controls.press("Enter")
    expect(rows).to_have_count(2)
    expect(controls).to_have_attribute("aria-expanded", "true")
    view = show_part(sentences, "similar words")
    view.get_by_role("gridcell", name="crane, crane").hover()
    expect(view.get_by_role("status")).to_contain_text("crane, crane: ")
    view.locator("[tabindex='0']").focus()
    page.keyboard.press("ArrowRight")
    words, _ = view.locator(":focus").get_attribute("aria-label").rsplit(":", 1)
    page.keyboard.press("Enter")
    sentences.get_by_text(f"{words}: cosine").first.wait_for()
    view = show_part(sentences, "attention")
    expect(view.get_by_role("status")).to_contain_text("crane looks at: ")  # which was clicked
    view.get_by_role("button", name="marsh", exact=True).hover()
    expect(view.get_by_role("status")).to_contain_text("marsh looks at: ")

    type_into(sentences, "Sentence 2", "a crane laid two eggs in its nest")
    others.get_by_text("eggs").wait_for()
    sentences.get_by_label("Example", exact=True).select_option("bank: money, river")
    chips.get_by_text("savings").wait_for()
    type_into(sentences, "Labels", "1")
    sentences.get_by_text("at most 1 of the labels of each sense").first.wait_for()
    show_part(sentences, "hidden word")
    chips.nth(3).click()
    sentences.get_by_role("button", name="Show the answers").click()
    sentences.get_by_text("two neighbours, counted").first.wait_for()
    type_into(sentences, "Your guess", "money")
    sentences.get_by_text("Your guess, money, by the network").first.wait_for()
    sentences.get_by_role("button", name="Keep as HTML").click()
    sentences.get_by_text("sentence_lab.html").first.wait_for()
    kept = shared_lab.server.root / "sentence_lab.html"
    assert kept.read_text("utf-8").startswith("<!DOCTYPE")
    sentences.get_by_label("Model", exact=True).select_option("untrained")
    sentences.get_by_text("All words are in the vocabulary").first.wait_for()

    type_into(sentences, "Sentence 1", "")
    sentences.get_by_text("the first text has no word in it").first.wait_for()
    type_into(sentences, "Sentence 1", f"the bank {HOSTILE}")
    sentences.get_by_text("read as <unk>").first.wait_for()
    for name in ("hidden word", "nearest uses in the corpus", "map of uses", "attention"):
        show_part(sentences, name)
    type_into(sentences, "Other BERT", "no/such/folder/here")
    sentences.get_by_text("Not possible").first.wait_for()
    assert shared_lab.errors() == []
    sentences.get_by_label("Model", exact=True).select_option("shipped")
    sentences.get_by_label("Example", exact=True).select_option("crane: bird, machine")


def test_all_widgets_in_both_themes_and_widths(trained, page, sentences, shared_lab):
    for theme in ("Light", "Dark"):
        shared_lab.set_theme(theme)
        for part, panel_part in zip(LAB_PARTS, cycle(PANEL_PARTS)):
            show_part(sentences, part)
            show(page, panel_part)
            assert shared_lab.axe() == []
            assert shared_lab.too_wide(f"gallery {theme} {part}") == []
    type_into(sentences, "Sentence 1", "")
    sentences.get_by_text("the first text has no word in it").wait_for()
    assert shared_lab.axe() == []
    shared_lab.set_theme("Light")
    sentences.get_by_label("Sentence 1", exact=True).evaluate(
        "field => { field.removeAttribute('aria-label'); field.id = ''; field.placeholder = '' }"
    )
    assert any(fault.startswith("label (critical)") for fault in shared_lab.axe())  # it sees that
    assert shared_lab.errors() == []


def test_without_a_kernel_the_last_state_is_still_there(trained, page, sentences, shared_lab):
    lab, panel = (shared_lab.output(number).locator(".bert-lab-static") for number in (2, 5))
    sentences.get_by_label("Example", exact=True).select_option("star: sky, sky")
    expect(lab).to_contain_text("a bright star above the moon")
    expect(lab).to_be_hidden()  # the live lab stands there
    said = shared_lab.output(5).locator(".bert-lab-status").last.inner_text()
    shared_lab.ask("await commands.execute('docmanager:save')")
    shared_lab.close()
    shared_lab.open(f"{__name__}.ipynb")  # with a kernel that has run nothing
    for static, text in ((lab, "a bright star above the moon"), (panel, said)):
        expect(static).to_be_visible()
        expect(static).to_contain_text(text)
    picture = panel.get_by_alt_text("Training loss")
    assert picture.evaluate("image => image.naturalWidth") > 300
    shared_lab.screenshot("widgets without kernel")
