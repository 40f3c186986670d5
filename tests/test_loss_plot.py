"""Curves of runs: that what matters is to be seen, from whatever losses, names and threads."""

import io
import math
import re
from itertools import combinations, pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib import style
from PIL import Image

from bert_tutorial.pretraining import loss_plot
from bert_tutorial.pretraining.evaluation import Baselines, Evaluation
from bert_tutorial.pretraining.loss_plot import LossPlot, smooth, vertical_range
from bert_tutorial.pretraining.run import Progress, Settings, Step, describe
from bert_tutorial.studio.runs import overlay as overlay_file
from bert_tutorial.studio.runs.overlay import STYLES, describe_overlay, overlay, style_of

HOSTILE = ["$x_{", "$x_{$", "<b>", "\\frac", "_hidden", "%s{0}", "", " ", "a\nb", "$$", "鶴" * 90]
NAN = float("nan")
KNOWN = Baselines(9.9, 6.8, 0.06, 0.69, 4.9, 0.3)  # uniform, word frequencies, neighbours


def curves(losses, held_out=None, nsp=0.7):
    """History and evaluations: by default of the first and the last step."""
    history = [Step(i + 1, loss, nsp, 16, 0.01, 0.005) for i, loss in enumerate(losses)]
    held_out = {0: 7.0, len(losses): 6.0} if held_out is None else held_out
    return history, [(step, Evaluation(x, 0.1, 0.7, 0.5)) for step, x in held_out.items()]


def a_run(losses=(), held_out=None, known=KNOWN, nsp=0.7, rate=0.5):
    history, held_out = curves(losses, held_out, nsp)
    examples, settings = SimpleNamespace(next_sentence_rate=rate), Settings(num_steps=50)
    return Progress(examples, settings, history, held_out, known, "training")


def drawn(run):
    """A plot that has drawn a run, and what it has shown: PNG, alternative text."""
    shown = []
    plot = LossPlot(run, lambda *what: shown.append(what))
    plot.close()
    return plot, *shown[0]


def pixels(png):
    image = Image.open(io.BytesIO(png))
    assert image.size == (800, 300)
    return np.asarray(image.convert("RGB")).astype(int)


def names_in(panel):
    return [x.get_text() for x in panel.levels if hasattr(x, "get_text") and x.get_text()]


def falling(number):
    return [7 - i / 10 for i in range(number)]


def test_a_run_is_drawn_from_before_its_first_step_to_its_end(monkeypatch):
    run = a_run()
    plot, png, alt = drawn(run)
    assert plot.title.get_text() == "0 steps, 0 sentence pairs/s"
    assert alt.startswith("No training step yet")
    pngs, still, draw = [png], [], plot.figure.draw
    plot.show = lambda png, alt: pngs.append(png)
    monkeypatch.setattr(plot.figure, "draw", lambda renderer: still.append(draw(renderer)))
    for losses, num_still in ((falling(30), 1), ([*falling(30), 4.2], 1), ([*falling(50), 1.0], 2)):
        run.history, run.held_out = curves(losses, {0: 7.0, 30: 6.0})
        plot.close()
        plot.close()  # nothing has changed
        assert len(still) == num_still  # axes and names are drawn only when they change
        assert drawn(run)[1] == pngs[-1]  # and nothing is left of the older pictures
    assert len(set(pngs)) == len(pngs) == 4 and all(pixels(png).any() for png in pngs)
    for panel, field in zip(plot.panels, ("mlm_loss", "nsp_loss"), strict=True):
        raw, strong, held_out = (line.get_data() for line in panel.lines)
        values = [getattr(step, field) for step in run.history]
        assert list(raw[1]) == values and list(held_out[0]) == [0, 30]
        assert list(strong[0]) == list(range(1, 52)) and list(strong[1]) == smooth(values, 0.9)


def test_every_dot_asks_the_same_text_and_what_all_of_it_says_is_told():
    run = a_run(falling(10), {0: 7.0, 10: 6.0})
    run.held_out.append((10, run.held_out[0][1]._replace(mlm_loss=9.0)))  # of all held-out text
    plot, _, alt = drawn(run)
    assert [list(values) for values in plot.panels[0].lines[2].get_data()] == [[0, 10], [7.0, 6.0]]
    assert "held-out text 6.00 at the last dot, step 10, 9.00 on all of it" in alt


def test_a_picture_takes_at_most_two_percent_of_the_time(monkeypatch):
    now, shown = [100.0], []
    monkeypatch.setattr(loss_plot.time, "monotonic", lambda: now[0])
    plot = LossPlot(a_run(falling(3)), lambda png, alt: shown.append(now[0]))
    plot._draw = lambda title: now.__setitem__(0, now[0] + 0.1)
    monkeypatch.setattr(loss_plot, "to_png", lambda figure, compress_level, draw: draw() or b"")
    while now[0] < 120:
        plot.run.history.append(plot.run.history[-1])
        plot.update()
        now[0] += 0.01
    assert np.diff(shown) == pytest.approx(5.0, abs=0.3) and len(shown) > 3
    before = len(shown)
    plot.smoothing = 0.5  # a slider is answered at once
    plot.update()
    plot.run.doing = "evaluating"  # that may take long, so it is said at once
    plot.update()
    assert len(shown) == before + 2


