"""From recordings and texts to the batches that training asks for."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils import rnn

from attn_course.common.batching import epoch_batches, full_batches
from attn_course.common.text import Vocabulary
from attn_course.common.tokens import EOS, PAD
from attn_course.speech_attention.augmentation import augment


def make_targets(
    vocabulary: Vocabulary, texts: Sequence[str]
) -> Int[Tensor, "batch t"]:
    """Turn texts into word ids, with ``EOS`` and then padding behind them."""
    tokens = F.pad(vocabulary.encode(texts), (0, 1), value=PAD)
    ends = (tokens != PAD).sum(dim=1, keepdim=True)
    return tokens.scatter(1, ends, EOS)


def speech_batches(
    features: Sequence[Float[Tensor, "_ n_mels"]],
    targets: Int[Tensor, "n t"],
    size: int = 16,
    *,
    transform: Callable | None = augment,
    join: bool = True,
    seed: int = 0,
) -> Callable[[int], tuple[Tensor, Tensor, Tensor]]:
    """Make ``batches(step)``: features, lengths and targets.

    Recordings of nearly one length go into a batch (but for one batch of an
    epoch, where the longest meet the shortest); the batches of an epoch come
    in random order, drawn once and kept until the next epoch. Half of the
    batches have one recording in a row, the others two or four, one after the
    other: nothing that is said then tells that nothing follows. The same seed
    and step give the same batch.

    Args:
        features: of each recording, unpadded.
        targets: as ``make_targets`` makes them.
        size: recordings per batch.
        transform: ``augment``, or None to give the features as they are.
        join: whether to put recordings one after the other.
        seed: of order and changes.

    Raises:
        ValueError: if there are fewer than ``size`` recordings, or not as
            many targets.
    """
    if len(features) != len(targets):
        raise ValueError(
            f"targets: expected {len(features)} rows, got {len(targets)}"
        )
    per_epoch = full_batches(len(features), size)
    lengths = torch.tensor([len(one) for one in features])
    words = (targets != PAD).sum(dim=1) - 1  # in each text, without EOS

    def plan(generator: torch.Generator, epoch: int) -> list[Tensor]:
        noise = 1 + 0.1 * torch.rand(len(lengths), generator=generator)
        # Rotated, so that it is not always the longest that fall out.
        order = (lengths * noise).argsort().roll(epoch)
        order = order[: per_epoch * size].view(per_epoch, size)
        return list(order[torch.randperm(per_epoch, generator=generator)])

    rows_of = epoch_batches(plan, seed=seed)

    def batch(step: int) -> tuple[Tensor, Tensor, Tensor]:
        generator = torch.Generator().manual_seed(int(7_000_003 * seed + step))
        joined = 1
        if join:
            pick = torch.randint(4, (), generator=generator)
            joined = (1, 1, 2, 4)[int(pick)]
        order = torch.randperm(size, generator=generator)
        sounds, texts = [], []
        for group in rows_of(step)[order].split(joined):
            sounds.append(torch.cat([features[row] for row in group]))
            parts = [targets[row, : words[row]] for row in group]
            texts.append(torch.cat([*parts, targets.new_tensor([EOS])]))
        x = rnn.pad_sequence(sounds, True)
        frames = torch.tensor([len(one) for one in sounds], device=x.device)
        if transform is not None:
            x, frames = transform(x, frames, generator)
        return x, frames, rnn.pad_sequence(texts, True, PAD)

    return batch
