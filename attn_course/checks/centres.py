"""Wrong ways with a row's centre, for the check of lesson 11's exercise 4."""

import itertools

import torch

from attn_course.checks.engine import Mistake


def _share(steps):
    return steps.double().mean().item()


def _centres(weights):
    return weights @ torch.arange(weights.shape[1]).to(weights)


_CENTRES = [
    (_centres, ""),
    (
        lambda w: w.argmax(-1).double(),
        "it looks at the largest weight alone: take the centre, the mean "
        "position under the weights",
    ),
    (
        lambda w: (w.cumsum(1) >= 0.5).double().argmax(1).double(),
        "that is the median position: take the mean position",
    ),
    (
        lambda w: _centres(w).round(),
        "the centres are rounded: keep their fractions",
    ),
    (
        lambda w: _centres(w).floor(),
        "the centres are cut to whole numbers: keep their fractions",
    ),
    (
        lambda w: _centres(w.T),
        "rows and columns are exchanged: one row is one word",
    ),
    (
        lambda w: (w * torch.arange(w.shape[1])).sum(0),
        "the sum runs over the words: sum each row, dim=1",
    ),
    (
        lambda w: w.mean(-1),
        "the mean of a row's weights is the same for every row: multiply each "
        "weight by its position",
    ),
    (
        lambda w: w.amax(-1),
        "it compares how large the largest weights are, not where they lie",
    ),
    (
        lambda w: _centres(w.softmax(-1)),
        "the weights are softmaxed once more: they already sum to 1",
    ),
    (
        lambda w: _centres(w**2),
        "the weights are squared: multiply each by its position, once",
    ),
    (
        lambda w: w @ torch.arange(w.shape[1]).to(w) ** 2,
        "the positions are squared: multiply each weight by its position",
    ),
]
_STEPS = [
    (lambda c: c.diff() > 0, ""),
    (
        lambda c: c.diff() >= 0,
        "a step that stands still is not forward: above 0",
    ),
    (lambda c: c.diff() < 0, "it counts the steps that go back"),
    (
        lambda c: c.diff() != 0,
        "steps back are counted too: only those above 0",
    ),
    (
        lambda c: c.diff().sign(),
        "steps back are taken off: only count those above 0",
    ),
    (lambda c: c.diff() >= 1, "a step need not be a whole position: above 0"),
    (lambda c: c.diff() > 0.5, "a step need not be half a position: above 0"),
    (lambda c: c.diff() > 1, "a step need not be a whole position: above 0"),
    (
        lambda c: c.roll(1) < c,
        "the first word is compared with the last (torch.roll, or [-1]): "
        "there is one step fewer than words",
    ),
    (
        lambda c: c.diff(prepend=c.new_zeros(1)) > 0,
        "the first word has no step: nothing is before it",
    ),
    (
        lambda c: c[1:] > c[0],
        "each word is compared with the first one: compare neighbours",
    ),
    (
        lambda c: c[1:] > c.cummax(0).values[:-1],
        "each word is compared with the furthest so far: compare neighbours",
    ),
    (
        lambda c: c[2:] > c[:-2],
        "each word is compared with the one before the last: compare "
        "neighbours",
    ),
    (
        lambda c: c[-1:] > c[:1],
        "only the first word and the last are compared: compare neighbours",
    ),
    (
        lambda c: c.diff()[1:] > 0,
        "the first step is left out: n words have n - 1 steps",
    ),
    (
        lambda c: c.diff()[:-1] > 0,
        "the last step is left out: n words have n - 1 steps",
    ),
    (lambda c: c.diff(), "that is the mean step: count how many are above 0"),
    (
        lambda c: c.diff().clamp(min=0),
        "how far the steps go does not count: count how many are above 0",
    ),
]
_ENDS = [
    (_share, ""),
    (
        lambda steps: steps.double().sum().item(),
        "that is a sum over the steps: divide by all steps",
    ),
    (
        lambda steps: steps.double().sum().item() / (len(steps) + 1),
        "there is one step fewer than words",
    ),
    (
        lambda steps: steps.double().median().item(),
        "that is the median, one half or the other: return the mean, a share",
    ),
    (lambda steps: float(steps.all()), "all or nothing: return a share"),
    (lambda steps: float(steps.any()), "any or nothing: return a share"),
    (lambda steps: 100 * _share(steps), "in per cent: return a share"),
    (
        lambda steps: steps.double(),
        "those are the steps one by one: return the share above 0",
    ),
    (lambda steps: 1 - _share(steps), "that is the share of the others"),
]
_MORE = [
    Mistake(_centres, "those are the centres: return the share of steps"),
    Mistake(
        lambda w: _share(w.diff(dim=0) > 0),
        "it compares the weights: compare the rows' centres",
    ),
    Mistake(
        lambda w: _share(w.diff(dim=1) > 0),
        "it compares the weights along a row: compare the rows' centres",
    ),
    Mistake(
        lambda w: _share(w.argmax(-1).diff() == 1),
        "a step may have any length, and the centre is the mean position, not "
        "the largest weight's",
    ),
    Mistake(
        lambda w: _share(w.argmax(-1) == torch.arange(len(w))),
        "it asks whether the largest weights lie on the diagonal: ask whether "
        "the centre moves forward from word to word",
    ),
    Mistake(
        lambda w: _share((w * torch.arange(w.shape[1])).diff() > 0),
        "the products of weight and position are to be summed first, dim=1: "
        "one centre a word",
    ),
    Mistake(
        lambda w: _share((w * torch.arange(w.shape[1])).diff(dim=0) > 0),
        "the products of weight and position are to be summed first, dim=1: "
        "one centre a word",
    ),
    Mistake(
        lambda w: _centres(w).mean().item(),
        "that is the mean centre: count the steps that go forward",
    ),
    Mistake(
        lambda w: (_centres(w).diff() > 0).double().sum().item() / w.shape[1],
        "divide by the steps, one fewer than words, not by the frames",
    ),
]


def _mistakes():
    """Put together one way of each list: one fault, or two common ones."""
    ones, twos = [], []
    for (n, (centre, *one)), (m, (steps, *two)), (
        k,
        (end, *three),
    ) in itertools.product(*map(enumerate, (_CENTRES, _STEPS, _ENDS))):
        words = [word for word in (*one, *two, *three) if word]
        if len(words) == 1 or (len(words) == 2 and n < 3 and max(m, k) < 5):
            (ones if len(words) == 1 else twos).append(
                Mistake(
                    lambda w, centre=centre, steps=steps, end=end: end(
                        steps(centre(w))
                    ),
                    "; and ".join(words),
                )
            )
    return [*ones, *_MORE, *twos]


MISTAKES = _mistakes()
