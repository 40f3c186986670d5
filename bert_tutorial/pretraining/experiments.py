"""Prepared comparisons for the training panel: a few runs that differ in one setting.

What one should see was measured; `tests/test_experiments.py` runs them all and checks it.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from .settings import MINUTE, RECIPES, Settings

START = replace(RECIPES[MINUTE], num_steps=60)


class Experiment(NamedTuple):
    """Runs to compare.

    Attributes:
        question: What to guess first.
        runs: Settings by the name of the run.
        answer: What one should see.
        holds: Whether held-out losses, in the order of the runs, are what the answer says.
    """

    question: str
    runs: dict[str, Settings]
    answer: str
    holds: Callable[[list[float]], bool]


def _vary(name: str, field: str, values: dict[str, object]) -> dict[str, Settings]:
    return {f"{name} {title}": replace(START, **{field: v}) for title, v in values.items()}


EXPERIMENTS = {
    "heads 1, 2, 4, 8": Experiment(
        "The heads share 128 hidden units. Do more heads learn more in 60 steps?",
        _vary("heads", "num_heads", {str(n): n for n in (1, 2, 4, 8)}),
        "",
        lambda losses: True,
    ),
    "mask rate 5, 15, 40, 70 %": Experiment(
        "The network is asked for the hidden words only. Is it better to hide few or many?",
        _vary("mask rate", "mask_rate", {f"{n} %": n / 100 for n in (5, 15, 40, 70)}),
        "",
        lambda losses: True,
    ),
    "d2l's Adam at 0.01, or ours": Experiment(
        "Adam at a constant rate of 0.01 is d2l's choice. Is it as good as Muon with AdamW, whose "
        "rate rises and falls?",
        {
            "Muon and AdamW": START,
            "Adam at 0.01": replace(START, optimizer="adam", learning_rate=0.01),
        },
        "",
        lambda losses: True,
    ),
    "with and without word frequencies": Experiment(
        "The output bias can begin with the word frequencies or with 0. Does it matter after 60 "
        "steps?",
        _vary("word frequencies", "word_frequencies", {"from the start": True, "learned": False}),
        "",
        lambda losses: True,
    ),
}
