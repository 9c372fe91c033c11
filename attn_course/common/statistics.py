"""How sure is a number? Intervals, by formula and by resampling.

All are of 95 %. An interval over test items speaks of other test items, not
of another training run; :func:`hierarchical_bootstrap` speaks of both.
``scipy.stats``, which loads slowly, is imported where it is asked.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from attn_course.common.arguments import check_at_least


class Interval(NamedTuple):
    """A score, and the bounds between which 95 % of the others lie."""

    score: float
    low: float
    high: float

    def __str__(self) -> str:
        return format(self, ".1f")

    def __format__(self, spec: str) -> str:
        numbers = [format(number, spec or ".1f") for number in self]
        return "{} [{}, {}]".format(*numbers)


class Comparison(NamedTuple):
    """Intervals of some systems, and of each one's lead over the first."""

    scores: dict[str, Interval]
    leads: dict[str, Interval]


def wilson_interval(correct: int, total: int) -> Interval:
    """Say between which bounds a model's true accuracy probably lies.

    With ``p = correct / total``, ``n = total`` and ``z = 1.96``:
    ``(p + z^2/2n +- z sqrt(p (1 - p)/n + z^2/4n^2)) / (1 + z^2/n)``.

    Raises:
        ValueError: if ``correct`` is not from 0 to ``total``, or ``total``
            is below 1.

    Source: Wilson (1927), "Probable inference, the law of succession, and
    statistical inference"; computed by scipy.
    """
    if total < 1 or not 0 <= correct <= total:
        raise ValueError(
            "correct: expected 0 to total, and total 1 or more, "
            f"got {correct} of {total}"
        )
    from scipy import stats

    bounds = stats.binomtest(correct, total).proportion_ci(method="wilson")
    return Interval(correct / total, float(bounds.low), float(bounds.high))


def mean_interval(values: Float[Tensor, " n"]) -> Interval:
    """Return the mean of many numbers, and the bounds of its interval.

    ``mean +- 1.96 s / sqrt(n)``, with the numbers' standard deviation s. For
    the lead of one model over another, give the differences, item by item.

    Raises:
        ValueError: if there are fewer than two numbers.
    """
    if len(values) < 2:
        raise ValueError(f"values: expected two or more, got {len(values)}")
    values = values.cpu().double()
    mean = values.mean().item()
    spread = 1.96 * values.std().item() / math.sqrt(len(values))
    return Interval(mean, mean - spread, mean + spread)


def resample(
    count: int, samples: int = 1_000, seed: int = 0
) -> Float[np.ndarray, "samples count"]:
    """Draw ``count`` items with replacement, ``samples`` times.

    Returns:
        How often each item was drawn each time: rows sum to ``count``.

    Raises:
        ValueError: if ``count`` or ``samples`` is below 1.
    """
    return _draw(np.random.default_rng(seed), count, samples)


def bootstrap(
    score: Callable[[np.ndarray], float],
    count: int,
    samples: int = 1_000,
    seed: int = 0,
) -> Interval:
    """Ask how far a score would move on other test items of this kind.

    ``score(times)`` is asked for each of ``samples`` draws, where ``times``
    says how often each item was drawn; 95 % of its answers lie in the
    interval. Items that share a source (frames of one video, recordings of
    one voice) are right or wrong together: let an item be a source then.

    Args:
        score: of the items, weighted by how often each was drawn.
        count: how many items there are.
        samples: how often to draw.
        seed: of the drawing.

    Raises:
        ValueError: if ``count`` or ``samples`` is below 1.

    Source: Efron and Tibshirani (1993), "An introduction to the bootstrap",
    chapter 13.
    """
    system = {"score": score}
    return paired_bootstrap(system, count, samples, seed).scores["score"]


