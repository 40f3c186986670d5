"""Fine-tuning: the loop, which is pretraining's with another loss, and what a network answers.

Shapes: N texts, B rows of a batch, L positions, D hidden units, C labels.

Sources: Mosbach, Andriushchenko and Klakow 2021; Zhang et al. 2021: small data sets need enough
updates, a rate that rises first, and an Adam that corrects its bias.
"""

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
from ..text.vocabulary import Vocab
from .heads import FineTuned
from .tasks import Labelled

BATCH_SIZE = 16


def to_rows(vocab: Vocab, data: Labelled, max_len: int) -> tuple[list[Row], list[int]]:
    """Texts as a network reads them, cut to `max_len` positions; and where it gives the labels.

    That is at `<cls>`, or when tagging at the first piece of the labelled word.
    """
    rows, positions = [], []
    for number, words in enumerate(data.texts):
        pieces, spans = as_pieces(vocab, words)
        second = as_pieces(vocab, data.seconds[number])[0] if data.seconds else None
        room = max_len - 2
        cut = 0
        if data.places is not None:
            cut = max(0, spans[data.places[number]][1] - room)
            positions.append(1 + spans[data.places[number]][0] - cut)
        if second is not None:
            room = max((room - 1) // 2, room - 1 - len(second))
            second = second[:max_len - 3 - min(room, len(pieces))]
        rows.append(to_row(vocab, pieces[cut:cut+room], second))
    return rows, positions or [0] * len(rows)


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
    optimizers = make_optimizers(net, settings)
    rows, positions = to_rows(vocab, data, net.bert.config.max_len)
    labels, device = torch.from_numpy(data.labels), net.classifier.weight.device
    half = pick_dtype(settings.precision, device) == torch.bfloat16
    draw, drawn = random.Random(f"{settings.seed} dropout"), batches(len(data), batch_size, settings.seed)
    for step, some in zip(range(settings.num_steps), drawn, strict=False):
        net.zero_grad(set_to_none=True)
        with in_mode(net, training=True), torch.random.fork_rng(range(torch.cuda.device_count())):
            torch.manual_seed(draw.getrandbits(32))
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=half):
                scores = label_scores(
                    net, vocab, [rows[i] for i in some], [positions[i] for i in some]
                )
            loss = F.cross_entropy(scores.float(), labels[some].to(device))
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
