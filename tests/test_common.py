"""The common room: each of its parts by hand, or against torch and scipy."""

import time
import types

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn
from torch.nn import functional as F

from attn_course.common import (
    arguments,
    batching,
    measuring,
    seq2seq,
    statistics,
    text,
    tokens,
)
from attn_course.common.attribution import gradient_x_input
from attn_course.common.evaluation import evaluating
from attn_course.common.threads import cpu_threads
from attn_course.common.tokens import BOS, EOS, PAD, UNK


def test_special_tokens_have_the_first_ids():
    assert (PAD, BOS, EOS, UNK) == (0, 1, 2, 3)
    assert tokens.FIRST_ID == len(tokens.SPECIAL_TOKENS) == 4


# Arguments -------------------------------------------------------------------


@pytest.mark.parametrize(
    "check, good, bad, words",
    [
        (arguments.check_at_least, {"a": 1}, {"a": 0}, "a: expected 1 or"),
        (
            arguments.check_positive,
            {"a": 0.1},
            {"a": 0},
            "a: .*above 0, got 0",
        ),
        (arguments.check_even, {"a": 2}, {"a": 3}, "a: .*even.*got 3"),
        (arguments.check_even, {"a": 4}, {"a": 0}, "a: .*even.*got 0"),
        (arguments.check_dropout, {"a": 0}, {"a": 1}, "a: .*below 1, got 1"),
        (arguments.check_dropout, {"a": 0.9}, {"a": -0.1}, "a: expected 0 or"),
    ],
)
def test_numbers_are_refused_by_name(check, good, bad, words):
    first = (1,) if check is arguments.check_at_least else ()
    check(*first, **good)
    with pytest.raises(ValueError, match=f"^{words}"):
        check(*first, **bad)


@pytest.mark.parametrize(
    "check", [arguments.check_positive, arguments.check_dropout]
)
def test_nan_is_no_number(check):
    with pytest.raises(ValueError, match="p: .* got nan"):
        check(p=float("nan"))
    with pytest.raises(ValueError, match="p: .* got nan"):
        arguments.check_at_least(0, p=float("nan"))


def test_check_choice():
    arguments.check_choice("kind", None, (None, "a"))
    with pytest.raises(ValueError, match=r"kind: .*\('a', 'b'\), got 'c'"):
        arguments.check_choice("kind", "c", ["a", "b"])


def test_check_texts(own_errors):
    assert arguments.check_texts("texts", (t for t in "ab")) == ["a", "b"]
    for wrong, words in (
        ("one", "got one text"),
        (3, "got int"),
        (["a", 3], "got int in it"),
        ([], "got none"),
    ):
        with pytest.raises(ValueError, match=f"^sources: .*{words}"):
            arguments.check_texts("sources", wrong)


def shapes(q=(2, 3, 4), k=(2, 5, 4), v=(2, 5, 6)):
    return torch.zeros(q), torch.zeros(k), torch.zeros(v)


def test_check_shapes(own_errors):
    arguments.check_shapes(*shapes())
    query, key, value = shapes()
    for wrong, words in (
        (([1.0], key, value), "query: expected a torch tensor, got list"),
        ((query[0, 0], key, value), r"query: .*got shape \(4,\)"),
        ((query, key.long(), value), "key: expected floating"),
        (shapes(k=(2, 5, 3)), r"key: expected shape \(2, 5, 4\)"),
        (shapes(k=(1, 5, 4)), r"key: .*got \(1, 5, 4\)"),
        (shapes(v=(2, 4, 6)), r"value: expected shape \(2, 5, 6\)"),
        (shapes(v=(3, 5, 6)), r"value: .*got \(3, 5, 6\)"),
        (shapes(v=(1, 5, 6)), r"value: .*got \(1, 5, 6\)"),
        ((query, key.double(), value), "key: expected the query's dtype"),
        ((query, key, value.half()), "value: expected the query's dtype"),
        ((query, key, value.to("meta")), "value: .*device cpu, got meta"),
    ):
        with pytest.raises(ValueError, match=f"^{words}"):
            arguments.check_shapes(*wrong)


@pytest.mark.parametrize("shape", [(3, 5), (1, 3, 5), (2, 1, 5), (1,), ()])
def test_check_mask_takes_what_broadcasts_to_the_scores(shape):
    query, key, _ = shapes()
    arguments.check_mask(torch.ones(shape, dtype=torch.bool), query, key)


