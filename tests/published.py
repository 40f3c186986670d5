"""A small BERT in Hugging Face's format."""

import torch
from small import assert_identical

from bert_tutorial.network.model import BERTModel
from bert_tutorial.studio.published.bert import save_pretrained
from bert_tutorial.studio.published.wordpiece import BERT_SPECIAL_TOKENS, read_vocab

PIECES = [*BERT_SPECIAL_TOKENS, "[unused0]", *"a crane fly ##ing ##s is over , . don ' t".split()]


def small_net(vocab, **changes):
    torch.manual_seed(0)
    sizes = {"num_hiddens": 16, "ffn_num_hiddens": 24, "num_heads": 4, "num_layers": 3}
    net = BERTModel(len(vocab), **{**sizes, "max_len": 20, **changes})
    with torch.no_grad():
        for parameter in net.parameters():  # biases and scales too must be told apart
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return net.eval()


def small_vocab(folder, size=None, pieces=PIECES):
    """A vocabulary of word pieces, read from a vocab.txt."""
    folder.mkdir(exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", "utf-8")
    return read_vocab(folder, size or len(pieces))


def published_bert(folder):
    """Write a network of these pieces; the network, and the folder."""
    vocab = small_vocab(folder)
    (folder / "vocab.txt").unlink()
    net = small_net(vocab)
    save_pretrained(net, vocab, folder)
    return net, folder


def assert_same_weights(net, other):
    assert_identical(dict(other.state_dict()), dict(net.state_dict()))
