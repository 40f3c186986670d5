"""A word's uses as vectors: both readings, places between two senses, the nearest, a map."""

import numpy as np
import pytest
import torch

from bert_tutorial import BERTModel, load_pretrained, read_text
from bert_tutorial.representation.encoding import dropout_vectors, get_layers, word_vector
from bert_tutorial.representation.few_labels import EVERY
from bert_tutorial.representation.occurrences import labelled_occurrences
from bert_tutorial.representation.pseudowords import HiddenPairs, labels_for
from bert_tutorial.representation.readings import (
    both_readings,
    find_uses,
    read_twice,
    read_use,
    shaken_uses,
)
from bert_tutorial.studio.lab.uses import WordUses
from bert_tutorial.studio.published.wordpiece import WordPieceVocab


@pytest.fixture(scope="module")
def shipped():
    return *load_pretrained("bundled", "shipped")[:2], read_text("bundled")


@pytest.fixture(scope="module")
def crane(shipped):
    return WordUses(*shipped, "crane", labels_for(shipped[2]))


def test_a_use_is_read_as_it_stands_and_hidden(shipped):
    net, vocab, _ = shipped
    tokens = ["a", "crane", "is", "flying"]
    found = read_use(net, vocab, tokens, 1)
    stands = get_layers(net, vocab, tokens).vectors[:, 2]
    hidden = get_layers(net, vocab, ["a", "<mask>", "is", "flying"]).vectors[:, 2]
    torch.testing.assert_close(found, torch.cat([stands, hidden], dim=1))
    both = read_use(net, vocab, tokens, 1, is_hidden=True)
    torch.testing.assert_close(both, torch.cat([hidden, hidden], dim=1))


def test_a_word_of_a_pair_is_read_twice_too(shipped):
    net, vocab, _ = shipped
    tokens = ["a", "crane", "is", "flying"]
    alone = read_twice(word_vector, net, vocab, tokens, "crane")
    torch.testing.assert_close(alone, read_use(net, vocab, tokens, 1)[-1])
    pair = read_twice(word_vector, net, vocab, tokens, "crane", ["it", "left"])
    hidden = get_layers(net, vocab, ["a", "<mask>", "is", "flying"], ["it", "left"])
    torch.testing.assert_close(pair[128:], hidden.vectors[-1, 2])
    noisy = read_twice(dropout_vectors, net, vocab, tokens, "crane", ["it", "left"])
    assert noisy.shape == (40, 256) and noisy.std(dim=0).mean() > 0.01


def test_readings_of_the_corpus_are_those_of_typed_sentences(shipped):
    net, vocab, _ = shipped
    text = " = Crane ( bird ) = \n\n a crane is flying . \n"
    (occurrence,) = labelled_occurrences(text)["crane"]
    torch.testing.assert_close(
        both_readings(net, vocab, text, [occurrence])[:, 0],
        read_use(net, vocab, ["a", "crane", "is", "flying"], 1),
    )


def test_dropout_shakes_a_use_about_what_it_is_without(shipped):
    net, vocab, _ = shipped
    before = torch.random.get_rng_state()
    tokens = ["a", "crane", "is", "flying"]
    shaken = shaken_uses(net, vocab, tokens, 1, repeats=64)
    assert torch.equal(before, torch.random.get_rng_state())
    exact = read_use(net, vocab, tokens, 1)
    assert shaken.shape == (3, 64, 256) and shaken.std(dim=1).mean() > 0.01
    cosine = torch.cosine_similarity(shaken[-1].mean(0), exact[-1], dim=0)
    assert cosine > 0.9
    again = shaken_uses(net, vocab, tokens, 1, repeats=64)
    torch.testing.assert_close(shaken, again)


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
    words = ["a", "crane", "is", "here"]
    exact = read_use(net, vocab, words, 1)
    pieces = get_layers(net, vocab, ["a", "cra", "##ne", "is", "here"]).vectors[:, 2:4].mean(1)
    torch.testing.assert_close(exact[:, :16], pieces)
    shaken = shaken_uses(net, vocab, words, 1, repeats=2)
    torch.testing.assert_close(shaken[:, 0], exact)
    long = read_use(net, vocab, ["crane"] * 9, 8)  # more pieces than positions
    assert long.isfinite().all()


