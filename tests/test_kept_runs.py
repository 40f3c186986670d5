"""Runs that are kept on disk: killed, stopped, gone on with, renamed, deleted."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from small import PATIENCE, assert_identical, losses, some_examples, until, weights_of

from bert_tutorial.pretraining.training import train_steps
from bert_tutorial.studio.runs import saved_runs as kept_runs
from bert_tutorial.studio.runs.run import TrainingRun
from bert_tutorial.studio.runs.saved_runs import SavedRuns
from bert_tutorial.studio.runs.settings import RunSettings

SETTINGS = RunSettings(num_steps=40, num_hiddens=32, batch_size=16, dropout=0.3)


def run_in(store, kept=None, settings=SETTINGS, **how):
    examples = some_examples(batch_size=16)
    net = settings.network(len(examples.vocab))
    kept = kept or store.new("a run", asdict(settings), "text", settings.num_steps)
    return TrainingRun(net, settings.examples(examples), settings.recipe(), kept=kept, **how)


def uninterrupted(settings=SETTINGS):
    examples = some_examples(batch_size=16)
    net = settings.network(len(examples.vocab))
    return losses(train_steps(net, settings.examples(examples), settings.recipe())), net


def test_a_finished_run_is_told_as_it_was(tmp_path):
    store = SavedRuns(tmp_path)
    run = run_in(store, look=lambda net: {"said": "yes"}).start()
    assert run.wait(PATIENCE) and run.state == "finished", run.error
    (kept,) = SavedRuns(tmp_path).all()
    assert kept.is_finished and kept.story["name"] == "a run" and kept.story["step"] == 40
    history, held_out, looks = kept.read()
    assert history == run.history and held_out == run.held_out and looks == run.looks
    assert looks[-1] == (40, {"said": "yes"}) and kept.baselines == run.baselines


def test_a_stopped_run_goes_on_with_the_losses_of_a_whole_one(tmp_path):
    store = SavedRuns(tmp_path)
    run = run_in(store).start()
    until(lambda: len(run.history) >= 5)
    run.stop()
    assert run.wait(PATIENCE) and 5 <= len(run.history) < 40
    (kept,) = SavedRuns(tmp_path).all()
    assert not kept.is_finished
    again = run_in(store, kept)
    assert again.start().wait(PATIENCE) and again.state == "finished", again.error
    wanted, net = uninterrupted()
    assert_identical(losses(again.history), wanted)
    for name, value in weights_of(net).items():
        assert_identical(again.net.state_dict()[name], value)
    steps = [step for step, _ in again.held_out]
    assert steps == sorted(set(steps)) and steps[0] == 0 and steps[-1] == 40


CHILD = """
import sys; sys.path.insert(0, {tests!r})
from pathlib import Path
from bert_tutorial.pretraining import kept_runs
from test_kept_runs import SavedRuns, run_in
kept_runs.SAVE_EVERY, kept_runs.SAVING = 0.0, 1
run = run_in(SavedRuns(Path({folder!r})), num_evaluations=20).start()
while not run.wait(0):
    print(len(run.history), flush=True)
