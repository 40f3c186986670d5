"""Do a network's vectors tell the senses of a word apart, and how many labels does that take?

Some labelled occurrences are known, and held-out ones are asked: which sense's mean vector is
nearest? The control, a bag, counts the neighbouring words. The network's vectors are made from text
that nobody labelled; so what pretraining is good for shows when labels are few.

Shapes: N occurrences, D numbers of each.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..devices import one_thread
from ..network.model import BERTModel
from ..notebook import track
from ..pretraining.cooccurrence import word_vectors
from ..text.tokenized import TokenizedText
from ..text.vocabulary import Vocab
from ..text.wikitext_format import Corpus, paragraphs
from .occurrences import (
    Labels,
    Occurrence,
    both_readings,
    labelled_occurrences,
    windows,
    without_parts,
)

EVERY = 0  # in the place of a number of labels: all that there are
DRAWS = 10  # of labels, for each number of them


class SenseTask(NamedTuple):
    """One word: what is known of its occurrences in the training text, and what is asked."""

    known: Any  # features of the training occurrences, (N, D)
    known_senses: np.ndarray  # (N,), strings
    asked: Any  # features of the held-out occurrences
    asked_senses: np.ndarray

    def with_features(self, change: Callable[[Any], Any]) -> "SenseTask":
        """The same task with other features, made of these."""
        return self._replace(known=change(self.known), asked=change(self.asked))


def sense_tasks(
    corpus: Corpus, labels: Labels, features: Callable[[str, list[Occurrence]], Any]
) -> dict[str, SenseTask]:
    """A task for each word of two senses or more; `features` are made of a text's occurrences."""
    train, valid = labels(corpus.train), labels(corpus.valid)
    found = {}
    for word, held_out in track(valid.items(), "reading words in their sentences"):
        senses = senses_of(train.get(word, []))
        if len(np.unique(senses)) >= 2:
            known, asked = features(corpus.train, train[word]), features(corpus.valid, held_out)
            found[word] = SenseTask(known, senses, asked, senses_of(held_out))
    return found


def senses_of(occurrences: list[Occurrence]) -> np.ndarray:
    """The senses of some occurrences: (N,), strings."""
    return np.array([occurrence.sense for occurrence in occurrences])


def vector_tasks(
    net: BERTModel,
    vocab: Vocab,
    corpus: Corpus,
    layer: int = -1,
    labels: Labels = labelled_occurrences,
) -> dict[str, SenseTask]:
    """For each labelled word the network's vectors of one layer, see `both_readings`.

    The known ones are `without_parts`, and so are their means and main directions.
    """

    def features(text: str, occurrences: list[Occurrence]) -> np.ndarray:
        found = both_readings(net, vocab, text, occurrences)[layer].numpy()
        return without_parts(found, corpus, occurrences) if text is corpus.train else found

    return sense_tasks(corpus, labels, features)


def words_around(text: str, occurrences: list[Occurrence]) -> list[list[str]]:
    """What a bag sees of each occurrence: the words around it, in the network's windows."""
    read = windows(text, occurrences)
    return [tokens[:place] + tokens[place + 1 :] for tokens, place, _ in read]


def bag_tasks(corpus: Corpus, labels: Labels = labelled_occurrences) -> dict[str, SenseTask]:
    """For each labelled word the counts of the words around it."""
    from sklearn.feature_extraction.text import CountVectorizer  # here: importing stays fast

    return {
        word: task.with_features(CountVectorizer(analyzer=list).fit(task.known).transform)
        for word, task in sense_tasks(corpus, labels, words_around).items()
    }


def averaged_tasks(
    vectors: Tensor, vocab: Vocab, corpus: Corpus, labels: Labels = labelled_occurrences
) -> dict[str, SenseTask]:
    """For each labelled word the mean of the vectors (V, D) of the words around it."""

    def features(text: str, occurrences: list[Occurrence]) -> np.ndarray:
        around = [vocab[words] for words in words_around(text, occurrences)]
        return np.stack([vectors[ids].mean(0) if ids else 0 * vectors[0] for ids in around])

    return sense_tasks(corpus, labels, features)


