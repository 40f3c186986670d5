"""One word in two contexts."""

import pytest

from bert_tutorial import Vocab
from bert_tutorial.representation.contexts import CRANE, PREPARED, masked_sentences, two_contexts
from bert_tutorial.text.wikitext_format import Corpus

VALID = " the ferry left . it was late . \n a ferry came . it was new . \n"


def test_d2ls_example_where_its_words_are_known_else_a_word_of_two_paragraphs():
    words = "a crane is flying driver came he just left".split()
    assert two_contexts(Vocab(words), Corpus("x", "", VALID)) == CRANE
    found = two_contexts(Vocab(VALID.split()), Corpus("x", "", VALID))
    assert found == ("ferry", (["the", "ferry", "left"], None), (["a", "ferry", "came"], None))
    short = f"{VALID} steamers left . \n steamers came . \n"  # a longer word, in two words each
    assert two_contexts(Vocab(short.split()), Corpus("x", "", short)).word == "ferry"
    vocab = Vocab("the it was late a came new left".split())  # it lacks the ferry
    assert two_contexts(vocab, Corpus("x", "", VALID)).word == "was"
    with pytest.raises(ValueError, match="no word of the vocabulary stands in two held-out"):
        two_contexts(Vocab(["b"]), Corpus("x", "", " a b . b c . \n d e . f . \n"))


def test_masked_sentences_have_words_that_the_vocabulary_knows():
    prepared = [sentence for sentence, _ in PREPARED]
    vocab = Vocab(" ".join(prepared).replace("<mask>", "").split())
    assert masked_sentences(vocab, Corpus("x", "", VALID)) == PREPARED
    found = masked_sentences(Vocab(VALID.split()), Corpus("x", "", VALID))
    assert found == [("the <mask> left", "ferry"), ("a <mask> came", "ferry")]


def test_a_sentence_that_is_repeated_is_no_second_context():
    valid = " press escape now . it was :::::: late . \n press escape now . it :::::: was late . \n"
    found = two_contexts(Vocab(valid.split()), Corpus("x", "", valid))
    assert found.word == "late"
    assert found.first.tokens_a == ["it", "was", "::::::", "late"] != found.second.tokens_a
    again = " one ferry left . it was . \n one ferry left . a ferry came . \n"  # it is of the first
    assert two_contexts(Vocab(again.split()), Corpus("x", "", again)).word == "ferry"
