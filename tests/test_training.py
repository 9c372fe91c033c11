"""The training loop: it learns, repeats, stops early, and says what is wrong."""

import signal
import subprocess
import sys
import threading
import time

import pytest
import torch
from torch import nn

from attn_course import session, training

X = torch.linspace(-1, 1, 32)[:, None]


def loss(model, batch):
    return (model(batch) - 2 * batch - 1).pow(2).mean()


def accuracy(model):
    return {"good": -loss(model, X).item()}


def run(**options):
    torch.manual_seed(0)
    model = nn.Linear(1, 1)
    options = {"steps": 200, "lr": 0.1, **options}
    return model, training.fit(model, loss, lambda _: X, **options)


@pytest.mark.parametrize("schedule", training.SCHEDULES)
def test_it_learns_a_line(schedule):
    model, history = run(schedule=schedule, warmup=5)
    assert history.losses[-1] < 1e-3 < history.losses[0]
    assert model.weight.item() == pytest.approx(2, abs=0.1)
    assert history.steps == list(range(1, 201))
    assert not model.training and history.seconds > 0


def test_same_seed_same_run():
    def noisy(model, batch):
        return loss(model, batch + torch.randn_like(batch))

    def losses():
        model = nn.Linear(1, 1)
        nn.init.zeros_(model.weight), nn.init.zeros_(model.bias)
        return training.fit(model, noisy, lambda _: X, steps=5, seed=7).losses

    assert losses() == losses()


def test_evaluates_in_between_and_at_the_end():
    seen = []

    def evaluate(model):
        seen.append((model.training, torch.is_grad_enabled()))
        return accuracy(model)

    _, history = run(steps=25, evaluate=evaluate, eval_every=10)
    assert [m["step"] for m in history.metrics] == [10, 20, 25]
    assert seen == [(False, False)] * 3
    assert history.curve("good")[0] == [10, 20, 25]


def test_stops_when_it_is_good_enough():
    _, history = run(
        evaluate=accuracy, eval_every=10, stop_when=lambda m: m["good"] > -0.1
    )
    assert history.stopped_early and len(history.steps) < 200


def test_stops_when_patience_is_over():
    _, history = run(
        evaluate=lambda m: {"good": 1.0}, eval_every=10, patience=2
    )
    assert history.stopped_early and len(history.steps) == 30


def test_batches_may_be_an_iterable():
    history = training.fit(
        nn.Linear(1, 1), loss, [X[:16], X[16:]], steps=5, max_grad_norm=None
    )
    assert len(history.losses) == 5


def test_the_learning_rate_rises_and_falls():
    def rates(schedule, warmup=0):
        return [training._factor(s, 100, schedule, warmup) for s in range(100)]

    assert rates("constant") == [1.0] * 100
    cosine = rates("cosine", warmup=10)
    assert cosine[0] == 0.1 and cosine[9] == cosine[10] == 1.0
    assert cosine[-1] < 0.01
    one = rates("onecycle")
    assert one.index(max(one)) == 29 and one[-1] < 0.01


@pytest.mark.parametrize(
    "options, words",
    [
        ({"steps": 0}, "steps: expected 1 or more"),
        ({"schedule": "zigzag"}, "schedule: .*zigzag"),
        ({"patience": 3}, "evaluate: expected a function"),
        ({"threads": 0}, "threads: expected 1 or more"),
    ],
)
def test_wrong_arguments_are_named(options, words):
    with pytest.raises(ValueError, match=words):
        run(**options)


def test_no_batches():
    with pytest.raises(ValueError, match="batches: expected at least one"):
        training.fit(nn.Linear(1, 1), loss, [], steps=1)


def test_a_loss_that_explodes_is_named():
    def explode(model, batch):
        return loss(model, batch) / 0

    words = "loss: .*inf at step 0; .*look at the loss"
    with pytest.raises(ValueError, match=words):
        training.fit(nn.Linear(1, 1), explode, lambda _: X, steps=3)


class Root(nn.Module):
    def forward(self, x):
        return x.sqrt()


def test_the_first_module_that_is_not_finite_is_named():
    model = nn.Sequential(nn.Linear(1, 1), nn.Sequential(Root(), nn.ReLU()))
    nn.init.ones_(model[0].weight), nn.init.zeros_(model[0].bias)
    words = "nan at step 1; the first module .* not finite: '1.0' \\(Root\\)$"
    with pytest.raises(ValueError, match=words):
        training.fit(
            model,
            lambda model, batch: model(batch).sum(),
            lambda step: torch.full((2, 1), (4.0, -4.0, 4.0)[step]),
            steps=3,
        )
    assert not any(m._forward_hooks for m in model.modules())


