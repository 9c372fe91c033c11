"""Pauses between words, other voices, other rooms: data augmentation."""

import math
import random

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from attn_course.data.speech import Recording
from attn_course.speech_attention.audio import RATE, TOP_DB


def add_pauses(
    one: Recording, dice: random.Random, longest: float = 0.3
) -> Float[Tensor, " longer"]:
    """Part the words of every second recording; return the wave.

    Up to ``longest`` seconds of silence come before each word but the first:
    a program rarely pauses between words, and people do.
    """
    starts = [round(start * RATE) for start in one.starts[1:]]
    if not starts or dice.random() > 0.5:
        return one.wave
    first, *others = torch.tensor_split(one.wave, starts)
    parts = [first]
    for word in others:
        silence = torch.zeros(round(RATE * dice.uniform(0, longest)))
        parts += [silence, word]
    return torch.cat(parts)


def augment(
    features: Float[Tensor, "batch frames n_mels"],
    lengths: Int[Tensor, " batch"],
    generator: torch.Generator,
    *,
    stretch: tuple[float, float] = (0.85, 1.45),
    quiet: float = 8.0,
    warp: float = 0.16,
    colour: float = 0.06,
    noise: bool = True,
    band_limit: float = 0.3,
) -> tuple[Float[Tensor, "batch longer n_mels"], Int[Tensor, " batch"]]:
    """Change recordings as other speakers, rooms and telephones would.

    Each recording gets its own draw, on its features, which is far cheaper
    than on the wave: time is stretched and the bands are warped (another
    speed, another throat), with some quiet before and after; a curve over the
    bands is added (another microphone), noise of any level, and the upper
    bands are cut off (a telephone). Then the loudest feature is 1 again.

    Args:
        features: as ``log_mel_spectrogram`` makes them, padded with 0.
        lengths: how many frames of each are real.
        generator: where the random numbers come from.
        stretch: time becomes this many times as long, at least and at most.
        quiet: frames of quiet before and after, at most.
        warp: bands are warped by ``1 - warp`` to ``1 + warp``.
        colour: deviation of the curve's three waves, in features.
        noise: whether to add any.
        band_limit: the share that loses its upper bands.

    Returns:
        New features and lengths.

    Sources: Ko et al. (2015), "Audio augmentation for speech recognition";
    Jaitly and Hinton (2013), "Vocal tract length perturbation".
    """
    batch, frames, n_mels = features.shape

    def draw(low: float, high: float, *more: int) -> Tensor:
        uniform = torch.rand(batch, *more, generator=generator)
        return (low + (high - low) * uniform).to(features.device)

    # Time is stretched and the bands are warped: one resampling for both.
    factor = draw(*stretch)
    before, after = draw(0, quiet), draw(0, quiet)
    new_lengths = (lengths * factor + before + after).round().long()
    new_lengths = new_lengths.clamp(min=1)
    time = torch.arange(int(new_lengths.max()), device=features.device)
    bands = torch.arange(n_mels, device=features.device)
    # Where each new feature is taken from: (batch, longer), (batch, n_mels).
    from_time = (time - before[:, None]) / factor[:, None]
    from_band = bands * (1 + draw(-warp, warp, 1)) + draw(-6, 6, 1) * warp
    grid = torch.stack(
        torch.broadcast_tensors(
            (2 * from_band[:, None] + 1) / n_mels - 1,
            (2 * from_time[:, :, None] + 1) / frames - 1,
        ),
        dim=-1,
    )  # (batch, longer, n_mels, 2), from -1 to 1
    x = F.grid_sample(features[:, None], grid, align_corners=False)[:, 0]

    # Another microphone: a smooth curve over the bands.
    height = bands / (n_mels - 1)  # from 0, the lowest band, to 1
    waves = torch.cos(math.pi * torch.arange(1, 4)[:, None] * height.cpu())
    curve = torch.randn(batch, 3, generator=generator) @ waves
    x = x + colour * curve[:, None].to(x)

    if noise:
        level = draw(-0.6, 0.5, 1, 1) + draw(-0.3, 0.3, 1, 1) * height
        # The power of white noise has an exponential distribution.
        power = -draw(1e-6, 1, *x.shape[1:]).log()
        unit = math.log(10) * TOP_DB / 10  # one feature, in nats
        log_noise = unit * level + power.clamp(min=1e-4).log()
        x = torch.logaddexp(unit * x, log_noise) / unit

    # A telephone: no upper bands. What is padding becomes quiet.
    cut = draw(0.65, 1, 1, 1) + (draw(0, 1, 1, 1) >= band_limit)
    x = x.masked_fill(height > cut, -1)
    real = time[:, None] < new_lengths[:, None, None]
    x = x.masked_fill(~real, -1)
    x = (x - x.amax(dim=(1, 2), keepdim=True) + 1).clamp(min=0)
    return x, new_lengths
