"""Lesson 12: the three layers, their prices, the tasks and the views."""

import json
import math
import re
import subprocess

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import pyplot as plt
from torch import nn

from attn_course import rnn_cnn_attention as lesson
from attn_course import training
from attn_course.common.measuring import count_parameters
from attn_course.widgets import rnn_cnn_attention as views
from attn_course.widgets import script
from tests.host_reads import HostReads

TYPES = (torch.float32, torch.float64)

# --- the layers --------------------------------------------------------------


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("bias", [True, False])
def test_gru_is_torchs_in_value_and_gradient(dtype, bias):
    theirs = nn.GRU(3, 5, bias=bias, batch_first=True).to(dtype)
    x = torch.randn(2, 7, 3, dtype=dtype, requires_grad=True)
    weights = list(theirs.parameters())
    ours = lesson.gru(x, *weights)
    expected = theirs(x)[0]
    torch.testing.assert_close(ours, expected)
    both = [
        torch.autograd.grad(out.pow(2).sum(), [x, *weights])
        for out in (ours, expected)
    ]
    for gradient, expected in zip(*both):
        torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-5)


def test_gru_step_is_torchs_cell_and_the_gates_are_shares():
    cell = nn.GRUCell(3, 4)
    x, h = torch.randn(6, 3), torch.randn(6, 4)
    state = lesson.gru_step(x, h, *cell.parameters())
    torch.testing.assert_close(state, cell(x, h))
    low = torch.minimum(h, -torch.ones(()))
    assert (state >= low).all() and (state <= torch.clamp(h, min=1)).all()


@pytest.mark.parametrize("dtype", TYPES)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 9))
@settings(max_examples=20)
def test_convolution_is_torchs_in_value_and_gradient(
    dtype, kernel, dilation, length
):
    ours = lesson.CausalConv(3, kernel, dilation).to(dtype)
    theirs = ours.to_torch()
    x = torch.randn(2, length, 3, dtype=dtype, requires_grad=True)
    padded = nn.functional.pad(x.transpose(1, 2), ((kernel - 1) * dilation, 0))
    expected = theirs(padded).transpose(1, 2)
    torch.testing.assert_close(ours(x), expected)
    (mine,) = torch.autograd.grad(ours(x).pow(2).sum(), x)
    (other,) = torch.autograd.grad(expected.pow(2).sum(), x)
    torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", lesson.LAYER_KINDS)
def test_a_reader_does_not_look_ahead(kind):
    model = lesson.SequenceTagger(kind, 9, 3, 8, rotary=True)
    tokens = torch.randint(0, 9, (4, 20))
    changed = tokens.clone()
    changed[:, 12:] = (changed[:, 12:] + 1) % 9
    a, b = model(tokens), model(changed)
    torch.testing.assert_close(a[:, :12], b[:, :12])
    assert not torch.allclose(a[:, 12:], b[:, 12:])


@pytest.mark.parametrize("kind", lesson.LAYER_KINDS)
def test_every_parameter_learns_and_nothing_is_read_back(kind):
    model = lesson.SequenceTagger(kind, 9, 3, 8, rotary=True)
    tokens = torch.randint(0, 9, (4, 20))
    with HostReads() as reads:
        model(tokens).logsumexp(dim=-1).square().sum().backward()
    assert reads.count == 0
    for name, parameter in model.named_parameters():
        assert parameter.grad.abs().max() > 1e-7, name


def test_blocks_keep_what_comes_in_and_add_to_it():
    x = torch.randn(2, 7, 6)
    conv = lesson.ConvBlock(6, 3, 2)
    torch.testing.assert_close(
        conv(x), x + conv.conv(conv.norm(x)).clamp(min=0)
    )
    block = lesson.AttentionBlock(6, rotary=True)
    middle = x + block.attention(block.norm_attention(x))[0]
    torch.testing.assert_close(
        block(x), middle + block.mlp(block.norm_mlp(middle))
    )
    recurrent = lesson.GRUBlock(6)
    torch.testing.assert_close(recurrent(x), recurrent.gru(x)[0])


