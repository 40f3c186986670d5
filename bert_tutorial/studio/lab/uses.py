"""The uses of one word in a corpus: which of two senses, which are nearest, a map.

Shapes: N occurrences, D hidden units.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer

from ...network.model import BERTModel
from ...representation.occurrences import (
    Labels,
    both_readings,
    find_uses,
    read_paragraphs,
    without_parts,
)
from ...representation.senses import (
    EVERY,
    MainDirections,
    draw_labels,
    let_join,
    sense_means,
    senses_of,
    word_log_probabilities,
    words_around,
)
from ...text.vocabulary import Vocab
from ...text.wikitext_format import Corpus

FEWEST = 5  # occurrences of a word that can be compared
NEAR = 10  # held-out occurrences with which a place between two senses is compared


class Use(NamedTuple):
    """An occurrence of a word in the corpus that is used much as the one that was asked for."""

    cosine: float
    tokens: list[str]
    place: int
    sense: str  # "" if nobody knows


class Place(NamedTuple):
    """Where a use stands between two senses, and what the held-out uses near it are."""

    position: float  # below 0 for the first sense; not cut off
    text: str  # as in `bird, 9 of 10`, `undecided: bird, 6 of 10` or `undecided: 0.12 ± 0.20`
    is_undecided: bool


def beside(
    position: float, senses: list[str], others: np.ndarray, of: np.ndarray, spread: float = 0.0
) -> Place:
    """A position between two senses beside the held-out ones `others`, of senses `of`.

    It is undecided where `spread` reaches the middle, or where fewer than two thirds of the nearest
    have its sense.
    """
    sense, nearest = senses[int(position > 0)], np.argsort(np.abs(others - position))[:NEAR]
    number = int((of[nearest] == sense).sum())
    text = f"{sense}, {number} of {len(nearest)}" if len(nearest) else sense
    if is_near := bool(abs(position) <= spread):  # then its neighbours say nothing
        text = f"{position:.2f} ± {spread:.2f}" if spread else "in the middle"
    is_undecided = is_near or 3 * number < 2 * len(nearest)
    return Place(position, f"undecided: {text}" if is_undecided else text, is_undecided)


class WordUses:
    """The uses of one word, or of a hidden pair such as "river/song", as a network reads them.

    Attributes:
        senses: The two names, in alphabetical order; [] if they are not known.
        occurrences, sentences, known, known_senses: In the training text, N, see `both_readings`.
        asked, asked_senses: The same of the held-out text; None without senses.
    """

    def __init__(self, net: BERTModel, vocab: Vocab, corpus: Corpus, word: str, labels: Labels):
        self.occurrences = labels(corpus.train).get(word) or find_uses(corpus.train, word)
        if len(self.occurrences) < FEWEST:
            raise ValueError(
                f"{word!r} stands {len(self.occurrences)} times in the training text: too seldom "
                f"to compare its uses, which takes {FEWEST}"
            )
        self.is_hidden, read = self.occurrences[0].is_hidden, read_paragraphs(corpus.train)
        self.sentences = [read[o.paragraph][o.sentence] for o in self.occurrences]
        self.known_senses = senses_of(self.occurrences)
        names = np.unique(self.known_senses).tolist()
        self.senses = names if len(names) == 2 else []
        known = both_readings(net, vocab, corpus.train, self.occurrences).numpy()
        self.known = without_parts(known, corpus, self.occurrences)  # so typed ones need no part
        self.asked, asked = None, labels(corpus.valid).get(word, [])
        self.asked_senses = senses_of(asked)
        if asked and self.senses:
            self.asked = both_readings(net, vocab, corpus.valid, asked).numpy()
        self.turn = lru_cache(lambda layer: MainDirections(self.known[layer]))
        self.means, self.alike = lru_cache(self.means), lru_cache(self.alike)

    def means(self, layer: int, number: int = EVERY) -> np.ndarray:
        """The means of the two senses, (2, 2 D), when so many occurrences of each have a label.

        The other occurrences join them without their labels: see `let_join`.
        """
        rows, chosen = self.known[layer], draw_labels(self.known_senses, number)
        rest = np.delete(rows, chosen, axis=0)
        return sense_means(*let_join(rows[chosen], self.known_senses[chosen], rest))[1]

    def positions(self, uses: np.ndarray, means: np.ndarray) -> np.ndarray:
        """Where uses (n, 2 D) stand between two means: -1 the first, 1 the second, not cut off."""
        axis = means[1] - means[0]
        return 2 * (uses - means.mean(0)) @ axis / max(axis @ axis, 1e-12)

    def cosines(self, uses: np.ndarray, others: np.ndarray, layer: int) -> np.ndarray:
        """How alike uses are, along the main directions of a layer: (n, 2 D), (m, 2 D) -> (n, m).

        In a mean over many uses, what only one of them has cancels out. Between two uses nothing
        does: so here the directions that matter are stretched.
        """
        return self.turn(layer)(uses) @ self.turn(layer)(others).T

    def place(self, use: np.ndarray, layer: int, number: int = EVERY, spread: float = 0.0) -> Place:
        """Where one use (2 D,) stands, and what held-out ones `beside` it are."""
        means = self.means(layer, number)
        position = float(self.positions(use[None], means)[0])
        asked = self.positions(self.asked[layer], means)
        return beside(position, self.senses, asked, self.asked_senses, spread)

    def accuracy(self, layer: int, number: int = EVERY) -> float | None:
        """How many held-out occurrences stand on the side of their own sense; None without any."""
        if self.asked is None:
            return None
        positions = self.positions(self.asked[layer], self.means(layer, number))
        return float((np.array(self.senses)[(positions > 0) * 1] == self.asked_senses).mean())

    def nearest(self, use: np.ndarray, layer: int) -> list[Use]:
        """The five occurrences used most alike one use (2 D,)."""
        cosines = self.cosines(self.known[layer], use[None], layer)[:, 0]
        found = ((float(cosines[i]), i, self.occurrences[i]) for i in np.argsort(-cosines)[:5])
        return [Use(cosine, self.sentences[i], o.position, o.sense) for cosine, i, o in found]

    def alike(self, layer: int) -> tuple[float, float] | None:
        """Median cosine of two held-out uses of one sense, and of two senses; None without any."""
        if self.asked is None:
            return None
        cosines = self.cosines(self.asked[layer], self.asked[layer], layer)
        same = self.asked_senses[:, None] == self.asked_senses
        parts = [cosines[np.triu(part, 1)] for part in (same, ~same)]
        return tuple(float(np.median(part)) for part in parts) if all(map(len, parts)) else None

    def map(
        self, layer: int, number: int, typed: list[np.ndarray]
    ) -> tuple[list[list[float]], tuple[str, str]]:
        """Where all occurrences and then typed uses lie in a plane, and the names of its axes.

        Where the senses are not known, the axes are the two main directions.
        """
        rows = self.known[layer]
        middle, axes = rows.mean(0), []
        rest, names = rows - middle, ("what differs most", "what differs most besides")
        if self.senses:
            means = self.means(layer, number)
            axes = [(means[1] - means[0]) / max(np.linalg.norm(means[1] - means[0]), 1e-12)]
            middle, rest = means.mean(0), rest - np.outer(rest @ axes[0], axes[0])
            names = "from {} to {}".format(*self.senses), "what differs most besides"
        axes = np.stack([*axes, *np.linalg.svd(rest, full_matrices=False)[2]][:2], axis=1)
        return ((np.stack([*rows, *typed]) - middle) @ axes).tolist(), names


class Bag:
    """The control that counts the words around: naive Bayes, told the same labels."""

    def __init__(self, corpus: Corpus, word: str, labels: Labels):
        known, asked = (labels(part)[word] for part in (corpus.train, corpus.valid))
        self.counter = CountVectorizer(analyzer=list)
        self.known = self.counter.fit_transform(words_around(corpus.train, known))
        self.asked = self.counter.transform(words_around(corpus.valid, asked))
        self.known_senses, self.asked_senses = senses_of(known), senses_of(asked)
        self.ahead = lru_cache(self.ahead)

    def ahead(self, number: int) -> tuple[list[str], np.ndarray]:
        """The senses, and how far each word puts the second ahead of the first, in nats."""
        chosen = draw_labels(self.known_senses, number)
        names, log_p = word_log_probabilities(self.known[chosen], self.known_senses[chosen])
        return names.tolist(), log_p[1] - log_p[0]

    def place(self, words: tuple[str, ...], place: int, number: int = EVERY) -> Place:
        """As `WordUses.place`, for a word among others."""
        senses, ahead = self.ahead(number)
        counts = self.counter.transform([words[:place] + words[place + 1 :]])
        nats = float((counts @ ahead)[0])
        found = beside(nats, senses, self.asked @ ahead, self.asked_senses)
        return found._replace(position=float(np.tanh(nats / 2)))
