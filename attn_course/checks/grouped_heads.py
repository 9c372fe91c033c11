"""Grouped attention for the check of lesson 13's exercise 3: right and wrong.

All take ``query`` (batch, heads, q, d), ``key`` and ``value`` (batch,
kv_heads, k, d).
"""

import math

import torch

from attn_course.checks.engine import Mistake


def oracle(query, key, value):
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
    return oracle(query[:, ::times], key, value)


def _head_by_kv_heads(clamped):
    """Head h asks key head h // kv_heads, as far as there is one."""

    def grouped(query, key, value):
        last = key.shape[1] - 1
        heads = torch.arange(query.shape[1]) // key.shape[1]
        if not clamped and heads.max() > last:
            raise IndexError
        heads = heads.clamp(max=last)
        return oracle(query, key[:, heads], value[:, heads])

    return grouped


def _scores(query, key):
    times = query.shape[1] // key.shape[1]
    scores = query @ _in_a_row(key, times).transpose(-2, -1)
    return scores / math.sqrt(query.shape[-1])


def _with(weights):
    """A grouped attention with other weights of the scores."""

    def grouped(query, key, value):
        times = query.shape[1] // key.shape[1]
        return weights(_scores(query, key)) @ _in_a_row(value, times)

    return grouped


def _turned_copies(key_times, value_times):
    """Copies one of key and value in a row, the other as a whole."""

    def grouped(query, key, value):
        times = query.shape[1] // key.shape[1]
        k, v = key_times(key, times), value_times(value, times)
        return oracle(query, k, v)

    return grouped


def _as_a_whole(x, times):
    return x.repeat(1, times, 1, 1)


def _per_group(query, key, value):
    """(batch, kv_heads, times, q, d), not merged yet."""
    return oracle(query, key, value).unflatten(1, (key.shape[1], -1))


def _mean_queries(query, key, value):
    times = query.shape[1] // key.shape[1]
    mean = query.unflatten(1, (key.shape[1], times)).mean(dim=2)
    return _in_a_row(oracle(mean, key, value), times)


MISTAKES = [
    Mistake(
        _grouped(_as_a_whole),
        "the copies stand in the wrong order: head h asks key head "
        "h % kv_heads here, but neighbours should share: "
        "repeat_interleave, not repeat",
    ),
    *(
        Mistake(
            _head_by_kv_heads(clamped),
            "head h asks key head h // kv_heads here: divide h by the "
            "group, heads / kv_heads",
        )
        for clamped in (True, False)
    ),
    *(
        Mistake(
            _turned_copies(*copies),
            "keys and values are copied in two orders: head h // "
            "group for both (repeat_interleave)",
        )
        for copies in ((_in_a_row, _as_a_whole), (_as_a_whole, _in_a_row))
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
    Mistake(_causal, "a causal mask hides keys: here none is asked for"),
    Mistake(
        _grouped(_in_a_row, dim=-2),
        "the softmax runs over the queries: use dim=-1, over the keys",
    ),
    Mistake(
        _grouped(_in_a_row, dim=1),
        "the softmax runs over the heads: use dim=-1, over the keys",
    ),
    Mistake(
        _with(lambda x: x.flatten(2).softmax(-1).view_as(x)),
        "one softmax for all queries: each has its own, dim=-1",
    ),
    Mistake(
        _with(lambda x: x),
        "the softmax over the keys is missing: weights add up to 1",
    ),
    Mistake(
        _grouped(_in_a_row, power=-0.5), "multiplied by the root of d: divide"
    ),
    Mistake(
        _grouped(_in_a_row, size=-2),
        "divided by the root of the number of queries: it is that of "
        "d, the last size",
    ),
    Mistake(
        lambda q, k, v: _scores(q, k).softmax(dim=-1),
        "those are the weights: mix the values with them",
    ),
    Mistake(
        _per_group,
        "kv_heads and group are still two dimensions: .flatten(1, 2)",
    ),
    Mistake(
        lambda q, k, v: _per_group(q, k, v).transpose(1, 2).flatten(1, 2),
        "the heads come out in another order: kv_heads first, the "
        "group after it",
    ),
    Mistake(
        lambda q, k, v: oracle(q, k, v).transpose(1, 2),
        "the heads stand behind the queries: (batch, heads, q, d)",
    ),
    Mistake(
        lambda q, k, v: oracle(q, k, v).transpose(1, 2).flatten(2),
        "the heads are joined: (batch, heads, q, d) is asked for",
    ),
    Mistake(
        _mean_queries,
        "the queries of a group are averaged: they share a key head, "
        "and each asks for itself",
    ),
    Mistake(
        _grouped(_first_only),
        "all heads ask the first key head: each group has its own",
    ),
    Mistake(
        _grouped(_mean), "the key heads are averaged: each group asks its own"
    ),
    Mistake(_one_per_group, "one query head a group is left: all of them ask"),
    Mistake(
        lambda q, k, v: _grouped(_in_a_row)(q, k, k),
        "the keys are mixed in place of the values",
    ),
    Mistake(
        lambda q, k, v: (
            oracle(q, k, v).unflatten(1, (k.shape[1], -1)).mean(dim=2)
        ),
        "the heads of a group are averaged: keep each",
    ),
]
