"""Histories of items: split, padded, batched, and read from real ratings."""

import math
import operator
from collections.abc import Callable, Sequence
from typing import NamedTuple, SupportsIndex

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from attn_course.common.arguments import check_at_least, check_choice
from attn_course.common.batching import pad
from attn_course.common.tokens import PAD
from attn_course.data.ratings import Rating

MAX_LENGTH = 32  # items that a model looks back at
ORDERS = ("table", "shuffled", "semester")

History = Sequence[SupportsIndex]  # whole numbers, numpy's too
Histories = Sequence[History]


class Split(NamedTuple):
    """Histories cut for training, for choosing settings, and for the test."""

    train: list[list[int]]  # without each person's last two items
    valid: list[int]  # the item after it, 0 where nothing was hidden
    test: list[int]  # the last item, 0 where nothing was hidden

    def examples(self, part: str) -> tuple[list[list[int]], list[int]]:
        """Return the histories to look at and the items to predict.

        People of whom nothing was hidden are left out.

        Raises:
            ValueError: if ``part`` is neither "valid" nor "test".
        """
        check_choice("part", part, ("valid", "test"))
        people = zip(self.train, self.valid, self.test)
        if part == "valid":
            rows = [(items, valid) for items, valid, _ in people if valid]
        else:
            rows = [
                ([*items, valid], test)
                for items, valid, test in people
                if test
            ]
        return [row[0] for row in rows], [row[1] for row in rows]


def leave_last_out(histories: Histories) -> Split:
    """Hide the last item of every history for the test, the one before too.

    Models learn from ``train`` only. Settings are chosen by how well
    ``valid`` follows ``train``; at the end ``test`` is predicted from
    ``train`` and ``valid`` together. A history of fewer than three items
    stays whole in ``train``: nothing would be left to look back at.

    Raises:
        ValueError: if an item is not a whole number from 1 up.

    Source: Kang and McAuley (2018), section IV.A.
    """
    split = Split([], [], [])
    for items in _whole_numbers(histories):
        long = len(items) >= 3
        split.train.append(items[:-2] if long else items)
        split.valid.append(items[-2] if long else PAD)
        split.test.append(items[-1] if long else PAD)
    return split


def pad_histories(
    histories: Histories,
    max_length: int | None = None,
    items: int | None = None,
) -> Int[Tensor, "users length"]:
    """Make one tensor of histories: 0 behind each, to the longest.

    Of a longer history the **last** ``max_length`` items are kept. Every row
    has one position at least.

    Raises:
        ValueError: if ``max_length`` is below 1, or an item is not one of 1
            to ``items``.
    """
    if max_length is not None:
        check_at_least(1, max_length=max_length)
    rows = _whole_numbers(histories, items)
    rows = [row[-max_length:] if max_length else row for row in rows]
    # One more row, of one PAD: it makes every row at least that long.
    return pad([*rows, [PAD]])[:-1]


def _whole_numbers(
    histories: Histories, items: int | None = None
) -> list[list[int]]:
    """Give histories of Python's integers, each an item from 1 up."""
    top = math.inf if items is None else items
    expected = f"from 1 {'up' if items is None else f'to {items}'}"
    rows = []
    for history in histories:
        try:
            row = [operator.index(item) for item in history]
        except TypeError:
            raise ValueError(
                f"histories: expected item numbers {expected}, got "
                f"{list(history)}"
            ) from None
        for item in row:
            if not 1 <= item <= top:
                raise ValueError(
                    f"histories: expected item numbers {expected}, got "
                    f"{item}: an unknown item"
                )
        rows.append(row)
    return rows


def item_back(
    tokens: Int[Tensor, "users length"],
    lengths: Int[Tensor, " users"],
    steps: int,
) -> Int[Tensor, " users"]:
    """Return the item ``steps`` from the end of each row; 0 if none is."""
    if not tokens.shape[1]:
        return torch.zeros_like(lengths)
    position = (lengths - steps).clamp(min=0)
    items = tokens.gather(1, position[:, None])[:, 0]
    return items.where(lengths >= steps, PAD)


def history_batches(
    histories: Histories,
    *,
    max_length: int = MAX_LENGTH,
    size: int = 128,
    seed: int = 0,
    shuffle: bool = False,
    device: torch.device | str | None = None,
) -> Callable[[int], Int[Tensor, "size length"]]:
    """Make ``batches(step)``: histories in random order, a stretch of each.

    A batch that an epoch does not fill takes the first of the next. A history
    of more than ``max_length + 1`` items gives another stretch of itself each
    time. Histories with fewer than two items have nothing to predict, and are
    left out.

    Args:
        histories: items, oldest first.
        max_length: the model's longest input; one more item is the target of
            the last.
        size: histories in a batch.
        seed: of the order.
        shuffle: put the items of each history in a new order every time.
        device: where the batch shall be.

    Raises:
        ValueError: if no history has two items.
    """
    rows = [list(row) for row in histories if len(row) >= 2]
    if not rows:
        raise ValueError(
            "histories: expected at least one of two or more items, got none"
        )

    def order(epoch: int) -> np.ndarray:
        return np.random.default_rng([seed, 7, epoch]).permutation(len(rows))

    def batch(step: int) -> Tensor:
        rng = np.random.default_rng([seed, step])
        epoch, position = divmod(step * size, len(rows))
        numbers = [*order(epoch), *order(epoch + 1)]
        cut = []
        for number in numbers[position : position + size]:
            row = rows[number]
            if shuffle:
                row = rng.permutation(row).tolist()
            start = rng.integers(0, max(1, len(row) - max_length))
            cut.append(row[start : start + max_length + 1])
        return pad_histories(cut).to(device)

    return batch


def ratings_to_histories(
    ratings: Sequence[Rating], order: str = "semester", seed: int = 0
) -> tuple[list[list[int]], list[int]]:
    """Make one history per student, of the lecturers that they rated.

    That a lecturer was rated counts, not how well. The table knows no time
    but in how many semesters before the survey a lecture took place.

    Args:
        ratings: from ``attn_course.data.ratings.load``.
        order: "table", as the rows stand: by the lecturer's code;
            "shuffled"; or "semester": oldest semester first, within one in
            random order.
        seed: of the random orders.

    Returns:
        The histories, and the lecturers' codes: item i has the code
        ``codes[i - 1]``.

    Raises:
        ValueError: if ``order`` is unknown.
    """
    check_choice("order", order, ORDERS)
    codes = sorted({rating.lecturer for rating in ratings})
    number = {code: i for i, code in enumerate(codes, 1)}
    rows: dict[int, list[Rating]] = {}
    for rating in ratings:
        rows.setdefault(rating.student, []).append(rating)
    rng = np.random.default_rng(seed)
    histories = []
    for row in rows.values():
        noise = rng.random(len(row))
        indices = list(range(len(row)))
        if order == "semester":
            indices.sort(key=lambda i: (-row[i].back, noise[i]))
        elif order == "shuffled":
            indices.sort(key=lambda i: noise[i])
        histories.append([number[row[i].lecturer] for i in indices])
    return histories, codes


def shuffle_histories(histories: Histories, seed: int = 0) -> list[list[int]]:
    """Put the items of every history in a random order."""
    rng = np.random.default_rng(seed)
    return [rng.permutation(list(row)).tolist() for row in histories]
