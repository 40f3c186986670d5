"""The training loop: plain (`plain_steps`), and as it is used (`train_steps`)."""

import math
import random
import time
from collections.abc import Iterator, Sequence

import torch
from safetensors.torch import load, save
from torch import nn

from ..devices import keep_memory, pick_dtype
from ..network.fast import WordSampler
from ..network.losses import pretraining_losses, rows_at_once
from ..network.model import BERTModel, check_vocab, in_mode
from ..parallel import ALONE, Processes
from ..text.examples import Batch, PretrainingExamples
from ..text.vocabulary import Vocab
from .cooccurrence import start_from_neighbours
from .optimizers import make_optimizers, restore, state_of
from .run import Settings, Step


def plain_steps(
    net: BERTModel, train_iter: PretrainingExamples, settings: Settings
) -> Iterator[tuple[float, float]]:
    """The loop itself, both games played: `train_steps` without what saves time and memory.

    Yields the MLM loss and the NSP loss of each step, as `train_steps` does.
    """
    prepare(net, train_iter, settings)
    optimizers = make_optimizers(net, settings)
    net.train()
    for step in range(settings.num_steps):
        batch = train_iter.batch_at(step).to(net.mlm.bias.device)
        losses = pretraining_losses(net, batch)
        net.zero_grad()
        sum(losses).backward()
        nn.utils.clip_grad_norm_(net.parameters(), settings.max_grad_norm)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate_at(step) * group.get("factor", 1.0)
            optimizer.step()
        yield losses.mlm.item(), losses.nsp.item()


def train_steps(
    net: BERTModel,
    train_iter: PretrainingExamples,
    settings: Settings,
    *,
    optimizers: list[torch.optim.Optimizer] | None = None,
    first_step: int = 0,
    processes: Processes = ALONE,
) -> Iterator[Step]:
    """Train, yielding what each step gave. Stop asking, and training stops.

    Args:
        net: The network, on its device; changed in place, and usable at every yield.
        train_iter: Training examples. Step s takes `train_iter.batch_at(s)`.
        settings: How to train, and for how many steps.
        optimizers: From `make_optimizers`; new ones if None.
        first_step: Steps already done; with network and optimizers of that moment it goes on.
        processes: Which of how many processes of one run this is; all begin with the step, the
            weights and the optimizers' state of the keeper.

    Raises:
        FloatingPointError: The loss is not a number; the network keeps the last good weights.
    """
    prepare(net, train_iter, settings)
    optimizers = optimizers or make_optimizers(net, settings)
    first_step = share_state(net, optimizers, first_step, processes)
    device, sampler = net.mlm.bias.device, make_sampler(train_iter.vocab, settings)
    with_nsp = 0 < train_iter.next_sentence_rate < 1  # otherwise there is nothing to tell apart
    for step in range(first_step, settings.num_steps):
        began = time.perf_counter()
        batch = train_iter.batch_at(step).trim().to(device)
        net.zero_grad(set_to_none=True)
        losses = losses_and_gradients(net, batch, settings, step, with_nsp, sampler, processes)
        update(net, optimizers, settings, step, losses)
        seconds = time.perf_counter() - began
        rate = settings.learning_rate_at(step)
        yield Step(step + 1, *losses, len(batch.nsp_labels), seconds, rate)


