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


def drop(x: Float[Tensor, "*shape"], p: float) -> Float[Tensor, "*shape"]:
    """Set a share p of the numbers to 0, and divide the others by 1 - p.

    As ``F.dropout``, whose random numbers take a quarter of the time of a
    small Transformer on a CPU: here one of 64 bits serves four places. So p
    is rounded to a multiple of 1/65536.

    Source: Srivastava et al. (2014), "Dropout: a simple way to prevent neural
    networks from overfitting", sections 4 and 10; there p is the share kept.
    """
    lost = round(p * 2**16)  # of 65536
    elsewhere = x.device.type != "cpu" or torch.compiler.is_compiling()
    if elsewhere or lost == 2**16:
        return F.dropout(x, p)
    count = -(-x.numel() // 4)
    noise = torch.empty(count, dtype=torch.int64).random_(-(2**63), None)
    noise = noise.view(torch.int16)[: x.numel()].view(x.shape)
    kept = (noise >= lost - 2**15).to(x.dtype)  # int16 starts at -2**15
    return x * kept.div_(1 - lost / 2**16)


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

    head_gate: Tensor | None

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
        if not 0 <= dropout < 1:
            raise ValueError(
                f"dropout: expected 0 or more, below 1, got {dropout}"
            )
        self.project_in = nn.Linear(dim, 3 * dim, bias=bias)
        self.project_out = nn.Linear(dim, dim, bias=bias)
        # One factor per head, or None for all 1: see keep_heads.
        self.register_buffer("head_gate", None, persistent=False)
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
        if mask is not None:
            mask = _mask_with_heads(mask, q, k)
        parts, weights = self._attend(q, k, v, mask, need_weights)
        if self.head_gate is not None:
            parts = parts * self.head_gate.to(parts)[:, None, None]
        output = self.project_out(merge_heads(parts))  # (batch, q, dim)
        return output, weights

    def keep_heads(self, keep: Iterable[int] | None) -> "MultiHeadAttention":
        """Silence every head that is not in ``keep``; None lets all speak.

        A silenced head's part of the concatenation is multiplied by 0, its
        weights are still reported. The factors stand in ``head_gate``, which
        may be set to any tensor of ``heads`` numbers, and may ask for a
        gradient: the cost of losing a head, to first order.

        Raises:
            ValueError: if ``keep`` names a head that is not there.

        Source: Michel et al. (2019), "Are sixteen heads really better than
        one?", sections 2.3 and 4.1.
        """
        if keep is None:
            self.head_gate = None
            return self
        keep = sorted(set(keep))
        if any(head not in range(self.heads) for head in keep):
            raise ValueError(
                f"keep: expected heads from 0 to {self.heads - 1}, got {keep}"
            )
        gate = torch.zeros(self.heads, device=self.project_in.weight.device)
        gate[keep] = 1.0
        self.head_gate = gate
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
        self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, weigh: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Run all heads in one call, with dropout on the weights if asked."""
        if not (self.training and self.dropout):
            return scaled_dot_product_attention(
                q, k, v, mask, need_weights=weigh
            )
        # Only the weights are wanted here: values without width are free.
        _, weights = scaled_dot_product_attention(q, k, v[..., :0], mask)
        parts = drop(weights, self.dropout) @ v
        return parts, weights if weigh else None

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


def _mask_with_heads(mask: Tensor, q: Tensor, k: Tensor) -> Tensor:
    """Check a mask, and give one of shape (batch, q, k) a head dimension."""
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        found = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
        raise ValueError(
            f"mask: expected a boolean tensor (True = may attend), got {found}"
        )
    full = (*q.shape[:-1], k.shape[-2])  # (batch, heads, q, k)
    ours = mask.unsqueeze(1) if mask.dim() == 3 else mask
    sizes = zip(reversed(ours.shape), reversed(full))
    if not 2 <= ours.dim() <= 4 or any(n not in (1, m) for n, m in sizes):
        raise ValueError(
            f"mask: expected a shape that broadcasts to (q, k) {full[2:]}, "
            f"(batch, q, k) {full[:1] + full[2:]} or (batch, heads, q, k) "
            f"{full}, got {tuple(mask.shape)}"
        )
    return ours
