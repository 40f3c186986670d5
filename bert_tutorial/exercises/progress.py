"""Which exercises are solved; kept in the cache, so that it survives a restart of the kernel."""

import json
from contextlib import suppress
from pathlib import Path

from ..cache import cache_dir, write_file

# By name, in the order of the notebook.
TITLES = {
    "chance": "exercise 1",
    "memory": "exercise 2",
    "mean": "bug 1",
    "table": "bug 2",
    "dropout": "bug 3",
    "special": "bug 4",
    "frozen": "bug 5",
    "rate": "bug 6",
    "padding": "bug 7",
    "ignored": "bug 8",
    "leak": "bug 9",
    "vocabulary": "bug 10",
}


def progress_path() -> Path:
    """The file that says which exercises are solved."""
    return cache_dir() / "exercises.json"


def solved() -> list[str]:
    """Names of the solved exercises, in the order of the notebook; none if the file is damaged."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        names = json.loads(progress_path().read_text("utf-8"))["solved"]
        return [name for name in TITLES if name in names]
    return []


def mark_solved(name: str) -> None:
    """Remember that an exercise is solved.

    Raises:
        KeyError: There is no such exercise.
        OSError: The file cannot be written; the message has the reason.
    """
    if name not in TITLES:
        raise KeyError(f"{name!r} is no exercise; these are: {', '.join(TITLES)}")
    _write([*solved(), name])


def reset_progress() -> None:
    """Forget all that was solved; the exercises begin anew."""
    _write([])


def progress_line() -> str:
    """How many exercises are solved, and which.

    Returns:
        As in "Solved 2 of 12: bug 1, bug 4. Next: exercise 1 ("chance")."
    """
    done = solved()
    names = ": " + ", ".join(TITLES[name] for name in done) if done else ""
    left = next((name for name in TITLES if name not in done), None)
    rest = f' Next: {TITLES[left]} ("{left}").' if left else " That is all of them."
    return f"Solved {len(done)} of {len(TITLES)}{names}.{rest}"


def _write(names: list[str]) -> None:
    content = json.dumps({"solved": list(dict.fromkeys(names))}, indent=1)
    write_file(progress_path(), content.encode())
