"""Sliders and the status line, in a real JupyterLab."""

import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

PREPARE = """import ipywidgets as ipw
from bert_tutorial.studio.widgets.sliders import ChoiceSlider, NumberSlider, RateSlider
from bert_tutorial.studio.widgets.status import StatusLine
steps = NumberSlider(value=430, min=1, max=2000, description="Steps", hint="about 2 minutes")
heads = ChoiceSlider(value=4, choices=[1, 2, 4, 8], description="Heads",
    hint="Numbers that divide the hidden size: each head gets an equal part of every vector.")
rate = RateSlider(value=1e-3, min=1e-5, max=1e-1, description="Learning rate")
fixed = NumberSlider(value=3, description="Layers", disabled=True, hint="fixed while it trains")
status, line = StatusLine(text="Step 3 of 430."), ipw.HTML()
sliders = [steps, heads, rate]
def show(_=None):
    line.value = "state: " + repr([each.value for each in sliders])
for each in sliders:
    each.observe(show, names="value")
show()
ipw.VBox([*sliders, fixed, status, line])"""


@pytest.fixture
def tab(lab):
    expect.set_options(timeout=30_000)
    lab.open_cells("sliders.ipynb", PREPARE)
    lab.run_all()
    lab.wait_idle()
    lab.page.locator(".bert-slider").last.wait_for()
    yield lab.page
    assert lab.errors() == []


def run_in_kernel(tab, code: str) -> None:
    """Run code as another cell would, and wait until it is done."""
    tab.evaluate(
        """async code => {
            const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
            await kernel.requestExecute({code}).done;
        }""",
        code,
    )


def wait_for_values(tab, *values) -> None:
    expect(tab.locator(".widget-html-content")).to_have_text(f"state: {list(values)!r}")


def field(tab, name: str):
    return tab.get_by_label(name, exact=True)


def slider(tab, name: str):
    return tab.get_by_role("slider", name=f"{name}, slider", exact=True)


def type_into(tab, name: str, text: str) -> None:
    field(tab, name).focus()
    field(tab, name).press("Control+a")
    tab.keyboard.type(text)
    tab.keyboard.press("Enter")


def test_a_number_is_typed_or_slid(tab):
    type_into(tab, "Steps", "2000")
    wait_for_values(tab, 2000, 4, 1e-3)
    slider(tab, "Steps").press("ArrowLeft")
    wait_for_values(tab, 1999, 4, 1e-3)
    type_into(tab, "Steps", "9999")
    wait_for_values(tab, 2000, 4, 1e-3)
    expect(field(tab, "Steps")).to_have_value("2000")
    field(tab, "Steps").fill("")
    field(tab, "Steps").press("Enter")
    expect(field(tab, "Steps")).to_have_value("2000")


def test_choices_are_typed_slid_and_changed(tab):
    type_into(tab, "Heads", "7")
    wait_for_values(tab, 430, 8, 1e-3)
    expect(field(tab, "Heads")).to_have_value("8")
    expect(slider(tab, "Heads")).to_have_attribute("aria-valuetext", "8")
    slider(tab, "Heads").press("Home")
    wait_for_values(tab, 430, 1, 1e-3)
    slider(tab, "Heads").press("ArrowRight")
    slider(tab, "Heads").press("ArrowRight")
    wait_for_values(tab, 430, 4, 1e-3)
    field(tab, "Heads").press("ArrowUp")
    wait_for_values(tab, 430, 8, 1e-3)
    run_in_kernel(tab, "heads.choices = [1, 3, 5]")
    wait_for_values(tab, 430, 5, 1e-3)
    expect(slider(tab, "Heads")).to_have_attribute("aria-valuetext", "5")
    expect(slider(tab, "Heads")).to_have_js_property("max", "2")
    expect(field(tab, "Heads")).to_have_value("5")
    field(tab, "Heads").fill("1")  # what is being typed stays when choices change
    run_in_kernel(tab, "heads.choices = [1, 2, 5, 6]")
    expect(slider(tab, "Heads")).to_have_js_property("max", "3")
    field(tab, "Heads").press("Enter")
    wait_for_values(tab, 430, 1, 1e-3)


