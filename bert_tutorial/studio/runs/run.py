"""A training run in a background thread, which can be watched, paused, resumed and stopped."""

import math
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any

from ...devices import keep_memory
from ...network.model import BERTModel
from ...pretraining.optimizers import make_optimizers
from ...pretraining.settings import Settings
from ...pretraining.training import Progress, Step, check_network, run_training
from ...text.examples import PretrainingExamples
from .saved_runs import SavedRun


class TrainingRun(Progress):
    """A run in a background thread; whoever watches reads `history` and `held_out`.

    All methods may be called from any thread. Pausing and stopping take effect after the step under
    way: the losses are those of a run without a pause.

    Args:
        net: The network, changed in place.
        train_iter: Training examples, and in `valid` the held-out ones.
        settings: How to train.
        num_evaluations: How often to look at the held-out text before the end.
        saved: Where to save the run on disk; it goes on where that one was.
        probe: Asked at each evaluation what the network has learned so far; gives what JSON can
            hold.

    Raises:
        ValueError: The network has another vocabulary, or weights that are not float32.

    Attributes:
        probes: `(step, answer)` of `probe`, at each evaluation.
        is_still: Whether it rests in a pause.
        error: The exception that ended the run, or None.
    """

    def __init__(
        self,
        net: BERTModel,
        train_iter: PretrainingExamples,
        settings: Settings,
        num_evaluations: int = 5,
        saved: SavedRun | None = None,
        probe: Callable[[BERTModel], Any] | None = None,
    ):
        check_network(net, train_iter.vocab)
        super().__init__(train_iter, settings)
        self.net, self.saved, self.probe = net, saved, probe
        self.num_evaluations, self.is_still = num_evaluations, False
        self.probes: list[tuple[int, Any]] = []
        self.error: BaseException | None = None
        self.optimizers = make_optimizers(net, settings)
        self._logged_step = self._saved_step = 0
        self._stop, self._go_on = threading.Event(), threading.Event()
        self._go_on.set()
        # Not Thread.is_alive: an interrupted join makes Python believe that the thread has ended.
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="pretraining", daemon=True)

    def start(self) -> "TrainingRun":
        """Begin; returns at once."""
        keep_memory()  # before the thread exists, so that it gets no arena of its own
        self._thread.start()
        return self

    def pause(self) -> None:
        """Stand still after the step under way, until `resume`."""
        self._go_on.clear()

    def resume(self) -> None:
        """Go on after `pause`, as if there had been none."""
        self._go_on.set()

    def stop(self) -> None:
        """End after the step under way; the network keeps what it has learned."""
        self._stop.set()
        self._go_on.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the end, at most so many seconds; True once it has ended."""
        has_ended = self._ended.wait(seconds)
        if has_ended:
            # What is left is to free its tensors. A program that ends meanwhile would be aborted.
            self._thread.join()
        return has_ended

    @property
    def state(self) -> str:
        """Waiting, running, pausing, paused, stopping, stopped, failed or finished."""
        if self._thread.ident is None:
            return "waiting"
        if not self._ended.is_set():
            if self._stop.is_set():
                return "stopping"
            if self._go_on.is_set():
                return "running"
            return "paused" if self.is_still else "pausing"
        if self.error is not None:
            return "failed"
        return "finished" if len(self.history) == self.settings.num_steps else "stopped"

    def __repr__(self):
        return f"TrainingRun({self.state}, {len(self.history)} of {self.settings.num_steps} steps)"

    def _work(self) -> None:
        try:
            if self.saved is not None:
                self._load()
            how = dict(optimizers=self.optimizers, num_evaluations=self.num_evaluations)
            for _ in run_training(self.net, self, **how):
                done = len(self.history)
                if self.doing == "evaluating" and self.probe and done not in dict(self.probes):
                    self.probes.append((done, self.probe(self.net)))
                if self.saved is not None:
                    self._keep(done)
                if not self._go_on.is_set():
                    self._rest()
                if self._stop.is_set():
                    break
        except BaseException as error:
            self.error = error
        try:
            if self.saved is not None and self.saved.is_open:
                with closing(self.saved):
                    if self.saved.path.exists():  # somebody may have deleted it
                        self._store(with_checkpoint=self.error is None)
        except Exception as error:
            self.error = self.error or error
        finally:
            self._ended.set()

    def _rest(self) -> None:
        if self.saved is not None:
            self._store()
        self.is_still = True
        while not (self._go_on.wait(0.1) or self._stop.is_set()):
            pass
        self.is_still = False

    def _load(self) -> None:
        """Go on where the saved run was; steps that a damaged log lacks have no losses (NaN)."""
        self.saved.open()
        try:
            done = self.saved.load(self.net, self.optimizers)
            known = {step.step: step for step in self.saved.shorten_log(done)}
        except BaseException as error:
            with suppress(OSError):
                self.saved.update(error=str(error))
            self.saved.close()
            raise
        lost = Step(0, math.nan, math.nan, 0, 0.0, math.nan)
        self.history += [known.get(n, lost._replace(step=n)) for n in range(1, done + 1)]
        self.held_out += [found for found in self.saved.held_out if found[0] <= done]
        probes = self.saved.record.get("probes", [])
        self.probes += [(step, answer) for step, answer in probes if step <= done]
        self._logged_step = self._saved_step = done
        self._store()

    def _keep(self, done: int) -> None:
        """Log the last step, and store the run where it is time."""
        if done > self._logged_step:
            self.saved.add(self.history[-1])
            self._logged_step = done
        if self.saved.is_due or self.doing == "evaluating":
            self._store(with_checkpoint=self.saved.is_due)

    def _store(self, with_checkpoint: bool = True) -> None:
        """Write the record, and perhaps a checkpoint of the last whole step, unless it is there."""
        done = len(self.history)
        if with_checkpoint and done != self._saved_step:
            self.saved.save(self.net, self.optimizers, done)
            self._saved_step = done
        is_measured = self.train_iter.valid is None or done in dict(self.held_out)
        self.saved.update(
            step=done,
            seconds=self.seconds,
            pairs_per_second=self.pairs_per_second,
            held_out=[[step, *found] for step, found in self.held_out],
            probes=self.probes,
            baselines=self.baselines,
            error=(str(self.error) or type(self.error).__name__) if self.error else None,
            is_finished=done == self.settings.num_steps and is_measured,
        )
