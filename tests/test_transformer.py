"""Lesson 06's module: layers equal to torch's, causality, padding, the task."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

from attn_course import training
from attn_course.common.seq2seq import (
    Memory,
    exact_match,
    greedy_decode,
    sequence_loss,
    shift_right,
)
from attn_course.common.text import CharTokenizer
from attn_course.common.tokens import BOS, EOS, PAD, UNK
from attn_course.multi_head_attention import MultiHeadAttention
from attn_course.scaled_dot_product import causal_mask, padding_mask
from attn_course.transformer import (
    PARTS,
    Decoder,
    DecoderLayer,
    Encoder,
    EncoderLayer,
    Residual,
    Transformer,
    ablate,
    count_by_formula,
    feed_forward,
    noam_lr,
    reversals,
    smooth_labels,
    smoothed_loss,
)
from attn_course.widgets import transformer as views
from tests.host_reads import HostReads

TOLERANCE = {
    torch.float64: {"rtol": 1e-7, "atol": 1e-9},
    torch.float32: {"rtol": 1e-4, "atol": 1e-5},
    torch.bfloat16: {"rtol": 5e-2, "atol": 5e-2},
}
REAL = padding_mask(torch.tensor([6, 4]), 6)  # (batch, s)


def random(*shape, dtype=torch.float64, grad=True):
    return torch.randn(*shape, dtype=dtype, requires_grad=grad)


def theirs_of(
    kind, first=True, activation="relu", dtype=torch.float64, **more
):
    """Torch's layer with random weights everywhere, norms too."""
    options = {"dropout": 0.0, "batch_first": True, **more}
    layer = kind(
        12,
        3,
        20,
        norm_first=first,
        activation=activation,
        dtype=dtype,
        **options,
    )
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return layer


def tokens(batch=2, length=5, size=11):
    return torch.randint(UNK + 1, size, (batch, length))


def small(**options):
    torch.manual_seed(0)
    return Transformer(11, 11, 16, 2, 2, max_length=12, **options).double()


# The same as torch's layers ------------------------------------------------


def compare(found, wanted, inputs_ours, inputs_theirs, ours, theirs, dtype):
    close = TOLERANCE[dtype]
    torch.testing.assert_close(found, wanted, **close)
    direction = torch.randn_like(wanted)
    mine = [p for p, _ in pairs(ours, theirs)]
    torchs = [p for _, p in pairs(ours, theirs)]
    one = torch.autograd.grad((found * direction).sum(), [*inputs_ours, *mine])
    two = torch.autograd.grad(
        (wanted * direction).sum(), [*inputs_theirs, *torchs]
    )
    assert len(mine) == len(list(ours.parameters()))
    for a, b in zip(one, two, strict=True):
        if dtype == torch.bfloat16:  # a gradient sums many terms
            assert (a - b).norm() <= 0.08 * b.norm() + 0.02
        else:
            torch.testing.assert_close(a, b, **close)


def pairs(ours, theirs):
    """Pair the parameters by hand, not by the module's own list."""
    names = [("attention", "self_attn"), ("norm_attention", "norm1")]
    if isinstance(ours, DecoderLayer):
        names += [
            ("cross_attention", "multihead_attn"),
            ("norm_cross", "norm2"),
            ("norm_mlp", "norm3"),
        ]
    else:
        names += [("norm_mlp", "norm2")]
    names += [("mlp.0", "linear1"), ("mlp.3", "linear2")]
    listed = []
    for mine, torchs in names:
        a, b = ours.get_submodule(mine), theirs.get_submodule(torchs)
        if isinstance(a, MultiHeadAttention):
            listed += [
                (a.project_in.weight, b.in_proj_weight),
                (a.project_in.bias, b.in_proj_bias),
                (a.project_out.weight, b.out_proj.weight),
                (a.project_out.bias, b.out_proj.bias),
            ]
        else:
            listed += [(a.weight, b.weight), (a.bias, b.bias)]
    return listed


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("need_weights", [True, False])
def test_encoder_layer_equals_torch(first, activation, dtype, need_weights):
    torch.manual_seed(1)  # no ReLU at its kink, where bfloat16 decides
    theirs = theirs_of(nn.TransformerEncoderLayer, first, activation, dtype)
    x = random(2, 6, 12, dtype=dtype)
    ours = EncoderLayer.from_torch(theirs)
    for mask, other in (
        (None, {}),
        (REAL[:, None, :], {"src_key_padding_mask": ~REAL}),
        (causal_mask(6), {"src_mask": ~causal_mask(6)}),
    ):
        found, weights = ours(x, mask, need_weights=need_weights)
        compare(found, theirs(x, **other), [x], [x], ours, theirs, dtype)
        assert (weights is not None) == need_weights
    if need_weights:
        assert weights.shape == (2, 3, 6, 6)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("need_weights", [True, False])
