"""Runs that are kept: a folder of runs in the cache, each with its checkpoint, log and story.

Checkpoint and log are those of the command line (`run_store.RunFolder`). The story is what a list
of runs shows: name, settings, held-out losses.
"""

import json
import math
import os
import secrets
import shutil
import threading
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...cache import cache_dir, write_file
from ...pretraining.evaluation import Baselines, Evaluation
from ...pretraining.training import Step
from .run_store import RunFolder

if TYPE_CHECKING:
    from .run import TrainingRun

SAVE_EVERY = 3.0  # seconds of a run that a power cut may cost
SAVING = 50  # a checkpoint takes at most this part of the time: 1 in 50
LIMIT = 2 * 10**9  # bytes of all runs together


class SavedRun:
    """One run on disk.

    Args:
        path: Its folder.
        story: What is told of it: `name`, `settings` (what the run was begun with), `text` (hash
            of the text), `num_steps`; then, as they come, `step`, `seconds`, `held_out`,
            `baselines`, `looks` and `error`.
    """

    def __init__(self, path: Path, story: dict[str, Any]):
        self.folder = RunFolder(path, "the run's folder", "delete the run in the table")
        self.story, self._writing = story, threading.RLock()
        self._is_open, self._saved_at, self._saved, self._cost = False, 0.0, -1, 0.0

    @property
    def id(self) -> str:
        """The name of its folder."""
        return self.folder.path.name

    @property
    def is_finished(self) -> bool:
        """Whether all its steps are done, and measured."""
        return bool(self.story.get("is_finished"))

    def begin(self, run: "TrainingRun") -> int:
        """Keep others out, and bring a run to where this one was.

        Steps that are missing in a damaged log have no losses (NaN).

        Returns:
            Steps done.

        Raises:
            ValueError, OSError: See `RunFolder.open` and `RunFolder.load`.
        """
        with self._writing:  # it clears what is half written
            self.folder.open()
        try:
            done = self.folder.load(run.net, run.optimizers, self.story["settings"])
            self.folder.shorten_log(done)
            history, held_out, looks = self.read()
        except BaseException as error:
            self.story["error"] = str(error)
            with suppress(OSError):
                self.write()
            self.folder.close()
            raise
        self._is_open = True
        known = {step.step: step for step in history}
        lost = Step(0, math.nan, math.nan, 0, 0.0, math.nan)
        run.history[:] = [known.get(n, lost._replace(step=n)) for n in range(1, done + 1)]
        run.held_out[:] = [found for found in held_out if found[0] <= done]
        run.looks[:] = [look for look in looks if look[0] <= done]
        self._saved, self._saved_at = done, time.monotonic()
        self.tell(run)
        return done

    def add(self, run: "TrainingRun", step: Step) -> None:
        """Log a step, and save a checkpoint where it is time."""
        self.folder.add_to_log(step._asdict())
        since = time.monotonic() - self._saved_at
        if since > max(SAVE_EVERY, SAVING * self._cost) or step.step == run.recipe.num_steps:
            self.save(run)

    def save(self, run: "TrainingRun") -> None:
        """Save a checkpoint of the last whole step, unless there is one."""
        done = len(run.history)
        if not self._is_open or done == self._saved:
            return
        began = time.monotonic()
        self.folder.save(run.net, run.optimizers, done, self.story["settings"])
        self.tell(run)
        self._saved, self._saved_at = done, time.monotonic()
        self._cost = self._saved_at - began

    def tell(self, run: "TrainingRun") -> None:
        """Write the story as far as the run has come."""
        done = len(run.history)
        told = {
            "step": done,
            "seconds": sum(step.seconds for step in run.history),
            "pairs_per_second": run.pairs_per_second,
            "held_out": [[step, *found] for step, found in run.held_out],
            "looks": list(run.looks),
            "baselines": run.baselines,
            "error": (str(run.error) or type(run.error).__name__) if run.error else None,
            "is_finished": done == run.recipe.num_steps
            and (run.train_iter.valid is None or done in dict(run.held_out)),
        }
        with self._writing:
            self.story |= told
            self.write()

    def rename(self, name: str) -> None:
        """Give it another name; an empty one changes nothing."""
        with self._writing:  # its run may be telling something just now
            self.story["name"] = " ".join(name.split())[:60] or self.story["name"]
            self.write()

    def write(self) -> None:
        """Write the story.

        Raises:
            OSError: See `write_file`.
        """
        with self._writing:
            write_file(self.folder.path / "story.json", json.dumps(self.story).encode())

    def close(self, run: "TrainingRun") -> None:
        """Save where the run has ended, and let other processes in."""
        if self._is_open:
            try:
                if run.error is None:
                    self.save(run)
                if self.folder.path.exists():  # somebody may have deleted it
                    self.tell(run)
            finally:
                self._is_open = False
                self.folder.close()

    def read(self) -> tuple[list[Step], list[tuple[int, Evaluation]], list[tuple[int, Any]]]:
        """Steps, evaluations and looks as they stand on disk; damaged lines are passed over."""
        history = []
        for step in self.folder.logged_steps():
            with suppress(KeyError):
                history.append(Step(*(step[name] for name in Step._fields)))
        held_out = [(step, Evaluation(*found)) for step, *found in self.story.get("held_out", [])]
        return history, held_out, [(step, look) for step, look in self.story.get("looks", [])]

    @property
    def baselines(self) -> Baselines | None:
        """What counting reached on its held-out text."""
        found = self.story.get("baselines")
        return Baselines(*found) if found else None


