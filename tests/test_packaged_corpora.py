"""The corpora in the package are what their READMEs say they are."""

import pytest
from check_corpus import RULES, all_figures, figures_table, measure, table

from bert_tutorial.representation.occurrences import labelled_occurrences
from bert_tutorial.text.corpora import DATA, read_text
from bert_tutorial.text.wikitext_format import Corpus

PARAGRAPH = (
    " The crane stands in the reeds . It has long grey wings . Its nest is made of grass . "
    "Two eggs lie in it . "
)


@pytest.mark.parametrize("name", RULES)
def test_nothing_is_wrong_and_the_readme_has_what_the_script_measures(name):
    text, readme = read_text(name), (DATA / name / "README.md").read_text("utf-8")
    figures, senses, problems = measure(text, RULES[name])
    assert not problems, "\n".join(problems[:20])
    assert table(senses) in readme and f"{figures['words']:,} words" in readme
    least = {"encyclopaedia": 120_000, "everyday": 180_000}[name]
    assert figures["words"] >= least and figures["words with two senses"] == 32
    assert figures["5-grams in more than one article"] <= 0.02
    assert 0.05 < figures["sentences below 9 words"] and 0.05 < figures["sentences above 20 words"]
    assert 0.08 < figures["paragraphs held out"] < 0.12
    for word in {word for word, _ in senses}:  # the held-out senses are balanced
        one, two = (count["valid paragraphs"] for (w, _), count in senses.items() if w == word)
        assert abs(one - two) <= 1, word
    for split in ("train", "valid"):  # the package counts the same occurrences
        found = labelled_occurrences(getattr(text, split))
        for (word, sense), count in senses.items():
            assert sum(o.sense == sense for o in found[word]) == count[f"{split} occurrences"]
    whole = (text.train + text.valid).lower()
    assert "a crane is flying" not in whole and "a crane driver came" not in whole  # d2l's


def test_the_readme_compares_the_corpora():
    assert figures_table(all_figures()) in (DATA / "everyday" / "README.md").read_text("utf-8")


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
