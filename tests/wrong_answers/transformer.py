"""Answers to lesson 06's exercises: wrong ones with their hint, right ones."""

import math

import torch
from torch.nn import functional as F

# A decoder layer ------------------------------------------------------------


def stepwise(x, memory, attend, cross, mlp, norms):
    normed = norms[0](x)
    found = attend(normed)
    x = torch.add(x, found)
    asked = cross(norms[1](x), memory)
    x = torch.add(x, asked)
    return torch.add(x, mlp(norms[2](x)))


def looped(x, memory, attend, cross, mlp, norms):
    for part, norm in zip((attend, lambda q: cross(q, memory), mlp), norms):
        x = x + part(norm(x))
    return x


def unpacked(x, memory, attend, cross, mlp, norms):
    first, second, third = norms
    a = attend(first(x)) + x
    b = cross(second(a), memory) + a
    return mlp(third(b)) + b


def post_norm(x, memory, attend, cross, mlp, norms):
    x = norms[0](x + attend(x))
    x = norms[1](x + cross(x, memory))
    return norms[2](x + mlp(x))


def no_residual(x, memory, attend, cross, mlp, norms):
    x = attend(norms[0](x))
    x = cross(norms[1](x), memory)
    return mlp(norms[2](x))


def normed_residual(x, memory, attend, cross, mlp, norms):
    x = norms[0](x)
    x = x + attend(x)
    x = norms[1](x)
    x = x + cross(x, memory)
    x = norms[2](x)
    return x + mlp(x)


def norm_outside(x, memory, attend, cross, mlp, norms):
    x = x + norms[0](attend(x))
    x = x + norms[1](cross(x, memory))
    return x + norms[2](mlp(x))


def no_norm(x, memory, attend, cross, mlp, norms):
    x = x + attend(x)
    x = x + cross(x, memory)
    return x + mlp(x)


def one_norm(x, memory, attend, cross, mlp, norms):
    norm = norms[0]
    x = x + attend(norm(x))
    x = x + cross(norm(x), memory)
    return x + mlp(norm(x))


def all_from_x(x, memory, attend, cross, mlp, norms):
    a = attend(norms[0](x))
    b = cross(norms[1](x), memory)
    return x + a + b + mlp(norms[2](x))


def mlp_from_x(x, memory, attend, cross, mlp, norms):
    y = x + attend(norms[0](x))
    y = y + cross(norms[1](y), memory)
    return y + mlp(norms[2](x))


def cross_from_x(x, memory, attend, cross, mlp, norms):
    y = x + attend(norms[0](x))
    y = y + cross(norms[1](x), memory)
    return y + mlp(norms[2](y))


def last_bare(x, memory, attend, cross, mlp, norms):
    x = x + attend(norms[0](x))
    x = x + cross(norms[1](x), memory)
    return mlp(norms[2](x))


def middle_bare(x, memory, attend, cross, mlp, norms):
    x = x + attend(norms[0](x))
    x = cross(norms[1](x), memory)
    return x + mlp(norms[2](x))


def first_bare(x, memory, attend, cross, mlp, norms):
    x = attend(norms[0](x))
    x = x + cross(norms[1](x), memory)
    return x + mlp(norms[2](x))


def one_sum(x, memory, attend, cross, mlp, norms):
    y = attend(norms[0](x))
    y = cross(norms[1](y), memory)
    return x + mlp(norms[2](y))


def memory_too(x, memory, attend, cross, mlp, norms):
    x = x + attend(norms[0](x))
    x = x + cross(norms[1](x), norms[1](memory))
    return x + mlp(norms[2](x))


def cross_before(x, memory, attend, cross, mlp, norms):
    x = x + cross(norms[0](x), memory)
    x = x + attend(norms[1](x))
    return x + mlp(norms[2](x))


def mlp_middle(x, memory, attend, cross, mlp, norms):
    x = x + attend(norms[0](x))
    x = x + mlp(norms[2](x))
    return x + cross(norms[1](x), memory)


def no_cross(x, memory, attend, cross, mlp, norms):
    x = x + attend(norms[0](x))
    return x + mlp(norms[2](x))


def encoder_only(x, memory, attend, cross, mlp, norms):
    x = x + attend(norms[0](x))
    return x + cross(norms[1](x), memory)


def adds_in_place(x, memory, attend, cross, mlp, norms):
    with torch.no_grad():
        x += attend(norms[0](x))
    x = x + cross(norms[1](x), memory)
    return x + mlp(norms[2](x))


