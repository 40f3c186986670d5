"""What the sentence lab knows, without widgets: a word's uses, the meter, similarity, guesses."""

import dataclasses

import numpy as np
import published
import pytest
import torch
from torch.testing import assert_close

from bert_tutorial import get_layers, load_pretrained, read_text
from bert_tutorial.representation import encoding
from bert_tutorial.representation.encoding import Window, read_use
from bert_tutorial.representation.fill_mask import likeliest
from bert_tutorial.representation.occurrences import both_readings, labelled_occurrences
from bert_tutorial.representation.senses import EVERY, draw_labels
from bert_tutorial.studio.lab.lab import BAG, MAX_WORDS, NETWORKS, Lab, most_uses, other_networks
from bert_tutorial.studio.lab.similarity import Background
from bert_tutorial.studio.lab.typed import score_typed, typed_senses
from bert_tutorial.studio.lab.uses import beside
from bert_tutorial.text.wikitext_format import Corpus

BIRD, MACHINE = (
    "the crane flew over the marsh to its nest",
    "a tall crane stands at the building site",
)
FLYING = ("a", "crane", "is", "flying")


@pytest.fixture(scope="module")
def lab():
    return Lab(*load_pretrained("bundled", "shipped")[:2], read_text("bundled"))


@pytest.fixture(scope="module")
def two(lab):
    return lab.words(BIRD, MACHINE)


def width(lab):
    return lab.nets["network"].config.num_hiddens


def test_a_use_is_read_as_it_stands_and_hidden(lab):
    net, vocab, use = lab.nets["network"], lab.vocab, Window(list(FLYING), 1)
    stands = get_layers(net, vocab, FLYING).vectors[:, 2]
    hidden = get_layers(net, vocab, ["a", "<mask>", "is", "flying"]).vectors[:, 2]
    found = read_use(net, vocab, use)
    assert_close(found, torch.cat([stands, hidden], dim=1))
    assert_close(lab.use("network", FLYING, 1, True)[:, : width(lab)], hidden.numpy())
    text = " = Crane ( bird ) = \n\n a crane is flying . \n"
    (occurrence,) = labelled_occurrences(text)["crane"]
    assert_close(both_readings(net, vocab, text, [occurrence])[:, 0], found)


def test_dropout_moves_a_use_about_what_it_is_without(lab):
    asked, before = ("network", FLYING, 1, False), torch.random.get_rng_state()
    noisy = lab.noisy_uses(*asked)
    assert torch.equal(before, torch.random.get_rng_state())
    assert noisy.shape == (3, 20, 2 * width(lab)) and noisy.std(dim=1).mean() > 0.01
    exact = torch.from_numpy(lab.use(*asked))
    assert torch.cosine_similarity(noisy[-1].mean(0), exact[-1], dim=0) > 0.9
    assert_close(lab._noisy_uses(*asked), noisy)
    twice = lab._noisy_uses(*asked[:3], True)
    one, other = (half.mean(1) for half in twice.split(width(lab), dim=2))
    assert (one - other).abs().mean() < 0.15


def test_a_word_of_several_pieces_has_their_mean_in_every_reading(tmp_path):
    vocab = published.small_vocab(tmp_path)
    net = published.small_net(vocab, max_len=8)
    use = Window(["a", "flying", "is", "over"], 1)
    exact = read_use(net, vocab, use)[:, :16]
    alone = get_layers(net, vocab, ["a", "fly", "##ing", "is", "over"]).vectors[:, 2:4].mean(1)
    assert_close(exact, alone)
    noisy = encoding.use_vectors(net, vocab, [use] * 40, encoding.encode_with_dropout)
    assert_close(noisy.mean(1), exact, atol=0.5, rtol=0)
    assert read_use(net, vocab, Window(["flying"] * 9, 8)).isfinite().all()  # of 8 positions
    lab = Lab(net, vocab, Corpus("none", "", ""))
    assert lab.words("a flying", "zebu")[0] == ("a", "flying") and lab.count("a") is None
    assert lab.is_unknown("zebu") and not lab.is_unknown("flying")
    assert lab.read("network", ("a", "flying")).vectors.shape == (4, 2, 16)
    assert list(lab.guesses(("a", "flying"), 1)) == [*NETWORKS]  # nobody counted its words


