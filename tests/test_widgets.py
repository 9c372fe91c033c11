"""Widgets without a browser: live, still and spoken forms."""

import ipywidgets
import pytest

from attn_course import plotting, widgets

VIEW = "application/vnd.jupyter.widget-view+json"


def draw(level):
    if level > 8:
        raise ValueError("level: expected 8 or less")
    return plotting.weights_heatmap([[level / 8]])


def words(level):
    return f"one weight of {level} eighths"


@pytest.fixture
def explorer():
    slider = ipywidgets.IntSlider(value=2, max=9, description="level")
    return widgets.explore(draw, words, level=slider)


def test_a_move_redraws(explorer):
    before = explorer.picture.value
    explorer.controls["level"].value = 5
    assert explorer.picture.value != before
    assert "5 eighths" in explorer.picture.value
    assert "5 eighths" in explorer.caption.value
    assert 'role="status"' in explorer.caption.value


def test_an_error_is_said_and_leaves_no_old_picture(explorer):
    explorer.controls["level"].value = 9
    assert explorer.picture.value == ""
    assert "expected 8 or less" in explorer.caption.value
    explorer.controls["level"].value = 3
    assert "3 eighths" in explorer.picture.value


def test_still_form_is_the_first_state(explorer):
    explorer.controls["level"].value = 5
    bundle = explorer._repr_mimebundle_()
    assert VIEW in bundle
    assert bundle["text/plain"] == "one weight of 2 eighths"
    assert "<img alt=" in bundle["text/html"]
    assert "Run this cell" in bundle["text/html"]


def test_controls_have_to_be_labelled():
    with pytest.raises(ValueError, match="controls: expected at least one"):
        widgets.explore(draw, words)
    with pytest.raises(ValueError, match="level: .*description"):
        widgets.explore(draw, words, level=ipywidgets.IntSlider())


def test_progress_bar_leaves_one_constant_line():
    bar = widgets.ProgressBar(10, "learning")
    line = bar._repr_mimebundle_()["text/plain"]
    bar.show(7, "loss 0.1")
    assert bar.bar.value == 7 and "7 of 10" in bar.text.value
    bar.finish()
    assert bar._repr_mimebundle_()["text/plain"] == line
    assert "10 steps" in line
