"""Lesson 04's module: heads split and merged, the layer, its parity with torch."""

import copy
import re
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

from attn_course.multi_head_attention import (
    MultiHeadAttention,
    merge_heads,
    split_heads,
)
from attn_course.scaled_dot_product import (
    causal_mask,
    padding_mask,
    scaled_dot_product_attention,
)
from attn_course.widgets.multi_head_attention import (
    View,
    head_board,
    readout_planes,
)

sizes = st.integers(1, 4)
TOLERANCE = {
    torch.float64: {"rtol": 1e-7, "atol": 1e-9},
    torch.float32: {"rtol": 1e-4, "atol": 1e-5},
    torch.bfloat16: {"rtol": 3e-2, "atol": 3e-2},
}


def random(*shape, dtype=torch.float64, device="cpu", grad=False):
    options = {"dtype": dtype, "device": device, "requires_grad": grad}
    return torch.randn(*shape, **options)


def pair(dim=12, heads=3, dtype=torch.float64, device="cpu", **options):
    """Torch's layer with random biases, and ours with the same weights."""
    theirs = nn.MultiheadAttention(
        dim, heads, batch_first=True, dtype=dtype, device=device, **options
    )
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.normal_(std=dim**-0.5)
    return MultiHeadAttention.from_torch(theirs), theirs


# Splitting and merging -----------------------------------------------------


@given(sizes, st.integers(0, 5), sizes, sizes)
def test_merge_undoes_split(batch, length, heads, head_dim):
    x = torch.randn(batch, length, heads * head_dim)
    split = split_heads(x, heads)
    assert split.shape == (batch, heads, length, head_dim)
    assert torch.equal(merge_heads(split), x)


@given(sizes, sizes, sizes, sizes)
def test_split_equals_slices(batch, length, heads, head_dim):
    x = torch.randn(batch, length, heads * head_dim)
    for h, part in enumerate(split_heads(x, heads).unbind(1)):
        own = slice(h * head_dim, (h + 1) * head_dim)
        assert torch.equal(part, x[..., own])


def test_split_copies_nothing_and_takes_any_batch():
    x = torch.randn(2, 3, 5, 8)
    split = split_heads(x, 4)
    assert split.shape == (2, 3, 4, 5, 2)
    assert split.data_ptr() == x.data_ptr()
    assert split_heads(x[0, 0], 4).shape == (4, 5, 2)
    turned = x.transpose(1, 2)
    assert torch.equal(merge_heads(split_heads(turned, 2)), turned)


def test_plain_view_is_something_else():
    x = torch.arange(12.0).view(1, 3, 4)
    wrong = x.view(1, 2, 3, 2)
    assert wrong.shape == split_heads(x, 2).shape
    assert not torch.equal(wrong, split_heads(x, 2))


@pytest.mark.parametrize("heads", [0, -1, 3, 16])
def test_heads_have_to_divide_dim(heads):
    with pytest.raises(
        ValueError, match=f"heads: .*divides dim 8, got {heads}"
    ):
        split_heads(torch.ones(1, 2, 8), heads)
    with pytest.raises(
        ValueError, match=f"heads: .*divides dim 8, got {heads}"
    ):
        MultiHeadAttention(8, heads)


def test_too_few_dimensions_are_named(own_errors):
    with pytest.raises(ValueError, match=r"x: .*\(4,\)"):
        split_heads(torch.ones(4), 2)
    with pytest.raises(ValueError, match=r"x: .*\(2, 3\)"):
        merge_heads(torch.ones(2, 3))


# The same as torch's layer -------------------------------------------------


def torch_mask(mask, heads, batch, q, k):
    """Write our mask as torch's layer wants it."""
    mask = mask.unsqueeze(1) if mask.dim() == 3 else mask
    return ~mask.expand(batch, heads, q, k).flatten(0, 1)


