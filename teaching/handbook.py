"""Write ``lessons.md``: what each lesson is for, and what goes wrong in it.

Goals, minutes and exercises are the lessons' own; misconceptions and questions
come from ``discussion.toml``. ``python -m teaching.handbook`` writes the file.
"""

import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from teaching import assignments
from tools import notebooks

HERE = Path(__file__).parent
TARGET = HERE / "lessons.md"


@dataclass
class Lesson:
    """What a lesson says of itself in its first cell."""

    name: str
    question: str
    goals: list[str]
    minutes: int
    exercises: int  # of the minutes
    needs: str

    @property
    def talk(self) -> int:
        """Minutes without the exercises."""
        return self.minutes - self.exercises


def lesson(name: str) -> Lesson:
    """Read a lesson's first cell.

    Raises:
        ValueError: if a part is missing, or there is no such lesson.
    """
    text = notebooks.read_source(name).cells[0].source
    goals = re.search(
        r"you will be able to\*\*:?\n+((?:[-* ].*\n?)+)", text, re.I
    )
    minutes = re.search(r"\*\*Minutes:\*\* (\d+)", text)
    needs = re.search(r"\*\*Needs:\*\*\s+(.*?)(?:\.\s|\.$|$)", text, re.S)
    if not (goals and minutes and needs):
        raise ValueError(
            f"{name}: no goals, minutes or needs in its first cell"
        )
    items = re.split(r"^- ", goals.group(1), flags=re.M)[1:]
    return Lesson(
        name,
        text.splitlines()[0].removeprefix("# "),
        [" ".join(item.split()).rstrip(";.") for item in items],
        int(minutes.group(1)),
        sum(part.minutes for part in assignments.exercises(name)),
        " ".join(needs.group(1).split()),
    )


def discussions() -> dict:
    """Return misconceptions and questions, by lesson."""
    return tomllib.loads((HERE / "discussion.toml").read_text("utf-8"))


def anchor(heading: str) -> str:
    """Return a heading's anchor in JupyterLab and on GitHub."""
    return quote(heading.replace(" ", "-"))


def section(name: str) -> str:
    """Return a lesson's part of the handbook."""
    about = lesson(name)
    parts = assignments.exercises(name)
    lines = [
        f"## {name[:2]}: {about.question}",
        "",
        f"[{name}](../notebooks/{name}.ipynb). {about.minutes} minutes, of which "
        f"{about.exercises} for {len(parts)} exercises; "
        f"{assignments.total(parts)} points. Needs {about.needs}.",
        "",
        "**Goals.** Afterwards one can",
        "",
        *(f"- {goal};" for goal in about.goals[:-1]),
        f"- {about.goals[-1]}.",
    ]
    entry = discussions().get(name)
    if entry:
        lines += ["", "**What people think, and what cures it**", ""]
        for thought, heading, cure in entry["misconceptions"]:
            link = f"../notebooks/{name}.ipynb#{anchor(heading)}"
            lines.append(f'- *"{thought}"* [{heading}]({link}): {cure}')
        lines += ["", "**To talk about**", ""]
        for question, answer in entry["questions"]:
            lines += [f"- {question}\n  *{answer}*"]
    return "\n".join(lines)


def text() -> str:
    """Return the whole handbook."""
    head = (
        "# The lessons, for teachers\n\n"
        "Written by `python -m teaching.handbook` from the lessons and "
        "`discussion.toml`: change those.\n"
    )
    return (
        "\n\n".join([head.rstrip(), *map(section, notebooks.lessons())]) + "\n"
    )


def main() -> int:
    """Write the file."""
    TARGET.write_text(text(), "utf-8", newline="\n")
    print(f"{len(notebooks.lessons())} lessons in teaching/{TARGET.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
