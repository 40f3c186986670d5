"""What one training step takes of memory, by formula.

PyTorch keeps of every operation what its gradient needs, until backward has passed it. So the code
of `encoder.py` and `losses.py` says how many numbers are kept. (The tests count the tensors of a
step that has shapes and no contents. It gives the same, but takes too long for a slider, and on a
computer without a GPU it cannot count for one.)

Shapes: B rows that go through the network together, L positions, Q query positions, D =
num_hiddens, F = ffn_num_hiddens, H heads, V = vocab_size, N layers. All sizes are in bytes.
"""

from types import SimpleNamespace
from typing import NamedTuple

import torch

from ..network.config import BERTConfig
from ..network.fast import LinearCrossEntropy
from ..network.losses import rows_at_once

FLOAT = 4  # bytes of a float32
GIB = 2**30


def told_bytes(size: float) -> str:
    """A size as one says it.

    >>> told_bytes(3_500_000), told_bytes(440_000_000), told_bytes(5 * 2**30)
    ('3.3 MiB', '420 MiB', '5.0 GiB')
    """
    if size < GIB:
        return f"{size / 2**20:.1f} MiB" if size < 10 * 2**20 else f"{size / 2**20:.0f} MiB"
    return f"{size / GIB:.1f} GiB" if size < 100 * GIB else f"{size / GIB:,.0f} GiB"


class Memory(NamedTuple):
    """Bytes at the fullest moment of a training step.

    What is freed in time for something else counts once. So the gradients are fewer than the
    parameters where a batch goes through in one part: a layer's gradients take the place of its
    activations. And the optimizer's step may need more than its averages.
    """

    parameters: int
    gradients: int
    optimizer: int  # its averages, and what its step computes with
    activations: int  # what backward needs of forward
    logits: int  # the last product with the table of tokens, and the table's own gradient
    quadratic: int  # the part of the activations that grows with the square of the length

    @property
    def total(self) -> int:
        """The sum of all parts."""
        return sum(self.parts().values())

    def parts(self) -> dict[str, int]:
        """What adds up to the total, by name; `quadratic` is in the activations."""
        return dict(zip(self._fields, self[:5], strict=False))

    def __str__(self):
        parts = ", ".join(f"{name} {told_bytes(size)}" for name, size in self.parts().items())
        square = f"of the activations {told_bytes(self.quadratic)} grow with the length squared"
        return f"{told_bytes(self.total)}: {parts}; {square}"


def count_parameters(config: BERTConfig) -> int:
    """How many numbers a network learns, without building it."""
    D, V = config.num_hiddens, config.vocab_size
    heads = 2 * D * D + 6 * D + 2 + V
    return (V + 2 + config.max_len + 2) * D + config.num_layers * per_layer(config) + heads


def per_layer(config: BERTConfig) -> int:
    """Numbers that a layer learns: matrices; biases and scales of the normalisation."""
    D, F = config.num_hiddens, config.ffn_num_hiddens
    return 4 * D * D + 2 * D * F + 9 * D + F


def slots_of(length: int) -> int:
    """Words to predict in a row: 15 %, as in BERT."""
    return max(1, round(0.15 * length))


