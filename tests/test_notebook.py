"""What the notebooks' first cells say."""

import ast

import pytest

from bert_tutorial.network.encoder import EncoderBlock, SelfAttention
from bert_tutorial.notebook import check, setup, show_source


def test_the_first_cell_says_what_will_be_used(tmp_path, capsys):
    own = tmp_path / "own.txt"
    own.write_text("A heading\n\nIt is read. It is short.\n")
    for corpus in ("bundled", "wikitext-2", str(own)):  # nothing is downloaded for it
        assert setup(corpus) == corpus
        said = capsys.readouterr().out
        assert f"corpus: {corpus} " in said and "device: " in said and "PyTorch" in said
    assert "own.txt: 6 of 8 words are used (75%); headings, and other lines" in said


@pytest.mark.parametrize("wrong", ["wikitext-3", "Bundled", "no/such/file.txt", ""])
def test_a_corpus_that_does_not_exist_is_told_in_the_first_cell(wrong, capsys):
    with pytest.raises(
        FileNotFoundError,
        match=f'"bundled", "wikitext-2" or a text file, but \'{wrong}\' is no file',
    ):
        setup(wrong)
    assert capsys.readouterr().out == ""


def test_the_path_that_was_looked_at_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=f"looked at '{tmp_path}/my.txt'"):
        setup("my.txt")


def test_a_folder_is_told_in_the_first_cell(tmp_path):
    with pytest.raises(
        IsADirectoryError, match="is a folder; corpus needs the path of one UTF-8 text file"
    ):
        setup(str(tmp_path))


def test_shown_methods_stand_at_the_left_margin():
    shown = show_source(SelfAttention.forward, EncoderBlock).data
    assert shown.startswith("```python\ndef forward(self, queries") and shown.endswith("\n```")
    tree = ast.parse(shown.removeprefix("```python\n").removesuffix("\n```"))
    assert [node.name for node in tree.body] == ["forward", "EncoderBlock"]


def test_a_claim_is_told_and_where_it_is_required_it_must_hold(capsys):
    check("one is less than two", 1 < 2)
    check("two is less than one", 2 < 1, required=False)
    assert capsys.readouterr().out == "one is less than two: yes\ntwo is less than one: no\n"
    with pytest.raises(AssertionError, match="does not hold: two is less than one"):
        check("two is less than one", 2 < 1)
