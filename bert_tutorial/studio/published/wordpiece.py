"""Vocabularies of published BERTs, cut by the library `tokenizers`; and our own, told to it.

Source: Wu et al. 2016, section 4.1; Devlin et al. 2019, section 3.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

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
    is read as [MASK]. All `counts` are 0, for nobody knows them; `word_ids` has no entries that
    stand for nothing ([unused7]).
    """

    def __init__(self, tokenizer: "Tokenizer", size: int = 0):
        entries, kind = tokenizer.get_vocab(), type(tokenizer.model).__name__
        if kind != "WordPiece" or not entries.keys() >= set(BERT_SPECIAL_TOKENS):
            must = f"must be WordPiece, with the entries {', '.join(BERT_SPECIAL_TOKENS)}"
            raise ValueError(f"the tokenizer is {kind}, but {must}")
        size = max(size, 1 + max(entries.values()))  # the network's table may be larger
        token_of = {number: token for token, number in entries.items()}
        itos = [token_of.get(number, f"[no entry {number}]") for number in range(size)]
        self._set(itos, [0] * size, BERT_SPECIAL_TOKENS)
        is_used = [not _UNUSED.fullmatch(itos[number]) for number in self.word_ids]
        self.word_ids = self.word_ids[is_used]
        tokenizer.no_truncation()  # what is too long is said, not cut
        tokenizer.no_padding()
        self.tokenizer = tokenizer

    def tokenize(self, sentence: str) -> list[str]:
        """Cut what somebody typed into pieces; a word without pieces stays as it was typed."""
        text = sentence.replace(MASK, self.itos[self.mask_id])
        cut, tokens = self.tokenizer.encode(text, add_special_tokens=False), []
        for number, token, (start, end) in zip(cut.ids, cut.tokens, cut.offsets, strict=True):
            typed = text[start:end]
            tokens.append(typed if number == self.unk_id and typed not in self else token)
        return tokens

    def words(self, tokens: Sequence[str]) -> list[Word]:
        """Which tokens form one word: a piece with `##` belongs to what stands before it."""
        words: list[Word] = []
        for place, token in enumerate(tokens):
            goes_on = token.startswith("##") and token in self
            if goes_on and words and words[-1].text not in BERT_SPECIAL_TOKENS:
                start, _, text = words.pop()
                words.append(Word(start, place + 1, text + token[2:]))
            else:
                words.append(Word(place, place + 1, token))
        return words

    def pieces(self, word: str) -> list[str]:
        """The pieces of one word."""
        return self.tokenize(word) or [word]


def read_vocab(folder: Path, size: int, counts: list[int] | None = None) -> Vocab:
    """Word pieces for a table of `size`, or our own words where `save_pretrained` wrote them."""
    from tokenizers import Tokenizer
    from tokenizers.implementations import BertWordPieceTokenizer

    file, settings = folder / "tokenizer.json", folder / "tokenizer_config.json"
    if file.is_file():
        tokenizer = Tokenizer.from_file(str(file))
    else:
        said = json.loads(settings.read_text("utf-8")) if settings.is_file() else {}
        made = BertWordPieceTokenizer.from_file(
            str(folder / "vocab.txt"),
            lowercase=said.get("do_lower_case", True),
            strip_accents=said.get("strip_accents"),
            handle_chinese_chars=said.get("tokenize_chinese_chars", True),
        )
        tokenizer = Tokenizer.from_str(made.to_str())
    entries = tokenizer.get_vocab()
    if type(tokenizer.model).__name__ == "WordLevel" and SPECIAL_TOKENS[0] in entries:
        return Vocab.from_counts(sorted(entries, key=entries.get), counts or [0] * len(entries))
    return WordPieceVocab(tokenizer, size)


def word_level_tokenizer(vocab: Vocab) -> "Tokenizer":
    """A tokenizer of the library that cuts as `vocab.tokenize` does, for other programs.

    Two things differ. Special tokens count wherever they stand, `<cls>` too; and an abbreviation
    has no space before its full stop.
    """
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

    replace = normalizers.Replace
    joiners = {f"(?:{vocabulary._JOINER.pattern})(?<=[{m}])": f" @{m}@ " for m in "-.,"}
    abbreviations = [
        # Not in u.s. and not before an ellipsis; the last full stop ends the sentence.
        rf"(?!(?:\p{{L}}\.){{2}}){word}\.(?!\.)" + (r"(?=\s*\S)" if word in vocab else "")
        for word in (entry.removesuffix(".") for entry in vocab.itos if entry.endswith("."))
        if regex.fullmatch(r"[^\W_]+", word)
    ]
    is_token = "|".join([*abbreviations, vocabulary._TOKEN.pattern])
    end = vocabulary.SENTENCE_END
    known_ends = "|".join(regex.escape(entry) for entry in vocab.itos if end.fullmatch(entry))

    entries = {token: number for number, token in enumerate(vocab.itos)}
    tokenizer = Tokenizer(models.WordLevel(entries, unk_token=UNK))
    tokenizer.normalizer = normalizers.Sequence([
        normalizers.Lowercase(),
        replace(Regex(vocabulary._INVISIBLE.pattern), ""),
        replace(Regex(vocabulary._CONTROL.pattern), " "),
        normalizers.NFC(),
        *(replace(chr(mark), plain) for mark, plain in vocabulary._PLAIN.items()),
        *(replace(Regex(joiner), spaced) for joiner, spaced in joiners.items()),
    ])  # fmt: skip
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(is_token), "removed", invert=True),
        pre_tokenizers.Split(Regex(rf"\A(?!(?:{known_ends})\z)(?:{end.pattern})\z"), "removed"),
    ])  # fmt: skip
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    tokenizer.post_processor = processors.BertProcessing((SEP, vocab.sep_id), (CLS, vocab.cls_id))
    return tokenizer
