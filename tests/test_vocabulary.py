"""Tokens and their numbers."""

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_tutorial.text.vocabulary import (
    SPECIAL_TOKENS,
    Vocab,
    fitting_min_freq,
    tokenize,
)


@pytest.mark.parametrize(("text", "tokens"), [
    ("A crane is flying.", "a crane is flying ."),
    ("The crane's long-legged", "the crane 's long @-@ legged"),
    ("1,000 or 3.5", "1 @,@ 000 or 3 @.@ 5"),
    ("the U.S. army", "the u.s. army"),
    ("a <mask> <unk> <pad></sep>", "a <mask> <unk> < pad > < / sep >"),  # only two are special
    ("don’t “so” «so» ‘so’", 'don \'t " so " " so " \' so \''),
    ("हिन्दी e\u0301tat état", "हिन्दी état état"),
    ("now\u200bhere so\u00adft", "nowhere soft"),
    ("今天天气很好 ok", "今 天 天 气 很 好 ok"),
    ("_very_ glad", "_ very _ glad"),
    ("wait... so", "wait ... so"),
    ("a\x1fb\x85c", "a b c"),
    ("❤️ you 👍🏽👍 🇩🇪🇫🇷 1️⃣", "❤ you 👍🏽 👍 🇩🇪 🇫🇷 1⃣"),
    ("İmleci imleci IMLECI\u0307", "imleci imleci imleci"),
    ("ﬁnd long‑legged", "find long @-@ legged"),
])  # fmt: skip
def test_tokenize(text, tokens):
    assert tokenize(text) == tokens.split()


@settings(deadline=None)
@given(st.text())
def test_tokens_have_no_white_space_and_cutting_again_changes_nothing(text):
    tokens = tokenize(text)
    assert all(token and token.split() == [token] for token in tokens)
    assert tokenize(" ".join(tokens)) == tokens


def test_vocab_orders_by_frequency_and_drops_the_rare():
    vocab = Vocab("b a b c b a d <unk>".split(), min_freq=2)
    again = Vocab.from_counts(vocab.itos, vocab.counts)  # rebuilt from what is saved
    for found in (vocab, again):
        assert found.itos == [*SPECIAL_TOKENS, "b", "a"] and len(found) == 7
        assert found.counts == [3, 0, 0, 0, 0, 3, 2]  # c, d and <unk> count as unknown
        assert found["a"] == 6 and found[["b", "never seen"]] == [5, 0]
        assert found.to_tokens(torch.tensor([6, 0])) == found.to_tokens([6, 0]) == ["a", "<unk>"]
        assert found.to_tokens(5) == "b" and found.word_ids.tolist() == [5, 6]
        assert "a" in found and "c" not in found
    assert Vocab("c a b a".split()).itos[5:] == ["a", "b", "c"]  # equally frequent: by alphabet
    with pytest.raises(ValueError, match="begins with"):
        Vocab.from_counts(["a", "b"], [1, 1])


@pytest.mark.parametrize("end", ["", " .", *"!?…。؟।։።།", "...", "...."])
def test_a_sentence_end_that_the_training_text_lacks_is_left_out(end):
    vocab = Vocab("a crane is flying".split())
    assert vocab.tokenize(f"A crane is flying{end}") == ["a", "crane", "is", "flying"]
    assert "?" in Vocab(["?", "a"]).tokenize("a?")  # but one that it has stays
    assert vocab.tokenize("no, never.") == ["no", ",", "never"]


def test_abbreviations_that_have_an_entry_can_be_typed():
    vocab = Vocab("mr. vs. u.s. no. no crane left ...".split())
    tokens = vocab.tokenize("Mr. Crane vs. the U.S. left...")
    assert tokens == ["mr.", "crane", "vs.", "the", "u.s.", "left", "..."]
    assert vocab.unknown(vocab.tokenize("Mr. Heron and a heron left")) == ["heron", "and", "a"]
    # The last full stop ends the sentence.
    assert vocab.tokenize("No. 7 left no.") == ["no.", "7", "left", "no"]
    assert vocab.tokenize("Mr.") == ["mr."]  # which has no entry without its full stop
    assert vocab.tokenize("no?. 7") == ["no", "7"]


@settings(deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=40), st.integers(1, 40))
def test_a_vocabulary_that_is_too_large_drops_its_rarest_words(counts, largest):
    fit = fitting_min_freq(Counter(dict(enumerate(counts))), 2, largest)
    assert fit >= 2 and sum(count >= fit for count in counts) <= largest
    # One less would be too many.
    assert fit == 2 or sum(count >= fit - 1 for count in counts) > largest
