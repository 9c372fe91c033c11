"""Compare results, and say in a learner's words how they differ."""

import torch
from torch import Tensor


def differs(result: object, expected: object, tolerance: float) -> str:
    """Say in words how a result differs from the right one, or nothing."""
    if isinstance(expected, tuple):
        if not isinstance(result, (tuple, list)):
            return (
                f"expected {len(expected)} results, "
                f"got one {type(result).__name__}"
            )
        if len(result) != len(expected):
            return f"expected {len(expected)} results, got {len(result)}"
        for number, (one, wanted) in enumerate(zip(result, expected), 1):
            problem = differs(one, wanted, tolerance)
            if problem:
                return f"result {number}: {problem}"
        return ""
    if not isinstance(expected, Tensor):
        if isinstance(expected, (bool, str)) or expected is None:
            same = isinstance(result, type(expected)) and result == expected
            return "" if same else f"expected {expected!r}, got {result!r}"
        expected = torch.as_tensor(expected, dtype=torch.float64)
        if not isinstance(result, Tensor):
            try:
                result = torch.as_tensor(result, dtype=torch.float64)
            except (TypeError, ValueError, RuntimeError):
                return f"expected a number, got {type(result).__name__}"
    if not isinstance(result, Tensor):
        return f"expected a torch tensor, got {type(result).__name__}"
    if result.shape != expected.shape:
        return f"expected shape {tuple(expected.shape)}, got {tuple(result.shape)}"
    if (result.dtype == torch.bool) != (expected.dtype == torch.bool):
        return f"expected dtype {expected.dtype}, got {result.dtype}"
    whole = not (expected.is_floating_point() or expected.is_complex())
    if whole and (result.is_floating_point() or result.is_complex()):
        return f"expected whole numbers ({expected.dtype}), got {result.dtype}"
    one, other = result.detach().double(), expected.detach().double()
    if one.isnan().any() and not other.isnan().any():
        return (
            "the result has NaN in it (not a number): look for 0/0, inf-inf "
            "or 0*inf"
        )
    if torch.allclose(one, other, rtol=tolerance, atol=tolerance):
        return ""
    return "the numbers differ"


def alike(one: object, other: object, tolerance: float) -> bool:
    """Say whether two functions did the same, an error like an error."""
    raised = isinstance(one, Exception), isinstance(other, Exception)
    if any(raised):
        return all(raised)
    return not _differs_at_all(one, other, tolerance)


def _differs_at_all(result, wrong, tolerance) -> bool:
    """Compare with a mistake, where NaN equals NaN."""
    if isinstance(result, Tensor) and isinstance(wrong, Tensor):
        return result.shape != wrong.shape or not torch.allclose(
            result.detach().double(),
            wrong.detach().double(),
            rtol=tolerance,
            atol=tolerance,
            equal_nan=True,
        )
    if isinstance(wrong, tuple) and isinstance(result, (tuple, list)):
        return len(result) != len(wrong) or any(
            _differs_at_all(a, b, tolerance) for a, b in zip(result, wrong)
        )
    return bool(differs(result, wrong, tolerance))


def gradient_lost(result, expected) -> bool:
    """Say whether the oracle's result has a gradient and this one has not."""
    if isinstance(expected, tuple):
        return any(gradient_lost(a, b) for a, b in zip(result, expected))
    return (
        isinstance(expected, Tensor)
        and expected.requires_grad
        and not (isinstance(result, Tensor) and result.requires_grad)
    )


def show_numbers(where: str, result, expected) -> str:
    """Show got and expected, if they are small enough to read."""
    if isinstance(expected, tuple):
        if not isinstance(result, (tuple, list)) or len(result) != len(
            expected
        ):
            return ""
        for one, wanted in zip(result, expected):
            if differs(one, wanted, 1e-5):
                return show_numbers(where, one, wanted)
        return ""
    if not isinstance(expected, Tensor) or not isinstance(result, Tensor):
        return ""
    if expected.numel() > 9 or result.numel() > 9:
        return ""
    return f"\nfor {where}: expected {short(expected)}, got " + short(result)


def short(tensor: Tensor) -> str:
    """Write a small tensor with four digits."""

    def write(item) -> str:
        if isinstance(item, list):
            return "[" + ", ".join(write(i) for i in item) + "]"
        return f"{item:.4g}" if isinstance(item, float) else str(item)

    return write(tensor.detach().cpu().tolist())


def count(tensor: Tensor) -> str:
    """Say how many numbers there are, and in which shape if it matters."""
    if tensor.dim() == 0:
        return "one number"
    if tensor.dim() == 1:
        many = "numbers" if len(tensor) != 1 else "number"
        return f"{len(tensor)} {many} in a row"
    return f"numbers of shape {tuple(tensor.shape)}"
