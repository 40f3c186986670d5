"""The two pretraining losses, their held-out values, and the yardsticks to read them by.

All losses are in nats: natural logarithms, per predicted token for the masked language model (MLM), per sentence pair for
next-sentence prediction (NSP).

Shapes: B sentence pairs, P prediction slots, N real slots of a batch, D hidden units, V vocabulary.
"""

import math
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .examples import Batch, PretrainingExamples
from .model import BERTModel, in_mode
from .vocabulary import Vocab

MICRO_BATCH = 512  # sentence pairs that go through the network together, see training.accumulate_gradients


def plain_linear_cross_entropy(features: Tensor, weight: Tensor, bias: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of `features @ weight.T + bias`, as one would write it; `LinearCrossEntropy` is its fast twin."""
    return F.cross_entropy(F.linear(features, weight, bias), labels)


class LinearCrossEntropy(torch.autograd.Function):
    """The same loss, which walks the (N, V) logits as seldom as it can.

    The gradient of cross-entropy is softmax minus one-hot: known as soon as the loss is. So both are computed together, for
    some rows at a time, in one block of memory, where autograd would keep (N, V) numbers and walk them again and again.

    The block holds exp(features @ weight.T) and nothing else. What softmax would do to it, multiply a column by exp(bias) and
    divide a row by its sum, is done to the smaller matrices that it is multiplied with; and sums over the block come out of
    the same products, from columns of ones. Softmax would also subtract each row's largest logit lest exp overflows, which
    it does from 89 on; features are normalised, and logits stay far below. Beyond, the loss is infinite, and training says so.
    """

    CHUNK = 1024
    ONES = 16  # columns; one would do, but products of odd sizes are slower

    @staticmethod
    def forward(ctx, features, weight, bias, labels, dtype):
        """features (N, D), weight (V, D), bias (V,), labels (N,); products are computed in `dtype`. Returns the mean loss."""
        ones, (N, D) = LinearCrossEntropy.ONES, features.shape
        narrow_features, narrow_weight, prior = features.to(dtype), weight.to(dtype), bias.exp()[:, None]
        features_and_ones = F.pad(narrow_features, (0, ones), value=1.0)
        weight_and_ones = F.pad(narrow_weight, (0, ones), value=1.0) * prior.to(dtype)
        loss = torch.zeros((), device=features.device)
        grad_features = torch.empty_like(features, dtype=torch.float32)
        grad_weight_and_bias = torch.zeros_like(weight_and_ones, dtype=torch.float32)
        block = torch.empty(min(LinearCrossEntropy.CHUNK, N), len(weight), dtype=dtype, device=features.device)
        for start in range(0, N, LinearCrossEntropy.CHUNK):
            rows = slice(start, start + LinearCrossEntropy.CHUNK)
            exp = torch.mm(narrow_features[rows], narrow_weight.T, out=block[: len(labels[rows])]).exp_()
            mean_and_total = (exp @ weight_and_ones).float()
            total = mean_and_total[:, -1:]  # the denominators of softmax
            loss += total.log().sum()
            grad_features[rows] = mean_and_total[:, :D] / total
            grad_weight_and_bias += exp.T @ (features_and_ones[rows] / total).to(dtype)
        grad_weight_and_bias *= prior
        grad_weight, grad_bias = grad_weight_and_bias[:, :D], grad_weight_and_bias[:, -1]
        # So far the softmax; now minus one-hot.
        of_label = weight[labels]
        loss -= (features * of_label).sum() + bias[labels].sum()
        grad_features -= of_label
        grad_weight.index_add_(0, labels, features.to(weight.dtype), alpha=-1)
        grad_bias.index_add_(0, labels, torch.ones_like(labels, dtype=bias.dtype), alpha=-1)
        ctx.save_for_backward(grad_features, grad_weight, grad_bias)
        ctx.num_rows, ctx.dtype = N, features.dtype
        return loss / N

    @staticmethod
    def backward(ctx, grad_loss):
        scale = grad_loss / ctx.num_rows
        grad_features, grad_weight, grad_bias = ctx.saved_tensors
        return (grad_features * scale).to(ctx.dtype), grad_weight * scale, grad_bias * scale, None, None


def read_out(net: BERTModel, batch: Batch) -> tuple[Tensor, Tensor]:
    """What the losses need of a batch: features (N, D) of the real slots, and next-sentence logits (B, 2).

    The last layer computes only the vectors that are read here: those of the slots and, at position 0, of `<cls>`.
    """
    positions = F.pad(batch.pred_positions, (1, 0), value=0)
    encoded = net.encoder(batch.token_ids, batch.segments, batch.valid_lens, positions)  # (B, 1 + P, D)
    return net.mlm.features(encoded[:, 1:][batch.mlm_weights.bool()]), net.nsp(encoded[:, 0])


def pretraining_losses(net: BERTModel, batch: Batch, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """MLM loss over the real prediction slots, and NSP loss; pretraining minimises their sum.

    The document averages over all slots, also the unused ones, which are learned at once: what it prints is too low. Here an
    unused slot is not even decoded.

    Args:
        net: The network.
        batch: Examples, on the network's device.
        dtype: torch.bfloat16 for matrix products in half precision, torch.float32 for plain ones.

    Returns:
        `mlm_loss` and `nsp_loss`, scalars, float32.
    """
    with torch.autocast(batch.token_ids.device.type, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
        features, nsp_logits = read_out(net, batch)
    labels = batch.mlm_labels[batch.mlm_weights.bool()]
    mlm_loss = LinearCrossEntropy.apply(features, net.mlm.weight, net.mlm.bias, labels, dtype)
    return mlm_loss, F.cross_entropy(nsp_logits.float(), batch.nsp_labels)


class Evaluation(NamedTuple):
    """How well held-out text is predicted: losses in nats, accuracies from 0 to 1."""

    mlm_loss: float
    mlm_accuracy: float
    nsp_loss: float
    nsp_accuracy: float

    def __str__(self):
        return (
            f"MLM loss {self.mlm_loss:.3f} ({self.mlm_accuracy:.1%} of masked words right), "
            f"NSP loss {self.nsp_loss:.3f} ({self.nsp_accuracy:.1%} right)"
        )


@torch.no_grad()
def evaluate(net: BERTModel, examples: PretrainingExamples, num_batches: int | None = None) -> Evaluation:
    """Losses and accuracies on held-out examples, dropout off, in full precision; the network's mode is restored.

    Args:
        net: The network.
        examples: Held-out examples, `train_iter.valid`.
        num_batches: How many batches to look at; None for all.
    """
    device = next(net.parameters()).device
    totals = torch.zeros(4, dtype=torch.float64)
    num_tokens = num_pairs = 0
    with in_mode(net, training=False):
        some = range(min(num_batches or len(examples), len(examples)))
        for batch in chain.from_iterable(
            examples.batch(0, index).trim().to(device).split(MICRO_BATCH) for index in some
        ):
            features, nsp_logits = read_out(net, batch)
            labels = batch.mlm_labels[batch.mlm_weights.bool()]
            logits = F.linear(features, net.mlm.weight, net.mlm.bias)
            totals[0] += F.cross_entropy(logits, labels, reduction="sum").item()
            totals[1] += (logits.argmax(1) == labels).sum().item()
            totals[2] += F.cross_entropy(nsp_logits, batch.nsp_labels, reduction="sum").item()
            totals[3] += (nsp_logits.argmax(1) == batch.nsp_labels).sum().item()
            num_tokens += len(labels)
            num_pairs += len(batch.nsp_labels)
    mlm, nsp = totals[:2] / num_tokens, totals[2:] / num_pairs
    return Evaluation(*mlm.tolist(), *nsp.tolist())


class Yardsticks(NamedTuple):
    """Losses, in nats, of predictors that know nothing of context; a network has learned when it is below them."""

    uniform: float  # every token of the vocabulary equally likely
    unigram: float  # every token as likely as it is frequent in the training text
    unigram_accuracy: float  # always the most frequent token
    nsp: float  # a coin: ln 2

    def __str__(self):
        return (
            f"uniform {self.uniform:.3f}, word frequencies {self.unigram:.3f} ({self.unigram_accuracy:.1%} right), "
            f"NSP {self.nsp:.3f}"
        )


def yardsticks(vocab: Vocab, examples: PretrainingExamples) -> Yardsticks:
    """The yardsticks, measured on the same masked tokens of the same held-out examples that `evaluate` sees."""
    counts = torch.tensor(vocab.counts, dtype=torch.float64) + 1  # one more each, so that no token is impossible
    log_probability = counts.log() - counts.sum().log()
    labels = [
        batch.mlm_labels[batch.mlm_weights.bool()] for batch in (examples.batch(0, i) for i in range(len(examples)))
    ]
    labels = torch.cat(labels)
    return Yardsticks(
        uniform=math.log(len(vocab)),
        unigram=-log_probability[labels].mean().item(),
        unigram_accuracy=(labels == counts.argmax()).double().mean().item(),
        nsp=math.log(2),
    )
