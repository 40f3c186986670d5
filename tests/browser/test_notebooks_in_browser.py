"""Run All works in every notebook, in a real JupyterLab; and faults in a page are noticed."""

import json
import re
from pathlib import Path

import pytest

from conftest import NOTEBOOKS, wait_until

pytestmark = pytest.mark.browser


def called(alt: str) -> str:
    """An alternative text up to its first number: those of a run or a machine differ."""
    return re.split(r"\d", alt)[0]


def stored(path: Path) -> list[str]:
    """What the figures stored in a notebook are called."""
    cells = json.loads(path.read_text("utf-8"))["cells"]
    data = [output.get("data", {}) for cell in cells for output in cell.get("outputs", ())]
    return [called("".join(one["text/plain"])) for one in data if "image/png" in one]


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_run_all_works(lab, path):
    def figures_are_there() -> bool:
        """Whether each figure of a cell can be seen, in order; those of widgets do not count."""
        found = lab.page.locator(".jp-RenderedHTMLCommon.jp-OutputArea-output img").evaluate_all(
            """images => images.filter(image => !image.closest(".bert-lab-static"))
                .map(image => image.naturalWidth > 100 ? image.alt : "not to be seen")"""
        )
        return [called(alt) for alt in found] == stored(path)

    lab.open(path.name)
    # A notebook that was not run here is not trusted: its figures must survive that.
    wait_until(lab.page, figures_are_there)
    lab.run_all()
    wait_until(lab.page, figures_are_there)
    lab.screenshot(path.stem)
    assert lab.errors() == []


def test_a_failing_cell_a_broken_widget_and_an_error_in_the_page_are_noticed(lab):
    broken_widget = """import anywidget
class Broken(anywidget.AnyWidget):
    _esm = "export default { render() { throw new Error('no picture today') } }"
Broken()"""
    lab.open_cells("broken.ipynb", "1", broken_widget, "1 / 0", "2")
    lab.page.wait_for_function("() => document.body.innerText.includes('no picture today')")
    errors = "\n".join(lab.errors())
    assert "ZeroDivisionError" in errors and "no picture today" in errors
