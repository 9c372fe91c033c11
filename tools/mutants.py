"""Change the code at random, and see whether a test notices.

``python -m tools.mutants --sample 200`` takes a random sample of the small
changes that cosmic-ray can make (another operator, number, comparison or
constant) in the common room and in lessons 01 to 08, makes each in a clone of
the last commit, and runs the tests that use the changed function, in a fork
(so not on Windows). It prints a table, and every change that no test caught:
those are for reading.

Changes within type annotations (``Tensor | None``) are left out: they break at
import, and so would only flatter the share. What was done is kept in
``build/mutants``; an interrupted run goes on where it was.
"""

import argparse
import ast
import difflib
import importlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LESSONS = (
    "dot_product",
    "scaled_dot_product",
    "self_attention",
    "multi_head_attention",
    "additive_attention",
    "transformer",
    "translation",
    "text_classification",
)
SECONDS = 900.0  # a test run that takes longer has caught the change
BROKEN = (3, 99)  # exit codes: pytest's own error; pytest did not begin
UNUSABLE = 4  # its tests were not found, or conftest.py not imported
TESTS = ["tests/test_common.py", *(f"tests/test_{s}.py" for s in LESSONS)]
CONFIG = """[cosmic-ray]
module-path = [{modules}]
timeout = {seconds}
excluded-modules = []
test-command = "python -m pytest"

[cosmic-ray.distributor]
name = "local"
"""
# Loaded once; each test run is a fork, which need not load them again. Nothing
# of the course is among them (it is what changes), and no plugin of pytest.
SLOW_TO_LOAD = (
    "torch",
    "torch.fx.experimental.proxy_tensor",
    "scipy.optimize",
    "scipy.stats",
    "sklearn.feature_extraction.text",
    "sklearn.linear_model",
    "matplotlib.pyplot",
    "ipywidgets",
    "anywidget",
    "beartype",
    "sentencepiece",
    "sacrebleu",
)


def look(folder: Path) -> None:
    """Run all tests once, and keep which test ran which line."""
    command = [
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
        *("--cov=attn_course", "--cov-context=test", "--cov-report="),
        *TESTS,
    ]
    environment = _environment(folder / "clone")
    environment["COVERAGE_FILE"] = str(folder / "coverage.part")
    subprocess.run(command, cwd=folder / "clone", env=environment, check=True)
    os.replace(folder / "coverage.part", folder / "coverage")


def tests_of(path: str, line: int, folder: Path) -> list[str]:
    """Return the tests that run the function in which a line stands.

    Of a line in no function (a constant, a field) they are those of its file,
    and of the common room all.
    """
    from coverage import CoverageData

    source = (folder / "clone" / path).read_text("utf-8")
    functions = [
        (node.lineno, node.body[0].lineno, node.end_lineno)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and node.lineno <= line <= node.end_lineno
    ]
    if not functions:
        own = f"tests/test_{Path(path).with_suffix('').parts[1]}.py"
        return TESTS if own == "tests/test_common.py" else [own]
    _, first, last = min(functions)  # of the outermost, its body
    data = CoverageData(str(folder / "coverage"))
    data.read()
    by_line = data.contexts_by_lineno(str(folder / "clone" / path))
    names = {
        context.rpartition("|")[0]
        for number in range(first, last + 1)
        for context in by_line.get(number, ())
    }
    return sorted(names - {""})


def run_tests(tests: list[str], clone: Path) -> int:
    """Run tests in a fork of this process; return pytest's exit code.

    Raises:
        RuntimeError: if pytest could not do its work.
    """
    if not tests:
        return 0
    child = os.fork()
    if child == 0:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        os.setpgrp()
        os.environ.update(_environment(clone))
        sys.path.insert(0, str(clone))
        # A changed file may be as long and as old as it was before.
        sys.dont_write_bytecode = True
        code = BROKEN[1]
        try:
            import pytest

            options = ["-q", "-x", "-p", "no:cacheprovider"]
            code = int(pytest.main([*options, *tests]))
        finally:
            os._exit(code)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            if code in BROKEN:
                raise RuntimeError(f"pytest ended with {code} on {tests}")
            return code
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return 1


