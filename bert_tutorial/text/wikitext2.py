"""WikiText-2: downloaded once, checked by its SHA-256, kept in the cache folder.

Source: Merity et al. 2016, "Pointer Sentinel Mixture Models", section 4.
"""

import hashlib
import io
import os
import re
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import requests
from tqdm import tqdm

from ..cache import cache_dir, locked, write_file
from .wikitext_format import Corpus

SHA256 = {  # whoever serves the files, only these very bytes are used
    "wiki.train.tokens": "9e9fa1ad55b1c2c95b08e37dd8e653f638fac2c6de904b79e813611eefbc985f",
    "wiki.valid.tokens": "f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8",
}
_EXAMPLES = "https://raw.githubusercontent.com/pytorch/examples/main/word_language_model/data"
# Each is a zip, or the plain files in the order above. d2l's own address is dead since 2024.
SOURCES = (
    ("https://wikitext.smerity.com/wikitext-2-v1.zip",),
    (f"{_EXAMPLES}/wikitext-2/train.txt", f"{_EXAMPLES}/wikitext-2/valid.txt"),
)
HEADERS = {"User-Agent": "bert_tutorial/0.1 (a tutorial on BERT)"}  # Python's own gets status 403
LARGEST = 14_000_000  # bytes: more than each of the files has, and than a zip of them
LIMIT = 600.0  # seconds for one file, all tries together; and for another process that downloads
TIMEOUT = (10.0, 60.0)  # seconds to wait for a connection, and for the next bytes
PAUSES = (1.0, 2.0)  # seconds before the second try, and before the third


def read_wikitext2() -> Corpus:
    """Read WikiText-2 from the cache, or download it into the cache first."""
    files = kept(cache_dir() / "wikitext-2", "WikiText-2", _cached, _download)
    return Corpus("wikitext-2", *(content.decode("utf-8") for content in files))


def kept(folder: Path, name: str, cached: Callable, download: Callable) -> list[bytes]:
    """What `cached(folder)` finds, or else `download(folder)`, in one process at a time."""
    if files := cached(folder):
        return files
    with locked(folder, f"downloads {name}", LIMIT):
        return cached(folder) or download(folder)  # the second process finds them


def _cached(folder: Path) -> list[bytes] | None:
    with suppress(OSError, ValueError):  # missing, not to be read, or damaged: to be written anew
        return _checked([(folder / name).read_bytes() for name in SHA256])


def _checked(files: list[bytes]) -> list[bytes]:
    if [hashlib.sha256(file).hexdigest() for file in files] != list(SHA256.values()):
        raise ValueError("other bytes than WikiText-2's")
    return files


def _download(folder: Path) -> list[bytes]:
    """Try the sources in turn until one delivers the published files; keep these in `folder`."""
    own, failures = os.environ.get("BERT_TUTORIAL_WIKITEXT2_URL"), []
    for source in ((own,), *SOURCES) if own else SOURCES:
        try:
            # A zip may be a file on this machine.
            files = [Path(s).read_bytes() if os.path.isfile(s) else fetch(s) for s in source]
            files = _checked(_unzip(files[0]) if len(source) == 1 else files)
        except (OSError, ValueError) as error:
            failures.append(re.sub(r"(?<=//)[^/@]*@", "", f"{source[0]}: {error}"))  # no password
            continue
        for name, content in zip(SHA256, files, strict=True):
            write_file(folder / name, content)
        return files
    raise ConnectionError(
        f"WikiText-2 is not in {folder} and could not be downloaded ({'; '.join(failures)}): "
        'use corpus="bundled", the path of a text file of your own, or set '
        "BERT_TUTORIAL_WIKITEXT2_URL to a zip of it"
    )


def fetch(address: str, name: str = "WikiText-2", largest: int | None = None) -> bytes:
    """Download one file; try again where the failure may pass (no connection, broken body, 5xx)."""
    end = time.monotonic() + LIMIT
    for pause in (*PAUSES, LIMIT):  # three tries; there is no time for a fourth
        received = bytearray()
        try:
            with (
                tqdm(desc=name, unit="B", unit_scale=True, leave=False) as bar,
                requests.get(address, headers=HEADERS, timeout=TIMEOUT, stream=True) as response,
            ):
                response.raise_for_status()
                bar.reset(response.raw.length_remaining)
                # Small blocks: one is waited for until it is whole, however slowly it comes.
                for block in response.iter_content(2**7):
                    received.extend(block)
                    bar.update(len(block))
                    if len(received) > (largest or LARGEST) or time.monotonic() > end:
                        raise ValueError(f"too large or too slow: {len(received):,} bytes so far")
            return bytes(received)
        except requests.RequestException as error:
            status = getattr(error.response, "status_code", None)
            may_pass = status is None or status >= 500 or status in (408, 429)
            if isinstance(error, ValueError) or not may_pass or time.monotonic() + pause > end:
                why = f"HTTP status {status}" if status else type(error).__name__
                why += "".join(re.findall(r"\](: [^(\]]+) \(_ssl", str(error).replace("] ", "]: ")))
                raise ValueError(why) from error
        time.sleep(pause)


def _unzip(archive: bytes) -> list[bytes]:
    """The two members. No more is unpacked than WikiText-2 has, whatever the archive says."""
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as members:
            found = [members.getinfo(f"wikitext-2/{name}") for name in SHA256]
            # Python unpacks the other kinds whole, and then cuts them to their size.
            if max(member.compress_type for member in found) > zipfile.ZIP_DEFLATED:
                raise zipfile.BadZipFile
            return [members.open(member).read(LARGEST) for member in found]
    except Exception as error:  # BadZipFile, KeyError, zlib.error, EOFError, ...
        raise ValueError("not a zip of WikiText-2 that can be read") from error
