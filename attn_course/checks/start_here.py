"""Checks of lesson 00's exercises."""

import torch

from attn_course.checks.engine import Case, Mistake, check, check_value
from attn_course.checks.inputs import normal


def batch_shape(answer):
    """Exercise 1: the shape of 2 sentences of 5 words of 8 numbers."""
    return check_value(
        answer,
        [2, 5, 8],
        praise="the outermost box comes first",
        mistakes=[
            (80, "that is how many numbers there are; the shape is three"),
            ([5, 2, 8], "batch comes first: the sentences, then the words"),
            ([8, 5, 2], "that is the order backwards: batch, length, dim"),
            ([2, 8, 5], "length comes before dim: words, then numbers"),
            ([5, 8, 2], "batch comes first, not last"),
            ([8, 2, 5], "dim comes last: batch, length, dim"),
        ],
    )


def product_shape(answer):
    """Exercise 2: the shape of (2, 5, 8) @ (2, 8, 3)."""
    return check_value(
        answer,
        [2, 5, 3],
        praise="rows of the first, columns of the second, for each of 2",
        mistakes=[
            ([2, 5, 8, 3], "the 8s are summed over, so they vanish"),
            ([5, 3], "the batch of 2 stays: there are 2 such products"),
            ([2, 8, 8], "the 8s are summed over, so they vanish"),
            ([2, 5, 8], "the columns are the second matrix's: not 8"),
            (
                [2, 3, 5],
                "rows come from the first matrix, columns from the "
                "second: the other way round",
            ),
            ([2, 8, 3], "the rows are the first matrix's: not 8"),
            ([4, 5, 3], "the batch is shared, not multiplied"),
        ],
    )


def _oracle(x):
    rows = []
    for sentence in x:
        total = sentence[0] * 0
        for token in sentence:
            total = total + token
        rows.append(total / len(sentence))
    return torch.stack(rows)


def mean_over_length(answer):
    """Exercise 3: one vector per sentence, the mean of its tokens."""
    small = torch.tensor([[[1.0, 2.0], [3.0, 6.0]]])
    return check(
        answer,
        oracle=_oracle,
        cases=[
            Case((small,), "one sentence of two tokens"),
            Case((normal(3, 3, 3),), "a batch of shape (3, 3, 3)"),
            Case((normal(2, 5, 4),), "a batch of shape (2, 5, 4)"),
        ],
        mistakes=[
            Mistake(
                lambda x: x.mean(dim=0),
                "it averages over the batch (dim=0): sentences get mixed",
            ),
            Mistake(
                lambda x: x.mean(dim=-1),
                "it averages over dim (dim=-1): each token becomes one number",
            ),
            Mistake(
                lambda x: x.mean(dim=1, keepdim=True),
                "the length is still there with size 1: no keepdim here",
            ),
            Mistake(
                lambda x: x.sum(dim=1),
                "that is the sum: divide by the number of tokens",
            ),
            Mistake(lambda x: x.mean(), "that is one number for everything"),
            Mistake(
                lambda x: x.amax(dim=1), "that is the largest: take the mean"
            ),
            Mistake(
                lambda x: x.sum(dim=1) / x.shape[0],
                "it divides by the batch: divide by the length, x.shape[1]",
            ),
            Mistake(
                lambda x: x.sum(dim=1) / x.shape[2],
                "it divides by dim: divide by the length, x.shape[1]",
            ),
            Mistake(
                lambda x: x[:, 0], "that is the first token: average them all"
            ),
            Mistake(
                lambda x: x[:, -1], "that is the last token: average them all"
            ),
            Mistake(
                lambda x: x[:, 1:].mean(dim=1),
                "the first token is left out: average them all",
            ),
            Mistake(
                lambda x: x[:, :-1].mean(dim=1),
                "the last token is left out: average them all",
            ),
            Mistake(
                lambda x: x.sum(dim=1) / (x.shape[1] - 1),
                "it divides by one less than the length: divide by x.shape[1]",
            ),
            Mistake(
                lambda x: x[:, 1:].sum(dim=1) / x.shape[1],
                "the first token is not added: sum them all",
            ),
            Mistake(
                lambda x: x[:, :-1].sum(dim=1) / x.shape[1],
                "the last token is not added: sum them all",
            ),
            Mistake(
                lambda x: x.median(dim=1).values,
                "that is the median: take the mean",
            ),
            Mistake(
                lambda x: (x[:, 0] + x[:, -1]) / 2,
                "only the first and the last token are averaged: average them "
                "all",
            ),
            Mistake(
                lambda x: x[:, x.shape[1] // 2],
                "that is the middle token: average them all",
            ),
            Mistake(
                lambda x: (x.amax(dim=1) + x.amin(dim=1)) / 2,
                "only the largest and the smallest are averaged: average all "
                "tokens",
            ),
            Mistake(
                lambda x: x.abs().mean(dim=1),
                "the signs are lost: average the numbers as they are",
            ),
            Mistake(
                lambda x: x.std(dim=1),
                "that is the standard deviation: take the mean",
            ),
            Mistake(
                lambda x: torch.nn.functional.normalize(x.mean(dim=1), dim=-1),
                "each mean is brought to length 1: leave it as it is",
            ),
            Mistake(
                lambda x: x.amin(dim=1), "that is the smallest: take the mean"
            ),
            Mistake(
                lambda x: x.max(dim=1),
                "max returns two things, the largest and where it stands: here "
                "the mean is asked for",
            ),
            *(
                Mistake(
                    lambda x, whole=whole: whole(x.mean(dim=1)),
                    "the means are rounded to whole numbers: leave them as they "
                    "are (/, not //)",
                )
                for whole in (torch.floor, torch.round, torch.trunc)
            ),
            Mistake(
                lambda x: torch.softmax(x, 1).mean(dim=1),
                "softmax makes every mean the same: take the mean of x itself",
            ),
            Mistake(
                lambda x: x.mean(dim=1).mean(dim=0).expand(len(x), -1),
                "all sentences get the same mean: each has its own",
            ),
            Mistake(
                lambda x: x.mean(dim=1)[0],
                "that is the first sentence alone: one vector for each is "
                "wanted",
            ),
        ],
        praise="(batch, length, dim) became (batch, dim)",
    )
