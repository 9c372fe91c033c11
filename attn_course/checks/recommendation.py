"""Checks of lesson 15's exercises."""

import math

import torch

from attn_course.checks.engine import Case, Mistake, check, check_value
from attn_course.checks.inputs import normal

PERCENT = "give shares from 0 to 1, not per cent"


def metrics(answer):
    """Exercise 1: HR@10 and NDCG@10 of the ranks 1, 3 and 12."""
    worth = [1.0, 0.5, 1 / math.log2(13)]
    return check_value(
        answer,
        [2 / 3, 0.5],
        tolerance=4e-3,  # so that 0.67 is right
        praise="two of three are hits; 1 + 1/2 + 0, over three people",
        mistakes=[
            ([0.5, 2 / 3], "the two are in the other order: HR first"),
            ([2.0, 1.5], "those are sums: divide by the three people"),
            (
                [1.0, sum(worth) / 3],
                "rank 12 is not among the first 10: it counts 0 in both",
            ),
            ([2 / 3, sum(worth) / 3], "rank 12 is a miss: its gain is 0 too"),
            (
                [2 / 3, 0.75],
                "divide the gains by all three people, the one who missed too",
            ),
            ([1.0, 0.75], "the third person counts too, with 0"),
            (
                [2 / 3, (1 + 1 / 3) / 3],
                "that is 1 / rank: NDCG divides by log2(1 + rank)",
            ),
            (
                [2 / 3, (1 / math.log2(2) + 1 / math.log2(3)) / 3],
                "rank 3 gives 1 / log2(1 + 3): do not forget the 1 +",
            ),
            ([1.0, 0.5], "rank 12 is a miss: HR@10 counts it 0"),
            *(  # as 66.7 or 66.67, and 67 or 66 of who rounds or cuts
                ([percent, 50.0], PERCENT)
                for percent in (200 / 3, 66.7, 66.67, 66.6, 67.0, 66.0)
            ),
            ([0.66, 0.5], "2 of 3 is 0.6667: 0.66 is cut, not rounded"),
            (
                [2 / 3, (1 / math.log(2) + 1 / math.log(4)) / 3],
                "that is the natural logarithm: take base 2",
            ),
            ([20 / 3, 5.0], "do not multiply by 10: HR is a share of people"),
        ],
    )


# Exercise 2: a hit, with ties and what was seen ------------------------------


def _oracle_hit(scores, target, seen, k):
    hits = []
    for row, own, had in zip(scores, target.tolist(), seen):
        others = [
            score
            for item, score in enumerate(row.tolist())
            if item != own and not had[item]
        ]
        above = sum(score > row[own].item() for score in others)
        tied = 1 + sum(score == row[own].item() for score in others)
        inside = [
            rank for rank in range(above + 1, above + tied + 1) if rank <= k
        ]
        hits.append(len(inside) / tied)
    return torch.tensor(hits)


BY_CHANCE = (
    "a sorted list or topk puts tied items in an order that means nothing: "
    "count the scores above the target's, and those equal to it"
)


def _hit(seen_counts=False, ties="mean", shift=0, reverse=False):
    """A count of hits that goes wrong in one place."""

    def hit(scores, target, seen, k):
        scores = scores.detach()
        own = scores.gather(1, target[:, None])
        ranked = torch.ones_like(seen) if seen_counts else ~seen
        ranked = ranked.scatter(1, target[:, None], True)
        more = scores < own if reverse else scores > own
        above = (more & ranked).sum(dim=1)
        tied = ((scores == own) & ranked).sum(dim=1)
        if ties == "best":
            return (above < k + shift).float()
        if ties == "worst":
            return (above + tied <= k + shift).float()
        if ties == "middle":
            return (above + (tied + 1) / 2 <= k + shift).float()
        if ties == "middle from 0":
            return (above + (tied - 1) / 2 < k + shift).float()
        return ((k + shift - above) / tied).clamp(0, 1).float()

    return hit


