"""Draw the course's own figures as SVG, the same bytes at every run.

``make figures`` writes them; a test draws them anew and compares. Numbers in
a figure are computed by ``attn_course``.
"""

import io
from pathlib import Path

import torch
from matplotlib import pyplot as plt

from attn_course import plotting
from attn_course.dot_product import dot_product_attention
from figures.architecture import architecture
from figures.multi_head import multi_head_flow
from figures.pieces import arrow, box

FOLDER = Path(__file__).parent
BLUE, VERMILION = plotting.COLORS[:2]


def attention_flow() -> plt.Figure:
    """Draw query, keys, values, scores, softmax and weighted sum."""
    query = torch.tensor([[1.0, 0.0]])
    key = torch.tensor([[1.0, 1.0], [0.0, 1.0]])
    value = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    output, weights = dot_product_attention(query, key, value)
    score = (query @ key.T)[0]

    fig, ax = plotting.figure(9.0, 3.7)
    ax.set(xlim=(-0.3, 18), ylim=(0, 7.4))
    ax.axis("off")
    heads = ["query, keys", "scores", "weights", "values", "output"]
    for x, head in zip((1.6, 5.6, 9.4, 13.0, 16.4), heads):
        ax.text(x, 7.0, head, ha="center", weight="bold")
    labelled(ax, 1.6, 5.9, f"query {vector(query[0])}", "#444444")
    colors = (BLUE, VERMILION)
    for j, (y, color) in enumerate(zip((4.1, 1.7), colors)):
        labelled(ax, 1.6, y, f"key {j + 1}  {vector(key[j])}", color)
        labelled(ax, 5.6, y, f"{score[j]:.0f}", color, 1.6)
        labelled(ax, 9.4, y, f"{weights[0, j]:.4f}", color, 2.2)
        labelled(ax, 13.0, y, f"value {j + 1}  {vector(value[j])}", color)
        arrow(ax, (3.3, y), (4.7, y))
        arrow(ax, (6.5, y), (8.2, y))
        arrow(ax, (10.6, y), (11.3, y))
        arrow(ax, (14.7, y), (15.2, 2.9 + 0.25 * (y > 2.9) - 0.25 * (y < 2.9)))
    ax.plot([3.3, 4.0, 4.0], [5.9, 5.9, 1.7], color="#444444", ls=":")
    ax.text(11.0, 2.9, "times", ha="center", va="center", style="italic")
    labelled(ax, 16.5, 2.9, vector(output[0], 4), "#444444", 2.5)
    notes = (
        (5.6, "similarity:\ndot product"),
        (9.4, "softmax"),
        (15.6, "weighted sum"),
    )
    for x, note in notes:
        ax.text(x, 0.9, note, ha="center", va="top", style="italic")
    return fig


def labelled(
    ax, x: float, y: float, text: str, color: str, width: float = 3.2
) -> None:
    """Draw a box with a text in its middle."""
    box(ax, x, y, color, width)
    ax.text(x, y, text, ha="center", va="center")


def vector(numbers, digits: int = 0) -> str:
    """Write a vector as [1, 0]."""
    return "[" + ", ".join(f"{x:.{digits}f}" for x in numbers.tolist()) + "]"


FIGURES = {
    "architecture": architecture,
    "attention_flow": attention_flow,
    "multi_head_flow": multi_head_flow,
}


def svg(name: str) -> bytes:
    """Return a figure as SVG without date or version."""
    plotting.set_style()
    fig = FIGURES[name]()
    stream = io.BytesIO()
    with plt.rc_context({"svg.hashsalt": name, "svg.fonttype": "path"}):
        fig.savefig(
            stream, format="svg", metadata={"Date": None, "Creator": None}
        )
    plt.close(fig)
    return stream.getvalue()


if __name__ == "__main__":
    for name in FIGURES:
        (FOLDER / f"{name}.svg").write_bytes(svg(name))
        print(f"figures/{name}.svg")
