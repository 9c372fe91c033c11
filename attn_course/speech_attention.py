"""Lesson 11: attention that listens.

Reading order: ``read_wave`` reads a recording, ``frames``, ``mel_filters`` and
``log_mel`` make a picture of it, ``augment`` makes other voices and rooms.
``collapse``, ``ctc_by_paths`` and ``ctc_forward`` are CTC in small. ``Stem``
turns frames into tokens; ``CTCModel``, ``Listener`` and ``SpeechTransformer``
turn tokens into words. ``train`` trains any of them, ``transcribe`` uses them,
``edit_counts`` and ``error_interval`` judge, ``align``, ``forward_share`` and
``weight_inside`` look at the attention. ``recogniser`` keeps a trained model
in a cache; ``python -m attn_course.speech_attention FILE.wav`` uses it.
"""

import functools
import io
import itertools
import json
import math
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import torch
from jaxtyping import Bool, Float, Int
from scipy.signal import resample_poly
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import rnn

from attn_course import training
from attn_course.additive_attention import (
    EOS,
    PAD,
    EncoderDecoder,
    Memory,
    greedy,
    sequence_loss,
    shift_right,
)
from attn_course.common.statistics import Interval
from attn_course.common.text import Vocabulary
from attn_course.data import speech
from attn_course.common.statistics import bootstrap
from attn_course.scaled_dot_product import causal_mask
from attn_course.self_attention import sinusoidal_positions
from attn_course.transformer import Decoder, Dropout, Encoder

RATE = speech.SAMPLE_RATE  # samples a second
WINDOW, HOP = 256, 128  # samples: 32 ms, every 16 ms
BANDS = 24
DECIBELS = 50.0  # how far below the loudest a feature may lie
STRIDE = 4  # frames per token
TOKEN_SECONDS = STRIDE * HOP / RATE  # 0.064
STEPS = 2_400  # batches of training, for a model to keep
VERSION = "3"  # of a kept model: changes with what its numbers mean
LONGEST = 20.0  # seconds of a learner's recording
MOST_WORDS = 60  # of one transcript
MOST_TOKENS = 2_000  # of one recording

# From waveform to features --------------------------------------------------


def read_wave(source: bytes | str | os.PathLike) -> Float[Tensor, " samples"]:
    """Read a recording of any rate and format, as one channel at ``RATE``.

    Channels are averaged; another rate is resampled, with a filter that takes
    away what the new rate cannot hold.

    Args:
        source: the bytes of a file, or its path; .wav, or whatever else
            ``soundfile`` reads.

    Raises:
        ValueError: if it is empty, no sound file, damaged, silent, or longer
            than ``LONGEST`` seconds.
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
            if count > LONGEST * rate:
                raise ValueError(
                    f"source: expected at most {LONGEST:g} seconds, "
                    f"got {count / rate:.1f}"
                )
            sound = file.read(dtype="float64", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError) as error:
        raise ValueError(
            "source: expected a sound file such as .wav, got something that "
            f"is none or is damaged ({str(error).split(': ')[-1].strip('.')})"
        ) from None
    if len(sound) == 0:
        raise ValueError("source: expected some sound, got 0 samples")
    if not np.isfinite(sound).all():
        raise ValueError("source: expected finite samples, got nan or inf")
    wave = sound.mean(axis=1)
    if np.abs(wave).max() < 1e-4:
        raise ValueError("source: expected a sound, got silence")
    if rate != RATE:
        shared = math.gcd(rate, RATE)
        wave = resample_poly(wave, RATE // shared, rate // shared)
    return torch.from_numpy(wave).float()


def frames(wave: Float[Tensor, " samples"]) -> Float[Tensor, "frames window"]:
    """Cut a wave into overlapping pieces of ``WINDOW``, one every ``HOP``.

    A wave shorter than one piece is filled up with quiet; what is left at the
    end and fills no piece is left out.

    Raises:
        ValueError: if the wave is empty or not one row of numbers.
    """
    if wave.dim() != 1 or not len(wave):
        raise ValueError(
            f"wave: expected one row of samples, got shape {tuple(wave.shape)}"
        )
    return F.pad(wave, (0, max(0, WINDOW - len(wave)))).unfold(0, WINDOW, HOP)


def mel(hertz: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Turn a frequency into its place on the mel scale.

    ``mel = 2595 log10(1 + hertz / 700)``: nearly even steps of heard pitch.

    Source: O'Shaughnessy (1987), "Speech communication", page 150; after
    Stevens, Volkmann and Newman (1937).
    """
    return 2595 * torch.log10(1 + hertz / 700)


def mel_filters(
    bands: int = BANDS, low: float = 60.0, high: float = RATE / 2
) -> Float[Tensor, "bands bins"]:
    """Make triangles over the frequencies, evenly spaced in mel.

    Each rises from its left neighbour's middle to its own, where it is 1, and
    falls to its right neighbour's.

    Raises:
        ValueError: if ``bands`` is below 1, or not ``0 <= low < high``.

    Source: Davis and Mermelstein (1980), "Comparison of parametric
    representations for monosyllabic word recognition", section II.
    """
    if bands < 1:
        raise ValueError(f"bands: expected 1 or more, got {bands}")
    if not 0 <= low < high:
        raise ValueError(
            f"low: expected 0 or more, below high = {high:g}, got {low:g}"
        )
    ends = mel(torch.tensor([low, high], dtype=torch.float64))
    points = torch.linspace(*ends.tolist(), bands + 2, dtype=torch.float64)
    points = 700 * (10 ** (points / 2595) - 1)  # back in hertz
    bins = torch.fft.rfftfreq(WINDOW, 1 / RATE, dtype=torch.float64)
    gaps = points.diff()[:, None]  # (bands + 1, 1)
    away = bins - points[:, None]  # (bands + 2, bins)
    rising, falling = away[:-2] / gaps[:-1], -away[2:] / gaps[1:]
    return torch.minimum(rising, falling).clamp(min=0).float()


