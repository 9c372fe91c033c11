"""Lesson 13: why attention is expensive, and what helps.

Reading order: ``measure`` and ``exponent`` say what something costs.
``absorb`` and ``merge`` take a softmax in pieces, ``tiled_attention`` does so
tile by tile, forward and backward. ``KeyValueCache`` keeps what a decoder has
already computed, ``GroupedQueryAttention`` makes it smaller, ``Decoder`` and
``generate`` use both. ``Window`` looks at less. ``linear_attention``
gives up the softmax, and ``Recall`` shows the price. ``estimate`` foretells
time and memory of models that do not fit on this machine.
"""

import math
import sys
import time
import weakref
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from attn_course.dot_product import check_shapes
from attn_course.multi_head_attention import (
    MultiHeadAttention,
    merge_heads,
    split_heads,
)
from attn_course.scaled_dot_product import (
    HALF,
    _check_mask,
    scaled_dot_product_attention,
)
from attn_course.self_attention import rotate
from attn_course.transformer import feed_forward

Rule = Callable[[Tensor, Tensor], Tensor]


# What it costs ---------------------------------------------------------------


class Cost(NamedTuple):
    """What a call costs."""

    seconds: float  # the fastest of several calls
    peak: int  # the most bytes held at one time, inputs not counted
    flops: int  # additions and multiplications in matrix products


class _Held(TorchDispatchMode):
    """Count the bytes of all tensors that are made and still alive."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._alive: dict[int, weakref.ref] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        old = {
            x.untyped_storage()._cdata
            for x in tree_leaves((args, kwargs))
            if isinstance(x, Tensor)
        }
        result = func(*args, **kwargs)
        for x in tree_leaves(result):
            if isinstance(x, Tensor):
                self._note(x.untyped_storage(), old)
        return result

    def _note(self, storage: torch.UntypedStorage, old: set[int]) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in old or key in self._alive:
            return  # a view, or changed in place: nothing new

        def gone(_: object) -> None:
            self._alive.pop(key, None)
            self.now -= size

        self._alive[key] = weakref.ref(storage, gone)
        self.now += size
        self.peak = max(self.peak, self.now)


def peak_bytes(function: Callable[[], object]) -> int:
    """Return the most bytes of tensors that a call holds at one time.

    Counted, not sampled: the same at every run. Inputs that exist before are
    not counted, and neither is what a kernel takes and returns within itself.
    """
    with _Held() as held:
        result = function()
    del result
    return held.peak


def count_flops(function: Callable[[], object]) -> int:
    """Return the additions and multiplications of a call's matrix products.

    Counted by torch's ``FlopCounterMode``; ``(m, k) @ (k, n)`` is ``2 m k n``.
    It does not know the fused kernel of the CPU, which is therefore kept out.
    """
    plain = sdpa_kernel(SDPBackend.MATH)
    with plain, FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()


def fastest(
    functions: Sequence[Callable[[], object]], repeats: int = 3
) -> list[float]:
    """Return the seconds of the fastest of several calls, of each function.

    Noise only ever adds, so the least is the best guess. The functions take
    turns, so that a busy minute meets all of them; and after ``repeats``
    turns, more follow (three times as many at most) until none got faster by
    5 %. On a CPU one thread works, and its processor time counts: other
    programs do not lengthen it.

    Raises:
        ValueError: if ``repeats`` is below 1.
    """
    if repeats < 1:
        raise ValueError(f"repeats: expected 1 or more, got {repeats}")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        best = [math.inf] * len(functions)
        for turn in range(4 * repeats):
            now = [_seconds(function) for function in functions]
            settled = all(new > 0.95 * old for new, old in zip(now, best))
            best = [min(pair) for pair in zip(now, best)]
            if settled and turn >= repeats:
                break
    finally:
        torch.set_num_threads(threads)
    return best


def _seconds(function: Callable[[], object]) -> float:
    """Time one call, on a GPU until its work is done."""
    gpu = torch.accelerator.is_available()
    # Windows counts a thread's time in steps of 16 ms: too coarse.
    by_the_wall = gpu or sys.platform == "win32"
    clock = time.perf_counter if by_the_wall else time.thread_time
    start = clock()
    function()
    if gpu:
        torch.accelerator.synchronize()
    return clock() - start


def measure(
    functions: Mapping[Hashable, Callable[[], object]], repeats: int = 3
) -> dict[Hashable, Cost]:
    """Measure calls: seconds, peak bytes, and FLOPs of matrix products.

    Args:
        functions: what to call, under any names.
        repeats: as of :func:`fastest`.

    Raises:
        ValueError: if ``repeats`` is below 1.
    """
    seconds = fastest(list(functions.values()), repeats)
    return {
        name: Cost(least, peak_bytes(function), count_flops(function))
        for (name, function), least in zip(functions.items(), seconds)
    }


def exponent(lengths: Sequence[float], amounts: Sequence[float]) -> float:
    """Fit ``amount = c * length^a`` and return a.

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


# Softmax in one pass -----------------------------------------------------------


class Running(NamedTuple):
    """What is known of an attention whose keys have been seen in part."""

    highest: Float[Tensor, "*batch q"]  # the largest score so far
    total: Float[Tensor, "*batch q"]  # sum of exp(score - highest)
    mixed: Float[Tensor, "*batch q v"]  # sum of exp(score - highest) * value


