"""Lesson 14's views: the attention viewer, maps of heads, and a moment.

:class:`AttentionViewer` shows any weights ``(layers, heads, query, key)``.
"""

import html
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import anywidget
import torch
import traitlets
from jaxtyping import Float
from matplotlib import colormaps
from matplotlib.figure import Figure
from torch import Tensor

from attn_course import plotting
from attn_course.widgets import StillPicture, script

LARGEST = 32_000_000  # weights, one byte each
TABLE_ROWS = 40  # of the text form
NAMED = 3  # keys that a sentence or a table's row names


# Weights as bytes, and in words ----------------------------------------------


def pack(weights: Float[Tensor, "*shape"]) -> bytes:
    """Write each weight from 0 to 1 as one byte, 0 to 255."""
    return (
        (weights.clamp(0, 1) * 255).round().to(torch.uint8).numpy().tobytes()
    )


def top_keys(
    row: Float[Tensor, " k"], keys: Sequence[str], count: int = NAMED
) -> list[tuple[str, float]]:
    """Return the keys with the largest weights, as the browser shows them.

    Weights are rounded to bytes first, so that both say the same; of equal
    ones the first comes first.
    """
    level = (row.double() * 255).round()
    order = (-level).argsort(stable=True)[:count].tolist()
    return [(keys[j], level[j].item() / 255) for j in order]


def describe_row(
    weights: Float[Tensor, "layers heads q k"],
    queries: Sequence[str],
    keys: Sequence[str],
    layer: int,
    head: int,
    query: int,
) -> str:
    """Say where a word looks, as the browser does."""
    row = weights[layer, head, query]
    named = ", ".join(f"{k} ({w:.2f})" for k, w in top_keys(row, keys))
    return (
        f"Layer {layer}, head {head}: “{queries[query]}” looks most at "
        f"{named}."
    )


def check_weights(
    weights, queries: Sequence[str], keys: Sequence[str] | None
) -> tuple[Tensor, list[str], list[str]]:
    """Bring weights and tokens to one form, or say what is wrong with them.

    Raises:
        ValueError: if the weights are not ``(layers, heads, query, key)`` with
            numbers from 0 to 1, there are too many, or the tokens do not fit.
    """
    try:
        weights = torch.as_tensor(weights).detach().cpu().float()
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(
            "weights: expected a tensor (layers, heads, query, key), got "
            f"{type(weights).__name__}"
        ) from None
    if weights.dim() != 4 or 0 in weights.shape:
        raise ValueError(
            "weights: expected shape (layers, heads, query, key), each 1 or "
            f"more, got {tuple(weights.shape)}; of a batch pass one sentence, "
            "of one layer weights[None]"
        )
    if weights.numel() > LARGEST:
        raise ValueError(
            f"weights: expected at most {LARGEST:,} numbers, got "
            f"{weights.numel():,}: show fewer layers or heads at a time"
        )
    bad = int((~weights.isfinite()).sum())
    if bad:
        raise ValueError(f"weights: expected numbers, got {bad} NaN or inf")
    low, high = weights.min().item(), weights.max().item()
    if low < -1e-3 or high > 1 + 1e-3:
        raise ValueError(
            f"weights: expected numbers from 0 to 1, got {low:.3g} to "
            f"{high:.3g}: are these scores, before the softmax?"
        )
    if isinstance(queries, str) or isinstance(keys, str):
        raise ValueError("tokens: expected a list of words, got one string")
    queries = [str(token) for token in queries]
    keys = queries if keys is None else [str(token) for token in keys]
    for name, tokens, axis in (("tokens", queries, 2), ("keys", keys, 3)):
        if len(tokens) != weights.shape[axis]:
            raise ValueError(
                f"{name}: expected {weights.shape[axis]}, one for each of the "
                f"weights, got {len(tokens)}"
            )
    return weights, queries, keys


# The viewer ------------------------------------------------------------------


