"""Lesson 08's module, data and views: pooling, intervals, deletion."""

import itertools
import math
import statistics

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from attn_course import data
from attn_course import text_classification as lesson
from attn_course.common.text import Vocabulary, tokenize
from attn_course.common.tokens import PAD
from attn_course.data import snippets
from attn_course.widgets import text_classification as views

DOUBLE = torch.float64
CLOSE = {
    torch.float64: {},
    torch.float32: {},
    torch.bfloat16: {"rtol": 0.05, "atol": 0.05},
}


@pytest.fixture(scope="module")
def parts():
    return {name: snippets.load(name) for name in snippets.SPLITS}


@pytest.fixture(scope="module")
def builder(build_script):
    return build_script("snippets")


def small_model(size=20, classes=3, **options):
    options = {"dim": 8, "heads": 2, "max_length": 12, **options}
    model = lesson.TextClassifier(size, classes, **options).double().eval()
    with torch.no_grad():
        model.embedding.weight *= 10
        if hasattr(model.pool, "query"):
            model.pool.query.normal_()
    return model


ALL = [{"pooling": "mean"}, {"pooling": "attention"}, {"layers": 2}]


# --- the data ---------------------------------------------------------------


def test_snippets_are_as_many_as_the_card_says(parts):
    card = data.resources.files(data).joinpath("snippets", "CARD.md")
    text = card.read_text("utf-8")
    total = 0
    for name, part in parts.items():
        kinds = [sum(s.source == k for s in part) for k in snippets.SOURCES]
        total += len(part)
        assert f"{name} {len(part):,}" in text
        assert all(f"{count:,}" in text for count in kinds)
    for kind in snippets.SOURCES:
        count = sum(s.source == kind for p in parts.values() for s in p)
        assert f"| {kind.capitalize()} | {count:,} of" in text
    assert total == 23_077
    clear = [
        len(lesson.sentiment_task(parts[n])[0]) for n in ("train", "test")
    ]
    assert "{:,} training and {:,} test".format(*clear) in text
    news = [s.rating for p in parts.values() for s in p if s.source == "news"]
    near = statistics.mean(abs(rating) < 0.5 for rating in news)
    assert f"{100 * near:.0f} %\n  of their ratings" in text


def test_snippets_are_clean_and_rated(parts, builder):
    for part in parts.values():
        for snippet in part:
            assert builder.clean(snippet.text) == snippet.text
            assert len(builder.key(snippet.text).split()) >= 3
            assert -4 <= snippet.rating <= 4 and snippet.document >= 1
            assert "@anonymous" not in snippet.text


def test_no_snippet_stands_twice(parts, builder):
    keys = [builder.key(s.text) for p in parts.values() for s in p]
    assert len(keys) == len(set(keys))


def test_no_document_is_parted(parts):
    seen = [{s[:2] for s in part} for part in parts.values()]
    assert not seen[0] & seen[1] and not seen[0] & seen[2]
    assert not seen[1] & seen[2]


@pytest.fixture(scope="module")
def rows(parts):
    """All embedded texts as the build handles them, the parts in any order."""
    return [
        (s.source, s.document, f"{s.rating:.2f}", s.text)
        for name in ("test", "train", "valid")
        for s in parts[name]
    ]


@pytest.fixture(scope="module")
def near(rows, builder):
    """All pairs of texts that are nearly alike."""
    return list(builder.near_pairs([builder.key(row[3]) for row in rows]))


def test_the_build_splits_the_embedded_texts_the_same_way(
    parts, rows, near, builder, monkeypatch
):
    assert builder.unlike(rows) == rows
    monkeypatch.setattr(builder, "near_pairs", lambda keys: near)
    for name, found in builder.split(rows).items():
        expected = [(*s[:2], f"{s.rating:.2f}", s.text) for s in parts[name]]
        assert found == expected


def test_no_text_is_near_one_on_the_other_side(parts, near):
    where = [n for n in ("test", "train", "valid") for _ in parts[n]]
    assert len(near) >= 90
    for one, other in near:
        assert where[one] == where[other]


