"""Execute a lesson, or write anew what stands around its code."""

import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from tools.notebooks.reading import (
    FOLDER,
    METADATA,
    inputs,
    read_notebook,
    read_source,
)
from tools.notebooks.rules import same_cells

WIDGET = "application/vnd.jupyter.widget-view+json"


class BuildError(RuntimeError):
    """A lesson could not be built; the message says where and why."""


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
