"""Tasks, heads, the loop, the controls and the protocol of fine-tuning."""

import math
import threading
from collections import Counter
from functools import partial

import numpy as np
import pytest
import torch
from one_sentence import assert_one_sentence
from published import small_net, small_vocab
from small import assert_identical, weights_of
from torch.testing import assert_close

from bert_tutorial.finetuning import protocol
from bert_tutorial.finetuning.controls import (
    accuracy,
    controls,
    count_regression,
    encoded,
    fine_tuning,
    most_frequent,
    naive_bayes,
    vector_regression,
)
from bert_tutorial.finetuning.heads import FineTuned
from bert_tutorial.finetuning.labelled import ALL, Labelled, Task, Text
from bert_tutorial.finetuning.protocol import Run, better_at, labels_needed, labels_saved
from bert_tutorial.finetuning.train import fine_tune_steps, log_probabilities, recipe, to_rows
from bert_tutorial.network.model import BERTModel
from bert_tutorial.pretraining.run import Settings
from bert_tutorial.studio.finetuned.ask import typed, word_effects
from bert_tutorial.studio.finetuned.report import sentences as report
from bert_tutorial.studio.finetuned.report import table
from bert_tutorial.studio.finetuned.saved import load_fine_tuned, save_fine_tuned
from bert_tutorial.studio.finetuned.tasks import LONGEST, TASKS
from bert_tutorial.text.vocabulary import Vocab
from bert_tutorial.text.wikitext_format import Corpus

WORDS = "good bad fine poor crane lifts flies a the very".split()
VOCAB = Vocab(WORDS)


def small_bert(**changes):
    sizes = dict(num_hiddens=32, ffn_num_hiddens=64, max_len=16, dropout=0.1)
    net = BERTModel(len(VOCAB), **{**sizes, **changes})
    net.reset(torch.Generator().manual_seed(0))
    return net


def moods(number=32):
    """Good or bad, by one word."""
    texts = [["the", "very", ("good", "bad")[i % 2], "crane"][: 3 + i % 3] for i in range(number)]
    rows = [("good" if "good" in words else "bad", Text(words)) for words in texts]
    return Labelled.of(["bad", "good"], rows)


def pairs(number=32):
    """The same word twice, or two words."""
    draw = np.random.default_rng(0)
    words = [[WORDS[draw.integers(2)], WORDS[draw.integers(2)]] for _ in range(number)]
    rows = [("same" if a == b else "other", Text([a]), Text(["a", b])) for a, b in words]
    return Labelled.of(["other", "same"], rows)


def senses(number=32):
    """A crane lifts, or it flies."""
    texts = [["a", "the"][: i % 3] + ["crane", ("lifts", "flies")[i % 2]] for i in range(number)]
    names = ["crane: bird", "crane: machine", "mouse: animal"]
    return Labelled.of(
        names, [(names["lifts" in text], Text(text, text.index("crane"))) for text in texts]
    )


def uses(number=32):
    """Do both cranes lift, or fly?"""
    some = [text for (text,) in senses().texts]
    draw = np.random.default_rng(0)
    rows = [tuple(some[i] for i in draw.integers(len(some), size=2)) for _ in range(number)]
    return Labelled.of(
        ["other", "same"],
        [("same" if a.words[-1] == b.words[-1] else "other", a, b) for a, b in rows],
    )


QUICK = dict(learning_rate=5e-3, optimizer="adamw", precision="fp32")
KINDS = {"text": moods, "pair": pairs, "tagging": senses, "two uses": uses}


def tuned_on(data, net=None, **changes):
    net = FineTuned.on(net or small_bert(), data)
    settings = Settings(**{**QUICK, "num_steps": 40, **changes})
    return net, [loss for _, loss in fine_tune_steps(net, VOCAB, data, settings)]


# The tasks of the package.


@pytest.fixture(scope="module", params=TASKS)
def task(request):
    return TASKS[request.param]()


def rows(data):
    return [str(row) for row in data.texts]


def sentences(data):
    return {tuple(text.words) for row in data.texts for text in row}


def test_no_text_is_learned_from_and_tested_with(task):
    for part in (task, TASKS[task.name](tuning=True)):
        assert not sentences(part.train) & sentences(part.test)
        assert {*part.train.labels} == {*part.test.labels} == {*range(len(part.train.names))}
        assert max(map(len, sentences(part.train) | sentences(part.test))) <= LONGEST + 5
    assert len(task.test) >= 300 and len(task.train) >= 1200


