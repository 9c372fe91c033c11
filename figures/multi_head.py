"""Lesson 04's figure: tokens, projections, two heads, merge, output."""

from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle

from attn_course import plotting
from figures.pieces import arrow

HEADS = plotting.COLORS[:2]  # blue, vermilion
GREY = "#444444"
CELL = 0.42


def multi_head_flow() -> plt.Figure:
    """Draw how 3 tokens of 4 numbers go through two heads of 2 numbers."""
    fig, ax = plotting.figure(9.0, 4.3)
    ax.set(xlim=(-0.6, 18.6), ylim=(-0.2, 9.0), aspect="equal")
    ax.axis("off")
    titles = ["input", "project", "split", "attend", "merge", "output"]
    for x, title in zip((0.85, 4.3, 8.3, 11.7, 14.7, 17.4), titles):
        ax.text(x, 8.6, title, ha="center", weight="bold")

    grid(ax, 0.0, 3.6, [GREY] * 4)
    note(ax, 0.85, 3.2, "3 tokens,\ndim = 4")
    for name, y in (("query", 6.4), ("key", 3.6), ("value", 0.8)):
        arrow(ax, (1.9, 4.2), (3.2, y + 0.63))
        grid(ax, 3.45, y, [HEADS[0]] * 2 + [HEADS[1]] * 2)
        note(ax, 4.3, y - 0.1, name)
    for head, (y, color) in enumerate(zip((5.0, 2.2), HEADS)):
        arrow(ax, (5.4, 4.2), (7.1, y + 0.63))
        for part in (2, 1, 0):  # query, key, value, one behind the other
            grid(ax, 7.5 + 0.42 * part, y + 0.22 * part, [color] * 2)
        note(ax, 8.3, y - 0.15, f"head {head + 1}: head_dim = 2")
        arrow(ax, (9.5, y + 0.63), (10.7, y + 0.63))
        grid(ax, 11.05, y, [color] * 3, fill=WEIGHTS[head])
        note(ax, 11.7, y - 0.15, "weights (q, k)")
        arrow(ax, (12.6, y + 0.63), (13.6, 4.23))
    grid(ax, 13.85, 3.6, [HEADS[0]] * 2 + [HEADS[1]] * 2)
    note(ax, 14.7, 3.45, "side by side")
    arrow(ax, (15.7, 4.2), (16.4, 4.2))
    grid(ax, 16.6, 3.6, [GREY] * 4)
    note(ax, 17.4, 3.45, "heads mixed")
    return fig


# How dark the weights are: each head has its own, and each row sums to 1.
WEIGHTS = (
    [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]],
    [[0.1, 0.1, 0.8], [0.8, 0.1, 0.1], [0.2, 0.6, 0.2]],
)


def grid(ax, x: float, y: float, colors: list[str], fill=None) -> None:
    """Draw 3 rows of cells, a column for each colour."""
    for row in range(3):
        for column, color in enumerate(colors):
            place = (x + CELL * column, y + CELL * (2 - row))
            alpha = 0.25 if fill is None else fill[row][column]
            white = {"facecolor": "white", "edgecolor": "none"}
            ax.add_patch(Rectangle(place, CELL, CELL, **white))
            ax.add_patch(
                Rectangle(place, CELL, CELL, facecolor=color, alpha=alpha)
            )
            ax.add_patch(
                Rectangle(
                    place, CELL, CELL, fill=False, edgecolor=color, linewidth=1
                )
            )


def note(ax, x: float, y: float, text: str) -> None:
    """Write below a grid."""
    ax.text(x, y, text, ha="center", va="top", fontsize=8, style="italic")
