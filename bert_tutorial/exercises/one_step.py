"""One real training step, with the time and the memory that it takes."""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch.profiler import ProfilerActivity, profile

from ..devices import pick_dtype
from ..network.config import BERTConfig
from ..network.model import BERTModel
from ..pretraining.optimizers import make_optimizers
from ..pretraining.settings import Settings
from ..pretraining.training import Step, train_steps
from ..text.examples import PretrainingExamples
from ..text.tokenized import TokenizedText
from ..text.vocabulary import SPECIAL_TOKENS, Vocab
from .memory import Memory, memory_of


class Measured(NamedTuple):
    """What one training step took."""

    seconds: float
    peak: int  # bytes of all tensors at the fullest moment
    estimate: Memory


def peak_of(work: Callable[[], None], device: torch.device) -> int:
    """How many bytes of tensors some work makes, less those that are freed, at the most."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        work()
        return torch.cuda.max_memory_allocated(device)
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # otherwise the profiler prints two lines
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        work()
    events = seen.profiler.kineto_results.events()
    changes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    sizes = torch.tensor([change for _, change in changes]).cumsum(0)
    return int(sizes.max())


def full_rows(config: BERTConfig, rows: int, length: int) -> PretrainingExamples:
    """A batch of rows without padding: memory and time do not depend on the words."""
    words = [f"{i:09}" for i in range(config.vocab_size - len(SPECIAL_TOKENS))]
    vocab, sentence = Vocab(words), (words * (length // len(words) + 1))[:length]
    text = TokenizedText.from_paragraphs(vocab, [[sentence, sentence]] * max(2, rows))
    return PretrainingExamples(vocab, text, rows, length)


def take_step(
    config: BERTConfig,
    length: int,
    rows: int,
    *,
    checkpointing: bool = False,
    precision: str = "auto",
    optimizer: str = "adam",
    device: torch.device | str = "cpu",
) -> Step:
    """Do one training step of a new network, whose optimizers have their averages already.

    Args:
        config: Sizes of the network.
        length: L, positions of a row.
        rows: B, rows of the batch.
        checkpointing: See `BERTEncoder`.
        precision: "bf16", "fp32" or "auto".
        optimizer: "adam", or "muon", whose step takes longer than all the rest of so small a batch.
        device: Where to do it.
    """
    settings = Settings(
        num_steps=1, precision=precision, optimizer=optimizer, word_neighbours=False
    )
    net = BERTModel.from_config(config).to(device)
    net.encoder.checkpointing = checkpointing
    optimizers = make_optimizers(net, settings)
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    for each in optimizers:
        each.step()
    return next(train_steps(net, full_rows(config, rows, length), settings, optimizers=optimizers))


def measured_step(
    config: BERTConfig, length: int, rows: int, device: torch.device | str = "cpu", **how: Any
) -> Measured:
    """Measure `take_step`, whose arguments it takes, beside what was to be expected."""
    device, steps = torch.device(device), []
    how = dict(precision="auto", optimizer="adam") | how
    is_half = pick_dtype(how["precision"], device) == torch.bfloat16
    how["precision"] = "bf16" if is_half else "fp32"

    def step() -> None:
        steps.append(take_step(config, length, rows, device=device, **how))

    peak = peak_of(step, device)
    estimate = memory_of(config, rows, length, device=device.type, **how)
    return Measured(steps[0].seconds, peak, estimate)
