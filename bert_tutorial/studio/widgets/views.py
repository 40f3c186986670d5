"""Views in the browser: chips, heatmap, attention, map of points, meter.

Views only: the numbers come in by traits, and what a user does goes out by traits. Each view is a
class here and a file of the same name in `static/`.

L: tokens of a sentence. H: heads.
"""

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
    parts, view = (STATIC / file for file in ("parts.js", name))
    return parts.read_text("utf-8") + view.read_text("utf-8")


class View(anywidget.AnyWidget):
    """A widget with a text in its place where widgets cannot be shown."""

    _css = STATIC / "views.css"
    fallback = "View (open this notebook in JupyterLab to see it)"

    def __repr__(self):  # the display bundle takes its text from here
        return self.fallback


class TokenChips(View):
    """The tokens of a sentence, as buttons.

    Attributes:
        tokens: L dictionaries with the keys `text`, `note` (shown small under the word; may be
            empty) and `is_unknown` (whether the vocabulary lacks the word).
        label: What the group is called for those who do not see it.
        chosen: Indices of tokens that are drawn as pressed.
        clicked: `{"index": ..., "count": ...}` of the last click, or empty; the count rises each
            time, so that a second click on the same token is noticed as well.
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
        rows, columns: Names of the R rows and the C columns.
        values: R lists of C numbers; None or a missing number is drawn as an empty cell.
        low, high: Numbers at both ends of the colours; beyond them the colour stays the same.
        caption: One line above the table.
        marked: `[row, column]` of each cell that gets a frame.
        selected: `[row, column]` of the cell that was clicked, or empty.
    """

    _esm = module_of("heatmap.js")
    fallback = "Heatmap of tokens (open this notebook in JupyterLab to see it)"
    rows = t.List(t.Unicode()).tag(sync=True)
    columns = t.List(t.Unicode()).tag(sync=True)
    values = t.List(t.List()).tag(sync=True)
    low = t.Float(-1.0).tag(sync=True)
    high = t.Float(1.0).tag(sync=True)
    caption = t.Unicode().tag(sync=True)
    marked = t.List(t.List(t.Int())).tag(sync=True)
    selected = t.List(t.Int()).tag(sync=True)


class AttentionView(View):
    """Who looks at whom: attention weights as lines between two columns of tokens.

    `attention_view` makes one from an array.

    Attributes:
        tokens: L tokens.
        attention: Weights as bytes: float32, C order.
        shape: Their shape, `[layers, H, L, L]`: from the third axis to the fourth.
        layer: Which layer is shown, from 0.
        head: Which head, from 0; -1 is the mean of all heads.
        kept: Index of the token whose weights alone are shown, or -1.
    """

    _esm = module_of("attention.js")
    fallback = "Attention between tokens (open this notebook in JupyterLab to see it)"
    tokens = t.List(t.Unicode()).tag(sync=True)
    attention = t.Bytes().tag(sync=True)
    shape = t.List(t.Int(), [0, 0, 0, 0]).tag(sync=True)
    layer = t.Int(0).tag(sync=True)
    head = t.Int(-1).tag(sync=True)
    kept = t.Int(-1).tag(sync=True)

    def show(self, tokens: list[str], attention: Any) -> None:
        """Show another sentence; layer and head stay where they exist.

        Args:
            tokens: L tokens.
            attention: Array or tensor of shape `(layers, H, L, L)`; each row sums to 1.

        Raises:
            ValueError: The shape does not fit, or the rows do not sum to 1.
        """
        weights = _checked(tokens, attention)
        layers, heads, *_ = weights.shape
        with self.hold_sync():
            self.tokens, self.kept = list(tokens), -1
            self.shape, self.attention = list(weights.shape), weights.tobytes()
            self.layer, self.head = min(self.layer, layers - 1), min(self.head, heads - 1)


