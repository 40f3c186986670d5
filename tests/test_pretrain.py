"""Long runs from the command line: killed at any moment, resumed, shared by processes."""

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from one_sentence import assert_one_sentence
from small import PATIENCE

from bert_tutorial.parallel import patience
from bert_tutorial.pretrain import parse_arguments
from bert_tutorial.studio.published.checkpoints import load_checkpoint
from bert_tutorial.text.corpora import CORPORA

ROOT = Path(__file__).resolve().parents[1]
SMALL = [
    "--batch-size",
    "16",
    "--max-len",
    "24",
    "--hidden",
    "16",
    "--ffn",
    "16",
    "--save-every",
    "5",
]


@pytest.fixture
def text_file(tmp_path):
    draw = random.Random(0)
    lines = []
    for i in range(60):
        words = [f"{'ab'[i % 2]}{draw.randint(0, 30)}" for _ in range(40)]
        lines.append(". ".join(" ".join(words[k : k + 8]) for k in range(0, 40, 8)) + ".")
    path = tmp_path / "text.txt"
    path.write_text("\n".join(lines))
    return path


def command(text_file, out, steps, *more, launcher=("-m", "bert_tutorial.pretrain")):
    return [
        sys.executable,
        *launcher,
        "--corpus",
        text_file,
        "--out",
        out,
        "--steps",
        str(steps),
        *SMALL,
        *more,
    ]


def environment():
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def run(*args, **kwargs):
    return subprocess.run(
        list(map(str, command(*args, **kwargs))), env=environment(), capture_output=True, text=True
    )


def losses(out: Path) -> dict[int, tuple[float, float]]:
    """Losses by step; each step stands in the log once, in order."""
    steps = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [step["step"] for step in steps] == list(range(1, len(steps) + 1))
    return {step["step"]: (step["mlm_loss"], step["nsp_loss"]) for step in steps}


@pytest.mark.parametrize("corpus", [*CORPORA, "a text file"])
def test_what_the_command_line_leaves_open_is_the_recipe_of_the_corpus(corpus, text_file):
    path = corpus if corpus in CORPORA else str(text_file)
    options = vars(parse_arguments(["--corpus", path, "--out", "run", "--steps", "7"]))
    recipe = CORPORA[corpus if corpus in CORPORA else "bundled"].recipe
    assert options == options | recipe | {"steps": 7, "corpus": path}
    assert [name for name, value in options.items() if value is None] == ["min_freq"]


def test_a_killed_run_goes_on_with_the_losses_of_an_uninterrupted_one(text_file, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    done = run(text_file, whole, 120, "--dropout", "0.2")
    assert done.returncode == 0, done.stderr
    args = list(map(str, command(text_file, broken, 120, "--dropout", "0.2")))
    process = subprocess.Popen(
        args, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while not (broken / "checkpoint.safetensors").exists():
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (broken / "network.safetensors").exists()
    with (broken / "log.jsonl").open("a") as log:
        log.write('{"step": 12')  # as a process that dies while it writes leaves it
    again = run(text_file, broken, 120, "--dropout", "0.2")
    assert again.returncode == 0, again.stderr
    assert "going on after step" in again.stdout
    assert losses(broken) == losses(whole) and len(losses(whole)) == 120
    assert (broken / "network.safetensors").read_bytes()[-1000:] == (
        whole / "network.safetensors"
    ).read_bytes()[-1000:]
    net, vocab = load_checkpoint(whole / "network.safetensors")
    assert net.config.num_hiddens == 16 and "a1" in vocab
    card = (whole / "model_card.md").read_text()
    assert (
        "120" in card
        and "Muon, AdamW" in card
        and "that of your text" in card
        and re.search(r"held out \| MLM loss \d\.\d+ ", card)
    )


def test_a_run_with_other_settings_does_not_go_on(text_file, tmp_path):
    assert run(text_file, tmp_path / "out", 5).returncode == 0
    refused = run(text_file, tmp_path / "out", 5, "--seed", "1")
    assert refused.returncode == 1
    assert (
        "was begun with seed '0', now '1'" in refused.stderr and "Traceback" not in refused.stderr
    )


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--heads", "3"], "num_heads is 3"),
        (["--learning-rate", "7"], "learning_rate is 7"),
        (["--sentences-per-segment", "9"], "10 sentences"),
    ],
)
def test_wrong_settings_get_one_sentence(text_file, tmp_path, more, message):
    refused = run(text_file, tmp_path / "out", 5, *more)
    assert (
        refused.returncode == 1 and message in refused.stderr and "Traceback" not in refused.stderr
    )


