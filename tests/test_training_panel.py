"""The training panel, without a browser: pressed by name, controls set by value."""

import base64
import csv
import threading
from dataclasses import replace

import pytest
from small import PATIENCE, some_examples, until
from test_probe import CRANES

from bert_tutorial.pretraining import training
from bert_tutorial.studio.published.checkpoints import trained_path
from bert_tutorial.studio.runs import queue as module
from bert_tutorial.studio.runs.experiments import Experiment
from bert_tutorial.studio.runs.saved_runs import SavedRuns
from bert_tutorial.studio.runs.settings import DOCUMENT, MINE, MINUTE, PANEL_RECIPES, RunSettings
from bert_tutorial.studio.widgets import TrainingPanel
from bert_tutorial.text.examples import PretrainingExamples
from bert_tutorial.text.tokenized import TokenizedText
from bert_tutorial.text.vocabulary import Vocab
from bert_tutorial.text.wikitext_format import Corpus, paragraphs

HOSTILE = "<img src=x onerror=alert(1)> &amp; <b>crane</b>"
SMALL = RunSettings(num_hiddens=16, ffn_num_hiddens=32, batch_size=16, num_steps=4)


def cranes():
    text = paragraphs(CRANES.train)
    vocab = Vocab(word for paragraph in text for words in paragraph for word in words)
    tokenized = TokenizedText.from_paragraphs(vocab, text)
    valid = PretrainingExamples(vocab, tokenized, 16, 24, fixed=True)
    return PretrainingExamples(vocab, tokenized, 16, 24, valid=valid)


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Panels whose runs are kept in a folder of the test."""
    monkeypatch.setenv("BERT_TUTORIAL_CACHE", str(tmp_path / "cache"))
    made = []

    def panel(train_iter=None, settings=SMALL, corpus=CRANES, **how):
        store = SavedRuns(tmp_path / "runs")
        how = dict(corpus=corpus, settings=settings, saved=store, folder=tmp_path) | how
        made.append(TrainingPanel(train_iter or cranes(), **how))
        return made[-1]

    yield panel
    for panel in made:
        panel.queue.stop()
    for panel in made:
        until(lambda queue=panel.queue: not queue.is_busy)
    until(lambda: not any(t.name in ("drawing", "measuring") for t in threading.enumerate()))


def ended(panel):
    until(lambda: not panel.queue.is_busy and not panel.status.is_going)
    until(lambda: "Start" in panel.buttons.active)


def steps_done(panel, count):
    until(lambda: panel.run is not None and len(panel.run.history) >= count)


def set_steps(panel, number):
    panel.controls.by_name["num_steps"].max = 10**6
    panel.controls.by_name["num_steps"].value = number


def test_it_trains_what_the_controls_say(make):
    panel = make()
    assert panel.buttons.active == ["Start", "Reset"]
    panel.controls.by_name["num_heads"].value = 4
    panel.controls.by_name["dropout"].value = 10
    assert panel.settings == replace(SMALL, num_heads=4, dropout=0.1)
    panel.buttons.press("Start")
    ended(panel)
    assert panel.run.state == "finished" and panel.net.config.num_heads == 4
    assert panel.picture.png.startswith(b"\x89PNG") and "over 4 steps" in panel.picture.alt
    assert "run 1: finished after 4 steps with 4 heads; held-out text: " in panel.status.text
    assert panel.buttons.active == ["Start", "Reset", "Keep for notebook 3"]
    assert "4 of 4" in panel.bar.value or "step 4" in panel.bar.value


def test_pause_resume_and_stop(make):
    panel = make()
    set_steps(panel, 100_000)
    panel.buttons.press("Start")
    steps_done(panel, 2)
    until(lambda: "Pause" in panel.buttons.active)
    panel.buttons.press("Pause")
    until(lambda: "is paused after step" in panel.status.text)
    assert panel.run.is_still and panel.buttons.active[:2] == ["Resume", "Stop"]
    done = len(panel.run.history)
    panel.buttons.press("Resume")
    steps_done(panel, done + 1)
    panel.buttons.press("Stop")
    ended(panel)
    assert "stopped after" in panel.status.text and panel.run.state == "stopped"
    assert "Start" in panel.buttons.active and "Stop" not in panel.buttons.active


def test_start_pressed_many_times_begins_one_run(make):
    panel = make()
    set_steps(panel, 100_000)
    for _ in range(10):
        panel.buttons.press("Start")
    first = panel.run
    panel._try(panel._press, "Start")  # as a click that comes before the button is grey
    assert panel.run is first and len(panel.queue.runs()) == 1
    assert sum(thread.name == "drawing" for thread in threading.enumerate()) == 1
    panel.buttons.press("Stop")
    ended(panel)
    set_steps(panel, 3)
    panel.buttons.press("Start")
    ended(panel)
    assert panel.run is not first and panel.run.state == "finished"


def test_a_recipe_fills_in_the_rest_and_says_what_it_changed(make):
    panel = make(settings=None)
    assert panel.settings == PANEL_RECIPES[DOCUMENT] and panel.controls.recipe.value == DOCUMENT
    panel.controls.recipe.value = MINUTE
    assert panel.settings == PANEL_RECIPES[MINUTE]
    assert "Changed: Steps 50 → 430, Batch size 512 → 128" in panel.controls.note.value
    panel.controls.by_name["num_layers"].value = 3
    assert panel.controls.recipe.value == MINE and panel.controls.note.value == ""
    assert panel.settings == replace(PANEL_RECIPES[MINUTE], num_layers=3)


def test_only_heads_that_divide_the_hidden_units_can_be_chosen(make):
    panel = make()
    panel.controls.by_name["num_heads"].value = 16
    panel.controls.by_name["num_hiddens"].value = 96
    heads = panel.controls.by_name["num_heads"]
    assert heads.choices == [1, 2, 3, 4, 6, 8, 12, 16] and 96 % heads.value == 0


def test_the_cost_is_told_before_anything_runs(make):
    panel = make()
    net = SMALL.network(len(panel.train_iter.vocab))
    assert f"{sum(p.numel() for p in net.parameters()):,} parameters" in panel.controls.cost.value
    until(lambda: "on this machine" in panel.controls.cost.value)
    few = sum(thread.name == "measuring" for thread in threading.enumerate())
    assert few <= 1


def test_an_error_of_a_run_is_told_and_start_comes_back(make, monkeypatch):
    panel = make()
    monkeypatch.setattr(training, "pretraining_losses", lambda *_: 1 / 0)
    panel.buttons.press("Start")
    ended(panel)
    assert panel.status.is_error and panel.status.text == "Not possible: division by zero"
    monkeypatch.undo()
    panel.buttons.press("Start")
    ended(panel)
    assert panel.run.state == "finished" and not panel.status.is_error


def test_an_error_while_drawing_is_told_and_start_comes_back(make, monkeypatch):
    panel = make()
    set_steps(panel, 100_000)
    monkeypatch.setattr(panel, "show_part", lambda: 1 / 0)
    panel.buttons.press("Start")
    until(lambda: panel.status.is_error)
    ended(panel)
    assert "division by zero" in panel.status.text and panel.run.state == "stopped"


def test_a_text_without_held_out_part_comes_to_its_end(make):
    examples = cranes()
    examples.valid = None
    panel = make(examples)
    panel.buttons.press("Start")
    ended(panel)
    assert panel.status.text == "run 1: finished after 4 steps with 2 heads"
    panel.show.value = "runs"
    assert panel.runs.table.rows[0]["state"] == "finished"


@pytest.mark.parametrize("corpus", ["/nowhere/own.txt", "nowhere"])
def test_a_corpus_that_is_not_there_is_told_and_the_panel_can_be_used(make, corpus):
    panel = make(corpus=corpus)
    assert panel.status.is_error and "nowhere" in panel.status.text
    assert panel.learned.word.options == () and panel.learned.word.value is None
    panel.buttons.press("Start")
    ended(panel)
    assert panel.run.state == "finished"


def test_a_text_without_words_of_two_senses(make):
    panel = make(some_examples(), corpus=Corpus("plain", "\n a b . c d .\n", "\n a b .\n"))
    assert panel.learned.word.options == ()
    panel.learned.sentence.value = "t1w1 <mask>"
    panel.buttons.press("Start")
    ended(panel)
    assert "guesses" in panel.run.probes[-1][1] and "right" not in panel.run.probes[-1][1]


def test_what_is_typed_is_escaped_and_cut(make):
    panel = make()
    panel.learned.sentence.value = HOSTILE + " <mask> " + "x" * 5000
    panel.learned.guess.value = HOSTILE
    panel.buttons.press("Start")
    ended(panel)
    panel._edit({"action": "rename", "id": panel.run.saved.id, "name": 3 * HOSTILE, "count": 1})
    text = panel.learned.text.value
    assert "<img" not in text and "<b>" not in text and len(text) < 20_000
    assert panel.run.probes[-1][1]["sentence"] == panel.learned.sentence.value[:500]
    assert len(panel.queue.name) == 60
    for name in panel.parts:
        panel.show.value = name
    for control in (panel.status.text, panel.bar.value, panel.experiment.text.value):
        assert "onerror" not in control or "<img" in panel.status.text  # plain text there


def test_guesses_and_senses_come_as_it_learns(make):
    panel = make()
    panel.learned.sentence.value = "the grey <mask> flies"
    assert "Guess first" in panel.learned.text.value
    panel.buttons.press("Start")
    ended(panel)
    guess = panel.run.probes[-1][1]["guesses"][0][0]
    panel.learned.guess.value = f" {guess.upper()} "
    assert f"✓ {guess}" in panel.learned.text.value
    assert f"Your guess, {guess}, is guess 1 now." in panel.learned.text.value
    assert "means apart" in panel.learned.text.value and "of 8" in panel.learned.text.value
    panel.learned.guess.value = "zebu"
    assert "Your guess, zebu, is not among the five now." in panel.learned.text.value


def test_a_second_panel_takes_over_the_run(make):
    first = make()
    set_steps(first, 100_000)
    first.buttons.press("Start")
    steps_done(first, 1)
    other_text = some_examples(70)
    second = make(other_text, corpus=Corpus("plain", "\n a b . c d .\n", "\n a b .\n"))
    assert second.run is first.run and second.status.is_going
    until(lambda: first.status.text == "Another panel shows this run now.")
    second.buttons.press("Stop")
    ended(second)
    assert "stopped after" in second.status.text
    set_steps(second, 4)
    second.buttons.press("Start")  # its own text
    ended(second)
    assert second.run.state == "finished", second.status.text
    assert second.run.train_iter.text is other_text.text
    assert second.learned.word.options == ()


def test_a_stopped_run_goes_on_in_a_new_panel(make):
    first = make()
    set_steps(first, 2000)
    first.buttons.press("Start")
    steps_done(first, 2)
    first.buttons.press("Stop")
    ended(first)
    panel = make(settings=replace(SMALL, num_steps=9, num_heads=4))
    panel.show.value = "runs"
    (row,) = panel.runs.table.rows
    assert row["can_go_on"] and row["state"] == "stopped"
    panel._edit({"action": "go_on", "id": row["id"], "count": 1})
    assert panel.settings.num_steps == 2000 and panel.settings.num_heads == 2
    steps_done(panel, len(first.run.history) + 1)
    panel.buttons.press("Stop")
    ended(panel)
    panel._edit({"action": "delete", "id": row["id"], "count": 2})
    assert panel.runs.table.rows == [] and panel.queue.runs() == []
    panel._try(panel._edit, {"action": "go_on", "id": row["id"], "count": 3})
    assert panel.status.is_error and "no longer there" in panel.status.text


def test_an_experiment_is_run_and_told(make, monkeypatch):
    runs = {"one": SMALL, HOSTILE: replace(SMALL, num_heads=1)}
    made = Experiment("Which?", runs, "Neither.", lambda losses: len(losses) == 2)
    name = next(iter(module.EXPERIMENTS))
    monkeypatch.setitem(module.EXPERIMENTS, name, made)
    panel = make()
    panel.show.value = "experiments"
    panel.experiment.guess.value = HOSTILE
    panel.experiment.buttons.press("Run experiment")
    assert panel.queue.is_busy, panel.status.text
    ended(panel)
    text = panel.experiment.text.value
    assert "What one should see: Neither." in text and "So it was here." in text
    assert "<img" not in text and "Your guess was: &lt;img" in text
    assert panel.status.text.startswith(f"{HOSTILE}: finished after 4 steps with 1 head;")
    panel.show.value = "runs"
    assert [row["name"] for row in panel.runs.table.rows] == [HOSTILE, "one"]


def test_tables_and_pictures_are_written(make, tmp_path):
    panel = make()
    panel.buttons.press("Start")
    ended(panel)
    panel.show.value = "runs"
    assert panel.runs.buttons.active == ["Save CSV"]
    panel.runs.table.ticked = [panel.run.saved.id]
    assert panel.runs.buttons.active == ["Save CSV", "Save PNG"]
    panel.runs.buttons.press("Save CSV")
    assert panel.status.text == f"Written: {tmp_path / 'runs.csv'}"
    with (tmp_path / "runs.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["name"] == "run 1" and row["step"] == "4" and row["num_hiddens"] == "16"
    panel.runs.buttons.press("Save PNG")
    assert (tmp_path / "runs.png").read_bytes().startswith(b"\x89PNG")
    panel.runs.folder = tmp_path / "nowhere"
    panel.runs.buttons.press("Save CSV")
    assert panel.status.is_error and "nowhere" in panel.status.text


def test_a_network_is_kept_for_notebook_3(make, tmp_path):
    panel = make(corpus=CRANES)
    panel.corpus = "bundled"
    panel.buttons.press("Start")
    ended(panel)
    panel.buttons.press("Keep for notebook 3")
    assert "run 1 is kept as it is after 4 steps" in panel.status.text
    assert trained_path("bundled").is_file() and tmp_path in trained_path("bundled").parents


def test_reset_brings_back_the_beginning_and_keeps_the_runs(make):
    panel = make()
    panel.buttons.press("Start")
    ended(panel)
    panel.buttons.press("Reset")
    assert panel.settings == PANEL_RECIPES[DOCUMENT] and panel.run is None and panel.net is None
    assert panel.picture.png == b"" and panel.buttons.active == ["Start", "Reset"]
    assert len(panel.queue.runs()) == 1 and "saved runs stay" in panel.status.text


def test_runs_of_another_version_or_damaged_ones_do_no_harm(make, tmp_path):
    panel = make()
    panel.buttons.press("Start")
    ended(panel)
    kept = panel.run.saved
    kept.record["settings"] = kept.record["settings"] | {"optimizer": "sgd", "colour": "red"}
    kept.update()
    with (tmp_path / "runs" / kept.id / "log.jsonl").open("a") as log:
        log.write('{"step": 5}\n{"step": "x"}\nnull\n[1]\n\xff\n')
    again = make()
    again.show.value = "runs"
    again.runs.table.ticked = [kept.id]
    assert not again.status.is_error, again.status.text
    (row,) = again.runs.table.rows
    assert row["name"] == "run 1" and again.runs.picture.png.startswith(b"\x89PNG")
    again.runs.buttons.press("Save CSV")
    assert "Written" in again.status.text


def test_a_panel_has_a_text_to_stand_in_for_it(make):
    panel = make()
    assert repr(panel) == TrainingPanel.fallback
    assert panel._repr_mimebundle_()["text/plain"] == TrainingPanel.fallback


def test_the_picture_is_kept_for_a_notebook_without_a_kernel(make, monkeypatch):
    panel = make()
    kept = []
    monkeypatch.setattr(panel, "keep_static", kept.append)
    panel.buttons.press("Start")
    ended(panel)
    assert base64.b64encode(panel.picture.png).decode() in kept[-1] and "<img alt=" in kept[-1]
    assert panel.run.wait(PATIENCE)
