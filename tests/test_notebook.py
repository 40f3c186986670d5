"""What the notebooks themselves say and show."""

import ast

import pytest
from IPython import display

from bert_tutorial import notebook
from bert_tutorial.network.encoder import EncoderBlock, SelfAttention
from bert_tutorial.notebook import Display, check, png_html, setup, show_png, show_source, track


@pytest.fixture
def shown(monkeypatch):
    """What is displayed under a cell, and in whose place."""
    found = []
    for name in ("display", "update"):
        take = lambda self, data, raw, name=name: found.append((name, data))  # noqa: E731
        monkeypatch.setattr(display.DisplayHandle, name, take)
    return found


def test_the_first_cell_says_what_will_be_used(tmp_path, capsys):
    own = tmp_path / "own.txt"
    own.write_text("A heading\n\nIt is read. It is short.\n")
    for corpus in ("bundled", "wikitext-2", str(own)):  # nothing is downloaded for it
        assert setup(corpus) == corpus
        said = capsys.readouterr().out
        assert f"corpus: {corpus} " in said and "device: " in said and "PyTorch" in said
    assert "own.txt: 6 of 8 words are used (75%)" in said
    with pytest.raises(OSError, match="text file"):
        setup("wikitext-3")
    assert capsys.readouterr().out == ""


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


def test_a_picture_has_an_alternative_text_and_one_that_failed_is_that_text(shown):
    assert png_html(b"PNG", '"a" < b') == (
        '<img alt="&quot;a&quot; &lt; b" src="data:image/png;base64,UE5H" style="max-width:100%">'
    )
    show_png(b"PNG", "alt")
    data = {"text/html": png_html(b"PNG", "alt"), "text/plain": "alt", "image/png": "UE5H"}
    replaced = Display()
    replaced.show_png(b"PNG", "alt")
    replaced.show_png(b"", "<failed>")
    failed = {"text/html": "<p>&lt;failed&gt;</p>", "text/plain": "<failed>"}
    assert shown == [("display", data), ("display", data), ("update", failed)]


def test_in_a_notebook_a_line_counts_and_its_end_is_always_the_same(monkeypatch, shown):
    monkeypatch.setattr(notebook, "in_notebook", lambda: True)
    for every, between in ((-1, [f"letters read: {n} of 3" for n in range(3)]), (60, [])):
        monkeypatch.setattr(notebook, "UPDATE_EVERY", every)
        shown.clear()
        assert list(track("abc", "letters read")) == ["a", "b", "c"]
        lines = ["letters read", *between, "letters read"]
        assert [data["text/plain"] for _, data in shown] == lines


def test_in_a_terminal_a_short_wait_leaves_no_trace(capfd):
    assert list(track(range(3), "letters read")) == [0, 1, 2]
    assert capfd.readouterr() == ("", "")