def test_a_run_does_not_go_on_with_another_text(text_file, tmp_path):
    assert run(text_file, tmp_path / "out", 5).returncode == 0
    text_file.write_text(text_file.read_text() + "\nOne more here. And one more.\n")
    refused = run(text_file, tmp_path / "out", 5)
    assert refused.returncode == 1 and "was begun with text " in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--save-every", "0"], "--save-every is 0, but must be 1 or more"),
        (["--seed", str(2**70)], "but must be from 0 to 2**63 - 1"),
        (["--learning-rate", "nan"], "learning_rate is nan"),
        (["--min-freq", "1000000"], "no word occurs 1000000 times"),
    ],
)
def test_wrong_numbers_get_one_sentence_too(text_file, tmp_path, more, message):
    refused = run(text_file, tmp_path / "out", 5, *more)
    assert refused.returncode == 1 and message in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_file_in_the_place_of_the_folder(text_file, tmp_path):
    (tmp_path / "out").write_text("mine")
    refused = run(text_file, tmp_path / "out", 5)
    assert refused.returncode == 1 and "there is a file of that name" in refused.stderr
    assert (tmp_path / "out").read_text() == "mine" and "Traceback" not in refused.stderr


def test_a_run_on_a_full_disk_says_so_and_goes_on_when_there_is_room(text_file, tmp_path):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        refused = run(text_file, tmp_path / "out", 5)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert refused.returncode == 1 and "Traceback" not in refused.stderr
    path = tmp_path / "out" / "checkpoint.safetensors"
    assert f"{path} cannot be written (File too large): make room" in refused.stderr
    assert not path.exists()
    done = run(text_file, tmp_path / "out", 5)
    assert done.returncode == 0 and len(losses(tmp_path / "out")) == 5


def test_a_damaged_checkpoint_is_named(text_file, tmp_path):
    out = tmp_path / "out"
    assert run(text_file, out, 5).returncode == 0
    (out / "checkpoint.safetensors").write_bytes(b"not one")
    refused = run(text_file, out, 5)
    assert refused.returncode == 1 and "checkpoint.safetensors is damaged (" in refused.stderr
    assert "Traceback" not in refused.stderr and (out / "log.jsonl").exists()


def test_several_machines_are_refused_before_anything_is_written(text_file, tmp_path):
    args = list(map(str, command(text_file, tmp_path / "out", 5)))
    two_hosts = environment() | {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "1"}
    refused = subprocess.run(args, env=two_hosts, capture_output=True, text=True, timeout=60)
    assert refused.returncode == 1 and "spread over several machines" in refused.stderr
    assert "Traceback" not in refused.stderr and not (tmp_path / "out").exists()


def test_two_processes_give_the_losses_of_one(text_file, tmp_path):
    more = ("--precision", "fp32", "--next-sentence-rate", "0.5", "--dropout", "0")
    assert run(text_file, tmp_path / "one", 20, *more).returncode == 0
    launcher = (
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "bert_tutorial.pretrain",
    )
    two = run(text_file, tmp_path / "two", 20, *more, launcher=launcher)
    assert two.returncode == 0, two.stderr[-3000:]
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert len(two) == 20
    for step in one:
        assert two[step] == pytest.approx(one[step], abs=2e-4)


def two_processes(text_file, out, seconds):
    """Both processes of a run that never ends by itself, without torchrun, which would end both."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    args = list(map(str, command(text_file, out, 1_000_000)))
    return [
        subprocess.Popen(
            args,
            env=environment() | shared | {"RANK": rank, "BERT_TUTORIAL_PATIENCE": str(seconds)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in "01"
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGSTOP")
@pytest.mark.parametrize(("rank", "how", "waits"), [(1, "SIGSTOP", 10), (0, "SIGKILL", 60)])
def test_a_process_waits_for_another_for_a_while_only(text_file, tmp_path, rank, how, waits):
    out = tmp_path / "out"
    processes = two_processes(text_file, out, waits)
    other, witness = processes[rank], processes[1 - rank]
    try:
        while not (out / "checkpoint.safetensors").exists():
            assert other.poll() is None and witness.poll() is None
            time.sleep(0.01)
        other.send_signal(getattr(signal, how))
        _, said = witness.communicate(timeout=PATIENCE)
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert witness.returncode == 1 and "Traceback" not in said
    sentence = said.splitlines()[-1]
    assert_one_sentence(sentence)
    assert sentence.startswith("another process of this run has ended or stands still: ")
    assert f"process {1 - rank} of 2 waited " in sentence
    assert f"at most {waits} (BERT_TUTORIAL_PATIENCE)" in sentence


@pytest.mark.parametrize("said", ["soon", "0", "-5", "nan"])
def test_a_time_to_wait_that_is_none_is_refused(monkeypatch, said):
    monkeypatch.setenv("BERT_TUTORIAL_PATIENCE", said)
    with pytest.raises(ValueError, match=f"^BERT_TUTORIAL_PATIENCE is '{said}', but must be "):
        patience()


def test_a_process_waits_five_minutes_if_nothing_is_said(monkeypatch):
    monkeypatch.delenv("BERT_TUTORIAL_PATIENCE", raising=False)
    assert patience() == 300
