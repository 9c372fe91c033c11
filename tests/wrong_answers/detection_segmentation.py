"""Answers to lesson 10's exercises: wrong ones with their hint, right ones."""

import torch

from attn_course import detection_segmentation as det


def sides(a, b):
    low = torch.maximum(a[..., :2], b[..., :2])
    high = torch.minimum(a[..., 2:], b[..., 2:])
    return high - low


def area(x):
    return (x[..., 2] - x[..., 0]) * (x[..., 3] - x[..., 1])


def enclosing(a, b):
    low = torch.minimum(a[..., :2], b[..., :2])
    high = torch.maximum(a[..., 2:], b[..., 2:])
    return (high - low).prod(-1)


def common(a, b):
    return sides(a, b).clamp(min=0).prod(-1)


def union(a, b):
    return area(a) + area(b) - common(a, b)


def iou_only(a, b):
    return common(a, b) / union(a, b)


def right_giou(a, b):
    return iou_only(a, b) - 1 + union(a, b) / enclosing(a, b)


def half_detached(a, b):
    around = (a[..., 2:] - a[..., :2]).prod(-1)  # hides a part of the gradient
    return right_giou(a, b) + around.detach() - around


def by_coordinates(a, b):
    ax0, ay0, ax1, ay1 = a.unbind(-1)
    bx0, by0, bx1, by1 = b.unbind(-1)
    wide = torch.relu(torch.minimum(ax1, bx1) - torch.maximum(ax0, bx0))
    high = torch.relu(torch.minimum(ay1, by1) - torch.maximum(ay0, by0))
    both = wide * high
    either = (ax1 - ax0) * (ay1 - ay0) + (bx1 - bx0) * (by1 - by0) - both
    around = (torch.maximum(ax1, bx1) - torch.minimum(ax0, bx0)) * (
        torch.maximum(ay1, by1) - torch.minimum(ay0, by0)
    )
    return both / either - (around - either) / around


def not_clamped(a, b):
    both = sides(a, b).prod(-1)
    either = area(a) + area(b) - both
    return both / either - (enclosing(a, b) - either) / enclosing(a, b)


def area_clamped(a, b):
    both = sides(a, b).prod(-1).clamp(min=0)
    either = area(a) + area(b) - both
    return both / either - (enclosing(a, b) - either) / enclosing(a, b)


def not_clamped_iou(a, b):
    both = sides(a, b).prod(-1)
    return both / (area(a) + area(b) - both)


def counted_twice(a, b):
    either = area(a) + area(b)
    return common(a, b) / either - (enclosing(a, b) - either) / enclosing(a, b)


def added(a, b):
    return iou_only(a, b) + (enclosing(a, b) - union(a, b)) / enclosing(a, b)


def over_union(a, b):
    return iou_only(a, b) - (enclosing(a, b) - union(a, b)) / union(a, b)


def not_divided(a, b):
    return iou_only(a, b) - (enclosing(a, b) - union(a, b))


def more_than_common(a, b):
    return iou_only(a, b) - (enclosing(a, b) - common(a, b)) / enclosing(a, b)


def over_first(a, b):
    return common(a, b) / area(a) - (enclosing(a, b) - area(a)) / enclosing(
        a, b
    )


def corner_and_size(a, b):
    def whole(x):
        return torch.cat([x[..., :2], x[..., :2] + x[..., 2:]], dim=-1)

    return right_giou(whole(a), whole(b))


def iou_of(boxes, i, j):
    return float(iou_only(boxes[i], boxes[j]))


def nms(boxes, scores, iou_threshold):
    kept = []
    for i in scores.argsort(descending=True).tolist():
        if all(iou_of(boxes, i, j) <= iou_threshold for j in kept):
            kept.append(i)
    return torch.tensor(kept, dtype=torch.long)


def shrinking_nms(boxes, scores, iou_threshold):
    """The other usual way: strike out what overlaps, take the next."""
    rest = scores.argsort(descending=True)
    kept = []
    while len(rest):
        kept.append(rest[0])
        others = boxes[rest[1:]]
        fine = (
            iou_only(boxes[rest[0]].expand_as(others), others) <= iou_threshold
        )
        rest = rest[1:][fine]
    return torch.stack(kept) if kept else rest


def flag_nms(boxes, scores, iou_threshold):
    alive = torch.ones(len(boxes), dtype=torch.bool)
    order = scores.sort(descending=True).indices
    for position, i in enumerate(order):
        if alive[i]:
            for j in order[position + 1 :]:
                if iou_of(boxes, i, j) > iou_threshold:
                    alive[j] = False
    return order[alive[order]]


def as_they_come(boxes, scores, iou_threshold):
    kept = []
    for i in range(len(boxes)):
        if all(iou_of(boxes, i, j) <= iou_threshold for j in kept):
            kept.append(i)
    return torch.tensor(kept, dtype=torch.long)


