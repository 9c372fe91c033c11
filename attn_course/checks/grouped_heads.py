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


def _given(x, times):
    return x


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
    Mistake(
        lambda q, k, v: (
            _with(lambda x: (x * q.shape[-1] ** 0.5).softmax(-1))(q, k, v)
            / q.shape[-1] ** 0.5
        ),
        "divided after the softmax: divide the scores, before it",
    ),
    *(
        Mistake(
            lambda q, k, v, one=one, other=other: _grouped(_given)(
                q, one(k, q), other(v, q)
            ),
            words,
        )
        for one, other, words in (
            (
                lambda x, q: _in_a_row(x, q.shape[1] // x.shape[1]),
                lambda x, q: x[:, :1].expand(-1, q.shape[1], -1, -1),
                "all heads mix the first value head: each group has its own",
            ),
            (
                lambda x, q: x[:, :1].expand(-1, q.shape[1], -1, -1),
                lambda x, q: _in_a_row(x, q.shape[1] // x.shape[1]),
                "all heads ask the first key head: each group has its own",
            ),
        )
    ),
    Mistake(
        lambda q, k, v: _grouped(_in_a_row)(q, v, k),
        "keys and values are exchanged",
    ),
    Mistake(
        lambda q, k, v: _grouped(_in_a_row)(q, v, v),
        "the scores are those of query and value: of query and key",
    ),
    Mistake(
        _grouped(lambda x, times: _in_a_row(x.flip(1), times)),
        "the key heads are taken from the last one on: head h asks h // group",
    ),
    Mistake(
        lambda q, k, v: (
            oracle(q, k, v).unflatten(1, (k.shape[1], -1)).sum(dim=2)
        ),
        "the heads of a group are added up: keep each",
    ),
    Mistake(
        lambda q, k, v: oracle(q, k, v).flatten(1, 2),
        "heads and queries are joined: (batch, heads, q, d) is asked for",
    ),
    Mistake(
        lambda q, k, v: oracle(
            q.unflatten(1, (k.shape[1], -1)).mean(dim=2), k, v
        ),
        "the queries of a group are averaged: each asks for itself",
    ),
    Mistake(
        _with(lambda x: x.exp()),
        "the exponentials are not divided by their sum over the keys",
    ),
    Mistake(
        _with(lambda x: x / x.sum(dim=-1, keepdim=True)),
        "the scores are divided by their sum, without exp: softmax, dim=-1",
    ),
    Mistake(
        _with(lambda x: x.sigmoid()),
        "a sigmoid: softmax over the keys, dim=-1",
    ),
    *(
        Mistake(
            lambda q, k, v, size=size: _grouped(_in_a_row)(
                q * (q.shape[-1] / size(q, k)) ** 0.5, k, v
            ),
            f"divided by the root of {words}: it is that of d, the last size",
        )
        for size, words in (
            (lambda q, k: k.shape[2], "the number of keys"),
            (lambda q, k: k.shape[1], "the number of key heads"),
            (lambda q, k: q.shape[1] * q.shape[3], "heads times d"),
            (lambda q, k: q.shape[3] * k.shape[1] / q.shape[1], "d / group"),
            (lambda q, k: q.shape[1] / k.shape[1], "the group"),
            (lambda q, k: q.shape[3] / q.shape[1], "d / heads"),
        )
    ),
    *(
        Mistake(_grouped(spread, power), f"{words}; and {more}")
        for spread, words in (
            (
                _as_a_whole,
                "head h asks key head h % kv_heads: repeat_interleave, not "
                "repeat",
            ),
            (_first_only, "all heads ask the first key head"),
            (_mean, "the key heads are averaged"),
        )
        for power, more in (
            (0.0, "the scores are not divided by the root of d"),
            (1.0, "divided by d: it is the root of d"),
        )
    ),
    *(
        Mistake(
            _grouped(spread, power, dim=-2),
            f"the softmax runs over the queries: use dim=-1; and {words}",
        )
        for spread, power, words in (
            (_as_a_whole, 0.5, "repeat_interleave, not repeat"),
            (_in_a_row, 0.0, "the scores are not divided by the root of d"),
        )
    ),
    Mistake(
        _grouped(
            lambda x, times: x[:, -1:].expand(-1, times * x.shape[1], -1, -1)
        ),
        "all heads ask the last key head: each group has its own",
    ),
    Mistake(
        lambda q, k, v: _scores(q, k),
        "those are the scores: softmax over the keys, then mix the values",
    ),
    Mistake(
        lambda q, k, v: oracle(-q, k, v),
        "the scores have the wrong sign: low ones get the weight",
    ),
    Mistake(
        lambda q, k, v: oracle(q, k, v).reshape(
            len(q), k.shape[1], -1, q.shape[-1]
        ),
        "a group's heads and its queries are still one dimension: view it as "
        "(batch, heads, q, d) again",
    ),
    *(
        Mistake(
            lambda q, k, v, keep=keep: oracle(q, k, v).mean(2, keepdim=keep),
            "the queries are averaged: each has its own result",
        )
        for keep in (True, False)
    ),
]
