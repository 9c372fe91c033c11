"""The grader's end of a worker: learners' functions, called from here.

A ``Worker`` runs a learner's cells in a process of its own (see
``teaching.worker``); a learner's function is here a ``Remote``, which sends
arguments there and gets numbers back.
"""

import builtins
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress

import torch

from attn_course.checks.engine import TimeUp
from teaching import worker
from teaching.fence import ROOT, SCRATCH, fence
from teaching.worker import pack, unpack

LIMITS = {
    "MemoryError": "takes too much memory",
    "No space left on device": "fills the disk",
    "File too large": "fills the disk",
}
MOST_BYTES = 64 * 2**20  # of one answer


class Gone(Exception):
    """The worker is no more: it was ended, or it ended itself."""


class Worker:
    """A process that holds one learner's cells; started when first needed.

    If a cell or a call ends it, it is started anew, and the cells that went
    well are run again.
    """

    def __init__(
        self, slug: str, *, cell_seconds=10.0, call_seconds=5.0, seconds=300.0
    ):
        self.slug = slug
        self.cell_seconds, self.call_seconds = cell_seconds, call_seconds
        self.left = seconds  # of the learner's code, all in all
        self.done: list[str] = []
        self.process = self.folder = None
        self.last = ""  # words of the last process on standard error
        self.number = 0  # of the process: functions belong to one
        self.stopped: list[str] = []  # what was tried in vain, for a teacher
        self.lock = threading.Lock()

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start a process, and give it the cells that went well.

        Raises:
            RuntimeError: if it does not start, with its words.
        """
        words = fence()
        program = [sys.executable, "-B", worker.__file__, self.slug]
        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.process = subprocess.Popen(
            [*words, *program, "fenced" if words else "open"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.folder.name,
            env=_environment(SCRATCH if words else self.folder.name),
        )
        self.number += 1
        try:
            self._say({"do": "hello"}, 120.0)  # imports take their time
        except (TimeoutError, Gone):
            raise RuntimeError(
                f"the process for a learner's code does not start: {self.last}"
            ) from None
        for source in self.done:
            self._ask({"do": "cell", "source": source}, self.cell_seconds)

    def stop(self) -> None:
        """End the process and take its folder away; keep its last words."""
        if self.process is not None:
            self.process.kill()
            with suppress(subprocess.TimeoutExpired):
                self.last = self.process.communicate(timeout=5)[1].decode(
                    errors="replace"
                )
            self.folder.cleanup()
        self.process = self.folder = None

    def _say(self, message: dict, seconds: float) -> dict:
        """Send one line and read one, in a thread, since either may block.

        Raises:
            TimeoutError: if it took too long.
            Gone: if the process ended, or answered nonsense.
        """
        process, lines = self.process, []

        def talk() -> None:
            with suppress(OSError, ValueError):  # its end is closed
                process.stdin.write(json.dumps(message).encode() + b"\n")
                process.stdin.flush()
                lines.append(process.stdout.readline(MOST_BYTES))

        thread = threading.Thread(target=talk, daemon=True)
        thread.start()
        thread.join(seconds)
        if thread.is_alive():
            self.stop()
            raise TimeoutError
        try:
            answer = json.loads(lines[0])
            if type(answer) is dict:
                return answer
        except (IndexError, ValueError, RecursionError):
            pass
        self.stop()
        raise Gone("the process ended")

    def _ask(self, message: dict, seconds: float, functions=()) -> dict:
        """Say something and return the answer; call back if asked to.

        Raises:
            TimeoutError, Gone: as above.
        """
        begin = time.monotonic()
        until = begin + min(seconds, self.left)
        try:
            while True:
                answer = self._say(message, max(0.0, until - time.monotonic()))
                if "back" not in answer:
                    self._note(answer)
                    return answer
                message = _call_back(functions, answer)
        except TimeoutError:
            self.stopped.append("takes too long")
            raise
        except Gone:
            self.stopped.append("ends its process")
            raise
        finally:
            self.left -= time.monotonic() - begin

    def _note(self, answer: dict) -> None:
        """Keep what an answer says was stopped, as plain short words."""
        found = answer.pop("stopped", [])
        if type(found) is list:
            self.stopped += [one[:200] for one in found if type(one) is str]
        said = f"{answer.get('error')}: {answer.get('said')}"
        self.stopped += [word for sign, word in LIMITS.items() if sign in said]

    def ask(self, message: dict, seconds: float, functions=()) -> dict:
        """The same, in a process that is there; one at a time."""
        with self.lock:
            if self.left <= 0:
                raise TimeoutError
            if self.process is None:
                self.start()
            return self._ask(message, seconds, functions)

    def run(self, source: str) -> dict:
        """Run a cell; if it ends well, or with an error, keep it."""
        try:
            message = {"do": "cell", "source": source}
            answer = self.ask(message, self.cell_seconds)
        except TimeoutError:
            return {
                "error": "TimeoutError",
                "said": f"still running after {self.cell_seconds:g} seconds",
                "line": "",
            }
        except Gone:
            return {
                "error": "Gone",
                "said": "this cell ended the whole process",
                "line": "",
            }
        self.done.append(source)
        return answer

    def value(self, name: str):
        """Return the value of a learner's name, functions as ``Remote``.

        Raises:
            NameError: if there is none.
        """
        try:
            answer = self.ask({"do": "get", "name": name}, 10.0)
            if "error" in answer:
                raise NameError(f"name {name!r} is not defined")
            return unpack(
                answer["value"],
                lambda number, title: Remote(self, name, number, title),
            )
        except (TimeoutError, Gone, worker.Broken, KeyError, TypeError):
            raise NameError(f"{name!r} cannot be read") from None


class Remote:
    """A learner's function: called here, it runs in the worker."""

    def __init__(self, owner: Worker, name: str, number: int, title: str):
        self.owner, self.name, self.number = owner, name, number
        self.born = owner.number
        self.__name__ = title

    def __call__(self, *args: object, **kwargs: object):
        owner = self.owner
        if owner.process is None or owner.number != self.born:
            again = owner.value(self.name)  # in a new process
            if not isinstance(again, Remote):
                raise TypeError(f"{self.name} is no function any more")
            self.number, self.born = again.number, again.born
        functions: dict[int, object] = {}
        message = {
            "do": "call",
            "number": self.number,
            "args": [pack(a, functions) for a in args],
            "kwargs": {k: pack(v, functions) for k, v in kwargs.items()},
        }
        try:
            answer = owner.ask(message, owner.call_seconds, functions)
        except TimeoutError:
            raise TimeUp from None
        except Gone:
            raise SystemExit("it ended the process") from None
        if "error" in answer:
            raise _same_error(answer)
        try:
            for before, after in _pairs(args, kwargs, answer):
                _write_back(before, after)
            gradients = [unpack(one) for one in answer["gradients"]]
            return _linked(unpack(answer["value"]), args, gradients)
        except (KeyError, TypeError, AttributeError):
            raise worker.Broken("an answer of no known form") from None


