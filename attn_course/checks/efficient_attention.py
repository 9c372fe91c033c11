"""Checks of lesson 13's exercises."""

import torch

from attn_course.checks import grouped_heads, joined_halves
from attn_course.checks.engine import Case, check, check_value
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
        tolerance=0.05,
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
            (
                times(1 / 80),
                "one layer, and keys or values alone: all layers, both",
            ),
            (times(4), "that is four times as much: 16 bits are 2 bytes"),
            (times(16), "those are bits, and twice as many: 2 bytes a number"),
            (times(1.024), "a MiB is 1,024 times 1,024 bytes"),
            (
                times(1 / 5),
                "with 40 key heads, 8 and 1: each number is a fifth",
            ),
            (
                [right[2]] * 3,
                "that is one key head each time: with 40 of them it is 40 "
                "times as much",
            ),
            (
                [right[0], right[1], right[1]],
                "one key head: an eighth of what 8 key heads need",
            ),
            (
                [right[0], right[1], right[0] / 8],
                "one key head: a fortieth of the first, not an eighth",
            ),
            (
                [right[0], 8.0, 1.0],
                "8 and 1 are the numbers of key heads: of 40 it is 8 / 40 and "
                "1 / 40 of the first",
            ),
            (
                [right[0] / 2, right[1], right[2]],
                "the first is half: keys and values of all 40 heads",
            ),
            (times(2**19), "those are numbers: 2 bytes each, in MiB of 2**20"),
            (
                times(2**20 / 40),
                "those are the bytes of one layer: 40 layers, in MiB of 2**20",
            ),
            (
                times(2**20 / 80),
                "those are the numbers of one layer: 40 layers, 2 bytes each, "
                "in MiB of 2**20",
            ),
            (times(2000 / 2048), "2,048 tokens, not 2,000"),
            (
                [right[0], right[1], 1.0],
                "the third is one layer's: there are 40",
            ),
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
        oracle=joined_halves.oracle,
        cases=[
            Case(small, "the lesson's four scores, two and two"),
            Case(_halves(5, 3, 0), "five queries"),
            Case(_halves(4, 4, 3), "as many queries as numbers"),
            Case(_halves(3, 2, 5, offset=200.0), "scores about 200"),
            Case(_apart(), "one worker's scores about 0, the other's 200"),
        ],
        mistakes=joined_halves.MISTAKES,
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
