"""Attention without a softmax, and the task that shows its price."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from attn_course.common.arguments import (
    check_at_least,
    check_choice,
    check_shapes,
)
from attn_course.efficient_attention.tiled import blocks
from attn_course.scaled_dot_product import scaled_dot_product_attention


def elu_feature_map(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Make numbers positive: ``elu(x) + 1``, that is x + 1 or exp(x).

    Written so that exp(x) is not first rounded beside 1: ``F.elu(x) + 1`` is
    0 from x = -17 down in float32.

    Source: Katharopoulos et al. (2020), section 3.2.1, equation 7.
    """
    return F.relu(x) + x.clamp(max=0).exp()


class LinearState:
    """A causal linear attention's memory: its size does not grow.

    ``S = sum_j phi(k_j) v_j^T`` and ``z = sum_j phi(k_j)``; a query reads
    ``phi(q) S / (phi(q) z)``. Half precision is summed in float32: in
    bfloat16 a sum of ones stops at 256. Both sums are kept divided by
    ``exp(level)``, see :func:`linear_attention`.

    Source: Katharopoulos et al. (2020), "Transformers are RNNs: fast
    autoregressive Transformers with linear attention", section 3.4,
    equations 16 to 20.
    """

    def __init__(self) -> None:
        self.pairs: Tensor | None = None  # S, (*batch, d, v)
        self.keys: Tensor | None = None  # z, (*batch, d)
        self.level: Tensor | None = None  # (*batch, 1)

    def step(
        self,
        query: Float[Tensor, "*batch d"],
        key: Float[Tensor, "*batch d"],
        value: Float[Tensor, "*batch v"],
    ) -> Float[Tensor, "*batch v"]:
        """Take in one key and value, and answer one query."""
        q, k, v = _prepare(query, key, value)
        level = _levels(k[..., None, :])[..., 0, :]  # (*batch, 1)
        if self.level is not None:
            level = torch.maximum(level, self.level)
        k = elu_feature_map(k - level)
        pair = k[..., :, None] * v[..., None, :]  # (*batch, d, v)
        if self.level is not None:
            kept = (self.level - level).exp()  # 1 or less
            k = kept * self.keys + k
            pair = kept[..., None] * self.pairs + pair
        self.pairs, self.keys, self.level = pair, k, level
        mixed = (q[..., None, :] @ self.pairs)[..., 0, :]
        output = mixed / (q * self.keys).sum(dim=-1, keepdim=True)
        return output.to(value.dtype)

    @property
    def nbytes(self) -> int:
        """Return the bytes of the two sums."""
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
    end at j = i; they are carried from chunk to chunk. Half precision is
    summed in float32. Where all numbers of all keys so far lie below 0, phi
    is exp, and they are first raised by their ``level``, so that the largest
    is 0: the division takes that out again. A weight below 1e-38 beside the
    largest that a query and a key could have is still 0, and numbers of 1e18
    have products too large for float32: what is left of such is nan.

    Raises:
        ValueError: if a shape does not fit, ``chunk`` is below 1, or queries
            and keys differ in number while ``causal`` is True.

    Source: Katharopoulos et al. (2020), section 3.2, equations 5 and 9.
    """
    check_shapes(query, key, value)
    check_at_least(1, chunk=chunk)
    if causal and query.shape[-2] != key.shape[-2]:
        raise ValueError(
            f"key: expected as many as queries, {query.shape[-2]}, "
            f"got {key.shape[-2]}"
        )
    q, k, v = _prepare(query, key, value)
    if causal:
        return _causal(q, k, v, chunk).to(value.dtype)
    k = elu_feature_map(k - _levels(k)[..., -1:, :])
    pairs = k.transpose(-2, -1) @ v  # (*batch, d, v)
    total = q @ k.sum(dim=-2)[..., None]  # (*batch, q, 1)
    return (q @ pairs / total).to(value.dtype)


def _causal(q: Tensor, key: Tensor, value: Tensor, chunk: int) -> Tensor:
    """Carry the two sums from chunk to chunk of features."""
    levels = _levels(key)  # (*batch, k, 1)
    key = elu_feature_map(key - levels)
    *batch, _, d = key.shape
    pairs = value.new_zeros(*batch, d, value.shape[-1])
    total = key.new_zeros(*batch, d, 1)
    level = levels[..., :1, :]  # of the two sums
    outputs = []
    for rows in blocks(q.shape[-2], chunk):
        query, k, v, own = (x[..., rows, :] for x in (q, key, value, levels))
        carried = (level - own).exp()  # (*batch, chunk, 1), 1 or less
        inside = query @ k.mT * (own.mT - own).clamp(max=0).exp()
        inside = inside.tril()  # (*batch, chunk, chunk)
        mixed = carried * (query @ pairs) + inside @ v
        over = carried * (query @ total) + inside.sum(dim=-1, keepdim=True)
        outputs.append(mixed / over)
        level = own[..., -1:, :]
        k = k * (own - level).exp()
        pairs = carried[..., -1:, :] * pairs + k.mT @ v
        total = carried[..., -1:, :] * total + k.sum(dim=-2)[..., None]
    return torch.cat(outputs, dim=-2)


def _prepare(
    query: Tensor, key: Tensor, value: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Map queries; give them, keys and values in float32 at least.

    A query whose numbers are all negative may be raised until the largest is
    0: then phi is exp, all its weights grow by one factor, and the division
    takes that out again. So its features do not vanish.
    """
    dtype = torch.promote_types(query.dtype, torch.float32)
    query, key, value = (x.to(dtype) for x in (query, key, value))
    query = query - query.detach().amax(dim=-1, keepdim=True).clamp(max=0)
    return elu_feature_map(query), key, value


