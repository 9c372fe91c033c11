"""How a learner's answer is checked: run it, compare it, name the mistake.

A check knows the right answer from an *oracle* that is written otherwise than
the lesson (loops, or torch's own function), and knows the usual *mistakes* as
functions that make them. An answer that equals a mistake where the mistake
shows is told which one it is.
"""

import copy
import ctypes
import dis
import html
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

NOT_ATTEMPTED, RIGHT, WRONG = "not attempted", "right", "wrong"
SECONDS = 10.0


@dataclass(frozen=True)
class Verdict:
    """What a check says: a status, and a sentence or two."""

    status: str
    message: str

    @property
    def right(self) -> bool:
        """Say whether the answer was right."""
        return self.status == RIGHT

    def __repr__(self) -> str:
        if self.status == NOT_ATTEMPTED:
            return f"not attempted: {self.message}"
        return f"{self.status}: {self.message}"

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        sign = {RIGHT: "&#10004;", WRONG: "&#10008;"}.get(
            self.status, "&#8230;"
        )
        color = {RIGHT: "#009E73", WRONG: "#D55E00"}.get(self.status, "#888")
        return {
            "text/plain": repr(self),
            "text/html": (
                f'<div role="status" style="border-left:4px solid {color};'
                f'padding:4px 10px;white-space:pre-wrap">{sign} '
                f"<strong>{self.status}</strong>: "
                f"{html.escape(self.message)}</div>"
            ),
        }


@dataclass(frozen=True)
class Case:
    """One set of arguments that an answer is tried on."""

    args: tuple
    name: str = ""
    kwargs: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Mistake:
    """A wrong way, as a function, and the words that help."""

    fn: Callable
    hint: str


class TimeUp(Exception):
    """The answer ran longer than it may."""


def check(
    answer: object,
    *,
    oracle: Callable,
    cases: Sequence[Case],
    mistakes: Sequence[Mistake] = (),
    tolerance: float = 1e-5,
    gradients: bool = True,
    praise: str = "",
    seconds: float | None = None,
) -> Verdict:
    """Try a learner's function on every case, and say what is wrong.

    Args:
        answer: the learner's function.
        oracle: gives the right result for the same arguments.
        cases: arguments; the first should be the smallest, and is the one
            that the learner sees. At least one other should differ in every
            size, so that a hard-coded answer cannot pass.
        mistakes: the usual wrong ways, the likeliest first.
        tolerance: largest difference allowed, absolute and relative.
        gradients: the result must let gradients flow to floating point
            tensor arguments, if the oracle's does.
        praise: what is said of a right answer.
        seconds: how long one case may run; by default ``SECONDS``.
    """
    seconds = SECONDS if seconds is None else seconds
    if not callable(answer):
        if answer is None or answer is Ellipsis:
            return Verdict(NOT_ATTEMPTED, "write the function, then run this")
        return Verdict(
            WRONG,
            f"expected a function, got {type(answer).__name__}; pass the "
            "function itself, without calling it",
        )
    lost = False
    for number, case in enumerate(cases):
        expected = oracle(*_fresh(case.args), **_fresh(case.kwargs))
        args, kwargs = _fresh(case.args), _fresh(case.kwargs)
        try:
            found = _run(answer, args, kwargs, seconds)
        except TimeUp:
            return Verdict(
                WRONG,
                f"it was still running after {seconds:g} seconds on "
                f"{_describe(case)}: is there a loop that never ends?",
            )
        except NotImplementedError:
            return Verdict(NOT_ATTEMPTED, "write the function, then run this")
        except BaseException as error:
            return Verdict(WRONG, _describe_error(error, answer, case))
        if found is None or found is Ellipsis:
            if _is_stub(answer):
                return Verdict(
                    NOT_ATTEMPTED, "the function returns nothing yet"
                )
            return Verdict(
                WRONG,
                f"it returns nothing for {_describe(case)}: is `return` "
                "missing?",
            )
        changed = _changed(case, args, kwargs)
        if changed:
            return Verdict(
                WRONG,
                f"it changes its input (argument {changed}) in place; make a "
                "new tensor instead (x = x + 1, not x += 1)",
            )
        problem = _differs(found, expected, tolerance)
        if problem:
            hint = _which_mistake(
                answer, oracle, cases, number, mistakes, tolerance, seconds
            )
            if hint:
                return Verdict(
                    WRONG, f"{hint}{_numbers(case, found, expected)}"
                )
            if number > 0 and _ignores_input(
                answer, found, cases, tolerance, seconds
            ):
                return Verdict(
                    WRONG,
                    "it returns the same answer whatever the input: compute "
                    "it from the arguments",
                )
            return Verdict(
                WRONG,
                _sentence(problem, case, number)
                + _numbers(case, found, expected),
            )
        lost = lost or (gradients and _gradient_lost(found, expected))
    if lost:  # said last: only now are all numbers known to be right
        return Verdict(
            WRONG,
            "the numbers are right, but no gradient flows through them "
            "(.item(), .detach(), .numpy() or torch.tensor(...) cuts it "
            "off), so a model could not learn",
        )
    return Verdict(RIGHT, praise or f"all {len(cases)} cases agree")


