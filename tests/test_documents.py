"""The lessons as documents: they agree with source and module, and read well."""

import re

import pytest

from attn_course.start_here import LESSON_TERMS
from tools import notebooks

NAMES = notebooks.lessons()


def test_each_lesson_has_its_five_files_and_a_readme_row():
    assert notebooks.agreement() == []


@pytest.mark.parametrize("name", NAMES)
def test_readme_says_the_lessons_minutes(name):
    readme = (notebooks.FOLDER.parent / "README.md").read_text("utf-8")
    row = re.search(rf"\| \[{name}\].*\| (\d+) \|", readme)
    texts = [c.source for c in notebooks.read_source(name).cells]
    said = re.search(r"\*\*Minutes:\*\* (\d+)", "\n".join(texts))
    assert row[1] == said[1]


@pytest.mark.parametrize("rule", notebooks.RULES, ids=lambda r: r.__name__)
@pytest.mark.parametrize("name", NAMES)
def test_rule_holds(name, rule):
    assert rule(name) == []


def test_strict_share_of_all_lessons():
    shares = [notebooks.strict_share(name) for name in NAMES]
    strict, shown = (sum(column) for column in zip(*shares))
    print(f"{strict} of {shown} cells with output are compared")
    assert strict >= 0.85 * shown


@pytest.mark.parametrize("name", NAMES)
def test_checks_of_a_lesson_are_used_in_it(name):
    from attn_course import checks

    module = getattr(checks, name[3:])
    text = "\n".join(c.source for c in notebooks.read_source(name).cells)
    for exercise in vars(module):
        own = getattr(vars(module)[exercise], "__module__", "")
        if own == module.__name__ and not exercise.startswith("_"):
            if callable(vars(module)[exercise]):
                assert f"checks.{name[3:]}.{exercise}(" in text


@pytest.mark.parametrize(
    "number, term",
    [(n, term) for n, terms in LESSON_TERMS.items() for term in terms],
)
def test_a_lesson_names_the_fields_terms(number, term):
    """In its text, in italics or bold where it stands first."""
    (name,) = [n for n in notebooks.lessons() if n.startswith(number)]
    cells = notebooks.read_source(name).cells
    texts = [c.source for c in cells if c.cell_type == "markdown"]
    prose = "\n\n".join(
        line for text in texts for line in re.split(r"(?m)^#.*$", text)
    )
    prose = re.sub(r"(?s)```.*?```|`[^`]*`", "", prose)
    pattern = r"\s+".join(map(re.escape, term.split()))
    first = re.search(rf"(?i)\b{pattern}", prose)
    assert first, f"{name}: its text never says {term!r}"
    marked = re.finditer(r"\*\*[^*]+\*\*|\*[^*\s][^*]*\*", prose)
    assert any(
        m.start() < first.start() < first.end() < m.end() for m in marked
    ), f"{name}: {term!r} is not in italics or bold at first use"
