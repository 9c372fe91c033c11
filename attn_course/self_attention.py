"""Lesson 03: self-attention, and six ways to tell it where a word stands.

Reading order: ``SelfAttention`` is the layer. Without positions it cannot see
order. Positions come in at one of three places: as a positional encoding that
is added to the input (``SinusoidalPositions``, ``LearnedPositions``), by
rotating queries and keys (``apply_rotary_emb``, that is RoPE), or as a bias
that is added to the scores (``RelativePositionBias`` of Shaw, ``AlibiBias``,
both through ``attention_with_bias``).
"""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from attn_course.common.arguments import (
    check_at_least,
    check_broadcast,
    check_even,
    check_last_dim,
    check_positive,
)
from attn_course.scaled_dot_product import scaled_dot_product_attention


class SelfAttention(nn.Module):
    """One sequence in which every position asks every other.

    ``output = softmax(Q K^T / sqrt(size) + bias) V`` with ``Q = x W_q``,
    ``K = x W_k``, ``V = x W_v``: query, key and value of a position are three
    projections of the same vector.

    Shapes: x ``(*batch, length, dim)``, output ``(*batch, length, size)``,
    weights ``(*batch, length, length)``.

    Source: Vaswani et al. (2017), "Attention is all you need", section 3.2.3.
    """

    def __init__(
        self,
        dim: int,
        size: int | None = None,
        *,
        causal: bool = False,
        rotary: bool = False,
        bias: nn.Module | None = None,
    ) -> None:
        """Create the three projections.

        Args:
            dim: size of the vectors that come in.
            size: of queries, keys, values and output; by default ``dim``.
            causal: no position may attend to a later one.
            rotary: turn queries and keys by their positions (RoPE).
            bias: ``bias(query, key)`` gives numbers that are added to the
                scores: :class:`RelativePositionBias` or :class:`AlibiBias`.

        Raises:
            ValueError: if ``dim`` or ``size`` is below 1, or ``size`` is odd
                with ``rotary``.
        """
        super().__init__()
        size = dim if size is None else size
        check_at_least(1, dim=dim, size=size)
        if rotary:
            check_even(size=size)
        self.dim = dim
        self.causal = causal
        self.rotary = rotary
        self.query = nn.Linear(dim, size, bias=False)
        self.key = nn.Linear(dim, size, bias=False)
        self.value = nn.Linear(dim, size, bias=False)
        self.bias = bias

    def forward(
        self,
        x: Float[Tensor, "*batch length dim"],
        mask: Bool[Tensor, "..."] | None = None,
        *,
        need_weights: bool = True,
    ) -> tuple[
        Float[Tensor, "*batch length size"],
        Float[Tensor, "*batch length length"] | None,
    ]:
        """Let every position attend, and return the output and the weights.

        Args:
            x: one row per position.
            mask: True = may attend, broadcastable to the weights' shape; a
                causal layer allows what both allow.
            need_weights: with False, None is returned for the weights.

        Raises:
            ValueError: if x's last dimension is not ``dim``, or as
                :func:`scaled_dot_product_attention` does.
        """
        check_last_dim(self.dim, x=x)
        query, key, value = self.query(x), self.key(x), self.value(x)
        if self.rotary:
            query, key = apply_rotary_emb(query), apply_rotary_emb(key)
        options = {"is_causal": self.causal, "need_weights": need_weights}
        if self.bias is None:
            return scaled_dot_product_attention(
                query, key, value, mask, **options
            )
        bias = self.bias(query, key)
        return attention_with_bias(query, key, value, bias, mask, **options)


# Positional encodings, added to the input ------------------------------------


def sinusoidal_positions(
    length: int, dim: int, base: float = 10000.0
) -> Float[Tensor, "length dim"]:
    """Give each position sines and cosines, from fast to slow.

    ``P[i, 2c] = sin(i / base^(2c / dim))``, and ``P[i, 2c + 1]`` the cosine:
    wavelengths from 2 pi to nearly ``2 pi base``.

    Raises:
        ValueError: if ``length`` is negative, or ``dim`` is odd or below 2.

    Source: Vaswani et al. (2017), "Attention is all you need", section 3.5.
    """
    check_at_least(0, length=length)
    check_even(dim=dim)
    angle = torch.arange(length)[:, None] * _frequencies(dim, base)
    pairs = torch.stack([angle.sin(), angle.cos()], dim=-1)
    return pairs.flatten(-2)  # (length, dim / 2, 2) -> (length, dim)


class SinusoidalPositions(nn.Module):
    """Add a fixed positional encoding to the input: ``x + P``; nothing is learned.

    Shapes: x and output ``(*batch, length, dim)``.
    Source: Vaswani et al. (2017), section 3.5.
    """

    def forward(
        self, x: Float[Tensor, "*batch length dim"]
    ) -> Float[Tensor, "*batch length dim"]:
        """Return x with its positions added.

        Raises:
            ValueError: if x's last dimension is odd.
        """
        length, dim = x.shape[-2:]
        return x + sinusoidal_positions(length, dim).to(x)