def check_value(
    answer: object,
    expected: object,
    *,
    mistakes: Sequence[tuple[object, str]] = (),
    tolerance: float = 1e-3,
    praise: str = "",
) -> Verdict:
    """Check a number, a tensor, a list of numbers or a word.

    Args:
        answer: what the learner found; None or ... is "not attempted".
        expected: the right one.
        mistakes: pairs of a wrong value and the words that help.
        tolerance: largest difference allowed between numbers.
        praise: what is said of a right answer.
    """
    if answer is None or answer is Ellipsis:
        return Verdict(NOT_ATTEMPTED, "put your answer in place of the dots")
    if isinstance(answer, (tuple, list)) and any(
        item is None or item is Ellipsis for item in answer
    ):
        return Verdict(NOT_ATTEMPTED, "put your answer in place of the dots")
    if callable(answer):
        return Verdict(
            WRONG, "expected a value, got a function: call it first"
        )
    if isinstance(expected, str):
        same = isinstance(answer, str) and _plain(answer) == _plain(expected)
        if same:
            return Verdict(RIGHT, praise or "yes")
        for wrong, hint in mistakes:
            if isinstance(answer, str) and _plain(answer) == _plain(
                str(wrong)
            ):
                return Verdict(WRONG, hint)
        return Verdict(WRONG, f"{answer!r} is not it")
    try:
        found = torch.as_tensor(answer, dtype=torch.float64).detach().cpu()
    except (TypeError, ValueError, RuntimeError, OverflowError):
        return Verdict(
            WRONG, f"expected numbers, got {type(answer).__name__} {answer!r}"
        )
    wanted = torch.as_tensor(expected, dtype=torch.float64)
    same = found.shape == wanted.shape
    if same and torch.allclose(found, wanted, rtol=0, atol=tolerance):
        return Verdict(RIGHT, praise or "yes")
    for wrong, hint in mistakes:
        wrong = torch.as_tensor(wrong, dtype=torch.float64)
        if wrong.shape == found.shape and torch.allclose(
            found, wrong, rtol=0, atol=tolerance
        ):
            return Verdict(WRONG, hint)
    if not same:
        return Verdict(
            WRONG, f"expected {_count(wanted)}, got {_count(found)}"
        )
    return Verdict(WRONG, f"{_short(found)} is not it")


def _plain(word: str) -> str:
    return " ".join(word.lower().split())


