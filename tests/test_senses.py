"""Labelled senses: whether vectors tell them apart, and how many labels that takes."""

import random

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.naive_bayes import MultinomialNB

from bert_tutorial.network.model import BERTModel
from bert_tutorial.representation import occurrences
from bert_tutorial.representation.occurrences import (
    labelled_occurrences,
    occurrence_vectors,
    without_parts,
)
from bert_tutorial.representation.senses import (
    EVERY,
    SenseTask,
    averaged_tasks,
    bag_tasks,
    label_curve,
    let_join,
    main_directions,
    naive_bayes,
    nearest_mean,
    rare_words_count_more,
    seeded_means,
    sense_means,
    sense_scores,
    word_log_probabilities,
)
from bert_tutorial.text.vocabulary import Vocab
from bert_tutorial.text.wikitext_format import Corpus, paragraphs


def sense_text(number) -> str:
    """Word x: "first" beside a words, "second" beside b words."""
    lines = []
    for sense, letter in (("first", "a"), ("second", "b")):
        lines.append(f" = X ( {sense} ) = ")
        for i in range(number):
            lines.append(f" {letter}{i % 3} x {letter}{i % 5} . {letter}{i % 4} c . ")
    return "\n".join(lines)


CORPUS = Corpus("made up", sense_text(12), sense_text(4))
VOCAB = Vocab("x a0 a1 a2 a3 a4 b0 b1 b2 b3 b4 c".split())


def small_net(vocab=VOCAB, max_len=512):
    torch.manual_seed(0)
    return BERTModel(len(vocab), 16, 32, dropout=0.0, max_len=max_len).eval()


def assert_vector(found, net, vocab, tokens, place):
    """A vector is that of a place in a row that is encoded by itself."""
    row = torch.tensor([vocab[tokens]])
    encoded = net(row, torch.zeros_like(row)).encoded.detach()
    torch.testing.assert_close(found, encoded[0, place], rtol=1e-4, atol=1e-5)


def test_what_differs_between_the_parts_of_a_corpus_is_taken_out():
    letters = Corpus("letters", sense_text(9), sense_text(3))
    both = Corpus("both", CORPUS.train + "\n" + letters.train, CORPUS.valid, (CORPUS, letters))
    found, draw = labelled_occurrences(both.train)["x"], np.random.default_rng(0)
    assert both.part_names("train").count("letters") == 18
    of_letters = np.arange(len(found)) >= 24
    sense, tone = np.eye(8, dtype=np.float32)[:2]
    second = np.array([o.sense == "second" for o in found])
    noise = draw.normal(size=(3, len(found), 8)).astype(np.float32) / 100
    vectors = second[:, None] * sense + noise
    in_tones = vectors + 5 * of_letters[:, None] * tone
    clean = without_parts(in_tones, both, found)
    means = clean[:, of_letters].mean(1), clean[:, ~of_letters].mean(1)
    np.testing.assert_allclose(*means, atol=1e-5)
    np.testing.assert_allclose(clean[..., 0], vectors[..., 0], atol=0.02)  # the senses stay
    known, names = in_tones[0], np.array([o.sense for o in found])
    (before, after) = (SenseTask(x, names, known, names) for x in (known, clean[0]))
    alike = [x.known @ x.known.T for x in map(main_directions, (before, after))]
    same = names[:, None] == names
    assert alike[0][~same].max() > 0.9 > 0.1 > alike[1][~same].max()
    assert without_parts(vectors, CORPUS, found) is vectors  # of one piece


def test_occurrences_carry_the_sense_of_their_heading():
    text = (
        " = Crane ( bird ) : Wings = \n A crane flies . It is a grey crane . \n Nothing here . \n"
        " = The harbour = \n A crane stands here unlabelled . So it is . \n"
        " = Crane ( machine ) = \n The load hangs . The crane lifts it . "
    )
    places = [(0, 0, 1, "bird"), (0, 1, 4, "bird"), (3, 1, 1, "machine")]
    assert labelled_occurrences(text) == {"crane": [(*place, False) for place in places]}
    assert labelled_occurrences(" = Robert <unk> = \n\n He ran ( fast ) . He fell . \n") == {}


def test_a_word_that_only_one_split_names_has_no_score():
    lonely = "\n = Y ( third ) = \n a1 y a2 . a3 a4 . \n"
    for train in (CORPUS.train, CORPUS.train + lonely):
        text = Corpus("made up", train, CORPUS.valid + lonely)
        assert list(bag_tasks(text)) == ["x"]


