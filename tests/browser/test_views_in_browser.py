"""The views in a real browser: hovered, clicked, dragged, reached by keys."""

import re

import numpy as np
import pytest
from playwright.sync_api import expect

from bert_tutorial.studio.widgets import views
from conftest import wait_until

pytestmark = pytest.mark.browser

HOSTILE = ["<b>x</b>", "<script>document.title='broken into'</script>"]
WORDS = ["a", "crane", "driver", "came", *HOSTILE]
RNG = np.random.default_rng(0)


def test_chips_are_clicked_with_mouse_and_keys(blank):
    notes = {"crane": "bird 94 of 100", HOSTILE[1]: "<i>note</i>"}
    tokens = [{"text": w, "note": notes.get(w), "is_unknown": w.startswith("<")} for w in WORDS]
    chips = views.TokenChips(label="Sentence 1", chosen=[1], tokens=tokens)
    page = blank.show(chips)
    buttons = page.get_by_role("group", name="Sentence 1").get_by_role("button")
    expect(buttons).to_have_count(6)
    for count in (1, 2):
        buttons.get_by_text("driver").click()
        blank.has(clicked={"index": 2, "count": count})
    blank.press("Shift+Tab")
    for count, key in enumerate(("Enter", "Space"), start=3):
        blank.press(key)
        blank.has(clicked={"index": 1, "count": count})
    pressed = page.locator("[aria-pressed='true']")
    expect(pressed).to_have_text("crane bird 94 of 100")
    chips.chosen, chips.tokens = [0], [*chips.tokens, {"text": "new"}]
    expect(buttons).to_have_count(7)
    expect(pressed).to_have_text("a")
    assert "crane" in blank.focused()  # the focus outlives being drawn anew
    assert page.get_by_role("button", name=HOSTILE[1]).get_by_text("<i>note</i>").is_visible()
    expect(page.get_by_role("button", name="(unknown)")).to_have_count(2)
    assert blank.passed_on() <= {"Shift", "Tab"}


def test_heatmap_tells_numbers_and_selects_cells(blank):
    values = RNG.uniform(-1, 1, (6, 5)).tolist()
    values[1][2] = 0.31
    view = views.TokenHeatmap(
        rows=WORDS, columns=WORDS[:5], caption="cosines", values=values, marked=[[1, 1], [2, 2]]
    )
    page = blank.show(view)
    grid, status = page.get_by_role("grid", name="cosines"), page.get_by_role("status")
    cell = grid.get_by_role("gridcell", name="crane, driver: 0.31")
    expect(cell).to_have_text("0.31")
    cell.hover()
    expect(status).to_have_text("crane, driver: 0.31")
    cell.click()
    blank.has(selected=[1, 2])
    expect(cell).to_have_attribute("aria-selected", "true")
    for key, *place in (
        ("ArrowDown", 2, 2), ("ArrowRight", 2, 3), ("Home", 2, 0), ("End", 2, 4),
        ("Control+Home", 0, 0), ("ArrowLeft", 0, 0), ("ArrowRight", 0, 1), ("ArrowUp", 0, 1),
        ("Control+End", 5, 4), ("ArrowRight", 5, 4), ("Home", 5, 0), ("ArrowDown", 5, 0),
        ("End", 5, 4),
    ):  # fmt: skip
        blank.press(key)
        at = grid.locator("tbody tr").nth(place[0]).get_by_role("gridcell").nth(place[1])
        expect(at).to_be_focused()
        expect(status).to_have_text(blank.focused() + (" (framed)" if place == [2, 2] else ""))
    blank.press("Enter")
    blank.has(selected=[5, 4])
    expect(grid.locator("[tabindex='0']")).to_have_count(1)
    view.low, view.values = 0, [[0.5] * 5] * 6
    expect(grid.locator("tbody tr").nth(5)).to_contain_text("0.50")
    assert blank.focused() == f"{HOSTILE[1]}, {HOSTILE[0]}: 0.50"
    view.rows, view.values = ["one"], [[float("nan")]]
    expect(grid.locator("tbody tr")).to_have_count(1)
    expect(grid.get_by_role("gridcell", name="one, crane: no number")).to_have_text("")
    assert blank.passed_on() <= {"Control"}
    # Many columns have no numbers in their cells.
    view.columns, view.values = ["word"] * 13, [[0.25] * 13]
    expect(grid.get_by_role("gridcell", name="one, word: 0.25").last).to_have_text("")


