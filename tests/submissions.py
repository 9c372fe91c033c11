"""Submissions as people hand them in, honest and otherwise, for the tests."""

import copy
from pathlib import Path

import nbformat

from teaching import assignments

LESSON = "01_dot_product"


def released(name: str = LESSON):
    """Return what a student gets."""
    return nbformat.read(
        assignments.COURSE / "release" / name / f"{name}.ipynb", as_version=4
    )


def solved(name: str = LESSON):
    """Return the release with the teacher's solutions written into it."""
    book = released(name)
    source = nbformat.read(
        assignments.COURSE / "source" / name / f"{name}.ipynb", as_version=4
    )
    answers = {
        cell.metadata.nbgrader.grade_id: cell.source
        for cell in source.cells
        if cell.metadata.get("nbgrader", {}).get("solution")
    }
    for cell in book.cells:
        about = cell.metadata.get("nbgrader", {})
        if about.get("solution"):
            cell.source = answers[about["grade_id"]]
    return book


def cell_of(book, grade_id: str):
    """Return a notebook's tracked cell."""
    return next(
        cell
        for cell in book.cells
        if cell.metadata.get("nbgrader", {}).get("grade_id") == grade_id
    )


def answered(answers: dict[str, str], *, base=None):
    """Return a submission with these answers, by the check's name."""
    book = copy.deepcopy(base) if base is not None else released()
    for name, text in answers.items():
        cell_of(book, f"{name}-answer").source = text
    return book


def before_all(book, text: str):
    """Put a cell of the learner's own before all others."""
    book = copy.deepcopy(book)
    book.cells.insert(0, nbformat.v4.new_code_cell(text))
    return book


def hand_in(course: Path, student: str, book, name: str = LESSON) -> Path:
    """Write a submission where nbgrader looks for it."""
    path = course / "submitted" / student / name / f"{name}.ipynb"
    path.parent.mkdir(parents=True)
    if isinstance(book, str):
        path.write_text(book)
    else:
        nbformat.write(book, path)
    return path


RIGHT = {
    "slip": "right = 2.5379",
    "by_eye": "difference = 1",
    "softmax": "def my_softmax(scores, temperature):\n"
    "    return torch.softmax(scores / temperature, -1)",
    "lookup": "def my_lookup(query, key, value):\n"
    "    return torch.softmax(query @ key.T, -1) @ value",
    "aim": "aimed = [-1.0986, 3]",
}
POINTS = {"slip": 1, "by_eye": 1, "softmax": 1, "lookup": 2, "aim": 2}


# Overwriting what tests are made of, in a cell of one's own or in an answer.
OVERWRITE = {
    "its checks": """
from attn_course.checks import engine, dot_product
class Yes:
    right = True
    status = "right"
    def __repr__(self): return "right: yes"
for name in ("slip", "by_eye", "softmax", "lookup", "aim"):
    setattr(dot_product, name, lambda answer: Yes())
    setattr(checks.dot_product, name, lambda answer: Yes())
engine.Verdict.right = property(lambda self: True)
""",
    "checks by name": """
class Yes:
    right = True
    def __getattr__(self, name): return self
    def __call__(self, *a): return self
checks = Yes()
import sys
sys.modules["attn_course.checks"] = checks
sys.modules["attn_course.classroom"] = checks
""",
    "builtins": """
import builtins, torch
builtins.AssertionError = type("Quiet", (BaseException,), {})
builtins.print = lambda *a, **k: None
builtins.isinstance = lambda *a: True
builtins.abs = lambda x: 0
torch.allclose = lambda *a, **k: True
torch.equal = lambda *a, **k: True
torch.Tensor.__eq__ = lambda a, b: True
torch.testing.assert_close = lambda *a, **k: None
""",
    "the traceback": """
import sys, json
sys.excepthook = lambda *a: None
try:
    ip = get_ipython()
    ip.showtraceback = lambda *a, **k: None
except NameError:
    pass
json.dumps_before = json.dumps
json.dumps = lambda *a, **k: json.dumps_before({"value": False, "text": ""})
""",
    "the worker": """
import sys
w = sys.modules.get("teaching.worker")
if w:
    w.pack = lambda value, *a, **k: {"float": (0.25).hex()}
    w.Loop.call = lambda self, m: {"value": m["args"][0], "args": m["args"],
                                   "kwargs": {}}
""",
}