def log_mel(wave: Float[Tensor, " samples"]) -> Float[Tensor, "frames bands"]:
    """Make the features: log power in each mel band, from 0 to 1.

    frames, Hann window, power spectrum, mel filters, decibels. The loudest
    number becomes 1, one that is ``DECIBELS`` weaker or less becomes 0: so a
    louder recording has the same features. Silence is all 0.

    Raises:
        ValueError: if the wave is empty or not one row of numbers.
    """
    window = torch.hann_window(WINDOW, device=wave.device)
    spectrum = torch.fft.rfft(frames(wave) * window)  # (frames, bins)
    power = spectrum.abs() ** 2 @ mel_filters().to(wave.device).T
    decibels = 10 * torch.log10(power.clamp(min=1e-10))
    if decibels.max() <= -100:
        return torch.zeros_like(decibels)
    return (1 + (decibels - decibels.max()) / DECIBELS).clamp(min=0)


def level_bands(
    features: Float[Tensor, "batch frames bands"],
    lengths: Int[Tensor, " batch"],
) -> Float[Tensor, "batch frames bands"]:
    """Take from each band its mean over the recording; padding becomes 0.

    ``x[t, band] - mean over real t of x[t, band]``: a microphone that makes
    a band louder adds the same to all of its frames, and that is gone.

    Source: Atal (1974), "Effectiveness of linear prediction characteristics of
    the speech wave for automatic speaker identification and verification";
    there on the cepstrum, which is a linear map of such features.
    """
    real = _real(lengths, features.shape[1])[..., None]
    mean = (features * real).sum(dim=1, keepdim=True) / lengths[:, None, None]
    return (features - mean) * real


# Other voices, other rooms --------------------------------------------------


def augment(
    features: Float[Tensor, "batch frames bands"],
    lengths: Int[Tensor, " batch"],
    generator: torch.Generator,
    *,
    stretch: tuple[float, float] = (0.85, 1.45),
    quiet: float = 8.0,
    pitch: float = 0.16,
    colour: float = 0.06,
    noise: bool = True,
    band_limit: float = 0.3,
) -> tuple[Float[Tensor, "batch longer bands"], Int[Tensor, " batch"]]:
    """Change recordings as other speakers, rooms and telephones would.

    Each recording gets its own draw, on its features, which is far cheaper
    than on the wave: time is stretched and the bands are warped (another
    speed, another throat), with some quiet before and after; a curve over the
    bands is added (another microphone), noise of any level, and the upper
    bands are cut off (a telephone). Then the loudest number is 1 again.

    Args:
        features: as ``log_mel`` makes them, padded with 0.
        lengths: how many frames of each are real.
        generator: where the random numbers come from.
        stretch: time becomes this many times as long, at least and at most.
        quiet: frames of quiet before and after, at most.
        pitch: bands are warped by ``1 - pitch`` to ``1 + pitch``.
        colour: deviation of the curve's three waves, in features.
        noise: whether to add any.
        band_limit: the share that loses its upper bands.

    Returns:
        New features and lengths.

    Sources: Ko et al. (2015), "Audio augmentation for speech recognition";
    Jaitly and Hinton (2013), "Vocal tract length perturbation".
    """
    batch, old, bands = features.shape

    def draw(low: float, high: float, *more: int) -> Tensor:
        numbers = torch.rand(batch, *more, generator=generator)
        return (low + (high - low) * numbers).to(features.device)

    longer = draw(*stretch)
    before, after = draw(0, quiet), draw(0, quiet)
    new = (lengths * longer + before + after).round().long().clamp(min=1)
    time = torch.arange(int(new.max()), device=features.device)
    at = torch.arange(bands, device=features.device)
    # Where each new number is taken from: (batch, longer), (batch, bands).
    from_time = (time - before[:, None]) / longer[:, None]
    from_band = at * (1 + draw(-pitch, pitch, 1)) + draw(-6, 6, 1) * pitch
    grid = torch.stack(
        torch.broadcast_tensors(
            (2 * from_band[:, None] + 1) / bands - 1,
            (2 * from_time[:, :, None] + 1) / old - 1,
        ),
        dim=-1,
    )  # (batch, longer, bands, 2), from -1 to 1
    x = F.grid_sample(features[:, None], grid, align_corners=False)[:, 0]
    place = at / (bands - 1)
    waves = torch.cos(math.pi * torch.arange(1, 4)[:, None] * place.cpu())
    curve = torch.randn(batch, 3, generator=generator) @ waves
    x = x + colour * curve[:, None].to(x)
    if noise:
        level = draw(-0.6, 0.5, 1, 1) + draw(-0.3, 0.3, 1, 1) * place
        # The power of white noise has an exponential distribution.
        power = -draw(1e-6, 1, *x.shape[1:]).log()
        unit = math.log(10) * DECIBELS / 10  # one feature, in nats
        noise_now = unit * level + power.clamp(min=1e-4).log()
        x = torch.logaddexp(unit * x, noise_now) / unit
    cut = draw(0.65, 1, 1, 1) + (draw(0, 1, 1, 1) >= band_limit)
    x = x.masked_fill(place > cut, -1)
    real = time[:, None] < new[:, None, None]
    x = x.masked_fill(~real, -1)
    x = (x - x.amax(dim=(1, 2), keepdim=True) + 1).clamp(min=0)
    return x, new


