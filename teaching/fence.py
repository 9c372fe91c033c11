"""The fence around learners' code: bubblewrap, where the system has it.

Behind it a process has no network, sees Python and the course without its
checks and nothing else, writes to a small scratch folder only, and ends with
the grader. Its limits of memory, file size and processes are set in
``teaching.worker``, and hold without the fence too.
"""

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCRATCH = "/tmp"
SCRATCH_BYTES = 64 * 2**20
WARNING = (
    "Warning: learners' code is not fenced off here ({}). Limits of time, "
    "memory and file size hold, but it can read and write what you can, "
    "solutions among it, and use the network. On Debian, install bubblewrap; "
    "elsewhere, grade in a container. See teaching/guide.md."
)


@cache
def fence() -> tuple[str, ...]:
    """Return the words that put a command behind the fence, written before it.

    They are tried once. Where that fails there are none, and a warning says
    what is then not fenced off.
    """
    why = "bubblewrap is not installed"
    if shutil.which("bwrap"):
        words = _words()
        tried = subprocess.run(
            [*words, sys.executable, "-c", ""], capture_output=True, text=True
        )
        if tried.returncode == 0:
            return words
        why = tried.stderr.strip()
    print(WARNING.format(why), file=sys.stderr, flush=True)
    return ()


def _words() -> tuple[str, ...]:
    readable = [
        *("/usr", "/bin", "/lib", "/lib64", "/etc/ld.so.cache"),
        *(sys.prefix, sys.base_prefix),
        *(path for path in sys.path if "site-packages" in path),
        *(str(ROOT / "attn_course"), str(ROOT / "teaching" / "worker.py")),
    ]
    hidden = [str(ROOT), str(ROOT / "attn_course" / "checks")]
    room = f"--perms 1777 --size {SCRATCH_BYTES} --tmpfs".split()
    parents = {str(up) for path in readable for up in Path(path).parents}
    places = {path: ["--dir", path] for path in parents - {"/"}}  # for all
    places |= {path: ["--ro-bind-try", path, path] for path in readable}
    places |= {path: ["--tmpfs", path] for path in hidden}
    places[SCRATCH] = [*room, SCRATCH]
    words = ["bwrap", "--die-with-parent", "--new-session"]
    words += [f"--unshare-{what}" for what in ("pid", "net", "ipc", "uts")]
    words += ["--unshare-cgroup-try", "--cap-drop", "ALL"]
    if os.getuid() == 0:  # the worker becomes nobody, see there
        words += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    for path in sorted(places):  # a folder before what lies in it
        words += places[path]
    words += ["--proc", "/proc", "--dev", "/dev"]
    for path in ("/", "/dev", *hidden):
        words += ["--remount-ro", path]
    return (*words, "--chdir", SCRATCH)
