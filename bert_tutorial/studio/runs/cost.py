"""What a run will cost: parameters, memory, time.

Shapes: B pairs in a batch, T tokens of a batch, N words to predict in it, D hidden units, F units
inside the feed-forward network, V vocabulary.
"""

import math
from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple

import torch

from ...devices import pick_dtype, try_all_gpus
from ...exercises.memory import count_parameters, memory_of
from ...network.config import BERTConfig
from ...pretraining.settings import Settings
from ...pretraining.training import train_steps
from ...text.examples import LENGTH_MULTIPLE, PretrainingExamples
from .saved_runs import SavedRun
from .settings import RunSettings, read_settings


class Cost(NamedTuple):
    """What settings cost."""

    parameters: int
    memory: int  # bytes that a step takes at its fullest moment
    flops: float  # of one step: multiplications and additions

    def seconds(self, num_steps: int, flops_per_second: float) -> float:
        """How long so many steps take."""
        return num_steps * self.flops / flops_per_second


def cost_of(settings: RunSettings, of: PretrainingExamples) -> Cost:
    """What a run with these settings costs on a text.

    Args:
        settings: What is to be trained.
        of: Examples of the text.

    Raises:
        ValueError: Settings that cannot be.
    """
    config = settings.config(len(of.vocab))
    tokens = mean_tokens(settings, of)
    length = LENGTH_MULTIPLE * math.ceil(tokens / LENGTH_MULTIPLE)
    how = dict(slots=max(1, round(tokens * settings.mask_rate)), optimizer=settings.optimizer)
    device = try_all_gpus()[0]
    if pick_dtype("auto", device) == torch.bfloat16:
        how["precision"] = "bf16"
    memory = memory_of(config, settings.batch_size, length, device=device.type, **how).total
    flops = settings.batch_size * flops_of(config, tokens, settings)
    return Cost(count_parameters(config), memory, flops)


def mean_tokens(settings: RunSettings, of: PretrainingExamples) -> float:
    """Mean number of tokens in a row, special ones included."""
    sentence = len(of.text.token_ids) / (len(of.text.sentence_starts) - 1)
    counts = range(1, settings.sentences + 1)
    rows = (min(of.max_len, 2 * count * sentence + 3) for count in counts)
    return sum(rows) / len(counts)


def flops_of(config: BERTConfig, tokens: float, settings: RunSettings) -> float:
    """Of one pair, there and back: a product with a matrix is two operations a number of it.

    The way back takes twice the way there. In the last layer only the words to predict are
    computed (`read_out`).
    """
    D, F, V = config.num_hiddens, config.ffn_num_hiddens, config.vocab_size
    words = tokens * settings.mask_rate
    per_token = 8 * D * D + 4 * D * F + 4 * tokens * D
    layers = (config.num_layers - 1) * tokens + words
    keys = 4 * D * D * tokens  # of the last layer: it looks at all positions
    return 3 * (layers * per_token + keys + words * (2 * D * D + 2 * D * V))


def measure_speed(of: PretrainingExamples) -> float:
    """Operations per second of this machine, by three small steps of a real training.

    It takes a fraction of a second, and only says about how long a run will take.
    """
    settings = RunSettings(num_steps=3, batch_size=64, mask_rate=0.4)
    net, examples = settings.network(len(of.vocab)), settings.examples(of)
    steps = train_steps(net, examples, Settings(num_steps=3, word_neighbours=False))
    *_, last = steps
    return cost_of(settings, of).flops * last.num_pairs / settings.batch_size / last.seconds


def kept_speed(runs: Iterable[SavedRun], of: PretrainingExamples) -> float | None:
    """Operations per second of this machine, by the first of some kept runs that can tell it."""
    for run in runs:
        pairs, step = run.story.get("pairs_per_second"), run.story.get("step", 0)
        with suppress(ValueError, TypeError):  # of another version of this package
            if pairs and step >= 10:
                settings = read_settings(run.story["settings"])
                return cost_of(settings, of).flops / settings.batch_size * pairs
    return None


def told(seconds: float) -> str:
    """A time as one says it.

    >>> told(0.4), told(48), told(200), told(8000)
    ('a second', '48 seconds', '3 minutes', '2.2 hours')
    """
    if seconds < 1.5:
        return "a second"
    if seconds < 100:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 6000 else f"{seconds / 3600:.1f} hours"
