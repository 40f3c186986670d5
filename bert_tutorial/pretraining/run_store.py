"""A run on disk: its checkpoint, its log, its settings, and how it goes on exactly where it was."""

import json
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

import torch

from ..cache import read_safetensors, write_safetensors
from ..network.model import BERTModel


class RunFolder:
    """The folder of one run.

    Args:
        path: The folder; made when something is written.

    Attributes:
        checkpoint: File with all that the run needs to go on.
        log: File with a line of JSON for each step.
        network: File with the trained network, once the run is finished.
        model_card: File that says what one has to know of it.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.checkpoint = self.path / "checkpoint.safetensors"
        self.log = self.path / "log.jsonl"
        self.network = self.path / "network.safetensors"
        self.model_card = self.path / "model_card.md"

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
            ValueError: The run was begun with other settings.
        """
        if not self.checkpoint.is_file():
            return 0
        tensors, about = read_safetensors(self.checkpoint)
        self._check(about["settings"], settings)
        groups = ((o, group) for o in optimizers for group in o.param_groups)
        owner = {p: optimizer for optimizer, group in groups for p in group["params"]}
        with torch.no_grad():
            for name, p in net.named_parameters():
                p.copy_(tensors[f"net.{name}"])
                prefix = f"optimizer.{name}."  # a part without a loss has no state
                state = {key: value for key, value in tensors.items() if key.startswith(prefix)}
                owner[p].state[p] = {
                    k.removeprefix(prefix): v.to(p.device) for k, v in state.items()
                }
        return about["step"]

    def _check(self, before: dict[str, Any], now: dict[str, Any]) -> None:
        names = [name for name in before | now if before.get(name) != now.get(name)]
        other = [f"{name} {before.get(name)!r}, now {now.get(name)!r}" for name in names]
        if other:
            raise ValueError(
                f"the run in {self.path} was begun with {'; '.join(other)}: use that, or another "
                "--out"
            )

    def open_log(self, done: int) -> tuple[TextIO, float]:
        """Open the log behind its first steps.

        What a killed run wrote behind its last checkpoint will be done again.

        Args:
            done: How many steps stay.

        Returns:
            The file, and the seconds that the steps in it took.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        kept = self.log.read_text().splitlines()[:done] if self.log.exists() else []
        log = self.log.open("w")
        log.writelines(f"{line}\n" for line in kept)
        return log, sum(json.loads(line)["seconds"] for line in kept)
