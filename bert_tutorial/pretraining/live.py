"""d2l's `train_bert`: a run that is shown while it goes on."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

from tqdm import tqdm

from ..devices import try_all_gpus
from ..network.model import BERTModel
from ..notebook import Display, in_notebook
from ..text.examples import PretrainingExamples
from .settings import Settings
from .training import DOING, Progress, run_training, summary


def train_bert(
    train_iter: PretrainingExamples, net: BERTModel, num_steps: int = 50, **settings: Any
) -> Progress:
    """d2l's function: pretrain `net`, show the losses live, and print how it went.

    Interrupting it (the notebook's stop button, Ctrl-C) ends it after the step under way; the
    network keeps what it has learned.

    Args:
        train_iter: Training examples from `load_data_wiki`.
        net: The network; moved to the first GPU if there is one, and changed in place.
        num_steps: Training steps (not epochs), as in d2l.
        **settings: Anything else of `Settings`: learning_rate, warmup, precision, ...

    Returns:
        The losses of all steps (`history`) and on the held-out text (`held_out`).
    """
    progress = Progress(train_iter, Settings(num_steps=num_steps, **settings))
    devices = try_all_gpus()[:1]
    with noticing_interrupts() as interrupted, shown(progress) as show:
        for _ in run_training(net.to(devices[0]), progress):
            show()
            if interrupted.is_set():
                break
    if interrupted.is_set():
        done = f"step {len(progress.history)} of {num_steps}"
        print(f"Stopped after {done}: the network keeps what it has learned so far.")
    if progress.history:
        print(summary(progress, devices))
    return progress


@contextmanager
def noticing_interrupts() -> Iterator[threading.Event]:
    """Ctrl-C only sets the event, so that no step is cut in two; a second one interrupts."""
    noticed = threading.Event()
    is_main = threading.current_thread() is threading.main_thread()  # signals come only there

    def notice(*_: object) -> None:
        noticed.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, notice) if is_main else None
    try:
        yield noticed
    finally:
        if is_main:
            signal.signal(signal.SIGINT, before)


@contextmanager
def shown(progress: Progress) -> Iterator[Callable[[], None]]:
    """Show a run, in a notebook as a picture and in a terminal as a bar; gives what updates it."""
    if in_notebook():
        from .loss_plot import LossPlot  # here, so that importing stays fast

        display = Display()
        plot = LossPlot(progress, lambda png, _, alt: display.show_png(png, alt))
        with closing(plot):
            yield plot.update
        return

    with tqdm(total=progress.settings.num_steps, unit="step", file=sys.stderr) as bar:

        def update() -> None:
            if progress.history:
                bar.set_postfix_str(f"MLM loss {progress.history[-1].mlm_loss:.2f}", refresh=False)
            bar.update(len(progress.history) - bar.n)
            if bar.desc != (doing := DOING.get(progress.doing, "")):
                bar.set_description_str(doing)

        yield update