def memory_of(
    config: BERTConfig,
    batch_size: int,
    length: int | None = None,
    *,
    slots: int | None = None,
    rows: int | None = None,
    precision: str = "fp32",
    optimizer: str = "muon",
    checkpointing: bool = False,
    sampled_words: int = 0,
    device: str = "cpu",
) -> Memory:
    """What one training step takes, if the optimizers have their averages from the first.

    Args:
        config: Sizes of the network.
        batch_size: Sentence pairs in a step.
        length: L; the config's max_len if None.
        slots: Words to predict in a row; 15 % of the length if None.
        rows: Sentence pairs that go through the network together; what `rows_at_once` says if None.
        precision: "fp32" or "bf16".
        optimizer: "muon" (and AdamW), or "adam".
        checkpointing: See `BERTEncoder`.
        sampled_words: See `Settings`.
        device: "cpu" or "cuda".

    Raises:
        ValueError: A size or a name that cannot be.
    """
    length = config.max_len if length is None else length
    slots = slots_of(length) if slots is None else slots
    if rows is None:
        rows = rows_at_once(config, torch.device(device))
    for name, value in dict(batch_size=batch_size, length=length, slots=slots, rows=rows).items():
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} is {value!r}, but must be a whole number of at least 1")
    if precision not in ("fp32", "bf16"):
        raise ValueError(f"precision is {precision!r}, but must be 'fp32' or 'bf16'")
    if optimizer not in ("muon", "adam"):
        raise ValueError(f"optimizer is {optimizer!r}, but must be 'muon' or 'adam'")
    rows, D, V, N = min(batch_size, rows), config.num_hiddens, config.vocab_size, config.num_layers
    # Bytes of a number: of what matrix products read and give; of what goes from layer to layer and
    # of attention weights (on a GPU always float32); of a dropout mask.
    narrow = 2 if precision == "bf16" else FLOAT
    wide, mask = (narrow, narrow) if device == "cpu" else (FLOAT, 1)
    mask *= config.dropout > 0

    parameters = FLOAT * count_parameters(config)
    begun = parameters if batch_size > rows else 0  # gradients that an earlier part left
    words, vectors = rows * slots, rows * length * D
    kept, square, extra = of_layer(config, rows, length, length, narrow, wide, mask)
    last_kept, last_square, last_extra = of_layer(
        config, rows, length, slots + 1, narrow, wide, mask
    )
    if checkpointing:
        full = kept + square + extra if N > 1 else last_kept + last_square + last_extra
        of_layers, back = N * wide * vectors, max(full - wide * vectors, 0)
        if not begun:  # backward frees what a layer has kept, and makes its weights' gradients
            back += (N - 1) * max(0, FLOAT * per_layer(config) - wide * vectors)
        squares = 0
    else:
        squares = (N - 1) * square + last_square
        of_layers, back = (N - 1) * kept + last_kept + squares, extra - last_kept - last_square
    # Beside the layers: the embeddings, and the head's layers.
    forward = of_layers + (wide + mask) * vectors + 5 * words * D * narrow
    decoded = min(V, sampled_words + words) if sampled_words else V
    logits = of_loss(D, decoded, words, narrow, device)
    # Two moments: in the loss; and backward in a layer, with the table's gradient.
    activations = max(forward, forward + back + FLOAT * V * D - logits)
    if checkpointing and activations > forward:
        squares = square if N > 1 else last_square
    # A third: the optimizer's step, when all gradients are there and nothing else.
    averages, scratch = of_optimizer(config, optimizer, device)
    beyond = scratch - activations - logits
    gradients = max(begun, parameters + min(0, beyond))
    return Memory(parameters, gradients, averages + max(0, beyond), activations, logits, squares)


def of_layer(
    config: BERTConfig, rows: int, L: int, Q: int, narrow: int, wide: int, mask: int
) -> tuple[int, int, int]:
    """What `EncoderBlock.forward` keeps, for attention weights too, and what backward adds."""
    D, F = config.num_hiddens, config.ffn_num_hiddens
    vectors, queries, inner = rows * L * D, rows * Q * D, rows * Q * F  # numbers
    weights = rows * config.num_heads * Q * L
    are_cast = narrow != wide  # the products read copies
    around = queries * (mask + wide)  # dropout, and the input of a normalisation
    # Inputs of query and key_value (one tensor); q, k, v; the input of output.
    attention = narrow * (3 * vectors + (3 if are_cast else 2) * queries) + around
    ffn = narrow * (queries + 2 * inner) + around  # inputs of expand, gelu, contract
    matrices = narrow * (4 * D * D + 2 * D * F) if narrow < FLOAT else 0  # as the products read it
    # softmax, dropout, and what is multiplied with v
    square = weights * (wide + mask + (narrow if mask or are_cast else 0))
    # Backward: gradients in the feed-forward network; then, when its inputs are freed, of weights.
    in_ffn = narrow * inner + 2 * wide * queries - (around if narrow == FLOAT else 0)
    in_attention = weights * (narrow if mask else 2 * wide) + 4 * wide * queries - ffn
    return attention + ffn + matrices, square, max(in_ffn, in_attention, 0)


def of_loss(D: int, V: int, words: int, narrow: int, device: str) -> int:
    """What `LinearCrossEntropy.forward` computes with, for so many words to predict."""
    numbers = FLOAT + 2 * narrow  # the table's gradient, the table with ones, a product as large
    if narrow < FLOAT:  # the table as the products read it; what is added to the gradient
        numbers += narrow + (FLOAT if device == "cpu" else 0)
    block = min(LinearCrossEntropy.CHUNK, words) * V * narrow
    return block + numbers * V * (D + LinearCrossEntropy.ONES) + words * D * (2 * FLOAT + narrow)


def of_optimizer(config: BERTConfig, optimizer: str, device: str) -> tuple[int, int]:
    """What an optimizer keeps, and what its step computes with."""
    parameters, table = count_parameters(config), config.vocab_size * config.num_hiddens
    if optimizer == "adam":
        return 2 * FLOAT * parameters, FLOAT * (2 * table if device == "cpu" else parameters)
    D, F, N = config.num_hiddens, config.ffn_num_hiddens, config.num_layers
    alike = {(D, D): 2 * N + 2, (2 * D, D): N}  # Muon takes matrices of one shape together
    alike |= {(F, D): N + alike.get((F, D), 0)}
    alike |= {(D, F): N + alike.get((D, F), 0)}
    inside = sum(number * n * m for (n, m), number in alike.items())
    stack = max(number * (7 * n * m + min(n, m) ** 2) for (n, m), number in alike.items())
    return FLOAT * (2 * parameters - inside), FLOAT * stack  # Muon keeps one average, AdamW two
