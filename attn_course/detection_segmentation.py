"""Lesson 10: where is each thing, and which pixels are its own?

Reading order: ``compose`` makes scenes from single photographs. ``iou`` and
``generalised_iou`` compare boxes, ``cheapest_pairs`` pairs answers with
objects. ``Detector`` answers with a class, a box and a mask per object query,
``set_loss`` trains it, ``detect`` reads its answers. ``judge`` counts what was
right: average precision, with an interval; ``mask_overlaps`` does so for
masks. ``place_share`` asks whether queries specialise, ``suppress`` is the
clean-up that is not needed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int8, UInt8
from scipy import ndimage
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torch.nn import functional as F

from attn_course.image_attention import normalise
from attn_course.transformer import DecoderLayer, Encoder
from attn_course.translation import Interval

# A top hangs from the shoulders: T-shirt, pullover, dress, coat, shirt.
KINDS = ("top", "trousers", "shoe", "bag")
KIND_OF = (0, 1, 0, 0, 0, 2, 0, 2, 3, 2)  # of each Fashion-MNIST class
LEVELS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))  # COCO's


def kinds(labels: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
    """Turn Fashion-MNIST's ten classes into four kinds, numbered as KINDS."""
    return torch.tensor(KIND_OF, device=labels.device)[labels]


# --- scenes ------------------------------------------------------------------


class Objects(NamedTuple):
    """The objects of one scene: true ones, or found ones with a score.

    Boxes are corners ``x0 y0 x1 y1`` in pixels.
    """

    labels: Int[Tensor, " n"]
    boxes: Float[Tensor, "n 4"]
    masks: Bool[Tensor, "n height width"]
    scores: Float[Tensor, " n"] | None = None
    queries: Int[Tensor, " n"] | None = None


@dataclass
class Scenes:
    """Grey images, and whose each pixel is.

    A scene has the same number of slots as every other; a slot whose label is
    -1 is empty. Boxes are ``centre x, centre y, width, height`` as shares of
    the side, tight around the *visible* pixels of the object: box and mask
    speak of the same pixels.
    """

    images: UInt8[Tensor, "n side side"]
    owners: Int8[Tensor, "n side side"]  # the slot that owns a pixel, or -1
    labels: Int[Tensor, "n slots"]
    boxes: Float[Tensor, "n slots 4"]

    def __len__(self) -> int:
        return len(self.images)

    def take(self, chosen: Tensor | slice) -> "Scenes":
        """Return some of the scenes."""
        return Scenes(
            self.images[chosen],
            self.owners[chosen],
            self.labels[chosen],
            self.boxes[chosen],
        )

    def mirror(self, flip: Bool[Tensor, " n"]) -> "Scenes":
        """Return the scenes, those where ``flip`` is True left to right."""
        pixels = flip[:, None, None]
        boxes = self.boxes.clone()
        real = self.labels >= 0
        boxes[..., 0] = torch.where(
            flip[:, None] & real, 1 - boxes[..., 0], boxes[..., 0]
        )
        return Scenes(
            torch.where(pixels, self.images.flip(-1), self.images),
            torch.where(pixels, self.owners.flip(-1), self.owners),
            self.labels,
            boxes,
        )

    def masks(self) -> Bool[Tensor, "n slots side side"]:
        """Return the visible pixels of each slot; none for an empty one."""
        slots = torch.arange(self.labels.shape[1], device=self.owners.device)
        return self.owners[:, None] == slots[:, None, None]

    def to(self, device: torch.device | str) -> "Scenes":
        """Return the scenes on another device."""
        return Scenes(
            self.images.to(device),
            self.owners.to(device),
            self.labels.to(device),
            self.boxes.to(device),
        )

    def objects(self) -> list[Objects]:
        """List the true objects of each scene, on the CPU."""
        side = self.images.shape[-1]
        whole = self.to("cpu")
        rows = zip(whole.labels, whole.boxes, whole.masks())
        return [
            Objects(
                labels[labels >= 0],
                corners(boxes[labels >= 0]) * side,
                masks[labels >= 0],
            )
            for labels, boxes, masks in rows
        ]


def silhouettes(
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
        _hats(start, size, pictures.shape[-1], side) for start in (top, left)
    )  # each (n, side, cells)
    return rows @ pictures @ columns.mT


