"""The notebook tool: what it builds, what it leaves alone, what it says."""

import json
import shutil

import nbformat
import pytest

from tools import notebooks
from tools.notebooks import building, reading, rules
from tools.notebooks.__main__ import main

HEAD = """\
# %% [markdown]
# # Why?

# %%
number = 2
"""
GOOD = (
    HEAD
    + """
# %% [markdown]
# Twice.

# %%
print(2 * number)

# %% tags=["solution"]
print(3 * number)
"""
)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "notebooks" / "source").mkdir(parents=True)
    (tmp_path / "README.md").write_text("")
    return tmp_path / "notebooks"


def write(folder, text, name="77_why"):
    (folder / "source" / f"{name}.py").write_text(text)


def test_build_executes_and_stores(folder):
    write(folder, GOOD)
    said = []
    assert notebooks.build("77_why", folder, say=said.append)
    built = notebooks.read_notebook("77_why", folder)
    assert [c.execution_count for c in built.cells if "outputs" in c] == [
        1,
        2,
        3,
    ]
    assert built.cells[3].outputs[0].text == "4\n"
    assert built.cells[4].metadata["jupyter"] == {
        "source_hidden": True,
        "outputs_hidden": True,
    }
    assert said == [f"77_why: cell {n} of 3" for n in (1, 2, 3)]
    assert notebooks.same_cells("77_why", folder) == []
    assert rules.executed("77_why", folder) == []
    text = (folder / "77_why.ipynb").read_text()
    assert (
        text.endswith("}\n")
        and "version" not in json.loads(text)["metadata"]["language_info"]
    )


def test_build_skips_what_has_not_changed(folder):
    write(folder, GOOD)
    assert notebooks.build("77_why", folder)
    before = (folder / "77_why.ipynb").read_bytes()
    assert not notebooks.build("77_why", folder)
    assert notebooks.build("77_why", folder, force=True)
    assert (folder / "77_why.ipynb").read_bytes() == before
    write(folder, GOOD.replace("2 * number", "5 * number"))
    assert notebooks.build("77_why", folder)


def test_changed_text_keeps_the_outputs(folder, monkeypatch):
    write(folder, GOOD)
    notebooks.build("77_why", folder)
    write(folder, GOOD.replace("# Twice.", "# Two times."))
    monkeypatch.setattr(building, "_execute", None)  # it must not run
    assert notebooks.build("77_why", folder)
    built = notebooks.read_notebook("77_why", folder)
    assert built.cells[2].source == "Two times."
    assert built.cells[3].outputs[0].text == "4\n"
    assert notebooks.same_cells("77_why", folder) == []


def test_inputs_follow_imports_through_modules(folder):
    write(folder, "# %%\nfrom attn_course import session\n")
    with_session = notebooks.inputs("77_why", folder)
    write(folder, "# %%\nfrom attn_course import training\n")
    assert notebooks.inputs("77_why", folder) != with_session
    reached = {
        path.name
        for path in reading._imported(
            notebooks.PACKAGE / "scaled_dot_product.py"
        )
        if path.exists()
    }
    assert reached == {"arguments.py", "__init__.py"}  # of the common room


def test_inputs_follow_the_parts_of_a_package(tmp_path, monkeypatch):
    package = tmp_path / "attn_course" / "boxes"
    package.mkdir(parents=True)
    for name, text in {
        "__init__": "from .model import Model as Model\n",
        "model": "from attn_course import session\nfrom . import losses\n",
        "losses": "",
    }.items():
        (package / f"{name}.py").write_text(text)
    (package.parent / "session.py").write_text("")
    monkeypatch.setattr(reading, "ROOT", tmp_path)
    monkeypatch.setattr(reading, "PACKAGE", package.parent)

    def reached(path):
        return {
            found.relative_to(package.parent).as_posix()
            for found in reading._imported(path)
            if found.exists()
        }

    user = tmp_path / "user.py"
    user.write_text("from attn_course.boxes.losses import total\n")
    assert reached(user) == {"boxes/__init__.py", "boxes/losses.py"}
    assert reached(package / "__init__.py") == {
        "boxes/__init__.py",
        "boxes/model.py",
    }
    assert reached(package / "model.py") == {
        "session.py",
        "boxes/__init__.py",
        "boxes/losses.py",
    }


