"""What the training panel does, without a widget."""

import gc
import json
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from small import PATIENCE, assert_identical, losses, some_examples, until

from bert_tutorial.pretraining import training
from bert_tutorial.studio.runs import queue as module
from bert_tutorial.studio.runs import saved_runs
from bert_tutorial.studio.runs.experiments import Experiment
from bert_tutorial.studio.runs.fits import cost_of
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
def queue(store):
    queue = RunQueue(some_examples(), store)
    yield queue
    queue.stop()
    assert queue.run is None or queue.run.wait(PATIENCE)


def begin_experiment(queue, monkeypatch, runs):
    """Begin an experiment of some runs, which is returned."""
    made = Experiment("?", runs, "!", lambda losses: True)
    monkeypatch.setitem(module.EXPERIMENTS, "test", made)
    queue.begin_experiment("test")
    return made


def stopped(queue, count=1):
    """Stop the run after some steps."""
    until(lambda: len(queue.run.history) >= count)
    queue.stop()
    assert queue.run.wait(PATIENCE) and not queue.is_busy


def test_a_run_begins_is_saved_and_ends_and_nothing_of_it_is_left(queue):
    queue.pause(), queue.resume(), queue.stop()  # without a run they do nothing
    assert not queue.is_busy and queue.name == "" and queue.runs() == []
    before, run = set(threading.enumerate()), queue.begin(SHORT, "first")
    assert queue.name == "first" and queue.settings == SHORT
    assert run.wait(PATIENCE) and run.state == "finished" and not queue.is_busy
    (saved,) = queue.runs()
    assert saved is run.saved and saved.is_finished and not queue.is_going(saved)
    first, gone = losses(run.history), weakref.ref(run.net)
    del run
    assert queue.begin(SHORT).wait(PATIENCE) and queue.name == "run 2"
    assert_identical(losses(queue.run.history), first)
    until(lambda: set(threading.enumerate()) <= before)
    gc.collect()
    assert gone() is None


def test_of_several_starts_at_once_one_wins(queue):
    barrier = threading.Barrier(4)

    def begin(_):
        barrier.wait(PATIENCE)
        try:
            return queue.begin(LONG).state
        except ValueError as error:
            return str(error)

    with ThreadPoolExecutor(4) as pool:
        said = list(pool.map(begin, range(4)))
    assert sum("goes on: stop it first" in text for text in said) == 3 and "running" in said
    assert len(queue.runs()) == 1


def test_a_run_that_cannot_begin_is_refused_and_leaves_nothing_behind(queue, store, monkeypatch):
    with pytest.raises(ValueError, match="num_heads"):
        queue.begin(replace(SHORT, num_heads=3))
    monkeypatch.setattr("bert_tutorial.studio.runs.fits.available_memory", lambda *_: 1000)
    with pytest.raises(MemoryError, match="one training step would take"):
        begin_experiment(queue, monkeypatch, THREE)
    assert queue.run is None and queue.runs() == [] and not queue.is_busy
    monkeypatch.undo()
    store.limit = -1
    with pytest.raises(OSError, match="the saved runs take"):
        queue.begin(SHORT)
    store.limit = 10**9
    assert queue.begin(SHORT).wait(PATIENCE)


def test_a_queue_is_taken_over_while_it_is_busy_and_another_one_has_to_wait(queue, store):
    of = some_examples()
    other = RunQueue.open(of, store)
    assert other is not queue
    run = queue.begin(LONG, "mine")
    assert RunQueue.open(of, store) is queue
    with pytest.raises(ValueError, match="^mine goes on in another panel: stop it there"):
        other.begin(SHORT)
    queue.pause()
    until(lambda: run.state == "paused")
    assert RunQueue.open(of, store) is queue
    stopped(queue, 0)
    assert RunQueue.open(of, store).run is None
    assert other.begin(SHORT).wait(PATIENCE)


