"""Lesson 12's views: who hears whom, what it costs, and its figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import anywidget
import traitlets
from matplotlib.figure import Figure

from attn_course import plotting
from attn_course.common.arguments import check_choice
from attn_course.common.statistics import wilson_interval
from attn_course.rnn_cnn_attention import (
    LAYER_KINDS,
    LayerCost,
    layer_cost,
    path_length,
)
from attn_course.widgets import StillPicture, script

POSITIONS = 24
MOST_ROUNDS, MOST_KERNEL = 12, 5


# Who hears whom ------------------------------------------------------------


def heard(kind: str, position: int, rounds: int, kernel: int = 3) -> list[int]:
    """List the inputs that a position hears after some rounds, first to last.

    A round is a layer; of the GRU, a cell step.
    """
    return [
        j
        for j in range(position + 1)
        if path_length(kind, position - j, kernel) <= rounds
    ]


def trail(
    kind: str, position: int, rounds: int, kernel: int = 3
) -> list[list[int]]:
    """List, from the output down, which positions of each row take part.

    Row 0 is ``position`` itself; row r holds those that are heard after r
    rounds of looking back. Of a dilated CNN the top layer looks farthest.
    """
    rows = [{position}]
    for back in range(rounds):
        seen = set()
        for i in rows[-1]:
            seen |= set(_asked(kind, i, rounds - 1 - back, kernel, back))
        rows.append(seen)
    return [sorted(row) for row in rows]


def _asked(kind: str, i: int, depth: int, kernel: int, back: int) -> list[int]:
    """List the positions of the row below that i reads directly."""
    if kind == "attention":
        return list(range(i + 1))
    if kind == "GRU":  # its own input comes with every step
        return [i] if back == 0 else [j for j in (i - 1, i) if j >= 0]
    step = kernel**depth if kind == "dilated CNN" else 1
    positions = (i - j * step for j in range(kernel))
    return [j for j in positions if j >= 0]


def say_heard(kind: str, position: int, rounds: int, kernel: int) -> str:
    """Say in a sentence what a position hears."""
    seen = heard(kind, position, rounds, kernel)
    what = "cell step" if kind == "GRU" else "layer"
    many = f"{rounds} {what}{'s' if rounds > 1 else ''}"
    missing = position + 1 - len(seen)
    left = (
        "all that stand before it"
        if not missing
        else f"{missing} before them still unheard"
    )
    return (
        f"{kind}: after {many} position {position} hears {len(seen)} of "
        f"{position + 1} positions ({seen[0]} to {seen[-1]}): {left}."
    )


class ReceptiveFieldLattice(StillPicture, anywidget.AnyWidget):
    """Rows of positions, from inputs up to outputs; a click on one asks.

    ``kind``, ``position``, ``rounds`` and ``kernel`` can be set from Python
    too; ``result`` holds what the browser computed: the inputs heard.
    """

    _esm = script("rnn_cnn_attention")
    _css = Path(__file__).parent / "rnn_cnn_attention.css"

    kind = traitlets.Enum(LAYER_KINDS, "CNN").tag(sync=True)
    positions = traitlets.Int(POSITIONS).tag(sync=True)
    position = traitlets.Int(POSITIONS - 1).tag(sync=True)
    rounds = traitlets.Int(3).tag(sync=True)
    kernel = traitlets.Int(3).tag(sync=True)
    result = traitlets.List().tag(sync=True)

    def __init__(
        self,
        kind: str = "CNN",
        position: int = POSITIONS - 1,
        rounds: int = 3,
        kernel: int = 3,
    ) -> None:
        """Show a first state.

        Raises:
            ValueError: if a number is outside of what the view can show, or
                ``kind`` is unknown.
        """
        check_choice("kind", kind, LAYER_KINDS)
        limits = {
            "position": (position, 0, POSITIONS - 1),
            "rounds": (rounds, 1, MOST_ROUNDS),
            "kernel": (kernel, 2, MOST_KERNEL),
        }
        for name, (number, low, high) in limits.items():
            if not low <= number <= high:
                raise ValueError(
                    f"{name}: expected {low} to {high}, got {number}"
                )
        super().__init__(
            kind=kind,
            position=position,
            rounds=rounds,
            kernel=kernel,
            result=heard(kind, position, rounds, kernel),
        )
        self.still = self._draw()

    @traitlets.validate("position", "rounds", "kernel")
    def _inside(self, proposal: dict) -> int:
        """Bring a number that cannot be shown back to the nearest that can."""
        low, high = {
            "position": (0, POSITIONS - 1),
            "rounds": (1, MOST_ROUNDS),
            "kernel": (2, MOST_KERNEL),
        }[proposal["trait"].name]
        return min(max(proposal["value"], low), high)

    def _draw(self) -> plotting.Picture:
        said = say_heard(self.kind, self.position, self.rounds, self.kernel)
        rows = trail(self.kind, self.position, self.rounds, self.kernel)
        figure, ax = plotting.figure(7.2, 1.2 + 0.32 * len(rows))
        for back, row in enumerate(rows):
            y = len(rows) - 1 - back
            on = set(row)
            for j in range(POSITIONS):
                ax.plot(
                    j,
                    y,
                    "o" if j in on else ".",
                    ms=9 if j in on else 3,
                    color="#0072B2" if j in on else "#888888",
                )
            if back + 1 < len(rows):
                depth = self.rounds - 1 - back
                for i in row:
                    for j in _asked(self.kind, i, depth, self.kernel, back):
                        ax.plot([i, j], [y, y - 1], color="#0072B2", lw=0.5)
        what = "cell step" if self.kind == "GRU" else "layer"
        labels = ["inputs", *(f"{what} {r}" for r in range(1, len(rows)))]
        ax.set(
            yticks=range(len(rows)),
            yticklabels=labels,
            xlabel="position",
            title="What one position can have heard",
        )
        return plotting.picture(figure, said)


# What it costs -------------------------------------------------------------


def _rounded(number: float) -> str:
    """Write a large number with three digits and a word."""
    for size, word in (
        (1e12, " trillion"),
        (1e9, " billion"),
        (1e6, " million"),
    ):
        if number >= size:
            return f"{number / size:.3g}{word}"
    return f"{number:,.0f}"


def layer_costs(length: int, dim: int, kernel: int) -> dict[str, LayerCost]:
    """Return the cost of each kind."""
    return {
        kind: layer_cost(kind, length, dim, kernel) for kind in LAYER_KINDS
    }


def winners(costs: Mapping[str, LayerCost]) -> dict[str, list[str]]:
    """Name who has least of each; several if they tie."""
    least = {}
    for what in (
        "path",
        "sequential_operations",
        "multiply_adds",
        "multiply_adds_in_all",
    ):
        best = min(getattr(cost, what) for cost in costs.values())
        least[what] = [
            kind for kind, cost in costs.items() if getattr(cost, what) == best
        ]
    return least


def draw_layer_costs(length: int, dim: int, kernel: int) -> Figure:
    """Draw path, steps and multiply-adds of each kind as bars."""
    costs = layer_costs(length, dim, kernel)
    panels = {
        "path": [p.path for p in costs.values()],
        "sequential operations": [
            p.sequential_operations_in_all for p in costs.values()
        ],
        "multiply-adds, a layer": [p.multiply_adds for p in costs.values()],
        "multiply-adds, until\nall are connected": [
            p.multiply_adds_in_all for p in costs.values()
        ],
    }
    figure, axes = plotting.figure(9.4, 2.6, cols=4)
    for ax, (title, numbers) in zip(axes, panels.items()):
        for row, number in enumerate(numbers):
            ax.barh(
                row,
                number,
                left=0.5,
                color=plotting.COLORS[row],
                hatch="//" if number == min(numbers) else "",
            )
            ax.text(
                number * 1.15 + 0.6,
                row,
                _rounded(number),
                va="center",
                fontsize=8,
            )
        ax.set_xscale("log")
        ax.set(
            xlim=(0.5, max(numbers) ** 1.75 + 60),
            ylim=(3.6, -0.6),
            yticks=range(4),
            yticklabels=[],
        )
        ax.set_xticks([])
        ax.minorticks_off()
        ax.set_title(title, fontsize=9)
    axes[0].set_yticklabels(list(costs))
    return figure


def say_layer_costs(length: int, dim: int, kernel: int) -> str:
    """Say the same in words: who is cheapest, and at what."""
    costs = layer_costs(length, dim, kernel)
    best = winners(costs)
    parts = [
        f"{kind} path {p.path:,}, {p.sequential_operations_in_all:,} "
        "sequential operations, "
        f"{_rounded(p.multiply_adds)} multiply-adds a layer and "
        f"{_rounded(p.multiply_adds_in_all)} until all are connected"
        for kind, p in costs.items()
    ]
    return (
        f"Length {length:,}, dim {dim}, kernel {kernel}. "
        + "; ".join(parts)
        + f". Shortest path: {' and '.join(best['path'])}. Fewest "
        f"multiply-adds a layer: {' and '.join(best['multiply_adds'])}; until "
        f"all are connected: {' and '.join(best['multiply_adds_in_all'])}."
    )


def layer_cost_table(length: int, dim: int, kernel: int = 3) -> str:
    """Write the table of theory as text, one row a kind."""
    heads = f"{'path':>6}{'sequential':>12}{'multiply-adds':>15}{'in all':>15}"
    lines = [f"{'':12}{heads}"]
    for kind, p in layer_costs(length, dim, kernel).items():
        lines.append(
            f"{kind:12}{p.path:6}{p.sequential_operations_in_all:12}"
            f"{p.multiply_adds:15,}{p.multiply_adds_in_all:15,}"
        )
    return "\n".join(lines)


# Figures -------------------------------------------------------------------


def receptive_field_panels(maps: Mapping[str, object]) -> Figure:
    """Draw who hears whom, one square a kind: output rows, input columns."""
    figure, axes = plotting.figure(2.5 * len(maps), 2.8, cols=len(maps))
    for ax, (name, map_) in zip(axes, maps.items()):
        ax.imshow(map_, cmap="Blues", vmin=0, vmax=1.3)
        heard_last = int(map_[-1].sum())
        ax.set_title(f"{name}: the last hears {heard_last}", fontsize=9)
        ax.set(xlabel="input", ylabel="output")
    return figure


def time_curves(
    lengths: Sequence[int],
    seconds: Mapping[str, Sequence[float]],
    crossings: Mapping[str, float | None],
    title: str,
) -> Figure:
    """Draw milliseconds against length; mark where attention overtakes.

    Args:
        lengths: x.
        seconds: for each kind one number per length.
        crossings: for each other kind the length from which attention is
            slower; None where it is not, up to the last length.
        title: the finding.
    """
    curves = {k: (lengths, [1000 * s for s in v]) for k, v in seconds.items()}
    _, ax = plotting.figure(7.2, 4.0)
    plotting.curves(
        curves,
        xlabel="length",
        ylabel="milliseconds",
        title=title,
        logx=True,
        logy=True,
        ax=ax,
    )
    notes = []
    for kind, at in crossings.items():
        if at is None:
            notes.append(f"slower than {kind}: not up to {lengths[-1]:,}")
            continue
        if at <= lengths[0]:
            notes.append(f"slower than {kind}: from the first length on")
            continue
        notes.append(f"slower than {kind}: from {at:,.0f}")
        ax.axvline(at, color="#888888", lw=1, ls=":")
        ax.text(
            at,
            ax.get_ylim()[1],
            f"{at:,.0f} ",
            rotation=90,
            fontsize=8,
            va="top",
            ha="right",
        )
    last = {k: v[-1] for k, v in seconds.items()}
    ends = ", ".join(f"{k} {1000 * s:.3g} ms" for k, s in last.items())
    ax.set_xticks(list(lengths), [f"{n:,}" for n in lengths])
    ax.minorticks_off()
    figure = ax.figure
    figure.supxlabel(
        "attention is " + ";\n".join(notes) + f"\nat {lengths[-1]:,}: {ends}",
        fontsize=8,
        x=0.02,
        ha="left",
    )
    return figure


def share_table(
    right: Mapping[str, Mapping[object, object]],
    *,
    columns: str,
    title: str,
    chance: float,
    note: str = "",
) -> Figure:
    """Draw a table of shares right with their 95 % intervals.

    Args:
        right: for each row, for each column, which answers were right.
        columns: what the columns are.
        title: the finding.
        chance: what guessing gives; shares whose interval lies above it
            are bold.
        note: a line below.
    """
    names = list(next(iter(right.values())))
    wide = max(6.4, 2.0 + 1.05 * len(names))
    figure, ax = plotting.figure(wide, 1.15 + 0.5 * len(right))
    for row, cells in enumerate(right.values()):
        for column, name in enumerate(names):
            hits = cells[name]
            share, low, high = wilson_interval(int(hits.sum()), len(hits))
            ax.text(
                column,
                row,
                f"{share:.3f}",
                ha="center",
                va="bottom",
                fontsize=10,
                weight="bold" if low > chance else "normal",
            )
            ax.text(
                column,
                row + 0.04,
                f"{low:.3f} to {high:.3f}",
                ha="center",
                va="top",
                fontsize=7,
            )
            tint = max(0.0, (share - chance) / (1 - chance))
            ax.axhspan(
                row - 0.5,
                row + 0.5,
                (column) / len(names),
                (column + 1) / len(names),
                color="#56B4E9",
                alpha=0.55 * tint,
                lw=0,
            )
    ax.set(
        xlim=(-0.5, len(names) - 0.5),
        ylim=(len(right) - 0.5, -0.5),
        xticks=range(len(names)),
        xticklabels=[str(n) for n in names],
        yticks=range(len(right)),
        yticklabels=list(right),
        xlabel=f"{columns}; chance {chance:.3g}"
        + (f"\n{note}" if note else ""),
        title=title,
    )
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return figure


def decay_curves(sizes: Mapping[str, Sequence[float]], title: str) -> Figure:
    """Draw how much of an input arrives, against its distance."""
    curves = {k: (range(len(v)), v) for k, v in sizes.items()}
    figure = plotting.curves(
        curves, xlabel="distance", ylabel="gradient", title=title, logy=True
    )
    low = min(x for v in sizes.values() for x in v if x > 0)
    figure.axes[0].set_ylim(bottom=low / 2)
    return figure
