"""Lesson 05's module: scores, layers, the recurrent translator, dates."""

import collections
import math
import re
from datetime import date
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from attn_course.additive_attention import (
    ATTENTIONS,
    AdditiveAttention,
    EncoderDecoder,
    LuongAttention,
    additive_scores,
    general_scores,
)
from attn_course.common.seq2seq import (
    exact_match,
    greedy_decode,
    sequence_loss,
    shift_right,
)
from attn_course.common.text import CharTokenizer
from attn_course.common.tokens import BOS, EOS, PAD, UNK
from attn_course.data import dates
from attn_course.scaled_dot_product import scaled_dot_product_attention
from attn_course.widgets import additive_attention as views

sizes = st.integers(1, 4)
TOLERANCE = {
    torch.float64: {"rtol": 1e-7, "atol": 1e-9},
    torch.float32: {"rtol": 1e-4, "atol": 1e-5},
    torch.bfloat16: {"rtol": 3e-2, "atol": 3e-2},
}


def random(*shape, dtype=torch.float64, device="cpu", grad=False):
    options = {"dtype": dtype, "device": device, "requires_grad": grad}
    return torch.randn(*shape, **options)


# Scores --------------------------------------------------------------------


def test_hand_example():
    query, unit = torch.tensor([[1.0, 0.0]]), torch.eye(2)
    key = torch.tensor([[1.0, 1.0], [0.0, 1.0]])
    scores = additive_scores(query, key, unit, unit, torch.ones(2))
    expected = [math.tanh(2) + math.tanh(1), 2 * math.tanh(1)]
    torch.testing.assert_close(scores, torch.tensor([expected]))
    w = torch.tensor([[2.0, -1.0], [0.0, 1.0]])
    assert general_scores(query, key, w).tolist() == [[1, -1]]


@given(sizes, sizes, sizes, sizes, sizes, sizes)
def test_scores_equal_loops(batch, q, k, d, e, hidden):
    query, key = random(batch, q, d), random(batch, k, e)
    w_query, w_key, v = random(hidden, d), random(hidden, e), random(hidden)
    w = random(d, e)
    additive = additive_scores(query, key, w_query, w_key, v)
    general = general_scores(query, key, w)
    assert additive.shape == general.shape == (batch, q, k)
    for b in range(batch):
        for i in range(q):
            for j in range(k):
                one = w_query @ query[b, i] + w_key @ key[b, j]
                torch.testing.assert_close(additive[b, i, j], v @ one.tanh())
                other = query[b, i] @ (w @ key[b, j])
                torch.testing.assert_close(general[b, i, j], other)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_additive_equals_torch_in_value_and_gradient(dtype, device):
    if "mps" in device and dtype == torch.float64:
        pytest.skip("MPS has no float64")
    options = {"dtype": dtype, "device": device}
    ask = nn.Linear(3, 7, bias=False, **options)
    offer = nn.Linear(5, 7, bias=False, **options)
    weigh = nn.Linear(7, 1, bias=False, **options)
    layer = AdditiveAttention(3, 5, 7).to(**options)
    with torch.no_grad():
        layer.w_query.copy_(ask.weight)
        layer.w_key.copy_(offer.weight)
        layer.v.copy_(weigh.weight[0])
    query = random(2, 4, 3, grad=True, **options)
    key = random(2, 6, 5, grad=True, **options)
    value = random(2, 6, 8, grad=True, **options)
    mask = torch.rand(2, 4, 6, device=device) < 0.6
    mask[..., 0] = True
    output, weights = layer(query, key, value, mask)
    theirs = weigh(torch.tanh(ask(query)[:, :, None] + offer(key)[:, None]))
    theirs = theirs.squeeze(-1).masked_fill(~mask, -math.inf).softmax(-1)
    torch.testing.assert_close(weights, theirs, **TOLERANCE[dtype])
    torch.testing.assert_close(output, theirs @ value, **TOLERANCE[dtype])
    for mine, torchs in zip(
        torch.autograd.grad(
            output.square().sum(),
            [query, key, value, layer.w_query, layer.w_key, layer.v],
        ),
        torch.autograd.grad(
            (theirs @ value).square().sum(),
            [query, key, value, ask.weight, offer.weight, weigh.weight],
        ),
    ):
        rough = {"rtol": 0.1, "atol": 0.1}
        tolerance = rough if dtype == torch.bfloat16 else TOLERANCE[dtype]
        torch.testing.assert_close(mine, torchs.view_as(mine), **tolerance)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_luong_equals_torch_in_value_and_gradient(dtype):
    query = random(2, 3, 4, dtype=dtype, grad=True)
    key = random(2, 5, 4, dtype=dtype, grad=True)
    value = random(2, 5, 6, dtype=dtype, grad=True)
    for score in ("dot", "general"):
        layer = LuongAttention(4, score=score).to(dtype)
        turned = key if score == "dot" else F.linear(key, layer.w)
        expected = F.scaled_dot_product_attention(
            query, turned, value, scale=1.0
        )
        found, weights = layer(query, key, value)
        torch.testing.assert_close(found, expected, **TOLERANCE[dtype])
        assert weights.shape == (2, 3, 5)
        inputs = [query, key, value, *layer.parameters()]
        for mine, torchs in zip(
            torch.autograd.grad(found.sum(), inputs),
            torch.autograd.grad(expected.sum(), inputs),
        ):
            torch.testing.assert_close(mine, torchs, **TOLERANCE[dtype])