class MainDirections:
    """The directions in which the vectors of a word differ most, over all its occurrences.

    No label is used for it, only vectors `known` (N, D). Where a word has two senses, much of what
    differs is the sense.
    """

    def __init__(self, known: np.ndarray):
        self.mean = known.mean(0)
        _, strengths, directions = np.linalg.svd(known - self.mean, full_matrices=False)
        self.stretched = directions.T * (strengths / max(strengths[0], 1e-12)) ** 2

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        """(n, D) without the mean, each direction stretched by its variance, then to length 1."""
        turned = (vectors - self.mean) @ self.stretched
        lengths = np.linalg.norm(turned, axis=1, keepdims=True)
        return (turned / np.maximum(lengths, 1e-12)).astype(np.float32)


def main_directions(task: SenseTask) -> SenseTask:
    """The same task along the main directions; features of the network or of the bag."""
    dense = task.with_features(lambda part: part.toarray() if hasattr(part, "toarray") else part)
    return dense.with_features(MainDirections(dense.known))


def rare_words_count_more(task: SenseTask) -> SenseTask:
    """A bag's counts, weighted by how few occurrences have the word (tf-idf)."""
    from sklearn.feature_extraction.text import TfidfTransformer

    return task.with_features(TfidfTransformer(sublinear_tf=True).fit(task.known).transform)


def helped_controls(
    vocab: Vocab, corpus: Corpus, labels: Labels = labelled_occurrences
) -> dict[str, dict[str, SenseTask]]:
    """What can be told without a network, helped by main directions.

    A bag in which rare words count more, and word vectors made by counting, averaged.
    """
    text = TokenizedText.from_paragraphs(vocab, paragraphs(corpus.train))
    counted = word_vectors(text, vocab, window=10, size=128)
    bag = {word: rare_words_count_more(t) for word, t in bag_tasks(corpus, labels).items()}
    found = {"bag of words": bag, "word vectors": averaged_tasks(counted, vocab, corpus, labels)}
    return {
        name: {word: main_directions(task) for word, task in of.items()}
        for name, of in found.items()
    }


