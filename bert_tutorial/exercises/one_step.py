"""One real training step, with the memory and the time that it takes.

Shapes: B rows in a batch, L positions, P prediction slots.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch.profiler import ProfilerActivity, profile

from ..devices import pick_dtype
from ..network.config import BERTConfig
from ..network.model import BERTModel
from ..parallel import ALONE
from ..pretraining.optimizers import Muon, make_optimizers
from ..pretraining.settings import Settings
from ..pretraining.training import Work, one_step
from ..text.examples import Batch
from .memory import Memory, memory_of, slots_of


class Measured(NamedTuple):
    """What one training step took."""

    seconds: float
    peak: int  # bytes of all tensors at the fullest moment
    estimate: Memory


class Peak:
    """The most bytes of tensors that stood at one time; known when the measurement ends."""

    bytes = 0


@contextmanager
def peak_memory(device: torch.device) -> Iterator[Peak]:
    """Measure how many bytes of tensors are made, less those that are freed, at the most.

    On a CPU PyTorch's profiler notes every tensor that is made or freed. What stood before does
    not count there; on a GPU it does.

    Args:
        device: Where the tensors are.
    """
    peak = Peak()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        yield peak
        peak.bytes = torch.cuda.max_memory_allocated(device)
        return
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # otherwise the profiler prints two lines
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        yield peak
    events = seen.profiler.kineto_results.events()
    changes = [(event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]"]
    now = 0
    for _, change in sorted(changes, key=lambda at: at[0]):
        now += change
        peak.bytes = max(peak.bytes, now)


def random_batch(
    config: BERTConfig, rows: int, length: int, slots: int, generator: torch.Generator
) -> Batch:
    """Rows of random tokens without padding: memory and time do not depend on the words.

    Args:
        config: Sizes of the network.
        rows: B.
        length: L.
        slots: P.
        generator: Source of randomness.
    """

    def draw(high: int, *shape: int) -> torch.Tensor:
        return torch.randint(high, shape, generator=generator)

    places = torch.rand(rows, length - 1, generator=generator).argsort(1)[:, :slots]
    return Batch(
        token_ids=draw(config.vocab_size, rows, length),
        segments=(torch.arange(length) >= length // 2).long().repeat(rows, 1),
        valid_lens=torch.full((rows,), length),
        pred_positions=places.sort(1).values + 1,
        mlm_weights=torch.ones(rows, slots),
        mlm_labels=draw(config.vocab_size, rows, slots),
        nsp_labels=draw(2, rows),
    )


def settled_optimizers(net: BERTModel, recipe: Settings) -> list[torch.optim.Optimizer]:
    """Optimizers that have their averages already, as after a first step; all are 0."""
    optimizers = make_optimizers(net, recipe)
    for optimizer in optimizers:
        for p in (p for group in optimizer.param_groups for p in group["params"]):
            if isinstance(optimizer, Muon):
                optimizer.state[p] = {"average": torch.zeros_like(p)}
            else:
                averages = {name: torch.zeros_like(p) for name in ("exp_avg", "exp_avg_sq")}
                optimizer.state[p] = {"step": torch.tensor(0.0, device=p.device), **averages}
    return optimizers


def take_step(
    config: BERTConfig,
    length: int,
    rows: int,
    checkpointing: bool = False,
    precision: str = "fp32",
    optimizer: str = "muon",
    device: torch.device | str = "cpu",
) -> float:
    """Do one training step of a new network, on random tokens.

    It is a step as each one after the first: the optimizers have their averages.

    Args:
        config, length, rows, checkpointing, precision, optimizer, device: As in `measured_step`.

    Returns:
        Seconds of the step alone.
    """
    recipe = Settings(num_steps=1, precision=precision, optimizer=optimizer, learning_rate=1e-4)
    generator = torch.Generator().manual_seed(0)
    batch = random_batch(config, rows, length, slots_of(length), generator).to(device)
    net = BERTModel.from_config(config).to(device)
    net.encoder.checkpointing = checkpointing
    optimizers = settled_optimizers(net, recipe)
    began = time.perf_counter()
    one_step(Work(net), batch, recipe, 0, optimizers, True, ALONE)
    return time.perf_counter() - began


def measured_step(
    config: BERTConfig,
    length: int,
    rows: int,
    checkpointing: bool = False,
    precision: str = "auto",
    optimizer: str = "adam",
    device: torch.device | str = "cpu",
) -> Measured:
    """Do one training step of a new network and measure it.

    Args:
        config: Sizes of the network.
        length: L, positions of a row.
        rows: B, rows of the batch.
        checkpointing: See `BERTEncoder`.
        precision: "bf16", "fp32" or "auto".
        optimizer: "adam", or "muon", whose step takes longer than all the rest of so small a batch.
        device: Where to do it.

    Returns:
        Time of the step, its peak of memory, and what was to be expected.
    """
    device = torch.device(device)
    is_half = pick_dtype(precision, device) == torch.bfloat16
    how = dict(
        checkpointing=checkpointing,
        precision="bf16" if is_half else "fp32",
        optimizer=optimizer,
    )
    with peak_memory(device) as peak:
        seconds = take_step(config, length, rows, device=device, **how)
    estimate = memory_of(config, rows, length, device=device.type, **how)
    return Measured(seconds, peak.bytes, estimate)
