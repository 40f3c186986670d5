"""Pretraining: the steps.

Nothing here draws or prints; `live.py` does.
"""

import math
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import nn

from ..devices import keep_memory, pick_dtype
from ..network.fast import WordSampler
from ..network.losses import pretraining_losses, rows_at_once
from ..network.model import BERTModel, check_vocab, in_mode
from ..parallel import ALONE, Processes
from ..text.examples import Batch, PretrainingExamples
from ..text.vocabulary import Vocab
from .cooccurrence import start_from_neighbours
from .optimizers import make_optimizers
from .settings import Settings


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


def is_new(net: BERTModel) -> bool:
    """Whether a network was never trained: its output bias is still 0."""
    return not net.mlm.bias.any()


def prepare(net: BERTModel, train_iter: PretrainingExamples, recipe: Settings) -> None:
    """What a recipe does to a new network before the first step; a trained one stays as it is.

    One whose word vectors are yours, and which should keep them, needs a recipe with
    `word_neighbours=False`.

    Raises:
        ValueError: As in `check_weights`.
    """
    check_weights(net)
    if not is_new(net):
        return
    if recipe.word_neighbours:
        start_from_neighbours(net, train_iter.text, train_iter.vocab)
    if recipe.word_frequencies:
        start_from_word_frequencies(net, train_iter.vocab)


def make_sampler(vocab: Vocab, recipe: Settings) -> WordSampler | None:
    """What chooses the words to decode, where a recipe does not decode all."""
    is_full = not 0 < recipe.sampled_words < len(vocab)
    return None if is_full else WordSampler(vocab.counts, recipe.sampled_words)


class Work:
    """A training's turns at its network, and the seconds that they took.

    Between two turns others may use the network, and a run may pause; that time does not count.

    Args:
        net: The network.
        rest: Called before each turn: it may wait, or raise to end the training.
        sampler: As in `pretraining_losses`.

    Attributes:
        seconds: Of work so far.
    """

    def __init__(
        self,
        net: BERTModel,
        rest: Callable[[], None] = lambda: None,
        sampler: WordSampler | None = None,
    ):
        self.net, self.rest, self.sampler, self.seconds = net, rest, sampler, 0.0

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Use the network, in training mode."""
        self.rest()
        with in_mode(self.net, training=True):
            began = time.perf_counter()
            yield
            self.seconds += time.perf_counter() - began


def accumulate_gradients(
    work: Work,
    batch: Batch,
    dtype: torch.dtype,
    draw: random.Random,
    with_nsp: bool = True,
    processes: Processes = ALONE,
) -> tuple[float, float]:
    """Add the gradients of a batch's losses to the network's, a part of the batch at a time.

    The sum is that of the whole batch; only one part's activations are stored at a time. That takes
    less memory, and on a CPU most of it stays in the cache.

    Args:
        work: The network's; each part is one turn.
        batch, dtype: As in `pretraining_losses`.
        draw: What the dropout follows from.
        with_nsp: Whether the next-sentence loss counts.
        processes: Of several with the same batch, each takes some rows; afterwards all hold the
            gradients of the whole batch. Without dropout these are the gradients of a single
            process; with it, other values are dropped.

    Returns:
        MLM loss and NSP loss of the batch.
    """
    net, device = work.net, batch.token_ids.device
    num_slots, num_pairs = batch.mlm_weights.sum(), len(batch.nsp_labels)
    totals = torch.zeros(2, device=device)
    for part in processes.rows(batch).split(rows_at_once(net, device)):
        # Dropout draws from PyTorch's own generator: borrow it, and give it back after each turn.
        with work.turn(), torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            torch.manual_seed(draw.getrandbits(32) + processes.rank)
            loss = pretraining_losses(net, part, dtype, work.sampler)
            mlm = loss.mlm * (part.mlm_weights.sum() / num_slots)
            nsp = loss.nsp * (len(part.nsp_labels) / num_pairs)
            (mlm + nsp if with_nsp else mlm).backward()
            totals += torch.stack([mlm, nsp]).detach()
    processes.add_up(totals, *(p.grad for p in net.parameters() if p.grad is not None))
    return totals[0].item(), totals[1].item()


def train_steps(
    net: BERTModel,
    train_iter: PretrainingExamples,
    recipe: Settings,
    *,
    optimizers: list[torch.optim.Optimizer] | None = None,
    first_step: int = 0,
    processes: Processes = ALONE,
    rest: Callable[[], None] = lambda: None,
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
        rest: Called several times a step. It may wait; if it raises, that step changes nothing.

    Raises:
        FloatingPointError: The loss is not a number; the network keeps the last good weights.
        ValueError: The examples have another vocabulary than the network.
    """
    check_vocab(net, train_iter.vocab)
    keep_memory()
    device = next(net.parameters()).device
    optimizers = optimizers or make_optimizers(net, recipe)
    prepare(net, train_iter, recipe)
    with_nsp = 0 < train_iter.next_sentence_rate < 1  # otherwise there is nothing to tell apart
    sampler = make_sampler(train_iter.vocab, recipe)
    for step in range(first_step, recipe.num_steps):
        work, began = Work(net, rest, sampler), time.perf_counter()
        batch = train_iter.batch_at(step).trim().to(device)
        work.seconds += time.perf_counter() - began
        mlm_loss, nsp_loss = one_step(work, batch, recipe, step, optimizers, with_nsp, processes)
        rate = recipe.learning_rate_at(step)
        yield Step(step + 1, mlm_loss, nsp_loss, len(batch.nsp_labels), work.seconds, rate)


def one_step(
    work: Work,
    batch: Batch,
    recipe: Settings,
    step: int,
    optimizers: list[torch.optim.Optimizer],
    with_nsp: bool,
    processes: Processes,
) -> tuple[float, float]:
    """One step of `train_steps`: losses, gradients, new weights.

    Returns:
        MLM loss and NSP loss of the batch, before the change.
    """
    net, dtype = work.net, pick_dtype(recipe.precision, batch.token_ids.device)
    draw = random.Random(f"{recipe.seed} dropout {step}")
    net.zero_grad(set_to_none=True)
    mlm_loss, nsp_loss = accumulate_gradients(work, batch, dtype, draw, with_nsp, processes)
    with work.turn():
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
