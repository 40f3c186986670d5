"""One real training step, with the time and the memory that it takes."""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch.profiler import ProfilerActivity, profile

from ..network.config import BERTConfig
from ..network.model import BERTModel
from ..pretraining.optimizers import make_optimizers
from ..pretraining.run import Settings
from ..pretraining.training import train_steps
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
    return int(torch.tensor([change for _, change in changes]).cumsum(0).max())


def full_rows(config: BERTConfig, rows: int, length: int) -> PretrainingExamples:
    """A batch of rows without padding: memory and time do not depend on the words."""
    words = [f"{i:09}" for i in range(config.vocab_size - len(SPECIAL_TOKENS))]
    vocab, sentence = Vocab(words), (words * (length // len(words) + 1))[:length]
    text = TokenizedText.from_paragraphs(vocab, [[sentence, sentence]] * max(2, rows))
    return PretrainingExamples(vocab, text, rows, length)


def measured_step(
    config: BERTConfig, length: int, rows: int, device: torch.device | str = "cpu", **how: Any
) -> Measured:
    """Measure one training step of a new network, beside what `memory_of` expects of it.

    `how` are settings that `memory_of` takes too: `precision`, `checkpointing`, and `optimizer`;
    Adam by default, for Muon's step takes longer than all the rest of so small a batch.
    """
    device, seconds = torch.device(device), []
    how = dict(precision="auto", optimizer="adam", checkpointing=False) | how
    same = {name: how[name] for name in ("precision", "optimizer")}
    settings = Settings(num_steps=1, word_neighbours=False, **same)

    def take_step() -> None:
        net = BERTModel.from_config(config).to(device)
        net.encoder.checkpointing = how["checkpointing"]
        optimizers = make_optimizers(net, settings)
        for parameter in net.parameters():
            parameter.grad = torch.zeros_like(parameter)
        for each in optimizers:  # makes the averages
            each.step()
        train_iter = full_rows(config, rows, length)
        seconds.append(next(train_steps(net, train_iter, settings, optimizers=optimizers)).seconds)

    peak = peak_of(take_step, device)
    return Measured(*seconds, peak, memory_of(config, rows, length, device=device.type, **how))
