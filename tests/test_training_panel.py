"""The training panel, without a browser: pressed by name, controls set by value."""

import base64
import csv
import re
import subprocess
import sys
import threading
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from small import some_examples, tokenized, until
from test_probe import CRANES

from bert_tutorial import load_data_wiki, load_pretrained
from bert_tutorial.pretraining import training
from bert_tutorial.representation.fill_mask import fill_mask
from bert_tutorial.studio.published.checkpoints import trained_path
from bert_tutorial.studio.runs.experiments import EXPERIMENTS, Experiment
from bert_tutorial.studio.runs.saved_runs import SavedRuns
from bert_tutorial.studio.runs.settings import DOCUMENT, MINUTE, PANEL_RECIPES, RunSettings
from bert_tutorial.studio.widgets import TrainingPanel
from bert_tutorial.studio.widgets.panel_controls import MINE
from bert_tutorial.studio.widgets.panel_parts import SENTENCE
from bert_tutorial.text.examples import PretrainingExamples
from bert_tutorial.text.wikitext_format import Corpus, paragraphs

HOSTILE = "<img src=x onerror=alert(1)> &amp; <b>crane</b>"
SMALL = RunSettings(num_hiddens=16, ffn_num_hiddens=32, batch_size=16, num_steps=4)
PLAIN = Corpus("plain", "\n a b . c d .\n", "\n a b .\n")


