"""Answers to lesson 13's exercises: wrong ones with their hint, right ones."""

import math

import torch
from torch.nn import functional as F


def right_join(m1, l1, o1, m2, l2, o2):
    m = torch.maximum(m1, m2)
    a = (l1 * torch.exp(m1 - m)).unsqueeze(-1)
    b = (l2 * torch.exp(m2 - m)).unsqueeze(-1)
    return (a * o1 + b * o2) / (a + b)


def relative_join(m1, l1, o1, m2, l2, o2, m):
    a, b = l1 * torch.exp(m1 - m), l2 * torch.exp(m2 - m)
    return (a[:, None] * o1 + b[:, None] * o2) / (a + b)[:, None]


def sigmoid_join(m1, l1, o1, m2, l2, o2):
    lead = m1 + l1.log() - m2 - l2.log()
    share = torch.sigmoid(lead)[:, None]
    return share * o1 + (1 - share) * o2


def softmax_join(m1, l1, o1, m2, l2, o2):
    logs = torch.stack([m1 + l1.log(), m2 + l2.log()])  # (2, q)
    shares = logs.softmax(dim=0)
    return (shares[..., None] * torch.stack([o1, o2])).sum(dim=0)


def loop_join(m1, l1, o1, m2, l2, o2):
    rows = []
    for i in range(len(m1)):
        m = max(m1[i], m2[i])
        a, b = l1[i] * (m1[i] - m).exp(), l2[i] * (m2[i] - m).exp()
        rows.append((a * o1[i] + b * o2[i]) / (a + b))
    return torch.stack(rows)


def totals_only(m1, l1, o1, m2, l2, o2):
    return (l1[:, None] * o1 + l2[:, None] * o2) / (l1 + l2)[:, None]


def maxima_only(m1, l1, o1, m2, l2, o2):
    share = torch.sigmoid(m1 - m2)[:, None]
    return share * o1 + (1 - share) * o2


def not_divided(m1, l1, o1, m2, l2, o2):
    m = torch.maximum(m1, m2)
    a = (l1 * torch.exp(m1 - m))[:, None]
    b = (l2 * torch.exp(m2 - m))[:, None]
    return a * o1 + b * o2


def forgets_it_is_finished(m1, l1, o1, m2, l2, o2):
    m = torch.maximum(m1, m2)
    a, b = torch.exp(m1 - m), torch.exp(m2 - m)
    return (a[:, None] * o1 + b[:, None] * o2) / (a * l1 + b * l2)[:, None]


def old_totals_below(m1, l1, o1, m2, l2, o2):
    top = not_divided(m1, l1, o1, m2, l2, o2)
    return top / (l1 + l2).unsqueeze(1)


def upside_down(m1, l1, o1, m2, l2, o2):
    m = torch.maximum(m1, m2)
    a, b = (l1 * (m - m1).exp())[:, None], (l2 * (m - m2).exp())[:, None]
    return (a * o1 + b * o2) / (a + b)


def unsafe(m1, l1, o1, m2, l2, o2):
    a, b = (l1 * m1.exp())[:, None], (l2 * m2.exp())[:, None]
    return (a * o1 + b * o2) / (a + b)


def swapped(m1, l1, o1, m2, l2, o2):
    return right_join(m2, l2, o1, m1, l1, o2)


def softmax_times_totals(m1, l1, o1, m2, l2, o2):
    shares = torch.stack([m1, m2]).softmax(dim=0) * torch.stack([l1, l2])
    return torch.einsum("wq,wqv->qv", shares, torch.stack([o1, o2]))


def first_rescaled(m1, l1, o1, m2, l2, o2):
    a = (l1 * (m1 - torch.maximum(m1, m2)).exp()).unsqueeze(1)
    b = l2.unsqueeze(1)
    return (a * o1 + b * o2) / (a + b)


def second_rescaled(m1, l1, o1, m2, l2, o2):
    return first_rescaled(m2, l2, o2, m1, l1, o1)


def totals_as_logs(m1, l1, o1, m2, l2, o2):
    shares = torch.stack([m1 + l1, m2 + l2]).softmax(dim=0)[..., None]
    return shares[0] * o1 + shares[1] * o2


def divided_twice(m1, l1, o1, m2, l2, o2):
    return right_join(m1, 1 / l1, o1, m2, 1 / l2, o2)


def in_place_join(m1, l1, o1, m2, l2, o2):
    m = torch.maximum(m1, m2)
    l1 *= torch.exp(m1 - m)
    l2 *= torch.exp(m2 - m)
    return (l1[:, None] * o1 + l2[:, None] * o2) / (l1 + l2)[:, None]


def log_join(m1, l1, o1, m2, l2, o2):
    one, two = m1 + l1.log(), m2 + l2.log()
    both = torch.logaddexp(one, two)
    return (one - both).exp()[:, None] * o1 + (two - both).exp()[:, None] * o2


def double_join(m1, l1, o1, m2, l2, o2):
    """Exp of 200 is a number in float64."""
    a, b = l1 * m1.double().exp(), l2 * m2.double().exp()
    return (a[:, None] * o1 + b[:, None] * o2) / (a + b)[:, None]