def test_near_pairs_are_those_that_a_plain_loop_finds(builder, parts):
    keys = [builder.key(s.text) for s in parts["train"][:300]]
    keys += [key + " indeed" for key in keys[:40]]
    bags = [set(key.split()) for key in keys]
    expected = {
        (i, j)
        for j in range(len(bags))
        for i in range(j)
        if len(bags[i] & bags[j]) >= 0.6 * len(bags[i] | bags[j])
    }
    assert set(builder.near_pairs(keys)) == expected and len(expected) >= 40


def test_build_cleans_what_it_should(builder):
    assert builder.clean(" a  &amp;amp; b @anonymous c") == "a & b c"
    assert builder.key("Don't STOP, co-op!") == "dont stop co op"
    rows = [
        ("tweets", 1, "1.00", "Good film, this!"),
        ("tweets", 2, "2.00", "good film THIS"),
        ("tweets", 3, "0.00", "too short"),
    ]
    assert builder.unlike(rows) == rows[:1]


def test_snippets_refuse_other_splits():
    with pytest.raises(ValueError, match="split: .*'train'.*'dev'"):
        snippets.load("dev")


def test_the_licence_is_the_packages():
    folder = data.resources.files(data).joinpath("snippets")
    text = folder.joinpath("LICENSE.txt").read_text("utf-8")
    assert "The MIT License" in text and "C.J. Hutto" in text


# --- texts and tasks --------------------------------------------------------


@settings(max_examples=50)
@given(st.text(max_size=200))
def test_any_text_can_be_read(text):
    vocabulary = Vocabulary.from_texts(["good film", "good plot"])
    tokens = vocabulary.encode([text])
    assert tokens.shape == (1, max(1, min(64, len(tokenize(text)))))
    probs = lesson.predict_proba(MODEL, tokens)
    assert torch.isfinite(probs).all()


MODEL = lesson.TextClassifier(5, 2, dim=4)


def test_vocabulary_of_the_lesson_knows_the_training_texts_only(parts):
    texts, _ = lesson.topic_task(parts["train"])
    vocabulary = Vocabulary.from_texts(texts)
    counts = {}
    for text in texts:
        for word in tokenize(text):
            counts[word] = counts.get(word, 0) + 1
    assert set(vocabulary.words) == {w for w, n in counts.items() if n >= 2}


def test_tasks():
    made = [
        snippets.Snippet("news", 1, 0.5, "one"),
        snippets.Snippet("tweets", 1, -0.49, "two"),
        snippets.Snippet("movies", 1, -0.5, "three"),
    ]
    texts, labels = lesson.sentiment_task(made)
    assert texts == ["one", "three"] and labels.tolist() == [1, 0]
    assert lesson.sentiment_task(made, margin=0.2)[1].tolist() == [1, 0, 0]
    texts, labels = lesson.topic_task(made)
    assert texts == ["one", "two", "three"] and labels.tolist() == [3, 1, 0]


# --- pooling ----------------------------------------------------------------


def masked(lengths, longest):
    return torch.arange(longest) < torch.tensor(lengths)[:, None]


@pytest.mark.parametrize("dtype", list(CLOSE))
def test_pooling_equals_torchs_attention_with_one_query(dtype, device):
    if "mps" in device and dtype == DOUBLE:
        pytest.skip("MPS has no float64")
    pool = lesson.AttentionPooling(6).to(device, dtype)
    pool.query.data.normal_()
    states = torch.randn(3, 5, 6, dtype=dtype, device=device)
    states.requires_grad_()
    mask = masked([5, 2, 1], 5).to(device)
    pooled, weights = pool(states, mask)
    expected = F.scaled_dot_product_attention(
        pool.query.expand(3, 1, 6), states, states, mask[:, None], scale=1.0
    )[:, 0]
    torch.testing.assert_close(pooled, expected, **CLOSE[dtype])
    ones = torch.ones_like(weights[:, 0])
    torch.testing.assert_close(weights.sum(dim=1), ones, **CLOSE[dtype])
    assert not weights[~mask].any()
    direction = torch.randn_like(pooled)
    for ours, torchs in zip(
        *[
            torch.autograd.grad((y * direction).sum(), [states, pool.query])
            for y in (pooled, expected)
        ]
    ):
        torch.testing.assert_close(ours, torchs, **CLOSE[dtype])


