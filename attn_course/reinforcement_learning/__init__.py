"""Lesson 16: a Transformer that acts, by continuing a good episode.

Reading order: ``episodes`` plays many games at once and keeps them, with what
was still to come at each step. ``model`` puts returns, states and actions into
one row of tokens; its ``DecisionTransformer`` reads it, and
``attention_by_kind`` says what it looks at. ``windows`` makes the batches and
the loss of training, and the best fraction for a baseline. ``rvs`` is a baseline
that is told the return too, and has no attention. ``acting`` lets a model play,
asked for a return.
"""

from attn_course.reinforcement_learning.acting import (
    remaining_return,
    return_conditioned_policy,
)
from attn_course.reinforcement_learning.episodes import (
    ACTIONS,
    GAME,
    MAX_STEPS,
    STATE,
    Episodes,
    Policy,
    collect_episodes,
    linear_policy,
    returns_to_go,
)
from attn_course.reinforcement_learning.model import (
    TOKEN_KINDS,
    DecisionTransformer,
    attention_by_kind,
    interleave,
)
from attn_course.reinforcement_learning.rvs import RvS
from attn_course.reinforcement_learning.windows import (
    Window,
    action_loss,
    cut_windows,
    top_fraction,
    window_batches,
)

__all__ = [
    "ACTIONS",
    "GAME",
    "MAX_STEPS",
    "STATE",
    "TOKEN_KINDS",
    "DecisionTransformer",
    "Episodes",
    "Policy",
    "RvS",
    "Window",
    "action_loss",
    "attention_by_kind",
    "collect_episodes",
    "cut_windows",
    "interleave",
    "linear_policy",
    "remaining_return",
    "return_conditioned_policy",
    "returns_to_go",
    "top_fraction",
    "window_batches",
]
