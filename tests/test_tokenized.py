"""A text as token ids, and the cache that keeps it."""

import errno
import os
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from bert_tutorial.cache import read_safetensors, write_safetensors
from bert_tutorial.text import tokenized
from bert_tutorial.text.examples import load_data_wiki
from bert_tutorial.text.own_file import describe_own_text
from bert_tutorial.text.tokenized import TokenizedCorpus, tokenize_corpus


@pytest.fixture
def own_text(tmp_path, monkeypatch) -> Path:
    """A text file, and an empty cache folder beside it."""
    monkeypatch.setenv("BERT_TUTORIAL_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "own.txt"
    path.write_text("".join(f"Cat {i} sat here. Then it ran. It saw a dog.\n" for i in range(40)))
    return path


def assert_same(found: TokenizedCorpus, wanted: TokenizedCorpus) -> None:
    assert (found.vocab.itos, found.vocab.counts) == (wanted.vocab.itos, wanted.vocab.counts)
    for one, two in zip((*found.train, *found.valid), (*wanted.train, *wanted.valid), strict=True):
        assert one.dtype == two.dtype and torch.equal(one, two)


def test_own_text_end_to_end(own_text):
    train_iter, vocab = load_data_wiki(8, 32, corpus=own_text)
    assert "cat" in vocab and len(train_iter) > 0 and len(train_iter.valid) > 0
    again, _ = load_data_wiki(8, 32, corpus=own_text)
    assert torch.equal(again.batch(1, 0).token_ids, train_iter.batch(1, 0).token_ids)
    # A changed text is not mistaken for the cached one.
    own_text.write_text(own_text.read_text().replace("dog", "cow"))
    assert "cow" in load_data_wiki(8, 32, corpus=own_text)[1]


def test_a_cached_text_is_not_cut_up_again(own_text, monkeypatch):
    wanted = tokenize_corpus(own_text)
    monkeypatch.setattr(tokenized, "_look_up", lambda *_: pytest.fail("the cache was not used"))
    assert_same(tokenize_corpus(own_text), wanted)


def changed(**changes):
    """Write a cached file again, with other tensors and other knowledge (None: without it)."""

    def write(path: Path) -> None:
        tensors, about = read_safetensors(path)
        for name, change in changes.items():
            whole = about if name in about else tensors
            name = name.replace("__", ".")
            whole[name] = change and change(whole[name])
            if change is None:
                del whole[name]
        write_safetensors(path, tensors, about)

    return write


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        lambda path: path.write_bytes(b"damaged"),
        lambda path: path.write_bytes(os.urandom(5000)),
        lambda path: save_file({"a": torch.ones(3)}, path),
        replace_by_folder,
        changed(train__token_ids=None),
        changed(train__token_ids=lambda ids: ids.long()),
        changed(train__token_ids=lambda ids: ids.float()),
        changed(train__token_ids=lambda ids: ids + 10_000),
        changed(train__token_ids=lambda ids: -ids),
        changed(train__token_ids=lambda ids: ids[:-1]),
        changed(valid__token_ids=lambda ids: ids[None]),
        changed(valid__sentence_starts=lambda starts: starts + 1),
        changed(valid__paragraph_starts=lambda starts: starts[:0]),
        changed(itos=None),
        changed(itos=lambda itos: 5),
        changed(itos=lambda itos: [*itos[:5], *range(len(itos) - 5)]),
        changed(itos=lambda itos: itos[:-1]),
        changed(counts=None),
        changed(counts=lambda counts: {"a": 1}),
        changed(counts=lambda counts: [None for _ in counts]),
        changed(sha256=None),
        changed(sha256=lambda sha256: [sha256]),
    ],
)
def test_a_damaged_cache_is_made_again(own_text, damage, monkeypatch):
    wanted = tokenize_corpus(own_text)
    (cached,) = (own_text.parent / "cache" / "tokenized").iterdir()
    damage(cached)
    assert_same(tokenize_corpus(own_text), wanted)
    if cached.is_file():
        monkeypatch.setattr(tokenized, "_look_up", lambda *_: pytest.fail("it was not mended"))
        assert_same(tokenize_corpus(own_text), wanted)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_damage_of_a_few_bytes_is_noticed(own_text, data):
    wanted = tokenize_corpus(own_text)
    (cached,) = (own_text.parent / "cache" / "tokenized").iterdir()
    content = bytearray(cached.read_bytes())
    start = data.draw(st.integers(0, len(content) - 1))
    new = data.draw(st.binary(min_size=1, max_size=9))
    content[start : start + data.draw(st.integers(0, 9))] = new
    cached.write_bytes(content)
    assert_same(tokenize_corpus(own_text), wanted)


