"""The controls of the training panel, and what a run will cost, in words."""

import html
import threading
from dataclasses import asdict, replace
from typing import Any

import ipywidgets as ipw
import traitlets as t

from ...pretraining.run import duration
from ..runs.fits import cost_of
from ..runs.queue import RunQueue
from ..runs.settings import DOCUMENT, MINUTE, PANEL_RECIPES, RunSettings
from .parts import NAME
from .views import ButtonRow, ChoiceSlider, NumberSlider, RateSlider, Slider

MINE = "mine"  # settings that are none of those prepared
NEXT = "for the next run"
OPTIMIZERS = {"Muon and AdamW": "muon", "Adam, constant rate (d2l's)": "adam"}
WIDTHS = [16, 32, 64, 96, 128, 192, 256, 384]
BATCHES = [8, 16, 32, 64, 128, 256, 512, 1024]
OPTIMIZER = dict(options=OPTIMIZERS, style=NAME, layout=dict(width="auto", max_width="25rem"))
# The settings that can be chosen: what they are called, and the control of each.
SETTINGS = {
    "num_steps": ("Steps", NumberSlider, dict(min=1, max=5000)),
    "num_heads": ("Heads", ChoiceSlider, dict(hint="they share the hidden units")),
    "num_layers": ("Layers", NumberSlider, dict(min=1, max=6)),
    "num_hiddens": ("Hidden units", ChoiceSlider, dict(choices=WIDTHS, hint="numbers in a vector")),
    "learning_rate": ("Learning rate", RateSlider, dict(max=0.1, hint="the highest of the run")),
    "batch_size": ("Batch size", ChoiceSlider,
        dict(choices=BATCHES, hint="sentence pairs in a step")),
    "mask_rate": ("Mask rate, %", NumberSlider,
        dict(min=1, max=90, hint="of the words; BERT's is 15")),
    "sentences_per_segment": ("Sentences per segment", NumberSlider,
        dict(min=1, max=4, hint="at most; batches differ")),
    "dropout": ("Dropout, %", NumberSlider, dict(max=60, hint="of the values; d2l's is 20")),
    "embedding_rate": ("Rate of word vectors, %", NumberSlider,
        dict(max=200, hint="of the learning rate")),
    "seed": ("Seed", NumberSlider, dict(max=9999)),
    "next_sentence_rate": ("Next-sentence game", ipw.Checkbox, dict(indent=False)),
    "word_frequencies": ("Start from word frequencies", ipw.Checkbox, dict(indent=False)),
    "optimizer": ("Optimizer", ipw.Dropdown, OPTIMIZER),
}  # fmt: skip
NAMES = {name: title for name, (title, *_) in SETTINGS.items()}
PERCENT = ("mask_rate", "dropout", "embedding_rate")


def shown(name: str, value: Any) -> Any:
    """A setting as a control of the panel has it: whole percent, a number, yes or no, or a text."""
    if name in PERCENT:
        return round(100 * value)
    if name == "sentences_per_segment":
        return max(value)
    return value < 1 if name == "next_sentence_rate" else value


def from_shown(values: dict[str, Any], filled: RunSettings) -> RunSettings:
    """The settings that the panel's controls show; 3 sentences are batches with 1, 2 and 3.

    What no control shows is as it was filled in.
    """
    values = values | {name: values[name] / 100 for name in PERCENT}
    values["sentences_per_segment"] = tuple(range(1, values["sentences_per_segment"] + 1))
    values["next_sentence_rate"] = 0.5 if values["next_sentence_rate"] else 1.0
    return replace(filled, **values, ffn_num_hiddens=2 * values["num_hiddens"])