def test_vectors_are_those_of_the_word_at_its_place():
    net, places = small_net().train(), labelled_occurrences(CORPUS.train)["x"]
    vectors = occurrence_vectors(net, VOCAB, CORPUS.train, places)
    both = occurrences.both_readings(net, VOCAB, CORPUS.train, places)
    assert vectors.shape == (24, 16) and both.shape == (3, 24, 32) and net.training
    torch.testing.assert_close(both[-1, :, :16], vectors)
    net.eval()
    for number in (0, 23):
        first, second = paragraphs(CORPUS.train)[places[number].paragraph]
        assert_vector(vectors[number], net, VOCAB, ["<cls>", *first, *second, "<sep>"], 2)
        hidden = ["<cls>", first[0], "<mask>", first[2], *second, "<sep>"]
        assert_vector(both[-1, number, 16:], net, VOCAB, hidden, 2)


def test_a_word_far_back_in_a_long_sentence_is_read_with_what_stands_before_it():
    net = small_net(max_len=16)
    text = f" = X ( first ) = \n {' '.join(['a1', 'a2'] * 20)} x a3 a4 . b1 b2 . \n"
    (vector,) = occurrence_vectors(net, VOCAB, text, labelled_occurrences(text)["x"])
    tokens = ["<cls>", *(["a1", "a2"] * 20)[-13:], "x", "<sep>"]
    assert_vector(vector, net, VOCAB, tokens, 14)
    (short,) = occurrences.windows(" a b c d x e f g . h i . ", [(0, 0, 4, "s")], max_len=5)
    assert short == (["c", "d", "x"], 2, None)  # with <cls> and <sep> it is full


@given(st.lists(st.integers(1, 30), min_size=1, max_size=9), st.data())
def test_a_window_is_a_stretch_of_whole_sentences_that_cannot_be_wider(lengths, data):
    sentence, budget = data.draw(st.integers(0, len(lengths) - 1)), data.draw(st.integers(1, 100))
    begin, end = occurrences.window([["x"] * length for length in lengths], sentence, budget)
    assert 0 <= begin <= sentence < end <= len(lengths)
    if end - begin > 1:
        assert sum(lengths[begin:end]) <= budget
    assert begin == 0 or end == len(lengths) or sum(lengths[begin - 1 : end + 1]) > budget


def test_scores_are_right_where_context_tells_and_chance_before_any_layer():
    net = small_net()
    with torch.no_grad():  # word vectors that show which family a neighbour is of, even attention
        for number, token in enumerate(VOCAB.itos):
            sign = {"a": 5.0, "b": -5.0}.get(token[0], 0.0)
            net.encoder.embeddings.token.weight[number, 0] += sign
        for block in net.encoder.blocks:
            block.attention.key_value.weight[16:].copy_(torch.eye(16))
            block.attention.output.weight.copy_(torch.eye(16))
    assert sense_scores(net, VOCAB, CORPUS) == {"x": (1.0, 8)}
    assert sense_scores(net, VOCAB, CORPUS, layer=0)["x"].accuracy < 0.75  # it knows no neighbours


def test_hidden_pairs_are_read_as_mask_and_their_label_is_the_word_there(monkeypatch):
    draw, rare = random.Random(0), ["river", "song", "storm", "album"]
    common = [f"c{a}{b}" for a in "abcdefghij" for b in "abcdefghij"]

    def part(number):
        lines = [common[i : i + 10] for i in range(0, 100, 10)] * (2 * number)
        lines += [[word, *draw.sample(common, 4)] for word in rare] * number
        return "\n".join(f" {' '.join(line)} . {' '.join(common[:5])} . " for line in lines)

    text = Corpus("made up", part(20) + "\n seldom seen . So it is . ", part(6))
    monkeypatch.setattr(occurrences, "LONGEST_LIST", 15)
    read, found = paragraphs(text.train), occurrences.hidden_pairs(text)(text.train)
    assert {word for pair in found for word in pair.split("/")} == set(rare)
    for name, places in found.items():
        assert places == sorted(places)
        assert [o.sense for o in places].count(name.split("/")[0]) == 15
        assert all(read[o[0]][o[1]][o[2]] == o.sense and o.is_hidden for o in places)
    vocab = Vocab(token for p in read for s in p for token in s)
    net, place = small_net(vocab), next(iter(found.values()))[0]
    (hidden,) = occurrence_vectors(net, vocab, text.train, [place])
    first, second = read[place.paragraph]
    assert_vector(hidden, net, vocab, ["<cls>", "<mask>", *first[1:], *second, "<sep>"], 1)
    assert occurrences.labels_for(CORPUS) is labelled_occurrences
    short = Corpus("short", " One sentence . Another one . ", " One sentence . ")
    assert occurrences.labels_for(short)(short.train) == {}
    assert occurrences.find_uses(" a x a x . x . \n", "x", most=2) == [
        (0, 0, i, "", False) for i in (1, 3)
    ]


def test_the_bag_counts_the_words_around_and_not_the_word_itself():
    (task,) = bag_tasks(CORPUS).values()
    assert task.known.shape[0] == 24 and task.asked.shape[0] == 8
    assert task.known[0].sum() == 4  # a0, a0, a0 and c; x is left out
    weighted = rare_words_count_more(task)
    assert weighted.known.shape == task.known.shape and weighted.known[0].sum() != 4
    turned = main_directions(weighted)
    found = nearest_mean(turned.known, turned.known_senses, turned.asked)
    assert (found == task.asked_senses).all()


