"""Answers to lesson 05's exercises: wrong ones with their hint, right ones."""

import math

import torch
from torch.nn import functional as F


def meet(query, key, w_query, w_key):
    """Every query plus every key, projected."""
    asked = torch.einsum("bqd,hd->bqh", query, w_query)
    offered = torch.einsum("bke,he->bkh", key, w_key)
    return asked.unsqueeze(2) + offered.unsqueeze(1)


def linear_scores(query, key, w_query, w_key, v):
    asked = F.linear(query, w_query).unsqueeze(2)
    offered = F.linear(key, w_key).unsqueeze(1)
    return F.linear(torch.tanh(asked + offered), v[None]).squeeze(-1)


def einsum_scores(query, key, w_query, w_key, v):
    return torch.einsum(
        "bqkh,h->bqk", meet(query, key, w_query, w_key).tanh(), v
    )


def repeated_scores(query, key, w_query, w_key, v):
    q, k = query.shape[1], key.shape[1]
    asked = (query @ w_query.T).repeat_interleave(k, dim=1)
    offered = (key @ w_key.T).repeat(1, q, 1)
    return (torch.tanh(asked + offered) * v).sum(-1).reshape(-1, q, k)


def looped_scores(query, key, w_query, w_key, v):
    rows = []
    for i in range(query.shape[1]):
        hidden = torch.tanh(query[:, i : i + 1] @ w_query.T + key @ w_key.T)
        rows.append(hidden @ v)
    return torch.stack(rows, dim=1)


def in_place_scores(query, key, w_query, w_key, v):
    with torch.no_grad():
        v *= 1.5
    return linear_scores(query, key, w_query, w_key, v) / 1.5


def first_shape_only(query, key, w_query, w_key, v):
    return linear_scores(query, key, w_query, w_key, v).reshape(1, 1, 2)


def both_repeated(query, key, w_query, w_key, v):
    b, q, k = len(query), query.shape[1], key.shape[1]
    asked = (query @ w_query.T).tile(1, k, 1).view(b, q, k, -1)
    offered = (key @ w_key.T).tile(1, q, 1).view(b, q, k, -1)
    return (torch.tanh(asked + offered) * v).sum(-1)


def last_query_missing(query, key, w_query, w_key, v):
    out = query.new_zeros(len(query), query.shape[1], key.shape[1])
    for i in range(query.shape[1] - 1):
        asked = query[:, i : i + 1] @ w_query.T
        out[:, i] = torch.tanh(asked + key @ w_key.T) @ v
    return out


def last_key_missing(query, key, w_query, w_key, v):
    out = query.new_zeros(len(query), query.shape[1], key.shape[1])
    for j in range(key.shape[1] - 1):
        offered = key[:, j : j + 1] @ w_key.T
        out[:, :, j] = torch.tanh(query @ w_query.T + offered) @ v
    return out


def overwritten_teacher(expected):
    out = expected.clone()
    for i in range(1, out.shape[1]):
        out[:, i] = out[:, i - 1]
    out[:, 0] = 1
    return out


def padded_teacher(expected):
    return F.pad(expected[:, :-1], (1, 0), value=1)


def filled_teacher(expected):
    out = torch.ones_like(expected)
    out[:, 1:] = expected[:, :-1]
    return out


def rolled_teacher(expected):
    out = expected.roll(1, dims=1)
    out[:, 0] = 1
    return out


def listed_teacher(expected):
    return torch.stack([torch.tensor([1, *r[:-1]]) for r in expected.tolist()])


def in_place_teacher(expected):
    expected[:, 1:] = expected[:, :-1].clone()
    expected[:, 0] = 1
    return expected


def one_start(expected):
    return torch.cat([torch.tensor([[1]]), expected[:, :-1]], dim=1)


def front(number):
    return lambda x: F.pad(x[:, :-1], (1, 0), value=number)


