"""The exercises' checks: every wrong answer gets its hint, every right passes."""

import _thread
import functools
import importlib
import math
import pkgutil
import signal
import sys
import threading
import time
from unittest import mock

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


@functools.cache
def judged(slug, exercise, number):
    answer, words = BANKS[slug].WRONG[exercise][number]
    endless = words == "never ends"
    with mock.patch.object(engine, "SECONDS", 0.5 if endless else 60.0):
        return getattr(getattr(checks, slug), exercise)(answer)


@pytest.mark.parametrize(
    "slug, exercise, number, words",
    [
        pytest.param(slug, exercise, n, words, id=f"{slug}-{exercise}-{n}")
        for slug, bank in BANKS.items()
        for exercise, items in bank.WRONG.items()
        for n, (_, words) in enumerate(items)
    ],
)
def test_wrong_answer_gets_its_hint(slug, exercise, number, words):
    verdict = judged(slug, exercise, number)
    assert verdict.status != engine.RIGHT
    assert words in repr(verdict)


@pytest.mark.parametrize("slug", BANKS)
def test_most_wrong_answers_are_told_what_they_did(slug):
    verdicts = [
        judged(slug, exercise, number)
        for exercise, items in BANKS[slug].WRONG.items()
        for number in range(len(items))
    ]
    named = sum(verdict.named for verdict in verdicts)
    share = named / len(verdicts)
    print(f"{slug}: {named} of {len(verdicts)} named, {share:.0%}")
    assert share >= 0.85


@pytest.mark.parametrize("slug", BANKS)
def test_no_named_mistake_is_within_the_tolerance(slug):
    module = getattr(checks, slug)
    asked = mock.Mock(wraps=engine.check_value)
    with mock.patch.object(module, "check_value", asked, create=True):
        for name, answers_ in BANKS[slug].RIGHT.items():
            if not callable(answers_[0]):
                getattr(module, name)(answers_[0])
    for call in asked.call_args_list:
        for wrong, hint in call.kwargs.get("mistakes", ()):
            verdict = engine.check_value(
                wrong,
                call.args[1],
                tolerance=call.kwargs.get("tolerance", 1e-3),
            )
            assert not verdict.right, hint


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


# What comes back when the exercise was misread, or the code slipped.
STRAY = {
    "the first argument": lambda *given: given[0],
    "all arguments": lambda *given: given,
    "nothing in a tensor": lambda *_: torch.tensor([]),
    "many dimensions": lambda *_: torch.ones(2, 3, 4, 5),
}


@pytest.mark.parametrize("stray", STRAY)
@pytest.mark.parametrize("slug", BANKS)
def test_no_answer_breaks_a_check(slug, stray):
    for exercise, (right, *_) in BANKS[slug].RIGHT.items():
        answer = STRAY[stray] if callable(right) else STRAY[stray]("one")
        verdict = getattr(getattr(checks, slug), exercise)(answer)
        assert verdict.status == engine.WRONG, (exercise, verdict)


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


def verdict(answer, cases=CASES, **options):
    return engine.check(answer, oracle=double, cases=cases, **options)


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


def test_neither_exit_nor_interrupt_of_the_answers_stops_the_notebook():
    def leaves(x):
        return sys.exit("no") if x.dim() > 1 else 2 * x

    def interrupts(x):
        raise KeyboardInterrupt

    assert "it ends the program" in verdict(leaves).message
    said = verdict(interrupts).message
    assert "KeyboardInterrupt at your line `raise KeyboardInterrupt`" in said


def test_the_users_own_interrupt_stops_the_check():
    stopped = threading.Event()

    def slow(x):
        try:
            while True:
                time.sleep(0.01)
        finally:
            stopped.set()

    # A program started in the background may be told to ignore Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        threading.Timer(0.2, _thread.interrupt_main).start()
        with pytest.raises(KeyboardInterrupt):
            engine.check(slow, oracle=double, cases=CASES, seconds=20)
    finally:
        signal.signal(signal.SIGINT, before)
    assert stopped.wait(1)


