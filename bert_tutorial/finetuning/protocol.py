"""How many labels does pretraining save? Runs over sizes and seeds, and what they say.

Sources: Le Scao and Rush 2021, "How many data points is a prompt worth?": the horizontal distance
between two curves; Mosbach, Andriushchenko and Klakow 2021: several seeds.
"""

import csv
import math
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..cache import write_file
from ..text.corpora import DATA
from .controls import Fit, accuracy
from .labelled import ALL, Labelled, Task

SEEDS = 5
STORED = DATA / "finetuning.tsv"
OURS = "fine-tuned"


class Run(NamedTuple):
    """One control, trained once and tested."""

    task: str
    control: str
    labels: int  # texts that it learned from
    seed: int  # of the labels drawn, and of the start
    accuracy: float  # on the test texts
    seconds: float  # of processor time, to learn and to be tested


def sizes(train: Labelled) -> list[int]:
    """Labels of each class to learn from: twice as many each time, from 8 in all on; then all."""
    classes, found = len(train.names), []
    number = max(1, math.ceil(8 / classes))
    while 1.5 * number * classes <= len(train):
        found.append(number)
        number *= 2
    return [*found, ALL]


def runs(
    task: Task, fits: dict[str, Fit], numbers: Iterable[int], seeds: Iterable[int],
    done: Collection[tuple] = (),
) -> Iterator[Run]:  # fmt: skip
    """Train and test each control with each number of labels of a class; a curve for each seed.

    What is in `done`, the first four fields of a run, is not run again.
    """
    for seed in seeds:
        for number in numbers:
            train = task.train.subset(number, seed)
            for name, fit in fits.items():
                key = task.name, name, len(train), seed
                if key not in done:
                    began = time.process_time()
                    right = accuracy(fit(train, seed), task.test)
                    yield Run(*key, right, time.process_time() - began)


def read_runs(path: Path = STORED) -> list[Run]:
    """The runs of a table; none if there is no such file."""
    lines = path.read_text("utf-8").splitlines()[1:] if path.is_file() else []
    kinds = Run.__annotations__.values()
    rows = csv.reader(lines, delimiter="\t")
    return [Run(*(kind(x) for kind, x in zip(kinds, row, strict=True))) for row in rows]


def write_runs(some: Iterable[Run], path: Path = STORED) -> None:
    """Write a table of runs, in order."""
    rows = [Run._fields, *((*r[:4], f"{r.accuracy:.4f}", f"{r.seconds:.2f}") for r in sorted(some))]
    write_file(path, "".join("\t".join(map(str, row)) + "\n" for row in rows).encode())


Curve = dict[int, list[float]]  # accuracies of all seeds, by number of labels


def curves(some: Iterable[Run], task: str) -> dict[str, Curve]:
    """The accuracies of each control, from few labels to many."""
    found = defaultdict(lambda: defaultdict(list))
    for run in sorted(some, key=lambda run: (run.labels, run.seed)):
        if run.task == task:
            found[run.control][run.labels].append(run.accuracy)
    return {control: dict(curve) for control, curve in found.items()}


def labels_needed(means: dict[int, float], accuracy: float) -> float:
    """With how many labels a curve first reaches an accuracy: straight lines over log labels.

    Infinite if it never does; the fewest labels of the curve if they are enough.

    >>> labels_needed({8: 0.5, 32: 0.7, 128: 0.8}, 0.6)
    16.0
    """
    points = sorted(means.items())
    if points[0][1] >= accuracy:
        return float(points[0][0])
    for (few, low), (many, high) in pairwise(points):
        if low < accuracy <= high:
            return round(few * (many / few) ** ((accuracy - low) / (high - low)), 6)
    return math.inf


class Saved(NamedTuple):
    """How many labels another control needs for what fine-tuning reaches with few."""

    accuracy: float  # of fine-tuning, mean over the seeds
    needed: float  # labels; infinite if the other never gets there
    low: float  # of the interval that has nine tenths of the bootstrap's draws
    high: float


def labels_saved(ours: Curve, other: Curve, labels: int, draws: int = 1000) -> Saved:
    """The horizontal distance between two curves; the bootstrap draws each size's runs anew."""
    draw = np.random.default_rng(0)

    def needed(pick: Callable[[list[float]], Iterable[float]]) -> float:
        means = {number: float(np.mean(pick(found))) for number, found in other.items()}
        return labels_needed(means, float(np.mean(pick(ours[labels]))))

    drawn = [needed(lambda found: draw.choice(found, len(found))) for _ in range(draws)]
    low, high = np.quantile(drawn, [0.05, 0.95], method="nearest")
    return Saved(float(np.mean(ours[labels])), needed(list), float(low), float(high))


def better_at(one: Curve, other: Curve) -> list[int]:
    """With how many labels a curve lies above another by more than the spread over the seeds.

    That is the standard deviation of the differences between runs with the same labels, of which
    there must be two.
    """
    found = []
    for number in one.keys() & other.keys():
        apart = np.array([a - b for a, b in zip(one[number], other[number], strict=False)])
        if len(apart) > 1 and apart.mean() > apart.std():
            found.append(number)
    return sorted(found)