def test_decoder_layer_equals_torch(first, activation, dtype, need_weights):
    theirs = theirs_of(nn.TransformerDecoderLayer, first, activation, dtype)
    x, memory = random(2, 4, 12, dtype=dtype), random(2, 6, 12, dtype=dtype)
    ours = DecoderLayer.from_torch(theirs)
    for masks, other in (
        ((None, None), {}),
        (
            (causal_mask(4), REAL[:, None, :]),
            {
                "tgt_mask": ~causal_mask(4),
                "memory_key_padding_mask": ~REAL,
                "tgt_is_causal": True,
            },
        ),
    ):
        found, own, cross = ours(x, memory, *masks, need_weights=need_weights)
        wanted = theirs(x, memory, **other)
        both = [x, memory]
        compare(found, wanted, both, both, ours, theirs, dtype)
    if need_weights:
        assert own.shape == (2, 3, 4, 4) and cross.shape == (2, 3, 4, 6)
        assert not own.triu(1).any() and not cross[1, :, :, 4:].any()
    else:
        assert own is None and cross is None


@pytest.mark.parametrize("kind", [EncoderLayer, DecoderLayer])
@pytest.mark.parametrize("first", [True, False])
def test_weights_travel_to_torch_and_back(kind, first):
    ours = kind(8, 2, 20, dropout=0.25, norm_first=first, activation="gelu")
    ours = ours.double().eval()
    ours.norm_mlp.eps = ours.norm_attention.eps = 1e-3
    if kind is DecoderLayer:
        ours.norm_cross.eps = 1e-3
    theirs = ours.to_torch()
    back = kind.from_torch(theirs)
    assert not theirs.training and not back.training
    assert back.add.dropout.p == back.attention.dropout == 0.25
    assert back.mlp[2].p == theirs.dropout1.p == 0.25
    assert back.norm_first == theirs.norm_first == first
    assert back.norm_mlp.eps == 1e-3 and isinstance(back.mlp[1], nn.GELU)
    for name, mine in ours.state_dict().items():
        assert torch.equal(mine, back.state_dict()[name])
    theirs.linear1.weight.data.zero_()  # copies, not shared
    assert ours.mlp[0].weight.abs().sum() > 0
    x = random(1, 3, 8)
    theirs = ours.to_torch()
    wanted = theirs(x, x) if kind is DecoderLayer else theirs(x)
    found = ours(x, x) if kind is DecoderLayer else ours(x)
    torch.testing.assert_close(found[0], wanted)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"activation": torch.tanh}, "activations.*relu.*got <built-in"),
        ({"bias": False}, "bias=True, got bias=False"),
    ],
)
@pytest.mark.parametrize(
    "ours, kind",
    [
        (EncoderLayer, nn.TransformerEncoderLayer),
        (DecoderLayer, nn.TransformerDecoderLayer),
    ],
)
def test_what_ours_has_not_is_refused(ours, kind, options, words):
    with pytest.raises(ValueError, match="theirs: .*" + words):
        ours.from_torch(kind(8, 2, 16, **options))


@pytest.mark.parametrize("first", [True, False])
def test_stacks_equal_torchs(first):
    ours = Encoder(2, 12, 3, 20, norm_first=first).double()
    layer = theirs_of(nn.TransformerEncoderLayer, first)
    end = nn.LayerNorm(12).double() if first else None
    theirs = nn.TransformerEncoder(layer, 2, end, enable_nested_tensor=False)
    theirs.layers = nn.ModuleList(x.to_torch() for x in ours.layers)
    x = random(2, 6, 12)
    found, weights = ours(x, REAL[:, None, :], need_weights=True)
    wanted = theirs(x, src_key_padding_mask=~REAL)
    torch.testing.assert_close(found, wanted)
    assert weights.shape == (2, 2, 3, 6, 6)

    ours = Decoder(2, 12, 3, 20, norm_first=first).double()
    layer = theirs_of(nn.TransformerDecoderLayer, first)
    theirs = nn.TransformerDecoder(layer, 2, end)
    theirs.layers = nn.ModuleList(x.to_torch() for x in ours.layers)
    y = random(2, 4, 12)
    found, own, cross = ours(y, x, causal_mask(4), REAL[:, None, :])
    wanted = theirs(
        y, x, tgt_mask=~causal_mask(4), memory_key_padding_mask=~REAL
    )
    torch.testing.assert_close(found, wanted)
    assert own is None and cross is None
    _, own, cross = ours(y, x, need_weights=True)
    assert own.shape == (2, 2, 3, 4, 4) and cross.shape == (2, 2, 3, 4, 6)


# The layers ----------------------------------------------------------------


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("need_weights", [True, False])
def test_is_causal_is_a_causal_mask(first, need_weights):
    """In each layer and stack, alone and with padding besides."""
    x, memory = random(2, 6, 8), random(2, 4, 8)
    options = {"norm_first": first}
    ask = {"need_weights": need_weights}
    causal = causal_mask(6)
    for model in (EncoderLayer(8, 2, **options), Encoder(2, 8, 2, **options)):
        model.double()
        for mask, table in (
            (None, causal),
            (REAL[:, None, :], REAL[:, None, :] & causal),
        ):
            found = model(x, mask, is_causal=True, **ask)
            torch.testing.assert_close(found, model(x, table, **ask))
    for model in (DecoderLayer(8, 2, **options), Decoder(2, 8, 2, **options)):
        model.double()
        found = model(x, memory, is_causal=True, **ask)
        torch.testing.assert_close(found, model(x, memory, causal, **ask))
        plain = model(x, memory, **ask)
        assert not torch.allclose(found[0], plain[0])
        if need_weights:  # the memory is read whole
            assert found[2].sum(-1).allclose(torch.ones(1).double())
            assert found[2].gt(0).all()