def test_general_equals_torchs_bilinear_and_with_the_unit_matrix_dot():
    query, key = random(6, 3), random(6, 5)
    w = random(3, 5)
    expected = F.bilinear(query, key, w[None])[:, 0]
    torch.testing.assert_close(
        general_scores(query, key, w).diagonal(), expected
    )
    key = random(6, 3)
    unit = torch.eye(3, dtype=torch.float64)
    torch.testing.assert_close(general_scores(query, key, unit), query @ key.T)


def test_two_projections_are_one_matrix_of_the_general_score():
    query, key, value = random(4, 3), random(6, 5), random(6, 2)
    w_query, w_key = random(8, 3), random(8, 5)
    expected, _ = scaled_dot_product_attention(
        query @ w_query.T, key @ w_key.T, value, scale=1
    )
    layer = LuongAttention(3, 5, score="general").double()
    with torch.no_grad():
        layer.w.copy_(w_query.T @ w_key)
    torch.testing.assert_close(layer(query, key, value)[0], expected)


@given(st.integers(0, 1000))
def test_additive_scores_are_bounded_by_v(seed):
    torch.manual_seed(seed)
    v = random(5)
    scores = additive_scores(
        100 * random(3, 4), 100 * random(6, 4), random(5, 4), random(5, 4), v
    )
    assert scores.abs().max() <= v.abs().sum() + 1e-9