def test_occurrences_stand_on_the_side_of_their_sense(lab):
    crane = lab.uses("crane", "network")
    means, machine = crane.means(-1), crane.known_senses == "machine"
    assert crane.senses == ["bird", "machine"]
    assert crane.accuracy(-1) > 0.9 and crane.accuracy(-1, 1) > 0.75
    assert (machine == (crane.positions(crane.known[-1], means) > 0)).mean() > 0.9
    np.testing.assert_allclose(crane.positions(means, means), [-1, 1], atol=1e-5)
    few = draw_labels(crane.known_senses, 3)
    assert len(set(few)) == 6 and machine[few].sum() == 3
    assert few == draw_labels(crane.known_senses, 3)
    assert sorted(draw_labels(crane.known_senses, EVERY)) == list(range(len(crane.occurrences)))
    same, different = crane.alike(-1)
    cosines, of = crane.cosines(crane.asked[-1], crane.asked[-1], -1), crane.asked_senses
    pairs = [cosines[i, j] for j in range(len(of)) for i in range(j) if of[i] == of[j]]
    assert same == pytest.approx(np.median(pairs)) and same > different + 0.3
    itself, *others = crane.nearest(crane.known[-1][7], -1)
    assert itself.tokens == crane.sentences[7] and itself.tokens[itself.place] == "crane"
    assert itself.cosine == pytest.approx(1.0, abs=1e-4) and len(others) == 4
    assert all(itself.cosine >= other.cosine for other in others)


def test_the_meter_tells_the_two_cranes_apart_and_its_controls_stand_beside(lab, two):
    rows = lab.meter(two, 2)
    labels = ("crane, sentence 1", "crane, sentence 2")
    wanted = [(label, source) for label in labels for source in (*NETWORKS, BAG)]
    assert [(row["label"], row["source"]) for row in rows] == wanted
    assert rows[0]["position"] < 0 < rows[3]["position"]
    assert rows[0]["text"] in {"bird, 8 of 10", "bird, 9 of 10", "bird, 10 of 10"}
    assert "machine" in rows[3]["text"] and not (rows[0]["is_undecided"] or rows[3]["is_undecided"])
    assert rows[1]["is_undecided"] and rows[1]["text"].startswith("undecided: ")
    for row in rows:
        assert (row["left"], row["right"]) == ("bird", "machine") and -1 <= row["position"] <= 1
        assert row["low"] is None or row["low"] <= row["position"] <= row["high"]
    use = lab.use("network", two[0], two[0].index("crane"), False)[2]
    few = [lab.uses("crane", "network").place(use, 2, n)[0] for n in (1, 4, EVERY)]
    assert len(set(few)) == 3 and max(few) < 0  # a bird all the time


@pytest.mark.parametrize(
    ("position", "number", "spread", "told"),
    [(-1, 21, 0, "p, 8 of 10"), (0.25, 21, 0, "q, 10 of 10"), (0.25, 21, 0.3, "0.25 ± 0.30"),
     (0, 21, 0, "in the middle"), (-0.55, 21, 0, "p, 8 of 10"), (-0.2, 21, 0, "p, 5 of 10"),
     (0.1, 3, 0, "q, 0 of 3"), (0.1, 0, 0, "q")],
)  # fmt: skip
def test_what_stands_beside_a_place_and_whether_it_is_decided(position, number, spread, told):
    others, of = np.linspace(-0.99, 1.01, 21), np.array(["p"] * 8 + ["q"] * 13)
    found = beside(position, ["p", "q"], others[:number], of[:number], spread)
    # Two thirds of the nearest, and a band that does not reach the middle.
    is_sure = abs(position) > spread and not told.endswith((" 5 of 10", " 0 of 3"))
    assert found == (position, told if is_sure else f"undecided: {told}", not is_sure)


def test_similarity_takes_the_common_direction_out(lab, two):
    raw, out = lab.similarity(two, 2, is_raw=True), lab.similarity(two, 2)
    assert raw.shape == out.shape == (9, 8) and raw.mean() > out.mean() + 0.1
    (same, _), (anything, _) = lab.background("network").spreads(2)
    assert abs(anything) < 0.1 < lab.background("network").spreads(2, True)[1][0]
    assert same > anything + 0.2 and lab.layers()["one word, network"]["2"] == same
    small = " the crane is flying . the crane is here . ", " one two one . "
    background, lonely = (Background(lab.nets["network"], lab.vocab, text) for text in small)
    assert len(background.tokens) == 8 and background.vectors.shape[:2] == (3, 8)
    assert np.isnan(lonely.spreads(2)[0][0]) and not np.isnan(background.spreads(1)[1][0])