def _unclamped(scores, target, seen, k):
    own = scores.detach().gather(1, target[:, None])
    ranked = (~seen).scatter(1, target[:, None], True)
    above = ((scores > own) & ranked).sum(dim=1)
    return (k - above) / ((scores == own) & ranked).sum(dim=1).float()


def _by_order(scores, target, seen, k):
    """A sorted order: where equal scores stand in it is an accident."""
    order = (
        scores.detach()
        .masked_fill(seen, -math.inf)
        .argsort(dim=1, descending=True, stable=True)
    )
    return (order[:, :k] == target[:, None]).any(dim=1).float()


def _by_topk(scores, target, seen, k):
    ranked = scores.detach().masked_fill(seen, -math.inf)
    best = ranked.topk(min(k, ranked.shape[1]), dim=1).indices
    return (best == target[:, None]).any(dim=1).float()


def _others_tied(scores, target, seen, k):
    own = scores.detach().gather(1, target[:, None])
    above = ((scores > own) & ~seen).sum(dim=1)
    tied = ((scores == own) & ~seen).sum(dim=1) - 1
    return ((k - above) / tied).clamp(0, 1).float()


def _seen_as_zero(scores, target, seen, k):
    return _hit(seen_counts=True)(scores.detach() * ~seen, target, seen, k)


def _only_seen(scores, target, seen, k):
    return _hit()(scores, target, ~seen, k)


def hit(answer):
    """Exercise 2: who finds the hidden item among the first k?"""
    small = torch.tensor([[5.0, 3.0, 3.0, 1.0, 9.0]])
    had = torch.tensor([[False, False, False, False, True]])
    more = normal(6, 9).mul(2).round()  # with many ties
    generator = torch.Generator().manual_seed(3)
    seen = torch.rand(6, 9, generator=generator) < 0.3
    target = torch.tensor([0, 3, 8, 5, 2, 7])
    seen.scatter_(1, target[:, None], False)
    none = torch.zeros(3, 7, dtype=torch.bool)
    return check(
        answer,
        oracle=_oracle_hit,
        cases=[
            Case(
                (small, torch.tensor([1]), had, 2),
                "one person, the target tied with one other, k = 2",
            ),
            Case((more, target, seen, 3), "six people, nine items, k = 3"),
            Case(
                (
                    torch.tensor([[2.0, 2.0, 1.0], [2.0, 2.0, 1.0]]),
                    torch.tensor([0, 1]),
                    none[:2, :3],
                    1,
                ),
                "two people, two items tied on the first rank, k = 1",
            ),
            Case(
                (
                    torch.tensor([[2.0, 2.0, 2.0, 1.0]]),
                    torch.tensor([2]),
                    none[:1, :4],
                    2,
                ),
                "three items tied on the ranks 1 to 3, k = 2",
            ),
            Case(
                (torch.ones(3, 7), torch.tensor([0, 3, 6]), none, 2),
                "a model that gives every item the same score",
            ),
            Case(
                (
                    normal(4, 20, seed=1),
                    torch.tensor([3, 1, 19, 0]),
                    torch.zeros(4, 20, dtype=torch.bool),
                    10,
                ),
                "no ties, nothing seen, k = 10",
            ),
        ],
        mistakes=[
            Mistake(
                _hit(ties="best"),
                "items with the target's score are put behind it: a model "
                "that scores all items alike would then be perfect. Of the "
                "tied ranks, count the share that is within k",
            ),
            Mistake(
                _hit(ties="worst"),
                "items with the target's score are all put before it: the "
                "target is as likely on any of the tied ranks. Count the "
                "share that is within k",
            ),
            *(
                Mistake(
                    _hit(ties=ties),
                    "the mean rank is not the mean hit: of the tied ranks, "
                    "count the share that is within k",
                )
                for ties in ("middle", "middle from 0")
            ),
            Mistake(_by_order, BY_CHANCE),
            Mistake(_by_topk, BY_CHANCE),
            Mistake(
                _others_tied,
                "tied has to count the target itself: it stands on one of "
                "those ranks",
            ),
            Mistake(
                _seen_as_zero,
                "a seen item with score 0 still stands above items with "
                "scores below 0: give it -inf, or do not count it",
            ),
            Mistake(
                _hit(seen_counts=True),
                "items that the person has seen are ranked too: leave them "
                "out",
            ),
            Mistake(
                _only_seen,
                "seen is the wrong way round: True is what to leave out",
            ),
            Mistake(
                _hit(reverse=True),
                "it counts lower scores: high scores come first",
            ),
            Mistake(_hit(shift=1), "one rank too many: k ranks count"),
            Mistake(_hit(shift=-1), "one rank too few: rank k still counts"),
            Mistake(_unclamped, "a share of a hit is from 0 to 1: clamp it"),
            Mistake(
                lambda *a: _hit()(*a).mean(),
                "one number per person is asked for: no mean yet",
            ),
        ],
        praise="a model that scores all items alike gets what chance gets",
    )


