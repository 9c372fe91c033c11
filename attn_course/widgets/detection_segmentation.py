"""Lesson 10's pictures: scenes with boxes and masks, pairs, two explorers."""

import itertools
from collections.abc import Mapping, Sequence

import ipywidgets
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from attn_course import plotting
from attn_course.detection_segmentation import (
    Detector,
    Objects,
    cheapest_pairs,
    detect,
)
from attn_course.translation import Interval
from attn_course.widgets import Explorer, explore
from attn_course.widgets.image_attention import over_image


def draw_objects(
    ax: Axes,
    picture: Tensor,
    objects: Objects | None = None,
    classes: Sequence[str] = (),
    *,
    boxes: bool = True,
    masks: bool = False,
) -> None:
    """Draw a grey picture, and over it boxes with names, or masks."""
    over_image(ax, picture.float())
    height, width = picture.shape
    ax.set(xlim=(0, width), ylim=(height, 0))
    if objects is None:
        return
    for number, label in enumerate(objects.labels.tolist()):
        color = plotting.COLORS[label % len(plotting.COLORS)]
        if masks:
            mask = objects.masks[number].float()
            ax.contourf(
                mask.cpu().numpy(),
                levels=[0.5, 1.5],
                colors=[color],
                alpha=0.55,
                extent=(0, width, 0, height),
            )
        if boxes:
            _draw_box(ax, objects.boxes[number], color)
            score = objects.scores
            words = classes[label] if classes else str(label)
            if score is not None:
                words += f" {score[number]:.2f}"
            x, y = objects.boxes[number, :2].tolist()
            name = ax.text(
                max(x, 0),
                max(y, 5),
                words,
                fontsize=6,
                color="white",
                va="bottom",
                clip_on=True,
                bbox={"facecolor": color, "pad": 0.6, "linewidth": 0},
            )
            name.set_in_layout(False)  # a long name moves no picture


def scene_grid(
    pictures: Sequence[Tensor],
    objects: Sequence[Objects | None],
    classes: Sequence[str],
    *,
    across: int = 4,
    titles: Sequence[str] = (),
    width: float = 7.2,
    boxes: bool = True,
    masks: bool = False,
) -> Figure:
    """Draw scenes in rows of ``across``, each with its objects."""
    down = -(-len(pictures) // across)
    extra = 0.25 if titles else 0.0
    figure, axes = plotting.figure(
        width, (width / across + extra) * down, down, across
    )
    flat = list(axes.flat) if down * across > 1 else [axes]
    for ax in flat:
        ax.set_axis_off()
    for ax, picture, found in zip(flat, pictures, objects):
        draw_objects(ax, picture, found, classes, boxes=boxes, masks=masks)
    for ax, title in zip(flat, titles):
        ax.set_title(title, fontsize=8, loc="center")
    return figure


def two_boxes(
    first: Sequence[float], second: Sequence[float], title: str
) -> Figure:
    """Draw two boxes on squared paper, and the hull around both."""
    figure, ax = plotting.figure(3.6, 2.6)
    hull = [
        min(first[0], second[0]),
        min(first[1], second[1]),
        max(first[2], second[2]),
        max(first[3], second[3]),
    ]
    _draw_box(ax, hull, "#888888", "--")
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
        xlim=(hull[0] - 0.5, hull[2] + 0.5),
        ylim=(hull[3] + 0.5, hull[1] - 0.5),
        xticks=range(int(hull[0]), int(hull[2]) + 1),
        yticks=range(int(hull[1]), int(hull[3]) + 1),
        aspect="equal",
        title=title,
    )
    ax.grid(alpha=0.4)
    return figure


def greedy_pairs(cost: Tensor) -> list[tuple[int, int]]:
    """Take the cheapest entry, strike its row and column, and so on."""
    rest = cost.clone().float()
    pairs = []
    for _ in range(min(cost.shape)):
        row, column = divmod(int(rest.argmin()), cost.shape[1])
        pairs.append((row, column))
        rest[row], rest[:, column] = torch.inf, torch.inf
    return sorted(pairs)


