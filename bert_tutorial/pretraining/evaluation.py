"""How well held-out text is predicted.

Losses are in nats; accuracies go from 0 to 1.
"""

from collections.abc import Callable
from itertools import chain
from typing import NamedTuple

import torch
from torch.nn import functional as F

from ..network.losses import read_out, rows_at_once
from ..network.mode import in_mode
from ..network.model import BERTModel, check_vocab
from ..text.examples import PretrainingExamples


class Evaluation(NamedTuple):
    """Held-out losses in nats, accuracies from 0 to 1."""

    mlm_loss: float
    mlm_accuracy: float
    nsp_loss: float
    nsp_accuracy: float

    def __str__(self):
        nsp = f"NSP loss {self.nsp_loss:.3f} ({self.nsp_accuracy:.1%} right)"
        return f"{self.masked_words}, {nsp}"

    @property
    def masked_words(self) -> str:
        """The result of the masked words alone, for a network that plays no other game."""
        return f"MLM loss {self.mlm_loss:.3f} ({self.mlm_accuracy:.1%} of masked words right)"


@torch.no_grad()
def evaluate(
    net: BERTModel,
    examples: PretrainingExamples,
    num_batches: int | None = None,
    rest: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Losses and accuracies on held-out examples, dropout off, in full precision.

    Args:
        net: The network; its mode is restored.
        examples: Held-out examples, `train_iter.valid`.
        num_batches: How many batches to look at; None for all.
        rest: Called between two parts of it, where others may use the network.

    Returns:
        Means over the masked tokens and over the pairs.

    Raises:
        ValueError: The examples have another vocabulary than the network.
    """
    check_vocab(net, examples.vocab)
    device, dtype = net.mlm.bias.device, net.mlm.bias.dtype
    wide = torch.promote_types(dtype, torch.float32)  # sums of a bf16 network would lose digits
    totals = torch.zeros(4, dtype=torch.float64)
    num_tokens = num_pairs = 0
    some = range(min(num_batches or len(examples), len(examples)))
    rows = rows_at_once(net, device)
    batches = (examples.batch(0, i).trim().to(device).split(rows) for i in some)
    for batch in chain.from_iterable(batches):
        rest()
        with in_mode(net, training=False):
            features, nsp_logits, labels = read_out(net, batch)
            logits = F.linear(features, net.mlm.weight, net.mlm.bias).to(wide)
            nsp_logits = nsp_logits.to(wide)
        totals[0] += F.cross_entropy(logits, labels, reduction="sum").item()
        totals[1] += (logits.argmax(1) == labels).sum().item()
        totals[2] += F.cross_entropy(nsp_logits, batch.nsp_labels, reduction="sum").item()
        totals[3] += (nsp_logits.argmax(1) == batch.nsp_labels).sum().item()
        num_tokens += len(labels)
        num_pairs += len(batch.nsp_labels)
    mlm, nsp = totals[:2] / num_tokens, totals[2:] / num_pairs
    return Evaluation(*mlm.tolist(), *nsp.tolist())
