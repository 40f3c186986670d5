"""What the training panel does: one run at a time, those of an experiment, saved runs.

No widget: `widgets/training_panel.py` shows it, tests use it alone.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from typing import Any

import torch

from ...devices import pick_dtype, try_all_gpus
from ...network.model import BERTModel
from ...pretraining.run import Progress
from ...text.examples import PretrainingExamples
from .experiments import EXPERIMENTS, Experiment
from .fits import check_fits, cost_of, measure_speed
from .run import TrainingRun
from .saved_runs import SavedRun, SavedRuns
from .settings import RunSettings, hash_of, read_settings


class RunQueue:
    """Runs on a text. All methods may be called from any thread.

    Args:
        train_iter: Examples of the text to train on; a run has its own, with its settings.
        saved: Where runs are saved; None for the folder in the cache.
        probe: As in `TrainingRun`.
    """

    _at_work: "RunQueue | None" = None  # of this process: the last whose run went on
    _lock = threading.RLock()  # one for all: only one trains at a time

    def __init__(
        self,
        train_iter: PretrainingExamples,
        saved: SavedRuns | None = None,
        probe: Callable[[BERTModel], Any] | None = None,
    ):
        self.saved, self.viewer = saved or SavedRuns(), None  # the panel that shows it
        # The run that goes on, or the last one, what it was begun with, and its experiment.
        self.run: TrainingRun | None = None
        self.settings: RunSettings | None = None
        self.experiment: Experiment | None = None
        self.left: dict[str, RunSettings] = {}  # runs of the experiment that have not begun
        self.done: dict[str, str] = {}  # ids of those that have, by name
        self._refusal: Exception | None = None  # why the next one could not begin
        self._measuring, self._speed = threading.Lock(), None
        self.train_iter, self.text, self.probe = train_iter, hash_of(train_iter), probe

    @classmethod
    def open(cls, *how: Any) -> "RunQueue":
        """The queue of this process that is busy, or a new one."""
        with cls._lock:
            if cls._at_work is not None and not cls._at_work.is_busy:
                cls._at_work = None
            return cls._at_work or cls(*how)

    @property
    def is_busy(self) -> bool:
        """Whether a run or an experiment goes on."""
        return bool(self.left) or (self.run is not None and self.is_going(self.run.saved))

    @property
    def name(self) -> str:
        """What the run is called."""
        return self.run.saved.name if self.run else ""

    def use(self, train_iter: PretrainingExamples, probe: Callable | None) -> None:
        """Train on another text from now on."""
        with self._free():
            if train_iter is not self.train_iter:
                self.train_iter, self.text, self._speed = train_iter, hash_of(train_iter), None
            self.probe = probe

    def begin(self, settings: RunSettings, name: str = "") -> TrainingRun:
        """A new network and a new run; returns at once, or raises what stands in the way."""
        with self._free():
            return self._begin(settings, name)

    def go_on(self, id: str) -> TrainingRun:
        """Go on with a saved run exactly where it was, unless it is of another text or version."""
        with self._free():
            saved = self.saved.find(id)
            if saved.damage:
                raise ValueError(f"{saved.damage}: it can only be deleted")
            if saved.record.get("text") != self.text:
                raise ValueError("this run was begun on another text: read that in the first cell")
            return self._begin(read_settings(saved.record["settings"]), saved=saved)

    def begin_experiment(self, title: str) -> None:
        """Begin an experiment: its runs, one after the other, until one fails or is stopped."""
        with self._free():
            if self.train_iter.valid is None:
                raise ValueError(
                    "experiments compare held-out losses, but this text has no held-out part: "
                    "train on one that load_data_wiki has read"
                )
            self.experiment, self.done = EXPERIMENTS[title], {}
            self.left = dict(self.experiment.runs)
            self._take_next()
            threading.Thread(target=self._go_through, args=[self.run], daemon=True).start()

    def _go_through(self, run: TrainingRun) -> None:
        with suppress(Exception):  # the panel is told by `begin_next`
            while run.wait() and self.begin_next(run):
                run = self.run

    def begin_next(self, run: TrainingRun) -> bool:
        """Whether another run follows this one, which has ended; raises why it cannot begin."""
        with self._lock:
            if self.run is run and self.left and run.state == "finished":
                self._take_next()
                if run.is_to_pause:  # pressed between the two
                    self.run.pause()
            if self.run is run:
                self.left = {}
                if self._refusal is not None:
                    raise self._refusal
            if self.run in (run, None):  # None: another panel was reset
                return False
            # Not a run that somebody has begun since: others follow it.
            return {run.saved.id, self.run.saved.id} <= set(self.done.values())

    def _take_next(self) -> None:
        name, settings = next(iter(self.left.items()))
        try:
            self.done[name] = self._begin(settings, name).saved.id
            del self.left[name]
        except Exception as error:
            self.left, self._refusal = {}, error
            raise

    @contextmanager
    def _free(self) -> Iterator[None]:
        """For whoever begins something: a ValueError while a run goes on."""
        with self._lock:
            if self.is_busy:
                raise ValueError(f"{self.name} goes on: stop it first, or wait for its end")
            if (other := RunQueue._at_work) is not None and other.is_busy:
                where = "in another panel: stop it there, or run this cell again"
                raise ValueError(f"{other.name} goes on {where}")
            if Progress.in_cells:
                raise ValueError("a cell trains now: wait for its end, or stop it with Jupyter's ■")
            self._refusal = None
            yield

    def _begin(
        self, settings: RunSettings, name: str = "", saved: SavedRun | None = None
    ) -> TrainingRun:
        words, examples = len(self.train_iter.vocab), settings.examples(self.train_iter)
        check_fits(settings.config(words), examples, settings)  # before anything takes room
        # Wherever it goes on, it computes in the numbers in which it began.
        is_narrow = pick_dtype(settings.precision, try_all_gpus()[0]) == torch.bfloat16
        exact = replace(settings, precision="bf16" if is_narrow else "fp32")
        if saved is None:
            about = dict(settings=asdict(exact), num_steps=settings.num_steps)
            saved = self.saved.new(name, text=self.text, **about)
        run = TrainingRun(exact.network(words), examples, exact, 10, saved, self.probe)
        self.run, self.settings, RunQueue._at_work = run.start(), settings, self
        return run

    def pause(self) -> None:
        """Stand still after the step under way."""
        with self._lock:
            if self.run:
                self.run.pause()

    def resume(self) -> None:
        """Go on exactly where the run stood."""
        with self._lock:
            if self.run:
                self.run.resume()

    def stop(self) -> None:
        """End the run, and the experiment with it."""
        with self._lock:
            self.left = {}
            if self.run:
                self.run.stop()

    def speed(self, measure: bool = False) -> float | None:
        """Operations per second of this machine, of the fastest of five saved runs, or measured.

        One that ran beside other programs says less; None without any.
        """
        found = []
        for saved in self.runs()[-5:]:
            pairs, step = saved.record.get("pairs_per_second"), saved.record.get("step", 0)
            with suppress(ValueError):  # of another version of this package
                if pairs and step >= 10:
                    settings = read_settings(saved.record["settings"])
                    flops = cost_of(settings, self.train_iter).flops
                    found.append(flops / settings.batch_size * pairs)
        if measure and not found:
            with self._measuring:
                self._speed = self._speed or measure_speed(self.train_iter)
        return max(found, default=self._speed)

    def runs(self) -> list[SavedRun]:
        """The saved runs of this text, and those that are damaged, the oldest first."""
        runs = self.saved.all()
        return [run for run in runs if run.damage or run.record.get("text") == self.text]

    def is_going(self, saved: SavedRun) -> bool:
        """Whether a saved run is the one that goes on here."""
        going = ("running", "pausing", "paused", "stopping")
        return self.run is not None and self.run.saved is saved and self.run.state in going

    def delete(self, id: str) -> None:
        """Delete a saved run for good, unless it goes on."""
        with self._lock:
            if self.is_going(self.saved.find(id)):
                raise ValueError(f"{self.name} goes on: stop it before you delete it")
            self.saved.delete(id)
