"""Parts that the widgets share."""

import ipywidgets as ipw

from ...notebook import Display, in_notebook

WIDE = ipw.Layout(width="34rem", max_width="100%")
NAME = {"description_width": "10rem"}


class Static(Display):
    """What a notebook shows that is opened without a kernel.

    The style of `StatusLine`, which only a live front end has, hides it.

    Attributes:
        is_shown: Whether there is a place for it; until then nothing is shown.
    """

    is_shown = False

    def show(self, body: str, text: str) -> None:
        """Keep some HTML in the notebook, and a text for what shows none."""
        if self.is_shown and in_notebook():
            shown = f"<div class='bert-lab-static'>{body}</div>"
            super().show({"text/html": shown, "text/plain": text})


class Panel(ipw.VBox):
    """A column of widgets, with a text in its place where widgets cannot be shown."""

    fallback = "Widget (open this notebook in JupyterLab to use it)"

    def __init__(self, children: list[ipw.Widget]):
        self.static, self._kept = Static(), ""
        super().__init__(children)

    def keep_static(self, body: str) -> None:
        """Show some HTML in the widget's place where there is no kernel."""
        self._kept = body
        self.static.show(body, f"{self.fallback.partition(' (')[0]}, without a kernel")

    def static_html(self) -> str:
        """What is kept there now."""
        return self._kept

    def _ipython_display_(self) -> None:
        """Show the widget, and under it what is seen where there is no kernel."""
        Display().show(self._repr_mimebundle_())
        self.static.is_shown = True
        self.keep_static(self.static_html())

    def __repr__(self):  # ipywidgets, old and new, takes its text from here
        return self.fallback


LONGEST_TEXT = 2000  # characters that a widget reads of what somebody typed or pasted


def shortened(text: str) -> str:
    """What somebody typed or pasted, cut before it takes long to read."""
    return text[:LONGEST_TEXT]


def cut_note(*texts: str) -> str:
    """A sentence in front of others where a text was cut, else nothing."""
    is_cut = any(len(text) > LONGEST_TEXT for text in texts)
    return f"Only the first {LONGEST_TEXT:,} characters are read. " if is_cut else ""
