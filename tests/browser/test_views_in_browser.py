"""The views, in a real JupyterLab: hovered, clicked, dragged, reached by keys, and looked at."""

import ast

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

HOSTILE = ["<b>x</b>", "<script>document.title='broken into'</script>"]
PREPARE = f"""import ipywidgets as ipw
import numpy as np
from bert_tutorial.studio.widgets.views import Meter, PointMap, TokenChips, TokenHeatmap
from bert_tutorial.studio.widgets.views import attention_view
rng = np.random.default_rng(0)
words = ["a", "crane", "driver", "came", *{HOSTILE!r}]

def said(view, *names):
    line = ipw.HTML()
    def show(_=None):
        line.value = "state: " + repr([getattr(view, name) for name in names])
    view.observe(show, names=list(names))
    show()
    return ipw.VBox([view, line])"""
CHIPS = """chips = TokenChips(label="Sentence 1", chosen=[1], tokens=[
    {"text": word, "note": note, "is_unknown": word.startswith("<")}
    for word, note in zip(words, ["", "bird 94 of 100", "", "", "", "<i>note</i>"])])
said(chips, "clicked")"""
HEATMAP = """heat = TokenHeatmap(rows=words, columns=words[:5], caption="cosines of tokens",
    values=rng.uniform(-1, 1, (6, 5)).round(2).tolist(), marked=[[1, 1], [2, 2]])
heat.values = [[0.31 if (r, c) == (1, 2) else v for c, v in enumerate(row)]
               for r, row in enumerate(heat.values)]
said(heat, "selected")"""
WIDE = """many = [f"word{i}" for i in range(42)]
wide = TokenHeatmap(rows=many, columns=many, low=0, high=1, caption="a wide heatmap",
    values=rng.uniform(0, 1, (42, 42)).tolist(), marked=[[i, i] for i in range(42)])
wide"""
ATTENTION = """logits = 2 * rng.normal(size=(2, 4, 6, 6))
weights = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
attention = attention_view(words, weights)
said(attention, "layer", "head", "kept")"""
POINTS = """spots = rng.normal(size=(60, 2)).round(2).tolist()
senses = ["bird", "machine", "verb", "name"]
points = [{"x": x, "y": y, "group": senses[i % 4], "kind": "corpus", "label": "crane",
           "text": f"sentence {i} about a crane"} for i, (x, y) in enumerate(spots)]
points += [{"x": 0.5, "y": 0.4, "group": "typed", "kind": "typed", "label": words[4],
            "text": "a typed " + words[5]},
           {"x": 9.0, "y": 0.4, "group": "bird", "kind": "typed", "label": "the last one",
            "text": "the rightmost sentence"}]
spots = PointMap(points=points, x_name="first component", y_name="second component",
                 caption="uses of crane")
said(spots, "selected")"""
METER = """place = {"left": "bird", "right": "machine"}
Meter(caption="Which crane?", rows=[
    {**place, "label": f"crane, sentence {n}", "source": source, "position": position,
     "low": spread and position - spread, "high": spread and position + spread, "text": text}
    for n, source, position, spread, text in [
        (1, "network", -0.7, 0.15, "bird, 94 of 100"), (1, "untrained", 0.1, 0.3, "no lean"),
        (1, "bag of words", -0.3, None, "bird, 61 of 100"),
        (2, "network", 0.8, 0.1, "machine, 97 of 100"), (2, "untrained", 0.1, 0.3, words[5])]])"""
CELLS = [PREPARE, CHIPS, HEATMAP, ATTENTION, POINTS, METER]


def open_with(lab, name: str, *sources: str) -> None:
    """A notebook of these cells, run."""
    lab.open_cells(name, *sources)
    lab.run_all()
    lab.wait_idle()
    lab.page.locator(".bert-view").first.wait_for()


def wait_for_state(lab, *values) -> None:
    """Wait until the kernel has said that its traits have these values."""
    expect(lab.page.locator(".widget-html-content")).to_have_text(f"state: {list(values)!r}")


def state(lab) -> list:
    return ast.literal_eval(
        lab.page.locator(".widget-html-content").inner_text().removeprefix("state: ")
    )


def run_in_kernel(lab, code: str) -> None:
    """Run code as another cell would, and wait until it is done."""
    lab.page.evaluate(
        """async code => {
            const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
            await kernel.requestExecute({code}).done;
        }""",
        code,
    )


def focused(lab) -> str:
    return lab.page.evaluate(
        "() => document.activeElement.ariaLabel ?? document.activeElement.innerText"
    )


