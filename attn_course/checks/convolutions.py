"""A dilated causal convolution, and wrong ways to do it (lesson 12)."""

import torch

from attn_course.checks.engine import Mistake


def convolve(x, weight, dilation):
    """Add up what the taps give, position by position."""
    kernel = weight.shape[0]
    rows = []
    for t in range(len(x)):
        total = 0 * (x[0] @ weight[0])
        for j in range(kernel):
            position = t - (kernel - 1 - j) * dilation
            if position >= 0:
                total = total + x[position] @ weight[j]
        rows.append(total)
    return torch.stack(rows)


def _conv(shift):
    """A convolution in which tap j of k reads ``shift(t, j, k, dilation, n)``.

    A position outside of the sequence counts as zeros.
    """

    def conv(x, weight, dilation):
        rows = []
        for t in range(len(x)):
            total = 0 * (x[0] @ weight[0])
            for j in range(len(weight)):
                position = shift(t, j, len(weight), dilation, len(x))
                if 0 <= position < len(x):
                    total = total + x[position] @ weight[j]
            rows.append(total)
        return torch.stack(rows)

    return conv


def _torchs(x, weight, dilation):
    """Torch's convolution, (size, length), of rows that are padded already."""
    return torch.nn.functional.conv1d(x.T[None], weight, dilation=dilation)[0]


def _padded(x, weight, dilation):
    zeros = x.new_zeros((len(weight) - 1) * dilation, x.shape[1])
    return torch.cat([zeros, x])


def _taps(some, empty):
    """Add up some of the taps only, and give ``empty`` of none."""

    def conv(x, weight, dilation):
        zeros = 0 * convolve(x, weight, dilation)
        taps = range(len(weight))[some]
        if not taps:
            return empty(zeros)
        only = [
            weight[j] if j in taps else 0 * weight[j]
            for j in range(len(weight))
        ]
        return convolve(x, torch.stack(only), dilation)

    return conv


def _late_rows(x, weight, dilation):
    found = convolve(x, weight, dilation)
    reach = (len(weight) - 1) * dilation
    return torch.cat([0 * found[:reach], found[reach:]])


