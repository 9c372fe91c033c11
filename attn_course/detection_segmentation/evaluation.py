"""What predictions are worth: AP, precision and recall, masks, intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from attn_course.common.arguments import check_choice
from attn_course.common.statistics import Interval, bootstrap
from attn_course.detection_segmentation.boxes import box_iou, mask_iou
from attn_course.detection_segmentation.matching import hungarian_matching
from attn_course.detection_segmentation.scenes import Instances

# Those of COCO.
IOU_THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))


@dataclass
class DetectionEvaluation:
    """Which predictions are true positives, and how many could be.

    For class c: ``true_positives[c]`` (thresholds, predictions), the highest
    score first, ``scenes[c]`` the scene of each prediction,
    ``target_counts[c]`` the number of true objects in each scene. What is no
    true positive is a false positive.
    """

    iou_thresholds: Sequence[float]
    true_positives: list[np.ndarray]
    scenes: list[np.ndarray]
    target_counts: list[np.ndarray]

    def curve(
        self,
        label: int,
        iou_threshold: float = 0.5,
        times: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return recall and precision after each prediction, best score first.

        ``times`` says how often each scene counts; by default once.

        Raises:
            ValueError: if ``iou_threshold`` is none of ``iou_thresholds``.
        """
        row = self._row(iou_threshold)
        scenes, targets = self.scenes[label], self.target_counts[label]
        times = np.ones(len(targets)) if times is None else times
        correct = (self.true_positives[label][row] * times[scenes]).cumsum()
        predicted = times[scenes].cumsum()
        total = (targets * times).sum()
        return (
            correct / max(total, 1e-12),
            correct / np.maximum(predicted, 1e-12),
        )

    def average_precision(
        self, times: np.ndarray | None = None
    ) -> Float[np.ndarray, "thresholds classes"]:
        """Average the precision over 101 recalls, per threshold and class.

        At a recall r it is the best precision at any recall of r or more, 0
        if r is never reached. A class without true objects has no number:
        nan.
        """
        shape = len(self.iou_thresholds), len(self.target_counts)
        averages = np.full(shape, np.nan)
        for label, targets in enumerate(self.target_counts):
            if not (targets if times is None else targets * times).sum():
                continue
            for row, iou_threshold in enumerate(self.iou_thresholds):
                curve = self.curve(label, iou_threshold, times)
                averages[row, label] = _area_under(*curve)
        return averages

    def mean_average_precision(
        self,
        iou_threshold: float | None = None,
        times: np.ndarray | None = None,
    ) -> float:
        """Average over the classes that occur, and over the thresholds.

        With ``iou_threshold``, at this one alone.

        Raises:
            ValueError: if ``iou_threshold`` is none of ``iou_thresholds``.
        """
        averages = self.average_precision(times)
        if iou_threshold is not None:
            averages = averages[self._row(iou_threshold)]
        known = averages[~np.isnan(averages)]
        return float(known.mean()) if known.size else float("nan")

    def interval(
        self,
        iou_threshold: float | None = None,
        samples: int = 200,
        seed: int = 0,
    ) -> Interval:
        """Give the mean average precision, with its interval over scenes.

        Raises:
            ValueError: if ``iou_threshold`` is none of ``iou_thresholds``.
        """
        return bootstrap(
            lambda times: self.mean_average_precision(iou_threshold, times),
            len(self.target_counts[0]),
            samples,
            seed,
        )

    def _row(self, iou_threshold: float) -> int:
        check_choice("iou_threshold", iou_threshold, self.iou_thresholds)
        return list(self.iou_thresholds).index(iou_threshold)


