"""From a text to pretraining examples: sentence pairs, masked tokens, batches.

The steps are the document's (d2l.ai, "The Dataset for Pretraining BERT"); where they differ, a comment says why. Everything is
a few tensor operations on whole batches: the text is one flat tensor of token numbers, and every batch of every epoch follows
from the seed alone, so that a run can be repeated, resumed in the middle, or shared between processes.

Shapes: B sentence pairs in a batch, L = max_len positions, P slots for predictions.
"""

import hashlib
import json
import os
import random
from itertools import chain
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .corpus import cache_dir, paragraphs, read_text
from .vocabulary import CLS, SEP, SPECIAL_TOKENS, Vocab

UNK_ID, PAD_ID, MASK_ID, CLS_ID, SEP_ID = range(len(SPECIAL_TOKENS))
HELD_OUT_BATCH_SIZE = 128
LENGTH_MULTIPLE = 8  # the lengths of trimmed batches are multiples of it


class Batch(NamedTuple):
    """Pretraining examples, in the document's order; all integers are int64."""

    token_ids: Tensor  # (B, L), masked
    segments: Tensor  # (B, L), 0 up to the first <sep>, 1 from there to the second, 0 in the padding
    valid_lens: Tensor  # (B,), positions that are not padding
    pred_positions: Tensor  # (B, P), positions whose token is to be predicted, ascending; 0 in unused slots
    mlm_weights: Tensor  # (B, P), float32, 1 for a real slot and 0 for an unused one
    mlm_labels: Tensor  # (B, P), the tokens that stood there
    nsp_labels: Tensor  # (B,), 1 where the second sentence follows the first in the text

    def to(self, device) -> "Batch":
        """The same batch on another device."""
        return Batch(*(field.to(device) for field in self))

    def split(self, size: int) -> list["Batch"]:
        """The same examples in batches of at most `size`."""
        parts = zip(*(field.split(size) for field in self), strict=True)
        return [Batch(*part) for part in parts]

    def trim(self) -> "Batch":
        """The same batch without positions that are padding in every row, and without the slots that are unused in every row.

        The length is rounded up to a multiple of 8. For every size of matrix product that is new to it, PyTorch prepares the
        product on a CPU and keeps what it has prepared; the fewer lengths there are, the less time and memory that takes.
        """
        length = -(-int(self.valid_lens.max()) // LENGTH_MULTIPLE) * LENGTH_MULTIPLE
        slots = max(1, int(self.mlm_weights.sum(1).max()))
        return self._replace(
            token_ids=self.token_ids[:, :length],
            segments=self.segments[:, :length],
            pred_positions=self.pred_positions[:, :slots],
            mlm_weights=self.mlm_weights[:, :slots],
            mlm_labels=self.mlm_labels[:, :slots],
        )


class TokenizedText(NamedTuple):
    """A text as flat arrays."""

    token_ids: Tensor  # (number of tokens,), int32
    sentence_starts: Tensor  # (number of sentences + 1,), where each sentence begins in token_ids
    paragraph_starts: Tensor  # (number of paragraphs + 1,), the number of each paragraph's first sentence

    @classmethod
    def from_paragraphs(cls, text: list[list[list[str]]], vocab: Vocab) -> "TokenizedText":
        sentences = list(chain.from_iterable(text))
        lengths = torch.tensor([0] + [len(sentence) for sentence in sentences])
        counts = torch.tensor([0] + [len(paragraph) for paragraph in text])
        token_ids = torch.tensor(vocab[chain.from_iterable(sentences)], dtype=torch.int32)
        return cls(token_ids, lengths.cumsum(0), counts.cumsum(0))


def get_tokens_and_segments(tokens_a, tokens_b=None):
    """BERT's input for one text or a pair: `<cls> a <sep>` or `<cls> a <sep> b <sep>`.

    Args:
        tokens_a: Tokens of the first text.
        tokens_b: Tokens of the second text, or None.

    Returns:
        The tokens with the special ones put in, and for each its segment: 0 for the first text, 1 for the second.

    Source: Devlin et al. 2019, section 3 and figure 2.
    """
    tokens = [CLS, *tokens_a, SEP]
    segments = [0] * len(tokens)
    if tokens_b is not None:
        tokens += [*tokens_b, SEP]
        segments += [1] * (len(tokens_b) + 1)
    return tokens, segments


def truncated_lengths(len_a: Tensor, len_b: Tensor, budget: int) -> tuple[Tensor, Tensor]:
    """Lengths after tokens have been taken from the longer of two sentences until both fit the budget together.

    The document drops every pair that is too long, a quarter of WikiText-2; Devlin et al. shorten it, as here.

    Args:
        len_a, len_b: (B,), lengths before.
        budget: How many tokens both may have together.

    Returns:
        Both lengths after, (B,) each; pairs that fit are unchanged. Of two equally long ones the second is cut first.
    """
    keep_a = torch.maximum(budget - len_b, torch.tensor((budget + 1) // 2))
    keep_b = torch.maximum(budget - len_a, torch.tensor(budget // 2))
    return torch.minimum(len_a, keep_a), torch.minimum(len_b, keep_b)


def draw_pairs(
    text: TokenizedText, generator: torch.Generator, span: int = 1, next_share: float = 0.5
) -> tuple[Tensor, Tensor, Tensor]:
    """A second sentence for every first one: half the time the next, half the time one from elsewhere.

    Args:
        text: The text, with at least two paragraphs.
        generator: Source of randomness.
        span: How many sentences stand in for "a sentence". The next one then begins `span` sentences further.
        next_share: How often the second is the next one.

    Returns:
        `first`, `second` (sentence numbers) and `is_next` (0 or 1), each of shape (number of sentences that have a next,).

    Source: Devlin et al. 2019, section 3.1, task 2. Unlike in the document a drawn sentence is never of the same paragraph,
    where it could be the next one after all.
    """
    starts, ends = text.paragraph_starts[:-1], text.paragraph_starts[1:]
    paragraph_of = torch.repeat_interleave(torch.arange(len(starts)), ends - starts)
    num_sentences = len(paragraph_of)
    first = torch.nonzero(paragraph_of[:-span] == paragraph_of[span:]).flatten()
    own_start, own_end = starts[paragraph_of[first]], ends[paragraph_of[first]]
    # A number among the sentences of the other paragraphs; those behind the own paragraph are moved past it.
    others = num_sentences - (own_end - own_start)
    drawn = (torch.rand(len(first), generator=generator, dtype=torch.float64) * others).long()
    drawn += torch.where(drawn >= own_start, own_end - own_start, 0)
    is_next = (torch.rand(len(first), generator=generator) < next_share).long()
    return first, torch.where(is_next == 1, first + span, drawn), is_next


def span_lengths(text: TokenizedText, sentence: Tensor, span: int = 1) -> Tensor:
    """Tokens in `span` sentences from each given one on, or as many as its paragraph still has: (B,)."""
    paragraph = torch.searchsorted(text.paragraph_starts, sentence, right=True) - 1
    end = torch.minimum(sentence + span, text.paragraph_starts[paragraph + 1])
    return text.sentence_starts[end] - text.sentence_starts[sentence]


def assemble(
    text: TokenizedText, first: Tensor, second: Tensor, max_len: int, span: int = 1
) -> tuple[Tensor, Tensor, Tensor]:
    """Lay out `<cls> first <sep> second <sep>` for many pairs at once.

    Args:
        text: The text.
        first, second: (B,), sentence numbers.
        max_len: L, length of a row; longer pairs are truncated, shorter ones padded.
        span: How many sentences stand in for "a sentence".

    Returns:
        `token_ids` (B, L), `segments` (B, L), `valid_lens` (B,).
    """
    starts = text.sentence_starts
    len_a, len_b = truncated_lengths(span_lengths(text, first, span), span_lengths(text, second, span), max_len - 3)
    valid_lens = len_a + len_b + 3
    position = torch.arange(max_len)  # (L,)
    sep_a, sep_b = (len_a + 1)[:, None], (valid_lens - 1)[:, None]  # (B, 1)
    in_a = (position > 0) & (position < sep_a)
    in_b = (position > sep_a) & (position < sep_b)
    source = torch.where(in_a, starts[first][:, None] + position - 1, starts[second][:, None] + position - sep_a - 1)
    token_ids = torch.where(in_a | in_b, text.token_ids[source.clamp(0, len(text.token_ids) - 1)].long(), PAD_ID)
    token_ids[:, 0] = CLS_ID
    token_ids.scatter_(1, sep_a, SEP_ID).scatter_(1, sep_b, SEP_ID)
    segments = ((position > sep_a) & (position <= sep_b)).long()
    return token_ids, segments, valid_lens


def mask_tokens(
    token_ids: Tensor,
    vocab_size: int,
    generator: torch.Generator,
    mask_rate: float = 0.15,
    num_slots: int | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Choose tokens to predict, and hide them: 80 % become `<mask>`, 10 % a random word, 10 % stay.

    Args:
        token_ids: (B, L), padded with `<pad>`.
        vocab_size: Random words are drawn from the entries behind the special ones (the document may draw a special one).
        generator: Source of randomness.
        mask_rate: Share of a row's real positions to predict, rounded, at least one.
        num_slots: P, the most predictions a row can hold; None for the largest number that the rate gives.

    Returns:
        `token_ids` (B, L) with the chosen ones hidden, `pred_positions` (B, P), `mlm_weights` (B, P), `mlm_labels` (B, P).

    Source: Devlin et al. 2019, section 3.1, task 1.
    """
    num_slots = num_slots or max(1, round(token_ids.shape[1] * mask_rate))
    can_be_chosen = (token_ids != PAD_ID) & (token_ids != CLS_ID) & (token_ids != SEP_ID)
    valid_lens = (token_ids != PAD_ID).sum(1, keepdim=True)
    wanted = (valid_lens * mask_rate).round().clamp(1, num_slots).minimum(can_be_chosen.sum(1, keepdim=True))  # (B, 1)
    # A random number for each candidate; the highest are chosen, which is a draw without replacement.
    score = torch.rand(token_ids.shape, generator=generator).masked_fill(~can_be_chosen, -1.0)
    positions = score.topk(num_slots, dim=1).indices
    used = torch.arange(num_slots) < wanted  # (B, P)
    positions = positions.masked_fill(~used, token_ids.shape[1]).sort(1).values  # unused slots go last
    positions = positions.masked_fill(~used, 0)
    labels = token_ids.gather(1, positions).masked_fill(~used, 0)

    fate = torch.rand(positions.shape, generator=generator)
    random_words = torch.randint(len(SPECIAL_TOKENS), vocab_size, positions.shape, generator=generator)
    hidden = torch.where(fate < 0.8, MASK_ID, torch.where(fate < 0.9, random_words, labels))
    # Unused slots point at position 0 and put back what stands there: <cls>.
    hidden = torch.where(used, hidden, token_ids[:, :1])
    return token_ids.scatter(1, positions, hidden), positions, used.float(), labels


class PretrainingExamples:
    """Batches of a text, drawn anew every epoch: pairs, order and masks.

    Iterating gives one epoch of batches; iterating again gives the next. `batch(epoch, index)` gives any single batch.

    Args:
        text: The text as token numbers.
        vocab: Its vocabulary.
        batch_size: B. A text with fewer pairs gives one smaller batch an epoch; otherwise every batch is full.
        max_len: L, at least 5.
        mask_rate: Share of positions to predict. BERT's and the document's is 0.15; `num_slots`, P, is `max_len * mask_rate`.
        span: Sentences in a segment. The document takes 1; BERT fills its segments with as much text as fits.
        next_share: How often the second sentence is the next one, 0.5 in BERT. With 1 there is nothing to tell apart, and
            training leaves the next-sentence loss out.
        seed: What all randomness comes from.
        fixed: True for the same batches every epoch, as evaluation wants.
        valid: Held-out examples that belong to these, if any.
    """

    def __init__(
        self,
        text: TokenizedText,
        vocab: Vocab,
        batch_size: int,
        max_len: int,
        *,
        mask_rate: float = 0.15,
        span: int = 1,
        next_share: float = 0.5,
        seed: int = 0,
        fixed: bool = False,
        valid: "PretrainingExamples | None" = None,
    ):
        for name, value, low in (("batch_size", batch_size, 1), ("max_len", max_len, 5), ("span", span, 1)):
            if not isinstance(value, int) or value < low:
                raise ValueError(f"{name} is {value!r}, but must be a whole number of at least {low}")
        if not 0 < mask_rate < 1:
            raise ValueError(f"mask_rate is {mask_rate!r}, but must lie between 0 and 1, for example 0.15")
        if not 0 <= next_share <= 1:
            raise ValueError(f"next_share is {next_share!r}, but must be from 0 to 1; BERT's is 0.5")
        self.text, self.vocab, self.valid = text, vocab, valid
        self.max_len, self.mask_rate, self.span, self.next_share = max_len, mask_rate, span, next_share
        self.seed, self.fixed = seed, fixed
        self.num_slots = max(1, round(max_len * mask_rate))
        sentences_of = text.paragraph_starts.diff()
        self.num_pairs = int((sentences_of - span).clamp(min=0).sum())
        if self.num_pairs == 0 or len(sentences_of) < 2:
            raise ValueError(
                f"a text needs at least two paragraphs, one of them with {span + 1} sentences, to draw pairs from"
            )
        self.batch_size = min(batch_size, self.num_pairs)
        self.epoch = 0
        self._pairs = (None, None)

    def __len__(self) -> int:
        """Batches in an epoch."""
        return self.num_pairs // self.batch_size

    def __iter__(self):
        epoch = self.epoch
        self.epoch += 1
        for index in range(len(self)):
            yield self.batch(epoch, index)

    def generator(self, *place) -> torch.Generator:
        """A generator for one place in the run (epoch, or epoch and batch), the same whenever it is asked for."""
        # PyTorch's CPU generator looks at 32 bits of a seed only, so the place is hashed into them.
        bits = random.Random(f"{self.seed} {place}").getrandbits(32)
        return torch.Generator().manual_seed(bits)

    def pairs(self, epoch: int) -> tuple[Tensor, Tensor, Tensor]:
        """First sentence, second sentence and is_next of all pairs of an epoch, in the order of its batches."""
        if self._pairs[0] != epoch:
            generator = self.generator(epoch)
            first, second, is_next = draw_pairs(self.text, generator, self.span, self.next_share)
            # Pairs of similar length stand together, so that a batch holds little padding (`Batch.trim`); which pairs of one
            # length come together, and the order of the batches, is random.
            order = torch.randperm(len(first), generator=generator)
            pair_lengths = span_lengths(self.text, first, self.span) + span_lengths(self.text, second, self.span)
            pair_lengths = pair_lengths.clamp(max=self.max_len - 3)
            kept = order[: len(self) * self.batch_size]
            kept = kept[pair_lengths[kept].argsort(stable=True)].view(len(self), self.batch_size)
            order = kept[torch.randperm(len(kept), generator=generator)].flatten()
            self._pairs = (epoch, (first[order], second[order], is_next[order]))
        return self._pairs[1]

    def batch(self, epoch: int, index: int) -> Batch:
        """Batch `index` of an epoch; it depends on nothing but the text, the settings and the seed."""
        epoch = 0 if self.fixed else epoch
        rows = slice(index * self.batch_size, (index + 1) * self.batch_size)
        first, second, is_next = (column[rows] for column in self.pairs(epoch))
        token_ids, segments, valid_lens = assemble(self.text, first, second, self.max_len, self.span)
        token_ids, positions, weights, labels = mask_tokens(
            token_ids, len(self.vocab), self.generator(epoch, index), self.mask_rate, self.num_slots
        )
        return Batch(token_ids, segments, valid_lens, positions, weights, labels, is_next)


def load_data_wiki(
    batch_size=512, max_len=64, corpus="bundled", *, mask_rate=0.15, span=1, next_share=0.5, min_freq=None, seed=0
):
    """The document's function: batches of pretraining examples, and the vocabulary.

    Args:
        batch_size: B, sentence pairs in a batch. Those of the held-out text stay the same, pairs and masks, whatever B is.
        max_len: L, positions in a row, special tokens included.
        corpus: "bundled", "wikitext-2", the path of a UTF-8 text file, or a `Text`.
        mask_rate: Share of tokens to predict in training. The held-out text is always measured at 0.15.
        span: Sentences in a segment in training. The held-out text is always measured with 1, as in the document.
        next_share: How often the second sentence is the next one in training; with 1 next-sentence prediction is left out.
            The held-out text is always measured with 0.5.
        min_freq: Rarer tokens become `<unk>`; None for the document's 5 on WikiText-2 and 2 elsewhere.
        seed: What pairs, order and masks follow from.

    Returns:
        `train_iter` (its `valid` holds the held-out examples) and `vocab`.

    Raises:
        ValueError: A setting or a text that cannot be used.
        FileNotFoundError: No such corpus or file.
        ConnectionError: WikiText-2 is neither in the cache nor to be had.
    """
    min_freq = min_freq or (5 if corpus == "wikitext-2" else 2)
    train, valid, vocab = tokenized(corpus, min_freq)
    held_out = PretrainingExamples(valid, vocab, HELD_OUT_BATCH_SIZE, max_len, seed=seed, fixed=True)
    settings = dict(mask_rate=mask_rate, span=span, next_share=next_share, seed=seed)
    train_iter = PretrainingExamples(train, vocab, batch_size, max_len, valid=held_out, **settings)
    return train_iter, vocab


def tokenized(corpus="bundled", min_freq: int = 2) -> tuple[TokenizedText, TokenizedText, Vocab]:
    """A corpus as token numbers: train split, validation split, vocabulary of the train split.

    WikiText-2 takes seconds to cut up, so the result is kept in the cache, under a name that follows from the text itself.
    """
    text = read_text(corpus)
    if text.name == "bundled":
        return _tokenize_text(text, min_freq)
    key = hashlib.sha256(f"format 1, min_freq {min_freq}\n{text.train}\n{text.valid}".encode()).hexdigest()
    path = cache_dir() / "tokenized" / f"{key[:32]}.safetensors"
    try:
        return _load_tokenized(path)
    except (FileNotFoundError, SafetensorError):
        result = _tokenize_text(text, min_freq)
        try:
            _save_tokenized(path, *result)
        except OSError:
            pass  # A cache that cannot be written costs a second each time, nothing more.
        return result


def _tokenize_text(text, min_freq: int):
    train, valid = paragraphs(text.train), paragraphs(text.valid)
    vocab = Vocab(chain.from_iterable(chain.from_iterable(train)), min_freq)
    return TokenizedText.from_paragraphs(train, vocab), TokenizedText.from_paragraphs(valid, vocab), vocab


def _save_tokenized(path, train: TokenizedText, valid: TokenizedText, vocab: Vocab) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {
        f"{split}.{name}": getattr(text, name)
        for split, text in (("train", train), ("valid", valid))
        for name in text._fields
    }
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        save_file(tensors, part, metadata={"itos": json.dumps(vocab.itos), "counts": json.dumps(vocab.counts)})
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _load_tokenized(path) -> tuple[TokenizedText, TokenizedText, Vocab]:
    with safe_open(path, "pt") as file:
        vocab = Vocab.from_counts(*(json.loads(file.metadata()[name]) for name in ("itos", "counts")))
        train, valid = (
            TokenizedText(*(file.get_tensor(f"{split}.{name}") for name in TokenizedText._fields))
            for split in ("train", "valid")
        )
    return train, valid, vocab
