"""How many labels does pretraining save? Runs over sizes and seeds, and what they say.

Sources: Le Scao and Rush 2021, "How many data points is a prompt worth?" (the horizontal distance
between two curves); Mosbach, Andriushchenko and Klakow 2021 (several seeds, over the labels drawn
and the start, each told).
"""

import csv
import io
import math
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..cache import write_file
from ..text.corpora import DATA
from .controls import Fit, accuracy
from .tasks import ALL, Labelled, Task

SEEDS = 5
STORED = DATA / "finetuning.tsv"


class Run(NamedTuple):
    """One control, trained once and tested."""

    task: str
    control: str
    labels: int  # texts that it learned from
    seed: int  # of the labels drawn and of the start
    accuracy: float
    seconds: float  # of learning and of being tested


def sizes(train: Labelled) -> list[int]:
    """Labels of each class to learn from: twice as many each time, from 8 in all on; then all."""
    classes, found = len(train.names), [ALL]
    number = max(1, math.ceil(8 / classes))
    while number * classes * 1.5 <= len(train):
        found.insert(-1, number)
        number *= 2
    return found


def runs(
    task: Task, fits: dict[str, Fit], seeds: Iterable[int] = range(SEEDS),
    numbers: Iterable[int] | None = None, done: Collection[tuple] = (),
) -> Iterator[Run]:  # fmt: skip
    """Train and test each control with each number of labels and each seed, one after the other.

    A whole curve of the first seed comes first. `done` holds runs, by their first four fields, that
    are not made again.
    """
    for seed in seeds:
        for number in numbers or sizes(task.train):
            train = task.train.subset(number, seed)
            for name, fit in fits.items():
                key = task.name, name, len(train), seed
                if key not in done:
                    began = time.perf_counter()
                    right = accuracy(fit(train, seed), task.test)
                    yield Run(*key, right, time.perf_counter() - began)


def read_runs(path: Path = STORED) -> list[Run]:
    """The runs of a table; none if there is no such file."""
    if not path.is_file():
        return []
    rows = csv.reader(io.StringIO(path.read_text("utf-8")), delimiter="\t")
    kinds = list(Run.__annotations__.values())
    return [Run(*(kind(x) for kind, x in zip(kinds, row, strict=True))) for row in list(rows)[1:]]


def write_runs(some: Iterable[Run], path: Path = STORED) -> None:
    """Write a table of runs, whole, in a fixed order."""
    rows = [
        f"{run.task}\t{run.control}\t{run.labels}\t{run.seed}\t{run.accuracy:.4f}\t{run.seconds:.2f}"
        for run in sorted(some)
    ]
    write_file(path, "\n".join(["\t".join(Run._fields), *rows, ""]).encode())


Curve = dict[int, list[float]]  # accuracies of all seeds, by number of labels


def curve(some: Iterable[Run], task: str, control: str) -> Curve:
    """The accuracies of a control, from few labels to many."""
    found = defaultdict(list)
    for run in some:
        if (run.task, run.control) == (task, control):
            found[run.labels].append(run.accuracy)
    return dict(sorted(found.items()))


def labels_needed(means: dict[int, float], accuracy: float) -> float:
    """With how many labels a curve first reaches an accuracy: straight lines over log labels.

    Infinite if it never does; the fewest labels of the curve if they are enough.

    >>> labels_needed({8: 0.5, 32: 0.7, 128: 0.8}, 0.6)
    16.0
    """
    points = sorted(means.items())
    if points[0][1] >= accuracy:
        return float(points[0][0])
    for (few, low), (many, high) in zip(points, points[1:], strict=False):
        if low < accuracy <= high:
            part = (accuracy - low) / (high - low)
            return round(few * (many / few) ** part, 6)
    return math.inf


class Saved(NamedTuple):
    """What pretraining saves: with so few labels it is as good as another control with more."""

    labels: int
    accuracy: float  # with these, mean over seeds
    needed: float  # labels of the other control for the same; infinite if it never gets there
    low: float  # of an interval that has nine tenths of the bootstrap's draws
    high: float


def labels_saved(ours: Curve, other: Curve, labels: int, draws: int = 1000) -> Saved:
    """The horizontal distance between two curves; the bootstrap draws runs of each size anew."""
    draw = np.random.default_rng(0)

    def needed(pick) -> float:
        mean = np.mean(pick(ours[labels]))
        return labels_needed({n: float(np.mean(pick(found))) for n, found in other.items()}, mean)

    drawn = [needed(lambda found: draw.choice(found, len(found))) for _ in range(draws)]
    low, high = np.quantile(drawn, [0.05, 0.95], method="nearest")
    return Saved(labels, float(np.mean(ours[labels])), needed(list), float(low), float(high))


def better_at(one: Curve, other: Curve) -> list[int]:
    """With how many labels a curve lies above another by more than the spread over the seeds.

    That is the standard deviation of the differences between runs with the same labels.
    """
    pairs = {n: np.subtract(one[n], other[n]) for n in one.keys() & other.keys()}
    return sorted(n for n, apart in pairs.items() if apart.mean() > apart.std())
