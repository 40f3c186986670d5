"""What one training step takes of memory, by formula.

PyTorch keeps of every operation what its gradient needs, until the way back has passed it. So the
code of `encoder.py` and `losses.py` says how many numbers are kept: each term below stands beside
the operation that keeps it. `exercises/one_step.py` measures the same.

Shapes: B rows that go through the network together, L positions, Q query positions, P prediction
slots of a row, D = num_hiddens, F = ffn_num_hiddens, H heads, V = vocab_size. All sizes are in
bytes.
"""

from collections import Counter
from types import SimpleNamespace
from typing import NamedTuple

import torch

from ..network.config import BERTConfig
from ..network.fast import LinearCrossEntropy
from ..network.losses import rows_at_once
from ..network.model import BERTModel

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
    """Bytes at the fullest moment of a training step; `total` is their sum.

    What is freed in time for something else counts once. So the gradients are fewer than the
    parameters where a batch goes through in one part: a layer's gradients take the place of its
    activations. And the optimizer's step may need more than its averages.
    """

    parameters: int
    gradients: int
    optimizer: int  # its averages, and what its step computes with
    activations: int  # what the way back needs of the way there
    logits: int  # the last product with the table of tokens, and the table's own gradient
    quadratic: int = 0  # the part of the activations that grows with the square of the length

    @property
    def total(self) -> int:
        """All of it; `quadratic` is a part of the activations already."""
        return sum(self[:5])

    def __str__(self):
        parts = ", ".join(f"{name} {told_bytes(size)}" for name, size in self.parts().items())
        square = f"of the activations {told_bytes(self.quadratic)} grow with the length squared"
        return f"{told_bytes(self.total)}: {parts}; {square}"

    def parts(self) -> dict[str, int]:
        """What adds up to the total, by name."""
        return dict(zip(self._fields, self[:5], strict=False))


class Sizes(NamedTuple):
    """What of a network its optimizers depend on, in numbers (not bytes)."""

    parameters: int
    inside: int  # those of the matrices that Muon has
    table: int  # V x D
    stacked: int  # those of most matrices of one shape
    squares: int  # those of the squares of as many


def sizes_of(config: BERTConfig) -> Sizes:
    """Count a network's parameters without building it, layer by layer."""
    D, F, V = config.num_hiddens, config.ffn_num_hiddens, config.vocab_size
    matrices = Counter({(D, D): 2})  # MaskLM.transform, NextSentencePred.hidden
    for shape, number in (((D, D), 2), ((2 * D, D), 1), ((F, D), 1), ((D, F), 1)):
        matrices[shape] += number * config.num_layers
    inside = sum(count * n * m for (n, m), count in matrices.items())
    in_layers = config.num_layers * (9 * D + F)  # biases, scales of the normalisation
    ends = V * D + V + (config.max_len + 2) * D + 2 * D  # embeddings; output bias
    heads = 4 * D + 2 * D + 2  # biases and a normalisation; next-sentence logits
    stacked, squares = max((c * n * m, c * min(n, m) ** 2) for (n, m), c in matrices.items())
    return Sizes(inside + in_layers + ends + heads, inside, V * D, stacked, squares)


def count_parameters(config: BERTConfig) -> int:
    """The same number by building the network where nothing is stored: on the meta device."""
    with torch.device("meta"):
        return sum(p.numel() for p in BERTModel.from_config(config).parameters())


def slots_of(length: int) -> int:
    """P of a row: 15 % of its words, as in BERT."""
    return max(1, round(0.15 * length))


class Format(NamedTuple):
    """Bytes of one number."""

    narrow: int  # of what matrix products read and give
    wide: int  # of attention weights, and of what goes from layer to layer
    mask: int  # of a dropout mask

    @classmethod
    def of(cls, precision: str, device: str) -> "Format":
        """That of "bf16" or "fp32" on "cpu" or "cuda".

        On a GPU autocast computes softmax and normalisation in float32, and F.dropout keeps bytes.
        """
        narrow = 2 if precision == "bf16" else FLOAT
        return cls(narrow, narrow, narrow) if device == "cpu" else cls(narrow, FLOAT, 1)


class Kept(NamedTuple):
    """What one layer keeps for the way back."""

    rest: int  # grows with the number of positions
    ffn: int  # the part of it that the feed-forward network keeps
    quadratic: int  # attention weights: grows with positions times query positions
    extra: int  # what the way back of the layer computes besides


