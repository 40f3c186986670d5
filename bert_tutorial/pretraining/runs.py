"""A training run in a background thread, which can be watched, paused, resumed and stopped."""

import threading
import weakref

from ..devices import keep_memory
from ..network.model import BERTModel, check_vocab
from ..text.examples import PretrainingExamples
from .baselines import Baselines, baselines
from .evaluation import Evaluation, evaluate
from .training import Recipe, Step, check_weights, prepare, train_steps

A_FEW_BATCHES = 4  # of the held-out text: enough to see, on the way, where a run stands
# The last run of each network, by the network's id. A run keeps its network alive, so an id is not
# used twice.
_last_run: weakref.WeakValueDictionary[int, "TrainingRun"] = weakref.WeakValueDictionary()
_starting = threading.Lock()


class TrainingRun:
    """A run in a background thread: start it, look at it, pause, resume, stop.

    The thread does nothing but train and evaluate; whoever watches reads `history` and `held_out`.
    All methods may be called from any thread.

    Args:
        net: The network, changed in place.
        train_iter: Training examples, and in `valid` the held-out ones.
        recipe: How to train.
        num_evaluations: How often to look at the held-out text before the end.

    Raises:
        ValueError: The network has another vocabulary, or weights that are not float32.

    Attributes:
        history: A `Step` for every step done.
        baselines: What counting reaches on the held-out text; it takes seconds on a large one.
        held_out: `(step, Evaluation)` on the held-out text, before the first step, on the way, and
            after the last.
        is_evaluating: Whether it reads the held-out text just now.
        error: The exception that ended the run, or None.
    """

    def __init__(
        self,
        net: BERTModel,
        train_iter: PretrainingExamples,
        recipe: Recipe,
        num_evaluations: int = 5,
    ):
        check_vocab(net, train_iter.vocab)
        check_weights(net)
        self.net, self.train_iter, self.recipe = net, train_iter, recipe
        self.history: list[Step] = []
        self.held_out: list[tuple[int, Evaluation]] = []
        self.is_evaluating = False
        self.error: BaseException | None = None
        self.baselines: Baselines = baselines(train_iter)
        last = recipe.num_steps
        self._evaluate_at = {round(last * i / num_evaluations) for i in range(num_evaluations)} - {
            last
        }
        self._stop, self._go_on = threading.Event(), threading.Event()
        self._go_on.set()
        # Not Thread.is_alive: an interrupted join makes Python believe that the thread has ended.
        self._ended = threading.Event()
        self._before: TrainingRun | None = None  # a stopped run of this network, until it has ended
        self._thread = threading.Thread(target=self._work, name="pretraining", daemon=True)

    def start(self) -> "TrainingRun":
        """Begin; returns at once. After `stop` of another run, the step under way comes first.

        Raises:
            RuntimeError: This run was started before, or another one trains the network.
        """
        keep_memory()  # before the thread exists, so that it gets no arena of its own
        with _starting:
            if self._thread.ident is not None:
                raise RuntimeError("this run was started before: make a new TrainingRun")
            other = _last_run.get(id(self.net))
            if other is not None and not other._ended.is_set():
                if not other._stop.is_set():
                    raise RuntimeError(
                        f"another run trains this network, {other}: stop() it or wait for its end, "
                        "or train another network"
                    )
                self._before = other
            self._thread.start()
            _last_run[id(self.net)] = self
        return self

    def pause(self) -> None:
        """Wait after the step under way, until `resume`."""
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
        """Where the run stands: waiting, running, paused, stopped, failed or finished."""
        if self._thread.ident is None:
            return "waiting"
        if not self._ended.is_set():
            return "running" if self._go_on.is_set() else "paused"
        if self.error is not None:
            return "failed"
        return "finished" if len(self.history) == self.recipe.num_steps else "stopped"

    def __repr__(self):
        return f"TrainingRun({self.state}, {len(self.history)} of {self.recipe.num_steps} steps)"

    @property
    def pairs_per_second(self) -> float:
        """Sentence pairs trained on per second of training, evaluation not counted."""
        num_pairs = sum(step.num_pairs for step in self.history)
        return num_pairs / max(1e-9, sum(step.seconds for step in self.history))

    def _work(self) -> None:
        try:
            if self._before is not None:
                self._before.wait()
                self._before = None
            prepare(self.net, self.train_iter, self.recipe)
            self._evaluate(0, A_FEW_BATCHES)
            steps = train_steps(self.net, self.train_iter, self.recipe)
            while not self._stop.is_set() and (step := next(steps, None)):
                self.history.append(step)
                if step.step in self._evaluate_at:
                    self._evaluate(step.step, A_FEW_BATCHES)
                while not self._stop.is_set() and not self._go_on.wait(0.1):
                    pass
            self._evaluate(len(self.history), A_FEW_BATCHES if self._stop.is_set() else None)
        except BaseException as error:
            self.error = error
        finally:
            self._ended.set()

    def _evaluate(self, step: int, num_batches: int | None = None) -> None:
        if self.train_iter.valid is not None:
            self.is_evaluating = True
            try:
                found = evaluate(self.net, self.train_iter.valid, num_batches)
            finally:
                self.is_evaluating = False
            self.held_out.append((step, found))
