"""Build the notebooks from their text sources, and check that all agree.

``python -m attn_course.notebooks build [NN ...]`` executes each lesson whose
source, or a module that it uses, has changed. ``mark`` executes nothing: it
writes anew what stands around the code of built notebooks (text, tags, the
types of slides). ``check`` runs nothing: it compares source, notebook, module,
tests and README, and counts the house rules of CONTRIBUTING.md.
"""

import argparse
import ast
import hashlib
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "notebooks"
PACKAGE = ROOT / "attn_course"

NAME = re.compile(r"\d\d_[a-z0-9_]+")
IGNORED = "nbval-ignore-output"
WIDGET = "application/vnd.jupyter.widget-view+json"
METADATA = {
    "kernelspec": {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    },
    "language_info": {"name": "python", "file_extension": ".py"},
    "rise": {"scroll": True},  # a live slide that is too tall scrolls
}


class BuildError(RuntimeError):
    """A lesson could not be built; the message says where and why."""


# Reading -------------------------------------------------------------------


def lessons(folder: Path = FOLDER) -> list[str]:
    """Return the names ``NN_slug`` of all lessons, in order."""
    return sorted(p.stem for p in (folder / "source").glob("[0-9]*.py"))


def read_source(name: str, folder: Path = FOLDER):
    """Read a lesson's text source as a notebook that is not yet executed.

    Cell ids come from the cell's text, so that a cell keeps its id when
    others are added or moved around it.

    Raises:
        ValueError: if there is no such lesson.
    """
    import jupytext

    path = folder / "source" / f"{name}.py"
    if not path.exists():
        raise ValueError(
            f"lesson: expected one of {lessons(folder)}, got {name!r}"
        )
    notebook = jupytext.reads(path.read_text("utf-8"), fmt="py:percent")
    notebook.metadata = dict(METADATA)
    seen: set[str] = set()
    for cell in notebook.cells:
        number = 0
        while not number or cell["id"] in seen:
            text = f"{cell.cell_type}|{number}|{cell.source}"
            digest = hashlib.sha256(text.encode()).hexdigest()
            cell["id"] = f"{name[:2]}-{digest[:10]}"
            number += 1
        seen.add(cell["id"])
        if "solution" in cell.metadata.get("tags", []):
            cell.metadata["jupyter"] = {
                "source_hidden": True,
                "outputs_hidden": True,
            }
    for cell, kind in zip(notebook.cells, slide_types(notebook.cells)):
        cell.metadata["slideshow"] = {"slide_type": kind}
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


DRAWS = re.compile(
    r"\bplotting\.|\bviews?\.|\bwidgets?\.|\bAudio\(|\bshow\w*\("
)
SCREEN = 18  # lines of text and code that a slide holds, with their outputs


