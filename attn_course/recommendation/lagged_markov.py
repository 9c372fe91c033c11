"""A baseline that counts at several lags, and finds the lags by itself."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from attn_course.common.arguments import check_at_least, check_positive
from attn_course.common.tokens import PAD
from attn_course.recommendation.baselines import Markov, Popularity
from attn_course.recommendation.histories import (
    Histories,
    Split,
    item_back,
    pad_histories,
)
from attn_course.recommendation.ranking import evaluate


class LaggedMarkov:
    """Markov chains of several lags, multiplied.

    ``score_j = log p_j + sum over lags of log(p_lag(j | i) / p_j)``, where i
    is the item ``lag`` positions from the end: a naive Bayes classifier, which
    takes the items at the lags to be independent, given the next one.
    ``p_lag(j | i) = (count_lag(i, j) + a p_j) / (count_lag(i) + a)``, and
    ``p_j`` is the share of j among all items, each counted once more.

    Attributes:
        lags: which are used now; any of those that were counted.

    Source: Hastie, Tibshirani and Friedman (2009), "The elements of
    statistical learning", section 6.6.3 (naive Bayes).
    """

    def __init__(
        self,
        train: Histories,
        items: int,
        *,
        lags: Sequence[int] = (1,),
        a: float = 1.0,
    ) -> None:
        """Count the pairs at each lag.

        Raises:
            ValueError: if a lag is below 1 or stands twice, or ``a`` is not
                above 0.
        """
        if len(set(lags)) < len(lags):
            raise ValueError(f"lags: expected each once, got {list(lags)}")
        check_positive(a=a)
        self.items, self.lags = items, tuple(lags)
        counts = Popularity(train, items).counts + 1
        counts[PAD] = 0
        shares = counts / counts.sum()
        self.log_shares = shares.log()  # (size,), -inf for padding
        self.log_ratios = {}
        for lag in self.lags:
            pairs = Markov(train, items, lag=lag).counts  # (size, size)
            after = pairs.sum(dim=1, keepdim=True)
            ratios = (pairs / shares + a) / (after + a)  # p_lag(j | i) / p_j
            ratios[:, PAD] = 1
            self.log_ratios[lag] = ratios.log()

    def scores(self, histories: Histories) -> Float[Tensor, "users size"]:
        """Return the logarithm of the product, but for a constant."""
        tokens = pad_histories(histories, items=self.items)
        lengths = (tokens != PAD).sum(dim=1)
        scores = self.log_shares.expand(len(tokens), -1)
        for lag in self.lags:  # no item so far back: row 0, which adds 0
            item = item_back(tokens, lengths, lag)
            scores = scores + self.log_ratios[lag][item]
        return scores


def select_lags(
    split: Split, items: int, *, max_lag: int = 8, a: float = 1.0
) -> LaggedMarkov:
    """Choose the lags of a chain on validation items, one after the other.

    Starting from none, the lag that raises NDCG@10 most is added, as long as
    one raises it.

    Raises:
        ValueError: if ``max_lag`` is below 1, or ``a`` is not above 0.

    Source: Hastie, Tibshirani and Friedman (2009), section 3.3.2 (forward
    stepwise selection).
    """
    check_at_least(1, max_lag=max_lag)
    left = list(range(1, max_lag + 1))
    model = LaggedMarkov(split.train, items, lags=left, a=a)
    examples = split.examples("valid")

    def ndcg(lags: tuple[int, ...]) -> float:
        model.lags = lags
        return evaluate(model, *examples).gains.mean().item()

    chosen: tuple[int, ...] = ()
    best = ndcg(chosen)
    while left:
        tried = {lag: ndcg((*chosen, lag)) for lag in left}
        lag = max(left, key=tried.__getitem__)
        if not tried[lag] > best:
            break
        best, chosen = tried[lag], (*chosen, lag)
        left.remove(lag)
    model.lags = chosen
    return model
