"""Parts that the widgets share."""

import html

import ipywidgets as ipw

from ..notebook import Display, in_notebook

WIDE = ipw.Layout(width="34rem", max_width="100%")
NAME = {"description_width": "10rem"}


class Panel(ipw.VBox):
    """A column of widgets, with a text in its place where widgets cannot be shown."""

    fallback = "Widget (open this notebook in JupyterLab to use it)"

    def __repr__(self):  # ipywidgets, old and new, takes its text from here
        return self.fallback


def slider_with_number(slider: ipw.IntSlider) -> ipw.HBox:
    """A slider and a number field that follow each other; the field has the name."""
    slider.readout = False
    number = ipw.BoundedIntText(
        value=slider.value,
        min=slider.min,
        max=slider.max,
        step=slider.step,
        description=slider.description,
        style={"description_width": "6rem"},
        layout=ipw.Layout(width="12rem"),
    )
    slider.description = ""
    ipw.jslink((slider, "value"), (number, "value"))
    return ipw.HBox([number, slider])


LONGEST_TEXT = 2000  # characters that a widget reads of what somebody typed or pasted


def shortened(text: str) -> str:
    """What somebody typed or pasted, cut before it takes long to read."""
    return text[:LONGEST_TEXT]


def cut_note(*texts: str) -> str:
    """A sentence in front of others where a text was cut, else nothing."""
    is_cut = any(len(text) > LONGEST_TEXT for text in texts)
    return f"Only the first {LONGEST_TEXT:,} characters are read. " if is_cut else ""


def say(line: ipw.HTML, text: str, is_error: bool = False) -> None:
    """Show a sentence in a status line, whatever characters it holds."""
    lead = "<b>Not possible:</b> " if is_error else ""
    line.value = f"<span role='status'>{lead}{html.escape(text)}</span>"


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
