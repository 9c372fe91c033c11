"""Lesson 02's module: softmax, masks, the attention function, the layer."""

import inspect
import math
import re
from pathlib import Path

import jaxtyping
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional as F

from attn_course.dot_product import dot_product_attention
from attn_course.scaled_dot_product import (
    Attention,
    causal_mask,
    entropy,
    masked_softmax,
    padding_mask,
    scaled_dot_product_attention,
    score_statistics,
    stable_softmax,
)
from attn_course.widgets.scaled_dot_product import MaskPainter, paint
from tests.host_reads import HostReads

attend = scaled_dot_product_attention

QUERY = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
KEY = torch.tensor([[1.0, 1.0], [0.0, 1.0]], dtype=torch.float64)
VALUE = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64)

TOLERANCE = {
    torch.float64: {"rtol": 1e-9, "atol": 1e-9},
    torch.float32: {"rtol": 1e-4, "atol": 1e-5},
    torch.bfloat16: {"rtol": 2e-2, "atol": 2e-2},
    torch.float16: {"rtol": 3e-3, "atol": 3e-3},
}
BOTH = pytest.mark.parametrize("need_weights", [True, False])

few = settings(max_examples=40)  # the checked calls are slow
sizes = st.integers(1, 5)
seeds = st.integers(0, 2**31)


def make(batch=(), q=4, k=3, d=5, v=2, *, dtype=torch.float64, device="cpu"):
    """Draw query, key and value, ready for gradients."""
    if "mps" in str(device) and dtype == torch.float64:
        pytest.skip("MPS has no float64")
    options = {"dtype": dtype, "device": device, "requires_grad": True}
    return [
        torch.randn(*batch, *size, **options)
        for size in ((q, d), (k, d), (k, v))
    ]


def draw(seed, batch, q, k, d, v):
    torch.manual_seed(seed)
    return make(batch, q, k, d, v), torch.rand(*batch, q, k) < 0.6


def by_loop(query, key, value, mask):
    """Attention for matrices, one number at a time."""
    output = torch.zeros(len(query), value.shape[1], dtype=torch.float64)
    weights = torch.zeros(len(query), len(key), dtype=torch.float64)
    for i, row in enumerate(query):
        allowed = [j for j in range(len(key)) if mask[i, j]]
        scores = {
            j: sum(a * b for a, b in zip(row, key[j])).item()
            / math.sqrt(len(row))
            for j in allowed
        }
        total = sum(math.exp(score) for score in scores.values())
        for j in allowed:
            weights[i, j] = math.exp(scores[j]) / total
            output[i] += weights[i, j] * value[j].detach()
    return output, weights


def gradients(output, inputs):
    """Pull the gradient of an uneven sum of the output."""
    part = torch.arange(output.numel(), device=output.device) % 7 - 3.0
    part = part.reshape(output.shape).to(output.dtype)
    return torch.autograd.grad((output * part).sum(), inputs)


# The hand example, and the same by loop --------------------------------------


@BOTH
def test_hand_example_to_four_digits(need_weights):
    output, weights = attend(QUERY, KEY, VALUE, need_weights=need_weights)
    assert [round(x, 4) for x in output[0].tolist()] == [1.6605, 2.6605]
    if need_weights:
        assert [round(x, 4) for x in weights[0].tolist()] == [0.6698, 0.3302]
    else:
        assert weights is None


@BOTH
def test_scale_one_is_lesson_01(need_weights):
    inputs = make((2,))
    output, weights = attend(*inputs, scale=1, need_weights=need_weights)
    expected_output, expected_weights = dot_product_attention(*inputs)
    torch.testing.assert_close(output, expected_output)
    if need_weights:
        torch.testing.assert_close(weights, expected_weights)


@few
@given(seeds, sizes, sizes, sizes, sizes)
def test_equals_a_loop(seed, q, k, d, v):
    inputs, mask = draw(seed, (), q, k, d, v)
    expected_output, expected_weights = by_loop(*inputs, mask)
    output, weights = attend(*inputs, mask)
    torch.testing.assert_close(weights, expected_weights)
    torch.testing.assert_close(output, expected_output)
    output, _ = attend(*inputs, mask, need_weights=False)
    torch.testing.assert_close(output, expected_output)


# Equality with torch, values and gradients -----------------------------------

