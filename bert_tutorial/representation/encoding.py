"""Text as vectors: what a pretrained BERT makes of sentences, layer by layer.

`get_layers` reads one sentence or pair, with attention; `encode` reads many.

Shapes: B rows, L positions, D hidden units, H heads.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

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
    """Put in the vocabulary's special tokens.

    Raises:
        TypeError: A string where a list of tokens belongs.
    """
    for tokens in (tokens_a, tokens_b):
        if isinstance(tokens, str):
            raise TypeError(
                f"tokens must be a list such as {vocab.tokenize(tokens)[:4]}, but got the string "
                f"{tokens!r}: use tokenize"
            )
    cls, sep = vocab.to_tokens([vocab.cls_id, vocab.sep_id])
    return get_tokens_and_segments(tokens_a, tokens_b, cls=cls, sep=sep)


def to_batch(net: BERTModel, vocab: Vocab, rows: Sequence[Row]) -> tuple[Tensor, Tensor, Tensor]:
    """Rows as a network takes them: token ids (B, L), segments (B, L), lengths (B,).

    Shorter rows are padded. A token without an entry is read as `<unk>`.

    Raises:
        ValueError: Network and vocabulary do not belong together.
    """
    check_vocab(net, vocab)
    tokens, segments = zip(*rows, strict=True)
    token_ids = pad_sequence([torch.tensor(vocab[row]) for row in tokens], True, vocab.pad_id)
    segments = pad_sequence([torch.tensor(row) for row in segments], True)
    lengths = torch.tensor([len(row) for row in tokens])
    device = next(net.parameters()).device
    return token_ids.to(device), segments.to(device), lengths.to(device)


class Layers(NamedTuple):
    """Everything the encoder computes for one input."""

    tokens: list[str]  # L, special tokens included
    vectors: Tensor  # (1 + number of layers, L, D); [0] is the embeddings, [-1] the last layer
    # (number of layers, H, L, L); row i: how much position i looks at each position
    attention: Tensor


def get_layers(
    net: BERTModel, vocab: Vocab, tokens_a: Sequence[str], tokens_b: Sequence[str] | None = None
) -> Layers:
    """Vectors after every layer, and every head's attention.

    Args:
        net: The network; its mode is restored.
        vocab: Its vocabulary; a word that is not in it is read as `<unk>`.
        tokens_a: Tokens of the first sentence.
        tokens_b: Tokens of the second, or None.

    Raises:
        TypeError: A string where a list of tokens belongs.
        ValueError: More tokens than the network has positions.
    """
    row = to_row(vocab, tokens_a, tokens_b)
    with dropout_off(net):
        layers = net.encoder.layers(*to_batch(net, vocab, [row]))
        vectors, attention = zip(*layers, strict=True)
    return Layers(row[0], torch.cat(vectors), torch.cat(attention[1:]))


def get_bert_encoding(
    net: BERTModel, vocab: Vocab, tokens_a: Sequence[str], tokens_b: Sequence[str] | None = None
) -> Tensor:
    """d2l's function: last-layer vectors of all tokens of a sentence or a pair of sentences.

    Dropout is off, so the same text gives the same vectors; in d2l it is on, and they differ every
    time. Arguments and errors as in `get_layers`.

    Returns:
        (1, L, D), where L counts `<cls>` and each `<sep>`.
    """
    row = to_row(vocab, tokens_a, tokens_b)
    with dropout_off(net):
        return net(*to_batch(net, vocab, [row])).encoded


def encode(
    net: BERTModel, vocab: Vocab, rows: Sequence[Row], at_once: int = 64, dropout: bool = False
) -> Iterator[Tensor]:
    """Read many rows, so many at once.

    Yields:
        For each row its vectors after every layer, (1 + number of layers, L, D).
    """
    for i in range(0, len(rows), at_once):
        some = rows[i : i + at_once]
        with in_mode(net, training=dropout), torch.no_grad():  # afterwards another thread may train
            layers = net.encoder.layers(*to_batch(net, vocab, some))
            vectors = torch.stack([vectors for vectors, _ in layers])
        for number, (tokens, _) in enumerate(some):
            yield vectors[:, number, : len(tokens)]


def encode_with_dropout(
    net: BERTModel, vocab: Vocab, rows: Sequence[Row], at_once: int = 64, seed: int = 0
) -> list[Tensor]:
    """As `encode`, with dropout on; what it switches off follows from the seed alone."""
    with in_mode(net, training=True), torch.random.fork_rng(range(torch.cuda.device_count())):
        torch.manual_seed(seed)
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
    """How similar each token of one sentence is to each token of another.

    Every sentence is encoded by itself; special tokens are left out.

    Args:
        net, vocab: Network and vocabulary.
        sentence_a, sentence_b: What somebody typed.
        layer: 0 for the embeddings, 1 for the first layer, ..., -1 for the last.

    Raises:
        ValueError: A sentence without a word (the message says which), or one that is too long.
    """
    tokens = [
        cut_typed(vocab, sentence, which)
        for sentence, which in ((sentence_a, "first"), (sentence_b, "second"))
    ]
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
    if word not in tokens:
        raise ValueError(f"{word!r} is not among the tokens {list(tokens)}")
    return 1 + list(tokens).index(word)


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


def dropout_vectors(
    net: BERTModel,
    vocab: Vocab,
    tokens: Sequence[str],
    word: str,
    tokens_b: Sequence[str] | None = None,
    repeats: int = 40,
    seed: int = 0,
) -> Tensor:
    """The last-layer vectors (repeats, D) of a word, encoded many times with dropout on.

    A difference between two contexts means something only if it is larger than the differences
    among these. Arguments as in `word_vector`; the dropout follows from the seed.
    """
    rows = [to_row(vocab, tokens, tokens_b)] * repeats
    every = encode_with_dropout(net, vocab, rows, repeats, seed)
    return torch.stack([vectors[-1, place_of(word, tokens)] for vectors in every])


def read_twice(
    encode: Callable[..., Tensor],
    net: BERTModel,
    vocab: Vocab,
    tokens: list[str],
    word: str,
    tokens_b: list[str] | None = None,
) -> Tensor:
    """A word as it stands and hidden, by `word_vector` or `dropout_vectors`: (..., 2 D)."""
    hidden = hide(vocab, Window(tokens, tokens.index(word)))
    readings = (tokens, word), (hidden.tokens, hidden.tokens[hidden.place])
    return torch.cat([encode(net, vocab, *reading, tokens_b) for reading in readings], dim=-1)


class Window(NamedTuple):
    """A word, and the words around it that are read with it."""

    tokens: list[str]  # without <cls> and <sep>
    place: int  # of the word among them


def hide(vocab: Vocab, window: Window) -> Window:
    """The same with `<mask>` in the place of the word."""
    tokens, place = window
    return Window([*tokens[:place], vocab.to_tokens(vocab.mask_id), *tokens[place + 1 :]], place)


def as_pieces(vocab: Vocab, words: Sequence[str]) -> tuple[list[str], list[tuple[int, int]]]:
    """Words as the network reads them: the pieces, and from where to where each word goes."""
    pieces, spans = [], []
    for word in words:
        start = len(pieces)
        pieces += vocab.pieces(word)
        spans.append((start, len(pieces)))
    return pieces, spans


def use_vectors(
    net: BERTModel,
    vocab: Vocab,
    windows: Sequence[Window],
    encode: Callable[..., Iterator[Tensor] | list[Tensor]] = encode,
) -> Tensor:
    """The vector of each window's word after every layer: (1 + number of layers, B, D), on the CPU.

    A word of several pieces has their mean. `encode` may be `encode_with_dropout`.
    """
    rows, spans, longest = [], [], net.config.max_len - 2
    for tokens, place in windows:
        pieces, every = as_pieces(vocab, tokens)
        start, end = every[place]
        cut = max(0, end - longest)  # more pieces than positions: what stands before goes first
        rows.append(to_row(vocab, pieces[cut : cut + longest]))
        spans.append(slice(1 + max(start - cut, 0), 1 + end - cut))
    vectors = encode(net, vocab, rows)
    means = [row[:, span].mean(1) for row, span in zip(vectors, spans, strict=True)]
    return torch.stack(means, dim=1).cpu()


def read_use(net: BERTModel, vocab: Vocab, window: Window, is_hidden: bool = False) -> Tensor:
    """A use of a word as a vector: as it stands and hidden, (1 + number of layers, 2 D).

    The vector at `<mask>` tells what the rest of the sentence expects there. With `is_hidden` both
    readings hide the word, as those of hidden pairs do.
    """
    hidden = hide(vocab, window)
    return use_vectors(net, vocab, [hidden if is_hidden else window, hidden]).flatten(1)


def read_use_with_dropout(
    net: BERTModel, vocab: Vocab, window: Window, is_hidden: bool = False, repeats: int = 20
) -> Tensor:
    """The same use, read many times with dropout on: (1 + number of layers, repeats, 2 D)."""
    hidden = hide(vocab, window)
    readings = [hidden if is_hidden else window] * repeats + [hidden] * repeats
    vectors = use_vectors(net, vocab, readings, partial(encode_with_dropout, at_once=repeats))
    return torch.cat(vectors.split(repeats, dim=1), dim=2)