LAYERS = {
    "additive": lambda: AdditiveAttention(4),
    "dot": lambda: LuongAttention(4, score="dot"),
    "general": lambda: LuongAttention(4, score="general"),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_what_the_mask_hides_does_not_matter(kind):
    layer = LAYERS[kind]().double()
    query, key, value = random(2, 3, 4), random(2, 5, 4), random(2, 5, 6)
    mask = torch.tensor([[1, 1, 1, 0, 0], [0, 0, 0, 0, 0]]).bool()[:, None]
    output, weights = layer(query, key, value, mask)
    key[:, 3:], value[:, 3:] = 50.0, -80.0
    torch.testing.assert_close(layer(query, key, value, mask)[0], output)
    torch.testing.assert_close(weights[0].sum(-1), torch.ones(3).double())
    assert not weights[1].any() and not output[1].any()  # nothing allowed


def test_sizes_that_do_not_fit_are_named(own_errors):
    one, v = torch.ones(2, 3), torch.ones(4)
    w = torch.ones(4, 3)
    for change, words in [
        ({"query": torch.ones(2, 5)}, r"query: .*dimension 3.*\(2, 5\)"),
        ({"key": torch.ones(2, 5)}, r"key: .*dimension 3.*\(2, 5\)"),
        ({"w_query": torch.ones(6, 3)}, "w_query: expected 4 rows.*got 6"),
        ({"w_key": torch.ones(6, 3)}, "w_key: expected 4 rows.*got 6"),
    ]:
        inputs = {"query": one, "key": one, "w_query": w, "w_key": w, "v": v}
        with pytest.raises(ValueError, match=words):
            additive_scores(**{**inputs, **change})
    with pytest.raises(ValueError, match="query: expected last dimension 4"):
        general_scores(one, one, w)
    with pytest.raises(ValueError, match="key: expected last dimension 3"):
        general_scores(torch.ones(2, 4), torch.ones(2, 2), w)
    with pytest.raises(ValueError, match="value: expected one row per key"):
        AdditiveAttention(3)(one, one, torch.ones(5, 3))
    with pytest.raises(ValueError, match="key: expected last dimension 3"):
        LuongAttention(3, score="general")(one, torch.ones(2, 2), one)


def test_nothing_is_stretched_or_mixed_in_silence(own_errors):
    wide, one = torch.ones(2, 3, 4), torch.ones(1, 5, 4)
    w, v = torch.ones(4, 4), torch.ones(4)
    for fn in (
        lambda q, k: additive_scores(q, k, w, w, v),
        lambda q, k: general_scores(q, k, w),
        *(lambda q, k, kind=kind: LAYERS[kind]()(q, k, k) for kind in LAYERS),
    ):
        for query, key, words in [
            (wide, one, r"key: expected the query's batch \(2,\)"),
            (v, one[0], r"query: expected at least 2 .*\(4,\)"),
            (wide[0].tolist(), one[0], "query: .*tensor, got list"),
            (wide[0], one[0].double(), "key: expected torch.float32.*float64"),
        ]:
            with pytest.raises(ValueError, match=words):
                fn(query, key)
    for kind in LAYERS:
        layer = LAYERS[kind]()
        for mask, words in [
            (torch.ones(3, 5), "boolean.*float32"),
            (torch.ones(4, 5).bool(), r"broadcasts to \(3, 5\)"),
            (torch.ones(7, 3, 5).bool(), r"broadcasts to \(3, 5\)"),
        ]:
            with pytest.raises(ValueError, match=f"mask: .*{words}"):
                layer(wide[0], one[0], one[0], mask)
        with pytest.raises(ValueError, match="value: .*float64"):
            layer(wide[0], one[0], one[0].double())
    with pytest.raises(ValueError, match="query: expected last dimension 4"):
        LuongAttention(4)(torch.ones(3, 6), torch.ones(5, 6), torch.ones(5, 6))
    with pytest.raises(ValueError, match="w_query: expected a matrix"):
        additive_scores(wide, wide, v, w, v)
    with pytest.raises(ValueError, match=r"v: expected one row.*\(4, 1\)"):
        additive_scores(wide, wide, w, w, v[:, None])
    with pytest.raises(ValueError, match="w: expected a matrix"):
        general_scores(wide, wide, v)


def test_wrong_constructors_are_named():
    with pytest.raises(ValueError, match="hidden: expected 1 or more, got 0"):
        AdditiveAttention(3, hidden=0)
    with pytest.raises(ValueError, match="score: .*got 'sum'"):
        LuongAttention(3, score="sum")
    with pytest.raises(ValueError, match="key_dim: expected 3.*got 5"):
        LuongAttention(3, 5)
    for change, words in [
        ({"dim": 7}, "dim: expected an even number, got 7"),
        ({"dim": 0}, "dim: expected 1 or more"),
        ({"attention": "sum"}, "attention: .*got 'sum'"),
        ({"dropout": 1.0}, "dropout: .*got 1.0"),
        ({"source_size": 0}, "source_size: "),
    ]:
        right = {"source_size": 9, "target_size": 9, "dim": 8}
        with pytest.raises(ValueError, match=words):
            EncoderDecoder(**{**right, "attention": "dot", **change})


# The translator ------------------------------------------------------------


def translator(attention="dot", dim=8, **options):
    return EncoderDecoder(14, 12, dim, attention=attention, **options).double()


def sentences(lengths, width=None):
    """Random tokens, EOS and padding."""
    rows = torch.full((len(lengths), width or max(lengths) + 1), PAD)
    for row, length in zip(rows, lengths):
        row[:length] = torch.randint(4, 12, (length,))
        row[length] = EOS
    return rows


def test_none_and_dot_have_exactly_the_same_parameters():
    shapes = {
        kind: {n: p.shape for n, p in translator(kind).named_parameters()}
        for kind in ATTENTIONS
    }
    assert shapes[None] == shapes["dot"]
    assert set(shapes["general"]) - set(shapes["dot"]) == {"attention.w"}
    assert len(set(shapes["additive"]) - set(shapes["dot"])) == 3


@pytest.mark.parametrize("attention", ATTENTIONS)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=4), sizes)
@settings(max_examples=20)
def test_padding_does_not_matter(attention, lengths, more):
    model = translator(attention)
    source, expected = sentences(lengths), sentences(lengths[::-1])
    source = F.pad(source, (0, more), value=PAD)
    together = model(source, shift_right(expected))
    losses = []
    for b, length in enumerate(lengths):
        alone = model(
            source[b : b + 1, : length + 1], shift_right(expected[b : b + 1])
        )
        torch.testing.assert_close(together[b], alone[0])
        wanted = expected[b : b + 1]
        losses.append(sequence_loss(alone, wanted) * (wanted != PAD).sum())
    sum_alone = sum(losses) / (expected != PAD).sum()
    loss = sequence_loss(together, expected)
    torch.testing.assert_close(loss, sum_alone)
    weights = list(model.parameters())
    for one, other in zip(
        torch.autograd.grad(loss, weights),
        torch.autograd.grad(sum_alone, weights),
    ):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_padding_gets_no_weight_and_an_empty_sentence_is_zero(attention):
    model = translator(attention)
    source = sentences([3, 1], width=6)
    source = torch.cat([source, torch.full((1, 6), PAD)])
    memory = model.encode(source)
    assert torch.equal(memory.mask, source != PAD)
    assert not memory.states[2].any()
    logits, weights = model.decode(memory, torch.tensor([[BOS, 4]] * 3))
    assert logits.isfinite().all()
    if attention is None:
        assert weights is None
    else:
        assert not weights[~memory.mask[:, None].expand_as(weights)].any()
    logits.sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())
    nothing = model.encode(source[:, :0])
    assert nothing.states.shape == (3, 0, 8)
    torch.testing.assert_close(nothing.summary[0], memory.summary[2])
    assert model.decode(nothing, torch.ones(3, 2).long())[0].isfinite().all()


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_no_step_knows_what_comes_later(attention):
    model = translator(attention)
    vectors = []
    model.embed_target.register_forward_hook(
        lambda *a: vectors.append(a[-1].retain_grad() or a[-1])
    )
    logits = model(sentences([4]), torch.tensor([[BOS, 5, 6, 7, 8]]))
    logits[0, 2].sum().backward()
    touched = vectors[0].grad[0].abs().sum(-1) > 0
    assert touched.tolist() == [True, True, True, False, False]


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_step_after_step_is_all_at_once(attention):
    model = translator(attention)
    source, target = sentences([3, 5]), shift_right(sentences([4, 2]))
    memory = model.encode(source)
    logits, weights = model.decode(memory, target)
    state = model.start(memory)
    for t in range(target.shape[1]):
        one, seen, state = model.step(memory, state, target[:, t])
        torch.testing.assert_close(one, logits[:, t])
        if attention is not None:
            torch.testing.assert_close(seen, weights[:, t])
    none, _ = model.decode(memory, target[:, :0])
    assert none.shape == (2, 0, 12)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_every_parameter_learns(attention):
    """Each gets a gradient that is not 0: none is cut off by a detach."""
    model = translator(attention)
    rows = sentences([4, 6, 2])
    sequence_loss(model(rows, shift_right(rows)), rows).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


