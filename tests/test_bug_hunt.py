"""Each exercise: its solution, its near misses, its cell in the notebook, and its symptom."""

import ast
import json
import re
from pathlib import Path

import pytest
import torch
from bert_tutorial.exercises.hunt import CHECKS, solution_of
from bert_tutorial.exercises.vocabulary_cut import (
    cut_vocabulary,
    frequency_loss,
    say_prediction,
    train_with_cut,
)
from torch.nn import functional as F

from bert_tutorial import BERTModel, PretrainingExamples, load_data_wiki, mask_tokens
from bert_tutorial.exercises import bugs_loss, bugs_masking, bugs_network, bugs_text
from bert_tutorial.exercises.short_runs import made_up_corpus, short_training, with_held_out
from bert_tutorial.exercises.variations import (
    SentenceOrderExamples,
    WholeWordExamples,
    wordpiece_corpus,
)
from bert_tutorial.pretraining.settings import Settings
from bert_tutorial.text.tokenized import TokenizedText, tokenize_corpus
from bert_tutorial.text.wikitext_format import paragraphs

NOTEBOOK = Path(__file__).resolve().parents[1] / "notebooks" / "04_exercises.ipynb"
CELLS = [
    "".join(cell["source"])
    for cell in json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
    if cell["cell_type"] == "code"
]
CALLS = dict(re.findall(r'check_fix\("(\w+)", (\w+)\)', "\n".join(CELLS)))

each_exercise = pytest.mark.parametrize("name", CHECKS)


def notebook_function(name):
    """The function that stands in the notebook for an exercise, as shipped."""
    function = CALLS[name]
    (cell,) = (cell for cell in CELLS if f"def {function}(" in cell)
    assert cell.startswith("# Yours: ")
    names = {"torch": torch, "F": F, "Vocab": bugs_text.Vocab}
    exec(compile(cell, "cell", "exec"), names)
    return names[function]


def test_the_notebook_has_every_exercise_once():
    assert list(CALLS) == list(CHECKS)
    solutions = re.findall(r'solution_of\("(\w+)"\)', "\n".join(CELLS))
    assert solutions == list(CHECKS)


@each_exercise
def test_the_solution_is_right(name):
    assert CHECKS[name](CHECKS[name].solution).is_right
    assert CHECKS[name](CHECKS[name].specification.reference).is_right


@each_exercise
def test_the_cell_as_shipped_is_told_that_it_is_as_it_was(name):
    verdict = CHECKS[name](notebook_function(name))
    assert not verdict.is_right and str(verdict).startswith("As it was:")


@each_exercise
def test_each_near_miss_gets_its_own_message_and_none_shows_the_solution(name):
    near_misses, before = CHECKS[name].near_misses, torch.get_rng_state()
    assert len(near_misses) >= 4 and next(iter(near_misses)).startswith("As it was:")
    lines = [line.strip() for line in solution_of(name).code.splitlines()]
    for message, function in near_misses.items():
        verdict = CHECKS[name](function)
        assert verdict.near_miss == message
        assert "Smallest input that shows it: " in str(verdict)
        assert lines[-1] not in str(verdict)
    assert torch.equal(torch.get_rng_state(), before)


def test_wrong_answers_of_other_kinds_are_wrong():
    assert not CHECKS["mean"](lambda logits, labels, weights: logits.sum()).is_right
    assert "Tensor" in str(CHECKS["padding"](lambda scores, valid_lens: 1.0))
    assert "list" in str(CHECKS["vocabulary"](lambda train, valid, min_freq: None or 3))
    assert "entry: 99" in str(CHECKS["special"](lambda v, count, g: torch.full((count,), 99)))


def test_other_right_answers_are_right():
    def by_rejection(vocab, count, generator):
        drawn = torch.randint(len(vocab), (20 * count,), generator=generator)
        return drawn[torch.isin(drawn, vocab.word_ids)][:count]

    def by_where(scores, valid_lens):
        real = torch.arange(scores.shape[-1])[None, None] < valid_lens[:, None, None]
        return torch.where(real, scores, -1e9).softmax(-1)

    def by_loop(logits, labels, weights):
        real = weights.bool()
        return F.cross_entropy(logits[real], labels[real]).item()

    def with_package(net, token_ids, segments):
        with bugs_network.dropout_off(net):
            return net(token_ids, segments).encoded

    assert CHECKS["special"](by_rejection).is_right
    assert CHECKS["padding"](by_where).is_right
    assert CHECKS["mean"](by_loop).is_right and CHECKS["ignored"](by_loop).is_right
    assert CHECKS["dropout"](with_package).is_right


