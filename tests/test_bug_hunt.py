"""Each exercise: its solution, its near misses, its cell in the notebook, and its symptom."""

import json
import math
import re
from collections import Counter
from itertools import chain
from pathlib import Path
from statistics import fmean, pstdev

import numpy as np
import pytest
import torch
from sklearn.model_selection import GroupShuffleSplit
from torch.nn import functional as F

from bert_tutorial import PretrainingExamples, Vocab, mask_tokens, read_text
from bert_tutorial.exercises import variations
from bert_tutorial.exercises.answers import CHECKS, solution_of
from bert_tutorial.exercises.specifications import seed
from bert_tutorial.exercises.variations import made_up_corpus, with_held_out
from bert_tutorial.finetuning.controls import accuracy, naive_bayes
from bert_tutorial.pretraining.evaluation import baselines
from bert_tutorial.pretraining.run import Settings
from bert_tutorial.studio.finetuned.tasks import split_articles, topic_task
from bert_tutorial.text.wikitext_format import paragraphs

PATH = Path(__file__).resolve().parents[1] / "notebooks" / "04_exercises.ipynb"
NOTEBOOK = json.loads(PATH.read_text("utf-8"))
CELLS = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
CALLS = dict(re.findall(r'check_fix\("(\w+)", (\w+)\)', "\n".join(CELLS)))
RIGHT = {  # what must be seen first, where that is a table
    "dropout": [True, True, True, True, False],
    "special": ["none", "none", "none", True, True, True],
    "frozen": [True, True, "[6]", True, True, True, True],
    "split": ["none", "none", True],
}

each_exercise = pytest.mark.parametrize("name", CHECKS)


def shipped(name):
    """The function that stands in the notebook for an exercise, before it is repaired."""
    function = CALLS[name]
    (cell,) = (cell for cell in CELLS if f"def {function}(" in cell)
    assert cell.startswith("# Yours: ")
    names = {"torch": torch, "np": np, "F": F, "Vocab": Vocab}
    exec(compile(cell, "cell", "exec"), names)
    return names[function]


def test_the_notebook_has_every_exercise_once():
    assert list(CALLS) == list(CHECKS)
    assert re.findall(r'solution_of\("(\w+)"\)', "\n".join(CELLS)) == list(CHECKS)
    marked = [cell for cell in CELLS if cell.startswith("# Yours: ")]
    assert len(marked) == len(CHECKS) + 4  # and four predictions


@each_exercise
def test_the_solution_is_right_and_what_is_right_is_told_otherwise(name):
    check = CHECKS[name]
    assert check(check.solution).is_right
    assert name in RIGHT or check.solution is not check.definition
    seen = next(check.see(check.solution))
    assert name not in RIGHT or list(seen.values()) == RIGHT[name]


@each_exercise
def test_each_near_miss_gets_its_sentence_and_none_shows_the_solution(name):
    near_misses, before = CHECKS[name].near_misses, torch.get_rng_state()
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


# Wrong functions, each the solution but for what its call says.


def slots(which):
    """Only some of the slots are looked at; `which` tells from the weights."""
    return lambda *of: F.cross_entropy(*(a[which(of[2])] for a in of[:2]))


def evaluated(then, rows=lambda *rows: rows):
    def encode(net, *given):
        encoded = CHECKS["dropout"].solution(net, *rows(*given))
        then(net)
        return encoded

    return encode


def without_dropout(net):
    for module in net.modules():
        module.rate = 0.0


def words(places):
    def draw(vocab, count, generator):
        return vocab.word_ids[places(vocab, count, generator) % len(vocab.word_ids)]

    return draw


arange, draw = torch.arange, torch.randint


def masked(change):
    def epochs(vocab, token_ids, num_epochs, generator):
        rows = [mask_tokens(vocab, token_ids, generator) for _ in range(num_epochs)]
        return [change(vocab, token_ids, row, rows) for row in rows]

    return epochs


def first_row_anew(vocab, ids, row, rows):
    return type(row)(*(torch.cat([a[:1], b[1:]]) for a, b in zip(row, rows[0], strict=True)))


def never_random(vocab, ids, row, rows):
    return row._replace(token_ids=row[0].where(row[0] == vocab.mask_id, ids))


