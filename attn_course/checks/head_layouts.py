"""Wrong ways to lay out heads, for the checks of lesson 04's exercises 2, 4."""

import itertools
import math

import torch

from attn_course.checks.engine import Mistake

# Exercise 2: (batch, length, dim) to (batch, heads, length, head_dim) ----------

_NAMES = ("batch", "length", "heads", "head_dim")
_VIEW = (
    "right shape, wrong numbers: this view mixes tokens. Cut the last "
    "dimension first (batch, length, heads, head_dim), then transpose"
)
_EARLY = (
    "it transposes first and cuts then, which mixes tokens: cut the last "
    "dimension first, then transpose"
)
_OTHER = (
    "head 1 gets every other number: it must get the first head_dim numbers; "
    "cut into (heads, head_dim), in this order"
)
_WORDS = {
    (0, 1, 2, 3): "the transpose is missing: this is (batch, length, heads, "
    "head_dim), heads must come before length",
    (2, 0, 1, 3): "the heads come before the batch: put them behind it, "
    "(batch, heads, length, head_dim)",
    (0, 2, 3, 1): "length and head_dim are swapped at the end",
}


def _order(order):
    names = ", ".join(_NAMES[dim] for dim in order)
    return _WORDS.get(
        order,
        f"the dimensions are ({names}): asked are (batch, heads, length, "
        "head_dim)",
    )


def _cut(x, heads):
    return x.unflatten(-1, (heads, -1))


def _cut_other(x, heads):
    """Cut as (head_dim, heads), and name the dimensions in the right order."""
    return x.unflatten(-1, (-1, heads)).transpose(2, 3)


