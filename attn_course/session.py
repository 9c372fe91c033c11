"""What every notebook does first: seed, device, print style, plot style."""

import os
import random

import numpy as np
import torch


def start(seed: int = 0) -> None:
    """Make this notebook repeatable and readable: seed, print and plot style.

    Prints nothing, so that the cell has no output to compare.

    Args:
        seed: any integer from 0 up; the same seed gives the same numbers on
            the same machine, and nearly the same on others.

    Raises:
        ValueError: if ``seed`` is not an integer from 0 up.
    """
    set_seed(seed)
    torch.set_printoptions(precision=4, sci_mode=False, linewidth=79)
    np.set_printoptions(precision=4, suppress=True, linewidth=79)
    from attn_course import plotting

    plotting.set_style()


def set_seed(seed: int) -> None:
    """Seed Python's, numpy's and torch's random numbers alike.

    Raises:
        ValueError: if ``seed`` is not an integer from 0 up.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ValueError(f"seed: expected an integer from 0 up, got {seed!r}")
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def device() -> torch.device:
    """Return the best device that is present: CUDA, then Apple's MPS, then CPU.

    The environment variable ``ATTN_DEVICE`` (for example ``cpu`` or
    ``cuda:1``) overrides the choice.

    Raises:
        ValueError: if ``ATTN_DEVICE`` names a device that is not here.
    """
    wanted = os.environ.get("ATTN_DEVICE", "")
    present = [str(d) for d in devices()]
    if wanted:
        if wanted.split(":")[0] not in [p.split(":")[0] for p in present]:
            raise ValueError(
                f"ATTN_DEVICE: expected one of {present}, got {wanted!r}"
            )
        return torch.device(wanted)
    return torch.device(present[-1])


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
