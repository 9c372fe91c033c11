"""Lesson 13's module and views: tiles, cache, groups, windows, costs."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from attn_course import efficient_attention as lesson
from attn_course.common.measuring import count_flops, peak_bytes
from attn_course.efficient_attention import CAUSAL, SlidingWindow, create_mask
from attn_course.multi_head_attention import MultiHeadAttention
from attn_course.scaled_dot_product import scaled_dot_product_attention
from attn_course.widgets import efficient_attention as views
from attn_course.widgets import explore
from tests.host_reads import HostReads

DOUBLE = torch.float64
FIVE = (2, 3, 2, 4, 5)  # two batches, heads, queries, keys
CLOSE = {
    torch.float64: {},
    torch.float32: {"rtol": 1e-4, "atol": 1e-5},
    torch.bfloat16: {"rtol": 0.05, "atol": 0.05},
}


def inputs(*shape, keys=None, values=None, dtype=DOUBLE, device="cpu"):
    *batch, q, d = shape
    keys = q if keys is None else keys
    sizes = (q, d), (keys, d), (keys, values or d)
    return [
        torch.randn(*batch, *size, dtype=dtype, device=device).requires_grad_()
        for size in sizes
    ]


# --- measuring ----------------------------------------------------------------


def test_measure_gives_time_memory_and_work():
    a, b = torch.randn(3, 5), torch.randn(5, 7)
    calls = {"ones": lambda: torch.ones(9), "product": lambda: a @ b}
    costs = lesson.measure(calls, repeats=2)
    assert list(costs) == ["ones", "product"]
    assert costs["ones"].peak == 36 and costs["ones"].flops == 0
    assert costs["product"].flops == 2 * 3 * 5 * 7
    assert all(cost.seconds >= 0 for cost in costs.values())
    with pytest.raises(ValueError, match="repeats"):
        lesson.measure(calls, repeats=0)


def test_the_first_call_warms_up_and_is_not_the_time():
    calls = []

    def busy_but_the_first_time():
        calls.append(sum(range(500_000 if calls else 1)))

    cost = lesson.measure({"busy": busy_but_the_first_time}, repeats=1)["busy"]
    assert cost.seconds > 0.001


@given(st.floats(-2, 3), st.floats(0.1, 10))
def test_fit_power_law_finds_the_power(power, factor):
    lengths = [3, 10, 50, 200]
    amounts = [factor * n**power for n in lengths]
    assert lesson.fit_power_law(lengths, amounts) == pytest.approx(
        power, abs=1e-9
    )


@pytest.mark.parametrize(
    "lengths, amounts",
    [
        ([1], [1]),
        ([1, 1], [1, 2]),
        ([1, 2], [1]),
        ([1, 2], [0, 1]),
        ([0, 2], [1, 1]),
    ],
)
def test_fit_power_law_refuses(lengths, amounts):
    with pytest.raises(ValueError, match="lengths"):
        lesson.fit_power_law(lengths, amounts)


# --- online softmax ------------------------------------------------------------


@settings(max_examples=40)
@given(
    st.lists(st.floats(-800, 800), min_size=1, max_size=12),
    st.integers(0, 12),
    st.integers(0, 2**20),
)
def test_any_cut_gives_the_softmax(numbers, cut, seed):
    torch.manual_seed(seed)
    scores = torch.tensor([numbers], dtype=DOUBLE)
    value = torch.randn(len(numbers), 3, dtype=DOUBLE)
    wanted = torch.softmax(scores, dim=-1) @ value
    cut = min(cut, len(numbers))
    parts = [
        lesson.update(None, scores[:, part], value[part])
        for part in (slice(0, cut), slice(cut, None))
        if scores[:, part].numel()
    ]
    running = None
    for j in range(len(numbers)):
        running = lesson.update(
            running, scores[:, j : j + 1], value[j : j + 1]
        )
    torch.testing.assert_close(lesson.finalize(running), wanted)
    if len(parts) == 2:
        for pair in (parts, parts[::-1]):
            torch.testing.assert_close(
                lesson.finalize(lesson.merge(*pair)), wanted
            )


def test_forbidden_keys_leave_no_nan():
    scores = torch.full((2, 3), -math.inf, dtype=DOUBLE)
    value = torch.randn(3, 2, dtype=DOUBLE)
    empty = lesson.update(None, scores, value)
    assert not lesson.finalize(empty).any()
    both = lesson.update(empty, torch.zeros(2, 3, dtype=DOUBLE), value)
    wanted = value.mean(dim=0).expand(2, 2)
    torch.testing.assert_close(lesson.finalize(both), wanted)
    torch.testing.assert_close(
        lesson.finalize(lesson.merge(both, empty)), wanted
    )


# --- tiles -----------------------------------------------------------------------


@settings(max_examples=30)
@given(
    st.integers(1, 20),
    st.integers(1, 20),
    st.integers(1, 7),
    st.integers(1, 9),
    st.booleans(),
    st.integers(0, 2**20),
)
def test_tiles_equal_lesson_02(q, k, rows, columns, masked, seed):
    torch.manual_seed(seed)
    leaves = inputs(2, q, 3, keys=k, values=5)
    mask = torch.rand(2, q, k) > 0.6 if masked else None
    ours = lesson.tiled_attention(*leaves, mask, block_size=(rows, columns))
    theirs, _ = scaled_dot_product_attention(*leaves, mask)
    torch.testing.assert_close(ours, theirs)
    slope = torch.randn_like(ours)
    for a, b in zip(
        torch.autograd.grad(ours, leaves, slope),
        torch.autograd.grad(theirs, leaves, slope),
    ):
        torch.testing.assert_close(a, b)
        assert a.isfinite().all()


@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("shape", [(1, 30), (37, 37), (1, 1, 37, 37)])
def test_masks_rules_and_precisions(dtype, shape, device):
    if "mps" in device and dtype == DOUBLE:
        pytest.skip("no float64")
    leaves = inputs(2, 3, 37, 8, keys=shape[-1], dtype=dtype, device=device)
    mask = torch.rand(shape, device=device) > 0.4
    if shape[-2] > 1:
        mask[..., 5, :] = False
    mask_mod = SlidingWindow(9, 4, global_tokens=2)
    whole = mask & create_mask(mask_mod, 37, shape[-1], device=device)
    ours = lesson.tiled_attention(
        *leaves, mask, mask_mod=mask_mod, block_size=(8, 16)
    )
    theirs, _ = scaled_dot_product_attention(*leaves, whole)
    assert ours.dtype == dtype
    torch.testing.assert_close(ours, theirs, **CLOSE[dtype])
    slope = torch.randn_like(ours)
    for a, b in zip(
        torch.autograd.grad(ours, leaves, slope),
        torch.autograd.grad(theirs, leaves, slope),
    ):
        torch.testing.assert_close(a, b, **CLOSE[dtype])


@pytest.mark.parametrize(
    "shape", list(itertools.product(*((1, n) for n in FIVE)))
)
def test_partly_broadcast_masks_on_five_dimensions(shape):
    *batch, q, k = FIVE
    leaves = inputs(*batch, q, 3, keys=k)
    mask = torch.rand(shape) > 0.4
    ours = lesson.tiled_attention(*leaves, mask, block_size=(2, 3))
    scores = leaves[0] @ leaves[1].transpose(-2, -1) / math.sqrt(3)
    powers = scores.exp() * mask
    total = powers.sum(dim=-1, keepdim=True)
    weights = powers / total.masked_fill(total == 0, 1)
    torch.testing.assert_close(ours, weights @ leaves[2])


def test_tiles_do_not_read_values_back():
    leaves = inputs(2, 12, 4)
    mask = torch.rand(12, 12) > 0.4

    def every_third(i, j):
        return (i - j) % 3 == 0

    for mask_mod in (None, SlidingWindow(5, 1, 2), every_third):
        with HostReads() as reads:
            ours = lesson.tiled_attention(
                *leaves, mask, mask_mod=mask_mod, block_size=(5, 4)
            )
            torch.autograd.grad(ours.sum(), leaves)
        assert reads.count == 0


def test_gradients_pass_torchs_own_check():
    leaves = inputs(2, 5, 3, keys=6)
    assert torch.autograd.gradcheck(
        lambda *x: lesson.tiled_attention(
            *x, mask_mod=SlidingWindow(2, 1), block_size=(2, 3)
        ),
        leaves,
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_tiles_of_half_precision_compute_in_float32(dtype):
    leaves = inputs(1, 600, 16, dtype=dtype)
    exact = [x.detach().double().requires_grad_() for x in leaves]
    results = []
    for x in (leaves, exact):
        output = lesson.tiled_attention(*x, block_size=(100, 100))
        output.sum().backward()
        results.append([output, *(leaf.grad for leaf in x)])
    rounding = 2 * torch.finfo(dtype).eps
    for ours, wanted in zip(*results):
        assert ours.dtype == dtype
        error = (ours.double() - wanted).abs().max()
        assert error < rounding * wanted.abs().max()


def test_large_scores_and_another_scale():
    leaves = [1e3 * x.detach() for x in inputs(1, 6, 4)]
    ours = lesson.tiled_attention(*leaves, scale=0.5, block_size=(2, 2))
    theirs, _ = scaled_dot_product_attention(*leaves, scale=0.5)
    torch.testing.assert_close(ours, theirs)


def test_any_function_of_positions_is_a_mask():
    leaves = inputs(2, 12, 4)

    def every_third(i, j):
        return (i - j) % 3 == 0

    ours = lesson.tiled_attention(
        *leaves, mask_mod=every_third, block_size=(5, 4)
    )
    theirs, _ = scaled_dot_product_attention(
        *leaves, create_mask(every_third, 12)
    )
    torch.testing.assert_close(ours, theirs)


def test_memory_is_linear_and_far_below_the_square():
    def peak(n):
        leaves = inputs(1, n, 16, dtype=torch.float32)
        return peak_bytes(
            lambda: torch.autograd.grad(
                lesson.tiled_attention(*leaves).sum(), leaves
            )
        )

    peaks = {n: peak(n) for n in (1024, 2048, 4096)}
    assert peaks[4096] < 2 * peaks[2048] < 4 * peaks[1024]
    assert peaks[4096] < 4096**2 * 4 / 16


@pytest.mark.parametrize(
    "change, words",
    [
        ({"block_size": (0, 4)}, "block_size: expected two numbers"),
        ({"block_size": (4,)}, "block_size: expected two numbers"),
        ({"scale": math.nan}, "scale: expected a finite"),
        ({"mask": torch.ones(5, 5)}, "mask: expected a boolean"),
        ({"mask": torch.ones(4, 5, dtype=torch.bool)}, "broadcasts to"),
    ],
)
def test_tiles_refuse(change, words, own_errors):
    q = torch.randn(1, 5, 4)
    with pytest.raises(ValueError, match=words):
        lesson.tiled_attention(q, q, q, **change)


def test_tiles_refuse_other_shapes(own_errors):
    q = torch.randn(1, 5, 4)
    with pytest.raises(ValueError, match="key"):
        lesson.tiled_attention(q, q[..., :3], q)
    with pytest.raises(ValueError, match="query"):
        lesson.tiled_attention(q[..., :0], q[..., :0], q)


# --- windows ---------------------------------------------------------------------


@settings(max_examples=60)
@given(
    st.integers(0, 25),
    st.integers(0, 25),
    st.integers(0, 6),
    st.integers(1, 23),
    st.integers(1, 23),
)
def test_a_tile_is_known_without_looking(
    before, after, global_tokens, rows, columns
):
    mask_mod = SlidingWindow(before, after, global_tokens)
    mask = create_mask(mask_mod, 23)
    for i in range(0, 23, rows):
        for j in range(0, 23, columns):
            block = (
                slice(i, min(23, i + rows)),
                slice(j, min(23, j + columns)),
            )
            part, known = mask[block], mask_mod.allows_block(*block)
            assert known is None or (part.all() if known else not part.any())


def test_window_by_hand():
    expected = torch.tensor(
        [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 1, 1]]
    ).bool()
    assert torch.equal(
        create_mask(SlidingWindow(1, global_tokens=1), 4), expected
    )
    both = create_mask(SlidingWindow(0, 1, global_tokens=1), 4)
    assert both[0].all() and both[:, 0].all()
    assert both[1].tolist() == [True, True, True, False]
    assert torch.equal(create_mask(CAUSAL, 7), torch.ones(7, 7).tril().bool())


def test_window_refuses():
    for name in ("before", "after", "global_tokens"):
        with pytest.raises(ValueError, match=name):
            SlidingWindow(**{"before": 1, name: -1})


def test_tiles_outside_the_window_cost_nothing():
    q = torch.randn(1, 4096, 8)

    def flops(mask_mod):
        return count_flops(
            lambda: lesson.tiled_attention(
                q, q, q, mask_mod=mask_mod, block_size=(64, 64)
            )
        )

    assert (
        flops(SlidingWindow(63)) == 127 * 64 * 64 * 4 * 8
    )  # two tiles a row, one less
    assert flops(CAUSAL) > 15 * flops(SlidingWindow(63))


# --- cache and groups --------------------------------------------------------------


def test_cache_keeps_and_refuses(own_errors):
    cache = lesson.KeyValueCache(2, 3, 5, 4, dtype=DOUBLE)
    key, value = torch.randn(2, 2, 3, 7, 4, dtype=DOUBLE)
    assert cache.nbytes == 2 * 2 * 3 * 5 * 4 * 8
    cache.append(key[:, :, :3], value[:, :, :3])
    k, v = cache.append(key[:, :, 3:4], value[:, :, 3:4])
    assert torch.equal(k, key[:, :, :4]) and torch.equal(v, value[:, :, :4])
    with pytest.raises(ValueError, match="at most 1 new"):
        cache.append(key[:, :, :2], value[:, :, :2])
    with pytest.raises(ValueError, match="value: expected shape"):
        cache.append(key[:, :, :1], value[:, :1, :1])
    with pytest.raises(ValueError, match="1 or more"):
        lesson.KeyValueCache(1, 0, 5, 4)


@pytest.mark.parametrize("rolling", [False, True])
def test_a_cache_keeps_numbers_and_no_graph(rolling):
    cache = lesson.KeyValueCache(1, 2, 4, 3, rolling=rolling)
    key, value = torch.randn(2, 1, 2, 2, 3, requires_grad=True)
    k, v = cache.append(key, value)
    assert not (k.requires_grad or v.requires_grad)
    assert not (cache.keys.requires_grad or cache.values.requires_grad)
    key.data.zero_()
    assert k.abs().min() > 0  # a copy


def test_rolling_cache_keeps_the_last():
    cache = lesson.KeyValueCache(1, 1, 3, 1, rolling=True)
    x = torch.arange(8.0).view(1, 1, 8, 1)
    for place in range(8):
        k, _ = cache.append(x[:, :, place : place + 1], x[:, :, :1])
        expected = set(range(max(0, place - 2), place + 1))
        assert set(k.flatten().tolist()) == expected
    long = lesson.KeyValueCache(1, 1, 3, 1, rolling=True)
    k, _ = long.append(x, x)
    assert set(k.flatten().tolist()) == {5, 6, 7}


def test_cache_bytes():
    assert lesson.cache_bytes(32, 32, 128, 1) == 512 * 1024
    assert lesson.cache_bytes(2, 1, 1, 0) == 0
    with pytest.raises(ValueError, match="layers"):
        lesson.cache_bytes(-1, 1, 1, 1)


@pytest.mark.parametrize("kv_heads", [1, 2, 4, 8])
def test_groups_equal_copied_keys_and_torch(kv_heads):
    layer = lesson.GroupedQueryAttention(16, 8, kv_heads).double()
    x = torch.randn(2, 6, 16, dtype=DOUBLE)
    q, k, v = layer.project(x, torch.arange(6))
    theirs = F.scaled_dot_product_attention(
        q, k, v, is_causal=True, enable_gqa=True
    )
    torch.testing.assert_close(layer(x), layer.mix(theirs))


def test_all_heads_is_lesson_04_and_one_is_the_mean():
    old = MultiHeadAttention(16, 4).double()
    x = torch.randn(2, 6, 16, dtype=DOUBLE)
    with torch.no_grad():
        for p in old.parameters():
            p.normal_()
    same = lesson.GroupedQueryAttention.from_multi_head(old, 4)
    causal = create_mask(CAUSAL, 6)
    torch.testing.assert_close(same(x), old(x, mask=causal)[0])
    one = lesson.GroupedQueryAttention.from_multi_head(old, 1)
    wanted = old.project_in.weight[16:32].unflatten(0, (4, 4)).mean(dim=0)
    torch.testing.assert_close(one.project_key.weight, wanted)
    plain = MultiHeadAttention(16, 4, bias=False)
    assert (
        lesson.GroupedQueryAttention.from_multi_head(plain, 2).project_key.bias
        is None
    )


@pytest.mark.parametrize(
    "arguments, words",
    [
        ((10, 3), "heads: expected a number that divides"),
        ((12, 4, 3), "kv_heads"),
        ((12, 4, 0), "kv_heads"),
    ],
)
def test_groups_refuse(arguments, words):
    with pytest.raises(ValueError, match=words):
        lesson.GroupedQueryAttention(*arguments)
    with pytest.raises(ValueError, match="window"):
        lesson.GroupedQueryAttention(8, 2, window=0)


def test_layer_refuses_other_inputs(own_errors):
    layer = lesson.GroupedQueryAttention(8, 2, window=3)
    with pytest.raises(ValueError, match="x: expected shape"):
        layer(torch.randn(1, 4, 7))
    cache = layer.new_cache(1, 9)
    layer(torch.randn(1, 2, 8), cache)
    with pytest.raises(ValueError, match="one position at a time"):
        layer(torch.randn(1, 2, 8), cache)


# --- decoding -------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("kv_heads", [8, 2, 1])
def test_cached_tokens_are_the_recomputed_ones(dtype, kv_heads):
    model = lesson.DecoderLM(40, 32, 8, 2, kv_heads).to(dtype).eval()
    prompt = torch.randint(40, (2, 3))
    cached, anew, by_rows = (
        lesson.generate(model, prompt, 15, mode=mode)
        for mode in ("cached", "recomputed", "by rows")
    )
    assert torch.equal(cached.tokens[:, :3], prompt)
    assert torch.equal(cached.tokens, anew.tokens)
    torch.testing.assert_close(cached.logits, anew.logits, **CLOSE[dtype])
    assert torch.equal(cached.logits, by_rows.logits)  # bit for bit


@pytest.mark.parametrize("length", [1, 4, 9])
def test_rolling_cache_equals_the_window(length):
    model = lesson.DecoderLM(40, 16, 4, 2, 2, window=4).double().eval()
    prompt = torch.randint(40, (1, length))
    caches = model.new_caches(1, 99)
    assert caches[0].max_length == 4
    rolling = lesson.generate(model, prompt, 12, caches=caches)
    for mode in ("recomputed", "by rows"):
        other = lesson.generate(model, prompt, 12, mode=mode)
        assert torch.equal(rolling.tokens, other.tokens)
        torch.testing.assert_close(rolling.logits, other.logits)
    whole = model.new_caches(1, 99)
    torch.testing.assert_close(model(prompt, whole), model(prompt))
    after = rolling.tokens[:, length : length + 1]
    torch.testing.assert_close(model(after, whole)[:, 0], rolling.logits[:, 1])


def test_decoder_is_causal():
    model = lesson.DecoderLM(20, 16, 4, 2, 2).double().eval()
    one = torch.randint(20, (1, 8))
    other = one.clone()
    other[:, 5:] = (other[:, 5:] + 1) % 20
    a, b = model(one), model(other)
    torch.testing.assert_close(a[:, :5], b[:, :5])
    assert not torch.allclose(a[:, 5:], b[:, 5:])


@pytest.mark.parametrize("window", [None, 3])
def test_decoder_reads_nothing_back(window):
    model = lesson.DecoderLM(20, 16, 4, 2, 2, window=window)
    tokens = torch.randint(20, (2, 8))
    with HostReads() as reads:
        model(tokens).logsumexp(dim=-1).sum().backward()
        lesson.generate(model, tokens, 4)
    assert reads.count == 0


def test_every_parameter_of_the_decoder_learns():
    model = lesson.DecoderLM(20, 16, 4, 2, 2)
    tokens = torch.randint(20, (2, 8))
    F.cross_entropy(model(tokens)[:, :-1].mT, tokens[:, 1:]).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.abs().max() > 1e-7, name


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_a_prompt_in_two_parts_is_read_like_one(kv_heads):
    layer = lesson.GroupedQueryAttention(16, 4, kv_heads).double()
    x = torch.randn(2, 7, 16, dtype=DOUBLE)
    cache = layer.new_cache(2, 7)
    parts = [layer(part, cache) for part in (x[:, :3], x[:, 3:])]
    torch.testing.assert_close(torch.cat(parts, dim=1), layer(x))


def test_generate_refuses():
    model = lesson.DecoderLM(5, 8, 2, 1)
    prompt = torch.zeros(1, 1, dtype=torch.long)
    with pytest.raises(ValueError, match="mode"):
        lesson.generate(model, prompt, 1, mode="fast")
    with pytest.raises(ValueError, match="steps"):
        lesson.generate(model, prompt, 0)
    with pytest.raises(ValueError, match="prompt"):
        lesson.generate(model, prompt[:, :0], 1)
    with pytest.raises(ValueError, match="layers"):
        lesson.DecoderLM(5, 8, 2, 0)


# --- linear attention ------------------------------------------------------------


@settings(max_examples=30)
@given(st.integers(1, 20), st.integers(1, 8), st.integers(0, 2**20))
def test_linear_loop_matrix_state_chunks(length, chunk, seed):
    torch.manual_seed(seed)
    q, k, v = inputs(2, length, 3, values=4)
    f, g = F.elu(q) + 1, F.elu(k) + 1
    weights = (f @ g.transpose(-2, -1)).tril()
    matrix = weights / weights.sum(dim=-1, keepdim=True) @ v
    ours = lesson.linear_attention(q, k, v, causal=True, chunk=chunk)
    torch.testing.assert_close(ours, matrix)
    state = lesson.LinearState()
    rows = [state.step(q[:, i], k[:, i], v[:, i]) for i in range(length)]
    torch.testing.assert_close(torch.stack(rows, dim=1), matrix)
    assert state.nbytes == 8 * 2 * (3 * 4 + 3)
    full = lesson.linear_attention(q, k, v)
    torch.testing.assert_close(full[:, -1], ours[:, -1])


HALF = (torch.float16, torch.bfloat16)


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("causal", [False, True])
def test_linear_sums_of_half_precision_neither_overflow_nor_stop(
    dtype, causal, device
):
    ones = torch.ones(1, 256, 64, dtype=dtype, device=device)
    found = lesson.linear_attention(ones, ones, ones, causal=causal)
    assert found.dtype == dtype and torch.equal(found, ones)
    x, v = torch.randn(2, 1, 2000, 64, device=device).to(dtype)
    ours = lesson.linear_attention(x, x, v, causal=causal)
    exact = lesson.linear_attention(
        *(y.cpu().double() for y in (x, x, v)), causal=causal
    )
    torch.testing.assert_close(
        ours.cpu().double(), exact, rtol=0.02, atol=0.001
    )


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("low", [-20.0, -80.0, -1e4])
def test_queries_far_below_zero_still_find_something(low, causal):
    ones = torch.ones(1, 3, 4)
    query = torch.full((1, 3, 4), low)
    found = lesson.linear_attention(query, ones, ones, causal=causal)
    torch.testing.assert_close(found, ones)
    state = lesson.LinearState()
    row = state.step(query[:, 0], ones[:, 0], ones[:, 0])
    torch.testing.assert_close(row, ones[:, 0])
    low_keys = torch.full((1, 3, 4), -60.0)
    found = lesson.linear_attention(query, low_keys, ones, causal=causal)
    torch.testing.assert_close(found, ones)


def linear_by_logs(query, key, value, causal):
    """Linear attention with logarithms of weights: nothing vanishes."""
    q, k = (
        torch.where(x > 0, x.clamp(min=0).log1p(), x)
        for x in (query.double(), key.double())
    )
    logs = (q[..., :, None, :] + k[..., None, :, :]).logsumexp(-1)
    if causal:
        hidden = torch.ones_like(logs, dtype=torch.bool).triu(1)
        logs = logs.masked_fill(hidden, -torch.inf)
    return (logs.softmax(-1) @ value.double()).float()


LOW = {
    "all as low": [-300.0] * 7,
    "so low that no exponent holds it": [-1e30] * 7,
    "rising": [-1e4, -300, -299, -200, -100, 0, 0],
    "falling": [0.0, -1, -90, -100, -200, -300, -1e4],
    "first alone low": [-200.0, 0, 0, 0, 0, 0, 0],
    "usual": [0.0] * 7,
}


@pytest.mark.parametrize("levels", LOW)
@pytest.mark.parametrize("chunk", [None, 1, 3, 7])
def test_keys_far_below_zero_are_still_weighed(levels, chunk):
    query, key, value = torch.randn(3, 2, 7, 4)
    key = key + torch.tensor(LOW[levels])[:, None]
    causal = chunk is not None
    found = lesson.linear_attention(
        query, key, value, causal=causal, chunk=chunk or 1
    )
    expected = linear_by_logs(query, key, value, causal)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    if causal:
        state = lesson.LinearState()
        rows = zip(*(x.unbind(-2) for x in (query, key, value)))
        steps = torch.stack([state.step(*row) for row in rows], dim=-2)
        torch.testing.assert_close(steps, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("causal", [False, True])
def test_gradients_of_keys_far_below_zero(causal):
    q, k, v = (x.detach().clone() for x in inputs(1, 5, 3))
    k -= torch.tensor([900.0, 890, 5, 0, 0], dtype=DOUBLE)[:, None]
    assert torch.autograd.gradcheck(
        lambda *x: lesson.linear_attention(*x, causal=causal, chunk=2),
        [x.requires_grad_() for x in (q, k, v)],
    )


@pytest.mark.parametrize("dtype", HALF)
def test_a_state_of_half_precision_takes_in_thousands(dtype):
    state, one = lesson.LinearState(), torch.ones(1, dtype=dtype)
    for number in (1, 3):
        for _ in range(2000):
            output = state.step(one, one, number * one)
    assert output.dtype == dtype and output.item() == 2


def test_feature_map_is_elu_plus_one_with_its_slope():
    x = torch.linspace(-8, 8, 65, dtype=DOUBLE).requires_grad_()
    ours, theirs = lesson.elu_feature_map(x), F.elu(x) + 1
    torch.testing.assert_close(ours, theirs)
    slopes = (torch.autograd.grad(y.sum(), x)[0] for y in (ours, theirs))
    torch.testing.assert_close(*slopes)
    far = torch.tensor([-80.0, 1e30]).requires_grad_()
    (slope,) = torch.autograd.grad(lesson.elu_feature_map(far).sum(), far)
    torch.testing.assert_close(slope, torch.tensor([math.exp(-80), 1.0]))


def test_linear_gradients_pass_torchs_own_check():
    q, k, v = inputs(1, 5, 3)
    with torch.no_grad():
        q[:, 1] = -q[:, 1].abs() - 3  # raised before phi
    for causal in (False, True):
        assert torch.autograd.gradcheck(
            lambda *x, c=causal: lesson.linear_attention(
                *x, causal=c, chunk=2
            ),
            (q, k, v),
        )


def test_linear_refuses():
    q, k, v = inputs(1, 4, 3, keys=5)
    with pytest.raises(ValueError, match="as many as queries"):
        lesson.linear_attention(q, k, v, causal=True)
    with pytest.raises(ValueError, match="chunk"):
        lesson.linear_attention(q, k, v, chunk=0)


def test_pairs_are_drawn_anew_and_keys_differ():
    keys, values, order = lesson.associative_recall_batch(50, 6, 8, 3)
    assert all(len(set(row)) == 6 for row in keys.tolist())
    assert values.min() == 0 and values.max() == 2
    assert all(sorted(row) == list(range(6)) for row in order.tolist())
    assert len({tuple(row) for row in keys.tolist()}) > 40
    for count in (0, 9):
        with pytest.raises(ValueError, match="count"):
            lesson.associative_recall_batch(1, count, 8, 3)


@pytest.mark.parametrize("size", [None, 7])
@pytest.mark.parametrize("kind", ["softmax", "linear"])
def test_recall_weights_are_those_of_its_output(kind, size):
    model = lesson.AssociativeRecall(kind, 8, 3, 4, size).double()
    assert model.project_key.out_features == (size or 4)
    keys, values, _ = lesson.associative_recall_batch(2, 5, 8, 3)
    weights = model.weights(keys, keys)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 5, dtype=DOUBLE))
    mixed = model.output(weights @ model.value_table(values))
    torch.testing.assert_close(model(keys, values, keys), mixed)
    with pytest.raises(ValueError, match="kind"):
        lesson.AssociativeRecall("hard", 8, 3, 4)


# --- the calculator ----------------------------------------------------------------

A100 = lesson.ACCELERATORS["NVIDIA A100 80GB SXM"]
LLAMA = lesson.MODELS["Llama 3 8B"]


@pytest.mark.parametrize("size", lesson.MODELS.values(), ids=lambda m: m.name)
def test_sizes_give_the_count_in_the_name(size):
    number, unit = size.name.split()[-1][:-1], size.name[-1]
    said = float(number) * {"M": 1e6, "B": 1e9}[unit]
    assert size.parameters == pytest.approx(said, rel=0.04)
    assert size.source and size.heads % size.kv_heads == 0


def test_falcon_shares_one_table():
    """transformers ties it, so the table of words counts once."""
    falcon = lesson.MODELS["Falcon 7B"]
    assert falcon.parameters == pytest.approx(6.92e9, rel=1e-3)


def test_formula_counts_our_own_decoder():
    model = lesson.DecoderLM(50, 32, 4, 3, 2)
    size = lesson.ModelSize(
        "ours", 3, 32, 4, 2, 8, 128, 50, "here", gated=False
    )
    matrices = sum(p.numel() for p in model.parameters() if p.dim() == 2)
    assert size.parameters == matrices
    tokens = torch.zeros(1, 7, dtype=torch.long)
    found = lesson.estimate(size, A100, 7, phase=lesson.PHASES[0])
    counted = count_flops(lambda: model(tokens))
    masked = 4 * 3 * 32 * (49 - 28)  # ours computes forbidden scores too
    scores = 2 * 32 * 50 * 6  # and the output of every token
    assert counted == found.flops + masked + scores
    caches = model.new_caches(1, 7)
    model(tokens[:, :6], caches)
    one = lesson.estimate(size, A100, 7)
    assert count_flops(lambda: model(tokens[:, :1], caches)) == one.flops


@pytest.mark.parametrize("context", [1, 3, 4, 10])
def test_a_window_counts_the_pairs_that_it_allows(context):
    wide, narrow = (
        lesson.ModelSize(
            "ours", 3, 32, 4, 2, 8, 128, 50, "here", window=window
        )
        for window in (None, 4)
    )
    more, less = (
        lesson.estimate(size, A100, context, phase=lesson.PREFILL).flops
        for size in (wide, narrow)
    )
    hidden = create_mask(CAUSAL, context) & ~create_mask(
        SlidingWindow(3), context
    )
    assert more - less == 4 * 3 * 32 * hidden.sum()


def test_published_cache_sizes():
    assert lesson.MODELS["Llama 2 7B"].cache_bytes(1) == 512 * 1024
    assert lesson.MODELS["Llama 2 70B"].cache_bytes(1) == 320 * 1024
    assert LLAMA.cache_bytes(1) == 128 * 1024
    assert lesson.MODELS["Falcon 7B"].cache_bytes(1) == 8 * 1024
    mistral = lesson.MODELS["Mistral 7B"]
    assert mistral.cache_bytes(10**6) == mistral.cache_bytes(4096)


def test_of_an_input_table_only_the_rows_asked_for_are_moved():
    for rows, batch, phase in ((1, 1, 1), (1, 64, 1), (8192, 1, 0)):
        found = lesson.estimate(
            LLAMA, A100, 8192, batch, phase=lesson.PHASES[phase]
        )
        unread = (LLAMA.vocabulary - rows * batch) * LLAMA.dim
        assert found.weights == 2 * LLAMA.parameters
        assert found.moved == found.weights - 2 * unread + found.cache
    tied = lesson.MODELS["GPT-2 124M"]
    found = lesson.estimate(tied, A100, 8)
    assert found.moved == found.weights + found.cache
    found = lesson.estimate(LLAMA, A100, 10**6, phase=lesson.PHASES[0])
    assert found.moved == found.weights + found.cache  # longer than the table


def test_bottlenecks():
    prefill, decode = lesson.PHASES
    assert (
        lesson.estimate(LLAMA, A100, 8192, phase=prefill).bottleneck
        == "compute"
    )
    assert (
        lesson.estimate(LLAMA, A100, 8192, phase=decode).bottleneck
        == "bandwidth"
    )
    big = lesson.MODELS["GPT-3 175B"]
    assert lesson.estimate(big, A100, 10).bottleneck == "capacity"
    untiled = lesson.estimate(
        LLAMA,
        lesson.ACCELERATORS["NVIDIA H100 80GB SXM"],
        8192,
        phase=prefill,
        tiled=False,
    )
    assert untiled.bottleneck == "bandwidth"


@settings(max_examples=60)
@given(
    st.sampled_from(list(lesson.MODELS)),
    st.integers(1, 10**6),
    st.integers(1, 1000),
    st.sampled_from(list(lesson.BYTES)),
    st.sampled_from(lesson.PHASES),
    st.booleans(),
)
def test_more_costs_more(name, context, batch, precision, phase, tiled):
    def ask(context, batch):
        return lesson.estimate(
            lesson.MODELS[name],
            A100,
            context,
            batch,
            precision=precision,
            phase=phase,
            tiled=tiled,
        )

    here, longer, wider = (
        ask(context, batch),
        ask(2 * context, batch),
        ask(context, 2 * batch),
    )
    for more in (longer, wider):
        assert more.flops >= here.flops and more.held >= here.held
        assert more.seconds >= here.seconds
    assert wider.flops == 2 * here.flops and wider.cache == 2 * here.cache
    assert here.bottleneck in ("capacity", "bandwidth", "compute")


def test_estimate_refuses():
    with pytest.raises(ValueError, match="context: expected 1 or more, got 0"):
        lesson.estimate(LLAMA, A100, 0)
    with pytest.raises(ValueError, match="precision"):
        lesson.estimate(LLAMA, A100, 1, precision="4 bits")
    with pytest.raises(ValueError, match="phase"):
        lesson.estimate(LLAMA, A100, 1, phase="train")


# --- views ---------------------------------------------------------------------


@pytest.mark.parametrize("mask_mod", views.MASK_MODS)
@pytest.mark.parametrize("block_size", [1, 2, 4, 8, 16])
def test_every_step_of_the_tiles_is_sound(mask_mod, block_size):
    visited, left_out = views.tile_order(views.MASK_MODS[mask_mod], block_size)
    assert len(visited) + len(left_out) == (16 // block_size) ** 2
    for step in (-3, 1, len(visited), 10**6):
        state = views.tile_state(views.MASK_MODS[mask_mod], block_size, step)
        assert 1 <= state["step"] <= len(visited)
    assert state["output"] == pytest.approx(state["expected"], abs=1e-12)
    assert "as in the end" in views.say_tiles(mask_mod, block_size, 10**6)


def test_tiles_widget_moves_and_never_keeps_an_old_picture():
    widget = explore(
        views.draw_tiles, views.say_tiles, **views.tile_controls()
    )
    said = {widget.caption.value}
    for name, value in (
        ("step", 1),
        ("step", 256),
        ("block_size", 16),
        ("block_size", 1),
        ("mask_mod", "everything"),
    ):
        widget.controls[name].value = value
        assert "No picture" not in widget.caption.value
        said.add(widget.caption.value)
    assert len(said) == 6


def test_calculator_at_its_ends():
    widget = explore(
        views.draw_costs, views.say_costs, **views.cost_controls()
    )
    assert "Bottleneck: bandwidth" in widget.still.alt
    for name in ("context", "batch"):
        for end in (0, -1):
            widget.controls[name].value = widget.controls[name].options[end]
            assert "Bottleneck:" in widget.caption.value
    for name in ("model", "device", "precision", "phase"):
        for option in widget.controls[name].options:
            widget.controls[name].value = option
            assert str(option) in widget.caption.value
    widget.controls["tiled"].value = False
    assert "untiled" in widget.caption.value


@pytest.mark.parametrize(
    "number, words",
    [
        (0, "0 B"),
        (999, "999 B"),
        (1e3, "1 kB"),
        (16.06e9, "16.1 GB"),
        (5e15, "5e+03 TB"),
    ],
)
def test_bytes_in_words(number, words):
    assert views.bytes_in_words(number) == words
