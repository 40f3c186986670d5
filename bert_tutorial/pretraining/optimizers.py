"""The optimizers: Muon for the matrices inside the network, AdamW for all the rest.

AdamW takes a matrix for so many separate numbers, and changes each by about the same. But the
gradient of a matrix is also a sum of directions. Muon gives all of them the same strength, and
learns the same in fewer steps (`benchmarks/README.md`).

Sources: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"; Loshchilov
and Hutter 2019 (AdamW).
"""

import math
from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ..network.model import BERTModel
from .run import Settings

OUTPUTS = {"nsp.output", "classifier"}  # linear layers that give scores


def orthogonalize(matrices: Tensor) -> Tensor:
    """Bring the singular values of matrices (..., n, m) near 1, and keep their singular vectors.

    With X = U S V', the polynomial aX + b(XX')X + c(XX')(XX')X is U (aS + bS³ + cS⁵) V'. It changes
    the singular values only, and needs no decomposition. With these coefficients, Jordan's, five
    rounds bring all values from 0.002 to 1 to 0.7 to 1.2.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    is_tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if is_tall else matrices  # so that X X' is the smaller product
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)  # no singular value is above 1
    for _ in range(5):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if is_tall else x


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised: a step changes a matrix equally far along each of its directions.

    The change is scaled so that its numbers are about half of `lr` in size, whatever the shape. So
    AdamW's learning rate fits. `torch.optim.Muon` always computes in bf16, which takes long on
    processors that do not have it.
    """

    def __init__(self, matrices: Iterable[Tensor], lr: float, weight_decay: float = 0.0):
        super().__init__(matrices, dict(lr=lr, momentum=0.95, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self) -> None:
        """Change every matrix that has a gradient."""
        for group in self.param_groups:
            lr, momentum = group["lr"], group["momentum"]
            # Of one shape: a few large products are faster than many small ones.
            alike = defaultdict(list)
            for p in group["params"]:
                if p.grad is not None:
                    alike[p.shape].append(p)
            for shape, matrices in alike.items():
                ahead = []
                for p in matrices:
                    if not self.state[p]:
                        self.state[p]["average"] = torch.zeros_like(p)
                    average = self.state[p]["average"].lerp_(p.grad, 1 - momentum)
                    ahead.append(p.grad.lerp(average, momentum))  # Nesterov's momentum
                changes = orthogonalize(torch.stack(ahead))
                for p, change in zip(matrices, changes, strict=True):
                    p.mul_(1 - lr * group["weight_decay"])
                    p.sub_(change, alpha=0.5 * lr * math.sqrt(max(shape)))


def make_optimizers(net: BERTModel, settings: Settings) -> list[torch.optim.Optimizer]:
    """Muon and AdamW, which share the parameters of a network among them; or one for all.

    Muon has the matrices that turn vectors into vectors, AdamW all else. Matrices decay, biases and
    normalisation scales do not. Or AdamW has all, or d2l's Adam.
    """
    if settings.optimizer == "adam":
        return [torch.optim.Adam(net.parameters(), settings.learning_rate)]
    linear = {name: m.weight for name, m in net.named_modules() if isinstance(m, nn.Linear)}
    inside = [matrix for name, matrix in linear.items() if name not in OUTPUTS]
    inside = [] if settings.optimizer == "adamw" else inside
    others = [p for p in net.parameters() if not any(p is matrix for matrix in inside)]
    words, rate, decay = net.word_vectors, settings.learning_rate, settings.weight_decay
    tables = [p for p in others if p.dim() >= 2 and p is not words]
    groups = [
        {"params": [words], "weight_decay": decay, "factor": settings.embedding_rate},
        {"params": tables, "weight_decay": decay},
        {"params": [p for p in others if p.dim() < 2], "weight_decay": 0.0},
    ]
    adamw = torch.optim.AdamW(groups, rate, fused=True)
    return [Muon(inside, rate, decay), adamw] if inside else [adamw]


def state_of(net: BERTModel, optimizers: list[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """All that training needs to go on: weights, and what the optimizers remember."""
    tensors = {f"net.0.{name}": value for name, value in net.state_dict().items()}
    for number, optimizer in enumerate(optimizers):
        for p, state in optimizer.state_dict()["state"].items():
            tensors |= {f"{number}.{p}.{name}": value for name, value in state.items()}
    return {name: value.detach().contiguous() for name, value in tensors.items()}


def restore(
    net: BERTModel, optimizers: list[torch.optim.Optimizer], tensors: dict[str, Tensor]
) -> None:
    """Bring a network and its optimizers into the state that `state_of` has given."""
    states: dict = defaultdict(lambda: defaultdict(dict))
    for key, value in tensors.items():
        part, p, name = key.split(".", 2)
        states[part][int(p)][name] = value
    net.load_state_dict(states["net"][0])
    for number, optimizer in enumerate(optimizers):
        optimizer.load_state_dict(optimizer.state_dict() | {"state": states[str(number)]})