@pytest.fixture(autouse=True)
def nothing_wrong(lab):
    """No error in the console or a cell, no request elsewhere, and what is text stays text."""
    yield
    assert lab.errors() == []
    assert lab.page.title() != "broken into"
    assert lab.page.locator(".bert-view b", has_text="x").count() == 0


def test_chips_are_clicked_with_mouse_and_keys(lab):
    open_with(lab, "chips.ipynb", PREPARE, CHIPS)
    page = lab.page
    group = page.get_by_role("group", name="Sentence 1")
    assert group.get_by_role("button").count() == 6
    group.get_by_role("button", name="driver").click()
    wait_for_state(lab, {"index": 2, "count": 1})
    group.get_by_role("button", name="driver").click()
    wait_for_state(lab, {"index": 2, "count": 2})
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    wait_for_state(lab, {"index": 1, "count": 3})
    page.keyboard.press("Space")
    wait_for_state(lab, {"index": 1, "count": 4})
    pressed = page.locator(".bert-chip[aria-pressed='true']")
    expect(pressed).to_have_text("crane bird 94 of 100")
    run_in_kernel(lab, "chips.chosen = [0]; chips.tokens = [*chips.tokens, {'text': 'new'}]")
    expect(group.get_by_role("button")).to_have_count(7)
    expect(pressed).to_have_text("a")
    assert "crane" in focused(lab)  # the focus outlives being drawn anew
    assert group.get_by_role("button", name="<script>").get_by_text("<i>note</i>").is_visible()
    assert group.get_by_role("button", name="(unknown)").count() == 2


def test_heatmap_tells_numbers_and_selects_cells(lab):
    open_with(lab, "heatmap.ipynb", PREPARE, HEATMAP)
    page, status = lab.page, lab.page.locator(".bert-view [role=status]")
    grid = page.get_by_role("grid", name="cosines of tokens")
    cell = grid.get_by_role("gridcell", name="crane, driver: 0.31")
    expect(cell).to_have_text("0.31")
    cell.hover()
    expect(status).to_have_text("crane, driver: 0.31")
    cell.click()
    wait_for_state(lab, [1, 2])
    expect(cell).to_have_attribute("aria-selected", "true")
    for key, place in {
        "ArrowDown": (2, 2),
        "ArrowRight": (2, 3),
        "Home": (2, 0),
        "End": (2, 4),
        "Control+Home": (0, 0),
        "ArrowUp": (0, 0),
        "Control+End": (5, 4),
    }.items():
        page.keyboard.press(key)
        at = page.evaluate("() => [document.activeElement.dataset].map(d => [d.row, d.column])[0]")
        assert tuple(map(int, at)) == place, key
        expect(status).to_have_text(focused(lab) + (" (framed)" if place == (2, 2) else ""))
    page.keyboard.press("Enter")
    wait_for_state(lab, [5, 4])
    assert grid.locator("[tabindex='0']").count() == 1
    run_in_kernel(lab, "with heat.hold_sync(): heat.low = 0; heat.values = [[0.5] * 5] * 6")
    expect(grid.locator("tbody tr").nth(5)).to_contain_text("0.50")
    assert focused(lab) == f"{HOSTILE[1]}, {HOSTILE[0]}: 0.50"
    run_in_kernel(lab, "with heat.hold_sync(): heat.rows = ['one']; heat.values = [[float('nan')]]")
    expect(grid.locator("tbody tr")).to_have_count(1)
    expect(grid.get_by_role("gridcell", name="one, crane: no number")).to_have_text("")


def test_attention_follows_mouse_keys_and_choices(lab):
    open_with(lab, "attention.ipynb", PREPARE, ATTENTION)
    page, status = lab.page, lab.page.locator(".bert-view [role=status]")
    lines = page.locator(".bert-lines line")
    every = lines.count()
    driver = page.get_by_role("button", name="driver", exact=True)
    driver.hover()
    expect(status).to_contain_text("driver looks at: ")
    assert 0 < lines.count() <= 6 < every
    numbers = page.locator(".bert-tokens li b").all_inner_texts()
    assert abs(sum(map(float, numbers)) - 1) < 0.04
    driver.focus()
    page.keyboard.press("ArrowDown")
    expect(status).to_contain_text("came looks at: ")
    page.keyboard.press("Enter")
    wait_for_state(lab, 0, -1, 3)
    page.mouse.move(0, 0)
    page.get_by_role("combobox", name="Layer").select_option("2")
    wait_for_state(lab, 1, -1, 3)
    expect(status).to_contain_text("came looks at: ")  # it is kept
    page.get_by_role("combobox", name="Head").select_option("head 3")
    wait_for_state(lab, 1, 2, 3)
    expect(page.get_by_role("button", name="head 3")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="head 1").click()
    wait_for_state(lab, 1, 0, 3)
    expect(page.get_by_role("combobox", name="Head")).to_have_value("0")
    row = page.evaluate(
        "() => [...document.querySelectorAll('.bert-tokens li b')].map(b => b.innerText)"
    )
    run_in_kernel(
        lab, "assert [f'{w:.2f}' for w in weights[1, 0, 3]] == " + repr(row) + ", 'other numbers'"
    )
    page.get_by_role("button", name="came", exact=True).click()
    wait_for_state(lab, 1, 0, -1)
    page.mouse.move(0, 0)
    expect(status).to_contain_text("Point at a token")
    run_in_kernel(lab, "attention.show(['one', 'two'], np.full((1, 2, 2, 2), 0.5))")
    wait_for_state(lab, 0, 0, -1)
    expect(page.locator(".bert-tokens button")).to_have_text(["one", "two"])
    expect(lines).to_have_count(4)


