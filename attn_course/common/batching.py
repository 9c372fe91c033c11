"""From single examples to batches: padding, and the order of an epoch.

An *epoch* reads every example once. :func:`epoch_batches` gives each epoch an
order of its own that depends on the seed and the epoch's number alone, so the
same step of the same run always has the same batch.
"""

import functools
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn.utils import rnn

from attn_course.common.arguments import check_at_least, whole_number
from attn_course.common.tokens import PAD


def pad(rows: Sequence[Sequence[int]]) -> Int[Tensor, "batch length"]:
    """Put rows of ids in one tensor; PAD fills up the shorter ones.

    Raises:
        ValueError: if there is no row.
    """
    if not len(rows):
        raise ValueError("rows: expected at least one, got none")
    tensors = [torch.tensor(list(row), dtype=torch.int64) for row in rows]
    return rnn.pad_sequence(tensors, batch_first=True, padding_value=PAD)


def full_batches(count: int, size: int) -> int:
    """Return how many full batches ``count`` examples make.

    Raises:
        ValueError: if they do not fill one.
    """
    if not 1 <= size <= count:
        raise ValueError(
            f"size: expected 1 to {count}, the number of examples, got {size}"
        )
    return count // size


def epoch_batches(
    plan: Callable[[torch.Generator, int], Sequence], *, seed: int = 0
) -> Callable[[int], object]:
    """Make ``batch(step)`` of a plan of each epoch.

    Args:
        plan: ``plan(generator, epoch)`` draws from the generator and gives
            the batches of one epoch, the same number each time.
        seed: another one, another order.

    Returns:
        A function from a step, counted from 0 up, to a batch of the plan.
    """

    seed = whole_number("seed", seed)

    @functools.lru_cache(maxsize=1)
    def of_epoch(epoch: int) -> Sequence:
        generator = torch.Generator().manual_seed(1_000_003 * seed + epoch)
        return plan(generator, epoch)

    count = len(of_epoch(0))

    def batch(step: int) -> object:
        epoch, position = divmod(whole_number("step", step), count)
        return of_epoch(epoch)[position]

    return batch


def shuffled_batches(
    count: int, size: int, generator: torch.Generator
) -> tuple[Int[Tensor, " size"], ...]:
    """Cut the numbers 0 to ``count - 1``, shuffled, into full batches.

    The last examples, which fill no batch, are left out.

    Raises:
        ValueError: if there are fewer than ``size`` examples.
    """
    used = size * full_batches(count, size)
    return torch.randperm(count, generator=generator)[:used].split(int(size))


def bucketed_batches(
    order: Int[Tensor, " n"],
    lengths: Tensor,
    size: int,
    generator: torch.Generator,
    *,
    pool: int | None = None,
) -> list[Int[Tensor, " at_most_size"]]:
    """Cut an order into batches of examples alike in length, and shuffle them.

    So a batch holds little padding, and short examples do not come first.

    Args:
        order: numbers of examples; of equal length, the earlier stays first.
        lengths: one number per entry of ``order`` (not per example): perhaps
            with noise on it, so that neighbours differ from epoch to epoch.
        size: examples in a batch; the last batch may be smaller.
        generator: draws the order of the batches.
        pool: how many batches are sorted together; by default all.

    Raises:
        ValueError: if there are not as many lengths as numbers, or ``size``
            or ``pool`` is below 1.

    Source: Morishita et al. (2017), "An empirical study of mini-batch
    creation strategies for neural machine translation".
    """
    if len(order) != len(lengths):
        raise ValueError(
            f"lengths: expected {len(order)}, one per entry of order, "
            f"got {len(lengths)}"
        )
    check_at_least(1, size=size, pool=1 if pool is None else pool)
    size = int(size)  # torch splits by no numpy integer
    pooled = len(order) if pool is None else int(pool) * size
    batches = []
    for part, keys in zip(order.split(pooled), lengths.split(pooled)):
        batches += part[keys.argsort(stable=True)].split(size)
    mixed = torch.randperm(len(batches), generator=generator)
    return [batches[i] for i in mixed.tolist()]
