"""Checks of lesson 03's exercises."""

import math

import torch

from attn_course.checks.engine import (
    Case,
    Mistake,
    Verdict,
    check,
    check_value,
)
from attn_course.checks.inputs import normal


def first_word(answer) -> Verdict:
    """Exercise 1: the causal output for "man" in "man bites dog"."""
    return check_value(
        answer,
        [2.0, 4.0],
        praise="one key, weight 1, its own value; its score does not matter",
        mistakes=[
            (
                [2.5, 4.0],
                'this looks ahead at "bites": the first word sees itself only',
            ),
            (
                [1.7448, 2.9930],
                "this looks ahead at both later words: the first word sees "
                "itself only",
            ),
            (
                [0.4965, 0.9930],
                "the later words were taken out after the softmax: the "
                "weights that stay must sum to 1",
            ),
            ([1.0, 0.0], 'that is the key of "man": weights mix the values'),
            ([1.0, 1.0], 'that is the query of "man": weights mix the values'),
            ([3.0, 4.0], 'that is the value of "bites", a later word'),
            ([1.0, 2.0], 'that is the value of "dog", a later word'),
            ([0.0, 0.0], "a word may attend to itself, so it is not empty"),
            (
                [1.4142, 2.8284],
                "the value was multiplied by the score: multiply by the "
                "weight, which is 1",
            ),
            (
                [2.0, 10 / 3],
                "that is the plain average of all values; what may the first "
                "word see?",
            ),
        ],
    )


def _softmax(scores):
    return torch.softmax(scores, dim=-1)


def _allowed(n):
    return torch.ones(n, n, dtype=torch.bool).tril()


def _oracle_attention(x, W_q, W_k, W_v):
    output = []
    size = W_k.shape[1]
    for i in range(len(x)):
        scores = [
            (x[i] @ W_q) @ (x[j] @ W_k) / math.sqrt(size) for j in range(i + 1)
        ]
        powers = [torch.exp(score) for score in scores]
        total = sum(powers)
        output.append(
            sum(p / total * (x[j] @ W_v) for j, p in enumerate(powers))
        )
    return torch.stack(output)


def _project(fn):
    """Make a mistake from a function of Q, K, V."""
    return lambda x, q, k, v: fn(x @ q, x @ k, x @ v)


def _causal(scores, dim=-1):
    scores = scores.masked_fill(~_allowed(scores.shape[-1]), -math.inf)
    return torch.softmax(scores, dim)


def _words(length, dim, size):
    generator = torch.Generator().manual_seed(length + 10 * dim + 100 * size)
    shapes = ((length, dim), (dim, size), (dim, size), (dim, size))
    return tuple(
        torch.randn(*shape, generator=generator, dtype=torch.float64)
        for shape in shapes
    )


HAND = (
    torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0], [1.0, 1.0, 0.0]]),
    torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]),
    torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]),
    torch.tensor([[0.0, 1.0], [2.0, 3.0], [1.0, 1.0]]),
)