def test_only_the_learners_own_raise_is_a_stub():
    def to_do(x):
        raise NotImplementedError("to do")

    def torchs_own(x):
        return x & (x > 0)

    class Layer(torch.nn.Module):
        pass

    assert verdict(to_do).status == engine.NOT_ATTEMPTED
    said = verdict(torchs_own)
    assert said.status == engine.WRONG and "return x & (x > 0)" in said.message
    assert "are for booleans" in said.message
    assert verdict(Layer()).status == engine.WRONG


def test_an_error_is_explained_in_the_courses_words():
    wrong_type = torch.ones(2, 2, dtype=torch.float64)
    said = verdict(lambda x: x @ wrong_type)
    assert "must have the input's type" in said.message and said.named


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize(
    "result, words",
    [
        (lambda x: (2 * x).to_sparse(), "add .to_dense()"),
        (lambda x: torch.nested.nested_tensor([x]), "a nested one"),
        (lambda x: x.to("meta"), "the meta device"),
        (lambda x: 2 * x + 1j, "real numbers, got complex"),
        (lambda x: (2 * x).tolist(), "a torch tensor, got a list"),
        (lambda x: (2 * x).numpy(), "a torch tensor, got a numpy array"),
        (lambda x: {"it": x}, "a torch tensor, got a dict"),
        (lambda x: [[x], [[x]]], "a torch tensor, got a list"),
        (lambda x: (2 * x, x), "one tensor is asked for"),
        (lambda x: (y for y in x), "a torch tensor, got a generator"),
    ],
)
def test_an_odd_result_is_named(result, words):
    said = verdict(result)
    assert words in said.message and said.named


def test_the_time_for_compiling_is_not_the_learners():
    def slow_backend(graph, inputs):
        time.sleep(3)
        return graph

    compiled = torch.compile(double, backend=slow_backend)
    assert verdict(compiled, seconds=2).right


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_scripted_function_is_a_function():
    assert verdict(torch.jit.script(double)).right


def test_what_changes_from_call_to_call_is_random():
    said = verdict(lambda x: torch.nn.functional.dropout(2 * x, 0.5))
    assert "another result each time" in said.message


def test_a_gradient_is_asked_only_where_the_check_says_so():
    def cut(x):
        with torch.no_grad():
            return torch.from_numpy(x.numpy() * 2)

    def asked(answer):
        two = (torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0]))
        return engine.check(
            answer,
            oracle=torch.mul,
            cases=[engine.Case(two), engine.Case((two[1], two[1] * 2))],
            gradients=True,
        ).message

    assert verdict(cut).right
    assert "all 2 cases" in asked(lambda a, b: a * b)
    assert "argument 1" in asked(lambda a, b: a.detach() * b)
    assert "argument 2" in asked(lambda a, b: a * b.detach())
    assert "call numpy()" in asked(lambda a, b: torch.tensor(a.numpy()) * b)
    half = "the gradient at argument 2 is not"
    assert half in asked(lambda a, b: a * b + b - b.detach())


def test_lists_and_numbers_are_shown_as_tensors_are():
    def message(answer, oracle, *values):
        cases = [engine.Case((x,)) for x in values]
        return engine.check(answer, oracle=oracle, cases=cases).message

    def codes(text):
        return [ord(letter) for letter in text]

    texts = ["ab", "abcd", "a"]
    assert "for arguments 'ab': expected 2, got 3" in message(
        lambda t: len(t) + 1 + (t == "a"), len, *texts
    )
    assert "expected [97, 98], got [98, 97]" in message(
        lambda t: codes(t)[::-1], codes, *texts
    )
    assert "a list, got the text 'ab'" in message(str, codes, *texts)
    assert "a number, got the text" in message(str, len, *texts)


TABLE = torch.tensor([[1.0, 4.0, 3.0], [2.0, -7.0, 6.0]])