def is_padding(scores, lens):
    return arange(scores.shape[-1]) >= lens[:, None, None]


def fewer_slots(change):
    return lambda ids, masked_ids, *of: CHECKS["leak"].solution(ids, masked_ids, *change(*of))


def by_article(articles, tested):
    tests = np.isin(articles, tested)
    return [np.flatnonzero(~tests), np.flatnonzero(tests)]


WRONG = [
    ("chance", lambda answers: CHECKS["chance"].solution(answers) if answers < 1000 else 0),
    ("memory", lambda B, *of: CHECKS["memory"].solution((B + 128) % 256 - 128, *of)),  # 8 bits
    ("memory", lambda *of: (CHECKS["memory"].solution(*of) + 2**31) % 2**32 - 2**31),  # 32 bits
    *((name, slots(lambda w: arange(len(w)) < w.sum())) for name in ("mean", "ignored")),
    *((name, slots(lambda w: (w > 0) & (arange(len(w)) < 100))) for name in ("mean", "ignored")),
    ("mean", slots(lambda w: slice(0, -int((w == 0).sum())))),
    ("table", lambda x, y: (x.argmax(1) == y[:, 0])[:100].float().mean()),
    ("dropout", evaluated(lambda net: net.encoder.eval())),
    ("dropout", evaluated(without_dropout)),
    ("dropout", evaluated(lambda net: net.requires_grad_(False))),
    ("dropout", evaluated(lambda _: torch.set_grad_enabled(False))),
    ("dropout", evaluated(lambda _: None, lambda ids, segments: (ids, 0 * segments))),
    ("special", words(lambda v, n, _: draw(99, (n,), generator=seed(0)))),
    ("special", words(lambda v, n, g: draw(99, (n,), generator=seed(g.initial_seed())))),
    ("special", words(lambda v, n, g: draw(len(v), (n,), generator=g))),
    ("special", words(lambda v, n, _: arange(n))),
    ("special", words(lambda v, n, g: draw(9, (1,), generator=g) + arange(n))),
    ("special", lambda v, n, g: torch.full((n,), 99)),
    ("frozen", masked(lambda v, ids, row, rows: rows[0] if row is rows[0] else rows[1])),
    ("frozen", masked(first_row_anew)),
    ("frozen", masked(lambda v, ids, row, rows: row._replace(mlm_labels=0 * row[3] + 5))),
    ("frozen", masked(lambda v, ids, row, rows: row._replace(token_ids=ids))),
    ("frozen", masked(lambda v, ids, row, _: row._replace(token_ids=ids.scatter(1, row[1], 2)))),
    ("frozen", masked(never_random)),
    ("frozen", masked(lambda v, ids, row, rows: row._replace(mlm_weights=0 * row[2]))),
    ("frozen", masked(lambda v, ids, row, rows: row._replace(mlm_weights=row[2] ** 0))),
    ("rate", lambda *of: CHECKS["rate"].solution(*of) * min(1, 2 - 2 * of[0] / of[1])),
    ("rate", lambda step, n, high: CHECKS["rate"].solution(step, n, high) * (step < n - 1)),
    ("padding", lambda x, lens: (x - 20.0 * is_padding(x, lens)).softmax(-1)),
    ("padding", lambda x, lens: CHECKS["padding"].solution(x, lens.where(lens < 10, 64))),
    ("padding", lambda x, lens: x.where(~is_padding(x, lens).flip(-1), -1e9).softmax(-1)),
    ("leak", fewer_slots(lambda places, weights: (places, weights[:1].expand_as(weights)))),
    ("leak", fewer_slots(lambda places, weights: (places[:, :-1], weights[:, :-1]))),
    ("leak", fewer_slots(lambda places, weights: (places[:, :4], weights[:, :4]))),
    ("vocabulary", lambda train, valid, least: [[5] * len(train), [5] * len(valid)]),
    ("split", lambda texts, a: by_article(a, sorted({*a})[::2])),  # half of them
    ("split", lambda texts, a: by_article(a, sorted({*a})[:1])),
    ("split", lambda texts, a: [CHECKS["split"].solution(texts, a)[0], []]),
    ("split", lambda texts, a: [2 * part for part in CHECKS["split"].solution(texts, a)]),
    ("split", lambda texts, a: CHECKS["split"].solution(texts, [name[:2] for name in a])),
    ("seeds", lambda a, floor: [np.mean(a), np.var(a), np.flatnonzero(np.array(a) <= floor)]),
    ("seeds", lambda a, floor: [np.mean(a), np.std(a), [1 + a.index(min(a))]]),
    ("seeds", lambda a, floor: [np.mean(a), np.std(a), [n for n, x in enumerate(a) if x < 0.2]]),
]


