"""Episodes of CartPole: played side by side, and kept."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import gymnasium
import torch
from jaxtyping import Float, Int
from torch import Tensor

from attn_course import training
from attn_course.common.arguments import check_at_least, whole_number
from attn_course.common.threads import cpu_threads

GAME = "CartPole-v1"
MAX_STEPS = 500  # CartPole-v1 ends an episode there
STATE = ("position", "velocity", "angle", "angular velocity")
ACTIONS = ("left", "right")


def returns_to_go(
    rewards: Float[Tensor, "*batch steps"],
) -> Float[Tensor, "*batch steps"]:
    """Add up, at each step, this reward and all that follow.

    ``R_t = r_t + r_{t+1} + ... + r_T``: a running sum from the right. Padding
    after the end has reward 0, and changes nothing.

    Raises:
        ValueError: if ``rewards`` is not floating point, or has no steps.

    Source: Chen et al. (2021), "Decision Transformer: reinforcement learning
    via sequence modeling", section 3.
    """
    if not rewards.is_floating_point() or rewards.dim() == 0:
        raise ValueError(
            "rewards: expected floating point numbers, one per step, got "
            f"{rewards.dtype} of shape {tuple(rewards.shape)}"
        )
    return rewards.flip(-1).cumsum(dim=-1).flip(-1)


@dataclass
class Episodes:
    """Episodes of different lengths, padded with zeros at the end."""

    states: Float[Tensor, "n steps 4"]  # seen before each action
    actions: Int[Tensor, "n steps"]
    rewards: Float[Tensor, "n steps"]
    lengths: Int[Tensor, " n"]

    def __len__(self) -> int:
        """Count the episodes."""
        return len(self.lengths)

    @property
    def returns(self) -> Float[Tensor, " n"]:
        """Return the sum of each episode's rewards."""
        return self.rewards.sum(dim=1)

    def pick(self, rows: Tensor | slice) -> "Episodes":
        """Return the episodes of these rows."""
        return Episodes(*(getattr(self, f.name)[rows] for f in fields(self)))

    @staticmethod
    def join(parts: Sequence["Episodes"]) -> "Episodes":
        """Put several sets of episodes into one, in order."""
        names = [f.name for f in fields(Episodes)]
        return Episodes(
            *(torch.cat([getattr(p, name) for p in parts]) for name in names)
        )


Policy = Callable[[Episodes, Tensor, int], Tensor]


def collect_episodes(
    policy: Policy, count: int, *, seed: int, label: str = "playing"
) -> Episodes:
    """Play ``count`` episodes of CartPole side by side.

    One vectorised environment holds all carts. An episode ends when its pole
    tips over 12 degrees, its cart leaves the track, or after 500 steps; the
    environment would then start another, which is not kept.

    Args:
        policy: ``policy(so_far, rows, step)`` gives an action, 0 or 1, for
            each episode in ``rows``. ``so_far`` holds states up to ``step``,
            actions and rewards before it, zeros after.
        count: how many episodes.
        seed: of the states that the environment starts from.
        label: what the progress bar says.

    Raises:
        ValueError: if ``count`` is below 1, or the policy's actions are not
            one 0 or 1 per row.
    """
    check_at_least(1, count=count)
    carts = gymnasium.make_vec(
        GAME, num_envs=count, vectorization_mode="vector_entry_point"
    )
    played = Episodes(
        states=torch.zeros(count, MAX_STEPS, len(STATE)),
        actions=torch.zeros(count, MAX_STEPS, dtype=torch.int64),
        rewards=torch.zeros(count, MAX_STEPS),
        lengths=torch.zeros(count, dtype=torch.int64),
    )
    seen, _ = carts.reset(seed=whole_number("seed", seed))
    rows = torch.arange(count)
    chosen = torch.zeros(count, dtype=torch.int64)
    # A step is small: more threads only wait.
    try:
        with cpu_threads(1), training.Progress(MAX_STEPS, label) as bar:
            for step in range(MAX_STEPS):
                played.states[rows, step] = torch.from_numpy(seen)[rows]
                chosen[rows] = _check_actions(policy(played, rows, step), rows)
                seen, reward, fallen, over, _ = carts.step(chosen.numpy())
                played.actions[rows, step] = chosen[rows]
                rewards = torch.from_numpy(reward).float()
                played.rewards[rows, step] = rewards[rows]
                played.lengths[rows] += 1
                rows = rows[~torch.from_numpy(fallen | over)[rows]]
                bar.update(step + 1)
                if not len(rows):
                    break
    finally:
        carts.close()
    return played


def _check_actions(actions: Tensor, rows: Tensor) -> Tensor:
    """Refuse actions that CartPole does not know."""
    fits = (
        isinstance(actions, Tensor)
        and actions.shape == rows.shape
        and bool(((actions == 0) | (actions == 1)).all())
    )
    if not fits:
        raise ValueError(
            f"policy: expected {len(rows)} actions, each 0 or 1, got {actions}"
        )
    return actions.long()


def linear_policy(
    weights: Sequence[float],
    *,
    noise: float = 0.0,
    lean: float = 0.0,
    seed: int = 0,
) -> Policy:
    """Make a policy by hand: push right if a weighted sum is positive.

    ``right if weights . state > lean_i``, and with probability ``noise`` a
    coin decides instead.

    Args:
        weights: one number for position and velocity of the cart, angle and
            angular velocity of the pole.
        noise: 0 never asks the coin, 1 always does.
        lean: how far off balance an episode is played; each episode draws
            its own ``lean_i``, of a size from ``lean / 2`` to ``lean``, to
            the left or right, and keeps it.
        seed: of coins and leans.

    Raises:
        ValueError: if there are not four weights, or ``noise`` is not from 0
            to 1.
    """
    if len(weights) != len(STATE):
        raise ValueError(
            f"weights: expected {len(STATE)} numbers, got {len(weights)}"
        )
    if not 0 <= noise <= 1:
        raise ValueError(f"noise: expected 0 to 1, got {noise}")
    generator = torch.Generator().manual_seed(whole_number("seed", seed))
    table = torch.tensor(weights, dtype=torch.float32)
    leans = torch.zeros(0)

    def policy(so_far: Episodes, rows: Tensor, step: int) -> Tensor:
        nonlocal leans
        # Drawn for all, so that no episode depends on who is still playing.
        draws = torch.rand(3, len(so_far), generator=generator)
        if step == 0:
            leans = lean * (0.5 + 0.5 * draws[0]) * (2 * draws[1].round() - 1)
            draws = torch.rand(3, len(so_far), generator=generator)
        score = so_far.states[rows, step] @ table - leans[rows]
        coin = draws[0, rows] < noise
        return torch.where(coin, draws[1, rows] < 0.5, score > 0).long()

    return policy
