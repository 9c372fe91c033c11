"""Checks of lesson 01's exercises."""

import math

import torch

from attn_course.checks.comparing import numbers
from attn_course.checks.engine import (
    RIGHT,
    WRONG,
    Case,
    Mistake,
    Verdict,
    check,
    check_value,
)
from attn_course.checks.inputs import HAND, normal


def slip(answer):
    """Exercise 1: what should stand in the place of 2.08 in [1.54, 2.08]?"""
    return check_value(
        answer,
        2.5379,
        tolerance=0.003,
        praise="that is the weighted sum of the second numbers",
        mistakes=[
            (1.5379, "that one was printed right: look at the other"),
            (2.08, "that is what was printed; do the sum again"),
            (
                3.4621,
                "the weights are the wrong way round: key 1 has the score 1, "
                "so the larger weight",
            ),
            (1.4622, "that is only the first value's share: add the second's"),
            (1.0756, "that is only the second value's share: add the first's"),
            (6.0, "every value is taken whole: multiply by the weights"),
            (3.0, "that is the plain average: use the weights"),
            *(
                (
                    0.7311 * first + 0.2689 * second,
                    "numbers of different columns are mixed: both come from "
                    "the values' second places",
                )
                for first, second in ((1, 4), (2, 3))
            ),
            (
                2.6605,
                "these weights come from scores divided by sqrt(2); the "
                "printed text does not divide",
            ),
            ([1.5379, 2.5379], "expected one number: the one that is wrong"),
        ],
    )


def by_eye(answer):
    """Exercise 1: by how much must the two output numbers differ?"""
    return check_value(
        answer,
        1.0,
        praise="2 is 1 + 1 and 4 is 3 + 1, and the weights sum to 1",
        mistakes=[
            (0.54, "that is how the printed numbers differ: is it possible?"),
            (2.0, "each value's second number is larger by less than that"),
            (0.0, "look at [1, 2] and [3, 4]: their numbers do differ"),
            (-1.0, "take the second number minus the first"),
            (
                0.4622,
                "that is how far 2.08 is off: how do the two numbers of one "
                "value differ?",
            ),
            (0.7311, "that is a weight; look at the values alone"),
        ],
    )


def _oracle_softmax(scores, temperature):
    rows = []
    for row in scores.reshape(-1, scores.shape[-1]):
        top = max(s.item() for s in row)
        powers = [torch.exp((s - top) / temperature) for s in row]
        total = sum(powers)
        rows.append(torch.stack([p / total for p in powers]))
    return torch.stack(rows).reshape(scores.shape)


def _share(powers, dim=-1):
    return powers / powers.sum(dim, keepdim=True)


def _standard(scores):
    mean, spread = scores.mean(-1, keepdim=True), scores.std(-1, keepdim=True)
    return (scores - mean) / spread


