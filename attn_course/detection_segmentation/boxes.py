"""Boxes and masks: from one form to another, and how far two of them agree.

Whole numbers and half precision are computed in float32, and the result is
float32: in float16 an area over 65,504 would be infinite, and in uint8 the sum
of 200 and 100 is 44.
"""

import torch
from jaxtyping import Float, Int, Real, Shaped
from torch import Tensor

from attn_course.common.arguments import check_last_dim


def box_cxcywh_to_xyxy(
    boxes: Real[Tensor, "*batch 4"],
) -> Float[Tensor, "*batch 4"]:
    """Turn ``centre x, centre y, width, height`` into ``x0 y0 x1 y1``.

    Raises:
        ValueError: if the last dimension is not 4.
    """
    check_last_dim(4, boxes=boxes)
    boxes = at_least_float32(boxes)
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat([centre - half, centre + half], dim=-1)


def box_xyxy_to_cxcywh(
    boxes: Real[Tensor, "*batch 4"],
) -> Float[Tensor, "*batch 4"]:
    """Turn ``x0 y0 x1 y1`` into ``centre x, centre y, width, height``.

    Raises:
        ValueError: if the last dimension is not 4.
    """
    check_last_dim(4, boxes=boxes)
    boxes = at_least_float32(boxes)
    low, high = boxes[..., :2], boxes[..., 2:]
    return torch.cat([(low + high) / 2, high - low], dim=-1)


def masks_to_boxes(
    masks: Shaped[Tensor, "*batch height width"],
) -> Float[Tensor, "*batch 4"]:
    """Draw the smallest box around each mask; zeros for an empty one.

    ``x0 y0 x1 y1`` in pixels, where pixel i reaches from i to i + 1: a mask
    of one pixel has a box of one pixel. (torchvision's function of this name
    gives the numbers of the outermost pixels: its ``x1 y1`` are 1 less.)

    Raises:
        ValueError: if a pixel is neither False nor True, 0 nor 1.
    """
    masks = _boolean("masks", masks)
    low, high = [], []
    for dim in (-2, -1):  # over rows: x; over columns: y
        line = masks.any(dim).int()  # (*batch, width or height)
        low.append(line.argmax(-1))
        high.append(line.shape[-1] - line.flip(-1).argmax(-1))
    boxes = torch.stack([*low, *high], dim=-1)
    return (boxes * masks.any(-1).any(-1)[..., None]).float()


def box_iou(
    a: Real[Tensor, "*#batch 4"], b: Real[Tensor, "*#batch 4"]
) -> Float[Tensor, "*batch"]:
    """Divide the area that two boxes share by that of both together.

    ``iou = |a and b| / |a or b|``, from 0 (apart) to 1 (the same). Boxes are
    ``x0 y0 x1 y1``; leading dimensions are broadcast, so ``box_iou(a[:,
    None], b)`` is the matrix of all pairs. Two boxes without area have 0.

    Raises:
        ValueError: if a last dimension is not 4.
    """
    intersection, union, _ = _areas(a, b)
    return intersection / union.clamp(min=torch.finfo(union.dtype).tiny)


def generalized_box_iou(
    a: Real[Tensor, "*#batch 4"], b: Real[Tensor, "*#batch 4"]
) -> Float[Tensor, "*batch"]:
    """Take from the IoU the share of the enclosing box that neither covers.

    ``giou = iou - |enclosing without a or b| / |enclosing|``, where
    *enclosing* is the smallest box around both. From -1 to 1; pushed apart
    along one direction, boxes get a lower number: a slope where the IoU is
    flat. Shapes as in :func:`box_iou`.

    Raises:
        ValueError: if a last dimension is not 4.

    Source: Rezatofighi et al. (2019), "Generalized intersection over union",
    algorithm 1.
    """
    intersection, union, enclosing = _areas(a, b)
    tiny = torch.finfo(union.dtype).tiny
    iou = intersection / union.clamp(min=tiny)
    return iou - (enclosing - union) / enclosing.clamp(min=tiny)


def mask_iou(
    a: Shaped[Tensor, "m height width"], b: Shaped[Tensor, "n height width"]
) -> Float[Tensor, "m n"]:
    """Return the IoU of all pairs of masks, 0 where both are empty.

    Raises:
        ValueError: if a pixel is neither False nor True, 0 nor 1, or the
            masks of both are not of one size.
    """
    a, b = _boolean("a", a), _boolean("b", b)
    if a.dim() != 3 or a.shape[1:] != b.shape[1:]:
        raise ValueError(
            "b: expected masks (n, height, width) of the size of a's, got "
            f"shapes {tuple(a.shape)} and {tuple(b.shape)}"
        )
    a, b = (x.flatten(1).cpu().double() for x in (a, b))  # (m or n, pixels)
    intersection = a @ b.mT
    union = a.sum(1)[:, None] + b.sum(1) - intersection
    return intersection / union.clamp(min=1)


def nms(
    boxes: Real[Tensor, "n 4"],
    scores: Real[Tensor, " n"],
    iou_threshold: float = 0.5,
) -> Int[Tensor, " kept"]:
    """Keep the highest score's box, drop what overlaps it, and so on.

    Non-maximum suppression: the clean-up that most detectors need. A box is
    dropped if its IoU with a kept one is above ``iou_threshold``. Returns the
    indices of the kept boxes, highest score first.

    Raises:
        ValueError: if there is not one score per box, or a score or a number
            of a box is nan.
    """
    check_last_dim(4, boxes=boxes)
    if boxes.dim() != 2 or scores.shape != boxes.shape[:1]:
        raise ValueError(
            "scores: expected one per box, shape (n,) for boxes (n, 4), got "
            f"{tuple(scores.shape)} for {tuple(boxes.shape)}"
        )
    for name, numbers in (("boxes", boxes), ("scores", scores)):
        if bool(numbers.isnan().any()):
            raise ValueError(f"{name}: expected numbers, got nan")
    order = scores.argsort(descending=True, stable=True)
    kept: list[int] = []
    for index in order.tolist():
        ious = box_iou(boxes[index], boxes[kept]) if kept else boxes[:0, 0]
        if not bool((ious > iou_threshold).any()):
            kept.append(index)
    return torch.tensor(kept, dtype=torch.long, device=boxes.device)


def _areas(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the areas of intersection, union and enclosing box."""
    check_last_dim(4, a=a, b=b)
    a, b = at_least_float32(a), at_least_float32(b)
    low = torch.maximum(a[..., :2], b[..., :2])
    high = torch.minimum(a[..., 2:], b[..., 2:])
    intersection = (high - low).clamp(min=0).prod(-1)
    area_a, area_b = ((x[..., 2:] - x[..., :2]).prod(-1) for x in (a, b))
    low = torch.minimum(a[..., :2], b[..., :2])
    high = torch.maximum(a[..., 2:], b[..., 2:])
    enclosing = (high - low).prod(-1)
    return intersection, area_a + area_b - intersection, enclosing


def _boolean(name: str, masks: Tensor) -> Tensor:
    """Give masks of True and False; logits and probabilities are none."""
    if masks.dtype == torch.bool:
        return masks
    if bool(((masks != 0) & (masks != 1)).any()):
        raise ValueError(
            f"{name}: expected masks of False and True, or 0 and 1, got "
            f"{masks.min().item():g} to {masks.max().item():g}; write, for "
            "logits, masks > 0"
        )
    return masks == 1


def at_least_float32(x: Tensor) -> Tensor:
    """Give whole numbers and half precision as float32, others as they are."""
    return x if x.dtype in (torch.float32, torch.float64) else x.float()
