"""Checks of lesson 10's exercises."""

import torch

from attn_course.checks.box_overlaps import (
    all_pairs,
    distance_iou,
    enclosing_from,
    from_centers,
    from_rows,
    from_sizes,
    giou_by_sides,
    giou_of,
    iou,
    iou_of,
    overlap,
    pixel_more,
    read_as,
    row_by_row,
)
from attn_course.checks.box_suppression import (
    common_area,
    counted_twice,
    giou_loop,
    iou_of_centers,
    iou_of_sizes,
    last_forgotten,
    nms_by,
    nms_loop,
    not_clamped,
    over_smaller,
    pixel_iou,
    removed_in_the_loop,
    stops_at_the_first,
)
from attn_course.checks.engine import Case, Mistake, check, check_value


def cheapest(answer):
    """Exercise 1: the lowest total cost of a 3 x 3 matrix."""
    return check_value(
        answer,
        7.0,
        tolerance=1e-3,
        praise="A with 2, B with 1, C with 3: 1 + 4 + 2, though B would "
        "rather have had object 2",
        mistakes=[
            (
                8,
                "that is cheapest first (and the diagonal): B with 2 for 0, "
                "and A must pay 6; try all six",
            ),
            (
                3,
                "one object is taken twice: each row's cheapest is not a "
                "matching",
            ),
            (
                6,
                "that is each object's cheapest query: is one query used "
                "twice?",
            ),
            (15, "that is the most expensive matching: the cheapest is asked"),
            (12, "one of the six, but not the cheapest"),
            (14, "one of the six, but not the cheapest"),
            (34, "that is the sum of all nine costs: choose three"),
            ([2, 1, 3], "that is the matching: what does it cost in all?"),
            ([1, 4, 2], "the right three costs, one number each: add them up"),
        ],
    )


def _boxes(seed, *shape):
    generator = torch.Generator().manual_seed(seed)
    start = 4 * torch.rand(*shape, 2, generator=generator)
    size = 1 + 4 * torch.rand(*shape, 2, generator=generator)
    return torch.cat([start, start + size], dim=-1)


def _box(*numbers):
    return torch.tensor(numbers, dtype=torch.float32)


