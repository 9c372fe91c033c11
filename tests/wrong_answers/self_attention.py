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


def zeros_hidden(x, q, k, v):
    scores = scored(x, q, k) * (1 - later(scored(x, q, k)).float())
    scores[scores == 0] = float("-inf")
    return scores.softmax(-1) @ (x @ v)


def weighted(scores, diagonal=1, fill=-math.inf):
    hidden = later(scores, diagonal)
    return torch.softmax(torch.where(hidden, fill, scores), dim=-1)


def only_before(x, W_q, W_k, W_v):
    rows = []
    for i in range(len(x)):
        scores = (x[:i] @ W_k) @ (x[i] @ W_q) / math.sqrt(W_k.shape[1])
        rows.append(scores.softmax(0) @ (x[:i] @ W_v))
    return torch.stack(rows)


def waves_exchanged(x):
    a, b, t = x[:, ::2], x[:, 1::2], angles(x)
    a, b = a * t.sin() - b * t.cos(), a * t.cos() + b * t.sin()
    return torch.stack([a, b], -1).flatten(1)


def pairs_turned(wanted, rest=0):
    """Turn some pairs, in a loop; the others are 0, or as they were."""

    def rotation(x):
        found = rest * x
        last = x.shape[1] // 2 - 1
        for i, row in enumerate(x.tolist()):
            for c in range(last + 1):
                if wanted(c, last):
                    t = i / 10000 ** (2 * c / len(row))
                    a, b = row[2 * c : 2 * c + 2]
                    found[i, 2 * c] = a * math.cos(t) - b * math.sin(t)
                    found[i, 2 * c + 1] = a * math.sin(t) + b * math.cos(t)
        return found

    return rotation


def all_but_the_last(x, W_q, W_k, W_v):
    found = torch.zeros(len(x), W_v.shape[1])
    for i in range(len(x) - 1):
        found[i] = loop_attention(x[: i + 1], W_q, W_k, W_v)[-1]
    return found


def filled_up_to_before(scores, slope):
    biased = torch.zeros_like(scores)
    for i in range(scores.shape[-1]):
        for j in range(i):
            biased[..., i, j] = scores[..., i, j] - slope * (i - j)
    return biased.softmax(-1)


def products_again(x):
    a, b, t = x[:, ::2], x[:, 1::2], angles(x)
    first, second = a * t.cos(), b * t.sin()
    return torch.stack([first - second, first + second], -1).flatten(1)


def neighbours_and_halves(x):
    half = x.shape[1] // 2
    t = torch.stack([angles(x), angles(x)], dim=-1).flatten(1)
    signs = torch.tensor([-1.0] * half + [1.0] * half)
    return x * t.cos() + x.roll(half, 1) * signs * t.sin()


def running_mean(x, W_q, W_k, W_v):
    counts = torch.arange(len(x)) + 1
    return (x @ W_v).cumsum(0) / counts[:, None]


def between_numbers(x, W_q, W_k, W_v):
    scores = (x @ W_q).T @ (x @ W_k) / W_k.shape[1] ** 0.5
    return (x @ W_v) @ scores.softmax(-1)


def numbered_tables(x):
    n, d = x.shape
    t = torch.arange(n)[:, None] * 10000 ** (-torch.arange(d) / d)
    swapped = x.unflatten(1, (-1, 2)).flip(-1) * torch.tensor([-1.0, 1.0])
    return x * t.cos() + swapped.flatten(1) * t.sin()


def seconds_left(x):
    found = torch.zeros_like(x)
    found[:, ::2] = turned(x, angles(x))[:, ::2]
    return found


def woven_halves(x):
    a, b = halves_rotation(x).chunk(2, dim=1)
    found = torch.empty_like(x)
    found[:, ::2], found[:, 1::2] = a, b
    return found


def block_tables(x):
    t = torch.cat([angles(x), angles(x)], dim=1)
    swapped = x.unflatten(1, (-1, 2)).flip(-1) * torch.tensor([-1.0, 1.0])
    return x * t.cos() + swapped.flatten(1) * t.sin()


def forgetful_of_b(x):
    a, b, t = x[:, ::2], x[:, 1::2], angles(x)
    b = a * t.sin() + b * t.cos()
    a = a * t.cos() - b * t.sin()
    return torch.stack([a, b], -1).flatten(1)


