"""The controls of the training panel, and what a run will cost, in words."""

import html
import threading
from dataclasses import asdict, replace

import ipywidgets as ipw

from ..runs.cost import told
from ..runs.queue import RunQueue
from ..runs.settings import (
    MINE,
    NAMES,
    OPTIMIZERS,
    PERCENT,
    RECIPES,
    RunSettings,
    changes,
    recipe_of,
)
from .parts import NAME
from .views import ChoiceSlider, NumberSlider, RateSlider

HIDDEN = [16, 32, 64, 96, 128, 192, 256, 384]
BATCHES = [8, 16, 32, 64, 128, 256, 512, 1024]


class Controls:
    """A recipe to choose, a control for each setting, and what a run will cost.

    Args:
        bench: Knows what it costs.
        settings: What the controls say at first.

    Attributes:
        box: All of them.
        by_name: The controls of the settings.
    """

    def __init__(self, bench: RunQueue, settings: RunSettings):
        self.bench, self._is_filling, self._is_measuring = bench, False, False
        wide = ipw.Layout(width="22rem", max_width="100%")
        names = [*RECIPES, MINE]
        self.recipe = ipw.Dropdown(options=names, description="Settings", style=NAME, layout=wide)
        self.note, self.cost = ipw.HTML(), ipw.HTML()
        self._make_controls()
        columns = ipw.Layout(
            grid_template_columns="repeat(auto-fill, minmax(max(20.5rem, 45%), 1fr))",
            grid_gap="0 1rem",
        )
        grid = ipw.GridBox(list(self.by_name.values()), layout=columns)
        self.box = ipw.VBox([self.recipe, self.note, grid, self.cost])
        self.fill(settings)
        for control in self.by_name.values():
            control.observe(lambda _: self._changed(), names="value")
        self.recipe.observe(lambda _: self._take_recipe(), names="value")

    def _make_controls(self) -> None:
        whole = dict(
            num_steps=(1, 5000), num_layers=(1, 6), mask_rate=(1, 90), sentences=(1, 4),
            dropout=(0, 60), embedding_rate=(0, 200), seed=(0, 9999),
        )  # fmt: skip
        hints = dict(
            num_heads="they share the hidden units", num_hiddens="numbers in a vector",
            batch_size="sentence pairs in a step", mask_rate="of the words; BERT's is 15",
            sentences="at most; batches differ", dropout="of the values; d2l's is 20",
            learning_rate="the highest of the run", embedding_rate="of the learning rate",
        )  # fmt: skip
        wide = ipw.Layout(width="auto", max_width="25rem")
        self.by_name: dict[str, ipw.DOMWidget] = {}
        for name, title in NAMES.items():
            about = dict(description=title)
            if name in whole:
                low, high = whole[name]
                control = NumberSlider(min=low, max=high, hint=hints.get(name, ""), **about)
            elif name == "num_heads":
                control = ChoiceSlider(choices=[1, 2, 4, 8], hint=hints[name], **about)
            elif name in ("num_hiddens", "batch_size"):
                choices = HIDDEN if name == "num_hiddens" else BATCHES
                control = ChoiceSlider(choices=choices, hint=hints[name], **about)
            elif name == "learning_rate":
                control = RateSlider(min=1e-5, max=0.1, hint=hints[name], **about)
            elif name == "optimizer":
                control = ipw.Dropdown(options=OPTIMIZERS, style=NAME, layout=wide, **about)
            else:
                control = ipw.Checkbox(indent=False, **about)
            self.by_name[name] = control

    def fill(self, settings: RunSettings) -> None:
        """Let the controls say these settings."""
        values = asdict(settings)
        values["num_heads"] = values.pop("num_heads")  # the hidden units come first
        self._is_filling = True
        try:
            for name, value in values.items():
                if name == "num_heads":
                    self._offer_heads()
                self.by_name[name].value = round(100 * value) if name in PERCENT else value
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
            self.note.value = ""
            self.recipe.value = recipe_of(replace(self.settings, seed=0))
            self.tell_cost()

    def _take_recipe(self) -> None:
        before, wanted = self.settings, RECIPES.get(self.recipe.value)
        if wanted is not None and (after := replace(wanted, seed=before.seed)) != before:
            self.fill(after)
            self.note.value = f"<p>Changed: {html.escape(changes(before, after))}</p>"

    def tell_cost(self) -> None:
        """Say what a run will cost; where nothing is known of this machine, measure."""
        speed = self.bench.speed()
        self.cost.value = cost_line(self.bench, self.settings, speed)
        if speed is None and not self.bench.is_busy and not self._is_measuring:
            self._is_measuring = True
            threading.Thread(target=self._measure, name="measuring", daemon=True).start()

    def _measure(self) -> None:
        try:
            speed = self.bench.speed(measure=True)
            self.cost.value = cost_line(self.bench, self.settings, speed)
        except Exception:  # a run will say what is wrong with this text
            self.cost.value = self.cost.value.replace("is being measured", "is not known")
        finally:
            self._is_measuring = False

    @property
    def settings(self) -> RunSettings:
        """What the controls say."""
        return RunSettings(
            **{
                name: control.value / 100 if name in PERCENT else control.value
                for name, control in self.by_name.items()
            }
        )


def cost_line(bench: RunQueue, settings: RunSettings, speed: float | None) -> str:
    """Parameters, memory and time of a run, as HTML.

    Args:
        bench: Knows the text.
        settings: Of the run.
        speed: Operations per second; None while it is being measured.
    """
    try:
        cost = bench.cost(settings)
    except ValueError as error:
        return f"<p><b>Not possible:</b> {html.escape(str(error))}</p>"
    time = "the time is being measured"
    if speed is not None:
        time = f"about {told(cost.seconds(settings.num_steps, speed))} on this machine"
    memory = f"about {max(1, round(cost.memory / 1e6)):,} MB for training"
    return f"<p>{cost.parameters:,} parameters; {memory}; {time}</p>"
