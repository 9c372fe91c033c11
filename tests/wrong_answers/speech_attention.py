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


def table(h, r, sub=1, ins=1, dele=1, init=True):
    d = np.zeros((len(r) + 1, len(h) + 1))
    if init:
        d[:, 0] = np.arange(len(r) + 1)
        d[0] = np.arange(len(h) + 1)
    for i in range(1, len(r) + 1):
        for j in range(1, len(h) + 1):
            d[i, j] = min(
                d[i - 1, j - 1] + sub * (r[i - 1] != h[j - 1]),
                d[i - 1, j] + dele,
                d[i, j - 1] + ins,
            )
    return d


def pos(w):
    return torch.arange(w.shape[1]).to(w)


def once(p):
    return (
        [p[0]] + [b for a, b in zip(p, p[1:]) if a != b and b != 0]
        if p
        else []
    )


def brk(p):
    out = []
    for a, b in zip([0] + p, p):
        if b == 0:
            break
        if a != b:
            out.append(b)
    return out


def counting(p):
    return [(k, len(list(g))) for k, g in itertools.groupby(p) if k]


def orr(p):
    return [b for a, b in zip([0] + p, p) if b != a]


def xor(p):
    return [b for a, b in zip([0] + p, p) if b != 0 or a != b]


def keep_if_next_blank(p):
    return [
        a for i, a in enumerate(p) if a and (i == len(p) - 1 or p[i + 1] != a)
    ][:-1]


def whole_table(h, r):
    return table(h, r)


def maxlen(h, r):
    return max(len(h), len(r)) - len(set(h) & set(r))


def nodiag(h, r):
    d = np.zeros((len(r) + 1, len(h) + 1), int)
    d[:, 0] = np.arange(len(r) + 1)
    d[0] = np.arange(len(h) + 1)
    for i in range(1, len(r) + 1):
        for j in range(1, len(h) + 1):
            c = r[i - 1] != h[j - 1]
            d[i, j] = min(d[i - 1, j - 1], d[i - 1, j], d[i, j - 1]) + c
    return int(d[-1, -1])


def small(h, r):
    d = [[0] * len(h) for _ in r]
    for i in range(len(r)):
        for j in range(len(h)):
            c = r[i] != h[j]
            d[i][j] = min(
                d[i - 1][j - 1] + c, d[i - 1][j] + 1, d[i][j - 1] + 1
            )
    return d[-1][-1]


def triple(h, r):
    return (int(table(h, r)[-1, -1]), len(r))


def swapped_rate(h, r):
    return int(table(h, r)[-1, -1]) / len(h)


def maxtab(h, r):
    row = list(range(len(h) + 1))
    for i, w in enumerate(r, 1):
        new = [i]
        for j, v in enumerate(h, 1):
            new.append(max(row[j - 1] + (w != v), row[j] + 1, new[-1] + 1))
        row = new
    return row[-1]


def aboveforgot(h, r):
    row = list(range(len(h) + 1))
    for i, w in enumerate(r, 1):
        row[0] = i
        for j, v in enumerate(h, 1):
            row[j] = min(row[j - 1] + (w != v), row[j] + 1, row[j - 1] + 1)
    return row[-1]


def equalpick(h, r):
    d = [
        [i + j if i * j == 0 else 0 for j in range(len(h) + 1)]
        for i in range(len(r) + 1)
    ]
    for i in range(1, len(r) + 1):
        for j in range(1, len(h) + 1):
            d[i][j] = (
                d[i - 1][j - 1]
                if r[i - 1] == h[j - 1]
                else 1 + d[i - 1][j - 1]
            )
    return d[-1][-1]


def range_off(h, r):
    d = [
        [i + j if i * j == 0 else 0 for j in range(len(h) + 1)]
        for i in range(len(r) + 1)
    ]
    for i in range(1, len(r)):
        for j in range(1, len(h)):
            d[i][j] = min(
                d[i - 1][j - 1] + (r[i - 1] != h[j - 1]),
                d[i - 1][j] + 1,
                d[i][j - 1] + 1,
            )
    return d[-1][-1]


def errperc(h, r):
    return round(100 * table(h, r)[-1, -1] / max(len(r), 1))


def chars(h, r):
    return table("".join(h), "".join(r))[-1, -1]


def vec(w):
    return ((w @ pos(w)).diff() > 0).double()


def forward1(w):
    return ((w @ pos(w)).diff() > 1).double().mean().item()


