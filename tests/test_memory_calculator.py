"""The memory calculator without a browser."""

import pytest
import torch
from one_sentence import assert_one_sentence

from bert_tutorial.exercises import memory_picture
from bert_tutorial.exercises.memory import GIB, memory_of
from bert_tutorial.network.config import BERTConfig
from bert_tutorial.studio.widgets import memory_calculator
from bert_tutorial.studio.widgets.memory_calculator import MemoryCalculator

HOW = dict(batch_size=256, length=512, rows=32, device="cuda")


@pytest.fixture
def calculator():
    return MemoryCalculator(available=16 * GIB, device=torch.device("cuda"))


def test_it_says_what_a_step_takes_and_what_to_change(calculator):
    text = calculator.status.text
    assert_one_sentence(text)
    assert text.startswith("The tensors of one step take ")
    assert "there are only 16.0 GiB" in text and "4 of a batch's 256 rows" in text
    nearest = memory_of(BERTConfig.large(), **HOW | {"rows": 4})
    assert f"nearest that fits takes {nearest}" in calculator.picture.alt
    assert "alt=" in calculator.static_html() and text[:40] in calculator.static_html()
    calculator.by_name["rows"].value = 4  # the advice
    assert "they fit into the 16.0 GiB" in calculator.status.text
    assert "nearest" not in calculator.picture.alt


@pytest.mark.parametrize(
    ("control", "value"),
    [("length", 128), ("batch_size", 4), ("rows", 4), ("precision", "bf16"), ("optimizer", "adam"),
     ("checkpointing", True), ("size", "base")],
)  # fmt: skip
def test_each_control_changes_the_picture(calculator, control, value):
    png = calculator.picture.png
    (calculator.by_name | {"size": calculator.size})[control].value = value
    config, how = BERTConfig.large(), HOW | {control: value}
    if control == "size":
        config, how = BERTConfig.base(), HOW
    assert calculator.memory == memory_of(config, **how) and calculator.picture.png != png


def test_no_more_rows_than_a_batch_has(calculator):
    calculator.by_name["batch_size"].value = 8
    rows = calculator.by_name["rows"]
    assert rows.choices == [1, 2, 4, 8] and rows.value == 8 and "32" not in calculator.status.text
    rows.value = 32
    assert rows.value == 8
    calculator.by_name["batch_size"].value = 16
    assert rows.choices[-1] == 16


def test_no_line_is_drawn_through_a_number(monkeypatch):
    figures = []
    monkeypatch.setattr(memory_picture, "to_png", figures.append)
    memories = {name: memory_of(BERTConfig.small(900), 8, 64) for name in "ab"}
    memory_picture.memory_bars(memories, round(1.01 * memories["a"].total))
    axes = figures[0].axes[0]
    assert len(axes.texts) == 2 and len(axes.lines) == 1
    for text in axes.texts:
        assert text.zorder > axes.lines[0].zorder
        assert text.get_bbox_patch().get_facecolor() == (1, 1, 1, 1)


def test_where_nothing_fits_and_where_nothing_is_known(monkeypatch):
    calculator = MemoryCalculator(available=GIB // 10, device=torch.device("cpu"))
    assert "Nothing near it fits." in calculator.status.text
    monkeypatch.setattr(memory_calculator, "available_memory", lambda _: None)
    calculator = MemoryCalculator(size="small")
    assert "this system does not tell" in calculator.status.text and calculator.picture.png
