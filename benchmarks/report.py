"""Results are kept in results/*.json; the tables of README.md are made from them."""

import json
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from bert_tutorial.devices import machine

HERE = Path(__file__).parent
MACHINE = machine(torch.device("cpu"))


def results_file(name: str) -> Path:
    return HERE / "results" / f"{name}.json"


def keep(name: str, results: dict) -> None:
    """Write results/NAME.json."""
    path = results_file(name)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")


def kept(name: str) -> dict:
    """Read results/NAME.json; {} if there is none."""
    path = results_file(name)
    return json.loads(path.read_text()) if path.exists() else {}


def paragraph(text: str) -> str:
    """In lines of at most 100 columns."""
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False)


def with_table(about: str, header: list[str], rows: list[list[str]]) -> str:
    """A paragraph and a table."""
    lines = [f"| {' | '.join(row)} |" for row in (header, *rows)]
    lines.insert(1, "|---" * len(header) + "|")
    return "\n".join([paragraph(about), "", *lines])


def put_into_readme(name: str, text: str) -> None:
    """Replace what stands between `<!-- name -->` and `<!-- end of name -->` in README.md."""
    path = HERE / "README.md"
    before, rest = path.read_text(encoding="utf-8").split(f"<!-- {name} -->\n", 1)
    _, after = rest.split(f"<!-- end of {name} -->", 1)
    path.write_text(
        f"{before}<!-- {name} -->\n{text}\n<!-- end of {name} -->{after}", encoding="utf-8"
    )


SEEDS = (0, 1, 2)


def report_seeds(name: str, measure: Callable[[int], dict[str, float]], about: str) -> None:
    """Measure with each seed what results/NAME.json does not have yet, and renew NAME's table."""
    runs = kept(name).get("runs", [])
    for seed in SEEDS:
        if not any(run["seed"] == seed for run in runs):
            runs.append({"seed": seed, "machine": MACHINE, "found": measure(seed)})
            keep(name, {"runs": runs})
            print(runs[-1], flush=True)
    put_into_readme(name, table_of_seeds(runs, about))
    print(table_of_seeds(runs, about))


def table_of_seeds(runs: list[dict], about: str) -> str:
    """A row for each figure: the mean of the seeds, the lowest and the highest."""
    rows = []
    for name in runs[0]["found"]:
        values = np.array([run["found"][name] for run in runs])
        digits = 0 if name.startswith("seconds") else 1 if name.startswith("lead") else 3
        shown = [f"{value:.{digits}f}" for value in (values.mean(), values.min(), values.max())]
        rows.append([name, shown[0], f"{shown[1]} to {shown[2]}"])
    about = f"{runs[0]['machine']}. {about}, {len(runs)} seeds."
    return with_table(about, ["", "mean", "lowest to highest"], rows)


def number_machines(results: list[dict]) -> tuple[dict[str, int], str]:
    """A number for each machine in a table, and the sentence that explains the numbers."""
    names = dict.fromkeys(result["machine"] for result in results)
    numbers = {name: number for number, name in enumerate(names, 1)}
    explained = "; ".join(f"({number}) {name}" for name, number in numbers.items())
    return numbers, f"Machines: {explained}."


def gigabytes(num_bytes: float) -> str:
    return f"{num_bytes / 1e9:.2f} GB"
