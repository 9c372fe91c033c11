"""Lesson 06's views: the parts as a picture, and models with a part taken out."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import ipywidgets
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from attn_course import plotting
from attn_course.common.evaluation import evaluating
from attn_course.common.measuring import count_parameters
from attn_course.common.seq2seq import greedy_decode, shift_right
from attn_course.common.text import CharTokenizer
from attn_course.transformer import Transformer
from attn_course.widgets import Explorer, explore

FILLS = {
    "attention": "#CDE3F3",
    "MLP": "#D5EFE4",
    "norm": "#F5E6C4",
    "ends": "#ECECEC",
}


class Story(NamedTuple):
    """What a model wrote, and where it looked while it wrote."""

    source: list[str]  # letters, then "EOS"
    written: list[str]  # what it wrote, "EOS" too if it came to that
    weights: Float[Tensor, "t s"]  # last cross-attention, mean over heads
    probs: Float[Tensor, "t size"]  # of every token, at each step
    names: list[str]  # of the tokens


def write_story(
    model: Transformer, alphabet: CharTokenizer, text: str
) -> Story:
    """Let a model write from a text, and keep weights and probabilities.

    Spaces at the ends and upper case do not matter.

    Raises:
        ValueError: if there is no letter, one that the model does not know,
            or more than it has positions for; the message says which.
    """
    text = text.strip().lower()
    longest = model.max_length - 1  # EOS needs a position too
    if not text:
        raise ValueError("type at least one letter")
    if len(text) > longest:
        raise ValueError(
            f"at most {longest} letters fit this model, here are {len(text):,}"
        )
    unknown = sorted(set(text) - set(alphabet.characters))
    if unknown:
        shown = " ".join(repr(letter) for letter in unknown[:5])
        raise ValueError(
            f"the model knows the letters {alphabet.characters[0]} to "
            f"{alphabet.characters[-1]} only, not {shown}"
        )
    source = alphabet.encode([text]).to(model.positions.device)  # (1, s)
    with evaluating(model), torch.no_grad():
        memory = model.encode(source)
        written = greedy_decode(model, memory, min(len(text) + 3, longest))
        logits, weights = model.decode(
            memory, shift_right(written), need_weights=True
        )
    names = ["PAD", "BOS", "EOS", "?", *alphabet.characters]
    return Story(
        [*text, "EOS"],
        [names[i] for i in written[0].tolist()],
        weights[-1, 0].mean(dim=0).cpu(),
        logits[0].softmax(dim=-1).cpu(),
        names,
    )


def apart(
    models: Mapping[str, Transformer],
    alphabet: CharTokenizer,
    text: str = "backward",
) -> Explorer:
    """Choose a model, type letters, and step through its answer.

    Args:
        models: what was taken out, and the model trained without it.
        alphabet: the letters that they know.
        text: what is typed at first.
    """
    choice = ipywidgets.Dropdown(options=list(models), description="model")
    field = ipywidgets.Text(
        value=text,
        description="letters",
        placeholder="4 to 9 letters",
        continuous_update=False,
    )
    longest = max(model.max_length for model in models.values()) - 1
    slider = ipywidgets.IntSlider(
        value=4, min=1, max=longest, description="step"
    )

    def seen(model: str, text: str, step: int) -> tuple[Story, int]:
        """Tell the story; after its last step that step is shown."""
        story = write_story(models[model], alphabet, text)
        return story, min(step, len(story.written))

    def draw(model: str, text: str, step: int) -> Figure:
        return draw_story(*seen(model, text, step), title=model)

    def words(model: str, text: str, step: int) -> str:
        return story_in_words(model, *seen(model, text, step))

    return explore(draw, words, model=choice, text=field, step=slider)


def draw_story(story: Story, step: int, title: str = "") -> Figure:
    """Draw the weights of the first steps, and the probabilities at the last."""
    high = max(2.6, 1.3 + 0.27 * len(story.written))
    fig, (left, right) = plotting.figure(8.6, min(high, 7.0), cols=2)
    shown = story.weights.clone()
    shown[step:] = 0
    plotting.weights_heatmap(
        shown,
        _told(story.written, step),
        story.source,
        title=f"{title}: where it looked",
        ax=left,
        numbers=False,
    )
    left.tick_params(axis="x", rotation=0)
    if len(story.source) > 14:
        left.tick_params(labelsize=6)
    left.set(xlabel="source (key)", ylabel="written (query), step by step")
    left.axhline(step - 0.5, color="white", linewidth=1)
    probs, best = story.probs[step - 1].topk(min(5, len(story.names)))
    names = [story.names[i] for i in best.tolist()]
    right.barh(names, probs.tolist(), color=plotting.COLORS[0])
    right.invert_yaxis()
    right.set(
        xlim=(0, 1),
        xlabel="probability of the next token",
        title=f"Step {step}: it writes {story.written[step - 1]}",
    )
    return fig


def story_in_words(name: str, story: Story, step: int) -> str:
    """Say what the figure shows, for who cannot see it."""
    wanted = [*reversed(story.source[:-1]), "EOS"]
    right = story.written == wanted
    best = int(story.weights[step - 1].argmax())
    return (
        f"Model: {name}. Of {''.join(story.source[:-1])} it makes "
        f"{_join(story.written)}, which is {'right' if right else 'wrong'}. "
        f"At step {step} it writes {story.written[step - 1]} and looks most "
        f"at {story.source[best]}, position {best + 1} of {len(story.source)}."
    )


def _told(written: Sequence[str], step: int) -> list[str]:
    """List what is written up to a step; the rest is still to come."""
    return [w if i < step else "" for i, w in enumerate(written)]


def _join(written: Sequence[str]) -> str:
    return "".join(w if len(w) == 1 else f" {w}" for w in written)


def ablation_table(
    rows: Mapping[str, Mapping[str, float]], *, title: str
) -> Figure:
    """Draw trained results as a table, with a bar for exact match.

    Args:
        rows: for each name, ``loss`` and ``tokens`` (teacher forcing) and
            ``exact`` (writing by itself).
        title: the finding.
    """
    fig, ax = plotting.figure(7.4, 0.9 + 0.34 * len(rows))
    for row, (name, measured) in enumerate(rows.items()):
        exact = measured["exact"]
        color = plotting.COLORS[2] if exact >= 0.5 else plotting.COLORS[1]
        ax.barh(row, exact, color=color, height=0.6)
        ax.text(exact + 0.02, row, f"{exact:.3f}", va="center", fontsize=9)
        for x, key in ((-0.62, "loss"), (-0.3, "tokens")):
            ax.text(x, row, f"{measured[key]:.3f}", va="center", fontsize=9)
        ax.text(-0.7, row, name, va="center", ha="right", fontsize=9)
    heads = ((-0.62, "loss"), (-0.3, "next tokens\nright"))
    for x, text in (*heads, (0.0, "whole sequences right, writing alone")):
        ax.text(x, -0.75, text, va="bottom", fontsize=8, weight="bold")
    ax.set(xlim=(-1.35, 1.2), ylim=(len(rows) - 0.5, -1.6), title=title)
    ax.set_axis_off()
    return fig


def architecture(model: Transformer) -> Figure:
    """Draw the parts of a Transformer, each with its number of parameters."""
    fig, ax = plotting.figure(8.2, 7.6)
    encoder, decoder = model.encoder, model.decoder
    first = encoder.layers[0]
    left = _Tower(ax, 2.2, "source tokens", model.source_embedding)
    left.layer(
        [
            (
                "attention",
                "self-attention",
                first.attention,
                first.norm_attention,
            ),
            ("MLP", "MLP", first.mlp, first.norm_mlp),
        ],
        first.norm_first,
        len(encoder.layers),
    )
    left.box("norm", "norm", encoder.norm)
    first = decoder.layers[0]
    right = _Tower(
        ax, 7.0, "target tokens, one step behind", model.target_embedding
    )
    cross = right.layer(
        [
            (
                "attention",
                "causal self-attention",
                first.attention,
                first.norm_attention,
            ),
            (
                "attention",
                "cross-attention",
                first.cross_attention,
                first.norm_cross,
            ),
            ("MLP", "MLP", first.mlp, first.norm_mlp),
        ],
        first.norm_first,
        len(decoder.layers),
    )[1]
    right.box("norm", "norm", decoder.norm)
    right.box("ends", "output layer", model.output)
    right.label("logits of the next token")
    # From the memory over to the cross-attention.
    top = left.y + 0.05
    ax.plot([2.2, 2.2, 4.55, 4.55], [left.y, top, top, cross], "k", lw=1)
    ax.annotate(
        "", (5.55, cross), (4.55, cross), arrowprops={"arrowstyle": "->"}
    )
    ax.text(
        3.4,
        top + 0.1,
        "memory: keys and values",
        fontsize=8,
        ha="center",
        style="italic",
    )
    count = count_parameters(model)
    ax.set(
        xlim=(0, 9.6),
        ylim=(-0.6, right.y + 0.4),
        title=f"One encoder, one decoder: {count:,} parameters in all",
    )
    ax.set_axis_off()
    return fig


class _Tower:
    """Boxes that are drawn upwards, one above the other."""

    def __init__(
        self, ax: Axes, x: float, name: str, table: nn.Embedding
    ) -> None:
        self.ax, self.x, self.y = ax, x, 0.0
        ax.text(x, -0.45, name, ha="center", fontsize=8, style="italic")
        self.box("ends", "embedding", table)
        self.plus("positions")

    def box(self, kind: str, text: str, part: nn.Module) -> float:
        """Draw a part with its parameters; give the height of its middle."""
        count = count_parameters(part)
        low, high = self.y, 0.3 if kind == "norm" else 0.46
        box = plotting.plt.Rectangle(
            (self.x - 1.45, low), 2.9, high, fc=FILLS[kind], ec="black", lw=0.8
        )
        self.ax.add_patch(box)
        middle = low + high / 2
        self.ax.text(
            self.x,
            middle,
            f"{text}: {count:,}",
            ha="center",
            va="center",
            fontsize=8,
        )
        self._up(low + high, low + high + 0.2)
        self.y = low + high + 0.2
        return middle

    def plus(self, text: str = "") -> None:
        """Draw a sum, with the name of what comes in from the side."""
        self.ax.text(
            self.x,
            self.y + 0.11,
            "+",
            ha="center",
            va="center",
            fontsize=9,
            bbox={"boxstyle": "circle,pad=0.12", "fc": "white", "lw": 0.8},
        )
        if text:
            self.ax.text(
                self.x + 0.3, self.y + 0.11, text, va="center", fontsize=8
            )
        self._up(self.y + 0.24, self.y + 0.44)
        self.y += 0.44

    def layer(
        self, parts: Sequence[tuple], norm_first: bool, times: int
    ) -> list[float]:
        """Draw one layer in a frame; give the heights of its parts."""
        bottom, middles = self.y - 0.1, []
        for kind, name, part, norm in parts:
            start = self.y - 0.06
            if norm_first:
                self.box("norm", "norm", norm)
            middles.append(self.box(kind, name, part))
            end, side = self.y + 0.11, self.x - 1.65
            self.ax.plot(
                [self.x, side, side, self.x - 0.2],
                [start, start, end, end],
                color=plotting.COLORS[1],
                lw=1.2,
            )
            self.plus()
            if not norm_first:
                self.box("norm", "norm", norm)
        frame = plotting.plt.Rectangle(
            (self.x - 1.8, bottom),
            3.6,
            self.y - bottom - 0.08,
            fill=False,
            ls=":",
            lw=0.9,
        )
        self.ax.add_patch(frame)
        self.ax.text(
            self.x + 1.88, (bottom + self.y) / 2, f"x {times}", fontsize=9
        )
        self.y += 0.12
        return middles

    def label(self, text: str) -> None:
        self.ax.text(
            self.x, self.y, text, ha="center", fontsize=8, style="italic"
        )
        self.y += 0.25

    def _up(self, low: float, high: float) -> None:
        self.ax.plot([self.x, self.x], [low, high], color="black", lw=0.8)
