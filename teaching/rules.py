"""Which answers use what their exercise asks to do without.

Rules come from the exercise's own words: "not `torch.softmax`", "Do not call
`split_heads`", "No loops", "not numpy". One holds everywhere: an answer calls
no function of the course that the teacher's answer does not call either.

Code is read here and never run, so this finds what stands in it: names,
attributes, imports under other names, and what helpers in the notebook use. Who
makes a name while the code runs is told as such. It is a hint to a teacher, who
decides; no points hang on it.
"""

import ast
import importlib
import re
from dataclasses import dataclass
from functools import cache

import nbformat

from teaching import assignments

HEADER = re.compile(r"^### (Exercise \d+: .+?) \(", re.M)
CHECK = re.compile(r"checks\.\w+\.(\w+)\((\w+)\)")
FORBIDDEN = re.compile(
    r"(?:\b[Dd]o\s+not\s+(?:use|call)|, not|\bwithout)\s+`([\w.]+)`"
)
LOOPS = re.compile(r"\bno\s+loops?\b", re.I)
NUMPY = re.compile(r"\bnot\s+numpy\b")
# What does the same under another name.
SAME = {"softmax": ("softmin", "scaled_dot_product_attention")}
LOOP, HIDDEN = "a loop", "a name that is made while the code runs"
REPEATS = (
    *(ast.For, ast.While, ast.AsyncFor),
    *(ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp),
)


# What an assignment asks for -----------------------------------------------


@dataclass(frozen=True)
class Graded:
    """One graded cell of an assignment."""

    title: str  # of its exercise
    text: str
    answer: str  # the name that the check is called with; "" if written


@dataclass(frozen=True)
class Use:
    """Something that an answer uses, and the line that does."""

    name: str
    line: int
    code: str

    def __str__(self) -> str:
        return f"{self.name}, line {self.line}: {self.code[:100]}"


@cache
def graded(assignment: str) -> dict[str, Graded]:
    """Return the graded cells of an assignment, by their nbgrader names.

    An assignment that the course does not have has none.
    """
    found: dict[str, Graded] = {}
    header = text = ""
    for cell in _source(assignment):
        if cell.cell_type == "markdown" and HEADER.search(cell.source):
            header = HEADER.search(cell.source)[1]
            text = cell.source.split("<details>")[0]  # without its hint
        about = cell.metadata.get("nbgrader", {})
        if about.get("grade"):
            check = CHECK.search(cell.source)
            answer = check[2] if check else ""
            found[about["grade_id"]] = Graded(header, text, answer)
    return found


@cache
def _source(assignment: str) -> list:
    """Return the cells of the teacher's version."""
    folder = assignments.COURSE / "source" / assignment
    if not folder.is_dir():
        return []
    return nbformat.read(folder / f"{assignment}.ipynb", as_version=4).cells


def forbidden(text: str) -> list[str]:
    """Return what an exercise's text asks to do without."""
    names = FORBIDDEN.findall(text)
    names += [LOOP] if LOOPS.search(text) else []
    return names + (["numpy"] if NUMPY.search(text) else [])


@cache
def _allowed(assignment: str) -> frozenset[str]:
    """Return the course's functions that the teacher's answers use."""
    book = Notebook([c.source for c in _source(assignment) if _is_code(c)])
    answers = [about.answer for about in graded(assignment).values()]
    return frozenset(use.name for a in answers for use in book.uses(a))


def _is_code(cell) -> bool:
    return cell.cell_type == "code"


def flags(assignment: str, cells: list[str]) -> dict[str, list[str]]:
    """Return of each graded cell what its answer should not use, with lines.

    Args:
        assignment: ``01_dot_product``.
        cells: the text of a submission's code cells, in order.
    """
    try:
        book = Notebook(cells)
        return {
            check: [str(use) for use in _broken(book, about, assignment)]
            for check, about in graded(assignment).items()
            if about.answer
        }
    except RecursionError:
        return {check: ["too deep to be read"] for check in graded(assignment)}


def _broken(book: "Notebook", about: Graded, assignment: str) -> list[Use]:
    """Return the uses that break a rule; one for each name."""
    names = forbidden(about.text)
    found: dict[str, Use] = {}
    for use in book.uses(about.answer):
        own = use.name not in _allowed(assignment) and _is_ours(use.name)
        if own or use.name == HIDDEN or any(_means(use, n) for n in names):
            found.setdefault(use.name, use)
    return list(found.values())


def _means(use: Use, name: str) -> bool:
    """Say whether a use is what a rule names, in any of its forms."""
    if name in (LOOP, "numpy"):
        return use.name.split(".")[0] == name
    last, short = use.name.split(".")[-1], name.split(".")[-1]
    form = rf"(log|gumbel)?_?{short}(2d)?_?"
    return bool(re.fullmatch(form, last, re.I)) or last.lower() in SAME.get(
        short, ()
    )


def _is_ours(name: str) -> bool:
    """Say whether a dotted name is a function or a class of the course."""
    if not name.startswith("attn_course.") or "__" in name:
        return False
    module, _, attribute = name.rpartition(".")
    try:
        thing = importlib.import_module(module)
    except ImportError:
        return _is_ours(module)  # an attribute of a class, say
    return callable(getattr(thing, attribute, None))


# Reading code --------------------------------------------------------------


