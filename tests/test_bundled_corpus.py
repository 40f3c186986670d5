"""The bundled corpus is what its README says it is."""

import pytest
from check_corpus import measure, table

from bert_tutorial.representation.occurrences import labelled_occurrences
from bert_tutorial.text.corpora import BUNDLED, read_text
from bert_tutorial.text.wikitext_format import Corpus


@pytest.fixture(scope="module")
def measured():
    return measure(read_text("bundled"))


def test_nothing_is_wrong(measured):
    _, _, problems = measured
    assert not problems, "\n".join(problems[:20])


def test_size_and_variety(measured):
    figures, _, _ = measured
    assert figures["words"] >= 120_000
    assert figures["words with two senses"] >= 32
    assert figures["5-grams in more than one article"] <= 0.03
    assert 0.05 < figures["sentences below 9 words"] and 0.05 < figures["sentences above 20 words"]
    assert 0.08 < figures["paragraphs held out"] < 0.12


def test_the_held_out_senses_are_balanced(measured):
    _, senses, _ = measured
    for word in {word for word, _ in senses}:
        one, two = (count["valid paragraphs"] for (w, _), count in senses.items() if w == word)
        assert abs(one - two) <= 1, word


def test_the_readme_has_the_table_that_the_script_prints(measured):
    _, senses, _ = measured
    assert table(senses) in (BUNDLED / "README.md").read_text()


def test_d2ls_sentences_are_not_in_the_text():
    text = read_text("bundled")
    whole = (text.train + text.valid).lower()
    assert "a crane is flying" not in whole and "a crane driver came" not in whole


def test_the_package_and_the_script_count_the_same_occurrences(measured):
    _, senses, _ = measured
    text = read_text("bundled")
    for split in ("train", "valid"):
        found = labelled_occurrences(getattr(text, split))
        for (word, sense), count in senses.items():
            assert sum(o.sense == sense for o in found[word]) == count[f"{split} occurrences"]


PARAGRAPH = (
    " The crane stands in the reeds . It has long grey wings . Its nest is made of grass . "
    "Two eggs lie in it . "
)


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (PARAGRAPH + "\n" + PARAGRAPH, "occurs twice"),
        (PARAGRAPH.replace("It has long grey wings . ", ""), "3 sentences"),
        (PARAGRAPH.replace("grass", " ".join(["grass"] * 30)), "sentence of 35 words"),
        (PARAGRAPH.replace("Two eggs lie in it", "Two eggs"), "sentence of 2 words"),
        (PARAGRAPH + "\n" + PARAGRAPH.strip(), "neither a heading nor a paragraph"),
        (PARAGRAPH, "has 1 senses"),
        (PARAGRAPH, "has 22 words"),
    ],
)
def test_the_script_finds_what_is_wrong(broken, complaint):
    text = Corpus("made up", f" \n = Crane ( bird ) = \n \n{broken}\n", "")
    _, _, problems = measure(text)
    assert any(complaint in problem for problem in problems), problems


def test_the_figures_in_the_readme_are_those_measured(measured):
    figures, _, _ = measured
    readme = (BUNDLED / "README.md").read_text()
    assert f"{figures['words']:,} words" in readme
    assert f"{figures['articles']} articles" in readme
