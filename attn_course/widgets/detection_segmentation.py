"""Lesson 10's pictures: boxes, masks, matchings, and two explorers."""

import itertools
from collections.abc import Mapping, Sequence

import ipywidgets
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from attn_course import plotting
from attn_course.common.evaluation import evaluating
from attn_course.detection_segmentation import (
    Detector,
    Instances,
    detect,
    hungarian_matching,
)
from attn_course.widgets import Explorer, explore
from attn_course.widgets.image_attention import over_image


def draw_instances(
    ax: Axes,
    picture: Tensor,
    instances: Instances | None = None,
    classes: Sequence[str] = (),
    *,
    boxes: bool = True,
    masks: bool = False,
) -> None:
    """Draw a grey picture, and over it boxes with names, or masks.

    Boxes have the colour of their class; masks alone each their own, so that
    two that touch stay two. Names stand above boxes and below in turn.
    """
    over_image(ax, picture.float())
    height, width = picture.shape
    ax.set(xlim=(0, width), ylim=(height, 0))
    if instances is None:
        return
    for index, label in enumerate(instances.labels.tolist()):
        number = label if boxes else index
        color = plotting.COLORS[number % len(plotting.COLORS)]
        if masks:
            mask = instances.masks[index].float()
            ax.contourf(
                mask.cpu().numpy(),
                levels=[0.5, 1.5],
                colors=[color],
                alpha=0.55,
                extent=(0, width, 0, height),
            )
        if boxes:
            _draw_box(ax, instances.boxes[index], color)
            score = instances.scores
            words = classes[label] if classes else str(label)
            if score is not None:
                words += f" {score[index]:.2f}"
            x, top, _, bottom = instances.boxes[index].tolist()
            y = max(top, 5) if index % 2 == 0 else min(bottom + 5, height)
            text = ax.text(
                max(x, 0),
                y,
                words,
                fontsize=6,
                color="white",
                va="bottom",
                clip_on=True,
                bbox={"facecolor": color, "pad": 0.6, "linewidth": 0},
            )
            text.set_in_layout(False)  # a long name moves no picture


