"""Attention with heads for the check of lesson 04's exercise 3, gone wrong."""

import itertools
import math

import torch

from attn_course.checks.engine import Mistake


def _cut(x, heads):
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def _view(x, heads):
    return x.reshape(len(x), heads, x.shape[1], -1)


def _every_other(x, heads):
    return x.unflatten(-1, (-1, heads)).permute(0, 3, 1, 2)


_PLAIN_VIEW = (
    "the heads are split by a plain view, which mixes tokens: cut the last "
    "dimension, then transpose"
)
_SPLITS = [
    (_cut, ""),
    (_view, _PLAIN_VIEW),
    (
        _every_other,
        "head 1 gets every other number: cut into (heads, head_dim), in this "
        "order",
    ),
    (
        lambda x, n: x[:, None].expand(-1, n, -1, -1),
        "every head gets the whole vector: share the numbers out",
    ),
]
_SCALES = [  # of the size of a head, dim, the heads, keys
    (lambda size, dim, n, k: size**-0.5, ""),
    (
        lambda size, dim, n, k: dim**-0.5,
        "it divides by sqrt(dim): divide by the square root of the size of a "
        "head, dim / heads",
    ),
    (
        lambda size, dim, n, k: 1.0,
        "the scores are not divided: divide by the square root of the size of "
        "a head",
    ),
    (
        lambda size, dim, n, k: 1 / size,
        "it divides by head_dim: take the square root of it",
    ),
    (
        lambda size, dim, n, k: n**-0.5,
        "it divides by the square root of the number of heads: take the size "
        "of a head, dim / heads",
    ),
    (
        lambda size, dim, n, k: k**-0.5,
        "it divides by the square root of the number of keys: take the size "
        "of a head, dim / heads",
    ),
    (
        lambda size, dim, n, k: 1 / dim,
        "it divides by dim: take sqrt(head_dim)",
    ),
    (
        lambda size, dim, n, k: 1 / n,
        "it divides by the number of heads: take sqrt(dim / heads)",
    ),
    (
        lambda size, dim, n, k: size**0.5,
        "it multiplies by the square root of the size of a head: divide",
    ),
]
_MASKS = [  # of scores and mask (batch, 1, q, k)
    (lambda s, m: s.masked_fill(~m, -math.inf), ""),
    (
        lambda s, m: s.masked_fill(m, -math.inf),
        "the mask is the wrong way round: True = may attend, so fill where it "
        "is False",
    ),
    (lambda s, m: s, "the mask is not used"),
    (
        lambda s, m: s.masked_fill(~m, 0.0),
        "blocked scores are set to 0, which still gets weight: set them to "
        "-inf",
    ),
    *(
        (
            lambda s, m, low=low: s.masked_fill(~m, low),
            f"blocked scores are set to {low}, which still gets weight: set "
            "them to -inf",
        )
        for low in (-1.0, -10.0)
    ),
    (
        lambda s, m: s + m,
        "the mask is added as 1 and 0: fill blocked scores with -inf",
    ),
    (
        lambda s, m: s - (~m).float(),
        "1 is taken off blocked scores, which still get weight: set them to "
        "-inf",
    ),
    (
        lambda s, m: s.masked_fill(~m[:, 0, :, None], -math.inf),
        "the mask's new dimension is in the wrong place, so each head has "
        "another mask: use mask[:, None]",
    ),
    (
        lambda s, m: s.masked_fill(~m[:, 0], -math.inf),
        "the mask has no dimension for the heads, so it falls on the wrong "
        "ones: use mask[:, None]",
    ),
    (
        lambda s, m: s.masked_fill(~m[:1], -math.inf),
        "only the first sequence's mask is used: each has its own",
    ),
    (
        lambda s, m: s.masked_fill(
            torch.ones(s.shape[-2:], dtype=torch.bool).triu(1), -math.inf
        ),
        "a causal mask in place of the given one",
    ),
]
_WEIGHTS = [  # of the masked scores and the mask
    (lambda s, m: s.softmax(-1), ""),
    (
        lambda s, m: s.softmax(-2),
        "the softmax runs over the queries: use dim=-1, the keys",
    ),
    (
        lambda s, m: s.softmax(1),
        "the softmax runs over the heads: use dim=-1, the keys",
    ),
    (lambda s, m: s.sigmoid(), "a sigmoid: softmax over the keys, dim=-1"),
    (
        lambda s, m: s.nan_to_num(neginf=0.0),
        "the softmax over the keys is missing",
    ),
    (
        lambda s, m: s.exp(),
        "the exponentials are not divided by their sum over the keys",
    ),
    (
        lambda s, m: s.softmax(-1).softmax(-1),
        "the softmax is taken twice: weights add up to 1 already",
    ),
]
_MERGES = [
    (lambda x: x.transpose(1, 2).flatten(2), ""),
    (
        lambda x: x.reshape(len(x), x.shape[2], -1),
        "merged without transpose: right shape, wrong numbers; "
        "transpose(1, 2) first, then flatten",
    ),
    (
        lambda x: x,
        "the heads are not merged: the result must be (batch, q, dim)",
    ),
    (
        lambda x: x.permute(0, 2, 3, 1).flatten(2),
        "merged number by number: the first head's numbers come first, then "
        "the second's",
    ),
    (
        lambda x: x.transpose(1, 2),
        "the heads are not merged yet: flatten the last two dimensions, "
        "(batch, q, dim)",
    ),
    (lambda x: x.mean(1), "it averages the heads: put them side by side"),
    (lambda x: x.sum(1), "it adds the heads up: put them side by side"),
    (lambda x: x[:, 0], "only the first head is returned"),
    (lambda x: x[:, -1], "only the last head is returned"),
    (
        lambda x: x.transpose(1, 2).flatten(2).flip(-1),
        "the numbers come out in reversed order",
    ),
    (
        lambda x: x.flip(1).transpose(1, 2).flatten(2),
        "the heads are put together in reversed order",
    ),
    (
        lambda x: x.flatten(1, 2),
        "the heads stand below each other: side by side, (batch, q, dim)",
    ),
    (
        lambda x: x.transpose(1, 2).flatten(1, 2),
        "queries and heads are joined: heads and numbers are to be",
    ),
]
_LISTS = (_SPLITS, _SCALES, _MASKS, _WEIGHTS, _MERGES)


