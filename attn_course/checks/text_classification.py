"""Checks of lesson 08's exercises."""

import math

import torch

from attn_course.checks.engine import Case, check, check_value
from attn_course.checks.inputs import normal
from attn_course.checks.poolings import WRONG_POOLINGS, pool_loop
from attn_course.checks.word_deletion import WRONG_DELETIONS, delete_loop


def weights(answer):
    """Exercise 1: the weights of three words with scores 2, 1 and 1."""
    e, ee = math.e, math.e**2
    return check_value(
        answer,
        [ee / (ee + 2 * e), e / (ee + 2 * e), e / (ee + 2 * e)],
        praise="e / (e + 2) and twice 1 / (e + 2): only differences of "
        "scores count",
        mistakes=[
            (
                [0.5, 0.25, 0.25],
                "those are the scores divided by their sum: raise e to each "
                "score first",
            ),
            ([ee, e, e], "those are the exponentials: divide by their sum"),
            (
                [e, 1.0, 1.0],
                "those are the exponentials, divided by e: divide by their sum",
            ),
            ([0.58, 0.21, 0.21], "nearly: give three digits"),
            ([57.61, 21.19, 21.19], "give shares, from 0 to 1"),
            ([57.6, 21.2, 21.2], "give shares, from 0 to 1"),
            (
                [e / (e + 2), 1 / (e + 2), 1 / (e + 2), 0.0],
                "right, but give the three words only, not the padding",
            ),
            (
                [x / (ee + 2 * e + 1) for x in (ee, e, e, 1.0)],
                "the padding, score 0, has got a share: it is masked",
            ),
            ([2.0, 1.0, 1.0], "those are the scores: take their softmax"),
            (e / (e + 2), "that is the first word's: give all three weights"),
            (
                [1 / 3, 1 / 3, 1 / 3],
                "that is mean pooling: the scores are not equal",
            ),
            ([1.0, 0.0, 0.0], "soft, not hard: no word gets weight 0"),
            (
                [x / (ee + 2 * e + 1) for x in (ee, e, e)],
                "the padding, score 0, has got a share: it is masked",
            ),
            (
                [
                    e / (e + 2 * e**0.5),
                    e**0.5 / (e + 2 * e**0.5),
                    e**0.5 / (e + 2 * e**0.5),
                ],
                "the scores are halved: the lesson's pooling divides by nothing",
            ),
            (
                [
                    math.exp(2 / 2**0.5)
                    / (math.exp(2 / 2**0.5) + 2 * math.exp(1 / 2**0.5)),
                    math.exp(1 / 2**0.5)
                    / (math.exp(2 / 2**0.5) + 2 * math.exp(1 / 2**0.5)),
                    math.exp(1 / 2**0.5)
                    / (math.exp(2 / 2**0.5) + 2 * math.exp(1 / 2**0.5)),
                ],
                "the scores are divided by the root of 2: the lesson's pooling "
                "divides by nothing",
            ),
        ],
    )


# Exercise 2: pooling --------------------------------------------------------


def _mask(*lengths):
    longest = max(lengths)
    return torch.arange(longest) < torch.tensor(lengths)[:, None]


def pool(answer):
    """Exercise 2: attention pooling of a padded batch."""
    small = torch.tensor([[[1.0, 1.0], [0.0, 1.0], [9.0, 9.0]]])
    query = torch.tensor([1.0, 0.0])
    return check(
        answer,
        oracle=pool_loop,
        cases=[
            Case(
                (small, torch.tensor([[True, True, False]]), query),
                "the hand example, and one padded position",
            ),
            Case(
                (normal(3, 5, 4), _mask(5, 2, 3), normal(4)),
                "three texts of 5, 2 and 3 words",
            ),
            Case(
                (normal(2, 1, 3), _mask(1, 1), normal(3)),
                "two texts of one word",
            ),
            Case(
                (
                    normal(4, 4, 4, seed=3),
                    _mask(1, 4, 2, 4),
                    2 * normal(4, seed=5),
                ),
                "as many texts as words as numbers",
            ),
        ],
        mistakes=WRONG_POOLINGS,
        praise="by hand, and whatever stands in the padding",
    )


# Exercise 3: deletion -------------------------------------------------------


