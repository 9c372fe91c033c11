"""Lesson 05's pictures: alignments of characters, and a reader of dates."""

import html
from collections.abc import Mapping, Sequence
from datetime import date
from functools import cache
from typing import NamedTuple

import ipywidgets
import torch
from jaxtyping import Bool, Float
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from torch import Tensor

from attn_course import plotting
from attn_course.additive_attention import EncoderDecoder
from attn_course.common.evaluation import evaluating
from attn_course.common.seq2seq import greedy_decode, shift_right
from attn_course.common.statistics import wilson_interval
from attn_course.common.text import CharTokenizer
from attn_course.widgets import Explorer, explore

LONGEST = 40  # characters that the reader takes; its training had 30
END_LABEL = "end"
SCALE = "(dark: weight 0; bright: weight 1)"
# The course's font has no Chinese: the characters of dates, as they sound.
SOUNDS = dict(
    zip(
        "年月日星期一二三四五六七八九十周",
        ("nián yuè rì xīng qī yī èr sān sì wǔ liù qī bā jiǔ shí zhōu".split()),
    )
)


class DateReading(NamedTuple):
    """What a model made of a text."""

    text: str  # as far as it was read
    prediction: str  # what the model wrote
    weights: Float[Tensor, "t s"]  # the ends of both included
    note: str  # what else there is to say


def read_date(
    model: EncoderDecoder,
    source: CharTokenizer,
    target: CharTokenizer,
    text: str,
) -> DateReading:
    """Let a model read one written date; whatever is typed, it never raises.

    Args:
        model: with attention.
        source: the characters of its input.
        target: the characters of its output.
        text: a date, or anything else.
    """
    notes = []
    text = " ".join(text.split())
    text = "".join(c if c.isprintable() else "\ufffd" for c in text)
    if not text:
        notes.append("Nothing was typed, so it makes a date up")
    if len(text) > LONGEST:
        notes.append(
            f"Only the first {LONGEST} of {len(text):,} characters are read"
        )
        text = text[:LONGEST]
    unknown = sorted({c for c in text if c not in source})
    if unknown:
        shown = " ".join(unknown[:8]) + (" ..." if len(unknown) > 8 else "")
        notes.append(f"Never seen in training: {shown}")
    tokens = source.encode([text]).to(model.readout.weight.device)
    with evaluating(model), torch.no_grad():  # no dropout in the weights
        memory = model.encode(tokens)
        written = greedy_decode(model, memory, 14)  # (1, t)
        _, weights = model.decode(memory, shift_right(written))  # (1, t, s)
    (prediction,) = target.decode(written)
    if not _is_day(prediction):
        notes.append("That is no day of any calendar")
    return DateReading(text, prediction, weights[0].cpu(), ". ".join(notes))


def _is_day(text: str) -> bool:
    """Say whether a text is a day, written as 2024-03-15 and not otherwise."""
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


@cache
def _glyphs() -> frozenset[int]:
    """The characters that the course's font can draw."""
    font = FT2Font(font_manager.findfont("DejaVu Sans"))
    return frozenset(font.get_charmap())


def label(character: str) -> str:
    """Write a character so that the course's font can draw it.

    A space becomes an open box, a Chinese character of dates its sound, any
    other that the font lacks its code.
    """
    if character in SOUNDS:
        return SOUNDS[character]
    if character == " ":
        return "\u2423"
    if character == "$":
        return r"\$"  # else it would open a formula
    if not character.isprintable() or ord(character) not in _glyphs():
        return f"U+{ord(character):04X}"
    return character


def labels(text: str, count: int) -> list[str]:
    """Label the characters of a text and its end, ``count`` in all."""
    return [*map(label, text), END_LABEL][:count]


def plot_alignment(ax: Axes, seen: DateReading, title: str) -> None:
    """Draw one reading's weights: written characters on rows, read on columns."""
    rows, columns = seen.weights.shape
    plotting.weights_heatmap(
        seen.weights,
        labels(seen.prediction, rows),
        labels(seen.text, columns),
        ax=ax,
        title=title,
        numbers=False,
    )
    ax.set(xlabel="", ylabel="")
    ax.set_aspect("auto")
    upright = columns <= 32 and max(map(len, labels(seen.text, columns))) <= 4
    # "end" needs room where the columns are narrow.
    small = 8 if columns <= 18 or not upright else 7
    ax.tick_params(axis="x", labelsize=small, rotation=0 if upright else 60)
    ax.tick_params(axis="y", labelsize=8)


