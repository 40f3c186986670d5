"""A text file of one's own."""

import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from one_sentence import assert_one_sentence

from bert_tutorial import pretrain
from bert_tutorial.text.corpora import read_text
from bert_tutorial.text.own_file import cut_paragraphs, describe_own_text, read_own_text
from bert_tutorial.text.vocabulary import Vocab
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
    (b"Caf\xe9. Bar.\n", "must be UTF-8 .*offset 3 .*it may be WINDOWS-1252 or .*: save it"),
    (b"\xef\xbb\xbfab\xff", "must be UTF-8 .*offset 5 "),
    (bytes(range(256)) * 99, "UTF-8 .*; its encoding is not known: save it as UTF-8"),
])  # fmt: skip
def test_a_file_that_cannot_be_used_is_told_why(content, said):
    with pytest.raises(ValueError, match=said) as caught:
        own(content)
    assert "own.txt" in str(caught.value)
    assert_one_sentence(str(caught.value))


CHARACTERS = st.characters(codec="utf-8") | st.sampled_from("aB1 .!?。\"'=-")


RUSSIAN = "Мама мыла раму. Потом она ушла домой, и дети легли спать. "


@pytest.mark.parametrize(("text", "encoding"), [
    (RUSSIAN, "cp1251"), (RUSSIAN, "koi8-r"), (RUSSIAN, "utf-16"), (RUSSIAN, "utf-16-be"),
    (RUSSIAN, "utf-32"), (RUSSIAN, "utf-32-le"), ("Ein Café. ", "utf-32-be"),
    ("Zażółć gęślą jaźń. Potem poszedł do domu, a dzieci śpią. ", "cp1250"),
    ("Das Mädchen geht zum Fluß, und der Bär schläft. ", "cp1252"),
    ("彼は学校へ行きました。それから家に帰って、本を読みました。", "cp932"),
])  # fmt: skip
def test_the_encoding_of_a_file_is_named_and_obeyed_gives_its_text(text, encoding):
    content = (text * 99).encode(encoding)
    with pytest.raises(ValueError, match="must be UTF-8") as caught:
        own(content)
    assert_one_sentence(str(caught.value))
    obeyed = content.decode(re.search("iconv -f (.*?) -t", str(caught.value))[1])
    assert obeyed.removeprefix("\ufeff") == text * 99


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
    "It began early.[3] Then it grew.[4][a]\n\nIt was big.¹ It stayed[note 2] so.\n",
    "It began early. Then it grew.\r\r\nIt was big. It stayed so.\r\r\n",
    " \n = It = \n \n It began early . Then it grew . \n It was big . It stayed so . \n = = = \n",
    "\n\n\nIt began early! Then it grew?\r\n\r\n\r\nIt was big… It stayed so...\r\n",
])  # fmt: skip
def test_paragraphs_are_what_a_reader_sees(text):
    found = cut_paragraphs(text)
    assert found == [["it began early", "then it grew"], ["it was big", "it stayed so"]]