def test_a_cached_file_that_must_not_be_read_is_made_again(plain_user_folder, monkeypatch):
    text = plain_user_folder / "text.txt"
    text.write_text("".join(f"Cat {i} sat here. Then it ran. It saw a dog.\n" for i in range(40)))
    monkeypatch.setenv("BERT_TUTORIAL_CACHE", str(plain_user_folder / "cache"))
    wanted = tokenize_corpus(text)
    (cached,) = (plain_user_folder / "cache" / "tokenized").iterdir()
    cached.chmod(0)
    assert_same(tokenize_corpus(text), wanted)
    assert os.access(cached, os.R_OK, effective_ids=True)
    cached.parent.chmod(0o500)  # read-only, with a damaged file in it
    cached.chmod(0o600)
    cached.write_bytes(b"damaged")
    assert_same(tokenize_corpus(text), wanted)
    cached.parent.chmod(0)
    assert_same(tokenize_corpus(text), wanted)
    cached.parent.chmod(0o700)


@pytest.mark.parametrize("name", ["cache", "cache/below", "cache/far/below"])
def test_a_cache_that_cannot_be_a_folder_costs_nothing_but_time(own_text, monkeypatch, name):
    (own_text.parent / "cache").write_text("a file where the folder should be")
    monkeypatch.setenv("BERT_TUTORIAL_CACHE", str(own_text.parent / name))
    assert len(load_data_wiki(8, 32, corpus=own_text)[0]) > 0


def test_a_full_disk_costs_nothing_but_time(own_text, monkeypatch, full_disk, capsys):
    with full_disk(100):
        found = tokenize_corpus(own_text)
    folder = own_text.parent / "cache" / "tokenized"
    assert list(folder.iterdir()) == []

    def no_space(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", no_space)
        assert_same(tokenize_corpus(own_text), found)
        patch.setattr(Path, "mkdir", no_space)
        assert_same(tokenize_corpus(own_text), found)
    assert list(folder.iterdir()) == []
    assert_same(tokenize_corpus(own_text), found)
    assert len(list(folder.iterdir())) == 1 and capsys.readouterr() == ("", "")


def test_wikitext2_has_d2ls_vocabulary(tmp_path, monkeypatch, wikitext2_server):
    monkeypatch.setenv("BERT_TUTORIAL_CACHE", str(tmp_path))
    monkeypatch.setenv("BERT_TUTORIAL_WIKITEXT2_URL", wikitext2_server.url)
    train_iter, vocab = load_data_wiki(512, 64, corpus="wikitext-2")
    assert len(vocab) == 20256  # as d2l's
    # D2l keeps 44,225 of them, those that fit 64 positions.
    assert train_iter.num_pairs == 59135
    assert tuple(train_iter.batch(0, 0).token_ids.shape) == (512, 64)
    assert load_data_wiki(512, 64, corpus="wikitext-2")[1].itos == vocab.itos


def test_a_text_with_too_many_words_keeps_the_frequent_ones_and_says_so(own_text, capsys):
    words = [f"w{i}" for i in range(40_000)]
    parts = [" ".join(words[i : i + 8]) for i in range(0, len(words), 8)]
    lines = [f"The {a}. The {b}. The {a}." for a, b in zip(parts, parts[::-1], strict=True)]
    own_text.write_text("\n".join(lines) + "\n")
    said = describe_own_text(own_text)
    assert "It has 40,001 different words: the vocabulary keeps about the 30,000 most" in said
    vocab = tokenize_corpus(own_text).vocab
    assert 1 <= len(vocab.word_ids) <= 30_000
    assert len(tokenize_corpus(own_text, min_freq=1).vocab.word_ids) > 30_000  # who asks, gets it
