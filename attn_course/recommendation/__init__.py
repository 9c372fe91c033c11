"""Lesson 15: what a person will want next, from what they had before.

Reading order: ``catalogue`` draws people whose next film is known to depend on
two films that they saw, and says with what probability each film comes next.
``histories`` hides everybody's last item, and makes tensors of the rest.
``baselines`` are popularity, a Markov chain and PureSVD, ``model`` is SASRec.
``ranking`` ranks the whole catalogue, and makes HR@10 and NDCG@10 of it.
``lagged_markov`` multiplies chains of several lags, which it finds itself.
``looking_back`` says how far back attention looks, and recommends.

Items are numbered from 1; 0 is padding. Scores have a column for each item
number, and -inf in column 0.
"""

from attn_course.recommendation.baselines import (
    Markov,
    Popularity,
    PureSVD,
    Scorer,
)
from attn_course.recommendation.catalogue import (
    GENRES,
    MOODS,
    Catalogue,
    Oracle,
)
from attn_course.recommendation.histories import (
    MAX_LENGTH,
    ORDERS,
    Histories,
    Split,
    history_batches,
    leave_last_out,
    pad_histories,
    ratings_to_histories,
    shuffle_histories,
)
from attn_course.recommendation.lagged_markov import LaggedMarkov, select_lags
from attn_course.recommendation.looking_back import (
    Recommendation,
    change,
    lag_profile,
    recommend,
    trait_follows,
)
from attn_course.recommendation.model import SASRec, next_item_loss
from attn_course.recommendation.ranking import (
    Ranks,
    Result,
    evaluate,
    hit_rate_at_k,
    ndcg_at_k,
    ranks,
    sample_negatives,
    sampled_hit_rate,
)

__all__ = [
    "Catalogue",
    "GENRES",
    "Histories",
    "LaggedMarkov",
    "MAX_LENGTH",
    "MOODS",
    "Markov",
    "ORDERS",
    "Oracle",
    "Popularity",
    "PureSVD",
    "Ranks",
    "Recommendation",
    "Result",
    "SASRec",
    "Scorer",
    "Split",
    "change",
    "evaluate",
    "history_batches",
    "hit_rate_at_k",
    "lag_profile",
    "leave_last_out",
    "ndcg_at_k",
    "next_item_loss",
    "pad_histories",
    "ranks",
    "ratings_to_histories",
    "recommend",
    "sample_negatives",
    "sampled_hit_rate",
    "select_lags",
    "shuffle_histories",
    "trait_follows",
]