def paired_bootstrap(
    systems: Mapping[str, Callable[[np.ndarray], float]],
    count: int,
    samples: int = 1_000,
    seed: int = 0,
) -> Comparison:
    """Compare systems on the same draws of test items.

    Luck with easy items falls on all systems alike, so the lead of one over
    another is surer than either score.

    Args:
        systems: by name, what :func:`bootstrap` calls ``score``; leads are
            over the first.
        count: how many items there are.
        samples: how often to draw.
        seed: of the drawing.

    Raises:
        ValueError: if there is no system, or ``count`` or ``samples`` is
            below 1.

    Source: Koehn (2004), "Statistical significance tests for machine
    translation evaluation", sections 3 and 4.
    """
    if not systems:
        raise ValueError("systems: expected at least one, got none")
    draws = [np.ones(count), *resample(count, samples, seed)]
    # The first is the score itself, the others are resampled ones.
    scores = {
        name: np.array([score(times) for times in draws], dtype=float)
        for name, score in systems.items()
    }
    first, *others = systems
    return Comparison(
        {name: _percentiles(scores[name]) for name in systems},
        {name: _percentiles(scores[name] - scores[first]) for name in others},
    )


def hierarchical_bootstrap(
    values: Float[Tensor, "seeds items"],
    clusters: Sequence | None = None,
    samples: int = 1_000,
    seed: int = 0,
) -> Interval:
    """Average over training seeds and test items; both are resampled.

    Each time, draw as many seeds as there are, and as many items, the same
    for all seeds: the interval covers another training and another test set.
    For the lead of one model over another, give the differences.

    Args:
        values: one number per seed and item.
        clusters: the source of each item, such as its voice; whole sources
            are then drawn. By default each item is one.
        samples: how often to draw.
        seed: of the drawing.

    Raises:
        ValueError: if ``values`` is not a table, or there are not as many
            ``clusters`` as items.

    Source: Owen (2007), "The pigeonhole bootstrap".
    """
    if values.dim() != 2 or not values.numel():
        raise ValueError(
            "values: expected shape (seeds, items), at least 1 of each, got "
            f"{tuple(values.shape)}"
        )
    runs, items = values.shape
    clusters = range(items) if clusters is None else clusters
    if len(clusters) != items:
        raise ValueError(
            f"clusters: expected {items}, one per item, got {len(clusters)}"
        )
    names = {name: i for i, name in enumerate(dict.fromkeys(clusters))}
    own = np.array([names[name] for name in clusters])  # cluster of each item
    table = values.cpu().double().numpy()
    rng = np.random.default_rng(seed)
    by_run = _draw(rng, runs, samples)
    by_item = _draw(rng, len(names), samples)[:, own]
    drawn = ((by_run @ table) * by_item).sum(1) / (by_item.sum(1) * runs)
    return _percentiles(np.array([table.mean(), *drawn]))


def spearman(
    a: Float[Tensor, "*batch n"], b: Float[Tensor, "*batch n"]
) -> Float[Tensor, "*batch"]:
    """Compare two orders: Spearman's rho of each row.

    1: the same order, 0: nothing in common, -1: the reverse. It is Pearson's
    correlation of the ranks; equal numbers share their mean rank. It is nan,
    as scipy's, for a row whose numbers are all equal, which has no order, or
    that holds a nan.

    Raises:
        ValueError: if the shapes differ, or there are fewer than two numbers.

    Source: Spearman (1904), "The proof and measurement of association between
    two things"; the ranks are scipy's.
    """
    if a.shape != b.shape or a.shape[-1] < 2:
        raise ValueError(
            "a, b: expected one shape, with two numbers or more, got "
            f"{tuple(a.shape)} and {tuple(b.shape)}"
        )
    from scipy import stats

    a, b = (
        torch.from_numpy(stats.rankdata(x.detach().cpu().double(), axis=-1))
        for x in (a, b)
    )  # (*batch, n) ranks from 1
    a, b = (x - x.mean(dim=-1, keepdim=True) for x in (a, b))
    squares = (a * a).sum(dim=-1) * (b * b).sum(dim=-1)
    return (a * b).sum(dim=-1) / squares.sqrt()


def _draw(rng: np.random.Generator, count: int, samples: int) -> np.ndarray:
    check_at_least(1, count=count, samples=samples)
    return rng.multinomial(count, np.full(count, 1 / count), samples) * 1.0


def _percentiles(scores: np.ndarray) -> Interval:
    """Make an interval of a score and, behind it, its resampled ones."""
    low, high = np.nanpercentile(scores[1:], [2.5, 97.5])
    return Interval(float(scores[0]), float(low), float(high))
