"""Run tests and lessons on the GPU: ``python -m tests.gpu``, ``make test-gpu``.

Every test that takes a device runs on it. Then every lesson runs from start to
end, on the CPU and on the GPU; printed are seconds, and how many of the cells
that assert something held.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import torch

from tools import notebooks

COLUMNS = "{:28} {:>9} {:>9}  {:>9} {:>9}"


def verdicts(report: Path, name: str) -> tuple[int, int]:
    """Count a lesson's cells that assert and held, and all that assert."""
    book = notebooks.read_notebook(name)
    code = [c.source for c in book.cells if c.cell_type == "code"]
    asked, held = {i for i, text in enumerate(code) if "assert" in text}, 0
    for case in ElementTree.parse(report).iter("testcase"):
        number = int(re.search(r"\d+$", case.get("name"))[0])
        held += number in asked and len(case) == 0
    return held, len(asked)


def run_lesson(name: str, device: str) -> tuple[float, int, int]:
    """Run a lesson; return seconds, verdicts that held, and all."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        began = time.monotonic()
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q", "--nbval-lax", "-n0"),
                f"--junitxml={report}",
                f"notebooks/{name}.ipynb",
            ],
            cwd=notebooks.ROOT,
            env={**os.environ, "ATTN_DEVICE": device},
            capture_output=True,
            text=True,
        )
        seconds = time.monotonic() - began
        if done.returncode:
            print(done.stdout[-3000:], flush=True)
        return seconds, *verdicts(report, name)


def main() -> int:
    if not torch.cuda.is_available():
        print("test-gpu: torch finds no GPU here", file=sys.stderr)
        return 2
    tests = [sys.executable, "-m", "pytest", "tests", "-k", "cuda"]
    failed = subprocess.run(tests, cwd=notebooks.ROOT).returncode
    print(torch.cuda.get_device_name(), torch.__version__)
    print(COLUMNS.format("lesson", "CPU, s", "GPU, s", "held, CPU", "GPU"))
    for name in notebooks.lessons():
        cells, row = [], {}
        for device in ("cpu", "cuda"):
            row[device], held, asked = run_lesson(name, device)
            cells.append(f"{held}/{asked}")
            failed |= device == "cuda" and held < asked
        line = COLUMNS.format(
            name, f"{row['cpu']:.0f}", f"{row['cuda']:.0f}", *cells
        )
        print(line, flush=True)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