def test_how_alike_two_uses_are_says_what_the_plain_cosine_does_not(lab, two):
    birds = lab.words(BIRD, "a crane laid two eggs in its nest")
    one, other = lab.alike(birds, (1, 1), 2), lab.alike(two, (1, 2), 2)
    assert one[0] > other[0] + 0.3 and one[1:] == other[1:] and one[1] > one[2]
    assert lab.alike(birds, (0, 1), 2) is None  # two words
    assert lab.alike(two, (1, 2), 2, "untrained")[0] > other[0]
    assert 0.3 < lab.dropout_cosine(birds[0], 1, 2) < 1


def test_a_plural_is_asked_as_its_word_and_is_the_same_word(lab):
    cranes = "the cranes danced on the ice", "two tall cranes lift the steel beams"
    sentences = lab.words(*cranes)
    assert [lab.one(word) for word in ("mice", "matches", "bass", "rivers", "viruses")] == [
        *("mouse", "match", "bass", "rivers", "virus")
    ]
    rows = lab.meter(sentences, 2)
    assert [row["label"] for row in rows[::3]] == [f"cranes (as crane), sentence {i}" for i in "12"]
    assert [rows[i]["text"].split(",")[0] for i in (0, 3)] == ["bird", "machine"]
    found = lab.nearest(sentences[1], 2, 2)
    assert [use.tokens[use.place] for use in found] == 5 * ["crane"]
    mixed = lab.words(cranes[0], "a crane lifts steel beams")
    assert lab.same_word(mixed) == (1, 1) and lab.alike(mixed, (1, 1), 2)[0] < 0
    points, *_ = lab.map(mixed, "cranes", 2, EVERY, "network")
    assert [p["label"] for p in points if p["kind"] == "typed"] == ["sentence 1", "sentence 2"]
    none = lab.words("the dog bit the man", "the man bit the dog")
    assert none[0][lab.same_word(none)[0]] != "the"  # the rarest
    other = lab.words("he went to the bank", "the seal moved to the match , and to a bank")
    assert [lab.same_word([one, other[1]]) for one in (other[0], *none)] == [
        *((4, 10), (0, 1), (0, 1))
    ]
    assert lab.same_word([other[0], none[0]]) == (4, 0)


def test_the_nearest_uses_and_the_map_know_the_sense(lab, two):
    for words, place, sense in zip(two, (1, 2), ("bird", "machine"), strict=True):
        assert [use.sense for use in lab.nearest(words, place, 2)].count(sense) >= 4
    points, names, accuracy = lab.map(two, "crane", 2, EVERY, "network")
    corpus, (left, right) = points[:-2], points[-2:]
    assert {point["kind"] for point in corpus} == {"corpus"} and len(corpus) > 200
    assert left["kind"] == right["kind"] == "typed" and left["x"] < 0 < right["x"]
    assert np.mean([(p["x"] > 0) == (p["group"] == "machine") for p in corpus]) > 0.9
    assert names[0] == "from {} to {}".format(*sorted({p["group"] for p in corpus}))
    assert accuracy > 0.9 > lab.map(two, "crane", 2, EVERY, "untrained")[2]


def test_a_word_without_known_senses_has_uses_too_and_a_rare_one_is_refused(lab):
    uses, sentences = lab.uses("water", "network"), lab.words("the water is deep", "a crane")
    assert uses.senses == [] and uses.asked is None and uses.alike(-1) is None
    found = lab.nearest(sentences[0], 1, 2)
    assert len(found) == 5 and all(use.tokens[use.place] == "water" for use in found)
    _, names, accuracy = lab.map(sentences, "water", 2, EVERY, "network")
    assert accuracy is None and names[0] == "what differs most"
    with pytest.raises(ValueError, match="'zebrafish' stands 0 times"):
        lab.uses("zebrafish", "network")


def test_guesses_stand_beside_counting(lab, two):
    found = lab.guesses(two[0], 8)
    assert list(found) == [*NETWORKS, "two neighbours, counted", "word frequencies"]
    for p in found.values():
        assert_close(p.sum(), torch.tensor(1.0))
        assert p[list(lab.vocab.special_ids)].sum() == 0
    assert likeliest(lab.vocab, found["word frequencies"], 1)[0].token == "the"
    between = torch.tensor([[lab.vocab["its"]], [lab.vocab.sep_id]])
    counted = lab.between()(*between)[0][lab.vocab.word_ids]
    p = found["two neighbours, counted"][lab.vocab.word_ids]
    assert_close(p, counted / counted.sum())
    masked = lab.words("<mask> saw the crane")[0]  # a typed mask is not the hidden word
    first, hidden = (lab.guesses(masked, place)["network"].argmax() for place in (0, 3))
    assert first != hidden


