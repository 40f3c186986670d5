"""Does a training step fit into the memory that there is? If not: what to change.

`memory.py` says what a step takes.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import torch

from ...devices import pick_dtype
from ...exercises.memory import Memory, memory_of, rows_by_config, told_bytes
from ...network.config import BERTConfig
from ...network.losses import rows_at_once
from ...network.model import BERTModel
from ...pretraining.settings import Settings
from ...text.examples import LENGTH_MULTIPLE, PretrainingExamples
from ...text.pairs import segment_lengths
from .available import available_memory, give_back_freed

SHORTEST = 32  # positions: what is suggested at the least


class Suggestion(NamedTuple):
    """What to change so that a step fits."""

    settings: dict[str, Any]  # as `memory_of` names them, or "num_layers"; empty if it fits already
    memory: Memory
    sentence: str


def halves(number: int, least: int = 1) -> list[int]:
    """Half of a number, a quarter, and so on."""
    found = []
    while number > least:
        number = max(least, number // 2)
        found.append(number)
    return found


def attempts(
    smaller: str, rows: int, length: int, num_layers: int
) -> Iterator[list[dict[str, Any]]]:
    """Groups of changes, from what loses nothing to what loses most; in a group likewise."""
    sizes = [{smaller: size} for size in halves(rows)]
    checkpointing, narrow = {"checkpointing": True}, {"precision": "bf16"}
    yield [{}]
    yield sizes
    yield [checkpointing | size for size in ({}, *sizes)]
    yield [narrow | size for size in ({}, *sizes)]
    yield [checkpointing | narrow | size for size in ({}, *sizes)]
    tightest = {smaller: 1} | checkpointing | narrow
    yield [tightest | {"length": shorter} for shorter in halves(length, SHORTEST)]
    fewer = [{"num_layers": number} for number in range(num_layers - 1, 0, -1)]
    yield [tightest | number for number in fewer]
    yield [tightest | {"length": SHORTEST} | number for number in fewer]


def nearest_that_fits(
    config: BERTConfig,
    batch_size: int,
    length: int,
    available: int,
    *,
    smaller: str = "rows",
    rows: int | None = None,
    **how: Any,
) -> list[Suggestion]:
    """What to change so that a training step fits, from the change that loses least.

    Fewer rows at a time and checkpointing change nothing of what is learned, but take time. Then
    come narrower numbers; and only if all that is not enough, shorter rows and fewer layers.

    Args:
        config: Sizes of the network.
        batch_size: Sentence pairs in a step.
        length: L.
        available: Bytes that there are.
        smaller: What can be made smaller: "rows" (at a time) or "batch_size".
        rows: As in `memory_of`.
        **how: The rest of `memory_of`: precision, optimizer, checkpointing, slots, device.

    Returns:
        One for each kind of change that is enough. The first has no settings if it fits as it is.
        Nothing fits if there is none.
    """
    now = dict(precision="fp32", checkpointing=False) | how
    now |= dict(batch_size=batch_size, length=length, num_layers=config.num_layers)
    now["rows"] = min(batch_size, rows or rows_by_config(config, how.get("device", "cpu")))
    found: list[Suggestion] = []
    for group in attempts(smaller, now[smaller], length, config.num_layers):
        is_loss = any(name in change for change in group for name in ("length", "num_layers"))
        if is_loss and found:
            break
        for change in group:
            settings = {name: value for name, value in change.items() if value != now[name]}
            if any(other.settings.items() <= settings.items() for other in found):
                break  # a part of these changes is enough
            all_ = now | settings
            if "length" in settings:
                all_.pop("slots", None)
            sizes = replace(config, num_layers=all_.pop("num_layers"))
            memory = memory_of(sizes, **all_)
            if memory.total <= available:
                found.append(Suggestion(settings, memory, told(settings, memory, batch_size)))
                break
        if found and not found[0].settings:
            break
    return found


def told(settings: dict[str, Any], memory: Memory, batch_size: int) -> str:
    """What to change, in one sentence."""
    words = {
        "rows": "let {0} of a batch's {1} rows go through the network together",
        "batch_size": "take smaller batches (batch_size={0} instead of {1})",
        "checkpointing": "compute each layer twice (net.encoder.checkpointing = True)",
        "precision": 'compute in half precision (precision="bf16")',
        "length": "cut rows at {0} positions (max_len={0})",
        "num_layers": "take fewer layers (num_layers={0})",
    }
    parts = [words[name].format(value, batch_size) for name, value in settings.items()]
    size = told_bytes(memory.total)
    if not parts:
        return f"It fits as it is, with {size}."
    text = f"{', '.join(parts[:-1])} and {parts[-1]}" if parts[1:] else parts[0]
    return f"{text[0].upper()}{text[1:]}: then a step takes {size}."


def longest_row(train_iter: PretrainingExamples) -> int:
    """Positions of the longest row of the first epoch; many texts do not fill `max_len`."""
    longest = 0
    for count, pairs in zip(train_iter.sentence_counts, train_iter.pairs(0), strict=True):
        starts = pairs.first, pairs.second
        lengths = sum(segment_lengths(train_iter.text, start, count) for start in starts) + 3
        longest = max(longest, int(lengths.max()))
    return min(train_iter.max_len, -(-longest // LENGTH_MULTIPLE) * LENGTH_MULTIPLE)


def check_fits(
    net: BERTModel,
    train_iter: PretrainingExamples,
    recipe: Settings,
    available: int | None = None,
) -> None:
    """Refuse a training that the system would kill, before its first step.

    It takes less than a millisecond where all is well. Only in doubt it looks at the text, and
    makes room first. What is not known is not refused.

    Args:
        net: The network, on its device.
        train_iter: Training examples.
        recipe: How to train.
        available: Bytes that there are besides the network; what `available_memory` says if None.

    Raises:
        MemoryError: A step takes more than there is; the message says how much of what, and what to
            change.
    """
    device, config = next(net.parameters()).device, net.config
    dtype = pick_dtype(recipe.precision, device)
    how = dict(
        precision="bf16" if dtype == torch.bfloat16 else "fp32",
        optimizer=recipe.optimizer,
        checkpointing=net.encoder.checkpointing,
        rows=rows_at_once(net, device),
        sampled_words=recipe.sampled_words,
        device=device.type,
    )

    def step(length: int) -> Memory:
        slots = max(1, round(length * train_iter.mask_rate))
        return memory_of(config, train_iter.batch_size, length, slots=slots, **how)

    def room(memory: Memory) -> float:
        free = available_memory(device) if available is None else available
        return float("inf") if free is None else free + memory.parameters  # which stand already

    length = train_iter.max_len
    if (memory := step(length)).total <= room(memory):
        return
    give_back_freed()
    length = longest_row(train_iter)
    if (memory := step(length)).total <= (there := room(memory)):
        return
    name, size = max(memory.parts().items(), key=lambda part: part[1])
    nearest = nearest_that_fits(
        config, train_iter.batch_size, length, there, smaller="batch_size", **how
    )
    advice = nearest[0].sentence if nearest else "Even one layer and one short row do not fit."
    raise MemoryError(
        f"one training step would take {told_bytes(memory.total)} ({told_bytes(size)} of it for "
        f"{name}), but there are {told_bytes(there)}: {advice[0].lower()}{advice[1:-1]}"
    )