def test_attention_sees_order_only_if_rotary():
    tokens = torch.arange(9)[None]
    turned = tokens.clone()
    turned[:, :8] = tokens[:, :8].flip(1)  # the last stays
    for rotary in (False, True):
        model = lesson.SequenceTagger("attention", 9, 3, 8, rotary=rotary)
        first = model.blocks[:1]
        one, other = (
            first(model.embedding(x))[:, -1] for x in (tokens, turned)
        )
        assert torch.allclose(one, other, atol=1e-6) is not rotary


def test_dilations_grow_by_the_kernel():
    for kind, expected in (
        ("CNN", [1] * 6),
        ("dilated CNN", [1, 3, 9, 27, 81, 243]),
    ):
        blocks = lesson.SequenceTagger(kind, 9, 3, 8).blocks
        assert [block.conv.dilation for block in blocks] == expected
        assert {block.conv.kernel for block in blocks} == {3}


def test_answers_are_judged_in_evaluation_mode():
    model = nn.Sequential(nn.Embedding(4, 4), nn.Dropout(0.9))
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(4))
    tokens = torch.randint(0, 4, (5, 50))
    assert lesson.correct(model, (tokens, tokens)).all()
    assert model.training and model[1].training


@pytest.mark.parametrize("kind", lesson.LAYER_KINDS)
def test_widths_give_equal_sizes(kind):
    dim = lesson.width_for(kind, 8_000, 44, 8)
    size = count_parameters(lesson.SequenceTagger(kind, 44, 8, dim))
    assert abs(size / 8_000 - 1) < 0.12


# --- theory and measurement --------------------------------------------------


@given(st.integers(0, 3000), st.integers(2, 7))
def test_paths_by_counting(distance, kernel):
    plain = lesson.path_length("CNN", distance, kernel)
    assert plain * (kernel - 1) >= distance
    assert plain == 1 or (plain - 1) * (kernel - 1) < distance
    far = lesson.path_length("dilated CNN", distance, kernel)
    assert sum((kernel - 1) * kernel**i for i in range(far)) >= distance
    assert far == 1 or kernel ** (far - 1) <= distance
    assert 1 == lesson.path_length("attention", distance, kernel) <= far
    assert far <= plain <= lesson.path_length("GRU", distance, kernel)


@pytest.mark.parametrize("kind", lesson.LAYER_KINDS)
@pytest.mark.parametrize("kernel, rounds", [(2, 1), (2, 4), (3, 2), (4, 3)])
def test_reach_is_what_the_formula_says(kind, kernel, rounds):
    field = lesson.receptive_field(
        lesson.after_n_layers(kind, rounds, 3, kernel), 18, 3
    )
    for i in range(18):
        expected = [
            i >= j and lesson.path_length(kind, i - j, kernel) <= rounds
            for j in range(18)
        ]
        assert field[i].tolist() == expected


@pytest.mark.parametrize("kind", lesson.LAYER_KINDS)
@given(st.integers(1, 20), st.integers(1, 12), st.integers(2, 4))
@settings(max_examples=15)
def test_multiply_adds_are_torchs_count(kind, length, dim, kernel):
    layer = lesson.make_layer(kind, dim, kernel)
    counted = lesson.count_multiply_adds(layer, torch.randn(1, length, dim))
    assert (
        counted == lesson.layer_cost(kind, length, dim, kernel).multiply_adds
    )


def test_only_the_grus_chain_grows():
    for kind in lesson.LAYER_KINDS:
        layer = lesson.make_layer(kind, 4)
        short, long = (
            lesson.critical_path_length(
                lesson.layer_output(layer, torch.randn(1, n, 4))
            )
            for n in (8, 40)
        )
        assert (long > short + 31) if kind == "GRU" else long == short


def test_chain_length_by_hand():
    x = torch.ones(2, requires_grad=True)
    assert lesson.critical_path_length((x * 2 + x).exp()) == 3
    deep = x
    for _ in range(5000):
        deep = deep + 1
    assert lesson.critical_path_length(deep) == 5000


