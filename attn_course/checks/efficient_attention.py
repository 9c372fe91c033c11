"""Checks of lesson 13's exercises."""

import math

import torch

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


def _oracle_grouped(query, key, value):
    times = query.shape[1] // key.shape[1]
    heads = []
    for h in range(query.shape[1]):
        k, v = key[:, h // times], value[:, h // times]
        scores = torch.einsum("bqd,bkd->bqk", query[:, h], k)
        powers = torch.exp(scores / query.shape[-1] ** 0.5)
        weights = powers / powers.sum(dim=-1, keepdim=True)
        heads.append(torch.einsum("bqk,bkd->bqd", weights, v))
    return torch.stack(heads, dim=1)


def _grouped(spread, power=0.5, dim=-1, size=-1):
    """A grouped attention that goes wrong in one place."""

    def grouped(query, key, value):
        times = query.shape[1] // key.shape[1]
        k, v = spread(key, times), spread(value, times)
        scores = query @ k.transpose(-2, -1) / query.shape[size] ** power
        return torch.softmax(scores, dim=dim) @ v

    return grouped


def _in_a_row(x, times):
    return x.repeat_interleave(times, dim=1)


def _first_only(x, times):
    return x[:, :1].expand(-1, times * x.shape[1], -1, -1)


def _mean(x, times):
    return x.mean(dim=1, keepdim=True).expand(-1, times * x.shape[1], -1, -1)


def _causal(query, key, value):
    times = query.shape[1] // key.shape[1]
    k, v = _in_a_row(key, times), _in_a_row(value, times)
    scores = query @ k.transpose(-2, -1) / math.sqrt(query.shape[-1])
    later = torch.ones_like(scores).triu(1).bool()
    return scores.masked_fill(later, -math.inf).softmax(dim=-1) @ v


def _one_per_group(query, key, value):
    times = query.shape[1] // key.shape[1]
    return _oracle_grouped(query[:, ::times], key, value)


def grouped(answer):
    """Exercise 3: query heads in groups share a key head."""

    def case(name, batch, heads, kv_heads, q, k, d, seed):
        query = normal(batch, heads, q, d, seed=seed)
        key = normal(batch, kv_heads, k, d, seed=seed + 1)
        value = normal(batch, kv_heads, k, d, seed=seed + 2)
        return Case((query, key, value), name)

    return check(
        answer,
        oracle=_oracle_grouped,
        cases=[
            case("4 query heads, 2 key heads", 1, 4, 2, 1, 3, 2, 0),
            case("8 query heads, 2 key heads", 2, 8, 2, 3, 5, 4, 3),
            case("6 query heads, 1 key head", 2, 6, 1, 4, 4, 3, 6),
            case("3 query heads, 3 key heads", 1, 3, 3, 2, 6, 5, 9),
        ],
        mistakes=[
            Mistake(
                _grouped(lambda x, times: x.repeat(1, times, 1, 1)),
                "the copies stand in the wrong order: head h asks key head "
                "h % kv_heads here, but neighbours should share: "
                "repeat_interleave, not repeat",
            ),
            Mistake(
                _grouped(_in_a_row, power=0.0),
                "the scores are not divided by the root of d",
            ),
            Mistake(
                _grouped(_in_a_row, power=1.0),
                "the scores are divided by d: it is the root of d",
            ),
            Mistake(
                _grouped(_in_a_row, size=1),
                "divided by the root of the number of heads: it is that of "
                "d, the last size",
            ),
            Mistake(
                _causal, "a causal mask hides keys: here none is asked for"
            ),
            Mistake(
                _grouped(_in_a_row, dim=-2),
                "the softmax runs over the queries: use dim=-1, over the keys",
            ),
            Mistake(
                _grouped(_first_only),
                "all heads ask the first key head: each group has its own",
            ),
            Mistake(
                _grouped(_mean),
                "the key heads are averaged: each group asks its own",
            ),
            Mistake(
                _one_per_group,
                "one query head a group is left: all of them ask",
            ),
            Mistake(
                lambda q, k, v: _grouped(_in_a_row)(q, k, k),
                "the keys are mixed in place of the values",
            ),
            Mistake(
                lambda q, k, v: (
                    _oracle_grouped(q, k, v)
                    .unflatten(1, (k.shape[1], -1))
                    .mean(dim=2)
                ),
                "the heads of a group are averaged: keep each",
            ),
        ],
        praise="from one key head up to as many as query heads",
    )
