"""Checks of lesson 09's exercises."""

from itertools import permutations

import torch
from torch.nn import functional as F

from attn_course.checks.engine import Case, Mistake, check, check_value
from attn_course.checks.inputs import normal
from attn_course.checks.rollouts import WRONG_ROLLOUTS, rollout_by_hand


def tokens(answer):
    """Exercise 1: how many tokens a ViT makes of 224 x 224 pixels."""
    return check_value(
        answer,
        197.0,
        tolerance=0.01,
        praise="14 * 14 patches and the class token: Dosovitskiy et al.'s 197",
        mistakes=[
            (
                769,
                "that is the numbers in one colour patch, plus 1: count "
                "patches",
            ),
            (196, "all patches are counted: what stands before them?"),
            (14, "that is one row of patches: how many rows are there?"),
            (15, "that is one row and the class token: count all rows"),
            (28, "those are two sides added: the patches fill a square"),
            (50_176, "those are the pixels: one token holds 16 * 16 of them"),
            (50_177, "one token per patch, not per pixel"),
            (256, "that is the number of pixels in one patch"),
            (257, "that is the pixels in one patch, plus one: count patches"),
            (768, "that is the numbers in one patch of three colours"),
            (588, "colour adds numbers to a patch, not patches"),
            (589, "colour adds numbers to a patch, not patches"),
            (3_136, "that is with patches of 4 x 4: here they are 16 x 16"),
            (50, "that is our 28 x 28 pixels in patches of 4 x 4"),
            (198, "one token too many: one class token is added"),
            (38_809, "that is the weights of one head: n squared"),
        ],
    )


def margin(answer):
    """Exercise 2: half of the 95 % interval, in points of accuracy."""
    return check_value(
        answer,
        0.0194,
        tolerance=2e-4,
        praise="1.96 * sqrt(0.89 * 0.11 / 1000): from these two numbers "
        "alone, 0.88 and 0.90 are not told apart",
        mistakes=[
            (0.000192, "the square root is missing"),
            (0.000613, "1000 belongs under the root"),
            (0.019, "rounded too far: give four decimals"),
            (0.0099, "that is one standard error: 95 % take 1.96 of them"),
            (0.0388, "that is the whole interval: asked is half of it"),
            (0.0061, "that is with 10,000 images: here there are 1,000"),
            (0.0310, "that is sqrt(0.5 * 0.5 / 1000) * 1.96: use 0.89"),
            (0.0158, "that is 0.5 / sqrt(1000): use 0.89 and 1.96"),
            (0.3129, "that is one image's deviation: divide by sqrt(1000)"),
            (0.6133, "the root of the number of images is missing"),
            (0.019788, "2 standard errors are close: take 1.96"),
            (0.0000979, "that is the variance: take its root, times 1.96"),
            (0.0552, "0.89 * 0.11 is meant, not 0.89 squared"),
            (0.0255, "2.576 is for 99 %: for 95 % take 1.96"),
            (0.0163, "1.645 is for 90 %: for 95 % take 1.96"),
            (0.8706, "that is the lower end: asked is half the width"),
            (0.9094, "that is the upper end: asked is half the width"),
            ([0.8706, 0.9094], "those are both ends: give half the width"),
            *(
                (percent, "that is in per cent: give a share, from 0 to 1")
                for percent in (1.939, 1.9393, 1.94)
            ),
            (0.0326, "0.89 * 0.11 is meant, not 0.89 alone"),
            (0.0585, "0.89 * 0.11 is meant, not 0.89 alone"),
        ],
    )


def _oracle_patchify(images, size):
    batch, channels, height, width = images.shape
    rows = []
    for image in images:
        for top in range(0, height, size):
            for left in range(0, width, size):
                numbers = [
                    image[c, top + i, left + j]
                    for c in range(channels)
                    for i in range(size)
                    for j in range(size)
                ]
                rows.append(torch.stack(numbers))
    return torch.stack(rows).view(batch, -1, channels * size**2)


