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
from torch.nn.attention import SDPBackend

from attn_course.dot_product import check_shapes

HALF = (torch.float16, torch.bfloat16)
FLASH = SDPBackend.FLASH_ATTENTION.value  # torch's number for a fused kernel
LANES = 16  # the most numbers that a CPU's vector holds


def stable_softmax(
    scores: Float[Tensor, "*batch k"],
) -> Float[Tensor, "*batch k"]:
    """Turn scores into weights without overflow.

    ``softmax(s)_j = exp(s_j - m) / sum_i exp(s_i - m)`` with ``m = max(s)``:
    the same weights, since softmax does not change when all scores shift by
    one number, and no power above ``exp(0) = 1``. ``torch.softmax`` does the
    same in one kernel; the rest of the course calls that.

    Raises:
        ValueError: if ``scores`` is not floating point or has no key.

    Source: Goodfellow, Bengio and Courville (2016), "Deep Learning",
    section 4.1.
    """
    if not scores.is_floating_point():
        raise ValueError(
            f"scores: expected floating point numbers, got {scores.dtype}"
        )
    if scores.shape[-1] == 0:
        raise ValueError("scores: expected at least 1 key, got 0")
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
    if length < 0:
        raise ValueError(f"length: expected 0 or more, got {length}")
    return torch.ones(length, length, dtype=torch.bool, device=device).tril()


def padding_mask(
    lengths: Int[Tensor, " batch"], max_length: int | None = None
) -> Bool[Tensor, "batch max_length"]:
    """Mark the real tokens of each sequence in a padded batch.

    ``mask[b, j] = (j < lengths[b])``; True = may attend. To mask the keys of
    every query, add a dimension: ``mask[:, None, :]`` is ``(batch, 1, k)``.

    Args:
        lengths: how many real tokens each sequence has.
        max_length: the padded length; by default the longest sequence.

    Raises:
        ValueError: if a length is negative or above ``max_length``.
    """
    if not isinstance(lengths, Tensor):
        raise ValueError(
            f"lengths: expected a tensor, got {type(lengths).__name__}"
        )
    whole = not lengths.is_floating_point() and lengths.dtype != torch.bool
    if lengths.dim() != 1 or not whole:
        raise ValueError(
            "lengths: expected one whole number per sequence, "
            f"got {lengths.dtype} of shape {tuple(lengths.shape)}"
        )
    longest = int(lengths.max()) if lengths.numel() else 0
    max_length = longest if max_length is None else max_length
    if longest > max_length or (lengths < 0).any():
        raise ValueError(
            f"lengths: expected numbers from 0 to {max_length}, "
            f"got {lengths.tolist()}"
        )
    positions = torch.arange(max_length, device=lengths.device)
    return positions < lengths[:, None]  # (batch, max_length)


def scaled_dot_product_attention(
    query: Float[Tensor, "*batch q d"],
    key: Float[Tensor, "*batch k d"],
    value: Float[Tensor, "*batch k v"],
    mask: Bool[Tensor, "..."] | None = None,
    *,
    scale: float | None = None,
    need_weights: bool = True,
) -> tuple[Float[Tensor, "*batch q v"], Float[Tensor, "*batch q k"] | None]:
    """Attend from every query to the keys, and mix the values.

    ``output = softmax(query key^T * scale) value``, where the softmax runs
    over the keys that the mask allows.

    Args:
        query: one row per query.
        key: one row per key; the same batch as the query.
        value: one row per key.
        mask: True = may attend. Any shape that broadcasts to
            ``(*batch, q, k)``. A query that may attend to nothing gets
            weights 0 and output 0, with finite gradients.
        scale: by default ``1 / sqrt(d)``; ``scale=1`` is plain dot-product
            attention.
        need_weights: with False, torch's fused kernel computes the output,
            and ``None`` is returned for the weights.

    Returns:
        The output ``(*batch, q, v)``, and the weights ``(*batch, q, k)`` or
        None. In half precision it computes in float32.

    Raises:
        ValueError: if a shape, dtype or device does not fit, or the result
            is not finite; the message names the argument, what was expected
            and what came. (With ``need_weights=False`` the result may pass
            as inf if a finite value is beyond the largest float / k.)

    Source: Vaswani et al. (2017), "Attention is all you need", section 3.2.1,
    equation 1.
    """
    check_shapes(query, key, value)
    if query.shape[-1] == 0:
        raise ValueError("query: expected a size d of at least 1, got 0")
    exact = torch.float32 if query.dtype in HALF else query.dtype
    if scale is None:
        scale = 1 / math.sqrt(query.shape[-1])
    elif not abs(scale) <= torch.finfo(exact).max:
        raise ValueError(
            f"scale: expected a finite number of {exact}, got {scale}"
        )
    if mask is not None:
        _check_mask(mask, query, key)

    if need_weights or 0 in (query.numel(), key.numel(), value.numel()):
        scores = _scaled_scores(query.to(exact), key.to(exact), scale)
        weights = masked_softmax(scores, mask)  # (*batch, q, k)
        output = (weights @ value.to(exact)).to(value.dtype)  # (*batch, q, v)
        normaliser = None
    else:
        output, normaliser = _fused(query, key, value, mask, scale)

    if not torch.compiler.is_compiling():
        _check_finite(output, normaliser, query, key, value, mask, scale)
    return output, weights.to(value.dtype) if need_weights else None


