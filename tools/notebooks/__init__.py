"""Build the notebooks from their text sources, and check that all agree.

``python -m tools.notebooks build [NN ...]`` executes each lesson whose source,
or a module that it uses, has changed. ``mark`` executes nothing: it writes anew
what stands around the code of built notebooks (text, tags, the types of
slides). ``check`` runs nothing: it compares source, notebook, module, tests and
README, and counts the house rules of CONTRIBUTING.md.
"""

from tools.notebooks.building import BuildError, build, mark
from tools.notebooks.reading import (
    FOLDER,
    METADATA,
    PACKAGE,
    ROOT,
    inputs,
    lessons,
    read_notebook,
    read_source,
    slide_types,
)
from tools.notebooks.rules import (
    IGNORED,
    RULES,
    agreement,
    check,
    same_cells,
    strict_share,
)

__all__ = [
    "FOLDER",
    "IGNORED",
    "METADATA",
    "PACKAGE",
    "ROOT",
    "RULES",
    "BuildError",
    "agreement",
    "build",
    "check",
    "inputs",
    "lessons",
    "mark",
    "read_notebook",
    "read_source",
    "same_cells",
    "slide_types",
    "strict_share",
]
