"""The hidden half of an assignment's test: the same check, other numbers.

A lesson's checks draw their random cases from seeded generators. Here they
are loaded anew and every seed is moved, so that an answer that knows the
published cases by heart does not pass.
"""

import importlib.util
import os
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import torch

from attn_course.checks.engine import Verdict

SEEDS = (101, 202)


def assert_right(lesson: str, exercise: str, answer: object) -> None:
    """Raise unless an answer is right on inputs that no learner has seen.

    Args:
        lesson: the lesson's name without its number, ``dot_product``.
        exercise: the name of its check, ``softmax``.
        answer: what the learner made.

    The environment variable ``ATTN_GRADE_SEED``, a whole number, moves the
    seeds again: a teacher's own numbers for this year.

    Raises:
        AssertionError: with the check's words, if the answer is not right.
        ValueError: if there is no such lesson or exercise.
    """
    own = os.environ.get("ATTN_GRADE_SEED", "0")
    if not own.isdigit():
        raise ValueError(
            f"ATTN_GRADE_SEED: expected a whole number from 0 up, got {own!r}"
        )
    for seed in SEEDS:
        verdict = verdict_for(lesson, exercise, answer, seed=seed + int(own))
        if not verdict.right:  # `assert` would be gone under `python -O`
            raise AssertionError(f"hidden inputs: {verdict}")


def verdict_for(
    lesson: str, exercise: str, answer: object, *, seed: int
) -> Verdict:
    """Give the check's verdict with all its random cases drawn anew.

    Raises:
        ValueError: if there is no such lesson or exercise.
    """
    place = Path(__file__).parent / "checks" / f"{lesson}.py"
    if not lesson.isidentifier() or not place.is_file():
        known = sorted(p.stem for p in place.parent.glob("[a-z]*.py"))
        raise ValueError(f"lesson: expected one of {known}, got {lesson!r}")
    with _other_dice(seed):
        spec = importlib.util.spec_from_file_location(f"fresh_{lesson}", place)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        check = getattr(module, exercise, None)
        if exercise.startswith("_") or check is None:
            raise ValueError(f"exercise: {lesson} has no check {exercise!r}")
        return check(answer)


@contextmanager
def _other_dice(shift: int):
    """Within it, every generator that is seeded starts from another seed."""

    class Shifted(torch.Generator):
        def manual_seed(self, seed: int) -> torch.Generator:
            return super().manual_seed(seed + shift)

    with mock.patch.object(torch, "Generator", Shifted):
        yield
