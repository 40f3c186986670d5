"""What a cosine of two tokens is compared with: the rest of the text.

All vectors of a network share a direction, so any two words look alike (Ethayarajh 2019, "How
contextual are contextualized word representations?"). The mean over a text takes it out (Mu and
Viswanath 2018, "All-but-the-top").

Shapes: L tokens of a sentence, D hidden units, N tokens of the text.
"""

import random
from collections import defaultdict
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ...network.model import BERTModel, dropout_off
from ...representation.encoding import cosine_similarity
from ...representation.occurrences import as_pieces, read_paragraphs
from ...text.pairs import get_tokens_and_segments
from ...text.vocabulary import Vocab

NUM_SENTENCES = 400
NUM_PAIRS = 2000


class Spread(NamedTuple):
    """Cosines of many pairs of tokens."""

    mean: float
    deviation: float


class Background:
    """Tokens of some sentences of a text, as a network reads them: each sentence by itself.

    Args:
        net, vocab: Network and vocabulary.
        text: A text in WikiText's format.
        num_sentences: How many, evenly spread over the text.

    Attributes:
        tokens: N of them, without the special ones.
        vectors: (1 + number of layers, N, D).
        mean: (1 + number of layers, 1, D), the direction that all have in common.
    """

    def __init__(self, net: BERTModel, vocab: Vocab, text: str, num_sentences: int = NUM_SENTENCES):
        sentences = [s for paragraph in read_paragraphs(text) for s in paragraph if len(s) > 2]
        longest = net.config.max_len - 2
        sentences = sentences or [s for paragraph in read_paragraphs(text) for s in paragraph]
        number = min(num_sentences, len(sentences))
        some = [sentences[i] for i in np.linspace(0, len(sentences) - 1, number).astype(int)]
        some = [as_pieces(vocab, tokens)[0][: min(longest, 62)] for tokens in some]
        self.tokens = [token for tokens in some for token in tokens]
        self.sentence = np.repeat(np.arange(len(some)), [len(tokens) for tokens in some])
        self.vectors = read_alone(net, vocab, some)
        self.mean = self.vectors.mean(1, keepdim=True)
        self._same, self._any = self._pairs()
        self.same_word = lru_cache(self._same_word)
        self.any_words = lru_cache(self._any_words)

    def _pairs(self) -> tuple[Tensor, Tensor]:
        """Numbers of tokens: (2, n) of one word in two sentences, (2, n) of any two words."""
        draw, places = random.Random(0), defaultdict(list)
        for i, token in enumerate(self.tokens):
            places[token].append(i)
        often = [where for where in places.values() if len(where) > 1]
        same = [draw.sample(draw.choice(often), 2) for _ in range(NUM_PAIRS if often else 0)]
        same = [pair for pair in same if self.sentence[pair[0]] != self.sentence[pair[1]]]
        anything = [draw.sample(range(len(self.tokens)), 2) for _ in range(NUM_PAIRS)]
        anything = [pair for pair in anything if self.tokens[pair[0]] != self.tokens[pair[1]]]
        return tuple(torch.tensor(pairs).reshape(-1, 2).T for pairs in (same, anything))

    def _spread(self, pairs: Tensor, layer: int, is_raw: bool) -> Spread:
        if not pairs.numel():
            return Spread(float("nan"), float("nan"))
        rows = self.vectors[layer] - (0 if is_raw else self.mean[layer])
        cosines = torch.cosine_similarity(*rows[pairs])
        return Spread(cosines.mean().item(), cosines.std().item())

    def _same_word(self, layer: int, is_raw: bool = False) -> Spread:
        """Cosines of one word in two sentences, over words that occur twice."""
        return self._spread(self._same, layer, is_raw)

    def _any_words(self, layer: int, is_raw: bool = False) -> Spread:
        """Cosines of two different words."""
        return self._spread(self._any, layer, is_raw)

    def cosines(self, rows: Tensor, columns: Tensor, layer: int, is_raw: bool = False) -> Tensor:
        """Cosines of vectors (n, D) and (m, D) of a layer, the common direction taken out: (n, m).

        Args:
            rows, columns: Vectors.
            layer: Of which layer they are.
            is_raw: True to leave the common direction in.
        """
        mean = 0 if is_raw else self.mean[layer]
        return cosine_similarity(rows - mean, columns - mean)


def read_alone(net: BERTModel, vocab: Vocab, sentences: list[list[str]]) -> Tensor:
    """All tokens of some sentences, each read by itself: (1 + number of layers, N, D)."""
    cls, sep = vocab.to_tokens([vocab.cls_id, vocab.sep_id])
    device, found = next(net.parameters()).device, []
    with dropout_off(net):
        for i in range(0, len(sentences), 128):
            rows = [get_tokens_and_segments(s, cls=cls, sep=sep)[0] for s in sentences[i : i + 128]]
            token_ids = nn.utils.rnn.pad_sequence(
                [torch.tensor(vocab[row]) for row in rows],
                batch_first=True,
                padding_value=vocab.pad_id,
            ).to(device)
            lengths = torch.tensor([len(row) for row in rows], device=device)
            places = torch.arange(token_ids.shape[1], device=device)
            is_token = (places > 0) & (places < lengths[:, None] - 1)
            layers = net.encoder.layers(token_ids, torch.zeros_like(token_ids), lengths)
            found.append(torch.stack([vectors[is_token] for vectors, _ in layers]).cpu())
    return torch.cat(found, dim=1)
