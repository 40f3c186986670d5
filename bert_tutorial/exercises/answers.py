"""Check an answer, read a solution, see what is solved."""

import getpass
import html
import inspect
import os
from pathlib import Path

from IPython.display import HTML

from ..cache import cache_dir, write_file
from .check import Check, Function, wrap
from .specifications import CHECKS

# Two exercises, ten bugs, two exercises.
TITLES = {x: f"bug {n - 2}" if 2 < n < 13 else f"exercise {n}" for n, x in enumerate(CHECKS, 1)}


def find_check(name: str) -> Check:
    """The check of an exercise."""
    if name not in CHECKS:
        raise KeyError(f"{name!r} has no check; these have one: {', '.join(CHECKS)}")
    return CHECKS[name]


def check_fix(name: str, function: Function) -> None:
    """Try a function; print whether it is right or what is off, and what comes next.

    What is solved is remembered.
    """
    verdict = find_check(name)(function)
    print(verdict)
    try:
        if verdict.is_right:
            write_file(progress_dir() / name, b"")
    except OSError as error:
        print(wrap(f"This cannot be remembered: {error}."))
    print(progress_line(name, "Next:" if verdict.is_right else "Try again, or go on with"))


def progress_dir() -> Path:
    """A folder with an empty file for each solved exercise; of one user: a cache may be shared."""
    user = os.getuid() if hasattr(os, "getuid") else getpass.getuser()
    return cache_dir() / f"exercises-{user}"


def reset_progress() -> None:
    """Forget all that was solved; the exercises begin anew."""
    for name in CHECKS:
        (progress_dir() / name).unlink(missing_ok=True)


def progress_line(name: str | None = None, lead: str = "Next:") -> str:
    """How many exercises are solved, which, and the next one; behind `name`, if it is given."""
    names = list(CHECKS)
    done = [other for other in names if os.path.isfile(progress_dir() / other)]
    behind = names.index(name) + 1 if name else 0
    left = [other for other in names[behind:] + names[:behind] if other not in done]
    which = ": " + ", ".join(map(TITLES.get, done)) if done else ""
    rest = f'{lead} {TITLES[left[0]]} ("{left[0]}").' if left else "That is all of them."
    return f"Solved {len(done)} of {len(CHECKS)}{which}. {rest}"


def solution_of(name: str) -> HTML:
    """The worked solution of an exercise, folded away: the very function that the tests run."""
    code = html.escape(inspect.getsource(find_check(name).solution).rstrip())
    title = "<summary>Show the solution</summary>"
    return HTML(f"<details>{title}<pre><code>{code}</code></pre></details>")
