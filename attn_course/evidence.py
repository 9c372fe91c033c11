"""What a lesson's claims came to over several training seeds.

A run in a lesson is one run. What it is worth is asked in ``experiments``: each
claim there has an id (``E07.3``), and its result is kept. Lessons print and
draw those results from here.
"""

import json
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from attn_course.common.statistics import Interval

RESULTS = Path(__file__).resolve().parent.parent / "experiments" / "results"


@dataclass(frozen=True)
class Row:
    """The result of one claim.

    Attributes:
        id: ``E07.3``.
        sentence: what was claimed.
        measure: what was measured.
        arm, over: the arm that was judged, and the one it was compared with.
        interval: of the difference, or of the arm's own score; 95 %, over
            training seeds and test items.
        bounds: between which the whole interval had to be.
        verdict: "yes", "no" or "undecided".
        seeds: how many trainings of each arm.
    """

    id: str
    sentence: str
    measure: str
    arm: str
    over: str | None
    interval: Interval
    bounds: str
    verdict: str
    seeds: int


@dataclass(frozen=True)
class ArmResult:
    """One side of a lesson's comparisons.

    Attributes:
        search: each setting that was tried, with its score on validation
            data; nan if there was one setting only.
        chosen: the setting that was best there.
        means: for each measure, the mean over test items of each seed.
    """

    search: list[tuple[dict, float]]
    chosen: dict
    means: dict[str, list[float]]


def row(claim: str) -> Row:
    """Return the result of a claim.

    Raises:
        ValueError: if there is no claim of that id.
    """
    table = _read(claim[1:3])
    for found in table["claims"]:
        if found["id"] == claim:
            return Row(
                id=claim,
                sentence=found["sentence"],
                measure=found["measure"],
                arm=found["arm"],
                over=found["over"],
                interval=Interval(
                    found["estimate"], found["low"], found["high"]
                ),
                bounds=found["bounds"],
                verdict=found["verdict"],
                seeds=len(table["seeds"]),
            )
    known = [found["id"] for found in table["claims"]]
    raise ValueError(f"claim: expected one of {known}, got {claim!r}")


def arms(lesson: str) -> dict[str, ArmResult]:
    """Return what was compared in a lesson, such as "07".

    Raises:
        ValueError: if the lesson has no results.
    """
    return {
        name: ArmResult(
            search=[
                (
                    one["settings"],
                    float("nan")
                    if one["validation"] is None
                    else one["validation"],
                )
                for one in arm["search"]
            ],
            chosen=arm["chosen"],
            means=arm["means"],
        )
        for name, arm in _read(lesson)["arms"].items()
    }


def show(*claims: str) -> None:
    """Print claims with their intervals and verdicts."""
    for claim in claims:
        print(describe(row(claim)))


def describe(found: Row) -> str:
    """Say a claim, its interval and its verdict, in lines of 79 at most."""
    sides = found.arm if found.over is None else f"{found.arm} - {found.over}"
    result = (
        f"{found.measure}, {sides}: {found.interval:.3g} over "
        f"{found.seeds} seeds; {found.bounds}? {found.verdict}"
    )
    indent = " " * 7
    sentence = f"{found.id}  {found.sentence}"
    return "\n".join(
        (
            textwrap.fill(sentence, 79, subsequent_indent=indent),
            textwrap.fill(
                result, 79, initial_indent=indent, subsequent_indent=indent
            ),
        )
    )


def _read(lesson: str) -> dict:
    """Read the stored results of a lesson."""
    paths: Sequence[Path] = sorted(RESULTS.glob(f"{lesson}_*.json"))
    if len(paths) != 1:
        known = [path.name[:2] for path in sorted(RESULTS.glob("*.json"))]
        raise ValueError(
            f"lesson: expected one of {known} (experiments/results), "
            f"got {lesson!r}"
        )
    return json.loads(paths[0].read_text("utf-8"))
