"""Lesson 13: why attention is expensive, and what helps.

Reading order: ``measure`` says what something costs, and how that grows.
``online_softmax`` takes a softmax in pieces, ``masks`` says who
may attend to whom, ``tiled`` attends block by block, forward and backward.
``cache`` keeps what a decoder has already computed, ``grouped`` makes it
smaller, ``decoder`` uses both. ``linear`` gives up the softmax, and shows the
price. ``roofline`` predicts time and memory of models that do not fit on this
machine.
"""

from attn_course.efficient_attention.cache import KeyValueCache, cache_bytes
from attn_course.efficient_attention.decoder import (
    DecoderLM,
    Generated,
    generate,
)
from attn_course.efficient_attention.grouped import GroupedQueryAttention
from attn_course.efficient_attention.linear import (
    AssociativeRecall,
    LinearState,
    associative_recall_batch,
    elu_feature_map,
    linear_attention,
)
from attn_course.efficient_attention.masks import (
    CAUSAL,
    MaskMod,
    SlidingWindow,
    create_mask,
)
from attn_course.efficient_attention.measure import (
    Cost,
    fit_power_law,
    measure,
)
from attn_course.efficient_attention.online_softmax import (
    OnlineSoftmaxState,
    finalize,
    merge,
    update,
)
from attn_course.efficient_attention.roofline import (
    ACCELERATORS,
    BYTES,
    DECODE,
    MODELS,
    PHASES,
    PREFILL,
    Accelerator,
    Estimate,
    ModelSize,
    estimate,
)
from attn_course.efficient_attention.tiled import tiled_attention

__all__ = [
    "ACCELERATORS",
    "BYTES",
    "CAUSAL",
    "DECODE",
    "MODELS",
    "PHASES",
    "PREFILL",
    "Accelerator",
    "AssociativeRecall",
    "Cost",
    "DecoderLM",
    "Estimate",
    "Generated",
    "GroupedQueryAttention",
    "KeyValueCache",
    "LinearState",
    "MaskMod",
    "ModelSize",
    "OnlineSoftmaxState",
    "SlidingWindow",
    "associative_recall_batch",
    "cache_bytes",
    "create_mask",
    "elu_feature_map",
    "estimate",
    "finalize",
    "fit_power_law",
    "generate",
    "linear_attention",
    "measure",
    "merge",
    "tiled_attention",
    "update",
]
