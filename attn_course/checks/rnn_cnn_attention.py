"""Checks of lesson 12's exercises."""

import math

import torch

from attn_course.checks.engine import Case, Mistake, check, check_value
from attn_course.checks.inputs import normal


def layers(answer):
    """Exercise 1: layers over a distance of 100, at kernel 3."""
    return check_value(
        answer,
        [50, 5, 1],
        praise="two positions a layer; powers of three; all at once",
        mistakes=[
            *(
                (
                    [part, 5, 1],
                    "a kernel of 3 reaches two positions back, not "
                    "three: one of the three is the position itself",
                )
                for part in (34, 33, 100 / 3)
            ),
            (
                [51, 5, 1],
                "one too many: 50 layers of two positions each reach back 100",
            ),
            (
                [100, 5, 1],
                "that is one position a layer, a kernel of 2: a kernel "
                "of 3 reaches two back",
            ),
            ([101, 5, 1], "those are the cell steps of an RNN"),
            ([50, 4, 1], "three to the fourth is 81: not yet more than 100"),
            *(
                ([50, part, 1], "layers come whole: round up")
                for part in (4.2, 4.19, math.log(100, 3), math.log(101, 3))
            ),
            (
                [50, 7, 1],
                "that is base 2: with kernel 3 the dilations are 1, 3, 9, ...",
            ),
            ([50, 6, 1], "one too many: five layers see 243 positions"),
            (
                [50, 5, 100],
                "attention has no distance: every position asks every "
                "other in one layer",
            ),
            ([50, 5, 0], "attention needs one layer to ask at all"),
            ([5, 50, 1], "the other way round: dilation makes it shorter"),
        ],
    )


def crossover_length(answer):
    """Exercise 2: where attention costs as much as a GRU, dim 512."""
    return check_value(
        answer,
        768,
        praise="n = 1.5 d, half as long again as the dimension",
        mistakes=[
            (
                512,
                "n = d comes from the orders alone, n^2 d and n d^2: count "
                "the constants too",
            ),
            (
                1536,
                "either query, key and value are left out, or scores and "
                "mixture are counted once: attention is 3 n d^2 + 2 n^2 d",
            ),
            (384, "3 n d^2 are left: divide by 2 d, not by 4 d"),
            (96, "that is the length for d = 64, as above: here d is 512"),
            (1.5, "that is n / d: multiply by 512"),
            (768 * 512, "divide by d once more"),
        ],
    )


# Exercise 3: a dilated causal convolution -----------------------------------


def _oracle_conv(x, weight, dilation):
    kernel = weight.shape[0]
    rows = []
    for t in range(len(x)):
        total = 0 * (x[0] @ weight[0])
        for j in range(kernel):
            position = t - (kernel - 1 - j) * dilation
            if position >= 0:
                total = total + x[position] @ weight[j]
        rows.append(total)
    return torch.stack(rows)


def _conv(shift):
    """A convolution in which tap j of k reads ``shift(t, j, k, dilation, n)``.

    A position outside of the sequence counts as zeros.
    """

    def conv(x, weight, dilation):
        rows = []
        for t in range(len(x)):
            total = 0 * (x[0] @ weight[0])
            for j in range(len(weight)):
                position = shift(t, j, len(weight), dilation, len(x))
                if 0 <= position < len(x):
                    total = total + x[position] @ weight[j]
            rows.append(total)
        return torch.stack(rows)

    return conv


