"""nbval's comparison bites: one digit, or one line of a module, is enough."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from tools import notebooks

NAME = "01_dot_product"


@pytest.fixture
def run_nbval(tmp_path):
    """Run nbval on a copy of a lesson, against a copy of the package."""
    place = tmp_path / "notebooks" / f"{NAME}.ipynb"
    place.parent.mkdir()
    shutil.copy(notebooks.FOLDER / place.name, place)
    shutil.copytree(
        notebooks.PACKAGE,
        tmp_path / "attn_course",
        ignore=shutil.ignore_patterns("__pycache__", "*.gz"),
    )
    results = Path("experiments", "results")  # printed by the lesson
    shutil.copytree(notebooks.ROOT / results, tmp_path / results)
    rules = notebooks.ROOT / "tests" / "nbval.cfg"

    def run():
        return subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "--nbval",
                "--nbval-current-env",
                "-p",
                "no:cacheprovider",
                "-q",
                "--nbval-sanitize-with",
                str(rules),
                "-c",
                os.devnull,
                "--rootdir",
                str(tmp_path),
                str(place),
            ],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
        )

    run.notebook = place
    run.package = tmp_path / "attn_course"
    return run


def change_output(path, old, new):
    """Change the first stored output that holds ``old``."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            for place, kind in ((output, "text"), (data, "text/plain")):
                if old in place.get(kind, ""):
                    place[kind] = place[kind].replace(old, new, 1)
                    nbformat.write(notebook, path)
                    return
    raise AssertionError(f"no output holds {old!r}")


def test_the_stored_notebook_passes(run_nbval):
    result = run_nbval()
    assert result.returncode == 0, result.stdout
    assert re.search(r"\d+ passed", result.stdout)


def test_one_changed_digit_fails(run_nbval):
    change_output(run_nbval.notebook, "0.7311", "0.7312")
    result = run_nbval()
    assert result.returncode == 1
    assert "1 failed" in result.stdout and "0.7312" in result.stdout


def test_one_changed_line_of_a_module_fails(run_nbval):
    module = run_nbval.package / "dot_product.py"
    line = "    powers = torch.exp(scores / temperature)\n"
    text = module.read_text()
    assert line in text
    module.write_text(text.replace(line, line.replace(" / ", " * ")))
    result = run_nbval()
    assert result.returncode == 1
    assert "T =  0.1: weights" in result.stdout


def test_one_changed_word_of_an_alt_text_fails(run_nbval):
    change_output(run_nbval.notebook, "width 5 is almost", "width 6 is almost")
    assert run_nbval().returncode == 1


def test_another_width_of_a_picture_passes(run_nbval):
    text = run_nbval.notebook.read_text("utf-8")
    other, count = re.subn(
        r' width=\\"\d+\\" src', r' width=\\"9\\" src', text
    )
    assert count
    run_nbval.notebook.write_text(other, "utf-8")
    result = run_nbval()
    assert result.returncode == 0, result.stdout
