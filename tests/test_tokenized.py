"""A text as token ids, and the cache that keeps it."""

from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bert_tutorial.text import tokenized
from bert_tutorial.text.examples import load_data_wiki
from bert_tutorial.text.tokenized import TokenizedCorpus, tokenize_corpus

TEXT = "".join(f"Cat {i} sat here. Then it ran. It saw a dog.\n" for i in range(40))


@pytest.fixture
def own_text(plain_user_folder, monkeypatch) -> Path:
    """A text file, and an empty cache folder beside it."""
    monkeypatch.setenv("BERT_TUTORIAL_CACHE", str(plain_user_folder / "cache"))
    path = plain_user_folder / "own.txt"
    path.write_text(TEXT)
    return path


def the_cached(own_text: Path) -> Path:
    (path,) = (own_text.parent / "cache" / "tokenized").iterdir()
    return path


def assert_same(found: TokenizedCorpus, wanted: TokenizedCorpus) -> None:
    assert (found.vocab.itos, found.vocab.counts) == (wanted.vocab.itos, wanted.vocab.counts)
    for one, two in zip((*found.train, *found.valid), (*wanted.train, *wanted.valid), strict=True):
        assert one.dtype == two.dtype and torch.equal(one, two)


def test_own_text_end_to_end(own_text, monkeypatch):
    train_iter, vocab = load_data_wiki(8, 32, corpus=own_text)
    assert "cat" in vocab and len(train_iter) > 0 and len(train_iter.valid) > 0
    with monkeypatch.context() as patch:  # what is cached is not cut up again
        patch.setattr(tokenized, "_look_up", lambda *_: pytest.fail("the cache was not used"))
        again, _ = load_data_wiki(8, 32, corpus=own_text)
    assert torch.equal(again.batch(1, 0).token_ids, train_iter.batch(1, 0).token_ids)
    # A changed text, or another frequency, is not mistaken for the cached one.
    assert len(load_data_wiki(8, 32, corpus=own_text, min_freq=1)[1]) > len(vocab)
    own_text.write_text(TEXT.replace("dog", "cow"))
    assert "cow" in load_data_wiki(8, 32, corpus=own_text)[1]


@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_any_damage_of_a_few_bytes_is_noticed_and_mended(own_text, data):
    wanted = tokenize_corpus(own_text)
    cached = the_cached(own_text)
    whole = cached.read_bytes()
    content = bytearray(whole)
    start = data.draw(st.integers(0, len(content) - 1))
    content[start : start + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=9))
    cached.write_bytes(content)
    assert_same(tokenize_corpus(own_text), wanted)
    assert cached.read_bytes() == whole


def test_a_cache_that_cannot_be_used_costs_nothing_but_time(own_text):
    wanted = tokenize_corpus(own_text)
    folder = the_cached(own_text).parent
    folder.chmod(0)  # neither read nor written
    assert_same(tokenize_corpus(own_text), wanted)
    folder.chmod(0o700)


def test_wikitext2_has_d2ls_vocabulary(tmp_path, monkeypatch, wikitext2_zip):
    monkeypatch.setenv("BERT_TUTORIAL_CACHE", str(tmp_path))
    monkeypatch.setenv("BERT_TUTORIAL_WIKITEXT2_URL", str(wikitext2_zip))
    train_iter, vocab = load_data_wiki(512, 64, corpus="wikitext-2")
    assert len(vocab) == 20256  # as d2l's, who keep 44,225 of these pairs: those that fit 64
    assert train_iter.num_pairs == 59135


def test_a_text_with_too_many_words_keeps_the_frequent_ones(own_text):
    words = (" ".join(f"{letter}{i}" for letter in "abcdefgh") for i in range(5000))
    own_text.write_text("".join(f"The {some}. The {some}.\n" for some in words))
    assert 1 <= len(tokenize_corpus(own_text).vocab.word_ids) <= 30_000
    assert len(tokenize_corpus(own_text, min_freq=1).vocab.word_ids) > 30_000  # who asks, gets it
    with pytest.raises(ValueError, match="no word occurs 99999 times: a smaller min_freq leaves"):
        tokenize_corpus(own_text, min_freq=99999)
