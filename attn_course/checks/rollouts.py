"""Attention rollouts, a right one and wrong ones, for lesson 09's check."""

import torch

from attn_course.checks.engine import Mistake


def rollout_by_hand(weights):
    depth, heads, n, _ = weights.shape
    joint = [[1.0 * (i == j) for j in range(n)] for i in range(n)]
    for layer in weights:
        mixed = [
            [
                (sum(w[i, j] for w in layer) / heads + (i == j)) / 2
                for j in range(n)
            ]
            for i in range(n)
        ]
        joint = [
            [
                sum(mixed[i][m] * joint[m][j] for m in range(n))
                for j in range(n)
            ]
            for i in range(n)
        ]
    return torch.stack([torch.stack([*row]) for row in joint])


def _rollout(mix, start="first", join=torch.matmul):
    """A wrong rollout: another mix per block, or another way to join them."""

    def fn(weights):
        layers = [mix(w) for w in weights]
        joint = layers[0]
        for layer in layers[1:]:
            pair = (layer, joint) if start == "first" else (joint, layer)
            joint = join(*pair)
        return joint

    return fn


def _half(mean):
    return (mean + torch.eye(mean.shape[-1]).to(mean)) / 2


def _or_nothing(some, weights):
    """Some blocks; if there are none, one that leaves all as it is."""
    identity = torch.eye(weights.shape[-1]).to(weights)
    return some if len(some) else identity.expand(1, 1, -1, -1)


def _shares(matrix, dim):
    return matrix / matrix.sum(dim, keepdim=True)


def _mix(layer):
    return _half(layer.mean(0))


def _chain(layers):
    joint = layers[0]
    for layer in layers[1:]:
        joint = layer @ joint
    return joint


def _identity_each_time(weights):
    joint = identity = torch.eye(weights.shape[-1]).to(weights)
    for layer in weights:
        joint = (layer.mean(0) @ joint + identity) / 2
    return joint


def _over_the_largest(row):
    return row / row.max()


