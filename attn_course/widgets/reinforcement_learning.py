"""Lesson 16's views: carts as still pictures, curves, and carts that move."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import anywidget
import torch
import traitlets
from jaxtyping import Float
from matplotlib import patches
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from attn_course import plotting
from attn_course.common.statistics import mean_interval
from attn_course.reinforcement_learning import MAX_STEPS, TOKEN_KINDS, Episodes
from attn_course.widgets import StillPicture, script

EDGE = 2.4  # metres: beyond it the cart has left the track
POLE = 1.0  # metres


# Carts ---------------------------------------------------------------------


def pole_top(position: float, angle: float) -> tuple[float, float]:
    """Return where the pole's upper end is, in metres; 0, 0 is mid-track."""
    leaning = torch.tensor(angle, dtype=torch.float64)
    return position + POLE * leaning.sin().item(), POLE * leaning.cos().item()


def draw_cart(ax: Axes, state: Sequence[float], title: str = "") -> None:
    """Draw one state: track, cart and pole, to scale."""
    position, _, angle, _ = (float(number) for number in state)
    ax.plot([-EDGE, EDGE], [-0.12, -0.12], color="0.6", lw=1)
    for edge in (-EDGE, EDGE):
        ax.plot([edge, edge], [-0.25, 0.05], color="0.6", lw=1)
    ax.add_patch(
        patches.Rectangle((position - 0.3, -0.12), 0.6, 0.24, color="0.25")
    )
    x, y = pole_top(position, angle)
    ax.plot(
        [position, x],
        [0, y],
        color=plotting.COLORS[1],
        lw=3,
        solid_capstyle="round",
    )
    ax.set(xlim=(-EDGE - 0.5, EDGE + 0.5), ylim=(-0.4, 1.2), aspect="equal")
    ax.set_axis_off()
    ax.set_title(title, fontsize=9, loc="center")


def cart_strips(
    films: Mapping[str, Float[Tensor, "_ 4"]],
    *,
    frames: int = 6,
    title: str = "",
) -> Figure:
    """Draw episodes as strips of still pictures, from first to last step.

    Args:
        films: for each name the states of one episode, in order.
        frames: pictures in a strip.
        title: the finding.

    Raises:
        ValueError: if a film holds no state.
    """
    fig, axes = plotting.figure(
        1.5 * frames, 0.35 + 1.05 * len(films), rows=len(films), cols=frames
    )
    axes = axes.reshape(len(films), frames)
    for row, (name, states) in zip(axes, films.items()):
        if not len(states):
            raise ValueError(f"films: expected a state in {name!r}, got none")
        moments = torch.linspace(0, len(states) - 1, frames).long().tolist()
        for ax, moment in zip(row, moments):
            draw_cart(ax, states[moment].tolist(), f"step {moment}")
        row[0].text(-EDGE - 0.7, 0.4, name, ha="right", va="center")
    fig.suptitle(title, fontsize=11, x=0.01, ha="left")
    return fig


# Curves and tables ---------------------------------------------------------


def spread_of_returns(parts: Mapping[str, Episodes], *, title: str) -> Figure:
    """Draw the return of every episode as a dot, one row per player."""
    fig, ax = plotting.figure(7.0, 0.9 + 0.5 * len(parts))
    generator = torch.Generator().manual_seed(0)
    for row, part in enumerate(parts.values()):
        height = row + 0.5 * (torch.rand(len(part), generator=generator) - 0.5)
        ax.plot(
            part.returns,
            height,
            ".",
            ms=3,
            alpha=0.6,
            color=plotting.COLORS[row],
        )
    names = [f"{name} ({len(part)})" for name, part in parts.items()]
    ax.set_yticks(range(len(parts)), names)
    ax.invert_yaxis()
    ax.set(
        xlabel="return of an episode", xlim=(0, MAX_STEPS + 15), title=title
    )
    return fig