MASKS = {
    "none": lambda q, k: None,
    "causal": lambda q, k: torch.ones(q, k, dtype=torch.bool).tril(),
    "padding": lambda q, k: padding_mask(torch.tensor([k - 1, k]), k)[
        :, None, None
    ],
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("batch", [(2, 3), (2, 1)])
@pytest.mark.parametrize("shape", [(4, 3, 5, 2), (6, 6, 8, 8)])
@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16]
)
@BOTH
def test_equals_torch(need_weights, dtype, shape, batch, mask, device):
    inputs = make(batch, *shape, dtype=dtype, device=device)
    mask = MASKS[mask](*shape[:2])
    mask = mask if mask is None else mask.to(device)
    output, _ = attend(*inputs, mask, need_weights=need_weights)
    expected = F.scaled_dot_product_attention(*inputs, attn_mask=mask)
    assert output.dtype == dtype and output.device == expected.device
    torch.testing.assert_close(output, expected, **TOLERANCE[dtype])
    found = gradients(output, inputs)
    for mine, torchs in zip(found, gradients(expected, inputs)):
        torch.testing.assert_close(mine, torchs, **TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@BOTH
def test_half_precision_is_near_the_exact_result(need_weights, dtype):
    inputs = make((2, 2), 16, 16, 64, 8, dtype=dtype)
    exact, _ = attend(*(x.double() for x in inputs))
    output, _ = attend(*inputs, need_weights=need_weights)
    torch.testing.assert_close(output.double(), exact, **TOLERANCE[dtype])


@pytest.mark.parametrize("batch", [(), (3,), (2, 3), (2, 1, 3)])
@BOTH
def test_any_number_of_batch_dimensions(need_weights, batch):
    inputs = make(batch)
    mask = torch.rand(*batch, 4, 3) < 0.6
    output, _ = attend(*inputs, mask, need_weights=need_weights)
    flat = [x.reshape(-1, *x.shape[-2:]) for x in inputs]
    rows = [by_loop(*row)[0] for row in zip(*flat, mask.reshape(-1, 4, 3))]
    torch.testing.assert_close(output, torch.stack(rows).view(*batch, 4, 2))


def test_gradient_equals_finite_differences():
    inputs, mask = draw(3, (2,), 3, 4, 2, 2)
    mask[0, 1] = False  # a query that may attend to nothing
    for need_weights in (True, False):

        def output(*x, need=need_weights):
            return attend(*x, mask, need_weights=need)[0]

        assert torch.autograd.gradcheck(output, inputs)
    assert torch.autograd.gradcheck(lambda *x: attend(*x, mask), inputs)


# Properties ------------------------------------------------------------------


@few
@given(seeds, sizes, sizes, sizes)
def test_weights_sum_to_one_over_the_allowed_keys(seed, q, k, d):
    inputs, mask = draw(seed, (2,), q, k, d, 2)
    _, weights = attend(*inputs, mask)
    assert (weights >= 0).all()
    assert (weights[~mask] == 0).all()
    torch.testing.assert_close(weights.sum(-1), mask.any(-1).double())


@few
@given(seeds, sizes, sizes, sizes, st.booleans())
def test_order_of_the_keys_does_not_matter(seed, q, k, d, need_weights):
    (query, key, value), mask = draw(seed, (2,), q, k, d, 3)
    order = torch.randperm(k)
    plain = attend(query, key, value, mask, need_weights=need_weights)
    moved = attend(
        query,
        key[:, order],
        value[:, order],
        mask[..., order],
        need_weights=need_weights,
    )
    torch.testing.assert_close(moved[0], plain[0])
    if need_weights:
        torch.testing.assert_close(moved[1], plain[1][..., order])


@few
@given(seeds, sizes, sizes, sizes)
def test_queries_do_not_see_each_other(seed, q, k, d):
    (query, key, value), _ = draw(seed, (2,), q, k, d, 3)
    order = torch.randperm(q)
    output, _ = attend(query, key, value)
    moved, _ = attend(query[:, order], key, value)
    torch.testing.assert_close(moved, output[:, order])


@few
@given(seeds, sizes, sizes, sizes, st.booleans())
def test_padding_content_does_not_matter(seed, q, k, d, need_weights):
    (query, key, value), _ = draw(seed, (2,), q, k + 2, d, 3)
    mask = padding_mask(torch.tensor([k, k]), k + 2)[:, None, :]
    short, _ = attend(query, key[:, :k], value[:, :k])
    for content in (0.0, -7.0, 1e30):
        with torch.no_grad():
            key[:, k:], value[:, k:] = content, content
        output, _ = attend(query, key, value, mask, need_weights=need_weights)
        torch.testing.assert_close(output, short)
        for gradient in gradients(output, (key, value)):
            assert (gradient[:, k:] == 0).all()


@BOTH
def test_no_gradient_from_the_future(need_weights, device):
    inputs = make((2,), 5, 5, 4, 3, dtype=torch.float32, device=device)
    mask = causal_mask(5, device=device)
    output, _ = attend(*inputs, mask, need_weights=need_weights)
    for i in range(5):
        key, value = torch.autograd.grad(
            output[:, i].sum(), inputs[1:], retain_graph=True
        )
        assert (key[:, i + 1 :] == 0).all()
        assert (value[:, i + 1 :] == 0).all()
        assert (value[:, : i + 1] > 0).all()


@BOTH
def test_inputs_are_left_as_they_are(need_weights):
    inputs, mask = draw(1, (2,), 3, 4, 2, 2)
    before = [x.detach().clone() for x in (*inputs, mask)]
    attend(*inputs, mask, need_weights=need_weights)
    for now, then in zip((*inputs, mask), before):
        assert torch.equal(now, then)


# Masks -----------------------------------------------------------------------


@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
@BOTH
def test_masks_broadcast(need_weights, batch):
    inputs = make(batch)
    full = (*batch, 4, 3)
    shapes = [(), (3,), (1, 3), (4, 1), (4, 3), full]
    shapes += [(*(1 for _ in batch), 4, 3), (*batch, 1, 1)]
    if len(batch) == 2:
        shapes += [(2, 1, 1, 3), (1, 3, 4, 1), (3, 4, 3), (3, 1, 1)]
    for shape in shapes:
        mask = torch.rand(shape) < 0.6
        output, weights = attend(*inputs, mask, need_weights=need_weights)
        expected = attend(*inputs, mask.expand(full).contiguous())
        torch.testing.assert_close(output, expected[0])
        if need_weights:
            torch.testing.assert_close(weights, expected[1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("d, v", [(5, 2), (8, 8)])  # 8: a GPU may take cuDNN
@BOTH
def test_a_query_that_may_attend_to_nothing(need_weights, d, v, dtype, device):
    inputs = make((2, 2), d=d, v=v, dtype=dtype, device=device)
    mask = torch.ones(2, 1, 4, 3, dtype=torch.bool, device=device)
    mask[0, 0, 1] = False
    output, weights = attend(*inputs, mask, need_weights=need_weights)
    assert (output[0, :, 1] == 0).all()
    assert (output[1] != 0).all() and output.isfinite().all()
    if need_weights:
        assert (weights[0, :, 1] == 0).all()
    found = gradients(output, inputs)
    assert all(gradient.isfinite().all() for gradient in found)
    assert (found[0][0, :, 1] == 0).all()


@BOTH
def test_nobody_may_attend(need_weights):
    inputs = make((2,))
    nothing = torch.zeros(1, 1, dtype=torch.bool)
    output, weights = attend(*inputs, nothing, need_weights=need_weights)
    assert output.shape == (2, 4, 2) and (output == 0).all()
    assert all((x == 0).all() for x in gradients(output, inputs))


def test_masked_softmax_takes_the_mask_before_the_softmax():
    scores = torch.tensor([[1.0, 2.0, 3.0]])
    mask = torch.tensor([[True, True, False]])
    weights = masked_softmax(scores, mask)
    expected = torch.softmax(scores[:, :2], -1)
    torch.testing.assert_close(weights[:, :2], expected)
    assert weights[0, 2] == 0


@pytest.mark.parametrize(
    "shape", [(2, 1, 1, 4, 3), (1, 3, 2, 1, 3), (2, 4, 3)]
)
@BOTH
def test_a_partly_broadcast_mask_on_five_dimensions(need_weights, shape):
    inputs = make((2, 3, 2))
    mask = torch.rand(shape) < 0.6
    output, _ = attend(*inputs, mask, need_weights=need_weights)
    flat = [x.reshape(-1, *x.shape[-2:]) for x in inputs]
    full = mask.expand(2, 3, 2, 4, 3).reshape(-1, 4, 3)
    rows = [by_loop(*row)[0] for row in zip(*flat, full)]
    expected = torch.stack(rows).view(2, 3, 2, 4, 2)
    torch.testing.assert_close(output, expected)


def test_an_empty_row_raises_no_alarm_where_nan_is_looked_for():
    inputs = make()
    nothing = torch.zeros(4, 3, dtype=torch.bool)
    with pytest.warns(UserWarning, match="Anomaly Detection"):
        anomalies = torch.autograd.detect_anomaly(check_nan=True)
    with anomalies:
        output, _ = attend(*inputs, nothing)
        output.sum().backward()
    assert all((x.grad == 0).all() for x in inputs)


@given(st.integers(0, 6))
def test_causal_mask_allows_the_past_and_the_present(length):
    mask = causal_mask(length)
    assert mask.dtype == torch.bool and mask.shape == (length, length)
    for i in range(length):
        assert mask[i].tolist() == [j <= i for j in range(length)]


@given(st.lists(st.integers(0, 6), max_size=4), st.integers(0, 3))
def test_padding_mask_marks_the_real_tokens(lengths, more):
    longest = max(lengths, default=0)
    tensor = torch.tensor(lengths, dtype=torch.int64)
    assert padding_mask(tensor).shape == (len(lengths), longest)
    mask = padding_mask(tensor, longest + more)
    for row, length in zip(mask, lengths):
        assert row.tolist() == [j < length for j in range(longest + more)]


def test_masks_are_made_where_they_are_needed(device):
    assert causal_mask(3, device=device).device.type == device
    lengths = torch.tensor([1, 2], device=device, dtype=torch.int32)
    assert padding_mask(lengths).device.type == device


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: causal_mask(-1), "length: expected 0 or more, got -1"),
        (lambda: padding_mask(torch.tensor([3]), 2), "0 to 2, got .3."),
        (lambda: padding_mask(torch.tensor([-1]), 2), "lengths: .*-1"),
        (lambda: padding_mask(torch.tensor([1.0])), "lengths: .*float32"),
        (lambda: padding_mask(torch.tensor([[1]])), "lengths: .*1, 1"),
        (lambda: padding_mask(torch.tensor([True])), "lengths: .*bool"),
        (lambda: padding_mask([1, 2]), "lengths: .*got list"),
    ],
)
def test_masks_name_what_does_not_fit(own_errors, call, words):
    with pytest.raises(ValueError, match=words):
        call()


