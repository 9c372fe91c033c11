"""Lesson 03's view: move two words, and see what their score depends on."""

import math

import ipywidgets
import torch
from matplotlib.figure import Figure
from torch import Tensor

from attn_course import plotting
from attn_course.self_attention import (
    AlibiBias,
    apply_rotary_emb,
    relative_scores,
    sinusoidal_positions,
)
from attn_course.widgets import Explorer, explore

METHODS = ["none", "sinusoidal", "learned", "relative", "RoPE", "ALiBi"]
LAST, DIM = 30, 16


def _numbers(rows: int, salt: int) -> Tensor:
    """Make numbers that look random and are the same on every machine."""
    seed = torch.arange(rows * DIM, dtype=torch.float64) + salt
    return torch.sin(seed**2).reshape(rows, DIM)


# Two words, and tables as training might leave them.
QUERY, KEY = _numbers(2, 5).split(1)
LEARNED, RELATIVE = _numbers(LAST + 1, 3), _numbers(9, 8)


def score_table(method: str) -> Tensor:
    """Score word A at every position against word B at every position, untrained.

    Raises:
        ValueError: if the method is not one of ``METHODS``.
    """
    if method not in METHODS:
        raise ValueError(f"method: expected one of {METHODS}, got {method!r}")
    query = QUERY.expand(LAST + 1, DIM)  # word A at position 0, 1, ...
    key = KEY.expand(LAST + 1, DIM)
    bias = torch.zeros((), dtype=torch.float64)
    if method == "sinusoidal":
        waves = sinusoidal_positions(LAST + 1, DIM)
        query, key = query + waves, key + waves
    elif method == "learned":
        query, key = query + LEARNED, key + LEARNED
    elif method == "RoPE":
        query, key = apply_rotary_emb(query), apply_rotary_emb(key)
    elif method == "relative":
        bias = relative_scores(query, RELATIVE, LAST + 1) / math.sqrt(DIM)
    elif method == "ALiBi":
        bias = AlibiBias(0.5)(query, key)
    return (
        query @ key.T / math.sqrt(DIM) + bias
    )  # (positions of A, positions of B)


def only_distance(method: str) -> bool:
    """Say whether moving both words alike leaves every score as it was."""
    scores = score_table(method)
    return torch.allclose(scores[1:, 1:], scores[:-1, :-1])


def draw(method: str, a: int, b: int) -> Figure:
    """Draw the score against distance, for word A here and elsewhere."""
    scores = score_table(method)
    positions = torch.arange(LAST + 1)
    figure, ax = plotting.figure(6.4, 3.2)
    for other in range(0, LAST + 1, 5):
        ax.plot(positions - other, scores[other], color="#bbbbbb", linewidth=1)
    ax.plot([], [], color="#bbbbbb", label="A at 0, 5, 10, ...")
    ax.plot(
        positions - a, scores[a], color=plotting.COLORS[0], label=f"A at {a}"
    )
    ax.plot(
        [b - a],
        [scores[a, b]],
        "o",
        color=plotting.COLORS[1],
        markersize=9,
        label=f"B at {b}",
    )
    finding = "many curves: the position itself counts"
    if only_distance(method):
        finding = "one curve: only the distance counts"
    if method == "none":
        finding = "a flat line: no position counts"
        ax.set_ylim(-1, 1)
    ax.set(
        xlabel="positions from word A to word B",
        ylabel="score",
        title=f"{method}: {finding}",
    )
    ax.legend(fontsize=8, loc="best")
    return figure


def words(method: str, a: int, b: int) -> str:
    """Say what :func:`draw` shows."""
    scores = score_table(method)
    said = f"word A at {a} and word B at {b} have the score {scores[a, b]:.2f}"
    for step, side in ((1, "later"), (-1, "earlier")):
        if 0 <= min(a, b) + step and max(a, b) + step <= LAST:
            moved = scores[a + step, b + step]
            said += f"; with both one position {side} it is {moved:.2f}"
            break
    same = "one curve" if only_distance(method) else "different curves"
    return (
        f"Method {method}: {said}. Score against distance is {same} for all "
        "positions of A."
    )


def move_two_words() -> Explorer:
    """Show two sliders for the words' positions, and a choice of the method."""
    return explore(
        draw,
        words,
        method=ipywidgets.Dropdown(
            options=METHODS, value="sinusoidal", description="method"
        ),
        a=ipywidgets.IntSlider(
            value=12, min=0, max=LAST, description="position of A"
        ),
        b=ipywidgets.IntSlider(
            value=8, min=0, max=LAST, description="position of B"
        ),
    )
