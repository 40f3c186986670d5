"""What the training panel does: one run at a time, experiments one after the other, saved runs.

No widget: `widgets/training_panel.py` shows it, tests use it alone.
"""

import threading
from collections.abc import Callable
from typing import Any

from ...network.model import BERTModel
from ...text.examples import PretrainingExamples
from .experiments import EXPERIMENTS, Experiment
from .run import TrainingRun
from .saved_runs import SavedRuns
from .settings import RunSettings, hash_of, read_settings

GOING = ("running", "pausing", "paused", "stopping")


class RunQueue:
    """Runs on a text. All methods may be called from any thread.

    Args:
        train_iter: Examples of the text to train on; a run has its own, with its settings.
        saved: Where runs are saved; None for the folder in the cache.
        probe: As in `TrainingRun`.

    Attributes:
        run: The run that goes on, or the last one, or None.
        settings: What that run was begun with.
        experiment: The experiment that goes on, or the last one.
        left: Names of its runs that have not begun.
        done: Ids of its runs that have, by name.
        viewer: The panel that shows it; an earlier one leaves off.
        problem: Why an experiment ended early; empty if it did not.
    """

    _at_work: "RunQueue | None" = None  # of this process: the last whose run went on
    _lock = threading.RLock()  # one for all: only one trains at a time

    def __init__(
        self,
        train_iter: PretrainingExamples,
        saved: SavedRuns | None = None,
        probe: Callable[[BERTModel], Any] | None = None,
    ):
        self.saved, self.viewer, self.problem = saved or SavedRuns(), None, ""
        self.run: TrainingRun | None = None
        self.settings: RunSettings | None = None
        self.experiment: Experiment | None = None
        self.left: list[str] = []
        self.done: dict[str, str] = {}
        self._measuring, self._pauses = threading.Lock(), False
        self._set_text(train_iter, probe)

    def _set_text(self, train_iter: PretrainingExamples, probe: Callable | None) -> None:
        self.train_iter, self.probe = train_iter, probe
        self.text, self._speed = hash_of(train_iter), None

    @classmethod
    def open(cls, *how: Any) -> "RunQueue":
        """The queue of this process that is busy, or a new one."""
        with cls._lock:
            is_there = cls._at_work is not None and cls._at_work.is_busy
            cls._at_work = cls._at_work if is_there else None
            return cls._at_work or cls(*how)

    @property
    def is_busy(self) -> bool:
        """Whether a run or an experiment goes on."""
        return bool(self.left) or (self.run is not None and self.run.state in GOING)

    @property
    def name(self) -> str:
        """What the run is called."""
        return self.run.saved.name if self.run is not None else ""

    def use(self, train_iter: PretrainingExamples, probe: Callable | None) -> None:
        """Train on another text from now on."""
        with self._free():
            if train_iter is not self.train_iter or probe is not self.probe:
                self._set_text(train_iter, probe)

    def begin(self, settings: RunSettings, name: str = "") -> TrainingRun:
        """A new network and a new run; returns at once.

        Raises:
            ValueError: A setting that cannot be, or a run goes on.
            MemoryError: It would not fit into memory.
            OSError: The run cannot be saved.
        """
        with self._free():
            return self._begin(settings, name or f"run {len(self.saved.all()) + 1}")

    def go_on(self, id: str) -> TrainingRun:
        """Go on with a run that was not finished, exactly where it was.

        Raises:
            ValueError: It is of another text or version, or gone, or a run goes on.
        """
        with self._free():
            saved = self.saved.find(id)
            if saved.record.get("text") != self.text:
                raise ValueError("this run was begun on another text: read that in the first cell")
            return self._begin(read_settings(saved.record["settings"]), "", saved)

    def begin_experiment(self, title: str) -> None:
        """Run the runs of an experiment, one after the other; returns at once."""
        with self._free():
            self.experiment, self.done = EXPERIMENTS[title], {}
            (name, settings), *rest = self.experiment.runs.items()
            self._begin(settings, name)
            self.done[name], self.left = self.run.saved.id, [name for name, _ in rest]
            how = dict(target=self._go_through, args=(self.run, rest, self.left))
            threading.Thread(**how, name="experiment", daemon=True).start()

    def _free(self) -> threading.RLock:
        """The lock, for whoever begins something; a ValueError while a run goes on."""
        with self._lock:
            other = RunQueue._at_work
            if self.is_busy:
                raise ValueError(f"{self.name} goes on: stop it first, or wait for its end")
            if other is not None and other.is_busy:
                where = "in another panel: stop it there, or run this cell again"
                raise ValueError(f"{other.name} goes on {where}")
            self._pauses, self.problem = False, ""
        return self._lock
