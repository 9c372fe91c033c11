"""Notebooks for Colab: ``python -m docs.colab FOLDER``.

Colab opens a notebook and nothing else of its repository. These copies begin
with a cell that fetches and installs the course. Needs
``GITHUB_REPOSITORY=owner/name``.
"""

import sys
from pathlib import Path

from docs import repository
from tools import notebooks

INSTALL = """\
# Colab only: fetch the course and install what it imports. About a minute.
!git clone --quiet --depth 1 {url} attention-course
%pip install --quiet --editable ./attention-course
import sys

sys.path.insert(0, "attention-course")
try:
    from google.colab import output

    output.enable_custom_widget_manager()
except ImportError:
    pass  # not on Colab: nothing to switch on"""


def prepare(name: str, url: str, pictures: str):
    """Return a lesson that installs the course first.

    Args:
        name: ``NN_slug``.
        url: where git fetches the course from.
        pictures: address of the folder of figures.
    """
    import nbformat

    notebook = notebooks.read_notebook(name)
    cell = nbformat.v4.new_code_cell(INSTALL.format(url=url))
    cell["id"] = f"{name[:2]}-install"
    notebook.cells.insert(1, cell)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = cell.source.replace("(../figures/", f"({pictures}/")
    return notebook


def write(folder: Path, owner_name: str) -> list[str]:
    """Write every lesson into a folder; return their names."""
    import nbformat

    folder.mkdir(parents=True, exist_ok=True)
    names = notebooks.lessons()
    for name in names:
        notebook = prepare(
            name,
            f"https://github.com/{owner_name}",
            f"https://raw.githubusercontent.com/{owner_name}/main/figures",
        )
        nbformat.write(notebook, folder / f"{name}.ipynb")
    (folder / "README.md").write_text(
        "Made by `python -m docs.colab` from the branch `main`, for Colab.\n"
    )
    return names


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: python -m docs.colab FOLDER", file=sys.stderr)
        return 2
    owner_name = repository.name()
    if owner_name is None:
        print(
            "GITHUB_REPOSITORY: expected owner/name, found nothing",
            file=sys.stderr,
        )
        return 1
    names = write(Path(arguments[0]), owner_name)
    print(f"{len(names)} notebooks in {arguments[0]}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
