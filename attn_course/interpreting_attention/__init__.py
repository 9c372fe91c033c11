"""Lesson 14: what a head does, and whether its weights explain the answer.

Reading order: ``model`` puts a pretrained model's weights into lesson 06's
layers, and ``reading`` lets it read sentences. ``patterns`` says what each head
looks at, and asks for pronouns. ``attribution`` asks what the words are for:
``attention_flow`` is the sibling of lesson 09's ``attention_rollout``,
``leave_one_out`` asks the model itself, ``integrated_gradients`` walks from a
baseline to the sentence. ``interventions`` silences heads and changes the
weights inside the model. Last, ``induction``: a model that is small enough to
understand, the scores of its heads, and ``ablate_path``, which hides heads from
one part of the next layer only.
"""

from attn_course.interpreting_attention.attribution import (
    attention_flow,
    integrated_gradients,
    leave_one_out,
)
from attn_course.interpreting_attention.induction import (
    PATHS,
    AttentionOnly,
    ablate_path,
    induction_scores,
    induction_targets,
    previous_token_scores,
    repeat_losses,
    repeated_blocks,
)
from attn_course.interpreting_attention.interventions import (
    head_importance,
    mask_heads,
    patch_attention,
    permute_weights,
    uniform_weights,
)
from attn_course.interpreting_attention.model import (
    PatchableAttention,
    SentenceEncoder,
    convert_state_dict,
    load_minilm,
    mean_pool,
    model_folder,
)
from attn_course.interpreting_attention.patterns import (
    PATTERNS,
    Reference,
    meaning_references,
    pattern_scores,
    reference_hits,
    references,
)
from attn_course.interpreting_attention.reading import (
    SentenceReading,
    encode,
    load_tokenizer,
    merge_tokens,
    read_sentences,
)

__all__ = [
    "PATHS",
    "PATTERNS",
    "AttentionOnly",
    "PatchableAttention",
    "Reference",
    "SentenceEncoder",
    "SentenceReading",
    "ablate_path",
    "attention_flow",
    "convert_state_dict",
    "encode",
    "head_importance",
    "induction_scores",
    "induction_targets",
    "integrated_gradients",
    "leave_one_out",
    "load_minilm",
    "load_tokenizer",
    "mask_heads",
    "mean_pool",
    "meaning_references",
    "merge_tokens",
    "model_folder",
    "patch_attention",
    "pattern_scores",
    "permute_weights",
    "previous_token_scores",
    "read_sentences",
    "reference_hits",
    "references",
    "repeat_losses",
    "repeated_blocks",
    "uniform_weights",
]
