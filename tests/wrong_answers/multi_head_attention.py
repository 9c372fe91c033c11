"""Answers to lesson 04's exercises: wrong ones with their hint, right ones."""

import math

import numpy as np
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


def sp(x, h):
    b, length, d = x.shape
    return x.reshape(b, length, h, d // h).transpose(1, 2)


def mh(
    q,
    k,
    v,
    h,
    m,
    scale=None,
    split=sp,
    merge=lambda o: o.transpose(1, 2).flatten(2),
    mask="ok",
    dim=-1,
    fill=-math.inf,
):
    d = q.shape[-1]
    Q, K, V = (split(t, h) for t in (q, k, v))
    s = (
        Q
        @ K.transpose(-2, -1)
        / (math.sqrt(Q.shape[-1]) if scale is None else scale(d, h))
    )
    if mask == "ok":
        s = s.masked_fill(~m[:, None], fill)
    elif mask == "inv":
        s = s.masked_fill(m[:, None], fill)
    w = torch.softmax(s, dim)
    if mask == "after":
        w = w * m[:, None]
    if mask == "after_renorm":
        pass
    return merge(w @ V)


def swap_hd2(x, h):
    b, length, d = x.shape
    return x.reshape(b, length, d // h, h).transpose(1, 2)


def t_view2(x, h):
    b, length, d = x.shape
    return x.transpose(1, 2).reshape(b, h, length, d // h)


def tr13(x, h):
    b, length, d = x.shape
    return x.reshape(b, length, h, d // h).transpose(1, 3)


def headsdim(x, h):
    b, length, d = x.shape
    return x.reshape(b, length, d // h, h).permute(0, 2, 1, 3)


def colmod(x, h):
    return torch.stack([x[..., i::h] for i in range(h)], 1)


def catdim(x, h):
    return torch.cat(x.chunk(h, -1), dim=1)


def catbatch(x, h):
    return torch.cat(x.chunk(h, -1), dim=0)


def stackm1(x, h):
    return torch.stack(x.chunk(h, -1), -1)


def chunks_size(x, h):
    return torch.stack(x.split(h, -1), 1)


def overlap(x, h):
    s = x.shape[-1] // h
    return torch.stack([x[..., i : i + s] for i in range(h)], 1)


def nobatch(x, h):
    b, length, d = x.shape
    return x.reshape(h, length, d // h)


def d_wrong(x, h):
    b, length, d = x.shape
    return x.reshape(b, length, h, d).transpose(1, 2)


def loop_off(x, h):
    s = x.shape[-1] // h
    return torch.stack(
        [x[..., i * s : (i + 1) * s] for i in range(h - 1)]
        + [x[..., -s:] * 0],
        1,
    )


def every_other(x, h):
    return x.reshape(*x.shape[:2], -1, h).permute(0, 3, 1, 2)


def inter(q, k, v, h, m):
    return mh(q, k, v, h, m, split=every_other)


def number_by_number(x):
    return x.permute(0, 2, 3, 1).flatten(2)


def inter_both(q, k, v, h, m):
    return mh(q, k, v, h, m, split=every_other, merge=number_by_number)


def onehead_hs(q, k, v, h, m):
    s = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1] // h)
    return s.masked_fill(~m, -math.inf).softmax(-1) @ v


def small_fill(q, k, v, h, m):
    return mh(q, k, v, h, m, fill=-1.0)


def keyvalue(q, k, v, h, m):
    return mh(q, v, k, h, m)


def addmask(q, k, v, h, m):
    Q, K, V = (sp(t, h) for t in (q, k, v))
    s = Q @ K.transpose(-2, -1) / math.sqrt(Q.shape[-1]) + m[:, None]
    return (s.softmax(-1) @ V).transpose(1, 2).flatten(2)


def sc_late(q, k, v, h, m):
    Q, K, V = (sp(t, h) for t in (q, k, v))
    s = (Q @ K.transpose(-2, -1)).masked_fill(~m[:, None], -math.inf).softmax(
        -1
    ) / math.sqrt(Q.shape[-1])
    return (s @ V).transpose(1, 2).flatten(2)


def full_after(q, k, v, h, m):
    return mh(q, k, v, h, m, scale=lambda d, h: math.sqrt(d), mask="inv")


def nomerge_scale(q, k, v, h, m):
    return mh(
        q,
        k,
        v,
        h,
        m,
        scale=lambda d, h: math.sqrt(d),
        merge=lambda o: o.reshape(o.shape[0], o.shape[2], -1),
    )


def nosplitv(q, k, v, h, m):
    Q, K = (sp(t, h) for t in (q, k))
    s = (
        (Q @ K.transpose(-2, -1) / math.sqrt(Q.shape[-1]))
        .masked_fill(~m[:, None], -math.inf)
        .softmax(-1)
    )
    return s.mean(1) @ v


def causal(q, k, v, h, m):
    return (
        F.scaled_dot_product_attention(
            sp(q, h), sp(k, h), sp(v, h), is_causal=True
        )
        .transpose(1, 2)
        .flatten(2)
    )


def renorm(q, k, v, h, m):
    Q, K, V = (sp(t, h) for t in (q, k, v))
    s = (Q @ K.transpose(-2, -1) / math.sqrt(Q.shape[-1])).softmax(-1) * m[
        :, None
    ]
    s = s / s.sum(-1).mean()
    return (s @ V).transpose(1, 2).flatten(2)


def nodim(mask, h):
    return ~mask.repeat_interleave(h)


def firstonly(mask, h):
    return ~mask[0].expand(h, -1, -1)


def dim2(mask, h):
    return ~mask.repeat_interleave(h, -1)


def npb(mask, h):
    return np.repeat(~mask.numpy(), h, axis=0)


def firstall(mask, h):
    return (~mask[:1]).repeat_interleave(h * len(mask), 0)


def no_h(mask, h):
    return (~mask).unsqueeze(1)


def loop1(mask, h):
    return (
        torch.stack([~m for m in mask for _ in range(h - 1)])
        if h > 1
        else ~mask
    )


def heads_first(mask, h):
    return ~mask.unsqueeze(0).expand(h, -1, -1, -1).reshape(
        -1, *mask.shape[1:]
    )


def minus(mask, h):
    return -mask.repeat_interleave(h, 0)


def stacked_chunks(x, h):
    return torch.stack(x.chunk(h, -1), 1)


def transposed_first(x, h):
    b, length, d = x.shape
    return x.transpose(1, 2).reshape(b, h, d // h, length).transpose(2, 3)


def by_torch(q, k, v, h, m):
    return (
        F.scaled_dot_product_attention(
            sp(q, h), sp(k, h), sp(v, h), attn_mask=m[:, None]
        )
        .transpose(1, 2)
        .flatten(2)
    )


def head_by_head(q, k, v, h, m):
    d = q.shape[-1] // h
    out = []
    for i in range(h):
        s = slice(i * d, (i + 1) * d)
        a = torch.einsum("bqd,bkd->bqk", q[..., s], k[..., s]) / d**0.5
        out.append(a.masked_fill(~m, -1e30).softmax(-1) @ v[..., s])
    return torch.cat(out, -1)


def batch_times_heads(x, h):
    batch, length, dim = x.shape
    return x.reshape(batch * h, length, dim // h)


WRONG = {
    "two_heads": [
        ([1.24, 4.0], "takes half of both"),
        ([1.0, 2.24], "head 2 has its own weights"),
        ([1.54, 3.0], "query is 2"),
        ([8.389, 3], "the sum of the exponentials"),
        ([2, 4], "takes half of both"),
        ([1.24, 3.0, 1.0], "expected 2 numbers"),
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
        (batch_times_heads, "one dimension"),
        (swap_hd2, "(batch, head_dim, length, heads)"),
        (t_view2, "mixes tokens"),
        (tr13, "(batch, head_dim, heads, length)"),
        (headsdim, "every other number"),
        (colmod, "every other number"),
        (catdim, "joined into one"),
        (catbatch, "joined into one"),
        (stackm1, "(batch, length, head_dim, heads)"),
        (chunks_size, "every other number"),
        (overlap, "overlap"),
        (nobatch, "invalid for input"),
        (d_wrong, "invalid for input"),
        (loop_off, "the numbers differ"),
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
        (inter, "every other number"),
        (inter_both, "number by number"),
        (onehead_hs, "one head, though"),
        (small_fill, "-1.0"),
        (keyvalue, "roles are exchanged"),
        (addmask, "added as 1 and 0"),
        (sc_late, "after the softmax"),
        (full_after, "; and the mask is the wrong way"),
        (nomerge_scale, "; and merged without"),
        (nosplitv, "weights are averaged"),
        (causal, "causal mask in place"),
        (renorm, "numbers differ"),
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
        (nodim, "without dim"),
        (firstonly, "only the first sequence"),
        (dim2, "repeats the keys"),
        (npb, "no boolean torch tensor"),
        (firstall, "only the first sequence"),
        (no_h, "no copy for each head"),
        (loop1, "one head is missing"),
        (heads_first, "the order is wrong"),
        (minus, "not supported"),
        (lambda m, n: m.repeat_interleave(n, 0), "not turned round"),
        (lambda m, n: ~m.repeat(n, 1, 1), "order is wrong"),
        (lambda m, n: m.repeat(n, 1, 1), "and the order is wrong"),
        (lambda m, n: ~m, "one mask per sequence"),
        (lambda m, n: m, "one mask per sequence"),
        (
            lambda m, n: ~torch.stack([m] * n, 1),
            "flatten the first two of the four",
        ),
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
        (
            lambda m, n: (~m).repeat_interleave(n, 0).long(),
            "no boolean torch tensor",
        ),
        (
            lambda m, n: (~m).repeat_interleave(n, 0).float(),
            "no boolean torch tensor",
        ),
        (in_place_mask, "in place"),
        (lambda m, n: -m, "raises RuntimeError"),
    ],
    "ceiling": [
        (5 / 8, "not five"),
        (3, "of how many answers"),
        (0.7, "is not it"),
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
        (0.6, "there are 8 answers"),
        ("half", "expected numbers"),
    ],
}

TOKENS = torch.tensor(
    [[[11.0, 12, 13, 14], [21, 22, 23, 24], [31, 32, 33, 34]]]
)

RIGHT = {
    "two_heads": [[1.2384, 3.0], (1.24, 3), torch.tensor([1.2384058, 3.0])],
    "split": [
        stacked_chunks,
        transposed_first,
        detached_split,
        cut,
        loop_split,
        permuted_split,
        indexed_split,
        view_split,
    ],
    "multi_head": [
        by_torch,
        head_by_head,
        lambda *a: sdpa_multi_head(*a).detach(),
        sdpa_multi_head,
        loop_multi_head,
        einsum_multi_head,
        flat_multi_head,
    ],
    "torch_mask": [expanded_mask, listed_mask, compared_mask, logical_mask],
    "ceiling": [0.5, 1 / 2, torch.tensor(0.5)],
}
