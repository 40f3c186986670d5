"""The y axis of a picture of losses, and the baselines as horizontal lines with their names.

Losses are in nats.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from textwrap import wrap

import numpy as np
from matplotlib.axes import Axes

from ..plots import GREY
from .evaluation import Baselines

SMALL = 8  # points: the smallest text
LINE = 13  # pixels from one line of such text to the next


def levels_of(baselines: Baselines | None) -> dict[str, dict[str, float]]:
    """For each loss the names and heights of its baselines."""
    nsp, mlm = {"a coin": math.log(2)}, {}
    if baselines is not None:
        mlm = {"uniform": baselines.uniform, "word frequencies": baselines.unigram}
        mlm["two neighbours"] = baselines.neighbours
    return {"mlm_loss": mlm, "nsp_loss": nsp}


def vertical_range(
    curves: Iterable[tuple[Sequence[float], Sequence[float], Sequence[float]]],
    levels: Iterable[float],
) -> tuple[float, float]:
    """Where the y axis begins and ends: at what matters now, not at what the first step was.

    Args:
        curves: For each run the lines of its training loss as they are drawn, pale and strong, and
            its held-out losses. Of these only the pale line and the first tenth may be cut off.
        levels: The baselines: the nearest one above the lowest loss is to be seen.

    Returns:
        Both ends. They are on a grid, so that the axis seldom moves while a curve grows.
    """
    lowest, late, best = [], [], []
    for raw, strong, held_out in curves:
        early = len(strong) // 10
        late += [*strong[early:], *(held_out[1:] if early else held_out)]
        best += [*strong, *held_out]
        lowest += raw
    levels, late, best = finite(levels), finite(late), finite(best)
    if best:
        above = [level for level in levels if level > min(best)]
        seen = [min(finite(lowest) + best), *late, *sorted(above)[:1]]
    else:
        seen = levels or [0.0, 10.0]
    few = max(0.0, 0.5 - (max(seen) - min(seen))) / 2
    low, high = min(seen) - few, max(seen) + few
    grid = 2.0 ** round(math.log2((high - low) / 16))
    return (math.floor(low / grid) - 1) * grid, (math.ceil(high / grid) + 1) * grid


def finite(values: Iterable[float]) -> list[float]:
    """Those that are numbers."""
    return [value for value in values if math.isfinite(value)]


class Levels:
    """Horizontal lines, each with its name on it at the right; an arrow tells of those outside.

    Args:
        axes: Where to draw at most three of them. Its size stays as it is.
    """

    dashes = (":", "-.", (0, (5, 1, 1, 1, 1, 1)))

    def __init__(self, axes: Axes):
        text = dict(x=0.99, y=0, s="", ha="right", va="center", fontsize=SMALL, color=GREY)
        text["bbox"] = dict(facecolor="white", alpha=0.75, linewidth=0, pad=0)
        self.axes = axes
        self.lines = [axes.axhline(0, color=GREY, linestyle=dash, lw=1) for dash in self.dashes]
        self.names = [axes.text(transform=axes.transAxes, **text) for _ in self.dashes]
        self.edges = [axes.text(transform=axes.transAxes, **text) for _ in "↓↑"]

    def draw(self, levels: Mapping[str, float]) -> list:
        """Draw names and heights among the curves and on the y axis as they are now.

        Returns:
            What has been drawn, to be compared with what is drawn later.
        """
        low, high = self.axes.get_ylim()
        pixels, width = self.axes.bbox.height, int(self.axes.bbox.width / 6)  # in characters
        outside = {"↓": [], "↑": []}
        inside, places = [], []
        for artist in (*self.lines, *self.names):
            artist.set_visible(False)
        for line, label, (name, level) in zip(self.lines, self.names, levels.items(), strict=False):
            text = f"{name} {level:.2f}".replace(" ", "\xa0")  # which is not wrapped
            line.set(visible=low <= level <= high, ydata=[level, level])
            label.set(visible=low <= level <= high, text=text)
            if low <= level <= high:
                inside.append(label)
                places.append(self.beside(level, LINE / pixels * (high - low)))
            else:
                outside["↓" if level < low else "↑"].append(text)
        free = []  # pixels that are taken at the bottom, and at the top
        for label, (arrow, names) in zip(self.edges, outside.items(), strict=True):
            rows = wrap(f"{', '.join(names)}\xa0{arrow}", width) if names else []
            free.append((LINE + 1) * len(rows))
            place = free[-1] / 2 / pixels
            label.set(text="\n".join(rows), y=place if arrow == "↓" else 1 - place)
        places = [(place - low) / (high - low) * pixels for place in places]
        places = spread(places, LINE, free[0] + LINE / 2, pixels - free[1] - LINE / 2)
        for label, place in zip(inside, places, strict=True):
            label.set_y(place / pixels)
        return [*levels.items(), *places]

    def beside(self, level: float, row: float) -> float:
        """The middle of a name of height `row`: on its line, or under it if more curves pass on it.

        They are looked at at the right, where the names are.
        """
        end = self.axes.get_xlim()[1]
        places = np.linspace(0.65 * end, end, 20)
        curves = [x for x in self.axes.lines if x not in self.lines and len(x.get_xdata())]
        heights = [np.interp(places, *x.get_data(), right=np.nan) for x in curves]
        away = np.array(heights) - level
        over, under = np.sum((away > 0) & (away < row)), np.sum((away < 0) & (away > -row))
        return level + row / 2 if over <= under else level - row / 2


def spread(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move places on a line as little as needed for at least `gap` between any two of them.

    Args:
        places: Where they would be; their order is kept.
        gap, low, high: Between which ends all stay, if there is room.

    Returns:
        Where they are now.

    >>> spread([5, 50, 51], 13, 0, 100)
    [5.0, 44.0, 57.0]
    """

    def start(block: list[int]) -> float:
        mean = sum(places[i] - gap * k for k, i in enumerate(block)) / len(block)
        return max(low, min(mean, high - gap * (len(block) - 1)))

    blocks = []  # of neighbours without room to spare
    for i in sorted(range(len(places)), key=places.__getitem__):
        blocks.append([i])
        while blocks[1:] and start(blocks[-2]) + gap * len(blocks[-2]) > start(blocks[-1]):
            last = blocks.pop()
            blocks[-1] += last
    moved = {i: start(block) + gap * k for block in blocks for k, i in enumerate(block)}
    return [float(moved[i]) for i in range(len(places))]
