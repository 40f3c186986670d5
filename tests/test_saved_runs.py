"""Runs on disk: killed, stopped, gone on with, renamed, deleted."""

import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from datetime import datetime
from types import SimpleNamespace

import pytest
import torch
from one_sentence import assert_one_sentence
from small import PATIENCE, assert_identical, losses, some_examples, until

from bert_tutorial.cache import read_safetensors, write_safetensors
from bert_tutorial.pretraining.optimizers import make_optimizers
from bert_tutorial.pretraining.run import Step
from bert_tutorial.pretraining.training import train_steps
from bert_tutorial.studio.runs import saved_runs
from bert_tutorial.studio.runs.run import TrainingRun
from bert_tutorial.studio.runs.saved_runs import SavedRun, SavedRuns
from bert_tutorial.studio.runs.settings import RunSettings

SETTINGS = RunSettings(num_steps=40, num_hiddens=32, batch_size=16, dropout=0.3)


@pytest.fixture
def store(tmp_path):
    return SavedRuns(tmp_path)


def new(store, settings=SETTINGS):
    about = dict(settings=asdict(settings), num_steps=settings.num_steps)
    return store.new(name="a run", text="text", **about)


def on_disk(store):
    """The only run, as another process sees it."""
    (saved,) = SavedRuns(store.path).all()
    return saved


def run_of(saved, settings=SETTINGS, **how):
    of = some_examples()
    net = settings.network(len(of.vocab))
    return TrainingRun(net, settings.examples(of), settings, saved=saved, **how)


def ended(run, state="finished"):
    assert run.start().wait(PATIENCE) and run.state == state, run.error
    return run


def stopped_after(run, count):
    run.start()
    until(lambda: len(run.history) >= count)
    run.stop()
    assert run.wait(PATIENCE) and run.state == "stopped"
    return run


def paused(run):
    run.start()
    until(lambda: len(run.history) >= 3)
    run.pause()
    until(lambda: run.is_still)
    return run


def assert_is_a_whole_run(run, but=()):
    """Its losses and weights are those of the plain loop."""
    examples = run.settings.examples(some_examples())
    net = run.settings.network(len(examples.vocab))
    wanted, found = losses(train_steps(net, examples, run.settings)), losses(run.history)
    assert [step.step for step in run.history] == list(range(1, 41))
    these = [step for step in range(40) if step not in but]
    assert_identical(found[these], wanted[these])
    for name, value in net.state_dict().items():
        assert_identical(run.net.state_dict()[name], value)


@pytest.mark.parametrize("optimizer", ["muon", "adam"])
def test_a_run_goes_on_in_another_process_with_the_same_losses(store, optimizer):
    settings = replace(SETTINGS, optimizer=optimizer)
    first = stopped_after(run_of(new(store, settings), settings), 5)
    saved = on_disk(store)
    assert 5 <= saved.record["step"] == len(first.history) < 40 and not saved.is_finished
    again = ended(run_of(saved, settings, probe=lambda net: {"said": "yes"}))
    assert_is_a_whole_run(again)
    steps = [step for step, _ in again.held_out]
    assert steps == sorted(set(steps)) and steps[0] == 0 and steps[-1] == 40
    saved = on_disk(store)
    assert saved.is_finished and saved.name == "a run" and saved.record["step"] == 40
    assert saved.steps() == again.history and saved.held_out == again.held_out
    assert saved.record["probes"] == [list(found) for found in again.probes]
    assert saved.record["probes"][-1] == [40, {"said": "yes"}]
    assert saved.baselines == again.baselines and saved.record["seconds"] > 0


def test_a_paused_run_is_saved_and_goes_on_in_one_place_at_a_time(store):
    run = paused(run_of(new(store)))
    saved = on_disk(store)
    assert saved.record["step"] == len(run.history) and saved.checkpoint.exists()
    for other in (saved, run.saved):  # of another process, or of this one
        error = ended(run_of(other), "failed").error
        assert "another process trains in" in str(error)
    run.resume()
    assert run.wait(PATIENCE) and run.state == "finished"
    assert_is_a_whole_run(run)
    saved = on_disk(store)
    assert saved.is_finished and saved.record["error"] is None
    saved.open()  # it is free again
    saved.close()


