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
from attn_course.checks.rotations import MISTAKES, rotate


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


ATTENTION = [
    Mistake(
        _mix(lambda q, k: _hide(_score(q, k), _score(q, k).tril() == 0)),
        "every score of 0 is hidden, a real one too: choose by position, "
        "triu(1), not by the number",
    ),
    Mistake(
        _mix(lambda q, k: _score(q, k).tril()),
        "the softmax is missing: the scores are used as weights",
    ),
    Mistake(
        _mix(lambda q, k: _causal(_score(q, k)).T),
        "the weights are transposed: weights @ V, queries on the rows",
    ),
    Mistake(
        _mix(lambda q, k: _causal(q @ k.T * math.sqrt(k.shape[1]))),
        "it multiplies by sqrt(size): divide",
    ),
    Mistake(
        _mix(lambda q, k: _causal(q @ k.T) / math.sqrt(k.shape[1])),
        "it divides after the softmax, so the rows no longer sum to 1: divide "
        "the scores, before it",
    ),
    Mistake(
        _mix(
            lambda q, k: _hide(_score(q, k), _allowed(len(q)).T).nan_to_num()
        ),
        "no word sees itself, so the first has nothing: keys up to i, itself "
        "included",
    ),
    Mistake(
        _mix(
            lambda q, k: _hide(
                _score(q, k), torch.ones_like(q @ k.T).triu(2) > 0
            )
        ),
        "the next word is still seen: triu(1), not triu(2)",
    ),
    *(
        Mistake(
            _mix(
                lambda q, k, fill=fill: _hide(
                    _score(q, k), ~_allowed(len(q)), fill
                )
            ),
            f"a score of {fill:g} still gets weight: fill with -inf",
        )
        for fill in (-1.0, -10.0)
    ),
    *(
        Mistake(
            _mix(lambda q, k, scale=scale: _softmax(q @ k.T / scale(k))),
            "the causal mask is missing, and the divisor should be sqrt(size)",
        )
        for scale in (lambda k: k.shape[1], lambda k: math.sqrt(len(k)))
    ),
    Mistake(
        _mix(lambda q, k: torch.softmax(_score(q, k), 0)),
        "the causal mask is missing, and the softmax runs over the queries: "
        "use dim=-1, the keys",
    ),
    *(
        Mistake(
            lambda x, q, k, v, one=one: (
                _causal(_score(x @ one(q, k), x @ one(q, k))) @ (x @ v)
            ),
            "queries and keys come from one matrix: W_q makes the queries, W_k "
            "the keys",
        )
        for one in (lambda q, k: q, lambda q, k: k)
    ),
]


def causal_self_attention(answer) -> Verdict:
    """Exercise 2: causal self-attention from words and three matrices."""
    root = math.sqrt
    words, *matrices = _words(4, 3, 2)
    blank = (words * torch.tensor([[1.0], [0.0], [1.0], [1.0]]), *matrices)
    return check(
        answer,
        oracle=_oracle_attention,
        cases=[
            Case(SENTENCE, '"dog bites man"'),
            Case(_words(4, 4, 4), "four words, dim 4, size 4"),
            Case(_words(5, 6, 3), "five words, dim 6, size 3"),
            Case(_words(1, 3, 2), "a single word"),
            Case(blank, "four words, the second a vector of zeros"),
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
            *ATTENTION,
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


ALIBI = [
    Mistake(
        lambda s, m: _causal(s * -m * _behind(s)),
        "the scores are multiplied by the cost: subtract slope times distance",
    ),
    Mistake(
        lambda s, m: _causal(s - _behind(s)),
        "each step costs 1: it costs one slope",
    ),
    Mistake(
        lambda s, m: _causal(s - _behind(s) / m),
        "it divides by the slope: each step costs one slope, so multiply",
    ),
    Mistake(
        lambda s, m: _causal(s - m ** _behind(s).clamp(min=0)),
        "the slope is raised to the power of the distance: multiply",
    ),
    Mistake(
        lambda s, m: _causal(s - m * _behind(s) / s.shape[-1]),
        "the distance is divided by the length: a step costs one whole slope",
    ),
    Mistake(
        lambda s, m: _causal(s / math.sqrt(s.shape[-1]) - m * _behind(s)),
        "the scores are divided by sqrt(length): they come ready, only "
        "subtract the cost",
    ),
    *(
        Mistake(
            lambda s, m, far=far: _softmax(s + m * far(_behind(s))),
            "two slips: it rewards distance, and the causal mask is missing",
        )
        for far in (torch.clone, torch.abs)
    ),
    Mistake(
        lambda s, m: _hide(s - m * _behind(s), _behind(s) < -1),
        "the next word is still seen: word i may attend to words j <= i",
    ),
    Mistake(
        lambda s, m: torch.exp(s - m * _behind(s)).tril(),
        "the rows do not sum to 1: divide by their sum",
    ),
    Mistake(
        lambda s, m: _causal(s - m * _behind(s), 1),
        "softmax over dim=1 is over the keys only of a single matrix: use "
        "dim=-1",
    ),
    Mistake(
        lambda s, m: (s - m * _behind(s)).tril(),
        "these are scores, and hidden by 0: fill with -inf and take the "
        "softmax",
    ),
    Mistake(
        lambda s, m: _softmax(_causal(s) - m * _behind(s)),
        "softmax is taken twice, and the cost comes between: subtract it from "
        "the scores, then take softmax once",
    ),
]


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
                "the slope has no effect: distance must cost something, and "
                "what is the same for a whole row, softmax does not see",
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
            *ALIBI,
        ],
        praise="the nearest costs least, and nobody looks ahead",
    )


def rotation(answer) -> Verdict:
    """Exercise 4: RoPE, pair by pair."""
    return check(
        answer,
        oracle=rotate,
        cases=[
            Case(
                (torch.tensor([[1.0, 0.0], [1.0, 0.0]]),),
                "the query [1, 0] at positions 0 and 1",
            ),
            Case((normal(4, 4),), "four words of size 4"),
            Case((normal(7, 6),), "seven words of size 6"),
            Case((normal(1, 8),), "a single word of size 8"),
        ],
        mistakes=MISTAKES,
        praise="lengths are kept, and only distances will count",
    )
