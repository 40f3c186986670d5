"""Written for speed: dropout and loss, each beside its plain twin, and a sampled softmax.

Shapes: N prediction slots, D hidden units, V vocabulary.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Dropout(nn.Module):
    """Zero some of the values while training, from 0 to below 1, and scale up the others.

    `nn.Dropout`, the plain twin, draws a number for each value. Here, on a CPU, one drawn 64-bit
    number serves eight values, a byte each, and the rate is rounded to a multiple of 1/256.
    """

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Any shape and format, and the same after."""
        if not self.training or self.rate == 0:
            return x
        if x.device.type != "cpu" or torch.compiler.is_compiling():
            return F.dropout(x, self.rate)
        dropped = min(255, round(self.rate * 256))
        numbers = torch.empty((x.numel() + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
        drawn = numbers.view(torch.uint8)[: x.numel()].view(x.shape)
        keep = torch.ge(drawn, dropped, out=torch.empty_like(x))  # 0 or 1, in x's format
        return x * keep.mul_(256 / (256 - dropped))


def plain_linear_cross_entropy(
    features: Tensor, weight: Tensor, bias: Tensor, labels: Tensor
) -> Tensor:
    """Mean cross-entropy in nats: features (N, D), weight (V, D), bias (V,), right labels (N,)."""
    return F.cross_entropy(F.linear(features, weight, bias), labels)


class LinearCrossEntropy(torch.autograd.Function):
    """The same loss, which walks the (N, V) logits as seldom as it can.

    The gradient of cross-entropy is softmax minus one-hot: known as soon as the loss is. So both
    are computed together, for some rows at a time, in one block of memory. Autograd would keep (N,
    V) numbers and walk them again and again.

    The block holds only exp(features @ weight.T). What softmax multiplies (exp(bias)) and divides
    (each row's sum) is done to the smaller matrices that the block is multiplied with; columns of
    ones there give the sums. We skip subtracting each row's largest logit: above 89 the loss
    becomes infinite and training stops, but features are normalised, and logits stay far below.
    """

    CHUNK = 1024  # rows
    ONES = 16  # columns; one would do, but products of odd sizes are slower

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, weight: Tensor, bias: Tensor, labels: Tensor, dtype: torch.dtype
    ) -> Tensor:
        """The mean loss; arguments as above, products in the format `dtype`."""
        chunk, ones, (N, D) = LinearCrossEntropy.CHUNK, LinearCrossEntropy.ONES, features.shape
        narrow_features, narrow_weight = features.to(dtype), weight.to(dtype)
        prior = bias.exp()[:, None]
        features_and_ones = F.pad(narrow_features, (0, ones), value=1.0)
        weight_and_ones = F.pad(narrow_weight, (0, ones), value=1.0) * prior.to(dtype)
        loss = torch.zeros((), device=features.device)
        grad_features = torch.empty_like(features, dtype=torch.float32)
        grad_weight_and_bias = torch.zeros_like(weight_and_ones, dtype=torch.float32)
        block = torch.empty(min(chunk, N), len(weight), dtype=dtype, device=features.device)
        for start in range(0, N, chunk):
            rows = slice(start, start + chunk)
            out = block[: len(labels[rows])]
            exp = torch.mm(narrow_features[rows], narrow_weight.T, out=out).exp_()
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
        grad_weight.index_add_(0, labels, features.float(), alpha=-1)
        grad_bias.index_add_(0, labels, torch.ones_like(labels, dtype=torch.float32), alpha=-1)
        ctx.save_for_backward(grad_features, grad_weight, grad_bias)
        ctx.num_rows, ctx.dtype = N, features.dtype
        return loss / N

    @staticmethod
    def backward(ctx: Any, grad_loss: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of features, weight and bias; none of labels and dtype."""
        scale = grad_loss / ctx.num_rows
        grad_features, grad_weight, grad_bias = ctx.saved_tensors
        grad_features = (grad_features * scale).to(ctx.dtype)
        return grad_features, grad_weight * scale, grad_bias * scale, None, None


class Sample(NamedTuple):
    """The words of one step."""

    words: Tensor  # (C,), ids that rise
    log_chance: Tensor  # (C,), logarithm of how likely it is that each is among them


class WordSampler:
    """Draws words to decode, `num_words` in the mean; the batch's own come on top.

    `counts`, (V,), says how often each word stands in the training text.
    """

    def __init__(self, counts: Sequence[int], num_words: int):
        frequency = torch.tensor(counts, dtype=torch.float64) + 1
        self.frequency = frequency / frequency.sum()
        low, high = 0.0, 60.0  # logarithms of how many places of a text to draw
        for _ in range(60):
            middle = (low + high) / 2
            places = torch.tensor(middle, dtype=torch.float64).exp()
            # How likely each word stands at one of so many random places.
            chance = -torch.expm1(-self.frequency * places)
            low, high = (middle, high) if chance.sum() < num_words else (low, middle)
        self.num_places = float(torch.tensor(high, dtype=torch.float64).exp())

    def draw(self, labels: Tensor, seed: int) -> Sample:
        """Draw words; `labels`, (N,), those to predict in the step, are always among them."""
        frequency = self.frequency.float()
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.rand(frequency.shape, generator=generator)
        is_chosen = drawn < -torch.expm1(-frequency * self.num_places)
        is_chosen[labels.cpu()] = True
        words = is_chosen.nonzero()[:, 0]
        # A word is among them as a drawn one, or as one of N labels.
        chance = -torch.expm1(-frequency[words] * (self.num_places + len(labels)))
        return Sample(words.to(labels.device), chance.log().to(labels.device))