def _linked(result, args, gradients):
    """Give a result the gradients that the worker found at the arguments.

    They are those of the sum of the result's numbers times ``weights_like``.
    """
    if not getattr(result, "requires_grad", False):
        return result
    asked = [a for a in args if getattr(a, "requires_grad", False)]
    link = sum(
        ((argument - argument.detach()) * gradient).sum()
        for argument, gradient in zip(asked, gradients)
        if getattr(gradient, "shape", None) == argument.shape
    )
    weights = worker.weights_like(result)
    return result.detach() + link * weights / weights.square().sum()


def _pairs(args, kwargs, answer):
    """Pair the arguments as they were with what came back of them."""
    yield from zip(args, answer["args"])
    for name, value in kwargs.items():
        yield value, answer["kwargs"][name]


def _write_back(before, packed) -> None:
    """Change an argument here as it was changed in the worker."""
    if isinstance(before, torch.Tensor):
        after = unpack(packed)
        same = (
            isinstance(after, torch.Tensor)
            and after.shape == before.shape
            and after.dtype == before.dtype
            and torch.equal(
                after.detach().nan_to_num(7.7), before.detach().nan_to_num(7.7)
            )
        )
        if not same and isinstance(after, torch.Tensor):
            before.data = after.detach().to(before.dtype)
    elif isinstance(before, list):
        after = unpack(packed, lambda number, title: None)
        plain = [x for x in before if not callable(x)]
        if isinstance(after, list) and len(plain) == len(before):
            for number, (one, other) in enumerate(zip(before, packed["list"])):
                if isinstance(one, torch.Tensor):
                    _write_back(one, other)
                elif number < len(after):
                    before[number] = after[number]


def _call_back(functions, answer: dict) -> dict:
    """Call one of the grader's functions for the worker."""
    try:
        function = functions[int(answer["back"])]
        args = [unpack(a) for a in answer["args"]]
        return {"value": pack(function(*args))}
    except Exception as error:
        return {"error": type(error).__name__, "said": str(error)[:500]}


def _same_error(answer: dict) -> BaseException:
    """Return an error like the worker's, with its words."""
    kind = getattr(builtins, str(answer.get("error")), None)
    said = str(answer.get("said", ""))[:500]
    if not (isinstance(kind, type) and issubclass(kind, Exception)):
        kind = RuntimeError
    try:
        return kind(said)
    except TypeError:  # UnicodeDecodeError and its like want more
        return RuntimeError(said)


def _environment(home: str) -> dict[str, str]:
    """Return what a worker may know of this process's environment."""
    kept = ("PATH", "LANG", "SYSTEMROOT")
    return {
        **{name: os.environ[name] for name in kept if name in os.environ},
        "HOME": home,
        "MPLBACKEND": "Agg",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
    }
