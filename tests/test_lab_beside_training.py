"""What the sentence lab draws at random does not change a training that goes on beside it."""

import threading

import pytest
import torch
from small import assert_identical, losses, small_net, some_examples

from bert_tutorial.pretraining.training import Settings, train_steps
from bert_tutorial.representation.encoding import dropout_vectors
from bert_tutorial.representation.readings import shaken_uses
from bert_tutorial.studio.lab.lab import LabNetwork
from bert_tutorial.text.wikitext_format import Corpus

NUM_STEPS = 40


def train(examples, net):
    recipe = Settings(num_steps=NUM_STEPS, precision="fp32")
    return losses(train_steps(net, examples, recipe))


WAYS = {
    "vectors with dropout": lambda lab, words: dropout_vectors(
        lab.nets["network"], lab.vocab, words, words[0], repeats=2
    ),
    "uses with dropout": lambda lab, words: shaken_uses(
        lab.shaken("network"), lab.vocab, words, 0, repeats=2
    ),
    "a network with dropout": lambda lab, words: lab._shaken("network"),
    "a new lab": lambda lab, words: LabNetwork(lab.nets["network"], lab.vocab, lab.corpus),
    "the untrained one": lambda lab, words: lab.twin(),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_training_beside_gives_the_same_losses(way):
    examples = some_examples()
    words = examples.vocab.itos[5:9]
    lab = LabNetwork(small_net(examples), examples.vocab, Corpus("none", "", ""))
    one, two = (small_net(examples, dropout=0.3) for _ in range(2))
    alone, is_over, times = train(examples, one), threading.Event(), []

    def read():
        while not is_over.is_set():
            WAYS[way](lab, words)
            times.append(1)

    before = torch.get_rng_state()
    other = threading.Thread(target=read)
    other.start()
    try:
        beside = train(examples, two)
    finally:
        is_over.set()
        other.join()
    assert len(times) > 5
    assert_identical(beside, alone)
    assert_identical(torch.get_rng_state(), before)
