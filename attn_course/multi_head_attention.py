"""Lesson 04: several heads, each with its own weights, side by side.

Reading order: ``split_heads`` cuts each token's numbers into heads,
``merge_heads`` glues them together again, ``MultiHeadAttention`` does both
around ``scaled_dot_product_attention``.
"""

from collections.abc import Iterable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from attn_course.common.arguments import check_dropout
from attn_course.scaled_dot_product import scaled_dot_product_attention


def split_heads(
    x: Float[Tensor, "*batch length dim"], heads: int
) -> Float[Tensor, "*batch heads length head_dim"]:
    """Cut the last dimension into equal parts, one per head; heads first.

    Head h of every position gets the numbers from ``h * head_dim`` up to
    ``(h + 1) * head_dim`` of that position, with ``head_dim = dim / heads``.
    The result is a view: nothing is copied.

    Raises:
        ValueError: if ``dim`` cannot be divided by ``heads``.

    Source: Vaswani et al. (2017), "Attention is all you need", section 3.2.2.
    """
    if x.dim() < 2:
        raise ValueError(
            f"x: expected (*batch, length, dim), got shape {tuple(x.shape)}"
        )
    head_dim = _head_dim(x.shape[-1], heads)
    x = x.unflatten(-1, (heads, head_dim))  # (*batch, length, heads, head_dim)
    return x.transpose(-3, -2)  # (*batch, heads, length, head_dim)


def merge_heads(
    x: Float[Tensor, "*batch heads length head_dim"],
) -> Float[Tensor, "*batch length dim"]:
    """Put the parts of each position side by side: undo ``split_heads``.

    Raises:
        ValueError: if ``x`` has fewer than 3 dimensions.
    """
    if x.dim() < 3:
        raise ValueError(
            "x: expected (*batch, heads, length, head_dim), "
            f"got shape {tuple(x.shape)}"
        )
    x = x.transpose(-3, -2)  # (*batch, length, heads, head_dim)
    return x.flatten(-2)  # (*batch, length, heads * head_dim)


