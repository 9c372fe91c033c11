"""Build attn_course/data/speech/. Author time; Linux, with apt and dpkg-deb.

    python -m venv speech-venv
    speech-venv/bin/pip install espeakng-loader==0.2.4 soundfile==0.14.0 \
        numpy==2.4.6 scipy==1.17.1
    speech-venv/bin/python attn_course/data/build/speech.py

Two parts. Synthetic: eSpeak NG speaks digits and commands in many voices, a
*voice* being an accent and a variant (the timbre); no variant stands in two
splits. Human: the numbers of Debian's `asterisk-core-sounds-*-wav`.

The program is seeded, and speaks in one fixed order in a new process for each
split, so that each run gives the same sound.
"""

import ctypes
import gzip
import hashlib
import io
import multiprocessing
import random
import subprocess
import tempfile
from collections.abc import Iterable
from itertools import product
from pathlib import Path

import checksums
import espeakng_loader
import numpy as np
import soundfile
from scipy.signal import resample_poly

TARGET = checksums.DATA / "speech"
RATE = 8_000
COMPRESSION = 0.996  # of Opus in libsndfile: about 7 kbit/s; 1 is least, 6
GAP = 320  # samples between two recordings of one file
PEAK = 0.5  # of a recording: Opus may overshoot, and cuts off at 1

ACCENTS = (
    "en",
    "en-us",
    "en-029",
    "en-gb-scotland",
    "en-gb-x-rp",
    "en-gb-x-gbclan",
    "en-gb-x-gbcwmd",
    "en-us-nyc",
)
# The variants of eSpeak NG but for what is nearly another one (edward2 is
# adam), robots, echoes and voices that a person hardly understands.
VARIANTS = {
    "train": (
        "Alex Andrea Andy Annie Denis Diogo Gene Jacky Lee Mario Mike Nguyen "
        "Reed Tweaky anika announcer antonio aunty boris croak david ed "
        "edward f1 f2 f5 grandma gustave iven3 john kaukovalta klatt2 klatt4 "
        "m1 m2 m6 m8 max norbert pablo paul pedro robert sandro shelby "
        "travis whisper zac"
    ).split(),
    "valid": "Alicia f4 m5 quincy victor".split(),
    "test": "Michael belinda f3 linda m3 m4 m7 marcelo rob steph".split(),
}
COUNTS = {  # digit sequences, commands
    "train": (1_330, 1_190),
    "valid": (100, 100),
    "test": (220, 220),
}
LENGTHS, WEIGHTS = (1, 2, 3, 4, 5), (15, 15, 25, 25, 20)  # digits at a time
SALT = 2  # the first with which every word is said in training
ROLL_CALL = "play some music"  # said once by each voice of the roll call

DIGITS = "zero one two three four five six seven eight nine".split()
ROOMS = "kitchen bedroom garden".split()
DEVICES = "light fan heater radio".split()


def commands() -> list[str]:
    """Every sentence of the grammar."""
    found = []

    def say(*parts: str) -> None:
        """Add all choices; a part lists its own, parted by "/"."""
        choices = product(*(part.split("/") for part in parts))
        found.extend(" ".join(" ".join(words).split()) for words in choices)

    devices, rooms = "/".join(DEVICES), "/" + "/".join(ROOMS)
    say("turn", "on/off", "the", rooms, devices)
    say("turn the", rooms, devices, "on/off")
    say("stop/start", "the", "music/timer/alarm/radio/fan/heater")
    say("play", "some", "music/jazz")
    say("play", "the", "news/radio/music/next song/last song")
    say("play", "my", "music/song")
    say("set a timer for", "/".join(DIGITS[2:]), "minutes")
    say("set the alarm for", "/".join(DIGITS[2:]))
    say("wake me at", "/".join(DIGITS[5:]), "/today/tomorrow")
    say("open/shut", "the", rooms, "door/window")
    say("call", "my mother/my doctor/the doctor/the office", "/today/tomorrow")
    say("what is the", "time/news")
    say("what is the weather", "/today/tomorrow")
    say("make", "it" + rooms.replace("/", "/the "), "louder/colder/warmer")
    assert len(set(found)) == len(found)
    return [x for x in found if x != ROLL_CALL]


def share(text: str) -> float:
    """A number in [0, 1) that depends on the text alone."""
    salted = f"{SALT} {text}".encode()
    return int(hashlib.sha256(salted).hexdigest()[:8], 16) / 2**32


