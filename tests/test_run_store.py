"""The folder of a run."""

import json

import pytest

from bert_tutorial.network.model import BERTModel
from bert_tutorial.pretraining.run_store import RunFolder


def lines(folder: RunFolder) -> list[int]:
    return [json.loads(line)["step"] for line in folder.log.read_text().splitlines()]


def write_steps(folder: RunFolder, done: int, last: int) -> float:
    log, seconds = folder.open_log(done)
    with log:
        for step in range(done + 1, last + 1):
            log.write(json.dumps({"step": step, "seconds": 1.0}) + "\n")
    return seconds


def test_steps_are_read_by_their_number_and_nothing_is_lost_or_twice(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.open()
    assert write_steps(folder, 0, 101) == 0
    assert write_steps(folder, 100, 150) == 100  # killed at 101, the checkpoint was at 100
    with folder.log.open("a") as log:
        log.write('{"step": 15')  # killed in the middle of a line
    assert write_steps(folder, 100, 200) == 100
    with folder.log.open("a") as log:
        log.write('{"step": 20\n')
    assert write_steps(folder, 200, 400) == 200
    assert lines(folder) == list(range(1, 401))


def test_the_log_of_a_process_that_dies_while_it_opens_it_stays(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path)
    write_steps(folder, 0, 50)
    monkeypatch.setattr("bert_tutorial.pretraining.run_store.os.replace", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        folder.open_log(20)
    assert lines(folder) == list(range(1, 51))


def test_a_second_process_is_kept_out_and_left_overs_go(tmp_path):
    first, second = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "run")
    first.path.mkdir()
    (first.path / "checkpoint.safetensors.123.part").write_bytes(b"half")
    first.open()
    assert not list(first.path.glob("*.part"))
    with pytest.raises(ValueError, match="another process trains in .*run"):
        second.open()
    first.close()
    second.open()
    second.close()


def test_without_a_checkpoint_a_run_begins_at_the_beginning(tmp_path):
    assert RunFolder(tmp_path).load(BERTModel(20, 16, 16, 2, 1), [], {}) == 0


def test_a_run_of_an_earlier_version_with_another_optimizer_does_not_go_on(tmp_path):
    net, folder = BERTModel(20, 16, 16, 2, 1), RunFolder(tmp_path)
    folder.save(net, [], 3, {"seed": "0"})
    with pytest.raises(ValueError, match="was begun with optimizers None, now 'Muon, AdamW'"):
        folder.load(net, [], {"seed": "0", "optimizers": "Muon, AdamW"})