def test_crossing():
    lengths = [128, 256, 512, 1024]
    square = [n**2 / 300 for n in lengths]
    assert lesson.crossover_length(lengths, square, lengths) == pytest.approx(
        300
    )
    assert (
        lesson.crossover_length(lengths, lengths, [2 * n for n in lengths])
        is None
    )
    assert (
        lesson.crossover_length(lengths, [2 * n for n in lengths], lengths)
        == 128
    )
    wavy = [n * f for n, f in zip(lengths, (2, 0.5, 0.5, 2))]
    assert lesson.crossover_length(lengths, wavy, lengths) == pytest.approx(
        724.08, 1e-4
    )


# --- the tasks ---------------------------------------------------------------


@given(st.integers(4, 40), st.integers(1, 4), st.integers(0, 99))
def test_recall_can_be_answered_by_a_dictionary(distance, cards, seed):
    generator = torch.Generator().manual_seed(seed)
    tokens, targets = lesson.recall_batch(distance, 5, generator, cards)
    assert tokens.shape == (5, distance + cards)
    for row, wanted in zip(tokens.tolist(), targets.tolist()):
        table = dict(divmod(t - lesson.CARD, 8) for t in row[:cards])
        assert len(table) == cards
        answers = [table[t - lesson.ASK] for t in row[distance:]]
        assert wanted == [-1] * distance + answers
        assert all(t < 8 for t in row[cards:distance])


def test_cards_and_questions_come_in_any_order():
    generator = torch.Generator().manual_seed(0)
    tokens, _ = lesson.recall_batch(8, 500, generator)
    cards = (tokens[:, :4] - lesson.CARD) // lesson.SYMBOLS
    questions = tokens[:, 8:] - lesson.ASK
    for keys in (cards, questions):
        assert len({tuple(row) for row in keys.tolist()}) == 24  # all of 4!
    assert not torch.equal(cards, questions)
    single, _ = lesson.recall_batch(8, 500, generator, cards=1)
    keys = (single[:, 0] - lesson.CARD) // lesson.SYMBOLS
    assert set(keys.tolist()) == set(range(lesson.KEYS))


def test_parity_and_rise_by_loop():
    generator = torch.Generator().manual_seed(0)
    bits, on = lesson.parity_batch(9, 4, generator)
    for row, wanted in zip(bits.tolist(), on.tolist()):
        assert wanted == [sum(row[: i + 1]) % 2 for i in range(9)]
    digits, rises = lesson.rise_batch(9, 4, generator)
    for row, wanted in zip(digits.tolist(), rises.tolist()):
        assert wanted[:2] == [-1, -1]
        assert wanted[2:] == [int(row[i] > row[i - 2]) for i in range(2, 9)]


@pytest.mark.parametrize("seconds", [None, {8: 0.01, 16: 0.01}])
def test_curriculum_goes_through_its_stages(seconds):
    steps = 3 if seconds is None else None
    curriculum = lesson.Curriculum(steps, seconds, stages=(8, 16), exams=10)
    history = training.fit(
        lesson.SequenceTagger("attention", lesson.RECALL_TOKENS, 8, 8),
        lesson.answer_loss,
        curriculum.batches,
        steps=500,
        eval_every=1,
        evaluate=curriculum.evaluate,
        stop_when=curriculum.over,
        threads=1,
    )
    assert history.stopped_early
    assert {d: len(r) for d, r in curriculum.correct.items()} == {
        8: 40,
        16: 40,
    }
    assert set(curriculum.seconds) == {8, 16}
    if steps:
        assert curriculum.steps == {8: 3, 16: 3}
    else:
        assert all(curriculum.seconds[d] >= 0.01 for d in (8, 16))


