"""What the tensors of one training step take of memory, by formula and as measured.

PyTorch keeps of every operation what its gradient needs, until backward has passed it. So the code
of `encoder.py` and `losses.py` says how many numbers are kept. The process takes more.

Shapes: B rows that go through the network together, L positions, Q query positions, D =
num_hiddens, F = ffn_num_hiddens, H heads, V = vocab_size, N layers. All sizes are in bytes.
"""

import os
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch.profiler import ProfilerActivity, profile

from ..devices import pick_dtype
from ..network.config import BERTConfig
from ..network.fast import LinearCrossEntropy
from ..network.losses import rows_at_once
from ..network.model import BERTModel
from ..pretraining.optimizers import make_optimizers
from ..pretraining.run import Settings
from ..pretraining.training import train_steps
from ..text.examples import PretrainingExamples
from ..text.tokenized import TokenizedText
from ..text.vocabulary import SPECIAL_TOKENS, Vocab

FLOAT = 4  # bytes of a float32
GIB = 2**30


def told_bytes(size: float) -> str:
    """A size in words.

    >>> told_bytes(3_500_000), told_bytes(440_000_000), told_bytes(5 * 2**30)
    ('3.3 MiB', '420 MiB', '5.0 GiB')
    """
    if size < GIB:
        return f"{size / 2**20:.1f} MiB" if size < 10 * 2**20 else f"{size / 2**20:.0f} MiB"
    return f"{size / GIB:.1f} GiB" if size < 100 * GIB else f"{size / GIB:,.0f} GiB"


class Memory(NamedTuple):
    """Bytes of tensors at the fullest moment of a training step.

    What is freed in time for something else counts once: where a batch goes through in one part, a
    layer's gradients take the place of its activations.
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
        return sum(self[:5])

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
    return (V + 2 + config.max_len + 2) * D + config.num_layers * _per_layer(config) + heads


def _per_layer(config: BERTConfig) -> int:
    D, F = config.num_hiddens, config.ffn_num_hiddens
    return 4 * D * D + 2 * D * F + 9 * D + F  # matrices; biases, scales of the normalisation


def memory_of(
    config: BERTConfig, batch_size: int, length: int, *, slots: int | None = None,
    rows: int | None = None, precision: str = "fp32", optimizer: str = "muon",
    checkpointing: bool = False, sampled_words: int = 0, device: str = "cpu",
) -> Memory:  # fmt: skip
    """What a step's tensors take, if the optimizers have their averages from the first.

    If None, the slots to predict are 15 % of the length, as in BERT, and the rows that go through
    the network together what `rows_at_once` says.
    """
    slots = max(1, round(0.15 * length)) if slots is None else slots
    rows = rows_at_once(config, torch.device(device)) if rows is None else rows
    for name, value in dict(batch_size=batch_size, length=length, slots=slots, rows=rows).items():
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} is {value!r}, but must be a whole number of at least 1")
    Settings(precision=precision, optimizer=optimizer)  # a ValueError says which cannot be
    rows, D, V, N = min(batch_size, rows), config.num_hiddens, config.vocab_size, config.num_layers
    # Bytes of a number: of what matrix products read and give; of what goes from layer to layer and
    # of attention weights (on a GPU always float32); of a dropout mask.
    narrow = pick_dtype(precision, torch.device(device)).itemsize
    wide, mask = (narrow, narrow) if device == "cpu" else (FLOAT, 1)
    mask *= config.dropout > 0

    parameters = FLOAT * count_parameters(config)
    begun = parameters if batch_size > rows else 0  # gradients that an earlier part left
    words, vectors = rows * slots, wide * rows * length * D
    queries = [length] * (N - 1) + [slots + 1]  # the last layer's are those that a loss reads
    layers = [_of_layer(config, rows, length, Q, narrow, wide, mask) for Q in queries]
    kept, square, extra = zip(*layers, strict=True)
    if checkpointing:
        of_layers, back = N * vectors, max(kept[0] + extra[0] - vectors, 0)
        if not begun:  # backward frees what a layer has kept, and makes its weights' gradients
            back += (N - 1) * max(0, FLOAT * _per_layer(config) - vectors)
    else:
        of_layers, back = sum(kept), extra[0] - kept[-1]
    # Beside the layers: the embeddings with their dropout, and the head's layers.
    forward = of_layers + vectors + mask * rows * length * D + 5 * words * D * narrow
    decoded = min(V, sampled_words + words) if sampled_words else V
    logits = _of_loss(D, decoded, words, narrow, device)
    # Two moments: in the loss; and backward in a layer, with the table's gradient.
    activations = max(forward, forward + back + FLOAT * V * D - logits)
    squares = sum(square)
    if checkpointing:
        squares = square[0] if activations > forward else 0
    # A third: the optimizer's step, when all gradients are there and nothing else.
    averages, scratch = of_optimizer(config, optimizer, device)
    beyond = scratch - activations - logits
    gradients = max(begun, parameters + min(0, beyond))
    return Memory(parameters, gradients, averages + max(0, beyond), activations, logits, squares)


def _of_layer(
    config: BERTConfig, rows: int, L: int, Q: int, narrow: int, wide: int, mask: int
) -> tuple[int, int, int]:
    """What a layer keeps; the part of it for attention weights; what backward adds."""
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
    return attention + ffn + matrices + square, square, max(in_ffn, in_attention, 0)


def _of_loss(D: int, V: int, words: int, narrow: int, device: str) -> int:
    """What `LinearCrossEntropy.forward` computes with, for so many words to predict."""
    numbers = FLOAT + 2 * narrow  # the table's gradient, the table with ones, a product as large
    if narrow < FLOAT:  # the table as the products read it; what is added to the gradient
        numbers += narrow + (FLOAT if device == "cpu" else 0)
    block = min(LinearCrossEntropy.CHUNK, words) * V * narrow
    return block + numbers * V * (D + LinearCrossEntropy.ONES) + words * D * (2 * FLOAT + narrow)


def of_optimizer(config: BERTConfig, optimizer: str, device: str) -> tuple[int, int]:
    """What an optimizer keeps, and what its step computes with."""
    parameters, table = count_parameters(config), config.vocab_size * config.num_hiddens
    if optimizer != "muon":
        return 2 * FLOAT * parameters, FLOAT * (2 * table if device == "cpu" else parameters)
    D, F, N = config.num_hiddens, config.ffn_num_hiddens, config.num_layers
    alike = Counter({(D, D): 2 * N + 2})  # Muon takes matrices of one shape together
    for shape in ((2 * D, D), (F, D), (D, F)):
        alike[shape] += N
    inside = sum(number * n * m for (n, m), number in alike.items())
    stack = max(number * (7 * n * m + min(n, m) ** 2) for (n, m), number in alike.items())
    return FLOAT * (2 * parameters - inside), FLOAT * stack  # Muon keeps one average, AdamW two


class Measured(NamedTuple):
    """What one training step took."""

    seconds: float
    peak: int  # bytes of all tensors at the fullest moment
    estimate: Memory


def peak_of(work: Callable[[], None], device: torch.device) -> int:
    """How many bytes of tensors some work makes, less those that are freed, at the most."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        work()
        return torch.cuda.max_memory_allocated(device)
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # otherwise the profiler prints two lines
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        work()
    events = seen.profiler.kineto_results.events()
    changes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    return int(torch.tensor([change for _, change in changes]).cumsum(0).max())


