"""Checks of lesson 02's exercises."""

import math

import torch

from attn_course.checks import softmaxes
from attn_course.checks.engine import Case, Mistake, check, check_value
from attn_course.checks.inputs import HAND, normal


def by_hand(answer):
    """Exercise 1: the weight of key 1, for scores 4 and 0 with d = 4."""
    e = math.exp
    return check_value(
        answer,
        e(2) / (e(2) + 1),
        tolerance=0.0006,
        praise="4 / sqrt(4) = 2, and e^2 / (e^2 + 1) = 0.8808",
        mistakes=[
            (
                e(4) / (e(4) + 1),
                "that is unscaled: divide the scores by sqrt(d) first",
            ),
            (
                e(1) / (e(1) + 1),
                "that divides the scores by d: divide by its square root",
            ),
            (e(8) / (e(8) + 1), "that multiplies by sqrt(d): divide by it"),
            (1.0, "that is all the weight: key 2 gets its share too"),
            (
                e(4 / math.sqrt(2)) / (e(4 / math.sqrt(2)) + 1),
                "that divides by sqrt(2), as if d were the number of keys "
                "or of another example: here d = 4",
            ),
            (
                1 / (e(2) + 1),
                "that is the weight of key 2: key 1 has the larger score",
            ),
            (4.0, "that is the score: scale it, then take the softmax"),
            (
                2.0,
                "that is the scaled score: raise e to it, and divide by the "
                "sum over both keys",
            ),
            (e(2), "that is the power: divide it by the sum of both powers"),
            (
                e(4) / (e(4) + 1) / 2,
                "it divides the weight: divide the scores, before the softmax",
            ),
            (0.88, "right so far as it goes: give four digits"),
            (0.5, "that would be two equal scores: key 2's score is 0, not 4"),
        ],
    )


def _oracle_softmax(scores):
    # weight j = 1 / sum_i exp(s_i - s_j): no shift to choose at all
    return 1 / (scores[..., None, :] - scores[..., None]).exp().sum(-1)


def softmax(answer):
    """Exercise 2: a softmax over the last dimension that never overflows."""
    far = torch.tensor([[1000.0, 999.0, 998.0], [-1000.0, -999.0, -998.0]])
    return check(
        answer,
        oracle=_oracle_softmax,
        cases=[
            Case((torch.tensor([1.0, 0.0]),), "scores [1, 0]"),
            Case((normal(3, 3),), "a square matrix of scores"),
            Case((normal(4, 3),), "four rows of three scores"),
            Case((normal(2, 3, 5),), "a batch of shape (2, 3, 5)"),
            Case((torch.tensor([100.0, 99.0]),), "scores [100, 99]"),
            Case((far[1],), "scores near -1000"),
            Case((far,), "one row near 1000, another near -1000"),
            Case((torch.tensor([1000.0, 0.0, -1000.0]),), "1000, 0, -1000"),
        ],
        tolerance=1e-4,  # float32 at 100 has no more digits
        mistakes=softmaxes.MISTAKES,
        praise="every row sums to 1, from -1000 to 1000",
    )


def _oracle_mask(lengths, length):
    return torch.tensor(
        [
            [[j <= i and j < n for j in range(length)] for i in range(length)]
            for n in lengths.tolist()
        ],
        dtype=torch.bool,
    ).reshape(len(lengths), length, length)


