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


def ab(m1, l1, m2, l2):
    m = torch.maximum(m1, m2)
    return (l1 * torch.exp(m1 - m))[:, None], (l2 * torch.exp(m2 - m))[:, None]


def at(q, k, v, scale=None, dim=-1, mask=None):
    return (
        q
        @ k.transpose(-2, -1)
        / (math.sqrt(q.shape[-1]) if scale is None else scale)
    ).softmax(dim) @ v


def spread(x, t):
    return x.repeat_interleave(t, 1)


def group(q, k):
    return q.shape[1] // k.shape[1]


def exp2(m1, l1, o1, m2, l2, o2):
    m = torch.maximum(m1, m2)
    a = (l1 * torch.exp2(m1 - m))[:, None]
    b = (l2 * torch.exp2(m2 - m))[:, None]
    return (a * o1 + b * o2) / (a + b)


def addl(m1, l1, o1, m2, l2, o2):
    m = torch.maximum(m1, m2)
    a = (l1 + torch.exp(m1 - m))[:, None]
    b = (l2 + torch.exp(m2 - m))[:, None]
    return (a * o1 + b * o2) / (a + b)


def half(m1, l1, o1, m2, l2, o2):
    a, b = ab(m1, l1, m2, l2)
    return (a * o1 + b * o2) / 2


def nofirst(m1, l1, o1, m2, l2, o2):
    a, b = ab(m1, l1, m2, l2)
    return (o1 + b * o2) / (a + b)


def nom_weighted(m1, l1, o1, m2, l2, o2):
    m = torch.maximum(m1, m2)
    a = (l1 * (m1 - m))[:, None]
    b = (l2 * (m2 - m))[:, None]
    return (a * o1 + b * o2) / (a + b)


def m_weight(m1, l1, o1, m2, l2, o2):
    a = (m1 * l1)[:, None]
    b = (m2 * l2)[:, None]
    return (a * o1 + b * o2) / (a + b)


def lonly(m1, l1, o1, m2, l2, o2):
    a, b = ab(m1, l1, m2, l2)
    return a + b


def first(m1, l1, o1, m2, l2, o2):
    return o1


def mx(m1, l1, o1, m2, l2, o2):
    return torch.maximum(o1, o2)


def sq(m1, l1, o1, m2, l2, o2):
    a, b = ab(m1, l1, m2, l2)
    return (a * a * o1 + b * b * o2) / (a * a + b * b)


def cat(m1, l1, o1, m2, l2, o2):
    return torch.cat([o1, o2])


def mmean(m1, l1, o1, m2, l2, o2):
    m = (m1 + m2) / 2
    a = (l1 * torch.exp(m1 - m))[:, None]
    b = (l2 * torch.exp(m2 - m))[:, None]
    return (a * o1 + b * o2) / (a + b)


def sm_l(m1, l1, o1, m2, l2, o2):
    w = torch.stack([l1, l2]).softmax(0)[..., None]
    return w[0] * o1 + w[1] * o2


def sump(m1, l1, o1, m2, l2, o2):
    a, b = ab(m1, l1, m2, l2)
    return (a * o1 + b * o2) / (a + b).sum()


def lens(q, k, v):
    t = q.shape[1] // k.shape[1]
    return at(
        q,
        k.repeat_interleave(t, 1),
        v.repeat_interleave(t, 1),
        math.sqrt(k.shape[-2]),
    )


def meanq(q, k, v):
    t = q.shape[1] // k.shape[1]
    return at(q.unflatten(1, (k.shape[1], t)).mean(2), k, v)