def as_text(name: str, value: Any) -> str:
    """A setting as it is shown in a table, also one of another version.

    >>> as_text("mask_rate", 0.155), as_text("next_sentence_rate", 0.5), as_text("num_steps", 50)
    ('15.5', 'yes', '50')
    """
    value = 100 * value if name in PERCENT else shown(name, value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    titles = {kind: title for title, kind in OPTIMIZERS.items()}
    return titles.get(value, str(value)) if name == "optimizer" else f"{value:.6g}"


def changes(before: RunSettings, after: RunSettings) -> str:
    """What differs, in words: `Steps 50 → 430, Batch size 512 → 128`; empty if nothing does."""
    one, two = asdict(before), asdict(after)
    return ", ".join(
        f"{title} {as_text(name, one[name])} → {as_text(name, two[name])}"
        for name, title in NAMES.items()
        if one[name] != two[name]
    )


class Fold(ButtonRow):
    """A button that shows and hides what stands below it."""

    is_open = t.Bool(False)


class Controls:
    """Prepared settings to choose, a control for each setting, and what a run will cost."""

    def __init__(self, queue: RunQueue, settings: RunSettings):
        self.queue, self._is_filling = queue, False
        how = dict(style=NAME, layout=dict(width="22rem", max_width="100%"))
        prepared = [MINUTE, DOCUMENT, MINE]
        self.recipe = ipw.Dropdown(options=prepared, description="Settings", **how)
        self.note, self.cost = ipw.HTML(), ipw.HTML()
        controls = SETTINGS.items()
        self.by_name = {name: kind(description=text, **how) for name, (text, kind, how) in controls}
        columns = "repeat(auto-fill, minmax(max(20.5rem, 45%), 1fr))"
        layout = dict(grid_template_columns=columns, grid_gap="0 1rem")  # not shared
        first, others = (list(self.by_name.values())[part] for part in (slice(2), slice(2, None)))
        first, others = (ipw.GridBox(part, layout=layout) for part in (first, others))
        self.box = ipw.VBox([self.recipe, first, self.note, self.cost])
        others.layout.display = "none"
        self.fold = Fold(names=["More settings"], active=["More settings"], label="All settings")
        self.more = ipw.VBox([self.fold, others])
        self.fold.observe(lambda _: self._unfold(others), names="clicked")
        self.fill(settings)
        for control in self.by_name.values():
            control.observe(lambda _: self._changed(), names="value")
        self.recipe.observe(lambda _: self._take_recipe(), names="value")

    @property
    def settings(self) -> RunSettings:
        """What the controls say."""
        return from_shown({n: control.value for n, control in self.by_name.items()}, self._filled)

    def fill(self, settings: RunSettings) -> None:
        """Let the controls say these settings."""
        self._is_filling, self._filled = True, settings
        self.by_name["num_hiddens"].value = settings.num_hiddens  # which heads there are
        self._offer_heads()
        for name, control in self.by_name.items():
            control.value = shown(name, getattr(settings, name))
        self._is_filling = False
        self._changed()

    def _unfold(self, others: ipw.GridBox) -> None:
        self.fold.is_open = not self.fold.is_open
        others.layout.display = "grid" if self.fold.is_open else "none"

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
        """Say what a run will cost, and what was changed only for the next one.

        Where nothing is known of this machine, it is measured.
        """
        going = asdict(self.queue.settings) if self.queue.is_busy else {}
        for name, control in self.by_name.items():
            if isinstance(control, Slider):
                is_next = name in going and shown(name, going[name]) != control.value
                control.hint = NEXT if is_next else SETTINGS[name][2].get("hint", "")
        speed = self.queue.speed()
        self._show_cost(speed, "is being measured")
        if speed is None and not self.queue.is_busy:
            # No daemon: a script that ends meanwhile waits for it, else it would be aborted.
            threading.Thread(target=self._measure, name="measuring").start()

    def _measure(self) -> None:
        try:
            self._show_cost(self.queue.speed(measure=True))
        except Exception:  # a run will say what is wrong with this text
            self._show_cost(None, "is not known")

    def _show_cost(self, speed: float | None, otherwise: str = "") -> None:
        settings, time = self.settings, f"the time {otherwise}"
        try:
            cost = cost_of(settings, self.queue.train_iter)
        except ValueError as error:
            self.cost.value = f"<p><b>Not possible:</b> {html.escape(str(error))}</p>"
            return
        if speed is not None:
            time = f"about {duration(settings.num_steps * cost.flops / speed)} on this machine"
        memory = f"a step has tensors of about {max(1, round(cost.memory / 1e6)):,} MB"
        lead = f"{NEXT.capitalize()}: " if self.queue.is_busy else ""
        self.cost.value = f"<p>{lead}{cost.parameters:,} parameters; {memory}; {time}</p>"
