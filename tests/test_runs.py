"""Runs in the background that are watched, paused, stopped and resumed."""

import copy
import gc
import math
import signal
import sys
import threading
import time
import weakref

import pytest
import torch
from small import (
    PATIENCE,
    assert_identical,
    break_net,
    losses,
    small_net,
    some_examples,
    until,
)
from torch.testing import assert_close

from bert_tutorial.network.model import in_mode
from bert_tutorial.pretraining import training
from bert_tutorial.pretraining.evaluation import baselines, evaluate
from bert_tutorial.pretraining.training import Settings, prepare, train_steps
from bert_tutorial.representation.encoding import dropout_vectors, get_bert_encoding
from bert_tutorial.studio.runs.run import TrainingRun


def run_of(num_steps, examples=None, net=None, **settings):
    examples = examples or some_examples()
    return TrainingRun(
        net or small_net(examples), examples, Settings(num_steps=num_steps), **settings
    )


def test_a_run_from_waiting_to_finished():
    run = run_of(30)
    assert run.state == "waiting" and "waiting, 0 of 30" in repr(run)
    assert run.start() is run
    assert run.wait(PATIENCE)
    assert run.state == "finished" and run.error is None and "finished, 30 of 30" in repr(run)
    assert [step.step for step in run.history] == list(range(1, 31))
    examples = some_examples()
    assert_identical(
        losses(run.history), losses(train_steps(small_net(examples), examples, run.recipe))
    )
    assert [step for step, _ in run.held_out] == [0, 6, 12, 18, 24, 30]
    assert_close(torch.tensor(run.held_out[-1][1]), torch.tensor(evaluate(run.net, examples.valid)))
    assert_close(torch.tensor(run.baselines), torch.tensor(baselines(examples)))
    assert run.pairs_per_second > 0


@pytest.mark.parametrize("training", [True, False])
def test_a_run_leaves_the_mode_as_it_was(training):
    examples = some_examples()
    run = run_of(2, examples, small_net(examples).train(training)).start()
    assert run.wait(PATIENCE)
    assert run.net.training == training


def test_a_sentence_can_be_encoded_while_a_run_trains_and_neither_disturbs_the_other():
    examples = some_examples()
    net = small_net(examples, dropout=0.5)
    # So that the weights stay what they are.
    recipe = Settings(num_steps=200, learning_rate=1e-12, weight_decay=0.0, word_neighbours=False)
    alone = losses(train_steps(copy.deepcopy(net), some_examples(), recipe))
    tokens = examples.vocab.to_tokens([5, 6, 7])
    before, noise = (
        get_bert_encoding(net, examples.vocab, tokens),
        dropout_vectors(net, examples.vocab, tokens, tokens[0]),
    )
    run = TrainingRun(net, examples, recipe, num_evaluations=1).start()
    meanwhile = set()
    while not run.wait(0):
        meanwhile.add(len(run.history))
        assert_close(get_bert_encoding(net, examples.vocab, tokens), before)
        assert_close(dropout_vectors(net, examples.vocab, tokens, tokens[0]), noise)
    assert len(meanwhile) > 20  # encoding waits for a step, not for the run
    assert run.error is None
    assert_identical(losses(run.history), alone)


def test_a_paused_run_does_nothing_and_goes_on_as_if_nothing_had_been():
    run = run_of(100).start()
    until(lambda: run.history)
    run.pause()
    done = len(run.history)
    assert run.state == "paused"
    time.sleep(0.1)
    paused_at = len(run.history)
    assert paused_at <= done + 1  # the step under way
    time.sleep(0.5)  # time enough for the whole run
    assert len(run.history) == paused_at < 100
    assert not run.wait(0)
    run.resume()
    assert run.state in ("running", "finished")
    assert run.wait(PATIENCE)
    assert run.state == "finished"
    examples = some_examples()
    assert_identical(
        losses(run.history), losses(train_steps(small_net(examples), examples, run.recipe))
    )


@pytest.fixture
def small_parts(monkeypatch):
    """Each step goes through the network in several parts; the list tells how far it has come."""
    losses_of, parts = training.pretraining_losses, []
    monkeypatch.setattr(training, "rows_at_once", lambda net, device: 4)

    def count(*arguments):
        parts.append(1)
        return losses_of(*arguments)

    monkeypatch.setattr(training, "pretraining_losses", count)
    return parts


def test_a_pause_within_a_step_changes_neither_losses_nor_weights(small_parts):
    examples, recipe = some_examples(), Settings(num_steps=12)
    net = small_net(examples, dropout=0.5)
    alone = losses(train_steps(net, examples, recipe))
    assert len(small_parts) == 12 * 4
    run = TrainingRun(small_net(examples, dropout=0.5), examples, recipe)
    rest, paused_at = run._rest, []

    def pause_often():
        if small_parts and len(small_parts) % 4 == 2 and len(small_parts) not in paused_at:
            paused_at.append(len(small_parts))
            run.pause()
            threading.Thread(target=lambda: (until(lambda: run.is_still), run.resume())).start()
        rest()

    small_parts.clear()
    run._rest = pause_often
    assert run.start().wait(PATIENCE) and run.error is None
    assert len(paused_at) == 12 and len(small_parts) == 12 * 4  # no part was done again
    assert_identical(losses(run.history), alone)
    for name, value in run.net.state_dict().items():
        assert_identical(value, net.state_dict()[name])


