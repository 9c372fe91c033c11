"""Lesson 10's module: scenes, boxes, matching, detector, loss, evaluation."""

import contextlib
import io
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from scipy.optimize import linear_sum_assignment

from attn_course import detection_segmentation as lesson
from attn_course.data import fashion_mnist
from attn_course.transformer import DecoderLayer, Encoder
from attn_course.widgets import detection_segmentation as views
from tests.host_reads import HostReads

SIDE = 16


def articles():
    """Two classes of bright articles on black: a disc and a bar, 8 x 8."""
    line = torch.arange(8) - 3.5
    disc = (line[:, None] ** 2 + line**2 < 12).byte() * 200
    bar = ((line[:, None].abs() < 4) & (line.abs() < 2)).byte() * 150
    return torch.stack([disc, bar, bar]), torch.tensor([0, 1, 1])


def scenes(count=6, **options):
    options = {"side": SIDE, "sizes": (5.0, 9.0), "pieces": 1, **options}
    return lesson.compose(*articles(), count, **options)


def model(classes=2, **options):
    options = {"dim": 16, "heads": 2, "mlp_dim": 16, "side": SIDE, **options}
    return lesson.Detector(classes, **{"queries": 5, "groups": 2, **options})


def _cxcywh(masks):
    return lesson.box_xyxy_to_cxcywh(lesson.masks_to_boxes(masks) / SIDE)


def objects(labels, boxes, scores=None, side=SIDE):
    """Objects whose masks fill their boxes, rounded outwards."""
    boxes = torch.tensor(boxes, dtype=torch.float64).view(-1, 4)
    grid = torch.arange(side)
    masks = torch.zeros(len(boxes), side, side, dtype=torch.bool)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes):
        mask[:] = ((grid >= y0) & (grid < y1))[:, None] & (
            (grid >= x0) & (grid < x1)
        )
    return lesson.Instances(
        torch.tensor(labels, dtype=torch.long),
        boxes,
        masks,
        None if scores is None else torch.tensor(scores, dtype=torch.float64),
    )


# --- scenes ------------------------------------------------------------------


def test_scenes_are_repeatable_and_seeds_differ():
    first, again, other = scenes(), scenes(), scenes(seed=1)
    for name in ("images", "instance_map", "labels", "boxes"):
        assert torch.equal(getattr(first, name), getattr(again, name))
    assert not torch.equal(first.images, other.images)


@settings(max_examples=25)
@given(st.integers(0, 99), st.integers(0, 3), st.integers(0, 3))
def test_every_object_has_pixels_and_a_tight_box(seed, fewest, more):
    made = scenes(5, seed=seed, objects=(fewest, fewest + more))
    assert made.instance_map.shape == (5, SIDE, SIDE)
    for row in range(5):
        present = set(made.instance_map[row].unique().tolist()) - {-1}
        slots = (made.labels[row] >= 0).nonzero()[:, 0].tolist()
        assert present == set(slots)
        assert len(slots) <= fewest + more
        for slot in slots:
            y, x = (made.instance_map[row] == slot).nonzero().T
            box = lesson.box_cxcywh_to_xyxy(made.boxes[row, slot]) * SIDE
            expected = [x.min(), y.min(), x.max() + 1, y.max() + 1]
            torch.testing.assert_close(box, torch.tensor(expected).float())
        empty = made.labels[row] < 0
        assert (made.boxes[row, empty] == 0).all()


def test_enough_of_each_object_stays_in_view():
    pictures, labels = articles()
    made = lesson.compose(
        pictures,
        labels,
        300,
        side=SIDE,
        sizes=(8.0, 8.0),
        visible=0.6,
        objects=(3, 3),
        pieces=0,
    )
    filled = (pictures > 25).flatten(1).sum(1).float()  # at this size
    seen = made.masks().flatten(2).sum(-1)  # (n, slots)
    for label, whole in ((0, filled[0]), (1, filled[1])):
        own = seen[made.labels == label]
        assert (own >= 0.6 * whole - 1e-3).all()
        assert (own < whole).any()  # some are partly hidden, or cut off


def test_some_objects_touch_the_border_and_some_overlap():
    made = scenes(200, objects=(3, 3))
    box = lesson.box_cxcywh_to_xyxy(made.boxes[made.labels >= 0])
    assert (box[:, 0] == 0).any() and (box[:, 3] == 1).any()
    assert ((box >= 0) & (box <= 1)).all()
    overlaps = lesson.box_iou(box[:, None], box).triu(1)
    assert (overlaps > 0).any()


def test_classes_are_equally_likely_whatever_their_number_of_pictures():
    made = scenes(1000, objects=(1, 1))
    counts = made.labels[made.labels >= 0].bincount()
    assert abs(counts[0] / counts.sum() - 0.5) < 0.06


def test_no_object_and_no_scene():
    empty = scenes(3, objects=(0, 0))
    assert (empty.labels == -1).all() and (empty.instance_map == -1).all()
    assert [len(o.labels) for o in empty.instances()] == [0, 0, 0]
    assert len(scenes(0)) == 0


def test_mirror_twice_is_nothing_and_boxes_go_along():
    made = scenes(8)
    flip = torch.arange(8) % 2 == 0
    once = made.hflip(flip)
    assert not torch.equal(once.images[0], made.images[0])
    assert torch.equal(once.images[1], made.images[1])
    tight = _cxcywh(once.masks())
    torch.testing.assert_close(once.boxes, tight)
    twice = once.hflip(flip)
    assert torch.equal(twice.images, made.images)
    torch.testing.assert_close(twice.boxes, made.boxes)


def test_paste_at_its_own_size_is_a_copy():
    picture = torch.rand(1, 8, 8)
    at = torch.tensor
    drawn = lesson.paste(picture, at([3.0]), at([5.0]), at([8.0]), SIDE)
    torch.testing.assert_close(drawn[0, 3:11, 5:13], picture[0])
    assert drawn[0, :3].abs().sum() == 0 and drawn[0, :, :5].abs().sum() == 0


def test_paste_smaller_keeps_the_mean():
    picture = torch.full((1, 8, 8), 0.5)
    start, size = torch.tensor([4.0]), torch.tensor([4.0])
    drawn = lesson.paste(picture, start, start, size, SIDE)
    torch.testing.assert_close(drawn.sum(), torch.tensor(0.5 * 16))


def test_foreground_masks_fill_holes_within_one_picture_only():
    ring = torch.full((5, 5), 200, dtype=torch.uint8)
    ring[2, 2] = 0
    ring[0] = 0
    notch = ring.clone()
    notch[2, 2:] = 0
    masks = lesson.foreground_masks(torch.stack([ring, notch]))
    assert masks[0, 1:].all() and not masks[0, 0].any()
    assert not masks[1, 2, 2:].any()


def test_lesson_data_come_from_the_right_split():
    pictures, labels = fashion_mnist.load("test")
    made = lesson.compose(pictures, lesson.coarse_labels(labels), 20)
    known = {-1, *range(len(lesson.COARSE_CLASSES))}
    assert set(made.labels.unique().tolist()) <= known
    names = {
        fashion_mnist.CLASSES[c]: lesson.COARSE_CLASSES[k]
        for c, k in enumerate(lesson.COARSE_LABEL_OF)
    }
    assert names["Sandal"] == names["Ankle boot"] == "shoe"
    assert names["Dress"] == names["Coat"] == "top"
    assert names["Bag"] == "bag" and names["Trouser"] == "trousers"


def batch_numbers(made, steps, seed=3, size=4):
    """Which scenes, in which order, flipped or not, by their pictures."""
    batches = lesson.scene_batches(made, size, seed=seed)
    images = torch.cat([batches(step).images for step in steps])
    same = (images[:, None] == made.images).flatten(2).all(-1)
    flipped = (images[:, None] == made.images.flip(-1)).flatten(2).all(-1)
    assert ((same | flipped).sum(1) == 1).all()
    return (same | flipped).int().argmax(1), flipped.any(1)


