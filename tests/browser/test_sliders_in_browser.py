"""Sliders and the status line in a real browser."""

import re

import pytest
from playwright.sync_api import expect

from bert_tutorial.studio.widgets.views import ChoiceSlider, NumberSlider, RateSlider, StatusLine

pytestmark = pytest.mark.browser


@pytest.fixture
def show(blank):
    """Function that shows a slider; gives its field and its range."""

    def show(slider):
        page, name = blank.show(slider), slider.description
        return page.get_by_label(name, exact=True), page.get_by_label(f"{name}, slider", exact=True)

    return show


def type_into(field, text: str) -> None:
    field.press("Control+a")
    field.press_sequentially(text)
    field.press("Enter")


def test_a_number_is_typed_or_slid(blank, show):
    field, place = show(NumberSlider(value=430, min=1, max=2000, description="Steps"))
    type_into(field, "2000")
    blank.has(value=2000)
    place.press("ArrowLeft")
    blank.has(value=1999)
    type_into(field, "9999")
    blank.has(value=2000)
    expect(field).to_have_value("2000")
    field.fill("")
    field.press("Enter")
    expect(field).to_have_value("2000")
    field.press("ArrowDown")
    blank.has(value=1999)


def test_choices_are_typed_slid_and_changed(blank, show):
    heads = ChoiceSlider(value=4, choices=[1, 2, 4, 8], description="Heads")
    field, place = show(heads)
    type_into(field, "7")
    blank.has(value=8)
    expect(field).to_have_value("8")
    expect(place).to_have_attribute("aria-valuetext", "8")
    for key, value in (("Home", 1), ("ArrowRight", 2), ("ArrowRight", 4)):
        place.press(key)
        blank.has(value=value)
    field.press("ArrowUp")
    blank.has(value=8)
    heads.choices = [1, 3, 5]
    blank.has(value=5)
    expect(place).to_have_attribute("aria-valuetext", "5")
    expect(place).to_have_js_property("max", "2")
    expect(field).to_have_value("5")
    field.fill("1")  # what is being typed stays when choices change
    heads.choices = [1, 2, 5, 6]
    expect(place).to_have_js_property("max", "3")
    field.press("Enter")
    blank.has(value=1)


def test_a_rate_is_slid_in_even_steps_of_size(blank, show):
    field, place = show(RateSlider(value=1e-3, min=1e-5, max=1e-1, description="Learning rate"))
    expect(place).to_have_js_property("value", "40")  # half way
    for typed, value in (("0.00033", 0.00033), ("1", 0.1), ("1e-3", 0.001)):
        type_into(field, typed)
        blank.has(value=value)
        expect(place).to_have_attribute("aria-valuetext", str(value))
    for each, key, value in (
        (field, "ArrowDown", 0.00089), (place, "ArrowLeft", 0.00079), (place, "Home", 1e-5),
    ):  # fmt: skip
        each.press(key)
        blank.has(value=value)
    seen = [1e-5]
    for _ in range(80):  # each press leads on, whatever was rounded
        place.press("ArrowRight")
        seen.append(float(place.get_attribute("aria-valuetext")))
    assert seen == sorted(set(seen)) and seen[-1] == 0.1
    assert all(len(f"{value:e}".split("e")[0].rstrip("0")) <= 3 for value in seen)
    blank.has(value=0.1)


def test_hints_are_tied_and_what_is_being_typed_stays(show):
    steps = NumberSlider(value=430, max=2000, description="Steps", hint="about 2 minutes")
    field, place = show(steps)
    for each in (field, place):
        expect(each).to_have_accessible_description("about 2 minutes")
    field.fill("17")
    steps.hint = "<i>soon</i>"
    expect(field).to_have_accessible_description("<i>soon</i>")
    expect(field).to_have_value("17")
    steps.value = 5
    expect(field).to_have_value("5")
    steps.hint, steps.disabled = "", True
    expect(field).to_have_accessible_description("")
    expect(field).to_be_disabled()
    expect(place).to_be_disabled()


def test_the_status_line_says_when_the_kernel_is_silent(blank, page):
    page.clock.install()
    line = StatusLine(text="Step 3 of 430.")
    blank.show(line)
    status = page.get_by_role("status")
    silent = re.compile(r"Step 3 of 430. No word from the kernel for 1\d s.*: it is busy, or was ")
    page.clock.run_for(60_000)
    expect(status).to_have_text("Step 3 of 430.")  # nothing is to be expected
    line.is_going = True
    for _ in range(3):  # whatever changes is a word
        page.clock.run_for(8000)
        expect(status).to_have_text("Step 3 of 430.")
        line.beat += 1
    status.evaluate(
        """line => {
            window.changes = [];
            new MutationObserver(all => window.changes.push(
                ...all.filter(one => !one.target.closest?.("[aria-hidden]"))))
                .observe(line, {childList: true, subtree: true, characterData: true});
        }"""
    )
    page.clock.run_for(14_000)
    expect(status).to_have_text(silent)
    assert page.evaluate("() => window.changes.length") == 1  # announced once
    line.beat += 1
    expect(status).to_have_text("Step 3 of 430.")
    page.clock.run_for(14_000)
    expect(status).to_have_text(silent)
    line.is_going = False
    expect(status).to_have_text("Step 3 of 430.")
    line.say("<b>x</b>", is_error=True)
    expect(status).to_have_text("Not possible: <b>x</b>")
