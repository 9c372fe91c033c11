"""Assignments and their grading: honest answers, none, half, and cheats."""

import copy
import csv
import json
import os
import re
import socketserver
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from attn_course import checks, classroom
from attn_course.checks import engine
from teaching import assignments, fence, remote, worker
from tests import submissions as hand
from tests.test_checks import BANKS
from tools import notebooks

LESSONS = notebooks.lessons()
SOURCE = assignments.COURSE / "source"
RELEASE = assignments.COURSE / "release"
CHECKS = Path(checks.__file__).parent


def read(folder: Path, name: str):
    return nbformat.read(folder / name / f"{name}.ipynb", as_version=4)


# What is handed out --------------------------------------------------------


@pytest.mark.parametrize("name", LESSONS)
def test_the_source_is_what_the_lesson_gives(name):
    made = nbformat.writes(assignments.make(name)).rstrip("\n") + "\n"
    stored = (SOURCE / name / f"{name}.ipynb").read_text("utf-8")
    assert stored == made, "run: make assignments"


def test_every_lesson_has_an_assignment_and_nothing_else_has():
    for folder in (SOURCE, RELEASE):
        assert sorted(p.name for p in folder.iterdir()) == LESSONS


@pytest.mark.parametrize("name", LESSONS)
def test_every_check_of_the_lesson_is_graded_and_the_open_one_is_read(name):
    module = getattr(checks, name[3:])
    public = {
        n
        for n, item in vars(module).items()
        if callable(item)
        and not n.startswith("_")
        and getattr(item, "__module__", "") == module.__name__
    }
    parts = assignments.exercises(name)
    assert {t.check for part in parts for t in part.tasks} == public
    assert any(not part.tasks for part in parts)
    graded = [
        c.metadata.nbgrader
        for c in read(SOURCE, name).cells
        if c.metadata.get("nbgrader", {}).get("grade")
    ]
    assert sum(cell.points for cell in graded) == assignments.total(parts)
    assert {c.points for c in graded} <= {1, 2, 3}
    ids = [
        c.metadata.nbgrader.grade_id
        for c in read(SOURCE, name).cells
        if "nbgrader" in c.metadata
    ]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("name", LESSONS)
def test_the_release_holds_no_solution_and_no_hidden_test(name):
    released = "\n".join(c.source for c in read(RELEASE, name).cells)
    for word in ("BEGIN", "END SOLUTION", "HIDDEN", "classroom"):
        assert word not in released
    code = "\n".join(
        c.source for c in read(RELEASE, name).cells if c.cell_type == "code"
    )  # a hint may say a line
    for cell in read(SOURCE, name).cells:
        for part in re.findall(
            r"### BEGIN SOLUTION\n(.*?)\n\s*### END SOLUTION",
            cell.source,
            re.S,
        ):
            lines = [
                x.strip() for x in part.splitlines() if len(x.strip()) > 25
            ]
            assert not [x for x in lines if x in code]
    answers = [
        c
        for c in read(RELEASE, name).cells
        if c.metadata.get("nbgrader", {}).get("solution")
    ]
    assert len(answers) >= 4
    assert all(
        "..." in c.source
        or "your answer" in c.source
        or c.source == "Write here."
        for c in answers
    )


@pytest.mark.parametrize("name", LESSONS)
def test_the_teachers_version_runs_alone_and_passes_its_own_tests(
    name, capsys
):
    space: dict = {"__name__": "__main__"}
    for cell in read(SOURCE, name).cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, "<cell>", "exec"), space)
    said = capsys.readouterr().out
    tasks = [t for part in assignments.exercises(name) for t in part.tasks]
    assert said.count("right: ") == len(tasks)


def test_names_are_followed_back():
    cells = [
        "import math, torch\nfrom os import path as p, sep",
        "a = 1\nb = a + 1\nc = 5",
        "def f(x):\n    return x + b",
    ]
    assert assignments.needed({"f"}, cells) == [
        "a = 1",
        "b = a + 1",
        "def f(x):\n    return x + b",
    ]
    assert assignments.needed({"math", "p"}, cells) == [
        "import math",
        "from os import path as p",
    ]
    with pytest.raises(LookupError, match="nowhere"):
        assignments.needed({"nowhere"}, cells)


# Hidden inputs -------------------------------------------------------------


@pytest.mark.parametrize("slug", BANKS)
def test_right_answers_are_right_on_hidden_inputs_too(slug):
    for exercise, answers in BANKS[slug].RIGHT.items():
        for answer in answers:
            for seed in (1, 77):
                verdict = classroom.verdict_for(
                    slug, exercise, answer, seed=seed
                )
                assert verdict.right, (exercise, verdict)


