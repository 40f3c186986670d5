"""WikiText's format."""

import pytest

from bert_tutorial.text.wikitext_format import paragraphs


def test_paragraphs_are_sentences_of_lower_cased_tokens():
    text = " = Cranes = \n \n Cranes dance . They fly 3 @.@ 5 km . \n \n One sentence only . \n"
    assert paragraphs(text) == [
        [["cranes", "dance"], ["they", "fly", "3", "@.@", "5", "km"]],
        [["one", "sentence", "only"]],
    ]


@pytest.mark.parametrize(
    "text", ["", "\n", " = A heading = \n", " No end \n", "an end . ", " . \n", "a .\n"]
)
def test_lines_without_a_sentence_are_skipped(text):
    assert paragraphs(text) == ([[["an", "end"]]] if text == "an end . " else [])


def test_empty_sentences_are_dropped_and_an_end_without_a_full_stop_is_kept():
    assert paragraphs(" a b .  .  c\n") == [[["a", "b"], ["c"]]]


def test_only_line_feeds_end_a_paragraph():
    assert paragraphs(" a\x85b\u2028c . d . \n") == [[["a", "b", "c"], ["d"]]]
