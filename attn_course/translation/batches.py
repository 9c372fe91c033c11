"""Sentence pairs alike in length, in batches."""

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from attn_course.common.arguments import check_at_least, whole_number
from attn_course.common.batching import bucketed_batches, pad


class BucketBatches:
    """Batches of pairs alike in length, in a new order at each epoch.

    The pairs are shuffled, cut into buckets of ``pool`` batches, sorted by
    length in each bucket, cut into batches, and these shuffled: so a batch
    holds little padding, and is not the same each time. Call it once per
    step.

    Args of the constructor:
        pairs: rows of ids, source and target.
        batch_size: pairs in a batch.
        seed: of the shuffling.
        pool: how many batches are sorted together; 1 mixes all lengths.
    """

    def __init__(
        self,
        pairs: Sequence[tuple[Sequence[int], Sequence[int]]],
        batch_size: int,
        *,
        seed: int = 0,
        pool: int = 20,
    ) -> None:
        """Remember the pairs.

        Raises:
            ValueError: if there is no pair, or a number is below 1.
        """
        if not pairs:
            raise ValueError("pairs: expected at least one, got none")
        check_at_least(1, batch_size=batch_size, pool=pool)
        self.pairs, self.batch_size = list(pairs), batch_size
        self.pool = pool
        # One number per pair that sorts by source, then by target length.
        longest = max(len(target) for _, target in self.pairs)
        self.lengths = torch.tensor(
            [len(s) * (longest + 1) + len(t) for s, t in self.pairs]
        )
        self.generator = torch.Generator().manual_seed(
            whole_number("seed", seed)
        )
        self._waiting: list[Tensor] = []

    def __call__(
        self, step: int
    ) -> tuple[Int[Tensor, "batch s"], Int[Tensor, "batch t"]]:
        """Return the next source and target, padded."""
        if not self._waiting:
            self._waiting = self.epoch()
        chosen = [self.pairs[i] for i in self._waiting.pop().tolist()]
        return pad([s for s, _ in chosen]), pad([t for _, t in chosen])

    def epoch(self) -> list[Int[Tensor, " at_most_batch_size"]]:
        """Cut all pairs, by their indices, into batches."""
        order = torch.randperm(len(self.pairs), generator=self.generator)
        return bucketed_batches(
            order,
            self.lengths[order],
            self.batch_size,
            self.generator,
            pool=self.pool,
        )
