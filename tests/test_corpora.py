"""The registry of corpora, and the choice among them."""

import pytest
from one_sentence import assert_one_sentence

from bert_tutorial.text import corpora
from bert_tutorial.text.corpora import read_text
from bert_tutorial.text.wikitext_format import Corpus


def test_bundled_corpus_is_read_from_the_package(monkeypatch, tmp_path):
    monkeypatch.setattr(corpora, "BUNDLED", tmp_path)
    (tmp_path / "train.tokens").write_text(" Ä b . c . \n", encoding="utf-8")
    (tmp_path / "valid.tokens").write_text(" d . e . \n", encoding="utf-8")
    assert read_text() == read_text("bundled") == Corpus("bundled", " Ä b . c . \n", " d . e . \n")


def test_unknown_name_lists_the_choices():
    for name in ("wikitext2", "", "no/such/file.txt", "x" * 5000, "a\0b"):
        with pytest.raises(
            FileNotFoundError, match='"bundled", "wikitext-2" or a text file'
        ) as caught:
            read_text(name)
        assert_one_sentence(str(caught.value))


def test_a_folder_is_refused(tmp_path):
    for path in (tmp_path, str(tmp_path)):
        with pytest.raises(IsADirectoryError, match="is a folder") as caught:
            read_text(path)
        assert_one_sentence(str(caught.value))
