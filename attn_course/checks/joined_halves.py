"""Wrong ways to join two workers, for the check of lesson 13's exercise 2."""

import torch

from attn_course.checks.engine import Mistake


def oracle(m1, l1, o1, m2, l2, o2):
    """Weigh row by row, relative to the larger maximum: nothing overflows."""
    shift = torch.maximum(m1, m2).detach()
    rows = []
    for i in range(len(m1)):
        a = l1[i] * torch.exp(m1[i] - shift[i])
        b = l2[i] * torch.exp(m2[i] - shift[i])
        rows.append(o1[i] * (a / (a + b)) + o2[i] * (b / (a + b)))
    return torch.stack(rows)


def _relative(weigh, common=torch.maximum):
    """Weigh each worker's total and its factor to a common maximum."""

    def weights(m1, l1, m2, l2):
        m = common(m1, m2)
        return weigh(l1, m1 - m), weigh(l2, m2 - m)

    return weights


_to_one = (
    "all is relative to one worker's maximum, the smaller, or a mean of both: "
    "exp overflows where another is larger; take torch.maximum"
)
_WEIGHTS = [
    (_relative(lambda total, gap: total * gap.exp()), ""),
    (
        lambda m1, l1, m2, l2: (l1, l2),
        "the totals are relative to different maxima: multiply each by exp(m - "
        "common maximum) first",
    ),
    (
        _relative(lambda total, gap: gap.exp()),
        "the totals l1 and l2 have no say: a worker that saw more keys counts "
        "more",
    ),
    (
        lambda m1, l1, m2, l2: (torch.ones_like(l1), torch.ones_like(l2)),
        "both count alike: each counts with its share of the total",
    ),
    (
        _relative(lambda total, gap: gap.exp() / total),
        "it divides by l once more: o is finished, multiply it by l",
    ),
    (
        _relative(lambda total, gap: total * (-gap).exp()),
        "the factor is upside down: exp(m1 - m), which is at most 1",
    ),
    (
        _relative(lambda total, gap: total + gap.exp()),
        "l and exp(m - maximum) are added: multiply them",
    ),
    (
        _relative(lambda total, gap: total * torch.exp2(gap)),
        "a power of 2: the scores are powers of e, torch.exp",
    ),
    (
        _relative(lambda total, gap: total * gap),
        "exp is missing: l1 * exp(m1 - m)",
    ),
    (
        lambda m1, l1, m2, l2: (l1 * m1, l2 * m2),
        "the scores are not exponentiated: l1 * exp(m1 - m)",
    ),
    (
        lambda m1, l1, m2, l2: (m1, m2),
        "weighed by the maxima: l1 * exp(m1 - m)",
    ),
    (
        _relative(lambda total, gap: (total * gap.exp()) ** 2),
        "the shares are squared: multiply by each once",
    ),
    (
        _relative(lambda total, gap: total * gap.exp() ** 2),
        "exp(m - maximum) counts twice: once is enough",
    ),
    (
        _relative(lambda total, gap: total**2 * gap.exp()),
        "l counts twice: once is enough",
    ),
    *(
        (
            weights,
            "only one of the two is made relative to the common maximum: the "
            "other needs its exp(m - maximum), too",
        )
        for weights in (
            lambda m1, l1, m2, l2: (l1 * (m1 - m1.maximum(m2)).exp(), l2),
            lambda m1, l1, m2, l2: (l1, l2 * (m2 - m1.maximum(m2)).exp()),
        )
    ),
    (
        _relative(lambda total, gap: (total + gap).exp()),
        "m and l are added as if l were a logarithm: m + log(l)",
    ),
    (
        lambda m1, l1, m2, l2: (
            torch.sigmoid(m1 + l1 - m2 - l2),
            torch.sigmoid(m2 + l2 - m1 - l1),
        ),
        "m and l are added as if l were a logarithm: m + log(l)",
    ),
    (
        _relative(lambda total, gap: (total * gap.exp()).exp()),
        "a softmax of the totals: they are sums of exponentials already",
    ),
    (
        _relative(
            lambda total, gap: total * gap.exp(),
            lambda a, b: torch.maximum(a, b).max(),
        ),
        "one maximum for all queries: where a query's own lies far below, "
        "0 / 0 is left; take each query's, torch.maximum",
    ),
    (
        lambda m1, l1, m2, l2: (
            torch.sigmoid(l1 - l2),
            torch.sigmoid(l2 - l1),
        ),
        "a softmax of the totals: they are sums of exponentials already",
    ),
    *(
        (_relative(lambda total, gap: total * gap.exp(), common), _to_one)
        for common in (
            lambda a, b: a,
            lambda a, b: b,
            torch.minimum,
            lambda a, b: (a + b) / 2,
        )
    ),
    (
        lambda m1, l1, m2, l2: (l1 * m1.exp(), l2 * m2.exp()),
        "exp overflows for large scores: subtract the larger maximum first",
    ),
    (
        lambda m1, l1, m2, l2: (
            (m1 > m2).to(m1.dtype),
            (m1 <= m2).to(m1.dtype),
        ),
        "it takes one of the two whole: mix them",
    ),
    (
        lambda m1, l1, m2, l2: (
            (l1 > l2).to(m1.dtype),
            (l1 <= l2).to(m1.dtype),
        ),
        "it takes one of the two whole: mix them",
    ),
]