def full_rows(config: BERTConfig, rows: int, length: int) -> PretrainingExamples:
    """A batch of rows without padding: memory and time do not depend on the words."""
    words = [f"{i:09}" for i in range(config.vocab_size - len(SPECIAL_TOKENS))]
    vocab, sentence = Vocab(words), (words * (length // len(words) + 1))[:length]
    text = TokenizedText.from_paragraphs(vocab, [[sentence, sentence]] * max(2, rows))
    return PretrainingExamples(vocab, text, rows, length)


def measured_step(
    config: BERTConfig, length: int, rows: int, device: str = "cpu", *,
    precision: str = "auto", optimizer: str = "adam", checkpointing: bool = False,
) -> Measured:  # fmt: skip
    """Measure one training step of a new network, beside what `memory_of` expects of it.

    Adam by default: Muon's step takes longer than all the rest of so small a batch.
    """
    seconds, how = [], dict(precision=precision, optimizer=optimizer)
    settings = Settings(num_steps=1, word_neighbours=False, **how)

    def take_step() -> None:
        net = BERTModel.from_config(config).to(device)
        net.encoder.checkpointing = checkpointing
        optimizers = make_optimizers(net, settings)
        for parameter in net.parameters():
            parameter.grad = torch.zeros_like(parameter)
        for each in optimizers:  # makes the averages
            each.step()
        train_iter = full_rows(config, rows, length)
        seconds.append(next(train_steps(net, train_iter, settings, optimizers=optimizers)).seconds)

    peak = peak_of(take_step, torch.device(device))
    how |= {"checkpointing": checkpointing, "device": device}
    return Measured(*seconds, peak, memory_of(config, rows, length, **how))
