"""Numbers to try an answer on: random ones are drawn when a check asks."""

import torch
from torch import Tensor

# The hand example that lessons 01 to 04 carry along: query, keys, values.
HAND = (
    torch.tensor([[1.0, 0.0]]),
    torch.tensor([[1.0, 1.0], [0.0, 1.0]]),
    torch.tensor([[1.0, 2.0], [3.0, 4.0]]),
)


def normal(*shape: int, seed: int = 0) -> Tensor:
    """Draw from a standard normal; each shape has numbers of its own.

    A classroom's hidden tests move the seed, see ``attn_course.classroom``.
    """
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return torch.randn(*shape, generator=generator)