def _viewed(order, turned=False):
    """View (length, heads, head_dim) in another order, then permute."""

    def split(x, heads):
        sizes = (x.shape[1], heads, x.shape[2] // heads)
        x = x.transpose(1, 2) if turned else x
        x = x.reshape(len(x), *(sizes[dim] for dim in order))
        places = (1 + order.index(dim) for dim in (1, 0, 2))
        return x.permute(0, *places)

    return split


_ORDERS = [*itertools.permutations(range(4))]
SPLIT_MISTAKES = [
    Mistake(_viewed((1, 0, 2)), _VIEW),
    Mistake(lambda x, n: x.view(len(x), n, x.shape[1], -1), _VIEW),
    Mistake(
        lambda x, n: _cut(x, 2).transpose(1, 2),
        "it makes 2 heads whatever is asked: use the argument heads",
    ),
    *(
        Mistake(
            lambda x, n, order=order: _cut(x, n).permute(order), _order(order)
        )
        for order in _ORDERS
        if order != (0, 2, 1, 3)
    ),
    Mistake(lambda x, n: _cut_other(x, n).permute(0, 2, 1, 3), _OTHER),
    *(
        Mistake(
            lambda x, n, order=order: _cut_other(x, n).permute(order),
            f"{_OTHER}; and {_order(order)}",
        )
        for order in _ORDERS
        if order != (0, 2, 1, 3)
    ),
    *(
        Mistake(
            lambda x, n, order=order: x.reshape(
                len(x), *((n, x.shape[1], x.shape[2] // n)[i] for i in order)
            ),
            "this view cuts across tokens: cut only the last dimension, into "
            "(heads, head_dim), then transpose(1, 2)",
        )
        for order in itertools.permutations(range(3))
        if order != (1, 0, 2)
    ),
    Mistake(_viewed((1, 0, 2), turned=True), _EARLY),
    *(
        Mistake(_viewed(order), f"{_VIEW}(1, 2), once")
        for order in ((1, 2, 0), (2, 0, 1), (2, 1, 0))
    ),
    *(
        Mistake(_viewed(order, turned=True), _EARLY)
        for order in ((0, 1, 2), (0, 2, 1), (2, 0, 1), (2, 1, 0))
    ),
    Mistake(
        lambda x, n: _cut(x, n).transpose(1, 2).flip(1),
        "the heads are in reversed order",
    ),
    Mistake(
        lambda x, n: x.unsqueeze(1).expand(-1, n, -1, -1),
        "every head gets the whole vector: share the numbers out",
    ),
    Mistake(
        lambda x, n: _cut(x, n).transpose(1, 2).flatten(0, 1),
        "batch and heads are flattened into one dimension: keep them apart",
    ),
    Mistake(
        lambda x, n: x.reshape(-1, x.shape[1], x.shape[2] // n),
        "this view mixes tokens, and batch and heads are one dimension: cut "
        "the last one, (batch, length, heads, head_dim), then transpose",
    ),
    Mistake(
        lambda x, n: _cut(x, n).permute(2, 0, 1, 3).flatten(0, 1),
        "batch and heads are joined into one dimension: keep them apart",
    ),
    Mistake(
        lambda x, n: _cut(x, x.shape[-1] // n).transpose(1, 2),
        "the numbers of heads and of numbers in a head are exchanged: cut "
        "into (heads, dim // heads)",
    ),
    Mistake(
        lambda x, n: x.unfold(-1, x.shape[-1] // n, 1)[:, :, :n].transpose(
            1, 2
        ),
        "the heads overlap: head h begins at number h * head_dim, not at h",
    ),
    Mistake(
        lambda x, n: x[..., : x.shape[-1] // n],
        "only the first head is kept: give each head its numbers",
    ),
    Mistake(
        lambda x, n: _cut(x, n).transpose(1, 2)[0],
        "only the first sequence is kept: the batch has more",
    ),
    Mistake(
        lambda x, n: _cut(x, n).transpose(1, 2).flatten(1, 2),
        "heads and length are joined into one dimension: keep them apart",
    ),
    Mistake(
        lambda x, n: x,
        "it comes out as it went in, split and merged again or not split: the "
        "heads are to be apart",
    ),
]

# Exercise 4: our mask for torch's nn.MultiheadAttention ------------------------

_TURN = "not turned round: torch's True means blocked, so use ~mask"
_CYCLE = (
    "the order is wrong: sequence 1 for all its heads, then sequence 2; "
    "`repeat` goes round and round, use repeat_interleave"
)
_FOUR = (
    "torch wants batch and heads in one dimension: flatten the first two of "
    "the four"
)
_COPIES = [
    (lambda m, n: m.repeat_interleave(n, 0), ""),
    (lambda m, n: m.repeat(n, 1, 1), _CYCLE),
    (
        lambda m, n: m,
        "one mask per sequence: torch wants one per sequence and head",
    ),
    (lambda m, n: m[:, None].expand(-1, n, -1, -1), _FOUR),
    (
        lambda m, n: m[:, None],
        "it has no copy for each head yet; and " + _FOUR,
    ),
    (
        lambda m, n: m.expand(n, -1, -1, -1),
        "the heads come before the sequences; and " + _FOUR,
    ),
    (
        lambda m, n: m.repeat_interleave(n),
        "repeat_interleave without dim repeats single numbers, in one row: "
        "repeat the sequences, dim=0",
    ),
    (
        lambda m, n: m.repeat_interleave(n, 1),
        "it repeats the queries: repeat the sequences, dim=0",
    ),
    (
        lambda m, n: m.repeat_interleave(n, 2),
        "it repeats the keys: repeat the sequences, dim=0",
    ),
    (
        lambda m, n: m.repeat(1, n, 1),
        "it repeats the queries: repeat the sequences, dim=0",
    ),
    (
        lambda m, n: m.repeat(1, 1, n),
        "it repeats the keys: repeat the sequences, dim=0",
    ),
    (
        lambda m, n: m.repeat_interleave(n, 0).transpose(1, 2),
        "queries and keys are swapped: keep (q, k)",
    ),
    (
        lambda m, n: m[0].expand(n, -1, -1),
        "only the first sequence's mask is used: each has its own",
    ),
    (
        lambda m, n: m[:1].expand(n * len(m), -1, -1),
        "only the first sequence's mask is used: each has its own",
    ),
    (
        lambda m, n: m[-1:].expand(n * len(m), -1, -1),
        "only the last sequence's mask is used: each has its own",
    ),
    (
        lambda m, n: m.repeat_interleave(len(m), 0),
        "repeated as often as there are sequences: repeat for each head",
    ),
    (
        lambda m, n: m.repeat_interleave(n - 1, 0) if n > 1 else m,
        "a copy for one head is missing",
    ),
    (
        lambda m, n: m.repeat_interleave(2, 0),
        "repeated twice whatever is asked: use the argument heads",
    ),
    (
        lambda m, n: m.all(dim=0).expand(n * len(m), -1, -1),
        "the sequences' masks are joined: each has its own",
    ),
]


def _added(m, low):
    return torch.zeros(m.shape).masked_fill(~m, low)


MASK_MISTAKES = [
    *(
        Mistake(
            lambda m, n, copies=copies, turned=turned: copies(m ^ turned, n),
            "; and ".join(filter(None, ("" if turned else _TURN, words))),
        )
        for turned in (True, False)
        for copies, words in _COPIES
        if words or not turned
    ),
    *(
        Mistake(
            lambda m, n, copies=copies, low=low: copies(_added(m, low), n),
            "; and ".join(
                filter(
                    None,
                    (
                        "a mask of numbers to add would work too, but a "
                        "boolean one is asked for",
                        words,
                    ),
                )
            ),
        )
        for low in (-math.inf, -1e9)
        for copies, words in _COPIES[:3]
    ),
    Mistake(
        lambda m, n: (~m).repeat_interleave(n, 0).int(),
        "right, but no boolean torch tensor: torch refuses whole numbers and "
        "would add others to the scores (.bool(), torch.from_numpy(...))",
    ),
    Mistake(
        lambda m, n: m.repeat_interleave(n, 0).int(),
        f"{_TURN}; and keep it a boolean torch tensor",
    ),
    Mistake(
        lambda m, n: ~m.int().repeat_interleave(n, 0),
        "~ of whole numbers gives -1 and -2: turn the boolean mask round",
    ),
]
