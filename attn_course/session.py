"""What every notebook does first: seed, device, print style, plot style."""

import os
import random

import numpy as np
import torch

from attn_course.common.arguments import whole_number


def start(seed: int = 0) -> None:
    """Make this notebook repeatable and readable: seed, print and plot style.

    Prints "Ready" and the seed, and nothing that differs between machines.

    Args:
        seed: any integer from 0 up; the same seed gives the same numbers on
            the same CPU, and nearly the same on others; a GPU adds in an
            order of its own each time.

    Raises:
        ValueError: if ``seed`` is not an integer from 0 up, below 2**64.
    """
    set_seed(seed)
    # TF32 has 3 digits: too few for the lessons' comparisons on a GPU.
    torch.backends.cudnn.allow_tf32 = False
    torch.set_printoptions(precision=4, sci_mode=False, linewidth=79)
    np.set_printoptions(precision=4, suppress=True, linewidth=79)
    from attn_course import plotting

    plotting.set_style()
    print(f"Ready: seed {seed}")


def set_seed(seed: int) -> None:
    """Seed Python's, numpy's and torch's random numbers alike.

    Raises:
        ValueError: if ``seed`` is not an integer from 0 up, below 2**64.
    """
    seed = whole_number("seed", seed)
    if seed >= 2**64:
        raise ValueError(f"seed: expected less than 2**64, got {seed}")
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def device() -> torch.device:
    """Return the best device that is present: CUDA, else the CPU.

    The environment variable ``ATTN_DEVICE`` (for example ``cpu`` or
    ``cuda:1``) overrides the choice. Apple's MPS is taken only if it asks for
    ``mps``: no Mac has run all lessons yet.

    Raises:
        ValueError: if ``ATTN_DEVICE`` names a device that is not here.
    """
    wanted = os.environ.get("ATTN_DEVICE", "")
    if not wanted:
        return [d for d in devices() if d.type != "mps"][-1]
    counts = {d.type: 1 for d in devices()}
    if "cuda" in counts:
        counts["cuda"] = torch.cuda.device_count()
    present = [
        name
        for kind, count in counts.items()
        for name in (kind, *(f"{kind}:{i}" for i in range(count)))
    ]
    if wanted not in present:
        raise ValueError(
            f"ATTN_DEVICE: expected one of {present}, got {wanted!r}"
        )
    return torch.device(wanted)


def devices() -> list[torch.device]:
    """List every kind of device that is present, the CPU first, best last."""
    found = [torch.device("cpu")]
    if torch.backends.mps.is_available():
        found.append(torch.device("mps"))
    if torch.cuda.is_available():
        found.append(torch.device("cuda"))
    return found


def quick() -> bool:
    """Say whether ``ATTN_QUICK=1`` asks for shortened training.

    A teacher's dry run uses it. Verdicts about trained models are then not
    to be trusted, and nbval never runs with it.
    """
    return os.environ.get("ATTN_QUICK", "") not in ("", "0")
