"""The training panel's state, without a widget."""

import gc
import json
import threading
import time
import weakref
from dataclasses import replace

import pytest
from small import (
    PATIENCE,
    assert_identical,
    break_net,
    losses,
    some_examples,
    until,
    weights_of,
)

from bert_tutorial.network.model import BERTModel
from bert_tutorial.pretraining.training import prepare, train_steps
from bert_tutorial.studio.runs import queue as workbench
from bert_tutorial.studio.runs import saved_runs as kept_runs
from bert_tutorial.studio.runs.experiments import Experiment
from bert_tutorial.studio.runs.queue import RunQueue
from bert_tutorial.studio.runs.saved_runs import SavedRuns
from bert_tutorial.studio.runs.settings import RunSettings

SHORT = RunSettings(num_hiddens=16, batch_size=16, num_steps=4)
LONG = replace(SHORT, num_steps=100_000)
THREE = {name: replace(SHORT, seed=seed) for seed, name in enumerate(("one", "two", "three"))}


@pytest.fixture
def store(tmp_path):
    return SavedRuns(tmp_path)


@pytest.fixture
def bench(store):
    bench = RunQueue(some_examples(), store)
    yield bench
    bench.stop()
    if bench.run is not None:
        bench.resume()
        assert bench.run.wait(PATIENCE)


@pytest.fixture
def experiment(monkeypatch):
    def make(runs):
        made = Experiment("?", runs, "!", lambda losses: True)
        monkeypatch.setitem(workbench.EXPERIMENTS, "test", made)
        return made

    return make


def trained_steps(bench, count):
    until(lambda: len(bench.run.history) >= count)


def test_a_run_begins_is_kept_and_ends(bench, store):
    run = bench.begin(SHORT, "first")
    assert bench.name == "first" and bench.settings == SHORT
    assert run.wait(PATIENCE) and run.state == "finished" and not bench.is_busy
    (kept,) = bench.runs()
    assert kept.is_finished and kept.story["name"] == "first" and not bench.is_going(kept)
    assert bench.begin(SHORT).wait(PATIENCE) and bench.name == "run 2"
    assert_identical(losses(run.history), losses(bench.run.history))


@pytest.mark.parametrize("number", range(3))
def test_of_several_starts_at_once_one_wins(bench, number):
    refused, barrier = [], threading.Barrier(4)

    def begin():
        barrier.wait(PATIENCE)
        try:
            bench.begin(LONG)
        except ValueError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=begin) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert len(refused) == 3 and all("goes on: stop it first" in error for error in refused)
    assert len(bench.runs()) == 1