def test_check_mask_refuses(own_errors):
    query, key, _ = shapes()
    mask = torch.ones(3, 5, dtype=torch.bool)
    for wrong, words in (
        (mask.float(), "boolean tensor .*got torch.float32"),
        (None, "boolean tensor .*got NoneType"),
        (mask.T, r"broadcasts to \(2, 3, 5\).*got \(5, 3\)"),
        (mask.expand(1, 2, 3, 5), "broadcasts"),
        (mask.to("meta"), "device cpu, got meta"),
    ):
        with pytest.raises(ValueError, match=f"^mask: .*{words}"):
            arguments.check_mask(wrong, query, key)


def test_checks_of_tensors_work_where_there_are_no_numbers():
    q, k, v = (x.to("meta") for x in shapes())
    arguments.check_shapes(q, k, v)
    arguments.check_mask(torch.ones(3, 5, dtype=torch.bool).to("meta"), q, k)


def test_check_tokens(own_errors):
    good = torch.tensor([[0, 4], [1, 2]])
    arguments.check_token_ids("source", good, 5, 2)
    arguments.check_token_ids("source", good[:0].int(), 5)
    for wrong, words in (
        ([[1]], "tensor of token ids, got list"),
        (good.float(), "got torch.float32"),
        (good > 1, "got torch.bool"),
        (good[0], r"shape \(2,\)"),
        (torch.zeros(1, 3).long(), r"at most 2 tokens \(max_length\), got 3"),
    ):
        for check in (
            lambda x: arguments.check_token_ids("source", x, 5, 2),
            lambda x: arguments.check_tokens("source", x, 2),
        ):
            with pytest.raises(ValueError, match=f"^source: .*{words}"):
                check(wrong)
    for wrong, words in ((good + 1, "1 to 5"), (good - 1, "-1 to 3")):
        with pytest.raises(ValueError, match=f"0 to 4, got {words}"):
            arguments.check_token_ids("source", wrong, 5)
        arguments.check_tokens("source", wrong.to("meta"))  # ids are not read


# Evaluation mode -------------------------------------------------------------


def test_evaluating_restores_every_part_after_any_exception():
    model = nn.Sequential(nn.Dropout(), nn.Sequential(nn.Dropout())).train()
    model[0].eval()  # a frozen part stays frozen
    before = [m.training for m in model.modules()]
    with pytest.raises(KeyboardInterrupt), evaluating(model):
        assert not any(m.training for m in model.modules())
        with evaluating(model[1], model):
            pass
        assert not any(m.training for m in model.modules())
        raise KeyboardInterrupt
    assert [m.training for m in model.modules()] == before


def test_evaluating_leaves_evaluation_mode_as_it_was():
    model = nn.Dropout().eval()
    with evaluating(model):
        pass
    assert not model.training


# Sequences -------------------------------------------------------------------


