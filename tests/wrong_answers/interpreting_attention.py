"""Answers to lesson 14's exercises: wrong ones with their hint, right ones."""

import numpy as np
import torch
from torch.nn import functional as F


def right_next(weights):
    return weights.diagonal(1, -2, -1)[:, 1:-1].mean(dim=-1)


def loop_next(weights):
    n = weights.shape[-1]
    total = 0
    for i in range(1, n - 2):
        total = total + weights[:, i, i + 1]
    return total / (n - 3)


def inner_next(weights):
    inner = weights[:, 1:-1, 1:-1]
    return torch.stack([torch.diagonal(w, 1).mean() for w in inner])


def indexed_next(weights):
    i = torch.arange(1, weights.shape[-1] - 2)
    return weights[:, i, i + 1].sum(dim=1) / len(i)


def item_next(weights):
    n = weights.shape[-1]
    return torch.tensor(
        [
            sum(w[i, i + 1].item() for i in range(1, n - 2)) / (n - 3)
            for w in weights
        ]
    )


def gather_permute(weights, noise):
    return weights.gather(-1, noise.argsort(dim=-1))


def sort_permute(weights, noise):
    return torch.take_along_dim(weights, noise.sort(dim=1).indices, dim=1)


def loop_permute(weights, noise):
    return torch.stack([w[z.argsort()] for w, z in zip(weights, noise)])


def list_permute(weights, noise):
    rows = [
        [w for _, w in sorted(zip(z, row))]
        for row, z in zip(weights.tolist(), noise.tolist())
    ]
    return torch.tensor(rows)


def scatter_permute(weights, noise):
    rank = noise.argsort(-1).argsort(-1)
    return torch.zeros_like(weights).scatter(-1, rank, weights)


def numpy_permute(weights, noise):
    order = np.argsort(noise.numpy(), axis=-1)
    return torch.from_numpy(np.take_along_axis(weights.numpy(), order, -1))


def right_targets(tokens):
    return F.pad(tokens[:, None] == tokens[None, :-1], (1, 0)).tril()


def loop_targets(tokens):
    rows = tokens.tolist()
    return torch.tensor(
        [
            [0 < j <= i and rows[j - 1] == rows[i] for j in range(len(rows))]
            for i in range(len(rows))
        ]
    )


def masked_targets(tokens):
    before = torch.cat([tokens.new_tensor([-1]), tokens[:-1]])
    causal = torch.ones(len(tokens), len(tokens), dtype=torch.bool).tril()
    return (tokens[:, None] == before[None]) & causal


def rolled(tokens):
    return (tokens[:, None] == tokens.roll(1)[None]).tril()


def shared_next(weights):
    words = weights[:, 1:-1, 1:-1]
    words = words / words.sum(dim=-1, keepdim=True)
    return words.diagonal(1, -2, -1).mean(dim=-1)


def inner(weights):
    return weights[:, 1:-2, 2:-1].diagonal(0, 1, 2)


def pairs(first, behind, step=1):
    """Average the weights from token i to i + step, by a loop."""

    def score(weights):
        last = weights.shape[-1] - behind
        found = [weights[:, i, i + step] for i in range(first, last)]
        if not found:
            return torch.full_like(weights[:, 0, 0], torch.nan)
        return torch.stack(found).mean(dim=0)

    return score


def share_of_hits(weights, edge):
    n = weights.shape[-1]
    rows = weights[:, 1:-2, edge : n - edge]
    best = rows.max(dim=-1).indices + edge
    return sum(best[:, i] == i + 2 for i in range(n - 3)) / (n - 3)


def order_of_the_last_row(weights, noise):
    for row in noise:
        order = torch.argsort(row)
    return torch.stack([row[order] for row in weights])


def sorted_as_one(weights, noise):
    order = noise.reshape(-1).sort().indices
    return weights.reshape(-1)[order].reshape(weights.shape)


def marked_where(allowed):
    def marks(tokens):
        n = len(tokens)
        rows = [[allowed(tokens, i, j) for j in range(n)] for i in range(n)]
        return torch.tensor([[bool(x) for x in row] for row in rows])

    return marks


def earliest_targets(tokens):
    targets = right_targets(tokens)
    for row in targets:
        positions = row.nonzero()[:, 0]
        row[positions[1:]] = False
    return targets


def latest_targets(tokens):
    targets = right_targets(tokens)
    for row in targets:
        positions = row.nonzero()[:, 0]
        row[positions[:-1]] = False
    return targets


