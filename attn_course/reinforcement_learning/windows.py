"""Offline training: windows of episodes, and the loss of their actions."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from attn_course.common.arguments import whole_number
from attn_course.reinforcement_learning.episodes import Episodes, returns_to_go


class Window(NamedTuple):
    """A few steps in a row out of each of several episodes."""

    returns: Float[Tensor, "batch steps"]  # to go
    states: Float[Tensor, "batch steps 4"]
    actions: Int[Tensor, "batch steps"]
    timesteps: Int[Tensor, "batch steps"]  # steps since the episode began
    real: Bool[Tensor, "batch steps"]  # False = padding, after the end


def cut_windows(
    episodes: Episodes,
    rows: Int[Tensor, " batch"],
    starts: Int[Tensor, " batch"],
    context: int,
) -> Window:
    """Cut ``context`` steps out of each of these episodes, from a start on.

    What lies after an episode's end is padding: zeros, and ``real`` is False.
    """
    timesteps = starts[:, None] + torch.arange(context)  # (batch, steps)
    real = timesteps < episodes.lengths[rows, None]
    timesteps = timesteps * real
    to_go = returns_to_go(episodes.rewards[rows])  # (batch, all steps)
    rows = rows[:, None]
    return Window(
        to_go.gather(1, timesteps) * real,
        episodes.states[rows, timesteps] * real[..., None],
        episodes.actions[rows, timesteps] * real,
        timesteps,
        real,
    )


def window_batches(
    episodes: Episodes, *, context: int, size: int = 64, seed: int = 0
) -> Callable[[int], Window]:
    """Give batches of random windows, one after the other.

    Each step of each episode is as likely as any other to be the first of a
    window, so a long episode is read more often than a short one.

    Raises:
        ValueError: if there is no step to read.

    Source: Chen et al. (2021), algorithm 1.
    """
    steps = torch.arange(episodes.actions.shape[1])
    starts = (steps < episodes.lengths[:, None]).nonzero()  # episode, step
    if not len(starts):
        raise ValueError("episodes: expected at least one step, got none")
    generator = torch.Generator().manual_seed(whole_number("seed", seed))

    def batch(_: int) -> Window:
        chosen = torch.randint(len(starts), (size,), generator=generator)
        rows, first = starts[chosen].T
        return cut_windows(episodes, rows, first, context)

    return batch


def action_loss(model: nn.Module, window: Window) -> Float[Tensor, ""]:
    """Take the cross-entropy of the actions that were taken, where real."""
    returns, states, actions, timesteps, real = window
    scores, _ = model(returns, states, actions, timesteps)
    return F.cross_entropy(scores[real], actions[real])


def top_fraction(episodes: Episodes, fraction: float) -> Episodes:
    """Return the fraction of the episodes that have the highest returns.

    Raises:
        ValueError: if ``fraction`` is not above 0 and at most 1.

    Source: Chen et al. (2021), section 5.1, "percentile behavior cloning".
    """
    if not 0 < fraction <= 1:
        raise ValueError(
            f"fraction: expected above 0, up to 1, got {fraction}"
        )
    count = max(1, round(fraction * len(episodes)))
    order = episodes.returns.argsort(descending=True, stable=True)
    return episodes.pick(order[:count])
