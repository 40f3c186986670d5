"""Parts that the widgets share."""

import html

import ipywidgets as ipw

WIDE = ipw.Layout(width="34rem")


class Panel(ipw.VBox):
    """A column of widgets with a text that stands in for it where widgets cannot be shown (and in saved notebooks)."""

    fallback = "Widget (open this notebook in JupyterLab to use it)"

    def _repr_mimebundle_(self, **kwargs):
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle:
            bundle["text/plain"] = self.fallback
        return bundle


def slider_with_number(slider: ipw.IntSlider) -> ipw.HBox:
    """A slider and a number field that follow each other: a slider has no name for screen readers, the field has."""
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


def say(line: ipw.HTML, text: str, is_error: bool = False) -> None:
    """Show a sentence in a status line, whatever characters it holds."""
    line.value = f"<span role='status'>{'<b>Not possible:</b> ' if is_error else ''}{html.escape(text)}</span>"
