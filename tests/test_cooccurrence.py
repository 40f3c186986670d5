"""Counted word vectors, which a network can begin with."""

import math
import random
from itertools import chain, product

import pytest
import torch
from small import assert_identical, small_net, some_examples, tokenized, weights_of
from torch.testing import assert_close

from bert_tutorial import Settings, train_steps
from bert_tutorial.network.model import BERTModel
from bert_tutorial.pretraining.cooccurrence import (
    count_near,
    ppmi,
    start_from_neighbours,
    word_vectors,
)

TEXT = [[["a", "b", "a"], ["c"]], [["b", "c", "rare"]]]  # two paragraphs


def test_neighbours_are_counted_within_paragraphs_and_across_sentences():
    paragraphs = [*TEXT, [["a", "<unk>", "b"], ["a"]]]
    vocab, text = tokenized(paragraphs)
    wanted = torch.zeros(len(vocab), len(vocab))
    for paragraph in paragraphs:
        for (i, one), (j, other) in product(enumerate(chain(*paragraph)), repeat=2):
            is_near = 1 <= abs(i - j) <= 2 and "<unk>" not in (one, other)
            wanted[vocab[one], vocab[other]] += is_near
    assert wanted[vocab["a"], vocab["c"]] == 1  # over the sentence's end; not into the paragraph
    assert_close(torch.from_numpy(count_near(text, vocab, window=2).toarray()), wanted)


def test_ppmi_by_hand():
    vocab, text = tokenized(TEXT)
    found = ppmi(count_near(text, vocab, window=1)).toarray()
    # "a b", "b a", "a c" and "b c", "c rare": ten ends; a has 3, b 3, c 3, rare 1.
    three, ends = 3**0.75, 3 * 3**0.75 + 1
    for one, other, chance in (("c", "rare", 3 / ends), ("a", "b", 3 * three / ends / 2)):
        assert math.isclose(found[vocab[one], vocab[other]], -math.log(chance), rel_tol=1e-5)
    assert found[vocab["a"], vocab["rare"]] == 0


def test_words_of_one_family_are_near_each_other():
    draw, words = random.Random(0), {x: [f"{x}{i}" for i in range(6)] for x in "xy"}
    vocab, text = tokenized([[draw.choices(words[draw.choice("xy")], k=8)] for _ in range(200)])
    vectors = word_vectors(text, vocab, window=5, size=4)
    again = word_vectors.__wrapped__(text, vocab, window=5, size=4)  # not from the cache
    assert vectors.shape == (len(vocab), 4) and torch.equal(vectors, again)
    x, y = (vectors[vocab[words[letter]]] for letter in "xy")
    assert (x @ x.T).min() > 0.5 > 0.1 > (x @ y.T).max()
    assert not vectors[list(vocab.special_ids)].any()


def test_a_network_begins_with_counted_vectors_of_the_same_spread():
    examples = some_examples()
    net, vocab = small_net(examples), examples.vocab
    before, after = net.word_vectors.detach().clone(), net.word_vectors
    start_from_neighbours(net, examples.text, vocab)
    for part, window in zip(after[vocab.word_ids].split(16, dim=1), (2, 10), strict=True):
        wanted = word_vectors(examples.text, vocab, window=window, size=16)[vocab.word_ids]
        assert torch.cosine_similarity(part, wanted).min() > 0.999
    assert torch.equal(after[list(vocab.special_ids)], before[list(vocab.special_ids)])
    assert math.isclose(after[vocab.word_ids].std().item(), 0.02, rel_tol=1e-3)


@pytest.mark.parametrize("freeze", [lambda net: net.encoder, lambda net: net.mlm])
def test_frozen_weights_stay_as_they_are(freeze):
    examples = some_examples()
    net = small_net(examples)
    freeze(net).requires_grad_(False)
    frozen = weights_of(freeze(net))
    before, settings = weights_of(net), Settings(num_steps=3)
    assert len(list(train_steps(net, examples, settings))) == 3
    assert_identical(weights_of(freeze(net)), frozen)
    assert any(not torch.equal(value, before[name]) for name, value in weights_of(net).items())
    with pytest.raises(ValueError, match="all weights are frozen: write net.requires_grad_"):
        next(train_steps(net.requires_grad_(False), examples, settings))


@pytest.mark.parametrize("num_hiddens", [1, 2, 3, 64, 128])
@pytest.mark.parametrize(
    "text",
    [
        [[["a", "b"], ["b", "a"]], [["a", "c"], ["c"]]], [[["a"], ["a"]], [["a"], ["a"]]],
        [[["a", "<unk>"], ["<unk>", "b"]]], [[["a"]]],
    ],
)  # fmt: skip
def test_a_tiny_text_or_network_makes_no_trouble(text, num_hiddens):
    vocab, read = tokenized(text)
    net = BERTModel(len(vocab), num_hiddens, num_heads=1)
    start_from_neighbours(net, read, vocab)
    assert net.word_vectors.isfinite().all()
    assert word_vectors(read, vocab, window=2, size=num_hiddens).shape == (len(vocab), num_hiddens)
