"""What the sentence lab knows, without a browser and without widgets."""

import dataclasses
import random

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bert_tutorial import BERTModel, load_pretrained, read_text
from bert_tutorial.network.config import BERTConfig
from bert_tutorial.representation.few_labels import EVERY
from bert_tutorial.studio.lab.lab import NETWORKS, LabNetwork, most_remembered, other_networks
from bert_tutorial.studio.lab.lab_senses import meter, nearest, sense_map
from bert_tutorial.studio.lab.lab_state import MAX_WORDS, LabState
from bert_tutorial.studio.lab.similarity import Background
from bert_tutorial.studio.lab.typed import score_typed, typed_senses

BIRD, MACHINE = (
    "the crane stood on one leg in the pond",
    "a tall crane stands at the building site",
)


@pytest.fixture(scope="module")
def lab():
    return LabNetwork(*load_pretrained("bundled", "shipped")[:2], read_text("bundled"))


@pytest.fixture(scope="module")
def state(lab):
    return LabState(lab, BIRD, MACHINE)


def test_the_meter_tells_the_two_cranes_apart_and_its_controls_stand_beside(state):
    rows = meter(state, 2)
    assert [(row.sentence, row.source) for row in rows] == [
        (sentence, source)
        for sentence in (0, 1)
        for source in ("network", "untrained", "bag of words")
    ]
    by = {(row.sentence, row.source): row for row in rows}
    assert by[0, "network"].sense == "bird" and by[1, "network"].sense == "machine"
    for row in rows:
        assert -1 <= row.position <= 1 and row.near == 10
        assert row.low is None or row.low <= row.position <= row.high
    assert by[0, "network"].right >= 8 > by[0, "untrained"].right


def test_fewer_labels_move_the_means(state):
    places = {number: meter(state, 2, number)[0].position for number in (1, 4, EVERY)}
    assert len(set(places.values())) == 3 and max(places.values()) < 0  # a bird all the time


def test_similarity_takes_the_common_direction_out(lab, state):
    raw, out = state.similarity(2, is_raw=True), state.similarity(2)
    assert raw.shape == out.shape == (9, 8)
    assert raw.mean() > out.mean() + 0.1
    background = lab.background("network")
    assert abs(background.any_words(2).mean) < 0.1 < background.any_words(2, is_raw=True).mean
    assert background.same_word(2).mean > background.any_words(2).mean + 0.2


def test_how_alike_two_uses_are_says_what_the_plain_cosine_does_not(lab):
    birds = LabState(lab, BIRD, "a crane laid two eggs in its nest")
    one, other = birds.alike(1, 1, 2), LabState(lab, BIRD, MACHINE).alike(1, 2, 2)
    assert one[0] > other[0] + 0.3 and one[1:] == other[1:] and one[1] > one[2]
    assert birds.alike(0, 1, 2) is None  # two words
    assert birds.dropout_cosine(0, 1, 2) < 1


def test_the_nearest_uses_are_of_the_same_sense(state):
    for sentence, place, sense in ((0, 1, "bird"), (1, 2, "machine")):
        found = nearest(state, sentence, place, 2)
        assert [use.sense for use in found].count(sense) >= 4
        assert all(use.tokens[use.place] == "crane" for use in found)


def test_the_map_has_all_uses_and_the_typed_ones(lab, state):
    found = sense_map(state, "crane", 2, EVERY, "network")
    kinds = [point["kind"] for point in found.points]
    assert kinds.count("typed") == 2 and kinds.count("corpus") == 218
    assert found.accuracy > 0.9 > sense_map(state, "crane", 2, EVERY, "untrained").accuracy
    left, right = (point for point in found.points if point["kind"] == "typed")
    assert left["x"] < 0 < right["x"]
    plain = sense_map(state, "the", 2, EVERY, "network")
    assert plain.accuracy is None and "main direction" in plain.names[0]


def test_guesses_stand_beside_counting(state):
    found = state.guesses(0, 8)
    assert list(found) == [*NETWORKS, "two neighbours, counted", "word frequencies"]
    assert all(len(guesses) == 10 for guesses in found.values())
    assert found["word frequencies"][0].token == "the"
    best = found["network"][0]
    assert state.probability(0, 8, best.token) == pytest.approx(best.probability, rel=1e-4)
    assert state.probability(0, 8, "zebrafish") is None


def test_a_typed_mask_is_not_confused_with_the_hidden_word(lab):
    state = LabState(lab, "<mask> saw the crane", "a crane")
    alone = LabState(lab, "he saw the crane", "a crane").guesses(0, 3)["network"][0]
    first, hidden = state.guesses(0, 0)["network"][0], state.guesses(0, 3)["network"][0]
    assert hidden != first and hidden.token != "he"
    assert state.probability(0, 3, hidden.token) == pytest.approx(hidden.probability, rel=1e-4)
    assert alone.probability > 0


