"""From a text to batches of pretraining examples, in d2l's steps.

Every batch of every epoch follows from the seed alone, so that a run can be repeated, resumed in
the middle, or shared between processes.

Shapes: B sentence pairs in a batch, L = max_len positions, P slots for predictions.
"""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from .masking import mask_tokens
from .pairs import Pairs, assemble, draw_pairs, segment_lengths
from .tokenized import TokenizedText, tokenize_corpus
from .vocabulary import Vocab
from .wikitext_format import Corpus

LENGTH_MULTIPLE = 8  # the lengths of trimmed batches are multiples of it
HELD_OUT_BATCH_SIZE = 128
BLOCK = 2**24  # tokens: pairs of a larger text are drawn and sorted in blocks of about this size


class Batch(NamedTuple):
    """Pretraining examples, in d2l's order; all integers are int64."""

    token_ids: Tensor  # (B, L), masked
    segments: Tensor  # (B, L), 0 up to the first <sep>, 1 up to the second, 0 in the padding
    valid_lens: Tensor  # (B,), positions that are not padding
    pred_positions: Tensor  # (B, P), positions to predict, ascending; 0 in unused slots
    mlm_weights: Tensor  # (B, P), float32, 1 for a real slot and 0 for an unused one
    mlm_labels: Tensor  # (B, P), the tokens that stood there
    nsp_labels: Tensor  # (B,), 1 where the second sentence follows the first in the text

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on another device."""
        return Batch(*(field.to(device) for field in self))

    def split(self, size: int) -> list["Batch"]:
        """The same examples in batches of at most `size`."""
        parts = zip(*(field.split(size) for field in self), strict=True)
        return [Batch(*part) for part in parts]

    def trim(self) -> "Batch":
        """The same batch without what is padding or unused in every row."""
        # Few lengths, because PyTorch prepares for every new size, and keeps what it prepared.
        length = -(-int(self.valid_lens.max()) // LENGTH_MULTIPLE) * LENGTH_MULTIPLE
        slots = max(1, int(self.mlm_weights.sum(1).max()))
        rows = (field[:, :length] for field in (self.token_ids, self.segments))
        answers = (field[:, :slots] for field in self[3:6])
        return Batch(*rows, self.valid_lens, *answers, self.nsp_labels)


@dataclass(eq=False, repr=False)
class PretrainingExamples(IterableDataset):
    """Batches of a text, drawn anew every epoch: pairs, order and masks.

    Iterating gives one epoch of batches, iterating again the next one; a DataLoader's workers share
    it (`batch_size=None, persistent_workers=True`). `load_data_wiki` says what the settings are;
    one that cannot be, and a text too short for pairs, raise a ValueError.

    An epoch of a large text takes one block of it after the other, in another order each time: so
    it takes no more memory than a block does.
    """

    vocab: Vocab
    text: TokenizedText
    batch_size: int  # B; a text (or all blocks) with fewer pairs: one smaller batch an epoch
    max_len: int  # L
    mask_rate: float = 0.15
    sentences_per_segment: int | Sequence[int] = 1
    next_sentence_rate: float = 0.5
    _: KW_ONLY
    seed: int = 0
    fixed: bool = False  # the same batches every epoch, as evaluation wants
    valid: "PretrainingExamples | None" = None  # held-out examples that belong to these

    def __post_init__(self):
        counts = self.sentences_per_segment
        counts = tuple(counts) if isinstance(counts, Iterable) else (counts,)
        wholes = [("sentences_per_segment", count, 1) for count in counts or (None,)]
        wholes += [("batch_size", self.batch_size, 1), ("max_len", self.max_len, 5)]
        for name, value, least in wholes:
            if type(value) is not int or value < least:
                raise ValueError(f"{name} is {value!r}, not a whole number of at least {least}")
        if not 0 < self.mask_rate < 1:
            raise ValueError(f"mask_rate is {self.mask_rate!r}, not between 0 and 1")
        if not 0 <= self.next_sentence_rate <= 1:
            raise ValueError(f"next_sentence_rate is {self.next_sentence_rate!r}, not from 0 to 1")
        starts, fewest = self.text.paragraph_starts, min(counts)
        self.blocks = list(pairwise(self.text.cuts(BLOCK)))  # by their paragraphs
        sentences_of = (starts[first : last + 1].diff() for first, last in self.blocks)
        pairs = [[int((n - c).clamp(min=0).sum()) for c in counts] for n in sentences_of]
        pairs = torch.tensor(pairs)  # of each block, for each number of sentences
        # Not those for which the text has too few pairs to fill a batch.
        is_used = (pairs.amax(0) >= self.batch_size) | (torch.tensor(counts) == fewest)
        self.sentence_counts = [c for c, used in zip(counts, is_used, strict=True) if used]
        pairs = pairs[:, is_used].amin(1)
        self.num_pairs = int(pairs.sum())
        if self.num_pairs == 0 or len(starts) < 3:
            needed = f"at least two paragraphs, one of them with {fewest + 1} sentences"
            raise ValueError(f"a text needs {needed}, to draw pairs from")
        self.batch_size = min(self.batch_size, int(pairs.max()))
        self.batches_of = (pairs // self.batch_size).tolist()  # each block
        self.epoch = 0
        self._pairs: tuple[tuple[int, int] | None, list[Pairs]] = (None, [])

    def __len__(self) -> int:
        """Batches in an epoch."""
        return sum(self.batches_of)

    def __iter__(self) -> Iterator[Batch]:
        epoch, self.epoch = self.epoch, self.epoch + 1
        worker = get_worker_info()
        first, every = (worker.id, worker.num_workers) if worker else (0, 1)
        for index in range(first, len(self), every):
            yield self.batch(epoch, index)

    def generator(self, *place: object) -> torch.Generator:
        """The randomness of one place in the run: an epoch, or an epoch and a batch."""
        # PyTorch looks at 32 bits of a seed only, so the place is hashed into them.
        bits = random.Random(f"{self.seed} {place}").getrandbits(32)
        return torch.Generator().manual_seed(bits)

    def pairs(self, epoch: int, block: int = 0) -> list[Pairs]:
        """Pairs of an epoch (of one block), in its batches' order, for each number of sentences."""
        kept, pairs = self._pairs  # once: another run may draw those of another epoch meanwhile
        if kept != (epoch, block):
            generator = self.generator(epoch, "block", block) if block else self.generator(epoch)
            pairs = [self._draw(generator, count, block) for count in self.sentence_counts]
            self._pairs = (epoch, block), pairs
        return pairs

    def _draw(self, generator: torch.Generator, count: int, block: int) -> Pairs:
        first, last = self.blocks[block]
        text, num_batches = self.text.block(first, last), self.batches_of[block]
        pairs = draw_pairs(text, generator, count, self.next_sentence_rate)
        # Pairs of similar length stand together, so that a batch holds little padding
        # (`Batch.trim`). Which pairs of one length meet, and the order of the batches, is random.
        lengths = sum(segment_lengths(text, s, count) for s in (pairs.first, pairs.second))
        lengths = lengths.clamp(max=self.max_len - 3)
        order = torch.randperm(len(lengths), generator=generator)[: num_batches * self.batch_size]
        batches = order[lengths[order].argsort(stable=True)].view(num_batches, self.batch_size)
        order = batches[torch.randperm(num_batches, generator=generator)].flatten()
        begin = self.text.paragraph_starts[first]  # sentences before the block
        return Pairs(pairs.first[order] + begin, pairs.second[order] + begin, pairs.is_next[order])

    def _find(self, epoch: int, index: int) -> tuple[int, int]:
        """In which block batch `index` of an epoch is, and its number there."""
        generator = self.generator(epoch, "blocks")
        for block in torch.randperm(len(self.blocks), generator=generator).tolist():
            if index < self.batches_of[block]:
                return block, index
            index -= self.batches_of[block]
        raise IndexError(f"an epoch has {len(self)} batches")

    def batch(self, epoch: int, index: int) -> Batch:
        """Batch `index` of an epoch; it follows from the text, the settings and the seed alone."""
        epoch = 0 if self.fixed else epoch
        turn = (epoch * len(self) + index) % len(self.sentence_counts)
        block, row = self._find(epoch, index)
        place = slice(row * self.batch_size, (row + 1) * self.batch_size)
        pairs = Pairs(*(column[place] for column in self.pairs(epoch, block)[turn]))
        count = self.sentence_counts[turn]
        ids, segments, valid_lens = assemble(self.vocab, self.text, pairs, self.max_len, count)
        masked = mask_tokens(self.vocab, ids, self.generator(epoch, index), self.mask_rate)
        return Batch(masked.token_ids, segments, valid_lens, *masked[1:], pairs.is_next)

    def batch_at(self, step: int) -> Batch:
        """The batch of a training step, counted from 0 over all epochs."""
        return self.batch(*divmod(step, len(self)))