def masks(q, k):
    """Masks of every shape, each query allowed at least one key."""
    yield None
    for shape in [(q, k), (1, k), (2, q, k), (2, 1, k), (2, 3, q, k)]:
        mask = torch.rand(shape) < 0.6
        mask[..., 0] = True
        yield mask


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("form", ["self", "cross", "apart"])
def test_equals_torch_in_value_and_gradient(form, bias, dtype, device):
    if "mps" in device and dtype == torch.float64:
        pytest.skip("MPS has no float64")
    k = 4 if form == "self" else 6
    for mask in masks(4, k):
        ours, theirs = pair(dtype=dtype, device=device, bias=bias)
        inputs = [random(2, 4, 12, dtype=dtype, device=device, grad=True)]
        if form != "self":
            inputs += [random(2, k, 12, dtype=dtype, device=device, grad=True)]
        if form == "apart":
            inputs += [random(2, k, 12, dtype=dtype, device=device, grad=True)]
        all_three = [inputs[0], inputs[min(1, len(inputs) - 1)], inputs[-1]]
        if mask is not None:
            mask = mask.to(device)
            blocked = torch_mask(mask, 3, 2, 4, k)
        expected, expected_weights = theirs(
            *all_three,
            attn_mask=None if mask is None else blocked,
            average_attn_weights=False,
        )
        close = TOLERANCE[dtype]
        fused, nothing = ours(*inputs, mask=mask)
        output, weights = ours(*inputs, mask=mask, need_weights=True)
        assert nothing is None
        torch.testing.assert_close(fused, expected, **close)
        torch.testing.assert_close(output, expected, **close)
        torch.testing.assert_close(weights, expected_weights, **close)
        direction = torch.randn_like(expected)
        wanted = torch.autograd.grad(
            (expected * direction).sum(), [*inputs, *theirs.parameters()]
        )
        # A gradient sums many terms: in bfloat16 it is compared as a whole.
        for result in (fused, output):
            found = torch.autograd.grad(
                (result * direction).sum(), [*inputs, *ours.parameters()]
            )
            for mine, torchs in zip(found, wanted):
                if dtype == torch.bfloat16:
                    assert (mine - torchs).norm() <= 0.05 * torchs.norm()
                else:
                    torch.testing.assert_close(mine, torchs, **close)


def test_padding_mask_equals_torchs_key_padding_mask():
    ours, theirs = pair()
    x = random(3, 5, 12)
    real = padding_mask(torch.tensor([5, 2, 1]), 5)
    output, _ = ours(x, mask=real[:, None, :])
    expected, _ = theirs(x, x, x, key_padding_mask=~real)
    torch.testing.assert_close(output, expected)


def test_weights_travel_to_torch_and_back():
    for bias in (True, False):
        ours = (
            MultiHeadAttention(8, 2, bias=bias, dropout=0.25).double().eval()
        )
        theirs = ours.to_torch()
        back = MultiHeadAttention.from_torch(theirs)
        assert theirs.batch_first and not theirs.training
        assert theirs.dropout == back.dropout == 0.25
        assert theirs.in_proj_weight.dtype == torch.float64
        for name, mine in ours.state_dict().items():
            assert torch.equal(mine, back.state_dict()[name])
        theirs.in_proj_weight.data.zero_()  # copies, not shared
        assert ours.project_in.weight.abs().sum() > 0


@pytest.mark.parametrize(
    "options, words",
    [
        ({"kdim": 4}, "kdim and vdim 8.*got 4 and 8"),
        ({"vdim": 6}, "kdim and vdim 8.*got 8 and 6"),
        ({"add_bias_kv": True}, "add_bias_kv.*got True and False"),
        ({"add_zero_attn": True}, "add_zero_attn.*got False and True"),
    ],
)
def test_what_ours_has_not_is_refused(options, words):
    with pytest.raises(ValueError, match="theirs: .*" + words):
        MultiHeadAttention.from_torch(nn.MultiheadAttention(8, 2, **options))


def test_starts_as_torchs_layer_does():
    torch.manual_seed(3)
    ours = MultiHeadAttention(64, 4)
    limit = (6 / (64 + 3 * 64)) ** 0.5  # Glorot and Bengio (2010)
    assert ours.project_in.weight.abs().max() <= limit
    assert ours.project_in.weight.abs().max() > 0.98 * limit
    assert not ours.project_in.bias.any() and not ours.project_out.bias.any()


# Properties ----------------------------------------------------------------


