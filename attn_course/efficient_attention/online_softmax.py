"""A softmax in one pass, while its keys arrive in parts."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class OnlineSoftmaxState(NamedTuple):
    """What is known of an attention whose keys have been seen in part."""

    m: Float[Tensor, "*batch q"]  # the largest score so far
    l: Float[Tensor, "*batch q"]  # noqa: E741  sum of exp(score - m)
    acc: Float[Tensor, "*batch q v"]  # sum of exp(score - m) * value

    @property
    def log_sum_exp(self) -> Float[Tensor, "*batch q"]:
        """Return ``log sum_j exp(s_j) = m + log l``; -inf of no key."""
        return self.m + self.l.log()


def update(
    state: OnlineSoftmaxState | None,
    scores: Float[Tensor, "*batch q k"],
    value: Float[Tensor, "*batch k v"],
) -> OnlineSoftmaxState:
    """Take in more keys: one pass, and no score is needed twice.

    With ``m' = max(m, max_j s_j)``, what was summed relative to the old
    maximum m is multiplied by ``exp(m - m')``; then the new terms are added.

    Args:
        state: what is known, or None at the start.
        scores: of the new keys; -inf for a forbidden one.
        value: of the new keys.

    Source: Milakov and Gimelshein (2018), "Online normalizer calculation for
    softmax", algorithm 3; with values, Rabe and Staats (2021), "Self-attention
    does not need O(n^2) memory", section 2.
    """
    m = scores.amax(dim=-1)  # (*batch, q)
    if state is not None:
        m = torch.maximum(m, state.m)
    shift = _finite(m)
    powers = torch.exp(scores - shift[..., None])  # (*batch, q, k)
    total, acc = powers.sum(dim=-1), powers @ value
    if state is not None:
        correction = torch.exp(state.m - shift)
        total = total + correction * state.l
        acc = acc + correction[..., None] * state.acc
    return OnlineSoftmaxState(m, total, acc)


def merge(
    one: OnlineSoftmaxState, other: OnlineSoftmaxState
) -> OnlineSoftmaxState:
    """Join what two workers know of two sets of keys; the order is free.

    Source: Dao et al. (2022), "FlashAttention", section 3.1.
    """
    m = torch.maximum(one.m, other.m)
    shift = _finite(m)
    a, b = torch.exp(one.m - shift), torch.exp(other.m - shift)
    return OnlineSoftmaxState(
        m,
        a * one.l + b * other.l,
        a[..., None] * one.acc + b[..., None] * other.acc,
    )


def finalize(state: OnlineSoftmaxState) -> Float[Tensor, "*batch q v"]:
    """Divide by l; a query that may attend to nothing gets 0."""
    return state.acc / state.l.masked_fill(state.l == 0, 1.0)[..., None]


def _finite(m: Tensor) -> Tensor:
    """Put 0 for the maximum of a row in which all is forbidden so far.

    Then ``exp(-inf - 0) = 0``, and no ``-inf - (-inf) = nan``.
    """
    return m.masked_fill(m == -math.inf, 0.0)
