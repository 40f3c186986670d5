"""Which texts there are. To add one, write its reader and one entry in `CORPORA`."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from .own_file import read_own_text
from .wikitext2 import read_wikitext2
from .wikitext_format import Corpus

BUNDLED = Path(__file__).parents[1] / "data" / "corpus"


def read_bundled() -> Corpus:
    """Read the encyclopaedia that comes with the package."""
    parts = ((BUNDLED / f"{part}.tokens").read_text("utf-8") for part in ("train", "valid"))
    return Corpus("bundled", *parts)


class CorpusEntry(NamedTuple):
    """All that the package knows of one corpus."""

    read: Callable[[], Corpus]
    min_freq: int  # rarer words become <unk>
    licence: str  # of the text, and so of what is trained on it
    recipe: dict[str, Any]  # of `python -m bert_tutorial.pretrain`, found by benchmarks/search.py


CORPORA = {
    "bundled": CorpusEntry(
        read=read_bundled,
        min_freq=2,
        licence="CC0 1.0, as the text",
        recipe=dict(
            steps=1300,
            batch_size=128,
            mask_rate=0.5,
            sentences_per_segment=[1, 2, 3],
            next_sentence_rate=1.0,
            dropout=0.1,
            learning_rate=5e-3,
            embedding_rate=0.5,
            weight_decay=0.01,
            sampled_words=0,
        ),
    ),
    "wikitext-2": CorpusEntry(
        read=read_wikitext2,
        min_freq=5,  # d2l's
        licence="CC BY-SA 3.0, as the text: WikiText-2 by Merity et al. 2016, from articles of "
        "English Wikipedia",
        recipe=dict(
            steps=6000,
            batch_size=128,
            mask_rate=0.25,
            sentences_per_segment=[1, 2],
            next_sentence_rate=1.0,
            dropout=0.0,
            learning_rate=3e-3,
            embedding_rate=0.5,
            weight_decay=0.4,
            sampled_words=2048,
        ),
    ),
}


def find_corpus(corpus: str | Path | Corpus) -> CorpusEntry:
    """The entry of a corpus: one of `CORPORA`, or one made for a text file of yours.

    Args:
        corpus: A name in `CORPORA`, the path of a text file, or a `Corpus` that is already read.

    Returns:
        The entry. Nothing is read or downloaded.

    Raises:
        FileNotFoundError: It is neither a name nor a file.
        IsADirectoryError: It is a folder.
    """
    own = CORPORA["bundled"]._replace(min_freq=2, licence="that of your text")
    if isinstance(corpus, Corpus):
        return own._replace(read=lambda: corpus)
    if corpus in CORPORA:
        return CORPORA[corpus]
    path = os.path.expanduser(corpus)
    if os.path.isfile(path):
        return own._replace(read=partial(read_own_text, Path(path)))
    if os.path.isdir(path):
        raise IsADirectoryError(f"{path} is a folder; corpus needs the path of one UTF-8 text file")
    names = ", ".join(f'"{name}"' for name in CORPORA)
    raise FileNotFoundError(
        f"corpus must be {names} or a text file, but {path[:200]!r} is no file"
        f" (looked at {os.path.abspath(path)[:300]!r})"
    )


def read_text(corpus: str | Path | Corpus = "bundled") -> Corpus:
    """Read a text, split into training and validation.

    Args:
        corpus: "bundled"; "wikitext-2", which is downloaded the first time; the path of a UTF-8
            text file of yours; or a `Corpus`, which is given back as it is.

    Returns:
        The text in WikiText's format.

    Raises:
        FileNotFoundError, IsADirectoryError: See `find_corpus`.
        ValueError: Your file cannot be used; the message says what would be right.
        ConnectionError, OSError: WikiText-2 cannot be had; see `read_wikitext2`.
    """
    return find_corpus(corpus).read()