def speech_batches(
    features: Sequence[Float[Tensor, "_ bands"]],
    targets: Int[Tensor, "n t"],
    size: int = 16,
    *,
    change: Callable | None = augment,
    join: bool = True,
    seed: int = 0,
) -> Callable[[int], tuple[Tensor, Tensor, Tensor]]:
    """Make ``batches(step)``: features, lengths and targets.

    Recordings of nearly one length go into a batch (but for one batch of an
    epoch, where the longest meet the shortest); the batches of an epoch come
    in random order, drawn once and kept until the next epoch. Half of the
    batches have one recording in a row, the others two or four, one after the
    other: nothing that is said then tells that nothing follows. The same seed
    and step give the same batch.

    Args:
        features: of each recording, unpadded.
        targets: as ``make_targets`` makes them.
        size: recordings per batch.
        change: ``augment``, or None to give the features as they are.
        join: whether to put recordings one after the other.
        seed: of order and changes.

    Raises:
        ValueError: if there are fewer than ``size`` recordings, or not as
            many targets.
    """
    if len(features) != len(targets):
        raise ValueError(
            f"targets: expected {len(features)} rows, got {len(targets)}"
        )
    per_epoch = len(features) // size
    if per_epoch < 1:
        raise ValueError(
            f"size: expected at most {len(features)}, the number of "
            f"recordings, got {size}"
        )
    lengths = torch.tensor([len(one) for one in features])
    real = (targets != PAD).sum(dim=1).tolist()

    @functools.lru_cache(maxsize=1)
    def batches_of(epoch: int) -> list[Tensor]:
        generator = torch.Generator().manual_seed(1_000_003 * seed + epoch)
        noise = 1 + 0.1 * torch.rand(len(lengths), generator=generator)
        # Rotated, so that it is not always the longest that fall out.
        order = (lengths * noise).argsort().roll(epoch)
        order = order[: per_epoch * size].view(per_epoch, size)
        return list(order[torch.randperm(per_epoch, generator=generator)])

    def batch(step: int) -> tuple[Tensor, Tensor, Tensor]:
        epoch, place = divmod(step, per_epoch)
        rows = batches_of(epoch)[place]
        generator = torch.Generator()
        generator.manual_seed(7_000_003 * seed + step)
        together = 1
        if join:
            pick = torch.randint(4, (), generator=generator)
            together = (1, 1, 2, 4)[int(pick)]
        sounds, texts = [], []
        for group in rows[torch.randperm(size, generator=generator)].split(
            together
        ):
            sounds.append(torch.cat([features[row] for row in group]))
            said = [targets[row, : real[row] - 1] for row in group]
            texts.append(torch.cat([*said, targets.new_tensor([EOS])]))
        x = rnn.pad_sequence(sounds, True)
        counts = torch.tensor([len(one) for one in sounds], device=x.device)
        if change is not None:
            x, counts = change(x, counts, generator)
        return x, counts, rnn.pad_sequence(texts, True, PAD)

    return batch


# Words and token ids --------------------------------------------------------


def make_targets(
    vocabulary: Vocabulary, texts: Sequence[str]
) -> Int[Tensor, "batch t"]:
    """Turn texts into word ids, with ``EOS`` and then padding behind them."""
    tokens = F.pad(vocabulary.encode(texts), (0, 1), value=PAD)
    ends = (tokens != PAD).sum(dim=1, keepdim=True)
    return tokens.scatter(1, ends, EOS)


def to_texts(
    vocabulary: Vocabulary, tokens: Int[Tensor, "batch t"]
) -> list[str]:
    """Turn word ids into texts, each up to its ``EOS``."""
    first = len(vocabulary) - len(vocabulary.words)
    texts = []
    for row in tokens.tolist():
        row = row[: row.index(EOS)] if EOS in row else row
        known = [token - first for token in row if token >= first]
        texts.append(" ".join(vocabulary.words[token] for token in known))
    return texts


# CTC in small ---------------------------------------------------------------


def collapse(path: Sequence[int], blank: int = PAD) -> list[int]:
    """Read a path of one symbol per frame: join repeats, then drop blanks.

    ``[0, 5, 5, 0, 5, 7]`` is ``[5, 5, 7]``: a blank between keeps two apart.

    Source: Graves et al. (2006), "Connectionist temporal classification",
    section 3.1.
    """
    joined = [symbol for symbol, _ in itertools.groupby(path)]
    return [symbol for symbol in joined if symbol != blank]