@given(st.permutations(range(5)))
@settings(max_examples=20)
def test_an_encoder_layer_follows_a_permutation(order):
    layer, x = EncoderLayer(8, 2).double(), random(2, 5, 8)
    order = torch.tensor(order)
    torch.testing.assert_close(layer(x[:, order])[0], layer(x)[0][:, order])


def test_the_mlp_works_on_each_token_by_itself():
    mlp, x = feed_forward(8, 32).double(), random(2, 5, 8)
    torch.testing.assert_close(mlp(x)[:, 2], mlp(x[:, 2]))


def test_pre_norm_leaves_the_sum_untouched():
    """If every part finds 0, pre-norm gives x; post-norm gives norm(x)."""
    x = random(2, 3, 8)
    for first in (True, False):
        layer = EncoderLayer(8, 2, norm_first=first).double()
        for part in (layer.attention.project_out, layer.mlp[3]):
            nn.init.zeros_(part.weight), nn.init.zeros_(part.bias)
        normed = F.layer_norm(x, (8,))
        expected = x if first else F.layer_norm(normed, (8,))
        torch.testing.assert_close(layer(x)[0], expected)


def test_default_mlp_dim_is_four_times_dim():
    assert EncoderLayer(8, 2).mlp[0].out_features == 32
    assert DecoderLayer(8, 2).mlp[0].out_features == 32


def share_of_zeros(x):
    return (x == 0).double().mean().item()


def test_dropout_of_the_residual_by_its_share_of_zeros():
    add = Residual(0.25)
    x, update = torch.zeros(40, 50, 60), torch.ones(40, 50, 60)
    dropped = add(x, update)
    assert abs(share_of_zeros(dropped) - 0.25) < 0.01
    torch.testing.assert_close(
        dropped[dropped > 0].unique(), torch.tensor([4 / 3])
    )
    assert torch.equal(add(update, update).unique(), dropped.unique() + 1)
    assert torch.equal(add.eval()(x, update), update)


@pytest.mark.parametrize("kind", [EncoderLayer, DecoderLayer])
@pytest.mark.parametrize("first", [True, False])
def test_dropout_acts_on_weights_mlp_and_sums_in_training_only(kind, first):
    """Each dropout of a layer alone, by its share of zeros."""
    layer = kind(16, 2, 400, dropout=0.25, norm_first=first)
    x = torch.randn(8, 30, 16)
    inputs = (x,) if kind is EncoderLayer else (x, x)
    updates, inner = [], []
    layer.add.dropout.register_forward_hook(
        lambda _, before, after: updates.append((before[0], after))
    )
    layer.mlp[2].register_forward_hook(
        lambda _, before, after: inner.append((before[0], after))
    )
    layer(*inputs)
    assert len(updates) == (2 if kind is EncoderLayer else 3)
    for before, after in [*updates, *inner]:
        kept = before != 0  # the ReLU's own zeros
        assert abs(share_of_zeros(after[kept]) - 0.25) < 0.03
        left = kept & (after != 0)
        torch.testing.assert_close(after[left], before[left] / 0.75)
    attentions = [layer.attention]
    if kind is DecoderLayer:
        attentions.append(layer.cross_attention)
    assert [a.dropout for a in attentions] == [0.25] * len(attentions)
    for attention in attentions:
        assert not torch.equal(attention(x)[0], attention(x)[0])
    layer.eval()
    assert torch.equal(layer(*inputs)[0], layer(*inputs)[0])


def test_dropout_of_the_embeddings_by_its_share_of_zeros():
    model = Transformer(11, 11, 64, 2, 1, dropout=0.25)
    source, target = tokens(20, 30), tokens(20, 30)
    for tokens_in, layer in (
        (source, model.encoder.layers[0]),
        (target, model.decoder.layers[0]),
    ):
        seen = []
        hook = layer.register_forward_pre_hook(
            lambda _, inputs, seen=seen: seen.append(inputs[0])
        )
        model(source, target)
        hook.remove()
        table = (
            model.source_embedding
            if tokens_in is source
            else model.target_embedding
        )
        whole = table(tokens_in) * 8 + model.positions[:30]
        assert abs(share_of_zeros(seen[0]) - 0.25) < 0.02
        left = seen[0] != 0
        torch.testing.assert_close(seen[0][left], whole[left] / 0.75)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: EncoderLayer(8, 3), "heads: .*divides dim 8, got 3"),
        (lambda: DecoderLayer(8, 2, dropout=1.0), "dropout: .*got 1.0"),
        (
            lambda: EncoderLayer(8, 2, activation="tanh"),
            "activation: .*'tanh'",
        ),
        (lambda: Encoder(0, 8, 2), "layers: expected 1 or more, got 0"),
        (lambda: Decoder(-1, 8, 2), "layers: expected 1 or more, got -1"),
        (lambda: Transformer(5, 5, 7, 1, 1), "dim: expected an even.*got 7"),
        (
            lambda: Transformer(5, 6, 8, 2, 1, share_embeddings=True),
            "share_embeddings: .*5 and 6",
        ),
    ],
)
def test_sizes_that_do_not_fit_are_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()


# The whole -----------------------------------------------------------------


