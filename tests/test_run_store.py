"""The folder of a run."""

import json
from pathlib import Path

import pytest
from bert_tutorial.studio.runs.run_store import RunFolder

from bert_tutorial.cache import read_safetensors
from bert_tutorial.network.model import BERTModel


def lines(folder: RunFolder) -> list[int]:
    return [json.loads(line)["step"] for line in folder.log.read_text().splitlines()]


def write_steps(folder: RunFolder, done: int, last: int) -> float:
    seconds = folder.shorten_log(done)
    for step in range(done + 1, last + 1):
        folder.add_to_log({"step": step, "seconds": 1.0})
    return seconds


def test_steps_are_read_by_their_number_and_nothing_is_lost_or_twice(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.open()
    assert write_steps(folder, 0, 101) == 0
    assert write_steps(folder, 100, 150) == 100  # killed at 101, the checkpoint was at 100
    with folder.log.open("a") as log:
        log.write('{"step": 15')  # killed in the middle of a line
    assert write_steps(folder, 100, 200) == 100
    with folder.log.open("ab") as log:
        log.write(b'{"step": 20\xff\x00\n')  # what a power cut left
    assert write_steps(folder, 200, 400) == 200
    assert lines(folder) == list(range(1, 401))


def test_the_log_of_a_process_that_dies_while_it_shortens_it_stays(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path)
    write_steps(folder, 0, 50)
    monkeypatch.setattr("os.replace", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        folder.shorten_log(20)
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


def test_a_full_disk_is_named_and_checkpoint_and_log_stay(tmp_path, full_disk):
    net, folder = BERTModel(20, 16, 16, 2, 1), RunFolder(tmp_path)
    folder.save(net, [], 3, {})
    write_steps(folder, 0, 30)
    with full_disk(100):
        with pytest.raises(OSError, match="checkpoint.safetensors cannot be written .File too la"):
            folder.save(net, [], 6, {})
        with pytest.raises(OSError, match="log.jsonl cannot be written .File too large"):
            folder.add_to_log({"step": 31, "seconds": 1.0})
        with pytest.raises(OSError, match="log.jsonl cannot be written .File too large"):
            folder.shorten_log(30)
    assert read_safetensors(folder.checkpoint)[1]["step"] == 3
    assert lines(folder) == list(range(1, 31))
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint.safetensors", "log.jsonl"}


def test_a_folder_that_must_not_be_written_is_named_before_the_first_step(plain_user_folder):
    (plain_user_folder / "locked").mkdir(0o500)
    for name in ("locked", "locked/run"):
        path = plain_user_folder / name
        with pytest.raises(OSError) as error:
            RunFolder(path).open()
        assert str(error.value) == (
            f"the run's folder (--out) is {path}, but nothing can be written there (Permission "
            "denied): make room or give access, or use another one"
        )


def test_a_checkpoint_that_cannot_be_read_is_not_taken_for_none(tmp_path):
    folder = RunFolder(tmp_path)
    folder.checkpoint.mkdir()
    with pytest.raises(OSError, match="checkpoint.safetensors cannot be read .Is a directory"):
        folder.load(BERTModel(20, 16, 16, 2, 1), [], {})


def test_the_network_of_a_finished_run_is_readable_as_the_umask_says(tmp_path):
    folder, plain = RunFolder(tmp_path), Path(tmp_path / "plain")
    plain.touch()
    folder.save(BERTModel(20, 16, 16, 2, 1), [], 3, {})
    folder.add_to_log({"step": 1})
    assert folder.checkpoint.stat().st_mode == folder.log.stat().st_mode == plain.stat().st_mode
