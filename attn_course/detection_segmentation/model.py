"""DETR in small: object queries, boxes refined layer by layer, masks."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from attn_course.image_attention import normalise
from attn_course.transformer import DecoderLayer, Encoder


class DetectorOutput(NamedTuple):
    """What a :class:`Detector` predicts, ``queries`` per group and image.

    The last entry of ``logits`` is that of "no object". ``masks`` are logits,
    at half the image's side, of the last layer. ``tokens`` are the logits and
    boxes of the memory's tokens, in training only. ``weights`` are those of
    the attention to the memory, if asked for.
    """

    logits: Float[Tensor, "layers batch queries classes1"]
    boxes: Float[Tensor, "layers batch queries 4"]
    masks: Float[Tensor, "batch queries half half"]
    tokens: tuple[Tensor, Tensor] | None = None
    weights: Float[Tensor, "layers batch heads queries tokens"] | None = None


def sine_embedding(
    x: Float[Tensor, "*batch numbers"], count: int = 24
) -> Float[Tensor, "*batch wide"]:
    """Write numbers from 0 to 1 as sines and cosines, ``count`` for each.

    ``sin(pi 2^k x), cos(pi 2^k x)``, k from 0 to 5 in equal steps: lesson
    03's sinusoidal positions, for positions that are no integers, from half a
    wave over the image to 16 waves.

    Source: Carion et al. (2020), appendix A.4, with other frequencies.
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
    queries attend to one another, then to the memory, and each refines its
    box: everywhere in the first layer, later only in and around its own box.

    Three small heads read a query: a class or "no object", the change of the
    box, and a vector whose dot product with each pixel's vector is the
    pixel's mask logit.

    In training there are several groups of queries that do not see each other
    and share everything else; afterwards the first group is enough.

    Args of the constructor:
        classes: how many there are, without "no object".
        queries: per group.
        groups: in training.
        dim: numbers per token.
        heads: of each attention.
        mlp_dim: width inside the MLPs.
        layers: of the decoder.
        side: of the images; must be a multiple of 8.

    Sources: Carion et al. (2020), section 3.2; masks: Cheng et al. (2021),
    "Per-pixel classification is not all you need", section 3.2; boxes that
    are refined layer by layer: Zhu et al. (2021), "Deformable DETR", section
    4.2; queries that begin with a learned box: Liu et al. (2022), "DAB-DETR",
    section 4; groups: Chen et al. (2023), "Group DETR", section 3; attention inside what
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
        self.fine = nn.Sequential(*_convolutions(1, first))  # side / 2
        self.middle = nn.Sequential(*_convolutions(first, second))  # side / 4
        self.coarse = nn.Sequential(*_convolutions(second, dim))  # side / 8
        self.encoder = Encoder(1, dim, heads, mlp_dim)
        self.lateral = nn.Linear(second, dim)
        self.memory_norm = nn.LayerNorm(dim)
        self.token_position = nn.Linear(2 * 24, dim)
        self.query_position = nn.Linear(4 * 24, dim)
        self.content = nn.Parameter(0.5 * torch.randn(groups * queries, dim))
        anchors = torch.full((groups * queries, 4), 0.3)
        anchors[:, :2] = 0.1 + 0.8 * torch.rand(groups * queries, 2)
        self.anchors = nn.Parameter(anchors.logit())
        self.layers = nn.ModuleList(
            DecoderLayer(dim, heads, mlp_dim) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(dim)
        self.class_head = nn.Linear(dim, classes + 1)
        self.box_head = _head(dim, 4, zero=True)
        self.mask_head = _head(dim, 32)
        self.pixel_side = nn.Linear(first, 32)
        self.pixel_memory = nn.Linear(dim, 32)
        self.pixel_head = nn.Linear(32, 32)
        self.token_class = nn.Linear(dim, classes + 1)
        self.token_box = _head(dim, 4, zero=True)
        self.register_buffer("coarse_positions", _positions(side // 8), False)
        self.register_buffer("positions", _positions(side // 4), False)
        self.to(memory_format=torch.channels_last)

    @property
    def classes(self) -> int:
        """Return the number of classes, without "no object"."""
        return self.class_head.out_features - 1

    def forward(
        self,
        images: UInt8[Tensor, "batch side side"],
        *,
        groups: int | None = None,
        isolate_queries: bool = False,
        need_weights: bool = False,
    ) -> DetectorOutput:
        """Return what every query predicts for each image.

        Args:
            images: grey bytes.
            groups: how many groups of queries to ask; by default all in
                training, one in evaluation.
            isolate_queries: no query may attend to another one. For an
                experiment.
            need_weights: give the weights of the attention to the memory.

        Raises:
            ValueError: if the images are not bytes of the model's side, or
                there are not that many groups.
        """
        if groups is None:
            groups = self.groups if self.training else 1
        self._check(images, groups)
        memory, pixels = self.encode_image(images)
        count = groups * self.queries
        x = self.content[:count].expand(len(images), -1, -1)
        boxes = self.anchors[:count].sigmoid().expand(len(images), -1, -1)
        query_mask = self._query_mask(count, isolate_queries)
        memory_mask = None  # at first a query looks everywhere
        all_logits, all_boxes, all_weights = [], [], []
        for layer in self.layers:
            x = x + self.query_position(sine_embedding(boxes))
            x, _, weights = layer(
                x, memory, query_mask, memory_mask, need_weights=need_weights
            )
            states = self.norm(x)  # (batch, queries, dim)
            # The box so far is a starting point: no gradient goes through.
            start = boxes.detach().logit(1e-4)
            boxes = (start + self.box_head(states)).sigmoid()
            memory_mask = self.box_attention_mask(boxes)
            all_logits.append(self.class_head(states))
            all_boxes.append(boxes)
            all_weights.append(weights)
        masks = self.mask_head(states) @ pixels.mT  # (batch, queries, pixels)
        half = self.side // 2
        return DetectorOutput(
            torch.stack(all_logits),
            torch.stack(all_boxes),
            masks.unflatten(2, (half, half)),
            self._predict_tokens(memory) if self.training else None,
            torch.stack(all_weights) if need_weights else None,
        )

    def encode_image(
        self, images: UInt8[Tensor, "batch side side"]
    ) -> tuple[
        Float[Tensor, "batch tokens dim"], Float[Tensor, "batch pixels 32"]
    ]:
        """Return the memory and the pixels' vectors."""
        image = normalise(images).to(self.anchors.dtype)
        fine = self.fine(image.contiguous(memory_format=torch.channels_last))
        middle = self.middle(fine)
        tokens = _to_tokens(self.coarse(middle))  # (batch, tokens / 4, dim)
        tokens = tokens + self.token_position(
            sine_embedding(self.coarse_positions)
        )
        tokens = self.encoder(tokens)[0]
        tokens = _upsample(tokens) + self.lateral(_to_tokens(middle))
        memory = self.memory_norm(tokens) + self.token_position(
            sine_embedding(self.positions)
        )
        pixels = _upsample(self.pixel_memory(tokens))
        pixels = (pixels + self.pixel_side(_to_tokens(fine))).relu()
        return memory, self.pixel_head(pixels)

    def box_attention_mask(
        self, boxes: Float[Tensor, "batch queries 4"]
    ) -> Bool[Tensor, "batch queries tokens"]:
        """Say which tokens lie in a box half as large again, and a margin.

        The margin is a token on each side, so there is always one inside.
        """
        margin = 4 / self.side
        centre, size = boxes[:, :, None].split(2, dim=-1)
        away = (self.positions - centre).abs()  # (batch, queries, tokens, 2)
        return (away <= 0.75 * size + margin).all(-1)

    def _query_mask(self, count: int, isolate: bool) -> Tensor | None:
        """Say which queries may attend to which: those of their group."""
        if count == self.queries and not isolate:
            return None
        index = torch.arange(count, device=self.anchors.device)
        group = index if isolate else index // self.queries
        return group[:, None] == group

    def _predict_tokens(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Ask each token what it lies on: class, and box of that object."""
        sizes = torch.full_like(self.positions, 0.4)
        start = torch.cat([self.positions, sizes], dim=1).logit()
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


def _convolutions(channels: int, width: int) -> list[nn.Module]:
    """List two 3 x 3 convolutions, of which the first halves the image."""
    return [
        nn.Conv2d(channels, width, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
    ]


def _head(dim: int, out: int, zero: bool = False) -> nn.Sequential:
    """Make a small network; if ``zero``, one that gives 0 before training."""
    layers = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, out))
    if zero:
        nn.init.zeros_(layers[2].weight)
        nn.init.zeros_(layers[2].bias)
    return layers


def _to_tokens(x: Tensor) -> Tensor:
    """Turn a map (batch, dim, down, across) into tokens, row by row."""
    return x.flatten(2).mT  # (batch, tokens, dim)


def _upsample(tokens: Tensor) -> Tensor:
    """Double the side of a square map of tokens, by interpolation."""
    side = round(tokens.shape[1] ** 0.5)
    x = tokens.mT.unflatten(2, (side, side))  # (batch, dim, side, side)
    return _to_tokens(F.interpolate(x, scale_factor=2, mode="bilinear"))


def _positions(side: int) -> Tensor:
    """Return the centre ``x y`` of each token of a square map."""
    line = (torch.arange(side) + 0.5) / side
    y, x = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([x, y], dim=-1).flatten(0, 1)  # (tokens, 2)
