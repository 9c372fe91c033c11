"""Which inputs an answer hangs on, to first order."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor


def gradient_x_input(
    answer: Callable[[Tensor], Tensor],
    vectors: Float[Tensor, "batch length dim"],
) -> Float[Tensor, "batch length"]:
    """Return what removing each vector costs its row's answer, linearly.

    ``score_j = vector_j . d answer / d vector_j``.

    Args:
        answer: gives one number per row, ``(batch,)``, of such vectors. A row
            must not see the others.
        vectors: one per token, as ``answer`` gets them.

    Source: Denil, Demiraj and de Freitas (2014), "Extraction of salient
    sentences from labelled documents", section 4.
    """
    vectors = vectors.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(answer(vectors).sum(), vectors)
    return (gradient * vectors).sum(dim=-1).detach()
