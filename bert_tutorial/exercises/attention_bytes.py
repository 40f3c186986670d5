"""Exercise 2: how much memory do the attention weights take, and how does it grow with the length?

Shapes: B rows, H heads, L positions.
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
    return draw[0], draw[1], draw[2] + 1, draw[3]


CHECK_BYTES = Check(bytes_by_definition, some_sizes, right_bytes).tell_apart(
    "As it was: it grows with the length. But each position looks at each position.",
    lambda rows, heads, length, layers: 4 * rows * heads * length * layers,
    "These are numbers, not bytes: one of 32 bits takes 4 bytes.",
    lambda rows, heads, length, layers: rows * heads * length**2 * layers,
    "These are bits: a byte has 8.",
    lambda rows, heads, length, layers: 32 * rows * heads * length**2 * layers,
    "One layer is not enough: for the way back each layer's weights are kept.",
    lambda rows, heads, length, layers: 4 * rows * heads * length**2,
    "Each head has weights of its own: the heads are missing.",
    lambda rows, heads, length, layers: 4 * rows * length**2 * layers,
)
