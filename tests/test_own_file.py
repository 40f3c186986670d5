"""A text file of one's own."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from one_sentence import assert_one_sentence

from bert_tutorial.text.corpora import read_text
from bert_tutorial.text.own_file import cut_paragraphs, describe_own_text, read_own_text
from bert_tutorial.text.wikitext_format import Corpus, paragraphs

FOUR = "A dog ran. It barked.\nA cat sat. It slept.\nA cow ate. It stood.\nA hen sang. It flew.\n"


def own(tmp_path, content: str | bytes) -> Corpus:
    path = tmp_path / "own.txt"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_text(path)


def test_own_file_is_rendered_in_wikitexts_format(tmp_path):
    text = own(tmp_path, FOUR)
    assert text.name == "own.txt"
    assert text.train == " a dog ran . it barked . \n a cat sat . it slept . \n"
    assert text.valid == " a cow ate . it stood . \n a hen sang . it flew . \n"
    assert read_text(str(tmp_path / "own.txt")) == text


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + FOUR.encode(),
        FOUR.replace("\n", "\r\n").encode(),
        FOUR.replace("\n", "\r").encode(),
        FOUR.replace("\n", "\n\n").encode(),
        FOUR.replace("\n", "\r\n \t\r\n\r\n").encode(),
        FOUR.replace("\n", "\n\n").replace(" ", "\n").encode(),
        ("\n\n" + FOUR + "\n\n").encode(),
        FOUR.replace(". ", "! ").replace(".\n", "?\n").encode(),
        FOUR.replace("A dog", "A heading\nA dog").encode(),
        FOUR.replace(". ", "。").encode(),
    ],
    ids=[
        "bom",
        "crlf",
        "cr",
        "blank-lines",
        "blank-crlf",
        "wrapped",
        "blank-ends",
        "marks",
        "heading",
        "chinese",
    ],
)
def test_own_file_in_other_clothes_is_the_same_text(tmp_path, content):
    assert own(tmp_path, content) == own(tmp_path, FOUR)


def test_sentences_of_an_own_file(tmp_path):
    first = 'He said "Go." Then 3.5 km... really?! See example.com for more'
    assert paragraphs(own(tmp_path, f"{first}\n{FOUR}").train)[0] == [
        ["he", "said", '"', "go", '"'],
        ["then", "3", "@.@", "5", "km"],
        ["really"],
        ["see", "example", "com", "for", "more"],
    ]


def test_every_tenth_paragraph_of_two_sentences_is_held_out(tmp_path):
    lines = [f"First p{i}. Second." for i in range(25)]
    lines[3:3] = ["Only one sentence p99."]
    text = own(tmp_path, "\n".join(lines))
    assert [sentences[0][1] for sentences in paragraphs(text.valid)] == ["p9", "p19"]
    assert len(paragraphs(text.train)) == 24 and "only one sentence p99" in text.train


@pytest.mark.parametrize("content", [b"", b" \n\r\n\t", b"\xef\xbb\xbf\n"])
def test_an_empty_own_file_is_refused(tmp_path, content):
    with pytest.raises(ValueError, match=r"own\.txt is empty") as caught:
        own(tmp_path, content)
    assert_one_sentence(str(caught.value))


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("Only one sentence.", "0 of its 1"),
        ("One. Two. Three. Four.", "1 of its 1"),
        ("A b. C d.\nE f. G h.\nOne.\n", "2 of its 3"),
    ],
)
def test_an_own_file_of_too_little_text_is_refused(tmp_path, content, found):
    with pytest.raises(ValueError, match=f"at least four paragraphs .* {found}") as caught:
        own(tmp_path, content)
    assert_one_sentence(str(caught.value))


def test_an_own_file_in_another_encoding_is_refused(tmp_path):
    for content, offset in (
        (b"Caf\xe9. Bar.\n", 3),
        ("\ufeffA b.".encode("utf-16-le"), 0),
        (b"\xef\xbb\xbfab\xff", 5),
    ):
        with pytest.raises(
            ValueError, match=rf"own\.txt must be UTF-8 .*offset {offset} "
        ) as caught:
            own(tmp_path, content)
        assert_one_sentence(str(caught.value))


CHARACTERS = st.characters(codec="utf-8") | st.sampled_from("aB1 .!?。\"'=-")


def read_bytes(content: str) -> Corpus:
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "own.txt"
        path.write_bytes(content.encode())
        return read_own_text(path)


def assert_clean(text: Corpus) -> None:
    for sentences in paragraphs(text.train) + paragraphs(text.valid):
        assert sentences and all(
            token.split() == [token] for sentence in sentences for token in sentence
        )


@given(st.lists(st.text(CHARACTERS), min_size=4, max_size=30), st.booleans())
def test_each_paragraph_of_an_own_text_is_in_one_part(pieces, blank_lines):
    numbered = [
        f"paragraph{i} {' '.join(piece.split())} word. More." for i, piece in enumerate(pieces)
    ]
    text = read_bytes(("\n\n" if blank_lines else "\n").join(numbered))
    assert_clean(text)
    train, valid = paragraphs(text.train), paragraphs(text.valid)
    assert sorted(int(s[0][0].removeprefix("paragraph")) for s in train + valid) == list(
        range(len(pieces))
    )
    assert len(valid) == max(2, len(pieces) // 10)


@given(
    st.lists(
        st.sampled_from(["A b", ". ", ".\n", "! ", "。", "\n", "\n\n", "\r\n"])
        | st.text(CHARACTERS, max_size=3)
    )
)
def test_any_own_text_is_clean_or_refused(pieces):
    try:
        text = read_bytes("".join(pieces))
    except ValueError as error:
        assert "own.txt" in str(error)
        return
    assert_clean(text)
    assert sum(len(sentences) >= 2 for sentences in paragraphs(text.train)) >= 2
    assert all(len(sentences) >= 2 for sentences in paragraphs(text.valid)) and text.valid


PARAGRAPHS = [["it began early", "then it grew"], ["it was big", "it stayed so"]]


@pytest.mark.parametrize(
    "text",
    [
        "Notes\n\nIt began early. Then it grew.\nIt was big. It stayed so.",
        "It began early. Then it grew.\n\nIt was big. It stayed so.",
        "History\n\nIt began early. Then it grew.\nIt was big. It stayed so.\n\nNature\n",
        "History\nIt began early. Then it grew.\n\nSize\nIt was big. It stayed so.\n",
        "It began early.\nThen it grew.\n\nIt was big.\nIt stayed so.\n",  # BERT's own format
        "It began\nearly. Then it\ngrew.\n\nIt was big. It\nstayed\nso.\n",  # a page's width
        "It began early. Then it grew.\nIt was big. It stayed so.\n",
        "Licence. It is free.\n*** START OF THE EBOOK X ***\n\nCHAPTER I.\n\nIt began\nearly. Then"
        " it\ngrew.\n\nCHAPTER II. THE END\n\nIt was big. It\nstayed\nso.\n\n*** END OF THE EBOOK\n"
        "Pay nothing. Read on.",
        "\n\n\nIt began early! Then it grew?\r\n\r\n\r\nIt was big… It stayed so...\r\n",
    ],
)
def test_paragraphs_are_what_a_reader_sees(text):
    assert cut_paragraphs(text).paragraphs == PARAGRAPHS


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("„Komm!“ Dann ging er.", ['" komm "', "dann ging er"]),
        ("«Viens !» Il partit.", ['" viens "', "il partit"]),
        ("هل تعلم؟ نعم.", ["هل تعلم", "نعم"]),
        ("यह है। वह था।", ["यह है", "वह था"]),
        ("他说：「走！」然后走了。", ["他 说 ： 「 走 」", "然 后 走 了"]),
        ("Wait… No... (Yes.) It is 3.5.", ["wait", "no", "( yes )", "it is 3 @.@ 5"]),
    ],
)
def test_sentence_ends_of_many_scripts(text, sentences):
    assert cut_paragraphs(text).paragraphs == [sentences]


def test_a_text_without_a_sentence_end_is_told_so(tmp_path):
    with pytest.raises(ValueError, match=r"no sentence end found \(\. ! \? …\)") as caught:
        own(tmp_path, "no end\nin any\n\nof these lines\n")
    assert_one_sentence(str(caught.value))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "cp1252"])
def test_another_encoding_is_named(tmp_path, encoding):
    name = "Windows-1252" if encoding == "cp1252" else "UTF-16"
    with pytest.raises(ValueError, match=f"it may be {name}: save it as UTF-8") as caught:
        own(tmp_path, ("Ein Café. Ein Kätzchen. " * 80).encode(encoding))
    assert_one_sentence(str(caught.value))


@pytest.mark.parametrize(
    ("lines", "kind"),
    [
        (["<p>It is. It was.</p>", "<div class='a'>So.</div>"], "HTML"),
        (['{"text": "It is. It was."}', '{"text": "So."}'], "JSON Lines"),
        (["name,age,town", "Ann,3,Rome", "Bob,4,Bonn"], "a table (CSV)"),
        (["[12:03] Ann: It is. It was.", "12:04 - Bob: So."], "a chat log"),
    ],
)
def test_what_is_no_running_text_is_told(tmp_path, lines, kind):
    path = tmp_path / "own.txt"
    path.write_text("\n".join(lines * 5))
    assert f"The file looks like {kind}" in describe_own_text(path)
    path.write_text("It began early. Then it grew.\n\nIt was big, so big. It stayed so.\n")
    assert describe_own_text(path) == "own.txt: 15 of 15 words are used (100%)"


def test_a_file_of_marks_alone_is_described(tmp_path):
    path = tmp_path / "own.txt"
    path.write_text("... ! ?\n")
    assert describe_own_text(path).startswith("own.txt: 0 of 1 words are used (0%)")


def test_the_number_of_a_chapter_or_a_list_ends_no_sentence():
    text = "CHAPTER IV. The storm\n\n1. It began in 1999. It grew.\n2. It ended at 10. All slept."
    assert cut_paragraphs(text).paragraphs == [
        ["1 it began in 1999", "it grew"],
        ["2 it ended at 10", "all slept"],
    ]


@pytest.mark.parametrize(
    "text",
    [
        "His old mother\nwas ill. Then he slept.",
        "He was taller\nthan I. The end came.",
        "Then we met a man\naged 45. He smiled.",
        "They were all very\ncivil. Thank you.",
        "I. He said it. It was I. Then he left.",
    ],
)
def test_a_sentence_that_ends_behind_the_first_word_of_a_line_ends_there(text):
    (sentences,) = cut_paragraphs(text + "\n\nSo it is. So be it.").paragraphs[:1]
    assert len(sentences) == text.count(".")


def test_a_librarys_notes_are_left_out_and_that_is_said(tmp_path):
    path = tmp_path / "book.txt"
    path.write_text("Be free.\n*** START OF X ***\nIt ran. It fell.\n*** END OF X ***\nBye.")
    said = describe_own_text(path)
    assert said == "book.txt: 4 of 4 words are used (100%) between the library's notes"
