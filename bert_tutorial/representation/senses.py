"""Do a network's vectors tell the senses of a word apart?

Some labelled occurrences are known, and held-out ones are asked: which sense's mean vector is
nearest?

Shapes: D hidden units.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..network.model import BERTModel
from ..notebook import track
from ..text.vocabulary import Vocab
from ..text.wikitext_format import Corpus
from .occurrences import Labels, Occurrence, labelled_occurrences
from .readings import both_readings


class Centroids(NamedTuple):
    """The mean vectors of a word's senses."""

    senses: list[str]  # in alphabetical order
    vectors: Tensor  # (number of senses, 2 D)


def sense_centroids(
    net: BERTModel, vocab: Vocab, text: str, occurrences: list[Occurrence], layer: int = -1
) -> Centroids:
    """The mean of each sense of a word, over `both_readings` of its occurrences."""
    vectors = both_readings(net, vocab, text, occurrences)[layer]
    senses = sorted({occurrence.sense for occurrence in occurrences})
    number = torch.tensor([senses.index(occurrence.sense) for occurrence in occurrences])
    return Centroids(
        senses, torch.stack([vectors[number == i].mean(0) for i in range(len(senses))])
    )


class SenseTask(NamedTuple):
    """One word: what is known of its occurrences in the training text, and what is asked."""

    known: Any  # features of the training occurrences, a row each
    known_senses: np.ndarray  # (rows,), strings
    asked: Any  # features of the held-out occurrences
    asked_senses: np.ndarray


def sense_tasks(
    corpus: Corpus, labels: Labels, features: Callable[[tuple, tuple], tuple]
) -> dict[str, SenseTask]:
    """What is known and what is asked of each word with two senses or more in the training text.

    Args:
        corpus: The text.
        labels: What gives the labelled occurrences of a text.
        features: From (text, occurrences) of the training text, and the same of the held-out text,
            the features of both, a row for each occurrence.

    Returns:
        A task for each word, in alphabetical order.
    """
    train, valid = labels(corpus.train), labels(corpus.valid)
    found = {}
    for word, held_out in track(valid.items(), "reading words in their sentences"):
        senses = np.array([occurrence.sense for occurrence in train.get(word, ())])
        if len(np.unique(senses)) < 2:
            continue
        known, asked = features((corpus.train, train[word]), (corpus.valid, held_out))
        wanted = np.array([occurrence.sense for occurrence in held_out])
        found[word] = SenseTask(known, senses, asked, wanted)
    return found


def vector_tasks(
    net: BERTModel,
    vocab: Vocab,
    corpus: Corpus,
    layer: int = -1,
    labels: Labels = labelled_occurrences,
) -> dict[str, SenseTask]:
    """For each labelled word the network's vectors: those known, and those that are asked.

    Each use is read twice, as it stands and hidden: see `both_readings`.

    Args:
        net, vocab: Network and vocabulary.
        corpus: A text whose headings name senses, from `read_text`.
        layer: 0 for the embeddings, 1 for the first layer, ..., -1 for the last.
        labels: What gives the labelled occurrences of a text, such as `HiddenPairs.labels`.

    Returns:
        A task for each word with at least two senses in the training text, in alphabetical order.
    """

    def features(text: str, occurrences: list) -> np.ndarray:
        return both_readings(net, vocab, text, occurrences)[layer].numpy()

    return sense_tasks(corpus, labels, lambda known, asked: (features(*known), features(*asked)))


def nearest_mean(known: np.ndarray, senses: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The sense whose mean vector is nearest: (rows, D), (rows,), (n, D) -> (n,)."""
    names = np.unique(senses)
    means = np.stack([known[senses == name].mean(0) for name in names])
    distances = torch.cdist(torch.from_numpy(asked), torch.from_numpy(means))
    return names[distances.argmin(1).numpy()]


class SenseScore(NamedTuple):
    """How well a word's vectors tell its senses apart."""

    accuracy: float  # of held-out occurrences, those nearest to the mean vector of their own sense
    chance: float  # of held-out occurrences, those of the more frequent sense
    num_held_out: int

    @property
    def interval(self) -> tuple[float, float]:
        """Where the accuracy could as well lie: 95 % interval for so many occurrences.

        >>> SenseScore(accuracy=0.9, chance=0.5, num_held_out=50).interval
        (0.786, 0.957)

        Source: Wilson 1927.
        """
        n, z2 = self.num_held_out, 1.96**2
        middle = (self.accuracy + z2 / (2 * n)) / (1 + z2 / n)
        variance = self.accuracy * (1 - self.accuracy) / n + z2 / (4 * n * n)
        half = 1.96 * variance**0.5 / (1 + z2 / n)
        return round(middle - half, 3), round(middle + half, 3)


def sense_scores(
    net: BERTModel,
    vocab: Vocab,
    corpus: Corpus,
    layer: int = -1,
    labels: Labels = labelled_occurrences,
) -> dict[str, SenseScore]:
    """For each labelled word: are its held-out occurrences nearest to the right sense?

    The means are taken over the training text, the occurrences are those of the validation text: no
    occurrence is judged by a mean that it is part of.

    Args:
        net, vocab, corpus, layer, labels: As in `vector_tasks`.

    Returns:
        A score for each word with at least two senses in the training text, in alphabetical order.
    """
    tasks = vector_tasks(net, vocab, corpus, layer, labels)
    return {word: score_task(task) for word, task in tasks.items()}


def score_task(task: SenseTask) -> SenseScore:
    """Ask about one word, with all that is known of it."""
    nearest = nearest_mean(task.known, task.known_senses, task.asked)
    right = (nearest == task.asked_senses).mean()
    _, counts = np.unique(task.asked_senses, return_counts=True)
    return SenseScore(float(right), counts.max() / counts.sum(), len(nearest))


def mean_accuracy(scores: dict[str, SenseScore]) -> float:
    """The mean over words, each counting the same."""
    return sum(score.accuracy for score in scores.values()) / len(scores)