def conv(answer):
    """Exercise 3: a dilated causal convolution."""
    x = torch.tensor([[1.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
    swap = torch.tensor([[[0.0, 1.0], [1.0, 0.0]], [[1.0, 0.0], [0.0, 2.0]]])
    return check(
        answer,
        oracle=_oracle_conv,
        cases=[
            Case((x, swap, 1), "three positions, kernel 2, dilation 1"),
            Case(
                (normal(9, 3, seed=1), normal(3, 3, 2, seed=2), 2),
                "nine positions, kernel 3, dilation 2",
            ),
            Case(
                (normal(6, 2, seed=3), normal(3, 2, 2, seed=4), 3),
                "a kernel that reaches beyond the start",
            ),
            Case(
                (normal(5, 2, seed=5), normal(1, 2, 4, seed=6), 2), "kernel 1"
            ),
        ],
        mistakes=[
            Mistake(
                _conv(lambda t, j, k, s, n: t - j * s),
                "the kernel is turned round: weight[0] belongs to the oldest "
                "position, weight[-1] to the position itself",
            ),
            Mistake(
                _conv(lambda t, j, k, s, n: t + j * s),
                "it looks ahead: no position may hear of a later one",
            ),
            Mistake(
                _conv(lambda t, j, k, s, n: t + (k - 1 - j) * s),
                "it looks ahead: no position may hear of a later one",
            ),
            *(
                Mistake(
                    _conv(
                        lambda t, j, k, s, n, odd=odd: (
                            t + (j - (k - odd) // 2) * s
                        )
                    ),
                    "the kernel stands in the middle, so half of it looks "
                    "ahead: put all the zeros in front",
                )
                for odd in (0, 1)
            ),
            Mistake(
                _conv(lambda t, j, k, s, n: t - (k - 1 - j)),
                "the dilation is not used: neighbours are `dilation` apart",
            ),
            Mistake(
                _conv(lambda t, j, k, s, n: t - (k - 1 - j) * s - 1),
                "it is one position late: weight[-1] belongs to the position "
                "itself",
            ),
            Mistake(
                _conv(lambda t, j, k, s, n: (t - (k - 1 - j) * s) % n),
                "before the start it wraps round to the end: zeros stand "
                "there",
            ),
            Mistake(
                _conv(lambda t, j, k, s, n: max(0, t - (k - 1 - j) * s)),
                "before the start it repeats the first position: zeros stand "
                "there",
            ),
            Mistake(
                lambda x, w, s: _oracle_conv(x, w, s) / len(w),
                "it is a mean: the products are only added up",
            ),
        ],
        praise="zeros in front, and the oldest position first",
    )


# Exercise 4: a step of a GRU ------------------------------------------------


def _gates(x, h, w, u):
    parts = zip((w @ x).split(len(h)), (u @ h).split(len(h)))
    return [*parts]


def _oracle_step(x, h, w, u):
    size = len(h)
    new = []
    for i in range(size):
        r = torch.sigmoid((w[i] * x).sum() + (u[i] * h).sum())
        z = torch.sigmoid((w[size + i] * x).sum() + (u[size + i] * h).sum())
        last = 2 * size + i
        n = torch.tanh((w[last] * x).sum() + r * (u[last] * h).sum())
        new.append((1 - z) * n + z * h[i])
    return torch.stack(new)


def _step(mix=None, candidate=None, squash=torch.tanh, order=(0, 1, 2)):
    """A step with one part exchanged."""

    def step(x, h, w, u):
        gates = _gates(x, h, w, u)
        r, z = (torch.sigmoid(sum(gates[i])) for i in order[:2])
        a, b = gates[order[2]]
        n = squash(candidate(a, b, r, h, u) if candidate else a + r * b)
        return mix(n, h, z) if mix else (1 - z) * n + z * h

    return step


def step(answer):
    """Exercise 4: one step of a GRU."""
    first = (
        torch.tensor([1.0, 0.5]),
        torch.tensor([0.4]),
        torch.tensor([[1.0, 0.0], [0.0, -1.0], [0.5, 1.0]]),
        torch.tensor([[0.5], [2.0], [-1.0]]),
    )
    more = (
        normal(3, seed=1),
        normal(4, seed=2),
        normal(12, 3, seed=3),
        normal(12, 4, seed=4),
    )
    zero = (more[0], 0 * more[1], *more[2:])
    return check(
        answer,
        oracle=_oracle_step,
        cases=[
            Case(first, "two inputs, a state of one number"),
            Case(more, "three inputs, a state of four numbers"),
            Case(zero, "a state of zeros"),
        ],
        mistakes=[
            Mistake(
                _step(mix=lambda n, h, z: z * n + (1 - z) * h),
                "z is the share of the old state that stays: (1 - z) belongs "
                "to the new one",
            ),
            Mistake(
                _step(
                    candidate=lambda a, b, r, h, u: (
                        a + u[2 * len(h) :] @ (r * h)
                    )
                ),
                "r multiplies the state before the matrix, as in Cho et al.: "
                "torch multiplies the product, r * (U_n h)",
            ),
            Mistake(
                _step(candidate=lambda a, b, r, h, u: r * (a + b)),
                "r multiplies only what comes from the state, not the input's "
                "part",
            ),
            Mistake(
                _step(candidate=lambda a, b, r, h, u: a + b),
                "the reset gate r is not used",
            ),
            Mistake(
                _step(squash=torch.sigmoid),
                "the new part goes through tanh, not sigmoid",
            ),
            Mistake(
                _step(squash=lambda n: n),
                "the tanh is missing: the state could grow without end",
            ),
            Mistake(
                _step(mix=lambda n, h, z: n),
                "the update gate z is not used: nothing of the old state "
                "stays",
            ),
            Mistake(
                _step(mix=lambda n, h, z: n + z * h),
                "the shares must sum to 1: (1 - z) n + z h",
            ),
            Mistake(
                _step(order=(1, 0, 2)),
                "the gates are exchanged: the rows stand in the order r, z, n",
            ),
        ],
        praise="as nn.GRUCell has it",
    )