def test_a_nan_in_the_batch_shows_in_the_model_itself():
    batch = torch.full((2, 1), torch.nan)
    with pytest.raises(ValueError, match="not finite: the Linear$"):
        training.fit(nn.Linear(1, 1), loss, lambda _: batch, steps=3)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_the_model_is_left_in_evaluation_mode_by_an_interrupt_too(error):
    model = nn.Sequential(nn.Linear(1, 1), nn.Dropout(0.5))

    def batches(step):
        if step == 2:
            raise error
        return X

    with pytest.raises(error):
        training.fit(model, loss, batches, steps=5)
    assert not any(module.training for module in model.modules())


def test_a_generator_gives_all_its_batches_then_a_clear_end():
    taken = []

    def watch(model, batch):
        taken.append(len(batch))
        return loss(model, batch)

    def four():
        return (X[:size] for size in (1, 2, 3, 4))

    training.fit(nn.Linear(1, 1), watch, four(), steps=4)
    assert taken == [1, 2, 3, 4]
    with pytest.raises(ValueError, match="batches: .*got 4 in all; a gener"):
        training.fit(nn.Linear(1, 1), watch, four(), steps=5)
    taken.clear()
    training.fit(nn.Linear(1, 1), watch, [X[:1], X[:2]], steps=5)
    assert taken == [1, 2, 1, 2, 1]


def test_threads_are_given_back():
    before, seen = torch.get_num_threads(), []

    def evaluate(model):
        seen.append(torch.get_num_threads())
        return accuracy(model)

    run(steps=2, threads=1, evaluate=evaluate)
    assert seen == [1] and torch.get_num_threads() == before


def plan(number, steps=40):
    torch.manual_seed(number)
    model = nn.Linear(1, 1)

    def job():
        seen = torch.get_num_threads()
        history = training.fit(
            model, loss, lambda _: X, steps=steps, label=f"job {number}"
        )
        return seen, history.label, history.losses

    return job


def test_side_by_side_gives_what_one_after_the_other_gives():
    before = torch.get_num_threads()
    alone = [plan(number)() for number in range(5)]
    both = training.run_in_parallel([plan(number) for number in range(5)], 2)
    assert [one[1:] for one in both] == [one[1:] for one in alone]
    assert {one[0] for one in both} == {1}
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("kind, beside", [("cpu", 2), ("cuda", 1)])
def test_side_by_side_means_at_the_same_time(monkeypatch, kind, beside):
    """On a GPU, jobs would only wait for each other."""
    monkeypatch.setattr(session, "device", lambda: torch.device(kind))
    steps = []

    def job():
        def watch(_):
            steps.append(threading.get_ident())
            time.sleep(0.01)
            return X

        training.fit(nn.Linear(1, 1), loss, watch, steps=10)

    training.run_in_parallel([job, job])
    assert len(steps) == 20
    assert len(set(steps[:10])) == beside


def test_the_bars_are_shown_in_the_order_of_the_jobs(monkeypatch):
    shown = []

    class Bar:
        def __init__(self, total, label):
            self.label = label

        def show(self, done, note):
            pass

        def finish(self):
            pass

    monkeypatch.setattr(training, "_in_notebook", lambda: True)
    monkeypatch.setattr("attn_course.widgets.ProgressBar", Bar)
    monkeypatch.setattr(
        "IPython.display.display", lambda bar: shown.append(bar.label)
    )

    def late(job, seconds):
        def run():
            time.sleep(seconds)
            return job()

        return run

    jobs = [late(plan(n), (3 - n) / 10) for n in range(4)]
    training.run_in_parallel(jobs, 4)
    assert shown == [f"job {n}" for n in range(4)]


def test_an_error_stops_the_others():
    def wrong():
        time.sleep(0.1)
        raise KeyError("lost")

    start = time.perf_counter()
    with pytest.raises(KeyError, match="lost"):
        training.run_in_parallel([plan(0, 10**9), wrong, plan(1, 10**9)])
    assert time.perf_counter() - start < 60
    assert [
        one[1] for one in training.run_in_parallel([plan(2), plan(3)])
    ] == ["job 2", "job 3"]


ENDLESS = """
import torch
from attn_course import session, training

def job():
    said = []

    def loss(model, batch):
        if not said:
            said.append(print("at work\\n", end="", flush=True))
        return model(batch).square().mean()

    x = torch.ones(4, 1)
    training.fit(torch.nn.Linear(1, 1), loss, lambda _: x, steps=10**9)

training.run_in_parallel([job, job])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_an_interrupt_stops_all():
    with subprocess.Popen(
        [sys.executable, "-c", ENDLESS],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        try:
            for _ in range(2):
                assert running.stdout.readline() == "at work\n"
            running.send_signal(signal.SIGINT)
            _, errors = running.communicate(timeout=120)
        finally:
            running.kill()
    assert errors.strip().endswith("KeyboardInterrupt")


def test_no_jobs_and_no_workers():
    assert training.run_in_parallel([]) == []
    with pytest.raises(ValueError, match="workers: expected 1 or more, got 0"):
        training.run_in_parallel([plan(0)], 0)
