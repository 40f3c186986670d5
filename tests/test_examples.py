"""Batches."""

import pytest
import torch
from small import made_up_text, tokenized
from torch.testing import assert_close

from bert_tutorial.text.examples import PretrainingExamples, load_data_wiki


@pytest.fixture(scope="module")
def vocab_and_text():
    return tokenized(made_up_text())


def test_batches_have_d2ls_shapes(vocab_and_text):
    vocab, text = vocab_and_text
    data = PretrainingExamples(vocab, text, 16, 64)
    batch = data.batch(0, 0)
    assert [tuple(field.shape) for field in batch] == [
        (16, 64),
        (16, 64),
        (16,),
        (16, 10),
        (16, 10),
        (16, 10),
        (16,),
    ]
    assert batch.mlm_weights.dtype == torch.float32 and batch.token_ids.dtype == torch.int64
    assert len(list(data)) == len(data) == data.num_pairs // 16


def test_an_epoch_holds_each_pair_at_most_once_and_batches_are_of_similar_length(vocab_and_text):
    vocab, text = vocab_and_text
    data = PretrainingExamples(vocab, text, 8, 64)
    ((first, _, _),) = data.pairs(3)
    assert len(set(first.tolist())) == len(first) == len(data) * 8
    spread = [int(b.valid_lens.max() - b.valid_lens.min()) for b in data]
    assert sorted(spread)[len(spread) // 2] <= 8  # unsorted batches of 8 spread over about 40


def test_same_seed_same_batch_in_whatever_order_they_are_asked_for(vocab_and_text):
    vocab, text = vocab_and_text
    one, two = (PretrainingExamples(vocab, text, 8, 32, seed=7) for _ in range(2))
    later = two.batch(2, 3)
    two.batch(0, 1)
    for a, b in zip(one.batch(2, 3), later, strict=True):
        assert_close(a, b, rtol=0, atol=0)
    assert not torch.equal(
        one.batch(2, 3).token_ids,
        PretrainingExamples(vocab, text, 8, 32, seed=8).batch(2, 3).token_ids,
    )


def test_every_epoch_is_drawn_anew_and_a_fixed_one_is_not(vocab_and_text):
    vocab, text = vocab_and_text
    data = PretrainingExamples(vocab, text, 1000, 32)
    one, two = next(iter(data)), next(iter(data))
    assert not torch.equal(one.token_ids, two.token_ids)
    fixed = PretrainingExamples(vocab, text, 1000, 32, fixed=True)
    assert torch.equal(next(iter(fixed)).token_ids, next(iter(fixed)).token_ids)


def test_the_global_random_state_is_not_touched(vocab_and_text):
    before = torch.get_rng_state()
    PretrainingExamples(*vocab_and_text, 8, 32).batch(0, 0)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("max_len", [64, 61, 12])
def test_trim_leaves_out_padding_only(vocab_and_text, max_len):
    examples = PretrainingExamples(*vocab_and_text, 8, max_len)
    for index in range(len(examples)):
        batch = examples.batch(0, index)
        short = batch.trim()
        longest, slots = int(batch.valid_lens.max()), int(batch.mlm_weights.sum(1).max())
        length = short.token_ids.shape[1]
        assert longest <= length < longest + 8 and (length % 8 == 0 or length == max_len)
        assert short.token_ids.shape == short.segments.shape == (8, length)
        assert (
            short.mlm_labels.shape
            == short.pred_positions.shape
            == short.mlm_weights.shape
            == (8, slots)
        )
        assert torch.equal(short.token_ids, batch.token_ids[:, :length])
        assert (batch.token_ids[:, length:] == examples.vocab.pad_id).all()
        assert batch.mlm_weights[:, slots:].sum() == 0


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"max_len": 4}, "max_len"),
        ({"mask_rate": 0}, "mask_rate"),
        ({"mask_rate": 1.5}, "mask_rate"),
    ],
)
def test_impossible_settings_are_named(vocab_and_text, settings, named):
    with pytest.raises(ValueError, match=f"^{named} is "):
        PretrainingExamples(*vocab_and_text, **{"batch_size": 8, "max_len": 32, **settings})


def test_a_text_without_pairs_is_refused():
    with pytest.raises(ValueError, match="two paragraphs"):
        PretrainingExamples(*tokenized([[["only", "one"]], [["other"]]]), 8, 32)