WRONG_ROLLOUTS = [
    Mistake(
        lambda w: _rollout(lambda x: _half(x.mean(1)))(w),
        "there is no batch here: the heads are the first dimension "
        "of a block (dim=0)",
    ),
    Mistake(
        lambda w: _rollout(_half)(w.mean(0)),
        "dimension 0 of weights is the blocks: average over the heads",
    ),
    Mistake(
        _rollout(lambda w: w.mean(0)),
        "the residual is missing: mix each block's weights half and "
        "half with the identity",
    ),
    Mistake(
        _rollout(lambda w: w.mean(0) + torch.eye(w.shape[-1]).to(w)),
        "rows no longer sum to 1: divide by 2 after adding the identity",
    ),
    Mistake(
        _rollout(_mix, "last"),
        "the product is the wrong way round: a later block stands to "
        "the left of an earlier one",
    ),
    Mistake(
        _rollout(lambda w: _half(w.sum(0))),
        "the heads are added up: take their mean",
    ),
    Mistake(
        _rollout(lambda w: _half(w.amax(0))),
        "it takes the largest head: take their mean",
    ),
    Mistake(
        _rollout(lambda w: _half(w[0])),
        "it takes the first head only: take the mean of all",
    ),
    Mistake(
        _rollout(_mix, join=torch.mul),
        "it multiplies entry by entry: use the matrix product @",
    ),
    Mistake(
        _rollout(_mix, join=torch.add), "it adds the blocks: multiply them"
    ),
    Mistake(
        lambda w: _half(w.mean((0, 1))),
        "it averages the blocks: multiply them",
    ),
    Mistake(
        lambda w: _mix(w[-1]),
        "that is the last block alone: multiply all of them",
    ),
    Mistake(
        lambda w: _mix(w[0]),
        "that is the first block alone: multiply all of them",
    ),
    Mistake(
        _rollout(lambda w: (w.mean(0) + 1) / 2),
        "it adds 1 everywhere: add the identity (torch.eye)",
    ),
    Mistake(
        lambda w: _rollout(_mix)(w).T,
        "rows and columns are exchanged: row i is the output token",
    ),
    Mistake(
        lambda w: _rollout(_mix)(w)[0],
        "that is the class token's row: return the whole matrix",
    ),
    Mistake(
        lambda w: _rollout(_mix)(w)[0, 1:],
        "that is the class token's row without itself: return the "
        "whole matrix",
    ),
    Mistake(
        _rollout(lambda w: _half(w.amin(0))),
        "it takes the smallest head: take their mean",
    ),
    Mistake(
        _rollout(lambda w: _shares(_half(w.amax(0)), -1)),
        "it takes the largest head, and divides by the sum: take the "
        "heads' mean",
    ),
    Mistake(
        _rollout(lambda w: _shares(_mix(w), 0)),
        "the columns are made to sum to 1: a row is one output token, "
        "and rows sum to 1 already",
    ),
    Mistake(
        lambda w: _rollout(_mix)(w.softmax(-1)),
        "the softmax is taken twice: weights are shares already",
    ),
    Mistake(
        lambda w: _rollout(_mix)(_or_nothing(w[1:], w)),
        "the first block is forgotten: multiply all of them",
    ),
    Mistake(
        lambda w: _rollout(_mix)(_or_nothing(w[:-1], w)),
        "the last block is forgotten: multiply all of them",
    ),
    Mistake(
        lambda w: _rollout(_mix)(w[[0, *range(len(w))]]),
        "the first block is multiplied in twice: start with the "
        "identity, or loop over weights[1:]",
    ),
    Mistake(
        _rollout(lambda w: w.mean(0) / 2 + torch.eye(w.shape[-1]).to(w)),
        "only the weights are halved: the identity too, (A + I) / 2",
    ),
    Mistake(
        lambda w: torch.stack(
            [_rollout(_mix)(w[: n + 1]) for n in range(len(w))]
        ),
        "it returns the product after every block: only the last is asked",
    ),
    Mistake(
        lambda w: torch.stack(
            [_rollout(_half)(head) for head in w.unbind(1)]
        ).mean(0),
        "each head is multiplied through by itself: take the mean over "
        "heads in each block first",
    ),
    Mistake(
        lambda w: _half(_rollout(lambda x: x.mean(0))(w)),
        "the identity comes in once, at the end: every block has its "
        "own residual",
    ),
    Mistake(
        lambda w: _rollout(_mix)(w).softmax(-1),
        "a softmax is taken of the product: its rows sum to 1 already",
    ),
    Mistake(
        lambda w: _chain([_half(layer) for layer in w]),
        "every head is kept: take their mean in each block",
    ),
    Mistake(
        lambda w: _rollout(_mix)(w) @ torch.ones_like(w[0, 0]),
        "the product starts with ones everywhere: start with the identity",
    ),
    Mistake(
        lambda w: torch.zeros_like(w[0, 0]),
        "every number is 0: a product that starts with zeros stays there, so "
        "start with the identity",
    ),
    Mistake(
        _identity_each_time,
        "the identity is mixed with the product so far: mix it with each "
        "block's weights, before the product",
    ),
    Mistake(
        lambda w: _rollout(_mix)(w) * 2 ** (len(w) - 1),
        "it is halved once, at the end: every block's sum with the identity is "
        "halved",
    ),
    Mistake(
        lambda w: _rollout(_mix)(w.mT),
        "each block's weights are transposed: a row is an output token, as it "
        "is",
    ),
    Mistake(
        lambda w: torch.matrix_power(_half(w.mean((0, 1))), len(w)),
        "the blocks' mean is raised to a power: multiply the blocks themselves",
    ),
    Mistake(
        lambda w: _chain([w[0].mean(0), *(_mix(layer) for layer in w[1:])]),
        "the first block has no identity: mix it in as well",
    ),
    Mistake(
        lambda w: _chain([*(_mix(layer) for layer in w[:-1]), w[-1].mean(0)]),
        "the last block has no identity: mix it in as well",
    ),
    Mistake(
        lambda w: _rollout(_mix)(w)[1:, 1:],
        "the class token is left out: return the whole matrix",
    ),
    Mistake(
        lambda w: _over_the_largest(_rollout(_mix)(w)[0, 1:]),
        "that is the class token's row, divided by its largest: return the "
        "whole matrix",
    ),
    Mistake(
        lambda w: _rollout(_mix)(w[[*range(len(w)), -1]]),
        "the last block is multiplied in twice: once is enough",
    ),
    Mistake(
        _rollout(lambda w: _half(w.prod(0))),
        "the heads are multiplied: take their mean",
    ),
    Mistake(
        _rollout(lambda w: _half(w.median(0).values)),
        "it takes the heads' median: take their mean",
    ),
    Mistake(
        _rollout(lambda w: (w.mean(0) - torch.eye(w.shape[-1]).to(w)) / 2),
        "the identity is subtracted: add it",
    ),
    Mistake(
        lambda w: w.mean((0, 1)),
        "that is the mean of all blocks, without the identity: multiply the blocks, each half and half with it",
    ),
    Mistake(
        lambda w: _rollout(_mix)(w[-2:]),
        "only the last two blocks are multiplied: multiply all of them",
    ),
]
