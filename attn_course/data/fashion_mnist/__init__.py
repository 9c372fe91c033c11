"""Fashion-MNIST: 28x28 grey photographs of clothes in ten classes.

12,000 of the official training images, 1,200 of each class, and the whole
official test set of 10,000. See CARD.md beside this file.
"""

import gzip

import torch
from torch import Tensor

from attn_course import data

CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

_COUNTS = {"train": 12_000, "test": 10_000}


def load(split: str) -> tuple[Tensor, Tensor]:
    """The images and labels of one split, "train" or "test".

    Returns images, uint8 (n, 28, 28), 0 black to 255 white, and labels, int64
    (n,), positions in `CLASSES`. Raises ValueError for another split's name,
    and `attn_course.data.read`'s error where a file is missing or damaged.
    """
    if split not in _COUNTS:
        raise ValueError(f"split: expected 'train' or 'test', found {split!r}")
    count = _COUNTS[split]
    images = _idx(f"fashion_mnist/{split}-images-{count}.gz")
    labels = _idx(f"fashion_mnist/{split}-labels-{count}.gz")
    return images, labels.long()


def _idx(name: str) -> Tensor:
    """A tensor of bytes from a gzipped idx file.

    The format: two zero bytes, the type (8 = unsigned byte), the number of
    dimensions, each dimension as 4 bytes (largest first), then the bytes.
    """
    raw = bytearray(gzip.decompress(data.read(name)))
    dims = raw[3]
    shape = [
        int.from_bytes(raw[at : at + 4], "big")
        for at in range(4, 4 + 4 * dims, 4)
    ]
    start = 4 + 4 * dims
    return torch.frombuffer(raw, dtype=torch.uint8, offset=start).view(shape)
