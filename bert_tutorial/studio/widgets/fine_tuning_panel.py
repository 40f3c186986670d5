"""The fine-tuning panel: choose a task and how many labels, train, and type a text."""

import atexit
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from functools import cache, partial
from pathlib import Path

import ipywidgets as ipw
import numpy as np

from ...cache import cache_dir
from ...devices import one_thread
from ...finetuning.controls import (
    Predict,
    accuracy,
    encoded,
    most_frequent,
    naive_bayes,
    vector_regression,
)  # fmt: skip
from ...finetuning.heads import FineTuned
from ...finetuning.labelled import Labelled, Task
from ...finetuning.protocol import sizes
from ...finetuning.train import fine_tune_steps, log_probabilities, recipe
from ...network.model import BERTModel
from ...notebook import png_html
from ...text.vocabulary import Vocab
from ..finetuned.ask import typed, word_effects
from ..finetuned.files import read_labelled
from ..finetuned.pictures import update_curves
from ..finetuned.saved import load_fine_tuned, save_fine_tuned, saved_networks
from ..finetuned.tasks import TASKS
from .parts import FIELD, LONGEST_TEXT, NAME, WIDE, Panel, cut_note, table
from .views import ButtonRow, ChoiceSlider, NumberSlider, Picture, StatusLine, TokenHeatmap

KINDS = {  # what is trained; named as in the table of runs
    "fine-tuned: all weights": "fine-tuned",
    "frozen: the head alone": "frozen",
    "never pretrained: all weights, from nothing": "never pretrained",
}
LEVELS = {"most frequent label": most_frequent, "naive Bayes": naive_bayes}  # across the picture
KEPT = "saved"  # in place of one of these, for a network that comes from disk
MEASURE_EVERY = 50  # updates
MOST_RUNS, MOST_WORDS = 4, 60  # that are remembered, and coloured
NEVER = -1e4  # nats, of a label that no text had; of one that cannot be, twice that
EXAMPLES = {  # of a text, or a pair
    "mood": ["we waited an hour for cold soup, but the view and the cake were lovely"],
    "topic": ["the crane stood in the shallow water and waited for a fish"],
    "same sense": ["the crane lifted a heavy beam", "a crane flew over the lake with its young"],
    "sense tagging": ["a mouse ran over the palm of my hand and hid in the trunk of the tree"],
}


class TuningRun:
    """One fine-tuning: what it learns from, how far it is, and what it is compared with."""

    def __init__(self, task: Task, train: Labelled, kind: str, seed: int, tuned: FineTuned):
        self.task, self.train, self.kind, self.tuned = task, train, kind, tuned
        self.settings = recipe(len(train), seed, kind != "never pretrained")
        self.step, self.predict, self.texts = 0, None, len(train)
        self.name = f"{kind}, {len(train):,} labels, seed {seed}"
        self.points: list[tuple[int, float]] = []  # updates, and accuracy on the test texts
        self.levels: dict[str, float] = {}  # the accuracy of others

    def go(self, net: BERTModel, vocab: Vocab) -> Iterator[None]:
        """Train, and measure every so many updates; nothing is half done at a yield."""
        seed, last, test = self.settings.seed, self.settings.num_steps, self.task.test
        frozen = vector_regression(partial(encoded, net, vocab))
        for name, fit in (LEVELS | {"frozen": frozen}).items():
            yield
            head = fit(self.train, seed)
            self.levels[name] = accuracy(head, test)
        if self.kind == "frozen":  # whose head is found at once, without updates
            self.predict, self.step, right = head, last, self.levels.pop("frozen")
            self.points = [(0, right), (last, right)]
            return
        self.predict = partial(log_probabilities, self.tuned, vocab)
        self.points.append((0, accuracy(self.predict, test)))
        for step, _ in fine_tune_steps(self.tuned, vocab, self.train, self.settings):
            self.step = step
            if step % MEASURE_EVERY == 0 or step == last:
                self.points.append((step, accuracy(self.predict, test)))
            yield

    def stop(self) -> None:
        """Measure it as it is now, so that what is told and saved is true of it."""
        self.name += f", stopped after {self.step:,} updates"
        if self.points and self.step > self.points[-1][0]:
            self.points.append((self.step, accuracy(self.predict, self.task.test)))

    def save(self, vocab: Vocab) -> Path:
        """Keep the network as it is now, with what is known of it."""
        facts = dict(task=self.task.name, network=self.kind, seed=self.settings.seed)
        facts |= dict(texts=len(self.train), updates=self.step, right=self.points[-1][1])
        name = re.sub(r"[^\w.-]+", " ", f"{datetime.now():%Y%m%d-%H%M%S} {self.task.name}")
        folder = cache_dir() / "fine-tuned" / name[:100]
        save_fine_tuned(self.tuned, vocab, folder, **facts, **self.levels)
        return folder

    def __str__(self):
        if not self.points:
            return f"{self.name}: nothing is measured yet."
        step, right = self.points[-1]
        done = f"after {step:,} of {self.settings.num_steps:,} updates"
        if self.kind == "frozen":
            done = "its head needs no updates:"
        what = "words" if self.task.test.kind == "tagging" else "texts"
        others = "; ".join(f"{name} {level:.0%}" for name, level in self.levels.items())
        others = f" ({others})" if others else ""
        return (
            f"{self.name}: {done} {right:.1%} of {len(self.task.test):,} test {what} right{others}."
        )