def tight_boxes(
    masks: Bool[Tensor, "*batch height width"],
) -> Float[Tensor, "*batch 4"]:
    """Draw the smallest box around each mask; zeros for an empty one.

    ``centre x, centre y, width, height``, as shares of width and height. A
    mask of one pixel gives a box of one pixel.
    """
    ends = []
    for dim in (-2, -1):  # over rows: x; over columns: y
        line = masks.any(dim).int()  # (*batch, width or height)
        length = line.shape[-1]
        first = line.argmax(-1) / length
        last = 1 - line.flip(-1).argmax(-1) / length
        ends.append((first, last))
    (x0, x1), (y0, y1) = ends
    boxes = [(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0]
    return torch.stack(boxes, dim=-1) * masks.any(-1).any(-1)[..., None]


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

    Each class is equally likely, then each picture of it. Size and place are
    uniform, and up to about a quarter of an article may lie outside. Later
    ones cover earlier ones, but never so that less than ``visible`` of an
    article is in view: such a place is drawn anew, at most ``tries`` times;
    then the scene has one object less. Behind them: a grey slope, a line,
    squares cut out of other pictures; over all of it noise.

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
        tries: how often to look for a place.

    Raises:
        ValueError: if a number does not fit.
    """
    fewest, most = objects
    if count < 0 or not 0 <= fewest <= most or most > 127:
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
    artist = _Artist(pictures, labels, sizes, visible, side, tries, seed)
    parts = [
        artist.draw(min(1000, count - start), fewest, most, pieces)
        for start in range(0, count, 1000)
    ] or [artist.draw(0, fewest, most, pieces)]
    return Scenes(*(torch.cat(part) for part in zip(*parts)))


class _Artist:
    """Draws scenes, a thousand at a time, from one row of random numbers."""

    def __init__(self, pictures, labels, sizes, visible, side, tries, seed):
        self.bright = pictures.float() / 255
        self.shapes = silhouettes(pictures).float()
        self.filled = self.shapes.mean(dim=(1, 2))  # share of the picture
        self.labels, self.sizes, self.visible = labels, sizes, visible
        self.side, self.tries = side, tries
        self.generator = torch.Generator().manual_seed(seed)
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
        which = self.uniform(0, len(self.present), n).long()
        chosen = self.present[which.clamp(max=len(self.present) - 1)]
        within = (self.uniform(0, 1, n) * self.counts[chosen]).long()
        within = torch.minimum(within, self.counts[chosen] - 1)
        return self.order[self.starts[chosen] + within]

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
        self, n: int, fewest: int, most: int, pieces: int
    ) -> list[Tensor]:
        """Draw n scenes: images, owners, labels, boxes."""
        wanted = torch.randint(
            fewest, most + 1, (n,), generator=self.generator
        )
        canvas = self.clutter(n, pieces)
        owners = torch.full((n, self.side, self.side), -1, dtype=torch.int8)
        slots = max(most, 1)
        found = torch.full((n, slots), -1)
        areas = torch.zeros(n, slots)
        for slot in range(most):
            waiting = (wanted > slot).nonzero()[:, 0]
            for _ in range(self.tries):
                waiting = self.add(slot, waiting, canvas, owners, found, areas)
        canvas += 0.03 * torch.randn(canvas.shape, generator=self.generator)
        images = (canvas.clamp(0, 1) * 255).round().to(torch.uint8)
        number = torch.arange(slots)[:, None, None]
        boxes = tight_boxes(owners[:, None] == number)
        return [images, owners, found, boxes]

    def add(self, slot, waiting, canvas, owners, found, areas) -> Tensor:
        """Try one object in each scene that waits; return who still waits."""
        n, side = len(waiting), self.side
        picture, size = self.pick(n), self.uniform(*self.sizes, n)
        # A quarter of the picture may lie outside, at each end.
        room = side - size / 2
        top, left = self.uniform(0, 1, 2, n) * room - size / 4
        shape = paste(self.shapes[picture], top, left, size, side) > 0.5
        area = self.filled[picture] * size**2
        here = owners[waiting]  # (n, side, side)
        fits = shape.sum((1, 2)) >= self.visible * area
        for earlier in range(slot):
            rest = ((here == earlier) & ~shape).sum((1, 2))
            fits &= rest >= self.visible * areas[waiting, earlier]
        rows, shape, picture = waiting[fits], shape[fits], picture[fits]
        place = top[fits], left[fits], size[fits]
        grey = paste(self.bright[picture], *place, side)
        grey = grey * self.uniform(0.7, 1, len(rows), 1, 1)
        canvas[rows] = torch.where(shape, grey, canvas[rows])
        new = torch.tensor(slot, dtype=torch.int8)
        owners[rows] = torch.where(shape, new, here[fits])
        found[rows, slot] = self.labels[picture]
        areas[rows, slot] = area[fits]
        return waiting[~fits]


def _hats(start: Tensor, size: Tensor, cells: int, side: int) -> Tensor:
    """Weigh the cells for each pixel of a canvas: (n, side, cells)."""
    scale = (cells / size)[:, None]  # cells per pixel
    at = (torch.arange(side) + 0.5 - start[:, None]) * scale - 0.5
    away = (at[..., None] - torch.arange(cells)).abs()
    width = scale.clamp(min=1)[..., None]
    return (1 - away / width).clamp(min=0) / width


def scene_batches(
    scenes: Scenes, size: int = 16, seed: int = 0
) -> Callable[[int], Scenes]:
    """Make ``batches(step)``: scenes in a new order each epoch, half mirrored.

    The same seed and step give the same batch. The last scenes of an epoch
    that fill no batch are left out.

    Raises:
        ValueError: if there are fewer than ``size`` scenes.
    """
    per_epoch = len(scenes) // size
    if size < 1 or per_epoch < 1:
        raise ValueError(
            f"size: expected 1 to {len(scenes)}, the number of scenes, "
            f"got {size}"
        )

    def batch(step: int) -> Scenes:
        epoch, place = divmod(step, per_epoch)
        generator = torch.Generator().manual_seed(1_000_003 * seed + epoch)
        order = torch.randperm(len(scenes), generator=generator)
        flip = torch.rand(len(scenes), generator=generator) < 0.5
        part = slice(place * size, (place + 1) * size)
        device = scenes.images.device
        return scenes.take(order[part].to(device)).mirror(
            flip[part].to(device)
        )

    return batch


# --- boxes and pairs ---------------------------------------------------------


def corners(boxes: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 4"]:
    """Turn ``centre x, centre y, width, height`` into ``x0 y0 x1 y1``."""
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat([centre - half, centre + half], dim=-1)


def iou(
    a: Float[Tensor, "*#batch 4"], b: Float[Tensor, "*#batch 4"]
) -> Float[Tensor, "*batch"]:
    """Divide the common area of two boxes by that of both together.

    ``iou = |a and b| / |a or b|``, from 0 (apart) to 1 (the same). Boxes are
    ``x0 y0 x1 y1``; leading dimensions are broadcast, so ``iou(a[:, None],
    b)`` is the matrix of all pairs. Two boxes without area have 0.
    """
    common, union, _ = _areas(a, b)
    return common / union.clamp(min=torch.finfo(union.dtype).tiny)


def generalised_iou(
    a: Float[Tensor, "*#batch 4"], b: Float[Tensor, "*#batch 4"]
) -> Float[Tensor, "*batch"]:
    """Take from the IoU the share of the hull that neither box covers.

    ``giou = iou - |hull without a or b| / |hull|``, where the hull is the
    smallest box around both. From -1 to 1; pushed apart along one
    direction, boxes get a lower number: a slope where the IoU is flat.

    Source: Rezatofighi et al. (2019), "Generalized intersection over union",
    algorithm 1.
    """
    common, union, hull = _areas(a, b)
    tiny = torch.finfo(union.dtype).tiny
    overlap = common / union.clamp(min=tiny)
    return overlap - (hull - union) / hull.clamp(min=tiny)


def _areas(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the areas of what is common, of the union and of the hull."""
    low = torch.maximum(a[..., :2], b[..., :2])
    high = torch.minimum(a[..., 2:], b[..., 2:])
    common = (high - low).clamp(min=0).prod(-1)
    one, two = ((x[..., 2:] - x[..., :2]).prod(-1) for x in (a, b))
    low = torch.minimum(a[..., :2], b[..., :2])
    high = torch.maximum(a[..., 2:], b[..., 2:])
    return common, one + two - common, (high - low).prod(-1)


def cheapest_pairs(
    cost: Float[Tensor, "queries objects"],
) -> tuple[Int[Tensor, " pairs"], Int[Tensor, " pairs"]]:
    """Pair rows with columns, each at most once, for the lowest total cost.

    There are as many pairs as the shorter side has entries: with more objects
    than queries, the objects that would cost most go without. Ordered by row.

    Raises:
        ValueError: if ``cost`` is no matrix of finite numbers.

    Source: Kuhn (1955), "The Hungarian method for the assignment problem";
    computed by ``scipy.optimize.linear_sum_assignment``, a faster relative.
    """
    if cost.dim() != 2 or not bool(cost.isfinite().all()):
        raise ValueError(
            "cost: expected a matrix of finite numbers, got shape "
            f"{tuple(cost.shape)} with {int((~cost.isfinite()).sum())} that "
            "are not finite"
        )
    rows, columns = linear_sum_assignment(cost.detach().cpu().numpy())
    return tuple(torch.from_numpy(x).to(cost.device) for x in (rows, columns))


class Pairs(NamedTuple):
    """Which query of which image answers for which slot: one row per pair."""

    image: Int[Tensor, " pairs"]
    query: Int[Tensor, " pairs"]
    slot: Int[Tensor, " pairs"]


def pair_costs(
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
    chances = logits.softmax(dim=-1)  # (batch, queries, classes + 1)
    classes = scenes.labels.clamp(min=0)[:, None]  # (batch, 1, slots)
    right = chances.gather(2, classes.expand(-1, boxes.shape[1], -1))
    mine, true = boxes[:, :, None], scenes.boxes[:, None]
    away = (mine - true).abs().sum(-1)  # (batch, queries, slots)
    overlap = generalised_iou(corners(mine), corners(true))
    return -right + 5 * away - 2 * overlap


@torch.no_grad()
def find_pairs(
    logits: Float[Tensor, "batch queries classes1"],
    boxes: Float[Tensor, "batch queries 4"],
    scenes: Scenes,
    groups: int = 1,
) -> Pairs:
    """Pair the objects of each image with queries, each group by itself.

    An image without objects has no pairs; one with more objects than a group
    has queries leaves objects over (see ``cheapest_pairs``).
    """
    cost = pair_costs(logits, boxes, scenes).unflatten(1, (groups, -1)).cpu()
    labels, per_group = scenes.labels.cpu(), cost.shape[2]
    found = []
    for image, row in enumerate(labels):
        real = (row >= 0).nonzero()[:, 0]
        for group in range(groups if len(real) else 0):
            query, column = cheapest_pairs(cost[image, group][:, real])
            number = torch.full_like(query, image)
            query = query + group * per_group
            found.append(torch.stack([number, query, real[column]]))
    empty = torch.zeros(3, 0, dtype=torch.long)
    return Pairs(*torch.cat([empty, *found], dim=1).to(logits.device))


# --- the model ---------------------------------------------------------------


class Answers(NamedTuple):
    """What a :class:`Detector` says, ``queries`` per group and image.

    The last entry of ``logits`` is the score of "nothing here". ``masks`` are
    logits, at half the image's side, of the last layer. ``tokens`` are the
    logits and boxes of the memory's tokens, in training only. ``weights`` are
    those of the attention to the memory, if asked for.
    """

    logits: Float[Tensor, "layers batch queries classes1"]
    boxes: Float[Tensor, "layers batch queries 4"]
    masks: Float[Tensor, "batch queries half half"]
    tokens: tuple[Tensor, Tensor] | None = None
    weights: Float[Tensor, "layers batch heads queries tokens"] | None = None


def waves(
    x: Float[Tensor, "*batch numbers"], count: int = 24
) -> Float[Tensor, "*batch wide"]:
    """Write numbers from 0 to 1 as sines and cosines, ``count`` for each.

    Lesson 03's sinusoidal positions, for places that are no integers: the
    frequencies go from half a wave over the image to 16 waves.
    """
    steps = torch.linspace(0, 5, count // 2, device=x.device, dtype=x.dtype)
    angles = x[..., None] * torch.pi * 2**steps
    return torch.cat([angles.sin(), angles.cos()], dim=-1).flatten(-2)


class Detector(nn.Module):
    """DETR in small: object queries ask an image, each answers for one object.

    Convolutions halve the image three times. An encoder (lesson 06) lets the
    64 coarsest tokens attend to each other; what it found is added to the
    next finer map, whose 256 tokens are the memory. Each query is a learned
    vector with a learned first box. In every decoder layer (lesson 06) the
    queries attend to one another, then to the memory, and each corrects its
    box: everywhere in the first layer, later only in and around its own box.

    Three small heads read a query: a class or "nothing", the change of the
    box, and a vector whose dot product with each pixel's vector is the
    pixel's mask logit.

    In training there are several groups of queries that do not see each other
    and share everything else; afterwards the first group is enough.

    Args of the constructor:
        classes: how many there are, without "nothing".
        queries: per group.
        groups: in training.
        dim: numbers per token.
        heads: of each attention.
        mlp_dim: width inside the MLPs.
        layers: of the decoder.
        side: of the images; must be a multiple of 8.

    Sources: Carion et al. (2020), section 3.2; masks: Cheng et al. (2021),
    "Per-pixel classification is not all you need", section 3.2; boxes that
    are corrected layer by layer: Liu et al. (2022), "DAB-DETR", section 4;
    groups: Chen et al. (2023), "Group DETR", section 3; attention inside what
    was found so far: after Cheng et al. (2022), "Masked-attention mask
    transformer", section 3.2.1, who use the mask, not the box.
    """

    def __init__(
        self,
        classes: int,
        *,
        queries: int = 8,
        groups: int = 3,
        dim: int = 64,
        heads: int = 4,
        mlp_dim: int = 128,
        layers: int = 2,
        side: int = 64,
    ) -> None:
        """Create all parts.

        Raises:
            ValueError: if a size does not fit.
        """
        super().__init__()
        for name, number in (
            ("classes", classes),
            ("queries", queries),
            ("groups", groups),
            ("layers", layers),
        ):
            if number < 1:
                raise ValueError(f"{name}: expected 1 or more, got {number}")
        if side < 8 or side % 8:
            raise ValueError(f"side: expected a multiple of 8, got {side}")
        self.queries, self.groups, self.side = queries, groups, side
        first, second = dim // 4, dim * 3 // 4
        self.fine = nn.Sequential(*_convolve(1, first))  # side / 2
        self.middle = nn.Sequential(*_convolve(first, second))  # side / 4
        self.coarse = nn.Sequential(*_convolve(second, dim))  # side / 8
        self.encoder = Encoder(1, dim, heads, mlp_dim)
        self.lift = nn.Linear(second, dim)
        self.memory_norm = nn.LayerNorm(dim)
        self.place_token = nn.Linear(2 * 24, dim)
        self.place_query = nn.Linear(4 * 24, dim)
        self.content = nn.Parameter(0.5 * torch.randn(groups * queries, dim))
        anchors = torch.full((groups * queries, 4), 0.3)
        anchors[:, :2] = 0.1 + 0.8 * torch.rand(groups * queries, 2)
        self.anchors = nn.Parameter(anchors.logit())
        self.layers = nn.ModuleList(
            DecoderLayer(dim, heads, mlp_dim) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(dim)
        self.class_head = nn.Linear(dim, classes + 1)
        self.box_head = _head(dim, 4, still=True)
        self.mask_head = _head(dim, 32)
        self.pixel_side = nn.Linear(first, 32)
        self.pixel_memory = nn.Linear(dim, 32)
        self.pixel_head = nn.Linear(32, 32)
        self.token_class = nn.Linear(dim, classes + 1)
        self.token_box = _head(dim, 4, still=True)
        self.register_buffer("coarse_places", _places(side // 8), False)
        self.register_buffer("places", _places(side // 4), False)
        self.to(memory_format=torch.channels_last)

    @property
    def classes(self) -> int:
        """Return the number of classes, without "nothing"."""
        return self.class_head.out_features - 1

    def forward(
        self,
        images: UInt8[Tensor, "batch side side"],
        *,
        groups: int | None = None,
        alone: bool = False,
        need_weights: bool = False,
    ) -> Answers:
        """Return what every query says of each image.

        Args:
            images: grey bytes.
            groups: how many groups of queries to ask; by default all in
                training, one in evaluation.
            alone: no query may attend to another one. For an experiment.
            need_weights: give the weights of the attention to the memory.

        Raises:
            ValueError: if the images are not bytes of the model's side, or
                there are not that many groups.
        """
        groups = groups or (self.groups if self.training else 1)
        self._check(images, groups)
        memory, pixels = self.see(images)
        count = groups * self.queries
        x = self.content[:count].expand(len(images), -1, -1)
        boxes = self.anchors[:count].sigmoid().expand(len(images), -1, -1)
        mask = self._who_sees_whom(count, alone)
        logits, all_boxes, weights = [], [], []
        for number, layer in enumerate(self.layers):
            x = x + self.place_query(waves(boxes))
            near = self.near(boxes) if number else None
            x, _, cross = layer(
                x, memory, mask, near, need_weights=need_weights
            )
            seen = self.norm(x)
            # The box so far is a starting point: no gradient goes through.
            start = boxes.detach().logit(1e-4)
            boxes = (start + self.box_head(seen)).sigmoid()
            logits.append(self.class_head(seen))
            all_boxes.append(boxes)
            weights.append(cross)
        masks = self.mask_head(seen) @ pixels.mT  # (batch, queries, pixels)
        half = self.side // 2
        return Answers(
            torch.stack(logits),
            torch.stack(all_boxes),
            masks.unflatten(2, (half, half)),
            self._ask_tokens(memory) if self.training else None,
            torch.stack(weights) if need_weights else None,
        )

    def see(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the memory (batch, tokens, dim) and the pixels' vectors."""
        image = normalise(images).to(self.anchors.dtype)
        fine = self.fine(image.contiguous(memory_format=torch.channels_last))
        middle = self.middle(fine)
        tokens = _rows(self.coarse(middle))  # (batch, tokens / 4, dim)
        tokens = tokens + self.place_token(waves(self.coarse_places))
        tokens = self.encoder(tokens)[0]
        tokens = _grow(tokens) + self.lift(_rows(middle))
        memory = self.memory_norm(tokens) + self.place_token(
            waves(self.places)
        )
        pixels = _grow(self.pixel_memory(tokens))
        pixels = (pixels + self.pixel_side(_rows(fine))).relu()
        return memory, self.pixel_head(pixels)

    def _who_sees_whom(self, count: int, alone: bool) -> Tensor | None:
        """Return which queries may attend to which: those of their group."""
        if count == self.queries and not alone:
            return None
        number = torch.arange(count, device=self.anchors.device)
        group = number if alone else number // self.queries
        return group[:, None] == group

    def near(self, boxes: Tensor) -> Tensor:
        """Say which tokens lie in a box half as large again, and a margin.

        The margin is a token on each side, so there is always one inside.
        """
        margin = 4 / self.side
        half = 0.75 * boxes.detach()[:, :, None, 2:] + margin
        away = (self.places - boxes.detach()[:, :, None, :2]).abs()
        return (away <= half).all(-1)  # (batch, queries, tokens)

    def _ask_tokens(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Ask each token what it lies on: class, and box of that object."""
        start = torch.full_like(self.places, 0.4)
        start = torch.cat([self.places, start], dim=1).logit()
        boxes = (start + self.token_box(memory)).sigmoid()
        return self.token_class(memory), boxes

    def _check(self, images: Tensor, groups: int) -> None:
        if images.dim() != 3 or images.shape[1:] != (self.side, self.side):
            raise ValueError(
                f"images: expected shape (batch, {self.side}, {self.side}), "
                f"got {tuple(images.shape)}"
            )
        if not 1 <= groups <= self.groups:
            raise ValueError(
                f"groups: expected 1 to {self.groups}, got {groups}"
            )


def _convolve(channels: int, width: int) -> list[nn.Module]:
    """List two 3 x 3 convolutions, of which the first halves the image."""
    return [
        nn.Conv2d(channels, width, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
    ]


def _head(dim: int, out: int, still: bool = False) -> nn.Sequential:
    """Make a small network; if ``still``, one that says 0 before training."""
    layers = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, out))
    if still:
        nn.init.zeros_(layers[2].weight)
        nn.init.zeros_(layers[2].bias)
    return layers


def _rows(x: Tensor) -> Tensor:
    """Turn a map (batch, dim, down, across) into tokens, row by row."""
    return x.flatten(2).mT  # (batch, tokens, dim)


def _grow(tokens: Tensor) -> Tensor:
    """Double the side of a square map of tokens, by interpolation."""
    side = round(tokens.shape[1] ** 0.5)
    x = tokens.mT.unflatten(2, (side, side))  # (batch, dim, side, side)
    return _rows(F.interpolate(x, scale_factor=2, mode="bilinear"))


def _places(side: int) -> Tensor:
    """Return the centre ``x y`` of each token of a square map."""
    line = (torch.arange(side) + 0.5) / side
    y, x = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([x, y], dim=-1).flatten(0, 1)  # (tokens, 2)


# --- training ----------------------------------------------------------------


class Losses(NamedTuple):
    """The parts of the set loss, each already with its factor."""

    classes: Float[Tensor, ""]
    corners: Float[Tensor, ""]
    overlaps: Float[Tensor, ""]
    pixels: Float[Tensor, ""]
    dice: Float[Tensor, ""]
    tokens: Float[Tensor, ""]

    def total(self) -> Float[Tensor, ""]:
        """Add all parts up."""
        return torch.stack(self).sum()


def set_loss(
    answers: Answers, scenes: Scenes, *, groups: int = 1, nothing: float = 0.2
) -> Losses:
    """Compare a set of answers with a set of objects, in no order.

    In each layer and each group every object is paired with one query, by
    ``find_pairs``. A paired query should say the object's class and box, any
    other "nothing", which counts only ``nothing`` times as much. In the last
    layer the pairs of the first group are asked for the object's pixels as
    well, and the tokens, if they answered, for what they lie on.

    ``loss = sum over layers of (2 cross entropy + 5 L1(boxes) + 2 (1 - giou))
    + 5 binary cross entropy(pixels) + dice(pixels) + tokens``, where tokens
    have the first three parts of their own; boxes averaged over the pairs of
    all groups, pixels over those of the first.

    Without any object only the cross entropies are left.

    Source: Carion et al. (2020), section 3.1; dice: Milletari et al. (2016),
    "V-Net", section 3.
    """
    pairs, parts = [], []
    for logits, boxes in zip(answers.logits, answers.boxes):
        pairs.append(find_pairs(logits, boxes, scenes, groups))
        parts.append(_answer_loss(logits, boxes, scenes, pairs[-1], nothing))
    of_classes, of_corners, of_overlaps = map(sum, zip(*parts))
    of_pixels, of_dice = _mask_loss(
        answers.masks, scenes, pairs[-1], answers.masks.shape[1] // groups
    )
    of_tokens = torch.zeros_like(of_dice)
    if answers.tokens is not None:
        of_tokens = _token_loss(*answers.tokens, scenes)
    return Losses(
        of_classes, of_corners, of_overlaps, of_pixels, of_dice, of_tokens
    )


def training_loss(model: Detector, scenes: Scenes) -> Float[Tensor, ""]:
    """Ask all groups of queries about the scenes, and add up the set loss."""
    answers = model(scenes.images, groups=model.groups)
    return set_loss(answers, scenes, groups=model.groups).total()


def _answer_loss(
    logits: Tensor, boxes: Tensor, scenes: Scenes, pairs: Pairs, nothing: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Judge one layer's classes and boxes."""
    classes = logits.shape[-1] - 1
    image, query, slot = pairs
    aim = torch.full_like(logits[..., 0], classes, dtype=torch.long)
    aim[image, query] = scenes.labels[image, slot]
    weight = torch.ones_like(logits[0, 0])
    weight[classes] = nothing
    of_classes = F.cross_entropy(logits.flatten(0, 1), aim.flatten(), weight)
    mine, true = boxes[image, query], scenes.boxes[image, slot]
    away, apart = _box_loss(mine, true)
    return 2 * of_classes, 5 * away, 2 * apart


def _box_loss(mine: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
    """Return the means of L1 and of 1 - giou; 0 if there are no boxes."""
    count = max(len(mine), 1)
    apart = 1 - generalised_iou(corners(mine), corners(true))
    return (mine - true).abs().sum() / count, apart.sum() / count


def _mask_loss(
    masks: Tensor, scenes: Scenes, pairs: Pairs, queries: int
) -> tuple[Tensor, Tensor]:
    """Judge the masks of the pairs in the first group of queries."""
    first = pairs.query < queries
    image, query, slot = (x[first] for x in pairs)
    count = max(len(image), 1)
    # How much of each 2 x 2 square of pixels belongs to the object.
    true = F.avg_pool2d(scenes.masks().to(masks.dtype), 2)[image, slot]
    mine = masks[image, query]  # (pairs, half, half)
    of_pixels = F.binary_cross_entropy_with_logits(
        mine, true, reduction="none"
    ).mean((1, 2))
    share = mine.sigmoid()
    both = (share * true).sum((1, 2))
    each = share.sum((1, 2)) + true.sum((1, 2))
    of_dice = 1 - (2 * both + 1) / (each + 1)
    return 5 * of_pixels.sum() / count, of_dice.sum() / count


def _token_loss(logits: Tensor, boxes: Tensor, scenes: Scenes) -> Tensor:
    """Judge what the tokens say of the pixel in their middle."""
    step = scenes.images.shape[-1] // round(logits.shape[1] ** 0.5)
    owner = scenes.owners[:, step // 2 :: step, step // 2 :: step]
    owner = owner.flatten(1).long()  # (batch, tokens)
    nothing = logits.shape[-1] - 1
    on = owner >= 0
    slot = owner.clamp(min=0)
    aim = scenes.labels.gather(1, slot).masked_fill(~on, nothing)
    of_classes = F.cross_entropy(logits.flatten(0, 1), aim.flatten())
    image = on.nonzero()[:, 0]
    away, apart = _box_loss(boxes[on], scenes.boxes[image, slot[on]])
    return of_classes + 5 * away + 2 * apart


# --- answers and their worth -------------------------------------------------


@torch.no_grad()
def detect(
    model: Detector,
    images: UInt8[Tensor, "n side side"],
    threshold: float = 0.5,
    *,
    groups: int = 1,
    alone: bool = False,
    chunk: int = 100,
) -> list[Objects]:
    """List what the model finds in each image, the surest first, on the CPU.

    A query's score is its largest probability of a class other than
    "nothing"; below ``threshold`` it is left out. No answer is removed because
    of another one. The model is left in the mode it was in.

    Args:
        model: a trained one.
        images: any number of them.
        threshold: 0 keeps every query's answer, as average precision wants it.
        groups: how many groups of queries to ask.
        alone: as in :class:`Detector`.
        chunk: how many images at a time.
    """
    training = model.training
    model.eval()
    found = []
    for part in images.split(chunk):
        answers = model(part, groups=groups, alone=alone)
        chances = answers.logits[-1].softmax(-1)[..., :-1]
        scores, labels = chances.cpu().max(-1)  # (chunk, queries)
        boxes = corners(answers.boxes[-1]).cpu() * model.side
        masks = F.interpolate(
            answers.masks, scale_factor=2, mode="bilinear"
        ).cpu()
        for number in range(len(part)):
            order = scores[number].argsort(descending=True, stable=True)
            order = order[scores[number, order] >= threshold]
            found.append(
                Objects(
                    labels[number, order],
                    boxes[number, order],
                    masks[number, order] > 0,
                    scores[number, order],
                    order,
                )
            )
    model.train(training)
    return found


def suppress(
    boxes: Float[Tensor, "n 4"],
    scores: Float[Tensor, " n"],
    level: float = 0.5,
) -> Int[Tensor, " kept"]:
    """Keep the surest box, drop those that overlap it, go on with the rest.

    Non-maximum suppression (NMS): the clean-up that most detectors need. A
    box is dropped if its IoU with a kept one is above ``level``. Returns the
    numbers of the kept boxes, the surest first.
    """
    order = scores.argsort(descending=True, stable=True)
    kept: list[int] = []
    for number in order.tolist():
        overlaps = iou(boxes[number], boxes[kept]) if kept else boxes[:0, 0]
        if not bool((overlaps > level).any()):
            kept.append(number)
    return torch.tensor(kept, dtype=torch.long, device=boxes.device)


@dataclass
class Judgement:
    """Which answers were right, at each level of IoU, and how many could be.

    For class c: ``hits[c]`` (levels, answers), the surest answer first,
    ``scenes[c]`` the scene of each answer, ``totals[c]`` the number of true
    objects in each scene.
    """

    hits: list[np.ndarray]
    scenes: list[np.ndarray]
    totals: list[np.ndarray]

    def curve(
        self, label: int, level: int = 0, times: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return recall and precision after each answer, the surest first.

        ``times`` says how often each scene counts; by default once.
        """
        hits, scenes = self.hits[label][level], self.scenes[label]
        totals = self.totals[label]
        times = np.ones(len(totals)) if times is None else times
        right = (hits * times[scenes]).cumsum()
        said = times[scenes].cumsum()
        total = (totals * times).sum()
        return right / max(total, 1e-12), right / np.maximum(said, 1e-12)

    def average_precision(
        self, times: np.ndarray | None = None
    ) -> Float[np.ndarray, "levels classes"]:
        """Average the precision over 101 recalls, for each level and class.

        At a recall r it is the best precision at any recall of r or more, 0
        if r is never reached. A class without true objects has no number:
        NaN.
        """
        levels = len(self.hits[0])
        found = np.full((levels, len(self.hits)), np.nan)
        for label, totals in enumerate(self.totals):
            counted = totals if times is None else totals * times
            if not counted.sum():
                continue
            for level in range(levels):
                recall, precision = self.curve(label, level, times)
                found[level, label] = _mean_precision(recall, precision)
        return found

    def score(self, level: int | None = None) -> float:
        """Average over the classes that occur, at one level or over all."""
        return _mean(self.average_precision(), level)

    def interval(
        self, level: int | None = None, samples: int = 200, seed: int = 0
    ) -> Interval:
        """Give the score, and what 95 % of resampled sets of scenes give."""
        return bootstrap(
            lambda times: _mean(self.average_precision(times), level),
            len(self.totals[0]),
            samples,
            seed,
        )


def judge(
    found: Sequence[Objects],
    true: Sequence[Objects],
    classes: int,
    levels: Sequence[float] = LEVELS,
    by: str = "boxes",
) -> Judgement:
    """Decide for each answer whether it is right, as COCO does.

    Within a scene and a class, the surest answer first, each takes the true
    object that it overlaps most, among those not yet taken and with an IoU of
    at least the level. It is right if there is one. So the second answer for
    one object is wrong.

    Args:
        found: the answers of each scene, with scores.
        true: the true objects of each scene.
        classes: how many there are.
        levels: of IoU, from 0 to 1.
        by: "boxes" or "masks": what must overlap.

    Raises:
        ValueError: if the two have different lengths, or ``by`` is neither.

    Source: Lin et al. (2014), "Microsoft COCO"; the details as in
    ``pycocotools``, to which the tests prove it equal.
    """
    if len(found) != len(true):
        raise ValueError(
            f"found: expected one entry per scene, {len(true)}, "
            f"got {len(found)}"
        )
    if by not in ("boxes", "masks"):
        raise ValueError(f"by: expected 'boxes' or 'masks', got {by!r}")
    judged = Judgement([], [], [])
    for label in range(classes):
        hits = [np.zeros((len(levels), 0), dtype=bool)]
        scores, scenes = [np.zeros(0)], [np.zeros(0, dtype=int)]
        totals = np.zeros(len(true))
        for number, (said, there) in enumerate(zip(found, true)):
            mine = (said.labels == label).nonzero()[:, 0]
            theirs = there.labels == label
            totals[number] = int(theirs.sum())
            if not len(mine):
                continue
            surest = said.scores[mine].argsort(descending=True, stable=True)
            mine = mine[surest]
            overlaps = _overlaps(said, there, mine, theirs, by)
            hits.append(_hits(overlaps, levels))
            scores.append(said.scores[mine].double().numpy())
            scenes.append(np.full(len(mine), number))
        order = np.argsort(-np.concatenate(scores), kind="stable")
        judged.hits.append(np.concatenate(hits, axis=1)[:, order])
        judged.scenes.append(np.concatenate(scenes)[order])
        judged.totals.append(totals)
    return judged


def average_precision(
    found: Sequence[Objects],
    true: Sequence[Objects],
    classes: int,
    level: float = 0.5,
) -> float:
    """Return the mean average precision of boxes at one level of IoU."""
    return judge(found, true, classes, (level,)).score(0)


def mask_overlaps(
    found: Sequence[Objects], true: Sequence[Objects]
) -> list[Float[Tensor, "..."]]:
    """Give each true object the IoU of its mask with an answer's mask.

    Within a scene, answers and objects are paired one to one, for the highest
    sum of IoUs; the classes are not asked. An object without an answer gets
    0.
    """
    overlaps = []
    for said, there in zip(found, true, strict=True):
        table = _mask_iou(there.masks, said.masks)
        each = torch.zeros(len(there.masks), dtype=table.dtype)
        rows, columns = cheapest_pairs(-table)
        each[rows] = table[rows, columns]
        overlaps.append(each)
    return overlaps


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


def bootstrap(
    score: Callable[[np.ndarray], float],
    count: int,
    samples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Ask how far a score would move on other test scenes of this kind.

    Draw as many scenes as there are, with replacement, ``samples`` times.
    ``score(times)`` is asked each time, where ``times`` says how often each
    scene was drawn; 95 % of its answers lie in the interval. (It says nothing
    about another training run.)

    Source: Efron and Tibshirani (1993), "An introduction to the bootstrap",
    chapter 13.
    """
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(count, np.full(count, 1 / count), samples)
    drawn = [score(times) for times in draws.astype(float)]
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return Interval(score(np.ones(count)), float(low), float(high))


def place_share(found: Sequence[Objects]) -> float:
    """Say how much of where boxes lie is known from the query's number.

    ``1 - (variance of centres within queries) / (variance of all centres)``:
    0 if every query answers everywhere, 1 if each has one place of its own.
    Where all centres are equal there is nothing to know: 0.

    Raises:
        ValueError: if fewer than two objects were found.
    """
    centres = torch.cat([(o.boxes[:, :2] + o.boxes[:, 2:]) / 2 for o in found])
    number = torch.cat([o.queries for o in found])
    if len(centres) < 2:
        raise ValueError(
            f"found: expected at least two objects, got {len(centres)}"
        )
    centres = centres.double()
    whole = ((centres - centres.mean(0)) ** 2).sum()
    if whole < 1e-9:
        return 0.0
    within = sum(
        ((part - part.mean(0)) ** 2).sum()
        for part in (centres[number == n] for n in number.unique())
    )
    return float(1 - within / whole)


def _overlaps(said, there, mine, theirs, by: str) -> np.ndarray:
    """Return the IoU of some answers with some true objects."""
    if by == "masks":
        return _mask_iou(said.masks[mine], there.masks[theirs]).numpy()
    a, b = said.boxes[mine].double(), there.boxes[theirs].double()
    return iou(a[:, None], b).numpy()


def _mask_iou(a: Tensor, b: Tensor) -> Tensor:
    """Return the IoU of all pairs of masks, 0 where both are empty."""
    a, b = a.flatten(1).double(), b.flatten(1).double()
    common = a @ b.mT
    union = a.sum(1)[:, None] + b.sum(1) - common
    return common / union.clamp(min=1)


def _hits(overlaps: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """Let answers, the surest first, take true objects: (levels, answers)."""
    answers, objects = overlaps.shape
    hits = np.zeros((len(levels), answers), dtype=bool)
    for row, level in enumerate(levels):
        free = np.ones(objects, dtype=bool)
        for answer in range(answers):
            best, taken = min(level, 1 - 1e-10), None
            for number in np.flatnonzero(free):
                if overlaps[answer, number] >= best:
                    best, taken = overlaps[answer, number], number
            if taken is not None:
                free[taken] = False
                hits[row, answer] = True
    return hits


def _mean_precision(recall: np.ndarray, precision: np.ndarray) -> float:
    """Average the best precision still to come over 101 recalls."""
    best = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
    return float(np.append(best, 0.0)[at].mean())


def _mean(found: np.ndarray, level: int | None) -> float:
    """Average over the classes that have a number."""
    chosen = found if level is None else found[level]
    known = chosen[~np.isnan(chosen)]
    return float(known.mean()) if known.size else float("nan")