def test_baselines_come_later_and_the_coin_has_its_own_axis():
    run = a_run(falling(20), known=None)
    plot, without, _ = drawn(run)
    assert names_in(plot.panels[0]) == [] and names_in(plot.panels[1]) == ["a coin 0.69"]
    run.baselines = KNOWN
    assert drawn(run)[1] != without
    for nsp, wanted in ((0.5, (0.3, 1.1)), (NAN, (0.3, 1.1)), (1.7, (0.3, 1.8))):
        low, high = drawn(a_run([7.0] * 20, nsp=nsp))[0].panels[1].axes.get_ylim()
        assert low == wanted[0] and wanted[1] <= high < wanted[1] + 0.3
    plot, png, _ = drawn(a_run(falling(5), rate=1.0))  # where that game is not played
    assert [panel.field for panel in plot.panels] == ["mlm_loss"]
    pixels(png)


def test_a_long_title_leaves_the_panels_and_the_legend_as_they_are():
    plot, *_ = drawn(a_run(falling(5)))
    pngs = []
    plot.show = lambda png, alt: pngs.append(png)
    for text in ("", "$x_{$" + "m" * 90):
        plot.drawn = ()
        plot._show(text)
    changed = np.argwhere((pixels(pngs[0]) != pixels(pngs[1])).any(2))
    assert len(changed) and all(y < 30 and x < 530 for y, x in changed)
    assert plot.title.get_text().endswith("m…")


def test_a_picture_that_fails_stops_no_run(monkeypatch):
    monkeypatch.setattr(LossPlot, "_draw", lambda *_: 1 / 0)
    _, png, alt = drawn(a_run(falling(5)))
    assert png == b"" and alt.endswith("The picture cannot be drawn: division by zero")


class GrowingList(list):
    """A list to which another thread appends while it is read."""

    def __iter__(self):
        yield from super().__iter__()
        self.append(self[-1])


def test_a_run_that_goes_on_meanwhile_can_be_drawn_and_described():
    run = a_run(falling(30), dict.fromkeys(range(10), 7.0))
    run.history, run.held_out = GrowingList(run.history), GrowingList(run.held_out)
    runs = {"one": (run.history, run.held_out)}
    pixels(drawn(run)[1]), pixels(overlay(runs))
    assert describe(run) and describe_overlay(runs)


def test_smoothing_is_a_running_mean_without_a_pull_to_zero():
    values = [5.0, 3.0, 4.0, 1.0]
    assert smooth(values, 0) == values and smooth([], 0.9) == []
    mean = np.average(values, weights=0.9 ** np.arange(4)[::-1])
    assert smooth(values, 0.9)[-1] == pytest.approx(mean)
    means = smooth([2.0, NAN, 4.0, math.inf], 0.5)  # what is not a number does not spread
    assert math.isnan(means[1]) and means[2:] == [pytest.approx((0.5 * 2 + 4) / 1.5), math.inf]


def test_a_high_beginning_is_cut_off_and_a_late_rise_is_not():
    losses = [9.9, 9.0] + [6.0] * 40
    low, high = vertical_range([(losses, losses, [9.9, 6.1])], [])
    assert low < 6 and 6.1 < high < 7
    losses += [8.0]
    assert vertical_range([(losses, losses, [9.9, 6.1])], [])[1] > 8
    assert vertical_range([(losses, losses, [9.9, 6.1, 9.5])], [])[1] > 9.5


def test_the_axis_moves_gently_while_a_noisy_run_goes_on():
    random = np.random.default_rng(0)
    losses = (5 + 5 * np.exp(-np.arange(430) / 60) + random.normal(0, 0.15, 430)).tolist()
    means = smooth(losses, 0.9)
    ranges = [vertical_range([(losses[:n], means[:n], [])], KNOWN[:2]) for n in range(20, 430)]
    for (low, high), (next_low, next_high) in pairwise(ranges):
        assert abs(next_low - low) + abs(next_high - high) < 0.4 * (high - low)
    assert len(set(ranges)) < len(ranges) / 8  # mostly it stays


