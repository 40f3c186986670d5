"""One word in two contexts: d2l's crane, or a word that another text has."""

from collections import defaultdict
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
PREPARED = [  # sentences with a hidden word, and what stood there, if something did
    ("the crane built its <mask> in the reeds", None),
    ("please shut the <mask>", None),
]


def two_contexts(vocab: Vocab, corpus: Corpus) -> TwoContexts:
    """d2l's example where the vocabulary knows its words, else one of the corpus's own.

    That is the longest word that stands in two held-out paragraphs, for long words are rarely words
    of grammar; in sentences of 3 to 12 words, if there are such.
    """
    _, (first, _), (second, its_next) = CRANE
    if not vocab.unknown([*first, *second, *its_next]):
        return CRANE
    words, places = set(vocab.to_tokens(vocab.word_ids)), defaultdict(dict)
    for number, paragraph in enumerate(paragraphs(corpus.valid)):
        for sentence in map(tuple, paragraph):
            for word in words.intersection(sentence):
                # A sentence that is repeated, as in the frame of a page, counts once.
                places[word].setdefault(sentence, number)
    found = []
    for word, where in places.items():
        first, *others = sorted(where, key=lambda sentence: (len(sentence) < 3, len(sentence)))
        if second := next((s for s in others if where[s] != where[first]), None):
            fits = all(3 <= len(sentence) <= 12 for sentence in (first, second))
            found.append((word.isalpha(), fits, len(word), word, first, second))
    if not found:
        raise ValueError("no word of the vocabulary stands in two held-out paragraphs")
    *_, word, first, second = max(found)
    return TwoContexts(word, Context(list(first)), Context(list(second)))


def masked_sentences(vocab: Vocab, corpus: Corpus) -> list[tuple[str, str | None]]:
    """Two prepared sentences where the vocabulary knows their words, else two of the corpus."""
    if not any(vocab.unknown(vocab.tokenize(sentence)) for sentence, _ in PREPARED):
        return PREPARED
    (word, *contexts), mask = two_contexts(vocab, corpus), vocab.to_tokens(vocab.mask_id)
    return [(" ".join(mask if t == word else t for t in some), word) for some, _ in contexts]
