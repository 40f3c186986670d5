"""The curves of a run while it goes on; losses in nats."""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox

from ..plots import BLUE, GREY, ORANGE, new_figure, shorten, to_png
from .evaluation import Baselines, Evaluation
from .run import Progress, Step, describe, smooth, status_line

Curves = tuple[Sequence[Step], Sequence[tuple[int, Evaluation]]]  # history and held_out of a run
TITLES = {"mlm_loss": "masked words (MLM)", "nsp_loss": "next sentence (NSP)"}


def vertical_range(
    curves: Iterable[Sequence[list[float]]], levels: Iterable[float]
) -> tuple[float, float]:
    """Both ends of the y axis: it shows what matters now, not what the first step was."""
    losses, late = [], []
    for raw, smoothed, held_out in curves:
        early = len(smoothed) // 10
        losses += [*raw, *smoothed, *held_out]
        late += [*smoothed[early:], *held_out[early > 0 :]]
    losses, late, levels = (list(filter(math.isfinite, x)) for x in (losses, late, levels))
    seen = levels or [0.0, 10.0]
    if losses:  # and the nearest baseline above the lowest
        above = [level for level in levels if level > min(late or losses)]
        seen = [min(losses), *late, *sorted(above)[:1]]
    few = max(0.0, 0.5 - (max(seen) - min(seen))) / 2
    low, high = min(seen) - few, max(seen) + few
    grid = 2.0 ** round(math.log2((high - low) / 16))  # so the axis seldom moves as a curve grows
    return (math.floor(low / grid) - 1) * grid, (math.ceil(high / grid) + 1) * grid


class Panel:
    """One loss of some runs, in three lines each, and its baselines: lines with their names."""

    def __init__(self, axes: Any, field: str, styles: Iterable[dict[str, Any]]):
        self.axes, self.field, self.levels, self.still = axes, field, [], None
        self.lines = [axes.plot([], [], **style)[0] for style in styles]
        axes.set_title(TITLES[field], fontsize="medium", loc="left", y=1.0)
        axes.set(xlabel="step", ylabel="loss in nats")
        axes.tick_params(labelsize="small")
        axes.locator_params(nbins=6)

    def fill(
        self, runs: Iterable[Curves], num_steps: int, baselines: Baselines | None, smoothing: float
    ) -> tuple:
        """Put the losses in; returns what all but the curves depends on."""
        lines, curves = iter(self.lines), []
        for history, held_out in runs:
            steps, raw = [x.step for x in history], [getattr(x, self.field) for x in history]
            # Of two evaluations after one step the second is on other text than the dots before.
            dots = {step: getattr(evaluation, self.field) for step, evaluation in held_out[::-1]}
            places = sorted(dots)
            curves.append((raw, smooth(raw, smoothing), [dots[step] for step in places]))
            for x, y in zip((steps, steps, places), curves[-1], strict=True):
                next(lines).set_data(x, y)
        levels = {"a coin": math.log(2)} if self.field == "nsp_loss" else {}
        if self.field == "mlm_loss" and baselines is not None:
            levels = {"uniform": baselines.uniform, "word frequencies": baselines.unigram}
            levels["two neighbours"] = baselines.neighbours
        low, high = vertical_range(curves, levels.values())
        if self.field == "nsp_loss":
            low, high = min(0.3, low), max(1.1, high)
        self.axes.set(xlim=(0, max(2, num_steps)), ylim=(low, high))
        if (low, high, levels) != self.still:
            self.still = low, high, levels
            self._draw_levels(*self.still)
        return self.still

    def _draw_levels(self, low: float, high: float, levels: dict[str, float]) -> None:
        """A line for each baseline within the axis; at its ends the names of the others."""
        for artist in self.levels:
            artist.remove()
        told = {name: f"{name} {level:.2f}" for name, level in levels.items()}
        above = ", ".join(told[name] for name, level in levels.items() if level > high)
        below = ", ".join(told[name] for name, level in levels.items() if level < low)
        above, below, self.levels = above and f"{above} ↑", below and f"{below} ↓", []
        texts, dashes = [(0.02, below, True)], (":", "-.", (0, (5, 1, 1, 1, 1, 1)))
        for (name, level), dash in zip(levels.items(), dashes, strict=False):
            if low <= level <= high:
                self.levels.append(self.axes.axhline(level, color=GREY, ls=dash, lw=1))
                height, text = (level - low) / (high - low), told[name]
                if height > 0.8 and above:  # there is no room for two texts
                    text, above = f"{above}\n{text}", ""
                texts.append((height, text, name == "two neighbours"))  # where curves end
        look = dict(fontsize=8, color=GREY, transform=self.axes.transAxes)
        look["bbox"] = dict(facecolor="white", alpha=0.75, linewidth=0, pad=0)
        for height, text, is_left in (*texts, (1.0, above, False)):
            x, ha = (0.01, "left") if is_left else (0.99, "right")
            y, va = (height - 0.02, "top") if height > 0.86 else (height, "bottom")  # of the line
            self.levels.append(self.axes.text(x, y, text, ha=ha, ma=ha, va=va, **look))


