"""How a learner's answer is checked: run it, compare it, name the mistake.

A check knows the right answer from an *oracle* that is written otherwise than
the lesson (loops, or torch's own function), and knows the usual *mistakes* as
functions that make them. An answer that equals a mistake where the mistake
shows is told which one it is.
"""

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from attn_course.checks.comparing import (
    alike,
    count,
    differs,
    gradient_lost,
    short,
    show_numbers,
)
from attn_course.checks.running import (
    Case,
    TimeUp,
    attempt,
    changed_argument,
    describe,
    describe_error,
    fresh,
    is_stub,
    run,
)

__all__ = ["Case", "Mistake", "TimeUp", "Verdict", "check", "check_value"]

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
class Mistake:
    """A wrong way, as a function, and the words that help."""

    fn: Callable
    hint: str


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
        expected = oracle(*fresh(case.args), **fresh(case.kwargs))
        args, kwargs = fresh(case.args), fresh(case.kwargs)
        try:
            result = run(answer, args, kwargs, seconds)
        except TimeUp:
            return Verdict(
                WRONG,
                f"it was still running after {seconds:g} seconds on "
                f"{describe(case)}: is there a loop that never ends?",
            )
        except NotImplementedError:
            return Verdict(NOT_ATTEMPTED, "write the function, then run this")
        except BaseException as error:
            return Verdict(WRONG, describe_error(error, answer, case))
        if result is None or result is Ellipsis:
            if is_stub(answer):
                return Verdict(
                    NOT_ATTEMPTED, "the function returns nothing yet"
                )
            return Verdict(
                WRONG,
                f"it returns nothing for {describe(case)}: is `return` "
                "missing?",
            )
        changed = changed_argument(case, args, kwargs)
        if changed:
            return Verdict(
                WRONG,
                f"it changes its input (argument {changed}) in place; make a "
                "new tensor instead (x = x + 1, not x += 1)",
            )
        problem = differs(result, expected, tolerance)
        if problem:
            hint = _which_mistake(
                answer, oracle, cases, number, mistakes, tolerance, seconds
            )
            if hint:
                return Verdict(
                    WRONG,
                    f"{hint}{show_numbers(describe(case), result, expected)}",
                )
            if number > 0 and _ignores_input(
                answer, result, cases, tolerance, seconds
            ):
                return Verdict(
                    WRONG,
                    "it returns the same answer whatever the input: compute "
                    "it from the arguments",
                )
            return Verdict(
                WRONG,
                _sentence(problem, case, number)
                + show_numbers(describe(case), result, expected),
            )
        lost = lost or (gradients and gradient_lost(result, expected))
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
        answer: what the learner numbers; None or ... is "not attempted".
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
        numbers = torch.as_tensor(answer, dtype=torch.float64).detach().cpu()
    except (TypeError, ValueError, RuntimeError, OverflowError):
        return Verdict(
            WRONG, f"expected numbers, got {type(answer).__name__} {answer!r}"
        )
    wanted = torch.as_tensor(expected, dtype=torch.float64)
    same = numbers.shape == wanted.shape
    if same and torch.allclose(numbers, wanted, rtol=0, atol=tolerance):
        return Verdict(RIGHT, praise or "yes")
    for wrong, hint in mistakes:
        wrong = torch.as_tensor(wrong, dtype=torch.float64)
        if wrong.shape == numbers.shape and torch.allclose(
            numbers, wrong, rtol=0, atol=tolerance
        ):
            return Verdict(WRONG, hint)
    if not same:
        return Verdict(
            WRONG, f"expected {count(wanted)}, got {count(numbers)}"
        )
    return Verdict(WRONG, f"{short(numbers)} is not it")


def _plain(word: str) -> str:
    return " ".join(word.lower().split())


def _which_mistake(
    answer, oracle, cases, number, mistakes, tolerance, seconds
) -> str:
    """Return the hint of the mistake that the answer makes in every case.

    The mistake has to show in case ``number``, where the answer went wrong,
    and to agree with the answer everywhere, errors included.
    """
    expected = attempt(oracle, cases[number], seconds)
    results = [attempt(answer, case, seconds) for case in cases]
    for mistake in mistakes:
        wrong = attempt(mistake.fn, cases[number], seconds)
        if isinstance(wrong, Exception) or not differs(
            wrong, expected, tolerance
        ):
            continue
        if all(
            alike(one, attempt(mistake.fn, case, seconds), tolerance)
            for one, case in zip(results, cases)
        ):
            return mistake.hint
    return ""


def _ignores_input(answer, result, cases, tolerance, seconds) -> bool:
    """Say whether the answer to one case is its answer to all of them."""
    return all(
        alike(result, attempt(answer, case, seconds), tolerance)
        for case in cases
    )


def _sentence(problem: str, case: Case, number: int) -> str:
    if number == 0:
        return problem
    return f"right for the first case, but not for {describe(case)}: {problem}"
