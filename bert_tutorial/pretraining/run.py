"""A run: how to train (`Settings`), what it has shown so far (`Progress`), and that in words."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import torch

from ..text.examples import PretrainingExamples
from .evaluation import Baselines, Evaluation

DOING = {
    "counting": "counting words and their neighbours", "starting": "starting the other processes",
    "evaluating": "reading held-out text",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to train. d2l's recipe, Adam with a constant rate of 0.01, does not learn."""

    num_steps: int = 50
    learning_rate: float = 5e-3  # at its highest, after the warm-up
    warmup: float = 0.1  # part of the steps in which the learning rate rises; then it falls to 0
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0  # longer gradients are shortened to this length
    precision: str = "auto"  # "bf16", "fp32", or "auto": bf16 where the processor has it
    word_frequencies: bool = True  # the output bias begins as their logarithm
    word_neighbours: bool = True  # see start_from_neighbours
    embedding_rate: float = 1.0  # of the word vectors, as a multiple of learning_rate
    optimizer: str = "muon"  # and AdamW; "adamw" alone; or "adam", d2l's, at a constant rate
    sampled_words: int = 0  # that a step decodes beside its own, see WordSampler; 0 for all words
    seed: int = 0  # of the dropout

    def __post_init__(self):
        is_whole = isinstance(self.num_steps, int) and self.num_steps >= 1
        for name, fits, wanted in (
            ("num_steps", is_whole, "be a whole number of at least 1"),
            ("learning_rate", 0 < self.learning_rate < 1, "lie between 0 and 1, for example 0.005"),
            ("warmup", 0 <= self.warmup <= 1, "be a part of the steps, from 0 to 1"),
            ("embedding_rate", self.embedding_rate >= 0, "be at least 0, for example 0.5"),
            ("sampled_words", self.sampled_words >= 0, "be at least 0, for example 2048"),
            ("weight_decay", self.weight_decay >= 0, "be at least 0, for example 0.01"),
            ("max_grad_norm", self.max_grad_norm > 0, "be above 0, for example 1.0"),
            ("optimizer", self.optimizer in ("muon", "adamw", "adam"), "be muon, adamw or adam"),
            ("precision", self.precision in ("auto", "bf16", "fp32"), "be auto, bf16 or fp32"),
            ("seed", 0 <= self.seed < 2**63, "be from 0 to 2**63 - 1"),
        ):
            if not fits:
                raise ValueError(f"{name} is {getattr(self, name)!r}, but must {wanted}")

    def learning_rate_at(self, step: int) -> float:
        """Learning rate of a step, counted from 0: up in a straight line, then down in one.

        d2l's Adam keeps one rate from the first step to the last.

        >>> settings = Settings(num_steps=5, learning_rate=0.4, warmup=0.4)
        >>> [round(settings.learning_rate_at(step), 2) for step in range(5)]
        [0.2, 0.4, 0.4, 0.27, 0.13]
        """
        if self.optimizer == "adam":
            return self.learning_rate
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


@dataclass(eq=False, repr=False)
class Progress:
    """What a run has shown so far."""

    train_iter: PretrainingExamples
    settings: Settings
    history: list[Step] = field(default_factory=list)
    # Evaluations, and after how many steps: on the same few batches of held-out text each time, so
    # that they can be compared; after the last step a second one, on all of it.
    held_out: list[tuple[int, Evaluation]] = field(default_factory=list)
    baselines: Baselines | None = None  # None until they are counted
    doing: str = "counting"  # or "starting", "evaluating", "training": what it does next
    # Brings the network to where the run is, where other processes train.
    fetch: Callable[[], None] = lambda: None
    in_cells: ClassVar[set["Progress"]] = set()  # those that `train_bert` trains now

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


def smooth(values: Iterable[float], smoothing: float) -> list[float]:
    """A running mean: what lies k steps back counts smoothing^k. What is no number spoils no other.

    >>> smooth([4.0, 1.0], 0.5)  # the second: (0.5 * 4 + 1) / (0.5 + 1)
    [4.0, 2.0]
    """
    total, weight, means = 0.0, 0.0, []
    for value in values:
        if math.isfinite(value):
            total, weight = smoothing * total + value, smoothing * weight + 1
            value = total / weight
        means.append(value)
    return means