def no_memory(x, memory, attend, cross, mlp, norms):
    x = x + attend(norms[0](x))
    x = x + cross(norms[1](x))
    return x + mlp(norms[2](x))


# The decoder's input --------------------------------------------------------


def joined(expected, first=1):
    return torch.cat(
        [torch.full_like(expected[:, :1], first), expected[:, :-1]], 1
    )


def rolled_input(expected):
    moved = expected.roll(1, dims=1)
    moved[:, 0] = 1
    return torch.where(moved == 2, 0, moved)


def padded_input(expected):
    return F.pad(expected[:, :-1] * (expected[:, :-1] != 2), (1, 0), value=1)


def looped_input(expected):
    rows = []
    for row in expected.tolist():
        letters = [i for i in row if i > 2]
        rows.append(([1] + letters + [0] * len(row))[: len(row)])
    return torch.tensor(rows)


def filled_input(expected):
    out = torch.zeros_like(expected)
    out[:, 0] = 1
    out[:, 1:] = expected[:, :-1].masked_fill(expected[:, :-1] < 3, 0)
    return out


def overwritten(expected):
    expected = expected.clone()
    expected[:, 0] = 1
    return expected.masked_fill(expected == 2, 0)


def in_place_input(expected):
    expected[expected == 2] = 0
    return F.pad(expected[:, :-1], (1, 0), value=1)


# The decoder's mask ---------------------------------------------------------


def tri(target):
    return torch.ones(
        target.shape[1], target.shape[1], dtype=torch.bool
    ).tril()


def right_mask(target):
    return (target != 0).unsqueeze(1) & tri(target)


def ranged_mask(target):
    at = torch.arange(target.shape[1])
    return (at[:, None] >= at) & target.bool()[:, None, :]


def looped_mask(target):
    masks = []
    for row in target:
        masks.append(tri(target) * (row > 0))
    return torch.stack(masks)


def multiplied_mask(target):
    return (
        torch.einsum("bj,ij->bij", (target > 0).float(), tri(target).float())
        > 0
    )


# Smoothing ------------------------------------------------------------------


def full_smooth(expected, classes, smoothing):
    rows = torch.full((len(expected), classes), smoothing / classes)
    rows[torch.arange(len(expected)), expected] += 1 - smoothing
    return rows


def scattered_smooth(expected, classes, smoothing):
    rows = torch.zeros(len(expected), classes)
    rows = rows.scatter(1, expected[:, None], 1 - smoothing)
    return rows + smoothing / classes


def mixed_smooth(expected, classes, smoothing):
    return torch.lerp(
        torch.eye(classes)[expected],
        torch.full((len(expected), classes), 1 / classes),
        smoothing,
    )


def hot(expected, classes):
    return F.one_hot(expected, classes).float()


def second_norm_twice(x, memory, attend, cross, mlp, norms):
    first, second, _ = norms
    x = attend(first(x)) + x
    x = cross(second(x), memory) + x
    return mlp(second(x)) + x


def norms_crossed(x, memory, attend, cross, mlp, norms):
    norms = norms[0], norms[2], norms[1]
    return looped(x, memory, attend, cross, mlp, norms)


def attended_unread(x, memory, attend, cross, mlp, norms):
    y = attend(norms[0](x)) + x
    y = cross(norms[1](x), memory) + x
    return mlp(norms[2](y)) + y


def asks_early(x, memory, attend, cross, mlp, norms):
    ready = norms[0](x)
    y = x + attend(ready) + cross(ready, memory)
    return y + mlp(norms[2](y))


def first_x_last(x, memory, attend, cross, mlp, norms):
    residual = x
    x = x + attend(norms[0](x))
    x = x + cross(norms[1](x), memory)
    return residual + mlp(norms[2](x))


def last_unnormed(x, memory, attend, cross, mlp, norms):
    x = x + attend(norms[0](x))
    x = x + cross(norms[1](x), memory)
    return mlp(x) + x


def post_at_end(x, memory, attend, cross, mlp, norms):
    x = x + attend(norms[0](x))
    x = x + cross(norms[1](x), memory)
    return norms[2](mlp(x) + x)


def lengths_mask(target):
    length, size = (target != 0).sum(1), target.shape[1]
    real = torch.arange(size) < length[:, None]
    return real[:, None] & torch.ones(size, size).tril().bool()


def shared_by_two_fewer(expected, classes, smoothing):
    labels = torch.full(
        (len(expected), classes), smoothing / max(1, classes - 2)
    )
    return labels.scatter(1, expected[:, None], 1 - smoothing)