def alignments(readings: Sequence[tuple[DateReading, str]]) -> Figure:
    """Draw several readings, each with its title, in two columns."""
    rows = (len(readings) + 1) // 2
    fig, axes = plotting.figure(8.4, 2.9 * rows, rows, 2)
    for ax in axes.flat[len(readings) :]:
        ax.set_axis_off()
    for ax, (seen, title) in zip(axes.flat, readings):
        plot_alignment(ax, seen, title)
    fig.supxlabel(f"key: the characters read {SCALE}", fontsize=9)
    fig.supylabel("query: what is written", fontsize=9)
    return fig


def share_bars(
    right: Mapping[str, Bool[Tensor, " n"]], *, title: str
) -> Figure:
    """Draw the share that is right under each name, with its 95 % interval.

    The interval is Wilson's (1927).
    """
    fig, ax = plotting.figure(7.0, 0.8 + 0.38 * len(right))
    for row, hits in enumerate(right.values()):
        count, total = int(hits.sum()), hits.numel()
        share, low, high = wilson_interval(count, total)
        ax.barh(row, share, color=plotting.COLORS[5])
        ax.plot([low, high], [row, row], color="black", lw=2)
        ax.text(
            1.02,
            row,
            f"{share:.4f}  [{low:.4f}, {high:.4f}]",
            va="center",
            fontsize=8,
            transform=ax.get_yaxis_transform(),
        )
    ax.set(
        yticks=range(len(right)),
        yticklabels=list(right),
        xlim=(0, 1),
        xlabel="exact match, 95 % interval",
        title=title,
    )
    ax.invert_yaxis()
    return fig


def date_reader(
    model: EncoderDecoder,
    source: CharTokenizer,
    target: CharTokenizer,
    examples: Sequence[str],
) -> Explorer:
    """Type a date, or choose one; see what the model makes of it, and why.

    Args:
        model: with attention.
        source: the characters of its input.
        target: the characters of its output.
        examples: dates to choose from; choosing one types it.
    """
    typed = ipywidgets.Text(
        examples[0], description="date", continuous_update=False
    )
    choice = ipywidgets.Dropdown(options=examples, description="examples")
    choice.style.description_width = "initial"
    details = ipywidgets.HTML()

    def draw(text: str) -> Figure:
        seen = read_date(model, source, target, text)
        details.value = f"<p>{html.escape(describe_weights(seen))}</p>"
        wide = max(4.0, 1.2 + 0.27 * seen.weights.shape[1])
        fig, ax = plotting.figure(min(wide, 9.0), 3.6)
        plot_alignment(ax, seen, f"Read as {drawable(seen.prediction)}")
        ax.set(
            xlabel=f"key: the characters read {SCALE}", ylabel="query: written"
        )
        return fig

    def alt(text: str) -> str:
        seen = read_date(model, source, target, text)
        words = f'"{seen.text}" is read as {seen.prediction or "nothing"}.'
        return f"{words} {seen.note}." if seen.note else words

    explorer = explore(draw, alt, text=typed)
    choice.observe(
        lambda change: setattr(typed, "value", change["new"]), names="value"
    )
    explorer.children = [choice, *explorer.children, details]
    return explorer


def describe_weights(seen: DateReading) -> str:
    """Say which character each written one looked at most."""
    characters = [*seen.text.replace(" ", "\u2423"), END_LABEL]
    best = seen.weights.argmax(dim=-1).tolist()
    pairs = [f"{c} at {characters[j]}" for c, j in zip(seen.prediction, best)]
    return "Most weight: " + (", ".join(pairs) or "nothing was written")


def drawable(text: str) -> str:
    """Write a text so that the course's font can draw it."""
    return "".join(c if c == " " else label(c) for c in text)
