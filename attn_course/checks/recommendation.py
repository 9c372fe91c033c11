"""Checks of lesson 15's exercises."""

import torch

from attn_course.checks import histories, rankings
from attn_course.checks.engine import Case, check, check_value
from attn_course.checks.inputs import normal


def metrics(answer):
    """Exercise 1: HR@10 and NDCG@10 of the ranks 1, 3 and 12."""
    return check_value(
        answer,
        [2 / 3, 0.5],
        tolerance=4e-3,  # so that 0.67 is right
        praise="two of three are hits; 1 + 1/2 + 0, over three people",
        mistakes=rankings.metrics_mistakes(),
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
    many = normal(50, 11, seed=2).mul(2).round()
    known = torch.rand(50, 11, generator=generator) < 0.3
    wanted = torch.randint(11, (50,), generator=generator)
    known.scatter_(1, wanted[:, None], False)
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
                (many, wanted, known, 4), "fifty people, eleven items, k = 4"
            ),
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
                (
                    torch.tensor([[4.0, 4, 1, 0, 2], [5.0, 3, 3, 3, 1]]),
                    torch.tensor([0, 2]),
                    none[:2, :5],
                    3,
                ),
                "two items tied on the ranks 1 and 2, three on 2 to 4, k = 3",
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
        mistakes=rankings.HIT_MISTAKES,
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
        mistakes=histories.PAIR_MISTAKES,
        praise="each history for itself, each pair as often as it comes",
    )


# Exercise 4: the last state --------------------------------------------------


def _oracle_last(states, tokens):
    rows = []
    for row, items in zip(states, tokens.tolist()):
        real = [i for i, item in enumerate(items) if item != 0]
        rows.append(row[real[-1]] if real else 0 * row[0])
    return torch.stack(rows)


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
        mistakes=histories.LAST_MISTAKES,
        praise="whatever the padding holds, and nothing for nobody",
    )
