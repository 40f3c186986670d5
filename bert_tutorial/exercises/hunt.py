"""All exercises with a check, by name: try an answer, read a solution."""

import html
import inspect
import textwrap

from .attention_bytes import CHECK_BYTES
from .bugs_loss import CHECK_ACCURACY, CHECK_LABEL_LOSS, CHECK_SLOT_LOSS
from .bugs_masking import CHECK_EPOCHS, CHECK_RANDOM_WORDS
from .bugs_network import CHECK_ATTENTION, CHECK_ENCODING, CHECK_RATE
from .bugs_text import CHECK_IDS, CHECK_LABELS
from .check import Check, Function, wrap
from .progress import mark_solved, progress_line
from .vocabulary_cut import CHECK_CHANCE

CHECKS = {
    "chance": CHECK_CHANCE,
    "memory": CHECK_BYTES,
    "mean": CHECK_SLOT_LOSS,
    "table": CHECK_ACCURACY,
    "dropout": CHECK_ENCODING,
    "special": CHECK_RANDOM_WORDS,
    "frozen": CHECK_EPOCHS,
    "rate": CHECK_RATE,
    "padding": CHECK_ATTENTION,
    "ignored": CHECK_LABEL_LOSS,
    "leak": CHECK_LABELS,
    "vocabulary": CHECK_IDS,
}


def find_check(name: str) -> Check:
    """The check of an exercise.

    Raises:
        KeyError: There is none of this name; the message lists them.
    """
    if name not in CHECKS:
        raise KeyError(f"{name!r} has no check; these have one: {', '.join(CHECKS)}")
    return CHECKS[name]


def check_fix(name: str, function: Function) -> None:
    """Try a function, and print whether it is right or what is off; what is solved is remembered.

    Args:
        name: Of the exercise, as in `CHECKS`.
        function: Yours.

    Raises:
        KeyError: There is no such exercise.
    """
    verdict = find_check(name)(function)
    print(verdict)
    if verdict.is_right:
        try:
            mark_solved(name)
        except OSError as error:
            print(wrap(f"This cannot be remembered: {error}."))
        else:
            print(progress_line())


class Folded:
    """Source code that is shown once its line is clicked, also without a kernel."""

    def __init__(self, title: str, code: str):
        self.title, self.code = title, code

    def _repr_html_(self) -> str:
        return (
            f"<details><summary>{html.escape(self.title)}</summary>"
            f"<pre><code>{html.escape(self.code)}</code></pre></details>"
        )

    def __repr__(self):
        return f"{self.title} (folded; print it with print(solution_of(...).code))"


def solution_of(name: str) -> Folded:
    """The worked solution of an exercise, folded away: the very function that the tests run.

    Args:
        name: Of the exercise, as in `CHECKS`.

    Returns:
        Shown in a notebook as one line that opens when it is clicked.

    Raises:
        KeyError: There is no such exercise.
    """
    code = textwrap.dedent(inspect.getsource(find_check(name).solution))
    return Folded("Show the solution", code.rstrip())
