"""A text file of your own, brought into WikiText's format."""

import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from .vocabulary import LARGEST, SENTENCE_ENDS, fitting_min_freq, tokenize
from .wikitext_format import Corpus

_CLOSING = "[\"'“”‘’«»‹›)\\]}」』）】]*"
# Latin marks end a sentence before white space only ("3.5" has none); other scripts' always do.
_SENTENCE_END = re.compile(rf"(?:[.!?…]+(?={_CLOSING}(?:\s|$))|[。！？｡؟।॥۔]+)({_CLOSING})")
# "1. Soup", "CHAPTER IV. The storm": the full stop belongs to the number.
_NUMBERED = re.compile(
    r"^(\W*(?:(?:[A-Z]\w+ )?(?:\d{1,3}|[IVXLC]{2,})|[A-Z]\w{2,} [IVXLC]))\.(?=\s|$)"
)
_LINE_END = re.compile(rf"(?:[.!?…。！？｡؟।॥۔:;]|\.\.\.){_CLOSING}$")
# Libraries put a licence before and behind a book.
_LIBRARY_BOOK = re.compile(r"^\*{3} ?START OF .*?$(.*?)^\*{3} ?END OF ", re.M | re.S)
_LOOKS = {
    "HTML": re.compile(r"^\s*</?[a-zA-Z!][^>]*>"),
    "JSON Lines": re.compile(r"^\s*\{.*\}\s*,?$"),
    "a table (CSV)": re.compile(r"^[^,;\t]*([,;\t])[^,;\t]*(?:\1[^,;\t]*)+(?<![.!?])$"),
    "a chat log": re.compile(r"^\W*\d{1,4}[-./:]\d{1,2}[-./:\d, ]*.*?[:>] "),
}


class OwnText(NamedTuple):
    """A text file, cut into paragraphs."""

    paragraphs: list[list[str]]  # sentences of each, as tokens joined by spaces
    words_used: int
    words_left_out: int  # in headings, and in what else has no sentence end
    looks_like: str | None  # "HTML", ... where most lines do


def read_own_text(path: Path) -> Corpus:
    """Read a text file of your own, and hold out every tenth paragraph, at least two.

    Sentences end at `.`, `!`, `?` or `…` before white space (so "Dr. Smith" is cut in two), and at
    the marks of other scripts. Blank lines separate paragraphs. Between them a line may be a
    paragraph, a sentence, or what fits the width of a page: `cut_paragraphs` looks which.

    Args:
        path: A UTF-8 text file.

    Returns:
        The text in WikiText's format, named after the file.

    Raises:
        ValueError: The file is not UTF-8, or holds too little text.
    """
    found = cut_paragraphs(_decode(path)).paragraphs
    if not found:
        raise ValueError(
            f"{path}: no sentence end found (. ! ? …); corpus needs a text of at least four "
            "paragraphs"
        )
    usable = [i for i, sentences in enumerate(found) if len(sentences) >= 2]
    # Next-sentence pairs need sentences of another paragraph, in training and in validation.
    if len(usable) < 4:
        raise ValueError(
            f"{path} has too little text: at least four paragraphs of two or more sentences are "
            f"needed, but {len(usable)} of its {len(found)} paragraphs have two "
            "(blank lines separate paragraphs; without any, each line is one)"
        )
    held_out = set(usable[9::10] if len(usable) >= 20 else usable[-2:])
    rendered = ["".join(f" {sentence} ." for sentence in sentences) + " \n" for sentences in found]
    train = "".join(line for i, line in enumerate(rendered) if i not in held_out)
    return Corpus(path.name, train, "".join(rendered[i] for i in sorted(held_out)))


def describe_own_text(path: Path) -> str:
    """One sentence on how much of a file is used, and what it looks like if it is no running text.

    Raises:
        ValueError: The file is not UTF-8, or empty.
    """
    megabytes = path.stat().st_size / 1e6
    if megabytes > 5:
        print(f"reading {megabytes:.0f} MB of text from {path.name}", file=sys.stderr)
    text = _decode(path)
    found = cut_paragraphs(text)
    whole = max(1, found.words_used + found.words_left_out)
    said = f"{found.words_used:,} of {whole:,} words are used ({found.words_used / whole:.0%})"
    if _LIBRARY_BOOK.search(text):
        said += " between the library's notes"
    if found.words_left_out:
        said += "; headings, and other lines without a sentence end, are left out"
    forms = Counter(word for p in found.paragraphs for s in p for word in s.split())
    if fitting_min_freq(forms, 2) > 2:
        said += (
            f". It has {len(forms):,} different words: the vocabulary keeps about the {LARGEST:,} "
            "most frequent, the others are read as <unk>"
        )
    if found.looks_like:
        said += f". The file looks like {found.looks_like}: plain running text works best"
    return f"{path.name}: {said}"


