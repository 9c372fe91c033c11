"""Checks of lesson 14's exercises."""

import torch

from attn_course.checks.engine import Case, Mistake, check, check_value
from attn_course.checks.induction import MISTAKES, induction_targets


def two_words(answer):
    """Exercise 1: the answer, and what leaving out either word costs."""
    return check_value(
        answer,
        [2.0, -4.0, 1.0],
        praise="2; without the word with weight 0.8 the answer rises to 6: "
        "much weight, and it held the answer down",
        mistakes=[
            (
                [2.0, 4.0, -1.0],
                "the signs are wrong: what it loses is before minus after",
            ),
            (
                [2.0, 0.8, 1.2],
                "those are weight times value: without a word, the other one's "
                "weight becomes 1",
            ),
            (
                [2.0, 4.0, 1.0],
                "a sign is wrong: without the first word the answer rises to 6, "
                "so it loses less than nothing",
            ),
            (
                [2.0, -4.0, -1.0],
                "a sign is wrong: without the second word the answer falls to 1, "
                "so it does lose something",
            ),
            (
                [2.0, -1.0, 4.0],
                "words and signs are exchanged: without the first word the "
                "second is alone, and the loss is before minus after",
            ),
            (
                [2.0, 6.0, 1.0],
                "those are the answers that are left: subtract them from 2",
            ),
            (
                [2.0, 1.0, -4.0],
                "the other way round: without the first word, the second is "
                "alone",
            ),
            (
                [2.0, 1.2, 0.8],
                "those are the other word's parts: its weight becomes 1 when it "
                "is alone, and the loss is before minus after",
            ),
            (
                [3.5, -2.5, 2.5],
                "that is the plain mean: use the weights 0.8 and 0.2",
            ),
            (
                [7.0, 1.0, 6.0],
                "that is the plain sum: use the weights 0.8 and 0.2",
            ),
            ([2.0, 0.8, 0.2], "those are the weights: leave the words out"),
        ],
    )


# Exercise 2 -------------------------------------------------------------------


def _oracle_next(weights):
    rows = []
    for head in weights:
        n = len(head)
        parts = [head[i, i + 1] for i in range(1, n - 2)]
        rows.append(sum(parts) / len(parts))
    return torch.stack(rows)


def _off(weights, offset, begin, end):
    line = weights.diagonal(offset, -2, -1)
    return line[:, begin : line.shape[1] - end].mean(dim=-1)


def _shared_out(weights):
    inner = weights[:, 1:-1, 1:-1]
    inner = inner / inner.sum(dim=-1, keepdim=True)
    return inner.diagonal(1, -2, -1).mean(dim=-1)


def _hits(weights, keys):
    """Say for each query of a pair whether its next word has most weight."""
    best = weights[:, 1:-2, keys].argmax(dim=-1)
    next_word = torch.arange(2, weights.shape[-1] - 1)
    return best + (keys.start or 0) == next_word


