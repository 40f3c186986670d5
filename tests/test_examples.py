"""Batches."""

import pytest
import torch
from small import assert_identical, made_up_text, tokenized
from torch.utils.data import DataLoader

from bert_tutorial.text.examples import PretrainingExamples, load_data_wiki

VOCAB_AND_TEXT = tokenized(made_up_text())


def test_batches_have_d2ls_shapes():
    data = PretrainingExamples(*VOCAB_AND_TEXT, 16, 64)
    batch = data.batch(0, 0)
    shapes = [(16, 64), (16, 64), (16,), (16, 10), (16, 10), (16, 10), (16,)]
    assert [tuple(field.shape) for field in batch] == shapes
    assert batch.mlm_weights.dtype == torch.float32 and batch.token_ids.dtype == torch.int64
    assert len(list(data)) == len(data) == data.num_pairs // 16
    parts = batch.split(7)
    assert [len(part.nsp_labels) for part in parts] == [7, 7, 2]
    assert_identical(torch.cat([part.token_ids for part in parts]), batch.to("cpu").token_ids)


def test_an_epoch_holds_each_pair_at_most_once_and_batches_are_of_similar_length():
    data = PretrainingExamples(*VOCAB_AND_TEXT, 8, 64)
    ((first, _, _),) = data.pairs(3)
    assert len(set(first.tolist())) == len(first) == len(data) * 8
    spread = [int(b.valid_lens.max() - b.valid_lens.min()) for b in data]
    assert sorted(spread)[len(spread) // 2] <= 8  # unsorted batches of 8 spread over about 40


def test_a_batch_follows_from_seed_and_place_alone():
    state = torch.get_rng_state()
    one, two = (PretrainingExamples(*VOCAB_AND_TEXT, 8, 32, seed=7) for _ in range(2))
    later, n = two.batch(2, 3), len(one)
    for step, place in ((0, (0, 0)), (n - 1, (0, n - 1)), (n, (1, 0)), (2 * n + 3, (2, 3))):
        assert_identical(two.batch_at(step), one.batch(*place))
    assert_identical(one.batch(2, 3), later)
    assert torch.equal(torch.get_rng_state(), state)  # the global one is not touched
    alike = PretrainingExamples(*tokenized([[["a"] * 5] * 6] * 9), 8, 16)  # all rows are as long
    assert not torch.equal(alike.batch(0, 0).pred_positions, alike.batch(0, 1).pred_positions)
    other = PretrainingExamples(*VOCAB_AND_TEXT, 8, 32, seed=8)
    assert not torch.equal(one.batch(2, 3).token_ids, other.batch(2, 3).token_ids)


@pytest.mark.parametrize("fixed", [False, True])
def test_every_epoch_is_drawn_anew_and_a_fixed_one_is_not(fixed):
    data = PretrainingExamples(*VOCAB_AND_TEXT, 1000, 32, fixed=fixed)
    assert len(data) == 1 and data.batch_size == data.num_pairs  # a text of fewer pairs
    assert torch.equal(next(iter(data)).token_ids, next(iter(data)).token_ids) == fixed


@pytest.mark.parametrize("max_len", [64, 61, 12])
def test_trim_leaves_out_padding_only(max_len):
    examples = PretrainingExamples(*VOCAB_AND_TEXT, 8, max_len)
    for batch in examples:
        short = batch.trim()
        longest, slots = int(batch.valid_lens.max()), int(batch.mlm_weights.sum(1).max())
        length = short.token_ids.shape[1]
        assert longest <= length < longest + 8 and (length % 8 == 0 or length == max_len)
        sizes = (length, length, None, slots, slots, slots, None)
        for found, field, size in zip(short, batch, sizes, strict=True):
            assert torch.equal(found, field[:, :size] if size else field)


@pytest.mark.parametrize(
    ("name", "value"),
    [("batch_size", 0), ("batch_size", 8.0), ("max_len", 4), ("mask_rate", 0), ("mask_rate", 1.5),
     ("next_sentence_rate", 1.1),
     *(("sentences_per_segment", value) for value in ((), (1, 0), (1, "2"), 1.5, None, True))],
)  # fmt: skip
def test_impossible_settings_are_named(name, value):
    with pytest.raises(ValueError, match=f"^{name} is "):
        PretrainingExamples(*VOCAB_AND_TEXT, **{"batch_size": 8, "max_len": 32, name: value})


def test_a_text_without_pairs_is_refused():
    for text in ([[["only", "one"]], [["other"]]], [[["only"], ["one"], ["paragraph"]]]):
        with pytest.raises(ValueError, match="two paragraphs"):
            PretrainingExamples(*tokenized(text), 8, 32)


def test_the_held_out_examples_do_not_depend_on_the_settings_of_training(capsys):
    small, vocab = load_data_wiki(16, 64)
    said = capsys.readouterr().out  # without a name the bundled corpus is taken
    assert said == 'corpus: bundled; d2l\'s is load_data_wiki(..., corpus="wikitext-2")\n'
    settings = dict(mask_rate=0.4, sentences_per_segment=(1, 2), next_sentence_rate=1.0)
    large, _ = load_data_wiki(512, 64, "bundled", **settings)
    assert capsys.readouterr().out == ""
    assert (small.batch_size, large.batch_size, small.vocab) == (16, 512, vocab)
    assert {name: getattr(large, name) for name in settings} == settings
    for one, other in zip(small.valid, large.valid, strict=True):
        assert_identical(one, other)
    # Little is left out.
    assert len(large.valid) * large.valid.batch_size > 0.9 * large.valid.num_pairs


def test_with_several_numbers_of_sentences_each_batch_has_another():
    def examples(max_len=200, next_sentence_rate=1.0, **settings):
        settings |= dict(next_sentence_rate=next_sentence_rate, mask_rate=0.01)
        return PretrainingExamples(*VOCAB_AND_TEXT, 8, max_len, **settings)

    data, one, three = (examples(sentences_per_segment=count) for count in ((1, 3), 1, 3))
    assert len(data) == len(three) <= len(one)  # an epoch is as long as the shortest
    lengths = VOCAB_AND_TEXT[1].sentence_starts.diff()
    for step in range(2 * len(data)):
        sizes = (data.batch_at(step).token_ids == data.vocab.sep_id).int().argmax(1) - 1
        if step % 2 == 0:
            assert set(sizes.tolist()) <= set(lengths.tolist())
        else:
            assert sizes.double().mean() > 2 * lengths.double().mean()
    game = examples(sentences_per_segment=(1, 2), next_sentence_rate=0.5)
    labels = torch.cat([game.batch_at(step).nsp_labels for step in range(2 * len(game))])
    assert 0.3 < labels.double().mean() < 0.7
    assert examples(sentences_per_segment=(2, 90)).sentence_counts == [2]  # none has 91 sentences


@pytest.mark.parametrize("num_workers", [0, 2])
def test_the_workers_of_a_data_loader_share_each_epoch(num_workers):
    data, plain = (PretrainingExamples(*VOCAB_AND_TEXT, 16, 64) for _ in range(2))
    how = dict(num_workers=num_workers, persistent_workers=num_workers > 0)
    loader = DataLoader(data, batch_size=None, **how)
    for _ in range(2):
        wanted = [batch.token_ids.tolist() for batch in plain]
        assert [batch.token_ids.tolist() for batch in loader] == wanted and len(wanted) > 2
