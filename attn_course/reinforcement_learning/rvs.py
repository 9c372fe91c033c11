"""A baseline without attention: a small network told state and return."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from attn_course.common.arguments import check_at_least
from attn_course.reinforcement_learning.episodes import (
    ACTIONS,
    MAX_STEPS,
    STATE,
)
from attn_course.reinforcement_learning.model import STATE_SCALE


class RvS(nn.Module):
    """Score a step's actions by its state and return-to-go, and no more.

    ``scores = W_3 relu(W_2 relu(W_1 [R, s]))``, with biases: reinforcement
    learning via supervised learning. It has no attention, no timestep and no
    history; it is trained and asked as a ``DecisionTransformer`` of
    ``context`` 1 is.

    Args of the constructor:
        width: of the two hidden layers; 166 has about as many parameters as
            the lesson's ``DecisionTransformer``.

    Source: Emmons, Eysenbach, Kostrikov and Levine (2022), "RvS: what is
    essential for offline RL via supervised learning?", section 3. Their RvS-R
    is told the mean reward still to come; ours the sum, as the lesson's other
    models.
    """

    context = 1
    return_conditioned = True
    scale: Tensor

    def __init__(self, width: int = 166) -> None:
        """Create three layers.

        Raises:
            ValueError: if ``width`` is below 1.
        """
        super().__init__()
        check_at_least(1, width=width)
        self.layers = nn.Sequential(
            nn.Linear(1 + len(STATE), width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, len(ACTIONS)),
        )
        scale = torch.tensor(STATE_SCALE)
        self.register_buffer("scale", scale, persistent=False)

    def forward(
        self,
        returns: Float[Tensor, "batch steps"],
        states: Float[Tensor, "batch steps 4"],
        actions: Int[Tensor, "batch steps"],
        timesteps: Int[Tensor, "batch steps"],
        *,
        hide: Sequence[str] = (),
    ) -> tuple[Float[Tensor, "batch steps 2"], None]:
        """Score left and right at every step, each by itself.

        Args:
            returns: to go, at each step.
            states: as the game gives them.
            actions: not looked at, nor are
            timesteps: as a ``DecisionTransformer`` takes them.
            hide: nothing can be hidden.

        Raises:
            ValueError: if something is to be hidden.
        """
        if hide:
            raise ValueError(f"hide: expected nothing, got {hide!r}")
        x = torch.cat(
            [returns[..., None] / MAX_STEPS, states / self.scale], -1
        )
        return self.layers(x), None
