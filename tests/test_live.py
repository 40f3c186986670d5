"""`train_bert`, in a terminal and in a real Jupyter kernel."""

import base64
import os
import random
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

import bert_tutorial
from bert_tutorial import BERTModel, load_data_wiki, train_bert
from bert_tutorial.pretraining.evaluation import evaluate
from bert_tutorial.pretraining.live import progress
from bert_tutorial.pretraining.training import Settings
from bert_tutorial.studio.runs import fits as fitting
from bert_tutorial.studio.runs.run import TrainingRun

PATIENCE = 60  # seconds to wait for another process before a test fails
PNG = b"\x89PNG\r\n\x1a\n"

LOAD = """
from bert_tutorial import BERTModel, get_bert_encoding, load_data_wiki, train_bert
train_iter, vocab = load_data_wiki(16, 24, corpus="own.txt")
net = BERTModel(len(vocab), num_hiddens=32, ffn_num_hiddens=64, max_len=24)
"""


@pytest.fixture
def own_text(tmp_path, monkeypatch):
    """A folder with a text of its own, where nothing of the user's is read or written."""
    draw = random.Random(0)
    topics = ("crane bird wing lake egg", "film actor plot role scene", "ship sea port sail crew")
    topics = [draw.choice(topics).split() for _ in range(80)]
    paragraphs = [[draw.choices(topic, k=draw.randint(4, 7)) for _ in range(3)] for topic in topics]
    lines = [
        " ".join(" ".join(words).capitalize() + "." for words in sentences)
        for sentences in paragraphs
    ]
    (tmp_path / "own.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    folders = (
        "BERT_TUTORIAL_CACHE",
        "IPYTHONDIR",
        "JUPYTER_RUNTIME_DIR",
        "JUPYTER_CONFIG_DIR",
        "JUPYTER_DATA_DIR",
    )
    for name in folders:
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.setenv("PYTHONPATH", str(Path(bert_tutorial.__file__).parents[1]))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return tmp_path


@pytest.fixture
def examples(own_text):
    return load_data_wiki(16, 24, corpus=own_text / "own.txt")[0]


def small_net(examples):
    torch.manual_seed(0)
    return BERTModel(len(examples.vocab), num_hiddens=32, ffn_num_hiddens=64, max_len=24)


def test_in_a_terminal_three_lines_are_printed(examples, capsys):
    net = small_net(examples)
    run = train_bert(examples, net, 25)
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert len(lines) == 3
    number = r"(\d+\.\d+)"
    mlm, nsp = re.fullmatch(f"MLM loss {number}, NSP loss {number}", lines[0]).groups()
    assert re.fullmatch(rf"{number} sentence pairs/sec on \[device\(type='\w+'.*\)\]", lines[1])
    held_out = re.fullmatch(
        rf"held-out: MLM loss {number} \({number}% of masked words right\), "
        rf"NSP loss {number} \({number}% right\); "
        rf"baselines: uniform {number}, word frequencies {number} \({number}%\), "
        rf"two neighbours {number} \({number}%\), a coin 0.69",
        lines[2],
    )
    last = run.history[-2:]  # a tenth of the steps
    assert_close(float(mlm), sum(step.mlm_loss for step in last) / 2, rtol=0, atol=6e-4)
    assert_close(float(nsp), sum(step.nsp_loss for step in last) / 2, rtol=0, atol=6e-4)
    result = evaluate(net, examples.valid)
    wanted = [
        result.mlm_loss,
        100 * result.mlm_accuracy,
        result.nsp_loss,
        100 * result.nsp_accuracy,
    ]
    wanted += [
        run.baselines.uniform,
        run.baselines.unigram,
        100 * run.baselines.unigram_accuracy,
        run.baselines.neighbours,
        100 * run.baselines.neighbours_accuracy,
    ]
    assert_close([float(value) for value in held_out.groups()], wanted, rtol=0, atol=0.06)
    assert "25/25" in printed.err  # the progress bar has reached its end
    assert run.state == "finished"


def test_a_text_without_a_held_out_part_has_no_third_line(examples, capsys):
    examples.valid = None
    train_bert(examples, small_net(examples), 2)
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_the_recipe_can_be_changed_and_is_checked(examples, capsys):
    run = train_bert(
        examples, small_net(examples), 2, learning_rate=0.001, warmup=0.5, precision="fp32"
    )
    assert_close(run.history[0].learning_rate, 0.001)
    with pytest.raises(ValueError, match="^num_steps is 0"):
        train_bert(examples, small_net(examples), 0)
    with pytest.raises(ValueError, match="^learning_rate is 5"):
        train_bert(examples, small_net(examples), 2, learning_rate=5)


def test_what_does_not_fit_is_refused_before_the_first_step(examples, monkeypatch):
    monkeypatch.setattr(fitting, "available_memory", lambda device: 1000)
    monkeypatch.setattr(fitting, "give_back_freed", lambda: None)
    net = small_net(examples)
    before = net.mlm.bias.clone()
    with pytest.raises(MemoryError, match="MiB") as error:
        train_bert(examples, net, 3)
    assert "\n" not in str(error.value) and torch.equal(net.mlm.bias, before)