def test_the_held_out_examples_do_not_depend_on_the_batch_size():
    small, large = (load_data_wiki(batch_size, 64, "bundled")[0] for batch_size in (16, 512))
    assert small.batch_size == 16 and large.batch_size == 512
    for one, other in zip(small.valid, large.valid, strict=True):
        assert all(map(torch.equal, one, other))
    # Little is left out.
    assert len(large.valid) * large.valid.batch_size > 0.9 * large.valid.num_pairs


def test_the_batch_of_a_step_is_counted_over_all_epochs(vocab_and_text):
    examples = PretrainingExamples(*vocab_and_text, 8, 32)
    n = len(examples)
    for step, place in ((0, (0, 0)), (n - 1, (0, n - 1)), (n, (1, 0)), (2 * n + 3, (2, 3))):
        assert torch.equal(examples.batch_at(step).token_ids, examples.batch(*place).token_ids)


@pytest.mark.parametrize("workers", [0, 2, 3])
def test_a_data_loader_gives_every_batch_once(vocab_and_text, workers):
    examples = PretrainingExamples(*vocab_and_text, 8, 32)
    loader = torch.utils.data.DataLoader(AnIterable(examples), batch_size=None, num_workers=workers)
    found = sorted(batch[0].sum().item() for batch in loader)
    wanted = [examples.batch(0, i).token_ids.sum().item() for i in range(len(examples))]
    assert found == sorted(wanted)


class AnIterable(torch.utils.data.IterableDataset):
    def __init__(self, examples):
        self.examples = examples

    def __iter__(self):
        self.examples.epoch = 0
        return iter(self.examples)


def test_without_a_name_the_bundled_corpus_is_taken_and_that_is_said(capsys):
    unnamed, _ = load_data_wiki(16, 64)
    said = capsys.readouterr().out
    assert said == 'corpus: bundled; d2l\'s is load_data_wiki(..., corpus="wikitext-2")\n'
    named, _ = load_data_wiki(16, 64, "bundled")
    assert torch.equal(unnamed.batch_at(0).token_ids, named.batch_at(0).token_ids)
    assert capsys.readouterr().out == ""


def test_with_several_numbers_of_sentences_each_batch_has_another(vocab_and_text):
    vocab, text = vocab_and_text
    settings = dict(next_sentence_rate=1.0, mask_rate=0.01)
    data = PretrainingExamples(vocab, text, 8, 200, sentences_per_segment=(1, 3), **settings)
    alone = [
        PretrainingExamples(vocab, text, 8, 200, sentences_per_segment=count, **settings)
        for count in (1, 3)
    ]
    assert len(data) == len(alone[1]) <= len(alone[0])  # an epoch is as long as the shortest
    lengths = text.sentence_starts.diff()
    for step in range(2 * len(data)):
        batch = data.batch_at(step)
        sizes = (batch.token_ids == vocab.sep_id).int().argmax(1) - 1
        if step % 2 == 0:
            assert set(sizes.tolist()) <= set(lengths.tolist())
        else:
            assert sizes.double().mean() > 2 * lengths.double().mean()
    last = 2 * len(data) - 1
    wanted = [data.batch_at(step).token_ids for step in (0, last)]
    again = PretrainingExamples(vocab, text, 8, 200, sentences_per_segment=(1, 3), **settings)
    for step, rows in zip((last, 0), reversed(wanted), strict=True):  # in another order
        assert torch.equal(again.batch_at(step).token_ids, rows)
    game = PretrainingExamples(vocab, text, 8, 64, sentences_per_segment=(1, 2))
    labels = torch.cat([game.batch_at(step).nsp_labels for step in range(2 * len(game))])
    assert 0.3 < labels.double().mean() < 0.7
    many = PretrainingExamples(vocab, text, 8, 64, sentences_per_segment=(2, 90), **settings)
    assert many.sentence_counts == [2]  # no paragraph has 91 sentences
    for wrong in ((), (1, 0), (1, "2"), 1.5, None, True):
        with pytest.raises(ValueError, match="sentences_per_segment is"):
            PretrainingExamples(vocab, text, 8, 64, sentences_per_segment=wrong)