NEXT = [
    Mistake(
        lambda w: w.diagonal(1, -2, -1)[:, 1:].sum(dim=-1) / (w.shape[-1] - 3),
        "[SEP] has got in as the next word of the last word",
    ),
    Mistake(
        lambda w: (
            w.diagonal(1, -2, -1)[:, :-1].sum(dim=-1) / (w.shape[-1] - 3)
        ),
        "[CLS] has got in as a query",
    ),
    Mistake(
        lambda w: (_off(w, 1, 1, 1) + _off(w, -1, 1, 1)) / 2,
        "it averages the next and the previous word: the next only",
    ),
    Mistake(
        lambda w: w.diagonal(1, -2, -1)[:, 1:-1].median(dim=-1).values,
        "that is the median: take the mean",
    ),
    Mistake(
        lambda w: w.diagonal(1, -2, -1)[:, 1:-1].mean(dim=0),
        "it averages over the heads: one number for each head, so average over "
        "the pairs, dim=-1",
    ),
    Mistake(
        lambda w: w.diagonal(1, -2, -1)[1:-1].mean(dim=-1),
        "it cuts heads off, not pairs: [:, 1:-1]",
    ),
    Mistake(
        lambda w: _off(w, 1, 1, 2),
        "the last pair is missing: the last query is token n - 3, the last "
        "word but one",
    ),
    Mistake(
        lambda w: _off(w, 1, 2, 1),
        "the first pair is missing: the first query is token 1, the first word",
    ),
    Mistake(
        lambda w: _off(w, 1, 2, 2),
        "pairs are missing: a special token stands at one end of each end pair "
        "only, so leave out one pair in front and one behind",
    ),
    Mistake(
        lambda w: _oracle_next(w) * (w.shape[-1] - 3) / (w.shape[-1] - 2),
        "it divides by the number of words, n - 2: the last word has no next "
        "one, so there are n - 3 pairs",
    ),
    Mistake(
        lambda w: _oracle_next(w) * (w.shape[-1] - 3) / (w.shape[-1] - 1),
        "it divides by the length of the whole diagonal, n - 1: divide by the "
        "number of pairs, n - 3",
    ),
    *(
        Mistake(
            lambda w, cut=cut: w.diagonal(1)[:, cut].mean(dim=-1),
            "diagonal() without dimensions runs along heads and queries: "
            "weights.diagonal(1, -2, -1)",
        )
        for cut in (slice(1, -1), slice(None))
    ),
    Mistake(
        lambda w: w.diagonal(1, -2, -1)[:, 1:-1].amax(dim=-1),
        "that is the largest weight on a next word: take the mean",
    ),
    *(
        Mistake(
            lambda w, keys=keys: _hits(w, keys).float().mean(dim=-1),
            "it counts how often the next word has the most weight: take the "
            "mean of the weights",
        )
        for keys in (slice(None), slice(1, -1))
    ),
    Mistake(
        lambda w: _off(w, 2, 1, 1),
        "that is the word after the next: the offset is 1",
    ),
    Mistake(
        lambda w: _off(w, -1, 0, 0),
        "that is the previous word, special tokens too: the offset is +1, and "
        "the first and the last of the diagonal go",
    ),
    Mistake(
        lambda w: w.diagonal(1, -2, -1).sum(dim=-1),
        "that is the sum, with the special tokens: leave out the first and the "
        "last of the diagonal, then take the mean",
    ),
    Mistake(
        lambda w: w[:, 1:-1, 1:-1].mean(dim=(1, 2)),
        "that is the mean over all pairs of words: take the diagonal with "
        "offset 1",
    ),
]


def next_score(answer):
    """Exercise 2: the mean weight on the next word."""
    generator = torch.Generator().manual_seed(3)

    def heads(*shape):
        return torch.rand(*shape, generator=generator).softmax(-1)

    small = torch.tensor(
        [
            [
                [1.0, 0.0, 0.0, 0.0, 0.0],
                [0.1, 0.2, 0.7, 0.0, 0.0],
                [0.0, 0.3, 0.1, 0.5, 0.1],
                [0.2, 0.1, 0.0, 0.3, 0.4],
                [0.6, 0.1, 0.1, 0.2, 0.0],
            ]
        ]
    )
    return check(
        answer,
        oracle=_oracle_next,
        cases=[
            Case((small,), "one head, three words: 0.7 and 0.5"),
            Case((heads(3, 8, 8),), "three heads, six words"),
            Case((heads(5, 5, 5),), "five heads, three words"),
        ],
        mistakes=[
            Mistake(
                lambda w: _off(w, 1, 0, 0),
                "[CLS] as a query and [SEP] as a next word have got in: "
                "leave out the first and the last of the diagonal",
            ),
            Mistake(
                lambda w: _off(w, 1, 1, 0),
                "[SEP] has got in as the next word of the last word",
            ),
            Mistake(lambda w: _off(w, 1, 0, 1), "[CLS] has got in as a query"),
            Mistake(
                lambda w: _off(w, -1, 1, 1),
                "that is the previous word: query i, key i + 1 is the "
                "diagonal above the main one, offset +1",
            ),
            Mistake(
                lambda w: _off(w, 0, 1, 1),
                "that is the word itself: query i, key i + 1 are asked for "
                "(offset 1 of the whole; a row cut off shifts it)",
            ),
            Mistake(
                _shared_out,
                "leave the weights as they are: what goes to the special "
                "tokens is not shared out among the words",
            ),
            Mistake(
                lambda w: _oracle_next(w) * (w.shape[-1] - 3),
                "that is the sum: take the mean",
            ),
            Mistake(
                lambda w: _oracle_next(w).mean(),
                "one number for each head: take the mean over the "
                "diagonal only",
            ),
            Mistake(
                lambda w: w[:, 1:-1].amax(dim=-1).mean(dim=-1),
                "that is the largest weight, wherever it is: ask for the "
                "position of the next word",
            ),
            Mistake(
                lambda w: _oracle_next(w) * (w.shape[-1] - 3) / w.shape[-1],
                "divide by the number of pairs, n - 3, not by n",
            ),
            *NEXT,
        ],
        praise="words only, and each head by itself",
    )


