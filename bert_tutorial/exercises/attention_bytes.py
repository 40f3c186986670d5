"""Exercise 2: how much memory do the attention weights take, and how does it grow with the length?

Shapes: B rows, H heads, L positions.
"""

import torch

from .check import Specification, make_check


def bytes_as_it_was(batch_size: int, num_heads: int, length: int, num_layers: int) -> int:
    """One number a position and head: that grows with L, not with its square."""
    return 4 * batch_size * num_heads * length * num_layers


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


BYTES_MISSES = {
    "As it was: it grows with the length. But each position looks at each position.": (
        bytes_as_it_was
    ),
    "These are numbers, not bytes: one of 32 bits takes 4 bytes.": (
        lambda batch_size, num_heads, length, num_layers: (
            batch_size * num_heads * length**2 * num_layers
        )
    ),
    "These are bits: a byte has 8.": (
        lambda batch_size, num_heads, length, num_layers: (
            32 * batch_size * num_heads * length**2 * num_layers
        )
    ),
    "One layer is not enough: for the way back each layer's weights are kept.": (
        lambda batch_size, num_heads, length, num_layers: 4 * batch_size * num_heads * length**2
    ),
    "Each head has weights of its own: the heads are missing.": (
        lambda batch_size, num_heads, length, num_layers: 4 * batch_size * length**2 * num_layers
    ),
}
CHECK_BYTES = make_check(
    Specification(reference=bytes_by_definition, inputs=some_sizes), right_bytes, BYTES_MISSES
)
