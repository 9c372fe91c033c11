"""Suppressions of boxes, a right one and wrong ones, for lesson 10's check."""

import torch

from attn_course.checks.box_overlaps import giou_by_sides


def iou_loop(a, b):
    wide = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    high = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [(x[2] - x[0]) * (x[3] - x[1]) for x in (a, b)]
    return wide * high / (sum(areas) - wide * high)


def nms_loop(boxes, scores, iou_threshold):
    rows, numbers = boxes.tolist(), scores.tolist()
    kept = []
    for i in sorted(range(len(rows)), key=lambda i: -numbers[i]):
        if all(iou_loop(rows[i], rows[j]) <= iou_threshold for j in kept):
            kept.append(i)
    return torch.tensor(kept, dtype=torch.long)


def pixel_iou(a, b):
    return iou_loop([*a[:2], a[2] + 1, a[3] + 1], [*b[:2], b[2] + 1, b[3] + 1])


def over_smaller(a, b):
    """The common part's share of the smaller box."""
    sizes = [(x[2] - x[0]) * (x[3] - x[1]) for x in (a, b)]
    iou = iou_loop(a, b)
    return iou * sum(sizes) / (1 + iou) / min(sizes)


def giou_loop(a, b):
    one, other = (torch.tensor(x, dtype=torch.float32) for x in (a, b))
    return giou_by_sides(one, other).item()


def common_area(a, b):
    wide = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    return wide * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def _area(box):
    return (box[2] - box[0]) * (box[3] - box[1])


def counted_twice(a, b):
    return common_area(a, b) / (_area(a) + _area(b))


def not_clamped(a, b):
    wide = min(a[2], b[2]) - max(a[0], b[0])
    common = wide * (min(a[3], b[3]) - max(a[1], b[1]))
    return common / (_area(a) + _area(b) - common)


def iou_of_sizes(a, b):
    return iou_loop(*([x, y, x + w, y + h] for x, y, w, h in (a, b)))


def iou_of_centers(a, b):
    return iou_loop(
        *(
            [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
            for x, y, w, h in (a, b)
        )
    )


def nms_by(order="best", against="kept", keep="<=", out="index", iou=iou_loop):
    """Non-maximum suppression with one thing changed."""

    def fn(boxes, scores, iou_threshold):
        rows = boxes.tolist()
        ranks = {
            "best": scores.argsort(descending=True, stable=True),
            "worst": scores.argsort(stable=True),
            "given": torch.arange(len(scores)),
        }[order].tolist()
        kept, seen = [], []
        for i in ranks:
            others = {
                "kept": kept,
                "all": seen,
                "last": kept[-1:],
                "first": kept[:1],
            }[against]
            overlaps = [iou(rows[i], rows[j]) for j in others]
            fine = {
                "<=": all(x <= iou_threshold for x in overlaps),
                "<": all(x < iou_threshold for x in overlaps),
                "any": not overlaps
                or any(x <= iou_threshold for x in overlaps),
                ">": not overlaps or all(x > iou_threshold for x in overlaps),
            }[keep]
            seen.append(i)
            if fine:
                kept.append(i)
        if out == "sorted":
            kept = sorted(kept)
        if out == "dropped":
            kept = [i for i in ranks if i not in kept]
        if out == "mask":
            return torch.tensor([i in kept for i in range(len(rows))])
        if out == "boxes":
            return boxes[torch.tensor(kept, dtype=torch.long)]
        if out == "scores":
            return scores[torch.tensor(kept, dtype=torch.long)]
        if out == "ranks":
            kept = [ranks.index(i) for i in kept]
        return torch.tensor(kept, dtype=torch.long)

    return fn


def last_forgotten(boxes, scores, iou_threshold):
    rows, kept = boxes.tolist(), []
    left = scores.argsort(descending=True).tolist()
    while len(left) > 1:
        first, *left = left
        kept.append(first)
        left = [
            i for i in left if iou_loop(rows[first], rows[i]) <= iou_threshold
        ]
    return torch.tensor(kept, dtype=torch.long)


def stops_at_the_first(boxes, scores, iou_threshold):
    rows, kept = boxes.tolist(), []
    for i in scores.argsort(descending=True).tolist():
        if any(iou_loop(rows[i], rows[j]) > iou_threshold for j in kept):
            break
        kept.append(i)
    return torch.tensor(kept, dtype=torch.long)


def removed_in_the_loop(boxes, scores, iou_threshold):
    rows = boxes.tolist()
    left = scores.argsort(descending=True).tolist()
    for i in left:
        for j in left:
            lower = scores[j] < scores[i]
            if lower and iou_loop(rows[i], rows[j]) > iou_threshold:
                left.remove(j)
    return torch.tensor(left, dtype=torch.long)
