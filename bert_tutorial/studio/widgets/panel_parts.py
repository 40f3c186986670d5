"""What the training panel shows under its picture, one at a time."""

import csv
import io
from collections import Counter
from contextlib import suppress
from html import escape
from typing import Any

import ipywidgets as ipw

from ...plots import shorten
from ..lab.probe import Probe
from ..runs.experiments import EXPERIMENTS
from ..runs.overlay import describe_overlay, overlay, style_of
from ..runs.queue import RunQueue
from ..runs.saved_runs import SavedRun
from .panel_controls import NAMES, as_text
from .parts import FIELD, LONGEST_TEXT, NAME, WIDE, cut_note, paragraph, table
from .views import ButtonRow, Picture, RunTable

SENTENCE = "the bird laid two <mask> in its nest"  # eggs: learned in a minute, tests ask it
RESULTS = ("seconds", "step", "held-out loss", "words right")  # columns beside the settings


def last_loss(saved: SavedRun) -> tuple[float | None, float | None]:
    """The last held-out MLM loss of a saved run, and its part of words right; None without one."""
    held_out = saved.record.get("held_out")
    return tuple(held_out[-1][1:3]) if held_out else (None, None)


def results_of(saved: SavedRun) -> list[str]:
    """The cells of RESULTS."""
    record, (loss, right) = saved.record, last_loss(saved)
    cells = [f"{record.get('seconds', 0):.0f}", f"{record['step']} of {record['num_steps']}"]
    return [*cells, *(["", ""] if loss is None else [f"{loss:.3f}", f"{right:.1%}"])]


def cell_of(saved: SavedRun, name: str) -> str:
    """A setting as the table shows it; empty what another version did not have."""
    with suppress(KeyError, TypeError, ValueError):
        return as_text(name, saved.record["settings"][name])
    return ""


def csv_of(runs: list[SavedRun]) -> bytes:
    """The settings and results of runs."""
    file = io.StringIO()
    rows = csv.writer(file)
    rows.writerow(["name", *NAMES, "step", "seconds", "held_out_mlm_loss", "mlm_accuracy"])
    for run in runs:
        settings = [run.record["settings"].get(name) for name in NAMES]
        done = run.record["step"], run.record.get("seconds", 0)
        rows.writerow([run.name, *settings, *done, *last_loss(run)])
    return file.getvalue().encode()


class Comparison(Picture):
    """The curves of some runs over one another; drawn again only where that shows anything new."""

    smoothing, drawn = 0.9, ()

    def compare(self, runs: list[SavedRun]) -> None:
        """Draw these runs; those of one name are numbered."""
        what = self.smoothing, [(run.id, run.name, run.record["step"]) for run in runs]
        if what == self.drawn:
            return
        self.drawn, curves = what, {}
        for run in runs:
            alike = [other for other in runs if other.name == run.name]
            label = f"{run.name} ({alike.index(run) + 1})" if alike[1:] else run.name
            curves[label] = run.steps(), run.held_out
        baselines = next((run.baselines for run in runs if run.baselines), None)
        png, alt = b"", describe_overlay(curves) if curves else ""
        try:
            png = overlay(curves, baselines, self.smoothing) if curves else b""
        except Exception as error:  # the table stays
            alt += f" The picture cannot be drawn: {shorten(str(error), 200)}"
        self.show(png, alt)