def ctc_by_paths(
    probabilities: Float[Tensor, "frames symbols"],
    target: Sequence[int],
    blank: int = PAD,
) -> Float[Tensor, ""]:
    """Add up the probabilities of all paths that collapse to the target.

    ``p(target) = sum over paths, product over frames t of p_t(path_t)``. It
    visits ``symbols ** frames`` paths: for tiny examples only.

    Source: Graves et al. (2006), section 3.1, equations 2 and 3.
    """
    count, symbols = probabilities.shape
    total = probabilities.new_zeros(())
    for path in itertools.product(range(symbols), repeat=count):
        if collapse(path, blank) == list(target):
            total = total + probabilities[range(count), list(path)].prod()
    return total


def ctc_forward(
    probabilities: Float[Tensor, "frames symbols"],
    target: Sequence[int],
    blank: int = PAD,
) -> Float[Tensor, ""]:
    """Find the same sum, frame by frame, in ``frames * target`` steps.

    Blanks are put around every symbol of the target. ``alpha[s]`` is the
    probability of having just read place s: it came from s, from s - 1, or
    from s - 2 if that skips a blank between two *different* symbols.

    Source: Graves et al. (2006), section 4.1, equations 5 to 8.
    """
    row = [blank]
    for symbol in target:
        row += [symbol, blank]
    alpha = [probabilities.new_zeros(()) for _ in row]
    for frame, now in enumerate(probabilities):
        before = alpha
        alpha = []
        for s, symbol in enumerate(row):
            if frame == 0:
                came = now.new_tensor(float(s < 2))
            else:
                came = before[s] + (before[s - 1] if s >= 1 else 0)
                if s >= 2 and symbol not in (blank, row[s - 2]):
                    came = came + before[s - 2]
            alpha.append(came * now[symbol])
    return alpha[-1] + (alpha[-2] if len(alpha) > 1 else 0)


def ctc_loss(
    logits: Float[Tensor, "batch tokens symbols"],
    mask: Bool[Tensor, "batch tokens"],
    targets: Int[Tensor, "batch t"],
) -> Float[Tensor, ""]:
    """Average minus the log of CTC's probability over all words.

    torch's own function, with ``PAD`` as the blank; ``EOS`` is no word here. A
    recording with too few tokens for its words counts 0.
    """
    words = targets.masked_fill(targets == EOS, PAD)
    counts = (words != PAD).sum(dim=1)
    lost = F.ctc_loss(
        logits.log_softmax(dim=-1).transpose(0, 1),  # (tokens, batch, symbols)
        words,
        mask.sum(dim=1),
        counts,
        blank=PAD,
        reduction="sum",
        zero_infinity=True,
    )
    return lost / counts.sum().clamp(min=1)


def ctc_greedy(
    logits: Float[Tensor, "batch tokens symbols"],
    mask: Bool[Tensor, "batch tokens"],
) -> Int[Tensor, "batch t"]:
    """Take the likeliest symbol of each token, then collapse."""
    best = logits.argmax(dim=-1)  # (batch, tokens)
    rows = [
        torch.tensor([*collapse(row[real].tolist()), EOS])
        for row, real in zip(best, mask)
    ]
    return rnn.pad_sequence(rows, True, PAD).to(logits.device)


# Models ---------------------------------------------------------------------


