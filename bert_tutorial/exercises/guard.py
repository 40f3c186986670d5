"""Run somebody's code where it can do no harm: it may raise, print, leave, or never end.

On Linux it runs in a process of its own, a copy of this one: whatever it does ends with it. Other
systems cannot safely copy a process with threads; there it runs in a thread, and is told to end.
"""

import contextlib
import ctypes
import io
import json
import multiprocessing
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import torch

from ..network.model import _row_lock, in_mode

MEMORY = 4 * 2**30  # bytes that it may take besides what is in use already
LATE = "It did not end in time: does it loop for ever?"

Work = Callable[[], Iterator[Any]]  # yields what is wanted of it; in lists, words and numbers


class Problem(Exception):
    """Half a sentence on what the code did, as in "returns None"."""


class Outcome(NamedTuple):
    """What some code yielded, why it came no further, and how many characters it printed."""

    values: list[Any]
    problem: str
    printed: int


@contextlib.contextmanager
def _quiet() -> Iterator[io.StringIO]:
    """For a while what is printed is collected, nothing warns, and `input` raises."""
    nobody = mock.patch("builtins.input", side_effect=EOFError("input() has nobody to ask here"))
    with nobody, contextlib.redirect_stdout(io.StringIO()) as printed:
        with contextlib.redirect_stderr(printed), warnings.catch_warnings(action="ignore"):
            yield printed


def _send_all(work: Work, send: Callable[[Any], Any]) -> str:
    """Send what some work yields; a sentence on why it stopped, empty at its end."""
    try:
        with torch.enable_grad():
            for value in work():
                send(value)
    except Problem as problem:
        return f"It {problem}" + ("" if str(problem).endswith("?") else ".")
    except BaseException as error:
        return f"It raises {type(error).__name__}: {str(error)[:200]}."
    return ""


def in_process(work: Work, seconds: float) -> Outcome:
    """Run code in a copy of this process, which is killed in the end."""
    context, values = multiprocessing.get_context("fork"), []
    reader, writer = context.Pipe(duplex=False)

    def child() -> None:
        import resource

        def send(value: Any, kind: str = "value") -> None:
            if os.getpid() == me:  # a copy that the code made has nothing to say
                writer.send_bytes(json.dumps({kind: value}).encode())  # no code comes back

        me = os.getpid()
        os.setpgrp()  # so that what it starts can be ended too
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: with its notebook it ends
        torch.set_num_threads(1)  # this process's threads were not copied
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        send([_send_all(work, send), printed.tell()], "end")
        os._exit(0)  # without what a notebook's kernel does at its end

    process = context.Process(target=child, daemon=True)
    try:
        # In a mode of any network: so no training is in the middle of a step, or has the lock.
        with in_mode(torch.nn.Module(), False), _row_lock, _quiet() as printed:
            process.start()
        writer.close()
        latest = time.monotonic() + seconds
        while reader.poll(max(0, latest - time.monotonic())):
            said = json.loads(reader.recv_bytes())
            if "end" in said:
                return Outcome(values, *said["end"])
            values.append(said["value"])
        return Outcome(values, LATE, 0)
    except EOFError:
        return Outcome(values, "It ends the program that tries it.", 0)
    finally:
        if process.pid:
            process.kill()
            with contextlib.suppress(ProcessLookupError):  # it had no time to start a group
                os.killpg(process.pid, signal.SIGKILL)
            process.join()


def in_thread(work: Work, seconds: float) -> Outcome:
    """Run code in a thread; what is written in C, such as a long sleep, ends by itself only."""
    values, problems = [], []
    thread = threading.Thread(
        target=lambda: problems.append(_send_all(work, values.append)), daemon=True
    )
    with _quiet() as printed, torch.random.fork_rng(devices=[]):
        try:
            thread.start()
            latest = time.monotonic() + seconds
            while thread.is_alive() and time.monotonic() < latest:
                thread.join(0.1)  # on Windows, a longer wait is not interrupted
            return Outcome(list(values), [*problems, LATE][0], printed.tell())
        finally:  # where it has not ended, it ends now
            number, stop = ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(number, stop)


run_apart = in_process if sys.platform == "linux" else in_thread
