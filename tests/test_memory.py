"""The estimate of a step's memory, against steps that are measured."""

import pytest
import torch
from small import assert_identical

from bert_tutorial.exercises import memory
from bert_tutorial.exercises.memory import (
    GIB,
    count_parameters,
    full_rows,
    measured_step,
    memory_of,
)
from bert_tutorial.exercises.memory_picture import describe_bars, memory_bars
from bert_tutorial.network.config import BERTConfig
from bert_tutorial.network.losses import pretraining_losses
from bert_tutorial.network.model import BERTModel
from bert_tutorial.pretraining import training
from bert_tutorial.pretraining.optimizers import make_optimizers
from bert_tutorial.pretraining.run import Settings

CLOSE = 0.05  # how far an estimate may be from what is measured, as a part of it
SMALL, BASE, LARGE = BERTConfig.small(5000), BERTConfig.base(), BERTConfig.large()
MIDDLE = BERTConfig(
    vocab_size=4000, num_hiddens=192, ffn_num_hiddens=768, num_heads=3, num_layers=4, dropout=0.1
)
NO_DROPOUT = BERTConfig(vocab_size=2000, num_heads=4, num_layers=3, dropout=0.0)
WIDE = BERTConfig.large(num_layers=3)
GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU of NVIDIA's")


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("config", "length", "rows", "parts", "optimizer", "device"),
    [
        (SMALL, 64, 64, 1, "muon", "cpu"),
        (MIDDLE, 256, 4, 1, "muon", "cpu"),
        (MIDDLE, 128, 8, 2, "adam", "cpu"),
        (BERTConfig.small(30_000), 32, 8, 1, "adam", "cpu"),
        (NO_DROPOUT, 512, 4, 4, "muon", "cpu"),
        pytest.param(BASE, 512, 1, 1, "adam", "cpu", marks=pytest.mark.nightly),
        pytest.param(WIDE, 512, 2, 1, "adam", "cpu", marks=pytest.mark.nightly),
        pytest.param(WIDE, 32, 8, 1, "adam", "cpu", marks=pytest.mark.nightly),
        pytest.param(MIDDLE, 256, 64, 1, "adam", "cuda", marks=GPU),
        pytest.param(BASE, 256, 8, 1, "muon", "cuda", marks=GPU),
    ],
)
def test_estimates_are_near_what_is_measured(
    config, length, rows, parts, optimizer, device, precision, checkpointing, monkeypatch
):
    for module in (training, memory):
        monkeypatch.setattr(module, "rows_at_once", lambda *_: rows // parts)
    how = dict(precision=precision, checkpointing=checkpointing, optimizer=optimizer)
    found = measured_step(config, length, rows, device, **how)
    close = CLOSE if device == "cpu" else 3 * CLOSE
    assert abs(found.estimate.total / found.peak - 1) < close, (str(found.estimate), found.peak)


@pytest.mark.parametrize("config", [SMALL, LARGE, BERTConfig.small(77, max_len=9)])
def test_parameters_are_counted_right(config):
    with torch.device("meta"):
        net = BERTModel.from_config(config)
    assert count_parameters(config) == sum(p.numel() for p in net.parameters())
    muon, _ = make_optimizers(net, Settings())
    inside = sum(p.numel() for group in muon.param_groups for p in group["params"])
    averages, _ = memory.of_optimizer(config, "muon", "cpu")
    assert averages == 4 * (2 * count_parameters(config) - inside)


def test_attention_grows_with_the_square_of_the_length():
    short, long = (memory_of(BASE, 8, length, rows=8) for length in (256, 512))
    rest = [m.activations - m.quadratic for m in (short, long)]
    assert 3.9 < long.quadratic / short.quadratic < 4.1 and 1.8 < rest[1] / rest[0] < 2.1
    # Three numbers for each weight of 12 layers, the last with queries of 77 slots and <cls>.
    assert long.quadratic == 3 * 4 * 8 * 12 * 512 * (11 * 512 + 78)
    one_layer = memory_of(BASE, 8, 512, rows=8, checkpointing=True).quadratic
    assert one_layer == 3 * 4 * 8 * 12 * 512 * 512


def test_what_saves_memory_saves_memory():
    plain = memory_of(LARGE, 8, 512, rows=8)
    assert plain.total == sum(plain.parts().values()) and "parameters 1.3 GiB" in str(plain)
    for change in ({"rows": 2}, {"checkpointing": True}, {"precision": "bf16"}):
        assert memory_of(LARGE, 8, 512, **{"rows": 8} | change).total < 0.75 * plain.total
    assert memory_of(SMALL, 8, 64, sampled_words=500).total < memory_of(SMALL, 8, 64).total


@pytest.mark.parametrize(
    ("name", "value"),
    [("batch_size", 2.5), ("length", -5), ("slots", -1), ("rows", 0), ("precision", "fp8"),
     ("optimizer", "sgd")],
)  # fmt: skip
def test_what_cannot_be_is_told_in_one_sentence(name, value):
    with pytest.raises(ValueError, match=f"^{name} is {value!r}, but must be [^\n]+$"):
        memory_of(SMALL, **{"batch_size": 8, "length": 64, name: value})


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_checkpointing_changes_no_bit(dropout, precision):
    config = BERTConfig(vocab_size=50, num_hiddens=32, num_layers=3, max_len=24, dropout=dropout)
    batch = full_rows(config, 4, 24).batch_at(0)
    assert batch.token_ids.shape == (4, 24) and batch.valid_lens.tolist() == [24] * 4
    batch, found = batch._replace(valid_lens=torch.tensor([24, 20, 9, 24])), []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        net = BERTModel.from_config(config)
        net.encoder.checkpointing = checkpointing
        losses = pretraining_losses(net, batch, precision)
        sum(losses).backward()
        found.append([*losses, torch.random.get_rng_state(), *(p.grad for p in net.parameters())])
        with torch.no_grad():
            found[-1] += [net.eval().encoder(batch.token_ids, batch.segments, None)]
    assert_identical(*found)


def test_bars_of_all_sizes():
    makers = {"small": BERTConfig.small(30_522), "base": BASE, "large": LARGE}
    memories = {name: memory_of(config, 8, 512) for name, config in makers.items()}
    pngs = [memory_bars(memories, there, "sizes") for there in (None, GIB, 10_000 * GIB)]
    assert len(set(pngs)) == 3 and all(png.startswith(b"\x89PNG") for png in pngs)
    words = describe_bars(memories, 8 * GIB)
    assert all(name in words for name in memories) and "Free are 8.0 GiB." in words
