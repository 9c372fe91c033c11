"""Run the claims of a lesson, keep every finished run, write the tables.

First every arm's settings are tried on the search's seeds; the best on
validation data is run on the seeds of the verdict. A finished run is kept in
``build/evidence`` under its function, settings, seed and code, so whatever
stops the runner costs the runs under way and no other.
"""

import ast
import hashlib
import importlib
import json
import math
import multiprocessing
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from experiments import claims
from experiments.claims import SEARCH_SEEDS, SEEDS, Run

FOLDER = Path(__file__).resolve().parent
RESULTS = FOLDER / "results"
KEPT = FOLDER.parent / "build" / "evidence"


class Job(NamedTuple):
    """One run that is asked for."""

    code: str  # digest of what a run depends on
    name: str  # of the lesson: 07_translation
    function: str
    settings: tuple[tuple[str, object], ...]
    seed: int


class Kept(NamedTuple):
    """One run that was done."""

    run: Run
    seconds: float  # of processor time


def names() -> list[str]:
    """List the lessons that have claims, in order."""
    return sorted(path.stem for path in FOLDER.glob("[0-9][0-9]_*.py"))


def load(name: str) -> ModuleType:
    """Import the claims of a lesson, and look whether they hold to the rules.

    Raises:
        ValueError: if they do not; see :func:`experiments.claims.check`.
    """
    module = importlib.import_module(f"experiments.{name}")
    claims.check(module.ARMS, module.CLAIMS)
    return module


# Tables of sentences: they may be put better without running anything again.
SENTENCES = ("CLAIMS", "NO_CLAIM")


def digest(name: str, without: Sequence[str] = SENTENCES) -> str:
    """Return a digest of a lesson's code, but for docstrings and comments.

    Args:
        name: of the lesson.
        without: tables that are left out; what is run may not change.
    """
    tree = ast.parse((FOLDER / f"{name}.py").read_text("utf-8"))
    kept = []
    for node in tree.body:
        targets = getattr(node, "targets", [])
        if any(getattr(target, "id", "") in without for target in targets):
            continue
        for inner in ast.walk(node):
            if isinstance(inner, (ast.FunctionDef, ast.ClassDef)):
                if ast.get_docstring(inner) is not None:
                    inner.body = inner.body[1:] or [ast.Pass()]
        kept.append(ast.unparse(node))
    text = "\n".join(kept[ast.get_docstring(tree) is not None :])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def evidence(
    name: str,
    workers: int = 2,
    kept: Path = KEPT,
    results: Path = RESULTS,
    say: Callable[[str], None] = print,
) -> dict:
    """Run what is missing of a lesson's claims, and write its results.

    Args:
        name: of the lesson, such as ``07_translation``.
        workers: how many runs at a time, each on one thread.
        kept: the folder of finished runs.
        results: the folder of the tables.
        say: told of every finished run.

    Returns:
        What is written to ``results/NAME.json``.
    """
    module = load(name)
    search_seeds = getattr(module, "SEARCH_SEEDS", SEARCH_SEEDS)
    seeds = getattr(module, "SEEDS", SEEDS)
    code = digest(name, without=("ARMS", *SENTENCES))

    def job(arm: claims.Arm, chosen: Mapping, seed: int) -> Job:
        return Job(code, name, arm.run.__name__, tuple(chosen.items()), seed)

    searched = [
        job(arm, tried, seed)
        for arm in module.ARMS.values()
        for tried in arm.search
        for seed in search_seeds
        if len(arm.search) > 1
    ]
    done = run_all(searched, workers, kept, say)
    arms = {}
    for label, arm in module.ARMS.items():
        scores = [
            sum(done[job(arm, tried, s)].run.validation for s in search_seeds)
            / len(search_seeds)
            if len(arm.search) > 1
            else math.nan
            for tried in arm.search
        ]
        # The first of the best; nan, of a run that failed, is never best.
        order = [-math.inf if math.isnan(score) else score for score in scores]
        arms[label] = (scores, arm.search[order.index(max(order))])
    final = [
        job(module.ARMS[label], chosen, seed)
        for label, (_, chosen) in arms.items()
        for seed in seeds
    ]
    done |= run_all(final, workers, kept, say)
    runs = {
        label: [done[job(module.ARMS[label], chosen, s)].run for s in seeds]
        for label, (_, chosen) in arms.items()
    }
    table = {
        "lesson": name,
        "code": digest(name),
        "seeds": list(seeds),
        "search_seeds": list(search_seeds),
        "arms": {
            label: {
                "function": module.ARMS[label].run.__name__,
                "search": [
                    {"settings": dict(tried), "validation": _rounded(score)}
                    for tried, score in zip(
                        module.ARMS[label].search, arms[label][0]
                    )
                ],
                "chosen": dict(arms[label][1]),
                "means": {
                    measure: [
                        _rounded(sum(run.items[measure]) / len(numbers))
                        for run in runs[label]
                    ]
                    for measure, numbers in runs[label][0].items.items()
                },
                "items": {
                    measure: len(numbers)
                    for measure, numbers in runs[label][0].items.items()
                },
            }
            for label in arms
        },
        "claims": [
            _row(claim, claims.judge(claim, runs)) for claim in module.CLAIMS
        ],
        "processor_seconds": round(sum(one.seconds for one in done.values())),
        "versions": _versions(),
    }
    table = json.loads(json.dumps(table))  # as it will be read: no tuples
    results.mkdir(parents=True, exist_ok=True)
    write(results / f"{name}.json", json.dumps(table, indent=1) + "\n")
    write(results / f"{name}.md", page(table))
    return table


