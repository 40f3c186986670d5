"""Runs on disk, which outlive their process: each a folder with a checkpoint, a log and a record.

The checkpoint has all that a run needs to go on exactly where it was, the log a line for each step,
and the record what a list of runs shows: name, settings, held-out losses. The command line uses one
folder (`SavedRun`), the training panel all that are in the cache (`SavedRuns`).
"""

import json
import math
import secrets
import shutil
import threading
import time
from contextlib import suppress
from dataclasses import fields
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from safetensors import safe_open

from ...cache import cache_dir, digest, read_safetensors, write_file, write_safetensors, writing
from ...network.model import BERTModel
from ...pretraining.evaluation import Baselines, Evaluation
from ...pretraining.optimizers import restore, state_of
from ...pretraining.run import Step
from .settings import RunSettings, read_settings

SAVE_EVERY = 3.0  # seconds of a run that a power cut may cost
SAVING = 50  # a checkpoint takes at most this part of the time: 1 in 50
LIMIT = 2 * 10**9  # bytes of all runs together
LOST = Step(0, math.nan, math.nan, 0, 0.0, math.nan)  # in place of one that a log lacks
# Files of a run. Where there are others of these names, but no record, none is touched.
OURS = "record.json", "checkpoint.safetensors", "log.jsonl", "network.safetensors", "model_card.md"


