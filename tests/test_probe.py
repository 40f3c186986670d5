"""What a network knows so far: the answers while it trains."""

import json
import re

import numpy as np
import pytest
import torch
from small import assert_identical, weights_of

from bert_tutorial.network.model import BERTModel
from bert_tutorial.studio.lab import probe as module
from bert_tutorial.studio.lab.probe import Probe, apart, spread_out
from bert_tutorial.text.vocabulary import Vocab
from bert_tutorial.text.wikitext_format import Corpus, paragraphs

BIRD = " = Crane ( bird ) = \n" + 4 * " The grey crane flies over the lake . It sings .\n"
MACHINE = " = Crane ( machine ) = \n" + 4 * " The steel crane lifts a load . It stands .\n"
CRANES = Corpus("cranes", BIRD + MACHINE, BIRD + MACHINE)


@pytest.fixture
def asked():
    text = paragraphs(CRANES.train)
    vocab = Vocab(word for paragraph in text for words in paragraph for word in words)
    torch.manual_seed(0)
    sizes = dict(num_hiddens=16, ffn_num_hiddens=16, num_layers=1, max_len=24, dropout=0.5)
    return BERTModel(len(vocab), **sizes).train(), Probe(vocab, CRANES)


def test_the_senses_of_a_word_and_the_guesses_at_a_mask_and_nothing_is_changed(asked):
    net, probe = asked
    assert probe.words == ["crane"] and probe(net) == {}  # nothing is asked at first
    probe.sentence, probe.word = "the grey <mask> flies", "crane"
    before, state = weights_of(net), torch.random.get_rng_state()
    found = probe(net)
    assert json.loads(json.dumps(found)) == found == probe(net)
    assert found["sentence"] == "the grey <mask> flies" and found["word"] == "crane"
    chances = [chance for _, chance in found["guesses"]]
    assert len(chances) == 5
    assert chances == sorted(chances, reverse=True) and 0 < sum(chances) <= 1 + 1e-6
    # Known and held-out sentences are the same: every use is at the mean of its own sense.
    assert found["of"] == 8 and found["right"] == 1 and found["apart"] > 100
    assert net.training
    assert_identical(torch.random.get_rng_state(), state)
    for name, value in before.items():
        assert_identical(net.state_dict()[name], value)
    probe.sentence, probe.word = "", "lake"
    assert probe(net) == {}


@pytest.mark.parametrize(
    ("sentence", "problem"),
    [("   ", "there is no <mask>"), ("<mask> " + "grey " * 200, "24|long"), ("zebu <mask> qi", "")],
)
def test_a_sentence_that_cannot_be_asked_is_told_and_the_word_is_asked_all_the_same(
    asked, sentence, problem
):
    net, probe = asked
    probe.sentence, probe.word = sentence, "crane"
    found = probe(net)
    assert "right" in found and len(found.get("guesses", [])) == (0 if problem else 5)
    assert re.search(problem, found["problem"]) if problem else "problem" not in found


@pytest.mark.parametrize("train", ["\n a b c . d e .\n", "", BIRD, BIRD + MACHINE])
def test_a_text_without_words_of_two_senses_has_none(asked, train):
    held_out = "" if train == BIRD + MACHINE else train
    assert Probe(asked[1].vocab, Corpus("plain", train, held_out)).words == []


def test_far_means_are_far_apart_and_equal_ones_are_not():
    draw = np.random.default_rng(0)
    cloud, senses = draw.normal(size=(400, 3)), np.repeat(["a", "b"], 200)
    assert apart(cloud, senses) < 0.3
    cloud[200:, 0] += 10 * 3**0.5  # in units of the scatter: the root of 3 dimensions
    assert apart(cloud, senses) == pytest.approx(10, rel=0.1)
    assert apart(np.zeros((4, 2)), np.array(["a", "a", "b", "b"])) == 0


def test_a_long_list_of_uses_is_cut_evenly(monkeypatch):
    monkeypatch.setattr(module, "LONGEST_LIST", 5)
    assert spread_out(list(range(101))) == [0, 25, 50, 75, 100]
    assert spread_out([1, 2]) == [1, 2] and spread_out([3]) == [3]
