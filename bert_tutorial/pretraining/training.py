"""Pretraining: the recipe and the steps.

Nothing here draws or prints; `live.py` does.
"""

import math
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn

from ..devices import keep_memory, pick_dtype
from ..network.losses import MICRO_BATCH, pretraining_losses
from ..network.mode import in_mode
from ..network.model import BERTModel, check_vocab
from ..text.examples import Batch, PretrainingExamples
from ..text.vocabulary import Vocab
from .cooccurrence import start_from_neighbours
from .optimizers import make_optimizers
from .parallel import ALONE, Processes


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train. d2l's recipe, Adam with a constant rate of 0.01, does not learn.

    Raises:
        ValueError: A setting that cannot be; the message names it, and what could be.
    """

    num_steps: int = 50
    learning_rate: float = 5e-3  # at its highest, after the warm-up
    warmup: float = 0.1  # part of the steps in which the learning rate rises; then it falls to 0
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0  # longer gradients are shortened to this length
    precision: str = "auto"  # "bf16", "fp32", or "auto": bf16 where the processor has it
    word_frequencies: bool = True  # see start_from_word_frequencies
    word_neighbours: bool = True  # see start_from_neighbours
    embedding_rate: float = 1.0  # of the word vectors, as a multiple of learning_rate
    seed: int = 0  # of the dropout

    def __post_init__(self):
        if not isinstance(self.num_steps, int) or self.num_steps < 1:
            raise ValueError(
                f"num_steps is {self.num_steps!r}, but must be a whole number of at least 1"
            )
        for name, fits, wanted in (
            ("learning_rate", 0 < self.learning_rate < 1, "lie between 0 and 1, for example 0.005"),
            ("warmup", 0 <= self.warmup <= 1, "be a part of the steps, from 0 to 1"),
            ("embedding_rate", self.embedding_rate >= 0, "be at least 0, for example 0.5"),
            ("weight_decay", self.weight_decay >= 0, "be at least 0, for example 0.01"),
            ("max_grad_norm", self.max_grad_norm > 0, "be above 0, for example 1.0"),
            (
                "precision",
                self.precision in ("auto", "bf16", "fp32"),
                "be 'auto', 'bf16' or 'fp32'",
            ),
        ):
            if not fits:
                raise ValueError(f"{name} is {getattr(self, name)!r}, but must {wanted}")

    def learning_rate_at(self, step: int) -> float:
        """Learning rate of a step, counted from 0: up in a straight line, then down in one.

        >>> recipe = Recipe(num_steps=5, learning_rate=0.4, warmup=0.4)
        >>> [round(recipe.learning_rate_at(step), 2) for step in range(5)]
        [0.2, 0.4, 0.4, 0.27, 0.13]
        """
        rising = (step + 1) / max(1.0, self.warmup * self.num_steps)
        falling = (self.num_steps - step) / max(1.0, (1 - self.warmup) * self.num_steps)
        return self.learning_rate * min(1.0, rising, falling)


class Step(NamedTuple):
    """What one training step gave."""

    step: int  # counted from 1
    mlm_loss: float  # nats per predicted token, on the step's own batch, before the update
    nsp_loss: float  # nats per pair
    num_pairs: int
    seconds: float
    learning_rate: float


def start_from_word_frequencies(net: BERTModel, vocab: Vocab) -> None:
    """Set the output bias to the log frequency of each word: the network begins as a unigram model.

    Otherwise hundreds of steps only learn word frequencies, which counting gives at once.
    """
    counts = torch.tensor(vocab.counts, dtype=torch.float32) + 1
    with torch.no_grad():
        net.mlm.bias.copy_(counts.log() - counts.sum().log())


def check_weights(net: BERTModel) -> None:
    """Check that a network can be trained: in a narrow format small changes of a weight are lost.

    Raises:
        ValueError: Its weights are not float32; the message has the line to write.
    """
    for other in {p.dtype for p in net.parameters()} - {torch.float32}:
        raise ValueError(
            f"the network's weights are {other}, but only torch.float32 can be trained: write "
            "net.float() first; precision='bf16' then still computes in bf16"
        )


def prepare(net: BERTModel, train_iter: PretrainingExamples, recipe: Recipe) -> None:
    """What a recipe does to a new network before the first step; a trained one stays as it is.

    A network is new if its output bias is 0. One whose word vectors are yours, and which should
    keep them, needs a recipe with `word_neighbours=False`.

    Raises:
        ValueError: As in `check_weights`.
    """
    check_weights(net)
    if net.mlm.bias.any():
        return
    if recipe.word_neighbours:
        start_from_neighbours(net, train_iter.text, train_iter.vocab)
    if recipe.word_frequencies:
        start_from_word_frequencies(net, train_iter.vocab)


def accumulate_gradients(
    net: BERTModel,
    batch: Batch,
    dtype: torch.dtype,
    with_nsp: bool = True,
    processes: Processes = ALONE,
) -> tuple[float, float]:
    """Add the gradients of a batch's losses to the network's, a part of the batch at a time.

    The sum is that of the whole batch; only one part's activations are stored at a time. That takes
    less memory, and on a CPU most of it stays in the cache.

    Args:
        net, batch, dtype: As in `pretraining_losses`.
        with_nsp: Whether the next-sentence loss counts.
        processes: Of several with the same batch, each takes some rows; afterwards all hold the
            gradients of the whole batch. Without dropout these are the gradients of a single
            process; with it, other values are dropped.

    Returns:
        MLM loss and NSP loss of the batch.
    """
    num_slots, num_pairs = batch.mlm_weights.sum(), len(batch.nsp_labels)
    totals = torch.zeros(2, device=batch.token_ids.device)
    for part in processes.rows(batch).split(MICRO_BATCH):
        loss = pretraining_losses(net, part, dtype)
        mlm = loss.mlm * (part.mlm_weights.sum() / num_slots)
        nsp = loss.nsp * (len(part.nsp_labels) / num_pairs)
        (mlm + nsp if with_nsp else mlm).backward()
        totals += torch.stack([mlm, nsp]).detach()
    processes.add_up(totals, *(p.grad for p in net.parameters() if p.grad is not None))
    return totals[0].item(), totals[1].item()


def train_steps(
    net: BERTModel,
    train_iter: PretrainingExamples,
    recipe: Recipe,
    *,
    optimizers: list[torch.optim.Optimizer] | None = None,
    first_step: int = 0,
    processes: Processes = ALONE,
) -> Iterator[Step]:
    """Train, yielding what each step gave. Stop asking, and training stops.

    Args:
        net: The network, on its device; changed in place, and usable at every yield.
        train_iter: Training examples. Step s takes `train_iter.batch_at(s)`.
        recipe: How to train, and for how many steps.
        optimizers: From `make_optimizers`; new ones if None.
        first_step: Steps already done. With the network's and the optimizers' state of that moment,
            this resumes a run exactly.
        processes: Which of how many processes of one run this is.

    Raises:
        FloatingPointError: The loss is not a number; the network keeps the last good weights.
        ValueError: The examples have another vocabulary than the network.
    """
    check_vocab(net, train_iter.vocab)
    keep_memory()
    device = next(net.parameters()).device
    optimizers = optimizers or make_optimizers(
        net, recipe.learning_rate, recipe.weight_decay, recipe.embedding_rate
    )
    prepare(net, train_iter, recipe)
    with_nsp = 0 < train_iter.next_sentence_rate < 1  # otherwise there is nothing to tell apart
    for step in range(first_step, recipe.num_steps):
        began = time.perf_counter()
        batch = train_iter.batch_at(step).trim().to(device)
        mlm_loss, nsp_loss = one_step(net, batch, recipe, step, optimizers, with_nsp, processes)
        seconds, rate = time.perf_counter() - began, recipe.learning_rate_at(step)
        yield Step(step + 1, mlm_loss, nsp_loss, len(batch.nsp_labels), seconds, rate)


def one_step(
    net: BERTModel,
    batch: Batch,
    recipe: Recipe,
    step: int,
    optimizers: list[torch.optim.Optimizer],
    with_nsp: bool,
    processes: Processes,
) -> tuple[float, float]:
    """One step of `train_steps`: losses, gradients, new weights.

    Returns:
        MLM loss and NSP loss of the batch, before the change.
    """
    dtype = pick_dtype(recipe.precision, batch.token_ids.device)
    with in_mode(net, training=True):
        # Dropout draws from PyTorch's own generator: borrow it, seeded by the step, and give it
        # back.
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            seed = random.Random(f"{recipe.seed} dropout {step}").getrandbits(32)
            torch.manual_seed(seed + processes.rank)
            net.zero_grad(set_to_none=True)
            mlm_loss, nsp_loss = accumulate_gradients(net, batch, dtype, with_nsp, processes)
        length = nn.utils.clip_grad_norm_(net.parameters(), recipe.max_grad_norm)
        if not math.isfinite(mlm_loss + nsp_loss + length.item()):
            raise FloatingPointError(
                f"step {step + 1} gave a loss of {mlm_loss:.3g} + {nsp_loss:.3g} and a gradient of "
                f"length {length:.3g}: training has diverged; a lower learning_rate than "
                f"{recipe.learning_rate:g} helps"
            )
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate_at(step) * group.get("factor", 1.0)
            optimizer.step()
    return mlm_loss, nsp_loss
