"""Answers to lesson 03's exercises: wrong ones with their hint, right ones."""

import math

import torch
from torch import nn
from torch.nn import functional as F


def attend(x, q, k, v, **changed):
    """Do self-attention with torch's own function."""
    changed = {"is_causal": True, **changed}
    return F.scaled_dot_product_attention(x @ q, x @ k, x @ v, **changed)


def scored(x, q, k):
    return x @ q @ (x @ k).T / math.sqrt(k.shape[1])


def later(scores, diagonal=1):
    return torch.ones_like(scores, dtype=torch.bool).triu(diagonal)


def in_place_attention(x, q, k, v):
    with torch.no_grad():
        x *= 2
    return attend(x, q, k, v)


def loop_attention(x, W_q, W_k, W_v):
    rows = []
    for i, word in enumerate(x):
        seen = x[: i + 1]
        weights = ((seen @ W_k) @ (word @ W_q) / W_k.shape[1] ** 0.5).softmax(
            0
        )
        rows.append((weights[:, None] * (seen @ W_v)).sum(0))
    return torch.stack(rows)


def einsum_attention(x, W_q, W_k, W_v):
    q, k, v = (torch.einsum("ld,ds->ls", x, w) for w in (W_q, W_k, W_v))
    scores = torch.einsum("is,js->ij", q, k) * q.shape[-1] ** -0.5
    scores = scores.masked_fill(later(scores), -1e30)
    return torch.einsum("ij,js->is", scores.softmax(-1), v)


def head_attention(x, W_q, W_k, W_v):
    """Use torch's own layer."""
    dim, size = W_q.shape
    weight = torch.cat([W_q.T, W_k.T, W_v.T])
    q, k, v = F.linear(x, weight).chunk(3, dim=-1)
    mask = nn.Transformer.generate_square_subsequent_mask(len(x)).to(x.dtype)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def back(s):
    position = torch.arange(s.shape[-1])
    return position.unsqueeze(1) - position.unsqueeze(0)


def loop_alibi(scores, slope):
    n = scores.shape[-1]
    bias = torch.tensor(
        [
            [-slope * (i - j) if j <= i else -math.inf for j in range(n)]
            for i in range(n)
        ]
    )
    return (scores + bias).softmax(-1)


def short_alibi(scores, slope):
    """Softmax sees differences: slope times j is enough."""
    n = scores.shape[-1]
    mask = torch.full((n, n), -math.inf).triu(1)
    return torch.softmax(scores + slope * torch.arange(n) + mask, dim=-1)


def power_alibi(scores, slope):
    powers = torch.exp(scores - slope * back(scores)) * (back(scores) >= 0)
    return powers / powers.sum(-1, keepdim=True)


def in_place_alibi(scores, slope):
    with torch.no_grad():
        scores -= slope * back(scores)
    return scores.masked_fill(later(scores), -math.inf).softmax(-1)


