"""How many labels does it take to tell a word's senses apart? A network against a bag of words.

Both are told the same labelled occurrences and asked about the same held-out ones. The network has
vectors of its own making, from text that nobody labelled; the bag counts the neighbouring words.
What pretraining is good for shows when labels are few.

Shapes: D hidden units.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.sparse import issparse
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.naive_bayes import MultinomialNB
from torch import Tensor

from ..text.vocabulary import Vocab
from ..text.wikitext_format import Corpus
from .occurrences import Labels, labelled_occurrences, windows
from .senses import SenseTask, nearest_mean, sense_tasks

EVERY = 0  # in the place of a number of labels: all that there are


Classifier = Callable[..., np.ndarray]  # known, its senses, asked (, unlabelled) -> senses


def naive_bayes(known: Any, senses: np.ndarray, asked: Any) -> np.ndarray:
    """The sense that the counted words make likeliest: (rows, V), (rows,), (n, V) -> (n,)."""
    return MultinomialNB(alpha=0.5, fit_prior=False).fit(known, senses).predict(asked)


def let_join(
    known: np.ndarray, senses: np.ndarray, unlabelled: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Each occurrence without a label joins the sense whose mean is nearest, three times over.

    This is k-means that begins with labels.

    Args:
        known, senses: As in `nearest_mean`.
        unlabelled: (m, D), occurrences whose sense nobody told.

    Returns:
        All rows (rows + m, D), and their senses, told or joined.

    Source: Basu, Banerjee and Mooney 2002, "Semi-supervised clustering by seeding".
    """
    rows, labels = known, senses
    for _ in range(3):
        joined = nearest_mean(rows, labels, unlabelled)
        rows, labels = np.concatenate([known, unlabelled]), np.concatenate([senses, joined])
    return rows, labels


def seeded_means(
    known: np.ndarray, senses: np.ndarray, asked: np.ndarray, unlabelled: np.ndarray
) -> np.ndarray:
    """The nearest mean, where occurrences without a label take part in the means."""
    return nearest_mean(*let_join(known, senses, unlabelled), asked)


def bag_tasks(
    corpus: Corpus, labels: Labels = labelled_occurrences, max_len: int = 64
) -> dict[str, SenseTask]:
    """For each labelled word the counts of the words around it, in the network's windows."""

    def around(text: str, occurrences: list) -> list[list[str]]:
        read = windows(text, occurrences, max_len)
        return [tokens[:place] + tokens[place + 1 :] for tokens, place in read]

    def features(known: tuple, asked: tuple) -> tuple:
        counter = CountVectorizer(analyzer=list)
        return counter.fit_transform(around(*known)), counter.transform(around(*asked))

    return sense_tasks(corpus, labels, features)


def averaged_tasks(
    vectors: Tensor,
    vocab: Vocab,
    corpus: Corpus,
    labels: Labels = labelled_occurrences,
    max_len: int = 64,
) -> dict[str, SenseTask]:
    """For each labelled word the mean vector of the words around it, in the network's windows.

    Args:
        vectors: (V, D), a vector for each entry of the vocabulary, such as `word_vectors` counts.
        vocab, corpus, labels, max_len: As in `vector_tasks`.
    """

    def features(text: str, occurrences: list) -> np.ndarray:
        read = windows(text, occurrences, max_len)
        around = [vocab[tokens[:place] + tokens[place + 1 :]] for tokens, place in read]
        means = [vectors[ids].mean(0) if ids else torch.zeros_like(vectors[0]) for ids in around]
        return torch.stack(means).numpy()

    return sense_tasks(corpus, labels, lambda known, asked: (features(*known), features(*asked)))


class MainDirections:
    """The directions in which the vectors of a word differ most, over all its occurrences.

    No label is used for it. Where a word has two senses, much of what differs is the sense.

    Args:
        known: (rows, D), a vector for each occurrence.
    """

    def __init__(self, known: np.ndarray):
        self.mean = known.mean(0)
        _, strengths, directions = np.linalg.svd(known - self.mean, full_matrices=False)
        self.stretched = directions.T * (strengths / max(strengths[0], 1e-12)) ** 2

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        """Vectors (n, D) without the mean, each main direction stretched by its variance.

        Returns:
            (n, number of directions), float32, rows of length 1.
        """
        turned = (vectors - self.mean) @ self.stretched
        lengths = np.linalg.norm(turned, axis=1, keepdims=True)
        return (turned / np.maximum(lengths, 1e-12)).astype(np.float32)


def main_directions(task: SenseTask) -> SenseTask:
    """The same task along the main directions; features of the network or of the bag."""
    known, asked = (part.toarray() if issparse(part) else part for part in (task.known, task.asked))
    turn = MainDirections(known)
    return task._replace(known=turn(known), asked=turn(asked))


def rare_words_count_more(task: SenseTask) -> SenseTask:
    """A bag's counts, weighted by how few occurrences have the word (tf-idf)."""
    weights = TfidfTransformer(sublinear_tf=True).fit(task.known)
    return task._replace(known=weights.transform(task.known), asked=weights.transform(task.asked))


class LabelCurve(NamedTuple):
    """How many senses are right, by the number of labelled occurrences of each sense."""

    mean: dict[int, float]  # over words and draws
    spread: dict[int, float]  # standard deviation of that mean over the draws; 0 for EVERY


def label_curve(
    tasks: dict[str, SenseTask],
    classify: Classifier,
    numbers: Sequence[int] = (1, 2, 4, 8, 16, 32, EVERY),
    draws: int = 10,
    seed: int = 0,
    with_unlabelled: bool = False,
) -> LabelCurve:
    """Draw some labelled occurrences, classify the held-out ones, and count what is right.

    Args:
        tasks: From `vector_tasks` or `bag_tasks`.
        classify: `nearest_mean` for vectors, `naive_bayes` for counts.
        numbers: How many labelled occurrences of each sense.
        draws: How often to draw them. The same seed gives the same draws to every kind of features.
        seed: What the draws follow from.
        with_unlabelled: Whether the classifier is also shown the training occurrences that were not
            drawn, without their senses, as `seeded_means` wants.

    Returns:
        Accuracies from 0 to 1, each word counting the same.
    """
    mean, spread = {}, {}
    for number in numbers:
        rounds = []
        for draw in range(1 if number == EVERY else draws):
            generator = random.Random(f"{seed} {number} {draw}")
            rounds.append(
                np.mean(
                    [
                        _accuracy(task, classify, number, generator, with_unlabelled)
                        for task in tasks.values()
                    ]
                )
            )
        mean[number], spread[number] = float(np.mean(rounds)), float(np.std(rounds))
    return LabelCurve(mean, spread)


def _accuracy(
    task: SenseTask,
    classify: Classifier,
    number: int,
    generator: random.Random,
    with_unlabelled: bool,
) -> float:
    """Accuracy of one word after one draw of labels."""
    chosen = []
    for sense in np.unique(task.known_senses):
        places = np.flatnonzero(task.known_senses == sense).tolist()
        chosen += places if number == EVERY else generator.sample(places, min(number, len(places)))
    others = [np.delete(task.known, chosen, axis=0)] if with_unlabelled else []
    found = classify(task.known[chosen], task.known_senses[chosen], task.asked, *others)
    return float((found == task.asked_senses).mean())