def _gaps(m1, l1, m2, l2):
    m = torch.maximum(m1, m2)
    return (m1 - m).exp(), (m2 - m).exp()


_TOTALS = [  # of the two weights and the arguments
    (lambda a, b, *given: a + b, ""),
    (
        lambda a, b, *given: torch.ones_like(a),
        "it is not divided by the common total",
    ),
    (
        lambda a, b, m1, l1, m2, l2: l1 + l2,
        "below the line, too, both totals must be relative to the common "
        "maximum",
    ),
    (
        lambda a, b, *given: sum(_gaps(*given)),
        "below the line the totals are missing: l1 and l2 belong to the common "
        "total, too",
    ),
    (
        lambda a, b, m1, l1, m2, l2: sum(
            gap * total for gap, total in zip(_gaps(m1, l1, m2, l2), (l1, l2))
        ),
        "above the line and below it the shares differ: the outputs are "
        "finished, divided by l already, so multiply each by its l again",
    ),
    (
        lambda a, b, *given: (a + b).sum().expand_as(a),
        "divided by the sum over all queries: each has its own total",
    ),
    (
        lambda a, b, *given: torch.maximum(a, b),
        "divided by the larger of the two: divide by their sum",
    ),
    (
        lambda a, b, *given: torch.full_like(a, 2),
        "divided by 2: divide by the common total",
    ),
    (
        lambda a, b, m1, l1, m2, l2: l1 * l2,
        "divided by the product of the totals: it is their sum, each made "
        "relative to the common maximum",
    ),
]


def _joined(weights, total):
    def join(m1, l1, o1, m2, l2, o2):
        a, b = weights(m1, l1, m2, l2)
        below = total(a, b, m1, l1, m2, l2)
        return (a / below)[:, None] * o1 + (b / below)[:, None] * o2

    return join


def _total(m1, l1, o1, m2, l2, o2):
    a, b = _WEIGHTS[0][0](m1, l1, m2, l2)
    return (a + b)[:, None]


def _one_weighed(first):
    def join(m1, l1, o1, m2, l2, o2):
        a, b = (x[:, None] for x in _WEIGHTS[0][0](m1, l1, m2, l2))
        return ((o1 if first else a * o1) + (b * o2 if first else o2)) / (
            a + b
        )

    return join


MISTAKES = [
    *(
        Mistake(
            _joined(weights, total), "; and ".join(filter(None, (one, two)))
        )
        for faults in (1, 2)
        for weights, one in _WEIGHTS
        for total, two in _TOTALS
        if bool(one) + bool(two) == faults
    ),
    Mistake(
        lambda m1, l1, o1, m2, l2, o2: oracle(m1, l1, o2, m2, l2, o1),
        "the shares are exchanged: each output counts with its own",
    ),
    *(
        Mistake(
            _one_weighed(first),
            "only one of the outputs is multiplied by its share: both are",
        )
        for first in (True, False)
    ),
    Mistake(_total, "that is the common total: the output is asked for"),
    Mistake(
        lambda *given: _total(*given)[:, 0],
        "that is the common total: the output is asked for",
    ),
    Mistake(
        lambda m1, l1, o1, m2, l2, o2: o1,
        "the second worker is left out: mix both",
    ),
    Mistake(
        lambda m1, l1, o1, m2, l2, o2: o2,
        "the first worker is left out: mix both",
    ),
    *(
        Mistake(
            lambda m1, l1, o1, m2, l2, o2, pick=pick: pick(o1, o2),
            "the larger or smaller number of the two is taken: mix them, each "
            "with its share",
        )
        for pick in (torch.maximum, torch.minimum)
    ),
    *(
        Mistake(
            lambda m1, l1, o1, m2, l2, o2, way=way: way([o1, o2]),
            "both outputs stand side by side: mix them, each with its share",
        )
        for way in (torch.stack, torch.cat, lambda both: torch.cat(both, -1))
    ),
]
