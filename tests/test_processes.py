"""One run by several processes: on one machine, on two that share no disk, killed, silent, resumed.

Two hosts are two launchers on this machine, each with its own folder.
"""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
import torch
from one_sentence import assert_one_sentence
from small import PATIENCE, break_net, losses, small_net, some_examples, weights_of
from torch.testing import assert_close

from bert_tutorial import BERTModel, train_bert
from bert_tutorial.parallel import ALONE, Processes, join_processes, own_device
from bert_tutorial.pretrain import main
from bert_tutorial.pretraining import running
from bert_tutorial.pretraining.run import Settings
from bert_tutorial.studio.runs.run import TrainingRun
from bert_tutorial.studio.runs.saved_runs import SavedRun

ROOT = Path(__file__).resolve().parents[1]
STEPS = 20
RUN = (
    f"--steps {STEPS} --batch-size 16 --max-len 24 --hidden 16 --ffn 16 --save-every 5 --dropout 0 "
    "--precision fp32 --next-sentence-rate 0.5 --sampled-words 20"
).split()
TWO_HOSTS = "--nnodes 2 --nproc-per-node 1 --rdzv-backend c10d --local-addr 127.0.0.1"


def write_text(path, seed=0):
    draw, lines = random.Random(seed), []
    for i in range(60):
        words = [f"{'ab'[i % 2]}{draw.randint(0, 30)}" for _ in range(40)]
        lines.append(". ".join(" ".join(words[k : k + 8]) for k in range(0, 40, 8)) + ".")
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(lines))
    return str(path)


@pytest.fixture
def text_file(tmp_path):
    return write_text(tmp_path / "text.txt")


