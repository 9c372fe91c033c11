"""Rated snippets: English sentences of four kinds, with people's ratings.

Parts of film reviews, tweets, product reviews and newspaper articles, each
rated by twenty people or so from -4 (very negative) to 4 (very positive).
See CARD.md beside this file.
"""

import gzip
from typing import NamedTuple

from attn_course import data

SOURCES = ("movies", "tweets", "products", "news")
SPLITS = ("train", "valid", "test")


class Snippet(NamedTuple):
    """One text, and what is known of it."""

    source: str  # one of SOURCES
    document: int  # parts of one review or article share this number
    rating: float  # mean over the raters, from -4 to 4
    text: str


def load(split: str) -> list[Snippet]:
    """The snippets of one split: "train", "valid" or "test".

    Raises ValueError for another split's name, and `attn_course.data.read`'s
    error where a file is missing or damaged.
    """
    if split not in SPLITS:
        raise ValueError(f"split: expected one of {SPLITS}, found {split!r}")
    table = gzip.decompress(data.read(f"snippets/{split}.tsv.gz"))
    rows = (line.split("\t") for line in table.decode("utf-8").splitlines())
    return [
        Snippet(source, int(document), float(rating), text)
        for source, document, rating, text in rows
    ]
