"""Make an nbgrader assignment of each lesson's exercises.

``python -m teaching.assignments`` reads ``notebooks/source/NN_slug.py`` and
writes ``notebooks/exercises/source/NN_slug/NN_slug.ipynb``, the teacher's
version with solutions and hidden tests; then nbgrader itself makes the
students' version in ``notebooks/exercises/release`` from it. Nothing there is
written by hand.

An assignment holds the exercises alone: what they need of the lesson (imports,
the hand example) is found by following names back through the lesson's cells,
so that no training has to run first.
"""

import argparse
import ast
import builtins
import hashlib
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools import notebooks

ROOT = notebooks.ROOT
COURSE = ROOT / "notebooks" / "exercises"
POINTS = {"easy": 1, "medium": 2, "hard": 3}
HEADER = re.compile(
    r"^### Exercise (?P<number>\d+): (?P<title>.+?) "
    r"\((?P<minutes>\d+) min, (?P<level>easy|medium|hard)\)",
    re.M,
)
CHECK = re.compile(r"^checks\.(\w+)\.(\w+)\((\w+)\)$", re.M)
# Names of functions whose call trains a model or takes long.
SLOW = re.compile(r"\b(fit|train|learn|grow|race|measure|examine|play)\w*\(")


@dataclass
class Task:
    """One stub with its check, and the answer that the lesson gives."""

    lesson: str  # the slug, as the checks are named
    check: str
    answer: str  # the name that the check is called with
    stub: str
    solution: str


@dataclass
class Exercise:
    """One exercise of a lesson: its text, and what is asked for."""

    number: int
    title: str
    minutes: int
    level: str
    text: str
    tasks: list[Task] = field(default_factory=list)
    between: dict[int, str] = field(default_factory=dict)  # before stub n
    starter: list[str] = field(default_factory=list)
    solutions: list[str] = field(default_factory=list)
    discussion: str = ""

    @property
    def points(self) -> int:
        """Points of each stub, or of the written answer."""
        return POINTS[self.level]


# Reading a lesson ----------------------------------------------------------


def exercises(name: str, folder: Path = notebooks.FOLDER) -> list[Exercise]:
    """Read a lesson's exercises from its text source.

    Raises:
        ValueError: if there is no such lesson, or a stub has no solution.
    """
    found: list[Exercise] = []
    for cell in _section(notebooks.read_source(name, folder).cells):
        header = cell.cell_type == "markdown" and HEADER.search(cell.source)
        if header:
            part = header.groupdict()
            found.append(
                Exercise(
                    int(part["number"]),
                    part["title"],
                    int(part["minutes"]),
                    part["level"],
                    cell.source[header.start() :],
                )
            )
        elif found:
            _sort_in(cell, found[-1])
    for exercise in found:
        _match(name, exercise)
    return found


def _section(cells) -> list:
    """Return the cells from the first exercise to the questions."""
    inside, part = False, []
    for cell in cells:
        if cell.cell_type == "markdown":
            if re.search(r"^## Exercises", cell.source, re.M):
                inside = True
            elif re.search(r"^## ", cell.source, re.M):
                inside = False
        if inside:
            part.append(cell)
    return part


def _sort_in(cell, exercise: Exercise) -> None:
    """Put a cell where it belongs in its exercise."""
    if cell.cell_type == "markdown":
        for title, text in re.findall(
            r"<details><summary>(\w+)</summary>\s*(.*?)\s*</details>",
            cell.source,
            re.S,
        ):
            if title == "Answer":
                exercise.discussion = text
        hints = re.sub(
            r"<details><summary>Answer</summary>.*?</details>",
            "",
            cell.source,
            flags=re.S,
        ).strip()
        if hints and exercise.starter and "<details>" not in hints:
            exercise.between[len(exercise.starter)] = hints
        elif hints:
            exercise.text += "\n\n" + hints
    elif "solution" in cell.metadata.get("tags", []):
        exercise.solutions.append(cell.source)
    else:
        exercise.starter.append(cell.source)


