"""`train_bert`, in a terminal and in a real Jupyter kernel."""

import base64
import os
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from small import PATIENCE, losses, small_net, some_examples

from bert_tutorial import train_bert, try_all_gpus
from bert_tutorial.pretraining.evaluation import evaluate
from bert_tutorial.studio.runs import fits

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def examples():
    return some_examples()


def test_in_a_terminal_three_lines_are_printed(examples, capsys):
    net = small_net(examples)
    run = train_bert(examples, net, 25, warmup=1.0)
    printed, last = capsys.readouterr(), run.history[-2:]  # a tenth of the steps
    assert run.history[0].learning_rate == pytest.approx(0.005 / 25)
    mlm, nsp = (sum(loss) / 2 for loss in zip(*[step[1:3] for step in last], strict=True))
    step, found = run.held_out[-1]
    known, device = run.baselines, try_all_gpus()[0]
    assert printed.out.splitlines() == [
        f"MLM loss {mlm:.3f}, NSP loss {nsp:.3f}",
        f"{run.pairs_per_second:.1f} sentence pairs/sec on [{device!r}]",
        f"held-out: MLM loss {found.mlm_loss:.3f} ({found.mlm_accuracy:.1%} of masked words right)"
        f", NSP loss {found.nsp_loss:.3f} ({found.nsp_accuracy:.1%} right); "
        f"baselines: uniform {known.uniform:.2f}, word frequencies {known.unigram:.2f} "
        f"({known.unigram_accuracy:.1%}), two neighbours {known.neighbours:.2f} "
        f"({known.neighbours_accuracy:.1%}), a coin 0.69",
    ]
    assert step == 25 and found == evaluate(net, examples.valid)
    for words in ("25/25", "counting words", "reading held-out text"):
        assert words in printed.err  # the progress bar has reached its end
    examples.valid = None
    train_bert(examples, net, 1)
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_what_does_not_fit_is_refused_before_the_first_step(examples, monkeypatch):
    monkeypatch.setattr(fits, "available_memory", lambda device: 1000)
    net = small_net(examples)
    with pytest.raises(MemoryError, match="^[^\n]*MiB[^\n]*$"):
        train_bert(examples, net, 3)
    assert not net.mlm.bias.any()


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_ends_the_run_after_the_step_under_way_and_twice_at_once(
    examples, capsys, monkeypatch, times
):
    before, batch_at = signal.getsignal(signal.SIGINT), examples.batch_at
    whole = train_bert(examples, small_net(examples), 9)

    def interrupted(step):
        for _ in range(times if step == 3 else 0):
            signal.raise_signal(signal.SIGINT)
        return batch_at(step)

    monkeypatch.setattr(examples, "batch_at", interrupted)
    if times == 2:
        with pytest.raises(KeyboardInterrupt):
            train_bert(examples, small_net(examples), 9)
    else:
        run = train_bert(examples, small_net(examples), 9)
        said = capsys.readouterr().out.splitlines()[3:]
        message = "Stopped after step 4 of 9: the network keeps what it has learned so far."
        assert said[0] == message and said[1].startswith("MLM loss") and len(said) == 4
        assert said[3].startswith("held-out after step 2: MLM")
        assert torch.equal(losses(run.history), losses(whole.history)[:4])
    assert signal.getsignal(signal.SIGINT) is before


def test_it_runs_in_another_thread_too(examples):
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(train_bert, examples, small_net(examples), 2).result(PATIENCE)
    assert len(run.history) == 2


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """A real Jupyter kernel, as a function: code -> the messages that it has sent."""
    manager = pytest.importorskip("jupyter_client.manager")
    kinds = ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR")
    for name in ("BERT_TUTORIAL_CACHE", *kinds):  # nothing of the user's is read or written
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    here = Path(__file__).parent
    monkeypatch.setenv("PYTHONPATH", f"{here.parent}{os.pathsep}{here}")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    # Without the user's folders this is a kernel of this Python.
    manager, client = manager.start_new_kernel(PATIENCE, cwd=str(tmp_path))

    def run(code, on_message=lambda message: None):
        messages = []
        take = lambda message: messages.append(message) or on_message(message)  # noqa: E731
        reply = client.execute_interactive(code, output_hook=take, timeout=PATIENCE)["content"]
        assert reply["status"] == "ok", reply
        return [(message["msg_type"], message["content"]) for message in messages]

    run.interrupt = manager.interrupt_kernel
    yield run
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def pictures(messages):
    """The pictures shown, each of which replaced the last; each says in words what it shows."""
    kinds = ("display_data", "update_display_data")
    found = [(kind, content) for kind, content in messages if kind in kinds]
    assert [kind for kind, _ in found].count("display_data") == 1 and len(found) >= 2
    assert len({content["transient"]["display_id"] for _, content in found}) == 1
    for _, content in found:
        data = content["data"]
        assert base64.b64decode(data["image/png"]).startswith(PNG)
        assert f'src="data:image/png;base64,{data["image/png"].strip()}"' in data["text/html"]
        alt = data["text/plain"]
        assert alt.startswith(("No training step yet", "Training loss of the masked words"))
        assert f'<img alt="{alt}"' in data["text/html"]
    return [content["data"]["image/png"] for _, content in found]


def printed(messages):
    streams = [content for kind, content in messages if kind == "stream"]
    assert {content["name"] for content in streams} == {"stdout"}  # no bar beside the picture
    return "".join(content["text"] for content in streams)


def test_in_a_notebook_there_is_one_picture_that_is_replaced(kernel):
    # Messages of one kernel after another: starting one takes seconds.
    kernel("""
from bert_tutorial import get_bert_encoding, train_bert
from small import small_net, some_examples
examples = some_examples()
net = small_net(examples)
""")
    messages = kernel("run = train_bert(examples, net, 20)")
    shown = pictures(messages)
    assert shown[-1] != shown[0] and len(printed(messages).splitlines()) == 3
    begun = []

    def press_stop(message):
        """The notebook's stop button, while the picture is there."""
        if message["msg_type"] == "display_data" and not begun:
            begun.append(kernel.interrupt())

    messages = kernel("run = train_bert(examples, net, 100_000)", press_stop)
    pictures(messages)
    stopped = re.match(r"Stopped after step (\d+) of 100000", printed(messages))
    encode = "get_bert_encoding(net, examples.vocab, ['t1w0', 't2w0']).shape[1]"
    assert printed(kernel(f"print(len(run.history), {encode})")) == f"{stopped[1]} 4\n"