@given(sizes, sizes, sizes, st.sampled_from([1, 2, 3, 6]))
@settings(deadline=None)
def test_equals_a_loop_over_heads(batch, q, k, heads):
    layer = MultiHeadAttention(6, heads).double()
    x, memory = random(batch, q, 6), random(batch, k, 6)
    w, b = layer.project_in.weight, layer.project_in.bias
    wq, wk, wv = w.chunk(3)
    bq, bk, bv = b.chunk(3)
    size, parts = 6 // heads, []
    for h in range(heads):
        own = slice(h * size, (h + 1) * size)
        part, _ = scaled_dot_product_attention(
            x @ wq[own].T + bq[own],
            memory @ wk[own].T + bk[own],
            memory @ wv[own].T + bv[own],
        )
        parts.append(part)
    expected = layer.project_out(torch.cat(parts, -1))
    torch.testing.assert_close(layer(x, memory)[0], expected)


@given(st.permutations(range(5)))
@settings(deadline=None)
def test_self_attention_follows_a_permutation(order):
    layer, x = MultiHeadAttention(6, 2).double(), random(2, 5, 6)
    order = torch.tensor(order)
    shuffled, _ = layer(x[:, order])
    torch.testing.assert_close(shuffled, layer(x)[0][:, order])


def test_each_head_shares_out_one():
    layer = MultiHeadAttention(8, 4).double()
    _, weights = layer(random(2, 3, 8), random(2, 5, 8), need_weights=True)
    assert weights.shape == (2, 4, 3, 5)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 4, 3).double())
    assert not torch.allclose(weights[:, 0], weights[:, 1])


@pytest.mark.parametrize("need_weights", [False, True])
def test_causal_mask_lets_no_gradient_from_the_future(need_weights):
    layer, x = MultiHeadAttention(8, 2).double(), random(1, 5, 8, grad=True)
    output, _ = layer(x, mask=causal_mask(5), need_weights=need_weights)
    for i in range(5):
        (gradient,) = torch.autograd.grad(
            output[0, i].sum(), x, retain_graph=True
        )
        assert not gradient[0, i + 1 :].any()
        assert gradient[0, : i + 1].abs().sum(-1).all()


@pytest.mark.parametrize("need_weights", [False, True])
def test_padding_content_does_not_matter(need_weights):
    layer, x = MultiHeadAttention(8, 2).double(), random(2, 5, 8)
    real = padding_mask(torch.tensor([3, 5]), 5)
    other = torch.where(real[..., None], x, 7 * random(2, 5, 8))
    options = {"mask": real[:, None, :], "need_weights": need_weights}
    one, two = layer(x, x, **options)[0], layer(x, other, **options)[0]
    torch.testing.assert_close(one, two)


def test_parameters_do_not_depend_on_heads():
    counts = {
        sum(p.numel() for p in MultiHeadAttention(24, heads).parameters())
        for heads in (1, 2, 3, 8, 24)
    }
    assert counts == {4 * 24 * 24 + 4 * 24}


# Edges ---------------------------------------------------------------------


@pytest.mark.parametrize("need_weights", [False, True])
def test_a_query_that_may_attend_to_nothing(need_weights, device):
    layer = MultiHeadAttention(8, 2).to(device)
    nn.init.normal_(layer.project_out.bias)
    x = random(2, 3, 8, dtype=torch.float32, device=device, grad=True)
    mask = torch.ones(2, 3, 3, dtype=torch.bool, device=device)
    mask[0, 1] = False
    output, weights = layer(x, mask=mask, need_weights=need_weights)
    torch.testing.assert_close(output[0, 1], layer.project_out.bias)
    if need_weights:
        assert not weights[0, :, 1].any()
    output.sum().backward()
    assert x.grad.isfinite().all()
    assert all(p.grad.isfinite().all() for p in layer.parameters())


@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("batch, q, k", [(0, 3, 4), (1, 1, 1), (2, 3, 0)])
def test_small_and_empty_inputs(batch, q, k, need_weights):
    layer = MultiHeadAttention(8, 2)
    output, weights = layer(
        torch.randn(batch, q, 8),
        torch.randn(batch, k, 8),
        need_weights=need_weights,
    )
    assert output.shape == (batch, q, 8) and output.isfinite().all()
    assert weights is None or weights.shape == (batch, 2, q, k)


