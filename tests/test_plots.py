"""Pictures: that they are drawn, from whatever labels, data and threads."""

import struct
import sys

import numpy as np
import pytest
import torch
from small import assert_same_from_threads

from bert_tutorial.diagrams import input_diagram, layer_diagram
from bert_tutorial.network.config import BERTConfig
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


PAIR = "<cls> a crane <sep> he left <sep>".split(), [0, 0, 0, 0, 1, 1, 1]


def test_the_input_diagram_shows_each_token_with_segment_and_position():
    png, alt = input_diagram(*PAIR)
    assert size(png) == (900, 290) and "7 tokens" in alt
    assert "<cls> 0 0; a 0 1; crane 0 2; <sep> 0 3; he 1 4; left 1 5; <sep> 1 6." in alt
    assert input_diagram(PAIR[0], torch.tensor(PAIR[1])) == (png, alt)
    assert input_diagram(PAIR[0], [0] * 7)[0] != png
    long, alt = input_diagram(["<cls>", *["word"] * 510, "<sep>"], [0] * 300 + [1] * 212)
    assert size(long) == (900, 290) and "<cls> 0 0; word 0 1" in alt and alt.count("word") < 20
    assert "; … some are left out; " in alt and alt.endswith("; word 1 510; <sep> 1 511.")


def test_the_layer_diagram_has_the_sizes_of_the_network():
    small = BERTConfig.small(5000)
    pngs = set()
    for config, said in (
        (
            small,
            ("128 numbers", "2 heads, each with 64 of 128", "128 → 256 (GELU)", "one: 2."),
        ),
        (BERTConfig.large(), ("16 heads, each with 64 of 1024", "1024 → 4096", "one: 24.")),
        (BERTConfig.small(5000, num_heads=1), ("1 head with 128 numbers;",)),
    ):
        png, alt = layer_diagram(config)
        assert size(png) == (900, 520) and all(words in alt for words in said), alt
        pngs.add(png)
    png, alt = layer_diagram(small, PAIR[0])
    assert "<sep> (blue) looks at all positions" in alt and png not in pngs and len(pngs) == 3
    assert size(layer_diagram(small, ["x"])[0]) == size(layer_diagram(small, ["x"] * 99)[0])


@pytest.mark.filterwarnings("error")
def test_diagrams_take_any_token_and_refuse_what_is_none():
    for tokens in (HOSTILE, ["long " * 100] * 3, ["<cls>"]):
        assert size(input_diagram(tokens, [0] * len(tokens))[0]) == (900, 290)
        assert size(layer_diagram(BERTConfig.small(9), tokens)[0]) == (900, 520)
    for tokens, segments, said in (
        (["a", "b"], [0], "there are 2 tokens and the segments \\[0\\], but each token needs one"),
        (["a"], [2], "segments \\[2\\]"),
        ([], [], "there is no token to draw: type a sentence"),
    ):
        with pytest.raises(ValueError, match=f"^[^\n]*{said}[^\n]*$"):
            input_diagram(tokens, segments)
    with pytest.raises(ValueError, match="there is no token to draw"):
        layer_diagram(BERTConfig.small(9), [])
