"""The estimates of a step's memory, against measured steps; and what to do where it is too much."""

import subprocess
import sys
import time

import pytest
import torch
from small import assert_identical, small_net, some_examples
from torch.testing import assert_close

from bert_tutorial.exercises import memory
from bert_tutorial.exercises.memory import (
    GIB,
    Format,
    count_parameters,
    kept_by_layer,
    memory_of,
    sizes_of,
)
from bert_tutorial.exercises.one_step import measured_step, random_batch
from bert_tutorial.network.config import BERTConfig
from bert_tutorial.network.encoder import BERTEncoder
from bert_tutorial.network.losses import pretraining_losses
from bert_tutorial.network.model import BERTModel
from bert_tutorial.pretraining import training
from bert_tutorial.pretraining.optimizers import make_optimizers
from bert_tutorial.pretraining.settings import Settings
from bert_tutorial.studio.runs import available
from bert_tutorial.studio.runs.available import available_memory
from bert_tutorial.studio.runs.fits import check_fits, longest_row, nearest_that_fits

CLOSE = 0.15  # how far an estimate may be from what is measured, as a part of it
SMALL = BERTConfig.small(5000)
MIDDLE = BERTConfig(
    vocab_size=4000, num_hiddens=192, ffn_num_hiddens=768, num_heads=3, num_layers=4, dropout=0.1
)
NO_DROPOUT = BERTConfig(vocab_size=2000, num_heads=4, num_layers=3, dropout=0.0)
BASE = BERTConfig.base()
WIDE = BERTConfig.base(8000, num_hiddens=384, ffn_num_hiddens=1536, num_layers=2)
LARGE = BERTConfig.large()


def case(config, length, rows, precision="fp32", checkpointing=False, optimizer="muon", parts=1):
    how = dict(precision=precision, checkpointing=checkpointing, optimizer=optimizer)
    name = f"{config.num_layers}x{config.num_hiddens}-{length}-{rows}-{precision}-{optimizer}"
    name += "-checkpointing" * checkpointing + f"-{parts}" * (parts > 1)
    return pytest.param(config, length, rows, how, parts, id=name)