def test_the_encoder_is_torchs_gru():
    model = translator()
    source = sentences([5])
    vectors = model.embed_source(source)
    states, last = model.encoder(vectors)
    memory = model.encode(source)
    torch.testing.assert_close(memory.states, states)
    ends = torch.cat([last[0], last[1]], dim=-1)
    torch.testing.assert_close(memory.summary, model.summarise(ends).tanh())


def test_the_decoder_is_its_formula():
    model = translator("additive")
    source, target = sentences([4]), torch.tensor([[BOS, 5, 6]])
    memory = model.encode(source)
    states, _ = model.decoder(model.embed_target(target), memory.summary[None])
    context, weights = model.attention(states, memory.states, memory.states)
    mixed = model.combine(torch.cat([states, context], -1)).tanh()
    logits, found = model.decode(memory, target)
    torch.testing.assert_close(logits, model.readout(mixed))
    torch.testing.assert_close(found, weights)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_half_precision_agrees(attention):
    model = translator(attention).float()
    source, target = sentences([4, 2]), shift_right(sentences([3, 5]))
    expected = model(source, target)
    found = model.bfloat16()(source, target)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, rtol=0.1, atol=0.05)


def test_ten_thousand_tokens_are_read():
    model = translator("additive", dim=4)
    memory = model.encode(sentences([10_000]))
    written = greedy_decode(model, memory, 2)
    assert written.shape[0] == 1 and written.shape[1] <= 2