def absorb(
    running: Running | None,
    scores: Float[Tensor, "*batch q k"],
    value: Float[Tensor, "*batch k v"],
) -> Running:
    """Take in more keys: one pass, and no score is needed twice.

    With ``m' = max(m, max_j s_j)``, what was summed relative to the old
    maximum m is multiplied by ``exp(m - m')``; then the new terms are added.

    Args:
        running: what is known, or None at the start.
        scores: of the new keys; -inf for a forbidden one.
        value: of the new keys.

    Source: Milakov and Gimelshein (2018), "Online normalizer calculation for
    softmax", algorithm 3; with values, Rabe and Staats (2021), "Self-attention
    does not need O(n^2) memory", section 2.
    """
    highest = scores.amax(dim=-1)  # (*batch, q)
    if running is not None:
        highest = torch.maximum(highest, running.highest)
    # A row in which all is forbidden so far: exp(-inf - 0) = 0, and no NaN.
    safe = highest.masked_fill(highest == -math.inf, 0.0)
    powers = torch.exp(scores - safe[..., None])  # (*batch, q, k)
    total, mixed = powers.sum(dim=-1), powers @ value
    if running is not None:
        shrink = torch.exp(running.highest - safe)
        total = total + shrink * running.total
        mixed = mixed + shrink[..., None] * running.mixed
    return Running(highest, total, mixed)


def merge(one: Running, other: Running) -> Running:
    """Join what two workers know of two sets of keys; the order is free.

    Source: Dao et al. (2022), "FlashAttention", section 3.1.
    """
    highest = torch.maximum(one.highest, other.highest)
    safe = highest.masked_fill(highest == -math.inf, 0.0)
    a, b = (torch.exp(x.highest - safe) for x in (one, other))
    return Running(
        highest,
        a * one.total + b * other.total,
        a[..., None] * one.mixed + b[..., None] * other.mixed,
    )


def finish(running: Running) -> Float[Tensor, "*batch q v"]:
    """Divide by the total; a query that may attend to nothing gets 0."""
    total = running.total.masked_fill(running.total == 0, 1.0)
    return running.mixed / total[..., None]


# Tiles -----------------------------------------------------------------------


@dataclass(frozen=True)
class Window:
    """A rule: keys from ``before`` places back to ``after`` places ahead.

    The first ``landmarks`` places are global: they see, and are seen by,
    every place that the window's direction allows (with ``after=0`` nothing
    sees ahead). ``Window(w - 1)`` is Mistral's window of w keys.

    ``Window(...)(i, j)`` is True where query i may attend to key j.

    Source: Beltagy et al. (2020), "Longformer", section 3.1; Jiang et al.
    (2023), "Mistral 7B", section 2.
    """

    before: int
    after: int = 0
    landmarks: int = 0

    def __post_init__(self) -> None:
        """Refuse numbers below 0.

        Raises:
            ValueError: if a number is negative.
        """
        for name in ("before", "after", "landmarks"):
            number = getattr(self, name)
            if number < 0:
                raise ValueError(f"{name}: expected 0 or more, got {number}")

    def __call__(self, i: Tensor, j: Tensor) -> Tensor:
        """Say of each pair of places whether it is allowed."""
        allowed = (i - j <= self.before) & (j - i <= self.after)
        if self.landmarks:
            allowed = allowed | (j < self.landmarks) | (i < self.landmarks)
            if self.after == 0:
                allowed = allowed & (j <= i)
        return allowed

    def whole(self, rows: slice, columns: slice) -> bool | None:
        """Say of a tile, without looking inside: all, nothing, or neither."""
        back = rows.stop - 1 - columns.start, rows.start - columns.stop + 1
        if back[0] <= self.before and -back[1] <= self.after:
            return True
        if self.after == 0 and back[0] < 0:
            return False
        far = back[1] > self.before or -back[0] > self.after
        if far and min(rows.start, columns.start) >= self.landmarks:
            return False
        return None


CAUSAL = Window(before=sys.maxsize)


def rule_mask(
    rule: Rule, q: int, k: int | None = None, *, device: object = None
) -> Bool[Tensor, "q k"]:
    """Write a rule out as a mask ``(q, k)``: to look at it, or to compare."""
    i = torch.arange(q, device=device)[:, None]
    j = torch.arange(q if k is None else k, device=device)
    return rule(i, j).expand(i.shape[0], j.shape[0])


def tiled_attention(
    query: Float[Tensor, "*batch q d"],
    key: Float[Tensor, "*batch k d"],
    value: Float[Tensor, "*batch k v"],
    mask: Bool[Tensor, "..."] | None = None,
    *,
    rule: Rule | None = None,
    scale: float | None = None,
    tile: tuple[int, int] = (256, 512),
) -> Float[Tensor, "*batch q v"]:
    """Attend as ``scaled_dot_product_attention`` does, in linear memory.

    Scores exist for one tile of queries and keys at a time. Kept for the
    backward pass are the output and one number per query, the logarithm of
    the softmax's denominator; weights are computed again from it.

    Args:
        query: one row per query.
        key: one row per key; the same batch as the query.
        value: one row per key.
        mask: True = may attend; broadcasts to ``(*batch, q, k)``. Its own
            size is quadratic if it is as large as the scores: then give a
            rule.
        rule: ``rule(i, j)`` of places i ``(rows, 1)`` and j ``(columns,)``
            says who may attend to whom. Tiles in which nothing is allowed
            are left out; :class:`Window` knows them without looking.
        scale: by default ``1 / sqrt(d)``.
        tile: how many queries and keys at a time.

    Raises:
        ValueError: as ``scaled_dot_product_attention`` does, or if ``tile``
            is not two numbers from 1 up.

    Source: Dao et al. (2022), "FlashAttention: fast and memory-efficient
    exact attention with IO-awareness", algorithms 1 and 4.
    """
    check_shapes(query, key, value)
    if query.shape[-1] == 0:
        raise ValueError("query: expected a size d of at least 1, got 0")
    if scale is None:
        scale = 1 / math.sqrt(query.shape[-1])
    elif not math.isfinite(scale):
        raise ValueError(f"scale: expected a finite number, got {scale}")
    if mask is not None:
        _check_mask(mask, query, key)
        mask = mask.expand(*query.shape[:-1], key.shape[-2])
    if len(tile) != 2 or min(tile) < 1:
        raise ValueError(f"tile: expected two numbers from 1 up, got {tile}")
    return _Tiled.apply(query, key, value, mask, rule, scale, tile)


