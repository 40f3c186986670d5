"""The cache folder; files that are written whole or not at all, and tensors read back."""

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import platformdirs
from filelock import FileLock, Timeout
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, uint8


def cache_dir() -> Path:
    """Folder of downloads and trained networks: BERT_TUTORIAL_CACHE, or the user's cache folder."""
    folder = os.environ.get("BERT_TUTORIAL_CACHE")
    try:
        return Path(folder or platformdirs.user_cache_dir("bert_tutorial")).expanduser()
    except RuntimeError:  # no HOME, and a user whom the system does not know: some containers
        own = getattr(os, "getuid", int)()
        path = Path(tempfile.gettempdir()) / f"bert_tutorial-{own}"
        path.mkdir(0o700, exist_ok=True)
        if path.lstat().st_uid != own:
            must = "set BERT_TUTORIAL_CACHE to a folder of yours"
            raise PermissionError(f"{path} belongs to somebody else: {must}") from None
        return path


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Where the code inside raises an OSError, one says which file cannot be written, and why."""
    try:
        yield
    except OSError as error:
        other = "set BERT_TUTORIAL_CACHE to" if cache_dir() in path.parents else "choose"
        raise OSError(
            f"{path} cannot be written ({error.strerror or error}): make room or give access "
            f"there, or {other} another folder"
        ) from error


@contextmanager
def locked(folder: Path, doing: str, limit: float = -1) -> Iterator[None]:
    """Let one process at a time work in a folder; another one says what it waits for.

    It waits at most `limit` seconds, without end by default, and then raises a TimeoutError.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".lock").touch()
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=1)
    except Timeout:
        print(f"waiting for another process, which {doing}", file=sys.stderr)
        lock.acquire(timeout=limit)
    try:
        yield
    finally:
        lock.release()


def write_file(path: Path, content: bytes) -> None:
    """Write a file whole, and its folder; a failed or interrupted write leaves the old one."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    with writing(path):
        with suppress(FileExistsError):  # a file: the next lines say that it is not a folder
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.write_bytes(content)
            with part.open("r+b") as file:
                os.fsync(file.fileno())  # or a power cut could leave an empty file of that name
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)


def write_safetensors(path: str | Path, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
    """Write tensors, from any device, and what there is to know about them, as far as JSON goes."""
    # Not safetensors' own save_file: its files are for one user only, whatever the umask, and its
    # errors are no OSErrors.
    metadata = {name: json.dumps(value) for name, value in about.items()}
    write_file(Path(path), save(tensors, metadata))


def digest(tensors: dict[str, Tensor], about: dict[str, Any]) -> str:
    """SHA-256 of tensors, from any device, and what is known about them."""
    found = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        found.update(tensor.detach().cpu().contiguous().flatten().view(uint8).numpy())
    return found.hexdigest()


def read_safetensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `write_safetensors` wrote: tensors on the CPU, and what is known about them.

    Raises:
        OSError: It cannot be read; the message names it, and the cause.
        SafetensorError, json.JSONDecodeError: It is another kind of file.
    """
    try:
        # Opened twice, because safe_open says of every file that it cannot open that it is missing.
        with open(path, "rb"), safe_open(path, "pt") as file:
            about = {name: json.loads(value) for name, value in (file.metadata() or {}).items()}
            # Cloned, because the tensors of an open file are views of it, and it may be replaced.
            return {name: file.get_tensor(name).clone() for name in file.keys()}, about
    except OSError as error:
        raise type(error)(
            f"{path} cannot be read ({error.strerror or error}): give access to it, or choose "
            "another file"
        ) from error
