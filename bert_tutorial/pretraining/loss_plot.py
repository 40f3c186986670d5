"""The curves of a run while it goes on and afterwards; `overlay` draws several runs.

Losses are in nats.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox

from ..plots import BLUE, ORANGE, new_figure, shorten, to_png
from .evaluation import Baselines, Evaluation
from .levels import SMALL, Levels, levels_of, vertical_range
from .training import Step

TITLES = {"mlm_loss": "masked words (MLM)", "nsp_loss": "next sentence (NSP)"}
LONGEST_TITLE = 68  # characters
MOST_POINTS = 400  # of a line: there are hardly more pixels from left to right


def smooth(values: Iterable[float], smoothing: float) -> list[float]:
    """An exponential running mean: what lies k steps back counts smoothing^k.

    The weights are divided by their sum, so that the first values are not drawn towards 0. What is
    not a number stays as it is, and is left out of the means that follow.

    Args:
        values: The losses, by step.
        smoothing: From 0 (nothing changes) to below 1.

    Returns:
        As many values.

    Raises:
        ValueError: `smoothing` is not in that range.

    >>> smooth([4.0, 1.0], 0.5)  # the second: (0.5 * 4 + 1) / (0.5 + 1)
    [4.0, 2.0]
    """
    if not 0 <= smoothing < 1:
        raise ValueError(f"smoothing is {smoothing}: it must be 0 or more, and below 1")
    total = weight = 0.0
    means = []
    for value in values:
        if math.isfinite(value):
            total, weight = smoothing * total + value, smoothing * weight + 1
            value = total / weight
        means.append(value)
    return means


def every_kth(steps: Sequence[int], values: Sequence[float]) -> tuple[list, list]:
    """A smooth line in few points: every k-th and the last."""
    k = math.ceil(len(steps) / MOST_POINTS) or 1
    last = slice(-1, None) if (len(steps) - 1) % k else slice(0)
    return [*steps[::k], *steps[last]], [*values[::k], *values[last]]


def extremes(steps: Sequence[int], values: Sequence[float]) -> tuple[list, list]:
    """A jagged line in few points: the lowest and the highest of every few."""
    if len(steps) <= MOST_POINTS:
        return list(steps), list(values)
    size = math.ceil(2 * len(steps) / MOST_POINTS)
    parts = [np.array(values[start : start + size]) for start in range(0, len(values), size)]
    kept = [
        number * size + place
        for number, part in enumerate(parts)
        for place in sorted({int(part.argmin()), int(part.argmax())})
    ]
    return [steps[i] for i in kept], [values[i] for i in kept]


class LossPlot:
    """Training curves that grow, each with its baselines: MLM loss, and NSP where it is played.

    Args:
        num_steps: Where the x axis ends.
        baselines: Losses of predictors without a network, drawn as horizontal lines; None while
            they are being counted. They may be set later: `plot.baselines = ...`.
        with_nsp: Whether the next-sentence game is played.
    """

    def __init__(self, num_steps: int, baselines: Baselines | None, with_nsp: bool = True):
        self.figure, self.baselines = new_figure(8, 3, layout=None), baselines
        fields = list(TITLES) if with_nsp else ["mlm_loss"]
        # Fixed places for all text: faster, and nothing moves while the curves grow.
        self.figure.subplots_adjust(left=0.07, right=0.985, top=0.83, bottom=0.16, wspace=0.18)
        panels = self.figure.subplots(1, len(fields), squeeze=False)[0]
        self.axes, self.lines, self.levels = dict(zip(fields, panels, strict=True)), {}, {}
        for field, axes in self.axes.items():
            axes.set_title(TITLES[field], fontsize="medium", y=1.0)
            axes.set(xlabel="step", ylabel="loss in nats", xlim=(0, max(2, num_steps)))
            axes.xaxis.set_label_coords(0.5, -0.13)
            axes.yaxis.set_label_coords(-34 / axes.bbox.width, 0.5)
            axes.tick_params(labelsize="small")
            axes.locator_params(nbins=6)
            self.levels[field] = Levels(axes)
            (pale,) = axes.plot([], [], color=BLUE, lw=0.8, alpha=0.4, animated=True)
            (strong,) = axes.plot([], [], color=BLUE, lw=1.6, animated=True)
            (held_out,) = axes.plot([], [], "--o", color=ORANGE, ms=4, animated=True)
            self.lines[field] = pale, strong, held_out
        self.title = self.figure.text(0.07, 0.965, "", va="center", fontsize=9, parse_math=False)
        left_of_legend = Bbox.from_extents(0, 0, 530, 300)  # letters of some scripts are wide
        self.title.set(animated=True, clip_on=True, clip_box=left_of_legend)
        place = dict(loc="center right", bbox_to_anchor=(0.985, 0.965), borderaxespad=0)
        self.figure.legend(
            handles=[
                Line2D([], [], color=BLUE, lw=1.6, label="training batches"),
                Line2D([], [], color=ORANGE, ls="--", marker="o", ms=4, label="held-out text"),
            ],
            fontsize=SMALL,
            ncols=2,
            frameon=False,
            **place,
        )
        self.still, self.background = None, None

    def png(
        self,
        history: Sequence[Step],
        held_out: Sequence[tuple[int, Evaluation]],
        title: str = "",
        smoothing: float = 0.0,
    ) -> bytes:
        """Draw the steps and evaluations so far.

        Args:
            history: `Step`s.
            held_out: `(step, Evaluation)` pairs.
            title: One line above the panels.
            smoothing: How smooth the strong line of the training loss is; see `smooth`. Above 0
                there is also a pale line, of what every batch gave.

        Returns:
            A PNG of 800 x 300 pixels.
        """
        # As they are now: a run goes on while it is drawn.
        history, held_out = list(history), list(held_out)
        steps, places = [step.step for step in history], [step for step, _ in held_out]
        levels, still = levels_of(self.baselines), []
        for field, (pale, strong, evaluated) in self.lines.items():
            raw = [getattr(step, field) for step in history]
            mean = smooth(raw, smoothing)
            losses = [getattr(value, field) for _, value in held_out]
            pale.set_data(*(extremes(steps, raw) if smoothing else ([], [])))
            strong.set_data(*(every_kth(steps, mean) if smoothing else extremes(steps, raw)))
            evaluated.set_data(places, losses)
            low, high = vertical_range([(raw, mean, losses)], levels[field].values())
            if field == "nsp_loss":
                low, high = min(0.3, low), max(1.1, high)
            self.axes[field].set_ylim(low, high)
            still.append((low, high, self.levels[field].draw(levels[field])))
        self.title.set_text(shorten(title, LONGEST_TITLE))
        return to_png(self.figure, compress_level=1, draw=lambda: self.draw(still))

    def draw(self, still: list) -> None:
        """Draw the curves and the title; all else only where it has changed.

        Args:
            still: What the rest depends on. Its text takes longer than all of the curves.
        """
        canvas = self.figure.canvas
        if still != self.still:
            canvas.draw()  # but for what is "animated"
            self.still, self.background = still, canvas.copy_from_bbox(self.figure.bbox)
        canvas.restore_region(self.background)
        for artist in (*chain(*self.lines.values()), self.title):
            self.figure.draw_artist(artist)


def describe(
    history: Sequence[Step],
    held_out: Sequence[tuple[int, Evaluation]],
    baselines: Baselines | None = None,
) -> str:
    """One sentence with numbers, for those who do not see the picture.

    Args:
        history, held_out: As in `LossPlot.png`.
        baselines: As far as they are known.

    Returns:
        Plain text, about the masked words.
    """
    parts = [course([step.mlm_loss for step in list(history)])]
    for step, result in list(held_out)[-1:]:
        parts.append(f"held-out text {in_words(result.mlm_loss)} after step {step}")
    if baselines is not None:
        parts.append(f"word frequencies alone reach {baselines.unigram:.2f}")
        parts.append(f"two neighbours {baselines.neighbours:.2f}")
    return f"{parts[0]}{'; ' if parts[1:] else ''}{', '.join(parts[1:])}."


def course(losses: Sequence[float]) -> str:
    """What the training loss does, from the first step to the last."""
    if not losses:
        return "No training step yet"
    name, first, last = "Training loss of the masked words", losses[0], losses[-1]
    if len(losses) == 1:
        return f"{name} is {in_words(first, ' nats')} at the first step"
    if not (math.isfinite(first) and math.isfinite(last)):
        both = f"{in_words(first, ' nats')} at first and {in_words(last, ' nats')}"
        return f"{name} is {both} after {len(losses)} steps"
    change = round(last, 2) - round(first, 2)
    if change == 0:
        return f"{name} is {last:.2f} nats after {len(losses)} steps, as at the first"
    verb = "falls" if change < 0 else "rises"
    return f"{name} {verb} from {first:.2f} to {last:.2f} nats over {len(losses)} steps"


def in_words(loss: float, unit: str = "") -> str:
    """A loss in words."""
    return f"{loss:.2f}{unit}" if math.isfinite(loss) else "not a number"
