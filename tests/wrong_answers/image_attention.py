"""Answers to lesson 09's exercises: wrong ones with their hint, right ones."""

import functools

import numpy as np
import torch
from torch.nn import functional as F


def reshape_only(images, size):
    return images.reshape(len(images), -1, images.shape[1] * size**2)


def split(images, size):
    b, c, h, w = images.shape
    return images.reshape(b, c, h // size, size, w // size, size)


def not_moved(images, size):
    return split(images, size).reshape(
        len(images), -1, images.shape[1] * size**2
    )


def column_by_column(images, size):
    x = split(images, size).permute(0, 4, 2, 1, 3, 5)
    return x.flatten(3).flatten(1, 2)


def pixels_transposed(images, size):
    x = split(images, size).permute(0, 2, 4, 1, 5, 3)
    return x.flatten(3).flatten(1, 2)


def colours_last(images, size):
    x = split(images, size).permute(0, 2, 4, 3, 5, 1)
    return x.flatten(3).flatten(1, 2)


def not_flattened(images, size):
    return split(images, size).permute(0, 2, 4, 1, 3, 5).flatten(3)


def size_first(images, size):
    b, c, h, w = images.shape
    x = images.reshape(b, c, size, h // size, size, w // size)
    return x.permute(0, 3, 5, 1, 2, 4).flatten(3).flatten(1, 2)


def loop_patchify(images, size):
    h, w = images.shape[2:]
    patches = [
        images[:, :, top : top + size, left : left + size].flatten(1)
        for top in range(0, h, size)
        for left in range(0, w, size)
    ]
    return torch.stack(patches, dim=1)


def first_image(images, size):
    return loop_patchify(images, size)[0]


def one_colour(images, size):
    return loop_patchify(images[:, :1], size)


def mean_colour(images, size):
    return loop_patchify(images.mean(1, keepdim=True), size)


def detached(images, size):
    return loop_patchify(images.detach(), size)


def in_place(images, size):
    images.requires_grad_(False)
    images -= images.mean()
    return loop_patchify(images, size)


def only_small(images, size):
    return loop_patchify(images[:, :, :4, :4], size)


def unfold_patchify(images, size):
    x = images.unfold(2, size, size).unfold(3, size, size)
    # (batch, channels, down, across, size, size)
    x = torch.einsum("bcdaij->bdacij", x)
    return x.flatten(3).flatten(1, 2)


def shuffle_patchify(images, size):
    return F.pixel_unshuffle(images, size).flatten(2).transpose(1, 2)


def numpy_patchify(images, size):
    b, c, h, w = images.shape
    x = images.numpy().reshape(b, c, h // size, size, w // size, size)
    x = x.transpose(0, 2, 4, 1, 3, 5)
    return torch.from_numpy(x.reshape(b, -1, c * size**2))


def half(mean):
    return (mean + torch.eye(len(mean), dtype=mean.dtype)) / 2


def chain(layers):
    return functools.reduce(lambda joint, layer: layer @ joint, layers)


def loop_rollout(weights):
    joint = torch.eye(weights.shape[-1], dtype=weights.dtype)
    for layer in weights:
        joint = half(layer.mean(0)) @ joint
    return joint


def normalised_rollout(weights):
    """As the paper's code does it: add the identity, divide by the row sum."""
    mixed = weights.mean(dim=1) + torch.eye(weights.shape[-1]).double()
    mixed = mixed / mixed.sum(dim=-1, keepdim=True)
    return chain(mixed)


def backward_rollout(weights):
    """From the last block down, multiplying from the right."""
    joint = torch.eye(weights.shape[-1], dtype=weights.dtype)
    for layer in weights.flip(0):
        joint = torch.einsum("im,mj->ij", joint, half(layer.mean(0)))
    return joint


def product_rollout(weights):
    layers = [half(layer.mean(0)) for layer in weights.flip(0)]
    return torch.linalg.multi_dot(layers) if len(layers) > 1 else layers[0]


def no_grad_rollout(weights):
    with torch.no_grad():
        return loop_rollout(weights)


def numpy_rollout(weights):
    joint = np.eye(weights.shape[-1])
    for layer in weights.numpy():
        joint = (layer.mean(0) + np.eye(len(joint))) / 2 @ joint
    return torch.from_numpy(joint)


def entrywise(weights):
    joint = half(weights[0].mean(0))
    for layer in weights[1:]:
        joint = joint * half(layer.mean(0))
    return joint


def ones_for_identity(weights):
    return chain([(w.mean(0) + 1) / 2 for w in weights])


def joined_once(weights):
    return half(chain([w.mean(0) for w in weights]))


def rollout_over_rows(weights):
    joint = identity = torch.eye(weights.shape[-1], dtype=weights.dtype)
    for layer in weights:
        joint = (layer.mean(dim=1) + identity) / 2 @ joint
    return joint


def rollout_over_blocks(weights):
    joint = identity = torch.eye(weights.shape[-1], dtype=weights.dtype)
    for head in weights.mean(dim=0):
        joint = (head + identity) / 2 @ joint
    return joint


def patches_of_one_colour(images, size):
    each = [loop_patchify(colour, size) for colour in images.split(1, dim=1)]
    return torch.cat(each, dim=1)


def as_many_across(images, size):
    side = images.shape[2] // size
    corners = [(i * size, j * size) for i in range(side) for j in range(side)]
    return torch.stack(
        [
            images[..., i : i + size, j : j + size].flatten(1)
            for i, j in corners
        ],
        dim=1,
    )


def stops_too_early(images, size):
    patches = []
    for top in range(0, images.shape[2] - size, size):
        for left in range(0, images.shape[3] - size, size):
            patches.append(images[..., top : top + size, left : left + size])
    return torch.stack([patch.flatten(1) for patch in patches], dim=1)


def eye_patchify(images, size):
    count = images.shape[1] * size**2
    kernel = torch.eye(count, dtype=images.dtype).view(count, -1, size, size)
    return F.conv2d(images, kernel, stride=size).flatten(2).mT


def divided(weights, over):
    return weights / weights.sum(dim=over, keepdim=True)


def every_block(weights):
    found, joint = [], torch.eye(weights.shape[-1], dtype=weights.dtype)
    for layer in weights:
        joint = half(layer.mean(0)) @ joint
        found.append(joint)
    return torch.stack(found)


def head_by_head(weights):
    heads = range(weights.shape[1])
    return sum(loop_rollout(weights[:, [h]]) for h in heads) / len(heads)


def shuffled(*dims):
    """Split both sides, then put the six dimensions in another order."""

    def cut(images, size):
        b, c, h, w = images.shape
        x = images.view(b, c, h // size, size, w // size, size)
        return x.permute(*dims).reshape(b, -1, c * size * size)

    return cut


def width_first(images, size):
    b, c, w, h = images.shape
    x = images.reshape(b, c, h // size, size, w // size, size)
    return x.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


def slices(images, size):
    return [
        images[:, :, top : top + size, left : left + size]
        for top in range(0, images.shape[2], size)
        for left in range(0, images.shape[3], size)
    ]


def as_many_pieces(images, size):
    bands = images.chunk(size, dim=2)
    patches = [patch for band in bands for patch in band.chunk(size, dim=3)]
    return torch.stack([patch.flatten(1) for patch in patches], dim=1)


def never_transposed(images, size):
    columns = F.unfold(images, (size, size), stride=size)
    return columns.reshape(len(images), -1, images.shape[1] * size**2)


def rolled_out(change, start=None, last=lambda joint, depth: joint):
    """Multiply what ``change`` makes of each block's mean, from ``start``."""

    def rollout(weights):
        joint = torch.eye(weights.shape[-1], dtype=weights.dtype)
        joint = joint if start is None else torch.full_like(joint, start)
        for layer in weights.mean(1):
            joint = change(layer) @ joint
        return last(joint, len(weights))

    return rollout


def with_identity(layer):
    return layer + torch.eye(len(layer), dtype=layer.dtype)


def identity_last(weights):
    joint = identity = torch.eye(weights.shape[-1], dtype=weights.dtype)
    for layer in weights.mean(dim=1):
        joint = 0.5 * (layer @ joint + identity)
    return joint


def heads_kept(weights):
    joint = torch.eye(weights.shape[-1], dtype=weights.dtype)
    for layer in weights:
        joint = (layer + torch.eye(layer.shape[-1]).to(layer)) / 2 @ joint
    return joint


def bare(number):
    """The identity is left out of one block."""

    def rollout(weights):
        layers = [half(layer.mean(0)) for layer in weights]
        layers[number] = weights[number].mean(0)
        return chain(layers)

    return rollout


def first_twice(weights):
    joint = half(weights[0].mean(0))
    for layer in weights:
        joint = half(layer.mean(0)) @ joint
    return joint


def mean_to_a_power(weights):
    one = half(weights.mean((0, 1)))
    return chain([one] * len(weights))


WRONG = {
    "tokens": [
        (769, "count patches"),
        (196, "stands before"),
        (14, "one row"),
        (15, "one row"),
        (28, "two sides"),
        (224 * 224, "those are the pixels"),
        (224 * 224 + 1, "not per pixel"),
        (256, "in one patch"),
        (257, "in one patch"),
        (768, "three colours"),
        (3 * 196, "not patches"),
        (56 * 56, "4 x 4"),
        (50, "our 28 x 28"),
        (197**2, "n squared"),
        (3, "not it"),
        ("197", "expected numbers"),
        ([14, 14], "one number"),
        (198, "one token too many"),
    ],
    "margin": [
        (0.019, "four decimals"),
        (0.000613, "under the root"),
        (0.00989, "one standard error"),
        (0.03879, "whole interval"),
        (0.00613, "10,000 images"),
        (0.03099, "use 0.89"),
        (0.01581, "0.5 / sqrt(1000)"),
        (0.3129, "one image"),
        (0.6133, "number of images is missing"),
        (0.01979, "take 1.96"),
        (1.94, "per cent"),
        (1.939, "per cent"),
        (1.9393, "per cent"),
        (0.000192, "square root is missing"),
        (0.0001, "not it"),
        (0.0, "not it"),
        (0.05847, "0.89 alone"),
        (0.5, "not it"),
        ((0.87, 0.91), "one number"),
        (0.02, "rounded too far"),
        (0.89 * 0.11 / 1000, "that is the variance"),
        (1.96 * 0.89 / 1000**0.5, "0.89 squared"),
        (2.576 * (0.89 * 0.11 / 1000) ** 0.5, "99 %"),
        (1.645 * (0.89 * 0.11 / 1000) ** 0.5, "90 %"),
        (0.8706, "lower end"),
        (0.9094, "upper end"),
        ((0.8706, 0.9094), "both ends"),
    ],
    "patchify": [
        (
            lambda x, s: (
                x.unfold(2, s, s)
                .unfold(3, s, s)
                .reshape(len(x), -1, x.shape[1] * s * s)
            ),
            "colours are not brought",
        ),
        (reshape_only, "one row of pixels"),
        (not_moved, "then permute"),
        (column_by_column, "column by column"),
        (pixels_transposed, "exchanged"),
        (colours_last, "colours come last"),
        (not_flattened, "flatten them"),
        (size_first, "all over the image"),
        (lambda x, s: F.unfold(x, s, stride=s), "patches and numbers"),
        (lambda x, s: F.unfold(x, s).transpose(1, 2), "overlap"),
        (lambda x, s: loop_patchify(x.mT, s), "rows and columns"),
        (lambda x, s: loop_patchify(x.flatten(0, 1)[:, None], s), "own"),
        (
            lambda x, s: F.avg_pool2d(x, s).flatten(2).transpose(1, 2),
            "averaged",
        ),
        (first_image, "batch dimension"),
        (one_colour, "first colour"),
        (mean_colour, "averaged"),
        (in_place, "in place"),
        (only_small, "raises RuntimeError"),
        (lambda x, s: loop_patchify(x, s) * (1 + 2j), "complex"),
        (lambda x, s: x.view(-1, s, s, 7), "RuntimeError"),
        (lambda x, s: loop_patchify(x, s).tolist(), "torch tensor"),
        (patches_of_one_colour, "patches of its own"),
        (as_many_across, "as many patches across"),
        (stops_too_early, "are forgotten"),
        (lambda x, s: torch.stack([*loop_patchify(x, s).unbind(1)]), "dim=1"),
        (lambda x, s: loop_patchify(x, s).reshape(len(x), -1), "do not cat"),
        (shuffled(0, 2, 3, 1, 4, 5), "permute(0, 2, 3, 1, 4, 5)"),
        (shuffled(0, 1, 3, 5, 2, 4), "does not exchange"),
        (width_first, "height and width are exchanged"),
        (
            lambda x, s: torch.cat([p.flatten(1) for p in slices(x, s)]),
            "along the batch",
        ),
        (
            lambda x, s: torch.stack([p.flatten() for p in slices(x, s)]),
            "flatten(1)",
        ),
        (as_many_pieces, "split, not chunk"),
        (lambda x, s: F.unfold(x, 2, stride=2).mT, "always 2 x 2"),
        (lambda x, s: shuffle_patchify(x, 2), "always 2 x 2"),
        (
            lambda x, s: torch.stack(
                [p[:, :, 0, 0] for p in slices(x, s)], dim=1
            ),
            "one pixel of each patch",
        ),
        (lambda x, s: loop_patchify(x.sum(1)[:, None], s), "added up"),
        (
            lambda x, s: torch.stack([p.flatten(1) for p in x.split(s, 2)], 1),
            "strips",
        ),
        (never_transposed, "does not exchange"),
    ],
    "attention_rollout": [
        (rollout_over_rows, "no batch here"),
        (rollout_over_blocks, "dimension 0 of weights is the blocks"),
        (lambda w: chain([x.mean(0) for x in w]), "residual is missing"),
        (lambda w: chain([2 * half(x.mean(0)) for x in w]), "divide by 2"),
        (lambda w: loop_rollout(w.flip(0)), "wrong way round"),
        (lambda w: chain([half(x.sum(0)) for x in w]), "take their mean"),
        (lambda w: chain([half(x.amax(0)) for x in w]), "largest head"),
        (lambda w: loop_rollout(w[:, :1]), "first head"),
        (entrywise, "entry by entry"),
        (lambda w: sum(half(x.mean(0)) for x in w), "adds the blocks"),
        (lambda w: half(w.mean((0, 1))), "averages the blocks"),
        (lambda w: loop_rollout(w[-1:]), "last block alone"),
        (lambda w: loop_rollout(w[:1]), "first block alone"),
        (ones_for_identity, "identity (torch.eye)"),
        (joined_once, "its own residual"),
        (lambda w: loop_rollout(w).T, "rows and columns"),
        (lambda w: loop_rollout(w)[0], "class token's row"),
        (lambda w: loop_rollout(w).sum(), "expected shape"),
        (lambda w: loop_rollout(w)[0][1:], "without itself"),
        (lambda w: chain([half(x.amin(0)) for x in w]), "smallest head"),
        (
            lambda w: chain([divided(half(x.amax(0)), 1) for x in w]),
            "divides by the sum",
        ),
        (
            lambda w: chain([divided(half(x.mean(0)), 0) for x in w]),
            "columns are made",
        ),
        (lambda w: loop_rollout(torch.softmax(w, 3)), "taken twice"),
        (lambda w: loop_rollout(w[1:]), "first block is forgotten"),
        (lambda w: loop_rollout(w[:-1]), "last block is forgotten"),
        (every_block, "after every block"),
        (head_by_head, "multiplied through by itself"),
        (rolled_out(half, last=lambda x, _: x.softmax(-1)), "a softmax is"),
        (rolled_out(half, start=1.0), "ones everywhere"),
        (rolled_out(half, start=0.0), "every number is 0"),
        (rolled_out(with_identity, last=lambda x, _: x / 2), "at the end"),
        (rolled_out(lambda x: with_identity(x / 2)), "the identity too"),
        (rolled_out(lambda x: half(x.T)), "transposed"),
        (rolled_out(half, last=lambda x, _: x[1:, 1:]), "class token is left"),
        (
            rolled_out(half, last=lambda x, _: x[0, 1:] / x[0, 1:].max()),
            "by its largest",
        ),
        (identity_last, "before the product"),
        (lambda w: loop_rollout(torch.cat([w, w[-1:]])), "last block is mul"),
        (
            lambda w: chain([half(x.prod(0)) for x in w]),
            "heads are multiplied",
        ),
        (lambda w: w.mean(1).mean(0), "without the identity"),
        (lambda w: loop_rollout(w[-2:]), "last two blocks"),
        (heads_kept, "every head is kept"),
        (bare(0), "first block has no identity"),
        (bare(-1), "last block has no identity"),
        (first_twice, "multiplied in twice"),
        (mean_to_a_power, "raised to a power"),
    ],
}
RIGHT = {
    "tokens": [197, 14 * 14 + 1, torch.tensor(197.0)],
    "margin": [
        1.96 * (0.89 * 0.11 / 1000) ** 0.5,
        0.0194,
        torch.tensor(0.0194),
    ],
    "patchify": [
        loop_patchify,
        unfold_patchify,
        shuffle_patchify,
        detached,
        numpy_patchify,
        lambda x, s: F.unfold(x, s, stride=s).transpose(1, 2),
        eye_patchify,
    ],
    "attention_rollout": [
        loop_rollout,
        normalised_rollout,
        backward_rollout,
        product_rollout,
        no_grad_rollout,
        numpy_rollout,
    ],
}