def test_a_run_stopped_within_a_step_keeps_the_weights_of_the_last_whole_one(small_parts):
    examples = some_examples()
    run = run_of(100, examples)
    rest = run._rest

    def stop_in_the_third_step():
        if len(small_parts) == 2 * 4 + 3:
            run.stop()
        rest()

    run._rest = stop_in_the_third_step
    assert run.start().wait(PATIENCE) and run.state == "stopped" and len(run.history) == 2
    net = small_net(examples)
    steps = train_steps(net, examples, run.recipe)
    assert_identical(losses(run.history), losses([next(steps), next(steps)]))
    for name, value in run.net.state_dict().items():
        assert_identical(value, net.state_dict()[name])


@pytest.mark.parametrize("doing", ["counting", "evaluating", "training"])
def test_pause_and_stop_stand_still_soon_whatever_it_does(doing):
    run = run_of(100_000).start()
    until(lambda: run.doing == doing)
    run.pause()
    until(lambda: run.is_still)
    assert not run.wait(0.05) and run.state == "paused"
    run.stop()
    assert run.wait(5) and run.state == "stopped" and not run.is_still


def test_a_wait_for_the_network_does_not_count_as_work():
    run = run_of(100_000).start()
    until(lambda: len(run.history) >= 3)
    before = len(run.history)
    with in_mode(run.net, training=False):
        time.sleep(0.4)
    until(lambda: len(run.history) >= before + 5)
    run.stop()
    assert run.wait(PATIENCE)
    assert max(step.seconds for step in run.history[2:]) < 0.3


def test_two_runs_at_once_on_the_same_examples_each_repeat_themselves():
    examples = some_examples(40)
    recipes = [Settings(num_steps=40, seed=seed) for seed in (0, 1)]
    nets = [small_net(examples, dropout=0.5) for _ in range(4)]
    alone = [
        losses(train_steps(net, examples, how)) for net, how in zip(nets, recipes, strict=False)
    ]
    runs = [TrainingRun(net, examples, how) for net, how in zip(nets[2:], recipes, strict=True)]
    runs[0].start()
    until(lambda: len(runs[0].history) >= 5)  # another epoch
    runs[1].start()
    for run, wanted in zip(runs, alone, strict=True):
        assert run.wait(PATIENCE) and run.error is None
        assert_identical(losses(run.history), wanted)


@pytest.mark.parametrize("valid", [True, False])
def test_looks_are_taken_when_the_held_out_text_is_read_also_where_there_is_none(valid):
    examples = some_examples() if valid else some_examples(valid=None)
    seen = []
    run = run_of(10, examples, num_evaluations=2, look=lambda net: seen.append(net) or len(seen))
    assert run.start().wait(PATIENCE) and run.error is None
    assert run.looks == [(0, 1), (5, 2), (10, 3)] and seen == [run.net] * 3
    assert len(run.held_out) == (3 if valid else 0)


def test_an_error_of_a_look_ends_the_run():
    run = run_of(10, look=lambda net: 1 / 0).start()
    assert run.wait(PATIENCE) and run.state == "failed"
    assert isinstance(run.error, ZeroDivisionError)


def test_no_thread_is_left_after_a_run():
    before = set(threading.enumerate())
    run = run_of(3).start()
    assert run.wait(PATIENCE)
    until(lambda: set(threading.enumerate()) <= before)


@pytest.mark.parametrize("paused", [False, True])
def test_a_run_that_is_stopped_from_another_thread_ends_soon(paused):
    run = run_of(100_000).start()
    assert run.state == "running"
    until(lambda: len(run.history) >= 3)
    if paused:
        run.pause()
    done = len(run.history)
    stopper = threading.Thread(target=run.stop)
    stopper.start()
    stopper.join(PATIENCE)
    assert run.wait(PATIENCE)
    assert run.state == "stopped" and run.error is None
    # Steps that were done until the other thread had its turn.
    assert done <= len(run.history) <= done + 50
    result = evaluate(run.net, run.train_iter.valid, num_batches=2)
    assert math.isfinite(result.mlm_loss)


def test_the_kept_steps_of_a_stopped_run_are_those_of_a_whole_one():
    run = run_of(100_000).start()
    until(lambda: len(run.history) >= 3)
    run.stop()
    assert run.wait(PATIENCE)
    examples = some_examples()
    net = small_net(examples)
    for kept, step in zip(run.history, train_steps(net, examples, run.recipe), strict=False):
        assert_identical(losses([kept]), losses([step]))
        if step.step == len(run.history):
            break
    for name, value in run.net.state_dict().items():
        assert_identical(value, net.state_dict()[name])