WRONG = {
    "by_hand": [
        (
            [2 * math.tanh(1), math.tanh(-1) + 2 * math.tanh(1)],
            "bent one by one",
        ),
        ([0, 1], "dot products"),
        ([2, 1], "tanh is missing"),
        ([0.9640, 0.7616], "tanh of the sum"),
        ([0.2024, 0.9640], "wrong order"),
        ([0, 0.7616], "multiplied, then bent"),
        ([0.6817, 0.3183], "these are weights"),
        ([1.7256, 1.5232], "query [1, 0]"),
        ([1.9281, 1.7256], "query [1, 1]"),
        ([0.7616, 0], "query [-1, 0]"),
        ([0.9640, 1.7256], "is negative"),
        ([0.9640, -0.7616], "add its tanh too"),
        ([0, -0.7616], "second numbers are missing"),
        ([-0.9640, -0.7616], "query minus key"),
        ([0.4820, 0.1012], "adds them up"),
        ([1.6366, 2.6366], "stop at the scores"),
        (0.9640, "2 numbers"),
        ("key 1", "expected numbers"),
        ([0.5, 0.5], "not it"),
    ],
    "scores": [
        (lambda q, k, a, b, v: meet(q, k, a, b) @ v, "tanh is missing"),
        (
            lambda *a: linear_scores(*a).softmax(-1),
            "these are weights: return",
        ),
        (lambda *a: linear_scores(*a).softmax(1), "over the queries"),
        (lambda *a: linear_scores(*a).transpose(1, 2), "swapped"),
        (
            lambda q, k, a, b, v: meet(q, k, a, b).tanh().sum(-1),
            "v is not used",
        ),
        (
            lambda q, k, a, b, v: (meet(q, k, a, b).tanh() * v).mean(-1),
            "take the sum",
        ),
        (lambda q, k, a, b, v: meet(q, k, a, b).tanh(), "v is not used"),
        (lambda q, k, a, b, v: meet(q, k, a, b).tanh() * v, "not summed"),
        (
            lambda q, k, a, b, v: meet(q, k, a, b).tanh() @ v[:, None],
            "one dimension too many",
        ),
        (
            lambda q, k, a, b, v: (meet(q, k, a, b) @ v).tanh(),
            "comes too late",
        ),
        (
            lambda q, k, a, b, v: (
                ((q @ a.T).tanh()[:, :, None] + (k @ b.T).tanh()[:, None]) @ v
            ),
            "one by one",
        ),
        (
            lambda q, k, a, b, v: (
                torch.tanh((q @ a.T)[:, :, None] * (k @ b.T)[:, None]) @ v
            ),
            "must be added",
        ),
        (lambda q, k, a, b, v: linear_scores(q, k, a, -b, v), "subtracted"),
        (lambda q, k, a, b, v: meet(q, k, a, b).sigmoid() @ v, "sigmoid"),
        (lambda q, k, a, b, v: meet(q, k, a, b).relu() @ v, "relu"),
        (
            lambda *a: linear_scores(*a) / math.sqrt(len(a[-1])),
            "nothing is divided",
        ),
        (
            lambda q, k, a, b, v: (
                ((q @ a)[:, :, None] + (k @ b)[:, None]).tanh() @ v
            ),
            "wrong way round",
        ),
        (
            lambda q, k, a, b, v: torch.tanh(q @ a.T + k @ b.T) @ v,
            "every query must meet every key",
        ),
        (
            lambda q, k, a, b, v: torch.bmm(q @ a.T, (k @ b.T).mT),
            "dot product",
        ),
        (in_place_scores, "in place"),
        (first_shape_only, "raises RuntimeError"),
        (
            lambda q, k, a, b, v: (
                torch.tanh((q @ a.T)[:, None, :] + (k @ b.T)[:, None, :]) @ v
            ),
            "at the same position",
        ),
        (
            lambda q, k, a, b, v: (
                torch.tanh((q @ a.T)[:, None, :] + (k @ b.T)[None, :, :]) @ v
            ),
            "lesson's indices for one sequence",
        ),
        (
            lambda q, k, a, b, v: (meet(q, k, a, b) * v).tanh().sum(-1),
            "v comes too early",
        ),
        (
            lambda q, k, a, b, v: (
                ((q @ a.T)[:, :, None] + k[:, None]).tanh() @ v
            ),
            "the key is not projected",
        ),
        (
            lambda q, k, a, b, v: (q[:, :, None] + k[:, None]).tanh() @ v,
            "neither is projected",
        ),
        (lambda *a: linear_scores(*a).squeeze(), "squeeze(-1)"),
        (
            lambda *a: F.log_softmax(einsum_scores(*a), 2),
            "logarithms of the weights",
        ),
        (both_repeated, "round and round"),
        (last_query_missing, "the last query's"),
        (last_key_missing, "the last key's"),
        (lambda q, k, a, b, v: linear_scores(q, k, b, a, v), "swapped"),
    ],
    "teacher": [
        (lambda x: x.clone(), "nothing is moved"),
        (
            lambda x: torch.hstack((torch.ones(len(x), 1), x[:, :-1])),
            "stay whole numbers",
        ),
        (lambda x: F.pad(x, (1, 0), value=1), "one token too many"),
        (lambda x: x[:, :-1], "BOS is missing"),
        (front(0), "it must be BOS"),
        (lambda x: F.pad(x[:, :-1], (1, 0)), "padding (0)"),
        (front(2), "EOS (2)"),
        (front(3), "unknown (3)"),
        (lambda x: x.roll(1, 1), "roll brings"),
        (lambda x: F.pad(x[:, 1:], (1, 0), value=1), "BOS has replaced"),
        (lambda x: F.pad(x[:, 1:], (0, 1), value=1), "wrong way"),
        (lambda x: x[:, 1:], "first token is cut off"),
        (lambda x: F.pad(x[:-1], (0, 0, 1, 0), value=1), "dim=1"),
        (
            lambda x: F.pad(x.flatten()[:-1], (1, 0), value=1).view(x.shape),
            "flattened",
        ),
        (
            lambda x: padded_teacher(x).masked_fill(padded_teacher(x) == 2, 0),
            "EOS is removed too",
        ),
        (lambda x: F.pad(x[:, :-1], (0, 1), value=1), "in front"),
        (lambda x: padded_teacher(x).tolist(), "torch tensor, got a list"),
        (lambda x: padded_teacher(x).numpy(), "in a torch tensor"),
        (overwritten_teacher, "copied on and on"),
        (in_place_teacher, "in place"),
        (one_start, "RuntimeError"),
        (lambda x: torch.tensor([[1, 7, 9]]), "whatever the input"),
        (lambda x: x.roll(1), "roll without dims"),
    ],
}

RIGHT = {
    "by_hand": [
        [0.9640, 0.2024],
        (math.tanh(0) + math.tanh(2), math.tanh(2) - math.tanh(1)),
        torch.tensor([0.96403, 0.20243]),
    ],
    "scores": [
        lambda *a: linear_scores(*a).detach(),
        linear_scores,
        einsum_scores,
        repeated_scores,
        looped_scores,
    ],
    "teacher": [
        padded_teacher,
        filled_teacher,
        rolled_teacher,
        listed_teacher,
    ],
}