def test_input_that_is_not_contiguous():
    layer = MultiHeadAttention(8, 2).double()
    x = random(5, 2, 8).transpose(0, 1)
    torch.testing.assert_close(layer(x)[0], layer(x.contiguous())[0])


def test_huge_scores_stay_finite():
    layer = MultiHeadAttention(8, 2)
    for need_weights in (False, True):
        output, _ = layer(
            1e4 * torch.randn(2, 3, 8), need_weights=need_weights
        )
        assert output.isfinite().all()


@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("need_weights", [False, True])
def test_nan_in_is_nan_out(need_weights, dropout):
    x = torch.ones(2, 2, 8)
    x[0, 1, 3] = float("nan")
    layer = MultiHeadAttention(8, 2, dropout=dropout)
    output, _ = layer(x, need_weights=need_weights)
    assert output[0].isnan().all() and output[1].isfinite().all()


# torch's own tools work on it ----------------------------------------------


@pytest.mark.parametrize("training", [False, True])
def test_is_causal_equals_torchs_layer_and_the_mask(training):
    layer = MultiHeadAttention(8, 2, dropout=0.2).double().train(training)
    x, mask = random(2, 5, 8, grad=True), causal_mask(5)
    theirs = layer.to_torch()
    calls = [
        lambda: layer(x, is_causal=True),
        lambda: layer(x, is_causal=True, need_weights=True),
        lambda: layer(x, mask=mask),
        lambda: theirs(
            x, x, x, attn_mask=~mask, is_causal=True, need_weights=False
        ),
    ]
    if training:  # torch's kernel draws otherwise
        calls.pop()
    outputs = []
    for call in calls:
        torch.manual_seed(3)
        outputs.append(call()[0])
    for output in outputs[1:]:
        torch.testing.assert_close(output, outputs[0])


@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_vmap_and_the_meta_device(need_weights):
    layer, x = MultiHeadAttention(8, 2).double(), random(3, 2, 5, 8)

    def one(x):
        return layer(x, is_causal=True, need_weights=need_weights)[0]

    torch.testing.assert_close(
        torch.vmap(one)(x), torch.stack([one(row) for row in x])
    )
    output, _ = layer.to("meta")(x[0].to("meta"), need_weights=need_weights)
    assert output.is_meta and output.shape == (2, 5, 8)


