"""How a learner's answer is checked: run it, compare it, name the mistake.

A check knows the right answer from an *oracle* that is written otherwise than
the lesson (loops, or torch's own function), and knows the usual *mistakes* as
functions that make them. An answer that equals a mistake where the mistake
shows is told which one it is.
"""

import html
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from attn_course.checks.comparing import (
    DIFFER,
    alike,
    count,
    differs,
    kind,
    numbers,
    only_nan,
    short,
    show_numbers,
)
from attn_course.checks.explaining import explain_error
from attn_course.checks.relations import relation
from attn_course.checks.running import (
    Attempt,
    Case,
    TimeUp,
    attempt,
    changed_argument,
    describe,
    describe_error,
    gradients_of,
    is_stub,
)

__all__ = ["Case", "Mistake", "TimeUp", "Verdict", "check", "check_value"]

NOT_ATTEMPTED, RIGHT, WRONG = "not attempted", "right", "wrong"
SECONDS = 10.0


@dataclass(frozen=True)
class Verdict:
    """What a check says: a status, and a sentence or two.

    ``named``: the sentence says what was done, not only that it is wrong.
    """

    status: str
    message: str
    named: bool = False

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
    gradients: bool = False,
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
        gradients: the gradient at each floating point argument must be the
            oracle's; only where the exercise's text says so.
        praise: what is said of a right answer.
        seconds: how long one case may run; by default ``SECONDS``.
    """
    seconds = SECONDS if seconds is None else seconds
    if answer is None or answer is Ellipsis:
        return Verdict(NOT_ATTEMPTED, "write the function, then run this")
    if not callable(answer):
        return _wrong(
            f"expected a function, got {kind(answer)}; pass the function "
            "itself, without calling it"
        )
    tries, truths = [], []
    for case in cases:
        tries.append(attempt(answer, case, seconds, gradients=gradients))
        if isinstance(tries[-1].result, TimeUp):
            return _wrong(
                f"it was still running after {seconds:g} seconds on "
                f"{describe(case)}: is there a loop that never ends?"
            )
        truths.append(attempt(oracle, case, 60.0, gradients=gradients))
    results = [tried.result for tried in tries]
    if is_stub(answer, results):
        return Verdict(NOT_ATTEMPTED, "write the function, then run this")
    for case, tried in zip(cases, tries):
        if tried.result is None or tried.result is Ellipsis:
            return _wrong(
                f"it returns nothing for {describe(case)}: is `return` missing?"
            )
        name = "" if tried.failed else changed_argument(case, tried)
        if name:
            return _wrong(
                f"it changes its input (argument {name}) in place; make a new "
                "tensor instead (x = x + 1, not x += 1)"
            )
    rights = [truth.result for truth in truths]
    problems = [
        "an error" if tried.failed else differs(tried.result, right, tolerance)
        for tried, right in zip(tries, rights)
    ]
    if any(problems):
        return _name(
            answer,
            cases,
            results,
            rights,
            problems,
            mistakes,
            tolerance,
            seconds,
            gradients,
        )
    lost = gradients and _lost_gradient(tries, truths)
    if lost:
        return _wrong(lost)
    return Verdict(RIGHT, praise or f"all {len(cases)} cases agree")


def _wrong(message: str) -> Verdict:
    return Verdict(WRONG, message, named=True)


def _name(
    answer,
    cases,
    results,
    rights,
    problems,
    mistakes,
    tolerance,
    seconds,
    gradients,
) -> Verdict:
    """Say what a wrong answer does, with its smallest wrong case."""
    wrong = [n for n, problem in enumerate(problems) if problem]
    wrong.sort(key=lambda n: (n > 0, _size(rights[n]) or 1e9))
    least = wrong[0]

    def shown(n: int) -> str:
        numbers_ = show_numbers(results[n], rights[n])
        return f"\nfor {describe(cases[n])}: {numbers_}" if numbers_ else ""

    def does_the_same(fn) -> bool:
        near = 100 * tolerance  # a wrong way may lose digits
        shows = False  # in a case where it is not right
        for n in sorted(range(len(cases)), key=lambda n: n not in wrong):
            other = attempt(fn, cases[n], seconds).result
            if not alike(results[n], other, near):
                return False
            if n in wrong and not isinstance(other, BaseException):
                shows = shows or bool(differs(other, rights[n], tolerance))
        return shows

    if not all(map(only_nan, results)):  # NaN alone fits too many mistakes
        for mistake in mistakes:
            if does_the_same(mistake.fn):
                return _wrong(mistake.hint + shown(least))
    again = [
        attempt(answer, c, seconds, seed=1, gradients=gradients).result
        for c in cases
    ]
    if not all(
        alike(a, b, tolerance) or isinstance(b, BaseException)
        for a, b in zip(results, again)
    ):
        return _wrong(
            "it gives another result each time for the same input: what is "
            f"random in it (dropout, torch.rand)?{shown(least)}"
        )
    for n in wrong:
        if isinstance(results[n], BaseException) and explain_error(results[n]):
            return _wrong(
                f"{describe_error(results[n], cases[n])}\n"
                f"{explain_error(results[n])}"
            )
        if NAMED.match(problems[n]):
            return _wrong(problems[n] + shown(n))
    for n in wrong:
        if isinstance(results[n], BaseException):
            return Verdict(WRONG, describe_error(results[n], cases[n]))
    if len(cases) > 1 and all(
        alike(results[0], other, tolerance) for other in results
    ):
        return _wrong(
            "it returns the same answer whatever the input: compute it from "
            f"the arguments{shown(least)}"
        )
    plain = relation([(results[n], rights[n]) for n in wrong], tolerance)
    said = problems[least]
    if plain:
        said = plain if said.endswith(DIFFER) else f"{said}: {plain}"
    said += shown(least)
    if least > 0:
        said = f"right for the first case, but not for {describe(cases[least])}: {said}"
    return Verdict(WRONG, said, named=bool(plain))


# Problems that say what is to be done; a shape or other numbers do not.
NAMED = re.compile(
    r"(result \d+: )?(expected (an?|real|numbers|whole|dtype|\d+ results)\b"
    r"|the result has NaN)"
)


def _size(right: object) -> int:
    parts = right if isinstance(right, tuple) else (right,)
    return sum(numbers(part).numel() for part in parts)


def _lost_gradient(tries: list[Attempt], truths: list[Attempt]) -> str:
    """Name an argument whose gradient is nowhere the oracle's.

    Nowhere: where two numbers are equal, a maximum has several gradients.
    """
    found = list(zip(*map(gradients_of, tries)))
    right = list(zip(*map(gradients_of, truths)))
    for number, (ours, theirs) in enumerate(zip(found, right), 1):
        pairs = [(a, b) for a, b in zip(ours, theirs) if b is not None]
        if all(a is None or not a.any() for a, _ in pairs):
            return (
                "the numbers are right, but no gradient flows through them to "
                f"argument {number} (.item(), .detach(), .numpy() or "
                "torch.tensor(...) cuts it off), so a model could not learn"
            )
        if not any(alike(a, b, 1e-3) for a, b in pairs if a is not None):
            return (
                "the numbers are right, but the gradient at argument "
                f"{number} is not: is a part of it cut off (.detach())?"
            )
    return ""


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
        mistakes: pairs of a wrong value and the words that help; all that
            fit are said.
        tolerance: largest difference allowed between numbers; none of the
            mistakes may be so near.
        praise: what is said of a right answer.
    """
    parts = answer if isinstance(answer, (tuple, list)) else [answer]
    if any(part is None or part is Ellipsis for part in parts):
        return Verdict(NOT_ATTEMPTED, "put your answer in place of the dots")
    if callable(answer):
        return _wrong("expected a value, got a function: call it first")
    if isinstance(expected, str):
        return _check_word(answer, expected, mistakes, praise)
    try:
        given = numbers(answer)
    except ValueError as error:
        return _wrong(f"{error}")
    wanted = numbers(expected)
    if _near(given, wanted, tolerance):
        return Verdict(RIGHT, praise or "yes")
    hints = [
        hint
        for value, hint in mistakes
        if _near(given, numbers(value), tolerance, share=0.02)
    ]
    if hints:
        return _wrong("; or: ".join(dict.fromkeys(hints)))
    if given.shape != wanted.shape:
        return Verdict(WRONG, f"expected {count(wanted)}, got {count(given)}")
    if wanted.abs().max() <= 1 and _near(given / 100, wanted, tolerance):
        return _wrong("that is in per cent: give a fraction, from 0 to 1")
    for digits in range(1, 5):
        cut = torch.equal(given, given.round(decimals=digits)) and given.any()
        if cut and _near(given, wanted, 0.5001 * 10**-digits):
            return _wrong("rounded too far: give more digits")
    return Verdict(WRONG, f"{short(answer)} is not it")


def _near(given, value, tolerance: float, share: float = 0.0) -> bool:
    """Compare within the tolerance, or a share of the number if that is less."""
    if given.shape != value.shape:
        return False
    if share:
        tolerance = min(tolerance, share * value.abs().max().item())
    return torch.allclose(given, value, rtol=0, atol=tolerance)


def _check_word(answer, expected: str, mistakes, praise: str) -> Verdict:
    if not isinstance(answer, str):
        return _wrong(f"expected a word in quotes, got {kind(answer)}")
    if _plain(answer) == _plain(expected):
        return Verdict(RIGHT, praise or "yes")
    for wrong, hint in mistakes:
        if _plain(answer) == _plain(str(wrong)):
            return _wrong(hint)
    return Verdict(WRONG, f"{answer!r} is not it")


def _plain(word: str) -> str:
    return " ".join(word.lower().split())
