"""What a network knows so far: asked again and again while it trains."""

from typing import Any

import numpy as np

from ...network.model import BERTModel
from ...representation.fill_mask import fill_mask
from ...representation.occurrences import Occurrence, occurrence_vectors
from ...representation.pseudowords import labels_for
from ...representation.senses import nearest_mean
from ...text.vocabulary import Vocab
from ...text.wikitext_format import Corpus

LONGEST_LIST = 60  # uses of a word that are read, of each part of the text: it has to be quick


class Probe:
    """Asks a network about a sentence with a mask, and about a word with two senses.

    Args:
        vocab: The vocabulary of the networks.
        corpus: Its words are looked up there. If its headings name no senses, pairs of unrelated
            words are hidden, and which stood there takes the place of the sense.

    Attributes:
        sentence: With a `<mask>`, or empty. May be changed at any time.
        word: One of `words`, or empty.
        words: Those whose senses are known.
    """

    def __init__(self, vocab: Vocab, corpus: Corpus):
        self.vocab, self.corpus = vocab, corpus
        labels = labels_for(corpus)
        self._known, self._asked = labels(corpus.train), labels(corpus.valid)
        self.words = [word for word in self._known if self._is_usable(word)]
        self.sentence, self.word = "", ""

    def _is_usable(self, word: str) -> bool:
        senses = {use.sense for use in self._known[word]}
        return len(senses) == 2 and len(self._asked.get(word, ())) >= 4

    def __call__(self, net: BERTModel) -> dict[str, Any]:
        """What a network makes of both.

        Returns:
            `guesses`, the five likeliest words with their probabilities, of the first mask of
            `sentence`; of `word`, `right` (the part of its held-out uses that are nearest to the
            mean of their own sense) and `apart` (how far the two means are from each other, in
            units of how far uses are from the mean of their own sense). What cannot be told is
            left out, and `problem` says why.
        """
        sentence, word, found = self.sentence, self.word, {}
        if sentence:
            found["sentence"] = sentence
            try:
                (guesses, *_) = fill_mask(net, self.vocab, sentence)
                found["guesses"] = [[guess.token, guess.probability] for guess in guesses]
            except ValueError as error:
                found["problem"] = str(error)
        if word in self.words:
            found |= {"word": word, **self.senses(net, word)}
        return found

    def senses(self, net: BERTModel, word: str) -> dict[str, float]:
        """`apart` and `right` of one word of `words`."""
        known, asked = spread_out(self._known[word]), spread_out(self._asked[word])
        vectors = occurrence_vectors(net, self.vocab, self.corpus.train, known).numpy()
        held_out = occurrence_vectors(net, self.vocab, self.corpus.valid, asked).numpy()
        senses = np.array([use.sense for use in known])
        nearest = nearest_mean(vectors, senses, held_out)
        right = np.mean(nearest == np.array([use.sense for use in asked]))
        return {"right": float(right), "apart": apart(vectors, senses), "of": len(asked)}


def apart(vectors: np.ndarray, senses: np.ndarray) -> float:
    """How far the means of two senses are from each other, in units of the scatter around them.

    Args:
        vectors: (N, D).
        senses: (N,), two different ones.

    Returns:
        The distance of the means, divided by the root mean square distance of a use to the mean of
        its own sense. Below 1 the two clouds overlap.
    """
    names = np.unique(senses)
    means = np.stack([vectors[senses == name].mean(0) for name in names])
    own = means[np.searchsorted(names, senses)]
    scatter = np.sqrt(((vectors - own) ** 2).sum(1).mean())
    return float(np.linalg.norm(means[0] - means[1]) / max(scatter, 1e-9))


def spread_out(uses: list[Occurrence]) -> list[Occurrence]:
    """At most LONGEST_LIST of them, from the whole text."""
    places = np.unique(np.linspace(0, len(uses) - 1, min(LONGEST_LIST, len(uses))).round())
    return [uses[int(place)] for place in places]
