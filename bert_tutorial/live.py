"""`train_bert`: a training run with something to look at while it goes on, in a notebook or in a terminal."""

import sys
import time

from tqdm import tqdm

from .examples import PretrainingExamples
from .model import BERTModel
from .notebook import PngDisplay, in_notebook
from .plots import LossPlot
from .training import Recipe, TrainingRun, try_all_gpus

REDRAW_EVERY = 0.5  # seconds, at the least


def train_bert(train_iter: PretrainingExamples, net: BERTModel, num_steps: int = 50, **recipe) -> TrainingRun:
    """Pretrain `net` for a number of steps, showing the losses live, and print how it went.

    The training itself runs in a thread; this function waits and draws. Interrupting it (the notebook's stop button, Ctrl-C)
    ends the run after the step under way, and the network keeps what it has learned.

    Args:
        train_iter: Training examples from `load_data_wiki`.
        net: The network; moved to the first GPU if there is one, and changed in place.
        num_steps: Training steps (not epochs), as in the document.
        **recipe: Anything else of `Recipe`: learning_rate, warmup, precision, ...

    Returns:
        The run, with the losses of all steps (`history`) and on the held-out text (`held_out`).

    Raises:
        ValueError: A setting that cannot be.
        FloatingPointError: Training diverged.
    """
    devices = try_all_gpus()
    run = TrainingRun(net.to(devices[0]), train_iter, Recipe(num_steps=num_steps, **recipe))
    view = (NotebookView if in_notebook() else TerminalView)(run)
    run.start()
    try:
        while not run.wait(0.1):
            view.update()
    except KeyboardInterrupt:
        run.stop()
        run.wait()
        print(f"Stopped after step {len(run.history)} of {num_steps}: the network keeps what it has learned so far.")
    except BaseException:
        run.stop()
        raise
    view.close()
    if run.error is not None:
        raise run.error
    if run.history:
        print(summary(run, devices))
    return run


def summary(run: TrainingRun, devices) -> str:
    """The document's two lines, and a third: the held-out losses beside their yardsticks."""
    last = run.history[
        -max(1, len(run.history) // 10) :
    ]  # the document averages over all steps, the first ones included
    mlm, nsp = (sum(getattr(step, name) for step in last) / len(last) for name in ("mlm_loss", "nsp_loss"))
    lines = [f"MLM loss {mlm:.3f}, NSP loss {nsp:.3f}", f"{run.pairs_per_second:.1f} sentence pairs/sec on {devices}"]
    if run.held_out:
        known = run.yardsticks
        lines.append(
            f"held-out: {run.held_out[-1][1]}; yardsticks: uniform {known.uniform:.2f}, word frequencies {known.unigram:.2f} "
            f"({known.unigram_accuracy:.1%}), a coin {known.nsp:.2f}"
        )
    return "\n".join(lines)


def progress(run: TrainingRun) -> str:
    """One line on where a run is: step, speed, time left."""
    done, total = len(run.history), run.recipe.num_steps
    if done == 0:
        return f"step 0 of {total}: the first step is on its way"
    left = (total - done) * sum(step.seconds for step in run.history) / done
    loss = f"MLM loss {run.history[-1].mlm_loss:.2f}"
    return f"step {done} of {total}, {loss}, {run.pairs_per_second:,.0f} pairs/s, about {left:.0f} s left"


class NotebookView:
    """The loss plot under the cell, redrawn in place."""

    def __init__(self, run: TrainingRun):
        self.run = run
        self.plot = LossPlot(run.recipe.num_steps, run.yardsticks)
        self.output = PngDisplay("Training and held-out losses by step, with their yardsticks")
        self.next_drawing = 0.0

    def update(self) -> None:
        began = time.monotonic()
        if began < self.next_drawing:
            return
        self.output.show(self.plot.png(self.run.history, self.run.held_out, progress(self.run)))
        drawing = time.monotonic() - began
        self.next_drawing = began + max(REDRAW_EVERY, 20 * drawing)  # at most 5 % of the time goes into drawing

    def close(self) -> None:
        title = f"{len(self.run.history)} steps, {self.run.pairs_per_second:,.0f} sentence pairs/s"
        self.output.show(self.plot.png(self.run.history, self.run.held_out, title))


class TerminalView:
    """A progress line."""

    def __init__(self, run: TrainingRun):
        self.run = run
        self.bar = tqdm(total=run.recipe.num_steps, unit="step", file=sys.stderr)

    def update(self) -> None:
        done = len(self.run.history)
        if done:
            self.bar.set_postfix_str(f"MLM loss {self.run.history[-1].mlm_loss:.2f}", refresh=False)
        self.bar.update(done - self.bar.n)

    def close(self) -> None:
        self.update()
        self.bar.close()
