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
def test_pytest_with_nbval_collects_every_notebook_and_without_it_none():
    with_nbval = pytest_in(ROOT, "--nbval", "--collect-only", "-q")
    without = pytest_in(ROOT, "--collect-only", "-q")
    for path in NOTEBOOKS:
        cell = f"\nnotebooks/{path.name}::Cell 0\n"
        assert cell in with_nbval and cell not in without
    assert "tests/test_vocabulary.py::" in with_nbval and "tests/test_vocabulary.py::" in without


@pytest.mark.nightly
def test_a_notebook_passes_where_it_stands():
    assert " passed" in pytest_in(ROOT / "notebooks", "--nbval", "-q", NOTEBOOKS[0].name)


def test_the_notebooks_are_copied_and_what_is_there_stays(tmp_path, monkeypatch):
    copied = command.copy_notebooks(tmp_path / "here")
    assert [path.name for path in copied] == [path.name for path in NOTEBOOKS]
    assert copied[0].read_bytes() == NOTEBOOKS[0].read_bytes()
    copied[0].write_text("mine")
    command.copy_notebooks(tmp_path / "here")
    assert copied[0].read_text() == "mine"
    for name in ("CHECKOUT", "INSTALLED"):  # a package without notebooks
        monkeypatch.setattr(command, name, tmp_path)
    with pytest.raises(FileNotFoundError, match="install the package again"):
        command.copy_notebooks(tmp_path / "here")


def test_jupyterlab_is_opened_at_the_first_notebook(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(subprocess, "run", lambda c: subprocess.CompletedProcess(c, c[-3:]))
    ran = command.main(["--folder", str(tmp_path), "--port", "9000"])
    assert ran == [str(tmp_path / NOTEBOOKS[0].name), "--port", "9000"]
    assert str(tmp_path) in capsys.readouterr().out


def test_what_is_built_is_complete(tmp_path):
    build = (
        "import sys; folder = sys.argv[1]; from setuptools import build_meta as build; "
        "build.build_wheel(folder); build.build_sdist(folder)"
    )
    copy = tmp_path / "project"
    if subprocess.run(["git", "checkout-index", "-a", f"--prefix={copy}/"], cwd=ROOT).returncode:
        pytest.skip("this is not a git checkout, so there is no list of tracked files")
    command = [sys.executable, "-c", build, str(tmp_path)]
    subprocess.run(command, cwd=copy, check=True, stdout=subprocess.DEVNULL)
    (wheel,), (sdist,) = tmp_path.glob("*.whl"), tmp_path.glob("*.tar.gz")
    names = zipfile.ZipFile(wheel).namelist()
    for path in NOTEBOOKS:
        assert any(name.endswith(f"share/bert_tutorial/notebooks/{path.name}") for name in names)
    for part in ("py.typed", "data/corpus/train.tokens", "data/checkpoints/bundled.safetensors"):
        assert f"bert_tutorial/{part}" in names
    with tarfile.open(sdist) as archive:
        packed = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    assert {"Makefile", "constraints.txt", "tests/golden.json"} <= packed
    assert f"notebooks/{NOTEBOOKS[0].name}" in packed
