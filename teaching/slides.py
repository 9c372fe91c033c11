"""Write each lesson as slides that need no network: ``make slides``.

nbconvert makes the pages, with a template of ours; reveal.js and MathJax come
from npm and are copied beside them. What is a slide is said by the cells'
metadata, which ``tools.notebooks`` derives by rule. Here only what would
not fit on a screen is taken apart: long code and its figure become two slides.
"""

import argparse
import base64
import copy
import re
import shutil
import sys
from pathlib import Path

from docs import mathjax
from tools import notebooks

ROOT = notebooks.ROOT
MODULES = ROOT / "node_modules"
TARGET = ROOT / "build" / "slides"
TEMPLATE = Path(__file__).parent / "template"
LINES = 22  # of text and code together that a slide holds
FEW = 4  # lines that may stand over a picture
WIDE = 82  # characters of prose in a line


class SlidesError(RuntimeError):
    """Slides cannot be written; the message says what is missing."""


# Taking apart --------------------------------------------------------------


def arrange(notebook):
    """Return a copy whose slides fit: split, by rule, what is too tall.

    Args:
        notebook: a built lesson, with types of slides in its metadata.
    """
    notebook = copy.deepcopy(notebook)
    cells: list = []
    room = 0.0
    for cell in notebook.cells:
        kind = cell.metadata.get("slideshow", {}).get("slide_type", "-")
        if kind in ("skip", "notes"):
            cells.append(cell)
            continue
        parts = _code_parts(cell) if cell.cell_type == "code" else _texts(cell)
        for number, part in enumerate(parts):
            mine = kind if number == 0 else "subslide"
            if part.metadata.get("slideshow", {}).get("slide_type") == "notes":
                part["id"] = f"{cell['id']}-{number}"
                cells.append(part)
                continue
            need = height(part)
            if mine in ("fragment", "-") and need > room:
                mine = "subslide"
            room = (LINES if mine in ("slide", "subslide") else room) - need
            part.metadata["slideshow"] = {"slide_type": mine}
            part["id"] = f"{cell['id']}-{number}" if number else cell["id"]
            cells.append(part)
    notebook.cells = cells
    return notebook


def _code_parts(cell) -> list:
    """Return the slides of a code cell.

    A cell that draws shows its pictures alone; its code goes to the notes.
    Otherwise code and output stand together if they fit, or one by one.
    """
    pictures = [o for o in cell.outputs if _is_picture(o)]
    if pictures:
        said = [o for o in cell.outputs if not _is_picture(o)]
        if sum(map(_lines_of, said)) <= FEW:
            first = [*said, pictures[0]]
            return (
                [_without_code(cell, first)]
                + [_without_code(cell, [p]) for p in pictures[1:]]
                + [_note(cell)]
            )
        return (
            [_without_code(cell, [o]) for s in said for o in _pieces(s)]
            + [_without_code(cell, [p]) for p in pictures]
            + [_note(cell)]
        )
    if height(cell) <= LINES + 2:
        return [cell]
    code = copy.deepcopy(cell)
    code.outputs = []
    return [code] + [
        _without_code(cell, [o]) for s in cell.outputs for o in _pieces(s)
    ]


def _without_code(cell, outputs: list):
    """Return the cell with some of its outputs and without its code."""
    alone = copy.deepcopy(cell)
    alone.outputs = outputs
    alone.metadata["tags"] = ["remove-input"]
    return alone


def _note(cell):
    """Return a cell's code as a speaker's note."""
    from nbformat.v4 import new_markdown_cell

    note = new_markdown_cell(f"```python\n{cell.source}\n```")
    note.metadata["slideshow"] = {"slide_type": "notes"}
    return note


