"""The masked-word game: choose tokens to predict, and hide them.

Shapes: B rows, L positions, P slots for predictions.

Source: Devlin et al. 2019, section 3.1, task 1.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from .vocabulary import Vocab


class MaskedRows(NamedTuple):
    """Rows with some of their tokens hidden."""

    token_ids: Tensor  # (B, L), what the network reads
    pred_positions: Tensor  # (B, P), ascending; 0 in unused slots
    mlm_weights: Tensor  # (B, P), float32, 1 for a real slot and 0 for an unused one
    mlm_labels: Tensor  # (B, P), what stood there; 0 in unused slots


def mask_tokens(
    vocab: Vocab, token_ids: Tensor, generator: torch.Generator, mask_rate: float = 0.15
) -> MaskedRows:
    """Choose tokens to predict, and hide them.

    Args:
        vocab: Knows the special ids.
        token_ids: (B, L), padded with `<pad>`; not changed.
        generator: Source of randomness.
        mask_rate: Part of a row's real positions to predict, rounded, at least one. Each row has
            `L * mask_rate` slots.
    """
    num_slots = max(1, round(token_ids.shape[1] * mask_rate))
    positions, used = choose_positions(vocab, token_ids, generator, mask_rate, num_slots)
    return hide_at(vocab, token_ids, positions, used, generator)


def hide_at(
    vocab: Vocab, token_ids: Tensor, positions: Tensor, used: Tensor, generator: torch.Generator
) -> MaskedRows:
    """Hide what stands at the chosen positions (B, P), of which those that are `used` count."""
    labels = token_ids.gather(1, positions).masked_fill(~used, 0)
    hidden = hide_tokens(vocab, labels, generator)
    # Unused slots point at position 0 and put back what stands there: <cls>.
    hidden = torch.where(used, hidden, token_ids[:, :1])
    return MaskedRows(token_ids.scatter(1, positions, hidden), positions, used.float(), labels)


def choose_positions(
    vocab: Vocab, token_ids: Tensor, generator: torch.Generator, mask_rate: float, num_slots: int
) -> tuple[Tensor, Tensor]:
    """Draw the positions (B, P) to predict; `<cls>`, `<sep>` and `<pad>` are never drawn.

    The second result (B, P) says which slots are used; the others come last, with position 0.
    """
    is_padding = token_ids == vocab.pad_id
    can_be_chosen = ~is_padding & (token_ids != vocab.cls_id) & (token_ids != vocab.sep_id)
    wanted = ((~is_padding).sum(1, keepdim=True) * mask_rate).round().clamp(1, num_slots)
    wanted = wanted.minimum(can_be_chosen.sum(1, keepdim=True))  # (B, 1)
    # A random number for each candidate; the highest are chosen, which is a draw without
    # replacement.
    score = torch.rand(token_ids.shape, generator=generator).masked_fill(~can_be_chosen, -1.0)
    positions = score.topk(num_slots, dim=1).indices
    used = torch.arange(num_slots) < wanted  # (B, P)
    # Unused slots go last.
    positions = positions.masked_fill(~used, token_ids.shape[1]).sort(1).values
    return positions.masked_fill(~used, 0), used


def hide_tokens(vocab: Vocab, labels: Tensor, generator: torch.Generator) -> Tensor:
    """What the network reads instead: 80 % `<mask>`, 10 % a random word, 10 % the token itself.

    A random word is never a special token; in d2l it may be.
    """
    fate = torch.rand(labels.shape, generator=generator)
    drawn = torch.randint(len(vocab.word_ids), labels.shape, generator=generator)
    random_words = vocab.word_ids[drawn]
    return torch.where(fate < 0.8, vocab.mask_id, torch.where(fate < 0.9, random_words, labels))
