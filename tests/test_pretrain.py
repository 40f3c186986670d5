"""Long runs from the command line: killed at any moment, resumed, shared by processes."""

import json
import math
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small import PATIENCE

from bert_tutorial.pretrain import best_effort, main, parse
from bert_tutorial.studio.published.checkpoints import load_checkpoint
from bert_tutorial.studio.runs.settings import RECIPES
from bert_tutorial.text.corpora import CORPORA

ROOT = Path(__file__).resolve().parents[1]
SMALL = "--batch-size 16 --max-len 24 --hidden 16 --ffn 16 --save-every 5".split()


@pytest.fixture
def text_file(tmp_path):
    draw, lines = random.Random(0), []
    for i in range(60):
        words = [f"{'ab'[i % 2]}{draw.randint(0, 30)}" for _ in range(40)]
        lines.append(". ".join(" ".join(words[k : k + 8]) for k in range(0, 40, 8)) + ".")
    path = tmp_path / "text.txt"
    path.write_text("\n".join(lines))
    return path


def pretrain(text_file, out, steps, *more, launcher=None, **environment):
    """In this process; with a `launcher` in one of its own, which is returned."""
    of_run = ["--corpus", str(text_file), "--out", str(out), "--steps", str(steps), *SMALL, *more]
    if launcher is None:
        return main(of_run)
    command = [sys.executable, *launcher.split(), "-m", "bert_tutorial.pretrain", *of_run]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | environment
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True)


def wait_for_a_checkpoint(out, *processes):
    while not any(out.glob("checkpoint.*")) or any(out.glob("checkpoint.*.part")):
        assert all(process.poll() is None for process in processes)
        time.sleep(0.002)


def losses(out):
    """Each step stands in the log once, in order."""
    steps = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [step["step"] for step in steps] == list(range(1, len(steps) + 1))
    return [(step["mlm_loss"], step["nsp_loss"]) for step in steps]


@pytest.mark.parametrize("corpus", [*CORPORA, "a text file"])
def test_what_the_command_line_leaves_open_is_the_recipe_of_the_corpus(corpus, text_file):
    path = corpus if corpus in CORPORA else str(text_file)
    short = "--steps 7 --layers 3 --hidden 64 --ffn 96 --heads 4 --sentences-per-segment 1 4"
    more = "--no-word-neighbours --optimizer adam"
    *others, settings = parse(["--corpus", path, "--out", "run", *short.split(), *more.split()])
    assert others == [path, Path("run"), 100, False]
    given = dict(num_steps=7, num_layers=3, num_hiddens=64, ffn_num_hiddens=96, num_heads=4)
    given |= dict(sentences_per_segment=(1, 4), word_neighbours=False, optimizer="adam")
    assert vars(settings) == vars(RECIPES[corpus if corpus in RECIPES else "bundled"]) | given


def test_a_killed_run_goes_on_with_the_losses_of_an_uninterrupted_one(text_file, tmp_path, capsys):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    process = pretrain(text_file, broken, 30, "--dropout", "0.2", launcher="")
    wait_for_a_checkpoint(broken, process)
    process.kill()
    process.communicate()
    assert not (broken / "network.safetensors").exists()
    with (broken / "log.jsonl").open("a") as log:
        log.write('{"step": 12')  # as a process that dies while it writes leaves it
    for out, goes_on in ((broken, True), (whole, False)):
        pretrain(text_file, out, 30, "--dropout", "0.2")
        assert ("going on after step" in capsys.readouterr().out) is goes_on
    assert losses(broken) == losses(whole) and len(losses(whole)) == 30
    one, two = ((out / "network.safetensors").read_bytes()[-1000:] for out in (broken, whole))
    assert one == two
    net, vocab = load_checkpoint(whole / "network.safetensors")
    assert net.config.num_hiddens == 16 and net.config.max_len == 24 and "a1" in vocab
    card = (whole / "model_card.md").read_text()
    for words in (
        "| processes | 1 |", "| precision | torch.", "| steps | 30 |", "Muon, AdamW",
        "that of your text", "| dropout | 0.2 |", "held out | MLM loss ",
    ):  # fmt: skip
        assert words in card


def test_what_the_log_lacks_is_told_and_marked(text_file, tmp_path, capsys):
    log = tmp_path / "out" / "log.jsonl"
    pretrain(text_file, log.parent, 7)
    lines = log.read_text().splitlines()
    log.write_text("\n".join([*lines[:2], lines[3][:20]]))
    for _ in range(2):
        pretrain(text_file, log.parent, 7)
        assert "after step 7 of 7. The log lacks 5 of its steps." in capsys.readouterr().out
        assert [math.isnan(mlm) for mlm, _ in losses(log.parent)] == [False] * 2 + [True] * 5
    log.with_name("record.json").unlink()
    with pytest.raises(ValueError, match="is not a run's of this version: move it away, or use "):
        pretrain(text_file, log.parent, 7)


@pytest.mark.nightly
@pytest.mark.skipif(sys.platform == "win32", reason="pipes end otherwise")
def test_a_run_needs_nobody_who_reads_what_it_says(text_file, tmp_path):
    process = pretrain(text_file, tmp_path / "out", 7, launcher="")
    process.stderr.close()
    process.stdout.close()
    assert process.wait(5 * PATIENCE) == 0 and (tmp_path / "out" / "network.safetensors").exists()


def test_what_nobody_reads_is_lost_and_nothing_else(tmp_path, capsys):
    for file in (None, (tmp_path / "closed").open("w")):
        if file is not None:
            file.close()
        file = best_effort(file)
        print("lost", file=file, flush=True)
    print("kept", file=best_effort(sys.stdout), flush=True)
    assert capsys.readouterr().out == "kept\n"


def test_a_run_goes_on_only_as_it_was_begun(text_file, tmp_path, capsys):
    for said in (False, True):
        pretrain(text_file, tmp_path / "out", 7, "--precision", "fp32")  # the last step is saved
        assert ("going on after step 7 of 7" in capsys.readouterr().out) is said
    # As on a computer that has another number format.
    with pytest.raises(ValueError, match="precision 'torch.float32', now 'torch.bfloat16': use "):
        pretrain(text_file, tmp_path / "out", 7, "--precision", "bf16")
    text_file.write_text(text_file.read_text() + "\nOne more here. And one more.\n")
    with pytest.raises(ValueError, match="was begun with text .*: use that, or use another folder"):
        pretrain(text_file, tmp_path / "out", 7, "--precision", "fp32")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("--heads 3", "num_heads is 3"), ("--learning-rate nan", "learning_rate is nan"),
        ("--sentences-per-segment 9", "10 sentences"), ("--corpus no-such-file", "is no file"),
        ("--save-every 0", "--save-every is 0, but must be 1 or more"),
        ("--min-freq 1000000", "no word occurs 1000000 times"),
        ("--min-freq -1", "min_freq is -1, but must be a whole number from 1"),
        ("--max-len 10000000", "max_len is 10000000, but must be a whole number from 1"),
        ("--hidden 3000000", "one training step would take"),
    ],
)  # fmt: skip
def test_wrong_settings_get_one_sentence(text_file, tmp_path, more, message):
    with pytest.raises((ValueError, FileNotFoundError, MemoryError)) as error:
        pretrain(text_file, tmp_path / "out", 5, *more.split())
    assert message in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()
