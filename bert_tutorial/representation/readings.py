"""A use of a word as a vector: what it is in one sentence.

It is read twice: as it stands, and with the word hidden, so that the vector at `<mask>` tells what
the rest of the sentence expects there.

Shapes: N occurrences, D hidden units.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ..network.model import BERTModel, in_mode
from ..text.vocabulary import Vocab
from .encoding import network_input
from .occurrences import (
    Occurrence,
    Window,
    as_pieces,
    occurrence_layers,
    read_paragraphs,
    window_layers,
)

MOST = 300  # occurrences of a word without known senses that are read


def both_readings(net: BERTModel, vocab: Vocab, text: str, occurrences: list[Occurrence]) -> Tensor:
    """A word's occurrences, each as it stands and hidden: (1 + number of layers, N, 2 D)."""
    hidden = [occurrence._replace(is_hidden=True) for occurrence in occurrences]
    readings = [occurrence_layers(net, vocab, text, some) for some in (occurrences, hidden)]
    return torch.cat(readings, dim=2)


def read_use(
    net: BERTModel, vocab: Vocab, tokens: list[str], place: int, is_hidden: bool = False
) -> Tensor:
    """A word in a sentence that somebody typed, the same way: (1 + number of layers, 2 D).

    Args:
        net, vocab: Network and vocabulary.
        tokens: The sentence, without special tokens.
        place: Of the word among them.
        is_hidden: Whether both readings hide it, as those of hidden pairs do.
    """
    return window_layers(net, vocab, [*_readings(vocab, tokens, place, is_hidden)]).flatten(1)


def read_twice(
    encode: Callable[..., Tensor],
    net: BERTModel,
    vocab: Vocab,
    tokens: list[str],
    word: str,
    tokens_b: list[str] | None = None,
) -> Tensor:
    """What an encoding gives for a word as it stands and hidden, one behind the other: (..., 2 D).

    Args:
        encode: `word_vector` or `dropout_vectors`.
        net, vocab, tokens, word, tokens_b: As there.
    """
    place, mask = tokens.index(word), vocab.to_tokens(vocab.mask_id)
    hidden = [*tokens[:place], mask, *tokens[place + 1 :]]
    readings = [(tokens, word), (hidden, mask)]
    return torch.cat([encode(net, vocab, *read, tokens_b) for read in readings], dim=-1)


def _readings(vocab: Vocab, tokens: list[str], place: int, is_hidden: bool) -> tuple:
    hidden = Window([*tokens[:place], vocab.to_tokens(vocab.mask_id), *tokens[place + 1 :]], place)
    return (hidden if is_hidden else Window(tokens, place)), hidden


def shaken_uses(
    net: BERTModel,
    vocab: Vocab,
    tokens: list[str],
    place: int,
    is_hidden: bool = False,
    repeats: int = 20,
) -> Tensor:
    """The same use, read many times with dropout on: (1 + layers, repeats, 2 D).

    Args:
        net: A network with dropout; whether it was trained with it does not matter.
        vocab, tokens, place, is_hidden: As in `read_use`.
        repeats: How often.
    """
    inputs = [
        network_input(net, vocab, as_pieces(vocab, read)[0])
        for read, _ in _readings(vocab, tokens, place, is_hidden)
    ]
    spans = [
        as_pieces(vocab, read.tokens)[1][place]
        for read in _readings(vocab, tokens, place, is_hidden)
    ]
    found = []
    with in_mode(net, training=True), torch.no_grad():
        with torch.random.fork_rng(range(torch.cuda.device_count())):
            torch.manual_seed(0)
            for (_, token_ids, segments), (start, end) in zip(inputs, spans, strict=True):
                many = (part.repeat(repeats, 1) for part in (token_ids, segments))
                layers = net.encoder.layers(*many, None)
                places = [vectors[:, 1 + start : 1 + end].mean(1) for vectors, _ in layers]
                found.append(torch.stack(places).cpu())
    return torch.cat(found, dim=2)


def find_uses(text: str, word: str, most: int = MOST) -> list[Occurrence]:
    """The first occurrences of a word in a text, without senses."""
    found = []
    for number, paragraph in enumerate(read_paragraphs(text)):
        for i, sentence in enumerate(paragraph):
            if word in sentence:
                found += [Occurrence(number, i, j, "") for j, t in enumerate(sentence) if t == word]
        if len(found) >= most:
            break
    return found[:most]