def worst_first(boxes, scores, iou_threshold):
    return nms(boxes, -scores, iou_threshold)


def dropped_count_too(boxes, scores, iou_threshold):
    order = scores.argsort(descending=True).tolist()
    return torch.tensor(
        [
            i
            for place, i in enumerate(order)
            if all(iou_of(boxes, i, j) <= iou_threshold for j in order[:place])
        ],
        dtype=torch.long,
    )


def last_only(boxes, scores, iou_threshold):
    kept = []
    for i in scores.argsort(descending=True).tolist():
        if not kept or iou_of(boxes, i, kept[-1]) <= iou_threshold:
            kept.append(i)
    return torch.tensor(kept, dtype=torch.long)


def equal_dropped(boxes, scores, iou_threshold):
    kept = []
    for i in scores.argsort(descending=True).tolist():
        if all(iou_of(boxes, i, j) < iou_threshold for j in kept):
            kept.append(i)
    return torch.tensor(kept, dtype=torch.long)


def any_kept(boxes, scores, iou_threshold):
    kept = []
    for i in scores.argsort(descending=True).tolist():
        if not kept or any(iou_of(boxes, i, j) <= iou_threshold for j in kept):
            kept.append(i)
    return torch.tensor(kept, dtype=torch.long)


def keeps_overlapping(boxes, scores, iou_threshold):
    kept = []
    for i in scores.argsort(descending=True).tolist():
        if all(iou_of(boxes, i, j) > iou_threshold for j in kept):
            kept.append(i)
    return torch.tensor(kept, dtype=torch.long)


def dropped_ones(boxes, scores, iou_threshold):
    kept = nms(boxes, scores, iou_threshold).tolist()
    order = scores.argsort(descending=True).tolist()
    return torch.tensor([i for i in order if i not in kept], dtype=torch.long)


def truth_values(boxes, scores, iou_threshold):
    kept = nms(boxes, scores, iou_threshold).tolist()
    return torch.tensor([i in kept for i in range(len(boxes))])


def changed_boxes(change):
    return lambda a, b: right_giou(change(a), change(b))


def centre_and_size(box):
    x, y, wide, high = box.unbind(-1)
    corners = [x - wide / 2, y - high / 2, x + wide / 2, y + high / 2]
    return torch.stack(corners, dim=-1)


def one_pixel_wider(box):
    return box + torch.tensor([0.0, 0.0, 1.0, 1.0])


def common_over_frame(a, b):
    sides = torch.minimum(a, b)[..., 2:] - torch.maximum(a, b)[..., :2]
    frame = torch.maximum(a, b)[..., 2:] - torch.minimum(a, b)[..., :2]
    return sides.relu().prod(-1) / frame.prod(-1)


def distance_iou(a, b):
    frame = torch.maximum(a, b)[..., 2:] - torch.minimum(a, b)[..., :2]
    centres = [(x[..., :2] + x[..., 2:]) / 2 for x in (a, b)]
    distance = (centres[0] - centres[1]).norm(dim=-1)
    return iou_only(a, b) - (distance / frame.norm(dim=-1)) ** 2


def always_pairs(a, b):
    return right_giou(a.unsqueeze(-2), b) if a.dim() > 1 else right_giou(a, b)


def nms_by(overlap, one_less=False):
    """Non-maximum suppression in a loop over what is left."""

    def suppress(boxes, scores, iou_threshold):
        left, kept = scores.argsort(descending=True).tolist(), []
        rows = boxes.double()
        while len(left) > one_less:
            best = left.pop(0)
            kept.append(best)
            left = [
                i
                for i in left
                if overlap(rows[best], rows[i]) <= iou_threshold
            ]
        return torch.tensor(kept)  # of no box: an empty tensor of floats

    return suppress


def plain_overlap(a, b):
    return float(iou_only(a, b))


def pixel_overlap(a, b):
    more = torch.tensor([0, 0, 1, 1])
    return plain_overlap(a + more, b + more)


def share_of_smaller(a, b):
    sides = (torch.minimum(a, b)[2:] - torch.maximum(a, b)[:2]).relu()
    return float(sides.prod() / min((x[2:] - x[:2]).prod() for x in (a, b)))


def first_only(boxes, scores, iou_threshold):
    order = scores.argsort(descending=True)
    rows = boxes[order].double()
    fine = iou_only(rows[:1], rows) <= iou_threshold
    fine[:1] = True
    return order[fine]


def sorted_positions(boxes, scores, iou_threshold):
    order = scores.argsort(descending=True)
    return nms(boxes[order], scores[order], iou_threshold)


def giou_of_parts(combine):
    """Combine the common part ``i``, the union and the enclosing box."""
    return lambda a, b: combine(common(a, b), union(a, b), enclosing(a, b))