SOFTMAX = [
    Mistake(
        lambda s, t: (s == s.amax(-1, keepdim=True)).float(),
        "only the highest score gets weight: every one gets some, by exp",
    ),
    Mistake(
        lambda s, t: torch.softmax(s // t, -1), "// rounds down: divide with /"
    ),
    Mistake(
        lambda s, t: torch.softmax(_standard(s) / t, -1),
        "it divides the scores by how far they spread: only by the temperature",
    ),
    Mistake(
        lambda s, t: _share(torch.exp(s / t), 1),
        "dim=1 is the last dimension only of a matrix: dim=-1 always is",
    ),
    Mistake(
        lambda s, t: torch.exp(s / t - (s / t).amax(-1, keepdim=True)),
        "the largest weight becomes 1: divide by the sum of the row, not by "
        "its largest",
    ),
    Mistake(
        lambda s, t: (
            torch.exp(s / t) / torch.exp(s / t).mean(-1, keepdim=True)
        ),
        "it divides by the mean, so each row sums to its length: divide by the "
        "sum",
    ),
    Mistake(
        lambda s, t: (
            torch.exp(s / t) / (1 + torch.exp(s / t).sum(-1, keepdim=True))
        ),
        "it adds 1 to the sum, so each row sums to less than 1: divide by the "
        "sum alone",
    ),
    *(
        Mistake(
            lambda s, t, power=power: torch.softmax(s, -1) ** power(t),
            "the weights are raised to a power, and no longer sum to 1: divide "
            "the scores by the temperature, before the softmax",
        )
        for power in (lambda t: t, lambda t: 1 / t)
    ),
    Mistake(
        lambda s, t: torch.softmax(s / math.sqrt(t), -1),
        "it divides by the square root of the temperature: divide by the "
        "temperature itself",
    ),
    Mistake(
        lambda s, t: torch.softmax(s / t**2, -1),
        "it divides by the temperature twice: once",
    ),
    Mistake(
        lambda s, t: torch.exp(s / t) / torch.exp(s).sum(-1, keepdim=True),
        "the sum is of powers without the temperature: sum the same powers as "
        "stand above",
    ),
    Mistake(
        lambda s, t: torch.exp(s) / torch.exp(s / t).sum(-1, keepdim=True),
        "the powers above have no temperature, those in the sum have one: the "
        "same in both",
    ),
    Mistake(
        lambda s, t: torch.exp(s / t) / (s / t).sum(-1, keepdim=True),
        "the sum is of the scores: sum their powers",
    ),
    Mistake(
        lambda s, t: torch.softmax(s / t * math.log(10), -1),
        "it takes powers of 10: take powers of e (torch.exp)",
    ),
    Mistake(
        lambda s, t: _share((s / t).abs()),
        "the exponential is missing: it shares out the sizes of the scores",
    ),
    Mistake(
        lambda s, t: torch.softmax(torch.softmax(s, -1) / t, -1),
        "softmax is taken twice: divide the scores by the temperature, then "
        "once",
    ),
]


def softmax(answer):
    """Exercise 2: softmax with a temperature."""
    e = torch.exp
    return check(
        answer,
        oracle=_oracle_softmax,
        cases=[
            Case((torch.tensor([1.0, 0.0]), 2.0), "scores [1, 0] at T = 2"),
            Case((normal(2, 2), 1.5), "two rows of two scores at T = 1.5"),
            Case((normal(3), 0.5), "three scores at T = 0.5"),
            Case((normal(4, 3), 3.0), "four rows of three scores at T = 3"),
            Case((normal(2, 3, 5), 1.0), "a batch of shape (2, 3, 5)"),
        ],
        mistakes=[
            Mistake(
                lambda s, t: e(s) / e(s).sum(-1, keepdim=True),
                "the temperature has no effect: divide the scores by it, "
                "before the exponential",
            ),
            Mistake(
                lambda s, t: e(s / t) / e(s / t).sum(-1),
                "the sums lost their column: with keepdim=True each row is "
                "divided by its own sum",
            ),
            Mistake(
                lambda s, t: e(-s / t) / e(-s / t).sum(-1, keepdim=True),
                "the sign is turned: a higher score must give a higher weight",
            ),
            Mistake(
                lambda s, t: s / t,
                "that only divides the scores: take exp and normalise too",
            ),
            Mistake(
                lambda s, t: e(s * t) / e(s * t).sum(-1, keepdim=True),
                "it multiplies by the temperature: a high temperature must "
                "even the weights out, so divide",
            ),
            Mistake(
                lambda s, t: e(s / t) / e(s / t).sum(),
                "it sums over all rows: each row must sum to 1, so sum over "
                "dim=-1",
            ),
            Mistake(
                lambda s, t: e(s / t) / e(s / t).sum(0, keepdim=True),
                "it sums over the queries (dim=0): sum over the keys, dim=-1",
            ),
            Mistake(
                lambda s, t: e(s / t),
                "the weights do not sum to 1: divide by their sum",
            ),
            Mistake(
                lambda s, t: e(s) / e(s).sum(-1, keepdim=True) / t,
                "it divides the weights by the temperature, after the "
                "softmax: divide the scores, before it",
            ),
            Mistake(
                lambda s, t: s / t / (s / t).sum(-1, keepdim=True),
                "the exponential is missing: scores may be negative, weights "
                "may not",
            ),
            Mistake(
                lambda s, t: torch.log_softmax(s / t, -1),
                "these are logarithms of the weights (log_softmax)",
            ),
            Mistake(
                lambda s, t: (
                    2 ** (s / t) / (2 ** (s / t)).sum(-1, keepdim=True)
                ),
                "it takes powers of 2: take powers of e (torch.exp)",
            ),
            Mistake(
                lambda s, t: torch.sigmoid(s / t),
                "it is a sigmoid, one score at a time: the weights of a row "
                "must share 1 between them",
            ),
            *SOFTMAX,
        ],
        praise="every row sums to 1, and T sharpens or evens it",
    )


def _oracle_lookup(query, key, value):
    output = []
    for q in query:
        scores = [sum(a * b for a, b in zip(q, k)) for k in key]
        top = max(s.item() for s in scores)
        powers = [torch.exp(s - top) for s in scores]
        total = sum(powers)
        mixed = [
            sum(p / total * v[c] for p, v in zip(powers, value))
            for c in range(value.shape[1])
        ]
        output.append(torch.stack(mixed))
    return torch.stack(output)


def _random(q, k, d, v):
    generator = torch.Generator().manual_seed(q + 10 * k + 100 * d)
    sizes = ((q, d), (k, d), (k, v))
    return tuple(torch.randn(*size, generator=generator) for size in sizes)


def _weights(query, key):
    return torch.softmax(query @ key.T, dim=-1)


def _cosine(query, key):
    return (
        query
        / query.norm(dim=-1, keepdim=True)
        @ (key / key.norm(dim=-1, keepdim=True)).T
    )


LOOKUP = [
    Mistake(
        lambda q, k, v: _weights(q, k).argmax(-1),
        "that is the number of the best key: mix the values by the weights",
    ),
    Mistake(
        lambda q, k, v: torch.softmax(q @ k.T * math.sqrt(k.shape[1]), -1) @ v,
        "it multiplies the scores by sqrt(d): use the plain dot product",
    ),
    Mistake(
        lambda q, k, v: torch.softmax(torch.cdist(q, k), -1) @ v,
        "it compares by distance, and the farthest key gets most: use the dot "
        "product",
    ),
    Mistake(
        lambda q, k, v: torch.softmax(_cosine(q, k), -1) @ v,
        "it compares by cosine, so lengths do not count: use the plain dot "
        "product",
    ),
    Mistake(
        lambda q, k, v: _weights(q, k)[:, :-1] @ v[:-1],
        "the last value is never added: the loop ends one too early",
    ),
    Mistake(
        lambda q, k, v: (_weights(q, k)[:, :, None] * v).sum(-1),
        "it sums over the numbers of each value: sum over the keys, dim=1",
    ),
    Mistake(
        lambda q, k, v: (_weights(q, k)[:, :, None] * v).mean(1),
        "it takes the mean of the weighted values: the weights sum to 1, so "
        "add",
    ),
    Mistake(
        lambda q, k, v: torch.softmax(q @ k.T @ v, -1),
        "the softmax comes after the values: it makes weights of the scores, "
        "before",
    ),
    Mistake(
        lambda q, k, v: torch.softmax(-q @ k.T, -1) @ v,
        "the sign is turned: a higher score must give a higher weight",
    ),
    Mistake(
        lambda q, k, v: torch.sigmoid(q @ k.T) @ v,
        "it is a sigmoid, one score at a time: each query's weights must share "
        "1 between them, softmax",
    ),
    Mistake(
        lambda q, k, v: torch.softmax(_weights(q, k), -1) @ v,
        "softmax is taken twice: once",
    ),
    Mistake(
        lambda q, k, v: _weights(q, k)[:, :, None] * v,
        "the weighted values still stand apart: add them up over the keys, "
        "dim=1",
    ),
    Mistake(
        lambda q, k, v: torch.softmax(q @ k.T / math.sqrt(len(k)), -1) @ v,
        "it divides the scores by the square root of the number of keys: use "
        "the plain dot product",
    ),
    Mistake(
        lambda q, k, v: torch.log_softmax(q @ k.T, -1) @ v,
        "these are logarithms of the weights (log_softmax): softmax",
    ),
]


def lookup(answer):
    """Exercise 3: the whole soft lookup, for many queries at once."""

    def soft(scores, dim=-1):
        return torch.softmax(scores, dim)

    return check(
        answer,
        oracle=_oracle_lookup,
        cases=[
            Case(HAND, "the hand example"),
            Case(_random(3, 3, 3, 3), "three queries, three keys, size 3"),
            Case(_random(2, 5, 4, 3), "2 queries, 5 keys, d = 4, v = 3"),
            Case(_random(4, 1, 2, 2), "a single key"),
        ],
        mistakes=[
            Mistake(
                lambda q, k, v: soft(q @ k.T / math.sqrt(q.shape[-1])) @ v,
                "it divides the scores by sqrt(d): that is lesson 02; here "
                "the plain dot product is asked for",
            ),
            Mistake(
                lambda q, k, v: soft(q @ k.T / q.shape[-1]) @ v,
                "it divides the scores by d; use the plain dot product",
            ),
            Mistake(
                lambda q, k, v: soft(q @ k.T, 0) @ v,
                "the softmax runs over the queries: each query's weights, "
                "over the keys, must sum to 1",
            ),
            Mistake(
                lambda q, k, v: (
                    soft((q @ k.T).flatten(), 0).view(len(q), len(k)) @ v
                ),
                "the weights of all queries together sum to 1: each row must "
                "sum to 1 by itself",
            ),
            Mistake(
                lambda q, k, v: (q @ k.T).exp() @ v,
                "the weights do not sum to 1: divide by their sum",
            ),
            Mistake(
                lambda q, k, v: (q @ k.T).exp() / (q @ k.T).exp().sum(-1) @ v,
                "the sums lost their column: with keepdim=True each row is "
                "divided by its own sum",
            ),
            Mistake(
                lambda q, k, v: (q @ k.T) @ v,
                "the softmax is missing: the scores are used as weights",
            ),
            Mistake(
                lambda q, k, v: q @ k.T / (q @ k.T).sum(-1, keepdim=True) @ v,
                "it divides the scores by their sum: scores may be negative "
                "or sum to 0, so take the softmax instead",
            ),
            Mistake(
                lambda q, k, v: soft(q @ k) @ v,
                "the transpose is missing: it multiplies by key, not key.T",
            ),
            Mistake(
                lambda q, k, v: soft(q @ k.T) @ k,
                "it mixes the keys: mix the values",
            ),
            Mistake(
                lambda q, k, v: soft(q @ v.T) @ v,
                "it compares the query with the values: compare with the keys",
            ),
            Mistake(
                lambda q, k, v: soft(q @ k.T) @ v.T,
                "it mixes the columns of value: no transpose there",
            ),
            Mistake(
                lambda q, k, v: soft(q @ k.T),
                "these are the weights: multiply them with the values",
            ),
            Mistake(
                lambda q, k, v: q @ k.T,
                "these are the scores: take the softmax, then mix the values",
            ),
            Mistake(
                lambda q, k, v: v[(q @ k.T).argmax(-1)],
                "it takes the best key's value alone: mix all values by "
                "their weights",
            ),
            Mistake(
                lambda q, k, v: v.mean(0).expand(len(q), -1),
                "it averages all values evenly: use the weights",
            ),
            Mistake(
                lambda q, k, v: soft(-torch.cdist(q, k)) @ v,
                "it compares by distance: use the dot product",
            ),
            *LOOKUP,
        ],
        praise="the hand example gives [1.5379, 2.5379], and any sizes work",
    )


def aim(answer):
    """Exercise 4: a query whose output is [2.5, 3.5]."""
    if answer is None or answer is Ellipsis:
        return check_value(answer, 0.0)
    try:
        query = numbers(answer).float()
    except ValueError:
        return check_value(answer, [0.0, 0.0])
    if query.shape == (1, 2):  # as the lesson's Q
        query = query[0]
    if query.shape != (2,):
        return check_value(query, [0.0, 0.0])
    if not query.isfinite().all():
        return Verdict(WRONG, "expected two finite numbers, got nan or inf")
    output = _oracle_lookup(query[None], *HAND[1:])[0]
    said = f"your query gives {[round(x, 4) for x in output.tolist()]}"
    if abs(output[0].item() - 2.5) < 1e-3:
        return Verdict(RIGHT, f"{said}, and only its first number matters")
    if abs(output[0].item() - 1.5) < 1e-3:
        return Verdict(
            WRONG,
            f"{said}: key 1 has three quarters; turn the query's first "
            "number around",
            named=True,
        )
    more = 2 if output[0] < 2.5 else 1
    return Verdict(
        WRONG,
        f"{said}: key {more} needs more weight; which part of the query makes "
        "the two scores differ?",
        named=True,
    )
