"""Run somebody's code where it can do no harm: it may raise, print, or never end."""

import builtins
import contextlib
import ctypes
import io
import random
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

STOPPING = 2.0  # seconds that code has to end once it was told to


class TimeIsUp(BaseException):
    """Raised inside code that runs too long; no `except Exception` catches it."""


class Counter(io.TextIOBase):
    """Takes what is printed, keeps its length, and throws it away."""

    def __init__(self):
        self.length = 0

    def writable(self) -> bool:
        """True: it can be printed to."""
        return True

    def write(self, text: str) -> int:
        """Count some text."""
        self.length += len(text)
        return len(text)


@dataclass
class Outcome:
    """What came of running some code."""

    value: Any = None  # what it returned
    error: BaseException | None = None  # what it raised
    printed: int = 0  # characters
    is_late: bool = False  # it did not end in time
    is_stuck: bool = False  # and could not be stopped


def no_input(*prompt: Any) -> str:
    """In the place of `input`: nobody can answer while a check runs.

    Raises:
        EOFError: Always.
    """
    raise EOFError("input() has nobody to ask here")


@contextlib.contextmanager
def nobody_to_ask() -> Iterator[None]:
    """For a while `input` raises at once."""
    before, builtins.input = builtins.input, no_input
    try:
        yield
    finally:
        builtins.input = before


@contextlib.contextmanager
def as_before() -> Iterator[None]:
    """Afterwards random numbers go on where they were, with PyTorch's settings of before."""
    plain, numpys = random.getstate(), np.random.get_state()
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        try:
            yield
        finally:
            random.setstate(plain)
            np.random.set_state(numpys)
            torch.set_default_dtype(dtype)
            if torch.get_num_threads() != threads:
                torch.set_num_threads(threads)


def with_settings_kept(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, after each call of which PyTorch's settings are what they were."""

    def call(*arguments: Any) -> Any:
        dtype = torch.get_default_dtype()
        with torch.enable_grad():
            try:
                return function(*arguments)
            finally:
                torch.set_default_dtype(dtype)

    return call


def run_guarded(code: Callable[[], Any], seconds: float) -> Outcome:
    """Run code in a thread of its own, and end it when its time is up.

    Gradients are on in it, whatever the caller's mode. What it prints is thrown away.

    Args:
        code: Called without arguments.
        seconds: How long it may take.

    Returns:
        What it returned or raised. A KeyboardInterrupt of the caller ends the code too, and is
        raised.
    """
    outcome, printed = Outcome(), Counter()

    def work() -> None:
        try:
            outcome.value = code()
        except BaseException as error:
            outcome.error = error

    thread = threading.Thread(target=work, name="exercise", daemon=True)
    with (
        as_before(),
        nobody_to_ask(),
        warnings.catch_warnings(),
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
    ):
        warnings.simplefilter("ignore")
        try:
            thread.start()
            thread.join(seconds)
        finally:
            outcome.is_late = thread.is_alive()
            outcome.is_stuck = not end(thread)
    outcome.printed = printed.length
    return outcome


def end(thread: threading.Thread) -> bool:
    """Raise TimeIsUp in a thread until it ends; False if it does not.

    Code in C, such as a long sleep, is not reached before it returns.
    """
    latest = time.monotonic() + STOPPING
    while thread.is_alive() and time.monotonic() < latest:
        number = ctypes.c_ulong(thread.ident)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(number, ctypes.py_object(TimeIsUp))
        thread.join(0.05)
    return not thread.is_alive()
