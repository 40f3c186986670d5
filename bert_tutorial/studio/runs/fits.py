"""Does a training fit into the memory that there is, what to change if not, and what a run costs.

Shapes: T tokens of a row, D hidden units, F units inside the feed-forward network, V vocabulary.
"""

import ctypes
import gc
import math
import os
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ...devices import pick_dtype, try_all_gpus
from ...exercises.memory import Memory, count_parameters, memory_of, told_bytes
from ...network.config import BERTConfig
from ...network.losses import rows_at_once
from ...pretraining.run import Settings
from ...pretraining.training import train_steps
from ...text.examples import LENGTH_MULTIPLE, PretrainingExamples
from ...text.pairs import segment_lengths
from .settings import MINUTE, PANEL_RECIPES, RunSettings

SHORTEST = 32  # positions: what is suggested at the least


def available_memory(device: torch.device | str = "cpu", root: Path = Path("/")) -> int | None:
    """Bytes that a program can still take, or None; `root` is where `proc` and `sys` are."""
    device = torch.device(device)
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept  # PyTorch keeps what it has freed
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    rooms, top = [], root / "sys/fs/cgroup"
    with suppress(OSError, ValueError, KeyError):  # Linux
        lines = (root / "proc/meminfo").read_text().splitlines()
        rooms.append(1024 * int(dict(x.split()[:2] for x in lines)["MemAvailable:"]))
    with suppress(OSError):  # within each limit that a container sets
        groups = (root / "proc/self/cgroup").read_text().splitlines()
        for _, kinds, path in (line.split(":", 2) for line in groups):
            here, names = top / path[1:], ("memory.max", "memory.current", "inactive_file")
            if "memory" in kinds.split(","):  # version 1 of cgroups, which names what is limited
                here, inactive = top / "memory" / path[1:], "total_inactive_file"
                names = "memory.limit_in_bytes", "memory.usage_in_bytes", inactive
            for folder in (here, *here.parents):
                with suppress(OSError, ValueError):  # no such file, or "max"
                    most, now = (int((folder / name).read_text()) for name in names[:2])
                    stat = (folder / "memory.stat").read_text().splitlines()
                    from_files = dict(line.split() for line in stat).get(names[2], 0)
                    rooms.append(max(0, most - now + int(from_files)))  # those can be dropped
    if not rooms:
        with suppress(AttributeError, ValueError, OSError):  # Windows does not tell
            rooms.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(rooms, default=None)


class Suggestion(NamedTuple):
    """What to change so that a step fits."""

    settings: dict[str, Any]  # as `memory_of` names them, or "num_layers"; empty if it fits already
    memory: Memory
    sentence: str


def nearest_that_fits(
    config: BERTConfig,
    batch_size: int,
    length: int,
    available: int,
    *,
    rows: int,
    smaller: str = "rows",
    **how: Any,
) -> list[Suggestion]:
    """What to change so that a training step (see `memory_of`) fits into the available bytes.

    One suggestion for each kind of change that is enough, from the change that loses least; the
    first has no settings if it fits as it is. Fewer rows at a time (or, as `smaller` says, smaller
    batches) and checkpointing change nothing of what is learned, but take time. Then come narrower
    numbers; and only if all that is not enough, shorter rows and fewer layers.
    """
    now = dict(precision="fp32", checkpointing=False, num_layers=config.num_layers) | how
    now |= dict(batch_size=batch_size, length=length, rows=min(batch_size, rows))
    found = []

    def halves(name: str, least: int = 1) -> list[dict[str, int]]:
        sizes = [max(least, now[name] >> i) for i in range(1, now[name].bit_length())]
        return [{name: size} for size in dict.fromkeys(sizes) if size < now[name]]

    def add_first(changes: list[dict[str, Any]]) -> None:
        for change in changes:
            settings = {name: value for name, value in change.items() if value != now[name]}
            if any(other.settings.items() <= settings.items() for other in found):
                return  # a part of these changes is enough
            how = now | settings
            if "length" in settings:
                how.pop("slots", None)
            memory = memory_of(replace(config, num_layers=how.pop("num_layers")), **how)
            if memory.total <= available:
                found.append(Suggestion(settings, memory, in_words(settings, memory, batch_size)))
                return

    twice, narrow = {"checkpointing": True}, {"precision": "bf16"}
    for saving in ({}, twice, narrow, twice | narrow):
        add_first([saving | size for size in ({}, *halves(smaller))])
    fewer = [{"num_layers": number} for number in range(config.num_layers - 1, 0, -1)]
    shortest = [{"length": SHORTEST} | change for change in fewer]
    for lossy in (halves("length", SHORTEST), fewer, shortest):
        if not found:
            add_first([{smaller: 1} | twice | narrow | change for change in lossy])
    return found


def in_words(settings: dict[str, Any], memory: Memory, batch_size: int) -> str:
    """What to change, in one sentence."""
    words = {
        "rows": f"let {{0}} of a batch's {batch_size} rows go through the network together",
        "batch_size": f"take smaller batches (batch_size={{0}} instead of {batch_size})",
        "checkpointing": "compute each layer twice (net.encoder.checkpointing = True)",
        "precision": 'compute in half precision (precision="bf16")',
        "length": "cut rows at {0} positions (max_len={0})",
        "num_layers": "take fewer layers (num_layers={0})",
    }
    if not settings:
        return f"It fits as it is, with {told_bytes(memory.total)}."
    *first, last = (words[name].format(value) for name, value in settings.items())
    text = f"{', '.join(first)} and {last}" if first else last
    return f"{text[0].upper()}{text[1:]}: then a step takes {told_bytes(memory.total)}."