class _Tiles:
    """Cut queries and keys into tiles, and give each its scores."""

    def __init__(self, query, key, mask, rule, scale, tile) -> None:
        self.query, self.key, self.mask = query, key, mask
        self.rule, self.scale = rule, scale
        half = query.dtype in HALF
        self.exact = torch.float32 if half else query.dtype
        self.rows = _pieces(query.shape[-2], tile[0])
        self.columns = _pieces(key.shape[-2], tile[1])

    def scores(self, rows: slice, columns: slice) -> Tensor | None:
        """Return a tile's scores, or None if nothing in it is allowed."""
        allowed = self._allowed(rows, columns)
        if allowed is False:
            return None
        query = self.query[..., rows, :].to(self.exact) * self.scale
        key = self.key[..., columns, :].to(self.exact)
        scores = query @ key.transpose(-2, -1)
        if allowed is not None:
            scores.masked_fill_(~allowed, -math.inf)
        return scores

    def _allowed(self, rows: slice, columns: slice) -> Tensor | bool | None:
        """Return a tile's mask; False for nothing allowed, None for all."""
        allowed = None
        whole = getattr(self.rule, "whole", lambda *_: None)(rows, columns)
        if whole is False or (whole and self.mask is None):
            return None if whole else False
        if self.rule is not None and not whole:
            place = {"device": self.query.device}
            i = torch.arange(rows.start, rows.stop, **place)[:, None]
            j = torch.arange(columns.start, columns.stop, **place)
            allowed = self.rule(i, j)
        if self.mask is not None:
            part = self.mask[..., rows, columns]
            allowed = part if allowed is None else part & allowed
        if allowed is None or bool(allowed.all()):
            return None
        return allowed if bool(allowed.any()) else False


class _Tiled(torch.autograd.Function):
    """The two passes of :func:`tiled_attention`."""

    @staticmethod
    def forward(ctx, query, key, value, mask, rule, scale, tile):
        tiles = _Tiles(query, key, mask, rule, scale, tile)
        output = value.new_zeros(*query.shape[:-1], value.shape[-1])
        log_sum = query.new_zeros(query.shape[:-1], dtype=tiles.exact)
        for rows in tiles.rows:
            running = None
            for columns in tiles.columns:
                scores = tiles.scores(rows, columns)
                if scores is None:
                    continue
                part = value[..., columns, :].to(tiles.exact)
                running = _absorb_in_place(running, scores, part)
            if running is not None:
                output[..., rows, :] = finish(running).to(output.dtype)
                log_sum[..., rows] = _log_sum(running)
        ctx.save_for_backward(query, key, value, mask, output, log_sum)
        ctx.options = rule, scale, tile
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx, slope):
        """Compute the weights anew, tile by tile, and send slopes on.

        With weights P, output O and its slope dO:
        ``dV = P^T dO``, ``dP = dO V^T``,
        ``dS = P * (dP - rowsum(dO * O))``, ``dQ = dS K``, ``dK = dS^T Q``.
        """
        query, key, value, mask, output, log_sum = ctx.saved_tensors
        tiles = _Tiles(query, key, mask, *ctx.options)
        exact, scale = tiles.exact, tiles.scale
        slopes = [
            torch.zeros_like(x, dtype=exact) for x in (query, key, value)
        ]
        d_query, d_key, d_value = slopes
        for rows in tiles.rows:
            d_out = slope[..., rows, :].to(exact)
            q = query[..., rows, :].to(exact) * scale
            mean = (d_out * output[..., rows, :]).sum(dim=-1, keepdim=True)
            for columns in tiles.columns:
                scores = tiles.scores(rows, columns)
                if scores is None:
                    continue
                k, v = (x[..., columns, :].to(exact) for x in (key, value))
                weights = scores.sub_(log_sum[..., rows, None]).exp_()
                d_value[..., columns, :] += weights.transpose(-2, -1) @ d_out
                d_scores = d_out @ v.transpose(-2, -1)
                d_scores.sub_(mean).mul_(weights)
                d_query[..., rows, :] += d_scores @ k
                d_key[..., columns, :] += d_scores.transpose(-2, -1) @ q
        d_query *= scale
        pairs = zip(slopes, (query, key, value))
        return *(s.to(x.dtype) for s, x in pairs), None, None, None, None


def _absorb_in_place(running, scores, value):
    """Do as :func:`absorb`, without a second tile of memory."""
    highest = scores.amax(dim=-1)
    if running is not None:
        highest = torch.maximum(highest, running.highest)
    safe = highest.masked_fill(highest == -math.inf, 0.0)
    powers = scores.sub_(safe[..., None]).exp_()
    total, mixed = powers.sum(dim=-1), powers @ value
    if running is not None:
        shrink = torch.exp(running.highest - safe)
        total += shrink * running.total
        mixed += shrink[..., None] * running.mixed
    return Running(highest, total, mixed)


def _log_sum(running: Running) -> Tensor:
    """Return log sum_j exp(s_j); 0 where nothing is allowed."""
    empty = running.total == 0
    found = running.highest + running.total.log()
    return found.masked_fill(empty, 0.0)


def _pieces(length: int, size: int) -> list[slice]:
    starts = range(0, length, size)
    return [slice(start, min(start + size, length)) for start in starts]


# Keys and values kept ------------------------------------------------------------


