"""Labelled files of one's own, and SNLI from a server on this machine."""

import hashlib
import json

import numpy as np
import pytest
from one_sentence import assert_one_sentence
from test_wikitext2 import zip_of

from bert_tutorial.studio.finetuned import files
from bert_tutorial.studio.finetuned.files import read_labelled, read_snli
from bert_tutorial.text import wikitext2

ROWS = [(f"It was {w} again and again.", "good" if w < "g" else "bad") for w in "abcdefghijkl"]


def csv_of(rows, head="text,label"):
    return "\n".join([head, *(",".join(row) for row in rows), ""])


def json_of(rows, names=("text", "label")):
    return "".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows)


@pytest.mark.parametrize(("name", "content"), [
    ("a.csv", csv_of(ROWS)), ("a.csv", "\ufeff" + csv_of(ROWS).replace("\n", "\r\n")),
    ("a.csv", csv_of(ROWS).replace(",", ";")), ("a.tsv", csv_of(ROWS).replace(",", "\t")),
    ("a.csv", csv_of([(f'"{text}"', label) for text, label in ROWS])),
    ("a.csv", csv_of([(label, "7", text) for text, label in ROWS], "label,number,text")),
    ("a.jsonl", json_of(ROWS)), ("a.json", "\n" + json_of(ROWS)),
    ("a.csv", csv_of(ROWS + ROWS[:3])),  # rows that come again
])  # fmt: skip
def test_every_way_to_write_them_gives_the_same_task(tmp_path, name, content):
    (tmp_path / name).write_text(content, encoding="utf-8", newline="")
    task = read_labelled(tmp_path / name)
    assert task.name == "a" and list(task.train.names) == ["bad", "good"]
    assert (len(task.train), len(task.test)) == (10, 2) and len(task.train.texts[0]) == 1
    assert [row[0].words for row in task.test.texts] == [
        ["it", "was", w, "again", "and", "again"] for w in "ek"
    ]
    assert task.test.labels.tolist() == [1, 0]


def test_a_second_text_makes_pairs_and_a_part_says_what_is_tested_with(tmp_path):
    rows = [(*row, f"and {i}", "test" if i % 3 == 0 else "train") for i, row in enumerate(ROWS)]
    names = "text", "label", "second", "part"
    (tmp_path / "a.jsonl").write_text(json_of(rows, names), "utf-8")
    task = read_labelled(tmp_path / "a.jsonl")
    assert [row[1].words for row in task.test.texts] == [["and", str(i)] for i in (0, 3, 6, 9)]
    assert len(task.train) == 8 and np.bincount(task.train.labels).tolist() == [4, 4]


ONE = ROWS[0][0]


@pytest.mark.parametrize(("name", "content", "reason"), [
    ("a.csv", csv_of(ROWS, "review,stars"), "columns review, stars, but text and label are"),
    ("a.csv", csv_of(ROWS)[11:], "but text and label are needed"),  # without the first line
    ("a.csv", "", "no rows"), ("a.csv", "text,label\n", "no rows"), ("a.jsonl", "", "no rows"),
    ("a.csv", csv_of([*ROWS, (" ", "good")]), "line 14 of .* has no text"),
    ("a.csv", csv_of([*ROWS, (".", "good")]), "line 14 of .* has no text"),
    ("a.csv", csv_of([*ROWS, ("New.", "")]), "line 14 of .* has no label"),
    ("a.csv", csv_of([*ROWS, ("New.",)]), "line 14 of .* has no label"),
    ("a.csv", csv_of([*ROWS, (ONE, "bad")]), "line 14 of .* the text of line 2, but another"),
    ("a.csv", csv_of([*ROWS, ("Well, well.", "bad")]), "line 14 .*more columns than the first"),
    ("a.csv", csv_of([*ROWS, ('"Well', "bad")]), "line 14 .* is not CSV .unexpected end"),
    ("a.csv", csv_of([*ROWS, ('"Well" he', "bad")]), "line 14 .* is not CSV"),
    ("a.csv", csv_of(ROWS[:6]), "has no label but 'good'"),
    ("a.csv", csv_of([*ROWS, ("New.", "odd")]), "has 'odd' in 1 of its rows, but 5 are"),
    ("a.jsonl", "[1, 2]\n", "line 1 of .* must be one object of JSON"),
    ("a.jsonl", json_of(ROWS) + '{"text": "New', "line 13 of .* must be one object of JSON"),
    ("a.jsonl", '{"text": null, "label": 1}\n', "line 1 of .* has no text"),
    ("a.csv", csv_of([(*r, "valid") for r in ROWS], "text,label,part"), "has the part 'valid'"),
    ("a.csv", csv_of([(*r, "train") for r in ROWS], "text,label,part"), "with the part test"),
    ("a.csv", csv_of([(*r, "test") for r in ROWS], "text,label,part"), "with the part train"),
    ("a.csv", csv_of([(*r, "train" if r in ROWS[1:6] else "test") for r in ROWS],
     "text,label,part"), "has the label 'bad' in test rows only"),
    ("a.csv", csv_of([(*r, "train") for r in ROWS] + [(*ROWS[0], "test")], "text,label,part"),
     "line 14 of .* the text of line 2, but another label or part"),
])  # fmt: skip
def test_what_is_wrong_is_told_in_one_sentence(tmp_path, name, content, reason):
    (tmp_path / name).write_text(content, "utf-8")
    with pytest.raises(ValueError, match=reason) as caught:
        read_labelled(tmp_path / name)
    assert_one_sentence(str(caught.value))


