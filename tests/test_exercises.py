"""What a check says of code that is right, wrong, or worse."""

import contextlib
import functools
import math
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from small import until

from bert_tutorial.exercises.answers import (
    CHECKS,
    check_fix,
    progress_dir,
    progress_line,
    reset_progress,
)
from bert_tutorial.exercises.check import Check, brief, plain, same
from bert_tutorial.exercises.guard import in_process, in_thread
from bert_tutorial.network import model
from bert_tutorial.network.model import in_mode


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BERT_TUTORIAL_CACHE", str(tmp_path))


@pytest.fixture(params=[in_process, in_thread])
def both_ways(request, monkeypatch):
    """Code runs in a process, as on Linux, and in a thread, as elsewhere."""
    monkeypatch.setattr("bert_tutorial.exercises.check.run_apart", request.param)


def squares(values):
    return sum(value * value for value in values.tolist())


def some_values(size, generator):
    return (torch.rand(size, generator=generator).round(decimals=1) + 1,)


SUM = "The sum, but of what?"
CHECK = Check(squares, some_values, lambda values: (values**2).sum()).tell_apart(
    SUM, lambda values: values.sum(), "Only the first one.", lambda values: values[0] ** 2
)
CHECK.seconds = 1.0
VECTOR = Check(lambda values: values * 2, some_values, lambda values: values + values)
SMALLEST = "Smallest input that shows it: values = [1.5]."


def for_ever(values):
    while True:
        with contextlib.suppress(Exception):
            time.sleep(0.001)


def raises(values):
    first = ValueError("\n\n")
    raise first


def test_a_right_answer_is_right_however_it_is_written(both_ways):
    for right in (CHECK.solution, squares, lambda v: float(v @ v), lambda v: np.float32(v @ v)):
        verdict = CHECK(right)
        assert str(verdict) == "Right, on all 16 inputs that were tried." and verdict.is_right
    buffer = torch.zeros(100)  # one for all
    assert VECTOR(lambda v: torch.mul(v, 2, out=buffer[: len(v)])).is_right
    assert VECTOR(lambda values: values.double() * 2).is_right


def test_a_near_miss_gets_its_sentence_and_the_smallest_input(both_ways):
    verdict = CHECK(lambda values: sum(values.tolist()))
    assert not verdict.is_right and verdict.near_miss == SUM
    assert str(verdict).splitlines() == [SUM, SMALLEST, "Seen there: 1.5 (should be: 2.25)."]
    # It is right for one value, so the smallest input has two.
    assert "values = [1.6, 1.4]." in str(CHECK(lambda values: values[0] ** 2))
    verdict = CHECK(lambda values: (values**2).sum() + (len(values) > 3))
    assert str(verdict).startswith("Not right yet.\nSmallest input that shows it: values = [1.")
    assert verdict.near_miss is None and str(verdict).count("1.") >= 4
    larger = CHECK(lambda values: (values**2).sum() + 0 * (1 // (3 - len(values))))
    assert "ZeroDivisionError" in str(larger) and len(str(larger).split("= ")[1].split(",")) == 3
    late = CHECK(lambda values: values.sum() if len(values) < 8 else for_ever(values))
    assert str(late).startswith("Not right yet.")  # for not all of it was seen


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (for_ever, "It did not end in time: does it loop for ever?"),
        (raises, "It raises ValueError in its line 3."),
        (lambda values: 1 / 0, "It raises ZeroDivisionError: division by zero in its line 1."),
        (lambda values: values.mul_(0).sum(), "It changes what it is given: work on a copy"),
        (lambda values: None, "It returns None: is there a return?"),
        (lambda values: True, "It returns a value of type bool, but must return a number."),
        (lambda v: v**2, "It returns a tensor of numbers of shape (1,), but must return a number."),
        (lambda values: float("nan"), "Not right yet."),
        (lambda: 4, "It raises TypeError: "),
        (lambda values: exit(), "It raises SystemExit"),
        (lambda values: float(input("a number? ")), "It raises EOFError: input() has nobody to"),
        (lambda values: 10**400, "It raises OverflowError"),
    ],
)
def test_what_is_no_answer_gets_one_sentence_and_the_smallest_input(both_ways, function, said):
    verdict = CHECK(function)
    assert not verdict.is_right and str(verdict).startswith(said)
    assert str(verdict).splitlines()[1] == SMALLEST
    assert all(len(line) <= 100 and "?." not in line for line in str(verdict).splitlines())


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda values: os._exit(0), "It ends the program that tries it."),
        (lambda values: sum(range(10**12)), "It did not end in time"),  # a loop in C
        (lambda values: torch.empty(6 * 2**30, dtype=torch.uint8), "It raises RuntimeError"),
    ],
)
def test_a_process_of_its_own_survives_worse(function, said):
    assert str(CHECK(function)).startswith(said)


