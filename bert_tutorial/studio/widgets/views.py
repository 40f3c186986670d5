"""Views in the browser: what the panels, the sentence lab and the explorers are made of.

Each is a class here and a file of JavaScript in `static/`. The numbers come in by traits, and what
a user does goes out by traits: a comment beside each says what it holds.
"""

from pathlib import Path
from typing import Any

import anywidget
import torch
import traitlets as t

STATIC = Path(__file__).parent / "static"
MAX_TOKENS = 64  # of an attention view; more lines than that nobody can follow


def text_of(*names: str) -> str:
    """Files of JavaScript or CSS, one behind the other."""
    return "".join((STATIC / name).read_text("utf-8") for name in names)


class View(anywidget.AnyWidget):
    """A widget all of whose traits reach the page, with a text where widgets cannot be shown."""

    _css = text_of("views.css")

    def __init_subclass__(cls, **how: Any):
        for trait in vars(cls).values():
            if isinstance(trait, t.TraitType):
                trait.tag(sync=True)
        super().__init_subclass__(**how)

    def __repr__(self):  # the display bundle takes its text from here
        return f"{type(self).__name__} (run this cell to see it)"


class TokenChips(View):
    """The tokens of a sentence, as buttons."""

    _esm = text_of("parts.js", "chips.js")
    tokens = t.List(t.Dict())  # `text`, `note` (small, under it; may be empty), `is_unknown`
    label = t.Unicode("Tokens")  # what the group is called for those who do not see it
    chosen = t.List(t.Int())  # indices of tokens that are drawn as pressed
    clicked = t.Dict()  # `{"index": ..., "count": ...}` of the last click, or empty; counts rise


class TokenHeatmap(View):
    """A table of numbers, coloured."""

    _esm = text_of("parts.js", "heatmap.js")
    rows, columns = t.List(t.Unicode()), t.List(t.Unicode())  # their names
    values = t.List(t.List())  # a list for each row; None or NaN is drawn as an empty cell
    low, high = t.Float(-1.0), t.Float(1.0)  # ends of the colours; beyond them nothing changes
    caption = t.Unicode()  # one line above the table
    marked = t.List(t.List(t.Int()))  # `[row, column]` of each cell with a frame
    strong = t.List(t.List(t.Int()))  # the same of cells beside which all others are pale, if any
    selected = t.List(t.Int())  # `[row, column]` of the cell that was clicked last


class AttentionView(View):
    """Who looks at whom: attention weights as lines between two columns of tokens."""

    _esm = text_of("parts.js", "attention.js")
    tokens = t.List(t.Unicode())
    attention = t.Bytes()  # float32 in C order: from the third axis to the fourth
    shape = t.List(t.Int(), [0, 0, 0, 0])  # layers, heads, tokens, tokens
    high = t.Float(0.0)  # the weight that the pictures show brightest; 0 for their highest
    layer, head = t.Int(0), t.Int(-1)  # which are shown, from 0; head -1 is the mean of all
    kept = t.Int(-1)  # index of the token whose weights alone are shown, or -1

    def show(self, tokens: list[str], attention: Any, kept: int = -1) -> None:
        """Show another sentence; layer and head stay where they exist.

        Args:
            tokens: L tokens; a ValueError if they are more than 64.
            attention: Array or tensor of shape `(layers, heads, L, L)`.
            kept: Index of the token whose weights alone are shown at first; -1 for all.
        """
        if len(tokens) > MAX_TOKENS:
            raise ValueError(f"{len(tokens)} tokens cannot be shown: 1 to {MAX_TOKENS} can")
        weights = torch.as_tensor(attention, dtype=torch.float32, device="cpu").detach().numpy()
        layers, heads, *_ = weights.shape
        with self.hold_sync():
            self.tokens, self.kept = list(tokens), kept
            self.shape, self.attention = list(weights.shape), weights.tobytes()
            self.layer, self.head = min(self.layer, layers - 1), min(self.head, heads - 1)


class PointMap(View):
    """Points in a plane, coloured and shaped by group, of which several can be selected."""

    _esm = text_of("parts.js", "points.js")
    # `x` and `y` (numbers), `group`, `label`, `text` (a sentence), and `kind`: "corpus", or "typed"
    # for larger points with a label.
    points = t.List(t.Dict())
    x_name, y_name, caption = t.Unicode("x"), t.Unicode("y"), t.Unicode()
    selected = t.List(t.Int())  # indices of points


