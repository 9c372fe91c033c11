"""Decoder layers for the check of lesson 06's exercise 2: one right, many wrong.

A layer takes ``(x, memory, attend, cross, mlp, norms)``. Most wrong ones are a
chain of three steps; a step takes ``(x, part, norms)``.
"""

import itertools

import torch

from attn_course.checks.engine import Mistake

# Parts and norms that differ from each other, so that a swap shows.


def attend(x):
    """Mix positions."""
    return 0.5 * x.cumsum(dim=1) + 1.0


def cross(x, memory):
    """Look at the memory."""
    return torch.tanh(x) * memory.mean(dim=1, keepdim=True) - 0.3 * x


def mlp(x):
    """Work on each number by itself."""
    return x.pow(2) - 0.7 * x


def _norm(factor):
    def norm(x):
        centred = x - x.mean(dim=-1, keepdim=True)
        size = centred.pow(2).mean(dim=-1, keepdim=True) + 1e-5
        return factor * centred / size.sqrt() + 0.1 * factor

    return norm


NORMS = [_norm(1.0), _norm(0.6), _norm(1.7)]


def oracle(x, memory, attend, cross, mlp, norms):
    """Sum up the residual stream."""
    stream = [x]
    for part, norm in zip(
        (attend, lambda t: cross(t, memory), mlp), norms, strict=True
    ):
        stream.append(part(norm(sum(stream))))
    return sum(stream)


# Steps -----------------------------------------------------------------------


def _pre(i):
    return lambda x, part, n: x + part(n[i](x))


def _post(i):
    return lambda x, part, n: n[i](x + part(x))


def _no_sum(i):
    return lambda x, part, n: part(n[i](x))


def _sum_of_normed(i):
    return lambda x, part, n: n[i](x) + part(n[i](x))


def _norm_outside(i):
    return lambda x, part, n: x + n[i](part(x))


def _no_norm(x, part, n):
    return x + part(x)


def _skip(x, part, n):
    return x


def _layer(first, second, third):
    """Chain three steps."""

    def run(x, memory, attend, cross, mlp, n):
        x = first(x, attend, n)
        x = second(x, lambda t: cross(t, memory), n)
        return third(x, mlp, n)

    return run


# Layers that read or order their inputs wrongly --------------------------------


def _parallel(x, memory, attend, cross, mlp, n):
    attended = attend(n[0](x)) + cross(n[1](x), memory)
    return x + attended + mlp(n[2](x))


def _mlp_parallel(x, memory, attend, cross, mlp, n):
    y = x + attend(n[0](x))
    y = y + cross(n[1](y), memory)
    return y + mlp(n[2](x))


def _cross_parallel(x, memory, attend, cross, mlp, n):
    y = x + attend(n[0](x))
    y = y + cross(n[1](x), memory)
    return y + mlp(n[2](y))


def _memory_normed(x, memory, attend, cross, mlp, n):
    x = x + attend(n[0](x))
    x = x + cross(n[1](x), n[1](memory))
    return x + mlp(n[2](x))


def _cross_asks_early(x, memory, attend, cross, mlp, n):
    normed = n[0](x)
    x = x + attend(normed)
    x = x + cross(normed, memory)
    return x + mlp(n[2](x))


def _first_again(x, memory, attend, cross, mlp, n):
    y = x + attend(n[0](x))
    y = y + cross(n[1](y), memory)
    return x + mlp(n[2](y))


def _asks_itself(x, memory, attend, cross, mlp, n):
    x = x + attend(n[0](x))
    x = x + cross(n[1](x), x)
    return x + mlp(n[2](x))


def _one_sum(x, memory, attend, cross, mlp, n):
    y = attend(n[0](x))
    y = cross(n[1](y), memory)
    return x + mlp(n[2](y))


def _cross_first(own_norms):
    first, second = (1, 0) if own_norms else (0, 1)

    def run(x, memory, attend, cross, mlp, n):
        x = x + cross(n[first](x), memory)
        x = x + attend(n[second](x))
        return x + mlp(n[2](x))

    return run


