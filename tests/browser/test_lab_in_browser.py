"""The sentence lab, in a real JupyterLab: typed, clicked, by keyboard, in both themes."""

import contextlib

import pytest
from playwright.sync_api import expect
from test_widgets_in_browser import HOSTILE, open_with

from bert_tutorial.studio.widgets.lab_parts import PARTS

pytestmark = pytest.mark.browser

LAB = """from bert_tutorial import load_pretrained, read_text
from bert_tutorial.studio.lab.lab import Lab, other_networks
from bert_tutorial.studio.widgets import SentenceLab
shipped = Lab(*load_pretrained("bundled", "shipped")[:2], read_text("bundled"))
sentences = "the crane stood on one leg in the pond", "a tall crane stands at the building site"
widget = SentenceLab(shipped, *sentences, "shipped", other_networks())
widget"""


def type_into(page, label: str, text: str) -> None:
    page.get_by_label(label, exact=True).fill(text)
    page.get_by_label(label, exact=True).press("Enter")


def show(page, name: str) -> None:
    """Choose a view, and wait until it is there."""
    page.get_by_label("Show", exact=True).select_option(name)
    {
        "similar words": page.get_by_role("grid").first,
        "nearest uses in the corpus": page.get_by_text("According to the untrained network"),
        "map of uses": page.get_by_text("Held-out uses on the right side"),
        "attention": page.get_by_role("combobox", name="Head").first,
        "hidden word": page.get_by_label("Your guess"),
        "layers": page.get_by_alt_text("A word and itself in another sentence").first,
    }[name].wait_for()


def point_at(point, said, text: str) -> None:
    """Point at a point of a map until its sentence is told: the page may move meanwhile."""
    ring, mouse = point.locator(".bert-ring"), point.page.mouse  # its label is no target
    for _ in range(5):
        ring.evaluate("ring => ring.closest('svg').scrollIntoView({block: 'center'})")
        box = ring.bounding_box()
        mouse.move(0, 0)
        mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=3)
        with contextlib.suppress(AssertionError):
            expect(said).to_contain_text(text, timeout=3000)
            return
    expect(said).to_contain_text(text)


def status(page):
    return page.locator(".bert-lab-status")


def test_the_lab_follows_what_is_typed_chosen_and_clicked(lab, pictures):
    open_with(lab, "lab_typed.ipynb", LAB)
    page = lab.page
    page.get_by_text("bird, 10 of 10").first.wait_for()
    page.get_by_text("How alike are these two uses of").first.wait_for()
    assert page.get_by_label("Layer", exact=True).first.input_value() == "2"
    type_into(page, "Sentence 2", "a crane laid two eggs in its nest")
    page.get_by_role("group", name="Tokens of sentence 2").get_by_role("button").nth(3).wait_for()
    page.get_by_role("button", name="eggs").wait_for()
    page.get_by_label("Example", exact=True).select_option("bank: money, river")
    page.get_by_role("button", name="coins").wait_for()
    type_into(page, "Labels", "1")
    page.get_by_text("means from up to 1 of each sense").wait_for()
    for name in PARTS:
        show(page, name)
        lab.screenshot(pictures / f"lab {name}.png")
    page.get_by_label("Show", exact=True).select_option("hidden word")
    page.get_by_role("group", name="Tokens of sentence 1").get_by_role("button").nth(3).click()
    type_into(page, "Your guess", "money")
    page.get_by_text("Your guess, money, by the network").wait_for()
    page.get_by_role("button", name="Keep as HTML").click()
    page.get_by_text("sentence_lab.html").wait_for()
    assert (lab.server.root / "sentence_lab.html").read_text("utf-8").startswith("<!DOCTYPE")
    assert lab.errors() == []


def test_the_lab_by_keyboard_alone(lab):
    open_with(lab, "lab_keys.ipynb", LAB)
    page = lab.page
    chips = page.get_by_role("group", name="Tokens of sentence 1").get_by_role("button")
    chips.nth(1).wait_for()
    page.get_by_label("Show", exact=True).select_option("nearest uses in the corpus")
    chips.nth(8).focus()
    page.keyboard.press("Enter")
    page.get_by_text("The five uses of pond (sentence 1)").wait_for()
    assert chips.nth(8).get_attribute("aria-pressed") == "true"
    page.get_by_label("Show", exact=True).select_option("similar words")
    cell = page.locator(".jp-OutputArea").get_by_role("grid").first.locator("[tabindex='0']").first
    cell.focus()
    page.keyboard.press("ArrowRight")
    name = page.evaluate("() => document.activeElement.getAttribute('aria-label')")
    words, _ = name.rsplit(":", 1)
    page.keyboard.press("Enter")
    page.get_by_text(f"{words}: cosine").wait_for(timeout=20_000)
    assert lab.errors() == []


def test_the_lab_says_what_is_wrong_and_shows_markup_as_text(lab):
    open_with(lab, "lab_wrong.ipynb", LAB)
    page = lab.page
    type_into(page, "Sentence 1", "")
    page.get_by_text("the first text has no word in it").wait_for()
    assert status(page).count() == 1 and status(page).get_attribute("role") == "status"
    type_into(page, "Sentence 1", HOSTILE)
    page.get_by_text("read as <unk>").first.wait_for()
    for name in PARTS:
        page.get_by_label("Show", exact=True).select_option(name)
        page.wait_for_timeout(200)
    type_into(page, "Other BERT", "no/such/folder/here")
    page.get_by_text("Not possible").wait_for(timeout=20_000)
    assert page.title() != "broken into" and page.locator("img[src='x']").count() == 0
    assert lab.errors() == []