def nw(w):
    return (w.diff(dim=0) > 0).double().mean().item()


def firstlast(w):
    c = w @ pos(w)
    return float(c[-1] > c[0])


def cumw(w):
    c = w @ pos(w)
    return float((c[1:] > c.cummax(0).values[:-1]).double().mean())


def argge(w):
    return (w.argmax(1).diff() >= 0).double().mean().item()


def argnext(w):
    return (w.argmax(1).diff() == 1).double().mean().item()


def flat(w):
    return ((w * pos(w)).diff(dim=1) > 0).double().mean().item()


def diag(w):
    return (w.argmax(1) == torch.arange(len(w))).double().mean().item()


def lastminus(w):
    c = w @ pos(w)
    return ((c[1:] - c[:-1])[:-1] > 0).double().mean().item()


def per100(w):
    return 100 * ((w @ pos(w)).diff() > 0).double().mean().item()


def boolmean(w):
    return ((w @ pos(w)).diff() > 0).mean()


def amax_all(w):
    return float((w.argmax(1).diff() > 0).all())


def numpy_collapse(path):
    p = np.asarray(path, dtype=int)
    keep = np.r_[True, p[1:] != p[:-1]] if len(p) else np.array([], bool)
    return p[keep & (p != 0)].tolist()


def recursive_errors(h, r):
    @functools.cache
    def f(i, j):
        if i == 0 or j == 0:
            return i + j
        return min(
            f(i - 1, j - 1) + (r[i - 1] != h[j - 1]),
            f(i - 1, j) + 1,
            f(i, j - 1) + 1,
        )

    return f(len(r), len(h))


def looped_share(w):
    c = (w * torch.arange(w.shape[1])).sum(-1) / w.sum(-1)
    return sum(bool(b > a) for a, b in zip(c, c[1:])) / (len(w) - 1)


def nowhere(h, r):
    return len([w for w in r if w not in h]) + len(
        [w for w in h if w not in r]
    )


def in_order_of_letters(h, r):
    return int(table(sorted(h), sorted(r))[-1, -1])


def middle_step(w):
    return ((w @ pos(w)).diff() > 0).double().median().item()


def half_a_frame(w):
    return ((w @ pos(w)).diff() > 0.5).double().mean().item()


WRONG = {
    "encoder_frames": [
        (30.5, "first window and the last"),
        (500, "whole"),
        (248, "do not double"),
        (250, "is not it"),
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
        (once, "may be a blank"),
        (brk, "stops at the first blank"),
        (counting, "number of frames"),
        (orr, "blanks between"),
        (xor, "keeps too much"),
        (keep_if_next_blank, "numbers in a row"),
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
        (nowhere, "the other list has nowhere"),
        (in_order_of_letters, "are sorted first"),
        (whole_table, "whole table"),
        (maxlen, "sets forget"),
        (nodiag, "only the diagonal step is free"),
        (small, "index -1 is the last"),
        (triple, "a pair with the number"),
        (swapped_rate, "by the written words"),
        (maxtab, "the largest of the three"),
        (aboveforgot, "overwritten"),
        (equalpick, "only the diagonal step is taken"),
        (range_off, "are not filled"),
        (errperc, "per cent"),
        (chars, "characters"),
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
        (lambda a, b: 1, "one error at most"),
        (lambda a, b: a - b, "TypeError"),
    ],
    "monotonicity": [
        (middle_step, "that is the median, one half"),
        (half_a_frame, "half a position"),
        (vec, "one by one"),
        (forward1, "whole position"),
        (nw, "compares the weights"),
        (firstlast, "only the first word and the last"),
        (cumw, "furthest so far"),
        (argge, "stands still"),
        (argnext, "any length"),
        (flat, "summed first"),
        (diag, "on the diagonal"),
        (lastminus, "last step is left out"),
        (per100, "in per cent"),
        (boolmean, "could not infer"),
        (amax_all, "all or nothing"),
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
        (lambda w: (centre_of(w).diff() > 0).double(), "the steps one by one"),
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
        numpy_collapse,
        group_collapse,
        loop_collapse,
        torch_collapse,
        lambda path: tuple(group_collapse(path)),
    ],
    "word_errors": [
        recursive_errors,
        grid_distance,
        recursive_distance,
        lambda a, b: torch.tensor(float(changes(b, a)[-1])),
    ],
    "monotonicity": [
        looped_share,
        loop_forward,
        tensor_forward,
        seconds_forward,
        averaged,
    ],
}
