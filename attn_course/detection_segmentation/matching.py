"""Bipartite matching: which prediction answers for which object."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from attn_course.detection_segmentation.boxes import (
    box_cxcywh_to_xyxy,
    generalized_box_iou,
)
from attn_course.detection_segmentation.scenes import Scenes


def hungarian_matching(
    cost: Float[Tensor, "queries objects"],
) -> tuple[Int[Tensor, " matches"], Int[Tensor, " matches"]]:
    """Match rows with columns, each at most once, for the lowest total cost.

    There are as many matches as the shorter side has entries: with more
    objects than queries, the objects that would cost most go without. Ordered
    by row.

    Raises:
        ValueError: if ``cost`` is no matrix of finite numbers.

    Source: Kuhn (1955), "The Hungarian method for the assignment problem";
    computed by ``scipy.optimize.linear_sum_assignment``, the method of
    Jonker and Volgenant as Crouse (2016) has it, "On implementing 2D
    rectangular assignment algorithms".
    """
    if cost.dim() != 2 or not bool(cost.isfinite().all()):
        raise ValueError(
            "cost: expected a matrix of finite numbers, got shape "
            f"{tuple(cost.shape)} with {int((~cost.isfinite()).sum())} that "
            "are not finite"
        )
    rows, columns = linear_sum_assignment(cost.detach().cpu().double().numpy())
    return tuple(torch.from_numpy(x).to(cost.device) for x in (rows, columns))


class Matches(NamedTuple):
    """Which query of which image is matched with which slot of the scene."""

    image: Int[Tensor, " matches"]
    query: Int[Tensor, " matches"]
    slot: Int[Tensor, " matches"]


def matching_cost(
    logits: Float[Tensor, "batch queries classes1"],
    boxes: Float[Tensor, "batch queries 4"],
    scenes: Scenes,
) -> Float[Tensor, "batch queries slots"]:
    """Say what it would cost that a query answers for an object.

    ``cost = - probability of its class + 5 L1(boxes) - 2 giou(boxes)``; the
    factors are those of DETR. Empty slots have a number too: ignore it.

    Source: Carion et al. (2020), "End-to-end object detection with
    transformers", section 3.1 and appendix A.4.
    """
    probs = logits.softmax(dim=-1)  # (batch, queries, classes + 1)
    labels = scenes.labels.clamp(min=0)[:, None]  # (batch, 1, slots)
    class_prob = probs.gather(2, labels.expand(-1, boxes.shape[1], -1))
    boxes, targets = boxes[:, :, None], scenes.boxes[:, None]
    l1 = (boxes - targets).abs().sum(-1)  # (batch, queries, slots)
    giou = generalized_box_iou(
        box_cxcywh_to_xyxy(boxes), box_cxcywh_to_xyxy(targets)
    )
    return -class_prob + 5 * l1 - 2 * giou


@torch.no_grad()
def match(
    logits: Float[Tensor, "batch queries classes1"],
    boxes: Float[Tensor, "batch queries 4"],
    scenes: Scenes,
    groups: int = 1,
) -> Matches:
    """Match the objects of each image with queries, each group by itself.

    An image without objects has no matches; one with more objects than a
    group has queries leaves objects over (see :func:`hungarian_matching`).
    """
    cost = matching_cost(logits, boxes, scenes).cpu()
    cost = cost.unflatten(1, (groups, -1))  # (batch, groups, queries, slots)
    matches = [torch.zeros(3, 0, dtype=torch.long)]
    for image, labels in enumerate(scenes.labels.cpu()):
        slots = (labels >= 0).nonzero()[:, 0]
        for group in range(groups if len(slots) else 0):
            query, column = hungarian_matching(cost[image, group][:, slots])
            query = query + group * cost.shape[2]
            images = torch.full_like(query, image)
            matches.append(torch.stack([images, query, slots[column]]))
    return Matches(*torch.cat(matches, dim=1).to(logits.device))