def test_what_cannot_go_on_is_told(queue, store):
    run = queue.begin(SHORT)
    assert run.wait(PATIENCE)
    other = RunQueue(some_examples(61), store)
    with pytest.raises(ValueError, match="on another text"):
        other.go_on(run.saved.id)
    assert other.runs() == [] and other.speed() is None
    record = store.path / run.saved.id / "record.json"
    about = json.loads(record.read_text())
    about["settings"]["colour"] = "red"
    record.write_text(json.dumps(about))
    with pytest.raises(ValueError, match="another version: .* colour"):
        queue.go_on(run.saved.id)
    assert not queue.is_busy and queue.speed() is None


def test_a_run_may_be_renamed_while_it_is_saved(queue, monkeypatch):
    monkeypatch.setattr(saved_runs, "SAVE_EVERY", 0.0)
    monkeypatch.setattr(saved_runs, "SAVING", 0)
    run, number = queue.begin(replace(SHORT, num_steps=25)), 0
    while not run.wait(0):
        queue.saved.find(run.saved.id).rename(f"name {(number := number + 1)}")
    assert run.state == "finished", run.error
    (saved,) = SavedRuns(queue.saved.path).all()
    assert saved.name == f"name {number}" == queue.name and saved.is_finished


def test_a_run_that_goes_on_is_not_deleted(queue, store):
    id = queue.begin(LONG, "mine").saved.id
    until(lambda: queue.run.history)
    with pytest.raises(ValueError, match="^mine goes on: stop it before you delete it"):
        queue.delete(id)
    with pytest.raises(ValueError, match="another process trains in"):
        SavedRuns(store.path).delete(id)
    stopped(queue)
    queue.delete(id)
    for what in (queue.delete, queue.go_on):
        with pytest.raises(ValueError, match="no longer there"):
            what(id)
    assert queue.runs() == [] and list(store.path.iterdir()) == []


def test_the_runs_of_an_experiment_follow_one_another_and_a_pause_between_two_holds(
    queue, monkeypatch
):
    made = begin_experiment(queue, monkeypatch, THREE)
    first = queue.run
    with module.RunQueue._lock:  # so that the second waits
        assert first.wait(PATIENCE) and queue.is_busy and RunQueue.open(None) is queue
        with pytest.raises(ValueError, match="goes on"):
            queue.begin(SHORT)
        queue.pause()
    until(lambda: queue.run.state == "paused")
    assert queue.begin_next(first) and len(queue.run.history) < 4  # it has begun, once
    queue.resume()
    until(lambda: not queue.is_busy)
    assert not queue.begin_next(queue.run)
    assert queue.experiment is made and list(queue.done) == [run.name for run in queue.runs()]
    assert [run.record["settings"]["seed"] for run in queue.runs()] == [0, 1, 2]
    assert list(queue.done.values()) == [run.id for run in queue.runs() if run.is_finished]


@pytest.mark.parametrize("between", [True, False])
def test_an_experiment_that_is_stopped_ends(queue, monkeypatch, between):
    begin_experiment(queue, monkeypatch, THREE if between else dict.fromkeys(THREE, LONG))
    with module.RunQueue._lock:
        assert not between or queue.run.wait(PATIENCE)
        queue.stop()
    assert queue.run.wait(PATIENCE) and not queue.begin_next(queue.run)
    assert not queue.is_busy and list(queue.done) == ["one"]


def test_an_experiment_ends_with_a_run_that_cannot_begin(queue, monkeypatch):
    bad = replace(SHORT, num_heads=3)
    begin_experiment(queue, monkeypatch, {"good": SHORT, "bad": bad, "never": SHORT})
    until(lambda: not queue.is_busy)
    for _ in range(2):  # whenever somebody asks
        with pytest.raises(ValueError, match="num_heads"):
            queue.begin_next(queue.run)
    assert list(queue.done) == ["good"]
    assert queue.begin(SHORT).wait(PATIENCE) and not queue.begin_next(queue.run)


def test_nothing_follows_a_run_after_another_panel_was_reset(queue):
    run = queue.begin(SHORT)
    assert run.wait(PATIENCE)
    queue.run = None
    assert not queue.begin_next(run)


