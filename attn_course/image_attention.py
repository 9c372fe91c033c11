"""Lesson 09: attention over the patches of an image.

Reading order: ``patchify`` cuts an image into tokens, ``PatchEmbedding`` and
``ConvStem`` make vectors of them, ``VisionTransformer`` lets them attend to
each other in lesson 06's encoder layers, ``SmallCNN`` is the baseline without
attention. ``augmented_batches`` are what they train on.
``attention_rollout``, ``occlusion_map`` and ``shuffle_patches`` ask what a
trained model looks at.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from attn_course.common.arguments import whole_number
from attn_course.common.batching import (
    epoch_batches,
    full_batches,
    shuffled_batches,
)
from attn_course.common.evaluation import evaluating
from attn_course.transformer import EncoderLayer

# Mean and standard deviation of the training pixels, from 0 to 1.
MEAN, STD = 0.285, 0.352
BLACK = -MEAN / STD  # what a black pixel becomes
# What a gap can be filled with; grey is the mean of the training pixels.
FILLS = {"black": BLACK, "grey": 0.0, "white": (1 - MEAN) / STD}


def normalise(
    images: UInt8[Tensor, "batch height width"],
) -> Float[Tensor, "batch 1 height width"]:
    """Turn grey bytes into numbers of about mean 0 and standard deviation 1.

    ``x = (byte / 255 - MEAN) / STD``, with a channel dimension, as
    ``nn.Conv2d`` wants it.

    Raises:
        ValueError: if the images are not bytes of shape
            ``(batch, height, width)``.
    """
    if images.dtype != torch.uint8 or images.dim() != 3:
        raise ValueError(
            "images: expected uint8 of shape (batch, height, width), "
            f"got {images.dtype} of shape {tuple(images.shape)}"
        )
    return (images[:, None].float() / 255 - MEAN) / STD


def patchify(
    images: Float[Tensor, "batch channels height width"], size: int
) -> Float[Tensor, "batch patches numbers"]:
    """Cut images into square patches, row by row, each a vector.

    With ``down = height / size`` and ``across = width / size`` there are
    ``down * across`` patches of ``channels * size * size`` numbers, in the
    order of ``nn.Unfold``: channel, then row, then column.

    Raises:
        ValueError: if ``size`` does not divide height and width.

    Source: Dosovitskiy et al. (2021), "An image is worth 16x16 words",
    section 3.1.
    """
    batch, channels, height, width = _check_images(images, size)
    x = images.reshape(
        batch, channels, height // size, size, width // size, size
    )  # (batch, channels, down, size, across, size)
    x = x.permute(0, 2, 4, 1, 3, 5)
    # (batch, down, across, channels, size, size)
    return x.flatten(3).flatten(1, 2)  # (batch, patches, numbers)


def unpatchify(
    patches: Float[Tensor, "batch patches numbers"],
    size: int,
    height: int,
    width: int,
) -> Float[Tensor, "batch channels height width"]:
    """Put patches together again: undo ``patchify``.

    Raises:
        ValueError: if the patches do not fill the image exactly.
    """
    down, across = height // max(size, 1), width // max(size, 1)
    whole = (down * size, across * size) == (height, width)
    if not whole or patches.dim() != 3 or patches.shape[1] != down * across:
        raise ValueError(
            f"patches: expected (batch, patches, numbers) that fill {height} "
            f"x {width} with squares of {size}, got {tuple(patches.shape)}"
        )
    if patches.shape[2] % size**2:
        raise ValueError(
            f"patches: expected a multiple of {size**2} numbers each, "
            f"got {patches.shape[2]}"
        )
    x = patches.unflatten(2, (-1, size, size)).unflatten(1, (down, across))
    # (batch, down, across, channels, size, size)
    x = x.permute(0, 3, 1, 4, 2, 5)
    # (batch, channels, down, size, across, size)
    return x.flatten(4).flatten(2, 3)  # (batch, channels, height, width)


class PatchEmbedding(nn.Module):
    """Cut into patches, and project each patch by one and the same matrix.

    ``token_i = W patch_i + b``: a convolution whose stride is its kernel size.

    Shapes: ``(batch, channels, height, width)`` to ``(batch, tokens, dim)``.

    Source: Dosovitskiy et al. (2021), section 3.1, equation 1.
    """

    def __init__(self, size: int, dim: int, channels: int = 1) -> None:
        """Create the projection of patches of ``size`` by ``size`` pixels."""
        super().__init__()
        self.size = size
        self.project = nn.Linear(channels * size * size, dim)

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch tokens dim"]:
        """Return one token per patch, row by row."""
        return self.project(patchify(images, self.size))


class ConvStem(nn.Module):
    """Make tokens by a few small convolutions instead of one large cut.

    Two times: 3 x 3 convolution, the largest of each 2 x 2 square, batch
    norm, ReLU. 28 x 28 pixels become 7 x 7 tokens, one per 4 x 4 pixels, but
    each has seen the 10 x 10 pixels around.

    Shapes: ``(batch, channels, height, width)`` to
    ``(batch, height/4 * width/4, dim)``.

    Source: after Xiao et al. (2021), "Early convolutions help transformers
    see better", who use strides in place of pooling.
    """

    def __init__(self, dim: int, channels: int = 1) -> None:
        """Create the convolutions, the first with half of ``dim`` channels."""
        super().__init__()
        self.layers = nn.Sequential(
            *_convolve(channels, dim // 2), *_convolve(dim // 2, dim)
        )
        _channels_last(self)

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch tokens dim"]:
        """Return one token per 4 x 4 pixels, row by row."""
        _check_images(images, 4)
        x = self.layers(images)  # (batch, dim, down, across)
        return x.flatten(2).transpose(1, 2)  # (batch, tokens, dim)


class VisionTransformer(nn.Module):
    """A Transformer encoder that reads an image as a row of tokens.

    ``x = [class; tokens of the image] + positions``, then ``depth`` blocks;
    a linear layer reads the scores of the classes from the class token.

    Shapes: images ``(batch, channels, height, width)``, scores
    ``(batch, classes)``; the weights of each block
    ``(batch, heads, 1 + tokens, 1 + tokens)``, the class token first.

    Source: Dosovitskiy et al. (2021), section 3.1, equations 1 to 4.
    """

    def __init__(
        self,
        embed: nn.Module,
        *,
        tokens: int,
        dim: int,
        depth: int,
        heads: int,
        mlp_dim: int | None = None,
        classes: int = 10,
    ) -> None:
        """Put a Transformer behind ``embed``.

        Args:
            embed: makes ``(batch, tokens, dim)`` of the images.
            tokens: how many tokens that are.
            dim: numbers per token.
            depth: number of blocks.
            heads: per block.
            mlp_dim: width inside the MLPs; by default ``2 * dim``.
            classes: number of scores.

        Raises:
            ValueError: if ``heads`` does not divide ``dim``.
        """
        super().__init__()
        self.embed = embed
        self.class_token = nn.Parameter(0.02 * torch.randn(1, 1, dim))
        self.positions = nn.Parameter(0.02 * torch.randn(1, 1 + tokens, dim))
        self.blocks = nn.ModuleList(
            EncoderLayer(dim, heads, mlp_dim or 2 * dim) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, classes)

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch classes"]:
        """Return a score for each class.

        Raises:
            ValueError: if the images give another number of tokens.
        """
        return self._run(images, need_weights=False)[0]

    def attention_weights(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "depth batch heads tokens tokens"]:
        """Return the weights of all blocks, the class token as number 0.

        Raises:
            ValueError: if the images give another number of tokens.
        """
        return torch.stack(self._run(images, need_weights=True)[1])

    def _run(
        self, images: Tensor, need_weights: bool
    ) -> tuple[Tensor, list[Tensor | None]]:
        x = self.embed(images)  # (batch, tokens, dim)
        if 1 + x.shape[1] != self.positions.shape[1]:
            raise ValueError(
                "images: expected a size that gives "
                f"{self.positions.shape[1] - 1} tokens, got {x.shape[1]} from "
                f"shape {tuple(images.shape)}"
            )
        class_token = self.class_token.expand(
            len(x), -1, -1
        )  # (batch, 1, dim)
        x = torch.cat([class_token, x], dim=1) + self.positions
        all_weights = []
        for block in self.blocks:
            x, weights = block(x, need_weights=need_weights)
            all_weights.append(weights)
        return self.head(self.norm(x[:, 0])), all_weights


class SmallCNN(nn.Module):
    """The baseline: convolutions all the way, no attention.

    Three times 3 x 3 convolution, batch norm, ReLU, with 2 x 2 pooling after
    the first and the second; then the mean over all positions, and a
    linear layer.

    Shapes: ``(batch, channels, height, width)`` to ``(batch, classes)``.
    """

    def __init__(
        self, width: int, last: int, channels: int = 1, classes: int = 10
    ) -> None:
        """Create layers of ``width``, ``2 * width`` and ``last`` channels."""
        super().__init__()
        self.layers = nn.Sequential(
            *_convolve(channels, width),
            *_convolve(width, 2 * width),
            nn.Conv2d(2 * width, last, 3, padding=1, bias=False),
            nn.BatchNorm2d(last),
            nn.ReLU(),
        )
        self.head = nn.Linear(last, classes)
        _channels_last(self)

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch classes"]:
        """Return a score for each class."""
        x = self.layers(images)  # (batch, last, down, across)
        return self.head(x.mean(dim=(2, 3)))


def augmented_batches(
    images: Float[Tensor, "n channels height width"],
    labels: Int[Tensor, " n"],
    size: int = 64,
    seed: int = 0,
) -> Callable[[int], tuple[Tensor, Tensor]]:
    """Make ``batches(step)``, which gives ``size`` images and their labels.

    Every epoch has its own order, and flips its own half of the images, left
    to right. The last images of an epoch that fill no batch are left out. The
    same seed and step give the same batch.

    Raises:
        ValueError: if there are fewer than ``size`` images.
    """
    full_batches(len(images), size)  # refuses a batch that nothing fills

    def plan(generator: torch.Generator, epoch: int) -> list:
        rows = shuffled_batches(len(images), size, generator)
        flips = torch.rand(len(images), generator=generator) < 0.5
        return list(zip(rows, flips.split(int(size))))

    chosen = epoch_batches(plan, seed=seed)

    def batch(step: int) -> tuple[Tensor, Tensor]:
        rows, flips = (x.to(images.device) for x in chosen(step))
        x = images[rows]  # (size, channels, height, width)
        flips = flips[:, None, None, None]
        return torch.where(flips, x.flip(-1), x), labels[rows]

    return batch


@torch.no_grad()
def predict(
    model: nn.Module,
    images: Float[Tensor, "n channels height width"],
    *,
    hflip: bool = True,
    chunk: int = 100,
) -> Int[Tensor, " n"]:
    """Return the most probable class of each image.

    The model is asked in evaluation mode and left in the mode it was in.
    With ``hflip`` this is test-time augmentation.

    Args:
        model: gives scores ``(batch, classes)``.
        images: any number of them.
        hflip: ask for each image and its mirror image, and take the mean of
            both answers' probabilities; twice the work.
        chunk: how many images at a time.
    """
    predictions = []
    with evaluating(model):
        for part in images.split(int(chunk)):
            probs = model(part).softmax(dim=-1)  # (chunk, classes)
            if hflip:
                probs = probs + model(part.flip(-1)).softmax(dim=-1)
            predictions.append(probs.argmax(dim=-1))
    return torch.cat(predictions)


def attention_rollout(
    weights: Float[Tensor, "depth *batch heads tokens tokens"],
) -> Float[Tensor, "*batch tokens tokens"]:
    """Follow attention through all blocks: from the output to the input.

    ``A_l = (mean over heads of weights_l + I) / 2``, since half of a block's
    output is counted as the residual; ``rollout = A_L ... A_2 A_1``. Row i
    says how much of each input token is counted into token i of the output;
    it sums to 1.

    Raises:
        ValueError: if ``weights`` is not ``(depth, ..., heads, n, n)``.

    Source: Abnar and Zuidema (2020), "Quantifying attention flow in
    transformers", section 3.
    """
    if weights.dim() < 4 or weights.shape[-1] != weights.shape[-2]:
        raise ValueError(
            "weights: expected (depth, *batch, heads, tokens, tokens), "
            f"got shape {tuple(weights.shape)}"
        )
    mixed = weights.mean(dim=-3)  # (depth, *batch, tokens, tokens)
    identity = torch.eye(weights.shape[-1]).to(weights)
    joint = identity.expand_as(mixed[0])
    for layer in mixed:  # from the first block to the last
        joint = (layer + identity) / 2 @ joint
    return joint


def shuffle_patches(
    images: Float[Tensor, "batch channels height width"],
    size: int,
    seed: int = 0,
) -> Float[Tensor, "batch channels height width"]:
    """Move the patches of each image to random positions, each image its own.

    Raises:
        ValueError: if ``size`` does not divide height and width.
    """
    patches = patchify(images, size)  # (batch, patches, numbers)
    generator = torch.Generator().manual_seed(whole_number("seed", seed))
    noise = torch.rand(patches.shape[:2], generator=generator)
    order = noise.argsort(dim=1)[..., None].to(images.device)
    patches = patches.take_along_dim(order, dim=1)
    return unpatchify(patches, size, *images.shape[-2:])


def occlude(
    images: Float[Tensor, "*batch height width"],
    row: int,
    column: int,
    size: int,
    fill: float = BLACK,
) -> Float[Tensor, "*batch height width"]:
    """Cover a square, whose upper left pixel is given, with one colour.

    Parts of the square that lie outside the image are ignored.
    """
    covered = images.clone()
    top, left = max(row, 0), max(column, 0)
    bottom, right = max(row + size, 0), max(column + size, 0)
    covered[..., top:bottom, left:right] = float(fill)
    return covered


@torch.no_grad()
def occlusion_map(
    model: Callable[[Tensor], Tensor],
    image: Float[Tensor, "channels height width"],
    label: int,
    size: int = 8,
    stride: int = 2,
    fill: float = BLACK,
) -> Float[Tensor, "down across"]:
    """Measure what covering each part of an image costs.

    Entry (i, j) is the probability of ``label`` for the whole image, minus
    that with a square of ``fill`` whose upper left pixel is (i, j) *
    ``stride``. Above 0: the cover hurt, for what it hides or for what it
    shows; below 0 it helped. Try more than one ``fill``.

    Raises:
        ValueError: if the square is larger than the image.

    Source: Zeiler and Fergus (2014), "Visualizing and understanding
    convolutional networks", section 4.2.
    """
    height, width = image.shape[-2:]
    if not 1 <= size <= min(height, width):
        raise ValueError(
            f"size: expected 1 to {min(height, width)}, got {size}"
        )
    rows = range(0, height - size + 1, stride)
    columns = range(0, width - size + 1, stride)
    covered = [occlude(image, r, c, size, fill) for r in rows for c in columns]
    scores = model(torch.stack([image, *covered]))  # (1 + squares, classes)
    probs = scores.softmax(dim=-1)[:, label]  # (1 + squares,)
    return (probs[0] - probs[1:]).view(len(rows), len(columns))


def _convolve(channels: int, width: int) -> list[nn.Module]:
    """List the layers of one 3 x 3 convolution that halves the image."""
    return [
        nn.Conv2d(channels, width, 3, padding=1, bias=False),
        nn.MaxPool2d(2),  # before the norm: a quarter of its work
        nn.BatchNorm2d(width),
        nn.ReLU(),
    ]


def _channels_last(model: nn.Module) -> None:
    """Lay kernels, and so all results, out with the channels last in memory.

    The same numbers, in half the time on a CPU.
    """
    model.to(memory_format=torch.channels_last)


def _check_images(images: Tensor, size: int) -> torch.Size:
    """Refuse images that squares of ``size`` cannot fill."""
    if images.dim() != 4:
        raise ValueError(
            "images: expected shape (batch, channels, height, width), "
            f"got {tuple(images.shape)}"
        )
    height, width = images.shape[-2:]
    if size < 1 or height % size or width % size:
        raise ValueError(
            f"size: expected a number that divides {height} and {width}, "
            f"got {size}"
        )
    return images.shape
