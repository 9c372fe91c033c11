"""Read a lesson: its text source, its built notebook, what it is made from."""

import ast
import hashlib
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "notebooks"
PACKAGE = ROOT / "attn_course"

METADATA = {
    "kernelspec": {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    },
    "language_info": {"name": "python", "file_extension": ".py"},
    "rise": {"scroll": True},  # a live slide that is too tall scrolls
}


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
    there is room, then on slides below it; so does code that draws. Set-up,
    solutions and links to other lessons are left out, hints and answers are
    the speaker's notes.
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
        elif "navigation" in cell.metadata.get("tags", []):
            kind = "skip"
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
        place = path.relative_to(ROOT).as_posix()
        digest.update(place.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _imported(path: Path) -> list[Path]:
    """Return the files of the course's modules that a file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:  # from . import, from .boxes import
                parts = path.relative_to(ROOT).parts[: -node.level]
                module = ".".join((*parts, module)).rstrip(".")
            names.add(module)
            names |= {f"{module}.{alias.name}" for alias in node.names}
    files = []
    for name in names:
        package, *parts = name.split(".")
        if package != "attn_course":
            continue
        for depth in range(1, len(parts) + 1):  # a package runs first
            place = PACKAGE.joinpath(*parts[:depth])
            files += [place.with_suffix(".py"), place / "__init__.py"]
    return files
