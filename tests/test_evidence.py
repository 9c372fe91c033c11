"""The comparisons of the lessons rest on stored rows, and the rows on code."""

import json
import math
import re
from pathlib import Path

import pytest
import torch

from attn_course import evidence
from attn_course.common.statistics import Interval, hierarchical_bootstrap
from experiments import claims, runner
from experiments.claims import Arm, Claim, Run, above, below, between
from tools import notebooks

NAMES = runner.names()
ID = re.compile(r"\bE\d\d\.\d+\b")


def results(name):
    return json.loads((runner.RESULTS / f"{name}.json").read_text("utf-8"))


def text_cells(name):
    return [
        cell.source
        for cell in notebooks.read_source(name).cells
        if cell.cell_type == "markdown"
    ]


# Rows and claims -----------------------------------------------------------


def test_every_lesson_that_compares_has_its_experiments():
    assert list(NAMES) == list(notebooks.lessons())[1:]  # 00 says hello


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_those_of_the_code(name):
    module, table = runner.load(name), results(name)
    assert table["code"] == runner.digest(name), "run make evidence"
    assert [row["id"] for row in table["claims"]] == [
        claim.id for claim in module.CLAIMS
    ]
    for claim, row in zip(module.CLAIMS, table["claims"]):
        assert claim.id.startswith(f"E{name[:2]}.")
        assert row["sentence"] == claim.sentence
        interval = Interval(row["estimate"], row["low"], row["high"])
        assert row["verdict"] == claim.verdict(interval), claim.id
        assert row["bounds"] == str(claim.verdict)
        assert row["low"] <= row["estimate"] <= row["high"]
    page = (runner.RESULTS / f"{name}.md").read_text("utf-8")
    assert page == runner.page(table)


@pytest.mark.parametrize("name", NAMES)
def test_each_verdict_rests_on_five_seeds_that_did_not_choose(name):
    table = results(name)
    assert len(table["seeds"]) >= 5
    assert not set(table["seeds"]) & set(table["search_seeds"])
    for arm in table["arms"].values():
        tried = [one["validation"] for one in arm["search"]]
        best = max((x for x in tried if x is not None), default=None)
        chosen = next(
            one["validation"]
            for one in arm["search"]
            if one["settings"] == arm["chosen"]
        )
        assert chosen == best


@pytest.mark.parametrize("name", NAMES)
def test_a_lesson_cites_each_of_its_rows_and_no_other(name):
    ids = {row["id"] for row in results(name)["claims"]}
    text = "\n".join(text_cells(name))
    assert set(ID.findall(text)) == ids
    for claim in ids:
        anchor = claim.lower().replace(".", "")
        link = f"[{claim}](../experiments/results/{name}.md#{anchor})"
        assert link in text, f"write {link}"


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_prints_its_rows_as_they_are_now(name):
    """A changed sentence does not make a notebook stale: so look here."""
    for cell in notebooks.read_notebook(name).cells:
        if cell.cell_type != "code" or "evidence.show(" not in cell.source:
            continue
        printed = "".join(part.get("text", "") for part in cell.outputs)
        for claim in re.findall(r'"(E\d\d\.\d+)"', cell.source):
            assert evidence.describe(evidence.row(claim)) in printed


# A net with holes: it finds comparisons that nobody thought of, not all.
COMPARES = re.compile(
    r"\b(ahead of|behind|better than|worse than|beats?|outperforms?|"
    r"learns? (?:more|faster|less|better|slower|sooner)|more accurate|"
    r"level with|no better|no worse|loses to)\b"
)


@pytest.mark.parametrize("name", NAMES)
def test_a_comparing_sentence_has_an_id(name):
    """Or stands in the file's NO_CLAIM, with the reason why it is none."""
    exempt = getattr(runner.load(name), "NO_CLAIM", {})
    text = [re.sub(r"\s+", " ", cell) for cell in text_cells(name)]
    for part in exempt:
        assert any(part in cell for cell in text), f"not in the text: {part}"
    bare = [
        sentence
        for cell in text
        for sentence in re.split(r"(?<=[.!?:;]) ", cell)
        if COMPARES.search(sentence)
        and not ID.search(cell)
        and not any(part in sentence for part in exempt)
    ]
    assert not bare, "\n".join(bare)


# The machine ---------------------------------------------------------------