def test_fake_tensors_make_fx_export_and_compile(own_errors):
    layer, x = MultiHeadAttention(8, 2).eval(), torch.randn(2, 5, 8)

    def call(x):
        return layer(x, is_causal=True)[0]

    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        assert call(mode.from_tensor(x)).shape == x.shape
    expected = call(x)
    exported = torch.export.export(layer, (x,), {"is_causal": True}).module()
    compiled = torch.compile(call, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(make_fx(call)(x)(x), expected)
    torch.testing.assert_close(exported(x, is_causal=True)[0], expected)
    torch.testing.assert_close(compiled(x), expected)


def test_autocast_computes_in_half_precision():
    layer, x = MultiHeadAttention(8, 2), torch.randn(1, 3, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output, _ = layer(x)
    assert output.dtype == torch.bfloat16
    torch.testing.assert_close(
        output.float(), layer(x)[0], rtol=0.05, atol=0.05
    )


@pytest.mark.parametrize(
    "change, words",
    [
        (
            {"query": torch.ones(2, 3, 6)},
            r"query: .*length, 8\), got \(2, 3, 6",
        ),
        ({"query": torch.ones(3, 8)}, r"query: .*got \(3, 8\)"),
        ({"query": torch.ones(())}, r"query: .*got \(\)"),
        (
            {"query": torch.ones(2, 3, 8).double()},
            "query: .*float32, got .*64",
        ),
        ({"key": torch.ones(1, 4, 8)}, "key: .*query's batch 2, got 1"),
        ({"key": torch.ones(2, 4, 7)}, r"key: .*got \(2, 4, 7\)"),
        ({"key": torch.ones(2, 4, 8).half()}, "key: .*float32, got .*16"),
        ({"value": torch.ones(2, 5, 8)}, "value: .*per key, 4, got 5"),
        ({"value": torch.ones(3, 4, 8)}, "value: .*batch 2, got 3"),
        ({"key": None}, "key: expected a tensor beside value, got None"),
        ({"mask": torch.ones(3, 4)}, "mask: .*boolean.*got torch.float32"),
        ({"mask": [[True]]}, "mask: .*boolean.*got list"),
        ({"mask": torch.ones(3, dtype=torch.bool)}, r"mask: .*got \(3,\)"),
        (
            {"mask": torch.ones(2, 4, dtype=torch.bool)},
            r"mask: .*\(2, 2, 3, 4\).*got \(2, 4\)",
        ),
        ({"mask": torch.ones(3, 3, 4, dtype=torch.bool)}, r"got \(3, 1, 3, 4"),
        (
            {"mask": torch.ones(1, 2, 2, 3, 4, dtype=torch.bool)},
            r"mask: .*got \(1, 2, 2, 3, 4\)",
        ),
    ],
)
def test_wrong_input_is_named(own_errors, change, words):
    right = {
        "query": torch.ones(2, 3, 8),
        "key": torch.ones(2, 4, 8),
        "value": torch.ones(2, 4, 8),
    }
    with pytest.raises(ValueError, match=words):
        MultiHeadAttention(8, 2)(**{**right, **change})


def test_another_device_is_named(own_errors):
    with pytest.raises(ValueError, match="query: .*device cpu, got meta"):
        MultiHeadAttention(8, 2)(torch.ones(1, 2, 8, device="meta"))


# Dropout -------------------------------------------------------------------


@pytest.mark.parametrize("dropout", [-0.1, 1.0, 2.0])
def test_dropout_is_a_share(dropout):
    with pytest.raises(ValueError, match="dropout: .*below 1"):
        MultiHeadAttention(8, 2, dropout=dropout)


def test_dropout_acts_in_training_only_and_keeps_the_mean():
    layer = MultiHeadAttention(8, 2, dropout=0.5).double()
    x = random(1, 4, 8)
    quiet, weights = layer.eval()(x, need_weights=True)
    assert torch.equal(layer(x, need_weights=True)[0], quiet)
    layer.train()
    noisy, reported = layer(x, need_weights=True)
    assert not torch.allclose(noisy, quiet)
    torch.testing.assert_close(reported, weights)  # those before dropout
    assert layer(x)[1] is None
    many, _ = layer(x.expand(20_000, -1, -1))
    torch.testing.assert_close(many.mean(0), quiet[0], rtol=0, atol=0.03)


def test_dropout_sets_its_share_of_weights_to_0():
    """One value of 1 at one key: a dropped weight shows as an output of 0."""
    layer = MultiHeadAttention(4, 2, bias=False, dropout=0.3).double()
    with torch.no_grad():
        layer.project_in.weight.zero_()[8:].copy_(torch.eye(4))
        layer.project_out.weight.copy_(torch.eye(4))
    x = torch.zeros(500, 8, 4, dtype=torch.float64)
    x[:, 0] = 1.0  # every key has the weight 1/8, only key 0 a value
    output, _ = layer.train()(x)
    kept = output != 0
    assert abs((~kept).double().mean().item() - 0.3) < 0.01
    expected = torch.full_like(output[kept], 1 / 8 / 0.7)
    torch.testing.assert_close(output[kept], expected)
    assert torch.equal(kept[..., 0], kept[..., 1])  # one draw a weight, and
    assert not torch.equal(kept[..., 0], kept[..., 2])  # another a head


# Cutting heads -------------------------------------------------------------


@given(st.sets(st.integers(0, 3)))
@settings(deadline=None)
def test_a_pruned_head_is_a_head_whose_output_columns_are_zero(heads):
    layer, x = MultiHeadAttention(8, 4).double(), random(2, 3, 8)
    other = copy.deepcopy(layer)
    with torch.no_grad():
        for h in heads:
            other.project_out.weight[:, 2 * h : 2 * h + 2] = 0
    found, weights = layer.prune_heads(heads)(x, need_weights=True)
    torch.testing.assert_close(found, other(x)[0])
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 4, 3).double())
    torch.testing.assert_close(layer(x)[0], found)
    whole = copy.deepcopy(layer).prune_heads([])
    assert whole.head_mask is None and layer.prune_heads(()) is layer
    assert torch.equal(layer(x)[0], whole(x)[0])


