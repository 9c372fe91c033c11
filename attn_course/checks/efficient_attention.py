"""Checks of lesson 13's exercises."""

import torch

from attn_course.checks import grouped_heads
from attn_course.checks.engine import Case, Mistake, check, check_value
from attn_course.checks.inputs import normal

HEADS = (40, 8, 1)


def caches(answer):
    """Exercise 1: three cache sizes in MiB."""
    right = [2 * 40 * heads * 128 * 2048 * 2 / 2**20 for heads in HEADS]

    def times(factor):
        return [factor * size for size in right]

    return check_value(
        answer,
        right,
        tolerance=0.5,
        praise="1,600, 320 and 40 MiB: it shrinks with the key heads",
        mistakes=[
            (
                times(0.5),
                "that is half: keys and values are both kept, and 16 bits are 2 "
                "bytes",
            ),
            (
                times(0.25),
                "that is a quarter: keys *and* values, and 2 bytes each",
            ),
            (times(2), "that is twice as much: 16 bits are 2 bytes"),
            (times(8), "those are bits: 8 of them are a byte"),
            (
                times(1 / 40),
                "those are the MiB of one layer, and there are 40; or the "
                "numbers of key heads, and asked are MiB",
            ),
            (times(1 / 2048), "that is one token: there are 2,048"),
            (times(2**20), "those are bytes: divide by 2**20"),
            (
                times(2**20 / 1e6),
                "those are millions of bytes: a MiB is 2**20 bytes",
            ),
            (times(1 / 1024), "those are GiB: asked are MiB"),
            (times(1024), "those are KiB: asked are MiB"),
            (times(2**20 / 1e9), "those are GB: a MiB is 2**20 bytes"),
            (times(1 / 8), "divided by 8 once too often: 16 bits are 2 bytes"),
            (
                times(40),
                "40 times too much: are the layers, or the query heads, in it "
                "once more?",
            ),
            (times(2048), "the cache grows with the tokens, not their square"),
            (times(1 / 128), "each head keeps 128 numbers"),
            (right[::-1], "the order: first 40 key heads, then 8, then 1"),
            (
                [right[0]] * 3,
                "the cache holds key heads: with 8 of them it is a fifth",
            ),
            (
                [right[0], right[0] / 8, right[0] / 40],
                "with 8 key heads, not with groups of 8: 8 / 40 of the first",
            ),
        ],
    )


# Exercise 2: join -------------------------------------------------------------


def _oracle_join(m1, l1, o1, m2, l2, o2):
    # All relative to 0: right as long as nothing overflows.
    rows = []
    for i in range(len(m1)):
        a = l1[i] * torch.exp(m1[i])
        b = l2[i] * torch.exp(m2[i])
        rows.append(o1[i] * (a / (a + b)) + o2[i] * (b / (a + b)))
    return torch.stack(rows)


def _join(shares):
    """A join that weighs the two outputs by ``shares``."""

    def join(m1, l1, o1, m2, l2, o2):
        a, b = shares(m1, l1, m2, l2)
        total = a + b
        return (a / total)[:, None] * o1 + (b / total)[:, None] * o2

    return join


def _not_divided(m1, l1, o1, m2, l2, o2):
    m = torch.maximum(m1, m2)
    a, b = l1 * torch.exp(m1 - m), l2 * torch.exp(m2 - m)
    return a[:, None] * o1 + b[:, None] * o2


def _as_unfinished(m1, l1, o1, m2, l2, o2):
    m = torch.maximum(m1, m2)
    a, b = torch.exp(m1 - m), torch.exp(m2 - m)
    mixed = a[:, None] * o1 + b[:, None] * o2
    return mixed / (a * l1 + b * l2)[:, None]


def _gap(m, other):
    """The factor that makes a total relative to the common maximum."""
    return torch.exp(m - torch.maximum(m, other))


def _no_totals_below(m1, l1, o1, m2, l2, o2):
    total = _gap(m1, m2) + _gap(m2, m1)
    return _not_divided(m1, l1, o1, m2, l2, o2) / total[:, None]


def _old_totals_below(m1, l1, o1, m2, l2, o2):
    return _not_divided(m1, l1, o1, m2, l2, o2) / (l1 + l2)[:, None]


def _two_passes(sign):
    def join(m1, l1, o1, m2, l2, o2):
        m = torch.maximum(m1, m2)
        a = l1 * torch.exp(sign * (m1 - m))
        b = l2 * torch.exp(sign * (m2 - m))
        return (a[:, None] * o1 + b[:, None] * o2) / (a + b)[:, None]

    return join


def _relative_to(common):
    """A join in which all is relative to ``common(m1, m2)``."""

    def join(m1, l1, o1, m2, l2, o2):
        m = common(m1, m2)
        a, b = l1 * torch.exp(m1 - m), l2 * torch.exp(m2 - m)
        return (a[:, None] * o1 + b[:, None] * o2) / (a + b)[:, None]

    return join


def _large(m1, l1, o1, m2, l2, o2):
    """The oracle, made safe by a shift."""
    shift = torch.maximum(m1, m2).detach()
    return _oracle_join(m1 - shift, l1, o1, m2 - shift, l2, o2)


def _halves(q, v, seed, offset=0.0):
    total = 1 + normal(2, q, seed=seed).abs()
    m = 2 * normal(2, q, seed=seed + 1) + offset
    o = normal(2, q, v, seed=seed + 2)
    return m[0], total[0], o[0], m[1], total[1], o[1]


