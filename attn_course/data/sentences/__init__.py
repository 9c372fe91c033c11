"""Interface and help sentences of free programs: English to French, Chinese.

Cleaned, deduplicated and split; no held-out pair has a near-duplicate among
the training pairs. See CARD.md beside this file.
"""

import gzip
from typing import NamedTuple

from attn_course import data

LANGUAGES = ("fr", "zh")
SPLITS = ("train", "valid", "test")


class Pair(NamedTuple):
    """An English sentence, its translation, and the program it is from."""

    source: str
    target: str
    program: str


def load(language: str, split: str) -> list[Pair]:
    """The pairs of one language, "fr" or "zh", and one split.

    Splits: "train", "valid" (for choosing a recipe) and "test". Raises
    ValueError for another name, and `attn_course.data.read`'s error where a
    file is missing or damaged.
    """
    if language not in LANGUAGES:
        raise ValueError(
            f"language: expected 'fr' or 'zh', found {language!r}"
        )
    if split not in SPLITS:
        raise ValueError(
            f"split: expected 'train', 'valid' or 'test', found {split!r}"
        )
    table = gzip.decompress(data.read(f"sentences/{language}-{split}.tsv.gz"))
    rows = (line.split("\t") for line in table.decode("utf-8").splitlines())
    return [Pair(source, target, program) for program, source, target in rows]
