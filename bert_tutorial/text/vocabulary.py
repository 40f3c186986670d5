"""From text to tokens, and from tokens to ids.

What someone types is cut the way WikiText-2 is cut, so that it meets the tokens of training.
"""

import copy
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import regex
import torch
from torch import Tensor

SPECIAL_TOKENS = UNK, PAD, MASK, CLS, SEP = "<unk>", "<pad>", "<mask>", "<cls>", "<sep>"
LARGEST = 30_000  # words of a vocabulary; published BERT's has 30,522 entries
# Of all scripts: Unicode's property Sentence_Terminal (it lacks Tibetan's), and an ellipsis.
# Training texts do not hold all of these.
SENTENCE_END = regex.compile(r"(?:[\p{STerm}།༎…]|\.+)")

# One way to write what has several: typographic quotation marks, apostrophes and hyphens become
# plain ones, and printers' ligatures become letters.
_PLAIN = str.maketrans(dict.fromkeys("‘’‚‛ʼ＇", "'") | dict.fromkeys("“”„‟«»＂", '"'))
_PLAIN |= str.maketrans(dict.fromkeys("‐‑", "-") | {"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl"})
# Soft hyphens, marks of direction, zero-width spaces, variation selectors; and the second dot that
# lower-casing leaves on an "İ".
_UNSEEN = "\\p{Cf}\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef"
_INVISIBLE = regex.compile(rf"(?<=i)[\u0307{_UNSEEN}]+|[{_UNSEEN}]")
_CONTROL = regex.compile(r"\p{Cc}")  # line ends, tabs and what else no one sees
_JOINER = regex.compile(r"(?<=\d)[.,](?=\d)|(?<=\p{L}|\p{M}|\d)-(?=\p{L}|\d)")
# Scripts without spaces: as in BERT, each of these characters is a token.
_CJK = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002fa1f"
_TOKEN = regex.compile(
    r"<unk>|<mask>"  # the two special tokens that may stand in a text
    r"|@[-.,]@"  # WikiText's joiners: "long-legged" is long @-@ legged, "3.5" is 3 @.@ 5
    r"|(?:\p{L}\.){2,}"  # u.s.
    r"|'(?:s|t|m|d|re|ve|ll)\b"  # crane 's, don 't
    rf"|[{_CJK}]\p{{M}}*"
    rf"|[^\W_{_CJK}]+(?:\p{{M}}+[^\W_{_CJK}]*)*"  # a word: letters and digits, each with its marks
    r"|\.{2,}"  # an ellipsis
    r"|[🇦-🇿]{2}"  # a flag
    r"|\S[\p{M}🏻-🏿]*"  # any other sign, with its marks or its colour of skin
)


def tokenize(text: str) -> list[str]:
    """Cut a text into lower-cased word and punctuation tokens, as WikiText-2 is cut.

    >>> tokenize("The crane's 3.5-metre wings")
    ['the', 'crane', "'s", '3', '@.@', '5', '@-@', 'metre', 'wings']
    """
    text = _CONTROL.sub(" ", text.lower())
    if not text.isascii():  # plain English has nothing of this
        text = unicodedata.normalize("NFC", _INVISIBLE.sub("", text)).translate(_PLAIN)
    return _TOKEN.findall(_JOINER.sub(lambda joiner: f" @{joiner[0]}@ ", text))


def fitting_min_freq(frequencies: Counter, min_freq: int, largest: int = LARGEST) -> int:
    """The smallest frequency, from `min_freq` on, that at most `largest` words reach."""
    ranked = sorted(frequencies.values(), reverse=True)
    return max(min_freq, ranked[largest] + 1) if len(ranked) > largest else min_freq


class Word(NamedTuple):
    """A word among some tokens: its first token, the one behind its last, and its text."""

    start: int
    end: int
    text: str


