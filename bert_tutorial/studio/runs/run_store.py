"""A run on disk: its checkpoint, its log, its settings, and how it goes on exactly where it was."""

import json
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from torch import Tensor

from ...cache import read_safetensors, write_file, write_safetensors, writing
from ...network.model import BERTModel


class RunFolder:
    """The folder of one run.

    Args:
        path: The folder; made when something is written.
        called: What its user calls it.
        otherwise: What its user can do where it cannot be used.

    Attributes:
        checkpoint: File with all that the run needs to go on.
        log: File with a line of JSON for each step.
        network: File with the trained network, once the run is finished.
        model_card: File that says what one has to know of it.
    """

    def __init__(
        self,
        path: str | Path,
        called: str = "the run's folder (--out)",
        otherwise: str = "use another folder (--out)",
    ):
        self.path, self.called, self.otherwise = Path(path), called, otherwise
        self.checkpoint = self.path / "checkpoint.safetensors"
        self.log = self.path / "log.jsonl"
        self.network = self.path / "network.safetensors"
        self.model_card = self.path / "model_card.md"
        self._lock = FileLock(self.path / ".lock")

    def save(
        self,
        net: BERTModel,
        optimizers: list[torch.optim.Optimizer],
        step: int,
        settings: dict[str, Any],
    ) -> None:
        """Write the checkpoint: weights, optimizers' state, step and settings."""
        tensors = {f"net.{name}": p.detach() for name, p in net.named_parameters()}
        name_of = {p: name for name, p in net.named_parameters()}
        for p, state in chain.from_iterable(optimizer.state.items() for optimizer in optimizers):
            tensors |= {f"optimizer.{name_of[p]}.{key}": value for key, value in state.items()}
        write_safetensors(self.checkpoint, tensors, {"step": step, "settings": settings})

    def load(
        self,
        net: BERTModel,
        optimizers: list[torch.optim.Optimizer],
        settings: dict[str, Any],
    ) -> int:
        """Read the checkpoint into a network and its optimizers; without one, change nothing.

        Returns:
            Steps done.

        Raises:
            ValueError: The run was begun with other settings, or the checkpoint is damaged.
            OSError: The checkpoint cannot be read.
        """
        try:
            tensors, about = read_safetensors(self.checkpoint)
            before, step = about["settings"], about["step"]
        except FileNotFoundError:
            return 0
        except (SafetensorError, ValueError, KeyError) as error:
            raise self._damaged(error) from error
        self._check(before, settings)
        try:
            self._fill(net, optimizers, tensors)
        except (KeyError, RuntimeError) as error:  # a tensor is missing, or has another shape
            raise self._damaged(error) from error
        return step

    def _damaged(self, error: Exception) -> ValueError:
        return ValueError(
            f"{self.checkpoint} is damaged ({str(error).splitlines()[0]}): delete it to begin "
            f"the run again, or {self.otherwise}"
        )

    def _fill(
        self, net: BERTModel, optimizers: list[torch.optim.Optimizer], tensors: dict[str, Tensor]
    ) -> None:
        groups = ((o, group) for o in optimizers for group in o.param_groups)
        owner = {p: optimizer for optimizer, group in groups for p in group["params"]}
        with torch.no_grad():
            for name, p in net.named_parameters():
                p.copy_(tensors[f"net.{name}"])
                prefix = f"optimizer.{name}."  # a part without a loss has no state
                state = {k: v for k, v in tensors.items() if k.startswith(prefix)}
                owner[p].state[p] = {
                    k.removeprefix(prefix): v.to(p.device) for k, v in state.items()
                }

    def _check(self, before: dict[str, Any], now: dict[str, Any]) -> None:
        names = [name for name in before | now if before.get(name) != now.get(name)]
        other = [f"{name} {before.get(name)!r}, now {now.get(name)!r}" for name in names]
        if other:
            raise ValueError(
                f"the run in {self.path} was begun with {'; '.join(other)}: use that, or "
                f"{self.otherwise}"
            )

    def open(self) -> None:
        """Make the folder, keep other processes out of it, and clear what a killed one left.

        Raises:
            ValueError: It cannot be a folder, or another process uses it.
            OSError: Nothing can be written there.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(blocking=False)
            for left_over in self.path.glob("*.part"):
                left_over.unlink()
        except (FileExistsError, NotADirectoryError) as error:
            raise ValueError(
                f"{self.called} is {self.path}, but there is a file of that name"
            ) from error
        except Timeout as error:
            raise ValueError(
                f"another process trains in {self.path}: wait for it, or {self.otherwise}"
            ) from error
        except OSError as error:
            raise OSError(
                f"{self.called} is {self.path}, but nothing can be written there "
                f"({error.strerror or error}): make room or give access, or use another one"
            ) from error

    def close(self) -> None:
        """Let other processes in again."""
        self._lock.release()

    def shorten_log(self, done: int) -> float:
        """Take out of the log what a killed run wrote behind its last checkpoint.

        Those steps will be done again.

        Args:
            done: Steps up to this one stay.

        Returns:
            The seconds that these steps took.

        Raises:
            OSError: The log cannot be read or written.
        """
        kept = [step for step in self.logged_steps() if step["step"] <= done]
        write_file(self.log, "".join(json.dumps(step) + "\n" for step in kept).encode())
        return sum(step.get("seconds", 0.0) for step in kept)

    def add_to_log(self, step: dict[str, Any]) -> None:
        """Write one more line.

        Raises:
            OSError: The log cannot be written.
        """
        # Closed after each line: nothing waits in memory, to fail on a full disk later.
        with writing(self.log), self.log.open("a", encoding="utf-8") as log:
            log.write(json.dumps(step) + "\n")

    def logged_steps(self) -> list[dict[str, Any]]:
        """Whole lines of the log; half a line, which a killed process left, is passed over."""
        found = {}
        text = self.log.read_text("utf-8", "replace") if self.log.exists() else ""
        for line in text.splitlines():
            try:
                step = json.loads(line)
                found[int(step["step"])] = step
            except (ValueError, KeyError, TypeError):
                continue
        return [found[number] for number in sorted(found)]