# The symptoms, with the sizes that the notebook's text claims.


@pytest.fixture(scope="module")
def train_iter():
    return load_data_wiki(128, 64, "bundled")[0]


@pytest.fixture(scope="module")
def slots(train_iter):
    batch = train_iter.batch_at(0)
    weights, labels = batch.mlm_weights.flatten(), batch.mlm_labels.flatten()
    logits = (torch.tensor(train_iter.vocab.counts) + 1.0).log().repeat(len(labels), 1)
    return logits, labels, weights


def test_symptom_of_the_mean_and_of_the_ignored_word(slots):
    logits, labels, weights = slots
    known = logits.clone()
    known[weights == 0, 0] += 20
    loss = bugs_loss.slot_loss_as_it_was(known, labels, weights)
    assert loss < 0.55 * bugs_loss.right_slot_loss(known, labels, weights)
    as_it_was = bugs_loss.label_loss_as_it_was(logits, labels, weights)
    assert as_it_was > bugs_loss.right_label_loss(logits, labels, weights) + 0.01
    assert ((labels == 0) & (weights == 1)).any()


def test_symptom_of_the_table(slots):
    logits, labels, weights = slots
    real = labels[weights == 1]
    always_right = F.one_hot(real, logits.shape[1]).float()
    assert bugs_loss.accuracy_as_it_was(always_right, real[:, None]) < 0.05
    assert bugs_loss.right_accuracy(always_right, real[:, None]) == 1


def test_symptom_of_dropout(train_iter):
    torch.manual_seed(0)
    net = BERTModel(len(train_iter.vocab), dropout=0.2)
    inputs = torch.tensor([[3, 5, 6, 4]]), torch.zeros(1, 4, dtype=torch.long)
    first, second = (bugs_network.encoding_as_it_was(net, *inputs)[0, 1] for _ in range(2))
    assert F.cosine_similarity(first, second, dim=0) < 0.9


def test_symptom_of_special_tokens_and_frozen_masks(train_iter):
    vocab, rows = train_iter.vocab, train_iter.batch_at(0).token_ids
    generator = torch.Generator().manual_seed(0)
    drawn = bugs_masking.random_words_as_it_was(vocab, 10_000, generator)
    assert 0 < torch.isin(drawn, torch.tensor(vocab.special_ids)).sum() < 40
    is_word = torch.isin(rows, vocab.word_ids)
    asked = {}
    for epochs in (bugs_masking.epochs_as_it_was, bugs_masking.right_epochs):
        seen = torch.zeros_like(rows)
        for epoch in epochs(vocab, rows, 10, torch.Generator().manual_seed(0)):
            seen.scatter_add_(1, epoch.pred_positions, epoch.mlm_weights.long())
        asked[epochs] = (seen[is_word] > 0).float().mean()
    assert asked[bugs_masking.epochs_as_it_was] < 0.25 < 0.8 < asked[bugs_masking.right_epochs]


def test_symptom_of_the_rate():
    examples = with_held_out(PretrainingExamples, made_up_corpus(), 32, 24)

    def train(rate):
        class Rated(Settings):
            def learning_rate_at(self, step):
                return rate(step, self.num_steps, self.learning_rate)

        recipe = Rated(num_steps=150, learning_rate=0.005, optimizer="adam", word_neighbours=False)
        return short_training(examples, recipe=recipe, num_hiddens=64, ffn_num_hiddens=128).mlm_loss

    frequencies = frequency_loss(examples)
    assert train(bugs_network.rate_as_it_was) > frequencies - 0.1
    assert train(bugs_network.right_rate) < frequencies - 0.8


def test_symptom_of_padding_and_of_labels_that_leak(train_iter):
    batch, vocab = train_iter.batch_at(0), train_iter.vocab
    attention = bugs_network.attention_as_it_was(torch.zeros(128, 64, 64), batch.valid_lens)
    is_padding = torch.arange(64) >= batch.valid_lens[:, None, None]
    assert (attention * is_padding).sum(-1).mean() > 0.4
    rows = mask_tokens(vocab, batch.token_ids, torch.Generator().manual_seed(0))
    labels = bugs_text.labels_as_it_was(batch.token_ids, *rows[:3])
    real = labels != vocab.pad_id
    assert (labels == rows.token_ids)[real].float().mean() > 0.8