class SavedRun:
    """One run on disk.

    Args:
        path: Its folder; made when something is written.
        record: What is known of it: `settings`, without which it cannot go on; of the panel's runs
            `name`, `text` (hash of the text), `num_steps`, and what `TrainingRun` writes.
        otherwise: What its user can do where the folder cannot be used.
    """

    def __init__(
        self, path: Path, record: dict | None = None, otherwise: str = "delete the run in the table"
    ):
        self.path, self.record, self.otherwise = path, record or {}, otherwise
        self.checkpoint = self.path / "checkpoint.safetensors"
        self.log, self.id = self.path / "log.jsonl", self.path.name
        self._lock = FileLock(self.path / ".lock")  # keeps out other threads, too
        self._writing, self._due_at = threading.RLock(), 0.0
        self.damage = ""  # of the record
        self.trouble, self.lost = "", 0  # why nothing is written any more; steps the log lacked

    @property
    def note(self) -> str:
        """What its user has to know, to be put behind other sentences; "" where all is well."""
        lost = f" The log lacks {self.lost} of its steps." if self.lost else ""
        return lost + (f" It is not kept: {self.trouble}." if self.trouble else "")

    @property
    def name(self) -> str:
        """What its user calls it."""
        return self.record["name"]

    @property
    def is_finished(self) -> bool:
        """Whether all its steps are done, and measured."""
        return bool(self.record.get("is_finished"))

    @property
    def held_out(self) -> list[tuple[int, Evaluation]]:
        """Steps, and what was measured on the held-out text after them."""
        return [(step, Evaluation(*found)) for step, *found in self.record.get("held_out", [])]

    @property
    def baselines(self) -> Baselines | None:
        """What counting reached on its held-out text."""
        found = self.record.get("baselines")
        return Baselines(*found) if found else None

    def open(self) -> None:
        """Make the folder, keep other processes out of it, and clear what a killed one left.

        Raises:
            ValueError: Another process has it, or there are files that no run has written.
        """
        with self._writing, writing(self.path):  # or this would clear what is half written
            self.lock()
            there = [file for file in map(self.path.joinpath, OURS) if file.exists()]
            try:
                for file in there[:1]:
                    if not file.is_file() or "settings" not in json.loads(file.read_text("utf-8")):
                        raise ValueError
            except Exception as error:
                self.close()
                raise ValueError(
                    f"{there[0]} is not a run's of this version: move it away, or {self.otherwise}"
                ) from error
            if not there:  # from now on what has these names is the run's
                self.update()
            for name in OURS:
                for left_over in self.path.glob(f"{name}.*.part"):
                    left_over.unlink()
        self._due_at = time.monotonic() + SAVE_EVERY

    def lock(self) -> None:
        """Make the folder, and keep other processes out of it."""
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(blocking=False)
        except Timeout as error:
            raise ValueError(
                f"another process trains in {self.path}: wait for it, or {self.otherwise}"
            ) from error

    def close(self) -> None:
        """Let other processes in again."""
        self._lock.release()

    def save(self, net: BERTModel, optimizers: list[torch.optim.Optimizer], step: int) -> None:
        """Write the checkpoint: weights, optimizers' state, step and settings."""
        began = time.monotonic()
        tensors = state_of(net, optimizers)
        about = {"step": step, "settings": self.record["settings"]}
        write_safetensors(self.checkpoint, tensors, about | {"hash": digest(tensors, about)})
        now = time.monotonic()
        self._due_at = now + max(SAVE_EVERY, SAVING * (now - began))

    @property
    def is_due(self) -> bool:
        """Whether it is time for another checkpoint."""
        return time.monotonic() > self._due_at

    def load(self, net: BERTModel, optimizers: list[torch.optim.Optimizer]) -> int:
        """Read the checkpoint into a network and its optimizers; the steps done, 0 without one."""
        wanted = json.loads(json.dumps(self.record["settings"]))  # JSON has no tuples
        try:
            tensors, about = read_safetensors(self.checkpoint)
            if about.pop("hash", "") != digest(tensors, about):
                raise ValueError("not all of it is as it was written")
            if not all(value.isfinite().all() for value in tensors.values()):
                raise ValueError("it holds weights that are no numbers, as training had diverged")
            found = about["settings"]
            if found == wanted:
                restore(net, optimizers, tensors)
                return about["step"]
        except (FileNotFoundError, NotADirectoryError):
            return 0
        except OSError:
            raise
        except Exception as error:  # of many kinds, as safetensors' and load_state_dict's are
            raise ValueError(
                f"{self.checkpoint} is damaged ({str(error).splitlines()[0]}): delete it to begin "
                f"the run again, or {self.otherwise}"
            ) from error
        names = [name for name in found | wanted if found.get(name) != wanted.get(name)]
        other = "; ".join(f"{name} {found.get(name)!r}, now {wanted.get(name)!r}" for name in names)
        raise ValueError(
            f"the run in {self.path} was begun with {other}: use that, or {self.otherwise}"
        )

    def checkpoint_step(self) -> int:
        """Steps done at the checkpoint; 0 without one, or where it cannot be read."""
        with suppress(Exception), safe_open(self.checkpoint, "pt") as file:
            return int(json.loads(file.metadata()["step"]))
        return 0

    def steps(self, done: int | None = None) -> list[Step]:
        """The log; half a line, which a killed process left, is passed over.

        With `done`, exactly so many steps: those behind a checkpoint are left out, and one that the
        log lacks has no losses (NaN).
        """
        found, text = {}, self.log.read_text("utf-8", "replace") if self.log.exists() else ""
        for line in text.splitlines():
            with suppress(ValueError, TypeError):
                step = Step(**json.loads(line))
                found[int(step.step)] = step
        if done is not None:
            found = {n: found.get(n, LOST._replace(step=n)) for n in range(1, done + 1)}
            self.lost = sum(not step.num_pairs for step in found.values())
        return [found[number] for number in sorted(found)]

    def add(self, step: Step) -> None:
        """Log one more step."""
        # Closed after each line: nothing waits in memory, to fail on a full disk later.
        with writing(self.log), self.log.open("a", encoding="utf-8") as log:
            log.write(f"{json.dumps(step._asdict())}\n")

    def write_log(self, steps: list[Step]) -> None:
        """Write the log anew."""
        write_file(self.log, "".join(f"{json.dumps(step._asdict())}\n" for step in steps).encode())

    def update(self, **facts: Any) -> None:
        """Write what is new of the run."""
        with self._writing:  # somebody may be renaming it just now
            self.record |= facts
            write_file(self.path / "record.json", json.dumps(self.record).encode())

    def rename(self, name: str) -> None:
        """Give it another name; an empty one changes nothing."""
        name = " ".join(name.split())[:60] or self.name
        # A file of its own: another process may be training it, and writing all else.
        write_file(self.path / "name.txt", name.encode())
        self.record["name"] = name

    def read(self) -> None:
        """Read the record, which another process may have written; FileNotFoundError without."""
        file, self.damage = self.path / "record.json", ""
        try:
            if file.exists() and not file.is_file():  # a pipe would be waited for
                raise ValueError("it is no file")
            self.record = record = json.loads(file.read_text("utf-8"))
            with suppress(OSError):
                record["name"] = (self.path / "name.txt").read_text("utf-8", "replace")
            numbers = [record["step"], record["num_steps"], *(self.baselines or ())]
            numbers += [record.get(name, 0) for name in ("number", "seconds", "pairs_per_second")]
            numbers += [x for step, found in self.held_out for x in (step, *found)]
            numbers += [step for step, _ in record.get("probes", [])]
            if not record["name"].strip() or any(abs(x) > 1e15 for x in numbers):
                raise ValueError("it has no name, or too large a number")
            if record["settings"].keys() == {field.name for field in fields(RunSettings)}:
                read_settings(record["settings"])  # those of another version can be listed only
        except FileNotFoundError:
            raise
        except Exception as error:  # no text, no JSON, or other JSON
            self.damage = f"{file} is damaged ({str(error)[:100] or type(error).__name__})"
            about = dict(name=f"{self.id} (damaged)", settings={}, num_steps=0, step=0)
            self.record = about | {"error": self.damage}