class SavedRuns:
    """All runs that are kept.

    Args:
        path: Their folder; None for the one in the cache.
        limit: Bytes that they may take together.
    """

    def __init__(self, path: Path | None = None, limit: int = LIMIT):
        self.path, self.limit = path or cache_dir() / "runs", limit
        self._known: dict[Path, tuple[tuple[int, ...], SavedRun]] = {}

    def all(self) -> list[SavedRun]:
        """Every run, the oldest first; what is no run is passed over."""
        found = []
        for file in sorted(self.path.glob("*/story.json")):
            with suppress(OSError, ValueError, KeyError, TypeError):
                about = file.stat()
                written = about.st_mtime_ns, about.st_ino, about.st_size
                if file not in self._known or self._known[file][0] != written:
                    story = json.loads(file.read_text("utf-8"))
                    for name, kind in (("name", str), ("settings", dict), ("num_steps", int)):
                        if not isinstance(story[name], kind):
                            raise ValueError(f"{file} is no story of a run")
                    self._known[file] = written, SavedRun(file.parent, story)
                found.append(self._known[file][1])
        return found

    def new(self, name: str, settings: dict[str, Any], text: str, num_steps: int) -> SavedRun:
        """A folder for a run that begins; the order of their names is that of the list.

        Raises:
            OSError: Nothing can be written there, or the runs take more than they may.
        """
        size = self.size()
        if size > self.limit:
            raise OSError(
                f"the kept runs take {size / 1e9:.1f} GB of the {self.limit / 1e9:.1f} GB that "
                "they may take: delete some of them in the table first"
            )
        path = self.path / f"{datetime.now():%Y%m%d-%H%M%S-%f}-{secrets.token_hex(3)}"
        story = {"name": name, "settings": settings, "text": text, "num_steps": num_steps}
        run = SavedRun(path, story | {"step": 0})
        run.write()
        return run

    def find(self, id: str) -> SavedRun:
        """The run of that id.

        Raises:
            ValueError: There is none.
        """
        for run in self.all():
            if run.id == id:
                return run
        raise ValueError("this run is no longer there: somebody has deleted it")

    def rename(self, id: str, name: str) -> None:
        """Give a run another name; an empty one changes nothing."""
        self.find(id).rename(name)

    def delete(self, id: str) -> None:
        """Delete a run for good.

        Raises:
            ValueError: A process trains it.
            OSError: It cannot be deleted.
        """
        folder = self.find(id).folder
        folder.open()
        folder.close()
        shutil.rmtree(folder.path)

    def size(self) -> int:
        """Bytes of all runs."""
        total = 0
        for folder, _, files in os.walk(self.path):
            for file in files:
                with suppress(OSError):  # a run that goes on replaces its files
                    total += os.path.getsize(os.path.join(folder, file))
        return total