class Notebook:
    """The code cells of a notebook, read as a whole."""

    def __init__(self, cells: list[str]) -> None:
        self.rows: list[tuple[ast.stmt, list[str]]] = []
        for source in cells:
            try:
                tree = ast.parse(source)
            except (SyntaxError, ValueError, MemoryError):
                continue  # it does not run either
            lines = source.splitlines()
            self.rows += [(node, lines) for node in tree.body]
        self.given = [_given(node) for node, _ in self.rows]
        self.names: dict[str, str] = {}  # what a name stands for, in full
        for node, _ in self.rows:
            for inner in ast.walk(node):
                self._learn(inner)

    def _learn(self, node: ast.AST) -> None:
        """Note what an import, or another name for a module, stands for."""
        if isinstance(node, ast.Import):
            for alias in node.names:
                root = alias.name.split(".")[0]
                known = (alias.asname, alias.name) if alias.asname else (root,)
                self.names[known[0]] = known[-1]
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                if alias.name == "*":
                    self.names |= _public(node.module)
                else:
                    full = f"{node.module}.{alias.name}"
                    self.names[alias.asname or alias.name] = full
        elif isinstance(node, ast.Assign):
            full = self.dotted(node.value)
            for target in node.targets:
                if isinstance(target, ast.Name) and full[:1] not in ("", "."):
                    self.names[target.id] = full

    def dotted(self, node: ast.AST) -> str:
        """Return what an expression names: ``torch.softmax``, ``.softmax``.

        A method of something unknown begins with the dot; what is no name at
        all is empty.
        """
        if isinstance(node, ast.Name):
            return self.names.get(node.id, "")
        if isinstance(node, ast.Attribute):
            return f"{self.dotted(node.value)}.{node.attr}"
        if isinstance(node, ast.Subscript):  # vars(torch)["softmax"]
            key, inner = node.slice, node.value
            if isinstance(inner, ast.Attribute) and inner.attr == "__dict__":
                return _joined(self.dotted(inner.value), key)
            if _calls(inner, "vars"):
                return _joined(self.dotted(inner.args[0]), key)
        if _calls(node, "getattr") and len(node.args) > 1:
            return _joined(self.dotted(node.args[0]), node.args[1])
        if _calls(node, "__import__", "import_module"):
            return _joined("", node.args[0])[1:]
        return ""

    def uses(self, answer: str) -> list[Use]:
        """Return what an answer uses, it and the helpers that it calls."""
        found = []
        for node, lines in self._reached(answer):
            own = _local(node)
            for inner in ast.walk(node):
                name = self._used(inner)
                if isinstance(inner, ast.Name) and inner.id in own:
                    continue  # a variable that happens to be called so
                if name:
                    line = inner.lineno
                    found.append(Use(name, line, lines[line - 1].strip()))
        return found

    def _used(self, node: ast.AST) -> str:
        """Return what one piece of code uses, or nothing."""
        if isinstance(node, REPEATS):
            return LOOP
        if _calls(node, "exec", "eval", "compile"):
            return HIDDEN
        if _calls(node, "getattr", "__import__", "import_module"):
            return self.dotted(node) or HIDDEN
        if isinstance(node, (ast.Name, ast.Attribute, ast.Subscript)):
            return self.dotted(node)
        return ""

    def _reached(self, answer: str) -> list[tuple[ast.stmt, list[str]]]:
        """Return the statements that make an answer, following names back.

        In a function a name is looked up when it is called: its last value
        counts. Elsewhere it is the last one before.
        """
        found: set[int] = set()
        waiting = [(answer, len(self.rows))]
        while waiting:
            name, before = waiting.pop()
            places = [n for n in range(before) if name in self.given[n]]
            if not places or places[-1] in found:
                continue
            found.add(places[-1])
            node, _ = self.rows[places[-1]]
            is_function = isinstance(node, ast.FunctionDef)
            end = len(self.rows) if is_function else places[-1]
            inside = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
            inside -= _local(node) | ({name} if is_function else set())
            waiting += [(other, end) for other in sorted(inside)]
        return [self.rows[place] for place in sorted(found)]


def _given(node: ast.stmt) -> set[str]:
    """Return the names that a statement gives to what follows it."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return {node.name}
    return {n.id for n in ast.walk(node) if _is_stored(n)}


def _local(node: ast.stmt) -> set[str]:
    """Return the names that mean something only inside a statement."""
    own: set[str] = set()
    for inner in ast.walk(node):
        if isinstance(inner, ast.arg):
            own.add(inner.arg)
        elif isinstance(inner, (ast.FunctionDef, ast.comprehension)):
            own |= {n.id for n in ast.walk(inner) if _is_stored(n)}
    return own


def _is_stored(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)


def _public(module: str) -> dict[str, str]:
    """Return what `from module import *` brings, of torch and the course."""
    if module.split(".")[0] not in ("torch", "attn_course"):
        return {}
    try:
        names = vars(importlib.import_module(module))
    except ImportError:
        return {}
    return {n: f"{module}.{n}" for n in names if not n.startswith("_")}


def _calls(node: ast.AST, *names: str) -> bool:
    """Say whether a node calls one of these functions, with arguments."""
    if not (isinstance(node, ast.Call) and node.args):
        return False
    called = getattr(node.func, "attr", getattr(node.func, "id", ""))
    return called in names


def _joined(base: str, key: ast.AST) -> str:
    """Return a name with an attribute that is written down, or nothing."""
    if isinstance(key, ast.Constant) and isinstance(key.value, str):
        return f"{base}.{key.value}"
    return ""
