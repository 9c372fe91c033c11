"""Checks of lesson 10's exercises."""

import torch

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


def _oracle_giou(a, b):
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


def _giou(
    clamp=True,
    union="a+b-c",
    enclosing=True,
    sign=-1,
    over="enclosing",
    of="union",
):
    """A generalised IoU with one thing changed."""

    def fn(a, b):
        low = torch.maximum(a[..., :2], b[..., :2])
        high = torch.minimum(a[..., 2:], b[..., 2:])
        sides = high - low
        if clamp == "area":
            common = sides.prod(-1).clamp(min=0)
        else:
            common = (sides.clamp(min=0) if clamp else sides).prod(-1)
        one = (a[..., 2:] - a[..., :2]).prod(-1)
        two = (b[..., 2:] - b[..., :2]).prod(-1)
        both = {
            "a+b-c": one + two - common,
            "a+b": one + two,
            "a": one,
            "min": torch.minimum(one, two),
        }[union]
        around = (
            torch.maximum(a[..., 2:], b[..., 2:])
            - torch.minimum(a[..., :2], b[..., :2])
        ).prod(-1)
        if not enclosing:
            return common / both
        empty = around - (both if of == "union" else common)
        below = {"enclosing": around, "union": both, "one": 1}[over]
        return common / both + sign * empty / below

    return fn


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
        oracle=_oracle_giou,
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
                _giou(enclosing=False),
                "that is the IoU: take from it the share of the enclosing "
                "box that neither covers",
            ),
            Mistake(
                _giou(clamp=False),
                "for boxes apart, the common width or height is negative: "
                "clamp each at 0 before you multiply",
            ),
            Mistake(
                _giou(clamp="area"),
                "for boxes apart in both directions two negative sides give a "
                "positive area: clamp the sides, not their product",
            ),
            Mistake(
                _giou(clamp=False, enclosing=False),
                "that is the IoU, and without a clamp: take the empty share "
                "of the enclosing box off, and clamp common sides at 0",
            ),
            Mistake(
                _giou(union="a+b"),
                "what both cover is counted twice: the union is a + b - "
                "common",
            ),
            Mistake(
                _giou(sign=1),
                "the empty share of the enclosing box is added: it is a "
                "penalty",
            ),
            Mistake(
                _giou(over="union"),
                "the empty part is divided by the union: divide by the "
                "enclosing box's area",
            ),
            Mistake(
                _giou(over="one"),
                "the empty part is an area: divide it by the enclosing box's",
            ),
            Mistake(
                _giou(of="common"),
                "empty is what the enclosing box has more than the *union*, "
                "not more than the common part",
            ),
            Mistake(
                _giou(union="a"),
                "it divides by one box's area: divide by the union",
            ),
            Mistake(
                _giou(union="min"),
                "it divides by the smaller box's area: divide by the union",
            ),
            Mistake(
                lambda a, b: 1 - _giou()(a, b),
                "that is the loss, 1 - giou: return the giou",
            ),
            Mistake(
                lambda a, b: _giou()(_from_sizes(a), _from_sizes(b)),
                "the boxes are corners x0 y0 x1 y1, not corner and size",
            ),
            Mistake(
                lambda a, b: _giou()(_from_centers(a), _from_centers(b)),
                "the boxes are corners x0 y0 x1 y1, not centre and size",
            ),
            Mistake(
                lambda a, b: _giou()(
                    a[..., [0, 2, 1, 3]], b[..., [0, 2, 1, 3]]
                ),
                "the boxes are x0 y0 x1 y1, not x0 x1 y0 y1",
            ),
            Mistake(
                lambda a, b: _giou()(_pixel_more(a), _pixel_more(b)),
                "one pixel is added to each side: corners are points, so a "
                "side is x1 - x0",
            ),
            Mistake(
                _over_enclosing,
                "that is the common part's share of the enclosing box: IoU "
                "minus the empty share is asked",
            ),
            Mistake(
                _distance_iou,
                "that is the distance IoU: the penalty here is the empty share "
                "of the enclosing box",
            ),
            Mistake(
                lambda a, b: (
                    _giou()(a[..., None, :], b[..., None, :, :])
                    if a.dim() > 1
                    else _giou()(a, b)
                ),
                "it makes all pairs of rows itself: row i of a goes with row "
                "i of b; who wants all pairs gives (n, 1, 4) and (m, 4)",
            ),
            Mistake(
                lambda a, b: _giou()(a, b).mean(),
                "it returns the mean of all pairs: return one number a pair",
            ),
            Mistake(
                lambda a, b: _giou()(a, b).clamp(min=0),
                "negative values are cut off, and with them the slope for "
                "boxes apart",
            ),
            Mistake(
                lambda a, b: _giou()(a, b).abs(),
                "the sign is lost: boxes far apart have a negative giou",
            ),
        ],
        praise="from -1 to 1, and not flat where boxes are apart",
    )


def _from_centers(x):
    half = x[..., 2:] / 2
    return torch.cat([x[..., :2] - half, x[..., :2] + half], dim=-1)


