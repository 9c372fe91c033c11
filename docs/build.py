"""Build the published course: ``python -m docs.build [html | pdf]``.

Pages that are made (lessons from the notebooks, glossary, API reference,
downloads) are laid beside those that are written, in ``build/site-source``;
Sphinx turns them into ``build/site``, where any warning is an error. ``pdf``
prints that site with Chromium into ``build/attention-course.pdf``.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from urllib.parse import unquote

from attn_course import start_here
from docs import api, mathjax, repository
from tools import notebooks

ROOT = notebooks.ROOT
WRITTEN = ROOT / "docs"
SOURCE = ROOT / "build" / "site-source"
SITE = ROOT / "build" / "site"
MODULES = ROOT / "node_modules"
# A copy of the course that can be worked with, without its tests.
COURSE = [
    "LICENSE",
    "LICENSE-CC-BY-4.0",
    "CITATION.cff",
    "README.md",
    "constraints.txt",
    "pyproject.toml",
    "requirements.txt",
    "attn_course",
    "experiments",
    "figures",
    "notebooks",
]
LEFT_OUT = {"__pycache__", ".ipynb_checkpoints", "build", "exercises"}


class SiteError(RuntimeError):
    """The site could not be built; the message says what to do."""


# Laying out the sources ----------------------------------------------------


def lay_out() -> None:
    """Write all sources of the site into an empty folder.

    Raises:
        SiteError: if a notebook was not built, or MathJax is not installed.
    """
    target = SOURCE
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for path in WRITTEN.glob("*.md"):
        shutil.copy(path, target)
    # Written for the repository too: its links are those of its folder there.
    page = WRITTEN / "architecture.md"
    (target / page.name).write_text(relink(page, target), "utf-8")
    shutil.copy(WRITTEN / "conf.py", target)
    shutil.copy(WRITTEN / "references.bib", target)
    shutil.copytree(WRITTEN / "_static", target / "_static")
    shutil.copytree(
        ROOT / "figures",
        target / "figures",
        ignore=shutil.ignore_patterns("*.py", "__pycache__"),
    )
    try:
        mathjax.copy_to(target / "_static" / "mathjax", MODULES)
    except FileNotFoundError as error:
        raise SiteError(f"{error}, or `make site`") from None
    lessons(target / "lessons")
    teaching(target / "teaching")
    evidence(target / "experiments" / "results")
    api.write(target / "api")
    (target / "glossary.md").write_text(glossary(), "utf-8")
    for name in ("CONTRIBUTING.md", "CHANGELOG.md"):
        text = relink(ROOT / name, target)
        (target / name.lower()).write_text(text, "utf-8")
    downloads(target)


def lessons(target: Path) -> None:
    """Write each notebook as the site shows it."""
    import nbformat

    target.mkdir()
    names = notebooks.lessons()
    for name in names:
        if not (notebooks.FOLDER / f"{name}.ipynb").exists():
            raise SiteError(
                f"{name}: not built; run `make build LESSON={name}`"
            )
        notebook = notebooks.read_notebook(name)
        prepare(notebook, name)
        nbformat.write(notebook, target / f"{name}.ipynb")
    (target / "index.md").write_text(contents(names), "utf-8")


def evidence(target: Path) -> None:
    """Take the results of the experiments, where lessons link to them."""
    results = sorted((ROOT / "experiments" / "results").glob("*.md"))
    target.mkdir(parents=True)
    for page in results:
        shutil.copy(page, target)
    lines = [
        "# Evidence",
        "",
        "Each comparison of a lesson has an id. Here stand its arms, what",
        "settings each could choose from, the seeds, the interval and the",
        "verdict, and how long it took.",
        "",
        "```{toctree}",
        ":maxdepth: 1",
        "",
        *(page.stem for page in results),
        "```",
        "",
    ]
    (target / "index.md").write_text("\n".join(lines), "utf-8")


def prepare(notebook, name: str) -> None:
    """Fold solutions, and say after the title where to run the lesson."""
    import nbformat

    notebook.cells = [  # the page has links to its neighbours of its own
        cell
        for cell in notebook.cells
        if "navigation" not in cell.metadata.get("tags", [])
    ]
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if "solution" in tags:
            cell.metadata["tags"] = [*tags, "hide-cell"]
            cell.metadata["mystnb"] = {
                "code_prompt_show": "Show the solution",
                "code_prompt_hide": "Hide the solution",
            }
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "text/html" in data:
                data["text/html"] = for_page(data["text/html"])
    links = [
        f"{{download}}`Notebook <../downloads/{name}.ipynb>`",
        f"{{download}}`Text source <../downloads/{name}.py>`",
        *(f"[{what}]({url})" for what, url in repository.places(name).items()),
    ]
    where = nbformat.v4.new_markdown_cell(
        ":::{container} lesson-links\n" + " · ".join(links) + "\n:::"
    )
    where["id"] = f"{name[:2]}-links"
    notebook.cells.insert(1, where)
    # The page's title is the first heading of its first cell, alone in it.
    first = notebook.cells[0]
    title, _, rest = first.source.partition("\n")
    first.source = title
    text = nbformat.v4.new_markdown_cell(rest.strip())
    text["id"] = f"{name[:2]}-intro"
    notebook.cells.insert(2, text)


def for_page(html: str) -> str:
    """Let a wide table scroll by itself, and colours follow the theme."""
    if html.lstrip().startswith("<table"):
        html = html.replace("style='text-align:left'", "")
        return f'<div class="wide" tabindex="0">{html}</div>'
    return html


def contents(names: list[str]) -> str:
    """Return the page of all lessons: part, question, minutes."""
    parts: dict[str, list[str]] = {}
    known = {lesson.name: lesson.part for lesson in start_here.ROAD}
    for name in names:
        parts.setdefault(known.get(name, "beyond"), []).append(name)
    lines = ["# Lessons", ""]
    for part, members in parts.items():
        rows = [(name, *about(name)) for name in members]
        lines += [
            f"## {part.capitalize()}",
            "",
            "| lesson | question | minutes |",
            "|---|---|---|",
            *(f"| {n[:2]} | [{q}]({n}.ipynb) | {m} |" for n, q, m in rows),
            "",
            "```{toctree}",
            ":hidden:",
            "",
            *(f"{n[:2]}. {plain(q)} <{n}>" for n, q, _ in rows),
            "```",
            "",
        ]
    return "\n".join(lines)


def about(name: str) -> tuple[str, str]:
    """Return a lesson's question and the minutes that it takes."""
    cells = notebooks.read_source(name).cells
    text = "\n".join(c.source for c in cells if c.cell_type == "markdown")
    minutes = re.search(r"\*\*Minutes:?\*\*:? *(\d+)", text)
    if not minutes:
        raise SiteError(f"{name}: no **Minutes:** in its text")
    return text.splitlines()[0].removeprefix("# "), minutes.group(1)


