"""Lesson 03's module: self-attention and its six ways to know positions."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import pyplot as plt
from torch import nn
from torch.nn import functional as F

from attn_course.scaled_dot_product import (
    causal_mask,
    scaled_dot_product_attention,
)
from attn_course.self_attention import (
    AlibiBias,
    LearnedPositions,
    RelativePositionBias,
    SelfAttention,
    SinusoidalPositions,
    alibi_slopes,
    apply_rotary_emb,
    attention_with_bias,
    relative_positions,
    relative_scores,
    sinusoidal_positions,
)
from attn_course.widgets import self_attention as view

LENGTH, DIM = 6, 8
BATCHES = [(), (2,), (2, 3), (0,)]

sizes = st.integers(1, 6)
positions = st.integers(-50, 500)


def layers():
    """One causal layer of each kind, and its name."""
    return {
        "none": SelfAttention(DIM, causal=True),
        "sinusoidal": nn.Sequential(
            SinusoidalPositions(), SelfAttention(DIM, causal=True)
        ),
        "learned": nn.Sequential(
            LearnedPositions(LENGTH, DIM), SelfAttention(DIM, causal=True)
        ),
        "relative": SelfAttention(
            DIM, causal=True, bias=RelativePositionBias(DIM, 2)
        ),
        "rope": SelfAttention(DIM, causal=True, rotary=True),
        "alibi": SelfAttention(DIM, causal=True, bias=AlibiBias()),
    }


KINDS = list(layers())


def floats(dtype, device):
    if "mps" in device and dtype == torch.float64:
        pytest.skip("MPS has no float64")
    return {"dtype": dtype, "device": device}


# The layer


def test_hand_example_to_four_digits():
    layer = SelfAttention(3, 2).double()
    with torch.no_grad():
        for linear, matrix in (
            (layer.query, [[1, 0], [0, 1], [0, 0]]),
            (layer.key, [[1, 0], [0, 0], [0, 1]]),
            (layer.value, [[0, 1], [2, 3], [1, 1]]),
        ):
            linear.weight = nn.Parameter(torch.tensor(matrix).double().T)
    words = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]]).double()
    assert layer.query(words).tolist() == [[1, 0], [0, 1]]
    assert layer.key(words).tolist() == [[1, 1], [0, 1]]
    assert layer.value(words).tolist() == [[1, 2], [3, 4]]
    output, weights = layer(words)
    first = [round(x, 4) for x in weights[0].tolist()]
    assert first == [0.6698, 0.3302]
    torch.testing.assert_close(weights[1], torch.tensor([0.5, 0.5]).double())
    assert output[1].tolist() == pytest.approx([2, 3])


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("causal", [False, True])
def test_layer_equals_torch_in_value_and_gradient(batch, causal, device):
    layer = SelfAttention(DIM, causal=causal).to(device)
    x = torch.randn(*batch, LENGTH, DIM, device=device, requires_grad=True)
    expected = F.scaled_dot_product_attention(
        x @ layer.query.weight.T,
        x @ layer.key.weight.T,
        x @ layer.value.weight.T,
        is_causal=causal,
    )
    weight = torch.randn_like(expected)
    (wanted,) = torch.autograd.grad((expected * weight).sum(), x)
    for need_weights in (True, False):
        output, weights = layer(x, need_weights=need_weights)
        assert (weights is None) == (not need_weights)
        torch.testing.assert_close(output, expected)
        (found,) = torch.autograd.grad((output * weight).sum(), x)
        torch.testing.assert_close(found, wanted)


@settings(max_examples=25)
@given(st.permutations(range(LENGTH)))
def test_without_positions_order_is_not_seen(order):
    layer, x = SelfAttention(DIM).double(), torch.randn(LENGTH, DIM).double()
    output, weights = layer(x)
    shuffled_output, shuffled_weights = layer(x[order])
    torch.testing.assert_close(shuffled_output, output[order])
    torch.testing.assert_close(shuffled_weights, weights[order][:, order])


@settings(max_examples=25)
@given(st.permutations(range(LENGTH - 1)))
def test_one_causal_layer_sees_a_bag_of_what_came_before(order):
    layer = SelfAttention(DIM, causal=True).double()
    x = torch.randn(LENGTH, DIM).double()
    last = layer(x)[0][-1]
    shuffled = layer(x[[*order, LENGTH - 1]])[0][-1]
    torch.testing.assert_close(shuffled, last)


@pytest.mark.parametrize("kind", KINDS[1:])
def test_with_positions_order_is_seen(kind):
    layer, x = layers()[kind], torch.randn(LENGTH, DIM)
    last = layer(x)[0][-1]
    shuffled = layer(x[[1, 0, 4, 2, 3, 5]])[0][-1]
    assert not torch.allclose(shuffled, last, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_no_gradient_from_the_future(kind, device):
    layer = layers()[kind].to(device)
    x = torch.randn(LENGTH, DIM, device=device)
    slopes = torch.autograd.functional.jacobian(lambda x: layer(x)[0], x)
    reach = slopes.abs().amax(dim=(1, 3))  # (output i, input j)
    assert (reach.triu(1) == 0).all()
    assert (reach.tril() > 0).sum() == LENGTH * (LENGTH + 1) / 2


@pytest.mark.parametrize("kind", ["none", "relative", "rope", "alibi"])
@pytest.mark.parametrize("causal", [False, True])
def test_relative_kinds_do_not_see_where_a_window_begins(kind, causal):
    """What a word gets from its neighbours moves along with them."""
    layer = layers()[kind].double()
    layer.causal = causal
    x, padding = (
        torch.randn(LENGTH, DIM).double(),
        torch.zeros(4, DIM).double(),
    )
    late = torch.cat([padding, x])
    window = torch.ones(LENGTH + 4, LENGTH + 4, dtype=torch.bool)
    window[:, :4] = False
    torch.testing.assert_close(layer(late, window)[0][4:], layer(x)[0])


def test_mask_and_causal_are_both_kept():
    layer = SelfAttention(DIM, causal=True)
    mask = torch.ones(LENGTH, dtype=torch.bool)
    mask[0] = False
    output, weights = layer(torch.randn(2, LENGTH, DIM), mask)
    assert (weights[:, :, 0] == 0).all()
    assert (weights.triu(1) == 0).all()
    assert (output[:, 0] == 0).all()  # nothing left to attend to


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("length", [0, 1])
def test_shortest_sequences(kind, length):
    output, weights = layers()[kind](torch.randn(2, length, DIM))
    assert output.shape == (2, length, DIM)
    assert weights.shape == (2, length, length)
    assert (weights == 1).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_near_double(kind, dtype, device):
    layer = layers()[kind].to(device)
    x = torch.randn(2, LENGTH, DIM, device=device)
    expected, _ = layer(x)
    output, weights = layer.to(dtype)(x.to(dtype))
    assert output.dtype == weights.dtype == dtype
    torch.testing.assert_close(output.float(), expected, atol=0.03, rtol=0.03)


@pytest.mark.parametrize("kind", KINDS)
def test_non_contiguous_input(kind):
    layer = layers()[kind]
    x = torch.randn(DIM, LENGTH, 2).transpose(0, 2)
    assert not x.is_contiguous()
    torch.testing.assert_close(layer(x)[0], layer(x.contiguous())[0])


# Bias on the scores


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("need_weights", [False, True])
def test_bias_equals_torch(batch, dtype, need_weights, device):
    options = {**floats(dtype, device), "requires_grad": True}
    q, k, v = (
        torch.randn(*batch, *size, **options)
        for size in [(4, 5), (3, 5), (3, 2)]
    )
    bias = torch.randn(*batch, 4, 3, **options)
    output, weights = attention_with_bias(
        q, k, v, bias, need_weights=need_weights
    )
    expected = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    torch.testing.assert_close(output, expected)
    if need_weights:
        scores = q @ k.mT / math.sqrt(5) + bias
        torch.testing.assert_close(weights, scores.softmax(-1))
    if not expected.numel():
        return  # torch's own function gives no gradient then
    weight = torch.randn_like(expected)
    for mine, torchs in zip(
        torch.autograd.grad((output * weight).sum(), [q, k, v, bias]),
        torch.autograd.grad((expected * weight).sum(), [q, k, v, bias]),
    ):
        torch.testing.assert_close(mine, torchs)


def test_bias_in_bfloat16_is_near_torch():
    q, k, v = torch.randn(3, 2, 5, 8).bfloat16()
    bias = torch.randn(5, 5).bfloat16()
    output, _ = attention_with_bias(q, k, v, bias)
    expected = F.scaled_dot_product_attention(
        q.float(), k.float(), v.float(), attn_mask=bias.float()
    )
    torch.testing.assert_close(output.float(), expected, atol=0.03, rtol=0.03)


@settings(max_examples=25)
@given(q=sizes, k=sizes, d=sizes, seed=st.integers(0, 99))
def test_bias_equals_the_sum_of_scores_and_bias(q, k, d, seed):
    torch.manual_seed(seed)
    query, key = torch.randn(q, d).double(), torch.randn(k, d).double()
    value, bias = torch.randn(k, 2).double(), 5 * torch.randn(q, k).double()
    mask = torch.rand(q, k) < 0.7
    output, weights = attention_with_bias(
        query, key, value, bias, mask, scale=0.3
    )
    for i in range(q):
        powers = [
            math.exp(query[i] @ key[j] * 0.3 + bias[i, j]) if mask[i, j] else 0
            for j in range(k)
        ]
        total = sum(powers) or 1
        wanted = torch.tensor([p / total for p in powers]).double()
        torch.testing.assert_close(weights[i], wanted)
        torch.testing.assert_close(output[i], wanted @ value)


def test_zero_bias_changes_nothing_and_one_bias_for_a_row_neither():
    q, k, v = torch.randn(3, 2, 5, 8).double()
    expected, _ = scaled_dot_product_attention(q, k, v)
    for bias in (torch.zeros(1), torch.randn(5, 1), torch.randn(2, 5, 1)):
        output, _ = attention_with_bias(q, k, v, bias.double())
        torch.testing.assert_close(output, expected)


def test_large_bias_chooses_without_nan():
    q, k, v = torch.randn(3, 4, 8)
    output, weights = attention_with_bias(q, k, v, 1e4 * torch.eye(4))
    torch.testing.assert_close(weights, torch.eye(4))
    torch.testing.assert_close(output, v)


@pytest.mark.parametrize(
    "bias, words",
    [
        (torch.zeros(3, 4), r"bias: expected a shape .*\(4, 3\).*\(3, 4\)"),
        (torch.zeros(2, 4, 3), r"bias: expected a shape .*\(2, 4, 3\)"),
        (torch.zeros(4, 3).double(), "bias: expected torch.float32.*float64"),
    ],
)
def test_bias_that_does_not_fit_is_named(own_errors, bias, words):
    q, k, v = torch.randn(4, 5), torch.randn(3, 5), torch.randn(3, 2)
    with pytest.raises(ValueError, match=words):
        attention_with_bias(q, k, v, bias)


# Sinusoids and the learned table


@settings(max_examples=25)
@given(st.integers(0, 40), st.sampled_from([2, 4, 10]))
def test_sinusoids_equal_the_formula(length, dim):
    table = sinusoidal_positions(length, dim)
    assert table.shape == (length, dim)
    for i in range(length):
        for c in range(dim // 2):
            angle = i / 10000 ** (2 * c / dim)
            assert table[i, 2 * c].item() == pytest.approx(math.sin(angle))
            assert table[i, 2 * c + 1].item() == pytest.approx(math.cos(angle))


@settings(max_examples=25)
@given(st.integers(0, 30), st.integers(0, 30))
def test_sinusoids_meet_by_distance_alone(i, j):
    table = sinusoidal_positions(80, DIM)
    torch.testing.assert_close(
        table[i] @ table[j], table[i + 9] @ table[j + 9]
    )


def test_added_positions_are_added():
    x = torch.randn(2, LENGTH, DIM)
    waves = sinusoidal_positions(LENGTH, DIM).float()
    torch.testing.assert_close(SinusoidalPositions()(x), x + waves)
    learned = LearnedPositions(10, DIM)
    torch.testing.assert_close(learned(x), x + learned.table[:LENGTH])
    learned(x).sum().backward()
    assert (learned.table.grad[:LENGTH] != 0).all()
    assert (learned.table.grad[LENGTH:] == 0).all()  # never trained


# RoPE


@settings(max_examples=25)
@given(positions, positions, positions)
def test_rotated_scores_depend_on_distance_alone(i, j, shift):
    q, k = torch.randn(2, 1, DIM).double()

    def score(i, j):
        turned_q = apply_rotary_emb(q, torch.tensor([i]))
        return turned_q @ apply_rotary_emb(k, torch.tensor([j])).T

    torch.testing.assert_close(score(i, j), score(i + shift, j + shift))


@settings(max_examples=25)
@given(positions)
def test_rotation_keeps_length_and_position_zero(i):
    x = torch.randn(3, 1, DIM).double()
    turned = apply_rotary_emb(x, torch.tensor([i]))
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    torch.testing.assert_close(apply_rotary_emb(turned, torch.tensor([-i])), x)
    torch.testing.assert_close(apply_rotary_emb(x, torch.tensor([0])), x)


@pytest.mark.parametrize("base", [100.0, 10000.0])
def test_rotation_equals_the_papers_matrix(base):
    x = torch.randn(LENGTH, DIM).double()
    turned = apply_rotary_emb(x, base=base)
    for i in range(LENGTH):
        blocks = []
        for c in range(DIM // 2):
            a = i * base ** (-2 * c / DIM)
            blocks.append(
                torch.tensor(
                    [[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]]
                )
            )
        matrix = torch.block_diag(*blocks).double()
        torch.testing.assert_close(
            turned[i], matrix @ x[i], atol=1e-6, rtol=1e-6
        )


def test_rotation_far_away_is_exact_enough_in_bfloat16(device):
    x = torch.randn(1, DIM, device=device).bfloat16()
    far = torch.tensor([100_001], device=device)
    turned = apply_rotary_emb(x, far)
    assert turned.dtype == torch.bfloat16
    expected = apply_rotary_emb(x.cpu().double(), far.cpu())
    torch.testing.assert_close(
        turned.cpu().double(), expected, atol=0.05, rtol=0.02
    )


# Shaw


@settings(max_examples=25)
@given(q=sizes, k=sizes, farthest=st.integers(0, 4), seed=st.integers(0, 99))
def test_relative_scores_equal_a_loop(q, k, farthest, seed):
    torch.manual_seed(seed)
    query = torch.randn(2, q, 3).double()
    table = torch.randn(2 * farthest + 1, 3).double()
    found = relative_scores(query, table, k)
    assert found.shape == (2, q, k)
    for b in range(2):
        for i in range(q):
            for j in range(k):
                row = max(-farthest, min(farthest, j - i)) + farthest
                wanted = sum(a * c for a, c in zip(query[b, i], table[row]))
                torch.testing.assert_close(found[b, i, j], wanted)


def test_relative_layer_equals_shaws_equation_4():
    layer = SelfAttention(DIM, bias=RelativePositionBias(DIM, 2)).double()
    x = torch.randn(LENGTH, DIM).double()
    q, k, v = layer.query(x), layer.key(x), layer.value(x)
    rows = []
    for i in range(LENGTH):
        scores = []
        for j in range(LENGTH):
            away = max(-2, min(2, j - i))
            scores.append(q[i] @ (k[j] + layer.bias.table[away + 2]))
        weights = (torch.stack(scores) / math.sqrt(DIM)).softmax(-1)
        rows.append(weights @ v)
    torch.testing.assert_close(layer(x)[0], torch.stack(rows))


def test_relative_table_learns_every_row_that_is_used():
    layer = SelfAttention(DIM, bias=RelativePositionBias(DIM, 3))
    layer(torch.randn(3, DIM))[0].pow(2).sum().backward()
    used = layer.bias.table.grad.abs().sum(-1) > 0
    assert used.tolist() == [False, True, True, True, True, True, False]


# ALiBi


def test_slopes_are_the_papers():
    halves = [2.0**-h for h in range(1, 9)]
    assert alibi_slopes(8).tolist() == halves
    sixteen = alibi_slopes(16).tolist()
    assert sixteen == pytest.approx([2 ** (-h / 2) for h in range(1, 17)])
    assert alibi_slopes(1).tolist() == [1 / 256]


def test_alibi_is_minus_slope_times_distance(device):
    x = torch.randn(2, 3, DIM, device=device)
    expected = -0.25 * torch.tensor([[0.0, 1, 2], [1, 0, 1], [2, 1, 0]])
    torch.testing.assert_close(
        AlibiBias(0.25)(x, x), expected, check_device=False
    )


def test_causal_alibi_equals_one_more_coordinate():
    """Softmax sees differences: -m (i - j) is the same as m j."""
    q, k, v = torch.randn(3, LENGTH, DIM).double()
    mask = causal_mask(LENGTH)
    expected, _ = attention_with_bias(q, k, v, AlibiBias()(q, k), mask)
    position = 0.5 * torch.arange(LENGTH)[:, None].double()
    output, _ = scaled_dot_product_attention(
        torch.cat([q / math.sqrt(DIM), torch.ones(LENGTH, 1).double()], -1),
        torch.cat([k, position], -1),
        v,
        mask,
        scale=1.0,
    )
    torch.testing.assert_close(output, expected)


def test_distances():
    assert relative_positions(2, 3).tolist() == [[0, 1, 2], [-1, 0, 1]]
    assert relative_positions(0, 3).shape == (0, 3)


# The view


def test_view_says_for_which_methods_only_the_distance_counts():
    found = {method: view.only_distance(method) for method in view.METHODS}
    assert [m for m, only in found.items() if not only] == [
        "sinusoidal",
        "learned",
    ]


@pytest.mark.parametrize("method", view.METHODS)
@pytest.mark.parametrize("a, b", [(12, 8), (0, view.LAST), (0, 0)])
def test_view_shows_the_score_and_says_it(method, a, b):
    figure = view.draw(method, a, b)
    score = view.score_table(method)[a, b].item()
    dot = figure.axes[0].lines[-1]
    assert dot.get_xdata()[0] == b - a
    assert dot.get_ydata()[0] == pytest.approx(score)
    plt.close(figure)
    said = view.words(method, a, b)
    assert f"score {score:.2f}" in said
    if view.only_distance(method) and abs(a - b) < view.LAST:
        assert f"it is {score:.2f}" in said
    assert ("both one position" in said) == (abs(a - b) < view.LAST)


def test_view_moves():
    explorer = view.move_two_words()
    before = explorer.picture.value
    explorer.controls["b"].value = 20
    assert explorer.picture.value != before
    assert "word B at 20" in explorer.caption.value
    explorer.controls["method"].value = "ALiBi"
    assert "Method ALiBi" in explorer.caption.value


def test_view_refuses_an_unknown_method():
    with pytest.raises(ValueError, match="method: expected one of"):
        view.score_table("compass")


# What is refused


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: SelfAttention(0), "dim: .*1 or more, got 0"),
        (lambda: SelfAttention(3, 0), "size: .*1 or more, got 0"),
        (lambda: SelfAttention(4, 3, rotary=True), "size: .*even .*got 3"),
        (
            lambda: SelfAttention(3)(torch.ones(2, 4)),
            r"x: .*dimension 3.*2, 4",
        ),
        (lambda: sinusoidal_positions(3, 5), "dim: .*even number.*got 5"),
        (lambda: sinusoidal_positions(-1, 4), "length: .*got -1"),
        (lambda: sinusoidal_positions(3, 4, base=0.0), "base: .*above 0"),
        (lambda: SinusoidalPositions()(torch.ones(2, 3)), "dim: .*even"),
        (lambda: LearnedPositions(0, 4), "max_length: .*got 0"),
        (lambda: LearnedPositions(4, 0), "dim: .*got 0"),
        (
            lambda: LearnedPositions(4, 2)(torch.ones(5, 2)),
            r"x: .*at most 4 positions.*\(5, 2\)",
        ),
        (lambda: LearnedPositions(4, 2)(torch.ones(3, 3)), "x: .*size 2"),
        (
            lambda: apply_rotary_emb(torch.ones(2, 3)),
            "dim: .*even number.*got 3",
        ),
        (
            lambda: apply_rotary_emb(torch.ones(2, 4), torch.arange(3)),
            r"positions: .*\(2,\).*\(3,\)",
        ),
        (
            lambda: relative_scores(torch.ones(2, 4), torch.ones(4, 4), 2),
            r"table: .*odd number of rows.*\(4, 4\)",
        ),
        (
            lambda: relative_scores(torch.ones(2, 4), torch.ones(3, 5), 2),
            r"table: .*size 4.*\(3, 5\)",
        ),
        (lambda: RelativePositionBias(0, 4), "dim: .*got 0"),
        (lambda: RelativePositionBias(4, -1), "max_distance: .*got -1"),
        (lambda: alibi_slopes(0), "heads: .*got 0"),
        (lambda: AlibiBias(-1.0), "slope: .*got -1"),
        (lambda: AlibiBias(math.inf), "slope: .*got inf"),
        (lambda: relative_positions(-1, 2), "queries: .*got -1"),
        (
            lambda: SelfAttention(2)(torch.ones(3, 2), torch.ones(3, 3)),
            "mask: expected a boolean",
        ),
    ],
)
def test_wrong_input_is_named(own_errors, make, words):
    with pytest.raises(ValueError, match=words):
        make()
