"""WikiText-2: downloaded once, checked by its SHA-256, kept in the cache folder."""

import hashlib
import io
import os
import shutil
import sys
import zipfile
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

import requests
from filelock import FileLock, Timeout

from ..cache import cache_dir
from .download import fetch, in_few_words, without_password
from .wikitext_format import Corpus

# Size in bytes and SHA-256 of each file: whoever serves them, only these very bytes are used.
WIKITEXT2_FILES = {
    "wiki.train.tokens": (
        10_797_148,
        "9e9fa1ad55b1c2c95b08e37dd8e653f638fac2c6de904b79e813611eefbc985f",
    ),
    "wiki.valid.tokens": (
        1_121_681,
        "f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8",
    ),
}
# A zip of these files is never much larger than they are, even where it also holds the test text.
LARGEST_ZIP = sum(size for size, _ in WIKITEXT2_FILES.values()) + 2**21
_ZIP = "https://wikitext.smerity.com/wikitext-2-v1.zip"
_PLAIN = (
    "https://raw.githubusercontent.com/pytorch/examples/main/word_language_model/data/wikitext-2/"
)
# Each source is one zip, or the plain files in the order above. d2l's own address (the bucket
# research.metamind.io on s3.amazonaws.com) is left out: it has been dead since 2024.
WIKITEXT2_SOURCES = ((_ZIP,), (_PLAIN + "train.txt", _PLAIN + "valid.txt"))


def read_wikitext2(
    timeout: tuple[float, float] = (10.0, 60.0), pause: float = 1.0, limit: float = 600.0
) -> Corpus:
    """Read WikiText-2 from the cache, or download it into the cache first.

    Args:
        timeout: Seconds to wait for a connection, and for the next bytes.
        pause: Seconds before the second attempt at a source. Attempt n waits n - 1 times the pause.
        limit: Seconds that one file may take, all attempts together; then the next source is
            tried. Also how long another process that downloads WikiText-2 is waited for.

    Returns:
        The published training and validation text, checked by SHA-256 at every call.

    Raises:
        ConnectionError: The text is not in the cache and no source could deliver it.
        TimeoutError: Another process did not finish its download within `limit`.
        OSError: The cache folder cannot be read or written.

    Source:
        Merity et al. 2016, "Pointer Sentinel Mixture Models", section 4.
    """
    folder = cache_dir() / "wikitext-2"
    try:
        files = _verified_files(folder)
        if files is None:
            folder.mkdir(parents=True, exist_ok=True)
            # Of two processes, the second finds the first's files.
            with _locked(FileLock(folder / ".lock"), limit):
                files = _verified_files(folder) or _download(folder, timeout, pause, limit)
    except ConnectionError:
        raise
    except Timeout as error:
        raise TimeoutError(
            f"another process has held {error.lock_file} for more than {limit:g} seconds, to "
            "download WikiText-2: wait for that process or end it, then try again; if there is "
            "none, delete this file"
        ) from error
    except OSError as error:
        raise OSError(
            f"the cache folder {folder} cannot be used ({error.strerror or error}); make room or "
            "give access there, or set BERT_TUTORIAL_CACHE to another folder"
        ) from error
    return Corpus("wikitext-2", *(content.decode("utf-8") for content in files))


def _locked(lock: FileLock, limit: float) -> AbstractContextManager:
    """Take the lock; say so if it has to be waited for."""
    try:
        return lock.acquire(timeout=1.0)
    except Timeout:
        print(
            f"waiting, {limit:g} seconds at most, for another process that downloads WikiText-2 "
            f"(it holds {lock.lock_file})",
            file=sys.stderr,
        )
        return lock.acquire(timeout=limit)


def _verified_files(folder: Path) -> list[bytes] | None:
    """Contents of the two files; None if one is missing or not the published one, bit by bit."""
    paths = [folder / name for name in WIKITEXT2_FILES]
    if not all(path.is_file() for path in paths):
        return None
    contents = [path.read_bytes() for path in paths]
    hashes = [hashlib.sha256(content).hexdigest() for content in contents]
    return contents if hashes == [sha256 for _, sha256 in WIKITEXT2_FILES.values()] else None


def _download(
    folder: Path, timeout: tuple[float, float], pause: float, limit: float
) -> list[bytes]:
    """Try the sources in turn until one delivers the published files; move these into `folder`."""
    own_source = os.environ.get("BERT_TUTORIAL_WIKITEXT2_URL")
    sources = [(own_source,), *WIKITEXT2_SOURCES] if own_source else WIKITEXT2_SOURCES
    failures = []
    partial = folder / "partial"
    # Left by a process that was killed; nobody else uses it, because we hold the lock.
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir()
        for source in sources:
            try:
                if os.path.isfile(source[0]):  # a zip that somebody has already
                    _unzip(source[0], partial)
                elif len(source) == 1:
                    archive = fetch(source[0], LARGEST_ZIP, timeout, pause, limit)
                    _unzip(io.BytesIO(archive), partial)
                else:
                    for url, (name, (size, _)) in zip(source, WIKITEXT2_FILES.items(), strict=True):
                        content = fetch(url, size, timeout, pause, limit)
                        (partial / name).write_bytes(content)
                if (files := _verified_files(partial)) is None:
                    raise ValueError("other bytes than WikiText-2's")
            except (requests.RequestException, ValueError) as error:
                failures.append(f"{without_password(source[0])}: {in_few_words(error)}")
                continue
            for name in WIKITEXT2_FILES:
                os.replace(partial / name, folder / name)
            return files
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    raise ConnectionError(
        f"WikiText-2 is not in {folder} and could not be downloaded "
        f"({'; '.join(failures) or 'no source to try'}): use "
        'corpus="bundled", the path of a text file of your own, or set '
        "BERT_TUTORIAL_WIKITEXT2_URL to a zip of it"
    )


def _unzip(archive: str | BinaryIO, folder: Path) -> None:
    """Write the two members into `folder`.

    Only their exact names are read, so an entry named `../x` does nothing. No more is unpacked than
    their sizes, whatever the archive says of itself.
    """
    for name, (size, _) in WIKITEXT2_FILES.items():
        try:
            with zipfile.ZipFile(archive) as members:
                member = members.getinfo(f"wikitext-2/{name}")
                # Python unpacks other kinds whole, and then cuts them to their size.
                if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise zipfile.BadZipFile
                with members.open(member) as file:
                    content = file.read(size + 1) if member.file_size == size else b""
        except (
            Exception
        ) as error:  # a damaged archive: BadZipFile, KeyError, zlib.error, EOFError, ...
            raise ValueError("not a zip of WikiText-2") from error
        (folder / name).write_bytes(content)
