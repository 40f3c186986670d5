"""A status line: one element whose text changes, so that screen readers announce it."""

import anywidget
import traitlets as t

from .views import STATIC


class StatusLine(anywidget.AnyWidget):
    """A sentence below the controls.

    Attributes:
        text: Any characters; shown as they are.
        is_error: Whether it says why something is not possible.
        is_going: Whether something runs that changes `text` or `beat` every few seconds. If no
            trait changes for 10 seconds, the page itself says that the kernel is silent.
        beat: A number to change when there is no other text to show.
    """

    _esm, _css = STATIC / "status.js", STATIC / "status.css"
    text = t.Unicode().tag(sync=True)
    is_error = t.Bool(False).tag(sync=True)
    is_going = t.Bool(False).tag(sync=True)
    beat = t.Int(0).tag(sync=True)

    def say(self, text: str, is_error: bool = False) -> None:
        """Show another sentence."""
        with self.hold_sync():
            self.text = f"Not possible: {text}" if is_error else text
            self.is_error = is_error

    def __repr__(self):
        return self.text
