"""Each exercise: its solution, its near misses, its cell in the notebook, and its symptom."""

import ast
import json
import re
from itertools import chain
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

import bert_tutorial
from bert_tutorial import BERTModel, PretrainingExamples, load_data_wiki, mask_tokens, read_text
from bert_tutorial.exercises.answers import CHECKS, solution_of
from bert_tutorial.exercises.chance import (
    cut_vocabulary,
    frequency_loss,
    say_prediction,
    train_with_cut,
)
from bert_tutorial.exercises.short_runs import made_up_corpus, short_training, with_held_out
from bert_tutorial.exercises.variations import (
    SentenceOrderExamples,
    WholeWordExamples,
    wordpiece_corpus,
)
from bert_tutorial.network.model import dropout_off
from bert_tutorial.pretraining.evaluation import baselines
from bert_tutorial.pretraining.settings import Settings
from bert_tutorial.text.tokenized import tokenize_corpus
from bert_tutorial.text.wikitext_format import paragraphs

NOTEBOOK = Path(__file__).resolve().parents[1] / "notebooks" / "04_exercises.ipynb"
CELLS = [
    "".join(cell["source"])
    for cell in json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
    if cell["cell_type"] == "code"
]
CALLS = dict(re.findall(r'check_fix\("(\w+)", (\w+)\)', "\n".join(CELLS)))

each_exercise = pytest.mark.parametrize("name", CHECKS)


def shipped(name):
    """The function that stands in the notebook for an exercise, before it is repaired."""
    function = CALLS[name]
    (cell,) = (cell for cell in CELLS if f"def {function}(" in cell)
    assert cell.startswith("# Yours: ")
    names = {"torch": torch, "F": F, "Vocab": bert_tutorial.Vocab}
    exec(compile(cell, "cell", "exec"), names)
    return names[function]


def test_the_notebook_has_every_exercise_once():
    assert list(CALLS) == list(CHECKS)
    assert re.findall(r'solution_of\("(\w+)"\)', "\n".join(CELLS)) == list(CHECKS)
    marked = [cell for cell in CELLS if cell.startswith("# Yours: ")]
    assert len(marked) == len(CHECKS) + 2  # and two predictions
    assert all(ast.parse(cell) for cell in marked)


@each_exercise
def test_the_solution_is_right_and_the_definition_is_another(name):
    check = CHECKS[name]
    assert check(check.solution).is_right and check(check.definition).is_right
    assert check.solution is not check.definition
    assert all(check.solution is not other.definition for other in CHECKS.values())


@each_exercise
def test_each_near_miss_gets_its_sentence_and_none_shows_the_solution(name):
    near_misses, before = CHECKS[name].near_misses, torch.get_rng_state()
    assert len(near_misses) >= 4
    shown = solution_of(name).data
    assert shown.startswith("<details><summary>") and "-&gt; " in shown
    last_line = shown.removesuffix("</code></pre></details>").splitlines()[-1].strip()
    for sentence, function in near_misses.items():
        verdict = CHECKS[name](function)
        assert verdict.near_miss == sentence
        assert "Smallest input that shows it: " in str(verdict) and last_line not in str(verdict)
    verdict = CHECKS[name](shipped(name))
    assert str(verdict).startswith("As it was:") and verdict.near_miss == next(iter(near_misses))
    assert torch.equal(torch.get_rng_state(), before)


# Wrong in other ways, each of which looks right on inputs that are too plain; and right ones.


def first_ones(logits, labels, weights):
    real = int(weights.sum())
    return F.cross_entropy(logits[:real], labels[:real])


def evaluated(net, token_ids, segments, then=lambda net: None, grad=False):
    was_training = net.training
    with torch.set_grad_enabled(grad):
        encoded = net.eval()(token_ids, segments).encoded.detach()
    net.train(was_training)
    then(net)
    return encoded


def mode_of_the_whole_only(net, *rows):
    was_training = net.training
    encoded = evaluated(net.eval(), *rows)
    net.training = was_training
    return encoded


def words(vocab, places):
    return vocab.word_ids[places % len(vocab.word_ids)]


def masked(change):
    def epochs(vocab, token_ids, num_epochs, generator):
        rows = [mask_tokens(vocab, token_ids, generator) for _ in range(num_epochs)]
        return [change(vocab, token_ids, row, rows) for row in rows]

    return epochs


