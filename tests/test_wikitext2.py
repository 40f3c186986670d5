"""WikiText-2, from real servers on this machine that do what servers do."""

import errno
import gzip
import io
import os
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
import tracemalloc
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from one_sentence import assert_one_sentence

from bert_tutorial.text import download, wikitext2
from bert_tutorial.text.corpora import read_text
from bert_tutorial.text.wikitext2 import read_wikitext2
from bert_tutorial.text.wikitext_format import Corpus, paragraphs

ROOT = Path(__file__).resolve().parents[1]
URL = "BERT_TUTORIAL_WIKITEXT2_URL"
CACHE = "BERT_TUTORIAL_CACHE"


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """A cache of its own for each test, and no mirror to ask but the ones that the test starts
    itself.
    """
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv(URL, raising=False)
    monkeypatch.setattr(wikitext2, "WIKITEXT2_SOURCES", ())


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "cache" / "wikitext-2"


@pytest.fixture
def wikitext2_members(wikitext2_zip) -> dict[str, bytes]:
    with zipfile.ZipFile(wikitext2_zip) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def filled_cache(folder, wikitext2_members) -> Path:
    folder.mkdir(parents=True)
    for name, content in wikitext2_members.items():
        (folder / Path(name).name).write_bytes(content)
    return folder


