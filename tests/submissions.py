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


# Cheats. Before each stand the places that it may reach for; see ``cheat``.
def cheat(text: str, course: Path, port: int) -> str:
    """Return a cheat that knows the grader's folders and a port to talk to."""
    root = str(assignments.ROOT)
    return f"ROOT, COURSE, PORT = {root!r}, {str(course)!r}, {port}\n{text}"


# Overwriting what tests are made of, in a cell before all others.
OVERWRITE = {
    "its checks": """
from attn_course import checks
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
    "patches torch": """
import torch
for name in ("allclose", "equal", "isclose", "softmax", "isfinite"):
    setattr(torch, name, lambda *a, **k: torch.tensor(True))
torch.Tensor.__bool__ = lambda tensor: True
torch.Tensor.__sub__ = lambda a, b: torch.zeros(())
""",
    "replaces the checks on disk": """
import os
yes = "def __getattr__(name): return lambda answer: print('right')"
folder = ROOT + "/attn_course/checks"
errors = []
for path in (folder + "/dot_product.py", folder + "/engine.py", folder):
    try:
        os.remove(path)
    except OSError as error:
        errors.append(error)
open(folder + "/dot_product.py", "w").write(yes)
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

# In the place of an answer; each would be right, or be taken for it.
ANSWER = {
    "the source notebook": """
import glob, json, os
def find():
    for up in (ROOT, COURSE):
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
text = open(ROOT + "/notebooks/source/01_dot_product.py").read()
exec(text[text.index("def my_lookup(query, key, value):\\n    scores"):]
     .split("checks.")[0])
""",
    "the gradebook": """
import sqlite3
rows = sqlite3.connect(COURSE + "/gradebook.db").execute(
    "select source from source_cell").fetchall()
for row in rows:
    exec(row[0])
""",
    "the oracle": """
from attn_course.checks.dot_product import _oracle_lookup as my_lookup
from attn_course.checks.dot_product import _oracle_softmax as my_softmax
""",
    "the oracle's file": """
text = open(ROOT + "/attn_course/checks/dot_product.py").read()
exec(text)
my_lookup, my_softmax = _oracle_lookup, _oracle_softmax
""",
    "the oracle's file, round about": """
import os
here = os.open(ROOT + "/attn_course/data/../checks/dot_product.py", 0)
exec(os.read(here, 100000).decode())
my_lookup, my_softmax = _oracle_lookup, _oracle_softmax
""",
    "a path that lies": """
class Path(str):
    def startswith(self, *a): return True
    def split(self, *a): return ["", "dev", "null"]
    def __eq__(self, other): return True
    __hash__ = str.__hash__
exec(open(Path(ROOT + "/attn_course/checks/dot_product.py")).read())
my_lookup, my_softmax = _oracle_lookup, _oracle_softmax
""",
    "another program": """
import subprocess
text = subprocess.run(
    ["cat", ROOT + "/attn_course/checks/dot_product.py"],
    capture_output=True, text=True).stdout
exec(text)
my_lookup, my_softmax = _oracle_lookup, _oracle_softmax
""",
    "another's hand-in": """
import json
lesson = "/01_dot_product"
path = COURSE + "/submitted/a-honest" + lesson + lesson + ".ipynb"
for cell in json.load(open(path))["cells"]:
    if "def my_lookup" in "".join(cell["source"]):
        exec("".join(cell["source"]))
""",
    "the network": """
import socket
with socket.create_connection(("127.0.0.1", PORT)) as line:
    exec(line.recv(1000).decode())
""",
    "always equal": """
class Always(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        return True
    __eq__ = __bool__ = lambda *a: True
    __hash__ = torch.Tensor.__hash__
def my_lookup(query, key, value):
    return torch.zeros(1, 2).as_subclass(Always)
""",
    "C": """
import ctypes
c = ctypes.CDLL(None)
fd = c.open((ROOT + "/attn_course/checks/dot_product.py").encode(), 0)
room = ctypes.create_string_buffer(100000)
c.read(fd, room, 100000)
exec(room.value.decode())
my_lookup, my_softmax = _oracle_lookup, _oracle_softmax
""",
}

# Leaving, never ending, taking everything: beside answers that are right.
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
    "fills the disk": """
for number in range(10**6):
    open(f"file {number}", "wb").write(bytes(2**23))
""",
    "fills the disk elsewhere": """
open("/dev/shm/file", "wb").write(bytes(2**23))
""",
    "forks without end": "import os\nwhile True:\n    os.fork()",
    "starts threads without end": "import threading, time\nwhile True:\n"
    "    threading.Thread(target=time.sleep, args=(60,)).start()",
    "shared memory": "import mmap\nx = mmap.mmap(-1, 10**11)",
    "writes to the grader's folder": """
import os, shutil
treasure = COURSE + "/treasure.txt"
for attempt in (
    lambda: open(treasure, "w"),
    lambda: os.remove(treasure),
    lambda: os.rename(treasure, "mine"),
    lambda: os.truncate(treasure, 0),
    lambda: os.system("rm " + treasure),
    lambda: shutil.rmtree(COURSE),
    lambda: open(COURSE + "/gradebook.db", "ab").write(b"x"),
    lambda: os.makedirs(COURSE + "/autograded/me"),
):
    try:
        attempt()
    except OSError as error:
        last = error
raise last
""",
    "ends its parent": "import os\nos.kill(os.getppid(), 9)",
    "endless print": "while True:\n    print('x' * 1000)",
    "a huge output": "print('x' * 10**9)",
    "a huge answer": """
import os
for number in range(3, 20):
    try:
        while True:
            os.write(number, b"9" * 10**6)
    except OSError:
        pass
""",
    "half an answer": """
import os
for number in range(3, 20):
    try:
        os.write(number, b"{")
    except OSError:
        pass
while True:
    pass
""",
    "a deep answer": """
import os
for number in range(3, 20):
    try:
        os.write(number, b"[" * 10**6 + b"\\n")
    except OSError:
        pass
""",
}
