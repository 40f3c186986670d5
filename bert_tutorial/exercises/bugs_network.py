"""Bugs round the network: dropout left on, a constant rate, padding attended to.

Each has its unfixed code (`..._as_it_was`), definition (`..._by_definition`) and worked answer.

Shapes: B rows, L positions, D hidden units.
"""

import math
from typing import Any

import torch
from torch import Tensor

from ..network.model import BERTModel, dropout_off
from ..pretraining.settings import Settings
from .check import Function, Specification, make_check

# 3. Dropout left on while encoding.


def encoding_as_it_was(net: BERTModel, token_ids: Tensor, segments: Tensor) -> Tensor:
    """A new network is in training mode."""
    with torch.no_grad():
        return net(token_ids, segments).encoded


def right_encoding(net: BERTModel, token_ids: Tensor, segments: Tensor) -> Tensor:
    """Evaluation mode for a while; afterwards the mode is what it was."""
    was_training = net.training
    net.eval()
    with torch.no_grad():
        encoded = net(token_ids, segments).encoded
    net.train(was_training)
    return encoded


def encoding_by_definition(net: BERTModel, token_ids: Tensor, segments: Tensor) -> Tensor:
    """The vectors without dropout, row by row."""
    with dropout_off(net):
        rows = zip(token_ids, segments, strict=True)
        return torch.cat([net(row[None], segment[None]).encoded for row, segment in rows])


def some_network(size: int, generator: torch.Generator) -> tuple[BERTModel, Tensor, Tensor]:
    """A tiny network, in training mode or not, and rows (size, size + 2)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(size)
        net = BERTModel(20, 8, 8, 2, 1, dropout=0.5, max_len=64)
    net.reset(generator)
    net.train(int(torch.randint(4, (1,), generator=generator)) > 0)
    token_ids = torch.randint(20, (size, size + 2), generator=generator)
    return net, token_ids, torch.zeros_like(token_ids)


def see_encoding(function: Function, net: BERTModel, token_ids: Tensor, segments: Tensor) -> Any:
    """The vectors, twice, and the mode afterwards."""
    was_training = net.training
    first, mode = function(net, token_ids, segments), net.training
    net.train(was_training)
    second = function(net, token_ids, segments)
    net.train(was_training)
    expected = encoding_by_definition(net, token_ids, segments)
    return {
        "the same vectors when it is called again": torch.equal(first, second),
        "the vectors are those without dropout": torch.allclose(first, expected, 1e-3, 1e-4),
        "in training mode afterwards": mode,
        "the vectors still hold on to gradients": first.requires_grad,
    }


def _off_for_ever(net: BERTModel, token_ids: Tensor, segments: Tensor) -> Tensor:
    with torch.no_grad():
        return net.eval()(token_ids, segments).encoded


def _same_draw(net: BERTModel, token_ids: Tensor, segments: Tensor) -> Tensor:
    torch.manual_seed(0)
    return encoding_as_it_was(net, token_ids, segments)


def _on_for_ever(net: BERTModel, token_ids: Tensor, segments: Tensor) -> Tensor:
    encoded = _off_for_ever(net, token_ids, segments)
    net.train()
    return encoded


def _too_late(net: BERTModel, token_ids: Tensor, segments: Tensor) -> Tensor:
    encoded = encoding_as_it_was(net, token_ids, segments)
    net.eval()
    return encoded


def _with_gradients(net: BERTModel, token_ids: Tensor, segments: Tensor) -> Tensor:
    was_training = net.training
    encoded = net.eval()(token_ids, segments).encoded
    net.train(was_training)
    return encoded


ENCODING_MISSES = {
    "As it was: no_grad leaves out the gradients, but not the dropout.": encoding_as_it_was,
    "Dropout is off, but it stays off: a training that goes on afterwards goes on without it.": (
        _off_for_ever
    ),
    "A seed makes every call drop the same values. They are still dropped.": _same_draw,
    "Dropout is off. But afterwards it is on, also in a network where it was off before.": (
        _on_for_ever
    ),
    "Evaluation mode comes after the vectors are computed: too late for them.": _too_late,
    "Dropout is off, and the mode is put back. But the gradients are computed again: memory for "
    "nothing.": _with_gradients,
}
CHECK_ENCODING = make_check(
    Specification(reference=encoding_by_definition, inputs=some_network, trial=see_encoding),
    right_encoding,
    ENCODING_MISSES,
)

# 6. A constant rate of 0.01 without warm-up.


def rate_as_it_was(step: int, num_steps: int, highest: float) -> float:
    """One rate from the first step to the last, d2l's."""
    return 0.01


def right_rate(step: int, num_steps: int, highest: float) -> float:
    """The smaller of a line that rises and a line that falls."""
    warm_up = max(1, num_steps / 10)
    rising = (step + 1) / warm_up
    falling = (num_steps - step) / (num_steps - num_steps / 10)
    return highest * min(1, rising, falling)