def test_a_curriculum_is_drawn_by_its_seed_and_examined_alike():
    def draws(seed, stages=(8, 256)):
        curriculum = lesson.Curriculum(2, stages=stages, exams=3, seed=seed)
        batches, examined = [], []

        class Watched(nn.Module):
            def forward(self, tokens):
                assert not self.training and not torch.is_grad_enabled()
                examined.append(tokens)
                return torch.zeros(*tokens.shape, lesson.SYMBOLS)

        model = Watched()
        while not curriculum.over({"stages done": curriculum.stage}):
            batches.append(curriculum.batches(0)[0])
            curriculum.evaluate(model.train())
            assert model.training  # as it was
        return batches, examined

    batches, exams = draws(seed=0)
    assert [tuple(b.shape) for b in batches] == [(64, 12)] * 2 + [(4, 260)] * 2
    assert [tuple(e.shape) for e in exams] == [(3, 12), (3, 260)]
    assert not torch.equal(batches[0], batches[1])  # never the same twice
    for one, other in zip(batches, draws(seed=0)[0]):
        assert torch.equal(one, other)
    others, same_exams = draws(seed=1)
    assert not torch.equal(batches[0], others[0])
    for one, other in zip(exams, same_exams):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    "distance, size", [(4, 64), (8, 64), (32, 16), (128, 4), (512, 4)]
)
def test_a_curriculums_batches_hold_about_as_many_tokens(distance, size):
    curriculum = lesson.Curriculum(1, stages=(distance,))
    tokens, targets = curriculum.batches(0)
    assert tokens.shape == targets.shape == (size, distance + lesson.KEYS)


def test_the_last_stage_is_not_the_end_before_its_budget_is_spent():
    curriculum = lesson.Curriculum(2, stages=(8,), exams=1)
    model = lesson.SequenceTagger("GRU", lesson.RECALL_TOKENS, 8, 4)
    for over in (False, True):
        curriculum.batches(0)
        assert curriculum.over(curriculum.evaluate(model)) is over


def test_losses_and_answers_ignore_positions_without_target():
    class Known(nn.Module):
        def forward(self, tokens):
            return torch.eye(3)[tokens] * 50

    tokens = torch.tensor([[0, 1, 2]])
    targets = torch.tensor([[-1, 1, 0]])
    right = lesson.correct(Known(), (tokens, targets))
    assert right.tolist() == [True, False]
    loss = lesson.answer_loss(Known(), (tokens, targets))
    assert loss.item() == pytest.approx(25, abs=1e-3)


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda: lesson.path_length("RNN", 3), "kind: .*'GRU'.*'RNN'"),
        (lambda: lesson.path_length("CNN", -1), "distance: .*got -1"),
        (lambda: lesson.path_length("CNN", 3, 1), "kernel: .*got 1"),
        (lambda: lesson.layer_cost("CNN", 0, 3), "length: .*got 0"),
        (lambda: lesson.make_layer("CNN", 0), "dim: .*got 0"),
        (lambda: lesson.CausalConv(2, 0), "kernel: .*got 0"),
        (lambda: lesson.CausalConv(2, 2, 0), "dilation: .*got 0"),
        (lambda: lesson.after_n_layers("GRU", 0), "rounds: .*got 0"),
        (
            lambda: lesson.critical_path_length(torch.ones(1)),
            "output: .*grad_fn",
        ),
        (
            lambda: lesson.crossover_length([1], [1], []),
            "first, second: .*1 and 0",
        ),
        (lambda: lesson.width_for("CNN", 3, 4, 4), "parameters: .*got 3"),
        (
            lambda: lesson.recall_batch(3, 1, torch.Generator()),
            "distance: expected 4 or more, got 3",
        ),
        (
            lambda: lesson.recall_batch(9, 1, torch.Generator(), 5),
            "cards: expected 1 to 4, got 5",
        ),
        (lambda: lesson.Curriculum(), "steps, seconds: .*None and None"),
        (
            lambda: lesson.gru_step(
                torch.ones(2),
                torch.ones(3),
                torch.ones(9, 3),
                torch.ones(9, 3),
            ),
            r"weight_in: expected shape \(9, 2\), got \(9, 3\)",
        ),
        (
            lambda: lesson.gru(
                torch.ones(0, 2), torch.ones(6, 2), torch.ones(6, 2)
            ),
            "x: expected a length of 1 or more",
        ),
        (lambda: views.ReceptiveFieldLattice("RNN"), "kind: .*'RNN'"),
        (
            lambda: views.ReceptiveFieldLattice(position=24),
            "position: .*0 to 23, got 24",
        ),
        (lambda: views.ReceptiveFieldLattice(rounds=0), "rounds: .*got 0"),
        (lambda: views.ReceptiveFieldLattice(kernel=1), "kernel: .*got 1"),
    ],
)
def test_wrong_input_is_named(own_errors, call, said):
    with pytest.raises(ValueError, match=said):
        call()