def zeros_share(x):
    return (x == 0).double().mean().item()


def test_dropout_acts_on_token_vectors_and_readout_in_training_only():
    """Each by its share of zeros, and by the factor of what is left."""
    model = translator("dot", dim=64, dropout=0.25)
    source, target = sentences([9] * 30), shift_right(sentences([9] * 30))
    seen = {}
    for name in ("encoder", "decoder", "readout"):
        model.get_submodule(name).register_forward_pre_hook(
            lambda _, inputs, name=name: seen.update({name: inputs[0]})
        )
    model(source, target)
    dropped, seen["encoder"] = dict(seen), seen["encoder"].data
    dropped["encoder"] = dropped["encoder"].data  # of the packed sequence
    model.eval()
    assert torch.equal(model(source, target), model(source, target))
    for name, before in dropped.items():
        whole = seen[name].data if name == "encoder" else seen[name]
        real = whole.abs().sum(-1) > 0  # padding's vector is all zeros
        assert zeros_share(whole[real]) == 0
        assert abs(zeros_share(before[real]) - 0.25) < 0.02
        if name != "readout":  # its inputs went through a dropout before
            kept = real[..., None] & (before != 0)
            torch.testing.assert_close(before[kept], whole[kept] / 0.75)


def test_dropout_of_the_readout_keeps_the_mean():
    model = translator(dim=8, dropout=0.5).train()
    for module in (model.encoder, model.decoder):
        for weight in module.parameters():  # the readout's input is constant
            nn.init.zeros_(weight)
    source, target = sentences([4]), torch.tensor([[BOS, 5]])
    nn.init.constant_(model.combine.bias, 0.3)
    nn.init.zeros_(model.readout.bias)
    draws = torch.stack([model(source, target) for _ in range(3000)])
    model.eval()
    torch.testing.assert_close(
        draws.mean(0), model(source, target), rtol=0.05, atol=0.03
    )
    assert draws.std(0).min() > 0.05


@pytest.mark.parametrize(
    "source, words",
    [
        (torch.tensor([[5, PAD, 6]]), "padding .*only at the end"),
        (torch.tensor([[5.0]]), "token ids .*got torch.float32"),
        (torch.tensor([[True]]), "token ids .*got torch.bool"),
        (torch.tensor([5, 6]), r"shape \(batch, length\), .*shape \(2,\)"),
        (torch.zeros(0, 3).long(), "at least 1 sentence"),
        ("15 mars", "token ids, got str"),
    ],
)
def test_bad_sources_are_named(source, words, own_errors):
    with pytest.raises(ValueError, match=f"source: .*{words}"):
        translator().encode(source)


def test_bad_targets_are_named(own_errors):
    model = translator()
    memory = model.encode(sentences([3, 2]))
    with pytest.raises(
        ValueError, match="target: expected 2 sentences.*got 1"
    ):
        model.decode(memory, torch.tensor([[BOS]]))
    with pytest.raises(ValueError, match="target: .*got torch.float32"):
        model.decode(memory, torch.ones(2, 1))


def test_an_unknown_id_is_torchs_own_error():
    model = translator()
    for ids in ([[5, 14]], [[-1, 5]]):
        with pytest.raises(IndexError, match="out of range"):
            model.encode(torch.tensor(ids))
    with pytest.raises(IndexError, match="out of range"):
        model(sentences([3]), torch.tensor([[BOS, 12]]))


# Loss, teacher, greedy -----------------------------------------------------


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_is_the_mean_over_real_tokens(smoothing):
    logits, expected = (
        random(2, 4, 7),
        torch.tensor([[4, 5, 2, 0], [6, 2, 0, 0]]),
    )
    losses = []
    for row, wanted in zip(logits.flatten(0, 1), expected.flatten()):
        if wanted != PAD:
            logs = row.log_softmax(-1)
            right = -logs[wanted]
            losses.append((1 - smoothing) * right - smoothing * logs.mean())
    loss = sequence_loss(logits, expected, label_smoothing=smoothing)
    torch.testing.assert_close(loss, torch.stack(losses).mean())