def test_the_smallest_experiment_gives_the_same_twice(tmp_path):
    """From nothing to the table, as `make evidence` does it."""
    name = min(NAMES, key=lambda name: results(name)["processor_seconds"])
    tables = []
    for turn in ("first", "second"):
        said = []
        table = runner.evidence(
            name, 2, tmp_path / turn, tmp_path / turn, said.append
        )
        assert said and "minutes left" in said[0]
        tables.append({**table, "processor_seconds": 0})
    assert tables[0] == tables[1]
    # A second call computes nothing; what was kept is what is written.
    said = []
    runner.evidence(name, 2, tmp_path / turn, tmp_path / turn, said.append)
    assert not said
    kept = results(name)
    assert tables[0]["claims"] == kept["claims"]


def test_a_kept_run_that_is_damaged_is_run_again(tmp_path):
    name = min(NAMES, key=lambda name: results(name)["processor_seconds"])
    arm = next(iter(runner.load(name).ARMS.values()))
    settings = tuple(arm.search[0].items())
    job = runner.Job("code", name, arm.run.__name__, settings, seed=7)
    assert runner.read(job, tmp_path) is None
    done = runner.do(job, tmp_path)
    assert runner.read(job, tmp_path) == done
    (path,) = tmp_path.rglob("*.json")
    path.write_text(path.read_text("utf-8")[:-9], "utf-8")
    assert runner.read(job, tmp_path) is None
    path.write_bytes(b"\xff")
    assert runner.read(job, tmp_path) is None


@pytest.mark.parametrize(
    ("verdict", "interval", "expected"),
    [
        (above(0), (0.2, 0.1, 0.3), "yes"),
        (above(0), (0.2, -0.1, 0.3), "undecided"),
        (above(0), (-0.2, -0.3, -0.1), "no"),
        (below(0.5), (0.2, 0.1, 0.3), "yes"),
        (below(0.5), (0.7, 0.6, 0.8), "no"),
        (between(-0.1, 0.1), (0.0, -0.05, 0.05), "yes"),
        (between(-0.1, 0.1), (0.0, -0.2, 0.05), "undecided"),
        (between(-0.1, 0.1), (0.3, 0.2, 0.4), "no"),
        (above(0), (math.nan, math.nan, math.nan), "undecided"),
    ],
)
def test_verdicts(verdict, interval, expected):
    assert verdict(Interval(*interval)) == expected


def test_a_verdict_says_its_bounds():
    assert str(above(0.02)) == "above 0.02"
    assert str(below(-1)) == "below -1"
    assert str(between(-0.01, 0.01)) == "from -0.01 to 0.01"


def test_a_claim_is_judged_seed_by_seed_and_item_by_item():
    generator = torch.Generator().manual_seed(0)
    hard = torch.rand(50, generator=generator)  # the items' own share

    def runs(lead):
        noise = torch.rand(5, 50, generator=generator)
        return [Run(0.0, {"right": hard + lead + 0.01 * x}) for x in noise]

    both = {"a": runs(0.1), "b": runs(0.0)}
    claim = Claim("E99.1", "A leads.", "right", "a", over="b")
    interval = claims.judge(claim, both)
    assert claim.verdict(interval) == "yes"
    assert 0.09 < interval.low < interval.high < 0.11
    alone = Claim("E99.2", "A is right.", "right", "a", verdict=above(0.9))
    interval = claims.judge(alone, both)
    table = torch.stack([run.items["right"].double() for run in both["a"]])
    score, low, high = hierarchical_bootstrap(table)
    wider = claims.widening(5)
    assert interval.score == score
    assert interval.low == pytest.approx(score - wider * (score - low))
    assert interval.high == pytest.approx(score + wider * (high - score))


def test_five_seeds_give_an_interval_that_holds():
    """Where luck in training is all: about 19 of 20 hold the truth."""
    assert claims.widening(5) == pytest.approx(1.583, abs=1e-3)
    assert claims.widening(50) == pytest.approx(1.036, abs=1e-3)
    generator = torch.Generator().manual_seed(0)
    claim = Claim("E99.1", "", "x", "a")
    held = narrow = 0
    for _ in range(300):
        luck = torch.randn(5, 1, generator=generator).expand(5, 20)
        runs = [Run(0.0, {"x": row}) for row in luck]
        interval = claims.judge(claim, {"a": runs})
        held += interval.low <= 0 <= interval.high
        _, low, high = hierarchical_bootstrap(luck)
        narrow += low <= 0 <= high
    assert narrow / 300 < 0.87 < 0.91 < held / 300 < 0.98


