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
from bert_tutorial.pretraining import running
from bert_tutorial.pretraining.evaluation import evaluate
from bert_tutorial.studio.runs import fits


@pytest.fixture
def examples():
    return some_examples()


def test_in_a_terminal_three_lines_are_printed(examples, capsys, monkeypatch):
    net = small_net(examples)
    monkeypatch.setattr(running, "FEW", 1)
    run = train_bert(examples, net, 25, warmup=1.0)
    printed, last = capsys.readouterr(), run.history[-2:]  # a tenth of the steps
    assert run.history[0].learning_rate == pytest.approx(0.005 / 25)
    mlm, nsp = (sum(loss) / 2 for loss in zip(*[step[1:3] for step in last], strict=True))
    step, found = run.held_out[-1]
    known, device = run.baselines, try_all_gpus()[0]
    assert printed.out.splitlines() == [
        f"MLM loss {mlm:.3f}, NSP loss {nsp:.3f}",
        f"{run.pairs_per_second:.1f} sentence pairs/sec on [{device!r}]",
        f"held-out text, all of it: MLM loss {found.mlm_loss:.3f} ({found.mlm_accuracy:.1%} of "
        f"masked words right), NSP loss {found.nsp_loss:.3f} ({found.nsp_accuracy:.1%} right); "
        f"the part that the dots ask: {run.held_out[-2][1].mlm_loss:.3f}; "
        f"baselines: uniform {known.uniform:.2f}, word frequencies {known.unigram:.2f} "
        f"({known.unigram_accuracy:.1%}), two neighbours {known.neighbours:.2f} "
        f"({known.neighbours_accuracy:.1%}), a coin 0.69",
    ]
    assert step == 25 and found == evaluate(net, examples.valid)
    for words in ("25/25", "counting words", "reading held-out text"):
        assert words in printed.err  # the progress bar has reached its end
    alone = some_examples(next_sentence_rate=1.0)  # of a game that is not played nothing is said
    train_bert(alone, small_net(alone), 1)
    printed = capsys.readouterr().out
    assert "NSP" not in printed and "coin" not in printed and "MLM loss" in printed
    examples.valid = None
    with ThreadPoolExecutor(1) as pool:  # it runs in another thread too
        pool.submit(train_bert, examples, net, 1).result(PATIENCE)
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_what_does_not_fit_is_refused_before_the_first_step(examples, monkeypatch):
    monkeypatch.setattr(fits, "available_memory", lambda device: 1000)
    net = small_net(examples)
    with pytest.raises(MemoryError, match="^[^\n]*MiB[^\n]*$"):
        train_bert(examples, net, 3)
    assert not net.mlm.bias.any()


def test_ctrl_c_ends_the_run_after_the_step_under_way_and_twice_at_once(
    examples, capsys, monkeypatch
):
    before, batch_at, times = signal.getsignal(signal.SIGINT), examples.batch_at, 1
    whole = train_bert(examples, small_net(examples), 9)

    def interrupted(step):
        for _ in range(times if step == 3 else 0):
            signal.raise_signal(signal.SIGINT)
        return batch_at(step)

    monkeypatch.setattr(examples, "batch_at", interrupted)
    run = train_bert(examples, small_net(examples), 9)
    stopped, losses_said, _, held_out = capsys.readouterr().out.splitlines()[3:]
    assert stopped == "Stopped after step 4 of 9: the network keeps what it has learned so far."
    assert losses_said.startswith("MLM loss") and held_out.startswith(
        "held-out text after step 2: MLM"
    )
    assert torch.equal(losses(run.history), losses(whole.history)[:4])
    times = 2
    with pytest.raises(KeyboardInterrupt):
        train_bert(examples, small_net(examples), 9)
    assert signal.getsignal(signal.SIGINT) is before


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """A real Jupyter kernel, as a function: code -> types and contents of what it has sent."""
    manager = pytest.importorskip("jupyter_client.manager")
    kinds = ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR")
    for name in ("BERT_TUTORIAL_CACHE", *kinds):  # nothing of the user's is read or written
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    here = Path(__file__).parent
    monkeypatch.setenv("PYTHONPATH", f"{here.parent}{os.pathsep}{here}")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    # Without the user's folders this is a kernel of this Python.
    manager, client = manager.start_new_kernel(PATIENCE, cwd=str(tmp_path))

    def run(code, at_picture=lambda: None):
        found = []

        def take(message):
            found.append((message["msg_type"], message["content"]))
            if message["msg_type"] == "display_data":
                at_picture()

        reply = client.execute_interactive(code, output_hook=take, timeout=PATIENCE)["content"]
        assert reply["status"] == "ok", reply
        return found

    run.interrupt = manager.interrupt_kernel
    yield run
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def pictures(messages):
    """The pictures shown, each of which replaced the last; each says in words what it shows."""
    first, *others = ((kind, content) for kind, content in messages if "display_data" in kind)
    assert first[0] == "display_data" and {kind for kind, _ in others} == {"update_display_data"}
    for _, content in (first, *others):
        data, alt = content["data"], content["data"]["text/plain"]
        assert content["transient"] == first[1]["transient"]  # its name
        assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG\r\n\x1a\n")
        assert f'src="data:image/png;base64,{data["image/png"].strip()}"' in data["text/html"]
        assert alt.startswith(("No training step yet", "Training loss of the masked words"))
        assert f'<img alt="{alt}"' in data["text/html"]
        yield data["image/png"]


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
    first, *_, last = pictures(messages)
    assert first != last and len(printed(messages).splitlines()) == 3
    # The notebook's stop button, while the picture is there.
    messages = kernel("run = train_bert(examples, net, 100_000)", kernel.interrupt)
    assert list(pictures(messages))
    stopped = re.match(r"Stopped after step (\d+) of 100000", printed(messages))
    encode = "get_bert_encoding(net, examples.vocab, ['t1w0', 't2w0']).shape[1]"
    assert printed(kernel(f"print(len(run.history), {encode})")) == f"{stopped[1]} 4\n"