def test_ids_of_32_bits_train_too():
    model, rows = translator(), sentences([3, 2])
    loss = sequence_loss(model(rows, shift_right(rows)), rows)
    short = rows.int()
    short_loss = sequence_loss(model(short, shift_right(short)), short)
    assert torch.equal(short_loss, loss)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=4), sizes)
@settings(max_examples=20)
def test_greedy_decode_ends_pads_and_needs_no_steps(lengths, max_length):
    model = translator(dim=4).train()
    memory = model.encode(sentences(lengths))
    written = greedy_decode(model, memory, max_length)
    assert model.training and not written.requires_grad
    assert written.shape[0] == len(lengths) and written.shape[1] <= max_length
    assert not ((written == BOS) | (written == UNK)).any()
    for row in written.tolist():
        after = row[row.index(EOS) + 1 :] if EOS in row else []
        assert not any(after)
        assert PAD not in row[: len(row) - len(after)]

    class Plain(nn.Module):  # without start and step
        decode = model.decode

    model.eval()
    assert torch.equal(greedy_decode(Plain(), memory, max_length), written)


def test_greedy_decode_takes_the_most_probable_each_time():
    model = translator()
    source = sentences([4])
    written = greedy_decode(model, model.encode(source), 6)
    logits = model(source, shift_right(written))
    logits[..., [PAD, BOS, UNK]] = -math.inf
    assert torch.equal(logits.argmax(-1), written)


@pytest.mark.parametrize("training", [True, False])
def test_greedy_decode_leaves_the_mode_after_an_error(training, own_errors):
    model = translator().train(training)
    memory = model.encode(sentences([3]))
    with pytest.raises(TypeError):
        greedy_decode(model, memory._replace(summary=None), 3)
    assert model.training == training


def test_it_can_learn_to_repeat():
    """Twenty rows of three digits, by heart: a wiring test."""
    rows = sentences([3] * 20)
    model = EncoderDecoder(14, 12, 32, attention="additive")
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-2)
    for _ in range(60):
        loss = sequence_loss(model(rows, shift_right(rows)), rows)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    written = greedy_decode(model, model.encode(rows), 4)
    assert exact_match(written, rows).float().mean() > 0.9


# The data ------------------------------------------------------------------


def test_the_build_script_makes_what_is_embedded(build_script):
    made = dict(build_script("dates").splits())
    assert sorted(made) == sorted(dates.SPLITS)
    for name, rows in made.items():
        assert dates.load(name) == [dates.Pair(*row) for row in rows]


def test_packing_is_the_same_each_time(build_script):
    module = build_script("dates")
    rows = [("en", "long", "March 15, 2024", "2024-03-15")]
    assert module.packed(rows) == module.packed(rows)
    assert module.packed(rows)[4:8] == bytes(4)  # gzip's time stamp


def test_no_day_stands_in_two_splits():
    seen = [pair.iso for split in dates.SPLITS for pair in dates.load(split)]
    assert len(seen) == len(set(seen)) == 17_000


def test_the_cards_counts_are_true():
    card = (Path(dates.__file__).parent / "CARD.md").read_text("utf-8")
    for split in dates.SPLITS:
        pairs = dates.load(split)
        assert f"| {split} | {len(pairs):,} |" in card
        formats = collections.Counter(p[:2] for p in pairs)
        if split in ("train", "valid", "test"):
            assert len(formats) == 20
            assert set(formats.values()) == {len(pairs) // 20}
        in_range = ["1950" <= p.iso[:4] <= "2049" for p in pairs]
        assert any(in_range) == all(in_range) == (split != "years")


def test_dates_are_what_they_say():
    for pair in dates.load("test"):
        day = date.fromisoformat(pair.iso)
        numbers = [int(n) for n in re.findall(r"\d+", pair.text)]
        assert day.day in numbers
        assert day.year in numbers or day.year % 100 in numbers


def test_an_unknown_split_is_named():
    with pytest.raises(ValueError, match="split: .*'american'.*found 'dev'"):
        dates.load("dev")


# Views ---------------------------------------------------------------------


@pytest.fixture
def parts():
    source = CharTokenizer(["0123456789/-年月日marsdi. "])
    target = CharTokenizer(["0123456789-"])
    model = EncoderDecoder(len(source), len(target), 8, attention="additive")
    return model, source, target


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "Nothing was typed"),
        ("  \n ", "Nothing was typed"),
        ("15 mars $2024$ \\frac{", r"Never seen in training: $ \ c f {"),
        ("\x00\u200b\u0f00 🎉", "Never seen in training"),
        ("word " * 10_000, "Only the first 40 of 49,999 characters"),
        ("年" * 41, "Only the first 40 of 41"),
        ("<script>alert(1)</script>", "Never seen in training"),
    ],
    ids=["empty", "spaces", "formula", "codes", "words", "long", "markup"],
)
def test_whatever_is_typed_is_read_and_drawn(parts, text, words):
    reader = views.date_reader(*parts, ["15 mars", "2024年"])
    reader.controls["text"].value = text
    assert words in reader._alt(text)
    assert "<img" in reader.picture.value or text.strip() == ""
    assert "<script>" not in reader.caption.value