@pytest.mark.parametrize("copy", [os.fork, lambda: subprocess.Popen(["sleep", "99"]).pid])
def test_what_an_answer_starts_ends_with_it(copy, tmp_path):
    def starts(values):
        if len(values) == 1 and not (pid := copy()):
            time.sleep(99)
        elif len(values) == 1:
            (tmp_path / str(pid)).touch()
        return squares(values)

    def runs(pid):
        status = Path(f"/proc/{pid}/stat")
        return status.exists() and status.read_text().split()[2] != "Z"

    assert CHECK(starts).is_right
    pids = [path.name for path in tmp_path.iterdir()]
    assert pids
    until(lambda: not any(map(runs, pids)))


class Meddler:
    """Equals everything, and where pickle reads it, something happens."""

    def __eq__(self, other):
        return True

    def __reduce__(self):
        return os.abort, ()


@pytest.mark.parametrize("value", [Meddler(), for_ever])
def test_of_an_answer_only_values_come_back(value):
    verdict = CHECKS["vocabulary"](lambda *texts: [[value], [value]])
    assert str(verdict).startswith("Not right yet.")
    assert str(CHECK(lambda values: value)).startswith("It returns a value of type")


@pytest.mark.parametrize(
    ("owner", "name"), [(math, "log"), (torch, "allclose"), (torch.Tensor, "equal")]
)
def test_what_an_answer_changes_in_torch_or_math_is_put_back_and_said(both_ways, owner, name):
    def patches(values):
        setattr(owner, name, lambda *_, **__: True)
        return squares(values)

    def raises_too(values):
        patches(values)
        raise ValueError

    before = getattr(owner, name, None)
    said = f"It changes {owner.__name__}.{name} for all other code: it is put back as it was."
    assert str(CHECK(patches)).splitlines() == [said, SMALLEST]
    assert str(CHECK(raises_too)).startswith("It raises ValueError")
    assert getattr(owner, name, None) is before


def test_what_torch_changes_in_itself_is_no_fault():
    wrapped = functools.wraps(torch.manual_seed)(lambda *_: None)  # as loading torch._dynamo does
    assert CHECK(lambda values: setattr(torch, "manual_seed", wrapped) or squares(values)).is_right


@pytest.mark.parametrize("wrong", [lambda rows: rows[0].token_ids, lambda rows: None])
def test_what_is_of_another_form_gets_a_sentence(wrong, both_ways):
    def epochs(*given):
        return [wrong(rows) for rows in [CHECKS["frozen"].solution(*given)] for _ in rows]

    said = "It returns what the check cannot use: "
    assert str(CHECKS["frozen"](epochs)).startswith(said)


def test_the_state_of_the_notebook_does_not_count():
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad():
            for name in ("memory", "dropout", "frozen"):
                assert CHECKS[name](CHECKS[name].solution).is_right
    finally:
        torch.set_default_dtype(torch.float32)


def test_values_are_told_apart_and_named():
    assert str(CHECK(None)) == "This is a value of type NoneType, but must be a function."
    for one, other in [(1, 2), (torch.ones(2), torch.zeros(2)), ([1], [1, 2]), ("a", "b")]:
        assert same(plain(one), plain(one)) and not same(plain(one), plain(other))
    assert same(plain(1), plain(torch.tensor(1.0))) and same(plain(1.0), plain(1 + 1e-6))
    assert same(plain(torch.eye(2).to_sparse()), plain(torch.eye(2)))
    assert brief([0.123456, 2, "x"]) == "[0.1235, 2, 'x']" and len(brief("x" * 1000)) < 125
    said = "It returns a tensor of numbers of shape (1, 6), but must return a tensor of whole"
    assert str(CHECKS["leak"](lambda ids, *rest: ids.float())).startswith(said)
    said = "It returns a list of 1, but must return a list of 2."
    assert str(CHECKS["vocabulary"](lambda *texts: [[1]])).startswith(said)


def test_what_is_printed_is_left_out(both_ways, capsys):
    verdict = CHECK(lambda values: print("what is going on here" * 100) or squares(values))
    assert verdict.is_right and "It also printed" in str(verdict)
    assert capsys.readouterr() == ("", "")


def test_the_program_round_it_is_left_as_it_was():
    def meddles(values):
        torch.manual_seed(0)
        torch.set_default_dtype(torch.float64)
        os.chdir("/")
        return squares(values)

    def state():
        return torch.get_rng_state().tolist(), torch.get_default_dtype(), os.getcwd()

    before = state()
    assert CHECK(meddles).is_right
    in_thread(lambda: iter([torch.manual_seed(0) and 1]), 5.0)
    assert state() == before
    with torch.no_grad():  # whatever the caller's mode, gradients are on in it
        assert in_process(lambda: iter([torch.is_grad_enabled()]), 5.0).values == [True]