def cut_paragraphs(text: str) -> OwnText:
    """Cut a text into paragraphs, as a reader sees them.

    Args:
        text: The whole file.

    Returns:
        Paragraphs of sentences, and how much of the text they are.
    """
    if book := _LIBRARY_BOOK.search(text):
        text = book[1]
    lines = _without_stops_of_numbers([line.strip() for line in text.splitlines()])
    blocks = [block.split("\n") for block in re.split(r"\n{2,}", "\n".join(lines).strip("\n"))]
    blocks = [_without_heading(block) for block in blocks]
    full = [line for line in lines if line]
    if len(blocks) == 1 or _lines_are_paragraphs(blocks):
        pieces = full
    elif _most_end(blocks):  # each line is a sentence, as in the files for the original BERT
        pieces = [" ".join(line for line in b if _LINE_END.search(line)) for b in blocks]
    else:  # lines are as long as a page is wide
        pieces = [" ".join(block) for block in blocks]
    found = [sentences for piece in pieces if (sentences := _split_sentences(piece))]
    used = _count(sentence.split() for sentences in found for sentence in sentences)
    whole = _count(map(tokenize, full))
    looks = (name for name, shape in _LOOKS.items() if sum(map(_is(shape), full)) > len(full) / 2)
    return OwnText(found, used, max(0, whole - used), next(looks, None))


def _without_stops_of_numbers(lines: list[str]) -> list[str]:
    """Lines in which the number of a chapter or of a list item has no full stop.

    Such a line comes after an empty one, or after the end of a sentence.
    """
    before = ["", *lines[:-1]]
    return [
        _NUMBERED.sub(r"\1", line) if not last or _LINE_END.search(last) else line
        for last, line in zip(before, lines, strict=True)
    ]


def _without_heading(block: list[str]) -> list[str]:
    """A block without its heading: a first line without an end, not half as long as the next."""
    has_heading = len(block) > 1 and not _LINE_END.search(block[0])
    return block[1:] if has_heading and 2 < len(block[0]) < len(block[1]) / 2 else block


def _count(parts: Iterable[list[str]]) -> int:
    """Tokens, without the marks that end sentences."""
    return sum(token not in SENTENCE_ENDS for tokens in parts for token in tokens)


def _is(shape: re.Pattern) -> Callable[[str], bool]:
    return lambda line: bool(shape.search(line))


def _lines_are_paragraphs(blocks: list[list[str]]) -> bool:
    """Whether each line is a paragraph: lines end where sentences end, and hold several."""
    ended = [line for block in blocks for line in block[:-1] if _LINE_END.search(line)]
    several = [line for line in ended if len(_SENTENCE_END.findall(line)) >= 2]
    return _most_end(blocks) and len(several) > len(ended) / 2


def _most_end(blocks: list[list[str]]) -> bool:
    """Whether lines end where sentences end; a block's first line may be a heading."""
    inner = [line for block in blocks for line in block[1:-1] if len(block) > 2]
    inner = inner or [line for block in blocks for line in block[:-1]]
    return bool(inner) and sum(map(_is(_LINE_END), inner)) > 0.8 * len(inner)


def _split_sentences(block: str) -> list[str]:
    """Sentences of one paragraph, as tokens joined by spaces; none without a sentence end."""
    # \1: the closing quotation mark.
    ends_marked = _SENTENCE_END.sub(r"\1\n", block)
    if "\n" not in ends_marked:
        return []
    # A full stop inside a word ("example.com") is left out too: in WikiText's format it ends a
    # sentence.
    sentences = [" ".join(t for t in tokenize(s) if t != ".") for s in ends_marked.split("\n")]
    return [sentence for sentence in sentences if sentence]


def _decode(path: Path) -> str:
    """The text of a UTF-8 file.

    Raises:
        ValueError: It is empty or in another encoding; the message says how to save it as UTF-8.
    """
    content = path.read_bytes()
    if content[:2] in (b"\xff\xfe", b"\xfe\xff") or content[:2000].count(0) > 100:
        encoding, offset = "UTF-16", 0
    else:
        try:
            text = content.decode("utf-8").removeprefix("\ufeff").strip()
        except UnicodeDecodeError as error:
            encoding, offset = "Windows-1252", error.start
        else:
            if text:
                return text
            raise ValueError(f"{path} is empty; corpus needs a text of at least four paragraphs")
    raise ValueError(
        f"{path} must be UTF-8 text, but the byte at offset {offset} is not; it may be {encoding}: "
        f"save it as UTF-8 in your editor, or with: iconv -f {encoding} -t UTF-8 old.txt > new.txt"
    )
