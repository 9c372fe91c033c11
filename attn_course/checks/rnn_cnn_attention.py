"""Checks of lesson 12's exercises."""

import math

import torch

from attn_course.checks.convolutions import MISTAKES, convolve
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


def conv(answer):
    """Exercise 3: a dilated causal convolution."""
    x = torch.tensor([[1.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
    swap = torch.tensor([[[0.0, 1.0], [1.0, 0.0]], [[1.0, 0.0], [0.0, 2.0]]])
    return check(
        answer,
        oracle=convolve,
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
        mistakes=MISTAKES,
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


def _step(
    mix=None,
    candidate=None,
    squash=torch.tanh,
    order=(0, 1, 2),
    gate=lambda a, b: torch.sigmoid(a + b),
    rows=lambda m: m,
):
    """A step with one part exchanged."""

    def step(x, h, w, u):
        gates = _gates(x, h, rows(w), rows(u))
        r, z = (gate(*gates[i]) for i in order[:2])
        a, b = gates[order[2]]
        n = squash(candidate(a, b, r, h, u) if candidate else a + r * b)
        return mix(n, h, z) if mix else (1 - z) * n + z * h

    return step


STEP = [
    Mistake(
        _step(order=(1, 0, 2), mix=lambda n, h, z: z * n + (1 - z) * h),
        "two slips: the rows stand in the order r, z, n, and z is the share of "
        "the old state",
    ),
    Mistake(
        _step(
            candidate=lambda a, b, r, h, u: a + b,
            mix=lambda n, h, z: z * n + (1 - z) * h,
        ),
        "two slips: the reset gate r is not used, and z is the share of the old "
        "state",
    ),
    Mistake(
        _step(order=(1, 1, 2)),
        "z stands where r should: r multiplies the part that comes from h",
    ),
    Mistake(
        _step(order=(0, 0, 2)),
        "r stands where z should: z is the share of the old state",
    ),
    Mistake(
        _step(
            candidate=lambda a, b, r, h, u: a.tanh() + r * b.tanh(),
            squash=lambda n: n,
        ),
        "the tanh is taken of each part by itself: add the parts first",
    ),
    Mistake(
        _step(gate=lambda a, b: torch.softmax(a + b, dim=0)),
        "the gates go through sigmoid, not softmax: each number is a share of "
        "its own",
    ),
    Mistake(
        _step(mix=lambda n, h, z: (1 - z) * n - z * h),
        "the old state is subtracted: add z * h",
    ),
    Mistake(
        lambda x, h, w, u: torch.tanh(w @ x + u @ h),
        "the three parts are not taken apart, as in a plain RNN: chunk(3), and "
        "two of them are gates",
    ),
    Mistake(
        _step(candidate=lambda a, b, r, h, u: a + h),
        "the state is added bare: its last rows of u come first, r * (U_n h)",
    ),
    *(
        Mistake(
            _step(order=order),
            "the rows stand in the order r, z, n: the new part is not the last "
            "of yours",
        )
        for order in ((0, 2, 1), (1, 2, 0), (2, 0, 1), (2, 1, 0))
    ),
    Mistake(
        _step(gate=lambda a, b: torch.tanh(a + b)),
        "the gates go through sigmoid, not tanh: they are shares from 0 to 1",
    ),
    Mistake(
        _step(gate=lambda a, b: a + b),
        "the gates r and z need a sigmoid: they are shares from 0 to 1",
    ),
    Mistake(
        _step(gate=lambda a, b: torch.sigmoid(a)),
        "the gates look at the input alone: add the part that comes from h",
    ),
    Mistake(
        _step(gate=lambda a, b: torch.sigmoid(b)),
        "the gates look at the state alone: add the part that comes from x",
    ),
    Mistake(
        _step(gate=lambda a, b: torch.sigmoid(a) + torch.sigmoid(b)),
        "the sigmoid is taken of each part by itself: add the parts first",
    ),
    Mistake(
        _step(candidate=lambda a, b, r, h, u: r * a + b),
        "r multiplies what comes from the input: it belongs to the part from "
        "the state",
    ),
    Mistake(
        _step(candidate=lambda a, b, r, h, u: a + r * h),
        "r multiplies the bare state: its last rows of u come first, r * (U_n "
        "h)",
    ),
    Mistake(
        _step(candidate=lambda a, b, r, h, u: a + (1 - r) * b),
        "1 - r stands where r should: a gate of 1 lets the state through",
    ),
    Mistake(
        _step(candidate=lambda a, b, r, h, u: a),
        "the new part does not look at the state: add r times the part that "
        "comes from h",
    ),
    Mistake(
        _step(candidate=lambda a, b, r, h, u: b * r),
        "the new part does not look at the input: add the part that comes "
        "from x",
    ),
    Mistake(
        _step(squash=torch.relu), "the new part goes through tanh, not relu"
    ),
    Mistake(
        _step(mix=lambda n, h, z: (1 - z) * n),
        "the old state is lost: add z * h",
    ),
    Mistake(
        _step(mix=lambda n, h, z: h + (1 - z) * n),
        "the old state is kept whole: its share is z",
    ),
    Mistake(
        _step(mix=lambda n, h, z: torch.tanh((1 - z) * n + z * h)),
        "the new state goes through another tanh: only n does",
    ),
    Mistake(
        _step(
            rows=lambda m: (
                m.view(-1, 3, m.shape[1]).transpose(0, 1).flatten(0, 1)
            )
        ),
        "every third row is taken: the rows of r stand together, then those "
        "of z, then of n; chunk(3) parts them",
    ),
]


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
            *STEP,
        ],
        praise="as nn.GRUCell has it",
    )
