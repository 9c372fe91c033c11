"""Answers to lesson 11's exercises: wrong ones with their hint, right ones."""

import collections
import functools
import itertools

import numpy as np
import torch


def drop_first(path):
    kept = [symbol for symbol in path if symbol]
    return [s for s, _ in itertools.groupby(kept)]


def blanks_stay(path):
    return [s for s, _ in itertools.groupby(path)]


def group_collapse(path):
    return [s for s, _ in itertools.groupby(path) if s]


def loop_collapse(path):
    said, last = [], 0
    for symbol in path:
        if symbol != last and symbol != 0:
            said.append(symbol)
        last = symbol
    return said


def torch_collapse(path):
    joined = torch.unique_consecutive(torch.tensor(path, dtype=torch.int64))
    return joined[joined != 0]


def last_kept(path):
    """Remembers the last word, and forgets the blank between."""
    said = []
    for symbol in path:
        if symbol and (not said or said[-1] != symbol):
            said.append(symbol)
    return said


def first_lost(path):
    return [b for a, b in itertools.pairwise(path) if b and a != b]


def in_place(path):
    while 0 in path:
        path.remove(0)
    return path


def grid_distance(hypothesis, reference):
    grid = np.zeros((len(reference) + 1, len(hypothesis) + 1), dtype=int)
    grid[:, 0] = range(len(reference) + 1)
    grid[0] = range(len(hypothesis) + 1)
    for i in range(1, len(reference) + 1):
        for j in range(1, len(hypothesis) + 1):
            grid[i, j] = min(
                grid[i - 1, j - 1] + (reference[i - 1] != hypothesis[j - 1]),
                grid[i - 1, j] + 1,
                grid[i, j - 1] + 1,
            )
    return int(grid[-1, -1])


def recursive_distance(hypothesis, reference):
    @functools.cache
    def least(a, b):
        if not a or not b:
            return len(a) + len(b)
        if a[0] == b[0]:
            return least(a[1:], b[1:])
        return 1 + min(least(a[1:], b), least(a, b[1:]), least(a[1:], b[1:]))

    return least(tuple(hypothesis), tuple(reference))


def zero_borders(hypothesis, reference):
    grid = np.zeros((len(reference) + 1, len(hypothesis) + 1), dtype=int)
    for i in range(1, len(reference) + 1):
        for j in range(1, len(hypothesis) + 1):
            grid[i, j] = min(
                grid[i - 1, j - 1] + (reference[i - 1] != hypothesis[j - 1]),
                grid[i - 1, j] + 1,
                grid[i, j - 1] + 1,
            )
    return int(grid[-1, -1])


def no_substitutions(hypothesis, reference):
    """One deletion and one insertion: the longest common subsequence."""
    row = [0] * (len(hypothesis) + 1)
    for said in reference:
        above, row = row, [0]
        for j, wrote in enumerate(hypothesis):
            row.append(
                above[j] + 1 if said == wrote else max(above[j + 1], row[-1])
            )
    return len(hypothesis) + len(reference) - 2 * row[-1]


def centre_of(weights):
    return (weights * torch.arange(weights.shape[1])).sum(-1)


def loop_forward(weights):
    centres = [sum(i * w for i, w in enumerate(row)) for row in weights]
    later = sum(float(b > a) for a, b in itertools.pairwise(centres))
    return later / (len(centres) - 1)


def tensor_forward(weights):
    centre = centre_of(weights)
    return (centre[1:] > centre[:-1]).double().mean()


def seconds_forward(weights):
    at = (np.arange(weights.shape[1]) + 0.5) * 0.064
    return float((np.diff(weights.detach().numpy() @ at) > 0).mean())


def median_of(weights):
    return (weights.cumsum(1) >= 0.5).double().argmax(1)


def bags(a, b):
    common = collections.Counter(a) & collections.Counter(b)
    return max(len(a), len(b)) - sum(common.values())


def share(steps):
    return float(steps.double().mean())


WRONG = {
    "encoder_frames": [
        (124, "one encoder frame holds four"),
        (125, "fit whole"),
        (123, "first one is forgotten"),
        (31.25, "fit whole"),
        (30.75, "first frame is forgotten"),
        (62, "halve twice"),
        (15.5, "three times"),
        (62.5, "overlap"),
        (16_000, "samples"),
        (24 * 124, "count frames"),
        (15, "one second"),
        (2, "not it"),
        ("31", "expected numbers"),
    ],
    "ctc_collapse": [
        (drop_first, "join repeats first"),
        (last_kept, "join repeats first"),
        (lambda path: [s for s in path if s], "repeats are kept"),
        (blanks_stay, "blanks are still in it"),
        (lambda path: list(dict.fromkeys(s for s in path if s)), "neighbours"),
        (lambda path: sorted(set(path) - {0}), "set forgets order"),
        (lambda path: group_collapse(path)[::-1], "turned round"),
        (lambda path: group_collapse(path[1:]), "first symbol is lost"),
        (first_lost, "starts with a word"),
        (lambda path: len(group_collapse(path)), "return them"),
        (in_place, "in place"),
        (lambda path: [5, 5, 7], "same answer whatever the input"),
        (lambda path: "557", "expected a list"),
    ],
    "word_errors": [
        (
            lambda a, b: sum(x != y for x, y in itertools.zip_longest(a, b)),
            "position by position",
        ),
        (lambda a, b: sum(x != y for x, y in zip(a, b)), "left over"),
        (no_substitutions, "not one deletion and one insertion"),
        (zero_borders, "first row and column"),
        (lambda a, b: len(set(a) ^ set(b)), "sets forget"),
        (lambda a, b: len([w for w in b if w not in a]), "missing anywhere"),
        (bags, "bags of words"),
        (lambda a, b: abs(len(b) - len(a)), "numbers of words"),
        (lambda a, b: grid_distance(a, b) / (len(b) or 1), "that is the rate"),
        (lambda a, b: grid_distance(" ".join(a), " ".join(b)), "characters"),
        (lambda a, b: 1, "same answer whatever the input"),
        (lambda a, b: a - b, "TypeError"),
    ],
    "monotonicity": [
        (lambda w: share(w.argmax(1).diff() > 0), "largest weight alone"),
        (lambda w: share(median_of(w).diff() > 0), "median position"),
        (lambda w: share(centre_of(w).diff() >= 0), "stands still"),
        (lambda w: share(centre_of(w).diff() < 0), "go back"),
        (lambda w: float((centre_of(w).diff() > 0).sum()), "divide by all"),
        (
            lambda w: float((centre_of(w).diff() > 0).sum()) / len(w),
            "one step fewer",
        ),
        (lambda w: share(centre_of(w.T).diff() > 0), "rows and columns"),
        (lambda w: centre_of(w).diff().mean(), "mean step"),
        (lambda w: float((centre_of(w).diff() > 0).all()), "all or nothing"),
        (lambda w: share(w.mean(1).diff() > 0), "same for every row"),
        (lambda w: share(w.amax(1).diff() > 0), "how large"),
        (lambda w: (centre_of(w).diff() > 0).double(), "expected one number"),
        (lambda w: w.argmax(1).index(0), "AttributeError"),
    ],
}
RIGHT = {
    "encoder_frames": [
        31,
        (1 + (16_000 - 256) // 128) // 4,
        torch.tensor(31.0),
    ],
    "ctc_collapse": [group_collapse, loop_collapse, torch_collapse],
    "word_errors": [grid_distance, recursive_distance],
    "monotonicity": [loop_forward, tensor_forward, seconds_forward],
}
