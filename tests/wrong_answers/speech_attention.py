"""Answers to lesson 11's exercises: wrong ones with their hint, right ones."""

import collections
import difflib
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


def changes(hypothesis, reference, *, at_right=0, top=True, left=True):
    """One row at a time, with a slip for each keyword."""
    row = [j if top else 0 for j in range(len(hypothesis) + 1)]
    for i, said in enumerate(reference, 1):
        above, row = row, [i if left else 0]
        for j, wrote in enumerate(hypothesis):
            here = above[j] + (at_right if said == wrote else 1)
            row.append(min(here, above[j + 1] + 1, row[-1] + 1))
    return row


def with_exchange(found, wanted):
    """Two neighbours exchanged are one change, as typing errors count."""
    best = {
        (i, j): i + j
        for i in range(len(wanted) + 1)
        for j in range(len(found) + 1)
    }
    for i, j in itertools.product(
        range(1, len(wanted) + 1), range(1, len(found) + 1)
    ):
        best[i, j] = min(
            best[i - 1, j] + 1,
            best[i, j - 1] + 1,
            best[i - 1, j - 1] + (wanted[i - 1] != found[j - 1]),
        )
        if i > 1 and j > 1 and wanted[i - 2 : i] == found[j - 2 : j][::-1]:
            best[i, j] = min(best[i, j], best[i - 2, j - 2] + 1)
    return best[len(wanted), len(found)]


def turned_round(hypothesis, reference):
    row = list(range(len(hypothesis) + 1))
    for i, said in enumerate(reference, 1):
        above, row = row, [i]
        for j, wrote in enumerate(hypothesis):
            here = above[j] + (said == wrote)
            row.append(min(here, above[j + 1] + 1, row[-1] + 1))
    return row[-1]


def last_words_forgotten(hypothesis, reference):
    return changes(hypothesis[:-1], reference[:-1])[-1]


def all_rows(hypothesis, reference):
    return [
        changes(hypothesis, reference[:n]) for n in range(len(reference) + 1)
    ]


def pieces(hypothesis, reference):
    codes = difflib.SequenceMatcher(a=reference, b=hypothesis).get_opcodes()
    return sum(max(c[2] - c[1], c[4] - c[3]) for c in codes if c[0] != "equal")


def in_order(hypothesis, reference):
    """The longest common subsequence."""
    if not hypothesis or not reference:
        return 0
    if hypothesis[-1] == reference[-1]:
        return in_order(hypothesis[:-1], reference[:-1]) + 1
    return max(
        in_order(hypothesis[:-1], reference),
        in_order(hypothesis, reference[:-1]),
    )


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


def wraps_round(weights):
    centre = centre_of(weights)
    steps = [float(centre[i] > centre[i - 1]) for i in range(len(centre))]
    return sum(steps) / len(steps)


def from_zero(weights):
    centre = torch.cat([torch.zeros(1), centre_of(weights)])
    return float((centre[1:] > centre[:-1]).double().mean())


def up_and_down(weights):
    steps = np.sign(np.diff(centre_of(weights)))
    return float(steps.mean())


def averaged(weights):
    at = np.tile(np.arange(weights.shape[1]), (len(weights), 1))
    centres = np.average(at, axis=1, weights=weights.numpy())
    return np.mean(np.diff(centres) > 0)


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
        (496, "do not multiply"),
        (32, "round down"),
        (7.75, "four times"),
        (30, "first frame is forgotten"),
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
        (
            lambda path: [
                a for a, b in itertools.pairwise(path) if a and a != b
            ],
            "last symbol is lost",
        ),
        (
            lambda path: [
                next(group)
                for word, group in itertools.groupby(path, bool)
                if word
            ],
            "only a word after a blank",
        ),
        (
            lambda path: " ".join(str(word) for word in group_collapse(path)),
            "expected a list, got the text",
        ),
        (lambda path: (word for word in path if word), "expected a list"),
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
        (with_exchange, "two neighbours exchanged"),
        (lambda a, b: grid_distance(a, b) + 1, "1 too large"),
        (lambda a, b: changes(a, b, at_right=1)[-1], "right costs nothing"),
        (lambda a, b: changes(a, b, top=False)[-1], "first row is not 0"),
        (lambda a, b: changes(a, b, left=False)[-1], "first column is not 0"),
        (turned_round, "turned round"),
        (last_words_forgotten, "last words are left out"),
        (lambda a, b: a and b and changes(a, b)[-1] or 0, "not free"),
        (changes, "last row"),
        (all_rows, "whole table"),
        (pieces, "difflib"),
        (in_order, "words are right, in order"),
        (lambda a, b: max(len(a), len(b)) - in_order(a, b), "longer list"),
        (lambda a, b: changes(a, b)[-1] / len(b), "that is the rate"),
        (lambda a, b: changes(a, b)[-1] / (len(b) or 1) * 100, "in per cent"),
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
        (lambda w: share(centre_of(w).diff().abs() > 0), "steps back"),
        (up_and_down, "taken off"),
        (wraps_round, "compared with the last"),
        (from_zero, "first word has no step"),
        (
            lambda w: share(centre_of(w)[1:] > centre_of(w)[:1]),
            "compare neighbours",
        ),
        (lambda w: share(torch.round(centre_of(w)).diff() > 0), "rounded"),
        (lambda w: share(centre_of(w).int().diff() > 0), "whole numbers"),
        (
            lambda w: share(
                (w * torch.arange(w.shape[1])).mean(dim=0).diff() > 0
            ),
            "over the words",
        ),
        (lambda w: w.argmax(1).index(0), "AttributeError"),
    ],
}
RIGHT = {
    "encoder_frames": [
        31,
        (1 + (16_000 - 256) // 128) // 4,
        torch.tensor(31.0),
    ],
    "ctc_collapse": [
        group_collapse,
        loop_collapse,
        torch_collapse,
        lambda path: tuple(group_collapse(path)),
    ],
    "word_errors": [
        grid_distance,
        recursive_distance,
        lambda a, b: torch.tensor(float(changes(b, a)[-1])),
    ],
    "monotonicity": [loop_forward, tensor_forward, seconds_forward, averaged],
}
