"""The cache folder, and the one way in which tensors are written to disk and read back."""

import json
import os
from pathlib import Path
from typing import Any

import platformdirs
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor


def cache_dir() -> Path:
    """Folder of downloads and trained networks.

    Returns:
        The environment's BERT_TUTORIAL_CACHE, or else the user's cache folder on this system.
    """
    folder = os.environ.get("BERT_TUTORIAL_CACHE")
    return Path(folder or platformdirs.user_cache_dir("bert_tutorial")).expanduser()


def write_safetensors(path: str | Path, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
    """Write tensors and what there is to know about them.

    An interrupted write leaves the old file whole.

    Args:
        path: The file; its folder is made where it is missing.
        tensors: By name, on any device.
        about: By name, anything that JSON can hold.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        save_file(tensors, part, {name: json.dumps(value) for name, value in about.items()})
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def read_safetensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `write_safetensors` wrote.

    Returns:
        The tensors by name, on the CPU, and what was written about them.

    Raises:
        FileNotFoundError: There is no such file.
        SafetensorError, json.JSONDecodeError: It is another kind of file.
    """
    with safe_open(path, "pt") as file:
        about = {name: json.loads(value) for name, value in (file.metadata() or {}).items()}
        # Cloned, because the tensors of an open file are views of it, and it may be replaced.
        return {name: file.get_tensor(name).clone() for name in file.keys()}, about