def revert(q, k, v):
    return torch.stack(
        [
            at(
                q[:, h],
                k[:, -1 - h // (q.shape[1] // k.shape[1])],
                v[:, -1 - h // (q.shape[1] // k.shape[1])],
            )
            for h in range(q.shape[1])
        ],
        1,
    )


def after(q, k, v):
    t = group(q, k)
    return (
        (q @ spread(k, t).transpose(-2, -1)).softmax(-1)
        / math.sqrt(q.shape[-1])
    ) @ spread(v, t)


def valuefirst(q, k, v):
    t = group(q, k)
    return at(q, spread(k, t), v[:, :1])


def rep_ns(q, k, v):
    t = group(q, k)
    return at(q, k.repeat(1, t, 1, 1), v.repeat(1, t, 1, 1), 1.0)


def vk(q, k, v):
    t = group(q, k)
    return at(q, spread(v, t), spread(k, t))


def sumg(q, k, v):
    t = group(q, k)
    return (
        at(q, spread(k, t), spread(v, t)).unflatten(1, (k.shape[1], t)).sum(2)
    )


def hscale(q, k, v):
    t = group(q, k)
    return at(
        q, spread(k, t), spread(v, t), math.sqrt(q.shape[1] * q.shape[-1])
    )


def kvscale(q, k, v):
    t = group(q, k)
    return at(q, spread(k, t), spread(v, t), math.sqrt(q.shape[-1] / t))


def nosm(q, k, v):
    t = group(q, k)
    s = q @ spread(k, t).transpose(-2, -1) / math.sqrt(q.shape[-1])
    return s / s.sum(-1, keepdim=True) @ spread(v, t)


def joined(q, k, v):
    t = group(q, k)
    return at(q, spread(k, t), spread(v, t)).flatten(1, 2)


def lasth(q, k, v):
    return at(q, k[:, -1:], v[:, -1:])


def neg(q, k, v):
    t = group(q, k)
    return at(-q, spread(k, t), spread(v, t))


def view(q, k, v):
    Q = q.reshape(q.shape[0], k.shape[1], -1, q.shape[-1])
    return at(Q, k, v)


def maskh(q, k, v):
    t = group(q, k)
    return at(q, spread(k, t), spread(v, t)).mean(2, keepdim=True)


def by_log_totals(m1, l1, o1, m2, l2, o2):
    w = torch.stack([m1 + l1.log(), m2 + l2.log()]).softmax(0)[..., None]
    return w[0] * o1 + w[1] * o2


def by_sigmoid(m1, l1, o1, m2, l2, o2):
    g = torch.sigmoid(m1 - m2 + l1.log() - l2.log())[:, None]
    return g * o1 + (1 - g) * o2


def by_torch_gqa(q, k, v):
    return F.scaled_dot_product_attention(q, k, v, enable_gqa=True)


def by_einsum_index(q, k, v):
    t = q.shape[1] // k.shape[1]
    i = torch.arange(q.shape[1]) // t
    a = torch.einsum("bhqd,bhkd->bhqk", q, k[:, i]) * q.shape[-1] ** -0.5
    return torch.einsum("bhqk,bhkd->bhqd", a.softmax(-1), v[:, i])


def only_scores(q, k, v):
    return (
        q @ spread(k, group(q, k)).transpose(-2, -1) / math.sqrt(q.shape[-1])
    )


WRONG = {
    "caches": [
        ([1600, 320, 200], "not an eighth"),
        ([20, 4, 0.5], "keys or values alone"),
        ([1638.4, 327.68, 40.96], "1,024 times"),
        ([1600, 8, 1], "numbers of key heads"),
        ([800, 320, 40], "the first is half"),
        ([20971520, 4194304, 524288], "numbers of one layer"),
        ([1562.5, 312.5, 39.06], "not 2,000"),
        ([1600, 320, 1], "one layer's"),
        ([320, 64, 8], "a fifth"),
        ([1600, 320, 40.5], "is not it"),
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
        (exp2, "power of 2"),
        (addl, "are added"),
        (half, "divided by 2"),
        (nofirst, "only one of the outputs"),
        (nom_weighted, "exp is missing"),
        (m_weight, "not exponentiated"),
        (lonly, "common total"),
        (first, "second worker is left out"),
        (mx, "larger or smaller number"),
        (sq, "squared"),
        (cat, "side by side"),
        (mmean, "mean of both"),
        (sm_l, "softmax of the totals"),
        (sump, "all queries"),
        (totals_only, "different maxima"),
        (lambda m1, l1, o1, m2, l2, o2: (o1 + o2) / 2, "count alike"),
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
        (
            lambda m1, l1, o1, m2, l2, o2: o2 + o1,
            "not divided by the common total",
        ),
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
        (only_scores, "those are the scores"),
        (lens, "number of keys"),
        (meanq, "averaged"),
        (revert, "from the last one on"),
        (after, "after the softmax"),
        (valuefirst, "first value head"),
        (rep_ns, "; and the scores are not divided"),
        (vk, "exchanged"),
        (sumg, "added up"),
        (hscale, "heads times d"),
        (kvscale, "d / group"),
        (nosm, "without exp"),
        (joined, "are joined"),
        (lasth, "the last key head"),
        (neg, "wrong sign"),
        (view, "still one dimension"),
        (maskh, "the queries are averaged"),
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
        by_log_totals,
        by_sigmoid,
        lambda *x: right_join(*(y.detach() for y in x)),
        right_join,
        sigmoid_join,
        softmax_join,
        loop_join,
        log_join,
        double_join,
    ],
    "grouped": [
        by_torch_gqa,
        by_einsum_index,
        right_grouped,
        torch_grouped,
        rows_grouped,
        einsum_grouped,
        per_head(lambda h, n, kv: h * kv // n),
        lambda q, k, v: torch_grouped(q.double(), k.double(), v.double()),
    ],
}
