"""Text as vectors: what a pretrained BERT makes of sentences, layer by layer.

Shapes: B rows, L positions, D hidden units, H heads.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from ..network.model import BERTModel, check_vocab, dropout_off, in_mode
from ..text.pairs import get_tokens_and_segments
from ..text.vocabulary import Vocab

# A sentence or a pair as the network reads it: L tokens, special ones included, and their segments.
Row = tuple[list[str], list[int]]


def to_row(vocab: Vocab, tokens_a: Sequence[str], tokens_b: Sequence[str] | None = None) -> Row:
    """Put in the vocabulary's special tokens; a TypeError refuses a string for a list of them."""
    for tokens in (tokens_a, tokens_b):
        if isinstance(tokens, str):
            raise TypeError(
                f"tokens must be a list such as {vocab.tokenize(tokens)[:4]}, but got the string "
                f"{tokens!r}: use tokenize"
            )
    cls, sep = vocab.to_tokens([vocab.cls_id, vocab.sep_id])
    return get_tokens_and_segments(tokens_a, tokens_b, cls=cls, sep=sep)


def to_batch(net: BERTModel, vocab: Vocab, rows: Sequence[Row]) -> tuple[Tensor, Tensor, Tensor]:
    """Rows, padded, as a network takes them: token ids (B, L), segments (B, L), lengths (B,)."""
    check_vocab(net, vocab)
    tokens, segments = zip(*rows, strict=True)
    token_ids = pad_sequence([torch.tensor(vocab[row]) for row in tokens], True, vocab.pad_id)
    segments = pad_sequence([torch.tensor(row) for row in segments], True)
    lengths = torch.tensor([len(row) for row in tokens])
    device = next(net.parameters()).device
    return token_ids.to(device), segments.to(device), lengths.to(device)


def get_bert_encoding(
    net: BERTModel, vocab: Vocab, tokens_a: Sequence[str], tokens_b: Sequence[str] | None = None
) -> Tensor:
    """d2l's function: last-layer vectors of all tokens of a sentence or a pair of sentences.

    Dropout is off, so the same text gives the same vectors. In d2l it is on: they always differ.

    Args:
        net: The network; its mode is restored.
        vocab: Its vocabulary; a word that is not in it is read as `<unk>`.
        tokens_a, tokens_b: Tokens of the first sentence, and of the second if there is one.

    Returns:
        (1, L, D), where L counts `<cls>` and each `<sep>`.

    Raises:
        TypeError: A string where a list of tokens belongs.
        ValueError: More tokens than the network has positions.
    """
    row = to_row(vocab, tokens_a, tokens_b)
    with dropout_off(net):
        return net(*to_batch(net, vocab, [row])).encoded


class Layers(NamedTuple):
    """Everything the encoder computes for one input."""

    tokens: list[str]  # L, special tokens included
    vectors: Tensor  # (1 + number of layers, L, D); [0] is the embeddings, [-1] the last layer
    attention: Tensor  # (number of layers, H, L, L): how much each position looks at each


def get_layers(
    net: BERTModel, vocab: Vocab, tokens_a: Sequence[str], tokens_b: Sequence[str] | None = None
) -> Layers:
    """Vectors after every layer, every head's attention; arguments as in `get_bert_encoding`."""
    row = to_row(vocab, tokens_a, tokens_b)
    batch = to_batch(net, vocab, [row])
    with dropout_off(net):
        vectors, attention = zip(*net.encoder.layers(*batch), strict=True)
    return Layers(row[0], torch.cat(vectors), torch.cat(attention[1:]))


def encode(
    net: BERTModel, vocab: Vocab, rows: Sequence[Row], at_once: int = 64, dropout: bool = False
) -> Iterator[Tensor]:
    """Read many rows, so many at once; yield of each (1 + number of layers, L, D)."""
    for i in range(0, len(rows), at_once):
        some = rows[i : i + at_once]
        with in_mode(net, training=dropout), torch.no_grad():  # afterwards another thread may train
            layers = net.encoder.layers(*to_batch(net, vocab, some))
            vectors = torch.stack([vectors for vectors, _ in layers])
        for number, (tokens, _) in enumerate(some):
            yield vectors[:, number, : len(tokens)]


