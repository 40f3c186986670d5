"""Pictures: that they are drawn, from whatever labels, data and threads."""

import struct
import sys

import numpy as np
import pytest
from small import assert_same_from_threads

from bert_tutorial.plots import bars, curves, heatmap, new_figure, to_png

HOSTILE = "$x_{", "<b>", "\\frac", "%s{0}", "", "a\nb", "$$", "Å", "пр", "鶴", "🐦", "long " * 100


def size(png):
    """Width and height in pixels, of what must be a whole PNG."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n") and png.endswith(b"IEND\xaeB`\x82")
    return struct.unpack(">II", png[16:24])


@pytest.mark.filterwarnings("error")
def test_any_words_can_be_labels_without_a_warning():
    values, (math, bird) = np.zeros((12, 12)), ("$x_{", "🐦")
    assert size(heatmap(values, HOSTILE, HOSTILE, math)) == (880, 582)
    heights = dict.fromkeys(HOSTILE[:-1], 0.5)
    groups, intervals = {math: heights, bird: heights}, dict.fromkeys(HOSTILE, (0.3, 0.6))
    assert size(bars(groups, math, math, intervals=intervals))[1] == 320


def test_everything_that_is_given_is_seen():
    series = {"network": {"1": 0.7, "all": 0.9}, "bag": {"1": 0.6, "all": 0.95}}
    groups = {name: {"crane": 0.5, "lake": 0.25} for name in ("untrained", "trained", "c", "d")}
    other = groups | {"d": {"crane": 0.9, "lake": 0.25}}
    intervals = {"crane": (0.4, 0.6), "lake": (0.2, 0.3)}
    few, many, letters = np.eye(3), np.linspace(-1, 1, 1200).reshape(30, 40), list("abc")
    pngs = [
        heatmap([[0.5]], ["one"], ["one"], low=0, high=1),
        heatmap(few, letters, letters),
        heatmap(few, letters, list("acd")),
        heatmap(-few, letters, letters),
        heatmap(many, [""] * 30, [""] * 40),
        curves(series, "labels", "right", "few labels"),
        curves(series | {"bag": {"1": 0.5, "all": 0.5}}, "labels", "right", "few labels"),
        bars(groups, "accuracy"),
        bars(groups, "accuracy", baseline=0.5),
        bars(groups, "accuracy", intervals=intervals),
        bars(other, "accuracy"),
        bars({"one": {f"word{i}": i / 20 for i in range(20)}}, "accuracy", "many words"),
    ]
    assert len(set(pngs)) == len(pngs) and all(map(size, pngs))
    assert size(pngs[0]) < size(pngs[1]) < size(pngs[4])


def test_four_threads_can_draw_at_once_without_pyplot(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # importing it raises ImportError

    def draw(i):
        values, series = np.full((2, 2), i / 10), {"one": {"a": float(i), "b": 2.0}}
        return heatmap(values, "ab", "ab"), bars(series, "size"), curves(series, "x", "y")

    assert_same_from_threads(draw)


def test_a_quicker_way_to_draw_is_taken_and_quick_pictures_are_whole():
    figure, drawn = new_figure(2, 1), []
    few_bytes = to_png(figure)
    assert to_png(figure, draw=lambda: drawn.append(figure.canvas.draw())) == few_bytes and drawn
    assert size(to_png(figure, compress_level=1)) == size(few_bytes) == (200, 100)