def signed(p, q, r, s):
    def rotation(x):
        a, b, t = x[:, ::2], x[:, 1::2], angles(x)
        first = p * a * t.cos() + q * b * t.sin()
        second = r * a * t.sin() + s * b * t.cos()
        return torch.stack([first, second], -1).flatten(1)

    return rotation


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
        (zeros_hidden, "every score of 0 is hidden"),
        (
            lambda x, q, k, v: torch.tril(scored(x, q, k)) @ (x @ v),
            "softmax is missing",
        ),
        (
            lambda x, q, k, v: weighted(scored(x, q, k)).T @ (x @ v),
            "transposed",
        ),
        (
            lambda x, q, k, v: attend(x, q, k, v, scale=k.shape[1] ** 0.5),
            "multiplies by",
        ),
        (
            lambda x, q, k, v: (
                attend(x, q, k, v, scale=1) / math.sqrt(q.shape[1])
            ),
            "divides after the softmax",
        ),
        (only_before, "no word sees itself"),
        (
            lambda x, q, k, v: weighted(scored(x, q, k), 2) @ (x @ v),
            "next word",
        ),
        (
            lambda x, q, k, v: weighted(scored(x, q, k), 1, -1.0) @ (x @ v),
            "a score of -1 still",
        ),
        (
            lambda x, q, k, v: weighted(scored(x, q, k), 1, -10.0) @ (x @ v),
            "a score of -10 still",
        ),
        (
            lambda x, q, k, v: attend(
                x, q, k, v, is_causal=False, scale=1 / q.shape[1]
            ),
            "divisor should be",
        ),
        (
            lambda x, q, k, v: attend(
                x, q, k, v, is_causal=False, scale=len(x) ** -0.5
            ),
            "divisor should be",
        ),
        (
            lambda x, q, k, v: F.softmax(scored(x, q, k), dim=0) @ (x @ v),
            "and the softmax runs over the queries",
        ),
        (
            lambda x, q, k, v: scored(x, q, k).exp().tril() @ (x @ v),
            "of a row do not sum",
        ),
        (
            lambda x, q, k, v: scored(x, q, k).sigmoid().tril() @ (x @ v),
            "is a sigmoid",
        ),
        (running_mean, "weigh the same"),
        (
            lambda x, q, k, v: weighted(scored(x, q, k), 0, -1e9) @ (x @ v),
            "sees all evenly",
        ),
        (
            lambda x, q, k, v: attend(x, k, q, v, is_causal=False),
            "swapped, and the causal",
        ),
        (all_but_the_last, "stays 0"),
        (lambda x, q, k, v: attend(x, q, v, k), "keys and values"),
        (between_numbers, "the numbers of the vectors"),
        (lambda x, q, k, v: x @ v + attend(x, q, k, v), "once more"),
        (lambda x, q, k, v: attend(x, q, k, v) * q.shape[1] ** 0.5, "output"),
        (
            lambda x, q, k, v: (
                attend(x, q, k, v, scale=1.0) * q.shape[1] ** 0.5
            ),
            "output is multiplied",
        ),
        (lambda x, q, k, v: attend(x, q, q, v), "one matrix"),
        (lambda x, q, k, v: attend(x, k, k, v), "one matrix"),
    ],
    "alibi": [
        (lambda s, m: s.masked_fill(later(s), -1e30).softmax(-1), "no effect"),
        (lambda s, m: loop_alibi(s - m, 0), "no effect"),
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
        (lambda s, m: weighted(-s * m * back(s)), "by the cost"),
        (lambda s, m: loop_alibi(s, 1), "each step costs 1"),
        (lambda s, m: loop_alibi(s, 1 / m), "divides by the slope"),
        (
            lambda s, m: weighted(
                s - torch.tensor(m) ** back(s).tril().float()
            ),
            "to the power",
        ),
        (lambda s, m: loop_alibi(s, m / s.shape[-1]), "by the length"),
        (lambda s, m: loop_alibi(s / s.shape[-1] ** 0.5, m), "come ready"),
        (lambda s, m: (m * back(s) + s).softmax(-1), "two slips"),
        (lambda s, m: loop_alibi(s, m).log(), "logarithms"),
        (lambda s, m: (s - m * back(s).tril()).softmax(-1), "at no cost"),
        (filled_up_to_before, "keep a score of 0"),
        (
            lambda s, m: F.relu(loop_alibi(s, 0) - m * back(s)),
            "off the weights",
        ),
        (
            lambda s, m: (s - m * back(s)).sigmoid() * (back(s) >= 0),
            "is a sigmoid",
        ),
        (lambda s, m: loop_alibi(s * m, m), "multiplies the scores too"),
        (lambda s, m: loop_alibi(s, 0.5**m), "minus the slope"),
        (
            lambda s, m: weighted(s - m * F.relu(back(s) - 1.0)),
            "first step back",
        ),
        (lambda s, m: weighted(s - m * back(s).tril() ** 0.5), "square root"),
        (
            lambda s, m: weighted(s - m * (1 + back(s).tril()).log()),
            "the logarithm",
        ),
        (lambda s, m: weighted(s - m * back(s), 1, -1.0), "score of -1 still"),
        (
            lambda s, m: weighted(s - m * back(s), 1, -10.0),
            "score of -10 still",
        ),
        (
            lambda s, m: weighted(s * math.exp(-m) ** back(s).tril()),
            "power of the distance",
        ),
        (lambda s, m: (m * back(s).abs() + s).softmax(-1), "two slips"),
        (lambda s, m: weighted(s - m * back(s), 2), "next word"),
        (
            lambda s, m: (s - m * back(s)).exp() * (back(s) >= 0),
            "divide by their sum",
        ),
        (
            lambda s, m: torch.where(
                back(s) < 0, -math.inf, s - m * back(s)
            ).softmax(1),
            "dim=1",
        ),
        (lambda s, m: (s - m * back(s)) * (back(s) >= 0), "hidden by 0"),
        (
            lambda s, m: (loop_alibi(s, 0) - m * back(s)).softmax(-1),
            "taken twice",
        ),
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
        (lambda x: turned(x, torch.deg2rad(angles(x))), "radians already"),
        (waves_exchanged, "exchanged"),
        (pairs_turned(lambda c, last: c < last), "last pair"),
        (pairs_turned(lambda c, last: c < last, 1), "last pair"),
        (pairs_turned(lambda c, last: c == 0), "only the first pair"),
        (pairs_turned(lambda c, last: c == 0, 1), "only the first pair"),
        (
            lambda x: turned(x, angles(x, exponent=2 * x.shape[1])),
            "divided by dim",
        ),
        (lambda x: turned(x, angles(x, base=100)), "or the base 100"),
        (lambda x: turned(x, angles(x, base=1e5)), "base is 100000"),
        (lambda x: turned(x, angles(x, base=5e5)), "base is 500000"),
        (lambda x: turned(x, angles(x[:1], start=1)), "turned alike"),
        (lambda x: turned(x.flip(0), angles(x)).flip(0), "from the end"),
        (woven_halves, "side by side: neighbours"),
        (numbered_tables, "angle of its own"),
        (neighbours_and_halves, "two ways are mixed"),
        (products_again, "not a cos t + b sin t"),
        (
            lambda x: (
                turned(x, angles(x))
                .T.unflatten(0, (-1, 2))
                .permute(1, 2, 0)
                .flatten(0, 1)
            ),
            "below all a's",
        ),
        (lambda x: turned(x, angles(x).flip(1)), "speeds stand in reverse"),
        (
            lambda x: turned(x, angles(x) / 10000 ** (2 / x.shape[1])),
            "counted from 1: the first, c",
        ),
        (lambda x: turned(x, angles(x) * math.tau), "2 pi"),
        (
            lambda x: turned(
                x.unflatten(1, (-1, 2)).flip(2).flatten(1), angles(x)
            ),
            "a and b are",
        ),
        (lambda x: turned(x, angles(x)) + x, "added to x"),
        (lambda x: turned(x, angles(x))[:, ::2], "one number of each"),
        (lambda x: turned(x, angles(x))[:, 1::2], "one number of each"),
        (seconds_left, "stay 0"),
        (
            lambda x: torch.stack(
                [turned(x, angles(x))[:, n::2] for n in (0, 1)]
            ),
            "all a's stand first",
        ),
        (block_tables, "as a block"),
        (forgetful_of_b, "the new b"),
        (signed(1, -1, 1, -1), "sign"),
        (signed(1, -1, -1, 1), "sign"),
        (signed(1, 1, 1, -1), "sign"),
        (lambda x: turned(x, angles(x)).reshape(len(x), -1, 2), "row of its"),
        (
            lambda x: (
                x.unflatten(1, (-1, 2)).mul(angles(x)[..., None]).flatten(1)
            ),
            "multiplies by the angle",
        ),
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
    "rotation": [
        complex_rotation,
        matrix_rotation,
        repeated_rotation,
        pairs_turned(lambda c, last: True),
    ],
}
