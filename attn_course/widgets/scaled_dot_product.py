"""Lesson 02's mask painter: click cells of a mask, watch the weights."""

import math
from pathlib import Path

import anywidget
import torch
import traitlets
from torch import Tensor

from attn_course import plotting
from attn_course.scaled_dot_product import causal_mask, masked_softmax
from attn_course.widgets import StillPicture, script

MODES = ("before", "plain", "after")


def paint(scores: Tensor, mask: Tensor, mode: str) -> Tensor:
    """Return the weights ``(q, k)`` that a way of masking gives.

    "before": forbidden scores become -inf before the softmax, and a row in
    which nothing is allowed gets 0; "plain": the same without that care, so
    such a row is NaN; "after": forbidden weights become 0 after the softmax,
    so rows no longer sum to 1.
    """
    if mode == "after":
        return torch.softmax(scores, dim=-1) * mask
    if mode == "plain":
        return torch.softmax(scores.masked_fill(~mask, -math.inf), dim=-1)
    return masked_softmax(scores, mask)


class MaskPainter(StillPicture, anywidget.AnyWidget):
    """A square of weights in which each cell can be forbidden by a click.

    ``mask`` and ``mode`` can be set from Python too; ``result`` holds what
    the browser computed: the weights and the sum of each row, None for NaN.
    """

    _esm = script("scaled_dot_product")
    _css = Path(__file__).parent / "scaled_dot_product.css"

    words = traitlets.List(traitlets.Unicode()).tag(sync=True)
    scores = traitlets.List().tag(sync=True)
    mask = traitlets.List().tag(sync=True)
    mode = traitlets.Enum(MODES, "before").tag(sync=True)
    result = traitlets.Dict().tag(sync=True)

    def __init__(self, words, scores, mask=None, mode: str = "before") -> None:
        """Show ``scores`` (n, n) of n words among themselves.

        Args:
            words: 2 to 8 of them, queries and keys at once.
            scores: before the softmax.
            mask: True = may attend; by default the causal mask.
            mode: "before", "plain" or "after", see :func:`paint`.

        Raises:
            ValueError: if a shape does not fit or ``mode`` is unknown.
        """
        words = list(words)
        scores = torch.as_tensor(scores, dtype=torch.float64)
        if not 2 <= len(words) <= 8:
            raise ValueError(f"words: expected 2 to 8, got {len(words)}")
        shape = (len(words), len(words))
        mask = causal_mask(len(words)) if mask is None else mask
        mask = torch.as_tensor(mask)
        if mask.dtype != torch.bool:
            raise ValueError(
                f"mask: expected True and False, got {mask.dtype}"
            )
        for name, tensor in (("scores", scores), ("mask", mask)):
            if tuple(tensor.shape) != shape:
                raise ValueError(
                    f"{name}: expected shape {shape}, one row and column a "
                    f"word, got {tuple(tensor.shape)}"
                )
        if mode not in MODES:
            raise ValueError(f"mode: expected one of {MODES}, got {mode!r}")
        weights = paint(scores, mask, mode)
        super().__init__(
            words=words,
            scores=scores.tolist(),
            mask=mask.tolist(),
            mode=mode,
            result={
                "weights": _plain(weights),
                "sums": _plain(weights.sum(dim=-1)),
            },
        )
        self.still = self._draw(weights, mask)

    def _draw(self, weights: Tensor, mask: Tensor) -> plotting.Picture:
        """Draw the first state, for where no kernel runs."""
        figure = plotting.weights_heatmap(
            weights.nan_to_num(0.0),
            self.words,
            self.words,
            title="Weights; × is forbidden",
            numbers=False,
        )
        for row, column in torch.cartesian_prod(
            *[torch.arange(len(mask))] * 2
        ):
            weight, allowed = weights[row, column].item(), mask[row, column]
            figure.axes[0].text(
                column,
                row,
                f"{weight:.2f}" if allowed or weight != 0 else "×",
                ha="center",
                va="center",
                fontsize=8,
                color="black" if weight >= 0.6 else "white",
            )
        sums = ", ".join(f"{x:.2f}" for x in weights.sum(dim=-1).tolist())
        return plotting.picture(
            figure,
            f"A square of weights of the words {', '.join(self.words)}; "
            f"{int((~mask).sum())} of {mask.numel()} cells are forbidden; "
            f"the rows sum to {sums}.",
        )


def _plain(numbers: Tensor) -> list:
    """Turn a tensor into lists; NaN, which JSON has not, into None."""
    if numbers.dim() > 1:
        return [_plain(row) for row in numbers]
    return [None if math.isnan(x) else x for x in numbers.tolist()]