class Meter(View):
    """Where words stand between two senses: one track for each row."""

    _esm = text_of("parts.js", "meter.js")
    # `label` (the same ones stand together), `source` ("network", or a control, which is folded
    # below it), `position` (-1 at the left sense, 1 at the right), `low` and `high` (a band, or
    # None), `left` and `right` (the senses), `text` (beside), `is_undecided` (a hollow marker).
    rows = t.List(t.Dict())
    caption = t.Unicode()  # one line above the tracks


class StatusLine(View):
    """A sentence below the controls: one element, so that screen readers announce its changes."""

    _esm = text_of("parts.js", "status.js")
    text, is_error = t.Unicode(), t.Bool(False)
    # Whether something runs that changes `text`, or else `beat`, every few seconds. If no trait
    # changes for 10 seconds, the page itself says that the kernel is silent.
    is_going, beat = t.Bool(False), t.Int(0)

    def say(self, text: str, is_error: bool = False) -> None:
        """Show another sentence; an error's says why something is not possible."""
        with self.hold_sync():
            self.text = f"Not possible: {text}" if is_error else text
            self.is_error = is_error


class ButtonRow(View):
    """Buttons side by side, of which some cannot be pressed now. They keep the focus."""

    _esm, _css = text_of("parts.js", "buttons.js"), text_of("views.css", "panel.css")
    names, active = t.List(t.Unicode()), t.List(t.Unicode())  # all, and those that can be pressed
    label = t.Unicode("Buttons")  # what the row is called for those who do not see it
    clicked = t.Dict()  # `{"name": ..., "count": ...}` of the last click, or empty; counts rise

    def press(self, name: str) -> None:
        """What a click on a button does; nothing where it cannot be pressed."""
        if name in self.active:
            self.clicked = {"name": name, "count": self.clicked.get("count", 0) + 1}


class Picture(View):
    """A picture that can be replaced; `alt` is for those who cannot see it, no `png` for none."""

    _esm, _css = text_of("parts.js", "picture.js"), text_of("views.css", "panel.css")
    png, alt = t.Bytes(b""), t.Unicode()

    def show(self, png: bytes, alt: str) -> None:
        """Show another picture."""
        with self.hold_sync():
            self.png, self.alt = png, alt


class RunTable(View):
    """Training runs, one a row. What a user does arrives in `ticked` and `event`."""

    _esm, _css = text_of("parts.js", "runs.js"), text_of("views.css", "runs.css")
    caption = t.Unicode("Training runs")  # one line above the table
    columns = t.List(t.Unicode())  # headings of the cells; "Show" and "Run" stand before them
    # `id`, `name`, `cells` (texts), `marked` (indices of cells in which the run differs from the
    # others), `state`, `can_go_on` (whether there is a button "Go on"), `colour` and `dash` (of its
    # curve: CSS, and SVG's dash pattern; empty without a curve).
    rows = t.List(t.Dict())
    ticked = t.List(t.Unicode())  # `id` of each run whose box "Show" is ticked
    # `{"action": ..., "id": ..., "name": ..., "count": ...}` of what was asked for last, or empty:
    # "rename" (to `name`), "delete" (the user is sure) or "go_on". The count rises.
    event = t.Dict()


class Slider(View):
    """A number with a name: a field to type it into, and a slider.

    The number follows the range or the choices when these change.
    """

    _esm = text_of("parts.js", "slider.js")
    scale = t.Unicode("whole", read_only=True)  # which numbers the slider leads to
    description, hint = t.Unicode(), t.Unicode()  # the field's name, and a small line under it
    disabled = t.Bool(False)  # it can still be read

    @t.validate("value")
    def _nearest(self, proposal: dict) -> float:
        return min(self.max, max(self.min, proposal["value"]))

    @t.observe("min", "max", "choices")
    def _move(self, _: dict) -> None:
        self.set_trait("value", self.value)


class NumberSlider(Slider):
    """A whole number, kept from `min` to `max`."""

    value, min, max = t.Int(0), t.Int(0), t.Int(100)


class ChoiceSlider(Slider):
    """One of the numbers `choices`, which rise; another becomes the nearest, the lower of two."""

    scale = t.Unicode("listed", read_only=True)
    value, choices = t.Int(0), t.List(t.Int(), [0])

    @t.validate("value")
    def _nearest(self, proposal: dict) -> int:
        return min(self.choices, key=lambda choice: abs(choice - proposal["value"]))


class RateSlider(Slider):
    """A number above 0 whose size matters, such as a learning rate, kept from `min` to `max`.

    The slider is logarithmic, and its numbers, but for both ends, have two significant digits.
    """

    scale = t.Unicode("logarithmic", read_only=True)
    value, min, max = t.Float(1e-3), t.Float(1e-5), t.Float(1.0)