def test_what_is_known_of_a_run_is_on_disk_while_it_goes_on_and_nothing_is_asked_twice(
    store, monkeypatch
):
    monkeypatch.setattr(saved_runs, "SAVE_EVERY", 1e9)  # no checkpoints
    first = run_of(new(store))
    first.probe = lambda net: (len(first.history) == 16 and first.stop(), "first")[1]
    ended(first, "stopped")
    last = run_of(on_disk(store))

    def step_on_disk(net):
        if len(last.history) == 40:
            last.stop()
        return on_disk(store).record["step"]

    last.probe = step_on_disk
    ended(last)
    first = [(step, "first") for step in (0, 8, 16)]
    assert last.probes == [*first, (24, 16), (32, 24), (40, 32)]
    saved = on_disk(store)
    assert not saved.is_finished and [step for step, _ in saved.held_out] == [0, 8, 16, 24, 32]
    ended(run_of(saved))  # measures what the stop has left out
    assert on_disk(store).is_finished and saved.held_out[-1][0] == 40


def test_a_damaged_log_costs_the_losses_of_its_steps_and_nothing_else(store):
    saved = stopped_after(run_of(new(store)), 6).saved
    lines = saved.log.read_text().splitlines()
    lines[1], lines[2], lines[3] = '{"step": 2}', "{", lines[3].replace("step", "stop")
    odd = [lines[0], "null", "[3]", '{"step": "x"}', lines[5].replace('"step": 6', '"step": 99')]
    saved.log.write_bytes("\n".join([*lines, *odd]).encode() + b'\n{"step": 20\xff\x00\n')
    held_out = [*saved.record["held_out"], [99, 1, 1, 1, 1]]  # beyond the checkpoint
    saved.update(probes=[[99, "beyond it, too"]], held_out=held_out)
    again = ended(run_of(on_disk(store)))
    assert again.probes == [] and again.held_out[-1][0] == 40
    assert losses(again.history)[1:4].isnan().all()
    assert again.saved.note == " The log lacks 3 of its steps."
    assert [step.step for step in again.saved.steps() if step.num_pairs] == [1, *range(5, 41)]
    assert_is_a_whole_run(again, but=(1, 2, 3))


@pytest.mark.parametrize("damage", ["garbage", "bit", "step", "nan", "cut", "folder", "settings"])
def test_a_checkpoint_that_cannot_be_used_is_told_and_the_record_stays(store, damage):
    saved = stopped_after(run_of(new(store)), 3).saved
    before, file = json.loads((saved.path / "record.json").read_text()), saved.checkpoint
    tensors, about = read_safetensors(file)
    if damage == "bit":
        content = bytearray(file.read_bytes())
        content[-500] ^= 1
        file.write_bytes(content)
    elif damage == "step":
        write_safetensors(file, tensors, about | {"step": 41})
    elif damage == "nan":  # as a run that has diverged would write it
        saved.open()
        diverged = run_of(saved)
        diverged.net.mlm.bias.data.fill_(torch.nan)
        saved.save(diverged.net, diverged.optimizers, 3)
        saved.close()
    elif damage == "folder":
        file.unlink()
        file.mkdir()
    elif damage == "settings":
        before["settings"]["seed"] = saved.record["settings"]["seed"] = 1
    else:
        file.write_bytes(file.read_bytes()[:-1000] if damage == "cut" else b"\xff" * 1000)
    error = str(ended(run_of(saved), "failed").error)
    told = {"folder": "cannot be read", "settings": "was begun with seed 0, now 1: use that, or"}
    told |= {
        "bit": "not all of it is as it was written",
        "nan": "holds weights that are no numbers",
    }
    assert told.get(damage, "is damaged") in error
    assert "delete the run in the table" in error or damage == "folder"
    assert json.loads((saved.path / "record.json").read_text()) == before | {"error": error}


