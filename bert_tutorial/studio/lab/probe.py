"""What a network knows so far: asked again and again while it trains."""

from typing import Any

import numpy as np

from ...network.model import BERTModel
from ...plots import shorten
from ...representation.fill_mask import fill_mask
from ...representation.occurrences import Occurrence, labels_for, occurrence_vectors
from ...representation.senses import nearest_mean, sense_means, senses_of
from ...text.vocabulary import Vocab
from ...text.wikitext_format import Corpus

LONGEST_LIST = 60  # uses of a word that are read, of each part of the text: it has to be quick


class Probe:
    """Asks a network about a sentence with a mask, and about a word with two senses of a corpus.

    Attributes:
        sentence: With a `<mask>`, or empty. May be changed at any time.
        word: One of `words`, or empty.
        words: Those whose senses are known, or hidden pairs.
    """

    def __init__(self, vocab: Vocab, corpus: Corpus):
        self.vocab, self.corpus, self.sentence, self.word = vocab, corpus, "", ""
        labels = labels_for(corpus)
        self._known, self._asked = labels(corpus.train), labels(corpus.valid)
        self.words = [
            word
            for word, uses in self._known.items()
            if len({use.sense for use in uses}) == 2 and len(self._asked.get(word, ())) >= 4
        ]

    def remarks(self) -> list[str]:
        """What one should know of the sentence: unknown words, and masks that are not asked."""
        tokens, said = self.vocab.tokenize(self.sentence), []
        mask, unk = self.vocab.to_tokens([self.vocab.mask_id, self.vocab.unk_id])
        if not tokens:
            said.append(f"There is no sentence: type one with {mask} where a word is hidden.")
        if unknown := self.vocab.unknown(tokens):
            words = shorten(", ".join(unknown), 200)
            said.append(f"Not in the vocabulary, so read as {unk}: {words}.")
        if tokens.count(mask) > 1:
            said.append(f"Only the first {mask} is asked.")
        return said

    def __call__(self, net: BERTModel) -> dict[str, Any]:
        """What a network makes of both.

        Of `sentence` its `guesses`, words with their probabilities, or the `problem`; of `word` how
        many of its held-out uses are `right`, `of` how many, and how far `apart` its senses are.
        """
        sentence, word, found = self.sentence, self.word, {}
        if sentence:
            found["sentence"] = sentence
            try:
                found["guesses"] = [
                    list(guess) for guess in fill_mask(net, self.vocab, sentence)[0]
                ]
            except ValueError as error:
                found["problem"] = str(error)
        if word in self.words:
            known, asked = spread_out(self._known[word]), spread_out(self._asked[word])
            vectors = occurrence_vectors(net, self.vocab, self.corpus.train, known).numpy()
            held_out = occurrence_vectors(net, self.vocab, self.corpus.valid, asked).numpy()
            right = nearest_mean(vectors, senses_of(known), held_out) == senses_of(asked)
            found |= {"word": word, "right": float(right.mean()), "of": len(asked)}
            found["apart"] = apart(vectors, senses_of(known))
        return found


def apart(vectors: np.ndarray, senses: np.ndarray) -> float:
    """The distance of the means of two senses, divided by the scatter of a use around its own.

    Vectors (N, D), senses (N,). Below 1 the two clouds overlap.
    """
    names, means = sense_means(vectors, senses)
    own = means[np.searchsorted(names, senses)]
    scatter = np.sqrt(((vectors - own) ** 2).sum(1).mean())
    return float(np.linalg.norm(means[0] - means[1]) / max(scatter, 1e-9))


def spread_out(uses: list[Occurrence]) -> list[Occurrence]:
    """At most LONGEST_LIST of them, from the whole text."""
    places = np.unique(np.linspace(0, len(uses) - 1, min(LONGEST_LIST, len(uses))).round())
    return [uses[int(place)] for place in places]