"""


@pytest.mark.parametrize("after", [0.02, 0.1, 0.3])
def test_a_run_whose_process_is_killed_goes_on_with_the_losses_of_a_whole_one(tmp_path, after):
    script = CHILD.format(tests=str(Path(__file__).parent), folder=str(tmp_path))
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    for line in child.stdout:
        if int(line) >= 3:
            break
    time.sleep(after)
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    (kept,) = SavedRuns(tmp_path).all()
    again = run_in(None, kept)
    assert again.start().wait(PATIENCE) and again.state == "finished", again.error
    assert_identical(losses(again.history), uninterrupted()[0])


def test_a_pause_keeps_the_run_and_changes_nothing(tmp_path):
    store = SavedRuns(tmp_path)
    run = run_in(store).start()
    until(lambda: len(run.history) >= 3)
    run.pause()
    until(lambda: run.is_still or run.state == "finished")
    (kept,) = SavedRuns(tmp_path).all()
    assert kept.story["step"] == len(run.history)
    run.resume()
    assert run.wait(PATIENCE)
    assert_identical(losses(run.history), uninterrupted()[0])


def test_a_run_goes_on_in_one_place_at_a_time(tmp_path):
    store = SavedRuns(tmp_path)
    run = run_in(store).start()
    until(lambda: run.history)
    run.pause()
    until(lambda: run.is_still)
    (kept,) = SavedRuns(tmp_path).all()
    other = run_in(None, kept).start()
    assert other.wait(PATIENCE) and other.state == "failed"
    assert "another process trains in" in str(other.error)
    run.stop()
    assert run.wait(PATIENCE)


def test_runs_that_begin_in_one_second_keep_their_order(tmp_path):
    store, names = SavedRuns(tmp_path), [f"run {number}" for number in range(8)]
    for name in names:
        store.new(name, asdict(SETTINGS), "text", 40)
    assert [run.story["name"] for run in store.all()] == names


def test_renamed_and_deleted(tmp_path):
    store = SavedRuns(tmp_path)
    run = store.new("one", {}, "text", 3)
    store.rename(run.id, "  two\n words " + "x" * 100)
    (kept,) = SavedRuns(tmp_path).all()
    assert kept.story["name"].startswith("two words x") and len(kept.story["name"]) == 60
    store.rename(run.id, "   ")
    assert SavedRuns(tmp_path).all()[0].story["name"].startswith("two words")
    store.delete(run.id)
    assert store.all() == [] and not (tmp_path / run.id).exists()


def test_what_is_no_run_is_passed_over(tmp_path):
    store = SavedRuns(tmp_path)
    store.new("one", {}, "text", 3)
    for name, content in (("a", "{"), ("b", "[]"), ("c", '{"name": "x"}'), ("d", "\udcff")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "story.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    (tmp_path / "e" / "story.json").mkdir(parents=True)
    assert [run.story["name"] for run in store.all()] == ["one"]
    assert SavedRuns(tmp_path / "nowhere").all() == []


def test_a_store_that_is_full_refuses_another_run(tmp_path):
    store = SavedRuns(tmp_path, limit=10)
    store.new("one", {}, "text", 3)
    with pytest.raises(OSError, match="the kept runs take .* delete some of them in the table"):
        store.new("two", {}, "text", 3)
    assert len(store.all()) == 1


def test_a_run_that_cannot_be_written_ends_with_one_sentence(tmp_path, monkeypatch):
    store = SavedRuns(tmp_path)
    run = run_in(store)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kept_runs.RunFolder, "add_to_log", full)
    assert run.start().wait(PATIENCE) and run.state == "failed"
    assert "No space left on device" in str(run.error)


def test_a_damaged_log_costs_the_losses_of_its_steps_and_nothing_else(tmp_path):
    run = run_in(SavedRuns(tmp_path)).start()
    until(lambda: len(run.history) >= 6)
    run.stop()
    assert run.wait(PATIENCE)
    done, log = len(run.history), tmp_path / run.kept.id / "log.jsonl"
    lines = log.read_text().splitlines()
    lines[1], lines[2], lines[3] = '{"step": 2}', "{", lines[3].replace("step", "stop")
    log.write_text("\n".join([*lines, "null", "[3]", '{"step": "x"}']) + "\n")
    again = run_in(None, SavedRuns(tmp_path).all()[0])
    assert again.start().wait(PATIENCE) and again.state == "finished", again.error
    assert [step.step for step in again.history] == list(range(1, 41))
    wanted, found = uninterrupted()[0], losses(again.history)
    assert found[1:4].isnan().all() and done >= 4
    kept = [0, *range(4, 40)]
    assert_identical(found[kept], wanted[kept])


def test_a_look_that_json_cannot_hold_ends_the_run_with_a_sentence(tmp_path):
    run = run_in(SavedRuns(tmp_path), look=lambda net: {1, 2}).start()
    assert run.wait(PATIENCE) and run.state == "failed"
    assert "not JSON serializable" in str(run.error)


def test_a_run_whose_folder_is_deleted_ends_and_leaves_none(tmp_path):
    run = run_in(
        SavedRuns(tmp_path), settings=RunSettings(num_steps=100_000, num_hiddens=16)
    ).start()
    until(lambda: len(run.history) >= 2)
    run.pause()
    until(lambda: run.is_still)
    shutil.rmtree(tmp_path / run.kept.id)
    run.resume()
    assert run.wait(PATIENCE) and run.state == "failed"
    assert "log.jsonl cannot be written" in str(run.error) and list(tmp_path.iterdir()) == []


def test_a_run_without_held_out_text_looks_once_at_each_point_also_when_it_goes_on(tmp_path):
    store, looks = SavedRuns(tmp_path), []

    def part(kept=None):
        run = run_in(store, kept, look=lambda net: looks.append(1) or "seen")
        run.train_iter.valid = None
        return run

    first = part()
    first.look = lambda net: (looks.append(1), first.stop(), "seen")[2]
    assert first.start().wait(PATIENCE) and first.state == "stopped" and len(looks) == 1
    second = part(store.all()[0])
    assert second.start().wait(PATIENCE) and second.state == "finished", second.error
    assert [step for step, _ in second.looks] == [0, 8, 16, 24, 32, 40] and len(looks) == 6


def test_a_story_is_plain_json_with_numbers_of_any_kind(tmp_path):
    store = SavedRuns(tmp_path)
    run = run_in(store, settings=RunSettings(num_steps=2, num_hiddens=16, batch_size=16)).start()
    assert run.wait(PATIENCE)
    story = json.loads((tmp_path / run.kept.id / "story.json").read_text())
    assert story["settings"]["num_hiddens"] == 16 and story["seconds"] > 0
    assert torch.tensor(story["held_out"][-1][1:]).isfinite().all()