@pytest.mark.parametrize(("name", "function"), WRONG)
def test_what_is_wrong_on_some_inputs_only_is_wrong(name, function):
    verdict = CHECKS[name](function)
    assert not verdict.is_right and "Seen there: " in str(verdict)


def by_rejection(vocab, count, generator):
    drawn = torch.randint(len(vocab), (20 * count,), generator=generator)
    return drawn[torch.isin(drawn, vocab.word_ids)][:count]


def renormalised(scores, lens):
    found = scores.softmax(-1) * ~is_padding(scores, lens)
    return found / found.sum(-1, keepdim=True)


def by_scikit_learn(texts, articles):
    splitter = GroupShuffleSplit(1, test_size=0.2, random_state=0)
    return next(splitter.split(texts, groups=articles))


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("memory", lambda *of: np.prod([4, *of, of[2]])),
        ("mean", lambda x, y, w: F.cross_entropy(x[w > 0], y[w > 0]).item()),
        ("ignored", lambda x, y, w: np.average(F.cross_entropy(x, y, reduction="none"), weights=w)),
        ("dropout", lambda *of: CHECKS["dropout"].solution(*of).double()),
        ("special", by_rejection),
        ("frozen", masked(lambda v, ids, row, rows: tuple(row))),
        ("padding", lambda x, lens: (x - 1e9 * is_padding(x, lens)).softmax(-1)),
        ("padding", renormalised),
        ("vocabulary", lambda *of: tuple(map(np.array, CHECKS["vocabulary"].solution(*of)))),
        ("split", lambda texts, a: by_article(a, sorted({*a})[: len({*a}) // 5])),
        ("split", by_scikit_learn),
        ("seeds", lambda a, floor: (fmean(a), pstdev(a), np.flatnonzero(np.array(a) <= floor))),
    ],
)
def test_another_right_answer_is_right(name, function):
    assert CHECKS[name](function).is_right


@pytest.fixture
def topics():
    return with_held_out(PretrainingExamples, made_up_corpus(), 32, 24)


@pytest.mark.nightly
def test_the_right_rate_learns_what_the_shipped_one_does_not(topics):
    def train(rate):
        class Rated(Settings):
            def learning_rate_at(self, step):
                return rate(step, self.num_steps, self.learning_rate)

        adam = Rated(num_steps=150, learning_rate=0.005, optimizer="adam", word_neighbours=False)
        sizes = {"num_hiddens": 64, "ffn_num_hiddens": 128}
        found = variations.short_training(topics, settings=adam, **sizes)
        return found.mlm_loss - baselines(topics).unigram

    assert train(CHECKS["rate"].solution) < -0.8 < -0.1 < train(shipped("rate"))


def test_a_test_that_does_not_leak_says_what_held_out_articles_say():
    _, learn, test = topic_task()
    headings = [passage.heading for passage in split_articles()[0][1]]
    counts = Counter(headings)
    rows = [row for row, heading in enumerate(headings) if counts[heading] >= 4]
    learn, articles = learn.take(rows), [headings[row] for row in rows]
    texts = [" ".join(text.words) for (text,) in learn.texts]
    told = []
    for split in (shipped("split"), CHECKS["split"].solution):
        train, tested = map(learn.take, split(texts, articles))
        told += [accuracy(naive_bayes(train, 0), some) for some in (tested, test)]
    assert told[0] - told[1] > 0.1 > 0.03 > abs(told[2] - told[3])
    assert [f"{100 * told[n]:.1f} %" in PATH.read_text("utf-8") for n in (0, 2, 3)]


def test_a_cut_vocabulary_keeps_the_text_and_the_frequent_words():
    corpus = made_up_corpus()
    cut = variations.cut_vocabulary(corpus, 2)
    assert len(cut.vocab) == 6 and sum(cut.vocab.counts) == sum(corpus.vocab.counts)
    assert set(cut.valid.token_ids.tolist()) == {0, 5}
    assert cut.train.token_ids.bincount(minlength=6).tolist() == cut.vocab.counts
    for wrong in (1, 26):
        with pytest.raises(ValueError, match=r"must be from 2 to 25"):
            variations.cut_vocabulary(corpus, wrong)


def test_with_fewer_answers_the_loss_is_lower():
    corpus = made_up_corpus()
    (two, _), (eight, _), (all_of_them, frequencies) = (
        variations.train_with_cut(corpus, number, num_steps=5) for number in (2, 8, 25)
    )
    assert two.mlm_loss < eight.mlm_loss < all_of_them.mlm_loss and two.mlm_loss < two.nsp_loss
    assert 2.5 < frequencies < math.log(25)


def test_a_prediction_is_compared():
    none, close, far = (variations.say_prediction(x, 3.05, 0.1, " nats") for x in (None, 3.0, 5))
    assert none.startswith("No prediction yet") and far.endswith("a surprise")
    assert close == "predicted 3 nats, found 3.05 nats: close"
    assert [*map(variations.prediction, (None, 0.5, 3))] == [None, 0.5, 3]
    with pytest.raises(ValueError, match="^'low' is no number: predict one, such as 0.5$"):
        variations.prediction("low")


@pytest.fixture(scope="module")
def pieces():
    return variations.wordpiece_corpus(num_entries=1000)


def test_pieces_hold_the_whole_text(pieces):
    vocab = pieces.vocab
    assert len(vocab) == 1000 and not vocab.counts[vocab.unk_id]
    for part, read in zip(pieces[:2], read_text("bundled")[1:3], strict=True):
        words = list(chain.from_iterable(chain.from_iterable(paragraphs(read))))
        text = " ".join(vocab.to_tokens(part.token_ids)).replace(" ##", "").split()
        assert text == words if part is pieces.train else len(text) == len(words)
    assert vocab.counts == pieces.train.token_ids.bincount(minlength=1000).tolist()
    assert vocab.tokenize("The crane was Unhurried")[:3] == ["the", "crane", "was"]


def test_of_a_word_all_pieces_are_hidden_or_none(pieces):
    vocab, several = pieces.vocab, 0
    batch = with_held_out(variations.WholeWordExamples, pieces, batch_size=64).batch_at(0)
    used = batch.mlm_weights == 1
    answers = batch.mlm_labels.where(used, vocab.cls_id)
    token_ids = batch.token_ids.scatter(1, batch.pred_positions, answers)
    for row in range(64):
        chosen = set(batch.pred_positions[row][used[row]].tolist())
        begins = [n for n, t in enumerate(vocab.to_tokens(token_ids[row])) if t[:2] != "##"]
        for start, end in zip(begins, [*begins[1:], 64], strict=True):
            places = set(range(start, end))
            assert not places & chosen or places <= chosen
            several += len(places) > 1 and places <= chosen
    assert several > 20 and used.any(1).all()
    assert not torch.isin(batch.mlm_labels[used], torch.tensor(vocab.special_ids)).any()
    too_many = used.sum(1) - (batch.valid_lens * 0.15).round()
    assert (too_many <= 8).all() and (too_many == 0).double().mean() > 0.4
    assert (batch.token_ids[:, 0] == vocab.cls_id).all()
    long = vocab.tokenize("unhurriedly")  # longer than 15 % of a row, but it is the only one
    row = torch.tensor([vocab[["<cls>", *long, "<sep>"]]])
    assert variations.choose_whole_words(vocab, row, seed(0), 0.15, 8)[1].sum() == len(long) > 1


def test_sentences_of_a_pair_are_neighbours_in_order_or_swapped():
    examples = with_held_out(variations.SentenceOrderExamples, made_up_corpus(), 32, 24)
    first, second, in_order = examples.pairs(0)[0]
    assert torch.equal(second - first, 2 * in_order - 1)
    assert 0.4 < in_order.double().mean() < 0.6
