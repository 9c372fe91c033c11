"""Lesson 16: a Transformer that acts, by continuing a good episode.

Reading order: ``returns_to_go`` says what is still to come, ``Episodes`` keeps
what was played, ``play`` plays many at once, ``linear_policy`` is a player
made by hand. ``interleave`` puts returns, states and actions into one row of
tokens, ``DecisionTransformer`` reads it, ``window_batches`` and
``action_loss`` train it, ``best_share`` is the choice of a rival.
``still_to_get`` and ``asking_policy`` let it play, asked for a return.
``attention_by_kind`` says what it looks at.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import gymnasium
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from attn_course import training
from attn_course.scaled_dot_product import causal_mask
from attn_course.transformer import Encoder

GAME = "CartPole-v1"
LONGEST = 500  # steps: CartPole-v1 ends an episode there
STATE = ("place", "speed", "angle", "turning")
ACTIONS = ("left", "right")
KINDS = ("return", "state", "action")


# Episodes ------------------------------------------------------------------


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


def play(
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
    if count < 1:
        raise ValueError(f"count: expected 1 or more, got {count}")
    carts = gymnasium.make_vec(
        GAME, num_envs=count, vectorization_mode="vector_entry_point"
    )
    played = Episodes(
        states=torch.zeros(count, LONGEST, len(STATE)),
        actions=torch.zeros(count, LONGEST, dtype=torch.int64),
        rewards=torch.zeros(count, LONGEST),
        lengths=torch.zeros(count, dtype=torch.int64),
    )
    seen, _ = carts.reset(seed=seed)
    rows = torch.arange(count)
    chosen = torch.zeros(count, dtype=torch.int64)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a step is small: more threads only wait
    try:
        with training.Progress(LONGEST, label) as bar:
            for step in range(LONGEST):
                played.states[rows, step] = torch.from_numpy(seen)[rows]
                chosen[rows] = _check_actions(policy(played, rows, step), rows)
                seen, reward, fallen, over, _ = carts.step(chosen.numpy())
                played.actions[rows, step] = chosen[rows]
                got = torch.from_numpy(reward).float()
                played.rewards[rows, step] = got[rows]
                played.lengths[rows] += 1
                rows = rows[~torch.from_numpy(fallen | over)[rows]]
                bar.update(step + 1)
                if not len(rows):
                    break
    finally:
        torch.set_num_threads(threads)
        carts.close()
    return played


def linear_policy(
    weights: Sequence[float],
    *,
    noise: float = 0.0,
    lean: float = 0.0,
    seed: int = 0,
) -> Policy:
    """Make a player by hand: push right if a weighted sum is positive.

    ``right if weights . state > lean_i``, and with probability ``noise`` a
    coin decides instead.

    Args:
        weights: one number for place, speed, angle and turning of the pole.
        noise: 0 never asks the coin, 1 always does.
        lean: how far off balance an episode's player is; each episode draws
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
    random = torch.Generator().manual_seed(seed)
    table = torch.tensor(weights, dtype=torch.float32)
    leans = torch.zeros(0)

    def policy(so_far: Episodes, rows: Tensor, step: int) -> Tensor:
        nonlocal leans
        # Drawn for all, so that no episode depends on who is still playing.
        draws = torch.rand(3, len(so_far), generator=random)
        if step == 0:
            leans = lean * (0.5 + 0.5 * draws[0]) * (2 * draws[1].round() - 1)
            draws = torch.rand(3, len(so_far), generator=random)
        score = so_far.states[rows, step] @ table - leans[rows]
        coin = draws[0, rows] < noise
        return torch.where(coin, draws[1, rows] < 0.5, score > 0).long()

    return policy


# The model -----------------------------------------------------------------


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
    return steps.flatten(
        1, 2
    )  # (batch, steps, 3, dim) to (batch, tokens, dim)


class Window(NamedTuple):
    """A few steps in a row out of each of several episodes."""

    returns: Float[Tensor, "batch steps"]  # to go
    states: Float[Tensor, "batch steps 4"]
    actions: Int[Tensor, "batch steps"]
    times: Int[Tensor, "batch steps"]  # steps since the episode began
    real: Bool[Tensor, "batch steps"]  # False = padding, after the end