# Exercise 3: counting pairs --------------------------------------------------


def _oracle_pairs(tokens, items, lag):
    counts = torch.zeros(items + 1, items + 1, dtype=torch.int64)
    for row in tokens.tolist():
        real = [item for item in row if item != 0]
        for first, then in zip(real, real[lag:]):
            counts[first, then] += 1
    return counts


def _pairs(
    flat=False, padding=False, turned=False, once=False, lag_is=None, more=0
):
    """A count of pairs that goes wrong in one place."""

    def count(tokens, items, lag):
        lag = (lag_is or lag) + more
        rows = tokens.reshape(1, -1) if flat else tokens
        first, then = rows[:, :-lag].flatten(), rows[:, lag:].flatten()
        if flat and not padding:
            kept = [i for i in tokens.flatten().tolist() if i != 0]
            first = torch.tensor(kept[:-lag])
            then = torch.tensor(kept[lag:])
        if not padding:
            real = (first != 0) & (then != 0)
            first, then = first[real], then[real]
        if turned:
            first, then = then, first
        counts = torch.zeros(items + 1, items + 1, dtype=torch.int64)
        if once:
            counts[first, then] += 1
            return counts
        one = torch.ones_like(first)
        return counts.index_put((first, then), one, accumulate=True)

    return count


def _first_real(tokens, items, lag):
    counts = _pairs(padding=True)(tokens, items, lag)
    counts[0] = 0
    return counts


def _shares(tokens, items, lag):
    counts = _oracle_pairs(tokens, items, lag).float()
    return counts / counts.sum(dim=1, keepdim=True).clamp(min=1)


def _up_to(tokens, items, lag):
    return sum(_oracle_pairs(tokens, items, n) for n in range(1, lag + 1))


def count_pairs(answer):
    """Exercise 3: how often does j come `lag` positions after i?"""
    small = torch.tensor([[1, 2, 1, 2], [2, 3, 0, 0]])
    generator = torch.Generator().manual_seed(0)
    more = torch.randint(1, 6, (4, 7), generator=generator)
    for row, length in enumerate((7, 3, 1, 5)):
        more[row, length:] = 0
    return check(
        answer,
        oracle=lambda *given: _oracle_pairs(*given).float(),  # or whole
        cases=[
            Case((small, 3, 1), "the histories 1 2 1 2 and 2 3, lag 1"),
            Case((more, 5, 1), "four histories of 7, 3, 1 and 5 items"),
            Case((more, 5, 3), "the same, lag 3"),
            Case((more, 8, 2), "more items than were seen, lag 2"),
        ],
        mistakes=[
            Mistake(
                _pairs(once=True),
                "a pair that comes twice is counted once: counts[i, j] += 1 "
                "with tensors writes each pair once; use index_put with "
                "accumulate=True, bincount or a loop",
            ),
            Mistake(
                _pairs(padding=True),
                "padding is counted as if it were an item",
            ),
            Mistake(
                _first_real,
                "a pair whose later position is padding is counted as if it were "
                "an item: ask then != 0",
            ),
            Mistake(
                _pairs(more=1),
                "one position too far: lag 1 is the very next item, "
                "tokens[:, lag:]",
            ),
            Mistake(
                _pairs(flat=True),
                "the end of one history and the start of the next make a "
                "pair: people are not each other's past",
            ),
            Mistake(
                _pairs(flat=True, padding=True),
                "the rows are joined into one: count within each history",
            ),
            Mistake(
                _pairs(turned=True),
                "the table is turned: the earlier item is the row",
            ),
            Mistake(
                _pairs(lag_is=1),
                "it always takes the next item: take the one lag positions on",
            ),
            Mistake(
                _up_to,
                "all distances up to lag are counted: only lag is asked for",
            ),
            Mistake(_shares, "those are shares: the counts are asked for"),
            Mistake(
                lambda t, n, lag: _oracle_pairs(t, n, lag)[1:, 1:],
                "the row and column of padding are missing: the table is "
                "(items + 1) by (items + 1), so that item i is row i",
            ),
        ],
        praise="each history for itself, each pair as often as it comes",
    )


