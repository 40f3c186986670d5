"""Check an answer, read a solution, see what is solved."""

import html
import inspect
from pathlib import Path

from IPython.display import HTML

from ..cache import cache_dir, write_file
from .check import Check, Function, wrap
from .specifications import CHECKS

TITLES = {name: f"exercise {n}" if n < 3 else f"bug {n - 2}" for n, name in enumerate(CHECKS, 1)}


def find_check(name: str) -> Check:
    """The check of an exercise."""
    if name not in CHECKS:
        raise KeyError(f"{name!r} has no check; these have one: {', '.join(CHECKS)}")
    return CHECKS[name]


def check_fix(name: str, function: Function) -> None:
    """Try a function, and print whether it is right or what is off; remember what is solved."""
    verdict = find_check(name)(function)
    print(verdict)
    if verdict.is_right:
        try:
            write_file(progress_dir() / name, b"")
            print(progress_line())
        except OSError as error:
            print(wrap(f"This cannot be remembered: {error}."))


def progress_dir() -> Path:
    """A folder with an empty file for each exercise that is solved."""
    return cache_dir() / "exercises"


def reset_progress() -> None:
    """Forget all that was solved; the exercises begin anew."""
    for name in CHECKS:
        (progress_dir() / name).unlink(missing_ok=True)


def progress_line() -> str:
    """How many exercises are solved, which, and the next one."""
    done = [name for name in CHECKS if (progress_dir() / name).is_file()]
    left = [name for name in CHECKS if name not in done]
    names = ": " + ", ".join(TITLES[name] for name in done) if done else ""
    rest = f'Next: {TITLES[left[0]]} ("{left[0]}").' if left else "That is all of them."
    return f"Solved {len(done)} of {len(CHECKS)}{names}. {rest}"


def solution_of(name: str) -> HTML:
    """The worked solution of an exercise, folded away: the very function that the tests run."""
    code = html.escape(inspect.getsource(find_check(name).solution).rstrip())
    title = "<summary>Show the solution</summary>"
    return HTML(f"<details>{title}<pre><code>{code}</code></pre></details>")
