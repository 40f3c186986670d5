"""Which texts there are; to add one, write its reader and its entry in `CORPORA`."""

import os
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from .own_file import read_own_text, text_files
from .wikitext2 import read_wikitext2
from .wikitext_format import Corpus

DATA = Path(__file__).parents[1] / "data"  # of the package
PARTS = "encyclopaedia", "everyday"  # of the bundled corpus
OURS = "CC0 1.0, as the text"


class CorpusEntry(NamedTuple):
    """What is known of a corpus before it is read."""

    read: Callable[[], Corpus]
    min_freq: int = 2  # rarer words become <unk>
    licence: str = "that of your text"  # and so of what is trained on it
    files: Sequence[Path] = ()  # of a text of yours


def _packaged(name: str) -> Corpus:
    files = (DATA / name / f"{split}.tokens" for split in ("train", "valid"))
    return Corpus(name, *(file.read_text("utf-8") for file in files))


def _bundled() -> Corpus:
    parts = tuple(map(_packaged, PARTS))
    train, valid = ("".join(getattr(part, split) for part in parts) for split in ("train", "valid"))
    return Corpus("bundled", train, valid, parts)


CORPORA = {
    "bundled": CorpusEntry(_bundled, licence=OURS),
    **{part: CorpusEntry(partial(_packaged, part), licence=OURS) for part in PARTS},
    "wikitext-2": CorpusEntry(
        read_wikitext2,
        min_freq=5,  # d2l's
        licence="CC BY-SA 3.0, as the text: WikiText-2, from Wikipedia, by Merity et al. 2016",
    ),
}


def find_corpus(corpus: str | Path | Corpus) -> CorpusEntry:
    """The entry of a corpus, or one made for a text of yours; nothing is read or downloaded."""
    if isinstance(corpus, Corpus):
        return CorpusEntry(lambda: corpus)
    if corpus in CORPORA:
        return CORPORA[corpus]
    path = os.path.expanduser(corpus)
    if files := text_files(path):
        return CorpusEntry(partial(read_own_text, Path(path)), files=files)
    names = ", ".join(f'"{name}"' for name in CORPORA)
    is_pattern = re.search(r"[*?[]", path)
    found = "a pattern without files" if is_pattern else "no file"
    found = "a folder without .txt files" if os.path.isdir(path) else found
    raise FileNotFoundError(
        f"corpus must be {names} or a text file, a folder of such or a pattern, but "
        f"{path[:200]!r} is {found} (looked at {os.path.abspath(path)[:300]!r})"
    )


def read_text(corpus: str | Path | Corpus = "bundled") -> Corpus:
    """Read a text, split into training and validation.

    Args:
        corpus: "bundled", or one of its parts: "encyclopaedia" and "everyday", what people say
            and write; "wikitext-2", which is downloaded the first time; the path of a UTF-8 text
            file of yours, of a folder of .txt files, or a pattern such as "texts/**/*.txt"; or a
            `Corpus`, which is given back as it is.

    Raises:
        OSError: It is neither a name nor a file, or WikiText-2 cannot be had.
        ValueError: Your text cannot be used, or is too large to be read whole (`load_data_wiki`
            takes it all the same); the message says what would be right.
    """
    return find_corpus(corpus).read()