@pytest.mark.parametrize("theme", ["Light", "Dark"])
@pytest.mark.parametrize("width", [900, 1280])
def test_the_lab_fits_both_widths_in_both_themes(lab, pictures, theme, width):
    lab.page.set_viewport_size({"width": width, "height": 900})
    open_with(lab, f"lab_{width}_{theme}.ipynb", LAB)
    page = lab.page
    lab.set_theme(theme)
    page.get_by_text("bird, 10 of 10").first.wait_for()
    page.evaluate("() => window.jupyterapp.shell.collapseLeft()")
    lab.screenshot(pictures / f"lab {width} {theme}.png")
    too_wide = page.evaluate(
        """() => [...document.querySelectorAll(".jp-OutputArea-output")]
            .filter(e => e.offsetParent && e.scrollWidth > e.clientWidth + 2).length"""
    )
    assert too_wide == 0 and lab.errors() == []


@pytest.mark.parametrize("width", [900, 1280])
def test_views_in_the_lab_tell_what_is_pointed_at_and_focused(lab, width):
    lab.page.set_viewport_size({"width": width, "height": 900})
    open_with(lab, f"lab_hover_{width}.ipynb", LAB)
    page = lab.page
    page.evaluate("() => window.jupyterapp.shell.collapseLeft()")
    type_into(page, "Sentence 1", f"the crane stood {HOSTILE}")
    page.get_by_text("read as <unk>").first.wait_for()
    view = page.locator(".bert-view").filter(has=page.get_by_role("grid")).first
    grid, said = view.get_by_role("grid"), view.locator(".bert-status")
    for place, pair in (((1, 2), "crane, crane: "), ((3, 1), "<, tall: ")):
        cell = grid.locator("tbody tr").nth(place[0]).locator("td").nth(place[1])
        cell.hover()
        name = cell.get_attribute("aria-label")
        assert name.startswith(pair)
        expect(said).to_contain_text(name)
    page.mouse.move(0, 0)
    grid.locator("[tabindex='0']").focus()
    page.keyboard.press("ArrowRight")
    expect(said).to_contain_text("the, tall: ")
    show(page, "attention")
    view = page.locator(".bert-view").filter(has=page.get_by_role("toolbar")).first
    said, numbers = view.locator(".bert-status"), view.locator(".bert-tokens li b")
    view.get_by_role("button", name="crane", exact=True).first.hover()
    expect(said).to_contain_text("crane looks at: ")
    assert 0.8 < sum(map(float, numbers.all_inner_texts())) < 1.2
    page.mouse.move(0, 0)
    view.get_by_role("button", name="crane", exact=True).first.focus()
    page.keyboard.press("ArrowDown")
    expect(said).to_contain_text("stood looks at: ")
    page.get_by_role("group", name="Tokens of sentence 1").get_by_role("button").nth(1).click()
    show(page, "map of uses")
    view = page.locator(".bert-view").filter(has=page.get_by_role("listbox")).first
    said, points = view.locator(".bert-status"), view.get_by_role("option")
    expect(page.get_by_role("listbox")).to_have_count(2)
    point_at(points.last, said, "sentence 2: a tall crane stands at the building site")
    page.mouse.move(0, 0)
    view.locator("[role=option][tabindex='0']").focus()
    page.keyboard.press("End")
    name = page.evaluate("() => document.activeElement.getAttribute('aria-label')")
    assert len(name.split()) > 3
    expect(said).to_have_text(name)
    typed = view.get_by_role("option", name="sentence 1").first
    point_at(typed, said, "the crane stood < img src = x")  # markup is text
    assert page.title() != "broken into" and page.locator("img[src='x']").count() == 0
    assert lab.errors() == []  # nor was any other host asked


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_axe_finds_nothing_serious_in_any_view(lab, theme):
    open_with(lab, f"lab_axe_{theme}.ipynb", LAB)
    page = lab.page
    lab.set_theme(theme)
    page.get_by_text("bird, 10 of 10").first.wait_for()
    found = {}
    for name in PARTS:
        show(page, name)
        found[name] = lab.axe()
    type_into(page, "Sentence 1", "")
    page.get_by_text("the first text has no word in it").wait_for()
    found["an error"] = lab.axe()
    assert {name: faults for name, faults in found.items() if faults} == {}
    page.get_by_label("Sentence 1", exact=True).evaluate(
        "field => { field.removeAttribute('aria-label'); field.id = ''; field.placeholder = '' }"
    )
    assert any(fault.startswith("label (critical)") for fault in lab.axe())  # it sees what is wrong
    assert lab.errors() == []


def test_without_a_kernel_the_last_state_is_still_to_be_read(lab, pictures):
    open_with(lab, "lab_kept.ipynb", LAB)
    page = lab.page
    page.get_by_label("Example", exact=True).select_option("star: film, sky")
    page.get_by_role("button", name="film").wait_for()
    static = page.locator(".bert-lab-static")
    page.wait_for_function(
        "() => document.querySelector('.bert-lab-static')?.textContent.includes('film was ill')"
    )
    assert not static.is_visible()  # the live lab stands there
    page.evaluate("async () => await window.jupyterapp.commands.execute('docmanager:save')")
    lab.close()
    lab.open("lab_kept.ipynb")  # a new kernel, which knows nothing of the lab
    page.locator(".bert-lab-static").wait_for(state="visible")
    assert "the star of the film was ill" in page.locator(".bert-lab-static").inner_text()
    lab.screenshot(pictures / "lab without kernel.png")
