"""Sliders for steps and heads, Start and Stop, and the losses while the network trains."""

import threading
from typing import Any

import ipywidgets as ipw

from ..network.model import BERTModel
from ..pretraining.live import PlotView, watch
from ..pretraining.runs import TrainingRun
from ..pretraining.training import Recipe
from ..text.examples import PretrainingExamples
from .parts import Panel, say, slider_with_number


class TrainingPanel(Panel):
    """Train a small BERT with the numbers of steps and heads that the sliders say.

    No cell is busy while it trains, so the buttons answer at once. The last trained network is
    `panel.net`, the run with its losses `panel.run`.

    Args:
        train_iter: Training examples.
        num_steps, num_heads: Where the sliders stand at first.
        **sizes: Anything else of `BERTModel`.
    """

    fallback = "Training panel (open this notebook in JupyterLab to use it)"

    def __init__(
        self, train_iter: PretrainingExamples, num_steps: int = 50, num_heads: int = 2, **sizes: Any
    ):
        self.train_iter, self.sizes = train_iter, sizes
        self.net: BERTModel | None = None
        self.run: TrainingRun | None = None
        self._lock = threading.Lock()
        self.steps = ipw.IntSlider(
            num_steps, min=5, max=500, step=5, description="Steps", continuous_update=False
        )
        self.heads = ipw.SelectionSlider(
            options=[1, 2, 4, 8], value=num_heads, description="Heads", continuous_update=False
        )
        self.start = ipw.Button(description="Start", button_style="primary")
        self.stop = ipw.Button(description="Stop", disabled=True)
        self.picture = ipw.Image(
            format="png",
            layout=ipw.Layout(display="none", max_width="100%", align_self="flex-start"),
        )
        self.status = ipw.HTML()
        buttons = ipw.HBox([self.start, self.stop])
        super().__init__(
            [slider_with_number(self.steps), self.heads, buttons, self.status, self.picture]
        )
        self.start.on_click(lambda _: self.begin())
        self.stop.on_click(lambda _: self.end())
        say(self.status, "Choose, then press Start.")

    def begin(self) -> None:
        """What Start does: a new network, a new run; returns at once."""
        with self._lock:  # callbacks may come on several threads
            if self.run is not None and self.run.state in ("running", "paused"):
                return
            self.net = BERTModel(
                len(self.train_iter.vocab), num_heads=self.heads.value, **self.sizes
            )
            self.run = TrainingRun(self.net, self.train_iter, Recipe(num_steps=self.steps.value))
            self.start.disabled, self.stop.disabled = True, False
            self.run.start()
            threading.Thread(
                target=self._watch, args=(self.run,), name="drawing", daemon=True
            ).start()

    def end(self) -> None:
        """What Stop does: end after the step under way; the network keeps what it has learned."""
        if self.run is not None:
            self.run.stop()

    def _watch(self, run: TrainingRun) -> None:
        try:
            watch(run, PlotView(run, self._show))
            if run.error is not None:
                raise run.error
            steps = f"{len(run.history)} step{'' if len(run.history) == 1 else 's'}"
            said = f"{run.state} after {steps} with {run.net.config.num_heads} heads"
            if run.held_out:
                said += f"; held-out: {run.held_out[-1][1]}"
            say(self.status, said)
        except Exception as error:  # whatever it is: it is told, and the panel stays usable
            run.stop()
            say(self.status, str(error) or type(error).__name__, is_error=True)
        finally:
            self.start.disabled, self.stop.disabled = False, True

    def _show(self, png: bytes, title: str) -> None:
        self.picture.value = png
        self.picture.layout.display = None
        say(self.status, title)
