"""One run shared by several processes.

Each takes some rows of every batch, and gradients are added up. The words are PyTorch's: a process
has a *rank*, and all together are *world_size* many.
"""

import os
from typing import NamedTuple

import torch
from torch import Tensor

from ..text.examples import Batch


class Processes(NamedTuple):
    """Which of how many processes this is; alone by default."""

    rank: int = 0
    world_size: int = 1

    def rows(self, batch: Batch) -> Batch:
        """The rows of a batch that this process takes."""
        return Batch(*(field[self.rank :: self.world_size] for field in batch))

    def add_up(self, *tensors: Tensor) -> None:
        """Replace each tensor by its sum over all processes."""
        if self.world_size > 1:
            for tensor in tensors:
                torch.distributed.all_reduce(tensor)

    def leave(self) -> None:
        """Say goodbye to the other processes."""
        if self.world_size > 1:
            torch.distributed.destroy_process_group()


ALONE = Processes()


def join_processes(device: torch.device) -> Processes:
    """Meet the other processes that torchrun has started, if it has.

    Args:
        device: Where this process computes.
    """
    rank, world_size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if world_size > 1:
        torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Processes(rank, world_size)


def own_device(devices: list[torch.device]) -> torch.device:
    """The device of this process: under torchrun each process of a machine has a GPU of its own."""
    return devices[int(os.environ.get("LOCAL_RANK", 0)) if devices[0].type == "cuda" else 0]
