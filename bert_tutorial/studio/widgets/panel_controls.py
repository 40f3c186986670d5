"""The controls of the training panel, and what a run will cost, in words."""

import html
import threading
from dataclasses import replace

import ipywidgets as ipw

from ...pretraining.training import duration
from ..runs.queue import RunQueue
from ..runs.settings import (
    MINE,
    NAMES,
    OPTIMIZERS,
    PANEL_RECIPES,
    RunSettings,
    changes,
    from_shown,
    shown,
)  # fmt: skip
from .parts import NAME
from .views import ChoiceSlider, NumberSlider, RateSlider

HIDDEN = [16, 32, 64, 96, 128, 192, 256, 384]
BATCHES = [8, 16, 32, 64, 128, 256, 512, 1024]
# The control of each setting, and what it is made with; the others are yes or no.
CONTROLS = {
    "num_steps": (NumberSlider, dict(min=1, max=5000)),
    "num_heads": (ChoiceSlider, dict(choices=[1], hint="they share the hidden units")),
    "num_layers": (NumberSlider, dict(min=1, max=6)),
    "num_hiddens": (ChoiceSlider, dict(choices=HIDDEN, hint="numbers in a vector")),
    "learning_rate": (RateSlider, dict(min=1e-5, max=0.1, hint="the highest of the run")),
    "batch_size": (ChoiceSlider, dict(choices=BATCHES, hint="sentence pairs in a step")),
    "mask_rate": (NumberSlider, dict(min=1, max=90, hint="of the words; BERT's is 15")),
    "sentences_per_segment": (NumberSlider, dict(min=1, max=4, hint="at most; batches differ")),
    "dropout": (NumberSlider, dict(min=0, max=60, hint="of the values; d2l's is 20")),
    "embedding_rate": (NumberSlider, dict(min=0, max=200, hint="of the learning rate")),
    "seed": (NumberSlider, dict(min=0, max=9999)),
    "optimizer": (ipw.Dropdown, dict(options=OPTIMIZERS, style=NAME)),
}


class Controls:
    """Prepared settings to choose, a control for each setting, and what a run will cost.

    Args:
        queue: Knows what it costs.
        settings: What the controls say at first.

    Attributes:
        box: All of them.
        by_name: The controls of the settings.
    """

    def __init__(self, queue: RunQueue, settings: RunSettings):
        self.queue, self._is_filling = queue, False
        wide = ipw.Layout(width="22rem", max_width="100%")
        self.recipe = ipw.Dropdown(
            options=[*PANEL_RECIPES, MINE], description="Settings", style=NAME, layout=wide
        )
        self.note, self.cost = ipw.HTML(), ipw.HTML()
        self.by_name: dict[str, ipw.DOMWidget] = {}
        for name, title in NAMES.items():
            kind, how = CONTROLS.get(name, (ipw.Checkbox, dict(indent=False)))
            self.by_name[name] = kind(description=title, **how)
        self.by_name["optimizer"].layout = ipw.Layout(width="auto", max_width="25rem")
        columns = "repeat(auto-fill, minmax(max(20.5rem, 45%), 1fr))"
        layout = ipw.Layout(grid_template_columns=columns, grid_gap="0 1rem")
        grid = ipw.GridBox(list(self.by_name.values()), layout=layout)
        self.box = ipw.VBox([self.recipe, self.note, grid, self.cost])
        self.fill(settings)
        for control in self.by_name.values():
            control.observe(lambda _: self._changed(), names="value")
        self.recipe.observe(lambda _: self._take_recipe(), names="value")

    @property
    def settings(self) -> RunSettings:
        """What the controls say."""
        return from_shown({name: control.value for name, control in self.by_name.items()})

    def fill(self, settings: RunSettings) -> None:
        """Let the controls say these settings."""
        self._is_filling = True
        try:
            self.by_name["num_hiddens"].value = settings.num_hiddens  # which heads there are
            self._offer_heads()
            for name, control in self.by_name.items():
                control.value = shown(name, getattr(settings, name))
        finally:
            self._is_filling = False
        self._changed()

    def _offer_heads(self) -> None:
        """Only heads that divide the hidden units."""
        hidden = self.by_name["num_hiddens"].value
        self.by_name["num_heads"].choices = [n for n in range(1, 17) if hidden % n == 0]

    def _changed(self) -> None:
        if not self._is_filling:
            self._offer_heads()
            self.note.value, now = "", replace(self.settings, seed=0)
            self.recipe.value = next((n for n, r in PANEL_RECIPES.items() if r == now), MINE)
            self.tell_cost()

    def _take_recipe(self) -> None:
        before, wanted = self.settings, PANEL_RECIPES.get(self.recipe.value)
        if wanted is not None and (after := replace(wanted, seed=before.seed)) != before:
            self.fill(after)
            self.note.value = f"<p>Changed: {html.escape(changes(before, after))}</p>"

    def tell_cost(self) -> None:
        """Say what a run will cost; where nothing is known of this machine, measure."""
        speed = self.queue.speed()
        self._show_cost(speed, "is being measured")
        if speed is None and not self.queue.is_busy:
            threading.Thread(target=self._measure, name="measuring", daemon=True).start()

    def _measure(self) -> None:
        try:
            self._show_cost(self.queue.speed(measure=True))
        except Exception:  # a run will say what is wrong with this text
            self._show_cost(None, "is not known")

    def _show_cost(self, speed: float | None, otherwise: str = "") -> None:
        settings = self.settings
        try:
            cost = self.queue.cost(settings)
        except ValueError as error:
            self.cost.value = f"<p><b>Not possible:</b> {html.escape(str(error))}</p>"
            return
        time = f"the time {otherwise}"
        if speed is not None:
            seconds = duration(settings.num_steps * cost.flops / speed)
            time = f"about {seconds} on this machine"
        memory = f"about {max(1, round(cost.memory / 1e6)):,} MB for training"
        self.cost.value = f"<p>{cost.parameters:,} parameters; {memory}; {time}</p>"