def test_memory_logits_and_weights_have_their_shapes():
    model, source, target = small(), tokens(2, 5), tokens(2, 3)
    memory = model.encode(source)
    assert isinstance(memory, Memory) and memory.summary is None
    assert memory.states.shape == (2, 5, 16) and memory.mask.all()
    logits, weights = model.decode(memory, target)
    assert logits.shape == (2, 3, 11) and weights is None
    _, weights = model.decode(memory, target, need_weights=True)
    assert weights.shape == (2, 2, 2, 3, 5)
    torch.testing.assert_close(
        weights.sum(-1), torch.ones(2, 2, 2, 3).double()
    )
    assert model.encoder_weights(source).shape == (2, 2, 2, 5, 5)
    assert torch.equal(model(source, target), logits)


@given(
    st.integers(5, 40),
    st.integers(5, 40),
    st.sampled_from([2, 8, 12]),
    st.integers(1, 3),
    st.sampled_from([None, 5, 64]),
    st.booleans(),
)
@settings(max_examples=20)
def test_formula_counts_the_parameters(
    source, target, dim, layers, mlp_dim, first
):
    for shared in (False, True):
        target = source if shared else target
        options = {
            "mlp_dim": mlp_dim,
            "norm_first": first,
            "share_embeddings": shared,
        }
        model = Transformer(source, target, dim, 2, layers, **options)
        count = sum(p.numel() for p in model.parameters())
        assert count == count_by_formula(
            source, target, dim, layers, **options
        )


def test_shared_embeddings_are_one_table():
    model = small(share_embeddings=True)
    table = model.source_embedding.weight
    assert model.target_embedding.weight is table
    assert model.output.weight is table
    assert copy.deepcopy(model).output.weight.shape == (11, 16)


def test_embeddings_start_as_long_as_positions():
    model = Transformer(1000, 1000, 64, 4, 1)
    x = model.source_embedding.weight * math.sqrt(64)
    assert abs(x.std().item() - 1) < 0.02
    assert abs(model.positions.pow(2).mean().item() - 0.5) < 1e-3


@pytest.mark.parametrize("first", [True, False])
def test_no_gradient_from_the_future(first):
    model = small(norm_first=first)
    source, target = tokens(1, 4), tokens(1, 5)
    kept = {}
    model.target_embedding.register_forward_hook(
        lambda _, __, x: kept.update(x=x)
    )
    logits = model(source, target)
    for i in range(5):
        (gradient,) = torch.autograd.grad(
            logits[0, i].pow(2).sum(), kept["x"], retain_graph=True
        )
        assert not gradient[0, i + 1 :].any()
        assert gradient[0, : i + 1].abs().sum(-1).all()


def test_later_tokens_do_not_change_earlier_scores():
    model, source, target = small(), tokens(2, 4), tokens(2, 6)
    logits = model(source, target)
    for length in range(1, 6):
        torch.testing.assert_close(
            model(source, target[:, :length]), logits[:, :length]
        )


@given(st.integers(0, 4), st.integers(0, 4))
@settings(max_examples=15)
def test_padding_does_not_matter(more_source, more_target):
    model, source, target = small(), tokens(1, 4), tokens(1, 3)
    expected = tokens(1, 3)
    results = []
    for extra in (0, 1):
        model.zero_grad()
        wide = (
            F.pad(source, (0, extra * more_source), value=PAD),
            F.pad(target, (0, extra * more_target), value=PAD),
        )
        logits = model(*wide)[:, :3]
        goal = F.pad(expected, (0, extra * more_target), value=PAD)
        sequence_loss(model(*wide), goal).backward()
        results.append([logits, *(p.grad.clone() for p in model.parameters())])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)


def test_nobody_attends_to_padding_wherever_it_stands():
    """Another vector for PAD changes no real token's logits."""
    model, source, target = small(), tokens(1, 5), tokens(1, 5)
    source[0, [0, 2]] = target[0, [1, 3]] = PAD
    real = target[0] != PAD
    logits = model(source, target)[0, real]
    with torch.no_grad():
        model.source_embedding.weight[PAD] += random(16, grad=False)
        model.target_embedding.weight[PAD] += random(16, grad=False)
    torch.testing.assert_close(model(source, target)[0, real], logits)


def test_a_sequence_in_a_batch_equals_the_sequence_alone():
    model = small()
    source, target = tokens(3, 6), tokens(3, 5)
    source[1, 3:], target[1, 2:] = PAD, PAD
    source[2, 1:] = PAD
    together = model(source, target)
    alone = model(source[1:2, :3], target[1:2, :2])
    torch.testing.assert_close(together[1:2, :2], alone)
    torch.testing.assert_close(model(source[2:, :1], target[2:]), together[2:])


@pytest.mark.parametrize("need_weights", [True, False])
def test_nothing_but_padding_gives_no_nan(need_weights):
    model = small()
    source, target = tokens(2, 4), tokens(2, 3)
    source[0], target[0] = PAD, PAD
    logits, weights = model.decode(
        model.encode(source), target, need_weights=need_weights
    )
    assert logits.isfinite().all()
    logits.sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())
    if need_weights:
        assert not weights[:, 0].any()


@pytest.mark.parametrize("s, t", [(0, 3), (4, 0), (0, 0), (1, 1), (12, 12)])
def test_empty_and_longest_sequences(s, t):
    model = small()
    logits = model(tokens(2, s), tokens(2, t))
    assert logits.shape == (2, t, 11) and logits.isfinite().all()