def return_curve(
    targets: Sequence[float],
    returns: Mapping[str, Float[Tensor, "targets n"]],
    *,
    title: str,
    best: float | None = None,
) -> Figure:
    """Draw the return got against the target return.

    The line is the mean of the dots, with a 95 % interval. On the grey band
    one gets what one asks for; it is flat from 500 on, where the game ends.

    Args:
        targets: the returns asked for.
        returns: for each curve's name, what was got: a row for each target,
            a dot for each episode or, of means, for each training seed.
        title: the finding.
        best: the highest return in the training data, drawn as a dotted
            line.
    """
    means = {
        name: (targets, [mean_interval(row).score for row in rows])
        for name, rows in returns.items()
    }
    fig, ax = plotting.figure(7.0, 4.0)
    highest = max(targets)
    ax.plot(
        [0, min(highest, MAX_STEPS), highest],
        [0, min(highest, MAX_STEPS), min(highest, MAX_STEPS)],
        color="0.8",
        lw=5,
        zorder=0,
        label="what is asked",
    )
    plotting.curves(
        means, xlabel="target return", ylabel="return got", title=title, ax=ax
    )
    ax.legend()
    step = 0.012 * highest
    for number, rows in enumerate(returns.values()):
        color = plotting.COLORS[number % len(plotting.COLORS)]
        for x, row in zip(targets, rows):
            _, low, high = mean_interval(row)
            ax.plot([x, x], [low, high], color=color, lw=3, alpha=0.7)
            aside = torch.full((len(row),), x + step * (0.5 + number))
            ax.plot(aside, row, ".", ms=3, alpha=0.4, color=color)
    if best is not None:
        ax.axhline(best, color="0.4", ls=":", lw=1)
        ax.text(
            highest,
            best + 6,
            "the best it ever saw",
            ha="right",
            fontsize=8,
            color="0.3",
        )
    return fig


def returns_table(
    returns: Mapping[str, Float[Tensor, " n"]], *, title: str
) -> Figure:
    """Draw mean returns with their intervals, the numbers beside them.

    Each small dot is an episode or, of means, a training seed.
    """
    fig, ax = plotting.figure(7.5, 0.9 + 0.34 * len(returns))
    for row, got in enumerate(returns.values()):
        mean, low, high = mean_interval(got)
        color = plotting.COLORS[row % len(plotting.COLORS)]
        ax.plot([low, high], [row, row], color=color, lw=4, alpha=0.5)
        below = [row + 0.25] * len(got)
        ax.plot(got, below, ".", ms=3, alpha=0.5, color=color)
        ax.plot(mean, row, plotting.MARKERS[row % 7], color=color)
        ax.text(
            MAX_STEPS + 25,
            row,
            f"{mean:5.0f}  [{low:.0f}, {high:.0f}]",
            va="center",
            family="DejaVu Sans Mono",
            fontsize=9,
        )
    ax.set_yticks(range(len(returns)), list(returns))
    ax.set_ylim(len(returns) - 0.5, -0.5)  # downwards, with room for dots
    ax.set(
        xlim=(0, MAX_STEPS + 10),
        title=title,
        xlabel="mean return, with 95 % interval",
    )
    return fig


def kinds_by_step(weights: Float[Tensor, "steps 3"], *, title: str) -> Figure:
    """Draw attention weights by steps back, a bar part for each kind."""
    fig, ax = plotting.figure(6.5, 2.8)
    back = range(len(weights))
    under = torch.zeros(len(weights), dtype=weights.dtype)
    hatches = ("", "//", "..")
    for number, kind in enumerate(TOKEN_KINDS):
        ax.bar(
            back,
            weights[:, number],
            bottom=under,
            label=kind,
            color=plotting.COLORS[number],
            hatch=hatches[number],
            edgecolor="white",
            width=0.85,
        )
        under = under + weights[:, number]
    ax.axhline(
        1 / len(weights), color="0.3", ls=":", lw=1, label="all steps alike"
    )
    ax.set(
        xlabel="steps back (0: the decision's own step)",
        ylabel="weight",
        title=title,
    )
    ax.set_xticks(list(back))
    ax.legend(
        ncols=4, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.22)
    )
    return fig


