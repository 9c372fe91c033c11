"""The data of the course: small, embedded, checked, with a card each.

Every data set is a module or folder here with ``load`` functions, a
``CARD.md`` and a script in ``build/`` that made its files.
"""

import hashlib
import json
import operator
import random
from collections.abc import Sequence
from importlib import resources


class DataError(RuntimeError):
    """A data file is missing or damaged; the message says how to restore it."""


def read(name: str) -> bytes:
    """Return the bytes of an embedded data file, after checking them.

    Args:
        name: the path below ``attn_course/data``, with forward slashes.

    Raises:
        ValueError: if no data file has that name.
        DataError: if the file is missing, or its SHA-256 is not the one in
            ``checksums.json``.
    """
    folder = resources.files(__name__)
    known = json.loads(folder.joinpath("checksums.json").read_text("utf-8"))
    if name not in known:
        raise ValueError(
            f"name: expected one of {sorted(known)}, got {name!r}"
        )
    restore = (
        f"Restore it with: git checkout -- attn_course/data/{name}, or "
        "install the course again."
    )
    try:
        content = folder.joinpath(*name.split("/")).read_bytes()
    except FileNotFoundError:
        raise DataError(
            f"data file attn_course/data/{name}: expected a file, found none. "
            + restore
        ) from None
    found = hashlib.sha256(content).hexdigest()
    if found != known[name]:
        raise DataError(
            f"data file attn_course/data/{name}: expected SHA-256 "
            f"{known[name]}, found {found}: it is damaged. {restore}"
        )
    return content


def sample(items: Sequence, n: int, seed: int = 0) -> list:
    """Draw ``n`` different items at random, in the order of the draw.

    Files are often sorted: the first 400 of one may all be of one class. For
    data in several tensors, draw places: ``sample(range(len(labels)), 400)``.

    Raises:
        ValueError: if there are not ``n`` items.
    """
    if not 0 <= n <= len(items):
        raise ValueError(f"n: expected 0 to {len(items)} items, got {n}")
    rng = random.Random(operator.index(seed))  # numpy's integer too
    return [items[i] for i in rng.sample(range(len(items)), n)]