def test_pooling_equals_a_loop():
    pool = lesson.AttentionPooling(3).double()
    pool.query.data.normal_()
    text = torch.randn(4, 3, dtype=DOUBLE)
    powers = [
        math.exp(sum(a * b for a, b in zip(row, pool.query.tolist())))
        for row in text.tolist()
    ]
    expected = [
        sum(p * row[c] for p, row in zip(powers, text.tolist())) / sum(powers)
        for c in range(3)
    ]
    found, _ = pool(text[None], torch.ones(1, 4, dtype=torch.bool))
    torch.testing.assert_close(found[0], torch.tensor(expected).double())


def test_the_hand_example():
    pool = lesson.AttentionPooling(2).double()
    pool.query.data.copy_(torch.tensor([1.0, 0.0]))
    states = torch.tensor([[[1.0, 1.0], [0.0, 1.0]]], dtype=DOUBLE)
    pooled, weights = pool(states, torch.tensor([[True, True]]))
    assert [round(x, 4) for x in weights[0].tolist()] == [0.7311, 0.2689]
    assert [round(x, 4) for x in pooled[0].tolist()] == [0.7311, 1.0]


@given(st.lists(st.integers(0, 6), min_size=1, max_size=4))
def test_a_query_of_zeros_is_mean_pooling(lengths):
    states = torch.randn(len(lengths), 6, 4, dtype=DOUBLE)
    mask = masked(lengths, 6)
    fresh = lesson.AttentionPooling(4).double()
    for ours, mean in zip(
        fresh(states, mask), lesson.MeanPooling()(states, mask)
    ):
        torch.testing.assert_close(ours, mean)


@pytest.mark.parametrize("pooling", lesson.POOLINGS)
def test_a_text_without_words_gives_zeros_and_no_nan(pooling):
    model = small_model(pooling=pooling)
    tokens = torch.tensor([[0, 0], [5, 6]])
    scores, weights = model.read(tokens)
    assert not weights[0].any()
    torch.testing.assert_close(scores[0], model.head.bias)
    scores.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


# --- the classifier ---------------------------------------------------------


@pytest.mark.parametrize("options", ALL)
@settings(max_examples=15)
@given(st.integers(1, 7), st.integers(0, 5))
def test_padding_does_not_matter(options, length, more):
    model = small_model(**options)
    text = torch.randint(4, 20, (1, length))
    other = torch.randint(4, 20, (1, length + more))
    batch = torch.zeros(2, length + more, dtype=torch.int64)
    batch[0, :length], batch[1] = text[0], other[0]

    def run(tokens):
        vectors = model.embedding(tokens).detach().requires_grad_()
        scores, weights = model.read_vectors(vectors, tokens != PAD)
        parameters = [p for n, p in model.named_parameters() if "emb" not in n]
        slopes = torch.autograd.grad(
            scores[0].square().sum(), [vectors, *parameters]
        )
        return (
            scores[0],
            weights[0, :length],
            slopes[0][0, :length],
            slopes[1:],
        )

    for one, two in zip(run(text), run(batch)):
        torch.testing.assert_close(one, two)


@pytest.mark.parametrize("options", ALL)
def test_what_stands_in_the_padding_gets_no_gradient(options):
    model = small_model(**options)
    tokens = torch.tensor([[5, 6, 0, 0]])
    vectors = model.embedding(tokens).detach().requires_grad_()
    scores, _ = model.read_vectors(vectors, tokens != PAD)
    (slope,) = torch.autograd.grad(scores.sum(), vectors)
    assert slope[0, :2].any() and not slope[0, 2:].any()


@pytest.mark.parametrize("options", ALL)
def test_only_the_transformer_sees_the_order(options):
    model = small_model(**options)
    one = model(torch.tensor([[5, 6, 7, 8]]))
    two = model(torch.tensor([[8, 6, 5, 7]]))
    assert torch.allclose(one, two) == ("layers" not in options)


@pytest.mark.parametrize("options", ALL)
def test_every_parameter_learns(options):
    model = small_model(**options).train()
    tokens = torch.randint(4, 20, (9, 6))
    F.cross_entropy(model(tokens), torch.arange(9) % 3).backward()
    for name, parameter in model.named_parameters():
        gradient = parameter.grad
        assert gradient is not None and gradient.any(), name
        assert gradient.isfinite().all(), name


