"""Build attn_course/data/dates/ with Babel. No network.

    python attn_course/data/build/dates.py

Needs Babel 2.18.0, which comes with JupyterLab: its Unicode CLDR data knows how
dates are written. Days are drawn with a fixed seed, each into one split only,
and are written in the split's formats in turn.
`tests/test_additive_attention.py` builds it all again and compares.
"""

import csv
import gzip
import io
import random
from collections.abc import Iterator
from datetime import date, timedelta
from importlib import metadata

import checksums
from babel.dates import format_date

SEED = 2015  # the year of both papers
TARGET = checksums.DATA / "dates"

# Of each language, Babel's own formats by name, and patterns in its notation.
FORMATS = [
    *(
        ("en", f)
        for f in ("full", "long", "medium", "d MMMM y", "EEE, d MMM y")
    ),
    *(("fr", f) for f in ("full", "long", "medium", "short", "EEE d MMM y")),
    *(("de", f) for f in ("full", "long", "medium", "short", "EEE d. MMM y")),
    *(
        ("zh", f)
        for f in ("full", "long", "short", "y年MM月dd日", "y年MMMMd日")
    ),
]
TWO_DIGITS = ("de", "short")  # 05.02.24: clear only within one century
NEAR = date(1950, 1, 1), date(2049, 12, 31)
BEFORE = date(1850, 1, 1), date(1949, 12, 31)
AFTER = date(2050, 1, 1), date(2149, 12, 31)

Row = tuple[str, str, str, str]


def written(day: date, language: str, pattern: str) -> Row:
    """A line of a file: the language, the format, the written date, ISO."""
    text = format_date(day, pattern, locale=language)
    # A space that does not break is a space to whoever types a date.
    text = text.replace("\u202f", " ").replace("\xa0", " ")
    return language, pattern, text, day.isoformat()


def days(
    first: date, last: date, count: int, rng: random.Random
) -> list[date]:
    """Different days from the first to the last, in random order."""
    chosen = rng.sample(range((last - first).days + 1), count)
    return [first + timedelta(days=number) for number in chosen]


def in_turn(chosen: list[date], formats: list[tuple[str, str]]) -> list[Row]:
    """The days, each in the format whose turn it is."""
    return [
        written(day, *formats[number % len(formats)])
        for number, day in enumerate(chosen)
    ]


def splits() -> Iterator[tuple[str, list[Row]]]:
    """The name and the lines of every file."""
    rng = random.Random(SEED)
    pool = days(*NEAR, 16_000, rng)
    yield "train", in_turn(pool[:12_000], FORMATS)
    yield "valid", in_turn(pool[12_000:13_000], FORMATS)
    yield "test", in_turn(pool[13_000:15_000], FORMATS)
    yield "american", in_turn(pool[15_000:15_500], [("en", "MM/dd/y")])
    yield "italian", in_turn(pool[15_500:], [("it", "long")])
    clear = [f for f in FORMATS if f != TWO_DIGITS]
    far = days(*BEFORE, 500, rng) + days(*AFTER, 500, rng)
    yield "years", in_turn(far, clear)


def packed(rows: list[Row]) -> bytes:
    """A gzipped table; no time stamp, so the same bytes each time."""
    table = io.StringIO()
    csv.writer(table, "excel-tab", lineterminator="\n").writerows(rows)
    return gzip.compress(table.getvalue().encode("utf-8"), 9, mtime=0)


def main() -> None:
    TARGET.mkdir(exist_ok=True)
    licences = {
        "LICENSE": "LICENSE.txt",
        "LICENSE.unicode": "LICENSE-CLDR.txt",
    }
    for file in metadata.files("babel"):
        if file.name in licences:
            text = file.locate().read_bytes()
            (TARGET / licences[file.name]).write_bytes(text)
    for name, rows in splits():
        (TARGET / f"{name}.tsv.gz").write_bytes(packed(rows))
    checksums.record(TARGET)


if __name__ == "__main__":
    main()
