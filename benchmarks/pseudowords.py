"""Pseudowords: labelled senses for any text, without anybody's annotation."""

import random
import re
from collections import Counter

from bert_tutorial.representation.occurrences import Occurrence
from bert_tutorial.text.wikitext_format import Corpus, paragraphs


class Pseudowords:
    """A corpus in which pairs of unrelated words are merged.

    Every "river" and every "song", say, becomes "river|song". Which of the two stood there is
    known, and only the context can tell. The words are drawn from the vocabulary by their
    frequency, in pairs that are similarly frequent.

    Args:
        corpus: Any corpus.
        num_pairs: How many pairs of words.
        lowest, highest: How often a word stands in the training text.
        seed: What the draw follows from.

    Attributes:
        corpus: The corpus with merged words.
        pairs: The words that were merged.

    Raises:
        ValueError: Not enough words of that frequency.

    Source: Schuetze 1992 and Gale, Church and Yarowsky 1992, who tested programs that tell senses
    apart in this way.
    """

    def __init__(
        self,
        corpus: Corpus,
        num_pairs: int = 24,
        lowest: int = 200,
        highest: int = 2000,
        seed: int = 0,
    ):
        parts = [part.lower() for part in (corpus.train, corpus.valid)]
        counts = Counter(token for token in parts[0].split() if token.isalpha())
        words = sorted(word for word, count in counts.items() if lowest <= count <= highest)
        if len(words) < 2 * num_pairs:
            raise ValueError(
                f"{num_pairs} pairs need {2 * num_pairs} words that occur {lowest} to {highest} "
                f"times in the training text, but it has {len(words)}"
            )
        chosen = random.Random(seed).sample(words, 2 * num_pairs)
        chosen.sort(key=lambda word: (counts[word], word))
        self.pairs = list(zip(chosen[::2], chosen[1::2], strict=True))
        self._merged = {word: "|".join(pair) for pair in self.pairs for word in pair}
        pattern = re.compile(rf"(?<!\S)({'|'.join(chosen)})(?!\S)")
        merged = [pattern.sub(lambda found: self._merged[found[0]], part) for part in parts]
        self.corpus = Corpus(f"{corpus.name} with pseudowords", *merged)
        self._original = dict(zip(merged, parts, strict=True))

    def labels(self, text: str) -> dict[str, list[Occurrence]]:
        """The labelled occurrences of the pseudowords; the sense is the word that stood there.

        Args:
            text: `self.corpus.train` or `self.corpus.valid`.

        Returns:
            For each pseudoword, in alphabetical order, its occurrences in the order of the text.
        """
        found: dict[str, list[Occurrence]] = {}
        for number, paragraph in enumerate(paragraphs(self._original[text])):
            for i, sentence in enumerate(paragraph):
                for j, token in enumerate(sentence):
                    if merged := self._merged.get(token):
                        found.setdefault(merged, []).append(Occurrence(number, i, j, token))
        return dict(sorted(found.items()))
