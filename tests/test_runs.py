"""Runs in the background that are watched, paused, stopped and resumed."""

import math
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
import torch
from small import (
    PATIENCE,
    assert_identical,
    losses,
    small_net,
    some_examples,
    until,
)
from torch.testing import assert_close

from bert_tutorial.network.model import in_mode
from bert_tutorial.pretraining.evaluation import baselines, evaluate
from bert_tutorial.pretraining.training import Settings, train_steps
from bert_tutorial.studio.runs.run import TrainingRun
from bert_tutorial.studio.runs.saved_runs import SavedRuns


def run_of(num_steps, examples=None, net=None, **how):
    examples = examples or some_examples()
    return TrainingRun(net or small_net(examples), examples, Settings(num_steps=num_steps), **how)


def assert_is_the_beginning_of_a_whole_run(run):
    """Its losses and its weights are those of the plain loop after as many steps."""
    examples = some_examples()
    net = small_net(examples)
    steps = train_steps(net, examples, run.settings)
    assert_identical(losses(run.history), losses([next(steps) for _ in run.history]))
    for name, value in run.net.state_dict().items():
        assert_identical(value, net.state_dict()[name])


def test_a_run_from_waiting_to_finished():
    run = run_of(30)
    assert run.state == "waiting" and "waiting, 0 of 30" in repr(run)
    assert run.start() is run and run.wait(PATIENCE)
    assert run.state == "finished" and run.error is None and "finished, 30 of 30" in repr(run)
    assert_is_the_beginning_of_a_whole_run(run)
    assert [step for step, _ in run.held_out] == [0, 6, 12, 18, 24, 30]
    measured = evaluate(run.net, run.train_iter.valid)
    assert_close(torch.tensor(run.held_out[-1][1]), torch.tensor(measured))
    assert_close(torch.tensor(run.baselines), torch.tensor(baselines(run.train_iter)))


def test_a_paused_run_does_nothing_and_goes_on_as_if_nothing_had_been():
    run = run_of(100)
    run.net.eval()
    run.start()
    until(lambda: run.history)
    with in_mode(run.net, training=False):  # no step can end
        run.pause()
        done = len(run.history)
        assert run.state == "pausing" and not run.is_still
    until(lambda: run.state == "paused")
    assert run.is_still and run.is_to_pause and done <= (paused_at := len(run.history)) <= done + 1
    time.sleep(0.5)  # time enough for the whole run
    assert len(run.history) == paused_at < 100 and not run.wait(0)
    run.resume()
    assert run.state in ("running", "finished")
    assert run.wait(PATIENCE) and run.state == "finished" and not run.net.training
    assert_is_the_beginning_of_a_whole_run(run)


@pytest.mark.parametrize(
    "doing", ["nothing yet", "counting", "evaluating", "training", "standing still"]
)
def test_a_run_stops_soon_whatever_it_does_and_keeps_whole_steps(doing):
    run = run_of(100_000, num_evaluations=100_000 if doing == "evaluating" else 5)
    if doing == "nothing yet":
        run.stop()
    run.start()
    if doing == "standing still":
        until(lambda: run.history)
        run.pause()
        until(lambda: run.state == "paused")
    elif doing != "nothing yet":
        until(lambda: run.doing == doing)
    with in_mode(run.net, training=False):
        done = len(run.history)
        run.stop()
        run.pause()  # does not hold it
        assert run.state in ("stopping", "stopped")
    assert run.wait(5) and run.state == "stopped" and run.error is None and not run.is_still
    assert done <= len(run.history) <= done + 1
    if run.history:
        assert_is_the_beginning_of_a_whole_run(run)


def test_two_runs_at_once_on_the_same_examples_each_repeat_themselves():
    examples = some_examples(40)
    settings = [Settings(num_steps=15, seed=seed) for seed in (0, 1)]
    nets = [small_net(examples, dropout=0.5) for _ in range(4)]
    alone = [losses(train_steps(nets[n], examples, settings[n])) for n in (0, 1)]
    runs = [TrainingRun(nets[2 + n], examples, settings[n]) for n in (0, 1)]
    runs[0].start()
    until(lambda: len(runs[0].history) >= 5)  # another epoch
    runs[1].start()
    for run, wanted in zip(runs, alone, strict=True):
        assert run.wait(PATIENCE) and run.error is None
        assert_identical(losses(run.history), wanted)


def test_of_two_runs_on_one_network_the_second_waits_for_the_end_of_the_first():
    first = run_of(100_000)
    second = run_of(3, first.train_iter, first.net)
    first.start().pause()
    with pytest.raises(ValueError, match="^another run trains this network: stop it first, or"):
        second.start()
    assert second.state == "waiting"
    first.stop()
    assert first.wait(PATIENCE) and second.start().wait(PATIENCE) and second.state == "finished"


@pytest.mark.parametrize("valid", [True, False])
def test_a_network_is_probed_at_each_evaluation_also_without_held_out_text(valid):
    examples = some_examples() if valid else some_examples(valid=None)
    seen = []
    run = run_of(10, examples, num_evaluations=2, probe=lambda net: seen.append(net) or len(seen))
    assert run.start().wait(PATIENCE) and run.state == "finished"
    assert run.probes == [(0, 1), (5, 2), (10, 3)] and seen == [run.net] * 3
    assert [step for step, _ in run.held_out] == ([0, 5, 10] if valid else [])
    assert_close(run.baselines.uniform, math.log(len(examples.vocab)))


def test_an_error_ends_the_run_and_is_kept():
    run = run_of(10, probe=lambda net: 1 / 0).start()
    assert run.wait(PATIENCE) and run.state == "failed"
    assert isinstance(run.error, ZeroDivisionError)


@pytest.mark.nightly
def test_a_program_that_ends_while_a_run_trains_ends_well_and_keeps_it(tmp_path):
    code = """
from pathlib import Path
from small import some_examples, until
from bert_tutorial.studio.runs.queue import RunQueue
from bert_tutorial.studio.runs.saved_runs import SavedRuns
from bert_tutorial.studio.runs.settings import RunSettings
queue = RunQueue(some_examples(), SavedRuns(Path("runs")))
queue.begin(RunSettings(num_hiddens=16, batch_size=16, num_steps=100_000))
until(lambda: len(queue.run.history) > 3)
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    (saved,) = SavedRuns(tmp_path / "runs").all()
    assert saved.record["step"] > 3 and len(saved.steps()) == saved.record["step"]
    assert saved.checkpoint.exists() and saved.record["error"] is None


@pytest.mark.skipif(sys.platform == "win32", reason="there is no pthread_kill")
def test_an_interrupted_wait_does_not_take_the_run_for_ended():
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    examples = some_examples()
    begun, go_on, original = threading.Event(), threading.Event(), examples.batch
    examples.batch = lambda *place: (begun.set(), go_on.wait(PATIENCE), original(*place))[2]
    run = run_of(100_000, examples).start()
    try:
        assert begun.wait(PATIENCE)
        interrupt = signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT)
        threading.Timer(0.3, *interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            run.wait(PATIENCE)
        assert not run.wait(0) and run.state == "running"
    finally:
        signal.signal(signal.SIGINT, previous)
        run.stop()
        go_on.set()
        assert run.wait(PATIENCE) and run.state == "stopped"
