"""The sentence lab's controls and views, without a browser."""

import time

import pytest

from bert_tutorial import load_pretrained, read_text
from bert_tutorial.studio.lab.lab import Lab
from bert_tutorial.studio.widgets import SentenceLab
from bert_tutorial.studio.widgets.lab_parts import PARTS
from bert_tutorial.studio.widgets.sentence_lab import track

HOSTILE = "<img src=x onerror=alert(1)> &amp; <b>crane</b>"
NEAREST = "nearest uses in the corpus"


@pytest.fixture(scope="module")
def network():
    return Lab(*load_pretrained("bundled", "shipped")[:2], read_text("bundled"))


@pytest.fixture
def lab(network, tmp_path):
    return SentenceLab(network, folder=tmp_path)


@pytest.fixture
def cranes(lab):
    lab.example.value = "crane: bird, machine"
    return lab


def click(lab, sentence, place):
    lab.chips[sentence].clicked = {"index": place, "count": time.monotonic_ns()}


def kept(lab, tmp_path):
    lab.keep.click()
    assert not lab.status.is_error and str(tmp_path) in lab.status.text
    return (tmp_path / "sentence_lab.html").read_text("utf-8")


def test_every_example_is_read_and_its_words_are_known(lab):
    assert len(lab.examples) >= 12
    for name, pair in lab.examples.items():
        lab.example.value = name
        assert (lab.text_a.value, lab.text_b.value) == pair
        assert lab.status.text == "All words are in the vocabulary.", (name, lab.status.text)
        assert (len(lab.meter.rows) > 0) == (name != "order of words")


def test_every_view_follows_text_layer_and_picked_word(cranes):
    for name in PARTS:
        cranes.show.value = name
        shown = cranes.box.children
        assert shown == (cranes.parts[name].box,) and not cranes.status.is_error, name
    cranes.show.value = "similar words"
    part = cranes.parts["similar words"]
    network, untrained = part.views.values()
    before = network.values
    assert network.low == untrained.low  # one scale for both
    assert "How alike are these two uses of crane?" in part.text.value
    cranes.layer.value = 0
    assert network.values != before
    cranes.layer.value, cranes.raw.value = 7, True  # there are two
    assert cranes.layer.value == cranes.layer.max == 2 and not cranes.status.is_error
    assert network.values != before and "raw" in network.caption
    network.selected = [0, 0]
    assert "the, a: cosine" in part.text.value and "dropout" not in part.text.value
    every = cranes.meter.rows[0]["position"]
    assert "all labels" in cranes.meter.caption
    cranes.labels.value = 1
    assert cranes.meter.rows[0]["position"] != every and "1 of each" in cranes.meter.caption
    cranes.show.value = NEAREST
    assert cranes.raw.disabled
    click(cranes, 1, 5)
    assert "<b>the</b> (sentence 2)" in cranes.parts[NEAREST].text.value
    assert cranes.chips[1].chosen == [5]


def test_ones_own_guess_comes_first(cranes):
    cranes.show.value = "hidden word"
    part = cranes.parts["hidden word"]
    assert "<table>" not in part.text.value
    part.guess.value = "<i>Heron</i>"
    assert "<table>" in part.text.value and "<i>heron" not in part.text.value
    assert "not in its vocabulary" in part.text.value
    part.guess.value = "bird"
    assert "Your guess, bird, by the network: " in part.text.value and "%" in part.text.value
    click(cranes, 0, 8)
    assert part.guess.value == "" and "<table>" not in part.text.value
    cranes.layer.value, part.guess.value = 1, "lake"
    cranes.labels.value = 3
    assert part.guess.value == "lake"  # the same word of the same sentence


def test_a_wrong_text_is_told_in_place_and_nothing_is_lost(lab):
    lab.text_b.value = "a crane driver left"
    lab.text_a.value = ""
    assert lab.status.is_error and "first text has no word" in lab.status.text
    assert lab.text_b.value == "a crane driver left" and lab.sentences[0][1] == "crane"
    lab.layer.value = 1  # what was read last can still be looked at
    assert "layer 1" in lab.parts["similar words"].views["network"].caption
    lab.text_a.value = "word " * 50
    assert "50 words: at most 40" in lab.status.text
    lab.text_a.value = "x" * 1_000_000
    assert "Only the first 2,000 characters are read." in lab.status.text
    assert "<unk>" in lab.chips[0].tokens[0]["note"]
    lab.text_a.value = "a \ud83e crane"  # half a character
    assert [chip["text"] for chip in lab.chips[0].tokens] == ["a", "�", "crane"]


def test_a_lab_that_begins_with_a_wrong_text_can_be_used(network, tmp_path):
    lab = SentenceLab(network, "", "x", folder=tmp_path)
    assert "first text has no word" in lab.status.text and lab.static_html() == ""
    click(lab, 0, 0)
    lab.keep.click()
    assert "type two sentences first" in lab.status.text
    lab.text_a.value = "a crane is here"
    assert not lab.status.is_error and len(lab.meter.rows) == 3