# Exercise 4: the last state --------------------------------------------------


def _oracle_last(states, tokens):
    rows = []
    for row, items in zip(states, tokens.tolist()):
        real = [i for i, item in enumerate(items) if item != 0]
        rows.append(row[real[-1]] if real else 0 * row[0])
    return torch.stack(rows)


def _at(position, empty=True):
    """Pick a state by ``position(lengths, length)``."""

    def last(states, tokens):
        lengths = (tokens != 0).sum(dim=1)
        where = position(lengths, tokens.shape[1])
        rows = states[torch.arange(len(states)), where]
        return rows * (lengths > 0)[:, None] if empty else rows

    return last


def _mean_state(states, tokens):
    real = (tokens != 0).to(states.dtype)[..., None]
    return (states * real).sum(dim=1) / real.sum(dim=1).clamp(min=1)


def last_state(answer):
    """Exercise 4: the state at the last real item of each row."""
    small = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [9.0, 9.0]]])
    tokens = torch.tensor([[5, 7, 0]])
    more = torch.tensor(
        [[4, 2, 9, 1], [3, 0, 0, 0], [8, 6, 0, 0], [0, 0, 0, 0], [7, 7, 2, 0]]
    )
    return check(
        answer,
        oracle=_oracle_last,
        cases=[
            Case((small, tokens), "two items, one position of padding"),
            Case((normal(5, 4, 3), more), "rows of 4, 1, 2, 0 and 3 items"),
            Case(
                (normal(2, 1, 4), torch.tensor([[3], [0]])),
                "one item, and none",
            ),
        ],
        mistakes=[
            Mistake(
                _at(lambda n, length: torch.full_like(n, length - 1)),
                "it takes the last position, which is padding for short "
                "histories: take the position of the last item",
            ),
            Mistake(
                _at(lambda n, length: torch.full_like(n, length - 1), False),
                "it takes the last position, which is padding for short "
                "histories: take the position of the last item",
            ),
            Mistake(
                _at(lambda n, length: n.clamp(max=length - 1)),
                "one position too far: n items stand at the positions 0 to n - 1",
            ),
            Mistake(
                _at(lambda n, length: n.clamp(max=length - 1), False),
                "one position too far: n items stand at the positions 0 to n - 1",
            ),
            Mistake(
                _at(lambda n, length: n - 1, False),
                "an empty history asks for position -1, the last one: its state "
                "must be 0",
            ),
            Mistake(
                _at(lambda n, length: (n - 1).clamp(min=0), False),
                "an empty history gets the state of padding: it must be 0",
            ),
            Mistake(
                _at(lambda n, length: 0 * n),
                "it takes the first item: the last is asked for",
            ),
            Mistake(
                lambda s, t: (s * (t != 0)[..., None]).sum(dim=1),
                "that is the sum: only the last item asks",
            ),
            Mistake(_mean_state, "that is the mean: only the last item asks"),
            Mistake(
                lambda s, t: _oracle_last(s, t)[:, None],
                "one dimension too many: (users, dim) is asked for",
            ),
        ],
        praise="whatever the padding holds, and nothing for nobody",
    )
