"""The house rules of CONTRIBUTING.md, counted; nothing is executed."""

import re
import statistics
from pathlib import Path

from tools.notebooks.reading import FOLDER, lessons, read_notebook, read_source

IGNORED = "nbval-ignore-output"
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
        said.append(f"run: python -m tools.notebooks build {name[:2]}")
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
