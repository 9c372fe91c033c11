"""Composing scenes: articles over one another, on clutter."""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from scipy import ndimage
from torch import Tensor

from attn_course.common.arguments import whole_number
from attn_course.detection_segmentation.boxes import (
    box_xyxy_to_cxcywh,
    masks_to_boxes,
)
from attn_course.detection_segmentation.scenes import Scenes


def foreground_masks(
    pictures: UInt8[Tensor, "n height width"], threshold: int = 25
) -> Bool[Tensor, "n height width"]:
    """Say which pixels belong to the article: the bright ones, holes filled.

    A pixel is bright above ``threshold``; a dark region that bright pixels
    enclose (the inside of a bag's handle too) is counted in.
    """
    within = np.zeros((3, 3, 3), dtype=bool)  # never from picture to picture
    within[1] = ndimage.generate_binary_structure(2, 1)
    bright = (pictures > threshold).cpu().numpy()
    return torch.from_numpy(ndimage.binary_fill_holes(bright, within))


def paste(
    pictures: Float[Tensor, "n cells cells"],
    top: Float[Tensor, " n"],
    left: Float[Tensor, " n"],
    size: Float[Tensor, " n"],
    side: int,
) -> Float[Tensor, "n side side"]:
    """Draw each picture ``size`` pixels large on an empty canvas.

    Every pixel of the canvas is a weighted mean of the picture's cells near
    it, ``canvas = rows picture columns^T``: bilinear interpolation, and a
    wider mean where the picture is made smaller. What lies outside the canvas
    is cut off.
    """
    rows, columns = (
        _interpolation(start, size, pictures.shape[-1], side)
        for start in (top, left)
    )  # each (n, side, cells)
    return rows @ pictures @ columns.mT


def compose(
    pictures: UInt8[Tensor, "m cells cells"],
    labels: Int[Tensor, " m"],
    count: int,
    *,
    seed: int = 0,
    objects: tuple[int, int] = (1, 4),
    sizes: tuple[float, float] = (20.0, 36.0),
    visible: float = 0.7,
    pieces: int = 4,
    side: int = 64,
    tries: int = 8,
) -> Scenes:
    """Compose scenes: some articles, over one another, on clutter.

    Each class is equally likely, then each picture of it. Size and position
    are uniform, and up to about a quarter of an article may lie outside.
    Later ones cover earlier ones, but never so that less than ``visible`` of
    an article is in view: such a position is drawn anew, at most ``tries``
    times; then the scene has one object less. Behind them: a grey slope, a
    line, squares cut out of other pictures; over all of it noise.

    Args:
        pictures: bright articles on black.
        labels: the class of each picture, from 0 up.
        count: how many scenes.
        seed: the same seed and arguments give the same scenes.
        objects: fewest and most per scene, each number equally likely.
        sizes: smallest and largest side of a picture on the canvas.
        visible: the least share of an article that stays in view.
        pieces: how many squares of clutter.
        side: of the canvas, in pixels.
        tries: how often to look for a position.

    Raises:
        ValueError: if a number does not fit.
    """
    min_objects, max_objects = objects
    if count < 0 or not 0 <= min_objects <= max_objects <= 127:
        raise ValueError(
            "count, objects: expected count from 0 up and 0 <= fewest <= "
            f"most <= 127, got {count} and {objects}"
        )
    if not 0 < visible <= 1 or not 0 < sizes[0] <= sizes[1]:
        raise ValueError(
            "visible, sizes: expected 0 < visible <= 1 and 0 < smallest <= "
            f"largest, got {visible} and {sizes}"
        )
    if len(pictures) == 0 or len(pictures) != len(labels):
        raise ValueError(
            "labels: expected one per picture, and at least one, got "
            f"{len(labels)} for {len(pictures)} pictures"
        )
    pictures, labels = pictures.cpu(), labels.cpu()
    composer = _Composer(pictures, labels, sizes, visible, side, tries, seed)
    parts = [
        composer.draw(min(1000, count - start), *objects, pieces)
        for start in range(0, count, 1000)
    ] or [composer.draw(0, *objects, pieces)]
    return Scenes(*(torch.cat(part) for part in zip(*parts)))