@pytest.mark.classroom
@pytest.mark.parametrize("slug", BANKS)
def test_wrong_answers_are_wrong_on_hidden_inputs_too(slug, monkeypatch):
    monkeypatch.setattr(engine, "SECONDS", 0.5)
    for exercise, answers in BANKS[slug].WRONG.items():
        for answer, _ in answers:
            verdict = classroom.verdict_for(slug, exercise, answer, seed=5)
            assert not verdict.right, (exercise, answer)


def known_by_heart(query, key, value):
    """Right on the published cases, which it has in a table."""
    for case in PUBLISHED:
        if query.shape == case[0].shape and torch.allclose(query, case[0]):
            scores = query @ key.T
            return torch.softmax(scores, -1) @ value
    return torch.zeros(len(query), value.shape[1], requires_grad=True)


PUBLISHED = [
    checks.dot_product.HAND,
    *(
        checks.dot_product._random(*size)
        for size in ((3, 3, 3, 3), (2, 5, 4, 3), (4, 1, 2, 2))
    ),
]


def test_who_knows_the_published_cases_by_heart_gets_nothing():
    assert checks.dot_product.lookup(known_by_heart).right
    with pytest.raises(AssertionError, match="hidden inputs: wrong"):
        classroom.assert_right("dot_product", "lookup", known_by_heart)


def test_a_teacher_may_move_the_hidden_inputs(monkeypatch):
    seen = []

    def spy(query, key, value):
        seen.append(query.detach().clone())
        return torch.softmax(query @ key.T, -1) @ value

    classroom.assert_right("dot_product", "lookup", spy)
    monkeypatch.setenv("ATTN_GRADE_SEED", "3")
    classroom.assert_right("dot_product", "lookup", spy)
    half = len(seen) // 2
    assert any(not torch.equal(a, b) for a, b in zip(seen[:half], seen[half:]))
    monkeypatch.setenv("ATTN_GRADE_SEED", "soon")
    with pytest.raises(ValueError, match="ATTN_GRADE_SEED.*'soon'"):
        classroom.assert_right("dot_product", "lookup", spy)


@pytest.mark.parametrize("level", ["1", "2"])
def test_python_without_assertions_gives_no_points(level):
    book = hand.answered(
        {"softmax": "def my_softmax(scores, temperature):\n    return scores"}
    )
    names = ("set-up", "softmax-answer", "softmax")
    released = "\n".join(hand.cell_of(book, n).source for n in names)
    hidden = (
        "from attn_course import classroom\n"
        "def wrong(scores, temperature): return scores\n"
        "classroom.assert_right('dot_product', 'softmax', wrong)"
    )
    for code in (released, hidden):
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=notebooks.ROOT,
            env={**os.environ, "PYTHONOPTIMIZE": level},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 1
        assert "AssertionError: " in done.stderr and "wrong" in done.stderr


def test_unknown_exercise_is_named():
    with pytest.raises(ValueError, match="lesson: expected one of .*'dot'"):
        classroom.verdict_for("dot", "lookup", None, seed=0)
    with pytest.raises(ValueError, match="no check 'look'"):
        classroom.verdict_for("dot_product", "look", None, seed=0)
    with pytest.raises(ValueError, match="no check '_oracle_lookup'"):
        classroom.verdict_for("dot_product", "_oracle_lookup", None, seed=0)


def test_the_dice_are_put_back():
    before = torch.Generator
    classroom.verdict_for("dot_product", "aim", [0.0, 0.0], seed=9)
    assert torch.Generator is before


# What goes between the two processes ---------------------------------------

LEAF = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.floats(allow_nan=False)
    | st.just(...)
)
FLAT = (
    LEAF
    | st.lists(LEAF, max_size=3)
    | st.lists(LEAF, max_size=3).map(tuple)
    | st.dictionaries(st.text(max_size=3), LEAF, max_size=3)
)
SIMPLE = FLAT | st.lists(FLAT, max_size=3) | st.lists(FLAT).map(tuple)


@given(SIMPLE)
@settings(deadline=None, max_examples=50)
def test_values_come_back_as_they_were(value):
    there = json.loads(json.dumps(worker.pack(value)))
    back = worker.unpack(there)
    assert back == value and type(back) is type(value)


