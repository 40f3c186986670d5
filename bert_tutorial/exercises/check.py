"""A check is a specification: a slow, plain reference, random inputs, and named near misses.

Source: the form is that of Tensor Puzzles (Rush 2022).
"""

import inspect
import textwrap
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from .guard import Outcome, TimeIsUp, as_before, run_guarded, with_settings_kept
from .wording import difference, same, what, with_names, wrong_kind

NUM_INPUTS = 16
SECONDS = 8.0  # that a function has for all inputs together
PRINTED = 500  # characters; whoever prints more is told so
Function = Callable[..., Any]


def just_call(function: Function, *arguments: Any) -> Any:
    """The plainest trial: call the function once, and look at what it returns."""
    return function(*arguments)


@dataclass(frozen=True, kw_only=True)
class Specification:
    """What a right function does.

    Attributes:
        reference: The definition, slow and plain. Its parameters name the inputs in messages.
        inputs: From a size (1, 1, 2, 2, ...) and a generator to arguments. The same generator state
            gives the same arguments.
        trial: What is done with a function and its arguments, and what is seen by it: an answer, or
            a table of several things. Two functions are alike if the same is seen. It may call the
            function several times; where the function draws at random, it says what must hold of
            every draw.
        seconds: How long a function may take for all inputs together.
    """

    reference: Function
    inputs: Callable[[int, torch.Generator], tuple]
    trial: Callable[..., Any] = just_call
    seconds: float = SECONDS

    def arguments(self, number: int) -> tuple:
        """Input `number`, built anew each time; they grow."""
        return self.inputs(1 + number // 2, torch.Generator().manual_seed(number))

    def see(self, function: Function, number: int) -> Any:
        """What is seen of a function on input `number`."""
        return self.trial(function, *self.arguments(number))


@dataclass(frozen=True)
class Verdict:
    """What a check says; shown as its text."""

    is_right: bool
    text: str
    near_miss: str | None = None  # the message of the near miss that it is

    def __repr__(self):
        return self.text


class Problem(Exception):
    """Something that is said of a function, whatever it computes."""


@dataclass(frozen=True)
class Check:
    """Compares a function with its specification; call it with the function.

    Attributes:
        specification, solution, near_misses: As in `make_check`.
    """

    specification: Specification
    solution: Function
    near_misses: dict[str, Function]

    def __call__(self, function: Function) -> Verdict:
        """Try a function, and say whether it is right, or what is off. Shows no solution."""
        if not callable(function):
            return Verdict(False, wrap(f"This is {what(function)}, but must be a function."))
        seen: list[Any] = []
        outcome = run_guarded(lambda: self._try(function, seen), self.specification.seconds)
        with as_before(), torch.enable_grad():
            verdict = self._judge(function, list(seen), outcome)
        if outcome.printed > PRINTED:
            note = wrap(f"It also printed {outcome.printed:,} characters; they are left out here.")
            return Verdict(verdict.is_right, f"{verdict.text}\n{note}", verdict.near_miss)
        return verdict

    def _try(self, function: Function, seen: list[Any]) -> None:
        """Try all inputs, in the thread of the function; what is seen is added to `seen`."""
        specification, function = self.specification, with_settings_kept(function)
        for number in range(NUM_INPUTS):
            arguments = specification.arguments(number)
            answer = function(*arguments)
            if not same(arguments, specification.arguments(number)):
                raise Problem("changes what it is given: work on a copy, as .clone() makes one")
            expected = specification.reference(*specification.arguments(number))
            if problem := wrong_kind(answer, expected):
                raise Problem(problem)
            seen.append(specification.see(function, number))

    def _judge(self, function: Function, seen: list[Any], outcome: Outcome) -> Verdict:
        expected = [
            self.specification.see(self.specification.reference, n) for n in range(len(seen))
        ]
        wrong = [n for n in range(len(seen)) if not same(seen[n], expected[n])]
        if not wrong or outcome.is_stuck:
            if outcome.error is None and not outcome.is_late:
                return Verdict(True, f"Right, on all {len(seen)} inputs that were tried.")
            return Verdict(False, self._say(say_problem(function, outcome), len(seen)))
        smallest = wrong[0]
        shown = difference(seen[smallest], expected[smallest])
        for message, near_miss in self.near_misses.items():
            if len(seen) == NUM_INPUTS and all(
                same(seen[n], self.specification.see(near_miss, n)) for n in range(NUM_INPUTS)
            ):
                return Verdict(False, self._say(message, smallest, shown), message)
        return Verdict(False, self._say("Not right yet.", smallest, shown))

    def _say(self, sentence: str, number: int, shown: str = "") -> str:
        """A sentence, and the smallest input that shows it."""
        names = list(inspect.signature(self.specification.reference).parameters)
        given = with_names(names, self.specification.arguments(number))
        lines = [sentence, f"Smallest input that shows it: {given}."]
        if shown:
            lines.append(f"Seen there: {shown}.")
        return "\n".join(map(wrap, lines))


def make_check(
    specification: Specification, solution: Function, near_misses: dict[str, Function]
) -> Check:
    """Make a check from what is right, and from what is nearly right.

    Args:
        specification: What a right function does.
        solution: The worked answer. A check never shows it.
        near_misses: By what is said of it, a function that is wrong in a way that people take. The
            unfixed code is one of them.

    Returns:
        What is called with a learner's function, and gives a `Verdict`.
    """
    return Check(specification, solution, near_misses)


def wrap(text: str) -> str:
    """A text in lines of at most 100 characters; no word is cut."""
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False)


def say_problem(function: Function, outcome: Outcome) -> str:
    """One sentence on code that gave no answer.

    Args:
        function: The learner's function.
        outcome: Of running it; it raised something, or was too late.
    """
    if outcome.is_stuck:
        return "It does not end, and could not be stopped: restart the kernel."
    error = outcome.error
    if outcome.is_late or isinstance(error, TimeIsUp):
        return "It did not end in time: does it loop for ever?"
    if isinstance(error, Problem):
        return f"It {error}" + ("" if str(error).endswith("?") else ".")
    said = traceback.format_exception_only(error)[-1].strip().splitlines()[0]
    return f"It raises {said[:200]}{at_line(function, error)}."


def at_line(function: Function, error: BaseException) -> str:
    """Where in a function an error arose, as in " in its line 3"; nothing if it is not there."""
    code = getattr(function, "__code__", None)
    frames = [f for f in traceback.walk_tb(error.__traceback__) if f[0].f_code is code]
    return f" in its line {frames[-1][1] - code.co_firstlineno + 1}" if frames else ""
