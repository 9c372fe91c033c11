"""Lesson 11's package: features, CTC, models, errors, alignment, the cache."""

import base64
import io
import math
import os
import random
import runpy
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import jiwer
import numpy as np
import pytest
import safetensors.torch
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from transformers import audio_utils

from attn_course import speech_attention as lesson
from attn_course.common.seq2seq import shift_right
from attn_course.common.text import Vocabulary
from attn_course.common.tokens import BOS, EOS, PAD, UNK
from attn_course.data import speech
from attn_course.multi_head_attention import MultiHeadAttention
from attn_course.scaled_dot_product import causal_mask
from attn_course.self_attention import sinusoidal_positions
from attn_course.speech_attention import command, training
from attn_course.widgets import speech_attention as views

TEXTS = ["one two", "two", "three one two"]
WORDS = st.lists(st.sampled_from("one two three the".split()), max_size=7)


def tone(seconds=0.6, rate=8_000, hertz=440.0):
    time = np.arange(round(seconds * rate)) / rate
    return 0.4 * np.sin(2 * np.pi * hertz * time) * np.hanning(len(time))


def sound(wave, rate=8_000, kind="WAV", **options):
    stream = io.BytesIO()
    soundfile.write(stream, wave, rate, format=kind, **options)
    return stream.getvalue()


def features(count=3, dtype=torch.float32, device="cpu"):
    lengths = torch.tensor([29, 18, 40, 23][:count], device=device)
    x = torch.rand(count, int(lengths.max()), lesson.N_MELS, device=device)
    real = torch.arange(x.shape[1], device=device) < lengths[:, None]
    return (x * real[..., None]).to(dtype), lengths


def vocabulary():
    return Vocabulary.from_texts(TEXTS, min_freq=1)


def model(kind="Transformer", **options):
    return lesson.SPEECH_MODELS[kind](len(vocabulary()), 16, **options)


# --- reading recordings -----------------------------------------------------

FORMATS = [
    ("WAV", subtype)
    for subtype in (
        "PCM_U8",
        "PCM_16",
        "PCM_24",
        "PCM_32",
        "FLOAT",
        "DOUBLE",
        "ULAW",
        "ALAW",
    )
] + [
    ("WAVEX", "PCM_16"),
    ("RF64", "PCM_24"),
    ("FLAC", "PCM_16"),
    ("OGG", "VORBIS"),
    ("AIFF", "PCM_16"),
]


@pytest.mark.parametrize("kind, subtype", FORMATS)
@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
@pytest.mark.parametrize("channels", [1, 2])
def test_all_formats_give_the_same_features(kind, subtype, rate, channels):
    wave = np.stack([tone(rate=rate)] * channels, axis=1)
    found = lesson.load_audio(sound(wave, rate, kind, subtype=subtype))
    expected = torch.from_numpy(tone()).float()
    assert found.dtype == torch.float32
    assert abs(len(found) - len(expected)) <= 1
    both = min(len(found), len(expected))
    # 8 bits are coarse, and Vorbis changes the wave.
    coarse = subtype in ("PCM_U8", "ULAW", "ALAW", "VORBIS")
    torch.testing.assert_close(
        found[:both], expected[:both], rtol=0, atol=0.05 if coarse else 2e-3
    )


def test_channels_are_averaged():
    wave = np.stack([tone(), np.zeros_like(tone())], axis=1)
    found = lesson.load_audio(sound(wave, subtype="FLOAT"))
    torch.testing.assert_close(found, torch.from_numpy(tone() / 2).float())


def test_resampling_takes_away_what_the_new_rate_cannot_hold():
    high = lesson.load_audio(sound(tone(rate=48_000, hertz=6_000), 48_000))
    kept = lesson.load_audio(sound(tone(rate=48_000, hertz=1_000), 48_000))
    assert high.abs().max() < 0.02 < 0.35 < kept.abs().max()


@pytest.mark.parametrize("rate", [11_025, 22_050, 44_101, 96_000, 192_000])
def test_any_rate_keeps_the_time(rate):
    found = lesson.load_audio(sound(tone(rate=rate), rate, subtype="FLOAT"))
    assert len(found) == pytest.approx(0.6 * 8_000, abs=1)


def test_a_path_is_read_as_its_bytes_are(tmp_path):
    path = tmp_path / "my voice.wav"
    path.write_bytes(sound(tone()))
    found = lesson.load_audio(path)
    torch.testing.assert_close(found, lesson.load_audio(path.read_bytes()))


