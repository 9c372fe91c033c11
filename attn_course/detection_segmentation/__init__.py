"""Lesson 10: where is each thing, and which pixels are its own?

Reading order, one idea per file: ``boxes`` compares boxes and masks;
``scenes`` holds images with their ground truth, ``composition`` makes them
from single photographs; ``matching`` matches predictions with targets, one to
one; ``model`` is the detector, a class, a box and a mask per object query;
``losses`` trains it; ``inference`` reads its predictions; ``evaluation`` says
what they are worth: average precision, with an interval.
"""

from attn_course.detection_segmentation.boxes import (
    box_cxcywh_to_xyxy,
    box_iou,
    box_xyxy_to_cxcywh,
    generalized_box_iou,
    mask_iou,
    masks_to_boxes,
    nms,
)
from attn_course.detection_segmentation.composition import (
    compose,
    foreground_masks,
    paste,
)
from attn_course.detection_segmentation.evaluation import (
    IOU_THRESHOLDS,
    DetectionEvaluation,
    OperatingPoint,
    average_precision,
    between_query_variance,
    evaluate_detections,
    matched_mask_ious,
    mean_interval_over_scenes,
    operating_point,
)
from attn_course.detection_segmentation.inference import detect
from attn_course.detection_segmentation.losses import (
    Losses,
    set_loss,
    training_loss,
)
from attn_course.detection_segmentation.matching import (
    Matches,
    hungarian_matching,
    match,
    matching_cost,
)
from attn_course.detection_segmentation.model import (
    Detector,
    DetectorOutput,
    sine_embedding,
)
from attn_course.detection_segmentation.scenes import (
    COARSE_CLASSES,
    COARSE_LABEL_OF,
    Instances,
    Scenes,
    coarse_labels,
    scene_batches,
)

__all__ = [
    "COARSE_CLASSES",
    "COARSE_LABEL_OF",
    "IOU_THRESHOLDS",
    "DetectionEvaluation",
    "Detector",
    "DetectorOutput",
    "Instances",
    "Losses",
    "Matches",
    "OperatingPoint",
    "Scenes",
    "average_precision",
    "between_query_variance",
    "box_cxcywh_to_xyxy",
    "box_iou",
    "box_xyxy_to_cxcywh",
    "coarse_labels",
    "compose",
    "detect",
    "evaluate_detections",
    "foreground_masks",
    "generalized_box_iou",
    "hungarian_matching",
    "mask_iou",
    "masks_to_boxes",
    "match",
    "matched_mask_ious",
    "matching_cost",
    "mean_interval_over_scenes",
    "nms",
    "operating_point",
    "paste",
    "scene_batches",
    "set_loss",
    "sine_embedding",
    "training_loss",
]