def masked_softmax(
    scores: Float[Tensor, "*batch q k"],
    mask: Bool[Tensor, "..."] | None = None,
) -> Float[Tensor, "*batch q k"]:
    """Take the softmax over the keys that are allowed; the others get 0.

    Forbidden scores become -inf *before* the softmax, so that the allowed
    weights sum to 1. A row in which nothing is allowed would become
    ``0 / 0 = NaN``; it keeps its scores, and its weights are set to 0.
    Half precision scores are taken to float32 first.
    """
    if scores.dtype in HALF:
        scores = scores.float()
    if mask is None or scores.numel() == 0:
        return torch.softmax(scores, dim=-1)
    # amax of bytes is the same as any(), and twenty times as fast on a CPU.
    some = mask.view(torch.uint8).amax(dim=-1, keepdim=True).bool()
    scores = scores.masked_fill(~mask & some, -math.inf)
    weights = torch.softmax(scores, dim=-1)
    if torch.compiler.is_compiling() or not some.all():
        weights = weights.masked_fill(~some, 0.0)
    return weights


class Attention(nn.Module):
    """Scaled dot-product attention with a learned projection for each input.

    ``output = softmax(Q K^T / sqrt(hidden_size)) V`` with
    ``Q = query W_q + b_q``, ``K = key W_k + b_k``, ``V = value W_v + b_v``.
    Lesson 03 asks what the three projections are for.

    Shapes: query ``(*batch, q, hidden_size)``, key and value
    ``(*batch, k, hidden_size)``, output ``(*batch, q, hidden_size)``.
    """

    def __init__(self, hidden_size: int) -> None:
        """Create the three projections.

        Raises:
            ValueError: if ``hidden_size`` is not at least 1.
        """
        super().__init__()
        if hidden_size < 1:
            raise ValueError(
                f"hidden_size: expected 1 or more, got {hidden_size}"
            )
        self.hidden_size = hidden_size
        self.query = nn.Linear(hidden_size, hidden_size)
        self.key = nn.Linear(hidden_size, hidden_size)
        self.value = nn.Linear(hidden_size, hidden_size)

    def forward(
        self,
        query: Float[Tensor, "*batch q hidden"],
        key: Float[Tensor, "*batch k hidden"],
        value: Float[Tensor, "*batch k hidden"],
        mask: Bool[Tensor, "..."] | None = None,
    ) -> Float[Tensor, "*batch q hidden"]:
        """Project the three inputs, attend, and return the output.

        Raises:
            ValueError: if an input's last dimension is not ``hidden_size``,
                or as :func:`scaled_dot_product_attention` does.
        """
        inputs = (("query", query), ("key", key), ("value", value))
        for name, tensor in inputs:
            if not isinstance(tensor, Tensor):
                raise ValueError(
                    f"{name}: expected a torch tensor, "
                    f"got {type(tensor).__name__}"
                )
            if tensor.shape[-1:] != (self.hidden_size,):
                raise ValueError(
                    f"{name}: expected last dimension {self.hidden_size} "
                    f"(hidden_size), got shape {tuple(tensor.shape)}"
                )
        output, _ = scaled_dot_product_attention(
            self.query(query), self.key(key), self.value(value), mask
        )
        return output