def test_empty_batch():
    assert small()(tokens(0, 3), tokens(0, 2)).shape == (0, 2, 11)


@pytest.mark.parametrize(
    "wrong, words",
    [
        (
            torch.ones(1, 13).long(),
            r"at most 12 tokens \(max_length\), got 13",
        ),
        (torch.ones(1, 10_000).long(), "at most 12 tokens .*got 10000"),
        (
            torch.ones(3).long(),
            r"\(batch, length\), got torch.int64 of .*\(3,\)",
        ),
        (torch.ones(1, 3), "token ids .*got torch.float32"),
        (torch.ones(1, 3).bool(), "token ids .*got torch.bool"),
        ([[1, 2]], "expected a tensor of token ids, got list"),
        ("a text", "expected a tensor of token ids, got str"),
    ],
)
def test_wrong_tokens_are_named(own_errors, wrong, words):
    model, right = small(), tokens(1, 3)
    with pytest.raises(ValueError, match="source: .*" + words):
        model(wrong, right)
    with pytest.raises(ValueError, match="target: .*" + words):
        model(right, wrong)


def test_an_unknown_id_is_torchs_own_error():
    model, right = small(), tokens(1, 3)
    for wrong in (torch.tensor([[3, 11]]), torch.tensor([[3, -1]])):
        for pair in ((wrong, right), (right, wrong)):
            with pytest.raises(IndexError, match="out of range"):
                model(*pair)


def test_greedy_decode_writes_what_decode_scores():
    model, source = small().eval(), tokens(3, 5)
    memory = model.encode(source)
    written = greedy_decode(model, memory, 6)
    assert written.shape[0] == 3 and written.shape[1] <= 6
    logits, _ = model.decode(memory, shift_right(written))
    logits[..., [PAD, BOS, UNK]] = -math.inf
    real = written != PAD
    assert torch.equal(logits.argmax(-1)[real], written[real])


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("shared", [True, False])
def test_every_parameter_learns(first, shared):
    """Each gets a gradient that is not 0, in every layer."""
    model = small(norm_first=first, share_embeddings=shared)
    source, target = tokens(4, 6), tokens(4, 6)
    sequence_loss(model(source, target), target.roll(-1, 1)).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


def test_positions_are_no_part_of_the_saved_weights():
    model = small()
    assert "positions" not in model.state_dict()
    other = small()
    other.load_state_dict(model.state_dict())


def test_half_precision_under_autocast():
    model = Transformer(11, 11, 16, 2, 2)
    source, target = tokens(), tokens(2, 4)
    single = model(source, target)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = model(source, target)
    torch.testing.assert_close(half.float(), single, rtol=0.1, atol=0.1)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("need_weights", [True, False])
def test_nothing_is_read_from_the_device(training, need_weights):
    """Forward and backward, with dropout: a GPU is never waited for."""
    model = small(dropout=0.1).train(training)
    source, target = tokens(3, 6), tokens(3, 5)
    source[1, 4:], target[2, 2:] = PAD, PAD
    with HostReads() as reads:
        logits, _ = model.decode(
            model.encode(source), target, need_weights=need_weights
        )
        logits.pow(2).mean().backward()
    assert reads.count == 0
    with HostReads() as reads:
        bool((target != PAD).any())
    assert reads.count == 1  # the counter counts


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_the_whole_model_compiles_in_one_graph(own_errors, dropout):
    model = small(dropout=dropout)
    source, target = tokens(2, 6), tokens(2, 5)
    target[1, 3:] = PAD
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    torch.manual_seed(0)
    logits = compiled(source, target)
    logits.sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    model.eval()
    torch.testing.assert_close(compiled(source, target), model(source, target))


def test_the_whole_model_is_exported(own_errors):
    model = small().eval()
    source, target = tokens(2, 6), tokens(2, 5)
    target[1, 3:] = PAD
    program = torch.export.export(model, (source, target))
    found = program.module()(source.flip(1), target)
    torch.testing.assert_close(found, model(source.flip(1), target))


def test_it_runs_on_the_meta_device_and_with_fake_tensors(own_errors):
    model = small().to("meta")
    source, target = tokens(2, 6).to("meta"), tokens(2, 5).to("meta")
    assert model(source, target).shape == (2, 5, 11)
    with FakeTensorMode():
        model = Transformer(11, 11, 16, 2, 2)
        assert model(tokens(2, 6), tokens(2, 5)).shape == (2, 5, 11)


# Taking parts out ----------------------------------------------------------


def test_without_positions_the_order_of_the_source_does_not_matter():
    model, source, target = small(), tokens(1, 5), tokens(1, 3)
    turned = source.flip(1)
    assert not torch.allclose(model(source, target), model(turned, target))
    ablate(model, "positions")
    torch.testing.assert_close(model(source, target), model(turned, target))


def test_without_causal_mask_the_future_is_seen():
    model, source, target = small(), tokens(1, 5), tokens(1, 4)
    ablate(model, "causal mask")
    short = model(source, target[:, :2])
    assert not torch.allclose(short, model(source, target)[:, :2])


