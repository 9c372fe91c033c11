"""Lesson 11's pictures of sound and attention, a scrubber, and an upload."""

from collections.abc import Sequence

import ipywidgets
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from attn_course import plotting
from attn_course.common.text import Vocabulary
from attn_course.data.speech import Recording
from attn_course.speech_attention import (
    ENCODER_FRAME_SECONDS,
    HOP_LENGTH,
    N_FFT,
    N_MELS,
    RATE,
    STRIDE,
    TOP_DB,
    Recogniser,
    align,
    centres,
    frame,
    load_audio,
    log_mel_spectrogram,
)

FRAME_SECONDS = HOP_LENGTH / RATE  # 0.016


def player(wave: Tensor, text: str):
    """Make a player for a sound, with its transcript under it.

    The sound is in the notebook itself, as 16 bit samples.
    """
    import base64
    import html
    import io

    import soundfile
    from IPython.display import HTML

    stream = io.BytesIO()
    soundfile.write(stream, wave.cpu().numpy(), RATE, "PCM_16", format="WAV")
    content = base64.b64encode(stream.getvalue()).decode("ascii")
    escaped = html.escape(text)
    return HTML(
        f'<audio controls aria-label="{escaped}" '
        f'src="data:audio/wav;base64,{content}"></audio>'
        f"<p>It says: <em>{escaped}</em></p>"
    )


def feature_steps(wave: Tensor) -> Figure:
    """Draw a wave, its power spectra, and its log-mel features."""
    figure, axes = plotting.figure(7.4, 5.4, 3)
    seconds = len(wave) / RATE
    time = torch.arange(len(wave)) / RATE
    axes[0].plot(time.numpy(), wave.numpy(), lw=0.5)
    axes[0].set(xlim=(0, seconds), ylabel="wave", title="wave")
    windowed = frame(wave) * torch.hann_window(N_FFT)
    power = torch.fft.rfft(windowed).abs() ** 2
    decibels = 10 * torch.log10(power.clamp(min=1e-10))
    end = len(power) * FRAME_SECONDS
    axes[1].imshow(
        decibels.T.numpy(),
        plotting.WEIGHTS_MAP,
        origin="lower",
        aspect="auto",
        extent=(0, end, 0, RATE / 2000),
        vmin=float(decibels.max()) - TOP_DB,
    )
    axes[1].set(ylabel="kHz", title="power, in decibels: 129 frequencies")
    _draw_features(axes[2], log_mel_spectrogram(wave))
    axes[2].set(
        title=f"log-mel: {N_MELS} bands, from 0 to 1", xlabel="time, s"
    )
    return figure


def _draw_features(ax: Axes, features: Tensor) -> None:
    ax.imshow(
        features.T.cpu().numpy(),
        plotting.WEIGHTS_MAP,
        origin="lower",
        aspect="auto",
        extent=(0, len(features) * FRAME_SECONDS, 0, N_MELS),
        vmin=0,
        vmax=1,
    )
    ax.set(ylabel="mel band")


def _mark(ax: Axes, starts: Sequence[float], words: Sequence[str]) -> None:
    """Mark where words start, and name them above."""
    for number, start in enumerate(starts):
        ax.axvline(start, color="white", lw=1.2, ls="--")
        if number < len(words):
            ax.text(
                start,
                1.02,
                words[number],
                fontsize=8,
                ha="left",
                transform=ax.get_xaxis_transform(),
            )


def spectrogram(
    features: Tensor,
    *,
    words: Sequence[str] = (),
    starts: Sequence[float] = (),
) -> Figure:
    """Draw features over time, with the words' true starts if given."""
    figure, ax = plotting.figure(7.0, 2.4)
    _draw_features(ax, features)
    _mark(ax, starts, words)
    ax.set_xlabel("time, s")
    return figure


