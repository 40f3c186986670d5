"""Views of the training panel: a row of buttons, a picture, a table of runs."""

import traitlets as t

from .views import STATIC, View, module_of

_CSS = "".join((STATIC / name).read_text("utf-8") for name in ("views.css", "panel.css"))


class ButtonRow(View):
    """Buttons side by side, of which some cannot be pressed now. They keep the focus.

    Attributes:
        names: What stands on them.
        active: Names of those that can be pressed.
        label: What the row is called for those who do not see it.
        clicked: `{"name": ..., "count": ...}` of the last click, or empty; the count rises.
    """

    _esm, _css = module_of("buttons.js"), _CSS
    fallback = "Buttons (open this notebook in JupyterLab to press them)"
    names = t.List(t.Unicode()).tag(sync=True)
    active = t.List(t.Unicode()).tag(sync=True)
    label = t.Unicode("Buttons").tag(sync=True)
    clicked = t.Dict().tag(sync=True)

    def press(self, name: str) -> None:
        """What a click on a button does; nothing where it cannot be pressed."""
        if name in self.active:
            self.clicked = {"name": name, "count": self.clicked.get("count", 0) + 1}


class Picture(View):
    """A picture that can be replaced.

    Attributes:
        png: The picture; nothing is shown while it is empty.
        alt: What it shows, for those who cannot see it.
    """

    _esm, _css = module_of("picture.js"), _CSS
    fallback = "Picture (open this notebook in JupyterLab to see it)"
    png = t.Bytes(b"").tag(sync=True)
    alt = t.Unicode("").tag(sync=True)

    def show(self, png: bytes, alt: str) -> None:
        """Show another picture."""
        with self.hold_sync():
            self.png, self.alt = png, alt


class RunTable(View):
    """Training runs, one a row. What a user does arrives in `ticked` and `event`.

    Attributes:
        caption: The table's name, one line above it.
        columns: C headings of the cells; "Show" and "Run" stand before them.
        rows: Dictionaries with the keys `id` (no two alike), `name`, `cells` (C texts), `marked`
            (indices of cells in which this run differs from the others), `state` (such as
            "running"), `can_go_on` (whether it has the button "Go on"), `colour` and `dash` (a CSS
            colour and an SVG dash pattern, as of the run's curve; empty where it has none).
        ticked: The `id` of each run whose box "Show" is ticked.
        event: `{"action": ..., "id": ..., "name": ..., "count": ...}` of what was asked for last,
            or empty. The action is "rename" (`name` is the new name), "delete" (the user has been
            asked whether to) or "go_on". The count rises each time.
    """

    _esm = module_of("runs.js")
    _css = "".join((STATIC / name).read_text("utf-8") for name in ("views.css", "runs.css"))
    fallback = "Table of training runs (open this notebook in JupyterLab to see it)"
    caption = t.Unicode("Training runs").tag(sync=True)
    columns = t.List(t.Unicode()).tag(sync=True)
    rows = t.List(t.Dict()).tag(sync=True)
    ticked = t.List(t.Unicode()).tag(sync=True)
    event = t.Dict().tag(sync=True)