@pytest.mark.parametrize("pooling", lesson.POOLINGS)
def test_dropout_sets_a_share_of_the_states_to_0_in_training_only(pooling):
    model = small_model(dropout=0.3, word_dropout=0.0, pooling=pooling)
    vectors = torch.ones(50, 12, 8, dtype=DOUBLE)
    mask = torch.ones(50, 12, dtype=torch.bool)
    assert torch.equal(model.states(vectors, mask), vectors)
    states = model.train().states(vectors, mask)
    dropped = (states == 0).double().mean().item()
    assert 0.27 < dropped < 0.33
    # what is left is larger, so that the mean stays
    torch.testing.assert_close(
        states[states != 0], torch.full_like(states[states != 0], 1 / 0.7)
    )


def test_the_encoder_drops_of_vectors_and_positions():
    """Dropout comes before the layers: a layer of nothing shows its share."""
    model = small_model(layers=1, dropout=0.3, word_dropout=0.0).train()
    seen = []
    model.encoder.register_forward_pre_hook(lambda m, x: seen.append(x[0]))
    vectors = torch.ones(50, 12, 8, dtype=DOUBLE)
    mask = torch.ones(50, 12, dtype=torch.bool)
    model.states(vectors, mask)
    whole = vectors * math.sqrt(8) + model.positions.double()
    assert 0.27 < (seen[0] == 0).double().mean().item() < 0.33
    kept = seen[0] != 0
    torch.testing.assert_close(seen[0][kept], whole[kept] / 0.7)


def test_word_dropout_leaves_words_out_in_training_only():
    model = small_model(word_dropout=0.5, dropout=0.0, pooling="mean")
    tokens = torch.randint(4, 20, (200, 10))
    assert (model.read(tokens)[1] > 0).all()
    kept = model.train().read(tokens)[1] > 0
    assert 0.47 < kept.double().mean() < 0.53
    # each text loses words of its own, and others the next time
    assert len({tuple(row) for row in kept.tolist()}) > 100
    assert not torch.equal(kept, model.read(tokens)[1] > 0)
    model.word_dropout = 0.0
    assert (model.read(tokens)[1] > 0).all()


def test_left_out_words_are_left_out_of_the_encoder_too():
    model = small_model(layers=1, word_dropout=0.5, dropout=0.0).train()
    masks = []
    model.encoder.register_forward_pre_hook(lambda m, x: masks.append(x[1]))
    weights = model.read(torch.randint(4, 20, (9, 10)))[1]
    assert torch.equal(masks[0][:, 0], weights > 0)


def test_models_save_and_load(tmp_path):
    model, other = small_model(layers=1), small_model(layers=1)
    torch.save(model.state_dict(), tmp_path / "model.pt")
    other.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    tokens = torch.randint(4, 20, (2, 5))
    torch.testing.assert_close(model(tokens), other(tokens))


def test_models_run_on_every_device(device):
    for options in ALL:
        model = lesson.TextClassifier(20, 3, dim=8, **options).to(device)
        tokens = torch.randint(4, 20, (5, 6)).to(device)
        assert lesson.predict_proba(model, tokens).shape == (5, 3)


@pytest.mark.parametrize("options", ALL)
def test_probs_come_in_the_texts_order(options):
    model = small_model(**options).train()
    tokens = torch.randint(4, 20, (11, 7))
    for row, length in enumerate(torch.randint(0, 8, (11,))):
        tokens[row, length:] = PAD
    probs = lesson.predict_proba(model, tokens, batch_size=4)
    assert model.training
    torch.testing.assert_close(probs, model.eval()(tokens).softmax(dim=-1))
    assert lesson.predict_proba(model, tokens[:0]).shape == (0, 3)


ASK = {
    "predict_proba": lambda m, t: lesson.predict_proba(m, t),
    "weight_scores": lambda m, t: lesson.weight_scores(m, t),
    "logit_attribution": lambda m, t: lesson.logit_attribution(m, t),
    "comprehensiveness": lambda m, t: lesson.comprehensiveness(
        m, t, 1.0 * t, 1
    ),
    "read_text": lambda m, t: lesson.read_text(m, Vocabulary(["a"]), "a b"),
}


