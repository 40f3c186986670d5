"""The two pretraining losses.

All losses are in nats (natural logarithms): per predicted token for the masked language model
(MLM), per sentence pair for next-sentence prediction (NSP).

Shapes: B sentence pairs, P prediction slots, N real slots of a batch, D hidden units.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..text.examples import Batch
from .config import BERTConfig
from .fast import LinearCrossEntropy, Sample
from .model import BERTModel


def rows_at_once(config: BERTConfig, device: torch.device) -> int:
    """Sentence pairs that go through the network together: on a CPU, for a fraction of a second."""
    if device.type != "cpu":
        return 512
    # Few enough that another thread soon has its turn.
    return max(8, min(256, 256 * 256 // (config.num_layers * config.num_hiddens)))


class ReadOut(NamedTuple):
    """What the losses need of a batch."""

    features: Tensor  # (N, D), of the real slots, ready to be compared with the embeddings
    nsp_logits: Tensor  # (B, 2)
    labels: Tensor  # (N,), the tokens that stood in the real slots


def read_out(net: BERTModel, batch: Batch) -> ReadOut:
    """Encode a batch as far as the losses need it.

    In the last layer only the positions that a loss uses compute attention: those of the slots and,
    at position 0, that of `<cls>`.
    """
    real = batch.mlm_weights.bool()
    positions = F.pad(batch.pred_positions, (1, 0), value=0)
    # (B, 1 + P, D).
    encoded = net.encoder(batch.token_ids, batch.segments, batch.valid_lens, positions)
    features = net.mlm.features(encoded[:, 1:][real])
    return ReadOut(features, net.nsp(encoded[:, 0]), batch.mlm_labels[real])


class Losses(NamedTuple):
    """The two losses of a batch; pretraining minimises their sum."""

    mlm: Tensor  # scalar, float32, nats per predicted token
    nsp: Tensor  # scalar, float32, nats per pair


def pretraining_losses(
    net: BERTModel,
    batch: Batch,
    dtype: torch.dtype = torch.float32,
    sample: Sample | None = None,
) -> Losses:
    """MLM loss over the real prediction slots, and NSP loss.

    d2l averages over all slots, also the unused ones, which are learned at once: what it prints is
    too low. Here an unused slot is not even decoded.

    Args:
        net: The network.
        batch: Examples, on the network's device.
        dtype: torch.bfloat16 for matrix products in half precision, torch.float32 for plain ones.
        sample: The words to decode; None for all. With a sample the MLM loss tells the right word
            from its words only, so it is lower.
    """
    half = dtype == torch.bfloat16
    with torch.autocast(batch.token_ids.device.type, dtype=torch.bfloat16, enabled=half):
        features, nsp_logits, labels = read_out(net, batch)
    weight, bias = net.word_vectors, net.mlm.bias
    if sample is not None:
        words, log_chance = sample
        labels = torch.searchsorted(words, labels)
        # A word that is seldom drawn stands for others like it.
        weight, bias = weight[words], bias[words] - log_chance
    mlm = LinearCrossEntropy.apply(features, weight, bias, labels, dtype)
    return Losses(mlm, F.cross_entropy(nsp_logits.float(), batch.nsp_labels))
