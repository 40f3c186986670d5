"""The exercises in a real JupyterLab, by somebody who errs first: as it was, a near miss, right."""

import json
import re

import pytest

from bert_tutorial.exercises.answers import CHECKS

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1800)]


def start_again(lab) -> int:
    """Open the notebook with a new kernel, and run its first cells; how many are solved?"""
    lab.open("04_exercises.ipynb")
    for start in ('corpus = "encyclopaedia"', "from bert_tutorial.notebook", "import numpy"):
        lab.run_cell(start)
    lab.run_cell("from bert_tutorial import BERTModel")
    return int(re.search(r"Solved (\d+) of 14", lab.run_cell("print(progress_line())"))[1])


@pytest.mark.parametrize("number", [2, pytest.param(len(CHECKS), marks=pytest.mark.nightly)])
def test_exercises_are_solved_by_somebody_who_errs_first(lab, number):
    before = start_again(lab)
    notebook = json.loads((lab.server.root / "04_exercises.ipynb").read_text("utf-8"))
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    calls = re.findall(r'check_fix\("(\w+)", (\w+)\)', "\n".join(cells))
    for count, (name, function) in enumerate(calls[:number], start=1):
        check = f'check_fix("{name}"'
        yours = next(cell for cell in cells if f"def {function}(" in cell)
        first = yours.splitlines()[0]

        def answer(code: str, first=first, check=check) -> str:
            """What the check says when this code stands in the learner's cell."""
            lab.run_cell(first, f"{first}\n{code}")
            return " ".join(lab.run_cell(check).split())

        assert answer(yours).startswith("As it was"), name
        ours = f'from bert_tutorial.exercises.answers import CHECKS\n{function} = CHECKS["{name}"].'
        miss = list(CHECKS[name].near_misses)[1]  # the first one is what stands there
        assert miss[:40] in answer(f"{ours}near_misses[{miss!r}]")
        if count == 1:  # it takes the whole limit
            assert "for ever" in answer(f"def {function}(*_):\n    while True:\n        pass")
        assert f"Solved {max(before, count)} of 14" in answer(f"{ours}solution"), name
    lab.screenshot("exercises solved")
    assert lab.errors() == []
    lab.close()
    lab.page.reload()  # another page and another kernel
    assert start_again(lab) == max(before, number)