def rate_by_definition(step: int, num_steps: int, highest: float) -> float:
    """Up in a straight line in the first tenth of the steps, then down in one to the last."""
    return Settings(num_steps=num_steps, learning_rate=highest).learning_rate_at(step)


def some_step(size: int, generator: torch.Generator) -> tuple[int, int, float]:
    """A step counted from 0, the number of steps (20, 40, ...) and the highest rate."""
    num_steps = 20 * size
    steps = (0, num_steps - 1, num_steps // 20, num_steps // 10, num_steps // 2, num_steps // 4)
    step = steps[int(torch.randint(len(steps), (1,), generator=generator))]
    return step, num_steps, 0.005 * int(torch.randint(3, 6, (1,), generator=generator))


def _constant(step: int, num_steps: int, highest: float) -> float:
    return highest


def _only_up(step: int, num_steps: int, highest: float) -> float:
    return highest * min(1, (step + 1) / (num_steps / 10))


def _only_down(step: int, num_steps: int, highest: float) -> float:
    return highest * min(1, (num_steps - step) / (0.9 * num_steps))


def _from_zero(step: int, num_steps: int, highest: float) -> float:
    return highest * min(1, step / (num_steps / 10), (num_steps - step) / (0.9 * num_steps))


def _down_from_first(step: int, num_steps: int, highest: float) -> float:
    return highest * min(1, (step + 1) / (num_steps / 10), (num_steps - step) / num_steps)


RATE_MISSES = {
    "As it was: 0.01 at every step.": rate_as_it_was,
    "Never above the highest rate now, but the same at every step.": _constant,
    "It rises, but does not fall afterwards: at the end large steps undo what small ones learn.": (
        _only_up
    ),
    "It falls, but begins at its highest: large first steps ruin a new network.": _only_down,
    "Nearly: step 0 has the rate 0, so it teaches nothing. Steps are counted from 0.": _from_zero,
    "It rises and falls, but the fall counts from the first step on: it begins after the warm-up, "
    "and has nine tenths of the steps.": _down_from_first,
}
CHECK_RATE = make_check(
    Specification(reference=rate_by_definition, inputs=some_step), right_rate, RATE_MISSES
)

# 7. Padding attended to.


def attention_as_it_was(scores: Tensor, valid_lens: Tensor) -> Tensor:
    """Padding gets its part."""
    return torch.softmax(scores, dim=-1)


def right_attention(scores: Tensor, valid_lens: Tensor) -> Tensor:
    """No score, no attention: exp(-inf) is 0."""
    is_padding = torch.arange(scores.shape[-1]) >= valid_lens.reshape(-1, 1, 1)  # (B, 1, L)
    return torch.softmax(scores.masked_fill(is_padding, float("-inf")), dim=-1)


def attention_by_definition(scores: Tensor, valid_lens: Tensor) -> Tensor:
    """Each position shares its attention out among the real positions of its row."""
    found = torch.zeros_like(scores)
    for row, real in enumerate(valid_lens.tolist()):
        for query in range(scores.shape[1]):
            exps = [math.exp(score) for score in scores[row, query, :real].tolist()]
            found[row, query, :real] = torch.tensor([value / sum(exps) for value in exps])
    return found


def some_scores(size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Scores (B, L, L) from each position to each other, and real positions of each row (B,)."""
    rows, length = (size + 1) // 2, size + 1
    scores = torch.randn(rows, length, length, generator=generator).round(decimals=1)
    return scores, torch.randint(1, length, (rows,), generator=generator)


def _is_padding(scores: Tensor, valid_lens: Tensor) -> Tensor:
    return torch.arange(scores.shape[-1]) >= valid_lens.reshape(-1, 1, 1)


def _zeroed_after(scores: Tensor, valid_lens: Tensor) -> Tensor:
    return torch.softmax(scores, -1).masked_fill(_is_padding(scores, valid_lens), 0.0)


def _score_0(scores: Tensor, valid_lens: Tensor) -> Tensor:
    return torch.softmax(scores.masked_fill(_is_padding(scores, valid_lens), 0.0), -1)


def _one_too_many(scores: Tensor, valid_lens: Tensor) -> Tensor:
    return right_attention(scores, (valid_lens + 1).clamp(max=scores.shape[-1]))


def _other_axis(scores: Tensor, valid_lens: Tensor) -> Tensor:
    is_padding = _is_padding(scores, valid_lens).mT  # (B, L, 1): who looks, not what is looked at
    return torch.softmax(scores.masked_fill(is_padding, -1e9), -1)


ATTENTION_MISSES = {
    "As it was: padding still gets attention.": attention_as_it_was,
    "Padding gets nothing now, but what is left does not add up to 1.": _zeroed_after,
    "A score of 0 is not no attention: exp(0) is 1.": _score_0,
    "Nearly: the first position of the padding still gets attention.": _one_too_many,
    "You take away the scores of the positions that look. It is the ones that are looked at: the "
    "last axis.": _other_axis,
}
CHECK_ATTENTION = make_check(
    Specification(reference=attention_by_definition, inputs=some_scores),
    right_attention,
    ATTENTION_MISSES,
)