def annotated(expected, classes, smoothing):
    """The Annotated Transformer's labels, with padding at 0."""
    labels = torch.zeros(len(expected), classes)
    labels.fill_(smoothing / (classes - 2))
    labels.scatter_(1, expected.unsqueeze(1), 1 - smoothing)
    labels[:, 0] = 0
    return labels


def every_row(expected, classes, smoothing):
    labels = torch.full((len(expected), classes), smoothing / classes)
    labels[:, expected] += 1 - smoothing
    return labels


WRONG = {
    "layer_size": [
        (49728, "256 are missing"),
        (49856, "two norms"),
        (50112, "three norms"),
        (49664, "biases are missing"),
        (49408, "4 x 64 of the attention"),
        (49152, "only matrices"),
        (45824, "four matrices"),
        (33536, "two matrices"),
        (33600, "two matrices"),
        (16640, "attention alone"),
        (33088, "MLP alone"),
        (66752, "decoder layer"),
        (66624, "two attentions"),
        (166464, "count them once"),
        (49920, "one bias"),
        (4 * 4160 + 2 * 64 * 256 + 2 * 64 + 256, "inner bias has 256"),
        (50000, "not it"),
        ("fifty thousand", "expected numbers"),
    ],
    "decoder_layer": [
        (post_norm, "post-norm"),
        (no_residual, "residuals are missing"),
        (normed_residual, "the normed x is added"),
        (norm_outside, "of what the part gives"),
        (no_norm, "norms are not used"),
        (one_norm, "norms[0]"),
        (
            lambda x, m, a, c, f, n: looped(x, m, a, c, f, n[::-1]),
            "reversed order",
        ),
        (all_from_x, "all three parts read the first x"),
        (mlp_from_x, "MLP reads the first x"),
        (cross_from_x, "cross reads the first x"),
        (last_bare, "the MLP gets no sum"),
        (middle_bare, "cross-attention gets no sum"),
        (first_bare, "self-attention gets no sum"),
        (one_sum, "one sum at the end"),
        (memory_too, "memory comes normed"),
        (cross_before, "self-attention goes before"),
        (mlp_middle, "it is the last part"),
        (no_cross, "never asked"),
        (encoder_only, "MLP is missing"),
        (second_norm_twice, "norms 0, 1, 1 are used"),
        (norms_crossed, "norms 0, 2, 1 are used"),
        (attended_unread, "its result is never read"),
        (asks_early, "made before self-attention"),
        (first_x_last, "adds the first x"),
        (last_unnormed, "the MLP gets x without its norm"),
        (post_at_end, "the MLP is post-norm"),
        (adds_in_place, "in place"),
        (no_memory, "raises TypeError"),
    ],
    "decoder_input": [
        (joined, "EOS is still in it"),
        (lambda e: rolled_input(e).float(), "stay whole numbers"),
        (lambda e: e.roll(1, 1), "roll brings the last"),
        (lambda e: e.roll(-1, 1), "moves to the left"),
        (lambda e: F.pad(e, (1, 0), value=1), "one column too many"),
        (
            lambda e: F.pad(e * (e != 2), (1, 0), value=1),
            "one column too many",
        ),
        (lambda e: F.pad(e[:, 1:], (1, 0), value=1), "first letter is gone"),
        (overwritten, "first letter is gone"),
        (
            lambda e: F.pad(e[:, :-1] * (e[:, :-1] != 2), (1, 0)),
            "0 is padding",
        ),
        (lambda e: joined(e, first=2), "2 is EOS"),
        (lambda e: e * (e != 2), "nothing has moved"),
        (lambda e: e, "nothing has changed"),
        (lambda e: joined(e).masked_fill(joined(e) == 2, 1), "become BOS"),
        (lambda e: F.pad(e.flip(1)[:, 1:], (1, 0), value=1), "turned round"),
        (
            lambda e: padded_input(torch.flip(e, (1,)).roll(-1, 1)),
            "turned round",
        ),
        (lambda e: padded_input(e).numpy(), "in a torch tensor"),
        (in_place_input, "in place"),
        (lambda e: [1] + e[0].tolist(), "torch tensor, got a list"),
        (lambda e: torch.tensor([[1, 9, 8, 7, 0]]), "whatever the input"),
    ],
    "decoder_mask": [
        (lambda t: tri(t).expand(len(t), -1, -1), "padding is not hidden"),
        (tri, "one mask for all"),
        (lambda t: (t != 0)[:, None], "future is not hidden"),
        (
            lambda t: (t != 0)[:, None].expand(-1, t.shape[1], -1),
            "future is not hidden",
        ),
        (lambda t: (t != 0)[:, :, None] & tri(t), "padding as queries"),
        (lambda t: right_mask(t) & (t != 0)[:, :, None], "padding as queries"),
        (lambda t: ~right_mask(t), "wrong way round"),
        (lambda t: (t == 0)[:, None] & tri(t), "padding only"),
        (lambda t: (t != 0)[:, None] | tri(t), "both must hold"),
        (lambda t: (t != 0)[:, None] & tri(t).T, "that is the future"),
        (lambda t: right_mask(t) & tri(t).tril(-1), "keep the diagonal"),
        (lambda t: right_mask(t)[:, None], "dimension for the heads"),
        (lambda t: right_mask(t).mT, "swapped"),
        (lambda t: right_mask(t).float(), "keep it a boolean"),
        (lambda t: right_mask(t).long(), "keep it a boolean"),
        (lambda t: right_mask(t)[0], "only the first sequence"),
        (lambda t: right_mask(t).numpy(), "boolean torch tensor"),
        (
            lambda t: (t != 0)[:, None] & torch.ones_like(tri(t)).triu(1),
            "turn the upper triangle round",
        ),
        (lambda t: right_mask(t) & (t != 1)[:, None], "BOS, the id 1"),
        (
            lambda t: torch.zeros(t.shape)[:, None].masked_fill(
                ~right_mask(t), -math.inf
            ),
            "added to scores",
        ),
        (lambda t: (t != 0) & tri(t), "expected shape"),
        (lambda t: t and tri(t), "raises RuntimeError"),
    ],
    "smooth": [
        (
            lambda e, c, s: torch.where(hot(e, c) > 0, 1 - s, s / (c - 1)),
            "wrong classes only",
        ),
        (
            lambda e, c, s: torch.where(hot(e, c) > 0, 1 - s, s / c),
            "does not sum to 1",
        ),
        (lambda e, c, s: hot(e, c), "not used"),
        (lambda e, c, s: hot(e, c) + s / c, "more than 1"),
        (lambda e, c, s: (1 - s) * hot(e, c) + s, "in full"),
        (lambda e, c, s: (1 - s) * hot(e, c), "given to nobody"),
        (
            lambda e, c, s: torch.where(hot(e, c) > 0, 1 - s, s),
            "the whole smoothing",
        ),
        (lambda e, c, s: full_smooth(e, c, 1 - s), "swapped"),
        (lambda e, c, s: full_smooth(e, c, s).softmax(-1), "no softmax"),
        (lambda e, c, s: full_smooth(e, c, s).log(), "no logarithm"),
        (lambda e, c, s: full_smooth(e, c, s).T, "rows and columns"),
        (lambda e, c, s: (1 - s) * hot(e, c) + s / len(e), "number of labels"),
        (lambda e, c, s: (1 - s) * hot(e, c) + s / (c - 1), "classes - 1"),
        (lambda e, c, s: full_smooth(e, c, s).mean(0), "averaged"),
        (shared_by_two_fewer, "classes - 2"),
        (annotated, "keeps one class for padding"),
        (
            lambda e, c, s: torch.maximum(hot(e, c), torch.tensor(s / c)),
            "the right class keeps 1",
        ),
        (every_row, "in *every* row"),
        (
            lambda e, c, s: full_smooth(e, c, s).to(torch.int64),
            "cut to whole numbers",
        ),
        (lambda e, c, s: full_smooth(e, max(e) + 1, s), "how many"),
        (
            lambda e, c, s: F.pad(full_smooth(e, c, s)[:, 1:], (1, 0)),
            "class 0 gets nothing",
        ),
        (lambda e, c, s: full_smooth(e, c, s).tolist(), "torch tensor"),
        (lambda e, c, s: full_smooth(e, 4, 0.1), "raises IndexError"),
    ],
}

RIGHT = {
    "layer_size": [49984, 49984.0, torch.tensor(49984)],
    "decoder_layer": [
        lambda *a: looped(*a).detach(),
        stepwise,
        looped,
        unpacked,
    ],
    "decoder_input": [rolled_input, padded_input, looped_input, filled_input],
    "decoder_mask": [
        right_mask,
        ranged_mask,
        looped_mask,
        multiplied_mask,
        lengths_mask,
    ],
    "smooth": [full_smooth, scattered_smooth, mixed_smooth],
}
