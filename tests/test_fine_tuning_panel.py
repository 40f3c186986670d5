"""The fine-tuning panel and its pictures, without a browser: pressed by name, controls set."""

import re
import threading

import numpy as np
import pytest
import torch
from one_sentence import assert_one_sentence
from small import until
from test_finetuning import VOCAB, moods, pairs, senses, small_bert
from torch.testing import assert_close

from bert_tutorial.finetuning.labelled import Task
from bert_tutorial.finetuning.protocol import Run
from bert_tutorial.pretraining.run import Settings
from bert_tutorial.studio.finetuned.pictures import label_curves, update_curves
from bert_tutorial.studio.widgets import FineTuningPanel, fine_tuning_panel
from bert_tutorial.studio.widgets.fine_tuning_panel import among, odds

HOSTILE = "<img src=x onerror=alert(1)> good &amp; <b>crane</b>"
PNG = b"\x89PNG"


@pytest.fixture
def make(monkeypatch):
    """Panels on small tasks; a run is over soon."""
    made, steps = [], dict(num_steps=60)

    def recipe(number, seed=0, pretrained=True):
        return Settings(**steps, learning_rate=5e-3, optimizer="adamw", seed=seed)

    def panel(data=moods, **changes):
        steps.update(changes)
        net = small_bert()
        net.reset(torch.Generator().manual_seed(9))
        made.append(FineTuningPanel(net, VOCAB, Task("small", data(64), data(8)), 16))
        return made[-1]

    monkeypatch.setattr(fine_tuning_panel, "recipe", recipe)
    yield panel
    for panel in made:
        panel._halt()
    until(lambda: not any(thread.name == "fine-tuning" for thread in threading.enumerate()))


def ended(panel):
    until(lambda: not panel.status.is_going and "Start" in panel.buttons.active)
    return panel


def trained(panel):
    panel.buttons.press("Start")
    return ended(panel)


def rows(panel):
    """What each says of what is typed, by name."""
    found = re.findall(r"<tr>(<td>.*?)</tr>", panel.answers.value)
    cells = [re.findall(r"<td>(.*?)</td>", row) for row in found]
    return {name: rest for name, *rest in cells}


def test_what_is_typed_is_answered_before_and_after_beside_the_bag(make):
    panel = make()
    assert repr(panel) == panel._repr_mimebundle_()["text/plain"] == FineTuningPanel.fallback
    assert panel.buttons.active == ["Start"] and panel.labels.choices == [8, 16, 32, 64]
    panel.texts[0].value = "A very good crane"
    before, bag = rows(panel).values()
    assert re.fullmatch(r"(bad|good) \d\d\.\d%; (bad|good) \d\d\.\d%", before[0])
    assert bag[0].startswith("good 9") and list(rows(panel))[1] == "naive Bayes, 16 labels"
    trained(panel)
    said = rows(panel)
    assert said["before: new head"] == before and said["naive Bayes, 16 labels"] == bag
    assert re.match(r"good (9\d|100)", said["fine-tuned, 16 labels, seed 0"][0])
    assert "after 60 of 60 updates 100.0% of 8 test texts right (most" in panel.status.text
    assert panel.runs[0].points[0][0] == 0 and [p[0] for p in panel.runs[0].points[1:]] == [50, 60]
    assert panel.picture.png.startswith(PNG) and "seed 0: after 60" in panel.picture.alt
    assert "<img alt=" in panel.static_html() and "Which label?" in panel.static_html()


def test_the_word_that_decides_is_the_brightest_for_network_and_bag(make):
    panel = trained(make())
    panel.texts[0].value = "the very good crane"
    assert panel.words.columns == ["the", "very", "good", "crane"]
    assert panel.words.rows == ["network", "naive Bayes"]
    for falls in panel.words.values:
        assert np.argmax(falls) == 2 and falls[2] > 1
    assert [cells[0][:4] for cells in rows(panel).values()][1:] == ["good", "good"]
    assert panel.words.high >= max(map(max, panel.words.values)) and "label" in panel.words.caption


