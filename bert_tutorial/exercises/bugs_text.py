"""Bugs between text and batch: labels that leak, a validation set with a vocabulary of its own.

Each has its unfixed code (`..._as_it_was`), its definition (`..._by_definition`), and a worked
answer.

Shapes: B rows, L positions, P slots.
"""

import torch
from torch import Tensor

from ..text.vocabulary import Vocab
from .check import Specification, make_check

NOT_ASKED = -100  # what cross_entropy ignores if it is told nothing else

# 9. Labels that leak at unmasked positions.


def labels_as_it_was(
    token_ids: Tensor, masked_ids: Tensor, pred_positions: Tensor, mlm_weights: Tensor
) -> Tensor:
    """Every position is asked about, also where the answer can be read."""
    return token_ids.clone()


def right_labels(
    token_ids: Tensor, masked_ids: Tensor, pred_positions: Tensor, mlm_weights: Tensor
) -> Tensor:
    """Only what was chosen is asked about."""
    asked = torch.zeros_like(token_ids)
    asked.scatter_add_(1, pred_positions, mlm_weights.long())  # unused slots add 0
    return token_ids.masked_fill(asked == 0, -100)


def labels_by_definition(
    token_ids: Tensor, masked_ids: Tensor, pred_positions: Tensor, mlm_weights: Tensor
) -> Tensor:
    """-100 everywhere, but at each real slot's position what stood there."""
    found = torch.full_like(token_ids, NOT_ASKED)
    for row in range(len(token_ids)):
        for slot in range(pred_positions.shape[1]):
            if mlm_weights[row, slot] == 1:
                position = pred_positions[row, slot]
                found[row, position] = token_ids[row, position]
    return found