@pytest.mark.parametrize("name", ASK)
@pytest.mark.parametrize("error", [None, RuntimeError, KeyboardInterrupt])
def test_every_question_leaves_the_mode_as_it_was(name, error):
    tokens = torch.randint(4, 20, (5, 6))

    def stop(*args):
        assert not model.training
        if error is not None:
            raise error

    for training in (True, False):
        model = small_model(dropout=0.9, word_dropout=0.9)
        model.train(training)
        model.head.eval()  # a frozen part stays frozen
        model.pool.register_forward_hook(stop)
        if error is None:
            assert not getattr(ASK[name](model, tokens), "requires_grad", 0)
        else:
            with pytest.raises(error):
                ASK[name](model, tokens)
        assert model.training is model.dropout.training is training
        assert not model.head.training


def test_a_question_asks_without_dropout():
    tokens = torch.randint(4, 20, (5, 6))
    for ask in ASK.values():
        model = small_model(dropout=0.9, word_dropout=0.9).train()
        first, second = ask(model, tokens), ask(model, tokens)
        if isinstance(first, lesson.Reading):
            assert first == second
        else:
            assert torch.equal(first, second)


def test_what_a_classifier_is_by_default():
    torch.manual_seed(0)
    model = lesson.TextClassifier(2_000, 3, layers=1)
    assert model.dropout.p == 0.5 and model.word_dropout == 0.2
    assert model.head.in_features == 64 and model.max_length == 64
    assert isinstance(model.pool, lesson.AttentionPooling)
    assert model.encoder.layers[0].attention.heads == 4
    assert not model.embedding.weight[PAD].any()
    spread = model.embedding.weight[1:].std().item()
    assert 0.095 < spread < 0.105  # small: a rare word says little
    assert "positions" not in model.state_dict()
    bag = lesson.TextClassifier(9, 3)
    assert bag.encoder is None and not hasattr(bag, "positions")


@pytest.mark.parametrize("options", ALL)
def test_the_forward_pass_reads_no_number_back_to_the_host(options):
    """On the meta device there is none to read."""
    model = lesson.TextClassifier(20, 3, dim=8, **options).to("meta").train()
    tokens = torch.zeros(4, 6, dtype=torch.int64, device="meta")
    assert model(tokens).shape == (4, 3)


def test_batches_show_every_text_once_an_epoch():
    labels = torch.arange(12)
    tokens = torch.arange(12)[:, None] + 4 + torch.zeros(12, 3).long()
    for row in range(12):
        tokens[row, row % 3 + 1 :] = PAD
    batches = lesson.text_batches(tokens, labels, size=4, seed=1)
    for epoch in range(2):
        seen = [batches(3 * epoch + place) for place in range(3)]
        assert sorted(torch.cat([y for _, y in seen]).tolist()) == [*range(12)]
        for x, y in seen:
            assert torch.equal(x, tokens[y, : x.shape[1]])
            assert (x[:, -1] != PAD).any()
    again = lesson.text_batches(tokens, labels, size=4, seed=1)
    assert torch.equal(again(4)[0], batches(4)[0])
    assert torch.equal(batches(0)[1], again(0)[1])


def test_each_epoch_has_an_order_of_its_own():
    """Other batches, and these in another order, but the seed's own."""
    labels = torch.arange(400)
    tokens = torch.full((400, 9), 5)
    for row in range(400):
        tokens[row, row % 9 + 1 :] = PAD

    def epochs(seed):
        batches = lesson.text_batches(tokens, labels, size=10, seed=seed)
        steps = [batches(i)[1].tolist() for i in range(120)]
        return steps[:40], steps[40:80], steps[80:]

    for one, two in itertools.combinations([*epochs(0), *epochs(1)], 2):
        first, second = ({frozenset(batch) for batch in x} for x in (one, two))
        assert len(first & second) < 10  # hardly a batch comes again
    assert epochs(1) == epochs(1)
    for epoch in epochs(0):
        longest = [max(i % 9 + 1 for i in batch) for batch in epoch]
        rising = sum(a <= b for a, b in zip(longest, longest[1:]))
        assert 10 < rising < 32  # not from short to long
        shortest = [min(i % 9 + 1 for i in batch) for batch in epoch]
        spread = [a - b for a, b in zip(longest, shortest)]
        assert statistics.mean(spread) < 6 and max(spread) > 0