def giou(answer):
    """Exercise 2: generalised IoU of boxes ``(..., 4)``."""
    return check(
        answer,
        gradients=True,  # of a loss: both boxes learn from it
        oracle=giou_by_sides,
        cases=[
            Case(
                (_box(0, 0, 4, 4), _box(2, 0, 6, 4)), "two boxes that overlap"
            ),
            Case(
                (_box(0, 0, 2, 2), _box(5, 0, 7, 2)), "two boxes side by side"
            ),
            Case(
                (_box(0, 0, 2, 2), _box(5, 3, 7, 6)),
                "two boxes apart in both directions",
            ),
            Case((_boxes(1, 5), _boxes(2, 5)), "five pairs of boxes"),
            Case((_boxes(3, 4, 1), _boxes(4, 3)), "4 x 3 boxes, all pairs"),
        ],
        mistakes=[
            Mistake(
                overlap(iou_of),
                "that is the IoU: take from it the share of the enclosing "
                "box that neither covers",
            ),
            Mistake(
                overlap(giou_of, common=lambda sides: sides.prod(-1)),
                "for boxes apart, the common width or height is negative: "
                "clamp each at 0 before you multiply",
            ),
            Mistake(
                overlap(giou_of, lambda sides: sides.prod(-1).clamp(min=0)),
                "for boxes apart in both directions two negative sides give a "
                "positive area: clamp the sides, not their product",
            ),
            Mistake(
                overlap(iou_of, common=lambda sides: sides.prod(-1)),
                "that is the IoU, and without a clamp: take the empty share "
                "of the enclosing box off, and clamp common sides at 0",
            ),
            Mistake(
                overlap(lambda c, u, e, *_: giou_of(c, u + c, e, 0, 0)),
                "what both cover is counted twice: the union is a + b - "
                "common",
            ),
            Mistake(
                overlap(lambda c, u, e, *_: c / u + (e - u) / e),
                "the empty share of the enclosing box is added: it is a "
                "penalty",
            ),
            Mistake(
                overlap(lambda c, u, e, *_: c / u - (e - u) / u),
                "the empty part is divided by the union: divide by the "
                "enclosing box's area",
            ),
            Mistake(
                overlap(lambda c, u, e, *_: c / u - (e - u)),
                "the empty part is an area: divide it by the enclosing box's",
            ),
            Mistake(
                overlap(lambda c, u, e, *_: c / u - (e - c) / e),
                "empty is what the enclosing box has more than the *union*, "
                "not more than the common part",
            ),
            Mistake(
                overlap(lambda c, u, e, *_: c / u - u / e),
                "what both cover is taken off: take off what neither covers, "
                "enclosing - union",
            ),
            *(
                Mistake(
                    overlap(without_brackets),
                    "brackets are missing: (enclosing - union) / enclosing",
                )
                for without_brackets in (
                    lambda c, u, e, *_: c / u - (e - u / e),
                    lambda c, u, e, *_: c / u - e - u / e,
                )
            ),
            Mistake(
                overlap(
                    lambda c, u, e, one, two: c / one + two - c - (e - u) / e
                ),
                "brackets are missing: common / (a + b - common)",
            ),
            Mistake(
                overlap(lambda c, u, e, one, two: giou_of(c, one, e, 0, 0)),
                "it divides by one box's area: divide by the union",
            ),
            Mistake(
                overlap(
                    lambda c, u, e, one, two: giou_of(
                        c, torch.minimum(one, two), e, 0, 0
                    )
                ),
                "it divides by the smaller box's area: divide by the union",
            ),
            Mistake(
                overlap(lambda c, u, e, *_: giou_of(c, u + 1, e + 1, 0, 0)),
                "1 is added to the areas that it divides by: no area is 0 "
                "here",
            ),
            Mistake(
                overlap(
                    giou_of,
                    lambda sides: sides.clamp(min=0).sum(-1),
                    lambda sides: sides.sum(-1),
                ),
                "width and height are added: an area is their product, prod",
            ),
            Mistake(
                overlap(
                    giou_of,
                    lambda sides: sides.clamp(min=0).prod(),
                    lambda sides: sides.prod(),
                ),
                "prod() multiplies the sides of all boxes: prod(-1) those of "
                "each",
            ),
            Mistake(
                overlap(
                    lambda c, u, e, one, two: giou_of(
                        e, one + two - e, e, 0, 0
                    )
                ),
                "the common part is measured between the outer corners: it "
                "begins at the larger of the low ones, and ends at the "
                "smaller of the high ones",
            ),
            *(
                Mistake(
                    enclosing_from(low, high),
                    "the enclosing box begins at the smaller of the low "
                    "corners, and ends at the larger of the high ones",
                )
                for low, high in (
                    (torch.minimum, torch.minimum),
                    (torch.maximum, torch.maximum),
                    (torch.maximum, torch.minimum),
                )
            ),
            Mistake(
                lambda a, b: 1 - overlap(giou_of)(a, b),
                "that is the loss, 1 - giou: return the giou",
            ),
            Mistake(
                lambda a, b: (1 + overlap(giou_of)(a, b)) / 2,
                "it is moved to 0 to 1: return it as it is, from -1 to 1",
            ),
            Mistake(
                lambda a, b: (iou(a, b), overlap(giou_of)(a, b)),
                "it returns the IoU as well: return the giou alone",
            ),
            Mistake(
                read_as(from_sizes),
                "the boxes are corners x0 y0 x1 y1, not corner and size",
            ),
            Mistake(
                read_as(from_centers),
                "the boxes are corners x0 y0 x1 y1, not centre and size",
            ),
            Mistake(
                read_as(lambda x: x[..., [0, 2, 1, 3]]),
                "the boxes are x0 y0 x1 y1, not x0 x1 y0 y1",
            ),
            Mistake(
                read_as(pixel_more),
                "one pixel is added to each side: corners are points, so a "
                "side is x1 - x0",
            ),
            Mistake(
                read_as(from_rows),
                "a[0] is the first box of several, not x0: the corners stand "
                "in the last dimension, a[..., 0]",
            ),
            Mistake(
                overlap(lambda c, u, e, *_: (e - u) / e),
                "that is the empty share alone: take it from the IoU",
            ),
            Mistake(
                overlap(giou_of, lambda sides: sides.abs().prod(-1)),
                "abs makes a common side of a gap between boxes: clamp at 0",
            ),
            Mistake(
                overlap(lambda c, u, e, *_: c / e),
                "that is the common part's share of the enclosing box: IoU "
                "minus the empty share is asked",
            ),
            Mistake(
                distance_iou,
                "that is the distance IoU: the penalty here is the empty share "
                "of the enclosing box",
            ),
            Mistake(
                all_pairs,
                "it makes all pairs of rows itself: row i of a goes with row "
                "i of b; who wants all pairs gives (n, 1, 4) and (m, 4)",
            ),
            Mistake(
                row_by_row,
                "it goes through a and b as rows, side by side: leave the "
                "leading dimensions as they are, with [..., :2] and [..., 2:]",
            ),
            Mistake(
                lambda a, b: overlap(giou_of)(a, b).mean(),
                "it returns the mean of all pairs: return one number a pair",
            ),
            Mistake(
                lambda a, b: overlap(giou_of)(a, b).clamp(min=0),
                "negative values are cut off, and with them the slope for "
                "boxes apart",
            ),
            Mistake(
                lambda a, b: overlap(giou_of)(a, b).abs(),
                "the sign is lost: boxes far apart have a negative giou",
            ),
        ],
        praise="from -1 to 1, and not flat where boxes are apart",
    )