def attention_view(tokens: list[str], attention: Any) -> AttentionView:
    """A view of anybody's attention weights.

    Args:
        tokens: L tokens, at most 64.
        attention: Array or tensor of shape `(layers, H, L, L)`; each row sums to 1.

    Returns:
        The view, at the first layer and the mean of its heads.

    Raises:
        ValueError: The shape does not fit, or the rows do not sum to 1.
    """
    view = AttentionView()
    view.show(tokens, attention)
    return view


def _checked(tokens: list[str], attention: Any) -> np.ndarray:
    """The weights as float32 of shape `(layers, H, L, L)`; a ValueError says what is wrong."""
    if hasattr(attention, "detach"):  # a tensor, on whatever device
        attention = attention.detach().cpu().float().numpy()
    weights, length = np.ascontiguousarray(attention, dtype=np.float32), len(tokens)
    if not 1 <= length <= MAX_TOKENS:
        raise ValueError(f"{length} tokens cannot be shown: 1 to {MAX_TOKENS} can")
    if weights.ndim != 4 or weights.shape[2:] != (length, length) or not weights.size:
        raise ValueError(
            f"attention has the shape {weights.shape}, but {length} tokens need "
            f"(layers, heads, {length}, {length})"
        )
    sums = weights.sum(-1)
    if not np.all(np.abs(sums - 1) <= SUM_TOLERANCE) or weights.min() < 0:  # also if NaN
        raise ValueError(
            "each row of attention must consist of weights that are not negative and sum to 1; "
            f"here the sums run from {sums.min():.3g} to {sums.max():.3g}"
        )
    return weights


class PointMap(View):
    """Points in a plane, coloured and shaped by group, of which several can be selected.

    Attributes:
        points: Dictionaries with the keys `x` and `y` (numbers), `group`, `kind` ("corpus", or
            "typed" for larger points with a label), `label`, and `text` (a sentence).
        x_name, y_name: Names of the axes.
        caption: One line above the map.
        selected: Indices of the selected points.
    """

    _esm = module_of("points.js")
    fallback = "Map of points (open this notebook in JupyterLab to see it)"
    points = t.List(t.Dict()).tag(sync=True)
    x_name = t.Unicode("x").tag(sync=True)
    y_name = t.Unicode("y").tag(sync=True)
    caption = t.Unicode().tag(sync=True)
    selected = t.List(t.Int()).tag(sync=True)


class Meter(View):
    """Where words stand between two senses: one track for each row.

    Attributes:
        rows: Dictionaries with the keys `label` (rows of the same label stand together), `source`
            ("network", or a control, which is drawn fainter), `position` (from -1 at the left
            sense to 1 at the right one), `low` and `high` (ends of a band; may be None), `left`
            and `right` (names of the senses), and `text` (shown beside the track).
        caption: One line above the tracks.
    """

    _esm = module_of("meter.js")
    fallback = "Meter of senses (open this notebook in JupyterLab to see it)"
    rows = t.List(t.Dict()).tag(sync=True)
    caption = t.Unicode().tag(sync=True)


class Slider(View):
    """A number with a name: a field to type it into, and a slider. `sliders.py` has more kinds.

    Attributes:
        scale: Which numbers the slider leads to: "whole", "listed" or "logarithmic".
        description: The field's name.
        hint: A small line under it, or empty.
        disabled: Whether it can be read but not changed.
    """

    _esm = module_of("slider.js")
    fallback = "Slider (open this notebook in JupyterLab to move it)"
    scale = t.Unicode("whole", read_only=True).tag(sync=True)
    description = t.Unicode("").tag(sync=True)
    hint = t.Unicode("").tag(sync=True)
    disabled = t.Bool(False).tag(sync=True)


class NumberSlider(Slider):
    """A whole number.

    Attributes:
        value: The number, kept from `min` to `max`.
        min, max: The range.
    """

    value = t.Int(0).tag(sync=True)
    min = t.Int(0).tag(sync=True)
    max = t.Int(100).tag(sync=True)

    @t.validate("value")
    def _in_range(self, proposal: dict) -> int:
        return min(self.max, max(self.min, proposal["value"]))