# Edges -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "batch, q, k, v",
    [
        ((), 1, 1, 1),
        ((0,), 4, 3, 2),
        ((2, 0), 4, 3, 2),
        ((2,), 0, 3, 2),
        ((2,), 4, 0, 2),
        ((2,), 0, 0, 2),
        ((2,), 4, 3, 0),
    ],
)
@pytest.mark.parametrize("masked", [False, True])
@BOTH
def test_small_and_empty(need_weights, masked, batch, q, k, v, device):
    inputs = make(batch, q, k, 5, v, dtype=torch.float32, device=device)
    mask = torch.ones(*batch, q, k, dtype=torch.bool, device=device)
    output, weights = attend(
        *inputs, mask if masked else None, need_weights=need_weights
    )
    assert output.shape == (*batch, q, v) and output.isfinite().all()
    assert output.dtype == torch.float32
    if need_weights:
        assert weights.shape == (*batch, q, k)
    if k == 0:
        assert (output == 0).all()
    if k == 1:
        torch.testing.assert_close(output, inputs[2].expand_as(output))
    for gradient, tensor in zip(gradients(output, inputs), inputs):
        assert gradient.shape == tensor.shape


@BOTH
def test_not_contiguous(need_weights):
    query, key, value = make((2, 3), 4, 4, 4, 4)
    turned = [x.transpose(-1, -2) for x in (query, key, value)]
    sliced = [x[..., ::2, :] for x in turned]
    wide = [x[:1].expand(2, 3, 2, 4) for x in sliced]
    mask = (torch.rand(2, 4) < 0.6).T[:, ::2][::2]
    for inputs in (sliced, wide):
        output, _ = attend(*inputs, mask, need_weights=need_weights)
        expected, _ = attend(*(x.contiguous() for x in inputs), mask)
        torch.testing.assert_close(output, expected)


