"""One run shared by several processes of one machine.

Each takes some rows of every batch, and gradients are added up. The words are PyTorch's: a process
has a *rank*, and all together are *world_size* many.
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
    """Which of how many processes this is; alone by default."""

    rank: int = 0
    world_size: int = 1

    def rows(self, batch: Batch) -> Batch:
        """The rows of a batch that this process takes."""
        return Batch(*(field[self.rank :: self.world_size] for field in batch))

    def add_up(self, *tensors: Tensor) -> None:
        """Replace each tensor by its sum over all processes.

        Raises:
            ConnectionError: Another process has ended or stands still.
        """
        if self.world_size > 1:
            with waiting(self.rank, self.world_size):
                for tensor in tensors:
                    torch.distributed.all_reduce(tensor)

    def agree(self, what: str, value: object) -> None:
        """Check that all processes have the same value; gradients of different runs do not add up.

        Raises:
            ValueError: They have not.
            ConnectionError: Another process has ended or stands still.
        """
        if self.world_size > 1:
            values: list = [None] * self.world_size
            with waiting(self.rank, self.world_size):
                torch.distributed.all_gather_object(values, value)
            if any(other != values[0] for other in values):
                raise ValueError(
                    f"the processes of this run have different {what} ({values}): start all of "
                    "them with the same command"
                )

    def leave(self) -> None:
        """Say goodbye to the other processes."""
        if self.world_size > 1:
            torch.distributed.destroy_process_group()


ALONE = Processes()


def patience() -> float:
    """How many seconds a process waits for another; 300 unless the environment says otherwise.

    Five minutes are longer than anything that one process does alone during a run: it reads the
    text, and the first one writes the log and the checkpoints.

    Raises:
        ValueError: The environment holds no number of seconds.
    """
    said = os.environ.get(PATIENCE, "300")
    try:
        seconds = float(said)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds <= 10**6:
        raise ValueError(f"{PATIENCE} is {said!r}, but must be a number of seconds, 1 or more")
    return seconds


@contextlib.contextmanager
def waiting(rank: int, world_size: int) -> Iterator[None]:
    """Say in one sentence what it means when the other processes do not answer.

    Raises:
        ConnectionError: Another process has ended or stands still.
    """
    began = time.monotonic()
    try:
        yield
    except RuntimeError as error:
        waited = (
            f"waited {time.monotonic() - began:.0f} s for it, at most {patience():g} ({PATIENCE})"
        )
        # Without the place in PyTorch's source, which stands before, and its advice, after.
        reason = str(error).partition("\n")[0].split("] ", 1)[-1].split(". ")[0]
        raise ConnectionError(
            f"another process of this run has ended or stands still: process {rank} of "
            f"{world_size} {waited} and got: {reason}; end all of them, and start the same command "
            "again: it goes on from the last checkpoint"
        ) from error


def join_processes(device: torch.device) -> Processes:
    """Meet the other processes that torchrun has started, if it has.

    Args:
        device: Where this process computes.

    Raises:
        ValueError: The processes are spread over several machines.
        ConnectionError: Another process has ended, stands still, or never came.
    """
    rank, world_size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if world_size > int(os.environ.get("LOCAL_WORLD_SIZE", world_size)):
        raise ValueError(
            "this run is spread over several machines, which is not supported yet: each would look "
            "for the checkpoint on its own disk; start it on one machine, without --nnodes"
        )
    if world_size > 1:
        limit = timedelta(seconds=patience())
        backend = "nccl" if device.type == "cuda" else "gloo"
        with waiting(rank, world_size):
            torch.distributed.init_process_group(backend, timeout=limit)
    return Processes(rank, world_size)


def own_device(devices: list[torch.device]) -> torch.device:
    """The device of this process: under torchrun each process of a machine has a GPU of its own.

    Raises:
        ValueError: There are more processes than GPUs.
    """
    place = int(os.environ.get("LOCAL_RANK", 0)) if devices[0].type == "cuda" else 0
    if place >= len(devices):
        raise ValueError(
            f"there are more processes than GPUs: use --nproc-per-node {len(devices)} at most"
        )
    return devices[place]
