"""Devices and number formats."""

import threading

import pytest
import torch

from bert_tutorial.devices import one_thread, pick_dtype, try_all_gpus

CPU = torch.device("cpu")


@pytest.mark.parametrize("can", [(True, False), (False, True), (False, False), None])
def test_bfloat16_where_it_is_fast(monkeypatch, can):
    for i, name in enumerate(("_is_avx512_bf16_supported", "_is_amx_tile_supported")):
        if can is None:  # another PyTorch cannot tell
            monkeypatch.delattr(torch.cpu, name, raising=False)
        else:
            monkeypatch.setattr(torch.cpu, name, lambda i=i: can[i], raising=False)
    assert pick_dtype("auto", CPU) is (torch.bfloat16 if any(can or ()) else torch.float32)
    assert (pick_dtype("bf16", CPU), pick_dtype("fp32", CPU)) == (torch.bfloat16, torch.float32)
    assert pick_dtype("auto", torch.device("mps")) is torch.float32
    emulates = lambda including_emulation=True: including_emulation  # noqa: E731  an older GPU
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", emulates)
    assert pick_dtype("auto", torch.device("cuda")) is torch.float32


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
    seen, barrier = [], threading.Barrier(2, timeout=20)

    def trains():
        seen.append(torch.get_num_threads())
        barrier.wait()
        barrier.wait()
        seen.append(torch.get_num_threads())

    other = threading.Thread(target=trains)
    other.start()
    barrier.wait()
    with pytest.raises(ValueError), one_thread():
        assert torch.get_num_threads() == 1
        barrier.wait()
        other.join()
        raise ValueError
    assert torch.get_num_threads() == 2 and seen == [2, 2]
