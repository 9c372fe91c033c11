"""Run a learner's answer: on copies, for a limited time, errors put in words."""

import copy
import ctypes
import dis
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

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


def run(answer: Callable, args: tuple, kwargs: dict, seconds: float) -> object:
    """Call the answer in a thread that is stopped when its time is up."""
    results: list[object] = []
    errors: list[BaseException] = []

    def work() -> None:
        state = torch.random.get_rng_state()
        try:
            with torch.enable_grad():
                results.append(answer(*args, **kwargs))
        except BaseException as error:
            errors.append(error)
        finally:
            torch.random.set_rng_state(state)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    tries = 0
    if thread.is_alive():
        while thread.is_alive() and tries < 20:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(thread.ident or 0), ctypes.py_object(TimeUp)
            )
            thread.join(0.1)
            tries += 1
        raise TimeUp
    if errors:
        raise errors[0]
    return results[0]


def attempt(fn: Callable, case: Case, seconds: float) -> object:
    """Return a function's result, or the exception that it raised."""
    try:
        return run(fn, fresh(case.args), fresh(case.kwargs), seconds)
    except Exception as error:
        return error


def fresh(value):
    """Copy arguments, tensors ready for gradients, so that none is shared."""
    if isinstance(value, Tensor):
        clone = value.detach().clone(memory_format=torch.preserve_format)
        return clone.requires_grad_(clone.is_floating_point())
    if isinstance(value, dict):
        return {name: fresh(item) for name, item in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(fresh(item) for item in value)
    return copy.deepcopy(value)


def changed_argument(case: Case, args: tuple, kwargs: dict) -> str:
    """Name the first argument that the answer changed in place."""
    pairs = [
        (str(n + 1), a, b) for n, (a, b) in enumerate(zip(case.args, args))
    ]
    pairs += [(name, case.kwargs[name], kwargs[name]) for name in case.kwargs]
    for name, before, after in pairs:
        if isinstance(before, Tensor):
            same = before.shape == after.shape and torch.equal(
                before.detach().nan_to_num(7.7), after.detach().nan_to_num(7.7)
            )
            if not same:
                return name
        elif isinstance(before, (list, dict)) and repr(before) != repr(after):
            if "tensor" not in repr(before):
                return name
    return ""


def is_stub(answer: Callable) -> bool:
    """Say whether a function does nothing at all, as the dots do."""
    code = getattr(answer, "__code__", None)
    return code is not None and len(list(dis.get_instructions(code))) <= 3


def describe(case: Case) -> str:
    if case.name:
        return case.name
    shapes = [
        str(tuple(a.shape)) if isinstance(a, Tensor) else repr(a)
        for a in (*case.args, *case.kwargs.values())
    ]
    return "arguments " + ", ".join(shapes)


# What torch says of the usual slips, and what a learner can do about it.
TRANSLATED = {
    "Can't call numpy()": "stay in torch: numpy cuts a result off from "
    "training (x.mean() instead of np.mean(x), torch.exp instead of np.exp)",
    "a leaf Variable that requires grad": "it changes its input in place; "
    "make a new tensor instead (x = x + 1, not x += 1)",
    "only one element tensors can be converted": "a function for one number "
    "got a whole tensor: use torch's (torch.exp instead of math.exp)",
    "only length-1 arrays can be converted": "a function for one number got "
    "a whole tensor: use torch's (torch.exp instead of math.exp)",
}


def describe_error(error: BaseException, answer: Callable, case: Case) -> str:
    """Name the error, the learner's line, and the case."""
    code = getattr(answer, "__code__", None)
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if code and f.filename == code.co_filename]
    for words, help_ in TRANSLATED.items():
        if words in str(error):
            return help_
    line = f" at your line `{own[0].line}`" if own and own[0].line else ""
    text = str(error).strip().split("\n")[0]
    return (
        f"it raises {type(error).__name__}{line} on {describe(case)}"
        f"{': ' + text if text else ''}"
    )
