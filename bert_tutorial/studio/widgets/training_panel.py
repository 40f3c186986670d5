"""The training panel: choose, start, pause, and see a network learn.

What can be chosen and pressed; `studio/runs/queue.py` does it.
"""

import atexit
import html
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipywidgets as ipw

from ...notebook import png_html
from ...plots import shorten
from ...pretraining.loss_plot import LossPlot
from ...pretraining.run import last_held_out, status_line
from ...text.corpora import read_text
from ...text.examples import PretrainingExamples
from ...text.wikitext_format import Corpus
from ..lab.probe import Probe
from ..published.checkpoints import save_checkpoint, trained_path
from ..runs.queue import RunQueue
from ..runs.run import TrainingRun
from ..runs.saved_runs import SavedRuns
from ..runs.settings import MINUTE, PANEL_RECIPES, RunSettings
from .panel_controls import Controls
from .panel_parts import ExperimentPart, LearnedPart, RunsPart, csv_of
from .parts import NAME, WRAP, Panel, paragraph
from .views import ButtonRow, NumberSlider, Picture, StatusLine

LOOK_EVERY = 0.1  # seconds between two looks at a run
BEAT_EVERY, PART_EVERY = 20, 5  # looks: the page hears that the kernel is alive; a part is shown


class TrainingPanel(Panel):
    """Train BERT by hand.

    No cell is busy while it trains, so the buttons answer at once. A second panel, or the cell run
    again, takes over the run that goes on.

    Args:
        train_iter: Examples of the text; a run has its own, by its settings.
        corpus: What the text was read from.
        settings: What the controls say at first; those that learn in a minute if None.
        saved: Where runs are saved; None for the folder in the cache.
        folder: Where tables and pictures of runs are written.
    """

    fallback = "Training panel (run this cell to use it; a run that goes on is shown again)"

    def __init__(
        self,
        train_iter: PretrainingExamples,
        corpus: str | Path | Corpus = "bundled",
        settings: RunSettings | None = None,
        saved: SavedRuns | None = None,
        folder: str | Path = ".",
    ):
        self.train_iter, self.corpus, self.folder, problem = train_iter, corpus, Path(folder), ""
        try:
            self._probe = Probe(train_iter.vocab, read_text(corpus))
        except (OSError, ValueError) as error:  # no words of two senses without a corpus
            self._probe, problem = Probe(train_iter.vocab, Corpus("", "", "")), str(error)
        self.queue = queue = RunQueue.open(train_iter, saved, self._probe)
        self._plot = None
        going = queue.settings if queue.is_busy else None
        self.controls = Controls(queue, going or settings or PANEL_RECIPES[MINUTE])
        self.presses: dict[str, Callable[[], Any]] = {
            "Start": lambda: self._begin(queue.begin, self.settings),
            "Pause": queue.pause,
            "Resume": queue.resume,
            "Stop": queue.stop,
            "Reset": self._reset,
            "Keep for notebook 3": self._keep,
            "Run experiment": lambda: self._begin(queue.begin_experiment, experiment.choice.value),
            "Save CSV": lambda: self._write("runs.csv", csv_of(queue.runs())),
            "Save PNG": lambda: self._write("runs.png", self.runs.picture.png),
        }
        self.buttons = ButtonRow(names=list(self.presses)[:6], label="Training")
        self.status, self.bar, self.picture = StatusLine(), ipw.HTML(), Picture()
        self.smoothing = NumberSlider(value=90, min=0, max=99, description="Smoothing, %")
        self.learned = LearnedPart(queue.probe or self._probe)
        self.experiment, self.runs = experiment, runs = ExperimentPart(), RunsPart()
        self.parts = {"what it learns": self.learned, "experiments": experiment, "runs": runs}
        self.show = ipw.Dropdown(options=list(self.parts), description="Show", style=NAME)
        self.part = ipw.VBox()
        choices = ipw.HBox([self.smoothing, self.show], layout=WRAP)
        first = [self.controls.box, self.buttons, self.controls.more]
        super().__init__([*first, self.status, self.bar, self.picture, choices, self.part])
        self.add_class("bert-panel")
        for widget, trait, react in (
            (self.smoothing, "value", self._smooth),
            (self.show, "value", self.show_part),
            (self.learned.sentence, "value", self.learned.ask),
            (self.learned.word, "value", self.learned.ask),
            (experiment.choice, "value", self.show_part),
            (runs.table, "ticked", self.show_part),
            (runs.table, "event", self._edit),
            (self.buttons, "clicked", self._press),
            (experiment.buttons, "clicked", self._press),
            (runs.buttons, "clicked", self._press),
        ):
            widget.observe(lambda change, react=react: self._try(react, change.new), names=trait)
        self.show_part()
        if queue.is_busy:
            self._follow()
        else:
            self.status.say(problem or "Choose, then press Start.", is_error=bool(problem))
        self._mark()

    @property
    def settings(self) -> RunSettings:
        """What the controls say."""
        return self.controls.settings

    @property
    def run(self) -> TrainingRun | None:
        """The run that goes on, or the last one; `run.net` is its network."""
        return self.queue.run

    def _try(self, what: Callable[..., Any], *arguments: Any) -> None:
        """Do something; the status line says why it cannot be done."""
        with self._lock:  # callbacks may come on several threads
            try:
                what(*arguments)
            except Exception as error:  # in a callback it would vanish
                self.status.say(str(error) or type(error).__name__, is_error=True)

    def _press(self, click: dict[str, Any]) -> None:
        self.presses[click["name"]]()
        self._mark()

    def _begin(self, how: Callable[[Any], Any], what: Any) -> None:
        """Begin a run or an experiment, on this panel's text."""
        self.queue.use(self.train_iter, self._probe)
        self.learned.use(self._probe)
        how(what)
        self._follow()

    def _keep(self) -> None:
        save_checkpoint(self.run.net, self.run.train_iter.vocab, trained_path(self.corpus))
        self.status.say(
            f"{self.queue.name} is kept as it is after {len(self.run.history)} steps: notebook 3 "
            'takes it, with prefer = "trained" in its first cell.'
        )

    def _write(self, name: str, content: bytes) -> None:
        path = (self.folder / name).resolve()
        path.write_bytes(content)
        self.status.say(f"Written: {path}")

    def _reset(self) -> None:
        if self.queue.is_busy or self.status.is_going:
            return
        self.queue.run = self.queue.experiment = self._plot = None
        self.controls.fill(PANEL_RECIPES[MINUTE])
        self.picture.show(b"", "")
        self.bar.value = ""
        self.keep_static("")
        self.show_part()
        self.status.say("As at the beginning; saved runs stay. Choose, then press Start.")

    def _edit(self, event: dict[str, Any]) -> None:
        action, id = event["action"], event["id"]
        if action == "rename":
            self.queue.saved.find(id).rename(event["name"])
        elif action == "delete":
            self.queue.delete(id)
        elif action == "go_on":
            self._begin(self.queue.go_on, id)
            self.controls.fill(self.queue.settings)
        self.show_part()
        self._mark()

    def _mark(self) -> None:
        run, is_busy = self.run, self.queue.is_busy
        state = run.state if run is not None else "waiting"
        is_free = not (is_busy or self.status.is_going)  # the last picture comes first
        is_still = state in ("paused", "stopped", "failed", "finished")
        can = {
            "Start": is_free,
            "Pause": state == "running",
            "Resume": state in ("pausing", "paused"),
            "Stop": is_busy,
            "Reset": is_free,
            "Keep for notebook 3": is_still and run.history,
        }
        self.buttons.active = [name for name, can_be in can.items() if can_be]

    def _smooth(self, percent: int) -> None:
        for picture in (self.runs.picture, self.experiment.picture, self._plot):
            if picture is not None:
                picture.smoothing = percent / 100
        self.show_part()

    def show_part(self, *_: Any) -> None:
        """Bring the view below the picture up to date."""
        with self._lock:
            part = self.parts[self.show.value]
            try:
                part.show(self.queue)
                box = part.box
            except Exception as error:  # what cannot be drawn stops no run
                said = f"This cannot be shown: {shorten(str(error) or type(error).__name__, 200)}"
                box = ipw.HTML(paragraph(said))
            self.part.children = (box,)

    def _follow(self) -> None:
        """Show the run from now on, in a thread of its own."""
        self.queue.viewer, self.status.is_going = self, True
        thread = threading.Thread(target=self._watch, name="drawing", daemon=True)
        thread.start()
        # A program that ends while a thread computes would be aborted, and the run not be saved.
        atexit.register(lambda: (self.queue.stop(), thread.join(60)))

    def _watch(self) -> None:
        run = self.queue.run
        try:
            while True:  # an experiment has several runs
                run, looks = self.queue.run, 0
                self._try(self.controls.tell_cost)
                self._plot = LossPlot(run, self.picture.show)
                self._plot.smoothing = self.smoothing.value / 100
                self._plot.title.set_visible(False)  # the line with the bar is newer
                while not run.wait(LOOK_EVERY):
                    if self.queue.viewer is not self:
                        self.status.say("Another panel shows this run now.")
                        return
                    self._update(run, looks := looks + 1)
                self._close(run)
                if not self.queue.begin_next(run):
                    break
        except Exception as error:  # whatever it is: it is told, and the panel stays usable
            self.queue.stop()
            run.wait(10)  # so that Start comes back
            self.status.say(str(error) or type(error).__name__, is_error=True)
        finally:
            self.status.is_going = False
            for last in (self.show_part, self.controls.tell_cost, self._mark):
                self._try(last)

    def _update(self, run: TrainingRun, looks: int) -> None:
        total, heads = run.settings.num_steps, counted(run.net.config.num_heads, "head")
        said = {
            "running": f"trains: {counted(total, 'step')}, {heads}.",
            "pausing": "pauses after the step under way.",
            "paused": f"is paused after step {len(run.history)} of {total}.",
            "stopping": "stops after the step under way.",
        }
        if (state := run.state) in said:
            self.status.say(f"{run.saved.name} {said[state]}{run.saved.note}")
        self._show_bar(run, status_line(run))
        self._mark()
        self._plot.update()  # takes longest
        if looks % BEAT_EVERY == 0:
            self.status.beat += 1
        if looks % PART_EVERY == 0:
            self.show_part()

    def _close(self, run: TrainingRun) -> None:
        """Show how a run ended; what ended it, if it failed, is raised."""
        self._plot.title.set_visible(True)
        self._plot.close()
        done, heads = len(run.history), counted(run.net.config.num_heads, "head")
        self._show_bar(run, f"step {done} of {run.settings.num_steps}: {run.state}")
        if run.error is not None:
            raise run.error
        said = f"{run.saved.name}: {run.state} after {counted(done, 'step')} with {heads}"
        if run.held_out:
            said += f"; {last_held_out(run)}"
        self.status.say(f"{said}.{run.saved.note}" if run.saved.note else said)
        picture = png_html(self.picture.png, self.picture.alt)
        self.keep_static(f"{picture}<p>{html.escape(said)}</p>")

    def _show_bar(self, run: TrainingRun, text: str) -> None:
        done, total = len(run.history), run.settings.num_steps
        bar = f"<progress aria-label='Steps done' value='{done}' max='{total}'></progress>"
        self.bar.value = f"{bar} {html.escape(text)}"


def counted(number: int, what: str) -> str:
    """A number of something: "1 step", "2 steps"."""
    return f"{number} {what}{'' if number == 1 else 's'}"
