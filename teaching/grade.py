"""Grade a whole course in one command: ``make grade COURSE=folder``.

``folder/submitted/STUDENT/NN_slug/NN_slug.ipynb`` is what people handed in
(nbgrader's own layout). Afterwards the folder holds nbgrader's ``autograded``
and ``feedback``, the gradebook, ``points.csv`` (one line per student and
exercise), and ``difficulty.svg``, which shows which exercise is hard.
"""

import argparse
import csv
import os
import shutil
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import numpy as np
from traitlets.config import Config, PyFileConfigLoader

from teaching import assignments
from teaching.fence import fence

OUTCOMES = {"full": "#009E73", "part": "#E69F00", "none": "#D55E00"}


@dataclass
class Row:
    """What one student got for one graded cell."""

    student: str
    assignment: str
    exercise: str
    points: float
    most: float
    to_read: bool  # a person has still to read it
    note: str = ""
    flags: list[str] = field(default_factory=list)  # rules that it broke
    stopped: list[str] = field(default_factory=list)  # in the whole submission


@dataclass
class Result:
    """The points of a course."""

    rows: list[Row] = field(default_factory=list)
    seconds: float = 0.0
    submissions: int = 0
    unreadable: dict[tuple[str, str], str] = field(default_factory=dict)

    def assignments(self) -> list[str]:
        """Return the assignments that were graded, in order."""
        return sorted({row.assignment for row in self.rows})

    def exercises(self, assignment: str) -> list[str]:
        """Return an assignment's graded cells, in their order."""
        return list(
            dict.fromkeys(
                row.exercise
                for row in self.rows
                if row.assignment == assignment
            )
        )

    def of(self, student: str, assignment: str) -> dict[str, Row]:
        """Return one student's rows of one assignment, by exercise."""
        return {
            row.exercise: row
            for row in self.rows
            if (row.student, row.assignment) == (student, assignment)
        }

    def total(self, student: str, assignment: str) -> float:
        """Return the points that one student has so far."""
        return sum(row.points for row in self.of(student, assignment).values())


def settings(course: Path, database: Path) -> Config:
    """Return nbgrader's settings for a course folder.

    The file is the repository's, whatever lies in the course folder.
    """
    place = assignments.COURSE
    config = PyFileConfigLoader("nbgrader_config.py", str(place)).load_config()
    config.CourseDirectory.root = str(Path(course).resolve())
    config.CourseDirectory.db_url = f"sqlite:///{Path(database).resolve()}"
    return config


def grade(
    course: Path,
    lesson: str = "",
    *,
    seed: int = 0,
    feedback: bool = True,
    say: Callable[[str], None] = lambda text: None,
) -> Result:
    """Grade every submission of a course folder.

    A submission that cannot be read, hangs or misbehaves gets what it has
    earned, and never stops the others.

    Args:
        course: the folder that holds ``submitted``.
        lesson: ``NN`` or ``NN_slug``; all that were handed in, if empty.
        seed: moves the hidden inputs.
        feedback: also write a page for each submission.
        say: is told what goes on.

    Raises:
        ValueError: if there is nothing to grade.
        RuntimeError: if nbgrader cannot write a page, with its words.
    """
    course = Path(course)
    handed_in = _submissions(course, lesson)
    start = time.perf_counter()
    result = Result(submissions=len(handed_in))
    from nbgrader.api import Gradebook
    from nbgrader.apps import NbGraderAPI

    database = course / "gradebook.db"
    fence()  # its warning, if there is one, comes first
    _copy_sources(course, {name for _, name in handed_in})
    with own_tools(), _variable("ATTN_GRADE_SEED", str(seed)), _quiet():
        for name in sorted({name for _, name in handed_in}):
            assignments.release(course, name, database=database)
        api = NbGraderAPI(config=settings(course, database))
        for number, (student, name) in enumerate(handed_in, 1):
            say(f"{number} of {len(handed_in)}: {student}, {name}")
            said = api.autograde(name, student, force=True, create=True)
            if not said["success"]:
                why = _last_words(said)
                result.unreadable[student, name] = why
                say(f"  could not be read: {why}")
            elif feedback:
                said = api.generate_feedback(name, student, force=True)
                if not said["success"]:
                    raise RuntimeError(f"no feedback: {_last_words(said)}")
        with Gradebook(f"sqlite:///{database.resolve()}") as book:
            for student, name in handed_in:
                rows = _rows(book, student, name, result.unreadable)
                _look_at(rows, course / "autograded" / student / name)
                result.rows += rows
    result.seconds = time.perf_counter() - start
    return result