def _mlp_before_cross(x, memory, attend, cross, mlp, n):
    x = x + attend(n[0](x))
    x = x + mlp(n[2](x))
    return x + cross(n[1](x), memory)


def _but_one(step, odd):
    """Chain right steps but for one."""
    return _layer(*(step(i) if i == odd else _pre(i) for i in range(3)))


NAMES = ("self-attention", "cross-attention", "the MLP")
ONE_WRONG = [
    (lambda i: _no_norm, "{} gets x without its norm: part(norm(x))"),
    (_no_sum, "{} gets no sum: x = x + part(norm(x))"),
    (_post, "{} is post-norm: the norm belongs before it, part(norm(x))"),
    (_sum_of_normed, "{} is added to the normed x: add it to x as it was"),
    (_norm_outside, "the norm is taken of what {} gives: norm its input"),
]
CROSS_FIRST = "cross-attention comes first: self-attention goes before it"
MISTAKES = [
    Mistake(
        _layer(_post(0), _post(1), _post(2)),
        "that is post-norm: the norm belongs before the part, "
        "x = x + part(norm(x))",
    ),
    Mistake(
        _layer(_no_sum(0), _no_sum(1), _no_sum(2)),
        "the residuals are missing: add x to what each part gives",
    ),
    Mistake(
        _layer(_sum_of_normed(0), _sum_of_normed(1), _sum_of_normed(2)),
        "the normed x is added: the sum takes x as it was, "
        "x = x + part(norm(x))",
    ),
    Mistake(
        _layer(_norm_outside(0), _norm_outside(1), _norm_outside(2)),
        "the norm is taken of what the part gives: norm its input, "
        "part(norm(x))",
    ),
    Mistake(
        _layer(_no_norm, _no_norm, _no_norm),
        "the norms are not used: part(norm(x))",
    ),
    Mistake(
        _layer(_pre(0), _pre(0), _pre(0)),
        "all three parts use norms[0]: each has its own",
    ),
    Mistake(
        _layer(_pre(2), _pre(1), _pre(0)),
        "the norms are used in reversed order",
    ),
    Mistake(
        _parallel,
        "all three parts read the first x: each must read what the line "
        "before has made",
    ),
    Mistake(
        _mlp_parallel,
        "the MLP reads the first x: it must read what the attentions have "
        "made of it",
    ),
    Mistake(
        _cross_parallel,
        "cross reads the first x: it must read what self-attention has made "
        "of it",
    ),
    *(
        Mistake(_but_one(step, odd), hint.format(NAMES[odd]))
        for step, hint in ONE_WRONG
        for odd in range(3)
    ),
    Mistake(_one_sum, "there is one sum at the end: each part needs its own"),
    Mistake(_memory_normed, "the memory comes normed already: norm x only"),
    Mistake(
        _cross_asks_early,
        "cross reads norms[0](x), made before self-attention: it must read "
        "norms[1] of what self-attention has made",
    ),
    Mistake(
        _first_again,
        "the last sum adds the first x: add what the attentions have made",
    ),
    Mistake(
        _asks_itself, "cross asks x itself: its second argument is the memory"
    ),
    Mistake(_cross_first(own_norms=False), CROSS_FIRST),
    Mistake(_cross_first(own_norms=True), CROSS_FIRST),
    Mistake(
        _mlp_before_cross,
        "the MLP comes before cross-attention: it is the last part",
    ),
    Mistake(
        _layer(_pre(0), _skip, _pre(2)),
        "cross-attention is missing: the memory is never asked",
    ),
    Mistake(
        _layer(_pre(0), _pre(1), _skip),
        "the MLP is missing: it is the third part",
    ),
    Mistake(
        _layer(_skip, _pre(1), _pre(2)),
        "self-attention is missing, or its result is never read: it is the "
        "first part",
    ),
    *(
        Mistake(
            _layer(*map(_pre, used)),
            "norms {} are used, in this order: use norms[0], norms[1], "
            "norms[2]".format(", ".join(map(str, used))),
        )
        for used in itertools.product(range(3), repeat=3)
        if used != (0, 1, 2)
    ),
]
