"""Views of the training panel: a row of buttons, a picture, a table of runs."""

import traitlets as t

from .views import STATIC, View, module_of


def _css_with(name: str) -> str:
    return "".join((STATIC / file).read_text("utf-8") for file in ("views.css", name))


class ButtonRow(View):
    """Buttons side by side, of which some cannot be pressed now. They keep the focus.

    Attributes:
        names: What stands on them.
        active: Names of those that can be pressed.
        label: What the row is called for those who do not see it.
        clicked: `{"name": ..., "count": ...}` of the last click, or empty; the count rises.
    """

    _esm, _css = module_of("buttons.js"), _css_with("panel.css")
    fallback = "Buttons (open this notebook in JupyterLab to press them)"
    names, active = t.List(t.Unicode()).tag(sync=True), t.List(t.Unicode()).tag(sync=True)
    label = t.Unicode("Buttons").tag(sync=True)
    clicked = t.Dict().tag(sync=True)

    def press(self, name: str) -> None:
        """What a click on a button does; nothing where it cannot be pressed."""
        if name in self.active:
            self.clicked = {"name": name, "count": self.clicked.get("count", 0) + 1}


class Picture(View):
    """A picture that can be replaced; `alt` is for those who cannot see it, no `png` for none."""

    _esm, _css = module_of("picture.js"), _css_with("panel.css")
    fallback = "Picture (open this notebook in JupyterLab to see it)"
    png, alt = t.Bytes(b"").tag(sync=True), t.Unicode("").tag(sync=True)

    def show(self, png: bytes, alt: str) -> None:
        """Show another picture."""
        with self.hold_sync():
            self.png, self.alt = png, alt


class RunTable(View):
    """Training runs, one a row. What a user does arrives in `ticked` and `event`.

    Attributes:
        caption: One line above the table.
        columns: C headings of the cells; "Show" and "Run" stand before them.
        rows: Dictionaries: `id`, `name`, `cells` (C texts), `marked` (indices of cells in which the
            run differs from the others), `state`, `can_go_on` (whether there is a button "Go on"),
            `colour` and `dash` (of its curve: CSS, and SVG's dash pattern; empty without a curve).
        ticked: The `id` of each run whose box "Show" is ticked.
        event: `{"action": ..., "id": ..., "name": ..., "count": ...}` of what was asked for last,
            or empty: "rename" (to `name`), "delete" (the user is sure) or "go_on". The count rises.
    """

    _esm, _css = module_of("runs.js"), _css_with("runs.css")
    fallback = "Table of training runs (open this notebook in JupyterLab to see it)"
    caption = t.Unicode("Training runs").tag(sync=True)
    columns, rows = t.List(t.Unicode()).tag(sync=True), t.List(t.Dict()).tag(sync=True)
    ticked = t.List(t.Unicode()).tag(sync=True)
    event = t.Dict().tag(sync=True)