class SavedRuns:
    """All runs of a folder, by default of one in the cache, which may take `limit` bytes together.

    Each run has one object, for as long as this one lives.
    """

    def __init__(self, path: Path | None = None, limit: int = LIMIT):
        self.path, self.limit = path or cache_dir() / "runs", limit
        self._runs: dict[Path, SavedRun] = {}

    def all(self) -> list[SavedRun]:
        """Every run, the oldest first; one with a damaged record says so in its name."""
        found = []
        for file in self.path.glob("*/record.json"):
            run = self._runs.setdefault(file.parent, SavedRun(file.parent))
            with suppress(OSError):  # somebody is deleting it
                with run._writing:
                    run.read()
                found.append(run)
        return sorted(found, key=lambda run: (run.record.get("number", 0), run.id))

    def new(self, name: str = "", **record: Any) -> SavedRun:
        """A folder for a run that begins; an OSError where the runs take more than they may.

        Without a name it gets a number that no other has. Where nothing can be written, `trouble`
        of the run says why.
        """
        if (size := self.size()) > self.limit:
            raise OSError(
                f"the saved runs take {size / 1e9:.1f} GB of the {self.limit / 1e9:.1f} GB that "
                "they may take: delete some of them in the table first, or, where they are of "
                f"other texts, their folders in {self.path}"
            )
        path = self.path / f"{datetime.now():%Y%m%d-%H%M%S-%f}-{secrets.token_hex(3)}"
        runs = self.all()
        number = max([len(runs), *(run.record.get("number", 0) for run in runs)]) + 1
        names = (f"run {n}" for n in count(number))
        name = name or next(new for new in names if new not in {run.name for run in runs})
        record |= dict(name=name, number=number, step=0)
        run = self._runs[path] = SavedRun(path, record)
        try:
            run.update()
        except OSError as error:
            run.trouble = str(error)
        return run

    def find(self, id: str) -> SavedRun:
        """The run of that id."""
        if run := next((run for run in self.all() if run.id == id), None):
            return run
        raise ValueError("this run is no longer there: somebody has deleted it")

    def delete(self, id: str) -> None:
        """Delete a run for good, unless a process trains it."""
        run = self.find(id)
        with writing(run.path):
            run.lock()
            run.close()
            while run.path.exists():
                with suppress(FileNotFoundError):  # of what another process deletes just now
                    shutil.rmtree(run.path)

    def size(self) -> int:
        """Bytes of all runs."""
        total = 0
        with suppress(OSError):  # a folder may be deleted meanwhile
            for file in self.path.rglob("*"):
                with suppress(OSError):  # a run that goes on replaces its files
                    total += file.stat().st_size
        return total
