"""Say what wrong results have to do with the right ones, if it is plain.

Nothing is guessed: a sentence is said only if it holds in every wrong case, so
it is true whatever the exercise.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from attn_course.checks.comparing import Pairs, differs, read

Both = list[tuple[Tensor, Tensor]]  # numbers: what was found, what is right
Way = tuple[str, Callable[[Tensor], Tensor]]


def relation(pairs: Pairs, tolerance: float) -> str:
    """Describe all wrong results by the right ones, or return nothing."""
    if all(isinstance(right, tuple) for _, right in pairs):
        return _of_one_part(pairs, tolerance)
    both = [(read(a), read(b)) for a, b in pairs]
    if any(isinstance(x, str) for pair in both for x in pair):
        return ""
    if all(_same(a, b, tolerance) for a, b in both):
        return ""  # only the kind or the type differs

    def first(ways: Iterator[Way], both: Both) -> str:
        for words, way in ways:
            if _all(both, way, tolerance):
                return words
        return ""

    turned = [(b, a) for a, b in both]
    dims = _dims(both)
    if any(a.shape != b.shape for a, b in both):
        return (
            first(_permuted(both), both)
            or _only_reshaped(both, tolerance)
            or first(_smaller(dims, found=True), both)
            or first(_smaller(_dims(turned), found=False), turned)
        )
    if isinstance(pairs[0][1], Tensor) and pairs[0][1].dtype == torch.bool:
        return first(_permuted(both), both) or _of_a_mask(both)
    said = first(_permuted(both), both)
    if said or len(_known(both)) < 3:
        return said
    return (
        first(_elementwise(), both)
        or _affine(both, tolerance)
        or first(_along(dims), both)
        or first(_to_be_done(dims), turned)
        or _place(both, dims, tolerance)
        or _order(both)
    )


def _of_one_part(pairs: Pairs, tolerance: float) -> str:
    """Describe the one of several results that is wrong, if it is one."""
    if len({len(b) for _, b in pairs}) > 1 or not all(
        isinstance(a, (tuple, list)) and len(a) == len(b) for a, b in pairs
    ):
        return ""
    parts = list(zip(*(zip(*pair) for pair in pairs)))  # by result, by case
    wrong = [
        [pair for pair in part if differs(*pair, tolerance)] for part in parts
    ]
    if sum(map(bool, wrong)) != 1:
        return ""
    number = [bool(bad) for bad in wrong].index(True)
    said = relation(wrong[number], tolerance)
    return said and (
        f"of the {len(parts)} results only number {number + 1} is wrong: {said}"
    )


def _same(a: Tensor, b: Tensor, tolerance: float) -> bool:
    return a.shape == b.shape and torch.allclose(
        a, b, rtol=tolerance, atol=tolerance
    )


def _all(both: Both, way: Callable, tolerance: float) -> bool:
    """Say whether one change makes every first tensor of the second."""
    try:
        return all(_same(a, way(b), tolerance) for a, b in both)
    except (IndexError, RuntimeError):  # there is no such dimension, or part
        return False


def _dims(both: Both) -> Sequence[int]:
    """Return the dimensions that the right results share."""
    sizes = {b.dim() for _, b in both}
    least = min(sizes)
    return range(least) if len(sizes) == 1 else range(-least, 0)


def _known(both: Both) -> Tensor:
    """Return the different numbers of the right results, if all are finite."""
    everything = torch.cat([x.flatten() for pair in both for x in pair])
    if not everything.isfinite().all():
        return everything[:0]
    return torch.cat([b.flatten() for _, b in both]).unique()


def _permuted(both: Both) -> Iterator[Way]:
    size = both[0][1].dim()
    if size > 1:
        yield (
            "the last two dimensions are exchanged: transpose the result",
            lambda b: b.mT,
        )
    if not 2 < size < 5 or len(_dims(both)) != size:
        return
    for order in itertools.permutations(range(size)):
        yield (
            f"the dimensions stand in another order: yours are {order} of "
            "the right result",
            lambda b, order=order: b.permute(order),
        )


def _only_reshaped(both: Both, tolerance: float) -> str:
    if all(_same(a.flatten(), b.flatten(), tolerance) for a, b in both):
        return "only the shape is wrong"
    return ""


# What makes a smaller result of a larger one: said where the learner's is the
# smaller, and where it is the larger.
SMALLER = (
    (
        "that is the sum of the right result along dim={}",
        "your result has still to be summed along dim={}",
        torch.sum,
    ),
    (
        "that is the mean of the right result along dim={}",
        "take the mean of your result along dim={}",
        torch.mean,
    ),
    ("that is the largest of the right result along dim={}", None, torch.amax),
    (
        "that is only the first part of the right result along dim={}",
        "only the first of your result along dim={} is asked for",
        lambda x, d: x.select(d, 0),
    ),
    (
        "that is only the last part of the right result along dim={}",
        "only the last of your result along dim={} is asked for",
        lambda x, d: x.select(d, -1),
    ),
    (
        "that is only one part, the first, of the right result along dim={}",
        None,
        lambda x, d: x.narrow(d, 0, 1),
    ),
    (
        "the last along dim={} is missing",
        "one too many along dim={}, the last",
        lambda x, d: x.narrow(d, 0, x.shape[d] - 1),
    ),
    (
        "the first along dim={} is missing",
        "one too many along dim={}, the first",
        lambda x, d: x.narrow(d, 1, x.shape[d] - 1),
    ),
)


def _smaller(dims: Sequence[int], *, found: bool) -> Iterator[Way]:
    """Say how the smaller result, the learner's or not, comes of the other."""
    for d in dims:
        for its, others, way in SMALLER:
            words = its if found else others
            if words:
                yield words.format(d), lambda x, way=way, d=d: way(x, d)
    if found:
        yield "that is the sum of all its numbers", torch.sum
        yield "that is the mean of all its numbers", torch.mean
    else:
        yield "your result has still to be summed", torch.sum
        yield "take the mean of your result", torch.mean


