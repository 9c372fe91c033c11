"""A trained model to keep, and the program that transcribes files with it."""

import hashlib
import json
import os
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from attn_course.common.text import Vocabulary
from attn_course.data import speech
from attn_course.speech_attention.audio import (
    load_audio,
    log_mel_spectrogram,
    shorten_silence,
)
from attn_course.speech_attention.augmentation import add_pauses
from attn_course.speech_attention.batches import make_targets, speech_batches
from attn_course.speech_attention.models import SPEECH_MODELS
from attn_course.speech_attention.training import train_speech, transcribe

STEPS = 2_400  # batches of training, for a model to keep
VERSION = "5"  # of a kept model: changes with what its numbers mean


class Recogniser(NamedTuple):
    """A trained model and its words."""

    model: nn.Module
    vocabulary: Vocabulary
    kind: str

    def __call__(self, wave: Float[Tensor, " samples"]) -> str:
        """Write down what is said in one recording, by the model's CTC part."""
        way = "greedy_decode" if self.kind == "CTC" else "ctc_greedy_decode"
        features = [self.features(wave)]
        return transcribe(self.model, self.vocabulary, features, method=way)[0]

    def features(
        self, wave: Float[Tensor, " samples"]
    ) -> Float[Tensor, "frames n_mels"]:
        """Make a recording's features, on the model's device.

        Long silence is shortened: the model was trained without any.
        """
        device = next(self.model.parameters()).device
        return log_mel_spectrogram(shorten_silence(wave.to(device)))


def cache_file() -> Path:
    """Say where the trained model is kept.

    ``speech.safetensors`` in the folder that the environment variable
    ``ATTN_CACHE`` names, else in ``attn_course`` in the user's cache folder.

    Raises:
        FileNotFoundError: if the user has no home folder.
    """
    if os.environ.get("ATTN_CACHE"):
        return Path(os.environ["ATTN_CACHE"]) / "speech.safetensors"
    try:
        home = Path.home()
    except RuntimeError:  # a user without a name, as in some containers
        raise FileNotFoundError(
            "ATTN_CACHE: expected a folder to keep the model in, got none, "
            "and there is no home folder"
        ) from None
    usual = {
        "win32": os.environ.get("LOCALAPPDATA", home / "AppData/Local"),
        "darwin": home / "Library/Caches",
    }.get(sys.platform, os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return Path(usual) / "attn_course" / "speech.safetensors"


def save_recogniser(recogniser: Recogniser, path: Path | None = None) -> None:
    """Keep a trained model; whoever reads meanwhile finds the old one whole.

    Raises:
        OSError: if the folder cannot be written.
    """
    from safetensors.torch import save as to_bytes

    path = path or cache_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    about = {
        "version": VERSION,
        "kind": recogniser.kind,
        "dim": str(recogniser.model.ctc_head.in_features),
        "words": json.dumps(recogniser.vocabulary.words),
    }
    tensors = {
        name: tensor.contiguous().cpu()
        for name, tensor in recogniser.model.state_dict().items()
    }
    about["sha256"] = _digest(about, tensors)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(to_bytes(tensors, about))
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def load_recogniser(path: Path | None = None) -> Recogniser:
    """Read the trained model back.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if the file is damaged or of another version.
    """
    from safetensors import safe_open

    path = path or cache_file()
    if not path.exists():
        raise FileNotFoundError(f"path: expected a trained model at {path}")
    try:
        if not path.is_file():
            raise ValueError("not a file")
        with safe_open(path, "pt") as file:
            about = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        right = about.pop("sha256") == _digest(about, tensors)
        if not right or about["version"] != VERSION:
            raise ValueError("other bits, or another version")
        vocabulary = Vocabulary(json.loads(about["words"]))
        make_model = SPEECH_MODELS[about["kind"]]
        model = make_model(len(vocabulary), int(about["dim"]))
        model.load_state_dict(tensors)
    except Exception as error:  # a damaged file fails in any way
        raise ValueError(
            f"path: expected a trained model at {path}, found a damaged file "
            f"or one of another version ({type(error).__name__})"
        ) from None
    return Recogniser(model.eval(), vocabulary, about["kind"])


def _digest(about: Mapping[str, str], tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of what a file says: one other bit is noticed."""
    found = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.numpy().tobytes())
    return found.hexdigest()


def train_recogniser(
    steps: int = STEPS,
    kind: str = "Transformer",
    *,
    dim: int = 128,
    seed: int = 0,
    tell: Callable[[str], None] = lambda _: None,
) -> Recogniser:
    """Train the lesson's model on the embedded voices, and say how far it is.

    Args:
        steps: batches of 16 recordings.
        kind: one of ``SPEECH_MODELS``.
        dim: size of each encoder frame.
        seed: of weights and batches.
        tell: called with a line now and then.
    """
    recordings = speech.load("train") + speech.load("other")
    texts = [one.text for one in recordings]
    vocabulary = Vocabulary.from_texts(texts, min_freq=1)
    dice = random.Random(seed)
    batches = speech_batches(
        [log_mel_spectrogram(add_pauses(one, dice)) for one in recordings],
        make_targets(vocabulary, texts),
        seed=seed,
    )

    def with_progress(step: int):
        if step % max(1, steps // 20) == 0:
            tell(f"training: step {step} of {steps}")
        return batches(step)

    torch.manual_seed(seed)
    model = SPEECH_MODELS[kind](len(vocabulary), dim)
    train_speech(model, with_progress, steps=steps)
    return Recogniser(model, vocabulary, kind)


def main(arguments: Sequence[str]) -> int:
    """Print a transcript per file; return 1 if one could not be read.

    ``-`` is the standard input.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        print(
            "use: python -m attn_course.speech_attention FILE.wav ... "
            "(- for standard input)"
        )
        print(
            f"It knows {len(speech_words())} English words: digits and "
            "short commands."
        )
        return 0 if arguments else 2

    def tell(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    recordings = []  # all are read first: training for nothing takes minutes
    for name in arguments:
        try:
            source = sys.stdin.buffer.read() if name == "-" else name
            recordings.append((name, load_audio(source)))
        except (OSError, ValueError) as error:
            tell(f"{name}: {error}")
    if recordings:
        recogniser = load_or_train(tell)
        for name, wave in recordings:
            print(f"{name}: {recogniser(wave)}", flush=True)
    return int(len(recordings) < len(arguments))


def load_or_train(tell: Callable[[str], None]) -> Recogniser:
    """Read the kept model; if there is none, train one and try to keep it."""
    try:
        return load_recogniser()
    except ValueError as error:
        tell(f"{error}; training anew")
    except OSError:
        tell("no trained model yet: training one, once")
    tell("this takes some minutes")
    recogniser = train_recogniser(tell=tell)
    try:
        save_recogniser(recogniser)
        tell(f"kept at {cache_file()}")
    except OSError as error:
        tell(f"not kept, so the next call trains anew: {error}")
    return recogniser


def speech_words() -> list[str]:
    """Return the words that the training recordings hold."""
    texts = [one.text for one in speech.load("train")]
    return sorted(Vocabulary.from_texts(texts, min_freq=1).words)
