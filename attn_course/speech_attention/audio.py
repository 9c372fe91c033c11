"""From a recording to log-mel features.

``load_audio`` reads a file, ``shorten_silence`` cuts what is long of it;
``frame`` cuts the wave, ``mel_filterbank`` gathers frequencies,
``log_mel_spectrogram`` does it all, ``mean_normalize`` takes the microphone
away.
"""

import io
import math
import os
from pathlib import Path

import numpy as np
import soundfile
import torch
from jaxtyping import Bool, Float, Int
from scipy.signal import resample_poly
from torch import Tensor
from torch.nn import functional as F

from attn_course.data import speech

RATE = speech.SAMPLE_RATE  # samples a second
N_FFT, HOP_LENGTH = 256, 128  # samples: 32 ms, every 16 ms
N_MELS = 24
TOP_DB = 50.0  # how far below the loudest a feature may lie
MAX_SECONDS = 20.0  # of a learner's recording
MARGIN = 6  # frames, 0.1 s: what is left of a silence beside what is loud


def load_audio(source: bytes | str | os.PathLike) -> Float[Tensor, " samples"]:
    """Read a recording of any rate and format, as one channel at ``RATE``.

    Channels are averaged; another rate is resampled, with a filter that takes
    away what the new rate cannot hold.

    Args:
        source: the bytes of a file, or its path; .wav, or whatever else
            ``soundfile`` reads.

    Raises:
        ValueError: if it is empty, no sound file, damaged, silent, or longer
            than ``MAX_SECONDS``.
        OSError: if the path cannot be read.
    """
    content = (
        source if isinstance(source, bytes) else Path(source).read_bytes()
    )
    if not content:
        raise ValueError("source: expected a sound file, got an empty file")
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            rate, count = file.samplerate, len(file)
            if not 1_000 <= rate <= 400_000:
                raise ValueError(
                    "source: expected 1,000 to 400,000 samples a second, "
                    f"got {rate:,}"
                )
            if count > MAX_SECONDS * rate:
                raise ValueError(
                    f"source: expected at most {MAX_SECONDS:g} seconds, "
                    f"got {count / rate:.1f}"
                )
            samples = file.read(dtype="float64", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError) as error:
        raise ValueError(
            "source: expected a sound file such as .wav, got something that "
            f"is none or is damaged ({str(error).split(': ')[-1].strip('.')})"
        ) from None
    if len(samples) == 0:
        raise ValueError("source: expected some sound, got 0 samples")
    loudest = np.abs(samples).max()
    if not loudest < 1e9:  # nan too; far more, and a power is infinite
        raise ValueError(
            f"source: expected finite samples below 1e9, got {loudest:g}"
        )
    wave = samples.mean(axis=1)
    if np.abs(wave).max() < 1e-4:
        raise ValueError("source: expected a sound, got silence")
    if rate != RATE:
        divisor = math.gcd(rate, RATE)
        wave = resample_poly(wave, RATE // divisor, rate // divisor)
    return torch.from_numpy(wave).float()


def shorten_silence(wave: Float[Tensor, " samples"]) -> Float[Tensor, " some"]:
    """Leave 0.1 s of each silence beside what is loud, by level.

    At both ends, where zeros fill up what is missing, and on both sides of a
    pause. A frame is loud if it lies 6 decibels above the background, the
    tenth percentile of all frames; but at least 35 and at most 15 below the
    loudest. A recogniser that was trained on recordings without long silence
    may write words that nobody said where there is some.

    Raises:
        ValueError: if the wave is empty or not one row of samples.
    """
    background = _decibels(wave).quantile(0.1)
    # One hop more: a frame that is half loud begins a hop before the sound.
    wave = F.pad(wave, [(MARGIN + 1) * HOP_LENGTH] * 2)
    decibels = _decibels(wave)  # (frames,)
    loudest = decibels.max()
    level = torch.clamp(background + 6, min=loudest - 35, max=loudest - 15)
    loud = (decibels > level).float()
    near = F.max_pool1d(loud[None], 2 * MARGIN + 1, 1, MARGIN)[0]
    kept = near.repeat_interleave(HOP_LENGTH) > 0
    return wave[: len(kept)][kept]


def _decibels(wave: Float[Tensor, " samples"]) -> Float[Tensor, " frames"]:
    """Return each frame's power in decibels, -100 at least."""
    power = (frame(wave) ** 2).mean(dim=1)
    return 10 * torch.log10(power.clamp(min=1e-10))


def frame(wave: Float[Tensor, " samples"]) -> Float[Tensor, "frames n_fft"]:
    """Cut a wave into overlapping frames of ``N_FFT``, one every ``HOP_LENGTH``.

    A wave shorter than one frame is filled up with quiet; what is left at the
    end and fills no frame is left out.

    Raises:
        ValueError: if the wave is empty or not one row of samples.
    """
    if wave.dim() != 1 or not len(wave):
        raise ValueError(
            f"wave: expected one row of samples, got shape {tuple(wave.shape)}"
        )
    padded = F.pad(wave, (0, max(0, N_FFT - len(wave))))
    return padded.unfold(0, N_FFT, HOP_LENGTH)


def hz_to_mel(hertz: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Turn a frequency into its position on the mel scale.

    ``mel = 2595 log10(1 + hertz / 700)``: nearly even steps of heard pitch.

    Source: O'Shaughnessy (1987), "Speech communication", page 150; after
    Stevens, Volkmann and Newman (1937).
    """
    return 2595 * torch.log10(1 + hertz / 700)


def mel_filterbank(
    n_mels: int = N_MELS, f_min: float = 60.0, f_max: float = RATE / 2
) -> Float[Tensor, "n_mels bins"]:
    """Make triangles over the frequencies, evenly spaced in mel.

    Each rises from its left neighbour's middle to its own, where it is 1, and
    falls to its right neighbour's.

    Raises:
        ValueError: if ``n_mels`` is below 1, or not ``0 <= f_min < f_max``.

    Source: Davis and Mermelstein (1980), "Comparison of parametric
    representations for monosyllabic word recognition", section II.
    """
    if n_mels < 1:
        raise ValueError(f"n_mels: expected 1 or more, got {n_mels}")
    if not 0 <= f_min < f_max:
        raise ValueError(
            f"f_min: expected 0 or more, below f_max = {f_max:g}, "
            f"got {f_min:g}"
        )
    ends = hz_to_mel(torch.tensor([f_min, f_max], dtype=torch.float64))
    points = torch.linspace(*ends.tolist(), n_mels + 2, dtype=torch.float64)
    points = 700 * (10 ** (points / 2595) - 1)  # back in hertz
    bins = torch.fft.rfftfreq(N_FFT, 1 / RATE, dtype=torch.float64)
    gaps = points.diff()[:, None]  # (n_mels + 1, 1)
    distance = bins - points[:, None]  # (n_mels + 2, bins)
    rising, falling = distance[:-2] / gaps[:-1], -distance[2:] / gaps[1:]
    return torch.minimum(rising, falling).clamp(min=0).float()


def log_mel_spectrogram(
    wave: Float[Tensor, " samples"],
) -> Float[Tensor, "frames n_mels"]:
    """Make the features: log power in each mel band, from 0 to 1.

    Frames, Hann window, power spectrum, mel filters, decibels. The loudest
    feature becomes 1, one that is ``TOP_DB`` weaker or less becomes 0: so a
    louder recording has the same features. Silence is all 0.

    Raises:
        ValueError: if the wave is empty or not one row of samples.
    """
    window = torch.hann_window(N_FFT, device=wave.device)
    spectrum = torch.fft.rfft(frame(wave) * window)  # (frames, bins)
    power = spectrum.abs() ** 2 @ mel_filterbank().to(wave.device).T
    decibels = 10 * torch.log10(power.clamp(min=1e-10))
    if decibels.max() <= -100:
        return torch.zeros_like(decibels)
    return (1 + (decibels - decibels.max()) / TOP_DB).clamp(min=0)


def mean_normalize(
    features: Float[Tensor, "batch frames n_mels"],
    lengths: Int[Tensor, " batch"],
) -> Float[Tensor, "batch frames n_mels"]:
    """Take from each band its mean over the recording; padding becomes 0.

    ``x[t, band] - mean over real t of x[t, band]``: a microphone that makes
    a band louder adds the same to all of its frames, and that is gone.

    Source: Atal (1974), "Effectiveness of linear prediction characteristics of
    the speech wave for automatic speaker identification and verification";
    there on the cepstrum, which is a linear map of such features.
    """
    real = length_mask(lengths, features.shape[1])[..., None]
    mean = (features * real).sum(dim=1, keepdim=True) / lengths[:, None, None]
    return (features - mean) * real


def length_mask(
    lengths: Int[Tensor, " batch"], max_length: int
) -> Bool[Tensor, "batch max_length"]:
    """Say which positions are real: those before each row's length."""
    positions = torch.arange(max_length, device=lengths.device)
    return positions < lengths[:, None]
