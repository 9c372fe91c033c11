"""Lesson 08's views: words by weight, and a text to type and take apart.

A weight is shown three times: as colour, as the thickness of a line under
the word, and as a number below it.
"""

import html
from collections.abc import Callable, Mapping, Sequence

import ipywidgets
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from attn_course import plotting
from attn_course.common.statistics import mean_interval, wilson_interval
from attn_course.text_classification import Reading, paired_difference
from attn_course.widgets import StillPicture

ACROSS = 84  # letters in a line of a figure
ABOVE, BELOW = "#0072B2", "#D55E00"  # numbers above and below 0


# Pictures ------------------------------------------------------------------


def lines_of(words: Sequence[str], across: int = ACROSS) -> list[list[int]]:
    """Break a text into lines: the positions of the words on each line."""
    lines: list[list[int]] = [[]]
    used = 0
    for position, word in enumerate(words):
        width = max(len(word), 3) + 1
        if used + width > across and lines[-1]:
            lines.append([])
            used = 0
        lines[-1].append(position)
        used += width
    return lines


def highlight(
    texts: Sequence[tuple[str, Sequence[str], Sequence[float]]],
    *,
    title: str = "",
    across: int = ACROSS,
) -> Figure:
    """Draw texts with each word marked by its number.

    Colour and underline are scaled to the largest number of each text;
    numbers below 0 are orange and dashed. Below each word stands its number
    in per cent.

    Args:
        texts: for each a heading, its words, and a number for each word.
        title: the finding, above all.
        across: letters in a line.

    Raises:
        ValueError: if there are not as many numbers as words.
    """
    rows = []
    for heading, words, numbers in texts:
        if len(words) != len(numbers):
            raise ValueError(
                f"numbers: expected one per word, {len(words)}, got "
                f"{len(numbers)}"
            )
        rows.append((heading, words, numbers, lines_of(words, across)))
    high = sum(1.1 + 1.35 * len(lines) for *_, lines in rows)
    figure, ax = plotting.figure(7.4, 0.3 * high + (0.35 if title else 0.1))
    y = 0.0
    for heading, words, numbers, lines in rows:
        ax.text(0, y + 0.62, heading, fontsize=9, va="center", color="#444444")
        y += 1.1
        largest = max([abs(x) for x in numbers], default=0) or 1.0
        for line in lines:
            _draw_line(
                ax,
                y,
                [words[i] for i in line],
                [numbers[i] for i in line],
                largest,
            )
            y += 1.35
    ax.set(xlim=(-0.5, across + 0.5), ylim=(high, 0), title=title)
    ax.set_axis_off()
    return figure


def _draw_line(
    ax: Axes,
    y: float,
    words: Sequence[str],
    numbers: Sequence[float],
    largest: float,
) -> None:
    x = 0.0
    for word, number in zip(words, numbers):
        wide = max(len(word), 3)
        color = ABOVE if number >= 0 else BELOW
        part = abs(number) / largest
        ax.add_patch(
            Rectangle(
                (x - 0.2, y),
                wide + 0.4,
                0.72,
                color=color,
                alpha=0.45 * part,
                lw=0,
            )
        )
        ax.plot(
            [x, x + wide],
            [y + 0.74] * 2,
            color=color,
            lw=0.4 + 3.2 * part,
            solid_capstyle="butt",
            ls="-" if number >= 0 else (0, (2, 1)),
        )
        middle = x + wide / 2
        ax.text(
            middle,
            y + 0.36,
            word,
            fontsize=9,
            ha="center",
            va="center",
            family="DejaVu Sans Mono",
            parse_math=False,
        )
        ax.text(
            middle,
            y + 1.0,
            f"{100 * number:.0f}",
            fontsize=6.5,
            ha="center",
            va="center",
            color="#333333",
        )
        x += wide + 1


def accuracy_table(right: Mapping[str, object], *, title: str) -> Figure:
    """Draw accuracies with 95 % intervals, from which texts were right."""
    rows = {
        name: wilson_interval(int(hits.sum()), len(hits))
        for name, hits in right.items()
    }
    count = len(next(iter(right.values())))
    label = f"accuracy on {count:,} test texts, 95 % interval"
    return plotting.interval_rows(rows, xlabel=label, title=title)