class LearnedPart:
    """A sentence with a mask and a word with two senses, asked at every held-out point."""

    def __init__(self, probe: Probe):
        knows_birds = all(word in probe.vocab for word in ("bird", "laid", "eggs", "nest"))
        sentence = probe.sentence or SENTENCE * knows_birds
        how = dict(placeholder="type, then press Enter", **FIELD)
        self.sentence = ipw.Text(sentence, description="Sentence with <mask>", **how)
        self.guess = ipw.Text("", description="Your guess", **how)
        self.word = ipw.Dropdown(description="Word with two senses", style=NAME)
        self.text = ipw.HTML().add_class("bert-table")
        self.guesses: dict[str, str] = {}  # one's own, by sentence
        self.probe, self.run, self.again = None, None, []  # again: what was asked in between
        self.box = ipw.VBox([self.sentence, self.guess, self.word, self.text])
        self.use(probe)
        self.guess.observe(lambda _: self._note_guess(), names="value")

    def use(self, probe: Probe) -> None:
        """Ask this one, which may know other words than the last."""
        if probe is not self.probe:
            self.probe, words = probe, sorted(probe.words, key=lambda word: word != "crane")
            self.word.options, self.word.value = words, probe.word or next(iter(words), None)
            self.ask()

    def ask(self, *_: Any) -> None:
        """Ask what is typed from now on; a network that is there answers at once, as it is."""
        sentence = self.sentence.value[:LONGEST_TEXT]
        self.probe.sentence, self.probe.word = sentence, self.word.value or ""
        self.guess.value = self.guesses.get(sentence, "")
        if self.run is not None and self.run.probe is self.probe:  # it knows the same words
            self.again.append((len(self.run.history), self.probe(self.run.net)))
        self._draw()

    def show(self, queue: RunQueue) -> None:
        """Show what the run has found so far."""
        if queue.run is not self.run:
            self.run, self.again = queue.run, []
        self._draw()

    def _note_guess(self) -> None:
        self.guesses[self.probe.sentence] = self.guess.value
        self._draw()

    def _draw(self) -> None:
        """A table for each sentence, by step: first what stands in the fields, then the newest."""
        sentence, word, asked, senses = self.probe.sentence, self.probe.word, {}, {}
        answers = [*self.run.probes, *self.again] if self.run is not None else []
        for step, answer in sorted(answers, key=lambda answer: answer[0]):
            asked.setdefault(answer.get("sentence", ""), {})[step] = answer
            senses.setdefault(answer.get("word"), {})[step] = answer
        now, of_word, own = asked.pop(sentence, {}), senses.get(word, {}), self._own(sentence)
        said = [cut_note(self.sentence.value), *self.probe.remarks()]
        if sentence.strip() and not now:
            noted = f"Noted: {own}." if own else "Guess first, and press Enter."
            said.append(f"{noted} The network's answers come while it trains.")
        said += [now[max(now)].get("problem", "")] if now else []
        text = learned_table(sentence, own, now, of_word)
        text += "".join(paragraph(one) for one in said if one)
        for other in reversed(asked):
            text += learned_table(other, self._own(other), asked[other], {}, "Asked before: ")
        self.text.value = text

    def _own(self, sentence: str) -> str:
        return self.guesses.get(sentence, "").strip().lower()


def learned_table(
    sentence: str, own: str, asked: dict[int, dict], senses: dict[int, dict], lead: str = ""
) -> str:
    """By step, what was said to a sentence and of a word's senses; and how one's own guess did."""
    rows, columns, about = {step: [str(step)] for step in asked or senses}, ["step"], []
    said, last = "", max(rows, default=0)
    if "guesses" in asked.get(last, ()):
        columns += ["1.", "2.", "3.", "4.", "5."]
        about.append(f"“{shorten(sentence, 200)}”")
        for step, row in rows.items():
            for token, p in asked[step]["guesses"]:
                word = token if token[:1].isalnum() else f"“{token}”"
                row.append(f"{'✓ ' * (token == own)}{word} {p:.0%}")
            row += [""] * (6 - len(row))
        if own:
            words = [token for token, _ in asked[last]["guesses"]]
            where = f"is guess {words.index(own) + 1}" if own in words else "is not among the five"
            said = paragraph(f"Your guess, {own}, {where} at step {last}.")
    if senses:
        newest = senses[max(senses)]
        columns += ["senses right", "means apart"]
        about.append(f"the two senses of {newest['word']}")
        for step, row in rows.items():
            found = senses.get(step)
            row += [f"{found['right']:.0%}", f"{found['apart']:.2f}"] if found else ["", ""]
        said += paragraph(
            f"Senses right: of {newest['of']} held-out uses of {newest['word']}, those whose "
            "vector is nearer to the mean of their own sense than to the other's; a coin gets 50%. "
            "Means apart: the distance of these means, divided by how far uses scatter around them."
        )
    return table(columns, [*rows.values()], lead + ", and ".join(about)) + said if about else ""


