"""Who may attend to whom, said by a function of positions."""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

from attn_course.common.arguments import check_at_least

# mask_mod(q_idx, kv_idx) is True where the query may attend to the key.
MaskMod = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class SlidingWindow:
    """Allow keys from ``before`` positions back to ``after`` ahead.

    The first ``global_tokens`` positions see, and are seen by, every position
    that the window's direction allows (with ``after=0`` nothing sees ahead).
    ``SlidingWindow(w - 1)`` is Mistral's window of w keys.

    ``SlidingWindow(...)(q_idx, kv_idx)`` is True where that query may attend
    to that key.

    Source: Beltagy et al. (2020), "Longformer", section 3.1; Jiang et al.
    (2023), "Mistral 7B", section 2.
    """

    before: int
    after: int = 0
    global_tokens: int = 0

    def __post_init__(self) -> None:
        """Refuse numbers below 0.

        Raises:
            ValueError: if a number is negative.
        """
        check_at_least(
            0,
            before=self.before,
            after=self.after,
            global_tokens=self.global_tokens,
        )

    def __call__(self, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        """Say of each pair of positions whether it is allowed."""
        back = q_idx - kv_idx
        allowed = (back <= self.before) & (-back <= self.after)
        if self.global_tokens:
            allowed = allowed | (kv_idx < self.global_tokens)
            allowed = allowed | (q_idx < self.global_tokens)
            if self.after == 0:
                allowed = allowed & (back >= 0)
        return allowed

    def allows_block(self, rows: slice, columns: slice) -> bool | None:
        """Say of a block, without looking inside: all, nothing, or neither."""
        farthest = rows.stop - 1 - columns.start  # back, from query to key
        nearest = rows.start - columns.stop + 1
        if farthest <= self.before and -nearest <= self.after:
            return True
        if self.after == 0 and farthest < 0:
            return False
        outside = nearest > self.before or -farthest > self.after
        if outside and min(rows.start, columns.start) >= self.global_tokens:
            return False
        return None


CAUSAL = SlidingWindow(before=sys.maxsize)


def create_mask(
    mask_mod: MaskMod, q: int, k: int | None = None, *, device: object = None
) -> Bool[Tensor, "q k"]:
    """Write a function of positions out as a mask ``(q, k)``.

    To look at it, or to compare. k is q by default.
    """
    q_idx = torch.arange(q, device=device)[:, None]
    kv_idx = torch.arange(q if k is None else k, device=device)
    return mask_mod(q_idx, kv_idx).expand(len(q_idx), len(kv_idx))