def cranes():
    vocab, text = tokenized(paragraphs(CRANES.train))
    valid = PretrainingExamples(vocab, text, 16, 24, fixed=True)
    return PretrainingExamples(vocab, text, 16, 24, valid=valid)


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Panels whose runs are saved in a folder of the test."""
    monkeypatch.setenv("BERT_TUTORIAL_CACHE", str(tmp_path / "cache"))
    made = []

    def panel(train_iter=None, settings=SMALL, corpus=CRANES):
        how = dict(saved=SavedRuns(tmp_path / "runs"), folder=tmp_path)
        made.append(TrainingPanel(train_iter or cranes(), corpus, settings, **how))
        return made[-1]

    yield panel
    for panel in made:
        panel.queue.stop()
    until(lambda: not any(panel.queue.is_busy for panel in made))
    until(lambda: not any(t.name in ("drawing", "measuring") for t in threading.enumerate()))


def ended(panel):
    until(lambda: not panel.queue.is_busy and not panel.status.is_going)
    until(lambda: "Start" in panel.buttons.active)
    return panel


def trained(panel):
    """Press Start, and wait for the end."""
    panel.buttons.press("Start")
    return ended(panel)


def started(panel, steps=100_000):
    """Press Start, and wait for the first step."""
    panel.controls.by_name["num_steps"].max = 10**6
    panel.controls.by_name["num_steps"].value = steps
    panel.buttons.press("Start")
    until(lambda: panel.run is not None and panel.run.history)
    return panel


def test_it_trains_what_the_controls_say_and_keeps_picture_and_network(make, monkeypatch, tmp_path):
    panel, kept = make(), []
    assert repr(panel) == panel._repr_mimebundle_()["text/plain"] == TrainingPanel.fallback
    assert panel.buttons.active == ["Start", "Reset"]
    monkeypatch.setattr(panel, "keep_static", kept.append)
    panel.controls.by_name["num_heads"].value = 4
    panel.controls.by_name["dropout"].value = 10
    assert panel.settings == replace(SMALL, num_heads=4, dropout=0.1)
    trained(panel)
    assert panel.run.state == "finished" and panel.run.net.config.num_heads == 4
    assert panel.picture.png.startswith(b"\x89PNG") and "over 4 steps" in panel.picture.alt
    assert "run 1: finished after 4 steps with 4 heads; held-out text: " in panel.status.text
    assert panel.buttons.active == ["Start", "Reset", "Keep for notebook 3"]
    panel.corpus = "bundled"
    panel.buttons.press("Keep for notebook 3")
    assert "run 1 is kept as it is after 4 steps" in panel.status.text
    assert tmp_path in trained_path("bundled").parents and trained_path("bundled").is_file()
    assert "step 4 of 4: finished" in panel.bar.value
    assert base64.b64encode(panel.picture.png).decode() in kept[-1] and "<img alt=" in kept[-1]
    panel.buttons.press("Reset")
    assert panel.settings == PANEL_RECIPES[MINUTE] and panel.run is None
    assert panel.picture.alt == "" and panel.buttons.active == ["Start", "Reset"]
    assert len(panel.queue.runs()) == 1 and "saved runs stay" in panel.status.text


def test_a_recipe_fills_in_the_rest_and_says_what_it_changed(make):
    panel = make(settings=None)
    controls = panel.controls.by_name
    assert panel.settings == PANEL_RECIPES[MINUTE] and panel.controls.recipe.value == MINUTE
    assert panel.controls.recipe.options[0] == MINUTE
    fold, others = panel.controls.more.children
    for is_open in (False, True, False):
        assert fold.is_open == is_open and (others.layout.display == "none") != is_open
        fold.press("More settings")
    controls["seed"].value = 5
    assert panel.controls.recipe.value == MINUTE  # whatever the seed
    panel.controls.recipe.value = DOCUMENT
    assert panel.settings == replace(PANEL_RECIPES[DOCUMENT], seed=5)
    assert "Changed: Steps 540 → 50, Batch size 128 → 512" in panel.controls.note.value
    panel.controls.recipe.value = MINUTE
    controls["num_layers"].value = 3
    assert panel.controls.recipe.value == MINE and panel.controls.note.value == ""
    assert panel.settings == replace(PANEL_RECIPES[MINUTE], num_layers=3, seed=5)
    controls["num_heads"].value, controls["num_hiddens"].value = 16, 96
    assert controls["num_heads"].choices == [1, 2, 3, 4, 6, 8, 12, 16]
    assert 96 % controls["num_heads"].value == 0
    parameters = sum(p.numel() for p in panel.settings.network(len(cranes().vocab)).parameters())
    assert f"{parameters:,} parameters; a step has tensors of about " in panel.controls.cost.value
    until(lambda: "on this machine" in panel.controls.cost.value)


def test_an_error_is_told_and_start_comes_back(make, monkeypatch):
    panel = make()
    monkeypatch.setattr(training, "pretraining_losses", lambda *_: 1 / 0)
    trained(panel)
    assert panel.status.is_error and panel.status.text == "Not possible: division by zero"
    assert panel.run.state == "failed"
    monkeypatch.undo()
    trained(panel)
    assert panel.run.state == "finished" and not panel.status.is_error


def test_what_cannot_be_drawn_says_so_in_its_place_and_stops_no_run(make, monkeypatch):
    panel = make()
    monkeypatch.setattr(FigureCanvasAgg, "draw", lambda *_: 1 / 0)  # as without LaTeX
    monkeypatch.setattr(panel.learned, "show", lambda _: {}["<b>"])
    trained(panel)
    assert panel.run.state == "finished" and not panel.status.is_error
    assert panel.picture.png == b"" and "cannot be drawn: division by zero" in panel.picture.alt
    assert panel.part.children[0].value == "<p>This cannot be shown: &#x27;&lt;b&gt;&#x27;</p>"
    panel.show.value, panel.runs.table.ticked = "runs", [panel.run.saved.id]
    assert "cannot be drawn: division by zero" in panel.runs.picture.alt
    assert panel.part.children == (panel.runs.box,) and panel.runs.table.rows


@pytest.mark.nightly
@pytest.mark.parametrize("last", ["", "started(panel)"])
def test_a_script_may_end_while_a_new_panel_measures_or_trains(tmp_path, last):
    lines = f"""import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_training_panel import *