BAD = {
    "empty": (b"", "empty file"),
    "text": (b"this is no sound at all" * 40, "none or is damaged"),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(400), "none or is damaged"),
    "header": (sound(tone())[:30], "none or is damaged|0 samples"),
    "no samples": (sound(np.zeros(0)), "0 samples"),
    "silent": (sound(np.zeros(4_000)), "silence"),
    "too long": (sound(np.ones(8_000 * 21) / 3), "at most 20 seconds, got 21"),
    "not finite": (
        sound(np.array([0.1, np.nan, 0.2]), subtype="FLOAT"),
        "finite",
    ),
    "loud": (sound(tone() * 1e25, subtype="FLOAT"), "finite"),
    "slow": (sound(tone(), 100), "1,000 to 400,000 samples a second, got 100"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_recordings_are_refused_with_a_reason(name):
    content, words = BAD[name]
    with pytest.raises(ValueError, match=f"source: expected .*({words})"):
        lesson.load_audio(content)


def test_a_cut_off_recording_is_read_or_refused_but_never_crashes():
    whole = sound(tone())
    for end in range(0, len(whole), 97):
        try:
            found = lesson.load_audio(whole[:end])
        except ValueError as error:
            assert "source: expected" in str(error)
        else:
            assert len(found) and found.isfinite().all()


def test_a_path_that_is_not_there():
    with pytest.raises(FileNotFoundError):
        lesson.load_audio("nowhere.wav")


# --- features ---------------------------------------------------------------


def test_frames_are_slices():
    wave = torch.arange(1_000.0)
    found = lesson.frame(wave)
    assert found.shape == (1 + (1_000 - 256) // 128, 256)
    for number, frame in enumerate(found):
        assert torch.equal(frame, wave[number * 128 : number * 128 + 256])
    short = lesson.frame(torch.ones(10))
    assert short.shape == (1, 256) and short.sum() == 10


def test_mel_filters_equal_the_librarys():
    theirs = audio_utils.mel_filter_bank(
        num_frequency_bins=129,
        num_mel_filters=24,
        min_frequency=60,
        max_frequency=4_000,
        sampling_rate=8_000,
        mel_scale="htk",
    )
    ours = lesson.mel_filterbank()
    torch.testing.assert_close(ours, torch.from_numpy(theirs.T).float())
    assert (ours.sum(dim=1) > 0).all()


def test_log_mel_equals_the_librarys():
    wave = speech.load_human("en")[3].wave
    decibels = audio_utils.spectrogram(
        wave.numpy().astype(np.float64),
        audio_utils.window_function(256),
        frame_length=256,
        hop_length=128,
        power=2.0,
        center=False,
        mel_filters=lesson.mel_filterbank().double().numpy().T,
        log_mel="dB",
        min_value=1e-10,
        mel_floor=1e-10,
    ).T
    expected = 1 + (decibels - decibels.max()) / lesson.TOP_DB
    torch.testing.assert_close(
        lesson.log_mel_spectrogram(wave),
        torch.from_numpy(expected).float().clamp(min=0),
        rtol=1e-3,
        atol=1e-3,
    )


@given(st.floats(0.05, 20), st.integers(0, 99))
def test_a_louder_recording_has_the_same_features(factor, seed):
    torch.manual_seed(seed)
    wave = torch.randn(2_000)
    found = lesson.log_mel_spectrogram(factor * wave)
    torch.testing.assert_close(
        found, lesson.log_mel_spectrogram(wave), rtol=0, atol=1e-4
    )
    assert found.max() == 1 and found.min() >= 0


def test_a_tone_lies_in_its_band():
    wave = torch.from_numpy(tone(hertz=1_000)).float()
    band = lesson.log_mel_spectrogram(wave).mean(dim=0).argmax()
    assert lesson.mel_filterbank()[band].argmax() == 1_000 / 8_000 * 256


def test_silence_has_no_features():
    assert not lesson.log_mel_spectrogram(torch.zeros(1_000)).any()


def test_features_refuse_bad_input(own_errors):
    with pytest.raises(ValueError, match="wave: expected one row"):
        lesson.log_mel_spectrogram(torch.zeros(0))
    with pytest.raises(ValueError, match=r"wave: .*\(2, 500\)"):
        lesson.frame(torch.zeros(2, 500))
    with pytest.raises(ValueError, match="n_mels: expected 1 or more, got 0"):
        lesson.mel_filterbank(0)
    with pytest.raises(ValueError, match="f_min: expected .* f_max = 100"):
        lesson.mel_filterbank(4, 200.0, 100.0)


BURST = torch.sin(torch.arange(3840) / 3)  # 30 hops


@pytest.mark.parametrize("noise", [0.0, 0.002, 0.02])  # the last -34 dB
@pytest.mark.parametrize("before, after", [(0, 0), (80, 0), (0, 80), (99, 9)])
def test_silence_of_any_length_is_heard_as_a_little(before, after, noise):
    def heard(hops):
        wave = F.pad(BURST, [128 * n for n in hops])
        rustle = noise * torch.randn(len(wave), generator=generator())
        return lesson.shorten_silence(wave + rustle)

    found, expected = heard((before, after)), heard((6, 6))
    assert abs(len(found) - len(expected)) <= 3 * 128
    assert 3840 + 2 * 640 <= len(found) <= 3840 + 2 * 1024
    at = int((found.abs() > 0.1).nonzero()[0]) - 1
    torch.testing.assert_close(
        found[at : at + 3600], BURST[:3600], rtol=0, atol=6 * noise
    )
    if not noise:
        assert torch.equal(found, expected)


def generator():
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("seconds", [0.5, 1, 2])
def test_a_pause_of_any_length_is_heard_as_a_short_one(seconds):
    wave = torch.cat([BURST, torch.zeros(round(8000 * seconds)), BURST])
    found = lesson.shorten_silence(wave)
    quiet = len(found) - 2 * len(BURST) - 13 * 128  # at the ends
    assert 0.16 * 8000 < quiet < 0.24 * 8000
    loud = found[(found.abs() > 0.01)]
    assert torch.equal(loud, torch.cat([BURST[BURST.abs() > 0.01]] * 2))


def test_speech_without_silence_is_left_whole():
    for one in speech.load("valid")[::20]:
        found = lesson.shorten_silence(one.wave)
        assert len(found) > 0.8 * len(one.wave)
    for wave in (torch.zeros(1000), torch.ones(10)):
        found = lesson.shorten_silence(wave)
        assert torch.equal(found[896 : 896 + len(wave)], wave)
        assert not found[:896].any() and not found[896 + len(wave) :].any()
    with pytest.raises(ValueError, match="wave: expected one row"):
        lesson.shorten_silence(torch.zeros(0))


@pytest.mark.parametrize("kind", lesson.SPEECH_MODELS)
def test_a_recogniser_hears_the_same_with_silence_around(kind):
    net = lesson.Recogniser(model(kind).eval(), vocabulary(), kind)
    alone, silent = (F.pad(BURST, [hops * 128] * 2) for hops in (0, 125))
    assert torch.equal(net.features(alone), net.features(silent))
    assert net(alone) == net(silent)


def test_a_recogniser_reads_by_ctc_where_there_is_a_decoder():
    net = lesson.Recogniser(model().eval(), vocabulary(), "Transformer")
    with torch.no_grad():
        net.model.ctc_head.weight.zero_()
        net.model.ctc_head.bias.copy_(F.one_hot(torch.tensor(4), 7).float())
    assert net(BURST) == net.vocabulary.words[0]


# --- augmentation -----------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_pauses_part_the_words_of_every_second_recording(seed):
    dice, waves = random.Random(seed), torch.arange(1.0, 8001)
    one = speech.Recording(waves, "one two three", "v", (0.1, 0.4, 0.7))
    pauses = []
    for _ in range(400):
        found = lesson.add_pauses(one, dice)
        assert torch.equal(found[found > 0], waves)
        at = (found == 0).nonzero()[:, 0]
        before = set(found[at - 1].tolist()) - {0.0}
        assert before <= {3200.0, 5600.0}  # where words begin
        pauses.append(len(at) / 8000)
    parted = [pause for pause in pauses if pause]
    assert 150 < len(parted) < 250
    assert 0.25 < sum(parted) / len(parted) < 0.35 and max(parted) <= 0.6
    alone = one._replace(starts=(0.1,), text="one")
    assert all(
        torch.equal(lesson.add_pauses(alone, dice), waves) for _ in range(9)
    )


NOTHING = {
    "stretch": (1.0, 1.0),
    "quiet": 0.0,
    "warp": 0.0,
    "colour": 0.0,
    "noise": False,
    "band_limit": 0.0,
}


def change(x, lengths, seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    return lesson.augment(x, lengths, generator, **options)


def test_normalized_features_have_mean_0_over_what_is_real(device):
    x, lengths = features(device=device)
    centred = lesson.mean_normalize(x, lengths)
    for one, before, length in zip(centred, x, lengths.tolist()):
        expected = before[:length] - before[:length].mean(dim=0)
        torch.testing.assert_close(one[:length], expected)
        assert not one[length:].any()


def test_another_microphone_and_longer_padding_change_nothing():
    x, lengths = features()
    expected = lesson.mean_normalize(x, lengths)
    other = F.pad(x + torch.randn(lesson.N_MELS), (0, 0, 0, 5), value=9.0)
    found = lesson.mean_normalize(other, lengths)
    torch.testing.assert_close(found[:, : x.shape[1]], expected)
    assert not found[:, x.shape[1] :].any()


def test_augmentation_with_everything_off_changes_nothing():
    x, lengths = features()
    x = x / x.amax(dim=(1, 2), keepdim=True)
    found, counts = change(x, lengths, **NOTHING)
    assert torch.equal(counts, lengths)
    torch.testing.assert_close(found, x, rtol=0, atol=1e-4)


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_augmented_features_are_features(seed):
    x, lengths = features()
    found, counts = change(x, lengths, seed)
    assert found.shape[1] == counts.max() and (counts >= 1).all()
    assert found.min() >= 0 and found.max() <= 1 + 1e-5
    assert found.isfinite().all()
    for row, count in zip(found, counts):
        assert not row[count:].any()


def test_each_change_changes_and_repeats_with_its_seed():
    x, lengths = features()
    x = x / x.amax(dim=(1, 2), keepdim=True)  # as augment leaves it
    options = {
        "stretch": (1.3, 1.4),
        "quiet": 6.0,
        "warp": 0.1,
        "colour": 0.2,
        "noise": True,
        "band_limit": 1.0,
    }
    for name, value in options.items():
        one = change(x, lengths, 5, **{**NOTHING, name: value})
        two = change(x, lengths, 5, **{**NOTHING, name: value})
        assert torch.equal(one[0], two[0])
        assert one[0].shape != x.shape or not torch.allclose(
            one[0], x, atol=1e-3
        ), name


def test_quiet_comes_before_and_after():
    x, lengths = torch.ones(200, 20, lesson.N_MELS), torch.tensor([20] * 200)
    found, counts = change(x, lengths, **{**NOTHING, "quiet": 6.0})
    loud = found.mean(dim=2) > 0.5  # (recordings, frames)
    before = loud.double().argmax(dim=1)
    after = counts - before - loud.sum(dim=1)
    for quiet in (before, after):
        assert quiet.min() >= 0 and quiet.max() <= 7
        assert 2 < quiet.double().mean() < 4


def test_stretching_makes_it_longer():
    x, lengths = features()
    found, counts = change(x, lengths, **{**NOTHING, "stretch": (2.0, 2.0)})
    assert torch.equal(counts, 2 * lengths) and found.shape[1] == 80


def test_noise_raises_the_quiet_parts():
    x, lengths = features()
    x[:, 5:10] = 0
    found, _ = change(x, lengths, **{**NOTHING, "noise": True})
    assert found[:, 5:10].mean() > 0.02


def test_band_limit_cuts_off_the_top():
    x, lengths = features()
    found, _ = change(x, lengths, **{**NOTHING, "band_limit": 1.0})
    assert found[0, :29, :15].min() >= 0 and found[0, :29, :15].mean() > 0.3
    assert not found[:, :, -1].any()


# --- batches and targets ----------------------------------------------------


def test_targets_and_back():
    words = vocabulary()
    tokens = lesson.make_targets(words, TEXTS)
    assert tokens.shape == (3, 4)
    assert (tokens == EOS).sum(dim=1).tolist() == [1, 1, 1]
    assert (tokens[1] != PAD).sum() == 2
    assert words.decode(tokens) == TEXTS


@given(st.lists(WORDS, min_size=1, max_size=4))
def test_texts_survive_the_way_there_and_back(rows):
    texts = [" ".join(row) for row in rows]
    words = Vocabulary("one two three the".split())
    assert words.decode(lesson.make_targets(words, texts)) == texts


def test_batches_hold_every_recording_once_and_repeat():
    parts = [torch.full((5 + n, lesson.N_MELS), n / 20) for n in range(12)]
    targets = torch.tensor([[n + 4, EOS] for n in range(12)])
    batches = lesson.speech_batches(
        parts, targets, 4, transform=None, join=False, seed=3
    )
    seen = []
    for step in range(3):
        x, lengths, tokens = batches(step)
        for row, length, token in zip(x, lengths, tokens[:, 0] - 4):
            assert length == 5 + token
            assert torch.equal(row[:length], parts[token])
            assert not row[length:].any()
            seen.append(int(token))
        again = batches(step)
        assert torch.equal(again[0], x) and torch.equal(again[2], tokens)
    assert sorted(seen) == list(range(12))
    changed = lesson.speech_batches(parts, targets, 4, seed=3)
    assert torch.equal(changed(1)[0], changed(1)[0])


def test_joined_rows_hold_the_same_recordings_one_after_the_other():
    parts = [torch.full((5 + n, lesson.N_MELS), n / 20) for n in range(12)]
    targets = torch.tensor([[n + 4, EOS] for n in range(12)])
    batches = lesson.speech_batches(parts, targets, 4, transform=None)
    sizes = set()
    for epoch in range(8):
        seen = []
        for step in range(3 * epoch, 3 * epoch + 3):
            x, lengths, tokens = batches(step)
            sizes.add(len(x))
            for row, length, text in zip(x, lengths, tokens.tolist()):
                end = text.index(EOS)
                numbers = [token - 4 for token in text[:end]]
                whole = torch.cat([parts[n] for n in numbers])
                assert torch.equal(row[:length], whole)
                assert not row[length:].any() and not any(text[end + 1 :])
                seen += numbers
        assert sorted(seen) == list(range(12))
    assert sizes == {1, 2, 4}


def rows_of(batches, step):
    """Say which recordings a batch of ``ten`` holds, in order."""
    return (batches(step)[2][:, 0] - 4).tolist()


def ten(**options):
    parts = [torch.full((20 + n, lesson.N_MELS), n / 20) for n in range(10)]
    targets = torch.tensor([[n + 4, EOS] for n in range(10)])
    options = {"transform": None, "join": False, **options}
    return lesson.speech_batches(parts, targets, 3, **options)


def test_each_epoch_has_an_order_of_its_own_that_the_seed_repeats():
    def epoch(seed, number):
        batches = ten(seed=seed)
        return [rows_of(batches, 3 * number + i) for i in range(3)]

    assert epoch(0, 0) == epoch(0, 0) and epoch(0, 7) == epoch(0, 7)
    assert epoch(0, 0) != epoch(1, 0)
    orders = [epoch(0, number) for number in range(8)]
    assert len({str(order) for order in orders}) == 8
    assert any(row != sorted(row) for order in orders for row in order)
    # Neighbours in length differ too: their order is noisy.
    groups = [{frozenset(row) for row in epoch(0, 10 * i)} for i in range(4)]
    assert len({frozenset(group) for group in groups}) > 1


def far_apart(size):
    """Batches of eight recordings, further apart in length than the noise."""
    lengths = [round(10 * 1.4**n) for n in range(8)]
    return lengths, lesson.speech_batches(
        [torch.ones(n, lesson.N_MELS) for n in lengths],
        torch.tensor([[4, EOS]] * 8),
        size,
        transform=None,
        join=False,
    )


def test_short_recordings_do_not_come_first():
    lengths, batches = far_apart(1)
    for epoch in range(5):
        order = [int(batches(8 * epoch + i)[1]) for i in range(8)]
        start = order.index(min(order))
        assert sorted(order) == lengths
        assert order[start:] + order[:start] != lengths


def test_it_is_not_always_the_longest_that_fill_no_batch():
    lengths, batches = far_apart(3)
    held = []
    for epoch in range(8):
        steps = (2 * epoch, 2 * epoch + 1)
        held.append({n for i in steps for n in batches(i)[1].tolist()})
        assert len(held[-1]) == 6
    assert set.union(*held) == {*lengths} and not set.intersection(*held)


def test_a_batch_holds_recordings_of_nearly_one_length():
    parts = [torch.ones(10 + 5 * n, lesson.N_MELS) for n in range(64)]
    targets = torch.tensor([[4, EOS]] * 64)
    batches = lesson.speech_batches(
        parts, targets, 8, transform=None, join=False
    )
    ranges = [
        int(lengths.max() - lengths.min())
        for lengths in (batches(step)[1] for step in range(8, 16))
    ]
    # Of 315 frames: one batch of an epoch has the longest and the shortest.
    assert sorted(ranges)[-2] < 110


def test_half_of_the_batches_join_recordings_and_half_of_those_four():
    batches = ten(join=True)
    counts = [len(batches(step)[0]) for step in range(400)]
    assert 0.43 < counts.count(3) / 400 < 0.57  # one in a row
    assert 0.19 < counts.count(2) / 400 < 0.31  # two, the last alone
    assert 0.19 < counts.count(1) / 400 < 0.31  # four, which all three fill


def test_training_sees_each_recording_changed_anew_and_reading_as_it_is():
    plain, changed = ten(), ten(transform=lesson.augment)
    by_default = lesson.speech_batches(
        [torch.rand(30, lesson.N_MELS)], torch.tensor([[4, EOS]]), 1
    )
    first, second = by_default(0)[0], by_default(1)[0]
    assert first.shape != second.shape or not first.equal(second)
    x, lengths, targets = plain(5)
    generator = torch.Generator().manual_seed(5)
    torch.randperm(3, generator=generator)  # which draws the order of rows
    expected = lesson.augment(x, lengths, generator)
    for one, wanted in zip(changed(5), (*expected, targets), strict=True):
        assert torch.equal(one, wanted)
    # Whoever transcribes hears the features as they are.
    net, words = model("CTC").eval(), vocabulary()
    parts = [x[i, :length] for i, length in enumerate(lengths)]
    expected = words.decode(net.greedy_decode(net.encode(x, lengths)))
    assert lesson.transcribe(net, words, parts) == expected


def test_batches_refuse_what_does_not_fit():
    parts, targets = (
        [torch.rand(9, lesson.N_MELS)] * 3,
        torch.ones(3, 2).long(),
    )
    with pytest.raises(ValueError, match="size: expected 1 to 3"):
        lesson.speech_batches(parts, targets, 4)
    with pytest.raises(ValueError, match="targets: expected 2 rows, got 3"):
        lesson.speech_batches(parts[:2], targets)


# --- CTC --------------------------------------------------------------------


def test_ctc_collapse():
    assert lesson.ctc_collapse([0, 5, 5, 0, 5, 7]) == [5, 5, 7]
    assert lesson.ctc_collapse([]) == lesson.ctc_collapse([0, 0]) == []
    assert lesson.ctc_collapse([3, 3, 9], blank=9) == [3]


@settings(max_examples=20)
@given(
    st.integers(1, 5),
    st.lists(st.integers(1, 2), max_size=3),
    st.integers(0, 999),
)
def test_three_ways_to_one_ctc_probability(count, target, seed):
    torch.manual_seed(seed)
    ours = torch.randn(count, 3, dtype=torch.float64).requires_grad_()
    probs = ours.softmax(dim=-1)
    paths = lesson.ctc_brute_force(probs, target)
    forward = lesson.ctc_forward(probs, target)
    torch.testing.assert_close(forward, paths)
    theirs = ours.detach().clone().requires_grad_()
    loss = F.ctc_loss(
        theirs.log_softmax(dim=-1)[:, None],
        torch.tensor([target], dtype=torch.int64).view(1, -1),
        torch.tensor([count]),
        torch.tensor([len(target)]),
        reduction="sum",
    )
    if paths > 0:
        torch.testing.assert_close(-forward.log(), loss)
        (-forward.log()).backward()
        loss.backward()
        torch.testing.assert_close(ours.grad, theirs.grad)
    else:
        assert loss == math.inf


def test_ctc_loss_is_per_word_and_knows_no_end():
    logits = torch.randn(2, 6, 7, dtype=torch.float64)
    mask = torch.tensor([[True] * 6, [True] * 4 + [False] * 2])
    targets = torch.tensor([[4, 4, EOS], [5, EOS, PAD]])
    probs = logits.softmax(dim=-1)
    expected = -(
        lesson.ctc_forward(probs[0], [4, 4]).log()
        + lesson.ctc_forward(probs[1, :4], [5]).log()
    )
    found = lesson.ctc_loss(logits, mask, targets)
    torch.testing.assert_close(found, expected / 3)


def test_ctc_loss_counts_what_is_too_short_as_0():
    logits = torch.randn(1, 2, 7).requires_grad_()
    targets = torch.tensor([[4, 4, 5, EOS]])
    loss = lesson.ctc_loss(logits, torch.ones(1, 2).bool(), targets)
    loss.backward()
    assert loss == 0 and not logits.grad.isnan().any()


def test_ctc_greedy_ignores_padding():
    best = torch.tensor([[5, 5, 0, 5, 6], [4, 0, 0, 6, 6]])
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    found = lesson.ctc_greedy_decode(F.one_hot(best, 8).float(), mask)
    assert found.tolist() == [[5, 5, 6, EOS], [4, EOS, PAD, PAD]]


# --- models -----------------------------------------------------------------


@pytest.mark.parametrize("kind", lesson.SPEECH_MODELS)
def test_padding_changes_nothing(kind, device):
    net = model(kind).to(device).eval()
    for norm in net.modules():
        if isinstance(norm, torch.nn.modules.batchnorm._BatchNorm):
            torch.nn.init.uniform_(norm.bias)  # as training leaves it: not 0
    x, lengths = features(device=device)
    memory = net.encode(x, lengths)
    assert memory.mask.sum(dim=1).tolist() == [8, 5, 10]
    for row, length in enumerate(lengths):
        alone = net.encode(x[row : row + 1, :length], lengths[row : row + 1])
        torch.testing.assert_close(
            memory.states[row, : alone.states.shape[1]],
            alone.states[0],
            rtol=1e-4,
            atol=1e-5,
        )
        if memory.summary is not None:
            torch.testing.assert_close(memory.summary[row], alone.summary[0])


@pytest.mark.parametrize("kind", lesson.SPEECH_MODELS)
def test_every_parameter_learns(kind, device):
    net = model(kind).to(device)
    targets = lesson.make_targets(vocabulary(), TEXTS).to(device)
    net.loss(*features(device=device), targets).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@pytest.mark.parametrize("kind", ["listen, attend, spell", "Transformer"])
def test_the_decoder_does_not_look_ahead_and_its_weights_sum_to_1(kind):
    net = model(kind).eval()
    memory = net.encode(*features())
    target = torch.tensor([[BOS, 4, 5, 6]] * 3)
    logits, weights = net.decode(memory, target)
    assert weights.shape == (3, 4, 10)
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 4))
    assert not weights.masked_select(~memory.mask[:, None]).any()
    other = target.clone()
    other[:, 2:] = 4
    changed = net.decode(memory, other)[0]
    torch.testing.assert_close(changed[:, :2], logits[:, :2])
    assert not torch.allclose(changed[:, 2], logits[:, 2])


@pytest.mark.parametrize("kind", ["listen, attend, spell", "Transformer"])
def test_the_weight_of_ctc_mixes_two_losses(kind):
    x, lengths = features()
    targets = lesson.make_targets(vocabulary(), TEXTS)
    net = model(kind, dropout=0.0).eval()
    assert net.ctc_weight == 0.3
    losses = {}
    for net.ctc_weight in (0.0, 0.3, 1.0):
        losses[net.ctc_weight] = net.loss(x, lengths, targets)
    expected = 0.7 * losses[0.0] + 0.3 * losses[1.0]
    torch.testing.assert_close(losses[0.3], expected)
    memory = net.encode(x, lengths)
    logits = net.ctc_head(memory.states)
    by_ctc = lesson.ctc_loss(logits, memory.mask, targets)
    torch.testing.assert_close(losses[1.0], by_ctc)


def test_encoder_and_decoder_are_told_positions():
    net = model("Transformer").eval()
    x, lengths = features()
    frames, mask = net.encoder.subsampling(x, lengths)
    positions = sinusoidal_positions(frames.shape[1], 16).float()
    states, _ = net.encoder.layers(frames + positions, mask[:, None])
    memory = net.encode(x, lengths)
    torch.testing.assert_close(memory.states, states)
    target = torch.tensor([[BOS, 4, 5, 6]] * 3)
    embedded = 4 * net.embed(target) + positions[:4]  # 4 = sqrt(16)
    allowed = causal_mask(4)
    expected, _, _ = net.decoder(embedded, states, allowed, mask[:, None])
    logits, _ = net.decode(memory, target)
    torch.testing.assert_close(logits, net.readout(expected))


@pytest.mark.parametrize("kind", ["listen, attend, spell", "Transformer"])
def test_the_decoders_loss_has_smooth_labels(kind):
    x, lengths = features()
    targets = lesson.make_targets(vocabulary(), TEXTS)
    net = model(kind, ctc_weight=0.0)
    with torch.no_grad():
        memory = net.encode(x, lengths)
        logits = net.decode(memory, shift_right(targets))[0]
        found = net.loss(x, lengths, targets)
    log_probs = logits.log_softmax(dim=-1)
    classes = len(vocabulary())
    losses = []
    for row, target in zip(log_probs, targets, strict=True):
        for scores, token in zip(row, target.tolist(), strict=True):
            if token != PAD:
                smooth = torch.full((classes,), 0.1 / classes)
                smooth[token] += 0.9
                losses.append(-(smooth * scores).sum())
    torch.testing.assert_close(found, torch.stack(losses).mean())


def share_of_zeros(module, position=0):
    """Note how much of a module's input is 0, each time it is called."""
    shares = []
    module.register_forward_pre_hook(
        lambda _, given: shares.append((given[position] == 0).double().mean())
    )
    return shares


@pytest.mark.parametrize("kind", lesson.SPEECH_MODELS)
def test_dropout_drops_its_share_in_training_alone(kind):
    net = lesson.SPEECH_MODELS[kind](len(vocabulary()), 32, dropout=0.3)
    x, lengths = features()
    # All of one length: a padded recurrent network packs its rows.
    x, lengths = x[2:].expand(40, -1, -1), lengths[2:].expand(40)
    targets = lesson.make_targets(vocabulary(), TEXTS[2:] * 40)
    inputs = {"encoder": net.encoder.layers}
    if kind == "Transformer":
        inputs["decoder"] = net.decoder
    elif kind != "CTC":
        del inputs["encoder"]  # packed: see below
        inputs.update(decoder=net.decoder, readout=net.readout)
        packed = []
        net.encoder.layers.register_forward_pre_hook(
            lambda _, given: packed.append((given[0].data == 0).double())
        )
    shares = {name: share_of_zeros(part) for name, part in inputs.items()}
    net.loss(x, lengths, targets)
    if kind == "listen, attend, spell":
        shares["encoder"] = [packed[-1].mean()]
    for name, (share,) in shares.items():
        assert share == pytest.approx(0.3, abs=0.03), name
    with torch.no_grad():
        net.eval().loss(x, lengths, targets)
    if kind == "listen, attend, spell":
        shares["encoder"].append(packed[-1].mean())
    for name, (_, share) in shares.items():
        assert share == 0, name


def test_dropout_reaches_every_layer():
    net = model("Transformer", dropout=0.3)
    inside = [*net.encoder.layers.modules(), *net.decoder.modules()]
    probs = [m.p for m in inside if isinstance(m, torch.nn.Dropout)]
    attention = [
        m.dropout for m in inside if isinstance(m, MultiHeadAttention)
    ]
    assert set(probs) == set(attention) == {0.3} and len(attention) == 4
    listener = model("listen, attend, spell", layers=2, dropout=0.3)
    assert listener.encoder.layers.dropout == 0.3


def test_the_recipe(monkeypatch):
    seen = {}

    def fit(model, loss, batches, **options):
        seen.update(options, loss=loss(model, batches(0)))
        return training.History("made by hand")

    monkeypatch.setattr(training, "fit", fit)
    net = model("CTC").eval()
    x, lengths = features()
    batch = x, lengths, lesson.make_targets(vocabulary(), TEXTS)
    made = lesson.train_speech(net, lambda _: batch, steps=70, eval_every=9)
    assert made.label == "made by hand"
    assert (seen["steps"], seen["warmup"], seen["eval_every"]) == (70, 7, 9)
    assert torch.equal(seen["loss"], net.loss(*batch))
    (group,) = seen["optimizer"].param_groups
    assert isinstance(seen["optimizer"], torch.optim.AdamW)
    assert group["lr"] == 2e-3 and group["betas"] == (0.9, 0.98)
    assert group["weight_decay"] == 0.01
    assert len(group["params"]) == len([*net.parameters()])


@pytest.mark.parametrize("kind", ["listen, attend, spell", "Transformer"])
def test_an_interrupt_leaves_each_part_in_its_mode(kind, monkeypatch):
    net, words = model(kind, dropout=0.5), vocabulary()
    net.encoder.eval()  # frozen
    parts = [torch.rand(50, lesson.N_MELS)]
    expected = lesson.transcribe(net, words, parts)
    assert lesson.transcribe(net, words, parts) == expected  # nothing dropped
    assert net.training and not net.encoder.training

    def interrupt(*_):
        assert not net.training
        raise KeyboardInterrupt

    monkeypatch.setattr(net, "encode", interrupt)
    with pytest.raises(KeyboardInterrupt):
        lesson.transcribe(net, words, parts)
    with pytest.raises(KeyboardInterrupt):
        lesson.align(net, words, parts[0])
    assert net.training and not net.encoder.training


@pytest.mark.parametrize("kind", lesson.SPEECH_MODELS)
def test_a_model_can_learn_three_recordings_by_heart(kind):
    parts = [log for log in features()[0]]
    words = vocabulary()
    targets = lesson.make_targets(words, TEXTS)
    net = model(kind, dropout=0.0)
    batches = lesson.speech_batches(
        parts, targets, 3, transform=None, join=False
    )
    history = lesson.train_speech(net, batches, steps=250, lr=5e-3)
    assert history.losses[-1] < history.losses[0] / 3
    assert not net.training
    assert lesson.transcribe(net, words, parts) == TEXTS
    assert lesson.transcribe(net, words, parts[::-1], chunk=2) == TEXTS[::-1]
    if kind != "CTC":
        by_ctc = lesson.transcribe(
            net, words, parts, method="ctc_greedy_decode"
        )
        assert by_ctc == TEXTS


def test_subsampling_refuses_bands_that_do_not_fit():
    with pytest.raises(ValueError, match="n_mels: expected a multiple of 4"):
        lesson.ConvSubsampling(8, n_mels=30)


# --- errors -----------------------------------------------------------------


@settings(max_examples=200)
@given(WORDS, WORDS.filter(bool))
def test_word_errors_equal_jiwers(found, expected):
    theirs = jiwer.process_words(" ".join(expected), " ".join(found))
    ours = lesson.edit_counts(found, expected)
    assert ours.total == (
        theirs.substitutions + theirs.insertions + theirs.deletions
    )
    assert ours.insertions - ours.deletions == len(found) - len(expected)
    assert ours.total / len(expected) == pytest.approx(theirs.wer)


@given(WORDS, WORDS.filter(bool))
def test_character_errors_equal_jiwers(found, expected):
    found, expected = " ".join(found), " ".join(expected)
    errors, units = lesson.error_counts([found], [expected], "character")
    rate = errors.sum().item() / units.sum().item()
    assert rate == pytest.approx(jiwer.cer(expected, found))


@given(WORDS, WORDS, WORDS)
def test_edit_distance_is_a_distance(a, b, c):
    def d(x, y):
        return lesson.edit_counts(x, y).total

    assert (d(a, b) == 0) == (a == b)
    assert d(a, b) == d(b, a)
    assert d(a, c) <= d(a, b) + d(b, c)


def test_edits_name_what_happened():
    said = "turn on the radio".split()
    assert lesson.edit_counts("turn the radio".split(), said) == (0, 0, 1)
    assert lesson.edit_counts("turn on on the radio".split(), said) == (
        0,
        1,
        0,
    )
    assert lesson.edit_counts("turn off the radio".split(), said) == (1, 0, 0)
    assert lesson.edit_counts([], said).deletions == 4


def test_the_interval_holds_the_rate_and_grows_with_the_groups():
    errors = torch.tensor([0, 0, 2, 2, 0, 1] * 20)
    units = torch.full_like(errors, 4)
    one = lesson.error_interval(errors, units)
    assert one.score == pytest.approx(100 * 5 / 24)
    assert one.low < one.score < one.high
    voices = [str(n // 20) for n in range(120)]
    errors = errors.sort().values  # a voice is all right or all wrong
    wide = lesson.error_interval(errors, units, voices)
    assert wide.score == one.score
    assert wide.high - wide.low > 2 * (one.high - one.low)
    assert lesson.error_interval(errors, units, voices) == wide
    none = lesson.error_interval(torch.zeros(5).long(), torch.ones(5).long())
    assert none == (0, 0, 0)


def test_errors_refuse_what_does_not_fit():
    with pytest.raises(
        ValueError, match="hypotheses: expected 1 texts, got 2"
    ):
        lesson.error_counts(["a", "b"], ["a"])
    with pytest.raises(ValueError, match="unit: .*'word' or 'character'"):
        lesson.error_counts(["a"], ["a"], "letter")
    one = torch.ones(2).long()
    with pytest.raises(ValueError, match="errors: .*2, 2 and 1"):
        lesson.error_interval(one, one, ["x"])
    with pytest.raises(ValueError, match="units: expected at least one"):
        lesson.error_interval(one * 0, one * 0)


# --- alignment --------------------------------------------------------------


def test_a_diagonal_is_monotonic_and_inside():
    weights = torch.eye(4)
    starts = [n * lesson.ENCODER_FRAME_SECONDS for n in range(4)]
    end = 4 * lesson.ENCODER_FRAME_SECONDS
    assert lesson.monotonicity(weights) == 1
    assert lesson.monotonicity(weights.flip(0)) == 0
    assert lesson.weight_inside(weights, starts, end) == 1
    assert lesson.weight_inside(weights.roll(1, 0), starts, end) == 0
    even = torch.full((4, 4), 0.25)
    assert lesson.weight_inside(even, starts, end) == pytest.approx(0.25)
    torch.testing.assert_close(
        lesson.centres(weights), torch.tensor([0.032, 0.096, 0.16, 0.224])
    )
    assert math.isnan(lesson.monotonicity(weights[:1]))
    with pytest.raises(ValueError, match="starts: expected 4, .*got 1"):
        lesson.weight_inside(weights, [0.0], end)


@pytest.mark.parametrize("kind", ["listen, attend, spell", "Transformer"])
def test_align_gives_a_row_per_word(kind, device):
    net, words = model(kind).to(device), vocabulary()
    sound_features = torch.rand(50, lesson.N_MELS)
    said, weights = lesson.align(net, words, sound_features, "one two two")
    assert said == ["one", "two", "two"] and weights.shape == (3, 13)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(3))
    assert net.training  # left as it was
    own, weights = lesson.align(net, words, sound_features)
    sound_features = sound_features.to(device)
    assert len(own) == len(weights)
    assert " ".join(own) == lesson.transcribe(net, words, [sound_features])[0]


def test_align_refuses_a_model_that_does_not_attend():
    with pytest.raises(ValueError, match="model: .*attends, got CTCModel"):
        lesson.align(model("CTC"), vocabulary(), torch.rand(50, lesson.N_MELS))


def test_teacher_forcing_and_greedy_agree():
    net, words = model("Transformer").eval(), vocabulary()
    x = torch.rand(1, 50, lesson.N_MELS)
    memory = net.encode(x, torch.tensor([50]))
    tokens = net.greedy_decode(memory)
    logits = net.decode(memory, shift_right(tokens))[0]
    logits[..., [PAD, BOS, UNK]] = -torch.inf
    assert torch.equal(logits.argmax(dim=-1), tokens)
    assert len(words.decode(tokens)) == 1


# --- the cache and the program ----------------------------------------------


@pytest.fixture
def tiny():
    return lesson.Recogniser(model("CTC").eval(), vocabulary(), "CTC")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ATTN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "speech.safetensors"


@pytest.mark.parametrize("kind", lesson.SPEECH_MODELS)
def test_a_kept_model_comes_back_whole(kind, cache):
    kept = lesson.Recogniser(model(kind).eval(), vocabulary(), kind)
    lesson.save_recogniser(kept)
    assert [path.name for path in cache.parent.iterdir()] == [cache.name]
    found = lesson.load_recogniser()
    assert found.kind == kind and not found.model.training
    assert found.vocabulary.words == kept.vocabulary.words
    assert found.vocabulary.token_to_id == kept.vocabulary.token_to_id
    wave = torch.from_numpy(tone()).float()
    assert found(wave) == kept(wave)
    state = kept.model.state_dict()
    for name, tensor in found.model.state_dict().items():
        assert torch.equal(tensor, state[name])


def test_a_failed_save_leaves_the_old_model(cache, tiny, monkeypatch):
    lesson.save_recogniser(tiny)
    before = cache.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        lesson.save_recogniser(tiny)
    assert [path.name for path in cache.parent.iterdir()] == [cache.name]
    assert cache.read_bytes() == before


def test_a_missing_cache_is_named(cache):
    with pytest.raises(FileNotFoundError, match="trained model at"):
        lesson.load_recogniser()


def written(path, change=None, sign=True, **about):
    """Write a file like the kept one, with something else in it."""
    with safetensors.safe_open(path, "pt") as file:
        about = {**file.metadata(), **about}
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    tensors = {name: (change or torch.clone)(x) for name, x in tensors.items()}
    if sign:  # as if the program itself had written it so
        about.pop("sha256")
        about["sha256"] = command._digest(about, tensors)
    safetensors.torch.save_file(tensors, path, about)


def flipped(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def replaced(path, make):
    path.unlink()
    make(path)


def nested(path, depth=100_000):
    written(path, words="[" * depth + "]" * depth)


DAMAGE = {
    "empty": lambda path: path.write_bytes(b""),
    "no header": lambda path: path.write_bytes(b"x" * 500),
    "zeros": lambda path: path.write_bytes(bytes(500)),
    "a header without end": lambda path: path.write_bytes(b"\xff" * 500),
    "too long": lambda path: path.write_bytes(path.read_bytes() + b"x"),
    "text": lambda path: path.write_text("no model\n"),
    "a bit in the weights": lambda path: flipped(path, -40),
    "a bit in the words": lambda path: flipped(
        path, path.read_bytes().index(b"three")
    ),
    "no metadata": lambda path: safetensors.torch.save_file(
        safetensors.torch.load_file(path), path
    ),
    "no tensors": lambda path: safetensors.torch.save_file({}, path, {}),
    "a signature that is none": lambda path: written(
        path, sign=False, sha256=""
    ),
    "other shapes": lambda path: written(path, lambda x: x[..., None].clone()),
    "another type": lambda path: written(path, torch.Tensor.half, sign=False),
    "bfloat16": lambda path: written(path, torch.Tensor.bfloat16, sign=False),
    "whole numbers": lambda path: written(path, torch.Tensor.long, sign=False),
    "words that are a number": lambda path: written(path, words="3"),
    "words that are none": lambda path: written(path, words="none"),
    "fewer words": lambda path: written(path, words='["one"]'),
    "numbers for words": lambda path: written(path, words="[1, 2, 3]"),
    "words without end": nested,
    "an unknown kind": lambda path: written(path, kind="oracle"),
    "no size": lambda path: written(path, dim="wide"),
    "a negative size": lambda path: written(path, dim="-4"),
    "a folder in its place": lambda path: replaced(path, os.mkdir),
    "a full folder in its place": lambda path: replaced(
        path, lambda path: (path / "more").mkdir(parents=True)
    ),
}
if hasattr(os, "mkfifo"):
    DAMAGE["a pipe in its place"] = lambda path: replaced(path, os.mkfifo)


@pytest.mark.parametrize("damage", DAMAGE)
def test_any_damaged_cache_is_named_and_the_transcript_comes(
    damage, cache, tiny, monkeypatch, tmp_path, capsys
):
    lesson.save_recogniser(tiny)
    DAMAGE[damage](cache)
    with pytest.raises(ValueError, match="path: .*damaged file") as caught:
        lesson.load_recogniser()
    assert str(cache) in str(caught.value)
    monkeypatch.setattr(command, "train_recogniser", lambda **_: tiny)
    path = tmp_path / "a.wav"
    path.write_bytes(sound(tone()))
    assert lesson.main([str(path)]) == 0
    said = capsys.readouterr()
    assert said.out == f"{path}: {tiny(lesson.load_audio(path))}\n"
    assert "damaged" in said.err and "training anew" in said.err
    if "folder" in damage:  # what is not ours is not deleted
        assert cache.is_dir() and "not kept, so" in said.err
    else:
        assert lesson.load_recogniser().kind == "CTC"
    assert [path.name for path in cache.parent.iterdir()] == [cache.name]


def test_a_cache_cut_off_anywhere_is_damaged(cache, tiny):
    lesson.save_recogniser(tiny)
    whole = cache.read_bytes()
    for end in range(0, len(whole), 211):
        cache.write_bytes(whole[:end])
        with pytest.raises(ValueError, match="path: .*damaged file"):
            lesson.load_recogniser()


def test_a_cache_with_a_changed_byte_anywhere_is_damaged(cache, tiny):
    lesson.save_recogniser(tiny)
    whole = cache.read_bytes()
    for at in [*range(0, 600, 7), *range(600, len(whole), 997)]:
        flipped(cache, at)
        with pytest.raises(ValueError, match="path: .*damaged file"):
            lesson.load_recogniser()
        cache.write_bytes(whole)
    assert lesson.load_recogniser().kind == "CTC"


@pytest.mark.parametrize(
    "module, name", [(Path, "write_bytes"), (os, "replace")]
)
def test_an_interrupt_while_it_is_kept_leaves_the_old_one(
    module, name, cache, tiny, monkeypatch
):
    lesson.save_recogniser(tiny)
    before = cache.read_bytes()

    def interrupt(path, _):
        with open(path, "wb") as file:
            file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(module, name, interrupt)
    with pytest.raises(KeyboardInterrupt):
        lesson.save_recogniser(tiny)
    monkeypatch.undo()
    assert [path.name for path in cache.parent.iterdir()] == [cache.name]
    assert cache.read_bytes() == before


def test_an_interrupt_of_the_program_is_said_in_a_word(
    cache, monkeypatch, tmp_path, capsys
):
    """No model yet: the interrupt comes in the minutes of training."""
    path = tmp_path / "a.wav"
    path.write_bytes(sound(tone()))

    def interrupt(**_):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "train_recogniser", interrupt)
    monkeypatch.setattr(sys, "argv", ["speech", str(path)])
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("attn_course.speech_attention", run_name="__main__")
    said = capsys.readouterr()
    assert caught.value.code == 130 and said.out == ""
    assert said.err.splitlines()[-1] == "interrupted" and not cache.exists()


def test_a_kept_model_can_be_read_by_all_whom_the_folder_lets(cache, tiny):
    lesson.save_recogniser(tiny)
    (cache.parent / "plain").write_text("")
    usual = (cache.parent / "plain").stat().st_mode
    assert cache.stat().st_mode == usual


def test_a_model_of_another_version_is_not_taken(cache, tiny, monkeypatch):
    monkeypatch.setattr(command, "VERSION", "1")
    lesson.save_recogniser(tiny)
    monkeypatch.undo()
    with pytest.raises(ValueError, match="path: .*another version"):
        lesson.load_recogniser(cache)


@pytest.mark.parametrize(
    "reason", ["a file in its place", "disk full", "no home", "read-only"]
)
def test_a_transcript_is_not_lost_where_nothing_can_be_kept(
    reason, cache, tiny, monkeypatch, tmp_path, capsys
):
    def fail(*_, **__):
        raise OSError("disk full")

    if reason == "disk full":
        monkeypatch.setattr(os, "replace", fail)
    elif reason == "read-only":
        monkeypatch.setattr(Path, "mkdir", fail)
    elif reason == "no home":  # a user without a name, in a container

        def unknown():
            raise RuntimeError("Could not determine home directory.")

        monkeypatch.delenv("ATTN_CACHE")
        monkeypatch.setattr(Path, "home", unknown)
    else:
        cache.parent.write_text("no folder")
    monkeypatch.setattr(command, "train_recogniser", lambda **_: tiny)
    path = tmp_path / "a.wav"
    path.write_bytes(sound(tone()))
    assert lesson.main([str(path)]) == 0
    said = capsys.readouterr()
    assert said.out == f"{path}: {tiny(lesson.load_audio(path))}\n"
    assert "not kept, so the next call trains anew: " in said.err
    assert "no trained model yet" in said.err


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_before_any_training(
    name, cache, monkeypatch, tmp_path, capsys
):
    def fail(**_):
        raise AssertionError("trained for nothing")

    monkeypatch.setattr(command, "train_recogniser", fail)
    content, _ = BAD[name]
    (tmp_path / "bad.wav").write_bytes(content)
    missing, bad = str(tmp_path / "no.wav"), str(tmp_path / "bad.wav")
    assert lesson.main([missing, bad]) == 1
    said = capsys.readouterr()
    assert not said.out and not cache.exists()
    assert f"{bad}: source: expected" in said.err and missing in said.err


def test_training_the_recogniser_says_how_far_it_is():
    lines = []
    found = lesson.train_recogniser(3, dim=16, tell=lines.append)
    assert found.kind == "Transformer"
    assert lines == [f"training: step {n} of 3" for n in range(3)]
    assert len(found.vocabulary.words) == 60
    assert isinstance(found(torch.randn(4_000)), str)


def test_the_cache_is_never_in_the_repository(monkeypatch):
    monkeypatch.delenv("ATTN_CACHE", raising=False)
    repository = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    assert not str(lesson.cache_file()).startswith(repository)
    assert lesson.cache_file().parent.name == "attn_course"


def run(arguments, cache, **options):
    return subprocess.run(
        [sys.executable, "-m", "attn_course.speech_attention", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "ATTN_CACHE": str(cache.parent)},
        **options,
    )


def test_the_program_writes_a_line_per_file(cache, tiny, tmp_path):
    lesson.save_recogniser(tiny)
    names = [str(tmp_path / name) for name in ("a.wav", "no.wav", "b c.wav")]
    for name, hertz in zip((names[0], names[2]), (300, 900)):
        with open(name, "wb") as file:
            file.write(sound(tone(hertz=hertz, rate=44_100), 44_100))
    done = run([names[0], names[2]], cache)
    assert done.returncode == 0, done.stderr
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == [
        names[0],
        names[2],
    ]
    (tmp_path / "text.wav").write_text("no sound")
    bad = str(tmp_path / "text.wav")
    done = run([names[1], bad, names[2]], cache)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        f"{names[2]}: {tiny(lesson.load_audio(names[2]))}"
    ]
    assert f"{bad}: source: expected a sound file" in done.stderr
    assert names[1] in done.stderr and "Traceback" not in done.stderr


def test_the_program_reads_standard_input(cache, tiny, tmp_path):
    lesson.save_recogniser(tiny)
    path = tmp_path / "a.wav"
    path.write_bytes(sound(tone()))
    transcript = tiny(lesson.load_audio(path))
    with path.open("rb") as stream:
        done = run(["-", str(path)], cache, stdin=stream)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"-: {transcript}\n{path}: {transcript}\n"
    done = run(["-"], cache, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "-: source: expected a sound file, got an empty file\n"
    )


@pytest.mark.skipif(sys.platform != "linux", reason="names are text elsewhere")
def test_a_name_that_is_no_text_loses_no_transcript(cache, tiny, tmp_path):
    lesson.save_recogniser(tiny)
    name = os.fsencode(tmp_path) + b"/\xff.wav"
    with open(name, "wb") as file:
        file.write(sound(tone()))
    done = run([name], cache)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{tmp_path}/\\udcff.wav: ")


def test_the_program_without_files_says_how_to_use_it(capsys):
    assert lesson.main([]) == 2
    assert "FILE.wav" in capsys.readouterr().out
    assert lesson.main(["--help"]) == 0
    assert "60 English words" in capsys.readouterr().out


# --- views ------------------------------------------------------------------


@pytest.fixture
def upload():
    net = lesson.Recogniser(model("Transformer").eval(), vocabulary(), "x")
    return views.recording_explorer(net)


def give(view, content, name="me.wav"):
    view.controls["file"].value = (
        {
            "name": name,
            "type": "audio/wav",
            "size": len(content),
            "content": memoryview(content),
            "last_modified": datetime.now(),
        },
    )


def test_the_upload_shows_picture_and_transcript(upload):
    assert "no recording yet" in upload.caption.value
    give(upload, sound(tone()))
    assert "<img alt=" in upload.picture.value
    assert "me.wav" in upload.caption.value
    assert "0.6 seconds" in upload.caption.value


@pytest.mark.parametrize("name", BAD)
def test_the_upload_says_what_is_wrong(upload, name):
    give(upload, sound(tone()))
    content, words = BAD[name]
    give(upload, content, "other.wav")
    assert upload.picture.value == ""
    assert "No picture: " in upload.caption.value
    assert any(word in upload.caption.value for word in words.split("|"))
    give(upload, sound(tone()), "third.wav")
    assert "third.wav" in upload.caption.value


def test_scrubbing_moves_the_attention():
    net, words = model("Transformer").eval(), vocabulary()
    recording = speech.Recording(
        torch.from_numpy(tone()).float(), "one two", "v", (0.0, 0.3)
    )
    view = views.scrub_explorer(net, words, [recording])
    before = view.picture.value
    view.controls["word"].value = 2
    assert view.picture.value != before
    assert "word 2, two" in view.caption.value
    view.controls["word"].value = 9
    assert "word 2, two" in view.caption.value  # there is no third


def test_figures_have_what_they_say():
    wave = torch.from_numpy(tone()).float()
    figure = views.spectrogram(
        lesson.log_mel_spectrogram(wave), starts=[0.1], words=["a"]
    )
    assert figure.axes[0].get_xlabel() == "time, s"
    heard = views.player(wave, "a < b")._repr_html_()
    assert "<audio controls" in heard and "a &lt; b" in heard
    content = heard.split("base64,")[1].split('"')[0]
    found = lesson.load_audio(base64.b64decode(content))
    torch.testing.assert_close(found, wave, rtol=0, atol=1e-4)


def test_all_kinds_are_known_by_name():
    names = [cls.__name__ for cls in lesson.SPEECH_MODELS.values()]
    assert names == ["CTCModel", "ListenAttendSpell", "SpeechTransformer"]