def _apart():
    """Make maxima 200 apart, between the workers and between the queries."""
    m1, *rest = _halves(4, 2, 7)
    m1 = m1 + torch.tensor([0.0, 200.0, 0.0, -200.0])
    l1, o1, m2, l2, o2 = rest
    m2 = m2 + torch.tensor([200.0, 0.0, 0.0, -200.0])
    return m1, l1, o1, m2, l2, o2


def join(answer):
    """Exercise 2: join the finished outputs of two workers."""
    small = (
        torch.tensor([1.0]),
        torch.tensor([1.3679]),
        torch.tensor([[1.5379]]),
        torch.tensor([3.0]),
        torch.tensor([1.3679]),
        torch.tensor([[5.5379]]),
    )
    return check(
        answer,
        oracle=_large,
        cases=[
            Case(small, "the lesson's four scores, two and two"),
            Case(_halves(5, 3, 0), "five queries"),
            Case(_halves(4, 4, 3), "as many queries as numbers"),
            Case(_halves(3, 2, 5, offset=200.0), "scores about 200"),
            Case(_apart(), "one worker's scores about 0, the other's 200"),
        ],
        mistakes=[
            Mistake(
                _join(lambda m1, l1, m2, l2: (l1, l2)),
                "the totals are relative to different maxima: multiply each "
                "by exp(m - common maximum) first",
            ),
            Mistake(
                _join(lambda m1, l1, m2, l2: (torch.ones_like(l1),) * 2),
                "that is the mean of both: each counts with its share of the "
                "total",
            ),
            Mistake(
                _join(
                    lambda m1, l1, m2, l2: (
                        torch.exp(m1 - torch.maximum(m1, m2)),
                        torch.exp(m2 - torch.maximum(m1, m2)),
                    )
                ),
                "the totals l1 and l2 have no say: a worker that saw more "
                "keys counts more",
            ),
            Mistake(_not_divided, "it is not divided by the common total"),
            Mistake(
                lambda m1, l1, o1, m2, l2, o2: o1 + o2,
                "that is the sum: each counts with its share of the total",
            ),
            Mistake(
                lambda m1, l1, o1, m2, l2, o2: _large(m1, l1, o2, m2, l2, o1),
                "the shares are exchanged: each output counts with its own",
            ),
            Mistake(
                _no_totals_below,
                "below the line the totals are missing: l1 and l2 belong to "
                "the common total, too",
            ),
            *(
                Mistake(
                    _join(shares),
                    "only one of the two is made relative to the common "
                    "maximum: the other needs its exp(m - maximum), too",
                )
                for shares in (
                    lambda m1, l1, m2, l2: (l1 * _gap(m1, m2), l2),
                    lambda m1, l1, m2, l2: (l1, l2 * _gap(m2, m1)),
                )
            ),
            Mistake(
                _join(
                    lambda m1, l1, m2, l2: (
                        torch.sigmoid(m1 + l1 - m2 - l2),
                        torch.sigmoid(m2 + l2 - m1 - l1),
                    )
                ),
                "m and l are added as if l were a logarithm: m + log(l)",
            ),
            Mistake(
                _join(
                    lambda m1, l1, m2, l2: (
                        _gap(m1, m2) / l1,
                        _gap(m2, m1) / l2,
                    )
                ),
                "it divides by l once more: o is finished, multiply it by l",
            ),
            Mistake(
                _as_unfinished,
                "the outputs are finished, divided by l already: multiply "
                "each by its l again",
            ),
            Mistake(
                _old_totals_below,
                "below the line, too, both totals must be relative to the "
                "common maximum",
            ),
            Mistake(
                _two_passes(-1),
                "the factor is upside down: exp(m1 - m), which is at most 1",
            ),
            *(
                Mistake(
                    _relative_to(common),
                    "all is relative to one worker's maximum, or to the "
                    "smaller: exp overflows where the other's is larger; take "
                    "torch.maximum",
                )
                for common in (lambda a, b: a, lambda a, b: b, torch.minimum)
            ),
            Mistake(
                _relative_to(lambda a, b: torch.maximum(a, b).max()),
                "one maximum for all queries: where a query's own lies far "
                "below, 0 / 0 is left; take each query's, torch.maximum",
            ),
            Mistake(
                _relative_to(lambda a, b: torch.zeros_like(a)),
                "exp overflows for large scores: subtract the larger maximum "
                "first",
            ),
            Mistake(
                lambda m1, l1, o1, m2, l2, o2: torch.where(
                    (m1 > m2)[:, None], o1, o2
                ),
                "it takes one of the two whole: mix them",
            ),
        ],
        praise="whoever saw which keys, and however large the scores",
    )


# Exercise 3: grouped -----------------------------------------------------------


def grouped(answer):
    """Exercise 3: query heads in groups share a key head."""

    def case(name, batch, heads, kv_heads, q, k, d, seed):
        query = normal(batch, heads, q, d, seed=seed)
        key = normal(batch, kv_heads, k, d, seed=seed + 1)
        value = normal(batch, kv_heads, k, d, seed=seed + 2)
        return Case((query, key, value), name)

    return check(
        answer,
        oracle=grouped_heads.oracle,
        cases=[
            case("4 query heads, 2 key heads", 1, 4, 2, 1, 3, 2, 0),
            case("8 query heads, 2 key heads", 2, 8, 2, 3, 5, 4, 3),
            case("6 query heads, 1 key head", 2, 6, 1, 4, 4, 3, 6),
            case("3 query heads, 3 key heads", 1, 3, 3, 2, 6, 5, 9),
        ],
        mistakes=grouped_heads.MISTAKES,
        praise="from one key head up to as many as query heads",
    )
