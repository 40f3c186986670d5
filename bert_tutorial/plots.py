"""Pictures: a matplotlib Figure in, PNG bytes out.

No pyplot, so that threads can draw: it keeps one global figure.

Colours are safe for colour-blind readers, and every line also has a style of its own.
"""

import io
import threading
import warnings
from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imsave
from numpy.typing import ArrayLike

SAFE_COLOURS = (  # matplotlib's tableau-colorblind10, the darker ones first
    "#006BA4", "#FF800E", "#595959", "#5F9ED1", "#C85200",
    "#898989", "#A2C8EC", "#FFBC79", "#ABABAB", "#CFCFCF",
)  # fmt: skip
BLUE, ORANGE, GREY = SAFE_COLOURS[:3]
BESIDE = dict(loc="upper left", bbox_to_anchor=(1.0, 1.0))  # a legend where it covers nothing
_drawing = threading.Lock()  # matplotlib's fonts and caches are shared between figures


def new_figure(width: float, height: float, layout: str | None = "constrained") -> Figure:
    """An empty figure of width x height inches that can be drawn from any thread."""
    figure = Figure(figsize=(width, height), dpi=100, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def to_png(
    figure: Figure, compress_level: int = 6, draw: Callable[[], None] | None = None
) -> bytes:
    """Draw a figure, by `draw` if that is quicker; level 1 compresses quickly, 9 well."""
    with _drawing, warnings.catch_warnings():
        # A character that the font lacks is drawn as a box.
        warnings.filterwarnings("ignore", "Glyph")
        (draw or figure.canvas.draw)()
        png = io.BytesIO()
        pixels, compress = figure.canvas.buffer_rgba(), {"compress_level": compress_level}
        imsave(png, pixels, format="png", origin="upper", dpi=figure.dpi, pil_kwargs=compress)
        return png.getvalue()


def shorten(text: str, longest: int = 24) -> str:
    """A text on one line, and cut where it is too long.

    >>> shorten("a name  that is long", 10)
    'a name th…'
    """
    text = " ".join(text.split())
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def curves(
    series: dict[str, dict[str, float]],
    xlabel: str,
    ylabel: str,
    title: str = "",
    scale: str = "linear",
) -> bytes:
    """Lines over a few places: heights by place, as in `{"network": {"1": 0.7, "all": 0.9}}`.

    `scale` is of the heights: "linear" or "log".
    """
    figure = new_figure(7, 3.2)
    axes = figure.subplots()
    looks = map(cycle, (SAFE_COLOURS[:6], ("-", "--", ":", ":", "-.", "--"), "os^Dvx"))
    for (name, values), colour, line, mark in zip(series.items(), *looks, strict=False):
        heights = list(values.values())
        size = 6 if len(heights) > 1 else 11  # a place that is pointed at
        axes.plot(list(values), heights, line, marker=mark, ms=size, color=colour, label=name)
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title, yscale=scale)
    if scale == "log":
        axes.yaxis.set_major_formatter("{x:g}")
    axes.legend(fontsize="small", **BESIDE)
    return to_png(figure)


def heatmap(
    values: ArrayLike,
    row_labels: Sequence[str],
    column_labels: Sequence[str],
    title: str = "",
    low: float = -1.0,
    high: float = 1.0,
) -> bytes:
    """Numbers (rows, columns) as colours from `low` to `high`; in each cell its number if few."""
    values = np.asarray(values, dtype=float)
    rows, columns = values.shape
    figure = new_figure(max(3.5, 0.55 * columns + 2.2), max(2.2, 0.36 * rows + 1.5))
    axes = figure.subplots()
    image = axes.imshow(values, cmap="cividis", vmin=low, vmax=high, aspect="auto")
    names, aslant = list(map(shorten, column_labels)), dict(rotation=45, ha="right")
    axes.set_xticks(range(columns), names, parse_math=False, **aslant)
    axes.set_yticks(range(rows), list(map(shorten, row_labels)), parse_math=False)
    axes.set_title(title, fontsize="medium", parse_math=False)
    for (i, j), value in np.ndenumerate(values if values.size <= 200 else values[:0]):
        look = dict(color="black" if value > (low + high) / 2 else "white", fontsize="x-small")
        axes.text(j, i, f"{value:.2f}", ha="center", va="center", **look)
    figure.colorbar(image, ax=axes)
    return to_png(figure)


def bars(
    groups: dict[str, dict[str, float]],
    ylabel: str,
    title: str = "",
    baseline: float | None = None,
    intervals: dict[str, tuple[float, float]] | None = None,
) -> bytes:
    """Bars side by side: heights by label, as in `{"trained": {"a": 0.9}, "untrained": ...}`.

    `baseline` is a dashed line; `intervals` say, for each label, from where to where the first
    group's height could as well be.
    """
    labels = list(next(iter(groups.values())))
    figure = new_figure(min(11.0, max(5.0, 0.28 * len(labels) * len(groups) + 2)), 3.2)
    axes = figure.subplots()
    width = 0.8 / len(groups)
    looks = cycle(((BLUE, ""), (ORANGE, "//"), (GREY, "..")))
    for i, ((name, values), (colour, hatch)) in enumerate(zip(groups.items(), looks, strict=False)):
        x = np.arange(len(values)) + (i - (len(groups) - 1) / 2) * width
        heights = list(values.values())
        axes.bar(x, heights, width, label=name, color=colour, hatch=hatch, edgecolor="white")
        if intervals and i == 0:
            reach = np.abs(np.array([intervals[label] for label in labels]).T - heights)
            axes.errorbar(x, heights, yerr=reach, fmt="none", ecolor="black", elinewidth=0.8)
    rotation = 90 if len(labels) > 8 else 0
    axes.set_xticks(range(len(labels)), labels, rotation=rotation, parse_math=False)
    if baseline is not None:
        axes.axhline(baseline, color="black", linestyle="--", label=f"chance {baseline:.2f}")
    axes.margins(x=0.01)
    axes.set_ylabel(ylabel, parse_math=False)
    axes.set_title(title, fontsize="medium", parse_math=False)
    for label in axes.legend(fontsize="small", **BESIDE).get_texts():
        label.set_parse_math(False)
    return to_png(figure)


def sense_bars(scores: dict[str, dict[str, Any]]) -> bytes:
    """How many senses of each word are right, the best first; b"" if there is no word.

    Of each network the `SenseScore` of each word; the first network's come with intervals.
    """
    first = next(iter(scores.values()))
    if not first:
        return b""
    order = sorted(first, key=lambda word: -first[word].accuracy)
    heights = {name: {word: of[word].accuracy for word in order} for name, of in scores.items()}
    intervals = {word: first[word].interval for word in order}
    title = "Which sense? Held-out uses, nearest mean, 95 % intervals"
    return bars(heights, "senses right", title, baseline=0.5, intervals=intervals)


def label_lines(found: dict[str, Any], title: str = "") -> bytes:
    """How many senses are right, by the number of labels: `LabelCurve`s; b"" if all are empty."""
    series = {
        name: {str(number or "all"): value for number, value in of.mean.items()}
        for name, of in found.items()
        if of.mean
    }
    return curves(series, "labels of each sense", "senses right", title) if series else b""
