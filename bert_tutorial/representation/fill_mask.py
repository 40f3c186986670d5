"""What could stand at a masked place."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..network.model import BERTModel, dropout_off
from ..text.vocabulary import Vocab
from .encoding import to_batch, to_row


class Guess(NamedTuple):
    """A word that could stand there."""

    token: str
    probability: float


def fill_mask(
    net: BERTModel, vocab: Vocab, sentence: str, num_guesses: int = 5
) -> list[list[Guess]]:
    """The likeliest words for every `<mask>` in a sentence.

    Args:
        net, vocab: Network and vocabulary.
        sentence: For example `a <mask> driver came`, whatever the vocabulary's mask is called.
        num_guesses: How many words for each place.

    Returns:
        A list for every `<mask>`, in order, the likeliest guess first; never a special token.

    Raises:
        ValueError: There is no `<mask>`, the sentence is too long, or the network has no such head.
    """
    tokens, mask = vocab.tokenize(sentence), vocab.to_tokens(vocab.mask_id)
    places = [place for place, token in enumerate(tokens) if token == mask]
    if not places:
        raise ValueError(
            f"there is no {mask} in {sentence!r}: put one where a word should be guessed, as in: "
            f"a {mask} driver came"
        )
    found = mask_probabilities(net, vocab, tokens, places)
    return [likeliest(vocab, p, num_guesses) for p in found]


def mask_probabilities(
    net: BERTModel, vocab: Vocab, tokens: Sequence[str], places: list[int]
) -> Tensor:
    """How probable each entry of the vocabulary is at each place, (P, V); special tokens never."""
    with dropout_off(net):
        batch = to_batch(net, vocab, [to_row(vocab, tokens)])
        positions = torch.tensor([places], device=batch[0].device) + 1  # <cls> is at 0
        logits = net(*batch, positions).mlm_logits[0]
    is_word = torch.zeros(len(vocab), dtype=torch.bool, device=logits.device)
    is_word[vocab.word_ids] = True
    return logits.masked_fill(~is_word, float("-inf")).softmax(-1)


def likeliest(vocab: Vocab, probabilities: Tensor, number: int) -> list[Guess]:
    """The likeliest words of (V,), the likeliest first."""
    best = probabilities.topk(min(number, len(vocab.word_ids)))
    return list(map(Guess, vocab.to_tokens(best.indices), best.values.tolist()))
