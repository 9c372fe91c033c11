"""Answers to lesson 02's exercises: wrong ones with their hint, right ones."""

import math

import torch
from torch.nn import functional as F

INF = math.inf


def soft(scores, dim=-1):
    return torch.softmax(scores, dim)


def scaled(q, k):
    return q @ k.transpose(1, 2) / q.shape[-1] ** 0.5


def forever(*_):
    while True:
        pass


# Exercise 2 ------------------------------------------------------------------


def naive(s):
    return s.exp() / s.exp().sum(-1, keepdim=True)


def naive_sum(s):
    return s.exp().sum(-1, keepdim=True)


def in_place_softmax(s):
    with torch.no_grad():
        s -= s.amax(-1, keepdim=True)
    return torch.softmax(s, -1)


def loop_softmax(s):
    rows = []
    for row in s.reshape(-1, s.shape[-1]):
        top = max(row)
        powers = [torch.exp(x - top) for x in row]
        rows.append(torch.stack([p / sum(powers) for p in powers]))
    return torch.stack(rows).reshape(s.shape)


def log_softmax_by_hand(s):
    return torch.exp(s - torch.logsumexp(s, -1, keepdim=True))


def float32_softmax(s):
    return naive(s.float())


# Exercise 3 ------------------------------------------------------------------


def positions(length):
    return torch.arange(length)


def good_mask(n, length):
    p = positions(length)
    return (p <= p[:, None]) & (p < n[:, None])[:, None, :]


def loop_mask(n, length):
    mask = torch.zeros(len(n), length, length, dtype=torch.bool)
    for b in range(len(n)):
        for i in range(length):
            for j in range(length):
                mask[b, i, j] = j <= i and j < n[b]
    return mask


def tril_mask(n, length):
    mask = torch.ones(len(n), length, length).tril().bool()
    for one, size in zip(mask, n.tolist()):
        one[:, size:] = False
    return mask


def smallest_mask(n, length):
    p = positions(length)
    limit = torch.minimum(p + 1, n[:, None])  # (batch, q)
    return p < limit[..., None]


# Exercise 4 ------------------------------------------------------------------


def plain_inf(q, k, v, m):
    return soft(scaled(q, k).masked_fill(~m, -INF)) @ v


def good_attention(q, k, v, m):
    weights = soft(scaled(q, k).masked_fill(~m, -1e30))
    return weights.masked_fill(~m, 0.0) @ v


def nan_to_zero(q, k, v, m):
    return soft(scaled(q, k).masked_fill(~m, -INF)).nan_to_num(0.0) @ v


def powers_attention(q, k, v, m):
    s = scaled(q, k)
    powers = torch.exp(s - s.amax(-1, keepdim=True)) * m
    return powers / powers.sum(-1, keepdim=True).clamp(min=1e-30) @ v


def einsum_attention(q, k, v, m):
    s = torch.einsum("bqd,bkd->bqk", q, k) * q.shape[-1] ** -0.5
    w = soft(s.masked_fill(~m, torch.finfo(s.dtype).min)) * m
    return torch.einsum("bqk,bkv->bqv", w, v)


def loop_attention(q, k, v, m):
    out = []
    for b in range(len(q)):
        rows = []
        for i in range(q.shape[1]):
            keys, values = k[b][m[b, i]], v[b][m[b, i]]
            w = soft(keys @ q[b, i] / math.sqrt(q.shape[-1]))
            rows.append(w @ values)
        out.append(torch.stack(rows))
    return torch.stack(out)


def first_batch_only(q, k, v, m):
    return good_attention(q[:1], k[:1], v[:1], m[:1])


def mask_in_place(q, k, v, m):
    m[..., 0] = True
    return good_attention(q, k, v, m)