def slide_types(cells) -> list[str]:
    """Return each cell's part in a talk, by its text alone.

    A section begins a slide. What follows appears under it step by step while
    there is room, then on slides below it; so does code that draws. Set-up
    and solutions are left out, hints and answers are the speaker's notes.
    """
    kinds: list[str] = []
    room = 0
    for cell in cells:
        text, kind = cell.source, "fragment"
        lines = sum(1 + len(line) // 80 for line in text.splitlines())
        if cell.cell_type == "code":
            lines += 3  # a guess at what it prints
            draws = DRAWS.search(text)
            if "solution" in cell.metadata.get("tags", []):
                kind = "skip"
            elif "session.start(" in text:
                kind = "skip"
            elif draws or lines > room:
                kind = "subslide"
                lines = SCREEN if draws else lines
        elif re.search(r"^#{1,2} ", text, re.M):
            kind = "slide"
        elif re.search(r"^### ", text, re.M):
            kind = "subslide"
        elif "<details>" in text:
            kind = "notes"
        elif lines > room:
            kind = "subslide"
        if kind in ("slide", "subslide"):
            room = SCREEN - lines
        elif kind == "fragment":
            room -= lines
        kinds.append(kind)
    return kinds


def read_notebook(name: str, folder: Path = FOLDER):
    """Read a lesson's executed notebook.

    Raises:
        FileNotFoundError: if it was not built yet.
    """
    import nbformat

    return nbformat.read(folder / f"{name}.ipynb", as_version=4)


def inputs(name: str, folder: Path = FOLDER) -> str:
    """Return a digest of all that a lesson's outputs are made from.

    That is its code cells (not its text), its checks and widgets, and every
    module of the course that these import, directly or through others.
    """
    slug = name[3:]
    source = folder / "source" / f"{name}.py"
    waiting = _imported(source) + sorted(PACKAGE.glob(f"*/{slug}.*"))
    found: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path in found or not path.is_file():
            continue
        found.add(path)
        if path.suffix == ".py":
            waiting += _imported(path)
    digest = hashlib.sha256()
    for cell in read_source(name, folder).cells:
        if cell.cell_type == "code":
            digest.update(cell.source.encode() + b"\0")
    for path in sorted(found):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _imported(path: Path) -> list[Path]:
    """Return the files of the course's modules that a file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    files = []
    for name in names:
        if name.startswith("attn_course."):
            place = PACKAGE.joinpath(*name.split(".")[1:])
            files += [place.with_suffix(".py"), place / "__init__.py"]
    return files


# Building ------------------------------------------------------------------


def build(
    name: str,
    folder: Path = FOLDER,
    *,
    force: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> bool:
    """Execute a lesson and write its notebook, if anything has changed.

    The kernel starts in an empty folder, so a lesson cannot depend on where
    it is run. The notebook is replaced only when all cells have run. If only
    text has changed, the outputs are kept and nothing is executed.

    Returns:
        Whether it was written (False: nothing had changed).

    Raises:
        BuildError: if a cell raises; the message names the lesson, the cell,
            the line of the source, and the error.
        ValueError: if there is no such lesson.
    """
    notebook = read_source(name, folder)
    target = folder / f"{name}.ipynb"
    digest = inputs(name, folder)
    old = read_notebook(name, folder) if target.exists() else None
    made_from = old.metadata.get("attn_course", {}) if old else {}
    if made_from.get("inputs") == digest and not force:
        if not same_cells(name, folder):
            return False
        _keep_outputs(notebook, old)
    else:
        _execute(notebook, name, folder, say)
    notebook.metadata = {**METADATA, "attn_course": {"inputs": digest}}
    _write(notebook, name, folder)
    return True


def _write(notebook, name: str, folder: Path) -> None:
    """Replace a notebook's file, all or nothing."""
    import nbformat

    _tidy(notebook)
    nbformat.validate(notebook)
    text = nbformat.writes(notebook).rstrip("\n") + "\n"
    handle, draft = tempfile.mkstemp(dir=folder, suffix=".draft")
    try:
        with open(handle, "w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
        os.chmod(draft, 0o644)
        os.replace(draft, folder / f"{name}.ipynb")
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


def mark(name: str, folder: Path = FOLDER) -> bool:
    """Write a built notebook's text, tags and types of slides anew.

    Nothing is executed, and what the outputs were made from stays noted as it
    was: ``build`` still knows whether it has to run the lesson.

    Returns:
        Whether it was written (False: nothing had changed).

    Raises:
        BuildError: if the code has changed since the lesson was built.
    """
    notebook = read_source(name, folder)
    if not (folder / f"{name}.ipynb").exists():
        raise BuildError(f"{name}: not built yet")
    old = read_notebook(name, folder)
    metadata = {**old.metadata, **METADATA}
    if not same_cells(name, folder) and metadata == old.metadata:
        return False
    code, done = (
        [c.source for c in book.cells if c.cell_type == "code"]
        for book in (notebook, old)
    )
    if code != done:
        raise BuildError(f"{name}: its code has changed; build it")
    _keep_outputs(notebook, old)
    notebook.metadata.update(metadata)
    _write(notebook, name, folder)
    return True


def _keep_outputs(notebook, old) -> None:
    """Give code cells that have not changed the outputs they had."""
    done = [c for c in old.cells if c.cell_type == "code"]
    new = [c for c in notebook.cells if c.cell_type == "code"]
    for cell, before in zip(new, done, strict=True):
        cell.outputs = before.outputs
        cell.execution_count = before.execution_count


def _execute(notebook, name: str, folder: Path, say) -> None:
    """Run all cells in a fresh kernel in an empty folder."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    code = [c for c in notebook.cells if c.cell_type == "code"]
    done = 0

    def started(cell, cell_index) -> None:
        nonlocal done
        if cell.cell_type == "code":
            done += 1
            say(f"{name}: cell {done} of {len(code)}")

    environment = {k: v for k, v in os.environ.items() if k != "ATTN_QUICK"}
    with tempfile.TemporaryDirectory() as empty:
        client = NotebookClient(
            notebook,
            timeout=None,
            kernel_name="python3",
            resources={"metadata": {"path": empty}},
            store_widget_state=False,
            coalesce_streams=True,
            record_timing=False,
            on_cell_start=started,
        )
        try:
            client.execute(env=environment)
        except CellExecutionError as error:
            raise BuildError(
                _where(notebook, code[done - 1], name, folder)
                + f"{error.ename}: {error.evalue}"
            ) from None
        except (DeadKernelError, AssertionError):  # both mean it is gone
            raise BuildError(
                _where(notebook, code[done - 1], name, folder)
                + "the kernel died"
            ) from None


def _where(notebook, cell, name: str, folder: Path) -> str:
    """Name the lesson, the cell, and the line in the text source."""
    number = [c for c in notebook.cells if c.cell_type == "code"].index(cell)
    inside = 1
    for output in cell.outputs:
        if output.output_type == "error":
            text = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(output.traceback))
            # The learner's own frame is the first one that names a cell.
            found = re.search(
                r"Cell In\[\d+\], line (\d+)|In\[\d+\], line (\d+)", text
            )
            found = found or re.search(r"-+> (\d+) ", text)
            if found:
                inside = int(next(g for g in found.groups() if g))
    text = (folder / "source" / f"{name}.py").read_text("utf-8")
    start = text.find(cell.source)
    line = text.count("\n", 0, start) + inside if start >= 0 else 0
    shown = cell.source.splitlines()[inside - 1 : inside]
    return (
        f"{name}, code cell {number + 1}, line {inside} "
        f"(notebooks/source/{name}.py, line {line})\n"
        f"    {''.join(shown).strip()}\n"
    )


def _tidy(notebook) -> None:
    """Leave out what differs from run to run and no reader needs."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type != "code":
            continue
        for output in cell.outputs:
            output.get("data", {}).pop(WIDGET, None)
            if "metadata" in output:
                output.metadata = {}


# Checking ------------------------------------------------------------------

ADDRESS = re.compile(r"0x[0-9a-f]{6,}")
FILE_PATH = re.compile(r"(?:^|[\s'\"(])(?:/[\w.~-]+){2,}|[A-Z]:\\|\\Users\\")
CLOCK = re.compile(
    r"\b\d{1,2}:\d{2}(:\d{2})?\b|\b\d+(\.\d+)? ?(ms|µs|seconds)\b"
)
VERSION = re.compile(r"\b\d+\.\d+\.\d+\b|\+cpu\b|\+cu\d+")
DEVICE = re.compile(r"\bcuda(:\d)?\b|device='|\bmps:\d\b")
NOISE = [
    ("an address", ADDRESS),
    ("a path", FILE_PATH),
    ("a time", CLOCK),
    ("a version", VERSION),
    ("a device", DEVICE),
    ("a grad_fn", re.compile("grad_fn|requires_grad=True")),
    ("a warning", re.compile(r"\w*Warning\b")),
]


def check(folder: Path = FOLDER) -> list[str]:
    """Return every way in which the lessons break the rules, one a line."""
    problems = agreement(folder)
    for name in lessons(folder):
        if not (folder / f"{name}.ipynb").exists():
            continue  # said by agreement
        for rule in RULES:
            problems += [f"{name}: {said}" for said in rule(name, folder)]
    return problems


def agreement(folder: Path = FOLDER) -> list[str]:
    """Each lesson has source, notebook, module, tests and a README row."""
    root = folder.parent
    names = lessons(folder)
    readme = (root / "README.md").read_text("utf-8")
    rows = re.findall(
        r"^\| \[(\d\d_[a-z0-9_]+)\]\(notebooks/\1\.ipynb\)", readme, re.M
    )
    places = {
        "notebooks": sorted(p.stem for p in folder.glob("*.ipynb")),
        "the README's table": rows,
    }
    problems = []
    for place, found in places.items():
        problems += [
            f"{n}: missing in {place}" for n in names if n not in found
        ]
        problems += [
            f"{n}: stands in {place}, but has no source"
            for n in found
            if n not in names
        ]
    if [r for r in rows if r in names] != [n for n in names if n in rows]:
        problems.append("README: the lessons are not in order")
    for name in names:
        slug = name[3:]
        module, tests = f"attn_course/{slug}.py", f"tests/test_{slug}.py"
        package = f"attn_course/{slug}/__init__.py"
        if not any((root / path).exists() for path in (module, package)):
            problems.append(f"{name}: missing {module}")
        if not (root / tests).exists():
            problems.append(f"{name}: missing {tests}")
    return problems


def same_cells(name: str, folder: Path = FOLDER) -> list[str]:
    """The notebook has the cells of its source: text, order, ids, tags."""
    source = read_source(name, folder).cells
    built = read_notebook(name, folder).cells
    said = []
    if len(source) != len(built):
        said.append(
            f"the source has {len(source)} cells, the notebook {len(built)}"
        )
    for number, (one, other) in enumerate(zip(source, built)):
        parts = ("cell_type", "source", "id", "metadata")
        differs = [part for part in parts if one[part] != other[part]]
        if differs:
            said.append(f"cell {number}: its {differs[0]} is not the source's")
            break  # those after it may only have moved
    if said:
        said.append(f"run: python -m attn_course.notebooks build {name[:2]}")
    return said


def executed(name: str, folder: Path = FOLDER) -> list[str]:
    """Every code cell was run, in order, in one fresh kernel."""
    counts = [c.execution_count for c in _code(name, folder)]
    wanted = list(range(1, len(counts) + 1))
    return [] if counts == wanted else [f"executed in the order {counts}"]


def clean_outputs(name: str, folder: Path = FOLDER) -> list[str]:
    """No error, no stderr, and nothing that differs from run to run."""
    said = []
    for number, cell in enumerate(_code(name, folder), 1):
        for output in cell.outputs:
            if output.output_type == "error":
                said.append(f"code cell {number}: error {output.ename}")
            if output.get("name") == "stderr":
                said.append(f"code cell {number}: writes to stderr")
            if _ignored(cell):
                continue
            text = _text(output)
            for what, pattern in NOISE:
                if found := pattern.search(text):
                    said.append(
                        f"code cell {number}: {what} in a compared output: "
                        f"{found.group().strip()!r}"
                    )
    return said


def alt_texts(name: str, folder: Path = FOLDER) -> list[str]:
    """Every picture, in text or output, says in words what it shows."""
    said = []
    for number, cell in enumerate(read_notebook(name, folder).cells):
        alts = []
        if cell.cell_type == "markdown":
            alts += re.findall(r"!\[([^\]]*)\]\(", cell.source)
            alts += _img_alts(cell.source)
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if {"image/png", "image/svg+xml", "image/jpeg"} & set(data):
                said.append(f"cell {number}: a picture without plotting.show")
            alts += _img_alts(data.get("text/html", ""))
        said += [
            f"cell {number}: a picture with the alt text {alt!r}"
            for alt in alts
            if len(alt.split()) < 3
        ]
    return said


def house_rules(name: str, folder: Path = FOLDER) -> list[str]:
    """The rules of style that can be counted."""
    cells = read_notebook(name, folder).cells
    texts = [c.source for c in cells if c.cell_type == "markdown"]
    codes = [c.source for c in cells if c.cell_type == "code"]
    said = _skeleton("\n\n".join(texts), cells)
    lengths = sorted(len(code.splitlines()) for code in codes)
    if not 2 <= statistics.median(lengths) <= 7:
        said.append(f"median code cell: {statistics.median(lengths)} lines")
    if lengths[-1] > 30:
        said.append(f"a code cell of {lengths[-1]} lines (30 at most)")
    short = sum(n < 20 for n in lengths)
    if short < 0.9 * len(lengths):
        said.append(
            f"only {short} of {len(lengths)} code cells under 20 lines"
        )
    for number, cell in enumerate(cells):
        lines = cell.source.splitlines()
        if cell.cell_type == "code":
            longest = max(map(len, lines), default=0)
            if longest > 79:
                said.append(f"cell {number}: a line of {longest} characters")
        elif "### Question" in cell.source:
            continue  # a question with its explained choices
        elif (words := _words(cell.source)) > 100:
            said.append(f"cell {number}: {words} words (100 at most)")
    after = sum(
        a.cell_type == b.cell_type == "code" for a, b in zip(cells, cells[1:])
    )
    if after > len(codes) / 3:
        said.append(f"{after} code cells follow a code cell directly")
    return said


def compared(name: str, folder: Path = FOLDER) -> list[str]:
    """At least 85 % of cells with output are compared; the others assert."""
    strict, shown = strict_share(name, folder)
    said = []
    if strict < 0.85 * shown:
        said.append(f"only {strict} of {shown} outputs are compared")
    for number, cell in enumerate(_code(name, folder), 1):
        if _ignored(cell) and not re.search(r"\bassert", cell.source):
            said.append(f"code cell {number}: ignored, but asserts nothing")
    return said


def strict_share(name: str, folder: Path = FOLDER) -> tuple[int, int]:
    """Count the cells with output that nbval compares, and all with output."""
    shown = [c for c in _code(name, folder) if c.outputs]
    return sum(not _ignored(c) for c in shown), len(shown)


RULES = [same_cells, executed, clean_outputs, alt_texts, house_rules, compared]


def _skeleton(text: str, cells) -> list[str]:
    """Look for the parts that every lesson has."""
    said = []
    title = cells[0].source.splitlines()[0]
    if not (title.startswith("# ") and title.endswith("?")):
        said.append(f"the title is not a question: {title!r}")
    wanted = {
        "what the learner will be able to do": r"you will be able to",
        "minutes": r"\*\*Minutes",
        "needs": r"\*\*Needs",
        "## Summary": r"^## Summary",
        "## Exercises": r"^## Exercises",
        "## Next": r"^## (Next|Where to go next)",
    }
    for part, pattern in wanted.items():
        if not re.search(pattern, text, re.M | re.I):
            said.append(f"no {part}")
    exercises = re.findall(r"^### Exercise \d+", text, re.M)
    if len(exercises) < 3:
        said.append(f"{len(exercises)} exercises (3 at least)")
    marked = re.findall(
        r"^### Exercise \d+.*\(\d+ min.*, (easy|medium|hard)\)", text, re.M
    )
    if len(marked) != len(exercises):
        said.append("an exercise without minutes and difficulty")
    if text.count("<details>") < len(exercises) - 1:
        said.append("an exercise without a hint in <details>")
    solved = [c for c in cells if "solution" in c.metadata.get("tags", [])]
    if len(solved) < len(exercises) - 1:
        said.append(f"{len(solved)} solutions for {len(exercises)} exercises")
    if not all(c.source.startswith("# Solution") for c in solved):
        # JupyterLab shows the first line of a folded cell.
        said.append("a solution whose first line is not '# Solution'")
    said += _questions(text)
    start = next(c.source for c in cells if c.cell_type == "code")
    if "session.start(" not in start:
        said.append("the first code cell does not call session.start")
    return said


def _questions(text: str) -> list[str]:
    """Two or three questions, each choice with an explanation."""
    parts = re.split(r"^### Question \d+: ", text, flags=re.M)[1:]
    said = []
    if not 2 <= len(parts) <= 3:
        said.append(f"{len(parts)} questions to test oneself (2 or 3)")
    for number, part in enumerate(parts, 1):
        part = re.split(r"^## ", part, flags=re.M)[0]
        choices = re.findall(
            r"<details><summary>([A-E])\. .+?</summary>(.*?)</details>",
            part,
            re.S,
        )
        letters = "".join(letter for letter, _ in choices)
        if len(choices) < 3 or letters != "ABCDE"[: len(choices)]:
            said.append(f"question {number}: the choices {letters!r}")
        if any(len(text.split()) < 4 for _, text in choices):
            said.append(f"question {number}: a choice is not explained")
    return said


def _code(name: str, folder: Path):
    cells = read_notebook(name, folder).cells
    return [c for c in cells if c.cell_type == "code"]


def _ignored(cell) -> bool:
    return (
        IGNORED in cell.metadata.get("tags", [])
        or "NBVAL_IGNORE_OUTPUT" in cell.source
    )


def _text(output) -> str:
    """Return the text of an output that nbval compares."""
    data = output.get("data", {})
    parts = [output.get("text", "")]
    parts += [data.get("text/plain", "")]
    parts += [re.sub(r"data:image/[^\"]*", "", data.get("text/html", ""))]
    return "\n".join(parts)


def _img_alts(text: str) -> list[str]:
    """Return the alt text of each ``<img>``, empty where there is none."""
    alts = []
    for tag in re.findall(r"<img\b[^>]*>", text):
        found = re.search(r'alt="([^"]*)"', tag)
        alts.append(found.group(1) if found else "")
    return alts


def _words(text: str) -> int:
    """Count the words of prose: no table rows, code blocks or formulas."""
    text = re.sub(r"```.*?```|\$\$.*?\$\$|<!--.*?-->", " ", text, flags=re.S)
    text = re.sub(r"^\|.*$", " ", text, flags=re.M)
    return len(re.findall(r"[A-Za-z]{2,}", re.sub(r"\(http\S+\)", "", text)))


# Command line --------------------------------------------------------------


def main(arguments: list[str] | None = None) -> int:
    """Run ``build``, ``mark`` or ``check``; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m attn_course.notebooks")
    commands = parser.add_subparsers(dest="command", required=True)
    builder = commands.add_parser("build", help="execute changed lessons")
    builder.add_argument(
        "lesson", nargs="*", help="NN or NN_slug; all if none"
    )
    builder.add_argument("--force", action="store_true", help="unchanged too")
    commands.add_parser("mark", help="text, tags and slides; execute nothing")
    commands.add_parser("check", help="compare sources, notebooks, modules")
    options = parser.parse_args(arguments)
    if options.command == "check":
        problems = check()
        print("\n".join(problems) or f"{len(lessons())} lessons: all agree")
        return 1 if problems else 0
    try:
        if options.command == "mark":
            return _mark_all()
        return _build_all(options.lesson, options.force)
    except (BuildError, ValueError) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; no notebook was changed", file=sys.stderr)
        return 130


def _mark_all() -> int:
    code = 0
    for name in lessons():
        try:
            print(f"{name}: {'written' if mark(name) else 'unchanged'}")
        except BuildError as error:
            print(error, file=sys.stderr)
            code = 1
    return code


def _build_all(wanted: list[str], force: bool) -> int:
    names = lessons()
    for prefix in wanted:
        if not any(name.startswith(prefix) for name in names):
            raise ValueError(
                f"lesson: expected one of {names}, got {prefix!r}"
            )
    live = sys.stdout.isatty()

    def say(text: str) -> None:
        if live:
            print(f"\r\033[K{text}", end="", flush=True)

    for name in names:
        if wanted and not any(name.startswith(prefix) for prefix in wanted):
            continue
        start = time.perf_counter()
        built = build(name, force=force, say=say)
        took = time.perf_counter() - start
        say("")
        print(f"{name}: {f'built in {took:.0f} s' if built else 'unchanged'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