def may_stand(text: str, split: str) -> bool:
    """Say whether a text may stand in a split.

    Of sequences of three digits and more each belongs to one split; the
    short ones to all. Of the commands some are new in the test, some in the
    validation; the others stand in all three.
    """
    place = share(text)
    owner = "test" if place < 0.2 else "valid" if place < 0.3 else "train"
    if text.split()[0] in DIGITS:
        return len(text.split()) < 3 or owner == split
    return owner in ("train", split)


class Event(ctypes.Structure):
    """espeak_EVENT of espeak/speak_lib.h."""

    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    ]


WORD, PHONEME = 1, 7  # types of events
SPEED, VOLUME, PITCH, RANGE = 1, 2, 3, 4  # parameters


class Voice(ctypes.Structure):
    """espeak_VOICE of espeak/speak_lib.h."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_char_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("score", ctypes.c_ubyte),
        ("spare", ctypes.c_void_p),
    ]


class Speaker:
    """The program eSpeak NG."""

    def __init__(self) -> None:
        self.lib = ctypes.CDLL(espeakng_loader.get_library_path())
        self.variants = Path(espeakng_loader.get_data_path(), "voices", "!v")
        self.lib.espeak_GetCurrentVoice.restype = ctypes.POINTER(Voice)
        path = espeakng_loader.get_data_path().encode()
        # 2: give the sound back at once. 1: events for phonemes, too.
        self.rate = self.lib.espeak_Initialize(2, 500, path, 1)
        assert self.rate == 22_050
        kind = ctypes.CFUNCTYPE(
            ctypes.c_int,
            ctypes.POINTER(ctypes.c_short),
            ctypes.c_int,
            ctypes.POINTER(Event),
        )
        self.sound, self.events = [], []
        self.callback = kind(self.keep)
        self.lib.espeak_SetSynthCallback(self.callback)

    def keep(self, wave, count, events) -> int:
        if wave and count > 0:
            self.sound.append(np.ctypeslib.as_array(wave, (count,)).copy())
        i = 0
        while events[i].type:
            event = events[i]
            at = event.audio_position / 1000
            self.events.append((event.type, at, event.id))
            i += 1
        return 0

    def choose(self, accent: str, variant: str) -> None:
        """Choose a voice, and make sure that it is the one asked for.

        Of a bad accent the program says so and keeps the voice before; a bad
        variant it leaves out without a word.
        """
        assert (self.variants / variant).is_file(), variant
        name = f"{accent}+{variant}"
        code = self.lib.espeak_SetVoiceByName(name.encode())
        assert code == 0, (name, code)
        now = self.lib.espeak_GetCurrentVoice().contents
        spoken = now.identifier.decode().lower().replace("gmw/", "")
        assert spoken == f"{accent}+{variant}".lower(), (spoken, name)

    def say(self, accent, variant, text, speed, pitch, range_=50):
        """The sound at 8 kHz, trimmed, and the start of each word in s.

        A comma may follow a word: a short pause.
        """
        self.choose(accent, variant)
        settings = {SPEED: speed, PITCH: pitch, RANGE: range_, VOLUME: 40}
        for parameter, value in settings.items():
            code = self.lib.espeak_SetParameter(parameter, value, 0)
            assert code == 0, (parameter, value)
        # Otherwise the seed is the time of day.
        self.lib.espeak_ng_SetRandSeed(11)
        self.sound.clear()
        self.events.clear()
        raw = text.encode() + b"\0"
        code = self.lib.espeak_Synth(raw, len(raw), 0, 1, 0, 1, None, None)
        assert code == 0 and self.sound, (text, code)
        whole = np.concatenate(self.sound)
        full = np.abs(whole.astype(int)).max()
        clipped = (np.abs(whole.astype(int)) >= full - 1).sum()
        assert full < 32_767 or clipped < 4, (accent, variant, clipped)
        wave = resample_poly(whole / 32_768, 160, 441)
        starts = self.starts(text.replace(",", "").split())
        wave, cut = trim(wave)
        return wave, [max(0, start - cut) for start in starts]

    def starts(self, words: list[str]) -> list[float]:
        """When each word starts.

        "on the" is one word for the program; there "the" starts at its own
        phoneme. (So is "for one", which the grammar therefore leaves out.)
        """
        found = []
        events = iter(self.events)
        for word in words:
            pair = word == "the" and words[len(found) - 1] == "on"
            for kind, at, name in events:
                if pair and kind == PHONEME and name in (b"D", b"d"):
                    break
                if kind == WORD:
                    break
            else:
                raise ValueError(f"{words}: no time for {word!r}")
            found.append(at)
        rest = [at for kind, at, _ in events if kind == WORD]
        assert not rest and found == sorted(set(found)), (words, found, rest)
        return found


def trim(wave: np.ndarray, lead=0.06, tail=0.08) -> tuple[np.ndarray, float]:
    """Cut the silence before and after, all but a little; scale the peak.

    Silence is what is 46 dB below the peak. Returns the seconds cut off
    at the start, too.
    """
    loud = np.flatnonzero(np.abs(wave) > 0.005 * np.abs(wave).max())
    first = max(0, loud[0] - int(lead * RATE))
    wave = wave[first : loud[-1] + int(tail * RATE)]
    wave = wave * PEAK / np.abs(wave).max()
    return wave.astype(np.float32), first / RATE


def plan(split: str) -> list[tuple]:
    """What is said, by which voice, how: text, accent, variant, ..."""
    random_ = random.Random(f"speech {split}")
    variants = VARIANTS[split]
    voices = list(product(ACCENTS, variants))
    digits, sentences = COUNTS[split]
    texts = []
    for length in random_.choices(LENGTHS, WEIGHTS, k=digits):
        text = ""
        while not text or not may_stand(text, split):
            text = " ".join(random_.choices(DIGITS, k=length))
        texts.append(text)
    known = [x for x in commands() if may_stand(x, "train")]
    new = [x for x in commands() if may_stand(x, split) and x not in known]
    # half of the held-out commands are new, where there are new ones
    for part in [known, new] if new else [known]:
        count = sentences // (2 if new else 1)
        for _ in range(-(-count // len(part))):
            chosen = random_.sample(part, min(count, len(part)))
            texts += chosen
            count -= len(chosen)
    order = []  # every voice has its turn before one comes again
    while len(order) < len(texts):
        order += random_.sample(voices, len(voices))
    said = []
    for text, (accent, variant) in zip(texts, order):
        if text.split()[0] in DIGITS and random_.random() < 0.5:
            text = text.replace(" ", ", ")
        speed, pitch = random_.randint(125, 205), random_.randint(25, 75)
        said.append((text, accent, variant, speed, pitch))
    # The roll call: all variants in one accent, one variant in all accents.
    said += [(ROLL_CALL, "en-us", name, 160, 50) for name in variants]
    if split == "test":
        said += [
            (ROLL_CALL, accent, "f3", 160, 50)
            for accent in ACCENTS
            if accent != "en-us"
        ]
    return sorted(said, key=lambda x: (x[2], x[1], x[0], x[3]))


def fixed_serial(ogg: bytes) -> bytes:
    """The Ogg file with stream number 1 in place of a random one.

    A page is a header of 27 bytes, one byte for each segment's length, the
    segments. Its sum is CRC-32 with polynomial 04c11db7, not reflected.
    """
    table = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1) ^ (0x104C11DB7 if value >> 31 else 0)
        table.append(value)
    out, at = bytearray(ogg), 0
    while at < len(out):
        assert out[at : at + 4] == b"OggS"
        count = out[at + 26]
        end = at + 27 + count + sum(out[at + 27 : at + 27 + count])
        out[at + 14 : at + 18] = (1).to_bytes(4, "little")
        out[at + 22 : at + 26] = bytes(4)
        crc = 0
        for byte in out[at:end]:
            crc = (crc << 8 & 0xFFFFFFFF) ^ table[crc >> 24 ^ byte]
        out[at + 22 : at + 26] = crc.to_bytes(4, "little")
        at = end
    return bytes(out)


def write(name: str, content: bytes) -> None:
    """Gzip a file; no time stamp, so the same bytes each time."""
    path = TARGET / f"{name}.gz"
    path.write_bytes(gzip.compress(content, 9, mtime=0))
    print(f"{path.name}: {path.stat().st_size / 1e6:.3f} MB")


def write_table(name: str, rows: list[tuple]) -> None:
    """Write rows of text, columns parted by tabs."""
    lines = "".join("\t".join(map(str, row)) + "\n" for row in rows)
    write(f"{name}.tsv", lines.encode("utf-8"))


def write_split(split: str, said: Iterable[tuple]) -> None:
    """Write a split's stream and its table.

    Of each recording: the sound, when its words start, the voice, speed and
    pitch, the text.
    """
    rows, waves, at = [], [], 0
    for wave, starts, voice, speed, pitch, text in said:
        times = " ".join(f"{start:.3f}" for start in starts)
        text = text.replace(",", "")
        rows.append((at, len(wave), voice, speed, pitch, times, text))
        waves += [wave, np.zeros(GAP, np.float32)]
        at += len(wave) + GAP
    file = io.BytesIO()
    soundfile.write(
        file,
        np.concatenate(waves),
        RATE,
        format="OGG",
        subtype="OPUS",
        compression_level=COMPRESSION,
    )
    write(f"{split}.ogg", fixed_serial(file.getvalue()))
    write_table(split, rows)
    print(split, len(rows), "recordings", f"{at / RATE / 60:.1f} minutes")


def write_synthetic(split: str) -> None:
    """Say one split by eSpeak NG, and write it."""
    speaker = Speaker()
    write_split(
        split,
        (
            (
                *speaker.say(accent, variant, text, speed, pitch),
                f"{accent}+{variant}",
                speed,
                pitch,
                text,
            )
            for text, accent, variant, speed, pitch in plan(split)
        ),
    )


# The human recordings: name of the file, word in each language.
NUMBERS = [*range(21), *range(30, 100, 10), 100, 1_000, 1_000_000]
FILES = {100: "hundred", 1_000: "thousand", 1_000_000: "million"}
HUMAN = {
    "en": (
        "Allison Smith",
        "zero one two three four five six seven eight nine ten eleven twelve "
        "thirteen fourteen fifteen sixteen seventeen eighteen nineteen "
        "twenty thirty forty fifty sixty seventy eighty ninety hundred "
        "thousand million",
    ),
    "fr": (
        "June Wallack",
        "zéro un deux trois quatre cinq six sept huit neuf dix onze douze "
        "treize quatorze quinze seize dix-sept dix-huit dix-neuf vingt "
        "trente quarante cinquante soixante soixante-dix quatre-vingts "
        "quatre-vingt-dix cent mille million",
    ),
    "es": (
        "Allison Smith",
        "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce "
        "trece catorce quince dieciséis diecisiete dieciocho diecinueve "
        "veinte treinta cuarenta cincuenta sesenta setenta ochenta noventa "
        "cien mil millón",
    ),
    "it": (
        "Carlo Flora",
        "zero uno due tre quattro cinque sei sette otto nove dieci undici "
        "dodici tredici quattordici quindici sedici diciassette diciotto "
        "diciannove venti trenta quaranta cinquanta sessanta settanta "
        "ottanta novanta cento mille milione",
    ),
    "ru": (
        "ivrvoice.ru (provided by Maxim Topal)",
        "ноль один два три четыре пять шесть семь восемь девять десять "
        "одиннадцать двенадцать тринадцать четырнадцать пятнадцать "
        "шестнадцать семнадцать восемнадцать девятнадцать двадцать тридцать "
        "сорок пятьдесят шестьдесят семьдесят восемьдесят девяносто сто "
        "тысяча миллион",
    ),
}


def write_human(folder: Path) -> None:
    """The numbers of each language, trimmed, without loss (FLAC)."""
    for language, (speaker, words) in HUMAN.items():
        package = f"asterisk-core-sounds-{language}-wav"
        subprocess.run(
            ["apt-get", "download", package], cwd=folder, check=True
        )
        (archive,) = folder.glob(f"{package}_*.deb")
        print(archive.name)
        root = folder / language
        subprocess.run(["dpkg-deb", "-x", archive, root], check=True)
        (digits,) = root.glob("usr/share/asterisk/sounds/*/digits")
        rows, waves, at = [], [], 0
        for number, word in zip(NUMBERS, words.split(), strict=True):
            path = digits / f"{FILES.get(number, number)}.wav"
            wave, rate = soundfile.read(path)
            assert rate == RATE and wave.ndim == 1
            wave, _ = trim(wave)
            start = np.argmax(np.abs(wave) > 0.005 * PEAK) / RATE
            row = (at, len(wave), speaker, number, f"{start:.3f}", word)
            rows.append(row)
            waves.append(wave)
            at += len(wave)
        file = io.BytesIO()
        soundfile.write(
            file, np.concatenate(waves), RATE, format="FLAC", subtype="PCM_16"
        )
        write(f"human-{language}.flac", file.getvalue())
        write_table(f"human-{language}", rows)
        print(language, len(rows), "recordings", f"{at / RATE:.1f} s")
        # One text for all five packages, with the licences in full.
        text = root.joinpath("usr/share/doc", package, "copyright").read_text()
        (TARGET / "LICENSE-asterisk.txt").write_text(text, "utf-8")


def main() -> None:
    TARGET.mkdir(exist_ok=True)
    # A new process for each split, since the program keeps a state.
    spawn = multiprocessing.get_context("spawn")
    for split in VARIANTS:
        process = spawn.Process(target=write_synthetic, args=(split,))
        process.start()
        process.join()
        assert process.exitcode == 0, split
    with tempfile.TemporaryDirectory() as folder:
        write_human(Path(folder))
    checksums.record(TARGET)


if __name__ == "__main__":
    main()
