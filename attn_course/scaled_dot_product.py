"""Lesson 02: scaled dot-product attention, the one function of this course.

Reading order: ``stable_softmax`` does not overflow, ``causal_mask`` and
``padding_mask`` say who may attend to whom, ``scaled_dot_product_attention``
puts it together, ``Attention`` is the layer, and ``score_statistics`` is the
experiment that shows why the scores are divided by the square root of d.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from attn_course.common import arguments

HALF = (torch.float16, torch.bfloat16)


def stable_softmax(
    scores: Float[Tensor, "*batch k"],
) -> Float[Tensor, "*batch k"]:
    """Turn scores into weights without overflow.

    ``softmax(s)_j = exp(s_j - m) / sum_i exp(s_i - m)`` with ``m = max(s)``:
    a shift changes no weight, and no power is above ``exp(0) = 1``.
    ``torch.softmax`` does the same; the rest of the course calls that.

    Raises:
        ValueError: if ``scores`` is not floating point or has no key.

    Source: Goodfellow et al. (2016), "Deep Learning", section 4.1.
    """
    if not scores.is_floating_point() or scores.shape[-1] == 0:
        raise ValueError(
            "scores: expected floating point numbers for at least 1 key, "
            f"got {scores.dtype} of shape {tuple(scores.shape)}"
        )
    powers = torch.exp(scores - scores.amax(dim=-1, keepdim=True))
    return powers / powers.sum(dim=-1, keepdim=True)


def causal_mask(
    length: int, *, device: torch.device | str | None = None
) -> Bool[Tensor, "length length"]:
    """Allow each position to attend to itself and to what came before.

    ``mask[i, j] = (j <= i)``; True = may attend.

    Raises:
        ValueError: if ``length`` is negative.

    Source: Vaswani et al. (2017), "Attention is all you need", section 3.2.3.
    """
    arguments.check_at_least(0, length=length)
    return torch.ones(length, length, dtype=torch.bool, device=device).tril()


def padding_mask(
    lengths: Int[Tensor, " batch"], max_length: int | None = None
) -> Bool[Tensor, "batch max_length"]:
    """Mark the real tokens of each sequence in a padded batch.

    ``mask[b, j] = (j < lengths[b])``; True = may attend. By default,
    ``max_length`` is the longest. ``mask[:, None, :]`` masks the keys of all.

    Raises:
        ValueError: if a length is no whole number from 0 to ``max_length``.
    """
    max_length = arguments.check_lengths(lengths, max_length)
    positions = torch.arange(max_length, device=lengths.device)
    return positions < lengths[:, None]  # (batch, max_length)


def masked_softmax(
    scores: Float[Tensor, "*batch q k"],
    mask: Bool[Tensor, "..."] | None = None,
) -> Float[Tensor, "*batch q k"]:
    """Take the softmax over the keys that are allowed; the others get 0.

    Forbidden scores become the lowest number *before* the softmax, so that the
    allowed weights sum to 1. (With -inf, a query without keys would get nan.)
    """
    if mask is None:
        return torch.softmax(scores, dim=-1)
    lowest = torch.finfo(scores.dtype).min
    weights = torch.softmax(scores.masked_fill(~mask, lowest), dim=-1)
    return weights.masked_fill(~mask, 0.0)


def scaled_dot_product_attention(
    query: Float[Tensor, "*batch q d"],
    key: Float[Tensor, "*batch k d"],
    value: Float[Tensor, "*batch k v"],
    mask: Bool[Tensor, "..."] | None = None,
    *,
    is_causal: bool = False,
    scale: float | None = None,
    need_weights: bool = True,
) -> tuple[Float[Tensor, "*batch q v"], Float[Tensor, "*batch q k"] | None]:
    """Attend from every query to the keys, and mix the values.

    ``output = softmax(query key^T * scale) value``, where the softmax runs
    over the keys that the mask allows, in float32 for half precision. Values
    are not looked at: a nan, even a hidden one, comes back in the output or in
    the gradient.

    Args:
        query, key, value: one row per query, key and value; one batch.
        mask: True = may attend. Any shape that broadcasts to
            ``(*batch, q, k)``. A query that may attend to nothing gets
            weights 0 and output 0, with finite gradients.
        is_causal: query i may attend to keys up to i only, besides the mask;
            without a mask, torch's kernel then skips the other half.
        scale: by default ``1 / sqrt(d)``; 1 is plain dot-product attention.
        need_weights: with False, torch's own function is called, and None is
            returned for the weights.

    Raises:
        ValueError: naming the argument whose shape, dtype or device is wrong.

    Source: Vaswani et al. (2017), "Attention is all you need", section 3.2.1.
    """
    arguments.check_shapes(query, key, value)
    if mask is not None:
        arguments.check_mask(mask, query, key)
        mask = torch.atleast_2d(mask)
    if is_causal and (need_weights or mask is not None):
        q, k = query.shape[-2], key.shape[-2]
        earlier = causal_mask(max(q, k), device=query.device)[:q, :k]
        mask, is_causal = earlier if mask is None else mask & earlier, False
    if not need_weights:
        output = F.scaled_dot_product_attention(
            query, key, value, mask, is_causal=is_causal, scale=scale
        )
        return output, None
    if scale is None:
        scale = 1 / math.sqrt(query.shape[-1])
    dtype = torch.float32 if query.dtype in HALF else query.dtype
    scores = query.to(dtype) @ key.to(dtype).mT * scale  # (*batch, q, k)
    weights = masked_softmax(scores, mask)  # (*batch, q, k)
    output = weights @ value.to(dtype)  # (*batch, q, v)
    return output.to(value.dtype), weights.to(value.dtype)


class Attention(nn.Module):
    """Scaled dot-product attention as a layer that has no parameters.

    ``output = softmax(query key^T / sqrt(hidden_size)) value``
    """

    def __init__(self, hidden_size: int) -> None:
        """Keep the size of queries, keys and values: at least 1."""
        super().__init__()
        arguments.check_at_least(1, hidden_size=hidden_size)
        self.hidden_size = hidden_size

    def forward(
        self,
        query: Float[Tensor, "*batch q hidden_size"],
        key: Float[Tensor, "*batch k hidden_size"],
        value: Float[Tensor, "*batch k hidden_size"],
    ) -> Float[Tensor, "*batch q hidden_size"]:
        """Attend; a ValueError names an input of another ``hidden_size``."""
        arguments.check_last_dim(
            self.hidden_size, query=query, key=key, value=value
        )
        output, _ = scaled_dot_product_attention(
            query, key, value, need_weights=False
        )
        return output


def entropy(weights: Float[Tensor, "*batch k"]) -> Float[Tensor, "*batch"]:
    """Measure how spread out weights are: ``H = - sum_j w_j log2 w_j`` bits.

    0 when one key takes all, ``log2 k`` when k keys share evenly.

    Source: Shannon (1948), "A mathematical theory of communication", part 6.
    """
    return torch.special.entr(weights).sum(dim=-1) / math.log(2)


class ScoreStatistics(NamedTuple):
    """What :func:`score_statistics` measures."""

    variance: float  # of the scores
    entropy: float  # of the weights, in bits, mean over the queries
    gradient: float  # length, median over the queries


def score_statistics(
    d: int, *, scale: float, keys: int = 64, queries: int = 256, seed: int = 0
) -> ScoreStatistics:
    """Measure scores, weights and gradient for random queries and keys.

    Both are drawn with mean 0 and variance 1, as a new layer gives them. The
    gradient is that of each query's largest weight by its scores. Its median
    is taken: a few queries with two nearly equal best keys carry the mean.

    Raises:
        ValueError: if ``d``, ``keys`` or ``queries`` is below 1.

    Source: the argument is Vaswani et al. (2017), section 3.2.1, footnote 4.
    """
    arguments.check_at_least(1, d=d, keys=keys, queries=queries)
    generator = torch.Generator().manual_seed(
        arguments.whole_number("seed", seed)
    )
    query, key = (
        torch.randn(rows, d, generator=generator, dtype=torch.float64)
        for rows in (queries, keys)
    )
    scores = ((query @ key.T) * scale).requires_grad_()  # (queries, keys)
    weights = torch.softmax(scores, dim=-1)
    (gradient,) = torch.autograd.grad(weights.amax(dim=-1).sum(), scores)
    return ScoreStatistics(
        variance=scores.detach().var().item(),
        entropy=entropy(weights.detach()).mean().item(),
        gradient=gradient.norm(dim=-1).median().item(),
    )
