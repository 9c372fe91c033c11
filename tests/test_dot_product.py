"""Lesson 01's module: softmax, soft lookup, kernel regression."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from attn_course.dot_product import (
    dot_product_attention,
    kernel_regression,
    softmax,
)
from attn_course.widgets.dot_product import QueryPlane

QUERY = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
KEY = torch.tensor([[1.0, 1.0], [0.0, 1.0]], dtype=torch.float64)
VALUE = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64)

numbers = st.floats(-20, 20, allow_nan=False)
rows = st.lists(numbers, min_size=1, max_size=6)
temperatures = st.floats(0.5, 10)


def test_hand_example_to_four_digits():
    output, weights = dot_product_attention(QUERY, KEY, VALUE)
    e = math.e
    expected = torch.tensor([[e / (e + 1), 1 / (e + 1)]], dtype=torch.float64)
    torch.testing.assert_close(weights, expected)
    assert [round(x, 4) for x in output[0].tolist()] == [1.5379, 2.5379]


@given(rows, temperatures)
def test_weights_are_positive_and_sum_to_one(row, temperature):
    weights = softmax(torch.tensor(row, dtype=torch.float64), temperature)
    assert (weights > 0).all()
    assert weights.sum().item() == pytest.approx(1)


@given(rows, numbers, temperatures)
def test_softmax_sees_only_differences(row, shift, temperature):
    scores = torch.tensor(row, dtype=torch.float64)
    torch.testing.assert_close(
        softmax(scores + shift, temperature), softmax(scores, temperature)
    )


@given(rows, temperatures)
def test_softmax_equals_torch(row, temperature):
    scores = torch.tensor(row, dtype=torch.float64)
    torch.testing.assert_close(
        softmax(scores, temperature), torch.softmax(scores / temperature, -1)
    )


@given(rows)
def test_temperature_sharpens_and_evens(row):
    scores = torch.tensor(row, dtype=torch.float64)
    cold, hot = softmax(scores, 1.0).max(), softmax(scores, 5.0).max()
    assert hot <= cold + 1e-12


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("batch", [(), (3,), (2, 3), (0,)])
def test_equals_torch_in_value_and_gradient(batch, dtype, device):
    if "mps" in device and dtype == torch.float64:
        pytest.skip("MPS has no float64")
    options = {"dtype": dtype, "device": device, "requires_grad": True}
    inputs = [
        torch.randn(*batch, *size, **options)
        for size in [(4, 5), (3, 5), (3, 2)]
    ]
    output, weights = dot_product_attention(*inputs)
    expected = F.scaled_dot_product_attention(*inputs, scale=1.0)
    torch.testing.assert_close(output, expected)
    assert weights.shape == (*batch, 4, 3)
    weight = torch.randn_like(expected)
    for mine, torchs in zip(
        torch.autograd.grad((output * weight).sum(), inputs),
        torch.autograd.grad((expected * weight).sum(), inputs),
    ):
        torch.testing.assert_close(mine, torchs)


@pytest.mark.parametrize(
    "query, key, value, words",
    [
        ([[1.0]], torch.ones(2, 1), torch.ones(2, 1), "query: .*list"),
        (torch.ones(2), torch.ones(2, 2), torch.ones(2, 2), "query: .*2 dim"),
        (torch.ones(1, 2), torch.ones(2, 3), torch.ones(2, 2), "key: .*2, 2"),
        (
            torch.ones(1, 2),
            torch.ones(3, 2),
            torch.ones(2, 2),
            "value: .*3, 2",
        ),
        (
            torch.ones(2, 1, 2),
            torch.ones(3, 2),
            torch.ones(3, 2),
            "key: .*2, 3",
        ),
        (
            torch.ones(1, 2),
            torch.ones(2, 2).long(),
            torch.ones(2, 2),
            "key: .*int64",
        ),
        (
            torch.ones(1, 2),
            torch.ones(2, 2).double(),
            torch.ones(2, 2),
            "key: .*float32.*float64",
        ),
    ],
)
def test_wrong_input_is_named(own_errors, query, key, value, words):
    with pytest.raises(ValueError, match=words):
        dot_product_attention(query, key, value)


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan])
def test_temperature_has_to_be_above_zero(temperature):
    with pytest.raises(ValueError, match="temperature: expected .* above 0"):
        softmax(torch.ones(2), temperature)


def test_softmax_refuses_whole_numbers(own_errors):
    with pytest.raises(ValueError, match="scores: .*int64"):
        softmax(torch.tensor([1, 0]))


def test_kernel_regression_equals_its_formula():
    query, key, value = torch.randn(3, 5, dtype=torch.float64)
    predicted, weights = kernel_regression(query, key, value, width=0.7)
    for i, x in enumerate(query):
        powers = [math.exp(-((x - k) ** 2) / (2 * 0.49)) for k in key]
        mean = sum(p * v for p, v in zip(powers, value)) / sum(powers)
        assert predicted[i].item() == pytest.approx(mean.item())
    torch.testing.assert_close(weights.sum(-1), torch.ones(5).double())


def test_kernel_regression_refuses_bad_input(own_errors):
    three, two = torch.ones(3), torch.ones(2)
    with pytest.raises(ValueError, match="value: .*one value per key"):
        kernel_regression(three, three, two)
    with pytest.raises(ValueError, match="query: .*on a line.*3, 1"):
        kernel_regression(three[:, None], three, three)
    with pytest.raises(ValueError, match="width: .*above 0"):
        kernel_regression(three, three, three, width=0.0)


def test_query_plane_starts_with_the_functions_result():
    plane = QueryPlane([1.0, 0.0], KEY, VALUE)
    assert plane.result["weights"] == pytest.approx([0.7311, 0.2689], abs=1e-4)
    assert plane.result["output"] == pytest.approx([1.5379, 2.5379], abs=1e-4)
    assert "1.5379" in plane.still.alt


@pytest.mark.parametrize(
    "query, key, words",
    [
        ([1.0], KEY, "query: .*(2,)"),
        ([1.0, 0.0], torch.ones(2, 3), "key: .*2, 3"),
        ([1.0, 0.0], torch.ones(6, 2), "key: .*1 to 5"),
    ],
)
def test_query_plane_names_what_does_not_fit(query, key, words):
    with pytest.raises(ValueError, match=words):
        QueryPlane(query, key, torch.ones(len(key), 2))