def nms(answer):
    """Exercise 3: non-maximum suppression."""
    whole = torch.tensor
    chain = whole([[0, 0, 6, 4], [2, 0, 8, 4], [4, 0, 10, 4]])
    # Neighbours of the chain have an IoU of 16 / 32, the ends of 8 / 40.
    pair = whole([[0, 0, 4, 4], [1, 0, 5, 4], [9, 9, 12, 12]])
    generator = torch.Generator().manual_seed(5)
    start = torch.randint(0, 7, (12, 2), generator=generator)
    size = torch.randint(3, 8, (12, 2), generator=generator)
    many = torch.cat([start, start + size], dim=-1)
    order = torch.randperm(12, generator=generator) + 50
    return check(
        answer,
        oracle=nms_loop,
        cases=[
            Case(
                (pair, whole([60, 90, 70]), 0.5),
                "two boxes on one object, one elsewhere",
            ),
            Case(
                (chain, whole([90, 80, 70]), 0.4),
                "a chain: the second overlaps the first and the third",
            ),
            Case(
                (chain, whole([70, 80, 90]), 0.5),
                "an IoU that equals the threshold (it is kept)",
            ),
            Case((many, order, 0.351), "twelve boxes"),
            Case((many, order, 0.151), "twelve boxes, a strict threshold"),
            Case((many[:0], order[:0], 0.5), "no box"),
        ],
        mistakes=[
            Mistake(
                nms_by(order="given"),
                "it goes through the boxes as they come: start with the "
                "highest score",
            ),
            Mistake(
                nms_by(order="worst"),
                "it starts with the lowest score: sort in falling order",
            ),
            Mistake(
                nms_by(against="all"),
                "a box is compared with dropped ones too: only a *kept* box "
                "may drop another",
            ),
            Mistake(
                nms_by(against="last"),
                "a box is compared with the last kept one alone: compare it "
                "with all kept ones",
            ),
            Mistake(
                nms_by(keep="<"),
                "a box is dropped if its IoU is *above* the threshold; an "
                "equal one stays",
            ),
            Mistake(
                nms_by(keep="any"),
                "a box must overlap *every* kept one little, not just one of "
                "them: all, not any",
            ),
            Mistake(
                nms_by(keep=">"),
                "it keeps what overlaps and drops what does not",
            ),
            Mistake(
                nms_by(out="sorted"),
                "the highest score comes first: do not sort the indices at "
                "the end",
            ),
            Mistake(
                nms_by(out="dropped"),
                "those are the dropped ones: return the kept ones",
            ),
            Mistake(
                nms_by(out="mask"),
                "return the indices of the kept boxes, not True and False",
            ),
            Mistake(
                nms_by(out="boxes"),
                "return the indices of the kept boxes, not the boxes",
            ),
            Mistake(
                nms_by(out="scores"),
                "return the indices of the kept boxes, not their scores",
            ),
            Mistake(
                nms_by(out="ranks"),
                "those are positions among the sorted boxes: give each one's "
                "index in boxes, order[i]",
            ),
            Mistake(
                nms_by(against="first"),
                "a box is compared with the first kept one alone: compare it "
                "with all kept ones",
            ),
            Mistake(
                nms_by(iou=pixel_iou),
                "one pixel is added to each side: corners are points here, so "
                "a side is x1 - x0",
            ),
            Mistake(
                nms_by(iou=over_smaller),
                "the common part is divided by the smaller box: IoU divides "
                "by the union",
            ),
            Mistake(
                nms_by(iou=giou_loop),
                "that is the generalised IoU: compare by the plain one",
            ),
            Mistake(
                stops_at_the_first,
                "it stops at the first box that is dropped: go on with the "
                "next (continue, not break)",
            ),
            Mistake(
                lambda b, s, t: s.argsort(descending=True),
                "the boxes are sorted and none is dropped",
            ),
            Mistake(
                nms_by(order="given", against="all"),
                "it goes through the boxes as they come: start with the "
                "highest score; and only a *kept* box may drop another",
            ),
            Mistake(
                removed_in_the_loop,
                "boxes are removed from the list that a loop goes through, so "
                "some are skipped: make a new list instead",
            ),
            Mistake(
                nms_by(iou=counted_twice),
                "what both cover is counted twice: the union is a + b - common",
            ),
            Mistake(
                nms_by(iou=not_clamped),
                "for boxes apart, the common width or height is negative: "
                "clamp each at 0 before you multiply",
            ),
            Mistake(
                nms_by(iou=common_area),
                "the common area is compared with the threshold: divide it by "
                "the union first",
            ),
            Mistake(
                nms_by(iou=iou_of_sizes),
                "the boxes are corners x0 y0 x1 y1, not corner and size",
            ),
            Mistake(
                nms_by(iou=iou_of_centers),
                "the boxes are corners x0 y0 x1 y1, not centre and size",
            ),
            Mistake(
                lambda b, s, t: nms_by()(b, s, 1 - t),
                "the threshold is turned round, 1 - iou_threshold: compare "
                "with it as it is",
            ),
            Mistake(
                lambda b, s, t: nms_by()(b, s, 0.5),
                "the threshold is always 0.5: use iou_threshold",
            ),
            Mistake(
                lambda b, s, t: nms_by()(b, s, t)[1:],
                "the box of the highest score is missing: keep it too",
            ),
            Mistake(
                last_forgotten,
                "the last box that is left is forgotten: go on while there is "
                "one, not while there are two",
            ),
        ],
        praise="the rule that most detectors end with",
    )
