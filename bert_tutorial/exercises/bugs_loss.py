"""Bugs in the loss: a mean before the weights, an N×N table, an index that is ignored.

Each has its unfixed code (`..._as_it_was`), its definition (`..._by_definition`), and a worked
answer.

Shapes: N prediction slots, V words.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from .check import Specification, make_check

# 1. The mask that is a no-op.


def slot_loss_as_it_was(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """The weights change nothing."""
    losses = F.cross_entropy(logits, labels)
    return (losses * weights).sum() / weights.sum()


def right_slot_loss(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Losses stay apart until they are weighted."""
    losses = F.cross_entropy(logits, labels, reduction="none")  # (N,)
    return (losses * weights).sum() / weights.sum()


def slot_loss_by_definition(logits: Tensor, labels: Tensor, weights: Tensor) -> float:
    """The mean of minus the log probability of the right word, over the real slots."""
    losses = []
    for scores, label, weight in zip(*map(Tensor.tolist, (logits, labels, weights)), strict=True):
        if weight == 1:
            total = sum(math.exp(score) for score in scores)
            losses.append(-math.log(math.exp(scores[label]) / total))
    return sum(losses) / len(losses)


def some_slots(size: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (N, 3), labels (N,) and weights (N,) of one real slot or more; unused labels are 0."""
    logits = 2 * torch.randn(size + 1, 3, generator=generator)
    weights = torch.ones(size + 1)
    weights[1 + size // 2 :] = 0
    labels = torch.randint(3, (size + 1,), generator=generator)
    return logits.round(decimals=1), labels * weights.long(), weights


def _losses(logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits, labels, reduction="none")


def _table_of_losses(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    return (_losses(logits, labels) * weights.reshape(-1, 1)).sum() / weights.sum()


def _zeros_counted(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    return (_losses(logits, labels) * weights).mean()


def _sum_of_losses(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    return (_losses(logits, labels) * weights).sum()


def _plain_mean(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    return _losses(logits, labels).sum() / weights.sum()


SLOT_LOSS_MISSES = {
    "As it was: the unused slots still count.": slot_loss_as_it_was,
    "The losses stay apart now, but losses (N,) times weights (N, 1) give a table of N × N: "
    "compare the shapes.": _table_of_losses,
    "Unused slots add 0 now, but they are still counted in the number that you divide by.": (
        _zeros_counted
    ),
    "This is the sum over the real slots: a mean divides it by how many there are.": _sum_of_losses,
    "You divide by the number of real slots, but the losses of all slots are added.": _plain_mean,
}
CHECK_SLOT_LOSS = make_check(
    Specification(reference=slot_loss_by_definition, inputs=some_slots),
    right_slot_loss,
    SLOT_LOSS_MISSES,
)

# 2. The N×N broadcast.


def accuracy_as_it_was(logits: Tensor, labels: Tensor) -> Tensor:
    """Every guess is compared with every label."""
    guesses = logits.argmax(dim=1)
    return (guesses == labels).float().mean()


def right_accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Each guess is compared with its own label."""
    guesses = logits.argmax(dim=1)  # (N,)
    return (guesses == labels.flatten()).float().mean()


def accuracy_by_definition(logits: Tensor, labels: Tensor) -> float:
    """How many guesses are right, of all: logits (N, V), labels (N, 1)."""
    right = 0
    for scores, (label,) in zip(logits.tolist(), labels.tolist(), strict=True):
        right += max(range(len(scores)), key=scores.__getitem__) == label
    return right / len(labels)


def some_guesses(size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Logits (N, 3) and labels (N, 1); about half of the guesses are right."""
    logits = torch.randn(size + 1, 3, generator=generator)
    other = torch.randint(3, (size + 1,), generator=generator)
    is_right = torch.rand(size + 1, generator=generator) < 0.5
    return logits.round(decimals=1), torch.where(is_right, logits.argmax(1), other)[:, None]


def _right_for_any(logits: Tensor, labels: Tensor) -> Tensor:
    return (logits.argmax(dim=1) == labels).any(dim=0).float().mean()


def _number_right(logits: Tensor, labels: Tensor) -> Tensor:
    return (logits.argmax(dim=1) == labels.flatten()).sum()


def _over_batch(logits: Tensor, labels: Tensor) -> Tensor:
    return (logits.argmax() == labels).float().mean()


def _table_divided(logits: Tensor, labels: Tensor) -> Tensor:
    return (logits.argmax(dim=1) == labels).sum() / len(labels)


ACCURACY_MISSES = {
    "As it was: each guess is still compared with every label.": accuracy_as_it_was,
    "A guess counts as right if any label of the batch is like it: it has one label of its own.": (
        _right_for_any
    ),
    "This is how many are right, not which part of all: divide by N.": _number_right,
    "argmax without dim finds one place in the whole table, not one word in each row.": _over_batch,
    "You divide by N now, but what you add is still a table of N × N comparisons.": _table_divided,
}
CHECK_ACCURACY = make_check(
    Specification(reference=accuracy_by_definition, inputs=some_guesses),
    right_accuracy,
    ACCURACY_MISSES,
)

# 8. An ignore index that eats a word.


def label_loss_as_it_was(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Unused slots have label 0, and so has word 0."""
    return F.cross_entropy(logits, labels, ignore_index=0)


def right_label_loss(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """The weights say which slots are real."""
    labels = labels.masked_fill(weights == 0, -100)  # no word has this number
    return F.cross_entropy(logits, labels, ignore_index=-100)


def some_slots_of_word_0(size: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """As `some_slots`, with two real slots or more; the first one's word is number 0."""
    logits, labels, weights = some_slots(size + 1, generator)
    weights[1] = 1
    labels[0], labels[1] = 0, 1 + size % 2
    return logits, labels, weights


def _ignores_nothing(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    return F.cross_entropy(logits, labels, ignore_index=-100)


def _divides_by_all(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    return (_losses(logits, labels) * weights).sum() / len(labels)


def _eats_and_divides(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    return F.cross_entropy(logits, labels, ignore_index=0, reduction="sum") / weights.sum()


def _last_word(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    last = logits.shape[1] - 1
    return F.cross_entropy(logits, labels.masked_fill(weights == 0, last), ignore_index=last)


LABEL_LOSS_MISSES = {
    "As it was: a real slot whose word has the number 0 is still left out.": label_loss_as_it_was,
    "Nothing is ignored now: unused slots have label 0 and count as if word 0 stood there.": (
        _ignores_nothing
    ),
    "The right slots are added, but you divide by all slots, the unused ones too.": _divides_by_all,
    "You divide by the number of real slots, but word 0 is still left out of the sum.": (
        _eats_and_divides
    ),
    "Word 0 counts now, but the number that you ignore instead is a word too: the last one.": (
        _last_word
    ),
}
CHECK_LABEL_LOSS = make_check(
    Specification(reference=slot_loss_by_definition, inputs=some_slots_of_word_0),
    right_label_loss,
    LABEL_LOSS_MISSES,
)
