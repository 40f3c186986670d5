"""Sentence pairs, masks and batches."""

import math
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from bert_tutorial import examples
from bert_tutorial.examples import (
    CLS_ID,
    MASK_ID,
    PAD_ID,
    SEP_ID,
    PretrainingExamples,
    TokenizedText,
    assemble,
    draw_pairs,
    get_tokens_and_segments,
    load_data_wiki,
    mask_tokens,
    truncated_lengths,
)
from bert_tutorial.vocabulary import SPECIAL_TOKENS, Vocab


def made_up_text(num_paragraphs=40, seed=0):
    """Paragraphs of 2 to 6 sentences of 3 to 40 words; word `p12s3w0` says where it stands."""
    draw = random.Random(seed)
    return [
        [[f"p{p}s{s}w{w}" for w in range(draw.randint(3, 40))] for s in range(draw.randint(2, 6))]
        for p in range(num_paragraphs)
    ]


def tokenized(paragraphs):
    vocab = Vocab(token for paragraph in paragraphs for sentence in paragraph for token in sentence)
    return TokenizedText.from_paragraphs(paragraphs, vocab), vocab


@pytest.fixture(scope="module")
def text_and_vocab():
    return tokenized(made_up_text())


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_tokens_and_segments():
    assert get_tokens_and_segments(["a", "crane"]) == (["<cls>", "a", "crane", "<sep>"], [0, 0, 0, 0])
    tokens, segments = get_tokens_and_segments(["a"], ["he", "left"])
    assert tokens == ["<cls>", "a", "<sep>", "he", "left", "<sep>"]
    assert segments == [0, 0, 0, 1, 1, 1]


@given(st.integers(0, 90), st.integers(0, 90), st.integers(2, 80))
def test_truncation_takes_from_the_longer_one_token_at_a_time(len_a, len_b, budget):
    a, b = len_a, len_b
    while a + b > budget:  # as in Devlin et al.'s code
        a, b = (a - 1, b) if a > b else (a, b - 1)
    got_a, got_b = truncated_lengths(torch.tensor([len_a]), torch.tensor([len_b]), budget)
    assert (int(got_a), int(got_b)) == (a, b)


@pytest.mark.parametrize("share", [0.5, 0.85, 1.0])
def test_a_share_of_the_pairs_follow_and_the_others_are_of_another_paragraph(text_and_vocab, share):
    text, _ = text_and_vocab
    starts = text.paragraph_starts
    paragraph_of = torch.repeat_interleave(torch.arange(len(starts) - 1), starts.diff())
    followed = total = 0
    drawn = set()
    for seed in range(30):
        first, second, is_next = draw_pairs(text, generator(seed), next_share=share)
        follows = is_next == 1
        assert torch.equal(second[follows], first[follows] + 1)
        assert torch.equal(paragraph_of[second[follows]], paragraph_of[first[follows]])
        assert (paragraph_of[second[~follows]] != paragraph_of[first[~follows]]).all()
        drawn |= set(second[~follows].tolist())
        followed, total = followed + int(follows.sum()), total + len(first)
    assert abs(followed - total * share) <= 5 * math.sqrt(total * share * (1 - share))
    assert share > 0.5 or drawn == set(
        range(len(paragraph_of))
    )  # every sentence can be drawn, the first and the last too


def test_pairs_are_laid_out_as_get_tokens_and_segments_lays_them_out(text_and_vocab):
    text, vocab = text_and_vocab
    sentences = [s for paragraph in made_up_text() for s in paragraph]
    first, second, _ = draw_pairs(text, generator())
    token_ids, segments, valid_lens = assemble(text, first, second, max_len=24)
    for row in range(len(first)):
        a, b = sentences[first[row]], sentences[second[row]]
        len_a, len_b = truncated_lengths(torch.tensor(len(a)), torch.tensor(len(b)), 21)
        tokens, wanted_segments = get_tokens_and_segments(a[: int(len_a)], b[: int(len_b)])
        n = int(valid_lens[row])
        assert vocab.to_tokens(token_ids[row, :n]) == tokens
        assert segments[row, :n].tolist() == wanted_segments
        assert (token_ids[row, n:] == PAD_ID).all() and (segments[row, n:] == 0).all()