def causal_self_attention(answer) -> Verdict:
    """Exercise 2: causal self-attention from words and three matrices."""
    root = math.sqrt
    return check(
        answer,
        oracle=_oracle_attention,
        cases=[
            Case(HAND, '"dog bites man"'),
            Case(_words(4, 4, 4), "four words, dim 4, size 4"),
            Case(_words(5, 6, 3), "five words, dim 6, size 3"),
            Case(_words(1, 3, 2), "a single word"),
        ],
        mistakes=[
            Mistake(
                _project(
                    lambda q, k, v: _softmax(q @ k.T / root(k.shape[1])) @ v
                ),
                "every word sees the later words: the causal mask is missing",
            ),
            Mistake(
                _project(
                    lambda q, k, v: (
                        _softmax(
                            (q @ k.T / root(k.shape[1])).masked_fill(
                                _allowed(len(q)), -math.inf
                            )
                        )
                        @ v
                    )
                ),
                "the mask is the wrong way round: it hides the past and the "
                "word itself; mark the later words with triu(1)",
            ),
            Mistake(
                _project(
                    lambda q, k, v: (
                        _softmax(
                            (q @ k.T / root(k.shape[1])).masked_fill(
                                _allowed(len(q)).T, -math.inf
                            )
                        )
                        @ v
                    )
                ),
                "the mask hides the word itself: use triu(1), not triu()",
            ),
            Mistake(
                _project(
                    lambda q, k, v: (
                        _softmax(
                            (q @ k.T / root(k.shape[1])).masked_fill(
                                ~_allowed(len(q)).T, -math.inf
                            )
                        )
                        @ v
                    )
                ),
                "the mask is the wrong way round: it hides the earlier words "
                "and shows the later ones",
            ),
            Mistake(
                _project(
                    lambda q, k, v: (
                        _softmax(
                            (q @ k.T / root(k.shape[1])).masked_fill(
                                ~_allowed(len(q)), 0.0
                            )
                        )
                        @ v
                    )
                ),
                "a score of 0 still gets weight: fill with -inf",
            ),
            Mistake(
                _project(
                    lambda q, k, v: (
                        (
                            _softmax(q @ k.T / root(k.shape[1]))
                            * _allowed(len(q))
                        )
                        @ v
                    )
                ),
                "the mask comes after the softmax, so the rows no longer sum "
                "to 1: mask the scores, before it",
            ),
            Mistake(
                _project(lambda q, k, v: _causal(q @ k.T) @ v),
                "the scores are not scaled: divide by sqrt(size)",
            ),
            Mistake(
                _project(lambda q, k, v: _softmax(q @ k.T) @ v),
                "mask and scale are both missing: divide by sqrt(size), then "
                "hide the later words",
            ),
            Mistake(
                _project(lambda q, k, v: _causal(q @ k.T / k.shape[1]) @ v),
                "it divides by size: divide by its square root",
            ),
            Mistake(
                lambda x, q, k, v: (
                    _causal((x @ q) @ (x @ k).T / root(x.shape[1])) @ (x @ v)
                ),
                "it divides by sqrt(dim), the size of the words: use the size "
                "of the keys",
            ),
            Mistake(
                lambda x, q, k, v: (
                    _causal((x @ q) @ (x @ k).T / root(len(x))) @ (x @ v)
                ),
                "it divides by sqrt(length): use the size of the keys",
            ),
            Mistake(
                _project(
                    lambda q, k, v: _causal(q @ k.T / root(k.shape[1]), 0) @ v
                ),
                "the softmax runs over the queries: use dim=-1, the keys",
            ),
            Mistake(
                _project(
                    lambda q, k, v: _causal(k @ q.T / root(k.shape[1])) @ v
                ),
                "query and key are swapped: queries stand on the rows, "
                "Q @ K.T",
            ),
            Mistake(
                _project(
                    lambda q, k, v: _causal(q @ k.T / root(k.shape[1])) @ k
                ),
                "it mixes the keys: mix the values",
            ),
            Mistake(
                _project(lambda q, k, v: _causal(q @ k.T / root(k.shape[1]))),
                "these are the weights: multiply them with the values",
            ),
            Mistake(
                lambda x, q, k, v: (
                    _causal(x @ x.T / root(k.shape[1])) @ (x @ v)
                ),
                "it compares the words themselves: compare their queries with "
                "their keys",
            ),
            Mistake(
                lambda x, q, k, v: (
                    _causal((x @ q) @ (x @ k).T / root(k.shape[1])) @ x
                ),
                "it mixes the words themselves: mix their values, x @ W_v",
            ),
        ],
        praise="every word asks itself and the past, at any length and size",
    )


def _oracle_alibi(scores, slope):
    length = scores.shape[-1]
    rows = []
    for matrix in scores.reshape(-1, length, length):
        for i in range(length):
            powers = [
                torch.exp(matrix[i, j] - slope * (i - j)) for j in range(i + 1)
            ]
            total = sum(powers)
            rest = [torch.zeros_like(total)] * (length - i - 1)
            rows.append(torch.stack([p / total for p in powers] + rest))
    return torch.stack(rows).reshape(scores.shape)


