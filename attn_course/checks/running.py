"""Run a learner's answer: on copies, for a limited time, errors put in words."""

import copy
import ctypes
import dis
import sys
import sysconfig
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor


@dataclass(frozen=True)
class Case:
    """One set of arguments that an answer is tried on."""

    args: tuple
    name: str = ""
    kwargs: dict = field(default_factory=dict)


class TimeUp(Exception):
    """The answer ran longer than it may."""


@dataclass(frozen=True)
class Attempt:
    """What came of one call: the result or what was raised, the arguments."""

    result: object
    args: tuple
    kwargs: dict

    @property
    def failed(self) -> bool:
        """Say whether an error is all there is."""
        return isinstance(self.result, BaseException)


def attempt(
    answer: Callable,
    case: Case,
    seconds: float,
    *,
    gradients: bool = False,
    seed: int = 0,
) -> Attempt:
    """Call an answer in a thread that is stopped when its time is up.

    What the thread raises is a result, ``SystemExit`` too. A Ctrl-C of the
    user's is raised here, in the main thread, and stops everything.
    """
    args, kwargs = fresh(case.args, gradients), fresh(case.kwargs, gradients)
    results: list[object] = [TimeUp()]

    done = threading.Event()

    def work() -> None:
        try:
            with torch.random.fork_rng(devices=[]), _not_compiled():
                torch.manual_seed(seed)
                results[0] = answer(*args, **kwargs)
        except BaseException as error:
            results[0] = error
        done.set()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        done.wait(seconds)
    finally:
        for _ in range(20):
            if done.is_set():
                break
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(thread.ident or 0), ctypes.py_object(TimeUp)
            )
            done.wait(0.1)
    return Attempt(results[0], args, kwargs)


def _not_compiled():
    """Run what torch.compile was asked to compile as it is: same numbers."""
    if "torch._dynamo" in sys.modules:
        return torch.compiler.set_stance("force_eager")
    return nullcontext()


def fresh(value, gradients: bool = False):
    """Copy arguments, so that none is shared; with or without gradients."""
    if isinstance(value, Tensor):
        clone = value.detach().clone(memory_format=torch.preserve_format)
        return clone.requires_grad_(gradients and clone.is_floating_point())
    if isinstance(value, dict):
        return {name: fresh(item, gradients) for name, item in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(fresh(item, gradients) for item in value)
    return copy.deepcopy(value)


def changed_argument(case: Case, tried: Attempt) -> str:
    """Name the first argument that the answer changed in place."""
    pairs = [
        (str(number), before, after)
        for number, (before, after) in enumerate(zip(case.args, tried.args), 1)
    ]
    pairs += [
        (key, case.kwargs[key], tried.kwargs[key]) for key in case.kwargs
    ]
    for name, before, after in pairs:
        if isinstance(before, Tensor):
            same = before.shape == after.shape and torch.equal(
                before.nan_to_num(7.7), after.detach().nan_to_num(7.7)
            )
            if not same:
                return name
        elif isinstance(before, (list, dict)) and repr(before) != repr(after):
            if "tensor" not in repr(before):
                return name
    return ""


def gradients_of(tried: Attempt) -> list[Tensor | None]:
    """Return the gradient at each argument, of a weighted sum of the result."""
    asked = [
        a for a in tried.args if isinstance(a, Tensor) and a.requires_grad
    ]
    results = tried.result
    if not isinstance(results, (tuple, list)):
        results = [results]
    total = sum(
        (one * torch.linspace(1, 2, one.numel()).view(one.shape)).sum()
        for one in results
        if isinstance(one, Tensor) and one.requires_grad
    )
    if not isinstance(total, Tensor):
        return [None] * len(asked)
    return list(torch.autograd.grad(total, asked, allow_unused=True))


def is_stub(answer: Callable, results: Sequence[object]) -> bool:
    """Say whether a function is not written yet.

    Its body does nothing at all, as the dots do, or raises
    ``NotImplementedError`` itself: torch raises that error too.
    """
    code = getattr(answer, "__code__", None)
    if code is not None and len(list(dis.get_instructions(code))) <= 3:
        return all(one is None or one is Ellipsis for one in results)
    return any(
        isinstance(one, NotImplementedError) and _raised_by_hand(one)
        for one in results
    )


def _raised_by_hand(error: BaseException) -> bool:
    """Say whether a ``raise`` in the learner's own code raised an error."""
    last = error.__traceback__
    while last is not None and last.tb_next:
        last = last.tb_next
    if last is None or not _own(last.tb_frame.f_code.co_filename):
        return False
    byte = last.tb_frame.f_code.co_code[last.tb_lasti]
    return dis.opname[byte] == "RAISE_VARARGS"


_INSTALLED = (
    sysconfig.get_paths()["stdlib"],
    str(Path(torch.__file__).parents[1]),
    str(Path(__file__).parents[1]),
)


def _own(filename: str) -> bool:
    """Say whether a file is the learner's: no library's, nor the course's."""
    return not filename.startswith((*_INSTALLED, "<frozen"))


def own_lines(error: BaseException) -> list[str]:
    """Return the learner's lines that an error came through."""
    frames = traceback.extract_tb(error.__traceback__)
    return [f.line for f in frames if _own(f.filename) and f.line]


def describe(case: Case) -> str:
    """Name a case, by the shapes of its arguments if it has no name."""
    if case.name:
        return case.name
    shapes = [
        str(tuple(a.shape)) if isinstance(a, Tensor) else repr(a)
        for a in (*case.args, *case.kwargs.values())
    ]
    return "arguments " + ", ".join(shapes)


def describe_error(error: BaseException, case: Case) -> str:
    """Name the error, the learner's line, and the case."""
    own = own_lines(error)
    line = f" at your line `{own[-1]}`" if own else ""
    said = "".join(traceback.format_exception_only(error)).split("\n")[0]
    kind, _, text = said.partition(": ")
    return (
        f"it raises {kind.rsplit('.')[-1]}{line} on {describe(case)}"
        f"{': ' + text if text else ''}"
    )
