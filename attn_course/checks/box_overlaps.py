"""Overlaps of boxes, a right one and wrong ones, for lesson 10's check."""

import torch


def giou_by_sides(a, b):
    """The right one, written by coordinates."""
    ax0, ay0, ax1, ay1 = a.unbind(-1)
    bx0, by0, bx1, by1 = b.unbind(-1)

    def least(x, y):
        return torch.where(x < y, x, y)

    def most(x, y):
        return torch.where(x < y, y, x)

    zero = torch.zeros_like(ax0)
    common = most(least(ax1, bx1) - most(ax0, bx0), zero) * most(
        least(ay1, by1) - most(ay0, by0), zero
    )
    union = (ax1 - ax0) * (ay1 - ay0) + (bx1 - bx0) * (by1 - by0) - common
    enclosing = (most(ax1, bx1) - least(ax0, bx0)) * (
        most(ay1, by1) - least(ay0, by0)
    )
    return common / union - (enclosing - union) / enclosing


def _clamped(sides):
    return sides.clamp(min=0).prod(-1)


def _product(sides):
    return sides.prod(-1)


def overlap(combine, common=_clamped, area=_product):
    """Combine common part, union, enclosing box, first and second area."""

    def fn(a, b):
        low = torch.maximum(a[..., :2], b[..., :2])
        high = torch.minimum(a[..., 2:], b[..., 2:])
        inner = common(high - low)
        one = area(a[..., 2:] - a[..., :2])
        two = area(b[..., 2:] - b[..., :2])
        around = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(
            a[..., :2], b[..., :2]
        )
        return combine(inner, one + two - inner, area(around), one, two)

    return fn


def iou_of(c, u, e, one, two):
    return c / u


def giou_of(c, u, e, one, two):
    return c / u - (e - u) / e


iou, giou = overlap(iou_of), overlap(giou_of)


def enclosing_from(low, high):
    """A GIoU whose enclosing box has other corners."""

    def fn(a, b):
        first, last = low(a[..., :2], b[..., :2]), high(a[..., 2:], b[..., 2:])
        around = (last - first).prod(-1)
        return overlap(lambda c, u, *_: c / u - (around - u) / around)(a, b)

    return fn


def row_by_row(a, b):
    return torch.stack(
        [giou(x, y) for x, y in zip(a.reshape(-1, 4), b.reshape(-1, 4))]
    )


def all_pairs(a, b):
    if a.dim() == 1:
        return giou(a, b)
    return giou(a[..., None, :], b[..., None, :, :])


def distance_iou(a, b):
    apart = (a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) / 2
    frame = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(
        a[..., :2], b[..., :2]
    )
    penalty = apart.square().sum(-1) / frame.square().sum(-1)
    return iou(a, b) - penalty


def read_as(change):
    """A GIoU of boxes that are read in another way."""
    return lambda a, b: giou(change(a), change(b))


def from_rows(x):
    return torch.stack([x[n] for n in range(4)], dim=-1)


def from_centers(x):
    half = x[..., 2:] / 2
    return torch.cat([x[..., :2] - half, x[..., :2] + half], dim=-1)


def from_sizes(x):
    return torch.cat([x[..., :2], x[..., :2] + x[..., 2:]], dim=-1)


def pixel_more(x):
    return torch.cat([x[..., :2], x[..., 2:] + 1], dim=-1)
