"""The exercises, worked through in a real JupyterLab: wrong answers, near misses, right ones."""

import json

import pytest

from bert_tutorial.exercises.answers import CHECKS
from conftest import NOTEBOOK_JS

pytestmark = pytest.mark.browser

LOOP = "def {name}(*_):\n    while True:\n        pass"


def run_cell(lab, start: str, source: str | None = None) -> None:
    """Run the code cell that begins so, with another source if one is given; wait for its end."""
    lab.page.evaluate(
        f"""async ([start, source]) => {{
            {NOTEBOOK_JS}
            const index = [...panel.content.model.cells].findIndex(
                cell => cell.type === "code" && cell.sharedModel.source.startsWith(start));
            if (index < 0) throw new Error(`no cell begins with ${{start}}`);
            if (source !== null) panel.content.model.cells.get(index).sharedModel.setSource(source);
            panel.content.activeCellIndex = index;
            panel.content.deselectAll();
            await window.jupyterapp.commands.execute("notebook:run-cell");
        }}""",
        [start, source],
    )


def output(lab, start: str) -> str:
    """What stands under the code cell that begins so."""
    return lab.page.evaluate(
        f"""start => {{
            {NOTEBOOK_JS}
            const cell = cells.find(cell => cell.sharedModel.source.startsWith(start));
            const text = output => [output.text ?? ""].flat().join("");
            return cell.outputs.toJSON().map(text).join("");
        }}""",
        start,
    )


def names_of(path) -> dict[str, str]:
    """The learner's function of each exercise, as the notebook calls it."""
    cells = json.loads(path.read_text("utf-8"))["cells"]
    calls = ["".join(cell["source"]) for cell in cells]
    calls = [call.removeprefix("check_fix(").rstrip(")") for call in calls if "check_fix(" in call]
    pairs = (call.split(", ") for call in calls if call.startswith('"'))
    return {name.strip('"'): function for name, function in pairs}


@pytest.mark.timeout(600)
def test_all_exercises_are_solved_by_somebody_who_errs_first(lab, pictures):
    lab.open("04_exercises.ipynb")
    names = names_of(lab.server.root / "04_exercises.ipynb")
    assert list(names) == list(CHECKS)
    imports = (
        "import torch",
        "from bert_tutorial.exercises.answers",
        "from bert_tutorial import BERT",
    )
    for start in ('corpus = "bundled"', *imports):
        run_cell(lab, start)
    for number, (name, function) in enumerate(names.items(), start=1):
        own, check = f"def {function}(", f'check_fix("{name}"'
        yours = lab.page.evaluate(
            f"""text => {{
                {NOTEBOOK_JS}
                return cells.find(cell => cell.sharedModel.source.includes(text))
                    .sharedModel.source;
            }}""",
            own,
        )
        assert yours.startswith("# Yours:"), yours
        run_cell(lab, yours)
        run_cell(lab, check)
        assert output(lab, check).startswith("As it was"), name
        # A near miss, which has its own message.
        head = yours.splitlines()[0]
        for which, message in list(enumerate(CHECKS[name].near_misses))[1:2]:
            code = f"from bert_tutorial.exercises.answers import CHECKS\n{function} = "
            code += f'list(CHECKS["{name}"].near_misses.values())[{which}]'
            run_cell(lab, head, f"{head}\n{code}")
            run_cell(lab, check)
            assert message.split(":")[0][:40] in output(lab, check).replace("\n", " "), name
        if number == 1:  # it takes the whole limit
            run_cell(lab, head, f"{head}\n{LOOP.format(name=function)}")
            run_cell(lab, check)
            assert "loop for ever" in output(lab, check)
        run_cell(lab, head, f'{head}\n{function} = CHECKS["{name}"].solution')
        run_cell(lab, check)
        assert f"Solved {number} of {len(CHECKS)}" in output(lab, check), output(lab, check)
    lab.screenshot(pictures / "exercises_solved.png")
    lab.page.reload()  # another page and, below, another kernel
    lab.open("04_exercises.ipynb")
    run_cell(lab, "from bert_tutorial.exercises.answers")
    run_cell(lab, "print(progress_line())")
    assert f"Solved {len(CHECKS)} of {len(CHECKS)}" in output(lab, "print(progress_line())")
    assert lab.errors() == []
