"""Lesson 01's plane: drag the query, watch scores, weights and output."""

from pathlib import Path

import anywidget
import torch
import traitlets

from attn_course import plotting
from attn_course.dot_product import dot_product_attention
from attn_course.widgets import StillPicture, script


class QueryPlane(StillPicture, anywidget.AnyWidget):
    """A plane in which the query is dragged among two-dimensional keys.

    ``query`` can be set from Python too; ``result`` holds what the browser
    computed: scores, weights and output.
    """

    _esm = script("dot_product")
    _css = Path(__file__).parent / "dot_product.css"

    query = traitlets.List(traitlets.Float()).tag(sync=True)
    key = traitlets.List().tag(sync=True)
    value = traitlets.List().tag(sync=True)
    result = traitlets.Dict().tag(sync=True)

    def __init__(self, query, key, value) -> None:
        """Show ``query`` (2,), ``key`` (k, 2) and ``value`` (k, v).

        Raises:
            ValueError: if a shape does not fit, or there are more than 5 keys.
        """
        query, key, value = (
            torch.as_tensor(x, dtype=torch.float64)
            for x in (query, key, value)
        )
        if query.shape != (2,):
            raise ValueError(
                f"query: expected shape (2,), got {tuple(query.shape)}"
            )
        if key.dim() != 2 or key.shape[1] != 2 or not 1 <= len(key) <= 5:
            raise ValueError(
                "key: expected shape (k, 2) with 1 to 5 keys, "
                f"got {tuple(key.shape)}"
            )
        output, weights = dot_product_attention(query[None], key, value)
        super().__init__(
            query=query.tolist(),
            key=key.tolist(),
            value=value.tolist(),
            result={
                "scores": (key @ query).tolist(),
                "weights": weights[0].tolist(),
                "output": output[0].tolist(),
            },
        )
        self.still = self._draw()

    def _draw(self) -> plotting.Picture:
        """Draw the first state, for where no kernel runs."""
        figure, (plane, bars) = plotting.figure(7.0, 2.8, cols=2)
        names = [f"key {j + 1}" for j in range(len(self.key))]
        arrows = [*zip(names, self.key, plotting.COLORS)]
        arrows.append(("query", self.query, "black"))
        for name, (x, y), color in arrows:
            plane.annotate(
                "",
                (x, y),
                (0, 0),
                arrowprops={
                    "arrowstyle": "->",
                    "color": color,
                    "linestyle": "--" if name == "query" else "-",
                    "linewidth": 2,
                },
            )
            side = "right" if x < 0.3 else "left"
            plane.text(x + 0.08, y + 0.1, name, color=color, ha=side)
        plane.set(xlim=(-2.5, 2.5), ylim=(-2.5, 2.5), aspect="equal")
        plane.axhline(0, color="#cccccc", zorder=0)
        plane.axvline(0, color="#cccccc", zorder=0)
        weights = self.result["weights"]
        bars.barh(names, weights, color=plotting.COLORS[: len(names)])
        for row, weight in enumerate(weights):
            bars.text(weight + 0.02, row, f"{weight:.4f}", va="center")
        bars.set(xlim=(0, 1.2), xlabel="weight")
        bars.invert_yaxis()
        output = ", ".join(f"{x:.4f}" for x in self.result["output"])
        bars.set_title(f"output [{output}]")
        shares = ", ".join(f"{w:.4f}" for w in weights)
        return plotting.picture(
            figure,
            f"A plane with the keys and the query {self.query} as arrows; "
            f"the weights are {shares}, the output is [{output}].",
        )
