"""Query heads that share keys and values: multi-query and grouped-query."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from attn_course.common.arguments import check_at_least
from attn_course.efficient_attention.cache import KeyValueCache
from attn_course.efficient_attention.masks import CAUSAL, SlidingWindow
from attn_course.multi_head_attention import (
    MultiHeadAttention,
    merge_heads,
    split_heads,
)
from attn_course.scaled_dot_product import scaled_dot_product_attention
from attn_course.self_attention import apply_rotary_emb


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
        if window is not None:
            check_at_least(1, window=window)
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
        positions = torch.arange(start, start + length, device=x.device)
        q, k, v = self.project(x, positions)
        if cache is not None and cache.rolling:
            if start and length > 1:
                raise ValueError(
                    "x: expected one position at a time once a rolling cache "
                    f"is filled, got {length}"
                )
            kept_k, kept_v = cache.append(k, v)
            if length == 1:  # all that is kept lies in the window
                return self.mix(self.attend(q, kept_k, kept_v))
        elif cache is not None:
            k, v = cache.append(k, v)
        if self.window is None and start == 0:  # as many keys as queries
            return self.mix(self.attend(q, k, v, is_causal=True))
        mask = self._mask(positions, k.shape[2])
        return self.mix(self.attend(q, k, v, mask))

    def project(
        self, x: Tensor, positions: Int[Tensor, " length"]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Make queries ``(batch, heads, ...)``, and fewer keys and values."""
        q = split_heads(self.project_query(x), self.heads)
        k = split_heads(self.project_key(x), self.kv_heads)
        v = split_heads(self.project_value(x), self.kv_heads)
        if self.rotary:
            q = apply_rotary_emb(q, positions)
            k = apply_rotary_emb(k, positions)
        return q, k, v

    def attend(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        mask: Tensor | None = None,
        *,
        is_causal: bool = False,
    ) -> Tensor:
        """Let each group of query heads ask its key head.

        Heads that share keys are simply more queries: ``(batch, heads, q,
        d)`` becomes ``(batch, kv_heads, heads / kv_heads * q, d)``, and no
        key is copied. With ``is_causal`` keys are copied to every head, since
        torch's kernel counts queries from the first row: the half of the work
        that it skips is worth more.
        """
        group = self.heads // self.kv_heads
        if is_causal:
            k, v = (x.repeat_interleave(group, dim=1) for x in (k, v))
            output, _ = scaled_dot_product_attention(
                q, k, v, is_causal=True, need_weights=False
            )
            return output
        rows = q.unflatten(1, (self.kv_heads, group)).flatten(2, 3)
        if mask is not None and group > 1:
            mask = mask.repeat(group, 1)  # (group * q, k)
        output, _ = scaled_dot_product_attention(
            rows, k, v, mask, need_weights=False
        )
        output = output.unflatten(2, (group, q.shape[2]))
        return output.flatten(1, 2)  # (batch, heads, q, head_dim)

    def mix(self, heads: Tensor) -> Tensor:
        """Put the heads side by side, and mix them."""
        return self.project_out(merge_heads(heads))

    def new_cache(self, batch: int, max_length: int) -> KeyValueCache:
        """Make an empty cache; with a window it rolls, and is no longer."""
        weight = self.project_key.weight
        rolling = self.window is not None
        return KeyValueCache(
            batch,
            self.kv_heads,
            min(max_length, self.window) if rolling else max_length,
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

    def _mask(self, positions: Tensor, keys: int) -> Tensor | None:
        """Allow what came before, within the window; None if that is all."""
        if len(positions) == 1 and self.window is None:
            return None
        window = self.window
        mask_mod = CAUSAL if window is None else SlidingWindow(window - 1)
        kv_idx = torch.arange(keys, device=positions.device)
        return mask_mod(positions[:, None], kv_idx)