def difference_table(
    right: Mapping[str, object], against: str, *, title: str
) -> Figure:
    """Draw each model's lead over one of them, on the same texts."""
    rows = {
        name: paired_difference(hits, right[against])
        for name, hits in right.items()
        if name != against
    }
    label = f"accuracy minus that of {against}, same texts, 95 % interval"
    return plotting.interval_rows(rows, xlabel=label, title=title, line=0)


def panels(
    curves: Mapping[str, Mapping[str, tuple]], *, xlabel: str, ylabel: str
) -> Figure:
    """Draw the same curves for several tasks, side by side, one legend."""
    figure, axes = plotting.figure(4.0 * len(curves), 3.4, cols=len(curves))
    for ax, (title, series) in zip(axes, curves.items()):
        plotting.curves(
            series, xlabel=xlabel, ylabel=ylabel, title=title, ax=ax
        )
        ax.get_legend().remove()
    lines = axes[0].get_legend_handles_labels()
    figure.legend(*lines, loc="outside lower center", ncols=len(series))
    return figure


def side_by_side(
    numbers: Mapping[str, Mapping[str, object]], *, title: str = ""
) -> Figure:
    """Draw means with intervals, for each label a panel, names shared."""
    panels = {
        label: {name: mean_interval(x) for name, x in rows.items()}
        for label, rows in numbers.items()
    }
    return plotting.interval_panels(panels, title=title, line=0, digits=2)


def deletion_curves(
    drops: Mapping[str, Mapping[int, object]], *, title: str
) -> Figure:
    """Draw how the chosen class loses when more and more words go.

    Args:
        drops: for each order, for each number of deleted words, the loss of
            probability of every text. The whiskers are 95 % intervals.
        title: the finding.
    """
    curves = {
        name: (list(by), [mean_interval(by[k])[0] for k in by])
        for name, by in drops.items()
    }
    figure = plotting.curves(
        curves,
        xlabel="words deleted",
        ylabel="loss of probability of the named class",
        title=title,
    )
    ax = figure.axes[0]
    for number, by in enumerate(drops.values()):
        for count, losses in by.items():
            _, low, high = mean_interval(losses)
            ax.plot(
                [count, count],
                [low, high],
                lw=2.5,
                alpha=0.6,
                color=plotting.COLORS[number],
            )
    ax.set_xticks(list(next(iter(drops.values()))))
    ax.legend(fontsize=8)
    return figure


# Words ---------------------------------------------------------------------


def best_class(reading: Reading, classes: Sequence[str]) -> str:
    """Name the class with the largest probability."""
    return max(zip(reading.probs, classes))[1]


def marked(
    reading: Reading, classes: Sequence[str], truth: str = ""
) -> tuple[str, list[str], list[float]]:
    """Make a row for :func:`highlight`: what the model says, and weights.

    ``truth`` is set beside it: "people: positive".
    """
    heading = f"model: {best_class(reading, classes)} {max(reading.probs):.2f}"
    if truth:
        heading += f"; {truth}"
    return heading, reading.words, reading.weights


def loudest(reading: Reading) -> str:
    """Name the word with the largest weight; "" if there is none."""
    return max(zip(reading.weights, reading.words), default=(0, ""))[1]


def as_list(
    words: Sequence[str], numbers: Sequence[float], count: int = 8
) -> str:
    """Say the words with the largest numbers, in per cent, largest first."""
    pairs = sorted(zip(numbers, words), key=lambda pair: -pair[0])
    parts = [f"{word} {100 * number:.0f}" for number, word in pairs[:count]]
    rest = len(pairs) - count
    return ", ".join(parts) + (f", and {rest} more words" if rest > 0 else "")


def as_html(reading: Reading) -> str:
    """Write the words as HTML: colour, underline, and the number below.

    A word that the model does not know stands in a dotted frame.
    """
    largest = max(reading.weights, default=0) or 1.0
    parts = []
    for word, known, weight in zip(
        reading.words, reading.known, reading.weights
    ):
        part = weight / largest
        frame = "" if known else "border:1px dotted currentColor;"
        parts.append(
            '<span style="display:inline-block;text-align:center;margin:2px '
            f'3px;line-height:1.25"><span style="{frame}padding:0 2px;'
            f"background:rgba(0,114,178,{0.45 * part:.2f});"
            f'border-bottom:{0.5 + 4 * part:.1f}px solid #0072B2">'
            f"{html.escape(word)}</span><br>"
            f"<small>{100 * weight:.0f}</small></span>"
        )
    return "".join(parts)


