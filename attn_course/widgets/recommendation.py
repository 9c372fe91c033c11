"""Lesson 15's views: results in a table, what attention looks back at, and a
history to change.

A weight is shown three times: as a number, as the length of a bar, as colour.
"""

import html
from collections.abc import Callable, Mapping, Sequence

import ipywidgets
from matplotlib.figure import Figure

from attn_course import plotting
from attn_course.recommendation import Recommendation, Result, change
from attn_course.widgets import StillPicture

# Pictures ------------------------------------------------------------------


def result_table(
    results: Mapping[str, Result], *, title: str, k: int = 10
) -> Figure:
    """Draw HR@k and NDCG@k with 95 % intervals, one row per model."""
    people = len(next(iter(results.values())).hits)
    figure, axes = plotting.figure(9.6, 0.95 + 0.34 * len(results), cols=2)
    for ax, label, rows in (
        (axes[0], f"HR@{k}", {n: r.hit_rate() for n, r in results.items()}),
        (axes[1], f"NDCG@{k}", {n: r.ndcg() for n, r in results.items()}),
    ):
        label = f"{label}, 95 % intervals"
        plotting.interval_rows(rows, xlabel=label, title="", ax=ax)
        ax.set_xlim(left=0)
    axes[1].set_yticklabels([])
    axes[0].set_title(title)
    axes[1].set_title(f"{people:,} people", fontsize=9)
    return figure


def lag_figure(profile, *, title: str) -> Figure:
    """Draw the mean weight of the item 1, 2, ... back, a curve per head."""
    back = list(range(1, profile.shape[1] + 1))
    figure = plotting.curves(
        {
            f"head {number}": (back, row.tolist())
            for number, row in enumerate(profile, 1)
        },
        xlabel="positions from the end (1 = the last item)",
        ylabel="mean weight",
        title=title,
    )
    figure.axes[0].set(xticks=back, ylim=(0, None))
    return figure


def back_figure(
    names: Sequence[str], weights, *, title: str, last: int = 12
) -> Figure:
    """Draw, for one person, the weight of each item that is read.

    Heads are rows, items columns, each with how far back it stands.

    Args:
        names: of the items, oldest first.
        weights: ``(heads, length)``, of the last query.
        title: the finding.
        last: how many items to draw, from the end.
    """
    names = [f"{name} (-{len(names) - i})" for i, name in enumerate(names)]
    names = names[-last:]
    heads = [f"head {i}" for i in range(1, len(weights) + 1)]
    figure = plotting.weights_heatmap(
        weights[:, -last:],
        heads,
        names,
        title=title,
        numbers=len(names) <= 12,
        ax=_axes(heads, names),
    )
    (ax,) = figure.axes
    ax.set_aspect("auto")  # fills the figure
    ax.set_xticks(range(len(names)), names, ha="right", rotation_mode="anchor")
    ax.tick_params(axis="x", rotation=40)
    ax.set(
        xlabel="key: an item, with its position from the end",
        ylabel="last item's query",
    )
    return figure


def _axes(heads: Sequence[str], names: Sequence[str]):
    """Make room for turned labels, and no more."""
    labels = 0.05 * max([8, *map(len, names)])
    width = 1.8 + 0.56 * max(4, len(names))
    return plotting.figure(width, 1.1 + 0.4 * len(heads) + labels)[1]


# Words ---------------------------------------------------------------------


def back_table(names: Sequence[str], weights, last: int = 12) -> str:
    """Write the weights of one person's items as a table of text."""
    heads = "".join(f"  head {i}" for i in range(1, len(weights) + 1))
    wide = max([4, *map(len, names[-last:])])
    lines = [f"back  {'item':{wide}}{heads}"]
    for position in range(max(0, len(names) - last), len(names)):
        row = "".join(f"{w:8.2f}" for w in weights[:, position].tolist())
        lines.append(
            f"{len(names) - position:4}  {names[position]:{wide}}{row}"
        )
    return "\n".join(lines)


def describe_recommendation(
    now: Recommendation,
    name: Callable[[int], str],
    before: Recommendation | None = None,
) -> list[str]:
    """Say in sentences what a model recommends, and what a change did."""
    sentences = []
    if not now.read:
        sentences.append(
            "The history is empty: attention has nothing to look back at. "
            "Recommended is what most people chose."
        )
    else:
        mean = now.weights[0].mean(dim=0)
        highest = int(mean.argmax())
        sentences.append(
            f"It looks most at {name(now.read[highest])}, "
            f"{len(now.read) - highest} back: "
            f"{100 * mean[highest].item():.0f} % of the weight, over all heads."
        )
    if now.skipped:
        sentences.append(
            f"The {now.skipped} oldest items are beyond what it reads."
        )
    if now.items:
        sentences.append(
            f"First comes {name(now.items[0])}, with "
            f"{100 * now.probs[0]:.0f} %."
        )
    if before is not None:
        new = [item for item in now.items if item not in before.items]
        sentences.append(
            f"After the change {len(new)} of {len(now.items)} "
            "recommendations are new"
            + (f": {', '.join(map(name, new))}." if new else ".")
        )
    return sentences