def _pixel_more(x):
    return torch.cat([x[..., :2], x[..., 2:] + 1], dim=-1)


def _over_enclosing(a, b):
    iou, giou = _giou(enclosing=False)(a, b), _giou()(a, b)
    return iou * (1 - iou + giou)  # 1 - iou + giou is union / enclosing


def _distance_iou(a, b):
    apart = (a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) / 2
    frame = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(
        a[..., :2], b[..., :2]
    )
    penalty = apart.square().sum(-1) / frame.square().sum(-1)
    return _giou(enclosing=False)(a, b) - penalty


def _from_sizes(x):
    return torch.cat([x[..., :2], x[..., :2] + x[..., 2:]], dim=-1)


def _iou_loop(a, b):
    wide = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    high = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [(x[2] - x[0]) * (x[3] - x[1]) for x in (a, b)]
    return wide * high / (sum(areas) - wide * high)


def _oracle_nms(boxes, scores, iou_threshold):
    rows, numbers = boxes.tolist(), scores.tolist()
    kept = []
    for i in sorted(range(len(rows)), key=lambda i: -numbers[i]):
        if all(_iou_loop(rows[i], rows[j]) <= iou_threshold for j in kept):
            kept.append(i)
    return torch.tensor(kept, dtype=torch.long)


def _pixel_iou(a, b):
    return _iou_loop(
        [*a[:2], a[2] + 1, a[3] + 1], [*b[:2], b[2] + 1, b[3] + 1]
    )


def _over_smaller(a, b):
    """The common part's share of the smaller box."""
    sizes = [(x[2] - x[0]) * (x[3] - x[1]) for x in (a, b)]
    iou = _iou_loop(a, b)
    return iou * sum(sizes) / (1 + iou) / min(sizes)


def _giou_loop(a, b):
    return _oracle_giou(_box(*a), _box(*b)).item()


def _nms(order="best", against="kept", keep="<=", out="index", iou=_iou_loop):
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


def _last_forgotten(boxes, scores, iou_threshold):
    rows, kept = boxes.tolist(), []
    left = scores.argsort(descending=True).tolist()
    while len(left) > 1:
        first, *left = left
        kept.append(first)
        left = [
            i for i in left if _iou_loop(rows[first], rows[i]) <= iou_threshold
        ]
    return torch.tensor(kept, dtype=torch.long)


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
        oracle=_oracle_nms,
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
                _nms(order="given"),
                "it goes through the boxes as they come: start with the "
                "highest score",
            ),
            Mistake(
                _nms(order="worst"),
                "it starts with the lowest score: sort in falling order",
            ),
            Mistake(
                _nms(against="all"),
                "a box is compared with dropped ones too: only a *kept* box "
                "may drop another",
            ),
            Mistake(
                _nms(against="last"),
                "a box is compared with the last kept one alone: compare it "
                "with all kept ones",
            ),
            Mistake(
                _nms(keep="<"),
                "a box is dropped if its IoU is *above* the threshold; an "
                "equal one stays",
            ),
            Mistake(
                _nms(keep="any"),
                "a box must overlap *every* kept one little, not just one of "
                "them: all, not any",
            ),
            Mistake(
                _nms(keep=">"),
                "it keeps what overlaps and drops what does not",
            ),
            Mistake(
                _nms(out="sorted"),
                "the highest score comes first: do not sort the indices at "
                "the end",
            ),
            Mistake(
                _nms(out="dropped"),
                "those are the dropped ones: return the kept ones",
            ),
            Mistake(
                _nms(out="mask"),
                "return the indices of the kept boxes, not True and False",
            ),
            Mistake(
                _nms(out="boxes"),
                "return the indices of the kept boxes, not the boxes",
            ),
            Mistake(
                _nms(out="scores"),
                "return the indices of the kept boxes, not their scores",
            ),
            Mistake(
                _nms(out="ranks"),
                "those are positions among the sorted boxes: give each one's "
                "index in boxes, order[i]",
            ),
            Mistake(
                _nms(against="first"),
                "a box is compared with the first kept one alone: compare it "
                "with all kept ones",
            ),
            Mistake(
                _nms(iou=_pixel_iou),
                "one pixel is added to each side: corners are points here, so "
                "a side is x1 - x0",
            ),
            Mistake(
                _nms(iou=_over_smaller),
                "the common part is divided by the smaller box: IoU divides "
                "by the union",
            ),
            Mistake(
                _nms(iou=_giou_loop),
                "that is the generalised IoU: compare by the plain one",
            ),
            Mistake(
                lambda b, s, t: _nms()(b, s, 0.5),
                "the threshold is always 0.5: use iou_threshold",
            ),
            Mistake(
                lambda b, s, t: _nms()(b, s, t)[1:],
                "the box of the highest score is missing: keep it too",
            ),
            Mistake(
                _last_forgotten,
                "the last box that is left is forgotten: go on while there is "
                "one, not while there are two",
            ),
        ],
        praise="the rule that most detectors end with",
    )