def test_words_are_read_and_counted_and_unknown_ones_told(lab, two):
    found = lab.read("network", two[1])
    assert found.tokens == ["<cls>", *MACHINE.split(), "<sep>"]
    heads = lab.nets["network"].config.num_heads
    assert found.attention.shape == (2, heads, 10, 10)
    assert found.vectors.shape == (3, 8, width(lab))
    sentences = lab.words("The BLORB slept.", "a crane")
    assert sentences[0] == ("the", "blorb", "slept")
    assert lab.count("the") > 1000 and lab.count("blorb") is None
    assert lab.is_unknown("blorb") and not lab.is_unknown("the")
    assert lab.same_word(sentences) == (0, 1) and lab.with_senses(sentences) == [(1, 1)]
    nothing_held_out = lab.corpus._replace(valid="")
    assert Lab(lab.nets["network"], lab.vocab, nothing_held_out).key("crane") == ""
    assert len(lab.words("word " * MAX_WORDS)[0]) == MAX_WORDS
    with pytest.raises(ValueError, match="first text has no word"):
        lab.words("", "a crane")
    with pytest.raises(ValueError, match="second text has 41 words: at most 40"):
        lab.words("a crane", "word " * (MAX_WORDS + 1))


def test_an_untrained_network_and_the_shipped_ones_can_be_chosen(lab):
    found = other_networks()
    assert {"in the package, bundled", "in the package, wikitext-2"} <= set(found)
    assert found["in the package, bundled"]().vocab.itos == lab.vocab.itos


def test_a_network_whose_text_cannot_be_had_shows_what_needs_no_text(lab, monkeypatch):
    def read(name):
        if name == "wikitext-2":
            raise OSError("WikiText-2 could not be downloaded")
        return lab.corpus

    monkeypatch.setattr("bert_tutorial.studio.lab.lab.read_text", read)
    without = other_networks()["in the package, wikitext-2"]()
    sentences = without.words(BIRD, "the crane is here")
    assert without.meter(sentences, 2) == [] and without.similarity(sentences, 2).isfinite().all()
    assert list(without.guesses(sentences[0], 1)) == [*NETWORKS]
    assert len(without.layers()) == 4 and without.untrained().missing == without.missing
    with pytest.raises(ValueError, match="this needs the text: WikiText-2 could not be downloaded"):
        without.nearest(sentences[0], 1, 2)


def test_typed_sentences_are_told_by_the_network_and_not_by_the_untrained_one(lab):
    typed = typed_senses()
    assert len(typed) == 320
    score = score_typed(lab, [row for row in typed if row.word in {"crane", "bank", "palm"}])
    assert score.senses["network"] > 0.85 > 0.7 > score.senses["untrained"]
    assert score.alike > score.cosine and score.senses["bag of words"] > 0.85


def test_of_wide_networks_fewer_uses_are_remembered(lab):
    small = lab.nets["network"].config
    wide = (dict(num_hiddens=768, num_layers=12), dict(num_hiddens=1024, num_layers=24))
    limits = [most_uses(dataclasses.replace(small, **sizes)) for sizes in ({}, *wide)]
    assert limits == [64, 18, 8] and lab.uses.cache_info().maxsize == 64


def test_the_lab_works_where_the_corpus_knows_no_senses(lab):
    plain = (part.replace(" ( ", " ") for part in lab.corpus[1:3])
    lab = Lab(lab.nets["network"], lab.vocab, Corpus("plain", *plain))
    pair = next(iter(lab.labels(lab.corpus.train)))
    word, other = pair.split("/")
    sentences = lab.words(f"the {word} is here", f"the {other} is flying")
    rows = lab.meter(sentences, 2)
    assert [rows[0]["left"], rows[0]["right"]] == sorted((word, other)) and len(rows) % 3 == 0
    uses, control = (lab.uses(pair, which) for which in NETWORKS)
    assert uses.is_hidden and uses.senses == sorted((word, other))
    assert uses.accuracy(-1) > max(0.6, control.accuracy(-1))
    kinds = [point["kind"] for point in lab.map(sentences, word, 2, EVERY, "network")[0]]
    assert kinds.count("typed") == 2  # both words of the pair
