"""Answers to lesson 01's exercises: wrong ones with their hint, right ones."""

import math

import numpy as np
import torch
from torch.nn import functional as F


def forever(*_):
    while True:
        pass


def plain_in_place(scores, temperature):
    scores /= temperature
    return torch.softmax(scores, -1)


def no_return(scores, temperature):
    torch.softmax(scores / temperature, -1)


def in_place_softmax(scores, temperature):
    scores.requires_grad_(False)
    scores /= temperature
    return torch.softmax(scores, -1)


def loop_softmax(scores, temperature):
    flat = scores.reshape(-1, scores.shape[-1])
    rows = []
    for row in flat:
        powers = [torch.exp(s / temperature) for s in row]
        rows.append(torch.stack([p / sum(powers) for p in powers]))
    return torch.stack(rows).view(scores.shape)


def loop_lookup(query, key, value):
    rows = []
    for q in query:
        weights = torch.stack([q @ k for k in key]).softmax(0)
        rows.append(sum(w * v for w, v in zip(weights, value)))
    return torch.stack(rows)


def plain_lookup(query, keys, values):
    powers = [math.exp(sum(a * b for a, b in zip(query, key))) for key in keys]
    return [
        sum(p * v for p, v in zip(powers, column)) / sum(powers)
        for column in zip(*values)
    ]


def in_place_lookup(query, key, value):
    with torch.no_grad():
        key *= 1.5
        key /= 3
    return torch.softmax(query @ key.T, -1) @ value


def over_dim_1(scores, temperature):
    powers = torch.exp(scores / temperature)
    return powers / powers.sum(dim=1, keepdim=True)


def shared(powers):
    return powers.sum(dim=-1, keepdim=True)


def shares(scores, by, more=0.0):
    powers = scores.exp()
    return powers / (getattr(powers, by)(dim=-1, keepdim=True) + more)


def weighed(query, key):
    powers = (query @ key.T).exp()
    return powers / shared(powers)


def loop_that_ends_early(query, key, value):
    rows = []
    for weights in weighed(query, key):
        total = torch.zeros(value.shape[1])
        for i in range(len(value) - 1):
            total = total + weights[i] * value[i]
        rows.append(total)
    return torch.stack(rows)


