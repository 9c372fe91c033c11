"""Heads silenced, and weights changed, inside a trained model."""

import contextlib
from collections.abc import Callable, Iterator, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from attn_course.common.arguments import whole_number
from attn_course.interpreting_attention.model import (
    PatchableAttention,
    SentenceEncoder,
    mean_pool,
)
from attn_course.multi_head_attention import MultiHeadAttention


@contextlib.contextmanager
def mask_heads(
    attentions: Sequence[MultiHeadAttention],
    keep: Bool[Tensor, "layers heads"],
) -> Iterator[None]:
    """Silence, for a while, every head where ``keep`` is False.

    Raises:
        ValueError: if there is not one row for each attention.
    """
    if len(keep) != len(attentions):
        raise ValueError(
            f"keep: expected {len(attentions)} rows, one a layer, "
            f"got {len(keep)}"
        )
    before = [attention.head_mask for attention in attentions]
    try:
        for attention, row in zip(attentions, keep):
            attention.prune_heads((~row).nonzero()[:, 0].tolist())
        yield
    finally:
        for attention, head_mask in zip(attentions, before):
            attention.head_mask = head_mask


@contextlib.contextmanager
def patch_attention(
    attentions: Sequence[PatchableAttention],
    patch: Callable[[Tensor, Tensor | None], Tensor],
) -> Iterator[None]:
    """Use changed weights, for a while, in these attentions.

    Raises:
        ValueError: if one of them cannot be patched.
    """
    for attention in attentions:
        if not isinstance(attention, PatchableAttention):
            raise ValueError(
                "attentions: expected PatchableAttention, got "
                f"{type(attention).__name__}"
            )
    before = [attention.patch for attention in attentions]
    try:
        for attention in attentions:
            attention.patch = patch
        yield
    finally:
        for attention, old in zip(attentions, before):
            attention.patch = old


def permute_weights(
    weights: Float[Tensor, "*batch k"],
    mask: Bool[Tensor, "..."] | None = None,
    seed: int = 0,
) -> Float[Tensor, "*batch k"]:
    """Deal the weights of each query out anew among the keys it may see.

    The same numbers, each at a random position; every row by itself.

    Source: Jain and Wallace (2019), "Attention is not explanation", section
    4.2.1.
    """
    generator = torch.Generator().manual_seed(whole_number("seed", seed))
    noise = torch.rand(weights.shape, generator=generator).to(weights.device)
    if mask is not None:
        mask = mask.expand_as(weights)
        noise = noise.masked_fill(~mask, 2.0)  # these come last, both times
        kept = (~mask).to(weights.dtype)
    else:
        kept = torch.zeros_like(weights)
    positions = (noise.argsort(dim=-1)).argsort(dim=-1)
    order = kept.argsort(dim=-1, stable=True)  # allowed keys first
    return weights.gather(-1, order).gather(-1, positions)


def uniform_weights(
    weights: Float[Tensor, "*batch k"], mask: Bool[Tensor, "..."] | None = None
) -> Float[Tensor, "*batch k"]:
    """Give every key that may be seen the same weight.

    Source: Wiegreffe and Pinter (2019), "Attention is not not explanation",
    section 3.2.
    """
    if mask is None:
        return torch.full_like(weights, 1 / weights.shape[-1])
    real = mask.expand_as(weights).to(weights.dtype)
    return real / real.sum(dim=-1, keepdim=True).clamp(min=1)


@torch.no_grad()
def head_importance(
    model: SentenceEncoder,
    ids: Int[Tensor, "batch length"],
    mask: Bool[Tensor, "batch length"],
) -> Float[Tensor, "batch layers heads"]:
    """Return how far each sentence's vector turns when one head is silent.

    ``1 - cosine`` of the vector with and without the head: 0, nothing
    happens. The layers before the head are computed only once.
    """
    layers = model.encoder.layers
    states = model.embed(ids)
    whole = model.sentence(states, mask)
    costs = torch.zeros(len(ids), len(layers), layers[0].attention.heads)
    for number, layer in enumerate(layers):
        all_but_one = ~torch.eye(layer.attention.heads, dtype=torch.bool)
        for head, keep in enumerate(all_but_one):
            x = states
            with mask_heads([layer.attention], keep[None]):
                for later in layers[number:]:
                    x, _ = later(x, mask[:, None, :])
            costs[:, number, head] = 1 - (mean_pool(x, mask) * whole).sum(-1)
        states, _ = layer(states, mask[:, None, :])
    return costs