def some_rows(num_rows, max_len, vocab_size, seed):
    token_ids = torch.randint(5, vocab_size, (num_rows, max_len), generator=generator(seed))
    valid_lens = torch.randint(5, max_len + 1, (num_rows,), generator=generator(seed + 1))
    token_ids[:, 0] = CLS_ID
    token_ids.scatter_(1, valid_lens[:, None] - 1, SEP_ID).scatter_(1, valid_lens[:, None] // 2, SEP_ID)
    return token_ids.masked_fill(torch.arange(max_len) >= valid_lens[:, None], PAD_ID), valid_lens


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.sampled_from([0.05, 0.15, 0.4, 0.9]), st.integers(8, 70))
def test_masking_hides_ordinary_tokens_and_nothing_else(seed, rate, max_len):
    token_ids, valid_lens = some_rows(20, max_len, 50, seed)
    before = token_ids.clone()
    masked, positions, weights, labels = mask_tokens(token_ids, 50, generator(seed), rate)
    assert torch.equal(token_ids, before)
    slots = max(1, round(max_len * rate))
    assert positions.shape == weights.shape == labels.shape == (20, slots)
    for row in range(20):
        used = weights[row] == 1
        chosen = positions[row][used]
        assert len(set(chosen.tolist())) == len(chosen) >= 1
        assert torch.equal(chosen, chosen.sort().values)
        assert (token_ids[row][chosen] >= len(SPECIAL_TOKENS)).all()  # these texts hold no <unk>
        assert torch.equal(labels[row][used], token_ids[row][chosen])
        ordinary = int(valid_lens[row]) - 3
        assert len(chosen) == min(max(1, round(int(valid_lens[row]) * rate)), slots, ordinary)
        others = torch.ones(max_len, dtype=torch.bool).scatter(0, chosen, False)
        assert torch.equal(masked[row][others], token_ids[row][others])
        assert (weights[row][~used] == 0).all() and (positions[row][~used] == 0).all()


def test_80_percent_masked_10_random_10_kept():
    token_ids, _ = some_rows(4000, 64, 1000, 0)
    masked, positions, weights, labels = mask_tokens(token_ids, 1000, generator())
    used = weights.bool()
    now, then = masked.gather(1, positions)[used], labels[used]
    n = len(then)
    share_masked = (now == MASK_ID).double().mean().item()
    share_kept = (now == then).double().mean().item()
    share_random = 1 - share_masked - share_kept
    for share, wanted in ((share_masked, 0.8), (share_random, 0.1 * 994 / 995), (share_kept, 0.1 + 0.1 / 995)):
        assert abs(share - wanted) < 5 * math.sqrt(wanted * (1 - wanted) / n)
    replaced = now[(now != MASK_ID) & (now != then)]
    assert (replaced >= len(SPECIAL_TOKENS)).all()
    assert len(replaced.unique()) > 800  # spread over the vocabulary


def test_every_ordinary_position_is_as_likely_to_be_chosen():
    token_ids = torch.tensor([[CLS_ID, 10, 11, 12, SEP_ID, 13, 14, 15, SEP_ID, PAD_ID]]).repeat(20_000, 1)
    _, positions, weights, _ = mask_tokens(token_ids, 50, generator())
    counts = torch.bincount(positions[weights.bool()], minlength=10)
    expected = counts.sum() / 6
    assert counts[[0, 4, 8, 9]].sum() == 0
    assert ((counts[[1, 2, 3, 5, 6, 7]] - expected).abs() < 5 * expected.sqrt()).all()


def test_batches_have_the_documents_shapes(text_and_vocab):
    text, vocab = text_and_vocab
    data = PretrainingExamples(text, vocab, 16, 64)
    batch = data.batch(0, 0)
    assert [tuple(field.shape) for field in batch] == [(16, 64), (16, 64), (16,), (16, 10), (16, 10), (16, 10), (16,)]
    assert batch.mlm_weights.dtype == torch.float32 and batch.token_ids.dtype == torch.int64
    assert len(list(data)) == len(data) == data.num_pairs // 16


