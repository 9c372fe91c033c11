"""Lesson 09's pictures: images in a grid, heat over them, two explorers."""

from collections.abc import Mapping, Sequence

import ipywidgets
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from attn_course import plotting
from attn_course.image_attention import occlude
from attn_course.widgets import Explorer, explore


def over_image(ax: Axes, picture: Tensor, heat: Tensor | None = None) -> None:
    """Draw a grey picture, and over it a grid of numbers in colour.

    The colours are scaled to the largest of the numbers.
    """
    height, width = picture.shape
    where = (0, width, height, 0)
    ax.imshow(picture.cpu().numpy(), cmap="gray", extent=where)
    if heat is not None:
        heat = (heat / heat.max().clamp(min=1e-12)).cpu().numpy()
        ax.imshow(
            heat, plotting.WEIGHTS_MAP, alpha=0.6, extent=where, vmin=0, vmax=1
        )
    ax.set_axis_off()


def image_grid(
    rows: Sequence[Sequence],
    titles: Sequence[str] = (),
    *,
    width: float = 6.4,
    cell: float | None = None,
) -> Figure:
    """Draw pictures ``(height, width)`` in rows, column titles above.

    In place of a picture, a pair of a picture and the heat over it.
    """
    count = max(len(row) for row in rows)
    height = len(rows) * (cell or width / count) + 0.25
    figure, axes = plotting.figure(width, height, len(rows), count)
    axes = [axes] if len(rows) == 1 else axes
    axes = [[row] if count == 1 else row for row in axes]
    for line, row in zip(axes, rows):
        for ax, item in zip(line, row):
            over_image(ax, *(item if isinstance(item, tuple) else (item,)))
    for ax, title in zip(axes[0], titles):
        ax.set_title(title, fontsize=9 if count < 8 else 7, loc="center")
    return figure


def cost_maps(
    pictures: Sequence[Tensor], costs: Sequence[Tensor], stride: int = 2
) -> Figure:
    """Draw pictures, and below each what covering its parts costs.

    A cost is drawn in the middle of the square that was covered, so that it
    lies below its position in the picture. The squares were ``stride`` apart.
    """
    figure, axes = plotting.figure(6.4, 2.9, 2, len(pictures))
    for above, below, picture, cost in zip(*axes, pictures, costs):
        over_image(above, picture)
        margin = (len(picture) - stride * len(cost)) / 2
        ends = (margin, len(picture) - margin)
        below.imshow(
            cost.cpu().numpy(),
            cmap="PuOr_r",
            vmin=-1,
            vmax=1,
            extent=(*ends, *reversed(ends)),
        )
        below.set_title(
            f"costs up to {cost.max():.2f}", fontsize=8, loc="center"
        )
        below.set(
            xticks=[], yticks=[], xlim=above.get_xlim(), ylim=above.get_ylim()
        )
        below.spines[:].set(visible=True, color="0.8")
    return figure


def labelled_bars(
    names: Sequence[str], shares: Tensor, **labels: str
) -> Figure:
    """Draw one lying bar per name, from 0 to 1, with its number."""
    figure, ax = plotting.figure(6.4, 2.8)
    _bars(ax, names, shares)
    ax.set(**labels)
    return figure


def spread(values: Mapping[str, Tensor], *, xlabel: str, title: str) -> Figure:
    """Draw a box for each name: quarters and middle, 5 % to 95 %."""
    figure, ax = plotting.figure(6.4, 1.2 + 0.4 * len(values))
    numbers = [value.cpu().numpy() for value in values.values()]
    ax.boxplot(
        numbers,
        orientation="horizontal",
        tick_labels=list(values),
        whis=(5, 95),
        showfliers=False,
    )
    ax.axvline(0, color="#888888", lw=1)
    ax.invert_yaxis()
    ax.set(xlim=(-1, 1), xlabel=xlabel, title=title)
    return figure


def attention_explorer(
    model: nn.Module, images: Tensor, names: Sequence[str]
) -> Explorer:
    """Choose an image, a block and a head; see what the class token weighs."""

    def draw(number: int, block: int, head: int) -> Figure:
        with torch.no_grad():
            weights = model.attention_weights(images[number, None])
        row = weights[block - 1, 0, head - 1, 0, 1:]  # the class token's
        side = round(len(row) ** 0.5)
        picture = images[number, 0]
        return image_grid(
            [[picture, (picture, row.view(side, side))]],
            ["", f"block {block}, head {head}"],
            width=5.0,
        )

    def alt(number: int, block: int, head: int) -> str:
        return (
            f"Test image {number}, class {names[number]}, and over it the "
            f"class token's weights in block {block}, head {head}."
        )

    blocks, heads = len(model.blocks), model.blocks[0].attention.heads
    last = len(images) - 1
    return explore(
        draw,
        alt,
        number=ipywidgets.IntSlider(0, 0, last, description="test image"),
        block=ipywidgets.IntSlider(blocks, 1, blocks, description="block"),
        head=ipywidgets.IntSlider(1, 1, heads, description="head"),
    )


def cover_explorer(
    model: nn.Module,
    images: Tensor,
    names: Sequence[str],
    classes: Sequence[str],
) -> Explorer:
    """Move a black square over an image; see the probabilities change."""

    def draw(number: int, row: int, column: int, size: int) -> Figure:
        covered = occlude(images[number], row, column, size)
        with torch.no_grad():
            probs = model(covered[None]).softmax(dim=-1)[0]
        figure, (left, right) = plotting.figure(6.4, 2.8, cols=2)
        over_image(left, covered[0])
        _bars(right, classes, probs)
        right.set(xlabel="probability")
        return figure

    def alt(number: int, row: int, column: int, size: int) -> str:
        return (
            f"Test image {number}, class {names[number]}, with a black square "
            f"of {size} pixels at row {row}, column {column}; beside it the "
            "probability of each class."
        )

    last, side = len(images) - 1, images.shape[-1]
    slider = ipywidgets.IntSlider
    return explore(
        draw,
        alt,
        number=slider(0, 0, last, description="test image"),
        row=slider(8, 0, side - 1, description="row"),
        column=slider(10, 0, side - 1, description="column"),
        size=slider(8, 0, 20, description="size"),
    )


def _bars(ax: Axes, names: Sequence[str], shares: Tensor) -> None:
    numbers = shares.tolist()
    ax.barh(names, numbers, color=plotting.COLORS[5])
    for row, number in enumerate(numbers):
        ax.text(number + 0.01, row, f"{number:.2f}", va="center", fontsize=8)
    ax.invert_yaxis()
    ax.set(xlim=(0, 1.12), xticks=[0, 0.25, 0.5, 0.75, 1])