def test_buttons_pressed_by_several_threads_leave_the_losses_as_they_are(bench):
    settings = replace(SHORT, num_steps=40, dropout=0.3)
    run = bench.begin(settings)

    def press():
        while not run.wait(0):
            bench.pause()
            time.sleep(0.001)
            bench.resume()
            time.sleep(0.003)

    threads = [threading.Thread(target=press) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert run.state == "finished"
    of = some_examples()
    net = settings.network(len(of.vocab))
    steps = train_steps(net, settings.examples(of), settings.recipe())
    assert_identical(losses(run.history), losses(steps))


def test_a_bad_setting_is_refused_and_leaves_no_run_behind(bench):
    with pytest.raises(ValueError, match="num_heads"):
        bench.begin(replace(SHORT, num_heads=3))
    with pytest.raises(ValueError, match="num_steps is 0"):
        bench.begin(replace(SHORT, num_steps=0))
    assert bench.run is None and bench.runs() == [] and not bench.is_busy


def test_another_workbench_takes_over_a_run_in_every_state(bench, store):
    of = some_examples()
    assert RunQueue.open(of, store) is not bench
    run = bench.begin(LONG)
    assert RunQueue.open(of, store) is bench
    bench.pause()
    until(lambda: run.is_still)
    assert RunQueue.open(of, store) is bench
    bench.resume()
    bench.stop()
    assert run.wait(PATIENCE)
    other = RunQueue.open(of, store)
    assert other is not bench and other.run is None


def test_one_workbench_trains_at_a_time(bench, store):
    other = RunQueue(some_examples(), store)
    bench.begin(LONG, "mine")
    with pytest.raises(ValueError, match="^mine goes on in another panel: stop it there"):
        other.begin(SHORT)
    bench.stop()
    assert bench.run.wait(PATIENCE)
    assert other.begin(SHORT).wait(PATIENCE)


def test_a_stopped_run_goes_on_in_a_new_workbench_bit_for_bit(bench, store):
    settings = replace(SHORT, num_steps=30, dropout=0.3, batch_size=32)
    run = bench.begin(settings)
    trained_steps(bench, 5)
    bench.stop()
    assert run.wait(PATIENCE)
    (kept,) = bench.runs()
    again = RunQueue(some_examples(), SavedRuns(store.path))
    assert again.go_on(kept.id).wait(PATIENCE) and again.run.state == "finished"
    of = some_examples()
    net = settings.network(len(of.vocab))
    assert_identical(
        losses(again.run.history),
        losses(train_steps(net, settings.examples(of), settings.recipe())),
    )
    for name, value in weights_of(net).items():
        assert_identical(again.run.net.state_dict()[name], value)


def test_what_cannot_go_on_is_told(bench, store):
    run = bench.begin(SHORT)
    assert run.wait(PATIENCE)
    with pytest.raises(ValueError, match="no longer there"):
        bench.go_on("nothing")
    other = RunQueue(some_examples(61), store)
    with pytest.raises(ValueError, match="on another text"):
        other.go_on(run.kept.id)
    assert other.runs() == [] and other.speed() is None
    story = store.path / run.kept.id / "story.json"
    told = json.loads(story.read_text())
    told["settings"]["colour"] = "red"
    story.write_text(json.dumps(told))
    with pytest.raises(ValueError, match="another version: .* colour"):
        bench.go_on(run.kept.id)
    assert not bench.is_busy and bench.speed() is None


@pytest.mark.parametrize("place", [0, 100, 200])
def test_a_damaged_checkpoint_is_told_and_the_story_stays(bench, store, place):
    run = bench.begin(LONG)
    trained_steps(bench, 3)
    bench.stop()
    assert run.wait(PATIENCE)
    before = json.loads((store.path / run.kept.id / "story.json").read_text())
    file = store.path / run.kept.id / "checkpoint.safetensors"
    content = bytearray(file.read_bytes())
    content[place : place + 8] = b"\xff" * 8
    file.write_bytes(content)
    again = bench.go_on(run.kept.id)
    assert again.wait(PATIENCE) and again.state == "failed"
    assert "is damaged" in str(again.error) and "delete the run in the table" in str(again.error)
    after = json.loads((store.path / run.kept.id / "story.json").read_text())
    assert after == before | {"error": str(again.error)}
    assert bench.begin(SHORT).wait(PATIENCE) and bench.run.state == "finished"


def test_a_run_may_be_renamed_while_it_tells_its_story(bench, monkeypatch):
    monkeypatch.setattr(kept_runs, "SAVE_EVERY", 0.0)
    monkeypatch.setattr(kept_runs, "SAVING", 0)
    run = bench.begin(replace(SHORT, num_steps=25))
    number = 0
    while not run.wait(0):
        bench.rename(run.kept.id, f"name {(number := number + 1)}")
    assert run.state == "finished", run.error
    (kept,) = bench.runs()
    assert kept.story["name"] == f"name {number}" == bench.name and kept.is_finished


def test_a_run_that_goes_on_is_not_deleted(bench, store):
    run = bench.begin(LONG, "mine")
    trained_steps(bench, 1)
    with pytest.raises(ValueError, match="^mine goes on: stop it before you delete it"):
        bench.delete(run.kept.id)
    with pytest.raises(ValueError, match="another process trains in"):
        SavedRuns(store.path).delete(run.kept.id)
    bench.stop()
    assert run.wait(PATIENCE)
    bench.delete(run.kept.id)
    assert bench.runs() == []
    for what in (bench.delete, bench.go_on, lambda id: bench.rename(id, "x")):
        with pytest.raises(ValueError, match="no longer there"):
            what(run.kept.id)
    assert list(store.path.iterdir()) == []


def test_an_experiment_runs_one_after_the_other(bench, experiment):
    made = experiment(THREE)
    bench.begin_experiment("test")
    seen = [bench.run]
    while bench.is_busy:
        bench.wait_for_next(seen[-1])
        if bench.run is not seen[-1]:
            seen.append(bench.run)
        seen[-1].wait(PATIENCE)
    assert [run.state for run in seen] == ["finished"] * 3 and bench.experiment is made
    known = {run.id: run for run in bench.runs()}
    assert [known[id].story["name"] for id in bench.done.values()] == list(THREE)
    assert [known[id].story["settings"]["seed"] for id in bench.done.values()] == [0, 1, 2]


def test_nothing_begins_between_two_runs_of_an_experiment(bench, experiment, monkeypatch):
    experiment(THREE)
    bench.begin_experiment("test")
    with bench._lock:  # the next run cannot begin
        first = bench.run
        assert first.wait(PATIENCE) and bench.is_busy
        with pytest.raises(ValueError, match="goes on"):
            bench.begin(SHORT)
        bench.pause()
    until(lambda: bench.run is not first)
    assert bench.run.state == "paused" and RunQueue.open(None) is bench
    bench.resume()
    until(lambda: not bench.is_busy)
    assert len(bench.done) == 3


def test_an_experiment_stopped_between_two_runs_ends(bench, experiment):
    experiment(THREE)
    bench.begin_experiment("test")
    with bench._lock:
        first = bench.run
        assert first.wait(PATIENCE)
        bench.stop()
        assert not bench.is_busy
        experiment({"other": LONG, **THREE})
        bench.begin_experiment("test")  # the thread of the first one has not seen its end yet
    until(lambda: sum(t.name == "experiment" for t in threading.enumerate()) == 1)
    assert bench.left == list(THREE) and bench.run.state == "running"
    bench.stop()
    assert bench.run.wait(PATIENCE) and not bench.is_busy and list(bench.done) == ["other"]


def test_an_experiment_ends_with_a_run_that_fails(bench, experiment, store):
    experiment({"good": SHORT, "bad": replace(SHORT, num_heads=3), "never": SHORT})
    bench.begin_experiment("test")
    until(lambda: not bench.is_busy)
    assert "num_heads" in bench.problem and list(bench.done) == ["good"]
    experiment({"good": SHORT, "full": SHORT})
    bench.begin_experiment("test")
    assert bench.problem == ""
    store.limit = 1
    until(lambda: not bench.is_busy)
    assert "the kept runs take" in bench.problem or len(bench.done) == 2


def test_a_network_that_diverges_is_told_and_another_run_can_begin(bench, monkeypatch):
    network = RunSettings.network

    def broken(settings, vocab_size):
        net = network(settings, vocab_size)
        prepare(net, bench.train_iter, settings.recipe())
        break_net(net)
        return net

    monkeypatch.setattr(RunSettings, "network", broken)
    run = bench.begin(SHORT)
    assert run.wait(PATIENCE) and run.state == "failed"
    (kept,) = bench.runs()
    assert "training has diverged" in kept.story["error"] and not kept.is_finished
    monkeypatch.setattr(RunSettings, "network", network)
    assert bench.begin(SHORT).wait(PATIENCE) and bench.run.state == "finished"


def test_a_run_that_cannot_be_kept_is_refused(plain_user_folder):
    folder = plain_user_folder / "runs"
    folder.mkdir()
    folder.chmod(0o500)
    bench = RunQueue(some_examples(), SavedRuns(folder))
    with pytest.raises(OSError, match="cannot be written .*Permission denied"):
        bench.begin(SHORT)
    assert not bench.is_busy and bench.run is None
    folder.chmod(0o700)
    assert bench.begin(SHORT).wait(PATIENCE)


def test_on_a_full_disk_a_run_ends_with_a_sentence(bench, full_disk):
    with full_disk(2000):
        run = bench.begin(LONG)
        assert run.wait(PATIENCE)
    assert run.state == "failed" and "cannot be written" in str(run.error)
    assert bench.begin(SHORT).wait(PATIENCE) and bench.run.state == "finished"


def test_another_text_can_be_used_but_not_while_a_run_goes_on(bench):
    other = some_examples(70)
    before = bench.text
    bench.begin(LONG)
    with pytest.raises(ValueError, match="goes on"):
        bench.use(other, None)
    bench.stop()
    assert bench.run.wait(PATIENCE)
    bench.use(other, lambda net: "seen")
    assert bench.text != before and bench.runs() == []
    assert bench.begin(SHORT).wait(PATIENCE) and bench.run.looks[-1] == (4, "seen")


def test_costs_and_speed(bench):
    assert bench.speed() is None
    with pytest.raises(ValueError, match="learning_rate"):
        bench.cost(replace(SHORT, learning_rate=3.0))
    measured = bench.speed(measure=True)
    assert bench.speed() == measured > 0
    assert bench.begin(replace(SHORT, num_steps=12)).wait(PATIENCE)
    flops = bench.cost(SHORT).flops / SHORT.batch_size
    assert bench.speed() == pytest.approx(flops * bench.run.pairs_per_second)


def test_no_thread_and_no_network_is_left(store):
    before = set(threading.enumerate())
    bench = RunQueue(some_examples(), store)
    assert bench.begin(SHORT).wait(PATIENCE)
    gone = weakref.ref(bench.run), weakref.ref(bench.run.net)
    assert isinstance(gone[1](), BERTModel)
    until(lambda: set(threading.enumerate()) <= before)
    del bench
    RunQueue.open(some_examples(), store)
    gc.collect()
    assert gone[0]() is None and gone[1]() is None


def test_the_state_of_a_bench_without_a_run(store):
    bench = RunQueue(some_examples(), store)
    bench.pause()
    bench.resume()
    bench.stop()
    assert not bench.is_busy and bench.name == "" and bench.runs() == []
    assert bench.problem == ""
