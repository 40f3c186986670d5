"""Vocabularies of published BERTs, cut by the library `tokenizers`; and our own, told to it.

Source: Wu et al. 2016, section 4.1; Devlin et al. 2019, section 3.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import regex

from ...text import vocabulary
from ...text.vocabulary import CLS, MASK, SEP, SPECIAL_TOKENS, UNK, Vocab, Word

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# In the order of `SPECIAL_TOKENS`.
SPECIAL_NAMES = ("unk_token", "pad_token", "mask_token", "cls_token", "sep_token")
BERT_SPECIAL_TOKENS = ("[UNK]", "[PAD]", "[MASK]", "[CLS]", "[SEP]")
_UNUSED = regex.compile(r"\[unused\d+\]|\[no entry \d+\]")


class WordPieceVocab(Vocab):
    """BERT's vocabulary of word pieces: what is no entry is cut into pieces that are.

    It stands in the place of a `Vocab`. `##` marks a piece that goes on a word. `<mask>` in a text
    is read as the vocabulary's own mask.

    Args:
        tokenizer: One with a WordPiece model.
        special: Its special tokens, in the order of `SPECIAL_TOKENS`.
        size: Entries of the network's table, where it has more than the tokenizer.

    Attributes:
        counts: 0 for every entry, for nobody knows how often it occurred.
        word_ids: Without special tokens, and without entries that stand for nothing ([unused7]).

    Raises:
        ValueError: It is no WordPiece, lacks a special token, or has more entries than `size`.
    """

    def __init__(
        self,
        tokenizer: "Tokenizer",
        special: Sequence[str] = BERT_SPECIAL_TOKENS,
        size: int | None = None,
    ):
        model, entries = tokenizer.model, tokenizer.get_vocab()
        if type(model).__name__ != "WordPiece":
            raise ValueError(f"its tokenizer is {type(model).__name__}, but must be WordPiece")
        absent = [token for token in (*special, model.unk_token) if token not in entries]
        if absent:
            raise ValueError(f"its tokenizer has no entry for its special token {absent[0]}")
        itos = [f"[no entry {number}]" for number in range(size or 1 + max(entries.values()))]
        if len({*entries.values()}) < len(entries) or max(entries.values()) >= len(itos):
            raise ValueError(
                f"its tokenizer has {len(entries):,} entries, numbered up to "
                f"{max(entries.values()):,}, but its network has {len(itos):,}, each for one"
            )
        for token, number in entries.items():
            itos[number] = token
        self._set(itos, [0] * len(itos), special)
        is_used = [not _UNUSED.fullmatch(itos[number]) for number in self.word_ids]
        self.word_ids = self.word_ids[is_used]
        tokenizer.no_truncation()  # what is too long is said, not cut
        tokenizer.no_padding()
        self.tokenizer = tokenizer

    def tokenize(self, sentence: str) -> list[str]:
        """Cut what somebody typed into pieces.

        Returns:
            The pieces, in order. A word without pieces is given as it was typed; it has no entry,
            so it is read as [UNK], and `unknown` names it.
        """
        text = sentence.replace(MASK, self.itos[self.mask_id])
        cut, tokens = self.tokenizer.encode(text, add_special_tokens=False), []
        for number, token, (start, end) in zip(cut.ids, cut.tokens, cut.offsets, strict=True):
            typed = text[start:end]
            tokens.append(typed if number == self.unk_id and typed not in self else token)
        return tokens

    def words(self, tokens: Sequence[str]) -> list[Word]:
        """Which tokens form one word: a piece with `##` belongs to what stands before it."""
        words: list[Word] = []
        special = self.to_tokens(self.special_ids)
        prefix = self.tokenizer.model.continuing_subword_prefix
        for place, token in enumerate(tokens):
            goes_on = token.startswith(prefix) and token in self
            if goes_on and words and words[-1].text not in special:
                start, _, text = words.pop()
                words.append(Word(start, place + 1, text + token.removeprefix(prefix)))
            else:
                words.append(Word(place, place + 1, token))
        return words

    def pieces(self, word: str) -> list[str]:
        """The pieces of one word."""
        return self.tokenize(word) or [word]


def read_json(path: Path) -> dict[str, Any]:
    """The table in a JSON file.

    Raises:
        ValueError: The file is missing or damaged; the message begins with "its".
    """
    try:
        if not path.is_file():
            raise ValueError("there is no such file")
        said = json.loads(path.read_text("utf-8"))
        if not isinstance(said, dict):
            raise ValueError("it holds no table")
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"its {path.name} cannot be read ({error})") from error
    return said


def read_vocab(folder: Path, size: int, counts: list[int] | None = None) -> Vocab:
    """The vocabulary in a folder in Hugging Face's format.

    Args:
        folder: With tokenizer.json or vocab.txt.
        size: Entries of the network's table.
        counts: Of our own vocabularies, where they are known.

    Returns:
        A `WordPieceVocab`; a plain `Vocab` where `save_pretrained` wrote one.

    Raises:
        ValueError: There is none, or none that can be used; the message begins with "its".
    """
    from tokenizers import Tokenizer
    from tokenizers.implementations import BertWordPieceTokenizer

    settings, special = {}, []
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        settings |= read_json(folder / name) if (folder / name).is_file() else {}
    for name, bert in zip(SPECIAL_NAMES, BERT_SPECIAL_TOKENS, strict=True):
        token = settings.get(name) or bert
        special.append(str(token.get("content") if isinstance(token, dict) else token))
    try:
        if (folder / "tokenizer.json").is_file():
            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        else:
            made = BertWordPieceTokenizer.from_file(
                str(folder / "vocab.txt"),
                **dict(zip(SPECIAL_NAMES, special, strict=True)),
                lowercase=settings.get("do_lower_case", True),
                strip_accents=settings.get("strip_accents"),
                handle_chinese_chars=settings.get("tokenize_chinese_chars", True),
            )
            tokenizer = Tokenizer.from_str(made.to_str())
    except Exception as error:  # the library raises nothing more special
        reason = str(error).splitlines()[0][:200]
        raise ValueError(
            f"its tokenizer cannot be read ({reason}): it must be a tokenizer.json that holds a "
            "WordPiece model, or a vocab.txt with an entry on each line"
        ) from error
    if type(tokenizer.model).__name__ != "WordLevel" or tuple(special) != SPECIAL_TOKENS:
        return WordPieceVocab(tokenizer, special, size)
    entries = tokenizer.get_vocab()
    if sorted(entries.values()) != list(range(size)):
        raise ValueError(f"its tokenizer has {len(entries):,} entries, but its network {size:,}")
    known = counts if isinstance(counts, list) and len(counts) == size else [0] * size
    return Vocab.from_counts(sorted(entries, key=entries.__getitem__), known)


def word_level_tokenizer(vocab: Vocab) -> "Tokenizer":
    """A tokenizer of the library that cuts as `vocab.tokenize` does, for other programs.

    Two things differ. Special tokens count wherever they stand, `<cls>` too; and an abbreviation
    has no space before its full stop.
    """
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

    def pattern(text: str) -> Regex:
        """With the characters themselves for which the text has numbers."""
        numbers = r"\\u(.{4})|\\U(.{8})"
        return Regex(regex.sub(numbers, lambda m: chr(int(m[1] or m[2], 16)), text))

    replace = normalizers.Replace
    joiners = {f"(?:{vocabulary._JOINER.pattern})(?<=[{m}])": f" @{m}@ " for m in "-.,"}
    abbreviations = [
        # Not in u.s. and not before an ellipsis; the last full stop ends the sentence.
        rf"(?!(?:\p{{L}}\.){{2}}){word}\.(?!\.)" + (r"(?=\s*\S)" if word in vocab else "")
        for word in (entry.removesuffix(".") for entry in vocab.itos if entry.endswith("."))
        if regex.fullmatch(r"[^\W_]+", word)
    ]
    is_token = "|".join([*abbreviations, vocabulary._TOKEN.pattern])
    cuts = [pre_tokenizers.Split(pattern(is_token), "removed", invert=True)]
    ends = "|".join(regex.escape(end) for end in vocabulary.SENTENCE_ENDS if end not in vocab)
    if ends:
        cuts.append(pre_tokenizers.Split(Regex(rf"\A(?:{ends})\z"), "removed"))

    entries = {token: number for number, token in enumerate(vocab.itos)}
    tokenizer = Tokenizer(models.WordLevel(entries, unk_token=UNK))
    tokenizer.normalizer = normalizers.Sequence([
        replace(pattern(vocabulary._INVISIBLE.pattern), ""),
        replace(pattern(vocabulary._CONTROL.pattern), " "),
        normalizers.Lowercase(),
        normalizers.NFC(),
        *(replace(chr(mark), plain) for mark, plain in vocabulary._PLAIN.items()),
        *(replace(pattern(joiner), spaced) for joiner, spaced in joiners.items()),
    ])  # fmt: skip
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(cuts)
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    tokenizer.post_processor = processors.BertProcessing((SEP, vocab.sep_id), (CLS, vocab.cls_id))
    return tokenizer
