"""The training panel: choose, start, pause, and see a network learn.

What can be chosen and pressed; the state is `pretraining/workbench.py`, and each view below the
picture a class of its own.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipywidgets as ipw

from ...network.model import BERTModel, in_mode
from ...pretraining.live import watch
from ...text.examples import PretrainingExamples
from ...text.wikitext_format import Corpus
from ..published.checkpoints import save_checkpoint, trained_path
from ..runs.queue import RunQueue
from ..runs.run import TrainingRun
from ..runs.saved_runs import SavedRuns
from ..runs.settings import DOCUMENT, RECIPES, RunSettings
from .panel_controls import Controls
from .panel_parts import ExperimentPart, LearnedPart, learned_of
from .panel_view import PanelView, Replaced
from .panel_views import ButtonRow, Picture
from .parts import NAME, Panel
from .runs_part import RunsPart
from .views import NumberSlider, StatusLine


class TrainingPanel(Panel):
    """Train BERT by hand.

    No cell is busy while it trains, so the buttons answer at once. A second panel, or the cell run
    again, takes over the run that goes on.

    Args:
        train_iter: Examples of the text; a run has its own, by its settings.
        corpus: What the text was read from.
        settings: What the controls say at first; d2l's sizes if None.
        kept: Where runs are kept; None for the folder in the cache.
        folder: Where tables and pictures of runs are written.
    """

    fallback = "Training panel (open this notebook in JupyterLab to use it)"

    def __init__(
        self,
        train_iter: PretrainingExamples,
        corpus: str | Path | Corpus = "bundled",
        settings: RunSettings | None = None,
        kept: SavedRuns | None = None,
        folder: str | Path = ".",
    ):
        self.train_iter, self.corpus = train_iter, corpus
        self._own, problem = learned_of(train_iter.vocab, corpus)
        self.bench = RunQueue.open(train_iter, kept, self._own)
        self._lock, self._view = threading.RLock(), None
        going = self.bench.settings if self.bench.is_busy else None
        self.controls = Controls(self.bench, going or settings or RECIPES[DOCUMENT])
        self.presses: dict[str, Callable[[], Any]] = {
            "Start": self._start,
            "Pause": self.bench.pause,
            "Resume": self.bench.resume,
            "Stop": self.bench.stop,
            "Reset": self._reset,
            "Keep for notebook 3": self._keep,
            "Run experiment": self._run_experiment,
            "Save CSV": lambda: self.say(f"Written: {self.runs.save_csv(self.bench)}"),
            "Save PNG": lambda: self.say(f"Written: {self.runs.save_png()}"),
        }
        self.buttons = ButtonRow(names=list(self.presses)[:6], label="Training")
        self.status, self.bar, self.picture = StatusLine(), ipw.HTML(), Picture()
        self.smoothing = NumberSlider(value=90, min=0, max=99, description="Smoothing, %")
        self.learned = LearnedPart(self.bench.look or self._own)
        self.experiment, self.runs = ExperimentPart(), RunsPart(Path(folder))
        self.parts = {
            "what it learns": self.learned, "experiments": self.experiment, "runs": self.runs,
        }  # fmt: skip
        self.show = ipw.Dropdown(options=list(self.parts), description="Show", style=NAME)
        self.part = ipw.VBox()
        choices = ipw.HBox([self.smoothing, self.show], layout=ipw.Layout(flex_flow="row wrap"))
        rows = [self.controls.box, self.buttons, self.status, self.bar, self.picture, choices]
        super().__init__([*rows, self.part])
        self.add_class("bert-panel")
        self._connect()
        self._choose_part()
        if self.bench.is_busy:
            self._follow()
        else:
            self.say(problem or "Choose, then press Start.", is_error=bool(problem))
        self.mark()

    def _connect(self) -> None:
        for control, react in (
            (self.smoothing, self._smooth),
            (self.show, self._choose_part),
            (self.experiment.choice, self.show_part),
        ):
            control.observe(lambda _, react=react: self._try(react), names="value")
        for row in (self.buttons, self.experiment.buttons, self.runs.buttons):
            row.observe(lambda change: self._try(self._press, change.new["name"]), names="clicked")
        self.runs.table.observe(lambda _: self._try(self.show_part), names="ticked")
        self.runs.table.observe(lambda change: self._try(self._edit, change.new), names="event")

    @property
    def settings(self) -> RunSettings:
        """What the controls say."""
        return self.controls.settings

    @property
    def run(self) -> TrainingRun | None:
        """The run that goes on, or the last one."""
        return self.bench.run

    @property
    def net(self) -> BERTModel | None:
        """Its network."""
        return self.run.net if self.run is not None else None

    def say(self, text: str, is_error: bool = False) -> None:
        """Show a sentence in the status line, unless it stands there."""
        if (text, is_error) != (self.status.text, self.status.is_error):
            self.status.say(text, is_error)

    def _try(self, what: Callable[..., Any], *arguments: Any) -> None:
        """Do something; the status line says why it cannot be done."""
        with self._lock:  # callbacks may come on several threads
            try:
                what(*arguments)
            except Exception as error:  # in a callback it would vanish
                self.say(str(error) or type(error).__name__, is_error=True)

    # What can be pressed

    def _press(self, name: str) -> None:
        self.presses[name]()
        self.mark()

    def _start(self) -> None:
        if not self.bench.is_busy:
            self._use_own_text()
            self.bench.begin(self.settings)
            self._follow()

    def _run_experiment(self) -> None:
        if not self.bench.is_busy:
            self._use_own_text()
            self.bench.begin_experiment(self.experiment.choice.value)
            self._follow()

    def _use_own_text(self) -> None:
        self.bench.use(self.train_iter, self._own)
        self.learned.use(self._own)

    def _keep(self) -> None:
        path, done = trained_path(self.corpus), len(self.run.history)
        with in_mode(self.net, self.net.training):  # not in the middle of a step
            save_checkpoint(self.net, self.run.train_iter.vocab, path)
        self.say(
            f"{self.bench.name} is kept as it is after {done} steps: notebook 3 takes it, with "
            'prefer = "trained" in its first cell.'
        )

    def _reset(self) -> None:
        if self.bench.is_busy:
            return
        self.bench.run = self.bench.experiment = self._view = None
        self.controls.fill(RECIPES[DOCUMENT])
        self.picture.show(b"", "")
        self.bar.value = ""
        self.keep_static("")
        self.show_part()
        self.say("As at the beginning; kept runs stay. Choose, then press Start.")

    def _edit(self, event: dict[str, Any]) -> None:
        """Do what was asked for in the table of runs."""
        action, id = event.get("action"), event.get("id", "")
        if action == "rename":
            self.bench.rename(id, event["name"])
        elif action == "delete":
            self.bench.delete(id)
        elif action == "go_on" and not self.bench.is_busy:
            self._use_own_text()
            self.bench.go_on(id)
            self.controls.fill(self.bench.settings)
            self._follow()
        self.show_part()
        self.mark()

    def mark(self) -> None:
        """Say which buttons can be pressed."""
        run, busy = self.run, self.bench.is_busy
        state = run.state if run is not None else "waiting"
        is_free = not (busy or self.status.is_going)  # the last picture comes first
        can = [is_free, state == "running", state == "paused", busy, is_free]
        can.append(run is not None and bool(run.history) and state != "running")
        active = [name for name, can_be in zip(self.buttons.names, can, strict=True) if can_be]
        if active != self.buttons.active:
            self.buttons.active = active

    def _smooth(self) -> None:
        self.runs.smoothing = self.smoothing.value / 100
        if self._view is not None:
            self._view.smooth(self.runs.smoothing)
        self.show_part()

    def _choose_part(self) -> None:
        self.show_part()
        self.part.children = (self.parts[self.show.value].box,)

    def show_part(self) -> None:
        """Bring the view below the picture up to date."""
        with self._lock:
            self.parts[self.show.value].show(self.bench)

    # While a run goes on

    def _follow(self) -> None:
        """Show the run from now on, in a thread of its own."""
        self.bench.viewer, self.status.is_going = self, True
        threading.Thread(target=self._watch, name="drawing", daemon=True).start()

    def _watch(self) -> None:
        try:
            while True:  # an experiment has several runs
                run = self.bench.run
                self._view = PanelView(self, run)
                watch(run, self._view)
                self.bench.wait_for_next(run)
                if run is self.bench.run:
                    break
            if self.bench.problem:
                self.say(self.bench.problem, is_error=True)
        except Replaced:
            self.say("Another panel shows this run now.")
        except Exception as error:  # whatever it is: it is told, and the panel stays usable
            self.bench.stop()
            run.wait(10)  # so that Start comes back
            self.say(str(error) or type(error).__name__, is_error=True)
        finally:
            self.status.is_going = False
            for last in (self.show_part, self.controls.tell_cost, self.mark):
                self._try(last)