def test_a_pause_after_a_stop_does_not_hold_the_run():
    examples = some_examples()
    run = run_of(100_000, examples)
    run.stop()
    run.pause()
    try:
        assert run.start().wait(2)
    finally:
        run.resume()
        run.wait(PATIENCE)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no pthread_kill")
def test_an_interrupted_wait_does_not_take_the_run_for_ended():
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    examples = some_examples()
    begun, go_on, original = threading.Event(), threading.Event(), examples.batch
    examples.batch = lambda *place: (begun.set(), go_on.wait(PATIENCE), original(*place))[2]
    ended = threading.Event()
    run = run_of(100_000, examples)
    work = run._work
    run._thread._target = lambda: (work(), ended.set())
    run.start()
    try:
        assert begun.wait(PATIENCE)
        threading.Timer(
            0.3, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT)
        ).start()
        with pytest.raises(KeyboardInterrupt):
            run.wait(PATIENCE)
        thought_to_run = not run.wait(0) and run.state == "running"
    finally:
        signal.signal(signal.SIGINT, previous)
        run.stop()
        go_on.set()
        assert ended.wait(PATIENCE)
    assert thought_to_run
    assert run.wait(PATIENCE) and run.state == "stopped" and run.history == []


def test_an_error_in_the_thread_is_kept():
    examples = some_examples()
    net = small_net(examples)
    prepare(net, examples, Settings())
    run = run_of(50, examples, net)
    break_net(net)
    before = copy.deepcopy(net.encoder.state_dict())
    assert run.start().wait(PATIENCE)
    assert run.state == "failed" and run.history == []
    assert isinstance(run.error, FloatingPointError)
    for name, value in net.encoder.state_dict().items():
        assert_identical(value, before[name])


def test_a_run_without_held_out_text():
    examples = some_examples(valid=None)
    run = run_of(3, examples).start()
    assert run.wait(PATIENCE)
    assert run.state == "finished" and run.held_out == []
    assert_close(run.baselines.uniform, math.log(len(examples.vocab)))


@pytest.mark.parametrize(
    "num_steps",
    [1, 2, 3, 7],
)
def test_no_step_is_evaluated_twice(num_steps):
    run = run_of(num_steps).start()
    assert run.wait(PATIENCE)
    steps = [step for step, _ in run.held_out]
    assert steps == sorted(set(steps)) and steps[0] == 0 and steps[-1] == num_steps


def test_a_run_that_is_stopped_before_it_starts_does_no_step():
    run = run_of(100)
    run.stop()
    assert run.start().wait(PATIENCE)
    assert run.state == "stopped" and run.history == []


def test_a_network_is_trained_by_one_run_at_a_time():
    examples = some_examples()
    net = small_net(examples)
    first, second = run_of(100_000, examples, net).start(), run_of(3, examples, net)
    until(lambda: len(first.history) >= 2)
    first.pause()
    with pytest.raises(RuntimeError, match=r"^another run trains this network, .*paused.*stop\(\)"):
        second.start()
    assert second.state == "waiting"
    other = run_of(3, examples).start()  # another network may be trained meanwhile
    assert other.wait(PATIENCE) and other.error is None
    first.stop()
    assert first.wait(PATIENCE)
    assert second.start().wait(PATIENCE)
    assert second.state == "finished"
    third = run_of(3, examples, net)
    assert third.start().wait(PATIENCE) and third.state == "finished"


def test_a_run_that_follows_a_stopped_one_waits_for_its_last_step():
    examples = some_examples()
    net = small_net(examples)
    in_a_step, go_on, original = threading.Event(), threading.Event(), examples.batch
    examples.batch = lambda *place: (in_a_step.set(), go_on.wait(PATIENCE), original(*place))[2]
    first = run_of(100_000, examples, net).start()
    assert in_a_step.wait(PATIENCE)
    first.stop()
    examples = some_examples()
    second, third = run_of(3, examples, net).start(), run_of(3, examples, net)
    assert not second.wait(0.2) and second.history == [] and second.held_out == []
    with pytest.raises(RuntimeError, match="^another run trains this network, "):
        third.start()
    go_on.set()
    assert second.wait(PATIENCE) and second.state == "finished"
    assert first.state == "stopped" and first.history == []


def test_a_run_is_started_once():
    run = run_of(2).start()
    assert run.wait(PATIENCE)
    with pytest.raises(RuntimeError, match="^this run was started before: make a new TrainingRun$"):
        run.start()


def test_a_run_that_is_gone_leaves_nothing_behind():
    run = run_of(2).start()
    assert run.wait(PATIENCE)
    run._thread.join(PATIENCE)
    gone = weakref.ref(run), weakref.ref(run.net)
    del run
    gc.collect()
    assert gone[0]() is None and gone[1]() is None


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_a_run_of_a_network_in_another_format_is_refused_at_once(dtype):
    examples = some_examples()
    with pytest.raises(ValueError, match=f"weights are {dtype}, .* write net.float"):
        run_of(2, examples, small_net(examples).to(dtype))