WRONG = {
    "slip": [
        (2.08, "do the sum again"),
        (1.5379, "the other"),
        (3.4621, "the wrong way round"),
        (1.4622, "first value's share"),
        (1.0757, "second value's share"),
        (6, "taken whole"),
        (3.0, "plain average"),
        (2.6605, "sqrt(2)"),
        (1.8068, "different columns"),
        (2.2689, "different columns"),
        (0.0, "not it"),
        ([1.5379, 2.5379], "one number"),
        ([1.0, 2.0, 3.0], "expected one number, got 3"),
        (torch.tensor(2.08), "do the sum again"),
        (10**400, "expected numbers"),
        ("2.54", "expected numbers"),
    ],
    "by_eye": [
        (0.54, "printed numbers"),
        (2, "less than that"),
        (0, "do differ"),
        (-1, "minus the first"),
        (0.4622, "far"),
        (0.7311, "a weight"),
        ("one", "expected numbers"),
    ],
    "softmax": [
        (lambda s, t: s.exp() / s.exp().sum(-1, keepdim=True), "no effect"),
        (lambda s, t: torch.softmax(s - t, -1), "no effect"),
        (lambda s, t: (s / t).exp() / (s / t).exp().sum(-1), "keepdim"),
        (lambda s, t: torch.softmax(-s / t, -1), "sign"),
        (lambda s, t: s / t, "only divides"),
        (lambda s, t: torch.as_tensor(np.exp(s / t)), "do not sum to 1"),
        (lambda s, t: math.exp(s / t), "instead of math.exp"),
        (plain_in_place, "in place"),
        (no_return, "`return`"),
        (lambda s, t: torch.softmax(s * t, -1), "multiplies"),
        (lambda s, t: (s / t).exp() / (s / t).exp().sum(), "all rows"),
        (lambda s, t: torch.softmax(s / t, 0), "queries (dim=0)"),
        (lambda s, t: (s / t).exp(), "do not sum to 1"),
        (lambda s, t: torch.softmax(s, -1) / t, "after the softmax"),
        (lambda s, t: (s / t) / (s / t).sum(-1, keepdim=True), "exponential"),
        (lambda s, t: torch.log_softmax(s / t, -1), "logarithms"),
        (lambda s, t: F.softmax(s / t * math.log(2), -1), "powers of 2"),
        (lambda s, t: torch.sigmoid(s / t), "sigmoid"),
        (lambda s, t: torch.tensor([0.6225, 0.3775]), "whatever the input"),
        (lambda s, t: torch.softmax(s / t, -1).tolist(), "torch tensor"),
        (in_place_softmax, "in place"),
        (lambda s: torch.softmax(s, -1), "TypeError"),
        (forever, "never ends"),
        (over_dim_1, "dim=-1 always is"),
        (lambda s, t: F.softmax(torch.floor(s / t), -1), "rounds down"),
        (
            lambda s, t: F.softmax(s / s.std(-1, keepdim=True) / t, -1),
            "how far they spread",
        ),
        (
            lambda s, t: F.one_hot(s.argmax(-1), s.shape[-1]).float(),
            "only the highest",
        ),
        (lambda s, t: shares(s / t, "amax"), "largest weight becomes 1"),
        (lambda s, t: shares(s / t, "mean"), "divides by the mean"),
        (lambda s, t: shares(s / t, "sum", 1.0), "adds 1 to the sum"),
        (lambda s, t: s.softmax(-1).pow(t), "raised to a power"),
        (lambda s, t: s.softmax(-1).pow(1 / t), "raised to a power"),
        (lambda s, t: F.softmax(s * t**-0.5, dim=-1), "square root"),
        (lambda s, t: F.softmax(s / t / t, dim=-1), "twice: once"),
        (lambda s, t: (s / t - s.logsumexp(-1, True)).exp(), "sum is of"),
        (lambda s, t: (s - (s / t).logsumexp(-1, True)).exp(), "above have"),
        (
            lambda s, t: torch.exp(s / t) * t / s.sum(-1, keepdim=True),
            "sum their powers",
        ),
        (lambda s, t: 10 ** (s / t) / shared(10 ** (s / t)), "powers of 10"),
        (lambda s, t: abs(s) / shared(abs(s)), "sizes of the scores"),
        (lambda s, t: (s.softmax(-1) / t).softmax(-1), "taken twice"),
    ],
    "lookup": [
        (lambda q, k, v: F.scaled_dot_product_attention(q, k, v), "sqrt(d)"),
        (lambda q, k, v: torch.softmax(q @ k.T / q.shape[-1], -1) @ v, "by d"),
        (lambda q, k, v: torch.softmax(q @ k.T, 0) @ v, "over the queries"),
        (lambda q, k, v: (q @ k.T) @ v, "softmax is missing"),
        (lambda q, k, v: torch.softmax(q @ k, -1) @ v, "transpose"),
        (lambda q, k, v: torch.softmax(q @ k.T, -1) @ k, "mixes the keys"),
        (lambda q, k, v: torch.softmax(q @ v.T, -1) @ v, "with the values"),
        (lambda q, k, v: torch.softmax(q @ k.T, -1), "weights"),
        (lambda q, k, v: q @ k.T, "these are the scores"),
        (lambda q, k, v: v[(q @ k.T).argmax(-1)], "best key"),
        (lambda q, k, v: v.mean(0).repeat(len(q), 1), "evenly"),
        (lambda q, k, v: torch.tensor([[1.537883, 2.537883]]), "whatever"),
        (
            lambda q, k, v: torch.tensor([[1.537883, 2.537883]]) + 0 * q.sum(),
            "whatever the input",
        ),
        (lambda q, k, v: torch.softmax(q @ k.T, -1)[:1] @ v, "expected shape"),
        (in_place_lookup, "in place"),
        (
            lambda q, k, v: q @ k.T / (q @ k.T).sum(-1, keepdim=True) @ v,
            "by their sum",
        ),
        (lambda q, k, v: print("done"), "`return`"),
        (lambda q, k, v: ((k @ q.T).softmax(-1).T) @ v, "over the queries"),
        (lambda q, k, v: (q @ k.T).exp() @ v, "do not sum to 1"),
        (
            lambda q, k, v: (
                (q @ k.T).flatten().softmax(0).view(len(q), -1) @ v
            ),
            "all queries together",
        ),
        (
            lambda q, k, v: (q @ k.T).exp() / (q @ k.T).exp().sum(-1) @ v,
            "keepdim",
        ),
        (
            lambda q, k, v: (q[:, None] - k).norm(dim=-1).softmax(-1) @ v,
            "farthest",
        ),
        (
            lambda q, k, v: (
                F.cosine_similarity(q[:, None], k, dim=-1).softmax(-1) @ v
            ),
            "cosine",
        ),
        (loop_that_ends_early, "last value is never added"),
        (lambda q, k, v: (q @ k.T).argmax(1), "number of the best"),
        (lambda q, k, v: weighed(q, k * k.shape[1] ** 0.5) @ v, "multiplies"),
        (
            lambda q, k, v: torch.einsum("qk,kv->qk", weighed(q, k), v),
            "numbers of each value",
        ),
        (lambda q, k, v: weighed(q, k) @ v / len(k), "mean of the weighted"),
        (lambda q, k, v: F.softmax(q @ (k.T @ v), dim=1), "after the values"),
        (lambda q, k, v: weighed(-q, k) @ v, "sign is turned"),
        (lambda q, k, v: (q @ k.T).sigmoid() @ v, "is a sigmoid"),
        (lambda q, k, v: weighed(q, k).softmax(-1) @ v, "taken twice"),
        (
            lambda q, k, v: torch.einsum("qk,kv->qkv", weighed(q, k), v),
            "stand apart",
        ),
        (lambda q, k, v: weighed(q, k / len(k) ** 0.5) @ v, "number of keys"),
        (lambda q, k, v: weighed(q, k).log() @ v, "logarithms"),
    ],
    "aim": [
        ([1.0986, 0.0], "turn the query's first number around"),
        ([1.0, 0.0], "key 2 needs more"),
        ([0.0, 1.0], "key 2 needs more"),
        ([-2.0, 2.0], "key 1 needs more"),
        ([2.5, 3.5], "key 2 needs more"),
        ([0.0, 0.0], "key 2 needs more"),
        ([float("nan"), 0.0], "finite"),
        (1.0, "expected 2 numbers"),
        ([1.0, 2.0, 3.0], "expected 2 numbers in a row, got 3"),
        ("left", "expected numbers"),
    ],
}

