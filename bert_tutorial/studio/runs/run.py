"""A training run in a background thread, which can be watched, paused, resumed and stopped."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any
from weakref import WeakKeyDictionary, finalize

from ...devices import keep_memory
from ...network.model import BERTModel
from ...pretraining.optimizers import make_optimizers
from ...pretraining.run import Progress, Settings
from ...pretraining.running import check_processes, run_training
from ...pretraining.training import check_network
from ...text.examples import PretrainingExamples
from .saved_runs import SavedRun


class TrainingRun(Progress):
    """A run in a background thread; whoever watches reads `history` and `held_out`.

    All methods may be called from any thread. Pausing and stopping take effect after the step under
    way: the losses are those of a run without a pause.

    Args:
        net, train_iter, settings: The network, changed in place, and how to train it on what.
        num_evaluations: How often to look at the held-out text before the end.
        saved: Where to save the run on disk; it goes on where that one was.
        probe: Asked at each evaluation what the network has learned; gives what JSON can hold.

    Raises:
        ValueError: The network has another vocabulary, or weights that are not float32.

    Attributes:
        probes: `(step, answer)` of `probe`, at each evaluation.
        is_still: Whether it rests in a pause.
        error: The exception that ended the run, or None.
    """

    _ends: WeakKeyDictionary[BERTModel, threading.Event] = WeakKeyDictionary()  # of the last runs

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
        self._stop, self._go_on = threading.Event(), threading.Event()
        self._go_on.set()
        # Not Thread.is_alive: an interrupted join makes Python believe that the thread has ended.
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="pretraining", daemon=True)

    def start(self) -> "TrainingRun":
        """Begin, and return at once; a ValueError while another run trains the network."""
        other = self._ends.get(self.net)
        if other is not None and not other.is_set():
            raise ValueError("another run trains this network: stop it first, or wait for its end")
        keep_memory()  # before the thread exists, so that it gets no arena of its own
        self._thread.start()
        self._ends[self.net] = self._ended
        # A program that ends meanwhile waits for the step under way, and what is saved then.
        finalize(self, _end, self._stop, self._ended, self._thread)
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

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the end, at most so many seconds; True once it has ended."""
        if has_ended := self._ended.wait(seconds):
            # What is left is to free its tensors. A program that ends meanwhile would be aborted.
            self._thread.join()
        return has_ended

    @property
    def is_to_pause(self) -> bool:
        """Whether `pause` was called, and not `resume` since."""
        return not self._go_on.is_set()

    @property
    def state(self) -> str:
        """Waiting, running, pausing, paused, stopping, stopped, failed or finished."""
        if self._thread.ident is None:
            return "waiting"
        if self._ended.is_set():
            is_whole = len(self.history) == self.settings.num_steps
            return "failed" if self.error else "finished" if is_whole else "stopped"
        if self._stop.is_set():
            return "stopping"
        if self.is_to_pause:
            return "paused" if self.is_still else "pausing"
        return "running"

    def __repr__(self):
        return f"TrainingRun({self.state}, {len(self.history)} of {self.settings.num_steps} steps)"

    def _work(self) -> None:
        try:
            if self.saved is None:
                self._train()
            else:
                self._keep(self.saved.open)
                with closing(self.saved):
                    self._load()
                    try:
                        self._train()
                    except BaseException as error:
                        self.error = error
                    if self.saved.path.exists():  # somebody may have deleted it
                        self._store(with_checkpoint=self.error is None)
        except BaseException as error:
            self.error = self.error or error
        finally:
            self._ended.set()

    def _train(self) -> None:
        how, logged = dict(optimizers=self.optimizers), len(self.history)
        how |= dict(num_evaluations=self.num_evaluations)
        how |= dict(processes=check_processes(self.net, None, self.train_iter.batch_size))
        with closing(run_training(self.net, self, **how)) as run:
            self._go_through(run, logged)

    def _go_through(self, run: Iterator[None], logged: int) -> None:
        for _ in run:
            done, pauses = len(self.history), self.is_to_pause
            if self.doing == "evaluating" and self.probe and done not in dict(self.probes):
                self.fetch()
                self.probes.append((done, self.probe(self.net)))
            if self.saved is not None:
                for step in self.history[logged:]:
                    self._keep(self.saved.add, step)
                logged, is_due = done, pauses or self.saved.is_due
                if is_due or self.doing == "evaluating":
                    self._store(with_checkpoint=is_due)
            self.is_still = pauses
            while pauses and not (self._go_on.wait(0.1) or self._stop.is_set()):
                pass
            self.is_still = False
            if self._stop.is_set():
                break
        self.fetch()

    def _keep(self, write: Callable, *what: Any, **facts: Any) -> None:
        """Write on the disk; where it is full or locked the run goes on, and nothing is kept."""
        if self.saved.trouble:
            return
        try:
            write(*what, **facts)
        except OSError as error:
            if isinstance(error.__cause__, FileNotFoundError):  # somebody has deleted the run
                raise
            self.saved.trouble = str(error)

    def _load(self) -> None:
        """Go on where the saved run was; steps that a damaged log lacks have no losses (NaN)."""
        try:
            done = self.saved.load(self.net, self.optimizers)
            self.history += self.saved.steps(done)
            self._keep(self.saved.write_log, self.history)
        except Exception as error:
            with suppress(OSError):
                self.saved.update(error=str(error))
            raise
        self.held_out += [found for found in self.saved.held_out if found[0] <= done]
        probes = self.saved.record.get("probes", [])
        self.probes += [(step, answer) for step, answer in probes if step <= done]
        self._store(with_checkpoint=False)

    def _store(self, with_checkpoint: bool) -> None:
        done = len(self.history)
        if with_checkpoint:
            self.fetch()
            self._keep(self.saved.save, self.net, self.optimizers, done)
        is_measured = self.train_iter.valid is None or done in dict(self.held_out)
        self._keep(
            self.saved.update,
            step=done,
            seconds=self.seconds,
            pairs_per_second=self.pairs_per_second,
            held_out=[[step, *found] for step, found in self.held_out],
            probes=self.probes,
            baselines=self.baselines,
            error=(str(self.error) or type(self.error).__name__) if self.error else None,
            is_finished=done == self.settings.num_steps and is_measured,
        )


def _end(stop: threading.Event, ended: threading.Event, thread: threading.Thread) -> None:
    stop.set()
    ended.wait()
    if thread is not threading.current_thread():  # which is the last to know of its run
        thread.join()
