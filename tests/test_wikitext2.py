"""WikiText-2, from real servers on this machine that do what servers do."""

import errno
import gzip
import io
import os
import struct
import subprocess
import sys
import time
import tracemalloc
import zipfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from one_sentence import assert_one_sentence

from bert_tutorial.text import wikitext2
from bert_tutorial.text.corpora import read_text
from bert_tutorial.text.wikitext_format import Corpus, paragraphs

URL, CACHE = "BERT_TUTORIAL_WIKITEXT2_URL", "BERT_TUTORIAL_CACHE"
NAMES = {"wiki.train.tokens", "wiki.valid.tokens"}
TRAIN, VALID = "wikitext-2/wiki.train.tokens", "wikitext-2/wiki.valid.tokens"


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path) -> Path:
    """A cache of its own for each test, and no source but those that the test starts itself."""
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    monkeypatch.delenv(URL, raising=False)
    monkeypatch.setattr(wikitext2, "SOURCES", ())
    monkeypatch.setattr(wikitext2, "PAUSES", (0.0, 0.0))
    return tmp_path / "cache" / "wikitext-2"


@pytest.fixture
def members(wikitext2_zip) -> dict[str, bytes]:
    with zipfile.ZipFile(wikitext2_zip) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def files_in(folder: Path) -> set[str]:
    """Everything below a folder, except the lock."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.name != ".lock"}


def zip_of(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", compression) as writer:
        for name, content in members.items():
            writer.writestr(name, content)
    return archive.getvalue()


def assert_refused(folder: Path, *reasons: str) -> None:
    """No source delivers: one sentence that says why and what to do, and nothing left behind."""
    with pytest.raises(ConnectionError) as caught:
        read_text("wikitext-2")
    assert_one_sentence(str(caught.value))
    for part in (*reasons, 'corpus="bundled"', "file of your own", URL, str(folder)):
        assert part in str(caught.value)
    assert files_in(folder) == set()


def test_it_is_downloaded_once_and_only_its_members_are_unpacked(
    monkeypatch, serve, members, folder, tmp_path, capsys
):
    evil = {name: b"!" for name in ("../evil", f"{tmp_path}/evil", "wikitext-2/extra")}
    body = zip_of(evil | members)
    server = serve(lambda handler: handler.send(body))
    monkeypatch.setenv(URL, server.url)
    folder.mkdir(parents=True)
    (folder / "wiki.train.tokens.123.part").write_bytes(b"left by a download that was killed")
    text = read_text("wikitext-2")
    assert text == Corpus("wikitext-2", *(content.decode() for content in members.values()))
    assert files_in(tmp_path) == {"cache", "cache/wikitext-2", f"cache/{TRAIN}", f"cache/{VALID}"}
    assert capsys.readouterr().out == ""

    (folder / ".lock").unlink()  # what is in the cache needs no network and no lock
    assert read_text("wikitext-2") == text and not (folder / ".lock").exists()
    ((path, user_agent),) = server.requests
    assert path == "/wikitext-2-v1.zip" and user_agent.startswith("bert_tutorial/")

    words = Counter(word for p in paragraphs(text.train) for sentence in p for word in sentence)
    assert sum(n >= 5 and word != "<unk>" for word, n in words.items()) == 20_251


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(b"\0" + path.read_bytes()[1:]),
        Path.unlink,
        lambda path: path.chmod(0),
    ],
    ids=["cut", "changed", "missing", "not-to-be-read"],
)
def test_a_damaged_cache_is_fetched_again(
    monkeypatch, wikitext2_zip, members, plain_user_folder, damage
):
    monkeypatch.setenv(CACHE, str(plain_user_folder))
    monkeypatch.setenv(URL, str(wikitext2_zip))  # a zip on this machine is a source too
    read_text("wikitext-2")
    path = plain_user_folder / VALID
    damage(path)
    read_text("wikitext-2")
    assert path.read_bytes() == members[VALID] and files_in(path.parent) == NAMES


def test_the_plain_files_are_a_source_too_and_bad_sources_are_passed_over(
    monkeypatch, serve, members, folder
):
    train, valid = members.values()
    good = serve(lambda handler: handler.send(train if handler.path == "/train.txt" else valid))
    bad = serve(lambda handler: handler.send(zip_of({TRAIN: b"other", VALID: b"text"})))
    monkeypatch.setenv(URL, bad.url)
    plain = (f"{good.root}/train.txt", f"{good.root}/valid.txt")
    monkeypatch.setattr(wikitext2, "SOURCES", (("http://127.0.0.1:1/a.zip",), plain))
    assert read_text("wikitext-2").valid == valid.decode()
    assert files_in(folder) == NAMES and bad.request_count == 1


def test_two_at_once_download_once(monkeypatch, serve, wikitext2_zip, folder):
    server = serve(lambda h: (time.sleep(0.5), h.send(wikitext2_zip.read_bytes())))
    monkeypatch.setenv(URL, server.url)
    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(read_text, ["wikitext-2"] * 2)
    assert one == two and server.request_count == 1 and files_in(folder) == NAMES


def test_a_process_that_stands_still_is_not_waited_for_without_end(monkeypatch, folder):
    monkeypatch.setattr(wikitext2, "LIMIT", 0.2)
    code = (
        "import sys; from filelock import FileLock; "
        "lock = FileLock(sys.argv[1]); lock.acquire(); print('held', flush=True); input()"
    )
    command = [sys.executable, "-c", code, str(folder / ".lock")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(TimeoutError, match=r"\.lock\): wait for it or end it") as caught:
            read_text("wikitext-2")
        process.kill()
    assert_one_sentence(str(caught.value))


# WikiText-2 that does not arrive


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        (None, "no source to try"),
        ("wikitext-2-v1.zip", "wikitext-2-v1.zip: missing schema"),
        ("file:" + "///tmp/x.zip", "invalid schema"),
        ("http://[/x.zip", "invalid url"),
        ("http://me:secret@127.0.0.1:1/x.zip", "http://127.0.0.1:1/x.zip: connection error"),
    ],
)
def test_an_address_that_leads_nowhere(monkeypatch, folder, address, reason):
    if address:
        monkeypatch.setenv(URL, address)
    assert_refused(folder, reason)


def head(handler, *headers: tuple[str, str], status: int = 200) -> None:
    """Begin an answer that ends when the connection does."""
    handler.send_response(status)
    for name, value in headers:
        handler.send_header(name, value)
    handler.end_headers()


def pour(handler, piece: bytes, *headers: tuple[str, str], pause: float = 0.0) -> None:
    head(handler, *headers)
    for _ in range(100):
        handler.wfile.write(piece)
        time.sleep(pause)


MEGABYTE = bytes(10**6)
GZIP = ("Content-Encoding", "gzip")
ANSWERS = {
    # name: (what the server does, what is said of it, how often it is asked)
    "forbidden": (lambda h: h.send(b"no", 403), "HTTP status 403", 1),
    "busy": (lambda h: h.send(b"no", 429), "HTTP status 429", 3),
    "server error": (lambda h: h.send(b"oh", 500), "HTTP status 500", 3),
    "circle": (lambda h: head(h, ("Location", h.path), status=302), "too many redirects", 31),
    "cut": (lambda h: h.send(b"PK\3\4", claimed_size=999), "chunked encoding error", 3),
    "stalled": (lambda h: (h.send(b"", claimed_size=9), time.sleep(9)), "connection error", 3),
    "silent": (lambda h: time.sleep(9), "read timeout", 3),
    "slow": (lambda h: pour(h, b"x" * 200, pause=0.05), "too slow: ", 1),
    "without end": (lambda h: pour(h, MEGABYTE), "larger than WikiText-2", 1),
    "huge": (lambda h: pour(h, MEGABYTE, ("Content-Length", "9" * 10)), "larger than Wiki", 1),
    "gzip bomb": (lambda h: pour(h, gzip.compress(MEGABYTE), GZIP), "larger than WikiText-2", 1),
    "not gzip": (lambda h: pour(h, b"no", GZIP), "content decoding error", 3),
    "page": (lambda h: h.send(b"<html>Please log in to this hotel"), "not a zip of WikiText-2", 1),
    "nothing": (lambda h: h.send(b""), "not a zip of WikiText-2", 1),
    "other bytes": (lambda h: h.send(zip_of({TRAIN: b"x", VALID: b"y"})), "other bytes than", 1),
    "other members": (lambda h: h.send(zip_of({"wiki.train.tokens": b"x"})), "not a zip of", 1),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_bad_answer_is_told_and_never_used(monkeypatch, serve, folder, name):
    answer, reason, times = ANSWERS[name]
    server = serve(answer)
    monkeypatch.setenv(URL, server.url)
    if name in ("stalled", "silent"):
        monkeypatch.setattr(wikitext2, "TIMEOUT", (60.0, 0.3))
    if name == "slow":
        monkeypatch.setattr(wikitext2, "LIMIT", 1.0)
    assert_refused(folder, reason)
    assert server.request_count == times


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, None])
def test_neither_a_zip_bomb_nor_a_damaged_zip_is_unpacked(
    monkeypatch, tmp_path, folder, wikitext2_zip, compression
):
    if compression is None:
        body = bytearray(wikitext2_zip.read_bytes())
        body[1_000_000] ^= 1
    else:  # it says that its member has the right size, and is ten times as large
        real, said = (struct.pack("<I", size) for size in (100_000_000, 10_797_148))
        body = zip_of({TRAIN: bytes(100_000_000), VALID: b"y"}, compression).replace(real, said)
    (tmp_path / "bad.zip").write_bytes(body)
    monkeypatch.setenv(URL, str(tmp_path / "bad.zip"))
    tracemalloc.start()
    try:
        assert_refused(folder, "not a zip of WikiText-2")
        assert tracemalloc.get_traced_memory()[1] < 60_000_000
    finally:
        tracemalloc.stop()


def test_a_failure_that_passes(monkeypatch, serve, wikitext2_zip):
    statuses = iter([500, 503, 200])
    server = serve(lambda handler: handler.send(wikitext2_zip.read_bytes(), next(statuses)))
    monkeypatch.setenv(URL, server.url)
    assert read_text("wikitext-2").name == "wikitext-2" and server.request_count == 3


def test_tries_and_pauses_end_with_the_time(monkeypatch, serve, folder):
    monkeypatch.setattr(wikitext2, "PAUSES", (60.0, 60.0))
    monkeypatch.setattr(wikitext2, "LIMIT", 30.0)
    server = serve(lambda handler: handler.send(b"oh", 500))
    monkeypatch.setenv(URL, server.url)
    assert_refused(folder, "HTTP status 500")
    assert server.request_count == 1


@pytest.mark.parametrize("cause", [errno.ENOTDIR, errno.EACCES, errno.EFBIG])
def test_a_cache_that_cannot_be_written_is_named(
    monkeypatch, wikitext2_server, members, full_disk, plain_user_folder, cause
):
    monkeypatch.setenv(URL, wikitext2_server.url)
    monkeypatch.setenv(CACHE, str(plain_user_folder / "cache"))
    folder = plain_user_folder / "cache" / "wikitext-2"
    if cause == errno.ENOTDIR:
        (plain_user_folder / "cache").write_text("I am a file")
    if cause == errno.EACCES:
        folder.mkdir(parents=True)
        folder.chmod(0o500)
    with full_disk(8_000_000), pytest.raises(OSError, match="cannot be written") as caught:
        read_text("wikitext-2")
    for part in (str(folder), CACHE, os.strerror(cause)):
        assert part in str(caught.value)
    assert_one_sentence(str(caught.value))
    # A full disk is no reason to ask again.
    assert wikitext2_server.request_count == (cause == errno.EFBIG)
