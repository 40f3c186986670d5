"""The table of fine-tuning runs: `python -m bert_tutorial.finetune` makes what is missing in it."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from .finetuning.controls import controls
from .finetuning.protocol import (
    SEEDS,
    STORED,
    read_runs,
    runs,
    sizes,
    write_runs,
)
from .studio.finetuned.report import sentences, table
from .studio.finetuned.tasks import TASKS
from .studio.published.checkpoints import load_pretrained
from .text.corpora import read_text


def main(arguments: Sequence[str] | None = None) -> None:
    """Train and test every control on every task; interrupted, the same command goes on."""
    parser = argparse.ArgumentParser("python -m bert_tutorial.finetune", description=main.__doc__)
    parser.add_argument("--out", type=Path, default=STORED, help="the table")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=[*TASKS])
    parser.add_argument("--published", help="folder of a published BERT, to be compared too")
    given = parser.parse_args(arguments)
    net, vocab, _ = load_pretrained("bundled", "shipped")
    published = load_pretrained("bundled", given.published)[:2] if given.published else None
    fits = controls(net, vocab, read_text("bundled"), published)
    tasks = [TASKS[name]() for name in given.tasks]
    found = read_runs(given.out)
    # Every second size first: soon there is something of all that there is to see.
    turns = [(seed, task, turn) for turn in (0, 1) for seed in range(SEEDS) for task in tasks]
    for seed, task, turn in tqdm(turns, unit="curve"):
        numbers, done = sizes(task.train)[::-1][turn::2], {run[:4] for run in found}
        for run in runs(task, fits, numbers, [seed], done):
            found.append(run)
            write_runs(found, given.out)
    for task in tasks:
        few = max(32, len(task.train.names))
        print(table(found, task.name), *sentences(found, task.name, few), sep="\n", end="\n\n")


if __name__ == "__main__":
    try:
        main()
    except OSError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("stopped; the same command goes on")
