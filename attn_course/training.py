"""One small training loop for every lesson that trains."""

import contextvars
import math
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent import futures
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn

from attn_course import session
from attn_course.common.measuring import wait_for
from attn_course.common.threads import cpu_threads

SCHEDULES = ("cosine", "onecycle", "constant")


@dataclass
class History:
    """What happened in a training run."""

    label: str
    steps: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    metrics: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    stopped_early: bool = False

    def curve(self, metric: str) -> tuple[list[int], list[float]]:
        """Return the steps and the values of one metric, ready to draw."""
        seen = [m for m in self.metrics if metric in m]
        return [int(m["step"]) for m in seen], [m[metric] for m in seen]


def fit(
    model: nn.Module,
    loss: Callable[[nn.Module, object], Tensor],
    batches: Callable[[int], object] | Iterable,
    *,
    steps: int,
    lr: float = 3e-3,
    optimizer: torch.optim.Optimizer | None = None,
    schedule: str = "cosine",
    warmup: int = 0,
    weight_decay: float = 0.0,
    max_grad_norm: float | None = 1.0,
    evaluate: Callable[[nn.Module], dict[str, float]] | None = None,
    eval_every: int = 100,
    stop_when: Callable[[dict[str, float]], bool] | None = None,
    patience: int | None = None,
    label: str = "training",
    seed: int | None = None,
    threads: int | None = None,
) -> History:
    """Train a model, and keep what happened.

    Args:
        model: trained in place; left in evaluation mode, also by an error or
            an interrupt.
        loss: ``loss(model, batch)`` gives a scalar tensor.
        batches: ``batches(step)`` gives the batch of a step from 0 up, or an
            iterable of batches, which is repeated. A generator cannot be:
            it has to hold all steps.
        steps: how many batches, at most.
        lr: the highest learning rate.
        optimizer: by default AdamW with ``lr`` and ``weight_decay``.
        schedule: how the learning rate goes on after ``warmup`` steps of
            linear rise: "cosine" (down to 0), "constant", or "onecycle"
            (rises for the first 30 %, then cosine down to 0).
        warmup: steps of linear rise; "onecycle" has its own.
        weight_decay: of the default optimizer.
        max_grad_norm: longer gradients are shortened to it; None leaves all.
        evaluate: gives metrics, asked every ``eval_every`` steps and at the
            end, in evaluation mode and without gradients.
        eval_every: how many steps between two evaluations.
        stop_when: stop as soon as this holds for the metrics.
        patience: stop after this many evaluations in a row that do not
            raise the best value of the first metric.
        label: what the progress bar says.
        seed: seed everything first, if given.
        threads: how many CPU threads to train with; a small model is as fast
            on 1, and far faster where other programs use the processor too.

    Returns:
        The :class:`History`: the loss of every step, all metrics, seconds.

    Raises:
        ValueError: if an argument does not fit, the batches end too early, or
            the loss is not finite; the message names the step, and the first
            module whose output was not finite.
    """
    if steps < 1:
        raise ValueError(f"steps: expected 1 or more, got {steps}")
    if schedule not in SCHEDULES:
        raise ValueError(
            f"schedule: expected one of {SCHEDULES}, got {schedule!r}"
        )
    if (stop_when or patience) and evaluate is None:
        raise ValueError(
            "evaluate: expected a function, got None: stop_when and patience "
            "look at its metrics"
        )
    if threads is not None and threads < 1:
        raise ValueError(f"threads: expected 1 or more, got {threads}")
    if seed is not None:
        session.set_seed(seed)
    if optimizer is None:
        # fused: all weights in one call, six times as fast on a CPU.
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=lr, weight_decay=weight_decay, fused=True
        )
    rates = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: _factor(step, steps, schedule, warmup)
    )
    next_batch = _batch_maker(batches)
    history = History(label)
    best, waited = -math.inf, 0
    start = time.perf_counter()
    model.train()
    try:
        with cpu_threads(threads), Progress(steps, label) as progress:
            for step in range(steps):
                batch = next_batch(step)
                optimizer.zero_grad(set_to_none=True)
                step_loss = loss(model, batch)
                number = step_loss.item()
                if not math.isfinite(number):
                    raise ValueError(
                        f"loss: expected a finite number, got {number} at "
                        f"step {step}; "
                        f"{_first_not_finite(model, loss, batch)}"
                    )
                step_loss.backward()
                if max_grad_norm is not None:
                    nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm)
                optimizer.step()
                rates.step()
                history.steps.append(step + 1)
                history.losses.append(number)
                progress.update(step + 1, number)
                last = step + 1 == steps
                if evaluate is None or ((step + 1) % eval_every and not last):
                    continue
                metrics = _evaluate(model, evaluate)
                history.metrics.append({"step": step + 1, **metrics})
                first = next(iter(metrics.values()))
                better = first > best
                best, waited = (first, 0) if better else (best, waited + 1)
                done = stop_when is not None and stop_when(metrics)
                if done or (patience is not None and waited >= patience):
                    history.stopped_early = not last
                    break
    finally:
        model.eval()
    wait_for(next(model.parameters()).device)
    history.seconds = time.perf_counter() - start
    return history


