"""Answers to lesson 00's exercises."""

import numpy as np
import torch


def in_place(x):
    with torch.no_grad():
        x /= x.shape[1]
    return x.sum(dim=1)


WRONG = {
    "batch_shape": [
        ((5, 2, 8), "batch comes first"),
        ((8, 5, 2), "backwards"),
        ((2, 8, 5), "length comes before dim"),
        ((5, 8, 2), "not last"),
        ((8, 2, 5), "dim comes last"),
        (80, "how many numbers"),
        (torch.zeros(1, 3), "expected 3 numbers"),
        ((10, 8), "expected 3 numbers in a row, got 2"),
        ("2 5 8", "expected numbers"),
    ],
    "product_shape": [
        ((5, 3), "batch of 2 stays"),
        ((2, 8, 8), "summed over"),
        ((2, 5, 8), "not 8"),
        ((2, 3, 5), "the other way round"),
        ((2, 8, 3), "rows are the first"),
        ((4, 5, 3), "shared"),
        ((1, 1, 1), "not it"),
    ],
    "mean_over_length": [
        (lambda x: x.mean(0), "over the batch"),
        (lambda x: x.mean(-1), "over dim"),
        (lambda x: x.mean(1, keepdim=True), "no keepdim"),
        (lambda x: x.sum(1), "that is the sum"),
        (lambda x: x.mean(), "one number for everything"),
        (lambda x: x.amax(1), "the largest"),
        (lambda x: x.sum(1) / len(x), "by the batch"),
        (lambda x: x.sum(1) / x.shape[-1], "by dim"),
        (lambda x: x[:, 0], "first token"),
        (lambda x: torch.tensor([[2.0, 4.0]]) + 0 * x.sum(), "whatever"),
        (lambda x: torch.tensor([[2.0, 4.0]]), "whatever"),
        (lambda x: x.numpy().mean(1), "a numpy array"),
        (in_place, "in place"),
        (lambda x: x.mean(7), "IndexError"),
        (lambda x: x.unbind(1)[-1], "last token: average"),
        (lambda x: x[:, 1:].mean(1), "first token is left out"),
        (lambda x: x[:, : x.shape[1] - 1].mean(1), "last token is left out"),
        (lambda x: x.sum(1) / (len(x[0]) - 1), "one less"),
        (lambda x: (x.sum(1) - x[:, 0]) / len(x[0]), "first token is not"),
        (lambda x: (x.sum(1) - x[:, -1]) / len(x[0]), "last token is not"),
        (lambda x: torch.quantile(x, 0.5, 1, interpolation="lower"), "median"),
        (lambda x: x[:, [0, -1]].mean(1), "first and the last"),
        (lambda x: x.select(1, x.shape[1] // 2), "middle token"),
        (lambda x: sum(x.aminmax(dim=1)) / 2, "largest and the smallest"),
        (lambda x: abs(x).sum(1) / x.shape[1], "signs are lost"),
        (lambda x: x.var(1) ** 0.5, "standard deviation"),
        (
            lambda x: x.mean(1) / x.mean(1).norm(dim=1, keepdim=True),
            "length 1",
        ),
        (lambda x: x.sort(1).values[:, 0], "smallest"),
        (lambda x: torch.max(x, 1), "two things"),
        (lambda x: x.sum(1) // x.shape[1], "whole numbers"),
        (lambda x: x.mean(1).int() + 0.0, "whole numbers"),
        (lambda x: x.mean(1).round(), "whole numbers"),
        (lambda x: x.softmax(1).mean(1), "softmax makes"),
        (lambda x: x.mean((0, 1)).repeat(len(x), 1), "same mean"),
        (lambda x: x[0].mean(0), "first sentence alone"),
    ],
}

RIGHT = {
    "batch_shape": [(2, 5, 8), [2, 5, 8], torch.Size([2, 5, 8])],
    "product_shape": [(2, 5, 3), [2, 5, 3], torch.tensor([2, 5, 3])],
    "mean_over_length": [
        lambda x: x.mean(dim=1),
        lambda x: x.mean(-2),
        lambda x: torch.from_numpy(np.mean(x.numpy(), axis=1)),
        lambda x: (torch.ones(1, x.shape[1]) / x.shape[1] @ x).squeeze(1),
        lambda x: x.sum(1) / x.shape[1],
        lambda x: torch.einsum("bld->bd", x) / x.shape[1],
        lambda x: torch.stack([s.mean(0) for s in x]),
        lambda x: x.mean(1).detach(),
        lambda x: torch.tensor(
            [[sum(c) / len(c) for c in zip(*s)] for s in x.tolist()]
        ),
    ],
}
