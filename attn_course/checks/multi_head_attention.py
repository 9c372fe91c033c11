"""Checks of lesson 04's exercises."""

import math

import torch

from attn_course.checks.engine import Case, Mistake, check, check_value
from attn_course.checks.inputs import normal


def two_heads(answer):
    """Exercise 1: two heads on paper, query [2, 0]."""
    return check_value(
        answer,
        [1.2384, 3.0],
        tolerance=0.002,
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
        mistakes=[
            Mistake(
                lambda x, n: x.view(len(x), n, x.shape[1], -1),
                "right shape, wrong numbers: this view mixes tokens. Cut the "
                "last dimension first (batch, length, heads, head_dim), then "
                "transpose",
            ),
            Mistake(
                lambda x, n: x.reshape(len(x), n, x.shape[1], -1),
                "right shape, wrong numbers: this view mixes tokens. Cut the "
                "last dimension first (batch, length, heads, head_dim), then "
                "transpose",
            ),
            Mistake(
                lambda x, n: x.unflatten(-1, (2, -1)).transpose(1, 2),
                "it makes 2 heads whatever is asked: use the argument heads",
            ),
            Mistake(
                lambda x, n: x.unflatten(-1, (n, -1)),
                "the transpose is missing: this is (batch, length, heads, "
                "head_dim), heads must come before length",
            ),
            Mistake(
                lambda x, n: x.unflatten(-1, (-1, n)).permute(0, 3, 1, 2),
                "head 1 gets every other number: it must get the first "
                "head_dim numbers; cut into (heads, head_dim), in this order",
            ),
            Mistake(
                lambda x, n: x.unflatten(-1, (n, -1)).permute(2, 0, 1, 3),
                "the heads come before the batch: put them behind it, "
                "(batch, heads, length, head_dim)",
            ),
            Mistake(
                lambda x, n: x.unflatten(-1, (n, -1)).permute(0, 2, 3, 1),
                "length and head_dim are swapped at the end",
            ),
            Mistake(
                lambda x, n: x.unflatten(-1, (n, -1)).transpose(1, 2).flip(1),
                "the heads are in reversed order",
            ),
            Mistake(
                lambda x, n: x.unsqueeze(1).expand(-1, n, -1, -1),
                "every head gets the whole vector: share the numbers out",
            ),
            Mistake(
                lambda x, n: x.transpose(1, 2).reshape(
                    len(x), n, x.shape[1], -1
                ),
                "it transposes first and cuts then, which mixes tokens: cut "
                "the last dimension first, then transpose",
            ),
            Mistake(
                lambda x, n: (
                    x.unflatten(-1, (n, -1)).transpose(1, 2).flatten(0, 1)
                ),
                "batch and heads are flattened into one dimension: keep them "
                "apart",
            ),
        ],
        praise="every head has all tokens, and its own numbers of each",
    )


def _attend(q, k, v, mask, scale=None):
    scores = q @ k.transpose(-2, -1)
    scores = scores * (q.shape[-1] ** -0.5 if scale is None else scale)
    return torch.softmax(scores.masked_fill(~mask, -math.inf), -1) @ v


def _split(x, heads):
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def _merge(x):
    return x.transpose(1, 2).flatten(2)


