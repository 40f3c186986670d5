"""The memory calculator without a browser."""

import pytest
import torch
from one_sentence import assert_one_sentence

from bert_tutorial.exercises.memory import GIB, memory_of
from bert_tutorial.exercises.memory_picture import describe_bars, memory_bars
from bert_tutorial.network.config import BERTConfig
from bert_tutorial.studio.widgets.memory_calculator import MemoryCalculator

PNG = b"\x89PNG"


@pytest.fixture
def calculator():
    return MemoryCalculator(available=16 * GIB, device=torch.device("cuda"))


def test_it_says_what_a_step_takes_and_what_to_change(calculator):
    assert calculator.memory == memory_of(BERTConfig.large(), 256, 512, rows=32, device="cuda")
    text = calculator.status.text
    assert_one_sentence(text)
    assert "there are only 16.0 GiB" in text and "4 of a batch's 256 rows" in text
    assert calculator.picture.png.startswith(PNG) and "nearest that fits" in calculator.picture.alt
    assert "alt=" in calculator._kept and "there are only" in calculator._kept


@pytest.mark.parametrize(
    ("control", "value"),
    [
        ("size", "base"),
        ("length", 128),
        ("batch_size", 4),
        ("rows", 4),
        ("precision", "bf16"),
        ("optimizer", "adam"),
        ("checkpointing", True),
    ],
)
def test_each_control_changes_the_picture(calculator, control, value):
    memory, png = calculator.memory, calculator.picture.png
    getattr(calculator, control).value = value
    assert calculator.memory != memory and calculator.picture.png != png
    sizes, how = calculator.settings()
    assert calculator.memory == memory_of(*sizes, **how)


def test_what_fits_is_told_so(calculator):
    calculator.checkpointing.value = True
    calculator.rows.value = 8
    assert "it fits into the 16.0 GiB" in calculator.status.text
    assert "nearest" not in calculator.picture.alt


def test_following_the_advice_helps(calculator):
    calculator.rows.value = 4
    assert "it fits" in calculator.status.text


def test_where_nothing_fits():
    calculator = MemoryCalculator(available=GIB // 10, device=torch.device("cpu"))
    assert "Nothing near it fits." in calculator.status.text


def test_a_machine_that_does_not_tell(monkeypatch):
    monkeypatch.setattr(
        "bert_tutorial.studio.widgets.memory_calculator.available_memory", lambda _: None
    )
    calculator = MemoryCalculator(size="small")
    assert "this system does not tell" in calculator.status.text
    assert calculator.picture.png.startswith(PNG)


def test_rows_beyond_the_batch_are_no_mistake(calculator):
    calculator.batch_size.value = 1
    calculator.rows.value = 1024
    assert calculator.memory == memory_of(BERTConfig.large(), 1, 512, rows=1, device="cuda")


def test_bars_of_all_sizes():
    makers = (BERTConfig.small(30_522), BERTConfig.base(), BERTConfig.large())
    memories = {
        name: memory_of(config, 8, 512)
        for name, config in zip(("small", "base", "large"), makers, strict=True)
    }
    for available in (None, GIB, 10_000 * GIB):
        assert memory_bars(memories, available, "sizes").startswith(PNG)
    words = describe_bars(memories, 8 * GIB)
    assert all(name in words for name in memories) and "There is 8.0 GiB." in words