def run_all(
    jobs: Sequence[Job], workers: int, kept: Path, say: Callable[[str], None]
) -> dict[Job, Kept]:
    """Do the jobs that are not kept; return all."""
    jobs = list(dict.fromkeys(jobs))
    done = {job: one for job in jobs if (one := read(job, kept)) is not None}
    todo = [job for job in jobs if job not in done]
    if not todo:
        return done
    start, count = time.perf_counter(), 0
    # Processes of their own: torch's random numbers are not shared, and
    # each computes on one thread. A fork would inherit torch's threads.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=_one_thread)
    try:
        waiting = {pool.submit(do, job, kept): job for job in todo}
        while waiting:
            ended, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in ended:
                job = waiting.pop(future)
                done[job] = future.result()
                count += 1
                left = (time.perf_counter() - start) / count
                left *= len(todo) - count
                say(
                    f"{count} of {len(todo)}, {left / 60:.1f} minutes left: "
                    f"{job.function} {dict(job.settings)} seed {job.seed}, "
                    f"{done[job].seconds:.1f} s"
                )
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return done


def do(job: Job, kept: Path) -> Kept:
    """Do a job, and keep it."""
    function = getattr(load(job.name), job.function)
    start = time.process_time()
    run = function(seed=job.seed, **dict(job.settings))
    seconds = time.process_time() - start
    items = {name: [float(x) for x in run.items[name]] for name in run.items}
    one = Kept(Run(float(run.validation), items), seconds)
    path = _place(job, kept)
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, json.dumps([one.run.validation, items, seconds]))
    return one


def read(job: Job, kept: Path) -> Kept | None:
    """Return a run that is kept, or None; a damaged one is none."""
    try:
        validation, items, seconds = json.loads(
            _place(job, kept).read_text("utf-8")
        )
        return Kept(Run(validation, items), seconds)
    except (OSError, ValueError):
        return None


def write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(text, "utf-8", newline="\n")
    os.replace(part, path)


