"""The cache folder, and files and tensors on disk."""

import errno
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from bert_tutorial.cache import cache_dir, read_safetensors, write_file, write_safetensors


def test_the_cache_folder_is_the_named_one_or_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv("BERT_TUTORIAL_CACHE", str(tmp_path / "cache"))
    assert cache_dir() == tmp_path / "cache"
    monkeypatch.setenv("BERT_TUTORIAL_CACHE", "")
    assert cache_dir().is_absolute() and "bert_tutorial" in cache_dir().parts
    monkeypatch.delenv("BERT_TUTORIAL_CACHE")
    assert cache_dir().is_absolute() and "bert_tutorial" in cache_dir().parts
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("named", ["", "~/cache"])
def test_without_a_home_the_cache_is_among_the_temporary_files(monkeypatch, tmp_path, named):
    def no_home(*_):
        raise RuntimeError("could not determine the home directory")

    monkeypatch.setenv("BERT_TUTORIAL_CACHE", named)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(Path, "expanduser", no_home)
    assert cache_dir() == tmp_path / "bert_tutorial"


@pytest.mark.skipif(sys.platform == "win32", reason="there is no pwd")
def test_a_user_whom_the_system_does_not_know(tmp_path):
    code = (
        "import pwd; pwd.getpwuid = {}.__getitem__; import bert_tutorial; "
        "print(bert_tutorial.load_pretrained().description); "
        "print(bert_tutorial.cache.cache_dir())"
    )
    names = {"HOME", "XDG_CACHE_HOME", "BERT_TUTORIAL_CACHE"}
    known = {name: value for name, value in os.environ.items() if name not in names}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=known | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "comes with the package" in done.stdout
    assert sys.platform != "linux" or str(tmp_path / "bert_tutorial") in done.stdout


def test_tensors_and_what_is_known_about_them_come_back(tmp_path):
    path = tmp_path / "folder" / "file.safetensors"
    tensors = {"a": torch.arange(3), "b": torch.rand(2, 2)}
    about = {"words": ["é", "b"], "step": 3, "settings": {"x": None}}
    write_safetensors(path, tensors, about)
    found, known = read_safetensors(path)
    assert known == about and found.keys() == tensors.keys()
    assert all(torch.equal(found[name], value) for name, value in tensors.items())
    write_safetensors(path, {"a": torch.zeros(3)}, {})  # what was read does not hang on the file
    assert torch.equal(found["a"], torch.arange(3))
    assert list(path.parent.iterdir()) == [path]


def test_another_kind_of_file(tmp_path):
    (tmp_path / "file").write_text("something else")
    with pytest.raises(SafetensorError):
        read_safetensors(tmp_path / "file")
    with pytest.raises(FileNotFoundError):
        read_safetensors(tmp_path / "none")


@pytest.mark.skipif(sys.platform == "win32", reason="there is no umask")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_written_files_are_for_those_whom_the_umask_allows(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_safetensors(tmp_path / "file", {"a": torch.arange(3)}, {})
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == mode


def refused(path: Path, cause: str) -> str:
    """The one sentence that says why a file cannot be written."""
    with pytest.raises(OSError) as error:
        write_safetensors(path, {"a": torch.zeros(1000)}, {})
    text = str(error.value)
    assert text.startswith(f"{path} cannot be written ({cause}): make room or give access there")
    assert "\n" not in text
    return text


def test_a_full_disk_is_named_and_the_old_file_stays(tmp_path, full_disk):
    path = tmp_path / "file"
    write_safetensors(path, {"a": torch.arange(3)}, {})
    with full_disk(1000):
        assert refused(path, os.strerror(errno.EFBIG)).endswith("or choose another folder")
    assert torch.equal(read_safetensors(path)[0]["a"], torch.arange(3))
    assert list(tmp_path.iterdir()) == [path]


def test_no_space_is_named_and_what_was_written_so_far_goes(tmp_path, monkeypatch):
    def half(part, content):
        with part.open("wb") as file:
            file.write(content[:100])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", half)
    monkeypatch.setenv("BERT_TUTORIAL_CACHE", str(tmp_path))
    text = refused(tmp_path / "folder" / "file", os.strerror(errno.ENOSPC))
    assert text.endswith("or set BERT_TUTORIAL_CACHE to another folder")
    assert list((tmp_path / "folder").iterdir()) == []


def test_a_folder_that_cannot_be_made_or_that_is_in_the_way_is_named(tmp_path):
    (tmp_path / "mine").write_text("a file")
    refused(tmp_path / "mine" / "file", os.strerror(errno.ENOTDIR))
    refused(tmp_path / "mine" / "new" / "file", os.strerror(errno.ENOTDIR))
    assert (tmp_path / "mine").read_text() == "a file"
    (tmp_path / "file").mkdir()
    refused(tmp_path / "file", os.strerror(errno.EISDIR))
    with pytest.raises(OSError, match=f"file cannot be read .{os.strerror(errno.EISDIR)}.: "):
        read_safetensors(tmp_path / "file")


def test_missing_permission_is_named(plain_user_folder):
    path = plain_user_folder / "file"
    write_file(path, b"old")
    plain_user_folder.chmod(0o500)
    refused(path, os.strerror(errno.EACCES))
    refused(path.parent / "new" / "file", os.strerror(errno.EACCES))
    plain_user_folder.chmod(0o700)
    assert list(path.parent.iterdir()) == [path] and path.read_bytes() == b"old"
    path.chmod(0)
    with pytest.raises(OSError, match=f"file cannot be read .{os.strerror(errno.EACCES)}.: "):
        read_safetensors(path)
