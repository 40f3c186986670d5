"""Tokens and their numbers."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_tutorial.text.vocabulary import SPECIAL_TOKENS, Vocab, fitting_min_freq, tokenize


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("A crane is flying.", ["a", "crane", "is", "flying", "."]),
        ("The crane's long-legged", ["the", "crane", "'s", "long", "@-@", "legged"]),
        ("1,000 or 3.5", ["1", "@,@", "000", "or", "3", "@.@", "5"]),
        ("the U.S. army", ["the", "u.s.", "army"]),
        ("a <mask> driver", ["a", "<mask>", "driver"]),
        (
            "<script>alert(1)</script>",
            ["<", "script", ">", "alert", "(", "1", ")", "<", "/", "script", ">"],
        ),
        ("  \n\t ", []),
        ("鹤 в небе", ["鹤", "в", "небе"]),
        ("don’t “so” «so» ‘so’", ["don", "'t", *['"', "so", '"'] * 2, "'", "so", "'"]),
        ("हिन्दी e\u0301tat état", ["हिन्दी", "état", "état"]),
        ("now\u200bhere so\u00adft \ufeffa", ["nowhere", "soft", "a"]),
        ("今天天气很好 ok", [*"今天天气很好", "ok"]),
        ("_very_ glad", ["_", "very", "_", "glad"]),
        ("wait... so", ["wait", "...", "so"]),
        ("a\x1fb\x85c", ["a", "b", "c"]),
    ],
)
def test_tokenize(text, tokens):
    assert tokenize(text) == tokens


@given(st.text())
def test_tokens_have_no_white_space_and_cutting_again_changes_nothing(text):
    tokens = tokenize(text)
    assert all(token and token.split() == [token] for token in tokens)
    assert tokenize(" ".join(tokens)) == tokens


def test_only_unk_and_mask_can_be_typed():
    typed = set(tokenize(" ".join(SPECIAL_TOKENS)))
    assert typed & set(SPECIAL_TOKENS) == {"<unk>", "<mask>"}


def test_vocab_orders_by_frequency_and_drops_the_rare():
    vocab = Vocab("b a b c b a d <unk>".split(), min_freq=2)
    assert vocab.itos == [*SPECIAL_TOKENS, "b", "a"]
    assert vocab.counts == [3, 0, 0, 0, 0, 3, 2]  # c, d and <unk> count as unknown
    assert vocab["a"] == 6 and vocab[["b", "never seen"]] == [5, 0]
    assert vocab.to_tokens([6, 0]) == ["a", "<unk>"]
    assert "a" in vocab and "c" not in vocab


def test_vocab_can_be_rebuilt_from_what_is_saved():
    vocab = Vocab("to be or not to be".split())
    again = Vocab.from_counts(vocab.itos, vocab.counts)
    assert (again.itos, again.counts, again["to"]) == (vocab.itos, vocab.counts, vocab["to"])
    with pytest.raises(ValueError, match="begins with"):
        Vocab.from_counts(["a", "b"], [1, 1])


@pytest.mark.parametrize("end", ["", ".", "?", "!", " .", "…", "...", "。", "؟", "।"])
def test_a_sentence_end_that_the_training_text_lacks_is_left_out(end):
    vocab = Vocab("a crane is flying".split())
    assert vocab.tokenize(f"A crane is flying{end}") == ["a", "crane", "is", "flying"]
    assert "?" in Vocab(["?", "a"]).tokenize("a?")  # but one that it has stays
    assert vocab.tokenize("no, never.") == ["no", ",", "never"]


def test_abbreviations_that_have_an_entry_can_be_typed():
    vocab = Vocab("mr. vs. u.s. crane left ...".split())
    assert vocab.tokenize("Mr. Crane vs. the U.S. left...") == [
        "mr.", "crane", "vs.", "the", "u.s.", "left", "..."
    ]  # fmt: skip
    assert vocab.unknown(vocab.tokenize("Mr. Heron and a heron left")) == ["heron", "and", "a"]


@given(st.text())
def test_what_is_typed_is_read_the_same_with_and_without_a_full_stop(text):
    vocab = Vocab("a crane is flying".split())
    words = vocab.tokenize(text)
    if not words or words[-1][-1:] not in ".":
        assert vocab.tokenize(f"{text} .") == words


def test_the_last_full_stop_ends_the_sentence_rather_than_an_abbreviation():
    vocab = Vocab("no. no crane left mr.".split())
    assert vocab.tokenize("No. 7 left no.")[:1] == ["no."]
    assert vocab.tokenize("the crane said no.")[-1] == "no"
    assert vocab.tokenize("Mr.") == ["mr."]  # which has no entry without its full stop


@given(st.lists(st.integers(1, 9), min_size=1, max_size=40), st.integers(1, 40))
def test_a_vocabulary_that_is_too_large_drops_its_rarest_words(counts, largest):
    frequencies = Counter({f"w{i}": count for i, count in enumerate(counts)})
    fit = fitting_min_freq(frequencies, 2, largest)
    kept = sum(count >= fit for count in counts)
    assert fit >= 2 and kept <= largest
    if fit > 2:  # one less would be too many
        assert sum(count >= fit - 1 for count in counts) > largest
