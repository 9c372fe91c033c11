"""Answers to lesson 12's exercises: wrong ones with their hint, right ones."""

import math

import torch
from torch.nn import functional as F


def right_conv(x, weight, dilation):
    longer = F.pad(x, (0, 0, (len(weight) - 1) * dilation, 0))
    parts = [
        longer[j * dilation :][: len(x)] @ w for j, w in enumerate(weight)
    ]
    return torch.stack(parts).sum(dim=0)


def torch_conv(x, weight, dilation):
    longer = F.pad(x.T, ((len(weight) - 1) * dilation, 0))
    return F.conv1d(longer, weight.permute(2, 1, 0), dilation=dilation).T


def same_conv(x, weight, dilation):
    """As ``padding="same"`` does, which warns of an even kernel."""
    zeros = (len(weight) - 1) * dilation
    longer = F.pad(x.T, (zeros // 2, zeros - zeros // 2))
    return F.conv1d(longer, weight.permute(2, 1, 0), dilation=dilation).T


def loop_conv(x, weight, dilation):
    rows = []
    for t in range(x.shape[0]):
        positions = [t - i * dilation for i in range(weight.shape[0])]
        seen = [
            x[p] @ weight[-1 - i] for i, p in enumerate(positions) if p >= 0
        ]
        rows.append(sum(seen))
    return torch.stack(rows)


def padded(x, weight, dilation, before, after, flip=False):
    weight = weight.flip(0) if flip else weight
    longer = F.pad(x.T, (before, after))
    return F.conv1d(longer, weight.permute(2, 1, 0), dilation=dilation).T


def flipped(x, weight, dilation):
    return padded(x, weight, dilation, (len(weight) - 1) * dilation, 0, True)


def zeros_behind(x, weight, dilation):
    return padded(x, weight, dilation, 0, (len(weight) - 1) * dilation)


def ahead_flipped(x, weight, dilation):
    return padded(x, weight, dilation, 0, (len(weight) - 1) * dilation, True)


def centred(x, weight, dilation):
    half = len(weight) // 2 * dilation
    rest = (len(weight) - 1) * dilation - half
    return padded(x, weight, dilation, half, rest)


def rolled(x, weight, dilation):
    total = 0
    for back, w in enumerate(weight.flip(0)):
        total = total + x.roll(back * dilation, dims=0) @ w
    return total


def python_wraps(x, weight, dilation):
    out = x.new_zeros(len(x), weight.shape[2])
    for t in range(len(x)):
        for back in range(len(weight)):
            out[t] += x[t - back * dilation] @ weight[-1 - back]
    return out


def one_late(x, weight, dilation):
    return right_conv(F.pad(x, (0, 0, 1, 0))[:-1], weight, dilation)


def first_again(x, weight, dilation):
    reach = (len(weight) - 1) * dilation
    longer = torch.cat([x[:1].expand(reach, -1), x])
    return right_conv(longer, weight, dilation)[reach:]


def einsum_conv(x, weight, dilation):
    kernel = len(weight)
    longer = F.pad(x, (0, 0, (kernel - 1) * dilation, 0))
    rows = torch.arange(len(x))[:, None] + dilation * torch.arange(kernel)
    return torch.einsum("tjd,jds->ts", longer[rows], weight)


def right_step(x, h, w, u):
    r, z, n = zip((w @ x).chunk(3), (u @ h).chunk(3))
    r, z = torch.sigmoid(r[0] + r[1]), torch.sigmoid(z[0] + z[1])
    return torch.lerp(torch.tanh(n[0] + r * n[1]), h, z)


def torch_step(x, h, w, u):
    none = torch.zeros(len(w), dtype=x.dtype)
    return torch.gru_cell(x[None], h[None], w, u, none, none)[0]


def linear_step(x, h, w, u):
    d = len(h)
    r = (F.linear(x, w[:d]) + F.linear(h, u[:d])).sigmoid()
    z = (F.linear(x, w[d : 2 * d]) + F.linear(h, u[d : 2 * d])).sigmoid()
    n = (F.linear(x, w[2 * d :]) + r * F.linear(h, u[2 * d :])).tanh()
    return n + z * (h - n)


def parts(x, h, w, u):
    d = len(h)
    a, b = w @ x, u @ h
    r, z = torch.sigmoid(a[:d] + b[:d]), torch.sigmoid((a + b)[d : 2 * d])
    return r, z, a[2 * d :], b[2 * d :]


def swapped_shares(x, h, w, u):
    r, z, a, b = parts(x, h, w, u)
    return z * torch.tanh(a + r * b) + (1 - z) * h


def cho(x, h, w, u):
    r, z, a, _ = parts(x, h, w, u)
    return (1 - z) * torch.tanh(a + u[2 * len(h) :] @ (r * h)) + z * h


def reset_all(x, h, w, u):
    r, z, a, b = parts(x, h, w, u)
    return (1 - z) * torch.tanh(r * (a + b)) + z * h


def no_reset(x, h, w, u):
    _, z, a, b = parts(x, h, w, u)
    return (1 - z) * torch.tanh(a + b) + z * h


def sigmoid_new(x, h, w, u):
    r, z, a, b = parts(x, h, w, u)
    return (1 - z) * torch.sigmoid(a + r * b) + z * h


def no_tanh(x, h, w, u):
    r, z, a, b = parts(x, h, w, u)
    return (1 - z) * (a + r * b) + z * h


def no_update(x, h, w, u):
    r, _, a, b = parts(x, h, w, u)
    return torch.tanh(a + r * b)


def more_than_one(x, h, w, u):
    r, z, a, b = parts(x, h, w, u)
    return torch.tanh(a + r * b) + z * h


def exchanged(x, h, w, u):
    z, r, a, b = parts(x, h, w, u)
    return (1 - z) * torch.tanh(a + r * b) + z * h


def some_taps(wanted, begin=None):
    """Add up some of the taps, from zeros or from nothing."""

    def conv(x, weight, dilation):
        total = 0 if begin is None else begin * x @ weight[0]
        kernel = len(weight)
        longer = F.pad(x, (0, 0, (kernel - 1) * dilation, 0))
        for j in range(kernel):
            if wanted(j, kernel):
                rows = longer[j * dilation :][: len(x)]
                total = total + rows @ weight[j]
        return total

    return conv


def dilation_late(x, weight, dilation):
    longer = F.pad(x, (0, 0, len(weight) * dilation, 0))
    return sum(
        longer[j * dilation :][: len(x)] @ tap for j, tap in enumerate(weight)
    )


def row_is_not_0(x):
    return (torch.arange(len(x)) > 0)[:, None]


def first_rows_empty(x, weight, dilation):
    found = torch.zeros(len(x), weight.shape[2])
    for t in range((len(weight) - 1) * dilation, len(x)):
        for back, tap in enumerate(weight.flip(0)):
            found[t] += x[t - back * dilation] @ tap
    return found


def padded_twice(x, weight, dilation):
    reach = (len(weight) - 1) * dilation
    weight = weight.permute(2, 1, 0)
    return F.conv1d(x.T, weight, padding=reach, dilation=dilation).T


def not_padded(x, weight, dilation):
    return F.conv1d(x.T, weight.permute(2, 1, 0), dilation=dilation).T


def channels(x, weight, dilation, order):
    longer = F.pad(x.T[None], ((len(weight) - 1) * dilation, 0))
    return F.conv1d(longer, weight.permute(*order), dilation=dilation)


def taps_one_apart(x, weight, dilation):
    kernel = len(weight)
    longer = F.pad(x, (0, 0, (kernel - 1) * dilation, 0))
    return sum(longer[j:][: len(x)] @ weight[j] for j in range(kernel))


def own_tap_right(x, weight, dilation):
    """Index weight[j - 1], which is the last one for j = 0 alone."""
    found = torch.zeros(len(x), weight.shape[2])
    for t in range(len(x)):
        for j in range(len(weight)):
            if t >= j * dilation:
                found[t] += x[t - j * dilation] @ weight[j - 1]
    return found


def overwriting(x, weight, dilation):
    found = torch.zeros(len(x), weight.shape[2])
    for back, tap in enumerate(weight.flip(0)):
        for t in range(back * dilation, len(x)):
            found[t] = x[t - back * dilation] @ tap
    return found


def same_gate(number):
    def step(x, h, w, u):
        *gates, a, b = parts(x, h, w, u)
        gate = gates[number]
        return torch.lerp(torch.tanh(a + gate * b), h, gate)

    return step


def apart(x, h, w, u):
    r, _, a, b = parts(x, h, w, u)
    return a.tanh() + r * b.tanh()


def both_exchanged(x, h, w, u):
    z, r, a, b = parts(x, h, w, u)
    return torch.lerp(h, torch.tanh(a + r * b), z)


def no_reset_and_exchanged(x, h, w, u):
    _, z, a, b = parts(x, h, w, u)
    return torch.lerp(h, torch.tanh(a + b), z)


def reordered(*order):
    def step(x, h, w, u):
        w, u = w.chunk(3), u.chunk(3)
        return right_step(
            x,
            h,
            torch.cat([w[i] for i in order]),
            torch.cat([u[i] for i in order]),
        )

    return step


def gated(gate):
    def step(x, h, w, u):
        (a, b, c), (d, e, f) = (w @ x).chunk(3), (u @ h).chunk(3)
        z = gate(b, e)
        return (1 - z) * torch.tanh(c + gate(a, d) * f) + z * h

    return step


def renewed(new):
    def step(x, h, w, u):
        r, z, a, b = parts(x, h, w, u)
        return torch.lerp(new(r, a, b, h), h, z)

    return step


def kept(x, h, w, u):
    return parts(x, h, w, u)[1] * h


def every_third_row(x, h, w, u):
    def parted(m):
        return torch.cat([m[0::3], m[1::3], m[2::3]])

    return right_step(x, h, parted(w), parted(u))


WRONG = {
    "layers": [
        ([34, 5, 1], "two positions back"),
        ([33, 5, 1], "two positions back"),
        ([100 / 3, 5, 1], "two positions back"),
        ([51, 5, 1], "reach back 100"),
        ([100, 5, 1], "kernel of 2"),
        ([101, 5, 1], "cell steps"),
        ([50, 4, 1], "81"),
        ([50, 4.2, 1], "round up"),
        ([50, math.log(101, 3), 1], "round up"),
        ([50, 7, 1], "base 2"),
        ([50, 6, 1], "one too many"),
        ([50, 5, 100], "no distance"),
        ([50, 5, 0], "one layer"),
        ([5, 50, 1], "other way round"),
        ([50, 5], "expected"),
        ("fifty", "numbers"),
    ],
    "crossover_length": [
        (512, "orders alone"),
        (1536, "left out, or"),
        (384, "divide by 2 d"),
        (96, "for d = 64"),
        (1.5, "multiply by 512"),
        (768 * 512, "once more"),
        (100, "not it"),
        ("1.5 d", "numbers"),
    ],
    "conv": [
        (same_conv, "stands in the middle"),
        (flipped, "turned round"),
        (zeros_behind, "looks ahead"),
        (ahead_flipped, "looks ahead"),
        (centred, "ahead"),
        (lambda x, w, s: right_conv(x, w, 1), "dilation is not used"),
        (one_late, "one position late"),
        (rolled, "wraps round"),
        (python_wraps, "wraps round"),
        (first_again, "repeats the first"),
        (lambda x, w, s: right_conv(x, w, s) / w.shape[0], "mean"),
        (lambda x, w, s: right_conv(x, w, s).T, "transpose the result"),
        (some_taps(lambda j, k: j < k - 1), "position itself is missing"),
        (some_taps(lambda j, k: j > 0), "oldest position is missing"),
        (some_taps(lambda j, k: j < k - 1, 0.0), "position itself is missing"),
        (some_taps(lambda j, k: j > 0, 0.0), "oldest position is missing"),
        (lambda x, w, s: right_conv(x, w, s).clamp(min=0), "relu"),
        (dilation_late, "too late"),
        (taps_one_apart, "stand one apart"),
        (own_tap_right, "has its own tap"),
        (overwriting, "overwrites"),
        (
            lambda x, w, s: (
                F.conv1d(
                    F.pad(x.T, ((len(w) - 1) * s, 0)),
                    w.permute(2, 1, 0),
                    stride=s,
                ).T
            ),
            "stride leaves",
        ),
        (lambda x, w, s: right_conv(x * row_is_not_0(x), w, s), "never read"),
        (first_rows_empty, "first rows stay 0"),
        (lambda x, w, s: right_conv(x, w, s + 1), "not the gap"),
        (padded_twice, "zeros stand behind too"),
        (not_padded, "shorter than x"),
        (
            lambda x, w, s: right_conv(x, w, s)[(w.shape[0] - 1) * s :],
            "shorter than x",
        ),
        (lambda x, w, s: channels(x, w, s, (2, 1, 0)), "take [0].T"),
        (lambda x, w, s: channels(x, w, s, (0, 1, 2))[0].T, "permute it"),
        (lambda x, w, s: channels(x, w, s, (1, 2, 0))[0].T, "are exchanged"),
        (lambda x, w, s: sum(x @ tap for tap in w), "every tap reads"),
    ],
    "step": [
        (swapped_shares, "share of the old state"),
        (cho, "before the matrix"),
        (reset_all, "only what comes from the state"),
        (no_reset, "not used"),
        (sigmoid_new, "tanh, not sigmoid"),
        (no_tanh, "tanh is missing"),
        (no_update, "update gate"),
        (more_than_one, "sum to 1"),
        (exchanged, "order r, z, n"),
        (lambda x, h, w, u: right_step(x, h, w, u)[None], "expected shape"),
        (reordered(0, 2, 1), "not the last of yours"),
        (reordered(2, 0, 1), "not the last of yours"),
        (gated(lambda a, b: (a + b).tanh()), "sigmoid, not tanh"),
        (gated(lambda a, b: a + b), "need a sigmoid"),
        (gated(lambda a, b: a.sigmoid()), "input alone"),
        (gated(lambda a, b: b.sigmoid()), "state alone"),
        (gated(lambda a, b: a.sigmoid() + b.sigmoid()), "by itself"),
        (renewed(lambda r, a, b, h: torch.tanh(a * r + b)), "from the input"),
        (renewed(lambda r, a, b, h: torch.tanh(a + h * r)), "bare state"),
        (renewed(lambda r, a, b, h: torch.tanh(a + b - r * b)), "1 - r"),
        (renewed(lambda r, a, b, h: torch.tanh(a)), "look at the state"),
        (renewed(lambda r, a, b, h: torch.tanh(r * b)), "look at the input"),
        (renewed(lambda r, a, b, h: F.relu(a + r * b)), "relu"),
        (lambda x, h, w, u: right_step(x, h, w, u) - kept(x, h, w, u), "lost"),
        (
            lambda x, h, w, u: h + right_step(x, h, w, u) - kept(x, h, w, u),
            "kept whole",
        ),
        (lambda x, h, w, u: right_step(x, h, w, u).tanh(), "another tanh"),
        (every_third_row, "every third row"),
        (same_gate(1), "z stands where r"),
        (both_exchanged, "the order r, z, n, and z"),
        (no_reset_and_exchanged, "is not used, and z"),
        (same_gate(0), "r stands where z"),
        (
            lambda x, h, w, u: torch.lerp(
                apart(x, h, w, u), h, parts(x, h, w, u)[1]
            ),
            "tanh is taken of each",
        ),
        (gated(lambda a, b: F.softmax(a + b, 0)), "not softmax"),
        (
            lambda x, h, w, u: right_step(x, h, w, u) - 2 * kept(x, h, w, u),
            "subtracted",
        ),
        (lambda x, h, w, u: torch.tanh(F.linear(x, w) + u @ h), "plain RNN"),
        (renewed(lambda r, a, b, h: torch.tanh(a + h)), "added bare"),
    ],
}
RIGHT = {
    "layers": [[50, 5, 1], (50.0, 5.0, 1.0), torch.tensor([50, 5, 1])],
    "crossover_length": [768, 768.0, torch.tensor(768), 1.5 * 512],
    "conv": [
        lambda x, w, s: right_conv(x.detach(), w.detach(), s),
        right_conv,
        torch_conv,
        loop_conv,
        einsum_conv,
    ],
    "step": [right_step, torch_step, linear_step],
}