def _match(name: str, exercise: Exercise) -> None:
    """Give each stub the solution whose last line is the same check."""
    starters, exercise.starter = exercise.starter, []
    for stub in starters:
        check = CHECK.search(stub)
        if not check:
            exercise.starter.append(stub)
            continue
        line = check.group()
        solved = [s for s in exercise.solutions if line in s]
        if len(solved) != 1:
            raise ValueError(
                f"{name}, exercise {exercise.number}: expected one solution "
                f"with `{line}`, found {len(solved)}"
            )
        exercise.tasks.append(
            Task(*check.groups(), stub.replace(line, "").strip(), solved[0])
        )


# Following names -----------------------------------------------------------


def names_used(code: str) -> set[str]:
    """Return the names that a piece of code needs from outside."""
    tree = ast.parse(code)
    bound = names_bound(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            bound.add(node.id)
    used = {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    return used - bound - set(dir(builtins))


def names_bound(code: str) -> set[str]:
    """Return the names that a piece of code binds at its top level."""
    bound: set[str] = set()
    for node in ast.parse(code).body:
        bound |= _binds(node)
    return bound


def _binds(node: ast.stmt) -> set[str]:
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return {node.name}
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return {(a.asname or a.name).split(".")[0] for a in node.names}
    return {
        inner.id
        for inner in ast.walk(node)
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store)
    }


def _statements(code: str) -> list[tuple[ast.stmt, str]]:
    """Return the top-level statements of a cell, each with its text."""
    lines = code.splitlines()
    parts = []
    for node in ast.parse(code).body:
        first = min(
            [
                node.lineno,
                *(d.lineno for d in getattr(node, "decorator_list", [])),
            ]
        )
        parts.append((node, "\n".join(lines[first - 1 : node.end_lineno])))
    return parts


def needed(names: set[str], cells: list[str]) -> list[str]:
    """Return the statements of earlier cells that give these names, in order.

    Raises:
        LookupError: if a name is given nowhere.
    """
    rows = [row for code in cells for row in _statements(code)]
    kept: dict[int, str] = {}
    waiting = [(name, len(rows)) for name in sorted(names)]
    while waiting:
        name, before = waiting.pop()
        place = next(
            (n for n in reversed(range(before)) if name in _binds(rows[n][0])),
            None,
        )
        if place is None:
            raise LookupError(name)
        node, text = rows[place]
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            wanted = [a for a in node.names if name in _alias(a)]
            shorter = type(node)(**{**vars(node), "names": wanted})
            kept[place * 1000 + node.names.index(wanted[0])] = ast.unparse(
                shorter
            )
            continue
        if place * 1000 in kept:
            continue
        kept[place * 1000] = text
        waiting += [(other, place) for other in sorted(names_used(text))]
    return [kept[place] for place in sorted(kept)]


def _alias(alias: ast.alias) -> set[str]:
    return {(alias.asname or alias.name).split(".")[0]}


def _is_import(statement: str) -> bool:
    return statement.startswith(("import ", "from "))


# Writing an assignment -----------------------------------------------------


def make(name: str, folder: Path = notebooks.FOLDER):
    """Return a lesson's assignment, the teacher's version, as a notebook."""
    lesson = notebooks.read_source(name, folder).cells
    title = lesson[0].source.splitlines()[0].removeprefix("# ")
    before = _lesson_code(lesson)
    parts = exercises(name, folder)
    plans = _plan(parts, before)
    imports, setup = _set_up(parts, plans, before)
    known = {"checks", *names_bound("\n".join(imports + setup))}
    cells = [
        new_markdown_cell(_welcome(name, title, parts)),
        _tracked(new_code_cell("\n".join(imports)), "set-up", locked=True),
    ]
    if setup:
        cells.append(
            _tracked(new_code_cell("\n".join(setup)), "given", locked=True)
        )
    for part in parts:
        cells += _cells_of(part, name, plans, before, known)
        known |= {task.answer for task in part.tasks}
    for cell in cells:
        grade_id = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        text = f"{grade_id}|{cell.cell_type}|{cell.source}"
        digest = hashlib.sha256(text.encode()).hexdigest()
        cell["id"] = f"{name[:2]}-{digest[:10]}"
    book = new_notebook(cells=cells, metadata=dict(notebooks.METADATA))
    book.nbformat, book.nbformat_minor = 4, 5
    nbformat.validate(book)
    return book


def _lesson_code(cells) -> list[str]:
    """Return the lesson's own code, up to its exercises."""
    code = []
    for cell in cells:
        if cell.cell_type == "markdown" and re.search(
            r"^## Exercises", cell.source, re.M
        ):
            break
        if cell.cell_type == "code":
            code.append(cell.source)
    return code


def _plan(parts: list[Exercise], before: list[str]) -> dict[int, list[str]]:
    """Say for each open exercise what of the lesson it needs, if it is little.

    The key is there only where the experiment can be made in the assignment.
    """
    plans = {}
    for part in parts:
        if part.tasks or not part.solutions:
            continue
        code = "\n".join([*part.starter, *part.solutions])
        known = {n for p in parts for t in p.tasks for n in [t.answer]}
        try:
            rows = needed(names_used(code) - known, before)
        except LookupError:
            continue
        given = [r for r in rows if not _is_import(r)]
        if all(map(_is_plain, given)) and not SLOW.search(code):
            plans[part.number] = rows
    return plans


def _is_plain(statement: str) -> bool:
    """Say whether a statement only writes down numbers, words or tensors.

    A model, a data set or an empty list to be filled is no such thing: the
    lesson goes on to train or to fill it.
    """
    for node in ast.walk(ast.parse(statement)):
        if isinstance(node, ast.Call):
            if not ast.unparse(node.func).startswith(("torch.", "math.")):
                return False
        if isinstance(node, ast.List) and not node.elts:
            return False
        if isinstance(node, ast.Dict) and not node.values:
            return False
        if isinstance(node, (ast.For, ast.While, ast.With)):
            return False
    return True


def _set_up(parts, plans, before) -> tuple[list[str], list[str]]:
    """Return the imports, and the few definitions, of a whole assignment."""
    imports = ["from attn_course import checks, session"]
    given: list[str] = []
    wanted: list[str] = []
    own = set()
    for part in parts:
        for task in part.tasks:
            solution = _answer_code(task)
            for name in sorted(names_used(solution) - own - {"checks"}):
                rows = needed({name}, before + _earlier(parts, part))
                if all(map(_is_import, rows)) or _is_told(name, part.text):
                    wanted.append(name)
            own.add(task.answer)
        for row in plans.get(part.number, []):
            target = imports if _is_import(row) else given
            if row not in target:
                target.append(row)
    for row in needed(set(wanted) - own, before):
        target = imports if _is_import(row) else given
        if row not in target:
            target.append(row)
    order = [row for code in before for _, row in _statements(code)]
    given.sort(key=lambda row: order.index(row))
    standard = sorted(
        {r for r in imports if "attn_course" not in r} | {"import torch"},
        key=lambda r: (r.startswith("from"), r),
    )
    course = [r for r in dict.fromkeys(imports) if "attn_course" in r]
    course = [
        r
        for r in course
        if r
        not in (
            "from attn_course import checks",
            "from attn_course import session",
        )
    ]
    return [*standard, "", *course, "", "session.start(0)"], given


def _earlier(parts: list[Exercise], part: Exercise) -> list[str]:
    """Return the code of the exercises before this one, and its own."""
    code = []
    for other in parts:
        if other.number < part.number:
            code += [_answer_code(task) for task in other.tasks]
    return code


def _is_told(name: str, text: str) -> bool:
    """Say whether an exercise's text speaks of a name."""
    return re.search(rf"\b{re.escape(name)}\b", text) is not None


def _answer_code(task: Task) -> str:
    """Return what of a solution makes the answer: no prints, no checks."""
    code = task.solution.replace("# Solution\n", "", 1)
    rows = _statements(code)
    last = max(
        n for n, (node, _) in enumerate(rows) if task.answer in _binds(node)
    )
    keep, wanted = {last}, names_used(rows[last][1])
    for number in reversed(range(last)):
        node, text = rows[number]
        if _binds(node) & wanted or task.answer in _binds(node):
            keep.add(number)
            wanted |= names_used(text)
    return "\n".join(rows[number][1] for number in sorted(keep))


def _cells_of(part: Exercise, name: str, plans, before, known) -> list:
    """Return the cells of one exercise; ``known`` names need no giving."""
    cells = [new_markdown_cell(_text(part, name, plans))]
    for number, task in enumerate(part.tasks):
        if number in part.between:
            cells.append(new_markdown_cell(part.between[number]))
        cells.append(
            _tracked(
                new_code_cell(_answer_source(task, before, known)),
                f"{task.check}-answer",
                solution=True,
            )
        )
        cells.append(
            _tracked(
                new_code_cell(_test_source(task)),
                task.check,
                locked=True,
                points=part.points,
            )
        )
    if part.tasks:
        return cells
    if part.number in plans:
        start = "\n".join(part.starter)
        cells.append(
            _tracked(
                new_code_cell(_experiment(start, part.solutions)),
                f"experiment-{part.number}",
                solution=True,
            )
        )
    written = part.discussion or "See the folded answer of the lesson."
    cells.append(
        _tracked(
            new_markdown_cell(written),
            f"explain-{part.number}",
            solution=True,
            points=part.points,
        )
    )
    return cells


def _text(part: Exercise, name: str, plans) -> str:
    """Return the exercise's text; an open one says where to do it."""
    points = part.points * max(1, len(part.tasks))
    word = "point" if points == 1 else "points"
    header, *rest = part.text.split("\n", 1)
    header = header.replace(")", f", {points} {word})", 1)
    text = "\n".join([header, *rest])
    if part.tasks:
        return text
    where = (
        "Make your experiment in the next cell"
        if part.number in plans
        else f"Make your experiment in the lesson's notebook, `{name}.ipynb`, "
        "where its models are"
    )
    return (
        f"{text}\n\n*{where}; then write below what you predicted, what you "
        "saw (with numbers), and why. A person reads it.*"
    )


def _answer_source(task: Task, before: list[str], known: set[str]) -> str:
    """Return the stub with the solution in it, in nbgrader's marks.

    What the solution alone takes from the lesson goes into it too.
    """
    code = _answer_code(task)
    missing = names_used(code) - known - {task.answer}
    given = [r for r in needed(missing, before) if not names_bound(r) <= known]
    *helpers, text = [row for _, row in _statements(code)]
    begin, end = "### BEGIN SOLUTION", "### END SOLUTION"
    inside = [line for row in given + helpers for line in row.splitlines()]
    function = ast.parse(text).body[0]
    if not isinstance(function, ast.FunctionDef):
        return "\n".join([task.stub, begin, *inside, text, end])
    body = text.splitlines()[function.body[0].lineno - 1 :]
    lines = [f"    {line}".rstrip() for line in inside] + body
    return "\n".join([task.stub, f"    {begin}", *lines, f"    {end}"])


def _test_source(task: Task) -> str:
    """Return the test: the lesson's instant check, and hidden inputs."""
    return "\n".join(
        [
            f"verdict = checks.{task.lesson}.{task.check}({task.answer})",
            "if not verdict.right:",
            "    raise AssertionError(verdict)",
            "print(verdict)",
            "### BEGIN HIDDEN TESTS",
            "from attn_course import classroom",
            "",
            f'classroom.assert_right("{task.lesson}", "{task.check}", '
            f"{task.answer})",
            "### END HIDDEN TESTS",
        ]
    )


def _experiment(start: str, solutions: list[str]) -> str:
    """Return an open exercise's code cell."""
    code = [s.replace("# Solution\n", "", 1) for s in solutions]
    top = [start] if start else []
    return "\n".join([*top, "### BEGIN SOLUTION", *code, "### END SOLUTION"])


def _tracked(
    cell, grade_id: str, *, locked=False, solution=False, points=None
):
    """Mark a cell for nbgrader."""
    cell.metadata["nbgrader"] = {
        "grade": points is not None,
        "grade_id": grade_id,
        "locked": locked,
        "schema_version": 3,
        "solution": solution,
        "task": False,
        **({"points": points} if points is not None else {}),
    }
    return cell


def total(parts: list[Exercise]) -> int:
    """Return the points of a whole assignment."""
    return sum(part.points * max(1, len(part.tasks)) for part in parts)


def _welcome(name: str, title: str, parts: list[Exercise]) -> str:
    minutes = sum(part.minutes for part in parts)
    return (
        f"# Assignment {name[:2]}: {title}\n\n"
        f"The exercises of lesson `{name}`: {total(parts)} points, about "
        f"{minutes} minutes. Replace the dots, then run the cell below: it "
        "says at once what is wrong. The same check is run again on other "
        "numbers when this is graded, so compute every answer from the "
        "arguments.\n\nWrite only in the answer cells, and keep the others as "
        "they are: they are put back before grading. Menu *Kernel*, *Restart "
        "and Run All* before you hand in."
    )


# Building ------------------------------------------------------------------


def write_sources(
    course: Path = COURSE, folder: Path = notebooks.FOLDER
) -> None:
    """Write the teacher's version of every lesson's assignment."""
    names = notebooks.lessons(folder)
    for name in names:
        target = course / "source" / name / f"{name}.ipynb"
        target.parent.mkdir(parents=True, exist_ok=True)
        text = nbformat.writes(make(name, folder)).rstrip("\n") + "\n"
        target.write_text(text, "utf-8", newline="\n")
    for old in (course / "source").iterdir():
        if old.name not in names:
            shutil.rmtree(old)


def release(course: Path, lesson: str = "*", *, database: Path | None = None):
    """Let nbgrader make the students' version from the teacher's.

    Args:
        course: the folder with ``source`` and ``nbgrader_config.py``.
        lesson: one assignment, or all.
        database: the gradebook; by default a new one that is thrown away.

    Raises:
        RuntimeError: with nbgrader's words, if it refuses.
    """
    from nbgrader.apps import NbGraderAPI

    from teaching.grade import own_tools, settings

    names = sorted(p.name for p in (course / "source").iterdir())
    with tempfile.TemporaryDirectory() as empty, own_tools():
        book = database or Path(empty) / "gradebook.db"
        api = NbGraderAPI(config=settings(course, book))
        for name in names if lesson == "*" else [lesson]:
            said = api.generate_assignment(name, force=True, create=True)
            if not said["success"]:
                raise RuntimeError(
                    f"{name}: {said.get('error')}{said.get('log')}"
                )

    for path in (course / "release").rglob("*.ipynb"):
        text = path.read_text("utf-8").rstrip("\n") + "\n"
        path.write_text(text, "utf-8", newline="\n")
        path.chmod(0o644)
    for old in (course / "release").iterdir():
        if old.name not in names:
            shutil.rmtree(old)


def main(arguments: list[str] | None = None) -> int:
    """Write all sources and releases; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m teaching.assignments")
    parser.add_argument(
        "--list", action="store_true", help="only print exercises and points"
    )
    options = parser.parse_args(arguments)
    for name in notebooks.lessons():
        for part in exercises(name):
            kind = "graded" if part.tasks else "read"
            points = part.points * max(1, len(part.tasks))
            print(
                f"{name}  {part.number}  {points} points, {kind}: {part.title}"
            )
    if options.list:
        return 0
    write_sources()
    release(COURSE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
