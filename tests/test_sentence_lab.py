"""The sentence lab's controls and views, without a browser."""

import time

import pytest

from bert_tutorial import load_pretrained, read_text
from bert_tutorial.studio.lab.lab import LabNetwork
from bert_tutorial.studio.widgets import SentenceLab
from bert_tutorial.studio.widgets.lab_html import guesses_table, page, report, track
from bert_tutorial.studio.widgets.lab_parts import PARTS
from bert_tutorial.studio.widgets.lab_texts import EXAMPLES

HOSTILE = "<img src=x onerror=alert(1)> &amp; <b>crane</b>"


@pytest.fixture(scope="module")
def network():
    return LabNetwork(*load_pretrained("bundled", "shipped")[:2], read_text("bundled"))


@pytest.fixture
def lab(network, tmp_path):
    return SentenceLab(network, folder=tmp_path)


def test_every_example_is_read_and_its_words_are_known(lab):
    assert len(EXAMPLES) >= 12
    for name, pair in EXAMPLES.items():
        lab.example.value = name
        assert (lab.text_a.value, lab.text_b.value) == pair
        assert lab.status.text == "All words are in the vocabulary.", (name, lab.status.text)
        assert (len(lab.meter.rows) > 0) == (name != "order of words")


def test_every_view_follows_text_layer_and_picked_word(lab):
    lab.example.value = "crane: bird, machine"
    for name in PARTS:
        lab.show.value = name
        assert lab.box.children == (lab.parts[name].box,) and not lab.status.is_error, name
    lab.show.value = "similar words"
    maps = lab.parts["similar words"].maps
    before = maps["network"].values
    assert maps["network"].low == maps["untrained"].low  # one scale for both
    assert "How alike are these two uses of crane?" in lab.parts["similar words"].text.value
    lab.layer.value = 0
    assert maps["network"].values != before
    lab.layer.value = 2
    lab.raw.value = True
    assert maps["network"].values != before and "raw" in maps["network"].caption
    maps["network"].selected = [0, 0]
    assert "the, a: cosine" in lab.parts["similar words"].text.value
    lab.show.value = "nearest uses in the corpus"
    assert lab.raw.disabled
    lab.chips[1].clicked = {"index": 5, "count": 1}
    assert "<b>the</b> (sentence 2)" in lab.parts["nearest uses in the corpus"].text.value
    assert lab.chips[1].chosen == [5]


def test_the_layer_goes_from_the_embeddings_to_the_last_layer(lab):
    assert (lab.layer.min, lab.layer.max, lab.layer.value) == (0, 2, 2)
    lab.layer.value = 7
    assert lab.layer.value == 2 and not lab.status.is_error


def test_labels_move_the_meter(lab):
    lab.example.value = "crane: bird, machine"
    every = lab.meter.rows[0]["position"]
    assert "all labels" in lab.meter.caption
    lab.labels.value = 1
    assert lab.meter.rows[0]["position"] != every and "1 of each sense" in lab.meter.caption
    assert lab.meter.rows[0]["text"].startswith("bird")


def test_ones_own_guess_comes_first(lab):
    lab.example.value = "crane: bird, machine"
    lab.show.value = "hidden word"
    part = lab.parts["hidden word"]
    assert "<table>" not in part.text.value
    part.guess.value = "<i>Heron</i>"
    assert "<table>" in part.text.value and "<i>heron" not in part.text.value
    assert "not in its vocabulary" in part.text.value
    lab.text_a.value = "a crane is here"
    assert part.guess.value == "" and "<table>" not in part.text.value


@pytest.mark.parametrize(
    ("text", "why"),
    [("", "second text has no word"), ("word " * 41, "at most 40"), ("word " * 600, "at most 40")],
)
def test_a_wrong_text_leaves_what_is_shown(lab, text, why):
    before = lab.chips[1].tokens
    lab.text_b.value = text
    assert why in lab.status.text and lab.status.is_error and lab.chips[1].tokens == before
    lab.text_b.value = "he left"
    assert not lab.status.is_error and lab.chips[1].tokens != before


