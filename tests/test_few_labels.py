"""The bag of words beside the network, by the number of labels."""

import numpy as np
import pytest
import torch

from bert_tutorial import load_checkpoint, read_text
from bert_tutorial.network.model import BERTModel
from bert_tutorial.representation.few_labels import (
    EVERY,
    averaged_tasks,
    bag_tasks,
    label_curve,
    main_directions,
    naive_bayes,
    rare_words_count_more,
    seeded_means,
)
from bert_tutorial.representation.occurrences import windows
from bert_tutorial.representation.senses import (
    SenseTask,
    mean_accuracy,
    nearest_mean,
    sense_scores,
    vector_tasks,
)
from bert_tutorial.studio.published.checkpoints import SHIPPED
from bert_tutorial.text.vocabulary import Vocab
from bert_tutorial.text.wikitext_format import Corpus


def sense_text(numbers) -> str:
    """Word x: "first" beside a words, "second" beside b words."""
    lines = []
    for sense, letter in (("first", "a"), ("second", "b")):
        lines.append(f" = X ( {sense} ) = ")
        lines += [f" {letter}{i % 3} x {letter}{i % 5} . {letter}{i % 4} c . " for i in numbers]
    return "\n".join(lines)


CORPUS = Corpus("made up", sense_text(range(12)), sense_text(range(4)))


def test_the_bag_counts_the_words_around_and_not_the_word_itself():
    (task,) = bag_tasks(CORPUS).values()
    assert task.known.shape[0] == 24 and task.asked.shape[0] == 8
    assert task.known[0].sum() == 4  # a0, a0, a0 and c; x is left out
    assert (naive_bayes(task.known, task.known_senses, task.asked) == task.asked_senses).all()


def test_the_windows_are_those_that_the_network_reads():
    (read, *_) = windows(CORPUS.train, [(0, 0, 1, "first")])
    assert read.tokens == ["a0", "x", "a0", "a0", "c"] and read.tokens[read.place] == "x"
    (short,) = windows(" a b c d x e f g . h i . ", [(0, 0, 4, "s")], max_len=5)
    assert short.tokens == ["c", "d", "x"] and short.place == 2  # with <cls> and <sep> it is full


def test_nearest_mean_by_hand():
    known = np.array([[0.0, 0.0], [0.0, 2.0], [10.0, 0.0]], dtype=np.float32)
    asked = np.array([[1.0, 1.0], [9.0, 1.0]], dtype=np.float32)
    assert nearest_mean(known, np.array(["p", "p", "q"]), asked).tolist() == ["p", "q"]


def test_more_labels_help_and_the_same_seed_draws_the_same():
    generator = np.random.default_rng(0)
    senses = np.array(["p", "q"] * 60)
    centre = np.where(senses == "p", 0.0, 1.0)[:, None]
    vectors = (centre + generator.normal(size=(120, 8)) * 1.5).astype(np.float32)
    tasks = {"w": SenseTask(vectors[:60], senses[:60], vectors[60:], senses[60:])}
    curve = label_curve(tasks, nearest_mean, (1, 16, EVERY))
    assert 0.45 < curve.mean[1] < curve.mean[16] and curve.mean[EVERY] > 0.75
    assert curve.spread[1] > 0 and curve.spread[EVERY] == 0
    assert label_curve(tasks, nearest_mean, (1, 16, EVERY)) == curve
    assert label_curve(tasks, nearest_mean, (1,), seed=1).mean[1] != curve.mean[1]


def test_a_corpus_without_senses_has_no_tasks():
    plain = Corpus("plain", " = Robert = \n He ran . He fell . ", " He ran . He fell . ")
    assert bag_tasks(plain) == {}


