"""Sliders over numbers that do not lie evenly: over a list of choices, and over powers of ten.

`NumberSlider`, for whole numbers, stands in `views.py`.
"""

import math

import traitlets as t

from .views import NumberSlider, Slider

__all__ = ["ChoiceSlider", "NumberSlider", "RateSlider"]


class ChoiceSlider(Slider):
    """One of a few whole numbers.

    Attributes:
        value: The number; one that is no choice becomes the nearest choice, the lower of two.
        choices: Numbers that rise from one to the next. When they change, the value becomes the
            nearest of them.
    """

    fallback = "Slider over choices (open this notebook in JupyterLab to move it)"
    scale = t.Unicode("listed", read_only=True).tag(sync=True)
    value = t.Int(0).tag(sync=True)
    choices = t.List(t.Int(), [0]).tag(sync=True)

    @t.validate("choices")
    def _rising(self, proposal: dict) -> list[int]:
        choices = proposal["value"]
        if not choices or choices != sorted(set(choices)):
            raise t.TraitError(f"choices must be numbers that rise, one or more: {choices}")
        return choices

    @t.validate("value")
    def _nearest(self, proposal: dict) -> int:
        return min(self.choices, key=lambda choice: abs(choice - proposal["value"]))

    @t.observe("choices")
    def _move_to_choice(self, _: dict) -> None:
        self.set_trait("value", self.value)


class RateSlider(Slider):
    """A number above 0 whose size matters, such as a learning rate; the slider is logarithmic.

    Attributes:
        value: The number, kept from `min` to `max`. The field takes any; the slider's have two
            significant digits, but for both ends.
        min, max: The range, above 0. When it changes, the value is kept within it.
    """

    fallback = "Slider over powers of ten (open this notebook in JupyterLab to move it)"
    scale = t.Unicode("logarithmic", read_only=True).tag(sync=True)
    value = t.Float(1e-3).tag(sync=True)
    min = t.Float(1e-5).tag(sync=True)
    max = t.Float(1.0).tag(sync=True)

    @t.validate("min", "max")
    def _above_zero(self, proposal: dict) -> float:
        if not 0 < proposal["value"] < math.inf:  # also if NaN
            raise t.TraitError(f"{proposal['trait'].name} must be above 0: {proposal['value']}")
        return proposal["value"]

    @t.validate("value")
    def _in_range(self, proposal: dict) -> float:
        if math.isnan(proposal["value"]):
            raise t.TraitError("value must be a number")
        return min(self.max, max(self.min, proposal["value"]))

    @t.observe("min", "max")
    def _move_into_range(self, _: dict) -> None:
        self.set_trait("value", self.value)
