"""How a submission is graded: its code in one process, the tests in another.

nbgrader runs tests in the kernel of the learner, who can overwrite there
whatever the tests are made of. ``Judge`` takes the place of nbgrader's
``Execute``: learners' cells run in a worker (``teaching.worker``) that knows no
answer; the test cells, taken from the gradebook and never from the submission,
run here, with the learner's functions as ``teaching.remote`` gives them.

``Restore`` takes the place of ``OverwriteCells``: every tracked cell gets back
its place, its kind, its points and, if it is not an answer, its text.
"""

import ast
import builtins
import re
from contextlib import redirect_stdout
from io import StringIO

from nbformat.v4 import new_code_cell, new_markdown_cell, new_output
from nbgrader.api import Gradebook
from nbgrader.preprocessors import NbGraderPreprocessor
from traitlets import Float

from teaching import rules
from teaching.remote import Worker

TEST_LINES = re.compile(r"^\s*### (BEGIN|END) HIDDEN TESTS\s*$", re.M)


class _WithGradebook(NbGraderPreprocessor):
    """Knows which notebook it is, and opens the gradebook."""

    def tracked(self, resources) -> list[dict]:
        """Return the tracked cells as they were released, in order."""
        about = resources["nbgrader"]
        with Gradebook(about["db_url"]) as book:
            notebook = book.find_notebook(
                about["notebook"], about["assignment"]
            )
            points = {c.name: c.max_score for c in notebook.grade_cells}
            answers = {c.name for c in notebook.solution_cells}
            return [
                {
                    "id": cell.name,
                    "type": cell.cell_type,
                    "source": cell.source,
                    "locked": cell.locked,
                    "checksum": cell.checksum,
                    "points": points.get(cell.name),
                    "answer": cell.name in answers,
                }
                for cell in notebook.source_cells
            ]


class Restore(_WithGradebook):
    """Put the assignment's own cells back, whatever became of them."""

    def preprocess(self, nb, resources):
        """Rebuild the notebook around the submitted answers."""
        tracked = self.tracked(resources)
        known = {cell["id"] for cell in tracked}
        found, before = self._read(nb, known)
        cells = []
        for cell in tracked:
            cells += before.get(cell["id"], [])
            cells.append(self._rebuilt(cell, found.get(cell["id"])))
        nb.cells = cells + before.get(None, [])
        for number, cell in enumerate(nb.cells):
            cell["id"] = f"cell-{number}"
        return nb, resources

    def _read(self, nb, known):
        """Return the first cell of each id, and the free cells before it."""
        found, before, free = {}, {}, []
        for cell in nb.cells:
            about = cell.metadata.get("nbgrader")
            name = about.get("grade_id") if isinstance(about, dict) else None
            if name in known and name not in found:
                found[name] = cell
                before[name], free = free, []
            elif cell.cell_type in ("code", "markdown"):
                cell.metadata.pop("nbgrader", None)
                free.append(cell)
        before[None] = free
        return found, before

    def _rebuilt(self, cell: dict, submitted):
        """Return the cell as it was released, with the submitted answer."""
        make = new_code_cell if cell["type"] == "code" else new_markdown_cell
        source = cell["source"]
        if cell["answer"] and submitted is not None:
            source = submitted.source
        about = {
            "cell_type": cell["type"],
            "checksum": cell["checksum"],
            "grade": cell["points"] is not None,
            "grade_id": cell["id"],
            "locked": cell["locked"],
            "schema_version": 3,
            "solution": cell["answer"],
            "task": False,
        }
        if cell["points"] is not None:
            about["points"] = cell["points"]
        if submitted is None:
            self.log.warning("Cell %s was missing: put back", cell["id"])
        return make(source, metadata={"nbgrader": about})


class Judge(_WithGradebook):
    """Run answers in a worker and tests here; write outputs into the cells."""

    cell_seconds = Float(10.0, help="How long one cell may run").tag(
        config=True
    )
    call_seconds = Float(
        5.0, help="How long one call of a learner's function may run"
    ).tag(config=True)
    seconds = Float(
        300.0, help="How long all cells and calls of a submission may run"
    ).tag(config=True)

    def preprocess(self, nb, resources):
        """Grade a restored notebook; say what a teacher should look at."""
        tests = {
            cell["id"]: cell["source"]
            for cell in self.tracked(resources)
            if cell["type"] == "code" and cell["points"] is not None
        }
        assignment = resources["nbgrader"]["assignment"]
        slug, stopped = assignment[3:], []
        with Worker(
            slug,
            cell_seconds=self.cell_seconds,
            call_seconds=self.call_seconds,
            seconds=self.seconds,
        ) as learner:
            count = 0
            for cell in nb.cells:
                if cell.cell_type != "code":
                    cell.source = without_scripts(cell.source)
                    continue
                count += 1
                cell.execution_count = count
                name = cell.metadata.get("nbgrader", {}).get("grade_id")
                if name in tests:
                    cell.outputs = test(tests[name], learner)
                else:
                    cell.outputs = _outputs(learner.run(_plain(cell.source)))
                place = (name or f"cell {count}").removesuffix("-answer")
                stopped += [f"{place}: {what}" for what in learner.stopped]
                learner.stopped = []
        code = [_plain(c.source) for c in nb.cells if c.cell_type == "code"]
        nb.metadata["teaching"] = {
            "flags": rules.flags(assignment, code),
            "stopped": list(dict.fromkeys(stopped)),
        }
        return nb, resources


def test(source: str, learner: Worker) -> list:
    """Run a test cell here, with the learner's names in it; give outputs.

    An output of the kind ``error`` means no points.
    """
    tree = ast.parse(TEST_LINES.sub("", source))
    stored = {
        n.id
        for n in ast.walk(tree)
        if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            stored |= {a.asname or a.name for a in node.names}
    import attn_course.checks as checks

    space: dict[str, object] = {"checks": checks}
    out = StringIO()
    try:
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and node.id not in space:
                if node.id not in stored and not hasattr(builtins, node.id):
                    space[node.id] = learner.value(node.id)
        with redirect_stdout(out):
            # A test of a teacher's own may `assert`: kept under `python -O`.
            exec(compile(tree, "<test>", "exec", optimize=0), space)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return [_error(type(error).__name__, str(error))]
    return [new_output("stream", name="stdout", text=out.getvalue())]


def without_scripts(text: str) -> str:
    """Show HTML in a learner's text as it was typed, except folded hints.

    A script in it would run in the teacher's browser, and in the page of
    feedback.
    """
    text = re.sub(r"<(?!/?(?:details|summary)>)(?=[A-Za-z/!?])", "&lt;", text)
    return re.sub(r"(?i)(java|vb)script\s*:", r"\1script&#58; ", text)


def _plain(source: str) -> str:
    """Leave out what only a notebook knows: lines with ``%`` and ``!``."""
    return re.sub(r"^(\s*)([%!].*)$", r"\1pass  # \2", source, flags=re.M)


def _outputs(answer: dict) -> list:
    """Turn the worker's answer into a cell's outputs."""
    found = []
    if answer.get("text"):
        found.append(
            new_output("stream", name="stdout", text=str(answer["text"]))
        )
    if "error" in answer:
        line = f" (line {answer['line']})" if answer.get("line") else ""
        found.append(_error(str(answer["error"]), f"{answer['said']}{line}"))
    return found


def _error(name: str, said: str):
    return new_output(
        "error",
        ename=name,
        evalue=said,
        traceback=[f"{name}: {said}" if said else name],
    )
