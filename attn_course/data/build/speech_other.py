"""Build speech/other.*: the same kind of texts, spoken by other programs.

Author time; Linux. After ``speech.py``, in the same environment, with

    apt-get install flite=2.2-5 festival=1:2.5.0-9 festvox-kallpc16k=2.4-1 \
        festvox-kdlpc16k=1.4.0-6.1 festvox-us-slt-hts=0.2010.10.25-4
    speech-venv/bin/python attn_course/data/build/speech_other.py

eSpeak NG computes each sound by rules. The voices here were made from
recordings of five people, so their sounds are nearer to human ones. They
speak texts of the training set's kind only.
"""

import ctypes
import random
import re
import subprocess
import tempfile
from math import gcd
from pathlib import Path

import checksums
import numpy as np
import soundfile
import speech
from scipy.signal import resample_poly

EACH = 128  # recordings of a voice, half of them digits
FLITE = {"kal16": 105, "awb": 120, "rms": 100, "slt": 170}  # usual pitch, Hz
FESTIVAL = {
    "kal": "kal_diphone",
    "ked": "ked_diphone",
    "slt": "cmu_us_slt_arctic_hts",
}
PACKAGES = (
    "libflite1",
    "festvox-kallpc16k",
    "festvox-kdlpc16k",
    "festvox-us-slt-hts",
)
FIRST = "R:SylStructure.daughter1.daughter1."  # a word's first sound
FESTIVAL_SAYS = """\
(voice_{voice})
(define (say text stretch name)
  (Parameter.set 'Duration_Stretch stretch)
  (let ((said (utt.synth (eval (list 'Utterance 'Text text)))))
    (utt.save.wave said (string-append name ".wav") 'riff)
    (mapcar
      (lambda (word)
        (format t "%s\\t%s\\t%f\\n" name (item.name word)
          (item.feat word "{first}segment_start")))
      (utt.relation.items said 'Word))))
{calls}
"""


class Wave(ctypes.Structure):
    """cst_wave of flite's cst_wave.h."""

    _fields_ = [
        ("type", ctypes.c_char_p),
        ("rate", ctypes.c_int),
        ("count", ctypes.c_int),
        ("channels", ctypes.c_int),
        ("samples", ctypes.POINTER(ctypes.c_short)),
    ]


class Flite:
    """The program Flite, by its library: its command tells no word times."""

    def __init__(self) -> None:
        self.lib = self.open("libflite.so.1")
        for part in ("usenglish", "cmulex"):
            self.open(f"libflite_{part}.so.1")
        pointer, text = ctypes.c_void_p, ctypes.c_char_p
        for name, result, arguments in (
            ("flite_init", ctypes.c_int, []),
            ("flite_synth_text", pointer, [text, pointer]),
            ("feat_set_float", None, [pointer, text, ctypes.c_float]),
            ("utt_relation", pointer, [pointer, text]),
            ("relation_head", pointer, [pointer]),
            ("item_next", pointer, [pointer]),
            ("ffeature_string", text, [pointer, text]),
            ("ffeature_float", ctypes.c_float, [pointer, text]),
            ("utt_wave", ctypes.POINTER(Wave), [pointer]),
            ("delete_utterance", None, [pointer]),
        ):
            function = getattr(self.lib, name)
            function.restype, function.argtypes = result, arguments
        self.lib.flite_init()
        self.voices = {}
        for name in FLITE:
            library = self.open(f"libflite_cmu_us_{name}.so.1")
            register = getattr(library, f"register_cmu_us_{name}")
            register.restype, register.argtypes = pointer, [pointer]
            self.voices[name] = register(None)

    @staticmethod
    def open(name: str) -> ctypes.CDLL:
        return ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)

    def say(self, name: str, text: str, stretch: float, pitch: float):
        """Return the sound, its rate, and the words with their starts."""
        voice = self.voices[name]
        # cst_voice begins with its name and its features.
        features = ctypes.cast(voice, ctypes.POINTER(ctypes.c_void_p))[1]
        self.lib.feat_set_float(features, b"duration_stretch", stretch)
        self.lib.feat_set_float(features, b"int_f0_target_mean", pitch)
        said = self.lib.flite_synth_text(text.encode(), voice)
        assert said, text
        words = []
        item = self.lib.relation_head(self.lib.utt_relation(said, b"Word"))
        while item:
            word = self.lib.ffeature_string(item, b"name").decode()
            before = f"{FIRST}R:Segment.p.end".encode()
            words.append((word, self.lib.ffeature_float(item, before)))
            item = self.lib.item_next(item)
        wave = self.lib.utt_wave(said).contents
        assert wave.channels == 1
        samples = np.ctypeslib.as_array(wave.samples, (wave.count,)) / 32_768
        rate = wave.rate
        self.lib.delete_utterance(said)  # and its wave
        return samples, rate, words