def entropy(weights: Float[Tensor, "*batch k"]) -> Float[Tensor, "*batch"]:
    """Measure how spread out weights are, in bits.

    ``H = - sum_j w_j log2 w_j``: 0 when one key takes all, ``log2 k`` when k
    keys share evenly.

    Source: Shannon (1948), "A mathematical theory of communication",
    section 6.
    """
    return torch.special.entr(weights).sum(dim=-1) / math.log(2)


class ScoreStatistics(NamedTuple):
    """What :func:`score_statistics` measured."""

    variance: float  # of the scores
    entropy: float  # of the weights, in bits, mean over the queries
    gradient: float  # length, median over the queries


def score_statistics(
    d: int, *, scale: float, keys: int = 64, queries: int = 256, seed: int = 0
) -> ScoreStatistics:
    """Measure scores, weights and gradient for random queries and keys.

    Queries and keys are drawn from a normal distribution of mean 0 and
    variance 1, as a freshly initialised layer gives them. The gradient is
    that of each query's largest weight with respect to its scores: how much
    that weight can still be moved. Of its length the median is taken, since
    a few queries with two nearly equal best keys would carry a mean.

    Raises:
        ValueError: if ``d``, ``keys`` or ``queries`` is below 1.

    Source: the argument is Vaswani et al. (2017), section 3.2.1, footnote 4;
    the experiment is ours.
    """
    for name, number in (("d", d), ("keys", keys), ("queries", queries)):
        if number < 1:
            raise ValueError(f"{name}: expected 1 or more, got {number}")
    generator = torch.Generator().manual_seed(seed)
    options = {"generator": generator, "dtype": torch.float64}
    query = torch.randn(queries, d, **options)
    key = torch.randn(keys, d, **options)
    scores = ((query @ key.T) * scale).requires_grad_()  # (queries, keys)
    weights = torch.softmax(scores, dim=-1)
    (gradient,) = torch.autograd.grad(weights.amax(dim=-1).sum(), scores)
    return ScoreStatistics(
        variance=scores.detach().var().item(),
        entropy=entropy(weights.detach()).mean().item(),
        gradient=gradient.norm(dim=-1).median().item(),
    )


def _scaled_scores(query: Tensor, key: Tensor, scale: float) -> Tensor:
    """Compute ``query key^T * scale``, scaling within the matrix product.

    So neither the queries nor the scores are gone through once more.
    """
    *batch, length, size = query.shape
    many = math.prod(batch)
    scores = torch.baddbmm(
        query.new_empty(()),  # times beta: not read
        query.reshape(many, length, size),
        key.reshape(many, *key.shape[-2:]).transpose(-2, -1),
        beta=0,
        alpha=scale,
    )
    return scores.view(*batch, length, key.shape[-2])


def _fused(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    scale: float,
) -> tuple[Tensor, Tensor | None]:
    """Call torch's fused kernel, which wants (batch, heads, length, dim).

    On a CPU the kernel also finds ``log sum_j exp(score_j)``, one number per
    query, which tells whether its scores were finite; torch needs it for the
    gradient and keeps it to itself. So where torch would choose that kernel,
    it is called by its own name, and both are returned; elsewhere the second
    is None.
    """
    if mask is not None and mask.dim() < 2:
        mask = mask.expand(1, 1) if mask.dim() == 0 else mask[None]
    if query.dim() == 4:
        if mask is None and _chooses_cpu_kernel(query, key, value):
            return torch._scaled_dot_product_flash_attention_for_cpu(
                query, key, value, scale=scale
            )
        output = F.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, scale=scale
        )
        return output, None
    if mask is not None:
        mask = _flatten_mask(mask, query)
    flat = (x.reshape(-1, 1, *x.shape[-2:]) for x in (query, key, value))
    output, normaliser = _fused(*flat, mask, scale)  # (batch, 1, length, dim)
    return output.reshape(*query.shape[:-1], value.shape[-1]), normaliser


