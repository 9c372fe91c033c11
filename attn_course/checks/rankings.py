"""Wrong ways with ranks, for the checks of lesson 15's exercises 1 and 2."""

import math

import torch

from attn_course.checks.engine import Mistake

# Exercise 1: HR@10 and NDCG@10 of the ranks 1, 3 and 12 -----------------------

_FAR = 1 / math.log2(13)  # the gain of rank 12, were it not beyond ten
_PERCENT = "give shares from 0 to 1, not per cent"
_HIT_RATES = [
    (2 / 3, ""),
    (2.0, "HR is a sum: divide by the three people"),
    (1.0, "rank 12 is a miss, and HR counts it 0: 2 of 3 are hits"),
    (1 / 3, "HR is the share of hits, not of misses"),
    (0.2, "the 10 of HR@10 is a rank: divide by the people"),
    (2 / 30, "do not divide HR by 10: the 10 is a rank"),
    (20 / 3, "do not multiply by 10: HR is a share of people"),
    (16 / 3, "that is the mean rank: HR is a share of people"),
    (0.66, "2 of 3 is 0.6667: 0.66 is cut, not rounded"),
    (0.6, "2 of 3 is 0.6667: 0.6 is cut, not rounded"),
    (3.0, "HR is a sum with rank 12 in it: 2 of 3 are hits"),
    *((percent, _PERCENT) for percent in (200 / 3, 66.7, 66.6, 67.0, 66.0)),
]
_GAINS = [
    (0.5, ""),
    (1.5, "NDCG is a sum: divide by the three people"),
    ((1.5 + _FAR) / 3, "rank 12 is not among the first 10: its gain is 0 too"),
    (1.5 + _FAR, "rank 12 is a miss, its gain is 0; and divide by three"),
    (0.75, "divide the gains by all three people, the one who missed too"),
    (0.15, "the 10 of NDCG@10 is a rank: divide by the people"),
    (0.05, "do not divide NDCG by 10: the 10 is a rank"),
    (5.0, "do not multiply by 10: NDCG is a mean over people"),
    ((1 + 1 / 3) / 3, "that is 1 / rank: NDCG divides by log2(1 + rank)"),
    ((1 + 1 / 3 + 1 / 12) / 3, "1 / rank is another measure; and 12 misses"),
    ((1 + 1 / 3) / 2, "1 / rank is another measure; and three people count"),
    (4 / 3, "1 / rank is another measure; and divide by three"),
    (
        (1 + 1 / math.log2(3)) / 3,
        "rank 3 gives 1 / log2(1 + 3): do not forget the 1 +",
    ),
    (
        (1 + 1 / math.log2(3)) / 2,
        "rank 3 gives 1 / log2(1 + 3); and divide by all three people",
    ),
    (
        (1 / math.log2(3) + 1 / math.log2(5)) / 3,
        "ranks begin with 1, so 1 + rank is 2 for the first",
    ),
    ((1 + 1 / math.log2(5)) / 3, "rank 3 gives 1 / log2(1 + 3), not of 5"),
    (
        (1 / math.log(2) + 1 / math.log(4)) / 3,
        "that is the natural logarithm: take base 2",
    ),
    (
        (1 / math.log10(2) + 1 / math.log10(4)) / 3,
        "that is the logarithm to base 10: take base 2",
    ),
    (1.0, "that is the mean of log2(1 + rank): a gain is 1 divided by it"),
    (1 / 3, "rank 3 has a gain too: 1 / log2(1 + 3)"),
    (
        1.5 / (1 + 1 / math.log2(3) + 0.5),
        "each person has one hidden item, so the best gain is 1 each: "
        "divide by three",
    ),
    (2 / 3, "NDCG asks how high: a hit counts 1 / log2(1 + rank), not 1"),
    (50.0, _PERCENT),
]


def metrics_mistakes():
    """Return each wrong pair with its words, both numbers' if both are."""
    order = ([0.5, 2 / 3], "the two are in the other order: HR first")
    pairs = [
        ([rate, gain], "; ".join(filter(None, dict.fromkeys((hint, more)))))
        for rate, hint in _HIT_RATES
        for gain, more in _GAINS
        if hint or more
    ]
    return [order, *pairs]


# Exercise 2: a hit, with ties and what was seen -------------------------------


def _hit(share, seen_above=False, seen_tied=False, reverse=False):
    """Count the scores above the target's and equal to it; share them out."""

    def hit(scores, target, seen, k):
        own = scores.gather(1, target[:, None])
        more = scores < own if reverse else scores > own
        above = (more & (~seen | seen_above)).sum(dim=1)
        tied = ((scores == own) & (~seen | seen_tied)).sum(dim=1)
        return share(above, tied, k)

    return hit


def _mean(above, tied, k):
    return ((k - above) / tied).clamp(0, 1)