def losses_and_gradients(
    net: BERTModel,
    batch: Batch,
    settings: Settings,
    step: int,
    with_nsp: bool = True,
    sampler: WordSampler | None = None,
    processes: Processes = ALONE,
) -> tuple[float, float]:
    """MLM loss and NSP loss of a batch, with their gradients, a part of the batch at a time.

    The sum is that of the whole batch; only one part's activations are stored at a time. That takes
    less memory, and on a CPU most of it stays in the cache. Between two parts others may use the
    network (`in_mode`).
    """
    device = batch.token_ids.device
    dtype = pick_dtype(settings.precision, device)
    draw = random.Random(f"{settings.seed} dropout {step}")
    is_real = batch.mlm_weights.bool()
    num_slots, num_pairs = batch.mlm_weights.sum(), len(batch.nsp_labels)
    sample = sampler and sampler.draw(batch.mlm_labels[is_real], draw.getrandbits(32))
    totals = torch.zeros(2, device=device)
    for part in processes.rows(batch).split(rows_at_once(net.config, device)):
        if not len(part.nsp_labels):  # there are more processes than rows
            break
        # Dropout draws from PyTorch's own generator: borrow it, and give it back after each part.
        with in_mode(net, training=True), torch.random.fork_rng(range(torch.cuda.device_count())):
            torch.manual_seed(draw.getrandbits(32) + processes.rank)
            loss = pretraining_losses(net, part, dtype, sample)
            mlm = loss.mlm * (part.mlm_weights.sum() / num_slots)
            nsp = loss.nsp * (len(part.nsp_labels) / num_pairs)
            (mlm + nsp if with_nsp else mlm).backward()
            totals += torch.stack([mlm, nsp]).detach()
    processes.add_up(totals, net.parameters())
    return totals[0].item(), totals[1].item()


def share_state(
    net: BERTModel, optimizers: list[torch.optim.Optimizer], step: int, processes: Processes
) -> int:
    """Give all processes the keeper's weights and optimizers' state; returns its step."""
    if processes.world_size > 1:
        tensors = state_of(net, optimizers) | {"step.0.": torch.tensor(step)}
        tensors = load(processes.share(save(tensors) if processes.is_keeper else b""))
        step = int(tensors.pop("step.0."))
        restore(net, optimizers, tensors)
    return step


def make_sampler(vocab: Vocab, settings: Settings) -> WordSampler | None:
    """What draws the words that a step decodes; None where it decodes all."""
    is_sampled = 0 < settings.sampled_words < len(vocab)
    return WordSampler(vocab.counts, settings.sampled_words) if is_sampled else None


def update(
    net: nn.Module,
    optimizers: list[torch.optim.Optimizer],
    settings: Settings,
    step: int,
    losses: Sequence[float],
) -> None:
    """Shorten gradients that are too long, and let the optimizers change the weights.

    Raises:
        FloatingPointError: A loss or a gradient is not a number; the weights are not changed.
    """
    length = nn.utils.clip_grad_norm_(net.parameters(), settings.max_grad_norm).item()
    if not math.isfinite(sum(losses) + length):
        raise FloatingPointError(
            f"step {step + 1} gave a loss of {' + '.join(f'{loss:.3g}' for loss in losses)} and a "
            f"gradient of length {length:.3g}: training has diverged; a lower learning_rate than "
            f"{settings.learning_rate:g} helps"
        )
    with in_mode(net, training=True):  # whoever reads the network waits for whole weights
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate_at(step) * group.get("factor", 1.0)
            optimizer.step()


def prepare(net: BERTModel, train_iter: PretrainingExamples, settings: Settings) -> None:
    """What is done to a new network before the first step; a trained one stays as it is."""
    check_network(net, train_iter.vocab)
    keep_memory()
    if net.mlm.bias.any():  # it was trained before
        return
    if settings.word_neighbours and net.word_vectors.requires_grad:  # frozen ones stay
        start_from_neighbours(net, train_iter.text, train_iter.vocab)
    # So it need not learn them: it begins as a unigram model.
    if settings.word_frequencies and net.mlm.bias.requires_grad:
        counts = torch.tensor(train_iter.vocab.counts, dtype=torch.float32) + 1
        net.mlm.bias.data.copy_(counts.log() - counts.sum().log())


def check_network(net: BERTModel, vocab: Vocab) -> None:
    """Refuse a network that cannot be trained: of another vocabulary, frozen, or not in float32."""
    check_vocab(net, vocab)
    if not any(p.requires_grad for p in net.parameters()):
        raise ValueError("all weights are frozen: write net.requires_grad_(True) first")
    for other in {p.dtype for p in net.parameters()} - {torch.float32}:
        raise ValueError(  # in a narrow format small changes of a weight are lost
            f"the network's weights are {other}, but only torch.float32 can be trained: write "
            "net.float() first; precision='bf16' then still computes in bf16"
        )
