"""Run All works in every notebook, in a real JupyterLab in a real browser."""

import json
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.browser

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))


def figures(lab) -> list[tuple[str, bool]]:
    """What each figure under a cell is called, and whether it can be seen; not those of widgets."""
    found = lab.page.locator(".jp-RenderedHTMLCommon.jp-OutputArea-output img").evaluate_all(
        """images => images.filter(image => !image.closest(".bert-lab-static"))
            .map(image => [image.alt, image.naturalWidth > 100])"""
    )
    return [(called(alt), is_seen) for alt, is_seen in found]


def called(alt: str) -> str:
    """An alternative text up to its first number: those of a run or a machine differ."""
    return re.split(r"\d", alt)[0]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_run_all_works(lab, pictures, path):
    cells = json.loads(path.read_text("utf-8"))["cells"]
    stored = [
        output["data"] for cell in cells for output in cell.get("outputs", ()) if "data" in output
    ]
    texts = ["".join(data["text/plain"]) for data in stored if "image/png" in data]
    wanted = [(called(text), True) for text in texts]
    lab.open(path.name)
    # A notebook that was not run here is not trusted: its figures must survive that.
    lab.page.wait_for_timeout(1000)
    assert figures(lab) == wanted
    lab.run_all()
    try:
        lab.wait_idle()
    finally:
        lab.screenshot(pictures / f"{path.stem}.png")
    assert lab.errors() == []
    assert figures(lab) == wanted


def test_a_failing_cell_a_broken_widget_and_an_error_in_the_page_are_noticed(lab):
    broken_widget = """import anywidget
class Broken(anywidget.AnyWidget):
    _esm = "export default { render() { throw new Error('no picture today') } }"
Broken()"""
    lab.open_cells("broken.ipynb", "1", broken_widget, "1 / 0", "2")
    lab.run_all()
    lab.wait_idle()
    lab.page.wait_for_function("() => document.body.innerText.includes('no picture today')")
    errors = "\n".join(lab.errors())
    assert "ZeroDivisionError" in errors
    assert "no picture today" in errors


def test_widgets_answer(lab, tmp_path):
    code = """import ipywidgets
slider = ipywidgets.IntSlider(3, description="Heads")
answer = ipywidgets.Label("untouched")
slider.observe(lambda change: setattr(answer, "value", f"{change.new} heads"), names="value")
ipywidgets.VBox([slider, answer])"""
    long = """from IPython.display import HTML
HTML('<div style="height: 15000px; background: teal"></div>')"""
    lab.open_cells("slider.ipynb", code, long)
    lab.run_all()
    lab.wait_idle()
    handle = lab.page.locator(".widget-hslider .noUi-handle")
    handle.focus()
    handle.press("ArrowRight")
    lab.page.get_by_text("4 heads").wait_for()
    assert "4 heads" in lab.texts()[0]
    assert lab.errors() == []
    pictures = lab.screenshot(tmp_path / "long.png")
    assert [path.name for path in pictures] == ["long-1.png", "long-2.png"]
    assert all(path.is_file() for path in pictures)