def test_a_rate_is_slid_in_even_steps_of_size(tab):
    rate = slider(tab, "Learning rate")
    expect(rate).to_have_js_property("value", "40")  # half way
    type_into(tab, "Learning rate", "0.00033")
    wait_for_values(tab, 430, 4, 0.00033)
    expect(rate).to_have_attribute("aria-valuetext", "0.00033")
    type_into(tab, "Learning rate", "1")
    wait_for_values(tab, 430, 4, 0.1)
    type_into(tab, "Learning rate", "1e-3")
    wait_for_values(tab, 430, 4, 0.001)
    field(tab, "Learning rate").press("ArrowDown")
    wait_for_values(tab, 430, 4, 0.00089)
    rate.press("ArrowLeft")
    wait_for_values(tab, 430, 4, 0.00079)
    rate.press("Home")
    wait_for_values(tab, 430, 4, 1e-5)
    seen = [1e-5]
    for _ in range(80):  # each press leads on, whatever was rounded
        rate.press("ArrowRight")
        seen.append(float(rate.get_attribute("aria-valuetext")))
    assert seen == sorted(set(seen)) and seen[-1] == 0.1
    assert all(len(f"{value:e}".split("e")[0].rstrip("0")) <= 3 for value in seen)
    wait_for_values(tab, 430, 4, 0.1)


def test_hints_are_tied_and_what_is_being_typed_stays(tab):
    steps = field(tab, "Steps")
    expect(steps).to_have_accessible_description("about 2 minutes")
    expect(slider(tab, "Steps")).to_have_accessible_description("about 2 minutes")
    expect(field(tab, "Learning rate")).to_have_accessible_description("")
    expect(field(tab, "Layers")).to_be_disabled()
    expect(slider(tab, "Layers")).to_be_disabled()
    steps.fill("17")
    run_in_kernel(tab, "steps.hint = '<i>soon</i>'; rate.disabled = True")
    expect(steps).to_have_accessible_description("<i>soon</i>")
    expect(steps).to_have_value("17")
    expect(field(tab, "Learning rate")).to_be_disabled()
    run_in_kernel(tab, "steps.value = 5")
    expect(steps).to_have_value("5")


def test_the_status_line_says_when_the_kernel_is_silent(tab):
    status = tab.locator(".bert-lab-status")
    silent = re.compile(
        r"^Step 3 of 430\. No word from the kernel for 1\d s.*: it is busy, or was "
    )
    run_in_kernel(tab, "status.is_going = True")
    for _ in range(3):  # whatever changes is a word
        tab.wait_for_timeout(5000)
        expect(status).to_have_text("Step 3 of 430.", timeout=1)
        run_in_kernel(tab, "status.beat += 1")
    tab.evaluate(
        """() => {
            window.changes = [];
            new MutationObserver(all => window.changes.push(
                ...all.filter(one => !one.target.closest?.("[aria-hidden]"))))
                .observe(document.querySelector(".bert-lab-status"),
                         {childList: true, subtree: true, characterData: true});
        }"""
    )
    expect(status).to_have_text(silent)
    tab.wait_for_timeout(2500)
    assert tab.evaluate("() => window.changes.length") == 1  # announced once
    run_in_kernel(tab, "status.beat += 1")
    expect(status).to_have_text("Step 3 of 430.")
    expect(status).to_have_text(silent)
    run_in_kernel(tab, "status.is_going = False")
    expect(status).to_have_text("Step 3 of 430.")


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_sliders_fit_the_page_in_both_themes(lab, tab, pictures, theme):
    lab.set_theme(theme)
    tab.set_viewport_size({"width": 900, "height": 700})
    lab.screenshot(pictures / f"sliders-{theme.lower()}.png")
    assert lab.axe() == []
    lab.set_theme("Light")
