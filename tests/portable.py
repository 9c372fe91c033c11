"""Run nbval over the notebooks on 1 and 2 threads, without and with AVX2.

``make test-portable`` runs it; names after the command limit it to lessons:
``python -m tests.portable 01 02``. Stored outputs have to hold everywhere.
"""

import os
import platform
import re
import subprocess
import sys

from tools import notebooks

# ONEDNN_MAX_CPU_ISA holds the convolutions to the same instructions.
KINDS = {"default": "SSE41", "avx2": "AVX2"}


def main(wanted: list[str]) -> int:
    names = [
        name
        for name in notebooks.lessons()
        if not wanted or any(name.startswith(prefix) for prefix in wanted)
    ]
    if platform.machine() not in ("x86_64", "AMD64"):
        print("not an x86 processor: the capability is left as it is")
    failed = 0
    for kind, instructions in KINDS.items():
        for threads in ("1", "2"):
            environment = {
                **os.environ,
                "OMP_NUM_THREADS": threads,
                "MKL_NUM_THREADS": threads,
                "ATEN_CPU_CAPABILITY": kind,
                "ONEDNN_MAX_CPU_ISA": instructions,
            }
            for name in names:
                result = subprocess.run(
                    [
                        sys.executable,
                        "-m",
                        "pytest",
                        "-q",
                        "-p",
                        "no:cacheprovider",
                        f"notebooks/{name}.ipynb",
                    ],
                    env=environment,
                    cwd=notebooks.ROOT,
                    capture_output=True,
                    text=True,
                )
                last = result.stdout.strip().splitlines()[-1]
                last = re.sub(r"=+", "", last).strip()
                print(
                    f"{kind:8} {threads} threads  {name}: {last}", flush=True
                )
                if result.returncode:
                    failed += 1
                    print(result.stdout)
    print(f"{len(names) * 4 - failed} passed, {failed} failed")
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
