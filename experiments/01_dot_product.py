"""Lesson 01: how wide a kernel should reach, over many draws of the noise."""

import torch

from attn_course.dot_product import kernel_regression
from experiments.claims import Arm, Claim, Run, above

SEEDS = range(50)  # draws of the noise: cheap
SEARCH_SEEDS = range(100, 110)


def error(seed: int, width: float) -> Run:
    """Measure the squared error at each point, as the lesson's cell does."""
    generator = torch.Generator().manual_seed(seed)
    keys = torch.linspace(0, 6, 25, dtype=torch.float64)
    noise = torch.randn(25, generator=generator, dtype=torch.float64)
    values = torch.sin(keys) + 0.25 * noise
    points = torch.linspace(0, 6, 121, dtype=torch.float64)
    predictions, _ = kernel_regression(points, keys, values, width)
    squares = (predictions - torch.sin(points)).square()
    return Run(-squares.mean().item(), {"squared error": squares.tolist()})


ARMS = {
    "width 0.05": Arm(error, [{"width": 0.05}]),
    "width 0.5": Arm(error, [{"width": 0.5}]),
    "width 5": Arm(error, [{"width": 5.0}]),
}
CLAIMS = [
    Claim(
        "E01.1",
        "With 25 noisy measurements of a sine, width 0.05 errs more than "
        "width 0.5.",
        "squared error",
        "width 0.05",
        over="width 0.5",
        verdict=above(0),
    ),
    Claim(
        "E01.2",
        "With 25 noisy measurements of a sine, width 5 errs more than "
        "width 0.05.",
        "squared error",
        "width 5",
        over="width 0.05",
        verdict=above(0),
    ),
]