def longest_row(train_iter: PretrainingExamples) -> int:
    """Positions of the longest row of the first epoch; many texts do not fill `max_len`."""
    longest, text = 0, train_iter.text
    for count, pairs in zip(train_iter.sentence_counts, train_iter.pairs(0), strict=True):
        lengths = sum(segment_lengths(text, start, count) for start in (pairs.first, pairs.second))
        longest = max(longest, int(lengths.max()) + 3)
    return min(train_iter.max_len, -(-longest // LENGTH_MULTIPLE) * LENGTH_MULTIPLE)


def check_fits(
    net: Any, of: PretrainingExamples, settings: Settings, available: int | None = None
) -> None:
    """Refuse a training that the system would kill, before its first step, with a MemoryError.

    Only in doubt it looks at the text, and makes room first. What is not known is not refused.
    `net` is a network, or the `BERTConfig` of one to be made. `available` are bytes besides it;
    what `available_memory` says if None.
    """
    config, batch_size = getattr(net, "config", net), of.batch_size
    is_made = net is not config
    device = net.mlm.bias.device if is_made else try_all_gpus()[0]
    how = how_of(settings, device) | dict(rows=rows_at_once(config, device))
    how |= dict(checkpointing=is_made and net.encoder.checkpointing)

    def need_and_room(length: int) -> tuple[Memory, float]:
        slots = max(1, round(length * of.mask_rate))
        memory = memory_of(config, batch_size, length, slots=slots, **how)
        free = available_memory(device) if available is None else available
        return memory, math.inf if free is None else free + is_made * memory.parameters

    memory, there = need_and_room(of.max_len)
    if memory.total > there:
        gc.collect()
        if sys.platform.startswith("linux"):
            with suppress(OSError, AttributeError):  # glibc keeps what is freed; others do not
                ctypes.CDLL("libc.so.6").malloc_trim(0)
        memory, there = need_and_room(length := longest_row(of))
    if memory.total <= there:
        return
    name, size = max(memory.parts().items(), key=lambda part: part[1])
    nearest = nearest_that_fits(config, batch_size, length, there, smaller="batch_size", **how)
    advice = nearest[0].sentence if nearest else "Even one layer and one short row do not fit."
    raise MemoryError(
        f"one training step would take {told_bytes(memory.total)} ({told_bytes(size)} of it for "
        f"{name}), but there are {told_bytes(there)}: {advice[0].lower()}{advice[1:-1]}"
    )


def how_of(settings: Settings, device: torch.device) -> dict[str, Any]:
    """What `memory_of` has to know of settings and device."""
    is_narrow = pick_dtype(settings.precision, device) == torch.bfloat16
    how = dict(precision="bf16" if is_narrow else "fp32", optimizer=settings.optimizer)
    return how | dict(sampled_words=settings.sampled_words, device=device.type)


class Cost(NamedTuple):
    """What settings cost."""

    parameters: int
    memory: int  # bytes of tensors in a step, at its fullest moment
    flops: float  # of one step: multiplications and additions


def cost_of(settings: RunSettings, of: PretrainingExamples) -> Cost:
    """What a run with these settings costs on a text; a ValueError names one that cannot be."""
    config, device = settings.config(len(of.vocab)), try_all_gpus()[0]
    tokens, batch_size = mean_tokens(settings, of), settings.batch_size
    length = LENGTH_MULTIPLE * math.ceil(tokens / LENGTH_MULTIPLE)
    slots = max(1, round(tokens * settings.mask_rate))
    memory = memory_of(config, batch_size, length, slots=slots, **how_of(settings, device))
    flops = batch_size * flops_of(
        config,
        tokens,
        settings.mask_rate,
        settings.sampled_words and (settings.sampled_words + batch_size * slots),
    )
    return Cost(count_parameters(config), memory.total, flops)


def mean_tokens(settings: RunSettings, of: PretrainingExamples) -> float:
    """Mean number of tokens in a row, special ones included."""
    sentence = len(of.text.token_ids) / (len(of.text.sentence_starts) - 1)
    counts = settings.sentences_per_segment
    return sum(min(of.max_len, 2 * count * sentence + 3) for count in counts) / len(counts)


def flops_of(config: BERTConfig, tokens: float, mask_rate: float, decoded: int = 0) -> float:
    """Of one pair: a product with a matrix is two operations a number of it, and twice backward.

    `decoded` is the number of words that a step decodes; 0 for all.
    """
    D, F = config.num_hiddens, config.ffn_num_hiddens
    V = min(decoded or config.vocab_size, config.vocab_size)
    words = tokens * mask_rate
    per_token = 8 * D * D + 4 * D * F + 4 * tokens * D
    layers = (config.num_layers - 1) * tokens + words  # the last computes no others (`read_out`)
    keys = 4 * D * D * tokens  # but looks at all positions
    return 3 * (layers * per_token + keys + words * (2 * D * D + 2 * D * V))


def measure_speed(of: PretrainingExamples) -> float:
    """Operations per second of this machine, roughly, by a few steps of a real training.

    A step's speed depends on its rows; the recipe has short, middle and long ones by turns.
    """
    settings = replace(PANEL_RECIPES[MINUTE], num_steps=8, word_neighbours=False)
    steps = [*train_steps(settings.network(len(of.vocab)), settings.examples(of), settings)][2:]
    pairs, seconds = (sum(column) for column in [*zip(*steps, strict=True)][3:5])
    return cost_of(settings, of).flops * pairs / settings.batch_size / seconds
