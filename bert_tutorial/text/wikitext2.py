"""WikiText-2: downloaded once, checked by its SHA-256, kept in the cache folder."""

import hashlib
import os
import re
import shutil
import time
import zipfile
from pathlib import Path

import pooch
import requests
from filelock import FileLock
from tqdm import tqdm

from ..cache import cache_dir
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
_ZIP = "https://wikitext.smerity.com/wikitext-2-v1.zip"
_PLAIN = (
    "https://raw.githubusercontent.com/pytorch/examples/main/word_language_model/data/wikitext-2/"
)
# Each source is one zip, or the plain files in the order above. d2l's own address (the bucket
# research.metamind.io on s3.amazonaws.com) is left out: it has been dead since 2024.
WIKITEXT2_SOURCES = ((_ZIP,), (_PLAIN + "train.txt", _PLAIN + "valid.txt"))
# The first source refuses Python's default with status 403.
USER_AGENT = "bert_tutorial/0.1 (a tutorial on pretraining BERT)"
ATTEMPTS = 3


def read_wikitext2(timeout: tuple[float, float] = (10.0, 60.0), pause: float = 1.0) -> Corpus:
    """Read WikiText-2 from the cache, or download it into the cache first.

    Args:
        timeout: Seconds to wait for a connection, and for the next bytes.
        pause: Seconds before the second attempt at a source. Attempt n waits n - 1 times the pause.

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
            with FileLock(folder / ".lock"):  # of two processes, the second finds the first's files
                files = _verified_files(folder) or _download(folder, timeout, pause)
    except ConnectionError:
        raise
    except OSError as error:
        raise OSError(
            f"the cache folder {folder} cannot be used ({error.strerror or error}); make room or "
            "give access there, or set BERT_TUTORIAL_CACHE to another folder"
        ) from error
    return Corpus("wikitext-2", *(content.decode("utf-8") for content in files))


def _verified_files(folder: Path) -> list[bytes] | None:
    """Contents of the two files; None if one is missing or not the published one, bit by bit."""
    paths = [folder / name for name in WIKITEXT2_FILES]
    if not all(path.is_file() for path in paths):
        return None
    contents = [path.read_bytes() for path in paths]
    hashes = [hashlib.sha256(content).hexdigest() for content in contents]
    return contents if hashes == [sha256 for _, sha256 in WIKITEXT2_FILES.values()] else None


def _download(folder: Path, timeout: tuple[float, float], pause: float) -> list[bytes]:
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
                    _unzip(Path(source[0]), partial)
                elif len(source) == 1:
                    _fetch(source[0], partial / "archive.zip", timeout, pause)
                    _unzip(partial / "archive.zip", partial)
                else:
                    for url, name in zip(source, WIKITEXT2_FILES, strict=True):
                        _fetch(url, partial / name, timeout, pause)
                if (files := _verified_files(partial)) is None:
                    raise ValueError("other bytes than WikiText-2's")
            except (requests.RequestException, ValueError) as error:
                failures.append(f"{_without_password(source[0])}: {_in_few_words(error)}")
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


def _fetch(url: str, path: Path, timeout: tuple[float, float], pause: float) -> None:
    """Download one file; try again where the failure may pass (no connection, broken body, 5xx)."""
    for attempt in range(1, ATTEMPTS + 1):
        # pooch sets the bar's total.
        with tqdm(desc="WikiText-2", total=1, unit="B", unit_scale=True, leave=False) as bar:
            download = pooch.HTTPDownloader(
                bar, 2**16, headers={"User-Agent": USER_AGENT}, timeout=timeout
            )
            try:
                return download(url, str(path), None)
            except requests.RequestException as error:
                status = 500 if error.response is None else error.response.status_code
                lasting = status < 500 and status not in (408, 429)
                if attempt == ATTEMPTS or isinstance(error, ValueError) or lasting:
                    raise
        time.sleep(pause * attempt)


def _unzip(archive: Path, folder: Path) -> None:
    """Write the two members into `folder`.

    Only their exact names are read, so an entry named `../x` does nothing.
    """
    for name, (size, _) in WIKITEXT2_FILES.items():
        try:
            with zipfile.ZipFile(archive) as members:
                member = members.getinfo(f"wikitext-2/{name}")
                content = members.read(member) if member.file_size == size else b""
        except (
            Exception
        ) as error:  # a damaged archive: BadZipFile, KeyError, zlib.error, EOFError, ...
            raise ValueError("not a zip of WikiText-2") from error
        (folder / name).write_bytes(content)


def _without_password(url: str) -> str:
    """An address that can be shown, and kept in a notebook."""
    return re.sub(r"(?<=//)[^/@]*@", "", url)


def _in_few_words(error: Exception) -> str:
    """Why a source failed, for the message that lists all sources."""
    if isinstance(error, requests.HTTPError):
        return f"HTTP status {error.response.status_code}"
    known = {
        requests.exceptions.ChunkedEncodingError: "the download broke off",
        requests.exceptions.SSLError: "its certificate is not trusted here (a proxy that signs?)",
        requests.exceptions.ProxyError: "the proxy does not answer",
        requests.exceptions.TooManyRedirects: "it leads from address to address without end",
    }
    for kind, words in known.items():
        if isinstance(error, kind):
            return words
    if not isinstance(error, requests.RequestException):
        return str(error)
    if isinstance(error, ValueError):
        return "not a web address"
    return "no answer in time" if "timed out" in str(error) else "no connection"
