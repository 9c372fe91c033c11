"""The API reference: one page per module, made from its docstrings.

Sphinx's autodoc makes the pages. Its autosummary would list modules by name;
here they stand in the order of the lessons, in groups that say what they are.
"""

import ast
import re
from pathlib import Path

from tools import notebooks

ROOT = notebooks.ROOT
PACKAGE = notebooks.PACKAGE
GROUPS = {
    "Lessons": "what each lesson teaches, as one would import it",
    "Shared by all lessons": "seed, figures, training, and what several lessons need",
    "Data": "loaders of the embedded data sets",
    "Checks of exercises": "what judges an answer and names the mistake",
    "Views": "what a learner can move",
}
# A line that is one formula: ``x = x + part(norm(x))``, perhaps "or ...".
FORMULA = re.compile(r"^\s*``[^`]+``(?:[.,;]|, or ``[^`]+``)?$")


def modules() -> dict[str, list[str]]:
    """Return the dotted names of all modules, by the group they stand in."""
    slugs = [name[3:] for name in notebooks.lessons()]  # in the road's order
    single = sorted(path.stem for path in PACKAGE.glob("[a-z]*.py"))
    return {
        "Lessons": [f"attn_course.{slug}" for slug in slugs],
        "Shared by all lessons": [
            *(f"attn_course.{name}" for name in single if name not in slugs),
            *inside("common"),
        ],
        "Data": inside("data"),
        "Checks of exercises": inside("checks"),
        "Views": inside("widgets"),
    }


def inside(folder: str) -> list[str]:
    """Return a package and the modules and packages right in it."""
    place = PACKAGE / folder
    paths = {*place.glob("[a-z]*.py"), *place.glob("*/__init__.py")}
    names = (path.relative_to(place).parts[0] for path in paths)
    return [
        f"attn_course.{folder}",
        *sorted(
            f"attn_course.{folder}.{n.removesuffix('.py')}" for n in names
        ),
    ]


def summary(module: str) -> str:
    """Return the first sentence of a module's docstring."""
    place = PACKAGE.joinpath(*module.split(".")[1:])
    path = place.with_suffix(".py")
    path = path if path.exists() else place / "__init__.py"
    text = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split())


def write(folder: Path) -> None:
    """Write the index and a page for each module."""
    folder.mkdir(parents=True)
    lines = [
        "# API reference",
        "",
        "Made from the docstrings of the package `attn_course`. Shapes stand",
        "in the signatures: `Float[Tensor, '*batch q d']` is a tensor of",
        "floating point numbers whose last two sizes are called `q` and `d`;",
        "the same name in one signature is the same size.",
        "",
    ]
    for group, names in modules().items():
        lines += [
            f"## {group}",
            "",
            GROUPS[group][0].upper() + GROUPS[group][1:] + ".",
            "",
        ]
        for name in names:
            said = summary(name).replace("``", "`")
            lines.append(f"- [{name}]({name}.md): {said}")
        lines += ["", "```{toctree}", ":hidden:", "", *names, "```", ""]
        for name in names:
            short = name.removeprefix("attn_course.")
            page = (
                f"# {short}\n\n```{{eval-rst}}\n.. automodule:: {name}\n```\n"
            )
            (folder / f"{name}.md").write_text(page, "utf-8")
    (folder / "index.md").write_text("\n".join(lines), "utf-8")


# What autodoc asks while it reads -----------------------------------------


def connect(app) -> None:
    """Hear autodoc's questions."""
    app.connect("autodoc-skip-member", skip)
    app.connect("autodoc-process-signature", readable)
    app.connect("autodoc-process-docstring", formulas, priority=400)


def skip(app, what, name, thing, skipped, options):
    """Leave out the fields of named tuples: their class names them."""
    return True if type(thing).__name__ == "_tuplegetter" else None


def readable(app, what, name, thing, options, signature, returns):
    """Write shapes nearly as the source does: Float[Tensor, '*batch q d']."""
    return tidy(signature), tidy(returns)


def tidy(text: str | None) -> str | None:
    """Shorten what Python's repr makes of annotations.

    ``tidy("~jaxtyping.Float[Tensor, '*batch q d']")`` is
    ``"Float[Tensor, '*batch q d']"``. Names of the course keep their place,
    which makes them links.
    """
    if text is None:
        return None
    return re.sub(r"~(?!attn_course\.)(?:[A-Za-z_]\w*\.)+", "", text)


def formulas(app, what, name, thing, options, lines):
    """Keep formulas that stand on lines of their own on lines of their own."""
    for i, line in enumerate(lines):  # HR@10 is no address
        parts = line.split("``")
        parts[::2] = [re.sub(r"(?<=\w)@(?=\w)", r"\\@", p) for p in parts[::2]]
        lines[i] = "``".join(parts)
    alone = [bool(FORMULA.match(line)) for line in lines]
    for i, line in enumerate(lines):
        before = i > 0 and alone[i - 1]
        after = i + 1 < len(lines) and alone[i + 1]
        if alone[i] and (before or after):
            lines[i] = "| " + line.strip()
        elif before and lines[i - 1].startswith("| ") and line.strip():
            lines[i - 1] += " " + line.strip()
            lines[i] = ""