@pytest.mark.parametrize(("text", "sentences"), [
    ("„Komm!“ Dann ging er.", ['" komm "', "dann ging er"]),
    ("«Viens !» Il partit.", ['" viens "', "il partit"]),
    ("Ես գնում եմ։ Նա գալիս է։", ["ես գնում եմ", "նա գալիս է"]),
    ("እኔ እሄዳለሁ። እሱ ይመጣል።", ["እኔ እሄዳለሁ", "እሱ ይመጣል"]),
    ("ខ្ញុំទៅ។ គាត់មក។", ["ខ្ញុំទៅ", "គាត់មក"]),
    ("ငါသွားမည်။ သူလာမည်။", ["ငါသွားမည်", "သူလာမည်"]),
    ("ངའགྲོ། །ཁོཡོང།", ["ངའགྲོ", "ཁོཡོང"]),
    # Initials keep their full stop.
    ("The U.S. Army left. I saw the U.S.", ["the u.s. army left", "i saw the u.s."]),
    ("It was 5 p.m. on time, i.e. late. At 6 p.m. He left.",
     ["it was 5 p.m. on time , i.e. late", "at 6 p.m.", "he left"]),
    # A divided word is joined, and without its hyphen where the text has it so.
    ("A bak-\ner is a baker. A well-\nknown one, o\u00ad\nver.",
     ["a baker is a baker", "a well @-@ known one , over"]),
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


def test_a_typed_sentence_has_no_word_that_the_text_with_it_lacks():
    sentences = [
        "The U.S. Army left at 5 p.m. on time, i.e. now.", "“Wait.... what?!” said J. R. Crane.",
        "See example.com, İmleci's well-known ❤️ 👍🏽 of 3.5‑metre ﬁsh…", "Ես գնում եմ։ ང་འགྲོ།",
    ]  # fmt: skip
    text = own("".join(f"{sentence} So it is.\n\n" for sentence in sentences * 5))
    vocab = Vocab(token for p in paragraphs(text.train) for s in p for token in s)
    assert [vocab.unknown(vocab.tokenize(sentence)) for sentence in sentences] == [[]] * 4


def test_a_sentence_that_no_row_can_show_is_cut_into_pieces():
    (found,) = cut_paragraphs(f"{'word ' * 400}. {'short ' * 60}. One.")
    assert [len(sentence.split()) for sentence in found] == [29] * 13 + [23, 60, 1]


@pytest.mark.parametrize(("text", "said"), [
    ("It began.\n\nIt was big!so big. It stayed.", "9 of 9 words are used (100%"),
    ("It is. So.\n\nA heading\n\nNo. No.", "5 of 7 words are used (71%); headings, and other"),
    ("... ! ?\n", "0 of 1 words are used (0%)"),
    ("Free.\n*** START OF X ***\nIt ran. It fell.\n*** END OF X ***\nBye.", " between the lib"),
    (" ".join(f"w{i} w{i}" for i in range(30_001)) + ".", "vocabulary keeps about the 30,000"),
    ("<p>It is. It was.</p>\n<div class='a'>So.</div>\n" * 5, "looks like HTML: plain"),
    ('{"text": "It is. It was."}\n{"text": "So."}\n' * 5, "looks like JSON: plain"),
    ("name,age,town\nAnn,3,Rome\nBob,4,Bonn\n" * 5, "looks like a table (CSV, TSV): plain"),
    ("1\tThe cat sat.\tDie Katze saß.\n" * 5, "looks like a table (CSV, TSV): plain"),
    ('[\n  {\n    "text": "It is. It was.",\n    "id": 3\n  }\n]\n' * 5, "looks like JSON: plain"),
    ("1\n00:00:01,000 --> 00:00:02,500\nIt is.\nIt was.\n\n" * 5, "looks like subtitles: plain"),
    ("def f(x):\n    return x\n\nfor y in 1, 2:\n    f(y)\n" * 5, "looks like source code: plain"),
    ("\\section{One}\nIt is \\emph{so}.\nIt was\nso. So.\n" * 5, "looks like LaTeX: plain"),
    ("The moon is up;\nThe wind blows (so).\nIt is (so) far,\n\"Go!\"\n\n" * 5, " words are used"),
    ("[12:03] Ann: It is. It was.\n12:04 - Bob: So.\n" * 5, "looks like a chat log: plain"),
])  # fmt: skip
def test_what_is_used_of_a_text_and_what_it_looks_like(text, said):
    found = own(text, describe_own_text)
    assert said in found and ("looks like" in found) == ("looks like" in said)
    assert found.startswith("own.txt: ")
    assert_one_sentence(found)


def test_the_command_line_says_it_too(tmp_path, capsys):
    (tmp_path / "own.txt").write_text("<p>It is. So.</p>\n")
    with pytest.raises(ValueError, match="too little text"):
        pretrain.main(["--corpus", str(tmp_path / "own.txt"), "--out", str(tmp_path / "run")])
    assert "The file looks like HTML" in capsys.readouterr().out