def test_no_tuning_is_done_with_what_is_tested_with(task):
    tuning = TASKS[task.name](tuning=True)
    if task.name != "same sense":  # whose pairs are drawn anew
        assert {*rows(tuning.train), *rows(tuning.test)} <= {*rows(task.train)}
    assert not sentences(task.test) & sentences(tuning.test)


def test_subsets_are_nested_balanced_and_drawn_by_the_seed(task):
    few, more, other = (task.train.subset(n, s) for n, s in ((4, 0), (8, 0), (4, 1)))
    assert set(Counter(few.labels.tolist()).values()) == {4}
    assert set(Counter(more.labels.tolist()).values()) == {8}
    assert not Counter(rows(few)) - Counter(rows(more))
    assert rows(few) != rows(other)
    assert len(task.train.subset(ALL, 0)) == len(task.train)
    assert task.train.allowed()[np.arange(len(task.train)), task.train.labels].all()


def test_the_ambiguous_word_does_not_give_the_topic_away():
    from bert_tutorial.studio.finetuned.tasks import read_table

    topics = {}
    for row in read_table("topics.tsv"):
        topics.setdefault(row["word"], set()).add(row["topic"])
    assert len(topics) == 32 and {len(of) for of in topics.values()} == {2}


def test_articles_of_both_parts_are_apart_and_pairs_are_of_two_articles():
    from bert_tutorial.studio.finetuned.tasks import split_articles, uses

    for tuning in (False, True):
        (_, train), (_, test) = split_articles(tuning)
        assert not {p.heading for p in train} & {p.heading for p in test}
    found = uses(*split_articles()[0]).values()
    heading_of = {tuple(u.text.words): u.heading for of_word in found for u in of_word}
    pairs = TASKS["same sense"]().train
    apart = [heading_of[tuple(a.words)] != heading_of[tuple(b.words)] for a, b in pairs.texts]
    assert all(a.words[a.place] == b.words[b.place] for a, b in pairs.texts)
    assert all(apart) and Counter(pairs.labels.tolist()) == {0: 1024, 1: 1024}


def test_reviews_are_half_and_half_and_of_five_writers():
    from bert_tutorial.studio.finetuned.tasks import read_table

    rows = read_table("reviews/reviews.tsv")
    assert set(Counter((row["writer"], row["mood"]) for row in rows).values()) == {150}
    assert len({row["text"].lower() for row in rows}) == len(rows) == 1500
    assert all(8 <= len(row["text"].split()) <= 30 for row in rows)


# The network.


@pytest.mark.parametrize(("kind", "optimizer"), [
    ("text", "adamw"), ("pair", "adamw"), ("tagging", "adamw"), ("tagging", "muon"),
    ("two uses", "adamw"),
])  # fmt: skip
def test_every_kind_of_task_is_learned(kind, optimizer):
    data = KINDS[kind]()
    net, losses = tuned_on(data, optimizer=optimizer, num_steps=80)
    scores = log_probabilities(net, VOCAB, data, at_once=7)
    assert_close(np.exp(scores).sum(1), np.ones(len(data), np.float32))
    right = accuracy(lambda _: scores, data)
    assert losses[0] > 0.6 and losses[-1] < 0.1 and right == 1.0 and not net.training


def test_the_same_seed_gives_the_same_run_and_no_random_state_is_touched():
    bert, before = small_bert(), torch.get_rng_state()
    one, two, other = (tuned_on(moods(), bert, num_steps=4, seed=seed)[1] for seed in (1, 1, 2))
    assert one == two != other
    assert_identical(torch.get_rng_state(), before)


def test_the_given_network_is_not_changed_and_a_stopped_run_leaves_whole_weights():
    bert, data = small_bert().train(), moods()
    before = weights_of(bert)
    net = FineTuned.on(bert, data)
    steps = fine_tune_steps(net, VOCAB, data, recipe(len(data)))
    assert [next(steps)[0] for _ in range(3)] == [1, 2, 3]
    steps.close()
    assert_identical(weights_of(bert), before)
    assert np.isfinite(log_probabilities(net, VOCAB, data)).all()
    fresh = FineTuned.on(bert, data, seed=1, pretrained=False)
    assert not torch.equal(fresh.word_vectors, bert.word_vectors)


