"""WikiText-2, from real servers on this machine that do what servers do."""

import errno
import gzip
import io
import os
import struct
import time
import tracemalloc
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from filelock import FileLock
from one_sentence import assert_one_sentence

from bert_tutorial.text import wikitext2
from bert_tutorial.text.corpora import read_text
from bert_tutorial.text.wikitext_format import Corpus

URL, CACHE = "BERT_TUTORIAL_WIKITEXT2_URL", "BERT_TUTORIAL_CACHE"
NAMES = TRAIN, VALID = "wikitext-2/wiki.train.tokens", "wikitext-2/wiki.valid.tokens"


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path) -> Path:
    """A cache of its own for each test, and no source but those that the test starts itself."""
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    monkeypatch.setattr(wikitext2, "SOURCES", ())
    monkeypatch.setattr(wikitext2, "PAUSES", (0.0, 0.0))
    return tmp_path / "cache"


@pytest.fixture
def members(wikitext2_zip) -> dict[str, bytes]:
    with zipfile.ZipFile(wikitext2_zip) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def files_in(folder: Path) -> set[str]:
    """Everything below a folder, except the lock."""
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return {name for name in files if not name.endswith(".lock")}


def zip_of(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", compression) as writer:
        for name, content in members.items():
            writer.writestr(name, content)
    return archive.getvalue()


def assert_refused(cache: Path, reason: str) -> None:
    """No source delivers: one sentence that says why and what to do, and nothing left behind."""
    with pytest.raises(ConnectionError) as caught:
        read_text("wikitext-2")
    assert_one_sentence(str(caught.value))
    for part in (reason, 'corpus="bundled"', "file of your own", URL, str(cache)):
        assert part in str(caught.value)
    assert files_in(cache) == set()


def test_it_is_downloaded_once_and_only_its_members_are_unpacked(
    monkeypatch, serve, members, cache, capsys
):
    evil = {name: b"!" for name in ("../evil", f"{cache.parent}/evil", "wikitext-2/extra")}
    body, failures = zip_of(evil | members, zipfile.ZIP_STORED), iter([500, 503])
    server = serve(lambda handler: handler.send(body, next(failures, 200)))  # failures that pass
    monkeypatch.setenv(URL, server.url)
    with ThreadPoolExecutor(2) as pool:  # two at once
        text, again = pool.map(read_text, ["wikitext-2"] * 2)
    assert text == again
    assert text == Corpus("wikitext-2", *(content.decode() for content in members.values()))
    assert files_in(cache.parent) == {f"cache/{TRAIN}", f"cache/{VALID}"}
    assert capsys.readouterr().out == ""

    lock = cache / "wikitext-2" / ".lock"
    lock.unlink()  # what is in the cache needs no network and no lock
    assert read_text("wikitext-2") == text and not lock.exists()
    assert [path for path, _ in server.requests] == ["/wikitext-2-v1.zip"] * 3
    assert server.requests[0][1].startswith("bert_tutorial/")


def test_a_damaged_cache_is_written_anew(monkeypatch, wikitext2_zip, members, cache):
    monkeypatch.setenv(URL, str(wikitext2_zip))  # a zip on this machine is a source too
    read_text("wikitext-2")
    path = cache / VALID
    for damage in (path.unlink, lambda: path.write_bytes(b"\0" + members[VALID][1:])):
        damage()
        read_text("wikitext-2")
        assert path.read_bytes() == members[VALID] and files_in(cache) == set(NAMES)


def test_the_plain_files_are_a_source_too_and_bad_sources_are_passed_over(
    monkeypatch, serve, members
):
    train, valid = members.values()
    good = serve(lambda handler: handler.send(train if handler.path == "/train.txt" else valid))
    bad = serve(lambda handler: handler.send(zip_of({TRAIN: b"other", VALID: b"text"})))
    monkeypatch.setenv(URL, bad.url)
    plain = (f"{good.root}/train.txt", f"{good.root}/valid.txt")
    monkeypatch.setattr(wikitext2, "SOURCES", (("http://127.0.0.1:1/a.zip",), plain))
    assert read_text("wikitext-2").valid == valid.decode() and bad.request_count == 1


def test_a_process_that_stands_still_is_not_waited_for_without_end(monkeypatch, cache, capsys):
    monkeypatch.setattr(wikitext2, "LIMIT", 0.2)
    with FileLock(cache / "wikitext-2" / ".lock"), pytest.raises(TimeoutError, match=r"\.lock"):
        read_text("wikitext-2")
    assert "waiting for another process" in capsys.readouterr().err


# WikiText-2 that does not arrive


def pour(handler, piece: bytes, *headers: tuple[str, str], status: int = 200, pause=0.0) -> None:
    """An answer of a hundred pieces that ends when the connection does."""
    handler.send_response(status)
    for name, value in headers:
        handler.send_header(name, value)
    handler.end_headers()
    for _ in range(100):
        handler.wfile.write(piece)
        time.sleep(pause)


MEGABYTE, GZIP = bytes(10**6), ("Content-Encoding", "gzip")
ANSWERS = {
    # name: (the address or what its server does, what is said of it, how often it is asked)
    "no address": ("wikitext-2-v1.zip", "wikitext-2-v1.zip: MissingSchema", 0),
    "password": ("http://me:secret@127.0.0.1:1/x.zip", "(http://127.0.0.1:1/x.zip: Connection", 0),
    "forbidden": (lambda h: h.send(b"no", 403), "HTTP status 403", 1),
    "busy": (lambda h: h.send(b"no", 429), "HTTP status 429", 3),
    "no time": (lambda h: h.send(b"oh", 500), "HTTP status 500", 1),
    "circle": (lambda h: pour(h, b"", ("Location", h.path), status=302), "HTTP status 302", 31),
    "cut": (lambda h: h.send(b"PK\3\4", claimed_size=999), "ChunkedEncodingError", 3),
    "silent": (lambda h: time.sleep(9), "ReadTimeout", 3),
    "slow": (lambda h: pour(h, b"x" * 200, pause=0.05), "too large or too slow: ", 1),
    "without end": (lambda h: pour(h, MEGABYTE), "too large or too slow: 14,0", 1),
    "gzip bomb": (lambda h: pour(h, gzip.compress(MEGABYTE), GZIP), "too large or too slow", 1),
    "page": (lambda h: h.send(b"<html>Please log in to this hotel"), "not a zip of WikiText-2", 1),
    "other bytes": (lambda h: h.send(zip_of({TRAIN: b"x", VALID: b"y"})), "other bytes than", 1),
    "other members": (lambda h: h.send(zip_of({"wiki.train.tokens": b"x"})), "not a zip of", 1),
}
LIMITS = {
    "silent": {"TIMEOUT": (60.0, 0.3)},
    "slow": {"LIMIT": 1.0},
    "no time": {"PAUSES": (60.0, 60.0), "LIMIT": 30.0},  # for the pause before the second try
}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_bad_answer_is_told_and_never_used(monkeypatch, serve, cache, name):
    answer, reason, times = ANSWERS[name]
    server = serve(answer)
    monkeypatch.setenv(URL, answer if isinstance(answer, str) else server.url)
    for limit, value in LIMITS.get(name, {}).items():
        monkeypatch.setattr(wikitext2, limit, value)
    assert_refused(cache, reason)
    assert server.request_count == times


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, None])
def test_neither_a_zip_bomb_nor_a_damaged_zip_is_unpacked(
    monkeypatch, cache, wikitext2_zip, compression
):
    if compression is None:
        body = bytearray(wikitext2_zip.read_bytes())
        body[1_000_000] ^= 1
    else:  # it says that its member has the right size, and is ten times as large
        real, said = (struct.pack("<I", size) for size in (100_000_000, 10_797_148))
        body = zip_of({TRAIN: bytes(100_000_000), VALID: b"y"}, compression).replace(real, said)
    (cache.parent / "bad.zip").write_bytes(body)
    monkeypatch.setenv(URL, str(cache.parent / "bad.zip"))
    tracemalloc.start()
    try:
        assert_refused(cache, "not a zip of WikiText-2")
        assert tracemalloc.get_traced_memory()[1] < 60_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("cause", [errno.ENOTDIR, errno.EFBIG])
def test_a_cache_that_cannot_be_written_is_named(
    monkeypatch, wikitext2_server, full_disk, cache, cause
):
    monkeypatch.setenv(URL, wikitext2_server.url)
    if cause == errno.ENOTDIR:
        cache.write_text("I am a file")
    with full_disk(8_000_000), pytest.raises(OSError, match="cannot be written") as caught:
        read_text("wikitext-2")
    for part in (str(cache / "wikitext-2"), CACHE, os.strerror(cause)):
        assert part in str(caught.value)
    # A full disk is no reason to ask again.
    assert wikitext2_server.request_count == (cause == errno.EFBIG)


def test_a_server_without_encryption_is_told_from_one_that_is_not_trusted(
    monkeypatch, serve, cache, tmp_path
):
    server = serve(lambda handler: handler.send(b"plain"))
    monkeypatch.setenv(URL, server.url.replace("http:", "https:"))
    assert_refused(cache, "SSLError: wrong version number")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "nowhere.pem"))
    assert_refused(cache, "nowhere.pem")
