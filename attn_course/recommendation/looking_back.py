"""What attention looks back at, and what is recommended."""

import math
import operator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from attn_course.common.arguments import check_at_least
from attn_course.recommendation.baselines import Popularity
from attn_course.recommendation.histories import (
    Histories,
    History,
    pad_histories,
)
from attn_course.recommendation.model import SASRec


def lag_profile(
    model: SASRec, histories: Histories, lags: int = 8
) -> Float[Tensor, "heads lags"]:
    """Return the mean weight of the item 1, 2, ... positions from the end.

    Of the first layer, over the histories of at least ``lags`` items.

    Raises:
        ValueError: if no history is as long, or ``lags`` is above what the
            model reads.
    """
    if not 1 <= lags <= model.max_length:
        raise ValueError(f"lags: expected 1 to {model.max_length}, got {lags}")
    long = [row for row in histories if len(row) >= lags]
    if not long:
        raise ValueError(
            f"histories: expected one of at least {lags} items, got none"
        )
    seen = [model.weights(row)[0, :, -lags:].flip(dims=[1]) for row in long]
    return torch.stack(seen).mean(dim=0)


class Recommendation(NamedTuple):
    """What a model makes of one history."""

    read: list[int]  # the items that it looked back at
    weights: Float[Tensor, "layers heads length"]  # of the last query
    items: list[int]  # the best items, best first
    probs: list[float]  # their probabilities, among the items not seen
    skipped: int  # older items, beyond what the model reads


def recommend(
    model: SASRec,
    history: History,
    k: int = 5,
    *,
    fallback: Popularity | None = None,
) -> Recommendation:
    """Recommend the ``k`` best items that are not in the history.

    Without history the model has nothing to ask with. ``fallback`` then
    answers, if it is given; else nothing is recommended.

    Raises:
        ValueError: if ``k`` is below 1 or an item is unknown.
    """
    check_at_least(1, k=k)
    history = [operator.index(item) for item in history]
    scores = model.scores([history])[0]
    seen = pad_histories([history], items=model.items)[0]
    probs = scores.scatter(0, seen, -math.inf)
    probs = probs.softmax(dim=0).nan_to_num(0.0)
    if not history and fallback is not None:
        counts = fallback.scores([[]])[0].clamp(min=0)
        probs = counts / counts.sum()
    elif not history:
        probs = torch.zeros_like(probs)
    best = probs.argsort(descending=True, stable=True)[:k].tolist()
    best = [item for item in best if probs[item] > 0]
    read = history[-model.max_length :]
    return Recommendation(
        read,
        model.weights(history),
        best,
        [probs[item].item() for item in best],
        len(history) - len(read),
    )


def change(history: History, position: int, item: int | None) -> list[int]:
    """Put another item at a position of a history, or remove it with None.

    Raises:
        ValueError: if there is no such position, or the history has the item
            already.
    """
    if not 0 <= position < len(history):
        raise ValueError(
            f"position: expected 0 to {len(history) - 1}, got {position}"
        )
    items = [operator.index(item) for item in history]
    left, right = items[:position], items[position + 1 :]
    if item is not None and item in left + right:
        raise ValueError(f"item: the history has item {item} already")
    return left + ([] if item is None else [item]) + right


def trait_follows(
    model: SASRec,
    histories: Histories,
    trait: Int[Tensor, " size"],
    wanted: int,
    back: int,
) -> Bool[Tensor, " users"]:
    """Intervene: put an item with a trait into histories; is it followed?

    The item ``back`` positions from the end becomes the first item with
    ``trait[item] == wanted`` that the history does not have. True where the
    best item, among those not seen, has that trait too.

    Raises:
        ValueError: if a history has no such position, or every such item.
    """
    new = []
    for row in histories:
        fits = [
            item
            for item in range(1, model.items + 1)
            if trait[item] == wanted and item not in row
        ]
        if not fits:
            raise ValueError(
                f"wanted: expected a trait with an item left, got {wanted}"
            )
        new.append(change(row, len(row) - back, fits[0]))
    scores = model.scores(new)
    best = scores.scatter(1, pad_histories(new), -math.inf).argmax(dim=1)
    return trait[best] == wanted
