"""Lesson 07: from sentence pairs to a translator, and how to judge it.

Reading order: ``subwords`` learns merges of neighbouring pieces and cuts words
by them, ``batches`` makes tensors of sentence pairs, ``search`` looks for the
likeliest translation, ``translator`` goes from text to text. ``metrics``
judges by BLEU and chrF, with intervals; ``error_types`` names what a rule can
see; ``baselines`` is the system that understands nothing.
"""

from attn_course.translation.baselines import (
    TranslationMemory as TranslationMemory,
)
from attn_course.translation.batches import BucketBatches as BucketBatches
from attn_course.translation.errors import ERROR_TYPES as ERROR_TYPES
from attn_course.translation.errors import error_types as error_types
from attn_course.translation.metrics import BleuParts as BleuParts
from attn_course.translation.metrics import bleu as bleu
from attn_course.translation.metrics import bleu_parts as bleu_parts
from attn_course.translation.metrics import chrf as chrf
from attn_course.translation.metrics import compare_systems as compare_systems
from attn_course.translation.metrics import sentence_bleu as sentence_bleu
from attn_course.translation.metrics import signature as signature
from attn_course.translation.search import beam_search as beam_search
from attn_course.translation.subwords import PLACEHOLDERS as PLACEHOLDERS
from attn_course.translation.subwords import Tokenizer as Tokenizer
from attn_course.translation.subwords import apply_bpe as apply_bpe
from attn_course.translation.subwords import learn_bpe as learn_bpe
from attn_course.translation.translator import (
    TranslationWithAttention as TranslationWithAttention,
)
from attn_course.translation.translator import Translator as Translator
