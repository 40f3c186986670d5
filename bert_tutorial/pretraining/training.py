"""Pretraining: the loop (`train_steps`), and a run with its evaluations (`run_training`)."""

import math
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
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
from .evaluation import Baselines, Evaluation, baselines, evaluate
from .optimizers import make_optimizers
from .settings import Settings

A_FEW_BATCHES = 4  # of the held-out text: enough to see, on the way, where a run stands


class Step(NamedTuple):
    """What one training step gave."""

    step: int  # counted from 1
    mlm_loss: float  # nats per predicted token, on the step's own batch, before the update
    nsp_loss: float  # nats per pair
    num_pairs: int
    seconds: float
    learning_rate: float


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
        processes: Which of how many processes of one run this is.

    Raises:
        FloatingPointError: The loss is not a number; the network keeps the last good weights.
    """
    prepare(net, train_iter, settings)
    optimizers = optimizers or make_optimizers(net, settings)
    device, sampler = net.mlm.bias.device, make_sampler(train_iter.vocab, settings)
    with_nsp = 0 < train_iter.next_sentence_rate < 1  # otherwise there is nothing to tell apart
    for step in range(first_step, settings.num_steps):
        began, learning_rate = time.perf_counter(), settings.learning_rate_at(step)
        batch = train_iter.batch_at(step).trim().to(device)
        net.zero_grad(set_to_none=True)
        losses = losses_and_gradients(net, batch, settings, step, with_nsp, sampler, processes)
        length = nn.utils.clip_grad_norm_(net.parameters(), settings.max_grad_norm).item()
        check_finite(step, *losses, length, settings)
        with in_mode(net, training=True):  # whoever reads the network waits for whole weights
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate * group.get("factor", 1.0)
                optimizer.step()
        seconds = time.perf_counter() - began
        yield Step(step + 1, *losses, len(batch.nsp_labels), seconds, learning_rate)


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
    num_slots, num_pairs = batch.mlm_weights.sum(), len(batch.nsp_labels)
    totals = torch.zeros(2, device=device)
    for part in processes.rows(batch).split(rows_at_once(net.config, device)):
        # Dropout draws from PyTorch's own generator: borrow it, and give it back after each part.
        with in_mode(net, training=True), torch.random.fork_rng(range(torch.cuda.device_count())):
            torch.manual_seed(draw.getrandbits(32) + processes.rank)
            loss = pretraining_losses(net, part, dtype, sampler)
            mlm = loss.mlm * (part.mlm_weights.sum() / num_slots)
            nsp = loss.nsp * (len(part.nsp_labels) / num_pairs)
            (mlm + nsp if with_nsp else mlm).backward()
            totals += torch.stack([mlm, nsp]).detach()
    processes.add_up(totals, *(p.grad for p in net.parameters() if p.grad is not None))
    return totals[0].item(), totals[1].item()


def make_sampler(vocab: Vocab, settings: Settings) -> WordSampler | None:
    """What draws the words that a step decodes; None where it decodes all."""
    is_sampled = 0 < settings.sampled_words < len(vocab)
    return WordSampler(vocab.counts, settings.sampled_words) if is_sampled else None


def check_finite(step: int, mlm: float, nsp: float, length: float, settings: Settings) -> None:
    """Stop before numbers that are none reach the weights."""
    if not math.isfinite(mlm + nsp + length):
        raise FloatingPointError(
            f"step {step + 1} gave a loss of {mlm:.3g} + {nsp:.3g} and a gradient of length "
            f"{length:.3g}: training has diverged; a lower learning_rate than "
            f"{settings.learning_rate:g} helps"
        )


def prepare(net: BERTModel, train_iter: PretrainingExamples, settings: Settings) -> None:
    """What is done to a new network before the first step; a trained one stays as it is.

    With `word_neighbours=False` it keeps its word vectors.
    """
    check_network(net, train_iter.vocab)
    keep_memory()
    if net.mlm.bias.any():  # it was trained before
        return
    if settings.word_neighbours:
        start_from_neighbours(net, train_iter.text, train_iter.vocab)
    if settings.word_frequencies:  # so it need not learn them: it begins as a unigram model
        counts = torch.tensor(train_iter.vocab.counts, dtype=torch.float32) + 1
        net.mlm.bias.data.copy_(counts.log() - counts.sum().log())


def check_network(net: BERTModel, vocab: Vocab) -> None:
    """Refuse a network that cannot be trained: one with another vocabulary, or not in float32."""
    check_vocab(net, vocab)
    for other in {p.dtype for p in net.parameters()} - {torch.float32}:
        raise ValueError(
            # In a narrow format small changes of a weight are lost.
            f"the network's weights are {other}, but only torch.float32 can be trained: write "
            "net.float() first; precision='bf16' then still computes in bf16"
        )


@dataclass(eq=False, repr=False)
class Progress:
    """What a run has shown so far."""

    train_iter: PretrainingExamples
    settings: Settings
    history: list[Step] = field(default_factory=list)
    # Evaluations on held-out text, and after how many steps.
    held_out: list[tuple[int, Evaluation]] = field(default_factory=list)
    baselines: Baselines | None = None  # None until they are counted
    doing: str = "counting"  # or "evaluating" or "training": what it does, or will do next

    def __repr__(self):
        done, total = len(self.history), self.settings.num_steps
        return f"{type(self).__name__}({done} of {total} steps)"

    @property
    def with_nsp(self) -> bool:
        """Whether the next-sentence game is played."""
        return 0 < self.train_iter.next_sentence_rate < 1

    @property
    def seconds(self) -> float:
        """Seconds of training, evaluation not counted."""
        return sum(step.seconds for step in list(self.history))

    @property
    def pairs_per_second(self) -> float:
        """Sentence pairs trained on per second of training."""
        return sum(step.num_pairs for step in list(self.history)) / max(1e-9, self.seconds)

    @property
    def seconds_left(self) -> float | None:
        """How long the steps that are left will take, by the last ones; None before the first."""
        last = list(self.history)[-20:]
        left = self.settings.num_steps - len(self.history)
        return sum(step.seconds for step in last) / len(last) * left if last else None


def run_training(
    net: BERTModel,
    progress: Progress,
    *,
    optimizers: list[torch.optim.Optimizer] | None = None,
    num_evaluations: int = 5,
) -> Iterator[None]:
    """Count the baselines, train, and read some held-out text now and then, all of it at the end.

    Yields before the first piece of work and after each: nothing is half done, and `progress.doing`
    says what comes next ("evaluating" also where there is no held-out text). A progress with steps
    goes on after them, with the network and the optimizers of that moment.
    """
    train_iter, settings = progress.train_iter, progress.settings
    check_network(net, train_iter.vocab)
    last, valid = settings.num_steps, train_iter.valid
    evaluate_at = {round(last * i / num_evaluations) for i in range(num_evaluations)} | {last}
    progress.doing = "counting"
    yield
    progress.baselines = baselines(train_iter)
    yield
    prepare(net, train_iter, settings)
    done = len(progress.history)
    steps = train_steps(net, train_iter, settings, optimizers=optimizers, first_step=done)
    while True:
        if done in evaluate_at:
            progress.doing = "evaluating"
            yield
            if valid is not None and done not in dict(progress.held_out):
                few = None if done == last else A_FEW_BATCHES
                progress.held_out.append((done, evaluate(net, valid, few)))
        progress.doing = "training"
        yield
        if done == last:
            return
        progress.history.append(next(steps))
        done += 1


def summary(progress: Progress, devices: list[torch.device]) -> str:
    """d2l's two lines, and a third: the held-out losses beside their baselines."""
    # Of the last tenth of the steps; d2l averages over all, the first ones included.
    done = len(progress.history)
    last = progress.history[-max(1, done // 10) :]
    mlm, nsp = (sum(losses) / len(last) for losses in list(zip(*last, strict=True))[1:3])
    text = f"MLM loss {mlm:.3f}, NSP loss {nsp:.3f}\n"
    text += f"{progress.pairs_per_second:.1f} sentence pairs/sec on {devices}"
    for step, found in progress.held_out[-1:]:
        known, when = progress.baselines, "" if step == done else f" after step {step}"
        text += (
            f"\nheld-out{when}: {found}; baselines: uniform {known.uniform:.2f}, "
            f"word frequencies {known.unigram:.2f} ({known.unigram_accuracy:.1%}), "
            f"two neighbours {known.neighbours:.2f} ({known.neighbours_accuracy:.1%}), "
            f"a coin {known.nsp:.2f}"
        )
    return text


DOING = {"counting": "counting words and their neighbours", "evaluating": "reading held-out text"}


def status_line(progress: Progress) -> str:
    """One line on where a run is: step, loss, speed, time left."""
    history = list(progress.history)
    where = f"step {len(history)} of {progress.settings.num_steps}"
    if progress.doing in DOING:
        return f"{where}: {DOING[progress.doing]}"
    if not history:
        return f"{where}: the first step is on its way"
    left, steps = duration(progress.seconds_left), len(history) / max(1e-9, progress.seconds)
    speed = f"{steps:.1f} steps/s, {progress.pairs_per_second:,.0f} pairs/s"
    return f"{where}, MLM loss {history[-1].mlm_loss:.2f}, about {left} left, {speed}"


def duration(seconds: float) -> str:
    """A time as one says it.

    >>> duration(0.4), duration(48), duration(200), duration(8000)
    ('a second', '48 seconds', '3 minutes', '2.2 hours')
    """
    if seconds < 1.5:
        return "a second"
    if seconds < 100:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 6000 else f"{seconds / 3600:.1f} hours"