def mask(answer):
    """Exercise 3: the causal and the padding mask in one."""

    def causal(n, length):
        return torch.ones(len(n), length, length).tril().bool()

    def real(n, length):
        return torch.arange(length) < n[:, None]

    def keys(n, length):
        return real(n, length)[:, None, :].expand(-1, length, -1)

    def queries(n, length):
        return real(n, length)[:, :, None].expand(-1, -1, length)

    return check(
        answer,
        oracle=_oracle_mask,
        cases=[
            Case((torch.tensor([2]), 3), "one sentence of 2, padded to 3"),
            Case((torch.tensor([1, 3, 4]), 4), "lengths 1, 3, 4 padded to 4"),
            Case((torch.tensor([0, 5]), 5), "lengths 0 and 5 padded to 5"),
            Case((torch.tensor([2, 2, 2]), 3), "three of 2, padded to 3"),
            Case((torch.tensor([3, 1]), 6), "lengths 3 and 1 padded to 6"),
        ],
        mistakes=[
            Mistake(
                lambda n, m: ~(causal(n, m) & keys(n, m)),
                "it is the wrong way round: True = may attend",
            ),
            Mistake(
                lambda n, m: causal(n, m) | keys(n, m),
                "it allows what *one* of the conditions allows: both must "
                "hold, so & instead of |",
            ),
            Mistake(causal, "padding is still allowed: only causal so far"),
            Mistake(
                lambda n, m: causal(n, m)[0],
                "one mask for all sentences, and padding is still allowed: "
                "only causal so far",
            ),
            Mistake(
                lambda n, m: (causal(n, m) & keys(n, m))[
                    :, : n.max(), : n.max()
                ],
                "it is as wide as the longest sentence: `length` may be "
                "larger, and says how wide",
            ),
            Mistake(keys, "the future is still allowed: only padding so far"),
            Mistake(
                lambda n, m: causal(n, m) & queries(n, m),
                "it hides the padded *queries*, and a query with nothing to "
                "look at only makes trouble: hide the padded keys, the last "
                "dimension ([:, None, :])",
            ),
            Mistake(
                lambda n, m: causal(n, m).mT & keys(n, m),
                "it looks into the future: query i may see keys j <= i, the "
                "lower triangle",
            ),
            Mistake(
                lambda n, m: causal(n, m).tril(-1) & keys(n, m),
                "a token may attend to itself: j <= i, not j < i",
            ),
            Mistake(
                lambda n, m: causal(n, m) & keys(n + 1, m),
                "one padded key too many is allowed: positions count from "
                "0, so j < length, not j <= length",
            ),
            Mistake(
                lambda n, m: (
                    causal(n, m)
                    & ~(torch.arange(m) < (m - n)[:, None])[:, None, :]
                ),
                "it hides the first tokens: padding stands at the end",
            ),
            Mistake(
                lambda n, m: causal(n, m) & ~keys(n, m),
                "it allows the padding and hides the real tokens",
            ),
            Mistake(
                lambda n, m: (causal(n, m) & keys(n, m)).float(),
                "right, but of another type: make it boolean, True and "
                "False, in a torch tensor",
            ),
            Mistake(
                lambda n, m: torch.zeros(len(n), m, m).masked_fill(
                    ~(causal(n, m) & keys(n, m)), -math.inf
                ),
                "that is a mask to be *added* to scores: return True and "
                "False",
            ),
        ],
        praise="past, present and real: each condition hides its part",
    )


def _oracle_attention(query, key, value, mask):
    batch = []
    for one_q, one_k, one_v, one_m in zip(query, key, value, mask):
        rows = []
        for q, allowed in zip(one_q, one_m):
            found = 0 * q.sum() * one_v.sum(0)  # 0, joined to the inputs
            seen = [j for j in range(len(one_k)) if allowed[j]]
            if seen:
                scores = [(q * one_k[j]).sum() / len(q) ** 0.5 for j in seen]
                top = max(s.item() for s in scores)
                powers = [(s - top).exp() for s in scores]
                for power, j in zip(powers, seen):
                    found = found + power / sum(powers) * one_v[j]
            rows.append(found)
        batch.append(torch.stack(rows))
    return torch.stack(batch)


def _random(batch, q, k, d, v, empty=False):
    shapes = ((q, d), (k, d), (k, v))
    tensors = [2 * normal(batch, *s, seed=n) for n, s in enumerate(shapes)]
    mask = normal(batch, q, k, seed=3) < 0.25  # six in ten
    mask[..., 0] = True  # nobody is left without a key ...
    if empty:
        mask[0, 0] = False  # ... but this one
    return (*tensors, mask)