def execute(session: Path, folder: Path) -> None:
    """Make every change that is still to be made, and run its tests."""
    from cosmic_ray import plugins
    from cosmic_ray.mutating import use_mutation
    from cosmic_ray.work_db import WorkDB, use_db
    from cosmic_ray.work_item import TestOutcome, WorkerOutcome, WorkResult

    clone = folder / "clone"
    for name in SLOW_TO_LOAD:
        importlib.import_module(name)
    os.chdir(clone)
    if run_tests(TESTS[1:2], clone):
        raise RuntimeError(f"{TESTS[1]} fails without any change")
    with use_db(session, WorkDB.Mode.open) as db:
        todo = list(db.pending_work_items)
        for number, item in enumerate(todo, 1):
            (spec,) = item.mutations
            path, line = Path(spec.module_path), spec.start_pos[0]
            tests = tests_of(path.as_posix(), line, folder)
            operator = plugins.get_operator(spec.operator_name)
            with use_mutation(
                path, operator(**spec.operator_args), spec.occurrence
            ) as (before, after):
                code = run_tests(tests, clone)
            if code == UNUSABLE and run_tests(tests, clone):
                raise RuntimeError(f"fails without any change: {tests}")
            diff = difflib.unified_diff(before.split("\n"), after.split("\n"))
            outcome = TestOutcome.KILLED if code else TestOutcome.SURVIVED
            result = WorkResult(
                worker_outcome=WorkerOutcome.NORMAL,
                test_outcome=outcome,
                diff="\n".join(diff),
            )
            db.set_result(item.job_id, result)
            print(f"{number} of {len(todo)}: {path}:{line} {outcome.value}")


def _environment(clone: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(clone), "OMP_NUM_THREADS": "1"}


def prepare(folder: Path, sample: int, seed: int) -> Path:
    """Clone the last commit, list all changes, skip all but the sample."""
    from cosmic_ray.work_db import WorkDB, use_db
    from cosmic_ray.work_item import WorkerOutcome, WorkResult

    clone, session = folder / "clone", folder / "session.sqlite"
    if session.exists():
        return session
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    modules = ["attn_course/common"]
    for slug in LESSONS:
        package = clone / "attn_course" / slug
        suffix = "" if package.is_dir() else ".py"
        modules.append(f"attn_course/{slug}{suffix}")
    config = clone / "mutants.toml"
    config.write_text(
        CONFIG.format(
            modules=", ".join(f'"{name}"' for name in modules), seconds=SECONDS
        )
    )
    _cosmic_ray("init", config.name, str(session), cwd=clone)
    with use_db(session, WorkDB.Mode.open) as db:
        items = sorted(
            (
                item
                for item in db.work_items
                if "BitOr" not in item.mutations[0].operator_name
            ),
            key=lambda item: str(item.mutations[0]),
        )
        chosen = random.Random(seed).sample(items, min(sample, len(items)))
        keep = {item.job_id for item in chosen}
        skipped = WorkResult(worker_outcome=WorkerOutcome.SKIPPED)
        for item in list(db.work_items):
            if item.job_id not in keep:
                db.set_result(item.job_id, skipped)
        print(f"{len(keep)} of {len(items)} changes")
    return session


def report(session: Path) -> int:
    """Print the share that was caught, by file, and what was not."""
    from cosmic_ray.work_db import WorkDB, use_db
    from cosmic_ray.work_item import TestOutcome

    caught, all_done, survivors = Counter(), Counter(), []
    with use_db(session, WorkDB.Mode.open) as db:
        items = {item.job_id: item for item in db.work_items}
        for job, result in db.results:
            if result.test_outcome is None:
                continue
            where = items[job].mutations[0]
            name = str(where.module_path)
            all_done[name] += 1
            if result.test_outcome == TestOutcome.SURVIVED:
                survivors.append((where, result.diff))
            else:
                caught[name] += 1
    print("| file | changes | caught |\n|---|---:|---:|")
    for name in sorted(all_done):
        print(f"| {name} | {all_done[name]} | {caught[name]} |")
    done, right = all_done.total(), caught.total()
    print(f"| all | {done} | {right} ({right / max(1, done):.1%}) |")
    for where, diff in survivors:
        print(f"\n{where.module_path}:{where.start_pos[0]}")
        print("\n".join(x for x in diff.splitlines() if x[:1] in "+-"))
    return 0


def _cosmic_ray(*arguments: str, cwd: Path) -> None:
    command = [sys.executable, "-m", "cosmic_ray.cli", *arguments]
    subprocess.run(command, cwd=cwd, env=_environment(cwd), check=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.mutants")
    parser.add_argument("--sample", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=ROOT / "build/mutants")
    parser.add_argument("--report", action="store_true", help="what is done")
    options = parser.parse_args()
    folder = options.folder.resolve()
    session = prepare(folder, options.sample, options.seed)
    if not options.report:
        # What was killed in the middle has left its change there.
        restore = ["git", "checkout", "-q", "--", "attn_course"]
        subprocess.run(restore, cwd=folder / "clone", check=True)
        if not (folder / "coverage").exists():
            look(folder)
        execute(session, folder)
    return report(session)


if __name__ == "__main__":
    raise SystemExit(main())