def say_flite(name, texts, stretches, pitches):
    """Yield sound, rate and words of each text, as Flite says it."""
    program = Flite()
    for text, stretch, pitch in zip(texts, stretches, pitches):
        yield program.say(name, text, stretch, FLITE[name] * pitch)


def say_festival(name, texts, stretches, _):
    """Yield the same as Festival says it, at its own pitch."""
    calls = "\n".join(
        f'(say "{text}" {stretch:.3f} "{number:03}")'
        for number, (text, stretch) in enumerate(zip(texts, stretches))
    )
    script = FESTIVAL_SAYS.format(
        voice=FESTIVAL[name], first=FIRST, calls=calls
    )
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "say.scm").write_text(script)
        done = subprocess.run(
            ["festival", "-b", "say.scm"],
            cwd=folder,
            check=True,
            capture_output=True,
            text=True,
        )
        lines = re.findall(r"^(\d{3})\t(\S+)\t(\S+)$", done.stdout, re.M)
        for number in range(len(texts)):
            wave, rate = soundfile.read(Path(folder, f"{number:03}.wav"))
            yield (
                wave,
                rate,
                [
                    (word, float(start))
                    for which, word, start in lines
                    if int(which) == number
                ],
            )


def plan(voice: str) -> tuple[list[str], list[float], list[float]]:
    """Choose what a voice says: texts, stretches of time, shares of pitch."""
    random_ = random.Random(f"speech other {voice}")
    known = [x for x in speech.commands() if speech.may_stand(x, "train")]
    texts = [speech.ROLL_CALL]  # as it is, by every voice
    while len(texts) < EACH:
        if len(texts) % 2:
            text = random_.choice(known)
        else:
            length = random_.choices(speech.LENGTHS, speech.WEIGHTS)[0]
            text = " ".join(random_.choices(speech.DIGITS, k=length))
            if not speech.may_stand(text, "train"):
                continue
            if random_.random() < 0.5:
                text = text.replace(" ", ", ")
        if text not in texts or len(text.split()) == 1:
            texts.append(text)
    stretches = [random_.uniform(0.8, 1.3) for _ in texts[1:]]
    pitches = [random_.uniform(0.85, 1.2) for _ in texts[1:]]
    return texts, [1.0, *stretches], [1.0, *pitches]


def recordings():
    """Yield every recording, as ``speech.write_split`` wants it."""
    for program, voices, say in (
        ("festival", FESTIVAL, say_festival),
        ("flite", FLITE, say_flite),
    ):
        for name in sorted(voices):
            voice = f"{program}+{name}"
            texts, *how = plan(voice)
            said = say(name, texts, *how)
            for text, (wave, rate, words) in zip(texts, said, strict=True):
                spoken = text.replace(",", "").split()
                assert [word for word, _ in words] == spoken, words
                shared = gcd(rate, speech.RATE)
                wave = resample_poly(
                    wave, speech.RATE // shared, rate // shared
                )
                wave, cut = speech.trim(wave)
                starts = [max(0, start - cut) for _, start in words]
                # No speed and no pitch: they are in other units.
                yield wave, starts, voice, "", "", text


def main() -> None:
    speech.write_split("other", recordings())
    licences = []
    for package in PACKAGES:
        text = Path("/usr/share/doc", package, "copyright").read_text("utf-8")
        licences.append(f"{package}\n{'=' * len(package)}\n\n{text}\n")
    (speech.TARGET / "LICENSE-voices.txt").write_text(
        "\n".join(licences), "utf-8"
    )
    checksums.record(speech.TARGET)


if __name__ == "__main__":
    main()