def sense_means(known: np.ndarray, senses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The names of the senses, in alphabetical order, and the mean vector of each, (senses, D)."""
    names = np.unique(senses)
    return names, np.stack([known[senses == name].mean(0) for name in names])


def nearest_mean(known: np.ndarray, senses: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The sense whose mean vector is nearest: (N, D), (N,), (n, D) -> (n,)."""
    names, means = sense_means(known, senses)
    distances = torch.cdist(torch.from_numpy(asked), torch.from_numpy(means))
    return names[distances.argmin(1).numpy()]


def word_log_probabilities(known: Any, senses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The names of the senses, and how probable each word is beside each, in nats: (senses, V)."""
    names = np.unique(senses)
    counts = (names[:, None] == senses) @ known + 0.5  # each word counts half a time more
    return names, np.log(counts) - np.log(counts.sum(1, keepdims=True))


def naive_bayes(known: Any, senses: np.ndarray, asked: Any) -> np.ndarray:
    """The sense that the counted words make likeliest: (N, V), (N,), (n, V) -> (n,)."""
    names, log_p = word_log_probabilities(known, senses)
    return names[(asked @ log_p.T).argmax(1)]


def let_join(
    known: np.ndarray, senses: np.ndarray, unlabelled: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Each occurrence without a label joins the sense whose mean is nearest, three times over.

    This is k-means that begins with labels: (N, D), (N,), (m, D) -> all rows (N + m, D), and their
    senses, told or joined.

    Source: Basu, Banerjee and Mooney 2002, "Semi-supervised clustering by seeding".
    """
    rows, joined = np.concatenate([known, unlabelled]), nearest_mean(known, senses, unlabelled)
    for _ in range(2):
        joined = nearest_mean(rows, np.concatenate([senses, joined]), unlabelled)
    return rows, np.concatenate([senses, joined])


def seeded_means(
    known: np.ndarray, senses: np.ndarray, asked: np.ndarray, unlabelled: np.ndarray
) -> np.ndarray:
    """The nearest mean, where occurrences without a label take part in the means."""
    return nearest_mean(*let_join(known, senses, unlabelled), asked)


class SenseScore(NamedTuple):
    """How well a word's vectors tell its senses apart."""

    accuracy: float  # of held-out occurrences, those nearest to the mean vector of their own sense
    num_held_out: int

    @property
    def interval(self) -> tuple[float, float]:
        """Where the accuracy could as well lie: 95 % for so many occurrences (Wilson 1927).

        >>> SenseScore(accuracy=0.9, num_held_out=50).interval
        (0.786, 0.957)
        """
        n, z2 = self.num_held_out, 1.96**2
        middle = (self.accuracy + z2 / (2 * n)) / (1 + z2 / n)
        variance = self.accuracy * (1 - self.accuracy) / n + z2 / (4 * n * n)
        half = 1.96 * variance**0.5 / (1 + z2 / n)
        return round(middle - half, 3), round(middle + half, 3)


def score_task(task: SenseTask) -> SenseScore:
    """Ask about one word, with all that is known of it."""
    nearest = nearest_mean(task.known, task.known_senses, task.asked)
    return SenseScore(float((nearest == task.asked_senses).mean()), len(nearest))


def sense_scores(
    net: BERTModel,
    vocab: Vocab,
    corpus: Corpus,
    layer: int = -1,
    labels: Labels = labelled_occurrences,
) -> dict[str, SenseScore]:
    """For each labelled word: are its held-out occurrences nearest to the right sense?

    The means are of the training text: no occurrence is judged by a mean that it is part of. Layer
    0 are the embeddings, 1 the first layer, -1 the last.
    """
    tasks = vector_tasks(net, vocab, corpus, layer, labels)
    return {word: score_task(task) for word, task in tasks.items()}


def mean_accuracy(scores: dict[str, SenseScore]) -> float:
    """The mean over words, each counting the same."""
    return sum(score.accuracy for score in scores.values()) / len(scores)


def draw_labels(senses: np.ndarray, number: int, draw: random.Random | None = None) -> list[int]:
    """So many occurrences of each sense, or EVERY one; without a generator always the same ones."""
    chosen = []
    for sense in np.unique(senses):
        places = np.flatnonzero(senses == sense).tolist()
        few = (draw or random.Random(f"0 {sense}")).sample(places, min(number, len(places)))
        chosen += places if number == EVERY else few
    return chosen


class LabelCurve(NamedTuple):
    """How many senses are right, by the number of labelled occurrences of each sense."""

    mean: dict[int, float]  # over words and draws
    spread: dict[int, float]  # standard deviation of that mean over the draws; 0 for EVERY


def label_curve(
    tasks: dict[str, SenseTask],
    classify: Callable[..., np.ndarray],
    numbers: Sequence[int] = (1, 2, 4, 8, 16, 32, EVERY),
    with_unlabelled: bool = False,
) -> LabelCurve:
    """Draw some labelled occurrences, classify the held-out ones, and count what is right.

    Every kind of features gets the same draws; without tasks the curve is empty. `with_unlabelled`,
    the classifier also gets the training occurrences that were not drawn, without their senses, as
    `seeded_means` wants.
    """
    mean, spread, numbers = {}, {}, numbers if tasks else ()
    with one_thread():  # thousands of small arrays
        for number in numbers:
            rounds = []
            for draw in range(1 if number == EVERY else DRAWS):
                generator, right = random.Random(f"0 {number} {draw}"), []
                for task in tasks.values():
                    chosen = draw_labels(task.known_senses, number, generator)
                    rest = [np.delete(task.known, chosen, axis=0)] if with_unlabelled else []
                    known = task.known[chosen], task.known_senses[chosen]
                    found = classify(*known, task.asked, *rest)
                    right.append((found == task.asked_senses).mean())
                rounds.append(np.mean(right))
            mean[number], spread[number] = float(np.mean(rounds)), float(np.std(rounds))
    return LabelCurve(mean, spread)
