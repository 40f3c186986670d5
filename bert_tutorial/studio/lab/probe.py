"""What a network knows so far: asked again and again while it trains."""

from typing import Any

import numpy as np

from ...network.model import BERTModel
from ...representation.fill_mask import fill_mask
from ...representation.occurrences import Occurrence, labels_for, occurrence_vectors
from ...representation.senses import nearest_mean, sense_means, senses_of
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
        self.words = [
            word
            for word, uses in self._known.items()
            if len({use.sense for use in uses}) == 2 and len(self._asked.get(word, ())) >= 4
        ]
        self.sentence, self.word = "", ""

    def __call__(self, net: BERTModel) -> dict[str, Any]:
        """What a network makes of both.

        Returns:
            `guesses`, the five likeliest words with their probabilities, of the first mask of
            `sentence`; of `word`, `right` (the part of its `of` held-out uses that are nearest to
            the mean of their own sense) and `apart`, from the function of that name. What cannot be
            told is left out, and `problem` says why.
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
            known, asked = spread_out(self._known[word]), spread_out(self._asked[word])
            vectors = occurrence_vectors(net, self.vocab, self.corpus.train, known).numpy()
            held_out = occurrence_vectors(net, self.vocab, self.corpus.valid, asked).numpy()
            right = nearest_mean(vectors, senses_of(known), held_out) == senses_of(asked)
            found |= {"word": word, "right": float(right.mean())}
            found |= {"apart": apart(vectors, senses_of(known)), "of": len(asked)}
        return found


def apart(vectors: np.ndarray, senses: np.ndarray) -> float:
    """How far the means of two senses are from each other, in units of the scatter around them.

    Args:
        vectors: (N, D).
        senses: (N,), two different ones.

    Returns:
        The distance of the means, divided by the root mean square distance of a use to the mean of
        its own sense. Below 1 the two clouds overlap.
    """
    names, means = sense_means(vectors, senses)
    own = means[np.searchsorted(names, senses)]
    scatter = np.sqrt(((vectors - own) ** 2).sum(1).mean())
    return float(np.linalg.norm(means[0] - means[1]) / max(scatter, 1e-9))


def spread_out(uses: list[Occurrence]) -> list[Occurrence]:
    """At most LONGEST_LIST of them, from the whole text."""
    places = np.unique(np.linspace(0, len(uses) - 1, min(LONGEST_LIST, len(uses))).round())
    return [uses[int(place)] for place in places]
