"""Rules that exercises state: who keeps them has no flag, who does not has."""

import ast
from pathlib import Path

import pytest

from teaching import remote, rules
from tests import wrong_answers
from tools import notebooks

LESSONS = notebooks.lessons()
START = "import math\nimport torch\nimport torch.nn.functional as F\n"
STATED = {
    ("00_start_here", "mean_over_length"): ["numpy"],
    ("01_dot_product", "softmax"): ["torch.softmax"],
    ("02_scaled_dot_product", "softmax"): ["torch.softmax"],
    ("04_multi_head_attention", "split"): ["split_heads"],
    ("05_additive_attention", "scores"): ["additive_scores", rules.LOOP],
    ("05_additive_attention", "teacher"): ["shift_right"],
}
# Right answers of the bank that break a rule, and the rule.
BREAKING = {
    ("start_here", "mean_over_length"): "numpy",
    ("dot_product", "softmax"): "softmax",
    ("scaled_dot_product", "softmax"): "softmax",
    ("additive_attention", "scores"): rules.LOOP,
    ("detection_segmentation", "nms"): "attn_course.detection_segmentation",
}


def test_rules_are_read_from_the_exercises_words():
    found = {
        (name, check): rules.forbidden(about.text)
        for name in LESSONS
        for check, about in rules.graded(name).items()
        if rules.forbidden(about.text)
    }
    assert found == STATED


@pytest.mark.parametrize("name", LESSONS)
def test_the_teachers_own_answers_have_no_flag(name):
    cells = [c.source for c in rules._source(name) if c.cell_type == "code"]
    found = rules.flags(name, cells)
    assert found and not any(found.values())


@pytest.mark.parametrize("name", LESSONS)
def test_right_answers_have_a_flag_only_where_they_break_a_rule(name):
    slug = name[3:]
    path = Path(wrong_answers.__path__[0]) / f"{slug}.py"
    bank = path.read_text("utf-8")
    right = next(
        node.value
        for node in ast.parse(bank).body
        if isinstance(node, ast.Assign) and "RIGHT" in ast.unparse(node)[:5]
    )
    seen = 0
    for key, answers in zip(right.keys, right.values):
        check = key.value
        name_of_it = rules.graded(name)[check].answer
        for answer in answers.elts:
            cell = f"{name_of_it} = {ast.unparse(answer)}"
            for flag in rules.flags(name, [bank, cell])[check]:
                assert BREAKING.get((slug, check), "-") in flag, flag
                seen += 1
    assert bool(seen) == any(slug == lesson for lesson, _ in BREAKING)


