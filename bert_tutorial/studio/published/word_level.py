"""Our own way to cut a text, told to the library `tokenizers`, for other programs."""

from typing import TYPE_CHECKING

import regex

from ...text.vocabulary import (
    _CONTROL,
    _INVISIBLE,
    _JOINER,
    _PLAIN,
    _TOKEN,
    SENTENCE_ENDS,
    SPECIAL_TOKENS,
    Vocab,
)
from .wordpiece import add_special_tokens

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def word_level_tokenizer(vocab: Vocab) -> "Tokenizer":
    """A tokenizer of the library that cuts as `vocab.tokenize` does.

    Two things differ. Special tokens count wherever they stand, `<cls>` too; and an abbreviation
    has no space before its full stop.

    Args:
        vocab: One of whole words.
    """
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    def replace(old: str, new: str) -> normalizers.Normalizer:
        return normalizers.Replace(Regex(_portable(old)), new)

    entries = {token: number for number, token in enumerate(vocab.itos)}
    tokenizer = Tokenizer(models.WordLevel(entries, unk_token=SPECIAL_TOKENS[0]))
    tokenizer.normalizer = normalizers.Sequence(
        [
            replace(_INVISIBLE.pattern, ""),
            replace(_CONTROL.pattern, " "),
            normalizers.Lowercase(),
            normalizers.NFC(),
            *(replace(regex.escape(chr(mark)), plain) for mark, plain in _PLAIN.items()),
            *(replace(rf"(?:{_JOINER.pattern})(?<=[{mark}])", f" @{mark}@ ") for mark in "-.,"),
        ]
    )
    is_token = "|".join([*_abbreviations(vocab), _TOKEN.pattern])
    cuts = [pre_tokenizers.Split(Regex(_portable(is_token)), "removed", invert=True)]
    left_out = "|".join(regex.escape(end) for end in SENTENCE_ENDS if end not in vocab)
    if left_out:
        cuts.append(pre_tokenizers.Split(Regex(rf"\A(?:{left_out})\z"), "removed"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(cuts)
    add_special_tokens(tokenizer, SPECIAL_TOKENS)
    return tokenizer


def _abbreviations(vocab: Vocab) -> list[str]:
    """A pattern for each entry such as "mr."; see `Vocab.tokenize`."""
    words = (entry.removesuffix(".") for entry in vocab.itos if entry.endswith("."))
    return [
        # Not in u.s. and not before an ellipsis; the last full stop ends the sentence.
        rf"(?!(?:\p{{L}}\.){{2}}){word}\.(?!\.)" + (r"(?=\s*\S)" if word in vocab else "")
        for word in words
        if regex.fullmatch(r"[^\W_]+", word)
    ]


def _portable(pattern: str) -> str:
    """A pattern with the characters themselves for which it has numbers."""
    return regex.sub(r"\\u(.{4})|\\U(.{8})", lambda m: chr(int(m[1] or m[2], 16)), pattern)
