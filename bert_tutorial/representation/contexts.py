"""One word in two contexts: d2l's crane, or a word that another text has."""

from collections.abc import Sequence
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

    That is the longest word that stands in two held-out paragraphs, for long words are rarely words
    of grammar; in sentences of 3 to `longest` words, if there are such.
    """
    words = {*CRANE.first.tokens_a, *CRANE.second.tokens_a, *CRANE.second.tokens_b}
    if all(word in vocab for word in words):
        return CRANE
    places: dict[str, dict[tuple[str, ...], int]] = {}
    for number, paragraph in enumerate(paragraphs(corpus.valid)):
        for sentence in paragraph:
            for word in sentence:
                if word in vocab and vocab[word] not in vocab.special_ids:
                    # A sentence that is repeated, as in the frame of a page, counts once.
                    places.setdefault(word, {}).setdefault(tuple(sentence), number)
    found = {}
    for word, where in places.items():
        first, *others = sorted(where, key=lambda sentence: (len(sentence) < 3, len(sentence)))
        if second := next((s for s in others if where[s] != where[first]), None):
            found[word] = (first, second)
    if not found:
        raise ValueError("no word of the vocabulary stands in two held-out paragraphs")

    def fitness(word: str) -> tuple[bool, bool, int, str]:
        lengths = [len(sentence) for sentence in found[word]]
        return word.isalpha(), min(lengths) >= 3 and max(lengths) <= longest, len(word), word

    word = max(found, key=fitness)
    return TwoContexts(word, *(Context(list(sentence)) for sentence in found[word]))


class MaskedSentence(NamedTuple):
    """A sentence with a hidden word."""

    sentence: str  # with <mask>
    answer: str | None  # what stood there, if something did


CRANES = (
    MaskedSentence("the crane lifted the <mask> with its hook", None),
    MaskedSentence("the crane built its <mask> in the reeds", None),
)


def masked_sentences(vocab: Vocab, corpus: Corpus) -> Sequence[MaskedSentence]:
    """Two sentences on cranes where the vocabulary knows their words, else two of the corpus."""
    if not any(vocab.unknown(vocab.tokenize(sentence)) for sentence, _ in CRANES):
        return CRANES
    word, *contexts = two_contexts(vocab, corpus)
    mask = vocab.to_tokens(vocab.mask_id)
    hidden = ([mask if t == word else t for t in context.tokens_a] for context in contexts)
    return [MaskedSentence(" ".join(tokens), word) for tokens in hidden]
