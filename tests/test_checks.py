"""The exercises' checks: every wrong answer gets its hint, every right passes."""

import importlib
import pkgutil

import pytest
import torch

from attn_course import checks
from attn_course.checks import engine
from tests import wrong_answers

BANKS = {
    module.name: importlib.import_module(f"tests.wrong_answers.{module.name}")
    for module in pkgutil.iter_modules(wrong_answers.__path__)
}


def answers(kind):
    return [
        pytest.param(slug, exercise, item, id=f"{slug}-{exercise}-{number}")
        for slug, bank in BANKS.items()
        for exercise, items in getattr(bank, kind).items()
        for number, item in enumerate(items)
    ]


@pytest.fixture(autouse=True)
def short_time(monkeypatch):
    monkeypatch.setattr(engine, "SECONDS", 0.5)


@pytest.mark.parametrize("slug, exercise, item", answers("WRONG"))
def test_wrong_answer_gets_its_hint(slug, exercise, item):
    answer, words = item
    verdict = getattr(getattr(checks, slug), exercise)(answer)
    assert verdict.status != engine.RIGHT
    assert words in repr(verdict)


@pytest.mark.parametrize("slug, exercise, item", answers("RIGHT"))
def test_right_answer_passes(slug, exercise, item):
    verdict = getattr(getattr(checks, slug), exercise)(item)
    assert verdict.right, verdict


@pytest.mark.parametrize("slug", BANKS)
def test_every_exercise_has_a_bank_and_a_stub_is_not_attempted(slug):
    module = getattr(checks, slug)
    exercises = {
        name
        for name, item in vars(module).items()
        if callable(item)
        and getattr(item, "__module__", "") == module.__name__
        and not name.startswith("_")
    }
    assert set(BANKS[slug].WRONG) == exercises
    assert set(BANKS[slug].RIGHT) == exercises
    for name in exercises:
        check = getattr(module, name)
        assert check(...).status == engine.NOT_ATTEMPTED
        if callable(BANKS[slug].RIGHT[name][0]):

            def stub(*_, **__): ...

            assert check(stub).status == engine.NOT_ATTEMPTED


FIRST_LESSONS = (
    "dot_product",
    "scaled_dot_product",
    "self_attention",
    "multi_head_attention",
    "additive_attention",
    "transformer",
)


@pytest.mark.parametrize("slug", BANKS)
def test_banks_are_large_enough(slug):
    bank = BANKS[slug]
    for name, wrong in bank.WRONG.items():
        coded = callable(bank.RIGHT[name][0])
        least = 10 if coded and slug in FIRST_LESSONS else 4
        assert len(wrong) >= least, (name, len(wrong))
        assert len(bank.RIGHT[name]) >= 2


def double(x):
    return 2 * x


CASES = [
    engine.Case((torch.tensor([1.0, 2.0]),)),
    engine.Case((torch.ones(3, 2),)),
]


def verdict(answer, **options):
    return engine.check(
        answer, oracle=double, cases=CASES, seconds=0.3, **options
    )


def test_the_learners_random_numbers_are_left_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()

    def noisy(x):
        torch.rand(3)
        return 2 * x

    assert verdict(noisy).right
    assert torch.equal(torch.get_rng_state(), before)


def test_the_learners_tensor_is_not_touched():
    mine = torch.ones(2)

    def uses_a_global(x):
        return 2 * x + 0 * mine.sum()

    assert verdict(uses_a_global).right
    assert torch.equal(mine, torch.ones(2)) and not mine.requires_grad


def test_exit_does_not_stop_the_notebook():
    def leave(x):
        raise SystemExit

    assert "SystemExit" in verdict(leave).message


def test_an_error_names_the_line():
    def broken(x):
        return x @ torch.ones(5)

    said = verdict(broken).message
    assert "RuntimeError" in said and "x @ torch.ones(5)" in said


def test_result_of_the_wrong_kind():
    assert "torch tensor" in verdict(lambda x: "two").message
    assert "expected shape" in verdict(lambda x: x[:1]).message
    assert "NaN" in verdict(lambda x: x / 0 - x / 0).message
    assert "without calling it" in verdict(double(torch.ones(2))).message


def test_two_equal_answers_do_not_mean_that_the_input_is_ignored():
    cases = [engine.Case((torch.tensor(x),)) for x in (1.0, -1.0, 3.0)]

    def message(answer):
        oracle = torch.clone
        return engine.check(answer, oracle=oracle, cases=cases).message

    assert "whatever the input" not in message(torch.abs)
    assert "whatever the input" in message(lambda x: 1.0 + 0 * x)


def test_small_examples_are_shown_in_numbers():
    said = verdict(lambda x: 3 * x).message
    assert "expected [2, 4], got [3, 6]" in said


def test_the_second_case_is_named():
    said = verdict(lambda x: 2 * x if x.dim() == 1 else 3 * x).message
    assert "right for the first case" in said and "(3, 2)" in said


def test_verdict_is_shown_as_text_and_html():
    bundle = verdict(lambda x: 3 * x)._repr_mimebundle_()
    assert bundle["text/plain"].startswith("wrong: ")
    assert 'role="status"' in bundle["text/html"]
    assert "&#10008;" in bundle["text/html"]
