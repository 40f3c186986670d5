"""The order of words."""

import pytest
import torch

from bert_tutorial import load_checkpoint, read_text
from bert_tutorial.representation.word_order import word_order_accuracy
from bert_tutorial.studio.published.checkpoints import SHIPPED


def test_the_trained_network_knows_it_and_others_guess():
    net, vocab = load_checkpoint(SHIPPED / "bundled.safetensors")
    text = read_text("bundled").valid
    trained = word_order_accuracy(net, vocab, text, 150)
    assert trained > 0.9 and trained == word_order_accuracy(net, vocab, text, 150)
    with pytest.raises(ValueError, match="two known neighbouring words to swap"):
        word_order_accuracy(net, vocab, " zzzq zzzr zzzs zzzt . zzzq zzzr zzzs zzzt . ")
    with torch.no_grad():  # without positions the network is a bag of words itself
        net.encoder.embeddings.position.weight.zero_()
    assert word_order_accuracy(net, vocab, text, 150) == pytest.approx(0.5, abs=0.2)
    net.reset(torch.Generator().manual_seed(0))
    assert word_order_accuracy(net, vocab, text, 150) == pytest.approx(0.5, abs=0.1)