class AttentionViewer(StillPicture, anywidget.AnyWidget):
    """All layers and heads as small pictures, one head in detail, its words.

    Point at a word and see where it looks. ``layer``, ``head`` and ``query``
    can be set from Python too; out of range they are brought to the nearest
    that is there. Without a kernel a picture and a table of words stand here.
    """

    _esm = script("interpreting_attention")
    _css = Path(__file__).parent / "interpreting_attention.css"

    data = traitlets.Bytes().tag(sync=True)
    colors = traitlets.Bytes().tag(sync=True)
    shape = traitlets.List(traitlets.Int()).tag(sync=True)
    query_words = traitlets.List(traitlets.Unicode()).tag(sync=True)
    key_words = traitlets.List(traitlets.Unicode()).tag(sync=True)
    own = traitlets.Bool(True).tag(sync=True)
    layer = traitlets.Int(0).tag(sync=True)
    head = traitlets.Int(0).tag(sync=True)
    query = traitlets.Int(0).tag(sync=True)

    def __init__(
        self,
        weights: Float[Tensor, "layers heads q k"],
        tokens: Sequence[str],
        keys: Sequence[str] | None = None,
        *,
        layer: int = 0,
        head: int = 0,
        query: int = 0,
    ) -> None:
        """Show the weights of one text.

        Args:
            weights: ``(layers, heads, query, key)``, numbers from 0 to 1; a
                tensor of any float dtype on any device, or an array.
            tokens: the queries' words.
            keys: the keys' words, if they are not the queries.
            layer: which layer first, from 0 up.
            head: which head first, from 0 up.
            query: which word first, from 0 up.

        Raises:
            ValueError: as :func:`check_weights`.
        """
        own = keys is None
        weights, tokens, keys = check_weights(weights, tokens, keys)
        map_ = colormaps[plotting.WEIGHTS_MAP]
        colors = map_(range(256), bytes=True)[:, :3].tobytes()
        super().__init__(
            data=pack(weights),
            colors=colors,
            shape=list(weights.shape),
            query_words=tokens,
            key_words=keys,
            own=own,
        )
        self.layer, self.head, self.query = layer, head, query
        self.table = table_rows(weights[self.layer, self.head], tokens, keys)
        chosen = (self.layer, self.head, self.query)
        self.still = plotting.picture(
            still_figure(weights, tokens, keys, *chosen),
            f"{weights.shape[0]} layers of {weights.shape[1]} heads as small "
            f"pictures, one in detail. "
            f"{describe_row(weights, tokens, keys, *chosen)}",
        )

    @traitlets.validate("layer", "head", "query")
    def _in_range(self, proposal: dict) -> int:
        axis = ("layer", "head", "query").index(proposal["trait"].name)
        last = self.shape[axis] - 1 if self.shape else 0
        return min(max(proposal["value"], 0), last)

    def _repr_mimebundle_(self, **options: object) -> dict[str, object]:
        bundle = super()._repr_mimebundle_(**options)
        rows = "".join(
            f'<tr><th scope="row">{html.escape(word)}</th>'
            f"<td>{html.escape(looks)}</td></tr>"
            for word, looks in self.table
        )
        bundle["text/html"] += (
            "<details><summary>The same as a table</summary><table><tr><th "
            'scope="col">word</th><th scope="col">looks most at</th></tr>'
            f"{rows}</table></details>"
        )
        wide = max(len(word) for word, _ in self.table)
        lines = [f"{word:{wide}}  {looks}" for word, looks in self.table]
        bundle["text/plain"] = "\n".join([self.still.alt, *lines])
        return bundle


def table_rows(
    weights: Float[Tensor, "q k"], queries: Sequence[str], keys: Sequence[str]
) -> list[tuple[str, str]]:
    """List for each word where it looks most; at most 40 words."""
    rows = []
    for word, row in list(zip(queries, weights))[:TABLE_ROWS]:
        named = [f"{key} {w:.2f}" for key, w in top_keys(row, keys)]
        rows.append((word, ", ".join(named)))
    if len(queries) > TABLE_ROWS:
        rows.append(("...", f"and {len(queries) - TABLE_ROWS} words more"))
    return rows


