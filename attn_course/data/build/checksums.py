"""What the build scripts beside this one share: the book of checksums."""

import hashlib
import json
from pathlib import Path

DATA = Path(__file__).resolve().parent.parent


def record(target: Path) -> None:
    """Write the sums of one data set's files into data/checksums.json."""
    book = DATA / "checksums.json"
    sums = json.loads(book.read_text()) if book.exists() else {}
    for path in sorted(target.glob("*.gz")):
        name = path.relative_to(DATA).as_posix()
        sums[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    book.write_text(json.dumps(sums, indent=2, sort_keys=True) + "\n")