@pytest.mark.parametrize("size", [1e2, 1e4])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@BOTH
def test_huge_scores(need_weights, dtype, size):
    inputs = make((2, 2), dtype=dtype)
    large = [inputs[0] * size, inputs[1] * size, inputs[2]]
    output, weights = attend(*large, need_weights=need_weights)
    expected = F.scaled_dot_product_attention(*(x.double() for x in large))
    torch.testing.assert_close(output.double(), expected, rtol=1e-3, atol=1e-3)
    assert all(x.isfinite().all() for x in gradients(output, inputs))
    if need_weights:
        best = (large[0] @ large[1].mT).argmax(-1)
        assert torch.equal(weights.argmax(-1), best)


@BOTH
def test_float16_scores_above_its_largest_number(need_weights):
    """A product of 90,000 fits no float16, but the weights do."""
    query = torch.full((1, 1, 1, 4), 150.0, dtype=torch.float16)
    key = torch.stack([query, -query], dim=-2)[:, :, 0]
    value = torch.tensor([[[[1.0], [3.0]]]], dtype=torch.float16)
    output, _ = attend(query, key, value, need_weights=need_weights)
    assert output.item() == 1.0


# Nan in is nan out, as in torch ----------------------------------------------


@pytest.mark.parametrize("name", ["query", "key", "value"])
@pytest.mark.parametrize("shape", [(), (2, 2)])
@pytest.mark.parametrize("keys", [3, 20])
@BOTH
def test_nan_in_is_nan_out(need_weights, keys, shape, name):
    inputs = dict(zip(("query", "key", "value"), make(shape, 3, keys, 4, 4)))
    with torch.no_grad():
        inputs[name][..., 1, 2] = math.nan
    output, weights = attend(**inputs, need_weights=need_weights)
    spoilt = {"query": output[..., 1, :], "value": output[..., 2]}
    if name == "query" and shape and keys < 16 and not need_weights:
        # torch's kernel for CPUs answers 0 to it, if the keys fill no vector.
        theirs = F.scaled_dot_product_attention(*inputs.values())
        assert torch.equal(theirs, output) and (output[..., 1, :] == 0).all()
    else:
        assert spoilt.get(name, output).isnan().all()
    if name == "value":
        assert output[..., 0].isfinite().all()
        assert weights is None or weights.isfinite().all()


def test_a_masked_nan_still_spoils_the_output_and_the_gradient():
    """A weight of 0 does not hide it: 0 * nan is nan."""
    query, key, value = make((), 1, 2, 3, 3)
    mask = torch.tensor([True, False])
    with torch.no_grad():
        key[1], value[1] = math.nan, 1.0
    output, weights = attend(query, key, value, mask)
    assert weights.tolist() == [[1.0, 0.0]] and output.isfinite().all()
    assert gradients(output, inputs=[query])[0].isnan().all()
    with torch.no_grad():
        value[1] = math.nan
    assert attend(query, key, value, mask)[0].isnan().all()


# A causal mask by name -------------------------------------------------------