def test_ids_are_stable_and_unique(folder):
    write(folder, GOOD)
    before = {
        c.source: c.id for c in notebooks.read_source("77_why", folder).cells
    }
    write(folder, GOOD + "\n# %%\nprint(1)\n\n# %%\nprint(1)\n")
    after = notebooks.read_source("77_why", folder).cells
    ids = [c.id for c in after]
    assert len(set(ids)) == len(ids)
    assert all(before.get(c.source, c.id) == c.id for c in after)


def test_an_error_names_lesson_cell_and_line(folder):
    write(folder, GOOD + "\n# %%\nfine = 1\nprint(missing)\n")
    with pytest.raises(notebooks.BuildError) as caught:
        notebooks.build("77_why", folder)
    said = str(caught.value)
    lines = (folder / "source" / "77_why.py").read_text().splitlines()
    line = lines.index("print(missing)") + 1
    assert "77_why, code cell 4, line 2" in said
    assert f"notebooks/source/77_why.py, line {line})" in said
    assert "print(missing)" in said
    assert "NameError: name 'missing' is not defined" in said


def test_an_error_inside_a_module_names_the_cells_own_line(folder):
    cell = (
        "\n# %%\nimport torch\nfrom attn_course import dot_product\n"
        "one = torch.ones(1, 2)\n"
        "dot_product.dot_product_attention(one, one, one[:, None])\n"
    )
    write(folder, HEAD + cell)
    with pytest.raises(notebooks.BuildError, match="code cell 2, line 4"):
        notebooks.build("77_why", folder)


def test_a_kernel_that_dies_is_named(folder):
    write(folder, HEAD + "\n# %%\nimport os\nos._exit(1)\n")
    with pytest.raises(
        notebooks.BuildError, match="code cell 2.*\n.*\n.*died"
    ):
        notebooks.build("77_why", folder)


@pytest.mark.parametrize("error", [notebooks.BuildError, KeyboardInterrupt])
def test_the_old_notebook_stays_whole(folder, monkeypatch, error):
    write(folder, GOOD)
    notebooks.build("77_why", folder)
    before = (folder / "77_why.ipynb").read_bytes()
    write(folder, GOOD + "\n# %%\nraise ValueError\n")

    def stop(*_):
        raise error("stopped half-way")

    monkeypatch.setattr(building.os, "replace", stop)
    if error is KeyboardInterrupt:  # interrupted while it writes
        write(folder, GOOD + "\n# %%\nprint(1)\n")
    with pytest.raises(error):
        notebooks.build("77_why", folder)
    assert (folder / "77_why.ipynb").read_bytes() == before
    assert [p.name for p in folder.glob("*.draft")] == []


def test_unknown_lesson(folder, capsys):
    with pytest.raises(ValueError, match="lesson: expected one of"):
        notebooks.build("77_why", folder)
    assert main(["build", "99"]) == 1
    assert "lesson: expected one of" in capsys.readouterr().err


# Each rule bites -----------------------------------------------------------


@pytest.fixture
def lesson(tmp_path):
    """A copy of a real lesson, to be damaged."""
    folder = tmp_path / "notebooks"
    (folder / "source").mkdir(parents=True)
    name = "01_dot_product"
    for path in (f"{name}.ipynb", f"source/{name}.py"):
        shutil.copy(notebooks.FOLDER / path, folder / path)
    (tmp_path / "README.md").write_text(
        f"| [{name}](notebooks/{name}.ipynb) | ... |\n"
    )

    def damage(change):
        notebook = notebooks.read_notebook(name, folder)
        change(notebook.cells)
        nbformat.write(notebook, folder / f"{name}.ipynb")

    def apply(rule, change=lambda cells: None):
        damage(change)
        return "\n".join(rule(name, folder))

    return apply


def first(cells, kind):
    return next(c for c in cells if c.cell_type == kind)