def test_occurrences_stand_on_the_side_of_their_sense(crane, shipped):
    assert crane.senses == ["bird", "machine"]
    means = crane.means(-1)
    assert crane.accuracy(-1, means) > 0.9
    sides = crane.positions(crane.known[-1], means) > 0
    assert ((crane.known_senses == "machine") == sides).mean() > 0.9
    np.testing.assert_allclose(crane.positions(means, means), [-1, 1], atol=1e-5)
    assert crane.accuracy(-1, crane.means(-1, 1)) > 0.8  # one label of each sense

    net, vocab, _ = shipped
    for text, sense in (
        ("the crane stood on one leg in the pond", "bird"),
        ("a tall crane stands at the building site", "machine"),
    ):
        tokens = text.split()
        use = read_use(net, vocab, tokens, tokens.index("crane"))[-1].numpy()
        place = crane.place(use, -1, means)
        assert place.sense == sense and place.near == 10 and place.right >= 8
        senses = [crane.known_senses[number] for number, _ in crane.nearest(use, -1)]
        assert senses.count(sense) >= 4


def test_labels_are_drawn_by_the_seed_and_all_are_all(crane):
    few = crane.labelled(3)
    assert len(few) == 6 == len(set(few)) and few == crane.labelled(3)
    assert crane.labelled(3, seed=1) != few
    assert sorted(crane.labelled(EVERY)) == list(range(len(crane.occurrences)))


def test_the_nearest_use_of_an_occurrence_is_itself(crane):
    (number, cosine), *others = crane.nearest(crane.known[-1][7], -1)
    assert number == 7 and cosine == pytest.approx(1.0, abs=1e-4)
    assert all(cosine >= other for _, other in others) and len(others) == 4
    tokens, place = crane.window(7)
    assert tokens[place] == "crane"


def test_two_uses_of_one_sense_are_more_alike(crane):
    same, different = crane.alike(-1)
    assert same > different + 0.3


def test_a_map_has_the_senses_on_two_sides(crane):
    means = crane.means(-1)
    onto = crane.map(-1, means)
    x, y = onto(crane.known[-1]).T
    assert ((x > 0) == (crane.known_senses == "machine")).mean() > 0.9
    assert abs(np.corrcoef(x, y)[0, 1]) < 0.5
    plain = crane.map(-1, None)(crane.known[-1])
    assert plain.shape == (len(crane.occurrences), 2)


def test_a_word_without_known_senses_has_uses_too(shipped):
    uses = WordUses(*shipped, "water", labels_for(shipped[2]))
    assert uses.senses == [] and uses.asked is None and uses.alike(-1) is None
    assert len(uses.nearest(uses.known[-1][0], -1)) == 5
    assert all(uses.window(i).tokens[uses.window(i).place] == "water" for i in range(5))


def test_a_rare_word_is_refused(shipped):
    with pytest.raises(ValueError, match="'zebrafish' stands 0 times"):
        WordUses(*shipped, "zebrafish", labels_for(shipped[2]))
    assert find_uses(shipped[2].train, "zebrafish") == []


def test_a_hidden_pair_is_read_as_mask(shipped):
    net, vocab, corpus = shipped
    labels = HiddenPairs(corpus).labels
    pair = next(iter(labels(corpus.train)))
    uses = WordUses(net, vocab, corpus, pair, labels)
    assert uses.is_hidden and uses.senses == sorted(pair.split("/"))
    assert uses.accuracy(-1, uses.means(-1)) > 0.6
    untrained = BERTModel.from_config(net.config)
    untrained.reset(torch.Generator().manual_seed(0))
    control = WordUses(untrained.eval(), vocab, corpus, pair, labels)
    assert control.accuracy(-1, control.means(-1)) < uses.accuracy(-1, uses.means(-1))
