"""Reading the predictions of a trained detector."""

import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.nn import functional as F

from attn_course.common.evaluation import evaluating
from attn_course.detection_segmentation.boxes import box_cxcywh_to_xyxy
from attn_course.detection_segmentation.model import Detector
from attn_course.detection_segmentation.scenes import Instances


@torch.no_grad()
def detect(
    model: Detector,
    images: UInt8[Tensor, "n side side"],
    score_threshold: float = 0.5,
    *,
    groups: int = 1,
    isolate_queries: bool = False,
    batch_size: int = 100,
) -> list[Instances]:
    """List what the model finds in each image, best score first, on the CPU.

    A query's score is its largest probability of a class other than "no
    object"; below ``score_threshold`` it is left out. No prediction is
    removed because of another one. The model is left in the mode it was in.

    Args:
        model: a trained one.
        images: any number of them.
        score_threshold: 0 keeps every query's prediction, as average
            precision wants it.
        groups: how many groups of queries to ask.
        isolate_queries: as in :class:`Detector`.
        batch_size: how many images at a time.
    """
    predictions = []
    with evaluating(model):
        for batch in images.split(int(batch_size)):
            output = model(
                batch, groups=groups, isolate_queries=isolate_queries
            )
            probs = output.logits[-1].softmax(-1)[..., :-1]
            scores, labels = probs.cpu().max(-1)  # (batch, queries)
            boxes = box_cxcywh_to_xyxy(output.boxes[-1]).cpu() * model.side
            masks = F.interpolate(
                output.masks, scale_factor=2, mode="bilinear"
            ).cpu()
            for image in range(len(batch)):
                order = scores[image].argsort(descending=True, stable=True)
                order = order[scores[image, order] >= score_threshold]
                predictions.append(
                    Instances(
                        labels[image, order],
                        boxes[image, order],
                        masks[image, order] > 0,
                        scores[image, order],
                        order,
                    )
                )
    return predictions
