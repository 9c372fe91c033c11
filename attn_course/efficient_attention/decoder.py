"""A small language model, and how it writes: with a cache, or without."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from attn_course.common.arguments import check_at_least, check_choice
from attn_course.efficient_attention.cache import KeyValueCache
from attn_course.efficient_attention.grouped import GroupedQueryAttention
from attn_course.transformer import feed_forward

MODES = ("cached", "recomputed", "by rows")


class DecoderLM(nn.Module):
    """A small language model: it reads tokens and predicts the next.

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
        check_at_least(1, vocabulary=vocabulary, layers=layers)
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

    def new_caches(self, batch: int, max_length: int) -> list[KeyValueCache]:
        """Make one empty cache a layer."""
        return [
            layer["attention"].new_cache(batch, max_length)
            for layer in self.layers
        ]

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
                        torch.tensor([position], device=tokens.device),
                    )
                    for position, row in enumerate(rows)
                )
            )
            reach = attention.window or len(rows)
            for position, (row, query) in enumerate(zip(rows, queries)):
                seen = slice(max(0, position + 1 - reach), position + 1)
                heads = attention.attend(
                    query,
                    torch.cat(keys[seen], dim=2),
                    torch.cat(values[seen], dim=2),
                )
                row = row + attention.mix(heads)
                rows[position] = row + layer["mlp"](layer["norm_mlp"](row))
        return torch.cat([self.output(self.norm(row)) for row in rows], dim=1)


class Generated(NamedTuple):
    """What :func:`generate` wrote."""

    tokens: Int[Tensor, "batch length"]  # the prompt, and what follows
    logits: Float[Tensor, "batch steps vocabulary"]  # of each new token


@torch.no_grad()
def generate(
    model: DecoderLM,
    prompt: Int[Tensor, "batch length"],
    steps: int,
    *,
    mode: str = "cached",
    caches: Sequence[KeyValueCache] | None = None,
) -> Generated:
    """Continue a prompt, each time with the likeliest token.

    Args:
        model: gives the scores.
        prompt: what stands already; at least one token a row.
        steps: how many tokens to add.
        mode: "cached" computes each position once; "recomputed" computes all
            of them again for every token, and "by rows" does that with
            :meth:`DecoderLM.by_rows`.
        caches: empty ones to use; by default new ones.

    Raises:
        ValueError: if ``mode`` is unknown, ``steps`` is below 1, or the prompt
            is empty.
    """
    check_choice("mode", mode, MODES)
    check_at_least(1, steps=steps)
    if prompt.shape[1] == 0:
        raise ValueError("prompt: expected at least 1 token, got 0")
    tokens, logits = prompt, []
    if mode == "cached":
        batch, length = prompt.shape
        caches = caches or model.new_caches(batch, length + steps)
        for token in prompt[:, :-1].split(1, dim=1):  # one row at a time
            model(token, caches)
    for _ in range(steps):
        if mode == "cached":
            scores = model(tokens[:, -1:], caches)
        elif mode == "recomputed":
            scores = model(tokens)
        else:
            scores = model.by_rows(tokens)
        last = scores[:, -1].clone()  # a view would keep all positions'
        logits.append(last)
        tokens = torch.cat([tokens, last.argmax(-1, keepdim=True)], dim=1)
    return Generated(tokens, torch.stack(logits, dim=1))
