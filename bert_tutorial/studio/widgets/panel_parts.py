"""What the training panel shows under its picture, one at a time."""

import html
from pathlib import Path
from typing import Any

import ipywidgets as ipw

from ...text.corpora import read_text
from ...text.vocabulary import Vocab
from ...text.wikitext_format import Corpus
from ..lab.probe import Probe
from ..runs.experiments import EXPERIMENTS
from ..runs.queue import RunQueue
from .lab_html import table
from .panel_views import ButtonRow
from .parts import NAME, WIDE
from .runs_part import TOLD, loss_of, told

GUESSES = 5


class LearnedPart:
    """A sentence with a mask and a word with two senses, asked at every held-out point.

    Args:
        learned: What is asked.
    """

    def __init__(self, learned: Probe):
        self.learned = learned
        field = dict(continuous_update=False, style=NAME, layout=WIDE)
        self.sentence = ipw.Text("", description="Sentence with <mask>", **field)
        self.guess = ipw.Text("", description="Your guess", **field)
        self.word = ipw.Dropdown(
            options=words_of(learned), description="Word with two senses", style=NAME
        )
        self.text = ipw.HTML()
        self.text.add_class("bert-table")
        self.rows: list[tuple[int, dict]] = []
        self.box = ipw.VBox([self.sentence, self.guess, self.word, self.text])
        self.sentence.observe(lambda _: self._ask(), names="value")
        self.word.observe(lambda _: self._ask(), names="value")
        self.guess.observe(lambda _: self.draw(), names="value")
        self.sentence.value = learned.sentence or first_question(learned)
        self._ask()
        self.draw()

    def use(self, learned: Probe) -> None:
        """Ask another one, which may know other words."""
        if learned is not self.learned:
            self.learned, self.word.options = learned, words_of(learned)
            self._ask()

    def _ask(self) -> None:
        self.learned.sentence, self.learned.word = self.sentence.value[:500], self.word.value or ""

    def show(self, bench: RunQueue) -> None:
        """Show what the run has found so far."""
        looks = list(bench.run.looks) if bench.run is not None else []
        if looks != self.rows:
            self.rows = looks
            self.draw()

    def draw(self) -> None:
        """Draw the table anew."""
        if not self.rows:
            self.text.value = "<p>Guess first. The network's answers come while it trains.</p>"
            return
        own = self.guess.value.strip().lower()
        header = ["step", *(f"{n + 1}." for n in range(GUESSES)), "senses right", "means apart"]
        rows = [[str(step), *guesses_of(look, own), *senses_of(look)] for step, look in self.rows]
        last = self.rows[-1][1]
        caption = f"“{last.get('sentence', '')}”, and the two senses of {last.get('word', '')}"
        self.text.value = table(header, rows, caption) + self._comment(own, last)

    def _comment(self, own: str, last: dict[str, Any]) -> str:
        said = [last["problem"]] if "problem" in last else []
        if own:
            words = [token for token, _ in last.get("guesses", [])]
            where = f"is guess {words.index(own) + 1}" if own in words else "is not among the five"
            said.append(f"Your guess, {own}, {where} now.")
        if "apart" in last:
            said.append(
                "Means apart: the distance of the two senses' mean vectors, divided by how far "
                "uses scatter around them."
            )
        return "".join(f"<p>{html.escape(sentence)}</p>" for sentence in said)


def words_of(learned: Probe) -> list[str]:
    """The words that can be chosen, the best-known one first."""
    return sorted(learned.words, key=lambda word: word != "crane")


def learned_of(vocab: Vocab, corpus: str | Path | Corpus) -> tuple[Probe, str]:
    """What a network is asked; without a corpus no words, and a sentence that says why.

    Args:
        vocab: The vocabulary of the networks.
        corpus: As in `read_text`.
    """
    try:
        return Probe(vocab, read_text(corpus)), ""
    except (OSError, ValueError) as error:
        return Probe(vocab, Corpus("", "", "")), str(error)


def first_question(learned: Probe) -> str:
    """A sentence to begin with."""
    wanted = "the <mask> stood on one leg in the pond"
    known = all(word in learned.vocab for word in ("stood", "leg", "pond"))
    return wanted if known else ""


def guesses_of(look: dict[str, Any], own: str) -> list[str]:
    """The cells of the five likeliest words; one's own has a mark."""
    found = [
        f"{'✓ ' if t == own else ''}{t if t[:1].isalnum() else f'“{t}”'} {p:.0%}"  # “,” is one too
        for t, p in look.get("guesses", [])
    ]
    return found + [""] * (GUESSES - len(found))


def senses_of(look: dict[str, Any]) -> list[str]:
    """The cells of a word's senses."""
    if "right" not in look:
        return ["", ""]
    return [f"{look['right']:.0%} of {look['of']}", f"{look['apart']:.2f}"]


class ExperimentPart:
    """Prepared comparisons: a question, one's own guess, a click, and what came out."""

    def __init__(self):
        field = dict(style=NAME, layout=WIDE)
        self.choice = ipw.Dropdown(options=list(EXPERIMENTS), description="Experiment", **field)
        self.guess = ipw.Text("", description="What will happen?", **field)
        self.buttons = ButtonRow(names=["Run experiment"], label="Experiment")
        self.text = ipw.HTML()
        self.text.add_class("bert-table")
        self.box = ipw.VBox([self.choice, self.text, self.guess, self.buttons])
        self.shown: tuple = ()

    def show(self, bench: RunQueue) -> None:
        """Show the question, how far it is, and the answer once all its runs have ended."""
        self.buttons.active = [] if bench.is_busy else ["Run experiment"]
        experiment = EXPERIMENTS[self.choice.value]
        said = [experiment.question]
        runs, is_this = [], bench.experiment is experiment
        if is_this:
            known = {run.id: run for run in bench.runs()}
            runs = [(n, known[i]) for n, i in bench.done.items() if i in known]
            total, left = len(experiment.runs), len(bench.left)
            if bench.is_busy:
                said.append(f"Run {total - left} of {total} is on its way.")
        losses = [loss_of(run) for _, run in runs]
        rows = [[name, *map(str, told(run))] for name, run in runs]
        is_over = is_this and len(rows) == len(experiment.runs) and not bench.is_busy
        if is_over and all(run.is_finished for _, run in runs):
            said.append(f"What one should see: {experiment.answer}")
            held = experiment.holds([loss for loss in losses if loss is not None])
            said.append("So it was here." if held else "Here it was otherwise.")
            if own := self.guess.value.strip():
                said.append(f"Your guess was: {own}")
        new = tuple(said), tuple(map(tuple, rows))
        if new != self.shown:
            self.shown = new
            text = "".join(f"<p>{html.escape(sentence)}</p>" for sentence in said)
            caption = "One row a run; losses in nats"
            self.text.value = text + (table(["run", *TOLD], rows, caption) if rows else "")
