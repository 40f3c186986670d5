"""Sentence pairs."""

import math
from itertools import chain

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small import made_up_text, tokenized

from bert_tutorial.text.pairs import (
    assemble,
    draw_pairs,
    get_tokens_and_segments,
    truncated_lengths,
)

VOCAB, TEXT = tokenized(made_up_text())


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_tokens_and_segments():
    assert get_tokens_and_segments(["a"]) == (["<cls>", "a", "<sep>"], [0, 0, 0])
    tokens, segments = get_tokens_and_segments(["a"], ["he", "left"], cls="[CLS]", sep="[SEP]")
    assert tokens == ["[CLS]", "a", "[SEP]", "he", "left", "[SEP]"]
    assert segments == [0, 0, 0, 1, 1, 1]


def shortened(len_a, len_b, budget):
    """As in Devlin et al.'s code."""
    while len_a + len_b > budget:
        len_a, len_b = (len_a - 1, len_b) if len_a > len_b else (len_a, len_b - 1)
    return len_a, len_b


@settings(deadline=None)
@given(st.integers(0, 90), st.integers(0, 90), st.integers(2, 80))
def test_truncation_takes_from_the_longer_one_token_at_a_time(len_a, len_b, budget):
    found = truncated_lengths(torch.tensor([len_a]), torch.tensor([len_b]), budget)
    assert tuple(map(int, found)) == shortened(len_a, len_b, budget)


@pytest.mark.parametrize(("rate", "count"), [(0.5, 1), (0.85, 1), (1.0, 1), (0.5, 3)])
def test_some_of_the_pairs_follow_and_the_others_are_of_another_paragraph(rate, count):
    sizes = TEXT.paragraph_starts.diff()
    paragraph_of = torch.repeat_interleave(torch.arange(len(sizes)), sizes)
    followed = total = 0
    drawn = set()
    for seed in range(30):
        first, second, is_next = draw_pairs(TEXT, generator(seed), count, rate)
        assert len(first) == (sizes - count).clamp(min=0).sum()
        follows = is_next == 1
        assert torch.equal(second[follows], first[follows] + count)
        assert torch.equal(paragraph_of[second] == paragraph_of[first], follows)
        drawn |= set(second[~follows].tolist())
        followed, total = followed + int(follows.sum()), total + len(first)
    assert abs(followed - total * rate) <= 5 * math.sqrt(total * rate * (1 - rate))
    # Every sentence can be drawn, the first and the last too.
    assert rate > 0.5 or count > 1 or drawn == set(range(len(paragraph_of)))


@pytest.mark.parametrize("count", [1, 2])
def test_pairs_are_laid_out_as_get_tokens_and_segments_lays_them_out(count):
    # Of each sentence the tokens, and those of the next ones in its paragraph.
    parts = [(p, start) for p in made_up_text() for start in range(len(p))]
    behind = [list(chain.from_iterable(p[start : start + count])) for p, start in parts]
    pairs = draw_pairs(TEXT, generator(), count)
    laid_out = zip(*pairs[:2], *assemble(VOCAB, TEXT, pairs, 24, count), strict=True)
    for first, second, token_ids, segments, n in laid_out:
        a, b = behind[first], behind[second]
        len_a, len_b = shortened(len(a), len(b), 21)
        tokens, wanted_segments = get_tokens_and_segments(a[:len_a], b[:len_b])
        assert VOCAB.to_tokens(token_ids[:n]) == tokens and segments[:n].tolist() == wanted_segments
        assert (token_ids[n:] == VOCAB.pad_id).all() and (segments[n:] == 0).all()
