"""Run a notebook from top to bottom with other parameters, and read what it shows."""

import re
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))


def run_notebook(path: Path, folder: Path, **parameters) -> nbformat.NotebookNode:
    """Execute a notebook in `folder`, with other parameters as far as it has them."""
    notebook = nbformat.read(path, as_version=4)
    tags = [cell.metadata.get("tags", ()) for cell in notebook.cells]
    (place,) = [number for number, some in enumerate(tags) if "parameters" in some]
    known = re.findall(r"^(\w+) =", notebook.cells[place].source, flags=re.M)
    lines = [f"{name} = {value!r}" for name, value in parameters.items() if name in known]
    notebook.cells.insert(place + 1, nbformat.v4.new_code_cell("\n".join(lines)))
    where = {"metadata": {"path": str(folder)}}
    client = NotebookClient(notebook, timeout=1800, kernel_name="python3", resources=where)
    return client.execute()


def printed(notebook: nbformat.NotebookNode) -> str:
    """All that a notebook's cells have printed."""
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    return "".join(out.text for out in outputs if out.output_type == "stream")
