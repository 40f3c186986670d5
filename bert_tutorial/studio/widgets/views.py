"""Views in the browser: chips, heatmap, attention, map of points, meter, sliders, status line.

Views only: the numbers come in by traits, and what a user does goes out by traits. Each view is a
class here and a file of JavaScript in `static/`.

L: tokens of a sentence. H: heads.
"""

import math
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets as t

STATIC = Path(__file__).parent / "static"
MAX_TOKENS = 64  # of an attention view; more lines than that nobody can follow
SUM_TOLERANCE = 0.02  # of a row of attention weights: sixteen bits are enough


def module_of(name: str) -> str:
    """A view's JavaScript, behind the functions that all views share."""
    return "".join((STATIC / file).read_text("utf-8") for file in ("parts.js", name))


class View(anywidget.AnyWidget):
    """A widget with a text in its place where widgets cannot be shown."""

    _css = STATIC / "views.css"
    fallback = "View (open this notebook in JupyterLab to see it)"

    def __repr__(self):  # the display bundle takes its text from here
        return self.fallback


class TokenChips(View):
    """The tokens of a sentence, as buttons.

    Attributes:
        tokens: L dictionaries: `text`, `note` (small, under the word; may be empty), `is_unknown`.
        label: What the group is called for those who do not see it.
        chosen: Indices of tokens that are drawn as pressed.
        clicked: `{"index": ..., "count": ...}` of the last click, or empty; the count rises.
    """

    _esm = module_of("chips.js")
    fallback = "Tokens of a sentence (open this notebook in JupyterLab to see them)"
    tokens = t.List(t.Dict()).tag(sync=True)
    label = t.Unicode("Tokens").tag(sync=True)
    chosen = t.List(t.Int()).tag(sync=True)
    clicked = t.Dict().tag(sync=True)


class TokenHeatmap(View):
    """A table of numbers, coloured.

    Attributes:
        rows, columns: Names of R rows and C columns.
        values: R lists of C numbers; None or a missing number is drawn as an empty cell.
        low, high: Numbers at both ends of the colours; beyond them the colour stays the same.
        caption: One line above the table.
        marked, selected: `[row, column]` of each cell with a frame; of the one clicked last.
    """

    _esm = module_of("heatmap.js")
    fallback = "Heatmap of tokens (open this notebook in JupyterLab to see it)"
    rows = t.List(t.Unicode()).tag(sync=True)
    columns = t.List(t.Unicode()).tag(sync=True)
    values = t.List(t.List()).tag(sync=True)
    low, high = t.Float(-1.0).tag(sync=True), t.Float(1.0).tag(sync=True)
    caption = t.Unicode().tag(sync=True)
    marked = t.List(t.List(t.Int())).tag(sync=True)
    selected = t.List(t.Int()).tag(sync=True)


class AttentionView(View):
    """Who looks at whom: attention weights, anybody's, as lines between two columns of tokens.

    Attributes:
        tokens: L tokens.
        attention, shape: Weights as bytes, float32 in C order, and `[layers, H, L, L]`: from the
            third axis to the fourth.
        layer, head: Which are shown, from 0; head -1 is the mean of all.
        kept: Index of the token whose weights alone are shown, or -1.
    """

    _esm = module_of("attention.js")
    fallback = "Attention between tokens (open this notebook in JupyterLab to see it)"
    tokens = t.List(t.Unicode()).tag(sync=True)
    attention = t.Bytes().tag(sync=True)
    shape = t.List(t.Int(), [0, 0, 0, 0]).tag(sync=True)
    layer, head = t.Int(0).tag(sync=True), t.Int(-1).tag(sync=True)
    kept = t.Int(-1).tag(sync=True)

    def show(self, tokens: list[str], attention: Any) -> None:
        """Show another sentence; layer and head stay where they exist.

        Args:
            tokens: L tokens, at most 64.
            attention: Array or tensor of shape `(layers, H, L, L)`; each row sums to 1.

        Raises:
            ValueError: The shape does not fit, or the rows do not sum to 1.
        """
        if hasattr(attention, "detach"):  # a tensor, on whatever device
            attention = attention.detach().cpu().float().numpy()
        weights, length = np.ascontiguousarray(attention, dtype=np.float32), len(tokens)
        if not 1 <= length <= MAX_TOKENS:
            raise ValueError(f"{length} tokens cannot be shown: 1 to {MAX_TOKENS} can")
        if weights.ndim != 4 or weights.shape[2:] != (length, length) or not weights.size:
            needed = f"{length} tokens need (layers, heads, {length}, {length})"
            raise ValueError(f"attention has the shape {weights.shape}, but {needed}")
        sums = weights.sum(-1)
        if not np.all(np.abs(sums - 1) <= SUM_TOLERANCE) or weights.min() < 0:  # also if NaN
            found = f"here the sums run from {sums.min():.3g} to {sums.max():.3g}"
            raise ValueError(f"each row of attention must sum to 1 and not be negative; {found}")
        layers, heads, *_ = weights.shape
        with self.hold_sync():
            self.tokens, self.kept = list(tokens), -1
            self.shape, self.attention = list(weights.shape), weights.tobytes()
            self.layer, self.head = min(self.layer, layers - 1), min(self.head, heads - 1)