def test_left_overs_of_a_killed_process_go_and_files_are_as_the_umask_says(tmp_path):
    saved, plain = SavedRun(tmp_path / "run", {"settings": {}}), tmp_path / "plain"
    plain.touch()
    saved.update()
    (saved.path / "checkpoint.safetensors.123.part").write_bytes(b"half")
    (saved.path / "film.part").write_bytes(b"somebody else's")
    saved.open()
    assert [file.name for file in saved.path.glob("*.part")] == ["film.part"]
    saved.save(SETTINGS.network(20), [], 3)
    saved.add(Step(1, 1.0, 1.0, 1, 1.0, 1.0))
    saved.close()
    modes = {file.stat().st_mode for file in (saved.checkpoint, saved.log, plain)}
    assert len(modes) == 1


@pytest.mark.parametrize(("cost", "wait"), [(0, 3), (1, 50)])
def test_checkpoints_are_saved_every_three_seconds_if_they_take_little_of_the_time(
    tmp_path, monkeypatch, cost, wait
):
    saved, now = SavedRun(tmp_path, {"settings": {}}), 10.0
    monkeypatch.setattr(time, "monotonic", lambda: now)

    def write(*_):
        nonlocal now
        now += cost

    monkeypatch.setattr(saved_runs, "write_safetensors", write)
    saved.save(SETTINGS.network(20), [], 3)
    now += wait
    assert not saved.is_due
    now += 0.1
    assert saved.is_due


def test_a_full_disk_is_named_and_checkpoint_and_log_stay(tmp_path, full_disk):
    net, saved = SETTINGS.network(20), SavedRun(tmp_path, {"settings": {}})
    optimizers = make_optimizers(net, SETTINGS)
    assert saved.load(net, optimizers) == 0  # there is no checkpoint yet
    saved.save(net, optimizers, 3)
    steps = [Step(n, 1.0, 1.0, 1, 1.0, 1.0) for n in range(1, 31)]
    for step in steps:
        saved.add(step)
    for write in (
        lambda: saved.save(net, optimizers, 6),
        lambda: saved.add(steps[0]),
        lambda: saved.write_log(saved.steps(20)),
        lambda: saved.update(name="x" * 200),
    ):
        with full_disk(100), pytest.raises(OSError, match="cannot be written .File too large"):
            write()
    assert saved.load(net, optimizers) == 3 and saved.steps() == steps
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint.safetensors", "log.jsonl"}


def test_a_folder_that_cannot_be_written_is_named_before_the_first_step(plain_user_folder):
    (plain_user_folder / "locked").mkdir(0o500)
    (plain_user_folder / "file").touch()
    denied = "Permission"
    for name, why in {"locked": denied, "locked/run": denied, "file": "File exists"}.items():
        path = plain_user_folder / name
        with pytest.raises(OSError, match=f"{path} cannot be written \\({why}"):
            SavedRun(path).open()


def test_a_run_whose_folder_is_deleted_ends_and_leaves_none(store):
    run = paused(run_of(new(store)))
    shutil.rmtree(run.saved.path)
    run.resume()
    assert run.wait(PATIENCE) and run.state == "failed"
    assert "log.jsonl cannot be written" in str(run.error) and list(store.path.iterdir()) == []


def odd(record, **changes):
    return json.dumps(record | changes).encode()


