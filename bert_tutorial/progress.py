"""What is said while somebody waits: a line that counts, in a notebook or a terminal."""

import time
from collections.abc import Collection, Iterator
from typing import TypeVar

from tqdm import tqdm

from .notebook import TextDisplay, in_notebook

UPDATE_EVERY = 0.3  # seconds

T = TypeVar("T")


def track(items: Collection[T], what: str) -> Iterator[T]:
    """Go through items, and say how far it has come.

    Args:
        items: What takes long to go through.
        what: What is being done, such as "reading 32 words".

    Yields:
        The items. In a notebook a line stands under the cell; it begins and ends without numbers,
        because nbval compares its first form with the stored last one. In a terminal a bar comes
        after a second, and goes at the end.
    """
    if not in_notebook():
        yield from tqdm(items, what, delay=1, leave=False)
        return
    line, total, shown = TextDisplay(), len(items), time.monotonic()
    line.show(what)
    for number, item in enumerate(items):
        if time.monotonic() > shown + UPDATE_EVERY:
            line.show(f"{what}: {number} of {total}")
            shown = time.monotonic()
        yield item
    line.show(what)
