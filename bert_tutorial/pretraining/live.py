"""A run that is watched: `train_bert` in a cell or a terminal, and the loop of the panel."""

import sys
import time
from collections.abc import Callable
from typing import Any, Protocol

import torch
from tqdm import tqdm

from ..devices import try_all_gpus
from ..from_d2l import answer_with, check_training
from ..network.model import BERTModel
from ..notebook import PngDisplay, in_notebook
from ..studio.runs.cost import told
from ..studio.runs.fits import check_fits
from ..studio.runs.run import TrainingRun, seconds_left, seconds_of
from ..text.examples import PretrainingExamples
from .settings import Settings

LOOK_EVERY = 0.1  # seconds between two looks at a run
REDRAW_EVERY = 0.5  # seconds between two pictures, at the least
SMOOTHING = 0.9  # of the strong line in the picture; the pale one is what each step gave


class View(Protocol):
    """What shows a run."""

    def update(self) -> None:
        """Show where the run stands."""

    def close(self) -> None:
        """Show how it ended."""


def watch(run: TrainingRun, view: View) -> None:
    """Show a run until it has ended; the one drawing loop of cell, terminal and panel."""
    while not run.wait(LOOK_EVERY):
        view.update()
    view.close()


@answer_with(check_training)
def train_bert(
    train_iter: PretrainingExamples, net: BERTModel, num_steps: int = 50, **recipe: Any
) -> TrainingRun:
    """d2l's function: pretrain `net`, show the losses live, and print how it went.

    The training itself runs in a thread; this function waits and draws. Interrupting it (the
    notebook's stop button, Ctrl-C) ends the run after the step under way, and the network keeps
    what it has learned.

    Args:
        train_iter: Training examples from `load_data_wiki`.
        net: The network; moved to the first GPU if there is one, and changed in place.
        num_steps: Training steps (not epochs), as in d2l.
        **recipe: Anything else of `Settings`: learning_rate, warmup, precision, ...

    Returns:
        The run, with the losses of all steps (`history`) and on the held-out text (`held_out`).

    Raises:
        TypeError: d2l's arguments; the message has the line to write.
        ValueError: A setting that cannot be.
        MemoryError: It would not fit into memory; the message has the nearest setting that fits.
        FloatingPointError: Training diverged.
    """
    devices, how = try_all_gpus(), Settings(num_steps=num_steps, **recipe)
    check_fits(net.to(devices[0]), train_iter, how)
    run = TrainingRun(net, train_iter, how)
    view = notebook_view(run) if in_notebook() else TerminalView(run)
    run.start()
    try:
        watch(run, view)
    except KeyboardInterrupt:
        run.stop()
        run.wait()
        view.close()
        done = len(run.history)
        print(
            f"Stopped after step {done} of {num_steps}: the network keeps what it has learned so "
            "far."
        )
    except BaseException:
        run.stop()
        raise
    if run.error is not None:
        raise run.error
    if run.history:
        print(summary(run, devices[:1]))  # the one that it has trained on
    return run


def summary(run: TrainingRun, devices: list[torch.device]) -> str:
    """d2l's two lines, and a third: the held-out losses beside their baselines."""
    # Of the last tenth of the steps; d2l averages over all, the first ones included.
    last = run.history[-max(1, len(run.history) // 10) :]
    mlm, nsp = (
        sum(getattr(s, name) for s in last) / len(last) for name in ("mlm_loss", "nsp_loss")
    )
    lines = [
        f"MLM loss {mlm:.3f}, NSP loss {nsp:.3f}",
        f"{run.pairs_per_second:.1f} sentence pairs/sec on {devices}",
    ]
    if run.held_out and run.baselines is not None:
        (step, found), known = run.held_out[-1], run.baselines
        when = "" if step == len(run.history) else f" after step {step}"
        lines.append(
            f"held-out{when}: {found}; baselines: uniform {known.uniform:.2f}, "
            f"word frequencies {known.unigram:.2f} ({known.unigram_accuracy:.1%}), "
            f"two neighbours {known.neighbours:.2f} ({known.neighbours_accuracy:.1%}), "
            f"a coin {known.nsp:.2f}"
        )
    return "\n".join(lines)


DOING = {"counting": "counting words and their neighbours", "evaluating": "reading held-out text"}


def progress(run: TrainingRun) -> str:
    """One line on where a run is: step, loss, speed, time left."""
    done, total = len(run.history), run.recipe.num_steps
    where = f"step {done} of {total}"
    if run.doing in DOING:
        return f"{where}: {DOING[run.doing]}"
    if done == 0:
        return f"{where}: the first step is on its way"
    steps = done / max(1e-9, seconds_of(list(run.history)))
    speed = f"{steps:.1f} steps/s, {run.pairs_per_second:,.0f} pairs/s"
    left = f"about {told(seconds_left(run))} left"
    return f"{where}, MLM loss {run.history[-1].mlm_loss:.2f}, {left}, {speed}"


class PlotView:
    """The loss plot, redrawn while the run goes on.

    Args:
        run: What to show.
        show: Shows a PNG, a line about where the run is, and a sentence for those who cannot see
            the picture, in place of the last ones.
    """

    def __init__(self, run: TrainingRun, show: Callable[[bytes, str, str], None]):
        from .loss_plot import LossPlot

        self.run, self.show, self.smoothing = run, show, SMOOTHING
        with_nsp = 0 < run.train_iter.next_sentence_rate < 1
        self.plot = LossPlot(run.recipe.num_steps, run.baselines, with_nsp)
        self.next_drawing, self.drawn = 0.0, ()

    def update(self) -> None:
        """Draw again, unless the last drawing was a moment ago or nothing has changed."""
        began = time.monotonic()
        if began < self.next_drawing:
            return
        self.draw(progress(self.run))
        drawing = time.monotonic() - began
        self.next_drawing = began + max(REDRAW_EVERY, 50 * drawing)  # at most 2 % of the time

    def close(self) -> None:
        """Draw the whole run."""
        done = len(self.run.history)
        self.draw(f"{done} steps, {self.run.pairs_per_second:,.0f} sentence pairs/s")

    def draw(self, title: str) -> None:
        """Draw the run as it is now."""
        from .loss_plot import describe

        run, plot = self.run, self.plot
        what = title, len(run.history), len(run.held_out), run.baselines, self.smoothing
        if what == self.drawn:
            return
        self.drawn, plot.baselines = what, run.baselines
        png = plot.png(run.history, run.held_out, title, self.smoothing)
        self.show(png, title, describe(run.history, run.held_out, run.baselines))


def notebook_view(run: TrainingRun) -> PlotView:
    """The loss plot under the cell; the line about the run stands in it."""
    display = PngDisplay("")

    def show(png: bytes, title: str, alt: str) -> None:
        display.alt = alt
        display.show(png)

    return PlotView(run, show)


class TerminalView:
    """A progress line."""

    def __init__(self, run: TrainingRun):
        self.run = run
        self.bar = tqdm(total=run.recipe.num_steps, unit="step", file=sys.stderr)

    def update(self) -> None:
        """Move the line to where the run is."""
        done = len(self.run.history)
        self.bar.set_description(DOING.get(self.run.doing, ""), refresh=False)
        if done:
            self.bar.set_postfix_str(f"MLM loss {self.run.history[-1].mlm_loss:.2f}", refresh=False)
        self.bar.update(done - self.bar.n)

    def close(self) -> None:
        """Leave the line at the end of the run."""
        self.update()
        self.bar.close()
