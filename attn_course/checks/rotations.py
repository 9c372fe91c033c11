"""Rotation by position, and wrong ways to turn (lesson 03)."""

import math

import torch

from attn_course.checks.engine import Mistake


def rotate(x, base=10000.0):
    """Turn each pair of neighbours by its row's angle."""
    length, dim = x.shape
    rows = []
    for i in range(length):
        row = []
        for c in range(dim // 2):
            t = i / base ** (2 * c / dim)
            a, b = x[i, 2 * c], x[i, 2 * c + 1]
            row += [
                a * math.cos(t) - b * math.sin(t),
                a * math.sin(t) + b * math.cos(t),
            ]
        rows.append(torch.stack(row))
    return torch.stack(rows)


def _angle(x, *, start=0, base=10000.0, power=2.0, sign=-1.0):
    length, dim = x.shape
    position = torch.arange(start, start + length).float()
    pair = torch.arange(dim // 2).float()
    return position[:, None] * base ** (sign * power * pair / dim)


def _parts(x, angle=None):
    """Return the numbers of each pair, and the cosine and sine of its turn."""
    angle = _angle(x) if angle is None else angle
    return x[:, 0::2], x[:, 1::2], angle.cos(), angle.sin()


def _join(a, b):
    """Put the numbers of each pair side by side again."""
    return torch.stack([a, b], -1).flatten(-2)


def _turn(x, angle, *, sign=1.0):
    a, b, cos, sin = _parts(x, angle)
    return _join(a * cos - sign * b * sin, sign * a * sin + b * cos)


def _halves(x):
    """Pair number c with number c + dim / 2."""
    (a, b), (_, _, cos, sin) = x.chunk(2, dim=-1), _parts(x)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


def _unstacked(x):
    a, b, cos, sin = _parts(x)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


def _sheared(x):
    a, b, cos, sin = _parts(x)
    return _join(a * cos, b * sin)


def _added(x):
    _, _, cos, sin = _parts(x)
    return x + _join(sin, cos)


def _signs_lost(x):
    """Add the sines in both new numbers."""
    a, b, cos, sin = _parts(x)
    return _join(a * cos + b * sin, a * sin + b * cos)


def _swapped(x):
    """Put the second number of each pair first."""
    turned = _turn(x, _angle(x))
    return _join(turned[:, 1::2], turned[:, 0::2])


def _in_turn(x):
    """Use the turned a for the turned b."""
    a, b, cos, sin = _parts(x)
    a = a * cos - b * sin
    return _join(a, a * sin + b * cos)


def _signed(x, *signs):
    """Turn with the signs of the four products given."""
    a, b, cos, sin = _parts(x)
    p, q, r, s = signs
    return _join(p * a * cos + q * b * sin, r * a * sin + s * b * cos)


def _in_turn_b(x):
    """Use the turned b for the turned a."""
    a, b, cos, sin = _parts(x)
    b = a * sin + b * cos
    return _join(a * cos - b * sin, b)


def _halves_woven(x):
    """Pair number c with number c + dim / 2, and put pairs side by side."""
    return _join(*_halves(x).chunk(2, dim=-1))


def _blocks(x):
    """Turn neighbours with tables that repeat all speeds, one after another."""
    angle = _angle(x).repeat(1, 2)
    turned = _join(-x[:, 1::2], x[:, 0::2])
    return x * angle.cos() + turned * angle.sin()


def _numbered(x):
    """Give each number, not each pair, an exponent."""
    position, number = (torch.arange(size) for size in x.shape)
    angle = position[:, None] / 10000 ** (number / x.shape[1])
    return x * angle.cos() + _join(-x[:, 1::2], x[:, 0::2]) * angle.sin()


def _same_products(x):
    """Use the products of the first number for the second, too."""
    a, b, cos, sin = _parts(x)
    return _join(a * cos - b * sin, a * cos + b * sin)


def _mixed_pairs(x):
    """Turn halves by the angles of neighbours."""
    angle = _angle(x).repeat_interleave(2, dim=-1)
    a, b = x.chunk(2, dim=-1)
    return x * angle.cos() + torch.cat([-b, a], dim=-1) * angle.sin()


def _some(x, where, fill):
    """Turn some of the pairs only; ``fill`` makes the other numbers."""
    chosen = torch.zeros(x.shape[1] // 2, dtype=torch.bool)
    chosen[where] = True
    return torch.where(chosen.repeat_interleave(2), rotate(x), fill * x)


MISTAKES = [
    Mistake(
        _mixed_pairs,
        "two ways are mixed: angles of neighbours, but number c turned with "
        "number c + dim / 2; neighbours 2c and 2c + 1 are a pair in both",
    ),
    Mistake(
        _same_products,
        "the second number is a sin t + b cos t, not a cos t + b sin t",
    ),
    Mistake(
        lambda x: torch.cat([rotate(x)[:, 0::2], rotate(x)[:, 1::2]]),
        "all b's stand below all a's: stack with dim=-1, then flatten(-2)",
    ),
    Mistake(
        _numbered,
        "each number has an angle of its own: the two of a pair share 2c / "
        "dim, torch.arange(0, dim, 2)",
    ),
    Mistake(
        lambda x: _turn(x, _angle(x).flip(1)),
        "the speeds stand in reverse order: pair 0 turns fastest",
    ),
    Mistake(
        lambda x: _turn(x, _angle(x) * 10000 ** (-2 / x.shape[1])),
        "pairs are counted from 1: the first, c = 0, turns by i itself",
    ),
    Mistake(
        lambda x: _turn(x, 2 * math.pi * _angle(x)),
        "the angles are multiplied by 2 pi: i / 10000^(2c / dim) is in radians",
    ),
    Mistake(
        lambda x: _turn(_join(x[:, 1::2], x[:, 0::2]), _angle(x)),
        "a and b are exchanged: a is the even number 2c, b is 2c + 1",
    ),
    Mistake(
        lambda x: x + rotate(x),
        "the turned numbers are added to x: return them alone",
    ),
    *(
        Mistake(
            lambda x, half=half: rotate(x)[:, half::2],
            "only one number of each pair is returned: both, side by side",
        )
        for half in (0, 1)
    ),
    Mistake(
        lambda x: rotate(x) * torch.tensor([1.0, 0.0]).repeat(x.shape[1] // 2),
        "the second numbers stay 0: fill b's places too, [:, 1::2]",
    ),
    Mistake(
        lambda x: torch.stack([rotate(x)[:, 0::2], rotate(x)[:, 1::2]]),
        "all a's stand first, as a matrix of their own: stack with dim=-1, then "
        "flatten(-2)",
    ),
    Mistake(
        lambda x: _turn(x, _angle(x), sign=-1.0),
        "it turns clockwise: look at the signs of the two sines",
    ),
    Mistake(
        lambda x: _turn(x, _angle(x, start=1)),
        "it counts positions from 1: the first row is at position 0, and "
        "is not turned",
    ),
    Mistake(
        _halves,
        "it pairs number c with number c + dim / 2: here neighbours "
        "2c and 2c + 1 are a pair",
    ),
    Mistake(
        _unstacked,
        "the turned numbers are put back in the wrong order: a and b "
        "of a pair must stand side by side (stack, then flatten)",
    ),
    Mistake(
        lambda x: _turn(x, _angle(x, power=0.0)),
        "every pair turns at the same speed: divide by 10000^(2c / dim)",
    ),
    Mistake(
        lambda x: _turn(x, _angle(x, power=1.0)),
        "the exponent is c / dim, or the base 100: divide by 10000^(2c / dim)",
    ),
    Mistake(
        lambda x: _turn(x, _angle(x, power=4.0)),
        "the exponent is twice too large: pair c has 2c / dim, and "
        "torch.arange(0, dim, 2) is 2c already",
    ),
    Mistake(
        lambda x: _turn(x, _angle(x, sign=1.0)),
        "later pairs turn faster: divide by 10000^(2c / dim), do not multiply",
    ),
    Mistake(
        lambda x: _turn(x, _angle(x, base=1000.0)),
        "the base is 1000: here it is 10000",
    ),
    Mistake(
        lambda x: _turn(x, _angle(x) * 180 / math.pi),
        "the angle is turned to degrees: sin and cos take radians",
    ),
    Mistake(_signs_lost, "the first number needs a minus: a cos t - b sin t"),
    Mistake(_swapped, "the two numbers of each pair are swapped"),
    Mistake(
        _sheared,
        "a pair has to be turned as a whole: both new numbers use "
        "both old ones",
    ),
    Mistake(
        _in_turn,
        "the second line uses the new a: keep the old one until both are done",
    ),
    Mistake(
        _added, "it adds sines and cosines: that is door 1; here x is turned"
    ),
    Mistake(
        lambda x: x * 1.0,
        "nothing is turned: the angle has to grow with the row",
    ),
    Mistake(
        lambda x: _turn(x, _angle(x) * math.pi / 180),
        "the angles are taken for degrees and made radians: they are radians "
        "already",
    ),
    Mistake(
        lambda x: _turn(x, math.pi / 2 - _angle(x)),
        "sine and cosine are exchanged: a cos t - b sin t, a sin t + b cos t",
    ),
    *(
        Mistake(
            lambda x, fill=fill: _some(x, slice(-1), fill),
            "the last pair is left out: c runs up to dim / 2 - 1",
        )
        for fill in (0, 1)
    ),
    Mistake(
        lambda x: _some(x, slice(1), 0),
        "only the first pair is turned: every pair has its own angle",
    ),
    Mistake(
        lambda x: _some(x, slice(1), 1),
        "only the first pair is turned, or the others too little to see: every "
        "pair turns, by i / 10000^(2c / dim), the exponent divided by dim",
    ),
    *(
        Mistake(
            lambda x, base=base: _turn(x, _angle(x, base=base)),
            f"the base is {base:g}: here it is 10000",
        )
        for base in (100000.0, 500000.0)
    ),
    Mistake(
        lambda x: _turn(x, _angle(x[:1], start=1).expand(len(x), -1)),
        "every row is turned alike: multiply by the row's number i",
    ),
    Mistake(
        lambda x: _turn(x, _angle(x).flip(0)),
        "positions are counted from the end: the first row is at position 0",
    ),
    Mistake(
        _halves_woven,
        "it pairs number c with number c + dim / 2, and then puts the pairs "
        "side by side: neighbours 2c and 2c + 1 are a pair before, too",
    ),
    Mistake(
        _blocks,
        "cosines and sines are repeated as a block, so the two numbers of a "
        "pair get different angles: repeat_interleave(2, dim=-1)",
    ),
    Mistake(
        _in_turn_b,
        "the first line uses the new b: keep the old one until both are done",
    ),
    *(
        Mistake(
            lambda x, signs=signs: _signed(x, *signs),
            "a sign is wrong: a cos t - b sin t, a sin t + b cos t",
        )
        for signs in (
            (1, -1, 1, -1),
            (1, -1, -1, 1),
            (1, 1, 1, -1),
            (-1, 1, 1, 1),
        )
    ),
    Mistake(
        lambda x: rotate(x).unflatten(-1, (-1, 2)),
        "each pair is still a row of its own: join the last two dimensions, "
        "flatten(-2)",
    ),
    Mistake(
        lambda x: x * _angle(x).repeat_interleave(2, dim=-1),
        "it multiplies by the angle: turn by it, with cosine and sine",
    ),
]