def test_another_network_is_loaded_when_it_is_chosen(network, tmp_path):
    def fail():
        raise OSError("there is no such network here")

    lab = SentenceLab(network, others={"other": network.untrained, "gone": fail}, folder=tmp_path)
    views = lab.parts["similar words"].views
    trained, untrained = views["network"].values, views["untrained"].values
    senses = [row["position"] for row in lab.meter.rows if row["source"] == "untrained"]
    for name in ("other", "untrained"):
        lab.model.value = name
        assert views["network"].values == views["untrained"].values == untrained != trained
        rows = lab.meter.rows
        assert [row["position"] for row in rows if row["source"] == "network"] == senses
        assert f"Model: {name}." in lab.static_html()
    lab.model.value = "gone"
    assert lab.status.text == "Not possible: there is no such network here"
    assert "Model: untrained." in lab.static_html()
    lab.model.value = "this network"
    assert views["network"].values == trained and "Model: this network." in lab.static_html()
    lab.other.value = "no/such/folder/here"
    assert "is no folder, and no name at a hub" in lab.status.text


def test_a_cell_and_a_word_that_were_clicked_stay_chosen_until_the_words_change(cranes):
    part = cranes.parts["similar words"]
    one, other = part.views.values()
    one.selected, other.selected = [0, 3], [4, 4]
    for control, value in (("layer", 1), ("raw", True), ("labels", 3), ("model", "untrained")):
        getattr(cranes, control).value = value
        assert (one.selected, other.selected) == ([0, 3], [4, 4])
        assert "the, stands: cosine" in part.text.value
    click(cranes, 0, 8)
    assert one.selected == other.selected == [8, 2] == cranes.picked
    cranes.labels.value, cranes.model.value = 4, "this network"
    assert cranes.picked == [8, 2]
    one.selected = [0, 0]
    cranes.text_a.value = "a crane is flying"
    assert one.selected == cranes.picked == [1, 2] and cranes.example.value == "your own"
    cranes.text_a.value = "a crane saw a crane"
    labels = {row["label"] for row in cranes.meter.rows}
    assert len(labels) == 3 and "crane (word 5), sentence 1" in labels


def test_a_word_forty_times_is_read_soon_and_told_six_times(lab):
    lab.text_a.value = "crane " * 2  # so that its uses are known
    assert "only the first" not in lab.meter.caption
    began = time.process_time()
    lab.text_a.value = "crane " * 40
    assert time.process_time() - began < 1
    labels = {row["label"] for row in lab.meter.rows if row["label"].endswith("sentence 1")}
    assert len(labels) == 6 and "only the first 6 such words" in lab.meter.caption


def test_a_word_that_is_too_rare_is_told_in_its_view_and_the_rest_goes_on(lab, tmp_path):
    lab.show.value = NEAREST
    lab.text_b.value = "a crane zebrafish here"
    click(lab, 1, 2)
    assert "stands 0 times" in lab.problem.value and lab.box.children == (lab.problem,)
    assert "zebrafish" in lab.status.text and not lab.status.is_error
    assert "stands 0 times" in kept(lab, tmp_path)
    lab.show.value = "hidden word"  # the same word of the same sentence
    assert "a crane <b>&lt;mask&gt;</b> here" in lab.parts["hidden word"].text.value
    click(lab, 1, 1)
    lab.show.value = NEAREST
    assert lab.box.children == (lab.parts[NEAREST].box,)


def test_the_kept_file_has_the_views_beside_their_controls_and_needs_nothing_else(cranes, tmp_path):
    cranes.text_a.value += f" {HOSTILE}"
    cranes.show.value = "map of uses"
    view = cranes.parts["map of uses"].views["network"]
    view.selected = [3]
    text = kept(cranes, tmp_path)
    assert view.selected == [3]  # keeping changes nothing
    assert text.startswith("<!DOCTYPE html>") and text.count("<html") == 1
    assert "http" not in text and "<script" not in text and "<img src=x" not in text
    for shown in (
        "bird, 10 of 10",  # the meter
        *("untrained network, layer 2, cosines", "cosine 0."),
        "According to the untrained network",
        *('alt="crane, network', 'alt="crane, untrained network'),
        *("<th scope='col'>two neighbours, counted</th>", "&lt;mask&gt;"),
        '<img alt="A word and itself in another sentence',
    ):
        assert shown in text, shown
    assert text.count("<img") == 3 and text.count("<caption>") == 4


def test_something_is_seen_without_a_kernel(cranes):
    assert "Sentence 1: the crane stood" in cranes.static_html()
    assert "bird, 10 of 10" in cranes.static_html() and "2, cosines" in cranes.static_html()
    cranes.show.value = NEAREST
    assert "2, cosines" not in cranes.static_html()
    cranes.is_shown = True  # but there is no notebook
    cranes.keep_static(cranes.static_html())
    assert cranes._static.handle is None
    assert repr(cranes) == SentenceLab.fallback
    assert cranes._repr_mimebundle_()["text/plain"] == SentenceLab.fallback


def test_a_track_is_a_place_between_two_ends():
    assert track(-1) == "◀●━━━━━━━━▶" and track(1) == "◀━━━━━━━━●▶" and track(0)[5] == "●"