def torchrun(how, text_file, out, *more, within=(), **environment):
    command = [*within, sys.executable, "-m", "torch.distributed.run", *how.split()]
    command += ["-m", "bert_tutorial.pretrain", "--corpus", text_file, "--out", str(out), *RUN]
    environment = {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"} | environment
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    pipe = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return subprocess.Popen([*command, *more], env=environment, start_new_session=True, **pipe)


@contextmanager
def two_hosts(tmp_path, texts, *more, **environment):
    """The launchers of two hosts, each with its text and its folder; ended with the test."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    meet = f"{TWO_HOSTS} --rdzv-endpoint localhost:{port} --rdzv-id {tmp_path.name}"
    folders = tmp_path / "first", tmp_path / "second"
    hosts = [torchrun(meet, text, out, *more, **environment)
             for text, out in zip(texts, folders, strict=True)]  # fmt: skip
    try:
        yield hosts, folders
    finally:
        for host in hosts:
            if host.poll() is None:
                os.killpg(host.pid, signal.SIGKILL)
            host.communicate()


def workers(*launchers):
    found = []
    for child in (c for launcher in launchers for c in psutil.Process(launcher.pid).children()):
        with suppress(psutil.Error):  # it has ended meanwhile
            found += [child] * ("bert_tutorial.pretrain" in child.cmdline())
    return found


def logged(out):
    """Each step stands in the log once, in order."""
    steps = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [step["step"] for step in steps] == list(range(1, len(steps) + 1))
    return torch.tensor([(step["mlm_loss"], step["nsp_loss"]) for step in steps])


def wait_for_step(step, *folders):
    began = time.monotonic()
    while not any(SavedRun(out).checkpoint_step() >= step for out in folders):
        assert time.monotonic() - began < PATIENCE
        time.sleep(0.02)


def ends(host, seconds=PATIENCE):
    """What a program that must end has said, but for the report of torchrun."""
    said = host.communicate(timeout=seconds)[1].partition("torch/distributed/elastic")[0]
    assert "Traceback" not in said, said[-3000:]
    return said


@pytest.fixture(scope="module")
def golden(tmp_path_factory):
    """The losses of one process."""
    folder = tmp_path_factory.mktemp("golden")
    main(["--corpus", write_text(folder / "text.txt"), "--out", str(folder / "run"), *RUN])
    return logged(folder / "run")


def test_two_hosts_without_a_shared_disk_give_the_losses_of_one_process(golden, tmp_path):
    texts = [write_text(tmp_path / host / "text.txt") for host in ("here", "there")]
    with two_hosts(tmp_path, texts) as (hosts, folders):
        for host in hosts:
            said = ends(host)
            assert host.returncode == 0, said
    (kept,) = [out for out in folders if out.exists()]  # one of them writes
    assert_close(logged(kept), golden, rtol=0, atol=2e-5)
    assert "| processes | 2 |" in (kept / "model_card.md").read_text()


def test_another_number_goes_on_and_a_killed_one_begins_again(golden, text_file, tmp_path):
    """One process up to step 5 at least, then three, of which one is killed, and torchrun starts
    them again."""
    out = tmp_path / "out"
    with pytest.raises(ZeroDivisionError), pytest.MonkeyPatch.context() as patch:
        add = SavedRun.add
        patch.setattr(SavedRun, "add", lambda run, step: add(run, step) or 1 / (step.step < 7))
        main(["--corpus", text_file, "--out", str(out), *RUN])
    assert SavedRun(out).checkpoint_step() == 5
    how = "--standalone --nproc-per-node 3 --max-restarts 3"
    launcher = torchrun(how, text_file, out, TORCH_DISABLE_SHARE_RDZV_TCP_STORE="1")
    wait_for_step(10, out)
    workers(launcher)[1].kill()
    said = launcher.communicate(timeout=2 * PATIENCE)[0]
    assert launcher.returncode == 0 and "going on after step 5 of 20" in said
    assert_close(logged(out), golden, rtol=0, atol=2e-5)


def test_another_text_on_one_host_is_refused_on_all(tmp_path):
    texts = [write_text(tmp_path / f"{seed}.txt", seed) for seed in (0, 1)]
    with two_hosts(tmp_path, texts) as (hosts, folders):
        for host in hosts:
            said = ends(host)
            line = next(line for line in said.splitlines() if "differ in text" in line)
            assert_one_sentence(line)
            assert line.count(" on ") == 2 and "process 1" in line and host.returncode == 1
    assert not any(out.exists() for out in folders)


@pytest.mark.parametrize(
    ("how", "patience"),
    [("SIGKILL", 60), pytest.param("SIGSTOP", 10, marks=pytest.mark.nightly)],
)
def test_a_worker_that_is_gone_or_silent_ends_the_run_on_both_hosts(
    text_file, tmp_path, how, patience
):
    with two_hosts(
        tmp_path, [text_file] * 2, "--steps", "1000000", BERT_TUTORIAL_PATIENCE=str(patience)
    ) as (hosts, folders):
        wait_for_step(5, *folders)
        (worker,) = workers(hosts[1])
        began = time.monotonic()
        worker.send_signal(getattr(signal, how))
        said = ends(hosts[0])
        assert hosts[0].returncode == 1 and time.monotonic() - began < 60
        line = next(x for x in said.splitlines() if x.startswith("another process of this run"))
        assert_one_sentence(line)
        if how == "SIGSTOP":
            worker.kill()
        ends(hosts[1])


@pytest.mark.nightly
def test_both_hosts_are_killed_and_the_same_commands_go_on(golden, text_file, tmp_path):
    with two_hosts(tmp_path, [text_file] * 2) as (hosts, folders):
        wait_for_step(5, *folders)
        for host in hosts:
            os.killpg(host.pid, signal.SIGKILL)
    with two_hosts(tmp_path, [text_file] * 2) as (hosts, folders):
        for host in hosts:
            said = ends(host)
            assert host.returncode == 0, said
    (kept,) = [out for out in folders if out.exists()]  # whoever is the first process now
    assert_close(logged(kept), golden, rtol=0, atol=2e-5)


@pytest.mark.nightly
def test_a_link_that_is_cut_ends_the_run_on_both_hosts(text_file, tmp_path):
    """Two network namespaces, each with one end of a link, which goes down in the middle."""
    names = [f"bert{os.getpid()}{end}" for end in "ab"]

    def ip(*words):
        return subprocess.run(["ip", *words], capture_output=True, check=True)

    try:
        ip("netns", "add", names[0])
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no network namespace can be made here")
    hosts, folders = [], (tmp_path / "first", tmp_path / "second")
    try:
        ip("netns", "add", names[1])
        peer = "type", "veth", "peer", "name", "end", "netns", names[1]
        ip("link", "add", "end", "netns", names[0], *peer)
        for number, name in enumerate(names, start=1):
            ip("-n", name, "addr", "add", f"10.77.0.{number}/24", "dev", "end")
            for card in ("lo", "end"):
                ip("-n", name, "link", "set", card, "up")
            meet = f"{TWO_HOSTS.replace('127.0.0.1', f'10.77.0.{number}')} --rdzv-id cut"
            meet += f" --rdzv-conf is_host={2 - number}"
            hosts.append(torchrun(
                f"{meet} --rdzv-endpoint 10.77.0.1:29400", text_file, folders[number - 1],
                "--steps", "1000000", within=("ip", "netns", "exec", name),
                GLOO_SOCKET_IFNAME="end", BERT_TUTORIAL_PATIENCE="15",
            ))  # fmt: skip
        wait_for_step(5, *folders)
        ip("-n", names[1], "link", "set", "end", "down")
        began = time.monotonic()
        while any(host.poll() is None and workers(host) for host in hosts):
            assert time.monotonic() - began < 60
            time.sleep(0.1)
        print(f"ended on both hosts after {time.monotonic() - began:.0f} s")
        for host in hosts:  # torchrun itself looks for the other one longer
            with suppress(ProcessLookupError):
                os.killpg(host.pid, signal.SIGKILL)
            said = ends(host).splitlines()
            assert_one_sentence(next(x for x in said if x.startswith("another process of this")))
    finally:
        for host in hosts:
            if host.poll() is None:
                os.killpg(host.pid, signal.SIGKILL)
            host.communicate()
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)


def test_processes_end_bit_for_bit_alike_and_show_that_they_live(tmp_path):
    """One begins with other weights; works longer than the other's patience; and fails, which the
    other is told."""
    script = tmp_path / "script.py"
    script.write_text(
        "import pathlib, sys, time, torch\n"
        "from small import small_net, some_examples\n"
        "from bert_tutorial import Settings, train_steps\n"
        "from bert_tutorial.cache import digest\n"
        "from bert_tutorial.parallel import join_processes\n"
        "say = lambda *said: sys.stdout.write(' '.join(map(str, said)) + chr(10))\n"
        "processes = join_processes(torch.device('cpu'))\n"
        "me, examples = processes.rank, some_examples(batch_size=15)\n"
        "net = small_net(examples)\n"
        "net.reset(torch.Generator().manual_seed(me))\n"
        "list(train_steps(net, examples, Settings(num_steps=4), processes=processes))\n"
        "say(me, len(set(processes.gather(digest(net.state_dict(), {})))))\n"
        "say(me, processes.work(lambda: me or time.sleep(5) or 7))\n"
        "say(me, processes.share(b'x' * (2 - me)))\n"
        "try:\n"
        "    processes.work(lambda: 1 / me)\n"
        "except Exception as error:\n"
        "    say(me, error)\n"
        "processes.leave()\n"
        "names = [path.read_text() for path in pathlib.Path('/proc/self/task').glob('*/comm')]\n"
        "say(me, sum('gloo' in name for name in names))\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", script]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    environment["BERT_TUTORIAL_PATIENCE"] = "3"
    said = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr[-3000:]
    assert sorted(said.stdout.splitlines()) == [
        "0 0",  # no thread is left, which could abort the program at its end
        "0 1",
        "0 7",
        "0 b'xx'",
        "0 division by zero",
        "1 0",
        "1 1",
        "1 1",
        "1 another process could not go on: its own message says why",
        "1 b'xx'",
    ]


# From a notebook


def two_networks(**changes):
    examples = some_examples()
    return examples, *(small_net(examples, **changes) for _ in range(2))


def test_train_bert_in_two_processes_is_train_bert_in_one(capsys):
    examples, one, two = two_networks(dropout=0.0)
    how = dict(num_steps=6, precision="fp32", sampled_words=10)
    wanted = train_bert(examples, one, processes=1, **how)
    found = train_bert(examples, two, processes=2, **how)
    assert_close(losses(found.history), losses(wanted.history), rtol=0, atol=1e-5)
    for name, value in weights_of(one).items():
        assert_close(two.state_dict()[name], value, rtol=0, atol=1e-3)
    assert [step for step, _ in found.held_out] == [step for step, _ in wanted.held_out]
    assert_close(found.held_out[-1][1][0], wanted.held_out[-1][1][0], rtol=0, atol=1e-3)
    assert f"on {[torch.device('cpu')] * 2}" in capsys.readouterr().out


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-3), ("bf16", 0.05)])
def test_two_gpus_give_the_losses_of_one(precision, tolerance):
    examples, one, two = two_networks(dropout=0.0)
    how = dict(num_steps=6, precision=precision, sampled_words=10)
    wanted = train_bert(examples, one, processes=1, **how)
    found = train_bert(examples, two, **how)  # all there are
    assert_close(losses(found.history), losses(wanted.history), rtol=0, atol=tolerance)


def test_a_run_in_two_processes_pauses_is_kept_and_goes_on(monkeypatch, tmp_path):
    examples, one, two = two_networks(dropout=0.0)
    how = Settings(num_steps=30, precision="fp32")
    wanted = TrainingRun(one, examples, how).start()
    assert wanted.wait(PATIENCE)
    monkeypatch.setattr("bert_tutorial.studio.runs.run.check_processes", lambda *_: 2)
    saved = SavedRun(tmp_path, dict(settings={}, name="a", num_steps=30))
    run = TrainingRun(two, examples, how, saved=saved).start()
    while len(run.history) < 5:
        time.sleep(0.01)
    run.pause()
    while not run.is_still:
        time.sleep(0.01)
    assert saved.checkpoint_step() == len(run.history) < 30
    run.stop()
    assert run.wait(PATIENCE) and run.state == "stopped" and not run.error
    again = TrainingRun(small_net(examples, dropout=0.0), examples, how, saved=saved).start()
    assert again.wait(PATIENCE) and again.state == "finished"
    assert_close(losses(again.history), losses(wanted.history), rtol=0, atol=1e-4)


def test_what_goes_wrong_in_the_other_processes_is_told_here(monkeypatch, capfd):
    examples, net, other = two_networks()
    break_net(net)
    with pytest.raises(FloatingPointError, match="training has diverged"):
        train_bert(examples, net, 20, processes=2)
    made, workers_of = [], running.Workers
    monkeypatch.setattr(running, "Workers", lambda *how: made.append(workers_of(*how)) or made[-1])

    def kill(*_):
        for child in psutil.Process(made[0]._torchrun.pid).children():
            child.kill()

    monkeypatch.setattr(running, "evaluate", lambda *_: kill())
    with pytest.raises(ConnectionError) as caught:
        train_bert(examples, other, 10, processes=2)
    assert_one_sentence(str(caught.value))
    assert made[0]._torchrun.poll() is not None and not made[0].path.exists()
    assert "Traceback" not in capfd.readouterr().err


def test_numbers_of_processes_that_cannot_be_and_networks_of_ones_own(capsys):
    examples, net, _ = two_networks()
    for number in (0, -1, 2.5, True, 65, "2"):
        with pytest.raises(ValueError, match=r"^processes is .*, but must be a whole number"):
            train_bert(examples, net, 1, processes=number)

    class Mine(BERTModel):
        pass

    mine = Mine(len(examples.vocab), num_hiddens=32, ffn_num_hiddens=64, max_len=24)
    assert len(train_bert(examples, mine, 1, processes=2).history) == 1
    assert "class Mine trains in this process" in capsys.readouterr().out


# Without other processes


def test_processes_meet_as_torchrun_says_and_wait_as_long_as_said(monkeypatch):
    cpu, met = torch.device("cpu"), []
    monkeypatch.setattr("torch.distributed.init_process_group", lambda *_, **how: met.append(how))
    monkeypatch.setattr(os, "environ", dict(RANK="1", WORLD_SIZE="2"))
    assert join_processes(cpu) == Processes(1, 2)
    for said in ("soon", "0", "-5", "nan"):
        os.environ["BERT_TUTORIAL_PATIENCE"] = said
        with pytest.raises(ValueError, match=f"^BERT_TUTORIAL_PATIENCE is '{said}', but must be "):
            join_processes(cpu)
    os.environ["BERT_TUTORIAL_PATIENCE"] = "7"
    join_processes(cpu)
    assert [how["timeout"].total_seconds() for how in met] == [60, 7]
    with monkeypatch.context() as m, pytest.raises(ValueError, match="needs TORCH_DISABLE_SHARE"):
        m.setenv("TORCHELASTIC_MAX_RESTARTS", "3")
        join_processes(cpu)
    for rank, size in (("5", None), ("2", "2"), (None, "2"), ("x", "2")):  # what others left
        left = dict(RANK=rank, WORLD_SIZE=size)
        left = {name: value for name, value in left.items() if value is not None}
        with monkeypatch.context() as m, pytest.raises(ValueError, match="environment has RANK="):
            m.setattr(os, "environ", left)
            join_processes(cpu)
    gpus = [torch.device("cuda", i) for i in range(2)]
    for place, wanted in (("0", gpus[0]), ("1", gpus[1])):
        os.environ["LOCAL_RANK"] = place
        assert own_device(gpus) == wanted and own_device([cpu]) == cpu
    os.environ["LOCAL_RANK"] = "2"
    with pytest.raises(ValueError, match="use --nproc-per-node 2 at most"):
        own_device(gpus)


def test_one_process_alone_has_nobody_to_talk_to():
    assert ALONE.is_keeper and ALONE.share(b"x") == b"x" and ALONE.gather("a") == ["a"]
    assert ALONE.work(lambda: 3) == 3 and ALONE.agree({"text": "a"}) is None
