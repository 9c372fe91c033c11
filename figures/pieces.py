"""Boxes and arrows that several figures are drawn of."""

from matplotlib.patches import FancyArrowPatch, FancyBboxPatch


def box(ax, x: float, y: float, color: str, width=3.2, height=0.9) -> None:
    """Draw a rounded box around a point."""
    ax.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - height / 2),
            width,
            height,
            boxstyle="round,pad=0.08",
            facecolor="white",
            edgecolor=color,
            linewidth=2,
        )
    )


def arrow(ax, start: tuple, end: tuple) -> None:
    """Draw an arrow between two points."""
    ax.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=12, color="#444444"
        )
    )