def test_without_norms_and_mlps_they_are_gone():
    model = ablate(small(), "norms")
    assert not any(isinstance(m, nn.LayerNorm) for m in model.modules())
    size = sum(p.numel() for p in model.parameters())
    less = ablate(small(), "MLPs")
    mlp = 2 * 16 * 64 + 64 + 16
    whole = count_by_formula(11, 11, 16, 2)
    assert size == whole - 12 * 32
    assert sum(p.numel() for p in less.parameters()) == whole - 4 * mlp
    x = random(1, 3, 16)
    layer = ablate(EncoderLayer(16, 2).double(), "norms")
    layer = ablate(layer, "MLPs")
    torch.testing.assert_close(layer(x)[0], x + layer.attention(x)[0])


def test_without_residuals_what_was_there_is_forgotten():
    layer, x = EncoderLayer(16, 2).double(), random(1, 3, 16)
    found = layer.attention(layer.norm_attention(x))[0]
    expected = layer.mlp(layer.norm_mlp(found))
    ablate(layer, "residuals")
    torch.testing.assert_close(layer(x)[0], expected)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("first", [True, False])
def test_every_part_can_be_taken_out(part, first):
    model = ablate(small(norm_first=first), part)
    logits = model(tokens(), tokens(2, 3))
    assert logits.isfinite().all()
    logits.sum().backward()


def test_only_parts_that_are_there_can_be_taken_out():
    with pytest.raises(ValueError, match="part: .*'positions'.*got 'heads'"):
        ablate(small(), "heads")
    for part in ("positions", "causal mask"):
        with pytest.raises(
            ValueError, match=f"{part}.*Transformer, got Encoder"
        ):
            ablate(Encoder(1, 8, 2), part)


# Label smoothing and warm-up -----------------------------------------------


@given(
    st.integers(2, 6), st.floats(0, 1), st.integers(1, 5), st.integers(1, 4)
)
def test_smoothed_loss_equals_torchs_and_the_common_rooms(
    size, smoothing, batch, t
):
    size += UNK
    logits = torch.randn(
        batch, t, size, dtype=torch.float64, requires_grad=True
    )
    expected = torch.randint(0, size, (batch, t))
    expected[0, 0] = EOS  # at least one that is not padding
    ours = smoothed_loss(logits, expected, smoothing)
    theirs = F.cross_entropy(
        logits.flatten(0, 1),
        expected.flatten(),
        ignore_index=PAD,
        label_smoothing=smoothing,
    )
    other = sequence_loss(logits, expected, label_smoothing=smoothing)
    close = {"rtol": 1e-6, "atol": 1e-6}
    torch.testing.assert_close(ours, theirs, **close)
    torch.testing.assert_close(ours, other, **close)
    one, two = (torch.autograd.grad(x, logits)[0] for x in (ours, theirs))
    torch.testing.assert_close(one, two, **close)


def test_smoothed_loss_by_hand():
    """Logits 1, 3, 0, -1 and class 1; the second position is padding."""
    logits = torch.tensor([[1.0, 3.0, 0.0, -1.0], [9.0, 9.0, 9.0, 0.0]])
    total = math.log(sum(math.exp(x) for x in (1, 3, 0, -1)))
    expected = 0.925 * (total - 3) + 0.025 * (3 * total - (1 + 0 - 1))
    loss = smoothed_loss(logits, torch.tensor([1, PAD]), 0.1)
    assert math.isclose(loss.item(), expected, rel_tol=1e-5)
    plain = smoothed_loss(logits, torch.tensor([1, PAD]))
    assert math.isclose(plain.item(), total - 3, rel_tol=1e-5)


def test_a_loss_of_nothing_but_padding_is_refused():
    for loss in (smoothed_loss, sequence_loss):
        with pytest.raises(ValueError, match="targ.*not padding, got none"):
            loss(torch.randn(2, 3, 7), torch.full((2, 3), PAD))


@given(st.integers(1, 9), st.floats(0, 1))
def test_smooth_labels_sum_to_one(classes, smoothing):
    targets = torch.randint(classes, (4,))
    labels = smooth_labels(targets, classes, smoothing)
    torch.testing.assert_close(labels.sum(-1), torch.ones(4))
    assert (labels >= 0).all()
    if smoothing < 0.99:
        assert torch.equal(labels.argmax(-1), targets)


@pytest.mark.parametrize("smoothing", [-0.1, 1.1])
def test_smoothing_is_a_share(smoothing):
    with pytest.raises(ValueError, match="smoothing: .*0 to 1"):
        smooth_labels(torch.tensor([0]), 3, smoothing)


@given(st.integers(1, 3000), st.integers(1, 500))
def test_noam_lr_rises_in_a_line_then_falls_with_the_root(step, warmup):
    rate, top = noam_lr(step, 64, warmup), noam_lr(warmup, 64, warmup)
    assert math.isclose(top, (64 * warmup) ** -0.5)
    share = step / warmup
    expected = share if step <= warmup else share**-0.5
    assert math.isclose(rate, top * expected)


def test_noam_lr_equals_the_papers_numbers_and_drives_torch():
    assert math.isclose(noam_lr(4000, 512), 0.000698771, rel_tol=1e-5)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: noam_lr(step + 1, 16, 5)
    )
    for step in range(1, 12):
        rate = schedule.get_last_lr()[0]
        assert math.isclose(rate, noam_lr(step, 16, 5))
        optimizer.step()
        schedule.step()


