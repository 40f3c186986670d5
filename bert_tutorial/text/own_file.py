"""A text of your own, in one file or several, brought into WikiText's format."""

import glob
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import regex
from charset_normalizer import from_bytes

from .vocabulary import LARGEST, SENTENCE_END, fitting_min_freq, tokenize
from .wikitext_format import Corpus, paragraphs

LARGE = 64_000_000  # bytes: a larger text is not read whole
CHUNK = 2**22  # bytes of a file that are read at a time; up to twice as many are cut at a time
DESCRIBED = 16_000_000  # bytes of a large text that `describe_own_text` looks at
LONGEST = 60  # tokens of a sentence: as many as a row of 64 positions can show
PIECE = 30  # tokens of the pieces of a longer one: a row shows two of them
# That text files have, apart from Unicode's; where two fit equally, the first is named.
ENCODINGS = [f"cp{n}" for n in (1252, 1250, 1251, *range(1253, 1259), 850, 874, 932, 949)]
ENCODINGS += ["iso8859_2", "koi8_r", "euc_jp", "gb18030", "big5"]
_CLOSING = r"""[\p{Pe}\p{Pi}\p{Pf}"']*"""  # brackets and quotation marks
_END = rf"(?:{SENTENCE_END.pattern}|[:;]){_CLOSING}"
_LINE_END = regex.compile(f"{_END}$")
# The number of a chapter or of a list item, where a line begins: "CHAPTER IV.", "1. Soup".
_CHAPTER = r"(?:[A-Z]\w+ )?(?:\d{1,3}|[IVXLC]{2,})|[A-Z]\w{2,} [IVXLC]"
_NUMBER = rf"(?:^|{_END}\n)\W*(?:{_CHAPTER})"
# The full stop of initials does not end the sentence of "the U.S. Army" and "5 p.m. on".
_WITHIN = r"(?<=\b\p{Lu}\.\p{Lu})\.\s+\S|(?<=\b\p{L}\.\p{L})\.\s+\p{Ll}"
# Latin marks end a sentence before white space only ("3.5" has none); other scripts' always do.
_OF_LATIN = r"(?:((?<=\b\p{L}\.\p{L})\.)[.!?…]*|[.!?…]+)"  # the first group: what initials keep
_SENTENCE_END = regex.compile(
    rf"(?:(?<!{_NUMBER})(?!{_WITHIN}){_OF_LATIN}(?={_CLOSING}(?:\s|$))"
    rf"|(?:(?![.!?…]){SENTENCE_END.pattern})+)({_CLOSING})"
)
_FOOTNOTE = regex.compile(r"(?<=\S)\[(?:\p{L}{0,4} ?\d{1,3}|\p{L})\]|(?<=[.!?…])[⁰¹²³⁴-⁹]+(?=\s|$)")
# A word divided at the end of a line.
_DIVIDED = regex.compile(r"(?<!\p{L})(\p{L}++)[-‐][ \t]*+\n[ \t]*(\p{Ll}+)")
# Text that is in WikiText's format already has headings and sentence ends such as these.
_WIKITEXT = (regex.compile(r"^ ?= .+ = *$", regex.M), regex.compile(r" \. *$", regex.M))
# Libraries put a licence before and behind a book.
_LIBRARY_BOOK = regex.compile(r"^\*{3} ?START OF .*?$(.*?)^\*{3} ?END OF ", regex.M | regex.S)
# Behind what a file is cut, the best first: a book, a blank line, a line, a word, a character.
_CUTS = (rb"(?m)^\*{3} ?END OF .*\n", rb"\n[ \t\r]*\n", rb"[\r\n]", rb"[ \t]")
_CUTS = [regex.compile(rb"(?r)" + cut) for cut in (*_CUTS, rb"(?s).(?=[\xc2-\xf4])")]
_LOOKS = {  # the part of the lines that look so, at least
    "subtitles": (0.1, r"^[\d:]+[.,]\d+ *-->"),
    "HTML": (0.5, r"^\s*</?[a-zA-Z!][^>]*>"),
    "JSON": (0.5, r'^(?:[]\[{}]+,?|\{.*\},?|"(?:[^"\\]|\\.)*"(?:\s*:.*|,))$'),
    "a table (CSV, TSV)": (0.5, r"\t|^[^,;]*([,;])[^,;]*(?:\1[^,;]*)+(?<![.!?])$"),
    "a chat log": (0.5, r"^\W*\d{1,4}[-./:]\d{1,2}[-./:\d, ]*.*?[:>] "),
    "LaTeX": (0.2, r"\\(?:[a-zA-Z]+\*?[{\[]|item\b|\\$)"),
    "source code": (0.4, r"[:{}([]$|[])];$|\w\([^()]*\)|^\S+ \+?= |^(?:#|//|/?\*|@|import|return)"),
}