class Stem(nn.Module):
    """Make one token of every four frames, each aware of its neighbours.

    ``level_bands`` first. Two times: 3 x 3 convolution with stride 2, batch
    norm, ReLU; then a linear layer over channels and bands. Then two times a
    convolution over five tokens, whose result is added: together they hear
    0.3 s to either side, more than a word. Each cuts a token's numbers into
    ``groups`` parts and reads every part by itself, at ``1 / groups`` of the
    cost. Padding stays 0 throughout, so that it changes nothing but batch
    norm's statistics in training.

    Shapes: features ``(batch, frames, bands)`` and lengths to tokens
    ``(batch, ceil(frames / 4), dim)`` and their mask.

    Source: convolutions that look near beside attention that looks far, after
    Gulati et al. (2020), "Conformer", section 2; much simplified.
    """

    def __init__(
        self, dim: int, channels: int = 16, bands: int = BANDS, groups: int = 4
    ) -> None:
        """Create the layers; the second convolution has twice the channels."""
        super().__init__()
        if bands % STRIDE:
            raise ValueError(
                f"bands: expected a multiple of {STRIDE}, got {bands}"
            )
        widths = (1, channels, 2 * channels)
        self.shorten = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=2, padding=1, bias=False)
            for a, b in itertools.pairwise(widths)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(n) for n in widths[1:])
        self.project = nn.Linear(widths[-1] * bands // STRIDE, dim)
        self.near = nn.ModuleList(
            nn.Conv1d(dim, dim, 5, padding=2, groups=groups, bias=False)
            for _ in range(2)
        )
        self.near_norms = nn.ModuleList(nn.BatchNorm1d(dim) for _ in range(2))
        self.norm = nn.LayerNorm(dim)

    def forward(
        self,
        features: Float[Tensor, "batch frames bands"],
        lengths: Int[Tensor, " batch"],
    ) -> tuple[
        Float[Tensor, "batch tokens dim"], Bool[Tensor, "batch tokens"]
    ]:
        """Return the tokens, and which of them are real."""
        x = level_bands(features, lengths)[
            :, None
        ]  # (batch, 1, frames, bands)
        for convolve, norm in zip(self.shorten, self.norms):
            x = norm(convolve(x)).relu()
            lengths = (lengths + 1) // 2
            real = _real(lengths, x.shape[2])
            x = x * real[:, None, :, None]
        x = self.project(x.transpose(1, 2).flatten(2))  # (batch, tokens, dim)
        x = (x * real[..., None]).transpose(1, 2)  # (batch, dim, tokens)
        for convolve, norm in zip(self.near, self.near_norms):
            x = x + norm(convolve(x)).relu() * real[:, None]
        return self.norm(x.transpose(1, 2)), real


class AttentionEncoder(nn.Module):
    """Stem, positions, and lesson 06's encoder: each token hears all."""

    positions: Tensor

    def __init__(self, dim: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.stem = Stem(dim)
        self.dropout = Dropout(dropout)
        self.layers = Encoder(layers, dim, 4, 2 * dim, dropout=dropout)
        waves = sinusoidal_positions(MOST_TOKENS, dim).float()
        self.register_buffer("positions", waves, persistent=False)

    def forward(
        self,
        features: Float[Tensor, "batch frames bands"],
        lengths: Int[Tensor, " batch"],
    ) -> Memory:
        """Return one state per token."""
        x, mask = self.stem(features, lengths)
        x = self.dropout(x + self.positions[: x.shape[1]])
        return Memory(self.layers(x, mask[:, None])[0], mask, None)


class RecurrentEncoder(nn.Module):
    """Stem and layers of GRU, each in both directions.

    The stem's last convolutions have two groups in place of four: in trials
    it then made fewer errors on the validation voices.
    """

    def __init__(self, dim: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.stem = Stem(dim, groups=2)
        self.dropout = Dropout(dropout)
        self.layers = nn.GRU(
            dim,
            dim // 2,
            layers,
            batch_first=True,
            bidirectional=True,
            dropout=dropout if layers > 1 else 0.0,
        )

    def forward(
        self,
        features: Float[Tensor, "batch frames bands"],
        lengths: Int[Tensor, " batch"],
    ) -> Memory:
        """Return one state per token, and their mean as the summary."""
        x, mask = self.stem(features, lengths)
        counts = mask.sum(dim=1)
        packed = rnn.pack_padded_sequence(
            self.dropout(x), counts.cpu(), True, False
        )
        states, _ = rnn.pad_packed_sequence(
            self.layers(packed)[0], True, total_length=x.shape[1]
        )  # (batch, tokens, dim), padding 0
        return Memory(states, mask, states.sum(dim=1) / counts[:, None])


class CTCModel(nn.Module):
    """Each token names a word or the blank, by itself: no decoder.

    Source: Graves et al. (2006); with this encoder, after Higuchi et al.
    (2020) and others.
    """

    def __init__(
        self, size: int, dim: int = 128, layers: int = 3, dropout: float = 0.0
    ) -> None:
        """Create encoder and output for ``size`` token ids."""
        super().__init__()
        self.encoder = AttentionEncoder(dim, layers, dropout)
        self.name = nn.Linear(dim, size)

    def encode(self, features: Tensor, lengths: Tensor) -> Memory:
        """Read features ``(batch, frames, bands)`` of these lengths."""
        return self.encoder(features, lengths)

    def loss(
        self, features: Tensor, lengths: Tensor, targets: Tensor
    ) -> Float[Tensor, ""]:
        """Return the CTC loss."""
        memory = self.encode(features, lengths)
        return ctc_loss(self.name(memory.states), memory.mask, targets)

    def write(self, memory: Memory) -> Int[Tensor, "batch t"]:
        """Return the word ids of what was heard."""
        return ctc_greedy(self.name(memory.states), memory.mask)


class _Heard(nn.Module):
    """What ``greedy`` wants, for sounds that are encoded already."""

    def __init__(self, model: nn.Module, memory: Memory) -> None:
        super().__init__()
        # In a tuple, so that greedy's change of mode does not reach it.
        self.parts = (model, memory)
        if hasattr(model, "step"):
            self.start, self.step = model.start, model.step

    def encode(self, source: Tensor) -> Memory:
        return self.parts[1]

    def decode(self, memory: Memory, target: Tensor):
        return self.parts[0].decode(memory, target)


class _Writer:
    """What the two models with attention share: the loss, and writing."""

    def loss(
        self, features: Tensor, lengths: Tensor, targets: Tensor
    ) -> Float[Tensor, ""]:
        """Return the loss: ``(1 - share) * decoder + share * CTC``.

        The share of CTC trains the encoder too; it is meant to let attention
        find words in its states sooner.

        Source: Kim, Hori and Watanabe (2017), "Joint CTC-attention based
        end-to-end speech recognition using multi-task learning", equation 12.
        """
        memory = self.encode(features, lengths)
        logits = self.decode(memory, shift_right(targets))[0]
        lost = sequence_loss(logits, targets, label_smoothing=0.1)
        if not self.ctc_share:
            return lost
        helped = ctc_loss(self.name(memory.states), memory.mask, targets)
        return (1 - self.ctc_share) * lost + self.ctc_share * helped

    def write(self, memory: Memory) -> Int[Tensor, "batch t"]:
        """Return the word ids of what was heard, the likeliest at each step."""
        one_each = memory.mask[:, :1].long()
        return greedy(_Heard(self, memory), one_each, MOST_WORDS)

    def write_by_ctc(self, memory: Memory) -> Int[Tensor, "batch t"]:
        """Return what the CTC part alone hears, without the decoder."""
        return ctc_greedy(self.name(memory.states), memory.mask)


class Listener(_Writer, EncoderDecoder):
    """Listen, attend and spell: lesson 05's decoder on a recurrent listener.

    Source: Chan et al. (2016), "Listen, attend and spell"; here the stem
    makes the time shorter, in place of a pyramid, and whole words are spelt.
    """

    def __init__(
        self,
        size: int,
        dim: int = 128,
        layers: int = 1,
        dropout: float = 0.0,
        ctc_share: float = 0.3,
    ) -> None:
        """Create listener, attention and decoder for ``size`` token ids."""
        super().__init__(1, size, dim, attention="additive", dropout=dropout)
        del self.embed_source  # there are no source tokens to embed
        self.encoder = RecurrentEncoder(dim, layers, dropout)
        self.name = nn.Linear(dim, size)
        self.ctc_share = ctc_share

    def encode(self, features: Tensor, lengths: Tensor) -> Memory:
        """Read features ``(batch, frames, bands)`` of these lengths."""
        memory = self.encoder(features, lengths)
        summary = torch.tanh(self.summarise(memory.summary))
        return memory._replace(summary=summary)


class SpeechTransformer(_Writer, nn.Module):
    """Lesson 06's encoder and decoder, with a stem in place of embeddings.

    Source: Dong, Xu and Xu (2018), "Speech-Transformer".
    """

    def __init__(
        self,
        size: int,
        dim: int = 128,
        layers: int = 2,
        dropout: float = 0.0,
        ctc_share: float = 0.3,
    ) -> None:
        """Create encoder and one decoder layer for ``size`` token ids."""
        super().__init__()
        self.encoder = AttentionEncoder(dim, layers, dropout)
        self.embed = nn.Embedding(size, dim)
        nn.init.normal_(self.embed.weight, std=dim**-0.5)
        self.decoder = Decoder(1, dim, 4, 2 * dim, dropout=dropout)
        self.readout = nn.Linear(dim, size)
        self.name = nn.Linear(dim, size)
        self.ctc_share = ctc_share

    def encode(self, features: Tensor, lengths: Tensor) -> Memory:
        """Read features ``(batch, frames, bands)`` of these lengths."""
        return self.encoder(features, lengths)

    def decode(
        self, memory: Memory, target: Int[Tensor, "batch t"]
    ) -> tuple[Float[Tensor, "batch t size"], Float[Tensor, "batch t s"]]:
        """Score the next word after each; and the heads' mean weights."""
        scaled = self.embed(target) * math.sqrt(self.embed.embedding_dim)
        x = scaled + self.encoder.positions[: target.shape[1]]
        mask = (target != PAD)[:, None] & causal_mask(
            target.shape[1], device=target.device
        )
        x, _, weights = self.decoder(
            self.encoder.dropout(x),
            memory.states,
            mask,
            memory.mask[:, None],
            need_weights=not self.training,
        )
        if weights is None:  # not looked at in training
            shape = (*target.shape, memory.mask.shape[1])
            return self.readout(x), x.new_zeros(shape)
        return self.readout(x), weights[-1].mean(dim=1)


KINDS = {
    "CTC": CTCModel,
    "listen, attend, spell": Listener,
    "Transformer": SpeechTransformer,
}


def _real(lengths: Tensor, count: int) -> Tensor:
    return torch.arange(count, device=lengths.device) < lengths[:, None]


def train(
    model: nn.Module,
    batches: Callable[[int], tuple[Tensor, Tensor, Tensor]],
    *,
    steps: int,
    lr: float = 2e-3,
    label: str = "speech",
    **options,
) -> training.History:
    """Train a model by the lesson's recipe; other options are ``fit``'s."""
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr,
        betas=(0.9, 0.98),
        weight_decay=0.01,
        fused=True,
    )
    return training.fit(
        model,
        lambda model, batch: model.loss(*batch),
        batches,
        steps=steps,
        optimizer=optimizer,
        warmup=max(1, steps // 10),
        label=label,
        **options,
    )


@torch.no_grad()
def transcribe(
    model: nn.Module,
    vocabulary: Vocabulary,
    features: Sequence[Float[Tensor, "_ bands"]],
    *,
    by: str = "write",
    chunk: int = 64,
) -> list[str]:
    """Write down what is said in each recording, in their order.

    The model is asked in evaluation mode and left in the mode it was in.

    Args:
        model: one of this lesson's.
        vocabulary: its words.
        features: of each recording, unpadded.
        by: the model's method: "write", or "write_by_ctc" where it has one.
        chunk: how many recordings at a time.
    """
    before = model.training
    model.eval()
    order = sorted(range(len(features)), key=lambda i: len(features[i]))
    texts = [""] * len(features)
    for first in range(0, len(order), chunk):
        rows = order[first : first + chunk]
        x = rnn.pad_sequence([features[row] for row in rows], True)
        lengths = torch.tensor([len(features[row]) for row in rows])
        found = getattr(model, by)(model.encode(x, lengths.to(x.device)))
        for row, text in zip(rows, to_texts(vocabulary, found)):
            texts[row] = text
    model.train(before)
    return texts


# How wrong? -----------------------------------------------------------------


class Edits(NamedTuple):
    """How many changes lead from what was said to what was written."""

    replaced: int
    added: int
    lost: int

    @property
    def total(self) -> int:
        """Return the edit distance."""
        return sum(self)


def edit_counts(found: Sequence, expected: Sequence) -> Edits:
    """Count the fewest changes that make ``found`` of ``expected``.

    ``d[i][j]``, for the first i expected and the first j found: the least of
    ``d[i-1][j-1]`` (plus 1 if the two differ), ``d[i-1][j] + 1`` (one lost)
    and ``d[i][j-1] + 1`` (one added). Give lists of words, or two strings.

    Source: Levenshtein (1966); Wagner and Fischer (1974), "The
    string-to-string correction problem", section 4.
    """
    row = [Edits(0, j, 0) for j in range(len(found) + 1)]
    for i, said in enumerate(expected, 1):
        above, row = row, [Edits(0, 0, i)]
        for j, wrote in enumerate(found, 1):
            replaced, added, lost = above[j - 1]
            row.append(
                min(
                    Edits(replaced + (said != wrote), added, lost),
                    above[j]._replace(lost=above[j].lost + 1),
                    row[-1]._replace(added=row[-1].added + 1),
                    key=lambda edits: edits.total,
                )
            )
    return row[-1]


def error_counts(
    found: Sequence[str], expected: Sequence[str], unit: str = "word"
) -> tuple[Int[Tensor, " n"], Int[Tensor, " n"]]:
    """Count errors and true units of each text: words or characters.

    Raises:
        ValueError: if the lists differ in length, or ``unit`` is neither
            "word" nor "character".
    """
    if len(found) != len(expected):
        raise ValueError(
            f"found: expected {len(expected)} texts, got {len(found)}"
        )
    if unit not in ("word", "character"):
        raise ValueError(f"unit: expected 'word' or 'character', got {unit!r}")
    cut = str.split if unit == "word" else list
    errors = [
        edit_counts(cut(a), cut(b)).total for a, b in zip(found, expected)
    ]
    return (
        torch.tensor(errors, dtype=torch.int64),
        torch.tensor([len(cut(b)) for b in expected], dtype=torch.int64),
    )


def error_interval(
    errors: Int[Tensor, " n"],
    units: Int[Tensor, " n"],
    groups: Sequence[str] | None = None,
    *,
    samples: int = 1_000,
    seed: int = 0,
) -> Interval:
    """Return the error rate in per cent, and its 95 % interval.

    ``100 * sum of errors / sum of units``. For the interval, draw as many
    groups as there are, with replacement, ``samples`` times: recordings of
    one voice are right or wrong together, so draw voices, not recordings.

    Args:
        errors: of each recording.
        units: true words (or characters) of each recording.
        groups: the group of each, such as its voice; by default each is one.
        samples: how often to draw.
        seed: of the drawing.

    Raises:
        ValueError: if lengths differ or there are no units.

    Source: Bisani and Ney (2004), "Bootstrap estimates for confidence
    intervals in ASR performance evaluation", section 3.
    """
    groups = range(len(errors)) if groups is None else groups
    if not len(errors) == len(units) == len(groups):
        raise ValueError(
            f"errors: expected as many as units and groups, got {len(errors)}, "
            f"{len(units)} and {len(groups)}"
        )
    if not int(units.sum()):
        raise ValueError("units: expected at least one, got none")
    numbers = {name: i for i, name in enumerate(dict.fromkeys(groups))}
    which = torch.tensor([numbers[name] for name in groups])
    both = torch.zeros(len(numbers), 2, dtype=torch.float64)
    both.index_add_(0, which, torch.stack([errors, units], 1).double().cpu())
    wrong, said = both.T.numpy()

    def rate(times: np.ndarray) -> float:
        return float(100 * (times @ wrong) / max(times @ said, 1))

    return bootstrap(rate, len(numbers), samples, seed)


# Where does it listen? ------------------------------------------------------


@torch.no_grad()
def align(
    model: nn.Module,
    vocabulary: Vocabulary,
    features: Float[Tensor, "frames bands"],
    text: str | None = None,
) -> tuple[list[str], Float[Tensor, "words tokens"]]:
    """Return words, and each one's weights over the tokens of the sound.

    Args:
        model: one with attention in its decoder.
        vocabulary: its words.
        features: of one recording.
        text: read these words (teacher forcing); by default its own.

    Raises:
        ValueError: if the model has no decoder.
    """
    if not hasattr(model, "decode"):
        raise ValueError(
            "model: expected one whose decoder attends, "
            f"got {type(model).__name__}"
        )
    before = model.training
    model.eval()
    lengths = torch.tensor([len(features)], device=features.device)
    memory = model.encode(features[None], lengths)
    if text is None:
        text = to_texts(vocabulary, model.write(memory))[0]
    target = make_targets(vocabulary, [text]).to(features.device)
    weights = model.decode(memory, shift_right(target))[1][0]
    model.train(before)
    words = text.split()
    return words, weights[: len(words)]


def centres(weights: Float[Tensor, "words tokens"]) -> Float[Tensor, " words"]:
    """Return when each word listens: the mean time under its weights, in s."""
    middle = torch.arange(weights.shape[1]).to(weights) + 0.5
    return weights @ middle * TOKEN_SECONDS


def forward_share(weights: Float[Tensor, "words tokens"]) -> float:
    """Return the share of steps whose centre lies later than the last one's.

    1 is monotonic; an order by chance has 0.5. With one word there is no step,
    and the share is nan.
    """
    steps = centres(weights).diff()
    return (steps > 0).double().mean().item()


def weight_inside(
    weights: Float[Tensor, "words tokens"],
    starts: Sequence[float],
    seconds: float,
) -> float:
    """Return the mean share of weight inside each word's own time.

    A word lasts from its start to the next one's, the last to the end.

    Raises:
        ValueError: if there is not one start per word.
    """
    if len(starts) != len(weights):
        raise ValueError(
            f"starts: expected {len(weights)}, one per word, got {len(starts)}"
        )
    middle = (torch.arange(weights.shape[1]) + 0.5) * TOKEN_SECONDS
    ends = [*starts[1:], seconds]
    shares = [
        row[((middle >= start) & (middle < end)).to(row.device)].sum()
        for row, start, end in zip(weights, starts, ends)
    ]
    return torch.stack(shares).mean().item()


# A model to keep ------------------------------------------------------------


class Recogniser(NamedTuple):
    """A trained model and its words."""

    model: nn.Module
    vocabulary: Vocabulary
    kind: str

    def __call__(self, wave: Float[Tensor, " samples"]) -> str:
        """Write down what is said in one recording."""
        device = next(self.model.parameters()).device
        features = log_mel(wave.to(device))
        return transcribe(self.model, self.vocabulary, [features])[0]


def cache_file() -> Path:
    """Say where the trained model is kept.

    ``speech.safetensors`` in the folder that the environment variable
    ``ATTN_CACHE`` names, else in ``attn_course`` in the user's cache folder.
    """
    if os.environ.get("ATTN_CACHE"):
        return Path(os.environ["ATTN_CACHE"]) / "speech.safetensors"
    home = Path.home()
    usual = {
        "win32": os.environ.get("LOCALAPPDATA", home / "AppData/Local"),
        "darwin": home / "Library/Caches",
    }.get(sys.platform, os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return Path(usual) / "attn_course" / "speech.safetensors"


def save(recogniser: Recogniser, path: Path | None = None) -> None:
    """Keep a trained model; whoever reads meanwhile finds the old one whole."""
    from safetensors.torch import save as to_bytes

    path = path or cache_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    about = {
        "version": VERSION,
        "kind": recogniser.kind,
        "dim": str(recogniser.model.name.in_features),
        "words": json.dumps(recogniser.vocabulary.words),
    }
    tensors = {
        name: tensor.contiguous().cpu()
        for name, tensor in recogniser.model.state_dict().items()
    }
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(to_bytes(tensors, about))
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def load(path: Path | None = None) -> Recogniser:
    """Read the trained model back.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if the file is damaged or of another version.
    """
    from safetensors import SafetensorError, safe_open

    path = path or cache_file()
    if not path.is_file():
        raise FileNotFoundError(f"path: expected a trained model at {path}")
    try:
        with safe_open(path, "pt") as file:
            about = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        if about.get("version") != VERSION:
            raise ValueError("another version")
        words = json.loads(about["words"])
        vocabulary = _vocabulary(words)
        model = KINDS[about["kind"]](len(vocabulary), int(about["dim"]))
        model.load_state_dict(tensors)
    except (
        SafetensorError,
        OSError,
        RuntimeError,
        KeyError,
        TypeError,
        ValueError,
    ) as error:
        raise ValueError(
            f"path: expected a trained model at {path}, found a damaged file "
            f"or one of another version ({type(error).__name__})"
        ) from None
    return Recogniser(model.eval(), vocabulary, about["kind"])


def _vocabulary(words: Sequence[str]) -> Vocabulary:
    """Make the vocabulary again, in the order in which it was."""
    return Vocabulary(words)


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
        kind: one of ``KINDS``.
        dim: numbers per token.
        seed: of weights and batches.
        tell: called with a line now and then.
    """
    recordings = speech.load("train") + speech.load("other")
    texts = [one.text for one in recordings]
    vocabulary = Vocabulary.from_texts(texts, min_freq=1)
    batches = speech_batches(
        [log_mel(one.wave) for one in recordings],
        make_targets(vocabulary, texts),
        seed=seed,
    )

    def told(step: int):
        if step % max(1, steps // 20) == 0:
            tell(f"training: step {step} of {steps}")
        return batches(step)

    torch.manual_seed(seed)
    model = KINDS[kind](len(vocabulary), dim)
    train(model, told, steps=steps)
    return Recogniser(model, vocabulary, kind)


def main(arguments: Sequence[str]) -> int:
    """Print a transcript per file; return 1 if one could not be read."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print("use: python -m attn_course.speech_attention FILE.wav ...")
        print(
            f"It knows {len(speech_words())} English words: digits and "
            "short commands."
        )
        return 0 if arguments else 2

    def tell(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    try:
        found = load()
    except (FileNotFoundError, ValueError) as error:
        if isinstance(error, ValueError):
            tell(f"{error}; training anew")
        tell(
            "no trained model yet: training one takes one to three minutes, "
            "once"
        )
        found = train_recogniser(tell=tell)
        save(found)
        tell(f"kept at {cache_file()}")
    failed = 0
    for name in arguments:
        try:
            print(f"{name}: {found(read_wave(name))}")
        except (OSError, ValueError) as error:
            failed += 1
            tell(f"{name}: {error}")
    return int(failed > 0)


def speech_words() -> list[str]:
    """Return the words that the training recordings hold."""
    texts = [one.text for one in speech.load("train")]
    return sorted(Vocabulary.from_texts(texts, min_freq=1).words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