def test_choosing_an_example_types_it(parts):
    reader = views.date_reader(*parts, ["15 mars", "2024年"])
    assert '"15 mars" is read as' in reader.still.alt
    reader.children[0].value = "2024年"
    assert reader.controls["text"].value == "2024年"
    assert "2024年" in reader.caption.value
    assert "Most weight: " in reader.children[-1].value


def test_a_reading_holds_what_greedy_decode_wrote(parts):
    model, source, target = parts
    seen = views.read_date(*parts, "15 mars")
    memory = model.encode(source.encode(["15 mars"]))
    tokens = greedy_decode(model, memory, 14)
    assert seen.prediction == target.decode(tokens)[0]
    assert seen.weights.shape == (tokens.shape[1], 8)
    torch.testing.assert_close(
        seen.weights.sum(-1), torch.ones(tokens.shape[1])
    )


def test_a_reading_has_no_dropout_and_leaves_the_mode(parts):
    _, source, target = parts
    model = EncoderDecoder(
        len(source), len(target), 8, attention="additive", dropout=0.5
    ).train()
    one, other = (
        views.read_date(model, source, target, "15 mars") for _ in range(2)
    )
    assert torch.equal(one.weights, other.weights)
    assert model.training


@pytest.mark.parametrize(
    "text, day",
    [
        ("2024-02-29", True),
        ("2023-02-29", False),
        ("2024-15-03", False),
        ("20240315", False),
        ("", False),
    ],
)
def test_a_day_is_written_one_way(text, day):
    assert views._is_day(text) == day


def test_labels_can_be_drawn_in_the_courses_font():
    assert views.label("年") == "nián" and views.label(" ") == "\u2423"
    assert views.label("é") == "é" and views.label("$") == r"\$"
    assert views.label("猫") == "U+732B" and views.label("\x00") == "U+0000"
    for character in set().union(*(p.text for p in dates.load("train"))):
        assert "U+" not in views.label(character)
        for drawn in views.label(character):
            assert ord(drawn) in views._glyphs()


def test_in_words():
    weights = torch.tensor([[0.9, 0.1, 0.0], [0.1, 0.2, 0.7]])
    seen = views.DateReading("1 ", "7", weights, "")
    assert views.describe_weights(seen) == "Most weight: 7 at 1"
    empty = views.DateReading("", "", weights[:1, :1], "")
    assert "nothing was written" in views.describe_weights(empty)


def test_share_bars_writes_the_interval():
    figure = views.share_bars(
        {"all": torch.ones(50).bool(), "none": torch.zeros(50).bool()},
        title="t",
    )
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == ["1.0000  [0.9287, 1.0000]", "0.0000  [0.0000, 0.0713]"]


def test_alignments_leaves_no_empty_axes(parts):
    seen = views.read_date(*parts, "15 mars")
    figure = views.alignments([(seen, "one"), (seen, "two"), (seen, "three")])
    assert [ax.get_title(loc="left") for ax in figure.axes[:3]] == [
        "one",
        "two",
        "three",
    ]
    assert not figure.axes[3].axison


# The lesson ----------------------------------------------------------------


def test_the_loop_that_the_lesson_builds_is_the_modules():
    source = Path(__file__).parents[1] / "notebooks" / "source"
    text = (source / "05_additive_attention.py").read_text("utf-8")
    cell = re.search(r"^def additive_loop.*?(?=^# %%)", text, re.M | re.S)
    names = dict(globals())
    exec(cell.group(), names)
    inputs = random(4, 3), random(6, 5), random(7, 3), random(7, 5), random(7)
    torch.testing.assert_close(
        names["additive_loop"](*inputs), additive_scores(*inputs)
    )