class FineTuningPanel(Panel):
    """Fine-tune by hand; no cell is busy meanwhile, so the buttons answer at once.

    Args:
        net, vocab: The pretrained network; it is not changed.
        task: The one that is shown first: a name of `TASKS`, or a task or a file of your own.
        labels: How many there are at first, or the number next to it.
    """

    fallback = "Fine-tuning panel (run this cell to use it)"

    def __init__(self, net: BERTModel, vocab: Vocab, task: str | Task = "topic", labels: int = 64):
        self.net, self.vocab = net, vocab
        self.tasks = {name: cache(make) for name, make in TASKS.items()}
        if isinstance(task, str) and task not in self.tasks:
            task = read_labelled(task)
        if isinstance(task, Task):
            self.tasks[task.name] = lambda: task
        self.runs: list[TuningRun] = []  # of the task that is shown, the newest last
        self._stop, self._go_on, self._thread = threading.Event(), threading.Event(), None
        how = dict(style=NAME, layout=dict(width="26rem", max_width="calc(100% - 4px)"))
        first = task.name if isinstance(task, Task) else task
        self.choice = ipw.Dropdown(options=[*self.tasks], value=first, description="Task", **how)
        self.kind = ipw.Dropdown(options=KINDS, description="Network", **how)
        self.labels = ChoiceSlider(description="Labels")
        self.seed = NumberSlider(max=99, description="Seed", hint="which labels, and the start")
        self.presses = {
            "Start": self._start, "Pause": self._pause, "Resume": self._go_on.set,
            "Stop": self._halt, "Save": self._save,
        }  # fmt: skip
        self.buttons = ButtonRow(names=[*self.presses], label="Fine-tuning")
        self.status, self.told, self.picture = StatusLine(), StatusLine(), Picture()
        self.saved = ipw.Dropdown(description="Saved network", **how)
        hint = dict(placeholder="type, then press Enter", **FIELD)
        self.texts = [ipw.Text("", description=f"{n} text", **hint) for n in ("First", "Second")]
        self.texts[1].layout = dict(WIDE.get_state(("width", "max_width")))  # hidden alone
        self.answers, self.words = ipw.HTML().add_class("bert-table"), TokenHeatmap()
        self.locked = self.choice, self.kind, self.labels, self.seed
        columns = "repeat(auto-fill, minmax(max(20.5rem, 45%), 1fr))"
        grid = dict(grid_template_columns=columns, grid_gap="0 1rem")
        shown = [self.buttons, self.status, self.picture, *self.texts, self.told, self.answers]
        below = self.words, self.saved
        super().__init__([ipw.GridBox(self.locked, layout=grid), *shown, *below])
        self.add_class("bert-panel")
        self._take(labels)
        self._list_saved()
        for react, trait, *widgets in (
            (self._take, "value", self.choice),
            (self._draw_labels, "value", self.labels, self.seed),
            (self._ask, "value", *self.texts),
            (self._open, "value", self.saved),
            (self._press, "clicked", self.buttons),
        ):
            for widget in widgets:
                widget.observe(lambda _, react=react: self.attempt(react), names=trait)

    def _take(self, labels: int = 64) -> None:
        """Show another task, with a text that is prepared for it."""
        self.task, self.runs = self.tasks[self.choice.value](), []
        train, test = self.task.train, self.task.test
        self._numbers = {len(train.subset(number, 0)): number for number in sizes(train)}
        self.labels.choices, self.labels.value = list(self._numbers), labels
        self.labels.hint = f"in all, of {len(train.names)} kinds"
        known = [" ".join(text.words) for text in test.texts[0]]
        prepared = EXAMPLES.get(self.task.name, known)
        for field, text in zip(self.texts, [*prepared, ""], strict=False):
            field.value = text
        are_pairs = len(train.texts[0]) > 1
        self.texts[0].description = "First text" if are_pairs else "Text"
        self.texts[1].layout.display = "" if are_pairs else "none"
        self.picture.show(b"", "")
        self.status.say("Choose, then press Start.")
        self.saved.value = self.saved.value and ""
        self._draw_labels()

    def _draw_labels(self) -> None:
        """Other labels: the bag counts them at once, and there is a new head."""
        self.train = self.task.train.subset(self._numbers[self.labels.value], self.seed.value)
        self.bag = naive_bayes(self.train, self.seed.value)
        self.before = partial(log_probabilities, self._with_head("fine-tuned"), self.vocab)
        self._ask()
        self._mark()

    def _with_head(self, kind: str) -> FineTuned:
        how = self.seed.value, kind != "never pretrained"
        return FineTuned.on(self.net, self.train, *how)

    def _press(self) -> None:
        self.presses[self.buttons.clicked["name"]]()
        self._mark()

    def _start(self) -> None:
        which = self.kind.value, self.seed.value, self._with_head(self.kind.value)
        run = TuningRun(self.task, self.train, *which)
        self._remember(run)
        self._stop.clear()
        self._go_on.set()
        self.status.is_going = True
        self._thread = threading.Thread(target=self._work, name="fine-tuning", daemon=True)
        # A program that ends while a thread computes would be aborted.
        atexit.register(lambda thread=self._thread: (self._halt(), thread.join(60)))
        self._thread.start()

    def _pause(self) -> None:
        self._go_on.clear()
        self.status.say(f"{self.runs[-1].name}: paused after update {self.runs[-1].step:,}.")

    def _halt(self) -> None:
        self._stop.set()
        self._go_on.set()

    def _save(self) -> None:
        folder = self.runs[-1].save(self.vocab)
        self._list_saved()
        self.status.say(f"Saved in {folder}. `load_fine_tuned` reads it, and so does transformers.")

    def _list_saved(self) -> None:
        """List what is on disk, the newest first; without anything there is no list."""
        self.saved.options = [("choose, to ask it too", ""), *saved_networks().items()]
        self.saved.layout.display = "" if self.saved.options[1:] else "none"

    def _open(self) -> None:
        """Ask a saved network, too."""
        if not self.saved.value:
            return
        net, vocab, facts = load_fine_tuned(self.saved.value)
        if (net.names, net.kind) != (tuple(self.task.train.names), self.task.train.kind):
            raise ValueError(
                f"it was fine-tuned for {facts.get('task', 'another task')}, with the labels "
                f"{'; '.join(net.names)[:200]}: choose that task first"
            )
        run = TuningRun(self.task, self.train, KEPT, int(facts.get("seed", 0)), net)
        run.name, run.predict = f"saved {self.saved.label}", partial(log_probabilities, net, vocab)
        run.step = int(facts.get("updates", 0))
        run.settings = replace(run.settings, num_steps=max(1, run.step))
        run.points = [(run.step, accuracy(run.predict, self.task.test))]
        run.texts = int(facts.get("texts", 0))
        run.levels = {name: facts[name] for name in (*LEVELS, "frozen") if name in facts}
        self._remember(run)
        self._go_on.set()
        self._show()
        self._mark()

    def _remember(self, run: TuningRun) -> None:
        self.runs = [*(old for old in self.runs if old.name != run.name)][1 - MOST_RUNS :] + [run]

    def _mark(self) -> None:
        """Which buttons can be pressed; what was chosen stays while a network is trained."""
        is_going, is_paused = self.status.is_going, not self._go_on.is_set()
        is_new = bool(self.runs and self.runs[-1].points) and not is_going
        can_save = is_new and self.runs[-1].kind not in ("frozen", KEPT)
        can = is_going and not is_paused, is_going and is_paused, is_going, can_save
        can = dict(zip(self.presses, (not is_going, *can), strict=True))
        self.buttons.active = [name for name, can_be in can.items() if can_be]
        for control in self.locked:
            control.disabled = is_going

    @one_thread()
    def _work(self) -> None:
        """Train the newest run in a thread of its own, and show how far it is."""
        run, measured = self.runs[-1], -1
        try:
            for _ in run.go(self.net, self.vocab):
                if len(run.points) > measured:
                    measured = len(run.points)
                    self.attempt(self._show)
                while not self._go_on.wait(timeout=5):
                    self.status.beat += 1  # the page hears that the kernel is alive
                if self._stop.is_set():
                    run.stop()
                    break
            self.attempt(self._show)
        except Exception as error:  # whatever it is: it is told, and the panel stays usable
            self.status.say(str(error) or type(error).__name__, is_error=True)
        finally:
            self.status.is_going = False
            self._mark()

    def _show(self) -> None:
        if self._go_on.is_set():
            self.status.say(str(self.runs[-1]))
        if found := {run.name: run.points for run in self.runs if run.points}:
            alt, newest = " ".join(map(str, self.runs)), self.runs[-1]
            levels = {f"{name}, {newest.texts:,} labels": x for name, x in newest.levels.items()}
            most = max(run.settings.num_steps for run in self.runs)
            self.picture.show(update_curves(found, levels, most), alt)
        self._ask()

    def _ask(self) -> None:
        """Ask all networks, and the bag, about what is typed; what is wrong with it is told."""
        try:
            self._answer(*(field.value for field in self.texts))
        except ValueError as error:
            self.told.say(str(error), is_error=True)
            self.answers.value, self.words.rows, self.words.values = "", [], []

    def _answer(self, *texts: str) -> None:
        asked = typed(self.task.train, *(text[:LONGEST_TEXT] for text in texts))
        models = {"before: new head": self.before}
        models |= {run.name: run.predict for run in self.runs if run.points}
        models[f"naive Bayes, {len(self.train):,} labels"] = self.bag
        models = {name: partial(among, predict) for name, predict in models.items()}
        rows = [[name, *map(self._likeliest, of(asked))] for name, of in models.items()]
        heads = ["label"]
        if asked.kind == "tagging":
            heads = [text.words[text.place] for (text,) in asked.texts]
        self.answers.value = table(["according to", *heads], rows, "Which label?")
        self._show_words(asked, dict(list(models.items())[-2:]))
        words = dict.fromkeys(word for text in asked.texts[0] for word in text.words)
        unknown = [word for word in words if self.vocab.unknown(self.vocab.pieces(word))]
        said = f"The network does not know: {', '.join(unknown)}." if unknown else ""
        read, room = sum(len(text.words) for text in asked.texts[0]), self.net.config.max_len - 3
        cut = f"The network reads about {room} words of it at most. " if read > room else ""
        self.told.say(cut_note(*texts) + cut + (said or "The network knows all words."))
        picture = png_html(self.picture.png, self.picture.alt) if self.picture.png else ""
        self.keep_static(picture + self.answers.value)

    def _likeliest(self, scores: np.ndarray) -> str:
        """The two likeliest labels with their probabilities."""
        best = scores.argsort()[::-1][:2]
        return "; ".join(f"{self._name(label)} {np.exp(scores[label]):.1%}" for label in best)

    def _name(self, label: int) -> str:
        return self.task.train.names[label].split(": ")[-1]

    def _show_words(self, asked: Labelled, models: dict[str, Predict]) -> None:
        """Hide one word after the other: how much do the odds of the label fall?"""
        texts = asked.texts[0]
        words = [word for text in texts for word in text.words][:MOST_WORDS]
        which = f" of {texts[0].words[texts[0].place]}" if asked.kind == "tagging" else ""
        falls = [word_effects(partial(odds, predict), asked) for predict in models.values()]
        with self.words.hold_sync():
            self.words.rows = ["network", "naive Bayes"]
            self.words.columns, self.words.values = words, [fall[: len(words)] for fall in falls]
            self.words.high = max(0.1, *(abs(x) for fall in falls for x in fall))
            self.words.low = -self.words.high
            best = [self._name(predict(asked)[0].argmax()) for predict in models.values()]
            self.words.caption = (
                f"Which words count? How far the odds of the label{which} fall where a word is "
                f"hidden, in nats (0.7: they are halved). Network ({next(iter(models))}): "
                f"{best[0]}; naive Bayes: {best[1]}"
            )


def among(predict: Predict, data: Labelled) -> np.ndarray:
    """What a model says, in nats, among the labels that a text can have: (N, C)."""
    allowed = data.allowed()
    allowed[~allowed.any(1)] = allowed[0]  # where the tagged word itself is hidden
    scores = np.where(allowed, np.maximum(predict(data), NEVER), 2 * NEVER)
    return scores - np.logaddexp.reduce(scores, 1, keepdims=True)


def odds(predict: Predict, data: Labelled) -> np.ndarray:
    """The logarithm of each label's odds: of its probability over that of all others, (N, C)."""
    scores = np.minimum(predict(data), -1e-7)
    return scores - np.log(-np.expm1(scores))
