"""Sentence pairs."""

import math
from itertools import chain

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small import made_up_text, tokenized

from bert_tutorial.text.pairs import (
    assemble,
    draw_pairs,
    get_tokens_and_segments,
    truncated_lengths,
)


@pytest.fixture(scope="module")
def vocab_and_text():
    return tokenized(made_up_text())


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_tokens_and_segments():
    tokens, segments = get_tokens_and_segments(["a", "crane"])
    assert tokens == ["<cls>", "a", "crane", "<sep>"] and segments == [0, 0, 0, 0]
    tokens, segments = get_tokens_and_segments(["a"], ["he", "left"], cls="[CLS]", sep="[SEP]")
    assert tokens == ["[CLS]", "a", "[SEP]", "he", "left", "[SEP]"]
    assert segments == [0, 0, 0, 1, 1, 1]


@given(st.integers(0, 90), st.integers(0, 90), st.integers(2, 80))
def test_truncation_takes_from_the_longer_one_token_at_a_time(len_a, len_b, budget):
    a, b = len_a, len_b
    while a + b > budget:  # as in Devlin et al.'s code
        a, b = (a - 1, b) if a > b else (a, b - 1)
    got_a, got_b = truncated_lengths(torch.tensor([len_a]), torch.tensor([len_b]), budget)
    assert (int(got_a), int(got_b)) == (a, b)


@pytest.mark.parametrize(("rate", "count"), [(0.5, 1), (0.85, 1), (1.0, 1), (0.5, 3)])
def test_some_of_the_pairs_follow_and_the_others_are_of_another_paragraph(
    vocab_and_text, rate, count
):
    _, text = vocab_and_text
    starts = text.paragraph_starts
    paragraph_of = torch.repeat_interleave(torch.arange(len(starts) - 1), starts.diff())
    followed = total = 0
    drawn = set()
    for seed in range(30):
        first, second, is_next = draw_pairs(text, generator(seed), count, rate)
        assert len(first) == (starts.diff() - count).clamp(min=0).sum()
        follows = is_next == 1
        assert torch.equal(second[follows], first[follows] + count)
        assert torch.equal(paragraph_of[second[follows]], paragraph_of[first[follows]])
        assert (paragraph_of[second[~follows]] != paragraph_of[first[~follows]]).all()
        drawn |= set(second[~follows].tolist())
        followed, total = followed + int(follows.sum()), total + len(first)
    assert abs(followed - total * rate) <= 5 * math.sqrt(total * rate * (1 - rate))
    # Every sentence can be drawn, the first and the last too.
    assert rate > 0.5 or count > 1 or drawn == set(range(len(paragraph_of)))


@pytest.mark.parametrize("count", [1, 2])
def test_pairs_are_laid_out_as_get_tokens_and_segments_lays_them_out(vocab_and_text, count):
    vocab, text = vocab_and_text
    # Of each sentence the tokens, and those of the next ones in its paragraph.
    parts = [(p, start) for p in made_up_text() for start in range(len(p))]
    behind = [list(chain.from_iterable(p[start : start + count])) for p, start in parts]
    pairs = draw_pairs(text, generator(), count)
    token_ids, segments, valid_lens = assemble(vocab, text, pairs, 24, count)
    for row in range(len(pairs.first)):
        a, b = behind[pairs.first[row]], behind[pairs.second[row]]
        len_a, len_b = truncated_lengths(torch.tensor(len(a)), torch.tensor(len(b)), 21)
        tokens, wanted_segments = get_tokens_and_segments(a[: int(len_a)], b[: int(len_b)])
        n = int(valid_lens[row])
        assert vocab.to_tokens(token_ids[row, :n]) == tokens
        assert segments[row, :n].tolist() == wanted_segments
        assert (token_ids[row, n:] == vocab.pad_id).all() and (segments[row, n:] == 0).all()
