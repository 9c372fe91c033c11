"""Answers to lesson 04's exercises: wrong ones with their hint, right ones."""

import math

import torch
from torch.nn import functional as F


def cut(x, heads):
    return x.reshape(*x.shape[:2], heads, -1).transpose(1, 2)


def plain(x, heads):
    return x.reshape(x.shape[0], heads, x.shape[1], x.shape[2] // heads)


def attend(q, k, v, mask, scale=None):
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)


def glue(x):
    return x.transpose(1, 2).flatten(2)


def loop_split(x, heads):
    return torch.stack(x.chunk(heads, dim=-1), dim=1)


def permuted_split(x, heads):
    batch, length, dim = x.shape
    return x.reshape(batch, length, heads, dim // heads).permute(0, 2, 1, 3)


def indexed_split(x, heads):
    size = x.shape[-1] // heads
    out = x.new_zeros(len(x), heads, x.shape[1], size)
    for h in range(heads):
        out[:, h] = x[..., h * size : (h + 1) * size]
    return out


def detached_split(x, heads):
    return torch.tensor(cut(x, heads).tolist(), dtype=x.dtype)


def doubling_split(x, heads):
    with torch.no_grad():
        x *= 2
    return cut(x, heads) / 2


def view_split(x, heads):
    batch, length, dim = x.shape
    return x.view(batch, length, heads, dim // heads).transpose(1, 2)


def sdpa_multi_head(query, key, value, heads, mask):
    q, k, v = (cut(x, heads) for x in (query, key, value))
    return glue(attend(q, k, v, mask[:, None]))


def loop_multi_head(query, key, value, heads, mask):
    parts = [
        attend(q, k, v, mask)
        for q, k, v in zip(
            query.chunk(heads, -1),
            key.chunk(heads, -1),
            value.chunk(heads, -1),
        )
    ]
    return torch.cat(parts, dim=-1)


def einsum_multi_head(query, key, value, heads, mask):
    q, k, v = (x.unflatten(-1, (heads, -1)) for x in (query, key, value))
    scores = torch.einsum("bihd,bjhd->bhij", q, k) / math.sqrt(q.shape[-1])
    scores = scores + torch.where(mask, 0.0, -1e30)[:, None]
    mixed = torch.einsum("bhij,bjhd->bihd", scores.softmax(-1), v)
    return mixed.flatten(2)


def flat_multi_head(query, key, value, heads, mask):
    """Fold the heads into the batch, as early code did."""
    q, k, v = (cut(x, heads).flatten(0, 1) for x in (query, key, value))
    scores = torch.bmm(q, k.mT) * q.shape[-1] ** -0.5
    scores[~mask.repeat_interleave(heads, 0)] = -math.inf
    parts = torch.bmm(scores.softmax(-1), v)
    return glue(parts.unflatten(0, (-1, heads)))


def with_heads(change, merge=glue, split=cut):
    """Make an answer in which one step is done otherwise."""

    def answer(query, key, value, heads, mask):
        q, k, v = (split(x, heads) for x in (query, key, value))
        return merge(change(q, k, v, mask[:, None]))

    return answer


def scaled(scale):
    return with_heads(lambda q, k, v, m: attend(q, k, v, m, scale(q)))


def scores_of(q, k):
    return q @ k.mT / math.sqrt(q.shape[-1])


def wrong_softmax(dim):
    def change(q, k, v, m):
        return scores_of(q, k).masked_fill(~m, -math.inf).softmax(dim) @ v

    return with_heads(change)


def misplaced_mask_axis(query, key, value, heads, mask):
    q, k, v = (cut(x, heads) for x in (query, key, value))
    scores = scores_of(q, k).masked_fill(~mask[:, :, None], -math.inf)
    return glue(scores.softmax(-1) @ v)


def no_mask_axis(query, key, value, heads, mask):
    q, k, v = (cut(x, heads) for x in (query, key, value))
    scores = scores_of(q, k).masked_fill(~mask, -math.inf)
    return glue(scores.softmax(-1) @ v)


def unmerged_view(x):
    return x.reshape(x.shape[0], x.shape[2], -1)


def expanded_mask(mask, heads):
    batch, q, k = mask.shape
    return ~mask[:, None].expand(batch, heads, q, k).reshape(-1, q, k)


def listed_mask(mask, heads):
    return torch.stack([~m for m in mask for _ in range(heads)])


def compared_mask(mask, heads):
    return torch.repeat_interleave(mask == 0, heads, dim=0)


def logical_mask(mask, heads):
    index = torch.arange(len(mask) * heads) // heads
    return mask[index].logical_not()


def in_place_mask(mask, heads):
    mask.logical_not_()
    return mask.repeat_interleave(heads, 0)


WRONG = {
    "two_heads": [
        ([1.3912, 2.3912], "divided by sqrt(2)"),
        ([0.8808, 0.5], "these are weights"),
        ([10.389, 6], "not normalised"),
        ([1.2384, 2.2384], "that is one head"),
        ([1.5379, 3.0], "query [1, 0]"),
        ([1.3912, 3.0], "sqrt(2)"),
        ([2.7616, 3.0], "wrong way round"),
        ([3.0, 1.2384], "wrong order"),
        ([1.2384, 2], "half of both"),
        ([1.2384, 4], "half of both"),
        ([1.2384, 6], "added up"),
        ([1, 3], "best key's value alone"),
        ([2, 3], "plain average in both"),
        ([2, 0], "these are scores"),
        ([1.2384], "2 numbers"),
        ("1.24 and 3", "expected numbers"),
        ([0, 0], "not it"),
    ],
    "split": [
        (lambda x, n: x.view(len(x), n, x.shape[1], -1), "mixes tokens"),
        (plain, "mixes tokens"),
        (lambda x, n: x.unflatten(-1, (n, -1)), "transpose is missing"),
        (
            lambda x, n: x.unflatten(-1, (-1, n)).permute(0, 3, 1, 2),
            "every other number",
        ),
        (lambda x, n: cut(x, n).transpose(0, 1), "before the batch"),
        (lambda x, n: cut(x, n).mT, "swapped at the end"),
        (lambda x, n: cut(x, n).flip(1), "reversed order"),
        (
            lambda x, n: torch.stack([x] * n, dim=1),
            "every head gets the whole vector",
        ),
        (
            lambda x, n: x.mT.reshape(len(x), n, x.shape[1], -1),
            "transposes first",
        ),
        (lambda x, n: cut(x, n).flatten(0, 1), "flattened into one"),
        (lambda x, n: x.chunk(n, -1), "torch tensor, got a tuple"),
        (
            lambda x, n: x.view(len(x), x.shape[1], 2, -1).transpose(1, 2),
            "heads",
        ),
        (doubling_split, "in place"),
        (lambda x, n: cut(TOKENS, 2) + 0 * x.sum(), "whatever the input"),
    ],
    "multi_head": [
        (
            with_heads(lambda q, k, v, m: attend(q, k, v, ~m)),
            "wrong way round",
        ),
        (with_heads(lambda q, k, v, m: attend(q, k, v, None)), "not used"),
        (
            lambda q, k, v, n, m: with_heads(
                lambda a, b, c, d: attend(a, b, c, d, q.shape[-1] ** -0.5)
            )(q, k, v, n, m),
            "sqrt(dim)",
        ),
        (scaled(lambda q: 1.0), "not divided"),
        (scaled(lambda q: 1 / q.shape[-1]), "take the square root"),
        (scaled(lambda q: q.shape[1] ** -0.5), "number of heads"),
        (with_heads(attend, unmerged_view), "merged without transpose"),
        (with_heads(attend, lambda x: x), "not merged"),
        (with_heads(attend, lambda x: x.transpose(1, 2)), "not merged yet"),
        (with_heads(attend, unmerged_view, plain), "plain view"),
        (with_heads(attend, glue, plain), "plain view"),
        (with_heads(attend, lambda x: x.mean(1)), "averages the heads"),
        (with_heads(attend, lambda x: x.sum(1)), "adds the heads"),
        (with_heads(attend, lambda x: glue(x.flip(1))), "reversed order"),
        (lambda q, k, v, n, m: attend(q, k, v, m), "that is one head"),
        (wrong_softmax(-2), "over the queries"),
        (wrong_softmax(1), "NaN"),
        (
            with_heads(
                lambda q, k, v, m: (scores_of(q, k).softmax(-1) * m) @ v
            ),
            "after the softmax",
        ),
        (
            with_heads(
                lambda q, k, v, m: (scores_of(q, k) * m).softmax(-1) @ v
            ),
            "set to 0",
        ),
        (with_heads(lambda q, k, v, m: attend(q, k, k, m)), "mixes the keys"),
        (misplaced_mask_axis, "in the wrong place"),
        (no_mask_axis, "no dimension for the heads"),
    ],
    "torch_mask": [
        (lambda m, n: m.repeat_interleave(n, 0), "not turned round"),
        (lambda m, n: ~m.repeat(n, 1, 1), "order is wrong"),
        (lambda m, n: m.repeat(n, 1, 1), "not turned round (use ~mask), and"),
        (lambda m, n: ~m, "one mask per sequence"),
        (lambda m, n: m, "nothing has changed"),
        (lambda m, n: ~torch.stack([m] * n, 1), "four dimensions"),
        (
            lambda m, n: torch.stack([m] * n, 1).flatten(0, 1),
            "not turned round",
        ),
        (lambda m, n: ~m.mT.repeat_interleave(n, 0), "swapped"),
        (lambda m, n: ~m.repeat_interleave(n, 1), "repeats the queries"),
        (
            lambda m, n: torch.where(m, 0.0, -math.inf).repeat_interleave(
                n, 0
            ),
            "boolean one",
        ),
        (lambda m, n: (~m).repeat_interleave(n, 0).long(), "keep it boolean"),
        (lambda m, n: (~m).repeat_interleave(n, 0).float(), "keep it boolean"),
        (in_place_mask, "in place"),
        (lambda m, n: -m, "raises RuntimeError"),
    ],
    "ceiling": [
        (0.75, "two lamps"),
        (0.125, "guessing"),
        (0.25, "two guessed"),
        (0.375, "one piece more"),
        (0.875, "two heads"),
        (1, "are there 8 pieces"),
        (4, "of how many"),
        (50, "percent"),
        (0.6667, "count answers"),
        (1 / 3, "count answers"),
        (0.6, "not it"),
        ("half", "expected numbers"),
    ],
}

TOKENS = torch.tensor(
    [[[11.0, 12, 13, 14], [21, 22, 23, 24], [31, 32, 33, 34]]]
)

RIGHT = {
    "two_heads": [[1.2384, 3.0], (1.24, 3), torch.tensor([1.2384058, 3.0])],
    "split": [
        detached_split,
        cut,
        loop_split,
        permuted_split,
        indexed_split,
        view_split,
    ],
    "multi_head": [
        lambda *a: sdpa_multi_head(*a).detach(),
        sdpa_multi_head,
        loop_multi_head,
        einsum_multi_head,
        flat_multi_head,
    ],
    "torch_mask": [expanded_mask, listed_mask, compared_mask, logical_mask],
    "ceiling": [0.5, 1 / 2, torch.tensor(0.5)],
}