# Exercise 3 -------------------------------------------------------------------


def _oracle_permute(weights, noise):
    rows = []
    for row, loud in zip(weights, noise.tolist()):
        order = sorted(range(len(loud)), key=lambda i: loud[i])
        rows.append(torch.stack([row[i] for i in order]))
    return torch.stack(rows)


def permute(answer):
    """Exercise 3: each row's weights in the order of its noise."""
    generator = torch.Generator().manual_seed(4)

    def rows(*shape):
        return torch.rand(*shape, generator=generator)

    small = torch.tensor([[0.5, 0.3, 0.2]])
    noise = torch.tensor([[0.3, 0.9, 0.1]])
    return check(
        answer,
        oracle=_oracle_permute,
        cases=[
            Case((small, noise), "one row of three"),
            Case((rows(4, 5), rows(4, 5)), "four rows of five"),
            Case((rows(3, 3), rows(3, 3)), "three rows of three"),
        ],
        mistakes=[
            Mistake(
                lambda w, z: w.gather(-1, z.argsort(-1).argsort(-1)),
                "it uses the ranks of the noise, as a scatter would: "
                "gather from the positions in order, one argsort",
            ),
            Mistake(
                lambda w, z: w.gather(-1, z.argsort(-1, descending=True)),
                "the smallest noise comes first, not the largest",
            ),
            Mistake(
                lambda w, z: w.gather(0, z.argsort(0)),
                "it mixes the rows: sort along the last dimension",
            ),
            Mistake(
                lambda w, z: w[:, z[0].argsort()],
                "every row is dealt out like the first: each has noise of "
                "its own",
            ),
            Mistake(
                lambda w, z: w.sort(-1).values,
                "it sorts the weights themselves: use the order of the noise",
            ),
            Mistake(
                lambda w, z: w.sort(-1, descending=True).values,
                "it sorts the weights themselves: use the order of the noise",
            ),
            Mistake(
                lambda w, z: z.gather(-1, w.argsort(-1)),
                "it sorts the noise by the weights: the other way round",
            ),
            Mistake(
                lambda w, z: w + 0,
                "nothing has moved: fetch each row's weights in the "
                "order of its noise",
            ),
            Mistake(
                lambda w, z: z.sort(-1).values + 0 * w,
                "it returns the noise: gather from the weights",
            ),
            Mistake(
                lambda w, z: z.argsort(-1),
                "it returns the positions in order: gather the weights there",
            ),
            Mistake(
                lambda w, z: z.argsort(-1).argsort(-1),
                "it returns the ranks of the noise: gather the weights at the "
                "positions in order, one argsort",
            ),
            Mistake(
                lambda w, z: tuple(z.sort(-1)),
                "sort returns two things, the sorted noise and the positions: "
                "gather the weights at the positions",
            ),
            Mistake(
                lambda w, z: w.gather(-1, z.argsort(0)),
                "the noise is sorted across the rows: argsort(dim=-1) sorts "
                "within each",
            ),
            Mistake(
                lambda w, z: w[0][z.argsort(-1)],
                "every row is fetched from the first row's weights (take reads "
                "the flat tensor): gather(-1, order) reads each row's own",
            ),
            Mistake(
                lambda w, z: w[z.argsort(-1)],
                "weights[order] fetches whole rows: gather(-1, order) fetches "
                "within each row",
            ),
            Mistake(
                lambda w, z: w[:, z.argsort(-1)],
                "weights[:, order] puts every row in the order of every row: "
                "gather(-1, order) takes each row's own",
            ),
            Mistake(
                lambda w, z: w[:, z[-1].argsort()],
                "every row is dealt out like the last: each has noise of its "
                "own",
            ),
            Mistake(
                lambda w, z: w.flatten()[z.flatten().argsort()].view_as(w),
                "all rows are sorted as one: sort along the last dimension",
            ),
        ],
        praise="the same numbers in every row, at other positions",
    )


# Exercise 4 -------------------------------------------------------------------


def targets(answer):
    """Exercise 4: where an induction head should look."""
    return check(
        answer,
        oracle=induction_targets,
        cases=[
            Case((torch.tensor([3, 7, 5, 3, 7]),), "3 7 5 3 7"),
            Case((torch.tensor([1, 2, 1, 2, 1, 1]),), "1 2 1 2 1 1"),
            Case((torch.tensor([4, 4, 9]),), "4 4 9"),
        ],
        mistakes=MISTAKES,
        praise="each row points to what followed the same token",
    )