def some_masked_rows(
    size: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Rows before and after masking (B, L), positions and weights (B, P); 2 stands for <mask>.

    Of three chosen words one is hidden, one is replaced and one is kept; the last slot is unused.
    """
    rows, length = (size + 1) // 2, size + 5
    token_ids = torch.randint(5, 40, (rows, length), generator=generator)
    token_ids[:, 0], token_ids[:, -1] = 3, 4
    order = torch.rand(rows, length - 2, generator=generator).argsort(1)
    positions = torch.cat([1 + order[:, :3].sort(1).values, torch.zeros(rows, 1).long()], 1)
    weights = torch.tensor([1.0, 1.0, 1.0, 0.0]).repeat(rows, 1)
    masked_ids = token_ids.clone()
    masked_ids.scatter_(1, positions[:, :1], 2)
    masked_ids.scatter_(1, positions[:, 1:2], 40)
    return token_ids, masked_ids, positions, weights


def _where_mask_stands(
    token_ids: Tensor, masked_ids: Tensor, pred_positions: Tensor, mlm_weights: Tensor
) -> Tensor:
    return token_ids.masked_fill(masked_ids != 2, NOT_ASKED)


def _where_changed(
    token_ids: Tensor, masked_ids: Tensor, pred_positions: Tensor, mlm_weights: Tensor
) -> Tensor:
    return token_ids.masked_fill(masked_ids == token_ids, NOT_ASKED)


def _with_unused(
    token_ids: Tensor, masked_ids: Tensor, pred_positions: Tensor, mlm_weights: Tensor
) -> Tensor:
    found = torch.full_like(token_ids, NOT_ASKED)
    return found.scatter(1, pred_positions, token_ids.gather(1, pred_positions))


def _from_masked(
    token_ids: Tensor, masked_ids: Tensor, pred_positions: Tensor, mlm_weights: Tensor
) -> Tensor:
    return right_labels(masked_ids, masked_ids, pred_positions, mlm_weights)


def _the_others(
    token_ids: Tensor, masked_ids: Tensor, pred_positions: Tensor, mlm_weights: Tensor
) -> Tensor:
    right = right_labels(token_ids, masked_ids, pred_positions, mlm_weights)
    return token_ids.masked_fill(right != NOT_ASKED, NOT_ASKED)


def _zero_elsewhere(
    token_ids: Tensor, masked_ids: Tensor, pred_positions: Tensor, mlm_weights: Tensor
) -> Tensor:
    right = right_labels(token_ids, masked_ids, pred_positions, mlm_weights)
    return right.masked_fill(right == NOT_ASKED, 0)


LABELS_MISSES = {
    "As it was: every position is still asked about.": labels_as_it_was,
    "Words behind <mask> are asked about. But of the chosen words some are replaced and some are "
    "kept, and these are questions too.": _where_mask_stands,
    "Words that were changed are asked about. But some of the chosen words are kept as they are, "
    "and these are questions too.": _where_changed,
    "Nearly: unused slots point at position 0, so <cls> is asked about as well.": _with_unused,
    "The right positions, but the labels are what the network reads there, not what stood there.": (
        _from_masked
    ),
    "The wrong way round: what was chosen is left out, and all the rest is asked about.": (
        _the_others
    ),
    "The right positions. But elsewhere the label is 0, which is a word's number; cross_entropy "
    "leaves out -100.": _zero_elsewhere,
}
CHECK_LABELS = make_check(
    Specification(reference=labels_by_definition, inputs=some_masked_rows),
    right_labels,
    LABELS_MISSES,
)

# 10. A validation set with a vocabulary of its own.

Tokens = list[str]


def ids_as_it_was(train: Tokens, valid: Tokens, min_freq: int) -> list[list[int]]:
    """Each text counts its own words."""
    train_vocab = Vocab(train, min_freq)
    valid_vocab = Vocab(valid, min_freq)
    return [train_vocab[train], valid_vocab[valid]]


def right_ids(train: Tokens, valid: Tokens, min_freq: int) -> list[list[int]]:
    """One table for both: that of the training text."""
    vocab = Vocab(train, min_freq)
    return [vocab[train], vocab[valid]]


def ids_by_definition(train: Tokens, valid: Tokens, min_freq: int) -> list[list[int]]:
    """Number the frequent words of the training text from 5 on; every other word is 0."""
    frequent = [word for word in set(train) if train.count(word) >= min_freq]
    frequent.sort(key=lambda word: (-train.count(word), word))
    return [
        [5 + frequent.index(word) if word in frequent else 0 for word in text]
        for text in (train, valid)
    ]


def some_texts(size: int, generator: torch.Generator) -> tuple[Tokens, Tokens, int]:
    """A training text, a validation text with some words of its own, and a lowest frequency."""
    words = ["a", "crane", "lifts", "water", "wings", "load", "nest", "hook"]
    drawn = torch.randint(6, (2 * size + 4,), generator=generator).tolist()
    others = (2 + torch.randint(6, (size + 3,), generator=generator)).tolist()
    train = ["wings", "wings", "a", *(words[number] for number in drawn)]
    return train, ["hook", "hook", "a", *(words[number] for number in others)], 1 + size % 2


def _of_both(train: Tokens, valid: Tokens, min_freq: int) -> list[list[int]]:
    vocab = Vocab([*train, *valid], min_freq)
    return [vocab[train], vocab[valid]]


def _of_validation(train: Tokens, valid: Tokens, min_freq: int) -> list[list[int]]:
    vocab = Vocab(valid, min_freq)
    return [vocab[train], vocab[valid]]


def _unknown_left_out(train: Tokens, valid: Tokens, min_freq: int) -> list[list[int]]:
    vocab = Vocab(train, min_freq)
    return [vocab[train], vocab[[word for word in valid if word in vocab]]]


def _every_word(train: Tokens, valid: Tokens, min_freq: int) -> list[list[int]]:
    vocab = Vocab(train)
    return [vocab[train], vocab[valid]]


IDS_MISSES = {
    "As it was: the validation text still has a vocabulary of its own.": ids_as_it_was,
    "One vocabulary, but of both texts: what is held out must not be counted, or the validation "
    "set helps to choose the words.": _of_both,
    "One vocabulary, but that of the validation text: the network learns from the other one.": (
        _of_validation
    ),
    "Unknown words are left out of the validation text. They must be read as <unk>, or the text "
    "becomes easier than it is.": _unknown_left_out,
    "One vocabulary, that of the training text, but rare words have an entry: where is min_freq?": (
        _every_word
    ),
}
CHECK_IDS = make_check(
    Specification(reference=ids_by_definition, inputs=some_texts), right_ids, IDS_MISSES
)