def printed(text):
    def change(cells):
        first(cells, "code")["outputs"] = [
            nbformat.v4.new_output("stream", text=text)
        ]

    return change


def test_an_undamaged_lesson_passes(lesson):
    for rule in notebooks.RULES:
        assert lesson(rule) == ""


def test_edited_cell(lesson):
    def change(cells):
        cells[1].source += "\nx = 1"

    assert "cell 1: its source" in lesson(notebooks.same_cells, change)


def test_missing_cell(lesson):
    assert "cells, the notebook" in lesson(
        notebooks.same_cells, lambda cells: cells.pop()
    )


def test_order_of_execution(lesson):
    def change(cells):
        first(cells, "code")["execution_count"] = 7

    assert "order [7, 2" in lesson(rules.executed, change)


@pytest.mark.parametrize(
    "text, what",
    [
        ("<object at 0x7f51298823e0>", "an address"),
        ("saved in /home/me/run.txt", "a path"),
        ("it took 3.2 seconds", "a time"),
        ("at 12:31:07", "a time"),
        ("torch 2.13.0", "a version"),
        ("tensor(1., device='cuda:0')", "a device"),
        ("tensor(1., grad_fn=<SumBackward0>)", "a grad_fn"),
        ("UserWarning: slow", "a warning"),
    ],
)
def test_noise_in_an_output(lesson, text, what):
    assert what in lesson(rules.clean_outputs, printed(text))


def test_stderr_and_error(lesson):
    def change(cells):
        new = nbformat.v4.new_output
        first(cells, "code")["outputs"] = [
            new("stream", name="stderr", text="oh"),
            new("error", ename="KeyError", evalue="1", traceback=[]),
        ]

    said = lesson(rules.clean_outputs, change)
    assert "stderr" in said and "error KeyError" in said


def test_pictures_need_words(lesson):
    def change(cells):
        new = nbformat.v4.new_output
        first(cells, "code")["outputs"] = [
            new("display_data", data={"image/png": "aaaa"}),
            new("display_data", data={"text/html": '<img src="x">'}),
        ]
        first(cells, "markdown").source += "\n![](x.png)"

    said = lesson(rules.alt_texts, change)
    assert "without plotting.show" in said and said.count("alt text ''") == 2


def test_uncompared_cells_must_assert(lesson):
    def change(cells):
        first(cells, "code").metadata["tags"] = [notebooks.IGNORED]

    assert "asserts nothing" in lesson(rules.compared, change)


def test_too_many_uncompared_cells(lesson):
    def change(cells):
        for cell in [c for c in cells if c.get("outputs")][:9]:
            cell.metadata["tags"] = [notebooks.IGNORED]
            cell.source += "\nassert True"

    assert "outputs are compared" in lesson(rules.compared, change)


def test_house_rules_count(lesson):
    def change(cells):
        cells[0].source = "# A title without a question"
        cells[2].source = "x = 1  # " + "long " * 20 + "\n" + "y = 2\n" * 35
        cells[3].source = "word " * 101
        for cell in cells:
            if cell.source.startswith("## Summary"):
                cell.source = "## The end"

    said = lesson(rules.house_rules, change)
    for words in (
        "not a question",
        "no minutes",
        "no needs",
        "session.start",
        "36 lines (30 at most)",
        "109 characters",
        "101 words",
        "no ## Summary",
    ):
        assert words in said


def test_agreement_names_what_is_missing(tmp_path):
    folder = tmp_path / "notebooks"
    (folder / "source").mkdir(parents=True)
    (tmp_path / "README.md").write_text(
        "| [78_gone](notebooks/78_gone.ipynb) | ... |\n"
    )
    write(folder, GOOD)
    said = "\n".join(notebooks.agreement(folder))
    assert "77_why: missing in notebooks" in said
    assert "77_why: missing in the README" in said
    assert "77_why: missing attn_course/why.py" in said
    assert "77_why: missing tests/test_why.py" in said
    assert "78_gone: stands in the README's table, but has no source" in said


def test_check_command(capsys):
    code = main(["check"])
    said = capsys.readouterr().out
    assert (code, "all agree" in said) in [(0, True), (1, False)]
