"""Pictures: that they are drawn, from whatever labels, data and threads."""

import struct
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from small import assert_same_from_threads

from bert_tutorial.plots import bars, curves, heatmap, new_figure, to_png
from bert_tutorial.pretraining.evaluation import Evaluation
from bert_tutorial.pretraining.loss_plot import LossPlot
from bert_tutorial.pretraining.run import Progress, Settings, Step

HOSTILE = ["$x_{", "$x_{$", "<b>", "\\frac", "_hidden", "%s{0}", "", " ", "a\nb", "$$", "&amp;"]


def size(png):
    """Width and height in pixels, of what must be a whole PNG."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n") and png.endswith(b"IEND\xaeB`\x82")
    return struct.unpack(">II", png[16:24])


@pytest.mark.parametrize("word", [*HOSTILE, "Ångström", "пример", "鶴", "🐦", "long" * 8])
@pytest.mark.filterwarnings("error")
def test_any_words_can_be_labels_without_a_warning(word):
    assert size(heatmap([[0.0, 0.5]], [word], [word, "b"], word))[0] < 700
    groups = {"trained": {word: 0.9, "b": 0.4}, "untrained": {word: 0.5, "b": 0.5}}
    size(bars(groups, "probability", word, intervals={word: (0.8, 0.95), "b": (0.3, 0.6)}))


def test_everything_that_is_given_is_seen():
    series = {"network": {"1": 0.7, "all": 0.9}, "bag": {"1": 0.6, "all": 0.95}}
    groups = {name: {"crane": 0.5, "lake": 0.25} for name in ("untrained", "trained", "c", "d")}
    other = groups | {"d": {"crane": 0.9, "lake": 0.25}}
    intervals = {"crane": (0.4, 0.6), "lake": (0.2, 0.3)}
    few, many = np.eye(3), np.linspace(-1, 1, 30 * 40).reshape(30, 40)
    letters = list("abc")
    pngs = [
        heatmap([[0.5]], ["one"], ["one"], low=0, high=1),
        heatmap(few, letters, letters),
        heatmap(few, letters, list("acd")),
        heatmap(-few, letters, letters),
        heatmap(many, [f"r{i}" for i in range(30)], [f"c{i}" for i in range(40)]),
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
    labels, held_out = list("abc"), [(0, Evaluation(7.0, 0.1, 0.7, 0.5))]

    def draw(i):
        history = [Step(n, 7.0 - n / 10, 0.7, 16, 0.01, 0.005) for n in range(1, 9 + i)]
        examples, shown = SimpleNamespace(next_sentence_rate=0.5), []
        run = Progress(examples, Settings(), history, held_out)
        LossPlot(run, lambda png, *_: shown.append(png)).close()
        return [
            heatmap(np.full((3, 3), i / 10), labels, labels, f"number {i}"),
            bars({"one": {"a": float(i)}}, "size"),
            curves({"one": {"1": 0.5, "all": i / 10}}, "labels", "right", f"number {i}"),
            *shown,
        ]

    assert_same_from_threads(draw)


def test_a_quicker_way_to_draw_is_taken_and_quick_pictures_are_whole():
    figure, drawn = new_figure(2, 1), []
    few_bytes = to_png(figure)
    assert to_png(figure, draw=lambda: drawn.append(figure.canvas.draw())) == few_bytes and drawn
    assert size(to_png(figure, compress_level=1)) == size(few_bytes) == (200, 100)
