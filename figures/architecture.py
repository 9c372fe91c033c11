"""The drawing of docs/architecture.md: who imports whom."""

from matplotlib import pyplot as plt

from attn_course import plotting
from figures.pieces import arrow, box

BLUE, VERMILION, GREEN = plotting.COLORS[:3]
GREY = "#444444"
# Name, what lives there, middle, width, colour.
ROOMS = {
    "around": (
        "tools  tests  benchmarks  docs  teaching  figures",
        "build, test, measure and publish: may import all",
        (9.0, 8.6, 17.0),
        GREY,
    ),
    "notebooks": (
        "notebooks",
        "one lesson each: text source, executed copy, exercises",
        (9.0, 6.6, 9.6),
        GREY,
    ),
    "widgets": ("widgets", "interactive views", (2.4, 4.4, 3.8), GREEN),
    "lessons": (
        "lessons 00 to 16",
        "a module or package each",
        (7.3, 4.4, 4.4),
        BLUE,
    ),
    "fit": (
        "session, plotting, training",
        "seed, figures, fit",
        (12.6, 4.4, 4.4),
        GREEN,
    ),
    "checks": ("checks", "know no lesson", (16.7, 4.4, 2.6), VERMILION),
    "common": ("common", "what several lessons need", (11.0, 2.0, 5.0), GREEN),
    "data": ("data", "small, embedded, checked", (4.6, 2.0, 5.0), VERMILION),
}
# (importing room, imported room, shift of the arrow's two ends in x).
ARROWS = (
    ("around", "notebooks", 0, 0),
    ("notebooks", "widgets", -3.6, 0.6),
    ("notebooks", "lessons", -1.2, 0.5),
    ("notebooks", "fit", 2.4, -1.2),
    ("notebooks", "checks", 4.2, -0.8),
    ("lessons", "data", -1.2, 0.6),
    ("lessons", "common", 1.2, -1.2),
    ("fit", "common", -0.4, 0.6),
)


def architecture() -> plt.Figure:
    """Draw the rooms of the course, and arrows from who imports to whom."""
    fig, ax = plotting.figure(9.6, 5.2)
    ax.set(xlim=(-0.2, 18.2), ylim=(1.0, 9.6))
    ax.axis("off")
    for name, what, (x, y, width), color in ROOMS.values():
        box(ax, x, y, color, width, 1.1)
        ax.text(x, y + 0.22, name, ha="center", va="center", weight="bold")
        ax.text(x, y - 0.28, what, ha="center", va="center", fontsize=8)
    for one, other, start, end in ARROWS:
        (x1, y1, _), (x2, y2, _) = ROOMS[one][2], ROOMS[other][2]
        arrow(ax, (x1 + start, y1 - 0.63), (x2 + end, y2 + 0.66))
    arrow(ax, (4.4, 4.4), (4.98, 4.4))  # widgets show lessons
    arrow(ax, (9.6, 4.4), (10.28, 4.4))  # some lessons have a training
    return fig
