"""A text file of your own, brought into WikiText's format."""

import re
from pathlib import Path

from .vocabulary import tokenize
from .wikitext_format import Corpus

_CLOSING = "[\"'”’»)\\]」』）]*"
_SENTENCE_END = re.compile(rf"(?:[.!?]+(?={_CLOSING}(?:\s|$))|[。！？]+)({_CLOSING})")


def read_own_text(path: Path) -> Corpus:
    """Read a text file of your own, and hold out every tenth paragraph, at least two.

    Paragraphs are separated by blank lines or, in a file without blank lines, by line ends.
    Sentences end at `.`, `!` or `?` before white space (so "Dr. Smith" is cut in two), and at their
    Chinese counterparts.

    Args:
        path: A UTF-8 text file.

    Returns:
        The text in WikiText's format, named after the file.

    Raises:
        ValueError: The file is not UTF-8, or holds too little text.
    """
    try:
        text = path.read_bytes().decode("utf-8").removeprefix("\ufeff").strip()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} must be UTF-8 text, but the byte at offset {error.start} is not"
        ) from error
    if not text:
        raise ValueError(f"{path} is empty; corpus needs a text of at least four paragraphs")
    lines = [line.strip() for line in text.splitlines()]
    blocks = "\n".join(lines).split("\n\n") if "" in lines else lines
    found = [sentences for block in blocks if (sentences := _split_sentences(block))]
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


def _split_sentences(block: str) -> list[str]:
    """Sentences of one paragraph, as tokens joined by spaces; none without a sentence end."""
    # \1: the closing quotation mark.
    ends_marked = _SENTENCE_END.sub(r"\1\n", block.replace("\n", " "))
    if "\n" not in ends_marked:
        return []
    # A full stop inside a word ("example.com") is left out too: in WikiText's format it ends a
    # sentence.
    sentences = [" ".join(t for t in tokenize(s) if t != ".") for s in ends_marked.split("\n")]
    return [sentence for sentence in sentences if sentence]
