"""A sampled softmax: decode some of the words only.

With a large vocabulary most of a training step compares each hidden word's vector with every word
there is. Here a step compares it with the words that its own batch hides, and with some others that
are drawn by how frequent they are.

Source: Bengio and Senecal 2008; Jean et al. 2015, "On Using Very Large Target Vocabulary for Neural
Machine Translation".

Shapes: V vocabulary, C words that are decoded, N words to predict.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Sample(NamedTuple):
    """The words of one step."""

    words: Tensor  # (C,), ids that rise
    log_chance: Tensor  # (C,), logarithm of how likely it is that each is among them
    labels: Tensor  # (N,), the words to predict as places in `words`


class WordSampler:
    """Draws words to decode.

    Args:
        counts: How often each word stands in the training text, (V,).
        num_words: How many are drawn in the mean; the batch's own come on top.
    """

    def __init__(self, counts: Sequence[int], num_words: int):
        frequency = torch.tensor(counts, dtype=torch.float64) + 1
        self.frequency = frequency / frequency.sum()
        low, high = 0.0, 60.0  # logarithms of how many places of a text to draw
        for _ in range(60):
            middle = (low + high) / 2
            is_too_few = self.chance(middle).sum() < num_words
            low, high = (middle, high) if is_too_few else (low, middle)
        self.num_places = float(torch.tensor(high, dtype=torch.float64).exp())

    def chance(self, log_places: float) -> Tensor:
        """How likely each word stands at one of so many random places of a text: (V,)."""
        places = torch.tensor(log_places, dtype=torch.float64).exp()
        return -torch.expm1(-self.frequency * places)

    def draw(self, labels: Tensor) -> Sample:
        """Draw from PyTorch's own generator; `labels`, (N,), are always among the words."""
        frequency = self.frequency.to(labels.device, torch.float32)
        is_chosen = torch.rand_like(frequency) < -torch.expm1(-frequency * self.num_places)
        is_chosen[labels] = True
        words = is_chosen.nonzero()[:, 0]
        # A word is among them as a drawn one, or as one of N labels.
        chance = -torch.expm1(-frequency[words] * (self.num_places + len(labels)))
        return Sample(words, chance.log(), torch.searchsorted(words, labels))
