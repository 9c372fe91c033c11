"""Scenes with their ground truth: classes, boxes, and an instance map."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int, Int8, Integer, UInt8
from torch import Tensor

from attn_course.common.batching import epoch_batches, shuffled_batches
from attn_course.detection_segmentation.boxes import box_cxcywh_to_xyxy

# A top hangs from the shoulders: T-shirt, pullover, dress, coat, shirt.
COARSE_CLASSES = ("top", "trousers", "shoe", "bag")
COARSE_LABEL_OF = (0, 1, 0, 0, 0, 2, 0, 2, 3, 2)  # of each class


def coarse_labels(labels: Integer[Tensor, " n"]) -> Int[Tensor, " n"]:
    """Group Fashion-MNIST's ten classes into the four of COARSE_CLASSES.

    Raises:
        ValueError: if a label is not from 0 to 9.
    """
    labels = labels.long()  # torch takes uint8 for a mask
    if bool(((labels < 0) | (labels > 9)).any()):
        raise ValueError(
            f"labels: expected 0 to 9, got {int(labels.min())} to "
            f"{int(labels.max())}"
        )
    return torch.tensor(COARSE_LABEL_OF, device=labels.device)[labels]


class Instances(NamedTuple):
    """The objects of one scene: targets, or predictions with a score.

    Boxes are ``x0 y0 x1 y1`` in pixels. ``queries`` says which query made a
    prediction.
    """

    labels: Int[Tensor, " n"]
    boxes: Float[Tensor, "n 4"]
    masks: Bool[Tensor, "n height width"]
    scores: Float[Tensor, " n"] | None = None
    queries: Int[Tensor, " n"] | None = None


@dataclass
class Scenes:
    """Grey images, and which object each pixel belongs to.

    A scene has the same number of slots as every other; a slot whose label is
    -1 is empty. Boxes are ``centre x, centre y, width, height`` as shares of
    the side, tight around the *visible* pixels of the object: box and mask
    speak of the same pixels.
    """

    images: UInt8[Tensor, "n side side"]
    instance_map: Int8[Tensor, "n side side"]  # a pixel's slot, or -1
    labels: Int[Tensor, "n slots"]
    boxes: Float[Tensor, "n slots 4"]

    def __len__(self) -> int:
        return len(self.images)

    def take(self, chosen: Tensor | slice) -> "Scenes":
        """Return some of the scenes."""
        return Scenes(
            self.images[chosen],
            self.instance_map[chosen],
            self.labels[chosen],
            self.boxes[chosen],
        )

    def hflip(self, flip: Bool[Tensor, " n"]) -> "Scenes":
        """Flip the scenes where ``flip`` is True, left to right."""
        flip_pixels = flip[:, None, None]
        boxes = self.boxes.clone()
        flip_boxes = flip[:, None] & (self.labels >= 0)
        boxes[..., 0] = torch.where(
            flip_boxes, 1 - boxes[..., 0], boxes[..., 0]
        )
        return Scenes(
            torch.where(flip_pixels, self.images.flip(-1), self.images),
            torch.where(
                flip_pixels, self.instance_map.flip(-1), self.instance_map
            ),
            self.labels,
            boxes,
        )

    def masks(self) -> Bool[Tensor, "n slots side side"]:
        """Return the visible pixels of each slot; none for an empty one."""
        slots = torch.arange(
            self.labels.shape[1], device=self.instance_map.device
        )
        return self.instance_map[:, None] == slots[:, None, None]

    def to(self, device: torch.device | str) -> "Scenes":
        """Return the scenes on another device."""
        return Scenes(
            self.images.to(device),
            self.instance_map.to(device),
            self.labels.to(device),
            self.boxes.to(device),
        )

    def instances(self) -> list[Instances]:
        """List the objects of each scene, the ground truth, on the CPU."""
        side = self.images.shape[-1]
        scenes = self.to("cpu")
        rows = zip(scenes.labels, scenes.boxes, scenes.masks())
        return [
            Instances(
                labels[labels >= 0],
                box_cxcywh_to_xyxy(boxes[labels >= 0]) * side,
                masks[labels >= 0],
            )
            for labels, boxes, masks in rows
        ]


def scene_batches(
    scenes: Scenes, size: int = 16, seed: int = 0
) -> Callable[[int], Scenes]:
    """Make ``batches(step)``: scenes in a new order each epoch, half flipped.

    The same seed and step give the same batch. The last scenes of an epoch
    that fill no batch are left out.

    Raises:
        ValueError: if there are fewer than ``size`` scenes.
    """

    def plan(generator: torch.Generator, epoch: int) -> list:
        chosen = shuffled_batches(len(scenes), size, generator)
        flip = torch.rand(len(scenes), generator=generator) < 0.5
        return list(zip(chosen, flip.split(int(size))))

    batches = epoch_batches(plan, seed=seed)
    device = scenes.images.device

    def batch(step: int) -> Scenes:
        chosen, flip = (x.to(device) for x in batches(step))
        return scenes.take(chosen).hflip(flip)

    return batch
