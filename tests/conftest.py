"""Fixtures that several test files share: the real WikiText-2 from a server on this machine."""

import contextlib
import os
import shutil
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

WIKITEXT2_FOLDER = Path(__file__).resolve().parents[2] / "shared" / "wikitext-2"


def pytest_collection_modifyitems(items):
    """Notebooks first; then what takes minutes, beside all the others."""
    items.sort(key=lambda item: (item.path.suffix != ".ipynb", not item.get_closest_marker("long")))


class Server:
    """A web server on 127.0.0.1 that answers each GET with `answer(handler)` and remembers who
    asked for what.

    `answer` calls `handler.send(body)`, or does worse.

    Attributes:
        url: Address of a zip on this server.
        requests: Path and User-Agent of each request so far.
    """

    def __init__(self, answer):
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                server.requests.append((self.path, self.headers["User-Agent"]))
                with contextlib.suppress(ConnectionError):  # the client may leave before the end
                    answer(self)

            def send(self, body: bytes, status: int = 200, claimed_size: int | None = None) -> None:
                """Answer with `body`; `claimed_size` is a Content-Length that may be a lie."""
                size = len(body) if claimed_size is None else claimed_size
                self.send_response(status)
                self.send_header("Content-Length", str(size))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.requests: list[tuple[str, str]] = []
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.root = f"http://127.0.0.1:{self._http.server_port}"
        self.url = f"{self.root}/wikitext-2-v1.zip"
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def request_count(self) -> int:
        return len(self.requests)

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture(autouse=True)
def one_thread():
    """One thread a test: small networks are faster so, and two tests can run at a time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def full_disk():
    """`with full_disk(size)`: no file grows beyond so many bytes."""
    resource = pytest.importorskip("resource")

    @contextlib.contextmanager
    def limit(size):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limit


@pytest.fixture
def plain_user_folder(tmp_path):
    """A folder of a user for whom permissions count, also where the tests run as root."""
    if os.name == "nt":
        pytest.skip("there are no such permissions")
    if os.geteuid():
        yield tmp_path
        return
    folder = Path(tempfile.mkdtemp())  # not in tmp_path, which only root may enter
    folder.chmod(0o777)
    os.seteuid(65534)
    try:
        (folder / "own").mkdir()
        yield folder / "own"
    finally:
        os.seteuid(0)
        shutil.rmtree(folder)


@pytest.fixture
def serve(monkeypatch):
    """A function that starts a `Server` for the length of a test."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    servers = []

    def start(answer) -> Server:
        servers.append(Server(answer))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture(scope="session")
def wikitext2_zip() -> Path:
    """The real zip of WikiText-2; it stands beside the project, not in it."""
    folder = Path(os.environ.get("BERT_TUTORIAL_TEST_WIKITEXT2", WIKITEXT2_FOLDER))
    path = folder / "wikitext-2-v1.zip"
    if not path.is_file():
        stop = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        stop(f"there is no {path}; name the folder that holds it in BERT_TUTORIAL_TEST_WIKITEXT2")
    return path


@pytest.fixture
def wikitext2_server(wikitext2_zip, serve) -> Server:
    """A server whose `url` gives the real zip; `request_count` tells how often it was asked."""
    body = wikitext2_zip.read_bytes()
    return serve(lambda handler: handler.send(body))
