"""Word vectors from counting: which words stand near which. A network can begin with them.

Shapes: V vocabulary, D hidden units.
"""

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..network.model import INIT_STD, BERTModel
from ..text.tokenized import TokenizedText
from ..text.vocabulary import Vocab

if TYPE_CHECKING:
    from scipy.sparse import csr_array


def start_from_neighbours(net: BERTModel, text: TokenizedText, vocab: Vocab) -> None:
    """Let the token embeddings begin with counted word vectors, as widely spread as the noise.

    Gradients would need hundreds of steps. Special tokens, and lone words, keep their noise.
    """
    table, half = net.word_vectors, net.config.num_hiddens // 2
    # What stands right beside a word tells its grammar, what stands up to ten words away its topic.
    grammar = word_vectors(text, vocab, window=2, size=table.shape[1] - half)
    vectors = torch.cat([grammar, word_vectors(text, vocab, window=10, size=half)], dim=1)
    known = vectors.any(dim=1)
    # Otherwise text or network are too small to say anything.
    if known.any() and (spread := vectors[known].std(correction=0)) >= 1e-3:
        with torch.no_grad():
            table[known] = (vectors[known] * (INIT_STD / spread)).to(table)


@lru_cache(maxsize=4)  # a second run on the same text need not wait
def word_vectors(text: TokenizedText, vocab: Vocab, window: int, size: int) -> Tensor:
    """Vectors of words that stand near the same words: the strongest directions of the PPMI table.

    Each entry of the V x V table says how many times more often two words stand near each other
    than chance has it (positive pointwise mutual information: the logarithm, 0 where it is less).

    Args:
        text: The training text.
        vocab: Its special tokens get no vector.
        window: How many words away a neighbour may stand, in the same paragraph.
        size: Numbers in a vector.

    Returns:
        (V, size), float32, rows of length 1; 0 where nothing is known. A vocabulary of fewer words
        has zeros at the end of each row.

    Source: Bullinaria and Levy 2007; Levy and Goldberg 2014.
    """
    from sklearn.utils.extmath import randomized_svd  # here, so that importing stays fast

    table = ppmi(count_near(text, vocab, window))
    vectors, most = torch.zeros(len(vocab), size), min(size, len(vocab) - 1)
    if most and table.nnz:
        left, strengths, _ = randomized_svd(table, most, n_iter=4, random_state=0)
        vectors[:, :most] = torch.from_numpy(left * strengths**0.5)
    is_known = torch.from_numpy(table.sum(axis=1) > 0)
    return torch.nn.functional.normalize(vectors, dim=1) * is_known[:, None]


def count_near(text: TokenizedText, vocab: Vocab, window: int) -> "csr_array":
    """How often two words stand at most `window` apart in a paragraph: symmetric (V, V).

    Of a large text its beginning is counted, a share that fits into memory.
    """
    from scipy.sparse import csr_array

    text = text.beginning()
    ids = text.token_ids.numpy()
    lengths = text.sentence_starts[text.paragraph_starts].diff()
    paragraph = torch.arange(len(lengths)).repeat_interleave(lengths).numpy()
    is_word = ~np.isin(ids, vocab.special_ids)
    found = csr_array((len(vocab), len(vocab)), dtype=np.float32)
    for distance in range(1, window + 1):
        one, other = slice(None, -distance), slice(distance, None)
        both = (paragraph[one] == paragraph[other]) & is_word[one] & is_word[other]
        pairs = ids[one][both], ids[other][both]
        found += csr_array((np.ones(both.sum(), np.float32), pairs), shape=found.shape)
    return found + found.T


def ppmi(counts: "csr_array") -> "csr_array":
    """Positive pointwise mutual information."""
    if not counts.nnz:
        return counts
    counts = counts.tocoo()
    row, column = counts.coords
    of_word = np.bincount(row, counts.data, counts.shape[0])
    of_neighbour = of_word**0.75  # rare neighbours count less
    chance = of_word[row] * (of_neighbour / of_neighbour.sum())[column]
    counts.data = np.maximum(np.log(counts.data / chance).astype(np.float32), 0)
    return counts.tocsr()