def encode_with_dropout(
    net: BERTModel, vocab: Vocab, rows: Sequence[Row], at_once: int = 64
) -> list[Tensor]:
    """As `encode`, with dropout on; for the same rows it always switches off the same."""
    with in_mode(net, training=True), torch.random.fork_rng(range(torch.cuda.device_count())):
        torch.manual_seed(0)
        return list(encode(net, vocab, rows, at_once, dropout=True))


def cosine_similarity(rows: Tensor, columns: Tensor) -> Tensor:
    """Cosine of the angle between every row of (n, D) and of (m, D): (n, m), from -1 to 1.

    >>> cosine_similarity(torch.tensor([[1.0, 0.0]]), torch.tensor([[2.0, 0.0], [0.0, 3.0]]))
    tensor([[1., 0.]])
    """
    return F.normalize(rows, dim=-1) @ F.normalize(columns, dim=-1).T


class Comparison(NamedTuple):
    """How similar n tokens of one sentence and m of another are."""

    tokens_a: list[str]
    tokens_b: list[str]
    cosines: Tensor  # (n, m), from -1 to 1


def compare_tokens(
    net: BERTModel, vocab: Vocab, sentence_a: str, sentence_b: str, layer: int = -1
) -> Comparison:
    """How similar each token of one sentence is to each of another; each is encoded by itself.

    Args:
        net, vocab: Network and vocabulary.
        sentence_a, sentence_b: What somebody typed.
        layer: 0 for the embeddings, 1 for the first layer, ..., -1 for the last.

    Raises:
        ValueError: A sentence without a word (the message says which), or one that is too long.
    """
    tokens = cut_typed(vocab, sentence_a, "first"), cut_typed(vocab, sentence_b, "second")
    vectors = [get_layers(net, vocab, some).vectors[layer, 1:-1] for some in tokens]
    return Comparison(*tokens, cosine_similarity(*vectors))


def cut_typed(vocab: Vocab, sentence: str, which: str) -> list[str]:
    """The tokens of what somebody typed; a ValueError says which text has none."""
    if tokens := vocab.tokenize(sentence):
        return tokens
    raise ValueError(
        f"the {which} text has no word in it: type a sentence, for example: a crane is flying"
    )


def place_of(word: str, tokens: Sequence[str]) -> int:
    """Position of a word in the network's input, where `<cls>` is at 0."""
    return 1 + list(tokens).index(word)


class Window(NamedTuple):
    """A word, and the words that are read with it."""

    tokens: list[str]  # without <cls> and <sep>
    place: int  # of the word among them
    tokens_b: list[str] | None = None  # of a second sentence


def hide(vocab: Vocab, window: Window) -> Window:
    """The same with `<mask>` in the place of the word."""
    tokens = list(window.tokens)
    tokens[window.place] = vocab.to_tokens(vocab.mask_id)
    return window._replace(tokens=tokens)


def as_pieces(vocab: Vocab, words: Sequence[str]) -> tuple[list[str], list[tuple[int, int]]]:
    """Words as the network reads them: the pieces, and from where to where each word goes."""
    pieces, spans = [], []
    for word in words:
        start = len(pieces)
        pieces += vocab.pieces(word)
        spans.append((start, len(pieces)))
    return pieces, spans


def use_vectors(
    net: BERTModel, vocab: Vocab, windows: Sequence[Window], encode: Callable[..., Any] = encode
) -> Tensor:
    """The vector of each window's word after every layer: (1 + number of layers, B, D), on the CPU.

    A word of several pieces has their mean. With `encode_with_dropout` as `encode`, dropout is on.
    """
    rows, spans, longest = [], [], net.config.max_len - 2
    for tokens, place, tokens_b in windows:
        pieces, every = as_pieces(vocab, tokens)
        start, end = every[place]
        cut = max(0, end - longest)  # more pieces than positions: what stands before goes first
        rows.append(to_row(vocab, pieces[cut : cut + longest], tokens_b))
        spans.append(slice(1 + max(start - cut, 0), 1 + end - cut))
    vectors = encode(net, vocab, rows)
    means = [row[:, span].mean(1) for row, span in zip(vectors, spans, strict=True)]
    return torch.stack(means, dim=1).cpu()


def read_use(net: BERTModel, vocab: Vocab, window: Window) -> Tensor:
    """A use of a word as a vector: as it stands and hidden, (1 + number of layers, 2 D)."""
    return use_vectors(net, vocab, [window, hide(vocab, window)]).flatten(1)