def load_data_wiki(
    batch_size: int = 512,
    max_len: int = 64,
    corpus: str | Path | Corpus | None = None,
    *,
    mask_rate: float = 0.15,
    sentences_per_segment: int | Sequence[int] = 1,
    next_sentence_rate: float = 0.5,
    min_freq: int | None = None,
    vocab: Vocab | None = None,
    seed: int = 0,
) -> tuple[PretrainingExamples, Vocab]:
    """d2l's function: batches of pretraining examples, and the vocabulary.

    Args:
        batch_size: B, sentence pairs in a batch.
        max_len: L, positions in a row, special tokens included.
        corpus: As in `read_text`, and a text of any size; None for "bundled", and then that is
            said: d2l has WikiText-2.
        mask_rate: Part of the positions to predict, 0.15 in BERT.
        sentences_per_segment: 1 in d2l; BERT fills its segments with as much text as fits. With
            several numbers, such as (1, 2, 3), each batch has another one.
        next_sentence_rate: How often the second segment is the next one, 0.5 in BERT; with 1
            training leaves the next-sentence loss out.
        min_freq: Rarer tokens become `<unk>`; None for the corpus's own number.
        vocab: A vocabulary to take instead of the corpus's own words, such as word pieces.
        seed: What pairs, order and masks follow from.

    Returns:
        `train_iter` and `vocab`. The held-out examples, `train_iter.valid`, do not depend on the
        settings of training, so that trainings can be compared.
    """
    if corpus is None:
        print('corpus: bundled; d2l\'s is load_data_wiki(..., corpus="wikitext-2")')
    train, valid, vocab = tokenize_corpus(corpus or "bundled", min_freq, vocab)
    valid = PretrainingExamples(vocab, valid, HELD_OUT_BATCH_SIZE, max_len, seed=seed, fixed=True)
    sizes, rates = (batch_size, max_len), (mask_rate, sentences_per_segment, next_sentence_rate)
    return PretrainingExamples(vocab, train, *sizes, *rates, seed=seed, valid=valid), vocab
