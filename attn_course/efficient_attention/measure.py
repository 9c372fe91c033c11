"""What a call costs, and how the cost grows with the length."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import NamedTuple

import torch

from attn_course.common.measuring import (
    count_flops,
    measure_seconds,
    peak_bytes,
)


class Cost(NamedTuple):
    """What a call costs."""

    seconds: float  # the fastest of several calls
    peak: int  # the most bytes held at one time, inputs not counted
    flops: int  # additions and multiplications in matrix products


def measure(
    functions: Mapping[Hashable, Callable[[], object]],
    repeats: int = 3,
    *,
    device: torch.device | str = "cpu",
) -> dict[Hashable, Cost]:
    """Measure calls: seconds, peak bytes, and FLOPs of matrix products.

    Args:
        functions: what to call, under any names.
        repeats, device: as of ``measure_seconds``.

    Raises:
        ValueError: if ``repeats`` is below 1.
    """
    seconds = measure_seconds(functions, repeats, device=device)
    return {
        name: Cost(seconds[name], peak_bytes(function), count_flops(function))
        for name, function in functions.items()
    }


def fit_power_law(lengths: Sequence[float], amounts: Sequence[float]) -> float:
    """Fit ``amount = c * length^a`` and return the exponent a.

    On logarithmic scales that is a line, fitted by least squares; a is its
    slope.

    Raises:
        ValueError: if there are fewer than two lengths, not as many amounts,
            or a number that is not above 0.
    """
    if len(lengths) != len(amounts) or len(set(lengths)) < 2:
        raise ValueError(
            "lengths, amounts: expected two or more of each, equally many, "
            f"got {len(lengths)} and {len(amounts)}"
        )
    if min(*lengths, *amounts) <= 0:
        raise ValueError("lengths, amounts: expected numbers above 0")
    x = torch.tensor(lengths, dtype=torch.float64).log()
    y = torch.tensor(amounts, dtype=torch.float64).log()
    x = x - x.mean()
    return ((x @ (y - y.mean())) / (x @ x)).item()
