"""Devices and number formats."""

import threading

import pytest
import torch

from bert_tutorial.devices import one_thread, pick_dtype, try_all_gpus


@pytest.mark.parametrize(
    ("avx512", "amx", "wanted"),
    [(True, False, torch.bfloat16), (False, True, torch.bfloat16), (False, False, torch.float32)],
)
def test_bfloat16_where_the_processor_has_it(monkeypatch, avx512, amx, wanted):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    cpu = torch.device("cpu")
    assert pick_dtype("auto", cpu) is wanted
    assert (pick_dtype("bf16", cpu), pick_dtype("fp32", cpu)) == (torch.bfloat16, torch.float32)
    assert pick_dtype("auto", torch.device("mps")) is torch.float32
    # An older GPU emulates it, which is slow.
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda **how: how.get("including_emulation", True)
    )
    assert pick_dtype("auto", torch.device("cuda")) is torch.float32
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.delattr(torch.cpu, name)  # another PyTorch cannot tell
    assert pick_dtype("auto", cpu) is torch.float32


@pytest.mark.parametrize(
    ("cuda", "mps", "wanted"),
    [(2, True, ["cuda:0", "cuda:1"]), (0, True, ["mps"]), (0, False, ["cpu"])],
)
def test_all_gpus_or_the_cpu(monkeypatch, cuda, mps, wanted):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert try_all_gpus() == [torch.device(name) for name in wanted]


def test_one_thread_computes_alone_and_others_keep_theirs():
    torch.set_num_threads(2)
    seen, ready, ask = [], threading.Event(), threading.Event()

    def trains():
        seen.append(torch.get_num_threads())
        ready.set()
        assert ask.wait(20)
        seen.append(torch.get_num_threads())

    other = threading.Thread(target=trains)
    other.start()
    assert ready.wait(20)
    with pytest.raises(ValueError), one_thread():
        assert torch.get_num_threads() == 1
        ask.set()
        other.join()
        raise ValueError
    assert torch.get_num_threads() == 2 and seen == [2, 2]
