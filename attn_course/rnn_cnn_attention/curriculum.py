"""The recall task over distances that grow, an equal time for each model."""

import time
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from attn_course.common.arguments import whole_number
from attn_course.common.measuring import wait_for
from attn_course.rnn_cnn_attention.tasks import KEYS, correct, recall_batch

STAGES = (8, 16, 32, 64, 128, 256, 512)


class Curriculum:
    """The recall task over distances that grow, and an exam after each.

    A stage ends when its budget is spent: a number of steps, or of seconds of
    training. Then the model is examined at that distance, on sequences of
    their own, and goes on to the next. On a CPU the seconds are the
    processor's, so that other programs take no time from one model that they
    leave to another. ``batches``, ``evaluate`` and ``over``
    are made for ``training.fit(batches=..., evaluate=..., eval_every=1,
    stop_when=...)``. What it found stands in ``correct``, ``steps`` and
    ``seconds``, one entry a distance.
    """

    def __init__(
        self,
        steps: int | None = None,
        seconds: Mapping[int, float] | None = None,
        *,
        cards: int = KEYS,
        stages: Sequence[int] = STAGES,
        exams: int = 200,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        """Set the budget of each stage.

        Args:
            steps: how many, at each distance; or
            seconds: how many, for each distance. One of the two.
            cards: see :func:`recall_batch`.
            stages: the distances, in order.
            exams: sequences in an exam.
            seed: of the training sequences; the exams are always the same.
            device: where the sequences go.

        Raises:
            ValueError: if not exactly one budget is given.
        """
        if (steps is None) == (seconds is None):
            raise ValueError(
                "steps, seconds: expected one of the two, got "
                f"{steps} and {seconds}"
            )
        self._budget = steps, seconds
        self._cards, self._stages, self._exams = (
            int(cards),
            [*map(int, stages)],
            exams,
        )
        self._draw = torch.Generator().manual_seed(whole_number("seed", seed))
        self._device = device
        on_cpu = torch.device(device).type == "cpu"
        self._clock = time.process_time if on_cpu else time.perf_counter
        self.stage, self._started = 0, None  # stages done
        self.correct: dict[int, Tensor] = {}
        self.steps: dict[int, int] = {d: 0 for d in self._stages}
        self.seconds: dict[int, float] = {}

    def batches(self, step: int) -> tuple[Tensor, Tensor]:
        """Draw about 512 tokens, but 4 to 64 sequences, of this stage."""
        distance = self._stages[self.stage]
        if self._started is None:
            self._started = self._clock()
        self.steps[distance] += 1
        size = max(4, min(64, 512 // distance))
        return self._batch(distance, size, self._draw)

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Look at the budget; when it is spent, examine, and go on."""
        distance = self._stages[self.stage]
        wait_for(self._device)
        spent = self._clock() - self._started
        steps, seconds = self._budget
        if steps is not None:
            done = self.steps[distance] >= steps
        else:
            done = spent >= seconds[distance]
        if done:
            exam = torch.Generator().manual_seed(10_000 + distance)
            batch = self._batch(distance, self._exams, exam)
            self.correct[distance] = correct(model, batch).cpu()
            self.seconds[distance] = spent
            self.stage, self._started = self.stage + 1, None
        return {"stages done": self.stage}

    def over(self, metrics: Mapping[str, float]) -> bool:
        """Say whether the last exam is done."""
        return metrics["stages done"] >= len(self._stages)

    def _batch(self, distance, size, generator) -> tuple[Tensor, Tensor]:
        batch = recall_batch(distance, size, generator, self._cards)
        return tuple(part.to(self._device) for part in batch)
