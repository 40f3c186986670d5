"""Trainings of some seconds, to compare one choice with another."""

import random
from typing import Any

import torch

from ..network.model import BERTModel
from ..pretraining.evaluation import Evaluation, evaluate
from ..pretraining.run import Settings
from ..pretraining.training import train_steps
from ..text.examples import HELD_OUT_BATCH_SIZE, PretrainingExamples
from ..text.tokenized import TokenizedCorpus, TokenizedText
from ..text.vocabulary import Vocab


def made_up_corpus() -> TokenizedCorpus:
    """A text that is learned in seconds: each paragraph has one of four topics, six words each."""
    draw = random.Random(0)

    def sentence(topic: int) -> list[str]:
        return [f"t{topic}w{int(6 * draw.random() ** 2)}" for _ in range(draw.randint(3, 9))]

    def text(num_paragraphs: int) -> list[list[list[str]]]:
        topics = [draw.randrange(4) for _ in range(num_paragraphs)]
        return [[sentence(topic) for _ in range(draw.randint(2, 4))] for topic in topics]

    train, valid = text(400), text(60)
    vocab = Vocab(word for paragraph in train for words in paragraph for word in words)
    parts = (TokenizedText.from_paragraphs(vocab, part) for part in (train, valid))
    return TokenizedCorpus(*parts, vocab)


def with_held_out(
    kind: type[PretrainingExamples],
    corpus: TokenizedCorpus,
    batch_size: int = 128,
    max_len: int = 64,
    **settings: float,
) -> PretrainingExamples:
    """Training examples of a kind, with held-out ones of the same kind, which always hide 15 %."""
    held_out = kind(corpus.vocab, corpus.valid, HELD_OUT_BATCH_SIZE, max_len, fixed=True)
    return kind(corpus.vocab, corpus.train, batch_size, max_len, valid=held_out, **settings)


def short_training(
    train_iter: PretrainingExamples,
    num_steps: int = 60,
    *,
    settings: Settings | None = None,
    seed: int = 0,
    **sizes: Any,
) -> Evaluation:
    """Train a new small network, and ask it about the held-out text, `train_iter.valid`.

    `settings` say how, or else how many steps with the plain ones; `sizes` are of the network, such
    as num_heads.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = BERTModel(len(train_iter.vocab), **{"dropout": 0.0, **sizes})
    for _ in train_steps(net, train_iter, settings or Settings(num_steps=num_steps)):
        pass
    return evaluate(net, train_iter.valid)
