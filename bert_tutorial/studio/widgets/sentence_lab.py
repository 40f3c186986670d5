"""The sentence lab: type two sentences, and see what a word's neighbours make of it.

Controls, and which view shows what; the numbers come from `lab/lab.py`, the views are in
`lab_parts.py`.
"""

import threading
from collections.abc import Callable
from functools import cache, partial
from html import escape
from pathlib import Path
from typing import Any

import ipywidgets as ipw

from ...representation.senses import EVERY
from ..lab.lab import MAX_WORDS, MOST_PLACES, Lab, Words, published
from ..lab.uses import NEAR
from .lab_parts import PARTS, READ, Asked, Similarity, heat_table
from .parts import FIELD, LONGEST_TEXT, WIDE, WRAP, Panel, cut_note, paragraph, table
from .views import Meter, NumberSlider, StatusLine, TokenChips

ALL_LABELS = 64  # at the slider's end all labels are told
EXAMPLES = Path(__file__).parents[2] / "data" / "typed" / "examples.tsv"  # mostly of two senses
HEAD = (  # of the file that is kept
    "<!DOCTYPE html><html lang='en'><head><meta charset='utf-8'><title>Sentence lab</title><style>"
    "body { font-family: sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem } "
    "table { border-collapse: collapse } td, th { padding: .2rem .5rem; text-align: left }"
    "</style></head>"
)


