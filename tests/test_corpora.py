"""Which texts there are, and the one format that all of them have."""

from pathlib import Path

import pytest
from one_sentence import assert_one_sentence

from bert_tutorial.text import corpora
from bert_tutorial.text.corpora import read_text
from bert_tutorial.text.wikitext_format import Corpus, paragraphs


def test_bundled_corpus_is_read_from_the_package(monkeypatch, tmp_path):
    monkeypatch.setattr(corpora, "DATA", tmp_path)
    for folder, token in (("bundled", "b"), ("everyday", "f")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "train.tokens").write_text(f" Ä {token} . c . \n", encoding="utf-8")
        (tmp_path / folder / "valid.tokens").write_text(" d . e . \n", encoding="utf-8")
    assert read_text("everyday") == Corpus("everyday", " Ä f . c . \n", " d . e . \n")
    text = Corpus("bundled", " Ä b . c . \n", " d . e . \n")
    assert read_text() == read_text("bundled") == read_text(text) == text


@pytest.mark.parametrize("name", ["wikitext2", "", "no/such/file.txt", "x" * 5000, "a\0b", Path()])
def test_a_name_that_leads_nowhere_lists_the_choices(name):
    found = "a folder" if name == Path() else "no file"
    message = f'"bundled", "everyday", "wikitext-2" or a text file, but .* is {found}'
    with pytest.raises(OSError, match=message) as caught:
        read_text(name)
    assert_one_sentence(str(caught.value))


@pytest.mark.parametrize(("text", "found"), [
    (" = Cranes = \n \n Cranes dance . They fly 3 @.@ 5 km . \n \n One only . \n",
     [[["cranes", "dance"], ["they", "fly", "3", "@.@", "5", "km"]], [["one", "only"]]]),
    ("an end . ", [[["an", "end"]]]),
    (" a b .  .  c\n", [[["a", "b"], ["c"]]]),  # no full stop at the end, an empty sentence
    (" a\x85b\u2028c . d . \n", [[["a", "b", "c"], ["d"]]]),  # only line feeds end a paragraph
    *((text, []) for text in ("", "\n", " = A heading = \n", " No end \n", " . \n", "a .\n")),
])  # fmt: skip
def test_paragraphs_are_sentences_of_lower_cased_tokens(text, found):
    assert paragraphs(text) == found
