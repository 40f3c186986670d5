"""What computes: devices, number formats, memory, and the machine in one line."""

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch


def try_all_gpus() -> list[torch.device]:
    """d2l's function: all GPUs, or [the CPU] where there is none; Apple's GPU counts.

    With BERT_TUTORIAL_DEVICE=cpu in the environment it names the CPU only.
    """
    if os.environ.get("BERT_TUTORIAL_DEVICE") == "cpu":
        return [torch.device("cpu")]
    if torch.cuda.is_available():
        return [torch.device("cuda", i) for i in range(torch.cuda.device_count())]
    return [torch.device("mps" if torch.backends.mps.is_available() else "cpu")]


def pick_dtype(precision: str, device: torch.device) -> torch.dtype:
    """The format of matrix products: "bf16", "fp32", or "auto": bf16 where it is fast."""
    if precision == "auto":
        if device.type == "cuda":
            fast = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
            fast = device.type == "cpu" and any(getattr(torch.cpu, c, bool)() for c in checks)
        precision = "bf16" if fast else "fp32"
    return torch.bfloat16 if precision == "bf16" else torch.float32


def keep_memory() -> None:
    """Tell glibc's allocator to keep freed memory for the next step.

    Otherwise the kernel spends a large part of each step on clearing pages.
    """
    trim_threshold, top_pad, mmap_threshold, arena_max = -1, -2, -3, -8  # glibc's malloc.h
    with suppress(OSError, AttributeError):  # another system, or another C library
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        mallopt(mmap_threshold, 32 * 2**20)
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(top_pad, 64 * 2**20)
        mallopt(arena_max, 1)


def machine(device: torch.device) -> str:
    """What computes, in one line: processor (and GPU), threads, system, versions."""
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
        about = {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
        # One name can stand for processors of several generations, whose speeds differ twofold.
        name = f"{about['model name']} (family {about['cpu family']}, model {about['model']})"
    except (OSError, KeyError):
        name = platform.processor() or platform.machine()
    if device.type == "cuda":
        name = f"{torch.cuda.get_device_name(device)}, host {name}"
    return (
        f"{name}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}, "
        f"{platform.system()}, Python {platform.python_version()}, PyTorch {torch.__version__}"
    )


@contextmanager
def one_thread() -> Iterator[None]:
    """Let this thread compute alone: on small tensors, several would mostly wait for one another.

    Other Python threads that compute already, such as one that trains, keep theirs.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
