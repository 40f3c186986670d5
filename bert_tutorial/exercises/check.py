"""A check is a specification: a slow, plain definition, random inputs, and named near misses.

Source: the form is that of Tensor Puzzles (Rush 2022).
"""

import math
import numbers
import operator
import textwrap
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from inspect import signature
from itertools import islice
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..text.vocabulary import Vocab
from .guard import Problem, run_apart

NUM_INPUTS = 16
LONGEST = 120  # characters of a value that is written out
PRINTED = 500  # characters; whoever prints more is told so
Function = Callable[..., Any]


class Verdict(NamedTuple):
    """What a check says; shown as its text."""

    is_right: bool
    text: str
    near_miss: str | None = None  # the sentence of the near miss that it is

    def __repr__(self):
        return self.text


@dataclass
class Check:
    """Compares a function with a definition; call it with the function.

    `trial` tries a function with arguments, and returns what is seen of it: what the function
    returns, or a table of several things in words. No check shows its solution.
    """

    definition: Function  # what is right, slow and plain; its parameters name the inputs
    inputs: Callable[[int, torch.Generator], tuple]  # from a size (1, 1, 2, 2, ...) to arguments
    solution: Function
    trial: Function = operator.call
    near_misses: dict[str, Function] = field(default_factory=dict)
    seconds: float = 8.0  # for all inputs together; a right one takes less than one

    def tell_apart(self, *near_misses: str | Function) -> Self:
        """Take sentences, each with the wrong function that it is about; the notebook's first."""
        self.near_misses = dict(zip(near_misses[::2], near_misses[1::2], strict=True))
        return self

    def __call__(self, function: Function) -> Verdict:
        """Try a function, and say whether it is right, or what is off."""
        if not callable(function):
            return Verdict(False, f"This is {_kind(function)}, but must be a function.")
        expected, failed, _ = run_apart(lambda: self.see(self.definition), seconds=60)
        if failed:
            raise RuntimeError(f"the check itself does not work here: {failed}")
        seen, problem, printed = run_apart(lambda: self.see(function), self.seconds)
        wrong = [number for number, value in enumerate(seen) if not same(value, expected[number])]
        near_miss = self.find_near_miss(seen) if wrong and len(seen) == NUM_INPUTS else None
        if wrong:
            shown = f"Seen there: {_difference(seen[wrong[0]], expected[wrong[0]])}."
            lines = [near_miss or "Not right yet.", self.say_input(wrong[0]), shown]
        elif problem:
            lines = [problem, self.say_input(len(seen))]
        else:
            lines = [f"Right, on all {len(seen)} inputs that were tried."]
        if printed > PRINTED:
            lines.append(f"It also printed {printed:,} characters; they are left out here.")
        is_right = not wrong and not problem
        return Verdict(is_right, "\n".join(map(wrap, lines)), near_miss)

    def find_near_miss(self, seen: list[Any]) -> str | None:
        """The sentence of the near miss of which the same is seen."""
        misses = self.near_misses.items()
        found = (text for text, miss in misses if all(map(same, seen, self.see(miss))))
        return next(iter(run_apart(lambda: islice(found, 1), seconds=60).values), None)

    def arguments(self, number: int) -> tuple:
        """Input `number`, built anew each time; they grow."""
        return self.inputs(1 + number // 2, torch.Generator().manual_seed(number))

    def see(self, function: Function) -> Iterator[Any]:
        """Try a function, and yield what is seen of it on each input; may raise a `Problem`."""
        dtype, before = torch.get_default_dtype(), _shared()

        def tried(*arguments: Any) -> Any:
            try:
                answer = function(*arguments)
            except BaseException as error:
                raise Problem(f"raises {_error(function, error)}") from error
            finally:
                torch.set_default_dtype(dtype)
                changed = _put_back(before)
            if changed:
                raise Problem(f"changes {changed} for all other code: it is put back as it was")
            return answer

        for number in range(NUM_INPUTS):
            arguments = self.arguments(number)
            answer = tried(*arguments)
            if not same(plain(arguments), plain(self.arguments(number))):
                raise Problem("changes what it is given: work on a copy, as .clone() makes one")
            if answer is None:
                raise Problem("returns None: is there a return?")
            kind, right = _kind(answer), _kind(self.definition(*self.arguments(number)))
            if kind != right:
                raise Problem(f"returns {kind}, but must return {right}")
            try:
                seen = plain(self.trial(tried, *self.arguments(number)))
            except (TypeError, ValueError, RuntimeError, LookupError, AttributeError) as error:
                said = f"returns what the check cannot use: {_error(None, error)}"
                raise Problem(said) from error
            yield seen

    def say_input(self, number: int) -> str:
        """An input with the names of its parts; generators are left out."""
        given = zip(signature(self.definition).parameters, self.arguments(number), strict=True)
        pairs = [f"{n} = {brief(v)}" for n, v in given if not isinstance(v, torch.Generator)]
        return f"Smallest input that shows it: {', '.join(pairs)}."


def wrap(text: str) -> str:
    """A text in lines of at most 100 characters; no word is cut."""
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False)


