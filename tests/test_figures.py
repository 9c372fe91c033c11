"""The SVG figures are what their script draws now."""

import re

import pytest

from figures import draw


def rounded(svg):
    """The drawing with numbers to one digit: fonts may round otherwise."""
    return re.sub(
        r"-?\d+\.\d+", lambda n: f"{float(n.group()):.1f}", svg.decode()
    )


@pytest.mark.parametrize("name", draw.FIGURES)
def test_figure_is_up_to_date_and_repeats(name):
    first = draw.svg(name)
    assert first == draw.svg(name)
    stored = (draw.FOLDER / f"{name}.svg").read_bytes()
    assert rounded(stored.replace(b"\r\n", b"\n")) == rounded(first)


def test_every_svg_has_a_script():
    stored = {path.stem for path in draw.FOLDER.glob("*.svg")}
    assert set(draw.FIGURES) <= stored
