"""Change the code at random, and see whether a test notices.

``python -m tools.mutants --sample 200`` takes a random sample of the small
changes that cosmic-ray can make (another operator, number, comparison or
constant) in the common room and in lessons 01 to 08, makes each in a clone of
the last commit, and runs the tests of the changed file. It prints a table, and
every change that no test caught: those are for reading.

Changes within type annotations (``Tensor | None``) are left out: they break at
import, and so would only flatter the share. What was done is kept in
``build/mutants``; an interrupted run goes on where it was.
"""

import argparse
import os
import random
import subprocess
import sys
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
CONFIG = """[cosmic-ray]
module-path = [{modules}]
timeout = {seconds}
excluded-modules = []
test-command = "{python} -m tools.mutants --test"

[cosmic-ray.distributor]
name = "local"
"""


def tests_of(path: str) -> list[str]:
    """Return the test files that belong to a module, most telling first."""
    parts = Path(path).with_suffix("").parts
    if parts[1] == "common":  # lessons pin what they use of it
        return ["tests/test_common.py", *users_of(parts[2])]
    return [f"tests/test_{parts[1]}.py"]


def users_of(name: str) -> list[str]:
    """Return the tests of lessons whose modules import a common one."""
    text = f"attn_course.common.{name} import"
    users = []
    for slug in LESSONS:
        files = [ROOT / "attn_course" / f"{slug}.py"]
        files += sorted((ROOT / "attn_course" / slug).glob("*.py"))
        if any(text in f.read_text("utf-8") for f in files if f.exists()):
            users.append(f"tests/test_{slug}.py")
    return users


def run_tests() -> int:
    """Run the tests of the one file that differs from the last commit."""
    command = ["git", "diff", "--name-only", "--", "attn_course"]
    changed = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    files = dict.fromkeys(f for path in changed for f in tests_of(path))
    pytest = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
    ]
    return subprocess.run([*pytest, *files], cwd=ROOT).returncode


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
            modules=", ".join(f'"{name}"' for name in modules),
            seconds=SECONDS,
            python=sys.executable,
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
    environment = {
        **os.environ,
        "PYTHONPATH": str(cwd),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "cosmic_ray.cli", *arguments]
    subprocess.run(command, cwd=cwd, env=environment, check=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.mutants")
    parser.add_argument("--sample", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=ROOT / "build/mutants")
    parser.add_argument("--report", action="store_true", help="what is done")
    parser.add_argument("--test", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.test:
        return run_tests()
    session = prepare(options.folder, options.sample, options.seed)
    if not options.report:
        clone = options.folder / "clone"
        _cosmic_ray("exec", "mutants.toml", str(session), cwd=clone)
    return report(session)


if __name__ == "__main__":
    raise SystemExit(main())