class _Composer:
    """Draws scenes, a thousand at a time, from one row of random numbers."""

    def __init__(self, pictures, labels, sizes, visible, side, tries, seed):
        self.bright = pictures.float() / 255
        self.masks = foreground_masks(pictures).float()
        self.filled = self.masks.mean(dim=(1, 2))  # share of the picture
        self.labels, self.sizes, self.visible = labels, sizes, visible
        self.side, self.tries = side, tries
        self.generator = torch.Generator().manual_seed(
            whole_number("seed", seed)
        )
        # The pictures sorted by class: those of class c start at starts[c].
        self.order = labels.argsort(stable=True)
        counts = labels.bincount()
        self.present = counts.nonzero()[:, 0]
        self.counts, self.starts = counts, counts.cumsum(0) - counts

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        share = torch.rand(*shape, generator=self.generator)
        return low + (high - low) * share

    def pick(self, n: int) -> Tensor:
        """Choose pictures: a class first, then one of that class."""
        index = self.uniform(0, len(self.present), n).long()
        label = self.present[index.clamp(max=len(self.present) - 1)]
        within = (self.uniform(0, 1, n) * self.counts[label]).long()
        within = torch.minimum(within, self.counts[label] - 1)
        return self.order[self.starts[label] + within]

    def clutter(self, n: int, pieces: int) -> Tensor:
        """Draw what lies behind: a slope, cut-out squares, a line."""
        side, grid = self.side, torch.arange(self.side) + 0.5
        slope = grid / side - 0.5
        canvas = self.uniform(0.05, 0.35, n, 1, 1).expand(n, side, side)
        canvas = canvas + self.uniform(-0.2, 0.2, n, 1, 1) * slope
        canvas = canvas + self.uniform(-0.2, 0.2, n, 1, 1) * slope[:, None]
        for _ in range(pieces):
            size = self.uniform(20, 40, n)
            centre = self.uniform(0, side, 2, n)
            grey = paste(
                self.bright[self.pick(n)], *(centre - size / 2), size, side
            )
            half = self.uniform(2, 6, 2, n)
            rows, columns = (grid - centre[..., None]).abs() < half[..., None]
            square = rows[:, :, None] & columns[:, None]
            canvas = torch.where(square, grey, canvas)
        angle = self.uniform(0, torch.pi, n, 1, 1)
        y, x = self.uniform(0, side, 2, n, 1, 1)
        away = (grid[:, None] - y) * angle.cos() + (grid - x) * angle.sin()
        line = self.uniform(0, 1, n, 1, 1)
        return torch.where(away.abs() < 0.7, line, canvas)

    def draw(
        self, n: int, min_objects: int, max_objects: int, pieces: int
    ) -> list[Tensor]:
        """Draw n scenes: images, instance maps, labels, boxes."""
        wanted = torch.randint(
            min_objects, max_objects + 1, (n,), generator=self.generator
        )
        canvas = self.clutter(n, pieces)
        slots = max(max_objects, 1)
        maps = torch.full((n, self.side, self.side), -1, dtype=torch.int8)
        labels = torch.full((n, slots), -1)
        areas = torch.zeros(n, slots)
        for slot in range(max_objects):
            waiting = (wanted > slot).nonzero()[:, 0]
            for _ in range(self.tries):
                waiting = self.add(slot, waiting, canvas, maps, labels, areas)
        canvas += 0.03 * torch.randn(canvas.shape, generator=self.generator)
        images = (canvas.clamp(0, 1) * 255).round().to(torch.uint8)
        masks = maps[:, None] == torch.arange(slots)[:, None, None]
        boxes = box_xyxy_to_cxcywh(masks_to_boxes(masks) / self.side)
        return [images, maps, labels, boxes]

    def add(self, slot, waiting, canvas, maps, labels, areas) -> Tensor:
        """Try one object in each scene that waits; return who still waits."""
        n, side = len(waiting), self.side
        picture, size = self.pick(n), self.uniform(*self.sizes, n)
        # A quarter of the picture may lie outside, at each end.
        room = side - size / 2
        top, left = self.uniform(0, 1, 2, n) * room - size / 4
        mask = paste(self.masks[picture], top, left, size, side) > 0.5
        area = self.filled[picture] * size**2
        earlier_map = maps[waiting]  # (n, side, side)
        fits = mask.sum((1, 2)) >= self.visible * area
        for earlier in range(slot):
            in_view = ((earlier_map == earlier) & ~mask).sum((1, 2))
            fits &= in_view >= self.visible * areas[waiting, earlier]
        rows, mask, picture = waiting[fits], mask[fits], picture[fits]
        grey = paste(
            self.bright[picture], top[fits], left[fits], size[fits], side
        )
        grey = grey * self.uniform(0.7, 1, len(rows), 1, 1)
        canvas[rows] = torch.where(mask, grey, canvas[rows])
        new = torch.tensor(slot, dtype=torch.int8)
        maps[rows] = torch.where(mask, new, earlier_map[fits])
        labels[rows, slot] = self.labels[picture]
        areas[rows, slot] = area[fits]
        return waiting[~fits]


def _interpolation(
    start: Tensor, size: Tensor, cells: int, side: int
) -> Tensor:
    """Weigh the cells for each pixel of a canvas: (n, side, cells)."""
    scale = (cells / size)[:, None]  # cells per pixel
    centre = (torch.arange(side) + 0.5 - start[:, None]) * scale - 0.5
    away = (centre[..., None] - torch.arange(cells)).abs()
    width = scale.clamp(min=1)[..., None]
    return (1 - away / width).clamp(min=0) / width
