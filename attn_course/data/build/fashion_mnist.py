"""Build attn_course/data/fashion_mnist/ from Debian's package. Author time.

    python attn_course/data/build/fashion_mnist.py

Needs a Debian or Ubuntu machine with network: the script downloads the package
`dataset-fashion-mnist` into a temporary folder and installs nothing.
The test set is copied byte for byte. The training set is cut down to 1,200
images of each class, chosen with a fixed seed and kept in their first order.
"""

import gzip
import subprocess
import tempfile
from pathlib import Path

import checksums
import numpy as np

PACKAGE = "dataset-fashion-mnist"
SEED = 2017
PER_CLASS = 1_200
TARGET = checksums.DATA / "fashion_mnist"


def download(folder: Path) -> Path:
    """The unpacked package's root folder."""
    subprocess.run(["apt-get", "download", PACKAGE], cwd=folder, check=True)
    (package,) = folder.glob("*.deb")
    subprocess.run(["dpkg-deb", "-x", package, folder / "root"], check=True)
    return folder / "root"


def read_idx(path: Path) -> np.ndarray:
    """An array of bytes from a gzipped idx file (LeCun's MNIST format)."""
    raw = gzip.decompress(path.read_bytes())
    dims = raw[3]
    shape = np.frombuffer(raw, ">u4", count=dims, offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * dims).reshape(shape)


def write_idx(path: Path, array: np.ndarray) -> None:
    """The inverse of `read_idx`; no time stamp, so the same bytes each time."""
    head = bytes([0, 0, 8, array.ndim])
    head += np.array(array.shape, ">u4").tobytes()
    path.write_bytes(gzip.compress(head + array.tobytes(), 9, mtime=0))


def choose(labels: np.ndarray) -> np.ndarray:
    """Sorted positions of PER_CLASS images of each class."""
    rng = np.random.default_rng(SEED)
    per_class = [
        rng.permutation(np.flatnonzero(labels == label))[:PER_CLASS]
        for label in range(10)
    ]
    return np.sort(np.concatenate(per_class))


def main() -> None:
    TARGET.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        root = download(Path(temporary))
        source = root / "usr/share/datasets/fashion-mnist"
        licence = root / "usr/share/doc" / PACKAGE / "copyright"
        (TARGET / "LICENSE.txt").write_bytes(licence.read_bytes())
        for kind, idx in ("images", "idx3"), ("labels", "idx1"):
            test = source / f"t10k-{kind}-{idx}-ubyte.gz"
            (TARGET / f"test-{kind}-10000.gz").write_bytes(test.read_bytes())
        images = read_idx(source / "train-images-idx3-ubyte.gz")
        labels = read_idx(source / "train-labels-idx1-ubyte.gz")
    chosen = choose(labels)
    write_idx(TARGET / "train-images-12000.gz", images[chosen])
    write_idx(TARGET / "train-labels-12000.gz", labels[chosen])
    checksums.record(TARGET)


if __name__ == "__main__":
    main()