def test_a_batch_has_64_texts_by_default():
    labels, tokens = torch.arange(130), torch.full((130, 3), 5)
    batches = lesson.text_batches(tokens, labels)
    assert batches(0)[0].shape == (64, 3) and len(batches(1)[1]) == 64
    same = lesson.text_batches(tokens, labels, size=64, seed=0)
    assert torch.equal(batches(3)[1], same(3)[1])


def test_the_rest_that_fills_no_batch_changes_from_epoch_to_epoch():
    labels, tokens = torch.arange(13), torch.full((13, 3), 5)
    batches = lesson.text_batches(tokens, labels, size=4)
    seen = {
        frozenset(
            torch.cat([batches(3 * e + i)[1] for i in range(3)]).tolist()
        )
        for e in range(20)
    }
    assert all(len(epoch) == 12 for epoch in seen) and len(seen) > 5


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda: small_model()("a text"), "tokens: .*got str.*encode"),
        (lambda: small_model()(torch.ones(2, 3)), "tokens: .*float32"),
        (lambda: small_model()(torch.ones(3).long()), r"tokens: .*\(3,\)"),
        (
            lambda: small_model()(torch.ones(1, 13).long()),
            "tokens: expected at most 12 in a row, got 13.*max_length=12",
        ),
        (
            lambda: lesson.predict_proba(small_model(), torch.tensor([[20]])),
            "tokens: expected ids from 0 to 19, got 20",
        ),
        (lambda: small_model(pooling="max"), "pooling: .*'mean'.*'max'"),
        (lambda: small_model(word_dropout=1.0), "word_dropout: .*got 1.0"),
        (lambda: small_model(layers=1, heads=3), "heads: .*8.*3"),
        (
            lambda: lesson.text_batches(torch.ones(3, 2), torch.ones(3), 4),
            "size: expected 1 to 3.*got 4",
        ),
        (
            lambda: lesson.paired_difference(
                torch.ones(2).bool(), torch.ones(3).bool()
            ),
            r"second: .*\(2,\).*\(3,\)",
        ),
        (
            lambda: lesson.delete_top(
                torch.ones(1, 3).long(), torch.ones(1, 2), 1
            ),
            r"scores: .*\(1, 3\).*\(1, 2\)",
        ),
        (
            lambda: lesson.delete_top(
                torch.ones(1, 3).long(), torch.ones(1, 3), -1
            ),
            "count: .*got -1",
        ),
    ],
)
def test_wrong_input_is_named(own_errors, call, said):
    with pytest.raises(ValueError, match=said):
        call()


# --- how sure ---------------------------------------------------------------


def test_paired_difference_by_counts():
    first = torch.tensor([True] * 70 + [False] * 40 + [True] * 890)
    second = torch.tensor([False] * 70 + [True] * 40 + [True] * 890)
    middle, low, high = lesson.paired_difference(first, second)
    assert middle == pytest.approx(0.03)
    spread = 1.96 * math.sqrt((0.11 - 0.03**2) / 999)
    assert (low, high) == pytest.approx((0.03 - spread, 0.03 + spread))
    swapped = lesson.paired_difference(second, first)
    assert swapped == pytest.approx((-middle, -high, -low))


def test_intervals_hold_the_truth_as_often_as_they_say():
    generator = torch.Generator().manual_seed(0)
    inside = 0
    for _ in range(400):
        draw = torch.rand(2, 300, generator=generator)
        _, low, high = lesson.paired_difference(draw[0] < 0.8, draw[1] < 0.75)
        inside += low <= 0.05 <= high
    assert 0.92 < inside / 400 < 0.98


# --- which words ------------------------------------------------------------


@pytest.mark.parametrize("options", ALL)
def test_attributions_sum_to_the_lead_without_its_constant(options):
    model = small_model(**options)
    tokens = torch.tensor([[5, 6, 7, 0], [8, 9, 10, 11]])
    scores = model(tokens) - model.head.bias
    for target in (None, 2):
        if target is None:
            chosen = model(tokens).argmax(dim=-1, keepdim=True)
        else:
            chosen = torch.full((2, 1), target)
        score = scores.gather(1, chosen)[:, 0]
        lead = score - (scores.sum(dim=1) - score) / 2
        attributions = lesson.logit_attribution(model, tokens, target)
        torch.testing.assert_close(attributions.sum(dim=1), lead)
        assert not attributions[0, 3]