def test_it_pauses_goes_on_and_stops(make):
    panel = make(num_steps=100_000)
    panel.buttons.press("Start")
    run = panel.runs[-1]
    assert all(control.disabled for control in panel.locked)
    until(lambda: run.step > 3)
    assert panel.buttons.active == ["Pause", "Stop"]
    panel.buttons.press("Pause")
    assert panel.buttons.active == ["Resume", "Stop"] and "paused after" in panel.status.text
    still = run.step + 1  # the update under way
    panel.texts[0].value = "good"  # it answers meanwhile
    assert len(rows(panel)) == 3
    threading.Event().wait(0.1)
    assert run.step <= still and panel.status.is_going
    panel.buttons.press("Resume")
    until(lambda: run.step > still + 3)
    panel.buttons.press("Pause")
    panel.buttons.press("Stop")  # also while it is paused
    ended(panel)
    assert f"stopped after {run.step:,} updates" in run.name and run.name in rows(panel)
    assert run.points[-1][0] == run.step  # what is told, and saved, is true of these weights
    assert run.step < 100_000 and not any(control.disabled for control in panel.locked)
    assert np.isfinite(run.predict(panel.task.test)).all()


def test_runs_are_kept_for_the_task_and_named_by_what_they_learned_from(make):
    panel = trained(make(num_steps=2))
    panel.kind.value = "never pretrained"
    trained(panel)
    panel.kind.value = "frozen"
    panel.labels.value, panel.seed.value = 32, 3
    trained(panel)
    names = ["fine-tuned, 16 labels, seed 0", "never pretrained, 16 labels, seed 0",
             "frozen, 32 labels, seed 3"]  # fmt: skip
    assert [run.name for run in panel.runs] == names
    assert list(rows(panel)) == ["before: new head", *names, "naive Bayes, 32 labels"]
    pretrained, drawn, frozen = panel.runs
    assert frozen.points[0][1] == frozen.points[1][1] and "frozen" not in frozen.levels
    assert "frozen" in drawn.levels
    learned, anew = (run.tuned.word_vectors for run in (pretrained, drawn))
    assert_close(learned, panel.net.word_vectors, rtol=0, atol=0.02)
    assert not torch.allclose(learned, anew, atol=0.02)
    trained(panel)  # once more the same: in its place
    assert [run.name for run in panel.runs] == names
    for seed in (4, 5):
        panel.seed.value = seed
        trained(panel)
    assert len(panel.runs) == fine_tuning_panel.MOST_RUNS
    panel.choice.value = "mood"
    assert not panel.runs and not panel.picture.png and len(rows(panel)) == 2


def test_a_network_is_saved_listed_carded_and_asked_again(make, tmp_path, monkeypatch):
    monkeypatch.setenv("BERT_TUTORIAL_CACHE", str(tmp_path))
    panel = make()
    assert panel.saved.layout.display == "none" and "Save" not in panel.buttons.active
    trained(panel).buttons.press("Save")
    (folder,) = (tmp_path / "fine-tuned").iterdir()
    assert f"Saved in {folder}" in panel.status.text
    card = (folder / "model_card.md").read_text("utf-8")
    assert (
        "| labels | bad; good |" in card
        and "| texts | 16 |" in card
        and "| right | 100.0% |" in card
    )
    panel.texts[0].value = "a good crane"
    wanted = rows(panel)["fine-tuned, 16 labels, seed 0"]
    other = make()
    assert other.saved.layout.display == "" and len(other.saved.options) == 2
    other.texts[0].value, other.saved.index = "a good crane", 1
    assert rows(other)[f"saved {folder.name}"] == wanted and "Save" not in other.buttons.active
    assert f"saved {folder.name}: after 60 of 60" in other.status.text
    assert other.status.text.endswith(panel.runs[0].__str__().partition("test texts")[2])
    other = make(pairs)
    other.saved.index = 1
    assert "it was fine-tuned for small, with the labels bad; good" in other.status.text
    assert_one_sentence(other.status.text)
    (folder / "model.safetensors").write_bytes(b"damaged")
    other = make()
    other.saved.index = 1
    assert other.status.is_error and not other.runs
    assert_one_sentence(other.status.text)