def labels_of(token_ids, places, weights):
    asked = torch.zeros_like(token_ids).scatter_add_(1, places, weights.long())
    return token_ids.masked_fill(asked == 0, -100)


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("chance", lambda answers: CHECKS["chance"].solution(answers) if answers < 1000 else 0),
        ("mean", first_ones),
        ("ignored", first_ones),
        ("table", lambda logits, labels: (logits.argmax(1) == labels[:, 0])[:10].float().mean()),
        ("dropout", mode_of_the_whole_only),
        ("dropout", lambda *rows: evaluated(*rows, then=lambda net: net.requires_grad_(False))),
        ("dropout", lambda net, ids, segments: evaluated(net, ids, torch.zeros_like(segments))),
        ("dropout", lambda *rows: evaluated(*rows, then=lambda _: torch.set_grad_enabled(False))),
        ("special", lambda v, n, g: words(v, torch.randint(99, (n,)).sort().values)),
        ("special", lambda v, n, g: words(v, torch.randint(len(v), (n,), generator=g))),
        ("special", lambda v, n, g: words(v, torch.arange(n))),
        ("special", lambda v, n, g: torch.full((n,), 99)),
        ("frozen", masked(lambda v, ids, row, rows: rows[0] if row is rows[0] else rows[1])),
        ("frozen", masked(lambda v, ids, row, rows: row._replace(token_ids=ids))),
        ("frozen", masked(lambda v, ids, row, rows: row._replace(mlm_weights=0 * row[2]))),
        ("frozen", masked(lambda v, ids, row, rows: row._replace(
            token_ids=ids.scatter(1, row.pred_positions, v.mask_id)))),
        ("rate", lambda step, n, highest: CHECKS["rate"].solution(step, n, highest)
            * (min(1, 2 - 2 * step / n))),
        ("padding", lambda x, lens: (x - 20.0 * (torch.arange(x.shape[-1]) >= lens[:, None, None]))
            .softmax(-1)),
        ("leak", lambda ids, _, places, weights: labels_of(ids, places, weights[:1].expand_as(weights))),
        ("leak", lambda ids, _, places, weights: labels_of(ids, places[:, :-1], weights[:, :-1])),
        ("vocabulary", lambda train, valid, least: [[5] * len(train), [5] * len(valid)]),
    ],
)  # fmt: skip
def test_what_is_wrong_on_some_inputs_only_is_wrong(name, function):
    verdict = CHECKS[name](function)
    assert not verdict.is_right and "Seen there: " in str(verdict)


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
        with dropout_off(net):
            return net(token_ids, segments).encoded

    answers = {"special": by_rejection, "padding": by_where, "mean": by_loop, "ignored": by_loop}
    answers |= {"dropout": with_package, "frozen": masked(lambda v, ids, row, rows: tuple(row))}
    for name, answer in answers.items():
        assert CHECKS[name](answer).is_right


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


def both(name, *arguments):
    """What the shipped function gives, and what the solution gives."""
    return shipped(name)(*arguments), CHECKS[name].solution(*arguments)


def test_symptoms_of_the_losses_and_of_the_table(slots):
    logits, labels, weights = slots
    known = logits.clone()
    known[weights == 0, 0] += 20
    as_it_was, right = both("mean", known, labels, weights)
    assert as_it_was < 0.55 * right
    as_it_was, right = both("ignored", logits, labels, weights)
    assert as_it_was > right + 0.01 and ((labels == 0) & (weights == 1)).any()
    real = labels[weights == 1]
    as_it_was, right = both("table", F.one_hot(real, logits.shape[1]).float(), real[:, None])
    assert as_it_was < 0.05 and right == 1


def test_symptom_of_dropout(train_iter):
    torch.manual_seed(0)
    net = BERTModel(len(train_iter.vocab), dropout=0.2)
    inputs = torch.tensor([[3, 5, 6, 4]]), torch.zeros(1, 4, dtype=torch.long)
    first, second = (shipped("dropout")(net, *inputs)[0, 1] for _ in range(2))
    assert F.cosine_similarity(first, second, dim=0) < 0.9


def test_symptoms_of_special_tokens_and_frozen_masks(train_iter):
    vocab, rows = train_iter.vocab, train_iter.batch_at(0).token_ids
    drawn = shipped("special")(vocab, 10_000, torch.Generator().manual_seed(0))
    assert 0 < torch.isin(drawn, torch.tensor(vocab.special_ids)).sum() < 40
    asked = []
    for epochs in (shipped("frozen"), CHECKS["frozen"].solution):
        seen = torch.zeros_like(rows)
        for epoch in epochs(vocab, rows, 10, torch.Generator().manual_seed(0)):
            seen.scatter_add_(1, epoch.pred_positions, epoch.mlm_weights.long())
        asked.append((seen[torch.isin(rows, vocab.word_ids)] > 0).float().mean())
    assert asked[0] < 0.25 < 0.8 < asked[1]


def test_symptom_of_the_rate():
    examples = with_held_out(PretrainingExamples, made_up_corpus(), 32, 24)

    def train(rate):
        class Rated(Settings):
            def learning_rate_at(self, step):
                return rate(step, self.num_steps, self.learning_rate)

        adam = Rated(num_steps=150, learning_rate=0.005, optimizer="adam", word_neighbours=False)
        sizes = {"num_hiddens": 64, "ffn_num_hiddens": 128}
        return short_training(examples, settings=adam, **sizes).mlm_loss

    frequencies = frequency_loss(examples)
    assert train(shipped("rate")) > frequencies - 0.1
    assert train(CHECKS["rate"].solution) < frequencies - 0.8


