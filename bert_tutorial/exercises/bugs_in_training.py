"""Bugs in losses, accuracy, attention, dropout and the learning rate; each has its definition.

Shapes: B rows, L positions, N prediction slots, V words, D hidden units. In near misses `x` are
logits or scores, `y` labels, `w` weights.
"""

import math
from functools import partial

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from ..network.model import BERTModel, dropout_off
from ..pretraining.settings import Settings
from .check import Check, Function

losses = partial(F.cross_entropy, reduction="none")


# 1. The mask that is a no-op.
def slot_loss(logits: Tensor, labels: Tensor, weights: Tensor) -> float:
    """The mean of minus the log probability of the right word, over the real slots."""
    found = []
    for scores, label, weight in zip(*map(Tensor.tolist, (logits, labels, weights)), strict=True):
        if weight == 1:
            total = sum(math.exp(score) for score in scores)
            found.append(-math.log(math.exp(scores[label]) / total))
    return sum(found) / len(found)


def some_slots(size: int, generator: Generator) -> tuple[Tensor, ...]:
    """Logits (N, 3), labels (N,) and weights (N,) of one real slot or more; unused labels are 0."""
    slots = 2 + size * (size - 1) // 2
    logits = 2 * torch.randn(slots, 3, generator=generator)
    weights = (torch.rand(slots, generator=generator) < 0.5).float()
    weights[torch.randint(slots, (1,), generator=generator)] = 1
    labels = torch.randint(3, (slots,), generator=generator)
    return logits.round(decimals=1), labels * weights.long(), weights


