"""Lesson 12: three ways in which one position can learn of another.

Reading order: in ``layers``, ``gru`` passes a state on and ``CausalConv``
looks at neighbours; attention is lesson 03's ``SelfAttention``. ``theory`` is
the table: path, sequential operations and multiply-adds of each. ``measured``
finds the same by gradient and by count. ``model`` puts each kind of layer into
a ``SequenceTagger`` of a given size, ``tasks`` draws three tasks for it, and
``curriculum`` spends an equal time on each.
"""

from attn_course.rnn_cnn_attention.curriculum import STAGES, Curriculum
from attn_course.rnn_cnn_attention.layers import (
    CausalConv,
    causal_unfold,
    gru,
    gru_step,
)
from attn_course.rnn_cnn_attention.measured import (
    after_n_layers,
    count_multiply_adds,
    critical_path_length,
    crossover_length,
    gradient_norms,
    layer_output,
    make_layer,
    receptive_field,
    truncate_steps,
)
from attn_course.rnn_cnn_attention.model import (
    DEPTH,
    AttentionBlock,
    ConvBlock,
    GRUBlock,
    SequenceTagger,
    width_for,
)
from attn_course.rnn_cnn_attention.tasks import (
    ASK,
    CARD,
    KEYS,
    RECALL_TOKENS,
    SYMBOLS,
    answer_loss,
    correct,
    parity_batch,
    recall_batch,
    rise_batch,
)
from attn_course.rnn_cnn_attention.theory import (
    LAYER_KINDS,
    LayerCost,
    layer_cost,
    path_length,
)

__all__ = [
    "ASK",
    "CARD",
    "DEPTH",
    "KEYS",
    "LAYER_KINDS",
    "RECALL_TOKENS",
    "STAGES",
    "SYMBOLS",
    "AttentionBlock",
    "CausalConv",
    "ConvBlock",
    "Curriculum",
    "GRUBlock",
    "LayerCost",
    "SequenceTagger",
    "after_n_layers",
    "answer_loss",
    "causal_unfold",
    "correct",
    "count_multiply_adds",
    "critical_path_length",
    "crossover_length",
    "gradient_norms",
    "gru",
    "gru_step",
    "layer_cost",
    "layer_output",
    "make_layer",
    "parity_batch",
    "path_length",
    "recall_batch",
    "receptive_field",
    "rise_batch",
    "truncate_steps",
    "width_for",
]