def _behind(scores):
    place = torch.arange(scores.shape[-1])
    return place[:, None] - place[None, :]


def alibi(answer) -> Verdict:
    """Exercise 3: causal ALiBi weights from scores."""
    return check(
        answer,
        oracle=_oracle_alibi,
        cases=[
            Case((torch.zeros(3, 3), 0.5), "three equal scores, slope 1/2"),
            Case((normal(4, 4), 0.25), "four words, slope 1/4"),
            Case((normal(2, 3, 5, 5), 2.0), "a batch of shape (2, 3, 5, 5)"),
        ],
        mistakes=[
            Mistake(
                lambda s, m: _causal(s),
                "the slope is not used: distance must cost something",
            ),
            Mistake(
                lambda s, m: _causal(s + m * _behind(s)),
                "it rewards distance: subtract slope times distance",
            ),
            Mistake(
                lambda s, m: _softmax(s - m * _behind(s).abs()),
                "later words get weight: the causal mask is missing",
            ),
            Mistake(
                lambda s, m: _softmax(s - m * _behind(s)),
                "later words get weight, even a bonus: the causal mask is "
                "missing",
            ),
            Mistake(
                lambda s, m: _causal(s) - m * _behind(s),
                "the cost is taken off the weights, after the softmax: take "
                "it off the scores",
            ),
            Mistake(
                lambda s, m: _causal(s) * torch.exp(-m * _behind(s)),
                "the rows do not sum to 1: take the cost off the scores, "
                "before the softmax",
            ),
            Mistake(
                lambda s, m: _causal(s - m * _behind(s) ** 2),
                "it squares the distance: ALiBi's cost is linear",
            ),
            Mistake(
                lambda s, m: _causal(s * (1 - m * _behind(s))),
                "it multiplies the scores by the cost: subtract it",
            ),
            Mistake(
                lambda s, m: _causal(s - m),
                "it subtracts the slope from every score, which softmax does "
                "not see: multiply it by the distance",
            ),
            Mistake(
                lambda s, m: _causal(s - m * (_behind(s) > 0)),
                "every earlier word pays the same: multiply the slope by the "
                "distance",
            ),
            Mistake(
                lambda s, m: _softmax((s - m * _behind(s)).tril()),
                "a score of 0 still gets weight: fill with -inf",
            ),
            Mistake(
                lambda s, m: _softmax(
                    (s - m * _behind(s)).masked_fill(_behind(s) > 0, -math.inf)
                ),
                "the mask is the wrong way round: it hides the past",
            ),
            Mistake(
                lambda s, m: _causal(s * m),
                "the scores are multiplied by the slope: subtract slope times "
                "distance",
            ),
            Mistake(
                lambda s, m: (s - m * _behind(s)).masked_fill(
                    _behind(s) < 0, -math.inf
                ),
                "these are scores: take the softmax",
            ),
            Mistake(
                lambda s, m: _causal(s - m * _behind(s), -2),
                "the softmax runs over the queries: use dim=-1, the keys",
            ),
            Mistake(
                lambda s, m: _softmax(s - m * _behind(s)) * (_behind(s) >= 0),
                "the mask comes after the softmax, so the rows no longer sum "
                "to 1: mask the scores, before it",
            ),
            Mistake(
                lambda s, m: _softmax(
                    (s - m * _behind(s)).masked_fill(
                        _behind(s) <= 0, -math.inf
                    )
                ),
                "the mask hides the word itself: it may attend to itself",
            ),
        ],
        praise="the nearest costs least, and nobody looks ahead",
    )


def _oracle_rotation(x, base=10000.0):
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


def _turn(x, angle, *, sign=1.0, halves=False):
    """Turn the pairs of x, in a way that may be a mistake."""
    dim = x.shape[-1]
    cos, sin = angle.cos(), sign * angle.sin()
    if halves:
        a, b = x[:, : dim // 2], x[:, dim // 2 :]
        return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)
    a, b = x[:, 0::2], x[:, 1::2]
    return torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)


