"""Published BERT's vocabulary of word pieces, cut by the library `tokenizers`.

Source: Wu et al. 2016, section 4.1; Devlin et al. 2019, section 3.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import regex

from ...text.vocabulary import MASK, SPECIAL_TOKENS, Vocab, Word

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
        absent = [t for t in dict.fromkeys((*special, model.unk_token)) if t not in entries]
        if absent:
            raise ValueError(
                f"its tokenizer has no entry for {', '.join(absent)}, but must have one for each "
                f"special token ({', '.join(special)})"
            )
        if len({*entries.values()}) < len(entries):
            raise ValueError("its tokenizer has entries of the same number, but each needs its own")
        held = 1 + max(entries.values())
        if held > (size or held):
            raise ValueError(f"its tokenizer has {held:,} entries, but its network only {size:,}")
        itos = [f"[no entry {number}]" for number in range(size or held)]
        for token, number in entries.items():
            itos[number] = token
        self._set(itos, [0] * len(itos), special)
        is_used = [not _UNUSED.fullmatch(itos[number]) for number in self.word_ids]
        self.word_ids = self.word_ids[is_used]
        tokenizer.no_truncation()  # what is too long is said, not cut
        tokenizer.no_padding()
        self._tokenizer, self._prefix = tokenizer, model.continuing_subword_prefix

    @classmethod
    def from_json(cls, text: str, special: Sequence[str], size: int) -> "WordPieceVocab":
        """Rebuild a vocabulary from what `to_json` gave.

        Args:
            text: In the format of tokenizer.json.
            special, size: As in `WordPieceVocab`.
        """
        from tokenizers import Tokenizer

        try:
            tokenizer = Tokenizer.from_str(text)
        except Exception as error:  # the library raises nothing more special
            raise ValueError(f"its tokenizer cannot be read ({error})") from error
        return cls(tokenizer, special, size)

    def to_json(self) -> str:
        """The tokenizer in the format of tokenizer.json."""
        return self._tokenizer.to_str(pretty=True)

    def tokenize(self, sentence: str) -> list[str]:
        """Cut what somebody typed into pieces.

        Args:
            sentence: Any string.

        Returns:
            The pieces, in order. A word without pieces is given as it was typed; it has no entry,
            so it is read as [UNK], and `unknown` names it.
        """
        text = sentence.replace(MASK, self.itos[self.mask_id])
        cut, tokens = self._tokenizer.encode(text, add_special_tokens=False), []
        for number, token, (start, end) in zip(cut.ids, cut.tokens, cut.offsets, strict=True):
            typed = text[start:end]
            tokens.append(typed if number == self.unk_id and typed not in self else token)
        return tokens

    def words(self, tokens: Sequence[str]) -> list[Word]:
        """Which tokens form one word: a piece with `##` belongs to what stands before it.

        Args:
            tokens: As `tokenize` gives them; special tokens may be among them.

        Returns:
            The words, in order; every token is in one.
        """
        words: list[Word] = []
        special = {self.itos[number] for number in self.special_ids}
        for place, token in enumerate(tokens):
            goes_on = token.startswith(self._prefix) and token in self
            if goes_on and words and words[-1].text not in special:
                start, _, text = words.pop()
                words.append(Word(start, place + 1, text + token.removeprefix(self._prefix)))
            else:
                words.append(Word(place, place + 1, token))
        return words

    def pieces(self, word: str) -> list[str]:
        """The pieces of one word."""
        return self.tokenize(word) or [word]


def tokenizer_from_vocab_txt(path: Path, settings: dict[str, Any]) -> "Tokenizer":
    """The tokenizer of a BERT that has no tokenizer.json.

    Args:
        path: A file with an entry a line.
        settings: Of tokenizer_config.json: do_lower_case, strip_accents, tokenize_chinese_chars.

    Raises:
        ValueError: The file is empty, or has an entry twice.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    lines = path.read_text("utf-8").removesuffix("\n").split("\n")  # splitlines cuts at more
    entries = {token: number for number, token in enumerate(lines)}
    if len(entries) < len(lines):
        twice = next(token for i, token in enumerate(lines) if entries[token] != i)
        raise ValueError(f"{path.name} has the entry {twice!r} twice")
    if lines == [""]:
        raise ValueError(f"{path.name} is empty")
    special = special_tokens(settings)
    tokenizer = Tokenizer(models.WordPiece(entries, unk_token=special[0]))
    tokenizer.normalizer = normalizers.BertNormalizer(
        lowercase=settings.get("do_lower_case", True),
        strip_accents=settings.get("strip_accents"),
        handle_chinese_chars=settings.get("tokenize_chinese_chars", True),
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    add_special_tokens(tokenizer, [token for token in special if token in entries])
    return tokenizer


def special_tokens(settings: dict[str, Any]) -> list[str]:
    """The special tokens that tokenizer_config.json names, or BERT's, as `SPECIAL_TOKENS`.

    Raises:
        ValueError: One of them is no text.
    """
    found = []
    for name, bert in zip(SPECIAL_NAMES, BERT_SPECIAL_TOKENS, strict=True):
        given = settings.get(name) or bert
        found.append(given.get("content") if isinstance(given, dict) else given)
        if not isinstance(found[-1], str):
            raise ValueError(f"its {name} is {given!r}, but must be a text such as {bert!r}")
    return found


def read_json(path: Path) -> dict[str, Any]:
    """The table in a JSON file.

    Raises:
        ValueError: The file is missing or damaged; the message begins with "its".
    """
    try:
        said = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise ValueError(f"its {path.name} is missing") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"its {path.name} is damaged ({error})") from error
    if not isinstance(said, dict):
        raise ValueError(f"its {path.name} is damaged (it holds no table)")
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

    settings, path = {}, folder / "tokenizer.json"
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        if (folder / name).is_file():
            settings |= read_json(folder / name)
    special = special_tokens(settings)
    if not path.is_file() and not (folder / "vocab.txt").is_file():
        raise ValueError("its tokenizer is missing: tokenizer.json or vocab.txt")
    try:
        if path.is_file():
            tokenizer = Tokenizer.from_file(str(path))
        else:
            tokenizer = tokenizer_from_vocab_txt(folder / "vocab.txt", settings)
    except Exception as error:  # the library raises nothing more special
        reason = str(error).splitlines()[0][:200]
        raise ValueError(
            f"its tokenizer cannot be read ({reason}): it must be a tokenizer.json that holds a "
            "WordPiece model, or a vocab.txt with another entry on each line"
        ) from error
    entries = tokenizer.get_vocab()
    if type(tokenizer.model).__name__ != "WordLevel" or tuple(special) != SPECIAL_TOKENS:
        return WordPieceVocab(tokenizer, special, size)
    if sorted(entries.values()) != list(range(size)):
        raise ValueError(f"its tokenizer has {len(entries):,} entries, but its network {size:,}")
    known = counts if isinstance(counts, list) and len(counts) == size else [0] * size
    return Vocab.from_counts(sorted(entries, key=entries.__getitem__), known)


def add_special_tokens(tokenizer: "Tokenizer", special: Sequence[str]) -> None:
    """Tell a tokenizer its special tokens, and where BERT puts them in."""
    from tokenizers import processors

    tokenizer.add_special_tokens(list(special))
    if len(special) == len(SPECIAL_TOKENS):
        cls, sep = special[-2:]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{cls} $A {sep}",
            pair=f"{cls} $A {sep} $B:1 {sep}:1",
            special_tokens=[(token, tokenizer.token_to_id(token)) for token in (cls, sep)],
        )
