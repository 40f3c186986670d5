"""The widgets, without a browser: what they compute, what they say to wrong input, and that they
escape what is typed.
"""

import time

import pytest

from bert_tutorial.studio.widgets import MaskExplorer
from bert_tutorial.studio.widgets.mask_explorer import masked_example
from bert_tutorial.text.vocabulary import Vocab

HOSTILE = "<img src=x onerror=alert(1)> &amp; <b>crane</b>"


@pytest.fixture
def vocab():
    return Vocab("a crane is flying . a crane driver came he just left".split())


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
    few = explorer.status.text
    explorer.rate.value = 95
    assert "4 to be predicted" in explorer.status.text and explorer.status.text != few
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
    assert "Not possible" in explorer.status.text and "no word" in explorer.status.text
    assert explorer.picture.value == before


def test_what_is_typed_is_escaped(vocab):
    explorer = MaskExplorer(vocab, HOSTILE)
    for value in (explorer.picture.value, explorer.status.text):
        assert "<img" not in value and "<b>crane" not in value


def test_a_panel_has_a_text_to_stand_in_for_it(vocab):
    explorer = MaskExplorer(vocab)
    assert repr(explorer) == MaskExplorer.fallback
    assert explorer._repr_mimebundle_()["text/plain"] == MaskExplorer.fallback


def test_very_long_texts_are_cut_at_once(vocab):
    began = time.monotonic()
    explorer = MaskExplorer(vocab, "a crane " * 10_000)
    assert time.monotonic() - began < 5
    assert "Only the first 2,000 characters are read." in explorer.status.text


def test_an_unknown_word_stays_to_be_seen(vocab):
    explorer = MaskExplorer(vocab, "a heron is flying")
    assert "heron → &lt;unk&gt;" in explorer.picture.value
