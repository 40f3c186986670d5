"""Sentence pairs for the next-sentence game, drawn and laid out for a whole epoch at once.

Shapes: B sentence pairs, L = max_len positions.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .tokenized import TokenizedText
from .vocabulary import CLS, SEP, Vocab


def get_tokens_and_segments(
    tokens_a: Sequence[str],
    tokens_b: Sequence[str] | None = None,
    *,
    cls: str = CLS,
    sep: str = SEP,
) -> tuple[list[str], list[int]]:
    """d2l's function: BERT's input for one sentence or a pair, and the segment of each token.

    >>> get_tokens_and_segments(["a", "crane"], ["he", "left"])
    (['<cls>', 'a', 'crane', '<sep>', 'he', 'left', '<sep>'], [0, 0, 0, 0, 1, 1, 1])

    Source: Devlin et al. 2019, section 3 and figure 2.
    """
    tokens = [cls, *tokens_a, sep]
    segments = [0] * len(tokens)
    if tokens_b is not None:
        tokens += [*tokens_b, sep]
        segments += [1] * (len(tokens_b) + 1)
    return tokens, segments


def truncated_lengths(len_a: Tensor, len_b: Tensor, budget: int) -> tuple[Tensor, Tensor]:
    """Take tokens from the longer of two sentences until both fit the budget together.

    Of two equally long ones the second is cut first, as in Devlin et al.'s code.

    >>> truncated_lengths(torch.tensor([50, 10]), torch.tensor([30, 80]), budget=61)
    (tensor([31, 10]), tensor([30, 51]))
    """
    keep_a = (budget - len_b).clamp(min=(budget + 1) // 2)
    keep_b = (budget - len_a).clamp(min=budget // 2)
    return len_a.minimum(keep_a), len_b.minimum(keep_b)


class Pairs(NamedTuple):
    """Sentence pairs, by the numbers of their sentences; each field (B,)."""

    first: Tensor
    second: Tensor
    is_next: Tensor  # 1 where the second follows the first in the text, else 0


def draw_pairs(
    text: TokenizedText,
    generator: torch.Generator,
    sentences_per_segment: int = 1,
    next_sentence_rate: float = 0.5,
) -> Pairs:
    """A second sentence for every one that has a next one: the next one, or one from elsewhere.

    Several sentences may stand in for one; then the next one begins so much further.

    Source: Devlin et al. 2019, section 3.1, task 2. Unlike in d2l, a drawn sentence is never of the
    same paragraph, where it could be the next one after all.
    """
    starts, ends = text.paragraph_starts[:-1], text.paragraph_starts[1:]
    paragraph_of = torch.repeat_interleave(torch.arange(len(starts)), ends - starts)
    step = sentences_per_segment
    first = torch.nonzero(paragraph_of[:-step] == paragraph_of[step:]).flatten()
    own_start, own_end = starts[paragraph_of[first]], ends[paragraph_of[first]]
    # A number among the sentences of other paragraphs; those behind the own one are moved past it.
    others = len(paragraph_of) - (own_end - own_start)
    drawn = (torch.rand(len(first), generator=generator, dtype=torch.float64) * others).long()
    drawn += torch.where(drawn >= own_start, own_end - own_start, 0)
    is_next = (torch.rand(len(first), generator=generator) < next_sentence_rate).long()
    return Pairs(first, torch.where(is_next == 1, first + step, drawn), is_next)


def segment_lengths(text: TokenizedText, first_sentence: Tensor, sentences: int = 1) -> Tensor:
    """Tokens (B,) of some sentences in a row from `first_sentence` (B,) on, within a paragraph."""
    paragraph = torch.searchsorted(text.paragraph_starts, first_sentence, right=True) - 1
    end = torch.minimum(first_sentence + sentences, text.paragraph_starts[paragraph + 1])
    return text.sentence_starts[end] - text.sentence_starts[first_sentence]


def assemble(
    vocab: Vocab, text: TokenizedText, pairs: Pairs, max_len: int, sentences_per_segment: int = 1
) -> tuple[Tensor, Tensor, Tensor]:
    """Lay out many pairs at once as `<cls> first <sep> second <sep>`, truncated or padded.

    Returns:
        Token ids (B, L), segments (B, L) and the numbers (B,) of positions that are not padding.
    """
    starts, (first, second, _) = text.sentence_starts, pairs
    lengths = (segment_lengths(text, s, sentences_per_segment) for s in (first, second))
    len_a, len_b = truncated_lengths(*lengths, max_len - 3)
    valid_lens = len_a + len_b + 3
    position = torch.arange(max_len)  # (L,)
    sep_a, sep_b = (len_a + 1)[:, None], (valid_lens - 1)[:, None]  # (B, 1)
    in_a = (position > 0) & (position < sep_a)
    in_b = (position > sep_a) & (position < sep_b)
    source_a = starts[first][:, None] + position - 1
    source_b = starts[second][:, None] + position - sep_a - 1
    source = torch.where(in_a, source_a, source_b).clamp(0, len(text.token_ids) - 1)
    token_ids = torch.where(in_a | in_b, text.token_ids[source].long(), vocab.pad_id)
    token_ids[:, 0] = vocab.cls_id
    token_ids.scatter_(1, sep_a, vocab.sep_id).scatter_(1, sep_b, vocab.sep_id)
    segments = ((position > sep_a) & (position <= sep_b)).long()
    return token_ids, segments, valid_lens