def cost_table(
    cost: Tensor,
    queries: Sequence[str],
    objects: Sequence[str],
    pairs: Sequence[tuple[int, int]],
    *,
    title: str,
    ax: Axes | None = None,
) -> Figure:
    """Draw a cost matrix, cheap cells light, the chosen pairs framed."""
    if ax is None:
        _, ax = plotting.figure(
            1.8 + 0.75 * len(objects), 1.1 + 0.34 * len(queries)
        )
    ax.imshow(cost.cpu().numpy(), cmap="Purples", aspect="auto", alpha=0.75)
    for row, line in enumerate(cost.tolist()):
        for column, number in enumerate(line):
            words = f"{number:g}" if number == int(number) else f"{number:.2f}"
            ax.text(column, row, words, ha="center", va="center", fontsize=9)
    for row, column in pairs:
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


def pairing_explorer(cost: Tensor) -> Explorer:
    """Change the nine costs; see the best pairs and the greedy ones."""
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

    def pairs_of(costs: Tensor) -> dict[str, list[tuple[int, int]]]:
        rows, columns = cheapest_pairs(costs)
        best = list(zip(rows.tolist(), columns.tolist()))
        return {"cheapest first": greedy_pairs(costs), "Hungarian": best}

    def total(costs: Tensor, pairs: Sequence[tuple[int, int]]) -> int:
        return int(sum(costs[pair] for pair in pairs))

    def draw(**values: int) -> Figure:
        costs = table(values)
        figure, axes = plotting.figure(6.4, 2.3, cols=2)
        for ax, (name, pairs) in zip(axes, pairs_of(costs).items()):
            title = f"{name}: {total(costs, pairs)}"
            cost_table(costs, queries, objects, pairs, title=title, ax=ax)
        return figure

    def alt(**values: int) -> str:
        costs = table(values)
        words = [
            f"{name} pairs "
            + ", ".join(f"{'ABC'[r]} with {c + 1}" for r, c in pairs)
            + f" for {total(costs, pairs)}"
            for name, pairs in pairs_of(costs).items()
        ]
        return f"Costs {costs.int().tolist()}: {'; '.join(words)}."

    return explore(draw, alt, **controls)


def interval_table(
    scores: Mapping[str, Interval],
    *,
    lines: Sequence[float] = (),
    xlabel: str,
    title: str,
) -> Figure:
    """Draw scores with their 95 % intervals, and write them beside."""
    figure, ax = plotting.figure(6.8, 0.8 + 0.42 * len(scores))
    for row, (score, low, high) in enumerate(scores.values()):
        color = plotting.COLORS[row % len(plotting.COLORS)]
        ax.plot([low, high], [row, row], color=color, lw=3)
        ax.plot(score, row, "o", color="black")
        ax.text(
            1.01,
            row,
            f"{score:.3f}  [{low:.3f}, {high:.3f}]",
            va="center",
            fontsize=8,
            transform=ax.get_yaxis_transform(),
        )
    for line in lines:
        ax.axvline(line, color="#888888", lw=1, ls=":")
    ax.set(
        yticks=range(len(scores)),
        yticklabels=list(scores),
        ylim=(len(scores) - 0.4, -0.6),
        xlim=(0, 1),
        xlabel=xlabel,
        title=title,
    )
    return figure