def run_in_parallel(
    jobs: Sequence[Callable[[], object]], workers: int = 2
) -> list:
    """Do several trainings side by side, each on one CPU thread of its own.

    A second thread makes a small model hardly faster; a second model beside it
    makes use of the second core. Bars are shown in the order of the jobs. What
    a job computes does not depend on the others, as long as it takes no random
    numbers from torch's own generator, which all share: make models
    beforehand, and use no dropout. Where the lessons compute on a GPU, one
    runs after the other: side by side they would only wait for each other.

    Args:
        jobs: each called once, without arguments.
        workers: how many run at the same time on a CPU.

    Returns:
        What each job returned, in their order.

    Raises:
        ValueError: if ``workers`` is below 1.
        Exception: the first that a job raises; it stops the others at their
            next step, as an interrupt of the kernel does.
    """
    if workers < 1:
        raise ValueError(f"workers: expected 1 or more, got {workers}")
    if session.device().type != "cpu":
        workers = 1
    stop = threading.Event()
    shown = [threading.Event() for _ in jobs]

    def run(number: int) -> object:
        torch.set_num_threads(1)
        before = shown[number - 1] if number else None
        _TURN.set(_Turn(before, shown[number], stop))
        try:
            return jobs[number]()
        finally:
            shown[number].set()

    with cpu_threads(1), futures.ThreadPoolExecutor(workers) as pool:
        runs = [
            pool.submit(contextvars.copy_context().run, run, number)
            for number in range(len(jobs))
        ]
        try:
            done, _ = futures.wait(runs, None, futures.FIRST_EXCEPTION)
            # Not all are done only if one has failed: its result raises.
            return [one.result() for one in runs if one in done]
        finally:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)


class _Turn(NamedTuple):
    """What a job of :func:`run_in_parallel` knows of the others."""

    before: threading.Event | None  # the job before it has shown its bar
    shown: threading.Event  # it has shown its own
    stop: threading.Event  # nobody needs its result any more


_TURN: contextvars.ContextVar[_Turn | None] = contextvars.ContextVar(
    "turn", default=None
)


class Stopped(RuntimeError):
    """A training ended early, since one beside it failed."""


class Progress:
    """A progress bar that is seen while it runs, and leaves one plain line.

    In a notebook it is a widget; the stored output is the text alone, the
    same at every run, so nbval can compare it. Elsewhere it is silent.
    """

    def __init__(self, total: int, label: str) -> None:
        self.total = total
        self.label = label
        self.bar = None
        self.shown_at = 0.0

    def __enter__(self) -> "Progress":
        turn = _TURN.get()
        if turn and turn.before:
            turn.before.wait()
        if _in_notebook():
            from IPython.display import display

            from attn_course import widgets

            self.bar = widgets.ProgressBar(self.total, self.label)
            display(self.bar)
        if turn:
            turn.shown.set()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.finish()

    def update(self, done: int, loss: float | None = None) -> None:
        """Show how far it is; redraws at most five times a second.

        Raises:
            Stopped: in :func:`run_in_parallel`, if another job has failed.
        """
        turn = _TURN.get()
        if turn and turn.stop.is_set():
            raise Stopped(f"{self.label}: stopped, since another job failed")
        now = time.perf_counter()
        if self.bar is not None and (
            now - self.shown_at > 0.2 or done == self.total
        ):
            self.shown_at = now
            self.bar.show(done, "" if loss is None else f"loss {loss:.3f}")


def _in_notebook() -> bool:
    """Say whether a Jupyter kernel runs this code."""
    import sys

    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    return type(get_ipython()).__name__ == "ZMQInteractiveShell"


def _factor(step: int, steps: int, schedule: str, warmup: int) -> float:
    """Return the learning rate of a step, as a share of the highest one."""
    if schedule == "onecycle":
        warmup = max(1, round(0.3 * steps))
    if step < warmup:
        return (step + 1) / warmup
    if schedule == "constant":
        return 1.0
    done = (step - warmup) / max(1, steps - warmup)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def _batch_maker(batches) -> Callable[[int], object]:
    """Give a function from step to batch, whatever the learner passed."""
    if callable(batches):
        return batches

    def repeat():
        taken = 0
        while True:
            before = taken
            for batch in batches:
                taken += 1
                yield batch
            if taken == before:
                raise ValueError(
                    "batches: expected at least one batch, got none"
                    if taken == 0
                    else f"batches: expected a batch for every step, got "
                    f"{taken} in all; a generator cannot be gone through "
                    "twice, a list or a function can"
                )

    endless = repeat()
    return lambda _: next(endless)


def _first_not_finite(model: nn.Module, loss, batch) -> str:
    """Compute a loss once more, and name the module where it went wrong."""
    seen: list[str] = []

    def look(name: str):
        def hook(module: nn.Module, inputs: object, output: object) -> None:
            tensors = output if isinstance(output, tuple) else (output,)
            if not seen and not all(
                x.isfinite().all() for x in tensors if isinstance(x, Tensor)
            ):
                kind = type(module).__name__
                seen.append(f"{name!r} ({kind})" if name else f"the {kind}")

        return hook

    hooks = [
        module.register_forward_hook(look(name))
        for name, module in model.named_modules()
    ]
    try:
        with torch.no_grad():
            loss(model, batch)
    finally:
        for hook in hooks:
            hook.remove()
    if not seen:
        return "the output of every module was finite, look at the loss"
    return f"the first module with an output that is not finite: {seen[0]}"


def _evaluate(model: nn.Module, evaluate) -> dict[str, float]:
    """Measure in evaluation mode and without gradients, then go on."""
    model.eval()
    with torch.no_grad():
        metrics = evaluate(model)
    model.train()
    return {name: float(number) for name, number in metrics.items()}
