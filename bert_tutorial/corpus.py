"""Where text comes from: the bundled corpus, WikiText-2, or your own file.

All three arrive in WikiText's format: one paragraph a line, tokens separated by single spaces, every sentence ended by
` . `. So one reader, `paragraphs`, serves all of them.
"""

import hashlib
import os
import re
import shutil
import time
import zipfile
from pathlib import Path
from typing import NamedTuple

import platformdirs
import pooch
import requests
from filelock import FileLock
from tqdm import tqdm

from bert_tutorial.vocabulary import tokenize

BUNDLED = Path(__file__).parent / "data" / "corpus"

# Size in bytes and SHA-256 of each file: whoever serves them, only these very bytes are used.
WIKITEXT2_FILES = {
    "wiki.train.tokens": (10_797_148, "9e9fa1ad55b1c2c95b08e37dd8e653f638fac2c6de904b79e813611eefbc985f"),
    "wiki.valid.tokens": (1_121_681, "f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8"),
}
_PLAIN = "https://raw.githubusercontent.com/pytorch/examples/main/word_language_model/data/wikitext-2/"
# Each source is one zip, or the plain files in the order above. The document's own address (the bucket
# research.metamind.io on s3.amazonaws.com) is left out: it has been dead since 2024.
_ZIP = "https://wikitext.smerity.com/wikitext-2-v1.zip"
WIKITEXT2_SOURCES = ((_ZIP,), (_PLAIN + "train.txt", _PLAIN + "valid.txt"))
USER_AGENT = "bert_tutorial/0.1 (a tutorial on pretraining BERT)"  # the first mirror refuses Python's default with 403
ATTEMPTS = 3

_CLOSING = "[\"'”’»)\\]」』）]*"
_SENTENCE_END = re.compile(rf"(?:[.!?]+(?={_CLOSING}(?:\s|$))|[。！？]+)({_CLOSING})")


class Text(NamedTuple):
    """A text in WikiText's format, in two parts."""

    name: str  # "bundled", "wikitext-2" or the name of your file
    train: str  # the paragraphs to learn from
    valid: str  # the paragraphs held out


def read_text(corpus: "str | Path | Text" = "bundled") -> Text:
    """Read one of the three kinds of text.

    Args:
        corpus: "bundled"; "wikitext-2", which is downloaded the first time; or the path of a UTF-8 text file of yours. A `Text`
            is given back as it is.

    Returns:
        The text, split into training and validation.

    Raises:
        FileNotFoundError: `corpus` is neither one of the two names nor a file.
        ValueError: Your file cannot be used; the message says what would be right.
        OSError: `corpus` is a folder, or WikiText-2 cannot be had (see `read_wikitext2`).
    """
    if isinstance(corpus, Text):
        return corpus
    check_corpus(corpus)
    if corpus == "bundled":
        return Text("bundled", *((BUNDLED / f"{part}.tokens").read_text("utf-8") for part in ("train", "valid")))
    if corpus == "wikitext-2":
        return read_wikitext2()
    return read_own_text(Path(os.path.expanduser(corpus)))


def check_corpus(corpus: str | Path) -> None:
    """Check that there is such a corpus, without reading or downloading it.

    Raises:
        FileNotFoundError: `corpus` is neither "bundled", nor "wikitext-2", nor a file.
        IsADirectoryError: It is a folder.
    """
    path = os.path.expanduser(corpus)
    if corpus in ("bundled", "wikitext-2") or os.path.isfile(path):
        return
    if os.path.isdir(path):
        raise IsADirectoryError(f"{path} is a folder; corpus needs the path of one UTF-8 text file")
    raise FileNotFoundError(f'corpus must be "bundled", "wikitext-2" or a text file, but {path[:200]!r} is no file')


