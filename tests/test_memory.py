"""The estimate of a step's memory: against steps that are measured, and against steps counted."""

import weakref

import pytest
import torch
from small import assert_identical
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bert_tutorial.exercises import memory
from bert_tutorial.exercises.memory import GIB, count_parameters, memory_of, slots_of
from bert_tutorial.exercises.memory_picture import describe_bars, memory_bars
from bert_tutorial.exercises.one_step import full_rows, measured_step
from bert_tutorial.network.config import BERTConfig
from bert_tutorial.network.losses import pretraining_losses
from bert_tutorial.network.model import BERTModel
from bert_tutorial.pretraining import training
from bert_tutorial.pretraining.optimizers import make_optimizers
from bert_tutorial.pretraining.run import Settings
from bert_tutorial.text.examples import Batch

CLOSE = 0.05  # how far an estimate may be from what is measured, as a part of it
SMALL = BERTConfig.small(5000)
MIDDLE = BERTConfig(
    vocab_size=4000, num_hiddens=192, ffn_num_hiddens=768, num_heads=3, num_layers=4, dropout=0.1
)
NO_DROPOUT = BERTConfig(vocab_size=2000, num_heads=4, num_layers=3, dropout=0.0)
BASE, LARGE = BERTConfig.base(), BERTConfig.large()
GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU of NVIDIA's")


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("config", "length", "rows", "parts", "optimizer", "device"),
    [
        (SMALL, 64, 64, 1, "muon", "cpu"),
        (MIDDLE, 256, 4, 1, "muon", "cpu"),
        (MIDDLE, 128, 8, 2, "adam", "cpu"),
        (NO_DROPOUT, 512, 4, 4, "muon", "cpu"),
        pytest.param(BASE, 512, 1, 1, "adam", "cpu", marks=pytest.mark.nightly),
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


class Count(TorchDispatchMode):
    """Counts the bytes of all tensors; with `FakeTensorMode` none of them has contents."""

    def __init__(self):
        super().__init__()
        self.now = self.peak = 0
        self.storages = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is torch.ops.aten._local_scalar_dense.default:
            return 1.0
        is_mask = [x.dtype == torch.bool for x in tree_leaves(args[1:2]) if torch.is_tensor(x)]
        if function is torch.ops.aten.index.Tensor and any(is_mask):  # as if all slots were real
            (mask,) = args[1]
            found = args[0].new_empty(mask.numel(), *args[0].shape[mask.dim() :])
        elif "index_put" in str(function) and any(is_mask):
            found = args[0]
        else:
            found = function(*args, **kwargs or {})
        for storage in (x.untyped_storage() for x in tree_leaves(found) if torch.is_tensor(x)):
            if storage._cdata not in self.storages:
                self.storages.add(storage._cdata)
                weakref.finalize(storage, self.freed, storage._cdata, storage.nbytes())
                self.now += storage.nbytes()
                self.peak = max(self.peak, self.now)
        return found

    def freed(self, key, size):
        self.storages.remove(key)
        self.now -= size


def counted_step(config, length, rows, checkpointing, optimizer):
    """Bytes at the fullest moment of a step in fp32 whose tensors have shapes and no contents."""
    slots = slots_of(length)
    with FakeTensorMode(), Count() as count:
        net = BERTModel.from_config(config).train()
        net.encoder.checkpointing = checkpointing
        optimizers = make_optimizers(net, Settings(optimizer=optimizer))
        for parameter in net.parameters():
            parameter.grad = torch.empty_like(parameter)
        for each in optimizers:  # makes the averages
            each.step()
        net.zero_grad()
        del parameter
        count.peak = count.now
        ids, few = torch.zeros(rows, length).long(), torch.zeros(rows, slots).long()
        batch = Batch(ids, ids, ids[:, 0], few, few.float(), few, ids[:, 0])
        sum(pretraining_losses(net, batch)).backward()
        for each in optimizers:
            each.step()
    return count.peak


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize(
    ("config", "length", "rows", "optimizer"),
    [
        (SMALL, 64, 256, "muon"),
        (MIDDLE, 512, 8, "adam"),
        (BERTConfig.base(num_layers=2), 128, 256, "muon"),
        *((BERTConfig.large(num_layers=3), *sizes, "adam") for sizes in ((512, 32), (32, 8))),
        *(
            pytest.param(LARGE, *sizes, marks=pytest.mark.nightly)
            for sizes in ((512, 32, "muon"), (512, 2, "adam"), (32, 8, "muon"))
        ),
    ],
)
def test_estimates_are_near_what_is_counted_without_storing_anything(
    config, length, rows, optimizer, checkpointing
):
    how = dict(checkpointing=checkpointing, optimizer=optimizer)
    estimate = memory_of(config, rows, length, rows=rows, **how)
    assert abs(estimate.total / counted_step(config, length, rows, **how) - 1) < CLOSE


@pytest.mark.parametrize(
    "config", [SMALL, MIDDLE, BASE, LARGE, BERTConfig.small(77, ffn_num_hiddens=128, max_len=9)]
)
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
    assert 3.9 < long.quadratic / short.quadratic < 4.1
    rest = [m.activations - m.quadratic for m in (short, long)]
    assert 1.8 < rest[1] / rest[0] < 2.1
    # Three numbers for each weight of 12 layers, the last with queries of 77 slots and <cls>.
    assert long.quadratic == 3 * 4 * 8 * 12 * 512 * (11 * 512 + 78)
    one_layer = memory_of(BASE, 8, 512, rows=8, checkpointing=True).quadratic
    assert one_layer == 3 * 4 * 8 * 12 * 512 * 512


def test_what_saves_memory_saves_memory():
    plain = memory_of(LARGE, 8, 512, rows=8)
    assert plain.total == sum(plain.parts().values()) and plain.quadratic < plain.activations
    assert "parameters 1.3 GiB" in str(plain)
    for change in ({"rows": 2}, {"checkpointing": True}, {"precision": "bf16"}):
        assert memory_of(LARGE, 8, 512, **{"rows": 8} | change).total < 0.75 * plain.total
    assert memory_of(SMALL, 8, 64, sampled_words=500).total < memory_of(SMALL, 8, 64).total


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch_size", 0), ("batch_size", 2.5), ("length", -5), ("slots", -1), ("rows", 0),
        ("precision", "fp8"), ("optimizer", "sgd"),
    ],
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
    batch = batch._replace(valid_lens=torch.tensor([24, 20, 9, 24]))
    found = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        net = BERTModel.from_config(config)
        net.encoder.checkpointing = checkpointing
        losses = pretraining_losses(net, batch, precision)
        sum(losses).backward()
        found.append([*losses, torch.random.get_rng_state(), *(p.grad for p in net.parameters())])
        with torch.no_grad():
            found[-1] += [net.eval().encoder(batch.token_ids, batch.segments, None)]
        assert "checkpointing" not in str(net.state_dict().keys())
    assert_identical(*found)


def test_bars_of_all_sizes():
    makers = {"small": BERTConfig.small(30_522), "base": BASE, "large": LARGE}
    memories = {name: memory_of(config, 8, 512) for name, config in makers.items()}
    pngs = [memory_bars(memories, there, "sizes") for there in (None, GIB, 10_000 * GIB)]
    assert len(set(pngs)) == 3 and all(png.startswith(b"\x89PNG") for png in pngs)
    words = describe_bars(memories, 8 * GIB)
    assert all(name in words for name in memories) and "There is 8.0 GiB." in words
