"""A text file of your own, brought into WikiText's format."""

import sys
from collections import Counter
from pathlib import Path

import regex

from .vocabulary import LARGEST, SENTENCE_ENDS, fitting_min_freq, tokenize
from .wikitext_format import Corpus

_CLOSING = r"""[\p{Pe}\p{Pi}\p{Pf}"']*"""  # brackets and quotation marks
_END = rf"[\p{{STerm}}…:;]{_CLOSING}"
_LINE_END = regex.compile(f"{_END}$")
# The number of a chapter or of a list item, where a line begins: "CHAPTER IV.", "1. Soup".
_CHAPTER = r"(?:[A-Z]\w+ )?(?:\d{1,3}|[IVXLC]{2,})|[A-Z]\w{2,} [IVXLC]"
_NUMBER = rf"(?:^|{_END}\n)\W*(?:{_CHAPTER})"
# Latin marks end a sentence before white space only ("3.5" has none); other scripts' always do.
_SENTENCE_END = regex.compile(
    rf"(?:(?<!{_NUMBER})[.!?…]+(?={_CLOSING}(?:\s|$))|(?:(?![.!?])\p{{STerm}})+)({_CLOSING})"
)
# Libraries put a licence before and behind a book.
_LIBRARY_BOOK = regex.compile(r"^\*{3} ?START OF .*?$(.*?)^\*{3} ?END OF ", regex.M | regex.S)
_LOOKS = {
    "HTML": regex.compile(r"^\s*</?[a-zA-Z!][^>]*>"),
    "JSON Lines": regex.compile(r"^\s*\{.*\}\s*,?$"),
    "a table (CSV)": regex.compile(r"^[^,;\t]*([,;\t])[^,;\t]*(?:\1[^,;\t]*)+(?<![.!?])$"),
    "a chat log": regex.compile(r"^\W*\d{1,4}[-./:]\d{1,2}[-./:\d, ]*.*?[:>] "),
}


def read_own_text(path: Path) -> Corpus:
    """Read a text file, and hold out every tenth paragraph, at least two; may raise ValueError."""
    found = cut_paragraphs(_decode(path))
    usable = [i for i, sentences in enumerate(found) if len(sentences) >= 2]
    # Next-sentence pairs need sentences of another paragraph, in training and in validation.
    if len(usable) < 4:
        raise ValueError(
            f"{path} has too little text: at least four paragraphs of two or more sentences are "
            f"needed, but {len(usable)} of its {len(found)} paragraphs have two (sentences end "
            "with . ! ? …, blank lines separate paragraphs; without any, each line is one)"
        )
    held_out = set(usable[9::10] if len(usable) >= 20 else usable[-2:])
    lines = ["".join(f" {sentence} ." for sentence in sentences) + " \n" for sentences in found]
    train = "".join(line for i, line in enumerate(lines) if i not in held_out)
    return Corpus(path.name, train, "".join(lines[i] for i in sorted(held_out)))


def describe_own_text(path: Path) -> str:
    """How much of a file is used, and what it looks like if it is no running text."""
    if (megabytes := path.stat().st_size / 1e6) > 5:
        print(f"reading {megabytes:.0f} MB of text from {path.name}", file=sys.stderr)
    whole_text = _decode(path)
    text = _inner_book(whole_text)
    words = Counter(w for sentences in cut_paragraphs(text) for s in sentences for w in s.split())
    used = sum(words[word] for word in words.keys() - set(SENTENCE_ENDS))
    whole = max(1, used, sum(token not in SENTENCE_ENDS for token in tokenize(text)))
    said = f"{path.name}: {used:,} of {whole:,} words are used ({used / whole:.0%})"
    said += " between the library's notes" if text != whole_text else ""
    if used < whole:
        said += "; headings, and other lines without a sentence end, are left out"
    if fitting_min_freq(words, 2) > 2:
        said += f". It has {len(words):,} different words: the vocabulary keeps about the "
        said += f"{LARGEST:,} most frequent, the others are read as <unk>"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for name, shape in _LOOKS.items():
        if sum(bool(shape.search(line)) for line in lines) > len(lines) / 2:
            return f"{said}. The file looks like {name}: plain running text works best"
    return said


def cut_paragraphs(text: str) -> list[list[str]]:
    """Cut a text into paragraphs of sentences, whose tokens are joined by spaces.

    Blank lines separate paragraphs. Between them a line may be a paragraph, a sentence, or what
    fits the width of a page. Sentences end at `.`, `!`, `?` or `…` before white space (so "Dr.
    Smith" is cut in two), and at the marks of other scripts.
    """
    lines = "\n".join(line.strip() for line in _inner_book(text).splitlines()).strip("\n")
    blocks = [_without_heading(block.split("\n")) for block in regex.split(r"\n{2,}", lines)]
    # A block's first line may be a heading.
    inner = [line for b in blocks for line in b[1:-1]] or [line for b in blocks for line in b[:-1]]
    ended = [line for line in inner if _LINE_END.search(line)]
    are_whole = len(ended) > 0.8 * len(inner)
    with_several = [line for line in ended if len(_SENTENCE_END.findall(line)) >= 2]
    if len(blocks) == 1 or (are_whole and len(with_several) > len(ended) / 2):
        pieces = lines.split("\n")
    elif are_whole:  # each line is a sentence, as in the files for the original BERT
        pieces = ["\n".join(line for line in b if _LINE_END.search(line)) for b in blocks]
    else:  # lines are as long as a page is wide
        pieces = ["\n".join(block) for block in blocks]
    return [sentences for piece in pieces if (sentences := _split_sentences(piece))]


def _inner_book(text: str) -> str:
    book = _LIBRARY_BOOK.search(text)
    return book[1] if book else text


def _without_heading(block: list[str]) -> list[str]:
    """A block without its heading: a first line without an end, not half as long as the next."""
    has_heading = len(block) > 1 and not _LINE_END.search(block[0])
    return block[1:] if has_heading and 2 < len(block[0]) < len(block[1]) / 2 else block


def _split_sentences(paragraph: str) -> list[str]:
    ended = _SENTENCE_END.sub("\\1\x1e", paragraph)  # \1: the closing quotation mark
    if "\x1e" not in ended:
        return []
    # Not the full stop in "example.com" either: in WikiText's format it ends a sentence.
    sentences = (" ".join(t for t in tokenize(s) if t != ".") for s in ended.split("\x1e"))
    return [sentence for sentence in sentences if sentence]


def _decode(path: Path) -> str:
    content = path.read_bytes()
    encoding, offset = "UTF-16", 0
    if content[:2] not in (b"\xff\xfe", b"\xfe\xff") and content[:2000].count(0) <= 100:
        try:
            return content.decode("utf-8").removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            encoding, offset = "Windows-1252", error.start
    raise ValueError(
        f"{path} must be UTF-8 text, but the byte at offset {offset} is not; it may be {encoding}: "
        f"save it as UTF-8 in your editor, or with: iconv -f {encoding} -t UTF-8 old.txt > new.txt"
    )
