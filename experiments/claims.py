"""What a claim is: arms, a search for each, seeds, and a verdict.

A lesson's file defines two tables. ``ARMS`` names what is compared; each arm
has a function that trains and measures once, and the settings among which it
may choose. ``CLAIMS`` are the lesson's sentences, each with an id, a measure,
one arm or two, and the verdict as a function of the interval.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from attn_course.common.statistics import Interval, hierarchical_bootstrap

SEEDS = (0, 1, 2, 3, 4)  # of the runs that a verdict rests on
SEARCH_SEEDS = (100,)  # of the runs that choose an arm's settings
YES, NO, UNDECIDED = "yes", "no", "undecided"


@dataclass(frozen=True)
class Run:
    """What training and measuring once gave.

    Attributes:
        validation: what settings are chosen by; higher is better. It knows
            nothing of the test items.
        items: for each measure, one number per test item, in an order that
            is the same in every run.
    """

    validation: float
    items: Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Arm:
    """One side of a comparison.

    Attributes:
        run: ``run(seed=..., **settings)`` gives a :class:`Run`.
        search: the settings to choose among, on validation data. An arm with
            one of them is not tuned.
    """

    run: Callable[..., Run]
    search: Sequence[Mapping[str, object]] = field(
        default_factory=lambda: [{}]
    )


@dataclass(frozen=True)
class Verdict:
    """Judge an interval: between two bounds, or beyond them, or neither.

    *Yes* if the whole interval lies between the bounds, *no* if no part of it
    does, else *undecided*: with this many seeds and items both are possible.
    """

    low: float = -float("inf")
    high: float = float("inf")

    def __call__(self, interval: Interval) -> str:
        if self.low < interval.low and interval.high < self.high:
            return YES
        if interval.high <= self.low or self.high <= interval.low:
            return NO
        return UNDECIDED

    def __str__(self) -> str:
        if self.high == float("inf"):
            return f"above {self.low:g}"
        if self.low == -float("inf"):
            return f"below {self.high:g}"
        return f"from {self.low:g} to {self.high:g}"


def above(bound: float) -> Verdict:
    """Claim that a number is above a bound."""
    return Verdict(low=bound)


def below(bound: float) -> Verdict:
    """Claim that a number is below a bound."""
    return Verdict(high=bound)


def between(low: float, high: float) -> Verdict:
    """Claim that a number lies between bounds: level, if they are about 0."""
    return Verdict(low, high)


@dataclass(frozen=True)
class Claim:
    """One sentence of a lesson that compares, or names a cause.

    Attributes:
        id: ``E07.3``: the lesson, and a number that is never used again.
        sentence: what is claimed, as a whole sentence with its conditions.
        measure: which of :attr:`Run.items`.
        arm: the arm whose mean is judged,
        over: less the mean of this one, if given; seed by seed and item by
            item, so both arms have the same seeds and items.
        verdict: of the interval.
        clusters: the source of each item, if items share sources.
    """

    id: str
    sentence: str
    measure: str
    arm: str
    over: str | None = None
    verdict: Callable[[Interval], str] = above(0)
    clusters: Sequence | None = None


def settings(**choices: Sequence) -> list[dict[str, object]]:
    """List all combinations: ``settings(lr=(0.1, 0.3), width=(8,))``."""
    return [
        dict(zip(choices, values))
        for values in itertools.product(*choices.values())
    ]


def check(arms: Mapping[str, Arm], claims: Sequence[Claim]) -> None:
    """Refuse claims that do not hold to the protocol.

    Raises:
        ValueError: if an id stands twice, an arm is missing or stands idle,
            or two arms that are compared had not the same number of settings.
    """
    ids = [claim.id for claim in claims]
    if len(set(ids)) < len(ids):
        raise ValueError(f"claims: expected each id once, got {ids}")
    used = set()
    for claim in claims:
        sides = [name for name in (claim.arm, claim.over) if name is not None]
        for name in sides:
            if name not in arms:
                raise ValueError(
                    f"{claim.id}: expected one of the arms {sorted(arms)}, "
                    f"got {name!r}"
                )
        tried = [len(arms[name].search) for name in sides]
        if len(set(tried)) > 1:
            raise ValueError(
                f"{claim.id}: expected as many settings for each arm, got "
                f"{dict(zip(sides, tried))}"
            )
        used.update(sides)
    if idle := set(arms) - used:
        raise ValueError(f"arms: expected a claim for each, got none: {idle}")


def judge(claim: Claim, runs: Mapping[str, Sequence[Run]]) -> Interval:
    """Return the interval by which a claim is judged.

    It resamples training seeds and test items (95 %), and is then
    widened by :func:`widening`: resampling alone takes five seeds for all.

    Args:
        claim: what is claimed.
        runs: of each arm, one per seed, in the order of the seeds.
    """

    def table(name: str) -> torch.Tensor:
        return torch.tensor(
            [list(run.items[claim.measure]) for run in runs[name]],
            dtype=torch.float64,
        )  # (seeds, items)

    values = table(claim.arm)
    if claim.over is not None:
        values = values - table(claim.over)
    score, *bounds = hierarchical_bootstrap(values, claim.clusters)
    wider = widening(len(values))
    return Interval(score, *(score + wider * (x - score) for x in bounds))


def widening(seeds: int) -> float:
    """Say how much too narrow resampling a few seeds is.

    ``sqrt(n / (n - 1)) t / z``, with ``t`` of ``n - 1`` degrees of freedom
    and ``z`` of the normal distribution: 1.58 for 5 seeds, 1.04 for 50. The
    mean of ``n`` numbers drawn from themselves varies as if their standard
    deviation were divided by ``n``, and by no more than was seen.

    Source: Hesterberg (2015), "What teachers should know about the
    bootstrap", section 5.3 (narrowness bias, expanded percentiles).
    """
    from scipy import stats

    ratio = stats.t.ppf(0.975, seeds - 1) / stats.norm.ppf(0.975)
    return math.sqrt(seeds / (seeds - 1)) * float(ratio)