def test_a_heatmap_is_readable_in_black_or_white(blank):
    view = views.TokenHeatmap(rows=["r"], columns=[*"abc"], values=[[-1, 0, 1]])
    page = blank.show(view)
    white, black = "rgb(255, 255, 255)", "rgb(0, 0, 0)"
    colours = {"rgb(10, 38, 84)": white, "rgb(121, 122, 122)": black, "rgb(246, 224, 92)": black}
    for cell, colour in zip(page.get_by_role("gridcell").all(), colours, strict=True):
        expect(cell).to_have_css("background-color", colour)
        expect(cell).to_have_css("color", colours[colour])
    legend = page.get_by_role("img", name="Colours: dark is -1.00, bright is 1.00")
    expect(legend).to_contain_text("0.00")
    view.strong = [[0, 2]]  # beside it the others are pale
    expect(page.get_by_role("gridcell").first).to_have_css("background-color", re.compile("/ 0.4"))
    expect(page.get_by_role("gridcell").last).to_have_css("background-color", "rgb(246, 224, 92)")


def test_attention_follows_mouse_keys_and_choices(blank):
    weights = np.random.default_rng(0).dirichlet(np.ones(6), size=(2, 4, 6))
    view = views.AttentionView()
    view.show(WORDS, weights)
    page = blank.show(view)
    status, lines = page.get_by_role("status"), page.locator(".bert-lines line")
    numbers, every = page.locator("ol b"), lines.count()
    driver = page.get_by_role("button", name="driver", exact=True)
    driver.hover()
    expect(status).to_contain_text("driver looks at: ")
    assert 0 < lines.count() <= 6 < every
    mean = weights[0, :, 2].mean(0)
    expect(numbers).to_have_text([f"{weight:.2f}" for weight in mean])
    best = f"driver looks at: {WORDS[mean.argmax()]} {mean.max():.2f}, "
    expect(status).to_contain_text(best)
    driver.focus()
    blank.press("ArrowDown")
    expect(status).to_contain_text("came looks at: ")
    blank.press("Enter")
    blank.has(layer=0, head=-1, kept=3)
    page.mouse.move(0, 0)
    page.get_by_role("combobox", name="Layer").select_option("2")
    blank.has(layer=1, head=-1, kept=3)
    expect(status).to_contain_text("came looks at: ")  # it is kept
    page.get_by_role("combobox", name="Head").select_option("head 3")
    blank.has(layer=1, head=2, kept=3)
    expect(page.get_by_role("button", name="head 3")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="head 1").click()
    blank.has(layer=1, head=0, kept=3)
    expect(page.get_by_role("combobox", name="Head")).to_have_value("0")
    expect(numbers).to_have_text([f"{weight:.2f}" for weight in weights[1, 0, 3]])
    came = page.get_by_role("button", name="came", exact=True)
    came.press("Home")
    expect(page.get_by_role("button", name="a", exact=True)).to_be_focused()
    came.click()
    blank.has(layer=1, head=0, kept=-1)
    page.mouse.move(0, 0)
    expect(status).to_contain_text("Point at a token")
    view.show(["one", "two"], np.full((1, 2, 2, 2), 0.5))
    expect(page.get_by_role("toolbar").get_by_role("button")).to_have_text(["one", "two"])
    expect(lines).to_have_count(4)
    blank.has(layer=0, head=0, kept=-1)
    strong = 0.9 * np.eye(10) + 0.01  # ten tokens that look at one each, and a little at all
    view.show([f"token {i}" for i in range(10)], strong[None, None])
    expect(lines).to_have_count(10)
    expect(status).to_contain_text("The strongest line is 0.91, none below 0.27.")
    assert blank.passed_on() == set()