def still_figure(
    weights: Float[Tensor, "layers heads q k"],
    queries: Sequence[str],
    keys: Sequence[str],
    layer: int,
    head: int,
    query: int,
) -> Figure:
    """Draw all heads small, and one large, for where no kernel runs."""
    layers, heads, q, k = weights.shape
    fig, (left, right) = plotting.figure(10.0, 4.6, cols=2)
    gap = max(1, math.ceil(0.08 * max(q, k)))
    sheet = torch.full((layers * (q + gap), heads * (k + gap)), math.nan)
    for row in range(layers):
        for column in range(heads):
            y, x = row * (q + gap), column * (k + gap)
            sheet[y : y + q, x : x + k] = weights[row, column]
    shown = {
        "cmap": plotting.WEIGHTS_MAP,
        "vmin": 0,
        "vmax": 1,
        "interpolation": "nearest",
    }
    left.imshow(sheet.numpy(), **shown)
    box = (head * (k + gap) - 0.5, layer * (q + gap) - 0.5)
    left.add_patch(_frame(box, k, q))
    left.set_xticks(
        [(k - 1) / 2 + (k + gap) * n for n in range(heads)], range(heads)
    )
    left.set_yticks(
        [(q - 1) / 2 + (q + gap) * n for n in range(layers)], range(layers)
    )
    left.set(xlabel="head", ylabel="layer", title="all heads")
    right.imshow(weights[layer, head].numpy(), **shown)
    right.add_patch(_frame((-0.5, query - 0.5), k, 1))
    small = {"fontsize": 7 if max(q, k) > 16 else 9}
    if max(q, k) <= 40:
        right.set_xticks(range(k), keys, rotation=60, ha="right", **small)
        right.set_yticks(range(q), queries, **small)
    right.set(title=f"layer {layer}, head {head}")
    for ax in (left, right):
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
    return fig


def _frame(corner: tuple[float, float], width: float, height: float):
    from matplotlib.patches import Rectangle

    return Rectangle(
        corner, width, height, fill=False, lw=2.5, edgecolor=plotting.COLORS[4]
    )


# Other figures ---------------------------------------------------------------


def head_maps(
    scores: Mapping[str, Float[Tensor, "layers heads"]], *, title: str
) -> Figure:
    """Draw a score of every head, one map each; the best head is framed."""
    fig, axes = plotting.figure(2.9 * len(scores) + 0.4, 2.6, cols=len(scores))
    axes = [axes] if len(scores) == 1 else axes
    for ax, (name, score) in zip(axes, scores.items()):
        score = score.double().numpy()
        seen = ax.imshow(score, cmap=plotting.WEIGHTS_MAP, vmin=0, vmax=1)
        row, column = divmod(int(score.argmax()), score.shape[1])
        ax.add_patch(_frame((column - 0.5, row - 0.5), 1, 1))
        best = f"best: {score.max():.2f}"
        ax.set(xlabel="head", title=f"{name}\n{best}")
        ax.set_xticks(range(0, score.shape[1], 2))
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
    axes[0].set(ylabel="layer")
    fig.colorbar(seen, ax=axes, label="score", shrink=0.8)
    fig.suptitle(title, fontsize=11, x=0.01, ha="left")
    return fig


def moment(
    losses: Mapping[str, tuple[Sequence[int], Sequence[float]]],
    scores: Mapping[str, tuple[Sequence[int], Sequence[float]]],
    when: int,
    *,
    title: str,
) -> Figure:
    """Draw losses above, heads' scores below, and the moment across both."""
    fig, (top, bottom) = plotting.figure(7.0, 4.6, rows=2)
    plotting.curves(losses, xlabel="", ylabel="loss", ax=top, title=title)
    plotting.curves(scores, xlabel="step", ylabel="score", ax=bottom)
    bottom.set(ylim=(0, 1.02))
    top.legend(loc="lower right", bbox_to_anchor=(1.0, 0.06), fontsize=9)
    bottom.legend(loc="center right", fontsize=9)
    for ax in (top, bottom):
        ax.axvline(when, color="0.3", ls=":", lw=1.5)
        ax.sharex(top)
    bottom.text(when, 0.04, f" step {when}", fontsize=9, color="0.3")
    return fig


def bars(
    values: Mapping[str, float],
    *,
    xlabel: str,
    title: str,
    line: float | None = None,
) -> Figure:
    """Draw one bar for each name, its number beside it."""
    fig, ax = plotting.figure(7.2, 0.9 + 0.34 * len(values))
    rows = range(len(values))
    ax.barh(rows, list(values.values()), height=0.6)
    largest = max(values.values())
    for row, value in zip(rows, values.values()):
        ax.text(
            value + 0.01 * largest,
            row,
            f"{value:.2f}",
            va="center",
            fontsize=9,
        )
    if line is not None:
        ax.axvline(line, color="0.3", lw=1, ls=":")
    ax.set_yticks(rows, list(values))
    ax.invert_yaxis()
    ax.set(xlabel=xlabel, title=title, xlim=(0, 1.12 * largest))
    return fig