_BEST = (
    "items with the target's score are put behind it: a model that scores "
    "all items alike would then be perfect. Of the tied ranks, count the "
    "share that is within k"
)
_WORST = (
    "items with the target's score are all put before it: the target is as "
    "likely on any of the tied ranks. Count the share that is within k"
)
_MIDDLE = (
    "the mean rank, or a rounded share, is not the mean hit: of the tied ranks, count the share "
    "that is within k"
)
_MORE = "one rank too many: k ranks count"
_LESS = "one rank too few: rank k still counts"
_SHARES = [
    (lambda a, n, k: (a < k).float(), _BEST),
    (lambda a, n, k: (a + n <= k).float(), _WORST),
    (lambda a, n, k: (a + (n + 1) / 2 <= k).float(), _MIDDLE),
    (lambda a, n, k: (a + (n - 1) / 2 < k).float(), _MIDDLE),
    (
        lambda a, n, k: _mean(a + n, n, k),
        "items with the target's score are counted as above it too (>=): "
        "above is only >",
    ),
    (
        lambda a, n, k: _mean(a + n - 1, n, k),
        "items with the target's score are counted as above it too (>=): "
        "above is only >",
    ),
    (lambda a, n, k: _mean(a, n, k + 1), _MORE),
    (lambda a, n, k: _mean(a, n, k - 1), _LESS),
    (lambda a, n, k: (a < k + 1).float(), f"{_MORE}; and {_BEST}"),
    (lambda a, n, k: (a < k - 1).float(), f"{_LESS}; and {_BEST}"),
    (lambda a, n, k: (a + n <= k + 1).float(), f"{_MORE}; and {_WORST}"),
    (lambda a, n, k: (a + n < k).float(), f"{_LESS}; and {_WORST}"),
    (
        lambda a, n, k: ((k - a) / n).clamp(min=0),
        "a share of a hit is at most 1: clamp it from above too",
    ),
    (
        lambda a, n, k: ((k - a) / n).clamp(max=1),
        "a share of a hit is at least 0: clamp it from below too",
    ),
    (lambda a, n, k: (k - a) / n, "a share of a hit is from 0 to 1: clamp it"),
    (
        lambda a, n, k: ((k - a) / (n - 1)).clamp(0, 1),
        "tied has to count the target itself: it stands on one of those ranks",
    ),
    (
        lambda a, n, k: ((k - a) / (n + 1)).clamp(0, 1),
        "the target is counted twice among the tied: == finds it too",
    ),
    (
        lambda a, n, k: (k / n).clamp(0, 1),
        "the items above the target take ranks: k - above are left",
    ),
    (
        lambda a, n, k: (k / (a + n)).clamp(0, 1),
        "only the tied ranks share the hit: (k - above) / tied",
    ),
    (
        lambda a, n, k: ((k - a) / (a + n)).clamp(0, 1),
        "only the tied ranks share the hit: (k - above) / tied",
    ),
    (
        lambda a, n, k: torch.minimum(k - a, n).clamp(min=0) / k,
        "the share is of the person's tied ranks, not of k: divide by tied",
    ),
    (
        lambda a, n, k: (k - a).clamp(0, 1) / n,
        "all good ranks among the tied count, not one: divide first, then "
        "clamp",
    ),
    (
        lambda a, n, k: torch.minimum(k - a, n).clamp(min=0),
        "that is how many of the tied ranks are within k: divide by tied",
    ),
    (
        lambda a, n, k: (a < k) / n,
        "all good ranks among the tied count: (k - above) of them, not one",
    ),
    (
        lambda a, n, k: ((a < k).float() + (a + n <= k)) / 2,
        "best and worst place are averaged: the ranks between them count too",
    ),
    (
        lambda a, n, k: torch.where((a < k) & (n > 1), 0.5, (a < k).float()),
        "a tie is not always half a hit: count the tied ranks within k",
    ),
    (
        lambda a, n, k: _mean(a, n, k) / k,
        "divided by k: the share is of the person's tied ranks, k is no part "
        "of it",
    ),
    (
        lambda a, n, k: (k - a).clamp(min=0) / k,
        "that is how far up it stands: only the tied ranks share the hit, "
        "(k - above) / tied",
    ),
    (lambda a, n, k: 1 - _mean(a, n, k), "that is the share of misses"),
    (lambda a, n, k: a, "that is how many are above: a hit is asked for"),
    *(
        (
            lambda a, n, k, rank=rank: rank(a, n).float(),
            "that is the rank: how much of a hit is asked for, from 0 to 1",
        )
        for rank in (
            lambda a, n: a + 1,
            lambda a, n: a + n,
            lambda a, n: a + (n + 1) / 2,
            lambda a, n: a + n / 2,
            lambda a, n: a + (n - 1) / 2,
        )
    ),
    *(
        (
            lambda a, n, k, gain=gain, rank=rank, cut=cut: (
                gain(rank(a, n)) * ((rank(a, n) <= k) | (not cut))
            ),
            words,
        )
        for gain, words in (
            (
                lambda rank: 1 / rank,
                "that is 1 / rank: a hit counts 1, wherever it stands within k",
            ),
            (
                lambda rank: 1 / torch.log2(1.0 + rank),
                "that is the gain of NDCG: a hit counts 1, wherever it stands "
                "within k",
            ),
        )
        for rank in (
            lambda a, n: a + 1,
            lambda a, n: a + n,
            lambda a, n: a + (n + 1) / 2,
        )
        for cut in (False, True)
    ),
]
_SEEN = "items that the person has seen are ranked too: leave them out"
_TURNED = "seen is the wrong way round: True is what to leave out"
_BY_CHANCE = (
    "a sorted list or topk puts tied items in an order that means nothing: "
    "count the scores above the target's, and those equal to it"
)


