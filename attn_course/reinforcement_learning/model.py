"""A decision transformer: returns, states and actions in one row of tokens."""

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
from attn_course.transformer import Encoder

TOKEN_KINDS = ("return", "state", "action")
# About the largest numbers of the game: edge of the track, limit of the angle,
# and velocities of that size.
STATE_SCALE = (2.4, 2.0, 0.21, 2.0)


def interleave(
    returns: Float[Tensor, "batch steps dim"],
    states: Float[Tensor, "batch steps dim"],
    actions: Float[Tensor, "batch steps dim"],
) -> Float[Tensor, "batch tokens dim"]:
    """Put three tokens of each step side by side: R_1 s_1 a_1 R_2 s_2 a_2 ...

    Token ``3 t`` is the return of step t, ``3 t + 1`` its state and
    ``3 t + 2`` its action, counted from 0.

    Raises:
        ValueError: if the three are not of one shape.

    Source: Chen et al. (2021), section 3, equation 2.
    """
    for name, x in (("states", states), ("actions", actions)):
        if x.shape != returns.shape:
            raise ValueError(
                f"{name}: expected the returns' shape {tuple(returns.shape)},"
                f" got {tuple(x.shape)}"
            )
    steps = torch.stack([returns, states, actions], dim=2)
    # (batch, steps, 3, dim) to (batch, tokens, dim)
    return steps.flatten(1, 2)


class DecisionTransformer(nn.Module):
    """Read returns-to-go, states and actions; score each step's actions.

    ``tokens = interleave(R W_R + b_R, s W_s + b_s, table[a]) + time[t]``
    goes through a causal encoder; ``scores = x W + b`` are read at each
    *state* token, which sees the returns and states up to its step, and the
    actions before it. The three tokens of a step share one *timestep
    embedding*, for the steps since the episode began.

    Args of the constructor:
        context: the most steps that it reads.
        dim: numbers per token.
        heads: of each attention; must divide ``dim``.
        layers: of the encoder.
        dropout: as in ``Encoder``.
        return_conditioned: with False the return tokens hold nothing but the
            timestep: the same network, with as many parameters, clones
            behaviour.

    Source: Chen et al. (2021), section 3 and algorithm 1.
    """

    scale: Tensor

    def __init__(
        self,
        context: int = 10,
        dim: int = 32,
        heads: int = 2,
        layers: int = 1,
        *,
        dropout: float = 0.0,
        return_conditioned: bool = True,
    ) -> None:
        """Create the embeddings, the encoder and the output.

        Raises:
            ValueError: if ``context`` is below 1, or as ``Encoder`` does.
        """
        super().__init__()
        check_at_least(1, context=context)
        self.context, self.return_conditioned = context, return_conditioned
        self.embed_return = nn.Linear(1, dim)
        self.embed_state = nn.Linear(len(STATE), dim)
        self.embed_action = nn.Embedding(len(ACTIONS), dim)
        self.embed_timestep = nn.Embedding(MAX_STEPS, dim)
        nn.init.normal_(self.embed_timestep.weight, std=0.02)
        self.encoder = Encoder(layers, dim, heads, dropout=dropout)
        self.output = nn.Linear(dim, len(ACTIONS))
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
        need_weights: bool = False,
    ) -> tuple[
        Float[Tensor, "batch steps 2"],
        Float[Tensor, "layers batch heads tokens tokens"] | None,
    ]:
        """Score left and right at every step.

        Padding stands after an episode's end, where the causal mask hides it
        from every real step.

        Args:
            returns: to go, at each step.
            states: as the game gives them.
            actions: 0 or 1; the last one is not seen by any score.
            timesteps: steps since the episode began, from 0.
            hide: kinds of tokens (of ``TOKEN_KINDS``) that no other token may
                attend to.
            need_weights: return the weights of every layer too.

        Raises:
            ValueError: if there are more steps than ``context``, a kind is
                unknown, or the inputs do not fit each other.
        """
        steps = self._check(returns, states, actions, timesteps, hide)
        time = self.embed_timestep(timesteps)  # (batch, steps, dim)
        target = self.embed_return(returns[..., None] / MAX_STEPS)
        tokens = interleave(
            (target if self.return_conditioned else 0 * target) + time,
            self.embed_state(states / self.scale) + time,
            self.embed_action(actions) + time,
        )  # (batch, 3 * steps, dim)
        mask = None
        if hide:  # from all others: a token still sees itself
            shown = torch.tensor([kind not in hide for kind in TOKEN_KINDS])
            own = torch.eye(3 * steps, dtype=torch.bool)
            mask = (shown.repeat(steps) | own).to(tokens.device)
        x, weights = self.encoder(
            tokens, mask, is_causal=True, need_weights=need_weights
        )
        return self.output(x[:, 1::3]), weights  # at the state tokens

    def _check(
        self,
        returns: Tensor,
        states: Tensor,
        actions: Tensor,
        timesteps: Tensor,
        hide: Sequence[str],
    ) -> int:
        """Refuse inputs that do not fit; return the number of steps."""
        batch, steps = returns.shape
        if not 1 <= steps <= self.context:
            raise ValueError(
                f"returns: expected 1 to {self.context} steps (context), "
                f"got {steps}"
            )
        for name, x, shape in (
            ("states", states, (batch, steps, len(STATE))),
            ("actions", actions, (batch, steps)),
            ("timesteps", timesteps, (batch, steps)),
        ):
            if tuple(x.shape) != shape:
                raise ValueError(
                    f"{name}: expected shape {shape}, got {tuple(x.shape)}"
                )
        if isinstance(hide, str) or not set(hide) <= set(TOKEN_KINDS):
            raise ValueError(
                f"hide: expected some of {TOKEN_KINDS}, got {hide!r}"
            )
        return steps


def attention_by_kind(
    weights: Float[Tensor, "layers batch heads tokens tokens"],
) -> Float[Tensor, "steps 3"]:
    """Average the weights of the last state token, by steps back and kind.

    Row 0 is the step of the decision itself (its action, not yet taken, has
    weight 0), row 1 the step before, and so on; columns as in
    ``TOKEN_KINDS``. All
    together they sum to 1.

    Raises:
        ValueError: if the tokens do not come in threes.
    """
    tokens = weights.shape[-1]
    if tokens % len(TOKEN_KINDS) or weights.shape[-2] != tokens:
        raise ValueError(
            "weights: expected three tokens per step, queries as keys, got "
            f"{weights.shape[-2]} by {tokens}"
        )
    mean = weights[..., -2, :].mean(dim=(0, 1, 2))  # the last state's row
    return mean.view(-1, len(TOKEN_KINDS)).flip(
        0
    )  # (tokens,) to (steps, kinds)
