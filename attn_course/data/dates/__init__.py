"""Written dates in English, French, German and Chinese, and the same in ISO.

See CARD.md beside this file.
"""

import csv
import gzip
import io
from typing import NamedTuple

from attn_course import data

SPLITS = ("train", "valid", "test", "american", "italian", "years")


class Pair(NamedTuple):
    """A date as people write it, and as ISO 8601 does."""

    language: str  # en, fr, de, zh; it in one split
    pattern: str  # Babel's name or pattern of the format
    text: str
    iso: str


def load(split: str) -> list[Pair]:
    """The pairs of one split.

    "train", "valid" and "test" share 20 formats and no day. "american" (month
    first) and "italian" are formats that stand in no other split; "years" has
    the known formats, but years before 1950 and after 2049.

    Raises ValueError for another split's name, and `attn_course.data.read`'s
    error where a file is missing or damaged.
    """
    if split not in SPLITS:
        raise ValueError(f"split: expected one of {SPLITS}, found {split!r}")
    raw = gzip.decompress(data.read(f"dates/{split}.tsv.gz"))
    table = csv.reader(io.StringIO(raw.decode("utf-8")), "excel-tab")
    return [Pair(*row) for row in table]