def _by_order(scores, target, k, stable=True):
    """A sorted order: where equal scores stand in it is an accident."""
    order = scores.argsort(dim=1, descending=True, stable=stable)
    return (order[:, :k] == target[:, None]).any(dim=1).float()


def _by_topk(scores, target, k):
    best = scores.topk(min(k, scores.shape[1]), dim=1).indices
    return (best == target[:, None]).any(dim=1).float()


def _order_as_rank(scores, target, k):
    order = scores.argsort(dim=1, descending=True)
    return (order.gather(1, target[:, None])[:, 0] < k).float()


_AS_RANK = (
    "argsort gives which item stands on a place, not an item's place: "
    "order[target] is another item's number. Count the scores above"
)


def _lowest(scores, target, k):
    return _by_order(-scores, target, k)


def _filled(value, share=_mean):
    """Give seen items a score in place of leaving them out."""

    def hit(scores, target, seen, k):
        scores = scores.masked_fill(seen, value)
        return _hit(share, True, True)(scores, target, seen, k)

    return hit


def _turned(way):
    """Rank among the seen items, and the target."""
    return lambda scores, target, seen, k: way(
        scores, target, (~seen).scatter(1, target[:, None], False), k
    )


def _ordered(way, fill):
    def hit(scores, target, seen, k):
        scores = scores if fill is None else scores.masked_fill(seen, fill)
        return way(scores, target, k)

    return hit


HIT_MISTAKES = [
    *(Mistake(_hit(share), words) for share, words in _SHARES),
    Mistake(_hit(_mean, True, True), _SEEN),
    Mistake(_hit(_mean, True), "seen items still count as above: leave them"),
    Mistake(
        _hit(_mean, False, True),
        "seen items still count among the tied: leave them out there too",
    ),
    *(
        Mistake(_ordered(way, -math.inf), words)
        for way, words in (
            (_by_order, _BY_CHANCE),
            (_by_topk, _BY_CHANCE),
            (_order_as_rank, _AS_RANK),
        )
    ),
    *(
        Mistake(
            _filled(value, share),
            f"a seen item with score {value} still stands above items with "
            f"lower scores: give it -inf, or do not count it{words}",
        )
        for value in (0, -1)
        for share, words in (
            (_mean, ""),
            *((share, f"; and {more}") for share, more in _SHARES[:2]),
        )
    ),
    Mistake(
        _filled(math.inf),
        "a seen item with score +inf stands above all: give it -inf",
    ),
    *(
        Mistake(_turned(_hit(share)), words)
        for share, words in (
            (_mean, _TURNED),
            *(
                (share, f"{_TURNED}; and {more}")
                for share, more in _SHARES[:2]
            ),
        )
    ),
    Mistake(
        lambda scores, target, seen, k: _filled(-math.inf)(
            scores, target, ~seen, k
        ),
        f"{_TURNED}, and the target itself is left out",
    ),
    Mistake(
        _hit(_mean, reverse=True),
        "it counts lower scores: high scores come first",
    ),
    *(
        Mistake(
            _hit(share, reverse=True),
            f"it counts lower scores: high scores come first; and {words}",
        )
        for share, words in _SHARES[:2]
    ),
    *(
        Mistake(
            _ordered(_lowest, fill),
            "it sorts from low to high: high scores come first; and "
            + _BY_CHANCE,
        )
        for fill in (math.inf, -math.inf, None)
    ),
    *(
        Mistake(_hit(share, True, True), f"{_SEEN}; and {words}")
        for share, words in _SHARES
    ),
    *(
        Mistake(_hit(share, *where), f"{_SEEN}, everywhere; and {words}")
        for where in ((True, False), (False, True))
        for share, words in _SHARES[:10]
    ),
    *(
        Mistake(_ordered(way, None), f"{_SEEN}; and {words}")
        for way, words in (
            (_by_order, _BY_CHANCE),
            (_by_topk, _BY_CHANCE),
            (_order_as_rank, _AS_RANK),
        )
    ),
    Mistake(
        _hit(lambda a, n, k: _mean(a.sum(), n.sum(), k)),
        "all people are counted together: sum(dim=1) counts for each",
    ),
    Mistake(
        lambda *given: _hit(_mean)(*given).mean(),
        "one number per person is asked for: no mean yet",
    ),
    Mistake(
        lambda *given: _hit(_mean)(*given).sum(),
        "one number per person is asked for: no sum yet",
    ),
    Mistake(
        lambda *given: _hit(_mean)(*given)[:, None],
        "one number per person is asked for, (users,): a dimension is too many",
    ),
]
