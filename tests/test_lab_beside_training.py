"""What the sentence lab draws at random does not change a training that goes on beside it."""

import threading

from small import assert_identical, losses, small_net, some_examples

from bert_tutorial.pretraining.run import Settings
from bert_tutorial.pretraining.training import train_steps
from bert_tutorial.representation.encoding import encode_with_dropout, to_row
from bert_tutorial.studio.lab.lab import Lab
from bert_tutorial.text.wikitext_format import Corpus


def test_a_training_beside_gives_the_same_losses():
    examples = some_examples()
    vocab, words = examples.vocab, tuple(examples.vocab.itos[5:9])
    lab = Lab(small_net(examples), vocab, Corpus("none", "", ""))
    nets = [small_net(examples, dropout=0.3) for _ in range(2)]
    is_over, times = threading.Event(), []

    def train():
        return losses(train_steps(nets.pop(), examples, Settings(num_steps=60, precision="fp32")))

    def read():
        while not is_over.is_set():
            encode_with_dropout(lab.nets["network"], vocab, [to_row(vocab, words)] * 2)
            lab._noisy_uses("network", words, 0, False)
            lab._with_dropout("network")  # a network with dropout, and a new one, draw weights
            lab.untrained()
            times.append(1)

    alone = train()
    other = threading.Thread(target=read)
    other.start()
    try:
        beside = train()
    finally:
        is_over.set()
        other.join()
    assert len(times) > 5
    assert_identical(beside, alone)