panel = TrainingPanel(cranes(), CRANES, SMALL, SavedRuns(Path({str(tmp_path)!r})))
{last}"""
    ended = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    runs = SavedRuns(tmp_path).all()
    assert [run.record["step"] > 0 and run.checkpoint.is_file() for run in runs] == [True] * bool(
        last
    )


def test_a_new_sentence_is_asked_at_once_and_each_answer_stands_under_its_own(make):
    panel = make()
    field, guess, text = panel.learned.sentence, panel.learned.guess, panel.learned.text
    field.value = "the grey <mask> flies"
    started(panel)
    until(lambda: "“the grey <mask> flies”" in unescape(text.value))
    first = panel.run.probes[0][1]["guesses"][0][0]
    guess.value = first
    assert f"Your guess, {first}, is guess 1 at step 0." in text.value
    panel.buttons.press("Pause")
    until(lambda: panel.run.state == "paused")
    done = len(panel.run.history)
    field.value = "it <mask> a load"
    now, before = unescape(text.value).split("Asked before: ")
    assert "“it <mask> a load”" in now and f"<td>{done}</td>" in now and f"at step {done}." in now
    assert "“the grey <mask> flies”" in before and "Your guess" not in before
    assert "✓" not in before and "<td>0</td>" in before
    panel.buttons.press("Stop")
    ended(panel)
    field.value = "nothing is hidden here"  # also of a run that has ended
    now, *before = unescape(text.value).split("Asked before: ")
    assert "there is no <mask> in 'nothing is hidden here'" in now and len(before) == 2
    field.value = "it <mask> a load"
    assert unescape(text.value).count("“it <mask> a load”") == 1
    assert len(panel.run.saved.record["probes"]) == len(panel.run.probes) < 3
    panel.buttons.press("Reset")
    assert "Guess first" in text.value


def test_the_prepared_sentence_is_one_that_the_network_wins():
    net, vocab, _ = load_pretrained("bundled", "shipped")
    assert fill_mask(net, vocab, SENTENCE)[0][0].token == "eggs"


@pytest.mark.nightly
def test_the_prepared_sentence_is_won_by_what_learns_in_a_minute(make):
    panel = make(load_data_wiki(64, 64, "bundled")[0], None, "bundled")
    assert panel.learned.sentence.value == SENTENCE
    panel.buttons.press("Start")
    until(lambda: not panel.queue.is_busy, 1200)
    (step, last), *_ = reversed(panel.run.probes)
    assert step == panel.settings.num_steps and last["guesses"][0][0] == "eggs"
    assert panel.run.probes[0][1]["guesses"][0][0] != "eggs"


def test_what_is_changed_while_it_trains_is_said_to_be_for_the_next_run(make):
    panel = started(make())
    steps, cost, more = panel.controls.by_name["num_steps"], panel.controls.cost, "dropout"
    until(lambda: cost.value.startswith("<p>For the next run: "))
    assert steps.hint == ""
    steps.value = 7
    panel.controls.by_name[more].value = 1
    assert steps.hint == panel.controls.by_name[more].hint == "for the next run"
    assert panel.controls.by_name["num_heads"].hint != "for the next run"
    panel.buttons.press("Stop")
    ended(panel)
    until(lambda: "next run" not in cost.value + steps.hint + panel.controls.by_name[more].hint)
    assert "d2l's is 20" in panel.controls.by_name[more].hint


def test_a_second_panel_takes_over_the_run(make):
    first = started(make())
    other_text = some_examples(70)
    second = make(other_text, corpus=PLAIN)
    assert second.run is first.run and second.status.is_going
    assert second.settings == replace(first.settings, num_steps=5000)  # the most there are
    until(lambda: first.status.text == "Another panel shows this run now.")
    second.buttons.press("Stop")
    assert "stopped after" in ended(second).status.text
    second.controls.by_name["num_steps"].value = 4
    trained(second)  # its own text
    assert second.run.state == "finished", second.status.text
    assert second.run.train_iter.text is other_text.text
    assert second.learned.word.options == ()


def test_a_run_is_paused_and_stopped_and_goes_on_in_a_new_panel_and_is_deleted(make):
    first = started(make(), 2000)
    run = first.run
    for name in ("Start", "Reset"):  # as a click that comes before the button is grey
        first._try(first._press, {"name": name})
        assert first.run is run and len(first.queue.runs()) == 1
    until(lambda: "run 1 trains: 2000 steps, 2 heads." in first.status.text)
    first.buttons.press("Pause")
    until(lambda: "is paused after step" in first.status.text)
    assert run.is_still
    until(lambda: first.buttons.active == ["Resume", "Stop", "Keep for notebook 3"])
    done = len(run.history)
    first.buttons.press("Resume")
    until(lambda: len(run.history) > done)
    first.buttons.press("Stop")
    assert "stopped after" in ended(first).status.text and run.state == "stopped"
    panel = make(settings=replace(SMALL, num_steps=9, num_heads=4))
    panel.show.value = "runs"
    (row,) = panel.runs.table.rows
    assert row["can_go_on"] and row["state"] == "stopped"
    panel.runs.table.event = {"action": "go_on", "id": row["id"], "count": 1}
    assert panel.settings.num_steps == 2000 and panel.settings.num_heads == 2
    until(lambda: len(panel.run.history) > len(run.history))
    panel.buttons.press("Stop")
    ended(panel)
    panel.runs.table.event = {"action": "delete", "id": row["id"], "count": 2}
    assert panel.runs.table.rows == [] and panel.queue.runs() == []
    panel.runs.table.event = {"action": "go_on", "id": row["id"], "count": 3}
    assert panel.status.is_error and "no longer there" in panel.status.text


def test_an_experiment_is_run_and_told(make, monkeypatch):
    runs = {"one": SMALL, HOSTILE: replace(SMALL, num_heads=1)}
    made = Experiment("Which?", runs, "Neither.", lambda losses: len(losses) == 2)
    monkeypatch.setitem(EXPERIMENTS, next(iter(EXPERIMENTS)), made)
    panel = make()
    panel.show.value = "experiments"
    panel.experiment.guess.value = HOSTILE
    panel.experiment.buttons.press("Run experiment")
    assert panel.queue.is_busy, panel.status.text
    text = ended(panel).experiment.text.value
    assert "What one should see: Neither." in text and "So it was here." in text
    assert "<img" not in text and "Your guess was: &lt;img" in text
    assert panel.status.text.startswith(f"{HOSTILE}: finished after 4 steps with 1 head;")
    panel.show.value = "runs"
    table = panel.runs.table
    assert [row["name"] for row in table.rows] == [HOSTILE, "one"]
    assert table.columns == ["Heads", "seconds", "step", "held-out loss", "words right"]
    assert [row["cells"][0] for row in table.rows] == ["1", "2"]
    assert [row["cells"][2] for row in table.rows] == ["4 of 4"] * 2
    assert [row["marked"] for row in table.rows] == [[0], []]  # it differs from the first run
    for key in table.rows[0]:  # the page reads each
        assert re.search(rf"\b(run\.{key}|{{ {key} }})", table._esm), key


def test_tables_and_pictures_are_written_also_with_runs_of_another_version(make, tmp_path):
    panel = trained(make())
    panel.show.value = "runs"
    assert panel.runs.buttons.active == ["Save CSV"]
    saved = panel.run.saved
    saved.update(settings=saved.record["settings"] | {"optimizer": "sgd", "colour": "red"})
    with saved.log.open("a") as log:
        log.write('{"step": 5}\n{"step": "x"}\nnull\n[1]\n\xff\n')
    trained(panel)
    panel.runs.table.ticked = [run.id for run in panel.queue.runs()]
    assert panel.runs.buttons.active == ["Save CSV", "Save PNG"]
    assert "run 1" in panel.runs.picture.alt and "run 2" in panel.runs.picture.alt
    assert [row["colour"] != "" for row in panel.runs.table.rows] == [True, True]
    panel.runs.buttons.press("Save CSV")
    assert panel.status.text == f"Written: {tmp_path / 'runs.csv'}"
    with (tmp_path / "runs.csv").open(encoding="utf-8", newline="") as file:
        row, _ = csv.DictReader(file)
    assert row["name"] == "run 1" and row["step"] == "4" and row["num_hiddens"] == "16"
    assert row["optimizer"] == "sgd" and float(row["held_out_mlm_loss"]) > 0
    panel.runs.buttons.press("Save PNG")
    assert (tmp_path / "runs.png").read_bytes().startswith(b"\x89PNG")
    panel.folder = tmp_path / "nowhere"
    panel.runs.buttons.press("Save CSV")
    assert panel.status.is_error and "nowhere" in panel.status.text