def angles(x, exponent=2, start=0, base=10000.0):
    n, d = x.shape
    c = torch.arange(d // 2).double()
    return (torch.arange(n) + start)[:, None] / base ** (exponent * c / d)


def turned(x, t):
    a, b = x[:, ::2], x[:, 1::2]
    return torch.stack(
        [a * t.cos() - b * t.sin(), a * t.sin() + b * t.cos()], -1
    ).flatten(1)


def complex_rotation(x):
    pairs = torch.view_as_complex(
        x.double().unflatten(-1, (-1, 2)).contiguous()
    )
    spin = torch.polar(torch.ones_like(angles(x)), angles(x))
    return torch.view_as_real(pairs * spin).flatten(-2).to(x.dtype)


def matrix_rotation(x):
    rows = []
    for row, angle in zip(x.double(), angles(x)):
        blocks = []
        for t in angle.tolist():
            c, s = math.cos(t), math.sin(t)
            blocks.append(torch.tensor([[c, -s], [s, c]]).double())
        rows.append(torch.block_diag(*blocks) @ row)
    return torch.stack(rows)


def repeated_rotation(x):
    t = angles(x).repeat_interleave(2, dim=-1)
    swapped = torch.stack([-x[:, 1::2], x[:, ::2]], dim=-1).flatten(1)
    return x * t.cos() + swapped * t.sin()


def halves_rotation(x):
    a, b = x.chunk(2, dim=-1)
    t = angles(x)
    return torch.cat(
        [a * t.cos() - b * t.sin(), a * t.sin() + b * t.cos()], -1
    )


def misplaced_rotation(x):
    a, b = x[:, ::2], x[:, 1::2]
    t = angles(x)
    return torch.cat(
        [a * t.cos() - b * t.sin(), a * t.sin() + b * t.cos()], -1
    )


def forgetful_rotation(x):
    a, b, t = x[:, ::2], x[:, 1::2], angles(x)
    a = a * t.cos() - b * t.sin()
    b = a * t.sin() + b * t.cos()
    return torch.stack([a, b], -1).flatten(1)


def waves(x):
    t = angles(x)
    return x + torch.stack([t.sin(), t.cos()], -1).flatten(1)


def in_place_rotation(x):
    with torch.no_grad():
        x[:, 0] = 0
    return turned(x, angles(x))


WRONG = {
    "first_word": [
        ([2.5, 4], 'looks ahead at "bites"'),
        ([1.7448, 2.993], "both later words"),
        ([0.4965, 0.993], "after the softmax"),
        ([1, 0], "the key of"),
        ([1, 1], "the query of"),
        ([3, 4], 'value of "bites"'),
        ([1, 2], 'value of "dog"'),
        ([0, 0], "attend to itself"),
        ([1.4142, 2.8284], "by the weight"),
        ([2.0, 3.333], "plain average"),
        ([1.0, 0.0, 1.0], "got 3 numbers"),
        (1.0, "got one number"),
    ],
    "causal_self_attention": [
        (lambda x, q, k, v: attend(x, q, k, v, is_causal=False), "missing"),
        (
            lambda x, q, k, v: (
                scored(x, q, k)
                .masked_fill(later(scored(x, q, k), 0), -math.inf)
                .softmax(-1)
                @ (x @ v)
            ),
            "use triu(1)",
        ),
        (
            lambda x, q, k, v: (
                scored(x, q, k)
                .masked_fill(later(scored(x, q, k)).T, -math.inf)
                .softmax(-1)
                @ (x @ v)
            ),
            "wrong way round",
        ),
        (
            lambda x, q, k, v: scored(x, q, k).tril().softmax(-1) @ (x @ v),
            "fill with -inf",
        ),
        (
            lambda x, q, k, v: scored(x, q, k).softmax(-1).tril() @ (x @ v),
            "after the softmax",
        ),
        (lambda x, q, k, v: attend(x, q, k, v, scale=1.0), "not scaled"),
        (
            lambda x, q, k, v: attend(x, q, k, v, scale=1 / k.shape[1]),
            "square root",
        ),
        (
            lambda x, q, k, v: attend(x, q, k, v, scale=x.shape[1] ** -0.5),
            "sqrt(dim)",
        ),
        (
            lambda x, q, k, v: attend(x, q, k, v, scale=len(x) ** -0.5),
            "sqrt(length)",
        ),
        (
            lambda x, q, k, v: (
                scored(x, q, k)
                .masked_fill(later(scored(x, q, k)), -math.inf)
                .softmax(0)
                @ (x @ v)
            ),
            "over the queries",
        ),
        (lambda x, q, k, v: attend(x, k, q, v), "swapped"),
        (lambda x, q, k, v: attend(x, q, k, k), "mixes the keys"),
        (
            lambda x, q, k, v: (
                scored(x, q, k)
                .masked_fill(later(scored(x, q, k)), -math.inf)
                .softmax(-1)
            ),
            "these are the weights",
        ),
        (
            lambda x, q, k, v: F.scaled_dot_product_attention(
                x, x, x @ v, is_causal=True, scale=k.shape[1] ** -0.5
            ),
            "words themselves",
        ),
        (
            lambda x, q, k, v: F.scaled_dot_product_attention(
                x @ q, x @ k, x, is_causal=True
            ),
            "mix their values",
        ),
        (in_place_attention, "in place"),
        (
            lambda x, q, k, v: ((x @ q) @ (x @ k).T).softmax(-1) @ (x @ v),
            "both missing",
        ),
        (lambda x, q, k, v: x @ q @ x @ k, "raises RuntimeError"),
    ],
    "alibi": [
        (lambda s, m: s.masked_fill(later(s), -1e30).softmax(-1), "not used"),
        (lambda s, m: loop_alibi(s, -m), "rewards distance"),
        (lambda s, m: (s - m * back(s).abs()).softmax(-1), "later words get"),
        (lambda s, m: (s - m * back(s)).softmax(-1), "even a bonus"),
        (lambda s, m: loop_alibi(s, 0) - m * back(s), "off the weights"),
        (
            lambda s, m: loop_alibi(s, 0) * (-m * back(s)).exp(),
            "do not sum to 1",
        ),
        (
            lambda s, m: (
                (s - m * back(s) ** 2)
                .masked_fill(later(s), -math.inf)
                .softmax(-1)
            ),
            "squares",
        ),
        (
            lambda s, m: (
                (s - m * s * back(s))
                .masked_fill(later(s), -math.inf)
                .softmax(-1)
            ),
            "multiplies the scores",
        ),
        (
            lambda s, m: (
                (s - m * (back(s) > 0))
                .masked_fill(later(s), -math.inf)
                .softmax(-1)
            ),
            "pays the same",
        ),
        (
            lambda s, m: (s - m * back(s)).masked_fill(later(s), -math.inf),
            "these are scores",
        ),
        (
            lambda s, m: (
                (s - m * back(s)).masked_fill(later(s), -math.inf).softmax(-2)
            ),
            "over the queries",
        ),
        (
            lambda s, m: (s - m * back(s)).softmax(-1).tril(),
            "after the softmax",
        ),
        (
            lambda s, m: (
                (s - m * back(s))
                .masked_fill(later(s, 0), -math.inf)
                .softmax(-1)
            ),
            "hides the word itself",
        ),
        (in_place_alibi, "in place"),
    ],
    "rotation": [
        (lambda x: turned(x, -angles(x)), "clockwise"),
        (lambda x: turned(x, angles(x, start=1)), "from 1"),
        (halves_rotation, "c + dim / 2"),
        (misplaced_rotation, "side by side"),
        (lambda x: turned(x, angles(x, exponent=0)), "same speed"),
        (lambda x: turned(x, angles(x, exponent=1)), "2c / dim"),
        (lambda x: turned(x, angles(x, exponent=4)), "twice too large"),
        (lambda x: turned(x, angles(x, base=1e-4)), "turn faster"),
        (lambda x: turned(x, angles(x, base=1e3)), "base is 1000"),
        (lambda x: turned(x, angles(x).rad2deg()), "radians"),
        (
            lambda x: (
                x
                * torch.stack([angles(x).cos(), angles(x).sin()], -1).flatten(
                    1
                )
            ),
            "as a whole",
        ),
        (forgetful_rotation, "the new a"),
        (waves, "door 1"),
        (lambda x: x.clone(), "nothing is turned"),
        (in_place_rotation, "in place"),
    ],
}

RIGHT = {
    "first_word": [[2.0, 4.0], (2, 4), torch.tensor([2.0, 4.0])],
    "causal_self_attention": [
        lambda x, q, k, v: attend(x, q, k, v).detach(),
        attend,
        loop_attention,
        einsum_attention,
        head_attention,
    ],
    "alibi": [
        lambda s, m: loop_alibi(s, m).detach(),
        loop_alibi,
        short_alibi,
        power_alibi,
    ],
    "rotation": [complex_rotation, matrix_rotation, repeated_rotation],
}
