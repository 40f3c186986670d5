"""A training run in a background thread, which can be watched, paused, resumed and stopped."""

import threading
import weakref
from collections.abc import Callable
from typing import Any

from ...devices import keep_memory
from ...network.model import BERTModel, check_vocab
from ...pretraining.cooccurrence import neighbour_vectors
from ...pretraining.evaluation import Baselines, Evaluation, baselines, evaluate
from ...pretraining.optimizers import make_optimizers
from ...pretraining.settings import Settings
from ...pretraining.training import Step, check_weights, is_new, prepare, train_steps
from ...text.examples import PretrainingExamples
from .saved_runs import SavedRun

A_FEW_BATCHES = 4  # of the held-out text: enough to see, on the way, where a run stands
# The last run of each network, by the network's id. A run keeps its network alive, so an id is not
# used twice.
_last_run: weakref.WeakValueDictionary[int, "TrainingRun"] = weakref.WeakValueDictionary()
_starting = threading.Lock()


class Stopped(Exception):
    """The run was asked to stop."""


class TrainingRun:
    """A run in a background thread: start it, look at it, pause, resume, stop.

    The thread does nothing but train and evaluate; whoever watches reads `history` and `held_out`.
    All methods may be called from any thread. Pausing and stopping take effect within a step, which
    then is done again or never: the losses are those of a run without a pause.

    Args:
        net: The network, changed in place.
        train_iter: Training examples, and in `valid` the held-out ones.
        recipe: How to train.
        num_evaluations: How often to look at the held-out text before the end.
        kept: Where to keep the run on disk; it goes on where that one was.
        look: Asked at each evaluation what the network has learned so far; gives what JSON can
            hold.

    Raises:
        ValueError: The network has another vocabulary, or weights that are not float32.

    Attributes:
        history: A `Step` for every step done.
        baselines: What counting reaches on the held-out text; None until it is counted.
        held_out: `(step, Evaluation)` on the held-out text, before the first step, on the way, and
            after the last.
        looks: `(step, answer)` of `look`, at the same steps.
        doing: What it does just now: "counting", "evaluating" or "training".
        is_still: Whether it rests in a pause.
        error: The exception that ended the run, or None.
    """

    def __init__(
        self,
        net: BERTModel,
        train_iter: PretrainingExamples,
        recipe: Settings,
        num_evaluations: int = 5,
        kept: SavedRun | None = None,
        look: Callable[[BERTModel], Any] | None = None,
    ):
        check_vocab(net, train_iter.vocab)
        check_weights(net)
        self.net, self.train_iter, self.recipe = net, train_iter, recipe
        self.kept, self.look = kept, look
        self.history: list[Step] = []
        self.held_out: list[tuple[int, Evaluation]] = []
        self.looks: list[tuple[int, Any]] = []
        self.doing, self.is_still = "counting", False
        self.error: BaseException | None = None
        self.baselines: Baselines | None = None
        self.optimizers = make_optimizers(net, recipe)
        last = recipe.num_steps
        on_the_way = range(num_evaluations)
        self._evaluate_at = {round(last * i / num_evaluations) for i in on_the_way} - {last}
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
        """Stand still, at once or within a part of a step, until `resume`."""
        self._go_on.clear()

    def resume(self) -> None:
        """Go on after `pause`, as if there had been none."""
        self._go_on.set()

    def stop(self) -> None:
        """End; the network keeps what it has learned up to the last whole step."""
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
        history = list(self.history)
        return sum(step.num_pairs for step in history) / max(1e-9, seconds_of(history))

    def _work(self) -> None:
        try:
            while self._before is not None and not self._before.wait(0.05):
                self._rest()
            self._before = None
            self._count()
            self._train()
        except Stopped:
            pass
        except BaseException as error:
            self.error = error
        finally:
            try:
                if self.kept is not None:
                    self.kept.close(self)
            except Exception as error:
                self.error = self.error or error
            finally:
                self._ended.set()

    def _count(self) -> None:
        """What takes seconds on a large text, and cannot be interrupted: in a thread of its own.

        A run that is stopped meanwhile ends; what is counted is there for the next one.
        """
        net, text, vocab = self.net, self.train_iter.text, self.train_iter.vocab

        def count() -> None:
            baselines(self.train_iter)
            if self.recipe.word_neighbours and is_new(net):
                neighbour_vectors(text, vocab, net.config.num_hiddens)

        counting = threading.Thread(target=count, name="counting", daemon=True)
        counting.start()
        while counting.is_alive():
            self._rest()
            counting.join(0.05)
        self._rest()
        self.baselines = baselines(self.train_iter)  # known by now, or the error comes here
        prepare(net, self.train_iter, self.recipe)

    def _train(self) -> None:
        done = self.kept.begin(self) if self.kept is not None else 0
        self._evaluate(done)
        self.doing = "training"
        steps = train_steps(
            self.net,
            self.train_iter,
            self.recipe,
            optimizers=self.optimizers,
            first_step=done,
            rest=self._rest,
        )
        for step in steps:
            self.history.append(step)
            if self.kept is not None:
                self.kept.add(self, step)
            self._evaluate(step.step)
            self._rest()

    def _rest(self) -> None:
        """Wait while the run is paused; raise once it is stopped."""
        while not self._go_on.is_set() and not self._stop.is_set():
            if not self.is_still and self.kept is not None:
                self.kept.save(self)
            self.is_still = True
            self._go_on.wait(0.1)
        self.is_still = False
        if self._stop.is_set():
            raise Stopped

    def _evaluate(self, step: int) -> None:
        """Read the held-out text where it is time, unless it was read there before."""
        is_last = step == self.recipe.num_steps
        if not (is_last or step in self._evaluate_at):
            return
        self.doing = "evaluating"
        valid, some = self.train_iter.valid, None if is_last else A_FEW_BATCHES
        if valid is not None and step not in dict(self.held_out):
            self.held_out.append((step, evaluate(self.net, valid, some, self._rest)))
        self._rest()
        if self.look is not None and step not in dict(self.looks):
            self.looks.append((step, self.look(self.net)))
        if self.kept is not None:
            self.kept.tell(self)
        self.doing = "training"


def seconds_of(history: list[Step]) -> float:
    """Seconds of work of some steps."""
    return sum(step.seconds for step in history)


def seconds_left(run: TrainingRun) -> float | None:
    """How long the steps that are left will take, by the last ones; None before the first."""
    last = list(run.history)[-20:]
    left = run.recipe.num_steps - len(run.history)
    return seconds_of(last) / len(last) * left if last else None
