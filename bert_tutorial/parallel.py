"""One run shared by several processes, on one machine or on many, which add their gradients up.

The words are PyTorch's: a process has a *rank*, and all together are *world_size* many. One of
them, the *keeper*, alone reads and writes the run's files.
"""

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from datetime import timedelta
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, distributed, nn

from .text.examples import Batch

PATIENCE = "BERT_TUTORIAL_PATIENCE"  # in the environment: seconds to wait for another process
OWN_STORE = "TORCH_DISABLE_SHARE_RDZV_TCP_STORE"  # of torchrun: each start has a store of its own
BEAT = 1.0  # seconds between two signs of life of a process that works by itself
T = TypeVar("T")


class Processes(NamedTuple):
    """Which of how many processes this is; alone by default.

    Each method raises `ConnectionError` if another process has ended or stands still. All processes
    call the same methods in the same order.
    """

    rank: int = 0
    world_size: int = 1
    keeper: int = 0  # rank of the one that reads and writes

    @property
    def is_keeper(self) -> bool:
        """Whether this process reads and writes."""
        return self.rank == self.keeper

    def rows(self, batch: Batch) -> Batch:
        """The rows of a batch that this process takes; there may be none."""
        return Batch(*(field[self.rank :: self.world_size] for field in batch))

    def add_up(self, totals: Tensor, parameters: Iterable[nn.Parameter]) -> None:
        """Replace totals and gradients by their sums over all processes, in one call.

        A parameter that no process has a gradient for stays without one; a process that lacks it
        counts with zeros.
        """
        if self.world_size == 1:
            return
        trained = [p for p in parameters if p.requires_grad]
        has_one = torch.tensor([p.grad is not None for p in trained], device=totals.device)
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in trained]
        flat = torch.cat([t.flatten().float() for t in (totals, has_one, *grads)])
        with self.waiting():
            distributed.all_reduce(flat)
        sizes = [totals.numel(), len(trained), *(p.numel() for p in trained)]
        sums, has_one, *grads = flat.split(sizes)
        totals.copy_(sums.view_as(totals))
        for p, grad, is_there in zip(trained, grads, has_one.tolist(), strict=True):
            p.grad = grad.view_as(p) if is_there else None

    def work(self, do: Callable[[], T]) -> T:
        """Do something that may take long, while all processes show one another that they live.

        Otherwise they would wait for it as long as for one that stands still.
        """
        if self.world_size == 1:
            return do()
        found: Future[T] = Future()

        def attempt() -> None:
            try:
                found.set_result(do())
            except BaseException as error:
                found.set_exception(error)

        threading.Thread(target=attempt, daemon=True).start()
        at_work = 1
        while at_work:
            wait([found], BEAT)
            left = torch.tensor([not found.done(), found.done() and found.exception() is not None])
            with self.waiting():
                distributed.all_reduce(left := left.int())
            at_work, failed = left.tolist()
            if failed and not (found.done() and found.exception()):
                raise ConnectionError("another process could not go on: its own message says why")
            if failed:
                break
        return found.result()

    def share(self, content: bytes = b"") -> bytes:
        """The keeper's bytes, for all."""
        if self.world_size == 1:
            return content
        size = torch.tensor([len(content)])
        with self.waiting():
            distributed.broadcast(size, self.keeper)
            flat = bytearray(content if self.is_keeper else int(size))
            if flat:
                distributed.broadcast(torch.frombuffer(flat, dtype=torch.uint8), self.keeper)
        return bytes(flat)

    def gather(self, said: str) -> list[str]:
        """What each process says, by rank."""
        if self.world_size == 1:
            return [said]
        content = torch.frombuffer(bytearray(said.encode() or b" "), dtype=torch.uint8)
        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.world_size)]
        with self.waiting():
            distributed.all_gather(sizes, torch.tensor([len(content)]))
            longest = int(max(sizes))
            padded = nn.functional.pad(content, (0, longest - len(content)))
            rows = [torch.empty_like(padded) for _ in sizes]
            distributed.all_gather(rows, padded)
        return [bytes(row.tolist()).strip(b"\0 ").decode() for row in rows]

    def agree(self, about: dict[str, str]) -> None:
        """Refuse processes that differ in anything that makes a run: gradients would not add up."""
        told = [json.loads(one) for one in self.gather(json.dumps([socket.gethostname(), about]))]
        for name in about:
            found = {one[name]: f"{one[name][:40]!r} on {host}, process {rank}"
                     for rank, (host, one) in reversed([*enumerate(told)])}  # fmt: skip
            if len(found) > 1:
                raise ValueError(
                    f"the processes of this run differ in {name} ({'; '.join(found.values())}): "
                    f"give all of them the same {name}"
                )

    def leave(self) -> None:
        """Say goodbye to the other processes."""
        if self.world_size > 1:
            self.share(b".")  # last the keeper sends: who ends first has then nothing left to read
            distributed.destroy_process_group()

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
                "another process of this run has ended or stands still, or the link to it is cut: "
                f"process {self.rank} of {self.world_size} waited {time.monotonic() - began:.0f} s "
                f"for it, at most {patience():g} ({PATIENCE}) and got: {reason}; end all of them, "
                "and start the same commands again: it goes on from the last checkpoint"
            ) from error


ALONE = Processes()


def patience() -> float:
    """How many seconds a process waits for a sign of life of another."""
    said = os.environ.get(PATIENCE, "60")
    with contextlib.suppress(ValueError):
        if 1 <= (seconds := float(said)) <= 10**6:
            return seconds
    raise ValueError(f"{PATIENCE} is {said!r}, but must be a number of seconds, 1 or more")


def join_processes(device: torch.device) -> Processes:
    """Meet the other processes that torchrun has started, if it has, on this machine and others."""
    said = [os.environ.get(name, "") for name in ("RANK", "WORLD_SIZE")]
    processes = Processes(*(int(x) if x.isdecimal() else -1 for x in said)) if any(said) else ALONE
    if not 0 <= processes.rank < processes.world_size:
        raise ValueError(
            f"the environment has RANK={said[0]} and WORLD_SIZE={said[1]}, but must have both, "
            "RANK below WORLD_SIZE, as torchrun sets them: unset them to train in one process"
        )
    restarts = os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0")
    if restarts != "0" and os.environ.get(OWN_STORE) != "1":  # or they meet those that have ended
        raise ValueError(
            f"torchrun --max-restarts {restarts} needs {OWN_STORE}=1 in its environment (PyTorch's "
            "issue 135712): set it on every host, and start torchrun again"
        )
    if processes.world_size > 1:
        # Optimizers import it, and its functions keep the group that they find: the group's threads
        # then outlive `leave`, and at times abort the program that ends (PyTorch's PR 179291).
        from torch import _dynamo  # noqa: F401

        # What is added up lies on the GPUs, what is told to one another in ordinary memory.
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        with processes.waiting():
            distributed.init_process_group(backend, timeout=timedelta(seconds=patience()))
    return processes


def own_device(devices: list[torch.device]) -> torch.device:
    """The device of this process: under torchrun each process of a machine has a GPU of its own."""
    place = int(os.environ.get("LOCAL_RANK", 0)) if devices[0].type == "cuda" else 0
    if place < len(devices):
        return devices[place]
    raise ValueError(
        f"there are more processes than GPUs: use --nproc-per-node {len(devices)} at most"
    )
