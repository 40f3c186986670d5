"""The mask explorer, without a browser: what it computes, says to wrong input, and escapes."""

import pytest

from bert_tutorial.studio.widgets import MaskExplorer, parts
from bert_tutorial.studio.widgets.mask_explorer import masked_example
from bert_tutorial.text.vocabulary import Vocab

VOCAB = Vocab("a crane is flying . a crane driver came he just left".split())


@pytest.fixture
def explorer():
    return MaskExplorer(VOCAB, "a crane is flying")


def test_masked_example_tells_what_stood_there():
    fates = set()
    for seed in range(30):
        tokens = masked_example(VOCAB, "a crane is flying", 0.5, seed)
        assert [before for _, before, _ in tokens] == "<cls> a crane is flying <sep>".split()
        assert sum(bool(fate) for *_, fate in tokens) == 3
        for now, before, fate in tokens:
            is_right = {"masked": now == "<mask>", "random": now not in ("<mask>", before)}
            assert is_right.get(fate, now == before)
            fates.add(fate)
    assert fates == {"masked", "random", "kept", ""}


def test_it_follows_slider_text_and_button_and_stays_when_the_text_is_empty(explorer):
    few, pictures = explorer.status.text, set()
    explorer.rate.value = 95
    assert "4 to be predicted" in explorer.status.text and explorer.status.text != few
    explorer.text.value = "he just left"
    assert "just" in explorer.picture.value
    for _ in range(10):
        explorer.again.click()
        pictures.add(explorer.picture.value)
    assert len(pictures) > 1
    explorer.text.value = "   "
    assert "Not possible: there is no word" in explorer.status.text
    assert explorer.picture.value in pictures


def test_what_is_typed_is_escaped_cut_and_told_where_it_is_unknown(explorer):
    explorer.text.value = "<img src=x onerror=alert(1)> &amp; <b>crane</b>"
    for value in (explorer.picture.value, explorer.status.text, explorer.static_html()):
        assert "<img" not in value and "<b>crane" not in value
    explorer.text.value = "a heron is flying"
    assert "heron → &lt;unk&gt;" in explorer.picture.value
    explorer.text.value = "a crane " * 10_000
    assert explorer.status.text.startswith("Only the first 2,000 characters are read. 502 tokens")
    assert repr(explorer) == explorer._repr_mimebundle_()["text/plain"] == MaskExplorer.fallback


def test_tables_and_paragraphs_escape_every_text():
    assert parts.table(["<a>"], [["<b>"]], "<c>") == (
        "<table><caption>&lt;c&gt;</caption><thead><tr><th scope='col'>&lt;a&gt;</th></tr></thead>"
        "<tbody><tr><td>&lt;b&gt;</td></tr></tbody></table>"
    )
    assert parts.paragraph("<b>") == "<p>&lt;b&gt;</p>"