def _elementwise() -> Iterator[Way]:
    yield (
        "the sign is turned: every number is minus what it should be",
        lambda b: -b,
    )
    each = "every number is {} what it should be"
    yield each.format("1 minus"), lambda b: 1 - b
    yield each.format("the square of"), lambda b: b.square()
    yield each.format("the square root of"), lambda b: b.sqrt()
    yield each.format("1 divided by"), lambda b: 1 / b
    yield each.format("the exponential of"), lambda b: b.exp()
    yield each.format("the logarithm of"), lambda b: b.log()
    yield "the signs are lost", lambda b: b.abs()
    yield "what should be negative is 0", lambda b: b.clamp(min=0)
    yield "the numbers are rounded to whole ones", lambda b: b.round()
    yield "the numbers are rounded down to whole ones", lambda b: b.floor()


def _affine(both: Both, tolerance: float) -> str:
    """Find one factor or one difference, for all cases or in each case."""
    factors = []
    for a, b in both:
        real = b.abs() > tolerance
        if not real.any():
            return ""
        factors.append((a[real] / b[real]).median())
    more = torch.cat([(a - b).flatten() for a, b in both]).median()
    factor = torch.stack(factors).median()
    if factor.abs() > tolerance and _all(
        both, lambda b: factor * b, tolerance
    ):
        return f"every number is {factor:.4g} times what it should be"
    if _all(both, lambda b: b + more, tolerance):
        size = "large" if more > 0 else "small"
        return f"every number is {more.abs():.4g} too {size}"
    if len(both) < 2 or min(b.numel() for _, b in both) < 2:
        return ""
    if min(map(abs, factors)) > tolerance and all(
        _same(a, factor * b, tolerance)
        for (a, b), factor in zip(both, factors)
    ):
        few = ", ".join(f"{factor:.4g}" for factor in factors[:3])
        return (
            "in each case all numbers are wrong by one factor, another in "
            f"each ({few}): what do you multiply or divide by?"
        )
    return ""


