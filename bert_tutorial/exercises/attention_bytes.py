"""Exercise 2: how much memory do the attention weights take, and how does it grow with the length?

Shapes: B rows, H heads, L positions, N layers.
"""

import torch

from .check import Check


def right_bytes(batch_size: int, num_heads: int, length: int, num_layers: int) -> int:
    """Each position looks at each position, in each head of each layer: 4 bytes each time."""
    return 4 * batch_size * num_heads * length**2 * num_layers


def bytes_by_definition(batch_size: int, num_heads: int, length: int, num_layers: int) -> int:
    """Make the weights of every layer, and add up how large they are."""
    layers = [torch.zeros(batch_size, num_heads, length, length) for _ in range(num_layers)]
    return sum(weights.nbytes for weights in layers)


def some_sizes(size: int, generator: torch.Generator) -> tuple[int, ...]:
    """Batch size, heads, length and layers, small ones first."""
    draw = torch.randint(1, 3 + size, (4,), generator=generator).tolist()
    return draw[0] * (1 + size**2 // 2), draw[1], draw[2] + 1, draw[3]


CHECK_BYTES = Check(bytes_by_definition, some_sizes, right_bytes).tell_apart(
    "As it was: it grows with the length. But each position looks at each position.",
    lambda B, H, L, N: 4 * B * H * L * N,
    "These are numbers, not bytes: one of 32 bits takes 4 bytes.",
    lambda B, H, L, N: B * H * L**2 * N,
    "These are bits: a byte has 8.",
    lambda B, H, L, N: 32 * B * H * L**2 * N,
    "One layer is not enough: for the backward pass each layer's weights are kept.",
    lambda B, H, L, N: 4 * B * H * L**2,
    "Each head has weights of its own: the heads are missing.",
    lambda B, H, L, N: 4 * B * L**2 * N,
)
