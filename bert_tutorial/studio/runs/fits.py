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
from ...network.model import BERTModel
from ...pretraining.settings import Settings
from ...pretraining.training import train_steps
from ...text.examples import LENGTH_MULTIPLE, PretrainingExamples
from ...text.pairs import segment_lengths
from .settings import RunSettings

SHORTEST = 32  # positions: what is suggested at the least


def available_memory(device: torch.device | str = "cpu", root: Path = Path("/")) -> int | None:
    """Bytes that a program can still take, or None; `root` is where `proc` and `sys` are."""
    device = torch.device(device)
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept  # PyTorch keeps what it has freed
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    rooms = []
    with suppress(OSError, ValueError, KeyError):  # Linux
        lines = (root / "proc/meminfo").read_text().splitlines()
        rooms.append(1024 * int(dict(x.split()[:2] for x in lines)["MemAvailable:"]))
    with suppress(OSError):  # within each limit that a container sets
        groups = (root / "proc/self/cgroup").read_text().splitlines()
        for _, kinds, path in (line.split(":", 2) for line in groups):
            top, names = root / "sys/fs/cgroup", ("memory.max", "memory.current", "inactive_file")
            if kinds:  # version 1 of cgroups, which names what is limited
                top, inactive = top / "memory", "total_inactive_file"
                names = "memory.limit_in_bytes", "memory.usage_in_bytes", inactive
            here = top / path.lstrip("/")
            folders = [x for x in (here, *here.parents) if x.is_relative_to(top)]
            if "memory" in kinds.split(",") or not kinds:
                rooms += [room_in(folder, *names) for folder in folders]
    if not rooms:
        with suppress(AttributeError, ValueError, OSError):  # Windows does not tell
            rooms.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min((room for room in rooms if room is not None), default=None)


def room_in(folder: Path, limit: str, used: str, files: str) -> int | None:
    """What a cgroup leaves; what was read from files can be dropped. None if there is no limit."""
    try:
        most, now = (int((folder / name).read_text()) for name in (limit, used))
        about = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return max(0, most - now + int(about.get(files, 0)))
    except (OSError, ValueError):  # no such file, or "max"
        return None


