"""Rank the whole catalogue, and measure: HR@k and NDCG@k."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from attn_course.common.arguments import check_at_least, whole_number
from attn_course.common.statistics import (
    Interval,
    mean_interval,
    wilson_interval,
)
from attn_course.common.tokens import PAD
from attn_course.recommendation.baselines import Scorer
from attn_course.recommendation.histories import Histories, pad_histories


class Ranks(NamedTuple):
    """Where the hidden items stand in the ranking of the whole catalogue."""

    above: Float[Tensor, " users"]  # items with a higher score
    tied: Float[Tensor, " users"]  # items with the same score, itself included


def ranks(
    scores: Float[Tensor, "users size"],
    targets: Sequence[int],
    seen: Histories | None = None,
    among: Int[Tensor, "users candidates"] | None = None,
) -> Ranks:
    """Rank the hidden items among all items that were not seen.

    Args:
        scores: a score for each item, column 0 for padding.
        targets: the hidden item of each person.
        seen: items to leave out of the ranking, for each person; the target
            itself is never left out.
        among: if given, rank the target among these items only.

    Raises:
        ValueError: if there are not as many targets as rows, a target is not
            an item, or a score is NaN.
    """
    if len(targets) != len(scores):
        raise ValueError(
            f"targets: expected one per row, {len(scores)}, got {len(targets)}"
        )
    size = scores.shape[1]
    if any(not 1 <= target < size for target in targets):
        raise ValueError(
            f"targets: expected items from 1 to {size - 1}, got "
            f"{[t for t in targets if not 1 <= t < size][:3]}"
        )
    if scores.isnan().any():
        raise ValueError("scores: expected numbers, got NaN")
    target = torch.tensor(list(targets), dtype=torch.int64).view(-1, 1)
    ranked = torch.ones(scores.shape, dtype=torch.bool)
    if seen is not None:
        ranked.scatter_(1, pad_histories(seen, items=size - 1), False)
    if among is not None:
        ranked &= torch.zeros_like(ranked).scatter_(1, among, True)
    ranked.scatter_(1, target, True)
    ranked[:, PAD] = False
    own = scores.gather(1, target)
    above = ((scores > own) & ranked).sum(dim=1).double()
    tied = ((scores == own) & ranked).sum(dim=1).double()
    return Ranks(above, tied)


def hit_rate_at_k(ranks: Ranks, k: int = 10) -> Float[Tensor, " users"]:
    """Say who finds the hidden item among the first k: HR@k is their mean.

    Items with one score stand in no order. Of ``tied`` items on the ranks
    ``above + 1`` to ``above + tied`` the hidden one has any, so it counts
    ``(k - above) / tied``, within 0 and 1: the mean over all orders.

    Raises:
        ValueError: if ``k`` is below 1.
    """
    check_at_least(1, k=k)
    return ((k - ranks.above) / ranks.tied).clamp(0, 1)


def ndcg_at_k(ranks: Ranks, k: int = 10) -> Float[Tensor, " users"]:
    """Say how high the hidden item stands: NDCG@k is their mean.

    ``1 / log2(1 + rank)`` for one of the first k ranks, else 0. With one
    hidden item the best possible sum is 1, so nothing is left to divide by.
    Among tied items the mean over their ranks counts.

    Raises:
        ValueError: if ``k`` is below 1.

    Source: Jarvelin and Kekalainen (2002), "Cumulated gain-based evaluation
    of IR techniques".
    """
    check_at_least(1, k=k)
    worth = 1 / torch.log2(torch.arange(1, k + 1).double() + 1)
    total = torch.cat([torch.zeros(1).double(), worth.cumsum(dim=0)])
    first = ranks.above.clamp(max=k).long()
    last = (ranks.above + ranks.tied).clamp(max=k).long()
    return (total[last] - total[first]) / ranks.tied


class Result(NamedTuple):
    """How well a model predicts: person by person, and with intervals."""

    hits: Float[Tensor, " users"]
    gains: Float[Tensor, " users"]

    def hit_rate(self) -> Interval:
        """Return HR@k and Wilson's interval."""
        # A tie makes part of a hit; the bounds are those of the nearest count.
        count = round(self.hits.sum().item())
        wilson = wilson_interval(count, len(self.hits))
        return wilson._replace(score=self.hits.mean().item())

    def ndcg(self) -> Interval:
        """Return NDCG@k and a mean's interval."""
        return mean_interval(self.gains)


def evaluate(
    model: Scorer, histories: Histories, targets: Sequence[int], k: int = 10
) -> Result:
    """Rank the whole catalogue, without what each person had, for all."""
    of_targets = ranks(model.scores(histories), targets, seen=histories)
    return Result(hit_rate_at_k(of_targets, k), ndcg_at_k(of_targets, k))


def sample_negatives(
    histories: Histories,
    targets: Sequence[int],
    items: int,
    *,
    count: int = 100,
    seed: int = 0,
) -> Int[Tensor, "users count"]:
    """Draw ``count`` items for each person that they never had.

    Rankings among such a sample are what the course does **not** evaluate by:
    they are here to see how they mislead.

    Raises:
        ValueError: if somebody has fewer than ``count`` items left.
    """
    generator = torch.Generator().manual_seed(whole_number("seed", seed))
    # Numbers in [0, 1) at random; the largest win, and -1 never does.
    numbers = torch.rand(
        len(histories), items + 1, generator=generator, dtype=torch.float64
    )
    numbers.scatter_(1, pad_histories(histories, items=items), -1.0)
    numbers.scatter_(1, torch.tensor([*map(int, targets)]).view(-1, 1), -1.0)
    numbers[:, PAD] = -1
    left = int((numbers >= 0).sum(dim=1).min())
    if left < count:
        raise ValueError(
            f"count: expected at most {left}, what the fullest history "
            f"leaves, got {count}"
        )
    return numbers.topk(count, dim=1).indices


def sampled_hit_rate(
    ranks: Sequence[int], items: int, *, count: int = 100, k: int = 10
) -> float:
    """Return the expected HR@k among the target and ``count`` random others.

    ``ranks`` are the true ranks of the targets, from 1, among ``items``. A
    target of rank r has ``r - 1`` better items; it is hit if fewer than k of
    them are drawn: a hypergeometric probability.

    Source: Krichene and Rendle (2020), "On sampled metrics for item
    recommendation".
    """
    from scipy.stats import hypergeom

    probs = hypergeom.cdf(k - 1, items - 1, np.array(ranks) - 1, count)
    return float(np.mean(probs))
