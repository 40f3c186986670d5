"""What the sentence lab knows, without widgets: a word's uses, the meter, similarity, guesses."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from bert_tutorial import BERTModel, load_pretrained, read_text
from bert_tutorial.representation.encoding import (
    Window,
    encode_with_dropout,
    get_layers,
    read_use,
    use_vectors,
)
from bert_tutorial.representation.fill_mask import likeliest
from bert_tutorial.representation.occurrences import both_readings, labelled_occurrences
from bert_tutorial.representation.senses import EVERY, draw_labels
from bert_tutorial.studio.lab.lab import BAG, MAX_WORDS, NETWORKS, Lab, most_uses, other_networks
from bert_tutorial.studio.lab.similarity import Background
from bert_tutorial.studio.lab.typed import score_typed, typed_senses
from bert_tutorial.studio.lab.uses import beside
from bert_tutorial.studio.published.wordpiece import WordPieceVocab
from bert_tutorial.text.wikitext_format import Corpus

BIRD, MACHINE = (
    "the crane stood on one leg in the pond",
    "a tall crane stands at the building site",
)
FLYING = ["a", "crane", "is", "flying"]


@pytest.fixture(scope="module")
def lab():
    return Lab(*load_pretrained("bundled", "shipped")[:2], read_text("bundled"))


@pytest.fixture(scope="module")
def crane(lab):
    return lab.uses("crane", "network")


def words_of(lab, text):
    return lab.words(text)[0]


def test_a_use_is_read_as_it_stands_and_hidden(lab):
    net, vocab, use = lab.nets["network"], lab.vocab, Window(FLYING, 1)
    stands = get_layers(net, vocab, FLYING).vectors[:, 2]
    hidden = get_layers(net, vocab, ["a", "<mask>", "is", "flying"]).vectors[:, 2]
    found = read_use(net, vocab, use)
    assert_close(found, torch.cat([stands, hidden], dim=1))
    assert_close(lab.use("network", tuple(FLYING), 1, True)[:, :128], hidden.numpy())
    text = " = Crane ( bird ) = \n\n a crane is flying . \n"
    (occurrence,) = labelled_occurrences(text)["crane"]
    assert_close(both_readings(net, vocab, text, [occurrence])[:, 0], found)


def test_dropout_moves_a_use_about_what_it_is_without(lab):
    asked, before = ("network", tuple(FLYING), 1, False), torch.random.get_rng_state()
    noisy = lab.noisy_uses(*asked)
    assert torch.equal(before, torch.random.get_rng_state())
    assert noisy.shape == (3, 20, 256) and noisy.std(dim=1).mean() > 0.01
    exact = torch.from_numpy(lab.use(*asked))
    assert torch.cosine_similarity(noisy[-1].mean(0), exact[-1], dim=0) > 0.9
    assert_close(lab._noisy_uses(*asked), noisy)
    twice = lab._noisy_uses(*asked[:3], True)
    assert_close(twice[:, :, 128:].mean(1), twice[:, :, :128].mean(1), atol=0.5, rtol=0)


def test_a_word_of_several_pieces_has_their_mean_in_every_reading():
    tokenizers = pytest.importorskip("tokenizers")
    entries = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "cra", "##ne", "is", "here"]
    model = tokenizers.models.WordPiece({t: i for i, t in enumerate(entries)}, unk_token="[UNK]")
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(entries[:5])
    vocab = WordPieceVocab(tokenizer)
    torch.manual_seed(0)
    net = BERTModel(len(vocab), num_hiddens=16, ffn_num_hiddens=16, dropout=0.0, max_len=8).eval()
    use = Window(["a", "crane", "is", "here"], 1)
    exact = read_use(net, vocab, use)
    pieces = get_layers(net, vocab, ["a", "cra", "##ne", "is", "here"]).vectors[:, 2:4].mean(1)
    assert_close(exact[:, :16], pieces)
    assert_close(use_vectors(net, vocab, [use] * 2, encode_with_dropout)[:, 1], exact[:, :16])
    long = read_use(net, vocab, Window(["crane"] * 9, 8))  # more pieces than positions
    assert long.isfinite().all()
    lab = Lab(net, vocab, Corpus("none", "", ""))
    assert lab.words("a crane", "zebu")[0] == ("a", "crane") and lab.count("a") is None
    assert lab.is_unknown("zebu") and not lab.is_unknown("crane")
    assert lab.read("network", ("a", "crane")).vectors.shape == (3, 2, 16)
    assert list(lab.guesses(("a", "crane"), 1)) == [*NETWORKS]  # nobody counted its words


def test_occurrences_stand_on_the_side_of_their_sense(crane):
    assert crane.senses == ["bird", "machine"]
    means, machine = crane.means(-1), crane.known_senses == "machine"
    assert crane.accuracy(-1) > 0.9 and crane.accuracy(-1, 1) > 0.8
    sides = crane.positions(crane.known[-1], means) > 0
    assert (machine == sides).mean() > 0.9
    np.testing.assert_allclose(crane.positions(means, means), [-1, 1], atol=1e-5)
    few = draw_labels(crane.known_senses, 3)
    assert len(set(few)) == 6 and machine[few].sum() == 3
    assert few == draw_labels(crane.known_senses, 3)
    assert sorted(draw_labels(crane.known_senses, EVERY)) == list(range(len(crane.occurrences)))
    same, different = crane.alike(-1)
    assert same > different + 0.3
    itself, *others = crane.nearest(crane.known[-1][7], -1)
    assert itself.tokens == crane.sentences[7]
    assert itself.cosine == pytest.approx(1.0, abs=1e-4) and len(others) == 4
    assert all(itself.cosine >= other.cosine for other in others)


def test_the_meter_tells_the_two_cranes_apart_and_its_controls_stand_beside(lab):
    rows = lab.meter(lab.words(BIRD, MACHINE), 2)
    labels = ("crane, sentence 1", "crane, sentence 2")
    wanted = [(label, source) for label in labels for source in (*NETWORKS, BAG)]
    assert [(row["label"], row["source"]) for row in rows] == wanted
    assert rows[0]["position"] < 0 < rows[3]["position"]
    assert rows[0]["text"] in {"bird, 8 of 10", "bird, 9 of 10", "bird, 10 of 10"}
    assert "machine" in rows[3]["text"] and int(rows[1]["text"].split()[1]) < 8
    for row in rows:
        assert (row["left"], row["right"]) == ("bird", "machine") and -1 <= row["position"] <= 1
        assert row["low"] is None or row["low"] <= row["position"] <= row["high"]
    few = [lab.meter(lab.words(BIRD, MACHINE), 2, n)[0]["position"] for n in (1, 4, EVERY)]
    assert len(set(few)) == 3 and max(few) < 0  # a bird all the time


def test_what_stands_beside_a_place():
    others, of = np.linspace(-0.99, 1.01, 21), np.array(["p"] * 8 + ["q"] * 13)
    senses = ["p", "q"]
    assert beside(-1.0, senses, others, of) == "p, 8 of 10"
    assert beside(0.25, senses, others, of) == "q, 10 of 10"
    assert beside(0.0, senses, others, of) == "neither, 3 of 10"
    assert beside(0.1, senses, others[:3], of[:3]) == "q, 0 of 3"
    assert beside(0.1, senses, others[:0], of[:0]) == "q"


def test_similarity_takes_the_common_direction_out(lab):
    sentences = lab.words(BIRD, MACHINE)
    raw, out = lab.similarity(sentences, 2, is_raw=True), lab.similarity(sentences, 2)
    assert raw.shape == out.shape == (9, 8) and raw.mean() > out.mean() + 0.1
    (same, _), (anything, _) = lab.background("network").spreads(2)
    assert abs(anything) < 0.1 < lab.background("network").spreads(2, True)[1][0]
    assert same > anything + 0.2
    assert lab.layers()["one word, network"]["2"] == same


def test_how_alike_two_uses_are_says_what_the_plain_cosine_does_not(lab):
    birds = lab.words(BIRD, "a crane laid two eggs in its nest")
    one, other = lab.alike(birds, (1, 1), 2), lab.alike(lab.words(BIRD, MACHINE), (1, 2), 2)
    assert one[0] > other[0] + 0.3 and one[1:] == other[1:] and one[1] > one[2]
    assert lab.alike(birds, (0, 1), 2) is None  # two words
    assert 0.3 < lab.dropout_cosine(birds[0], 1, 2) < 1


def test_the_nearest_uses_and_the_map_know_the_sense(lab):
    sentences = lab.words(BIRD, MACHINE)
    for words, place, sense in zip(sentences, (1, 2), ("bird", "machine"), strict=True):
        found = lab.nearest(words, place, 2)
        assert [use.sense for use in found].count(sense) >= 4
        assert all(use.tokens[use.place] == "crane" for use in found)
    points, _, accuracy = lab.map(sentences, "crane", 2, EVERY, "network")
    corpus, (left, right) = points[:-2], points[-2:]
    assert {point["kind"] for point in corpus} == {"corpus"} and len(corpus) == 218
    assert left["kind"] == right["kind"] == "typed" and left["x"] < 0 < right["x"]
    assert np.mean([(p["x"] > 0) == (p["group"] == "machine") for p in corpus]) > 0.9
    assert accuracy > 0.9 > lab.map(sentences, "crane", 2, EVERY, "untrained")[2]


def test_a_word_without_known_senses_has_uses_too_and_a_rare_one_is_refused(lab):
    uses = lab.uses("water", "network")
    assert uses.senses == [] and uses.asked is None and uses.alike(-1) is None
    found = lab.nearest(words_of(lab, "the water is deep"), 1, 2)
    assert len(found) == 5 and all(use.tokens[use.place] == "water" for use in found)
    _, names, accuracy = lab.map(lab.words("the water", "a crane"), "water", 2, EVERY, "network")
    assert accuracy is None and "main direction" in names[0]
    with pytest.raises(ValueError, match="'zebrafish' stands 0 times"):
        lab.uses("zebrafish", "network")


def test_guesses_stand_beside_counting(lab):
    words = words_of(lab, BIRD)
    found = lab.guesses(words, 8)
    assert list(found) == [*NETWORKS, "two neighbours, counted", "word frequencies"]
    for p in found.values():
        assert_close(p.sum(), torch.tensor(1.0))
        assert p[list(lab.vocab.special_ids)].sum() == 0
    assert likeliest(lab.vocab, found["word frequencies"], 1)[0].token == "the"
    between = torch.tensor([[lab.vocab["the"]], [lab.vocab.sep_id]])
    counted = lab.between()(*between)[0][lab.vocab.word_ids]
    p = found["two neighbours, counted"][lab.vocab.word_ids]
    assert_close(p, counted / counted.sum())
    masked = words_of(lab, "<mask> saw the crane")  # a typed mask is not the hidden word
    first, hidden = (lab.guesses(masked, place)["network"].argmax() for place in (0, 3))
    assert first != hidden


def test_words_are_read_and_counted_and_unknown_ones_told(lab):
    found = lab.read("network", words_of(lab, MACHINE))
    assert found.tokens == ["<cls>", *MACHINE.split(), "<sep>"]
    assert found.attention.shape == (2, 2, 10, 10) and found.vectors.shape == (3, 8, 128)
    sentences = lab.words("The BLORB slept.", "a crane")
    assert sentences[0] == ("the", "blorb", "slept")
    assert lab.count("the") > 1000 and lab.count("blorb") is None
    assert lab.is_unknown("blorb") and not lab.is_unknown("the")
    assert lab.same_word(sentences) == (0, 0) and lab.with_senses(sentences) == [(1, 1)]
    with pytest.raises(ValueError, match="first text has no word"):
        lab.words("", "a crane")
    with pytest.raises(ValueError, match="second text has 41 words: at most 40"):
        lab.words("a crane", "word " * (MAX_WORDS + 1))


def test_an_untrained_network_and_the_shipped_ones_can_be_chosen(lab):
    found = other_networks()
    assert {"in the package, bundled", "in the package, wikitext-2"} <= set(found)
    assert found["in the package, bundled"]().vocab.itos == lab.vocab.itos


def test_typed_sentences_are_told_by_the_network_and_not_by_the_untrained_one(lab):
    typed = typed_senses()
    assert len(typed) == 320
    words = {"crane", "bank", "palm", "star"}
    score = score_typed(lab, [row for row in typed if row.word in words])
    assert score.senses["network"] > 0.85 > 0.7 > score.senses["untrained"]
    assert score.alike > score.cosine and score.senses["bag of words"] > 0.85


def test_of_wide_networks_fewer_uses_are_remembered(lab):
    small = lab.nets["network"].config
    wide = (dict(num_hiddens=768, num_layers=12), dict(num_hiddens=1024, num_layers=24))
    limits = [most_uses(dataclasses.replace(small, **sizes)) for sizes in ({}, *wide)]
    assert limits == [64, 18, 8] and lab.uses.cache_info().maxsize == 64


def test_a_background_is_small_on_a_small_text(lab):
    small = " the crane is flying . the crane is here . ", " one two three . "
    background, lonely = (Background(lab.nets["network"], lab.vocab, text) for text in small)
    assert len(background.tokens) == 8 and background.vectors.shape[:2] == (3, 8)
    assert np.isnan(lonely.spreads(2)[0][0]) and not np.isnan(background.spreads(1)[1][0])


def test_the_lab_works_where_the_corpus_knows_no_senses(lab):
    corpus = read_text("bundled")
    plain = (part.replace(" ( ", " ") for part in corpus[1:])
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