def summary(run: Progress, devices: list[torch.device]) -> str:
    """d2l's two lines, and a third: the held-out losses beside their baselines."""
    # Of the last tenth of the steps; d2l averages over all, the first ones included.
    done, known = len(run.history), run.baselines
    last = run.history[-max(1, done // 10) :]
    mlm, nsp = (sum(losses) / len(last) for losses in list(zip(*last, strict=True))[1:3])
    text = f"MLM loss {mlm:.3f}" + f", NSP loss {nsp:.3f}" * run.with_nsp
    text += f"\n{run.pairs_per_second:.1f} sentence pairs/sec on {devices}"
    if run.held_out:
        text += (
            f"\n{last_held_out(run)}; baselines: uniform {known.uniform:.2f}, "
            f"word frequencies {known.unigram:.2f} ({known.unigram_accuracy:.1%}), "
            f"two neighbours {known.neighbours:.2f} ({known.neighbours_accuracy:.1%})"
        ) + f", a coin {known.nsp:.2f}" * run.with_nsp
    return text


def last_held_out(run: Progress) -> str:
    """The last held-out losses in words; after the last step of all the text and of the dots."""
    step, found = run.held_out[-1]
    where = ", all of it" if step == run.settings.num_steps else f" after step {step}"
    text = f"held-out text{where}: {found if run.with_nsp else found.masked_words}"
    dot = dict(run.held_out[::-1])[step].mlm_loss  # of two after the last step, the first
    return text if dot == found.mlm_loss else f"{text}; the part that the dots ask: {dot:.3f}"


def status_line(run: Progress) -> str:
    """One line on where a run is: step, loss, speed, time left."""
    history, total = list(run.history), run.settings.num_steps
    where = f"step {len(history)} of {total}"
    if run.doing in DOING:
        return f"{where}: {DOING[run.doing]}"
    if not history:
        return f"{where}: the first step is on its way"
    last, speed = history[-20:], len(history) / max(1e-9, run.seconds)
    left = sum(step.seconds for step in last) / len(last) * (total - len(history))
    return (
        f"{where}, MLM loss {history[-1].mlm_loss:.2f}, about {duration(left)} left, "
        f"{speed:.1f} steps/s"
    )


def describe(run: Progress, smoothing: float = 0.9) -> str:
    """The picture of a run in one sentence, with its numbers, for those who do not see it."""
    losses, begun, also = [step.mlm_loss for step in list(run.history)], "No training step yet", []
    if losses:
        *_, last = means = smooth(losses, smoothing)
        verb = "falls" if last < means[0] else "goes"
        begun = f"Training loss of the masked words, as a running mean, {verb} from {means[0]:.2f} "
        begun += f"to {last:.2f} nats over {len(losses)} steps"
    for step, found in (held_out := list(run.held_out))[-1:]:
        dot = dict(held_out[::-1])[step].mlm_loss
        also.append(f"held-out text {dot:.2f} at the last dot, step {step}")
        also += [f"{found.mlm_loss:.2f} on all of it"] * (dot != found.mlm_loss)
    if run.baselines is not None:
        also.append(f"word frequencies alone reach {run.baselines.unigram:.2f}")
        also.append(f"two neighbours {run.baselines.neighbours:.2f}")
    return f"{begun}; {', '.join(also)}." if also else f"{begun}."


def duration(seconds: float) -> str:
    """A time as one says it.

    >>> duration(0.4), duration(48), duration(200), duration(8000), duration(3e5), duration(1e9)
    ('a second', '48 seconds', '3 minutes', '2.2 hours', '3.5 days', '31.7 years')
    """
    if (days := seconds / 86400) >= 2:
        return f"{days:.1f} days" if days < 700 else f"{days / 365.25:,.1f} years"
    if seconds < 1.5:
        return "a second"
    if seconds < 100:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 6000 else f"{seconds / 3600:.1f} hours"