def test_a_run_that_fails_is_told_and_another_one_can_begin(queue, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(training, "update", lambda *_: 1 / 0)
        begin_experiment(queue, monkeypatch, THREE)
        assert queue.run.wait(PATIENCE) and queue.run.state == "failed"
        assert not queue.begin_next(queue.run) and not queue.is_busy
    (saved,) = queue.runs()
    assert saved.record["error"] == "division by zero" and not saved.is_finished
    assert queue.begin(SHORT).wait(PATIENCE) and queue.run.state == "finished"


def test_another_text_can_be_used_but_not_while_a_run_goes_on(queue):
    other, before = some_examples(70), queue.text
    queue.begin(LONG)
    with pytest.raises(ValueError, match="goes on"):
        queue.use(other, None)
    stopped(queue)
    queue.use(other, lambda net: "seen")
    assert queue.text != before and queue.runs() == []
    assert queue.begin(SHORT).wait(PATIENCE) and queue.run.probes[-1] == (4, "seen")


def test_where_nothing_can_be_written_a_run_trains_and_says_so(plain_user_folder, full_disk):
    (plain_user_folder / "file").touch()
    (plain_user_folder / "locked").mkdir(0o500)
    for place, size in {"file/runs": 10**9, "locked/runs": 10**9, "full": 100}.items():
        queue = RunQueue(some_examples(), SavedRuns(plain_user_folder / place))
        with full_disk(size):
            assert queue.begin(SHORT).wait(PATIENCE)
        assert queue.run.state == "finished", queue.run.error
        assert len(queue.run.history) == 4 and queue.runs() == []
        assert (
            " It is not kept: " in queue.run.saved.note
            and "cannot be written" in queue.run.saved.note
        )


@pytest.mark.parametrize("narrow", [True, False])
def test_a_run_goes_on_in_the_numbers_in_which_it_began(queue, monkeypatch, narrow):
    def move_to(has_bf16):  # a computer that has it, or not
        monkeypatch.setattr(module, "try_all_gpus", lambda: [torch.device("cpu")])
        for check in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
            monkeypatch.setattr(torch.cpu, check, lambda: has_bf16)

    move_to(narrow)
    run, wanted = queue.begin(LONG), "bf16" if narrow else "fp32"
    assert run.settings.precision == wanted and queue.settings == LONG
    stopped(queue)
    move_to(not narrow)
    again = queue.go_on(run.saved.id)
    assert again.settings.precision == again.saved.record["settings"]["precision"] == wanted
    stopped(queue, len(run.history) + 1)
    assert again.state == "stopped" and again.history[: len(run.history)] == run.history


def test_damaged_runs_are_listed_with_each_text_and_do_not_go_on(queue):
    run = queue.begin(SHORT)
    assert run.wait(PATIENCE)
    (run.saved.path / "record.json").write_text("{")
    (saved,) = queue.runs()
    assert queue.speed() is None
    with pytest.raises(ValueError, match="record.json is damaged .*: it can only be deleted"):
        queue.go_on(saved.id)
    queue.delete(saved.id)
    assert queue.runs() == []


def test_an_experiment_needs_a_held_out_text_and_a_run_begun_by_hand_follows_none(
    queue, monkeypatch
):
    first = queue.begin(SHORT)
    assert first.wait(PATIENCE) and queue.begin(SHORT).wait(PATIENCE)
    assert not queue.begin_next(first)  # whoever shows the first run does not go on to the second
    queue.use(some_examples(valid=None), None)
    with pytest.raises(ValueError, match="this text has no held-out part"):
        begin_experiment(queue, monkeypatch, THREE)


def test_speed_is_measured_or_that_of_the_fastest_of_the_last_runs(queue):
    assert queue.speed() is None
    measured = queue.speed(measure=True)
    assert queue.speed() == measured > 0
    assert queue.begin(replace(SHORT, num_steps=12)).wait(PATIENCE)
    operations = cost_of(SHORT, queue.train_iter).flops / SHORT.batch_size
    assert queue.speed() == pytest.approx(operations * queue.run.pairs_per_second)
    slow = {name: value for name, value in queue.run.saved.record.items() if name != "step"}
    queue.saved.new(**slow | {"pairs_per_second": 0.1}).update(step=12)
    assert queue.speed() == pytest.approx(operations * queue.run.pairs_per_second)
