"""Numbers to try an answer on: drawn anew by each check, never on import."""

import torch
from torch import Tensor


def normal(*shape: int, seed: int = 0) -> Tensor:
    """Draw from a standard normal in float64; each shape has numbers of its own.

    A classroom's hidden tests move the seed, see ``attn_course.classroom``.
    """
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return torch.randn(*shape, generator=generator, dtype=torch.float64)