def test_weights_are_those_of_the_pooling():
    model = small_model()
    tokens = torch.tensor([[5, 6, 0]])
    weights = lesson.weight_scores(model, tokens)
    score = model.embedding.weight[[5, 6]] @ model.pool.query
    torch.testing.assert_close(weights[0, :2], score.softmax(dim=0))


@given(st.integers(0, 9), st.integers(0, 1000))
def test_delete_top_against_a_loop(count, seed):
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(4, 9, (5, 7), generator=generator)
    scores = torch.randn(5, 7, generator=generator)
    for row, length in enumerate(
        torch.randint(0, 8, (5,), generator=generator)
    ):
        tokens[row, length:] = PAD
    found = lesson.delete_top(tokens, scores, count)
    for row, marks, left in zip(tokens, scores, found):
        words = [(m, t) for m, t in zip(marks.tolist(), row.tolist()) if t]
        gone = sorted(words, reverse=True)[:count]
        expected = [t for m, t in words if (m, t) not in gone]
        assert left.tolist() == expected + [PAD] * (7 - len(expected))


def test_comprehensiveness_by_hand():
    model = small_model()
    tokens = torch.tensor([[5, 6, 7, 0], [8, 9, 0, 0]])
    scores = torch.tensor(
        [[0.1, 0.9, 0.2, 5.0], [0.3, 0.1, 9.0, 9.0]]
    ).double()
    found = lesson.comprehensiveness(model, tokens, scores, 1)
    for row, (whole, less) in enumerate([([5, 6, 7], [5, 7]), ([8, 9], [9])]):
        before = model(torch.tensor([whole])).softmax(dim=-1)[0]
        after = model(torch.tensor([less])).softmax(dim=-1)[0]
        best = before.argmax()
        torch.testing.assert_close(found[row], before[best] - after[best])
    assert not lesson.comprehensiveness(model, tokens, scores, 0).any()


def test_shuffle_keeps_words_and_padding():
    tokens = torch.randint(4, 20, (50, 9))
    tokens[:, 6:] = PAD
    mixed = lesson.shuffle_words(tokens, seed=1)
    assert torch.equal(mixed, lesson.shuffle_words(tokens, seed=1))
    assert not torch.equal(mixed, tokens) and not mixed[:, 6:].any()
    assert torch.equal(mixed.sort(dim=1).values, tokens.sort(dim=1).values)


# --- one text, and the views ------------------------------------------------


@pytest.fixture
def reader():
    vocabulary = Vocabulary.from_texts(["good bad film plot"] * 2)
    model = small_model(len(vocabulary), 2)

    def look(text, without=None):
        return lesson.read_text(model, vocabulary, text, without)

    return look


def test_read_text(reader):
    found = reader("Good film, unheard!")
    assert found.words == ["good", "film", "unheard", "!"]
    assert found.known == [True, True, False, False]
    assert sum(found.weights) == pytest.approx(1)
    assert sum(found.probs) == pytest.approx(1) and found.skipped == 0
    left = reader("Good film, unheard!", 1)
    assert left == reader("good unheard !")


def test_read_text_at_the_edges(reader, own_errors):
    empty = reader("")
    assert empty.words == [] and sum(empty.probs) == pytest.approx(1)
    assert reader("good", 0).probs == pytest.approx(empty.probs)
    long = reader("good " * 10_000)
    assert len(long.words) == 12 and long.skipped == 9_988
    assert reader("bad " + "good " * 12, 0).words == ["good"] * 12
    for wrong in (None, 5, ["good"]):
        with pytest.raises(ValueError, match="text: expected a string"):
            reader(wrong)
    with pytest.raises(ValueError, match="without: .*0 to 0, got 3"):
        reader("good", 3)


CLASSES = ("negative", "positive")
ALT = "a text with its words marked by weight"


@pytest.fixture
def widget(reader):
    return views.TextReader(
        {"one": (reader, CLASSES), "two": (reader, CLASSES)}, "good film", ALT
    )


