"""Which texts there are, and the one format that all of them have."""

from pathlib import Path

import pytest
from one_sentence import assert_one_sentence

from bert_tutorial.text import corpora
from bert_tutorial.text.corpora import read_text
from bert_tutorial.text.wikitext_format import Corpus, paragraphs


def test_bundled_corpus_is_read_from_the_package(monkeypatch, tmp_path):
    monkeypatch.setattr(corpora, "DATA", tmp_path)
    for part in corpora.PARTS:
        (tmp_path / part).mkdir()
        (tmp_path / part / "train.tokens").write_text(f" Ä {part} . c . \n", encoding="utf-8")
        (tmp_path / part / "valid.tokens").write_text(f" d . {part} . \n", encoding="utf-8")
    one, other = map(read_text, corpora.PARTS)
    assert other == Corpus("everyday", " Ä everyday . c . \n", " d . everyday . \n")
    text = Corpus("bundled", one.train + other.train, one.valid + other.valid, (one, other))
    assert read_text() == read_text("bundled") == read_text(text) == text


@pytest.mark.parametrize("name", [
    "wikitext2", "", "no/such/file.txt", "x" * 5000, "a\0b", "*.text", Path()
])  # fmt: skip
def test_a_name_that_leads_nowhere_lists_the_choices(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = {"*.text": "a pattern without files", Path(): "a folder without .txt files"}
    names = '"bundled", "encyclopaedia", "everyday", "wikitext-2"'
    message = f"{names} or a text file, .* but .* is {found.get(name, 'no file')} "
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


def test_which_part_a_paragraph_is_from_can_be_asked():
    text = read_text()
    for split in ("train", "valid"):
        names = text.part_names(split)
        assert len(names) == len(paragraphs(getattr(text, split))) and names == sorted(names)
        for part in text.parts:
            of_both = zip(names, paragraphs(getattr(text, split)), strict=True)
            own = [paragraph for name, paragraph in of_both if name == part.name]
            assert own == paragraphs(getattr(part, split))
    assert text.parts[1].part_names("train") == []