def _angle(x, *, start=0, base=10000.0, power=2.0, sign=-1.0):
    length, dim = x.shape
    place = torch.arange(start, start + length, dtype=torch.float64)
    pair = torch.arange(dim // 2, dtype=torch.float64)
    return place[:, None] * base ** (sign * power * pair / dim)


def _unstacked(x):
    angle = _angle(x)
    a, b = x[:, 0::2], x[:, 1::2]
    return torch.cat(
        [a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()],
        dim=-1,
    )


def _sheared(x):
    angle = _angle(x)
    a, b = x[:, 0::2], x[:, 1::2]
    return torch.stack([a * angle.cos(), b * angle.sin()], -1).flatten(-2)


def _added(x):
    angle = _angle(x)
    return x + torch.stack([angle.sin(), angle.cos()], -1).flatten(-2)


def _signs_lost(x):
    """Add the sines in both new numbers."""
    angle = _angle(x)
    a, b = x[:, 0::2], x[:, 1::2]
    first = a * angle.cos() + b * angle.sin()
    second = a * angle.sin() + b * angle.cos()
    return torch.stack([first, second], -1).flatten(-2)


def _swapped(x):
    """Put the second number of each pair first."""
    turned = _turn(x, _angle(x))
    return torch.stack([turned[:, 1::2], turned[:, 0::2]], -1).flatten(-2)


def _in_turn(x):
    """Use the turned a for the turned b."""
    angle = _angle(x)
    a, b = x[:, 0::2], x[:, 1::2]
    a = a * angle.cos() - b * angle.sin()
    b = a * angle.sin() + b * angle.cos()
    return torch.stack([a, b], -1).flatten(-2)


def rotation(answer) -> Verdict:
    """Exercise 4: RoPE, pair by pair."""
    return check(
        answer,
        oracle=_oracle_rotation,
        cases=[
            Case(
                (torch.tensor([[1.0, 0.0], [1.0, 0.0]]),),
                "the query [1, 0] at places 0 and 1",
            ),
            Case((normal(4, 4),), "four words of size 4"),
            Case((normal(7, 6),), "seven words of size 6"),
            Case((normal(1, 8),), "a single word of size 8"),
        ],
        mistakes=[
            Mistake(
                lambda x: _turn(x, _angle(x), sign=-1.0),
                "it turns clockwise: look at the signs of the two sines",
            ),
            Mistake(
                lambda x: _turn(x, _angle(x, start=1)),
                "it counts places from 1: the first row is at place 0, and "
                "is not turned",
            ),
            Mistake(
                lambda x: _turn(x, _angle(x), halves=True),
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
                "every pair turns at the same speed: divide by "
                "10000^(2c / dim)",
            ),
            Mistake(
                lambda x: _turn(x, _angle(x, power=1.0)),
                "the exponent is c / dim: it has to be 2c / dim",
            ),
            Mistake(
                lambda x: _turn(x, _angle(x, power=4.0)),
                "the exponent is twice too large: pair c has 2c / dim, and "
                "torch.arange(0, dim, 2) is 2c already",
            ),
            Mistake(
                lambda x: _turn(x, _angle(x, sign=1.0)),
                "later pairs turn faster: divide by 10000^(2c / dim), do not "
                "multiply",
            ),
            Mistake(
                lambda x: _turn(x, _angle(x, base=1000.0)),
                "the base is 1000: here it is 10000",
            ),
            Mistake(
                lambda x: _turn(x, _angle(x) * 180 / math.pi),
                "the angle is turned to degrees: sin and cos take radians",
            ),
            Mistake(
                _signs_lost,
                "the first number needs a minus: a cos t - b sin t",
            ),
            Mistake(_swapped, "the two numbers of each pair are swapped"),
            Mistake(
                _sheared,
                "a pair has to be turned as a whole: both new numbers use "
                "both old ones",
            ),
            Mistake(
                _in_turn,
                "the second line uses the new a: keep the old one until both "
                "are done",
            ),
            Mistake(
                _added,
                "it adds sines and cosines: that is door 1; here x is turned",
            ),
            Mistake(
                lambda x: x * 1.0,
                "nothing is turned: the angle has to grow with the row",
            ),
        ],
        praise="lengths are kept, and only distances will count",
    )