def test_an_epoch_holds_each_pair_at_most_once_and_batches_are_of_similar_length(text_and_vocab):
    text, vocab = text_and_vocab
    data = PretrainingExamples(text, vocab, 8, 64)
    first, _, _ = data.pairs(3)
    assert len(set(first.tolist())) == len(first) == len(data) * 8
    spread = [int(b.valid_lens.max() - b.valid_lens.min()) for b in data]
    assert sorted(spread)[len(spread) // 2] <= 8  # unsorted batches of 8 spread over about 40


def test_same_seed_same_batch_in_whatever_order_they_are_asked_for(text_and_vocab):
    text, vocab = text_and_vocab
    one, two = (PretrainingExamples(text, vocab, 8, 32, seed=7) for _ in range(2))
    later = two.batch(2, 3)
    two.batch(0, 1)
    for a, b in zip(one.batch(2, 3), later, strict=True):
        assert_close(a, b, rtol=0, atol=0)
    assert not torch.equal(
        one.batch(2, 3).token_ids, PretrainingExamples(text, vocab, 8, 32, seed=8).batch(2, 3).token_ids
    )


def test_every_epoch_is_drawn_anew_and_a_fixed_one_is_not(text_and_vocab):
    text, vocab = text_and_vocab
    data = PretrainingExamples(text, vocab, 1000, 32)
    one, two = next(iter(data)), next(iter(data))
    assert not torch.equal(one.token_ids, two.token_ids)
    fixed = PretrainingExamples(text, vocab, 1000, 32, fixed=True)
    assert torch.equal(next(iter(fixed)).token_ids, next(iter(fixed)).token_ids)


def test_the_global_random_state_is_not_touched(text_and_vocab):
    before = torch.get_rng_state()
    PretrainingExamples(*text_and_vocab, 8, 32).batch(0, 0)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("max_len", [64, 61, 12])
def test_trim_leaves_out_padding_only(text_and_vocab, max_len):
    examples = PretrainingExamples(*text_and_vocab, 8, max_len)
    for index in range(len(examples)):
        batch = examples.batch(0, index)
        short = batch.trim()
        longest, slots = int(batch.valid_lens.max()), int(batch.mlm_weights.sum(1).max())
        length = short.token_ids.shape[1]
        assert longest <= length < longest + 8 and (length % 8 == 0 or length == max_len)
        assert short.token_ids.shape == short.segments.shape == (8, length)
        assert short.mlm_labels.shape == short.pred_positions.shape == short.mlm_weights.shape == (8, slots)
        assert torch.equal(short.token_ids, batch.token_ids[:, :length])
        assert (batch.token_ids[:, length:] == PAD_ID).all() and batch.mlm_weights[:, slots:].sum() == 0


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"max_len": 4}, "max_len"),
        ({"mask_rate": 0}, "mask_rate"),
        ({"mask_rate": 1.5}, "mask_rate"),
    ],
)
def test_impossible_settings_are_named(text_and_vocab, settings, named):
    with pytest.raises(ValueError, match=f"^{named} is "):
        PretrainingExamples(*text_and_vocab, **{"batch_size": 8, "max_len": 32, **settings})


def test_a_text_without_pairs_is_refused():
    with pytest.raises(ValueError, match="two paragraphs"):
        PretrainingExamples(*tokenized([[["only", "one"]], [["other"]]]), 8, 32)


def test_own_text_end_to_end(tmp_path, monkeypatch):
    monkeypatch.setenv("BERT_TUTORIAL_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "own.txt"
    path.write_text("".join(f"Cat {i} sat here. Then it ran. It saw a dog.\n" for i in range(40)))
    train_iter, vocab = load_data_wiki(8, 32, corpus=path)
    assert "cat" in vocab and len(train_iter) > 0 and len(train_iter.valid) > 0
    (cached,) = (tmp_path / "cache" / "tokenized").iterdir()
    again, _ = load_data_wiki(8, 32, corpus=path)
    assert torch.equal(again.batch(1, 0).token_ids, train_iter.batch(1, 0).token_ids)
    cached.write_bytes(b"damaged")
    repaired, _ = load_data_wiki(8, 32, corpus=path)
    assert torch.equal(repaired.batch(1, 0).token_ids, train_iter.batch(1, 0).token_ids)
    path.write_text(path.read_text().replace("dog", "cow"))  # a changed text is not mistaken for the cached one
    assert "cow" in load_data_wiki(8, 32, corpus=path)[1]


def test_the_held_out_examples_do_not_depend_on_the_batch_size():
    small, large = (load_data_wiki(batch_size, 64)[0] for batch_size in (16, 512))
    assert small.batch_size == 16 and large.batch_size == 512
    for one, other in zip(small.valid, large.valid, strict=True):
        assert all(map(torch.equal, one, other))
    assert len(large.valid) * large.valid.batch_size > 0.9 * large.valid.num_pairs  # little is left out


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("a file where the folder should be")
    monkeypatch.setenv("BERT_TUTORIAL_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "own.txt"
    path.write_text("".join(f"Cat {i} sat here. Then it ran. It saw a dog.\n" for i in range(40)))
    assert len(load_data_wiki(8, 32, corpus=path)[0]) > 0


def test_wikitext2_has_the_documents_vocabulary(tmp_path, monkeypatch, wikitext2_server):
    monkeypatch.setenv("BERT_TUTORIAL_CACHE", str(tmp_path))
    monkeypatch.setenv("BERT_TUTORIAL_WIKITEXT2_URL", wikitext2_server.url)
    train_iter, vocab = load_data_wiki(512, 64, corpus="wikitext-2")
    assert len(vocab) == 20256  # as the document's
    assert train_iter.num_pairs == 59135  # the document keeps 44,225 of them, those that fit 64 positions
    assert tuple(train_iter.batch(0, 0).token_ids.shape) == (512, 64)
    assert examples.load_data_wiki(512, 64, corpus="wikitext-2")[1].itos == vocab.itos