def test_a_loss_that_is_no_number_ends_training_with_the_last_good_weights():
    data = moods()
    net = FineTuned.on(small_bert(), data)
    with torch.no_grad():
        net.classifier.bias.fill_(math.inf)
    before = weights_of(net)
    with pytest.raises(FloatingPointError, match="diverged"):
        next(fine_tune_steps(net, VOCAB, data, recipe(len(data))))
    assert_identical(weights_of(net), before)


def test_long_texts_are_cut_and_the_tagged_word_stays():
    def read(*texts):
        return to_rows(VOCAB, Labelled(["x"], np.zeros(1, int), [texts]), 16)[0]

    long = ["a"] * 40
    ((row, position),) = read(Text(long), Text(long))
    assert len(row[0]) == 16 and sum(row[1]) == 7  # 7 and 6 words, one <cls>, two <sep>
    assert position == 0
    text = [*long, "crane", *long]
    for place in (40, 2):
        for (tokens, _), position in read(*[Text(text[40 - place :], place)] * 2):
            assert tokens[position] == "crane" and len(tokens) == 16
    assert position == 3


def test_updates_grow_with_the_texts_but_are_never_few():
    assert recipe(8).num_steps == 300 and recipe(16_000).num_steps == 6_000
    assert [recipe(n, pretrained=False).num_steps for n in (8, 1_000, 4_000)] == [
        1_000,
        2_000,
        3_000,
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_transformers_gives_the_same_scores(tmp_path, kind):
    import transformers

    from bert_tutorial.representation.encoding import to_batch
    from bert_tutorial.studio.finetuned.saved import KINDS as CLASSES

    data = KINDS[kind](6)
    net, _ = tuned_on(data, num_steps=3)
    save_fine_tuned(net, VOCAB, tmp_path, seed=3)
    assert "| seed | 3 |" in (tmp_path / "model_card.md").read_text()
    rows = [row for some in to_rows(VOCAB, data, 16) for row, _ in some]
    token_ids, segments, valid_lens = to_batch(net.bert, VOCAB, rows)
    mask, places = torch.arange(token_ids.shape[1]) < valid_lens[:, None], token_ids.shape[1]
    positions = torch.arange(places if net.kind == "tagging" else 1).expand(len(rows), -1)
    again, vocab, facts = load_fine_tuned(tmp_path)
    with torch.no_grad():
        ours = net.eval()(token_ids, segments, valid_lens, positions)
        assert_identical(again(token_ids, segments, valid_lens, positions), ours)
    assert facts == {"seed": 3}
    assert vocab.itos == VOCAB.itos and (again.names, again.kind) == (net.names, net.kind)
    if kind == "two uses":  # for which it has no class
        return
    theirs, loaded = getattr(transformers, CLASSES[net.kind]).from_pretrained(
        tmp_path, output_loading_info=True
    )
    assert not any(loaded[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert [*theirs.config.id2label.values()] == [*data.names]
    with torch.no_grad():
        other = theirs.eval()(token_ids, mask, segments).logits
    if net.kind == "tagging":
        assert_close(ours[mask], other[mask], rtol=1e-4, atol=1e-5)
    else:
        assert_close(ours[:, 0], other, rtol=1e-4, atol=1e-5)


def test_a_network_that_was_not_fine_tuned_is_told(tmp_path):
    from bert_tutorial.studio.published.bert import save_pretrained

    save_pretrained(small_bert(), VOCAB, tmp_path)
    with pytest.raises(ValueError, match="was not fine-tuned") as caught:
        load_fine_tuned(tmp_path)
    assert_one_sentence(str(caught.value))
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        load_fine_tuned(tmp_path / "nothing")
    assert_one_sentence(str(caught.value))


def test_it_answers_while_it_trains_in_another_thread():
    data = moods()
    net = FineTuned.on(small_bert(), data)
    steps = fine_tune_steps(net, VOCAB, data, Settings(num_steps=30, optimizer="adamw"))
    thread = threading.Thread(target=lambda: list(steps))
    thread.start()
    found = [log_probabilities(net, VOCAB, data.take([0])) for _ in range(5)]
    thread.join(60)
    assert not thread.is_alive() and np.isfinite(found).all()


# The controls.


def test_word_counts_learn_what_one_word_tells_and_a_network_what_two_tell(monkeypatch):
    def quick(number, seed, pretrained):
        return Settings(**QUICK, num_steps=100, seed=seed)

    monkeypatch.setattr("bert_tutorial.finetuning.controls.recipe", quick)
    data, unlike = moods(), pairs(64)
    for fit in (naive_bayes, count_regression):
        assert accuracy(fit(data, 0), data) == 1.0
    assert accuracy(most_frequent(data, 0), data) == 0.5
    assert accuracy(most_frequent(senses(), 0), senses()) == 0.5  # of the word's own senses
    assert accuracy(fine_tuning(small_bert(), VOCAB)(unlike, 0), unlike) > 0.9


def test_a_label_that_was_never_seen_is_never_said():
    data = moods()
    fit = vector_regression(partial(encoded, small_bert(), VOCAB))
    assert fit(data.take(range(0, 32, 3)), 0)(data).shape == (32, 2)
    three = Labelled(["bad", "good", "odd"], data.labels, data.texts)
    scores = naive_bayes(three, 0)(three)
    assert (scores[:, 2] == -np.inf).all() and accuracy(naive_bayes(three, 0), three) == 1.0


def test_the_word_that_counts_is_found():
    data = moods()
    for predict in (naive_bayes(data, 0), partial(log_probabilities, tuned_on(data)[0], VOCAB)):
        effects = word_effects(predict, typed(data, "The very good crane"))
        assert np.argmax(effects) == 2 and len(effects) == 4
    predict = partial(log_probabilities, tuned_on(senses())[0], VOCAB)
    effects = word_effects(predict, typed(senses(), "a crane flies"))
    assert np.argmax(effects) == 2
    effects = word_effects(naive_bayes(pairs(), 0), typed(pairs(), "good", "a good"))
    assert len(effects) == 3


@pytest.mark.parametrize(("data", "texts", "reason"), [
    (moods, ("",), "^the text has no word"), (moods, (" . ",), "^the text has no word"),
    (pairs, ("", "a"), "^the first text has no word"), (pairs, ("a", ""), "^the second text has"),
    (senses, ("a bird flies",), "no word of it has two senses here: type one with crane, mouse"),
    (uses, ("a crane flies", "the bird lifts"), "share no word: type one of these in both: crane"),
])  # fmt: skip
def test_what_is_typed_wrong_is_told(data, texts, reason):
    with pytest.raises(ValueError, match=reason) as caught:
        typed(data(), *texts)
    assert_one_sentence(str(caught.value))


def test_each_word_with_senses_is_asked_about():
    asked = typed(senses(), "A crane and a mouse, and a crane.")
    assert [text.words[text.place] for (text,) in asked.texts] == ["crane", "mouse", "crane"]
    assert asked.allowed().sum(1).tolist() == [2, 1, 2]


def test_a_published_bert_of_word_pieces_is_one_more_control(tmp_path):
    vocab = small_vocab(tmp_path)
    net, texts = small_net(vocab), [["flying", "crane"], ["a", "flying", "crane", "is"]] * 8
    names = ["crane: a", "crane: b"]
    data = Labelled.of(names, [(names[i % 2], Text(t, 1 + i % 2)) for i, t in enumerate(texts)])
    asked = [one for (one,) in to_rows(vocab, data, 20)]
    assert {tokens[place] for (tokens, _), place in asked} == {"crane"}
    assert asked[0].row[0] == ["[CLS]", "fly", "##ing", "crane", "[SEP]"]
    assert [place for _, place in asked[:2]] == [3, 4]
    corpus = Corpus("own", " a crane lifts . the crane flies . \n" * 8, "")
    plain = controls(small_bert(), VOCAB, corpus)
    every = controls(small_bert(), VOCAB, corpus, (net, vocab))
    assert [*every] == [*plain, "published, frozen", "published, fine-tuned"]
    assert every["published, frozen"](data, 0)(data).shape == (16, 2)
    tuned = FineTuned.on(net, data)
    assert len(list(fine_tune_steps(tuned, vocab, data, Settings(num_steps=2)))) == 2
    averaged = every["counted word vectors"](moods(), 0)
    assert accuracy(averaged, moods()) > 0.5 and averaged(moods(5)).shape == (5, 2)


# The protocol.


def test_runs_come_one_by_one_and_those_that_are_there_are_not_run_again(tmp_path):
    task = Task("mood", moods(64), moods(8))
    fits = {"most frequent label": most_frequent, "naive Bayes on word counts": naive_bayes}
    numbers = protocol.sizes(task.train)
    assert numbers == [4, 8, 16, ALL]
    some = list(protocol.runs(task, fits, numbers, range(2)))
    assert [run.labels for run in some[:8:2]] == [8, 16, 32, 64]
    assert len(some) == 16 and {run.seed for run in some} == {0, 1}
    path = tmp_path / "runs.tsv"
    protocol.write_runs(some, path)
    again = protocol.read_runs(path)
    assert sorted(run[:4] for run in some) == [run[:4] for run in again]
    done = {run[:4] for run in again}
    assert list(protocol.runs(task, fits, numbers, range(2), done)) == []
    assert len(list(protocol.runs(task, fits, numbers, range(3), done))) == 8
    assert protocol.read_runs(tmp_path / "none.tsv") == []


def test_the_horizontal_distance_is_found_by_lines_over_log_labels():
    means = {8: 0.5, 16: 0.6, 64: 0.8, 128: 0.7}
    assert labels_needed(means, 0.6) == 16 and labels_needed(means, 0.7) == pytest.approx(32)
    assert labels_needed(means, 0.4) == 8 and labels_needed(means, 0.81) == math.inf
    ours, other = {8: [0.7] * 5}, {n: [mean] * 5 for n, mean in means.items()}
    assert labels_saved(ours, other, 8) == pytest.approx((0.7, 32, 32, 32))
    ours[8], other[64] = [0.60, 0.65, 0.70, 0.75, 0.80], [0.75, 0.85, 0.8, 0.8, 0.8]
    saved = labels_saved(ours, other, 8)
    assert saved.needed == pytest.approx(32) and 16 < saved.low < 32 < saved.high < 64


def test_better_means_by_more_than_the_spread():
    one, other = {8: [0.6, 0.7], 16: [0.9, 0.7], 32: [0.6, 0.6]}, {8: [0.5, 0.62], 16: [0.6, 0.8]}
    assert better_at(one, other) == [8] and better_at(other, one) == []
    assert better_at({8: [0.9]}, {8: [0.1]}) == []  # one run has no spread


def test_what_the_runs_say_agrees_with_the_table():
    some = [
        Run("mood", control, labels, seed, start + 0.1 * math.log2(labels / 8) + 0.001 * seed, 1.0)
        for control, start in (("fine-tuned", 0.5), ("never pretrained", 0.3),
                               ("naive Bayes on word counts", 0.45), ("most frequent label", 0.25))
        for labels in (8, 32, 128) for seed in range(3)
    ]  # fmt: skip
    for seed in range(2):
        some.append(Run("mood", "naive Bayes on word counts", 512, seed, 0.99, 1.0))
        some.append(Run("mood", "fine-tuned", 512, seed, 0.95, 1.0))
    some.append(Run("mood", "naive Bayes on word counts", 512, 2, 0.99, 1.0))  # one is under way
    assert report([r for r in some if not r.seed], "mood", 8) == [
        "One run of each is too few to say anything."
    ]
    text = table(some, "mood")
    assert "| fine-tuned | 50.1 ± 0.1 | 70.1 ± 0.1 | 90.1 ± 0.1 | 95.0 ± 0.0 |" in text
    assert "| never pretrained | 30.1 ± 0.1 | 50.1 ± 0.1 | 70.1 ± 0.1 |  |" in text
    said = report(some, "mood", 32)
    assert (
        "With 32 labels fine-tuning gets 70.1% right. For that, never pretrained needs 128 "
        in said[0]
    )
    assert said[2:] == ["With 512 labels naive Bayes on word counts is better."]
    said = report(some, "mood", 100)  # the nearest size is 128
    assert "never pretrained needs more than 128 labels" in said[0]
    late = [r._replace(accuracy=0.2) if r[1:3] == ("fine-tuned", 8) else r for r in some]
    said = report(late, "mood", 8)
    assert said[0] == "With 8 labels fine-tuning is no better than the most frequent label."
    assert said[1].startswith("With 32 labels fine-tuning gets 70.1% right. For that, never")
    guessing = [run._replace(accuracy=0.5) for run in some]
    said = report(guessing, "mood", 8)
    assert said == ["With 8 labels fine-tuning is no better than the most frequent label."]


def test_the_stored_table_is_whole():
    some = protocol.read_runs()
    assert {run.task for run in some} == {*TASKS}
    assert max(Counter(run[:4] for run in some).values()) == 1
    assert set(Counter(run[:3] for run in some).values()) == {protocol.SEEDS}
    assert len({run.control for run in some}) == 7
    for name, make in TASKS.items():
        train = make().train
        known = {len(train.subset(number, 0)) for number in protocol.sizes(train)}
        assert {run.labels for run in some if run.task == name} == known
    assert all(0 <= run.accuracy <= 1 for run in some)
