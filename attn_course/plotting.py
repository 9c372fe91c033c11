"""The few figures that every lesson shares, and how a figure is shown.

A figure is shown by :func:`show` with a text that says what it shows. The
text serves whoever cannot see the picture, and nbval, which compares it.
"""

import base64
import html
import io
from collections.abc import Mapping, Sequence
from typing import Any, overload

import matplotlib
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito (2008), "Color universal design": told apart by colour-blind
# readers. Curves differ in dash and marker too.
COLORS = [
    "#0072B2",  # blue
    "#D55E00",  # vermilion
    "#009E73",  # green
    "#CC79A7",  # purple
    "#E69F00",  # orange
    "#56B4E9",  # sky blue
    "#000000",  # black
]
DASHES = ["-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 3))]
MARKERS = ["o", "s", "^", "D", "v", "P", "X"]
WEIGHTS_MAP = "viridis"


def set_style() -> None:
    """Set the plot style of the course for this process."""
    matplotlib.rcParams.update(
        {
            "axes.prop_cycle": matplotlib.cycler(color=COLORS),
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.titlesize": 11,
            "axes.titlelocation": "left",
            "figure.dpi": 110,
            "figure.figsize": (6.0, 3.2),
            "figure.facecolor": "white",
            "font.family": "DejaVu Sans",  # comes inside matplotlib
            "font.size": 10,
            "legend.frameon": False,
            "lines.markersize": 4,
            "svg.hashsalt": "attn_course",
        }
    )


@overload
def figure(width: float = 6.0, height: float = 3.2) -> tuple[Figure, Axes]: ...


@overload
def figure(
    width: float = 6.0, height: float = 3.2, rows: int = 1, cols: int = 1
) -> tuple[Figure, Any]: ...


def figure(
    width: float = 6.0, height: float = 3.2, rows: int = 1, cols: int = 1
) -> tuple[Figure, Any]:
    """Make a figure of ``width`` by ``height`` inches, not yet shown.

    Returns:
        The figure, and its axes (one, or an array if there are several).
    """
    # Not by pyplot: JupyterLab answers a slider in a second thread, and what
    # pyplot holds open would be shown by whichever cell ends then.
    fig = Figure(figsize=(width, height), layout="constrained")
    return fig, fig.subplots(rows, cols)


class Picture:
    """A finished picture and the text that stands for it."""

    def __init__(self, png: bytes, alt: str, width: int) -> None:
        self.png = png
        self.alt = alt
        self.width = width

    def html(self) -> str:
        """Return an ``<img>`` that carries the bytes and the alt text."""
        data = base64.b64encode(self.png).decode("ascii")
        return (
            f'<img alt="{html.escape(self.alt)}" width="{self.width}" '
            f'src="data:image/png;base64,{data}">'
        )

    def __repr__(self) -> str:
        return self.alt

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return {"text/html": self.html(), "text/plain": self.alt}


def picture(fig: Figure, alt: str) -> Picture:
    """Render a figure, close it, and pair it with its alt text.

    Raises:
        ValueError: if ``alt`` is not a sentence of at least three words.
    """
    if len(alt.split()) < 3:
        raise ValueError(
            f"alt: expected a sentence that says what is seen, got {alt!r}"
        )
    stream = io.BytesIO()
    # No software version in the file: the same figure gives the same bytes.
    fig.savefig(stream, format="png", metadata={"Software": None})
    width = round(fig.get_figwidth() * fig.dpi)
    plt.close(fig)
    return Picture(stream.getvalue(), " ".join(alt.split()), width)


def show(fig: Figure, alt: str) -> None:
    """Show a figure with its alt text, and close it.

    Args:
        fig: any matplotlib figure.
        alt: what is seen and what it means, in one or two sentences. nbval
            compares it, so numbers in it must be the same on every machine.

    Raises:
        ValueError: if ``alt`` is not a sentence of at least three words.
    """
    from IPython.display import display

    display(picture(fig, alt))


def weights_heatmap(
    weights,
    queries: Sequence[str] | None = None,
    keys: Sequence[str] | None = None,
    *,
    title: str = "",
    ax: Axes | None = None,
    numbers: bool | None = None,
    colorbar: bool = False,
) -> Figure:
    """Draw weights: queries on rows, keys on columns, from 0 to 1.

    Args:
        weights: ``(q, k)``, a tensor or an array.
        queries: labels of the rows; by default 0, 1, ...
        keys: labels of the columns; by default 0, 1, ...
        title: the finding, in one line.
        ax: where to draw; by default a new figure of a fitting size.
        numbers: write each weight in its cell; by default up to 8 by 8.
        colorbar: draw the scale beside it.

    Raises:
        ValueError: if ``weights`` is not a matrix with numbers from 0 to 1,
            or the labels do not fit it.
    """
    array = _array(weights)
    if array.ndim != 2:
        raise ValueError(
            f"weights: expected a matrix (q, k), got shape {array.shape}"
        )
    if array.size and not (array.min() >= 0 and array.max() <= 1 + 1e-5):
        raise ValueError(
            "weights: expected numbers from 0 to 1, "
            f"got {array.min()} to {array.max()}"
        )
    queries = _labels("queries", queries, array.shape[0])
    keys = _labels("keys", keys, array.shape[1])
    if ax is None:
        size = 0.52 if max(array.shape) <= 8 else 0.3
        wide = max(3.4, 1.5 + size * array.shape[1], 1.3 + 0.09 * len(title))
        high = max(1.7, 1.2 + size * array.shape[0])
        _, ax = figure(min(wide, 8), min(high, 7))
        ax.set_anchor("W")  # leaves the room to the right for the title
    seen = ax.imshow(array, cmap=WEIGHTS_MAP, vmin=0, vmax=1)
    ax.set_xticks(range(len(keys)), keys)
    ax.set_yticks(range(len(queries)), queries)
    if any(len(k) > 3 for k in keys):
        ax.tick_params(axis="x", rotation=45 if len(keys) > 3 else 0)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set(xlabel="key", ylabel="query", title=title)
    if numbers if numbers is not None else max(array.shape) <= 8:
        for row, column in np.ndindex(array.shape):
            weight = array[row, column]
            ax.text(
                column,
                row,
                f"{weight:.2f}",
                ha="center",
                va="center",
                fontsize=8,
                color="white" if weight < 0.6 else "black",
            )
    if colorbar:
        ax.figure.colorbar(seen, ax=ax, label="weight", shrink=0.8)
    return ax.figure


def curves(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    xlabel: str,
    ylabel: str,
    title: str = "",
    logx: bool = False,
    logy: bool = False,
    ax: Axes | None = None,
) -> Figure:
    """Draw named curves that differ in colour, dash and marker.

    Args:
        series: ``{name: (x, y)}``; a curve of more than 30 points is drawn
            without markers.
        xlabel: what x is, with its unit.
        ylabel: what y is, with its unit.
        title: the finding, in one line.
        logx: draw x on a logarithmic scale.
        logy: draw y on a logarithmic scale.
        ax: where to draw; by default a new figure.

    Raises:
        ValueError: if x and y of a curve differ in length.
    """
    series = {name: (_array(x), _array(y)) for name, (x, y) in series.items()}
    for name, (x, y) in series.items():
        if x.shape != y.shape:
            raise ValueError(
                f"series: expected x and y of {name!r} to be equally long, "
                f"got {x.shape} and {y.shape}"
            )
    if ax is None:
        _, ax = figure()
    for number, (name, (x, y)) in enumerate(series.items()):
        ax.plot(
            x,
            y,
            label=name,
            color=COLORS[number % len(COLORS)],
            linestyle=DASHES[number % len(DASHES)],
            marker=MARKERS[number % len(MARKERS)] if x.size <= 30 else None,
        )
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    if logx:
        ax.set_xscale("log")
    if logy:
        ax.set_yscale("log")
    if len(series) > 1:
        ax.legend()
    return ax.figure


def interval_rows(
    rows: Mapping[str, tuple[float, float, float]],
    *,
    xlabel: str,
    title: str,
    line: float | Sequence[float] = (),
    digits: int = 3,
    ax: Axes | None = None,
) -> Figure:
    """Draw a number with its interval for each name, and write both beside.

    Args:
        rows: for each name the number and the two bounds.
        xlabel: what the number is.
        title: the finding.
        line: a number or several to compare with, drawn dotted.
        digits: how many to write after the point.
        ax: where to draw; by default a new figure.
    """
    if ax is None:
        _, ax = figure(7.2, 0.75 + 0.36 * len(rows))
    for row, (middle, low, high) in enumerate(rows.values()):
        color = COLORS[row % len(COLORS)]
        marker = MARKERS[row % len(MARKERS)]
        ax.plot([low, high], [row, row], color=color, lw=3)
        ax.plot(middle, row, marker, color="black")
        texts = [_rounded(x, digits) for x in (middle, low, high)]
        label = f"{texts[0]}  [{texts[1]}, {texts[2]}]"
        ax.text(
            1.02,
            row,
            label,
            va="center",
            fontsize=8,
            transform=ax.get_yaxis_transform(),
        )
    for number in np.atleast_1d(line):
        ax.axvline(number, color="#888888", lw=1, ls=":")
    ax.locator_params(axis="x", nbins=6)
    ax.set(
        yticks=range(len(rows)),
        yticklabels=list(rows),
        ylim=(len(rows) - 0.4, -0.6),
        xlabel=xlabel,
        title=title,
    )
    return ax.figure


def interval_panels(
    panels: Mapping[str, Mapping[str, tuple[float, float, float]]],
    *,
    title: str = "",
    line: float | Sequence[float] = (),
    digits: int = 1,
) -> Figure:
    """Draw numbers with their intervals, a panel for each label.

    Args:
        panels: ``{label: rows}``, for :func:`interval_rows`; the same names
            in each.
        title: the finding, above all.
        line: a number or several to compare with, drawn dotted.
        digits: how many to write after the point.
    """
    count = len(next(iter(panels.values())))
    fig, axes = figure(4.4 * len(panels), 1.0 + 0.36 * count, cols=len(panels))
    axes = np.atleast_1d(axes)
    if title:
        fig.suptitle(title, x=0.01, ha="left", fontsize=11)
    for ax, (label, rows) in zip(axes, panels.items()):
        interval_rows(
            rows, xlabel=label, title="", line=line, digits=digits, ax=ax
        )
    for ax in axes[1:]:
        ax.set_yticklabels([])
    return fig


def sheet(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Figure:
    """Draw a small table of numbers as a figure, the first column left."""
    fig, ax = figure(7.6, 0.3 * (len(rows) + 1))
    ax.axis("off")
    drawn = ax.table(
        [*rows],
        colLabels=[*header],
        bbox=[0, 0, 1, 1],
        edges="horizontal",
        cellLoc="right",
        colLoc="right",
    )
    drawn.auto_set_font_size(False)
    drawn.set_fontsize(9)
    drawn.auto_set_column_width(range(len(header)))
    for (_, column), cell in drawn.get_celld().items():
        if column == 0:
            cell.set_text_props(ha="left")
    return fig


def _array(numbers) -> np.ndarray:
    """Bring a tensor, from any device, or a sequence to numpy."""
    if hasattr(numbers, "detach"):
        numbers = numbers.detach().cpu().double().numpy()
    return np.asarray(numbers, dtype=float)


def _labels(name: str, labels, count: int) -> list[str]:
    """Check or make the labels of one side of a heat map."""
    labels = range(count) if labels is None else labels
    labels = [str(label) for label in labels]
    if len(labels) != count:
        raise ValueError(
            f"{name}: expected {count} labels, got {len(labels)}: {labels}"
        )
    return labels


def _rounded(number: float, digits: int) -> str:
    """Write a number with ``digits`` after the point, and never as -0."""
    return f"{round(number, digits) + 0.0:.{digits}f}"
