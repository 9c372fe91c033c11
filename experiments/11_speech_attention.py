"""Lesson 11: silence, CTC beside a decoder, rows that are long.

A smaller task than the lesson's: recordings of digits alone, models of 64
numbers in place of 128, and 500 steps on recordings as they are, or with quiet
before and after and no other change.
"""

import functools
import random

import torch

from attn_course import data, session
from attn_course import speech_attention as hearing
from attn_course.common.text import Vocabulary
from attn_course.data import speech
from experiments.claims import (
    SEARCH_SEEDS,
    Arm,
    Claim,
    Run,
    above,
    below,
    between,
    settings,
)

DIGITS = set("zero one two three four five six seven eight nine".split())
DIM, STEPS = 64, 500
RATES = (0.002, 0.004)
EACH = 8  # test recordings of each of the ten timbres
TIMBRE = [item // EACH for item in range(10 * EACH)]


# Recordings ----------------------------------------------------------------


@functools.cache
def spoken(split: str) -> list[speech.Recording]:
    """Return the recordings of digits; a voice is its timbre."""
    return [
        one._replace(voice=one.voice.split("+")[-1])
        for one in speech.load(split)
        if set(one.text.split()) <= DIGITS
    ]


@functools.cache
def by_timbre() -> list[list[speech.Recording]]:
    """Return the test recordings of each timbre, in a random order."""
    names = sorted({one.voice for one in spoken("test")})
    parts = [[x for x in spoken("test") if x.voice == name] for name in names]
    return [data.sample(part, len(part), 0) for part in parts]


@functools.cache
def training_set() -> tuple:
    """Return vocabulary, features and targets."""
    taught = spoken("train") + spoken("other")
    texts = [one.text for one in taught]
    vocabulary = Vocabulary.from_texts(texts, min_freq=1)
    return (
        vocabulary,
        [hearing.log_mel_spectrogram(one.wave) for one in taught],
        hearing.make_targets(vocabulary, texts),
    )


@functools.cache
def test_sets() -> dict[str, list[speech.Recording]]:
    """Return what is read: each a list of recordings."""
    held = [one for part in by_timbre() for one in part[:EACH]]
    digits = speech.load_human("en")[:10]
    dice = random.Random(0)
    real = digits + [
        speech.join(
            dice.choices(digits, k=dice.randint(1, 5)), dice.uniform(0, 0.2)
        )
        for _ in range(50)
    ]
    sets = {"held-out voices": held, "a real voice": real}
    for seconds in (0.5, 1, 2):
        sets[f"held-out voices, {seconds:g} s"] = silent(held, seconds)
    sets["a real voice, 1 s"] = silent(real, 1)
    single = [one for one in spoken("test") if len(one.starts) == 1]
    single = data.sample(single, 20, 0)
    sets["one word"] = single
    sets["one word, 2 s"] = silent(single, 2)
    many = [row for part in by_timbre() for row in joined(part, 24, 2)]
    few = [row for part in by_timbre() for row in joined(part, 6, 2)]
    sets["24 words"], sets["6 words"] = many, few
    sets["6 words in the time of 24"] = [
        spread(row, len(long.wave)) for row, long in zip(few, many)
    ]
    return sets


def silent(part: list, seconds: float) -> list:
    """Put so much silence before and after."""
    quiet = torch.zeros(round(seconds * speech.SAMPLE_RATE))
    return [
        one._replace(wave=torch.cat([quiet, one.wave, quiet])) for one in part
    ]


def joined(part: list, words: int, count: int) -> list:
    """Join a timbre's recordings into rows of at least so many words."""
    rows, held = [], []
    for one in part + part[::-1]:
        held.append(one)
        if sum(len(x.starts) for x in held) >= words:
            rows.append(speech.join(held, 0.1))
            held = []
    return rows[:count]


def spread(row: speech.Recording, samples: int) -> speech.Recording:
    """Cut a row where its words begin, and part the pieces by silence."""
    at = [round(start * speech.SAMPLE_RATE) for start in row.starts[1:]]
    pieces = torch.tensor_split(row.wave, at)
    pause = torch.zeros((samples - len(row.wave)) // (len(pieces) - 1))
    parts = [x for piece in pieces for x in (piece, pause)]
    return row._replace(wave=torch.cat(parts[:-1]))


# Training and measuring ----------------------------------------------------


def errors(model, part: list, method: str) -> torch.Tensor:
    """Count each recording's errors; their mean is the word error rate."""
    texts = hearing.transcribe(
        model,
        training_set()[0],
        [hearing.log_mel_spectrogram(one.wave) for one in part],
        method=method,
    )
    counts, words = hearing.error_counts(texts, [one.text for one in part])
    return counts / words.double().mean()


def quieter(features, lengths, generator):
    """Put up to 1.1 s of quiet before and after; change nothing else."""
    return hearing.augment(
        features,
        lengths,
        generator,
        stretch=(1.0, 1.0),
        quiet=70.0,
        warp=0.0,
        colour=0.0,
        noise=False,
        band_limit=0.0,
    )


def listener(seed: int, kind: str, quiet: bool, lr: float) -> Run:
    """Train one kind of model, without or with quiet; read the test sets."""
    vocabulary, features, targets = training_set()
    session.set_seed(seed)
    model = hearing.SPEECH_MODELS[kind](len(vocabulary), DIM)
    batches = hearing.speech_batches(
        features, targets, transform=quieter if quiet else None, seed=seed
    )
    hearing.train_speech(model, batches, steps=STEPS, lr=lr)
    validation = -errors(model, spoken("valid"), "greedy_decode").mean().item()
    if seed in SEARCH_SEEDS:
        return Run(validation, {})
    items = {
        name: errors(model, part, "greedy_decode")
        for name, part in test_sets().items()
    }
    if kind != "CTC":
        items |= {
            f"{name}, CTC part": errors(model, part, "ctc_greedy_decode")
            for name, part in test_sets().items()
        }
        for name in ("24 words", "6 words in the time of 24", "6 words"):
            items[f"{name}, decoder less CTC part"] = (
                items[name] - items[f"{name}, CTC part"]
            )
        items |= aligned(model, vocabulary)
    for part in ("", ", CTC part") if kind != "CTC" else ("",):
        for seconds in (0.5, 1, 2):
            items[f"added by {seconds:g} s{part}"] = (
                items[f"held-out voices, {seconds:g} s{part}"]
                - items[f"held-out voices{part}"]
            )
    if kind != "CTC":
        items["added by 1 s, decoder less CTC part"] = (
            items["added by 1 s"] - items["added by 1 s, CTC part"]
        )
    items["one word, added by 2 s"] = (
        items["one word, 2 s"] - items["one word"]
    )
    return Run(validation, {name: x.tolist() for name, x in items.items()})


def aligned(model, vocabulary) -> dict[str, torch.Tensor]:
    """Measure where the decoder listens, in rows of three words or more."""
    rows = []
    some = [one for one in spoken("test") if len(one.starts) >= 3]
    for one in data.sample(some, 40, 0):
        mel = hearing.log_mel_spectrogram(one.wave)
        _, weights = hearing.align(model, vocabulary, mel, one.text)
        seconds = len(one.wave) / speech.SAMPLE_RATE
        even = torch.full_like(weights, 1 / weights.shape[1])
        rows.append(
            (
                hearing.monotonicity(weights),
                hearing.weight_inside(weights, one.starts, seconds),
                hearing.weight_inside(even, one.starts, seconds),
            )
        )
    forward, inside, even = torch.tensor(rows, dtype=torch.float64).T
    return {
        "steps forward": forward,
        "weight inside the word": inside,
        "weight inside less even weight": inside - even,
    }


def arm(kind: str, quiet: bool) -> Arm:
    """Make an arm; each may choose among the same rates."""
    return Arm(listener, settings(kind=(kind,), quiet=(quiet,), lr=RATES))


ARMS = {
    "CTC": arm("CTC", False),
    "Transformer": arm("Transformer", False),
    "Transformer, quiet": arm("Transformer", True),
}
CLAIMS = [
    Claim(
        "E11.1",
        "After 500 steps, a small CTC model makes fewer word errors on "
        "held-out voices than a small Transformer.",
        "held-out voices",
        "CTC",
        over="Transformer",
        verdict=below(0),
        clusters=TIMBRE,
    ),
    Claim(
        "E11.2",
        "After 500 steps, a small CTC model makes fewer word errors on the "
        "real voice than a small Transformer.",
        "a real voice",
        "CTC",
        over="Transformer",
        verdict=below(0),
    ),
    Claim(
        "E11.3",
        "Trained without added quiet, a small Transformer's decoder makes "
        "at least 20 more errors per 100 words if 1 s of silence stands on "
        "each side.",
        "added by 1 s",
        "Transformer",
        verdict=above(0.2),
        clusters=TIMBRE,
    ),
    Claim(
        "E11.4",
        "One second of silence on each side costs the decoder of a small "
        "Transformer that was trained without added quiet more than its CTC "
        "part.",
        "added by 1 s, decoder less CTC part",
        "Transformer",
        verdict=above(0),
        clusters=TIMBRE,
    ),
    Claim(
        "E11.5",
        "Trained with up to 1.1 s of quiet, a small Transformer's decoder "
        "makes fewer than 5 more errors per 100 words if 1 s of silence "
        "stands on each side.",
        "added by 1 s",
        "Transformer, quiet",
        verdict=below(0.05),
        clusters=TIMBRE,
    ),
    Claim(
        "E11.6",
        "On the real voice with 1 s of silence on each side, a small "
        "Transformer trained with quiet makes fewer errors than one trained "
        "without.",
        "a real voice, 1 s",
        "Transformer, quiet",
        over="Transformer",
        verdict=below(0),
    ),
    Claim(
        "E11.7",
        "Where no silence is added, quiet in training changes the errors of "
        "a small Transformer on held-out voices by less than 5 per 100 "
        "words.",
        "held-out voices",
        "Transformer, quiet",
        over="Transformer",
        verdict=between(-0.05, 0.05),
        clusters=TIMBRE,
    ),
    Claim(
        "E11.8",
        "Silence of 2 s on each side, more than training had, adds at least "
        "10 errors per 100 words for a small Transformer trained with up to "
        "1.1 s of quiet.",
        "added by 2 s",
        "Transformer, quiet",
        verdict=above(0.1),
        clusters=TIMBRE,
    ),
    Claim(
        "E11.9",
        "A single word between 2 s and 2 s of silence: a small Transformer "
        "trained without quiet makes at least 1 error more per word.",
        "one word, added by 2 s",
        "Transformer",
        verdict=above(1),
    ),
    Claim(
        "E11.10",
        "In rows of 24 words, a small Transformer's decoder makes at least "
        "10 more errors per 100 words than its CTC part.",
        "24 words, decoder less CTC part",
        "Transformer",
        verdict=above(0.1),
    ),
    Claim(
        "E11.11",
        "In rows of 6 words, a small Transformer's decoder and its CTC part "
        "are within 10 errors per 100 words.",
        "6 words, decoder less CTC part",
        "Transformer",
        verdict=between(-0.1, 0.1),
    ),
    Claim(
        "E11.12",
        "In rows of 6 words that pauses make as long as those of 24, a "
        "small Transformer's decoder makes at least 10 more errors per 100 "
        "words than its CTC part.",
        "6 words in the time of 24, decoder less CTC part",
        "Transformer",
        verdict=above(0.1),
    ),
    Claim(
        "E11.13",
        "The centre of a small Transformer's attention moves forward in "
        "more than 9 of 10 steps.",
        "steps forward",
        "Transformer",
        verdict=above(0.9),
    ),
    Claim(
        "E11.14",
        "A small Transformer puts at least 0.2 more of its weight inside "
        "the word's own time than even weights would.",
        "weight inside less even weight",
        "Transformer",
        verdict=above(0.2),
    ),
]