class MultiHeadAttention(nn.Module):
    """Attend with several heads at once, and mix what they found.

    ``output = concatenate(head_1, ..., head_n) W_o`` with
    ``head_h = attention(query W_q[h], key W_k[h], value W_v[h])``

    All input projections stand in one matrix, ``project_in``: first the rows
    that make queries, then keys, then values; within each, head after head.
    ``torch.nn.MultiheadAttention`` keeps them in the same order.

    Args of the constructor:
        dim: numbers per token, shared out evenly among the heads.
        heads: how many; must divide ``dim``.
        bias: whether the projections add a bias.
        dropout: the share of weights that is set to 0 in training.

    Source: Vaswani et al. (2017), "Attention is all you need", section 3.2.2.
    """

    head_mask: Tensor | None

    def __init__(
        self, dim: int, heads: int, *, bias: bool = True, dropout: float = 0.0
    ) -> None:
        """Create the projections.

        Raises:
            ValueError: if ``heads`` does not divide ``dim``, or ``dropout``
                is not in [0, 1).
        """
        super().__init__()
        self.dim, self.heads, self.dropout = dim, heads, dropout
        self.head_dim = _head_dim(dim, heads)
        check_dropout(dropout=dropout)
        self.project_in = nn.Linear(dim, 3 * dim, bias=bias)
        self.project_out = nn.Linear(dim, dim, bias=bias)
        # One factor per head, or None for all 1: see prune_heads.
        self.register_buffer("head_mask", None, persistent=False)
        nn.init.xavier_uniform_(self.project_in.weight)  # as torch's layer
        for layer in (self.project_in, self.project_out):
            if bias:
                nn.init.zeros_(layer.bias)

    def forward(
        self,
        query: Float[Tensor, "batch q dim"],
        key: Float[Tensor, "batch k dim"] | None = None,
        value: Float[Tensor, "batch k dim"] | None = None,
        mask: Bool[Tensor, "..."] | None = None,
        *,
        is_causal: bool = False,
        need_weights: bool = False,
    ) -> tuple[
        Float[Tensor, "batch q dim"], Float[Tensor, "batch heads q k"] | None
    ]:
        """Answer every query, with each head.

        ``layer(x)`` is self-attention: each token of x asks each token of x.
        ``layer(x, memory)`` is cross-attention: keys and values come from
        ``memory``. ``layer(query, key, value)`` keeps all three apart.

        Args:
            query: one row per query.
            key: one row per key; by default the queries.
            value: one row per key; by default the keys.
            mask: True = may attend. Of shape ``(q, k)``, ``(batch, q, k)`` or
                ``(batch, heads, q, k)``, with 1 for any dimension that does
                not matter. A ``padding_mask`` of shape ``(batch, k)`` needs a
                dimension for the queries: ``mask[:, None, :]``. A query that
                may attend to nothing finds 0 in every head.
            is_causal: query i may attend to keys up to i only.
            need_weights: with False, torch's fused kernel does the work.

        Returns:
            The output ``(batch, q, dim)``, and the weights ``(batch, heads,
            q, k)`` or None. The weights are not averaged over the heads, and
            are those before dropout.

        Raises:
            ValueError: if a shape, dtype or device does not fit; the message
                names the argument, what was expected and what came.
        """
        self._check_inputs(query, key, value)
        q, k, v = self._project(query, key, value)  # each (batch, length, dim)
        q = split_heads(q, self.heads)  # (batch, heads, q, head_dim)
        k = split_heads(k, self.heads)  # (batch, heads, k, head_dim)
        v = split_heads(v, self.heads)  # (batch, heads, k, head_dim)
        if isinstance(mask, Tensor) and mask.dim() == 3:
            mask = mask.unsqueeze(1)  # (batch, 1, q, k): for every head
        parts, weights = self._attend(q, k, v, mask, is_causal, need_weights)
        if self.head_mask is not None:
            parts = parts * self.head_mask.to(parts)[:, None, None]
        output = self.project_out(merge_heads(parts))  # (batch, q, dim)
        return output, weights

    def prune_heads(self, heads: Iterable[int]) -> "MultiHeadAttention":
        """Silence these heads; none of them (``[]``) lets all speak.

        A silenced head's part of the concatenation is multiplied by 0, its
        weights are still reported. The factors stand in ``head_mask``, which
        may be set to any tensor of ``heads`` numbers, and may ask for a
        gradient: the cost of losing a head, to first order.

        Raises:
            ValueError: if ``heads`` names a head that is not there.

        Source: Michel et al. (2019), "Are sixteen heads really better than
        one?", sections 2.3 and 4.1.
        """
        heads = sorted(set(heads))
        if any(head not in range(self.heads) for head in heads):
            raise ValueError(
                f"heads: expected heads from 0 to {self.heads - 1}, "
                f"got {heads}"
            )
        self.head_mask = None
        if heads:
            weight = self.project_in.weight
            self.head_mask = torch.ones(self.heads, device=weight.device)
            self.head_mask[heads] = 0.0
        return self

    @classmethod
    def from_torch(cls, theirs: nn.MultiheadAttention) -> "MultiHeadAttention":
        """Make a layer with the weights of torch's.

        Raises:
            ValueError: if torch's layer has what ours has not: keys or values
                of another size, ``add_bias_kv`` or ``add_zero_attn``.
        """
        if theirs.in_proj_weight is None:
            raise ValueError(
                f"theirs: expected kdim and vdim {theirs.embed_dim}, as "
                f"embed_dim, got {theirs.kdim} and {theirs.vdim}"
            )
        if theirs.bias_k is not None or theirs.add_zero_attn:
            raise ValueError(
                "theirs: expected add_bias_kv and add_zero_attn to be False, "
                f"got {theirs.bias_k is not None} and {theirs.add_zero_attn}"
            )
        ours = cls(
            theirs.embed_dim,
            theirs.num_heads,
            bias=theirs.in_proj_bias is not None,
            dropout=theirs.dropout,
        )
        ours = ours.to(theirs.in_proj_weight).train(theirs.training)
        with torch.no_grad():
            for mine, source in ours._pairs(theirs):
                mine.copy_(source)
        return ours

    def to_torch(self) -> nn.MultiheadAttention:
        """Make torch's layer, with ``batch_first=True`` and our weights."""
        theirs = nn.MultiheadAttention(
            self.dim,
            self.heads,
            dropout=self.dropout,
            bias=self.project_in.bias is not None,
            batch_first=True,
        )
        theirs = theirs.to(self.project_in.weight).train(self.training)
        with torch.no_grad():
            for mine, target in self._pairs(theirs):
                target.copy_(mine)
        return theirs

    def extra_repr(self) -> str:
        """Say the sizes when the layer is printed."""
        return f"dim={self.dim}, heads={self.heads}, dropout={self.dropout}"

    def _pairs(
        self, theirs: nn.MultiheadAttention
    ) -> list[tuple[Tensor, Tensor]]:
        """List our parameters, each beside torch's."""
        pairs = [
            (self.project_in.weight, theirs.in_proj_weight),
            (self.project_in.bias, theirs.in_proj_bias),
            (self.project_out.weight, theirs.out_proj.weight),
            (self.project_out.bias, theirs.out_proj.bias),
        ]
        return [pair for pair in pairs if pair[0] is not None]

    def _project(
        self, query: Tensor, key: Tensor | None, value: Tensor | None
    ) -> tuple[Tensor, ...]:
        """Project in as few products as can be: one large one beats three."""
        if key is None:
            return self.project_in(query).chunk(3, dim=-1)
        if value is None:
            pair = self._project_rows(key, 1, 3)  # (batch, k, 2 * dim)
            return self._project_rows(query, 0, 1), *pair.chunk(2, dim=-1)
        inputs = enumerate((query, key, value))
        return tuple(self._project_rows(x, i, i + 1) for i, x in inputs)

    def _project_rows(self, x: Tensor, first: int, last: int) -> Tensor:
        rows = slice(first * self.dim, last * self.dim)
        weight, bias = self.project_in.weight, self.project_in.bias
        return F.linear(x, weight[rows], None if bias is None else bias[rows])

    def _attend(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        mask: Tensor | None,
        is_causal: bool,
        need_weights: bool,
    ) -> tuple[Tensor, Tensor | None]:
        """Run all heads in one call, with dropout on the weights if asked."""
        if not (self.training and self.dropout):
            return scaled_dot_product_attention(
                q, k, v, mask, is_causal=is_causal, need_weights=need_weights
            )
        # Only the weights are wanted here: values without width are free.
        _, weights = scaled_dot_product_attention(
            q, k, v[..., :0], mask, is_causal=is_causal
        )
        parts = F.dropout(weights, self.dropout) @ v
        return parts, weights if need_weights else None

    def _check_inputs(
        self, query: Tensor, key: Tensor | None, value: Tensor | None
    ) -> None:
        """Refuse inputs that do not fit the layer or each other."""
        if key is None and value is not None:
            raise ValueError("key: expected a tensor beside value, got None")
        batch, keys = query.shape[:1], None
        for name, x in (("query", query), ("key", key), ("value", value)):
            if x is None:
                continue
            if x.dim() != 3 or x.shape[-1] != self.dim:
                raise ValueError(
                    f"{name}: expected shape (batch, length, {self.dim}), "
                    f"got {tuple(x.shape)}"
                )
            if x.shape[:1] != batch:
                raise ValueError(
                    f"{name}: expected the query's batch {batch[0]}, "
                    f"got {x.shape[0]}"
                )
            if name == "value" and x.shape[1] != keys:
                raise ValueError(
                    f"value: expected one row per key, {keys}, "
                    f"got {x.shape[1]}"
                )
            keys = x.shape[1]
            self._check_kind(name, x)

    def _check_kind(self, name: str, x: Tensor) -> None:
        """Refuse another dtype or device than that of the layer's weights."""
        weight = self.project_in.weight
        if x.device != weight.device:
            raise ValueError(
                f"{name}: expected the layer's device {weight.device}, "
                f"got {x.device}"
            )
        if x.dtype != weight.dtype and not torch.is_autocast_enabled(
            x.device.type
        ):
            raise ValueError(
                f"{name}: expected the layer's dtype {weight.dtype}, "
                f"got {x.dtype}"
            )


def _head_dim(dim: int, heads: int) -> int:
    if heads < 1 or dim < heads or dim % heads:
        raise ValueError(
            f"heads: expected a number that divides dim {dim}, got {heads}"
        )
    return dim // heads