BROKEN = {
    "plain": "def my_softmax(s, t):\n    return torch.softmax(s / t, -1)",
    "an import under another name": "import torch.nn.functional as G\n"
    "def my_softmax(s, t):\n    return G.softmax(s / t, -1)",
    "an import inside": "def my_softmax(s, t):\n"
    "    from torch import softmax as f\n    return f(s / t, -1)",
    "everything imported": "from torch import *\n"
    "def my_softmax(s, t):\n    return softmax(s / t, -1)",
    "a method": "def my_softmax(s, t):\n    return (s / t).softmax(-1)",
    "getattr": "def my_softmax(s, t):\n"
    "    return getattr(torch, 'softmax')(s / t, -1)",
    "vars": "def my_softmax(s, t):\n    return vars(torch)['softmax'](s, -1)",
    "a helper": "def helper(s):\n    return torch.softmax(s, -1)\n"
    "def my_softmax(s, t):\n    return helper(s / t)",
    "a helper that comes later": "def my_softmax(s, t):\n"
    "    return helper(s / t)\nhelper = lambda s: torch.softmax(s, -1)",
    "another name": "f = torch.softmax\nmy_softmax = lambda s, t: f(s / t, -1)",
    "wrapped": "def my_softmax(s, t):\n    return torch.softmax(s / t, -1)\n"
    "my_softmax = torch.no_grad()(my_softmax)",
    "its logarithm": "def my_softmax(s, t):\n"
    "    return torch.log_softmax(s / t, -1).exp()",
    "a module": "def my_softmax(s, t):\n    return torch.nn.Softmax(-1)(s / t)",
    "text as code": "def my_softmax(s, t):\n"
    "    return eval('torch.soft' + 'max')(s / t, -1)",
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_rule_is_found_with_its_line(case):
    found = rules.flags("01_dot_product", [START, BROKEN[case]])["softmax"]
    assert len(found) == 1
    name, said = found[0].split(", line ", 1)
    number, code = said.split(": ", 1)
    assert "softmax" in name.lower() or name == rules.HIDDEN
    assert BROKEN[case].splitlines()[int(number) - 1].strip() == code


KEPT = {
    "words": "def my_softmax(s, t):\n    'not torch.softmax'\n"
    "    # torch.softmax(s, -1)\n    softmax = (s / t).exp()\n"
    "    return softmax / softmax.sum(-1, keepdim=True)",
    "a test of one's own": "def my_softmax(s, t):\n    p = (s / t).exp()\n"
    "    return p / p.sum(-1, keepdim=True)\n"
    "torch.testing.assert_close(my_softmax(S, 1), torch.softmax(S, -1))",
    "a first try": "def my_softmax(s, t):\n    return torch.softmax(s, -1)\n"
    "def my_softmax(s, t):\n    p = (s / t).exp()\n"
    "    return p / p.sum(-1, keepdim=True)",
    "nothing": "def my_softmax(scores, temperature):\n    ...",
    "not Python": "def my_softmax(: torch.softmax",
}


@pytest.mark.parametrize("case", KEPT)
def test_a_kept_rule_has_no_flag(case):
    found = rules.flags("01_dot_product", [START, KEPT[case]])
    assert not any(found.values())


def test_the_courses_own_function_is_found_everywhere():
    name = "02_scaled_dot_product"
    cells = [
        "from attn_course import checks, scaled_dot_product as sdp",
        "def my_mask(lengths, length):\n    return sdp.causal_mask(length)",
        "my_attention = checks.scaled_dot_product._oracle_attention",
    ]
    found = rules.flags(name, cells)
    assert found["mask"] == [
        "attn_course.scaled_dot_product.causal_mask, line 2: "
        "return sdp.causal_mask(length)"
    ]
    assert "checks.scaled_dot_product._oracle" in found["attention"][0]
    # What the teacher's answer calls as well may be called.
    allowed = "from attn_course.scaled_dot_product import causal_mask\n"
    mask = "def my_decoder_mask(t):\n    return causal_mask(t.shape[1])"
    assert not rules.flags("06_transformer", [allowed, mask])["decoder_mask"]


@pytest.mark.parametrize("odd", ["-" * 10**5 + "1", "a" + ".b" * 20000, "\0"])
def test_odd_code_stops_nobody(odd):
    found = rules.flags("01_dot_product", [f"{odd}\nmy_softmax = a"])
    assert found["softmax"] in ([], ["too deep to be read"])


def test_an_assignment_of_the_teachers_own_has_no_flags():
    assert rules.flags("99_mine", ["x = 1"]) == {}


# What is tried in vain -----------------------------------------------------

TRIES = {
    "try:\n    open(ROOT + '/attn_course/checks/engine.py')\n"
    "except OSError:\n    pass": "opens ROOT/attn_course/checks/engine.py, line 2",
    "import os\nos.scandir(ROOT + '/notebooks')": "opens ROOT/notebooks, line 2",
    "open('/usr/mine', 'w')": "opens /usr/mine, line 1",
    "import os\nos.remove('/usr/mine')": "changes /usr/mine, line 2",
    "import socket\nsocket.create_connection(('127.0.0.1', 9))": "uses the "
    "network, line 2",
    "import os\nos.system('ls')": "starts a program, line 2",
    "from attn_course.checks.dot_product import HAND": "imports "
    "attn_course.checks.dot_product, line 1",
    "import os\nos._exit(0)": "ends its process",
    "x = bytes(10**10)": "takes too much memory",
    "while True:\n    pass": "takes too long",
}
HARMLESS = [
    "open('mine.txt', 'w').write('x')\nprint(open('mine.txt').read())",
    "try:\n    open('data/missing.csv')\nexcept OSError:\n    pass",
    "import torch, numpy, fractions, csv\ntorch.ones(2).softmax(-1)",
    "import attn_course.dot_product\nimport torch.utils.data",
    "1 / 0",
]


def test_what_is_tried_in_vain_is_told_with_its_line():
    root = str(notebooks.ROOT)
    with remote.Worker("dot_product", cell_seconds=2.0) as learner:
        for text in HARMLESS:
            learner.run(text)
        assert learner.stopped == []
        learner.run(f"ROOT = {root!r}")
        for text, said in TRIES.items():
            learner.stopped = []
            learner.run(text)
            assert said.replace("ROOT", root) in learner.stopped