def plain(markdown: str) -> str:
    """Return a title without its emphasis and code marks."""
    return re.sub(r"[*`$]", "", markdown)


def teaching(target: Path) -> None:
    """Take the teacher's guide: every Markdown file of ``teaching``.

    ``README.md`` or else ``index.md``, if there is one, is its first page.
    """
    pages = sorted((ROOT / "teaching").glob("*.md"))
    target.mkdir()
    texts = {page.stem: relink(page, target) for page in pages}
    first = texts.pop("README", texts.pop("index", None))
    if first is None:
        first = "# For teachers\n\n" + (
            "How to teach the course to a class."
            if texts
            else "The teacher's guide is not written yet."
        )
    for name, text in texts.items():
        (target / f"{name}.md").write_text(text, "utf-8")
    if texts:
        first += "\n\n```{toctree}\n:maxdepth: 1\n\n"
        first += "\n".join(texts) + "\n```"
    (target / "index.md").write_text(first + "\n", "utf-8")


LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((?!\w+:|#)([^)\s#]+)(#[^)\s]*)?\)")


def relink(page: Path, target: Path) -> str:
    """Return a page of the repository with links that the site can follow.

    Notebooks become lessons, with anchors as the site names them; figures have
    a folder of their own there; other files beside the page are copied into the
    folder ``target`` of the site. A link to what is not on the site becomes
    plain text.
    """
    up = "../" * len(target.relative_to(SOURCE).parts)
    known = {
        "README.md": "index.md",
        "CONTRIBUTING.md": "contributing.md",
        "CHANGELOG.md": "changelog.md",
        "docs/architecture.md": "architecture.md",
    }

    def moved(link: re.Match) -> str:
        text, address, anchor = link[1], unquote(link[2]), link[3] or ""
        place = Path(os.path.normpath(page.parent / address))
        if place.suffix == ".ipynb" and place.parent == notebooks.FOLDER:
            if not place.exists():
                return text
            anchor = re.sub(r"[^\w\-#]", "", unquote(anchor).lower())
            return f"[{text}]({up}lessons/{place.name}{anchor})"
        if place.is_file() and place.parent == page.parent != ROOT:
            if place.suffix != ".md":
                shutil.copy(place, target)
            return link[0]
        name = (
            place.relative_to(ROOT).as_posix() if ROOT in place.parents else ""
        )
        if name in known:
            return f"[{text}]({up}{known[name]})"
        return text

    text = page.read_text("utf-8").replace("](../figures/", f"]({up}figures/")
    return LINK.sub(moved, text)


def glossary() -> str:
    """Return the glossary in English and Chinese, from lesson 00's list."""
    names = {name[:2]: name for name in notebooks.lessons()}
    lines = [
        "# Glossary",
        "",
        "Terms of the field in English and Chinese, and the lesson in which",
        "each one comes first.",
        "",
        "```{glossary}",
        ":sorted:",
        "",
    ]
    for term in start_here.GLOSSARY:
        name = names.get(term.lesson)
        where = f"Lesson {term.lesson}"
        if name:
            where = f"[{where}](lessons/{name}.ipynb)"
        meaning = term.meaning
        if meaning[:2].isalpha():
            meaning = meaning[0].upper() + meaning[1:]
        lines += [
            term.english,
            f'  <span lang="zh">{term.chinese}</span> · {meaning}. {where}.',
            "",
        ]
    return "\n".join([*lines, "```", ""])


def downloads(target: Path) -> None:
    """Copy notebooks and sources, and pack the whole course."""
    folder = target / "downloads"
    folder.mkdir()
    rows = []
    for name in notebooks.lessons():
        notebook = notebooks.FOLDER / f"{name}.ipynb"
        source = notebooks.FOLDER / "source" / f"{name}.py"
        shutil.copy(notebook, folder)
        shutil.copy(source, folder)
        size = notebook.stat().st_size / 1e6
        rows.append(
            f"| {name} | {{download}}`{name}.ipynb <downloads/{name}.ipynb>` "
            f"({size:.1f} MB) | {{download}}`{name}.py <downloads/{name}.py>` |"
        )
    size = pack(folder / "attention-course.zip") / 1e6
    text = (WRITTEN / "downloads.md").read_text("utf-8")
    text = text.replace("@SIZE@", f"{size:.0f} MB")
    text = text.replace("@ROWS@", "\n".join(rows))
    (target / "downloads.md").write_text(text, "utf-8")


def pack(target: Path) -> int:
    """Write the course as a zip that `pip` and `jupyter` can work with.

    The same files give the same bytes.
    """
    files = []
    for name in COURSE:
        place = ROOT / name
        found = sorted(place.rglob("*")) if place.is_dir() else [place]
        files += [
            path
            for path in found
            if path.is_file()
            and path.suffix != ".draft"
            and not LEFT_OUT & set(path.relative_to(ROOT).parts[:-1])
        ]
    with zipfile.ZipFile(target, "w") as archive:
        for path in files:
            inside = path.relative_to(ROOT).as_posix()
            entry = zipfile.ZipInfo(f"attention-course/{inside}")
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes())
    return target.stat().st_size


# Building ------------------------------------------------------------------


def html() -> None:
    """Build the site into ``build/site``.

    Raises:
        SiteError: if Sphinx warned.
    """
    lay_out()
    doctrees = SITE.with_name("site-doctrees")
    shutil.rmtree(SITE, ignore_errors=True)
    shutil.rmtree(doctrees, ignore_errors=True)
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "sphinx",
            "-b",
            "html",
            "-W",
            "--keep-going",
            "-q",
            "-d",
            str(doctrees),
            str(SOURCE),
            str(SITE),
        ],
        env={**os.environ, "ATTN_ROOT": str(ROOT), "PYTHONHASHSEED": "0"},
    )
    if result.returncode:
        raise SiteError("Sphinx warned; see above")
    for page in SITE.rglob("*.html"):
        text = page.read_text("utf-8")
        if (mended := mend(text)) != text:
            page.write_text(mended, "utf-8")
    (SITE / ".nojekyll").touch()
    (SITE / ".buildinfo").unlink(missing_ok=True)


