"""Two small views of the training panel: a row of buttons, and a picture."""

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