@pytest.mark.parametrize("name", ["step", "dim", "warmup"])
def test_noam_lr_counts_from_one(name):
    right = {"step": 1, "dim": 8, "warmup": 4}
    with pytest.raises(ValueError, match=f"{name}: expected 1 or more, got 0"):
        noam_lr(**{**right, name: 0})


# The task ------------------------------------------------------------------


@given(
    st.integers(1, 20),
    st.booleans(),
    st.integers(1, 4),
    st.integers(0, 5),
    st.integers(1, 30),
    st.integers(0, 10**6),
)
def test_reversals_are_reversed(count, held_out, low, more, letters, seed):
    if letters < 5:
        letters += 5  # otherwise some sums may never be multiples of 5
    generator = torch.Generator().manual_seed(seed)
    source, target, expected = reversals(
        count,
        generator,
        held_out=held_out,
        low=low,
        high=low + more,
        letters=letters,
    )
    assert source.shape == target.shape == expected.shape
    assert source.shape == (count, low + more + 1)
    for s, t, e in zip(source.tolist(), target.tolist(), expected.tolist()):
        n = s.index(EOS)
        word = s[:n]
        assert low <= n <= low + more
        assert all(UNK < i <= UNK + letters for i in word)
        rest = [PAD] * (len(s) - n - 1)
        assert s[n + 1 :] == rest
        assert t == [BOS, *word[::-1], *rest]
        assert e == [*word[::-1], EOS, *rest]
        assert (sum(word) % 5 == 0) == held_out


def test_nothing_held_out_is_ever_trained_on():
    generator = torch.Generator().manual_seed(0)
    options = {"low": 1, "high": 3, "letters": 6}
    train, _, _ = reversals(5000, generator, **options)
    test, _, _ = reversals(500, generator, held_out=True, **options)
    seen = {tuple(row) for row in train.tolist()}
    assert not seen & {tuple(row) for row in test.tolist()}


@pytest.mark.parametrize(
    "change", [{"count": 0}, {"low": 5, "high": 4}, {"low": 0}]
)
def test_nothing_to_draw_is_refused(change):
    count = change.pop("count", 3)
    with pytest.raises(
        ValueError, match="expected 1 or more, and low <= high"
    ):
        reversals(count, torch.Generator(), **change)


@pytest.mark.parametrize(
    "held_out, length, most", [(True, 1, 0), (False, 5, 0)]
)
def test_too_few_sequences_to_draw_is_named(held_out, length, most):
    """One letter, id 4: the sum is 4, held out never; or 20, always."""
    with pytest.raises(
        ValueError, match=f"count: .*at most {most} for held_out"
    ):
        reversals(
            3,
            torch.Generator(),
            held_out=held_out,
            low=length,
            high=length,
            letters=1,
        )


class Oracle(nn.Module):
    """Reverses without learning; ``slip`` makes it write one letter wrong."""

    def __init__(self, slip=False):
        super().__init__()
        self.slip = slip

    def encode(self, source):
        return Memory(source[..., None].float(), source != PAD, None)

    def decode(self, memory, target):
        logits = torch.zeros(*target.shape, 40)
        source = memory.states[..., 0].long()
        for row, tokens_in in enumerate(source.tolist()):
            n = tokens_in.index(EOS)
            right = [*tokens_in[:n][::-1], EOS]
            if self.slip and row == 0:
                right[0] = 39
            for i in range(target.shape[1]):
                logits[row, i, right[min(i, n)]] = 1
        return logits, None


def written_right(model, source, expected):
    memory = model.encode(source)
    return exact_match(
        greedy_decode(model, memory, expected.shape[1]), expected
    )


def test_exact_match_of_what_is_written_counts_every_letter_and_eos():
    source, _, expected = reversals(
        6, torch.Generator().manual_seed(0), high=9
    )
    assert written_right(Oracle(), source, expected).all()
    right = written_right(Oracle(slip=True), source, expected)
    assert right.tolist() == [False] + [True] * 5
    wide = F.pad(expected, (0, 3))
    assert written_right(Oracle(), source, wide).all()
    cut = expected.masked_fill(expected == EOS, PAD)
    assert not written_right(Oracle(), source, cut).any()


def test_a_tiny_model_learns_to_reverse():
    """The recipe of the lesson, on short words of four letters."""
    torch.manual_seed(0)
    model = Transformer(8, 8, 32, 2, 1, mlp_dim=64, max_length=8)
    generator = torch.Generator().manual_seed(0)
    options = {"low": 1, "high": 3, "letters": 4}
    training.fit(
        model,
        lambda m, b: sequence_loss(m(*b[:2]), b[2]),
        lambda _: reversals(32, generator, **options),
        steps=150,
        lr=8e-3,
        warmup=15,
        threads=1,
    )
    source, _, expected = reversals(
        100, torch.Generator().manual_seed(1), held_out=True, **options
    )
    share = written_right(model, source, expected).double().mean()
    assert share >= 0.9


# Views ---------------------------------------------------------------------


ALPHABET = CharTokenizer(["abcdefg"])