@pytest.mark.parametrize(
    ("config", "length", "rows", "how", "parts"),
    [
        *(case(SMALL, 64, 64, p, c) for p in ("fp32", "bf16") for c in (False, True)),
        *(case(MIDDLE, 256, 4, p, c) for p in ("fp32", "bf16") for c in (False, True)),
        *(case(MIDDLE, 128, 8, p, c, "adam", 2) for p in ("fp32", "bf16") for c in (False, True)),
        case(SMALL, 512, 4, "fp32"),
        case(SMALL, 512, 4, "bf16", parts=4),
        case(NO_DROPOUT, 256, 4, "fp32"),
        case(NO_DROPOUT, 256, 4, "bf16"),
        case(NO_DROPOUT, 256, 4, "fp32", True),
        case(WIDE, 128, 2, "fp32"),
        case(BASE, 512, 1, "bf16", True, "adam"),
    ],
)
def test_estimates_are_near_what_is_measured(config, length, rows, how, parts, monkeypatch):
    for module in (training, memory):
        monkeypatch.setattr(module, "rows_at_once", lambda *_: rows // parts)
    found = measured_step(config, length, rows, **how)
    assert abs(found.estimate.total / found.peak - 1) < CLOSE, (str(found.estimate), found.peak)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU of NVIDIA's")
@pytest.mark.parametrize("optimizer", ["muon", "adam"])
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(("config", "rows"), [(MIDDLE, 64), (BASE, 8)])
def test_estimates_hold_on_a_gpu(config, rows, precision, checkpointing, optimizer):
    found = measured_step(config, 256, rows, checkpointing, precision, optimizer, "cuda")
    assert abs(found.estimate.total / found.peak - 1) < CLOSE, (str(found.estimate), found.peak)


RSS = """
from pathlib import Path
import torch
from bert_tutorial.exercises.one_step import take_step
from bert_tutorial.network.config import BERTConfig

def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(name))

torch.set_num_threads(1)
take_step(BERTConfig.small(100), 16, 2, precision="bf16")  # loads what PyTorch loads late
before = status("VmRSS")
take_step(BERTConfig.base(), 128, 2, precision="bf16", optimizer="adam")
print(status("VmHWM") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says it there")
def test_the_system_sees_as_much():
    # Not getrusage: what it says of a new process begins with the size of its parent.
    ended = subprocess.run([sys.executable, "-c", RSS], capture_output=True, text=True, check=True)
    estimate = memory_of(BASE, 2, 128, precision="bf16", optimizer="adam")
    assert abs(estimate.total / int(ended.stdout) - 1) < CLOSE, (str(estimate), ended.stdout)


@pytest.mark.parametrize(
    "config", [SMALL, MIDDLE, WIDE, BERTConfig.small(77, ffn_num_hiddens=128, max_len=9)]
)
def test_parameters_are_counted_right(config):
    assert sizes_of(config).parameters == count_parameters(config)
    net = BERTModel.from_config(config)
    muon, _ = make_optimizers(net, Settings())
    sizes = sizes_of(config)
    assert sizes.inside == sum(p.numel() for g in muon.param_groups for p in g["params"])
    numbers = 2 * sizes.parameters - sizes.inside
    assert memory_of(config, 256, 64).optimizer >= 4 * numbers
    assert sizes.table == net.encoder.embeddings.token.weight.numel()


def test_published_sizes_have_their_parameters():
    assert count_parameters(LARGE) == sizes_of(LARGE).parameters
    assert round(sizes_of(BASE).parameters, -6) == 110_000_000
    assert round(sizes_of(LARGE).parameters, -6) == 336_000_000


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_bert_large_keeps_what_the_formula_says(dropout):
    """Without its memory: on the meta device, where autograd keeps shapes."""
    config, rows, length = BERTConfig.large(dropout=dropout), 4, 512
    with torch.device("meta"):
        block = BERTEncoder(BERTConfig.large(dropout=dropout, num_layers=1)).blocks[0]
        x = torch.empty(rows, length, config.num_hiddens, requires_grad=True)
        padding = torch.zeros(rows, 1, 1, length)
    weights = {p.untyped_storage()._cdata for p in block.parameters()}
    kept = {}
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: kept.setdefault(t.untyped_storage()._cdata, t.untyped_storage()) and t,
        lambda t: t,
    ):
        block(x, x, padding)
    measured = sum(s.nbytes() for key, s in kept.items() if key not in weights)
    formula = kept_by_layer(config, rows, length, length, Format.of("fp32", "cpu"))
    assert_close(measured, formula.rest + formula.quadratic, rtol=0.001, atol=0)


def test_attention_grows_with_the_square_of_the_length():
    short, long = (memory_of(BASE, 8, length, rows=8) for length in (256, 512))
    assert 3.9 < long.quadratic / short.quadratic < 4.1
    rest = [m.activations - m.quadratic for m in (short, long)]
    assert 1.8 < rest[1] / rest[0] < 2.1
    assert 0.4 < long.quadratic / long.activations < 0.7


def test_what_saves_memory_saves_memory():
    plain = memory_of(LARGE, 8, 512, rows=8)
    assert plain.total == sum(plain.parts().values()) and plain.quadratic < plain.activations
    assert "parameters 1.3 GiB" in str(plain)
    for change in ({"rows": 2}, {"checkpointing": True}, {"precision": "bf16"}):
        assert memory_of(LARGE, 8, 512, **{"rows": 8} | change).total < 0.75 * plain.total


# Checkpointing.


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_checkpointing_changes_no_bit(dropout, precision):
    config = BERTConfig(vocab_size=50, num_hiddens=32, num_layers=3, max_len=24, dropout=dropout)
    batch = random_batch(config, 4, 24, 4, torch.Generator().manual_seed(0))
    batch = batch._replace(valid_lens=torch.tensor([24, 20, 9, 24]))
    found = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        net = BERTModel.from_config(config)
        net.encoder.checkpointing = checkpointing
        mlm, nsp = pretraining_losses(net, batch, precision)
        (mlm + nsp).backward()
        state = torch.random.get_rng_state()
        found.append((mlm, nsp, state, [p.grad for p in net.parameters()]))
        assert "checkpointing" not in str(net.state_dict().keys())
    assert_identical(*found)


def test_layers_give_the_same_with_checkpointing():
    net = BERTModel.from_config(BERTConfig(vocab_size=50, num_hiddens=32, max_len=24)).eval()
    ids, segments = torch.randint(50, (2, 24)), torch.zeros(2, 24, dtype=torch.long)
    plain = list(net.encoder.layers(ids, segments, None))
    net.encoder.checkpointing = True
    assert_identical(list(net.encoder.layers(ids, segments, None)), plain)
    with torch.no_grad():
        assert_identical(net.encoder(ids, segments, None), plain[-1][0])


# What to change.


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("gib", [8, 16, 24, 80])
def test_bert_large_can_be_made_to_fit(gib, device):
    found = nearest_that_fits(LARGE, 256, 512, gib * GIB, rows=64, device=device)
    if not found[0].settings:
        assert memory_of(LARGE, 256, 512, rows=64, device=device).total <= gib * GIB
    for settings, estimate, sentence in found:
        how = dict(rows=64, device=device) | settings
        assert memory_of(LARGE, 256, 512, **how) == estimate and estimate.total <= gib * GIB
        assert sentence.endswith("iB.") and "\n" not in sentence
    assert list(found[0].settings) == ["rows"]  # which loses nothing
    assert {"checkpointing"} <= set(found[1].settings)


def test_only_where_nothing_else_helps_something_is_lost():
    (found,) = nearest_that_fits(LARGE, 256, 512, 4 * GIB)
    assert found.settings["num_layers"] > 6 and "fewer layers" in found.sentence
    fewer = BERTConfig.large(num_layers=2)
    how = dict(precision="bf16", checkpointing=True, optimizer="adam")
    need = memory_of(fewer, 256, 512, rows=1, **how).total
    (shorter,) = nearest_that_fits(fewer, 256, 512, need - 1, **how)
    assert shorter.settings["length"] in (32, 64, 128, 256)
    assert nearest_that_fits(LARGE, 256, 512, GIB // 8) == []
    (as_it_is,) = nearest_that_fits(SMALL, 256, 512, 8 * GIB)
    assert as_it_is.settings == {} and as_it_is.sentence.startswith("It fits")


def test_a_training_that_does_not_fit_is_refused():
    examples = some_examples()
    net = small_net(examples)
    recipe = Settings(num_steps=1, precision="fp32")
    began = time.perf_counter()
    check_fits(net, examples, recipe)
    check_fits(net, examples, recipe)
    assert time.perf_counter() - began < 0.05
    need = memory_of(
        net.config, 16, longest_row(examples), slots=longest_row(examples) * 15 // 100 + 1
    )
    check_fits(net, examples, recipe, need.total)  # never what fits
    with pytest.raises(MemoryError, match=r"would take \d.* MiB .*but there are .*: take smaller"):
        check_fits(net, examples, recipe, need.total * 2 // 3 - need.parameters)
    with pytest.raises(MemoryError, match="even one layer and one short row do not fit$"):
        check_fits(net, examples, recipe, 1)


def test_short_texts_are_not_taken_for_long_ones():
    examples = some_examples()
    examples.max_len = 512
    assert longest_row(examples) == -(-int(max(b.valid_lens.max() for b in examples)) // 8) * 8
    net = small_net(examples, max_len=512)
    long, short = (memory_of(net.config, 16, length).total for length in (512, 48))
    check_fits(net, examples, Settings(num_steps=1), (long + short) // 2)


# How much there is.


def test_this_machine_has_memory():
    there = available_memory()
    assert there is None or there > 10 * 2**20


FILES = {
    "proc/meminfo": "MemTotal: 9000 kB\nMemFree: 100 kB\nMemAvailable: 8000 kB\n",
    "proc/self/cgroup": "5:cpu,cpuacct:/a\n4:memory:/a/b\n0::/a/b\n",
}
VERSION_1 = {
    "memory/a/memory.limit_in_bytes": "5000000\n",
    "memory/a/memory.usage_in_bytes": "3000000\n",
    "memory/a/memory.stat": "cache 7\ntotal_inactive_file 1000000\n",
    "memory/memory.limit_in_bytes": "9223372036854771712\n",
    "memory/memory.usage_in_bytes": "3000000\n",
    "memory/memory.stat": "",
}
VERSION_2 = {
    "a/b/memory.max": "max\n",
    "a/b/memory.current": "10\n",
    "a/b/memory.stat": "inactive_file 0\n",
    "a/memory.max": "4000000\n",
    "a/memory.current": "3500000\n",
    "a/memory.stat": "inactive_file 1000\n",
}


@pytest.mark.parametrize(
    ("cgroups", "room"), [({}, 8_192_000), (VERSION_1, 3_000_000), (VERSION_2, 501_000)]
)
def test_a_container_may_have_less(cgroups, room, tmp_path):
    for name, text in (FILES | {f"sys/fs/cgroup/{k}": v for k, v in cgroups.items()}).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert available_memory("cpu", tmp_path) == room


def test_where_the_system_does_not_tell_nothing_is_refused(tmp_path, monkeypatch):
    monkeypatch.delattr(available.os, "sysconf")  # as on Windows
    assert available_memory("cpu", tmp_path) is None
    monkeypatch.setattr("bert_tutorial.studio.runs.fits.available_memory", lambda _: None)
    examples = some_examples()
    check_fits(small_net(examples), examples, Settings(num_steps=1))
