"""What a check says of code that is right, wrong, or worse."""

import random
import threading
import time

import numpy as np
import pytest
import torch

from bert_tutorial.cache import cache_dir
from bert_tutorial.exercises.check import Specification, make_check
from bert_tutorial.exercises.guard import run_guarded
from bert_tutorial.exercises.hunt import CHECKS, check_fix, solution_of
from bert_tutorial.exercises.progress import (
    TITLES,
    mark_solved,
    progress_line,
    progress_path,
    reset_progress,
    solved,
)
from bert_tutorial.exercises.wording import brief, same, wrong_kind


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BERT_TUTORIAL_CACHE", str(tmp_path))


def squares_by_definition(values):
    total = 0.0
    for value in values.tolist():
        total += value * value
    return total


def some_values(size, generator):
    return (torch.rand(size, generator=generator).round(decimals=1) + 1,)


SUM, NO_SUM = "The sum, but of what?", "Only the first one."
CHECK = make_check(
    Specification(reference=squares_by_definition, inputs=some_values, seconds=0.5),
    lambda values: (values**2).sum(),
    {SUM: lambda values: values.sum(), NO_SUM: lambda values: values[0] ** 2},
)
VECTOR = make_check(
    Specification(reference=lambda values: values * 2, inputs=some_values),
    lambda values: values + values,
    {"As it was.": lambda values: values},
)


def for_ever(values):
    while True:
        pass


def for_ever_and_catches(values):
    while True:
        try:
            time.sleep(0.001)
        except Exception:
            pass


def raises(values):
    first = 1
    return first / 0


def changes_its_input(values):
    return (values.mul_(0) ** 2).sum()


def prints_a_lot(values):
    for _ in range(100):
        print("what is going on here")
    return (values**2).sum()


def test_a_right_answer_is_right_however_it_is_written():
    for right in (CHECK.solution, squares_by_definition, lambda v: float(v @ v)):
        verdict = CHECK(right)
        assert verdict.is_right and str(verdict) == "Right, on all 16 inputs that were tried."
    assert VECTOR(lambda values: values.double() * 2).is_right


def test_a_near_miss_gets_its_own_message_and_the_smallest_input():
    verdict = CHECK(lambda values: sum(values.tolist()))
    assert not verdict.is_right and verdict.near_miss == SUM
    lines = str(verdict).splitlines()
    assert lines[0] == SUM and lines[1] == "Smallest input that shows it: values = [1.5]."
    assert lines[2] == "Seen there: 1.5 (should be: 2.25)."
    # It is right for one value, so the smallest input has two.
    assert "values = [1.6, 1.4]." in str(CHECK(lambda values: values[0] ** 2))


def test_another_wrong_answer_gets_the_smallest_input():
    verdict = CHECK(lambda values: (values**2).sum() + (len(values) > 3))
    assert str(verdict).startswith("Not right yet.\nSmallest input that shows it: values = [1.")
    assert verdict.near_miss is None and str(verdict).count("1.") >= 4


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (for_ever, "It did not end in time: does it loop for ever?"),
        (for_ever_and_catches, "It did not end in time: does it loop for ever?"),
        (raises, "It raises ZeroDivisionError: division by zero in its line 3."),
        (changes_its_input, "It changes what it is given: work on a copy"),
        (lambda values: None, "It returns None: is there a return?"),
        (lambda values: "4", "It returns a str, but must return a number."),
        (lambda values: values**2, "It returns a Tensor of shape (1,), but must return a number."),
        (lambda values: float("nan"), "It returns NaN, which is not a number."),
        (lambda: 4, "It raises TypeError: "),
        (lambda values: exit(), "It raises SystemExit"),
        (lambda values: float(input("a number? ")), "It raises EOFError: input() has nobody to"),
        (lambda values: (_ for _ in values), "It returns a generator"),
        (lambda values: for_ever_deep(values), "It raises RecursionError"),
    ],
)
def test_code_that_gives_no_answer_gets_one_sentence_and_the_smallest_input(function, said):
    verdict = CHECK(function)
    assert not verdict.is_right and str(verdict).startswith(said)
    assert str(verdict).splitlines()[1] == "Smallest input that shows it: values = [1.5]."
    assert all(len(line) <= 100 for line in str(verdict).splitlines())


def for_ever_deep(values):
    return for_ever_deep(values)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda values: 3, "It returns an int, but must return a Tensor."),
        (lambda values: values.tolist(), "It returns a list, but must return a Tensor."),
        (lambda values: values[None], "It returns a tensor of shape (1, 1), but it must be (1,)."),
        (lambda values: values * float("nan"), "It returns NaN"),
    ],
)
def test_another_type_or_shape_is_named(function, said):
    assert str(VECTOR(function)).startswith(said)


def test_what_is_no_function_is_named():
    assert str(CHECK(None)) == "This is None, but must be a function."
    assert str(CHECK(0.5)) == "This is a float, but must be a function."