@pytest.mark.parametrize(
    "dtype",
    [
        torch.float16,
        torch.bfloat16,
        torch.float32,
        torch.float64,
        torch.bool,
        torch.int64,
        torch.uint8,
        torch.complex64,
    ],
)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 4), (2, 3, 4)])
def test_tensors_come_back_as_they_were(dtype, shape):
    tensor = (torch.randn(shape) * 3).to(dtype)
    for one in (tensor, tensor.mT if len(shape) > 1 else tensor):
        back = worker.unpack(json.loads(json.dumps(worker.pack(one))))
        assert back.dtype == dtype and torch.equal(back, one)


def test_a_gradient_comes_back_from_the_worker():
    def made(one, two):
        return one.exp() * two.detach()

    far = [torch.tensor([1.0, 2.0, 0.5]).requires_grad_() for _ in range(2)]
    near = [x.detach().clone().requires_grad_() for x in far]
    packed = worker._gradients(made(*far), far)
    result = remote._linked(
        made(*near).detach().requires_grad_(),
        near,
        [worker.unpack(one) for one in packed],
    )
    torch.testing.assert_close(result, made(*far))
    (result * worker.weights_like(result)).sum().backward()
    (made(*far) * worker.weights_like(result)).sum().backward()
    torch.testing.assert_close(near[0].grad, far[0].grad)
    assert near[1].grad is None


def test_a_gradient_is_told():
    one = torch.ones(2, requires_grad=True)
    assert worker.unpack(worker.pack(one * 2)).requires_grad
    assert not worker.unpack(worker.pack(one.detach())).requires_grad


@pytest.mark.parametrize(
    "nonsense",
    [
        {},
        [],
        {"tensor": "x"},
        {"tensor": "", "dtype": "ones", "shape": [2], "grad": False},
        {"tensor": "AAAA", "dtype": "float64", "shape": [9], "grad": False},
        {"call": 3, "name": "f"},
        {"float": "so"},
        {"new": 1},
        {"tensor": "", "dtype": "float32", "shape": [10**9], "grad": True},
    ],
)
def test_nonsense_from_the_worker_is_refused(nonsense):
    with pytest.raises(worker.Broken):
        worker.unpack(nonsense)


def test_only_exact_types_are_values():
    class Pretender(float):
        def __eq__(self, other):
            return True

        __hash__ = float.__hash__

    class Liar(torch.Tensor):
        pass

    assert isinstance(worker.unpack(worker.pack(Pretender(1))), worker.Unknown)
    assert isinstance(
        worker.unpack(worker.pack(torch.ones(2).as_subclass(Liar))),
        worker.Unknown,
    )


# Grading -------------------------------------------------------------------


def half(names: list[str], student_text: str = ""):
    """An honest submission that has only some exercises."""
    book = hand.answered({n: hand.RIGHT[n] for n in names})
    hand.cell_of(book, "explain-5").source = student_text or "Write here."
    return book


def hard_coded():
    return hand.answered(
        {
            **hand.RIGHT,
            "softmax": "def my_softmax(scores, temperature):\n"
            "    return torch.tensor([0.6225, 0.3775], requires_grad=True)",
            "lookup": "def my_lookup(query, key, value):\n"
            "    return torch.tensor([[1.5379, 2.5379]], requires_grad=True)",
        }
    )


def changed_tests():
    book = hand.released()
    for name in hand.POINTS:
        cell = hand.cell_of(book, name)
        cell.source = "print('right: all is well')"
        cell.metadata.nbgrader.points = 100
    return book


def without_tests():
    book = hand.released()
    book.cells = [
        c
        for c in book.cells
        if not c.metadata.get("nbgrader", {}).get("grade")
    ]
    return book


def bare():
    """Right answers in cells that nbgrader does not know: nothing counts."""
    book = hand.answered(hand.RIGHT)
    for cell in book.cells:
        cell.metadata.pop("nbgrader", None)
    return book


def twice():
    """A second cell of the same name, with another test in it."""
    book = hand.released()
    extra = []
    for name in hand.POINTS:
        again = copy.deepcopy(hand.cell_of(book, name))
        again.source, again["id"] = "print('right')", f"again-{name}"
        extra.append(again)
    book.cells = extra + book.cells
    return book


def disguised():
    """Metadata turned about: tests are answers, answers are tests."""
    book = hand.released()
    for cell in book.cells:
        about = cell.metadata.get("nbgrader")
        if about:
            about.update(
                grade=not about["grade"],
                locked=False,
                solution=not about["solution"],
                points=50,
                cell_type="markdown",
                checksum="0",
            )
    return book


def other_way_round():
    """All cells in the opposite order; put back before grading."""
    book = hand.answered(hand.RIGHT)
    book.cells = book.cells[::-1]
    return book


def odd_metadata():
    book = hand.answered(hand.RIGHT)
    for cell in book.cells:
        cell.metadata["nbgrader"] = ["no", {"dict": 1}]
    return book