def mend(page: str) -> str:
    """Take out what keeps a page from being read aloud well.

    Names that hide the words they stand on, roles that do not fit their
    elements, and signatures that are lists with nothing to define.
    """
    page = re.sub(
        r'(<summary) aria-label="Toggle hidden content"', r"\1", page
    )
    page = re.sub(
        r"<button[^>]*search-button-field[^>]*>",
        lambda tag: re.sub(r' (aria-label|title)="[^"]*"', "", tag[0]),
        page,
    )
    page = re.sub(
        r' role="(doc-biblioentry|list)"(?= class="citation)', "", page
    )
    page = re.sub(
        r'(class="citation[^>]*) role="(doc-biblioentry|list)"', r"\1", page
    )

    def lines(signature: re.Match) -> str:
        text = re.sub(r"</?dl>", "", signature[0])
        text = text.replace("<dd>", '<span class="sig-line">')
        return text.replace("</dd>", "</span>")

    return re.sub(r'<dt class="sig .*?</dt>', lines, page, flags=re.S)


def size(folder: Path) -> float:
    """Return the size of all files in MB."""
    return (
        sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) / 1e6
    )


def main(arguments: list[str] | None = None) -> int:
    """Build what is asked for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m docs.build")
    parser.add_argument(
        "what", nargs="?", choices=("html", "pdf"), default="html"
    )
    options = parser.parse_args(arguments)
    start = time.perf_counter()
    try:
        html()
        print(
            f"build/site: {len(list(SITE.rglob('*.html')))} pages, "
            f"{size(SITE):.0f} MB, {time.perf_counter() - start:.0f} s"
        )
        if options.what == "pdf":
            from docs import pdf

            pdf.make(SITE, ROOT / "build" / "attention-course.pdf")
    except SiteError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
