"""Pictures: that they are drawn, from whatever labels, data and threads."""

import struct
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from torch.testing import assert_close

from bert_tutorial.plots import LossPlot, bars, curves, heatmap
from bert_tutorial.pretraining.baselines import Baselines
from bert_tutorial.pretraining.evaluation import Evaluation
from bert_tutorial.pretraining.training import Step

HOSTILE = ["$x_{", "$x_{$", "<b>", "\\frac", "_hidden", "%s{0}", "", " ", "a\nb", "$$", "&amp;"]
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


def steps(n):
    return [Step(i + 1, 7 - i / 10, 0.7 - i / 100, 16, 0.01, 0.005) for i in range(n)]


def evaluations(*at):
    return [(step, Evaluation(7 - step / 10, 0.1, 0.7, 0.5)) for step in at]


def test_losses_before_the_first_step_and_later():
    plot = LossPlot(50, KNOWN)
    empty = plot.png([], [])
    early = plot.png(steps(5), evaluations(0))
    late = plot.png(steps(50), evaluations(0, 25, 50), "50 steps, 1,234 sentence pairs/s")
    assert size(empty) == size(early) == size(late) == (800, 300)
    assert len({empty, early, late}) == 3


def test_a_picture_that_is_redrawn_holds_the_new_data_and_nothing_of_the_old():
    plot = LossPlot(50, KNOWN)
    plot.png(steps(50), evaluations(0, 25), "long")
    again = plot.png(steps(20), evaluations(0), "short")
    size(again)
    assert plot.png(steps(20), evaluations(0), "short") == again
    assert LossPlot(50, KNOWN).png(steps(20), evaluations(0), "short") == again
    for field in ("mlm_loss", "nsp_loss"):
        train, held_out = plot.lines[field]
        assert list(train.get_xdata()) == list(range(1, 21))
        assert_close(list(train.get_ydata()), [getattr(step, field) for step in steps(20)])
        assert list(held_out.get_xdata()) == [0]


@pytest.mark.parametrize("loss", [0.0, 3.0, 30.0])
def test_every_loss_is_inside_the_picture(loss):
    plot = LossPlot(3, KNOWN)
    plot.png([Step(1, loss, 0.7, 16, 0.01, 0.005)], [(0, Evaluation(loss + 1, 0.1, 0.7, 0.5))])
    low, high = plot.axes["mlm_loss"].get_ylim()
    assert low < loss and loss + 1 < high


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
def test_a_run_that_goes_on_meanwhile_can_be_drawn(growing):
    history, held_out = steps(30), evaluations(*range(30))
    if growing == "history":
        history = GrowingList(history[:10], history[10:])
    else:
        held_out = GrowingList(held_out[:10], held_out[10:])
    assert size(LossPlot(50, KNOWN).png(history, held_out)) == size(LossPlot(50, KNOWN).png([], []))


def test_a_heatmap_of_any_size():
    small, large = np.eye(3), np.linspace(-1, 1, 30 * 40).reshape(30, 40)
    few = heatmap(small, list("abc"), list("def"), "cosine")
    many = heatmap(large, [f"r{i}" for i in range(30)], [f"c{i}" for i in range(40)])
    assert size(many) > size(few)
    size(heatmap([[0.5]], ["one"], ["one"], low=0, high=1))
    assert heatmap(-small, list("abc"), list("def"), "cosine") != few


def test_any_words_can_be_labels():
    values = np.zeros((len(HOSTILE), len(HOSTILE)))
    for title in HOSTILE:
        size(heatmap(values[:1, :1], ["a"], ["b"], title))
        size(bars({"one": {"a": 1.0}}, "probability", title))
    width, height = size(heatmap(values, HOSTILE, HOSTILE))
    assert width > 300 and height > 200
    heights = {label: i / 10 for i, label in enumerate(HOSTILE)}
    assert size(bars({"one": heights}, "probability"))[0] > 300


def test_bars_with_and_without_a_baseline():
    groups = {
        name: {"crane": 0.5, "lake": 0.25}
        for name in ("untrained", "trained", "shuffled", "a fourth")
    }
    plain = bars(groups, "accuracy")
    size(plain)
    assert bars(groups, "accuracy", baseline=0.5) != plain
    assert bars({**groups, "trained": {"crane": 0.9, "lake": 0.25}}, "accuracy") != plain
    size(bars({"one": {f"word{i}": i / 20 for i in range(20)}}, "accuracy", "many words"))


def test_four_threads_can_draw_at_once():
    def draw(i):
        plot = LossPlot(50, KNOWN)
        labels = list("abc")
        return [
            plot.png(steps(10 + i), evaluations(0, 5), f"number {i}"),
            heatmap(np.full((3, 3), i / 10), labels, labels, f"number {i}"),
            bars({"one": {"a": float(i)}}, "size"),
            plot.png(steps(20 + i), evaluations(0, 5), f"number {i} again"),
        ]

    wanted = [draw(i) for i in range(4)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # change between threads as often as can be
    try:
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(draw, range(4))) == wanted
    finally:
        sys.setswitchinterval(interval)


def test_drawing_leaves_pyplot_alone(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # importing it raises ImportError
    assert size(heatmap([[1.0]], ["a"], ["b"]))[0] > 0
    assert size(LossPlot(50, KNOWN).png([], [])) == (800, 300)


@pytest.mark.parametrize("word", ["Ångström", "пример", "鶴", "🐦"])
def test_words_in_other_scripts_give_no_warning(word):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert size(heatmap([[1.0]], [word], [word]))[0] > 0


@pytest.mark.parametrize("name", HOSTILE[:4])
def test_curves_and_bars_with_intervals(name):
    series = {"network": {"1": 0.7, "all": 0.9}, "bag": {"1": 0.6, "all": 0.95}}
    one = curves(series, "labels", "right", "few labels")
    size(one)
    assert one != curves(series | {"bag": {"1": 0.5, "all": 0.5}}, "labels", "right", "few labels")
    groups = {"trained": {name: 0.9, "b": 0.4}, "untrained": {name: 0.5, "b": 0.5}}
    plain = bars(groups, "right")
    with_intervals = bars(groups, "right", intervals={name: (0.8, 0.95), "b": (0.3, 0.6)})
    size(with_intervals)
    assert plain != with_intervals


def test_without_the_next_sentence_game_there_is_no_panel_of_it():
    plot = LossPlot(50, KNOWN, with_nsp=False)
    assert list(plot.axes) == ["mlm_loss"]
    assert size(plot.png(steps(5), evaluations(0))) == (800, 300)


def test_the_axis_follows_what_is_learned():
    plot = LossPlot(50, KNOWN)
    plot.png([Step(i, 6.7 - i / 100, 0.7, 16, 0.01, 0.005) for i in range(50)], [])
    low, high = plot.axes["mlm_loss"].get_ylim()
    assert low < 6.2 and KNOWN.unigram < high and high - low < 1.5
