"""Exact attention in tiles, forward and backward: no square is ever held."""

import math
from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from attn_course.common.arguments import check_mask, check_shapes
from attn_course.efficient_attention.masks import MaskMod
from attn_course.efficient_attention.online_softmax import (
    OnlineSoftmaxState,
    finalize,
)
from attn_course.scaled_dot_product import HALF


def tiled_attention(
    query: Float[Tensor, "*batch q d"],
    key: Float[Tensor, "*batch k d"],
    value: Float[Tensor, "*batch k v"],
    mask: Bool[Tensor, "..."] | None = None,
    *,
    mask_mod: MaskMod | None = None,
    scale: float | None = None,
    block_size: tuple[int, int] = (256, 512),
) -> Float[Tensor, "*batch q v"]:
    """Attend as ``scaled_dot_product_attention`` does, in linear memory.

    Scores exist for one block of queries and keys at a time. Kept for the
    backward pass are the output and one number per query, the logarithm of
    the softmax's denominator; weights are computed again from it.

    Args:
        query: one row per query.
        key: one row per key; the same batch as the query.
        value: one row per key.
        mask: True = may attend; broadcasts to ``(*batch, q, k)``. Its own
            size is quadratic if it is as large as the scores: then give a
            function of positions.
        mask_mod: ``mask_mod(q_idx, kv_idx)`` of positions ``(rows, 1)`` and
            ``(columns,)`` says who may attend to whom. Blocks that a
            :class:`SlidingWindow` forbids whole are left out; nobody looks
            into a mask to find more of them.
        scale: by default ``1 / sqrt(d)``.
        block_size: how many queries and keys at a time.

    Raises:
        ValueError: as ``scaled_dot_product_attention`` does, or if
            ``block_size`` is not two numbers from 1 up.

    Source: Dao et al. (2022), "FlashAttention: fast and memory-efficient
    exact attention with IO-awareness", algorithms 1 and 4. That paper has the
    keys in the outer loop and keeps m and l; queries outside, one number per
    query and one division at the end are of Dao (2023), "FlashAttention-2",
    section 3.1.
    """
    check_shapes(query, key, value)
    if query.shape[-1] == 0:
        raise ValueError("query: expected a size d of at least 1, got 0")
    if scale is None:
        scale = 1 / math.sqrt(query.shape[-1])
    elif not math.isfinite(scale):
        raise ValueError(f"scale: expected a finite number, got {scale}")
    if mask is not None:
        check_mask(mask, query, key)
        mask = mask.expand(*query.shape[:-1], key.shape[-2])
    pair = isinstance(block_size, (tuple, list)) and len(block_size) == 2
    if not pair or min(block_size) < 1:
        raise ValueError(
            f"block_size: expected two numbers from 1 up, got {block_size}"
        )
    return _Tiled.apply(query, key, value, mask, mask_mod, scale, block_size)


def blocks(length: int, size: int) -> list[slice]:
    """Cut a length into slices of ``size``; the last may be shorter."""
    starts = range(0, length, size)
    return [slice(start, min(start + size, length)) for start in starts]