def arm(tried):
    return Arm(lambda seed: None, [{"lr": x} for x in range(tried)])


@pytest.mark.parametrize(
    ("arms", "rows", "message"),
    [
        ({"a": arm(1)}, ["a", "a"], "each id once"),
        ({"a": arm(1)}, ["b"], "one of the arms"),
        ({"a": arm(1), "b": arm(1)}, ["a"], "a claim for each"),
    ],
)
def test_claims_against_the_protocol_are_refused(arms, rows, message):
    ids = ["E99.1"] * len(rows)
    table = [Claim(i, "", "right", name) for i, name in zip(ids, rows)]
    with pytest.raises(ValueError, match=message):
        claims.check(arms, table)


def test_arms_that_are_compared_have_the_same_search():
    arms = {"a": arm(3), "b": arm(1)}
    unfair = [Claim("E99.1", "", "right", "a", over="b")]
    with pytest.raises(ValueError, match="as many settings"):
        claims.check(arms, unfair)


def test_the_code_of_a_row_is_more_than_its_sentences(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "FOLDER", tmp_path)
    path = tmp_path / "99_x.py"
    text = '"""Doc."""\nX = 1\ndef f():\n    """One."""\n    return X\n'
    path.write_text(text + "ARMS = {}\nCLAIMS = [1]\n")
    before = runner.digest("99_x")
    same = text.replace("Doc.", "Another.").replace("One.", "Two.")
    path.write_text(same + "# a comment\nARMS = {}\nCLAIMS = [2]\n")
    assert runner.digest("99_x") == before
    path.write_text(text.replace("X = 1", "X = 2") + "ARMS = {}\n")
    assert runner.digest("99_x") != before
    path.write_text(text + "ARMS = {1: 2}\nCLAIMS = [1]\n")
    assert runner.digest("99_x") != before
    assert runner.digest("99_x", without=("ARMS", "CLAIMS")) == (
        runner.digest("99_x", without=("CLAIMS", "ARMS"))
    )


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "x.json"
    runner.write(path, "old")

    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(runner.os, "replace", fail)
    with pytest.raises(KeyboardInterrupt):
        runner.write(path, "new")
    assert path.read_text() == "old"


# What a lesson reads -------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_lesson_reads_what_is_stored(name, capsys):
    table = results(name)
    found = evidence.arms(name[:2])
    assert list(found) == list(table["arms"])
    for label, one in found.items():
        assert one.chosen in [settings for settings, _ in one.search]
        assert all(
            len(means) == len(table["seeds"]) for means in one.means.values()
        ), label
    for row in table["claims"]:
        assert evidence.row(row["id"]).interval.low == row["low"]
    evidence.show(*(row["id"] for row in table["claims"]))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 79
    assert sum(bool(re.match(r"E\d\d\.\d+  ", x)) for x in lines) == len(
        table["claims"]
    )


def test_a_long_claim_is_said_in_lines_of_79():
    long = evidence.Row(
        id="E99.10",
        sentence="word " * 80,
        measure="measure " * 20,
        arm="arm",
        over=None,
        interval=Interval(0.5, 0.25, 0.75),
        bounds="above 0",
        verdict="yes",
        seeds=5,
    )
    lines = evidence.describe(long).splitlines()
    assert max(map(len, lines)) <= 79 and lines[0].startswith("E99.10  word")
    assert all(line.startswith("       ") for line in lines[1:])
    assert lines[-1].endswith("above 0? yes")


def test_what_is_not_stored_is_said():
    with pytest.raises(ValueError, match="lesson: expected one of"):
        evidence.arms("99")
    name = NAMES[0]
    with pytest.raises(ValueError, match="claim: expected one of"):
        evidence.row(f"E{name[:2]}.999")


# Samples -------------------------------------------------------------------

# Twenty items or more from the front of something; a few may be looked at.
SLICED = re.compile(r"\w\[:([2-9]\d|\d{3,})\]")


@pytest.mark.parametrize("name", notebooks.lessons())
def test_no_lesson_slices_data_to_sample_it(name):
    """`data.sample(items, n, seed)` does: files are often sorted."""
    path = Path(notebooks.FOLDER) / "source" / f"{name}.py"
    found = [
        f"{path.name}:{number}: {line.strip()}"
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if SLICED.search(line)
    ]
    assert not found, "\n".join(found)
