"""Lesson 04's views: heads switched off and on, and what a readout can see."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import ipywidgets
from jaxtyping import Bool, Float, Int
from matplotlib.figure import Figure
from torch import Tensor

from attn_course import plotting
from attn_course.widgets import Explorer, explore


class View(NamedTuple):
    """What the board shows of one example with some heads on."""

    weights: Float[Tensor, "heads k"]
    right: Float[Tensor, " questions"]  # share of right answers
    keys: Sequence[str]
    questions: Sequence[str]


def head_board(
    look: Callable[[int, list[int]], View], heads: int, examples: int = 9
) -> Explorer:
    """Show a model with a checkbox for each head.

    Args:
        look: ``look(example, on)`` gives the :class:`View` of one example,
            numbered from 1, with only the heads in ``on`` (from 0 up).
        heads: how many heads the model has.
        examples: how many examples can be looked at.
    """
    slider = ipywidgets.IntSlider(
        value=1, min=1, max=examples, description="street"
    )
    boxes = {
        f"head_{h}": ipywidgets.Checkbox(value=True, description=f"head {h}")
        for h in range(1, heads + 1)
    }

    def view(street: int, on: Mapping[str, bool]) -> tuple[list[int], View]:
        numbers = [h for h, name in enumerate(boxes) if on[name]]
        return numbers, look(street, numbers)

    def draw(street: int, **on: bool) -> Figure:
        numbers, seen = view(street, on)
        fig, (left, right) = plotting.figure(9.0, 1.3 + 0.4 * heads, cols=2)
        shown = seen.weights.detach().cpu().clone()
        shown[[h for h in range(heads) if h not in numbers]] = 0
        plotting.weights_heatmap(
            shown,
            [f"head {h + 1}" for h in range(heads)],
            seen.keys,
            ax=left,
            title="Where the heads look",
        )
        left.set_ylabel("the query, by head")
        shares = seen.right.tolist()
        right.barh(seen.questions, shares, color=plotting.COLORS[0])
        right.axvline(0.5, color="black", linestyle=":")
        right.invert_yaxis()
        right.set(
            xlim=(0, 1),
            xlabel="share of right answers (dotted: guessing)",
            title=f"{len(numbers)} of {heads} heads on",
        )
        return fig

    def words(street: int, **on: bool) -> str:
        numbers, seen = view(street, on)
        good = int((seen.right > 0.9).sum())
        return (
            f"Street {street}, {len(numbers)} of {heads} heads on: {good} of "
            f"{len(seen.questions)} questions are answered right in more "
            "than 9 of 10 streets."
        )

    return explore(draw, words, street=slider, **boxes)


def readout_planes(
    clouds: Mapping[
        str,
        tuple[Float[Tensor, "n 2"], Int[Tensor, "n 2"] | Bool[Tensor, "n 2"]],
    ],
) -> Figure:
    """Draw two numbers of a readout against each other, one panel a cloud.

    Args:
        clouds: ``{title: (readout, answers)}``; each dot is marked by the
            two true answers, 0 or 1.
    """
    fig, axes = plotting.figure(3.6 * len(clouds), 3.3, cols=len(clouds))
    panels = [axes] if len(clouds) == 1 else axes
    for ax, (title, (readout, answers)) in zip(panels, clouds.items()):
        for number, pair in enumerate([(1, 1), (1, 0), (0, 1), (0, 0)]):
            mine = (answers == answers.new_tensor(pair)).all(dim=1).cpu()
            ax.plot(
                *readout.detach().cpu()[mine].T.numpy(),
                plotting.MARKERS[number],
                color=plotting.COLORS[number],
                fillstyle="none",
                markersize=10 - 2 * number,  # so that none hides another
                label=", ".join("on" if bit else "off" for bit in pair),
            )
        ax.set(
            title=title,
            xlabel="readout of question 1",
            ylabel="readout of question 2",
        )
    panels[-1].legend(title="true answer", fontsize=8, loc="center")
    return fig