def _farthest(x, weight, dilation):
    """Keep the last product of a loop that goes back, and forget the others."""
    rows = []
    for t in range(len(x)):
        back = min(t // dilation, len(weight) - 1)
        rows.append(x[t - back * dilation] @ weight[-1 - back])
    return torch.stack(rows)


def _not_first(t, j, k, s, n):
    position = t - (k - 1 - j) * s
    return position if position > 0 else -1


MISTAKES = [
    Mistake(
        _conv(lambda t, j, k, s, n: t - j * s),
        "the kernel is turned round: weight[0] belongs to the oldest "
        "position, weight[-1] to the position itself",
    ),
    Mistake(
        _conv(lambda t, j, k, s, n: t + j * s),
        "it looks ahead: no position may hear of a later one",
    ),
    Mistake(
        _conv(lambda t, j, k, s, n: t + (k - 1 - j) * s),
        "it looks ahead: no position may hear of a later one",
    ),
    *(
        Mistake(
            _conv(lambda t, j, k, s, n, odd=odd: t + (j - (k - odd) // 2) * s),
            "the kernel stands in the middle, so half of it looks "
            "ahead: put all the zeros in front",
        )
        for odd in (0, 1)
    ),
    Mistake(
        _conv(lambda t, j, k, s, n: t - (k - 1 - j)),
        "the dilation is not used: neighbours are `dilation` apart",
    ),
    Mistake(
        _conv(lambda t, j, k, s, n: t - (k - 1 - j) * s - 1),
        "it is one position late: weight[-1] belongs to the position itself",
    ),
    Mistake(
        _conv(lambda t, j, k, s, n: (t - (k - 1 - j) * s) % n),
        "before the start it wraps round to the end: zeros stand there",
    ),
    Mistake(
        _conv(lambda t, j, k, s, n: max(0, t - (k - 1 - j) * s)),
        "before the start it repeats the first position: zeros stand there",
    ),
    Mistake(
        lambda x, w, s: convolve(x, w, s) / len(w),
        "it is a mean: the products are only added up",
    ),
    *(
        Mistake(
            _taps(slice(-1), empty),
            "the position itself is missing: the last tap, weight[-1], is left "
            "out",
        )
        for empty in (lambda zeros: zeros, lambda zeros: 0)
    ),
    *(
        Mistake(
            _taps(slice(1, None), empty),
            "the oldest position is missing: the first tap, weight[0], is left "
            "out",
        )
        for empty in (lambda zeros: zeros, lambda zeros: 0)
    ),
    Mistake(
        lambda x, w, s: convolve(x, w, s).relu(),
        "it cuts negative numbers off (relu): only the sum of the products is "
        "asked for",
    ),
    Mistake(
        _conv(lambda t, j, k, s, n: t - (k - j) * s),
        "it is `dilation` too late: put (kernel - 1) * dilation rows of zeros "
        "in front, not kernel * dilation",
    ),
    Mistake(
        _conv(_not_first),
        "position 0 is never read: only what lies before it is zeros",
    ),
    Mistake(
        _late_rows,
        "the first rows stay 0: zeros stand before the start, and the taps "
        "that lie within count",
    ),
    Mistake(
        _conv(lambda t, j, k, s, n: t - (k - 1 - j) * (s + 1)),
        "the neighbours are `dilation` + 1 apart: it is the step from one to "
        "the next, not the gap between them",
    ),
    Mistake(
        lambda x, w, s: convolve(
            torch.cat([x, _padded(x, w, s)[: (len(w) - 1) * s]]), w, s
        ),
        "zeros stand behind too, and the result is longer than x: cut it to "
        "x's length, or pad in front only",
    ),
    *(
        Mistake(
            without,
            "without zeros in front the result is shorter than x: put (kernel "
            "- 1) * dilation rows of them there",
        )
        for without in (
            lambda x, w, s: convolve(x, w, s)[(len(w) - 1) * s :],
            lambda x, w, s: _torchs(x, w.permute(2, 1, 0), s).T,
        )
    ),
    Mistake(
        lambda x, w, s: convolve(x, w, s).T[None],
        "that is conv1d's (1, size, length): take [0].T",
    ),
    Mistake(
        lambda x, w, s: _torchs(_padded(x, w, s), w, s).T,
        "conv1d wants its weight as (size, dim, kernel): permute it",
    ),
    Mistake(
        lambda x, w, s: _torchs(_padded(x, w, s), w.permute(1, 2, 0), s).T,
        "dim and size of the weight are exchanged: conv1d wants (size, dim, "
        "kernel), permute(2, 1, 0)",
    ),
    Mistake(
        lambda x, w, s: x @ w.sum(0),
        "every tap reads the position itself: tap j reads (kernel - 1 - j) * "
        "dilation before it",
    ),
    Mistake(
        _conv(lambda t, j, k, s, n: t - (k - 1) * s + j),
        "there are zeros enough in front, but the taps stand one apart: tap j "
        "reads from row j * dilation on",
    ),
    Mistake(
        _conv(lambda t, j, k, s, n: t - (0 if j == k - 1 else (j + 1) * s)),
        "only the position itself has its own tap, the others are turned "
        "round: weight[-1 - j] belongs to j * dilation before",
    ),
    Mistake(
        _farthest, "each tap overwrites the one before it: add them up, +="
    ),
    Mistake(
        lambda x, w, s: (
            torch.nn.functional.conv1d(
                _padded(x, w, s).T[None], w.permute(2, 1, 0), stride=s
            )[0].T
        ),
        "stride leaves positions out of the result: the distance between taps "
        "is conv1d's dilation",
    ),
]