def brackets_of_the_union(a, b):
    i, u, c = common(a, b), union(a, b), enclosing(a, b)
    return i / area(a) + area(b) - i - (c - u) / c


def added_sides(a, b):
    i = sides(a, b).clamp(min=0).sum(-1)
    u = (a[..., 2:] - a[..., :2] + b[..., 2:] - b[..., :2]).sum(-1) - i
    low = torch.minimum(a[..., :2], b[..., :2])
    c = (torch.maximum(a[..., 2:], b[..., 2:]) - low).sum(-1)
    return i / u - (c - u) / c


def of_all_boxes(a, b):
    i = sides(a, b).clamp(0).prod()
    u = (a[..., 2:] - a[..., :2]).prod() + (b[..., 2:] - b[..., :2]).prod() - i
    low = torch.minimum(a[..., :2], b[..., :2])
    c = (torch.maximum(a[..., 2:], b[..., 2:]) - low).prod()
    return i / u - (c - u) / c


def inner_for_outer(a, b):
    i = enclosing(a, b)
    u = area(a) + area(b) - i
    return i / u - (enclosing(a, b) - u) / enclosing(a, b)


def frame_too_small(a, b):
    u = union(a, b)
    high = torch.minimum(a[..., 2:], b[..., 2:])
    c = (high - torch.minimum(a[..., :2], b[..., :2])).prod(-1)
    return common(a, b) / u - (c - u) / c


def first_dimension(a, b):
    ax0, ay0, ax1, ay1 = a[0], a[1], a[2], a[3]
    bx0, by0, bx1, by1 = b[0], b[1], b[2], b[3]
    wide = (torch.min(ax1, bx1) - torch.max(ax0, bx0)).clamp(0)
    high = (torch.min(ay1, by1) - torch.max(ay0, by0)).clamp(0)
    u = (ax1 - ax0) * (ay1 - ay0) + (bx1 - bx0) * (by1 - by0) - wide * high
    around = torch.max(ax1, bx1) - torch.min(ax0, bx0)
    around = around * (torch.max(ay1, by1) - torch.min(ay0, by0))
    return wide * high / u - (around - u) / around


def zipped(a, b):
    pairs = zip(a.reshape(-1, 4), b.reshape(-1, 4))
    return torch.stack([right_giou(x, y) for x, y in pairs])


def matrix_unsorted(boxes, scores, iou_threshold):
    above = det.box_iou(boxes[:, None], boxes) > iou_threshold
    return (~above.triu(1).any(0)).nonzero().flatten()


def breaks(boxes, scores, iou_threshold):
    kept = []
    for i in scores.sort(descending=True).indices.tolist():
        if kept and (det.box_iou(boxes[i], boxes[kept]) > iou_threshold).any():
            break
        kept.append(i)
    return torch.tensor(kept, dtype=torch.int64)


def against_itself(boxes, scores, iou_threshold):
    kept = []
    for i in scores.sort(descending=True).indices.tolist():
        if (det.box_iou(boxes[i], boxes) <= iou_threshold).all():
            kept.append(i)
    return torch.tensor(kept, dtype=torch.int64)


def changes_its_list(boxes, scores, iou_threshold):
    order = scores.sort(descending=True).indices.tolist()
    for i in order:
        for j in order:
            near = det.box_iou(boxes[i], boxes[j]) > iou_threshold
            if j != i and scores[j] < scores[i] and near:
                order.remove(j)
    return torch.tensor(order, dtype=torch.int64)


def score_above(boxes, scores, iou_threshold):
    order = scores.sort(descending=True).indices
    return order[scores[order] > iou_threshold]


def matrix_nms(boxes, scores, iou_threshold):
    order = scores.sort(descending=True).indices
    above = det.box_iou(boxes[order][:, None], boxes[order]) > iou_threshold
    alive = torch.ones(len(boxes), dtype=torch.bool)
    for i in range(len(boxes)):
        if alive[i]:
            alive[i + 1 :] &= ~above[i, i + 1 :]
    return order[alive]


def as_corners(change):
    """Suppress boxes that are read as something else first."""
    return lambda b, s, t: det.nms(change(b.float()), s, t)