def test_points_are_read_dragged_over_and_selected_by_keys(blank):
    groups = ["bird", "machine", "verb", "name"]
    points = [
        {"x": x, "y": y, "group": groups[i % 4], "kind": "corpus", "text": f"sentence {i}"}
        for i, (x, y) in enumerate(RNG.normal(size=(60, 2)).tolist())
    ]
    typed = {"x": 0.5, "y": 0.4, "group": "typed", "kind": "typed", "label": HOSTILE[0]}
    last = {"x": 9, "group": "bird", "label": "the last", "text": "the rightmost sentence"}
    points += [{**typed, "text": "a typed " + HOSTILE[1]}, {**typed, **last}]
    view = views.PointMap(points=points, x_name="first", y_name="second", caption="uses of crane")
    page = blank.show(view)
    status, listed = page.get_by_role("status"), page.locator(".bert-list li")
    options = page.get_by_role("listbox", name="uses of crane").get_by_role("option")
    expect(options).to_have_count(62)
    expect(page.get_by_role("list", name="Groups").get_by_role("listitem")).to_have_count(5)
    last = "bird, the last: the rightmost sentence"
    options.last.hover()
    expect(status).to_have_text(last)
    page.mouse.move(0, 0)
    expect(status).to_contain_text("Point at a point")
    stop = page.locator("[role=option][tabindex='0']")
    expect(stop).to_have_count(1)
    stop.focus()
    blank.press("End")
    expect(status).to_have_text(last)
    blank.press("Space")
    blank.has(selected=[61])
    blank.press("ArrowLeft", "Space")
    expect(listed).to_have_count(2)
    blank.press("Space")
    blank.has(selected=[61])
    expect(listed).to_have_text([last])
    assert blank.passed_on() == set()

    def drag(*corners: tuple[float, float]) -> list[int]:
        box, before = page.locator(".bert-map").bounding_box(), view.selected
        for (right, down), press in zip(corners, (page.mouse.down, page.mouse.up), strict=True):
            page.mouse.move(box["x"] + box["width"] * right, box["y"] + box["height"] * down)
            press()
        wait_until(page, lambda: view.selected != before)
        return view.selected

    left = drag((0.06, 0.04), (0.6, 0.85))
    expect(listed.last).to_have_text(f"and {len(left) - 30} more")
    expect(listed).to_have_count(31)
    assert 61 not in left
    page.keyboard.down("Shift")
    assert drag((0.8, 0.04), (0.99, 0.9)) == [*left, 61]
    page.keyboard.up("Shift")
    page.get_by_role("button", name="Clear selection").click()
    blank.has(selected=[])
    page.get_by_role("option", name=HOSTILE[0]).click()
    blank.has(selected=[60])
    expect(status).to_contain_text(HOSTILE[1])
    one = {"x": 1, "y": 1, "group": "yours", "kind": "typed", "label": "first"}
    view.points = [{"x": 0, "y": 0, "group": "water"}, one, {**one, "label": "second"}]
    labels, marks = page.locator(".bert-typed text"), page.locator(".bert-typed path")
    expect(labels).to_have_text(["first", "second"])  # at one point, one under the other
    first, second = (label.bounding_box() for label in labels.all())
    assert second["y"] - first["y"] > 0.7 * first["height"]
    expect(marks.first).to_have_attribute("d", re.compile("^M0,-6 "))  # also beside one group only


def test_the_names_of_two_points_in_one_place_stand_one_under_the_other(blank):
    names, typed = ("sentence 1", "sentence 2"), {"x": 0, "y": 0, "group": "yours", "kind": "typed"}
    points = [{**typed, "label": name} for name in names]
    points.append({"x": 1, "y": 1, "group": "bird", "kind": "corpus", "text": "far away"})
    page = blank.show(views.PointMap(points=points))
    boxes = [page.locator(".bert-map").get_by_text(name).bounding_box() for name in names]
    assert abs(boxes[1]["y"] - boxes[0]["y"]) > 12