def _submissions(course: Path, lesson: str) -> list[tuple[str, str]]:
    """Return (student, assignment) of everything that was handed in."""
    place = course / "submitted"
    known = sorted(p.name for p in (assignments.COURSE / "source").glob("*"))
    found = sorted(
        (path.parent.name, path.name)
        for path in place.glob("*/*")
        if path.name in known and path.name.startswith(lesson)
    )
    if not found:
        raise ValueError(
            f"course: expected {place}/STUDENT/NN_slug/NN_slug.ipynb with "
            f"NN_slug one of {known}, found none"
        )
    return found


def _copy_sources(course: Path, names: set[str]) -> None:
    """Bring the teacher's version of each assignment into the course."""
    for name in names:
        target = course / "source" / name
        if target.exists():
            shutil.rmtree(target)
        shutil.copytree(assignments.COURSE / "source" / name, target)


@contextmanager
def own_tools():
    """Let nbgrader find `alembic`, which stands beside this Python."""
    here = str(Path(sys.executable).parent)
    with _variable("PATH", here + os.pathsep + os.environ.get("PATH", "")):
        yield


@contextmanager
def _quiet():
    """Leave out SQLAlchemy's remarks on how nbgrader uses it."""
    from sqlalchemy.exc import SAWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SAWarning)
        yield


@contextmanager
def _variable(name: str, value: str):
    """Set an environment variable for a while."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _last_words(said: dict) -> str:
    """Return the last line of a log that names an error."""
    lines = [
        line.strip()
        for line in f"{said.get('log') or ''}".splitlines()
        if "Error" in line and "[ERROR]" not in line
    ]
    return (lines or ["no notebook of the right name in it"])[-1][:200]


def _rows(book, student: str, name: str, unreadable) -> list[Row]:
    """Read one submission's points from the gradebook; 0 if there are none."""
    from nbgrader.api import MissingEntry

    note = unreadable.get((student, name), "")
    note = f"not graded: {note}" if note else ""
    notebook = book.find_notebook(name, name)
    order = [cell.name for cell in notebook.source_cells]
    cells = sorted(notebook.grade_cells, key=lambda c: order.index(c.name))
    rows = []
    for cell in cells:
        points, to_read = 0.0, False
        try:
            found = book.find_grade(cell.name, name, name, student)
            if not note:
                points, to_read = found.score, bool(found.needs_manual_grade)
        except MissingEntry:
            pass
        rows.append(
            Row(
                student, name, cell.name, points, cell.max_score, to_read, note
            )
        )
    return rows


def _look_at(rows: list[Row], folder: Path) -> None:
    """Add to a submission's rows what the judge wrote down for a teacher."""
    path = folder / f"{folder.name}.ipynb"
    if rows[0].note or not path.exists():
        return
    found = nbformat.read(path, as_version=4).metadata.get("teaching", {})
    for row in rows:
        row.flags = list(found.get("flags", {}).get(row.exercise, []))
        row.stopped = list(found.get("stopped", []))


# What is shown of it -------------------------------------------------------


def table(result: Result, assignment: str) -> str:
    """Return an assignment's points as text: a row per student."""
    names = result.exercises(assignment)
    students = sorted(
        {r.student for r in result.rows if r.assignment == assignment}
    )
    width = max(map(len, [*students, "student"]))
    sizes = [max(5, len(name)) for name in names]
    head = "  ".join(
        [
            f"{'student':{width}}",
            *(f"{n:>{s}}" for n, s in zip(names, sizes)),
            "total  stopped",
        ]
    )
    lines = [f"{assignment}   (? = a person has still to read it)", head]
    sums, below = [], []
    for student in students:
        rows = result.of(student, assignment)
        total = result.total(student, assignment)
        sums.append(total)
        first = next(iter(rows.values()))
        lines.append(
            "  ".join(
                [
                    f"{student:{width}}",
                    *(f"{_mark(rows[n]):>{s}}" for n, s in zip(names, sizes)),
                    f"{total:5g}",
                    f"{len(first.stopped) or '':>7}",
                    first.note,
                ]
            ).rstrip()
        )
        for row in rows.values():
            below += [f"! {student}, {row.exercise}: {f}" for f in row.flags]
        below += [f"stopped: {student}, {what}" for what in first.stopped]
    most = [
        next(
            iter(
                r.most
                for r in result.rows
                if r.assignment == assignment and r.exercise == name
            )
        )
        for name in names
    ]
    lines.append(
        "  ".join(
            [
                f"{'of':{width}}",
                *(f"{m:>{s}g}" for m, s in zip(most, sizes)),
                f"{sum(most):5g}",
            ]
        )
    )
    lines.append(f"mean {np.mean(sums):.1f}, median {np.median(sums):g}")
    if below:
        lines += ["To look at (it costs no points by itself):", *below]
    return "\n".join(lines)


