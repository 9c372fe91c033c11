"""Interactive views: live where a kernel runs, a still picture elsewhere.

Everything shown here leaves three forms in the notebook: the live widget (not
stored), a picture with its alt text, and that text alone.

:func:`explore` redraws a matplotlib figure in the kernel. Views that draw in
the browser are anywidgets, one module per lesson beside this file; they mix
in :class:`StillPicture`.
"""

import html
from collections.abc import Callable
from pathlib import Path

import ipywidgets
from matplotlib.figure import Figure

from attn_course import plotting

HOW = "Run this cell to move the controls."


def script(name: str) -> str:
    """Return the JavaScript of a view, with the shared pieces before it."""
    folder = Path(__file__).parent
    parts = (folder / "element.js", folder / f"{name}.js")
    return "".join(part.read_text("utf-8") for part in parts)


class StillPicture:
    """Mix-in for a widget that reads well where no kernel runs.

    The class that mixes it in sets ``self.still``, a ``plotting.Picture`` of
    the widget's first state.
    """

    still: plotting.Picture

    def _repr_mimebundle_(self, **options: object) -> dict[str, object]:
        bundle = super()._repr_mimebundle_(**options)
        if isinstance(bundle, tuple):  # anywidget gives metadata too
            bundle = bundle[0]
        return {
            **(bundle or {}),
            "text/html": f"{self.still.html()}"
            f"<p>{html.escape(self.still.alt)} <em>{HOW}</em></p>",
            "text/plain": self.still.alt,
        }


class Explorer(StillPicture, ipywidgets.VBox):
    """Controls above a figure that is redrawn when one of them moves."""

    def __init__(
        self,
        draw: Callable[..., Figure],
        alt: Callable[..., str],
        controls: dict[str, ipywidgets.Widget],
    ) -> None:
        self._draw = draw
        self._alt = alt
        self.controls = controls
        self.picture = ipywidgets.HTML()
        self.caption = ipywidgets.HTML()
        row = ipywidgets.Box(
            list(controls.values()), layout={"flex_flow": "row wrap"}
        )
        super().__init__([row, self.picture, self.caption])
        self.add_class("attn-explorer")
        self.still = self._render()
        self._put(self.still)
        for control in controls.values():
            control.observe(self._changed, names="value")

    def values(self) -> dict[str, object]:
        """Return what each control is set to."""
        return {name: c.value for name, c in self.controls.items()}

    def _render(self) -> plotting.Picture:
        values = self.values()
        return plotting.picture(self._draw(**values), self._alt(**values))

    def _changed(self, _: object) -> None:
        try:
            self._put(self._render())
        except ValueError as error:  # say it; never leave the old picture
            self.picture.value = ""
            self._say(f"No picture: {error}")

    def _put(self, picture: plotting.Picture) -> None:
        self.picture.value = picture.html()
        self._say(picture.alt)

    def _say(self, text: str) -> None:
        self.caption.value = f'<p role="status">{html.escape(text)}</p>'


def explore(
    draw: Callable[..., Figure],
    alt: Callable[..., str],
    **controls: ipywidgets.Widget,
) -> Explorer:
    """Show a figure with controls; every move of one redraws it.

    Args:
        draw: ``draw(**values)`` makes a new matplotlib figure.
        alt: ``alt(**values)`` says in words what that figure shows; it
            stands under the figure and is what a screen reader says.
        controls: ipywidgets with a ``value`` and a ``description``.

    Raises:
        ValueError: if a control has no ``value`` or no ``description``.
    """
    if not controls:
        raise ValueError("controls: expected at least one, got none")
    for name, control in controls.items():
        if not (
            hasattr(control, "value") and getattr(control, "description", "")
        ):
            raise ValueError(
                f"{name}: expected an ipywidget with a value and a "
                f"description, got {type(control).__name__}"
            )
        control.style.description_width = "initial"
    return Explorer(draw, alt, controls)


class ProgressBar(ipywidgets.HBox):
    """A bar that fills; stored as one line of text without any number run."""

    def __init__(self, total: int, label: str) -> None:
        self.total = total
        self.label = label
        self.bar = ipywidgets.IntProgress(
            max=total,
            description=label,
            style={"description_width": "initial"},
            layout={"width": "60%"},
        )
        self.text = ipywidgets.Label(f"0 of {total}")
        super().__init__([self.bar, self.text])

    def show(self, done: int, note: str = "") -> None:
        """Fill the bar up to ``done``."""
        self.bar.value = done
        self.text.value = f"{done} of {self.total} {note}"

    def finish(self) -> None:
        """Say that it is over, whether all steps were needed or not."""
        self.bar.bar_style = "success"
        self.text.value += " - done"

    def _repr_mimebundle_(self, **options: object) -> dict[str, object]:
        bundle = super()._repr_mimebundle_(**options)
        line = f"{self.label}: at most {self.total} steps"
        return {**(bundle or {}), "text/plain": line}
