"""The parts of MathJax that a page without network needs."""

import shutil
from pathlib import Path

PARTS = [
    "LICENSE",
    "a11y/assistive-mml.js",
    "core.js",
    "input/tex.js",
    "loader.js",
    "output/svg.js",
    "startup.js",
]
# Scripts of the font in which no formula is written.
NO_MATHEMATICS = (
    "PUA",
    "arabic",
    "braille",
    "cherokee",
    "cyrillic",
    "devanagari",
    "hebrew",
    "phonetics",
)


def find(modules: Path) -> tuple[Path, Path]:
    """Return the folders of MathJax and of its font in npm's folder.

    Raises:
        FileNotFoundError: if one is missing.
    """
    package = modules / "mathjax"
    font = modules / "@mathjax" / "mathjax-newcm-font"
    if not ((package / "startup.js").exists() and font.exists()):
        raise FileNotFoundError("no MathJax: run `npm ci`")
    return package, font


def copy_to(target: Path, modules: Path) -> None:
    """Copy what turns TeX into SVG, and its font's data, from npm's folder.

    The combined file would start a speech worker, which a page from the file
    system may not.

    Raises:
        FileNotFoundError: as :func:`find` does; then nothing is copied.
    """
    package, font = find(modules)
    for part in PARTS:
        (target / part).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(package / part, target / part)
    shutil.copytree(package / "input/tex", target / "input/tex")
    dynamic = target / "mathjax-newcm-font" / "svg" / "dynamic"
    dynamic.mkdir(parents=True)
    shutil.copy(font / "svg.js", target / "mathjax-newcm-font")
    for path in (font / "svg" / "dynamic").glob("*.js"):
        if not path.stem.startswith(NO_MATHEMATICS):
            shutil.copy(path, dynamic)
