"""Fine-tuning: the loop, which is pretraining's with another loss, and what a network answers.

Shapes: N texts, B rows of a batch, L positions, D hidden units, C labels.

Sources: Mosbach, Andriushchenko and Klakow 2021; Zhang et al. 2021: small data sets need enough
updates, a rate that rises first, and an Adam that corrects its bias.
"""

import math
import random
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

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
from .labelled import Labelled, Text

BATCH_SIZE = 16


def recipe(
    number: int, seed: int = 0, pretrained: bool = True, learning_rate: float = 6e-4
) -> Settings:
    """How to train on so many texts: 300 updates, or six epochs where these are more.

    One that was not pretrained gets 1,000 to 3,000, up to 32 epochs: it needs them, the other does
    not. Both were tuned once, on a part of what there is to learn from, and are the same for all
    tasks. Muon was no better here, and took more than twice the time.
    """
    steps = max(300, 6 * number // BATCH_SIZE)
    if not pretrained:
        steps = max(steps, min(max(1000, 32 * number // BATCH_SIZE), 3000))
    return Settings(num_steps=steps, learning_rate=learning_rate, optimizer="adamw", seed=seed)


class Asked(NamedTuple):
    """A row, and the position where a head reads its vector."""

    row: Row
    position: int


def to_rows(vocab: Vocab, data: Labelled, max_len: int) -> list[list[Asked]]:
    """What a network reads of each text, cut to `max_len` positions.

    A head reads at `<cls>`, or at the first piece of each word that is asked about. Two uses are
    two rows, other pairs one.
    """
    found = []
    for texts in data.texts:
        if data.kind == "text":
            parts = [as_pieces(vocab, text.words)[0] for text in texts]
            rooms = [max_len - 2]
            if len(parts) > 1:
                rooms = truncated_lengths(*(torch.tensor(len(p)) for p in parts), max_len - 3)
            cut = [part[:room] for part, room in zip(parts, rooms, strict=True)]
            found.append([Asked(to_row(vocab, *cut), 0)])
        else:
            found.append([asked_about(vocab, text, max_len) for text in texts])
    return found


def asked_about(vocab: Vocab, text: Text, max_len: int) -> Asked:
    """A text of which a word is asked about; if it is long, what stands before goes first."""
    pieces, spans = as_pieces(vocab, text.words)
    (first, end), room = spans[text.place], max_len - 2
    start = max(0, end - room)
    return Asked(to_row(vocab, pieces[start : start + room]), 1 + first - start)


def label_scores(net: FineTuned, vocab: Vocab, some: Iterable[list[Asked]]) -> Tensor:
    """The scores (B, C) of some texts."""
    rows, positions = zip(*chain.from_iterable(some), strict=True)
    batch = to_batch(net.bert, vocab, rows)
    return net(*batch, torch.tensor(positions, device=batch[0].device)[:, None])[:, 0]


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
    rows = to_rows(vocab, data, net.bert.config.max_len)
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
                scores = label_scores(net, vocab, [rows[i] for i in some])
            scores = scores.float().masked_fill(refused[some].to(device), -math.inf)
            loss = F.cross_entropy(scores, labels[some].to(device))
            loss.backward()
        update(net, optimizers, settings, step, [loss.item()])
        yield step + 1, loss.item()


def log_probabilities(
    net: FineTuned, vocab: Vocab, data: Labelled, at_once: int = 64
) -> np.ndarray:
    """How probable the network takes each label to be for each text, in nats: (N, C)."""
    rows, found = to_rows(vocab, data, net.bert.config.max_len), []
    for i in range(0, len(rows), at_once):
        with dropout_off(net):
            found.append(label_scores(net, vocab, rows[i : i + at_once]).float().cpu())
    return torch.cat(found).log_softmax(1).numpy()