class Vocab:
    """A two-way table of tokens and their ids, and the tokenizer that goes with it.

    The special tokens come first, then the words from the most to the least frequent. Nothing else
    knows which ids are special, or how a text is cut, so another kind can stand in its place.

    >>> vocab = Vocab("a crane lifts a crane over a wall".split(), min_freq=2)
    >>> vocab.itos
    ['<unk>', '<pad>', '<mask>', '<cls>', '<sep>', 'a', 'crane']
    >>> vocab[vocab.tokenize("A crane lifts")]
    [5, 6, 0]

    Attributes:
        itos: Token of each id.
        counts: How often each entry occurs in the training text; `<unk>` counts the rare words.
        unk_id, pad_id, mask_id, cls_id, sep_id: Ids of the special tokens; `special_ids` has all.
        word_ids: Tensor of the other ids: what may be drawn as a random word, or guessed.
    """

    def __init__(self, tokens: Iterable[str], min_freq: int = 1):
        frequencies = Counter(tokens)
        words = sorted(
            (w for w, n in frequencies.items() if n >= min_freq and w not in SPECIAL_TOKENS),
            key=lambda word: (-frequencies[word], word),
        )
        unknown = frequencies.total() - sum(frequencies[word] for word in words)
        counts = [unknown, 0, 0, 0, 0, *(frequencies[word] for word in words)]
        self._set([*SPECIAL_TOKENS, *words], counts)

    @classmethod
    def from_counts(
        cls, itos: Sequence[str], counts: Sequence[int], special: Sequence[str] = SPECIAL_TOKENS
    ) -> "Vocab":
        """Rebuild a vocabulary from its saved `itos` and `counts`.

        Another kind has other `special` tokens, in the same order.
        """
        if special is SPECIAL_TOKENS and tuple(itos[:5]) != SPECIAL_TOKENS:
            raise ValueError(f"a vocabulary begins with {list(SPECIAL_TOKENS)}, not {itos[:5]}")
        vocab = cls.__new__(cls)
        vocab._set(list(itos), list(counts), special)
        return vocab

    def _set(self, itos: list[str], counts: list[int], special: Sequence = SPECIAL_TOKENS) -> None:
        self.itos, self.counts = itos, counts
        self._stoi = {token: number for number, token in enumerate(itos)}
        self.special_ids = tuple(self._stoi[token] for token in special)
        self.unk_id, self.pad_id, self.mask_id, self.cls_id, self.sep_id = self.special_ids
        is_word = torch.ones(len(itos)).index_fill(0, torch.tensor(self.special_ids), 0)
        self.word_ids = is_word.nonzero().flatten()

    def counted(self, counts: Sequence[int]) -> "Vocab":
        """The same vocabulary with the counts of another text."""
        vocab = copy.copy(self)
        vocab.counts = list(counts)
        return vocab

    def __len__(self) -> int:
        return len(self.itos)

    def __contains__(self, token: str) -> bool:
        return token in self._stoi

    def __getitem__(self, tokens: str | Iterable[str]) -> int | list[int]:
        """Id of a token, or ids of several; one without an entry has that of `<unk>`."""
        if isinstance(tokens, str):
            return self._stoi.get(tokens, self.unk_id)
        return [self._stoi.get(token, self.unk_id) for token in tokens]

    def to_tokens(self, ids: int | Sequence[int] | Tensor) -> str | list[str]:
        """Token of an id, or list of tokens of a list or one-dimensional tensor of ids."""
        ids = ids.tolist() if isinstance(ids, Tensor) else ids
        return self.itos[ids] if isinstance(ids, int) else [self.itos[number] for number in ids]

    def tokenize(self, sentence: str) -> list[str]:
        """Cut what somebody typed into the tokens that this vocabulary is made of.

        A sentence end without an entry is left out; an abbreviation with one keeps its full stop.

        >>> Vocab("mr. crane left".split()).tokenize("Mr. Crane left.")
        ['mr.', 'crane', 'left']
        """
        cut, tokens = tokenize(sentence), []
        for number, token in enumerate(cut):
            before = cut[number - 1] if number else None
            # The last full stop ends the sentence: "he said no." has no abbreviation in it.
            may_belong = tokens[-1:] == [before] and (number + 1 < len(cut) or before not in self)
            if token == "." and may_belong and f"{before}." in self:
                tokens[-1] += "."
            elif token in self or not SENTENCE_END.fullmatch(token):
                tokens.append(token)
        return tokens

    def unknown(self, tokens: Iterable[str]) -> list[str]:
        """Tokens that have no entry and are read as `<unk>`, each once, in order."""
        return [token for token in dict.fromkeys(tokens) if token not in self]

    def words(self, tokens: Sequence[str]) -> list[Word]:
        """Which tokens form one word. Here each is one; in `WordPieceVocab` several may be."""
        return [Word(place, place + 1, token) for place, token in enumerate(tokens)]

    def pieces(self, word: str) -> list[str]:
        """What one word is read as. Here it is one token; in `WordPieceVocab` it may be several."""
        return [word]


def vocab_of(frequencies: Counter, min_freq: int | None, least: int) -> Vocab:
    """The vocabulary of a text: words that occur `min_freq` times.

    If that is None, those that occur `least` times, or more often where that leaves more words
    than can be trained with (`fitting_min_freq`).
    """
    min_freq = min_freq or fitting_min_freq(frequencies, least)
    vocab = Vocab(frequencies, min_freq)
    if not len(vocab.word_ids):
        raise ValueError(f"no word occurs {min_freq} times: a smaller min_freq leaves some")
    return vocab