def history_html(
    now: Recommendation, name: Callable[[int], str], changed: int | None = None
) -> str:
    """Write what is read, newest first, with a bar and number per head."""
    rows = []
    for position in reversed(range(len(now.read))):
        cells = "".join(
            f'<td style="min-width:90px"><div style="background:#0072B2;'
            f"height:9px;width:{80 * weight:.0f}px;display:inline-block"
            f'"></div> {100 * weight:.0f}</td>'
            for weight in now.weights[0, :, position].tolist()
        )
        mark = " &#9668; changed" if position == changed else ""
        rows.append(
            f'<tr><td>{len(now.read) - position}</td><th scope="row" '
            f'style="text-align:left">{html.escape(name(now.read[position]))}'
            f"{mark}</th>{cells}</tr>"
        )
    heads = "".join(
        f'<th scope="col">head {i}, %</th>'
        for i in range(1, now.weights.shape[1] + 1)
    )
    return (
        '<table><thead><tr><th scope="col">back</th><th scope="col">item</th>'
        f"{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def recommendation_html(
    now: Recommendation,
    name: Callable[[int], str],
    before: Recommendation | None = None,
) -> str:
    """Write the recommendations; new ones are bold and say so."""
    lines = []
    for item, prob in zip(now.items, now.probs):
        text = f"{html.escape(name(item))}, {100 * prob:.0f} %"
        if before is not None and item not in before.items:
            text = f"<strong>{text} (new)</strong>"
        lines.append(f"<li>{text}</li>")
    return f"<ol>{''.join(lines)}</ol>" if lines else "<p>nothing</p>"


# The widget ----------------------------------------------------------------

KEEP, OUT, ONLY, NONE = "keep", "take out", "keep only it", "empty history"


def _slider(description: str, options: Sequence) -> ipywidgets.Widget:
    return ipywidgets.SelectionSlider(
        options=options,
        description=description,
        style={"description_width": "initial"},
        layout={"width": "32em"},
    )


class HistoryExplorer(StillPicture, ipywidgets.VBox):
    """One person's history: take an item out or change it, and see.

    ``person``, ``position``, ``how`` and ``item`` are the controls; ``answer``
    is the HTML below them.
    """

    def __init__(
        self,
        people: Mapping[str, Sequence[int]],
        ask: Callable[[Sequence[int]], Recommendation],
        name: Callable[[int], str],
        items: int,
        alt: str,
    ) -> None:
        """Show the first person, unchanged.

        Args:
            people: a history for each name.
            ask: gives an :class:`Recommendation` for any history.
            name: an item in words.
            items: how many items there are.
            alt: says what the still picture shows, without trained numbers.

        Raises:
            ValueError: if there is nobody, or the first history is empty.
        """
        if not people or not next(iter(people.values())):
            raise ValueError(
                "people: expected at least one, the first with a history"
            )
        self._people, self._ask, self._name = dict(people), ask, name
        # Sliders: JupyterLab takes the arrow keys of lists for itself.
        self.person = _slider("person", list(people))
        self.position = _slider("item", [("none", 0)])
        self.how = _slider("do", [KEEP, OUT, "replace", ONLY, NONE])
        names = [(name(number), number) for number in range(1, items + 1)]
        self.item = _slider("replace by", names)
        self.answer = ipywidgets.HTML()
        controls = [self.person, self.position, self.how, self.item]
        row = ipywidgets.Box(controls, layout={"flex_flow": "row wrap"})
        super().__init__([row, self.answer])
        self.add_class("attn-history")
        self._new_person()
        self.still = self._draw(alt)
        self.person.observe(self._new_person, names="value")
        for control in controls[1:]:
            control.observe(self._show, names="value")

    def history(self) -> tuple[list[int], int | None]:
        """Return the history after the change, and the position that changed.

        Raises:
            ValueError: if the change is not possible.
        """
        whole = list(self._people[self.person.value])
        position = self.position.value
        if self.how.value == NONE or not whole:
            return [], None
        if self.how.value == OUT:
            return change(whole, position, None), None
        if self.how.value == ONLY:
            return [whole[position]], 0
        if self.how.value == "replace":
            return change(whole, position, self.item.value), position
        return whole, None

    def _draw(self, alt: str) -> plotting.Picture:
        """Draw the first state, for where no kernel runs."""
        now = self._ask(self.history()[0])
        best = ", ".join(map(self._name, now.items[:2]))
        figure = back_figure(
            [self._name(item) for item in now.read],
            now.weights[0],
            title=f"Recommended: {best}, ...",
        )
        return plotting.picture(figure, alt)

    def _new_person(self, _: object = None) -> None:
        whole = self._people[self.person.value]
        options = [
            (f"{len(whole) - i} back: {self._name(item)}", i)
            for i, item in enumerate(whole)
        ]
        self._moving = True  # no answer until all controls fit together
        self.position.options = options[::-1] or [("none", 0)]
        self.position.value = max(0, len(whole) - 1)
        self.how.value = KEEP
        fresh = (n for _, n in self.item.options if n not in whole)
        self.item.value = next(fresh, self.item.value)  # one that can replace
        self._moving = False
        self._show()

    def _show(self, _: object = None) -> None:
        if self._moving:
            return
        try:
            history, changed = self.history()
            now = self._ask(history)
            whole = list(self._people[self.person.value])
            before = None if history == whole else self._ask(whole)
        except ValueError as error:  # say it; never leave the old answer
            self.answer.value = (
                f'<p role="status">No answer: {html.escape(str(error))}</p>'
            )
            return
        if changed is not None:
            changed -= now.skipped
        sentences = "".join(
            f"<p>{html.escape(line)}</p>"
            for line in describe_recommendation(now, self._name, before)
        )
        self.answer.value = (
            f'<div role="status">{sentences}</div>'
            '<div style="display:flex;flex-wrap:wrap;gap:24px">'
            f"<div><strong>Recommended</strong>"
            f"{recommendation_html(now, self._name, before)}</div>"
            f'<div><strong>Looked back at</strong><div style="max-height:'
            f'320px;overflow:auto" tabindex="0">'
            f"{history_html(now, self._name, changed)}</div></div></div>"
        )