def evaluate_detections(
    predictions: Sequence[Instances],
    targets: Sequence[Instances],
    classes: int,
    iou_thresholds: Sequence[float] = IOU_THRESHOLDS,
    iou_type: str = "boxes",
) -> DetectionEvaluation:
    """Decide for each prediction whether it is right, as COCO does.

    Within a scene and a class, the highest score first, each takes the
    true object that it overlaps most, among those not yet taken and with an
    IoU of at least the threshold. If there is one, it is a true positive,
    else a false positive: so is the second prediction for one object.

    Args:
        predictions: those of each scene, with scores.
        targets: the true objects of each scene.
        classes: how many there are.
        iou_thresholds: from 0 to 1.
        iou_type: "boxes" or "masks": what must overlap.

    Raises:
        ValueError: if the two have different lengths, predictions have no
            scores, or not one number each, a label is none of the
            ``classes``, or ``iou_type`` is neither.

    Source: Lin et al. (2014), "Microsoft COCO"; the details as in
    ``pycocotools``, to which the tests prove it equal.
    """
    check_choice("iou_type", iou_type, ("boxes", "masks"))
    _check_predictions(predictions, targets)
    _check_labels(classes, predictions=predictions, targets=targets)
    evaluation = DetectionEvaluation(tuple(iou_thresholds), [], [], [])
    for label in range(classes):
        true_positives = [np.zeros((len(iou_thresholds), 0), dtype=bool)]
        scores, scenes = [np.zeros(0)], [np.zeros(0, dtype=int)]
        target_counts = np.zeros(len(targets))
        for scene, pair in enumerate(zip(predictions, targets)):
            predicted, target = (
                _take(x, (x.labels == label).nonzero()[:, 0]) for x in pair
            )
            target_counts[scene] = len(target.labels)
            if not len(predicted.labels):
                continue
            order = predicted.scores.argsort(descending=True, stable=True)
            predicted = _take(predicted, order)
            ious = _ious(predicted, target, iou_type)
            true_positives.append(_true_positives(ious, iou_thresholds))
            scores.append(predicted.scores.detach().double().numpy())
            scenes.append(np.full(len(order), scene))
        order = np.argsort(-np.concatenate(scores), kind="stable")
        joined = np.concatenate(true_positives, axis=1)[:, order]
        evaluation.true_positives.append(joined)
        evaluation.scenes.append(np.concatenate(scenes)[order])
        evaluation.target_counts.append(target_counts)
    return evaluation


def average_precision(
    predictions: Sequence[Instances],
    targets: Sequence[Instances],
    classes: int,
    iou_threshold: float = 0.5,
) -> float:
    """Return the mean average precision of boxes at one threshold of IoU."""
    return evaluate_detections(
        predictions, targets, classes, (iou_threshold,)
    ).mean_average_precision()


class OperatingPoint(NamedTuple):
    """What is counted at one threshold of the score.

    ``duplicates`` are predictions that would be right, had not a higher score
    taken their object.
    """

    true_positives: int
    duplicates: int
    predictions: int
    objects: int

    @property
    def precision(self) -> float:
        """Return the share of predictions that are right; 1 of none."""
        if not self.predictions:
            return 1.0
        return self.true_positives / self.predictions

    @property
    def recall(self) -> float:
        """Return the share of objects that were found; 1 of none."""
        return self.true_positives / self.objects if self.objects else 1.0


def operating_point(
    predictions: Sequence[Instances],
    targets: Sequence[Instances],
    classes: int,
    score_threshold: float = 0.5,
    iou_threshold: float = 0.5,
) -> OperatingPoint:
    """Count true positives and duplicates above one threshold of the score.

    Average precision looks at all thresholds of the score at once; whoever
    uses a detector chooses one. Predictions below ``score_threshold`` are
    left out; what is right is decided as in :func:`evaluate_detections`.

    Raises:
        ValueError: as :func:`evaluate_detections`.
    """
    _check_predictions(predictions, targets)
    kept = [
        _take(part, (part.scores >= score_threshold).nonzero()[:, 0])
        for part in predictions
    ]
    evaluation = evaluate_detections(kept, targets, classes, (iou_threshold,))
    right = sum(int(part.sum()) for part in evaluation.true_positives)
    could = 0  # predictions that overlap an object of their class enough
    for predicted, target in zip(kept, targets):
        same = predicted.labels[:, None] == target.labels
        near = torch.from_numpy(_ious(predicted, target, "boxes"))
        near = near >= min(iou_threshold, 1 - 1e-10)
        could += int((same & near).any(dim=1).sum())
    return OperatingPoint(
        right,
        could - right,
        sum(len(part.labels) for part in kept),
        sum(len(part.labels) for part in targets),
    )


def matched_mask_ious(
    predictions: Sequence[Instances], targets: Sequence[Instances]
) -> list[Float[Tensor, "..."]]:
    """Give each true object the IoU of its mask with a prediction's mask.

    Within a scene, predictions and objects are matched one to one, for the
    highest sum of IoUs; the classes are not asked. An object without a
    prediction gets 0. (Not the *mean IoU*, mIoU, of semantic segmentation:
    that is one IoU per class, over the pixels of all scenes.)

    Raises:
        ValueError: if the two have different lengths.
    """
    _check_lengths(predictions, targets)
    matched = []
    for predicted, target in zip(predictions, targets):
        ious = mask_iou(target.masks, predicted.masks)
        rows, columns = hungarian_matching(-ious)
        best = torch.zeros(len(target.masks), dtype=ious.dtype)
        best[rows] = ious[rows, columns]
        matched.append(best)
    return matched


