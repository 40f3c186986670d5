"""From text to tokens, and from tokens to numbers.

A token here is a lower-cased word or a punctuation mark, cut the way WikiText-2 is cut, so that a sentence someone types
meets the same tokens that the network was trained on.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

UNK, PAD, MASK, CLS, SEP = "<unk>", "<pad>", "<mask>", "<cls>", "<sep>"
SPECIAL_TOKENS = (UNK, PAD, MASK, CLS, SEP)

_JOINER = re.compile(r"(?<=\d)[.,](?=\d)|(?<=\w)-(?=\w)")
_TOKEN = re.compile(
    r"<unk>|<mask>"  # the two special tokens that may stand in a text
    r"|@[-.,]@"  # WikiText's joiners: "long-legged" is long @-@ legged, "3.5" is 3 @.@ 5
    r"|(?:[^\W\d_]\.){2,}"  # u.s.
    r"|'(?:s|t|m|d|re|ve|ll)\b"  # crane 's, don 't
    r"|\w+|[^\w\s]"
)


def tokenize(text: str) -> list[str]:
    """Cut a text into lower-cased word and punctuation tokens, as WikiText-2 is cut.

    >>> tokenize("The crane's 3.5-metre wings")
    ['the', 'crane', "'s", '3', '@.@', '5', '@-@', 'metre', 'wings']

    Args:
        text: Any string. `<unk>` and `<mask>` are kept whole; every other bracketed word is cut like ordinary text.

    Returns:
        The tokens, in order; an empty list for a text without any.
    """
    return _TOKEN.findall(_JOINER.sub(lambda joiner: f" @{joiner[0]}@ ", text.lower()))


class Vocab:
    """A two-way table of tokens and their numbers.

    The five special tokens come first (`<unk>` is 0), then the words from the most to the least frequent, words of equal
    frequency in alphabetical order.

    Args:
        tokens: The training text, token by token.
        min_freq: Rarer tokens have no entry of their own; they are read as `<unk>`.

    Attributes:
        itos: Token of each number, `itos[0] == "<unk>"`.
        counts: How often each entry occurs in the training text, in the order of `itos`; `<unk>` counts the rare words too.
    """

    def __init__(self, tokens: Iterable[str], min_freq: int = 1):
        frequencies = Counter(tokens)
        words = sorted(
            (word for word, n in frequencies.items() if n >= min_freq and word not in SPECIAL_TOKENS),
            key=lambda word: (-frequencies[word], word),
        )
        unknown = frequencies.total() - sum(frequencies[word] for word in words)
        self._set([*SPECIAL_TOKENS, *words], [unknown, 0, 0, 0, 0, *(frequencies[word] for word in words)])

    @classmethod
    def from_counts(cls, itos: Sequence[str], counts: Sequence[int]) -> "Vocab":
        """Rebuild a vocabulary from its saved `itos` and `counts`."""
        if tuple(itos[: len(SPECIAL_TOKENS)]) != SPECIAL_TOKENS:
            raise ValueError(
                f"a vocabulary begins with {', '.join(SPECIAL_TOKENS)}, but this one with {', '.join(itos[:5])}"
            )
        vocab = cls.__new__(cls)
        vocab._set(list(itos), list(counts))
        return vocab

    def _set(self, itos: list[str], counts: list[int]) -> None:
        self.itos, self.counts = itos, counts
        self._stoi = {token: number for number, token in enumerate(itos)}

    def __len__(self) -> int:
        return len(self.itos)

    def __contains__(self, token: str) -> bool:
        return token in self._stoi

    def __getitem__(self, tokens):
        """Number of a token, or list of numbers of a list of tokens; 0 (`<unk>`) for one that has no entry."""
        if isinstance(tokens, str):
            return self._stoi.get(tokens, 0)
        return [self._stoi.get(token, 0) for token in tokens]

    def to_tokens(self, numbers):
        """Token of a number, or list of tokens of a list (or one-dimensional tensor) of numbers."""
        if hasattr(numbers, "tolist"):
            numbers = numbers.tolist()
        return self.itos[numbers] if isinstance(numbers, int) else [self.itos[number] for number in numbers]
