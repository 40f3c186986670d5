"""Vocabularies of published BERTs, cut by the library `tokenizers`; and our own, told to it.

Source: Wu et al. 2016, section 4.1; Devlin et al. 2019, section 3.
"""

import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import regex

from ...text import vocabulary
from ...text.corpora import find_corpus
from ...text.own_file import cut_paragraphs, read_chunks, total_size
from ...text.vocabulary import CLS, MASK, SEP, SPECIAL_TOKENS, UNK, Vocab, Word

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# Tokenizers of `transformers` that cut as BERT's does, and those that go by tokenizer.json alone.
_BERTS = ("BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer")
_AS_WRITTEN = ("PreTrainedTokenizer", "TokenizersBackend")
# In the order of `SPECIAL_TOKENS`.
SPECIAL_NAMES = ("unk_token", "pad_token", "mask_token", "cls_token", "sep_token")
BERT_SPECIAL_TOKENS = ("[UNK]", "[PAD]", "[MASK]", "[CLS]", "[SEP]")
_MASK = regex.compile(MASK, regex.IGNORECASE)
_JOINER = regex.compile(r"@([-.,])@")  # of WikiText
SAMPLE = 50_000_000  # bytes of a large text, about, from which word pieces are learned
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
        text = _MASK.sub(self.itos[self.mask_id], sentence)
        cut, tokens = self.tokenizer.encode(text, add_special_tokens=False), []
        for number, token, (start, end) in zip(cut.ids, cut.tokens, cut.offsets, strict=True):
            typed = text[start:end]
            if number == self.unk_id and typed != token:
                # Where capitals are not read, an entry with one is not found either.
                token = self.tokenizer.normalizer.normalize_str(typed) if typed in self else typed
            tokens.append(token)
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
        """The pieces of one word, of a text or typed."""
        if word == UNK:
            return [self.itos[self.unk_id]]
        return self.tokenize(_JOINER.sub(r"\1", word)) or [word]


def train_wordpiece(corpus: str | Path, size: int = 30_000, seed: int = 0) -> WordPieceVocab:
    """Learn word pieces from a text, for `load_data_wiki(..., vocab=...)`: seconds to minutes.

    Args:
        corpus: As in `load_data_wiki`. Of a large text a random sample of `SAMPLE` bytes is read.
        size: Most entries of the vocabulary.
        seed: What the sample follows from.
    """
    from tokenizers import Tokenizer
    from tokenizers.implementations import BertWordPieceTokenizer

    made, entry = BertWordPieceTokenizer(), find_corpus(corpus)
    is_large = total_size(entry.files) > SAMPLE
    lines = sample(entry.files, seed) if is_large else entry.read().train.split("\n")
    lines = [_JOINER.sub(r"\1", line).replace(UNK, "") for line in lines]
    # The trainer numbers what goes on a word in an order of chance, unless it is told before.
    letters = Counter(chain.from_iterable(lines)).most_common(max(1000, size // 4))
    letters = "".join(made.normalize(letter) for letter, _ in letters)
    letters = list(dict.fromkeys("".join(letters.split())))
    cut = made.pre_tokenizer.pre_tokenize_str
    known = [*BERT_SPECIAL_TOKENS, *(f"##{x}" for x in letters if len(cut(f"a{x}")) == 1)]
    how = dict(initial_alphabet=letters, limit_alphabet=len(letters), special_tokens=known)
    made.train_from_iterator(lines, size, show_progress=False, **how)
    return WordPieceVocab(Tokenizer.from_str(BertWordPieceTokenizer(made.get_vocab()).to_str()))


def sample(files: Sequence[Path], seed: int) -> Iterator[str]:
    """Paragraphs of some parts of a large text, which a seed chooses; the same order as there."""
    draw, part = random.Random(seed), SAMPLE / total_size(files)
    for chunk in chain.from_iterable(map(read_chunks, files)):
        if draw.random() < part:
            yield from map(" ".join, cut_paragraphs(chunk))


def check_file(path: Path, most: int = 10**18) -> None:
    """Refuse what is no file (a pipe would be waited for), only stands for one, or is too large."""
    if path.exists() and not path.is_file():
        raise ValueError(f"{path.name} is no file")
    with path.open("rb") as file:
        if file.read(23) == b"version https://git-lfs":
            raise ValueError(f"{path.name} is only a pointer of git-lfs: run git lfs pull there")
    if path.stat().st_size > most:
        raise ValueError(f"{path.name} has more than {most:,} bytes, too many for this network")


def read_table(path: Path) -> dict[str, Any]:
    """A file of JSON that holds an object; a ValueError says if it does not."""
    check_file(path, 10_000_000)
    if not isinstance(found := json.loads(path.read_text("utf-8")), dict):
        raise ValueError(f"{path.name} must hold an object of JSON, as in {{...}}")
    return found


def read_vocab(folder: Path, size: int, counts: list[int] | None = None, kind: str = "") -> Vocab:
    """Word pieces for a table of `size`, or our own words where `save_pretrained` wrote them.

    Where files disagree, it goes by what `transformers` does. `kind` is config.json's
    tokenizer_class, which counts where tokenizer_config.json has none.
    """
    from tokenizers import AddedToken, Tokenizer, models
    from tokenizers.implementations import BertWordPieceTokenizer

    file, settings = folder / "tokenizer.json", folder / "tokenizer_config.json"
    said = read_table(settings) if settings.exists() else {}
    kind = said.get("tokenizer_class") or kind or _BERTS[0]
    if (plain := str(kind).removesuffix("Fast")) not in _BERTS + _AS_WRITTEN:
        raise ValueError(f"tokenizer_class is {kind!r}, but only BertTokenizer can be read")
    if plain in _BERTS and not file.exists():
        file = folder / "vocab.txt"
    check_file(file, 1_000_000 + 500 * size)
    if file.suffix == ".json":
        tokenizer = Tokenizer.from_file(str(file))
    else:
        tokenizer = Tokenizer(models.WordPiece.from_file(str(file)))
    added = tokenizer.get_added_tokens_decoder()
    if plain in _BERTS and type(tokenizer.model).__name__ == "WordPiece":
        entries = tokenizer.get_vocab(with_added_tokens=False)
        made = BertWordPieceTokenizer(
            {entry: number for entry, number in entries.items() if entry},  # no blank lines
            lowercase=said.get("do_lower_case", True),
            strip_accents=said.get("strip_accents"),
            handle_chinese_chars=said.get("tokenize_chinese_chars", True),
        )
        tokenizer = Tokenizer.from_str(made.to_str())
    if "added_tokens_decoder" in said:
        added = {int(n): AddedToken(**token) for n, token in said["added_tokens_decoder"].items()}
    elif (beside := folder / "added_tokens.json").exists():
        added |= {n: AddedToken(token) for token, n in read_table(beside).items()}
    tokenizer.add_tokens([added[number] for number in sorted(added)])
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
