"""Answers to lesson 01's exercises: wrong ones with their hint, right ones."""

import math

import torch
from torch.nn import functional as F


def forever(*_):
    while True:
        pass


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


def in_place_lookup(query, key, value):
    with torch.no_grad():
        key *= 1.5
        key /= 3
    return torch.softmax(query @ key.T, -1) @ value


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
        (0.0, "not it"),
        ([1.5379, 2.5379], "one number"),
        ("2.54", "expected numbers"),
    ],
    "softmax": [
        (lambda s, t: s.exp() / s.exp().sum(-1, keepdim=True), "not used"),
        (lambda s, t: torch.softmax(s * t, -1), "multiplies"),
        (lambda s, t: (s / t).exp() / (s / t).exp().sum(), "all rows"),
        (lambda s, t: torch.softmax(s / t, 0), "queries (dim=0)"),
        (lambda s, t: (s / t).exp(), "do not sum to 1"),
        (lambda s, t: torch.softmax(s, -1) / t, "after the softmax"),
        (lambda s, t: (s / t) / (s / t).sum(-1, keepdim=True), "exponential"),
        (lambda s, t: torch.log_softmax(s / t, -1), "logarithms"),
        (lambda s, t: F.softmax(s / t * math.log(2), -1), "powers of 2"),
        (lambda s, t: torch.sigmoid(s / t), "sigmoid"),
        (lambda s, t: torch.tensor([0.6225, 0.3775]), "expected"),
        (lambda s, t: torch.softmax(s / t, -1).detach(), "no gradient"),
        (lambda s, t: torch.softmax(s / t, -1).tolist(), "torch tensor"),
        (lambda s, t: (s / t).exp() / (s / t).exp().sum(-1), "raises"),
        (in_place_softmax, "in place"),
        (lambda s: torch.softmax(s, -1), "TypeError"),
        (forever, "never ends"),
    ],
    "lookup": [
        (
            lambda q, k, v: F.scaled_dot_product_attention(q, k, v),
            "sqrt(d)",
        ),
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
        (lambda q, k, v: torch.tensor([[1.5379, 2.5379]]), "no gradient"),
        (
            lambda q, k, v: torch.tensor([[1.537883, 2.537883]]) + 0 * q.sum(),
            "whatever the input",
        ),
        (
            lambda q, k, v: torch.softmax(q @ k.T, -1)[:1] @ v,
            "expected shape",
        ),
        (in_place_lookup, "in place"),
        (lambda q, k, v: (torch.softmax(q @ k.T, -1) @ v).detach(), "gradient"),
        (lambda q, k, v: print("done"), "not attempted"),
    ],
    "halfway": [
        ([1.0, 0.0], "key 1"),
        ([-1.0, 2.0], "key 2"),
        ([2.0, 3.0], "key 1"),
        ([0.5, 0.5], "key 1"),
        (1.0, "shape"),
        ("up", "expected numbers"),
        ([float("nan"), 0.0], "nan"),
    ],
}

RIGHT = {
    "slip": [2.5379, 2.54, 2.538],
    "softmax": [
        lambda s, t: torch.softmax(s / t, dim=-1),
        lambda s, t: torch.exp(torch.log_softmax(s / t, -1)),
        lambda s, t: 1 / ((s[..., None, :] - s[..., None]) / t).exp().sum(-1),
        loop_softmax,
    ],
    "lookup": [
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, scale=1.0),
        lambda q, k, v: torch.einsum(
            "qk,kv->qv", torch.einsum("qd,kd->qk", q, k).softmax(-1), v
        ),
        lambda q, k, v: (v.T @ (k @ q.T).softmax(0)).T,
        loop_lookup,
    ],
    "halfway": [[0.0, 1.0], [0.0, -3.0], torch.tensor([0.0, 100.0])],
}
