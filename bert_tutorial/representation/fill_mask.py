"""What could stand at a masked place."""

from typing import NamedTuple

import torch

from ..network.model import BERTModel, check_head, dropout_off
from ..text.vocabulary import Vocab
from .encoding import network_input


class Guess(NamedTuple):
    """One word that could stand at a masked place."""

    token: str
    probability: float


def fill_mask(
    net: BERTModel, vocab: Vocab, sentence: str, num_guesses: int = 5
) -> list[list[Guess]]:
    """The likeliest words for every `<mask>` in a sentence.

    Args:
        net, vocab: Network and vocabulary.
        sentence: For example `a <mask> driver came`; `<mask>` may be written whatever the
            vocabulary's own mask is called.
        num_guesses: How many words for each place.

    Returns:
        A list for every `<mask>`, in order, the likeliest guess first; special tokens are never
        guessed.

    Raises:
        ValueError: There is no `<mask>`, the sentence is too long, or the network has no head for
            it.
    """
    check_head(net, "mlm")
    tokens, mask = vocab.tokenize(sentence), vocab.to_tokens(vocab.mask_id)
    places = [place for place, token in enumerate(tokens, start=1) if token == mask]
    if not places:
        raise ValueError(
            f"there is no {mask} in {sentence!r}: put one where a word should be guessed, as in: "
            f"a {mask} driver came"
        )
    _, token_ids, segments = network_input(net, vocab, tokens)
    with dropout_off(net):
        positions = torch.tensor([places], device=token_ids.device)
        logits = net(token_ids, segments, None, positions).mlm_logits[0]
    is_word = torch.zeros(len(vocab), dtype=torch.bool, device=logits.device)
    is_word[vocab.word_ids] = True
    logits[:, ~is_word] = float("-inf")
    best = torch.softmax(logits, dim=-1).topk(min(num_guesses, len(vocab.word_ids)))
    return [
        [Guess(vocab.to_tokens(number), value) for number, value in zip(*row, strict=True)]
        for row in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    ]
