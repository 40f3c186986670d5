"""Masked words."""

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_tutorial.text.masking import mask_tokens
from bert_tutorial.text.vocabulary import SPECIAL_TOKENS, Vocab

FIFTY, THOUSAND = (Vocab(f"w{i}" for i in range(n - len(SPECIAL_TOKENS))) for n in (50, 1000))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def some_rows(num_rows, max_len, vocab, seed):
    token_ids = torch.randint(5, len(vocab), (num_rows, max_len), generator=generator(seed))
    valid_lens = torch.randint(5, max_len + 1, (num_rows,), generator=generator(seed + 1))
    token_ids[:, 0] = vocab.cls_id
    for sep in (valid_lens - 1, valid_lens // 2):
        token_ids.scatter_(1, sep[:, None], vocab.sep_id)
    is_padding = torch.arange(max_len) >= valid_lens[:, None]
    return token_ids.masked_fill(is_padding, vocab.pad_id), valid_lens


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.05, 0.15, 0.4, 0.9]), st.integers(8, 70))
def test_masking_hides_ordinary_tokens_and_nothing_else(seed, rate, max_len):
    token_ids, valid_lens = some_rows(20, max_len, FIFTY, seed)
    before = token_ids.clone()
    masked, positions, weights, labels = mask_tokens(FIFTY, token_ids, generator(seed), rate)
    assert torch.equal(token_ids, before)
    slots = max(1, round(max_len * rate))
    assert positions.shape == weights.shape == labels.shape == (20, slots)
    for row, n in enumerate(valid_lens.tolist()):
        used = weights[row] == 1
        chosen = positions[row][used]
        assert torch.equal(chosen, chosen.unique())  # ascending, none twice
        assert len(chosen) == min(max(1, round(n * rate)), slots, n - 3)
        assert (token_ids[row][chosen] >= len(SPECIAL_TOKENS)).all()  # these texts hold no <unk>
        assert torch.equal(labels[row][used], token_ids[row][chosen])
        others = torch.ones(max_len, dtype=torch.bool).scatter(0, chosen, False)
        assert torch.equal(masked[row][others], token_ids[row][others])
        assert (weights[row][~used] == 0).all() and (positions[row][~used] == 0).all()


def test_80_percent_masked_10_random_10_kept():
    token_ids, _ = some_rows(4000, 64, THOUSAND, 0)
    masked, positions, weights, labels = mask_tokens(THOUSAND, token_ids, generator())
    used = weights.bool()
    now, then = masked.gather(1, positions)[used], labels[used]
    is_mask, is_kept = now == THOUSAND.mask_id, now == then
    for found, wanted in ((is_mask, 0.8), (is_kept, 0.1 + 0.1 / 995)):
        fraction = found.double().mean().item()
        assert abs(fraction - wanted) < 5 * math.sqrt(wanted * (1 - wanted) / len(then))
    replaced = now[~is_mask & ~is_kept]
    assert (replaced >= len(SPECIAL_TOKENS)).all()
    assert len(replaced.unique()) > 800  # spread over the vocabulary


def test_every_ordinary_position_is_as_likely_to_be_chosen():
    cls, sep, pad = FIFTY.cls_id, FIFTY.sep_id, FIFTY.pad_id
    token_ids = torch.tensor([[cls, 10, 11, 12, sep, 13, 14, 15, sep, pad]]).repeat(20_000, 1)
    _, positions, weights, _ = mask_tokens(FIFTY, token_ids, generator())
    counts = torch.bincount(positions[weights.bool()], minlength=10)
    expected = counts.sum() / 6
    assert counts[[0, 4, 8, 9]].sum() == 0
    assert ((counts[[1, 2, 3, 5, 6, 7]] - expected).abs() < 5 * expected.sqrt()).all()
