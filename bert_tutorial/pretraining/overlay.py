"""Several runs in one picture.

Losses are in nats.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes

from ..plots import new_figure, shorten, to_png
from .evaluation import Baselines, Evaluation
from .levels import LINE, SMALL, Levels, levels_of, spread
from .loss_plot import LONGEST_TITLE, every_kth, in_words, smooth, vertical_range
from .training import Step

Runs = Mapping[str, tuple[Sequence[Step], Sequence[tuple[int, Evaluation]]]]
PIXELS = 100 / 72  # in a point, at 100 dots per inch


class Style(NamedTuple):
    """How a run looks."""

    colour: str  # "#rrggbb"
    dash: str  # pixels on and off, as SVG's stroke-dasharray; "" for a line without gaps
    marker: str  # one of matplotlib's


STYLES = (  # colours of matplotlib's tableau-colorblind10, the darker ones first
    Style("#006BA4", "", "o"),
    Style("#FF800E", "8 3", "s"),
    Style("#595959", "2 2", "^"),
    Style("#5F9ED1", "10 3 2 3", "D"),
    Style("#C85200", "5 3", "v"),
    Style("#898989", "12 4 2 2 2 4", "X"),
    Style("#A2C8EC", "14 3", "P"),
    Style("#FFBC79", "4 2 4 6", "*"),
    Style("#ABABAB", "6 2 2 2", "p"),
    Style("#CFCFCF", "3 5", "h"),
)


def style_of(number: int) -> Style:
    """Colour, dash and marker of run `number`, counted from 0; after the last they begin anew."""
    return STYLES[number % len(STYLES)]


def line_style(style: Style, width: float) -> dict[str, Any]:
    """A style in matplotlib's words, for a line of `width` points."""
    # It multiplies a pattern by the width; here the pattern is in pixels, as in SVG.
    dash = tuple(float(part) / (width * PIXELS) for part in style.dash.split())
    return dict(color=style.colour, lw=width, ls=(0, dash) if dash else "-")


def overlay(
    runs: Runs, baselines: Baselines | None = None, smoothing: float = 0.0, title: str = ""
) -> bytes:
    """Draw the MLM losses of several runs in one picture.

    Args:
        runs: For each name the run's `(history, held_out)`; number i looks like `style_of(i)`.
        baselines: Losses of predictors without a network, if all runs have the same.
        smoothing: How smooth the pale lines of the training losses are; see `smooth`.
        title: One line above.

    Returns:
        A PNG of 800 x 300 pixels.
    """
    figure = new_figure(8, 3, layout=None)
    figure.subplots_adjust(left=0.07, right=0.75, top=0.83, bottom=0.16)
    axes = figure.subplots()
    levels, curves, ends = Levels(axes), [], []
    for i, (history, held_out) in enumerate(runs.values()):
        history, held_out = list(history), list(held_out)  # a run goes on while it is drawn
        steps, places = [step.step for step in history], [step for step, _ in held_out]
        mean = smooth([step.mlm_loss for step in history], smoothing)
        losses = [result.mlm_loss for _, result in held_out]
        axes.plot(*every_kth(steps, mean), alpha=0.45, **line_style(style_of(i), 1.0))
        strong = line_style(style_of(i), 1.8)
        axes.plot(*every_kth(places, losses), marker=style_of(i).marker, ms=5, **strong)
        curves.append((mean, mean, losses))
        ends.append((places or steps or [0], losses or mean or [math.nan]))
    known = levels_of(baselines)["mlm_loss"]
    axes.set_xlim(0, max([2, *(places[-1] for places, _ in ends)]))
    axes.set_ylim(*vertical_range(curves, known.values()))
    axes.set(xlabel="step", ylabel="loss in nats")
    axes.tick_params(labelsize="small")
    axes.set_title("masked words (MLM): held-out text with marks, training pale", fontsize="medium")
    levels.draw(known)
    write_names(axes, list(runs), [(places[-1], losses[-1]) for places, losses in ends])
    title = shorten(title, LONGEST_TITLE)
    figure.text(0.07, 0.965, title, va="center", fontsize=9, parse_math=False)
    return to_png(figure, compress_level=1)


def write_names(axes: Axes, names: Sequence[str], ends: Sequence[tuple[int, float]]) -> None:
    """Write the name of each run at the right: at its line's end, or one below another.

    Args:
        axes: With its final limits, and room at its right.
        names: Of the runs.
        ends: For each run the last step and the loss there.
    """
    (low, high), pixels = axes.get_ylim(), axes.bbox.height
    most = int(pixels // LINE)
    names = list(names)
    if len(names) > most:
        names[most - 1 :] = [f"and {len(names) - most + 1} more"]
    places = [pixels - LINE * (i + 0.5) for i in range(len(names))]
    if all(step >= 0.97 * axes.get_xlim()[1] and low <= loss <= high for step, loss in ends):
        exact = [(loss - low) / (high - low) * pixels for _, loss in ends]
        moved = spread(exact, LINE, 0, pixels)
        if all(abs(a - b) <= LINE for a, b in zip(exact, moved, strict=True)):
            places = moved
    text = dict(transform=axes.transAxes, va="center", fontsize=SMALL, parse_math=False)
    for i, (name, place) in enumerate(zip(names, places, strict=False)):
        height = place / pixels
        if i < most - 1 or len(ends) <= most:
            axes.plot(
                [1.015, 1.045, 1.075],
                [height] * 3,
                marker=style_of(i).marker,
                markevery=[1],
                ms=5,
                transform=axes.transAxes,
                clip_on=False,
                **line_style(style_of(i), 1.8),
            )
        axes.text(1.09, height, shorten(name), **text)


def describe_overlay(runs: Runs) -> str:
    """One sentence with the last held-out loss of each run, for those who do not see the picture.

    Args:
        runs: As in `overlay`.
    """
    parts, last = [], {}
    for name, (_, held_out) in runs.items():
        held_out, name = list(held_out), shorten(name)
        if not held_out:
            parts.append(f"{name} not measured yet")
            continue
        step, loss = held_out[-1][0], held_out[-1][1].mlm_loss
        parts.append(f"{name} {in_words(loss)} after step {step}")
        if math.isfinite(loss):
            last[name] = loss
    if not parts:
        return "No runs yet."
    lowest = f"; {min(last, key=last.__getitem__)} has the lowest" if len(last) > 1 else ""
    return f"Held-out loss of the masked words in nats: {', '.join(parts)}{lowest}."