class SentenceLab(Panel):
    """Two text boxes; under them the tokens, the senses, and one view after the other.

    Further networks, `others` by name, are loaded when they are chosen. What is kept as HTML goes
    into `folder`.
    """

    fallback = "Sentence lab (run this cell to use it)"

    def __init__(
        self,
        lab: Lab,
        sentence_a: str = "a crane is flying",
        sentence_b: str = "a crane driver came",
        description: str = "this network",
        others: dict[str, Callable[[], Lab]] | None = None,
        folder: str | Path = ".",
    ):
        description = menu_name(description)
        self.lab, self.shown = lab, description  # the network that is shown, and its name
        self.sentences: list[Words] = []  # those that were read last
        self.texts: tuple[str, ...] = ()  # in the boxes, when they were read
        self.picked, self.sentence = [0, 0], 0  # the chosen words, and which was clicked last
        labs = (others or {}) | {description: lambda: lab, "untrained": lab.untrained}
        labs = {name: labs[name] for name in dict.fromkeys([description, "untrained", *labs])}
        self._labs = {name: cache(load) for name, load in labs.items()}
        self.folder, self._timer = Path(folder), threading.Timer(0, self._keep_static)
        name = dict(style={"description_width": "6rem"})
        field, hint = FIELD | name, "a folder, or a hub's name"
        self.text_a = ipw.Text(sentence_a, description="Sentence 1", **field)
        self.text_b = ipw.Text(sentence_b, description="Sentence 2", **field)
        self.other = ipw.Text("", description="Other BERT", placeholder=hint, **field)
        lines = (line.split("\t") for line in EXAMPLES.read_text("utf-8").splitlines())
        rows = [(*line, next(iter(PARTS)))[:4] for line in lines]
        self.examples = {title: (a, b) for title, a, b, _ in rows}
        self._views = {title: view for title, *_, view in rows}  # what an example is shown in
        examples = ["your own", *self.examples]
        self.example = ipw.Dropdown(options=examples, description="Example", **name)
        self.model = ipw.Dropdown(options=[*self._labs], description="Model", layout=WIDE, **name)
        self.show = ipw.Dropdown(options=list(PARTS), description="Show", **name)
        self.labels = NumberSlider(value=ALL_LABELS, min=1, max=ALL_LABELS, description="Labels")
        self.layer = NumberSlider(max=0, description="Layer")
        self.labels.hint = f"{ALL_LABELS}: all"
        self.raw = ipw.Checkbox(False, description="plain cosines", indent=False)
        self.keep = ipw.Button(description="Keep as HTML")
        self.status, self.meter = StatusLine(), Meter()
        self.chips = [TokenChips(label=f"Tokens of sentence {number}") for number in (1, 2)]
        self.parts = {title: part() for title, part in PARTS.items()}
        self.box, self.problem, self.known = ipw.VBox(), ipw.HTML(), ipw.HTML()
        reactions = dict.fromkeys((self.text_a, self.text_b, self.model), self._read)
        reactions |= dict.fromkeys((self.layer, self.labels, self.show, self.raw), self._redraw)
        reactions |= {self.example: self._take_example, self.other: self._take_other}
        for control, react in reactions.items():
            control.observe(lambda _, react=react: self._try(react), names="value")
        for number, chips in enumerate(self.chips):
            pick = partial(self._pick, number)
            chips.observe(lambda _, pick=pick: self._try(pick), names="clicked")
        self.keep.on_click(lambda _: self._try(self._keep))
        choose = ipw.HBox([self.example, self.model], layout=WRAP)
        typed = self.text_a, self.chips[0], self.text_b, self.chips[1], self.status
        settings = ipw.HBox([self.layer, self.labels], layout=WRAP)
        views = ipw.HBox([self.show, self.raw, self.keep], layout=WRAP)
        below = self.meter, settings, self.known, self.other
        super().__init__([choose, *typed, views, self.box, *below])
        self.box.add_class("bert-answer")
        self.add_class("bert-lab")
        self._try(self._read)

    def _try(self, what: Callable[[], Any]) -> None:
        """Do something; where it cannot be done, the network stays that is shown."""

        def attempt() -> None:
            try:
                what()
            except Exception:
                self.model.value = self.shown
                raise
            finally:
                self._mark_old()

        self.attempt(attempt)

    def _mark_old(self, is_reading: bool = False) -> None:
        """Grey what is about to change, or was read from other texts than the boxes have now."""
        is_other = (self.text_a.value, self.text_b.value) != self.texts
        for name, holds in (("bert-reading", is_reading), ("bert-other", is_other)):
            (self.add_class if holds else self.remove_class)(name)

    def _take_example(self) -> None:
        if pair := self.examples.get(self.example.value):
            self.text_a.value, self.text_b.value = pair
            self.show.value = self._views[self.example.value]
            self._read()

    def _take_other(self) -> None:
        name = self.other.value.strip()
        if name and name not in self._labs:
            self.status.say(f"loading {name} …")
            lab = published(name)
            self._labs[name] = lambda: lab
            self.model.options = list(self._labs)
        if name:
            self.model.value = name
            self._read()

    def _read(self) -> None:
        """Read both sentences with the chosen network; a wrong input leaves what is shown."""
        name, texts = self.model.value, (self.text_a.value, self.text_b.value)
        if name != self.shown:
            self.status.say(f"loading {name} …")
        lab = self._labs[name]()
        sentences = lab.words(*(text[:LONGEST_TEXT] for text in texts))
        for words in sentences:
            lab.read("network", words)  # they may be too long for it
        if sentences != self.sentences:
            self.picked = list(lab.same_word(sentences))
            known, before = dict(lab.with_senses(sentences)), self.sentences
            self.sentence = max((0, 1), key=lambda n: (n in known, sentences[n] not in before))
        self.lab, self.sentences, self.shown, self.texts = lab, sentences, name, texts
        summary = f"{len(lab.two_senses())} words have two senses that this corpus knows"
        words = escape(", ".join(lab.two_senses()))
        self.known.value = words and f"<details><summary>{summary}</summary>{words}</details>"
        self._unk = lab.vocab.to_tokens(lab.vocab.unk_id)
        if texts != self.examples.get(self.example.value, texts):
            self.example.value = "your own"
        layers = lab.nets["network"].config.num_layers
        if self.layer.max != layers:
            self.layer.max = self.layer.value = layers
        for words, chips, place in zip(sentences, self.chips, self.picked, strict=True):
            with chips.hold_sync():
                chips.tokens, chips.chosen = list(map(self._chip, words)), [place]
        self._redraw()

    def _chip(self, word: str) -> dict[str, Any]:
        """A word as `TokenChips` wants it: with how often it occurs, or that it is unknown."""
        is_unknown, count = self.lab.is_unknown(word), self.lab.count(word)
        note = f"→ {self._unk}" if is_unknown else "" if count is None else f"{count:,}×"
        return {"text": word, "note": note, "is_unknown": is_unknown}

    def _asked(self) -> Asked:
        if not self.sentences:
            raise ValueError("type two sentences first")
        number = EVERY if self.labels.value == ALL_LABELS else self.labels.value
        controls = self.layer.value, number, self.raw.value
        return Asked(self.lab, self.sentences, [*self.picked], self.sentence, *controls)

    def _show(self, name: str, asked: Asked) -> str:
        """Show a view; if that is not possible, say why."""
        try:
            self.parts[name].show(asked)
        except ValueError as error:  # for example, the word is too rare
            return paragraph(f"Not possible: {error}")
        return ""

    def _redraw(self) -> None:
        asked, name = self._asked(), self.show.value
        lab, (words, place) = asked.lab, asked.use
        about = {lab.key(words[place]) or words[place]} if name in READ else set()
        about |= {lab.key(asked.sentences[i][j]) for i, j in lab.with_senses(asked.sentences)}
        if (new := sorted(about - lab.was_read)) and not lab.missing:
            self.status.say(f"reading the uses of {', '.join(new)} in the corpus …")
            self._mark_old(is_reading=True)
        rows, caption = self._meter(asked)
        first, instead, *_ = PARTS
        self.problem.value = self._show(name, asked)
        shown = [] if self.problem.value else [name]
        if name == first and not shown:
            self.problem.value += self._show(instead, asked) or paragraph(f"Instead: {instead}.")
            shown = [instead]
        self.meter.rows, self.meter.caption = rows, caption
        self.raw.disabled = not any(self.parts[name].has_raw for name in shown)
        above = [self.problem] if self.problem.value else []
        self.box.children = (*above, *(self.parts[name].box for name in shown))
        cut = cut_note(self.text_a.value, self.text_b.value)
        words = dict.fromkeys(word for words in self.sentences for word in words)
        unknown = ", ".join(filter(self.lab.is_unknown, words))
        told = f"Not in the vocabulary, so read as {self._unk}: {unknown}."
        self.status.say(cut + (told if unknown else "All words are in the vocabulary."))
        self._timer.cancel()
        if self.is_shown:  # renew what is seen without a kernel, when nothing changes
            self._timer = threading.Timer(0.5, self._keep_static)
            self._timer.daemon = True
            self._timer.start()

    def _meter(self, asked: Asked) -> tuple[list[dict[str, Any]], str]:
        """Its rows and caption."""
        lab, sentences, _, _, layer, number, _ = asked
        if lab.missing:
            return [], f"Which sense? This needs the text: {lab.missing}"
        if not (places := lab.with_senses(sentences)):
            these = ", ".join(lab.two_senses()) or "there are none in this corpus"
            return [], f"No word here has two senses that the corpus knows, as these have: {these}."
        if not layer:
            return [], "Which sense? Layer 0 has no context: only the word and its place."
        few = f"at most {number} of the labels of each sense; few are noisy"
        is_cut = len(lab.with_senses(sentences, MAX_WORDS)) > len(places)
        more = f"; only the first {MOST_PLACES} such words of a sentence stand here"
        return lab.meter(sentences, layer, number), (
            "Which sense? The marker stands nearer to the one that the network reads. Beside it: "
            f"how many of the {NEAR} nearest held-out uses have that sense. Hollow is undecided: "
            "less than two thirds have it, or dropout, the pale band, can move the marker over the "
            f"middle, which is 0. (Layer {layer}, {'all labels' if number == EVERY else few}"
            f"{more if is_cut else ''}.)"
        )

    def _pick(self, sentence: int) -> None:
        place = self.chips[sentence].clicked["index"]
        if self.sentences and place < len(self.sentences[sentence]):
            self.picked[sentence], self.sentence = place, sentence
            self.chips[sentence].chosen = [place]
            self._redraw()

    def _keep(self) -> None:
        """Write one file with all views but that of attention."""
        asked, kept = self._asked(), {"the meter": paragraph(self.meter.caption)}
        for name, part in self.parts.items():
            is_shown = part.box in self.box.children  # and so up to date
            kept[name] = (not is_shown and self._show(name, asked)) or part.kept()
        path = self.folder / "sentence_lab.html"
        path.write_text(f"{HEAD}<body>{self._report(kept)}</body></html>", encoding="utf-8")
        self.status.say(f"kept in {path.resolve()}")

    def _keep_static(self) -> None:
        with self._lock:
            self.keep_static(self.static_html())

    def static_html(self) -> str:
        """What is seen without a kernel: sentences, meter, and cosines if they are shown."""
        if not self.sentences:
            return ""
        heat = {
            name: "".join(map(heat_table, part.views.values()))
            for name, part in self.parts.items()
            if isinstance(part, Similarity) and part.box in self.box.children
        }
        return self._report(heat)

    def _report(self, kept: dict[str, str]) -> str:
        """Sentences, model, the meter as a table, and parts by name."""
        about = [f"Sentence {i}: {' '.join(words)}" for i, words in enumerate(self.sentences, 1)]
        header = ("word", "according to", "between its senses", "held-out uses near it")
        rows = [
            (r["label"], r["source"], f"{r['left']} {track(r['position'])} {r['right']}", r["text"])
            for r in self.meter.rows
        ]
        lines = map(paragraph, [*about, f"Model: {self.shown}."])
        parts = [f"<h4>{name.capitalize()}</h4>{text}" for name, text in kept.items() if text]
        meter = table(header, rows, "Between two senses")
        return "".join(["<h3>Sentence lab</h3>", *lines, meter, *parts])


def menu_name(description: str) -> str:
    """A network's name in the menu: short, and as `other_networks` calls the same one."""
    name = description.partition(";")[0]
    name = name.replace("network that comes with the package, corpus", "in the package,")
    return name.replace("network trained in notebook 02, corpus", "trained in notebook 2,")


def track(position: float) -> str:
    """A place from -1 to 1 as characters: `◀━━●━━━━━▶`."""
    place = round((position + 1) * 4)
    return "◀" + "━" * place + "●" + "━" * (8 - place) + "▶"