def test_shift_right_reads_bos_and_all_but_the_last():
    target = torch.tensor([[7, 8, EOS], [9, EOS, PAD]])
    expected = torch.tensor([[BOS, 7, 8], [BOS, 9, EOS]])
    torch.testing.assert_close(seq2seq.shift_right(target), expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_sequence_loss_by_hand(smoothing):
    logits = torch.randn(2, 3, 5, dtype=torch.float64)
    target = torch.tensor([[4, EOS, PAD], [EOS, PAD, PAD]])
    losses = []
    for row, position in ((0, 0), (0, 1), (1, 0)):
        q = torch.full((5,), smoothing / 5, dtype=torch.float64)
        q[target[row, position]] += 1 - smoothing
        losses.append(-(q * logits[row, position].log_softmax(0)).sum())
    torch.testing.assert_close(
        seq2seq.sequence_loss(logits, target, label_smoothing=smoothing),
        torch.stack(losses).mean(),
    )


def test_sequence_loss_takes_any_batch():
    logits, target = torch.randn(2, 3, 4, 5), torch.randint(1, 5, (2, 3, 4))
    torch.testing.assert_close(
        seq2seq.sequence_loss(logits, target),
        F.cross_entropy(logits.view(-1, 5), target.view(-1)),
    )


def test_sequence_loss_refuses(own_errors):
    logits, target = torch.zeros(1, 2, 5), torch.ones(1, 2).long()
    for wrong, words in (
        ((logits, target[:, :1]), "target: expected shape"),
        ((logits, target * PAD), "target: .*that is not padding, got none"),
        ((logits, target.float()), "target: expected token ids"),
    ):
        with pytest.raises(ValueError, match=words):
            seq2seq.sequence_loss(*wrong)
    with pytest.raises(ValueError, match="label_smoothing: .*got 1.5"):
        seq2seq.sequence_loss(logits, target, label_smoothing=1.5)


class Copier(nn.Module):
    """Writes its source, whatever else is more probable among the specials."""

    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(0.9)
        self.read = []

    def encode(self, source):
        states = F.one_hot(source, 10).float()
        return seq2seq.Memory(states, source != PAD, None)

    def decode(self, memory, target):
        self.read.append(target.shape[1])
        length = target.shape[1]
        rows = F.pad(memory.states, (0, 0, 0, length))[:, :length]
        logits = self.dropout(rows)
        logits[..., [PAD, BOS, UNK]] += 100.0
        return logits, None


class StepCopier(Copier):
    def start(self, memory):
        return torch.zeros(len(memory.mask), dtype=torch.int64)

    def step(self, memory, state, token):
        logits = super().decode(memory, token[:, None])[0][:, 0] * 0
        rows = memory.states[torch.arange(len(state)), state]
        return logits + rows, None, state + 1


SOURCE = torch.tensor([[7, 8, 9, EOS], [5, EOS, PAD, PAD]])


@pytest.mark.parametrize("kind", [Copier, StepCopier])
def test_greedy_decode(kind):
    model = kind().train()
    model.dropout.p = 0.9
    written = seq2seq.greedy_decode(model, model.encode(SOURCE), 9)
    torch.testing.assert_close(written, SOURCE)  # and stops when all is done
    assert model.training  # left as it was, asked without dropout
    assert model.read == ([1, 2, 3, 4] if kind is Copier else [1] * 4)
    short = seq2seq.greedy_decode(model, model.encode(SOURCE), 2)
    torch.testing.assert_close(short, SOURCE[:, :2])


def test_protocols():
    assert isinstance(Copier(), seq2seq.Seq2SeqModel)
    assert not isinstance(Copier(), seq2seq.StepwiseDecoder)
    assert isinstance(StepCopier(), seq2seq.StepwiseDecoder)


def test_greedy_decode_refuses_no_length():
    with pytest.raises(ValueError, match="max_length: expected 1 or more"):
        seq2seq.greedy_decode(Copier(), Copier().encode(SOURCE), 0)


def test_exact_match_pads_and_counts_eos(own_errors):
    predictions = torch.tensor([[7, EOS, PAD], [7, 8, EOS], [7, EOS, 8]])
    targets = torch.tensor([[7, EOS], [7, 8], [7, EOS]])
    right = seq2seq.exact_match(predictions, targets)
    assert right.tolist() == [True, False, False]
    right = seq2seq.exact_match(targets, predictions)
    assert right.tolist() == [True, False, False]
    with pytest.raises(ValueError, match="predictions: expected 3.*got 2"):
        seq2seq.exact_match(predictions[:2], targets)


# Batches ---------------------------------------------------------------------


def test_pad():
    padded = batching.pad([[5], [], (6, 7)])
    assert padded.tolist() == [[5, PAD], [PAD, PAD], [6, 7]]
    assert padded.dtype == torch.int64
    with pytest.raises(ValueError, match="rows: .*got none"):
        batching.pad([])


def test_full_batches():
    counts = [batching.full_batches(7, size) for size in (1, 2, 3, 7)]
    assert counts == [7, 3, 2, 1]
    for size in (0, 8):
        with pytest.raises(ValueError, match="size: expected 1 to 7"):
            batching.full_batches(7, size)


def shuffled(generator, epoch):
    return batching.shuffled_batches(7, 3, generator)


def test_an_epoch_is_shuffled_anew_and_repeatable():
    batch = batching.epoch_batches(shuffled, seed=1)
    epochs = [[batch(2 * e + i).tolist() for i in (0, 1)] for e in range(3)]
    for first, second in epochs:
        assert len({*first, *second}) == 6  # no example twice
        assert {*first, *second} <= set(range(7))
    flat = [sum(epoch, []) for epoch in epochs]
    assert len(set(map(tuple, flat))) == 3 and sorted(flat[0]) != flat[0]
    again = batching.epoch_batches(shuffled, seed=1)
    assert again(5).tolist() == epochs[2][1]  # without those before it
    other = batching.epoch_batches(shuffled, seed=2)
    assert other(0).tolist() != epochs[0][0]


def test_a_plan_is_asked_for_epochs_from_0_up():
    asked = []

    def plan(generator, epoch):
        asked.append(epoch)
        return "ab"

    batch = batching.epoch_batches(plan)
    assert [batch(step) for step in (0, 1, 3, 4)] == list("abba")
    assert asked == [0, 1, 2]


def test_a_plan_may_draw_more_than_an_order():
    def plan(generator, epoch):
        rows = batching.shuffled_batches(6, 2, generator)
        return [
            (r, f, epoch)
            for r, f in zip(rows, torch.rand(6, generator=generator).split(2))
        ]

    rows, numbers, epoch = batching.epoch_batches(plan, seed=3)(4)
    generator = torch.Generator().manual_seed(3 * 1_000_003 + 1)
    order = torch.randperm(6, generator=generator)
    torch.testing.assert_close(rows, order[2:4])
    torch.testing.assert_close(
        numbers, torch.rand(6, generator=generator)[2:4]
    )
    assert epoch == 1


def test_buckets_hold_examples_alike_in_length_in_random_order():
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(50, generator=generator)
    lengths = torch.arange(50) // 2
    batches = batching.bucketed_batches(order, lengths[order], 8, generator)
    assert sorted(map(len, batches)) == [2, 8, 8, 8, 8, 8, 8]
    assert sorted(torch.cat(batches).tolist()) == list(range(50))
    for rows in batches:
        assert int(lengths[rows].max() - lengths[rows].min()) <= 4
    starts = [int(lengths[rows].min()) for rows in batches]
    assert starts != sorted(starts)


def test_buckets_are_sorted_within_pools_and_stable():
    order = torch.tensor([3, 0, 2, 1, 5, 4])
    lengths = torch.tensor([1, 1, 0, 1, 0, 0])  # of the entries of order
    one = torch.Generator().manual_seed(0)
    batches = batching.bucketed_batches(order, lengths, 2, one, pool=2)
    two = torch.Generator().manual_seed(0)
    expected = [[2, 3], [0, 1], [5, 4]]
    mixed = torch.randperm(3, generator=two).tolist()
    assert [b.tolist() for b in batches] == [expected[i] for i in mixed]
    for wrong, words in (
        ({"size": 0}, "size: expected 1"),
        ({"pool": 0}, "pool: expected 1"),
        ({"lengths": lengths[1:]}, "lengths: expected 6.*got 5"),
    ):
        arguments = {"order": order, "lengths": lengths, "size": 2, **wrong}
        with pytest.raises(ValueError, match=words):
            batching.bucketed_batches(generator=one, **arguments)


# Text ------------------------------------------------------------------------


def test_tokenize(own_errors):
    assert text.tokenize("Don\u2019t stop, Ann!") == [
        "don't",
        "stop",
        "ann",
        "!",
    ]
    with pytest.raises(ValueError, match="text: expected a string, got int"):
        text.tokenize(3)


def test_vocabulary_of_words(own_errors):
    vocabulary = text.Vocabulary(["b", "a"])
    assert (len(vocabulary), "a" in vocabulary, "c" in vocabulary) == (6, 1, 0)
    assert vocabulary.token_to_id == {"b": 4, "a": 5}
    assert vocabulary.table({"a": 2.0}).tolist() == [0, 0, 0, 0, 0, 2]
    for wrong, words in (("ab", "list of words"), (["a", "a"], "'a' twice")):
        with pytest.raises(ValueError, match=f"words: .*{words}"):
            text.Vocabulary(wrong)


def test_vocabulary_of_texts_keeps_the_frequent_words_in_order():
    texts = ["b c a", "C b d", "c"]
    assert text.Vocabulary.from_texts(texts).words == ["c", "b"]
    every = text.Vocabulary.from_texts(texts, min_freq=1)
    assert every.words == ["c", "b", "a", "d"]
    with pytest.raises(ValueError, match="min_freq: expected 1"):
        text.Vocabulary.from_texts(texts, min_freq=0)


def test_vocabulary_encodes_and_decodes():
    vocabulary = text.Vocabulary(["a", "b"])
    encoded = vocabulary.encode(["B x a a", "a", ""], max_length=3)
    assert encoded.tolist() == [[5, UNK, 4], [4, PAD, PAD], [PAD] * 3]
    assert vocabulary.encode([""]).shape == (1, 1)
    assert vocabulary.encode([]).shape == (0, 1)
    ids = torch.tensor([[BOS, 5, UNK, 4, EOS, 4], [PAD] * 6])
    assert vocabulary.decode(ids) == ["b a", ""]


def test_vocabulary_refuses_one_text(own_errors):
    with pytest.raises(ValueError, match=r"write \[text\]"):
        text.Vocabulary(["a"]).encode("a")


def test_characters_come_back():
    tokenizer = text.CharTokenizer(["abc é", "年"])
    for texts in (["abc é年"], ["", "a"], ["年", "b b", "éé"], [""]):
        tokens = tokenizer.encode(texts)
        assert tokenizer.decode(tokens) == texts
        assert tokens.max() < len(tokenizer) == 10
    assert "年" in tokenizer and "x" not in tokenizer
    assert tokenizer.characters == sorted("abc é年")


def test_unknown_characters_and_empty_texts():
    tokenizer = text.CharTokenizer(["ab"])
    assert tokenizer.encode(["ax", ""]).tolist() == [
        [4, UNK, EOS],
        [EOS, 0, 0],
    ]
    tokens = torch.tensor([[BOS, 4, UNK, EOS, 5], [99, 0, 0, 0, 0]])
    assert tokenizer.decode(tokens) == ["a?", "?"]


@pytest.mark.parametrize("texts", ["a date", [], [3], ["a", None]])
def test_char_tokenizer_refuses_what_is_no_text(texts, own_errors):
    with pytest.raises(ValueError, match="texts: expected"):
        text.CharTokenizer(["ab"]).encode(texts)


# Statistics ------------------------------------------------------------------


def test_an_interval_is_written_as_it_is_asked_for():
    interval = statistics.Interval(0.5, 0.25, 0.75)
    assert str(interval) == f"{interval}" == "0.5 [0.2, 0.8]"
    assert f"{interval:.2f}" == "0.50 [0.25, 0.75]"


def test_wilson_interval_by_its_formula():
    score, low, high = statistics.wilson_interval(45, 60)
    p, n, z = 45 / 60, 60, stats.norm.ppf(0.975)
    middle = p + z**2 / (2 * n)
    spread = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert score == p
    assert low == pytest.approx((middle - spread) / (1 + z**2 / n))
    assert high == pytest.approx((middle + spread) / (1 + z**2 / n))
    for correct, total in ((-1, 3), (4, 3), (0, 0)):
        with pytest.raises(ValueError, match=f"got {correct} of {total}"):
            statistics.wilson_interval(correct, total)


def test_mean_interval_by_hand():
    interval = statistics.mean_interval(torch.tensor([1.0, 2.0, 3.0, 6.0]))
    spread = 1.96 * np.std([1, 2, 3, 6], ddof=1) / 2
    assert interval == pytest.approx((3, 3 - spread, 3 + spread))
    with pytest.raises(
        ValueError, match="values: expected two or more, got 1"
    ):
        statistics.mean_interval(torch.ones(1))


def test_resample_draws_as_many_items_as_there_are():
    draws = statistics.resample(5, 2_000, seed=1)
    assert draws.shape == (2_000, 5) and (draws.sum(1) == 5).all()
    assert draws.mean(0) == pytest.approx(np.ones(5), abs=0.1)
    assert draws.var(0) == pytest.approx(np.full(5, 0.8), abs=0.1)
    assert (draws == statistics.resample(5, 2_000, seed=1)).all()
    with pytest.raises(ValueError, match="count: expected 1"):
        statistics.resample(0)


def test_bootstrap_agrees_with_scipy():
    values = np.random.default_rng(0).normal(size=80)
    interval = statistics.bootstrap(
        lambda times: times @ values / times.sum(), 80, 4_000
    )
    theirs = stats.bootstrap(
        (values,), np.mean, method="percentile", random_state=1
    ).confidence_interval
    assert interval.score == pytest.approx(values.mean())
    assert interval.low == pytest.approx(theirs.low, abs=0.02)
    assert interval.high == pytest.approx(theirs.high, abs=0.02)


def test_paired_bootstrap_draws_the_same_items_for_all():
    values = np.random.default_rng(0).normal(size=40)
    systems = {
        name: lambda times, plus=plus: times @ (values + plus) / times.sum()
        for name, plus in (("a", 0.0), ("b", 1.0))
    }
    result = statistics.paired_bootstrap(systems, 40, 200)
    assert list(result.scores) == ["a", "b"] and list(result.leads) == ["b"]
    assert result.leads["b"] == pytest.approx((1, 1, 1))
    assert result.scores["a"] == statistics.bootstrap(systems["a"], 40, 200)
    assert result.scores["a"].low < result.scores["a"].high - 0.3
    with pytest.raises(ValueError, match="systems: expected at least one"):
        statistics.paired_bootstrap({}, 3)


def test_hierarchical_bootstrap_resamples_seeds_and_items():
    rng = torch.Generator().manual_seed(0)
    seeds = torch.randn(8, 1, generator=rng)
    items = torch.randn(1, 200, generator=rng)

    def width(values, clusters=None):
        interval = statistics.hierarchical_bootstrap(values, clusters)
        assert interval.score == pytest.approx(values.mean().item(), abs=1e-6)
        return interval.high - interval.low

    by_item = 2 * 1.96 * items.std(correction=0).item() / 200**0.5
    by_seed = 2 * 1.96 * seeds.std(correction=0).item() / 8**0.5
    assert width(items.expand(8, -1)) == pytest.approx(by_item, rel=0.1)
    assert width(seeds.expand(-1, 200)) == pytest.approx(by_seed, rel=0.1)
    both = (by_item**2 + by_seed**2) ** 0.5
    assert width(seeds + items) == pytest.approx(both, rel=0.1)
    # Ten items of one voice, all alike: only 20 different ones.
    voices = items[:, :20].repeat_interleave(10, dim=1).expand(8, -1)
    names = [f"voice {i // 10}" for i in range(200)]
    by_voice = 2 * 1.96 * items[:, :20].std(correction=0).item() / 20**0.5
    assert width(voices, names) == pytest.approx(by_voice, rel=0.1)
    with pytest.raises(ValueError, match="clusters: expected 200.*got 3"):
        statistics.hierarchical_bootstrap(voices, names[:3])


def test_spearman_is_scipys():
    a = torch.randint(5, (2, 3, 9)).float()
    b = torch.randn(2, 3, 9)
    ours = statistics.spearman(a, b)
    for i in range(2):
        for j in range(3):
            rho = stats.spearmanr(a[i, j], b[i, j]).statistic
            assert ours[i, j].item() == pytest.approx(rho)


def test_spearman_is_nan_without_an_order():
    rows = torch.tensor([[1.0, 1, 1], [1, float("nan"), 2], [1, 2, 3]])
    rho = statistics.spearman(rows, rows)
    assert rho.isnan().tolist() == [True, True, False] and rho[2] == 1
    with pytest.raises(ValueError, match="a, b: .*two numbers or more"):
        statistics.spearman(torch.ones(1), torch.ones(1))


# Measuring -------------------------------------------------------------------


def test_count_parameters_counts_what_training_may_change():
    model = nn.Linear(3, 4)
    model.bias.requires_grad_(False)
    assert measuring.count_parameters(model) == 12
    tied = nn.ModuleList([model, model])
    assert measuring.count_parameters(tied) == 12


@pytest.fixture
def fake_clock(monkeypatch):
    """A clock that moves only when a test says so."""
    now = types.SimpleNamespace(time=0.0)
    for name in ("thread_time", "perf_counter"):
        monkeypatch.setattr(time, name, lambda: now.time)
    return now


def takes(clock, seconds):
    """A function whose calls last these seconds, the last ones for ever."""
    rest = list(seconds)

    def function():
        clock.time += rest.pop(0) if len(rest) > 1 else rest[0]

    return function


def test_the_first_call_warms_up_and_is_not_counted(fake_clock):
    for statistic, first, expected in (
        ("fastest", 0.5, 2.0),
        ("median", 100.0, 3.0),
    ):
        functions = {"a": takes(fake_clock, [first, 9.0, 2.0, 3.0])}
        seconds = measuring.measure_seconds(functions, 3, statistic=statistic)
        assert seconds == {"a": pytest.approx(expected)}


def test_turns_are_added_while_something_gets_faster(fake_clock):
    falling = [2.0**-i for i in range(50)]
    functions = {
        "a": takes(fake_clock, falling),
        "b": takes(fake_clock, [5.0]),
    }
    seconds = measuring.measure_seconds(functions, 2)
    assert seconds["a"] == pytest.approx(2.0**-8)  # 1 + 4 * 2 turns
    assert seconds["b"] == pytest.approx(5.0)


def test_no_turn_is_added_once_the_fastest_falls_by_less(fake_clock):
    """A fall of 5 % from 4 s adds a turn, one of 4 % does not."""
    for second, turns in ((3.84, 2), (3.76, 3)):
        calls = [0]

        def function(second=second, calls=calls):
            fake_clock.time += 4.0 if calls[0] < 2 else second
            calls[0] += 1

        seconds = measuring.measure_seconds({"a": function}, 2)
        assert seconds["a"] == pytest.approx(second)
        assert calls == [1 + turns]


def test_one_thread_is_timed_by_its_own_time(monkeypatch):
    """Which other programs do not lengthen; but not in steps of 16 ms."""
    for name in ("thread_time", "perf_counter"):
        monkeypatch.setattr(time, name, lambda name=name: name)
    for platform, threads, expected in (
        ("linux", 1, "thread_time"),
        ("linux", 2, "perf_counter"),
        ("linux", None, "perf_counter"),
        ("win32", 1, "perf_counter"),
    ):
        monkeypatch.setattr(measuring.sys, "platform", platform)
        assert measuring._clock(threads, "cpu")() == expected
    monkeypatch.setattr(measuring.sys, "platform", "linux")
    assert measuring._clock(1, "cuda:1")() == "perf_counter"


def test_the_clock_waits_for_the_device_that_is_measured(monkeypatch):
    done = []
    monkeypatch.setattr(torch.accelerator, "synchronize", done.append)
    measuring.measure_seconds({"a": lambda: done.append("call")}, 1)
    assert set(done) == {"call"}  # a CPU has nothing to wait for
    done.clear()
    measuring.time_call(lambda: done.append("call"), device="cuda:1")
    assert done == ["cuda:1", "call", "cuda:1"]


def test_measuring_refuses(fake_clock):
    with pytest.raises(ValueError, match="repeats: expected 1 or more"):
        measuring.measure_seconds({}, 0)
    with pytest.raises(ValueError, match="statistic: .*got 'mean'"):
        measuring.measure_seconds({}, statistic="mean")


def test_threads_are_set_for_a_while():
    before = torch.get_num_threads()
    with cpu_threads(before + 1), cpu_threads(None):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    inside = []
    with pytest.raises(KeyError):
        measuring.measure_seconds(
            {1: lambda: inside.append(torch.get_num_threads()), 2: {}.popitem}
        )
    assert set(inside) <= {1} and torch.get_num_threads() == before


def test_count_flops():
    a, b = torch.ones(2, 3), torch.ones(3, 4)
    assert measuring.count_flops(lambda: a @ b) == 2 * 2 * 3 * 4
    x = torch.ones(1, 1, 8, 4)
    fused = measuring.count_flops(
        lambda: F.scaled_dot_product_attention(x, x, x)
    )
    assert fused == 2 * (2 * 8 * 8 * 4)


def test_peak_bytes():
    x = torch.ones(100)

    def function():
        y = x + 1  # 400 bytes
        z = y * 2  # 400 more
        del y
        return z.view(10, 10) + 1  # in place of the first

    assert measuring.peak_bytes(function) == 800
    assert measuring.peak_bytes(lambda: x.view(10, 10)) == 0
    assert measuring.peak_bytes(lambda: x.add_(0)) == 0


# Attribution -----------------------------------------------------------------


def test_gradient_x_input_is_exact_where_the_answer_is_linear():
    vectors = torch.randn(3, 4, 5, dtype=torch.float64)
    weight = torch.randn(3, 4, 5, dtype=torch.float64)
    scores = gradient_x_input(lambda x: (x * weight).sum((1, 2)), vectors)
    torch.testing.assert_close(scores, (vectors * weight).sum(-1))
    assert not scores.requires_grad and not vectors.requires_grad


def test_gradient_x_input_is_the_slope_where_it_bends():
    vectors = torch.randn(2, 3, 4, dtype=torch.float64)
    step = 1e-6

    def answer(x):
        return (
            x.prod(dim=1).sin().sum(dim=-1)
        )  # each token hangs on the others

    scores = gradient_x_input(answer, vectors)
    for token in range(3):
        more, less = vectors.clone(), vectors.clone()
        more[:, token] *= 1 + step
        less[:, token] *= 1 - step
        slope = (answer(more) - answer(less)) / (2 * step)
        torch.testing.assert_close(scores[:, token], slope, rtol=1e-5, atol=0)