class DecisionTransformer(nn.Module):
    """Read returns-to-go, states and actions; score each step's actions.

    ``tokens = interleave(R W_R + b_R, s W_s + b_s, table[a]) + clock[t]``
    goes through a causal encoder; ``scores = x W + b`` are read at each
    *state* token, which sees the returns and states up to its step, and the
    actions before it. The three tokens of a step share one clock vector, for
    the steps since the episode began.

    Args of the constructor:
        context: the most steps that it reads.
        dim: numbers per token.
        heads: of each attention; must divide ``dim``.
        layers: of the encoder.
        dropout: as in ``Encoder``.
        told: with False the return tokens hold nothing but the clock: the
            same network, with as many parameters, clones behaviour.

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
        told: bool = True,
    ) -> None:
        """Create the embeddings, the encoder and the output.

        Raises:
            ValueError: if ``context`` is below 1, or as ``Encoder`` does.
        """
        super().__init__()
        if context < 1:
            raise ValueError(f"context: expected 1 or more, got {context}")
        self.context, self.told = context, told
        self.embed_return = nn.Linear(1, dim)
        self.embed_state = nn.Linear(len(STATE), dim)
        self.embed_action = nn.Embedding(len(ACTIONS), dim)
        self.clock = nn.Embedding(LONGEST, dim)
        nn.init.normal_(self.clock.weight, std=0.02)
        self.encoder = Encoder(layers, dim, heads, dropout=dropout)
        self.output = nn.Linear(dim, len(ACTIONS))
        # About the largest numbers of the game: edge of the track, limit of
        # the angle, and speeds of that size.
        scale = torch.tensor([2.4, 2.0, 0.21, 2.0])
        self.register_buffer("scale", scale, persistent=False)

    def forward(
        self,
        returns: Float[Tensor, "batch steps"],
        states: Float[Tensor, "batch steps 4"],
        actions: Int[Tensor, "batch steps"],
        times: Int[Tensor, "batch steps"],
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
            times: steps since the episode began, from 0.
            hide: kinds of tokens (of ``KINDS``) that no other token may
                attend to.
            need_weights: return the weights of every layer too.

        Raises:
            ValueError: if there are more steps than ``context``, a kind is
                unknown, or the inputs do not fit each other.
        """
        steps = self._check(returns, states, actions, times, hide)
        clock = self.clock(times)  # (batch, steps, dim), for all three
        wanted = self.embed_return(returns[..., None] / LONGEST)
        tokens = interleave(
            (wanted if self.told else 0 * wanted) + clock,
            self.embed_state(states / self.scale) + clock,
            self.embed_action(actions) + clock,
        )  # (batch, 3 * steps, dim)
        mask = causal_mask(3 * steps, device=tokens.device)
        if hide:
            shown = torch.tensor([kind not in hide for kind in KINDS])
            own = torch.eye(3 * steps, dtype=torch.bool)
            mask &= (shown.repeat(steps) | own).to(mask.device)
        found, weights = self.encoder(tokens, mask, need_weights=need_weights)
        return self.output(found[:, 1::3]), weights  # at the state tokens

    def _check(
        self,
        returns: Tensor,
        states: Tensor,
        actions: Tensor,
        times: Tensor,
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
            ("times", times, (batch, steps)),
        ):
            if tuple(x.shape) != shape:
                raise ValueError(
                    f"{name}: expected shape {shape}, got {tuple(x.shape)}"
                )
        for name, x, most in (
            ("actions", actions, len(ACTIONS)),
            ("times", times, LONGEST),
        ):
            if x.min() < 0 or x.max() >= most:
                raise ValueError(
                    f"{name}: expected 0 to {most - 1}, got "
                    f"{x.min()} to {x.max()}"
                )
        if isinstance(hide, str) or not set(hide) <= set(KINDS):
            raise ValueError(f"hide: expected some of {KINDS}, got {hide!r}")
        return steps


# Training ------------------------------------------------------------------