def right_slot_loss(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Losses stay apart until they are weighted."""
    losses = F.cross_entropy(logits, labels, reduction="none")  # (N,)
    return (losses * weights).sum() / weights.sum()


CHECK_SLOT_LOSS = Check(slot_loss, some_slots, right_slot_loss).tell_apart(
    "As it was: the unused slots still count.",
    lambda x, y, w: (F.cross_entropy(x, y) * w).sum() / w.sum(),
    "Losses (N,) times weights (N, 1) give a table of N × N: compare the shapes.",
    lambda x, y, w: (losses(x, y) * w[:, None]).sum() / w.sum(),
    "Unused slots add 0 now, but they are still counted in the number that you divide by.",
    lambda x, y, w: (losses(x, y) * w).mean(),
    "This is the sum over the real slots: a mean divides it by how many there are.",
    lambda x, y, w: (losses(x, y) * w).sum(),
    "You divide by the number of real slots, but the losses of all slots are added.",
    lambda x, y, w: losses(x, y).sum() / w.sum(),
)


# 2. The N×N broadcast.
def accuracy(logits: Tensor, labels: Tensor) -> float:
    """How many guesses are right, of all: logits (N, V), labels (N, 1)."""
    right = 0
    for scores, (label,) in zip(logits.tolist(), labels.tolist(), strict=True):
        right += scores.index(max(scores)) == label
    return right / len(labels)


def some_guesses(size: int, generator: Generator) -> tuple[Tensor, ...]:
    """Logits (N, 3) and labels (N, 1)."""
    logits, labels, _ = some_slots(size, generator)
    return logits, labels[:, None]


def right_accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Each guess is compared with its own label."""
    guesses = logits.argmax(dim=1)  # (N,)
    return (guesses == labels.flatten()).float().mean()


CHECK_ACCURACY = Check(accuracy, some_guesses, right_accuracy).tell_apart(
    "As it was: each guess is still compared with every label.",
    lambda x, y: (x.argmax(1) == y).float().mean(),
    "A guess counts as right if any label of the batch is like it: it has one label of its own.",
    lambda x, y: (x.argmax(1) == y).any(0).float().mean(),
    "This is how many are right, not which part of all: divide by N.",
    lambda x, y: (x.argmax(1) == y.flatten()).sum(),
    "argmax without dim finds one place in the whole table, not one word in each row.",
    lambda x, y: (x.argmax() == y).float().mean(),
    "You divide by N now, but what you add is still a table of N × N comparisons.",
    lambda x, y: (x.argmax(1) == y).sum() / len(y),
)


# 3. Dropout left on while encoding.
def encoding(net: BERTModel, token_ids: Tensor, segments: Tensor) -> Tensor:
    """The vectors without dropout, row by row."""
    with dropout_off(net):
        rows = zip(token_ids, segments, strict=True)
        return torch.cat([net(row[None], segment[None]).encoded for row, segment in rows])


def some_network(size: int, generator: Generator) -> tuple[BERTModel, Tensor, Tensor]:
    """A tiny network, in training mode or not, and rows (size, size + 2)."""
    with torch.random.fork_rng(devices=[]):
        net = BERTModel(20, 8, 8, 2, 1, dropout=0.5, max_len=16)
    net.reset(generator)
    net.train(int(torch.randint(4, (1,), generator=generator)) > 0)
    token_ids = torch.randint(20, (size, size + 2), generator=generator)
    return net, token_ids, torch.randint(2, token_ids.shape, generator=generator)


def right_encoding(net: BERTModel, token_ids: Tensor, segments: Tensor) -> Tensor:
    """Evaluation mode for a while; afterwards the mode is what it was."""
    was_training = net.training
    net.eval()
    with torch.no_grad():
        encoded = net(token_ids, segments).encoded
    net.train(was_training)
    return encoded


def see_encoding(function: Function, net: BERTModel, *rows: Tensor) -> dict[str, str | bool]:
    """The vectors, twice, and what a training that goes on finds afterwards."""

    def go_on() -> Tensor:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            return net(*rows).encoded

    was_training, before = net.training, go_on()
    first, mode, after = function(net, *rows), net.training, go_on()
    second = function(net.train(was_training), *rows)
    expected = encoding(net, *rows)
    return {
        "the same vectors when it is called again": torch.equal(first, second),
        "the vectors are those without dropout": torch.allclose(first, expected, 1e-3, 1e-4),
        "in training mode afterwards": mode,
        "the network computes afterwards what it did before": torch.equal(before, after),
        "its weights can still be trained": after.requires_grad,
        "the vectors still hold on to gradients": first.requires_grad,
    }


def encode(
    net: BERTModel, *rows: Tensor, off: bool = True, then: bool | None = None, grad: bool = False
) -> Tensor:
    """Near misses: dropout off or not, then in this mode or as it was, with gradients or not."""
    was_training = net.training
    net.train(was_training and not off)
    with torch.set_grad_enabled(grad):
        encoded = net(*rows).encoded
    net.train(was_training if then is None else then)
    return encoded


CHECK_ENCODING = Check(encoding, some_network, right_encoding, trial=see_encoding).tell_apart(
    "As it was: no_grad leaves out the gradients, but not the dropout.",
    partial(encode, off=False),
    "Dropout is off, but it stays off: a training that goes on afterwards goes on without it.",
    partial(encode, then=False),
    "A seed makes every call drop the same values. They are still dropped.",
    lambda *given: torch.default_generator.manual_seed(0) and encode(*given, off=False),
    "Dropout is off. But afterwards it is on, also in a network where it was off before.",
    partial(encode, then=True),
    "Evaluation mode comes after the vectors are computed: too late for them.",
    partial(encode, off=False, then=False),
    "Dropout is off, and the mode is put back. But gradients are computed: memory for nothing.",
    partial(encode, grad=True),
)


# 6. A constant rate of 0.01 without warm-up.
def rate(step: int, num_steps: int, highest: float) -> float:
    """Up in a straight line in the first tenth of the steps, then down in one to the last."""
    return Settings(num_steps=num_steps, learning_rate=highest).learning_rate_at(step)


def some_step(size: int, generator: Generator) -> tuple[int, int, float]:
    """A step counted from 0, the number of steps (from 20 on) and the highest rate."""
    n = 15 * size + 5
    steps = 0, n - 1, n // 20, n // 10, n // 3, n // 2, 3 * n // 4
    step, factor = torch.randint(len(steps), (2,), generator=generator).tolist()
    return steps[step], n, 0.005 * (3 + factor % 3)


def right_rate(step: int, num_steps: int, highest: float) -> float:
    """The smaller of a line that rises and a line that falls."""
    warm_up = num_steps / 10
    rising = (step + 1) / warm_up
    falling = (num_steps - step) / (num_steps - warm_up)
    return highest * min(1, rising, falling)


CHECK_RATE = Check(rate, some_step, right_rate).tell_apart(
    "As it was: 0.01 at every step.",
    lambda step, n, highest: 0.01,
    "Never above the highest rate now, but the same at every step.",
    lambda step, n, highest: highest,
    "It rises, but does not fall afterwards: at the end large steps undo what small ones learn.",
    lambda step, n, highest: highest * min(1, (step + 1) / (n / 10)),
    "It falls, but begins at its highest: large first steps ruin a new network.",
    lambda step, n, highest: highest * min(1, (n - step) / (0.9 * n)),
    "Nearly: step 0 has the rate 0, so it teaches nothing. Steps are counted from 0.",
    lambda step, n, highest: highest * min(1, step / (n / 10), (n - step) / (0.9 * n)),
    "The fall counts from the first step: it begins after the warm-up, with 9/10 of the steps.",
    lambda step, n, highest: highest * min(1, (step + 1) / (n / 10), (n - step) / n),
)


# 7. Padding attended to.
def attention(scores: Tensor, valid_lens: Tensor) -> Tensor:
    """Each position shares its attention out among the real positions of its row."""
    found = torch.zeros_like(scores)
    for row, real in enumerate(valid_lens.tolist()):
        for query in range(scores.shape[1]):
            exps = [math.exp(score) for score in scores[row, query, :real].tolist()]
            found[row, query, :real] = torch.tensor(exps) / sum(exps)
    return found


def some_scores(size: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Scores (B, L, L) from each position to each other, and real positions of each row (B,)."""
    rows, length = (size + 1) // 2, size + 1
    scores = 3 * size * torch.randn(rows, length, length, generator=generator)
    most = length + 1 if size > 1 else length
    return scores.round(decimals=1), torch.randint(1, most, (rows,), generator=generator)


def right_attention(scores: Tensor, valid_lens: Tensor) -> Tensor:
    """No score, no attention: exp(-inf) is 0."""
    is_padding = torch.arange(scores.shape[-1]) >= valid_lens.reshape(-1, 1, 1)  # (B, 1, L)
    return torch.softmax(scores.masked_fill(is_padding, float("-inf")), dim=-1)


CHECK_ATTENTION = Check(attention, some_scores, right_attention).tell_apart(
    "As it was: padding still gets attention.",
    lambda x, lens: x.softmax(-1),
    "Padding gets nothing now, but what is left does not add up to 1.",
    lambda x, lens: x.softmax(-1) * (right_attention(0 * x, lens) > 0),
    "A score of 0 is not no attention: exp(0) is 1.",
    lambda x, lens: (x * (right_attention(0 * x, lens) > 0)).softmax(-1),
    "Nearly: the first position of the padding still gets attention.",
    lambda x, lens: right_attention(x, lens + 1),
    "You take away positions that look. It is those that are looked at: the last axis.",
    lambda x, lens: x.where(right_attention(0 * x, lens).mT > 0, -1e9).softmax(-1),
)


# 8. An ignore index that eats a word. The definition is that of bug 1.
def some_slots_of_word_0(size: int, generator: Generator) -> tuple[Tensor, ...]:
    """As `some_slots`, with two real slots or more: one has word 0, one has another."""
    logits, labels, weights = some_slots(size + 1, generator)
    some, others = torch.randperm(len(labels), generator=generator)[:2]
    weights[some] = weights[others] = 1
    labels[some], labels[others] = 0, 1 + size % 2
    return logits, labels, weights


def right_label_loss(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """The weights say which slots are real."""
    labels = labels.masked_fill(weights == 0, -100)  # no word has this number
    return F.cross_entropy(logits, labels, ignore_index=-100)


CHECK_LABEL_LOSS = Check(slot_loss, some_slots_of_word_0, right_label_loss).tell_apart(
    "As it was: a real slot whose word has the number 0 is still left out.",
    lambda x, y, w: F.cross_entropy(x, y, ignore_index=0),
    "Nothing is ignored now: unused slots have label 0 and count as if word 0 stood there.",
    lambda x, y, w: F.cross_entropy(x, y),
    "The right slots are added, but you divide by all slots, the unused ones too.",
    lambda x, y, w: (losses(x, y) * w).mean(),
    "You divide by the number of real slots, but word 0 is still left out of the sum.",
    lambda x, y, w: losses(x, y, ignore_index=0).sum() / w.sum(),
    "Word 0 counts now, but the number that you ignore instead is a word too: the last one.",
    lambda x, y, w: F.cross_entropy(x, y.masked_fill(w == 0, 2), ignore_index=2),
)