def test_widget_follows_the_text(widget):
    before = widget.answer.value
    widget.text.value = "bad plot here"
    assert widget.answer.value != before and "plot" in widget.answer.value
    assert "1 of 3 words" in widget.answer.value
    assert 'role="status"' in widget.answer.value
    assert [label for label, _ in widget.drop.options] == [
        "nothing",
        "1: bad",
        "2: plot",
        "3: here",
    ]


def test_widget_leaves_a_word_out_and_comes_back(widget, reader):
    widget.text.value = "bad plot"
    whole = widget.answer.value
    widget.drop.value = 0
    now = reader("bad plot", 0)
    assert "Without &quot;bad&quot;" in widget.answer.value
    assert f"{100 * now.probs[1]:.0f} %" in widget.answer.value
    widget.model.value = "two"
    assert "Without &quot;bad&quot;" in widget.answer.value
    widget.drop.value = -1
    assert widget.answer.value == whole
    widget.drop.value = 1
    widget.text.value = "good"  # a new text: nothing is left out any more
    assert widget.drop.value == -1 and "Without" not in widget.answer.value


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "no word to read"),
        (" .,; \n", "no word to read"),
        ("good " * 10_000, "Only the first 12 words are read; 9,988 more"),
        ("xyzzy plugh", "2 of 2 words"),
        ("\u597d\u7535\u5f71 \U0001f600", "1 of 1 words"),
        ("<script>alert(1)</script> good", "script"),
        ("a" * 100_000, "1 of 1 words"),
    ],
)
def test_widget_takes_any_text(widget, text, said):
    widget.text.value = text
    assert said in widget.answer.value
    assert "<script>" not in widget.answer.value
    widget.drop.value = widget.drop.options[-1][1]
    assert "%" in widget.answer.value


def test_widget_reads_well_where_no_kernel_runs(widget):
    widget.text.value = "another text"
    bundle = widget._repr_mimebundle_()
    assert bundle["text/plain"] == ALT
    assert "<img alt=" in bundle["text/html"]


def test_words_are_said_without_colour(reader):
    assert views.as_list(["a", "b", "c"], [0.2, 0.5, 0.3], count=2) == (
        "b 50, c 30, and 1 more words"
    )
    found = reader("good film")
    assert all(
        f"<small>{100 * w:.0f}<" in views.as_html(found) for w in found.weights
    )
    assert views.loudest(reader("")) == ""


@given(st.lists(st.integers(1, 200), max_size=40))
def test_lines_hold_every_word_once(lengths):
    lines = views.lines_of(["x" * n for n in lengths], across=30)
    assert [i for line in lines for i in line] == [*range(len(lengths))]
    for line in lines:
        wide = sum(max(lengths[i], 3) + 1 for i in line)
        assert wide <= 30 or len(line) == 1


def test_highlight_draws_each_word_with_its_number():
    figure = views.highlight([("said", ["good", "$x$"], [0.7, -0.3])])
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == ["said", "good", "70", "$x$", "-30"]
    thick = [line.get_linewidth() for line in figure.axes[0].lines]
    assert thick[0] > thick[1]
    assert figure.axes[0].lines[1].get_linestyle() != "-"
    with pytest.raises(ValueError, match="numbers: expected one per word, 1"):
        views.highlight([("said", ["good"], [])])
    assert views.highlight([("empty", [], [])])


def test_tables_write_their_numbers():
    hits = {
        "a": torch.tensor([True] * 9 + [False]),
        "b": torch.ones(10).bool(),
    }
    texts = views.accuracy_table(hits, title="t").axes[0].texts
    assert texts[0].get_text().startswith("0.900  [0.596, 0.982]")
    lead = views.difference_table(hits, "b", title="t").axes[0].texts
    assert len(lead) == 1 and lead[0].get_text().startswith("-0.100")
    drops = {"x": {1: torch.randn(9), 3: torch.randn(9)}}
    assert views.deletion_curves(drops, title="t").axes[0].get_title() == ""


def test_panels_have_a_title():
    numbers = {"a": torch.arange(9.0), "b": torch.arange(9.0) - 4}
    figure = views.side_by_side({"one": numbers, "two": numbers}, title="Far")
    assert figure.get_suptitle() == "Far"
    assert len(figure.axes) == 2
