"""Labelled senses, and whether vectors tell them apart."""

import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bert_tutorial.network.model import BERTModel
from bert_tutorial.representation.occurrences import (
    labelled_occurrences,
    occurrence_vectors,
    window,
)
from bert_tutorial.representation.pseudowords import HiddenPairs, Pseudowords, labels_for
from bert_tutorial.representation.senses import sense_centroids, sense_scores
from bert_tutorial.text.vocabulary import Vocab
from bert_tutorial.text.wikitext_format import Corpus, paragraphs

TEXT = "\n".join(
    [
        " = Crane ( bird ) : Wings = ",
        " A crane flies . It is a grey crane . ",
        " Nothing here . Nor here . ",
        " = The harbour = ",
        " A crane stands here unlabelled . So it is . ",
        " = Crane ( machine ) = ",
        " The load hangs . The crane lifts it . ",
    ]
)


def test_occurrences_carry_the_sense_of_their_heading():
    (word, occurrences), *others = labelled_occurrences(TEXT).items()
    assert word == "crane" and not others
    places = [(0, 0, 1, "bird"), (0, 1, 4, "bird"), (3, 1, 1, "machine")]
    assert occurrences == [(*place, False) for place in places]
    read = paragraphs(TEXT)
    assert all(read[o.paragraph][o.sentence][o.position] == "crane" for o in occurrences)


def test_a_text_without_such_headings_has_no_labels():
    assert labelled_occurrences(" = Robert <unk> = \n\n He ran ( fast ) . He fell . \n") == {}


def test_a_word_that_only_one_split_names_has_no_score(corpus):
    text, vocab = corpus
    net = BERTModel(len(vocab), num_hiddens=16, ffn_num_hiddens=32)
    lonely = " = Y ( third ) = \n a1 y a2 . a3 a4 . \n"
    assert list(
        sense_scores(net, vocab, Corpus("made up", text.train, text.valid + "\n" + lonely))
    ) == ["x"]
    assert list(
        sense_scores(
            net, vocab, Corpus("made up", text.train + "\n" + lonely, text.valid + "\n" + lonely)
        )
    ) == ["x"]


def sense_text(num_paragraphs, seed):
    """ "x" among a words in one sense, among b words in the other."""
    draw = random.Random(seed)
    lines = []
    for sense, letter in (("first", "a"), ("second", "b")):
        lines.append(f" = X ( {sense} ) = ")
        for _ in range(num_paragraphs):
            words = [f"{letter}{draw.randint(0, 4)}" for _ in range(12)]
            words[draw.randint(0, 3)] = words[draw.randint(6, 9)] = "x"
            lines.append(f" {' '.join(words[:6])} . {' '.join(words[6:])} . ")
    return "\n".join(lines)


@pytest.fixture
def corpus():
    text = Corpus("made up", sense_text(20, 0), sense_text(8, 1))
    vocab = Vocab(token for p in paragraphs(text.train) for s in p for token in s)
    return text, vocab


def test_vectors_are_those_of_the_word_at_its_place(corpus):
    text, vocab = corpus
    net = BERTModel(len(vocab), num_hiddens=16, ffn_num_hiddens=32)
    occurrences = labelled_occurrences(text.train)["x"]
    vectors = occurrence_vectors(net, vocab, text.train, occurrences)
    assert vectors.shape == (80, 16) and net.training
    for number in (0, 3):
        first, second = paragraphs(text.train)[occurrences[number].paragraph]
        tokens = ["<cls>", *first, *second, "<sep>"]
        place = occurrences[number].position + (
            1 if occurrences[number].sentence == 0 else len(first) + 1
        )
        assert tokens[place] == "x"
        with torch.no_grad():
            encoded, _, _ = net.eval()(
                torch.tensor([vocab[tokens]]), torch.zeros(1, len(tokens), dtype=torch.long)
            )
        torch.testing.assert_close(vectors[number], encoded[0, place], rtol=1e-4, atol=1e-5)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=9), st.data())
def test_a_window_is_a_stretch_of_whole_sentences_that_cannot_be_wider(lengths, data):
    paragraph = [["x"] * length for length in lengths]
    sentence = data.draw(st.integers(0, len(lengths) - 1))
    budget = data.draw(st.integers(1, 100))
    begin, end = window(paragraph, sentence, budget)
    assert 0 <= begin <= sentence < end <= len(paragraph)
    if end - begin > 1:
        assert sum(lengths[begin:end]) <= budget
    assert begin == 0 or end == len(paragraph) or sum(lengths[begin - 1 : end + 1]) > budget


