"""The cache folder, and files and tensors on disk."""

import errno
import os
import subprocess
import sys
import tempfile

import pytest
import torch
from safetensors import SafetensorError
from small import assert_identical

from bert_tutorial.cache import cache_dir, read_safetensors, write_file, write_safetensors

CACHE = "BERT_TUTORIAL_CACHE"


def test_the_cache_folder_is_the_named_one_or_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    assert cache_dir() == tmp_path / "cache" and not (tmp_path / "cache").exists()
    for change in (lambda: monkeypatch.setenv(CACHE, ""), lambda: monkeypatch.delenv(CACHE)):
        change()
        assert cache_dir().is_absolute() and "bert_tutorial" in cache_dir().parts


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere everybody has a home")
@pytest.mark.parametrize("named", ["", "~/cache"])
def test_without_a_home_the_cache_is_among_the_temporary_files(monkeypatch, tmp_path, named):
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)  # a user whom the system does not know
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv(CACHE, named)
    folder = tmp_path / f"bert_tutorial-{os.getuid()}"
    assert cache_dir() == folder and folder.stat().st_mode & 0o777 == 0o700
    other = os.getuid() + 1
    monkeypatch.setattr(os, "getuid", lambda: other)
    folder.rename(tmp_path / f"bert_tutorial-{other}")
    with pytest.raises(PermissionError, match="belongs to somebody else: set BERT_TUTORIAL_CACHE"):
        cache_dir()


@pytest.mark.nightly
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere everybody has a home")
def test_the_package_needs_no_home():
    code = "import pwd; pwd.getpwuid = {}.__getitem__; from bert_tutorial import load_pretrained; "
    env = {name: os.environ[name] for name in os.environ.keys() - {"HOME", "XDG_CACHE_HOME", CACHE}}
    subprocess.run([sys.executable, "-c", f"{code} load_pretrained()"], env=env, check=True)


def test_tensors_and_what_is_known_about_them_come_back(tmp_path):
    path = tmp_path / "folder" / "file.safetensors"
    tensors = {"a": torch.arange(3), "b": torch.rand(2, 2)}
    about = {"words": ["é", "b"], "step": 3, "settings": {"x": None}}
    write_safetensors(path, tensors, about)
    found, known = read_safetensors(path)
    assert known == about
    assert_identical(found, tensors)
    path.write_bytes(bytes(path.stat().st_size))  # what was read does not hang on the file
    assert torch.equal(found["a"], torch.arange(3))
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no umask")
def test_written_files_are_whole_and_for_those_whom_the_umask_allows(tmp_path):
    before = os.umask(0o002)
    try:
        write_safetensors(tmp_path / "file", {"a": torch.arange(3)}, {})
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o664
    with (tmp_path / "file").open("rb") as reader:  # who reads it meanwhile has the old one, whole
        write_file(tmp_path / "file", b"new")
        assert len(reader.read()) > 20


@pytest.mark.parametrize(("name", "number", "other"), [
    ("file", errno.EFBIG, f"set {CACHE} to"),  # a full disk
    ("new/file", errno.EACCES, f"set {CACHE} to"),  # a folder that may only be read
    ("old/new/file", errno.ENOTDIR, "choose"),  # below a file
    ("folder", errno.EISDIR, "choose"),  # a folder in the way
])  # fmt: skip
def test_what_cannot_be_written_is_named_and_the_old_file_stays(
    full_disk, plain_user_folder, monkeypatch, name, number, other
):
    monkeypatch.setenv(CACHE, str(plain_user_folder) if CACHE in other else "elsewhere")
    for old in ("old", "file"):
        write_file(plain_user_folder / old, b"old")
    (plain_user_folder / "folder").mkdir()
    plain_user_folder.chmod(0o500 if number == errno.EACCES else 0o700)
    size, path = 1000 if number == errno.EFBIG else 10**6, plain_user_folder / name
    with full_disk(size), pytest.raises(OSError) as caught:
        write_safetensors(path, {"a": torch.zeros(1000)}, {})
    plain_user_folder.chmod(0o700)
    assert str(caught.value) == (
        f"{path} cannot be written ({os.strerror(number)}): make room or give access there, or "
        f"{other} another folder"
    )
    assert {p.name for p in plain_user_folder.iterdir()} == {"old", "folder", "file"}
    assert all((plain_user_folder / old).read_bytes() == b"old" for old in ("old", "file"))


def test_what_cannot_be_read_is_named(plain_user_folder):
    (plain_user_folder / "folder").mkdir()
    (plain_user_folder / "file").touch(0)
    (plain_user_folder / "text").write_text("something else")
    faults = {"folder": errno.EISDIR, "file": errno.EACCES, "none": errno.ENOENT}
    for name, number in faults.items():
        said = f"{name} cannot be read .{os.strerror(number)}.: "
        with pytest.raises(type(OSError(number, "")), match=said):
            read_safetensors(plain_user_folder / name)
    with pytest.raises(SafetensorError):
        read_safetensors(plain_user_folder / "text")