def test_markup_stays_text_in_everything_that_is_written_as_html(lab):
    lab.text_a.value = lab.text_b.value = HOSTILE
    assert "<" in "".join(chip["text"] for chip in lab.chips[0].tokens)  # shown as it is, as text
    for name in PARTS:
        lab.show.value = name
        written = lab.parts[name].text.value + lab.parts[name].as_html(lab.state, lab.picked, 2)
        assert "<img src" not in written and "<b>crane</b></b>" not in written
        assert "onerror=alert" not in written or "&lt;" in written
    kept = report(lab.state, lab.rows, "<b>net</b>", 2, False)
    assert "<img" not in kept and "<b>net" not in kept


def test_very_long_texts_are_cut_at_once(lab):
    began = time.monotonic()
    lab.text_a.value = "x" * 1_000_000
    assert time.monotonic() - began < 5
    assert "Only the first 2,000 characters are read." in lab.status.text
    assert "<unk>" in lab.chips[0].tokens[0]["note"]


def test_another_network_is_loaded_when_it_is_chosen(network, tmp_path):
    asked = []

    def load():
        asked.append(1)
        return LabNetwork(network.nets["untrained"], network.vocab, network.corpus)

    def fail():
        raise OSError("there is no such network here")

    lab = SentenceLab(network, others={"other": load, "gone": fail}, folder=tmp_path)
    assert asked == []
    before = lab.parts["similar words"].maps["network"].values
    lab.model.value = "other"
    assert asked == [1] and lab.parts["similar words"].maps["network"].values != before
    lab.model.value = "gone"
    assert lab.status.text == "Not possible: there is no such network here"
    lab.model.value = "this network"
    assert lab.parts["similar words"].maps["network"].values == before
    assert "this network" in report(lab.state, lab.rows, lab.shown, 2, False)
    lab.other.value = "no/such/folder/here"
    assert "is no folder, and no name at a hub" in lab.status.text


def test_the_untrained_network_can_be_chosen_like_any_other(lab, network):
    lab.example.value = "crane: bird, machine"
    maps = lab.parts["similar words"].maps
    trained, untrained = maps["network"].values, maps["untrained"].values
    senses = [row["position"] for row in lab.meter.rows if row["source"] == "untrained"]
    lab.model.value = "untrained"
    assert maps["network"].values == maps["untrained"].values == untrained != trained
    for source in ("network", "untrained"):
        assert [row["position"] for row in lab.meter.rows if row["source"] == source] == senses
    for name in PARTS:
        lab.show.value = name
        assert lab.box.children == (lab.parts[name].box,) and not lab.status.is_error, name
    assert "Model: untrained." in report(lab.state, lab.rows, lab.shown, 2, False)
    lab.show.value, lab.model.value = "similar words", "this network"
    assert maps["network"].values == trained


def test_a_cell_that_was_clicked_stays_chosen_until_the_words_change(lab):
    lab.example.value = "crane: bird, machine"
    part = lab.parts["similar words"]
    one, other = part.maps.values()
    one.selected, other.selected = [0, 3], [4, 4]
    for change in (
        lambda: setattr(lab.layer, "value", 1),
        lambda: setattr(lab.raw, "value", True),
        lambda: setattr(lab.labels, "value", 3),
        lambda: setattr(lab.model, "value", "untrained"),
    ):
        change()
        assert (one.selected, other.selected) == ([0, 3], [4, 4])
        assert "the, stands: cosine" in part.text.value
    lab.chips[0].clicked = {"index": 5, "count": 1}
    assert one.selected == other.selected == [5, 2] == lab.picked
    one.selected = [0, 0]
    lab.text_a.value = "a crane is flying"
    assert one.selected == lab.picked == [1, 2]


def test_a_word_forty_times_is_read_soon_and_told_six_times(lab):
    lab.text_a.value = "crane " * 2  # so that its uses are known
    assert "only the first" not in lab.meter.caption
    began = time.process_time()
    lab.text_a.value = "crane " * 40
    assert time.process_time() - began < 1
    labels = {row["label"] for row in lab.meter.rows if row["label"].endswith("sentence 1")}
    assert len(labels) == 6 and "only the first 6 such words" in lab.meter.caption