def scene_grid(
    pictures: Sequence[Tensor],
    instances: Sequence[Instances | None],
    classes: Sequence[str],
    *,
    across: int = 4,
    titles: Sequence[str] = (),
    width: float = 7.2,
    boxes: bool = True,
    masks: bool = False,
) -> Figure:
    """Draw scenes in rows of ``across``, each with its instances."""
    down = -(-len(pictures) // across)
    extra = 0.25 if titles else 0.0
    figure, axes = plotting.figure(
        width, (width / across + extra) * down, down, across
    )
    flat = list(axes.flat) if down * across > 1 else [axes]
    for ax in flat:
        ax.set_axis_off()
    for ax, picture, part in zip(flat, pictures, instances):
        draw_instances(ax, picture, part, classes, boxes=boxes, masks=masks)
    for ax, title in zip(flat, titles):
        ax.set_title(title, fontsize=8, loc="center")
    return figure


def two_boxes(
    first: Sequence[float], second: Sequence[float], title: str
) -> Figure:
    """Draw two boxes on squared paper, and the smallest enclosing box."""
    figure, ax = plotting.figure(3.6, 2.6)
    enclosing = [
        min(first[0], second[0]),
        min(first[1], second[1]),
        max(first[2], second[2]),
        max(first[3], second[3]),
    ]
    _draw_box(ax, enclosing, "#888888", "--")
    named = (("first", first, "left"), ("second", second, "right"))
    for (name, box, side), color in zip(named, plotting.COLORS):
        ax.add_patch(
            Rectangle(
                box[:2],
                box[2] - box[0],
                box[3] - box[1],
                color=color,
                alpha=0.45,
            )
        )
        at = box[0] if side == "left" else box[2]
        ax.text(at, box[1], f" {name} ", ha=side, va="top", fontsize=9)
    ax.set(
        xlim=(enclosing[0] - 0.5, enclosing[2] + 0.5),
        ylim=(enclosing[3] + 0.5, enclosing[1] - 0.5),
        xticks=range(int(enclosing[0]), int(enclosing[2]) + 1),
        yticks=range(int(enclosing[1]), int(enclosing[3]) + 1),
        aspect="equal",
        title=title,
    )
    ax.grid(alpha=0.4)
    return figure


def greedy_matching(cost: Tensor) -> list[tuple[int, int]]:
    """Take the cheapest entry, strike its row and column, and so on."""
    rest = cost.clone().float()
    matches = []
    for _ in range(min(cost.shape)):
        row, column = divmod(int(rest.argmin()), cost.shape[1])
        matches.append((row, column))
        rest[row], rest[:, column] = torch.inf, torch.inf
    return sorted(matches)


def cost_table(
    cost: Tensor,
    queries: Sequence[str],
    objects: Sequence[str],
    matches: Sequence[tuple[int, int]],
    *,
    title: str,
    ax: Axes | None = None,
) -> Figure:
    """Draw a cost matrix, cheap cells light, the chosen matches framed."""
    if ax is None:
        _, ax = plotting.figure(
            1.8 + 0.75 * len(objects), 1.1 + 0.34 * len(queries)
        )
    ax.imshow(cost.cpu().numpy(), cmap="Purples", aspect="auto", alpha=0.75)
    for row, line in enumerate(cost.tolist()):
        for column, number in enumerate(line):
            words = f"{number:g}" if number == int(number) else f"{number:.2f}"
            ax.text(column, row, words, ha="center", va="center", fontsize=9)
    for row, column in matches:
        ax.add_patch(
            Rectangle(
                (column - 0.46, row - 0.44),
                0.92,
                0.88,
                fill=False,
                edgecolor=plotting.COLORS[1],
                linewidth=2.5,
            )
        )
    ax.set_xticks(range(len(objects)), objects)
    ax.set_yticks(range(len(queries)), queries)
    ax.tick_params(length=0, labelsize=8)
    ax.spines[:].set_visible(False)
    ax.set_title(title, fontsize=9)
    return ax.figure


def matching_explorer(cost: Tensor) -> Explorer:
    """Change the nine costs; see the best matching and the greedy one."""
    queries = [f"query {name}" for name in "ABC"]
    objects = [f"object {number}" for number in (1, 2, 3)]
    controls = {
        f"c{row}{column}": ipywidgets.IntSlider(
            int(cost[row, column]),
            0,
            20,
            description=f"{'ABC'[row]} with {column + 1}",
            layout={"width": "31%"},
        )
        for row, column in itertools.product(range(3), range(3))
    }

    def table(values: Mapping[str, int]) -> Tensor:
        return torch.tensor([float(v) for v in values.values()]).view(3, 3)

    def matchings(costs: Tensor) -> dict[str, list[tuple[int, int]]]:
        rows, columns = hungarian_matching(costs)
        best = list(zip(rows.tolist(), columns.tolist()))
        return {"cheapest first": greedy_matching(costs), "Hungarian": best}

    def total(costs: Tensor, matches: Sequence[tuple[int, int]]) -> int:
        return int(sum(costs[pair] for pair in matches))

    def draw(**values: int) -> Figure:
        costs = table(values)
        figure, axes = plotting.figure(6.4, 2.3, cols=2)
        for ax, (name, matches) in zip(axes, matchings(costs).items()):
            title = f"{name}: {total(costs, matches)}"
            cost_table(costs, queries, objects, matches, title=title, ax=ax)
        return figure

    def alt(**values: int) -> str:
        costs = table(values)
        words = [
            f"{name} matches "
            + ", ".join(f"{'ABC'[r]} with {c + 1}" for r, c in matches)
            + f" for {total(costs, matches)}"
            for name, matches in matchings(costs).items()
        ]
        return f"Costs {costs.int().tolist()}: {'; '.join(words)}."

    return explore(draw, alt, **controls)


def grouped_bars(
    groups: Sequence[str],
    series: Mapping[str, Sequence[float]],
    *,
    ylabel: str,
    title: str,
) -> Figure:
    """Draw groups of standing bars, one bar per series, with its number."""
    figure, ax = plotting.figure(6.8, 2.9)
    width = 0.8 / len(series)
    for number, (name, values) in enumerate(series.items()):
        positions = [
            g + (number - (len(series) - 1) / 2) * width
            for g in range(len(groups))
        ]
        ax.bar(
            positions,
            values,
            width * 0.92,
            label=name,
            color=plotting.COLORS[number],
            hatch=("", "//", "..")[number % 3],
            alpha=0.85,
        )
        for x, value in zip(positions, values):
            ax.text(x, value + 0.01, f"{value:.2f}", ha="center", fontsize=8)
    ax.set_xticks(range(len(groups)), groups)
    ax.set(ylabel=ylabel, title=title)
    if len(series) > 1:
        ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def attention_grid(
    pictures: Sequence[Tensor],
    predictions: Sequence[Instances],
    weights: Sequence[Tensor],
    classes: Sequence[str],
    *,
    max_predictions: int = 4,
    width: float = 7.2,
) -> Figure:
    """Draw each scene with its predictions, and what each query attends to.

    Args:
        pictures: the scenes.
        predictions: those of each scene, with ``queries``.
        weights: for each scene ``(queries, tokens)``, one set per query.
        classes: names.
        max_predictions: how many to show per scene.
        width: in inches.
    """
    figure, axes = plotting.figure(
        width,
        width / (max_predictions + 1) * len(pictures) * 1.12,
        len(pictures),
        max_predictions + 1,
    )
    rows = [axes] if len(pictures) == 1 else axes
    for row, picture, predicted, heats in zip(
        rows, pictures, predictions, weights
    ):
        for ax in row:
            ax.set_axis_off()
        draw_instances(row[0], picture, predicted, classes)
        shown = zip(
            row[1:],
            predicted.queries.tolist(),
            predicted.boxes,
            predicted.labels,
        )
        for ax, query, box, label in shown:
            side = round(heats.shape[-1] ** 0.5)
            over_image(ax, picture.float(), heats[query].view(side, side))
            _draw_box(ax, box, plotting.COLORS[int(label)])
            ax.set_title(f"query {query}", fontsize=8, loc="center")
    return figure


def query_positions(
    predictions: Sequence[Instances], queries: int, side: int, title: str
) -> Figure:
    """Scatter the centres of every query's boxes, a small map each."""
    across = min(queries, 4)
    down = -(-queries // across)
    figure, axes = plotting.figure(6.8, 1.75 * down + 0.35, down, across)
    centres = torch.cat(
        [(p.boxes[:, :2] + p.boxes[:, 2:]) / 2 for p in predictions]
    )
    queries_of = torch.cat([p.queries for p in predictions])
    sizes = torch.cat([p.boxes[:, 2:] - p.boxes[:, :2] for p in predictions])
    areas = sizes.prod(-1)
    for query, ax in enumerate(axes.flat):
        own = queries_of == query
        ax.scatter(
            *centres[own].T.tolist(),
            s=2,
            alpha=0.5,
            color=plotting.COLORS[query % len(plotting.COLORS)],
        )
        mean = areas[own].mean().sqrt() if bool(own.any()) else 0
        ax.set_title(
            f"query {query}: {int(own.sum())} boxes, {mean:.0f} px",
            fontsize=7,
            loc="center",
        )
        ax.set(
            xlim=(0, side),
            ylim=(side, 0),
            xticks=[],
            yticks=[],
            aspect="equal",
        )
        ax.spines[:].set_visible(True)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return figure


def detection_explorer(
    model: Detector, images: Tensor, classes: Sequence[str]
) -> Explorer:
    """Choose a scene, a query and a threshold; see boxes, mask, attention."""

    def predict(scene: int) -> tuple[Instances, Tensor]:
        image = images[scene, None]
        with torch.no_grad(), evaluating(model):
            weights = model(image, need_weights=True).weights
        # (queries, tokens)
        return detect(model, image, 0.0)[0], weights[-1, 0].mean(0).cpu()

    def split(scene: int, query: int, threshold: float):
        predicted, heat = predict(scene)
        sure = predicted.scores >= threshold
        shown = Instances(*(part[sure] for part in predicted))
        own = predicted.queries == query
        one = Instances(*(part[own] for part in predicted))
        return shown, one, heat[query]

    def draw(scene: int, query: int, threshold: float) -> Figure:
        shown, one, heat = split(scene, query, threshold)
        picture = images[scene].cpu()
        figure, (left, middle, right) = plotting.figure(7.2, 2.7, cols=3)
        draw_instances(left, picture, shown, classes)
        left.set_title(f"all of {threshold:.2f} or more", fontsize=9)
        draw_instances(middle, picture, one, classes, masks=True)
        middle.set_title(f"query {query}: box and mask", fontsize=9)
        side = round(len(heat) ** 0.5)
        over_image(right, picture.float(), heat.view(side, side))
        right.set_title("where it attends", fontsize=9)
        return figure

    def alt(scene: int, query: int, threshold: float) -> str:
        # Not a word that depends on training: the still picture is compared.
        return (
            f"Test scene {scene}: the predictions with a score of "
            f"{threshold:.2f} or more; the box and the mask of query {query}; "
            "and what it attends to in the last layer."
        )

    slider = ipywidgets.IntSlider
    return explore(
        draw,
        alt,
        scene=slider(0, 0, len(images) - 1, description="scene"),
        query=slider(0, 0, model.queries - 1, description="query"),
        threshold=ipywidgets.FloatSlider(
            0.5, min=0.0, max=1.0, step=0.05, description="threshold"
        ),
    )


def _draw_box(
    ax: Axes, box: Sequence[float] | Tensor, color: str, style: str = "-"
) -> None:
    x0, y0, x1, y1 = (float(x) for x in box)
    ax.add_patch(
        Rectangle(
            (x0, y0),
            x1 - x0,
            y1 - y0,
            fill=False,
            edgecolor=color,
            linewidth=1.6,
            linestyle=style,
        )
    )
