"""The sentence lab: type two sentences, and see what a word's neighbours make of it.

Controls, and which view shows what; the numbers come from `lab/lab.py`, the views are in
`lab_parts.py`.
"""

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import ipywidgets as ipw

from ...devices import one_thread
from ...representation.senses import EVERY
from ..lab.lab import MAX_WORDS, MOST_PLACES, Lab, Words, published
from .lab_html import heat_table, meter_table, page, paragraph
from .lab_parts import PARTS, Asked, Similarity
from .parts import WIDE, Panel, cut_note, shortened
from .views import Meter, NumberSlider, StatusLine, TokenChips

ALL_LABELS = 64  # at the slider's end all labels are told
NAME = {"description_width": "6rem"}
WRAP = ipw.Layout(flex_flow="row wrap")
EXAMPLES = Path(__file__).parents[2] / "data" / "typed" / "examples.tsv"  # mostly of two senses


class SentenceLab(Panel):
    """Two text boxes; under them the tokens, the senses, and one view after the other.

    Further networks, `others` by name, are loaded when they are chosen. What is kept as HTML goes
    into `folder`.
    """

    fallback = "Sentence lab (open this notebook in JupyterLab to use it)"

    def __init__(
        self,
        lab: Lab,
        sentence_a: str = "a crane is flying",
        sentence_b: str = "a crane driver came",
        description: str = "this network",
        others: dict[str, Callable[[], Lab]] | None = None,
        folder: str | Path = ".",
    ):
        self.lab, self.shown = lab, description  # the network that is shown, and its name
        self.sentences: list[Words] = []  # those that were read last
        self.picked, self.sentence = [0, 0], 0  # the chosen words, and which was clicked last
        self.folder, self._labs = Path(folder), {description: lab}
        self._others = {description: lambda: lab, "untrained": lab.untrained, **(others or {})}
        self._lock, self._is_busy = threading.RLock(), False
        self._timer = threading.Timer(0, self._keep_static)
        self._make_controls(sentence_a, sentence_b)
        self.parts = {name: part() for name, part in PARTS.items()}
        self.box, self.problem = ipw.VBox(), ipw.HTML()
        choose = ipw.HBox([self.example, self.model], layout=WRAP)
        typed = self.text_a, self.chips[0], self.text_b, self.chips[1], self.status
        settings = ipw.HBox([self.layer, self.labels], layout=WRAP)
        views = ipw.HBox([self.show, self.raw, self.keep], layout=WRAP)
        super().__init__([choose, *typed, settings, self.meter, views, self.box, self.other])
        self._try(self._read)

    def _make_controls(self, sentence_a: str, sentence_b: str) -> None:
        text = dict(continuous_update=False, layout=WIDE, style=NAME)
        self.text_a = ipw.Text(sentence_a, description="Sentence 1", **text)
        self.text_b = ipw.Text(sentence_b, description="Sentence 2", **text)
        lines = (line.split("\t") for line in EXAMPLES.read_text("utf-8").splitlines())
        self.examples = {name: (a, b) for name, a, b in lines}
        options = ["your own", *self.examples]
        self.example = ipw.Dropdown(options=options, description="Example", style=NAME)
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
        reactions = dict.fromkeys((self.text_a, self.text_b, self.model), self._read)
        reactions |= dict.fromkeys((self.layer, self.labels, self.show, self.raw), self._redraw)
        reactions |= {self.example: self._take_example, self.other: self._take_other}
        for control, react in reactions.items():
            control.observe(lambda _, react=react: self._try(react), names="value")
        for number, chips in enumerate(self.chips):
            pick = partial(self._pick, number)
            chips.observe(lambda change, pick=pick: self._try(partial(pick, change.new)), "clicked")
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
        if pair := self.examples.get(self.example.value):
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

    def _read(self) -> None:
        """Read both sentences with the chosen network; a wrong input leaves what is shown."""
        name = self.model.value
        if name not in self._labs:
            self.status.say(f"loading {name} …")
            self._labs[name] = self._others[name]()
        lab, texts = self._labs[name], (self.text_a.value, self.text_b.value)
        sentences = lab.words(*map(shortened, texts))
        for words in sentences:
            lab.read("network", words)  # they may be too long for it
        if sentences != self.sentences:
            self.picked = list(lab.same_word(sentences))
        self.lab, self.sentences, self.shown = lab, sentences, name
        if texts != self.examples.get(self.example.value, texts):
            self.example.value = "your own"
        layers = lab.nets["network"].config.num_layers
        if self.layer.max != layers:
            self.layer.max = layers
            self.layer.value = layers
        for words, chips, place in zip(sentences, self.chips, self.picked, strict=True):
            with chips.hold_sync():
                chips.tokens, chips.chosen = list(map(self._chip, words)), [place]
        self._redraw()

    def _chip(self, word: str) -> dict[str, Any]:
        """A word as `TokenChips` wants it: with how often it occurs, or that it is unknown."""
        vocab, count = self.lab.vocab, self.lab.count(word)
        is_unknown, known = self.lab.is_unknown(word), "" if count is None else f"{count:,}×"
        note = f"→ {vocab.to_tokens(vocab.unk_id)}" if is_unknown else known
        return {"text": word, "note": note, "is_unknown": is_unknown}

    def _asked(self) -> Asked:
        if not self.sentences:
            raise ValueError("type two sentences first")
        controls = self.layer.value, self.number, self.raw.value
        return Asked(self.lab, self.sentences, [*self.picked], self.sentence, *controls)

    def _show(self, name: str, asked: Asked) -> str:
        """Show a view; if that is not possible, say why."""
        try:
            self.parts[name].show(asked)
        except ValueError as error:  # for example, the word is too rare
            return paragraph(f"Not possible: {error}")
        return ""

    def _redraw(self) -> None:
        """Show the same sentences with other settings."""
        asked, part = self._asked(), self.parts[self.show.value]
        self._move_meter()
        self.raw.disabled = not part.has_raw
        self.problem.value = self._show(self.show.value, asked)
        shown = self.problem if self.problem.value else part.box
        if self.box.children != (shown,):
            self.box.children = (shown,)
        self.status.say(self._notice())
        self._timer.cancel()
        if self.is_shown:  # renew what is seen without a kernel, when nothing changes
            self._timer = threading.Timer(0.5, self._keep_static)
            self._timer.daemon = True
            self._timer.start()

    def _move_meter(self) -> None:
        lab, sentences, layer = self.lab, self.sentences, self.layer.value
        keys = {lab.key(sentences[i][place]) for i, place in lab.with_senses(sentences)}
        for key in sorted(keys - lab.was_read):
            self.status.say(f"reading the uses of {key} in the corpus …")
        self.meter.rows = lab.meter(sentences, layer, self.number)
        if not self.meter.rows:
            known = [k for k in lab.labels(lab.corpus.train) if lab.key(k.split("/")[0]) == k]
            some = ", ".join(known[:5]) or "there are none in this corpus"
            self.meter.caption = (
                f"No word here has two senses that the corpus knows, as these have: {some}."
            )
            return
        few = f"up to {self.number} of each sense (the networks' also from uses without a label)"
        is_cut = len(lab.with_senses(sentences, MAX_WORDS)) > len(lab.with_senses(sentences))
        more = f"; only the first {MOST_PLACES} such words of a sentence stand here"
        self.meter.caption = (
            f"Between two senses, layer {layer}, means from "
            f"{'all labels' if self.number == EVERY else few}; beside it, of the nearest held-out "
            f"uses, how many have this sense{more if is_cut else ''}"
        )

    def _notice(self) -> str:
        """What is to be said of the two texts."""
        vocab, cut = self.lab.vocab, cut_note(self.text_a.value, self.text_b.value)
        words = dict.fromkeys(word for words in self.sentences for word in words)
        unknown, unk = filter(self.lab.is_unknown, words), vocab.to_tokens(vocab.unk_id)
        if told := ", ".join(unknown):
            return f"{cut}Not in the vocabulary, so read as {unk}: {told}."
        return f"{cut}All words are in the vocabulary."

    def _pick(self, sentence: int, clicked: dict) -> None:
        if not clicked or not self.sentences or clicked["index"] >= len(self.sentences[sentence]):
            return
        self.picked[sentence] = clicked["index"]
        self.chips[sentence].chosen = [clicked["index"]]
        self.sentence = sentence
        self._redraw()

    def _keep(self) -> None:
        """Write one file with all views but that of attention."""
        asked, kept = self._asked(), {"the meter": paragraph(self.meter.caption)}
        for name, part in self.parts.items():
            is_shown = self.box.children == (part.box,)  # and so up to date
            kept[name] = (not is_shown and self._show(name, asked)) or part.kept()
        path = self.folder / "sentence_lab.html"
        path.write_text(page(self._report(kept)), encoding="utf-8")
        self.status.say(f"kept in {path.resolve()}")

    def _keep_static(self) -> None:
        with self._lock:
            self.keep_static(self.static_html())

    def static_html(self) -> str:
        """What is seen without a kernel: sentences, meter, and cosines if they are shown."""
        if not self.sentences:
            return ""
        part = self.parts[self.show.value]
        views = part.views.values() if isinstance(part, Similarity) else ()
        return self._report({self.show.value: "".join(map(heat_table, views))})

    def _report(self, kept: dict[str, str]) -> str:
        about = [f"Sentence {i + 1}: {' '.join(words)}" for i, words in enumerate(self.sentences)]
        lines = map(paragraph, [*about, f"Model: {self.shown}."])
        parts = [f"<h4>{name.capitalize()}</h4>{text}" for name, text in kept.items() if text]
        return "".join(["<h3>Sentence lab</h3>", *lines, meter_table(self.meter), *parts])