WRONG = {
    "two_words": [
        ([2, 4, -1], "signs"),
        ([2, 0.8, 1.2], "weight times value"),
        ([2, 4, 1], "loses less than nothing"),
        ([2, -4, -1], "does lose something"),
        ([2, -1, 4], "words and signs"),
        ([2, 6, 1], "answers that are left"),
        ([2, 1, -4], "other way round"),
        ([2, 1.2, 0.8], "other word's parts"),
        ([3.5, -2.5, 2.5], "plain mean"),
        ([7, 1, 6], "plain sum"),
        ([2, 0.8, 0.2], "those are the weights"),
        (2.0, "expected"),
        ([2, -4], "expected"),
        ("two", "numbers"),
    ],
    "next_score": [
        (lambda w: w.diagonal(1, -2, -1).mean(-1), "[CLS] as a query and"),
        (lambda w: w.diagonal(1, -2, -1)[:, 1:].mean(-1), "[SEP] has got in"),
        (lambda w: w.diagonal(1, -2, -1)[:, :-1].mean(-1), "[CLS] has got in"),
        (lambda w: w.diagonal(-1, -2, -1)[:, 1:-1].mean(-1), "previous word"),
        (lambda w: w.diagonal(0, -2, -1)[:, 1:-1].mean(-1), "itself"),
        (lambda w: w.diagonal(1, -2, -1)[:, 1:-1].sum(-1), "the sum"),
        (lambda w: w.diagonal(1, -2, -1)[:, 1:-1].mean(), "for each head"),
        (shared_next, "leave the weights as they are"),
        (lambda w: w[:, 1:-1].max(-1).values.mean(-1), "largest weight"),
        (
            lambda w: w.diagonal(1, -2, -1)[:, 1:-1].sum(-1) / w.shape[-1],
            "n - 3",
        ),
        (lambda w: right_next(w)[:1], "expected shape"),
        (lambda w: (inner(w) + inner(w.mT)).mean(1) / 2, "and the previous"),
        (
            lambda w: torch.quantile(inner(w), 0.5, 1, interpolation="lower"),
            "median",
        ),
        (lambda w: inner(w).mean(0), "over the heads"),
        (
            lambda w: inner(w).mean(1) + w[:, -2, -1] / inner(w).shape[1],
            "[SEP] has got in",
        ),
        (
            lambda w: inner(w).mean(1) + w[:, 0, 1] / inner(w).shape[1],
            "[CLS] has got in",
        ),
        (lambda w: torch.diagonal(w, 1, -2, -1)[1:-1].mean(1), "heads off"),
        (lambda w: w[:, 1:-1].diagonal(1, 1, 2).mean(1), "word itself"),
        (pairs(1, 3), "the last pair is missing"),
        (pairs(2, 2), "the first pair is missing"),
        (lambda w: inner(w)[:, 1:-1].mean(dim=1), "leave out one pair in"),
        (lambda w: inner(w).sum(1) / len(w[0, 1:-1]), "number of words"),
        (lambda w: inner(w).sum(1) / (len(w[0]) - 1), "whole diagonal"),
        (lambda w: torch.diagonal(w, 1)[:, 1:-1].mean(1), "heads and queries"),
        (lambda w: torch.diagonal(w, 1).mean(1), "heads and queries"),
        (lambda w: inner(w).max(dim=1).values, "largest weight on a next"),
        (lambda w: share_of_hits(w, 0), "how often"),
        (lambda w: share_of_hits(w, 1), "how often"),
        (pairs(1, 3, step=2), "word after the next"),
        (lambda w: w.diagonal(1, 2, 1).mean(1), "previous word, special"),
        (lambda w: w.diagonal(1, 1, 2).sum(1), "with the special tokens"),
        (lambda w: w[:, 1:-1, 1:-1].flatten(1).mean(1), "over all pairs"),
    ],
    "permute": [
        (lambda w, z: w.gather(-1, z.argsort(-1).argsort(-1)), "ranks"),
        (lambda w, z: w.gather(-1, (-z).argsort(-1)), "smallest noise"),
        (lambda w, z: w.gather(0, z.argsort(0)), "mixes the rows"),
        (lambda w, z: w[:, z[0].argsort()], "noise of its own"),
        (lambda w, z: w.sort(-1).values, "sorts the weights"),
        (lambda w, z: w.sort(-1, descending=True)[0], "sorts the weights"),
        (lambda w, z: z.gather(-1, w.argsort(-1)), "other way round"),
        (lambda w, z: w.clone(), "nothing has moved"),
        (lambda w, z: z.sort(-1).values, "returns the noise"),
        (
            lambda w, z: torch.zeros_like(w).scatter(-1, z.argsort(-1), w),
            "scatter",
        ),
        (lambda w, z: z.sort(dim=1)[1], "gather the weights there"),
        (lambda w, z: z.sort(-1)[1].sort(-1)[1], "the ranks of the noise"),
        (lambda w, z: w[z.sort(dim=1).indices], "fetches whole rows"),
        (lambda w, z: w[:, z.sort(dim=1)[1]], "in the order of every row"),
        (order_of_the_last_row, "like the last"),
        (lambda w, z: torch.take(w, z.argsort(-1)), "first row's weights"),
        (lambda w, z: torch.sort(z, dim=1), "two things"),
        (lambda w, z: w.take_along_dim(z.argsort(0), 1), "across the rows"),
        (sorted_as_one, "as one"),
        (lambda w, z: w * z, "numbers differ"),
    ],
    "targets": [
        (lambda t: (t[:, None] == t[None]).tril(), "same token"),
        (lambda t: (t[:, None] == t[None]).tril(-1), "same token"),
        (
            lambda t: F.pad(t[:, None] == t[None, :-1], (1, 0)),
            "after the query",
        ),
        (rolled, "roll and the index -1"),
        (
            lambda t: t[:, None] == t.roll(1)[None],
            "after the query are marked, and the first",
        ),
        (lambda t: right_targets(t).tril(-1), "j = i is allowed"),
        (
            lambda t: F.pad((t[:, None] == t[None]).tril()[:, :-1], (1, 0)),
            "shift first",
        ),
        (
            lambda t: F.pad(t[:, None] == t[None, :-1], (1, 0)).triu(),
            "upper triangle",
        ),
        (
            lambda t: F.pad(t[:-1, None] == t[None], (0, 0, 1, 0)).tril(),
            "rows are shifted",
        ),
        (
            lambda t: (t[:, None] == t[None]).roll(1, 0).tril(),
            "rows are shifted",
        ),
        (latest_targets, "only the last position"),
        (lambda t: right_targets(t).T, "exchanged"),
        (lambda t: right_targets(t).int(), "True and False"),
        (lambda t: right_targets(t).float(), "True and False"),
        (
            lambda t: F.pad(t[:, None] == t[None, 1:], (0, 1)).tril(),
            "wrong way",
        ),
        (lambda t: right_targets(t)[1:], "expected shape"),
        (
            marked_where(lambda t, i, j: j < i and t[j - 1] == t[i]),
            "two slips",
        ),
        (
            marked_where(lambda t, i, j: j > i and t[j - 1] == t[i]),
            "only keys after",
        ),
        (marked_where(lambda t, i, j: t[j] == t[i]), "before and after"),
        (
            marked_where(
                lambda t, i, j: j == 0 or (j <= i and t[j - 1] == t[i])
            ),
            "marked for every query",
        ),
        (
            marked_where(lambda t, i, j: j <= i and t[max(j - 1, 0)] == t[i]),
            "compared with itself",
        ),
        (
            marked_where(lambda t, i, j: 0 < j <= i and t[j - 1] == t[i - 1]),
            "token before the query",
        ),
        (earliest_targets, "only the first position"),
        (lambda t: (t[:, None] == t.roll(-1)).tril(), "go to the right"),
        (lambda t: torch.eq(t[:, None], t[:-1]).tril(), "column is missing"),
        (
            marked_where(lambda t, i, j: 0 < j <= i and t[j] == t[i]),
            "left out",
        ),
        (
            marked_where(lambda t, i, j: 1 < j <= i and t[j - 2] == t[i]),
            "j - 2",
        ),
        (
            marked_where(lambda t, i, j: j < i and t[j + 1] == t[i]),
            "token j + 1",
        ),
        (
            marked_where(
                lambda t, i, j: j <= i and (j == 0 or t[j - 1] != t[i])
            ),
            "differ",
        ),
    ],
}
RIGHT = {
    "two_words": [
        [2, -4, 1],
        (2.0, -4.0, 1.0),
        torch.tensor([2.0, -4.0, 1.0]),
    ],
    "next_score": [right_next, loop_next, inner_next, indexed_next, item_next],
    "permute": [
        numpy_permute,
        gather_permute,
        sort_permute,
        loop_permute,
        scatter_permute,
        list_permute,
    ],
    "targets": [right_targets, loop_targets, masked_targets],
}