def test_pseudowords_merge_what_only_context_can_tell():
    draw = random.Random(0)
    words = ["River", "song", "storm", "album", "tree", "road"]
    train, valid = (
        "\n".join(
            f" {' '.join(draw.choices(words, k=8))} . {' '.join(draw.choices(words, k=8))} . "
            for _ in range(n)
        )
        for n in (30, 10)
    )
    merged = Pseudowords(
        Corpus("made up", train, valid), num_pairs=2, lowest=3, highest=1000, seed=1
    )
    assert len({word for pair in merged.pairs for word in pair}) == 4
    for part, original in ((merged.corpus.train, train), (merged.corpus.valid, valid)):
        read, before = paragraphs(part), paragraphs(original)
        labels = merged.labels(part)
        assert len(labels) == 2
        for word, found in labels.items():
            assert word not in original and {o.sense for o in found} == set(word.split("|"))
            for o in found:
                assert read[o.paragraph][o.sentence][o.position] == word
                assert before[o.paragraph][o.sentence][o.position] == o.sense
            tokens = [token for paragraph in read for sentence in paragraph for token in sentence]
            assert tokens.count(word) == len(found) and not set(word.split("|")) & set(tokens)
    with pytest.raises(ValueError, match="50 pairs need 100 words"):
        Pseudowords(Corpus("made up", train, valid), num_pairs=50)


def test_scores_are_right_where_context_tells_and_chance_where_vectors_are_shuffled(
    corpus, monkeypatch
):
    text, vocab = corpus
    torch.manual_seed(0)
    net = BERTModel(len(vocab), num_hiddens=16, ffn_num_hiddens=32, dropout=0.0)
    with (
        torch.no_grad()
    ):  # word vectors that show which family a neighbour is of, and attention that is even
        for token, number in ((t, i) for i, t in enumerate(vocab.itos)):
            net.encoder.embeddings.token.weight[number, 0] += (
                5.0 if token[0] == "a" else -5.0 if token[0] == "b" else 0.0
            )
        for block in net.encoder.blocks:
            block.attention.key_value.weight[16:].copy_(torch.eye(16))
            block.attention.output.weight.copy_(torch.eye(16))
    (score,) = sense_scores(net, vocab, text).values()
    assert score.accuracy == 1.0 and score.chance == 0.5 and score.num_held_out == 32
    at_the_embeddings = sense_scores(net, vocab, text, layer=0)["x"]
    # Before attention a word knows nothing of its neighbours.
    assert at_the_embeddings.accuracy < 0.75
    senses, centroids = sense_centroids(
        net, vocab, text.train, labelled_occurrences(text.train)["x"]
    )
    assert senses == ["first", "second"] and centroids.shape == (2, 32)


def test_a_word_far_back_in_a_long_sentence_is_read_with_what_stands_before_it(corpus):
    """WikiText-2 has sentences longer than a network's 64 positions."""
    _, vocab = corpus
    net = BERTModel(len(vocab), num_hiddens=16, ffn_num_hiddens=32, max_len=16)
    text = f" = X ( first ) = \n {' '.join(['a1', 'a2'] * 20)} x a3 a4 . b1 b2 . \n"
    occurrences = labelled_occurrences(text)["x"]
    (vector,) = occurrence_vectors(net, vocab, text, occurrences)
    tokens = ["<cls>", *(["a1", "a2"] * 20)[-13:], "x", "<sep>"]
    with torch.no_grad():
        encoded = net.eval()(torch.tensor([vocab[tokens]]), torch.zeros(1, 16, dtype=torch.long))
    torch.testing.assert_close(vector, encoded.encoded[0, 14], rtol=1e-4, atol=1e-5)


def test_hidden_pairs_are_read_as_mask_and_their_label_is_the_word_that_stood_there():
    draw = random.Random(0)
    common = [f"c{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(100)]
    rare = ["river", "song", "storm", "album", "seldom"]

    def part(number):
        lines = [common[i : i + 10] for i in range(0, 100, 10)] * (2 * number)
        lines += [[word, *draw.sample(common, 4)] for word in rare[:4]] * number
        return "\n".join(f" {' '.join(line)} . {' '.join(common[:5])} . " for line in lines)

    text = Corpus("made up", part(20) + "\n seldom seen . So it is . ", part(6))
    pairs = HiddenPairs(text, num_pairs=5, longest_list=15)
    assert {word for pair in pairs.pairs for word in pair} == set(rare[:4])
    read, labels = paragraphs(text.train), pairs.labels(text.train)
    assert sorted(labels) == sorted("/".join(pair) for pair in pairs.pairs)
    for name, found in labels.items():
        assert [o.sense for o in found].count(name.split("/")[0]) == 15
        for o in found:
            assert read[o.paragraph][o.sentence][o.position] == o.sense and o.is_hidden
    vocab = Vocab(token for p in read for s in p for token in s)
    torch.manual_seed(0)
    net = BERTModel(len(vocab), num_hiddens=16, ffn_num_hiddens=32)
    place = next(iter(labels.values()))[0]
    (hidden,) = occurrence_vectors(net, vocab, text.train, [place])
    first, second = read[place.paragraph]
    tokens = ["<cls>", "<mask>", *first[1:], *second, "<sep>"]
    with torch.no_grad():
        encoded = net.eval()(
            torch.tensor([vocab[tokens]]), torch.zeros(1, len(tokens), dtype=torch.long)
        )
    torch.testing.assert_close(hidden, encoded.encoded[0, 1], rtol=1e-4, atol=1e-5)


def test_a_text_gets_the_labels_of_its_headings_or_else_pairs_and_a_short_one_none(corpus):
    assert labels_for(corpus[0]) is labelled_occurrences
    short = Corpus("short", " One sentence . Another one . ", " One sentence . ")
    assert labels_for(short)(short.train) == {}