class _Tiled(torch.autograd.Function):
    """The two passes of :func:`tiled_attention`."""

    @staticmethod
    def forward(ctx, query, key, value, mask, mask_mod, scale, block_size):
        tiles = _Tiles(query, key, mask, mask_mod, scale, block_size)
        output = value.new_zeros(*query.shape[:-1], value.shape[-1])
        log_sum_exp = query.new_zeros(query.shape[:-1], dtype=tiles.dtype)
        for rows in blocks(query.shape[-2], block_size[0]):
            state = None
            for columns, scores in tiles.of(rows):
                part = value[..., columns, :].to(tiles.dtype)
                state = _update_in_place(state, scores, part)
            if state is not None:
                output[..., rows, :] = finalize(state).to(output.dtype)
                log_sum_exp[..., rows] = state.log_sum_exp.masked_fill(
                    state.l == 0, 0.0
                )
        ctx.save_for_backward(query, key, value, mask, output, log_sum_exp)
        ctx.options = mask_mod, scale, block_size
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx, d_output):
        """Compute the weights anew, block by block, and send gradients on.

        With weights P, output O and its gradient dO:
        ``dV = P^T dO``, ``dP = dO V^T``,
        ``dS = P * (dP - rowsum(dO * O))``, ``dQ = dS K``, ``dK = dS^T Q``.
        """
        query, key, value, mask, output, log_sum_exp = ctx.saved_tensors
        _, scale, block_size = ctx.options
        tiles = _Tiles(query, key, mask, *ctx.options)
        d_query, d_key, d_value = (
            torch.zeros_like(x, dtype=tiles.dtype) for x in (query, key, value)
        )
        for rows in blocks(query.shape[-2], block_size[0]):
            d_out = d_output[..., rows, :].to(tiles.dtype)
            q = query[..., rows, :].to(tiles.dtype) * scale
            mean = (d_out * output[..., rows, :]).sum(dim=-1, keepdim=True)
            for columns, scores in tiles.of(rows):
                k = key[..., columns, :].to(tiles.dtype)
                v = value[..., columns, :].to(tiles.dtype)
                weights = scores.sub_(log_sum_exp[..., rows, None]).exp_()
                d_value[..., columns, :] += weights.transpose(-2, -1) @ d_out
                d_scores = d_out @ v.transpose(-2, -1)
                d_scores.sub_(mean).mul_(weights)
                d_query[..., rows, :] += d_scores @ k
                d_key[..., columns, :] += d_scores.transpose(-2, -1) @ q
        d_query *= scale
        return (
            d_query.to(query.dtype),
            d_key.to(key.dtype),
            d_value.to(value.dtype),
            *(None,) * 4,
        )


class _Tiles:
    """The scores, one block at a time."""

    def __init__(self, query, key, mask, mask_mod, scale, block_size) -> None:
        self.query, self.key, self.mask = query, key, mask
        self.mask_mod, self.scale = mask_mod, scale
        self.dtype = torch.float32 if query.dtype in HALF else query.dtype
        self.columns = blocks(key.shape[-2], block_size[1])

    def of(self, rows: slice) -> Iterator[tuple[slice, Tensor]]:
        """Go through the blocks of some rows; leave out what is forbidden."""
        query = self.query[..., rows, :].to(self.dtype) * self.scale
        for columns in self.columns:
            allowed = self._allowed(rows, columns)
            if allowed is False:
                continue
            key = self.key[..., columns, :].to(self.dtype)
            scores = query @ key.transpose(-2, -1)
            if allowed is not True:
                scores.masked_fill_(~allowed, -math.inf)
            yield columns, scores

    def _allowed(self, rows: slice, columns: slice) -> Tensor | bool:
        """Return a block's mask; True and False if it is one throughout."""
        allowed = True
        if self.mask_mod is not None:
            # A function that does not know whole blocks is asked for each.
            known = getattr(self.mask_mod, "allows_block", lambda *_: None)
            allowed = known(rows, columns)
        if allowed is None:
            device = self.query.device
            q_idx = torch.arange(rows.start, rows.stop, device=device)
            kv_idx = torch.arange(columns.start, columns.stop, device=device)
            allowed = self.mask_mod(q_idx[:, None], kv_idx)
        if self.mask is None or allowed is False:
            return allowed
        mask = self.mask[..., rows, columns]
        return mask if allowed is True else mask & allowed


def _update_in_place(
    state: OnlineSoftmaxState | None, scores: Tensor, value: Tensor
) -> OnlineSoftmaxState:
    """Do as ``online_softmax.update``, without a second block of memory."""
    m = scores.amax(dim=-1)
    if state is not None:
        m = torch.maximum(m, state.m)
    shift = m.masked_fill(m == -math.inf, 0.0)
    powers = scores.sub_(shift[..., None]).exp_()
    total, acc = powers.sum(dim=-1), powers @ value
    if state is not None:
        correction = torch.exp(state.m - shift)
        total += correction * state.l
        acc += correction[..., None] * state.acc
    return OnlineSoftmaxState(m, total, acc)