def give_back_freed() -> None:
    """Give back what this program has freed: glibc keeps it, so it does not count as available."""
    gc.collect()
    if sys.platform.startswith("linux"):
        with suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL("libc.so.6").malloc_trim(0)


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
    """What to change so that a training step fits, from the change that loses least.

    Fewer rows at a time and checkpointing change nothing of what is learned, but take time. Then
    come narrower numbers; and only if all that is not enough, shorter rows and fewer layers.

    Args:
        config, batch_size, length, rows, **how: As in `memory_of`.
        available: Bytes that there are.
        smaller: What can be made smaller: "rows" (at a time) or "batch_size".

    Returns:
        One for each kind of change that is enough. The first has no settings if it fits as it is.
        Nothing fits if there is none.
    """
    now = dict(precision="fp32", checkpointing=False) | how
    now |= dict(batch_size=batch_size, length=length, num_layers=config.num_layers)
    now["rows"] = min(batch_size, rows)

    def halves(name: str, least: int = 1) -> list[dict[str, int]]:
        sizes = {max(least, now[name] >> i) for i in range(1, now[name].bit_length())}
        return [{name: size} for size in sorted(sizes, reverse=True) if size < now[name]]

    checkpointing, narrow, sizes = {"checkpointing": True}, {"precision": "bf16"}, halves(smaller)
    tightest = {smaller: 1} | checkpointing | narrow
    fewer = [{"num_layers": number} for number in range(config.num_layers - 1, 0, -1)]
    free = [checkpointing | size for size in ({}, *sizes)], [narrow | x for x in ({}, *sizes)]
    both = [checkpointing | change for change in free[1]]
    shorter = halves("length", SHORTEST)
    lossy = [shorter, fewer, [{"length": SHORTEST} | change for change in fewer]]
    found: list[Suggestion] = []
    for group in ([{}], sizes, *free, both, *([tightest | x for x in group] for group in lossy)):
        for change in group:
            if found and (not found[0].settings or {"length", "num_layers"} & change.keys()):
                return found
            settings = {name: value for name, value in change.items() if value != now[name]}
            if any(other.settings.items() <= settings.items() for other in found):
                break  # a part of these changes is enough
            all_ = now | settings
            if "length" in settings:
                all_.pop("slots", None)
            memory = memory_of(replace(config, num_layers=all_.pop("num_layers")), **all_)
            if memory.total <= available:
                found.append(Suggestion(settings, memory, in_words(settings, memory, batch_size)))
                break
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
    longest = 0
    for count, pairs in zip(train_iter.sentence_counts, train_iter.pairs(0), strict=True):
        starts = pairs.first, pairs.second
        lengths = sum(segment_lengths(train_iter.text, start, count) for start in starts) + 3
        longest = max(longest, int(lengths.max()))
    return min(train_iter.max_len, -(-longest // LENGTH_MULTIPLE) * LENGTH_MULTIPLE)


def check_fits(
    net: BERTModel,
    train_iter: PretrainingExamples,
    settings: Settings,
    available: int | None = None,
) -> None:
    """Refuse a training that the system would kill, before its first step.

    It takes less than a millisecond where all is well. Only in doubt it looks at the text, and
    makes room first. What is not known is not refused.

    Args:
        net: The network, on its device.
        train_iter, settings: What is trained on, and how.
        available: Bytes that there are besides the network; what `available_memory` says if None.

    Raises:
        MemoryError: With how much of what a step takes, and what to change.
    """
    device, config, batch_size = net.mlm.bias.device, net.config, train_iter.batch_size
    how = dict(
        precision=narrow_or_wide(settings, device),
        optimizer=settings.optimizer,
        checkpointing=net.encoder.checkpointing,
        rows=rows_at_once(config, device),
        sampled_words=settings.sampled_words,
        device=device.type,
    )

    def fullest(length: int) -> Memory:
        slots = max(1, round(length * train_iter.mask_rate))
        return memory_of(config, batch_size, length, slots=slots, **how)

    def room(memory: Memory) -> float:
        free = available_memory(device) if available is None else available
        return math.inf if free is None else free + memory.parameters  # which stand already

    if (memory := fullest(train_iter.max_len)).total <= room(memory):
        return
    give_back_freed()
    length = longest_row(train_iter)
    if (memory := fullest(length)).total <= (there := room(memory)):
        return
    name, size = max(memory.parts().items(), key=lambda part: part[1])
    nearest = nearest_that_fits(config, batch_size, length, there, smaller="batch_size", **how)
    advice = nearest[0].sentence if nearest else "Even one layer and one short row do not fit."
    raise MemoryError(
        f"one training step would take {told_bytes(memory.total)} ({told_bytes(size)} of it for "
        f"{name}), but there are {told_bytes(there)}: {advice[0].lower()}{advice[1:-1]}"
    )


def narrow_or_wide(settings: Settings, device: torch.device) -> str:
    """The number format of matrix products, as `memory_of` names it."""
    is_narrow = pick_dtype(settings.precision, device) == torch.bfloat16
    return "bf16" if is_narrow else "fp32"


class Cost(NamedTuple):
    """What settings cost."""

    parameters: int
    memory: int  # bytes of tensors in a step, at its fullest moment
    flops: float  # of one step: multiplications and additions

    def seconds(self, num_steps: int, flops_per_second: float) -> float:
        """How long so many steps take."""
        return num_steps * self.flops / flops_per_second


def cost_of(settings: RunSettings, of: PretrainingExamples) -> Cost:
    """What a run with these settings costs on a text; a ValueError names one that cannot be."""
    config, device = settings.config(len(of.vocab)), try_all_gpus()[0]
    tokens = mean_tokens(settings, of)
    memory = memory_of(
        config,
        settings.batch_size,
        LENGTH_MULTIPLE * math.ceil(tokens / LENGTH_MULTIPLE),
        slots=max(1, round(tokens * settings.mask_rate)),
        precision=narrow_or_wide(settings, device),
        optimizer=settings.optimizer,
        sampled_words=settings.sampled_words,
        device=device.type,
    )
    flops = settings.batch_size * flops_of(config, tokens, settings.mask_rate)
    return Cost(count_parameters(config), memory.total, flops)


def mean_tokens(settings: RunSettings, of: PretrainingExamples) -> float:
    """Mean number of tokens in a row, special ones included."""
    sentence = len(of.text.token_ids) / (len(of.text.sentence_starts) - 1)
    counts = settings.sentences_per_segment
    return sum(min(of.max_len, 2 * count * sentence + 3) for count in counts) / len(counts)


def flops_of(config: BERTConfig, tokens: float, mask_rate: float) -> float:
    """Of one pair: a product with a matrix is two operations a number of it, and twice backward."""
    D, F, V = config.num_hiddens, config.ffn_num_hiddens, config.vocab_size
    words = tokens * mask_rate
    per_token = 8 * D * D + 4 * D * F + 4 * tokens * D
    layers = (config.num_layers - 1) * tokens + words  # the last computes no others (`read_out`)
    keys = 4 * D * D * tokens  # but looks at all positions
    return 3 * (layers * per_token + keys + words * (2 * D * D + 2 * D * V))


def measure_speed(of: PretrainingExamples) -> float:
    """Operations per second of this machine, roughly, by three small steps of a real training."""
    settings = RunSettings(num_steps=3, batch_size=64, mask_rate=0.4, word_neighbours=False)
    *_, last = train_steps(settings.network(len(of.vocab)), settings.examples(of), settings)
    return cost_of(settings, of).flops * last.num_pairs / settings.batch_size / last.seconds
