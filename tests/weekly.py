"""Sum up a run against newer versions: ``python -m tests.weekly FOLDER``.

Reads the JUnit files of the folder, writes ``report.md`` beside them, and
ends with 1 if anything failed or a file is missing.
"""

import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from attn_course import start_here

RUNS = {
    "tests": "Tests of the package",
    "strict": "Lessons, every output compared",
    "lax": "Lessons, run from start to end",
}
COLOUR = re.compile(r"(?:#x1B|\x1b)\[[0-9;]*m")  # as pytest writes it in XML
SHOWN = 30  # failures named per run


def read(path: Path) -> tuple[int, int, list[str]] | None:
    """Return tests run, tests skipped, and the names of those that failed."""
    if not path.is_file():
        return None
    run, skipped, failed = 0, 0, []
    for case in ElementTree.parse(path).iter("testcase"):
        run += 1
        skipped += case.find("skipped") is not None
        problem = case.find("failure")
        problem = case.find("error") if problem is None else problem
        if problem is not None:
            said = COLOUR.sub("", problem.get("message") or "").strip()
            said = said.split("\n")[0]
            name = f"{case.get('classname')}::{case.get('name')}"
            failed.append(f"`{name}`: {said[:200]}")
    return run, skipped, failed


def report(folder: Path) -> tuple[str, bool]:
    """Return the report in Markdown, and whether all is well."""
    lines = ["| package | pinned | now |", "|---|---|---|"]
    for part in start_here.environment():
        if not part.ready:
            lines.append(f"| {part.name} | {part.wanted} | {part.found} |")
    well, details = True, []
    lines += ["", "| run | tests | skipped | failed |", "|---|---|---|---|"]
    for name, title in RUNS.items():
        result = read(folder / f"{name}.xml")
        if result is None:
            lines.append(f"| {title} | did not run | | |")
            well = False
            continue
        run, skipped, failed = result
        lines.append(f"| {title} | {run} | {skipped} | {len(failed)} |")
        well = well and run > 0 and not failed
        if failed:
            details += ["", f"## {title}", ""]
            details += [f"- {line}" for line in failed[:SHOWN]]
            if len(failed) > SHOWN:
                details.append(f"- and {len(failed) - SHOWN} more")
    return "\n".join(lines + details) + "\n", well


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: python -m tests.weekly FOLDER", file=sys.stderr)
        return 2
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    text, well = report(folder)
    (folder / "report.md").write_text(text, "utf-8")
    print(text)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
