"""Lesson 00's module: environment, shapes, the road, the glossary."""

import re

import pytest
import torch

from attn_course.start_here import GLOSSARY, ROAD, environment, named_shape
from tools import notebooks


def test_environment_is_as_pinned():
    parts = environment()
    assert {"torch", "numpy", "jupyterlab", "nbval"} <= {p.name for p in parts}
    assert all(part.ready for part in parts), parts


def test_environment_names_what_is_missing_or_other(tmp_path):
    file = tmp_path / "requirements.txt"
    file.write_text("# a note\nno-such-package==1.0\ntorch==0.1\n-e .\n")
    missing, other = environment(file)
    assert missing.found == "missing" and not missing.ready
    assert other.wanted == "0.1" and not other.ready


def test_environment_without_requirements(tmp_path):
    with pytest.raises(
        FileNotFoundError, match="requirements: expected a file"
    ):
        environment(tmp_path / "requirements.txt")


def test_named_shape():
    x = torch.zeros(2, 5, 8)
    assert named_shape(x, "batch length dim") == "batch 2, length 5, dim 8"
    with pytest.raises(ValueError, match="names: expected 3 names .*got 2"):
        named_shape(x, "length dim")


def test_the_road_is_what_is_there():
    assert [lesson.name for lesson in ROAD] == notebooks.lessons()
    texts = [c.source for c in notebooks.read_source("00_start_here").cells]
    for lesson in ROAD:
        link = f"]({lesson.name}.ipynb) | {lesson.part} | {lesson.question} |"
        assert any("## The map" in text and link in text for text in texts)


def test_each_lesson_begins_and_ends_with_its_neighbours_and_the_map():
    names = notebooks.lessons()
    for number, name in enumerate(names):
        wanted = [*names[number - 1 : number], names[0]]
        wanted += names[number + 1 : number + 2]
        cells = notebooks.read_source(name).cells
        for cell in (cells[1], cells[-1]):
            assert "navigation" in cell.metadata["tags"]
            assert re.findall(r"\]\((\w+)\.ipynb\)", cell.source) == wanted


def test_whoever_begins_with_an_exercise_is_told_what_to_run_first():
    for name in notebooks.lessons():
        texts = [c.source for c in notebooks.read_source(name).cells]
        (said,) = [t for t in texts if t.startswith("## Exercises")]
        assert "Run All Above Selected Cell" in said


def test_glossary_is_bilingual_unique_and_points_to_lessons():
    english = [term.english for term in GLOSSARY]
    assert len(set(english)) == len(english)
    numbers = {name[:2] for name in notebooks.lessons()}
    for term in GLOSSARY:
        assert any("\u4e00" <= letter <= "\u9fff" for letter in term.chinese)
        assert term.lesson in numbers


def test_the_first_check_comes_by_the_tenth_cell():
    cells = notebooks.read_source("00_start_here").cells[:10]
    assert any("check_value(" in cell.source for cell in cells)