def test_the_head_mask_is_no_part_of_the_saved_weights():
    layer = MultiHeadAttention(8, 4)
    before = layer.state_dict().keys()
    assert layer.prune_heads([0, 2, 3]).state_dict().keys() == before
    assert layer.head_mask.tolist() == [0, 1, 0, 0]
    MultiHeadAttention(8, 4).load_state_dict(layer.state_dict())


def test_a_head_masks_gradient_tells_what_a_head_is_worth():
    layer, x = MultiHeadAttention(8, 2).double(), random(1, 3, 8)
    whole = layer(x)[0].sum()
    head_mask = torch.ones(2, dtype=torch.float64, requires_grad=True)
    layer.head_mask = head_mask
    layer(x)[0].sum().backward()
    # The output is linear in each factor: the gradient is the exact cost.
    for h in (0, 1):
        cost = whole - layer.prune_heads([h])(x)[0].sum()
        torch.testing.assert_close(head_mask.grad[h], cost.detach())


@pytest.mark.parametrize("heads", [[4], [-1], [0, 9], ["first"]])
def test_only_heads_that_are_there_can_be_pruned(own_errors, heads):
    with pytest.raises(ValueError, match="heads: expected heads from 0 to 3"):
        MultiHeadAttention(8, 4).prune_heads(heads)


# Views ---------------------------------------------------------------------


def board():
    """A board of 3 heads; a question is answered by the head of its number."""
    asked = []

    def look(example, on):
        asked.append((example, on))
        right = torch.full((3,), 0.5)
        right[on] = 1.0
        weights = torch.full((3, 4), 0.25)
        return View(weights, right, list("abcd"), ["one", "two", "three"])

    return head_board(look, heads=3, examples=5), asked


def test_head_board_starts_with_all_heads_on():
    explorer, asked = board()
    assert asked[0] == (1, [0, 1, 2])
    assert explorer.still.alt == (
        "Street 1, 3 of 3 heads on: 3 of 3 questions are answered right in "
        "more than 9 of 10 streets."
    )


def test_head_board_asks_again_when_a_head_is_cut():
    explorer, asked = board()
    explorer.controls["head_2"].value = False
    explorer.controls["street"].value = 4
    assert asked[-1] == (4, [0, 2])
    assert "Street 4, 2 of 3 heads on: 2 of 3" in explorer.caption.value
    for name in ("head_1", "head_3"):
        explorer.controls[name].value = False
    assert "0 of 3 heads on: 0 of 3" in explorer.caption.value


def test_readout_planes_marks_each_answer():
    answers = torch.tensor([[1, 1], [1, 0], [0, 1], [0, 0], [0, 0]])
    readout = torch.randn(5, 2)
    figure = readout_planes(
        {"one": (readout, answers), "two": (readout, answers)}
    )
    assert [len(ax.lines) for ax in figure.axes] == [4, 4]
    shown = [len(line.get_xdata()) for line in figure.axes[0].lines]
    assert shown == [1, 1, 1, 2]
    assert len(readout_planes({"one": (readout, answers)}).axes) == 1


# The lesson ----------------------------------------------------------------


def test_the_layer_that_the_lesson_builds_is_the_modules():
    source = Path(__file__).parents[1] / "notebooks" / "source"
    text = (source / "04_multi_head_attention.py").read_text("utf-8")
    cell = re.search(r"^class SmallMultiHead.*?(?=^# %%)", text, re.M | re.S)
    names = dict(globals())
    exec(cell.group(), names)
    small = names["SmallMultiHead"](8, 4).double()
    layer = MultiHeadAttention(8, 4).double()
    layer.load_state_dict(small.state_dict())
    x = random(2, 5, 8)
    torch.testing.assert_close(layer(x)[0], small(x))


def test_printed_layer_says_its_sizes():
    assert "dim=8, heads=2" in repr(MultiHeadAttention(8, 2))
