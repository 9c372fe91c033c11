"""Figures: labels, scale, alt text, and bytes that repeat."""

import html

import pytest
import torch

from attn_course import plotting

WEIGHTS = torch.tensor([[0.7, 0.3], [0.5, 0.5]])


def test_heatmap_has_queries_on_rows_and_one_scale():
    fig = plotting.weights_heatmap(WEIGHTS, ["a", "b"], ["c", "d"], title="t")
    ax = fig.axes[0]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a", "b"]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["c", "d"]
    assert ax.images[0].get_clim() == (0, 1)
    assert [t.get_text() for t in ax.texts] == ["0.70", "0.30", "0.50", "0.50"]
    plotting.picture(fig, "four weights in cells")


@pytest.mark.parametrize(
    "weights, queries, words",
    [
        (torch.ones(2), None, r"weights: .*\(q, k\)"),
        (torch.tensor([[2.0]]), None, "weights: .*0 to 1"),
        (torch.tensor([[float("nan")]]), None, "weights: .*nan"),
        (WEIGHTS, ["only one"], "queries: expected 2 labels"),
    ],
)
def test_heatmap_refuses_what_it_cannot_draw(weights, queries, words):
    with pytest.raises(ValueError, match=words):
        plotting.weights_heatmap(weights, queries)


def test_curves_differ_in_colour_dash_and_marker():
    fig = plotting.curves(
        {"one": ([1, 2], [3, 4]), "two": ([1, 2], [4, 3])},
        xlabel="x",
        ylabel="y",
        logx=True,
        logy=True,
    )
    one, two = fig.axes[0].get_lines()
    assert one.get_color() != two.get_color()
    assert one.get_linestyle() != two.get_linestyle()
    assert one.get_marker() != two.get_marker()
    assert fig.axes[0].get_xscale() == fig.axes[0].get_yscale() == "log"
    plotting.picture(fig, "two crossing lines")


def test_curves_refuse_uneven_data():
    with pytest.raises(ValueError, match="series: .*'one'"):
        plotting.curves({"one": ([1], [1, 2])}, xlabel="x", ylabel="y")


def test_picture_carries_its_alt_text_and_repeats():
    def make():
        fig = plotting.weights_heatmap(WEIGHTS)
        return plotting.picture(fig, 'weights, "0.7" & less')

    first, second = make(), make()
    assert first.png == second.png
    assert html.escape('weights, "0.7" & less') in first.html()
    bundle = first._repr_mimebundle_()
    assert bundle["text/plain"] == 'weights, "0.7" & less'
    assert bundle["text/html"].startswith("<img alt=")


def test_picture_needs_a_sentence():
    with pytest.raises(ValueError, match="alt: expected a sentence"):
        plotting.picture(plotting.weights_heatmap(WEIGHTS), "heat map")


def test_show_leaves_no_figure_open(capsys):
    from matplotlib import pyplot as plt

    plt.close("all")
    plotting.show(plotting.weights_heatmap(WEIGHTS), "a small heat map")
    assert plt.get_fignums() == []
    assert "a small heat map" in capsys.readouterr().out