def _pieces(output) -> list:
    """Cut a long printed text into screens."""
    if output.output_type != "stream":
        return [output]
    rows = output.text.splitlines()
    most = int(LINES / 0.85)
    count = -(-len(rows) // most) or 1
    size = -(-len(rows) // count) or 1
    parts = []
    for start in range(0, len(rows), size):
        part = copy.deepcopy(output)
        part.text = "\n".join(rows[start : start + size]) + "\n"
        parts.append(part)
    return parts


def _lines_of(output) -> float:
    """Estimate how many lines of a slide a printed output takes."""
    data = output.get("data", {})
    html = str(data.get("text/html", ""))
    text = str(output.get("text") or data.get("text/plain", ""))
    return 0.85 * max(len(text.splitlines()), 2 * html.count("<tr")) + 0.5


def _texts(cell) -> list:
    """Return a text, cut before a heading or a paragraph if it is too long."""
    pieces = re.split(r"(?m)^(?=#{2,3} )", cell.source)
    texts: list[str] = []
    for piece in filter(str.strip, pieces):
        texts += _halves(piece.strip())
    parts = []
    for text in texts:
        part = copy.deepcopy(cell)
        part.source = text
        parts.append(part)
    return parts


def _halves(text: str) -> list[str]:
    """Cut a text that is too tall between two paragraphs, in the middle."""
    blocks = re.split(r"\n\n+(?![ \t])", text)
    if _prose(text) <= LINES or len(blocks) < 3 or "<details>" in text:
        return [text]
    best, least = 1, float("inf")
    for cut in range(1, len(blocks)):
        first, rest = (
            _prose("\n\n".join(blocks[:cut])),
            _prose("\n\n".join(blocks[cut:])),
        )
        if max(first, rest) < least and not blocks[cut - 1].startswith("#"):
            best, least = cut, max(first, rest)
    return _halves("\n\n".join(blocks[:best])) + _halves(
        "\n\n".join(blocks[best:])
    )


def _is_picture(output) -> bool:
    data = output.get("data", {})
    return "<img" in str(data.get("text/html", "")) or any(
        kind.startswith(("image/", "audio/")) for kind in data
    )


def height(cell) -> float:
    """Estimate how many lines of a slide a cell takes."""
    if cell.cell_type == "markdown":
        return _prose(cell.source)
    lines = 0.0
    if "remove-input" not in cell.metadata.get("tags", []):
        lines += 0.85 * len(cell.source.splitlines()) + 1
    for output in cell.outputs:
        if _is_picture(output):
            lines += LINES
        else:
            lines += _lines_of(output)
    return lines


def _prose(text: str) -> float:
    """Estimate how many lines a text takes."""
    lines = 0.0
    shown = re.sub(
        r"<details><summary>(.*?)</summary>.*?</details>",
        r"\1",
        text,
        flags=re.S,
    )
    for block in re.split(r"\n\s*\n", shown):
        rows = block.splitlines()
        if block.startswith("#"):
            lines += 2
        elif block.lstrip().startswith(("|", "-", "1.", "*")):
            lines += sum(1 + len(row) // WIDE for row in rows) * 1.15 + 0.5
        elif block.startswith("```"):
            lines += len(rows) + 1
        elif "![" in block:
            lines += 16
        elif block.startswith("$$"):
            lines += 3
        else:
            lines += 1 + sum(map(len, rows)) // WIDE + 0.7
    return lines


# Writing -------------------------------------------------------------------


def page(name: str, folder: Path = notebooks.FOLDER) -> str:
    """Return a lesson's slides as one HTML page."""
    from nbconvert import SlidesExporter
    from traitlets.config import Config

    config = Config()
    config.SlidesExporter.reveal_url_prefix = "vendor/reveal.js"
    config.SlidesExporter.template_file = str(TEMPLATE / "index.html.j2")
    config.SlidesExporter.extra_template_basedirs = [str(TEMPLATE.parent)]
    config.SlidesExporter.template_name = "template"
    config.SlidesExporter.reveal_theme = "white"
    config.SlidesExporter.exclude_input_prompt = True
    config.SlidesExporter.exclude_output_prompt = True
    config.TagRemovePreprocessor.enabled = True
    config.TagRemovePreprocessor.remove_input_tags = {"remove-input"}
    config.SlidesExporter.preprocessors = [
        "nbconvert.preprocessors.TagRemovePreprocessor"
    ]
    exporter = SlidesExporter(config=config)
    notebook = arrange(notebooks.read_notebook(name, folder))
    for cell in notebook.cells:
        cell.source = _embedded(cell.source, folder)
    resources = {"metadata": {"name": name, "path": str(folder)}}
    text, _ = exporter.from_notebook_node(notebook, resources=resources)
    return text


def _embedded(text: str, folder: Path) -> str:
    """Put the figures of the repository into a text, as data."""

    def data(match) -> str:
        picture = (folder / match.group(2)).read_bytes()
        code = base64.b64encode(picture).decode()
        return f"{match.group(1)}data:image/svg+xml;base64,{code}"

    return re.sub(r"(\]\(|src=\")(\.\./figures/\w+\.svg)", data, text)


def write(
    target: Path = TARGET,
    names: list[str] | None = None,
    folder: Path = notebooks.FOLDER,
) -> list[Path]:
    """Write the slides of some lessons, or all, and what they load.

    Raises:
        SlidesError: if reveal.js or MathJax is not installed.
    """
    names = names or notebooks.lessons(folder)
    target.mkdir(parents=True, exist_ok=True)
    vendor(target / "vendor")
    pages = []
    for name in names:
        pages.append(target / f"{name}.html")
        pages[-1].write_text(page(name, folder), "utf-8")
    rows = "\n".join(
        f'<li><a href="{p.name}">{p.stem}: {_title(p.stem, folder)}</a></li>'
        for p in pages
    )
    (target / "index.html").write_text(
        '<!DOCTYPE html>\n<html lang="en"><meta charset="utf-8">\n'
        "<title>Attention, from one dot product up: slides</title>\n"
        '<body style="font: 20px system-ui; margin: 3em">\n'
        "<h1>Attention, from one dot product up</h1>\n"
        "<p>Right: next section. Down: next step. S: speaker's view with "
        f"hints and answers.</p>\n<ul>\n{rows}\n</ul></body></html>\n",
        "utf-8",
    )
    return pages


def _title(name: str, folder: Path) -> str:
    first = notebooks.read_source(name, folder).cells[0].source
    return first.splitlines()[0].removeprefix("# ").replace("*", "")


def vendor(target: Path, modules: Path = MODULES) -> None:
    """Copy reveal.js and MathJax beside the pages."""
    reveal = modules / "reveal.js"
    try:
        if not reveal.exists():
            raise FileNotFoundError("no reveal.js: run `npm ci`")
        mathjax.find(modules)  # before anything is deleted
    except FileNotFoundError as error:
        raise SlidesError(f"{error}, or `make slides`") from None
    if target.exists():
        shutil.rmtree(target)
    for part in (
        "dist/reveal.js",
        "dist/reveal.css",
        "dist/plugin/notes.js",
        "dist/theme/white.css",
        "LICENSE",
    ):
        (target / "reveal.js" / part).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(reveal / part, target / "reveal.js" / part)
    theme = target / "reveal.js" / "dist" / "theme" / "white.css"
    # The theme asks for a font that we do not use.
    theme.write_text(
        re.sub(r"@import[^;]*;", "", theme.read_text("utf-8")), "utf-8"
    )
    mathjax.copy_to(target / "mathjax", modules)
    for part in ("slides.css", "slides.js"):
        shutil.copy(TEMPLATE / part, target / part)


def main(arguments: list[str] | None = None) -> int:
    """Write slides; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m teaching.slides")
    parser.add_argument("lesson", nargs="*", help="NN or NN_slug; all if none")
    options = parser.parse_args(arguments)
    names = [
        name
        for name in notebooks.lessons()
        if not options.lesson or name.startswith(tuple(options.lesson))
    ]
    try:
        write(names=names)
    except SlidesError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{len(names)} lessons: open build/slides/index.html")
    return 0


if __name__ == "__main__":
    sys.exit(main())
