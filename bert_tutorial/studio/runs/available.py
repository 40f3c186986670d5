"""How much memory there is: of a GPU, of this machine, or of the container that this runs in."""

import ctypes
import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import torch


def available_memory(device: torch.device | str = "cpu", root: Path = Path("/")) -> int | None:
    """Bytes that a program can still take, or None if that is not known.

    Args:
        device: A GPU has memory of its own.
        root: Where `proc` and `sys` are.
    """
    device = torch.device(device)
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept  # PyTorch keeps what it has freed
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    rooms = [*meminfo_room(root), *cgroup_room(root)]
    return min(rooms) if rooms else memory_by_sysconf()


def meminfo_room(root: Path) -> Iterator[int]:
    """What Linux says is available, if this is Linux."""
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
        yield next(1024 * int(x.split()[1]) for x in lines if x.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError, IndexError):
        return


def cgroup_room(root: Path) -> Iterator[int]:
    """What is left within each limit that a container sets, of cgroups version 1 or 2."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / ("memory" if controllers else "")
        limit, used, files = (
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            if controllers
            else ("memory.max", "memory.current", "inactive_file")
        )
        here = top / path.lstrip("/")
        for folder in (here, *here.parents):
            try:
                most, now = (int((folder / name).read_text()) for name in (limit, used))
                about = dict(x.split() for x in (folder / "memory.stat").read_text().splitlines())
                # What was read from files can be dropped. For no limit version 1 has a huge number.
                if most < 2**60:
                    yield max(0, most - now + int(about.get(files, 0)))
            except (OSError, ValueError):
                pass  # no such file, or no limit: "max"
            if folder == top:
                break


def memory_by_sysconf() -> int | None:
    """Free memory, or all of it, where the system tells; Windows does not."""
    for name in ("SC_AVPHYS_PAGES", "SC_PHYS_PAGES"):
        try:
            pages, size = os.sysconf(name), os.sysconf("SC_PAGE_SIZE")
        except (AttributeError, ValueError, OSError):
            continue
        if pages > 0 and size > 0:
            return pages * size
    return None


def give_back_freed() -> None:
    """Give back what this program has freed: glibc keeps it, so it does not count as available."""
    gc.collect()
    if sys.platform.startswith("linux"):
        try:
            ctypes.CDLL("libc.so.6").malloc_trim(0)
        except (OSError, AttributeError):
            pass  # another C library
