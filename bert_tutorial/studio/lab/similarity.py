"""What a cosine of two tokens is compared with: the rest of the text.

All vectors of a network share a direction, so any two words look alike (Ethayarajh 2019). The mean
over a text takes it out (Mu and Viswanath 2018, "All-but-the-top").
"""

import random
from collections import defaultdict
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ...network.model import BERTModel
from ...representation.encoding import as_pieces, cosine_similarity, encode, to_row
from ...representation.occurrences import read_paragraphs
from ...text.vocabulary import Vocab

NUM_SENTENCES, NUM_PAIRS = 400, 2000  # of a text that are read, and of its words


class Background:
    """Tokens of some sentences of a text, evenly spread, as a network reads each by itself.

    Attributes:
        tokens: N of them, without the special ones.
        vectors: (1 + number of layers, N, D).
        mean: (1 + number of layers, 1, D), the direction that all have in common.
    """

    def __init__(self, net: BERTModel, vocab: Vocab, text: str):
        every = [sentence for paragraph in read_paragraphs(text) for sentence in paragraph]
        long = [sentence for sentence in every if len(sentence) > 2] or every
        places = np.linspace(0, len(long) - 1, min(NUM_SENTENCES, len(long))).astype(int)
        longest = min(net.config.max_len - 2, 62)
        some = [as_pieces(vocab, long[i])[0][:longest] for i in places]
        self.tokens = [token for tokens in some for token in tokens]
        self.sentence = [i for i, tokens in enumerate(some) for _ in tokens]
        read = encode(net, vocab, [to_row(vocab, tokens) for tokens in some], at_once=128)
        self.vectors = torch.cat([vectors[:, 1:-1] for vectors in read], dim=1).cpu()
        self.mean = self.vectors.mean(1, keepdim=True)
        self._pairs = self._draw_pairs()
        self.spreads = lru_cache(self._spreads)

    def _draw_pairs(self) -> tuple[Tensor, Tensor]:
        """Numbers of tokens: (2, n) of one word in two sentences, (2, n) of any two words."""
        draw, places = random.Random(0), defaultdict(list)
        for i, token in enumerate(self.tokens):
            places[token].append(i)
        often = [where for where in places.values() if len(where) > 1]
        same = [draw.sample(draw.choice(often), 2) for _ in range(NUM_PAIRS if often else 0)]
        same = [[i, j] for i, j in same if self.sentence[i] != self.sentence[j]]
        other = [draw.sample(range(len(self.tokens)), 2) for _ in range(NUM_PAIRS)]
        other = [[i, j] for i, j in other if self.tokens[i] != self.tokens[j]]
        return tuple(torch.tensor(p, dtype=torch.long).reshape(-1, 2).T for p in (same, other))

    def _spreads(self, layer: int, is_raw: bool = False) -> list[tuple[float, float]]:
        """Mean and deviation of cosines: one word in two sentences, two words; NaN without any."""
        rows = self.vectors[layer] - (0 if is_raw else self.mean[layer])
        every = [torch.cosine_similarity(*rows[pairs]) for pairs in self._pairs]
        nan = float("nan")
        return [(c.mean().item(), c.std().item()) if len(c) else (nan, nan) for c in every]

    def cosines(self, rows: Tensor, columns: Tensor, layer: int, is_raw: bool = False) -> Tensor:
        """Cosines (n, m), the direction that all have in common taken out unless `is_raw`."""
        mean = 0 if is_raw else self.mean[layer]
        return cosine_similarity(rows - mean, columns - mean)
