"""Pictures: a matplotlib Figure in, PNG bytes out.

No pyplot, so that threads can draw: it keeps one global figure.

Colours are safe for colour-blind readers, and every line also has a style of its own.
"""

import io
import itertools
import threading
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from .pretraining.baselines import Baselines
    from .pretraining.evaluation import Evaluation
    from .pretraining.training import Step

BLUE, ORANGE, GREY = "#006BA4", "#FF800E", "#595959"  # of matplotlib's tableau-colorblind10
LONGEST_LABEL = 24  # characters of a token in a heatmap
_drawing = threading.Lock()  # matplotlib's fonts and caches are shared between figures


def new_figure(width: float, height: float, layout: str | None = "constrained") -> Figure:
    """An empty figure of width x height inches that can be drawn from any thread."""
    figure = Figure(figsize=(width, height), dpi=100, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def to_png(figure: Figure) -> bytes:
    """Draw a figure."""
    with _drawing, warnings.catch_warnings():
        # A character that the font lacks is drawn as a box.
        warnings.filterwarnings("ignore", "Glyph")
        png = io.BytesIO()
        figure.canvas.print_png(png)
        return png.getvalue()


class LossPlot:
    """Training curves that grow, each with its baselines: MLM loss, and NSP where it is played.

    Args:
        num_steps: Where the x axis ends.
        baselines: Losses of predictors without a network, drawn as horizontal lines.
        with_nsp: Whether the next-sentence game is played.
    """

    def __init__(self, num_steps: int, baselines: "Baselines", with_nsp: bool = True):
        self.figure, self.baselines = new_figure(8, 3, layout=None), baselines
        names = {"mlm_loss": "masked words (MLM)", "nsp_loss": "next sentence (NSP)"}
        names = names if with_nsp else {"mlm_loss": names["mlm_loss"]}
        # Fixed margins: faster, and nothing moves while the curves grow.
        self.figure.subplots_adjust(left=0.08, right=0.98, top=0.8, bottom=0.17, wspace=0.25)
        panels = self.figure.subplots(1, len(names), squeeze=False)[0]
        self.axes = dict(zip(names, panels, strict=True))
        self.lines = {}
        for field, axes in self.axes.items():
            axes.set(xlabel="step", ylabel="loss in nats", title=names[field])
            axes.set_xlim(0, max(2, num_steps))
            (train,) = axes.plot([], [], color=BLUE, label="training batch")
            (held_out,) = axes.plot([], [], "--o", color=ORANGE, label="held-out text")
            self.lines[field] = train, held_out
        uniform, unigram = baselines.uniform, baselines.unigram
        mlm = self.axes["mlm_loss"]
        mlm.axhline(uniform, color=GREY, linestyle=":", label=f"uniform {uniform:.2f}")
        mlm.axhline(unigram, color=GREY, linestyle="-.", label=f"word frequencies {unigram:.2f}")
        label = f"two neighbours {baselines.neighbours:.2f}"
        mlm.axhline(
            baselines.neighbours, color=GREY, linestyle=(0, (5, 1, 1, 1, 1, 1)), label=label
        )
        if with_nsp:
            nsp, label = self.axes["nsp_loss"], f"a coin {baselines.nsp:.2f}"
            nsp.axhline(baselines.nsp, color=GREY, linestyle=":", label=label)
            nsp.set_ylim(0.3, 1.1)
        for axes in self.axes.values():
            axes.legend(fontsize="x-small", loc="upper right")

    def png(
        self,
        history: Sequence["Step"],
        held_out: Sequence[tuple[int, "Evaluation"]],
        title: str = "",
    ) -> bytes:
        """Draw the steps and evaluations so far.

        Args:
            history: `Step`s.
            held_out: `(step, Evaluation)` pairs.
            title: One line above both panels.

        Returns:
            A PNG of 800 x 300 pixels.
        """
        # As they are now: a run goes on while it is drawn.
        history, held_out = list(history), list(held_out)
        steps = [step.step for step in history]
        for field, (train, evaluated) in self.lines.items():
            train.set_data(steps, [getattr(step, field) for step in history])
            places = [step for step, _ in held_out]
            evaluated.set_data(places, [getattr(value, field) for _, value in held_out])
        losses = [step.mlm_loss for step in history] + [value.mlm_loss for _, value in held_out]
        losses.append(self.baselines.unigram)  # the line to get below is always to be seen
        self.axes["mlm_loss"].set_ylim(min(losses) - 0.2, max(losses) + 0.4)
        self.figure.suptitle(title, fontsize="small", parse_math=False)
        return to_png(self.figure)


def curves(series: dict[str, dict[str, float]], xlabel: str, ylabel: str, title: str = "") -> bytes:
    """Lines over the same few places, each with a style and a mark of its own.

    Args:
        series: Heights by place for each line: `{"network": {"1": 0.7, "all": 0.9}, "bag": ...}`.
        xlabel, ylabel: What place and height mean.
        title: What the figure shows.

    Returns:
        A PNG.
    """
    figure = new_figure(7, 3.2)
    axes = figure.subplots()
    styles = ((BLUE, "-", "o"), (ORANGE, "--", "s"), (GREY, ":", "^"), (BLUE, ":", "D"))
    styles = itertools.cycle((*styles, (ORANGE, "-.", "v"), (GREY, "--", "x")))
    for (name, values), (colour, line, mark) in zip(series.items(), styles, strict=False):
        places = list(values)
        axes.plot(places, list(values.values()), line, marker=mark, color=colour, label=name)
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
    axes.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return to_png(figure)


def heatmap(
    values: ArrayLike,
    row_labels: Sequence[str],
    column_labels: Sequence[str],
    title: str = "",
    low: float = -1.0,
    high: float = 1.0,
) -> bytes:
    """A table of numbers as colours, each cell with its number if there are few.

    Args:
        values: (rows, columns), array-like.
        row_labels, column_labels: Strings.
        title: What the colours mean.
        low, high: Values at the ends of the colour scale.

    Returns:
        A PNG.
    """
    values = np.asarray(values, dtype=float)
    rows, columns = values.shape
    row_labels, column_labels = (
        [
            label if len(label) <= LONGEST_LABEL else f"{label[: LONGEST_LABEL - 1]}…"
            for label in labels
        ]
        for labels in (row_labels, column_labels)
    )
    figure = new_figure(max(3.5, 0.55 * columns + 2.2), max(2.2, 0.36 * rows + 1.5))
    axes = figure.subplots()
    image = axes.imshow(values, cmap="cividis", vmin=low, vmax=high, aspect="auto")
    axes.set_xticks(range(columns), column_labels, rotation=45, ha="right", parse_math=False)
    axes.set_yticks(range(rows), row_labels, parse_math=False)
    axes.set_title(title, fontsize="medium", parse_math=False)
    if values.size <= 200:
        middle = (low + high) / 2
        for i in range(rows):
            for j in range(columns):
                colour = "black" if values[i, j] > middle else "white"
                axes.text(
                    j,
                    i,
                    f"{values[i, j]:.2f}",
                    ha="center",
                    va="center",
                    fontsize="x-small",
                    color=colour,
                )
    figure.colorbar(image, ax=axes)
    return to_png(figure)


def bars(
    groups: dict[str, dict[str, float]],
    ylabel: str,
    title: str = "",
    baseline: float | None = None,
    intervals: dict[str, tuple[float, float]] | None = None,
) -> bytes:
    """Bars side by side.

    Args:
        groups: Heights by label for each group: `{"untrained": {"a": 0.5}, "trained": {"a": 0.9}}`.
        ylabel: What the height means.
        title: What the figure shows.
        baseline: Where to draw a dashed line, if anywhere.
        intervals: For each label from where to where the first group's height could as well be.

    Returns:
        A PNG.
    """
    labels = list(next(iter(groups.values())))
    figure = new_figure(min(11.0, max(5.0, 0.28 * len(labels) * len(groups) + 2)), 3.2)
    axes = figure.subplots()
    width = 0.8 / len(groups)
    styles = ((BLUE, ""), (ORANGE, "//"), (GREY, ".."))
    for i, (name, values) in enumerate(groups.items()):
        colour, hatch = styles[i % len(styles)]
        x = np.arange(len(values)) + (i - (len(groups) - 1) / 2) * width
        heights = list(values.values())
        axes.bar(x, heights, width, label=name, color=colour, hatch=hatch, edgecolor="white")
        if intervals and i == 0:
            ends = np.array([intervals[label] for label in labels]).T
            reach = np.abs(ends - np.array(heights))
            axes.errorbar(x, heights, yerr=reach, fmt="none", ecolor="black", elinewidth=0.8)
    rotation = 90 if len(labels) > 8 else 0
    axes.set_xticks(range(len(labels)), labels, rotation=rotation, parse_math=False)
    if baseline is not None:
        axes.axhline(baseline, color="black", linestyle="--", label=f"chance {baseline:.2f}")
    axes.margins(x=0.01)
    axes.set_ylabel(ylabel, parse_math=False)
    axes.set_title(title, fontsize="medium", parse_math=False)
    beside = dict(loc="upper left", bbox_to_anchor=(1.0, 1.0))  # where it covers no bar
    for label in axes.legend(fontsize="small", **beside).get_texts():
        label.set_parse_math(False)
    return to_png(figure)