def make_panels(
    fields: Iterable[str], styles: Sequence[dict[str, Any]], right: float
) -> tuple[Any, list[Panel]]:
    """A figure of 800 x 300 pixels with a panel for each loss; they end at a part of the width."""
    figure, fields = new_figure(8, 3, layout=None), list(fields)
    # Fixed places for all text: faster, and nothing moves while the curves grow.
    figure.subplots_adjust(left=0.07, right=right, top=0.83, bottom=0.17, wspace=0.18)
    axes = figure.subplots(1, len(fields), squeeze=False)[0]
    return figure, [Panel(*pair, styles) for pair in zip(axes, fields, strict=True)]


class LossPlot:
    """The picture of a run that goes on: MLM loss, and NSP loss where that game is played.

    `show` shows a PNG (empty where drawing fails), and a sentence for those who cannot see it, in
    place of the last ones.
    """

    def __init__(self, run: Progress, show: Callable[[bytes, str], None]):
        self.run, self.show, self.smoothing = run, show, 0.9
        self.next_drawing, self.drawn, self.still = 0.0, (), None
        pale, strong = dict(color=BLUE, lw=0.8, alpha=0.4), dict(color=BLUE, lw=1.6)
        dots = dict(color=ORANGE, ls="--", marker="o", ms=4)
        fields = TITLES if run.with_nsp else ["mlm_loss"]
        self.figure, self.panels = make_panels(fields, [pale, strong, dots], right=0.985)
        self.figure.legend(
            [Line2D([], [], **strong), Line2D([], [], **dots)],
            ["training batches", "held-out text"], loc="center right", borderaxespad=0,
            bbox_to_anchor=(0.985, 0.965), fontsize=8, ncols=2, frameon=False,
        )  # fmt: skip
        self.title = self.figure.text(0.07, 0.965, "", va="center", fontsize=9, parse_math=False)
        self.title.set(clip_on=True, clip_box=Bbox([[0, 0], [530, 300]]))  # the legend begins there
        self.moving = [line for panel in self.panels for line in panel.lines] + [self.title]
        for artist in self.moving:
            artist.set_animated(True)

    def update(self) -> None:
        """Draw again, unless the last drawing was a moment ago or nothing has changed."""
        began, what = time.monotonic(), (self.smoothing, self.run.doing)
        if began >= self.next_drawing or what != self.drawn[:2]:
            self._show(status_line(self.run))
            drawing = time.monotonic() - began  # twice a second, and at most 2 % of the time
            self.next_drawing = began + max(0.5, 50 * drawing)

    def close(self) -> None:
        """Draw the whole run."""
        speed = f"{self.run.pairs_per_second:,.0f} sentence pairs/s"
        self._show(f"{len(self.run.history)} steps, {speed}")

    def _show(self, title: str) -> None:
        alt = describe(self.run, self.smoothing)
        what = self.smoothing, self.run.doing, title, alt
        if what == self.drawn:
            return
        self.drawn = what
        try:
            png = to_png(self.figure, compress_level=1, draw=lambda: self._draw(title))
        except Exception as error:  # a picture that fails stops no run
            png, alt = b"", f"{alt} The picture cannot be drawn: {shorten(str(error), 200)}"
        self.show(png, alt)

    def _draw(self, title: str) -> None:
        """Draw what moves; all else, whose text takes longest, only where it has changed."""
        run, canvas = self.run, self.figure.canvas
        curves = list(run.history), list(run.held_out)  # as they are now: the run goes on
        what = [curves], run.settings.num_steps, run.baselines, self.smoothing
        still = [panel.fill(*what) for panel in self.panels]
        self.title.set_text(shorten(title, 72))
        if still != self.still:
            canvas.draw()  # but for what is "animated"
            self.still, self.background = still, canvas.copy_from_bbox(self.figure.bbox)
        canvas.restore_region(self.background)
        for artist in self.moving:
            self.figure.draw_artist(artist)