def _along(dims: Sequence[int]) -> Iterator[Way]:
    """What is done once too often, or done to the right one, along a dim."""
    for d in dims:
        along = f"along dim={d}"
        yield f"the order {along} is reversed", lambda b, d=d: b.flip(d)
        yield (
            f"{along} everything stands one place too late, the last first",
            lambda b, d=d: b.roll(1, d),
        )
        yield (
            f"{along} everything stands one place too early, the first last",
            lambda b, d=d: b.roll(-1, d),
        )
        yield (
            f"{along} everything stands one place too late, after a 0",
            lambda b, d=d: _moved(b, 1, d),
        )
        yield (
            f"{along} everything stands one place too early, before a 0",
            lambda b, d=d: _moved(b, -1, d),
        )
        yield (
            f"there is one softmax {along} too many",
            lambda b, d=d: b.softmax(d),
        )
        yield (
            f"the right numbers are divided by their sum {along}",
            lambda b, d=d: b / b.sum(d, keepdim=True),
        )
        yield (
            f"the right numbers are sorted {along}",
            lambda b, d=d: b.sort(d).values,
        )
        yield (
            f"their mean {along} is taken off the right numbers",
            lambda b, d=d: b - b.mean(d, keepdim=True),
        )


def _moved(b: Tensor, by: int, dim: int) -> Tensor:
    at = torch.tensor(0 if by > 0 else b.shape[dim] - 1)
    return b.roll(by, dim).index_fill(dim, at, 0)


def _to_be_done(dims: Sequence[int]) -> Iterator[Way]:
    """What makes the right result of the learner's."""
    for d in dims:
        along = f"along dim={d}"
        yield (
            f"the softmax {along} of your numbers would be right",
            lambda a, d=d: a.softmax(d),
        )
        yield (
            f"your numbers divided by their sum {along} would be right",
            lambda a, d=d: a / a.sum(d, keepdim=True),
        )
        yield (
            f"your numbers added up {along} one after the other "
            "(torch.cumsum) would be right",
            lambda a, d=d: a.cumsum(d),
        )
        yield (
            f"your numbers less their mean {along} would be right",
            lambda a, d=d: a - a.mean(d, keepdim=True),
        )
    yield ("your negative numbers should be 0", lambda a: a.clamp(min=0))
    yield "your numbers without their signs would be right", torch.abs


def _place(both: Both, dims: Sequence[int], tolerance: float) -> str:
    """Say that all is right but for one edge."""
    wrong = [
        ~torch.isclose(a, b, rtol=tolerance, atol=tolerance) for a, b in both
    ]
    for d in dims:
        sizes = [w.shape[d] for w in wrong]
        if min(sizes) < 2 or max(sizes) < 3:
            continue
        for words, at in (("first", 0), ("last", -1)):
            if not any(
                w.index_fill(d, torch.tensor(at % w.shape[d]), False).any()
                for w in wrong
            ):
                return f"only the {words} along dim={d} is wrong"
    return _triangle(wrong)


def _triangle(wrong: list[Tensor]) -> str:
    """Say that all is right but for the diagonal, or one side of it."""
    if min(w.dim() for w in wrong) < 2 or max(w.shape[-1] for w in wrong) < 3:
        return ""
    if not any((w.triu(1) | w.tril(-1)).any() for w in wrong):
        return "only the diagonal is wrong"
    if not any(w.tril().any() for w in wrong):
        return "only what lies above the diagonal is wrong"
    if not any(w.triu().any() for w in wrong):
        return "only what lies below the diagonal is wrong"
    return ""


def _of_a_mask(both: Both) -> str:
    """Say what is wrong with booleans."""
    if all(torch.equal(a, 1 - b) for a, b in both):
        return "True and False are exchanged"
    place = _triangle([a != b for a, b in both])
    more = any((a > b).any() for a, b in both)
    less = any((a < b).any() for a, b in both)
    if more and less:
        return place
    said = (
        "True where it should be False, and nowhere the other way round"
        if more
        else "False where it should be True, and nowhere the other way round"
    )
    return f"{place}: {said}" if place else said


def _order(both: Both) -> str:
    """Say that the right numbers stand in another order, or repeat."""
    if all(
        torch.equal(a.flatten().sort().values, b.flatten().sort().values)
        for a, b in both
    ):
        return "the right numbers, in another order"
    return ""