@pytest.mark.parametrize(
    "answer, words",
    [
        (lambda x: x * 6, "every number is 3 times"),
        (lambda x: -2 * x, "the sign is turned"),
        (lambda x: 2 * x + 0.5, "every number is 0.5 too large"),
        (lambda x: 2 * x[None], "only the shape is wrong"),
        (lambda x: 2 * x.mT, "transpose the result"),
        (lambda x: 2 * x.sum(0), "that is the sum"),
        (lambda x: 2 * x.sum(), "the sum of all its numbers"),
        (
            lambda x: 2 * x.amax(1),
            "the largest of the right result along dim=1",
        ),
        (lambda x: 2 * x[0], "the first part of the right result along dim=0"),
        (lambda x: 2 * x[:, -1], "the last part of the right result along"),
        (lambda x: 2 * x[:, :-1], "the last along dim=1 is missing"),
        (lambda x: torch.stack([2 * x, x]), "only the first of your result"),
        (lambda x: torch.stack([x, x]), "still to be summed along dim=0"),
        (
            lambda x: torch.cat([2 * x, x[:1]]),
            "too many along dim=0, the last",
        ),
        (lambda x: 1 - 2 * x, "every number is 1 minus"),
        (lambda x: 4 * x**2, "every number is the square of"),
        (lambda x: (2 * x).exp(), "the exponential of"),
        (lambda x: 0.5 / x, "1 divided by"),
        (lambda x: 2 * x.abs(), "the signs are lost"),
        (lambda x: 2 * x.relu(), "what should be negative is 0"),
        (lambda x: 2 * x.flip(1), "the order along dim=1 is reversed"),
        (lambda x: 2 * x.roll(1, 1), "one place too late, the last first"),
        (lambda x: (2 * x).softmax(1), "there is one softmax along dim=1"),
        (lambda x: x / x.sum(1, keepdim=True), "divided by their sum along"),
        (lambda x: 2 * x.sort(1).values, "are sorted along dim=1"),
        (lambda x: (2 * x).index_fill(1, torch.tensor(2), 9), "only the last"),
        (
            lambda x: 2 * x.flatten()[[1, 0, 2, 3, 5, 4]].view(2, 3),
            "in another",
        ),
    ],
)
def test_a_plain_relation_to_the_right_numbers_is_said(answer, words):
    said = verdict(answer, [engine.Case((TABLE,))])
    assert words in said.message and said.named


@pytest.mark.parametrize(
    "oracle, answer, words",
    [
        (lambda x: x.softmax(1), torch.clone, "the softmax along dim=1 of"),
        (lambda x: x.cumsum(1), torch.clone, "(torch.cumsum) would be right"),
        (torch.relu, torch.clone, "your negative numbers should be 0"),
        (lambda x: x > 2, lambda x: x <= 2, "True and False are exchanged"),
        (lambda x: x > 2, lambda x: x > 1.5, "True where it should be False"),
        (lambda x: x > 2, lambda x: x > 3.5, "False where it should be True"),
        (
            lambda x: x.T @ x,
            lambda x: (x.T @ x).fill_diagonal_(0),
            "only the diagonal is wrong",
        ),
        (
            lambda x: x.T @ x,
            lambda x: (x.T @ x).tril(),
            "only what lies above the diagonal is wrong",
        ),
        (
            lambda x: (x, 2 * x),
            lambda x: (x, 6 * x),
            "only number 2 is wrong: every number is 3 times",
        ),
        (
            lambda x: x[None] * torch.tensor([1.0, 2, 3, 4]).view(-1, 1, 1),
            lambda x: x[None].mT * torch.tensor([1.0, 2, 3, 4]).view(-1, 1, 1),
            "the last two dimensions are exchanged",
        ),
        (
            lambda x: x[None].expand(4, 2, 3),
            lambda x: x[None].expand(4, 2, 3).permute(1, 2, 0),
            "yours are (1, 2, 0) of the right result",
        ),
    ],
)
def test_a_relation_is_said_of_masks_and_several_results(
    oracle, answer, words
):
    said = engine.check(answer, oracle=oracle, cases=[engine.Case((TABLE,))])
    assert words in said.message and said.named


