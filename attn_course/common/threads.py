"""How many CPU threads torch computes with."""

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def cpu_threads(count: int | None) -> Iterator[None]:
    """Compute with ``count`` threads for a while; None leaves them as is.

    More threads only wait where a step is small. Afterwards, also after an
    error, there are as many as before.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
