"""The set loss: match predictions with targets, then compare each match."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from attn_course.detection_segmentation.boxes import (
    at_least_float32,
    box_cxcywh_to_xyxy,
    generalized_box_iou,
)
from attn_course.detection_segmentation.matching import Matches, match
from attn_course.detection_segmentation.model import Detector, DetectorOutput
from attn_course.detection_segmentation.scenes import Scenes


class Losses(NamedTuple):
    """The parts of the set loss, each already with its factor."""

    ce: Float[Tensor, ""]
    l1: Float[Tensor, ""]
    giou: Float[Tensor, ""]
    mask_bce: Float[Tensor, ""]
    dice: Float[Tensor, ""]
    tokens: Float[Tensor, ""]

    def total(self) -> Float[Tensor, ""]:
        """Add all parts up."""
        return torch.stack(self).sum()


def set_loss(
    output: DetectorOutput,
    scenes: Scenes,
    *,
    groups: int = 1,
    no_object_weight: float = 0.2,
) -> Losses:
    """Compare a set of predictions with a set of objects, in no order.

    In each layer and each group every object is matched with one query, by
    :func:`match`. A matched query should predict the object's class and box,
    any other "no object", which counts only ``no_object_weight`` times as
    much. (The losses of the layers before the last are *auxiliary losses*.)
    In the last layer the matches of the first group are asked for the
    object's pixels as well, and the tokens, if they predicted, for what they
    lie on.

    ``loss = sum over layers of (2 cross entropy + 5 L1(boxes) + 2 (1 - giou))
    + 5 binary cross entropy(pixels) + dice(pixels) + tokens``, where tokens
    have the first three parts of their own; boxes averaged over the matches
    of all groups, pixels over those of the first.

    Without any object only the cross entropies are left.

    Source: Carion et al. (2020), section 3.1; dice: Milletari et al. (2016),
    "V-Net", section 3.
    """
    parts = []
    for logits, boxes in zip(output.logits, output.boxes):
        matches = match(logits, boxes, scenes, groups)
        image, query, slot = matches
        ce = _class_loss(logits, scenes, matches, no_object_weight)
        l1, giou = _box_loss(boxes[image, query], scenes.boxes[image, slot])
        parts.append((ce, l1, giou))
    ce, l1, giou = map(sum, zip(*parts))
    # From here on ``matches`` are those of the last layer.
    mask_bce, dice = _mask_loss(
        output.masks, scenes, matches, output.masks.shape[1] // groups
    )
    tokens = torch.zeros_like(dice)
    if output.tokens is not None:
        tokens = _token_loss(*output.tokens, scenes)
    return Losses(ce, l1, giou, mask_bce, dice, tokens)


def training_loss(
    model: Detector, scenes: Scenes, *, isolate_queries: bool = False
) -> Float[Tensor, ""]:
    """Ask all groups of queries about the scenes, and add up the set loss.

    With ``isolate_queries`` no query may attend to another one.
    """
    output = model(
        scenes.images, groups=model.groups, isolate_queries=isolate_queries
    )
    return set_loss(output, scenes, groups=model.groups).total()


def _class_loss(
    logits: Tensor, scenes: Scenes, matches: Matches, no_object_weight: float
) -> Tensor:
    """Return 2 times one layer's cross entropy; "no object" counts less."""
    no_object = logits.shape[-1] - 1
    image, query, slot = matches
    targets = torch.full_like(logits[..., 0], no_object, dtype=torch.long)
    targets[image, query] = scenes.labels[image, slot]
    weight = torch.ones_like(logits[0, 0])
    weight[no_object] = float(no_object_weight)
    ce = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), weight)
    return 2 * ce


def _box_loss(boxes: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return 5 times the mean L1 and 2 times that of 1 - giou; 0 for none."""
    count = max(len(boxes), 1)
    l1 = (boxes - targets).abs().sum() / count
    giou = 1 - generalized_box_iou(
        box_cxcywh_to_xyxy(boxes), box_cxcywh_to_xyxy(targets)
    )
    return 5 * l1, 2 * giou.sum() / count


def _mask_loss(
    masks: Tensor, scenes: Scenes, matches: Matches, queries: int
) -> tuple[Tensor, Tensor]:
    """Compare the masks that are matched in the first group of queries."""
    masks = at_least_float32(masks)  # float16 cannot count 65,504 pixels
    first = matches.query < queries
    image, query, slot = (x[first] for x in matches)
    count = max(len(image), 1)
    # How much of each 2 x 2 square of pixels belongs to the object.
    targets = F.avg_pool2d(scenes.masks().to(masks.dtype), 2)[image, slot]
    logits = masks[image, query]  # (matches, half, half)
    bce = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    probs = logits.sigmoid()
    intersection = (probs * targets).sum((1, 2))
    sizes = probs.sum((1, 2)) + targets.sum((1, 2))
    dice = 1 - (2 * intersection + 1) / (sizes + 1)
    return 5 * bce.mean((1, 2)).sum() / count, dice.sum() / count


def _token_loss(logits: Tensor, boxes: Tensor, scenes: Scenes) -> Tensor:
    """Compare what the tokens predict with the pixel in their middle."""
    step = scenes.images.shape[-1] // round(logits.shape[1] ** 0.5)
    slot = scenes.instance_map[:, step // 2 :: step, step // 2 :: step]
    slot = slot.flatten(1).long()  # (batch, tokens)
    no_object = logits.shape[-1] - 1
    on_object = slot >= 0
    slot = slot.clamp(min=0)
    targets = scenes.labels.gather(1, slot).masked_fill(~on_object, no_object)
    ce = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
    image = on_object.nonzero()[:, 0]
    l1, giou = _box_loss(
        boxes[on_object], scenes.boxes[image, slot[on_object]]
    )
    return ce + l1 + giou