def test_naive_bayes_is_that_of_scikit_learn():
    draw = np.random.default_rng(0)
    known, asked = (draw.poisson(0.6, size=(n, 30)) for n in (40, 500))
    senses = np.array(["p", "q"] * 20)
    control = MultinomialNB(alpha=0.5, fit_prior=False).fit(known, senses)
    _, log_p = word_log_probabilities(known, senses)
    np.testing.assert_allclose(log_p, control.feature_log_prob_)
    assert (naive_bayes(known, senses, asked) == control.predict(asked)).all()


def test_nearest_mean_by_hand():
    known, senses = np.array([[0, 0], [0, 2], [10, 0]], "f4"), np.array(["p", "p", "q"])
    names, means = sense_means(known, senses)
    assert (names.tolist(), means.tolist()) == (["p", "q"], [[0, 1], [10, 0]])
    assert nearest_mean(known, senses, np.array([[1, 1], [9, 1]], "f4")).tolist() == ["p", "q"]


def two_clouds(far: float) -> SenseTask:
    """Two senses that lie `far` apart in one of thirty directions, with noise in all."""
    draw, senses = np.random.default_rng(0), np.array(["p", "q"] * 40)
    known, asked = draw.normal(size=(2, 80, 30)).astype(np.float32)
    known[:, 0] += np.where(senses == "p", 0, far)
    asked[:, 0] += np.where(senses == "p", 0, far)
    return SenseTask(known, senses, asked, senses)


def test_more_labels_help_and_the_same_are_drawn_again():
    tasks = {"w": two_clouds(2.5)}
    curve = label_curve(tasks, nearest_mean, (1, 16, EVERY))
    assert 0.45 < curve.mean[1] < curve.mean[16] and curve.mean[EVERY] > 0.75
    assert curve.spread[1] > 0 and curve.spread[EVERY] == 0
    assert label_curve(tasks, nearest_mean, (1, 16, EVERY)) == curve


def test_main_directions_help_where_few_labels_are_known_and_use_none():
    task = two_clouds(5.0)
    turned = main_directions(task)
    np.testing.assert_allclose(np.linalg.norm(turned.known, axis=1), 1, rtol=1e-5)
    one, other = (label_curve({"w": t}, nearest_mean, (1,)).mean[1] for t in (task, turned))
    assert other > one + 0.05 and other > 0.95
    relabelled = main_directions(task._replace(known_senses=task.known_senses[::-1]))
    np.testing.assert_array_equal(relabelled.known, turned.known)
    np.testing.assert_array_equal(relabelled.asked, turned.asked)


def test_unlabelled_occurrences_take_part_in_the_means():
    """The first label of p lies far off: only with the other occurrences is its mean right."""
    known, senses = np.array([[4], [9]], "f4"), np.array(["p", "q"])
    unlabelled, asked = np.array([[0], [0.5], [1], [9], [8]], "f4"), np.array([[5.5]], "f4")
    assert nearest_mean(known, senses, asked).tolist() == ["p"]
    assert seeded_means(known, senses, asked, unlabelled).tolist() == ["q"]
    assert seeded_means(known, senses, asked, unlabelled[:0]).tolist() == ["p"]
    ends, between = np.array([[0], [10]], "f4"), np.array([[4.5], [5], [5.5], [5.5], [5.5]], "f4")
    _, joined = let_join(ends, senses, between)  # the first one joins q in the third round
    assert joined.tolist() == ["p", "q", *"qqqqq"]


def test_with_unlabelled_a_classifier_gets_each_known_occurrence_once():
    task, given = two_clouds(3.5), []

    def classify(few, told, asked, rest):
        given.append(sorted(np.concatenate([few, rest])[:, 0].tolist()))
        return task.asked_senses

    found = label_curve({"w": task}, classify, (1, EVERY), with_unlabelled=True)
    assert found.mean == {1: 1, EVERY: 1}
    assert all(rows == sorted(task.known[:, 0].tolist()) for rows in given)


def test_the_mean_of_the_vectors_around_leaves_the_word_out():
    vectors = torch.zeros(len(VOCAB), 2)
    vectors[VOCAB["x"]], vectors[VOCAB["a0"], 0] = 100.0, 4.0
    (task,) = averaged_tasks(vectors, VOCAB, CORPUS).values()
    np.testing.assert_allclose(task.known[0], [3.0, 0.0])  # a0, a0, a0 and c
    alone = "\n".join(f" = X ( {sense} ) = \n x . " for sense in "pq")  # nothing stands around it
    (task,) = averaged_tasks(vectors, VOCAB, Corpus("alone", alone, CORPUS.valid)).values()
    assert not task.known.any()