@pytest.mark.parametrize(
    ("losses", "names"),
    [
        ([6.5] * 50, ["word frequencies 6.80", "uniform 9.90 ↑", "two neighbours 4.90 ↓"]),
        ([7.0] * 50, ["uniform 9.90", "word frequencies 6.80", "two neighbours 4.90 ↓"]),
        ([3.0] * 50, ["uniform 9.90, word frequencies 6.80 ↑\ntwo neighbours 4.90"]),
        (
            [6.7 - i / 26 for i in range(50)],  # it ends where the name would stand at the right
            ["uniform 9.90 ↑\nword frequencies 6.80", "two neighbours 4.90"],
        ),
    ],
)
def test_the_nearest_baseline_above_is_seen_and_no_name_stands_on_another_or_on_a_curve(
    losses, names
):
    panel = drawn(a_run(losses, {50: losses[-1]}))[0].panels[0]
    assert sorted(names_in(panel)) == sorted(names)
    inside = [line.get_ydata()[0] for line in panel.levels if hasattr(line, "get_ydata")]
    assert inside == pytest.approx(
        [float(name.split()[-1]) for name in names if name[-1].isdigit()]
    )
    room, texts = panel.axes.bbox, [text for text in panel.levels if hasattr(text, "get_text")]
    boxes = [text.get_window_extent() for text in texts if text.get_text()]
    for box in boxes:
        assert room.x0 < box.x0 and box.x1 < room.x1 and room.y0 < box.y0 and box.y1 < room.y1
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    to_pixels = panel.axes.transData.transform
    ends = [to_pixels((line.get_xdata()[-1], line.get_ydata()[-1])) for line in panel.lines[1:]]
    assert not any(box.contains(*end) for box in boxes for end in ends)


@pytest.mark.parametrize(
    "losses", [[0.0], [30.0], [1e9], [NAN], [7.0, NAN, 6.0], [math.inf] * 3, [7.0, -math.inf]]
)
@pytest.mark.filterwarnings("error")
def test_any_losses_can_be_drawn(losses):
    run = a_run(losses, {0: losses[-1]}, nsp=losses[0])
    plot, png, _ = drawn(run)
    pixels(png), pixels(overlay({"one": (run.history, run.held_out)}, KNOWN))
    low, high = plot.panels[0].axes.get_ylim()
    assert math.isfinite(low) and math.isfinite(high)
    assert not math.isfinite(losses[0]) or low < losses[0] < high


def test_a_run_in_words():
    assert describe(a_run([8.51, 6.0, 5.62], {0: 9.9, 3: 5.83})) == (
        "Training loss of the masked words, as a running mean, falls from 8.51 to 6.61 nats over 3 "
        "steps; held-out text 5.83 at the last dot, step 3, word frequencies alone reach 6.80, two "
        "neighbours 4.90."
    )
    assert "goes from 5.00 to 7.00 nats" in describe(a_run([5.0, 7.0]), smoothing=0)
    assert "falls from 7.00 to 6." in describe(a_run([7.0, *[6.0] * 30, 9.0]))  # as the line does
    assert describe(a_run(known=None, held_out={})) == "No training step yet."
    assert "yet; held-out text 7.00 at the last dot, step 0." in describe(a_run([], {0: 7.0}, None))


def test_several_runs_in_words():
    runs = {"small": curves(falling(9)), "large": curves(falling(20), {0: 8.0, 20: 5.0})}
    assert describe_overlay(runs | {"new": ([], [])}) == (
        "Held-out loss of the masked words in nats: small 6.00 after step 9, large 5.00 after step "
        "20, new not measured yet; large has the lowest."
    )
    assert describe_overlay({}) == "No runs yet."
    assert "lowest" not in describe_overlay({"small": runs["small"]})


def test_every_run_has_a_colour_a_dash_and_a_marker_of_its_own():
    assert len(STYLES) >= 8 and style_of(len(STYLES)) == style_of(0)
    assert all(len(set(values)) == len(STYLES) for values in zip(*STYLES, strict=True))
    safe = style.library["tableau-colorblind10"]["axes.prop_cycle"].by_key()["color"]
    for colour, dash, _ in STYLES:
        assert colour in safe and re.fullmatch(r"(\d+ \d+( \d+ \d+)*)?", dash)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("number", [0, 1, 8, 30])
def test_runs_of_any_name_in_one_picture(number, monkeypatch):
    figures, to_png = [], overlay_file.to_png
    keep = lambda figure, **how: figures.append(figure) or to_png(figure, **how)  # noqa: E731
    monkeypatch.setattr(overlay_file, "to_png", keep)
    names = [*HOSTILE, *map(str, range(30))][:number]
    runs = {x: curves([6 + i / 4] * 50, {0: 6 + i / 4, 50: 6}) for i, x in enumerate(names)}
    png = overlay(runs, KNOWN, 0.9)
    found = {f"#{r:02X}{g:02X}{b:02X}" for r, g, b in pixels(png).reshape(-1, 3).tolist()}
    assert {style_of(i).colour for i in range(number)} <= found
    assert overlay(runs, None, 0.9) != png
    legend = figures[0].axes[0].get_legend()
    assert legend.get_window_extent().y0 >= 0
    shown = [text.get_text() for text in legend.get_texts()]
    assert shown[:3] == names[:3] and all(len(name) <= 24 for name in shown)
    assert number < 30 or shown[-1] == "and 17 more"
