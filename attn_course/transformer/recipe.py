"""Two tricks of training: label smoothing, and the warm-up of the rate."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from attn_course.common.arguments import check_at_least
from attn_course.common.tokens import PAD


def smooth_labels(
    targets: Int[Tensor, "*batch"], classes: int, smoothing: float
) -> Float[Tensor, "*batch classes"]:
    """Make the distribution that label smoothing trains towards.

    ``q_c = (1 - smoothing) [c = target] + smoothing / classes``

    Raises:
        ValueError: if ``smoothing`` is not from 0 to 1.

    Source: Szegedy et al. (2016), "Rethinking the Inception architecture for
    computer vision", section 7.
    """
    if not 0 <= smoothing <= 1:
        raise ValueError(
            f"smoothing: expected a number from 0 to 1, got {smoothing}"
        )
    one_hot = F.one_hot(targets, classes).to(torch.get_default_dtype())
    return (1 - smoothing) * one_hot + smoothing / classes


def smoothed_loss(
    logits: Float[Tensor, "*batch classes"],
    targets: Int[Tensor, "*batch"],
    smoothing: float = 0.0,
) -> Float[Tensor, ""]:
    """Take the cross-entropy to smoothed labels, averaged over real tokens.

    ``loss = - sum_c q_c log softmax(logits)_c``, the mean over all positions
    where ``targets`` is not PAD. ``common.seq2seq.sequence_loss`` and
    ``F.cross_entropy(..., label_smoothing=)`` give the same number, faster.

    Raises:
        ValueError: if ``smoothing`` is not from 0 to 1, or every position is
            padding.
    """
    real = targets != PAD  # (*batch)
    if not real.any():
        raise ValueError(
            "targets: expected at least one token that is not padding, "
            "got none"
        )
    labels = smooth_labels(targets, logits.shape[-1], smoothing).to(logits)
    losses = -(labels * logits.log_softmax(dim=-1)).sum(dim=-1)  # (*batch)
    return losses[real].mean()


def noam_lr(step: int, dim: int, warmup: int = 4000) -> float:
    """Give the learning rate of a step, counted from 1.

    ``lr = dim^(-0.5) * min(step^(-0.5), step * warmup^(-1.5))``: a straight
    rise for ``warmup`` steps, then a slow fall.

    Raises:
        ValueError: if ``step``, ``dim`` or ``warmup`` is below 1.

    Source: Vaswani et al. (2017), section 5.3, equation 3.
    """
    check_at_least(1, step=step, dim=dim, warmup=warmup)
    return dim**-0.5 * min(step**-0.5, step * warmup**-1.5)
