"""How wrong is a transcript? Edit distance, error rates, and an interval."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from attn_course.common.statistics import Interval, bootstrap


class Edits(NamedTuple):
    """How many changes lead from what was said to what was written."""

    substitutions: int
    insertions: int
    deletions: int

    @property
    def total(self) -> int:
        """Return the edit distance."""
        return sum(self)


def edit_counts(hypothesis: Sequence, reference: Sequence) -> Edits:
    """Count the fewest changes that make the hypothesis of the reference.

    ``d[i][j]``, for the first i of the reference and the first j of the
    hypothesis: the least of ``d[i-1][j-1]`` (plus 1 if the two differ),
    ``d[i-1][j] + 1`` (a deletion) and ``d[i][j-1] + 1`` (an insertion). Give
    lists of words, or two strings.

    Source: Levenshtein (1966); Wagner and Fischer (1974), "The
    string-to-string correction problem", section 4.
    """
    row = [Edits(0, j, 0) for j in range(len(hypothesis) + 1)]
    for i, said in enumerate(reference, 1):
        above, row = row, [Edits(0, 0, i)]
        for j, wrote in enumerate(hypothesis, 1):
            matched, up, left = above[j - 1], above[j], row[-1]
            row.append(
                min(
                    matched._replace(
                        substitutions=matched.substitutions + (said != wrote)
                    ),
                    up._replace(deletions=up.deletions + 1),
                    left._replace(insertions=left.insertions + 1),
                    key=lambda edits: edits.total,
                )
            )
    return row[-1]


def error_counts(
    hypotheses: Sequence[str], references: Sequence[str], unit: str = "word"
) -> tuple[Int[Tensor, " n"], Int[Tensor, " n"]]:
    """Count errors and true units of each text: words or characters.

    Raises:
        ValueError: if the lists differ in length, or ``unit`` is neither
            "word" nor "character".
    """
    if len(hypotheses) != len(references):
        raise ValueError(
            f"hypotheses: expected {len(references)} texts, "
            f"got {len(hypotheses)}"
        )
    if unit not in ("word", "character"):
        raise ValueError(f"unit: expected 'word' or 'character', got {unit!r}")
    cut = str.split if unit == "word" else list
    errors = [
        edit_counts(cut(hypothesis), cut(reference)).total
        for hypothesis, reference in zip(hypotheses, references)
    ]
    return (
        torch.tensor(errors, dtype=torch.int64),
        torch.tensor([len(cut(text)) for text in references]).long(),
    )


def error_interval(
    errors: Int[Tensor, " n"],
    units: Int[Tensor, " n"],
    groups: Sequence[str] | None = None,
    *,
    samples: int = 1_000,
    seed: int = 0,
) -> Interval:
    """Return the error rate in per cent, and its 95 % interval.

    ``100 * sum of errors / sum of units``. For the interval, draw as many
    groups as there are, with replacement, ``samples`` times: recordings of
    one voice are right or wrong together, so draw voices, not recordings.

    Args:
        errors: of each recording.
        units: true words (or characters) of each recording.
        groups: the group of each, such as its voice; by default each is one.
        samples: how often to draw.
        seed: of the drawing.

    Raises:
        ValueError: if lengths differ or there are no units.

    Source: Bisani and Ney (2004), "Bootstrap estimates for confidence
    intervals in ASR performance evaluation", section 3.
    """
    groups = range(len(errors)) if groups is None else groups
    if not len(errors) == len(units) == len(groups):
        raise ValueError(
            f"errors: expected as many as units and groups, got {len(errors)}, "
            f"{len(units)} and {len(groups)}"
        )
    if not int(units.sum()):
        raise ValueError("units: expected at least one, got none")
    names = {name: i for i, name in enumerate(dict.fromkeys(groups))}
    own = torch.tensor([names[name] for name in groups])  # group of each
    sums = torch.zeros(len(names), 2, dtype=torch.float64)
    sums.index_add_(0, own, torch.stack([errors, units], 1).cpu().double())
    errors_of, units_of = sums.T.numpy()  # of each group

    def rate(times: np.ndarray) -> float:
        return float(100 * (times @ errors_of) / max(times @ units_of, 1))

    return bootstrap(rate, len(names), samples, seed)
