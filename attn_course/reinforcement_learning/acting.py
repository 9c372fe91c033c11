"""Let a model act, conditioned on the return that one wants."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from attn_course.common.arguments import whole_number
from attn_course.common.evaluation import evaluating
from attn_course.reinforcement_learning.episodes import Episodes, Policy
from attn_course.reinforcement_learning.model import DecisionTransformer
from attn_course.reinforcement_learning.rvs import RvS


def remaining_return(
    target_return: Float[Tensor, " n"], rewards: Float[Tensor, "n steps"]
) -> Float[Tensor, "n steps"]:
    """Say at each step how much of the target return is still to come.

    ``R_t = target_return - (r_0 + ... + r_{t-1})``, and never below 1: in
    CartPole whoever acts gets at least this step's reward, so training has
    seen no smaller return-to-go.

    Source: Chen et al. (2021), section 3 and algorithm 1; the floor is ours.
    """
    before = rewards.cumsum(dim=-1) - rewards
    return (target_return[:, None] - before).clamp(min=1.0)


def return_conditioned_policy(
    model: DecisionTransformer | RvS,
    target_return: Float[Tensor, " n"],
    *,
    greedy: bool = False,
    hide: Sequence[str] = (),
    seed: int = 0,
) -> Policy:
    """Let a model play episode i, asked for the return ``target_return[i]``.

    At each step it reads the last ``context`` steps of its own episode, with
    the remaining returns.

    Args:
        model: a :class:`DecisionTransformer` or :class:`RvS`, or a clone,
            which does not see what is asked; used in evaluation mode.
        target_return: one per episode.
        greedy: take the more probable action; by default it is drawn by its
            probability, as noisy players act.
        hide: as in the model.
        seed: of the draws.

    Raises:
        ValueError: if there is not one finite return per episode.
    """
    if target_return.dim() != 1 or not target_return.isfinite().all():
        raise ValueError(
            "target_return: expected one finite return per episode, got shape "
            f"{tuple(target_return.shape)}"
        )
    generator = torch.Generator().manual_seed(whole_number("seed", seed))

    @torch.no_grad()
    def policy(so_far: Episodes, rows: Tensor, step: int) -> Tensor:
        if len(target_return) != len(so_far):
            raise ValueError(
                f"target_return: expected {len(so_far)} returns, one per "
                f"episode, got {len(target_return)}"
            )
        first = max(0, step + 1 - model.context)
        last = slice(first, step + 1)
        to_go = remaining_return(
            target_return[rows], so_far.rewards[rows, : step + 1]
        )
        with evaluating(model):
            scores, _ = model(
                to_go[:, last],
                so_far.states[rows, last],
                so_far.actions[rows, last],
                torch.arange(first, step + 1).expand(len(rows), -1),
                hide=hide,
            )
        probs = scores[:, -1].softmax(dim=-1)[:, 1]  # of pushing right
        draws = torch.rand(len(so_far), generator=generator)[rows]
        return (probs > (0.5 if greedy else draws)).long()

    return policy
