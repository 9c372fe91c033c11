"""Take a part out of a Transformer, to see what it was for."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from attn_course.common.arguments import check_choice
from attn_course.transformer.layers import DecoderLayer, EncoderLayer, Residual

PARTS = ("positions", "residuals", "norms", "MLPs", "causal mask")


def ablate(model: nn.Module, part: str) -> nn.Module:
    """Remove one part of a model, in place, to see what it was for.

    "positions" become zeros; "residuals" forget what was there; "norms" pass
    everything on; "MLPs" add 0; without the "causal mask" each token of the
    target sees those after it.

    ``model`` is a ``Transformer``, or a part that has what is taken out.

    Raises:
        ValueError: if ``part`` is none of these, or the model has none.
    """
    check_choice("part", part, PARTS)
    owned = {"positions": "positions", "causal mask": "causal"}
    if part in owned and not hasattr(model, owned[part]):
        raise ValueError(
            f"part: {part!r} belongs to a Transformer, "
            f"got {type(model).__name__}"
        )
    if part == "positions":
        model.positions.zero_()
    if part == "causal mask":
        model.causal = False
    for block in list(model.modules()):
        if part == "residuals" and isinstance(block, Residual):
            block.enabled = False
        if part == "MLPs" and isinstance(block, EncoderLayer | DecoderLayer):
            block.mlp = _Zeros()
        for name, child in list(block.named_children()):
            if part == "norms" and isinstance(child, nn.LayerNorm):
                setattr(block, name, nn.Identity())
    return model


class _Zeros(nn.Module):
    """Add nothing: zeros, whatever comes in."""

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return torch.zeros_like(x)