# Carts that move -----------------------------------------------------------


class Film(NamedTuple):
    """One episode, ready to be shown in the browser."""

    target: float
    got: int
    positions: list[float]
    angles: list[float]
    actions: list[int]


def films(targets: Sequence[float], played: Sequence[Episodes]) -> list[Film]:
    """Choose from each set of episodes the one with the middle return."""
    chosen = []
    for target, episodes in zip(targets, played, strict=True):
        order = episodes.returns.argsort(stable=True)
        row = order[(len(order) - 1) // 2]
        length = int(episodes.lengths[row])
        states = episodes.states[row, :length].double()
        chosen.append(
            Film(
                float(target),
                length,
                [round(x, 3) for x in states[:, 0].tolist()],
                [round(x, 4) for x in states[:, 2].tolist()],
                episodes.actions[row, :length].tolist(),
            )
        )
    return chosen


class CartPlayer(StillPicture, anywidget.AnyWidget):
    """A cart and a pole that move: a slider for the return, one for the time.

    ``number`` (which film) and ``step`` can be set from Python too; out of
    range they are brought to the nearest that is there. ``said`` holds the
    sentence that stands below the picture.
    """

    _esm = script("reinforcement_learning")
    _css = Path(__file__).parent / "reinforcement_learning.css"

    films = traitlets.List().tag(sync=True)
    number = traitlets.Int(0).tag(sync=True)
    step = traitlets.Int(0).tag(sync=True)
    said = traitlets.Unicode("").tag(sync=True)

    def __init__(
        self, films: Sequence[Film], number: int = 0, *, alt: str
    ) -> None:
        """Show the first state of one of the films.

        Args:
            films: at least one, in the order of the return asked for.
            number: which one first.
            alt: says what the still picture shows, without trained numbers.

        Raises:
            ValueError: if there is no film, or one without a step.
        """
        if not films or not all(film.positions for film in films):
            raise ValueError(
                "films: expected one or more, each with a step, got "
                f"{[len(film.positions) for film in films]}"
            )
        number = min(max(number, 0), len(films) - 1)
        super().__init__(
            films=[film._asdict() for film in films],
            number=number,
            said=describe_step(films[number], 0),
        )
        self.still = plotting.picture(self._draw(films), alt)

    @traitlets.validate("number")
    def _number_in_range(self, proposal: dict) -> int:
        return min(max(proposal["value"], 0), max(len(self.films) - 1, 0))

    @traitlets.validate("step")
    def _step_in_range(self, proposal: dict) -> int:
        return min(max(proposal["value"], 0), MAX_STEPS - 1)

    @traitlets.observe("number", "step")
    def _say(self, _: dict) -> None:
        if self.films:
            self.said = describe_step(
                Film(**self.films[self.number]), self.step
            )

    def _draw(self, films: Sequence[Film]) -> Figure:
        """Draw up to four of the films as strips, where no kernel runs."""
        few = torch.linspace(0, len(films) - 1, min(4, len(films))).long()
        strips = {}
        for film in (films[i] for i in few.tolist()):
            zeros = torch.zeros(film.got)
            strips[f"asked {film.target:g}"] = torch.stack(
                [
                    torch.tensor(film.positions),
                    zeros,
                    torch.tensor(film.angles),
                    zeros,
                ],
                dim=1,
            )
        return cart_strips(strips, frames=5)


def describe_step(film: Film, step: int) -> str:
    """Say what is seen at a step, as the browser does."""
    step = min(max(step, 0), film.got - 1)
    degrees = film.angles[step] * 180 / torch.pi
    push = ("left", "right")[film.actions[step]]
    return (
        f"Asked for {film.target:g}, got {film.got}. Step {step}: position "
        f"{film.positions[step]:.2f}, pole at {degrees:.1f} degrees, push {push}."
    )