def kept_by_layer(config: BERTConfig, rows: int, length: int, queries: int, form: Format) -> Kept:
    """What `EncoderBlock.forward` keeps.

    Args:
        config: D, F, H and the dropout.
        rows, length, queries: B, L, Q.
        form: Bytes of a number.
    """
    D, F = config.num_hiddens, config.ffn_num_hiddens
    all_, some = rows * length * D, rows * queries * D  # numbers in x, and in queries
    narrow, wide, mask = form if config.dropout else form._replace(mask=0)
    is_cast = narrow != wide  # the products then read copies
    has_own = queries < length  # the last layer: its queries are a tensor of their own
    # query, key_value: their inputs; and q, k and v.
    rest = all_ * 3 * narrow + some * narrow * (2 if has_own or is_cast else 1)
    rest += some * narrow  # output: its input
    rest += some * (mask + wide)  # dropout; attention_norm: its input
    ffn = some * narrow + 2 * rows * queries * F * narrow  # inputs of expand, gelu, contract
    ffn += some * (mask + wide)  # dropout; ffn_norm: its input
    rest += 4 * rows * queries * FLOAT  # mean and scale of each normalised vector
    if narrow < FLOAT:
        rest += narrow * (4 * D * D + 2 * D * F)  # the matrices, as the products read them
    scores = config.num_heads * rows * queries * length
    quadratic = scores * (wide + (narrow if mask or is_cast else 0) + mask)  # softmax, dropout, @ v
    # The way back, in the feed-forward network: gradients of one inner vector and of two outer.
    in_ffn = rows * queries * F * narrow + 2 * some * wide
    in_ffn -= some * (mask + wide) if narrow == FLOAT else 0
    # In the attention, when the feed-forward network's are freed: gradients of the weights.
    in_attention = scores * (narrow if mask else 2 * wide) + 4 * some * wide - ffn
    return Kept(rest + ffn, ffn, quadratic, max(in_ffn, in_attention, 0))


def of_loss(D: int, V: int, words: int, narrow: int, device: str) -> int:
    """What `LinearCrossEntropy.forward` computes with, for so many words to predict."""
    block = min(LinearCrossEntropy.CHUNK, words) * V * narrow
    tables = FLOAT + 2 * narrow  # the gradient, the table with its ones, a product of this size
    if narrow < FLOAT:
        tables += narrow  # the table as the products read it
        tables += FLOAT if device == "cpu" else 0  # the product, to be added to the gradient
    tables *= V * (D + LinearCrossEntropy.ONES)
    return block + tables + words * D * (2 * FLOAT + narrow)


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
    """What one training step takes, at its fullest moment.

    It is a step as each one after the first: the optimizers have their averages.

    Args:
        config: Sizes of the network.
        batch_size: Sentence pairs in a step.
        length: L; the config's max_len if None.
        slots: P; 15 % of the length if None.
        rows: Sentence pairs that go through the network together; what `rows_at_once` says if None.
        precision: "fp32" or "bf16".
        optimizer: "muon" (and AdamW), or "adam".
        checkpointing: See `BERTEncoder`.
        sampled_words: See `Settings`.
        device: "cpu" or "cuda".
    """
    sizes = sizes_of(config)
    length = length or config.max_len
    slots = slots or slots_of(length)
    rows = min(batch_size, rows or rows_by_config(config, device))
    form = Format.of(precision, device)
    D, words = config.num_hiddens, rows * slots

    vectors = rows * length * D * form.wide  # between two layers
    layer = kept_by_layer(config, rows, length, length, form)
    last = kept_by_layer(config, rows, length, slots + 1, form)
    masks = rows * length * D * (form.mask if config.dropout else 0)
    ends = vectors + masks + 5 * words * D * form.narrow  # embeddings, and the head's layers
    others = config.num_layers - 1
    if checkpointing:
        kept, quadratic = config.num_layers * vectors, 0
        full = layer if others else last
        back = max(full.rest + full.extra + full.quadratic - vectors, 0)
        back_quadratic = full.quadratic
    else:
        kept, quadratic = others * layer.rest + last.rest, others * layer.quadratic + last.quadratic
        back, back_quadratic = layer.extra - last.rest - last.quadratic, 0

    parameters, table = FLOAT * sizes.parameters, FLOAT * sizes.table
    decoded = sampled_words + words if sampled_words else config.vocab_size
    loss = of_loss(D, min(decoded, config.vocab_size), words, form.narrow, device)
    there = ends + kept + quadratic
    # Two moments: in the loss; and on the way back in a layer, with the table's gradient.
    activations = max(there, there + back + table - loss)
    quadratic = max(quadratic, back_quadratic if activations > there else 0)
    averages, scratch = of_optimizer(sizes, optimizer, device)
    # A third: the step of the optimizer, when all gradients are there and nothing else.
    begun = parameters if batch_size > rows else 0  # gradients that an earlier part left
    fullest = max(begun + activations + loss, parameters + scratch)
    beyond = max(0, scratch - activations - loss)
    gradients = fullest - activations - loss - beyond
    return Memory(parameters, gradients, averages + beyond, activations, loss, quadratic)


def of_optimizer(sizes: Sizes, optimizer: str, device: str) -> tuple[int, int]:
    """What an optimizer keeps, and what its step computes with."""
    if optimizer == "adam":
        scratch = sizes.parameters if device != "cpu" else 2 * sizes.table
        return 2 * FLOAT * sizes.parameters, FLOAT * scratch
    averages = 2 * sizes.parameters - sizes.inside  # Muon keeps one, AdamW two
    return FLOAT * averages, FLOAT * (7 * sizes.stacked + sizes.squares)  # see `Muon.step`


def rows_by_config(config: BERTConfig, device: str) -> int:
    """`rows_at_once`, which takes a network."""
    return rows_at_once(SimpleNamespace(config=config), torch.device(device))