def test_what_pretraining_gives_is_knowing_with_few_labels():
    net, vocab = load_checkpoint(SHIPPED / "bundled.safetensors")
    untrained = BERTModel.from_config(net.config)
    untrained.reset(torch.Generator().manual_seed(0))
    corpus, numbers = read_text("bundled"), (1, 4, EVERY)
    of_net = vector_tasks(net, vocab, corpus)
    network = label_curve(of_net, nearest_mean, numbers).mean
    control = label_curve(vector_tasks(untrained.eval(), vocab, corpus), nearest_mean, numbers).mean
    bag = label_curve(bag_tasks(corpus), naive_bayes, numbers).mean
    assert network[1] > bag[1] + 0.05 and network[4] > bag[4] + 0.05
    assert bag[EVERY] > network[EVERY] > 0.9  # told everything, counting is better
    assert max(control.values()) < 0.6
    assert network[EVERY] == pytest.approx(mean_accuracy(sense_scores(net, vocab, corpus)))


def two_clouds(far: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two senses that lie `far` apart in one of thirty directions, with noise in all."""
    draw = np.random.default_rng(seed)
    senses = np.array(["p", "q"] * 40)
    vectors = draw.normal(size=(80, 30)).astype(np.float32)
    vectors[:, 0] += np.where(senses == "p", 0.0, far).astype(np.float32)
    return vectors, senses


def test_main_directions_help_where_few_labels_are_known_and_use_none():
    (known, senses), (asked, wanted) = two_clouds(6.0, 0), two_clouds(6.0, 1)
    task = SenseTask(known, senses, asked, wanted)
    turned = main_directions(task)
    np.testing.assert_allclose(np.linalg.norm(turned.known, axis=1), 1, rtol=1e-5)
    one, other = (label_curve({"w": t}, nearest_mean, (1,)).mean[1] for t in (task, turned))
    assert other > one + 0.05 and other > 0.95
    relabelled = task._replace(known_senses=senses[::-1], asked_senses=wanted[::-1])
    np.testing.assert_array_equal(main_directions(relabelled).known, turned.known)
    np.testing.assert_array_equal(main_directions(relabelled).asked, turned.asked)


def test_unlabelled_occurrences_take_part_in_the_means():
    """The first label of p lies far off: only with the other occurrences is its mean right."""
    known = np.array([[4.0], [9.0]], dtype=np.float32)
    senses = np.array(["p", "q"])
    unlabelled = np.array([[0.0], [0.5], [1.0], [9.0], [8.0]], dtype=np.float32)
    asked = np.array([[5.5]], dtype=np.float32)
    assert nearest_mean(known, senses, asked).tolist() == ["p"]
    assert seeded_means(known, senses, asked, unlabelled).tolist() == ["q"]
    none = np.zeros((0, 1), dtype=np.float32)
    assert seeded_means(known, senses, asked, none).tolist() == ["p"]


def test_unlabelled_occurrences_help_where_few_labels_are_known():
    (known, senses), (asked, wanted) = two_clouds(3.5, 0), two_clouds(3.5, 1)
    task = {"w": main_directions(SenseTask(known, senses, asked, wanted))}
    alone = label_curve(task, nearest_mean, (1, EVERY)).mean
    joined = label_curve(task, seeded_means, (1, EVERY), with_unlabelled=True).mean
    assert joined[1] > alone[1] + 0.015
    assert joined[EVERY] == alone[EVERY]  # nothing is left that has no label


def test_the_bag_may_do_the_same():
    (task,) = bag_tasks(CORPUS).values()
    weighted = rare_words_count_more(task)
    assert weighted.known.shape == task.known.shape
    turned = main_directions(weighted)
    found = nearest_mean(turned.known, turned.known_senses, turned.asked)
    assert (found == task.asked_senses).all()


def test_the_mean_of_the_vectors_around_leaves_the_word_out():
    vocab = Vocab("x a0 a1 a2 a3 a4 b0 b1 b2 b3 b4 c".split())
    vectors = torch.zeros(len(vocab), 2)
    vectors[vocab["x"]] = 100.0
    vectors[vocab["a0"], 0] = 4.0
    (task,) = averaged_tasks(vectors, vocab, CORPUS).values()
    assert task.known.shape == (24, 2)
    np.testing.assert_allclose(task.known[0], [3.0, 0.0])  # a0, a0, a0 and c
    alone = Corpus("alone", " = X ( p ) = \n x . x . \n = X ( q ) = \n x . x . ", CORPUS.valid)
    (task,) = averaged_tasks(vectors, vocab, alone, max_len=3).values()
    assert not task.known.any()  # nothing stands around it
