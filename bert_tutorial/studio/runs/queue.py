"""The state of the training panel: settings, the run that goes on, experiments, kept runs.

No widget: `widgets/training_panel.py` shows it, tests use it alone.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from ...network.model import BERTModel
from ...text.examples import PretrainingExamples
from .cost import Cost, cost_of, kept_speed, measure_speed
from .experiments import EXPERIMENTS, Experiment
from .fits import check_fits
from .run import TrainingRun
from .saved_runs import SavedRun, SavedRuns
from .settings import RunSettings, hash_of, read_settings

GOING = ("running", "paused")


class RunQueue:
    """What the panel does. All methods may be called from any thread.

    Args:
        train_iter: Examples of the text to train on; a run has its own, with its settings.
        kept: Where runs are kept; None for the folder in the cache.
        look: As in `TrainingRun`.

    Attributes:
        run: The run that goes on, or the last one, or None.
        settings: What that run was begun with.
        experiment: The experiment that goes on, or the last one.
        left: Names of its runs that have not begun.
        viewer: The panel that shows it; an earlier one leaves off.
        problem: Why the last attempt to begin something failed; empty if it did not.
    """

    _at_work: "RunQueue | None" = None  # of this process: the last whose run went on
    _lock = threading.RLock()  # one for all: only one trains at a time

    def __init__(
        self,
        train_iter: PretrainingExamples,
        kept: SavedRuns | None = None,
        look: Callable[[BERTModel], Any] | None = None,
    ):
        self.train_iter, self.kept, self.look = train_iter, kept or SavedRuns(), look
        self.run: TrainingRun | None = None
        self.settings: RunSettings | None = None
        self.experiment: Experiment | None = None
        self.left: list[str] = []
        self.done: dict[str, str] = {}  # ids of its runs, by name
        self.problem, self.viewer = "", None
        self._measuring, self._speed = threading.Lock(), None
        self._text, self._pauses = "", False

    @classmethod
    def open(cls, train_iter: PretrainingExamples, *how: Any) -> "RunQueue":
        """The workbench of this process whose run goes on, or a new one."""
        with cls._lock:
            if cls._at_work is not None and not cls._at_work.is_busy:
                cls._at_work = None
            return cls._at_work or cls(train_iter, *how)

    @property
    def is_busy(self) -> bool:
        """Whether a run or an experiment goes on."""
        return bool(self.left) or (self.run is not None and self.run.state in GOING)

    def begin(self, settings: RunSettings, name: str = "") -> TrainingRun:
        """A new network and a new run; returns at once.

        Raises:
            ValueError: A setting that cannot be, or a run goes on.
            MemoryError: It would not fit into memory.
            OSError: The run cannot be kept.
        """
        with self._lock:
            self._refuse_if_busy()
            return self._begin(name or f"run {len(self.kept.all()) + 1}", settings)

    def _begin(self, name: str, settings: RunSettings) -> TrainingRun:
        how = asdict(settings), self.text, settings.num_steps
        return self._start(settings, lambda: self.kept.new(name, *how))

    def go_on(self, id: str) -> TrainingRun:
        """Go on with a run that was not finished, exactly where it was.

        Raises:
            ValueError: It is of another text or version, or gone, or a run goes on.
        """
        with self._lock:
            self._refuse_if_busy()
            kept = self.kept.find(id)
            if kept.story.get("text") != self.text:
                raise ValueError("this run was begun on another text: read that in the first cell")
            return self._start(read_settings(kept.story["settings"]), lambda: kept)

    def _start(self, settings: RunSettings, keep: Callable[[], SavedRun]) -> TrainingRun:
        net = settings.network(len(self.train_iter.vocab))
        examples, recipe = settings.examples(self.train_iter), settings.recipe()
        check_fits(net, examples, recipe)
        run = TrainingRun(net, examples, recipe, 10, keep(), self.look)
        self.run, self.settings, self.problem = run.start(), settings, ""
        self._pauses, RunQueue._at_work = False, self
        return run

    def _refuse_if_busy(self) -> None:
        other = RunQueue._at_work
        if self.is_busy:
            raise ValueError(f"{self.name} goes on: stop it first, or wait for its end")
        if other is not None and other.is_busy:
            where = "in another panel: stop it there, or run this cell again"
            raise ValueError(f"{other.name} goes on {where}")

    @property
    def name(self) -> str:
        """Of the run."""
        return self.run.kept.story["name"] if self.run is not None else ""

    def use(self, train_iter: PretrainingExamples, look: Callable[[BERTModel], Any] | None) -> None:
        """Train on another text from now on.

        Raises:
            ValueError: A run goes on.
        """
        with self._lock:
            self._refuse_if_busy()
            if train_iter is not self.train_iter:
                self._text, self._speed = "", None
            self.train_iter, self.look = train_iter, look

    def pause(self) -> None:
        """Stand still, within half a second; between two runs of an experiment, in the next."""
        with self._lock:
            self._pauses = self.is_busy
            if self.run is not None:
                self.run.pause()

    def resume(self) -> None:
        """Go on exactly where the run stood."""
        with self._lock:
            self._pauses = False
            if self.run is not None:
                self.run.resume()

    def stop(self) -> None:
        """End the run, and the experiment with it."""
        with self._lock:
            self.left.clear()
            if self.run is not None:
                self.run.stop()

    def begin_experiment(self, title: str) -> None:
        """Run the runs of an experiment, one after the other; returns at once.

        Raises:
            ValueError, OSError: As in `begin`.
        """
        with self._lock:
            self._refuse_if_busy()
            self.experiment = EXPERIMENTS[title]
            first, *rest = self.experiment.runs.items()
            self.done, self._pauses = {}, False
            run = self._begin_next(*first)
            self.left = [name for name, _ in rest]
            how = dict(target=self._go_through, args=(run, rest, self.left), name="experiment")
            threading.Thread(**how, daemon=True).start()

    def wait_for_next(self, run: TrainingRun) -> None:
        """Wait until an experiment has begun the run after this one, or has ended."""
        while self.left and self.run is run:
            time.sleep(0.02)

    def _begin_next(self, name: str, settings: RunSettings) -> TrainingRun:
        pauses = self._pauses  # somebody has pressed it between two runs
        run = self._begin(name, settings)
        self.done[name] = run.kept.id
        if pauses:
            self.pause()
        return run

    def _go_through(self, run: TrainingRun, rest: list, left: list[str]) -> None:
        try:
            for name, settings in rest:
                run.wait()
                with self._lock:
                    if name not in left or run.state != "finished":
                        break
                    run = self._begin_next(name, settings)
                    left.remove(name)
        except Exception as error:
            self.problem = str(error) or type(error).__name__
        finally:
            left.clear()

    @property
    def text(self) -> str:
        """Hash of the text, training and held-out part."""
        self._text = self._text or hash_of(self.train_iter)
        return self._text

    def cost(self, settings: RunSettings) -> Cost:
        """What settings cost on this text; a ValueError names one that cannot be."""
        settings.recipe(), settings.examples(self.train_iter)
        return cost_of(settings, self.train_iter)

    def speed(self, measure: bool = False) -> float | None:
        """Operations per second of this machine: of the last kept run, or measured now.

        Args:
            measure: Whether to measure where nothing is known; else the answer is None.
        """
        if known := kept_speed(reversed(self.runs()), self.train_iter):
            return known
        if measure:
            with self._measuring:
                self._speed = self._speed or measure_speed(self.train_iter)
        return self._speed

    def runs(self) -> list[SavedRun]:
        """The kept runs of this text, the oldest first."""
        return [run for run in self.kept.all() if run.story.get("text") == self.text]

    def is_going(self, kept: SavedRun) -> bool:
        """Whether a kept run is the one that goes on here."""
        return self.run is not None and self.run.state in GOING and self.run.kept.id == kept.id

    def rename(self, id: str, name: str) -> None:
        """Give a kept run another name."""
        kept = self.kept.find(id)
        is_own = self.run is not None and self.run.kept.id == id  # it writes its own story
        (self.run.kept if is_own else kept).rename(name)

    def delete(self, id: str) -> None:
        """Delete a kept run for good.

        Raises:
            ValueError: It goes on.
        """
        with self._lock:
            kept = self.kept.find(id)
            if self.is_going(kept):
                raise ValueError(f"{self.name} goes on: stop it before you delete it")
            self.kept.delete(id)