class LearnedPositions(nn.Module):
    """Add one learned vector for each position: ``x + table``.

    Shapes: x and output ``(*batch, length, dim)``, table
    ``(max_length, dim)``. A row that no training sequence reaches stays as it
    was drawn.

    Source: Gehring et al. (2017), "Convolutional sequence to sequence
    learning", section 3.1.
    """

    def __init__(self, max_length: int, dim: int) -> None:
        """Draw the table.

        Raises:
            ValueError: if ``max_length`` or ``dim`` is below 1.
        """
        super().__init__()
        check_at_least(1, max_length=max_length, dim=dim)
        self.table = nn.Parameter(torch.randn(max_length, dim) / 2)

    def forward(
        self, x: Float[Tensor, "*batch length dim"]
    ) -> Float[Tensor, "*batch length dim"]:
        """Return x with its positions added.

        Raises:
            ValueError: if x is longer than the table, or not as wide.
        """
        rows, dim = self.table.shape
        if x.shape[-2] > rows or x.shape[-1] != dim:
            raise ValueError(
                f"x: expected at most {rows} positions (max_length) of "
                f"size {dim}, got shape {tuple(x.shape)}"
            )
        return x + self.table[: x.shape[-2]]


# Rotary position embedding: queries and keys are rotated ---------------------