def _error(function: Function, error: BaseException) -> str:
    """An error in a line, with the line of the function in which it arose, if it is there."""
    message = [line[:200] for line in str(error).splitlines() if line]
    code = getattr(function, "__code__", None)
    frames = [f for f in traceback.walk_tb(error.__traceback__) if f[0].f_code is code]
    place = f" in its line {frames[-1][1] - code.co_firstlineno + 1}" if frames else ""
    return ": ".join([type(error).__name__, *message[:1]]) + place


def _shared() -> dict[tuple[Any, str], Any]:
    """The functions of torch and math, by where they are and their name."""
    owners = math, torch, Tensor, F
    return {(o, name): value for o in owners for name, value in vars(o).items() if callable(value)}


def _put_back(before: dict[tuple[Any, str], Any]) -> str:
    """Undo what was changed there; the name of one such function, or ""."""
    now, changed = _shared(), ""
    for key in [key for key in before | now if before.get(key) is not now.get(key)]:
        if not str(getattr(now.get(key), "__module__", "")).startswith("torch"):  # its own doing
            owner, name = key
            changed = f"{owner.__name__}.{name}"
            setattr(owner, name, before[key]) if key in before else delattr(owner, name)
    return changed


def _kind(value: Any) -> str:
    if isinstance(value, Tensor) and value.dim():
        whole = "" if value.is_floating_point() else "whole "
        return f"a tensor of {whole}numbers of shape {tuple(value.shape)}"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    is_number = isinstance(plain(value), float)
    return "a number" if is_number else f"a value of type {type(value).__name__}"


def plain(value: Any) -> Any:
    """What a value holds, as lists and floats, which agree if it agrees.

    Of networks the weights count, and of vocabularies the entries. Generators are there to be used.
    """
    if isinstance(value, nn.Module | Vocab):
        value = value.itos if isinstance(value, Vocab) else list(value.parameters())
    elif isinstance(value, Tensor):
        return value.detach().to_dense().double().tolist()
    elif isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, numbers.Real) and not isinstance(value, bool):  # numpy's too
        return float(value)
    if isinstance(value, torch.Generator):
        return None
    return value if value is None or type(value) in (bool, str) else repr(value)


def same(one: Any, other: Any) -> bool:
    """Whether two plain values agree, but for rounding."""
    if isinstance(one, list) and isinstance(other, list):
        return one == other or (len(one) == len(other) and all(map(same, one, other)))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-4, abs_tol=1e-6)
    return type(one) is type(other) and one == other


def _difference(got: Any, expected: Any) -> str:
    """What came and what should have; of a table, the first line that differs."""
    if isinstance(expected, dict):
        key = next(key for key in expected if got[key] != expected[key])
        words = {True: "yes", False: "no"}
        got, expected = (words.get(seen[key], seen[key]) for seen in (got, expected))
        return f"{key}: {got} (should be: {expected})"
    return f"{brief(got)} (should be: {brief(expected)})"


def brief(value: Any) -> str:
    """A value in a few words.

    >>> brief(torch.tensor([1.0, 0.25]))
    '[1, 0.25]'
    """
    if isinstance(value, nn.Module):
        return f"a {type(value).__name__} in {'training' if value.training else 'evaluation'} mode"
    if isinstance(value, Vocab):
        return f"a Vocab of {len(value)} entries: {brief(value.itos)}"
    value = plain(value)
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() else f"{value:.4g}"
    text = f"[{', '.join(map(brief, value))}]" if isinstance(value, list) else repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