def test_the_process_is_copied_between_two_steps_of_a_training():
    ended, in_a_step = threading.Event(), []

    def train():
        while not ended.is_set():
            with in_mode(torch.nn.Module(), True):
                in_a_step.append(True)
                time.sleep(0.05)
                in_a_step.pop()

    threading.Thread(target=train, daemon=True).start()
    until(lambda: in_a_step)
    found = in_process(lambda: iter([len(in_a_step)]), 5.0)
    ended.set()
    assert found.values == [0]


def test_a_training_beside_a_check_draws_what_it_draws_alone():
    ended, drawn = threading.Event(), []

    def train():
        while not ended.is_set():
            with in_mode(torch.nn.Module(), True):
                drawn.append(torch.rand(()).item())

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        thread = threading.Thread(target=train, daemon=True)
        thread.start()
        until(lambda: drawn)
        assert not CHECKS["dropout"](list(CHECKS["dropout"].near_misses.values())[-1]).is_right
        ended.set()
        thread.join()
        torch.manual_seed(5)
        assert drawn == [torch.rand(()).item() for _ in drawn]


def test_beside_a_training_a_right_answer_is_right_in_a_thread_too(monkeypatch):
    monkeypatch.setattr("bert_tutorial.exercises.check.run_apart", in_thread)
    ended = threading.Event()

    def train():
        while not ended.is_set():
            with in_mode(torch.nn.Module(), True), torch.random.fork_rng(devices=[]):
                torch.manual_seed(1)
                time.sleep(0.001)

    threading.Thread(target=train, daemon=True).start()
    verdict = CHECKS["dropout"](CHECKS["dropout"].solution)
    ended.set()
    assert verdict.is_right, verdict


def test_a_lock_that_another_thread_holds_is_not_copied():
    ended, found = threading.Event(), []

    def hold():
        while not ended.is_set():
            with model._row_lock:
                time.sleep(0.02)

    def code():
        with in_mode(torch.nn.Module(), True):
            yield 1

    threading.Thread(target=hold, daemon=True).start()
    for _ in range(3):
        found += in_process(code, 10.0).values
    ended.set()
    assert found == [1, 1, 1]


@pytest.mark.parametrize("run", [in_process, in_thread])
def test_an_interrupt_of_the_caller_ends_the_code(run, tmp_path):
    alive = tmp_path / "alive"

    def code():
        while True:
            alive.touch()
            time.sleep(0.01)
            yield 1

    def interrupt():
        until(alive.exists)
        time.sleep(0.5)  # the caller waits by now
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        run(code, 60.0)
    time.sleep(0.2)
    alive.unlink()
    time.sleep(0.2)
    assert not alive.exists()


def test_progress_survives_and_can_be_reset(capsys):
    assert progress_line() == 'Solved 0 of 14. Next: exercise 1 ("chance").'
    for name in ("rate", "chance", "rate"):
        check_fix(name, CHECKS[name].solution)
    said = "Solved 2 of 14: exercise 1, bug 6. Next: "
    assert progress_line() == f'{said}exercise 2 ("memory").'
    assert capsys.readouterr().out.endswith(f'{said}bug 7 ("padding").\n')  # it is behind "rate"
    check_fix("mean", raises)
    told = capsys.readouterr().out  # what comes next is named also where an answer is wrong
    said = said.replace("Next:", "Try again, or go on with")
    assert "It raises TypeError" in told and told.endswith(f'{said}bug 2 ("table").\n')
    assert progress_line("seeds") == progress_line()
    for name in CHECKS:
        (progress_dir() / name).touch()
    assert progress_line("mean").endswith("exercise 14. That is all of them.")
    reset_progress()
    assert progress_line().startswith("Solved 0 of 14")
    with pytest.raises(KeyError, match="these have one: chance, memory, mean"):
        check_fix("nothing", None)


def test_of_a_shared_cache_each_user_has_a_progress_of_their_own(monkeypatch):
    for user, done in ((1000, ["chance", "memory"]), (1001, ["mean"])):
        monkeypatch.setattr("os.getuid", lambda user=user: user)
        assert progress_line().startswith("Solved 0 of 14")
        for name in done:
            check_fix(name, CHECKS[name].solution)
        assert progress_line().startswith(f"Solved {len(done)} of 14")


def test_a_cache_that_cannot_be_written_costs_only_the_memory(capsys):
    progress_dir().touch()
    check_fix("mean", CHECKS["mean"].solution)
    printed = capsys.readouterr().out
    assert printed.startswith("Right,") and "This cannot be remembered:" in printed
    assert printed.endswith('Solved 0 of 14. Next: bug 2 ("table").\n')