class KeyValueCache:
    """The keys and values of all earlier positions of one layer.

    Room for ``most`` positions is taken at the start, so that nothing moves
    later. With ``rolling=True`` there is no end: position p stands in place
    ``p % most``, and overwrites what stood there.

    Source: Shazeer (2019), "Fast Transformer decoding", section 2.4; the
    rolling buffer is that of Jiang et al. (2023), "Mistral 7B", section 2.
    """

    def __init__(
        self,
        batch: int,
        kv_heads: int,
        most: int,
        head_dim: int,
        *,
        rolling: bool = False,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        """Take the room.

        Raises:
            ValueError: if a size is below 1.
        """
        shape = (batch, kv_heads, most, head_dim)
        if min(shape) < 1:
            raise ValueError(
                "batch, kv_heads, most, head_dim: expected 1 or more of each, "
                f"got {shape}"
            )
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros_like(self.keys)
        self.most, self.rolling = most, rolling
        self.seen = 0  # positions so far, those overwritten too

    @property
    def nbytes(self) -> int:
        """Return the bytes of keys and values together."""
        return self.keys.nbytes + self.values.nbytes

    def append(
        self,
        key: Float[Tensor, "batch kv_heads new head_dim"],
        value: Float[Tensor, "batch kv_heads new head_dim"],
    ) -> tuple[Tensor, Tensor]:
        """Keep new positions, and return all that are kept, as views.

        Raises:
            ValueError: if there is no room, or a shape does not fit.
        """
        new = key.shape[2]
        for name, x, kept in (
            ("key", key, self.keys),
            ("value", value, self.values),
        ):
            expected = (*kept.shape[:2], new, kept.shape[3])
            if x.shape != expected:
                raise ValueError(
                    f"{name}: expected shape {expected}, got {tuple(x.shape)}"
                )
        if self.rolling:
            key, value = key[:, :, -self.most :], value[:, :, -self.most :]
        elif self.seen + new > self.most:
            raise ValueError(
                f"key: expected at most {self.most - self.seen} new "
                f"positions, the cache has room for {self.most} in all, "
                f"got {new}"
            )
        last = self.seen + new
        places = torch.arange(
            last - key.shape[2], last, device=self.keys.device
        )
        places = places % self.most
        self.keys[:, :, places] = key.detach()
        self.values[:, :, places] = value.detach()
        self.seen = last
        filled = min(self.seen, self.most)
        return self.keys[:, :, :filled], self.values[:, :, :filled]


def cache_bytes(
    layers: int,
    kv_heads: int,
    head_dim: int,
    positions: int,
    bytes_each: int = 2,
) -> int:
    """Return the bytes of the keys and values of one sequence.

    ``2 * layers * kv_heads * head_dim * positions * bytes_each``: two, for
    keys and values.

    Raises:
        ValueError: if a number is negative.
    """
    numbers = layers, kv_heads, head_dim, positions, bytes_each
    if min(numbers) < 0:
        raise ValueError(
            "layers, kv_heads, head_dim, positions, bytes_each: expected 0 "
            f"or more of each, got {numbers}"
        )
    return 2 * math.prod(numbers)


class GroupedQueryAttention(nn.Module):
    """Causal self-attention in which several query heads share one key head.

    ``kv_heads = heads`` is lesson 04's multi-head attention, ``kv_heads = 1``
    is multi-query attention (MQA), and what lies between is grouped-query
    attention (GQA). Query head h asks key head ``h // (heads / kv_heads)``.

    Args of the constructor:
        dim: numbers per token.
        heads: of the queries; must divide ``dim``.
        kv_heads: of keys and values; must divide ``heads``.
        window: how many keys back a query sees, itself counted; None for all.
        rotary: turn queries and keys by their position, as in lesson 03.

    Source: Shazeer (2019), "Fast Transformer decoding: one write-head is all
    you need", section 3; Ainslie et al. (2023), "GQA", section 2.2.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        kv_heads: int | None = None,
        *,
        window: int | None = None,
        rotary: bool = True,
        bias: bool = True,
    ) -> None:
        """Create the four projections.

        Raises:
            ValueError: if ``heads`` does not divide ``dim``, ``kv_heads``
                does not divide ``heads``, or ``window`` is below 1.
        """
        super().__init__()
        kv_heads = heads if kv_heads is None else kv_heads
        if heads < 1 or dim % heads:
            raise ValueError(
                f"heads: expected a number that divides dim {dim}, got {heads}"
            )
        if kv_heads < 1 or heads % kv_heads:
            raise ValueError(
                f"kv_heads: expected a number that divides heads {heads}, "
                f"got {kv_heads}"
            )
        if window is not None and window < 1:
            raise ValueError(f"window: expected 1 or more, got {window}")
        self.dim, self.heads, self.kv_heads = dim, heads, kv_heads
        self.head_dim = dim // heads
        self.window, self.rotary = window, rotary
        narrow = kv_heads * self.head_dim
        self.project_query = nn.Linear(dim, dim, bias=bias)
        self.project_key = nn.Linear(dim, narrow, bias=bias)
        self.project_value = nn.Linear(dim, narrow, bias=bias)
        self.project_out = nn.Linear(dim, dim, bias=bias)

    def forward(
        self,
        x: Float[Tensor, "batch length dim"],
        cache: KeyValueCache | None = None,
    ) -> Float[Tensor, "batch length dim"]:
        """Attend to what came before: in ``x``, and in the cache if given.

        Raises:
            ValueError: if the last dimension of ``x`` is not ``dim``, or the
                cache has no room, or is rolling and no longer empty while
                ``x`` has more than one position.
        """
        if x.dim() != 3 or x.shape[-1] != self.dim:
            raise ValueError(
                f"x: expected shape (batch, length, {self.dim}), "
                f"got {tuple(x.shape)}"
            )
        length, start = x.shape[1], cache.seen if cache is not None else 0
        places = torch.arange(start, start + length, device=x.device)
        q, k, v = self.project(x, places)
        if cache is not None and cache.rolling:
            if start and length > 1:
                raise ValueError(
                    "x: expected one position at a time once a rolling cache "
                    f"is filled, got {length}"
                )
            kept_k, kept_v = cache.append(k, v)
            if length == 1:  # all that is kept lies in the window
                return self.mix(self.attend(q, kept_k, kept_v, None))
        elif cache is not None:
            k, v = cache.append(k, v)
        mask = self._mask(places, k.shape[2])
        return self.mix(self.attend(q, k, v, mask))

    def project(
        self, x: Tensor, places: Int[Tensor, " length"]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Make queries ``(batch, heads, ...)``, and fewer keys and values."""
        q = split_heads(self.project_query(x), self.heads)
        k = split_heads(self.project_key(x), self.kv_heads)
        v = split_heads(self.project_value(x), self.kv_heads)
        if self.rotary:
            q, k = rotate(q, places), rotate(k, places)
        return q, k, v

    def attend(
        self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None
    ) -> Tensor:
        """Let each group of query heads ask its key head; copy no key.

        Heads that share keys are simply more queries: ``(batch, heads, q,
        d)`` becomes ``(batch, kv_heads, heads / kv_heads * q, d)``.
        """
        group = self.heads // self.kv_heads
        rows = q.unflatten(1, (self.kv_heads, group)).flatten(2, 3)
        if mask is not None and group > 1:
            mask = mask.repeat(group, 1)  # (group * q, k)
        found, _ = scaled_dot_product_attention(
            rows, k, v, mask, need_weights=False
        )
        found = found.unflatten(2, (group, q.shape[2]))
        return found.flatten(1, 2)  # (batch, heads, q, head_dim)

    def mix(self, found: Tensor) -> Tensor:
        """Put the heads side by side, and mix them."""
        return self.project_out(merge_heads(found))

    def new_cache(self, batch: int, most: int) -> KeyValueCache:
        """Make an empty cache; with a window it rolls, and is no longer."""
        weight = self.project_key.weight
        rolling = self.window is not None
        return KeyValueCache(
            batch,
            self.kv_heads,
            min(most, self.window) if rolling else most,
            self.head_dim,
            rolling=rolling,
            dtype=weight.dtype,
            device=weight.device,
        )

    @classmethod
    def from_multi_head(
        cls, layer: MultiHeadAttention, kv_heads: int, *, rotary: bool = False
    ) -> "GroupedQueryAttention":
        """Take lesson 04's layer, and average the key heads of each group.

        Source: Ainslie et al. (2023), section 2.1.

        Raises:
            ValueError: if ``kv_heads`` does not divide ``layer.heads``.
        """
        old = layer.project_in
        ours = cls(
            layer.dim,
            layer.heads,
            kv_heads,
            rotary=rotary,
            bias=old.bias is not None,
        ).to(old.weight)
        parts = (ours.project_query, ours.project_key, ours.project_value)
        with torch.no_grad():
            for index, new in enumerate(parts):
                rows = slice(index * layer.dim, (index + 1) * layer.dim)
                heads = layer.heads if index == 0 else kv_heads
                shape = (heads, layer.heads // heads, ours.head_dim)
                weight = old.weight[rows].unflatten(0, shape).mean(dim=1)
                new.weight.copy_(weight.flatten(0, 1))
                if old.bias is not None:
                    bias = old.bias[rows].unflatten(0, shape).mean(dim=1)
                    new.bias.copy_(bias.flatten())
            ours.project_out.load_state_dict(layer.project_out.state_dict())
        return ours

    def _mask(self, places: Tensor, keys: int) -> Tensor | None:
        """Allow what came before, within the window; None if that is all."""
        if len(places) == 1 and self.window is None:
            return None
        reach = keys if self.window is None else self.window - 1
        j = torch.arange(keys, device=places.device)
        return Window(reach)(places[:, None], j)


class Decoder(nn.Module):
    """A small language model: it reads tokens and foretells the next.

    Pre-norm layers of :class:`GroupedQueryAttention` and lesson 06's MLP.
    """

    def __init__(
        self,
        vocabulary: int,
        dim: int,
        heads: int,
        layers: int,
        kv_heads: int | None = None,
        *,
        window: int | None = None,
    ) -> None:
        """Create embedding, layers and output.

        Raises:
            ValueError: if ``vocabulary`` or ``layers`` is below 1, or as
                :class:`GroupedQueryAttention` does.
        """
        super().__init__()
        for name, number in (("vocabulary", vocabulary), ("layers", layers)):
            if number < 1:
                raise ValueError(f"{name}: expected 1 or more, got {number}")
        self.embedding = nn.Embedding(vocabulary, dim)
        self.layers = nn.ModuleList(
            nn.ModuleDict(
                {
                    "norm_attention": nn.LayerNorm(dim),
                    "attention": GroupedQueryAttention(
                        dim, heads, kv_heads, window=window
                    ),
                    "norm_mlp": nn.LayerNorm(dim),
                    "mlp": feed_forward(dim, 4 * dim),
                }
            )
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(dim)
        self.output = nn.Linear(dim, vocabulary, bias=False)

    def forward(
        self,
        tokens: Int[Tensor, "batch length"],
        caches: Sequence[KeyValueCache] | None = None,
    ) -> Float[Tensor, "batch length vocabulary"]:
        """Return a score for each next token, at each position.

        With caches, ``tokens`` are only the new ones.
        """
        caches = [None] * len(self.layers) if caches is None else caches
        x = self.embedding(tokens)  # (batch, length, dim)
        for layer, cache in zip(self.layers, caches):
            x = x + layer["attention"](layer["norm_attention"](x), cache)
            x = x + layer["mlp"](layer["norm_mlp"](x))
        return self.output(self.norm(x))

    def new_caches(self, batch: int, most: int) -> list[KeyValueCache]:
        """Make one empty cache a layer."""
        return [x["attention"].new_cache(batch, most) for x in self.layers]

    @torch.no_grad()
    def by_rows(
        self, tokens: Int[Tensor, "batch length"]
    ) -> Float[Tensor, "batch length vocabulary"]:
        """Compute what ``forward`` does, each position by calls of its own.

        Without any cache, but with the shapes that decoding with one has: a
        product for one row, an attention of one query. So each number comes
        out of the same additions in the same order.
        """
        rows = list(self.embedding(tokens).split(1, dim=1))
        for layer in self.layers:
            attention = layer["attention"]
            queries, keys, values = zip(
                *(
                    attention.project(
                        layer["norm_attention"](row),
                        torch.tensor([place], device=tokens.device),
                    )
                    for place, row in enumerate(rows)
                )
            )
            reach = attention.window or len(rows)
            for place, (row, query) in enumerate(zip(rows, queries)):
                seen = slice(max(0, place + 1 - reach), place + 1)
                found = attention.attend(
                    query,
                    torch.cat(keys[seen], dim=2),
                    torch.cat(values[seen], dim=2),
                    None,
                )
                row = row + attention.mix(found)
                rows[place] = row + layer["mlp"](layer["norm_mlp"](row))
        return torch.cat([self.output(self.norm(r)) for r in rows], dim=1)


class Generated(NamedTuple):
    """What :func:`generate` wrote."""

    tokens: Int[Tensor, "batch length"]  # the prompt, and what follows
    logits: Float[Tensor, "batch steps vocabulary"]  # of each new token


@torch.no_grad()
def generate(
    model: Decoder,
    prompt: Int[Tensor, "batch length"],
    steps: int,
    *,
    how: str = "cached",
    caches: Sequence[KeyValueCache] | None = None,
) -> Generated:
    """Continue a prompt, each time with the likeliest token.

    Args:
        model: gives the scores.
        prompt: what stands already; at least one token a row.
        steps: how many tokens to add.
        how: "cached" computes each position once; "recomputed" computes all
            of them again for every token, and "by rows" does that with
            :meth:`Decoder.by_rows`.
        caches: empty ones to use; by default new ones.

    Raises:
        ValueError: if ``how`` is unknown, ``steps`` is below 1, or the prompt
            is empty.
    """
    ways = ("cached", "recomputed", "by rows")
    if how not in ways:
        raise ValueError(f"how: expected one of {ways}, got {how!r}")
    if steps < 1:
        raise ValueError(f"steps: expected 1 or more, got {steps}")
    if prompt.shape[1] == 0:
        raise ValueError("prompt: expected at least 1 token, got 0")
    tokens, logits = prompt, []
    if how == "cached":
        most = prompt.shape[1] + steps
        caches = caches or model.new_caches(prompt.shape[0], most)
        for token in prompt[:, :-1].split(1, dim=1):  # one row at a time
            model(token, caches)
    for _ in range(steps):
        if how == "cached":
            found = model(tokens[:, -1:], caches)[:, -1]
        elif how == "recomputed":
            found = model(tokens)[:, -1]
        else:
            found = model.by_rows(tokens)[:, -1]
        found = found.clone()  # a view would keep the scores of all positions
        logits.append(found)
        tokens = torch.cat([tokens, found.argmax(-1, keepdim=True)], dim=1)
    return Generated(tokens, torch.stack(logits, dim=1))


# Attention without softmax --------------------------------------------------------


def positive(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Make numbers positive: ``elu(x) + 1``, that is x + 1 or exp(x).

    Source: Katharopoulos et al. (2020), section 3.2.1, equation 7.
    """
    return F.elu(x) + 1


class LinearState:
    """A causal linear attention's memory: its size does not grow.

    ``S = sum_j phi(k_j) v_j^T`` and ``z = sum_j phi(k_j)``; a query reads
    ``phi(q) S / (phi(q) z)``.

    Source: Katharopoulos et al. (2020), "Transformers are RNNs: fast
    autoregressive Transformers with linear attention", section 3.4,
    equations 16 to 20.
    """

    def __init__(self) -> None:
        self.pairs: Tensor | None = None  # S, (*batch, d, v)
        self.keys: Tensor | None = None  # z, (*batch, d)

    def step(
        self,
        query: Float[Tensor, "*batch d"],
        key: Float[Tensor, "*batch d"],
        value: Float[Tensor, "*batch v"],
    ) -> Float[Tensor, "*batch v"]:
        """Take in one key and value, and answer one query."""
        query, key = positive(query), positive(key)
        pair = key[..., :, None] * value[..., None, :]  # (*batch, d, v)
        self.pairs = pair if self.pairs is None else self.pairs + pair
        self.keys = key if self.keys is None else self.keys + key
        mixed = (query[..., None, :] @ self.pairs)[..., 0, :]
        return mixed / (query * self.keys).sum(dim=-1, keepdim=True)

    @property
    def nbytes(self) -> int:
        """Return the bytes that are kept."""
        kept = [x for x in (self.pairs, self.keys) if x is not None]
        return sum(x.nbytes for x in kept)


def linear_attention(
    query: Float[Tensor, "*batch q d"],
    key: Float[Tensor, "*batch k d"],
    value: Float[Tensor, "*batch k v"],
    *,
    causal: bool = False,
    chunk: int = 128,
) -> Float[Tensor, "*batch q v"]:
    """Attend with weights ``phi(q) phi(k)^T`` in place of a softmax.

    ``output_i = phi(q_i) sum_j phi(k_j) v_j^T / (phi(q_i) sum_j phi(k_j))``:
    the sums are taken once for all queries, so no score exists. Causal sums
    end at j = i; they are carried from chunk to chunk.

    Raises:
        ValueError: if a shape does not fit, ``chunk`` is below 1, or queries
            and keys differ in number while ``causal`` is True.

    Source: Katharopoulos et al. (2020), section 3.2, equations 5 and 9.
    """
    check_shapes(query, key, value)
    if chunk < 1:
        raise ValueError(f"chunk: expected 1 or more, got {chunk}")
    query, key = positive(query), positive(key)
    if not causal:
        pairs = key.transpose(-2, -1) @ value  # (*batch, d, v)
        total = query @ key.sum(dim=-2)[..., None]  # (*batch, q, 1)
        return query @ pairs / total
    if query.shape[-2] != key.shape[-2]:
        raise ValueError(
            f"key: expected as many as queries, {query.shape[-2]}, "
            f"got {key.shape[-2]}"
        )
    pairs = value.new_zeros(*key.shape[:-2], key.shape[-1], value.shape[-1])
    total = key.new_zeros(*key.shape[:-2], key.shape[-1])
    found = []
    for rows in _pieces(query.shape[-2], chunk):
        q, k, v = (x[..., rows, :] for x in (query, key, value))
        inside = (q @ k.transpose(-2, -1)).tril()  # (*batch, chunk, chunk)
        mixed = q @ pairs + inside @ v
        over = q @ total[..., None] + inside.sum(dim=-1, keepdim=True)
        found.append(mixed / over)
        pairs = pairs + k.transpose(-2, -1) @ v
        total = total + k.sum(dim=-2)
    return torch.cat(found, dim=-2)


def pairs_to_recall(
    batch: int,
    count: int,
    keys: int,
    values: int,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw lists of pairs, all keys of a list different.

    Returns:
        Keys ``(batch, count)``, values ``(batch, count)``. Every key is asked
        for, so the values are the right answers; and which key comes with
        which value is drawn anew for every list, so nothing can be learned
        by heart. Third, the order in which keys are asked, ``(batch,
        count)``.

    Raises:
        ValueError: if there are fewer than ``count`` keys.

    Source: the task is that of Arora et al. (2023), "Zoology: measuring and
    improving recall in efficient language models", in small.
    """
    if not 1 <= count <= keys:
        raise ValueError(f"count: expected 1 to {keys}, the keys, got {count}")
    noise = torch.rand(batch, keys, generator=generator)
    chosen = noise.argsort(dim=1)[:, :count]
    said = torch.randint(values, (batch, count), generator=generator)
    order = torch.rand(batch, count, generator=generator).argsort(dim=1)
    return chosen, said, order


class Recall(nn.Module):
    """One head that must look values up by their keys.

    Each place of the list holds a key and a value; a query is a key alone.
    ``kind`` is "softmax" or "linear"; all else is the same.
    """

    def __init__(self, kind: str, keys: int, values: int, dim: int) -> None:
        """Create embeddings and projections.

        Raises:
            ValueError: if ``kind`` is unknown.
        """
        super().__init__()
        if kind not in ("softmax", "linear"):
            raise ValueError(
                f"kind: expected 'softmax' or 'linear', got {kind!r}"
            )
        self.kind = kind
        self.key_table = nn.Embedding(keys, dim)
        self.value_table = nn.Embedding(values, dim)
        self.project_query = nn.Linear(dim, dim)
        self.project_key = nn.Linear(dim, dim)
        self.output = nn.Linear(dim, values)

    def forward(
        self,
        keys: Int[Tensor, "batch k"],
        values: Int[Tensor, "batch k"],
        asked: Int[Tensor, "batch q"],
    ) -> Float[Tensor, "batch q values"]:
        """Return a score for each value, for each key that is asked."""
        query, key = self.queries_and_keys(keys, asked)
        value = self.value_table(values)
        if self.kind == "linear":
            found = linear_attention(query, key, value)
        else:
            found, _ = scaled_dot_product_attention(query, key, value)
        return self.output(found)

    def weights(
        self, keys: Int[Tensor, "batch k"], asked: Int[Tensor, "batch q"]
    ) -> Float[Tensor, "batch q k"]:
        """Return the weights, which the linear kind never writes down."""
        query, key = self.queries_and_keys(keys, asked)
        if self.kind == "softmax":
            return scaled_dot_product_attention(query, key, key)[1]
        products = positive(query) @ positive(key).transpose(-2, -1)
        return products / products.sum(dim=-1, keepdim=True)

    def queries_and_keys(
        self, keys: Tensor, asked: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Look the keys up in their table, and project both sides."""
        return (
            self.project_query(self.key_table(asked)),
            self.project_key(self.key_table(keys)),
        )


# What a large model would cost --------------------------------------------------

BYTES = {"32 bits": 4, "16 bits": 2, "8 bits": 1}
PHASES = ("read the prompt", "write one token")


@dataclass(frozen=True)
class ModelSize:
    """The sizes of a decoder, and where they are published."""

    name: str
    layers: int
    dim: int
    heads: int
    kv_heads: int
    head_dim: int
    mlp_dim: int  # width inside the MLP
    vocabulary: int
    source: str
    gated: bool = True  # an MLP of three matrices, not two
    tied: bool = False  # input and output share one table
    positions: int = 0  # learned ones
    window: int | None = None

    @property
    def per_layer(self) -> int:
        """Return the parameters in the matrices of one layer."""
        wide, narrow = (
            self.heads * self.head_dim,
            self.kv_heads * self.head_dim,
        )
        attention = 2 * self.dim * wide + 2 * self.dim * narrow
        return attention + (3 if self.gated else 2) * self.dim * self.mlp_dim

    @property
    def parameters(self) -> int:
        """Return all parameters, without biases and norms (far below 1 %)."""
        tables = (1 if self.tied else 2) * self.vocabulary + self.positions
        return self.layers * self.per_layer + tables * self.dim

    def cache_bytes(self, context: int, bytes_each: int = 2) -> int:
        """Return the bytes of the cache of one sequence."""
        seen = min(context, self.window or context)
        return cache_bytes(
            self.layers, self.kv_heads, self.head_dim, seen, bytes_each
        )


MODELS = {
    model.name: model
    for model in (
        ModelSize(
            "GPT-2 124M",
            12,
            768,
            12,
            12,
            64,
            3072,
            50257,
            "Radford et al. (2019), and the released configuration",
            gated=False,
            tied=True,
            positions=1024,
        ),
        ModelSize(
            "Falcon 7B",
            32,
            4544,
            71,
            1,
            64,
            4 * 4544,
            65024,
            "Almazrouei et al. (2023), and the released configuration",
            gated=False,
        ),
        ModelSize(
            "Llama 2 7B",
            32,
            4096,
            32,
            32,
            128,
            11008,
            32000,
            "Touvron et al. (2023), and the released configuration",
        ),
        ModelSize(
            "Mistral 7B",
            32,
            4096,
            32,
            8,
            128,
            14336,
            32000,
            "Jiang et al. (2023), table 1",
            window=4096,
        ),
        ModelSize(
            "Llama 3 8B",
            32,
            4096,
            32,
            8,
            128,
            14336,
            128256,
            "Grattafiori et al. (2024), table 3, and the released "
            "configuration",
        ),
        ModelSize(
            "Llama 2 70B",
            80,
            8192,
            64,
            8,
            128,
            28672,
            32000,
            "Touvron et al. (2023), and the released configuration",
        ),
        ModelSize(
            "GPT-3 175B",
            96,
            12288,
            96,
            96,
            128,
            4 * 12288,
            50257,
            "Brown et al. (2020), table 2.1",
            gated=False,
            tied=True,
            positions=2048,
        ),
    )
}


@dataclass(frozen=True)
class Accelerator:
    """What a device can do at best, as its maker says, without sparsity."""

    name: str
    speed: dict[str, float]  # products, FLOP/s, by precision
    bandwidth: float  # of its memory, bytes/s
    memory: float  # bytes
    source: str


def _accelerator(name, speeds, bandwidth, memory, source):
    speed = {bits: x * 1e12 for bits, x in zip(BYTES, speeds)}
    return Accelerator(name, speed, bandwidth * 1e9, memory * 1e9, source)


ACCELERATORS = {
    device.name: device
    for device in (
        _accelerator(
            "NVIDIA T4",
            (8.1, 65, 130),
            320,
            16,
            "NVIDIA T4 datasheet, and its product brief for the bandwidth",
        ),
        _accelerator(
            "GeForce RTX 4090",
            (82.6, 165.2, 660.6),
            1008,
            24,
            "NVIDIA Ada GPU architecture whitepaper, appendix A",
        ),
        _accelerator(
            "NVIDIA A100 80GB SXM",
            (19.5, 312, 624),
            2039,
            80,
            "NVIDIA A100 datasheet",
        ),
        _accelerator(
            "NVIDIA H100 80GB SXM",
            (67, 989, 1979),
            3350,
            80,
            "NVIDIA H100 datasheet, half of the numbers with sparsity",
        ),
    )
}


@dataclass(frozen=True)
class Estimate:
    """What a step of a model costs on a device, at the least."""

    flops: float
    moved: float  # bytes between memory and processor
    weights: float  # bytes
    cache: float  # bytes, all sequences
    scores: float  # bytes of one layer's scores and weights, if untiled
    capacity: float  # bytes of the device
    compute_seconds: float
    memory_seconds: float

    @property
    def held(self) -> float:
        """Return the bytes that have to fit."""
        return self.weights + self.cache + self.scores

    @property
    def intensity(self) -> float:
        """Return FLOPs per byte moved."""
        return self.flops / self.moved

    @property
    def seconds(self) -> float:
        """Return the time, if computing and moving overlap perfectly."""
        return max(self.compute_seconds, self.memory_seconds)

    @property
    def wall(self) -> str:
        """Name what stops it from being faster: the wall that is hit."""
        if self.held > self.capacity:
            return "capacity"
        slow = self.memory_seconds > self.compute_seconds
        return "bandwidth" if slow else "compute"


def estimate(
    model: ModelSize,
    device: Accelerator,
    context: int,
    batch: int = 1,
    *,
    precision: str = "16 bits",
    phase: str = PHASES[1],
    tiled: bool = True,
) -> Estimate:
    """Foretell what a model costs for a context: the roofline model.

    A token costs 2 FLOPs per parameter in a matrix, and 4 per key, head and
    head dimension. Moved are the weights once (of an input table of its own
    only the tokens' rows), the cache, and, if attention is not tiled, scores
    and weights: each written and read. Activations are left out, so this is
    the best case. Time is the longer of computing and moving.

    Args:
        model: its sizes.
        device: what it runs on.
        context: tokens of each sequence, those of the prompt counted.
        batch: sequences at a time.
        precision: of weights and cache: "32 bits", "16 bits" or "8 bits".
        phase: "read the prompt" (all of ``context`` at once) or "write one
            token" (for each sequence, with ``context`` tokens cached).
        tiled: attention in tiles, so that no score is written to memory.

    Raises:
        ValueError: if ``context`` or ``batch`` is below 1, or ``precision``
            or ``phase`` is unknown.

    Source: Williams, Waterman and Patterson (2009), "Roofline: an insightful
    visual performance model"; the count of FLOPs is that of Kaplan et al.
    (2020), "Scaling laws for neural language models", section 2.1.
    """
    if context < 1 or batch < 1:
        raise ValueError(
            f"context, batch: expected 1 or more, got {context} and {batch}"
        )
    if precision not in BYTES:
        raise ValueError(
            f"precision: expected one of {tuple(BYTES)}, got {precision!r}"
        )
    if phase not in PHASES:
        raise ValueError(f"phase: expected one of {PHASES}, got {phase!r}")
    size, window = BYTES[precision], min(context, model.window or context)
    reading = phase == PHASES[0]
    # Pairs of query and key, in one layer and one sequence.
    pairs = window
    if reading:
        pairs = window * (window + 1) // 2 + (context - window) * window
    rows = context if reading else 1
    wide = model.heads * model.head_dim
    flops = batch * (
        2 * model.layers * model.per_layer * rows
        + 2 * model.dim * model.vocabulary  # only the last token's scores
        + 4 * model.layers * wide * pairs
    )
    weights = size * model.parameters
    unread = 0 if model.tied else max(0, model.vocabulary - batch * rows)
    cache = batch * model.cache_bytes(context, size)
    scores = 0
    if not tiled:  # scores and weights, of all pairs, masked ones too
        scores = 2 * size * batch * model.heads * rows * context
    moved = weights - size * unread * model.dim + cache
    moved += 2 * model.layers * scores
    return Estimate(
        flops=flops,
        moved=moved,
        weights=weights,
        cache=cache,
        scores=scores,
        capacity=device.memory,
        compute_seconds=flops / device.speed[precision],
        memory_seconds=moved / device.bandwidth,
    )
