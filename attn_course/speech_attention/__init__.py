"""Lesson 11: attention that listens.

Reading order: ``audio`` makes log-mel features of a recording,
``augmentation`` other voices and rooms, ``ctc`` sums over paths. ``encoders``
turn features into states, ``models`` turn states into words; ``batches`` and
``training`` train them and transcribe. ``errors`` counts what is wrong,
``alignment`` looks at the attention. ``command`` keeps a trained model in a
cache; ``python -m attn_course.speech_attention FILE.wav`` uses it.
"""

from attn_course.speech_attention.alignment import (
    align,
    centres,
    monotonicity,
    weight_inside,
)
from attn_course.speech_attention.audio import (
    HOP_LENGTH,
    MAX_SECONDS,
    N_FFT,
    N_MELS,
    RATE,
    TOP_DB,
    frame,
    hz_to_mel,
    length_mask,
    load_audio,
    log_mel_spectrogram,
    mean_normalize,
    mel_filterbank,
    shorten_silence,
)
from attn_course.speech_attention.augmentation import add_pauses, augment
from attn_course.speech_attention.batches import make_targets, speech_batches
from attn_course.speech_attention.command import (
    STEPS,
    Recogniser,
    cache_file,
    load_recogniser,
    main,
    save_recogniser,
    speech_words,
    train_recogniser,
)
from attn_course.speech_attention.ctc import (
    ctc_brute_force,
    ctc_collapse,
    ctc_forward,
    ctc_greedy_decode,
    ctc_loss,
)
from attn_course.speech_attention.encoders import (
    ENCODER_FRAME_SECONDS,
    STRIDE,
    AttentionEncoder,
    ConvSubsampling,
    RecurrentEncoder,
)
from attn_course.speech_attention.errors import (
    Edits,
    edit_counts,
    error_counts,
    error_interval,
)
from attn_course.speech_attention.models import (
    SPEECH_MODELS,
    CTCModel,
    ListenAttendSpell,
    SpeechTransformer,
)
from attn_course.speech_attention.training import train_speech, transcribe

__all__ = [
    "ENCODER_FRAME_SECONDS",
    "HOP_LENGTH",
    "MAX_SECONDS",
    "N_FFT",
    "N_MELS",
    "RATE",
    "SPEECH_MODELS",
    "STEPS",
    "STRIDE",
    "TOP_DB",
    "AttentionEncoder",
    "CTCModel",
    "ConvSubsampling",
    "Edits",
    "ListenAttendSpell",
    "Recogniser",
    "RecurrentEncoder",
    "SpeechTransformer",
    "add_pauses",
    "align",
    "augment",
    "cache_file",
    "centres",
    "ctc_brute_force",
    "ctc_collapse",
    "ctc_forward",
    "ctc_greedy_decode",
    "ctc_loss",
    "edit_counts",
    "error_counts",
    "error_interval",
    "frame",
    "hz_to_mel",
    "length_mask",
    "load_recogniser",
    "load_audio",
    "log_mel_spectrogram",
    "main",
    "make_targets",
    "mean_normalize",
    "mel_filterbank",
    "monotonicity",
    "save_recogniser",
    "shorten_silence",
    "speech_batches",
    "speech_words",
    "train_recogniser",
    "train_speech",
    "transcribe",
    "weight_inside",
]
