"""Text as vectors: what a pretrained BERT makes of sentences, layer by layer, and how to tell meaning from noise.

Shapes: L positions, D hidden units, H heads.
"""

import contextlib
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .examples import get_tokens_and_segments
from .model import BERTModel, in_mode
from .vocabulary import MASK, SPECIAL_TOKENS, Vocab, tokenize


class Layers(NamedTuple):
    """Everything the encoder computes for one input."""

    tokens: list[str]  # L, special tokens included
    vectors: Tensor  # (1 + number of layers, L, D); [0] is the embeddings, [-1] the last layer
    attention: Tensor  # (number of layers, H, L, L); row i: how much position i looks at each position


@contextlib.contextmanager
def dropout_off(net: BERTModel):
    """Evaluation mode without gradients for a while; afterwards the network is in the mode it was in."""
    with in_mode(net, training=False), torch.no_grad():
        yield


def to_input(net: BERTModel, vocab: Vocab, tokens_a: Sequence[str], tokens_b: Sequence[str] | None = None):
    """Tokens with the special ones, and the two tensors that the network reads, (1, L) each."""
    for tokens in (tokens_a, tokens_b):
        if isinstance(tokens, str):
            raise TypeError(
                f"tokens must be a list such as {tokenize(tokens)[:4]}, but got the string {tokens!r}: use tokenize"
            )
    tokens, segments = get_tokens_and_segments(tokens_a, tokens_b)
    device = next(net.parameters()).device
    return tokens, torch.tensor([vocab[tokens]], device=device), torch.tensor([segments], device=device)


def get_bert_encoding(
    net: BERTModel, vocab: Vocab, tokens_a: Sequence[str], tokens_b: Sequence[str] | None = None
) -> Tensor:
    """The document's function: last-layer vectors of all tokens of a text or a pair of texts.

    Dropout is off, so the same text gives the same vectors; in the document it is on, and they differ every time.

    Args:
        net: The network; its mode is restored.
        vocab: Its vocabulary; a word that is not in it is read as `<unk>`.
        tokens_a: Tokens of the first text.
        tokens_b: Tokens of the second, or None.

    Returns:
        (1, L, D), where L counts `<cls>` and each `<sep>`.

    Raises:
        TypeError: A string where a list of tokens belongs.
        ValueError: More tokens than the network has positions.
    """
    _, token_ids, segments = to_input(net, vocab, tokens_a, tokens_b)
    with dropout_off(net):
        encoded, _, _ = net(token_ids, segments)
    return encoded


def get_layers(net: BERTModel, vocab: Vocab, tokens_a: Sequence[str], tokens_b: Sequence[str] | None = None) -> Layers:
    """Vectors after every layer, and every head's attention, for a text or a pair of texts."""
    tokens, token_ids, segments = to_input(net, vocab, tokens_a, tokens_b)
    with dropout_off(net):
        vectors, attention = zip(*net.encoder.layers(token_ids, segments, None), strict=True)
    return Layers(tokens, torch.cat(vectors), torch.cat(attention[1:]))


def cosine_similarity(rows: Tensor, columns: Tensor) -> Tensor:
    """Cosine of the angle between every row of (n, D) and every row of (m, D): (n, m), from -1 to 1."""
    return F.normalize(rows, dim=-1) @ F.normalize(columns, dim=-1).T


def compare_tokens(
    net: BERTModel, vocab: Vocab, text_a: str, text_b: str, layer: int = -1
) -> tuple[list[str], list[str], Tensor]:
    """How similar each token of one text is to each token of another, every text encoded by itself.

    Args:
        net, vocab: Network and vocabulary.
        text_a, text_b: What somebody typed.
        layer: 0 for the embeddings, 1 for the first layer, ..., -1 for the last.

    Returns:
        Tokens of a (n of them), tokens of b (m), and their cosine similarities (n, m), special tokens left out.

    Raises:
        ValueError: An empty text (the message says which), or one that is too long for the network.
    """
    tokens, vectors = [], []
    for name, text in (("first", text_a), ("second", text_b)):
        words = tokenize(text)
        if not words:
            raise ValueError(f"the {name} text has no word in it: type a sentence, for example: a crane is flying")
        tokens.append(words)
        vectors.append(get_layers(net, vocab, words).vectors[layer, 1:-1])
    return *tokens, cosine_similarity(*vectors)


def word_vector(
    net: BERTModel, vocab: Vocab, tokens: Sequence[str], word: str, tokens_b=None, layer: int = -1
) -> Tensor:
    """The vector (D,) of a word where it first occurs in `tokens`."""
    return get_layers(net, vocab, tokens, tokens_b).vectors[layer, place_of(word, tokens)]


def place_of(word: str, tokens: Sequence[str]) -> int:
    """Position of a word in the network's input, where `<cls>` is at 0."""
    if word not in tokens:
        raise ValueError(f"{word!r} is not among the tokens {list(tokens)}")
    return 1 + list(tokens).index(word)


def dropout_vectors(
    net: BERTModel, vocab: Vocab, tokens: Sequence[str], word: str, tokens_b=None, repeats: int = 40, seed: int = 0
) -> Tensor:
    """The vectors of a word in one and the same text, encoded many times with dropout on: what dropout alone makes of it.

    A difference between two contexts means something only if it is larger than the differences among these.

    Returns:
        (repeats, D), the word's vector where it first occurs in `tokens`.
    """
    place = place_of(word, tokens)
    _, token_ids, segments = to_input(net, vocab, tokens, tokens_b)
    devices = range(torch.cuda.device_count())
    with in_mode(net, training=True), torch.no_grad(), torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        return net.encoder(token_ids.repeat(repeats, 1), segments.repeat(repeats, 1), None)[:, place]


class Guess(NamedTuple):
    """One word that could stand at a masked place."""

    token: str
    probability: float


def fill_mask(net: BERTModel, vocab: Vocab, text: str, num_guesses: int = 5) -> list[list[Guess]]:
    """The likeliest words for every `<mask>` in a text.

    Args:
        net, vocab: Network and vocabulary.
        text: For example `a <mask> driver came`.
        num_guesses: How many words for each place.

    Returns:
        A list for every `<mask>`, in order, the likeliest guess first; special tokens are never guessed.
    """
    tokens = tokenize(text)
    places = [place for place, token in enumerate(tokens, start=1) if token == MASK]
    if not places:
        raise ValueError(
            f"there is no {MASK} in {text!r}: put one where a word should be guessed, as in: a {MASK} driver came"
        )
    _, token_ids, segments = to_input(net, vocab, tokens)
    with dropout_off(net):
        _, logits, _ = net(token_ids, segments, None, torch.tensor([places], device=token_ids.device))
    logits[..., : len(SPECIAL_TOKENS)] = float("-inf")
    best = torch.softmax(logits[0], dim=-1).topk(min(num_guesses, len(vocab) - len(SPECIAL_TOKENS)))
    return [
        [Guess(vocab.to_tokens(number), probability) for number, probability in zip(*row, strict=True)]
        for row in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    ]
