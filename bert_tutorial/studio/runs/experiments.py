"""Prepared comparisons for the training panel: a few runs that differ in one setting.

What one should see was measured; `tests/test_settings.py` runs them all by night and checks it.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from .settings import MINUTE, PANEL_RECIPES, RunSettings

START = replace(PANEL_RECIPES[MINUTE], num_steps=150)


class Experiment(NamedTuple):
    """Runs to compare."""

    question: str  # what to guess first
    runs: dict[str, RunSettings]  # by name
    answer: str  # what one should see on the bundled corpus
    holds: Callable[[list[float]], bool]  # whether held-out MLM losses are what the answer says


def _vary(name: str, field: str, values: dict[str, object]) -> dict[str, RunSettings]:
    return {f"{name} {title}": replace(START, **{field: v}) for title, v in values.items()}


EXPERIMENTS = {
    "heads 1, 2, 4, 8": Experiment(
        "The heads share the 128 hidden units. Do more heads learn more in 150 steps?",
        _vary("heads", "num_heads", {str(n): n for n in (1, 2, 4, 8)}),
        "8 heads are a quarter of a nat or more behind 1 and 2: many narrow heads take longer to "
        "find out where to look.",
        lambda losses: losses[3] > max(losses[:2]) + 0.25,
    ),
    "mask rate 5, 15, 50, 80 %": Experiment(
        "The network is asked for the hidden words only. Is it better to hide few or many?",
        _vary("mask rate", "mask_rate", {f"{n} %": n / 100 for n in (5, 15, 50, 80)}),
        "50 % is best, and 5 % is worst, by half a nat or more: few hidden words are few questions "
        "a step. With 80 % too little is left to guess from.",
        lambda losses: losses.index(min(losses)) == 2 and losses[0] > losses[2] + 0.5,
    ),
    "d2l's Adam at 0.01, or ours": Experiment(
        "d2l trains with Adam at a constant rate of 0.01. Is that as good as Muon with AdamW, "
        "whose rate rises and falls?",
        {"Muon and AdamW": START}
        | {"Adam at 0.01": replace(START, optimizer="adam", learning_rate=0.01)},
        "Adam at 0.01 stays near the word frequencies, however long it runs. Ours is a nat or more "
        "below.",
        lambda losses: losses[0] < losses[1] - 1.0,
    ),
    "with and without word frequencies": Experiment(
        "The output bias can begin with the word frequencies or with 0. Does that still matter "
        "after 150 steps?",
        _vary("word frequencies", "word_frequencies", {"from the start": True, "learned": False}),
        "The network that has to learn them is half a nat or more behind: the first steps go into "
        "what counting gives at once.",
        lambda losses: losses[0] < losses[1] - 0.5,
    ),
}
