"""What is said while somebody waits."""

from bert_tutorial import notebook as progress
from bert_tutorial.notebook import track


def test_in_a_notebook_a_line_counts_and_its_end_is_always_the_same(monkeypatch):
    shown = []
    monkeypatch.setattr(progress, "in_notebook", lambda: True)
    monkeypatch.setattr(progress.TextDisplay, "show", lambda self, text: shown.append(text))
    monkeypatch.setattr(progress, "UPDATE_EVERY", -1)
    assert list(track("abc", "letters read")) == ["a", "b", "c"]
    assert shown == ["letters read", *(f"letters read: {n} of 3" for n in range(3)), "letters read"]
    monkeypatch.setattr(progress, "UPDATE_EVERY", 60)
    shown.clear()
    assert list(track({"a": 1}.items(), "letters read")) == [("a", 1)]
    assert shown == ["letters read"] * 2


def test_in_a_terminal_a_short_wait_leaves_no_trace(capfd):
    assert list(track(range(3), "letters read")) == [0, 1, 2]
    assert capfd.readouterr() == ("", "")