def listening(
    features: Tensor,
    words: Sequence[str],
    weights: Tensor,
    *,
    starts: Sequence[float] = (),
    bright: int | None = None,
    title: str = "",
) -> Figure:
    """Draw features, and under them where each word's attention lies.

    Args:
        features: of the recording.
        words: the rows.
        weights: ``(words, encoder frames)``.
        starts: true times at which words start, marked in both.
        bright: the row that is named; by default none.
        title: above everything.
    """
    figure, (above, below) = plotting.figure(
        7.2, 2.6 + 0.24 * min(30, max(2, len(words))), 2
    )
    _draw_features(above, features)
    _mark(above, starts, [])
    end = weights.shape[1] * ENCODER_FRAME_SECONDS
    count = max(1, len(words))
    if len(words):
        below.imshow(
            weights.cpu().numpy(),
            plotting.WEIGHTS_MAP,
            aspect="auto",
            extent=(0, end, len(words) - 0.5, -0.5),
            vmin=0,
            vmax=1,
        )
    for row, start in enumerate(starts):
        below.plot(
            [start, start],
            [row - 0.5, row + 0.5],
            color="white",
            lw=2,
            ls="--",
        )
    if bright is not None and len(words):
        below.axhspan(
            bright - 0.5,
            bright + 0.5,
            fill=False,
            edgecolor=plotting.COLORS[1],
            lw=2,
        )
        heat = weights[bright].repeat_interleave(STRIDE)[: len(features)].cpu()
        at = torch.arange(len(heat)) * FRAME_SECONDS
        above.plot(at.numpy(), N_MELS * heat.numpy(), color="white", lw=1.5)
    for ax in (above, below):
        ax.set_xlim(0, max(end, len(features) * FRAME_SECONDS))
    below.set_yticks(range(len(words)), words)
    below.tick_params(axis="y", labelsize=min(9, 240 / count))
    below.set(xlabel="time, s", ylim=(count - 0.5, -0.5))
    above.set_title(title)
    return figure


def scrub_explorer(
    model: nn.Module, vocabulary: Vocabulary, recordings: Sequence[Recording]
):
    """Choose a recording and a word; see where the attention listens.

    The model reads the true words (teacher forcing).
    """
    from attn_course.widgets import explore

    last = len(recordings) - 1
    max_words = max(len(one.text.split()) for one in recordings)

    def look(recording: int, word: int):
        one = recordings[recording]
        features = log_mel_spectrogram(one.wave)
        words, weights = align(model, vocabulary, features, one.text)
        return one, features, words, weights, min(word, len(words)) - 1

    def draw(recording: int, word: int) -> Figure:
        one, features, words, weights, row = look(recording, word)
        return listening(
            features, words, weights, starts=one.starts, bright=row
        )

    def alt(recording: int, word: int) -> str:
        one, _, words, weights, row = look(recording, word)
        centre = centres(weights)[row].item()
        return (
            f"Recording {recording}, {one.text!r}. For word {row + 1}, "
            f"{words[row]}, which starts at {one.starts[row]:.2f} s, the "
            f"centre of the attention is at {centre:.2f} s."
        )

    slider = ipywidgets.IntSlider
    view = explore(
        draw,
        alt,
        recording=slider(0, 0, last, description="recording"),
        word=slider(1, 1, max_words, description="word"),
    )
    one = recordings[0]
    view.still.alt = (
        f"Recording 0, {one.text!r}: log-mel features, and the weights of its "
        "first word over time."
    )
    return view


def recording_explorer(recogniser: Recogniser):
    """Take the learner's own .wav; show what was heard, and where.

    The CTC part writes the words; the decoder, given them, shows where it
    listens. Of long silence only a little is shown.

    Nothing that is uploaded raises: the reason is said in place of a picture.
    """
    from attn_course.widgets import explore

    def hear(file: tuple):
        one = file[-1]
        wave = load_audio(bytes(one["content"]))
        features = recogniser.features(wave)
        words, weights = align(
            recogniser.model, recogniser.vocabulary, features, recogniser(wave)
        )
        return one["name"], len(wave) / RATE, features, words, weights

    def draw(file: tuple) -> Figure:
        if not file:
            return listening(torch.zeros(62, N_MELS), [], torch.zeros(0, 16))
        _, _, features, words, weights = hear(file)
        return listening(features, words, weights)

    def alt(file: tuple) -> str:
        if not file:
            return (
                "There is no recording yet: upload a .wav of at most twenty "
                "seconds, in English, of digits or short commands."
            )
        name, seconds, _, words, _ = hear(file)
        heard = " ".join(words) or "nothing that it knows"
        return f"{name}, {seconds:.1f} seconds. It heard: {heard}."

    upload = ipywidgets.FileUpload(
        accept=".wav,audio/*",
        multiple=False,
        description="Upload a .wav",
        layout={"width": "14em"},
    )
    return explore(draw, alt, file=upload)