def test_meter_is_a_table(blank):
    row = {"label": "crane", "source": "network", "position": -0.7, "low": -0.85, "high": -0.55,
           "left": "bird", "right": "machine", "text": "bird, 94 of 100"}  # fmt: skip
    control = {"source": "bag of words", "position": 2.0, "low": None, "high": None}
    unknown = {**row, "label": HOSTILE[0], "position": None, "text": HOSTILE[1]}
    control["is_undecided"] = True
    meter = views.Meter(caption="Which crane?", rows=[row, {**row, **control}, unknown])
    page = blank.show(meter)
    table = page.get_by_role("table", name="Which crane?")
    expect(table.get_by_role("row")).to_have_count(1 + 2 + 3)  # and a folded one
    controls = table.get_by_role("button", name="Controls: bag of words")
    expect(controls).to_have_attribute("aria-expanded", "false")
    controls.press("Enter")
    expect(table.get_by_role("row")).to_have_count(1 + 2 + 4)
    meter.caption = "Which one?"
    table = page.get_by_role("table", name="Which one?")  # drawn anew, it stays open
    expect(table.get_by_role("row")).to_have_count(1 + 2 + 4)
    assert "Controls" in blank.focused()
    expect(table.get_by_role("rowheader")).to_have_count(2 + 3)
    end = "-1 is bird, 1 is machine"
    said = [
        f"network: -0.70, band from -0.85 to -0.55; {end}",
        f"bag of words: 2.00, undecided; {end}",
    ]
    said.append(f"network: no position, band from -0.85 to -0.55; {end}")
    tracks = table.get_by_role("img")
    assert [track.get_attribute("aria-label") for track in tracks.all()] == said
    for track, place in zip(tracks.all()[:2], (0.15, 1.0), strict=True):
        found = track.evaluate(
            """track => { const [a, b] = [track, track.querySelector(".bert-dot")]
                .map(each => each.getBoundingClientRect());
                return (b.x + b.width / 2 - a.x) / a.width; }"""
        )
        assert abs(found - place) < 0.01
    meter.rows = []
    expect(table.get_by_role("row")).to_have_count(1)


def test_a_button_that_cannot_be_pressed_keeps_the_focus(blank):
    row = views.ButtonRow(names=["Start", "Stop"], active=["Start"], label="Training")
    page = blank.show(row)
    start, stop = page.get_by_role("group", name="Training").get_by_role("button").all()
    start.click()
    blank.has(clicked={"name": "Start", "count": 1})
    row.active = ["Stop"]
    expect(start).to_have_attribute("aria-disabled", "true")
    blank.press("Enter")  # it has the focus, and does nothing
    stop.press("Space")
    blank.has(clicked={"name": "Stop", "count": 2})
    row.names = ["Begin", "Stop"]
    expect(page.get_by_role("button", name="Begin")).to_be_visible()
    expect(page.get_by_role("button", name="Stop")).to_be_focused()


def test_a_picture_is_replaced_and_goes(blank):
    dot = "89504e470d0a1a0a0000000d4948445200000001000000010806000000 1f15c489" \
          "0000000d49444154789c6360000002000001e221bc330000000049454e44ae426082"  # fmt: skip
    picture = views.Picture(png=bytes.fromhex(dot.replace(" ", "")), alt="one pixel")
    page = blank.show(picture)
    image = page.get_by_alt_text("one pixel")
    expect(image).to_have_js_property("naturalWidth", 1)
    picture.alt = "<b>x</b>"
    expect(page.locator("img")).to_have_attribute("alt", "<b>x</b>")
    picture.png = b""
    expect(page.locator("img")).to_be_hidden()
