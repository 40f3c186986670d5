"""One run shared by several processes of one machine, which add their gradients up.

The words are PyTorch's: a process has a *rank*, and all together are *world_size* many.
"""

import contextlib
import os
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import NamedTuple

import torch
from torch import Tensor

from .text.examples import Batch

PATIENCE = "BERT_TUTORIAL_PATIENCE"  # in the environment: seconds to wait for another process


class Processes(NamedTuple):
    """Which of how many processes this is; alone by default.

    Each method raises `ConnectionError` if another process has ended or stands still.
    """

    rank: int = 0
    world_size: int = 1

    def rows(self, batch: Batch) -> Batch:
        """The rows of a batch that this process takes."""
        return Batch(*(field[self.rank :: self.world_size] for field in batch))

    def add_up(self, *tensors: Tensor) -> None:
        """Replace each tensor by its sum over all processes."""
        if self.world_size > 1:
            with self.waiting():
                for tensor in tensors:
                    torch.distributed.all_reduce(tensor)

    def agree(self, what: str, value: object) -> None:
        """Refuse different values: gradients of different runs do not add up."""
        values: list = [value] * self.world_size
        if self.world_size > 1:
            with self.waiting():
                torch.distributed.all_gather_object(values, value)
        if any(other != value for other in values):
            raise ValueError(
                f"the processes of this run have different {what} ({values}): start all of them "
                "with the same command"
            )

    def leave(self) -> None:
        """Say goodbye to the other processes."""
        if self.world_size > 1:
            torch.distributed.destroy_process_group()

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Say in one sentence what it means when the other processes do not answer."""
        began = time.monotonic()
        try:
            yield
        except RuntimeError as error:
            # Without the place in PyTorch's source, which stands before, and its advice, after.
            reason = str(error).partition("\n")[0].split("] ", 1)[-1].split(". ")[0]
            raise ConnectionError(
                "another process of this run has ended or stands still: process "
                f"{self.rank} of {self.world_size} waited {time.monotonic() - began:.0f} s for it, "
                f"at most {patience():g} ({PATIENCE}) and got: {reason}; end all of them, and "
                "start the same command again: it goes on from the last checkpoint"
            ) from error


ALONE = Processes()


def patience() -> float:
    """How many seconds a process waits for another."""
    said = os.environ.get(PATIENCE, "300")  # longer than what one does alone, such as checkpoints
    with contextlib.suppress(ValueError):
        if 1 <= (seconds := float(said)) <= 10**6:
            return seconds
    raise ValueError(f"{PATIENCE} is {said!r}, but must be a number of seconds, 1 or more")


def join_processes(device: torch.device) -> Processes:
    """Meet the other processes of this machine that torchrun has started, if it has."""
    said = [os.environ.get(name, "") for name in ("RANK", "WORLD_SIZE")]
    processes = Processes(*(int(x) if x.isdecimal() else -1 for x in said)) if any(said) else ALONE
    if not 0 <= processes.rank < processes.world_size:
        raise ValueError(
            f"the environment has RANK={said[0]} and WORLD_SIZE={said[1]}, but must have both, "
            "RANK below WORLD_SIZE, as torchrun sets them: unset them to train in one process"
        )
    if processes.world_size > int(os.environ.get("LOCAL_WORLD_SIZE", processes.world_size)):
        raise ValueError(
            "this run is spread over several machines, which is not supported yet: each would look "
            "for the checkpoint on its own disk; start it on one machine, without --nnodes"
        )
    if processes.world_size > 1:
        backend, limit = "nccl" if device.type == "cuda" else "gloo", timedelta(seconds=patience())
        with processes.waiting():
            torch.distributed.init_process_group(backend, timeout=limit)
    return processes


def own_device(devices: list[torch.device]) -> torch.device:
    """The device of this process: under torchrun each process of a machine has a GPU of its own."""
    place = int(os.environ.get("LOCAL_RANK", 0)) if devices[0].type == "cuda" else 0
    if place < len(devices):
        return devices[place]
    raise ValueError(
        f"there are more processes than GPUs: use --nproc-per-node {len(devices)} at most"
    )
