"""Pictures of fine-tuning: accuracy by number of labels, and while a network is trained."""

from collections.abc import Collection, Sequence
from itertools import cycle

import numpy as np

from ...finetuning.protocol import Run, curves
from ...plots import GREY, SAFE_COLOURS, new_figure, to_png

ORDER = (  # of the controls: each looks the same in all pictures
    "fine-tuned", "frozen", "never pretrained", "naive Bayes on word counts",
    "logistic regression on word counts", "counted word vectors", "most frequent label",
)  # fmt: skip
DASHES = "-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)), (0, (8, 2))
LOOKS = [
    dict(color=c, ls=dash, marker=mark, markersize=4)
    for c, dash, mark in zip(SAFE_COLOURS[:7], DASHES, "os^DvxP", strict=True)
]


def label_curves(some: Collection[Run], tasks: Sequence[str], live: Collection[Run] = ()) -> bytes:
    """Accuracy by number of labels, a picture for each task, with the spread over the seeds.

    Runs that are `live` are rings in the colour of their control.
    """
    lines = -(-len(tasks) // 2)
    figure = new_figure(9 if lines > 1 else 7.6, 3 * lines + 0.5)
    pictures = figure.subplots(lines, min(2, len(tasks)), squeeze=False).flat
    names = dict.fromkeys([*ORDER, *(run.control for run in [*some, *live])])
    looks = dict(zip(names, cycle(LOOKS), strict=False))
    for axes, task in zip(pictures, tasks, strict=False):
        of = curves(some, task)
        for name, curve in ((name, of[name]) for name in names if name in of):
            means, spread = zip(*((np.mean(a), np.std(a)) for a in curve.values()), strict=True)
            bars = dict(label=name, lw=1.3, capsize=2, elinewidth=0.7)
            axes.errorbar(list(curve), means, spread, **bars, **looks[name])
        ring = dict(marker="o", markersize=13, mfc="none", mew=2)
        for run in (run for run in live if run.task == task):
            axes.plot(run.labels, run.accuracy, **ring, color=looks[run.control]["color"])
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(lambda number, _: f"{number:,.0f}")
        axes.set(xlabel="labels", ylabel="part right", title=task, ylim=(0, 1.03))
    told = figure.axes[0].get_legend_handles_labels()
    place = dict(loc="outside lower center", ncols=3) if lines > 1 else dict(loc="outside right")
    figure.legend(*told, fontsize="small", **place)
    return to_png(figure)


def update_curves(
    found: dict[str, list[tuple[int, float]]], levels: dict[str, float], most: int
) -> bytes:
    """Accuracy by update, a line for each network; across lies what it is compared with."""
    figure = new_figure(7.6, 2.9)
    axes = figure.subplots()
    for (name, points), look in zip(found.items(), LOOKS, strict=False):
        axes.plot(*zip(*points, strict=True), label=name, **look)
    for (name, level), dash in zip(levels.items(), ("--", ":", "-."), strict=False):
        axes.axhline(level, color=GREY, ls=dash, lw=1.2, label=f"{name} {level:.0%}")
    axes.set(xlabel="updates", ylabel="part right", ylim=(0, 1.03), xlim=(0, most))
    figure.legend(loc="outside right upper", fontsize="small")
    return to_png(figure, compress_level=1)
