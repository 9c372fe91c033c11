"""Lesson 01: a soft lookup. One query, keys and values, and a weighted average.

Reading order: ``softmax`` turns scores into weights, ``dot_product_attention``
is the whole of attention without its scale, ``kernel_regression`` is the same
average with another score.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from attn_course.common.arguments import check_shapes


def softmax(
    scores: Float[Tensor, "*batch k"], temperature: float = 1.0
) -> Float[Tensor, "*batch k"]:
    """Turn scores into weights: positive, and summing to 1.

    ``softmax(s)_j = exp(s_j / T) / sum_i exp(s_i / T)``. A low temperature T
    sharpens the weights towards one key; a high one evens them out.

    This is the definition, written as it is read. Lesson 02 shows where it
    overflows, and the usual cure.

    Args:
        scores: one score per key in the last dimension.
        temperature: T, greater than 0; it has the unit of the scores.

    Raises:
        ValueError: if ``scores`` is not floating point or ``temperature`` is
            not greater than 0.

    Source: Bridle (1990), "Probabilistic interpretation of feedforward
    classification network outputs, with relationships to statistical pattern
    recognition", which names it; the temperature is added here.
    """
    if not scores.is_floating_point():
        raise ValueError(
            f"scores: expected floating point numbers, got {scores.dtype}"
        )
    if not temperature > 0:
        raise ValueError(
            f"temperature: expected a number above 0, got {temperature}"
        )
    powers = torch.exp(scores / temperature)
    return powers / powers.sum(dim=-1, keepdim=True)


def dot_product_attention(
    query: Float[Tensor, "*batch q d"],
    key: Float[Tensor, "*batch k d"],
    value: Float[Tensor, "*batch k v"],
    temperature: float = 1.0,
) -> tuple[Float[Tensor, "*batch q v"], Float[Tensor, "*batch q k"]]:
    """Look every query up among the keys, and mix the values it finds.

    ``output = softmax(query key^T / T) value``

    Args:
        query: what is looked for, one row per query.
        key: what each value is filed under, one row per key.
        value: what is handed out, one row per key.
        temperature: T of :func:`softmax`.

    Returns:
        The outputs ``(*batch, q, v)`` and the weights ``(*batch, q, k)``.

    Raises:
        ValueError: if a shape does not fit; the message names the argument.

    Source: Luong et al. (2015), "Effective approaches to attention-based
    neural machine translation", section 3.1, the "dot" score.
    """
    check_shapes(query, key, value)
    scores = query @ key.transpose(-2, -1)  # (*batch, q, k)
    weights = softmax(scores, temperature)  # (*batch, q, k)
    return weights @ value, weights


def kernel_regression(
    query: Float[Tensor, " q"],
    key: Float[Tensor, " k"],
    value: Float[Tensor, " k"],
    width: float = 1.0,
) -> tuple[Float[Tensor, " q"], Float[Tensor, "q k"]]:
    """Predict at each query the average of the values whose keys are near.

    ``output = softmax(-(query - key)^2 / (2 width^2)) value``: attention with
    a distance for a score. Keys and queries are points on a line here.

    Args:
        query: where to predict.
        key: where something was measured.
        value: what was measured there.
        width: how far a measurement reaches, in the unit of the keys.

    Returns:
        The predictions ``(q,)`` and the weights ``(q, k)``.

    Raises:
        ValueError: if a shape does not fit or ``width`` is not above 0.

    Source: Nadaraya (1964), "On estimating regression", and Watson (1964),
    "Smooth regression analysis".
    """
    if not width > 0:
        raise ValueError(f"width: expected a number above 0, got {width}")
    for name, points in (("query", query), ("key", key)):
        if points.dim() != 1:
            raise ValueError(
                f"{name}: expected points on a line, shape (n,), "
                f"got {tuple(points.shape)}"
            )
    if key.shape != value.shape:
        raise ValueError(
            f"value: expected one value per key, {tuple(key.shape)}, "
            f"got {tuple(value.shape)}"
        )
    distance = query[:, None] - key[None, :]  # (q, k)
    weights = softmax(-(distance**2) / 2, temperature=width**2)
    return weights @ value, weights