class ExperimentPart:
    """Prepared comparisons: a question, one's own guess, a click, and what came out."""

    def __init__(self):
        how = dict(style=NAME, layout=WIDE)
        self.choice = ipw.Dropdown(options=list(EXPERIMENTS), description="Experiment", **how)
        self.guess = ipw.Text("", description="What will happen?", **how)
        self.buttons = ButtonRow(names=["Run experiment"], label="Experiment")
        self.text, self.picture = ipw.HTML().add_class("bert-table"), Comparison()
        self.box = ipw.VBox([self.choice, self.text, self.picture, self.guess, self.buttons])

    def show(self, queue: RunQueue) -> None:
        """Show the question, how far it is, and the answer once all its runs have ended."""
        self.buttons.active = [] if queue.is_busy else ["Run experiment"]
        experiment, runs = EXPERIMENTS[self.choice.value], {}
        said, total = [experiment.question], len(experiment.runs)
        if queue.experiment is experiment:
            known = {saved.id: saved for saved in queue.runs()}
            runs = {name: known[id] for name, id in queue.done.items() if id in known}
            if queue.is_busy:
                said.append(f"Run {total - len(queue.left)} of {total} is on its way.")
            elif len(runs) == total and all(saved.is_finished for saved in runs.values()):
                is_so = experiment.holds([last_loss(saved)[0] for saved in runs.values()])
                said.append(f"What one should see: {experiment.answer}")
                said.append("So it was here." if is_so else "Here it was otherwise.")
                if own := self.guess.value.strip():
                    said.append(f"Your guess was: {own}")
        text = "".join(map(paragraph, said))
        if runs:
            rows = [[name, *results_of(saved)] for name, saved in runs.items()]
            text += table(["run", *RESULTS], rows, "One row a run; losses in nats")
        self.text.value = text  # nothing is sent where it is the same
        self.picture.compare([saved for saved in runs.values() if saved.is_finished])


class RunsPart:
    """All saved runs: a table, the curves of those that are ticked, and buttons for files."""

    def __init__(self):
        self.table, self.picture, self.size = RunTable(), Comparison(), ipw.HTML()
        self.buttons = ButtonRow(names=["Save CSV", "Save PNG"], label="Files of these runs")
        self.box = ipw.VBox([self.table, self.size, self.buttons, self.picture])

    def show(self, queue: RunQueue) -> None:
        """Show the runs as they are on disk now."""
        runs = queue.runs()
        ticked = [run.id for run in runs if run.id in self.table.ticked]
        found = {name: [cell_of(run, name) for run in runs] for name in NAMES}
        differ = [name for name, cells in found.items() if len(set(cells)) > 1]
        usual = {name: Counter(found[name]).most_common(1)[0][0] for name in differ}
        rows = []
        for run in reversed(runs):
            cells = [cell_of(run, name) for name in differ]
            marked = [i for i, name in enumerate(differ) if cells[i] != usual[name]]
            row = dict(id=run.id, name=run.name, cells=cells + results_of(run), marked=marked)
            look = style_of(ticked.index(run.id)) if run.id in ticked else ("", "")
            row["colour"], row["dash"], *_ = look
            row["state"] = "finished" if run.is_finished else "stopped"
            if run.record.get("error"):
                row["state"] = "failed"
            if queue.is_going(run):
                row["state"] = queue.run.state
            row["can_go_on"] = not (run.is_finished or queue.is_busy)
            rows.append(row)
        with self.table.hold_sync():
            self.table.columns = [*(NAMES[name] for name in differ), *RESULTS]
            self.table.rows, self.table.ticked = rows, ticked
        used, limit = queue.saved.size() / 1e6, queue.saved.limit / 1e6
        self.size.value = (
            f"<p>Runs of this text: {len(runs)}. All saved runs take {used:,.0f} of the "
            f"{limit:,.0f} MB that they may take, in {escape(str(queue.saved.path))}. Stopped runs "
            "can go on.</p>"
        )
        self.buttons.active = [*(["Save CSV"] if runs else []), *(["Save PNG"] if ticked else [])]
        self.picture.compare([run for run in runs if run.id in ticked])