def test_symptoms_of_padding_and_of_labels_that_leak(train_iter):
    batch, vocab = train_iter.batch_at(0), train_iter.vocab
    attention = shipped("padding")(torch.zeros(128, 64, 64), batch.valid_lens)
    is_padding = torch.arange(64) >= batch.valid_lens[:, None, None]
    assert (attention * is_padding).sum(-1).mean() > 0.4
    rows = mask_tokens(vocab, batch.token_ids, torch.Generator().manual_seed(0))
    labels = shipped("leak")(batch.token_ids, *rows[:3])
    assert (labels == rows.token_ids)[labels != vocab.pad_id].float().mean() > 0.8


def test_symptom_of_two_vocabularies():
    corpus = tokenize_corpus("bundled")
    train, valid = (corpus.vocab.to_tokens(part.token_ids) for part in corpus[:2])
    (_, own), (_, right) = both("vocabulary", train, valid, 1)
    assert sum(a == b for a, b in zip(own, right, strict=True)) < 0.5 * len(valid)


# Exercise 1 and the variations.


def test_a_cut_vocabulary_keeps_the_text_and_the_frequent_words():
    corpus = made_up_corpus()
    cut = cut_vocabulary(corpus, 2)
    assert len(cut.vocab) == 6 and sum(cut.vocab.counts) == sum(corpus.vocab.counts)
    assert len(cut.train.token_ids) == len(corpus.train.token_ids)
    assert set(cut.valid.token_ids.tolist()) == {0, 5}
    assert cut.train.token_ids.bincount(minlength=6).tolist() == cut.vocab.counts
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
    examples = with_held_out(PretrainingExamples, corpus, mask_rate=0.4)
    assert results[2].frequencies == frequency_loss(examples) == baselines(examples).unigram


def test_a_prediction_is_compared_with_what_came():
    assert say_prediction(None, 3.0, 0.1).startswith("No prediction yet")
    assert say_prediction(3.0, 3.05, 0.1, " nats") == "predicted 3 nats, found 3.05 nats: close"
    assert say_prediction(5, 3.05, 0.1).endswith("a surprise")


@pytest.fixture(scope="module")
def pieces():
    return wordpiece_corpus(num_entries=1000)


def test_pieces_hold_the_whole_text(pieces):
    vocab = pieces.vocab
    assert len(vocab) == 1000 and not vocab.counts[vocab.unk_id]
    for part, read in zip(pieces[:2], read_text("bundled")[1:], strict=True):
        words = list(chain.from_iterable(chain.from_iterable(paragraphs(read))))
        text = " ".join(vocab.to_tokens(part.token_ids)).replace(" ##", "").split()
        assert text == words if part is pieces.train else len(text) == len(words)
    assert vocab.counts == pieces.train.token_ids.bincount(minlength=1000).tolist()
    assert vocab.tokenize("The crane was Unhurried")[:3] == ["the", "crane", "was"]


def test_of_a_word_all_pieces_are_hidden_or_none(pieces):
    vocab = pieces.vocab
    batch = with_held_out(WholeWordExamples, pieces, batch_size=64).batch_at(0)
    used = batch.mlm_weights == 1
    answers = batch.mlm_labels.where(used, vocab.cls_id)
    token_ids = batch.token_ids.scatter(1, batch.pred_positions, answers)
    several = 0
    for row in range(64):
        chosen = set(batch.pred_positions[row][used[row]].tolist())
        begins = [n for n, t in enumerate(vocab.to_tokens(token_ids[row])) if t[:2] != "##"]
        for start, end in zip(begins, [*begins[1:], 64], strict=True):
            places = set(range(start, end))
            assert not places & chosen or places <= chosen
            several += len(places) > 1 and places <= chosen
    assert several > 20 and (batch.mlm_weights.sum(1) >= 1).all()
    assert not torch.isin(batch.mlm_labels[used], torch.tensor(vocab.special_ids)).any()
    assert (used.sum(1) <= (batch.valid_lens * 0.15).round() + 8).all()
    assert torch.equal(batch.token_ids[:, 0], torch.full((64,), vocab.cls_id))


def test_sentences_of_a_pair_are_neighbours_in_order_or_swapped():
    examples = with_held_out(SentenceOrderExamples, made_up_corpus(), 32, 24)
    first, second, in_order = examples.pairs(0)[0]
    assert torch.equal(second - first, 2 * in_order - 1)
    assert 0.4 < in_order.double().mean() < 0.6
    assert torch.equal(examples.batch_at(3).nsp_labels, examples.batch_at(3).nsp_labels)