def text_files(path: str | Path) -> list[Path]:
    """The files of a text: the one of that path, those of a folder (*.txt), or of a pattern."""
    path = os.path.expanduser(path)
    if os.path.isfile(path):
        return [Path(path)]
    pattern = os.path.join(glob.escape(path), "*.txt") if os.path.isdir(path) else path
    found = sorted(glob.glob(pattern, recursive=True))
    return [Path(file) for file in found if os.path.isfile(file)]


def total_size(files: Iterable[Path]) -> int:
    """Bytes of all files."""
    return sum(file.stat().st_size for file in files)


def is_large(files: Iterable[Path]) -> bool:
    """Whether a text is too large to be read whole: `load_data_wiki` takes it from token files."""
    return total_size(files) > LARGE


def read_own_text(path: Path) -> Corpus:
    """Read text files, and hold out every tenth paragraph, at least two; may raise ValueError."""
    if is_large(files := text_files(path)):
        raise ValueError(
            f"{path} has {total_size(files) / 1e6:,.0f} MB, too many to read whole (at most "
            f"{LARGE / 1e6:.0f}): load_data_wiki and bert_tutorial.pretrain can train on it"
        )
    found = [p for file in files for chunk in read_chunks(file) for p in cut_paragraphs(chunk)]
    usable = [i for i, sentences in enumerate(found) if len(sentences) >= 2]
    if len(usable) < 4:
        raise too_little(path, "four", len(usable), len(found))
    held_out = set(usable[9::10] if len(usable) >= 20 else usable[-2:])
    lines = ["".join(f" {sentence} ." for sentence in sentences) + " \n" for sentences in found]
    train = "".join(line for i, line in enumerate(lines) if i not in held_out)
    return Corpus(path.name, train, "".join(lines[i] for i in sorted(held_out)))


def too_little(path: str | Path, needed: object, usable: int, found: int) -> ValueError:
    """What to say where next-sentence pairs find too few sentences of another paragraph."""
    return ValueError(
        f"{path} has too little text: at least {needed} paragraphs of two or more sentences are "
        f"needed, but {usable} of its {found} paragraphs have two (sentences end "
        "with . ! ? …, blank lines separate paragraphs; without any, each line is one)"
    )


def read_chunks(path: Path) -> Iterator[str]:
    """The text of a file, some MB at a time, cut between paragraphs.

    Raises:
        ValueError: It is not UTF-8; the message says where, and what it may be.
    """
    with path.open("rb") as file:
        start, content = 0, file.read(CHUNK)
        while content:
            more = file.read(CHUNK)
            found = (cut.search(content) for cut in _CUTS) if more else ()
            end = next((mark.end() for mark in found if mark), len(content))
            yield _decode(content[:end], path, start)
            content, start = content[end:] + more, start + end


def describe_own_text(path: Path) -> str:
    """How much of a text is used, and what it looks like if it is no running text."""
    files = text_files(path)
    limit, part = total_size(files), ""
    if is_large(files):
        limit, part = DESCRIBED, f" of its first {DESCRIBED / 1e6:.0f} MB"
    if limit > 5e6:
        print(f"reading {limit / 1e6:.0f} MB of text from {path.name}", file=sys.stderr)
    words, every, lines, is_book = Counter(), Counter(), [], False
    for chunk in chain.from_iterable(map(read_chunks, files)):
        text = _cleaned(chunk)
        words.update(w for sentences in cut_paragraphs(text) for s in sentences for w in s.split())
        every.update(tokenize(text))
        lines += [line.strip() for line in text.splitlines() if line.strip()]
        is_book |= bool(_LIBRARY_BOOK.search(chunk))
        if (limit := limit - len(chunk.encode())) < 0:
            break
    both, is_end = (words, every), SENTENCE_END.fullmatch
    used, whole = (sum(n for word, n in some.items() if not is_end(word)) for some in both)
    whole = max(1, used, whole)
    said = f"{path.name}: {used:,} of {whole:,} words{part} are used ({used / whole:.0%})"
    said += " between the library's notes" if is_book else ""
    if used < whole:
        said += "; headings, and other lines without a sentence end, are left out"
    if fitting_min_freq(words, 2) > 2:
        said += f". It has {len(words):,} different words: the vocabulary keeps about the "
        said += f"{LARGEST:,} most frequent, the others are read as <unk>"
    for name, (least, shape) in _LOOKS.items():
        search = regex.compile(shape).search
        if sum(bool(search(line)) for line in lines) > least * len(lines):
            return f"{said}. The file looks like {name}: plain running text works best"
    return said