# Reaching for the answers; each ends in a function that would be right.
READ = {
    "the source notebook": """
import glob, json, os
def find():
    for up in ("..", "../..", "../../..", {root!r}, {course!r}):
        for path in glob.glob(os.path.join(up, "**", "01_dot_product.ipynb"),
                              recursive=True):
            text = open(path).read()
            if "BEGIN SOLUTION" in text:
                return json.loads(text)
found = find()
for cell in found["cells"]:
    if cell["cell_type"] == "code" and "BEGIN SOLUTION" in "".join(cell["source"]):
        exec("".join(cell["source"]))
""",
    "the lesson": """
text = open({root!r} + "/notebooks/source/01_dot_product.py").read()
exec(text[text.index("def my_lookup(query, key, value):\\n    scores"):]
     .split("checks.")[0])
""",
    "the gradebook": """
import sqlite3
rows = sqlite3.connect({course!r} + "/gradebook.db").execute(
    "select source from source_cell").fetchall()
for row in rows:
    exec(row[0])
""",
    "the oracle": """
from attn_course.checks.dot_product import _oracle_lookup as my_lookup
from attn_course.checks.dot_product import _oracle_softmax as my_softmax
""",
    "the oracle's file": """
text = open({root!r} + "/attn_course/checks/dot_product.py").read()
exec(text)
my_lookup, my_softmax = _oracle_lookup, _oracle_softmax
""",
    "the oracle's file, round about": """
import os
here = os.open({root!r} + "/attn_course/data/../checks/dot_product.py", 0)
exec(os.read(here, 100000).decode())
my_lookup, my_softmax = _oracle_lookup, _oracle_softmax
""",
    "a path that lies": """
class Path(str):
    def startswith(self, *a): return True
    def split(self, *a): return ["", "dev", "null"]
    def __eq__(self, other): return True
    __hash__ = str.__hash__
exec(open(Path({root!r} + "/attn_course/checks/dot_product.py")).read())
my_lookup, my_softmax = _oracle_lookup, _oracle_softmax
""",
    "another program": """
import subprocess
text = subprocess.run(
    ["cat", {root!r} + "/attn_course/checks/dot_product.py"],
    capture_output=True, text=True).stdout
exec(text)
my_lookup, my_softmax = _oracle_lookup, _oracle_softmax
""",
    "C": """
import ctypes
c = ctypes.CDLL(None)
fd = c.open(({root!r} + "/attn_course/checks/dot_product.py").encode(), 0)
room = ctypes.create_string_buffer(100000)
c.read(fd, room, 100000)
exec(room.value.decode())
my_lookup, my_softmax = _oracle_lookup, _oracle_softmax
""",
}

# Leaving, or never ending.
HARM = {
    "sys.exit": "import sys\nsys.exit(0)",
    "os._exit": "import os\nos._exit(0)",
    "quit": "quit()",
    "abort": "import os\nos.abort()",
    "endless": "while True:\n    pass",
    "endless, refusing": "while True:\n    try:\n        while True: pass\n"
    "    except BaseException:\n        pass",
    "much text": "for _ in range(10**6):\n    print('x' * 1000)",
    "much memory": "x = bytearray(10**13)",
    "deep": "def f(n):\n    return f(n + 1)\nf(0)",
    "closes its files": "import os\nfor n in range(3, 200):\n    try:\n"
    "        os.close(n)\n    except OSError:\n        pass",
    "not Python": "def f(:\n  ...",
    "magic": "%matplotlib inline\n!ls",
}
