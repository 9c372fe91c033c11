"""Three baselines without attention: popularity, a Markov chain, PureSVD."""

import math
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from attn_course.common.arguments import check_at_least
from attn_course.common.tokens import PAD
from attn_course.recommendation.histories import (
    Histories,
    item_back,
    pad_histories,
)


@runtime_checkable
class Scorer(Protocol):
    """Anything that scores the whole catalogue for some histories."""

    items: int

    def scores(self, histories: Histories) -> Float[Tensor, "users size"]:
        """Return a score per item, high for wanted; -inf in column 0."""


class Popularity:
    """Everybody wants what most people had: ``score_j = count_j``."""

    def __init__(self, train: Histories, items: int) -> None:
        """Count the items of all histories."""
        self.items = items
        flat = pad_histories([[i for row in train for i in row]], items=items)[
            0
        ]
        self.counts = torch.bincount(flat, minlength=items + 1).double()
        self.counts[PAD] = -math.inf

    def scores(self, histories: Histories) -> Float[Tensor, "users size"]:
        """Return the same counts for everybody."""
        return self.counts.expand(len(histories), -1)


class Markov:
    """What came after this item before? ``score_j = count(i, j) + a p_j``.

    i is the last item (or the one ``lag`` positions from the end),
    ``count(i, j)`` says how often j came ``lag`` positions after i, ``p_j`` is
    the share of j among all items: it decides where there are no counts.

    Source: Rendle, Freudenthaler and Schmidt-Thieme (2010), "Factorizing
    personalized Markov chains for next-basket recommendation", without
    persons and without factorization.
    """

    def __init__(
        self, train: Histories, items: int, *, lag: int = 1, a: float = 1.0
    ) -> None:
        """Count the pairs.

        Raises:
            ValueError: if ``lag`` is below 1.
        """
        check_at_least(1, lag=lag)
        self.items, self.lag = items, lag
        popular = Popularity(train, items).counts
        popular[PAD] = 0
        self.popular = a * popular / popular.sum().clamp(min=1)
        pairs = [p for row in train for p in zip(row, list(row)[lag:])]
        first, then = torch.tensor(pairs).view(-1, 2).long().unbind(dim=1)
        cells = first * (items + 1) + then
        self.counts = torch.bincount(cells, minlength=(items + 1) ** 2)
        self.counts = self.counts.view(items + 1, items + 1).double()

    def scores(self, histories: Histories) -> Float[Tensor, "users size"]:
        """Return the counts after the item, plus the small share."""
        tokens = pad_histories(histories, items=self.items)
        item = item_back(tokens, (tokens != PAD).sum(dim=1), self.lag)
        scores = self.counts[item] + self.popular
        scores[:, PAD] = -math.inf
        return scores


class PureSVD:
    """Matrix factorization: people and items as short vectors.

    ``R = U S V^T``, cut to ``rank`` columns, for the matrix R of people and
    items with 1 for "had it". A person with row r gets ``scores = r V V^T``:
    near to what they had. Order plays no part.

    Source: Cremonesi, Koren and Turrin (2010), "Performance of recommender
    algorithms on top-N recommendation tasks" (PureSVD).
    """

    def __init__(
        self, train: Histories, items: int, *, rank: int = 16
    ) -> None:
        """Factorize with scipy's sparse SVD.

        Raises:
            ValueError: if ``rank`` is not from 1 to below both sides of R.
        """
        from scipy.sparse import csr_matrix
        from scipy.sparse.linalg import svds

        self.items = items
        smaller = min(len(train), items)
        if not 1 <= rank < smaller:
            raise ValueError(
                f"rank: expected 1 to {smaller - 1}, below both sides of "
                f"{len(train)} people by {items} items, got {rank}"
            )
        rows = csr_matrix(self._rows(train).numpy())
        # svds starts from a random vector: give it one, to repeat it.
        start = np.ones(min(rows.shape))
        self.v = torch.from_numpy(svds(rows, k=rank, v0=start)[2].T.copy())

    def _rows(self, histories: Histories) -> Float[Tensor, "users size"]:
        tokens = pad_histories(histories, items=self.items)
        rows = torch.zeros(len(tokens), self.items + 1, dtype=torch.float64)
        rows.scatter_(1, tokens, 1.0)
        rows[:, PAD] = 0
        return rows

    def scores(self, histories: Histories) -> Float[Tensor, "users size"]:
        """Return each person's row, passed through the factors."""
        scores = self._rows(histories) @ self.v @ self.v.T
        scores[:, PAD] = -math.inf
        return scores
