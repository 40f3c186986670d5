"""Say in words what an answer is, and how two differ."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..text.vocabulary import Vocab

MOST_NUMBERS = 16  # of a tensor that is written out
ABSOLUTE, RELATIVE = 1e-6, 1e-4  # smaller differences are rounding


def brief(value: Any) -> str:
    """A value in a few words; small tensors are written out.

    >>> brief(torch.tensor([1.0, 0.25]))
    '[1, 0.25]'
    """
    if isinstance(value, Tensor):
        if value.numel() > MOST_NUMBERS:
            return f"a tensor of shape {tuple(value.shape)}"
        return brief(value.detach().tolist())
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Vocab):
        some = ", ".join(value.itos[:10])
        return f"a Vocab of {len(value)} entries ({some}{', …' if len(value) > 10 else ''})"
    if isinstance(value, nn.Module):
        return f"a {type(value).__name__} in {'training' if value.training else 'evaluation'} mode"
    if isinstance(value, torch.Generator):
        return "a generator"
    if isinstance(value, list | tuple):
        text = ", ".join(brief(item) for item in value)
        text = f"[{text}]" if isinstance(value, list) else f"({text})"
        return text if len(text) < 200 else f"{len(value)} values"
    text = repr(value)
    return text if len(text) < 200 else f"{text[:199]}…"


def what(value: Any) -> str:
    """The kind of a value, with its article."""
    if value is None:
        return "None"
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def is_number(value: Any) -> bool:
    """A number, plain or as a tensor without dimensions."""
    if isinstance(value, Tensor):
        return value.dim() == 0
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_whole(value: Tensor) -> bool:
    """Whether a tensor holds integers or truth values."""
    return not value.is_floating_point() and not value.is_complex()


def wrong_kind(got: Any, expected: Any) -> str | None:
    """Say why an answer cannot be right, whatever it is: its type, its shape, or NaN.

    Args:
        got: What came.
        expected: An answer of the right kind.

    Returns:
        Half a sentence that begins with a verb; None if the kind is right.
    """
    if got is None:
        return "returns None: is there a return?"
    if is_number(expected):
        if not is_number(got):
            shape = f" of shape {tuple(got.shape)}" if isinstance(got, Tensor) else ""
            return f"returns {what(got)}{shape}, but must return a number"
        if math.isnan(float(got)) and not math.isnan(float(expected)):
            return "returns NaN, which is not a number"
    elif isinstance(expected, Tensor):
        if not isinstance(got, Tensor):
            return f"returns {what(got)}, but must return a Tensor"
        if got.shape != expected.shape:
            shapes = f"{tuple(got.shape)}, but it must be {tuple(expected.shape)}"
            return f"returns a tensor of shape {shapes}"
        if is_whole(expected) and not is_whole(got):
            return f"returns numbers of type {got.dtype}, but they must be whole"
        if got.isnan().any() and not expected.isnan().any():
            return "returns NaN, which is not a number"
    elif isinstance(expected, list | tuple):
        if not isinstance(got, list | tuple):
            return f"returns {what(got)}, but must return {what(list(expected))}"
        if len(got) != len(expected):
            return f"returns {len(got)} values, but must return {len(expected)}"
        for number, (g, e) in enumerate(zip(got, expected, strict=True)):
            if (problem := wrong_kind(g, e)) and not (isinstance(g, list) and isinstance(e, list)):
                return f"returns a list whose item {number} is wrong: it {problem}"
    elif not isinstance(got, type(expected)):
        return f"returns {what(got)}, but must return {what(expected)}"
    return None


def same(one: Any, other: Any) -> bool:
    """Whether two values agree, but for rounding.

    Of networks the weights count, and of vocabularies the entries. Generators are always the same:
    they are there to be used.
    """
    if isinstance(one, Tensor) or isinstance(other, Tensor):
        one, other = torch.as_tensor(one), torch.as_tensor(other)
        if one.shape != other.shape:
            return False
        one, other = one.detach().double(), other.detach().double()
        return torch.allclose(one, other, RELATIVE, ABSOLUTE, equal_nan=True)
    if isinstance(one, nn.Module):
        return all(same(p, q) for p, q in zip(one.parameters(), other.parameters(), strict=True))
    if isinstance(one, torch.Generator):
        return True
    if isinstance(one, Vocab):
        return one.itos == other.itos and one.counts == other.counts
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if is_number(one) and is_number(other):
        return math.isclose(one, other, rel_tol=RELATIVE, abs_tol=ABSOLUTE) or one == other
    return type(one) is type(other) and one == other


def difference(got: Any, expected: Any) -> str:
    """What came and what should have; of several things seen, the first one that differs."""
    if isinstance(expected, dict):
        key = next(key for key in expected if not same(got[key], expected[key]))
        return f"{key}: {plainly(got[key])} (should be: {plainly(expected[key])})"
    return f"{brief(got)} (should be: {brief(expected)})"


def plainly(value: Any) -> str:
    """As `brief`, with words for truth values and lists."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return brief(value)


def with_names(names: Sequence[str], values: Sequence[Any]) -> str:
    """Arguments with their names, as in "step = 3, highest = 0.01"; generators are left out."""
    pairs = zip(names, values, strict=True)
    return ", ".join(f"{n} = {brief(v)}" for n, v in pairs if not isinstance(v, torch.Generator))