# --- the views ---------------------------------------------------------------


@given(
    st.sampled_from(lesson.LAYER_KINDS),
    st.integers(0, 23),
    st.integers(1, 12),
    st.integers(2, 5),
)
def test_the_trail_ends_at_what_is_heard(kind, position, rounds, kernel):
    rows = views.trail(kind, position, rounds, kernel)
    assert len(rows) == rounds + 1 and rows[0] == [position]
    assert rows[-1] == views.heard(kind, position, rounds, kernel)


def test_lattice_reads_well_where_no_kernel_runs():
    view = views.ReceptiveFieldLattice("CNN", position=20, rounds=3)
    bundle = view._repr_mimebundle_()
    said = "CNN: after 3 layers position 20 hears 7 of 21 positions (14 to 20)"
    assert bundle["text/plain"].startswith(said)
    assert "<img alt=" in bundle["text/html"]


def test_lattice_brings_extreme_numbers_back():
    view = views.ReceptiveFieldLattice()
    view.position, view.rounds, view.kernel = 10**9, -5, 99
    assert (view.position, view.rounds, view.kernel) == (23, 1, 5)


def test_the_browser_computes_the_same():
    try:
        subprocess.run(["node", "--version"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no node here: tests/test_browser.py compares instead")
    code = re.sub(
        r"^export (default .*)?", "", script("rnn_cnn_attention"), flags=re.M
    )
    cases = [
        (k, p, r, w)
        for k in lesson.LAYER_KINDS
        for p in (0, 5, 23)
        for r in (1, 3, 12)
        for w in (2, 3, 5)
    ]
    calls = ",".join(f"heard({k!r},{p},{r},{w})" for k, p, r, w in cases)
    found = subprocess.run(
        ["node", "-e", f"{code};console.log(JSON.stringify([{calls}]))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert json.loads(found) == [views.heard(*case) for case in cases]


@pytest.mark.parametrize("length", [1, 2, 512, 2**16])
@pytest.mark.parametrize("dim", [1, 64, 4096])
@pytest.mark.parametrize("kernel", [2, 9])
def test_calculator_takes_extremes(length, dim, kernel):
    figure = views.draw_layer_costs(length, dim, kernel)
    assert len(figure.axes) == 4
    plt.close(figure)
    said = views.say_layer_costs(length, dim, kernel)
    assert f"Length {length:,}, dim {dim}, kernel {kernel}" in said
    assert "attention" in re.search(r"Shortest path: ([^.]*)\.", said)[1]


def test_winners_name_ties():
    best = views.winners(views.layer_costs(96, 64, 3))
    assert best["path"] == ["attention"]
    assert best["multiply_adds"] == ["CNN", "dilated CNN"]
    three = {
        k: p for k, p in views.layer_costs(96, 64, 3).items() if "CNN" not in k
    }
    assert views.winners(three)["multiply_adds"] == ["GRU", "attention"]


def test_price_table_has_the_formulas_numbers():
    rows = views.layer_cost_table(512, 64).splitlines()
    assert [row.split()[0] for row in rows[1:]] == [
        "GRU",
        "CNN",
        "dilated",
        "attention",
    ]
    assert f"{3 * 512 * 64**2 + 2 * 512**2 * 64:,}" in rows[4]


def test_time_curves_mark_what_crosses_and_say_what_does_not():
    seconds = {"GRU": [2, 4, 8], "CNN": [9, 9, 99], "attention": [1, 4.5, 20]}
    cross = {"GRU": 230.0, "CNN": None}
    figure = views.time_curves([128, 256, 512], seconds, cross, "t")
    said = figure._supxlabel.get_text()
    assert "slower than GRU: from 230" in said
    assert "slower than CNN: not up to 512" in said


def test_share_table_writes_share_and_interval():
    hits = torch.tensor([True] * 9 + [False])
    figure = views.share_table(
        {"a": {8: hits}}, columns="d", title="t", chance=0.5
    )
    texts = [t.get_text() for t in figure.axes[0].texts]
    assert texts == ["0.900", "0.596 to 0.982"]
    assert math.isclose(0.9, float(texts[0]))
