"""Speech at 8 kHz: digits and short commands by many synthetic voices, and
the numbers by real people in five languages.

The synthetic voices of a split speak in no other. "train", "valid" and "test"
are spoken by eSpeak NG, "other", for training too, by Flite and Festival. See
CARD.md beside this file.
"""

import gzip
import io
from collections.abc import Sequence
from typing import NamedTuple

import soundfile
import torch
from torch import Tensor

from attn_course import data

SAMPLE_RATE = 8_000
SPLITS = ("train", "other", "valid", "test")
LANGUAGES = ("en", "fr", "es", "it", "ru")
NUMBERS = (*range(21), *range(30, 100, 10), 100, 1_000, 1_000_000)


class Recording(NamedTuple):
    """A sound and what is said in it.

    `wave` is float32 (samples,) in [-1, 1] at `SAMPLE_RATE`; `text` the
    words, small letters, parted by spaces; `voice` the speaker, where
    synthetic as accent+variant, like "en-us+f3", or program+voice, like
    "flite+slt"; `starts` when each word starts, in seconds; `speed` (words a
    minute) and `pitch` (0 to 100) what eSpeak NG was told, None for others.
    """

    wave: Tensor
    text: str
    voice: str
    starts: tuple[float, ...]
    speed: int | None = None
    pitch: int | None = None


def load(split: str) -> list[Recording]:
    """The synthetic recordings of one split, one of `SPLITS`.

    Sequences of one to five digits and commands, sorted by variant. The whole
    training set takes about 110 MB and some seconds to decode. Raises
    ValueError for another split's name, and `attn_course.data.read`'s error
    where a file is missing or damaged.
    """
    if split not in SPLITS:
        raise ValueError(f"split: expected one of {SPLITS}, found {split!r}")
    waves, rows = _read(split, "ogg")
    return [
        Recording(
            wave,
            text,
            voice,
            tuple(float(start) for start in starts.split()),
            int(speed) if speed else None,
            int(pitch) if pitch else None,
        )
        for wave, (voice, speed, pitch, starts, text) in zip(waves, rows)
    ]


def load_human(language: str) -> list[Recording]:
    """One person's numbers: "en", "fr", "es", "it" or "ru".

    One recording for each number of `NUMBERS`, in that order: the digits 0 to
    9 are the first ten. `text` is the word in that language. Raises
    ValueError for another language, and `attn_course.data.read`'s error where
    a file is missing or damaged.
    """
    if language not in LANGUAGES:
        raise ValueError(
            f"language: expected one of {LANGUAGES}, found {language!r}"
        )
    waves, rows = _read(f"human-{language}", "flac")
    return [
        Recording(wave, word, speaker, (float(start),))
        for wave, (speaker, _, start, word) in zip(waves, rows)
    ]


def join(parts: Sequence[Recording], pause: float = 0.0) -> Recording:
    """Recordings of one voice as one, with `pause` seconds between them.

    Each recording has a little quiet of its own at both ends. Raises
    ValueError for no recordings, several voices or a negative pause.
    """
    if not parts:
        raise ValueError("parts: expected at least one recording, found none")
    voices = sorted({part.voice for part in parts})
    if len(voices) > 1:
        raise ValueError(f"parts: expected one voice, found {voices}")
    if pause < 0:
        raise ValueError(f"pause: expected at least 0 s, found {pause}")
    quiet = torch.zeros(round(pause * SAMPLE_RATE))
    pieces, starts, at = [], [], 0
    for part in parts:
        starts += [at / SAMPLE_RATE + start for start in part.starts]
        pieces += [part.wave, quiet]
        at += len(part.wave) + len(quiet)
    text = " ".join(part.text for part in parts)
    wave = torch.cat(pieces[:-1])
    return Recording(wave, text, voices[0], tuple(starts))


def _read(name: str, kind: str) -> tuple[list[Tensor], list[list[str]]]:
    """The waves of one file, and the rest of its table's rows.

    All recordings of a file stand one after the other in one stream; the
    table names where each begins and how many samples it has.
    """
    stream = gzip.decompress(data.read(f"speech/{name}.{kind}.gz"))
    table = gzip.decompress(data.read(f"speech/{name}.tsv.gz"))
    sound, rate = soundfile.read(io.BytesIO(stream), dtype="float32")
    assert rate == SAMPLE_RATE
    whole = torch.from_numpy(sound)
    rows = [line.split("\t") for line in table.decode("utf-8").splitlines()]
    places = [(int(row[0]), int(row[1])) for row in rows]
    # Copies, so that keeping one recording does not keep the whole file.
    waves = [whole[at : at + count].clone() for at, count in places]
    return waves, [row[2:] for row in rows]
