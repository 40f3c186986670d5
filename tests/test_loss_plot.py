"""Curves of runs: that what matters is to be seen, from whatever losses, names and threads."""

import io
import math
import re
import struct
import sys
import warnings
from itertools import pairwise

import numpy as np
import pytest
from matplotlib import style
from PIL import Image
from small import assert_same_from_threads
from torch.testing import assert_close

from bert_tutorial.pretraining.evaluation import Baselines, Evaluation
from bert_tutorial.pretraining.levels import LINE, spread, vertical_range
from bert_tutorial.pretraining.loss_plot import LossPlot, describe, every_kth, extremes, smooth
from bert_tutorial.pretraining.overlay import STYLES, describe_overlay, overlay, style_of
from bert_tutorial.pretraining.training import Step

HOSTILE = ["$x_{", "$x_{$", "<b>", "\\frac", "_hidden", "%s{0}", "", " ", "a\nb", "$$", "鶴" * 90]
NAN = float("nan")
KNOWN = Baselines(
    uniform=9.9,
    unigram=6.8,
    unigram_accuracy=0.06,
    nsp=0.693,
    neighbours=4.9,
    neighbours_accuracy=0.27,
)


def size(png):
    """Width and height in pixels, of what must be a whole PNG."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n") and png.endswith(b"IEND\xaeB`\x82")
    return struct.unpack(">II", png[16:24])


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def history(losses, nsp=0.7):
    return [Step(i + 1, loss, nsp, 16, 0.01, 0.005) for i, loss in enumerate(losses)]


def steps(n):
    return [Step(i + 1, 7 - i / 10, 0.7 - i / 100, 16, 0.01, 0.005) for i in range(n)]


def evaluations(*at):
    return [(step, Evaluation(7 - step / 10, 0.1, 0.7, 0.5)) for step in at]


def texts(artists):
    """What is to be read, with plain spaces."""
    return [x.get_text().replace("\xa0", " ") for x in artists if x.get_visible() and x.get_text()]


# One run.


def test_losses_before_the_first_step_and_later():
    plot = LossPlot(50, KNOWN)
    empty = plot.png([], [])
    early = plot.png(steps(5), evaluations(0))
    late = plot.png(steps(50), evaluations(0, 25, 50), "50 steps, 1,234 sentence pairs/s")
    assert size(empty) == size(early) == size(late) == (800, 300)
    assert len({empty, early, late}) == 3


@pytest.mark.parametrize("smoothing", [0.0, 0.9])
def test_a_picture_that_is_redrawn_holds_the_new_data_and_nothing_of_the_old(smoothing):
    plot = LossPlot(50, KNOWN)
    plot.png(steps(50), evaluations(0, 25), "long")
    again = plot.png(steps(20), evaluations(0), "short", smoothing)
    size(again)
    assert plot.png(steps(20), evaluations(0), "short", smoothing) == again
    assert LossPlot(50, KNOWN).png(steps(20), evaluations(0), "short", smoothing) == again
    for field in ("mlm_loss", "nsp_loss"):
        pale, strong, held_out = plot.lines[field]
        values = [getattr(step, field) for step in steps(20)]
        assert list(strong.get_xdata()) == list(range(1, 21))
        assert_close(list(strong.get_ydata()), smooth(values, smoothing))
        assert list(pale.get_ydata()) == (values if smoothing else [])
        assert list(held_out.get_xdata()) == [0]


def test_what_stands_still_is_drawn_again_only_when_it_changes(monkeypatch):
    plot = LossPlot(50, KNOWN)
    drawn = []
    draw = plot.figure.canvas.draw
    monkeypatch.setattr(plot.figure.canvas, "draw", lambda: drawn.append(True) or draw())
    losses = [7 - i / 10 for i in range(30)]
    first = plot.png(history(losses), [], "one")
    second = plot.png(history([*losses, 5.0]), [], "another")
    assert len(drawn) == 1 and first != second
    assert second == LossPlot(50, KNOWN).png(history([*losses, 5.0]), [], "another")
    plot.png(history([*losses, 1.0]), [])
    assert len(drawn) == 2


def test_baselines_may_come_later():
    plot = LossPlot(50, None)
    without = plot.png(steps(20), evaluations(0))
    assert texts(plot.levels["mlm_loss"].names + plot.levels["mlm_loss"].edges) == []
    assert not any(line.get_visible() for line in plot.levels["mlm_loss"].lines)
    assert texts(plot.levels["nsp_loss"].names) == ["a coin 0.69"]
    plot.baselines = KNOWN
    assert plot.png(steps(20), evaluations(0)) != without
    assert plot.png(steps(20), evaluations(0)) == LossPlot(50, KNOWN).png(steps(20), evaluations(0))


def test_without_the_next_sentence_game_there_is_no_panel_of_it():
    plot = LossPlot(50, KNOWN, with_nsp=False)
    assert list(plot.axes) == ["mlm_loss"]
    assert size(plot.png(steps(5), evaluations(0))) == (800, 300)


def test_the_axis_of_the_next_sentence_game_stays_unless_losses_leave_it():
    plot = LossPlot(50, None)
    for losses, wanted in (([], (0.3, 1.1)), ([0.5], (0.3, 1.1)), ([NAN], (0.3, 1.1))):
        plot.png(history([7.0] * len(losses), *losses), [])
        assert plot.axes["nsp_loss"].get_ylim() == wanted
    plot.png(history([7.0] * 20, 1.7), [])
    assert plot.axes["nsp_loss"].get_ylim()[1] > 1.7


@pytest.mark.parametrize("title", HOSTILE, ids=range(len(HOSTILE)))
def test_any_title_leaves_the_panels_and_the_legend_as_they_are(title):
    plot = LossPlot(50, KNOWN)
    plain, titled = pixels(plot.png(steps(5), [], "")), pixels(plot.png(steps(5), [], title))
    changed = np.argwhere((plain != titled).any(2))
    assert all(y < 30 and x < 530 for y, x in changed)


class GrowingList(list):
    """A list to which another thread appends while it is read: one element more each time somebody
    walks it.
    """

    def __init__(self, values, more):
        super().__init__(values)
        self.more = iter(more)

    def __iter__(self):
        yield from super().__iter__()
        self.extend([next(self.more)])


@pytest.mark.parametrize("growing", ["history", "held_out"])
def test_a_run_that_goes_on_meanwhile_can_be_drawn_and_described(growing):
    def run():
        past, held_out = steps(30), evaluations(*range(30))
        if growing == "history":
            return GrowingList(past[:10], past[10:]), held_out
        return past, GrowingList(held_out[:10], held_out[10:])

    assert size(LossPlot(50, KNOWN).png(*run(), smoothing=0.5)) == (800, 300)
    assert size(overlay({"one": run()})) == (800, 300)
    assert describe(*run()) and describe_overlay({"one": run()})


def test_four_threads_can_draw_at_once():
    def draw(i):
        plot = LossPlot(50, KNOWN)
        return [
            plot.png(steps(10 + i), evaluations(0, 5), f"number {i}", 0.5),
            overlay({f"run {i}": (steps(10 + i), evaluations(0, 5))}, KNOWN),
            plot.png(steps(20 + i), evaluations(0, 5), f"number {i} again", 0.5),
        ]

    assert_same_from_threads(draw)


def test_drawing_leaves_pyplot_alone(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # importing it raises ImportError
    assert size(LossPlot(50, KNOWN).png([], [])) == (800, 300)


# Smoothing, and lines in few points.


def test_smoothing_is_a_running_mean_without_a_pull_to_zero():
    values = [5.0, 3.0, 4.0, 1.0]
    assert smooth(values, 0) == values and smooth([], 0.9) == []
    assert_close(smooth([3.0] * 100, 0.99), [3.0] * 100)
    weights = [0.9 ** (3 - i) for i in range(4)]
    assert_close(smooth(values, 0.9)[-1], float(np.average(values, weights=weights)))
    for wrong in (-0.1, 1.0, NAN):
        with pytest.raises(ValueError, match="^smoothing is"):
            smooth(values, wrong)


def test_what_is_not_a_number_does_not_spread():
    means = smooth([2.0, NAN, 4.0, math.inf], 0.5)
    assert means[0] == 2 and math.isnan(means[1]) and means[3] == math.inf
    assert_close(means[2], (0.5 * 2 + 4) / 1.5)


@pytest.mark.parametrize("n", [0, 1, 399, 400, 401, 430, 799, 5000])
def test_long_lines_are_drawn_in_few_points_with_their_peaks_and_ends(n):
    losses = [5 + math.sin(i * i) for i in range(n)]
    places = list(range(n))
    if n:
        losses[n // 3] = 9.0
    x, y = extremes(places, losses)
    assert len(x) <= 402 and x == sorted(set(x)) and y == [losses[i] for i in x]
    assert n == 0 or (max(y) == 9 and min(y) == min(losses))
    x, y = every_kth(places, losses)
    assert len(x) <= 402 and x == sorted(set(x)) and y == [losses[i] for i in x]
    assert n == 0 or (x[0], x[-1]) == (0, n - 1)


# The y axis.


@pytest.mark.parametrize("loss", [0.0, 3.0, 30.0, 1e9])
def test_the_first_losses_are_inside_the_picture(loss):
    plot = LossPlot(3, KNOWN)
    plot.png([Step(1, loss, 0.7, 16, 0.01, 0.005)], [(0, Evaluation(loss + 1, 0.1, 0.7, 0.5))])
    low, high = plot.axes["mlm_loss"].get_ylim()
    assert low < loss and loss + 1 < high


def test_the_axis_follows_what_is_learned():
    plot = LossPlot(50, KNOWN)
    plot.png(history([6.7 - i / 100 for i in range(50)]), [])
    low, high = plot.axes["mlm_loss"].get_ylim()
    assert low < 6.2 and KNOWN.unigram < high and high - low < 1.5


def test_a_high_beginning_is_cut_off_and_a_late_rise_is_not():
    losses = [9.9, 9.0] + [6.0] * 40
    low, high = vertical_range([(losses, losses, [9.9, 6.1])], [])
    assert low < 6 and 6.1 < high < 7
    losses += [8.0]
    assert vertical_range([(losses, losses, [9.9, 6.1])], [])[1] > 8
    assert vertical_range([(losses, losses, [9.9, 6.1, 9.5])], [])[1] > 9.5


def test_the_nearest_baseline_above_is_seen_and_others_are_told_at_the_edge():
    plot = LossPlot(50, KNOWN)
    plot.png(history([6.0] * 50), [])
    low, high = plot.axes["mlm_loss"].get_ylim()
    assert KNOWN.neighbours < low < 6 and KNOWN.unigram < high < KNOWN.uniform
    assert texts(plot.levels["mlm_loss"].names) == ["word frequencies 6.80"]
    assert texts(plot.levels["mlm_loss"].edges) == ["two neighbours 4.90 ↓", "uniform 9.90 ↑"]
    plot.png(history([3.0] * 50), [])
    assert texts(plot.levels["mlm_loss"].names) == ["two neighbours 4.90"]
    above = texts(plot.levels["mlm_loss"].edges)[0]
    assert above.split(",") == ["uniform 9.90", " word frequencies 6.80 ↑"]


def test_the_axis_moves_gently_while_a_noisy_run_goes_on():
    random = np.random.default_rng(0)
    losses = (5 + 5 * np.exp(-np.arange(430) / 60) + random.normal(0, 0.15, 430)).tolist()
    means = smooth(losses, 0.9)
    ranges = [vertical_range([(losses[:n], means[:n], [])], KNOWN[:2]) for n in range(20, 430)]
    for (low, high), (next_low, next_high) in pairwise(ranges):
        assert abs(next_low - low) + abs(next_high - high) < 0.4 * (high - low)
    assert len(set(ranges)) < len(ranges) / 8  # mostly it stays


@pytest.mark.parametrize("losses", [[NAN], [7.0, NAN, 6.0], [math.inf] * 3, [7.0, -math.inf]])
def test_losses_that_are_no_numbers_can_be_drawn(losses):
    results = [(0, Evaluation(losses[-1], 0.1, losses[-1], 0.5))]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for baselines in (None, KNOWN):
            plot = LossPlot(50, baselines)
            assert size(plot.png(history(losses, losses[0]), results, "", 0.9)) == (800, 300)
            assert all(np.isfinite(plot.axes["mlm_loss"].get_ylim()))
        assert size(overlay({"one": (history(losses), results)}, KNOWN)) == (800, 300)


# Names on lines.


def test_places_are_moved_apart_and_no_further():
    assert spread([], 13, 0, 100) == []
    assert spread([10, 50, 90], 13, 0, 100) == [10, 50, 90]
    assert spread([50, 50], 13, 0, 100) == [43.5, 56.5]
    assert spread([99, 98], 13, 0, 100) == [100, 87]  # the upper one stays the upper one
    random = np.random.default_rng(0)
    for _ in range(50):
        wanted = random.uniform(0, 100, 6).tolist()
        moved = spread(wanted, 13, 0, 100)
        assert np.argsort(moved).tolist() == np.argsort(wanted).tolist()
        assert min(np.diff(sorted(moved))) >= 13 - 1e-9
        assert -1e-9 <= min(moved) and max(moved) <= 100 + 1e-9


@pytest.mark.parametrize("near", [0.0, 0.01, 0.2])
def test_names_of_baselines_do_not_overlap(near):
    close = KNOWN._replace(uniform=6.8 + near, neighbours=6.8 - near)
    plot = LossPlot(50, close)
    plot.png(history([6.5] * 20 + [7.5] * 20), [])
    levels = plot.levels["mlm_loss"]
    boxes = sorted((text.get_window_extent() for text in levels.names), key=lambda box: box.y0)
    assert len(texts(levels.names)) == 3
    for box, upper in pairwise(boxes):
        assert box.y1 <= upper.y0 + 1
    # They are inside the axes, and near their lines.
    inside = levels.axes.bbox
    assert all(inside.x0 < box.x0 and box.x1 < inside.x1 and box.y1 < inside.y1 for box in boxes)
    heights = [
        levels.axes.transData.transform((0, line.get_ydata()[0]))[1] for line in levels.lines
    ]
    for text, height in zip(levels.names, heights, strict=True):
        box = text.get_window_extent()
        assert abs((box.y0 + box.y1) / 2 - height) <= 2 * LINE


def test_a_name_hangs_under_its_line_where_curves_pass_above_it():
    plot = LossPlot(50, KNOWN)
    for loss, is_above in ((6.85, False), (6.75, True)):
        plot.png(history([5.5] * 9 + [8.0] * 10 + [loss] * 31), [])
        levels = plot.levels["mlm_loss"]
        box = levels.names[1].get_window_extent()
        line = levels.axes.transData.transform((0, KNOWN.unigram))[1]
        assert ((box.y0 + box.y1) / 2 > line) == is_above


def test_what_is_told_at_the_edge_fits_in():
    plot = LossPlot(50, KNOWN)
    plot.png(history([12.0] * 3), evaluations())
    levels = plot.levels["mlm_loss"]
    (edge,) = [text for text in levels.edges if text.get_text()]
    box = edge.get_window_extent()
    assert texts(levels.names) == [] and edge.get_text().count("\n") == 1
    assert levels.axes.bbox.x0 < box.x0 and levels.axes.bbox.y0 <= box.y0


# In words.


def test_a_run_in_words():
    falling, held_out = history([8.51, 6.0, 5.62]), [(0, KNOWN), (3, Evaluation(5.83, 0, 0, 0))]
    assert describe(falling, held_out, KNOWN) == (
        "Training loss of the masked words falls from 8.51 to 5.62 nats over 3 steps; held-out "
        "text 5.83 after step 3, word frequencies alone reach 6.80, two neighbours 4.90."
    )
    assert describe(falling, []).endswith(" 5.62 nats over 3 steps.")
    assert "rises from 5.00 to 7.00 nats" in describe(history([5.0, 7.0]), [])
    assert "is 5.00 nats after 2 steps, as at the first" in describe(history([5.001, 5.0]), [])
    assert describe(history([5.0]), []).endswith("is 5.00 nats at the first step.")
    assert describe([], []) == "No training step yet."
    assert describe([], [], KNOWN).startswith("No training step yet; word frequencies alone")
    assert describe([], evaluations(0)) == "No training step yet; held-out text 7.00 after step 0."
    for loss in (NAN, math.inf):
        assert "8.50 nats at first and not a number after 2 steps" in describe(
            history([8.5, loss]), []
        )
    assert re.search(r"held-out text not a number", describe([], [(0, Evaluation(*[NAN] * 4))]))


def test_several_runs_in_words():
    runs = {"small": (steps(9), evaluations(0, 9)), "large": (steps(20), evaluations(0, 20))}
    assert describe_overlay(runs) == (
        "Held-out loss of the masked words in nats: small 6.10 after step 9, large 5.00 after step "
        "20; large has the lowest."
    )
    runs |= {"new": ([], []), "broken": ([], [(3, Evaluation(*[NAN] * 4))])}
    said = describe_overlay(runs)
    assert "new not measured yet" in said and "broken not a number after step 3" in said
    assert said.endswith("large has the lowest.")
    assert describe_overlay({}) == "No runs yet."
    assert "lowest" not in describe_overlay({"one": (steps(9), evaluations(0, 9))})


# Several runs.


def test_every_run_has_a_colour_a_dash_and_a_marker_of_its_own():
    assert len(STYLES) >= 8 and style_of(len(STYLES)) == style_of(0)
    for values in zip(*STYLES, strict=True):
        assert len(set(values)) == len(STYLES)
    safe = style.library["tableau-colorblind10"]["axes.prop_cycle"].by_key()["color"]
    for colour, dash, _ in STYLES:
        assert colour in safe and re.fullmatch(r"(\d+ \d+( \d+ \d+)*)?", dash)


def colours(png):
    return {f"#{r:02X}{g:02X}{b:02X}" for r, g, b in pixels(png).reshape(-1, 3).tolist()}


@pytest.mark.parametrize("number", [0, 1, 4, 8, 30])
def test_runs_in_one_picture(number):
    runs = {
        f"run {i}": (
            history([6 + i / 4] * 50),
            [(s, Evaluation(6 + i / 4, 0, 0, 0)) for s in (0, 50)],
        )
        for i in range(number)
    }
    png = overlay(runs, KNOWN, 0.9, f"{number} runs")
    assert size(png) == (800, 300)
    assert {style_of(i).colour for i in range(number)} <= colours(png)
    assert overlay(runs, None, 0.9, f"{number} runs") != png


def names_of(runs, monkeypatch):
    """Where the names stand, from 0 (bottom of the axes) to 1, by name."""
    drawn = []
    take = lambda figure, **_: drawn.append(figure) or b""  # noqa: E731
    monkeypatch.setattr("bert_tutorial.pretraining.overlay.to_png", take)
    overlay(runs)
    (axes,) = drawn[0].axes
    return {t.get_text(): t.get_position()[1] for t in axes.texts if t.get_position()[0] > 1}, axes


def test_names_stand_at_the_ends_of_lines_where_there_is_room(monkeypatch):
    def run(loss, last=50):
        return history([loss] * last), [(s, Evaluation(loss, 0, 0, 0)) for s in (0, last)]

    places, axes = names_of({"low": run(5), "high": run(7)}, monkeypatch)
    for name, loss in (("low", 5), ("high", 7)):
        height = axes.transAxes.inverted().transform(axes.transData.transform((0, loss)))[1]
        assert_close(places[name], float(height))
    # Otherwise in the order of the runs: where lines end elsewhere, or too near to each other.
    for runs in ({"a": run(5), "b": run(7, 30)}, {name: run(5) for name in "abcde"}):
        places, _ = names_of(runs, monkeypatch)
        assert list(places) == sorted(places, key=places.get, reverse=True)
        assert max(places.values()) > 0.9
    places, _ = names_of({str(i): run(5) for i in range(30)}, monkeypatch)
    assert list(places)[-1] == "and 16 more" and min(places.values()) > 0


def test_any_name_is_drawn_as_it_is(monkeypatch):
    runs = {name: (steps(20), evaluations(0, 20)) for name in HOSTILE}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert size(overlay(runs, KNOWN, 0.9, HOSTILE[0])) == (800, 300)
    places, _ = names_of(runs, monkeypatch)
    assert "$x_{" in places and "_hidden" in places and "a b" in places
    assert max(map(len, places)) <= 24
