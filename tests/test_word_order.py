"""The order of words."""

import pytest
import torch

from bert_tutorial import load_checkpoint, read_text
from bert_tutorial.network.model import BERTModel
from bert_tutorial.representation.word_order import word_order_accuracy
from bert_tutorial.studio.published.checkpoints import SHIPPED


def test_the_trained_network_knows_it_and_the_untrained_guesses():
    net, vocab = load_checkpoint(SHIPPED / "bundled.safetensors")
    untrained = BERTModel.from_config(net.config)
    untrained.reset(torch.Generator().manual_seed(0))
    text = read_text("bundled").valid
    trained = word_order_accuracy(net, vocab, text, 300)
    assert trained > 0.9 and trained == word_order_accuracy(net, vocab, text, 300)
    assert 0.4 < word_order_accuracy(untrained.eval(), vocab, text, 300) < 0.6


def test_a_network_without_attention_to_order_guesses(monkeypatch):
    net, vocab = load_checkpoint(SHIPPED / "bundled.safetensors")
    with torch.no_grad():  # without positions the network is a bag of words itself
        net.encoder.embeddings.position.weight.zero_()
    found = word_order_accuracy(net, vocab, read_text("bundled").valid, 300)
    assert found == pytest.approx(0.5, abs=0.2)


def test_a_text_of_unknown_words_is_refused():
    net, vocab = load_checkpoint(SHIPPED / "bundled.safetensors")
    with pytest.raises(ValueError, match="two neighbouring words to swap that are known"):
        word_order_accuracy(net, vocab, " zzzq zzzr zzzs zzzt . zzzq zzzr zzzs zzzt . ")
