"""Weights that fall with distance (ALiBi), and wrong ways (lesson 03)."""

import math

import torch

from attn_course.checks.causal import causal, hide, soft
from attn_course.checks.engine import Mistake


def weights(scores, slope):
    """Causal ALiBi weights, one number at a time."""
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


MISTAKES = [
    Mistake(
        lambda s, m: soft(s - m * _behind(s).clamp(min=0)),
        "later words get weight, at no cost: their scores must become -inf",
    ),
    Mistake(
        lambda s, m: soft((s - m * _behind(s)).tril(-1)),
        "the word itself and the later ones keep a score of 0: word i may "
        "attend to j <= i, and the later scores become -inf",
    ),
    Mistake(
        lambda s, m: (causal(s) - m * _behind(s)).clamp(min=0),
        "the cost is taken off the weights, after the softmax: take it off the "
        "scores",
    ),
    Mistake(
        lambda s, m: causal(s),
        "the slope has no effect: distance must cost something, and "
        "what is the same for a whole row, softmax does not see",
    ),
    Mistake(
        lambda s, m: causal(s + m * _behind(s)),
        "it rewards distance: subtract slope times distance",
    ),
    Mistake(
        lambda s, m: soft(s - m * _behind(s).abs()),
        "later words get weight: the causal mask is missing",
    ),
    Mistake(
        lambda s, m: soft(s - m * _behind(s)),
        "later words get weight, even a bonus: the causal mask is missing",
    ),
    Mistake(
        lambda s, m: causal(s) - m * _behind(s),
        "the cost is taken off the weights, after the softmax: take "
        "it off the scores",
    ),
    Mistake(
        lambda s, m: causal(s) * torch.exp(-m * _behind(s)),
        "the rows do not sum to 1: take the cost off the scores, "
        "before the softmax",
    ),
    Mistake(
        lambda s, m: causal(s - m * _behind(s) ** 2),
        "it squares the distance: ALiBi's cost is linear",
    ),
    Mistake(
        lambda s, m: causal(s * (1 - m * _behind(s))),
        "it multiplies the scores by the cost: subtract it",
    ),
    Mistake(
        lambda s, m: causal(s - m * (_behind(s) > 0)),
        "every earlier word pays the same: multiply the slope by the distance",
    ),
    Mistake(
        lambda s, m: soft((s - m * _behind(s)).tril()),
        "a score of 0 still gets weight: fill with -inf",
    ),
    Mistake(
        lambda s, m: hide(s - m * _behind(s), _behind(s) > 0),
        "the mask is the wrong way round: it hides the past",
    ),
    Mistake(
        lambda s, m: causal(s * m),
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
        lambda s, m: causal(s - m * _behind(s), -2),
        "the softmax runs over the queries: use dim=-1, the keys",
    ),
    Mistake(
        lambda s, m: soft(s - m * _behind(s)) * (_behind(s) >= 0),
        "the mask comes after the softmax, so the rows no longer sum "
        "to 1: mask the scores, before it",
    ),
    Mistake(
        lambda s, m: hide(s - m * _behind(s), _behind(s) <= 0),
        "the mask hides the word itself: it may attend to itself",
    ),
    Mistake(
        lambda s, m: causal(s * -m * _behind(s)),
        "the scores are multiplied by the cost: subtract slope times distance",
    ),
    Mistake(
        lambda s, m: causal(s - _behind(s)),
        "each step costs 1: it costs one slope",
    ),
    Mistake(
        lambda s, m: causal(s - _behind(s) / m),
        "it divides by the slope: each step costs one slope, so multiply",
    ),
    Mistake(
        lambda s, m: causal(s - m ** _behind(s).clamp(min=0)),
        "the slope is raised to the power of the distance: multiply",
    ),
    Mistake(
        lambda s, m: causal(s - m * _behind(s) / s.shape[-1]),
        "the distance is divided by the length: a step costs one whole slope",
    ),
    Mistake(
        lambda s, m: causal(s / math.sqrt(s.shape[-1]) - m * _behind(s)),
        "the scores are divided by sqrt(length): they come ready, only "
        "subtract the cost",
    ),
    *(
        Mistake(
            lambda s, m, far=far: soft(s + m * far(_behind(s))),
            "two slips: it rewards distance, and the causal mask is missing",
        )
        for far in (torch.clone, torch.abs)
    ),
    Mistake(
        lambda s, m: hide(s - m * _behind(s), _behind(s) < -1),
        "the next word is still seen: word i may attend to words j <= i",
    ),
    Mistake(
        lambda s, m: torch.exp(s - m * _behind(s)).tril(),
        "the rows do not sum to 1: divide by their sum",
    ),
    Mistake(
        lambda s, m: causal(s - m * _behind(s), 1),
        "softmax over dim=1 is over the keys only of a single matrix: use "
        "dim=-1",
    ),
    Mistake(
        lambda s, m: (s - m * _behind(s)).tril(),
        "these are scores, and hidden by 0: fill with -inf and take the "
        "softmax",
    ),
    Mistake(
        lambda s, m: soft(causal(s) - m * _behind(s)),
        "softmax is taken twice, and the cost comes between: subtract it from "
        "the scores, then take softmax once",
    ),
    Mistake(
        lambda s, m: torch.log_softmax(
            (s - m * _behind(s)).masked_fill(_behind(s) < 0, -math.inf), -1
        ),
        "these are logarithms of the weights (log_softmax): softmax",
    ),
    Mistake(
        lambda s, m: torch.sigmoid(s - m * _behind(s)).tril(),
        "it is a sigmoid, one score at a time: the weights of a row must share "
        "1 between them, softmax",
    ),
    Mistake(
        lambda s, m: causal(m * (s - _behind(s))),
        "the slope multiplies the scores too: only the distance",
    ),
    Mistake(
        lambda s, m: causal(s - 2**-m * _behind(s)),
        "2 to the power of minus the slope stands where the slope should: it "
        "comes ready",
    ),
    Mistake(
        lambda s, m: causal(s - m * (_behind(s) - 1).clamp(min=0)),
        "the first step back is free: each step costs one slope, the first too",
    ),
    *(
        Mistake(
            lambda s, m, of=of: causal(s - m * of(_behind(s).clamp(min=0))),
            f"it costs the {name} of the distance: ALiBi's cost is linear",
        )
        for name, of in (
            ("square root", torch.sqrt),
            ("logarithm", torch.log1p),
        )
    ),
    *(
        Mistake(
            lambda s, m, fill=fill: hide(
                s - m * _behind(s), _behind(s) < 0, fill
            ),
            f"a score of {fill:g} still gets weight: fill with -inf",
        )
        for fill in (-1.0, -10.0)
    ),
    Mistake(
        lambda s, m: causal(s * torch.exp(-m * _behind(s))),
        "the scores are multiplied by a power of the distance: subtract slope "
        "times distance",
    ),
]
