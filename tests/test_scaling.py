"""Notebook 6: the arithmetic of many machines, its sliders, and programs of several processes."""

import os
import signal
import time

import psutil
import pytest
from one_sentence import assert_one_sentence
from small import PATIENCE, until

from bert_tutorial.devices import try_all_gpus
from bert_tutorial.exercises.memory import count_parameters
from bert_tutorial.network.config import BERTConfig
from bert_tutorial.studio.runs.fits import flops_of
from bert_tutorial.studio.runs.processes_lab import draw_steps, run_script, torchrun
from bert_tutorial.studio.runs.scaling import INSIDE, Machines, bert_seconds, plan_of
from bert_tutorial.studio.widgets.scaling_calculator import STARTS, ScalingCalculator

BASE = BERTConfig.base()


def sent_in_a_ring(N, numbers):
    """What each of N sends when gradients are passed on part by part, and how often all are sums.

    Slow and plain: process p holds {which processes' gradients are in part k of its own}.
    """
    held, sent = [[{p} for _ in range(N)] for p in range(N)], 0
    for turn in range(2 * (N - 1)):
        moves = [(p, (p - turn) % N, set(held[p][(p - turn) % N])) for p in range(N)]
        for p, k, content in moves:
            held[(p + 1) % N][k] |= content
        sent += numbers / N
    assert all(part == set(range(N)) for parts in held for part in parts)
    return sent


@pytest.mark.parametrize("N", [1, 2, 3, 8])
def test_a_ring_passes_what_the_formula_says(N):
    numbers = count_parameters(BASE)
    plan = plan_of(BASE, Machines(gpus=N))
    assert plan.sent == pytest.approx(4 * sent_in_a_ring(N, numbers))
    assert plan.sending == pytest.approx(plan.sent / INSIDE)


def test_computing_is_shared_and_the_slowest_link_sets_the_pace():
    one, many = plan_of(BASE, Machines(gpus=1)), plan_of(BASE, Machines(hosts=4, gbits=10))
    assert one.sending == 0 and one.rows == 256 and many.rows == 8
    assert one.seconds == pytest.approx(256 * flops_of(BASE, 512, 0.15) / 120e12)
    assert many.seconds - many.sending == pytest.approx(one.seconds / 32)
    assert many.sending == pytest.approx(many.sent / 1.25e9)  # 10 Gbit/s
    assert many.memory.total < one.memory.total
    # A GPU more than rows computes nothing, but sends.
    most = plan_of(BASE, Machines(hosts=64))
    assert most.seconds - most.sending == pytest.approx(one.seconds / 256)
    # Three share 256 rows as 86, 85 and 85, and wait for the first.
    assert plan_of(BASE, Machines(gpus=3)).rows == 86


def test_berts_own_training_is_mostly_short_rows():
    machines = Machines()
    seconds = bert_seconds(BASE, machines)
    short, long = (1e6 * plan_of(BASE, machines, 256, n).seconds for n in (128, 512))
    assert seconds == pytest.approx(0.9 * short + 0.1 * long)
    # 4 days on 16 chips, Devlin et al. 2019: each did some TFLOP/s.
    per_chip = 120 * bert_seconds(BASE, Machines(gpus=1)) / (4 * 86400) / 16
    assert 1 < per_chip < 45


@pytest.mark.parametrize("wrong", [{"hosts": 0}, {"gpus": 2.5}, {"tflops": -1.0}, {"gbits": "x"}])
def test_machines_that_cannot_be_are_refused_in_one_sentence(wrong):
    with pytest.raises(ValueError, match=f"^{next(iter(wrong))} is .*, but must be a ") as caught:
        Machines(**wrong)
    assert_one_sentence(str(caught.value))


# The sliders.


@pytest.fixture
def calculator():
    return ScalingCalculator()


def test_the_buttons_lead_from_a_laptop_to_many_machines(calculator):
    assert calculator.status.text.startswith("1 processor: a step of 256 rows takes 364 s.")
    assert "sending" not in calculator.status.text and "11.5 years" in calculator.status.text
    told = []
    for name in STARTS:
        calculator.starts.press(name)
        told.append(calculator.status.text)
        assert "alt=" in calculator.static_html() and told[-1][:40] in calculator.static_html()
    assert "8 GPUs: " in told[1] and "21.8 hours" in told[1]
    assert "64 hosts of 8 GPUs: " in told[2] and "256 of 512 have no row" in told[2]
    assert "97% is for sending" in told[2]


@pytest.mark.parametrize(
    ("control", "value"),
    [("device", "cpu"), ("hosts", 2), ("gpus", 16), ("tflops", 60.0), ("gbits", 400.0),
     ("rows", 8192), ("positions", 128), ("size", "large")],
)  # fmt: skip
def test_each_control_changes_picture_and_sentence(calculator, control, value):
    calculator.starts.press("64 hosts of 8 GPUs")
    png, said = calculator.picture.png, calculator.status.text
    (calculator.by_name | {"size": calculator.size})[control].value = value
    assert calculator.status.text != said
    assert calculator.picture.png != png or control == "device"


def test_a_step_that_does_not_fit_is_told_with_what_to_change(calculator):
    calculator.by_name["rows"].value = 65536
    assert "A GPU has" not in calculator.status.text  # of a laptop's memory nothing is said
    calculator.starts.press("One host, 8 GPUs")
    assert "A GPU has 80.0 GiB. Let 128 of a batch's 8192 rows" in calculator.status.text


# Programs of several processes.


def test_a_script_in_two_processes_shows_what_they_say():
    script = "import os; print(os.environ['RANK'], os.environ['OMP_NUM_THREADS'].isdecimal())"
    assert run_script(script) == "0 True\n1 True"
    with pytest.raises(ChildProcessError, match="ZeroDivisionError: division by zero") as caught:
        run_script("1 / 0")
    assert_one_sentence(str(caught.value))


def test_processes_end_with_the_block_whatever_happens_in_it(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import time\nprint('here', flush=True)\ntime.sleep(1000)\n")
    with pytest.raises(KeyboardInterrupt), torchrun([str(script)], tmp_path) as launcher:
        began = time.monotonic()
        while (tmp_path / "said.txt").read_text().count("here") < 2:
            assert time.monotonic() < began + PATIENCE
            time.sleep(0.05)
        started = psutil.Process(launcher.pid).children()
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(PATIENCE)
    assert launcher.poll() is not None and len(started) >= 2
    until(lambda: not any(each.is_running() for each in started))


def test_the_picture_of_a_run_has_a_line_only_where_a_process_was_killed():
    seen = [(0.0, 0), (1.0, 5), (2.0, 3)]
    assert draw_steps(seen, None) != draw_steps(seen, 1.0)


def test_gpus_can_be_left_alone(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert len(try_all_gpus()) == 2
    monkeypatch.setenv("BERT_TUTORIAL_DEVICE", "cpu")
    assert [device.type for device in try_all_gpus()] == ["cpu"]
