"""Checks of lesson 04's exercises."""

import math

import torch

from attn_course.checks import attention_heads, head_layouts
from attn_course.checks.engine import Case, check, check_value
from attn_course.checks.inputs import normal

_FIRST = [
    (1.2384, ""),
    (1.3912, "head 1's scores were divided by sqrt(2): by sqrt(1)"),
    (1.5379, "head 1's query is 2, not 1"),
    (2.7616, "head 1's larger weight belongs to key 1"),
    (10.389, "head 1 is not divided by the sum of its exponentials"),
    (2.0, "head 1's is no plain average: its scores are 2 and 0"),
    (1.0, "head 1 takes a mix, not the best value alone"),
    (3.0, "head 1's answer is wrong: it mixes 1 and 3, mostly 1"),
    (8.389, "head 1's number is the sum of the exponentials: divide by it"),
    (0.8808, "head 1's number is a weight: mix the values with it"),
]
_SECOND = [
    (3.0, ""),
    (2.2384, "head 2 has its own weights, one half each"),
    (2.3912, "head 2 has its own weights, one half each"),
    (2.5379, "head 2 has its own weights, one half each"),
    (3.7616, "head 2 has its own weights, one half each"),
    (2.0, "head 2's scores are equal: it takes half of both, 2 and 4"),
    (4.0, "head 2's scores are equal: it takes half of both, 2 and 4"),
    (6.0, "head 2's values are added up: multiply each by one half"),
    (0.0, "head 2's scores are 0, and its weights one half each"),
    (1.5, "head 2's scores are equal: it takes half of both, 2 and 4"),
    (0.5, "head 2's number is a weight: mix the values with it"),
    (1.0, "head 2 is multiplied by its query: the query only makes scores"),
]
_TOLD = (  # pairs with words of their own
    (1.3912, 2.3912),
    (0.8808, 0.5),
    (10.389, 6.0),
    (1.2384, 2.2384),
    (1.5379, 3.0),
    (1.3912, 3.0),
    (2.7616, 3.0),
    (1.2384, 2.0),
    (1.2384, 4.0),
    (1.2384, 6.0),
    (1.0, 3.0),
    (2.0, 3.0),
    (2.0, 0.0),
)
_PAIRS = [
    ([first, second], "; ".join(filter(None, (words, more))))
    for first, words in _FIRST
    for second, more in _SECOND
    if (words or more) and (first, second) not in _TOLD
]


def two_heads(answer):
    """Exercise 1: two heads on paper, query [2, 0]."""
    return check_value(
        answer,
        [1.2384, 3.0],
        tolerance=0.003,
        praise="each head with its own weights",
        mistakes=[
            (
                [1.3912, 2.3912],
                "that is one head, divided by sqrt(2): give each head its own "
                "number, and divide by sqrt(1)",
            ),
            ([0.8808, 0.5], "these are weights: mix the values with them"),
            (
                [10.389, 6.0],
                "not normalised: divide by the sum of the exponentials",
            ),
            (
                [1.2384, 2.2384],
                "that is one head: the second number must be mixed with head "
                "2's own weights",
            ),
            (
                [1.5379, 3.0],
                "that is the query [1, 0]: here head 1's query is 2",
            ),
            (
                [1.3912, 3.0],
                "head 1's scores were divided by sqrt(2): divide by the "
                "square root of the size of a head, which is 1",
            ),
            (
                [2.7616, 3.0],
                "head 1's weights are the wrong way round: key 1 has the "
                "score 2, so the larger weight",
            ),
            (
                [3.0, 1.2384],
                "right numbers, wrong order: head 1's answer comes first",
            ),
            (
                [1.2384, 2.0],
                "head 2's scores are equal: it takes half of both values",
            ),
            (
                [1.2384, 4.0],
                "head 2's scores are equal: it takes half of both values",
            ),
            (
                [1.2384, 6.0],
                "head 2's values are added up: multiply each by its weight, "
                "one half",
            ),
            (
                [1.0, 3.0],
                "head 1 took the best key's value alone: mix both by their "
                "weights",
            ),
            (
                [2.0, 3.0],
                "that is the plain average in both heads: head 1's scores "
                "are 2 and 0",
            ),
            ([2.0, 0.0], "these are scores: softmax, then mix the values"),
            *_PAIRS,
        ],
    )


def _oracle_split(x, heads):
    batch, length, dim = x.shape
    size = dim // heads
    rows = [
        torch.stack(
            [x[:, i, h * size : (h + 1) * size] for i in range(length)]
        )
        for h in range(heads)
    ]  # heads tensors (length, batch, size)
    return torch.stack(rows).permute(2, 0, 1, 3)


TOKENS = torch.tensor(
    [[[11.0, 12, 13, 14], [21, 22, 23, 24], [31, 32, 33, 34]]]
)


