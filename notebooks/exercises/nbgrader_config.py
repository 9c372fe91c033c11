"""nbgrader's settings for this course; ``make grade`` uses them too.

``source`` and ``release`` are made by ``make assignments``: change a lesson's
exercises in ``notebooks/source``, not here.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))

c = get_config()  # noqa: F821

c.CourseDirectory.course_id = "attention"
# What stands in the place of a solution, under the lesson's own dots.
c.ClearSolutions.code_stub = {"python": "# your answer, in place of the dots"}
c.ClearSolutions.text_stub = "Write here."
# Tests run apart from the learner's code: see teaching/judge.py.
c.Autograde.sanitize_preprocessors = [
    "nbgrader.preprocessors.ClearOutput",
    "nbgrader.preprocessors.OverwriteKernelspec",
    "teaching.judge.Restore",
    "nbgrader.preprocessors.CheckCellMetadata",
]
c.Autograde.autograde_preprocessors = [
    "teaching.judge.Judge",
    "nbgrader.preprocessors.LimitOutput",
    "nbgrader.preprocessors.SaveAutoGrades",
    "nbgrader.preprocessors.AssignLatePenalties",
    "nbgrader.preprocessors.CheckCellMetadata",
]
