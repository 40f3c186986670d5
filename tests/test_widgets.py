"""The widgets, without a browser: what they compute, what they say to wrong input, and that they
escape what is typed.
"""

import time

import pytest

from bert_tutorial.text.examples import PretrainingExamples
from bert_tutorial.text.tokenized import TokenizedText
from bert_tutorial.text.vocabulary import Vocab
from bert_tutorial.widgets import MaskExplorer, TrainingPanel
from bert_tutorial.widgets.mask_explorer import masked_example

HOSTILE = "<img src=x onerror=alert(1)> &amp; <b>crane</b>"


@pytest.fixture
def vocab():
    return Vocab("a crane is flying . a crane driver came he just left".split())


@pytest.fixture
def train_iter():
    text = [
        [["a", "crane", "is", "flying"], ["it", "left"], ["he", "came", "home"]] for _ in range(30)
    ]
    vocab = Vocab(token for paragraph in text for sentence in paragraph for token in sentence)
    tokenized = TokenizedText.from_paragraphs(vocab, text)
    valid = PretrainingExamples(vocab, tokenized, 16, 16, fixed=True)
    return PretrainingExamples(vocab, tokenized, 16, 16, valid=valid)


def wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "this took too long"
        time.sleep(0.02)


def test_masked_example_tells_what_stood_there(vocab):
    for seed in range(30):
        tokens = masked_example(vocab, "a crane is flying", 0.5, seed)
        assert [before for _, before, _ in tokens] == [
            "<cls>",
            "a",
            "crane",
            "is",
            "flying",
            "<sep>",
        ]
        assert sum(bool(fate) for *_, fate in tokens) == 3
        for now, before, fate in tokens:
            assert {
                "masked": now == "<mask>",
                "kept": now == before,
                "random": now != before,
                "": now == before,
            }[fate]


def test_mask_explorer_follows_the_slider_the_text_and_the_button(vocab):
    explorer = MaskExplorer(vocab, "a crane is flying")
    few = explorer.status.value
    explorer.rate.value = 95
    assert "4 to be predicted" in explorer.status.value and explorer.status.value != few
    explorer.text.value = "he just left"
    assert "just" in explorer.picture.value
    pictures = set()
    for _ in range(10):
        explorer.again.click()
        pictures.add(explorer.picture.value)
    assert len(pictures) > 1


def test_mask_explorer_keeps_the_picture_when_the_text_is_empty(vocab):
    explorer = MaskExplorer(vocab, "a crane is flying")
    before = explorer.picture.value
    explorer.text.value = "   "
    assert "Not possible" in explorer.status.value and "no word" in explorer.status.value
    assert explorer.picture.value == before


def test_what_is_typed_is_escaped(vocab):
    explorer = MaskExplorer(vocab, HOSTILE)
    for value in (explorer.picture.value, explorer.status.value):
        assert "<img" not in value and "<b>crane" not in value


def test_training_panel_trains_what_the_sliders_say(train_iter):
    panel = TrainingPanel(train_iter, num_steps=10, num_heads=4, num_hiddens=16, ffn_num_hiddens=16)
    panel.start.click()
    assert panel.start.disabled
    wait_for(lambda: not panel.start.disabled)
    assert panel.net.config.num_heads == 4 and len(panel.run.history) == 10
    assert (
        bytes(panel.picture.value).startswith(b"\x89PNG")
        and "finished after 10 steps with 4 heads" in panel.status.value
    )


def test_training_panel_stops_soon_and_can_start_again(train_iter):
    panel = TrainingPanel(train_iter, num_hiddens=16, ffn_num_hiddens=16)
    panel.steps.max = 100_000
    panel.steps.value = 100_000
    panel.start.click()
    first = panel.run
    panel.start.click()  # a second click, before the button is grey
    assert panel.run is first
    wait_for(lambda: len(panel.run.history) > 2)
    panel.stop.click()
    wait_for(lambda: not panel.start.disabled, seconds=10)
    assert "stopped after" in panel.status.value and 2 < len(first.history) < 100_000
    panel.steps.value = 5
    panel.start.click()
    wait_for(lambda: panel.run is not first and panel.run.state == "finished")


def test_training_panel_shows_an_error(train_iter, monkeypatch):
    from bert_tutorial.pretraining import training

    monkeypatch.setattr(training, "pretraining_losses", lambda *_: 1 / 0)
    panel = TrainingPanel(train_iter, num_hiddens=16, ffn_num_hiddens=16)
    panel.start.click()
    wait_for(lambda: not panel.start.disabled)
    assert "Not possible" in panel.status.value and "division" in panel.status.value


def test_a_panel_has_a_text_to_stand_in_for_it(vocab):
    explorer = MaskExplorer(vocab)
    assert repr(explorer) == MaskExplorer.fallback
    assert explorer._repr_mimebundle_()["text/plain"] == MaskExplorer.fallback


def test_very_long_texts_are_cut_at_once(vocab):
    began = time.monotonic()
    explorer = MaskExplorer(vocab, "a crane " * 10_000)
    assert time.monotonic() - began < 5
    assert "Only the first 2,000 characters are read." in explorer.status.value


def test_an_unknown_word_stays_to_be_seen(vocab):
    explorer = MaskExplorer(vocab, "a heron is flying")
    assert "heron → &lt;unk&gt;" in explorer.picture.value


def test_a_panel_without_held_out_text_comes_to_its_end(train_iter):
    train_iter.valid = None
    panel = TrainingPanel(train_iter, num_steps=5, num_hiddens=16, ffn_num_hiddens=16)
    panel.start.click()
    wait_for(lambda: not panel.start.disabled)
    assert "finished after 5 steps with 2 heads" in panel.status.value


def test_an_error_while_drawing_is_told_and_start_comes_back(train_iter, monkeypatch):
    panel = TrainingPanel(train_iter, num_steps=5, num_hiddens=16, ffn_num_hiddens=16)
    monkeypatch.setattr(panel, "_show", lambda *_: 1 / 0)
    panel.start.click()
    wait_for(lambda: not panel.start.disabled)
    assert "Not possible" in panel.status.value and "division by zero" in panel.status.value
    wait_for(lambda: panel.run.state in ("stopped", "finished"))
