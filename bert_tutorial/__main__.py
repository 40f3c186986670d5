"""`python -m bert_tutorial`: copy the notebooks here, and open JupyterLab at the first one."""

import argparse
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

CHECKOUT = Path(__file__).parents[1] / "notebooks"
INSTALLED = Path(sysconfig.get_path("data")) / "share" / "bert_tutorial" / "notebooks"


def copy_notebooks(folder: Path) -> list[Path]:
    """Copy the notebooks into a folder, but none over one that is there; the first lesson first."""
    found = sorted(CHECKOUT.glob("*.ipynb")) or sorted(INSTALLED.glob("*.ipynb"))
    if not found:
        raise FileNotFoundError(f"there are no notebooks in {INSTALLED}: install the package again")
    folder.mkdir(parents=True, exist_ok=True)
    for notebook in found:
        if not (folder / notebook.name).exists():
            shutil.copy(notebook, folder)
    return [folder / notebook.name for notebook in found]


def main(arguments: Sequence[str] | None = None) -> int:
    """Copy and open; further arguments are JupyterLab's, and so is the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bert_tutorial", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("notebooks"), help="where to copy to")
    options, rest = parser.parse_known_args(arguments)
    if find_spec("jupyterlab") is None:  # said before anything is copied
        sys.exit("JupyterLab is not installed here: write python -m pip install jupyterlab")
    first, *_ = copy_notebooks(options.folder)
    print(f"The notebooks are in {options.folder.resolve()}")
    command = [sys.executable, "-m", "jupyterlab", "--ServerApp.ip=127.0.0.1", str(first), *rest]
    return subprocess.run(command).returncode


if __name__ == "__main__":
    try:
        sys.exit(main())
    except OSError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(0)
