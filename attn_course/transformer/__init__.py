"""Lesson 06: a whole Transformer, from lesson 04's attention.

Reading order: ``layers`` adds attention and a feed-forward network to the
residual stream, ``conversion`` copies weights from and to torch's layers.
``model`` stacks the layers, with embeddings and positions before and an output
layer behind. ``ablation`` removes a part, to see what it was for. ``recipe``
has two tricks of training, ``task`` what to train on.
"""

from attn_course.transformer.ablation import PARTS, ablate
from attn_course.transformer.conversion import ACTIVATIONS
from attn_course.transformer.layers import (
    DecoderLayer,
    EncoderLayer,
    Residual,
    feed_forward,
)
from attn_course.transformer.model import (
    Decoder,
    Encoder,
    Transformer,
    count_by_formula,
)
from attn_course.transformer.recipe import (
    noam_lr,
    smooth_labels,
    smoothed_loss,
)
from attn_course.transformer.task import reversals

__all__ = [
    "ACTIVATIONS",
    "PARTS",
    "Decoder",
    "DecoderLayer",
    "Encoder",
    "EncoderLayer",
    "Residual",
    "Transformer",
    "ablate",
    "count_by_formula",
    "feed_forward",
    "noam_lr",
    "reversals",
    "smooth_labels",
    "smoothed_loss",
]