WRONG = {
    "by_hand": [
        (0.9820, "unscaled"),
        (0.7311, "by d: divide by its square root"),
        (0.9997, "multiplies by sqrt(d)"),
        (0.9442, "sqrt(2)"),
        (0.1192, "weight of key 2"),
        (4, "that is the score"),
        (2.0, "scaled score"),
        (1, "all the weight"),
        (7.3891, "that is the power"),
        (0.4910, "divides the weight"),
        (0.5, "equal scores"),
        (0.3, "not it"),
        ([0.8808, 0.1192], "one number"),
        ("0.88 or so", "expected numbers"),
    ],
    "softmax": [
        (naive, "subtract the largest score first"),
        (lambda s: naive(s - s.max()), "largest score of the whole tensor"),
        (lambda s: naive(s - s.mean(-1, keepdim=True)), "subtracts the mean"),
        (lambda s: naive(s - s.amin(-1, keepdim=True)), "the smallest"),
        (lambda s: naive(s - s.amax(0, keepdim=True)), "each column"),
        (lambda s: naive(s.clamp(max=80)), "cuts large scores off"),
        (
            lambda s: naive(s / s.abs().max(-1, keepdim=True).values),
            "divides by the largest",
        ),
        (lambda s: torch.exp(s - s.amax(-1, keepdim=True)), "do not sum to 1"),
        (
            lambda s: (
                (p := (s - s.amax(-1, keepdim=True)).exp())
                / p.sum(0, keepdim=True)
            ),
            "sums over dim=0",
        ),
        (
            lambda s: (p := (s - s.amax(-1, keepdim=True)).exp()) / p.sum(),
            "over all rows",
        ),
        (
            lambda s: (
                (s - s.amax(-1, keepdim=True)).exp()
                / s.exp().sum(-1, keepdim=True)
            ),
            "above the line only",
        ),
        (lambda s: F.log_softmax(s, -1), "logarithms"),
        (lambda s: naive(s).nan_to_num(), "nan by 0 afterwards"),
        (
            lambda s: (
                (s.exp() + 1e-9) / (s.exp() + 1e-9).sum(-1, keepdim=True)
            ),
            "small number",
        ),
        (lambda s: torch.softmax(s.flatten(), 0).view_as(s), "serve all rows"),
        (lambda s: F.softmax(s, dim=0), "over dim=0"),
        (lambda s: F.softmax(s, dim=1), "over dim=1"),
        (lambda s: naive(s.clip(-50, 50)), "and small ones"),
        (
            lambda s: s.exp() / naive_sum(s - s.amax(-1, keepdim=True)),
            "below the line only",
        ),
        (lambda s: torch.softmax(s * math.log(2), -1), "powers of 2"),
        (
            lambda s: (d := s - s.amax(-1, True)) / d.sum(-1, True),
            "exponential is missing",
        ),
        (lambda s: s.exp() / (naive_sum(s) + 1e-12), "added to the sum"),
        (lambda s: naive(s.double()).float(), "about 709"),
        (float32_softmax, "subtract the largest score first"),
        (in_place_softmax, "in place"),
        (lambda s: torch.softmax(s, -1).tolist(), "torch tensor"),
        (lambda s: torch.softmax(s - s.amax(-1), -1), "lost their dimension"),
        (lambda s: torch.tensor([0.731059, 0.268941]), "whatever"),
        (
            lambda s: naive(s - s.median(-1, keepdim=True).values),
            "or the median",
        ),
        (lambda s: naive(s / s.amax(-1, keepdim=True)), "divides by"),
        (lambda s, t: torch.softmax(s / t, -1), "TypeError"),
        (forever, "never ends"),
    ],
    "mask": [
        (lambda n, m: ~good_mask(n, m), "wrong way round"),
        (
            lambda n, m: (
                (positions(m) <= positions(m)[:, None])
                | (positions(m) < n[:, None])[:, None, :]
            ),
            "& instead of |",
        ),
        (
            lambda n, m: torch.ones(m, m).tril().bool().repeat(len(n), 1, 1),
            "padding is still allowed",
        ),
        (
            lambda n, m: (positions(m) < n[:, None])[:, None, :].repeat(
                1, m, 1
            ),
            "the future is still allowed",
        ),
        (
            lambda n, m: (
                (positions(m) <= positions(m)[:, None])
                & (positions(m) < n[:, None])[:, :, None]
            ),
            "padded *queries*",
        ),
        (
            lambda n, m: (
                good_mask(n, m) & (positions(m) < n[:, None])[:, :, None]
            ),
            "nothing to look at",
        ),
        (
            lambda n, m: (
                (positions(m) >= positions(m)[:, None])
                & (positions(m) < n[:, None])[:, None, :]
            ),
            "into the future",
        ),
        (
            lambda n, m: (
                (positions(m) < positions(m)[:, None])
                & (positions(m) < n[:, None])[:, None, :]
            ),
            "attend to itself",
        ),
        (
            lambda n, m: (
                (positions(m) <= positions(m)[:, None])
                & (positions(m) <= n[:, None])[:, None, :]
            ),
            "one padded key too many",
        ),
        (
            lambda n, m: (
                (positions(m) <= positions(m)[:, None])
                & (positions(m) >= (m - n)[:, None])[:, None, :]
            ),
            "hides the first tokens",
        ),
        (
            lambda n, m: (
                (positions(m) <= positions(m)[:, None])
                & (positions(m) >= n[:, None])[:, None, :]
            ),
            "hides the real tokens",
        ),
        (
            lambda n, m: good_mask(n, m).float(),
            "make it boolean, True and False",
        ),
        (
            lambda n, m: good_mask(n, m).long(),
            "make it boolean, True and False",
        ),
        (
            lambda n, m: torch.where(good_mask(n, m), 0.0, -INF),
            "*added* to scores",
        ),
        (lambda n, m: good_mask(n, m)[0], "expected shape"),
        (lambda n, m: good_mask(n, m)[:, None], "expected shape"),
        (lambda n, m: good_mask(n, m).tolist(), "torch tensor"),
        (lambda n, m: good_mask(n, int(n.max())), "the longest sentence"),
        (
            lambda n, m: positions(m) <= positions(m)[:, None],
            "one mask for all sentences",
        ),
        (lambda n, m: good_mask(n, m).numpy(), "in a torch tensor"),
        (
            lambda n, m: (
                (positions(m) <= positions(m)[:, None]) & (positions(m) < n)
            ),
            "compared from the right",
        ),
    ],
    "attention": [
        (lambda q, k, v, m: soft(scaled(q, k)) @ v, "mask is not used"),
        (plain_inf, "empty row"),
        (
            lambda q, k, v, m: soft(scaled(q, k).masked_fill(~m, -1e9)) @ v,
            "averages forbidden values",
        ),
        (
            lambda q, k, v, m: soft(scaled(q, k).masked_fill(m, -INF)) @ v,
            "wrong way round",
        ),
        (lambda q, k, v, m: good_attention(q, k, v, ~m), "wrong way round"),
        (
            lambda q, k, v, m: soft(scaled(q, k)).masked_fill(~m, 0) @ v,
            "no longer sums to 1",
        ),
        (
            lambda q, k, v, m: soft(scaled(q, k).masked_fill(~m, 0)) @ v,
            "filled with 0",
        ),
        (lambda q, k, v, m: soft(scaled(q, k) * m) @ v, "by `* mask`"),
        *(
            (
                lambda q, k, v, m, low=low: (
                    soft(scaled(q, k).masked_fill(~m, low)) * m @ v
                ),
                "a score like any other",
            )
            for low in (-20, -50, -100, -1000)
        ),
        (
            lambda q, k, v, m: soft(scaled(q, k).masked_fill(~m, -100)) @ v,
            "a score like any other",
        ),
        (
            lambda q, k, v, m: (
                scaled(q, k).exp()
                * m
                / (scaled(q, k).exp() * m)
                .sum(-1, keepdim=True)
                .clamp(min=1e-9)
                @ v
            ),
            "overflows",
        ),
        (
            lambda q, k, v, m: (
                scaled(q, k).masked_fill(~m, -INF).exp()
                / (
                    scaled(q, k)
                    .masked_fill(~m, -INF)
                    .exp()
                    .sum(-1, keepdim=True)
                    + 1e-9
                )
                @ v
            ),
            "overflows",
        ),
        (
            lambda q, k, v, m: soft(scaled(q, k) + m.double()) @ v.double(),
            "adds the mask",
        ),
        (
            lambda q, k, v, m: good_attention(q * q.shape[-1] ** 0.5, k, v, m),
            "scale is missing",
        ),
        (
            lambda q, k, v, m: plain_inf(q * q.shape[-1] ** 0.5, k, v, m),
            "scale is missing",
        ),
        (
            lambda q, k, v, m: good_attention(q / q.shape[-1] ** 0.5, k, v, m),
            "it divides by d",
        ),
        (
            lambda q, k, v, m: good_attention(q * q.shape[-1], k, v, m),
            "multiplies by sqrt(d)",
        ),
        (
            lambda q, k, v, m: good_attention(
                q * (q.shape[-1] / k.shape[1]) ** 0.5, k, v, m
            ),
            "number of keys",
        ),
        (
            lambda q, k, v, m: (
                good_attention(q * q.shape[-1] ** 0.5, k, v, m)
                / q.shape[-1] ** 0.5
            ),
            "after the softmax",
        ),
        (
            lambda q, k, v, m: soft(scaled(q, k).masked_fill(~m, -INF), 1) @ v,
            "over the queries",
        ),
        (
            lambda q, k, v, m: soft(scaled(q, k).masked_fill(~m, -1e30)) * m,
            "these are the weights",
        ),
        (lambda q, k, v, m: good_attention(q, k, k, m), "mixes the keys"),
        (
            lambda q, k, v, m: (
                soft(scaled(q, k) + (1 - m.float()) * -10000.0) @ v
            ),
            "as if unmasked",
        ),
        (
            lambda q, k, v, m: soft(scaled(q, k).where(m, -1e9), 0) @ v,
            "over the batch",
        ),
        (
            lambda q, k, v, m: (
                soft(scaled(q, k).where(m, -INF), 0).nan_to_num() @ v
            ),
            "over the batch",
        ),
        (
            lambda q, k, v, m: (
                soft(nan_to_zero(q, k, torch.eye(k.shape[1]), m)) @ v
            ),
            "taken twice",
        ),
        (
            lambda q, k, v, m: F.scaled_dot_product_attention(
                q, k, v, is_causal=True
            ),
            "the mask that is given",
        ),
        (
            lambda q, k, v, m: F.scaled_dot_product_attention(
                q, k, v, m, scale=v.shape[-1] ** -0.5
            ),
            "size of a value",
        ),
        (
            lambda q, k, v, m: F.scaled_dot_product_attention(
                q, k, v, m, dropout_p=0.1
            ),
            "another result each time",
        ),
        (first_batch_only, "expected shape"),
        (
            lambda q, k, v, m: (good_attention(q, k, v, m), None),
            "torch tensor",
        ),
        (mask_in_place, "in place"),
        (lambda q, k, v, m: q @ k.T @ v, "raises"),
    ],
}

RIGHT = {
    "by_hand": [0.8808, 0.881, math.e**2 / (math.e**2 + 1)],
    "softmax": [
        lambda s: torch.softmax(s, -1).detach(),
        lambda s: torch.softmax(s, -1),
        lambda s: F.log_softmax(s, -1).exp(),
        log_softmax_by_hand,
        loop_softmax,
    ],
    "mask": [good_mask, loop_mask, tril_mask, smallest_mask],
    "attention": [
        lambda q, k, v, m: good_attention(q, k, v, m).detach(),
        good_attention,
        nan_to_zero,
        powers_attention,
        einsum_attention,
        loop_attention,
        lambda q, k, v, m: F.scaled_dot_product_attention(
            q, k, v, attn_mask=m
        ),
    ],
}