def per_head(which):
    """One head at a time, each with key head ``which(h, query, key)``."""

    def grouped(query, key, value):
        heads = []
        for h in range(query.shape[1]):
            g = which(h, query.shape[1], key.shape[1])
            heads.append(
                F.scaled_dot_product_attention(
                    query[:, h], key[:, g], value[:, g]
                )
            )
        return torch.stack(heads, dim=1)

    return grouped


def weights_of(query, key, dim=-1, scale=-0.5):
    k = key.repeat_interleave(query.shape[1] // key.shape[1], dim=1)
    scores = torch.einsum("bhqd,bhkd->bhqk", query, k)
    return (scores * query.shape[-1] ** scale).softmax(dim)


def mixed(weights, value):
    times = weights.shape[1] // value.shape[1]
    return weights @ value.repeat_interleave(times, dim=1)


def linear_grouped(query, key, value):
    k = key.repeat_interleave(query.shape[1] // key.shape[1], dim=1)
    return mixed(query @ k.mT / math.sqrt(query.shape[-1]), value)


def one_softmax(query, key, value):
    k = key.repeat_interleave(query.shape[1] // key.shape[1], dim=1)
    powers = (query @ k.mT / math.sqrt(query.shape[-1])).exp()
    return mixed(powers / powers.sum(dim=(-2, -1), keepdim=True), value)


def five_dimensions(query, key, value):
    q = query.unflatten(1, (key.shape[1], -1))
    return F.scaled_dot_product_attention(
        q, key.unsqueeze(2), value.unsqueeze(2)
    )


def values_in_another_order(query, key, value):
    times = query.shape[1] // key.shape[1]
    return weights_of(query, key) @ torch.cat([value] * times, dim=1)


def keys_in_another_order(query, key, value):
    k = torch.cat([key] * (query.shape[1] // key.shape[1]), dim=1)
    return mixed(weights_of(query, k), value)


def shared_query(query, key, value):
    q = query.unflatten(1, (key.shape[1], -1)).mean(dim=2)
    found = F.scaled_dot_product_attention(q, key, value)
    return found.repeat_interleave(query.shape[1] // key.shape[1], dim=1)


def root_of_queries(query, key, value):
    d, q = query.shape[-1], query.shape[2]
    return right_grouped(query * (d / q) ** 0.5, key, value)


def right_grouped(query, key, value):
    times = query.shape[1] // key.shape[1]
    k = key.repeat_interleave(times, dim=1)
    v = value.repeat_interleave(times, dim=1)
    scores = query @ k.mT / query.shape[-1] ** 0.5
    return scores.softmax(dim=-1) @ v


def torch_grouped(query, key, value):
    return F.scaled_dot_product_attention(query, key, value, enable_gqa=True)


def rows_grouped(query, key, value):
    batch, heads, q, d = query.shape
    kv_heads = key.shape[1]
    rows = query.reshape(batch, kv_heads, heads // kv_heads * q, d)
    found = F.scaled_dot_product_attention(rows, key, value)
    return found.reshape(batch, heads, q, d)


def einsum_grouped(query, key, value):
    q = query.unflatten(1, (key.shape[1], -1))
    scores = torch.einsum("bgrqd,bgkd->bgrqk", q, key) / math.sqrt(q.shape[-1])
    mixed = torch.einsum("bgrqk,bgkd->bgrqd", scores.softmax(-1), value)
    return mixed.flatten(1, 2)


def wrong_order(query, key, value):
    times = query.shape[1] // key.shape[1]
    k, v = torch.cat([key] * times, dim=1), torch.cat([value] * times, dim=1)
    return right_grouped(query, k, v)


def unscaled(query, key, value):
    return right_grouped(query * query.shape[-1] ** 0.5, key, value)


def root_of_heads(query, key, value):
    d, heads = query.shape[-1], query.shape[1]
    return right_grouped(query * (d / heads) ** 0.5, key, value)


def causal(query, key, value):
    return F.scaled_dot_product_attention(
        query, key, value, is_causal=True, enable_gqa=True
    )


def over_queries(query, key, value):
    times = query.shape[1] // key.shape[1]
    k = key.repeat_interleave(times, dim=1)
    v = value.repeat_interleave(times, dim=1)
    scores = query @ k.mT / query.shape[-1] ** 0.5
    return scores.softmax(dim=2) @ v


def first_head(query, key, value):
    return right_grouped(query, key[:, :1], value[:, :1])


def averaged_keys(query, key, value):
    return right_grouped(
        query, key.mean(dim=1, keepdim=True), value.mean(dim=1, keepdim=True)
    )


def one_query_head(query, key, value):
    return right_grouped(
        query[:, :: query.shape[1] // key.shape[1]], key, value
    )


def averaged_heads(query, key, value):
    found = right_grouped(query, key, value)
    return found.unflatten(1, (key.shape[1], -1)).mean(dim=2)


CACHES = [1600, 320, 40]
WRONG = {
    "caches": [
        ([800, 160, 20], "half"),
        ([400, 80, 10], "quarter"),
        ([3200, 640, 80], "twice"),
        ([12800, 2560, 320], "bits"),
        ([40, 8, 1], "one layer"),
        ([0.78125, 0.15625, 0.01953125], "one token"),
        ([1600 * 2**20, 320 * 2**20, 40 * 2**20], "bytes"),
        ([1677.7, 335.5, 41.9], "millions"),
        ([1638400, 327680, 40960], "KiB"),
        ([1.6777, 0.3355, 0.0419], "GB"),
        ([200, 40, 5], "once too often"),
        ([64000, 12800, 1600], "once more"),
        ([1600 * 2048, 320 * 2048, 40 * 2048], "not their square"),
        ([40, 320, 1600], "the order"),
        ([1600, 1600, 1600], "key heads"),
        ([1600, 200, 40], "groups of 8"),
        (1600, "expected"),
        ("1600", "numbers"),
    ],
    "join": [
        (totals_only, "different maxima"),
        (lambda m1, l1, o1, m2, l2, o2: (o1 + o2) / 2, "mean of both"),
        (maxima_only, "no say"),
        (not_divided, "not divided"),
        (forgets_it_is_finished, "finished"),
        (old_totals_below, "below the line"),
        (upside_down, "upside down"),
        (unsafe, "overflows"),
        (lambda *x: relative_join(*x, x[0]), "one worker's maximum"),
        (lambda *x: relative_join(*x, x[3]), "one worker's maximum"),
        (lambda *x: relative_join(*x, torch.minimum(x[0], x[3])), "smaller"),
        (
            lambda *x: relative_join(*x, max(x[0].max(), x[3].max())),
            "one maximum for all",
        ),
        (
            lambda m1, l1, o1, m2, l2, o2: torch.where(
                (m1 >= m2)[:, None], o1, o2
            ),
            "whole",
        ),
        (swapped, "shares are exchanged"),
        (lambda m1, l1, o1, m2, l2, o2: o2 + o1, "that is the sum"),
        (softmax_times_totals, "below the line the totals are missing"),
        (first_rescaled, "only one of the two"),
        (second_rescaled, "only one of the two"),
        (totals_as_logs, "m + log(l)"),
        (divided_twice, "divides by l once more"),
        (
            lambda m1, l1, o1, m2, l2, o2: right_join(
                m1, l1, o1, max(m1, m2), l2, o2
            ),
            "torch.maximum",
        ),
        (in_place_join, "in place"),
        (lambda *x: right_join(*x)[:, 0], "expected shape"),
    ],
    "grouped": [
        (wrong_order, "repeat_interleave"),
        (unscaled, "root of d"),
        (
            lambda q, k, v: right_grouped(q / q.shape[-1] ** 0.5, k, v),
            "by d: it is the root",
        ),
        (root_of_heads, "number of heads"),
        (causal, "causal mask"),
        (over_queries, "over the queries"),
        (per_head(lambda h, n, kv: min(h // kv, kv - 1)), "h // kv_heads"),
        (per_head(lambda h, n, kv: h // kv), "h // kv_heads"),
        (per_head(lambda h, n, kv: h % kv), "repeat_interleave"),
        (values_in_another_order, "in two orders"),
        (keys_in_another_order, "in two orders"),
        (lambda q, k, v: mixed(weights_of(q, k, 1), v), "over the heads"),
        (one_softmax, "one softmax for all queries"),
        (linear_grouped, "softmax over the keys is missing"),
        (lambda q, k, v: mixed(weights_of(q, k, -1, 0.5), v), "divide"),
        (root_of_queries, "number of queries"),
        (lambda q, k, v: weights_of(q, k), "those are the weights"),
        (five_dimensions, "still two dimensions"),
        (
            lambda q, k, v: (
                five_dimensions(q, k, v).movedim(1, 2).flatten(1, 2)
            ),
            "in another order",
        ),
        (lambda q, k, v: right_grouped(q, k, v).movedim(1, 2), "behind"),
        (
            lambda q, k, v: torch.cat(
                right_grouped(q, k, v).unbind(1), dim=-1
            ),
            "heads are joined",
        ),
        (shared_query, "queries of a group are averaged"),
        (first_head, "first key head"),
        (averaged_keys, "averaged"),
        (one_query_head, "one query head"),
        (lambda q, k, v: right_grouped(q, k, k), "in place of the values"),
        (averaged_heads, "keep each"),
        (lambda q, k, v: q @ k.mT @ v, "Error"),
    ],
}
RIGHT = {
    "caches": [CACHES, tuple(CACHES), torch.tensor([1600.0, 320.0, 40.0])],
    "join": [
        lambda *x: right_join(*(y.detach() for y in x)),
        right_join,
        sigmoid_join,
        softmax_join,
        loop_join,
        log_join,
        double_join,
    ],
    "grouped": [
        right_grouped,
        torch_grouped,
        rows_grouped,
        einsum_grouped,
        per_head(lambda h, n, kv: h * kv // n),
        lambda q, k, v: torch_grouped(q.double(), k.double(), v.double()),
    ],
}
