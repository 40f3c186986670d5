"""The sentence lab: type two sentences, and see what a word's neighbours make of it.

Controls, and which view shows what; the numbers come from `representation/lab_state.py`.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipywidgets as ipw

from ...devices import one_thread
from ...representation.few_labels import EVERY
from ..lab.lab import LabNetwork, published
from ..lab.lab_senses import meter
from ..lab.lab_state import LabState
from . import lab_html
from .lab_parts import PARTS, Part
from .lab_texts import EXAMPLES, chip, meter_caption, notice
from .parts import LONGEST_TEXT, WIDE, Panel, shortened
from .views import Meter, NumberSlider, StatusLine, TokenChips

ALL_LABELS = 64  # at the slider's end all labels are told
NAME = {"description_width": "6rem"}


class SentenceLab(Panel):
    """Two text boxes; under them the tokens, the senses, and one view after the other.

    Args:
        lab: The network to begin with, its vocabulary and corpus.
        sentence_a, sentence_b: What stands in the boxes at first.
        description: Which network it is.
        others: Further networks by name, each loaded when it is chosen.
        folder: Where the button puts the file that it writes.
    """

    fallback = "Sentence lab (open this notebook in JupyterLab to use it)"

    def __init__(
        self,
        lab: LabNetwork,
        sentence_a: str = "a crane is flying",
        sentence_b: str = "a crane driver came",
        description: str = "this network",
        others: dict[str, Callable[[], LabNetwork]] | None = None,
        folder: str | Path = ".",
    ):
        self.state: LabState | None = None
        self.sentence, self.shown = 0, description  # clicked last; the network that is shown
        self.folder, self._labs = Path(folder), {description: lab}
        self._others = {description: lambda: lab, "untrained": lab.twin, **(others or {})}
        self._lock, self._is_busy = threading.RLock(), False
        self._timer = threading.Timer(0, self._keep_static)
        self._make_controls(sentence_a, sentence_b)
        self.parts: dict[str, Part] = {name: part() for name, part in PARTS.items()}
        self.box, self.problem = ipw.VBox(), ipw.HTML()
        super().__init__(
            [
                ipw.HBox([self.example, self.model], layout=_WRAP),
                self.text_a,
                self.chips[0],
                self.text_b,
                self.chips[1],
                self.status,
                ipw.HBox([self.layer, self.labels], layout=_WRAP),
                self.meter,
                ipw.HBox([self.show, self.raw, self.keep], layout=_WRAP),
                self.box,
                self.other,
            ]
        )
        self.read()

    def _make_controls(self, sentence_a: str, sentence_b: str) -> None:
        text = dict(continuous_update=False, layout=WIDE, style=NAME)
        self.text_a = ipw.Text(sentence_a, description="Sentence 1", **text)
        self.text_b = ipw.Text(sentence_b, description="Sentence 2", **text)
        self.example = ipw.Dropdown(
            options=["your own", *EXAMPLES], description="Example", style=NAME
        )
        self.model = ipw.Dropdown(options=list(self._others), description="Model", style=NAME)
        self.labels = NumberSlider(value=ALL_LABELS, min=1, max=ALL_LABELS, description="Labels")
        self.layer = NumberSlider(value=0, min=0, max=0, description="Layer")
        self.other = ipw.Text(
            "", description="Other BERT", placeholder="a folder, or a hub's name", **text
        )
        self.show = ipw.Dropdown(options=list(PARTS), description="Show", style=NAME)
        self.raw = ipw.Checkbox(False, description="raw cosines", indent=False)
        self.keep = ipw.Button(description="Keep as HTML")
        self.status, self.meter = StatusLine(), Meter()
        self.chips = [TokenChips(label=f"Tokens of sentence {number}") for number in (1, 2)]
        for control, react in (
            (self.text_a, self.read),
            (self.text_b, self.read),
            (self.model, self.read),
            (self.example, lambda: self._try(self._take_example)),
            (self.other, lambda: self._try(self._take_other)),
            (self.layer, self.redraw),
            (self.labels, self.redraw),
            (self.show, self.redraw),
            (self.raw, self.redraw),
        ):
            control.observe(lambda _, react=react: react(), names="value")
        for sentence, chips in enumerate(self.chips):
            chips.observe(lambda change, s=sentence: self._pick(s, change.new), names="clicked")
        self.keep.on_click(lambda _: self._try(self._keep))

    @property
    def number(self) -> int:
        """How many labels of each sense are told."""
        return EVERY if self.labels.value == ALL_LABELS else self.labels.value

    def _try(self, what: Callable[[], Any]) -> None:
        """Do something; a sentence in the status line says why it cannot be done."""
        with self._lock, one_thread():  # callbacks may come on several threads; sentences are small
            if self._is_busy:  # this thread's own change made another
                return
            self._is_busy = True
            try:
                what()
            except Exception as error:  # in a callback it would vanish
                self.status.say(str(error), is_error=True)
            finally:
                self._is_busy = False

    def _take_example(self) -> None:
        if pair := EXAMPLES.get(self.example.value):
            self.text_a.value, self.text_b.value = pair
            self._read()

    def _take_other(self) -> None:
        name = self.other.value.strip()
        if name and name not in self._others:
            self.status.say(f"loading {name} …")
            self._labs[name] = published(name)
            self._others[name] = lambda: self._labs[name]
            self.model.options = list(self._others)
        if name:
            self.model.value = name
            self._read()

    def read(self) -> None:
        """Read both sentences with the chosen network; a wrong input leaves what is shown."""
        self._try(self._read)

    def _read(self) -> None:
        name = self.model.value
        if name not in self._labs:
            self.status.say(f"loading {name} …")
            self._labs[name] = self._others[name]()
        lab, texts = self._labs[name], (self.text_a.value, self.text_b.value)
        state, before = LabState(lab, *map(shortened, texts)), self.state
        self.state, self.shown = state, name
        if texts != EXAMPLES.get(self.example.value, texts):
            self.example.value = "your own"
        layers = lab.nets["network"].config.num_layers
        if self.layer.max != layers:
            self.layer.max = layers
            self.layer.value = layers
        if before is None or before.words != state.words:
            self.picked = list(state.same_word())
        for sentence, chips in enumerate(self.chips):
            with chips.hold_sync():
                chips.tokens = [chip(state, word) for word in state.words[sentence]]
                chips.chosen = [self.picked[sentence]]
        self._redraw()

    def redraw(self) -> None:
        """Show the same sentences with other settings."""
        self._try(self._redraw)

    def _redraw(self) -> None:
        if self.state is None:
            raise ValueError("type two sentences first")
        for key in self.state.unread():
            self.status.say(f"reading the uses of {key} in the corpus …")
        layer = self.layer.value
        rows = self.rows = meter(self.state, layer, self.number)
        self.meter.rows = [
            {
                "label": lab_html.row_label(self.state, row),
                "source": row.source,
                "position": row.position,
                "low": row.low,
                "high": row.high,
                "left": row.senses[0],
                "right": row.senses[1],
                "text": lab_html.meter_text(row),
            }
            for row in rows
        ]
        self.meter.caption = meter_caption(self.state, rows, layer, self.number)
        part = self.parts[self.show.value]
        self.raw.disabled = not part.has_raw
        part.sentence = self.sentence
        try:
            part.show(self.state, self.picked, layer, self.number, self.raw.value)
            shown = part.box
        except ValueError as error:  # for example, the word is too rare
            self.problem.value, shown = lab_html.paragraph(f"Not possible: {error}"), self.problem
        if self.box.children != (shown,):
            self.box.children = (shown,)
        is_cut = any(len(box.value) > LONGEST_TEXT for box in (self.text_a, self.text_b))
        self.status.say(notice(self.state, is_cut))
        self._keep_soon()

    def _keep_soon(self) -> None:
        """Renew what is seen without a kernel, when nothing has changed for half a second."""
        self._timer.cancel()
        if self.is_shown:
            self._timer = threading.Timer(0.5, self._keep_static)
            self._timer.daemon = True
            self._timer.start()

    def _keep_static(self) -> None:
        with self._lock:
            self.keep_static(self.static_html())

    def _pick(self, sentence: int, clicked: dict) -> None:
        if not clicked or self.state is None or clicked["index"] >= len(self.state.words[sentence]):
            return
        self.picked[sentence] = clicked["index"]
        self.chips[sentence].chosen = [clicked["index"]]
        self.sentence = sentence
        self.redraw()

    def _keep(self) -> None:
        if self.state is None:
            raise ValueError("type two sentences first")
        path, layer = self.folder / "sentence_lab.html", self.layer.value
        body = self.static_html()
        part = self.parts[self.show.value].as_html(self.state, self.picked, layer)
        path.write_text(lab_html.page(body + part), encoding="utf-8")
        self.status.say(f"kept in {path.resolve()}")

    def static_html(self) -> str:
        """The present state, as it is kept."""
        if self.state is None:
            return ""
        layer, is_raw = self.layer.value, self.raw.value
        return lab_html.report(self.state, self.rows, self.shown, layer, is_raw)


_WRAP = ipw.Layout(flex_flow="row wrap")