def paragraphs(text: str) -> list[list[list[str]]]:
    """Cut a text in WikiText's format into paragraphs of sentences of lower-cased tokens.

    >>> paragraphs(" = Cranes = \\n\\n Cranes dance . They fly far . \\n")
    [[['cranes', 'dance'], ['they', 'fly', 'far']]]

    Args:
        text: One paragraph a line. Lines without a sentence end (headings, blank lines) are skipped.

    Returns:
        Token `[k]` of sentence `[j]` of paragraph `[i]`. The " . " between sentences is not among the tokens.
    """
    found = []
    for line in text.split("\n"):
        if " . " in line:
            # The spaces around the line let its last " . " count as an end too; the document keeps that full stop.
            sentences = [sentence.split() for sentence in f" {line.strip().lower()} ".split(" . ")]
            found.append([sentence for sentence in sentences if sentence])
    return [sentences for sentences in found if sentences]


def read_own_text(path: Path) -> Text:
    """Read a text file of your own, and hold out every tenth paragraph, at least two.

    Paragraphs are separated by blank lines or, in a file without blank lines, by line ends. Sentences end at `.`, `!` or
    `?` before white space (so "Dr. Smith" is cut in two), and at their Chinese counterparts.

    Args:
        path: A UTF-8 text file.

    Raises:
        ValueError: The file is not UTF-8, or holds too little text.
    """
    try:
        text = path.read_bytes().decode("utf-8").removeprefix("\ufeff").strip()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} must be UTF-8 text, but the byte at offset {error.start} is not") from error
    if not text:
        raise ValueError(f"{path} is empty; corpus needs a text of at least four paragraphs")
    lines = [line.strip() for line in text.splitlines()]
    blocks = "\n".join(lines).split("\n\n") if "" in lines else lines
    found = [sentences for block in blocks if (sentences := _split_sentences(block))]
    usable = [i for i, sentences in enumerate(found) if len(sentences) >= 2]
    if len(usable) < 4:  # next-sentence pairs need sentences of another paragraph, in training and in validation
        raise ValueError(
            f"{path} has too little text: at least four paragraphs of two or more sentences are needed, but {len(usable)} "
            f"of its {len(found)} paragraphs have two (blank lines separate paragraphs; without any, each line is one)"
        )
    held_out = set(usable[9::10] if len(usable) >= 20 else usable[-2:])
    rendered = ["".join(f" {sentence} ." for sentence in sentences) + " \n" for sentences in found]
    train = "".join(line for i, line in enumerate(rendered) if i not in held_out)
    return Text(path.name, train, "".join(rendered[i] for i in sorted(held_out)))


def _split_sentences(block: str) -> list[str]:
    """Sentences of one paragraph, as tokens joined by spaces; none for a heading, that is, without any sentence end."""
    ends_marked = _SENTENCE_END.sub(r"\1\n", block.replace("\n", " "))  # \1: a closing quotation mark stays
    if "\n" not in ends_marked:
        return []
    # A full stop inside a word ("example.com") is left out too: in WikiText's format it would end a sentence.
    sentences = [" ".join(t for t in tokenize(sentence) if t != ".") for sentence in ends_marked.split("\n")]
    return [sentence for sentence in sentences if sentence]


def cache_dir() -> Path:
    """Folder for downloads: the environment's BERT_TUTORIAL_CACHE, or the user's cache folder of this system."""
    return Path(os.environ.get("BERT_TUTORIAL_CACHE") or platformdirs.user_cache_dir("bert_tutorial"))


def read_wikitext2(timeout: tuple[float, float] = (10.0, 60.0), pause: float = 1.0) -> Text:
    """Read WikiText-2 from the cache, or download it into the cache first.

    Args:
        timeout: Seconds to wait for a connection, and for the next bytes.
        pause: Seconds before the second attempt at a source; each further pause is longer by as much.

    Returns:
        The published training and validation text, checked by SHA-256 at every call.

    Raises:
        ConnectionError: The text is not in the cache and no source could deliver it.
        OSError: The cache folder cannot be read or written.

    Source:
        Merity et al. 2016, "Pointer Sentinel Mixture Models", section 4.
    """
    folder = cache_dir() / "wikitext-2"
    try:
        files = _verified_files(folder)
        if files is None:
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(folder / ".lock"):  # of two processes at once, the second finds the files of the first
                files = _verified_files(folder) or _download(folder, timeout, pause)
    except ConnectionError:
        raise
    except OSError as error:
        raise OSError(
            f"the cache folder {folder} cannot be used ({error.strerror or error}); make room or give access there, or set "
            "BERT_TUTORIAL_CACHE to another folder"
        ) from error
    return Text("wikitext-2", *(content.decode("utf-8") for content in files))


