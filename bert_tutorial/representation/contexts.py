"""One word in two contexts: d2l's crane, or a word that another text has."""

from typing import NamedTuple

from ..text.vocabulary import Vocab
from ..text.wikitext_format import Corpus, paragraphs


class Context(NamedTuple):
    """A sentence, or a pair of sentences, with a word in the first."""

    tokens_a: list[str]
    tokens_b: list[str] | None = None


class TwoContexts(NamedTuple):
    """A word, and two places where it stands."""

    word: str
    first: Context
    second: Context


CRANE = TwoContexts(
    "crane",
    Context(["a", "crane", "is", "flying"]),
    Context(["a", "crane", "driver", "came"], ["he", "just", "left"]),
)


def two_contexts(vocab: Vocab, corpus: Corpus, longest: int = 12) -> TwoContexts:
    """d2l's example where the vocabulary knows its words, else one of the corpus's own.

    Args:
        vocab: The vocabulary of the network.
        corpus: Where to look; held-out sentences are taken.
        longest: The most words of a sentence, if there are such short ones.

    Returns:
        A word in two sentences; that of another text is the longest word that stands in two
        paragraphs of its held-out part (long words are rarely words of grammar).

    Raises:
        ValueError: No word stands in two held-out paragraphs.
    """
    words = {*CRANE.first.tokens_a, *CRANE.second.tokens_a, *CRANE.second.tokens_b}
    if all(word in vocab for word in words):
        return CRANE
    places: dict[str, dict[int, list[str]]] = {}
    for number, paragraph in enumerate(paragraphs(corpus.valid)):
        for sentence in sorted(paragraph, key=len, reverse=True):
            for word in sentence:
                if word in vocab and vocab[word] not in vocab.special_ids:
                    places.setdefault(word, {})[number] = sentence  # the shortest comes last
    found = {word: list(where.values()) for word, where in places.items() if len(where) >= 2}
    if not found:
        raise ValueError("no word of the vocabulary stands in two held-out paragraphs")

    def fitness(word: str) -> tuple[bool, int, str]:
        short = sorted(map(len, found[word]))[1] <= longest
        return short, len(word), word

    word = max(found, key=fitness)
    first, second = sorted(found[word], key=len)[:2]
    return TwoContexts(word, Context(first), Context(second))