def describe_reading(
    reading: Reading,
    classes: Sequence[str],
    whole: Reading | None = None,
    left_out: str = "",
) -> list[str]:
    """Say in sentences what a model makes of a text.

    Args:
        reading: of the text as it is shown.
        classes: their names.
        whole: the reading before a word was left out, if one was.
        left_out: that word.
    """
    probs = ", ".join(
        f"{name} {100 * prob:.0f} %"
        for name, prob in zip(classes, reading.probs)
    )
    sentences = [f"{best_class(reading, classes)}: {probs}."]
    if not reading.words:
        sentences.append(
            "There is no word to read, so the last layer's constant answers "
            "alone: type a few words."
        )
    if whole is not None:
        first = max(range(len(classes)), key=lambda c: whole.probs[c])
        before, now = whole.probs[first], reading.probs[first]
        sentences.append(
            f'Without "{left_out}", {classes[first]} goes from '
            f"{100 * before:.0f} % to {100 * now:.0f} %."
        )
    unknown = reading.known.count(False)
    if unknown:
        sentences.append(
            f"{unknown} of {len(reading.known)} words (dotted) are not in the "
            "vocabulary: the model reads all such words as one and the same."
        )
    if reading.skipped:
        sentences.append(
            f"Only the first {len(reading.words)} words are read; "
            f"{reading.skipped:,} more are not."
        )
    if reading.words:
        weights = as_list(reading.words, reading.weights)
        sentences.append(f"Weights in per cent: {weights}.")
    return sentences


# The widget ----------------------------------------------------------------


class TextReader(StillPicture, ipywidgets.VBox):
    """A text to type: its class, its weights, and what each word does.

    ``text``, ``model`` and ``drop`` are the controls, ``answer`` is the HTML
    below them.
    """

    def __init__(
        self,
        readers: Mapping[str, tuple[Callable[..., Reading], Sequence[str]]],
        text: str,
        alt: str,
    ) -> None:
        """Show ``text`` as the first model reads it.

        Args:
            readers: for each model's name ``look(text, without)``, which
                gives a :class:`Reading`, and the names of its classes.
            text: the first text.
            alt: says what the still picture shows, without trained numbers.
        """
        self._readers = dict(readers)
        wide = {"description_width": "initial"}
        self.text = ipywidgets.Textarea(
            value=text,
            description="text",
            rows=3,
            style=wide,
            layout={"width": "95%"},
        )
        self.model = ipywidgets.Dropdown(
            options=list(readers), description="model", style=wide
        )
        self.drop = ipywidgets.Dropdown(
            options=[("nothing", -1)], description="leave out", style=wide
        )
        self.answer = ipywidgets.HTML()
        row = ipywidgets.Box(
            [self.model, self.drop], layout={"flex_flow": "row wrap"}
        )
        super().__init__([self.text, row, self.answer])
        self.add_class("attn-text-reader")
        self.still = self._draw(alt)
        self._new_text()
        self.text.observe(self._new_text, names="value")
        self.model.observe(self._show, names="value")
        self.drop.observe(self._show, names="value")

    def _draw(self, alt: str) -> plotting.Picture:
        """Draw the first state, for where no kernel runs."""
        name = self.model.value
        look, classes = self._readers[name]
        reading = look(self.text.value, None)
        answer = describe_reading(reading, classes)[0]
        row = (f"{name} says {answer}", reading.words, reading.weights)
        return plotting.picture(highlight([row]), alt)

    def _new_text(self, _: object = None) -> None:
        look, _ = self._readers[self.model.value]
        words = look(self.text.value, None).words
        options = [(f"{i}: {word}", i - 1) for i, word in enumerate(words, 1)]
        with self.drop.hold_trait_notifications():
            self.drop.options = [("nothing", -1), *options]
            self.drop.value = -1
        self._show()

    def _show(self, _: object = None) -> None:
        look, classes = self._readers[self.model.value]
        whole = look(self.text.value, None)
        reading, lines = whole, describe_reading(whole, classes)
        if self.drop.value >= 0:
            reading = look(self.text.value, self.drop.value)
            left_out = whole.words[self.drop.value]
            lines = describe_reading(reading, classes, whole, left_out)
        sentences = "".join(f"<p>{html.escape(line)}</p>" for line in lines)
        self.answer.value = (
            f'<div style="margin:8px 0">{as_html(reading)}</div>'
            f'<div role="status">{sentences}</div>'
        )
