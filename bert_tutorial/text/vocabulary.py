"""From text to tokens, and from tokens to ids.

A token is a lower-cased word or a punctuation mark, cut the way WikiText-2 is cut, so that a
sentence someone types meets the same tokens that the network was trained on.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple, overload

import regex
import torch
from torch import Tensor

UNK, PAD, MASK, CLS, SEP = "<unk>", "<pad>", "<mask>", "<cls>", "<sep>"
LARGEST = 30_000  # entries; published BERT's vocabulary has 30,522
SPECIAL_TOKENS = (UNK, PAD, MASK, CLS, SEP)

# Training texts do not hold all of these.
SENTENCE_ENDS = (".", "!", "?", "…", "...", "。", "！", "？", "؟", "।")

# One way to write what has several: typographic quotation marks and apostrophes become plain ones.
_PLAIN = str.maketrans(dict.fromkeys("‘’‚‛ʼ＇", "'") | dict.fromkeys("“”„‟«»＂", '"'))
_INVISIBLE = regex.compile(r"\p{Cf}")  # soft hyphens, marks of direction, zero-width spaces
_CONTROL = regex.compile(r"\p{Cc}")  # line ends, tabs and what else no one sees
_JOINER = regex.compile(r"(?<=\d)[.,](?=\d)|(?<=\p{L}|\p{M}|\d)-(?=\p{L}|\d)")
# Scripts without spaces: as in BERT, each of these characters is a token.
_CJK = r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002fa1f"
_TOKEN = regex.compile(
    r"<unk>|<mask>"  # the two special tokens that may stand in a text
    r"|@[-.,]@"  # WikiText's joiners: "long-legged" is long @-@ legged, "3.5" is 3 @.@ 5
    r"|(?:\p{L}\.){2,}"  # u.s.
    r"|'(?:s|t|m|d|re|ve|ll)\b"  # crane 's, don 't
    rf"|[{_CJK}]"
    rf"|(?:[^\W_{_CJK}]\p{{M}}*)+"  # a word: letters and digits, each with its marks
    r"|\.{2,}"  # an ellipsis
    r"|\S"
)


def tokenize(text: str) -> list[str]:
    """Cut a text into lower-cased word and punctuation tokens, as WikiText-2 is cut.

    >>> tokenize("The crane's 3.5-metre wings")
    ['the', 'crane', "'s", '3', '@.@', '5', '@-@', 'metre', 'wings']

    Args:
        text: Any string. `<unk>` and `<mask>` are kept whole; every other bracketed word is cut
            like ordinary text. Accents may be written in one character or in two; typographic
            quotation marks are read as plain ones; invisible format characters are left out.

    Returns:
        The tokens, in order; an empty list for a text without any.
    """
    visible = _CONTROL.sub(" ", _INVISIBLE.sub("", text))
    plain = unicodedata.normalize("NFC", visible.lower()).translate(_PLAIN)
    return _TOKEN.findall(_JOINER.sub(lambda joiner: f" @{joiner[0]}@ ", plain))


def fitting_min_freq(frequencies: Counter, min_freq: int, largest: int = LARGEST) -> int:
    """The smallest frequency, from `min_freq` on, that leaves a vocabulary of a size to train with.

    >>> fitting_min_freq(Counter("abcddd"), min_freq=1, largest=2)
    2

    Args:
        frequencies: How often each token occurs.
        min_freq: The frequency to begin with.
        largest: The most words that may be left.
    """
    if largest >= sum(count >= min_freq for count in frequencies.values()):
        return min_freq
    return sorted(frequencies.values(), reverse=True)[largest] + 1


class Word(NamedTuple):
    """A word among some tokens."""

    start: int  # number of its first token
    end: int  # number of the token behind its last one
    text: str


class Vocab:
    """A two-way table of tokens and their ids, and the tokenizer that goes with it.

    Nothing else in the package knows which ids are special, or how a text is cut. So a vocabulary
    of another kind can stand in its place if it has the same attributes and methods.

    Here the five special tokens come first (`<unk>` is 0), then the words from the most to the
    least frequent, words of equal frequency in alphabetical order.

    >>> vocab = Vocab("a crane lifts a crane over a wall".split(), min_freq=2)
    >>> vocab.itos
    ['<unk>', '<pad>', '<mask>', '<cls>', '<sep>', 'a', 'crane']
    >>> vocab[vocab.tokenize("A crane lifts")]
    [5, 6, 0]

    Args:
        tokens: The training text, token by token.
        min_freq: Rarer tokens have no entry of their own; they are read as `<unk>`.

    Attributes:
        itos: Token of each id, `itos[0] == "<unk>"`.
        counts: How often each entry occurs in the training text, in the order of `itos`; `<unk>`
            counts the rare words too.
        unk_id, pad_id, mask_id, cls_id, sep_id: Ids of the special tokens.
        special_ids: All five.
        word_ids: Tensor of the ids that are left: what may be drawn as a random word, or guessed.
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
    def from_counts(cls, itos: Sequence[str], counts: Sequence[int]) -> "Vocab":
        """Rebuild a vocabulary from its saved `itos` and `counts`.

        Raises:
            ValueError: It does not begin with the special tokens.
        """
        if tuple(itos[: len(SPECIAL_TOKENS)]) != SPECIAL_TOKENS:
            raise ValueError(
                f"a vocabulary begins with {', '.join(SPECIAL_TOKENS)}, but this one with "
                f"{', '.join(itos[:5])}"
            )
        vocab = cls.__new__(cls)
        vocab._set(list(itos), list(counts))
        return vocab

    def _set(
        self, itos: list[str], counts: list[int], special: Sequence[str] = SPECIAL_TOKENS
    ) -> None:
        self.itos, self.counts = itos, counts
        self._stoi = {token: number for number, token in enumerate(itos)}
        self.special_ids = tuple(self._stoi[token] for token in special)
        self.unk_id, self.pad_id, self.mask_id, self.cls_id, self.sep_id = self.special_ids
        is_word = torch.ones(len(itos), dtype=torch.bool)
        is_word[list(self.special_ids)] = False
        self.word_ids = is_word.nonzero().flatten()

    def __len__(self) -> int:
        return len(self.itos)

    def __contains__(self, token: str) -> bool:
        return token in self._stoi

    @overload
    def __getitem__(self, tokens: str) -> int: ...
    @overload
    def __getitem__(self, tokens: Iterable[str]) -> list[int]: ...
    def __getitem__(self, tokens: str | Iterable[str]) -> int | list[int]:
        """Id of a token, or list of ids of several; that of `<unk>` for one that has no entry."""
        if isinstance(tokens, str):
            return self._stoi.get(tokens, self.unk_id)
        return [self._stoi.get(token, self.unk_id) for token in tokens]

    def to_tokens(self, ids: int | Sequence[int] | Tensor) -> str | list[str]:
        """Token of an id, or list of tokens of a list (or one-dimensional tensor) of ids."""
        if isinstance(ids, Tensor):
            ids = ids.tolist()
        return self.itos[ids] if isinstance(ids, int) else [self.itos[number] for number in ids]

    def tokenize(self, sentence: str) -> list[str]:
        """Cut what somebody typed into the tokens that this vocabulary is made of.

        Training texts hold no full stop between sentences; so a mark that ends a sentence, and that
        has no entry, is left out. An abbreviation that has an entry keeps its full stop.

        >>> Vocab("mr. crane left".split()).tokenize("Mr. Crane left.")
        ['mr.', 'crane', 'left']

        Args:
            sentence: Any string, as in `tokenize`.

        Returns:
            The tokens, in order; `unknown` tells which of them are read as `<unk>`.
        """
        cut, tokens = tokenize(sentence), []
        for number, token in enumerate(cut, start=1):
            # The last full stop ends the sentence: "he said no." has no abbreviation in it.
            may_belong = number < len(cut) or (tokens and tokens[-1] not in self)
            if token == "." and tokens and may_belong and f"{tokens[-1]}." in self:
                tokens[-1] += "."
            elif token in self or token not in SENTENCE_ENDS:
                tokens.append(token)
        return tokens

    def unknown(self, tokens: Iterable[str]) -> list[str]:
        """Those of some tokens that have no entry and are read as `<unk>`, each once, in order."""
        return [token for token in dict.fromkeys(tokens) if token not in self]

    def words(self, tokens: Sequence[str]) -> list[Word]:
        """Which tokens form one word. Here each is one; in `WordPieceVocab` several may be.

        >>> Vocab(["crane"]).words(["a", "crane"])
        [Word(start=0, end=1, text='a'), Word(start=1, end=2, text='crane')]
        """
        return [Word(place, place + 1, token) for place, token in enumerate(tokens)]

    def pieces(self, word: str) -> list[str]:
        """What one word is read as. Here it is one token; in `WordPieceVocab` it may be several."""
        return [word]
