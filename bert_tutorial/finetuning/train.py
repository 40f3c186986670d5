"""Fine-tuning: the loop, which is pretraining's with another loss, and what a network answers.

Shapes: N texts, B rows of a batch, L positions, D hidden units, C labels.

Sources: Mosbach, Andriushchenko and Klakow 2021; Zhang et al. 2021: small data sets need enough
updates, a rate that rises first, and an Adam that corrects its bias.
"""

import math
import random
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..devices import keep_memory, pick_dtype
from ..network.model import dropout_off, in_mode
from ..pretraining.optimizers import make_optimizers
from ..pretraining.run import Settings
from ..pretraining.training import update
from ..representation.encoding import Row, as_pieces, to_batch, to_row
from ..text.pairs import truncated_lengths
from ..text.vocabulary import Vocab
from .heads import FineTuned
from .tasks import Labelled

BATCH_SIZE = 16


def recipe(number: int, seed: int = 0, learning_rate: float = 6e-4) -> Settings:
    """How to fine-tune on so many texts: 300 updates, or three epochs where these are more.

    It was tuned once, on a part of what there is to learn from, and is the same for all tasks.
    """
    steps = max(300, 3 * number // BATCH_SIZE)
    return Settings(num_steps=steps, learning_rate=learning_rate, optimizer="adamw", seed=seed)


def to_rows(vocab: Vocab, data: Labelled, max_len: int) -> tuple[list[Row], list[int]]:
    """Texts as a network reads them, cut to `max_len` positions; and where it gives the labels.

    That is at `<cls>`, or when tagging at the first piece of the labelled word.
    """
    rows, positions = [], []
    for number, words in enumerate(data.texts):
        pieces, spans = as_pieces(vocab, words)
        second, room, start, position = None, max_len - 2, 0, 0
        if data.seconds is not None:
            second, _ = as_pieces(vocab, data.seconds[number])
            lengths = map(torch.tensor, (len(pieces), len(second)))
            room, most = truncated_lengths(*lengths, max_len - 3)
            second = second[:most]
        if data.places is not None:
            first, end = spans[data.places[number]]
            start = max(0, end - room)  # what stands before the word goes first
            position = 1 + first - start
        rows.append(to_row(vocab, pieces[start : start + room], second))
        positions.append(position)
    return rows, positions


def label_scores(net: FineTuned, vocab: Vocab, rows: list[Row], positions: list[int]) -> Tensor:
    """The scores (B, C) of some rows."""
    scores = net(*to_batch(net.bert, vocab, rows))
    return scores[range(len(rows)), positions] if net.tagging else scores


def batches(number: int, batch_size: int, seed: int) -> Iterator[np.ndarray]:
    """Numbers of texts, in a new order each epoch; what is left over at its end is not used."""
    draw, size = np.random.default_rng(seed), min(batch_size, number)
    while True:
        order = draw.permutation(number)
        yield from (order[i : i + size] for i in range(0, number - size + 1, size))


def fine_tune_steps(
    net: FineTuned, vocab: Vocab, data: Labelled, settings: Settings, batch_size: int = BATCH_SIZE
) -> Iterator[tuple[int, float]]:
    """Train network and head, yielding each step's number, from 1, and its loss in nats a label.

    Stop asking, and training stops; the network is usable at every yield.

    Raises:
        FloatingPointError: The loss is not a number; the network keeps the last good weights.
    """
    keep_memory()
    optimizers, draw = make_optimizers(net, settings), random.Random(f"{settings.seed} dropout")
    rows, positions = to_rows(vocab, data, net.bert.config.max_len)
    device = net.classifier.weight.device
    labels, refused = torch.from_numpy(data.labels), torch.from_numpy(~data.allowed())
    half = pick_dtype(settings.precision, device) == torch.bfloat16
    drawn = batches(len(data), batch_size, settings.seed)
    for step, some in zip(range(settings.num_steps), drawn, strict=False):
        net.zero_grad(set_to_none=True)
        # Dropout draws from PyTorch's own generator: borrow it.
        with in_mode(net, training=True), torch.random.fork_rng(range(torch.cuda.device_count())):
            torch.manual_seed(draw.getrandbits(32))
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=half):
                parts = [rows[i] for i in some], [positions[i] for i in some]
                scores = label_scores(net, vocab, *parts)
            scores = scores.float().masked_fill(refused[some].to(device), -math.inf)
            loss = F.cross_entropy(scores, labels[some].to(device))
            loss.backward()
        update(net, optimizers, settings, step, [loss.item()])
        yield step + 1, loss.item()


def log_probabilities(
    net: FineTuned, vocab: Vocab, data: Labelled, at_once: int = 64
) -> np.ndarray:
    """How probable the network takes each label to be for each text, in nats: (N, C)."""
    rows, positions = to_rows(vocab, data, net.bert.config.max_len)
    found = []
    for i in range(0, len(rows), at_once):
        part = slice(i, i + at_once)
        with dropout_off(net):
            found.append(label_scores(net, vocab, rows[part], positions[part]).float().cpu())
    return torch.cat(found).log_softmax(1).numpy()
