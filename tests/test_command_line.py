"""What people type in a shell: pytest with nbval, python -m bert_tutorial, the built package."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from bert_tutorial import __main__ as command

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def pytest_in(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout


@pytest.mark.nightly
@pytest.mark.parametrize("how", [[], ["--nbval"]])
def test_pytest_with_nbval_collects_every_notebook_and_without_it_none(how):
    collected = pytest_in(ROOT, *how, "--collect-only", "-q")
    for path in NOTEBOOKS:
        assert (f"\nnotebooks/{path.name}::Cell 0\n" in collected) == bool(how)
    assert "tests/test_vocabulary.py::" in collected


@pytest.mark.nightly
def test_a_notebook_passes_where_it_stands():
    assert " passed" in pytest_in(ROOT / "notebooks", "--nbval", "-q", NOTEBOOKS[0].name)


def test_notebooks_are_copied_what_is_there_stays_and_the_first_is_opened(tmp_path, monkeypatch):
    monkeypatch.setattr(subprocess, "run", lambda c: subprocess.CompletedProcess(c, c[-3:]))
    folder, (first, *_) = tmp_path / "here", NOTEBOOKS
    for content in (first.read_bytes(), b"mine"):
        ran = command.main(["--folder", str(folder), "--port", "9000"])
        assert ran == [str(folder / first.name), "--port", "9000"]
        assert sorted(path.name for path in folder.iterdir()) == [path.name for path in NOTEBOOKS]
        assert (folder / first.name).read_bytes() == content
        (folder / first.name).write_bytes(b"mine")
    for name in ("CHECKOUT", "INSTALLED"):  # a package without notebooks
        monkeypatch.setattr(command, name, tmp_path)
    with pytest.raises(FileNotFoundError, match="install the package again"):
        command.copy_notebooks(folder)


def test_what_is_built_is_complete(tmp_path):
    copy, build = tmp_path / "project", "from setuptools import build_meta as build; "
    build += f"build.build_wheel({str(tmp_path)!r}); build.build_sdist({str(tmp_path)!r})"
    if subprocess.run(["git", "checkout-index", "-a", f"--prefix={copy}/"], cwd=ROOT).returncode:
        pytest.skip("this is not a git checkout, so there is no list of tracked files")
    subprocess.run([sys.executable, "-c", build], cwd=copy, check=True, stdout=subprocess.DEVNULL)
    (wheel,), (sdist,) = tmp_path.glob("*.whl"), tmp_path.glob("*.tar.gz")
    names = zipfile.ZipFile(wheel).namelist()
    for path in NOTEBOOKS:
        assert any(name.endswith(f"share/bert_tutorial/notebooks/{path.name}") for name in names)
    for part in ("py.typed", "data/everyday/train.tokens", "data/checkpoints/bundled.safetensors"):
        assert f"bert_tutorial/{part}" in names
    with tarfile.open(sdist) as archive:
        packed = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    assert {"Makefile", "constraints.txt", "tests/golden.json"} <= packed
    assert f"notebooks/{NOTEBOOKS[0].name}" in packed
