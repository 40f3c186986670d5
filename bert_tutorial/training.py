"""Pretraining: the recipe, the steps, and a run that can be watched, paused and stopped.

Nothing here draws or prints; `live.py` does.
"""

import ctypes
import math
import random
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn

from .examples import Batch, PretrainingExamples
from .losses import MICRO_BATCH, Evaluation, Yardsticks, evaluate, pretraining_losses, yardsticks
from .model import BERTModel, in_mode
from .optimizers import make_optimizers
from .vocabulary import Vocab


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train: what the document leaves at Adam with a constant rate of 0.01, which does not learn."""

    num_steps: int = 50
    learning_rate: float = 5e-3  # at its highest, after the warm-up
    warmup: float = (
        0.1  # share of the steps in which the learning rate rises; afterwards it falls in a straight line to 0
    )
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0  # longer gradients are shortened to this length
    precision: str = "auto"  # "bf16", "fp32", or "auto": bf16 where the processor has it
    word_frequencies: bool = True  # whether a network that is new starts from them, see start_from_word_frequencies
    seed: int = 0  # of the dropout

    def __post_init__(self):
        if not isinstance(self.num_steps, int) or self.num_steps < 1:
            raise ValueError(f"num_steps is {self.num_steps!r}, but must be a whole number of at least 1")
        if not 0 < self.learning_rate < 1:
            raise ValueError(
                f"learning_rate is {self.learning_rate!r}, but must lie between 0 and 1, for example 0.005"
            )
        if not 0 <= self.warmup <= 1:
            raise ValueError(f"warmup is {self.warmup!r}, but must be a share of the steps, from 0 to 1")
        if not self.weight_decay >= 0:
            raise ValueError(f"weight_decay is {self.weight_decay!r}, but must be at least 0, for example 0.01")
        if not self.max_grad_norm > 0:
            raise ValueError(f"max_grad_norm is {self.max_grad_norm!r}, but must be above 0, for example 1.0")
        if self.precision not in ("auto", "bf16", "fp32"):
            raise ValueError(f"precision is {self.precision!r}, but must be 'auto', 'bf16' or 'fp32'")

    def learning_rate_at(self, step: int) -> float:
        """Learning rate of a step, counted from 0: up in a straight line, then down in one."""
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


def try_all_gpus() -> list[torch.device]:
    """The document's function: all GPUs, or [the CPU] where there is none; Apple's GPU counts."""
    if torch.cuda.is_available():
        return [torch.device("cuda", i) for i in range(torch.cuda.device_count())]
    return [torch.device("mps" if torch.backends.mps.is_available() else "cpu")]


def pick_dtype(precision: str, device: torch.device) -> torch.dtype:
    """The number format of matrix products: bfloat16 where asked for, or where it is fast ("auto"), else float32."""
    if precision == "auto":
        if device.type == "cuda":
            fast = torch.cuda.is_bf16_supported()
        else:
            checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
            fast = device.type == "cpu" and any(getattr(torch.cpu, check, bool)() for check in checks)
        precision = "bf16" if fast else "fp32"
    return torch.bfloat16 if precision == "bf16" else torch.float32


def keep_memory() -> None:
    """Tell glibc's allocator to keep freed memory for the next step, instead of giving it back and asking again.

    Without this, a large part of a step's time is the kernel clearing pages. Does nothing on other systems.
    """
    if not sys.platform.startswith("linux"):
        return
    trim_threshold, top_pad, mmap_threshold, arena_max = -1, -2, -3, -8  # glibc's malloc.h
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # another C library
        return
    mallopt(mmap_threshold, 32 * 2**20)
    mallopt(trim_threshold, 2**31 - 1)
    mallopt(top_pad, 64 * 2**20)
    mallopt(arena_max, 1)


def start_from_word_frequencies(net: BERTModel, vocab: Vocab) -> None:
    """Set the output bias to the log frequency of each word, so that the untrained network is a unigram model.

    Without this the first hundreds of steps go into learning how frequent words are, which counting tells at once; with it they
    go into context.
    """
    counts = torch.tensor(vocab.counts, dtype=torch.float32) + 1
    with torch.no_grad():
        net.mlm.bias.copy_(counts.log() - counts.sum().log())


def accumulate_gradients(
    net: BERTModel, batch: Batch, dtype: torch.dtype, with_nsp: bool = True, process: int = 0, num_processes: int = 1
) -> tuple[float, float]:
    """Add the gradients of a batch's losses to the network's, a part of the batch at a time.

    The sum is that of the whole batch at once, but what has to be remembered for the way back is a part's: less memory, and on
    a CPU most of it stays in the cache.

    Args:
        net, batch, dtype: As in `pretraining_losses`.
        with_nsp: Whether the next-sentence loss counts.
        process, num_processes: Of several processes with the same batch, each takes its share of the rows; afterwards all hold
            the gradients of the whole batch. Without dropout they are those of one process; with it, other values are dropped.

    Returns:
        MLM loss and NSP loss of the batch.
    """
    num_slots, num_pairs = batch.mlm_weights.sum(), len(batch.nsp_labels)
    own = Batch(*(field[process::num_processes] for field in batch))
    totals = torch.zeros(2, device=batch.token_ids.device)
    for part in own.split(MICRO_BATCH):
        mlm_loss, nsp_loss = pretraining_losses(net, part, dtype)
        mlm_share = mlm_loss * (part.mlm_weights.sum() / num_slots)
        nsp_share = nsp_loss * (len(part.nsp_labels) / num_pairs)
        (mlm_share + nsp_share if with_nsp else mlm_share).backward()
        totals += torch.stack([mlm_share, nsp_share]).detach()
    if num_processes > 1:
        for tensor in (totals, *(p.grad for p in net.parameters() if p.grad is not None)):
            torch.distributed.all_reduce(tensor)  # a sum over the processes
    return totals[0].item(), totals[1].item()


def train_steps(
    net: BERTModel,
    train_iter: PretrainingExamples,
    recipe: Recipe,
    *,
    optimizers=None,
    first_step: int = 0,
    process: int = 0,
    num_processes: int = 1,
) -> Iterator[Step]:
    """Train, yielding what each step gave. Stop asking, and training stops; the network is usable at every yield.

    Args:
        net: The network, on its device; changed in place.
        train_iter: Training examples. Step `s` takes batch `s`, whatever was asked for before.
        recipe: How to train, and for how many steps.
        optimizers: From `make_optimizers`; new ones if None.
        first_step: Steps already done. Together with the network's and the optimizers' state this resumes a run exactly.
        process, num_processes: Which of how many processes of one run this is (torch.distributed's rank and world size).

    Raises:
        FloatingPointError: The loss is not a number; the network keeps the last good weights.
    """
    keep_memory()
    device = next(net.parameters()).device
    dtype = pick_dtype(recipe.precision, device)
    with_nsp = 0 < train_iter.next_share < 1  # otherwise there is nothing to tell apart
    optimizers = optimizers or make_optimizers(net, recipe.learning_rate, recipe.weight_decay)
    if recipe.word_frequencies and not net.mlm.bias.any():
        start_from_word_frequencies(net, train_iter.vocab)
    for step in range(first_step, recipe.num_steps):
        began = time.perf_counter()
        batch = train_iter.batch(*divmod(step, len(train_iter))).trim().to(device)
        with in_mode(net, training=True):
            # Dropout draws from PyTorch's own generator: borrow it, seeded by the step, and give it back as it was.
            with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
                torch.manual_seed(random.Random(f"{recipe.seed} dropout {step}").getrandbits(32) + process)
                net.zero_grad(set_to_none=True)
                mlm_loss, nsp_loss = accumulate_gradients(net, batch, dtype, with_nsp, process, num_processes)
            length = nn.utils.clip_grad_norm_(net.parameters(), recipe.max_grad_norm)
            if not math.isfinite(mlm_loss + nsp_loss + length.item()):
                raise FloatingPointError(
                    f"step {step + 1} gave a loss of {mlm_loss:.3g} + {nsp_loss:.3g} and a gradient of length "
                    f"{length:.3g}: training has diverged; a lower learning_rate than {recipe.learning_rate:g} helps"
                )
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = recipe.learning_rate_at(step)
                optimizer.step()
        yield Step(
            step + 1, mlm_loss, nsp_loss, len(batch.nsp_labels), time.perf_counter() - began,
            recipe.learning_rate_at(step),
        )  # fmt: skip


A_FEW_BATCHES = 4  # of the held-out text: enough to see, on the way, where a run stands


class TrainingRun:
    """A run in a background thread: start it, look at it, pause, resume, stop.

    The thread does nothing but train and evaluate; whoever watches reads `history` and `held_out`. All methods may be called
    from any thread.

    Attributes:
        history: A `Step` for every step done.
        yardsticks: What predictors without context reach on the held-out text.
        held_out: `(step, Evaluation)` on the held-out text, before the first step, on the way, and after the last.
        error: The exception that ended the run, or None.
    """

    def __init__(self, net: BERTModel, train_iter: PretrainingExamples, recipe: Recipe, num_evaluations: int = 5):
        self.net, self.train_iter, self.recipe = net, train_iter, recipe
        self.history: list[Step] = []
        self.held_out: list[tuple[int, Evaluation]] = []
        self.error: BaseException | None = None
        self.yardsticks: Yardsticks = yardsticks(train_iter.vocab, train_iter.valid or train_iter)
        last = recipe.num_steps
        self._evaluate_at = {round(last * i / num_evaluations) for i in range(num_evaluations)} - {last}
        self._stop, self._go_on = threading.Event(), threading.Event()
        self._go_on.set()
        self._ended = (
            threading.Event()
        )  # not Thread.is_alive: an interrupted join makes Python believe that it has ended
        self._thread = threading.Thread(target=self._work, name="pretraining", daemon=True)

    def start(self) -> "TrainingRun":
        """Begin; returns at once."""
        keep_memory()  # before the thread exists, so that it gets no arena of its own
        self._thread.start()
        return self

    def pause(self) -> None:
        """Wait after the step under way, until `resume`."""
        self._go_on.clear()

    def resume(self) -> None:
        """Go on after `pause`, as if there had been none."""
        self._go_on.set()

    def stop(self) -> None:
        """End after the step under way; the network keeps what it has learned."""
        self._stop.set()
        self._go_on.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the end, at most so long; True once it has ended."""
        return self._ended.wait(seconds)

    @property
    def state(self) -> str:
        """Where the run stands: waiting, running, paused, stopped, failed or finished."""
        if self._thread.ident is None:
            return "waiting"
        if not self._ended.is_set():
            return "running" if self._go_on.is_set() else "paused"
        if self.error is not None:
            return "failed"
        return "finished" if len(self.history) == self.recipe.num_steps else "stopped"

    def __repr__(self):
        return f"TrainingRun({self.state}, {len(self.history)} of {self.recipe.num_steps} steps)"

    @property
    def pairs_per_second(self) -> float:
        """Sentence pairs trained on per second of training, evaluation not counted."""
        return sum(step.num_pairs for step in self.history) / max(1e-9, sum(step.seconds for step in self.history))

    def _work(self) -> None:
        try:
            self._evaluate(0, A_FEW_BATCHES)
            for step in train_steps(self.net, self.train_iter, self.recipe):
                self.history.append(step)
                if step.step in self._evaluate_at:
                    self._evaluate(step.step, A_FEW_BATCHES)
                while not self._stop.is_set() and not self._go_on.wait(0.1):
                    pass
                if self._stop.is_set():
                    break
            self._evaluate(len(self.history), A_FEW_BATCHES if self._stop.is_set() else None)
        except BaseException as error:
            self.error = error
        finally:
            self._ended.set()

    def _evaluate(self, step: int, num_batches: int | None = None) -> None:
        if self.train_iter.valid is not None:
            self.held_out.append((step, evaluate(self.net, self.train_iter.valid, num_batches)))