def _levels(key: Float[Tensor, "*batch k d"]) -> Float[Tensor, "*batch k 1"]:
    """Return the largest number of each key and those before it, at most 0."""
    highest = key.detach().amax(dim=-1, keepdim=True).clamp(max=0)
    return highest.cummax(dim=-2).values


def associative_recall_batch(
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
    chosen_keys = noise.argsort(dim=1)[:, :count]
    drawn_values = torch.randint(values, (batch, count), generator=generator)
    order = torch.rand(batch, count, generator=generator).argsort(dim=1)
    return chosen_keys, drawn_values, order


class AssociativeRecall(nn.Module):
    """One head that must look values up by their keys.

    Each position of the list holds a key and a value; a query is a key alone.
    ``kind`` is "softmax" or "linear"; all else is the same.
    """

    def __init__(
        self,
        kind: str,
        keys: int,
        values: int,
        dim: int,
        size: int | None = None,
    ) -> None:
        """Create embeddings and projections.

        Args:
            kind: "softmax" or "linear".
            keys: how many there are.
            values: how many there are.
            dim: numbers per key and per value.
            size: numbers per query and projected key, by default ``dim``; a
                linear head's state holds ``size * dim`` and a sum of ``size``.

        Raises:
            ValueError: if ``kind`` is unknown.
        """
        super().__init__()
        check_choice("kind", kind, ("softmax", "linear"))
        self.kind = kind
        self.key_table = nn.Embedding(keys, dim)
        self.value_table = nn.Embedding(values, dim)
        size = dim if size is None else size
        self.project_query = nn.Linear(dim, size)
        self.project_key = nn.Linear(dim, size)
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
            attended = linear_attention(query, key, value)
        else:
            attended, _ = scaled_dot_product_attention(query, key, value)
        return self.output(attended)

    def weights(
        self, keys: Int[Tensor, "batch k"], asked: Int[Tensor, "batch q"]
    ) -> Float[Tensor, "batch q k"]:
        """Return the weights, which the linear kind never writes down."""
        query, key = self.queries_and_keys(keys, asked)
        if self.kind == "softmax":
            return scaled_dot_product_attention(query, key, key)[1]
        q, k, _ = _prepare(query, key, key)
        k = elu_feature_map(k - _levels(k)[..., -1:, :])
        products = q @ k.transpose(-2, -1)
        return products / products.sum(dim=-1, keepdim=True)

    def queries_and_keys(
        self, keys: Tensor, asked: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Look the keys up in their table, and project both sides."""
        return (
            self.project_query(self.key_table(asked)),
            self.project_key(self.key_table(keys)),
        )
