"""Small texts and networks that train in a second, and how to compare them."""

import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import torch
from torch.testing import assert_close

from bert_tutorial.network.model import BERTModel
from bert_tutorial.text.examples import PretrainingExamples
from bert_tutorial.text.tokenized import TokenizedText
from bert_tutorial.text.vocabulary import Vocab

PATIENCE = 60  # seconds to wait for a thread before a test fails


def topic_text(num_paragraphs, seed):
    """Paragraphs of 2 to 4 sentences on one topic each; word `t2w5` is of topic 2."""
    draw = random.Random(seed)
    return [
        [
            [f"t{topic}w{int(6 * draw.random() ** 2)}" for _ in range(draw.randint(3, 9))]
            for _ in range(draw.randint(2, 4))
        ]
        for topic in (draw.randrange(4) for _ in range(num_paragraphs))
    ]


def some_examples(num_paragraphs=60, batch_size=16, **settings):
    train, valid = topic_text(num_paragraphs, seed=0), topic_text(20, seed=1)
    vocab = Vocab(token for paragraph in train for sentence in paragraph for token in sentence)
    held_out = PretrainingExamples(
        vocab, TokenizedText.from_paragraphs(vocab, valid), batch_size, 24, fixed=True
    )
    text = TokenizedText.from_paragraphs(vocab, train)
    return PretrainingExamples(vocab, text, batch_size, 24, **{"valid": held_out, **settings})


def small_net(examples, **changes):
    torch.manual_seed(0)
    return BERTModel(
        len(examples.vocab), **{"num_hiddens": 32, "ffn_num_hiddens": 64, "max_len": 24, **changes}
    )


def losses(steps):
    return torch.tensor([(step.mlm_loss, step.nsp_loss) for step in steps], dtype=torch.float64)


def assert_identical(one, two):
    assert_close(one, two, rtol=0, atol=0)


def weights_of(net):
    return {name: value.clone() for name, value in net.state_dict().items()}


def break_net(net):
    """Weights that are finite, and give a loss that is not."""
    with torch.no_grad():
        net.nsp.output.weight.fill_(3e38)
        net.nsp.hidden.bias.fill_(5.0)


def until(condition):
    """Wait for something to become true."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.002)


def made_up_text(num_paragraphs=40, seed=0):
    """Paragraphs of 2 to 6 sentences of 3 to 40 words; word `p12s3w0` says where it stands."""
    draw = random.Random(seed)
    return [
        [[f"p{p}s{s}w{w}" for w in range(draw.randint(3, 40))] for s in range(draw.randint(2, 6))]
        for p in range(num_paragraphs)
    ]


def tokenized(paragraphs):
    vocab = Vocab(token for paragraph in paragraphs for sentence in paragraph for token in sentence)
    return vocab, TokenizedText.from_paragraphs(vocab, paragraphs)


def assert_same_from_threads(draw):
    """Four threads at once get from `draw(i)` what one thread gets."""
    wanted = [draw(i) for i in range(4)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # change between threads as often as can be
    try:
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(draw, range(4))) == wanted
    finally:
        sys.setswitchinterval(interval)