class PointMap(View):
    """Points in a plane, coloured and shaped by group, of which several can be selected.

    Attributes:
        points: Dictionaries: `x` and `y` (numbers), `group`, `kind` ("corpus", or "typed" for
            larger points with a label), `label`, and `text` (a sentence).
        x_name, y_name, caption: Names of the axes, and one line above the map.
        selected: Indices of points.
    """

    _esm = module_of("points.js")
    fallback = "Map of points (open this notebook in JupyterLab to see it)"
    points = t.List(t.Dict()).tag(sync=True)
    x_name, y_name = t.Unicode("x").tag(sync=True), t.Unicode("y").tag(sync=True)
    caption = t.Unicode().tag(sync=True)
    selected = t.List(t.Int()).tag(sync=True)


class Meter(View):
    """Where words stand between two senses: one track for each row.

    Attributes:
        rows: Dictionaries: `label` (the same ones stand together), `source` ("network", or a
            control, which is drawn fainter), `position` (-1 at the left sense, 1 at the right),
            `low` and `high` (a band, or None), `left` and `right` (the senses), `text` (beside).
        caption: One line above the tracks.
    """

    _esm = module_of("meter.js")
    fallback = "Meter of senses (open this notebook in JupyterLab to see it)"
    rows = t.List(t.Dict()).tag(sync=True)
    caption = t.Unicode().tag(sync=True)


class StatusLine(View):
    """A sentence below the controls: one element, so that screen readers announce its changes.

    Attributes:
        text: Any characters; shown as they are.
        is_error: Whether it says why something is not possible.
        is_going: Whether something runs that changes `text` or `beat` every few seconds. If no
            trait changes for 10 seconds, the page itself says that the kernel is silent.
        beat: A number to change when there is no other text to show.
    """

    _esm = module_of("status.js")
    text = t.Unicode().tag(sync=True)
    is_error, is_going = t.Bool(False).tag(sync=True), t.Bool(False).tag(sync=True)
    beat = t.Int(0).tag(sync=True)

    def say(self, text: str, is_error: bool = False) -> None:
        """Show another sentence."""
        with self.hold_sync():
            self.text = f"Not possible: {text}" if is_error else text
            self.is_error = is_error

    def __repr__(self):
        return self.text


class Slider(View):
    """A number with a name: a field to type it into, and a slider.

    Attributes:
        scale: Which numbers the slider leads to: "whole", "listed" or "logarithmic".
        description: The field's name.
        hint: A small line under it, or empty.
        disabled: Whether it can be read but not changed.
        value: The number; it follows the range or the choices when these change.
    """

    _esm = module_of("slider.js")
    fallback = "Slider (open this notebook in JupyterLab to move it)"
    scale = t.Unicode("whole", read_only=True).tag(sync=True)
    description, hint = t.Unicode("").tag(sync=True), t.Unicode("").tag(sync=True)
    disabled = t.Bool(False).tag(sync=True)

    @t.validate("value")
    def _nearest(self, proposal: dict) -> float:
        return min(self.max, max(self.min, proposal["value"]))

    @t.observe("min", "max", "choices")
    def _move(self, _: dict) -> None:
        self.set_trait("value", self.value)


class NumberSlider(Slider):
    """A whole number, kept from `min` to `max`."""

    value = t.Int(0).tag(sync=True)
    min, max = t.Int(0).tag(sync=True), t.Int(100).tag(sync=True)


class ChoiceSlider(Slider):
    """One of the numbers `choices`, which rise; another becomes the nearest, the lower of two."""

    scale = t.Unicode("listed", read_only=True).tag(sync=True)
    value = t.Int(0).tag(sync=True)
    choices = t.List(t.Int(), [0]).tag(sync=True)

    @t.validate("value")
    def _nearest(self, proposal: dict) -> int:
        return min(self.choices, key=lambda choice: abs(choice - proposal["value"]))

    @t.validate("choices")
    def _rising(self, proposal: dict) -> list[int]:
        choices = proposal["value"]
        if not choices or choices != sorted(set(choices)):
            raise t.TraitError(f"choices must be numbers that rise, one or more: {choices}")
        return choices


class RateSlider(Slider):
    """A number above 0 whose size matters, such as a learning rate, kept from `min` to `max`.

    The slider is logarithmic, and its numbers, but for both ends, have two significant digits.
    """

    scale = t.Unicode("logarithmic", read_only=True).tag(sync=True)
    value = t.Float(1e-3).tag(sync=True)
    min, max = t.Float(1e-5).tag(sync=True), t.Float(1.0).tag(sync=True)

    @t.validate("min", "max")
    def _above_zero(self, proposal: dict) -> float:
        if not 0 < proposal["value"] < math.inf:  # also if NaN
            raise t.TraitError(f"{proposal['trait'].name} must be above 0: {proposal['value']}")
        return proposal["value"]

    @t.validate("value")
    def _nearest(self, proposal: dict) -> float:
        if math.isnan(proposal["value"]):
            raise t.TraitError("value must be a number")
        return super()._nearest(proposal)