def zip_of(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", compression) as writer:
        for name, content in members.items():
            writer.writestr(name, content)
    return archive.getvalue()


def files_in(folder: Path) -> set[str]:
    """Everything below a folder, except the lock."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.name != ".lock"}


def test_wikitext2_is_downloaded_once(
    monkeypatch, wikitext2_server, wikitext2_members, folder, capsys
):
    monkeypatch.setenv(URL, wikitext2_server.url)
    text = read_text("wikitext-2")
    assert text.name == "wikitext-2"
    assert [text.train, text.valid] == [content.decode() for content in wikitext2_members.values()]
    assert files_in(folder) == {"wiki.train.tokens", "wiki.valid.tokens"}
    assert capsys.readouterr().out == ""

    assert read_text("wikitext-2") == text
    assert wikitext2_server.request_count == 1
    path, user_agent = wikitext2_server.requests[0]
    assert path == "/wikitext-2-v1.zip" and user_agent.startswith("bert_tutorial/")

    frequencies = Counter(
        token
        for sentences in paragraphs(text.train)
        for sentence in sentences
        for token in sentence
    )
    assert sum(n >= 5 and token != "<unk>" for token, n in frequencies.items()) == 20_251


def test_the_cache_needs_no_network_and_no_lock(filled_cache):
    assert read_text("wikitext-2").name == "wikitext-2"
    assert not (filled_cache / ".lock").exists()


def test_a_read_only_cache_with_the_good_files_works(monkeypatch, filled_cache):
    def refuse(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    for writing in ("mkdir", "replace", "unlink"):
        monkeypatch.setattr(os, writing, refuse)
    monkeypatch.setattr(wikitext2, "FileLock", refuse)
    filled_cache.chmod(stat.S_IRUSR | stat.S_IXUSR)
    text = read_text("wikitext-2")
    filled_cache.chmod(stat.S_IRWXU)
    assert text.name == "wikitext-2"


@pytest.mark.parametrize(
    "damage", [lambda content: content[:-1], lambda content: b"\0" + content[1:], lambda _: b""]
)
def test_a_damaged_cache_is_fetched_again(
    monkeypatch, wikitext2_server, filled_cache, wikitext2_members, damage
):
    monkeypatch.setenv(URL, wikitext2_server.url)
    path = filled_cache / "wiki.valid.tokens"
    good = path.read_bytes()
    path.write_bytes(damage(good))
    read_text("wikitext-2")
    assert path.read_bytes() == good and wikitext2_server.request_count == 1


def test_the_plain_files_are_a_source_too(monkeypatch, serve, wikitext2_members, folder):
    train, valid = wikitext2_members.values()
    server = serve(lambda handler: handler.send(train if handler.path == "/train.txt" else valid))
    monkeypatch.setattr(
        wikitext2, "WIKITEXT2_SOURCES", ((f"{server.root}/train.txt", f"{server.root}/valid.txt"),)
    )
    assert read_text("wikitext-2") == Corpus("wikitext-2", train.decode(), valid.decode())
    assert files_in(folder) == {"wiki.train.tokens", "wiki.valid.tokens"}


@pytest.mark.skipif(os.name != "posix", reason="permissions of this kind are a Unix matter")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_the_files_have_the_permissions_that_the_user_gives(
    monkeypatch, wikitext2_server, folder, umask, mode
):
    monkeypatch.setenv(URL, wikitext2_server.url)
    before = os.umask(umask)
    try:
        read_text("wikitext-2")
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.glob("wiki.*")}
    assert modes == {"wiki.train.tokens": mode, "wiki.valid.tokens": mode}


def test_two_processes_at_once_download_once(monkeypatch, serve, wikitext2_zip, folder):
    def slowly(handler):
        time.sleep(0.5)
        handler.send(wikitext2_zip.read_bytes())

    server = serve(slowly)
    monkeypatch.setenv(URL, server.url)
    code = (
        "from bert_tutorial.text import wikitext2; wikitext2.WIKITEXT2_SOURCES = (); "
        "print('ready', flush=True); input(); "
        "print(len(wikitext2.read_wikitext2().train))"
    )
    pipes = {
        "stdin": subprocess.PIPE,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
    }
    root = ROOT
    processes = [
        subprocess.Popen([sys.executable, "-c", code], cwd=root, **pipes) for _ in range(2)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        out, err = process.communicate(timeout=30)
        assert process.returncode == 0, err
        assert int(out) > 10_000_000
    assert server.request_count == 1
    assert files_in(folder) == {"wiki.train.tokens", "wiki.valid.tokens"}


@pytest.fixture
def held_lock(folder):
    """The lock, held by another process that does nothing; the fixture is that process."""
    folder.mkdir(parents=True)
    code = (
        "import sys; from filelock import FileLock; "
        "lock = FileLock(sys.argv[1]); lock.acquire(); print('held', flush=True); input()"
    )
    command = [sys.executable, "-c", code, str(folder / ".lock")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_process_that_stands_still_is_not_waited_for_without_end(held_lock, folder, capsys):
    with pytest.raises(TimeoutError, match="wait for that process or end it") as caught:
        read_wikitext2(limit=0.2)
    assert_one_sentence(str(caught.value))
    assert str(folder / ".lock") in str(caught.value)
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert err.startswith("waiting") and str(folder / ".lock") in err


def test_a_process_that_ends_is_waited_for(
    monkeypatch, held_lock, wikitext2_server, folder, capsys
):
    monkeypatch.setenv(URL, wikitext2_server.url)
    threading.Timer(1.2, held_lock.kill).start()
    assert read_wikitext2().name == "wikitext-2"
    assert "waiting" in capsys.readouterr().err


# WikiText-2 that does not arrive


def assert_refused(folder, *reasons: str, **options) -> None:
    """No source delivers: one sentence that says why and what to do, and nothing left behind."""
    with pytest.raises(ConnectionError) as caught:
        read_wikitext2(pause=0.0, **options)
    message = str(caught.value)
    assert_one_sentence(message)
    for part in (*reasons, 'corpus="bundled"', "file of your own", URL, str(folder)):
        assert part in message
    assert files_in(folder) == set()


def closed_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/wikitext-2-v1.zip"


def test_offline_and_not_cached(folder):
    assert_refused(folder, "no source to try")


def test_mirror_down(monkeypatch, folder):
    monkeypatch.setenv(URL, closed_port())
    assert_refused(folder, "no connection")


def test_not_a_web_address(monkeypatch, folder):
    for address in ("wikitext-2-v1.zip", "file:" + "///tmp/x.zip", "http://", "http://[/x.zip"):
        monkeypatch.setenv(URL, address)
        assert_refused(folder, f"{address}: not a web address")


@pytest.mark.parametrize("status", [403, 404])
def test_a_refusal_is_not_asked_again(monkeypatch, serve, folder, status):
    server = serve(lambda handler: handler.send(b"no", status))
    monkeypatch.setenv(URL, server.url)
    assert_refused(folder, f"HTTP status {status}")
    assert server.request_count == 1


def test_a_passing_server_error_is_asked_again(monkeypatch, serve, wikitext2_zip):
    statuses = iter([500, 503, 200])
    server = serve(lambda handler: handler.send(wikitext2_zip.read_bytes(), next(statuses)))
    monkeypatch.setenv(URL, server.url)
    assert read_wikitext2(pause=0.0).name == "wikitext-2"
    assert server.request_count == 3


def test_a_lasting_server_error_is_given_up(monkeypatch, serve, folder):
    server = serve(lambda handler: handler.send(b"oh", 500))
    monkeypatch.setenv(URL, server.url)
    assert_refused(folder, "HTTP status 500")
    assert server.request_count == download.ATTEMPTS


def test_truncated_body(monkeypatch, serve, wikitext2_zip, folder):
    body = wikitext2_zip.read_bytes()
    server = serve(lambda handler: handler.send(body[:-1000], claimed_size=len(body)))
    monkeypatch.setenv(URL, server.url)
    assert_refused(folder, "the download broke off")
    assert server.request_count == download.ATTEMPTS


@pytest.mark.parametrize("sent", [b"", b"PK\3\4" * 30_000])
def test_a_body_that_stalls(monkeypatch, serve, folder, sent):
    over = threading.Event()

    def stall(handler):
        handler.send(sent, claimed_size=10**6)
        handler.wfile.flush()
        over.wait(10)

    monkeypatch.setenv(URL, serve(stall).url)
    try:
        assert_refused(folder, "no answer in time", timeout=(0.2, 0.2))
    finally:
        over.set()


def send_head(handler, *headers: tuple[str, str]) -> None:
    """Begin an answer that ends when the connection does."""
    handler.send_response(200)
    for name, value in headers:
        handler.send_header(name, value)
    handler.end_headers()


@pytest.mark.parametrize("of", ["the header", "the file"])
def test_a_byte_now_and_then_is_too_slow(monkeypatch, serve, folder, of):
    over = threading.Event()

    def drip(handler):
        if of == "the file":
            send_head(handler, ("Content-Length", "1000000"))
        else:
            handler.wfile.write(b"HTTP/1.0 200 OK\r\nX-Slow: ")
        for _ in range(200):  # 10 seconds
            handler.wfile.write(b"x")
            if over.wait(0.05):
                break

    next_one = serve(lambda handler: handler.send(b"no", 404))
    monkeypatch.setenv(URL, serve(drip).url)
    monkeypatch.setattr(wikitext2, "WIKITEXT2_SOURCES", ((next_one.url,),))
    begin = time.monotonic()
    try:
        assert_refused(folder, "too slow: ", " bytes in 1 seconds; ", "HTTP status 404", limit=1.0)
    finally:
        over.set()
    assert time.monotonic() - begin < 5
    assert next_one.request_count == 1


def test_attempts_and_pauses_end_with_the_time(monkeypatch, serve, folder):
    server = serve(lambda handler: handler.send(b"oh", 500))
    monkeypatch.setenv(URL, server.url)
    with pytest.raises(ConnectionError, match="HTTP status 500"):
        read_wikitext2(pause=60.0, limit=30.0)
    assert server.request_count == 1


MEGABYTE = bytes(10**6)


@pytest.mark.parametrize("plain", [False, True], ids=["zip", "plain"])
@pytest.mark.parametrize(
    ("header", "piece"),
    [
        (("X-Size", "unknown"), MEGABYTE),
        (("Content-Length", str(10**10)), MEGABYTE),
        (("Content-Encoding", "gzip"), gzip.compress(MEGABYTE)),
    ],
    ids=["without-end", "huge", "gzip-bomb"],
)
def test_a_larger_file_is_left(monkeypatch, serve, wikitext2_server, folder, header, piece, plain):
    sent = []

    def pour(handler):
        send_head(handler, header)
        for _ in range(100):
            handler.wfile.write(piece)
            sent.append(len(piece))

    server = serve(pour)
    bad = (f"{server.root}/train.txt", f"{server.root}/valid.txt") if plain else (server.url,)
    monkeypatch.setattr(wikitext2, "WIKITEXT2_SOURCES", (bad,))
    assert_refused(folder, "larger than WikiText-2")
    assert server.request_count == 1 and sum(sent) < 50_000_000

    monkeypatch.setattr(wikitext2, "WIKITEXT2_SOURCES", (bad, (wikitext2_server.url,)))
    assert read_wikitext2(pause=0.0).name == "wikitext-2"


TRAIN, VALID = "wikitext-2/wiki.train.tokens", "wikitext-2/wiki.valid.tokens"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<html>Please log in to this hotel's network.</html>", "not a zip"),
        (b"", "not a zip"),
        (
            zip_of({TRAIN: b"x" * 10_797_148, VALID: b"y" * 1_121_681}),
            "other bytes than WikiText-2's",
        ),
        (zip_of({TRAIN: b"other text", VALID: b"text"}), "other bytes than WikiText-2's"),
        (zip_of({"wiki.train.tokens": b"x", "wiki.valid.tokens": b"y"}), "not a zip of WikiText-2"),
        (zip_of({TRAIN: b"x" * 10_797_148, VALID: b"y"})[:5_000], "not a zip"),
    ],
    ids=["html", "nothing", "same-sizes", "other-sizes", "without-the-members", "cut"],
)
def test_another_body_is_never_used(monkeypatch, serve, folder, body, reason):
    server = serve(lambda handler: handler.send(body))
    monkeypatch.setenv(URL, server.url)
    assert_refused(folder, reason)
    assert server.request_count == 1


def test_a_member_of_another_size_is_not_even_unpacked(monkeypatch, serve, folder):
    body = zip_of({TRAIN: b"x" * 50_000_000, VALID: b"y"})

    def read(*_):
        raise zipfile.BadZipFile

    monkeypatch.setattr(zipfile.ZipExtFile, "read", read)
    monkeypatch.setenv(URL, serve(lambda handler: handler.send(body)).url)
    assert_refused(folder, "other bytes than WikiText-2's")


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_a_zip_bomb_is_not_unpacked(monkeypatch, tmp_path, folder, compression):
    """It says that its member has the right size, and is ten times as large."""
    real, said = (struct.pack("<I", size) for size in (100_000_000, 10_797_148))
    body = zip_of({TRAIN: bytes(100_000_000), VALID: b"y"}, compression)
    path = tmp_path / "bomb.zip"
    path.write_bytes(body.replace(real, said))
    monkeypatch.setenv(URL, str(path))
    tracemalloc.start()
    try:
        assert_refused(folder, "not a zip of WikiText-2")
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()


def test_a_damaged_zip_is_never_used(monkeypatch, serve, wikitext2_zip, folder):
    body = bytearray(wikitext2_zip.read_bytes())
    body[1_000_000] ^= 1
    monkeypatch.setenv(URL, serve(lambda handler: handler.send(bytes(body))).url)
    assert_refused(folder, "not a zip of WikiText-2")


def test_after_a_bad_source_the_next_one_is_tried(monkeypatch, serve, wikitext2_server, folder):
    bad = serve(lambda handler: handler.send(zip_of({TRAIN: b"other", VALID: b"text"})))
    monkeypatch.setenv(URL, bad.url)
    monkeypatch.setattr(wikitext2, "WIKITEXT2_SOURCES", ((closed_port(),), (wikitext2_server.url,)))
    assert read_wikitext2(pause=0.0).name == "wikitext-2"
    assert bad.request_count == wikitext2_server.request_count == 1
    assert files_in(folder) == {"wiki.train.tokens", "wiki.valid.tokens"}


def test_entries_that_point_outside_do_nothing(
    monkeypatch, serve, wikitext2_members, folder, tmp_path
):
    entries = {
        "../evil": b"!",
        "wikitext-2/../../../evil": b"!",
        f"{tmp_path}/evil": b"!",
        "wikitext-2/extra": b"!",
    }
    body = zip_of({**entries, **wikitext2_members})
    monkeypatch.setenv(URL, serve(lambda handler: handler.send(body)).url)
    read_text("wikitext-2")
    assert files_in(tmp_path) == {"cache", "cache/wikitext-2", f"cache/{TRAIN}", f"cache/{VALID}"}


def test_what_a_killed_download_left_is_cleared(monkeypatch, wikitext2_server, folder):
    (folder / "partial").mkdir(parents=True)
    (folder / "partial" / "archive.zip").write_bytes(b"half")
    monkeypatch.setenv(URL, wikitext2_server.url)
    read_text("wikitext-2")
    assert files_in(folder) == {"wiki.train.tokens", "wiki.valid.tokens"}


# A cache folder that cannot be used


def assert_cache_refused(*parts: str) -> None:
    with pytest.raises(OSError, match="cache folder") as caught:
        read_wikitext2(pause=0.0)
    assert not isinstance(caught.value, ConnectionError)
    assert_one_sentence(str(caught.value))
    for part in (*parts, CACHE):
        assert part in str(caught.value)


def test_a_file_where_the_cache_should_be(tmp_path):
    (tmp_path / "cache").write_text("I am a file")
    assert_cache_refused(str(tmp_path / "cache"))


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_read_only_cache_without_the_files(monkeypatch, folder, number):
    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "mkdir", refuse)
    assert_cache_refused(str(folder), os.strerror(number))


def test_disk_full_when_the_files_are_moved(monkeypatch, wikitext2_server, folder):
    def refuse(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setenv(URL, wikitext2_server.url)
    monkeypatch.setattr(os, "replace", refuse)
    assert_cache_refused(str(folder), os.strerror(errno.ENOSPC))
    assert files_in(folder) == set()


def test_disk_full_in_the_middle_of_a_write(monkeypatch, wikitext2_server, folder):
    """A real failed write: the system lets no file grow beyond 8 MB, and the text has 11."""
    resource = pytest.importorskip("resource", reason="limits on file sizes are a Unix matter")
    monkeypatch.setenv(URL, wikitext2_server.url)
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8_000_000, old[1]))
    try:
        assert_cache_refused(str(folder), os.strerror(errno.EFBIG))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert wikitext2_server.request_count == 1  # a full disk is no reason to ask again
    assert files_in(folder) == set()


def test_a_zip_on_this_machine_is_a_source_too(monkeypatch, wikitext2_zip, folder):
    monkeypatch.setenv(URL, str(wikitext2_zip))
    assert len(read_wikitext2().train) > 10_000_000
    assert files_in(folder) == {"wiki.train.tokens", "wiki.valid.tokens"}
    assert wikitext2_zip.is_file()


def test_a_password_in_an_address_is_not_shown(monkeypatch, serve, folder):
    server = serve(lambda handler: handler.send(b"", status=404))
    monkeypatch.setenv(URL, server.url.replace("//", "//me:secret@"))
    with pytest.raises(ConnectionError) as error:
        read_wikitext2(pause=0)
    assert "secret" not in str(error.value) and "HTTP status 404" in str(error.value)


@pytest.mark.parametrize(
    ("kind", "words"),
    [("SSLError", "certificate is not trusted"), ("ProxyError", "the proxy does not answer")],
)
def test_what_stands_between_is_named(monkeypatch, folder, kind, words):
    def fail(*_, **__):
        raise getattr(wikitext2.requests.exceptions, kind)("x")

    monkeypatch.setattr(download.requests, "get", fail)
    monkeypatch.setenv(URL, "http://127.0.0.1:1/a.zip")
    with pytest.raises(ConnectionError, match=words):
        read_wikitext2(pause=0)


def test_addresses_in_a_circle(monkeypatch, serve, folder):
    def turn(handler):
        handler.send_response(302)
        handler.send_header("Location", handler.path)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    monkeypatch.setenv(URL, serve(turn).url)
    with pytest.raises(ConnectionError, match="from address to address without end"):
        read_wikitext2(pause=0)
