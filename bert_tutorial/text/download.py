"""One file of WikiText-2 from the web, with a limit on its size and on the time that it takes."""

import re
import threading
import time
from concurrent.futures import Future, wait

import requests
from tqdm import tqdm

# The first source of WikiText-2 refuses Python's default with status 403.
USER_AGENT = "bert_tutorial/0.1 (a tutorial on pretraining BERT)"
ATTEMPTS = 3


def fetch(
    url: str, largest: int, timeout: tuple[float, float], pause: float, limit: float
) -> bytes:
    """Download one file; try again where the failure may pass (no connection, broken body, 5xx).

    Args:
        url: Its address.
        largest: Bytes that it has at most.
        timeout: Seconds to wait for a connection, and for the next bytes.
        pause: Seconds before the second attempt. Attempt n waits n - 1 times the pause.
        limit: Seconds that all attempts may take together.

    Returns:
        Its content.

    Raises:
        ValueError: It is larger, or takes longer.
        requests.RequestException: It cannot be had; `in_few_words` says why.
    """
    end = time.monotonic() + limit
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _fetch_once(url, largest, timeout, end - time.monotonic())
        except requests.RequestException as error:
            status = 500 if error.response is None else error.response.status_code
            lasting = status < 500 and status not in (408, 429)
            no_time = time.monotonic() + pause * attempt > end
            if attempt == ATTEMPTS or isinstance(error, ValueError) or lasting or no_time:
                raise
        time.sleep(pause * attempt)


def _fetch_once(url: str, largest: int, timeout: tuple[float, float], seconds: float) -> bytes:
    """Download in a thread, because only a thread can be left when the time is over.

    A server that sends a byte now and then, of its header or of the file, never lets the timeout
    of `requests` pass.
    """
    received, outcome, left = bytearray(), Future(), threading.Event()

    def receive() -> None:
        options = {"headers": {"User-Agent": USER_AGENT}, "timeout": timeout, "stream": True}
        try:
            with requests.get(url, **options) as response:
                response.raise_for_status()
                bar.reset(response.raw.length_remaining)
                # Small blocks, because one that comes slowly is waited for even after `left`.
                for block in response.iter_content(2**12):
                    received.extend(block)
                    bar.update(len(block))
                    if len(received) > largest:
                        raise ValueError("larger than WikiText-2")
                    if left.is_set():
                        break
            outcome.set_result(bytes(received))
        except BaseException as error:  # for the thread that waits
            outcome.set_exception(error)

    end = time.monotonic() + seconds
    with tqdm(desc="WikiText-2", unit="B", unit_scale=True, leave=False) as bar:
        threading.Thread(target=receive, daemon=True).start()
        try:
            while not outcome.done():
                if time.monotonic() > end:
                    raise ValueError(f"too slow: {len(received):,} bytes in {seconds:.3g} seconds")
                wait([outcome], 0.1)  # not longer: on Windows, Ctrl-C does not end a wait
        finally:
            left.set()
    return outcome.result()


def without_password(url: str) -> str:
    """An address that can be shown, and kept in a notebook."""
    return re.sub(r"(?<=//)[^/@]*@", "", url)


def in_few_words(error: Exception) -> str:
    """Why a source failed, for the message that lists all sources."""
    if isinstance(error, requests.HTTPError):
        return f"HTTP status {error.response.status_code}"
    known = {
        requests.exceptions.ChunkedEncodingError: "the download broke off",
        requests.exceptions.ContentDecodingError: "what it sends cannot be decompressed",
        requests.exceptions.SSLError: "its certificate is not trusted here (a proxy that signs?)",
        requests.exceptions.ProxyError: "the proxy does not answer",
        requests.exceptions.TooManyRedirects: "it leads from address to address without end",
    }
    for kind, words in known.items():
        if isinstance(error, kind):
            return words
    if not isinstance(error, requests.RequestException):
        return str(error)
    if isinstance(error, ValueError):
        return "not a web address"
    return "no answer in time" if "timed out" in str(error) else "no connection"