def bar_pairs(
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
        places = [
            g + (number - (len(series) - 1) / 2) * width
            for g in range(len(groups))
        ]
        ax.bar(
            places,
            values,
            width * 0.92,
            label=name,
            color=plotting.COLORS[number],
            hatch=("", "//", "..")[number % 3],
            alpha=0.85,
        )
        for place, value in zip(places, values):
            ax.text(
                place, value + 0.01, f"{value:.2f}", ha="center", fontsize=8
            )
    ax.set_xticks(range(len(groups)), groups)
    ax.set(ylabel=ylabel, title=title)
    if len(series) > 1:
        ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def attention_grid(
    pictures: Sequence[Tensor],
    objects: Sequence[Objects],
    weights: Sequence[Tensor],
    classes: Sequence[str],
    *,
    most: int = 4,
    width: float = 7.2,
) -> Figure:
    """Draw each scene with its answers; beside it what each query attends to.

    Args:
        pictures: the scenes.
        objects: the answers in each, with ``queries``.
        weights: for each scene ``(queries, tokens)``, one set per query.
        classes: names.
        most: how many answers to show per scene.
        width: in inches.
    """
    figure, axes = plotting.figure(
        width,
        width / (most + 1) * len(pictures) * 1.12,
        len(pictures),
        most + 1,
    )
    rows = [axes] if len(pictures) == 1 else axes
    for row, picture, found, heats in zip(rows, pictures, objects, weights):
        for ax in row:
            ax.set_axis_off()
        draw_objects(row[0], picture, found, classes)
        shown = zip(row[1:], found.queries.tolist(), found.boxes, found.labels)
        for ax, query, box, label in shown:
            side = round(heats.shape[-1] ** 0.5)
            over_image(ax, picture.float(), heats[query].view(side, side))
            _draw_box(ax, box, plotting.COLORS[int(label)])
            ax.set_title(f"query {query}", fontsize=8, loc="center")
    return figure


def query_places(
    found: Sequence[Objects], queries: int, side: int, title: str
) -> Figure:
    """Scatter the centres of every query's answers, a small map each."""
    across = min(queries, 4)
    down = -(-queries // across)
    figure, axes = plotting.figure(6.8, 1.75 * down + 0.35, down, across)
    centres = torch.cat([(o.boxes[:, :2] + o.boxes[:, 2:]) / 2 for o in found])
    number = torch.cat([o.queries for o in found])
    size = torch.cat([o.boxes[:, 2:] - o.boxes[:, :2] for o in found]).prod(-1)
    for query, ax in enumerate(axes.flat):
        mine = number == query
        ax.scatter(
            *centres[mine].T.tolist(),
            s=2,
            alpha=0.5,
            color=plotting.COLORS[query % len(plotting.COLORS)],
        )
        mean = size[mine].mean().sqrt() if bool(mine.any()) else 0
        ax.set_title(
            f"query {query}: {int(mine.sum())} boxes, {mean:.0f} px",
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

    def answers(scene: int) -> tuple[Objects, Tensor]:
        found = detect(model, images[scene, None], 0.0)[0]
        with torch.no_grad():
            weights = model(images[scene, None], need_weights=True).weights
        return found, weights[-1, 0].mean(0).cpu()  # (queries, tokens)

    def split(scene: int, query: int, threshold: float):
        found, heat = answers(scene)
        sure = found.scores >= threshold
        shown = Objects(*(part[sure] for part in found))
        one = Objects(*(part[found.queries == query] for part in found))
        return shown, one, heat[query]

    def draw(scene: int, query: int, threshold: float) -> Figure:
        shown, one, heat = split(scene, query, threshold)
        picture = images[scene].cpu()
        figure, (left, middle, right) = plotting.figure(7.2, 2.7, cols=3)
        draw_objects(left, picture, shown, classes)
        left.set_title(f"all of {threshold:.2f} or more", fontsize=9)
        draw_objects(middle, picture, one, classes, masks=True)
        middle.set_title(f"query {query}: box and mask", fontsize=9)
        side = round(len(heat) ** 0.5)
        over_image(right, picture.float(), heat.view(side, side))
        right.set_title("where it attends", fontsize=9)
        return figure

    def alt(scene: int, query: int, threshold: float) -> str:
        # Not a word that depends on training: the still picture is compared.
        return (
            f"Test scene {scene}: the answers with a score of {threshold:.2f} "
            f"or more; the box and the mask of query {query}; and what it "
            "attends to in the last layer."
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
