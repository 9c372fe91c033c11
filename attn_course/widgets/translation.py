"""Lesson 07's views: the alignment, the learner's own sentence, the scores.

Sentences and alignments are drawn as SVG in a picture, whose letters come
from the reader's browser: so Chinese is drawn too, which the plots' own font
cannot do.
"""

import base64
import html
from collections.abc import Mapping, Sequence

import ipywidgets
import matplotlib

from attn_course import plotting
from attn_course.translation import TranslationWithAttention, Translator
from attn_course.widgets import Explorer

FONT = "DejaVu Sans, Noto Sans, Noto Sans CJK SC, PingFang SC, "
FONT += "Microsoft YaHei, SimHei, sans-serif"
LANGUAGES = {"fr": "French", "zh": "Chinese"}


class Drawing(plotting.Picture):
    """An SVG picture and the text that stands for it."""

    def __init__(self, svg: str, alt: str, width: int) -> None:
        super().__init__(svg.encode("utf-8"), alt, width)
        self.svg = svg

    def html(self) -> str:
        """Return an ``<img>`` that carries the drawing and the alt text.

        It is as wide as the drawing says: a width here would depend on what
        was learned, and be compared.
        """
        data = base64.b64encode(self.png).decode("ascii")
        return (
            f'<img alt="{html.escape(self.alt)}" style="max-width:100%" '
            f'src="data:image/svg+xml;base64,{data}">'
        )


def readable(piece: str) -> str:
    """Name a piece for people: EOS, unknown, or as it is."""
    return {"</s>": "EOS", "<unk>": "?", "<s>": "BOS"}.get(piece, piece)


