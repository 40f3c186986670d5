"""What the notebooks' first cells say."""

import ast

import pytest

from bert_tutorial.network.encoder import EncoderBlock, SelfAttention
from bert_tutorial.notebook import setup, show_source


@pytest.fixture(autouse=True)
def no_other_corpus(monkeypatch):
    monkeypatch.delenv("BERT_TUTORIAL_CORPUS", raising=False)


def test_the_first_cell_says_what_will_be_used(tmp_path, monkeypatch, capsys):
    own = tmp_path / "own.txt"
    own.write_text("not read here")
    for corpus in ("bundled", "wikitext-2", str(own)):  # nothing is downloaded for it
        assert setup(corpus) == corpus
        said = capsys.readouterr().out
        assert f"corpus: {corpus} " in said and "device: " in said and "PyTorch" in said
    monkeypatch.setenv("BERT_TUTORIAL_CORPUS", str(own))
    assert setup("bundled") == str(own)


@pytest.mark.parametrize("wrong", ["wikitext-3", "Bundled", "no/such/file.txt", ""])
def test_a_corpus_that_does_not_exist_is_told_in_the_first_cell(wrong, capsys):
    with pytest.raises(
        FileNotFoundError,
        match=f'"bundled", "wikitext-2" or a text file, but \'{wrong}\' is no file',
    ):
        setup(wrong)
    assert capsys.readouterr().out == ""


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