def _blocks(images, size):
    """(batch, channels, down, size, across, size)."""
    b, c, h, w = images.shape
    return images.reshape(b, c, h // size, size, w // size, size)


def _order(*dims):
    """A wrong patchify: the blocks' dimensions in another order."""

    def patchify(images, size):
        x = _blocks(images, size).permute(*dims)
        b, c, h, w = images.shape
        return x.reshape(b, -1, c * size**2)

    return patchify


def _strided(images, size):
    b, c, h, w = images.shape
    x = images.reshape(b, c, size, h // size, size, w // size)
    return x.permute(0, 3, 5, 1, 2, 4).reshape(b, -1, c * size**2)


def _diagonal(images, size):
    corners = zip(*(range(0, side, size) for side in images.shape[2:]))
    return torch.stack(
        [
            images[:, :, i : i + size, j : j + size].flatten(1)
            for i, j in corners
        ],
        dim=1,
    )


def _sides_exchanged(images, size):
    b, c, w, h = images.shape
    x = images.reshape(b, c, h // size, size, w // size, size)
    return x.permute(0, 2, 4, 1, 3, 5).reshape(b, -1, c * size**2)


def _cut(images, size, height, width):
    rows = []
    for top in range(0, height, size):
        for left in range(0, width, size):
            patch = images[:, :, top : top + size, left : left + size]
            rows.append(patch.flatten(1))
    return torch.stack(rows, dim=1)


def _square_only(images, size):
    return _cut(images, size, images.shape[2], images.shape[2])


def _last_forgotten(images, size):
    height, width = images.shape[2:]
    return _cut(images, size, height - size, width - size)


def patchify(answer):
    """Exercise 3: cut images into patches."""
    right = _order(0, 2, 4, 1, 3, 5)
    count = torch.arange(16.0).view(1, 1, 4, 4)
    return check(
        answer,
        oracle=_oracle_patchify,
        cases=[
            Case((count, 2), "the numbers 0 to 15 in patches of 2 x 2"),
            Case((normal(2, 1, 4, 6), 2), "two images of 4 x 6"),
            Case((normal(2, 3, 6, 4), 2), "two images of 3 colours"),
            Case((normal(3, 2, 6, 9), 3), "three images in patches of 3 x 3"),
            Case((normal(2, 2, 4, 4), 4), "one patch per image"),
        ],
        mistakes=[
            Mistake(
                lambda x, s: (
                    x.unfold(2, s, s)
                    .unfold(3, s, s)
                    .reshape(len(x), -1, x.shape[1] * s * s)
                ),
                "colours are not brought into the patch: permute(0, 2, 3, 1, "
                "4, 5) before the reshape",
            ),
            Mistake(
                lambda x, s: x.reshape(len(x), -1, x.shape[1] * s * s),
                "it takes neighbours in one row of pixels, and a patch is a "
                "square: split both sides, then permute so that down and "
                "across come first, the pixels of a patch last",
            ),
            Mistake(
                _order(0, 4, 2, 1, 3, 5),
                "the patches come column by column: down comes before across",
            ),
            Mistake(
                _order(0, 2, 4, 1, 5, 3),
                "inside each patch, rows and columns are exchanged",
            ),
            Mistake(
                _order(0, 4, 2, 1, 5, 3),
                "rows and columns are exchanged, of patches and of pixels",
            ),
            Mistake(
                _order(0, 2, 4, 3, 5, 1),
                "inside each patch the colours come last: nn.Unfold's order "
                "is channel, row, column",
            ),
            Mistake(
                lambda x, s: F.unfold(x, s, stride=s),
                "patches and numbers are exchanged: one row per patch "
                "(transpose the last two dimensions)",
            ),
            Mistake(
                lambda x, s: F.unfold(x, s).transpose(1, 2),
                "the patches overlap: move by a whole patch (stride=size)",
            ),
            Mistake(
                _strided,
                "each patch takes pixels from all over the image: split the "
                "height into (height // size, size), in this order",
            ),
            Mistake(
                lambda x, s: (
                    _blocks(x, s).permute(0, 2, 4, 1, 3, 5).flatten(3)
                ),
                "down and across are still two dimensions: flatten them",
            ),
            Mistake(
                lambda x, s: right(x.flatten(0, 1)[:, None], s),
                "each colour is cut as an image of its own: a patch holds all "
                "colours",
            ),
            Mistake(
                lambda x, s: right(x[:, :1], s),
                "only the first colour is kept: a patch holds all colours",
            ),
            Mistake(
                lambda x, s: right(x.mean(1, keepdim=True), s),
                "the colours are averaged: a patch holds all of them",
            ),
            Mistake(
                lambda x, s: F.avg_pool2d(x, s).flatten(2).transpose(1, 2),
                "each patch is averaged: keep all its pixels",
            ),
            Mistake(
                lambda x, s: (
                    _blocks(x, s)
                    .permute(0, 1, 2, 4, 3, 5)
                    .flatten(4)
                    .flatten(1, 3)
                ),
                "each colour makes patches of its own: a patch holds all "
                "colours",
            ),
            Mistake(
                _square_only,
                "as many patches across as down: the width has its own number "
                "of patches",
            ),
            Mistake(
                _last_forgotten,
                "the last row and column of patches are forgotten: let the "
                "range end at height, not at height - size",
            ),
            Mistake(
                lambda x, s: right(x, s).transpose(0, 1),
                "the patches come before the batch: torch.stack(..., dim=1)",
            ),
            Mistake(
                lambda x, s: right(x, s).flatten(1),
                "the patches stand in one row: stack them, do not cat them",
            ),
            Mistake(
                lambda x, s: right(x, s)[0],
                "only the first image is cut: keep the batch dimension",
            ),
            Mistake(
                lambda x, s: right(x.sum(1, keepdim=True), s),
                "the colours are added up: a patch holds all of them",
            ),
            Mistake(
                lambda x, s: torch.stack(
                    [part.flatten(1) for part in x.split(s, 2)], 1
                ),
                "only the height is cut, so patches are strips: cut the width too",
            ),
            Mistake(
                _diagonal,
                "down and across go together, so only patches on the diagonal are cut: one loop inside the other",
            ),
            Mistake(
                _sides_exchanged,
                "height and width are exchanged: images.shape ends with "
                "height, width",
            ),
            Mistake(
                lambda x, s: right(x, s).transpose(0, 1).flatten(0, 1),
                "cat puts the patches behind each other along the batch: "
                "torch.stack(..., dim=1)",
            ),
            Mistake(
                lambda x, s: right(x, s).transpose(0, 1).flatten(1),
                "all images of the batch are put into one patch: flatten(1) "
                "keeps the batch",
            ),
            Mistake(
                lambda x, s: torch.stack(
                    [
                        part.flatten(1)
                        for row in x.chunk(s, 2)
                        for part in row.chunk(s, 3)
                    ],
                    dim=1,
                ),
                "size is the side of a patch, not how many there are: split, "
                "not chunk",
            ),
            *(
                Mistake(of_two, "the patches are always 2 x 2: use size")
                for of_two in (
                    lambda x, s: right(x, 2),
                    lambda x, s: F.unfold(x, 2, stride=2).mT,
                )
            ),
            Mistake(
                lambda x, s: x[:, :, ::s, ::s].flatten(2).mT,
                "one pixel of each patch is kept: keep all",
            ),
            Mistake(
                lambda x, s: F.unfold(x, s, stride=s).reshape(
                    len(x), -1, x.shape[1] * s * s
                ),
                "reshape does not exchange dimensions: transpose(1, 2) makes "
                "F.unfold's columns rows",
            ),
            *(
                Mistake(
                    _order(0, *dims),
                    f"the numbers stand in the order of permute{(0, *dims)}: "
                    "batch, down, across, channel, row, column is asked",
                )
                for dims in permutations(range(1, 6))
            ),
        ],
        praise="the numbers of nn.Unfold, in its order",
    )


def _weights(depth, heads, n):
    return normal(depth, heads, n, n).double().mul(2).softmax(-1)


def attention_rollout(answer):
    """Exercise 4: attention rollout."""
    return check(
        answer,
        oracle=rollout_by_hand,
        cases=[
            Case((_weights(2, 1, 2),), "two blocks, one head, two tokens"),
            Case(
                (_weights(3, 2, 3),), "three blocks, two heads, three tokens"
            ),
            Case((_weights(1, 3, 4),), "one block, three heads, four tokens"),
        ],
        mistakes=WRONG_ROLLOUTS,
        praise="every row sums to 1, through any number of blocks",
    )
