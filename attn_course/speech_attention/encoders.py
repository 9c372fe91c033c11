"""From features to states: convolutions that shorten time, then an encoder.

``ConvSubsampling`` makes one encoder frame of every four feature frames;
``AttentionEncoder`` and ``RecurrentEncoder`` let each hear the others.
"""

import itertools

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.utils import rnn

from attn_course.common.seq2seq import Memory
from attn_course.self_attention import sinusoidal_positions
from attn_course.speech_attention.audio import (
    HOP_LENGTH,
    N_MELS,
    RATE,
    length_mask,
    mean_normalize,
)
from attn_course.transformer import Encoder

STRIDE = 4  # feature frames per encoder frame
ENCODER_FRAME_SECONDS = STRIDE * HOP_LENGTH / RATE  # 0.064
MAX_ENCODER_FRAMES = 2_000  # of one recording


class ConvSubsampling(nn.Module):
    """Make one encoder frame of every four frames, each aware of its neighbours.

    ``mean_normalize`` first. Two times: 3 x 3 convolution with stride 2, batch
    norm, ReLU; then a linear layer over channels and bands. Then two times a
    convolution over five encoder frames, whose result is added: together they
    hear 0.3 s to either side, more than a word. Each cuts a frame's features
    into ``groups`` parts and reads every part by itself, at ``1 / groups`` of
    the cost. Padding stays 0 throughout, so that it changes nothing but batch
    norm's statistics in training.

    Shapes: features ``(batch, frames, n_mels)`` and lengths to encoder frames
    ``(batch, ceil(frames / 4), dim)`` and their mask.

    Source: convolutions that look near beside attention that looks far, after
    Gulati et al. (2020), "Conformer", section 2; much simplified.
    """

    def __init__(
        self,
        dim: int,
        channels: int = 16,
        n_mels: int = N_MELS,
        groups: int = 4,
    ) -> None:
        """Create the layers; the second convolution has twice the channels.

        Raises:
            ValueError: if ``n_mels`` is no multiple of ``STRIDE``.
        """
        super().__init__()
        if n_mels % STRIDE:
            raise ValueError(
                f"n_mels: expected a multiple of {STRIDE}, got {n_mels}"
            )
        widths = (1, channels, 2 * channels)
        self.shorten = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=2, padding=1, bias=False)
            for a, b in itertools.pairwise(widths)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(n) for n in widths[1:])
        self.project = nn.Linear(widths[-1] * n_mels // STRIDE, dim)
        self.near = nn.ModuleList(
            nn.Conv1d(dim, dim, 5, padding=2, groups=groups, bias=False)
            for _ in range(2)
        )
        self.near_norms = nn.ModuleList(nn.BatchNorm1d(dim) for _ in range(2))
        self.norm = nn.LayerNorm(dim)

    def forward(
        self,
        features: Float[Tensor, "batch frames n_mels"],
        lengths: Int[Tensor, " batch"],
    ) -> tuple[Float[Tensor, "batch s dim"], Bool[Tensor, "batch s"]]:
        """Return the encoder frames, and which of them are real."""
        x = mean_normalize(features, lengths)
        x = x[:, None]  # (batch, 1, frames, n_mels)
        for convolve, norm in zip(self.shorten, self.norms):
            x = norm(convolve(x)).relu()  # half the frames, half the bands
            lengths = (lengths + 1) // 2
            real = length_mask(lengths, x.shape[2])
            x = x * real[:, None, :, None]
        x = self.project(x.transpose(1, 2).flatten(2))  # (batch, s, dim)
        x = (x * real[..., None]).transpose(1, 2)  # (batch, dim, s)
        for convolve, norm in zip(self.near, self.near_norms):
            x = x + norm(convolve(x)).relu() * real[:, None]
        return self.norm(x.transpose(1, 2)), real


class AttentionEncoder(nn.Module):
    """Subsampling, positions, and lesson 06's encoder: each frame hears all."""

    positions: Tensor

    def __init__(self, dim: int, layers: int, dropout: float) -> None:
        """Create the layers; positions are counted, not learned."""
        super().__init__()
        self.subsampling = ConvSubsampling(dim)
        self.dropout = nn.Dropout(dropout)
        self.layers = Encoder(layers, dim, 4, 2 * dim, dropout=dropout)
        positions = sinusoidal_positions(MAX_ENCODER_FRAMES, dim).float()
        self.register_buffer("positions", positions, persistent=False)

    def forward(
        self,
        features: Float[Tensor, "batch frames n_mels"],
        lengths: Int[Tensor, " batch"],
    ) -> Memory:
        """Return one state per encoder frame."""
        x, mask = self.subsampling(features, lengths)
        x = self.dropout(x + self.positions[: x.shape[1]])
        return Memory(self.layers(x, mask[:, None])[0], mask, None)


class RecurrentEncoder(nn.Module):
    """Subsampling and layers of GRU, each in both directions.

    The subsampling's last convolutions have two groups in place of four: in
    trials it then made fewer errors on the validation voices.
    """

    def __init__(self, dim: int, layers: int, dropout: float) -> None:
        """Create the layers, each direction with half of ``dim``."""
        super().__init__()
        self.subsampling = ConvSubsampling(dim, groups=2)
        self.dropout = nn.Dropout(dropout)
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
        features: Float[Tensor, "batch frames n_mels"],
        lengths: Int[Tensor, " batch"],
    ) -> Memory:
        """Return one state per encoder frame, and their mean as the summary."""
        x, mask = self.subsampling(features, lengths)
        counts = mask.sum(dim=1)
        packed = rnn.pack_padded_sequence(
            self.dropout(x), counts.cpu(), True, False
        )
        states, _ = rnn.pad_packed_sequence(
            self.layers(packed)[0], True, total_length=x.shape[1]
        )  # (batch, s, dim), padding 0
        return Memory(states, mask, states.sum(dim=1) / counts[:, None])