RIGHT = {
    "slip": [
        2.5379,
        2.54,
        torch.tensor(2.54),
        np.float32(2.54),
        np.array(2.54),
    ],
    "by_eye": [1, 1.0, torch.tensor(1)],
    "softmax": [
        lambda s, t: torch.softmax(s / t, dim=-1),
        lambda s, t: torch.exp(torch.log_softmax(s / t, -1)),
        lambda s, t: 1 / ((s[..., None, :] - s[..., None]) / t).exp().sum(-1),
        loop_softmax,
        lambda s, t: torch.softmax(s / t, -1).detach(),
    ],
    "lookup": [
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, scale=1.0),
        lambda q, k, v: torch.einsum(
            "qk,kv->qv", torch.einsum("qd,kd->qk", q, k).softmax(-1), v
        ),
        lambda q, k, v: (v.T @ (k @ q.T).softmax(0)).T,
        loop_lookup,
        lambda q, k, v: torch.tensor(
            [plain_lookup(one, k.tolist(), v.tolist()) for one in q.tolist()]
        ),
    ],
    "aim": [
        torch.tensor([[-1.0986, 0.0]]),
        [-math.log(3), 0.0],
        [-1.0986, 5.0],
        torch.tensor([-1.0986, -2.0]),
    ],
}