@pytest.mark.parametrize("shape", [(5, 5), (3, 5), (5, 3), (1, 4), (4, 1)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@BOTH
def test_is_causal_equals_torch_and_the_mask(need_weights, dtype, shape):
    q, k = shape
    inputs = make((2, 2), q, k, 4, 4, dtype=dtype)
    mask = torch.ones(q, k, dtype=torch.bool).tril()
    output, weights = attend(
        *inputs, is_causal=True, need_weights=need_weights
    )
    theirs = F.scaled_dot_product_attention(*inputs, is_causal=True)
    masked, expected = attend(*inputs, mask)
    slopes = gradients(output, inputs)
    for other in (theirs, masked):
        torch.testing.assert_close(output, other, **TOLERANCE[dtype])
        for mine, torchs in zip(slopes, gradients(other, inputs)):
            torch.testing.assert_close(mine, torchs, **TOLERANCE[dtype])
    if need_weights:
        assert torch.equal(weights, expected)


@pytest.mark.parametrize("mask", [(4,), (4, 4), (2, 1, 1, 4), (2, 3, 4, 4)])
@BOTH
def test_is_causal_beside_a_mask_allows_what_both_allow(need_weights, mask):
    inputs, mask = make((2, 3), 4, 4), torch.rand(mask) < 0.6
    output, weights = attend(
        *inputs, mask, is_causal=True, need_weights=need_weights
    )
    both = mask & causal_mask(4)
    expected, shared = attend(*inputs, both)
    torch.testing.assert_close(output, expected)
    assert (output[~both.any(-1).expand(2, 3, 4)] == 0).all()
    if need_weights:
        assert torch.equal(weights, shared)


# torch's own tools work on it ------------------------------------------------

CALLS = {
    "plain": {},
    "masked": {"mask": torch.tensor([[True, False, True]] * 4)},
    "causal": {"is_causal": True},
}
CALLED = pytest.mark.parametrize("options", CALLS.values(), ids=CALLS)


@CALLED
@BOTH
@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_vmap(need_weights, options):
    inputs = make((3, 2))

    def one(*x):
        return attend(*x, **options, need_weights=need_weights)[0]

    expected = one(*inputs)
    torch.testing.assert_close(torch.vmap(one)(*inputs), expected)
    by_value = torch.func.jacrev(lambda v: one(*inputs[:2], v).sum())
    (theirs,) = torch.autograd.grad(expected.sum(), inputs[2])
    torch.testing.assert_close(by_value(inputs[2]), theirs)


@CALLED
@BOTH
def test_on_the_meta_device(need_weights, options):
    inputs = make((2, 2), device="meta")
    options = {
        name: x.to("meta") if isinstance(x, torch.Tensor) else x
        for name, x in options.items()
    }
    output, weights = attend(*inputs, **options, need_weights=need_weights)
    assert output.is_meta and output.shape == (2, 2, 4, 2)
    assert weights is None or weights.shape == (2, 2, 4, 3)


@CALLED
@BOTH
def test_fake_tensors_and_make_fx(own_errors, need_weights, options):
    inputs = [x.detach() for x in make((2, 2))]

    def call(*x):
        return attend(*x, **options, need_weights=need_weights)[0]

    with FakeTensorMode() as mode:
        fake = [mode.from_tensor(x) for x in inputs]
        given = {
            name: mode.from_tensor(x) if isinstance(x, torch.Tensor) else x
            for name, x in options.items()
        }
        output, _ = attend(*fake, **given, need_weights=need_weights)
    assert output.shape == (2, 2, 4, 2)
    traced = make_fx(call)(*inputs)
    torch.testing.assert_close(traced(*inputs), call(*inputs))


class Call(nn.Module):
    """The function as a module, which export wants."""

    def __init__(self, **options):
        super().__init__()
        self.options = options

    def forward(self, query, key, value):
        return attend(query, key, value, **self.options)[0]


@CALLED
@BOTH
def test_export_and_compile(own_errors, need_weights, options):
    inputs = [x.detach() for x in make((2, 2), dtype=torch.float32)]
    module = Call(**options, need_weights=need_weights)
    exported = torch.export.export(module, tuple(inputs)).module()
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    for one in (exported, compiled):
        torch.testing.assert_close(one(*inputs), module(*inputs))


@CALLED
@BOTH
def test_no_number_is_read_back_to_the_host(own_errors, need_weights, options):
    inputs = make((2, 2))
    with HostReads() as reads:
        output, _ = attend(*inputs, **options, need_weights=need_weights)
        output.sum().backward()
    assert reads.count == 0 and inputs[0].grad is not None
    with reads:
        output.sum().item()
    assert reads.count == 1


ONE = torch.ones
WRONG = [
    ((ONE(2), ONE(2, 2), ONE(2, 2)), "query: .*2 dimensions.*\\(2,\\)"),
    ((ONE(1, 2), ONE(2), ONE(2, 2)), "key: .*2 dimensions"),
    ((ONE(1, 2), ONE(2, 2), ONE(2)), "value: .*2 dimensions"),
    (([[1.0]], ONE(2, 2), ONE(2, 2)), "query: .*tensor, got list"),
    ((ONE(1, 2), ONE(3, 3), ONE(3, 1)), "key: .*3, 2.*got \\(3, 3\\)"),
    ((ONE(1, 2), ONE(3, 2), ONE(4, 1)), "value: .*3, 1.*got \\(4, 1\\)"),
    ((ONE(2, 1, 2), ONE(3, 2), ONE(3, 2)), "key: .*2, 3, 2"),
    ((ONE(2, 1, 2), ONE(1, 3, 2), ONE(1, 3, 2)), "key: .*2, 3, 2"),
    ((ONE(1, 2).long(), ONE(3, 2), ONE(3, 2)), "query: .*int64"),
    ((ONE(1, 2), ONE(3, 2).int(), ONE(3, 2)), "key: .*int32"),
    ((ONE(1, 2), ONE(3, 2), ONE(3, 2).bool()), "value: .*torch.bool"),
    ((ONE(1, 2), ONE(3, 2).double(), ONE(3, 2)), "key: .*float32.*float64"),
    ((ONE(1, 2), ONE(3, 2), ONE(3, 2).half()), "value: .*float32.*float16"),
    ((ONE(1, 2), ONE(3, 2, device="meta"), ONE(3, 2)), "key: .*cpu.*meta"),
    ((ONE(1, 2), ONE(3, 2), ONE(3, 2, device="meta")), "value: .*cpu.*meta"),
]


@pytest.mark.parametrize("inputs, words", WRONG)
@BOTH
def test_wrong_input_is_named(own_errors, need_weights, inputs, words):
    with pytest.raises(ValueError, match=words):
        attend(*inputs, need_weights=need_weights)


@pytest.mark.parametrize(
    "mask, words",
    [
        (ONE(4, 3), "mask: .*boolean.*float32"),
        (ONE(4, 3).long(), "mask: .*boolean.*int64"),
        ([[True] * 3] * 4, "mask: .*boolean.*list"),
        (ONE(3, 4).bool(), "mask: .*\\(2, 4, 3\\).*got \\(3, 4\\)"),
        (ONE(3, 4, 3).bool(), "mask: .*\\(2, 4, 3\\).*got \\(3, 4, 3\\)"),
        (ONE(2, 3).bool(), "mask: .*\\(2, 4, 3\\).*got \\(2, 3\\)"),
        (ONE(1, 2, 4, 3).bool(), "mask: .*got \\(1, 2, 4, 3\\)"),
        (ONE(4, 3, device="meta").bool(), "mask: .*cpu.*meta"),
    ],
)
@BOTH
def test_wrong_mask_is_named(own_errors, need_weights, mask, words):
    with pytest.raises(ValueError, match=words):
        attend(*make((2,)), mask, need_weights=need_weights)


def test_the_signature_alone_refuses_a_wrong_shape():
    with pytest.raises(jaxtyping.TypeCheckError):
        attend(QUERY, KEY, VALUE[:1])


@BOTH
def test_under_autocast(need_weights):
    inputs = make((2, 2), dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output, _ = attend(*inputs, need_weights=need_weights)
    expected, _ = attend(*inputs)
    torch.testing.assert_close(
        output.float(), expected, **TOLERANCE[torch.bfloat16]
    )


# stable_softmax --------------------------------------------------------------

scores = st.lists(
    st.floats(-1e4, 1e4, allow_nan=False), min_size=1, max_size=6
)


@given(scores, st.floats(-1e4, 1e4))
def test_softmax_does_not_change_by_a_shift(row, shift):
    row = torch.tensor(row, dtype=torch.float64)
    weights = stable_softmax(row)
    torch.testing.assert_close(
        stable_softmax(row + shift), weights, rtol=1e-6, atol=1e-9
    )
    torch.testing.assert_close(weights, torch.softmax(row, -1))
    assert weights.sum().item() == pytest.approx(1)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_softmax_equals_torch_in_value_and_gradient(dtype, device):
    if "mps" in device and dtype == torch.float64:
        pytest.skip("MPS has no float64")
    row = torch.randn(3, 5, dtype=dtype, device=device, requires_grad=True)
    mine, torchs = stable_softmax(row), torch.softmax(row, -1)
    torch.testing.assert_close(mine, torchs, **TOLERANCE[dtype])
    (one,), (other,) = gradients(mine, [row]), gradients(torchs, [row])
    torch.testing.assert_close(one, other, **TOLERANCE[dtype])


def test_softmax_of_tied_best_scores_has_torchs_gradient():
    row = torch.tensor([[2.0, 2.0, 1.0]], dtype=torch.float64)
    row.requires_grad_()
    (one,) = gradients(stable_softmax(row), [row])
    (other,) = gradients(torch.softmax(row, -1), [row])
    torch.testing.assert_close(one, other)


def test_softmax_refuses_what_has_no_answer(own_errors):
    with pytest.raises(ValueError, match="scores: .*int64"):
        stable_softmax(torch.tensor([1, 0]))
    with pytest.raises(ValueError, match="scores: .*at least 1 key"):
        stable_softmax(torch.ones(2, 0))


# Attention, the layer --------------------------------------------------------


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16]
)
@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
def test_layer_of_the_source_text_is_torchs_function(batch, dtype, device):
    layer = Attention(hidden_size=6)
    assert isinstance(layer, nn.Module) and not list(layer.parameters())
    inputs = make(batch, 4, 3, 6, 6, dtype=dtype, device=device)
    output = layer(*inputs)
    expected = F.scaled_dot_product_attention(*inputs)
    assert torch.equal(output, expected)
    for one, other in zip(
        gradients(output, inputs), gradients(expected, inputs)
    ):
        assert torch.equal(one, other)


def test_layer_answers_the_hand_example():
    output = Attention(2)(QUERY, KEY, VALUE)
    assert [round(x, 4) for x in output[0].tolist()] == [1.6605, 2.6605]


def test_layer_names_what_does_not_fit(own_errors):
    with pytest.raises(ValueError, match="hidden_size: expected 1 or more"):
        Attention(0)
    fits, wide = torch.ones(1, 2, 4), torch.ones(1, 2, 5)
    with pytest.raises(ValueError, match="key: .*dimension 4.*1, 2, 5"):
        Attention(4)(fits, wide, fits)
    with pytest.raises(ValueError, match="value: .*got list"):
        Attention(4)(fits, fits, [1.0])


# What lesson 02 measures -----------------------------------------------------


def test_entropy_in_bits():
    even, alone = torch.full((8,), 1 / 8), torch.tensor([0.0, 1.0, 0.0])
    assert entropy(even).item() == pytest.approx(3)
    assert entropy(alone).item() == 0
    assert entropy(torch.tensor([[0.5, 0.5], [1.0, 0.0]])).tolist() == [1, 0]


@pytest.mark.parametrize("d", [4, 64, 1024])
def test_variance_is_d_and_the_scale_makes_it_1(d):
    assert score_statistics(d, scale=1.0).variance == pytest.approx(d, rel=0.1)
    scaled = score_statistics(d, scale=d**-0.5)
    assert scaled.variance == pytest.approx(1, rel=0.1)


def test_statistics_equal_their_definition():
    found = score_statistics(8, scale=0.5, keys=5, queries=7, seed=3)
    generator = torch.Generator().manual_seed(3)
    options = {"generator": generator, "dtype": torch.float64}
    query, key = torch.randn(7, 8, **options), torch.randn(5, 8, **options)
    scores = query @ key.T / 2
    weights = torch.softmax(scores, -1)
    bits = -(weights * weights.log2()).sum(-1)
    lengths = []
    for row in weights:
        best = row.argmax()
        gradient = row[best] * (F.one_hot(best, 5) - row)
        lengths.append(gradient.norm())
    assert found.variance == pytest.approx(scores.var().item())
    assert found.entropy == pytest.approx(bits.mean().item())
    assert found.gradient == pytest.approx(
        torch.stack(lengths).median().item()
    )


def test_a_saturated_softmax_has_little_gradient():
    frozen = score_statistics(4096, scale=1.0)
    alive = score_statistics(4096, scale=4096**-0.5)
    assert frozen.gradient < 1e-6 < 0.05 < alive.gradient
    assert frozen.entropy < 0.5 < 5 < alive.entropy


@pytest.mark.parametrize("name", ["d", "keys", "queries"])
def test_statistics_need_at_least_one_of_each(name):
    arguments = {"d": 2, "scale": 1.0, name: 0}
    with pytest.raises(ValueError, match=f"{name}: expected 1 or more"):
        score_statistics(**arguments)


# The widget ------------------------------------------------------------------


SCORES = torch.tensor([[1.0, 0.0, 2.0]] * 3, dtype=torch.float64)
PART = torch.tensor([[True, True, False], [False] * 3, [True] * 3])


def test_painter_masks_in_three_ways():
    ours, plain, after = (
        paint(SCORES, PART, mode) for mode in ("before", "plain", "after")
    )
    torch.testing.assert_close(
        ours.sum(-1), torch.tensor([1.0, 0, 1]).double()
    )
    assert plain[1].isnan().all()
    torch.testing.assert_close(plain[[0, 2]], ours[[0, 2]])
    assert after[0].sum().item() == pytest.approx(0.3348, abs=1e-4)
    assert after[1].sum() == 0


@pytest.mark.parametrize("mode", ["before", "plain", "after"])
def test_painter_starts_with_the_functions_result(mode):
    painter = MaskPainter(["a", "b", "c"], SCORES, PART, mode)
    weights = painter.result["weights"]
    for row, expected in zip(weights, paint(SCORES, PART, mode).tolist()):
        for one, wanted in zip(row, expected):
            assert one is None if math.isnan(wanted) else one == wanted
    assert len(painter.result["sums"]) == 3
    assert "4 of 9 cells are forbidden" in painter.still.alt
    assert "text/html" in painter._repr_mimebundle_()


def test_painter_is_causal_by_default():
    painter = MaskPainter(["a", "b", "c"], SCORES)
    assert painter.mask == causal_mask(3).tolist()


@pytest.mark.parametrize(
    "arguments, words",
    [
        ((["a"], [[1.0]]), "words: expected 2 to 8, got 1"),
        ((["a", "b"], SCORES), "scores: .*\\(2, 2\\).*got \\(3, 3\\)"),
        ((["a", "b", "c"], SCORES, PART[:2]), "mask: .*\\(3, 3\\).*2, 3"),
        ((["a", "b", "c"], SCORES, [[1] * 3] * 3), "mask: .*True and False"),
        ((["a", "b", "c"], SCORES, PART, "late"), "mode: expected one of"),
    ],
)
def test_painter_names_what_does_not_fit(arguments, words):
    with pytest.raises(ValueError, match=words):
        MaskPainter(*arguments)


# The painter in a browser, without a kernel: a stand-in for its model keeps
# the traits. Lessons in JupyterLab are opened by test_browser.py.
PAGE = """
async ([source, state]) => {
  const model = {
    state, heard: {},
    get(name) { return this.state[name]; },
    set(name, value) { this.state[name] = value; },
    on(name, fn) { this.heard[name] = fn; },
    off() {},
    save_changes() {},
  };
  const blob = new Blob([source], { type: "text/javascript" });
  const module = await import(URL.createObjectURL(blob));
  window.model = model;
  module.default.render({ model, el: document.body });
}
"""


@pytest.fixture(scope="module")
def page():
    pytest.importorskip("playwright.sync_api")
    from tests import browser

    with browser.chrome() as running:
        yield running.new_page()


@pytest.fixture
def painted(page):
    painter = MaskPainter(["a", "b", "c"], SCORES)
    state = {
        name: getattr(painter, name)
        for name in ("words", "scores", "mask", "mode", "result")
    }
    page.goto("about:blank")
    page.add_style_tag(content=str(painter._css))
    page.evaluate(PAGE, [str(painter._esm), state])
    return page


def shown(page):
    """What the browser computed, and what Python says of the same mask."""
    state = page.evaluate("window.model.state")
    mask = torch.tensor(state["mask"])
    expected = paint(SCORES, mask, state["mode"])
    found = torch.tensor(
        [
            [math.nan if x is None else x for x in row]
            for row in state["result"]["weights"]
        ],
        dtype=torch.float64,
    )
    torch.testing.assert_close(found, expected, equal_nan=True)
    cells = page.locator(".attn-cell").all_inner_texts()
    for text, weight, allowed in zip(
        cells, expected.flatten().tolist(), mask.flatten().tolist()
    ):
        if math.isnan(weight):
            assert text == "NaN"
        else:
            assert text == (f"{weight:.2f}" if allowed or weight else "×")
    return mask


@pytest.mark.browser
def test_painter_by_mouse(painted):
    assert torch.equal(shown(painted), causal_mask(3))
    cells = painted.locator(".attn-cell")
    cells.nth(1).click()
    assert shown(painted)[0].tolist() == [True, True, False]
    painted.locator("button", has_text="allow all").click()
    assert shown(painted).all()
    start, end = cells.nth(3).bounding_box(), cells.nth(5).bounding_box()
    painted.mouse.move(start["x"] + 5, start["y"] + 5)
    painted.mouse.down()
    painted.mouse.move(end["x"] + 5, end["y"] + 5, steps=20)
    painted.mouse.up()
    assert shown(painted).tolist() == [[True] * 3, [False] * 3, [True] * 3]
    said = painted.locator("[role=status]")
    assert "1 of 3 rows do not sum to 1" in said.inner_text()
    cells.nth(0).hover()  # the button is up: nothing is painted
    assert shown(painted)[0].all()


@pytest.mark.browser
def test_painter_in_every_mode(painted):
    painted.locator("button", has_text="empty the first row").click()
    for mode in ("plain", "after", "before"):
        painted.locator("select").select_option(mode)
        shown(painted)
    for name in ("causal", "padding", "allow all"):
        painted.locator("button", has_text=name).click()
        shown(painted)


@pytest.mark.browser
def test_painter_by_keyboard_alone(painted):
    painted.locator("select").focus()
    painted.keyboard.press("Tab")
    for key in ("ArrowRight", "ArrowDown", "ArrowLeft", " ", "ArrowDown"):
        painted.keyboard.press(key)
    painted.keyboard.press("Enter")
    mask = shown(painted)
    assert mask[:, 0].tolist() == [True, False, False]
    focused = painted.locator(".attn-cell:focus")
    assert focused.get_attribute("aria-label") == (
        "query c, key a: forbidden, weight 0.00"
    )


@pytest.mark.browser
def test_painter_follows_python(painted):
    painted.evaluate(
        "() => { model.state.mask = model.state.mask.map(row => "
        "row.map(() => false)); model.heard['change:mask'](); }"
    )
    assert not shown(painted).any()
    painted.evaluate(
        "() => { model.state.mode = 'plain'; model.heard['change:mode'](); }"
    )
    shown(painted)
    assert painted.locator("select").input_value() == "plain"


# The lesson ------------------------------------------------------------------


def test_the_lesson_and_the_module_are_the_same_lines():
    source = Path(__file__).parents[1] / "notebooks" / "source"
    text = (source / "02_scaled_dot_product.py").read_text("utf-8")
    for name, function in (
        ("masked_softmax", masked_softmax),
        ("attend", scaled_dot_product_attention),
    ):
        (cell,) = re.findall(rf"^def {name}\(.*\n((?: .*\n)+)", text, re.M)
        module = inspect.getsource(function).replace(".to(dtype)", "")
        for line in cell.splitlines():
            if not line.strip().startswith("return"):
                assert line.strip() in module, line