def alignment(
    translation: TranslationWithAttention,
    alt: str,
    *,
    lines: Sequence[str] = (),
) -> Drawing:
    """Draw weights: written pieces on rows, read pieces on columns.

    Args:
        translation: what ``Translator.explain`` gave.
        alt: what the picture shows.
        lines: text above it.
    """
    columns = [readable(p) for p in translation.source]
    rows = [readable(p) for p in translation.target]
    parts, y = [], 20
    for line in lines:
        parts.append(_text(4, y, line, size=15))
        y += 24
    wide = max([320, *(9 * _width(line) + 20 for line in lines)])
    if translation.weights is None:
        parts.append(_text(4, y + 4, "(no attention, so nothing to draw)"))
        return _drawing(parts, min(wide, 900), y + 20, alt)
    cell = max(12, min(28, 760 // len(columns)))
    left = 14 + 8 * max(_width(row) for row in rows)
    top = y + 10 + 7 * max(_width(column) for column in columns)
    for j, column in enumerate(columns):
        x = left + (j + 0.6) * cell
        parts.append(
            f'<g transform="translate({x:.1f} {top - 6}) rotate(-60)">'
            f"{_text(0, 0, column)}</g>"
        )
    colors = matplotlib.colormaps[plotting.WEIGHTS_MAP]
    for i, (row, weights) in enumerate(
        zip(rows, translation.weights.tolist())
    ):
        middle = top + (i + 0.7) * cell
        parts.append(_text(left - 6, middle, row, anchor="end"))
        for j, weight in enumerate(weights):
            color = matplotlib.colors.to_hex(colors(weight))
            parts.append(
                f'<rect x="{left + j * cell}" y="{top + i * cell}" '
                f'width="{cell - 1}" height="{cell - 1}" fill="{color}">'
                f"<title>{weight:.2f}</title></rect>"
            )
    bottom = top + len(rows) * cell
    parts.append(
        _text(
            left, bottom + 18, "read: columns; written: rows; dark 0, yellow 1"
        )
    )
    wide = max(wide, left + len(columns) * cell + 60, left + 300)
    return _drawing(parts, round(wide), bottom + 28, alt)


def _width(text: str) -> float:
    """Count letters, Chinese ones nearly twice."""
    return sum(1 if ord(c) < 0x2E80 else 1.8 for c in text)


def _text(x, y, text, *, size=12, anchor="start") -> str:
    return (
        f'<text x="{x}" y="{y}" font-size="{size}" text-anchor="{anchor}" '
        f'xml:space="preserve">{html.escape(text)}</text>'
    )


def _drawing(parts: list[str], width: float, height: float, alt: str):
    width, height = round(width), round(height)
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" '
        f'height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="{FONT}"><rect width="100%" height="100%" '
        f'fill="white"/>{"".join(parts)}</svg>'
    )
    return Drawing(svg, alt, width)


def describe_translation(
    name: str, text: str, translation: TranslationWithAttention, language: str
) -> str:
    """Say a translation and its alignment without a picture."""
    sentence = (
        f"{name}: {text!r} in {LANGUAGES[language]}: {translation.text!r}."
    )
    if translation.unknown:
        sentence += (
            f" The tokenizer does not know {translation.unknown} of the pieces: "
            "to the model they are all the same."
        )
    if translation.weights is None:
        return f"{sentence} This model has no attention."
    pairs = [
        f"{readable(piece)} from {readable(translation.source[best])}"
        for piece, best in zip(
            translation.target, translation.weights.argmax(-1).tolist()
        )
    ]
    return f"{sentence} Where each piece looked most: {', '.join(pairs)}."


class Desk(Explorer):
    """A sentence, a choice of models, the translation and the alignment."""

    def __init__(
        self,
        translators: Mapping[str, Translator],
        sentence: str,
        *,
        language: str = "fr",
    ) -> None:
        """Start with ``sentence`` and the last of ``translators``.

        Raises:
            ValueError: if there is no translator, or ``sentence`` cannot be
                translated.
        """
        if not translators:
            raise ValueError("translators: expected at least one, got none")
        self.translators, self.language = dict(translators), language
        style = {"description_width": "initial"}
        controls = {
            "sentence": ipywidgets.Text(
                value=sentence,
                description="English (then Enter)",
                continuous_update=False,
                layout={"width": "95%"},
                style=style,
            ),
            "model": ipywidgets.Dropdown(
                options=list(translators),
                value=list(translators)[-1],
                description="model",
                style=style,
            ),
            "beam_size": ipywidgets.IntSlider(
                value=4,
                min=1,
                max=8,
                description="beam size",
                continuous_update=False,
                style=style,
            ),
        }
        # _render, below, stands for both functions.
        super().__init__(plotting.figure, str, controls)
        # The stored text must not name what was learned: it is compared.
        self.still.alt = (
            f"The sentence {sentence!r}, its translation by the model "
            f"{list(translators)[-1]!r}, and a grid that shows for each piece "
            "written how much it attended to each piece read."
        )

    def _render(self) -> Drawing:
        values = self.values()
        text = " ".join(values["sentence"].split())
        translator = self.translators[values["model"]]
        translation = translator.explain(text, beam_size=values["beam_size"])
        language = LANGUAGES[self.language]
        return alignment(
            translation,
            describe_translation(
                values["model"], text, translation, self.language
            ),
            lines=[f"English: {text}", f"{language}: {translation.text}"],
        )


def desk(
    translators: Mapping[str, Translator],
    sentence: str,
    *,
    language: str = "fr",
) -> Desk:
    """Let the learner type a sentence and choose a model.

    Nothing that is typed raises: what cannot be translated is answered with
    the reason.
    """
    return Desk(translators, sentence, language=language)


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]):
    """Show texts as a table."""
    from IPython.display import HTML

    cells = [
        "".join(
            f"<{tag} style='text-align:left'>{html.escape(c)}</{tag}>"
            for c in row
        )
        for tag, row in [("th", header), *(("td", row) for row in rows)]
    ]
    body = "".join(f"<tr>{row}</tr>" for row in cells)
    return HTML(f"<table>{body}</table>")