def test_story_tells_what_the_model_writes():
    model = small()
    story = views.write_story(model.eval(), ALPHABET, "  BadE ")
    assert story.source == ["b", "a", "d", "e", "EOS"]
    assert 1 <= len(story.written) <= 7
    assert story.weights.shape == (len(story.written), 5)
    torch.testing.assert_close(
        story.weights.sum(-1), torch.ones(len(story.written)).double()
    )
    best = [story.names[i] for i in story.probs.argmax(-1).tolist()]
    special = {"PAD", "BOS", "?"}
    both = zip(best, story.written)
    assert all(b == w for b, w in both if b not in special)


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "at least one letter"),
        ("   ", "at least one letter"),
        ("abz", "letters a to g only, not 'z'"),
        ("a b", "only, not ' '"),
        ("ä你", "only, not 'ä' '你'"),
        ("a" * 12, "at most 11 letters fit this model, here are 12"),
        ("word " * 10_000, "at most 11 letters .* here are 49,999"),
    ],
)
def test_text_that_does_not_fit_is_explained(text, words):
    with pytest.raises(ValueError, match=words):
        views.write_story(small(), ALPHABET, text)
    explorer = views.apart({"whole": small()}, ALPHABET, "abc")
    explorer.controls["text"].value = text
    assert "No picture: " in explorer.caption.value
    explorer.controls["text"].value = "cab"
    assert "Of cab it makes" in explorer.caption.value


def story(written="cba", end=True):
    source = [*"abc", "EOS"]
    told = [*written, "EOS"] if end else [*written]
    weights = torch.eye(4)[[2, 1, 0, 3]][: len(told)]
    names = ["PAD", "BOS", "EOS", "?", "a", "b", "c"]
    probs = torch.full((len(told), 7), 0.05)
    return views.Story(source, told, weights, probs, names)


def test_story_in_words_says_right_or_wrong():
    words = views.story_in_words("whole", story(), 2)
    assert words == (
        "Model: whole. Of abc it makes cba EOS, which is right. At step 2 it "
        "writes b and looks most at b, position 2 of 4."
    )
    assert "which is wrong" in views.story_in_words("x", story("cab"), 1)
    assert "which is wrong" in views.story_in_words("x", story(end=False), 1)


@pytest.mark.parametrize("step", [1, 4])
def test_picture_hides_what_is_still_to_come(step):
    figure = views.draw_story(story(), step, "whole")
    left, right = figure.axes
    shown = [t.get_text() for t in left.get_yticklabels()]
    assert shown == ["c", "b", "a", "EOS"][:step] + [""] * (4 - step)
    assert left.images[0].get_array()[step:].sum() == 0
    assert len(right.patches) == 5
    assert left.get_title("left") == "whole: where it looked"


@pytest.mark.parametrize("text", ["a", "abcdefgabcd"])
def test_explorer_takes_every_length_and_step(text):
    explorer = views.apart(
        {"whole": small(), "without norms": ablate(small(), "norms")},
        ALPHABET,
        text,
    )
    last = explorer.controls["step"].max
    assert last >= len(views.write_story(small(), ALPHABET, text).written)
    explorer.controls["step"].value = last
    explorer.controls["model"].value = "without norms"
    assert "Model: without norms" in explorer.caption.value
    assert "No picture" not in explorer.caption.value


def test_table_shows_every_row():
    rows = {
        "whole": {"loss": 0.01, "tokens": 0.999, "exact": 0.987},
        "without all": {"loss": 2.5, "tokens": 0.1, "exact": 0.0},
    }
    figure = views.ablation_table(rows, title="A finding")
    texts = [t.get_text() for t in figure.axes[0].texts]
    for word in ("whole", "without all", "0.987", "0.000", "2.500", "0.999"):
        assert word in texts
    assert len(figure.axes[0].patches) == 2


@pytest.mark.parametrize("first", [True, False])
def test_architecture_shows_every_part_once(first):
    model = Transformer(11, 13, 16, 2, 3, norm_first=first)
    figure = views.architecture(model)
    texts = [t.get_text() for t in figure.axes[0].texts]
    assert f"causal self-attention: {4 * 16 * 16 + 64:,}" in texts
    assert texts.count("norm: 32") == (7 if first else 5)
    assert texts.count("x 3") == 2
    assert f"output layer: {13 * 17}" in texts
    total = count_by_formula(11, 13, 16, 3, norm_first=first)
    assert f"{total:,} parameters" in figure.axes[0].get_title("left")


def test_weights_start_as_torchs_transformer_does():
    """Xavier's bound for matrices; embeddings whose rows have length 1."""
    model = Transformer(50, 60, 64, 4, 1, mlp_dim=256)
    embeddings = (model.source_embedding.weight, model.target_embedding.weight)
    for name, weight in model.named_parameters():
        if weight.dim() < 2 or any(weight is table for table in embeddings):
            continue
        bound = math.sqrt(6 / sum(weight.shape))
        assert 0.95 * bound < weight.abs().max() <= bound, name
        assert abs(weight.std() / bound - 3**-0.5) < 0.05, name
    for table in embeddings:
        assert abs(table.norm(dim=1).mean() - 1) < 0.05


def test_a_model_takes_256_tokens_by_default():
    model = Transformer(5, 5, 8, 2, 1)
    tokens = torch.ones(1, 256, dtype=torch.int64)
    assert model(tokens, tokens[:, :1]).shape == (1, 1, 5)
    with pytest.raises(ValueError, match="at most 256 tokens"):
        model(torch.ones(1, 257, dtype=torch.int64), tokens[:, :1])