def test_numbers_are_labels_too(tmp_path):
    rows = [(text, int(label == "good")) for text, label in ROWS]
    (tmp_path / "a.jsonl").write_text(json_of(rows), "utf-8")
    assert read_labelled(tmp_path / "a.jsonl").train.names == ["0", "1"]


def test_bytes_that_are_no_utf8_and_a_file_that_is_not_there_are_told(tmp_path):
    (tmp_path / "a.csv").write_bytes("text,label\nCafé,good\n".encode("latin-1"))
    with pytest.raises(ValueError, match="must be UTF-8 text") as caught:
        read_labelled(tmp_path / "a.csv")
    assert_one_sentence(str(caught.value))
    with pytest.raises(FileNotFoundError):
        read_labelled(tmp_path / "no.csv")


# SNLI. Its head line, with the columns that are read where they stand in the real file.
HEAD = "gold_label	sentence1_binary_parse	sentence2_binary_parse	sentence1_parse	sentence2_parse"
HEAD += "	sentence1	sentence2	captionID	pairID	label1	label2	label3	label4	label5"


def snli_table(pairs):
    lines = [
        "\t".join([label, "( x )", "( y )", "(ROOT x)", "(ROOT y)", a, b, "1.jpg#0", "1r1n", label])
        for label, a, b in pairs
    ]
    return "\n".join([HEAD, *lines, ""]).encode()


@pytest.fixture
def snli(monkeypatch, tmp_path):
    """An archive in SNLI's form, in the place of the real one."""
    monkeypatch.setenv("BERT_TUTORIAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(wikitext2, "PAUSES", (0.0, 0.0))
    train = [
        ("neutral", 'A "man" walks.', "He is late."), ("-", "A dog.", "A cat."),
        ("entailment", "A dog runs.", "An animal runs."), ("contradiction", "It is.", "It is not."),
    ]  # fmt: skip
    archive = zip_of({
        "snli_1.0/snli_1.0_train.txt": snli_table(train),
        "snli_1.0/snli_1.0_test.txt": snli_table(train[2:]),
        "snli_1.0/README.txt": b"no",
    })  # fmt: skip
    monkeypatch.setattr(files, "SNLI_SHA1", hashlib.sha1(archive).hexdigest())
    return archive


def test_snli_is_downloaded_once_checked_and_read(monkeypatch, serve, snli, tmp_path):
    bad = iter([503])  # a failure that passes
    server = serve(lambda handler: handler.send(snli, next(bad, 200)))
    monkeypatch.setenv("BERT_TUTORIAL_SNLI_URL", f"{server.root}/snli_1.0.zip")
    task = read_snli()
    assert task.train.names == ["entailment", "contradiction", "neutral"]
    assert task.train.labels.tolist() == [2, 0, 1] and task.test.labels.tolist() == [0, 1]
    assert task.train.texts[0][0].words == ["a", '"', "man", '"', "walks"]
    assert task.train.texts[1][1].words == ["an", "animal", "runs"]
    assert len(read_snli(most=2).train) == 2 and server.request_count == 2
    (tmp_path / "cache" / "snli" / "snli_1.0.zip").write_bytes(b"damaged")
    read_snli()
    assert server.request_count == 3


@pytest.mark.parametrize(("status", "change", "reason"), [
    (404, b"", "HTTP status 404"), (200, b"!", "other bytes than SNLI's"),
])  # fmt: skip
def test_snli_that_cannot_be_had_is_told(
    monkeypatch, serve, snli, tmp_path, status, change, reason
):
    server = serve(lambda handler: handler.send(snli + change, status))
    monkeypatch.setenv("BERT_TUTORIAL_SNLI_URL", f"{server.root}/snli_1.0.zip")
    with pytest.raises(ConnectionError, match=reason) as caught:
        read_snli()
    assert_one_sentence(str(caught.value))
    assert "BERT_TUTORIAL_SNLI_URL" in str(caught.value)
    assert not (tmp_path / "cache" / "snli" / "snli_1.0.zip").exists()


def test_snli_too_large_is_refused(monkeypatch, serve, snli):
    server = serve(lambda handler: handler.send(snli))
    monkeypatch.setenv("BERT_TUTORIAL_SNLI_URL", f"{server.root}/snli_1.0.zip")
    monkeypatch.setattr(files, "SNLI_LARGEST", 200)
    with pytest.raises(ConnectionError, match="too large"):
        read_snli()
