"""Pictures: that they are drawn, from whatever labels, data and threads."""

import struct
import sys
import warnings

import numpy as np
import pytest
from small import assert_same_from_threads

from bert_tutorial.plots import bars, curves, heatmap, new_figure, to_png

HOSTILE = ["$x_{", "$x_{$", "<b>", "\\frac", "_hidden", "%s{0}", "", " ", "a\nb", "$$", "&amp;"]


def size(png):
    """Width and height in pixels, of what must be a whole PNG."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n") and png.endswith(b"IEND\xaeB`\x82")
    return struct.unpack(">II", png[16:24])


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
        labels = list("abc")
        return [
            heatmap(np.full((3, 3), i / 10), labels, labels, f"number {i}"),
            bars({"one": {"a": float(i)}}, "size"),
            curves({"one": {"1": 0.5, "all": i / 10}}, "labels", "right", f"number {i}"),
        ]

    assert_same_from_threads(draw)


def test_drawing_leaves_pyplot_alone(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # importing it raises ImportError
    assert size(heatmap([[1.0]], ["a"], ["b"]))[0] > 0


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


def test_a_quicker_way_to_draw_is_taken_and_quick_pictures_are_whole():
    figure, drawn = new_figure(2, 1), []
    few_bytes = to_png(figure)

    def draw():
        drawn.append(True)
        figure.canvas.draw()

    assert to_png(figure, draw=draw) == few_bytes and drawn == [True]
    assert size(to_png(figure, compress_level=1)) == size(few_bytes) == (200, 100)
