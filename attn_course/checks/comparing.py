"""Compare results, and say in a learner's words how they differ."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

DIFFER = "the numbers differ"
Pairs = Sequence[tuple[object, object]]  # what was found, what is right


def numbers(value: object) -> Tensor:
    """Return a result's numbers as an ordinary tensor on the CPU.

    Raises:
        ValueError: with words for the learner, if it is none of the kind.
    """
    if not isinstance(value, Tensor):
        try:
            value = torch.as_tensor(np.asarray(value))
        except Exception:
            raise ValueError(f"expected numbers, got {kind(value)}") from None
    elif value.is_nested:
        raise ValueError("expected an ordinary tensor, got a nested one")
    elif value.layout != torch.strided:
        raise ValueError(
            "expected an ordinary tensor, got a sparse one: add .to_dense()"
        )
    elif value.is_meta:
        raise ValueError(
            "expected numbers, got a tensor on the meta device, which has a "
            "shape and no numbers"
        )
    if value.is_complex():
        raise ValueError("expected real numbers, got complex ones")
    try:
        return value.detach().cpu().double()
    except Exception:
        raise ValueError(f"expected numbers, got {kind(value)}") from None


def differs(result: object, expected: object, tolerance: float) -> str:
    """Say in words how a result differs from the right one, or nothing."""
    if isinstance(expected, tuple):
        if not isinstance(result, (tuple, list)):
            return f"expected {len(expected)} results, got {kind(result)}"
        if len(result) != len(expected):
            return f"expected {len(expected)} results, got {len(result)}"
        for number, (one, wanted) in enumerate(zip(result, expected), 1):
            problem = differs(one, wanted, tolerance)
            if problem:
                return f"result {number}: {problem}"
        return ""
    problem = _other_kind(result, expected)
    if problem:
        return problem
    try:
        one, other = numbers(result), numbers(expected)
    except ValueError as error:
        return str(error)
    if one.shape != other.shape:
        if isinstance(expected, Tensor):
            return (
                f"expected shape {tuple(other.shape)}, got {tuple(one.shape)}"
            )
        return f"expected {count(other)}, got {count(one)}"
    if isinstance(expected, Tensor) and isinstance(result, Tensor):
        problem = _other_dtype(result, expected)
        if problem:
            return problem
    if one.isnan().any() and not other.isnan().any():
        return (
            "the result has NaN in it (not a number): look for 0/0, inf-inf, "
            "0*inf or inf/inf"
        )
    if torch.allclose(one, other, rtol=tolerance, atol=tolerance):
        return ""
    return DIFFER


def _other_kind(result: object, expected: object) -> str:
    """Say that another kind of thing is wanted: a list, not a text."""
    plain = not isinstance(result, (str, bytes, dict, set))
    if isinstance(expected, Tensor):
        right = isinstance(result, Tensor)
    elif isinstance(expected, list):
        right = plain and hasattr(result, "__len__")
    else:
        right = plain
    if right:
        return ""
    more = ""
    if isinstance(expected, Tensor) and isinstance(result, tuple):
        more = ": one tensor is asked for, not several things"
    elif isinstance(expected, Tensor) and plain and hasattr(result, "__len__"):
        more = ": torch.tensor or torch.stack makes one of it"
    return f"expected {kind(expected)}, got {kind(result)}{more}"


def _other_dtype(result: Tensor, expected: Tensor) -> str:
    if result.numel() == 0:  # torch.tensor([]) is of floats, and holds none
        return ""
    if (result.dtype == torch.bool) != (expected.dtype == torch.bool):
        return f"expected dtype {expected.dtype}, got {result.dtype}"
    if result.is_floating_point() and not expected.is_floating_point():
        return f"expected whole numbers ({expected.dtype}), got {result.dtype}"
    return ""


def alike(one: object, other: object, tolerance: float) -> bool:
    """Say whether two functions did the same: NaN is NaN, an error an error."""
    if isinstance(one, BaseException) or isinstance(other, BaseException):
        return isinstance(one, type(other)) or isinstance(other, type(one))
    if isinstance(one, (tuple, list)) and isinstance(other, tuple):
        return len(one) == len(other) and all(
            alike(a, b, tolerance) for a, b in zip(one, other)
        )
    if isinstance(one, (tuple, list)) != isinstance(other, (tuple, list)):
        return False
    a, b = read(one), read(other)
    if isinstance(a, str) or isinstance(b, str):
        return isinstance(a, str) and isinstance(b, str) and a == b
    return a.shape == b.shape and torch.allclose(
        a, b, rtol=tolerance, atol=tolerance, equal_nan=True
    )


def read(value: object) -> Tensor | str:
    """Return a result's numbers, or the words why there are none."""
    try:
        return numbers(value)
    except ValueError as error:
        return str(error)


def only_nan(result: object) -> bool:
    """Say whether a result has no number in it, so that it says little."""
    parts = result if isinstance(result, (tuple, list)) else [result]
    found = [read(part) for part in parts]
    return all(
        isinstance(x, Tensor) and x.numel() and x.isnan().all() for x in found
    )


def show_numbers(result: object, expected: object) -> str:
    """Write expected and found: all of a small result, one place of a large."""
    if isinstance(expected, tuple):
        if not isinstance(result, (tuple, list)):
            return ""
        for one, wanted in zip(result, expected):
            if differs(one, wanted, 1e-5):
                return show_numbers(one, wanted)
        return ""
    found, right = read(result), numbers(expected)
    if isinstance(found, str) or short(result) == short(expected):
        return ""
    if max(found.numel(), right.numel()) <= 9:
        return f"expected {short(expected)}, got {short(result)}"
    if found.shape != right.shape:
        return ""
    wrong = ~torch.isclose(found, right, rtol=1e-5, atol=1e-5)
    place = wrong.nonzero()[:1].tolist()
    if not place:
        return ""
    where = tuple(place[0])
    return (
        f"at {place[0]} expected {short(right[where])}, "
        f"got {short(found[where])}"
    )


def short(value: object) -> str:
    """Write a few numbers, each with four digits."""
    if isinstance(value, Tensor):
        value = value.detach().cpu().tolist()
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(short(item) for item in value) + "]"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def kind(value: object) -> str:
    """Say what kind of thing a value is; of a text, a few letters too."""
    if isinstance(value, str):
        return f"the text {value!r:.60}"
    if isinstance(value, (int, float)):
        return "a number"
    if value is None:
        return "nothing (None)"
    names = {"Tensor": "torch tensor", "ndarray": "numpy array"}
    name = type(value).__name__
    return f"a {names.get(name, name)}"


def count(tensor: Tensor) -> str:
    """Say how many numbers there are, and in which shape if it matters."""
    if tensor.dim() == 0:
        return "one number"
    if tensor.dim() == 1:
        many = "numbers" if len(tensor) != 1 else "number"
        return f"{len(tensor)} {many} in a row"
    return f"numbers of shape {tuple(tensor.shape)}"
