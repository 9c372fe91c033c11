"""What the words are for: flow through the layers, and leaving one out."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from attn_course.common.arguments import check_at_least
from attn_course.interpreting_attention.model import SentenceEncoder

UNITS = 1_000_000  # scipy's maximum flow counts in whole numbers


def attention_flow(
    weights: Float[Tensor, "depth heads n n"], start: Float[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """Treat weights as pipes, and ask how much fits through to each word.

    Every layer is a row of n tanks. From tank i of one layer to tank j of the
    one below leads a pipe as wide as ``A_l[i, j]``, with lesson 09's ``A_l =
    (mean over heads of weights_l + I) / 2``. From the answer to tank i of the
    top layer leads a pipe of ``start[i]``. Entry j of the result is the
    largest flow from the answer to word j, each word by itself. It is never
    less than ``start @ attention_rollout(weights)``, entry by entry: what
    rollout sends fits into the pipes.

    Args:
        weights: of every layer and head, for one sentence.
        start: where the answer reads: one 1 for a single position, ``1/n``
            each for a mean.

    Raises:
        ValueError: if a shape does not fit, or a number is below 0.

    Source: Abnar and Zuidema (2020), "Quantifying attention flow in
    transformers", section 3. Rounded to 1/1,000,000.
    """
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import maximum_flow

    if weights.dim() != 4 or weights.shape[-1] != weights.shape[-2]:
        raise ValueError(
            "weights: expected (depth, heads, n, n), "
            f"got shape {tuple(weights.shape)}"
        )
    n, depth = weights.shape[-1], weights.shape[0]
    if start.shape != (n,):
        raise ValueError(
            f"start: expected {n} numbers, got shape {tuple(start.shape)}"
        )
    if min(weights.min(), start.min()) < 0:
        raise ValueError("weights, start: expected 0 or more")
    identity = torch.eye(n, dtype=torch.float64)
    mixed = (weights.detach().cpu().double().mean(dim=1) + identity) / 2
    # Node 0 is the answer; then the tanks, from the top layer down.
    size = 1 + (depth + 1) * n
    pipes = torch.zeros(size, size, dtype=torch.float64)
    pipes[0, 1 : n + 1] = start.detach().cpu().double()
    for step, layer in enumerate(mixed.flip(0)):
        above = slice(1 + step * n, 1 + (step + 1) * n)
        below = slice(1 + (step + 1) * n, 1 + (step + 2) * n)
        pipes[above, below] = layer
    graph = csr_matrix((pipes * UNITS).round().int().numpy())
    flows = [
        maximum_flow(graph, 0, size - n + word).flow_value / UNITS
        for word in range(n)
    ]
    return torch.tensor(flows, dtype=torch.float64)


@torch.no_grad()
def leave_one_out(
    model: SentenceEncoder,
    ids: Int[Tensor, "batch length"],
    mask: Bool[Tensor, "batch length"],
    target: Float[Tensor, "batch dim"],
) -> Float[Tensor, "batch length"]:
    """Return for each token what the similarity to ``target`` loses without it.

    The token is masked out of every attention and of the mean; the others
    keep their positions. 0 for padding.
    """
    costs = torch.zeros(mask.shape, dtype=target.dtype, device=target.device)
    for row, real in enumerate(mask):
        n = int(real.sum())
        without = ~torch.eye(n, dtype=torch.bool, device=ids.device)
        masks = torch.cat([torch.ones_like(without[:1]), without])
        vectors = model.embed(ids[row : row + 1, :n]).expand(n + 1, -1, -1)
        similarity = model.sentence(vectors, masks) @ target[row]  # (n + 1,)
        costs[row, :n] = similarity[0] - similarity[1:]
    return costs


def integrated_gradients(
    answer: Callable[[Tensor], Tensor],
    vectors: Float[Tensor, "batch length dim"],
    baseline: Float[Tensor, "batch length dim"],
    steps: int = 16,
) -> Float[Tensor, "batch length"]:
    """Share the way from a baseline's answer to the answer among the tokens.

    ``score_j = (x_j - b_j) . mean of d answer / d x_j`` over points on the
    straight line from b to x. A row's scores sum to ``answer(x) -
    answer(b)``, but for the error of a sum with few ``steps`` (at the middle
    of each).

    Args:
        answer: gives one number per row, ``(batch,)``, of such vectors. A row
            must not see the others.
        vectors: one per token, as ``answer`` gets them.
        baseline: vectors that stand for "no word".
        steps: how many gradients are taken.

    Raises:
        ValueError: if ``baseline`` has another shape, or ``steps`` is below 1.

    Source: Sundararajan et al. (2017), "Axiomatic attribution for deep
    networks", section 3.
    """
    check_at_least(1, steps=steps)
    if baseline.shape != vectors.shape:
        raise ValueError(
            f"baseline: expected shape {tuple(vectors.shape)}, "
            f"got {tuple(baseline.shape)}"
        )
    way, total = (vectors - baseline).detach(), torch.zeros_like(vectors)
    for step in range(steps):
        point = baseline.detach() + (step + 0.5) / steps * way
        point.requires_grad_()
        (gradient,) = torch.autograd.grad(answer(point).sum(), point)
        total += gradient
    return (way * total / steps).sum(dim=-1)