def _chooses_cpu_kernel(query: Tensor, key: Tensor, value: Tensor) -> bool:
    """Say whether torch would compute this by its fused kernel for CPUs."""
    return (
        query.is_cpu
        and not torch.compiler.is_compiling()
        and not torch.is_autocast_enabled("cpu")
        and torch._fused_sdp_choice(query, key, value) == FLASH
    )


def _flatten_mask(mask: Tensor, query: Tensor) -> Tensor:
    """Give a mask the shape (batch or 1, 1, q or 1, k or 1)."""
    *batch, rows, columns = (1,) * (query.dim() - mask.dim()) + mask.shape
    if any(size > 1 for size in batch):
        batch = query.shape[:-2]
    return mask.expand(*batch, rows, columns).reshape(-1, 1, rows, columns)


def _check_mask(mask: Tensor, query: Tensor, key: Tensor) -> None:
    """Refuse a mask that is not boolean or does not fit the scores."""
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        found = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
        raise ValueError(
            f"mask: expected a boolean tensor (True = may attend), got {found}"
        )
    if mask.device != query.device:
        raise ValueError(
            f"mask: expected the query's device {query.device}, "
            f"got {mask.device}"
        )
    expected = (*query.shape[:-1], key.shape[-2])
    fits = mask.dim() <= len(expected) and all(
        size in (1, wanted)
        for size, wanted in zip(reversed(mask.shape), reversed(expected))
    )
    if not fits:
        raise ValueError(
            f"mask: expected a shape that broadcasts to {expected}, the "
            f"scores' shape, got {tuple(mask.shape)}"
        )


def _check_finite(
    output: Tensor,
    normaliser: Tensor | None,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    scale: float,
) -> None:
    """Refuse a result that is not finite, and say which input made it so.

    A mask can hide a number that is not finite from the output, but not from
    the gradient; a scale of 0 hides it too; and torch's fused kernel answers 0
    to a query of nan if the keys fill no vector of the processor. In these
    cases the inputs are looked at as well.

    With ``normaliser``, the log-sum-exp of each query's scores, little is read
    of the output: a query of which a score is inf or nan has no finite number
    there, and where torch found no score above -inf it puts 0. A value that is
    not finite shows in the output of every query, so also in the last one's.
    """
    seen = (output,)
    if mask is not None or scale == 0 or key.shape[-2] < LANES:
        seen = (output, query, key, value)
    if normaliser is None:
        total = output.sum()
    else:  # x / x is 1, but nan where x is 0, inf or nan
        total = (normaliser / normaliser).sum() + output.select(-2, -1).sum()
    for x in seen[1:]:
        total = total + x.sum()
    if math.isfinite(total.item()):
        return
    if normaliser is not None:
        best = _best_of_silent(normaliser, query, key, scale)
        seen = (*seen, normaliser, best)
    if all(x.isfinite().all() for x in seen):
        return  # only the sum was too large
    for name, tensor in (("query", query), ("key", key), ("value", value)):
        bad = ~tensor.isfinite()
        if bad.any():
            place = tuple(bad.nonzero()[0].tolist())
            raise ValueError(
                f"{name}: expected finite numbers, got "
                f"{tensor[place].item()} at index {place} (a weight of 0 "
                "does not hide it: 0 * nan is nan)"
            )
    raise ValueError(
        "query, key: expected scores that fit "
        f"{query.dtype}, got an overflow; make the inputs or the scale smaller"
    )


def _best_of_silent(
    normaliser: Tensor, query: Tensor, key: Tensor, scale: float
) -> Tensor:
    """Compute the best scores anew where a log-sum-exp of 0 is in doubt.

    It is 0 if no score is above -inf, but also for one key with a score of 0.
    """
    exact = torch.float32 if query.dtype in HALF else query.dtype
    doubt = (normaliser == 0).view(query.shape[:-1]).any(dim=-1)  # (*batch,)
    query, key = (x.detach()[doubt].to(exact) for x in (query, key))
    return _scaled_scores(query, key, scale).amax(dim=-1)