def test_batches_show_every_scene_once_an_epoch_in_a_new_order():
    made = scenes(14)  # two of them fill no batch
    first, flipped = batch_numbers(made, range(3))
    second, flipped_later = batch_numbers(made, range(3, 6))
    for order in (first, second):
        assert len(set(order.tolist())) == 12
    assert not torch.equal(first, torch.arange(14)[:12])  # shuffled
    assert not torch.equal(first, second)  # each epoch anew
    assert not torch.equal(flipped, flipped_later)
    again = batch_numbers(made, range(3))
    assert torch.equal(again[0], first) and torch.equal(again[1], flipped)
    assert not torch.equal(batch_numbers(made, range(3), seed=4)[0], first)


def test_batches_do_not_depend_on_what_was_asked_before():
    made = scenes(12)
    forward, backward = (lesson.scene_batches(made, 4) for _ in range(2))
    last = [forward(step) for step in range(7)][-1]
    assert torch.equal(last.images, backward(6).images)


def test_half_of_the_scenes_in_batches_are_flipped():
    made = scenes(100)
    _, flipped = batch_numbers(made, range(20), size=25)
    assert abs(flipped.float().mean() - 0.5) < 0.07  # 500 coins


# --- boxes -------------------------------------------------------------------

WHOLE = st.integers(0, 12)


def whole_box(x, y, w, h):
    return torch.tensor([x, y, x + w + 1.0, y + h + 1.0], dtype=torch.float64)


BOX = st.builds(whole_box, WHOLE, WHOLE, WHOLE, WHOLE)


@given(BOX, BOX)
def test_iou_counts_pixels(a, b):
    def pixels(box):
        x0, y0, x1, y1 = box.int().tolist()
        return {(x, y) for x in range(x0, x1) for y in range(y0, y1)}

    one, two = pixels(a), pixels(b)
    expected = len(one & two) / len(one | two)
    assert lesson.box_iou(a, b).item() == pytest.approx(expected)
    torch.testing.assert_close(lesson.box_iou(a, b), lesson.box_iou(b, a))


@given(BOX, BOX)
def test_iou_equals_pycocotools(a, b):
    def sizes(box):
        return np.array([[*box[:2], *(box[2:] - box[:2])]])

    expected = coco_mask.iou(sizes(a), sizes(b), [0])[0, 0]
    assert lesson.box_iou(a, b).item() == expected  # to the last bit


@given(BOX, BOX)
def test_giou_counts_pixels_of_the_enclosing_box(a, b):
    low = torch.minimum(a[:2], b[:2])
    high = torch.maximum(a[2:], b[2:])
    enclosing = float((high - low).prod())
    wide = (torch.minimum(a[2:], b[2:]) - torch.maximum(a[:2], b[:2])).tolist()
    common = max(wide[0], 0) * max(wide[1], 0)
    union = float((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod()) - common
    expected = common / union - (enclosing - union) / enclosing
    giou = lesson.generalized_box_iou(a, b).item()
    assert giou == pytest.approx(expected)
    assert -1 < giou <= lesson.box_iou(a, b).item() + 1e-12


def test_giou_has_a_slope_where_the_iou_is_flat():
    still = whole_box(0, 0, 3, 3)
    for far, flat in ((2.0, False), (9.0, True)):
        box = (still + torch.tensor([far, 0, far, 0])).requires_grad_()
        slope = torch.autograd.grad(lesson.box_iou(box, still), box)[0]
        assert bool((slope == 0).all()) is flat
        slope = torch.autograd.grad(
            lesson.generalized_box_iou(box, still), box
        )[0]
        assert slope[0] < 0  # nearer is better


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_boxes_without_area_are_finite(dtype, device):
    if "mps" in device and dtype == torch.float64:
        pytest.skip("MPS has no float64")
    point = torch.zeros(1, 4, dtype=dtype, device=device, requires_grad=True)
    for measure in (lesson.box_iou, lesson.generalized_box_iou):
        value = measure(point, point.detach())
        assert value.item() == 0
        assert torch.autograd.grad(value.sum(), point)[0].isfinite().all()


@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.int64, torch.uint8]
)
def test_half_precision_and_whole_numbers_are_compared_in_float32(dtype):
    a = torch.tensor([[0, 0, 250, 250], [0, 0, 4, 4]]).to(dtype)
    b = torch.tensor([[0, 0, 250, 250], [2, 0, 6, 4]]).to(dtype)
    for measure, expected in (
        (lesson.box_iou, [1, 1 / 3]),
        (lesson.generalized_box_iou, [1, 1 / 3]),
    ):
        value = measure(a, b)  # 250 * 250 fits neither float16 nor uint8
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, torch.tensor(expected))
    apart = torch.tensor([7, 0, 9, 2]).to(dtype)
    still = torch.tensor([0, 0, 2, 2]).to(dtype)
    giou = lesson.generalized_box_iou(apart, still).item()
    assert giou == pytest.approx(-10 / 18)
    assert lesson.nms(a[[0, 0, 1]], torch.tensor([1.0, 3, 2])).tolist() == [
        1,
        2,
    ]


WHOLE = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


@pytest.mark.parametrize("dtype", [*WHOLE, torch.float16, torch.bfloat16])
def test_both_forms_of_a_box_are_computed_in_float32(dtype, device):
    boxes = torch.tensor([[100, 101, 120, 124]], device=device).to(dtype)
    expected = torch.tensor([[110, 112.5, 20, 23]], device=device)
    found = lesson.box_xyxy_to_cxcywh(boxes)  # 100 + 120 fits no int8
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        lesson.box_cxcywh_to_xyxy(expected.to(dtype)),
        lesson.box_cxcywh_to_xyxy(expected.to(dtype).float()),
    )


def test_far_boxes_of_half_precision_have_a_middle():
    far = torch.tensor([40_000.0, 40_000, 60_000, 60_000]).half()
    found = lesson.box_xyxy_to_cxcywh(far)  # 100,000 fits no float16
    expected = lesson.box_xyxy_to_cxcywh(far.double())
    torch.testing.assert_close(found.double(), expected)
    assert lesson.generalized_box_iou(far, far).item() == 1


@pytest.mark.parametrize(
    "dtype", [*WHOLE, torch.float16, torch.bfloat16, torch.float64]
)
def test_masks_may_be_zeros_and_ones_of_any_type(dtype, device):
    if "mps" in device and dtype == torch.float64:
        pytest.skip("MPS has no float64")
    masks = torch.zeros(2, 300, 300, dtype=torch.bool, device=device)
    masks[0, 10:, 20:] = masks[1, :, 160:] = True  # more than 65,504 pixels
    for measure in (
        lesson.masks_to_boxes,
        lambda x: lesson.mask_iou(x, x),
        lambda x: lesson.mask_iou(x, masks),
    ):
        torch.testing.assert_close(measure(masks.to(dtype)), measure(masks))
    iou = lesson.mask_iou(masks, masks.to(dtype))[0, 1].item()
    assert iou == 290 * 140 / (290 * 280 + 300 * 140 - 290 * 140)


@pytest.mark.parametrize(
    "masks",
    [
        torch.randn(1, 4, 4),  # logits
        torch.full((1, 4, 4), 0.7),  # probabilities
        torch.full((1, 4, 4), 255, dtype=torch.uint8),  # a picture
        torch.full((1, 4, 4), torch.nan),
    ],
)
def test_what_is_no_mask_is_refused_in_words(masks):
    right = torch.ones(1, 4, 4, dtype=torch.bool)
    with pytest.raises(ValueError, match="masks: expected masks of False"):
        lesson.masks_to_boxes(masks)
    with pytest.raises(ValueError, match="a: expected masks of False"):
        lesson.mask_iou(masks, right)
    with pytest.raises(ValueError, match="b: expected masks of False"):
        lesson.mask_iou(right, masks)


