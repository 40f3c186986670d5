"""A whole run: counting, training and measuring; and d2l's `train_bert`, which shows it."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import torch
from tqdm import tqdm

from ..devices import try_all_gpus
from ..network.model import BERTModel
from ..notebook import Display, in_notebook
from ..text.examples import PretrainingExamples
from .evaluation import baselines, evaluate
from .optimizers import make_optimizers
from .run import DOING, Progress, Settings, summary
from .training import check_network, prepare, train_steps
from .workers import Workers

FEW = 4  # batches of held-out text: enough to see where a run stands


def run_training(
    net: BERTModel,
    progress: Progress,
    *,
    optimizers: list[torch.optim.Optimizer] | None = None,
    num_evaluations: int = 5,
    processes: int = 1,
) -> Iterator[None]:
    """Count the baselines, train, and read the same held-out text now and then; at the end all.

    Yields before the first piece of work and after each: nothing is half done, and `progress.doing`
    says what comes next ("evaluating" also where there is no held-out text). A progress with steps
    goes on after them, with the network and the optimizers of that moment. With several `processes`
    others train, and whoever wants the weights of a moment calls `progress.fetch` first.
    """
    train_iter, settings = progress.train_iter, progress.settings
    first, last, valid = len(progress.history), settings.num_steps, train_iter.valid
    check_network(net, train_iter.vocab)
    evaluate_at = {round(last * i / num_evaluations) for i in range(num_evaluations)} | {last}
    progress.doing = "counting"
    yield
    progress.baselines = baselines(train_iter)
    yield
    prepare(net, train_iter, settings)
    optimizers = optimizers or make_optimizers(net, settings)
    how = net, train_iter, settings, optimizers, first
    with ExitStack() as at_end:
        if processes > 1 and first < last:
            progress.doing = "starting"
            yield
            workers = at_end.enter_context(closing(Workers(*how, processes)))
            progress.fetch, steps = workers.fetch, workers.steps()
        else:
            steps = train_steps(*how[:3], optimizers=optimizers, first_step=first)
        for done in range(first, last + 1):
            if done in evaluate_at:
                progress.doing = "evaluating"
                yield
                if valid is not None and done not in dict(progress.held_out):
                    progress.fetch()
                    found = [(done, evaluate(net, valid, FEW))]
                    if done == last and len(valid) > FEW:
                        found.append((done, evaluate(net, valid)))
                    progress.held_out += found
            progress.doing = "training"
            yield
            if done < last:
                progress.history.append(next(steps))


def check_processes(net: BERTModel, processes: int | None, batch_size: int) -> int:
    """How many processes train a network: as many as are wished, by default one for each GPU.

    They build the network anew from its sizes; one of a class of your own they cannot know.
    """
    devices = try_all_gpus()
    number = len(devices) if processes is None else processes
    most = len(devices) if devices[0].type == "cuda" else 1 if devices[0].type == "mps" else 64
    most = min(most, batch_size)
    if type(number) is not int or not 1 <= number <= most:
        raise ValueError(
            f"processes is {processes!r}, but must be a whole number from 1 to {most}: each has a "
            "GPU of its own, or a part of the processor, and at least one row of a batch"
        )
    if number > 1 and type(net) is not BERTModel:
        print(
            f"A network of the class {type(net).__name__} trains in this process, on {devices[0]}: "
            "others know BERTModel only."
        )
        return 1
    return number


def train_bert(
    train_iter: PretrainingExamples,
    net: BERTModel,
    num_steps: int = 50,
    processes: int | None = None,
    **settings: Any,
) -> Progress:
    """d2l's function: pretrain `net`, show the losses live, and print how it went.

    Interrupting it (the notebook's stop button, Ctrl-C) ends it after the step under way; the
    network keeps what it has learned.

    Args:
        train_iter: Training examples from `load_data_wiki`.
        net: The network; moved to the first GPU if there is one, and changed in place.
        num_steps: Training steps (not epochs), as in d2l.
        processes: How many share each batch; None for one on each GPU. On a processor several are
            no faster; they are there to be tried.
        **settings: Anything else of `Settings`: learning_rate, warmup, precision, ...

    Returns:
        The losses of all steps (`history`) and on the held-out text (`held_out`).
    """
    progress = Progress(train_iter, Settings(num_steps=num_steps, **settings))
    number = check_processes(net, processes, train_iter.batch_size)
    devices = [device for device in try_all_gpus() * number][:number]
    with noticing_interrupts() as interrupted, shown(progress) as show:
        run = run_training(net.to(devices[0]), progress, processes=number)
        with closing(run):
            for _ in run:
                show()
                if interrupted.is_set():
                    break
            progress.fetch()
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

        with closing(LossPlot(progress, Display().show_png)) as plot:
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
