"""The mask explorer, without a browser: what it computes, says to wrong input, and escapes."""

import pytest

from bert_tutorial.studio.widgets import MaskExplorer, parts
from bert_tutorial.studio.widgets.mask_explorer import Masked, masked_example
from bert_tutorial.text.vocabulary import Vocab

VOCAB = Vocab("a crane is flying . a crane driver came he just left".split())


@pytest.fixture
def explorer():
    return MaskExplorer(VOCAB, "a crane is flying")


def test_masked_example_tells_what_stood_there():
    fates = set()
    for seed in range(30):
        tokens = masked_example(VOCAB, "a crane is flying", 0.5, seed)
        assert [token.typed for token in tokens] == "<cls> a crane is flying <sep>".split()
        assert sum(bool(token.fate) for token in tokens) == 3
        for now, before, fate, is_unknown in tokens:
            is_right = {"masked": now == "<mask>", "random": now not in ("<mask>", before)}
            assert is_right.get(fate, now == before) and not is_unknown
            fates.add(fate)
    assert fates == {"masked", "random", "kept", ""}


def test_answers_say_plainly_what_became_of_a_word():
    for fate, read, said in (
        ("masked", "<mask>", "<code>&lt;mask&gt;</code> hides <i>sad</i>."),
        ("random", "the", "<code>the</code> stands here at random, in place of <i>sad</i>."),
        ("kept", "sad", "<i>sad</i> was left as it is. The network does not know that."),
    ):
        assert Masked(read, "sad", fate, False).answer() == said


def test_answers_are_shown_when_guessed_or_asked_for_not_before(explorer):
    explorer.rate.value = 95
    right = {place: token.typed for place, token in enumerate(explorer.tokens) if token.fate}
    assert explorer.chips.chosen == [1] and explorer.answers.value == explorer.text.value == ""
    shown = [(chip["text"], chip["note"]) for chip in explorer.chips.tokens]
    assert shown == [("<cls>", ""), *((token.read, f"question {place}") for place, token
        in enumerate(explorer.tokens) if place in right), ("<sep>", "")]  # fmt: skip
    explorer.guess.value = "left"
    assert "It was not left. Question 1: which word" in explorer.status.text
    assert explorer.guess.value == "left" and explorer.answers.value == ""
    explorer.chips.clicked = {"index": 3, "count": 1}  # a guess belongs to what is chosen
    assert explorer.chips.chosen == [3] and explorer.guess.value == explorer.answers.value == ""
    explorer.guess.value = " IS "
    assert "Right, is. Question 4" in explorer.status.text and explorer.chips.chosen == [4]
    assert explorer.chips.tokens[3]["note"] == "question 3: is" and explorer.guess.value == ""
    explorer.guess.value = "left"  # of the next question: once more, it is another guess
    for count, place in enumerate((0, 99, 3), 2):  # nothing is asked there
        explorer.chips.clicked = {"index": place, "count": count}
        assert explorer.chips.chosen == [4] and explorer.guess.value == "left"
    for place in (4, 1, 2):  # then those before
        assert explorer.chips.chosen == [place] and not explorer.reveal.disabled
        assert (f"Question {place}: " in explorer.answers.value) is False
        explorer.reveal.click()
        assert f"Question {place}: " in explorer.answers.value
    assert "You guessed 1 of 4." in explorer.status.text and explorer.chips.chosen == []
    assert explorer.reveal.disabled
    explorer.guess.value = "more"  # nothing is asked now
    assert "You guessed 1 of 4." in explorer.status.text


def test_it_follows_slider_text_and_button_and_stays_when_the_text_is_empty(explorer):
    few, rows = explorer.status.text, set()
    explorer.rate.value = 95
    assert "4 to be predicted" in explorer.status.text and explorer.status.text != few
    explorer.again.click()
    assert "key" in [token.typed for token in explorer.tokens]  # a sentence that is prepared
    explorer.text.value = "he just left"
    for _ in range(10):
        explorer.again.click()
        assert [token.typed for token in explorer.tokens] == "<cls> he just left <sep>".split()
        rows.add(str(explorer.chips.tokens))
    assert len(rows) > 1
    explorer.text.value = "   "
    assert "Not possible: there is no word" in explorer.status.text
    assert str(explorer.chips.tokens) in rows


def test_what_is_typed_is_escaped_cut_and_told_where_it_is_unknown(explorer):
    explorer.text.value = "<img src=x onerror=alert(1)> &amp; <b>crane</b>"
    explorer.rate.value = 95
    for _ in explorer.questions:
        explorer.reveal.click()
    for value in (explorer.answers.value, explorer.static_html()):
        assert "<img" not in value and "<b>" not in value and "crane" in value
    explorer.text.value = "a heron is flying"
    for _ in explorer.questions:
        explorer.reveal.click()
    assert "<i>heron</i> is not in the vocabulary: the network" in explorer.answers.value
    explorer.rate.value = 1
    assert [chip["is_unknown"] for chip in explorer.chips.tokens].count(True) == 1
    explorer.text.value = "a crane " * 10_000
    assert explorer.status.text.startswith("Only the first 2,000 characters are read. 502 tokens")
    assert repr(explorer) == explorer._repr_mimebundle_()["text/plain"] == MaskExplorer.fallback


def test_tables_and_paragraphs_escape_every_text():
    assert parts.table(["<a>"], [["<b>"]], "<c>") == (
        "<table><caption>&lt;c&gt;</caption><thead><tr><th scope='col'>&lt;a&gt;</th></tr></thead>"
        "<tbody><tr><td>&lt;b&gt;</td></tr></tbody></table>"
    )
    assert parts.paragraph("<b>") == "<p>&lt;b&gt;</p>"