def _run(
    answer: Callable, args: tuple, kwargs: dict, seconds: float
) -> object:
    """Call the answer in a thread that is stopped when its time is up."""
    box: dict[str, object] = {}

    def work() -> None:
        state = torch.random.get_rng_state()
        try:
            with torch.enable_grad():
                box["result"] = answer(*args, **kwargs)
        except BaseException as error:
            box["error"] = error
        finally:
            torch.random.set_rng_state(state)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    tries = 0
    if thread.is_alive():
        while thread.is_alive() and tries < 20:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(thread.ident), ctypes.py_object(TimeUp)
            )
            thread.join(0.1)
            tries += 1
        raise TimeUp
    if "error" in box:
        raise box["error"]
    return box["result"]


def _fresh(value):
    """Copy arguments, tensors ready for gradients, so that none is shared."""
    if isinstance(value, Tensor):
        clone = value.detach().clone(memory_format=torch.preserve_format)
        return clone.requires_grad_(clone.is_floating_point())
    if isinstance(value, dict):
        return {name: _fresh(item) for name, item in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(_fresh(item) for item in value)
    return copy.deepcopy(value)


def _changed(case: Case, args: tuple, kwargs: dict) -> str:
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


def _differs(found: object, expected: object, tolerance: float) -> str:
    """Say in words how a result differs from the right one, or nothing."""
    if isinstance(expected, tuple):
        if not isinstance(found, (tuple, list)):
            return (
                f"expected {len(expected)} results, "
                f"got one {type(found).__name__}"
            )
        if len(found) != len(expected):
            return f"expected {len(expected)} results, got {len(found)}"
        for number, (one, wanted) in enumerate(zip(found, expected), 1):
            problem = _differs(one, wanted, tolerance)
            if problem:
                return f"result {number}: {problem}"
        return ""
    if not isinstance(expected, Tensor):
        if isinstance(expected, (bool, str)) or expected is None:
            same = isinstance(found, type(expected)) and found == expected
            return "" if same else f"expected {expected!r}, got {found!r}"
        expected = torch.as_tensor(expected, dtype=torch.float64)
        if not isinstance(found, Tensor):
            try:
                found = torch.as_tensor(found, dtype=torch.float64)
            except (TypeError, ValueError, RuntimeError):
                return f"expected a number, got {type(found).__name__}"
    if not isinstance(found, Tensor):
        return f"expected a torch tensor, got {type(found).__name__}"
    if found.shape != expected.shape:
        return (
            f"expected shape {tuple(expected.shape)}, got {tuple(found.shape)}"
        )
    if (found.dtype == torch.bool) != (expected.dtype == torch.bool):
        return f"expected dtype {expected.dtype}, got {found.dtype}"
    whole = not (expected.is_floating_point() or expected.is_complex())
    if whole and (found.is_floating_point() or found.is_complex()):
        return f"expected whole numbers ({expected.dtype}), got {found.dtype}"
    one, other = found.detach().double(), expected.detach().double()
    if one.isnan().any() and not other.isnan().any():
        return "the result has NaN in it (not a number): look for 0/0, inf-inf or 0*inf"
    if torch.allclose(one, other, rtol=tolerance, atol=tolerance):
        return ""
    return "the numbers differ"


def _which_mistake(
    answer, oracle, cases, number, mistakes, tolerance, seconds
) -> str:
    """Return the hint of the mistake that the answer makes in every case.

    The mistake has to show in case ``number``, where the answer went wrong,
    and to agree with the answer everywhere, errors included.
    """
    expected = _try(oracle, cases[number], seconds)
    found = [_try(answer, case, seconds) for case in cases]
    for mistake in mistakes:
        wrong = _try(mistake.fn, cases[number], seconds)
        if isinstance(wrong, Exception) or not _differs(
            wrong, expected, tolerance
        ):
            continue
        if all(
            _alike(one, _try(mistake.fn, case, seconds), tolerance)
            for one, case in zip(found, cases)
        ):
            return mistake.hint
    return ""


def _try(fn: Callable, case: Case, seconds: float) -> object:
    """Return a function's result, or the exception that it raised."""
    try:
        return _run(fn, _fresh(case.args), _fresh(case.kwargs), seconds)
    except Exception as error:
        return error


def _alike(one: object, other: object, tolerance: float) -> bool:
    """Say whether two functions did the same, an error like an error."""
    raised = isinstance(one, Exception), isinstance(other, Exception)
    if any(raised):
        return all(raised)
    return not _differs_at_all(one, other, tolerance)


def _differs_at_all(found, wrong, tolerance) -> bool:
    """Compare with a mistake, where NaN equals NaN."""
    if isinstance(found, Tensor) and isinstance(wrong, Tensor):
        return found.shape != wrong.shape or not torch.allclose(
            found.detach().double(),
            wrong.detach().double(),
            rtol=tolerance,
            atol=tolerance,
            equal_nan=True,
        )
    if isinstance(wrong, tuple) and isinstance(found, (tuple, list)):
        return len(found) != len(wrong) or any(
            _differs_at_all(a, b, tolerance) for a, b in zip(found, wrong)
        )
    return bool(_differs(found, wrong, tolerance))


def _ignores_input(answer, found, cases, tolerance, seconds) -> bool:
    """Say whether the answer to one case is its answer to all of them."""
    return all(
        _alike(found, _try(answer, case, seconds), tolerance) for case in cases
    )


def _gradient_lost(found, expected) -> bool:
    """Say whether the oracle's result has a gradient and this one has not."""
    if isinstance(expected, tuple):
        return any(_gradient_lost(a, b) for a, b in zip(found, expected))
    return (
        isinstance(expected, Tensor)
        and expected.requires_grad
        and not (isinstance(found, Tensor) and found.requires_grad)
    )


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


def _is_stub(answer: Callable) -> bool:
    """Say whether a function does nothing at all, as the dots do."""
    code = getattr(answer, "__code__", None)
    return code is not None and len(list(dis.get_instructions(code))) <= 3


def _describe(case: Case) -> str:
    if case.name:
        return case.name
    shapes = [
        str(tuple(a.shape)) if isinstance(a, Tensor) else repr(a)
        for a in (*case.args, *case.kwargs.values())
    ]
    return "arguments " + ", ".join(shapes)


def _describe_error(error: BaseException, answer: Callable, case: Case) -> str:
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
        f"it raises {type(error).__name__}{line} on {_describe(case)}"
        f"{': ' + text if text else ''}"
    )