def cut_windows(
    episodes: Episodes,
    rows: Int[Tensor, " batch"],
    starts: Int[Tensor, " batch"],
    context: int,
) -> Window:
    """Cut ``context`` steps out of each of these episodes, from a start on.

    What lies after an episode's end is padding: zeros, and ``real`` is False.
    """
    times = starts[:, None] + torch.arange(context)  # (batch, steps)
    real = times < episodes.lengths[rows, None]
    times = times * real
    togo = returns_to_go(episodes.rewards[rows])  # (batch, all steps)
    rows = rows[:, None]
    return Window(
        togo.gather(1, times) * real,
        episodes.states[rows, times] * real[..., None],
        episodes.actions[rows, times] * real,
        times,
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
    places = (steps < episodes.lengths[:, None]).nonzero()  # episode, step
    if not len(places):
        raise ValueError("episodes: expected at least one step, got none")
    random = torch.Generator().manual_seed(seed)

    def batch(_: int) -> Window:
        chosen = torch.randint(len(places), (size,), generator=random)
        rows, starts = places[chosen].T
        return cut_windows(episodes, rows, starts, context)

    return batch


def action_loss(model: nn.Module, window: Window) -> Float[Tensor, ""]:
    """Take the cross-entropy of the actions that were taken, where real."""
    returns, states, actions, times, real = window
    scores, _ = model(returns, states, actions, times)
    return F.cross_entropy(scores[real], actions[real])


def best_share(episodes: Episodes, share: float) -> Episodes:
    """Return the share of the episodes that have the highest returns.

    Raises:
        ValueError: if ``share`` is not above 0 and at most 1.

    Source: Chen et al. (2021), section 5.1, "percentile behavior cloning".
    """
    if not 0 < share <= 1:
        raise ValueError(f"share: expected above 0, up to 1, got {share}")
    count = max(1, round(share * len(episodes)))
    order = episodes.returns.argsort(descending=True, stable=True)
    return episodes.pick(order[:count])


# Playing -------------------------------------------------------------------


def still_to_get(
    asked: Float[Tensor, " n"], rewards: Float[Tensor, "n steps"]
) -> Float[Tensor, "n steps"]:
    """Say at each step how much of the asked return is still to come.

    ``R_t = asked - (r_0 + ... + r_{t-1})``, and never below 1: in CartPole
    whoever acts gets at least this step's reward, so training has seen no
    smaller return-to-go.

    Source: Chen et al. (2021), section 3 and algorithm 1; the floor is ours.
    """
    before = rewards.cumsum(dim=-1) - rewards
    return (asked[:, None] - before).clamp(min=1.0)


def asking_policy(
    model: DecisionTransformer,
    asked: Float[Tensor, " n"],
    *,
    greedy: bool = False,
    hide: Sequence[str] = (),
    seed: int = 0,
) -> Policy:
    """Let a model play episode i, asked for the return ``asked[i]``.

    At each step it reads the last ``context`` steps of its own episode, with
    the returns that are still to get.

    Args:
        model: a :class:`DecisionTransformer`, or a clone of one, which does
            not see what is asked.
        asked: one return per episode.
        greedy: take the likelier action; by default it is drawn by its
            probability, as noisy players act.
        hide: as in the model.
        seed: of the draws.

    Raises:
        ValueError: if there is not one finite return per episode.
    """
    if asked.dim() != 1 or not asked.isfinite().all():
        raise ValueError(
            "asked: expected one finite return per episode, got shape "
            f"{tuple(asked.shape)}"
        )
    random = torch.Generator().manual_seed(seed)

    @torch.no_grad()
    def policy(so_far: Episodes, rows: Tensor, step: int) -> Tensor:
        if len(asked) != len(so_far):
            raise ValueError(
                f"asked: expected {len(so_far)} returns, one per episode, "
                f"got {len(asked)}"
            )
        first = max(0, step + 1 - model.context)
        last = slice(first, step + 1)
        togo = still_to_get(asked[rows], so_far.rewards[rows, : step + 1])
        scores, _ = model(
            togo[:, last],
            so_far.states[rows, last],
            so_far.actions[rows, last],
            torch.arange(first, step + 1).expand(len(rows), -1),
            hide=hide,
        )
        chances = scores[:, -1].softmax(dim=-1)[:, 1]  # of pushing right
        draws = torch.rand(len(so_far), generator=random)[rows]
        return (chances > (0.5 if greedy else draws)).long()

    return policy


# What it looks at ----------------------------------------------------------


def attention_by_kind(
    weights: Float[Tensor, "layers batch heads tokens tokens"],
) -> Float[Tensor, "steps 3"]:
    """Average the weights of the last state token, by steps back and kind.

    Row 0 is the step of the decision itself (its action, not yet taken, has
    weight 0), row 1 the step before, and so on; columns as in ``KINDS``. All
    together they sum to 1.

    Raises:
        ValueError: if the tokens do not come in threes.
    """
    tokens = weights.shape[-1]
    if tokens % len(KINDS) or weights.shape[-2] != tokens:
        raise ValueError(
            "weights: expected three tokens per step, queries as keys, got "
            f"{weights.shape[-2]} by {tokens}"
        )
    mean = weights[..., -2, :].mean(dim=(0, 1, 2))  # the last state's row
    return mean.view(-1, len(KINDS)).flip(0)  # (tokens,) to (steps, kinds)


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
