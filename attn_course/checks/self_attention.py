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


def _score(q, k):
    return q @ k.T / math.sqrt(k.shape[1])


def _hide(scores, where, fill=-math.inf):
    return _softmax(scores.masked_fill(where, fill))


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


def _mix(fn):
    """Make a mistake from the weights that a function of Q, K gives."""
    return _project(lambda q, k, v: fn(q, k) @ v)


def _causal(scores, dim=-1):
    scores = scores.masked_fill(~_allowed(scores.shape[-1]), -math.inf)
    return torch.softmax(scores, dim)


def _words(length, dim, size):
    shapes = ((length, dim), (dim, size), (dim, size), (dim, size))
    return tuple(normal(*shape, seed=n) for n, shape in enumerate(shapes))


SENTENCE = (
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
            Case(SENTENCE, '"dog bites man"'),
            Case(_words(4, 4, 4), "four words, dim 4, size 4"),
            Case(_words(5, 6, 3), "five words, dim 6, size 3"),
            Case(_words(1, 3, 2), "a single word"),
        ],
        mistakes=[
            Mistake(
                _mix(lambda q, k: _softmax(_score(q, k))),
                "every word sees the later words: the causal mask is missing",
            ),
            Mistake(
                _mix(lambda q, k: _hide(_score(q, k), _allowed(len(q)))),
                "the mask is the wrong way round: it hides the past and the "
                "word itself; mark the later words with triu(1)",
            ),
            Mistake(
                _mix(lambda q, k: _hide(_score(q, k), _allowed(len(q)).T)),
                "the mask hides the word itself: use triu(1), not triu()",
            ),
            Mistake(
                _mix(lambda q, k: _hide(_score(q, k), ~_allowed(len(q)).T)),
                "the mask is the wrong way round: it hides the earlier words "
                "and shows the later ones",
            ),
            Mistake(
                _mix(lambda q, k: _hide(_score(q, k), ~_allowed(len(q)), 0.0)),
                "a score of 0 still gets weight: fill with -inf",
            ),
            Mistake(
                _mix(lambda q, k: _softmax(_score(q, k)) * _allowed(len(q))),
                "the mask comes after the softmax, so the rows no longer sum "
                "to 1: mask the scores, before it",
            ),
            Mistake(
                _mix(lambda q, k: _causal(q @ k.T)),
                "the scores are not scaled: divide by sqrt(size)",
            ),
            Mistake(
                _mix(lambda q, k: _softmax(q @ k.T)),
                "mask and scale are both missing: divide by sqrt(size), then "
                "hide the later words",
            ),
            Mistake(
                _mix(lambda q, k: _causal(q @ k.T / k.shape[1])),
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
                _mix(lambda q, k: _causal(_score(q, k), 0)),
                "the softmax runs over the queries: use dim=-1, the keys",
            ),
            Mistake(
                _mix(lambda q, k: _causal(_score(k, q))),
                "query and key are swapped: queries stand on the rows, "
                "Q @ K.T",
            ),
            Mistake(
                _project(lambda q, k, v: _causal(_score(q, k)) @ k),
                "it mixes the keys: mix the values",
            ),
            Mistake(
                _project(lambda q, k, v: _causal(_score(q, k))),
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
    position = torch.arange(scores.shape[-1])
    return position[:, None] - position[None, :]


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
                lambda s, m: _hide(s - m * _behind(s), _behind(s) > 0),
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
                lambda s, m: _hide(s - m * _behind(s), _behind(s) <= 0),
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


def rotation(answer) -> Verdict:
    """Exercise 4: RoPE, pair by pair."""
    return check(
        answer,
        oracle=_oracle_rotation,
        cases=[
            Case(
                (torch.tensor([[1.0, 0.0], [1.0, 0.0]]),),
                "the query [1, 0] at positions 0 and 1",
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