def delete(answer):
    """Exercise 3: delete the words with the highest scores."""
    tokens = torch.tensor([[11, 12, 13, 14, 0, 0]])
    scores = torch.tensor([[0.1, 0.4, 0.3, 0.2, 0.5, 0.9]])
    more = torch.tensor(
        [[5, 6, 7, 6, 9], [8, 5, 0, 0, 0], [4, 9, 9, 4, 0], [7, 0, 0, 0, 0]]
    )
    marks = normal(4, 5, seed=2)
    twice = torch.tensor([[9, 9, 9, 5]])  # whichever two of the equals go
    return check(
        answer,
        oracle=delete_loop,
        cases=[
            Case((tokens, scores, 2), "one text of four words, two to delete"),
            Case((more, marks, 1), "four texts, one word each"),
            Case((more, -marks.abs(), 2), "scores below 0, two words each"),
            Case((more, marks, 0), "nothing to delete"),
            Case((twice, torch.tensor([[1.0, 1.0, 1.0, 0.5]]), 2), "equals"),
        ],
        mistakes=WRONG_DELETIONS,
        praise="each text loses its own words, and none of its padding",
    )


def lead(answer):
    """Exercise 4: a paired difference from counts."""
    n, first, second = 1000, 70, 40
    mean = (first - second) / n
    spread = math.sqrt((first + second) / n - mean**2)
    low = mean - 1.96 * spread / math.sqrt(n)
    unpaired = 1.96 * math.sqrt(0.8 * 0.2 / n + 0.77 * 0.23 / n)
    return check_value(
        answer,
        [mean, low],
        tolerance=3e-4,
        praise="0.03, and at least 0.0095: above 0, though each model's own "
        "interval is about 0.05 wide",
        mistakes=[
            (
                [mean, mean + 1.96 * spread / math.sqrt(n)],
                "that is the upper bound: asked is the lower",
            ),
            (
                [mean, mean - spread / math.sqrt(n)],
                "that is one standard error: 95 % take 1.96 of them",
            ),
            (
                [mean, mean - unpaired],
                "those are the errors of two separate test sets: here both read "
                "the same texts, so use the deviation of the differences",
            ),
            (
                [mean, mean - 1.96 * spread / n],
                "divide by the square root of 1000",
            ),
            (
                [mean, mean - 1.96 * spread],
                "that is how far single texts lie apart: divide by the root of "
                "1000",
            ),
            (
                [-mean, -mean - 1.96 * spread / math.sqrt(n)],
                "the sign is wrong: the first is right more often",
            ),
            (
                [110 / n, 110 / n - 1.96 * spread / math.sqrt(n)],
                "a text that only the second gets right counts -1: subtract",
            ),
            (
                [30 / 110, 30 / 110 - 1.96 * 0.0917],
                "divide by all 1,000 texts, not by the 110 that differ",
            ),
            (
                [30.0, 30.0 - 1.96 * spread * math.sqrt(n)],
                "those are texts: give shares, from 0 to 1",
            ),
            ([30.0, 9.5], "those are texts: give shares, from 0 to 1"),
            ([3.0, 0.95], "that is in per cent: give shares, from 0 to 1"),
            (
                [mean, 1.96 * spread / math.sqrt(n)],
                "the second is half the interval's width: subtract it from the "
                "lead",
            ),
            ([low, mean], "the lead first, then the bound"),
            (mean, "that is the lead: give the lower bound too"),
            (low, "that is the lower bound: give the lead too, first"),
            (
                [mean, mean - 1.96 * spread**2 / math.sqrt(n)],
                "that is the variance of the texts: take its square root",
            ),
            (
                [
                    mean,
                    mean
                    - 1.96 * math.sqrt(0.07 * 0.93 + 0.04 * 0.96) / n**0.5,
                ],
                "the two counts are taken for two test sets: a text gives 1, "
                "-1 or 0, so take the deviation of these",
            ),
            ([mean, mean - 2 * spread / n**0.5], "nearly: take 1.96, not 2"),
            ([mean, 0.01], "rounded too far: give four digits"),
            (
                [mean, mean - 1.645 * spread / math.sqrt(n)],
                "1.645 leaves 5 % below: for 95 % in the middle take 1.96",
            ),
        ],
    )