ROW = torch.tensor([[0.0, 0, 1, 1]])
PIXELS = torch.ones(1, 4, 4, dtype=torch.bool)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: lesson.box_iou(ROW[:, :3], ROW), "a: .* dimension 4, got"),
        (lambda: lesson.box_iou(ROW, ROW.numpy()), "b: .* tensor, got nd"),
        (lambda: lesson.generalized_box_iou(ROW, ROW[0, :2]), "b: .*(2,)"),
        (lambda: lesson.box_xyxy_to_cxcywh(ROW[:, :3]), "boxes: .*(1, 3)"),
        (lambda: lesson.box_cxcywh_to_xyxy(ROW.tolist()), "boxes: .* list"),
        (lambda: lesson.nms(ROW[:, :3], ROW[0, :1]), "boxes: .* dimension 4"),
        (lambda: lesson.nms(ROW * torch.nan, ROW[0, :1]), "boxes: .* nan"),
        (lambda: lesson.mask_iou(PIXELS, PIXELS[..., 1:]), "b: .*size of a"),
        (lambda: lesson.coarse_labels(torch.tensor([3, 10])), "0 to 9, got 3"),
        (lambda: lesson.coarse_labels(torch.tensor([-1])), "labels: .*-1"),
    ],
)
def test_odd_boxes_and_masks_are_refused_in_words(call, words, own_errors):
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize("dtype", WHOLE)
def test_labels_of_any_whole_number_are_grouped(dtype):
    labels = torch.tensor([3, 9, 0]).to(dtype)  # uint8 is no mask here
    assert lesson.coarse_labels(labels).tolist() == [0, 2, 0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_large_masks_of_half_precision_have_a_finite_loss(dtype):
    side = 640  # 320 * 320 pixels: float16 counts to 65,504
    made = lesson.Scenes(
        torch.zeros(1, side, side, dtype=torch.uint8),
        torch.zeros(1, side, side, dtype=torch.int8),
        torch.zeros(1, 1, dtype=torch.long),
        torch.tensor([[[0.5, 0.5, 1, 1]]]),
    )
    output = lesson.DetectorOutput(
        torch.zeros(1, 1, 2, 3, dtype=dtype),
        torch.full((1, 1, 2, 4), 0.5, dtype=dtype),
        torch.full((1, 2, side // 2, side // 2), 2, dtype=dtype),
        None,
        None,
    )
    losses = lesson.set_loss(output, made)
    covered = torch.tensor(2.0).sigmoid()
    expected = 1 - 2 * covered / (1 + covered)
    torch.testing.assert_close(losses.dice, expected, rtol=1e-3, atol=0)


def test_numbers_in_float64_stay_so():
    a, b = whole_box(0, 0, 1, 1), whole_box(0, 0, 2, 2).int()
    assert lesson.box_iou(a, a).dtype == torch.float64
    assert lesson.box_iou(a, b).item() == pytest.approx(4 / 9)


def test_odd_predictions_are_refused_in_words():
    right = objects([1], [[0, 0, 4, 4]], [0.5])
    for labels in ([-1], [2]):
        odd = right._replace(labels=torch.tensor(labels))
        with pytest.raises(ValueError, match="predictions: .*0 to 1, got"):
            lesson.evaluate_detections([odd], [right], 2)
        with pytest.raises(ValueError, match="targets: .*0 to 1, got"):
            lesson.evaluate_detections([right], [odd], 2)
    with pytest.raises(ValueError, match="predictions: .*per scene, 2, got 1"):
        lesson.matched_mask_ious([right], [right, right])
    with pytest.raises(ValueError, match="predictions: .*two objects, got 0"):
        lesson.between_query_variance([])
    with pytest.raises(ValueError, match="predictions: .*queries .*None"):
        lesson.between_query_variance([right, right])


@pytest.mark.parametrize("iou_type", ["boxes", "masks"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.int64])
def test_predictions_of_any_type_and_with_gradients_are_judged(
    dtype, iou_type
):
    truth = objects([0, 1], [[0, 0, 4, 4], [4, 4, 9, 9]], [0.25, 0.5])
    odd = truth._replace(
        boxes=truth.boxes.to(dtype),
        scores=truth.scores.half().requires_grad_(),
        masks=truth.masks.to(torch.uint8),
    )
    if dtype.is_floating_point:
        odd.boxes.requires_grad_()
    judged = lesson.evaluate_detections([odd], [truth], 2, iou_type=iou_type)
    assert judged.mean_average_precision() == 1


@settings(max_examples=40)
@given(st.lists(BOX, min_size=1, max_size=5), st.lists(BOX, min_size=1))
def test_boxes_equal_detr(a, b):
    """The code of DETR's authors, as transformers has it."""
    from transformers.loss import loss_for_object_detection as detr

    a, b = torch.stack(a), torch.stack(b)
    torch.testing.assert_close(
        lesson.generalized_box_iou(a[:, None], b),
        detr.generalized_box_iou(a, b),
    )
    torch.testing.assert_close(
        lesson.box_iou(a[:, None], b), detr.box_iou(a, b)[0]
    )
    boxes = lesson.box_xyxy_to_cxcywh(a)
    torch.testing.assert_close(detr.center_to_corners_format(boxes), a)
    torch.testing.assert_close(lesson.box_cxcywh_to_xyxy(boxes), a)


@settings(max_examples=40)
@given(st.integers(0, 9999))
def test_masks_to_boxes_by_loop(seed):
    generator = torch.Generator().manual_seed(seed)
    masks = torch.rand(2, 3, 5, 7, generator=generator) < 0.05
    boxes = lesson.masks_to_boxes(masks)
    for i, j in itertools.product(range(2), range(3)):
        rows, columns = masks[i, j].nonzero().T.tolist()
        expected = [0.0] * 4
        if rows:
            ends = [max(columns) + 1, max(rows) + 1]
            expected = [min(columns), min(rows), *ends]
        assert boxes[i, j].tolist() == expected


def test_all_pairs_by_broadcasting():
    a, b = torch.rand(4, 4), torch.rand(3, 4)
    a[:, 2:] += 1
    b[:, 2:] += 1
    table = lesson.box_iou(a[:, None], b)
    assert table.shape == (4, 3)
    for i, j in itertools.product(range(4), range(3)):
        torch.testing.assert_close(table[i, j], lesson.box_iou(a[i], b[j]))


# --- matching ----------------------------------------------------------------


@settings(max_examples=60)
@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 10_000))
def test_hungarian_matching_is_the_cheapest_of_all_permutations(
    queries, objects_, seed
):
    generator = torch.Generator().manual_seed(seed)
    cost = torch.randint(-5, 6, (queries, objects_), generator=generator)
    cost = cost.double()
    rows, columns = lesson.hungarian_matching(cost)
    assert len(rows) == min(queries, objects_)
    assert len(set(rows.tolist())) == len(set(columns.tolist())) == len(rows)
    tall = cost if queries >= objects_ else cost.T
    best = min(
        sum(tall[r, c] for c, r in enumerate(order)).item()
        for order in itertools.permutations(range(len(tall)), tall.shape[1])
    )
    assert cost[rows, columns].sum().item() == best
    expected = linear_sum_assignment(cost.numpy())
    assert rows.tolist() == expected[0].tolist()


def test_greedy_is_not_enough():
    cost = torch.tensor([[1.0, 2, 6], [2, 5, 7], [6, 7, 9]])
    greedy = sum(cost[pair].item() for pair in views.greedy_matching(cost))
    rows, columns = lesson.hungarian_matching(cost)
    assert (greedy, cost[rows, columns].sum().item()) == (15, 13)


def test_matches_do_not_depend_on_the_order_of_objects_or_queries():
    made = scenes(4, objects=(2, 3))
    logits = torch.randn(4, 6, 3)
    boxes = torch.rand(4, 6, 4) * 0.5 + 0.2
    matches = lesson.match(logits, boxes, made)
    turned = lesson.match(logits.flip(1), boxes.flip(1), made)
    one = set(zip(*(x.tolist() for x in matches)))
    two = {(i, 5 - q, s) for i, q, s in zip(*(x.tolist() for x in turned))}
    assert one == two


def test_groups_are_matched_each_by_itself():
    made = scenes(3, objects=(2, 2))
    logits, boxes = torch.randn(3, 8, 3), torch.rand(3, 8, 4) * 0.5 + 0.2
    both = lesson.match(logits, boxes, made, groups=2)
    for group in (0, 1):
        part = slice(4 * group, 4 * group + 4)
        alone = lesson.match(logits[:, part], boxes[:, part], made)
        own = both.query // 4 == group
        assert torch.equal(both.query[own] - 4 * group, alone.query)
        assert torch.equal(both.slot[own], alone.slot)


def test_costs_by_hand():
    made = scenes(1, objects=(1, 1))
    logits = torch.tensor([[[1.0, 2.0, 0.5]]])
    boxes = torch.tensor([[[0.5, 0.5, 0.4, 0.2]]])
    label = int(made.labels[0, 0])
    box, target = (
        lesson.box_cxcywh_to_xyxy(x[0, 0]) for x in (boxes, made.boxes)
    )
    expected = (
        -logits[0, 0].softmax(-1)[label]
        + 5 * (boxes[0, 0] - made.boxes[0, 0]).abs().sum()
        - 2 * lesson.generalized_box_iou(box, target)
    )
    torch.testing.assert_close(
        lesson.matching_cost(logits, boxes, made)[0, 0, 0], expected
    )


def detr_targets(made):
    """Scenes as DETR has them: one dictionary per image."""
    rows = zip(made.labels, made.boxes)
    return [
        {"class_labels": labels[labels >= 0], "boxes": boxes[labels >= 0]}
        for labels, boxes in rows
    ]


def test_matches_equal_detr():
    from transformers.loss.loss_for_object_detection import HungarianMatcher

    matcher = HungarianMatcher(class_cost=1, bbox_cost=5, giou_cost=2)
    for seed in range(5):
        made = scenes(4, objects=(1, 3), seed=seed)
        logits = torch.randn(4, 6, 3)
        boxes = torch.rand(4, 6, 4) * 0.5 + 0.2
        expected = matcher(
            {"logits": logits, "pred_boxes": boxes}, detr_targets(made)
        )
        matches = lesson.match(logits, boxes, made)
        for image, (queries, objects_) in enumerate(expected):
            own = matches.image == image
            slots = (made.labels[image] >= 0).nonzero()[:, 0]
            assert torch.equal(matches.query[own], queries)
            assert torch.equal(matches.slot[own], slots[objects_])


def test_matching_of_half_precision():
    cost = torch.tensor([[1.0, 2], [3, 1]]).bfloat16()
    rows, columns = lesson.hungarian_matching(cost)
    assert (rows.tolist(), columns.tolist()) == ([0, 1], [0, 1])


# --- the model ---------------------------------------------------------------


def test_the_layers_are_those_of_lesson_06():
    net = model()
    assert type(net.encoder) is Encoder
    assert all(type(layer) is DecoderLayer for layer in net.layers)


def test_shapes_and_weights_that_sum_to_one(device):
    net, made = model().to(device).eval(), scenes(3).to(device)
    output = net(made.images, need_weights=True)
    assert output.logits.shape == (2, 3, 5, 3)
    assert output.boxes.shape == (2, 3, 5, 4)
    assert output.masks.shape == (3, 5, SIDE // 2, SIDE // 2)
    assert output.weights.shape == (2, 3, 2, 5, (SIDE // 4) ** 2)
    assert output.tokens is None
    total = output.weights.sum(-1)
    torch.testing.assert_close(total, torch.ones_like(total))
    assert ((output.boxes > 0) & (output.boxes < 1)).all()


def test_later_layers_look_in_and_around_their_box_only():
    net, made = model().eval(), scenes(3)
    output = net(made.images, need_weights=True)
    assert (output.weights[0] > 0).all()
    centre, size = output.boxes[0, :, :, None].split(2, dim=-1)
    away = (net.positions - centre).abs()
    far = (away > 0.75 * size + 4 / SIDE + 1e-6).any(-1)  # (batch, q, tokens)
    assert far.any()
    assert (output.weights[1].sum(1)[far] == 0).all()


def test_one_group_is_the_first_of_several():
    net, made = model().eval(), scenes(3)
    one, two = net(made.images), net(made.images, groups=2)
    torch.testing.assert_close(one.logits, two.logits[:, :, :5])
    torch.testing.assert_close(one.boxes, two.boxes[:, :, :5])
    torch.testing.assert_close(one.masks, two.masks[:, :5])


def test_a_query_alone_sees_no_other_query():
    net, made = model(groups=1).eval(), scenes(2)
    before = net(made.images, isolate_queries=True)
    with_others = net(made.images)
    assert not torch.allclose(before.logits, with_others.logits)
    with torch.no_grad():
        net.content[1:] += torch.randn(4, 16)
    after = net(made.images, isolate_queries=True)
    torch.testing.assert_close(after.logits[:, :, 0], before.logits[:, :, 0])
    assert not torch.allclose(after.logits[:, :, 1], before.logits[:, :, 1])


def test_predictions_come_in_no_order():
    """Queries are a set: exchange two, and their predictions are exchanged."""
    net, made = model(groups=1).eval(), scenes(2)
    before = net(made.images)
    order = torch.tensor([3, 1, 2, 0, 4])
    with torch.no_grad():
        net.content.copy_(net.content[order])
        net.anchors.copy_(net.anchors[order])
    after = net(made.images)
    torch.testing.assert_close(after.logits, before.logits[:, :, order])
    torch.testing.assert_close(after.masks, before.masks[:, order])


def test_in_training_all_groups_and_the_tokens_predict():
    net, made = model().train(), scenes(2)
    output = net(made.images)
    assert output.logits.shape[2] == output.masks.shape[1] == 2 * 5
    logits, boxes = output.tokens
    assert logits.shape == (2, (SIDE // 4) ** 2, 3)
    assert boxes.shape == (2, (SIDE // 4) ** 2, 4)
    # Before training a token predicts a box of 0.4 around itself.
    expected = torch.cat(
        [net.positions, torch.full_like(net.positions, 0.4)], dim=1
    )
    torch.testing.assert_close(boxes, expected.expand_as(boxes))


def test_in_training_groups_do_not_see_each_other():
    net, made = model().train(), scenes(2)
    before = net(made.images)
    with torch.no_grad():
        net.content[5:] += torch.randn(5, 16)
    after = net(made.images)
    for name, dim in (("logits", 2), ("boxes", 2), ("masks", 1)):
        one, two = (getattr(x, name).split(5, dim) for x in (before, after))
        torch.testing.assert_close(one[0], two[0])
    assert not torch.allclose(before.logits[:, :, 5:], after.logits[:, :, 5:])


def test_nothing_is_dropped_in_training():
    net, made = model().train(), scenes(2)
    assert torch.equal(net(made.images).logits, net(made.images).logits)


def test_no_gradient_goes_through_the_box_that_is_refined():
    """Each layer answers for its own change of the box alone."""
    net, made = model(), scenes(2)
    torch.nn.init.normal_(net.box_head[2].weight)
    with torch.no_grad():  # or anchors are reached by the query's position
        net.query_position.weight.zero_()
    boxes = net(made.images).boxes
    (gradient,) = torch.autograd.grad(boxes.sum(), net.anchors)
    assert (gradient == 0).all()


def test_the_query_is_told_where_its_box_is():
    net, made = model(), scenes(2)
    logits = net(made.images).logits
    (gradient,) = torch.autograd.grad(logits.square().sum(), net.anchors)
    assert (gradient.abs().sum(1) > 0).all()


def test_the_model_reads_no_number_back():
    """On a GPU each read waits for it; matching alone, in the loss, does."""
    net, made = model(), scenes(2)
    with HostReads() as reads:
        output = net.train()(made.images)
        (output.logits.sum() + output.boxes.sum()).backward()
        net.eval()(made.images, need_weights=True)
    assert reads.count == 0


def test_sine_embedding_by_hand():
    x = torch.tensor([[0.25, 0.5]], dtype=torch.float64)
    wide = lesson.sine_embedding(x, count=4)  # frequencies pi and 32 pi
    expected = []
    for number in (0.25, 0.5):
        angles = np.array([1, 32]) * np.pi * number
        expected += [*np.sin(angles), *np.cos(angles)]
    torch.testing.assert_close(wide, torch.tensor([expected]).double())


def test_every_parameter_learns():
    torch.manual_seed(0)
    net, made = model(), scenes(4, objects=(1, 3))
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-2)
    lesson.training_loss(net, made).backward()
    optimizer.step()  # the heads that begin with 0 pass on nothing before
    optimizer.zero_grad()
    lesson.training_loss(net, made).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 1e-6, name
    for parameter in (net.content, net.anchors):  # of every query
        assert (parameter.grad.abs().sum(1) > 0).all()


def test_models_save_and_load(tmp_path):
    net, other, made = model().eval(), model().eval(), scenes(2)
    torch.save(net.state_dict(), tmp_path / "model.pt")
    other.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    torch.testing.assert_close(
        net(made.images).boxes, other(made.images).boxes
    )


def test_no_image():
    output = model().eval()(torch.zeros(0, SIDE, SIDE, dtype=torch.uint8))
    assert output.logits.shape == (2, 0, 5, 3)


# --- the loss ----------------------------------------------------------------


def perfect(made: lesson.Scenes, queries: int = 5) -> lesson.DetectorOutput:
    """Predict exactly what is there, in some order of queries."""
    n, slots = made.labels.shape
    logits = torch.zeros(1, n, queries, 3)
    logits[..., -1] = 40.0
    boxes = torch.full((1, n, queries, 4), 0.5)
    masks = torch.full((n, queries, SIDE // 2, SIDE // 2), -40.0)
    for row, slot in (made.labels >= 0).nonzero().tolist():
        query = (2 * slot + row) % queries
        logits[0, row, query] = 0
        logits[0, row, query, made.labels[row, slot]] = 40.0
        boxes[0, row, query] = made.boxes[row, slot]
        masks[row, query] = 80.0 * made.masks()[row, slot, ::2, ::2] - 40
    return lesson.DetectorOutput(logits, boxes, masks)


def test_right_predictions_cost_nothing_but_half_covered_pixels():
    made = scenes(6, objects=(1, 2))
    made.instance_map = made.instance_map[:, ::2, ::2].repeat_interleave(2, 1)
    made.instance_map = made.instance_map.repeat_interleave(
        2, 2
    )  # no half pixels
    made.boxes = _cxcywh(made.masks())
    made.labels[made.boxes[..., 2] == 0] = -1
    losses = lesson.set_loss(perfect(made), made)
    for name, part in losses._asdict().items():
        assert part.item() == pytest.approx(0, abs=1e-5), name


def test_the_loss_does_not_depend_on_the_order_of_queries():
    net, made = model(groups=1).eval(), scenes(4, objects=(1, 3))
    output = net(made.images)
    order = torch.tensor([4, 2, 0, 1, 3])
    turned = lesson.DetectorOutput(
        output.logits[:, :, order],
        output.boxes[:, :, order],
        output.masks[:, order],
    )
    for one, two in zip(
        lesson.set_loss(output, made), lesson.set_loss(turned, made)
    ):
        torch.testing.assert_close(one, two)


def test_scenes_without_objects_ask_for_nothing_everywhere():
    net, made = model().train(), scenes(3, objects=(0, 0))
    output = net(made.images)
    losses = lesson.set_loss(output, made, groups=2)
    assert losses.l1 == losses.giou == losses.mask_bce == 0
    assert losses.dice == 0
    sure = -output.logits.log_softmax(-1)[..., -1].flatten(1).mean(-1).sum()
    torch.testing.assert_close(losses.ce, 2 * sure)
    losses.total().backward()
    grads = [p.grad for p in net.parameters() if p.grad is not None]
    assert all(g.isfinite().all() for g in grads)


def test_more_objects_than_queries():
    """The objects that would cost most go without; the loss stays finite."""
    net = model(queries=2, groups=2).train()
    made = scenes(4, objects=(4, 6), sizes=(4.0, 5.0))
    assert ((made.labels >= 0).sum(1) > 2).all()
    output = net(made.images)
    matches = lesson.match(output.logits[-1], output.boxes[-1], made, groups=2)
    assert len(matches.image) == 4 * 2 * 2
    loss = lesson.set_loss(output, made, groups=2).total()
    loss.backward()
    assert loss.isfinite()
    predictions = lesson.detect(net, made.images, 0.0)
    assert [len(o.labels) for o in predictions] == [2] * 4


def test_no_object_counts_less():
    net, made = model(groups=1).eval(), scenes(4)
    output = net(made.images)
    less, more = (
        lesson.set_loss(output, made, no_object_weight=w).ce
        for w in (0.1, 1.0)
    )
    parts = []
    for logits, boxes in zip(output.logits, output.boxes):
        matches = lesson.match(logits, boxes, made)
        costs, weights = [], []
        for image, query in itertools.product(range(4), range(5)):
            pair = (
                (matches.image == image) & (matches.query == query)
            ).nonzero()
            label = (
                2
                if not len(pair)
                else int(made.labels[image, matches.slot[pair[0, 0]]])
            )
            weights.append(0.1 if label == 2 else 1.0)
            costs.append(-logits[image, query].log_softmax(-1)[label])
        weights = torch.tensor(weights)
        parts.append((weights * torch.stack(costs)).sum() / weights.sum())
    torch.testing.assert_close(less, 2 * sum(parts))
    assert less != more


def test_no_object_weight_is_a_fifth_by_default():
    net, made = model(groups=1).eval(), scenes(4)
    output = net(made.images)
    one, two, other = (
        lesson.set_loss(output, made, **options).ce
        for options in ({}, {"no_object_weight": 0.2}, {"no_object_weight": 1})
    )
    assert one == two != other


def test_every_layer_adds_its_loss():
    """Auxiliary losses: classes and boxes of each layer, masks of the last."""
    net, made = model(layers=3).train(), scenes(4, objects=(1, 3))
    output = net(made.images)
    losses = lesson.set_loss(output, made, groups=2)
    alone = [
        lesson.set_loss(
            output._replace(logits=logits[None], boxes=boxes[None]),
            made,
            groups=2,
        )
        for logits, boxes in zip(output.logits, output.boxes)
    ]
    for name in ("ce", "l1", "giou"):
        parts = [getattr(x, name) for x in alone]
        torch.testing.assert_close(getattr(losses, name), sum(parts))
        assert min(parts) > 0
    assert losses.mask_bce == alone[-1].mask_bce != alone[0].mask_bce


def test_losses_of_boxes_and_classes_equal_detr():
    """The code of DETR's authors, as transformers has it."""
    from transformers.loss import loss_for_object_detection as detr

    matcher = detr.HungarianMatcher(class_cost=1, bbox_cost=5, giou_cost=2)
    theirs = detr.ImageLoss(matcher, 2, 0.2, ["labels", "boxes"])
    for seed in range(3):
        made = scenes(4, objects=(1, 3), seed=seed)
        output = model(groups=1).eval()(made.images)
        losses = lesson.set_loss(output, made)
        expected = dict.fromkeys(("loss_ce", "loss_bbox", "loss_giou"), 0.0)
        for logits, boxes in zip(output.logits, output.boxes):
            layer = theirs(
                {"logits": logits, "pred_boxes": boxes}, detr_targets(made)
            )
            expected = {name: x + layer[name] for name, x in expected.items()}
        torch.testing.assert_close(losses.ce, 2 * expected["loss_ce"])
        torch.testing.assert_close(losses.l1, 5 * expected["loss_bbox"])
        torch.testing.assert_close(losses.giou, 2 * expected["loss_giou"])


def test_boxes_are_averaged_over_the_matches_of_all_groups():
    net, made = model(layers=1).train(), scenes(4, objects=(1, 3))
    output = net(made.images)
    matches = lesson.match(output.logits[0], output.boxes[0], made, groups=2)
    assert len(matches.image) == 2 * (made.labels >= 0).sum()
    distances = [
        (output.boxes[0, i, q] - made.boxes[i, s]).abs().sum()
        for i, q, s in zip(*(x.tolist() for x in matches))
    ]
    losses = lesson.set_loss(output, made, groups=2)
    expected = 5 * sum(distances) / len(distances)
    torch.testing.assert_close(losses.l1, expected)


def test_masks_of_the_first_group_by_hand():
    """The others' masks cost nothing: they have no gradient either."""
    net, made = model().train(), scenes(4, objects=(1, 3))
    output = net(made.images)
    masks = output.masks.detach().requires_grad_()
    losses = lesson.set_loss(output._replace(masks=masks), made, groups=2)
    matches = lesson.match(output.logits[-1], output.boxes[-1], made, groups=2)
    bces, dices, rows = [], [], set()
    for image, query, slot in zip(*(x.tolist() for x in matches)):
        if query >= 5:
            continue
        rows.add((image, query))
        visible = made.instance_map[image] == slot
        target = visible.float().view(SIDE // 2, 2, SIDE // 2, 2).mean((1, 3))
        p = masks[image, query].detach().sigmoid()
        pixels = target * p.log() + (1 - target) * (1 - p).log()
        bces.append(-pixels.mean())
        shared = 2 * (p * target).sum() + 1
        dices.append(1 - shared / (p.sum() + target.sum() + 1))
    assert len(rows) == (made.labels >= 0).sum()
    torch.testing.assert_close(losses.mask_bce, 5 * sum(bces) / len(bces))
    torch.testing.assert_close(losses.dice, sum(dices) / len(dices))
    for part in (losses.mask_bce, losses.dice):
        (slope,) = torch.autograd.grad(part, masks, retain_graph=True)
        learning = slope.flatten(2).abs().sum(-1).nonzero().tolist()
        assert {tuple(row) for row in learning} == rows


def test_loss_of_the_tokens_by_hand():
    net, made = model().train(), scenes(4, objects=(1, 3))
    logits, boxes = net(made.images).tokens
    logits = logits + torch.randn_like(logits)
    boxes = (boxes + 0.1 * torch.rand_like(boxes)).clamp(0.01, 0.99)
    output = net(made.images)._replace(tokens=(logits, boxes))
    ces, l1s, gious = [], [], []
    for image, row, column in itertools.product(range(4), *2 * [range(4)]):
        token = 4 * row + column  # the pixel in the middle of 4 x 4
        slot = int(made.instance_map[image, 4 * row + 2, 4 * column + 2])
        label = 2 if slot < 0 else int(made.labels[image, slot])
        ces.append(-logits[image, token].log_softmax(-1)[label])
        if slot < 0:
            continue
        box, target = boxes[image, token], made.boxes[image, slot]
        l1s.append((box - target).abs().sum())
        box, target = map(lesson.box_cxcywh_to_xyxy, (box, target))
        gious.append(1 - lesson.generalized_box_iou(box, target))
    expected = (
        sum(ces) / len(ces)
        + 5 * sum(l1s) / len(l1s)
        + 2 * sum(gious) / len(gious)
    )
    losses = lesson.set_loss(output, made, groups=2)
    torch.testing.assert_close(losses.tokens, expected)
    torch.testing.assert_close(losses.total(), sum(losses))


def test_training_loss_can_keep_queries_apart():
    net, made = model().eval(), scenes(3)
    output = net(made.images, groups=2, isolate_queries=True)
    expected = lesson.set_loss(output, made, groups=2).total()
    apart = lesson.training_loss(net, made, isolate_queries=True)
    torch.testing.assert_close(apart, expected)
    assert not torch.allclose(apart, lesson.training_loss(net, made))


def test_training_loss_asks_all_groups():
    net, made = model().train(), scenes(4)
    expected = lesson.set_loss(net(made.images), made, groups=2).total()
    torch.testing.assert_close(lesson.training_loss(net, made), expected)


def test_a_small_detector_learns_two_scenes_by_heart():
    torch.manual_seed(0)
    made = scenes(2, objects=(2, 2), sizes=(7.0, 9.0), seed=3)
    net = model(dim=32, mlp_dim=32).train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=5e-3)
    for _ in range(150):
        optimizer.zero_grad()
        loss = lesson.training_loss(net, made)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
    net.train()  # two scenes are no sample for the norm's running mean
    with torch.no_grad():
        output = net(made.images, groups=1)
    matches = lesson.match(output.logits[-1], output.boxes[-1], made)
    boxes = lesson.box_cxcywh_to_xyxy(
        output.boxes[-1][matches.image, matches.query]
    )
    targets = lesson.box_cxcywh_to_xyxy(
        made.boxes[matches.image, matches.slot]
    )
    assert lesson.box_iou(boxes, targets).min() > 0.6
    label = output.logits[-1][matches.image, matches.query].argmax(-1)
    assert torch.equal(label, made.labels[matches.image, matches.slot])


# --- predictions -------------------------------------------------------------


def test_detect_sorts_cuts_off_and_leaves_the_mode():
    net, made = model().train(), scenes(5)
    predictions = lesson.detect(net, made.images, 0.0, batch_size=2)
    assert net.training
    for predicted in predictions:
        assert len(predicted.labels) == 5
        assert (predicted.scores.diff() <= 0).all()
        assert sorted(predicted.queries.tolist()) == [0, 1, 2, 3, 4]
        assert predicted.masks.shape == (5, SIDE, SIDE)
    threshold = float(predictions[0].scores[2:4].mean())
    less = lesson.detect(net, made.images[:1], threshold)[0]
    torch.testing.assert_close(less.scores, predictions[0].scores[:3])
    assert lesson.detect(net, made.images, 1.0)[0].labels.shape == (0,)
    assert lesson.detect(net, made.images[:0]) == []


def test_detect_leaves_the_mode_also_after_an_error():
    net = model().train()
    net.fine.eval()  # frozen
    wrong = torch.zeros(1, 8, 8, dtype=torch.uint8)
    with pytest.raises(ValueError, match="images"):
        lesson.detect(net, wrong)
    assert net.training and net.coarse.training and not net.fine.training
    lesson.detect(net, scenes(1).images)
    assert net.training and net.coarse.training and not net.fine.training


def test_detect_reads_class_box_and_mask_of_the_last_layer():
    net, made = model().eval(), scenes(3)
    output = net(made.images)
    for image, predicted in enumerate(lesson.detect(net, made.images, 0.0)):
        probs = output.logits[-1, image].softmax(-1)
        for row, query in enumerate(predicted.queries.tolist()):
            label = int(predicted.labels[row])
            assert label == int(probs[query, :2].argmax())
            torch.testing.assert_close(
                predicted.scores[row], probs[query, label]
            )
            x, y, width, height = output.boxes[-1, image, query] * SIDE
            expected = [x - width / 2, y - height / 2]
            expected += [x + width / 2, y + height / 2]
            torch.testing.assert_close(
                predicted.boxes[row], torch.stack(expected)
            )
            large = torch.nn.functional.interpolate(
                output.masks[image, query][None, None],
                scale_factor=2,
                mode="bilinear",
            )[0, 0]
            assert torch.equal(predicted.masks[row], large > 0)


@settings(max_examples=40)
@given(st.lists(BOX, max_size=8), st.integers(0, 99))
def test_nms_by_its_definition(boxes, seed):
    boxes = torch.stack(boxes) if boxes else torch.zeros(0, 4).double()
    generator = torch.Generator().manual_seed(seed)
    scores = torch.rand(len(boxes), generator=generator)
    kept = lesson.nms(boxes, scores, 0.3).tolist()
    table = lesson.box_iou(boxes[:, None], boxes)
    for one, two in itertools.combinations(kept, 2):
        assert table[one, two] <= 0.3
    for lost in set(range(len(boxes))) - set(kept):
        surer = [k for k in kept if scores[k] > scores[lost]]
        assert any(table[lost, k] > 0.3 for k in surer)
    assert (scores[kept].diff() <= 0).all()


# --- average precision, proved equal to COCO's -------------------------------


def coco_precision(
    predictions: list, targets: list, classes: int, kind: str
) -> np.ndarray:
    """Ask pycocotools: average precision (levels, classes), -1 for none."""

    def entry(number, image, label, box, mask, **more):
        x0, y0, x1, y1 = box.tolist()
        rle = coco_mask.encode(np.asfortranarray(mask.numpy().astype("uint8")))
        return {
            "id": number,
            "image_id": image,
            "category_id": label + 1,
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "segmentation": rle,
            "area": float((x1 - x0) * (y1 - y0)),
            "iscrowd": 0,
            **more,
        }

    coco_targets, coco_predictions = COCO(), COCO()
    info = {
        "images": [
            {"id": i, "height": SIDE, "width": SIDE}
            for i in range(len(targets))
        ],
        "categories": [{"id": c + 1} for c in range(classes)],
    }
    numbers = itertools.count(1)
    truths = [
        entry(next(numbers), i, int(label), box, mask)
        for i, o in enumerate(targets)
        for label, box, mask in zip(o.labels, o.boxes, o.masks)
    ]
    numbers = itertools.count(1)
    answers = [
        entry(next(numbers), i, int(label), box, mask, score=float(score))
        for i, o in enumerate(predictions)
        for label, box, mask, score in zip(
            o.labels, o.boxes, o.masks, o.scores
        )
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        for coco, rows in (
            (coco_targets, truths),
            (coco_predictions, answers),
        ):
            coco.dataset = {**info, "annotations": rows}
            coco.createIndex()
        check = COCOeval(coco_targets, coco_predictions, kind)
        check.params.areaRng = [[0, 1e10]]
        check.params.areaRngLbl = ["all"]
        check.evaluate()
        check.accumulate()
    precision = check.eval["precision"]  # level, recall, class, area, number
    return precision[:, :, :, 0, -1].mean(axis=1)


def random_case(seed: int) -> tuple[list, list, int]:
    """Make some scenes: ties of scores and of IoUs, empty ones, all sizes."""
    rng = np.random.default_rng(seed)
    classes = int(rng.integers(1, 4))
    predictions, targets = [], []
    for _ in range(rng.integers(1, 7)):
        n_targets = int(rng.integers(0, 5)) * int(rng.random() < 0.8)
        start = rng.integers(0, 10, (n_targets, 2))
        end = start + rng.integers(1, 7, (n_targets, 2))
        truth = np.concatenate([start, end], axis=1)
        n_predicted = int(rng.integers(0, 8)) * int(rng.random() < 0.8)
        boxes = []
        for _ in range(n_predicted):
            if (
                n_targets and rng.random() < 0.7
            ):  # near a true one, or the same
                box = truth[rng.integers(n_targets)] + rng.integers(-1, 2, 4)
            else:
                corner = rng.integers(0, 10, 2)
                box = np.concatenate([corner, corner + rng.integers(1, 7, 2)])
            box = np.clip(box, 0, SIDE)
            box[:2] = np.minimum(box[:2], SIDE - 1)
            box[2:] = np.maximum(box[2:], box[:2] + 1)
            boxes.append(box)
        steps = 4 if rng.random() < 0.5 else 1000  # few steps: many ties
        scores = rng.integers(1, steps + 1, n_predicted) / steps
        labels = rng.integers(0, classes, (2, 20))
        predictions.append(
            objects(labels[0, :n_predicted], np.array(boxes), scores)
        )
        targets.append(objects(labels[1, :n_targets], truth))
    return predictions, targets, classes


def assert_same_as_coco(predictions, targets, classes):
    for iou_type, kind in (("boxes", "bbox"), ("masks", "segm")):
        averages = lesson.evaluate_detections(
            predictions, targets, classes, iou_type=iou_type
        ).average_precision()
        expected = coco_precision(predictions, targets, classes, kind)
        np.testing.assert_allclose(
            np.nan_to_num(averages, nan=-1.0), expected, atol=1e-9
        )


@pytest.mark.parametrize("block", range(10))
def test_average_precision_equals_pycocotools(block):
    for seed in range(40 * block, 40 * block + 40):
        assert_same_as_coco(*random_case(seed))


def test_random_cases_hold_what_they_should():
    """Ties, scenes without predictions, without objects, classes that miss."""
    ties = silent = empty = missing = scored = 0
    for seed in range(400):
        predictions, targets, classes = random_case(seed)
        for predicted, target in zip(predictions, targets):
            ties += len(predicted.scores.unique()) < len(predicted.scores)
            silent += not len(predicted.labels)
            empty += not len(target.labels)
        present = {int(c) for o in targets for c in o.labels}
        missing += len(present) < classes
        score = lesson.evaluate_detections(
            predictions, targets, classes
        ).mean_average_precision()
        scored += 0.05 < score < 0.95
    assert min(ties, silent, empty, missing, scored) > 30


def test_average_precision_with_many_predictions_equals_pycocotools():
    rng = np.random.default_rng(1)
    predictions, targets = [], []
    for _ in range(20):
        start = rng.integers(0, 9, (12, 2))
        boxes = np.concatenate([start, start + rng.integers(3, 8, (12, 2))], 1)
        targets.append(objects(rng.integers(0, 2, 12), boxes))
        near = boxes.repeat(3, 0) + rng.integers(-1, 2, (36, 4))
        near = np.clip(near, 0, SIDE)
        predictions.append(
            objects(rng.integers(0, 2, 36), near, rng.random(36))
        )
    assert_same_as_coco(predictions, targets, 2)


def test_average_precision_by_hand():
    """Right, wrong, right; three objects: one is never found."""
    targets = [
        objects([0, 0, 0], [[0, 0, 4, 4], [6, 0, 10, 4], [0, 8, 4, 12]])
    ]
    boxes = [[0, 0, 4, 4], [11, 11, 14, 14], [6, 0, 10, 4]]
    predictions = [objects([0, 0, 0], boxes, [0.9, 0.8, 0.7])]
    evaluation = lesson.evaluate_detections(predictions, targets, 1, (0.5,))
    recall, precision = evaluation.curve(0)
    np.testing.assert_allclose(recall, [1 / 3, 1 / 3, 2 / 3])
    np.testing.assert_allclose(precision, [1, 1 / 2, 2 / 3])
    # recalls 0.00 to 0.33: 34 of them; 0.34 to 0.66: 33; then never.
    expected = (34 * 1 + 33 * 2 / 3) / 101
    assert evaluation.mean_average_precision() == pytest.approx(expected)
    assert (
        lesson.average_precision(predictions, targets, 1)
        == evaluation.mean_average_precision()
    )


def test_the_second_prediction_for_one_object_is_a_false_positive():
    targets = [objects([0], [[0, 0, 4, 4]])]
    twice = [objects([0, 0], [[0, 0, 4, 4]] * 2, [0.9, 0.8])]
    assert lesson.evaluate_detections(twice, targets, 1).true_positives[0][
        0
    ].tolist() == [True, False]


def test_no_object_anywhere_has_no_number():
    nothing = [objects([], [])]
    predicted = [objects([0], [[0, 0, 4, 4]], [0.9])]
    assert np.isnan(
        lesson.evaluate_detections(
            predicted, nothing, 2
        ).mean_average_precision()
    )
    assert np.isnan(
        lesson.evaluate_detections([], [], 1).mean_average_precision()
    )


@given(st.integers(0, 399))
@settings(max_examples=30)
def test_scenes_that_count_twice_are_scenes_seen_twice(seed):
    predictions, targets, classes = random_case(seed)
    rng = np.random.default_rng(seed)
    times = rng.integers(0, 3, len(targets))
    # One score per prediction: copies of a scene must stay neighbours in rank.
    total = sum(len(o.labels) for o in predictions)
    fresh = iter(rng.permutation(total) / max(total, 1))
    predictions = [
        o._replace(
            scores=torch.tensor([next(fresh) for _ in o.labels]).double()
        )
        for o in predictions
    ]
    copies = [i for i, count in enumerate(times) for _ in range(count)]
    averages = lesson.evaluate_detections(
        predictions, targets, classes
    ).average_precision(times.astype(float))
    again = lesson.evaluate_detections(
        [predictions[i] for i in copies], [targets[i] for i in copies], classes
    ).average_precision()
    np.testing.assert_array_equal(np.isnan(averages), np.isnan(again))
    # Between two copies of a prediction the steps differ a little.
    np.testing.assert_allclose(
        np.nan_to_num(averages), np.nan_to_num(again), atol=0.13
    )


def test_intervals_hold_the_score_and_narrow_with_more_scenes():
    values = [torch.tensor([float(i % 2)]) for i in range(400)]
    few = lesson.mean_interval_over_scenes(values[:40])
    many = lesson.mean_interval_over_scenes(values)
    for interval in (few, many):
        assert interval.score == pytest.approx(0.5)
        assert interval.low < 0.5 < interval.high
    width = 2 * 1.96 * 0.5 / 400**0.5
    assert many.high - many.low == pytest.approx(width, rel=0.15)
    assert many.high - many.low < few.high - few.low


def test_the_operating_point_tells_duplicates_from_other_mistakes():
    targets = [objects([0, 1], [[0, 0, 4, 4], [8, 0, 12, 4]]), objects([], [])]
    left, right = [0, 0, 4, 4], [8, 0, 12, 4]
    found = [
        # right, a duplicate, another class, a place with nothing, unsure
        objects(
            [0, 0, 0, 1, 1],
            [left, left, right, [0, 8, 4, 12], right],
            [0.9, 0.8, 0.7, 0.6, 0.4],
        ),
        objects([1], [right], [0.5]),
    ]
    point = lesson.operating_point(found, targets, 2)
    assert point == (1, 1, 5, 2)
    assert (point.precision, point.recall) == (0.2, 0.5)
    all_of_them = lesson.operating_point(found, targets, 2, 0.0)
    assert all_of_them == (2, 1, 6, 2)
    nothing = lesson.operating_point([objects([], [], [])] * 2, targets, 2)
    assert (nothing.precision, nothing.recall) == (1.0, 0.0)
    none = lesson.operating_point([], [], 2)
    assert (none.precision, none.recall) == (1.0, 1.0)


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from((0.0, 0.3, 0.5)))
def test_counts_at_the_operating_point_fit_one_another(seed, threshold):
    generator = torch.Generator().manual_seed(seed)
    start = torch.randint(0, 6, (2, 7, 2), generator=generator).double()
    size = torch.randint(3, 6, (2, 7, 2), generator=generator).double()
    boxes = torch.cat([start, start + size], dim=-1).tolist()
    labels = torch.randint(2, (2, 7), generator=generator).tolist()
    scores = torch.rand(7, generator=generator).tolist()
    target = objects(labels[0], boxes[0])
    predicted = objects(labels[1], boxes[1], scores)
    point = lesson.operating_point([predicted], [target], 2, threshold)
    assert point.predictions == sum(x >= threshold for x in scores)
    assert point.objects == 7 and point.duplicates >= 0
    assert point.true_positives + point.duplicates <= point.predictions
    assert 0 <= point.precision <= 1 and 0 <= point.recall <= 1


def test_mask_ious_match_one_to_one():
    targets = [objects([0, 0], [[0, 0, 4, 4], [8, 0, 12, 4]]), objects([], [])]
    predicted = objects([1], [[0, 0, 4, 2]], [0.9])
    first, second = lesson.matched_mask_ious([predicted, predicted], targets)
    torch.testing.assert_close(first, torch.tensor([0.5, 0.0]).double())
    assert second.shape == (0,)
    silent = objects([], [], [])
    assert lesson.matched_mask_ious([silent], targets[:1])[0].tolist() == [
        0,
        0,
    ]


def test_between_query_variance_from_one_position_each_to_everywhere():
    corner = objects([0, 0], [[0, 0, 2, 2], [9, 9, 11, 11]])
    own = corner._replace(queries=torch.tensor([0, 1]))
    assert lesson.between_query_variance([own] * 3) == pytest.approx(1)
    mixed = corner._replace(queries=torch.tensor([1, 0]))
    assert lesson.between_query_variance([own, mixed]) == pytest.approx(0)
    middle = objects([0, 0], [[4, 4, 6, 6]] * 2)
    still = middle._replace(queries=torch.tensor([0, 1]))
    assert lesson.between_query_variance([still]) == 0


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: scenes(-1), "count, objects: .*-1"),
        (lambda: scenes(objects=(3, 2)), "count, objects: .*3, 2"),
        (lambda: scenes(visible=0.0), "visible, sizes: .*0.0"),
        (lambda: scenes(sizes=(9.0, 5.0)), "visible, sizes: .*9.0"),
        (
            lambda: lesson.compose(articles()[0], torch.zeros(2).long(), 1),
            "labels: .*2 for 3",
        ),
        (lambda: lesson.scene_batches(scenes(3), 4), "size: .*3.*got 4"),
        (
            lambda: lesson.hungarian_matching(
                torch.tensor([[1.0, torch.nan]])
            ),
            "cost: .*finite",
        ),
        (lambda: lesson.hungarian_matching(torch.ones(3)), "cost: .*matrix"),
        (lambda: model(queries=0), "queries: .*got 0"),
        (lambda: model(side=20), "side: .*got 20"),
        (lambda: model(heads=3), "heads: .*3"),
        (
            lambda: model()(torch.zeros(1, 8, 8, dtype=torch.uint8)),
            "images: .*16.*8, 8",
        ),
        (lambda: model()(torch.zeros(1, SIDE, SIDE)), "images: .*uint8"),
        (lambda: model()(scenes(1).images, groups=3), "groups: .*2, got 3"),
        (
            lambda: lesson.evaluate_detections([], [objects([], [])], 1),
            "predictions: .*1, got 0",
        ),
        (
            lambda: lesson.evaluate_detections([], [], 1, iou_type="pixels"),
            "iou_type: .*pixels",
        ),
        (
            lambda: lesson.evaluate_detections(
                [objects([0], [[0, 0, 4, 4]])], [objects([], [])], 1
            ),
            "scores, got None in scene 0",
        ),
        (
            lambda: lesson.evaluate_detections(
                [objects([0], [[0, 0, 4, 4]], [torch.nan])],
                [objects([], [])],
                1,
            ),
            "nan in scene 0",
        ),
        (
            lambda: lesson.evaluate_detections(
                [objects([0], [[0, 0, 4, 4]], [0.5, 0.6])],
                [objects([], [])],
                1,
            ),
            r"one score per label.*\(1,\).*\(2,\) in scene 0",
        ),
        (
            lambda: lesson.evaluate_detections([], [], 1).curve(0, 0.52),
            "iou_threshold: .*0.52",
        ),
        (
            lambda: lesson.nms(torch.rand(3, 4), torch.rand(3, 2)),
            r"scores: .*\(3, 2\) for \(3, 4\)",
        ),
        (
            lambda: lesson.nms(
                torch.rand(2, 4), torch.tensor([0.5, torch.nan])
            ),
            "scores: .*nan",
        ),
        (
            lambda: lesson.operating_point([], [objects([], [])], 1),
            "predictions: .*1, got 0",
        ),
        (
            lambda: lesson.between_query_variance([_predicted(1)]),
            "predictions: .*two.*got 1",
        ),
    ],
)
def test_wrong_input_is_named(own_errors, call, words):
    with pytest.raises(ValueError, match=words):
        call()


def _predicted(count: int) -> lesson.Instances:
    one = objects([0] * count, [[0, 0, 4, 4]] * count, [0.9] * count)
    return one._replace(queries=torch.arange(count))


# --- the lesson's pictures ---------------------------------------------------


def test_pairing_explorer_answers_to_changed_costs():
    view = views.matching_explorer(
        torch.tensor([[1.0, 2, 6], [2, 5, 7], [6, 7, 9]])
    )
    assert "cheapest first matches A with 1, B with 2, C with 3 for 15" in (
        view.still.alt
    )
    assert "Hungarian matches A with 2, B with 1, C with 3 for 13" in (
        view.still.alt
    )
    before = view.picture.value
    view.controls["c01"].value = 9
    assert "for 15" in view.caption.value
    assert "for 13" not in view.caption.value
    assert view.picture.value != before


def test_detection_explorer_shows_the_chosen_query():
    view = views.detection_explorer(
        model().eval(), scenes(3).images, ["disc", "bar"]
    )
    assert "Test scene 0" in view.still.alt
    before = view.picture.value
    view.controls["scene"].value = 2
    view.controls["query"].value = 4
    view.controls["threshold"].value = 0.0
    assert "Test scene 2" in view.caption.value
    assert "query 4" in view.caption.value and "0.00" in view.caption.value
    assert view.picture.value != before


def test_figures_have_the_parts_they_are_asked_for():
    made = scenes(3)
    net = model().eval()
    predictions = lesson.detect(net, made.images, 0.0)
    figure = views.scene_grid(
        list(made.images),
        made.instances(),
        ["disc", "bar"],
        across=2,
        titles=["a", "b", "c"],
        masks=True,
    )
    assert len(figure.axes) == 4
    boxes = [len(ax.patches) for ax in figure.axes]
    assert boxes == [len(o.labels) for o in made.instances()] + [0]
    figure = views.two_boxes([0, 0, 2, 2], [3, 0, 5, 2], "apart")
    assert len(figure.axes[0].patches) == 3
    weights = torch.rand(3, 5, 16)
    figure = views.attention_grid(
        list(made.images),
        predictions,
        list(weights),
        ["disc", "bar"],
        max_predictions=2,
    )
    assert len(figure.axes) == 9
    figure = views.query_positions(predictions, 5, SIDE, "positions")
    assert len(figure.axes) == 8
    figure = views.grouped_bars(["g"], {"s": [0.25]}, ylabel="y", title="t")
    assert figure.axes[0].texts[0].get_text() == "0.25"
    costs = torch.rand(2, 2)
    figure = views.cost_table(costs, "AB", "12", [(0, 1)], title="t")
    assert len(figure.axes[0].patches) == 1
