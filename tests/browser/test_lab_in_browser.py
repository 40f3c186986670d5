"""The sentence lab in a real JupyterLab: typed, clicked, pointed at, by keys, without a kernel."""

import pytest
from playwright.sync_api import expect

from conftest import HOSTILE

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

LAB = """from bert_tutorial import load_pretrained, read_text
from bert_tutorial.studio.lab.lab import Lab, other_networks
from bert_tutorial.studio.widgets import SentenceLab
net, vocab, _ = load_pretrained("bundled", "shipped")
sentences = "the crane stood on one leg in the pond", "a tall crane stands at the building site"
SentenceLab(Lab(net, vocab, read_text("bundled")), *sentences, "shipped", other_networks())"""


@pytest.fixture
def page(page):
    page.set_viewport_size({"width": 900, "height": 900})
    return page


def open_lab(lab, name: str):
    lab.open_cells(f"{name}.ipynb", LAB)
    lab.page.get_by_text("bird, 10 of 10").first.wait_for()


def type_into(page, label: str, text: str) -> None:
    page.get_by_label(label, exact=True).fill(text)
    page.get_by_label(label, exact=True).press("Enter")


def show_part(page, name: str) -> None:
    """Choose a view, and wait until it is there."""
    page.get_by_label("Show", exact=True).first.select_option(name)
    {
        "similar words": page.get_by_role("grid").first,
        "nearest uses in the corpus": page.get_by_text("According to the untrained network").first,
        "map of uses": page.get_by_text("Held-out uses on the right side").first,
        "attention": page.get_by_role("combobox", name="Head").first,
        "hidden word": page.get_by_label("Your guess").first,
        "layers": page.get_by_alt_text("A word and itself in another sentence").first,
    }[name].wait_for()


def tokens(page, sentence: int):
    group = page.get_by_role("group", name=f"Tokens of sentence {sentence}")
    return group.get_by_role("button")


def test_the_lab_follows_what_is_typed_chosen_and_clicked(lab):
    open_lab(lab, "typed")
    page = lab.page
    page.get_by_text("How alike are these two uses of").first.wait_for()
    expect(page.get_by_label("Layer", exact=True).first).to_have_value("2")
    type_into(page, "Sentence 2", "a crane laid two eggs in its nest")
    tokens(page, 2).get_by_text("eggs").wait_for()
    page.get_by_label("Example", exact=True).select_option("bank: money, river")
    tokens(page, 1).get_by_text("coins").wait_for()
    type_into(page, "Labels", "1")
    page.get_by_text("means from up to 1 of each sense").first.wait_for()
    show_part(page, "hidden word")
    tokens(page, 1).nth(3).click()
    type_into(page, "Your guess", "money")
    page.get_by_text("Your guess, money, by the network").first.wait_for()
    page.get_by_role("button", name="Keep as HTML").click()
    page.get_by_text("sentence_lab.html").first.wait_for()
    assert (lab.server.root / "sentence_lab.html").read_text("utf-8").startswith("<!DOCTYPE")
    page.get_by_label("Model", exact=True).select_option("untrained")
    page.get_by_text("All words are in the vocabulary").first.wait_for()

    type_into(page, "Sentence 1", "")
    page.get_by_text("the first text has no word in it").first.wait_for()
    expect(page.locator(".bert-lab-status")).to_have_attribute("role", "status")
    type_into(page, "Sentence 1", f"the bank {HOSTILE}")
    page.get_by_text("read as <unk>").first.wait_for()
    for name in ("hidden word", "nearest uses in the corpus", "map of uses", "attention"):
        show_part(page, name)
    type_into(page, "Other BERT", "no/such/folder/here")
    page.get_by_text("Not possible").first.wait_for()
    assert page.title() != "broken into" and page.locator("img[src='x']").count() == 0
    assert lab.errors() == []


def test_the_lab_by_keys_and_by_pointing(lab):
    open_lab(lab, "keys")
    page, chips = lab.page, tokens(lab.page, 1)
    page.get_by_label("Show", exact=True).select_option("nearest uses in the corpus")
    chips.nth(8).focus()
    page.keyboard.press("Enter")
    page.get_by_text("The five uses of pond (sentence 1)").first.wait_for()
    expect(chips.nth(8)).to_have_attribute("aria-pressed", "true")
    show_part(page, "similar words")
    grid = page.get_by_role("grid").first
    grid.locator("[tabindex='0']").focus()
    page.keyboard.press("ArrowRight")
    words, _ = grid.locator(":focus").get_attribute("aria-label").rsplit(":", 1)
    page.keyboard.press("Enter")
    page.get_by_text(f"{words}: cosine").first.wait_for()
    view = page.locator(".bert-view").filter(has=page.get_by_role("grid")).first
    view.get_by_role("gridcell", name="crane, crane").hover()
    expect(view.get_by_role("status")).to_contain_text("crane, crane: ")
    show_part(page, "attention")
    view = page.locator(".bert-view").filter(has=page.get_by_role("toolbar")).first
    view.get_by_role("button", name="pond", exact=True).hover()
    expect(view.get_by_role("status")).to_contain_text("pond looks at: ")
    page.mouse.move(0, 0)
    view.get_by_role("button", name="crane", exact=True).focus()
    page.keyboard.press("ArrowDown")
    expect(view.get_by_role("status")).to_contain_text("stood looks at: ")
    chips.nth(1).click()
    show_part(page, "map of uses")
    view = page.locator(".bert-view").filter(has=page.get_by_role("listbox")).first
    view.locator("[role=option][tabindex='0']").focus()
    page.keyboard.press("End")
    said = view.locator(":focus").get_attribute("aria-label")
    expect(view.get_by_role("status")).to_have_text(said)
    assert lab.errors() == []


def test_without_a_kernel_the_last_state_is_still_to_be_read(lab):
    open_lab(lab, "saved")
    page, static = lab.page, lab.page.locator(".bert-lab-static")
    page.get_by_label("Example", exact=True).select_option("star: film, sky")
    expect(static).to_contain_text("film was ill")
    expect(static).to_be_hidden()  # the live lab stands there
    lab.ask("await commands.execute('docmanager:save')")
    lab.close()
    lab.open("saved.ipynb")  # a new kernel, which knows nothing of the lab
    expect(static).to_be_visible()
    expect(static).to_contain_text("the star of the film was ill")
    lab.screenshot("lab without kernel")