def test_pairs_have_two_texts_and_tagging_a_column_for_each_word(make):
    panel = make(pairs)
    assert panel.texts[1].layout.display == "" and panel.texts[0].description == "First text"
    panel.texts[0].value, panel.texts[1].value = "good", "a good"
    assert panel.words.columns == ["good", "a", "good"] and not panel.told.is_error
    panel = make(senses)
    assert [field.layout.display for field in panel.texts] == [None, "none"]
    panel.texts[0].value = "a crane lifts the mouse"
    assert "<th scope='col'>crane</th><th scope='col'>mouse</th>" in panel.answers.value
    for crane, mouse in rows(panel).values():
        assert {*re.findall("[a-z]+", crane)} == {"bird", "machine"}
        assert mouse.startswith("animal 100.0%")
    assert "odds of the label of crane fall" in panel.words.caption


@pytest.mark.parametrize(("text", "reason"), [
    ("", "the text has no word"), (" . ", "the text has no word"),
])  # fmt: skip
def test_wrong_input_is_told_in_one_sentence_and_stays(make, text, reason):
    panel = make()
    panel.texts[0].value = "good"
    shown = panel.answers.value
    panel.texts[0].value = text
    assert panel.told.is_error and reason in panel.told.text and panel.texts[0].value == text
    assert_one_sentence(panel.told.text)
    assert shown and not panel.answers.value  # what stands there is of no other text
    panel.texts[0].value = "bad"
    assert not panel.told.is_error and panel.answers.value not in ("", shown)
    panel.texts[0].value = "good " * 3000
    assert "Only the first 2,000 characters" in panel.told.text
    assert "reads about 13 words of it at most" in panel.told.text
    assert len(panel.words.columns) == fine_tuning_panel.MOST_WORDS


def test_what_is_typed_is_escaped(make):
    def hostile(number):
        data = moods(number)
        return type(data)(["<b>bad</b>", "good"], data.labels, data.texts)

    panel = make(hostile)
    panel.texts[0].value = HOSTILE
    assert "<img" not in panel.answers.value and "<b>" not in panel.answers.value
    assert "&lt;b&gt;bad" in panel.answers.value and "does not know" in panel.told.text
    assert "<b>" not in trained(panel).static_html()


def test_what_ends_a_run_is_told_and_the_panel_stays_usable(make, monkeypatch):
    panel = make()

    def diverges(*_):
        yield 1, 2.0
        raise FloatingPointError("step 2 gave a loss of nan")

    with monkeypatch.context() as patch:
        patch.setattr(fine_tuning_panel, "fine_tune_steps", diverges)
        trained(panel)
    assert panel.status.is_error and "step 2 gave a loss of nan" in panel.status.text
    trained(panel)
    assert "after 60 of 60" in panel.status.text and not panel.status.is_error


def test_a_label_that_cannot_be_has_no_probability_and_odds_are_those_of_the_rest():
    data = senses(3)
    scores = among(lambda some: np.zeros((len(some), 3)), data)
    np.testing.assert_allclose(np.exp(scores), [[0.5, 0.5, 0]] * 3)
    never = among(lambda some: np.log(np.array([[0.2, 0.8, 0.0]] * len(some)) + 1e-300), data)
    np.testing.assert_allclose(np.exp(never[0]), [0.2, 0.8, 0], atol=1e-9)
    nats = odds(lambda _: np.log([[0.2, 0.8], [0.5, 0.5]]), data)
    np.testing.assert_allclose(nats, [[-np.log(4), np.log(4)], [0, 0]], atol=1e-9)


def test_pictures_are_drawn_for_one_task_and_several_also_without_a_run():
    some = [Run(task, way, n, seed, 0.5 + seed / 10, 1.0) for task in ("a", "b", "c")
            for way in ("fine-tuned", "another") for n in (8, 16) for seed in (0, 1)]  # fmt: skip
    ring = some[0]._replace(accuracy=0.9)
    pictures = [label_curves(some, ["a"]), label_curves(some, ["a"], [ring])]
    pictures += [label_curves(some, ["a", "b", "c"]), label_curves([], ["a"], [ring])]
    pictures.append(update_curves({"$x$": [(0, 0.5), (300, 1.0)]}, {"naive Bayes": 0.6}, 300))
    assert all(png.startswith(PNG) for png in pictures) and len({*pictures}) == len(pictures)