def _sentence(problem: str, case: Case, number: int) -> str:
    if number == 0:
        return problem
    return (
        f"right for the first case, but not for {_describe(case)}: {problem}"
    )


def _numbers(case: Case, found, expected) -> str:
    """Show got and expected, if they are small enough to read."""
    if isinstance(expected, tuple):
        if not isinstance(found, (tuple, list)) or len(found) != len(expected):
            return ""
        for one, wanted in zip(found, expected):
            if _differs(one, wanted, 1e-5):
                return _numbers(case, one, wanted)
        return ""
    if not isinstance(expected, Tensor) or not isinstance(found, Tensor):
        return ""
    if expected.numel() > 9 or found.numel() > 9:
        return ""
    return (
        f"\nfor {_describe(case)}: expected {_short(expected)}, got "
        + _short(found)
    )


def _short(tensor: Tensor) -> str:
    """Write a small tensor with four digits."""

    def write(item) -> str:
        if isinstance(item, list):
            return "[" + ", ".join(write(i) for i in item) + "]"
        return f"{item:.4g}" if isinstance(item, float) else str(item)

    return write(tensor.detach().cpu().tolist())


def _count(tensor: Tensor) -> str:
    """Say how many numbers there are, and in which shape if it matters."""
    if tensor.dim() == 0:
        return "one number"
    if tensor.dim() == 1:
        many = "numbers" if len(tensor) != 1 else "number"
        return f"{len(tensor)} {many} in a row"
    return f"numbers of shape {tuple(tensor.shape)}"