FULL = sum(hand.POINTS.values())
EXPLAINED = (
    "Ten times the scores are ten times sharper weights. "
    "<script>document.title = 'mine'</script>"
)


def class_of_thirty(course: Path) -> dict[str, float]:
    """Hand in thirty submissions; return what each must get."""
    wanted: dict[str, float] = {}

    def give(student, book, points):
        hand.hand_in(course, student, book)
        wanted[student] = points

    give("ada", hand.solved(), FULL)
    give("bo", hand.released(), 0)
    give("cy", half(list(hand.RIGHT), EXPLAINED), FULL)
    names = list(hand.POINTS)
    for number in range(1, 14):  # honest, but not ready
        some = [n for bit, n in enumerate(names) if number >> bit & 1]
        give(f"half-{number}", half(some), sum(hand.POINTS[n] for n in some))
    wrong = {
        **hand.RIGHT,
        "softmax": "def my_softmax(scores, temperature):\n"
        "    return torch.softmax(scores, -1)",
    }
    give("no-temperature", hand.answered(wrong), FULL - 1)
    broken = {**hand.RIGHT, "lookup": "def my_lookup(query, key, value)\n  ?"}
    give("cannot-be-read", hand.answered(broken), FULL - 2)
    raises = {
        **hand.RIGHT,
        "lookup": "def my_lookup(query, key, value):\n"
        "    return nothing_like_that",
    }
    give("raises", hand.answered(raises), FULL - 2)
    give("hard-coded", hard_coded(), FULL - 3)
    give("changed-tests", changed_tests(), 0)
    give("without-tests", without_tests(), 0)
    give("twice", twice(), 0)
    give("disguised", disguised(), 0)
    give(
        "exits-hard",
        hand.answered(
            {
                **hand.RIGHT,
                "softmax": "def my_softmax(scores, temperature):\n    import os\n"
                "    os._exit(0)",
            }
        ),
        FULL - 1,
    )
    give(
        "endless",
        hand.answered(
            {
                **hand.RIGHT,
                "softmax": "def my_softmax(scores, temperature):\n    while True: pass",
            }
        ),
        FULL - 1,
    )
    give("no-json", "{this is no notebook", 0)
    give("other-order", other_way_round(), FULL)
    give("bare", bare(), 0)
    give("odd-metadata", odd_metadata(), 0)
    assert len(wanted) == 30
    return wanted


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """The class of thirty, graded by the command."""
    pytest.importorskip("nbgrader")
    course = tmp_path_factory.mktemp("class")
    wanted = class_of_thirty(course)
    done = subprocess.run(
        [sys.executable, "-m", "teaching.grade", str(course)],
        cwd=notebooks.ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with open(course / "points.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    print(done.stdout)
    return course, wanted, rows, done.stdout


@pytest.mark.classroom
def test_thirty_submissions_get_what_they_earned(graded):
    _, wanted, rows, _ = graded
    found = {name: 0.0 for name in wanted}
    for row in rows:
        found[row["student"]] += float(row["points"])
    assert found == wanted


@pytest.mark.classroom
def test_the_right_part_of_a_partial_one_counts(graded):
    _, _, rows, _ = graded
    mine = {
        r["exercise"]: r["points"] for r in rows if r["student"] == "half-7"
    }
    assert mine == {
        "slip": "1",
        "by_eye": "1",
        "softmax": "1",
        "lookup": "0",
        "aim": "0",
        "explain-5": "0",
    }


@pytest.mark.classroom
def test_what_a_person_must_read_is_marked(graded):
    _, _, rows, said = graded
    unread = {r["student"] for r in rows if r["to_read"] == "yes"}
    assert unread == {"ada", "cy"}
    row = next(line for line in said.splitlines() if line.startswith("cy "))
    assert row.split()[-2:] == ["?", f"{FULL:g}"]


@pytest.mark.classroom
def test_what_could_not_be_read_is_told_and_stops_nobody(graded):
    _, wanted, rows, said = graded
    notes = {r["student"]: r["note"] for r in rows if r["note"]}
    assert set(notes) == {"no-json"} and "JSON" in notes["no-json"]
    assert f"{len(wanted)} submissions in" in said


@pytest.mark.classroom
def test_feedback_names_the_mistake_and_runs_no_script(graded):
    course, wanted, _, _ = graded
    place = course / "feedback"
    pages = {p.parent.parent.name: p for p in place.rglob("*.html")}
    assert set(pages) == set(wanted) - {"no-json"}
    text = pages["no-temperature"].read_text("utf-8")
    assert "temperature has no effect" in text
    assert "never ends" in pages["endless"].read_text("utf-8")
    assert "ended the process" in pages["exits-hard"].read_text("utf-8")
    page = pages["cy"].read_text("utf-8")
    assert "ten times sharper" in page
    assert "<script>document.title" not in page


@pytest.mark.classroom
def test_the_plot_says_which_exercise_is_hard(graded):
    course, _, rows, _ = graded
    text = (course / "difficulty.svg").read_text("utf-8")
    assert text.startswith("<?xml")
    from teaching.grade import Result, Row, shares

    result = Result(
        [
            Row(
                r["student"],
                r["assignment"],
                r["exercise"],
                float(r["points"]),
                float(r["of"]),
                r["to_read"] == "yes",
            )
            for r in rows
        ]
    )
    share = shares(result, hand.LESSON)
    assert share["slip"][0] > share["lookup"][0]
    assert share["explain-5"] == (0.0, 28)  # two are still to be read


# What a teacher is told beside the points -----------------------------------


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Three submissions: all is well, a rule is broken, the fence is tried."""
    pytest.importorskip("nbgrader")
    from teaching import grade

    course = tmp_path_factory.mktemp("told")
    peeks = (
        f"CHECKS = {str(CHECKS)!r}\ndef my_lookup(query, key, value):\n"
        "    try:\n        open(CHECKS + '/engine.py')\n"
        "    except OSError:\n"
        "        return torch.softmax(query @ key.T, -1) @ value"
    )
    hand.hand_in(course, "ada", hand.solved())
    hand.hand_in(course, "bo", hand.answered(hand.RIGHT))
    book = hand.answered({**hand.RIGHT, "lookup": peeks})
    book = hand.before_all(book, "import os\nos._exit(0)")
    book.metadata["teaching"] = {"stopped": ["nothing"]}
    hand.hand_in(course, "cy", book)
    result = grade.grade(course)
    grade.write_csv(result, course / "points.csv")
    with open(course / "points.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return course, rows, grade.table(result, hand.LESSON)


@pytest.mark.classroom
def test_a_broken_rule_is_shown_beside_the_points_and_costs_none(told):
    _, rows, table = told
    flags = {(r["student"], r["exercise"]): r["flags"] for r in rows}
    line = "torch.softmax, line 2: return torch.softmax(scores / temper"
    assert flags["bo", "softmax"].startswith(line)
    assert {who for who, said in flags.items() if said} == {
        ("bo", "softmax"),
        ("cy", "softmax"),
    }
    points = {(r["student"], r["exercise"]): r["points"] for r in rows}
    assert points["bo", "softmax"] == points["ada", "softmax"] == "1"
    assert "1!" in next(x for x in table.splitlines() if x[:3] == "bo ")
    assert f"! bo, softmax: {line}" in table


@pytest.mark.classroom
def test_what_the_fence_stopped_has_a_column(told, fenced):
    _, rows, table = told
    stopped = {r["student"]: r["stopped"] for r in rows}
    assert stopped["ada"] == stopped["bo"] == ""
    peek = f"lookup: opens {CHECKS}/engine.py, line 4"
    assert stopped["cy"] == f"cell 1: ends its process; {peek}"
    lines = table.splitlines()
    assert lines[1].split()[-1] == "stopped"
    ends = {x.split()[0]: x.split()[-1] for x in lines if x[:1] in "abc"}
    assert (ends["ada"], ends["cy"]) == ("7", "2")
    assert f"stopped: cy, {peek}" in lines


class Teller(socketserver.BaseRequestHandler):
    """Tells a right answer to whoever asks."""

    def handle(self):
        self.request.sendall(hand.RIGHT["lookup"].encode())


@pytest.fixture
def fenced():
    if not fence.fence():
        pytest.skip("bubblewrap is not installed, or may not run here")


def what_stopped_it(course: Path, student: str) -> str:
    """Return the first error among the learner's cells, or what else did."""
    for cell in read_autograded(course, student).cells:
        about = cell.metadata.get("nbgrader", {})
        for output in cell.get("outputs", []):
            if output.output_type == "error" and not about.get("grade"):
                return f"{output.ename}: {output.evalue}"[:70].strip(": ")
    return {
        "b": "only its own process is changed: marks are given in another",
        "c": "its value is no tensor",
        "d": "more is not kept, or the line is skipped",
    }[student[0]]


@pytest.mark.classroom
def test_no_cheat_gains_and_none_stops_the_others(tmp_path, fenced):
    pytest.importorskip("nbgrader")
    from teaching import grade

    checks_before = [p.read_bytes() for p in CHECKS.glob("*.py")]
    treasure = tmp_path / "treasure.txt"
    treasure.write_text("here")
    for honest in ("a-honest", "z-honest"):
        hand.hand_in(tmp_path, honest, hand.answered(hand.RIGHT))
    earned, named = {}, {}
    with socketserver.TCPServer(("127.0.0.1", 0), Teller) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        banks = (hand.OVERWRITE, hand.ANSWER, hand.HARM)
        for kind, bank in zip("bcd", banks):
            for number, (name, text) in enumerate(bank.items()):
                student = f"{kind}-{number:02}"
                text = hand.cheat(text, tmp_path, server.server_address[1])
                if kind == "b":
                    book = hand.before_all(hand.released(), text)
                elif kind == "c":
                    book = hand.answered({"lookup": text})
                else:
                    book = hand.before_all(hand.answered(hand.RIGHT), text)
                hand.hand_in(tmp_path, student, book)
                named[student] = name
                # Harm does not take away what is right, either.
                earned[student] = FULL if kind == "d" else 0
        result = grade.grade(tmp_path, feedback=False)
        server.shutdown()
    found = {s: result.total(s, hand.LESSON) for s in earned}
    others = [result.total(s, hand.LESSON) for s in ("a-honest", "z-honest")]
    print("\n| cheat | points gained | what stopped it | the others |")
    print("|---|---|---|---|")
    for student, name in named.items():
        gained = found[student] - earned[student]
        why = what_stopped_it(tmp_path, student)
        print(f"| {name} | {gained:g} | {why} | {others} |")
    assert found == earned and others == [FULL, FULL]
    assert not result.unreadable
    assert treasure.read_text() == "here"
    assert [p.read_bytes() for p in CHECKS.glob("*.py")] == checks_before


@pytest.mark.classroom
@pytest.mark.parametrize("level", ["1", "2"])
def test_grading_without_assertions_gives_a_wrong_answer_nothing(
    tmp_path, level
):
    pytest.importorskip("nbgrader")
    wrong = {**hand.RIGHT, "aim": "aimed = [1.0, 2.0]"}
    hand.hand_in(tmp_path, "ada", hand.answered(wrong))
    done = subprocess.run(
        [sys.executable, "-m", "teaching.grade", str(tmp_path)],
        cwd=notebooks.ROOT,
        env={**os.environ, "PYTHONOPTIMIZE": level},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"ada {FULL - hand.POINTS['aim']}".split() == [
        line.split()[i]
        for line in done.stdout.splitlines()
        if line.startswith("ada ")
        for i in (0, -1)
    ]


# The fence, and what holds without it -------------------------------------


@pytest.fixture
def tried_anew():
    fence.fence.cache_clear()
    yield
    fence.fence.cache_clear()


def test_without_bubblewrap_one_warning_says_what_is_open(
    tried_anew, monkeypatch, capsys
):
    monkeypatch.setattr(fence.shutil, "which", lambda name: None)
    assert fence.fence() == fence.fence() == ()
    said = capsys.readouterr().err
    assert said.count("not fenced off here (bubblewrap is not inst") == 1


def test_a_fence_that_cannot_stand_is_told(tried_anew, monkeypatch, capsys):
    monkeypatch.setattr(fence.shutil, "which", lambda name: name)
    failed = subprocess.CompletedProcess([], 1, "", "No permission\n")
    monkeypatch.setattr(fence.subprocess, "run", lambda *a, **k: failed)
    assert fence.fence() == ()
    assert "not fenced off here (No permission)" in capsys.readouterr().err


def test_without_the_fence_time_and_memory_are_limited(monkeypatch):
    monkeypatch.setattr(remote, "fence", lambda: ())
    with remote.Worker("dot_product", seconds=5) as learner:
        assert learner.run("print(1)") == {"text": "1\n"}
        assert learner.run("x = bytes(10**10)")["error"] == "MemoryError"
        wait = "import time\ndef wait(): time.sleep(3)"
        assert "error" not in learner.run(wait)
        waiting = learner.value("wait")
        waiting()
        with pytest.raises(engine.TimeUp):
            waiting()


def test_a_worker_that_does_not_start_is_no_learners_fault(monkeypatch):
    monkeypatch.setattr(remote.worker, "__file__", "/nowhere/worker.py")
    with pytest.raises(RuntimeError, match="does not start: .*nowhere"):
        remote.Worker("dot_product").run("x = 1")


def test_html_in_an_answer_is_shown_as_typed():
    pytest.importorskip("nbgrader")
    from teaching.judge import without_scripts

    typed = "a < b, <b onclick=x>, <script>1</script>, [y](JavaScript:z)"
    shown = without_scripts(typed)
    assert "a < b" in shown and "<b" not in shown and "<script" not in shown
    assert "script:" not in shown.lower()
    kept = "<details><summary>Hint</summary>\n\nSo.\n\n</details>"
    assert without_scripts(kept) == kept


def read_autograded(course: Path, student: str):
    name = hand.LESSON
    return nbformat.read(
        course / "autograded" / student / name / f"{name}.ipynb", as_version=4
    )


@pytest.mark.classroom
def test_all_assignments_full_and_empty(tmp_path):
    pytest.importorskip("nbgrader")
    from teaching import grade

    for name in LESSONS:
        hand.hand_in(tmp_path, "full", hand.solved(name), name)
        hand.hand_in(tmp_path, "empty", hand.released(name), name)
    result = grade.grade(tmp_path, feedback=False)
    assert result.assignments() == LESSONS
    for name in LESSONS:
        parts = assignments.exercises(name)
        coded = sum(p.points * len(p.tasks) for p in parts)
        assert result.total("full", name) == coded, name
        assert result.total("empty", name) == 0, name
        unread = [r for r in result.of("full", name).values() if r.to_read]
        assert len(unread) == sum(not p.tasks for p in parts)


@pytest.mark.classroom
def test_the_release_is_what_nbgrader_makes(tmp_path):
    pytest.importorskip("nbgrader")
    import shutil

    shutil.copytree(SOURCE, tmp_path / "source")
    assignments.release(tmp_path)
    for name in LESSONS:
        made = (tmp_path / "release" / name / f"{name}.ipynb").read_bytes()
        stored = (RELEASE / name / f"{name}.ipynb").read_bytes()
        assert made == stored, f"{name}: run make assignments"


def nbgrader(*words: str, cwd: Path) -> subprocess.CompletedProcess:
    here = str(Path(sys.executable).parent)
    return subprocess.run(
        [sys.executable, "-m", "nbgrader", *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": here + os.pathsep + os.environ["PATH"]},
    )


@pytest.mark.classroom
def test_validate_as_a_student_would(tmp_path):
    pytest.importorskip("nbgrader")
    for name, book in (("full", hand.solved()), ("empty", hand.released())):
        nbformat.write(book, tmp_path / f"{name}.ipynb")
    done = nbgrader("validate", "full.ipynb", cwd=tmp_path)
    assert "Success! Your notebook passes all the tests." in done.stdout
    done = nbgrader("validate", "empty.ipynb", cwd=tmp_path)
    assert "VALIDATION FAILED ON 6 CELL(S)" in " ".join(done.stdout.split())
    assert "not attempted" in done.stdout


@pytest.mark.classroom
def test_nbgraders_own_commands_do_the_same(tmp_path):
    pytest.importorskip("nbgrader")
    import shutil

    name = hand.LESSON
    shutil.copytree(SOURCE / name, tmp_path / "source" / name)
    config = str(assignments.COURSE / "nbgrader_config.py")
    hand.hand_in(tmp_path, "ada", hand.solved())
    hand.hand_in(tmp_path, "bo", hand.released())
    for command in ("generate_assignment", "autograde", "generate_feedback"):
        done = nbgrader(command, name, f"--config={config}", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    done = nbgrader("export", f"--config={config}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with open(tmp_path / "grades.csv", newline="") as stream:
        score = {
            r["student_id"]: float(r["score"]) for r in csv.DictReader(stream)
        }
    assert score == {"ada": FULL, "bo": 0.0}
    assert len(list((tmp_path / "feedback").rglob("*.html"))) == 2


@pytest.mark.classroom
def test_an_empty_course_is_named(tmp_path, capsys):
    pytest.importorskip("nbgrader")
    from teaching import grade

    assert grade.main([str(tmp_path)]) == 1
    assert "expected" in capsys.readouterr().err


# The guide -----------------------------------------------------------------

GUIDE = notebooks.ROOT / "teaching" / "guide.md"


def headings(name: str) -> set[str]:
    return {
        title
        for cell in notebooks.read_source(name).cells
        if cell.cell_type == "markdown"
        for title in re.findall(r"^##+ (.+)$", cell.source, re.M)
    }


@pytest.mark.parametrize("name", LESSONS)
def test_the_guides_minutes_are_the_lessons_own(name):
    from teaching import handbook

    about = handbook.lesson(name)
    minutes = {
        "whole": about.minutes,
        "talk": about.talk,
        "exercises": about.exercises,
    }
    rows = re.findall(
        rf"^\| \w+ \| {name} \| (\w+) \| (\d+) \|$",
        GUIDE.read_text("utf-8"),
        re.M,
    )
    assert [int(m) for _, m in rows] == [minutes[part] for part, _ in rows]
    said = re.search(
        r"exercises take (\d+)", notebooks.read_source(name).cells[0].source
    )
    if said:
        assert int(said.group(1)) == about.exercises


def test_the_guides_plans_are_complete_and_no_meeting_is_too_long():
    text = GUIDE.read_text("utf-8")
    weeks, days = text.split("## Two days")
    six = re.findall(r"^\| (\w+) \| (\w+) \| (\w+) \| (\d+) \|$", weeks, re.M)
    two = re.findall(r"^\| (\w+) \| (\w+) \| (\w+) \| (\d+) \|$", days, re.M)
    assert {row[1] for row in six + two} <= set(LESSONS)
    assert {row[0] for row in six} == {*"123456", "home"}
    assert {row[0] for row in two} == {"1", "2"}
    for week in "123456":
        assert 60 <= sum(int(r[3]) for r in six if r[0] == week) <= 150
    for day in "12":
        assert 240 <= sum(int(r[3]) for r in two if r[0] == day) <= 330
    for lesson in {r[1] for r in six if r[2] == "talk"}:
        assert [r[2] for r in six if r[1] == lesson] == ["talk", "exercises"]


@pytest.mark.parametrize("name", LESSONS)
def test_what_cures_a_misconception_exists(name):
    from teaching import handbook

    entry = handbook.discussions()[name]
    for thought, heading, cure in entry["misconceptions"]:
        assert heading in headings(name), heading
        assert len(thought.split()) >= 4 and len(cure.split()) >= 4
    assert len(entry["misconceptions"]) >= 2 and len(entry["questions"]) >= 2
    assert all(
        q.endswith(("?", ".")) and len(a.split()) >= 8
        for q, a in entry["questions"]
    )


def test_the_handbook_is_what_the_lessons_give():
    from teaching import handbook

    assert handbook.TARGET.read_text("utf-8") == handbook.text(), (
        "run: make assignments"
    )
    assert set(handbook.discussions()) == set(LESSONS)


def test_every_link_of_the_guide_leads_somewhere():
    folder = GUIDE.parent
    for page in (GUIDE, folder / "lessons.md"):
        text = page.read_text("utf-8")
        links = map(unquote, re.findall(r"\]\(([^)\s]+)\)", text))
        assert "](" in text
        for link in links:
            place, _, part = link.partition("#")
            assert (folder / place).resolve().exists(), link
            if part:
                name = Path(place).stem
                assert part in {h.replace(" ", "-") for h in headings(name)}


# The cheat sheet -----------------------------------------------------------


def entries():
    from teaching import cheatsheet

    return [
        pytest.param(entry, id=f"{section.title[:2]}-{entry.name}")
        for page in cheatsheet.PAGES
        for section in page
        for entry in section.entries
    ]


@pytest.mark.parametrize("entry", entries())
def test_a_formula_of_the_cheat_sheet_holds(entry):
    entry.check()
    assert entry.formula.startswith("$") and entry.shapes


def test_every_lesson_is_on_the_cheat_sheet():
    from teaching import cheatsheet

    titles = [s.title[:2] for page in cheatsheet.PAGES for s in page]
    assert {n[:2] for n in LESSONS[1:]} <= set(titles)
    assert len(cheatsheet.PAGES) == 2


def test_the_cheat_sheet_is_what_the_script_draws(tmp_path):
    from teaching import cheatsheet

    cheatsheet.write(tmp_path / "again.pdf")
    again = (tmp_path / "again.pdf").read_bytes()
    assert again == cheatsheet.TARGET.read_bytes(), "run: make cheatsheet"
    assert again.count(b"/Type /Page ") + again.count(b"/Type /Page\n") == 2


def test_what_does_not_fit_is_refused():
    from teaching import cheatsheet

    entry = cheatsheet.Entry("wide", "$" + "x+" * 80 + "x$", "", lambda: None)
    page = [cheatsheet.Section("a", [entry]), cheatsheet.Section("b", [])]
    with pytest.raises(cheatsheet.TooFull, match="inches wide"):
        cheatsheet.figure(page, 1)
    many = [cheatsheet.Entry("n", "$x$", "s", lambda: None)] * 40
    page = [cheatsheet.Section("a", many), cheatsheet.Section("b", many)]
    with pytest.raises(cheatsheet.TooFull, match="column"):
        cheatsheet.figure(page, 1)