def test_attention_is_that_of_the_tokens_shown(state):
    tokens, weights = state.attention(1, "network")
    assert tokens == ["<cls>", *MACHINE.split(), "<sep>"]
    assert weights.shape == (2, 2, 10, 10)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 2, 10))


def test_words_are_counted_and_unknown_ones_told(lab):
    state = LabState(lab, "The BLORB slept.", "a crane")
    assert state.words[0] == ["the", "blorb", "slept"]
    assert state.count("the") > 1000 and state.count("blorb") is None
    assert state.is_unknown("blorb") and not state.is_unknown("the")
    assert state.same_word() == (0, 0) and state.with_senses() == [(1, 1)]


@pytest.mark.parametrize(
    ("text", "why"),
    [("", "first text has no word"), ("word " * (MAX_WORDS + 1), "41 words: at most 40")],
)
def test_wrong_sentences_are_refused(lab, text, why):
    with pytest.raises(ValueError, match=why):
        LabState(lab, text, "a crane")


PARTS = ("<script>alert(1)</script>", "<mask>", '"', "'", "🦩", "مرحبا", "é", "​", "crane")


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(max_size=60) | st.lists(st.sampled_from(PARTS), max_size=8).map(" ".join))
def test_any_text_is_read_or_refused_with_a_sentence(lab, text):
    try:
        state = LabState(lab, text, "a crane is flying")
    except ValueError as error:
        assert "text has" in str(error)
        return
    cosines = state.similarity(2)
    assert cosines.shape == (len(state.words[0]), 4) and cosines.isfinite().all()
    assert all(np.isfinite(row.position) for row in meter(state, 2))


def test_an_untrained_network_and_the_shipped_ones_can_be_chosen(lab):
    found = other_networks()
    assert {"in the package, bundled", "in the package, wikitext-2"} <= set(found)
    other = found["in the package, bundled"]()
    assert other.vocab.itos == lab.vocab.itos


def test_typed_sentences_are_told_by_the_network_and_not_by_its_untrained_twin(lab):
    typed = typed_senses()
    assert len(typed) == 320
    words = {"crane", "bank", "palm", "star"}
    score = score_typed(lab, [row for row in typed if row.word in words])
    assert score.senses["network"] > 0.85 and score.senses["untrained"] < 0.7
    assert score.alike > score.cosine


def test_of_wide_networks_less_is_remembered():
    small = BERTConfig(vocab_size=1000, num_hiddens=128, ffn_num_hiddens=256, num_heads=2,
                       num_layers=2, dropout=0.0, max_len=64)  # fmt: skip
    base = dataclasses.replace(small, num_hiddens=768, num_heads=12, num_layers=12)
    large = dataclasses.replace(small, num_hiddens=1024, num_heads=16, num_layers=24)
    found = [most_remembered(config) for config in (small, base, large)]
    assert found[0] == (500, 64)
    assert found == sorted(found, reverse=True) and found[1][1] <= 20 and found[2][1] >= 8


def test_results_are_forgotten_when_there_are_many(lab):
    few = LabNetwork(lab.nets["network"], lab.vocab, lab.corpus)
    few._most_known = 3
    made = [few.remember((key,), lambda key=key: key * 10) for key in (1, 2, 3, 4, 4)]
    assert made == [10, 20, 30, 40, 40] and len(few._known) <= 3


def test_a_background_is_small_on_a_small_text():
    net, vocab, _ = load_pretrained("bundled", "shipped")
    background = Background(net, vocab, " the crane is flying . the crane is here . ")
    assert len(background.tokens) == 8 and background.vectors.shape[:2] == (3, 8)
    lonely = Background(net, vocab, " one two three . ")
    assert np.isnan(lonely.same_word(2).mean)
    random.seed(0)
    assert isinstance(background.any_words(1).mean, float)


def test_the_lab_works_where_the_corpus_knows_no_senses():
    corpus = read_text("bundled")
    plain = corpus._replace(
        train=corpus.train.replace(" ( ", " "), valid=corpus.valid.replace(" ( ", " ")
    )
    net, vocab, _ = load_pretrained("bundled", "shipped")
    lab = LabNetwork(net, vocab, plain)
    pairs = list(lab.labels(plain.train))
    assert pairs and all("/" in pair for pair in pairs)
    word = pairs[0].split("/")[0]
    state = LabState(lab, f"the {word} is here", "a crane is flying")
    rows = meter(state, 2)
    assert rows[0].senses == tuple(sorted(pairs[0].split("/"))) and len(rows) % 3 == 0
    assert isinstance(lab.nets["untrained"], BERTModel)
