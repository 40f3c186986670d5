"""What the panels share: a column of widgets, their layout, long texts, HTML that is escaped."""

import threading
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import ipywidgets as ipw

from ...devices import one_thread
from ...notebook import Display, in_notebook

WIDE = ipw.Layout(width="34rem", max_width="100%")
WRAP = ipw.Layout(flex_flow="row wrap")
NAME = {"description_width": "10rem"}
FIELD = dict(continuous_update=False, layout=WIDE, style=NAME)  # of a text to type
LONGEST_TEXT = 2000  # characters that a widget reads of what somebody typed or pasted


class Panel(ipw.VBox):
    """A column of widgets, with a text in its place where widgets cannot be shown."""

    fallback = "Widget (run this cell to use it)"

    def __init__(self, children: list[ipw.Widget]):
        self._kept, self._static = "", Display()
        self._lock, self._is_busy = threading.RLock(), False
        self.is_shown = False  # whether there is a place for what is seen without a kernel
        super().__init__(children)
        self.add_class("bert-widget")

    def attempt(self, what: Callable[[], Any]) -> None:
        """Do what somebody asked for; the status line says why it cannot be done."""
        with self._lock, one_thread():  # callbacks may come on several threads; texts are small
            if self._is_busy:  # this thread's own change made another
                return
            self._is_busy = True
            try:
                what()
            except Exception as error:  # in a callback it would vanish
                self.status.say(str(error) or type(error).__name__, is_error=True)
            finally:
                self._is_busy = False

    def keep_static(self, body: str) -> None:
        """Keep some HTML in the notebook: seen without a kernel, hidden by a live view's style."""
        self._kept = body
        if self.is_shown and in_notebook():
            text = f"{self.fallback.partition(' (')[0]}, without a kernel"
            whole = f"<div class='bert-lab-static'>{body}</div>"
            self._static.show({"text/html": whole, "text/plain": text})

    def static_html(self) -> str:
        """What is kept there now."""
        return self._kept

    def _repr_mimebundle_(self, **_: object) -> dict:  # ipywidgets 7, as on Colab, has none
        view = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
        return {"text/plain": repr(self), "application/vnd.jupyter.widget-view+json": view}

    def _ipython_display_(self) -> None:
        Display().show(self._repr_mimebundle_())
        self.is_shown = True
        self.keep_static(self.static_html())

    def __repr__(self):  # ipywidgets, old and new, takes its text from here
        return self.fallback


def cut_note(*texts: str) -> str:
    """A sentence in front of others where a text is cut, else nothing."""
    is_cut = any(len(text) > LONGEST_TEXT for text in texts)
    return f"Only the first {LONGEST_TEXT:,} characters are read. " if is_cut else ""


def table(header: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> str:
    """A table whose cells are escaped."""
    head = "".join(f"<th scope='col'>{escape(cell)}</th>" for cell in header)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    about = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f"<table>{about}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def paragraph(text: str) -> str:
    """A paragraph of escaped text."""
    return f"<p>{escape(text)}</p>"