def mean_interval_over_scenes(
    values: Sequence[Float[Tensor, "..."]], samples: int = 1000, seed: int = 0
) -> Interval:
    """Average numbers over all objects; the interval resamples scenes."""
    sums = np.array([float(v.sum()) for v in values])
    counts = np.array([len(v) for v in values])
    return bootstrap(
        lambda times: (sums * times).sum() / max((counts * times).sum(), 1),
        len(values),
        samples,
        seed,
    )


def between_query_variance(predictions: Sequence[Instances]) -> float:
    """Say which share of the variance of box centres lies between queries.

    ``1 - (variance of centres within queries) / (variance of all centres)``,
    which statistics calls the correlation ratio: 0 if every query answers
    everywhere, 1 if each has one position of its own. Where all centres are
    equal there is nothing to know: 0.

    Raises:
        ValueError: if there are fewer than two predictions, or it is not
            known which query made each.
    """
    count = sum(len(p.boxes) for p in predictions)
    if count < 2:
        raise ValueError(
            f"predictions: expected at least two objects, got {count}"
        )
    if any(p.queries is None for p in predictions):
        raise ValueError(
            "predictions: expected the queries that made them, got None"
        )
    centres = torch.cat(
        [(p.boxes[:, :2] + p.boxes[:, 2:]) / 2 for p in predictions]
    )
    queries = torch.cat([p.queries for p in predictions])
    centres = centres.double()
    total = ((centres - centres.mean(0)) ** 2).sum()
    if total < 1e-9:
        return 0.0
    within = sum(
        ((part - part.mean(0)) ** 2).sum()
        for part in (centres[queries == query] for query in queries.unique())
    )
    return float(1 - within / total)


def _check_lengths(
    predictions: Sequence[Instances], targets: Sequence[Instances]
) -> None:
    if len(predictions) != len(targets):
        raise ValueError(
            f"predictions: expected one entry per scene, {len(targets)}, "
            f"got {len(predictions)}"
        )


def _check_labels(classes: int, **scenes: Sequence[Instances]) -> None:
    for name, instances in scenes.items():
        labels = torch.cat([x.labels for x in instances] or [torch.zeros(0)])
        if bool(((labels < 0) | (labels >= classes)).any()):
            raise ValueError(
                f"{name}: expected labels from 0 to {classes - 1}, got "
                f"{int(labels.min())} to {int(labels.max())}"
            )


def _check_predictions(
    predictions: Sequence[Instances], targets: Sequence[Instances]
) -> None:
    _check_lengths(predictions, targets)
    for scene, predicted in enumerate(predictions):
        if predicted.scores is None:
            raise ValueError(
                f"predictions: expected scores, got None in scene {scene}"
            )
        if predicted.scores.shape != predicted.labels.shape:
            raise ValueError(
                "predictions: expected one score per label, shape "
                f"{tuple(predicted.labels.shape)}, got "
                f"{tuple(predicted.scores.shape)} in scene {scene}"
            )
        if bool(predicted.scores.isnan().any()):
            raise ValueError(
                "predictions: expected scores that are numbers, got nan in "
                f"scene {scene}"
            )


def _take(instances: Instances, chosen: Tensor) -> Instances:
    """Return some of the instances."""
    return Instances(*(x if x is None else x[chosen] for x in instances))


def _ious(
    predicted: Instances, target: Instances, iou_type: str
) -> Float[np.ndarray, "predictions objects"]:
    if iou_type == "masks":
        return mask_iou(predicted.masks, target.masks).numpy()
    boxes = predicted.boxes.detach().double()[:, None]
    return box_iou(boxes, target.boxes.double()).numpy()


def _true_positives(
    ious: Float[np.ndarray, "predictions objects"],
    iou_thresholds: Sequence[float],
) -> np.ndarray:
    """Let predictions, best score first, take objects, at each threshold."""
    taken_by = np.zeros((len(iou_thresholds), len(ious)), dtype=bool)
    for row, iou_threshold in enumerate(iou_thresholds):
        free = np.ones(ious.shape[1], dtype=bool)
        for prediction in range(len(ious)):
            best, taken = min(iou_threshold, 1 - 1e-10), None
            for target in np.flatnonzero(free):
                if ious[prediction, target] >= best:
                    best, taken = ious[prediction, target], target
            if taken is not None:
                free[taken] = False
                taken_by[row, prediction] = True
    return taken_by


def _area_under(recall: np.ndarray, precision: np.ndarray) -> float:
    """Average the best precision still to come over 101 recalls."""
    best = np.maximum.accumulate(precision[::-1])[::-1]
    index = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
    return float(np.append(best, 0.0)[index].mean())
