"""A text file of one's own."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from one_sentence import assert_one_sentence

from bert_tutorial.text.corpora import read_text
from bert_tutorial.text.own_file import cut_paragraphs, describe_own_text, read_own_text
from bert_tutorial.text.wikitext_format import Corpus, paragraphs

FOUR = "A dog ran. It barked.\nA cat sat. It slept.\nA cow ate. It stood.\nA hen sang. It flew.\n"


def own(content: str | bytes, read=read_own_text) -> Corpus | str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "own.txt"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read(path)


def test_own_file_is_rendered_in_wikitexts_format(tmp_path, monkeypatch):
    text = own(FOUR)
    assert text.name == "own.txt"
    assert text.train == " a dog ran . it barked . \n a cat sat . it slept . \n"
    assert text.valid == " a cow ate . it stood . \n a hen sang . it flew . \n"
    (tmp_path / "own.txt").write_text(FOUR)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for path in (tmp_path / "own.txt", "~/own.txt"):
        assert read_text(path) == text


@pytest.mark.parametrize("content", [
    f"\ufeff*** START OF X ***\n{FOUR}*** END OF X ***\n",
    FOUR.replace("\n", "\r"),
    FOUR.replace("\n", "\r\n \t\r\n\r\n"),
    FOUR.replace(". ", "! ").replace(".\n", "?\n"),
    FOUR.replace("A dog", "A heading\nA dog"),
    FOUR.replace(". ", "。"),
])  # fmt: skip
def test_own_file_in_other_clothes_is_the_same_text(content):
    assert own(content) == own(FOUR)


@pytest.mark.parametrize(("content", "said"), [
    (b"\xef\xbb\xbf \n\r\n\t", "own.txt has too little text.* 0 of its 0"),
    ("no end\nin any\n\nof these lines\n", "at least four paragraphs .* 0 of its 0"),
    ("A b. C d.\nE f. G h.\nOne.\n", "at least four paragraphs .* 2 of its 3"),
    (b"Caf\xe9. Bar.\n", "must be UTF-8 .*offset 3 .*it may be Windows-1252: save it as UTF-8"),
    (b"\xef\xbb\xbfab\xff", "must be UTF-8 .*offset 5 "),
    ("\ufeffA b.".encode("utf-16-le"), "must be UTF-8 .*offset 0 .*it may be UTF-16"),
    (("Ein Café. " * 80).encode("utf-16-be"), "it may be UTF-16: save it as UTF-8"),
])  # fmt: skip
def test_a_file_that_cannot_be_used_is_told_why(content, said):
    with pytest.raises(ValueError, match=said) as caught:
        own(content)
    assert "own.txt" in str(caught.value)
    assert_one_sentence(str(caught.value))


CHARACTERS = st.characters(codec="utf-8") | st.sampled_from("aB1 .!?。\"'=-")


@settings(deadline=None)
@given(st.lists(st.text(CHARACTERS), min_size=4, max_size=30), st.sampled_from(["\n", "\n\n"]))
@example([""] * 25, "\n")
def test_each_paragraph_is_in_one_part_and_every_tenth_is_held_out(pieces, separator):
    lines = (f"p{i} {' '.join(piece.split())} word. More." for i, piece in enumerate(pieces))
    text, n = own(separator.join(lines)), len(pieces)
    train, valid = (
        [int(sentences[0][0].removeprefix("p")) for sentences in paragraphs(part)]
        for part in (text.train, text.valid)
    )
    assert sorted(train + valid) == list(range(n))
    assert valid == (list(range(9, n, 10)) if n >= 20 else [n - 2, n - 1])


PIECES = st.sampled_from(["A b", ". ", ".\n", "! ", "。", "\n", "\n\n", "\r\n"])


@settings(deadline=None)
@given(st.lists(PIECES | st.text(CHARACTERS, max_size=3)))
def test_any_own_text_is_clean_or_refused(pieces):
    try:
        text = own("".join(pieces))
    except ValueError as error:
        assert "own.txt" in str(error)
        return
    train, valid = paragraphs(text.train), paragraphs(text.valid)
    for sentences in train + valid:
        assert sentences
        assert all(token.split() == [token] for sentence in sentences for token in sentence)
    assert sum(len(sentences) >= 2 for sentences in train) >= 2
    assert all(len(sentences) >= 2 for sentences in valid) and valid


@pytest.mark.parametrize("text", [
    "Notes\n\nIt began early. Then it grew.\nIt was big. It stayed so.",
    "It began early. Then it grew.\n\nIt was big. It stayed so.",
    "History\nIt began early. Then it grew.\n\nSize\nIt was big. It stayed so.\n",
    "It began early.\nThen it grew.\n\nIt was big.\nIt stayed so.\nSee also",  # BERT's format
    "It began\nearly. Then it\ngrew.\n\nIt was big. It\nstayed\nso.\n",  # a page's width
    "It began early. Then it grew.\nIt was big. It stayed so.\n",
    "Licence. It is free.\n*** START OF THE EBOOK X ***\n\nCHAPTER I.\n\nIt began\nearly. Then it\n"
    "grew.\n\nCHAPTER II. THE END\n\nIt was big. It\nstayed\nso.\n\n*** END OF THE EBOOK\nPay. Go.",
    "\n\n\nIt began early! Then it grew?\r\n\r\n\r\nIt was big… It stayed so...\r\n",
])  # fmt: skip
def test_paragraphs_are_what_a_reader_sees(text):
    found = cut_paragraphs(text)
    assert found == [["it began early", "then it grew"], ["it was big", "it stayed so"]]


@pytest.mark.parametrize(("text", "sentences"), [
    ("„Komm!“ Dann ging er.", ['" komm "', "dann ging er"]),
    ("«Viens !» Il partit.", ['" viens "', "il partit"]),
    ("هل تعلم؟ نعم.", ["هل تعلم", "نعم"]),
    ("他说：「走！」然后走了。", ["他 说 ： 「 走 」", "然 后 走 了"]),
    ("Wait… No... (Yes.) It is 3.5.", ["wait", "no", "( yes )", "it is 3 @.@ 5"]),
    ('He said "Go." See example.com for more', ['he said " go "', "see example com for more"]),
    # The number of a list item ends no sentence, a number or an "I" elsewhere does.
    ("1. It began in 1999. It grew.", ["1 it began in 1999", "it grew"]),
    ("So.\n2. It ended.\n\n", ["so", "2 it ended"]),
    ("His old mother\nwas ill. Then he slept.", ["his old mother was ill", "then he slept"]),
    ("He was taller\nthan I. The end came.", ["he was taller than i", "the end came"]),
    ("I. He said it. It was I. So.", ["i", "he said it", "it was i", "so"]),
])  # fmt: skip
def test_sentence_ends_of_many_scripts(text, sentences):
    assert cut_paragraphs(f"{text}\n\nSo it is. So be it.")[0] == sentences


@pytest.mark.parametrize(("text", "said"), [
    ("It began.\n\nIt was big!so big. It stayed.", "9 of 9 words are used (100%"),
    ("It is. So.\n\nA heading\n\nNo. No.", "5 of 7 words are used (71%); headings, and other"),
    ("... ! ?\n", "0 of 1 words are used (0%)"),
    ("Free.\n*** START OF X ***\nIt ran. It fell.\n*** END OF X ***\nBye.", " between the lib"),
    (" ".join(f"w{i} w{i}" for i in range(30_001)) + ".", "vocabulary keeps about the 30,000"),
    ("<p>It is. It was.</p>\n<div class='a'>So.</div>\n" * 5, "looks like HTML: plain"),
    ('{"text": "It is. It was."}\n{"text": "So."}\n' * 5, "looks like JSON Lines: plain"),
    ("name,age,town\nAnn,3,Rome\nBob,4,Bonn\n" * 5, "looks like a table (CSV): plain"),
    ("[12:03] Ann: It is. It was.\n12:04 - Bob: So.\n" * 5, "looks like a chat log: plain"),
])  # fmt: skip
def test_what_is_used_of_a_text_and_what_it_looks_like(text, said):
    found = own(text, describe_own_text)
    assert said in found and ("looks like" in found) == ("looks like" in said)
    assert found.startswith("own.txt: ")
    assert_one_sentence(found)