def _view(x, heads):
    return x.reshape(len(x), heads, x.shape[1], -1)


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

    def heads_of(split, *inputs):
        *tensors, heads, mask = inputs
        return (*(split(x, heads) for x in tensors), mask[:, None])

    def whole(merge, scale=None, split=_split):
        def fn(query, key, value, heads, mask):
            parts = heads_of(split, query, key, value, heads, mask)
            dim = query.shape[-1]
            factor = None if scale is None else scale(dim, heads)
            return merge(_attend(*parts, factor))

        return fn

    def over(dim):
        def fn(query, key, value, heads, mask):
            q, k, v, mask = heads_of(_split, query, key, value, heads, mask)
            scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
            scores = scores.masked_fill(~mask, -math.inf)
            return _merge(torch.softmax(scores, dim) @ v)

        return fn

    def masked_after(query, key, value, heads, mask):
        q, k, v, mask = heads_of(_split, query, key, value, heads, mask)
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
        return _merge(torch.softmax(scores, -1) * mask @ v)

    def filled_with_zero(query, key, value, heads, mask):
        q, k, v, mask = heads_of(_split, query, key, value, heads, mask)
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
        return _merge(torch.softmax(scores.masked_fill(~mask, 0.0), -1) @ v)

    def mask_misplaced(query, key, value, heads, mask):
        q, k, v, _ = heads_of(_split, query, key, value, heads, mask)
        return _merge(_attend(q, k, v, mask[:, :, None]))

    def mask_without_heads(query, key, value, heads, mask):
        q, k, v, _ = heads_of(_split, query, key, value, heads, mask)
        return _merge(_attend(q, k, v, mask))

    right = whole(_merge)
    careless = whole(lambda x: x.reshape(len(x), x.shape[2], -1))
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
        mistakes=[
            Mistake(
                lambda q, k, v, n, m: right(q, k, v, n, ~m),
                "the mask is the wrong way round: True = may attend, so fill "
                "where it is False",
            ),
            Mistake(
                lambda q, k, v, n, m: right(q, k, v, n, torch.ones_like(m)),
                "the mask is not used",
            ),
            Mistake(
                whole(_merge, lambda dim, n: dim**-0.5),
                "it divides by sqrt(dim): divide by the square root of the "
                "size of a head, dim / heads",
            ),
            Mistake(
                whole(_merge, lambda dim, n: 1.0),
                "the scores are not divided: divide by the square root of "
                "the size of a head",
            ),
            Mistake(
                whole(_merge, lambda dim, n: n / dim),
                "it divides by head_dim: take the square root of it",
            ),
            Mistake(
                whole(_merge, lambda dim, n: n**-0.5),
                "it divides by the square root of the number of heads: take "
                "the size of a head, dim / heads",
            ),
            Mistake(
                careless,
                "merged without transpose: right shape, wrong numbers; "
                "transpose(1, 2) first, then flatten",
            ),
            Mistake(
                whole(lambda x: x),
                "the heads are not merged: the result must be (batch, q, dim)",
            ),
            Mistake(
                whole(lambda x: x.transpose(1, 2)),
                "the heads are not merged yet: flatten the last two "
                "dimensions, (batch, q, dim)",
            ),
            Mistake(
                whole(
                    lambda x: x.reshape(len(x), x.shape[2], -1), split=_view
                ),
                "the heads are split by a plain view, which mixes tokens: "
                "cut the last dimension, then transpose",
            ),
            Mistake(
                whole(_merge, split=_view),
                "the heads are split by a plain view, which mixes tokens: "
                "cut the last dimension, then transpose",
            ),
            Mistake(
                whole(lambda x: x.mean(1)),
                "it averages the heads: put them side by side",
            ),
            Mistake(
                whole(lambda x: x.sum(1)),
                "it adds the heads up: put them side by side",
            ),
            Mistake(
                whole(lambda x: _merge(x.flip(1))),
                "the heads are put together in reversed order",
            ),
            Mistake(
                lambda q, k, v, n, m: _attend(q, k, v, m),
                "that is one head: split query, key and value first",
            ),
            Mistake(
                over(-2),
                "the softmax runs over the queries: use dim=-1, the keys",
            ),
            Mistake(
                over(1),
                "the softmax runs over the heads: use dim=-1, the keys",
            ),
            Mistake(
                masked_after,
                "the mask comes after the softmax, so the weights no longer "
                "sum to 1: fill the scores, before it",
            ),
            Mistake(
                filled_with_zero,
                "blocked scores are set to 0, which still gets weight: set "
                "them to -inf",
            ),
            Mistake(
                mask_without_heads,
                "the mask has no dimension for the heads, so it falls on the "
                "wrong ones: use mask[:, None]",
            ),
            Mistake(
                mask_misplaced,
                "the mask's new dimension is in the wrong place, so each head "
                "has another mask: use mask[:, None]",
            ),
            Mistake(
                lambda q, k, v, n, m: right(q, k, k, n, m),
                "it mixes the keys: mix the values",
            ),
        ],
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
        mistakes=[
            Mistake(
                lambda m, n: m.repeat_interleave(n, 0),
                "not turned round: torch's True means blocked, so use ~mask",
            ),
            Mistake(
                lambda m, n: ~m.repeat(n, 1, 1),
                "the order is wrong: sequence 1 for all its heads, then "
                "sequence 2; `repeat` goes round and round, use "
                "repeat_interleave",
            ),
            Mistake(
                lambda m, n: m.repeat(n, 1, 1),
                "not turned round (use ~mask), and the order is wrong (use "
                "repeat_interleave)",
            ),
            Mistake(
                lambda m, n: ~m,
                "turned round, but one mask per sequence: torch wants one "
                "per sequence and head",
            ),
            Mistake(
                lambda m, n: m,
                "nothing has changed: turn it round, and repeat it for the "
                "heads",
            ),
            Mistake(
                lambda m, n: ~m[:, None].expand(-1, n, -1, -1),
                "right, but in four dimensions: torch wants batch and heads "
                "in one, so flatten the first two",
            ),
            Mistake(
                lambda m, n: m[:, None].expand(-1, n, -1, -1).flatten(0, 1),
                "not turned round: torch's True means blocked, so use ~mask",
            ),
            Mistake(
                lambda m, n: ~m.repeat_interleave(n, 0).transpose(1, 2),
                "queries and keys are swapped: keep (q, k)",
            ),
            Mistake(
                lambda m, n: ~m.repeat_interleave(n, 1),
                "it repeats the queries: repeat the sequences, dim=0",
            ),
            Mistake(
                lambda m, n: (
                    torch.zeros(m.shape)
                    .masked_fill(~m, -math.inf)
                    .repeat_interleave(n, 0)
                ),
                "a mask of numbers to add would work too, but a boolean one "
                "is asked for",
            ),
            Mistake(
                lambda m, n: (~m).repeat_interleave(n, 0).int(),
                "right, but as numbers: torch refuses whole ones and would "
                "add others to the scores; keep it boolean",
            ),
        ],
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
            (0.875, "that is for two heads: count the pieces of a line"),
            (1.0, "one number, three thresholds: are there 8 pieces?"),
            (4.0, "that many answers are within reach: of how many?"),
            (50.0, "as a number from 0 to 1, not in percent"),
            (2 / 3, "count answers, not lamps: how many pieces of how many?"),
            (1 / 3, "count answers, not lamps: how many pieces of how many?"),
        ],
    )