def test_an_error_in_the_thread_reaches_the_caller(examples, capsys):
    net = small_net(examples)
    with torch.no_grad():  # finite weights, and a loss that is not
        net.nsp.output.weight.fill_(3e38)
        net.nsp.hidden.bias.fill_(5.0)
    with pytest.raises(FloatingPointError, match="training has diverged"):
        train_bert(examples, net, 10)
    assert capsys.readouterr().out == ""
    assert all(parameter.isfinite().all() for parameter in net.parameters())


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT for other processes")
def test_ctrl_c_ends_the_run_and_the_network_can_be_used(own_text):
    script = f"""
import signal
# A process that was started in the background ignores it.
signal.signal(signal.SIGINT, signal.default_int_handler)
{LOAD}
run = train_bert(train_iter, net, 100_000)
# The thread, too, has come to its end.
ended = run.wait(0)
encoded = get_bert_encoding(net, vocab, "a crane is flying".split())
print(run.state, len(run.history), ended, tuple(encoded.shape))
"""
    child = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        bar, end = b"", time.monotonic() + PATIENCE
        while b"MLM loss" not in bar:  # the progress bar shows a loss as soon as a step is done
            assert time.monotonic() < end and child.poll() is None, bar.decode()
            if select.select([child.stderr], [], [], 0.5)[0]:
                bar += os.read(child.stderr.fileno(), 65536)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=PATIENCE)
    finally:
        child.kill()
        child.wait()
    assert child.returncode == 0, err.decode()
    assert b"Traceback" not in err
    lines = out.decode().splitlines()
    steps = re.fullmatch(
        r"Stopped after step (\d+) of 100000: the network keeps what .*", lines[0]
    )[1]
    assert int(steps) >= 1
    assert lines[1].startswith("MLM loss")
    assert re.match(r"held-out( after step \d+)?: MLM", lines[3])
    assert lines[4] == f"stopped {steps} True (1, 6, 32)"


@pytest.fixture
def kernel(own_text):
    """A real Jupyter kernel, as a function: code -> its reply and the messages that it has sent."""
    jupyter_client = pytest.importorskip("jupyter_client")
    kernelspec = pytest.importorskip("jupyter_client.kernelspec")
    manager = jupyter_client.KernelManager()
    # This Python, whatever kernels the user has installed.
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    manager._kernel_spec = kernelspec.KernelSpec(
        argv=command, language="python", display_name="this Python"
    )
    manager.start_kernel(cwd=str(own_text))
    client = manager.client()
    client.start_channels()

    def run(code, on_message=lambda message: None):
        messages = []

        def hook(message):
            messages.append(message)
            on_message(message)

        reply = client.execute_interactive(code, output_hook=hook, timeout=PATIENCE)["content"]
        return reply, [(message["msg_type"], message["content"]) for message in messages]

    try:
        client.wait_for_ready(timeout=PATIENCE)
        run.interrupt = manager.interrupt_kernel
        yield run
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def pictures(messages):
    """The pictures shown and those that replaced them; each must say in words what it shows."""
    shown = [content for kind, content in messages if kind == "display_data"]
    replaced = [content for kind, content in messages if kind == "update_display_data"]
    for content in shown + replaced:
        assert base64.b64decode(content["data"]["image/png"]).startswith(PNG)
        picture = content["data"]["image/png"].strip()
        assert f'src="data:image/png;base64,{picture}"' in content["data"]["text/html"]
        alt = content["data"]["text/plain"]
        assert alt == "No training step yet." or alt.startswith("Training loss of the masked words")
        assert f'<img alt="{alt}"' in content["data"]["text/html"]
    return shown, replaced


def test_in_a_notebook_there_is_one_picture_that_is_replaced(kernel):
    # Messages of one kernel after another: starting one takes seconds.
    reply, _ = kernel(LOAD)
    assert reply["status"] == "ok", reply
    reply, messages = kernel("run = train_bert(train_iter, net, 150)")
    assert reply["status"] == "ok", reply
    shown, replaced = pictures(messages)
    assert len(shown) == 1 and len(replaced) >= 1
    assert {content["transient"]["display_id"] for content in shown + replaced} == {
        shown[0]["transient"]["display_id"]
    }
    assert replaced[-1]["data"]["image/png"] != shown[0]["data"]["image/png"]
    streams = {content["name"] for kind, content in messages if kind == "stream"}
    assert streams == {"stdout"}  # no progress bar besides the picture
    out = "".join(content["text"] for kind, content in messages if kind == "stream")
    assert len(out.splitlines()) == 3 and "sentence pairs/sec on" in out

    # The notebook's stop button, while the picture is there.
    interrupted = []

    def press_stop(message):
        if message["msg_type"] == "display_data" and not interrupted:
            interrupted.append(True)
            kernel.interrupt()

    reply, messages = kernel("run = train_bert(train_iter, net, 100_000)", press_stop)
    assert reply["status"] == "ok", reply
    shown, replaced = pictures(messages)
    assert len(shown) == 1 and len(replaced) >= 1
    out = "".join(content["text"] for kind, content in messages if kind == "stream")
    assert re.match(r"Stopped after step \d+ of 100000", out)
    _, messages = kernel("print(run.state, get_bert_encoding(net, vocab, ['a', 'crane']).shape[1])")
    assert ("stream", {"name": "stdout", "text": "stopped 4\n"}) in messages


def test_the_line_says_when_the_held_out_text_is_read(examples, monkeypatch):
    run = TrainingRun(small_net(examples), examples, Settings(num_steps=2))
    seen = []

    def look(*arguments):
        seen.append(progress(run))
        return evaluate(*arguments)

    monkeypatch.setattr("bert_tutorial.studio.runs.run.evaluate", look)
    run.start().wait()
    assert seen[0] == "step 0 of 2: reading held-out text"
    assert seen[-1] == "step 2 of 2: reading held-out text"
    assert "MLM loss" in progress(run)
