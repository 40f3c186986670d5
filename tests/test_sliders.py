"""Sliders and the status line, without a browser: traits, and what wrong values become."""

import re

import anywidget
import pytest
import traitlets

from bert_tutorial.studio.widgets import views
from bert_tutorial.studio.widgets.sliders import ChoiceSlider, NumberSlider, RateSlider
from bert_tutorial.studio.widgets.status import StatusLine

COMMON = {"scale", "value", "description", "hint", "disabled"}


@pytest.mark.parametrize(
    ("widget", "more"),
    [
        (NumberSlider, COMMON | {"min", "max"}),
        (ChoiceSlider, COMMON | {"choices"}),
        (RateSlider, COMMON | {"min", "max"}),
        (StatusLine, {"text", "is_error", "is_going", "beat"}),
    ],
)
def test_all_traits_reach_the_browser(widget, more):
    made = widget()
    esm = str(made._esm)
    own = set(made.trait_names()) - set(anywidget.AnyWidget().trait_names()) - {"_css", "_esm"}
    assert own == more and own <= set(made.get_state())
    assert own <= set(re.findall(r'\b(?:change:)?([a-z_]+)(?="| change:)', esm))


def test_number_slider_is_where_it_was():
    assert views.NumberSlider is NumberSlider
    assert NumberSlider(value=9, min=1, max=4).value == 4


@pytest.mark.parametrize(("typed", "value"), [(70, 64), (96, 64), (97, 128), (-5, 32), (999, 128)])
def test_the_nearest_choice_is_taken(typed, value):
    slider = ChoiceSlider(choices=[32, 64, 128], value=64)
    slider.value = typed
    assert slider.value == value
    assert ChoiceSlider(choices=[32, 64, 128], value=typed).value == value


def test_other_choices_move_the_value_to_the_nearest():
    slider, heard = ChoiceSlider(choices=[1, 2, 4, 8], value=8), []
    assert ChoiceSlider(choices=[3, 5]).value == 3
    slider.observe(lambda change: heard.append(change["new"]), names="value")
    slider.choices = [1, 3, 5]
    slider.choices = [1, 5]  # it is still there
    assert slider.value == 5 and heard == [5]


@pytest.mark.parametrize("choices", [[], [2, 1], [1, 1]])
def test_choices_must_rise(choices):
    slider = ChoiceSlider(choices=[1, 2], value=2)
    with pytest.raises(traitlets.TraitError, match="numbers that rise"):
        slider.choices = choices
    assert (slider.choices, slider.value) == ([1, 2], 2)


def test_a_rate_stays_in_its_range():
    slider = RateSlider(value=3.3e-4, min=1e-5, max=1e-2)
    assert slider.value == 3.3e-4
    slider.value = 1.0
    assert slider.value == 1e-2
    slider.value = 0
    assert slider.value == 1e-5
    slider.min = 1e-4
    assert slider.value == 1e-4
    assert RateSlider(min=0.01).value == 0.01


@pytest.mark.parametrize("wrong", [{"min": 0}, {"max": -1}, {"min": float("nan")}])
def test_the_range_of_a_rate_is_above_zero(wrong):
    with pytest.raises(traitlets.TraitError, match="must be above 0"):
        RateSlider(**wrong)
    with pytest.raises(traitlets.TraitError, match="must be a number"):
        RateSlider(value=float("nan"))
