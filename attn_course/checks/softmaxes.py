"""Wrong ways to write softmax, for the check of lesson 02's exercise 2."""

import torch

from attn_course.checks.engine import Mistake


def share(powers, dim=-1):
    """Divide by the sum."""
    return powers / powers.sum(dim, keepdim=True)


def shifted(scores):
    """Raise e to scores of at most 0."""
    return e(scores - scores.amax(-1, keepdim=True))


e = torch.exp
MISTAKES = [
    Mistake(
        lambda s: share(e(s)),
        "large scores overflow to inf / inf = nan (or very low ones "
        "to 0 / 0): subtract the largest score first",
    ),
    Mistake(
        lambda s: share(e(s - s.max())),
        "it subtracts the largest score of the whole tensor: a row "
        "far below it becomes 0 / 0; subtract each row's own, "
        "amax(dim=-1, keepdim=True)",
    ),
    Mistake(
        lambda s: share(e(s - s.mean(-1, keepdim=True))),
        "it subtracts the mean or the median: a score far above it "
        "still overflows; subtract the largest",
    ),
    Mistake(
        lambda s: share(e(s - s.amin(-1, keepdim=True))),
        "it subtracts the smallest score, which makes the powers "
        "larger: subtract the largest",
    ),
    Mistake(
        lambda s: share(e(s - s.amax(0, keepdim=True))),
        "it subtracts the largest score of each column: use the row, dim=-1",
    ),
    Mistake(
        lambda s: share(e(s.clamp(max=80))),
        "it cuts large scores off, and different scores then get "
        "equal weights: shift them instead",
    ),
    *(
        Mistake(
            lambda s, size=size: share(e(s / size(s).amax(-1, keepdim=True))),
            "it divides by the largest score, which changes the "
            "differences (a temperature): subtract it",
        )
        for size in (torch.abs, torch.clone)
    ),
    Mistake(
        lambda s: shifted(s),
        "the weights do not sum to 1: divide by their sum",
    ),
    Mistake(
        lambda s: share(shifted(s), 0),
        "it sums over dim=0: each row must sum to 1, dim=-1",
    ),
    Mistake(
        lambda s: shifted(s) / shifted(s).sum(),
        "it sums over all rows: each row must sum to 1, dim=-1",
    ),
    Mistake(
        lambda s: shifted(s) / e(s).sum(-1, keepdim=True),
        "it shifts above the line only: the sum below it must be of "
        "the shifted powers too",
    ),
    Mistake(
        lambda s: shifted(s) / shifted(s).sum(-1),
        "the sums have lost their dimension and are stretched along "
        "the wrong one: sum(dim=-1, keepdim=True)",
    ),
    Mistake(
        lambda s: share(e(s - s.amax(-1))),
        "the largest scores have lost their dimension and are "
        "stretched along the wrong one: amax(dim=-1, keepdim=True)",
    ),
    Mistake(
        lambda s: share(e(s.amax(-1, keepdim=True) - s)),
        "it subtracts the scores from the largest, which turns the "
        "order round: scores minus the largest",
    ),
    Mistake(
        lambda s: share(e(s - s.abs().amax(-1, keepdim=True))),
        "it subtracts the largest *absolute* score: scores near "
        "-1000 then become -2000, and 0 / 0; subtract the largest",
    ),
    Mistake(
        lambda s: share(s),
        "the exponential is missing: e to each score, then divide",
    ),
    Mistake(
        lambda s: torch.log_softmax(s, -1),
        "these are logarithms of the weights (log_softmax)",
    ),
    Mistake(
        lambda s: share(e(s)).nan_to_num(),
        "it replaces nan by 0 afterwards: the weights are lost by "
        "then; subtract the largest score first",
    ),
    Mistake(
        lambda s: share(e(s) + 1e-9),
        "a small number added to the powers keeps 0 / 0 away, but "
        "not inf / inf, and makes low scores wrong: shift instead",
    ),
    Mistake(
        lambda s: e(s - s.max()) / e(s - s.max()).sum(),
        "one largest score and one sum serve all rows: each row has its own, "
        "dim=-1 and keepdim=True",
    ),
    Mistake(
        lambda s: torch.softmax(s, 0),
        "it runs over dim=0: each row must sum to 1, dim=-1",
    ),
    Mistake(
        lambda s: torch.softmax(s, 1),
        "it runs over dim=1: each row must sum to 1, dim=-1",
    ),
    Mistake(
        lambda s: share(e(s.clamp(-80, 80))),
        "it cuts large scores off, and small ones: different scores then get "
        "equal weights; shift them instead",
    ),
    Mistake(
        lambda s: e(s) / shifted(s).sum(-1, keepdim=True),
        "it shifts below the line only: the powers above it must be shifted too",
    ),
    Mistake(
        lambda s: share(2 ** (s - s.amax(-1, keepdim=True))),
        "it takes powers of 2: take those of e, torch.exp",
    ),
    Mistake(
        lambda s: share(s - s.amax(-1, keepdim=True)),
        "the exponential is missing: shift, then e to each score, then divide",
    ),
    Mistake(
        lambda s: e(s) / (e(s).sum(-1, keepdim=True) + 1e-8),
        "a small number added to the sum keeps 0 / 0 away, but not inf / inf, "
        "and makes low scores wrong: shift instead",
    ),
    Mistake(
        lambda s: share(s.double().exp()),
        "float64 only moves the limit, to about 709: subtract the largest score",
    ),
]