WRONG = {
    "cheapest": [
        (8, "cheapest first"),
        (3, "taken twice"),
        (6, "used twice"),
        (15, "most expensive"),
        (12, "one of the six"),
        (14, "one of the six"),
        (34, "all nine"),
        (2, "not it"),
        ("7", "expected numbers"),
        ([1, 4, 2], "add them up"),
        ((2, 1, 3), "what does it cost"),
    ],
    "giou": [
        (iou_only, "that is the IoU"),
        (not_clamped, "clamp each at 0"),
        (area_clamped, "clamp the sides"),
        (not_clamped_iou, "without a clamp"),
        (counted_twice, "counted twice"),
        (added, "penalty"),
        (over_union, "divided by the union"),
        (not_divided, "is an area"),
        (more_than_common, "*union*"),
        (over_first, "one box's area"),
        (lambda a, b: 1 - right_giou(a, b), "that is the loss"),
        (corner_and_size, "not corner and size"),
        (lambda a, b: right_giou(a, b).clamp(min=0), "cut off"),
        (lambda a, b: right_giou(a, b).abs(), "sign is lost"),
        (lambda a, b: right_giou(a.detach(), b.detach()), "no gradient"),
        (lambda a, b: right_giou(a.detach(), b), "argument 1"),
        (lambda a, b: right_giou(a, b.detach()), "argument 2"),
        (half_detached, "the gradient at argument 1"),
        (lambda a, b: a[..., 7], "IndexError"),
        (lambda a, b: right_giou(a, b).tolist(), "torch tensor"),
        (changed_boxes(centre_and_size), "centre and size"),
        (changed_boxes(one_pixel_wider), "one pixel"),
        (changed_boxes(lambda x: x[..., [0, 2, 1, 3]]), "not x0 x1 y0 y1"),
        (common_over_frame, "share of the enclosing box"),
        (distance_iou, "distance IoU"),
        (always_pairs, "pairs of rows itself"),
        (lambda a, b: right_giou(a, b).mean(), "one number a pair"),
        (giou_of_parts(lambda i, u, c: i / u - u / c), "both cover is taken"),
        (giou_of_parts(lambda i, u, c: i / u - c - u / c), "brackets"),
        (giou_of_parts(lambda i, u, c: i / u - (c - u / c)), "brackets"),
        (
            giou_of_parts(lambda i, u, c: i / (u + 1) - (c - u) / (c + 1)),
            "1 is added",
        ),
        (giou_of_parts(lambda i, u, c: (i / u, u / c - 1 + i / u)), "as well"),
        (lambda a, b: right_giou(a, b) * 0.5 + 0.5, "moved to 0 to 1"),
        (brackets_of_the_union, "common / (a + b - common)"),
        (added_sides, "width and height are added"),
        (of_all_boxes, "prod(-1) those of each"),
        (inner_for_outer, "between the outer corners"),
        (frame_too_small, "larger of the high ones"),
        (first_dimension, "a[0] is the first box of several"),
        (giou_of_parts(lambda i, u, c: 1 - u / c), "empty share alone"),
        (zipped, "side by side"),
    ],
    "nms": [
        (as_they_come, "as they come"),
        (worst_first, "lowest score"),
        (dropped_count_too, "dropped ones too"),
        (last_only, "last kept one alone"),
        (equal_dropped, "*above* the threshold"),
        (any_kept, "all, not any"),
        (keeps_overlapping, "keeps what overlaps"),
        (lambda b, s, t: nms(b, s, t).sort().values, "do not sort"),
        (dropped_ones, "return the kept ones"),
        (truth_values, "True and False"),
        (lambda b, s, t: b[nms(b, s, t)], "not the boxes"),
        (lambda b, s, t: nms(b, s, t).tolist(), "torch tensor"),
        (nms_by(pixel_overlap), "one pixel"),
        (nms_by(share_of_smaller), "divided by the smaller"),
        (nms_by(lambda a, b: float(right_giou(a, b))), "generalised"),
        (nms_by(plain_overlap, one_less=True), "is forgotten"),
        (first_only, "first kept one alone"),
        (sorted_positions, "sorted boxes"),
        (lambda b, s, t: s[nms(b, s, t)], "not their scores"),
        (lambda b, s, t: nms(b, s, 0.5), "always 0.5"),
        (lambda b, s, t: nms(b, s, t)[1:], "highest score is missing"),
        (matrix_unsorted, "start with the highest score; and only"),
        (breaks, "not break"),
        (against_itself, "same answer whatever"),
        (changes_its_list, "some are skipped"),
        (score_above, "none is dropped"),
        (
            nms_by(lambda a, b: common(a, b) / (area(a) + area(b))),
            "counted twice",
        ),
        (nms_by(common), "divide it by the union first"),
        (as_corners(centre_and_size), "not centre and size"),
        (
            as_corners(
                lambda b: torch.cat([b[:, :2], b[:, :2] + b[:, 2:]], 1)
            ),
            "not corner and size",
        ),
        (lambda b, s, t: nms(b, s, 1 - t), "turned round"),
    ],
}
RIGHT = {
    "cheapest": [7, 7.0, torch.tensor(7)],
    "giou": [
        right_giou,
        by_coordinates,
        giou_of_parts(lambda i, u, c: i / u + u / c - 1),
    ],
    "nms": [
        nms,
        shrinking_nms,
        flag_nms,
        det.nms,
        nms_by(plain_overlap),
        matrix_nms,
    ],
}