def test_another_factor_in_each_case_is_said():
    cases = [engine.Case((TABLE[:, :n],)) for n in (2, 3)]
    said = verdict(lambda x: 2 * x / x.shape[1], cases)
    assert "another in each (0.5, 0.3333)" in said.message and said.named


def test_no_relation_is_said_that_only_some_cases_have():
    cases = [engine.Case((TABLE,)), engine.Case((TABLE[:1],))]

    def answer(x):
        return 6 * x if len(x) > 1 else 2 * x + x.square()

    assert "times" not in verdict(answer, cases).message


@pytest.mark.parametrize(
    "answer, words",
    [
        (lambda x: (x > 0).mean(), "x.float().mean()"),
        (lambda x: [1][3], "an index points past the end"),
        (lambda x: x[7], "an index points past the end"),
        (lambda x: 1 - (x > 0), "~mask instead of 1 - mask"),
        (lambda x: -(x > 0), "~mask instead of -mask"),
        (lambda x: range(x.shape[0] / 2), "// a whole number"),
        (lambda x: torch.ones(x.shape[0] / 2), "// a whole number"),
        (lambda x: x[None].expand(2, -1, -1).mT.view(-1), "use reshape"),
        (lambda x: x - x.max(-1, keepdim=True), "take .values"),
        (lambda x: torch.cat([x[0], x[0]], dim=1), "torch.stack makes a new"),
        (lambda x: x[torch.tensor([0.0])], "x.long()"),
        (lambda x: x.softmax(), "other arguments than it takes"),
        (lambda: 0, "must take the arguments that the exercise names"),
        (lambda x: not_there(x), "a name has no value here"),  # noqa: F821
    ],
)
def test_usual_slips_are_explained(answer, words):
    said = verdict(answer, [engine.Case((TABLE,))])
    assert words in said.message and said.named


def test_the_right_numbers_of_another_type_are_no_factor():
    cases = [engine.Case((torch.arange(1, 5),))]
    assert "times" not in verdict(lambda x: 2.0 * x, cases).message


def test_an_empty_answer_may_be_a_mistake():
    cases = [engine.Case((TABLE,)), engine.Case((TABLE[:1],))]
    empty = engine.Mistake(lambda x: x[:0], "all is left out")
    said = verdict(lambda x: x[:0], cases, mistakes=[empty])
    assert "all is left out" in said.message


def test_numbers_alone_that_are_not_there_name_no_mistake():
    never = engine.Mistake(lambda x: x * math.nan, "it divides by 0")
    said = verdict(lambda x: x * math.inf * 0, mistakes=[never]).message
    assert "NaN" in said and "divides" not in said


@pytest.mark.parametrize(
    "answer, words",
    [
        (0.25, "yes"),
        (25, "per cent"),
        (0.3, "rounded too far"),
        (0.5, "halved; or: doubled"),
        (0.001, "tiny"),
        (0.0001, "is not it"),
        ("0.25", "expected numbers, got the text '0.25'"),
        (0.25 + 1j, "real numbers"),
    ],
)
def test_a_value_is_told_rounding_per_cent_and_every_mistake(answer, words):
    mistakes = [(0.5, "halved"), (0.5, "doubled"), (0.001, "tiny")]
    assert words in repr(engine.check_value(answer, 0.25, mistakes=mistakes))


def test_an_error_names_the_line():
    def broken(x):
        return x @ torch.ones(5)

    said = verdict(broken).message
    assert "RuntimeError" in said and "x @ torch.ones(5)" in said


def test_result_of_the_wrong_kind():
    assert "torch tensor" in verdict(lambda x: "two").message
    assert "expected shape" in verdict(lambda x: x.repeat(2, 1)).message
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