def _verified_files(folder: Path) -> list[bytes] | None:
    """Contents of the two files; None if one is missing or differs from the published one by a single bit."""
    paths = [folder / name for name in WIKITEXT2_FILES]
    if not all(path.is_file() for path in paths):
        return None
    contents = [path.read_bytes() for path in paths]
    hashes = [hashlib.sha256(content).hexdigest() for content in contents]
    return contents if hashes == [sha256 for _, sha256 in WIKITEXT2_FILES.values()] else None


def _download(folder: Path, timeout: tuple[float, float], pause: float) -> list[bytes]:
    """Try one source after the other until one delivers the published files; move these into `folder`."""
    own_source = os.environ.get("BERT_TUTORIAL_WIKITEXT2_URL")
    sources = [(own_source,), *WIKITEXT2_SOURCES] if own_source else WIKITEXT2_SOURCES
    failures = []
    partial = folder / "partial"
    shutil.rmtree(partial, ignore_errors=True)  # left by a process that was killed; the lock is ours, so nobody uses it
    try:
        partial.mkdir()
        for source in sources:
            try:
                if len(source) == 1:
                    _fetch(source[0], partial / "archive.zip", timeout, pause)
                    _unzip(partial / "archive.zip", partial)
                else:
                    for url, name in zip(source, WIKITEXT2_FILES, strict=True):
                        _fetch(url, partial / name, timeout, pause)
                if (files := _verified_files(partial)) is None:
                    raise ValueError("other bytes than WikiText-2's")
            except (requests.RequestException, ValueError) as error:
                failures.append(f"{source[0]}: {_in_few_words(error)}")
                continue
            for name in WIKITEXT2_FILES:
                os.replace(partial / name, folder / name)
            return files
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    raise ConnectionError(
        f"WikiText-2 is not in {folder} and could not be downloaded ({'; '.join(failures) or 'no source to try'}): use "
        'corpus="bundled", the path of a text file of your own, or set BERT_TUTORIAL_WIKITEXT2_URL to a zip of it'
    )


def _fetch(url: str, path: Path, timeout: tuple[float, float], pause: float) -> None:
    """Download one file, again after a pause where the failure may pass (no connection, a broken body, status 5xx)."""
    for attempt in range(1, ATTEMPTS + 1):
        with tqdm(desc="WikiText-2", total=1, unit="B", unit_scale=True, leave=False) as bar:  # pooch sets the total
            download = pooch.HTTPDownloader(bar, 2**16, headers={"User-Agent": USER_AGENT}, timeout=timeout)
            try:
                return download(url, str(path), None)
            except requests.RequestException as error:
                status = 500 if error.response is None else error.response.status_code
                if attempt == ATTEMPTS or isinstance(error, ValueError) or (status < 500 and status not in (408, 429)):
                    raise
        time.sleep(pause * attempt)


def _unzip(archive: Path, folder: Path) -> None:
    """Write the two members into `folder`. Only their exact names are read, so an entry named `../x` does nothing."""
    for name, (size, _) in WIKITEXT2_FILES.items():
        try:
            with zipfile.ZipFile(archive) as members:
                member = members.getinfo(f"wikitext-2/{name}")
                content = members.read(member) if member.file_size == size else b""
        except Exception as error:  # a damaged archive: BadZipFile, KeyError, zlib.error, EOFError, RuntimeError, ...
            raise ValueError("not a zip of WikiText-2") from error
        (folder / name).write_bytes(content)


def _in_few_words(error: Exception) -> str:
    """Why a source failed, for the message that lists all sources."""
    if isinstance(error, requests.HTTPError):
        return f"HTTP status {error.response.status_code}"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the download broke off"
    if not isinstance(error, requests.RequestException):
        return str(error)
    if isinstance(error, ValueError):
        return "not a web address"
    return "no answer in time" if "timed out" in str(error) else "no connection"
