"""Run a notebook from top to bottom with other parameters, and read what it shows."""

import re
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))
CELL_TIMEOUT = 1800  # seconds


def run_notebook(path: Path, folder: Path, **parameters) -> nbformat.NotebookNode:
    """Execute a notebook in a kernel of its own.

    Args:
        path: The notebook; it is not changed.
        folder: Working directory of the kernel.
        **parameters: What to set after the cell tagged "parameters", as papermill does; those
            that the notebook does not have are left out.

    Returns:
        The notebook with its outputs.
    """
    notebook = nbformat.read(path, as_version=4)
    (place,) = (
        number
        for number, cell in enumerate(notebook.cells)
        if "parameters" in cell.metadata.get("tags", [])
    )
    known = re.findall(r"^(\w+) =", notebook.cells[place].source, flags=re.M)
    lines = [f"{name} = {value!r}" for name, value in parameters.items() if name in known]
    notebook.cells.insert(place + 1, nbformat.v4.new_code_cell("\n".join(lines)))
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
    )
    return client.execute()


def printed(notebook: nbformat.NotebookNode) -> str:
    """All that a notebook's cells have printed."""
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    return "".join(out.text for out in outputs if out.output_type == "stream")