def cut_paragraphs(text: str) -> list[list[str]]:
    """Cut a text into paragraphs of sentences, whose tokens are joined by spaces.

    Blank lines separate paragraphs. Between them a line may be a paragraph, a sentence, or what
    fits the width of a page. Text in WikiText's format is taken as it is. Sentences end at `.`,
    `!`, `?` or `…` before white space (so "Dr. Smith" is cut in two), and at the marks of other
    scripts. Initials keep their full stops: "U.S." ends only a paragraph's last sentence, "p.m."
    also one before a capital. A sentence of more than `LONGEST` tokens is cut into pieces. A word
    divided at a line's end keeps its hyphen, unless the text has it without one elsewhere.
    """
    text = _cleaned(text)
    if all(sign.search(text) for sign in _WIKITEXT):
        return [[p for s in found for p in _in_pieces(s)] for found in paragraphs(text)]
    lines = "\n".join(line.strip() for line in text.splitlines()).strip("\n")
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


def _cleaned(text: str) -> str:
    """A text without a library's notes, footnote marks and divided words."""
    text = text.replace("\r\r\n", "\n").replace("\r\n", "\n").replace("\r", "\n")
    text = "\n\n".join(_LIBRARY_BOOK.findall(text)) or text
    text = _FOOTNOTE.sub("", regex.sub(r"\xad[ \t]*\n[ \t]*", "", text))
    if not regex.search(r"[-‐][ \t]*\n", text):
        return text
    words, hyphens = set(regex.findall(r"\p{L}+", text.lower())), {True: "", False: "-"}
    return _DIVIDED.sub(lambda m: hyphens[(m[1] + m[2]).lower() in words].join(m.groups()), text)


def _without_heading(block: list[str]) -> list[str]:
    """A block without its heading: a first line without an end, not half as long as the next."""
    has_heading = len(block) > 1 and not _LINE_END.search(block[0])
    return block[1:] if has_heading and 2 < len(block[0]) < len(block[1]) / 2 else block


def _split_sentences(paragraph: str) -> list[str]:
    ended = _SENTENCE_END.sub("\\1\\2\x1e", paragraph)  # \2: the closing quotation mark
    if "\x1e" not in ended:
        return []
    # Not the full stop in "example.com" either: in WikiText's format it ends a sentence.
    sentences = ([t for t in tokenize(s) if t != "."] for s in ended.split("\x1e"))
    return [piece for sentence in sentences for piece in _in_pieces(sentence)]


def _in_pieces(sentence: list[str]) -> list[str]:
    """A sentence as it is, or in pieces of nearly one length; none of an empty one."""
    length = len(sentence)
    size = length if length <= LONGEST else -(-length // -(-length // PIECE))
    return [" ".join(sentence[i : i + size]) for i in range(0, length, size or 1)]


def _decode(content: bytes, path: Path, offset: int) -> str:
    where, start = "it is not", content[:2000] if offset == 0 else b""
    if start[:2] in (b"\xff\xfe", b"\xfe\xff") or start.count(0) > 100:
        found = [_wide_encoding(start)]
    else:
        try:
            return content.decode("utf-8").removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            where = f"the byte at offset {offset + error.start} is not"
            content += b"\n"  # whole lines, so that no character is cut in two
            begin = max(0, error.start - 100)
            found = _narrow_encodings(content[begin : content.find(b"\n", begin + 40_000)])
    hint = f"it may be {' or '.join(found)}" if found else "its encoding is not known"
    hint += ": save it as UTF-8 in your editor"
    hint += f", or with: iconv -f {found[0]} -t UTF-8 old.txt > new.txt" if found else ""
    raise ValueError(f"{path} must be UTF-8 text, but {where}; {hint}")


def _wide_encoding(start: bytes) -> str:
    """Unicode in four bytes a character, or in two."""
    is_little = start[:1] == b"\xff" or start[1::2].count(0) > start[::2].count(0)
    name = "UTF-32LE" if is_little else "UTF-32BE"
    try:  # hardly any other bytes can be that
        start[: len(start) // 4 * 4].decode(name)
    except UnicodeDecodeError:
        return name.replace("32", "16")
    return name


def _narrow_encodings(content: bytes) -> list[str]:
    """Up to three others in which this looks like text of some language, the best first."""
    found = list(from_bytes(content, cp_isolation=ENCODINGS))
    names = [
        next(name for name in ENCODINGS if name in match.could_be_from_charset)
        for match in found[:3]
        if match.chaos < found[0].chaos + 0.02 and match.coherence >= found[0].coherence / 2
    ]
    return [n.replace("_", "-").replace("cp125", "windows-125").upper() for n in names]