def _attention(split, scale, hide, weigh, merge):
    """Put together an attention with heads from one way of each list."""

    def attend(query, key, value, heads, mask):
        q, k, v = (split(x, heads) for x in (query, key, value))
        factor = scale(q.shape[-1], query.shape[-1], heads, k.shape[-2])
        scores = q @ k.transpose(-2, -1) * factor
        mask = mask[:, None]
        return merge(weigh(hide(scores, mask), mask) @ v)

    return attend


def _combined():
    """One fault; then two, of the three commonest ways of each list."""
    ones, twos = [], []
    for chosen in itertools.product(*map(enumerate, _LISTS)):
        faults = [number for number, _ in chosen if number]
        if len(faults) == 1 or (len(faults) == 2 and max(faults) < 4):
            ways = [way for _, (way, _) in chosen]
            words = [hint for _, (_, hint) in chosen if hint]
            (ones if len(faults) == 1 else twos).append(
                Mistake(_attention(*ways), "; and ".join(words))
            )
    return ones, twos


_ONES, _TWOS = _combined()


def _right_but(which, number):
    """Take the right ways, and one other of one list."""
    return [
        ways[number if place == which else 0][0]
        for place, ways in enumerate(_LISTS)
    ]


_right = _attention(*(ways[0][0] for ways in _LISTS))


def _masked_after(query, key, value, heads, mask, size=None):
    q, k, v = (_cut(x, heads) for x in (query, key, value))
    scores = q @ k.transpose(-2, -1) / math.sqrt(size or q.shape[-1])
    return _MERGES[0][0](scores.softmax(-1) * mask[:, None] @ v)


def _one_head(scale):
    def attend(query, key, value, heads, mask):
        dim = query.shape[-1]
        factor = scale(dim // heads, dim, heads, key.shape[1])
        scores = query @ key.transpose(-2, -1) * factor
        return scores.masked_fill(~mask, -math.inf).softmax(-1) @ value

    return attend


def _weights(query, key, value, heads, mask):
    q, k = (_cut(x, heads) for x in (query, key))
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    return scores.masked_fill(~mask[:, None], -math.inf).softmax(-1)


_SWAPPED = (
    "the roles are exchanged: scores of query and key, and a mix of the values"
)
MISTAKES = [
    *_ONES,
    Mistake(
        _masked_after,
        "the mask comes after the softmax, so the weights no longer sum to 1: "
        "fill the scores, before it",
    ),
    Mistake(
        lambda q, k, v, n, m: _masked_after(q, k, v, n, m, q.shape[-1]),
        "the mask comes after the softmax, so the weights no longer sum to 1; "
        "and it divides by sqrt(dim), not by sqrt(dim / heads)",
    ),
    Mistake(
        _one_head(_SCALES[1][0]),
        "that is one head: split query, key and value first",
    ),
    Mistake(
        _one_head(_SCALES[0][0]),
        "that is one head, though divided as if there were more: split query, "
        "key and value first",
    ),
    Mistake(
        _one_head(_SCALES[2][0]),
        "that is one head, and not divided: split query, key and value first",
    ),
    Mistake(
        lambda q, k, v, n, m: _right(q, k, k, n, m),
        "it mixes the keys: mix the values",
    ),
    *(
        Mistake(lambda q, k, v, n, m, swap=swap: swap(q, k, v, n, m), _SWAPPED)
        for swap in (
            lambda q, k, v, n, m: _right(q, v, k, n, m),
            lambda q, k, v, n, m: _right(q, v, v, n, m),
        )
    ),
    Mistake(
        lambda *given: (
            _attention(*_right_but(1, 2))(*given)
            / math.sqrt(given[0].shape[-1] // given[3])
        ),
        "divided after the softmax: divide the scores, before it",
    ),
    Mistake(
        lambda q, k, v, n, m: _weights(q, k, v, n, m).mean(1) @ v,
        "the heads' weights are averaged: each head mixes its own values",
    ),
    Mistake(_weights, "those are the weights: mix the values with them"),
    Mistake(
        lambda *given: _weights(*given).mean(1),
        "those are the heads' mean weights: mix the values, each head alone",
    ),
    *_TWOS,
]
