"""Checks of lesson 03's exercises."""

import math

import torch

from attn_course.checks import distance_bias, rotations
from attn_course.checks.causal import allowed, causal, hide, soft
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


def _score(q, k):
    return q @ k.T / math.sqrt(k.shape[1])


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


def _words(length, dim, size):
    shapes = ((length, dim), (dim, size), (dim, size), (dim, size))
    return tuple(normal(*shape, seed=n) for n, shape in enumerate(shapes))


SENTENCE = (
    torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0], [1.0, 1.0, 0.0]]),
    torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]),
    torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]),
    torch.tensor([[0.0, 1.0], [2.0, 3.0], [1.0, 1.0]]),
)


def _last_lost(x, q, k, v):
    found = _oracle_attention(x, q, k, v)
    return torch.cat([found[:-1], 0 * found[-1:]])


ATTENTION = [
    Mistake(
        _mix(lambda q, k: hide(_score(q, k), allowed(len(q)).T, -1e9)),
        "the mask hides the word itself, and the first word then sees all "
        "evenly: use triu(1), not triu()",
    ),
    Mistake(
        _mix(lambda q, k: soft(_score(k, q))),
        "query and key are swapped, and the causal mask is missing: Q @ K.T, "
        "then hide the later words",
    ),
    Mistake(
        _last_lost,
        "the last word's output stays 0: the loop ends one too early",
    ),
    Mistake(
        _project(lambda q, k, v: causal(_score(q, v)) @ k),
        "keys and values are exchanged: the scores are of the keys, the mixture "
        "is of the values",
    ),
    Mistake(
        _mix(lambda q, k: torch.exp(_score(q, k)).tril()),
        "the weights of a row do not sum to 1: divide by their sum",
    ),
    Mistake(
        _mix(lambda q, k: torch.sigmoid(_score(q, k)).tril()),
        "it is a sigmoid, one score at a time: the weights of a row must share "
        "1 between them, softmax",
    ),
    Mistake(
        _mix(lambda q, k: causal(0 * _score(q, k))),
        "all words up to i weigh the same: the scores are not used",
    ),
    *(
        Mistake(
            _project(
                lambda q, k, v, over=over: v @ soft(q.T @ k / over(q, k))
            ),
            "Q.T @ K compares the numbers of the vectors: Q @ K.T compares the "
            "words",
        )
        for over in (
            lambda q, k: math.sqrt(k.shape[1]),
            lambda q, k: math.sqrt(len(k)),
        )
    ),
    Mistake(
        _project(lambda q, k, v: v + causal(_score(q, k)) @ v),
        "each word's own value is added once more: the weighted sum alone",
    ),
    *(
        Mistake(
            _project(
                lambda q, k, v, score=score: (
                    causal(score(q, k)) @ v * math.sqrt(k.shape[1])
                )
            ),
            "the output is multiplied by sqrt(size): divide the scores by it",
        )
        for score in (_score, lambda q, k: q @ k.T)
    ),
    Mistake(
        _mix(lambda q, k: hide(_score(q, k), _score(q, k).tril() == 0)),
        "every score of 0 is hidden, a real one too: choose by position, "
        "triu(1), not by the number",
    ),
    Mistake(
        _mix(lambda q, k: _score(q, k).tril()),
        "the softmax is missing: the scores are used as weights",
    ),
    Mistake(
        _mix(lambda q, k: causal(_score(q, k)).T),
        "the weights are transposed: weights @ V, queries on the rows",
    ),
    Mistake(
        _mix(lambda q, k: causal(q @ k.T * math.sqrt(k.shape[1]))),
        "it multiplies by sqrt(size): divide",
    ),
    Mistake(
        _mix(lambda q, k: causal(q @ k.T) / math.sqrt(k.shape[1])),
        "it divides after the softmax, so the rows no longer sum to 1: divide "
        "the scores, before it",
    ),
    Mistake(
        _mix(lambda q, k: hide(_score(q, k), allowed(len(q)).T).nan_to_num()),
        "no word sees itself, so the first has nothing: keys up to i, itself "
        "included",
    ),
    Mistake(
        _mix(
            lambda q, k: hide(
                _score(q, k), torch.ones_like(q @ k.T).triu(2) > 0
            )
        ),
        "the next word is still seen: triu(1), not triu(2)",
    ),
    *(
        Mistake(
            _mix(
                lambda q, k, fill=fill: hide(
                    _score(q, k), ~allowed(len(q)), fill
                )
            ),
            f"a score of {fill:g} still gets weight: fill with -inf",
        )
        for fill in (-1.0, -10.0)
    ),
    *(
        Mistake(
            _mix(lambda q, k, scale=scale: soft(q @ k.T / scale(k))),
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
                causal(_score(x @ one(q, k), x @ one(q, k))) @ (x @ v)
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
                _mix(lambda q, k: soft(_score(q, k))),
                "every word sees the later words: the causal mask is missing",
            ),
            Mistake(
                _mix(lambda q, k: hide(_score(q, k), allowed(len(q)))),
                "the mask is the wrong way round: it hides the past and the "
                "word itself; mark the later words with triu(1)",
            ),
            Mistake(
                _mix(lambda q, k: hide(_score(q, k), allowed(len(q)).T)),
                "the mask hides the word itself: use triu(1), not triu()",
            ),
            Mistake(
                _mix(lambda q, k: hide(_score(q, k), ~allowed(len(q)).T)),
                "the mask is the wrong way round: it hides the earlier words "
                "and shows the later ones",
            ),
            Mistake(
                _mix(lambda q, k: hide(_score(q, k), ~allowed(len(q)), 0.0)),
                "a score of 0 still gets weight: fill with -inf",
            ),
            Mistake(
                _mix(lambda q, k: soft(_score(q, k)) * allowed(len(q))),
                "the mask comes after the softmax, so the rows no longer sum "
                "to 1: mask the scores, before it",
            ),
            Mistake(
                _mix(lambda q, k: causal(q @ k.T)),
                "the scores are not scaled: divide by sqrt(size)",
            ),
            Mistake(
                _mix(lambda q, k: soft(q @ k.T)),
                "mask and scale are both missing: divide by sqrt(size), then "
                "hide the later words",
            ),
            Mistake(
                _mix(lambda q, k: causal(q @ k.T / k.shape[1])),
                "it divides by size: divide by its square root",
            ),
            Mistake(
                lambda x, q, k, v: (
                    causal((x @ q) @ (x @ k).T / root(x.shape[1])) @ (x @ v)
                ),
                "it divides by sqrt(dim), the size of the words: use the size "
                "of the keys",
            ),
            Mistake(
                lambda x, q, k, v: (
                    causal((x @ q) @ (x @ k).T / root(len(x))) @ (x @ v)
                ),
                "it divides by sqrt(length): use the size of the keys",
            ),
            Mistake(
                _mix(lambda q, k: causal(_score(q, k), 0)),
                "the softmax runs over the queries: use dim=-1, the keys",
            ),
            Mistake(
                _mix(lambda q, k: causal(_score(k, q))),
                "query and key are swapped: queries stand on the rows, "
                "Q @ K.T",
            ),
            Mistake(
                _project(lambda q, k, v: causal(_score(q, k)) @ k),
                "it mixes the keys: mix the values",
            ),
            Mistake(
                _project(lambda q, k, v: causal(_score(q, k))),
                "these are the weights: multiply them with the values",
            ),
            Mistake(
                lambda x, q, k, v: (
                    causal(x @ x.T / root(k.shape[1])) @ (x @ v)
                ),
                "it compares the words themselves: compare their queries with "
                "their keys",
            ),
            Mistake(
                lambda x, q, k, v: (
                    causal((x @ q) @ (x @ k).T / root(k.shape[1])) @ x
                ),
                "it mixes the words themselves: mix their values, x @ W_v",
            ),
            *ATTENTION,
        ],
        praise="every word asks itself and the past, at any length and size",
    )


def alibi(answer) -> Verdict:
    """Exercise 3: causal ALiBi weights from scores."""
    return check(
        answer,
        oracle=distance_bias.weights,
        cases=[
            Case((torch.zeros(3, 3), 0.5), "three equal scores, slope 1/2"),
            Case((normal(4, 4), 0.25), "four words, slope 1/4"),
            Case((normal(2, 3, 5, 5), 2.0), "a batch of shape (2, 3, 5, 5)"),
        ],
        mistakes=distance_bias.MISTAKES,
        praise="the nearest costs least, and nobody looks ahead",
    )


def rotation(answer) -> Verdict:
    """Exercise 4: RoPE, pair by pair."""
    return check(
        answer,
        oracle=rotations.rotate,
        cases=[
            Case(
                (torch.tensor([[1.0, 0.0], [1.0, 0.0]]),),
                "the query [1, 0] at positions 0 and 1",
            ),
            Case((normal(4, 4),), "four words of size 4"),
            Case((normal(7, 6),), "seven words of size 6"),
            Case((normal(1, 8),), "a single word of size 8"),
        ],
        mistakes=rotations.MISTAKES,
        praise="lengths are kept, and only distances will count",
    )
