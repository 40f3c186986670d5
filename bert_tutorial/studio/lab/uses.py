"""What the vectors of a word's uses tell: between two senses, which are nearest, a map.

Shapes: N occurrences, D hidden units.
"""

import random
from typing import NamedTuple

import numpy as np

from ...network.model import BERTModel
from ...representation.few_labels import EVERY, MainDirections, let_join
from ...representation.occurrences import Labels, Window, read_paragraphs
from ...representation.readings import both_readings, find_uses
from ...text.vocabulary import Vocab
from ...text.wikitext_format import Corpus

FEWEST = 5  # occurrences of a word that can be compared
NEAR = 10  # held-out occurrences with which a place between two senses is compared


class Place(NamedTuple):
    """Where a use stands between the two senses of its word."""

    position: float  # from -1, the first sense, to 1, the second
    sense: str  # the nearer one
    near: int  # of the held-out occurrences nearest to this place, how many there are,
    right: int  # and how many are of that sense


class WordUses:
    """The uses of one word in a corpus, as a network reads them.

    Args:
        net, vocab, corpus: Network, vocabulary, corpus.
        word: A word, or a hidden pair such as "river/song".
        labels: Labelled occurrences by part of the corpus, from `labels_for`. A word that has none
            there is looked up in the training text: its senses are not known then.

    Attributes:
        senses: The two names, in alphabetical order; [] if they are not known.
        occurrences: In the training text.
        known: For each layer, (N, 2 D), see `both_readings`.
        known_senses: (N,), strings.

    Raises:
        ValueError: The word stands less than five times in the training text.
    """

    def __init__(self, net: BERTModel, vocab: Vocab, corpus: Corpus, word: str, labels: Labels):
        self.net, self.vocab, self.corpus, self.word = net, vocab, corpus, word
        self.occurrences = labels(corpus.train).get(word) or find_uses(corpus.train, word)
        asked = labels(corpus.valid).get(word, [])
        if len(self.occurrences) < FEWEST:
            raise ValueError(
                f"{word!r} stands {len(self.occurrences)} times in the training text: too seldom "
                f"to compare its uses, which takes {FEWEST}"
            )
        self.is_hidden = self.occurrences[0].is_hidden
        self.known_senses = np.array([occurrence.sense for occurrence in self.occurrences])
        self.asked_senses = np.array([occurrence.sense for occurrence in asked])
        names = np.unique(self.known_senses).tolist()
        self.senses = names if len(names) == 2 else []
        self.known = both_readings(net, vocab, corpus.train, self.occurrences).numpy()
        self._turns = [MainDirections(layer) for layer in self.known]
        self._means: dict[tuple[int, int], np.ndarray] = {}
        self.asked = None
        if len(asked) and self.senses:
            self.asked = both_readings(net, vocab, corpus.valid, asked).numpy()

    def cosines(self, uses: np.ndarray, others: np.ndarray, layer: int) -> np.ndarray:
        """How alike uses are, along the main directions of a layer: (n, 2 D), (m, 2 D) -> (n, m).

        In a mean over many uses, what only one of them has cancels out. Between two uses nothing
        does: so here the directions that matter are stretched.
        """
        turn = self._turns[layer]
        return turn(uses) @ turn(others).T

    def labelled(self, number: int = EVERY, seed: int = 0) -> list[int]:
        """The occurrences whose sense is told: so many of each sense, drawn by the seed."""
        chosen = []
        for sense in self.senses:
            places = np.flatnonzero(self.known_senses == sense).tolist()
            few = random.Random(f"{seed} {sense}").sample(places, min(number, len(places)))
            chosen += places if number == EVERY else few
        return chosen

    def means(self, layer: int, number: int = EVERY) -> np.ndarray:
        """The means of the two senses, (2, 2 D), when so many occurrences of each have a label.

        The other occurrences join them without their labels: see `let_join`.
        """
        if (layer, number) in self._means:
            return self._means[layer, number]
        rows, chosen = self.known[layer], self.labelled(number)
        rest = np.delete(rows, chosen, axis=0)
        rows, senses = let_join(rows[chosen], self.known_senses[chosen], rest)
        means = np.stack([rows[senses == sense].mean(0) for sense in self.senses])
        self._means[layer, number] = means
        return means

    def positions(self, uses: np.ndarray, means: np.ndarray) -> np.ndarray:
        """Where uses (n, 2 D) stand between two means: -1 the first, 1 the second, not cut off."""
        axis = means[1] - means[0]
        return 2 * (uses - means.mean(0)) @ axis / max(axis @ axis, 1e-12)

    def place(self, use: np.ndarray, layer: int, means: np.ndarray) -> Place:
        """Where one use (2 D,) stands, and what held-out occurrences near this place are."""
        position = float(self.positions(use[None], means)[0])
        sense = self.senses[int(position > 0)]
        if self.asked is None:
            return Place(position, sense, 0, 0)
        of_asked = self.positions(self.asked[layer], means)
        nearest = np.argsort(np.abs(of_asked - position))[:NEAR]
        right = int((self.asked_senses[nearest] == sense).sum())
        return Place(position, sense, len(nearest), right)

    def accuracy(self, layer: int, means: np.ndarray) -> float | None:
        """How many held-out occurrences stand on the side of their own sense; None without any."""
        if self.asked is None:
            return None
        sides = np.array(self.senses)[(self.positions(self.asked[layer], means) > 0).astype(int)]
        return float((sides == self.asked_senses).mean())

    def nearest(self, use: np.ndarray, layer: int, number: int = 5) -> list[tuple[int, float]]:
        """The occurrences used most alike one use (2 D,): their numbers, and the cosines."""
        cosines = self.cosines(self.known[layer], use[None], layer)[:, 0]
        return [(int(i), float(cosines[i])) for i in np.argsort(-cosines)[:number]]

    def window(self, number: int) -> Window:
        """The sentence of an occurrence, as it is read when it stands alone."""
        occurrence = self.occurrences[number]
        tokens = read_paragraphs(self.corpus.train)[occurrence.paragraph][occurrence.sentence]
        return Window(tokens, occurrence.position)

    def alike(self, layer: int) -> tuple[float, float] | None:
        """Median cosine of two held-out uses of one sense, and of two senses; None without any."""
        if self.asked is None or len(np.unique(self.asked_senses)) < 2:
            return None
        rows, senses = self.asked[layer], self.asked_senses
        cosines, same = self.cosines(rows, rows, layer), senses[:, None] == senses
        above = np.triu(np.ones_like(same), 1)
        parts = [cosines[part & above] for part in (same, ~same)]
        return tuple(float(np.median(part)) for part in parts) if all(map(len, parts)) else None

    def map(self, layer: int, means: np.ndarray | None) -> "Map":
        """A map of all occurrences, and the way onto it."""
        rows = self.known[layer]
        rest = rows - rows.mean(0)
        if means is None:
            names = "first main direction", "second main direction"
            return Map(np.linalg.svd(rest, full_matrices=False)[2][:2].T, rows.mean(0), names)
        axis = means[1] - means[0]
        axis /= max(np.linalg.norm(axis), 1e-12)
        rest = rest - np.outer(rest @ axis, axis)
        first = np.linalg.svd(rest, full_matrices=False)[2][0]
        return Map(
            np.stack([axis, first], axis=1),
            means.mean(0),
            ("from one sense to the other", "main direction of the rest"),
        )


class Map(NamedTuple):
    """Two directions onto which uses are drawn."""

    directions: np.ndarray  # (2 D, 2)
    middle: np.ndarray  # (2 D,), drawn at (0, 0)
    names: tuple[str, str]

    def __call__(self, uses: np.ndarray) -> np.ndarray:
        """Uses (n, 2 D) -> (n, 2)."""
        return (uses - self.middle) @ self.directions