def test_half_a_character_is_shown_as_such(lab, tmp_path):
    lab.text_a.value = "a \ud83e crane"
    assert [chip["text"] for chip in lab.chips[0].tokens] == ["a", "�", "crane"]
    for name in ("attention", "hidden word"):
        lab.show.value = name
        lab.parts["hidden word"].guess.value = "\ud83e"
        lab.keep.click()
        assert not lab.status.is_error
    assert "a � crane" in (tmp_path / "sentence_lab.html").read_text("utf-8")


def test_a_word_that_is_too_rare_is_told_in_its_view_and_the_rest_goes_on(lab):
    lab.show.value = "nearest uses in the corpus"
    lab.text_b.value = "a crane zebrafish here"
    lab.chips[1].clicked = {"index": 2, "count": 1}
    assert "stands 0 times" in lab.problem.value and lab.box.children == (lab.problem,)
    assert "zebrafish" in lab.status.text and not lab.status.is_error
    lab.show.value = "hidden word"  # the same word of the same sentence
    assert "a crane <b>&lt;mask&gt;</b> here" in lab.parts["hidden word"].text.value
    lab.chips[1].clicked = {"index": 1, "count": 2}
    lab.show.value = "nearest uses in the corpus"
    assert lab.box.children == (lab.parts["nearest uses in the corpus"].box,)


def test_a_lab_that_begins_with_a_wrong_text_can_be_used(network, tmp_path):
    lab = SentenceLab(network, "", "x", folder=tmp_path)
    assert "first text has no word" in lab.status.text
    lab.chips[0].clicked = {"index": 0, "count": 1}
    lab.keep.click()
    assert "type two sentences first" in lab.status.text
    lab.text_a.value = "a crane is here"
    assert not lab.status.is_error and len(lab.meter.rows) == 3


def test_what_is_picked_stays_with_the_same_words(lab):
    lab.example.value = "crane: bird, machine"
    lab.chips[0].clicked = {"index": 8, "count": 1}
    lab.labels.value = 4
    assert lab.picked == [8, 2]
    lab.text_a.value = "a crane is flying"
    assert lab.picked == [1, 2] and lab.example.value == "your own"
    lab.text_a.value = "a crane saw a crane"
    labels = {row["label"] for row in lab.meter.rows}
    assert len(labels) == 3 and "crane (word 5), sentence 1" in labels


def test_the_kept_file_needs_nothing_else(lab, tmp_path):
    lab.example.value = "crane: bird, machine"
    lab.show.value = "layers"
    lab.keep.click()
    text = (tmp_path / "sentence_lab.html").read_text("utf-8")
    assert text.startswith("<!DOCTYPE html>") and "bird, 10 of 10" in text
    assert "http" not in text and "<script" not in text and '<img alt="A word' in text
    assert str(tmp_path) in lab.status.text
    for name, alt in (("map of uses", 'alt="crane, network'), ("attention", 'alt="attention, ')):
        lab.show.value = name
        lab.keep.click()
        text = (tmp_path / "sentence_lab.html").read_text("utf-8")
        assert text.count(alt) >= 1 and text.count("<img") == 2, name  # the untrained one too


def test_a_lab_has_a_text_to_stand_in_for_it(lab):
    assert repr(lab) == SentenceLab.fallback
    assert lab._repr_mimebundle_()["text/plain"] == SentenceLab.fallback


def test_without_a_notebook_nothing_is_displayed(lab):
    lab.is_shown = True
    lab.keep_static(lab.static_html())
    assert lab.static.handle is None and "crane" in lab.static_html()


def test_a_track_is_a_place_between_two_ends():
    assert track(-1) == "◀●━━━━━━━━▶" and track(1) == "◀━━━━━━━━●▶" and track(0)[5] == "●"
    assert page("x").count("<html") == 1
    assert guesses_table({"network": []}).startswith("<table>")