def test_symptom_of_two_vocabularies():
    corpus = tokenize_corpus("bundled")
    train, valid = (corpus.vocab.to_tokens(part.token_ids) for part in corpus[:2])
    _, own = bugs_text.ids_as_it_was(train, valid, 1)
    _, right = bugs_text.right_ids(train, valid, 1)
    assert sum(a == b for a, b in zip(own, right, strict=True)) < 0.5 * len(valid)


# Exercise 1 and the variations.


def test_a_cut_vocabulary_keeps_the_text_and_the_frequent_words():
    corpus = made_up_corpus()
    cut = cut_vocabulary(corpus, 2)
    assert len(cut.vocab) == 6 and sum(cut.vocab.counts) == sum(corpus.vocab.counts)
    assert len(cut.train.token_ids) == len(corpus.train.token_ids)
    assert set(cut.valid.token_ids.tolist()) == {0, 5}
    counted = cut.train.token_ids.bincount(minlength=6).tolist()
    assert counted == cut.vocab.counts
    for wrong in (1, 26):
        with pytest.raises(ValueError, match=r"must be from 2 to 25"):
            cut_vocabulary(corpus, wrong)


def test_with_fewer_answers_the_loss_is_lower():
    corpus = made_up_corpus()
    results = [train_with_cut(corpus, number, num_steps=5) for number in (2, 8, 25)]
    losses = [found.mlm_loss for found in results]
    assert losses == sorted(losses) and results[0].chance == pytest.approx(0.6931, abs=1e-3)
    assert results[0].mlm_loss < results[0].nsp_loss
    assert results[1].share == results[1].mlm_loss / results[1].chance


def test_a_prediction_is_compared_with_what_came():
    assert say_prediction(None, 3.0, 0.1).startswith("No prediction yet")
    assert say_prediction(3.0, 3.05, 0.1, " nats") == "predicted 3 nats, found 3.05 nats: close"
    assert say_prediction(5, 3.05, 0.1).endswith("a surprise")


@pytest.fixture(scope="module")
def pieces():
    return wordpiece_corpus(num_entries=1000)


def test_pieces_hold_the_whole_text(pieces):
    vocab = pieces.vocab
    assert len(vocab) == 1000 and sum(vocab.counts) == len(pieces.train.token_ids)
    (first, *_), *_ = paragraphs((Path(bugs_text.__file__).parents[1] / "data/corpus/train.tokens")
                                 .read_text("utf-8"))  # fmt: skip
    tokens = vocab.to_tokens(pieces.train.token_ids[: pieces.train.sentence_starts[1]])
    assert "".join(t.removeprefix("##") for t in tokens) == "".join(first)
    assert isinstance(pieces.train, TokenizedText) and not vocab.counts[vocab.unk_id]


def test_of_a_word_all_pieces_are_hidden_or_none(pieces):
    vocab = pieces.vocab
    batch = with_held_out(WholeWordExamples, pieces, batch_size=64).batch_at(0)
    used = batch.mlm_weights == 1
    answers = batch.mlm_labels.where(used, vocab.cls_id)
    token_ids = batch.token_ids.scatter(1, batch.pred_positions, answers)
    several = 0
    for row in range(64):
        chosen = set(batch.pred_positions[row][used[row]].tolist())
        for word in vocab.words(vocab.to_tokens(token_ids[row])):
            places = set(range(word.start, word.end))
            assert not places & chosen or places <= chosen
            several += len(places) > 1 and places <= chosen
    assert several > 20 and (batch.mlm_weights.sum(1) >= 1).all()
    assert not torch.isin(batch.mlm_labels[used], torch.tensor(vocab.special_ids)).any()
    assert (used.sum(1) <= (batch.valid_lens * 0.15).round() + 8).all()


def test_sentences_of_a_pair_are_neighbours_in_order_or_swapped():
    examples = with_held_out(SentenceOrderExamples, made_up_corpus(), 32, 24)
    first, second, in_order = examples.pairs(0)[0]
    assert torch.equal(second - first, 2 * in_order - 1)
    assert 0.4 < in_order.double().mean() < 0.6
    assert torch.equal(examples.batch_at(3).nsp_labels, examples.batch_at(3).nsp_labels)


def test_the_cells_for_the_learner_are_marked_and_parse():
    marked = [cell for cell in CELLS if cell.startswith("# Yours: ")]
    assert len(marked) == len(CHECKS) + 2  # and two predictions
    assert all(ast.parse(cell) for cell in marked)