@pytest.mark.parametrize(
    "damage",
    [
        lambda record: b"{", lambda record: b"[]", lambda record: b"\xff",
        lambda record: b"[" * 10**5,
        lambda record: odd(record, name=3), lambda record: odd(record, seconds="a word"),
        lambda record: odd(record, step=None), lambda record: odd(record, held_out=[[1, 2]]),
        lambda record: odd(record, baselines=[1, 2]), lambda record: odd(record, probes=[3]),
        lambda record: odd(record, step=10**400),
        lambda record: odd(record, settings=record["settings"] | {"sentences_per_segment": []}),
        lambda record: odd(record, settings=record["settings"] | {"num_layers": 10**6}),
        lambda record: odd(record, settings=record["settings"] | {"dropout": "much"}),
        None,
    ],
)  # fmt: skip
def test_a_damaged_record_is_named_beside_good_ones_and_can_be_deleted(store, damage):
    bad, good = new(store), new(store)
    file = bad.path / "record.json"
    if damage is None:
        file.unlink()
        os.mkfifo(file) if hasattr(os, "mkfifo") else file.mkdir()
    else:
        file.write_bytes(damage(bad.record))
    store.all()
    found = {run.id: run for run in SavedRuns(store.path).all()}
    assert found[good.id].damage == "" and found[bad.id].name == f"{bad.id} (damaged)"
    assert_one_sentence(found[bad.id].damage)
    store.delete(bad.id)
    assert store.all() == [good] and not bad.path.exists()


def test_order_and_names_depend_neither_on_the_clock_nor_on_what_was_deleted(store, monkeypatch):
    runs = []
    for year in (2030, 2020, 2025):
        monkeypatch.setattr(
            saved_runs, "datetime", SimpleNamespace(now=lambda y=year: datetime(y, 1, 1))
        )
        runs.append(store.new(settings={}, num_steps=3))
        if year == 2020:
            store.delete(runs.pop(0).id)
    assert store.all() == runs and [run.name for run in runs] == ["run 2", "run 3"]


def test_a_name_given_elsewhere_stays_and_what_is_deleted_meanwhile_is_passed_over(store):
    run, other = new(store), SavedRuns(store.path)
    other.find(run.id).rename("mine")
    run.update(step=3)
    assert on_disk(store).name == "mine"
    with ThreadPoolExecutor(4) as pool:
        runs = [new(store).id for _ in range(10)]
        stores = [SavedRuns(store.path) for _ in range(3)]
        looks = [pool.submit(lambda s=s: [(s.all(), s.size()) for _ in range(10)]) for s in stores]
        pool.submit(lambda: [other.delete(id) for id in runs]).result()
        assert all(look.result() for look in looks)
    assert len(store.all()) == 1


@pytest.mark.parametrize(
    "name", ["log.jsonl", "checkpoint.safetensors", "network.safetensors", "record.json"]
)
def test_files_of_somebody_else_are_not_touched(tmp_path, name):
    for file in (tmp_path / name, tmp_path / "log.jsonl.1.part"):
        file.write_bytes(b'{"mine": 1}\n')
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(ValueError, match=f"{name} is not a run's .*: move it away, or use another"):
        SavedRun(tmp_path, {"settings": {}}, "use another folder").open()
    after = {file.name: file.read_bytes() for file in tmp_path.iterdir() if file.name != ".lock"}
    assert after == before


def test_a_list_of_runs_is_in_order_renamed_and_deleted(store):
    runs = [store.new(name=f"run {n}", settings={}, num_steps=3) for n in range(8)]
    assert store.all() == runs
    other = SavedRuns(store.path)  # as of another process
    run = other.find(runs[0].id)
    run.rename("  two\n words " + "x" * 100)
    run.rename("   ")
    assert store.all()[0].name.startswith("two words x") and len(runs[0].name) == 60
    other.delete(runs[0].id)
    assert store.all() == runs[1:] and not runs[0].path.exists()
    assert SavedRuns(store.path / "nowhere").all() == []
    store.limit = 10
    # Those of other texts are not in the table.
    where = f"delete some of them in the table first, or, .* their folders in {store.path}$"
    with pytest.raises(OSError, match=f"the saved runs take .* {where}"):
        store.new(name="one more", settings={}, num_steps=3)
    assert store.all() == runs[1:]