def page(table: Mapping) -> str:
    """Return a lesson's results as a page."""
    name = table["lesson"]
    seeds = len(table["seeds"])
    hours = table["processor_seconds"] / 3600
    versions = ", ".join(f"{k} {v}" for k, v in table["versions"].items())
    lines = [
        f"# Evidence for lesson {name[:2]}",
        "",
        f"Made by `make evidence LESSON={name[:2]}` from "
        f"`experiments/{name}.py`, which says what each arm does. Where an "
        "arm could choose, its settings were chosen on validation data, with "
        f"{_count(len(table['search_seeds']), 'seed')} of the search's own. "
        f"Then each ran with {_count(seeds, 'seed')}. Intervals are of 95 %: "
        "they resample those seeds and, where a measure has a number for "
        "each test item, the items; and are widened for the number of seeds.",
        "",
    ]
    for row in table["claims"]:
        sides = row["arm"]
        if row["over"] is not None:
            sides += f" less {row['over']}"
        lines += [
            f"## {row['id']}",
            "",
            row["sentence"],
            "",
            "| measure | arms | estimate | interval | claim | verdict |",
            "|---|---|---:|---|---|---|",
            f"| {row['measure']} | {sides} | {row['estimate']:.4g} "
            f"| {row['low']:.4g} to {row['high']:.4g} "
            f"| {row['bounds']} | **{row['verdict']}** |",
            "",
        ]
    lines += [
        "## The arms",
        "",
        "| arm | settings tried (validation) | chosen | measure: each seed |",
        "|---|---|---|---|",
    ]
    for label, arm in table["arms"].items():
        tried = "; ".join(
            _settings(one["settings"])
            + ("" if one["validation"] is None else f" ({one['validation']})")
            for one in arm["search"]
        )
        scores = "; ".join(
            f"{measure}: {_each(means)}"
            for measure, means in arm["means"].items()
        )
        lines.append(
            f"| {label} | {tried} | {_settings(arm['chosen'])} | {scores} |"
        )
    lines += ["", f"Processor hours: {hours:.2f}. {versions}.", ""]
    return "\n".join(lines)


def again(name: str, results: Path = RESULTS) -> dict:
    """Write a lesson's sentences and verdicts anew from its kept intervals.

    Raises:
        ValueError: if the code that was run has changed since, or a claim
            has no row: then it has to be run.
    """
    module = load(name)
    table = json.loads((results / f"{name}.json").read_text("utf-8"))
    rows = {row["id"]: row for row in table["claims"]}
    if table["code"] != digest(name):
        raise ValueError(f"{name}: its code changed; run make evidence")
    table["claims"] = [_again(claim, rows) for claim in module.CLAIMS]
    write(results / f"{name}.json", json.dumps(table, indent=1) + "\n")
    write(results / f"{name}.md", page(table))
    return table


def _again(claim: claims.Claim, rows: Mapping[str, dict]) -> dict:
    row = rows.get(claim.id)
    now = (claim.measure, claim.arm, claim.over)
    if row is None or (row["measure"], row["arm"], row["over"]) != now:
        raise ValueError(f"{claim.id}: no such row; run make evidence")
    return _row(
        claim, claims.Interval(row["estimate"], row["low"], row["high"])
    )


def _row(claim: claims.Claim, interval: claims.Interval) -> dict:
    return {
        "id": claim.id,
        "sentence": claim.sentence,
        "measure": claim.measure,
        "arm": claim.arm,
        "over": claim.over,
        "estimate": _rounded(interval.score),
        "low": _rounded(interval.low),
        "high": _rounded(interval.high),
        "bounds": str(claim.verdict),
        "verdict": claim.verdict(interval),
    }


def _place(job: Job, kept: Path) -> Path:
    """Say where a run is kept: what was run, not what is claimed of it."""
    text = json.dumps(job, sort_keys=True)
    key = hashlib.sha256(text.encode()).hexdigest()[:24]
    return kept / job.name / f"{key}.json"


def _rounded(number: float) -> float | None:
    """Give six digits; None for what is not finite, which JSON lacks."""
    return float(f"{number:.6g}") if math.isfinite(number) else None


def _settings(chosen: Mapping[str, object]) -> str:
    return ", ".join(f"{key} {value}" for key, value in chosen.items()) or "-"


def _each(means: Sequence[float]) -> str:
    """Write few numbers out, and of many the mean and the range."""
    if len(means) <= 10:
        return " ".join(f"{mean:.4g}" for mean in means)
    middle = sum(means) / len(means)
    return f"{middle:.4g} ({min(means):.4g} to {max(means):.4g})"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _versions() -> dict[str, str]:
    import numpy
    import torch

    return {
        "Python": platform.python_version(),
        "torch": torch.__version__.split("+")[0],
        "numpy": numpy.__version__,
        "platform": f"{sys.platform} {platform.machine()}",
    }


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)
