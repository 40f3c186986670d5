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

CACHE = "BERT_TUTORIAL_CACHE"


def test_the_cache_folder_is_the_named_one_or_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    assert cache_dir() == tmp_path / "cache" and not (tmp_path / "cache").exists()
    for change in (lambda: monkeypatch.setenv(CACHE, ""), lambda: monkeypatch.delenv(CACHE)):
        change()
        assert cache_dir().is_absolute() and "bert_tutorial" in cache_dir().parts


@pytest.mark.parametrize("named", ["", "~/cache"])
def test_without_a_home_the_cache_is_among_the_temporary_files(monkeypatch, tmp_path, named):
    def no_home(*_):
        raise RuntimeError("could not determine the home directory")

    monkeypatch.setenv(CACHE, named)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(Path, "expanduser", no_home)
    assert cache_dir() == tmp_path / "bert_tutorial"


@pytest.mark.skipif(sys.platform == "win32", reason="there is no pwd")
def test_a_user_whom_the_system_does_not_know(tmp_path):
    code = (
        "import pwd; pwd.getpwuid = {}.__getitem__; import bert_tutorial; "
        "print(bert_tutorial.load_pretrained().description, bert_tutorial.cache.cache_dir())"
    )
    names = {"HOME", "XDG_CACHE_HOME", CACHE}
    env = {name: value for name, value in os.environ.items() if name not in names}
    env |= {"TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
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
def test_written_files_are_whole_and_for_those_whom_the_umask_allows(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_safetensors(tmp_path / "file", {"a": torch.arange(3)}, {})
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == mode
    with (tmp_path / "file").open("rb") as reader:  # who reads it meanwhile has the old one, whole
        write_file(tmp_path / "file", b"new")
        assert len(reader.read()) > 20


FAULTS = {
    # name: (where the file is to be, what is said of it)
    "full": ("file", errno.EFBIG),
    "read-only": ("file", errno.EACCES),
    "read-only parent": ("new/file", errno.EACCES),
    "below a file": ("old/file", errno.ENOTDIR),
    "far below a file": ("old/new/file", errno.ENOTDIR),
    "a folder in the way": ("folder", errno.EISDIR),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("is_cache", [True, False])
def test_what_cannot_be_written_is_named_and_the_old_file_stays(
    full_disk, plain_user_folder, monkeypatch, fault, is_cache
):
    monkeypatch.setenv(CACHE, str(plain_user_folder if is_cache else "elsewhere"))
    old, folder = plain_user_folder / "old", plain_user_folder / "folder"
    write_file(old, b"old")
    write_file(plain_user_folder / "file", b"old")
    folder.mkdir()
    name, number = FAULTS[fault]
    path = plain_user_folder / name
    plain_user_folder.chmod(0o500 if "read-only" in fault else 0o700)
    size = 1000 if fault == "full" else 10**6
    with full_disk(size), pytest.raises(OSError, match="cannot be written") as caught:
        write_safetensors(path, {"a": torch.zeros(1000)}, {})
    plain_user_folder.chmod(0o700)
    other = f"set {CACHE} to" if is_cache else "choose"
    assert str(caught.value) == (
        f"{path} cannot be written ({os.strerror(number)}): make room or give access there, or "
        f"{other} another folder"
    )
    assert {p.name for p in plain_user_folder.iterdir()} == {"old", "folder", "file"}
    assert old.read_bytes() == (plain_user_folder / "file").read_bytes() == b"old"


def test_what_cannot_be_read_is_named(plain_user_folder):
    (plain_user_folder / "folder").mkdir()
    (plain_user_folder / "file").touch(0)
    for name, number in (("folder", errno.EISDIR), ("file", errno.EACCES)):
        with pytest.raises(OSError, match=f"{name} cannot be read .{os.strerror(number)}.: "):
            read_safetensors(plain_user_folder / name)
