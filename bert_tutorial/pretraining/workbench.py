"""The state of the training panel: settings, the run that goes on, experiments, kept runs.

No widget: `widgets/training_panel.py` shows it, tests use it alone.
"""

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from ..network.model import BERTModel
from ..text.examples import PretrainingExamples
from .cost import Cost, cost_of, measure_speed
from .experiments import EXPERIMENTS, Experiment
from .kept_runs import KeptRun, KeptRuns
from .runs import TrainingRun
from .settings import Settings, read_settings

GOING = ("running", "paused")


class Workbench:
    """What the panel does. All methods may be called from any thread.

    Args:
        train_iter: Examples of the text to train on; a run has its own, with its settings.
        kept: Where runs are kept; None for the folder in the cache.
        look: As in `TrainingRun`.

    Attributes:
        run: The run that goes on, or the last one; None before the first.
        settings: What that run was begun with.
        experiment: The experiment that goes on, or the last one.
        left: Names of its runs that have not begun.
        viewer: The panel that shows it; an earlier one leaves off.
        problem: Why the last attempt to begin something failed; empty if it did not.
    """

    _at_work: "Workbench | None" = None  # of this process: the one whose run goes on

    def __init__(
        self,
        train_iter: PretrainingExamples,
        kept: KeptRuns | None = None,
        look: Callable[[BERTModel], Any] | None = None,
    ):
        self.train_iter, self.kept, self.look = train_iter, kept or KeptRuns(), look
        self.run: TrainingRun | None = None
        self.settings: Settings | None = None
        self.experiment: Experiment | None = None
        self.left: list[str] = []
        self.done: dict[str, str] = {}  # ids of the experiment's runs, by name
        self.problem, self.viewer = "", None
        self._lock = threading.RLock()
        self._speed: float | None = None
        self._text = ""

    @classmethod
    def open(cls, train_iter: PretrainingExamples, *how: Any) -> "Workbench":
        """The workbench of this process whose run goes on, or a new one."""
        busy = cls._at_work
        return busy if busy is not None and busy.is_busy else cls(train_iter, *how)

    @property
    def is_busy(self) -> bool:
        """Whether a run or an experiment goes on."""
        return bool(self.left) or (self.run is not None and self.run.state in GOING)

    def begin(self, settings: Settings, name: str = "") -> TrainingRun:
        """A new network and a new run; returns at once.

        Raises:
            ValueError: A setting that cannot be, or a run goes on.
            OSError: The run cannot be kept.
        """
        with self._lock:
            self._refuse_if_busy()
            net = settings.network(len(self.train_iter.vocab))
            examples, recipe = settings.examples(self.train_iter), settings.recipe()
            name = name or f"run {len(self.kept.all()) + 1}"
            kept = self.kept.new(name, asdict(settings), self.text, settings.num_steps)
            return self._start(TrainingRun(net, examples, recipe, 10, kept, self.look), settings)

    def go_on(self, id: str) -> TrainingRun:
        """Go on with a run that was not finished, exactly where it was.

        Raises:
            ValueError: It was begun on another text, is of another version, or a run goes on.
            KeyError: There is no such run.
        """
        with self._lock:
            self._refuse_if_busy()
            kept = self.kept.find(id)
            if kept.story.get("text") != self.text:
                raise ValueError(
                    f"{kept.story['name']} was begun on another text: choose that one in the first "
                    "cell"
                )
            settings = read_settings(kept.story["settings"])
            net = settings.network(len(self.train_iter.vocab))
            examples, recipe = settings.examples(self.train_iter), settings.recipe()
            return self._start(TrainingRun(net, examples, recipe, 10, kept, self.look), settings)

    def _start(self, run: TrainingRun, settings: Settings) -> TrainingRun:
        self.run, self.settings, self.problem = run.start(), settings, ""
        Workbench._at_work = self
        return run

    def _refuse_if_busy(self) -> None:
        if self.run is not None and self.run.state in GOING:
            raise ValueError(f"{self.name} goes on: stop it first, or wait for its end")

    @property
    def name(self) -> str:
        """Of the run."""
        return self.run.kept.story["name"] if self.run is not None and self.run.kept else ""

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
        """Stand still, within half a second."""
        if self.run is not None:
            self.run.pause()

    def resume(self) -> None:
        """Go on exactly where the run stood."""
        if self.run is not None:
            self.run.resume()

    def stop(self) -> None:
        """End the run, and the experiment with it."""
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
            self.left[:], self.done = [name for name, _ in rest], {}
            try:
                self._begin_next(*first)
            except BaseException:
                self.left.clear()
                raise
            threading.Thread(
                target=self._go_through, args=(rest,), name="experiment", daemon=True
            ).start()

    def wait_for_next(self, run: TrainingRun) -> None:
        """Wait until an experiment has begun the run after this one, or has ended."""
        while self.left and self.run is run:
            time.sleep(0.02)

    def _begin_next(self, name: str, settings: Settings) -> None:
        self.begin(settings, name)
        self.done[name] = self.run.kept.id

    def _go_through(self, rest: list[tuple[str, Settings]]) -> None:
        for name, settings in rest:
            self.run.wait()
            with self._lock:
                if name not in self.left or self.run.state != "finished":
                    break
                try:
                    self._begin_next(name, settings)
                    self.left.remove(name)
                except (ValueError, OSError) as error:
                    self.problem = str(error)
                    break
        self.left.clear()

    @property
    def text(self) -> str:
        """Hash of the text, training and held-out part."""
        if not self._text:
            parts = [self.train_iter.text, getattr(self.train_iter.valid, "text", None)]
            found = hashlib.sha256()
            for part in filter(None, parts):
                found.update(part.token_ids.numpy().tobytes())
            self._text = found.hexdigest()
        return self._text

    def cost(self, settings: Settings) -> Cost:
        """What settings cost on this text.

        Raises:
            ValueError: Settings that cannot be.
        """
        settings.recipe(), settings.examples(self.train_iter)
        return cost_of(settings, self.train_iter)

    def speed(self, measure: bool = False) -> float | None:
        """Operations per second of this machine: of the last kept run, or measured now.

        Args:
            measure: Whether to measure where nothing is known; else the answer is None.
        """
        for run in reversed(self.kept.all()):
            pairs, step = run.story.get("pairs_per_second"), run.story.get("step", 0)
            if pairs and step >= 10 and run.story.get("text") == self.text:
                settings = read_settings(run.story["settings"])
                return cost_of(settings, self.train_iter).flops / settings.batch_size * pairs
        if self._speed is None and measure:
            self._speed = measure_speed(self.train_iter)
        return self._speed

    def runs(self) -> list[KeptRun]:
        """The kept runs of this text, the oldest first."""
        return [run for run in self.kept.all() if run.story.get("text") == self.text]

    def is_going(self, kept: KeptRun) -> bool:
        """Whether a kept run is the one that goes on here."""
        return self.run is not None and self.run.state in GOING and self.run.kept.id == kept.id

    def rename(self, id: str, name: str) -> None:
        """Give a kept run another name."""
        if self.run is not None and self.run.kept.id == id:  # it writes its own story
            self.run.kept.story["name"] = name = " ".join(name.split())[:60] or self.name
        self.kept.rename(id, name)

    def delete(self, id: str) -> None:
        """Delete a kept run for good.

        Raises:
            ValueError: It goes on.
        """
        if self.run is not None and self.run.state in GOING and self.run.kept.id == id:
            raise ValueError(f"{self.name} goes on: stop it before you delete it")
        self.kept.delete(id)