def _mark(row: Row) -> str:
    """Return a row's points, with ``!`` where a rule was broken."""
    points = "?" if row.to_read else f"{row.points:g}"
    return points + "!" * bool(row.flags)


def write_csv(result: Result, path: Path) -> None:
    """Write one line per student and exercise."""
    with open(path, "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(
            [
                "student",
                "assignment",
                "exercise",
                "points",
                "of",
                "to_read",
                "flags",
                "stopped",
                "note",
            ]
        )
        for row in result.rows:
            cells = [
                row.student,
                row.assignment,
                row.exercise,
                f"{row.points:g}",
                f"{row.most:g}",
                "yes" if row.to_read else "no",
                "; ".join(row.flags),
                "; ".join(row.stopped),
                row.note,
            ]
            # A spreadsheet must not take a name for a formula.
            writer.writerow(["'" * (c[:1] in set("=+-@")) + c for c in cells])


def shares(result: Result, assignment: str) -> dict[str, tuple[float, int]]:
    """Return of each exercise the share of points given, and how many count.

    What a person has still to read does not count.
    """
    found = {}
    for name in result.exercises(assignment):
        rows = [
            r
            for r in result.rows
            if (r.assignment, r.exercise) == (assignment, name)
            and not r.to_read
        ]
        if rows:
            share = sum(r.points for r in rows) / sum(r.most for r in rows)
            found[name] = (share, len(rows))
    return found


def plot(result: Result, path: Path) -> None:
    """Draw which exercise is hard: the share of points given, hardest first."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    names = result.assignments()
    rows = {name: shares(result, name) for name in names}
    heights = [max(2, len(row)) for row in rows.values()]
    figure = Figure(
        figsize=(7, 1.2 * len(names) + 0.34 * sum(heights)),
        layout="constrained",
    )
    axes = figure.subplots(
        len(names), 1, squeeze=False, gridspec_kw={"height_ratios": heights}
    )[:, 0]
    for ax, name in zip(axes, names):
        items = sorted(rows[name].items(), key=lambda item: -item[1][0])
        values = [share for _, (share, _) in items]
        colors = [
            OUTCOMES["none" if v < 0.5 else "part" if v < 0.75 else "full"]
            for v in values
        ]
        ax.barh(range(len(items)), values, color=colors)
        ax.set_yticks(range(len(items)), [item[0] for item in items])
        for place, (_, (value, count)) in enumerate(items):
            ax.text(1.02, place, f"{value:.0%} of {count}", va="center")
        ax.set_xlim(0, 1)
        ax.set_xlabel("share of the points given")
        if items:
            ax.set_title(f"{name}: hardest is {items[-1][0]}", loc="left")
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)


def main(arguments: list[str] | None = None) -> int:
    """Grade a course; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m teaching.grade")
    parser.add_argument("course", help="the folder that holds `submitted`")
    parser.add_argument(
        "--lesson", default="", help="NN or NN_slug; all if none"
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="moves the hidden inputs: your own numbers",
    )
    parser.add_argument("--no-feedback", action="store_true")
    options = parser.parse_args(arguments)
    course = Path(options.course)
    try:
        result = grade(
            course,
            options.lesson,
            seed=options.seed,
            feedback=not options.no_feedback,
            say=lambda text: print(text, flush=True),
        )
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    for name in result.assignments():
        print("\n" + table(result, name))
    write_csv(result, course / "points.csv")
    plot(result, course / "difficulty.svg")
    print(
        f"\n{result.submissions} submissions in {result.seconds:.0f} s; "
        f"see {course / 'points.csv'} and {course / 'difficulty.svg'}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