def test_points_are_read_dragged_over_and_selected_by_keys(lab):
    open_with(lab, "points.ipynb", PREPARE, POINTS)
    page, status = lab.page, lab.page.locator(".bert-view [role=status]")
    options = page.get_by_role("listbox", name="uses of crane").get_by_role("option")
    assert options.count() == 62
    options.last.hover()
    expect(status).to_have_text("bird, the last one: the rightmost sentence")
    assert page.locator("[role=option][tabindex='0']").count() == 1
    page.locator("[role=option][tabindex='0']").focus()
    page.keyboard.press("End")
    expect(status).to_have_text("bird, the last one: the rightmost sentence")
    page.keyboard.press("Space")
    wait_for_state(lab, [61])
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Space")
    expect(page.locator(".bert-list li")).to_have_count(2)
    page.keyboard.press("Space")
    wait_for_state(lab, [61])
    expect(page.locator(".bert-list li")).to_have_text(
        ["bird, the last one: the rightmost sentence"]
    )
    box = page.locator(".bert-map").bounding_box()
    page.mouse.move(box["x"] + 40, box["y"] + 15)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.85, steps=5)
    page.mouse.up()
    expect(page.locator(".bert-list li").last).to_contain_text("more")
    # The page knows it at once, the kernel a moment later.
    expect(page.locator(".widget-html-content")).not_to_have_text("state: [[61]]")
    selected = state(lab)[0]
    assert len(selected) > 31 and page.locator(".bert-list li").count() == 31
    assert page.locator(".bert-list li").last.inner_text() == f"and {len(selected) - 30} more"
    page.get_by_role("button", name="Clear selection").click()
    wait_for_state(lab, [])
    typed = page.get_by_role("option", name=HOSTILE[0])
    typed.click()
    wait_for_state(lab, [60])
    assert HOSTILE[1] in status.inner_text()


def test_meter_is_a_table(lab):
    open_with(lab, "meter.ipynb", PREPARE, METER)
    table = lab.page.get_by_role("table", name="Which crane?")
    assert table.get_by_role("row").count() == 1 + 2 + 5
    row = table.get_by_role("row", name="94 of 100")
    track = row.get_by_role("img").get_attribute("aria-label")
    assert track == "network: -0.70, band from -0.85 to -0.55; -1 is bird, 1 is machine"
    left, width = row.locator(".bert-track").evaluate(
        """track => { const [a, b] = [track, track.querySelector(".bert-dot")]
            .map(each => each.getBoundingClientRect());
            return [b.x + b.width / 2 - a.x, a.width]; }"""
    )
    assert abs(left / width - 0.15) < 0.01


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_all_views_fit_the_page_in_both_themes(lab, pictures, theme):
    open_with(lab, "views.ipynb", *CELLS, WIDE)
    page = lab.page
    lab.set_theme(theme)
    page.evaluate("() => window.jupyterapp.shell.collapseLeft()")
    page.get_by_role("toolbar").get_by_role("button", name="came").click()
    page.get_by_role("gridcell", name="crane, driver: 0.31").click()
    page.locator(".bert-point").last.click()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Space")
    expect(page.locator(".bert-list li")).to_have_count(2)
    for width in (900, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        too_wide = page.evaluate(
            """() => [document.documentElement, ...document.querySelectorAll(
                ".jp-WindowedPanel-outer, .jp-OutputArea-output, .bert-view")]
                .filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.className)"""
        )
        assert too_wide == []
        lab.screenshot(pictures / f"views-{theme.lower()}-{width}.png")
    lab.set_theme("Light")