def attention(answer):
    """Exercise 4: scaled dot-product attention with a boolean mask."""
    inf = math.inf

    def soft(scores, dim=-1):
        return torch.softmax(scores, dim)

    def score(q, k):
        return q @ k.mT / math.sqrt(q.shape[-1])

    def hide(scores, m):
        return scores.masked_fill(~m, -inf)

    def good(scores, m):
        """Mask scores rightly, empty rows too."""
        return soft(hide(scores, m | ~m.any(-1, keepdim=True))) * m

    rows = (  # a slip shows whatever becomes of the empty row
        good,
        lambda s, m: soft(hide(s, m)),
        lambda s, m: soft(s.masked_fill(~m, -1e9)),
    )

    def slips(weights, hint):
        return [
            Mistake(
                lambda q, k, v, m, row=row: weights(q, k, m, row) @ v, hint
            )
            for row in rows
        ]

    def powers(s, m, end):
        """Write a softmax that neither shifts nor forgets the mask."""
        total = (s.exp() * m).sum(-1, keepdim=True)
        return s.exp() * m / end(total)

    # Scores -3000, -2999 and a forbidden -2998; the second query turns them.
    far = (
        torch.tensor([[[1.0] * 4, [-1.0] * 4]]),
        torch.tensor([[[-1500.0] * 4, [-1499.5] * 4, [-1499.0] * 4]]),
        torch.tensor([[[1.0], [2.0], [4.0]]]),
    )
    two = torch.tensor([[[True, True, False]] * 2])
    hand = [tensor[None] for tensor in HAND]
    one = torch.tensor([[[True, False]]])
    return check(
        answer,
        oracle=_oracle_attention,
        cases=[
            Case((*hand, one | True), "the hand example, all allowed"),
            Case((*hand, one), "the hand example, key 1 alone allowed"),
            Case(_random(2, 3, 4, 5, 2), "a batch of 2 with a mask"),
            Case(_random(3, 4, 4, 4, 4), "a batch of 3, all sizes 4"),
            Case(
                _random(2, 3, 4, 6, 2, empty=True),
                "a query that may attend to nothing",
            ),
            Case((*far, two), "scores near -3000 and 3000, key 3 forbidden"),
        ],
        mistakes=[
            Mistake(
                lambda q, k, v, m: soft(score(q, k)) @ v,
                "the mask is not used",
            ),
            *(
                Mistake(
                    lambda q, k, v, m, low=low, end=end: (
                        end(soft(score(q, k).masked_fill(~m, low)), m) @ v
                    ),
                    "forbidden scores get a low number, as -20 or -1000, "
                    "which is a score like any other: allowed ones may lie "
                    "below it; fill with -inf or the lowest finite number",
                )
                for low in (-10, -20, -1000)
                for end in (lambda w, m: w, lambda w, m: w * m)
            ),
            *(
                Mistake(
                    lambda q, k, v, m, fill=fill, end=end: (
                        powers(fill(score(q, k), m), m, end) @ v
                    ),
                    "it raises e to the scores as they are, which overflows "
                    "or leaves 0 / 0: subtract the largest allowed score "
                    "first, or use torch.softmax",
                )
                for fill in (lambda s, m: s, hide)
                for end in (
                    lambda t: t,
                    lambda t: t.clamp(min=1e-9),
                    lambda t: t + 1e-9,
                    lambda t: t.masked_fill(t == 0, 1.0),
                )
            ),
            Mistake(
                lambda q, k, v, m: soft(hide(score(q, k), m)) @ v,
                "all right but the empty row: it is 0 / 0 = nan there; set "
                "the weights of such a query to 0",
            ),
            Mistake(
                lambda q, k, v, m: soft(score(q, k).masked_fill(~m, -1e9)) @ v,
                "all right but the empty row: it averages forbidden values; "
                "set its weights to 0 after the softmax",
            ),
            Mistake(
                lambda q, k, v, m: soft(score(q, k) + ~m * -1e4) @ v,
                "all right but the empty row: a number added to all its "
                "scores changes nothing, so that it attends as if unmasked; "
                "set its weights to 0",
            ),
            *slips(
                lambda q, k, m, row: row(score(q, k), ~m),
                "the mask is the wrong way round: True = may attend, so fill "
                "where it is False (~mask)",
            ),
            Mistake(
                lambda q, k, v, m: (
                    soft(score(q, k).masked_fill(~m, -1e9)).masked_fill(m, 0.0)
                    @ v
                ),
                "the second fill is the wrong way round: it puts 0 where the "
                "mask is True; use ~mask there too",
            ),
            *slips(
                lambda q, k, m, row: row(q @ k.mT, m),
                "the scale is missing: divide the scores by sqrt(d)",
            ),
            *slips(
                lambda q, k, m, row: row(q @ k.mT / q.shape[-1], m),
                "it divides by d: divide by its square root",
            ),
            *slips(
                lambda q, k, m, row: row(q @ k.mT * math.sqrt(q.shape[-1]), m),
                "it multiplies by sqrt(d): divide by it",
            ),
            *(
                Mistake(
                    lambda q, k, v, m, end=end: (
                        end(soft(score(q, k).masked_fill(~m, -1e9), -2), m) @ v
                    ),
                    "the softmax runs over the queries: use dim=-1, the keys",
                )
                for end in (lambda w, m: w, lambda w, m: w * m)
            ),
            *(
                Mistake(
                    lambda q, k, v, m, low=low, end=end: (
                        end(soft(score(q, k).masked_fill(~m, low), 0), m) @ v
                    ),
                    "the softmax runs over the batch: use dim=-1, the keys",
                )
                for low in (-1e9, -inf)
                for end in (
                    lambda w, m: w,
                    lambda w, m: w * m,
                    lambda w, m: w.nan_to_num(0),
                )
            ),
            Mistake(
                lambda q, k, v, m: soft(good(score(q, k), m)) @ v,
                "the softmax is taken twice: once is enough",
            ),
            Mistake(
                lambda q, k, v, m: (
                    good(score(q, k), torch.ones_like(m).tril()) @ v
                ),
                "a causal mask is used: take the mask that is given",
            ),
            Mistake(
                lambda q, k, v, m: (
                    good(q @ k.mT / math.sqrt(v.shape[-1]), m) @ v
                ),
                "it divides by the square root of the size of a value: d is "
                "the size of a query, query.shape[-1]",
            ),
            Mistake(
                lambda q, k, v, m: (soft(score(q, k)) * m) @ v,
                "it sets weights to 0 after the softmax: the rest no longer "
                "sums to 1; fill the scores with -inf before it",
            ),
            Mistake(
                lambda q, k, v, m: soft(score(q, k) * m) @ v,
                "forbidden scores become 0 (by `* mask`, or filled with 0), "
                "and a score of 0 still gets a weight; fill with -inf",
            ),
            Mistake(
                lambda q, k, v, m: soft(score(q, k) + m) @ v,
                "it adds the mask to the scores: True counts as 1; fill "
                "with -inf where it is False",
            ),
            Mistake(
                lambda q, k, v, m: (
                    good(q @ k.mT / math.sqrt(k.shape[-2]), m) @ v
                ),
                "it divides by the square root of the number of keys: d is "
                "the size of a query, query.shape[-1]",
            ),
            Mistake(
                lambda q, k, v, m: (
                    good(q @ k.mT, m) / math.sqrt(q.shape[-1]) @ v
                ),
                "it divides the weights by sqrt(d), after the softmax: "
                "divide the scores",
            ),
            Mistake(
                lambda q, k, v, m: soft(hide(score(q, k), m), -2) @ v,
                "the softmax runs over the queries: use dim=-1, the keys",
            ),
            Mistake(
                lambda q, k, v, m: good(score(q, k), m),
                "these are the weights: multiply them with the values",
            ),
            Mistake(
                lambda q, k, v, m: good(score(q, k), m) @ k,
                "it mixes the keys: mix the values",
            ),
        ],
        praise="scale, mask before the softmax, and 0 where nothing is "
        "allowed",
    )