def apply_rotary_emb(
    x: Float[Tensor, "*batch length dim"],
    positions: Int[Tensor, " length"] | None = None,
    base: float = 10000.0,
) -> Float[Tensor, "*batch length dim"]:
    """Turn each vector by angles that grow with its position (RoPE).

    Numbers 2c and 2c + 1 are a point in the plane, turned by
    ``position / base^(2c / dim)``. Turn a query at i and a key at j, and
    their dot product depends on ``i - j``, not on i or j alone.

    Args:
        x: queries or keys.
        positions: by default 0, 1, 2, ...
        base: how slow the slowest pair turns.

    Raises:
        ValueError: if ``dim`` is odd, or there is not one position per row.

    Source: Su et al. (2021), "RoFormer: Enhanced Transformer with rotary
    position embedding", section 3.2.2, equation 15.
    """
    length, dim = x.shape[-2:]
    check_even(dim=dim)
    if positions is None:
        positions = torch.arange(length, device=x.device)
    if positions.shape != (length,):
        raise ValueError(
            f"positions: expected shape ({length},), one per row of x, "
            f"got {tuple(positions.shape)}"
        )
    dtype = torch.promote_types(x.dtype, torch.float32)  # at least float32
    frequency = _frequencies(dim, base).to(dtype).to(x.device)
    angle = positions[:, None] * frequency  # (length, dim / 2)
    cos, sin = angle.cos(), angle.sin()
    pairs = x.to(dtype).unflatten(-1, (dim // 2, 2))
    first, second = pairs.unbind(dim=-1)  # (*batch, length, dim / 2) each
    turned = torch.stack(
        [first * cos - second * sin, first * sin + second * cos], dim=-1
    )
    return turned.flatten(-2).to(x.dtype)  # (*batch, length, dim)


# Biases, added to the scores -------------------------------------------------


def attention_with_bias(
    query: Float[Tensor, "*batch q d"],
    key: Float[Tensor, "*batch k d"],
    value: Float[Tensor, "*batch k v"],
    bias: Float[Tensor, "..."],
    mask: Bool[Tensor, "..."] | None = None,
    *,
    is_causal: bool = False,
    scale: float | None = None,
    need_weights: bool = True,
) -> tuple[Float[Tensor, "*batch q v"], Float[Tensor, "*batch q k"] | None]:
    """Attend with numbers added to the scores, by the one attention function.

    ``output = softmax(query key^T * scale + bias) value``. A dot product adds
    up over coordinates, so k more coordinates carry the bias: the query gets
    its row of the bias, key j gets a 1 in the j-th of them and 0 elsewhere::

        [query * scale, bias_i] . [key_j, one_hot_j]
            = query . key_j * scale + bias_ij

    Args:
        query: one row per query.
        key: one row per key.
        value: one row per key.
        bias: finite numbers that broadcast to ``(*batch, q, k)``; forbid a
            key with the mask, not with -inf, which gives nan.
        mask: True = may attend.
        is_causal: query i may attend to keys up to i only, besides the mask.
        scale: of the dot product only; by default ``1 / sqrt(d)``.
        need_weights: with False, None is returned for the weights.

    Raises:
        ValueError: if the bias does not fit, or as
            :func:`scaled_dot_product_attention` does.
    """
    keys = key.shape[-2]
    expected = (*query.shape[:-1], keys)
    check_broadcast("bias", bias, expected)
    if bias.dtype != query.dtype or bias.device != query.device:
        raise ValueError(
            f"bias: expected {query.dtype} on {query.device}, as the query, "
            f"got {bias.dtype} on {bias.device}"
        )
    if scale is None:
        scale = 1 / math.sqrt(query.shape[-1])
    one_hot = torch.eye(keys, dtype=key.dtype, device=key.device)
    long_query = torch.cat([query * scale, bias.expand(expected)], dim=-1)
    long_key = torch.cat(
        [key, one_hot.expand(*key.shape[:-1], keys)], dim=-1
    )  # (*batch, k, d + k)
    return scaled_dot_product_attention(
        long_query,
        long_key,
        value,
        mask,
        is_causal=is_causal,
        scale=1.0,
        need_weights=need_weights,
    )


def relative_positions(
    queries: int, keys: int, *, device: torch.device | str | None = None
) -> Int[Tensor, "q k"]:
    """Say how many positions after query i key j stands: ``j - i``.

    Negative is earlier.

    Raises:
        ValueError: if a number is negative.
    """
    check_at_least(0, queries=queries, keys=keys)
    i = torch.arange(queries, device=device)
    j = torch.arange(keys, device=device)
    return j[None, :] - i[:, None]  # (q, k)


def relative_scores(
    query: Float[Tensor, "*batch q d"],
    table: Float[Tensor, "rows d"],
    keys: int,
) -> Float[Tensor, "*batch q k"]:
    """Score each query against a learned vector for each distance.

    ``score_ij = query_i . table[clip(j - i, -m, m) + m]`` with
    ``2 m + 1`` rows in the table: all that is farther than m shares a row.

    Raises:
        ValueError: if the table has an even number of rows, or another size
            than the query.

    Source: Shaw, Uszkoreit and Vaswani (2018), "Self-attention with relative
    position representations", section 3.2 and equation 5.
    """
    rows, dim = table.shape
    if rows % 2 == 0 or dim != query.shape[-1]:
        raise ValueError(
            "table: expected an odd number of rows of size "
            f"{query.shape[-1]}, got shape {tuple(table.shape)}"
        )
    max_distance = rows // 2
    relative = relative_positions(query.shape[-2], keys, device=query.device)
    row = relative.clamp(-max_distance, max_distance) + max_distance  # (q, k)
    scores = query @ table.T  # (*batch, q, rows)
    return scores.gather(-1, row.expand(*query.shape[:-1], keys))


class RelativePositionBias(nn.Module):
    """Shaw's relative positions as a bias: learned, one row per distance.

    ``bias_ij = query_i . table[clip(j - i, -m, m) + m] / sqrt(dim)``. Shaw et
    al. also add such rows to the values; their table 3 finds no gain in it,
    so that it is left out here.

    Source: Shaw, Uszkoreit and Vaswani (2018), equation 4.
    """

    def __init__(self, dim: int, max_distance: int) -> None:
        """Draw ``2 max_distance + 1`` rows.

        Raises:
            ValueError: if ``dim`` is below 1 or ``max_distance`` below 0.
        """
        super().__init__()
        check_at_least(1, dim=dim)
        check_at_least(0, max_distance=max_distance)
        self.table = nn.Parameter(torch.randn(2 * max_distance + 1, dim) / 10)

    def forward(
        self,
        query: Float[Tensor, "*batch q d"],
        key: Float[Tensor, "*batch k d"],
    ) -> Float[Tensor, "*batch q k"]:
        """Return what is added to the scores."""
        scale = 1 / math.sqrt(query.shape[-1])
        return relative_scores(query, self.table, key.shape[-2]) * scale


def alibi_slopes(heads: int) -> Float[Tensor, " heads"]:
    """Give each head how much it dislikes distance.

    ``slope_h = 2^(-8 h / heads)`` for h = 1 ... heads: 1/2 to 1/256 for eight
    heads. One head alone would get 1/256.

    Raises:
        ValueError: if ``heads`` is below 1.

    Source: Press, Smith and Lewis (2022), "Train short, test long: Attention
    with linear biases enables input length extrapolation", section 3.
    """
    check_at_least(1, heads=heads)
    return 2.0 ** (-8 * torch.arange(1, heads + 1) / heads)


class AlibiBias(nn.Module):
    """Lower each score in proportion to distance; nothing is learned.

    ``bias_ij = -slope |i - j|``.

    Source: Press, Smith and Lewis (2022), section 3, where all keys are
    earlier ones (causal attention).
    """

    def __init__(self, slope: float = 0.5) -> None:
        """Keep the slope; 1/2 is the steepest of the paper's eight heads.

        Raises:
            ValueError: if ``slope`` is negative or not finite.
        """
        super().__init__()
        if not (slope >= 0 and math.isfinite(slope)):
            raise ValueError(f"slope: expected 0 or more, got {slope}")
        self.slope = slope

    def forward(
        self,
        query: Float[Tensor, "*batch q d"],
        key: Float[Tensor, "*batch k d"],
    ) -> Float[Tensor, "q k"]:
        """Return what is added to the scores."""
        distance = relative_positions(
            query.shape[-2], key.shape[-2], device=query.device
        ).abs()
        return -self.slope * distance.to(query.dtype)


def _frequencies(dim: int, base: float) -> Float[Tensor, " pairs"]:
    """Return ``base^(-2c / dim)`` for each pair c, in float64."""
    check_positive(base=base)
    pair = torch.arange(0, dim, 2, dtype=torch.float64)
    return base ** (-pair / dim)
