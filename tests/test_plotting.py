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


def test_intervals_write_their_numbers_and_never_minus_zero():
    rows = {"a": (-0.0002, -0.0014, 0.0004), "b": (0.5, 0.25, 0.75)}
    figure = plotting.interval_rows(
        rows, xlabel="lead", title="t", line=(0, 1)
    )
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == ["0.000  [-0.001, 0.000]", "0.500  [0.250, 0.750]"]
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == (
        ["a", "b"]
    )
    plotting.picture(figure, "two numbers and their intervals")


def test_panels_of_intervals_share_their_names(recwarn):
    rows = {"a": (1, 0.5, 2), "b": (3, -2, 4)}
    for panels in ({"BLEU": rows}, {"BLEU": rows, "chrF": rows}):
        figure = plotting.interval_panels(panels, title="Found")
        assert figure.get_suptitle() == "Found"
        assert [ax.get_xlabel() for ax in figure.axes] == list(panels)
        assert figure.axes[0].texts[1].get_text() == "3.0  [-2.0, 4.0]"
        low, high = figure.axes[0].get_xlim()
        assert low < -2 and high > 4  # nothing ends at the edge
        plotting.picture(figure, "three words here")
    assert not recwarn.list


def test_a_sheet_has_a_cell_for_each_text(recwarn):
    rows = [["RNN", "1"], ["other", "2"]]
    figure = plotting.sheet(["model", "score"], rows)
    (table,) = figure.axes[0].tables
    cells = {
        at: c.get_text().get_text() for at, c in table.get_celld().items()
    }
    assert cells[0, 1] == "score" and cells[2, 0] == "other"
    plotting.picture(figure, "three words here")
    assert not recwarn.list
