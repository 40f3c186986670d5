"""Text as vectors: what a pretrained BERT makes of sentences, layer by layer.

Shapes: L positions, D hidden units, H heads.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..network.model import BERTModel, check_vocab, dropout_off, in_mode
from ..text.pairs import get_tokens_and_segments
from ..text.vocabulary import Vocab


class NetworkInput(NamedTuple):
    """A sentence or a pair, as the network reads it."""

    tokens: list[str]  # L, special tokens included
    token_ids: Tensor  # (1, L), on the network's device
    segments: Tensor  # (1, L), 0 or 1


def network_input(
    net: BERTModel, vocab: Vocab, tokens_a: Sequence[str], tokens_b: Sequence[str] | None = None
) -> NetworkInput:
    """Put in the special tokens, and look up all ids.

    Args:
        net: Says on which device.
        vocab: Its vocabulary; a token that is not in it is read as `<unk>`.
        tokens_a: Tokens of the first sentence.
        tokens_b: Tokens of the second, or None.

    Raises:
        TypeError: A string where a list of tokens belongs.
        ValueError: Network and vocabulary do not belong together.
    """
    check_vocab(net, vocab)
    for tokens in (tokens_a, tokens_b):
        if isinstance(tokens, str):
            raise TypeError(
                f"tokens must be a list such as {vocab.tokenize(tokens)[:4]}, but got the string "
                f"{tokens!r}: use tokenize"
            )
    cls, sep = vocab.to_tokens([vocab.cls_id, vocab.sep_id])
    tokens, segments = get_tokens_and_segments(tokens_a, tokens_b, cls=cls, sep=sep)
    device = next(net.parameters()).device
    return NetworkInput(
        tokens,
        torch.tensor([vocab[tokens]], device=device),
        torch.tensor([segments], device=device),
    )


def get_bert_encoding(
    net: BERTModel, vocab: Vocab, tokens_a: Sequence[str], tokens_b: Sequence[str] | None = None
) -> Tensor:
    """d2l's function: last-layer vectors of all tokens of a sentence or a pair of sentences.

    Dropout is off, so the same text gives the same vectors; in d2l it is on, and they differ every
    time.

    Args:
        net: The network; its mode is restored.
        vocab: Its vocabulary; a word that is not in it is read as `<unk>`.
        tokens_a: Tokens of the first sentence.
        tokens_b: Tokens of the second, or None.

    Returns:
        (1, L, D), where L counts `<cls>` and each `<sep>`.

    Raises:
        TypeError: A string where a list of tokens belongs; or d2l's arguments, with the line to
            write.
        ValueError: More tokens than the network has positions.
    """
    _, token_ids, segments = network_input(net, vocab, tokens_a, tokens_b)
    with dropout_off(net):
        return net(token_ids, segments).encoded


class Layers(NamedTuple):
    """Everything the encoder computes for one input."""

    tokens: list[str]  # L, special tokens included
    vectors: Tensor  # (1 + number of layers, L, D); [0] is the embeddings, [-1] the last layer
    attention: (
        Tensor  # (number of layers, H, L, L); row i: how much position i looks at each position
    )


def get_layers(
    net: BERTModel, vocab: Vocab, tokens_a: Sequence[str], tokens_b: Sequence[str] | None = None
) -> Layers:
    """Vectors after every layer, and every head's attention.

    Args:
        net, vocab, tokens_a, tokens_b: As in `get_bert_encoding`.

    Returns:
        All layers of one sentence or pair.

    Raises:
        TypeError, ValueError: As in `get_bert_encoding`.
    """
    tokens, token_ids, segments = network_input(net, vocab, tokens_a, tokens_b)
    with dropout_off(net):
        vectors, attention = zip(*net.encoder.layers(token_ids, segments, None), strict=True)
    return Layers(tokens, torch.cat(vectors), torch.cat(attention[1:]))


def cosine_similarity(rows: Tensor, columns: Tensor) -> Tensor:
    """Cosine of the angle between every row of (n, D) and of (m, D): (n, m), from -1 to 1.

    >>> cosine_similarity(torch.tensor([[1.0, 0.0]]), torch.tensor([[2.0, 0.0], [0.0, 3.0]]))
    tensor([[1., 0.]])
    """
    return F.normalize(rows, dim=-1) @ F.normalize(columns, dim=-1).T


class Comparison(NamedTuple):
    """How similar the tokens of two sentences are."""

    tokens_a: list[str]  # n
    tokens_b: list[str]  # m
    cosines: Tensor  # (n, m), from -1 to 1


def compare_tokens(
    net: BERTModel, vocab: Vocab, sentence_a: str, sentence_b: str, layer: int = -1
) -> Comparison:
    """How similar each token of one sentence is to each token of another.

    Every sentence is encoded by itself.

    Args:
        net, vocab: Network and vocabulary.
        sentence_a, sentence_b: What somebody typed.
        layer: 0 for the embeddings, 1 for the first layer, ..., -1 for the last.

    Returns:
        Tokens and cosines; special tokens are left out.

    Raises:
        ValueError: A sentence without a word (the message says which), or one that is too long.
    """
    tokens, vectors = [], []
    for name, sentence in (("first", sentence_a), ("second", sentence_b)):
        words = vocab.tokenize(sentence)
        if not words:
            raise ValueError(
                f"the {name} text has no word in it: type a sentence, for example: a crane is "
                "flying"
            )
        tokens.append(words)
        vectors.append(get_layers(net, vocab, words).vectors[layer, 1:-1])
    return Comparison(*tokens, cosine_similarity(*vectors))


def word_vector(
    net: BERTModel,
    vocab: Vocab,
    tokens: Sequence[str],
    word: str,
    tokens_b: Sequence[str] | None = None,
    layer: int = -1,
) -> Tensor:
    """The vector (D,) of a word where it first occurs in `tokens`."""
    return get_layers(net, vocab, tokens, tokens_b).vectors[layer, place_of(word, tokens)]


def place_of(word: str, tokens: Sequence[str]) -> int:
    """Position of a word in the network's input, where `<cls>` is at 0.

    Raises:
        ValueError: It is not among the tokens.
    """
    if word not in tokens:
        raise ValueError(f"{word!r} is not among the tokens {list(tokens)}")
    return 1 + list(tokens).index(word)


def dropout_vectors(
    net: BERTModel,
    vocab: Vocab,
    tokens: Sequence[str],
    word: str,
    tokens_b: Sequence[str] | None = None,
    repeats: int = 40,
    seed: int = 0,
) -> Tensor:
    """The vectors of a word in one sentence that is encoded many times with dropout on.

    A difference between two contexts means something only if it is larger than the differences
    among these.

    Args:
        net, vocab: Network and vocabulary.
        tokens, word, tokens_b: As in `word_vector`.
        repeats: How often to encode.
        seed: What the dropout follows from.

    Returns:
        (repeats, D), the word's vector where it first occurs in `tokens`.
    """
    place = place_of(word, tokens)
    _, token_ids, segments = network_input(net, vocab, tokens, tokens_b)
    devices = range(torch.cuda.device_count())
    with in_mode(net, training=True), torch.no_grad(), torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        many = net.encoder(token_ids.repeat(repeats, 1), segments.repeat(repeats, 1), None)
        return many[:, place]