def split(answer):
    """Exercise 2: (batch, length, dim) to (batch, heads, length, head_dim)."""
    return check(
        answer,
        oracle=_oracle_split,
        cases=[
            Case((TOKENS, 2), "the three tokens 11, 12, ... with 2 heads"),
            Case((normal(2, 5, 6), 3), "batch 2, length 5, dim 6, 3 heads"),
            Case((normal(3, 4, 8), 4), "batch 3, length 4, dim 8, 4 heads"),
            Case((normal(2, 3, 4), 1), "a single head"),
            Case((normal(2, 3, 4), 4), "as many heads as numbers"),
            Case((normal(2, 6, 5).transpose(1, 2), 3), "a transposed input"),
        ],
        mistakes=head_layouts.SPLIT_MISTAKES,
        praise="every head has all tokens, and its own numbers of each",
    )


def _oracle_multi_head(query, key, value, heads, mask):
    size = query.shape[-1] // heads
    batches = []
    for b in range(len(query)):
        rows = []
        for i in range(query.shape[1]):
            parts = []
            for h in range(heads):
                own = slice(h * size, (h + 1) * size)
                allowed = [j for j in range(key.shape[1]) if mask[b, i, j]]
                scores = torch.stack(
                    [query[b, i, own] @ key[b, j, own] for j in allowed]
                )
                weights = torch.softmax(scores / math.sqrt(size), 0)
                parts.append(
                    sum(w * value[b, j, own] for w, j in zip(weights, allowed))
                )
            rows.append(torch.cat(parts))
        batches.append(torch.stack(rows))
    return torch.stack(batches)


def _case(batch, q, k, dim, heads, name):
    generator = torch.Generator().manual_seed(q + 10 * k)
    mask = torch.zeros(batch, q, k, dtype=torch.bool)
    # Each query may attend to some keys but not to all, each key is asked.
    while not (mask.any(-1) & ~mask.all(-1)).all() or not mask.any(-2).all():
        mask = torch.rand(batch, q, k, generator=generator) < 0.6
    tensors = (
        normal(batch, n, dim, seed=seed)
        for seed, n in ((2, q), (3, k), (4, k))
    )
    return Case((*tensors, heads, mask), name)


def multi_head(answer):
    """Exercise 3: multi-head attention with a mask, without projections."""
    return check(
        answer,
        oracle=_oracle_multi_head,
        cases=[
            _case(1, 2, 3, 4, 2, "2 queries, 3 keys, dim 4, 2 heads"),
            _case(2, 4, 3, 4, 2, "batch 2, 4 queries, 3 keys, 2 heads"),
            _case(2, 3, 3, 6, 3, "batch 2, length 3, dim 6, 3 heads"),
            _case(2, 4, 5, 8, 4, "batch 2, 4 queries, 5 keys, 4 heads"),
            _case(3, 2, 4, 4, 1, "a single head"),
        ],
        mistakes=attention_heads.MISTAKES,
        praise="it agrees with a loop over batch, query, head and key",
    )


def _oracle_torch_mask(mask, heads):
    blocked = []
    for sequence in mask.tolist():
        for _ in range(heads):
            blocked.append([[not bit for bit in row] for row in sequence])
    return torch.tensor(blocked)


def torch_mask(answer):
    """Exercise 4: our mask (batch, q, k) for torch's nn.MultiheadAttention."""

    def mask(*shape):
        generator = torch.Generator().manual_seed(sum(shape))
        return torch.rand(*shape, generator=generator) < 0.5

    small = torch.tensor([[[True, False]], [[True, True]]])
    return check(
        answer,
        oracle=_oracle_torch_mask,
        cases=[
            Case((small, 2), "masks [True, False] and [True, True], 2 heads"),
            Case((mask(3, 4, 5), 2), "batch 3, 4 queries, 5 keys, 2 heads"),
            Case((mask(2, 3, 3), 3), "batch 2, length 3, 3 heads"),
            Case((mask(2, 2, 2), 1), "a single head"),
        ],
        mistakes=head_layouts.MASK_MISTAKES,
        praise="blocked where we may not attend, once per sequence and head",
    )


def ceiling(answer):
    """Exercise 5: the best share for three lamps and one head."""
    return check_value(
        answer,
        0.5,
        praise="pieces of the line, divided by answers",
        mistakes=[
            (0.75, "that is for two lamps: now there are 8 answers"),
            (0.125, "that is pure guessing: one head still finds one number"),
            (0.25, "that is one lamp read and two guessed; what is the most?"),
            (0.375, "three thresholds make one piece more than three"),
            (0.625, "three cuts make four pieces of the line, not five"),
            (0.6, "three cuts make four pieces, and there are 8 answers"),
            (0.8, "three cuts make four pieces, and there are 8 answers"),
            (3.0, "how many pieces are there, and of how many answers?"),
            (8.0, "that many answers there are: how many can it give?"),
            (0.875, "that is for two heads: count the pieces of a line"),
            (1.0, "one number, three thresholds: are there 8 pieces?"),
            (4.0, "that many answers are within reach: of how many?"),
            (50.0, "as a number from 0 to 1, not in percent"),
            (2 / 3, "count answers, not lamps: how many pieces of how many?"),
            (1 / 3, "count answers, not lamps: how many pieces of how many?"),
        ],
    )