def test_code_that_fails_on_a_larger_input_is_told_which():
    verdict = CHECK(lambda values: (values**2).sum() + 0 * (1 // (3 - len(values))))
    assert (
        str(verdict).startswith("It raises ZeroDivisionError")
        and len(verdict.text.split("values = ")[1].split(", ")) == 3
    )


def test_what_is_printed_is_left_out(capsys):
    verdict = CHECK(prints_a_lot)
    assert verdict.is_right and "It also printed" in str(verdict)
    assert capsys.readouterr() == ("", "")


def test_code_that_cannot_be_stopped_is_said_to_be_so(monkeypatch):
    monkeypatch.setattr("bert_tutorial.exercises.guard.STOPPING", 0.1)
    assert "restart the kernel" in str(CHECK(lambda values: time.sleep(1.5)))


def test_no_thread_is_left_behind():
    CHECK(for_ever)
    left = [thread for thread in threading.enumerate() if thread.name == "exercise"]
    for thread in left:  # of the test before, until its sleep ends
        thread.join(5)
    assert not any(thread.is_alive() for thread in left)


def test_the_program_round_it_is_left_as_it_was():
    def meddles(values):
        random.seed(0)
        np.random.seed(0)
        torch.manual_seed(0)
        torch.set_num_threads(torch.get_num_threads() + 1)
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        return (values**2).sum()

    def state():
        return (
            random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist(),
            torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled(),
        )  # fmt: skip

    before = state()
    assert CHECK(meddles).is_right
    assert state() == before


def test_gradients_are_on_whatever_the_mode_of_the_caller():
    with torch.no_grad():
        outcome = run_guarded(torch.is_grad_enabled, 1.0)
    assert outcome.value is True


def test_an_interrupt_of_the_caller_ends_the_code(monkeypatch):
    began = threading.Event()

    class Interrupted(threading.Thread):
        def join(self, seconds=None):
            if seconds == 9.0:
                began.wait(5)
                raise KeyboardInterrupt
            super().join(seconds)

    monkeypatch.setattr(threading, "Thread", Interrupted)
    ended = []

    def code():
        began.set()
        try:
            for_ever(None)
        finally:
            ended.append(True)

    with pytest.raises(KeyboardInterrupt):
        run_guarded(code, 9.0)
    assert ended == [True]


def test_values_are_told_apart_and_named():
    assert same(1, torch.tensor(1.0)) and not same(1, 2) and not same(torch.ones(2), torch.ones(3))
    assert same([1, "a"], [1, "a"]) and not same([1], [1, 2]) and not same({"a": 1}, {"b": 1})
    assert same(float("nan"), float("nan")) is False and same(float("inf"), float("inf"))
    assert brief(torch.zeros(5, 5)) == "a tensor of shape (5, 5)"
    assert brief([0.123456, "x"]) == "[0.1235, 'x']"
    assert len(brief("x" * 1000)) == 200
    assert wrong_kind([1], [1, 2]) == "returns 1 values, but must return 2"
    assert wrong_kind(torch.ones(2), torch.ones(2, dtype=torch.long)).endswith("must be whole")


def test_progress_survives_and_can_be_reset():
    assert progress_line() == 'Solved 0 of 12. Next: exercise 1 ("chance").'
    mark_solved("rate")
    mark_solved("chance")
    mark_solved("rate")
    assert solved() == ["chance", "rate"]  # read from the file each time
    assert progress_line() == 'Solved 2 of 12: exercise 1, bug 6. Next: exercise 2 ("memory").'
    reset_progress()
    assert solved() == []
    for name in TITLES:
        mark_solved(name)
    assert progress_line().endswith("bug 10. That is all of them.")
    with pytest.raises(KeyError, match="is no exercise; these are: chance"):
        mark_solved("nothing")


@pytest.mark.parametrize("content", ["", "[]", "{", '{"solved": 3}', '{"solved": null}', '"a"'])
def test_a_damaged_file_means_that_none_is_solved(content):
    progress_path().write_text(content)
    assert solved() == []
    mark_solved("mean")
    assert solved() == ["mean"]


def test_a_right_answer_is_remembered_and_a_wrong_one_is_not(capsys):
    check_fix("mean", CHECKS["mean"].near_misses.__iter__)
    assert solved() == [] and "It raises" in capsys.readouterr().out
    check_fix("mean", CHECKS["mean"].solution)
    assert solved() == ["mean"] and "Solved 1 of 12: bug 1." in capsys.readouterr().out
    with pytest.raises(KeyError, match="these have one: chance, memory, mean"):
        check_fix("nothing", None)


def test_a_cache_that_cannot_be_written_costs_only_the_memory(capsys):
    (cache_dir() / "exercises.json").mkdir()
    check_fix("mean", CHECKS["mean"].solution)
    printed = capsys.readouterr().out
    assert printed.startswith("Right,") and "This cannot be remembered:" in printed


def test_solutions_are_folded_and_escaped():
    folded = solution_of("padding")
    assert folded.code.startswith("def right_attention(")
    page = folded._repr_html_()
    assert page.startswith("<details><summary>") and "-&gt; Tensor" in page
    assert "softmax" not in repr(folded)


def test_every_title_has_a_check():
    assert list(TITLES) == list(CHECKS)
